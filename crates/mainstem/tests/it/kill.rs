//! Kills the real program with SIGKILL at random moments while clients write, and counts.
//!
//! `KILLS=200 SEED=7` repeats or lengthens a run; the seed is printed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::RwLock;

use crate::program::{Program, is_slow_welcome, number, send_until_taken};

const PROJECT: &str = r#"
[project]
name  = "kill"
flush = "200 ms"                    # often, so that kills hit every step of the hand-over

[stream.events]
time   = "ts"
key    = "id"
shards = 3

[stream.events.columns]
id     = "text not null"
ts     = "timestamp not null"
client = "int not null"
region = "text"
amount = "decimal(12,2)"

[stream.events.checks]
amount_is_positive = "amount > 0"

[table.big]
sql = "SELECT id, ts, client, amount FROM events WHERE amount >= 50"

[table.by_second]
late = "2 seconds"
sql  = "SELECT tumble(ts, '1 second') AS second, client, count(*) AS events, sum(amount) AS amount FROM events GROUP BY second, client"

[table.totals]
publish = "1 second"
sql = "SELECT client, count(*) AS events, sum(amount) AS amount FROM events GROUP BY client"

[table.by_region]
partition = "region"
sql = "SELECT id, ts, region, amount FROM events"

[table.strict]
late = "dead"
sql  = "SELECT tumble(ts, '10 seconds') AS start, count(*) AS events FROM events GROUP BY start"

[table.ranking]
every = "1 second"
sql   = "SELECT region, count(*) AS events FROM by_region GROUP BY region ORDER BY events DESC"
"#;

/// The same project after somebody found that the check was wrong.
fn mended() -> String {
    let mended = PROJECT.replace("\"amount > 0\"", "\"amount > -2\"");
    assert_ne!(mended, PROJECT, "the check is there to be changed");
    mended
}

/// Values that make awkward folder names.
const REGIONS: [Option<&str>; 4] = [Some("FR"), Some("a/b=c %2F é"), Some(""), None];

const CLIENTS: u64 = 4;

/// What the clients know to be acknowledged.
#[derive(Default)]
struct Known {
    good: AtomicU64,
    /// Records that fail the check, and records that do not decode.
    wrong: AtomicU64,
    broken: AtomicU64,
    cents: AtomicU64,
}

#[expect(clippy::too_many_lines, reason = "one story from the first start to the last count")]
#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_record_is_there_once_after_kills_at_random_moments() {
    let seed = number("SEED", 20_260_105);
    let kills = number("KILLS", if is_slow_welcome() { 30 } else { 6 });
    eprintln!("SEED={seed} KILLS={kills}");
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    std::fs::create_dir(&project).unwrap();
    std::fs::write(project.join("mainstem.toml"), PROJECT).unwrap();
    let data = folder.path().join("data");

    let program = Arc::new(RwLock::new(Some(Program::start(&project, &data))));
    let stopping = Arc::new(AtomicBool::new(false));
    let known = Arc::new(Known::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (program, stopping, known) =
                (Arc::clone(&program), Arc::clone(&stopping), Arc::clone(&known));
            tokio::spawn(async move { write(client, seed, &program, &stopping, &known).await })
        })
        .collect();

    let mut random = fastrand::Rng::with_seed(seed);
    for kill in 0..kills {
        tokio::time::sleep(Duration::from_millis(random.u64(20..1_200))).await;
        let mut place = program.write().await;
        place.take().unwrap().kill();
        if kill % 3 == 2 {
            interrupt(&project, &data, Duration::from_millis(random.u64(50..300)));
        }
        let again = Program::start(&project, &data);
        // The equation holds from the first moment, and every few kills also when all is quiet.
        if kill % 5 == 4 {
            again.settle("events").await;
            compare(&again, &known, false).await;
        }
        *place = Some(again);
    }
    stopping.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    let place = program.read().await;
    let running = place.as_ref().unwrap();
    let settled = running.settle("events").await;
    let count = |it: &AtomicU64| it.load(Ordering::SeqCst);
    let (good, wrong, broken) = (count(&known.good), count(&known.wrong), count(&known.broken));
    assert_eq!(settled.stored, good, "acknowledged records are stored, once each");
    assert_eq!(settled.dead, wrong + broken, "rejects are dead letters, once each");
    assert!(1_000 < good, "the clients hardly wrote: {good}");
    compare(running, &known, true).await;
    // Keys are remembered over all these kills.
    for client in 0..CLIENTS {
        let mut random = fastrand::Rng::with_seed(seed ^ (client + 1));
        let (lines, ..) = batch(client, 0, &mut random);
        let key = format!("{seed}-{client}-0");
        let (status, body) = running.send("events", lines, Some(&key)).await.unwrap();
        assert_eq!(status, 200, "{body}");
    }
    assert_eq!(running.settle("events").await, settled, "a repeated batch counts once");
    drop(place);

    // Dead letters are sent again; once that is answered, a kill does not undo it.
    program.write().await.take().unwrap().kill();
    std::fs::write(project.join("mainstem.toml"), mended()).unwrap();
    let again = Program::start(&project, &data);
    assert_eq!(replay(&again).await, (wrong, broken));
    again.kill();
    interrupt(&project, &data, Duration::from_millis(random.u64(50..300)));
    let again = Program::start(&project, &data);
    let settled = again.settle("events").await;
    assert_eq!((settled.stored, settled.dead), (good + wrong, broken), "replayed once");
    assert_eq!(replay(&again).await, (0, broken), "what is stored is not sent again");
    known.good.fetch_add(wrong, Ordering::SeqCst);
    // Each had an amount of -1.
    known.cents.fetch_sub(100 * wrong, Ordering::SeqCst);
    compare(&again, &known, true).await;

    // And from the files alone, after a graceful stop.
    // Of windows, the folder has the final ones.
    let ended = "SELECT CAST(coalesce(sum(events), 0) AS BIGINT) FROM by_second WHERE _final";
    let ended = again.count(ended).await;
    again.stop();
    count_files(&data, good + wrong, ended);
    let again = Program::start(&project, &data);
    again.settle("events").await;
    compare(&again, &known, true).await;
}

/// Starts the program and kills it while it recovers.
fn interrupt(project: &Path, data: &Path, after: Duration) {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_mainstem"))
        .arg("run")
        .arg(project)
        .arg("--data")
        .arg(data)
        .args(["--http", "127.0.0.1:0", "--postgres", "127.0.0.1:0"])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Sends all dead letters again; returns how many became rows, and how many are still dead.
async fn replay(program: &Program) -> (u64, u64) {
    let url = program.url("/v1/dead/events/replay");
    let response = reqwest::Client::new().post(url).json(&json!({})).send().await.unwrap();
    let status = response.status();
    let answer: serde_json::Value = response.json().await.unwrap();
    assert!(status.is_success(), "{answer}");
    (answer["stored"].as_u64().unwrap(), answer["dead"].as_u64().unwrap())
}

const READ: &str = r#"
import sys, glob, os, duckdb, duckdb_extension_delta
home = os.path.dirname(duckdb_extension_delta.__file__)
db = duckdb.connect(config={'allow_unsigned_extensions': 'true'})
db.execute(f"LOAD '{glob.glob(home + '/**/delta.duckdb_extension', recursive=True)[0]}'")
lake = sys.argv[1]
one = lambda sql, table: db.execute(f"SELECT {sql} FROM delta_scan('{lake}/{table}')").fetchone()
print(*one('count(*), count(DISTINCT id)', 'events'), *one('count(*), count(DISTINCT id)', 'by_region'),
      *one('CAST(coalesce(sum(events), 0) AS BIGINT)', 'by_second'))
"#;

/// Counts with another program what lies in the folder.
fn count_files(data: &Path, rows: u64, ended: u64) {
    let python = crate::program::root().join("target/peers/bin/python3");
    if !python.is_file() {
        eprintln!("SKIPPED: DuckDB is not there ({})", python.display());
        return;
    }
    let lake = data.join("lake");
    let read = std::process::Command::new(python).arg("-c").arg(READ).arg(&lake).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&read.stdout), String::from_utf8_lossy(&read.stderr));
    let counts: Vec<&str> = out.split_whitespace().collect();
    let expected = [rows, rows, rows, rows, ended].map(|it| it.to_string());
    assert_eq!(counts, expected, "{err}");
}

/// Compares tables with each other, and with what the clients know if nobody writes any more.
async fn compare(program: &Program, known: &Known, is_quiet: bool) {
    let row = program
        .sql("SELECT count(*), count(DISTINCT id), CAST(coalesce(sum(amount), 0) * 100 AS BIGINT) FROM events")
        .await;
    let numbers: Vec<u64> = row[0].iter().map(|it| it.as_u64().unwrap()).collect();
    assert_eq!(numbers[0], numbers[1], "a record is there twice");
    let known_good = known.good.load(Ordering::SeqCst);
    if is_quiet {
        assert_eq!(numbers[0], known_good);
        assert_eq!(numbers[2], known.cents.load(Ordering::SeqCst));
    } else {
        assert!(known_good <= numbers[0], "acknowledged {known_good}, stored {}", numbers[0]);
    }
    let windows = program
        .sql("SELECT CAST(sum(events) AS BIGINT), CAST(coalesce(sum(amount), 0) * 100 AS BIGINT) FROM by_second")
        .await;
    assert_eq!(windows[0][0].as_u64(), Some(numbers[0]), "the windows add up");
    assert_eq!(windows[0][1].as_u64(), Some(numbers[2]), "the windows add up");
    let totals = program.sql("SELECT CAST(sum(events) AS BIGINT) FROM totals").await;
    assert_eq!(totals[0][0].as_u64(), Some(numbers[0]), "the running totals add up");
    let big = program.count("SELECT count(*) FROM big").await;
    let expected = program.count("SELECT count(*) FROM events WHERE amount >= 50").await;
    assert_eq!(big, expected, "a table and what it is made of agree");
    let wrong = program
        .sql("SELECT a.second, a.client, a.events, b.events FROM by_second a FULL JOIN (SELECT tumble(ts, '1 second') AS second, client, count(*) AS events FROM events GROUP BY 1, 2) b ON a.second = b.second AND a.client = b.client WHERE a.events IS DISTINCT FROM b.events")
        .await;
    assert!(wrong.is_empty(), "windows differ from a batch query: {wrong:?}");
    let wrong = program
        .sql("SELECT a.client FROM totals a FULL JOIN (SELECT client, count(*) AS events, sum(amount) AS amount FROM events GROUP BY client) b ON a.client = b.client WHERE (a.events IS DISTINCT FROM b.events) OR (a.amount IS DISTINCT FROM b.amount)")
        .await;
    assert!(wrong.is_empty(), "totals differ from a batch query: {wrong:?}");
    compare_regions(program, numbers[0]).await;
    let in_time = "SELECT CAST(coalesce(sum(events), 0) AS BIGINT) FROM strict";
    let too_late = "SELECT count(*) FROM strict__dead WHERE kind = 'late'";
    let both = format!("SELECT ({in_time}) + ({too_late})");
    assert_eq!(program.count(&both).await, numbers[0], "a late row is dead, once");
}

/// The table that is partitioned, and the one computed from it now and then.
async fn compare_regions(program: &Program, rows: u64) {
    let row = program.sql("SELECT count(*), count(DISTINCT id) FROM by_region").await;
    assert_eq!(row[0], [json!(rows), json!(rows)], "each row is in its partition once");
    let by_region = |from: &str| format!("SELECT region, CAST(sum({from}) AS BIGINT) AS n");
    let raw = format!("{} FROM events GROUP BY region ORDER BY region", by_region("1"));
    let raw = program.sql(&raw).await;
    let own = format!("{} FROM by_region GROUP BY region ORDER BY region", by_region("1"));
    assert_eq!(program.sql(&own).await, raw, "regions");
    let ranking = format!("{} FROM ranking GROUP BY region ORDER BY region", by_region("events"));
    for _ in 0..100 {
        if program.sql(&ranking).await == raw {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("the recomputed table does not come up: {:?} {raw:?}", program.sql(&ranking).await);
}

/// Sends batches until told to stop; a batch that was not answered is sent again with its key.
async fn write(
    client: u64,
    seed: u64,
    program: &RwLock<Option<Program>>,
    stopping: &AtomicBool,
    known: &Known,
) {
    let mut random = fastrand::Rng::with_seed(seed ^ (client + 1));
    let mut number = 0;
    while !stopping.load(Ordering::SeqCst) {
        let (lines, good, [wrong, broken], cents) = batch(client, number, &mut random);
        let key = format!("{seed}-{client}-{number}");
        send_until_taken(program, "events", &lines, &key).await;
        known.good.fetch_add(good, Ordering::SeqCst);
        known.wrong.fetch_add(wrong, Ordering::SeqCst);
        known.broken.fetch_add(broken, Ordering::SeqCst);
        known.cents.fetch_add(cents, Ordering::SeqCst);
        number += 1;
        tokio::time::sleep(Duration::from_millis(random.u64(0..20))).await;
    }
}

/// Makes a batch: its lines, how many are good, fail the check and do not decode, and the good
/// ones' sum in cents.
fn batch(client: u64, number: u64, random: &mut fastrand::Rng) -> (String, u64, [u64; 2], u64) {
    let (mut lines, mut good, mut wrong, mut broken, mut cents) = (String::new(), 0, 0, 0, 0);
    for index in 0..random.u64(1..60) {
        let id = format!("{client}-{number}-{index}");
        // Event time runs at about real speed, out of order, now and then late by minutes.
        let late = if random.u32(0..50) == 0 { 120_000 } else { random.u64(0..3_000) };
        let moment = 1_767_607_200_000 + 200_000 + number * 15 - late;
        let ts = format!("{}", Moment(moment));
        let region = REGIONS[random.usize(0..REGIONS.len())];
        let mut record = json!({"id": id, "ts": ts, "client": client, "region": region});
        match random.u32(0..20) {
            0 => {
                record["amount"] = json!(-1);
                lines.push_str(&record.to_string());
                wrong += 1;
            }
            1 => {
                lines.push_str("{\"id\": broken");
                broken += 1;
            }
            _ => {
                let amount = random.u64(1..10_000);
                record["amount"] = json!(format!("{}.{:02}", amount / 100, amount % 100));
                lines.push_str(&record.to_string());
                good += 1;
                cents += amount;
            }
        }
        lines.push('\n');
    }
    (lines, good, [wrong, broken], cents)
}

/// Milliseconds since 1970 on 2026-01-05 between 10:00 and 11:00, written as RFC 3339.
struct Moment(u64);

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let in_day = self.0 - 1_767_571_200_000;
        let (hours, minutes) = (in_day / 3_600_000, in_day / 60_000 % 60);
        write!(
            f,
            "2026-01-05T{hours:02}:{minutes:02}:{:02}.{:03}Z",
            in_day / 1_000 % 60,
            in_day % 1_000
        )
    }
}

#[tokio::test]
async fn a_second_program_on_the_same_data_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    std::fs::create_dir(&project).unwrap();
    std::fs::write(project.join("mainstem.toml"), PROJECT).unwrap();
    let data = folder.path().join("data");
    let program = Program::start(&project, &data);
    let output = second(&project, &data);
    assert!(output.contains("in use by another mainstem"), "{output}");
    assert!(output.contains(&program.id().to_string()), "{output}");
}

fn second(project: &Path, data: &Path) -> String {
    let output = crate::program::mainstem(&[
        "run",
        project.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
        "--http",
        "127.0.0.1:0",
        "--postgres",
        "127.0.0.1:0",
    ]);
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}
