//! A table of sessions: rows of one key that follow each other within a gap.
//!
//! Rows are grouped by panes as long as the gap first: two rows of one key and pane are always of
//! one session. What comes of that, a few groups of each tick, is merged into the sessions in
//! memory that it touches or bridges; the others are not looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use base::Epoch;
use datafusion::common::{Result, internal_err};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use rows::DeadKind;
use rows::sink::Change;
use spec::Late;

use crate::lookup::index::LookupRows;
use crate::operator::{Operator, Start};
use crate::plan::{TablePlan, WindowPlan};
use crate::table::grouping::{self, Again, Grouping};
use crate::table::sliced::Refreshed;
use crate::table::window_rows::{WindowRows, rfc3339, split_by_start};
use crate::table::{DeadRow, Moved, Room, Step, Stepped};

mod held;

use held::Held;

/// See the module.
///
/// A session is *over* when the watermark is past its last row by more than the gap. It stays in
/// memory for another gap: a row that is late by less than that still finds it, and corrects it.
/// For a row that comes later still, the table is computed again from the stored rows.
#[derive(Debug)]
pub(crate) struct Sessions {
    plan: Arc<TablePlan>,
    window: WindowPlan,
    gap_us: i64,
    groups_max: usize,
    grouping: Grouping,
    /// By the start of the sessions.
    pub(crate) rows: WindowRows,
    held: Held,
    /// Starts whose rows are older than their sessions.
    changed: BTreeSet<Start>,
    reached_us: Option<i64>,
    /// Whether rows came that may belong to sessions no longer in memory.
    is_outrun: bool,
    /// Whether computing all of it again must wait.
    pub(crate) rests: bool,
}

impl Sessions {
    pub(crate) async fn new(
        session: &SessionContext,
        plan: &Arc<TablePlan>,
        groups_max: usize,
    ) -> Result<Sessions> {
        let grouping = grouping::plan(session, plan, groups_max).await?;
        let Some(window) = plan.window.clone() else {
            return internal_err!("the table `{}` has no window", plan.name());
        };
        Ok(Sessions {
            plan: Arc::clone(plan),
            gap_us: window.size_us,
            groups_max,
            rows: WindowRows::new(plan, &WindowPlan { size_us: 1, ..window.clone() }, 1),
            held: Held::new(grouping.operator.shape(), window.group)?,
            grouping,
            window,
            changed: BTreeSet::new(),
            reached_us: None,
            is_outrun: false,
            rests: false,
        })
    }

    pub(crate) async fn step(&mut self, input: &[Moved], step: &Step<'_>) -> Result<Stepped> {
        let mut stepped = Stepped::default();
        self.reached_us = self.reached_us.max(step.time_us);
        let since = self.rows.watermark.map(|it| it.saturating_sub(self.gap_us));
        // What is not kept cannot be computed again.
        let refuses = self.plan.declared.late == Late::Dead || self.plan.input_keep.is_some();
        let gap_us = self.gap_us;
        for moved in input {
            let (computed, rejected) = self.grouping.compute(moved).await?;
            stepped.dead.extend(rejected.into_iter().map(DeadRow::of));
            let mut panes = Operator::new(Arc::clone(self.grouping.operator.shape()), usize::MAX);
            let is_outrun =
                |pane: Start| since.is_some_and(|since| pane.saturating_add(gap_us) <= since);
            let admit = |_: &Operator, pane: Start| !(refuses && is_outrun(pane));
            let (mut refused, mut lacks_time) = (BTreeSet::new(), false);
            for computed in &computed {
                let taken = panes.take(computed, &admit).map_err(DataFusionError::from)?;
                lacks_time |= taken.has_without_window;
                refused.extend(taken.refused);
            }
            if lacks_time || !refused.is_empty() {
                stepped.dead.extend(self.dead_rows(moved, &refused).await?);
            }
            let starts: Vec<Start> = panes.starts().collect();
            for pane in starts {
                self.is_outrun |= since.is_some_and(|since| pane < since);
                if let Some(state) = panes.state(pane)? {
                    self.merge(&state, step.epoch)?;
                    stepped.is_changed = true;
                }
            }
        }
        if self.groups_max < self.held.count() {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "more than {} open sessions; use a shorter gap, or group by fewer values",
                self.groups_max
            )));
        }
        Ok(stepped)
    }

    fn watermark(&self) -> Option<i64> {
        let hold_us = match self.plan.declared.late {
            Late::Dead => 0,
            Late::Hold(span) => i64::try_from(span.0.as_micros()).unwrap_or(i64::MAX),
        };
        let reached = self.reached_us.map(|it| it.saturating_sub(hold_us));
        self.rows.watermark.max(reached)
    }

    /// Merges groups of a pane into the sessions they touch.
    fn merge(&mut self, state: &RecordBatch, epoch: Epoch) -> Result<()> {
        let touched = self.held.merge(self.grouping.operator.shape(), state, self.gap_us)?;
        for start in touched {
            let is_gone = self.held.at(start).next().is_none();
            self.rows.hold(start, !is_gone && self.held.is_open_at(start));
            if is_gone && self.rows.is_final(start) == Some(false) {
                self.rows.drop_open(start);
            } else {
                self.rows.touch(start, epoch);
                self.changed.insert(start);
            }
        }
        Ok(())
    }

    async fn dead_rows(
        &mut self,
        moved: &Moved,
        refused: &BTreeSet<Start>,
    ) -> Result<Vec<DeadRow>> {
        let is_wanted = |pane: Option<Start>| pane.is_none_or(|it| refused.contains(&it));
        let found = self.grouping.locate(moved, &is_wanted).await?;
        let time = self.window.time.schema_name().to_string();
        let dead = found.into_iter().map(|(row, pane)| match pane {
            None => {
                let message = format!("`{time}` is NULL, so the row belongs to no session");
                DeadRow { row, kind: DeadKind::Compute, message }
            }
            Some(pane) => {
                let message = format!("sessions of about {} were final already", rfc3339(pane));
                DeadRow { row, kind: DeadKind::Late, message }
            }
        });
        Ok(dead.collect())
    }

    /// Shows what changed, and closes what is over.
    pub(crate) async fn refresh(&mut self, step: &Step<'_>) -> Result<Refreshed> {
        if self.is_outrun && !self.rests {
            self.is_outrun = false;
            self.rebuild(step).await?;
        }
        let mut dead = Vec::new();
        let changed = std::mem::take(&mut self.changed);
        for is_final in [false, true] {
            let starts = changed.iter().copied();
            let starts = starts.filter(|it| self.rows.is_final(*it) == Some(is_final)).collect();
            self.show(&starts, is_final, &mut dead).await?;
        }
        self.advance(step.epoch, &mut dead).await?;
        Ok(Refreshed { changed: self.rows.take_untold(), dead })
    }

    /// Brings the rows of sessions in memory up to date.
    async fn show(
        &mut self,
        starts: &BTreeSet<Start>,
        is_final: bool,
        dead: &mut Vec<DeadRow>,
    ) -> Result<()> {
        let mut of_starts = self.made(starts, is_final, dead).await?;
        for start in starts {
            self.rows.set(*start, of_starts.remove(start).unwrap_or_default());
        }
        Ok(())
    }

    /// Makes the rows of the sessions that begin at these moments.
    async fn made(
        &mut self,
        starts: &BTreeSet<Start>,
        is_final: bool,
        dead: &mut Vec<DeadRow>,
    ) -> Result<BTreeMap<Start, Vec<RecordBatch>>> {
        let Some(states) = self.held.states_at(starts)? else { return Ok(BTreeMap::new()) };
        let groups = self.grouping.operator.shape().evaluated(&states)?;
        let (rows, rejected) = self.grouping.show(groups, &self.plan, Some(is_final)).await?;
        if is_final {
            dead.extend(rejected.into_iter().map(DeadRow::of));
        }
        Ok(split_by_start(&rows, self.window.column, &|it| it)?)
    }

    /// Moves the watermark, closes the sessions that it passes and forgets what it has left behind.
    async fn advance(&mut self, epoch: Epoch, dead: &mut Vec<DeadRow>) -> Result<()> {
        self.rows.watermark = self.watermark();
        let Some(watermark) = self.rows.watermark else { return Ok(()) };
        let over = self.held.over(watermark.saturating_sub(self.gap_us));
        if !over.is_empty() {
            let rows = self.made(&over, true, dead).await?;
            for start in &over {
                self.held.close(*start);
                self.rows.hold(*start, false);
            }
            drop(self.rows.take_over());
            for batch in rows.into_values().flatten() {
                self.rows.push_final(epoch, batch);
            }
        }
        let behind = watermark.saturating_sub(self.gap_us.saturating_mul(2));
        let rows = &self.rows;
        self.held.forget(behind, &|start| rows.is_final(start).is_none())
    }

    pub(crate) fn change(&mut self, epoch: Epoch) -> Result<Option<Change>> {
        if !self.changed.is_empty() {
            return internal_err!("an epoch ended before its sessions were brought up to date");
        }
        Ok(self.rows.change(epoch))
    }

    pub(crate) fn groups(&self) -> usize {
        self.held.count()
    }

    /// Returns the bytes of the sessions in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.held.bytes()
    }

    /// Returns up to when no session may begin that is not final.
    pub(crate) fn final_until(&self) -> Option<i64> {
        let watermark = self.rows.watermark?;
        Some(self.rows.held().map_or(watermark, |it| it.min(watermark)))
    }

    /// Returns the sessions in memory; nothing while all of it has to be computed again, so that a
    /// restart does so.
    pub(crate) fn state(&self) -> Result<Option<(SchemaRef, Vec<RecordBatch>)>> {
        if self.is_outrun { Ok(None) } else { self.held.to_state().map(Some) }
    }

    pub(crate) fn restore(&mut self, state: &[RecordBatch], watermark: Option<i64>) -> Result<()> {
        self.rows.watermark = watermark;
        for batch in state {
            self.held.take_state(batch)?;
        }
        for start in self.held.starts() {
            if self.held.is_open_at(start) {
                self.rows.hold(start, true);
                self.rows.touch(start, Epoch(0));
                self.changed.insert(start);
            }
        }
        Ok(())
    }

    /// Computes all sessions again from the stored rows.
    pub(crate) async fn rebuild(&mut self, step: &Step<'_>) -> Result<()> {
        let room = Room { groups_max: self.groups_max, spills: None };
        let states = self.grouping.again(step, &self.plan, Again::All, &room).await?;
        self.held = Held::new(self.grouping.operator.shape(), self.window.group)?;
        self.rows.replace_all(step.epoch);
        self.changed.clear();
        self.reached_us = self.reached_us.max(step.time_us);
        // All are open until the watermark, as it was, closes those that are over.
        let watermark = self.rows.watermark.take();
        for (_, state) in states {
            self.merge(&state, step.epoch)?;
        }
        self.rows.watermark = watermark;
        let mut told_before = Vec::new();
        let changed = std::mem::take(&mut self.changed);
        self.show(&changed, false, &mut told_before).await?;
        self.advance(step.epoch, &mut told_before).await
    }

    pub(crate) fn set_lookup(&mut self, name: &base::Name, rows: &Arc<LookupRows>) -> Result<()> {
        self.grouping.set_lookup(name, rows)
    }
}
