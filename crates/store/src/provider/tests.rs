//! Tests of `provider`: the right files, the right rows, from any session.

use datafusion::physical_plan::{ExecutionPlanProperties, displayable};
use datafusion::prelude::SessionContext;

use crate::table::tests::{MINUTE_US, append, ask, layout, open, put};
use crate::{LakeTable, Layout, Partition};

async fn explain(table: &LakeTable, sql: &str) -> String {
    let context = SessionContext::new();
    context.register_table("t", table.provider()).unwrap();
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    displayable(plan.as_ref()).indent(false).to_string()
}

fn files_in(plan: &str) -> usize {
    plan.matches(".parquet").count()
}

async fn four_files(folder: &std::path::Path, layout: Layout) -> std::sync::Arc<LakeTable> {
    let table = open(folder, layout).await;
    let regions = ["DE", "FR", "IT", ""];
    for (index, region) in (0..).zip(regions) {
        let rows =
            [(Some(index * MINUTE_US), Some(region), index, None), (None, None, index, Some(1))];
        put(&table, index.unsigned_abs() + 1, append(&rows)).await;
    }
    table
}

#[tokio::test]
async fn files_are_left_out_by_their_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let table = four_files(folder.path(), layout("t")).await;
    let cases = [
        ("minute = '1970-01-01T00:01:00Z'", 1, vec!["1"]),
        ("minute >= '1970-01-01T00:02:00Z'", 2, vec!["2", "3"]),
        ("region = 'FR'", 1, vec!["1"]),
        ("region IN ('FR', 'IT')", 2, vec!["1", "2"]),
        ("orders < 1 AND minute IS NOT NULL", 1, vec!["0"]),
        ("orders = 7", 0, vec![]),
        ("minute IS NULL", 4, vec!["0", "1", "2", "3"]),
        ("revenue = 0.01 AND orders > 2", 1, vec!["3"]),
        ("length(region) = 0", 4, vec!["3"]),
    ];
    for (condition, files, answer) in cases {
        let sql = format!("SELECT orders FROM t WHERE {condition}");
        let plan = explain(&table, &sql).await;
        assert_eq!(files_in(&plan), files, "{condition}\n{plan}");
        assert_eq!(ask(&table, &sql).await, answer, "{condition}");
    }
}

#[tokio::test]
async fn counts_and_tight_bounds_need_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let table = four_files(folder.path(), layout("t")).await;
    let sql = "SELECT count(*), max(orders), min(minute) FROM t";
    let plan = explain(&table, sql).await;
    assert_eq!(files_in(&plan), 0, "{plan}");
    assert_eq!(ask(&table, sql).await, ["8 3 1970-01-01T00:00:00Z"]);
    // Bounds of text may be cut.
    assert_ne!(files_in(&explain(&table, "SELECT max(region) FROM t").await), 0);
    assert_eq!(ask(&table, "SELECT max(region) FROM t").await, ["IT"]);
    assert_eq!(files_in(&explain(&table, "SELECT * FROM t LIMIT 3").await), 2);
    assert_eq!(ask(&table, "SELECT 1 FROM t LIMIT 3").await.len(), 3);
}

#[tokio::test]
async fn columns_come_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let table = four_files(folder.path(), layout("t")).await;
    let sql = "SELECT orders, minute FROM t WHERE region = 'IT'";
    assert_eq!(ask(&table, sql).await, ["2 1970-01-01T00:02:00Z"]);
    let sql = "SELECT sum(revenue) AS r, region FROM t GROUP BY region ORDER BY region";
    assert_eq!(ask(&table, sql).await.len(), 5);
    let sql = "SELECT a.orders FROM t a JOIN t b ON a.minute = b.minute AND a.orders = b.orders";
    assert_eq!(ask(&table, sql).await, ["0", "1", "2", "3"]);
}

#[tokio::test]
async fn the_column_of_partitions_is_hidden_and_prunes() {
    let folder = tempfile::tempdir().unwrap();
    let region = Partition { column: "region".to_owned(), unit: None };
    let layout = Layout { partition: Some(region), ..layout("t") };
    let table = four_files(folder.path(), layout.clone()).await;
    // Null and the empty text share a partition, and stay what they are.
    assert_eq!(table.facts().files, 7);
    let sql = "SELECT * FROM t WHERE region = ''";
    assert_eq!(ask(&table, sql).await, ["1970-01-01T00:03:00Z  3 "]);
    assert_eq!(ask(&table, "SELECT orders FROM t WHERE region IS NULL").await.len(), 4);
    assert_eq!(files_in(&explain(&table, "SELECT orders FROM t WHERE region = 'DE'").await), 1);
    assert!(table.folder().join("_region=DE").is_dir());
    let table = open(folder.path(), layout).await;
    assert_eq!((table.facts().files, table.facts().rows), (7, 8));
    assert_eq!(ask(&table, sql).await, ["1970-01-01T00:03:00Z  3 "]);
}

#[tokio::test]
async fn an_empty_table_answers() {
    let folder = tempfile::tempdir().unwrap();
    let table = open(folder.path(), layout("t")).await;
    assert_eq!(ask(&table, "SELECT count(*), sum(orders) FROM t").await, ["0 "]);
    assert_eq!(ask(&table, "SELECT orders FROM t WHERE region = 'x'").await.len(), 0);
    let context = SessionContext::new();
    let plan = context.read_table(table.provider()).unwrap().create_physical_plan().await.unwrap();
    assert_eq!(plan.output_partitioning().partition_count(), 1);
}
