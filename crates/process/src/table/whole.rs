//! A table that is computed anew as a whole when what it reads has changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use base::{ByteSize, Epoch, limits};
use datafusion::catalog::TableProvider;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::common::Column;
use datafusion::common::tree_node::Transformed;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use rows::sink::Change;

use crate::batch::book::{Bookmark, Cost};
use crate::hot::HotRows;
use crate::pipe;
use crate::plan::TablePlan;
use crate::session;
use crate::table::append::fit;
use crate::view::Hides;

/// A run takes at most a tenth of the time: the next begins so many times its length later.
const PAUSE_FACTOR: u32 = 10;

/// Without a schedule, a table is computed at most so often.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(crate) struct Whole {
    /// What the last runs made, until it is stored.
    rows: HotRows,
    /// Whether what it reads has changed since the last run began.
    pub(crate) is_dirty: bool,
    /// When the next run may begin if nothing but a change starts it, by the clock that never goes
    /// back.
    pub(crate) next: Duration,
}

impl Whole {
    pub(crate) fn new() -> Whole {
        // A restart runs it once: what it reads may have changed since its last run.
        Whole { rows: HotRows::default(), is_dirty: true, next: Duration::ZERO }
    }

    /// Takes in what a run made: added to what is there, or in its place.
    pub(crate) fn ran(&mut self, epoch: Epoch, rows: Vec<RecordBatch>, adds: bool) {
        if adds {
            rows.into_iter().for_each(|it| self.rows.push(epoch, it));
        } else {
            self.rows.replace(epoch, rows);
        }
    }

    /// Notes when it may run again.
    pub(crate) fn pause(&mut self, began: Duration, now: Duration) {
        let took = now.saturating_sub(began);
        self.next = now + (took * PAUSE_FACTOR).max(PAUSE_MIN);
    }

    pub(crate) fn change(&self, epoch: Epoch) -> Option<Change> {
        self.rows.change(epoch)
    }

    pub(crate) fn stored(&mut self, epoch: Epoch) {
        self.rows.stored(epoch);
    }

    pub(crate) fn hot(&self) -> (Vec<RecordBatch>, Hides) {
        (self.rows.rows(), self.rows.hides())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.rows.bytes()
    }
}

/// A run: what it is computed from.
pub(crate) struct Input {
    pub(crate) plan: Arc<TablePlan>,
    /// The tables as they are now.
    pub(crate) tables: Vec<(String, Arc<dyn TableProvider>)>,
    /// Up to where streams were read before: only what is beyond is read.
    pub(crate) after: Option<Bookmark>,
    /// What `now()` is.
    pub(crate) at_ms: u64,
}

/// Computes the table.
pub(crate) async fn compute(
    session: SessionContext,
    input: Input,
    meter: Arc<Meter>,
) -> Result<Vec<RecordBatch>> {
    let Input { plan, tables, after, at_ms } = input;
    let find =
        |name: &str| tables.iter().find(|(it, _)| it == name).map(|(_, table)| Arc::clone(table));
    let mut bound = pipe::bind(&plan.select, &find)?;
    if let Some(after) = &after {
        bound = only_new(bound, after)?;
    }
    let state = session::at(&session, at_ms);
    let physical = state.create_physical_plan(&bound).await?;
    meter.estimate(&physical)?;
    let mut rows = execute_stream(Arc::clone(&physical), state.task_ctx())?;
    let (mut all, mut bytes) = (Vec::new(), 0);
    while let Some(batch) = rows.try_next().await? {
        let batch = fit(&batch, &plan.schema)?;
        bytes += batch.get_array_memory_size();
        meter.read(&physical)?;
        if limits::HOT_BYTES_MAX < bytes {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "it has more than {} of rows; a table that is recomputed as a whole must be smaller",
                ByteSize(limits::HOT_BYTES_MAX as u64)
            )));
        }
        if 0 < batch.num_rows() {
            all.push(batch);
        }
    }
    meter.read(&physical)?;
    Ok(all)
}

/// Leaves out of streams what is before a bookmark.
fn only_new(plan: LogicalPlan, after: &Bookmark) -> Result<LogicalPlan> {
    let filtered = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = &node else { return Ok(Transformed::no(node)) };
        let Some(positions) = after.get(scan.table_name.table()) else {
            return Ok(Transformed::no(node));
        };
        let column = |name| Expr::Column(Column::new(Some(scan.table_name.clone()), name));
        let is_new = positions.iter().map(|(shard, next)| {
            let next = i64::try_from(next.0).unwrap_or(i64::MAX);
            let of_other = column(rows::schema::SHARD).not_eq(lit(i64::from(shard.0)));
            of_other.or(column(rows::schema::SEQUENCE).gt_eq(lit(next)))
        });
        let Some(is_new) = is_new.reduce(Expr::and) else { return Ok(Transformed::no(node)) };
        LogicalPlanBuilder::from(node).filter(is_new)?.build().map(Transformed::yes)
    });
    Ok(filtered?.data)
}

/// What a run reads, and may read.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    bytes_max: Option<u64>,
    bytes_estimated: AtomicU64,
    bytes_read: AtomicU64,
    rows_in: AtomicU64,
}

impl Meter {
    pub(crate) fn new(bytes_max: Option<u64>) -> Meter {
        Meter { bytes_max, ..Meter::default() }
    }

    /// Returns what was measured so far.
    pub(crate) fn cost(&self) -> Cost {
        Cost {
            rows_in: self.rows_in.load(Ordering::Relaxed),
            bytes_estimated: self.bytes_estimated.load(Ordering::Relaxed),
            bytes_read: self.bytes_read.load(Ordering::Relaxed),
        }
    }

    /// Estimates what a plan will read, and refuses it if that is too much.
    fn estimate(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
        let mut bytes = 0;
        leaves(plan, &mut |leaf| bytes += stored_bytes(leaf));
        self.bytes_estimated.store(bytes, Ordering::Relaxed);
        self.refuse(bytes, "would read up to")
    }

    /// Measures what a plan has read so far, and refuses to go on if that is too much.
    fn read(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
        let (mut bytes, mut rows) = (0, 0);
        leaves(plan, &mut |leaf| {
            let metrics = leaf.metrics();
            let scanned = metrics.as_ref().and_then(|it| it.sum_by_name("bytes_scanned"));
            bytes += scanned.map_or(0, |it| it.as_usize() as u64);
            let counted = metrics.and_then(|it| it.output_rows());
            rows += counted.or_else(|| rows_of(leaf)).unwrap_or_default() as u64;
        });
        self.bytes_read.store(bytes, Ordering::Relaxed);
        self.rows_in.store(rows, Ordering::Relaxed);
        self.refuse(bytes, "has read")
    }

    fn refuse(&self, bytes: u64, does: &str) -> Result<()> {
        let Some(max) = self.bytes_max.filter(|it| *it < bytes) else { return Ok(()) };
        Err(DataFusionError::ResourcesExhausted(format!(
            "it {does} {} of stored rows, more than its `read_max` of {}; read less, by a condition \
             on the column of the partition, or allow more",
            ByteSize(bytes),
            ByteSize(max)
        )))
    }
}

fn leaves(plan: &Arc<dyn ExecutionPlan>, found: &mut dyn FnMut(&Arc<dyn ExecutionPlan>)) {
    let children = plan.children();
    if children.is_empty() {
        found(plan);
    }
    children.into_iter().for_each(|it| leaves(it, found));
}

/// Returns the bytes of the files that a leaf reads, if it does.
fn stored_bytes(leaf: &Arc<dyn ExecutionPlan>) -> u64 {
    let source = leaf.downcast_ref::<DataSourceExec>();
    let files = source.and_then(|it| it.data_source().downcast_ref::<FileScanConfig>());
    let groups = files.into_iter().flat_map(|it| &it.file_groups);
    groups.flat_map(FileGroup::iter).map(PartitionedFile::effective_size).sum()
}

/// Returns the rows of a leaf that counts none: those in memory are known.
fn rows_of(leaf: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    let source = leaf.downcast_ref::<DataSourceExec>()?;
    let memory = source.data_source().downcast_ref::<MemorySourceConfig>()?;
    Some(memory.partitions().iter().flatten().map(RecordBatch::num_rows).sum())
}
