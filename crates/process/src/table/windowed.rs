//! A table of windows whose groups are held in memory and take each row in once.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use base::Epoch;
use datafusion::common::internal_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::prelude::SessionContext;
use rows::DeadKind;
use rows::sink::Change;
use spec::Late;

use crate::operator::{Operator, Parts, Start};
use crate::pipe::Rejected;
use crate::plan::{TablePlan, WindowPlan};
use crate::spill::shown::Shown;
use crate::spill::{NamedWindow, Spilled};
use crate::table::grouping::{self, Again, Grouping};
use crate::table::sliced::Refreshed;
use crate::table::window_rows::{WindowRows, rfc3339, split_by_start};
use crate::table::{DeadRow, Moved, OnDisk, Room, StateRows, Step, Stepped};

/// See the module.
///
/// The groups of open windows are in memory. When a window is final its groups leave memory; one
/// that is corrected is grouped again from the rows below, and its groups stay in memory for the
/// rest of that epoch and the next, so that a stretch of late rows costs one reading.
#[derive(Debug)]
pub(crate) struct Windowed {
    plan: Arc<TablePlan>,
    window: WindowPlan,
    pub(crate) grouping: Grouping,
    room: Room,
    pub(crate) rows: WindowRows,
    /// Windows whose rows are older than their groups.
    changed: BTreeSet<Start>,
    /// Whether open windows whose groups are on disk must wait to be shown.
    pub(crate) rests: bool,
}

impl Windowed {
    pub(crate) async fn new(
        session: &SessionContext,
        plan: &Arc<TablePlan>,
        room: &Room,
    ) -> Result<Windowed> {
        let grouping = grouping::plan(session, plan, room.operator_groups_max()).await?;
        let Some(window) = plan.window.clone() else {
            return internal_err!("the table `{}` has no window", plan.name());
        };
        Ok(Windowed {
            plan: Arc::clone(plan),
            rows: WindowRows::new(plan, &window, 1),
            window,
            grouping,
            room: room.clone(),
            changed: BTreeSet::new(),
            rests: false,
        })
    }

    pub(crate) async fn step(&mut self, input: &[Moved], step: &Step<'_>) -> Result<Stepped> {
        let mut stepped = Stepped::default();
        let mut late = BTreeSet::new();
        let mut newest: Option<Start> = None;
        for moved in input {
            let (computed, rejected) = self.grouping.compute(moved).await?;
            stepped.dead.extend(rejected.into_iter().map(DeadRow::of));
            let (watermark, window) = (self.rows.watermark, self.window.clone());
            let admit = |operator: &Operator, pane: Start| {
                operator.has(pane) || watermark.is_none_or(|it| it < window.last_end(pane))
            };
            let (mut refused, mut lacks_window) = (BTreeSet::new(), false);
            for computed in &computed {
                let taken =
                    self.grouping.operator.take(computed, &admit).map_err(DataFusionError::from)?;
                lacks_window |= taken.has_without_window;
                refused.extend(taken.refused);
                newest = newest.max(taken.touched.iter().copied().max());
                for pane in taken.touched {
                    stepped.is_changed = true;
                    self.touch_open(pane);
                    late.insert(pane);
                }
            }
            let lost = self.lost(&refused, step.now_ms);
            if lacks_window || !lost.is_empty() {
                stepped.dead.extend(self.dead_rows(moved, &lost).await?);
            }
            late.extend(refused.difference(&lost));
        }
        stepped.is_changed |= self.correct(&late, step).await?;
        let time = if self.window.sources.is_empty() { newest } else { step.time_us };
        stepped.is_changed |= self.advance(time, step.epoch, &mut stepped.dead).await?;
        Ok(stepped)
    }

    /// Notes that a pane got rows, for the open windows it lies in.
    fn touch_open(&mut self, pane: Start) {
        for start in self.window.windows_of(pane) {
            if !self.rows.is_over(start) {
                self.touch(start, Epoch(0));
            }
        }
    }

    /// Notes that a window got rows; all its panes are in memory.
    fn touch(&mut self, start: Start, epoch: Epoch) {
        self.changed.insert(start);
        self.rows.touch(start, epoch);
    }

    /// Returns the panes, of those whose windows are over, whose late rows are dead letters: all if
    /// the table says so, else those of whose windows not all rows are kept, so that grouping them
    /// again would lose what they were.
    fn lost(&self, refused: &BTreeSet<Start>, now_ms: u64) -> BTreeSet<Start> {
        if self.plan.declared.late == Late::Dead {
            return refused.clone();
        }
        let Some(kept_from) = self.kept_from(now_ms) else { return BTreeSet::new() };
        let is_lost = |pane: &Start| self.window.windows_of(*pane).any(|it| it < kept_from);
        refused.iter().copied().filter(is_lost).collect()
    }

    /// Returns since when all rows below are kept, in microseconds; none if for ever.
    fn kept_from(&self, now_ms: u64) -> Option<i64> {
        let kept_from_ms = now_ms.saturating_sub(self.plan.input_keep?.as_millis());
        Some(i64::try_from(kept_from_ms).unwrap_or(i64::MAX).saturating_mul(1_000))
    }

    /// Finds the rows without a window, and those that came too late.
    async fn dead_rows(&mut self, moved: &Moved, lost: &BTreeSet<Start>) -> Result<Vec<DeadRow>> {
        let is_wanted = |start: Option<Start>| start.is_none_or(|it| lost.contains(&it));
        let found = self.grouping.locate(moved, &is_wanted).await?;
        let time = self.window.time.schema_name().to_string();
        let dead = found.into_iter().map(|(row, start)| match start {
            None => {
                let message = format!("`{time}` is NULL, so the row belongs to no window");
                DeadRow { row, kind: DeadKind::Compute, message }
            }
            Some(start) => {
                let start = rfc3339(start);
                let message = format!("the window that began at {start} was final already");
                DeadRow { row, kind: DeadKind::Late, message }
            }
        });
        Ok(dead.collect())
    }

    /// Corrects the final windows that these panes lie in: what of them is no longer in memory is
    /// grouped again, from all rows below including those of this tick.
    async fn correct(&mut self, panes: &BTreeSet<Start>, step: &Step<'_>) -> Result<bool> {
        if self.plan.declared.late == Late::Dead {
            return Ok(false);
        }
        let kept_from = self.kept_from(step.now_ms);
        let over: BTreeSet<Start> = panes
            .iter()
            .flat_map(|it| self.window.windows_of(*it))
            .filter(|it| self.rows.is_over(*it))
            .collect();
        let operator = &self.grouping.operator;
        let (mut windows, mut missing) = (Vec::new(), BTreeSet::new());
        for start in over {
            let panes = self.window.panes_of(start).filter(|it| !operator.has(*it));
            let panes: Vec<Start> = panes.collect();
            let is_kept = kept_from.is_none_or(|from| from <= start);
            if is_kept || panes.is_empty() {
                missing.extend(panes);
                windows.push(start);
            }
        }
        let missing: Vec<Start> = missing.into_iter().collect();
        if !missing.is_empty() {
            let room = Room { spills: None, ..self.room.clone() };
            let which = Again::Panes(&missing);
            let states = self.grouping.again(step, &self.plan, which, &room).await?;
            for (pane, state) in states {
                self.grouping.operator.merge(pane, &state).map_err(DataFusionError::from)?;
            }
        }
        for start in &windows {
            self.touch(*start, step.epoch);
        }
        Ok(!windows.is_empty())
    }

    /// Moves the watermark and closes the windows it passes.
    async fn advance(
        &mut self,
        time_us: Option<i64>,
        epoch: Epoch,
        dead: &mut Vec<DeadRow>,
    ) -> Result<bool> {
        let hold_us = match self.plan.declared.late {
            Late::Dead => 0,
            Late::Hold(span) => i64::try_from(span.0.as_micros()).unwrap_or(i64::MAX),
        };
        let reached = time_us.map(|it| it.saturating_sub(hold_us));
        self.rows.watermark = self.rows.watermark.max(reached);
        let over = self.rows.take_over();
        for (start, _) in &over {
            self.changed.remove(start);
            let (shown, rejected) = self.close(*start).await?;
            dead.extend(rejected.into_iter().map(DeadRow::of));
            self.rows.push_final_of(epoch, *start, shown);
        }
        if !over.is_empty() {
            self.drop_panes(epoch);
        }
        Ok(!over.is_empty())
    }

    /// Returns the rows of a window that is over.
    async fn close(&mut self, start: Start) -> Result<(Shown, Vec<Rejected>)> {
        if self.is_on_disk(start) {
            let shown = self.show_from_disk(start, true).await;
            if self.window.is_one_pane() {
                self.grouping.operator.drop_window(start);
            }
            return shown;
        }
        let groups = if self.window.is_one_pane() {
            self.grouping.operator.close(start)?
        } else {
            self.groups(start)?
        };
        let Some(groups) = groups else { return Ok(Default::default()) };
        let (rows, rejected) = self.grouping.show(groups, &self.plan, Some(true)).await?;
        Ok((Shown { rows, spilled: None }, rejected))
    }

    /// Returns whether groups of a window are on disk.
    fn is_on_disk(&self, start: Start) -> bool {
        let operator = &self.grouping.operator;
        operator.uses_disk() && self.window.panes_of(start).any(|it| operator.is_on_disk(it))
    }

    /// Returns the rows of a window some of whose groups are on disk.
    async fn show_from_disk(
        &mut self,
        start: Start,
        is_final: bool,
    ) -> Result<(Shown, Vec<Rejected>)> {
        let parts: Option<Parts> = if self.window.is_one_pane() {
            self.grouping.operator.parts(start)?
        } else {
            let panes = self.window.panes_of(start);
            Some(self.grouping.operator.parts_of(start, panes)?)
        };
        let Some(parts) = parts else { return Ok(Default::default()) };
        let spills = self.room.spills.as_ref();
        Box::pin(self.grouping.show_parts(&parts, &self.plan, Some(is_final), spills)).await
    }

    /// Returns the groups of a window as they are now.
    fn groups(&mut self, start: Start) -> Result<Option<RecordBatch>> {
        if self.window.is_one_pane() {
            return self.grouping.operator.peek(start);
        }
        self.combined(&BTreeSet::from([start])).map(Some)
    }

    fn combined(&mut self, starts: &BTreeSet<Start>) -> Result<RecordBatch> {
        let window = &self.window;
        self.grouping.operator.combine(starts, |it| window.panes_of(it))
    }

    /// Forgets the panes that neither an open window needs nor one corrected in this epoch.
    fn drop_panes(&mut self, epoch: Epoch) {
        let is_needed = |pane: Start| {
            self.rows.watermark.is_none_or(|it| it < self.window.last_end(pane))
                || self.window.windows_of(pane).any(|it| self.rows.is_corrected(it, epoch))
        };
        let panes = self.grouping.operator.starts();
        let forgotten: Vec<Start> = panes.filter(|it| !is_needed(*it)).collect();
        for pane in forgotten {
            self.grouping.operator.drop_window(pane);
        }
    }

    /// Brings the rows up to date.
    pub(crate) async fn refresh(&mut self) -> Result<Refreshed> {
        let changed = std::mem::take(&mut self.changed);
        for is_final in [false, true] {
            let starts = changed.iter().copied();
            let mut starts: BTreeSet<Start> =
                starts.filter(|it| self.rows.is_final(*it) == Some(is_final)).collect();
            let is_on_disk = |it: &Start| self.is_on_disk(*it);
            let on_disk: BTreeSet<Start> = starts.iter().copied().filter(is_on_disk).collect();
            starts.retain(|it| !on_disk.contains(it));
            self.show(&starts, is_final).await?;
            if self.rests && !is_final {
                self.changed.extend(on_disk);
                continue;
            }
            for start in on_disk {
                let (shown, _) = self.show_from_disk(start, is_final).await?;
                self.rows.set_shown(start, shown);
            }
        }
        let mut told = self.rows.take_untold();
        self.rows.keep_untold(&self.changed);
        told.retain(|it| !self.changed.contains(it));
        Ok(Refreshed { changed: told, dead: Vec::new() })
    }

    /// Brings the rows of windows up to date whose groups are in memory.
    async fn show(&mut self, starts: &BTreeSet<Start>, is_final: bool) -> Result<()> {
        if self.window.is_one_pane() {
            for start in starts {
                let Some(groups) = self.groups(*start)? else { continue };
                let (rows, _) = self.grouping.show(groups, &self.plan, Some(is_final)).await?;
                self.rows.set(*start, rows);
            }
        } else if !starts.is_empty() {
            let groups = self.combined(starts)?;
            let (rows, _) = self.grouping.show(groups, &self.plan, Some(is_final)).await?;
            let mut of_starts = split_by_start(&rows, self.window.column, &|it| it)?;
            for start in starts {
                self.rows.set(*start, of_starts.remove(start).unwrap_or_default());
            }
        }
        Ok(())
    }

    /// INVARIANT: `refresh` was called since the last step.
    pub(crate) fn change(&mut self, epoch: Epoch) -> Result<Option<Change>> {
        if self.changed.iter().any(|it| self.rows.is_final(*it) == Some(true)) {
            return internal_err!("an epoch ended before its windows were brought up to date");
        }
        let change = self.rows.change(epoch);
        // Windows corrected in an earlier epoch, and quiet since, need their groups no more.
        self.drop_panes(epoch);
        Ok(change)
    }

    pub(crate) fn state(&mut self, all: bool) -> Result<StateRows> {
        let of_open =
            |pane: &Start| self.rows.watermark.is_none_or(|it| it < self.window.last_end(*pane));
        let open: Vec<Start> = self.grouping.operator.starts().filter(of_open).collect();
        let mut states = Vec::new();
        for start in open {
            states.extend(self.grouping.operator.unwritten(start, all)?);
        }
        self.grouping.operator.wrote();
        let schema = Arc::clone(self.grouping.operator.shape().state());
        let on_disk = OnDisk::of(&self.grouping.operator, &|it| of_open(&it));
        Ok(StateRows { schema, rows: states, is_whole: all, on_disk })
    }

    /// Takes over what was on disk.
    pub(crate) fn attach(
        &mut self,
        on_disk: Vec<(NamedWindow, Vec<Arc<Spilled>>)>,
        watermark: Option<i64>,
    ) {
        self.rows.watermark = watermark;
        for (named, files) in on_disk {
            self.grouping.operator.attach(named.start, named.since, files);
            self.touch_open(named.start);
        }
    }

    pub(crate) fn restore(&mut self, state: &[RecordBatch], watermark: Option<i64>) -> Result<()> {
        self.rows.watermark = watermark;
        for batch in state {
            let Some(start) = self.grouping.operator.shape().start_of(batch) else { continue };
            if watermark.is_some_and(|it| self.window.last_end(start) <= it) {
                continue; // It was written before it was final.
            }
            self.grouping.operator.merge(start, batch).map_err(DataFusionError::from)?;
            self.touch_open(start);
        }
        Ok(())
    }

    /// Groups the windows that are open at `watermark` again: their state does not fit any more.
    pub(crate) async fn reopen(&mut self, step: &Step<'_>, watermark: Option<i64>) -> Result<()> {
        let which = match watermark {
            None => Again::All,
            // A window is open if it ends after the watermark.
            Some(it) => Again::From(it.saturating_sub(self.window.size_us).saturating_add(1)),
        };
        let states = self.grouping.again(step, &self.plan, which, &self.room).await?;
        let states: Vec<RecordBatch> = states.into_iter().map(|(_, it)| it).collect();
        self.rows.watermark = watermark;
        self.touch_on_disk();
        self.restore(&states, watermark)
    }

    /// Notes that what is on disk was grouped anew.
    fn touch_on_disk(&mut self) {
        let operator = &self.grouping.operator;
        let panes: Vec<Start> = operator.starts().filter(|it| operator.is_on_disk(*it)).collect();
        panes.into_iter().for_each(|it| self.touch_open(it));
    }

    pub(crate) async fn rebuild(&mut self, step: &Step<'_>) -> Result<()> {
        let panes: Vec<Start> = self.grouping.operator.starts().collect();
        for pane in panes {
            self.grouping.operator.drop_window(pane);
        }
        let states = self.grouping.again(step, &self.plan, Again::All, &self.room).await?;
        self.rows.replace_all(step.epoch);
        self.changed.clear();
        let newest = states.iter().map(|(start, _)| *start).max();
        let newest = newest.max(self.grouping.operator.starts().max());
        let states: Vec<RecordBatch> = states.into_iter().map(|(_, it)| it).collect();
        // All windows are open until the watermark, as it was, closes those that are over.
        let watermark = self.rows.watermark.take();
        self.touch_on_disk();
        self.restore(&states, None)?;
        self.grouping.operator.set_written(false);
        self.rows.watermark = watermark;
        let time = if self.window.sources.is_empty() { newest } else { step.time_us };
        let mut told_before = Vec::new();
        self.advance(time, step.epoch, &mut told_before).await?;
        Ok(())
    }
}
