//! Orders rows by columns where files are merged, in bounded memory: what is beyond it goes to disk.
//!
//! Rows that questions ask for together then lie together, and what Parquet knows of each page tells
//! which pages a question does not need.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use base::limits;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::Column;
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, SortExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt as _;
use tokio::runtime::Handle;

use crate::error::Error;
use crate::file;
use crate::state::LakeFile;

/// The rows of some files, one file after another.
#[derive(Debug)]
struct Files {
    root: Arc<Path>,
    columns: SchemaRef,
    files: Vec<Arc<LakeFile>>,
}

impl PartitionStream for Files {
    fn schema(&self) -> &SchemaRef {
        &self.columns
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (root, columns) = (Arc::clone(&self.root), Arc::clone(&self.columns));
        let batches = self.files.clone().into_iter().flat_map(move |it| {
            let rows = file::read(&root, &it.path, &columns);
            let (rows, failed) = match rows {
                Ok(rows) => (Some(rows), None),
                Err(error) => (None, Some(Err(error))),
            };
            rows.into_iter().flatten().chain(failed)
        });
        let batches = batches.map(|it| it.map_err(|it| DataFusionError::External(Box::new(it))));
        let schema = Arc::clone(&self.columns);
        Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter(batches)))
    }
}

/// Returns the rows of `files` in the order of `by`. Waits for the disk, so it runs where that may be.
pub(crate) fn in_order(
    root: &Arc<Path>,
    columns: &SchemaRef,
    files: &[Arc<LakeFile>],
    by: &[String],
) -> Result<impl Iterator<Item = Result<RecordBatch, Error>>, Error> {
    let folder = Arc::clone(root);
    let wrong = move |error: DataFusionError| Error::File {
        doing: "order the rows of",
        path: folder.to_path_buf(),
        reason: error.to_string(),
    };
    let rows =
        Files { root: Arc::clone(root), columns: Arc::clone(columns), files: files.to_vec() };
    let runtime = Handle::current();
    let mut sorted = runtime.block_on(sort(rows, by)).map_err(&wrong)?;
    Ok(std::iter::from_fn(move || Some(runtime.block_on(sorted.next())?.map_err(&wrong))))
}

async fn sort(rows: Files, by: &[String]) -> Result<SendableRecordBatchStream, DataFusionError> {
    let disk = DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::OsTmpDirectory)
        .with_max_temp_directory_size(limits::QUERY_SPILL_BYTES_MAX);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(limits::LAKE_CLUSTER_BYTES_MAX)))
        .with_disk_manager_builder(disk)
        .build_arc()?;
    let config = SessionConfig::new().with_target_partitions(1);
    let session = SessionContext::new_with_config_rt(config, runtime);
    let columns = Arc::clone(&rows.columns);
    let table = StreamingTable::try_new(columns, vec![Arc::new(rows)])?;
    let order = by.iter().map(|it| {
        let column = Expr::Column(Column::from_name(it));
        SortExpr { expr: column, asc: true, nulls_first: false }
    });
    session.read_table(Arc::new(table))?.sort(order.collect())?.execute_stream().await
}

#[cfg(test)]
mod tests;
