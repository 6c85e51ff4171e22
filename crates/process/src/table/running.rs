//! Totals since the beginning, by group.

use std::sync::Arc;

use arrow::array::RecordBatch;
use base::Epoch;
use datafusion::error::{DataFusionError, Result};
use datafusion::prelude::SessionContext;
use rows::sink::Change;

use crate::plan::TablePlan;
use crate::spill::shown::Shown;
use crate::spill::{NamedWindow, Spilled, Spills};
use crate::table::grouping::{self, Again, Grouping};
use crate::table::publishing::Publishing;
use crate::table::sliced::Refreshed;
use crate::table::{DeadRow, Hot, Moved, OnDisk, Room, StateRows, Step, Stepped};
use crate::view::Hides;

/// The one window of a running table.
const ONLY: i64 = 0;

/// See the module.
#[derive(Debug)]
pub(crate) struct Running {
    plan: Arc<TablePlan>,
    pub(crate) grouping: Grouping,
    /// The totals as they are shown.
    pub(crate) shown: Shown,
    room: Room,
    is_changed: bool,
    publishing: Publishing,
    /// Whether totals on disk must wait to be shown.
    pub(crate) rests: bool,
}

impl Running {
    pub(crate) async fn new(
        session: &SessionContext,
        plan: &Arc<TablePlan>,
        room: &Room,
    ) -> Result<Running> {
        let mut grouping = grouping::plan(session, plan, room.operator_groups_max()).await?;
        grouping.operator.touch(ONLY).map_err(DataFusionError::from)?;
        Ok(Running {
            plan: Arc::clone(plan),
            grouping,
            shown: Shown::default(),
            room: room.clone(),
            is_changed: true,
            publishing: Publishing::default(),
            rests: false,
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

    pub(crate) async fn refresh(&mut self) -> Result<Refreshed> {
        let mut refreshed = Refreshed::default();
        if self.rests && self.grouping.operator.uses_disk() {
            return Ok(refreshed);
        }
        if !std::mem::take(&mut self.is_changed) {
            return Ok(refreshed);
        }
        if self.grouping.operator.uses_disk() {
            let Some(parts) = self.grouping.operator.parts(ONLY)? else { return Ok(refreshed) };
            let spills = self.room.spills.as_ref();
            (self.shown, _) = self.grouping.show_parts(&parts, &self.plan, None, spills).await?;
            self.publishing.fall_behind();
            // The rows may have come some ticks ago.
            refreshed.changed.insert(ONLY);
        } else if let Some(groups) = self.grouping.operator.peek(ONLY)? {
            let (rows, _) = self.grouping.show(groups, &self.plan, None).await?;
            self.shown = Shown { rows, spilled: None };
        }
        Ok(refreshed)
    }

    pub(crate) fn hot(&self) -> Hot {
        let spilled = self.shown.spilled.iter().map(Arc::clone).collect();
        Hot { rows: self.shown.rows.clone(), hides: Hides::All, spilled }
    }

    /// Frees about so many bytes of memory; returns how many.
    pub(crate) fn free(&mut self, bytes: usize, spills: &Spills, epoch: Epoch) -> Result<usize> {
        let mut freed = self.grouping.operator.free(bytes, spills, epoch)?;
        if freed < bytes {
            freed += self.shown.bytes();
            self.shown.spill(spills)?;
        }
        Ok(freed)
    }

    pub(crate) fn change(&mut self, now_ms: u64) -> Option<Change> {
        self.publishing.change(self.plan.declared.publish, &self.shown, now_ms)
    }

    pub(crate) fn state(&mut self, all: bool) -> Result<StateRows> {
        let state = self.grouping.operator.unwritten(ONLY, all)?;
        self.grouping.operator.wrote();
        let schema = Arc::clone(self.grouping.operator.shape().state());
        let on_disk = OnDisk::of(&self.grouping.operator, &|_| true);
        Ok(StateRows { schema, rows: state.into_iter().collect(), is_whole: all, on_disk })
    }

    pub(crate) fn restore(
        &mut self,
        state: &[RecordBatch],
        on_disk: Vec<(NamedWindow, Vec<Arc<Spilled>>)>,
    ) -> Result<()> {
        self.clear()?;
        for (named, files) in on_disk {
            self.grouping.operator.attach(ONLY, named.since, files);
        }
        for batch in state {
            self.grouping.operator.merge(ONLY, batch).map_err(DataFusionError::from)?;
        }
        // What was published before the restart may be older than the state.
        self.publishing.fall_behind();
        Ok(())
    }

    pub(crate) async fn rebuild(&mut self, step: &Step<'_>) -> Result<()> {
        self.clear()?;
        let states = self.grouping.again(step, &self.plan, Again::All, &self.room).await?;
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
