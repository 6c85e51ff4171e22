//! Nexmark through the whole program, ten seconds out of order and killed on the way: every table
//! holds what DuckDB says.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::program::{Program, is_required, peers, printed, root};

/// How often a table is looked at again, with 500 ms between: some are computed anew only so often.
const TRIES: u32 = 120;

/// Bids sent before the program is killed.
const FIRST_BIDS: usize = 7_000;

#[tokio::test(flavor = "multi_thread")]
async fn every_question_of_nexmark_is_answered_as_duckdb_does() {
    let events = tempfile::tempdir().unwrap();
    if !generate(events.path()) {
        return;
    }
    let bids = fs::read_to_string(events.path().join("bid.ndjson")).unwrap();
    let (end, _) = bids.match_indices('\n').nth(FIRST_BIDS - 1).unwrap();
    let (before, after) = bids.split_at(end + 1);
    fs::write(events.path().join("before.ndjson"), before).unwrap();
    fs::write(events.path().join("after.ndjson"), after).unwrap();

    let data = tempfile::tempdir().unwrap();
    let project = root().join("examples/nexmark");
    let program = Program::start(&project, data.path());
    for (file, stream) in [("before", "bid"), ("person", "person"), ("auction", "auction")] {
        send(&program, events.path(), file, stream);
    }
    program.kill();
    let program = Program::start(&project, data.path());
    send(&program, events.path(), "after", "bid");
    for (stream, records) in [("person", 400), ("auction", 1_200), ("bid", 18_400)] {
        let settled = program.settle(stream).await;
        assert_eq!((settled.stored, settled.dead), (records, 0), "{stream}");
    }

    let mut problems = Vec::new();
    let expected = fs::read(project.join("expected.json")).unwrap();
    let expected: Vec<Value> = serde_json::from_slice(&expected).unwrap();
    for table in &expected {
        problems.extend(differs(&program, table).await);
        problems.extend(differs_in_batch(&program, &project, table).await);
    }
    assert!(problems.is_empty(), "{problems:#?}");
    assert_eq!(expected.len(), 24);
    finals(&program).await;
}

#[test]
fn what_is_expected_of_nexmark_is_what_duckdb_says() {
    let Some(python) = peers("duckdb") else { return };
    let script = root().join("examples/nexmark/expect.py");
    let output = Command::new(python).arg(script).arg("--check").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}{errors}", String::from_utf8_lossy(&output.stdout));
}

/// Writes the events; returns whether there is a Python to do it.
fn generate(folder: &Path) -> bool {
    let script = root().join("examples/nexmark/generate.py");
    let mixed = ["--shuffle", "1000"];
    match Command::new("python3").arg(script).arg(folder).args(mixed).status() {
        Ok(status) => {
            assert!(status.success(), "generate.py ended with {status}");
            true
        }
        Err(error) => {
            assert!(!is_required(), "python3: {error}");
            eprintln!("SKIPPED: python3: {error}");
            false
        }
    }
}

fn send(program: &Program, events: &Path, file: &str, stream: &str) {
    let file = events.join(format!("{file}.ndjson"));
    printed(&["replay", file.to_str().unwrap(), "--into", stream, "--http", &program.http]);
}

/// Waits until the table holds what it must; returns what it holds instead if it never does.
async fn differs(program: &Program, expected: &Value) -> Option<String> {
    let (table, columns) = (expected["table"].as_str().unwrap(), columns(expected));
    // Which window of the clock on the wall a bid is in nobody can say beforehand.
    let sql = match table {
        "q12" => "SELECT bidder, sum(bids) FROM q12 GROUP BY bidder".to_owned(),
        _ => format!("SELECT {columns} FROM {table}"),
    };
    let mut found = None;
    for _ in 0..TRIES {
        found = compare(table, &program.sql(&sql).await, expected);
        found.as_ref()?;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    found
}

/// Asks the SELECT of the table once, over the rows that are there.
async fn differs_in_batch(program: &Program, project: &Path, expected: &Value) -> Option<String> {
    let (table, columns) = (expected["table"].as_str().unwrap(), columns(expected));
    let select = fs::read_to_string(project.join(format!("{table}.sql"))).unwrap();
    let sql = match table {
        "q12" => format!("SELECT bidder, sum(bids) FROM (\n{select}) AS asked GROUP BY bidder"),
        _ => format!("SELECT {columns} FROM (\n{select}) AS asked"),
    };
    compare(&format!("{table} in batch"), &program.sql(&sql).await, expected)
}

fn columns(expected: &Value) -> String {
    let columns = expected["columns"].as_array().unwrap();
    columns.iter().map(|it| it.as_str().unwrap()).collect::<Vec<_>>().join(", ")
}

fn compare(what: &str, rows: &[Vec<Value>], expected: &Value) -> Option<String> {
    let mut rows: Vec<String> = rows.iter().map(|it| plain(it)).collect();
    rows.sort_unstable();
    let is_same = match expected["rows"].as_array() {
        Some(wanted) => rows == wanted.iter().map(Value::to_string).collect::<Vec<_>>(),
        None => checksum(&rows) == expected["sum"].as_str().unwrap(),
    };
    if is_same && rows.len() as u64 == expected["count"].as_u64().unwrap() {
        return None;
    }
    let some = rows.iter().step_by(rows.len().div_ceil(5).max(1)).cloned().collect::<Vec<_>>();
    Some(format!("{what}: {} rows of {}: {}", rows.len(), expected["count"], some.join("\n")))
}

/// Writes a row as `expect.py` does: whole numbers whole, others with three digits.
fn plain(row: &[Value]) -> String {
    let values = row.iter().map(|value| match value {
        Value::Number(it) if !it.is_i64() && !it.is_u64() => {
            let number = it.as_f64().unwrap();
            if number.fract() == 0.0 { format!("{number:.0}") } else { format!("\"{number:.3}\"") }
        }
        other => other.to_string(),
    });
    format!("[{}]", values.collect::<Vec<_>>().join(","))
}

/// The sum of the FNV-1a hashes of the rows.
fn checksum(rows: &[String]) -> String {
    let hash = |row: &String| {
        row.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
        })
    };
    let total = rows.iter().fold(0_u64, |total, row| total.wrapping_add(hash(row)));
    format!("{total:016x}")
}

/// A window is final once its end has been reached: the events end at 200 seconds.
async fn finals(program: &Program) {
    let hops = ["00:03:10", "00:03:12", "00:03:14", "00:03:16", "00:03:18"].map(|it| [it]);
    for (table, wanted) in [
        ("q7", &[["00:03:10"]][..]),
        ("q8", &[["00:03:10"]]),
        ("bids_by_window", &hops),
        ("q5", &hops),
    ] {
        let open = format!(
            "SELECT DISTINCT to_char(start, 'HH24:MI:SS') FROM {table} WHERE NOT _final ORDER BY 1"
        );
        let mut found = program.sql(&open).await;
        for _ in 0..TRIES {
            if found == wanted {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            found = program.sql(&open).await;
        }
        assert_eq!(found, wanted, "{table}");
    }
    assert_eq!(program.count("SELECT count(*) FROM q15 WHERE _final").await, 0);
}
