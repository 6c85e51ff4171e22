//! Kills the real program with SIGKILL at random moments of a change, and looks whether one of the
//! two projects is there whole.
//!
//! `KILLS=200 SEED=7` repeats or lengthens a run; the seed is printed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::RwLock;

use crate::program::{Program, is_slow_welcome, mainstem, number, send_until_taken};

const STREAM: &str = r#"
[project]
name  = "kill"
flush = "200 ms"                    # often, so that kills hit every step of the hand-over

[stream.events]
time   = "ts"
key    = "id"
shards = 2

[stream.events.columns]
id     = "int not null"
ts     = "timestamp not null"
client = "int not null"
amount = "int not null"
"#;

/// A table, and what makes its rows from those of the stream.
type Table = (&'static str, &'static str);

/// Every kind of table, and tables on tables. Nothing is both in one project and in the other as
/// it is but `same`.
const ONE: &[Table] = &[
    ("same", "SELECT client, count(*) AS events FROM events GROUP BY client"),
    ("large", "SELECT id, ts, client, amount FROM events WHERE amount >= 50"),
    (
        "by_time",
        "SELECT tumble(ts, '1 second') AS start, client, count(*) AS events, sum(amount) AS amount FROM large GROUP BY start, client",
    ),
    ("totals", "SELECT client, sum(amount) AS amount FROM large GROUP BY client"),
    (
        "gone",
        "SELECT tumble(ts, '1 minute') AS start, max(amount) AS most FROM events GROUP BY start",
    ),
];

const OTHER: &[Table] = &[
    ("same", "SELECT client, count(*) AS events FROM events GROUP BY client"),
    ("large", "SELECT id, ts, client, amount FROM events WHERE amount >= 20"),
    (
        "by_time",
        "SELECT hop(ts, '2 seconds', '4 seconds') AS start, client, count(*) AS events, sum(amount) AS amount FROM large GROUP BY start, client",
    ),
    (
        "totals",
        "SELECT client, sum(amount) AS amount, count(*) AS events FROM large GROUP BY client",
    ),
    ("added", "SELECT id, amount * 2 AS twice FROM events WHERE amount < 10"),
];

/// Writes a project; the words in its first line tell texts apart.
fn write(folder: &Path, tables: &[Table], words: &str) {
    let mut text = format!("# {words}\n{STREAM}");
    for (name, sql) in tables {
        let late = if sql.contains("(ts, '") { "late = \"2 seconds\"\n" } else { "" };
        text += &format!("\n[table.{name}]\n{late}sql = \"{sql}\"\n");
    }
    std::fs::write(folder.join("mainstem.toml"), text).unwrap();
}

/// What the writer knows to be acknowledged.
#[derive(Default)]
struct Known {
    records: AtomicU64,
    amount: AtomicU64,
}

#[expect(clippy::too_many_lines, reason = "one story from the first start to the last count")]
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_of_a_change_leaves_one_of_the_two_projects_whole() {
    let seed = number("SEED", 20_260_105);
    let kills = number("KILLS", if is_slow_welcome() { 12 } else { 6 });
    eprintln!("SEED={seed} KILLS={kills}");
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let project = folder.path().join("project");
    std::fs::create_dir(&project).unwrap();
    write(&project, ONE, "first");
    let program = Arc::new(RwLock::new(Some(Program::start(&project, &data))));
    let (stopping, known) = (Arc::new(AtomicBool::new(false)), Arc::new(Known::default()));
    let writer = {
        let (program, stopping, known) =
            (Arc::clone(&program), Arc::clone(&stopping), Arc::clone(&known));
        tokio::spawn(async move { send(seed, &program, &stopping, &known).await })
    };
    while known.records.load(Ordering::SeqCst) < 20_000 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let mut random = fastrand::Rng::with_seed(seed);
    let mut outcomes = [0, 0];
    let mut moment_max = 1_000;
    for kill in 0..kills {
        let is_apply = kill % 3 == 0;
        let place = program.read().await;
        let is_one = runs_one(place.as_ref().unwrap()).await;
        if is_apply {
            write(&project, if is_one { OTHER } else { ONE }, &format!("edit {kill}"));
        }
        let began = std::time::Instant::now();
        let mut change = start_change(if is_apply { "apply" } else { "rollback" }, &project, &data);
        let moment = Duration::from_millis(random.u64(0..moment_max));
        while began.elapsed() < moment && change.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // A change that was done before tells how long one takes; the next kills hit within.
        let took = u64::try_from(began.elapsed().as_millis()).unwrap();
        if change.try_wait().unwrap().is_some_and(|it| it.success()) {
            moment_max = took.max(100);
        } else {
            moment_max += moment_max / 4;
        }
        drop(place);
        let mut place = program.write().await;
        place.take().unwrap().kill();
        change.wait().unwrap();
        let again = Program::start(&project, &data);
        let is_one_now = runs_one(&again).await;
        if is_apply {
            assert_ne!(is_one_now, is_one, "a restart has what stands in the folder");
        } else {
            outcomes[usize::from(is_one_now == is_one)] += 1;
        }
        compare(&again, is_one_now).await;
        *place = Some(again);
    }
    eprintln!("rolled back {}, stayed {}", outcomes[0], outcomes[1]);
    stopping.store(true, Ordering::SeqCst);
    writer.await.unwrap();
    let place = program.read().await;
    let running = place.as_ref().unwrap();
    let settled = running.settle("events").await;
    let (records, amount) =
        (known.records.load(Ordering::SeqCst), known.amount.load(Ordering::SeqCst));
    assert_eq!((settled.stored, settled.dead), (records, 0), "acknowledged is stored, once");
    assert_eq!(running.count("SELECT sum(amount) FROM events").await, amount);
    compare(running, runs_one(running).await).await;
    drop(place);
    // Both can still be had, and a restart changes nothing.
    let running = program.write().await.take().unwrap();
    let is_one = runs_one(&running).await;
    let arguments = ["rollback", "--breaking", "--data", data.to_str().unwrap()];
    let done = mainstem(&arguments);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_ne!(runs_one(&running).await, is_one);
    compare(&running, !is_one).await;
    running.stop();
    let running = Program::start(&project, &data);
    assert_ne!(runs_one(&running).await, is_one);
    compare(&running, !is_one).await;
}

fn start_change(command: &str, project: &Path, data: &Path) -> Child {
    let mut change = Command::new(env!("CARGO_BIN_EXE_mainstem"));
    change.arg(command).args(["--breaking", "--data"]).arg(data);
    if command == "apply" {
        change.arg(project);
    }
    change.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Tells which of the two projects is shown; it must be one of them.
async fn runs_one(program: &Program) -> bool {
    let url = program.url("/v1/pipeline");
    let facts: serde_json::Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    let shown = facts["tables"].as_array().unwrap().iter();
    let shown: Vec<&str> = shown.map(|it| it["name"].as_str().unwrap()).collect();
    let names = |tables: &[Table]| {
        let mut names: Vec<&str> = tables.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names
    };
    assert!(shown == names(ONE) || shown == names(OTHER), "neither project: {shown:?}");
    shown == names(ONE)
}

/// Compares each table with what one question makes of the stream's rows at the same moment.
async fn compare(program: &Program, is_one: bool) {
    let tables = if is_one { ONE } else { OTHER };
    let large = tables.iter().find(|(name, _)| *name == "large").unwrap().1;
    for (name, sql) in tables {
        let sql = sql.replace("FROM large", &format!("FROM ({large})"));
        let question = format!(
            "WITH made AS (SELECT * FROM {name}), asked AS ({sql}) \
             SELECT 'too much', count(*) FROM (SELECT * FROM made EXCEPT SELECT * FROM asked) \
             UNION ALL SELECT 'too little', count(*) FROM (SELECT * FROM asked EXCEPT SELECT * FROM made) \
             UNION ALL SELECT 'more rows', (SELECT count(*) FROM made) - (SELECT count(*) FROM asked)"
        );
        let differences = program.sql(&question).await;
        let differs = differences.iter().any(|it| it[1] != 0);
        assert!(!differs, "`{name}` is not what its SELECT says: {differences:?}");
    }
}

/// Sends batches until told to stop; a batch that was not answered is sent again with its key.
async fn send(seed: u64, program: &RwLock<Option<Program>>, stopping: &AtomicBool, known: &Known) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut next = 0;
    while !stopping.load(Ordering::SeqCst) {
        let (mut lines, mut amounts) = (String::new(), 0);
        let first = next;
        // Many at first, so that a change has something to read.
        let count = if first < 20_000 { 2_000 } else { random.u64(1..60) };
        for id in first..first + count {
            let late = if random.u32(0..50) == 0 { 120_000 } else { random.u64(0..3_000) };
            let seconds = 200_000 + id * 3 - late;
            let amount = random.u64(1..100);
            lines += &format!(
                "{{\"id\":{id},\"ts\":\"2026-01-05T{:02}:{:02}:{:02}.{:03}Z\",\"client\":{},\"amount\":{amount}}}\n",
                10 + seconds / 3_600_000,
                seconds / 60_000 % 60,
                seconds / 1_000 % 60,
                seconds % 1_000,
                random.u64(0..4),
            );
            amounts += amount;
        }
        next += count;
        let key = format!("{seed}-{first}");
        send_until_taken(program, "events", &lines, &key).await;
        known.amount.fetch_add(amounts, Ordering::SeqCst);
        known.records.fetch_add(count, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(random.u64(0..20))).await;
    }
}
