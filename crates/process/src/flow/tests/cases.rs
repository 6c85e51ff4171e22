//! SQL in motion: each case gives one answer, straight through, killed between any two batches
//! and resumed, and in several shards.
//!
//! A case is a folder of `cases/`: the project's files, `in.jsonl` with one `{"STREAM": RECORD}` a
//! line and an empty line between batches, `out.jsonl` with one `{"TABLE": ROW}` a line. Rows are
//! compared in any order, by the columns that `out.jsonl` names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::{World, ask, assert_conserved};
use crate::flow::Flow;

struct Case {
    name: String,
    files: Vec<(String, String)>,
    batches: Vec<Vec<(String, String)>>,
    expected: BTreeMap<String, Vec<Value>>,
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        cases.push(read_case(&entry.unwrap().path()));
    }
    assert!(!cases.is_empty());
    cases
}

fn read_case(folder: &Path) -> Case {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.ends_with(".jsonl") {
            files.push((name, std::fs::read_to_string(path).unwrap()));
        }
    }
    let one = |line: &str| -> (String, Value) {
        let object: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
        object.into_iter().next().unwrap()
    };
    let mut batches = vec![Vec::new()];
    for line in std::fs::read_to_string(folder.join("in.jsonl")).unwrap().lines() {
        if line.is_empty() {
            batches.push(Vec::new());
        } else {
            let (stream, record) = one(line);
            batches.last_mut().unwrap().push((stream, record.to_string()));
        }
    }
    let mut expected: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in std::fs::read_to_string(folder.join("out.jsonl")).unwrap().lines() {
        let (table, row) = one(line);
        expected.entry(table).or_default().push(row);
    }
    let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
    Case { name, files, batches, expected }
}

async fn world(case: &Case, shards: u32) -> World {
    let files: Vec<(&str, &str)> =
        case.files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    World::with_shards(&files, shards, 1).await
}

async fn send(world: &World, batch: &[(String, String)]) {
    for (stream, record) in batch {
        world.send(stream, &[record]).await;
    }
}

async fn check(case: &Case, flow: &Flow, way: &str) {
    assert_conserved(flow);
    for (table, rows) in &case.expected {
        let columns: BTreeSet<&String> =
            rows.iter().filter_map(Value::as_object).flat_map(|it| it.keys()).collect();
        let list: Vec<String> = columns.iter().map(|it| format!("\"{it}\"")).collect();
        let sql = format!("SELECT {} FROM \"{table}\"", list.join(", "));
        let line = |row: &Value| {
            let values = columns.iter().map(|it| {
                let value = row.get(it.as_str()).cloned().unwrap_or(Value::Null);
                format!("\"{it}\":{value}")
            });
            format!("{{{}}}", values.collect::<Vec<_>>().join(","))
        };
        let mut should: Vec<String> = rows.iter().map(line).collect();
        should.sort();
        let is = ask(&flow.view(), &sql).await;
        let parsed = |it: &str| serde_json::from_str::<Value>(it).unwrap();
        let mut is: Vec<String> = is.lines().map(|it| line(&parsed(it))).collect();
        is.sort();
        assert_eq!(is, should, "{}: {table}, {way}", case.name);
    }
}

#[tokio::test]
async fn every_case_gives_one_answer_straight_through() {
    for case in cases() {
        let world = world(&case, 1).await;
        let mut flow = world.open().await;
        for batch in &case.batches {
            send(&world, batch).await;
            flow.tick_all().await.unwrap();
        }
        check(&case, &flow, "straight through").await;
        flow.flush().await.unwrap();
        check(&case, &flow, "straight through, stored").await;
    }
}

#[tokio::test]
async fn every_case_gives_one_answer_killed_between_any_two_batches() {
    for case in cases() {
        for killed_after in 0..case.batches.len() {
            for is_flushed in [false, true] {
                run_killed(&case, killed_after, is_flushed).await;
            }
        }
    }
}

async fn run_killed(case: &Case, killed_after: usize, is_flushed: bool) {
    let mut world = world(case, 1).await;
    let mut flow = world.open().await;
    for (at, batch) in case.batches.iter().enumerate() {
        send(&world, batch).await;
        flow.tick_all().await.unwrap();
        if is_flushed && at == killed_after {
            flow.flush().await.unwrap();
        }
        if at == killed_after {
            drop(flow);
            world.crash();
            flow = world.open().await;
            flow.tick_all().await.unwrap();
        }
    }
    check(case, &flow, &format!("killed after batch {killed_after}, flushed: {is_flushed}")).await;
}

#[tokio::test]
async fn every_case_gives_one_answer_in_several_shards() {
    for case in cases() {
        let world = world(&case, 3).await;
        let mut flow = world.open().await;
        for batch in &case.batches {
            send(&world, batch).await;
            flow.tick_all().await.unwrap();
            flow.flush().await.unwrap();
        }
        check(&case, &flow, "in three shards").await;
    }
}
