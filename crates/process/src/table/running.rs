//! Totals since the beginning, by group.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::error::{DataFusionError, Result};
use datafusion::prelude::SessionContext;
use rows::sink::Change;

use crate::plan::TablePlan;
use crate::table::grouping::{self, Again, Grouping};
use crate::table::publishing::Publishing;
use crate::table::{DeadRow, Moved, StateRows, Step, Stepped};

/// The one window of a running table.
const ONLY: i64 = 0;

/// See the module.
#[derive(Debug)]
pub(crate) struct Running {
    plan: Arc<TablePlan>,
    pub(crate) grouping: Grouping,
    /// The totals as they are shown.
    pub(crate) rows: Vec<RecordBatch>,
    groups_max: usize,
    is_changed: bool,
    publishing: Publishing,
}

impl Running {
    pub(crate) async fn new(
        session: &SessionContext,
        plan: &Arc<TablePlan>,
        groups_max: usize,
    ) -> Result<Running> {
        let mut grouping = grouping::plan(session, plan, groups_max).await?;
        grouping.operator.touch(ONLY).map_err(DataFusionError::from)?;
        Ok(Running {
            plan: Arc::clone(plan),
            grouping,
            rows: Vec::new(),
            groups_max,
            is_changed: true,
            publishing: Publishing::default(),
        })
    }

    pub(crate) async fn step(&mut self, input: &[Moved], _: &Step<'_>) -> Result<Stepped> {
        let mut stepped = Stepped::default();
        for moved in input {
            let (computed, rejected) = self.grouping.compute(moved).await?;
            stepped.dead.extend(rejected.into_iter().map(DeadRow::of));
            for computed in computed {
                let taken = self.grouping.operator.take(&computed, &|_, _| true);
                stepped.is_changed |= !taken.map_err(DataFusionError::from)?.touched.is_empty();
            }
        }
        self.is_changed |= stepped.is_changed;
        if stepped.is_changed {
            self.publishing.fall_behind();
        }
        Ok(stepped)
    }

    pub(crate) async fn refresh(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.is_changed) {
            return Ok(());
        }
        if let Some(groups) = self.grouping.operator.peek(ONLY)? {
            let (rows, _) = self.grouping.show(groups, &self.plan, None).await?;
            self.rows = rows;
        }
        Ok(())
    }

    pub(crate) fn change(&mut self, now_ms: u64) -> Option<Change> {
        self.publishing.change(self.plan.declared.publish, &self.rows, now_ms)
    }

    pub(crate) fn state(&mut self, all: bool) -> Result<StateRows> {
        let state = self.grouping.operator.unwritten(ONLY, all)?;
        self.grouping.operator.wrote();
        let schema = Arc::clone(self.grouping.operator.shape().state());
        Ok(StateRows { schema, rows: state.into_iter().collect(), is_whole: all })
    }

    pub(crate) fn restore(&mut self, state: &[RecordBatch]) -> Result<()> {
        self.clear()?;
        for batch in state {
            self.grouping.operator.merge(ONLY, batch).map_err(DataFusionError::from)?;
        }
        // What was published before the restart may be older than the state.
        self.publishing.fall_behind();
        Ok(())
    }

    pub(crate) async fn rebuild(&mut self, step: &Step<'_>) -> Result<()> {
        let (session, max) = (step.session, self.groups_max);
        let states = self.grouping.again(session, &self.plan, step.tables, Again::All, max).await?;
        self.clear()?;
        for (_, state) in states {
            self.grouping.operator.merge(ONLY, &state).map_err(DataFusionError::from)?;
        }
        self.grouping.operator.set_written(false);
        self.publishing.fall_behind();
        Ok(())
    }

    fn clear(&mut self) -> Result<()> {
        self.is_changed = true;
        self.grouping.operator.drop_window(ONLY);
        self.grouping.operator.touch(ONLY).map_err(DataFusionError::from)
    }
}
