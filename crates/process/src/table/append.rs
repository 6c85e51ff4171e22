//! A table made row by row: rows are only added.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use base::limits;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;

use crate::hot::HotRows;
use crate::pipe::{self, LookupSlots, Pipe};
use crate::plan::TablePlan;
use crate::session;
use crate::table::{Bound, DeadRow, Moved, Step, Stepped, bind};

/// See the module.
#[derive(Debug)]
pub(crate) struct Append {
    plan: Arc<TablePlan>,
    pub(crate) pipe: Pipe,
    pub(crate) lookups: LookupSlots,
    pub(crate) hot: HotRows,
}

impl Append {
    pub(crate) async fn new(session: &SessionContext, plan: &Arc<TablePlan>) -> Result<Append> {
        let (pipe, lookups) = Append::plan(session, plan).await?;
        Ok(Append { plan: Arc::clone(plan), pipe, lookups, hot: HotRows::default() })
    }

    pub(crate) async fn plan(
        session: &SessionContext,
        plan: &TablePlan,
    ) -> Result<(Pipe, LookupSlots)> {
        let bound = bind(plan)?;
        let pipe = Append::pipe(session, &bound, 0).await?;
        Ok((pipe, bound.lookups))
    }

    async fn pipe(session: &SessionContext, bound: &Bound, now_ms: u64) -> Result<Pipe> {
        let state = session::at(session, now_ms);
        let physical = state.create_physical_plan(&bound.plan).await?;
        Ok(Pipe::new(physical, bound.inputs.clone(), state.task_ctx()))
    }

    /// Plans anew for a moment, where the plan asks what time it is.
    async fn at(&mut self, step: &Step<'_>) -> Result<()> {
        let bound = bind(&self.plan)?;
        for (name, slot) in &bound.lookups {
            let old = self.lookups.iter().find(|(it, _)| it == name);
            if let Some(rows) = old.and_then(|(_, it)| it.lookup()) {
                slot.set_lookup(&rows);
            }
        }
        self.pipe = Append::pipe(step.session, &bound, step.now_ms).await?;
        self.lookups = bound.lookups;
        Ok(())
    }

    pub(crate) async fn step(&mut self, input: &[Moved], step: &Step<'_>) -> Result<Stepped> {
        let mut stepped = Stepped::default();
        if self.plan.asks_time && !input.is_empty() {
            self.at(step).await?;
        }
        let schema = Arc::clone(&self.plan.schema);
        for Moved { of, rows } in input {
            let finish = |it: RecordBatch| fit(&it, &schema);
            let (done, rejected) = self.pipe.run_rows(*of, rows.clone(), finish).await?;
            stepped.is_changed |= !done.is_empty();
            stepped.dead.extend(rejected.into_iter().map(DeadRow::of));
            for rows in done {
                self.hot.push(step.epoch, rows.clone());
                stepped.out.push(rows);
            }
        }
        Ok(stepped)
    }

    pub(crate) async fn rebuild(&mut self, step: &Step<'_>) -> Result<()> {
        let bound = pipe::bind(&self.plan.select, step.tables)?;
        let state = session::at(step.session, step.now_ms);
        let physical = state.create_physical_plan(&bound).await?;
        let mut rows = execute_stream(physical, state.task_ctx())?;
        let (mut all, mut bytes) = (Vec::new(), 0);
        while let Some(batch) = rows.try_next().await? {
            let batch = fit(&batch, &self.plan.schema)?;
            bytes += batch.get_array_memory_size();
            if limits::HOT_BYTES_MAX < bytes {
                return Err(DataFusionError::ResourcesExhausted(format!(
                    "the stored rows below make more than {} of rows at once; declare it under a \
                     new name, or give what it reads a shorter `keep`",
                    base::ByteSize(limits::HOT_BYTES_MAX as u64)
                )));
            }
            all.push(batch);
        }
        self.hot.replace(step.epoch, all);
        Ok(())
    }
}

/// Brings a result to the table's types.
pub(crate) fn fit(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    rows::schema::cast(batch, schema).map_err(|error| DataFusionError::External(Box::new(error)))
}
