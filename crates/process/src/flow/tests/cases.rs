//! SQL in motion: each case gives one answer, straight through, killed between any two epochs and
//! resumed, and when its records are spread over other shards after a restart than before.
//!
//! A case is a folder of `cases/`: the project's files, `in.jsonl` with one `{"STREAM": RECORD}` a
//! line and an empty line between batches, `out.jsonl` with one `{"TABLE": ROW}` a line, or
//! `{"TABLE": null}` for a table without rows. Rows are compared in any order, by the columns that
//! `out.jsonl` names. `cases/expect.py` writes it: DuckDB says what `expected.sql` gives over the
//! same records.
//!
//! `CASE=name` runs the cases whose names begin like that.

use std::path::{Path, PathBuf};

use super::case::{Case, STRAIGHT, Shards, Ticks, Way, go};
use super::slow;

/// Cases of what does not work yet, with the reason. One that passes must leave the list.
const PENDING: &[(&str, &str)] = &[];

/// Where records go before and after a restart: the shards of a stream are fixed, so a stream that is
/// written in N shards and goes on in M gets nothing in the others from then on.
const RESHARDED: &[Shards] =
    &[(&[0, 1, 2], &[1]), (&[0], &[0, 1, 2]), (&[0, 1], &[1, 2, 3]), (&[2, 1, 0], &[3, 0])];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

#[expect(clippy::disallowed_methods, reason = "a test is told its case from outside")]
fn wanted() -> String {
    std::env::var("CASE").unwrap_or_default()
}

fn pending(name: &str) -> Option<&'static str> {
    PENDING.iter().find(|(it, _)| *it == name).map(|(_, reason)| *reason)
}

/// Reads the cases, in the order of their names.
pub(super) fn cases() -> Vec<Case> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|it| it.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|it| it.join("in.jsonl").is_file()).collect();
    folders.sort();
    let cases = folders.iter().map(|it| Case::read(it));
    cases.filter(|it| it.name.starts_with(&wanted())).collect()
}

/// Each way through a case that needs no kill: in epochs and in none, the same records in one tick
/// and each in its own.
fn straight(case: &Case) -> Vec<Way> {
    let mut ways = vec![Way { is_flushed: true, ..STRAIGHT }];
    if !case.depends_on_ticks() {
        ways.push(Way { ticks: Ticks::One, ..STRAIGHT });
    }
    if slow() && !case.depends_on_ticks() {
        ways.push(Way { ticks: Ticks::Each, ..STRAIGHT });
    }
    ways
}

/// Killed after each epoch.
fn killed(case: &Case) -> Vec<Way> {
    let kills = 0..case.batches.len();
    kills.map(|it| Way { killed_after: Some(it), is_flushed: true, ..STRAIGHT }).collect()
}

/// Killed after a batch with nothing durable but the journal: it all comes again, in one tick.
fn replayed(case: &Case) -> Vec<Way> {
    if case.depends_on_ticks() {
        return Vec::new();
    }
    let last = case.batches.len() - 1;
    let kills = if slow() { (0..last).collect() } else { vec![last / 2] };
    kills.into_iter().map(|it| Way { killed_after: Some(it), ..STRAIGHT }).collect()
}

/// Killed after an epoch, to go on in other shards. One of the ways for each case finds most; all of
/// them, at all epochs, take their time.
fn resharded(case: &Case) -> Vec<Way> {
    let way = |shards, kill| Way { killed_after: Some(kill), is_flushed: true, shards, ..STRAIGHT };
    let last = case.batches.len() - 1;
    if slow() {
        let all = |shards: &Shards| (0..=last).map(|it| way(*shards, it)).collect::<Vec<_>>();
        return RESHARDED.iter().flat_map(all).collect();
    }
    let number = case.name.len() % RESHARDED.len();
    vec![way(RESHARDED[number], last / 2)]
}

/// With less memory than anything needs: all groups and rows are on disk between two ticks.
fn spilled(case: &Case) -> Vec<Way> {
    let way = |it: Way| Way { memory: 1, ..it };
    let kill = case.batches.len() / 2;
    let mut ways = vec![
        way(Way { is_flushed: true, ..STRAIGHT }),
        way(Way { killed_after: Some(kill), is_flushed: true, ..STRAIGHT }),
    ];
    if slow() {
        ways.extend(straight(case).into_iter().map(way));
        ways.extend(killed(case).into_iter().map(way));
        ways.extend(resharded(case).into_iter().map(way));
        if !case.depends_on_ticks() {
            ways.push(way(Way { ticks: Ticks::Each, ..STRAIGHT }));
        }
    }
    ways
}

async fn go_all(case: &Case, ways: Vec<Way>) -> Result<(), String> {
    let plan = case.plan().await.map_err(|it| format!("{}: {it}", case.name))?;
    for way in ways {
        go(case, &plan, way).await?;
    }
    Ok(())
}

/// Runs all cases, and tells every one that differs.
async fn run(ways: impl Fn(&Case) -> Vec<Way>) {
    let mut faults = Vec::new();
    for case in cases().iter().filter(|it| pending(&it.name).is_none()) {
        faults.extend(go_all(case, ways(case)).await.err());
    }
    assert!(faults.is_empty(), "{} cases fail\n\n{}", faults.len(), faults.join("\n\n"));
}

#[tokio::test]
async fn every_case_gives_one_answer_straight_through() {
    run(straight).await;
}

#[tokio::test]
async fn every_case_gives_one_answer_killed_between_any_two_epochs() {
    run(killed).await;
}

#[tokio::test]
async fn every_case_gives_one_answer_killed_before_its_first_epoch() {
    run(replayed).await;
}

#[tokio::test]
async fn every_case_gives_one_answer_written_in_some_shards_and_resumed_in_others() {
    run(resharded).await;
}

#[tokio::test]
async fn every_case_gives_one_answer_with_its_state_on_disk() {
    run(spilled).await;
}

#[tokio::test]
async fn what_is_pending_does_not_work_yet() {
    let cases = cases();
    let mut faults = Vec::new();
    for (name, reason) in PENDING.iter().filter(|(it, _)| it.starts_with(&wanted())) {
        let Some(case) = cases.iter().find(|it| it.name == *name) else {
            faults.push(format!("there is no case `{name}`: take it off PENDING"));
            continue;
        };
        let ways = [straight, killed, replayed, resharded, spilled].map(|it| it(case)).concat();
        match go_all(case, ways).await {
            Ok(()) => faults.push(format!("`{name}` works now: take it off PENDING")),
            Err(fault) => println!("pending: {name}: {reason}\n  {fault}"),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_rows_expected_are_those_that_duckdb_gives() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/bin/python");
    if !python.is_file() {
        println!("skipped: no target/peers; `cargo xtask peers` makes it");
        return;
    }
    let script = folder().join("expect.py");
    let ran = std::process::Command::new(python).arg(script).arg("--check").output().unwrap();
    let told = [ran.stdout, ran.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    assert!(ran.status.success(), "{}\nrun cases/expect.py and look at the changes", told.concat());
}
