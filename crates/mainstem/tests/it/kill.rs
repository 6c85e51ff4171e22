//! Kills the real program with SIGKILL at random moments while clients write, and counts.
//!
//! `KILLS=200 SEED=7` repeats or lengthens a run; the seed is printed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::RwLock;

use crate::program::{Program, is_slow_welcome, number};

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
"#;

const CLIENTS: u64 = 4;

/// What the clients know to be acknowledged.
#[derive(Default)]
struct Known {
    good: AtomicU64,
    bad: AtomicU64,
    cents: AtomicU64,
}

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
    let good = known.good.load(Ordering::SeqCst);
    assert_eq!(settled.stored, good, "acknowledged records are stored, once each");
    assert_eq!(
        settled.dead,
        known.bad.load(Ordering::SeqCst),
        "rejects are dead letters, once each"
    );
    assert!(1_000 < good, "the clients hardly wrote: {good}");
    compare(running, &known, true).await;
    drop(place);

    // And from the files alone, after a graceful stop.
    program.write().await.take().unwrap().stop();
    let again = Program::start(&project, &data);
    again.settle("events").await;
    compare(&again, &known, true).await;
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
        let (lines, good, bad, cents) = batch(client, number, &mut random);
        let key = format!("{seed}-{client}-{number}");
        loop {
            let place = program.read().await;
            let answer = place.as_ref().unwrap().send("events", lines.clone(), Some(&key)).await;
            drop(place);
            match answer {
                Ok((200, _)) => break,
                Ok((429 | 503, _)) | Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                Ok((status, body)) => panic!("{status}: {body}"),
            }
        }
        known.good.fetch_add(good, Ordering::SeqCst);
        known.bad.fetch_add(bad, Ordering::SeqCst);
        known.cents.fetch_add(cents, Ordering::SeqCst);
        number += 1;
        tokio::time::sleep(Duration::from_millis(random.u64(0..20))).await;
    }
}

/// Makes a batch: its lines, how many are good and bad, and the good ones' sum in cents.
fn batch(client: u64, number: u64, random: &mut fastrand::Rng) -> (String, u64, u64, u64) {
    let (mut lines, mut good, mut bad, mut cents) = (String::new(), 0, 0, 0);
    for index in 0..random.u64(1..60) {
        let id = format!("{client}-{number}-{index}");
        // Event time runs at about real speed, out of order, now and then late by minutes.
        let late = if random.u32(0..50) == 0 { 120_000 } else { random.u64(0..3_000) };
        let moment = 1_767_607_200_000 + 200_000 + number * 15 - late;
        let ts = format!("{}", Moment(moment));
        match random.u32(0..20) {
            0 => {
                lines.push_str(
                    &json!({"id": id, "ts": ts, "client": client, "amount": -1}).to_string(),
                );
                bad += 1;
            }
            1 => {
                lines.push_str("{\"id\": broken");
                bad += 1;
            }
            _ => {
                let amount = random.u64(1..10_000);
                let text = format!("{}.{:02}", amount / 100, amount % 100);
                lines.push_str(
                    &json!({"id": id, "ts": ts, "client": client, "amount": text}).to_string(),
                );
                good += 1;
                cents += amount;
            }
        }
        lines.push('\n');
    }
    (lines, good, bad, cents)
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
