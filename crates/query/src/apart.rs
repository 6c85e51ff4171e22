//! Work on threads of its own: what waits for it keeps its thread free, and ends it by going away.

use std::future::Future;

use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use crate::error::SqlError;

/// Batches that are made before somebody takes them.
const BATCHES_AHEAD: usize = 2;

/// Does `work` on `threads`; dropped, it ends the work.
pub(crate) async fn done_on<T, F>(threads: &Handle, work: F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let mut task = JoinSet::new();
    task.spawn_on(work, threads);
    match task.join_next().await {
        Some(done) => done.map_err(broken)?,
        None => Err(DataFusionError::Internal("a task is gone".to_owned())),
    }
}

/// Makes `rows` on `threads`, which hold `held` until they have ended; dropped, the rows end there.
pub(crate) fn rows_on<H: Send + 'static>(
    threads: &Handle,
    mut rows: SendableRecordBatchStream,
    held: H,
) -> SendableRecordBatchStream {
    let schema = rows.schema();
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
    let mut task = JoinSet::new();
    let work = async move {
        while let Some(batch) = rows.next().await {
            if sender.send(batch).await.is_err() {
                break; // Nobody wants them any more.
            }
        }
        drop((rows, held));
    };
    task.spawn_on(work, threads);
    let steps = futures::stream::unfold((receiver, task), |(mut receiver, mut task)| async move {
        if let Some(batch) = receiver.recv().await {
            return Some((batch, (receiver, task)));
        }
        // All were made, unless the work broke: then these are not all.
        let error = task.join_next().await?.err()?;
        Some((Err(broken(error)), (receiver, task)))
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, steps))
}

fn broken(error: JoinError) -> DataFusionError {
    if error.is_cancelled() {
        let error = SqlError::invalid("57P01", "the program is stopping");
        return DataFusionError::External(Box::new(error));
    }
    DataFusionError::ExecutionJoin(Box::new(error))
}

#[cfg(test)]
mod tests;
