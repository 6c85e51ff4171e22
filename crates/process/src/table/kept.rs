//! A table of which a part of the rows below says all: the first N of each key.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use base::Name;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use rows::sink::Change;

use crate::lookup::index::LookupRows;
use crate::pipe::{self, LookupSlots, Pipe};
use crate::plan::TablePlan;
use crate::plan::kept;
use crate::session;
use crate::slot::{Slot, SlotTable};
use crate::spill::shown::Shown;
use crate::table::append::fit;
use crate::table::publishing::Publishing;
use crate::table::{DeadRow, Moved, Step, Stepped, bind, set_lookup};

/// See the module.
///
/// New rows wait beside the kept ones until somebody looks; then those that are no longer needed
/// are let go.
#[derive(Debug)]
pub(crate) struct Best {
    plan: Arc<TablePlan>,
    below: Pipe,
    needed: Pipe,
    above: Pipe,
    /// Try rows before they are held: what must not fail for one when it does for all.
    tried: Vec<Pipe>,
    lookups: LookupSlots,
    schema: SchemaRef,
    held: Vec<RecordBatch>,
    /// Rows among them that were not looked at yet.
    fresh: usize,
    /// The result as it is shown.
    pub(crate) rows: Vec<RecordBatch>,
    groups_max: usize,
    is_changed: bool,
    publishing: Publishing,
}

/// Rows that may wait before they are looked at.
const FRESH_MAX: usize = 100_000;

/// Plans the table; it holds nothing yet.
pub(crate) async fn plan(
    session: &SessionContext,
    plan: &Arc<TablePlan>,
    groups_max: usize,
) -> Result<Best> {
    let bound = bind(plan)?;
    let Some(cut) = kept::find(&bound.plan) else {
        return datafusion::common::internal_err!("`{}` keeps no part of its rows", plan.name());
    };
    let state = session::at(session, 0);
    let below = state.create_physical_plan(&cut.below).await?;
    let schema = cut.schema();
    let held = || Slot::moving(Arc::clone(&schema));
    let (of_needed, of_above) = (held(), held());
    let needed = cut.needed(Arc::new(SlotTable(Arc::clone(&of_needed))))?;
    let needed = state.create_physical_plan(&needed).await?;
    let above = cut.above(Arc::new(SlotTable(Arc::clone(&of_above))))?;
    let above = state.create_physical_plan(&above).await?;
    let mut tried = Vec::new();
    let (of_tried, of_chosen) = (held(), held());
    if let Some(plan) = cut.tried(Arc::new(SlotTable(Arc::clone(&of_tried))))? {
        let plan = state.create_physical_plan(&plan).await?;
        tried.push(Pipe::new(plan, vec![of_tried], state.task_ctx()));
    }
    if cut.needed_may_fail() {
        let plan = cut.needed(Arc::new(SlotTable(Arc::clone(&of_chosen))))?;
        let plan = state.create_physical_plan(&plan).await?;
        tried.push(Pipe::new(plan, vec![of_chosen], state.task_ctx()));
    }
    Ok(Best {
        plan: Arc::clone(plan),
        below: Pipe::new(below, bound.inputs, state.task_ctx()),
        needed: Pipe::new(needed, vec![of_needed], state.task_ctx()),
        above: Pipe::new(above, vec![of_above], state.task_ctx()),
        tried,
        lookups: bound.lookups,
        schema,
        held: Vec::new(),
        fresh: 0,
        rows: Vec::new(),
        groups_max,
        is_changed: true,
        publishing: Publishing::default(),
    })
}

impl Best {
    pub(crate) async fn step(&mut self, input: &[Moved], _: &Step<'_>) -> Result<Stepped> {
        let mut stepped = Stepped::default();
        let schema = Arc::clone(&self.schema);
        for moved in input {
            let finish = |it: RecordBatch| fit(&it, &schema);
            let (rows, rejected) =
                self.below.run_rows(moved.of, moved.rows.clone(), finish).await?;
            stepped.dead.extend(rejected.into_iter().map(DeadRow::of));
            for rows in rows {
                stepped.dead.extend(self.hold(rows).await?);
            }
        }
        stepped.is_changed = 0 < self.fresh;
        self.is_changed |= stepped.is_changed;
        if stepped.is_changed {
            self.publishing.fall_behind();
        }
        if FRESH_MAX < self.fresh {
            self.let_go().await?;
        }
        Ok(stepped)
    }

    /// Takes rows in, but for those that what is above cannot compute.
    async fn hold(&mut self, rows: RecordBatch) -> Result<Vec<DeadRow>> {
        let (mut held, mut dead) = (vec![rows], Vec::new());
        for tried in &mut self.tried {
            let mut passed = Vec::new();
            for rows in held {
                let (rows, rejected) = tried.sift(0, rows).await?;
                passed.extend(rows);
                dead.extend(rejected.into_iter().map(DeadRow::of));
            }
            held = passed;
        }
        self.fresh += held.iter().map(RecordBatch::num_rows).sum::<usize>();
        self.held.extend(held);
        Ok(dead)
    }

    /// Lets the rows go that are not needed any more.
    async fn let_go(&mut self) -> Result<()> {
        if self.fresh == 0 {
            return Ok(());
        }
        let needed = self.needed.run_all(std::mem::take(&mut self.held)).await?;
        let needed = needed.iter().map(|it| fit(it, &self.schema));
        self.held = needed.collect::<Result<_>>()?;
        self.fresh = 0;
        let rows: usize = self.held.iter().map(RecordBatch::num_rows).sum();
        if self.groups_max < rows {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "more than {} rows are kept; keep fewer of each key, or fewer keys",
                self.groups_max
            )));
        }
        Ok(())
    }

    pub(crate) async fn refresh(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.is_changed) {
            return Ok(());
        }
        self.let_go().await?;
        let rows = self.above.run_all(self.held.clone()).await?;
        let rows = rows.iter().map(|it| fit(it, &self.plan.schema));
        self.rows = rows.collect::<Result<_>>()?;
        self.rows.retain(|it| 0 < it.num_rows());
        Ok(())
    }

    pub(crate) fn count(&self) -> usize {
        self.held.iter().map(RecordBatch::num_rows).sum()
    }

    pub(crate) fn change(&mut self, now_ms: u64) -> Option<Change> {
        let shown = Shown { rows: self.rows.clone(), spilled: None };
        self.publishing.change(self.plan.declared.publish, &shown, now_ms)
    }

    /// Returns the bytes of all rows it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.held.iter().chain(&self.rows).map(RecordBatch::get_array_memory_size).sum()
    }

    pub(crate) fn state(&self) -> (SchemaRef, Vec<RecordBatch>) {
        (Arc::clone(&self.schema), self.held.clone())
    }

    pub(crate) fn restore(&mut self, state: &[RecordBatch]) {
        self.held = state.to_vec();
        self.fresh = 0;
        self.is_changed = true;
        // What was published before the restart may be older than the state.
        self.publishing.fall_behind();
    }

    pub(crate) async fn rebuild(&mut self, step: &Step<'_>) -> Result<()> {
        let bound = pipe::bind(&self.plan.select, step.tables)?;
        let Some(cut) = kept::find(&bound) else { return Ok(()) };
        let state = session::at(step.session, step.now_ms);
        let physical = state.create_physical_plan(&cut.below).await?;
        let mut rows = execute_stream(physical, state.task_ctx())?;
        self.held.clear();
        while let Some(batch) = rows.try_next().await? {
            // Those that cannot be computed are dead letters already.
            self.hold(fit(&batch, &self.schema)?).await?;
            if FRESH_MAX < self.fresh {
                self.let_go().await?;
            }
        }
        self.is_changed = true;
        self.publishing.fall_behind();
        Ok(())
    }

    pub(crate) fn set_lookup(&mut self, name: &Name, rows: &Arc<LookupRows>) -> Result<()> {
        self.is_changed = true;
        set_lookup(&self.lookups, name, rows, &mut self.below)?;
        for tried in &mut self.tried {
            tried.renew()?;
        }
        self.above.renew()
    }
}
