//! Tests of `history`: a version is what it was, for as long as it is promised.

use base::time::ManualClock;
use base::{Clock, Epoch, Span};
use datafusion::prelude::SessionContext;
use proptest::prelude::*;
use rows::sink::{Change, Replace, Sink};

use super::*;
use crate::layout::Rest;
use crate::table::tests::{MINUTE_US, append, batch, clock, lake_at, layout, put};
use crate::{Lake, Layout, Settings};

const BUDGET: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

fn kept(hours: u64) -> Layout {
    let history = Some(Span::from_millis(hours * 3_600_000));
    Layout { rest: Rest { history, ..Rest::default() }, ..layout("t") }
}

fn lake_of(folder: &Path, clock: &Arc<ManualClock>, settings: Settings) -> Lake {
    let clock: Arc<dyn Clock> = Arc::new(Arc::clone(clock));
    Lake::open(folder, settings, clock).unwrap()
}

pub(crate) async fn rows_of(past: &Past) -> Vec<i64> {
    let context = SessionContext::new();
    let rows = context.read_table(Arc::clone(&past.rows)).unwrap();
    let batches = rows.select_columns(&["orders"]).unwrap().collect().await.unwrap();
    let mut rows: Vec<i64> = batches
        .iter()
        .flat_map(|it| {
            use arrow::array::AsArray as _;
            it.column(0).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
        })
        .collect();
    rows.sort_unstable();
    rows
}

async fn at(table: &LakeTable, version: u64) -> Vec<i64> {
    rows_of(&table.as_of(AsOf::Version(version)).await.unwrap()).await
}

async fn refusal(table: &LakeTable, asked: AsOf) -> String {
    table.as_of(asked).await.unwrap_err().to_string()
}

async fn one(table: &LakeTable, epoch: u64) {
    let number = i64::try_from(epoch).unwrap();
    put(table, epoch, append(&[(Some(0), Some("FR"), number, None)])).await;
}

#[tokio::test]
async fn a_version_is_asked_for_by_number_and_by_moment() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let began_ms = clock.now_ms();
    let table = lake_at(folder.path(), &clock).table(layout("t")).await.unwrap();
    for epoch in 1..4 {
        clock.advance(Duration::from_secs(60));
        one(&table, epoch).await;
    }
    assert_eq!(at(&table, 0).await, Vec::<i64>::new());
    assert_eq!(at(&table, 2).await, [1, 2]);
    assert_eq!(at(&table, 3).await, [1, 2, 3]);
    let moment =
        |seconds: u64| AsOf::Moment(i64::try_from(began_ms * 1_000 + seconds * 1_000_000).unwrap());
    for (seconds, version) in [(0, 0), (59, 0), (60, 1), (119, 1), (120, 2), (180, 3)] {
        let past = table.as_of(moment(seconds)).await.unwrap();
        assert_eq!(past.version, version, "after {seconds} seconds");
    }
    assert_eq!(
        refusal(&table, AsOf::Version(4)).await,
        "version 4 of table `t` is not written yet: the newest is 3"
    );
    assert!(refusal(&table, moment(181)).await.ends_with("lies in the future"));
    let before = AsOf::Moment(0);
    assert_eq!(
        refusal(&table, before).await,
        "the rows that table `t` had at 1970-01-01T00:00:00Z are gone, or were not yet: the oldest \
         version that can be asked for is 0, of 2026-01-05T10:00:00Z"
    );
}

#[tokio::test]
async fn versions_stay_for_the_history_and_are_then_refused() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let settings = Settings { checkpoint_commits: 4, ..Settings::default() };
    let lake = lake_of(folder.path(), &clock, settings.clone());
    let table = lake.table(kept(24)).await.unwrap();
    // Two days of an hour each; every hour all rows are replaced.
    for epoch in 1..49 {
        clock.advance(HOUR);
        let number = i64::try_from(epoch).unwrap();
        let rows = batch(&[(Some(0), None, number, None)]);
        put(&table, epoch, Change::new(vec![rows], Replace::All)).await;
        lake.maintain(BUDGET).await.unwrap();
    }
    drop((lake, table));
    // What is known of files that left survives the program.
    let lake = lake_of(folder.path(), &clock, settings);
    let table = lake.table(kept(24)).await.unwrap();
    let done = lake.maintain(BUDGET).await.unwrap();
    assert_eq!(done.files_swept, 0, "a start sweeps no more than was swept before: {done:?}");
    for version in 24..49 {
        let number = i64::try_from(version).unwrap();
        assert_eq!(at(&table, version).await, [number]);
    }
    assert_eq!(
        refusal(&table, AsOf::Version(23)).await,
        "version 23 of table `t` is gone: the oldest version that can be asked for is 24, of \
         2026-01-06T10:00:00Z"
    );
    let told = table.versions().await.unwrap();
    let asked: Vec<u64> = told.iter().filter(|it| it.can_be_asked).map(|it| it.version).collect();
    assert_eq!(asked, (24..49).collect::<Vec<_>>());
    let parquet = std::fs::read_dir(table.folder()).unwrap();
    let parquet = parquet.filter(|it| it.as_ref().unwrap().path().extension().is_some());
    // Those of the versions that can be asked for, and of one that a question may still read.
    assert_eq!(parquet.count(), 26);
}

#[tokio::test]
async fn a_file_goes_in_time_however_often_the_program_starts() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let mut swept = 0;
    for start in 1..60 {
        let lake = lake_at(folder.path(), &clock);
        let table = lake.table(kept(24)).await.unwrap();
        let rows = batch(&[(Some(0), None, start, None)]);
        let change = Change::new(vec![rows], Replace::All);
        put(&table, start.unsigned_abs(), change).await;
        swept += lake.maintain(BUDGET).await.unwrap().files_swept;
        clock.advance(HOUR);
    }
    // Those that left a day and ten minutes ago, or longer.
    assert_eq!(swept, 33);
}

#[tokio::test]
async fn the_log_tells_what_each_version_did() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let settings = Settings { checkpoint_commits: 4, replaced_kept: HOUR, ..Settings::default() };
    let lake = lake_of(folder.path(), &clock, settings);
    let table = lake.table(layout("t")).await.unwrap();
    for epoch in 1..9 {
        one(&table, epoch).await;
    }
    lake.maintain(BUDGET).await.unwrap();
    let told = table.versions().await.unwrap();
    let short = |it: &VersionFacts| {
        (it.version, it.operation.clone(), it.epoch, it.added, it.removed, it.files, it.rows)
    };
    let told: Vec<_> = told.iter().map(short).collect();
    assert_eq!(told.len(), 10);
    assert_eq!(told[0], (0, "CREATE TABLE".to_owned(), None, 0, 0, 0, 0));
    assert_eq!(told[8], (8, "WRITE".to_owned(), Some(8), 1, 0, 8, 8));
    assert_eq!(told[9], (9, "OPTIMIZE".to_owned(), None, 1, 8, 1, 8));
    // Once the log begins with a checkpoint, what it says is the same.
    clock.advance(HOUR * 2);
    one(&table, 9).await;
    lake.maintain(BUDGET).await.unwrap();
    let cut = table.versions().await.unwrap();
    assert_eq!((cut[0].version, cut[0].files, cut[0].rows), (9, 1, 8));
    assert_eq!((cut[1].version, cut[1].files, cut[1].rows), (10, 2, 9));
}

#[tokio::test]
async fn files_are_counted_by_size() {
    let folder = tempfile::tempdir().unwrap();
    let table = lake_at(folder.path(), &clock()).table(layout("t")).await.unwrap();
    for epoch in 1..4 {
        one(&table, epoch).await;
    }
    let classes = table.file_sizes();
    assert_eq!((classes[0].files, classes[0].rows, classes[0].bytes_max), (3, 3, Some(64 << 10)));
    assert_eq!(classes.iter().map(|it| it.bytes).sum::<u64>(), table.facts().bytes);
    assert_eq!(classes.last().unwrap().bytes_max, None);
}

#[tokio::test]
async fn an_earlier_version_has_the_columns_of_then() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let lake = lake_at(folder.path(), &clock);
    let table = lake.table(layout("t")).await.unwrap();
    one(&table, 1).await;
    let mut fields = layout("t").schema.fields().to_vec();
    fields.push(Arc::new(arrow::datatypes::Field::new(
        "channel",
        arrow::datatypes::DataType::Utf8View,
        true,
    )));
    let schema = Arc::new(arrow::datatypes::Schema::new(fields));
    let table = lake.table(Layout { schema, ..layout("t") }).await.unwrap();
    assert_eq!(table.provider().schema().fields().len(), 5);
    let past = table.as_of(AsOf::Version(1)).await.unwrap();
    assert_eq!(past.rows.schema().fields().len(), 4);
    assert_eq!(rows_of(&past).await, [1]);
}

/// What a test does to a table.
#[derive(Debug, Clone)]
enum Deed {
    Append(u8),
    Windows(u8),
    All,
    Wait(u8),
    Maintain,
    Restart,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (0_u8..4).prop_map(Deed::Append),
        2 => (0_u8..4).prop_map(Deed::Windows),
        1 => Just(Deed::All),
        3 => (1_u8..40).prop_map(Deed::Wait),
        3 => Just(Deed::Maintain),
        1 => Just(Deed::Restart),
    ]
}

/// Follows a table and asks for versions of it: those that are promised are what they were, and
/// the others are refused or what they were, never something else.
async fn follow(deeds: Vec<Deed>) {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let settings = Settings { compact_files_min: 3, checkpoint_commits: 3, ..Settings::default() };
    let mut lake = lake_of(folder.path(), &clock, settings.clone());
    let mut table = lake.table(kept(2)).await.unwrap();
    let mut rows: Vec<(u8, i64)> = Vec::new();
    // Per version: when it was written, and its rows.
    let mut known: Vec<(u64, Vec<i64>)> = vec![(clock.now_ms(), Vec::new())];
    let mut epoch = 0;
    for deed in deeds {
        let minute = |it: u8| Some(i64::from(it) * MINUTE_US);
        let number = i64::try_from(epoch + 1).unwrap();
        let change = match deed {
            Deed::Append(at) => {
                rows.push((at, number));
                Some(append(&[(minute(at), None, number, None)]))
            }
            Deed::Windows(at) => {
                rows.retain(|(it, _)| *it != at);
                rows.push((at, number));
                let starts = minute(at).into_iter().collect();
                let column = "minute".to_owned();
                let replace = Replace::Windows { column, starts, span_us: 1 };
                Some(Change::new(vec![batch(&[(minute(at), None, number, None)])], replace))
            }
            Deed::All => {
                rows.clear();
                Some(Change::new(Vec::new(), Replace::All))
            }
            Deed::Wait(minutes) => {
                clock.advance(Duration::from_secs(60 * u64::from(minutes)));
                None
            }
            Deed::Maintain => {
                lake.maintain(BUDGET).await.unwrap();
                None
            }
            Deed::Restart => {
                drop((table, lake));
                lake = lake_of(folder.path(), &clock, settings.clone());
                table = lake.table(kept(2)).await.unwrap();
                None
            }
        };
        if let Some(change) = change {
            epoch += 1;
            put(&table, epoch, change).await;
        }
        assert_eq!(table.committed().await.unwrap(), Epoch(epoch));
        let newest = usize::try_from(table.facts().version).unwrap();
        let mut now: Vec<i64> = rows.iter().map(|(_, number)| *number).collect();
        now.sort_unstable();
        while known.len() <= newest {
            known.push((clock.now_ms(), now.clone()));
        }
    }
    let since_ms = clock.now_ms() - 2 * 3_600_000;
    for (version, (_, rows)) in known.iter().enumerate() {
        let number = u64::try_from(version).unwrap();
        let next_ms = known.get(version + 1).map(|(made_ms, _)| *made_ms);
        match table.as_of(AsOf::Version(number)).await {
            Ok(past) => assert_eq!(&rows_of(&past).await, rows, "version {version}"),
            Err(error) => {
                assert!(matches!(error, Error::Past { is_gone: true, .. }), "{error}");
                let was_over = next_ms.is_some_and(|it| it <= since_ms);
                assert!(was_over, "version {version} is promised: {error}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn versions_are_what_they_were(deeds in prop::collection::vec(deed(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(follow(deeds));
    }
}
