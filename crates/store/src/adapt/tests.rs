//! Tests of `adapt`: stored rows follow a changed declaration, or it is refused with advice.

use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field};
use base::{Epoch, Kind};
use rows::sink::{Change, Replace, Sink};
use spec::PartitionUnit;

use super::*;
use crate::Partition;
use crate::table::tests::{
    MINUTE_US, append, ask, count, lake, layout, open, put, schema as columns, timestamp,
};

fn with(change: impl Fn(&mut Vec<Field>)) -> Layout {
    let columns = columns();
    let mut fields: Vec<Field> = columns.fields().iter().map(|it| it.as_ref().clone()).collect();
    change(&mut fields);
    Layout { schema: Arc::new(Schema::new(fields)), ..layout("t") }
}

async fn filled(folder: &Path) -> Arc<LakeTable> {
    let table = open(folder, layout("t")).await;
    put(&table, 1, append(&[(Some(0), Some("FR"), 1, Some(105)), (None, None, 2, None)])).await;
    table
}

async fn refused(folder: &Path, layout: Layout, expected: &str) {
    let error = lake(folder).table(layout).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    let error = error.to_string();
    assert!(error.contains(expected), "{error}");
}

#[tokio::test]
async fn a_new_column_is_null_in_stored_rows() {
    let folder = tempfile::tempdir().unwrap();
    let old = filled(folder.path()).await;
    let actions = old.prepare(Epoch(2), append(&[(Some(7), Some("IT"), 3, None)])).await.unwrap();
    let layout = with(|it| it.insert(0, Field::new("shop", DataType::Utf8View, true)));
    let table = open(folder.path(), layout.clone()).await;
    assert_eq!(ask(&table, "SELECT shop, orders FROM t").await, [" 1", " 2"]);
    // What was prepared before the change is committed after it.
    table.commit(Epoch(2), actions).await.unwrap();
    let sql = "SELECT orders, shop FROM t WHERE shop IS NULL";
    assert_eq!(ask(&table, sql).await, ["1 ", "2 ", "3 "]);
    assert_eq!(ask(&table, "SELECT orders FROM t WHERE shop = 'x'").await.len(), 0);
    let version = table.facts().version;
    assert_eq!(open(folder.path(), layout).await.facts().version, version, "once is enough");
}

/// Returns what the log says about columns.
async fn told(table: &LakeTable) -> BTreeMap<String, String> {
    let read = table.log.read(&layout("t").app_id()).await.unwrap();
    schema::comments(&read.metadata.schema_string)
}

#[tokio::test]
async fn what_is_said_about_columns_is_told_to_other_programs() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let said = |of: &[(&str, &str)]| {
        let comments = of.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        Layout { comments: comments.collect(), ..layout("t") }
    };
    let lake = lake(folder.path());
    let first = said(&[("region", "where it was sold"), ("revenue", "with tax")]);
    let table = lake.table(first.clone()).await.unwrap();
    let version = table.facts().version;
    assert_eq!(told(&table).await, first.comments);
    lake.table(first.clone()).await.unwrap();
    assert_eq!(open(folder.path(), first).await.facts().version, version, "once is enough");
    // While it is open, and what is said no longer is gone; a name that is no column does no harm.
    let second = said(&[("revenue", "without tax"), ("nobody", "is that")]);
    let table = open(folder.path(), second).await;
    assert_eq!(told(&table).await, said(&[("revenue", "without tax")]).comments);
    assert_eq!(table.facts().version, version + 1);
    assert_eq!(count(&table).await, 2, "no file is written again");
    assert_eq!(table.facts().files, 1);
    let kept = with(|it| drop(it.remove(1)));
    let table = open(folder.path(), kept).await;
    assert_eq!(told(&table).await, BTreeMap::new());
}

#[tokio::test]
async fn a_column_no_longer_declared_is_hidden_and_survives_compaction() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let narrow = with(|it| drop(it.remove(1)));
    let lake = lake(folder.path());
    let table = lake.table(narrow.clone()).await.unwrap();
    for epoch in 2..12 {
        let batch = RecordBatch::try_from_iter([(
            "orders",
            Arc::new(Int64Array::from(vec![3])) as arrow::array::ArrayRef,
        )]);
        let change = Change::new(vec![batch.unwrap()], Replace::Nothing);
        put(&table, epoch, change).await;
    }
    assert_eq!(
        ask(&table, "SELECT * FROM t WHERE orders = 1").await,
        ["1970-01-01T00:00:00Z 1 1.05"]
    );
    assert_eq!(lake.maintain(Duration::from_secs(9)).await.unwrap().files_compacted, 11);
    let table = open(folder.path(), layout("t")).await;
    assert_eq!((table.facts().files, count(&table).await), (1, 12));
    assert_eq!(ask(&table, "SELECT orders FROM t WHERE region = 'FR'").await, ["1"]);
}

#[tokio::test]
async fn a_type_grows_with_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let old = filled(folder.path()).await;
    let actions = old.prepare(Epoch(2), append(&[(Some(7), None, 3, Some(-5))])).await.unwrap();
    let wide = with(|it| it[3] = Field::new("revenue", DataType::Decimal128(20, 4), true));
    let table = open(folder.path(), wide.clone()).await;
    table.commit(Epoch(2), actions).await.unwrap();
    let sql = "SELECT orders, revenue FROM t";
    assert_eq!(ask(&table, sql).await, ["1 1.0500", "2 ", "3 -0.0500"]);
    let table = open(folder.path(), wide).await;
    assert_eq!(ask(&table, sql).await, ["1 1.0500", "2 ", "3 -0.0500"]);
    assert_eq!(table.committed().await.unwrap(), Epoch(2));
    refused(folder.path(), layout("t"), "stored as decimal(20,4) and cannot become").await;
}

#[tokio::test]
async fn what_would_lose_values_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let strict = with(|it| it[1] = Field::new("region", DataType::Utf8View, false));
    refused(folder.path(), strict, "`region`, so it cannot be `not null`; leave out").await;
    let other = with(|it| it[2] = Field::new("orders", timestamp(), true));
    refused(folder.path(), other, "move the table's folder away").await;
    let odd = with(|it| it.push(Field::new("sum(x)", DataType::Int64, true)));
    refused(folder.path(), odd, "write `AS name` behind it").await;
    let hour = Partition { column: "region".to_owned(), unit: Some(PartitionUnit::Hour) };
    let odd = Layout { partition: Some(hour), ..layout("t") };
    refused(folder.path(), odd, "write `partition = \"region\"`").await;
    // Nothing of all that was written.
    assert_eq!(open(folder.path(), layout("t")).await.facts().version, 1);
}

#[tokio::test]
async fn other_partitions_move_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    let old = filled(folder.path()).await;
    let prepared = append(&[(Some(40 * 24 * 60 * MINUTE_US), None, 3, None)]);
    let actions = old.prepare(Epoch(2), prepared).await.unwrap();
    let by = |unit| Layout {
        partition: Some(Partition { column: "minute".to_owned(), unit: Some(unit) }),
        ..layout("t")
    };
    let table = open(folder.path(), by(PartitionUnit::Month)).await;
    assert_eq!(table.facts().files, 2);
    table.commit(Epoch(2), actions).await.unwrap();
    assert_eq!((table.facts().files, count(&table).await), (3, 3));
    assert!(table.folder().join("_month=1970-02").is_dir());
    let table = open(folder.path(), by(PartitionUnit::Day)).await;
    assert!(table.folder().join("_day=1970-02-10").is_dir());
    assert_eq!(count(&table).await, 3);
    let table = open(folder.path(), layout("t")).await;
    assert_eq!(ask(&table, "SELECT orders FROM t").await, ["1", "2", "3"]);
}

#[tokio::test]
async fn a_new_declaration_counts_for_all_who_hold_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let table = lake.table(layout("t")).await.unwrap();
    put(&table, 5, append(&[(Some(0), None, 1, None)])).await;
    let mut layout = with(|it| it.push(Field::new("shop", DataType::Utf8View, true)));
    layout.incarnation = "2".to_owned();
    let same = lake.table(layout.clone()).await.unwrap();
    assert!(Arc::ptr_eq(&table, &same));
    assert_eq!(table.provider().schema(), layout.schema);
    assert_eq!(table.committed().await.unwrap(), Epoch(0), "another incarnation counts anew");
    put(&table, 1, Change::new(Vec::new(), Replace::All)).await;
    assert_eq!((count(&table).await, table.committed().await.unwrap()), (0, Epoch(1)));
}
