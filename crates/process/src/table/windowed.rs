//! A table of windows: open ones in memory, final ones handed over, corrected ones replaced.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use base::Epoch;
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::prelude::SessionContext;
use rows::DeadKind;
use rows::sink::{Change, Replace};
use spec::Late;

use crate::operator::{Operator, Start};
use crate::plan::{TablePlan, WindowPlan};
use crate::table::grouping::{self, Again, Grouping, broken};
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
    hot: BTreeMap<Start, Hot>,
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
    /// Final since, or corrected in, this epoch.
    Final {
        epoch: Epoch,
        is_correction: bool,
    },
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
                let taken = self.grouping.operator.take(computed, &admit).map_err(broken)?;
                lacks_window |= taken.has_without_window;
                refused.extend(taken.refused);
                newest = newest.max(taken.touched.iter().copied().max());
                for start in taken.touched {
                    stepped.is_changed = true;
                    self.touch(start, step.epoch);
                }
            }
            if lacks_window || (!refused.is_empty() && self.plan.declared.late == Late::Dead) {
                stepped.dead.extend(self.dead_rows(batch, &refused).await?);
            }
            if self.plan.declared.late != Late::Dead {
                late.extend(refused);
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
        // Groups of a corrected window may outlive its rows here.
        let is_over = self.watermark.is_some_and(|it| self.window.end(start) <= it);
        let stage = if is_over {
            Stage::Final { epoch: Epoch(0), is_correction: false }
        } else {
            Stage::Open
        };
        let hot = self.hot.entry(start).or_insert(Hot { rows: Vec::new(), stage });
        if let Stage::Final { epoch: of, is_correction } = &mut hot.stage {
            if !*is_correction || *of != epoch {
                self.corrections += 1;
            }
            (*of, *is_correction) = (epoch, true);
        }
    }

    /// Finds the rows without a window, and those that came too late.
    async fn dead_rows(
        &mut self,
        batch: &RecordBatch,
        refused: &BTreeSet<Start>,
    ) -> Result<Vec<DeadRow>> {
        let is_dead_if_late = self.plan.declared.late == Late::Dead;
        let is_wanted = |start: Option<Start>| match start {
            None => true,
            Some(start) => is_dead_if_late && refused.contains(&start),
        };
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
            self.grouping.operator.merge(start, &state).map_err(broken)?;
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
        let is_over = |start: &Start, hot: &Hot| {
            hot.stage == Stage::Open && self.window.end(*start) <= watermark
        };
        let over: Vec<Start> =
            self.hot.iter().filter(|(start, hot)| is_over(start, hot)).map(|(it, _)| *it).collect();
        for start in &over {
            self.changed.remove(start);
            let Some(groups) = self.grouping.operator.close(*start)? else { continue };
            let (rows, rejected) = self.grouping.show(groups, &self.plan, Some(true)).await?;
            dead.extend(rejected.into_iter().map(DeadRow::of));
            let stage = Stage::Final { epoch, is_correction: false };
            self.hot.insert(*start, Hot { rows, stage });
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
        let mut rows = Vec::new();
        let mut starts = Vec::new();
        let mut is_any = false;
        for (start, hot) in &self.hot {
            match hot.stage {
                Stage::Final { epoch: of, is_correction } if of == epoch => {
                    is_any = true;
                    rows.extend(hot.rows.iter().cloned());
                    if is_correction {
                        starts.push(*start);
                    }
                }
                // Corrected in an earlier epoch, and quiet since: its groups may go.
                Stage::Final { .. } => self.grouping.operator.drop_window(*start),
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
        let is_any = is_any || replace == Replace::All;
        Ok(is_any.then_some(Change { rows, replace }))
    }

    pub(crate) fn stored(&mut self, epoch: Epoch) {
        self.hot.retain(|_, it| match it.stage {
            Stage::Open => true,
            Stage::Final { epoch: of, .. } => epoch < of,
        });
        if self.replaces_all.is_some_and(|it| it <= epoch) {
            self.replaces_all = None;
        }
    }

    pub(crate) fn hot(&self) -> (Vec<RecordBatch>, Hides) {
        let rows = self.hot.values().flat_map(|it| it.rows.iter().cloned()).collect();
        if self.replaces_all.is_some() {
            return (rows, Hides::All);
        }
        let is_correction = |it: &Hot| matches!(it.stage, Stage::Final { is_correction: true, .. });
        let starts: HashSet<i64> =
            self.hot.iter().filter(|(_, it)| is_correction(it)).map(|(start, _)| *start).collect();
        if starts.is_empty() {
            return (rows, Hides::Nothing);
        }
        (rows, Hides::Windows { column: self.window.column, starts: Arc::new(starts) })
    }

    pub(crate) fn bytes(&self) -> usize {
        let is_final = |it: &&Hot| it.stage != Stage::Open;
        let rows = self.hot.values().filter(is_final).flat_map(|it| &it.rows);
        rows.map(RecordBatch::get_array_memory_size).sum()
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
            self.grouping.operator.merge(start, batch).map_err(broken)?;
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

/// Writes a moment as people read it.
fn rfc3339(micros: i64) -> String {
    match arrow::temporal_conversions::timestamp_us_to_datetime(micros) {
        Some(it) => format!("{}", it.and_utc().format("%Y-%m-%dT%H:%M:%S%.fZ")),
        None => format!("{micros} us"),
    }
}
