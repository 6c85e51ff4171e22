//! A table computed slice by slice: where something below changed, the windows that it lies in are
//! computed again from the rows of those windows, and no others.
//!
//! It takes what a table that groups rows as they come cannot: windows over windows, joins of
//! windowed tables, ranks within a window. `plan/slices.rs` says when the rows of a window depend
//! on that window alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, RecordBatch};
use arrow::compute::{cast, max, min};
use arrow::datatypes::{DataType, Schema, TimeUnit, TimestampMicrosecondType};
use base::{Name, limits};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, TableReference, internal_err};
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::{collect, execute_stream};
use futures::TryStreamExt;
use rows::DeadKind;
use spec::Late;

use crate::operator::Start;
use crate::pipe;
use crate::plan::slices::{Link, Slices, Told, Unit};
use crate::plan::{TablePlan, WindowPlan};
use crate::session;
use crate::table::append::fit;
use crate::table::carry::Carry;
use crate::table::grouping::{RANGES_MAX, within};
use crate::table::recent::Recent;
use crate::table::window_rows::{WindowRows, marked, rfc3339, split_by_start};
use crate::table::{DeadRow, Step};

mod below;
pub(crate) mod by_key;
mod look_back;

use by_key::ByKey;

/// See the module.
#[derive(Debug)]
pub(crate) struct Sliced {
    plan: Arc<TablePlan>,
    slices: Slices,
    window: WindowPlan,
    pub(crate) rows: WindowRows,
    dirty: Dirty,
    /// The newest rows of tables below that tell times row by row.
    recent: BTreeMap<Name, Recent>,
    /// What window functions by rows look back at, if there are some.
    carry: Option<Carry>,
    /// Slices that could not be computed, and why, as it was told.
    failed: BTreeMap<Start, String>,
    /// Its rows by their keys, if it goes by one.
    by_key: Option<ByKey>,
}

/// What must be computed again.
#[derive(Debug)]
enum Dirty {
    Slices(BTreeSet<Start>),
    /// Every slice that is open at this watermark; all without one.
    Open(Option<i64>),
}

/// Stretches of time: from, and up to if there is an end.
type Ranges = Vec<(i64, Option<i64>)>;

/// Slices remembered that could not be computed.
const FAILED_MAX: usize = 10_000;

/// What came of bringing a table up to date.
#[derive(Debug, Default)]
pub(crate) struct Refreshed {
    /// Windows that changed since the last time, for the tables above.
    pub(crate) changed: BTreeSet<Start>,
    pub(crate) dead: Vec<DeadRow>,
}

/// What a table below tells.
pub(crate) struct Below<'a> {
    pub(crate) table: &'a Name,
    /// Windows that changed since the last time.
    pub(crate) changed: &'a BTreeSet<Start>,
    /// How far its time has come: windows that end at or before it are final.
    pub(crate) watermark: Option<i64>,
}

impl Sliced {
    pub(crate) fn new(plan: &Arc<TablePlan>) -> Result<Sliced> {
        let (Some(slices), Some(window)) = (plan.slices.clone(), plan.window.clone()) else {
            return internal_err!("the table `{}` has no slices", plan.name());
        };
        let rows = WindowRows::new(plan, &window, slices.span_us());
        let dirty = Dirty::Slices(BTreeSet::new());
        let carry = slices.rows_back.map(|it| Carry::new(plan, it)).transpose()?;
        let by_key = ByKey::of(plan, &slices);
        let (plan, recent, failed) = (Arc::clone(plan), BTreeMap::new(), BTreeMap::new());
        Ok(Sliced { plan, slices, window, rows, dirty, recent, carry, failed, by_key })
    }

    /// Returns the tables below that tell times row by row.
    pub(crate) fn followed(&self) -> impl Iterator<Item = &Link> {
        self.slices.links.iter().filter(|it| matches!(it.told, Told::Rows(_)))
    }

    /// Notes rows that were added to a table below; those without a time belong nowhere.
    pub(crate) fn note(&mut self, table: &Name, batches: &[RecordBatch]) -> Result<Vec<DeadRow>> {
        let mut dead = Vec::new();
        let Some(link) = self.slices.links.iter().find(|it| it.table == *table).cloned() else {
            return Ok(dead);
        };
        let mut changed: Vec<Range<i64>> = Vec::new();
        for batch in batches {
            if let Some(by_key) = &mut self.by_key {
                by_key.note(table, batch)?;
            }
            let Some(times) = batch.column_by_name(&link.column) else {
                return internal_err!("`{table}` has no column `{}`", link.column);
            };
            let Some(times) = times.as_primitive_opt::<TimestampMicrosecondType>() else {
                return internal_err!("`{}` of `{table}` is no time", link.column);
            };
            for row in 0..times.len() {
                if times.is_null(row) {
                    let message =
                        format!("`{}` is NULL, so the row belongs to no window", link.column);
                    let (row, kind) = (batch.slice(row, 1), DeadKind::Compute);
                    dead.push(DeadRow { row, kind, message });
                } else {
                    let moment = times.value(row);
                    changed.push(moment..moment.saturating_add(1));
                }
            }
            if let Some(recent) = self.recent.get_mut(table)
                && let (Some(first), Some(last)) = (min(times), max(times))
            {
                recent.push(batch.clone(), first..last.saturating_add(1));
            }
        }
        if let Some(carry) = &mut self.carry
            && let Some(first) = changed.iter().map(|it| it.start).min()
        {
            // A row may matter to all that come after it.
            let newest = changed.iter().map(|it| it.end).max().max(self.rows.newest());
            changed.clear();
            changed.push(first..newest.unwrap_or(first).max(first.saturating_add(1)));
            if carry.until.is_some_and(|it| first < it) {
                carry.forget();
            }
        }
        self.mark(&link, changed);
        Ok(dead)
    }

    /// Marks the slices that rows of these times may change.
    fn mark(&mut self, link: &Link, moments: impl IntoIterator<Item = Range<i64>>) {
        let slices = touched(&self.slices, link, moments);
        if let Dirty::Slices(dirty) = &mut self.dirty {
            dirty.extend(slices);
        }
    }

    /// Notes what changed below.
    pub(crate) fn hear(&mut self, below: &[Below<'_>]) {
        for it in below {
            let link = self.slices.links.iter().find(|link| link.table == *it.table);
            let Some(link) = link.filter(|_| !it.changed.is_empty()).cloned() else { continue };
            self.by_key.iter_mut().for_each(ByKey::forget);
            let span_us = match link.told {
                Told::Rows(_) | Told::Windows(_) => 1,
                Told::Stretches { span_us } => span_us,
            };
            self.mark(&link, it.changed.iter().map(|it| *it..it.saturating_add(span_us)));
        }
    }

    /// Computes what changed, closes what is over.
    pub(crate) async fn refresh(
        &mut self,
        step: &Step<'_>,
        below: &[Below<'_>],
    ) -> Result<Refreshed> {
        self.hear(below);
        let mut dead = Vec::new();
        let dirty = std::mem::replace(&mut self.dirty, Dirty::Slices(BTreeSet::new()));
        let computed = match &dirty {
            Dirty::Slices(slices) if slices.is_empty() => Ok(()),
            dirty => self.compute(dirty, step, &mut dead).await,
        };
        if let Err(error) = computed {
            self.dirty = dirty;
            return Err(error);
        }
        self.by_key.iter_mut().for_each(ByKey::computed);
        self.advance(below, step)?;
        self.carry_on(step).await?;
        Ok(Refreshed { changed: self.rows.take_untold(), dead })
    }

    /// Computes slices; one that cannot be computed has no rows and is told, and costs no other.
    async fn compute(
        &mut self,
        dirty: &Dirty,
        step: &Step<'_>,
        dead: &mut Vec<DeadRow>,
    ) -> Result<()> {
        self.remember(dirty, step).await?;
        let rest = match dirty {
            Dirty::Slices(slices) => Some(Dirty::Slices(self.compute_by_key(slices, step).await?)),
            Dirty::Open(_) => None,
        };
        let dirty = rest.as_ref().unwrap_or(dirty);
        if matches!(dirty, Dirty::Slices(slices) if slices.is_empty()) {
            return Ok(());
        }
        let together = self.run(dirty, step).await;
        let rows = match together {
            Err(error) if pipe::is_of_rows(&error) => {
                let slices = match dirty {
                    Dirty::Slices(slices) => slices.clone(),
                    Dirty::Open(_) => self.slices_of(dirty, step).await?,
                };
                return self.compute_each(&slices, step, dead).await;
            }
            together => together?,
        };
        let mut of_slices = self.split(&rows)?;
        let slices: Vec<Start> = match dirty {
            Dirty::Slices(slices) => slices.iter().copied().collect(),
            Dirty::Open(_) => of_slices.keys().copied().collect(),
        };
        for start in slices {
            let rows = of_slices.remove(&start).unwrap_or_default();
            self.set(start, &rows, matches!(dirty, Dirty::Open(_)), step);
        }
        Ok(())
    }

    async fn compute_each(
        &mut self,
        slices: &BTreeSet<Start>,
        step: &Step<'_>,
        dead: &mut Vec<DeadRow>,
    ) -> Result<()> {
        for start in slices {
            let rows = match self.run(&Dirty::Slices(BTreeSet::from([*start])), step).await {
                Err(error) if pipe::is_of_rows(&error) => {
                    let error = error.strip_backtrace();
                    if self.failed.get(start) != Some(&error) {
                        dead.push(self.dead_row(*start, &error)?);
                    }
                    if FAILED_MAX <= self.failed.len() {
                        self.failed.pop_first();
                    }
                    self.failed.insert(*start, error);
                    Vec::new()
                }
                rows => {
                    let rows = rows?;
                    self.failed.remove(start);
                    rows
                }
            };
            let rows = self.split(&rows)?.remove(start).unwrap_or_default();
            self.set(*start, &rows, false, step);
        }
        Ok(())
    }

    /// Says of a slice that it cannot be computed; the row is its start.
    fn dead_row(&self, start: Start, error: &str) -> Result<DeadRow> {
        let field = self.plan.schema.field(self.window.column).clone();
        let starts = PrimitiveArray::<TimestampMicrosecondType>::from_value(start, 1);
        let starts: ArrayRef = Arc::new(starts.with_data_type(rows::schema::timestamp()));
        let row = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![starts])?;
        let message = format!("the window that begins at {}: {error}", rfc3339(start));
        Ok(DeadRow { row, kind: DeadKind::Compute, message })
    }

    /// Replaces the rows of a slice.
    fn set(&mut self, start: Start, rows: &[RecordBatch], is_opening: bool, step: &Step<'_>) {
        let is_over = self.rows.is_over(start);
        // What of its rows is no longer kept cannot be computed again.
        let first = self.slices.links.iter().map(|it| self.slices.made_of(it, start).start).min();
        let is_kept = self.kept_from(step.now_ms).is_none_or(|it| Some(it) <= first);
        if is_over && (is_opening || !is_kept) {
            return;
        }
        self.rows.touch(start, step.epoch);
        let rows = match &mut self.by_key {
            Some(by_key) => by_key.set(start, rows, &self.plan.schema),
            None => rows.to_vec(),
        };
        self.rows.set(start, rows.iter().map(|it| marked(it, is_over)).collect());
    }

    /// Returns the slices that the rows below lie in, where their rows cannot be computed at once.
    async fn slices_of(&self, dirty: &Dirty, step: &Step<'_>) -> Result<BTreeSet<Start>> {
        let mut slices = BTreeSet::new();
        for link in &self.slices.links {
            let Some(provider) = (step.tables)(link.table.as_str()) else { continue };
            let table = TableReference::bare(link.table.as_str());
            let scan = LogicalPlanBuilder::scan(table, provider_as_source(provider), None)?;
            let plan = self.filtered(scan.build()?, dirty)?;
            let time = Expr::Column(Column::from_name(&link.column));
            let plan = LogicalPlanBuilder::from(plan).project([time])?.distinct()?.build()?;
            let state = session::at(step.session, step.now_ms);
            let physical = state.create_physical_plan(&plan).await?;
            for batch in collect(physical, state.task_ctx()).await? {
                let moments = moments(batch.column(0))?.into_iter();
                slices.extend(touched(&self.slices, link, moments.map(|it| it..it + 1)));
            }
        }
        Ok(slices)
    }

    /// Returns since when all rows below are kept, in microseconds; none if for ever.
    fn kept_from(&self, now_ms: u64) -> Option<i64> {
        let keeps = self.slices.links.iter().filter_map(|it| it.keep);
        let from_ms = now_ms.saturating_sub(keeps.map(base::Span::as_millis).min()?);
        Some(i64::try_from(from_ms).unwrap_or(i64::MAX).saturating_mul(1_000))
    }

    async fn run(&self, dirty: &Dirty, step: &Step<'_>) -> Result<Vec<RecordBatch>> {
        let select = self.by_key.as_ref().map_or(&self.plan.select, ByKey::plan);
        let bound = pipe::bind(select, &|name| self.below(name, dirty, step))?;
        self.run_bound(bound, dirty, step).await
    }

    async fn run_bound(
        &self,
        bound: LogicalPlan,
        dirty: &Dirty,
        step: &Step<'_>,
    ) -> Result<Vec<RecordBatch>> {
        let bound = self.filtered(bound, dirty)?;
        if let (Some(carry), Some(_)) = (&self.carry, self.reaches_back(dirty)) {
            return self.finish(carry.run(step.session, &bound, step.now_ms).await?);
        }
        let bound = self.wanted(bound, dirty)?;
        let state = session::at(step.session, step.now_ms);
        let physical = state.create_physical_plan(&bound).await?;
        let mut rows = execute_stream(physical, state.task_ctx())?;
        let (mut all, mut bytes) = (Vec::new(), 0);
        while let Some(batch) = rows.try_next().await? {
            bytes += batch.get_array_memory_size();
            if limits::HOT_BYTES_MAX < bytes {
                return Err(DataFusionError::ResourcesExhausted(format!(
                    "the windows that changed have more than {} of rows; make them shorter",
                    base::ByteSize(limits::HOT_BYTES_MAX as u64)
                )));
            }
            all.push(batch);
        }
        self.finish(all)
    }

    /// Brings rows to the table's schema.
    fn finish(&self, rows: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        let fields = self.plan.schema.fields();
        let made = fields.iter().filter(|it| it.name() != rows::schema::FINAL);
        let made = Arc::new(Schema::new(made.cloned().collect::<Vec<_>>()));
        let finish = |batch: RecordBatch| {
            let (batch, hashes) = match &self.by_key {
                Some(_) => by_key::split_off(&batch)?,
                None => (batch, None),
            };
            let mut columns = fit(&batch, &made)?.columns().to_vec();
            columns.push(Arc::new(arrow::array::BooleanArray::from(vec![false; batch.num_rows()])));
            let rows = RecordBatch::try_new(Arc::clone(&self.plan.schema), columns)?;
            hashes.map_or(Ok(rows.clone()), |it| by_key::beside(&rows, it))
        };
        rows.into_iter().map(finish).collect()
    }

    /// Returns the times of the rows of a table that the slices are made of: from, and up to if
    /// there is an end; none for all rows.
    fn ranges(&self, dirty: &Dirty, link: &Link) -> Ranges {
        let mut ranges = Ranges::new();
        if self.carry.is_some() {
            ranges.extend(self.reaches_back(dirty).map(|it| (it, None)));
            return ranges;
        }
        match dirty {
            Dirty::Open(None) => {}
            // A slice is open if it ends after the watermark.
            Dirty::Open(Some(it)) => {
                let first = it.saturating_sub(self.window.size_us).saturating_add(1);
                ranges.push((self.slices.made_of(link, first).start, None));
            }
            Dirty::Slices(slices) => {
                for start in slices {
                    let Range { start, end } = self.slices.made_of(link, *start);
                    match ranges.last_mut() {
                        Some((_, Some(last))) if start <= *last => *last = end.max(*last),
                        _ => ranges.push((start, Some(end))),
                    }
                }
            }
        }
        if RANGES_MAX < ranges.len()
            && let (Some((first, _)), Some((_, last))) = (ranges.first(), ranges.last())
        {
            ranges = vec![(*first, *last)];
        }
        ranges
    }

    /// Lets through only rows that the slices are made of, right above the tables.
    fn filtered(&self, plan: LogicalPlan, dirty: &Dirty) -> Result<LogicalPlan> {
        if matches!(dirty, Dirty::Open(None)) {
            return Ok(plan);
        }
        self.only(plan, &|link| self.ranges(dirty, link))
    }

    /// Lets through only rows of these times, right above the tables; all of a table without any.
    fn only(&self, plan: LogicalPlan, times: &dyn Fn(&Link) -> Ranges) -> Result<LogicalPlan> {
        let filtered = plan.transform_down(|node| {
            let LogicalPlan::TableScan(scan) = &node else { return Ok(Transformed::no(node)) };
            let name = scan.table_name.table();
            let Some(link) = self.slices.links.iter().find(|it| it.table == *name) else {
                return Ok(Transformed::no(node));
            };
            let time = Expr::Column(Column::new(Some(scan.table_name.clone()), &link.column));
            let ranges = times(link);
            let within = ranges.iter().map(|(from, to)| within(&time, *from, *to));
            let Some(within) = within.reduce(Expr::or) else { return Ok(Transformed::no(node)) };
            let filter = LogicalPlan::Filter(Filter::try_new(within, Arc::new(node))?);
            Ok(Transformed::new(filter, true, TreeNodeRecursion::Jump))
        })?;
        Ok(filtered.data)
    }

    /// Sorts rows by the slices they are of.
    fn split(&self, rows: &[RecordBatch]) -> Result<BTreeMap<Start, Vec<RecordBatch>>> {
        let of = |value| self.slices.slice_of(value);
        Ok(split_by_start(rows, self.window.column, &of)?)
    }

    /// Moves the watermark and closes the slices it passes.
    fn advance(&mut self, below: &[Below<'_>], step: &Step<'_>) -> Result<()> {
        let reached = self.slices.links.iter().map(|link| {
            let found = below.iter().find(|it| *it.table == link.table);
            Some(self.reached(link, found?.watermark?))
        });
        let hold_us = match self.plan.declared.late {
            Late::Dead => 0,
            Late::Hold(span) => i64::try_from(span.0.as_micros()).unwrap_or(i64::MAX),
        };
        let reached: Option<i64> = reached
            .collect::<Option<Vec<i64>>>()
            .and_then(|all| Some(all.into_iter().min()?.saturating_sub(hold_us)));
        self.rows.watermark = self.rows.watermark.max(reached);
        if let Some(by_key) = &mut self.by_key {
            by_key.keep(|it| !self.rows.is_over(it));
        }
        for (_, shown) in self.rows.take_over() {
            for batch in shown.read()? {
                self.rows.push_final(step.epoch, marked(&batch, true));
            }
        }
        if let Some(watermark) = self.rows.watermark {
            let first = watermark.saturating_sub(self.window.size_us);
            for link in &self.slices.links {
                if let Some(recent) = self.recent.get_mut(&link.table) {
                    let carried = self.carry.as_ref().map(|it| it.until.unwrap_or(i64::MIN));
                    let first = self.slices.made_of(link, first).start;
                    recent.forget(carried.unwrap_or(first).min(first));
                }
            }
        }
        Ok(())
    }

    /// Returns the bytes of rows below that it holds.
    pub(crate) fn bytes(&self) -> usize {
        let recent = self.recent.values().map(Recent::bytes).sum::<usize>();
        let keys = self.by_key.as_ref().map_or(0, ByKey::bytes);
        recent + keys + self.carry.as_ref().map_or(0, Carry::bytes)
    }

    /// Returns up to where slices are final if a table below has come to this watermark.
    fn reached(&self, link: &Link, watermark: i64) -> i64 {
        let watermark = watermark.saturating_sub(link.reach.after_us);
        match link.told {
            Told::Rows(_) | Told::Stretches { .. } => watermark,
            // The slice is final when the window of the same start is.
            Told::Windows(windows) if self.slices.unit == Unit::Below => {
                watermark.saturating_add(self.window.size_us).saturating_sub(windows.size_us)
            }
            // The last window that begins within the slice must be final.
            Told::Windows(windows) => {
                let fits = |it: i64| it % windows.slide_us.max(1) == 0;
                let is_even = fits(self.window.size_us)
                    && fits(self.window.slide_us)
                    && fits(link.reach.after_us);
                let least = if is_even { windows.slide_us } else { 0 };
                watermark.saturating_sub(windows.size_us.saturating_sub(least))
            }
        }
    }

    /// Takes the table over as it was at this watermark: what was open is computed again.
    pub(crate) fn reopen(&mut self, watermark: Option<i64>) {
        self.rows.watermark = watermark;
        self.dirty = Dirty::Open(watermark);
    }

    /// Computes everything again, and replaces what is stored.
    pub(crate) async fn rebuild(&mut self, step: &Step<'_>) -> Result<()> {
        let watermark = self.rows.watermark.take();
        self.rows.replace_all(step.epoch);
        self.by_key.iter_mut().for_each(ByKey::forget);
        if let Some(carry) = &mut self.carry {
            carry.forget();
        }
        let mut told_at_once = Vec::new();
        let computed = self.compute(&Dirty::Open(None), step, &mut told_at_once).await;
        self.rows.watermark = watermark;
        self.dirty = Dirty::Slices(BTreeSet::new());
        self.failed.clear(); // The next change of such a window tells of it.
        computed
    }

    /// Says that a lookup has other rows: what is open is computed with them.
    pub(crate) fn set_lookup(&mut self) {
        self.by_key.iter_mut().for_each(ByKey::forget);
        if let Dirty::Slices(dirty) = &mut self.dirty {
            dirty.extend(self.rows.open());
        }
    }
}

fn touched(
    slices: &Slices,
    link: &Link,
    moments: impl IntoIterator<Item = Range<i64>>,
) -> BTreeSet<Start> {
    let mut all = BTreeSet::new();
    let mut before = None;
    for moments in moments {
        let (first, last) = slices.touched(link, moments);
        // Rows that follow each other mostly touch the same.
        if before != Some((first, last)) {
            let slide = slices.slide_us.max(1);
            let each = std::iter::successors(Some(first), |it| it.checked_add(slide));
            all.extend(each.take_while(|it| *it <= last));
        }
        before = Some((first, last));
    }
    all
}

/// Returns the moments of a column that are not null.
fn moments(column: &ArrayRef) -> Result<BTreeSet<i64>> {
    let micros = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
    Ok(micros.as_primitive::<TimestampMicrosecondType>().iter().flatten().collect())
}
