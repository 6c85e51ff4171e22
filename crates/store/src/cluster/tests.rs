//! Tests of `cluster`: merged rows are the same rows, in order, in little memory.

use arrow::array::{AsArray as _, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::physical_plan::{ExecutionPlan, collect};
use rows::sink::{Change, Replace};

use crate::layout::Rest;
use crate::table::tests::{append, clock, count, lake_at, layout, put};
use crate::{LakeTable, Layout};

use super::*;

const BUDGET: std::time::Duration = std::time::Duration::from_secs(600);

fn by(columns: &[&str], layout: Layout) -> Layout {
    let cluster = columns.iter().map(|it| (*it).to_owned()).collect();
    Layout { rest: Rest { cluster, ..Rest::default() }, ..layout }
}

async fn in_file_order(table: &LakeTable, column: &str) -> Vec<RecordBatch> {
    let config = SessionConfig::new().with_target_partitions(1);
    let rows = SessionContext::new_with_config(config).read_table(table.provider()).unwrap();
    rows.select_columns(&[column]).unwrap().collect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn merged_files_are_in_order_and_hold_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake_at(folder.path(), &clock());
    let table = lake.table(by(&["region", "orders"], layout("t"))).await.unwrap();
    let regions = [Some("FR"), None, Some("DE"), Some("IT")];
    for epoch in 1..9_u64 {
        let number = i64::try_from(epoch * 7 % 8).unwrap();
        let region = regions[usize::try_from(epoch % 4).unwrap()];
        put(&table, epoch, append(&[(None, region, number, None), (None, region, 99, None)])).await;
    }
    assert_eq!(lake.maintain(BUDGET).await.unwrap().files_compacted, 8);
    assert_eq!((table.facts().files, count(&table).await), (1, 16));
    let rows = in_file_order(&table, "region").await;
    let read: Vec<_> = rows.iter().flat_map(|it| it.column(0).as_string_view().iter()).collect();
    let sorted = [Some("DE"), Some("FR"), Some("IT"), None];
    let expected: Vec<_> = sorted.iter().flat_map(|it| [*it; 4]).collect();
    assert_eq!(read, expected);
    let rows = in_file_order(&table, "orders").await;
    let read: Vec<i64> = rows
        .iter()
        .flat_map(|it| it.column(0).as_primitive::<Int64Type>().values())
        .copied()
        .collect();
    assert!(read.chunks(4).all(<[i64]>::is_sorted), "{read:?}");
}

#[tokio::test]
async fn a_column_that_is_not_there_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake_at(folder.path(), &clock());
    let error = lake.table(by(&["regin"], layout("t"))).await.unwrap_err();
    assert!(error.to_string().contains("`regin`"), "{error}");
}

/// Rows beyond the memory for ordering, in several files; keys come in no order.
async fn wide(folder: &Path) -> Arc<LakeTable> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("customer", DataType::Int64, false),
        Field::new("text", DataType::Utf8View, false),
    ]));
    let layout = Layout { schema: Arc::clone(&schema), time: None, ..layout("t") };
    let lake = lake_at(folder, &clock());
    let table = lake.table(by(&["customer"], layout)).await.unwrap();
    for epoch in 1..9_i64 {
        let keys: Vec<i64> = (0..60_000).map(|it| (it * 7_919 + epoch * 13) % 100_000).collect();
        let texts = keys.iter().map(|it| format!("{it:0>200}"));
        let rows = RecordBatch::try_new(
            Arc::clone(&schema),
            vec![
                Arc::new(Int64Array::from(keys.clone())),
                Arc::new(StringViewArray::from_iter_values(texts)),
            ],
        );
        let change = Change::new(vec![rows.unwrap()], Replace::Nothing);
        put(&table, epoch.unsigned_abs(), change).await;
    }
    assert_eq!(lake.maintain(BUDGET).await.unwrap().files_compacted, 8);
    table
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_reads_little_of_what_is_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let table = wide(folder.path()).await;
    assert_eq!(table.facts().rows, 480_000);
    let rows = in_file_order(&table, "customer").await;
    let keys: Vec<i64> = rows
        .iter()
        .flat_map(|it| it.column(0).as_primitive::<Int64Type>().values())
        .copied()
        .collect();
    assert!(keys.is_sorted() && keys.len() == 480_000);

    let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    session.register_table("t", table.provider()).unwrap();
    let plan = session.sql("SELECT text FROM t WHERE customer = 4711").await.unwrap();
    let plan = plan.create_physical_plan().await.unwrap();
    let found = collect(Arc::clone(&plan), session.task_ctx()).await.unwrap();
    assert!(found.iter().map(RecordBatch::num_rows).sum::<usize>() <= 8);
    let read = scanned_rows(plan.as_ref());
    assert!(0 < read && read < 480_000 / 4, "{read} rows were read");
}

/// Returns how many rows left the scan, before the filter.
fn scanned_rows(plan: &dyn ExecutionPlan) -> usize {
    let below = plan.children();
    if below.is_empty() {
        return plan.metrics().and_then(|it| it.output_rows()).unwrap_or(0);
    }
    below.into_iter().map(|it| scanned_rows(it.as_ref())).sum()
}
