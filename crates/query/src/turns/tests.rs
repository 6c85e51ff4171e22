use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::*;

#[test]
fn turns_of_an_asker_are_shared() {
    let turn = |running| turn(&AtomicUsize::new(running));
    assert_eq!([0, 1, 2, 4, 100].map(turn), [8, 8, 4, 2, 1]);
}

#[tokio::test]
async fn a_cross_join_pauses_while_it_makes_rows() {
    let config = SessionConfig::new().with_target_partitions(1);
    let session = SessionContext::new_with_config(config);
    let sql = "SELECT count(*) AS n FROM generate_series(1, 400) a, generate_series(1, 400) b";
    let plan = session.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let plan = in_turns(plan, &Arc::default()).unwrap();
    let mut rows = execute_stream(plan, session.task_ctx()).unwrap();
    let (mut pauses, mut counted) = (0, Vec::new());
    loop {
        match futures::poll!(rows.next()) {
            Poll::Pending => {
                pauses += 1;
                tokio::task::yield_now().await;
            }
            Poll::Ready(Some(batch)) => {
                counted.push(batch.unwrap().column(0).as_primitive::<Int64Type>().value(0));
            }
            Poll::Ready(None) => break,
        }
    }
    assert_eq!(counted, [160_000]);
    assert!(400 / BATCHES <= pauses, "{pauses} pauses");
}
