//! A table that is computed anew as a whole when what it reads has changed.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use base::{ByteSize, Epoch, limits};
use datafusion::catalog::TableProvider;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use rows::sink::{Change, Replace};

use crate::pipe;
use crate::plan::TablePlan;
use crate::session;
use crate::table::append::fit;
use crate::view::Hides;

/// A run takes at most a tenth of the time: the next begins so many times its length later.
const PAUSE_FACTOR: u32 = 10;

/// Without `every`, a table is computed at most so often.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(crate) struct Whole {
    plan: Arc<TablePlan>,
    /// The newest result and the epoch it came in, until it is stored.
    rows: Option<(Epoch, Vec<RecordBatch>)>,
    /// Whether what it reads has changed since the last run began.
    pub(crate) is_dirty: bool,
    /// When the next run may begin, by the clock that never goes back.
    pub(crate) next: Duration,
}

impl Whole {
    pub(crate) fn new(plan: &Arc<TablePlan>) -> Whole {
        // A restart runs it once: what it reads may have changed since its last run.
        Whole { plan: Arc::clone(plan), rows: None, is_dirty: true, next: Duration::ZERO }
    }

    /// Returns whether it should run now.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        let by_itself = self.plan.declared.every.is_some() && self.plan.asks_time;
        (self.is_dirty || by_itself) && self.next <= now
    }

    /// Notes a finished run.
    pub(crate) fn ran(
        &mut self,
        epoch: Epoch,
        rows: Vec<RecordBatch>,
        began: Duration,
        now: Duration,
    ) {
        self.rows = Some((epoch, rows));
        self.pause(began, now);
    }

    /// Notes when it may run again.
    pub(crate) fn pause(&mut self, began: Duration, now: Duration) {
        let took = now.saturating_sub(began);
        self.next = match self.plan.declared.every {
            Some(every) => began + every.0,
            None => now + (took * PAUSE_FACTOR).max(PAUSE_MIN),
        };
    }

    pub(crate) fn change(&self, epoch: Epoch) -> Option<Change> {
        match &self.rows {
            Some((of, rows)) if *of == epoch => Some(Change::new(rows.clone(), Replace::All)),
            _ => None,
        }
    }

    pub(crate) fn stored(&mut self, epoch: Epoch) {
        if self.rows.as_ref().is_some_and(|(of, _)| *of <= epoch) {
            self.rows = None;
        }
    }

    pub(crate) fn hot(&self) -> (Vec<RecordBatch>, Hides) {
        match &self.rows {
            None => (Vec::new(), Hides::Nothing),
            Some((_, rows)) => (rows.clone(), Hides::All),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let rows = self.rows.iter().flat_map(|(_, it)| it);
        rows.map(RecordBatch::get_array_memory_size).sum()
    }
}

/// Computes the table from the tables as they are now.
pub(crate) async fn compute(
    session: SessionContext,
    plan: Arc<TablePlan>,
    tables: Vec<(String, Arc<dyn TableProvider>)>,
    now_ms: u64,
) -> Result<Vec<RecordBatch>> {
    let find =
        |name: &str| tables.iter().find(|(it, _)| it == name).map(|(_, table)| Arc::clone(table));
    let bound = pipe::bind(&plan.select, &find)?;
    let state = session::at(&session, now_ms);
    let physical = state.create_physical_plan(&bound).await?;
    let mut rows = execute_stream(physical, state.task_ctx())?;
    let (mut all, mut bytes) = (Vec::new(), 0);
    while let Some(batch) = rows.try_next().await? {
        let batch = fit(&batch, &plan.schema)?;
        bytes += batch.get_array_memory_size();
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
    Ok(all)
}
