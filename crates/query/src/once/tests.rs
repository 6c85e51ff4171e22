use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionContext;

use super::Once;
use crate::context::{self, ContextSettings};

fn session(once: Option<Once>) -> SessionContext {
    let state = context::state(&ContextSettings::default()).unwrap();
    let state = SessionStateBuilder::new_from_existing(state);
    let state = match once {
        Some(once) => state.with_query_planner(Arc::new(once)),
        None => state,
    };
    let session = SessionContext::new_with_state(state.build());
    let column = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let values = (0..1_000).map(|it| (it * 7919) % 1_009).collect();
    let batch = RecordBatch::try_from_iter([
        ("k", column((0..1_000).map(|it| it % 13).collect())),
        ("v", column(values)),
    ]);
    let batch = batch.unwrap();
    let table = MemTable::try_new(batch.schema(), vec![vec![batch.clone()], vec![batch]]).unwrap();
    session.register_table("t", Arc::new(table)).unwrap();
    session
}

async fn answer(session: &SessionContext, sql: &str) -> String {
    let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

const WITH: &str = "WITH sums AS (SELECT k, sum(v) AS s FROM t GROUP BY k) ";

/// Questions, and in how many places each has a part that is worked out once.
const QUESTIONS: &[(&str, usize)] = &[
    ("SELECT k FROM sums WHERE s = (SELECT max(s) FROM sums) ORDER BY k", 2),
    ("SELECT a.k, a.s, b.s FROM sums a JOIN sums b ON a.k = b.k + 1 ORDER BY a.k", 2),
    (
        "SELECT count(*) FROM (SELECT * FROM sums UNION ALL SELECT * FROM sums UNION ALL SELECT * FROM sums)",
        3,
    ),
    (
        "SELECT k FROM sums WHERE s > (SELECT avg(s) FROM sums) AND k IN (SELECT k FROM sums WHERE s > 10) ORDER BY k",
        2,
    ),
    ("SELECT k, s FROM sums ORDER BY k LIMIT 3", 0),
    (
        "SELECT a.s, b.m FROM sums a JOIN (SELECT k, min(v) AS m FROM t GROUP BY k) b ON a.k = b.k ORDER BY 1, 2",
        0,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn groups_that_stand_twice_are_worked_out_once_and_answer_the_same() {
    let plain = session(None);
    for kept_bytes_max in [super::KEPT_BYTES_MAX, 0] {
        let once = session(Some(Once { kept_bytes_max }));
        for &(question, places) in QUESTIONS {
            let sql = format!("{WITH}{question}");
            assert_eq!(answer(&once, &sql).await, answer(&plain, &sql).await, "{sql}");
            let plan = answer(&once, &format!("EXPLAIN {sql}")).await;
            assert!(places <= plan.matches("OnceExec").count(), "{plan}");
            assert!(places > 0 || !plan.contains("OnceExec"), "{plan}");
        }
    }
}

#[tokio::test]
async fn what_differs_in_each_place_or_round_is_not_shared() {
    let once = session(Some(Once::new()));
    let chance = "WITH r AS (SELECT k, sum(random()) AS s FROM t GROUP BY k) SELECT sum(a.s - b.s) FROM r a JOIN r b ON a.k = b.k";
    let rounds = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < (SELECT max(k) FROM t) AND i < (SELECT max(k) FROM t)) SELECT sum(i) FROM n";
    for sql in [chance, rounds] {
        let plan = answer(&once, &format!("EXPLAIN {sql}")).await;
        assert!(!plan.contains("OnceExec"), "{plan}");
        answer(&once, sql).await;
    }
}

#[tokio::test]
async fn an_error_in_a_shared_part_is_told_in_each_place() {
    let once = session(Some(Once::new()));
    let sql = "WITH r AS (SELECT k, sum(100 / (v - v)) AS s FROM t GROUP BY k) SELECT a.s, b.s FROM r a JOIN r b ON a.k = b.k";
    let error = once.sql(sql).await.unwrap().collect().await.unwrap_err();
    assert!(error.to_string().to_lowercase().contains("zero"), "{error}");
}
