use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use tokio::sync::oneshot;

use super::*;

fn rows(
    steps: impl futures::Stream<Item = Result<RecordBatch>> + Send + 'static,
) -> SendableRecordBatchStream {
    Box::pin(RecordBatchStreamAdapter::new(Arc::new(Schema::empty()), steps))
}

fn empty() -> RecordBatch {
    RecordBatch::new_empty(Arc::new(Schema::empty()))
}

#[tokio::test]
async fn rows_that_nobody_takes_any_more_end() {
    let (held, released) = oneshot::channel::<()>();
    let endless = futures::stream::repeat_with(|| Ok(empty()));
    let mut rows = rows_on(&Handle::current(), rows(endless), held);
    rows.next().await.unwrap().unwrap();
    drop(rows);
    let released = tokio::time::timeout(Duration::from_secs(10), released).await;
    assert!(released.is_ok(), "what was held is dropped with the work");
}

#[tokio::test]
async fn a_part_is_never_taken_for_the_whole() {
    let mut made = 0;
    let broken = futures::stream::repeat_with(move || {
        made += 1;
        assert!(made < 3, "broken");
        Ok(empty())
    });
    let batches: Vec<_> = rows_on(&Handle::current(), rows(broken), ()).collect().await;
    assert_eq!(batches.len(), 3);
    assert!(matches!(batches[2], Err(DataFusionError::ExecutionJoin(_))));
}

#[tokio::test]
async fn rows_end_with_the_last() {
    let three = futures::stream::iter([Ok(empty()), Ok(empty()), Ok(empty())]);
    let batches: Vec<_> = rows_on(&Handle::current(), rows(three), ()).collect().await;
    assert_eq!(batches.len(), 3);
    assert!(batches.iter().all(Result::is_ok));
}

#[tokio::test]
async fn work_on_threads_that_have_ended_is_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let threads = runtime.handle().clone();
    runtime.shutdown_background();
    let error = done_on(&threads, async { Ok(1) }).await.unwrap_err();
    assert!(error.to_string().contains("the program is stopping"), "{error}");
}
