use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionContext;
use proptest::prelude::*;

use super::CheapFirst;
use crate::context::{self, ContextSettings};

type Row = (Option<i64>, Option<i64>, Option<String>);

fn session(rows: &[Row], is_ordered: bool) -> SessionContext {
    let state = context::state(&ContextSettings::default()).unwrap();
    let state = SessionStateBuilder::new_from_existing(state);
    let state =
        if is_ordered { state.with_physical_optimizer_rule(Arc::new(CheapFirst)) } else { state };
    let session = SessionContext::new_with_state(state.build());
    let a: Int64Array = rows.iter().map(|it| it.0).collect();
    let b: Int64Array = rows.iter().map(|it| it.1).collect();
    let t: StringViewArray = rows.iter().map(|it| it.2.as_deref()).collect();
    let columns: [(_, ArrayRef, _); 3] =
        [("a", Arc::new(a), true), ("b", Arc::new(b), true), ("t", Arc::new(t), true)];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
    session.register_table("rows", Arc::new(table)).unwrap();
    session
}

async fn answer(session: &SessionContext, sql: &str) -> String {
    let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

#[tokio::test]
async fn comparisons_of_numbers_come_first() {
    let session = session(&[(Some(1), Some(2), Some("x".to_owned()))], true);
    let plan = answer(
        &session,
        "EXPLAIN SELECT t FROM rows WHERE t LIKE 'x%' AND a < b AND 10 / a > 1 AND a > 0",
    )
    .await;
    let filter = plan.lines().find(|it| it.contains("FilterExec")).unwrap();
    let at = |text: &str| filter.find(text).unwrap_or_else(|| panic!("{text}: {filter}"));
    assert!(at("a@0 > 0") < at("b@1 > a@0"), "{filter}");
    assert!(at("b@1 > a@0") < at("LIKE"), "{filter}");
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let number = || proptest::option::weighted(0.9, -3..4_i64);
    let text = proptest::option::weighted(0.9, "[xy]{0,2}");
    proptest::collection::vec((number(), number(), text), 0..80)
}

const CONDITIONS: &[&str] = &[
    "a > 0",
    "a < b",
    "b >= -1",
    "a <> 2",
    "t LIKE 'x%'",
    "t = 'xy'",
    "(a = 1 OR t = 'y')",
    "length(t) > b",
    "t IS NOT NULL",
    "a IS NULL",
    "b IN (1, 2)",
    "NOT a = b",
];

proptest! {
    #[test]
    fn the_order_changes_no_answer(
        rows in rows(),
        chosen in proptest::sample::subsequence(CONDITIONS, 2..6).prop_shuffle(),
    ) {
        let sql = format!("SELECT * FROM rows WHERE {}", chosen.join(" AND "));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (one, other) = runtime.block_on(async {
            let one = answer(&session(&rows, false), &sql).await;
            (one, answer(&session(&rows, true), &sql).await)
        });
        prop_assert_eq!(one, other, "{}", sql);
    }
}
