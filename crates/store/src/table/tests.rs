//! Tests of `table`: rows arrive exactly once, whatever fails, and windows are replaced alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Decimal128Array, Int64Array, RecordBatch, StringViewArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use base::time::ManualClock;
use base::{Clock, Epoch, Name};
use datafusion::prelude::SessionContext;
use rows::sink::{Actions, Change, Replace, Sink};

use crate::{Lake, LakeTable, Layout, Settings};

pub(crate) const MINUTE_US: i64 = 60_000_000;

pub(crate) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// `minute, region, orders, revenue`.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("minute", timestamp(), true),
        Field::new("region", DataType::Utf8View, true),
        Field::new("orders", DataType::Int64, false),
        Field::new("revenue", DataType::Decimal128(12, 2), true),
    ]))
}

pub(crate) type Row = (Option<i64>, Option<&'static str>, i64, Option<i128>);

pub(crate) fn batch(rows: &[Row]) -> RecordBatch {
    let minutes: TimestampMicrosecondArray = rows.iter().map(|it| it.0).collect();
    let revenue: Decimal128Array = rows.iter().map(|it| it.3).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(minutes.with_timezone("UTC")),
        Arc::new(rows.iter().map(|it| it.1).collect::<StringViewArray>()),
        Arc::new(rows.iter().map(|it| it.2).collect::<Int64Array>()),
        Arc::new(revenue.with_precision_and_scale(12, 2).unwrap()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

pub(crate) fn append(rows: &[Row]) -> Change {
    Change::new(vec![batch(rows)], Replace::Nothing)
}

pub(crate) fn layout(name: &str) -> Layout {
    Layout {
        name: Name::new(name).unwrap(),
        schema: schema(),
        comments: BTreeMap::new(),
        partition: None,
        keep: None,
        rest: crate::Rest::default(),
        time: Some("minute".to_owned()),
        flow: "sales".to_owned(),
        incarnation: "1".to_owned(),
    }
}

pub(crate) fn clock() -> Arc<ManualClock> {
    ManualClock::at(1_767_607_200_000)
}

pub(crate) fn lake(folder: &std::path::Path) -> Lake {
    lake_at(folder, &clock())
}

pub(crate) fn lake_at(folder: &std::path::Path, clock: &Arc<ManualClock>) -> Lake {
    let clock: Arc<dyn Clock> = Arc::new(Arc::clone(clock));
    Lake::open(folder, Settings::default(), clock).unwrap()
}

/// Opens the table as after a restart.
pub(crate) async fn open(folder: &std::path::Path, layout: Layout) -> Arc<LakeTable> {
    lake(folder).table(layout).await.unwrap()
}

pub(crate) async fn put(table: &LakeTable, epoch: u64, change: Change) {
    let actions = table.prepare(Epoch(epoch), change).await.unwrap();
    table.commit(Epoch(epoch), actions).await.unwrap();
}

/// Returns the answer in a plain session, as one text a row, sorted.
pub(crate) async fn ask(table: &LakeTable, sql: &str) -> Vec<String> {
    let context = SessionContext::new();
    context.register_table("t", table.provider()).unwrap();
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    let text = arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
    let lines = text.lines().skip(3).filter(|it| !it.starts_with('+'));
    let mut lines: Vec<String> = lines
        .map(|it| {
            let cells = it.trim_matches('|').split('|').map(str::trim);
            cells.collect::<Vec<_>>().join(" ")
        })
        .collect();
    lines.sort();
    lines
}

pub(crate) async fn count(table: &LakeTable) -> i64 {
    let context = SessionContext::new();
    context.register_table("t", table.provider()).unwrap();
    let batches = context.sql("SELECT count(*), sum(orders) FROM t").await.unwrap();
    let batches = batches.collect().await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

fn three() -> Change {
    append(&[
        (Some(0), Some("FR"), 1, Some(1_050)),
        (Some(MINUTE_US), Some(""), 2, None),
        (None, None, 3, Some(-1)),
    ])
}

#[tokio::test]
async fn rows_come_back_as_they_went_in() {
    let folder = tempfile::tempdir().unwrap();
    let table = open(folder.path(), layout("t")).await;
    put(&table, 1, three()).await;
    let seen = ["1970-01-01T00:00:00Z FR 1 10.50", "1970-01-01T00:01:00Z  2 ", "  3 -0.01"];
    let mut seen: Vec<_> = seen.map(str::to_owned).into();
    seen.sort();
    assert_eq!(ask(&table, "SELECT * FROM t").await, seen);
    assert_eq!(ask(&table, "SELECT orders FROM t WHERE region = ''").await, ["2"]);
    assert_eq!(ask(&table, "SELECT orders FROM t WHERE region IS NULL").await, ["3"]);
    assert_eq!(table.provider().schema(), schema());
    // After a restart too, and through the log alone.
    let table = open(folder.path(), layout("t")).await;
    assert_eq!(ask(&table, "SELECT * FROM t").await, seen);
    assert_eq!(table.committed().await.unwrap(), Epoch(1));
    assert_eq!(table.facts().rows, 3);
}

#[tokio::test]
async fn nothing_is_visible_before_commit_and_twice_is_once() {
    let folder = tempfile::tempdir().unwrap();
    let table = open(folder.path(), layout("t")).await;
    let actions = table.prepare(Epoch(1), three()).await.unwrap();
    assert_eq!(count(&table).await, 0);
    assert_eq!(table.committed().await.unwrap(), Epoch(0));
    let text = serde_json::to_string(&actions).unwrap();
    drop(table);

    let table = open(folder.path(), layout("t")).await;
    let actions: Actions = serde_json::from_str(&text).unwrap();
    assert_eq!(count(&table).await, 0);
    for _ in 0..3 {
        table.commit(Epoch(1), actions.clone()).await.unwrap();
        assert_eq!(count(&table).await, 3);
    }
    let table = open(folder.path(), layout("t")).await;
    table.commit(Epoch(1), actions).await.unwrap();
    assert_eq!((count(&table).await, table.facts().version), (3, 1));
}

#[tokio::test]
async fn an_epoch_without_rows_commits_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let table = open(folder.path(), layout("t")).await;
    put(&table, 1, Change::new(Vec::new(), Replace::Nothing)).await;
    assert_eq!((table.facts().version, table.committed().await.unwrap()), (0, Epoch(0)));
    put(&table, 2, three()).await;
    assert_eq!(table.committed().await.unwrap(), Epoch(2));
    // An empty change that replaces something does commit.
    put(&table, 3, Change::new(Vec::new(), Replace::All)).await;
    assert_eq!((count(&table).await, table.facts().files), (0, 0));
}

#[tokio::test]
async fn windows_are_replaced_and_their_neighbours_stay() {
    let folder = tempfile::tempdir().unwrap();
    let table = open(folder.path(), layout("t")).await;
    put(&table, 1, three()).await;
    put(&table, 2, append(&[(Some(MINUTE_US), Some("DE"), 4, None)])).await;
    put(&table, 3, append(&[(Some(9 * MINUTE_US), Some("IT"), 5, None)])).await;
    let untouched = table.provider();
    let windows =
        Replace::Windows { column: "minute".to_owned(), starts: vec![MINUTE_US, 7], span_us: 1 };
    let rows = vec![batch(&[(Some(MINUTE_US), Some("DE"), 40, None)])];
    let change = Change::new(rows, windows);
    put(&table, 4, change).await;
    assert_eq!(ask(&table, "SELECT orders FROM t").await, ["1", "3", "40", "5"]);
    assert_eq!(table.facts().files, 3);
    // Whoever asked before still sees the old rows.
    let context = SessionContext::new();
    context.register_table("t", untouched).unwrap();
    let before = context.sql("SELECT sum(orders) FROM t").await.unwrap().collect().await.unwrap();
    assert_eq!(before[0].column(0).as_primitive::<Int64Type>().value(0), 15);
}

#[tokio::test]
async fn a_change_that_does_not_fit_is_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let table = open(folder.path(), layout("t")).await;
    let stranger = Schema::new(vec![Field::new("colour", DataType::Int64, true)]);
    let rows = RecordBatch::try_new(Arc::new(stranger), vec![Arc::new(Int64Array::from(vec![1]))]);
    let change = Change::new(vec![rows.unwrap()], Replace::Nothing);
    let error = table.prepare(Epoch(1), change).await.unwrap_err().to_string();
    assert!(error.contains("no column `colour`"), "{error}");
    let starts = Replace::Windows { column: "region".to_owned(), starts: vec![0], span_us: 1 };
    let error = table.prepare(Epoch(1), Change::new(Vec::new(), starts)).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("`region` is Utf8View, not a timestamp"), "{error}");
    let error = table.commit(Epoch(1), Actions(serde_json::json!({"x": 1}))).await.unwrap_err();
    assert_eq!(error.kind(), base::Kind::Invalid);
}

#[tokio::test]
async fn a_file_that_is_not_what_it_was_is_damage_and_is_not_committed() {
    let folder = tempfile::tempdir().unwrap();
    let table = open(folder.path(), layout("t")).await;
    let actions = table.prepare(Epoch(1), three()).await.unwrap();
    let path = actions.0["add"][0]["path"].as_str().unwrap();
    std::fs::write(table.folder().join(path), b"").unwrap();
    let error = table.commit(Epoch(1), actions).await.unwrap_err();
    assert_eq!(error.kind(), base::Kind::Corrupt, "{error}");
    assert_eq!((count(&table).await, table.committed().await.unwrap()), (0, Epoch(0)));
}

#[tokio::test]
async fn another_program_may_commit_in_between() {
    let folder = tempfile::tempdir().unwrap();
    let table = open(folder.path(), layout("t")).await;
    put(&table, 1, three()).await;
    let actions = table.prepare(Epoch(2), three()).await.unwrap();
    // The other has its own view of the table, and is faster.
    let other = open(folder.path(), Layout { incarnation: "2".to_owned(), ..layout("t") }).await;
    let windows = Replace::Windows { column: "minute".to_owned(), starts: vec![0], span_us: 1 };
    put(&other, 7, Change::new(Vec::new(), windows)).await;
    table.commit(Epoch(2), actions).await.unwrap();
    assert_eq!(ask(&table, "SELECT orders FROM t").await, ["1", "2", "2", "3", "3"]);
    assert_eq!(table.committed().await.unwrap(), Epoch(2));
    assert_eq!(other.committed().await.unwrap(), Epoch(7));
}
