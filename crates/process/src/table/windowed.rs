//! A table of windows: open ones in memory, final ones handed over, corrected ones replaced.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use base::Epoch;
use datafusion::common::internal_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::prelude::SessionContext;
use rows::DeadKind;
use rows::sink::{Change, Replace};
use spec::Late;

use crate::hot::HotRows;
use crate::operator::{Operator, Start};
use crate::plan::{TablePlan, WindowPlan};
use crate::table::grouping::{self, Again, Grouping};
use crate::table::{DeadRow, Step, Stepped};
use crate::view::Hides;

/// See the module.
///
/// A window is *open* until the watermark passes its end; its groups are in memory. Then it is
/// *final*: its groups leave memory, its rows wait here until the epoch that stores them is
/// durable. A row that comes later makes the window *corrected*: it is grouped again from the rows
/// below, and its groups stay in memory for the rest of that epoch and the next, so that a stretch
/// of late rows costs one reading.
#[derive(Debug)]
pub(crate) struct Windowed {
    plan: Arc<TablePlan>,
    window: WindowPlan,
    pub(crate) grouping: Grouping,
    groups_max: usize,
    /// Windows that end at or before it are final.
    pub(crate) watermark: Option<i64>,
    /// Final windows that were corrected, ever; once per window and epoch.
    pub(crate) corrections: u64,
    /// Open and corrected windows.
    hot: BTreeMap<Start, Hot>,
    /// Windows that became final and are not stored yet.
    finals: HotRows,
    /// Windows whose rows are older than their groups.
    changed: BTreeSet<Start>,
    /// The epoch that replaces the whole stored table.
    replaces_all: Option<Epoch>,
}

/// The rows of a window that are not stored, or not stored like this.
#[derive(Debug)]
struct Hot {
    rows: Vec<RecordBatch>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// Corrected in this epoch.
    Corrected(Epoch),
}

impl Windowed {
    pub(crate) async fn new(
        session: &SessionContext,
        plan: &Arc<TablePlan>,
        groups_max: usize,
    ) -> Result<Windowed> {
        let grouping = grouping::plan(session, plan, groups_max).await?;
        let Some(window) = plan.window.clone() else {
            return internal_err!("the table `{}` has no window", plan.name());
        };
        Ok(Windowed {
            plan: Arc::clone(plan),
            window,
            grouping,
            groups_max,
            watermark: None,
            corrections: 0,
            hot: BTreeMap::new(),
            finals: HotRows::default(),
            changed: BTreeSet::new(),
            replaces_all: None,
        })
    }

    pub(crate) async fn step(&mut self, input: &[RecordBatch], step: &Step<'_>) -> Result<Stepped> {
        let mut stepped = Stepped::default();
        let mut late = BTreeSet::new();
        let mut newest: Option<Start> = None;
        for batch in input {
            let (computed, rejected) = self.grouping.compute(batch.clone()).await?;
            stepped.dead.extend(rejected.into_iter().map(DeadRow::of));
            let (watermark, window) = (self.watermark, self.window.clone());
            let admit = |operator: &Operator, start: Start| {
                operator.has(start) || watermark.is_none_or(|it| it < window.end(start))
            };
            let (mut refused, mut lacks_window) = (BTreeSet::new(), false);
            for computed in &computed {
                let taken =
                    self.grouping.operator.take(computed, &admit).map_err(DataFusionError::from)?;
                lacks_window |= taken.has_without_window;
                refused.extend(taken.refused);
                newest = newest.max(taken.touched.iter().copied().max());
                for start in taken.touched {
                    stepped.is_changed = true;
                    self.touch(start, step.epoch);
                }
            }
            let lost = self.lost(&refused, step.now_ms);
            if lacks_window || !lost.is_empty() {
                stepped.dead.extend(self.dead_rows(batch, &lost).await?);
            }
            if self.plan.declared.late != Late::Dead {
                late.extend(refused.difference(&lost));
            }
        }
        if !late.is_empty() {
            stepped.is_changed = true;
            self.correct(&late.into_iter().collect::<Vec<_>>(), step).await?;
        }
        let time = if self.window.source.is_some() { step.time_us } else { newest };
        stepped.is_changed |= self.advance(time, step.epoch, &mut stepped.dead).await?;
        Ok(stepped)
    }

    /// Notes that a window in memory got rows.
    fn touch(&mut self, start: Start, epoch: Epoch) {
        self.changed.insert(start);
        let is_over = self.watermark.is_some_and(|it| self.window.end(start) <= it);
        let stage = if is_over { Stage::Corrected(epoch) } else { Stage::Open };
        let before = self.hot.get_mut(&start);
        let is_counted = before.as_ref().is_some_and(|it| it.stage == stage);
        if is_over && !is_counted {
            self.corrections += 1;
            // What it was when it became final may not be stored yet.
            let column = self.window.column;
            self.finals.remove(|rows| without_window(rows, column, start));
        }
        match before {
            Some(hot) => hot.stage = stage,
            None => {
                self.hot.insert(start, Hot { rows: Vec::new(), stage });
            }
        }
    }

    /// Returns the windows, of those that are over, whose late rows are dead letters: all if the
    /// table says so, else those of which not all rows are kept, so that grouping them again would
    /// lose what they were.
    fn lost(&self, refused: &BTreeSet<Start>, now_ms: u64) -> BTreeSet<Start> {
        if self.plan.declared.late == Late::Dead {
            return refused.clone();
        }
        let Some(keep) = self.plan.input_keep else { return BTreeSet::new() };
        let kept_from_ms = now_ms.saturating_sub(keep.as_millis());
        let kept_from = i64::try_from(kept_from_ms).unwrap_or(i64::MAX).saturating_mul(1_000);
        refused.iter().copied().filter(|it| *it < kept_from).collect()
    }

    /// Finds the rows without a window, and those that came too late.
    async fn dead_rows(
        &mut self,
        batch: &RecordBatch,
        lost: &BTreeSet<Start>,
    ) -> Result<Vec<DeadRow>> {
        let is_wanted = |start: Option<Start>| start.is_none_or(|it| lost.contains(&it));
        let found = self.grouping.locate(batch.clone(), &is_wanted).await?;
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

    /// Groups final windows again, from all rows below including those of this tick.
    async fn correct(&mut self, starts: &[Start], step: &Step<'_>) -> Result<()> {
        let (session, max) = (step.session, self.groups_max);
        let which = Again::Windows(starts);
        let states = self.grouping.again(session, &self.plan, step.tables, which, max).await?;
        for (start, state) in states {
            self.grouping.operator.merge(start, &state).map_err(DataFusionError::from)?;
            self.touch(start, step.epoch);
        }
        Ok(())
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
        self.watermark = self.watermark.max(reached);
        let Some(watermark) = self.watermark else { return Ok(false) };
        let over: Vec<Start> = self
            .hot
            .iter()
            .take_while(|(start, _)| self.window.end(**start) <= watermark)
            .filter(|(_, hot)| hot.stage == Stage::Open)
            .map(|(start, _)| *start)
            .collect();
        for start in &over {
            self.changed.remove(start);
            self.hot.remove(start);
            let Some(groups) = self.grouping.operator.close(*start)? else { continue };
            let (rows, rejected) = self.grouping.show(groups, &self.plan, Some(true)).await?;
            dead.extend(rejected.into_iter().map(DeadRow::of));
            rows.into_iter().for_each(|it| self.finals.push(epoch, it));
        }
        Ok(!over.is_empty())
    }

    pub(crate) async fn refresh(&mut self) -> Result<()> {
        for start in std::mem::take(&mut self.changed) {
            let Some(hot) = self.hot.get_mut(&start) else { continue };
            let Some(groups) = self.grouping.operator.peek(start)? else { continue };
            let is_final = hot.stage != Stage::Open;
            let (rows, _) = self.grouping.show(groups, &self.plan, Some(is_final)).await?;
            hot.rows = rows;
        }
        Ok(())
    }

    /// INVARIANT: `refresh` was called since the last step.
    pub(crate) fn change(&mut self, epoch: Epoch) -> Result<Option<Change>> {
        if !self.changed.is_empty() {
            return internal_err!("an epoch ended before its windows were brought up to date");
        }
        let change = self.finals.change(epoch);
        let mut rows = change.map(|it| it.rows).unwrap_or_default();
        let mut starts = Vec::new();
        for (start, hot) in &self.hot {
            match hot.stage {
                Stage::Corrected(of) if of == epoch => {
                    rows.extend(hot.rows.iter().cloned());
                    starts.push(*start);
                }
                // Corrected in an earlier epoch, and quiet since: its groups may go.
                Stage::Corrected(_) => self.grouping.operator.drop_window(*start),
                Stage::Open => {}
            }
        }
        let forgotten: Vec<Start> =
            self.grouping.operator.starts().filter(|it| !self.hot.contains_key(it)).collect();
        for start in forgotten {
            self.grouping.operator.drop_window(start);
        }
        let replace = if self.replaces_all == Some(epoch) {
            Replace::All
        } else if starts.is_empty() {
            Replace::Nothing
        } else {
            let column = self.plan.schema.field(self.window.column).name().clone();
            Replace::Windows { column, starts }
        };
        let is_any = !rows.is_empty() || replace != Replace::Nothing;
        Ok(is_any.then_some(Change { rows, replace }))
    }

    pub(crate) fn stored(&mut self, epoch: Epoch) {
        self.hot.retain(|_, it| match it.stage {
            Stage::Open => true,
            Stage::Corrected(of) => epoch < of,
        });
        self.finals.stored(epoch);
        if self.replaces_all.is_some_and(|it| it <= epoch) {
            self.replaces_all = None;
        }
    }

    pub(crate) fn hot(&self) -> (Vec<RecordBatch>, Hides) {
        let mut rows = self.finals.rows();
        rows.extend(self.hot.values().flat_map(|it| it.rows.iter().cloned()));
        if self.replaces_all.is_some() {
            return (rows, Hides::All);
        }
        let is_correction = |it: &Hot| it.stage != Stage::Open;
        let starts: HashSet<i64> =
            self.hot.iter().filter(|(_, it)| is_correction(it)).map(|(start, _)| *start).collect();
        if starts.is_empty() {
            return (rows, Hides::Nothing);
        }
        (rows, Hides::Windows { column: self.window.column, starts: Arc::new(starts) })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.finals.bytes()
    }

    /// Returns the number of windows in memory.
    pub(crate) fn windows(&self) -> usize {
        self.grouping.operator.starts().count()
    }

    pub(crate) fn state(&mut self) -> Result<(SchemaRef, Vec<RecordBatch>)> {
        let open: Vec<Start> = self
            .hot
            .iter()
            .filter(|(_, it)| it.stage == Stage::Open)
            .map(|(start, _)| *start)
            .collect();
        let mut states = Vec::new();
        for start in open {
            states.extend(self.grouping.operator.state(start)?);
        }
        Ok((Arc::clone(self.grouping.operator.shape().state()), states))
    }

    pub(crate) fn restore(&mut self, state: &[RecordBatch], watermark: Option<i64>) -> Result<()> {
        self.watermark = watermark;
        for batch in state {
            let Some(start) = self.grouping.operator.shape().start_of(batch) else { continue };
            self.grouping.operator.merge(start, batch).map_err(DataFusionError::from)?;
            self.touch(start, Epoch(0));
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
        let (session, max) = (step.session, self.groups_max);
        let states = self.grouping.again(session, &self.plan, step.tables, which, max).await?;
        let states: Vec<RecordBatch> = states.into_iter().map(|(_, it)| it).collect();
        self.restore(&states, watermark)
    }

    pub(crate) async fn rebuild(&mut self, step: &Step<'_>) -> Result<()> {
        let (session, max) = (step.session, self.groups_max);
        let states = self.grouping.again(session, &self.plan, step.tables, Again::All, max).await?;
        let open: Vec<Start> = self.grouping.operator.starts().collect();
        for start in open {
            self.grouping.operator.drop_window(start);
        }
        self.hot.clear();
        self.finals = HotRows::default();
        self.changed.clear();
        let newest = states.iter().map(|(start, _)| *start).max();
        let states: Vec<RecordBatch> = states.into_iter().map(|(_, it)| it).collect();
        self.restore(&states, self.watermark)?;
        self.replaces_all = Some(step.epoch);
        let time = if self.window.source.is_some() { step.time_us } else { newest };
        let mut told_before = Vec::new();
        self.advance(time, step.epoch, &mut told_before).await?;
        Ok(())
    }
}

/// Returns the rows that are not of a window, or nothing if none is.
fn without_window(rows: &RecordBatch, column: usize, start: Start) -> Option<RecordBatch> {
    let starts = rows.columns().get(column)?;
    let starts = starts.as_primitive_opt::<TimestampMicrosecondType>()?;
    if !starts.iter().any(|it| it == Some(start)) {
        return None;
    }
    let keep: BooleanArray = starts.iter().map(|it| Some(it != Some(start))).collect();
    filter_record_batch(rows, &keep).ok()
}

/// Writes a moment as people read it.
fn rfc3339(micros: i64) -> String {
    match arrow::temporal_conversions::timestamp_us_to_datetime(micros) {
        Some(it) => format!("{}", it.and_utc().format("%Y-%m-%dT%H:%M:%S%.fZ")),
        None => format!("{micros} us"),
    }
}
