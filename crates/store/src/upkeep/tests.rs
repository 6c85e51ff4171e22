//! Tests of `upkeep`: a table stays small and keeps its rows, also while commits go on.

use std::sync::Arc;
use std::time::Duration;

use base::time::{ManualClock, SystemClock};
use base::{Clock, Epoch, Span};
use proptest::prelude::*;
use rows::sink::{Change, Replace, Sink};

use super::*;
use crate::table::tests::{
    MINUTE_US, append, ask, batch, clock, count, lake_at, layout, open, put,
};
use crate::{Lake, Layout, Settings};

const BUDGET: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

fn parquet_files(table: &LakeTable) -> usize {
    files_in(table.folder()).unwrap().len()
}

async fn many(table: &LakeTable, epochs: std::ops::Range<u64>) {
    for epoch in epochs {
        put(table, epoch, append(&[(Some(0), Some("FR"), 1, Some(1))])).await;
    }
}

#[tokio::test]
async fn small_files_are_merged_and_swept_when_readers_had_their_time() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let lake = lake_at(folder.path(), &clock);
    let table = lake.table(layout("t")).await.unwrap();
    many(&table, 1..8).await;
    assert_eq!(lake.maintain(BUDGET).await.unwrap().files_compacted, 0);
    many(&table, 8..11).await;
    assert_eq!(lake.maintain(BUDGET).await.unwrap().files_compacted, 10);
    assert_eq!((table.facts().files, table.facts().rows, count(&table).await), (1, 10, 10));
    assert_eq!(table.committed().await.unwrap(), Epoch(10));
    assert_eq!(parquet_files(&table), 11);
    clock.advance(HOUR / 2);
    assert_eq!(lake.maintain(BUDGET).await.unwrap().files_swept, 0);
    clock.advance(HOUR / 2);
    assert_eq!(lake.maintain(BUDGET).await.unwrap().files_swept, 10);
    assert_eq!((parquet_files(&table), count(&table).await), (1, 10));
    assert_eq!(count(open(folder.path(), layout("t")).await.as_ref()).await, 10);
}

#[tokio::test]
async fn a_partition_at_rest_is_merged_whole() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let lake = lake_at(folder.path(), &clock);
    let region = crate::Partition { column: "region".to_owned(), unit: None };
    let layout = Layout { partition: Some(region), ..layout("t") };
    let table = lake.table(layout).await.unwrap();
    for epoch in 1..4 {
        put(&table, epoch, append(&[(None, Some("FR"), 1, None), (None, Some("DE"), 2, None)]))
            .await;
    }
    assert_eq!(lake.maintain(BUDGET).await.unwrap().files_compacted, 0);
    clock.advance(HOUR * 2);
    assert_eq!(lake.maintain(BUDGET).await.unwrap().files_compacted, 6);
    assert_eq!(table.facts().files, 2);
    let sql = "SELECT region, sum(orders) FROM t GROUP BY region";
    assert_eq!(ask(&table, sql).await, ["DE 6", "FR 3"]);
}

#[tokio::test]
async fn a_prepared_change_survives_all_maintenance() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let lake = lake_at(folder.path(), &clock);
    let table = lake.table(layout("t")).await.unwrap();
    many(&table, 1..10).await;
    let forgotten = table.prepare(Epoch(10), append(&[(None, None, 99, None)])).await.unwrap();
    let windows = Replace::Windows { column: "minute".to_owned(), starts: vec![0], span_us: 1 };
    let change = Change::new(vec![batch(&[(Some(0), None, 7, None)])], windows);
    let actions = table.prepare(Epoch(10), change).await.unwrap();
    for _ in 0..3 {
        lake.maintain(BUDGET).await.unwrap();
        clock.advance(HOUR * 24 * 30);
    }
    // The files it is to replace were merged meanwhile.
    assert_eq!(table.facts().files, 1);
    table.commit(Epoch(10), actions).await.unwrap();
    assert_eq!(ask(&table, "SELECT orders FROM t").await, ["7"]);
    // Only now is it known that the first attempt is of no use.
    let path = forgotten.0["add"][0]["path"].as_str().unwrap();
    assert!(table.folder().join(path).is_file());
    clock.advance(HOUR);
    lake.maintain(BUDGET).await.unwrap();
    clock.advance(HOUR);
    lake.maintain(BUDGET).await.unwrap();
    assert!(!table.folder().join(path).is_file());
    assert_eq!(parquet_files(&table), 1);
}

#[tokio::test]
async fn a_merge_gives_way_to_a_commit() {
    let folder = tempfile::tempdir().unwrap();
    let table = lake_at(folder.path(), &clock()).table(layout("t")).await.unwrap();
    many(&table, 1..10).await;
    let state = table.state.lock().await;
    let (files, place) = (table.to_merge(&state).concat(), table.place(&state));
    drop(state);
    let written = place.merge(Purpose::Again, &files).unwrap();
    // A commit takes one of the files away between the merge and its version.
    put(&table, 10, Change::new(Vec::new(), Replace::All)).await;
    many(&table, 11..12).await;
    let before = parquet_files(&table);
    assert!(!table.swap("OPTIMIZE", files, written, false).await.unwrap());
    assert_eq!((count(&table).await, parquet_files(&table)), (1, before - 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_and_maintenance_go_on_together() {
    let folder = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(clock());
    let settings = Settings {
        compact_files_min: 2,
        checkpoint_commits: 5,
        replaced_kept: Duration::ZERO,
        ..Settings::default()
    };
    let lake = Lake::open(folder.path(), settings, clock).unwrap();
    let table = lake.table(layout("t")).await.unwrap();
    let writer = Arc::clone(&table);
    let (rounds, mut told) = tokio::sync::watch::channel(0);
    let writing = base::task::spawn("writer", async move {
        for epoch in 1..=40 {
            if epoch == 21 {
                // One round is sure to begin and end in between, however slow the others are.
                let now = *told.borrow();
                told.wait_for(|it| now + 1 < *it).await.unwrap();
            }
            let minute = i64::try_from(epoch % 4).unwrap() * MINUTE_US;
            let windows =
                Replace::Windows { column: "minute".to_owned(), starts: vec![minute], span_us: 1 };
            let replace = if epoch % 5 == 0 { windows } else { Replace::Nothing };
            let rows = vec![batch(&[(Some(minute), None, i64::try_from(epoch).unwrap(), None)])];
            put(&writer, epoch, Change::new(rows, replace)).await;
        }
    });
    let mut merged = 0;
    while !writing.is_finished() {
        merged += lake.maintain(BUDGET).await.unwrap().files_compacted;
        rounds.send_modify(|it| *it += 1);
        tokio::task::yield_now().await;
    }
    writing.await.unwrap();
    let mut expected: Vec<(u64, u64)> = Vec::new();
    for epoch in 1..=40 {
        if epoch % 5 == 0 {
            expected.retain(|(minute, _)| *minute != epoch % 4);
        }
        expected.push((epoch % 4, epoch));
    }
    let mut expected: Vec<String> = expected.iter().map(|it| it.1.to_string()).collect();
    expected.sort();
    assert_ne!(merged, 0);
    assert_eq!(ask(&table, "SELECT orders FROM t").await, expected);
    let table = open(folder.path(), layout("t")).await;
    assert_eq!(ask(&table, "SELECT orders FROM t").await, expected);
}

#[tokio::test]
async fn old_rows_go_whole_files_first() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(100 * 60_000);
    let lake = lake_at(folder.path(), &clock);
    let keep: Span = "50 minutes".parse().unwrap();
    let layout = Layout { keep: Some(keep), ..layout("t") };
    let table = lake.table(layout).await.unwrap();
    let at = |minute: i64| (Some(minute * MINUTE_US), None, minute, None);
    put(&table, 1, append(&[at(10), at(49)])).await;
    put(&table, 2, append(&[at(10), at(45), at(51), (None, None, 1_000, None)])).await;
    put(&table, 3, append(&[at(49), at(90)])).await;
    assert_eq!(lake.maintain(BUDGET).await.unwrap().files_expired, 2);
    let orders = "SELECT orders FROM t";
    assert_eq!(ask(&table, orders).await, ["1000", "49", "51", "90"], "few old rows may stay");
    clock.advance(HOUR * 24);
    lake.maintain(BUDGET).await.unwrap();
    assert_eq!(ask(&table, orders).await, ["1000"], "a row without a time has no age");
    assert_eq!(table.committed().await.unwrap(), Epoch(3));
}

#[tokio::test]
async fn the_log_gets_checkpoints_and_forgets() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let settings = Settings { checkpoint_commits: 10, ..Settings::default() };
    let ours: Arc<dyn Clock> = Arc::new(Arc::clone(&clock));
    let lake = Lake::open(folder.path(), settings, ours).unwrap();
    let table = lake.table(layout("t")).await.unwrap();
    let log = table.log.folder();
    many(&table, 1..12).await;
    assert_eq!(lake.maintain(BUDGET).await.unwrap().checkpoints, 1);
    assert_eq!(lake.maintain(BUDGET).await.unwrap().checkpoints, 0);
    many(&table, 12..24).await;
    clock.advance(HOUR);
    assert_eq!(lake.maintain(BUDGET).await.unwrap().checkpoints, 1);
    let names = names_in(&log).unwrap();
    let oldest = names.iter().filter_map(|it| version_of(it)).min().unwrap();
    assert!(10 <= oldest, "{names:?}");
    assert!(names.contains(&"_last_checkpoint".to_owned()), "{names:?}");
    let table = open(folder.path(), layout("t")).await;
    assert_eq!((count(&table).await, table.committed().await.unwrap()), (23, Epoch(23)));
    assert_eq!(ask(&table, "SELECT sum(revenue) FROM t").await, ["0.23"]);
    // Bounds come out of the checkpoint as they went in.
    let view = table.state.lock().await.view();
    assert!(view.files.iter().all(|it| it.times(0).is_some_and(|it| it.max == 0)));
    let has_money = |it: &Arc<LakeFile>| it.column(3).is_some_and(|it| it.min.is_some());
    assert!(view.files.iter().all(has_money));
}

#[tokio::test]
async fn a_thousand_commits_take_no_longer_at_the_end() {
    let commits = if std::env::var_os("SLOW").is_some() { 1_000 } else { 150 };
    println!("{commits} commits; SLOW=1 makes 1000");
    let folder = tempfile::tempdir().unwrap();
    let clock = SystemClock::start();
    let lake = Lake::open(folder.path(), Settings::default(), Arc::clone(&clock)).unwrap();
    let table = lake.table(layout("t")).await.unwrap();
    let mut times = Vec::new();
    for epoch in 1..=commits {
        let actions = table.prepare(Epoch(epoch), append(&[(Some(0), None, 1, None)])).await;
        let actions = actions.unwrap();
        let started = clock.elapsed();
        table.commit(Epoch(epoch), actions).await.unwrap();
        times.push(clock.elapsed() - started);
        if epoch % 25 == 0 {
            lake.maintain(BUDGET).await.unwrap();
        }
    }
    let middle = |part: &[Duration]| {
        let mut part = part.to_vec();
        part.sort();
        part[part.len() / 2]
    };
    let part = times.len() / 3;
    let (first, last) = (middle(&times[..part]), middle(&times[times.len() - part..]));
    println!(
        "commit p50: first third {first:?}, last third {last:?}, max {:?}",
        times.iter().max()
    );
    assert!(last < first * 3 + Duration::from_millis(10), "{first:?} then {last:?}");
    assert!(table.facts().files < 40, "{:?}", table.facts());
    let started = clock.elapsed();
    let table = open(folder.path(), layout("t")).await;
    println!("opened in {:?}", clock.elapsed() - started);
    assert_eq!(table.facts().rows, commits);
}

proptest! {
    #[test]
    fn most_is_at_least_half(min in any::<i64>(), max in any::<i64>(), oldest in any::<i64>()) {
        let (min, max) = (min.min(max), min.max(max));
        prop_assert!(is_mostly_old(min, max, max));
        prop_assert!(is_mostly_old(min, min, min));
        if oldest <= min {
            prop_assert!(!is_mostly_old(min, max, oldest) || min == max);
        }
    }
}

#[test]
fn only_what_no_checkpoint_can_name_is_needless() {
    let epoch = |it| Purpose::Epoch(Epoch(it)).name();
    assert!(is_needless(&epoch(5), Epoch(5), 10, 10));
    assert!(!is_needless(&epoch(6), Epoch(5), u64::MAX, 10), "its commit may be to come");
    assert!(!is_needless(&epoch(5), Epoch(5), 9, 10));
    assert!(is_needless(&Purpose::Again.name(), Epoch(0), 10, 10));
    assert!(is_needless(&Purpose::Cold.name(), Epoch(0), 10, 10));
    assert!(!is_needless("part-0.parquet", Epoch(9), 10, 10), "another program's");
    assert!(is_needless("part-0.parquet", Epoch(9), FOREIGN_KEPT_MS, 10));
}

/// `FILES=100000` is the full number.
#[expect(clippy::disallowed_methods, reason = "a test's own knob, not a setting")]
fn files_wanted() -> u64 {
    let asked = std::env::var("FILES").ok().and_then(|it| it.parse().ok());
    let usual = if std::env::var_os("SLOW").is_some() { 5_000 } else { 1_000 };
    asked.unwrap_or(usual)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_great_many_small_files_become_few_while_commits_go_on() {
    let files = files_wanted();
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path(), Settings::default(), SystemClock::start()).unwrap();
    let table = lake.table(layout("t")).await.unwrap();
    // As another program would leave them: one version that adds them all.
    let state = table.state.lock().await;
    let (place, now_ms) = (table.place(&state), table.now_ms());
    drop(state);
    let add = (0..files).map(|number| {
        let rows = batch(&[(Some(0), Some("FR"), i64::try_from(number).unwrap(), Some(1))]);
        let written = place.write(Purpose::Again, vec![rows], std::iter::empty()).unwrap();
        place.to_add(written.into_iter().next().unwrap(), now_ms, true)
    });
    let version =
        Version { operation: "WRITE", add: add.collect(), data_change: true, ..Version::default() };
    let mut state = table.state.lock().await;
    assert!(table.publish(&mut state, version).await.unwrap());
    drop(state);
    assert_eq!(table.facts().files, files);

    let began = SystemClock::start();
    let (mut epoch, mut merged) = (0, 0);
    while 24 < table.facts().files {
        epoch += 1;
        put(&table, epoch, append(&[(Some(0), Some("FR"), -1, None)])).await;
        let done = lake.maintain(Duration::from_secs(5)).await.unwrap();
        assert_ne!(done.files_compacted, 0, "{} files are left", table.facts().files);
        merged += done.files_compacted;
    }
    let took = began.elapsed().as_secs_f64();
    println!("{files} files in {took:.1} s, {merged} merged, {epoch} commits beside");
    let sql = "SELECT count(*), count(DISTINCT orders), sum(orders) FROM t WHERE 0 <= orders";
    assert_eq!(ask(&table, sql).await, [format!("{files} {files} {}", files * (files - 1) / 2)]);
    assert_eq!(ask(&table, "SELECT count(*) FROM t").await, [(files + epoch).to_string()]);
}

#[tokio::test]
async fn files_whose_rows_are_all_old_are_compressed_strongly_once() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let lake = lake_at(folder.path(), &clock);
    let region = crate::Partition { column: "region".to_owned(), unit: None };
    let rest = crate::Rest { cold: Some(Span::from_millis(3_600_000)), ..crate::Rest::default() };
    let layout = Layout { partition: Some(region), rest, ..layout("t") };
    let table = lake.table(layout.clone()).await.unwrap();
    let now = Some(i64::try_from(clock.now_ms()).unwrap() * 1_000);
    for epoch in [1, 3, 5] {
        let rows = (0..2_000).map(|it| (Some(0), Some("FR"), it, Some(1))).collect::<Vec<_>>();
        put(&table, epoch, append(&rows)).await;
        put(&table, epoch + 1, append(&[(now, Some("DE"), 1, None)])).await;
    }
    put(&table, 20, append(&[(Some(0), Some("IT"), 1, None), (now, Some("IT"), 2, None)])).await;
    let sum = "SELECT region, count(*), sum(orders) FROM t GROUP BY region";
    let before = ask(&table, sum).await;
    let bytes = table.facts().bytes;
    let done = lake.maintain(BUDGET).await.unwrap();
    assert_eq!((done.files_cold, done.files_compacted), (3, 0));
    assert_eq!(ask(&table, sum).await, before);
    assert!(table.facts().bytes < bytes, "{} of {bytes}", table.facts().bytes);
    let cold: u64 = table.file_sizes().iter().map(|it| it.cold_files).sum();
    let all: u64 = table.file_sizes().iter().map(|it| it.files).sum();
    // New rows, and a file that has some, stay as they are.
    assert_eq!((cold, all), (1, 5));
    let last = table.versions().await.unwrap().into_iter().max_by_key(|it| it.version).unwrap();
    assert_eq!(last.operation, "OPTIMIZE");
    let log = table.folder().join(format!("{FOLDER}/{:020}.json", last.version));
    let log = std::fs::read_to_string(log);
    assert!(!log.unwrap().contains("\"dataChange\":true"));
    // Once, and not merged with others.
    clock.advance(HOUR * 24);
    let done = lake.maintain(BUDGET).await.unwrap();
    assert_eq!(done.files_compacted, 3, "those that were not cold");
    assert_eq!(lake.maintain(BUDGET).await.unwrap().files_cold, 0);
    let cold: u64 = table.file_sizes().iter().map(|it| it.cold_files).sum();
    assert_eq!((cold, table.facts().files), (3, 3));
    assert_eq!(ask(&table, sum).await, before);
    let again = open(folder.path(), layout).await;
    assert_eq!(ask(&again, sum).await, before);
}
