//! Tests of `snapshot`: a version is kept and gone back to, whatever is merged, swept or killed.

use base::Clock;
use base::Span;
use base::time::ManualClock;
use rows::sink::{Change, Replace, Sink as _};
use spec::Snapshots as Asked;

use super::*;
use crate::disk::tests::watched;
use crate::history::tests::rows_of;
use crate::layout::Rest;
use crate::table::tests::{append, ask, batch, clock, lake_at, layout, open, put};
use crate::{Lake, Layout, Settings};

const BUDGET: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

fn kept(keep: u32) -> Layout {
    let every = Span::from_millis(12 * 3_600_000);
    let snapshots = Some(Asked { every, keep });
    Layout { rest: Rest { snapshots, ..Rest::default() }, ..layout("t") }
}

async fn replace_all(table: &LakeTable, epoch: u64) {
    let rows = batch(&[(Some(0), None, i64::try_from(epoch).unwrap(), None)]);
    put(table, epoch, Change::new(vec![rows], Replace::All)).await;
}

fn parquet_files(table: &LakeTable) -> usize {
    let files = std::fs::read_dir(table.folder()).unwrap().map(|it| it.unwrap().path());
    files.filter(|it| it.extension().is_some_and(|it| it == "parquet")).count()
}

#[tokio::test]
async fn the_newest_snapshots_stay_and_older_ones_go_with_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let lake = lake_at(folder.path(), &clock);
    let table = lake.table(kept(2)).await.unwrap();
    // Every hour, for nearly two days.
    for epoch in 1..47 {
        replace_all(&table, epoch).await;
        lake.maintain(BUDGET).await.unwrap();
        clock.advance(HOUR);
    }
    let snapshots = table.snapshots();
    let versions: Vec<u64> = snapshots.iter().map(|it| it.version).collect();
    assert_eq!(versions, [25, 37]);
    assert!(snapshots.iter().all(|it| it.rows == 1 && it.kept_bytes == it.bytes));
    for version in versions {
        let past = table.as_of(AsOf::Version(version)).await.unwrap();
        assert_eq!(rows_of(&past).await, [i64::try_from(version).unwrap()]);
    }
    assert!(table.as_of(AsOf::Version(26)).await.is_err());
    clock.advance(HOUR);
    lake.maintain(BUDGET).await.unwrap();
    // Two of snapshots and the newest.
    assert_eq!(parquet_files(&table), 3);
    // A start knows them too.
    let again = lake_at(folder.path(), &clock).table(kept(2)).await.unwrap();
    assert_eq!(again.snapshots(), snapshots);
}

#[tokio::test]
async fn rows_go_back_to_a_snapshot_and_forth_again() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let lake = lake_at(folder.path(), &clock);
    let table = lake.table(kept(1)).await.unwrap();
    for epoch in 1..4 {
        put(&table, epoch, append(&[(None, None, i64::try_from(epoch).unwrap(), None)])).await;
    }
    lake.maintain(BUDGET).await.unwrap();
    let version = table.snapshots()[0].version;
    replace_all(&table, 4).await;
    clock.advance(HOUR * 5);
    lake.maintain(BUDGET).await.unwrap();
    let restored = table.restore(AsOf::Version(version)).await.unwrap();
    assert_eq!((restored.from, restored.rows_before, restored.rows), (version, 1, 3));
    assert_eq!(ask(&table, "SELECT orders FROM t ORDER BY orders").await, ["1", "2", "3"]);
    // The flow goes on where it was.
    assert_eq!(table.committed().await.unwrap(), Epoch(4));
    put(&table, 5, append(&[(None, None, 5, None)])).await;
    let same = open(folder.path(), layout("t")).await;
    assert_eq!(ask(&same, "SELECT orders FROM t ORDER BY orders").await, ["1", "2", "3", "5"]);
    // What was there before can be had back, and going back twice changes nothing.
    let before = restored.version - 1;
    assert_eq!(rows_of(&table.as_of(AsOf::Version(before)).await.unwrap()).await, [4]);
    let forth = table.restore(AsOf::Version(before)).await.unwrap();
    assert_eq!((forth.rows_before, forth.rows), (4, 1));
    let twice = table.restore(AsOf::Version(before)).await.unwrap();
    assert_eq!((twice.version, twice.rows), (forth.version, 1));
}

#[tokio::test]
async fn a_file_that_is_gone_is_told_before_anything_changes() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let lake = lake_at(folder.path(), &clock);
    let table = lake.table(kept(1)).await.unwrap();
    replace_all(&table, 1).await;
    lake.maintain(BUDGET).await.unwrap();
    let version = table.snapshots()[0].version;
    let file = table.snapshot_of(version).unwrap().files[0].path.clone();
    replace_all(&table, 2).await;
    std::fs::remove_file(table.folder().join(&file)).unwrap();
    let error = table.restore(AsOf::Version(version)).await.unwrap_err();
    assert!(error.to_string().contains(&file), "{error}");
    assert_eq!(ask(&table, "SELECT orders FROM t").await, ["2"]);
}

#[tokio::test]
async fn a_version_with_other_columns_is_refused_with_a_way_to_its_rows() {
    use arrow::datatypes::{DataType, Field, Schema};
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let lake = lake_at(folder.path(), &clock);
    let thin = |kind| Layout {
        schema: Arc::new(Schema::new(vec![Field::new("orders", kind, true)])),
        time: None,
        ..layout("t")
    };
    let table = lake.table(thin(DataType::Int32)).await.unwrap();
    let table = {
        drop(table);
        lake.table(thin(DataType::Int64)).await.unwrap()
    };
    let error = table.restore(AsOf::Version(0)).await.unwrap_err();
    assert!(error.to_string().contains("VERSION AS OF 0"), "{error}");
}

/// Takes snapshots, replaces, merges and goes back, from what the last run left, until it is done
/// or killed.
async fn run(folder: &Path, clock: &Arc<ManualClock>, disk: Disk) -> bool {
    let settings = Settings {
        replaced_kept: Duration::ZERO,
        compact_files_min: 2,
        checkpoint_commits: 2,
        ..Settings::default()
    };
    let shared: Arc<dyn Clock> = Arc::new(Arc::clone(clock));
    let Ok(lake) = Lake::on_disk(folder, settings, shared, disk) else { return false };
    let Ok(table) = lake.table(kept(1)).await else { return false };
    let Ok(done) = table.committed().await else { return false };
    for epoch in done.0 + 1..5 {
        let change = append(&[(None, None, i64::try_from(epoch).unwrap(), None)]);
        let epoch = Epoch(epoch);
        let Ok(actions) = table.prepare(epoch, change).await else { return false };
        if table.commit(epoch, actions).await.is_err() || lake.maintain(BUDGET).await.is_err() {
            return false;
        }
    }
    clock.advance(HOUR);
    let Some(version) = table.snapshots().first().map(|it| it.version) else { return false };
    table.restore(AsOf::Version(version)).await.is_ok() && lake.maintain(BUDGET).await.is_ok()
}

#[tokio::test]
async fn killed_at_any_step_a_snapshot_can_be_gone_back_to() {
    let step = if std::env::var_os("SLOW").is_some() { 1 } else { 5 };
    let mut cut = 0;
    loop {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock();
        let (disk, notes) = watched();
        notes.cut_after(cut);
        let was_cut = !run(folder.path(), &clock, disk).await || notes.is_cut();
        assert!(run(folder.path(), &clock, Disk::default()).await, "killed after {cut} steps");
        let table = open(folder.path(), kept(1)).await;
        let snapshots = table.snapshots();
        let [snapshot] = snapshots.as_slice() else { panic!("one is kept: {snapshots:?}") };
        let past = table.as_of(AsOf::Version(snapshot.version)).await.unwrap();
        let rows = ask(&table, "SELECT orders FROM t ORDER BY orders").await;
        let then = rows_of(&past).await.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(rows, then, "killed after {cut} steps");
        assert!(then.first().is_some_and(|it| it == "1"), "killed after {cut} steps: {then:?}");
        if !was_cut {
            break;
        }
        cut += step;
    }
    assert!(30 < cut, "a run has more steps than {cut}");
}
