//! A plan cut at its aggregate: what is below, the groups, what is above.

use std::sync::Arc;

use arrow::array::{BooleanArray, PrimitiveArray, RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use base::Name;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{ScalarValue, internal_err, plan_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;

use crate::lookup::index::LookupRows;
use crate::operator::{Computed, Operator, Parts, Shape, Start};
use crate::pipe::{self, LookupSlots, Pipe, Rejected};
use crate::plan::{TablePlan, select};
use crate::session;
use crate::slot::{Slot, SlotExec};
use crate::spill::Spills;
use crate::spill::shown::{Showing, Shown};
use crate::table::{Moved, Room, Step, bind, set_lookup};

/// See the module.
#[derive(Debug)]
pub(crate) struct Grouping {
    pub(crate) below: Pipe,
    pub(crate) operator: Operator,
    above: Pipe,
    /// Whether what is above looks at several groups together.
    compares: bool,
    lookups: LookupSlots,
}

/// A physical plan cut at its aggregate.
struct Cut {
    below: Arc<dyn ExecutionPlan>,
    shape: Arc<Shape>,
    whole: Arc<dyn ExecutionPlan>,
}

/// Plans the table; its groups are empty.
pub(crate) async fn plan(
    session: &SessionContext,
    plan: &TablePlan,
    groups_max: usize,
) -> Result<Grouping> {
    let bound = bind(plan)?;
    let state = session::at(session, 0);
    let cut = cut(&state, &bound.plan, plan).await?;
    let groups = Slot::moving(Arc::clone(cut.shape.output()));
    let leaf = SlotExec::leaf(Arc::clone(&groups), None)?;
    let above = pipe::graft::<AggregateExec>(cut.whole, &leaf)?;
    Ok(Grouping {
        below: Pipe::new(cut.below, bound.inputs, state.task_ctx()),
        operator: Operator::new(cut.shape, groups_max),
        above: Pipe::new(above, vec![groups], state.task_ctx()),
        compares: select::compares_totals(plan.running()),
        lookups: bound.lookups,
    })
}

async fn cut(state: &SessionState, plan: &LogicalPlan, table: &TablePlan) -> Result<Cut> {
    let whole = state.create_physical_plan(plan).await?;
    let Some(found) = pipe::find::<AggregateExec>(&whole) else {
        return internal_err!("the plan of `{}` has no aggregate", table.name());
    };
    let Some(aggregate) = found.downcast_ref::<AggregateExec>() else {
        return internal_err!("the aggregate of `{}` is none", table.name());
    };
    let single = in_one_step(aggregate)?;
    let aggregate = single.as_ref().unwrap_or(aggregate);
    let below = Arc::clone(aggregate.input());
    if pipe::find::<AggregateExec>(&below).is_some() {
        return internal_err!("the plan of `{}` has two aggregates", table.name());
    }
    if pipe::find::<SortExec>(&below).is_some() {
        return plan_err!(
            "an aggregate with ORDER BY needs all rows in order, which a moving table never has; \
             use min or max, or ask for it in a query"
        );
    }
    let window = table.window.as_ref().map(|it| it.group);
    let shape = Arc::new(Shape::of(aggregate, window)?);
    Ok(Cut { below, shape, whole })
}

/// Over rows that lie in several places the planner aggregates in two steps, each with a state of
/// its own; returns the same aggregate in one step over all of them.
fn in_one_step(last: &AggregateExec) -> Result<Option<AggregateExec>> {
    if !matches!(last.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned) {
        return Ok(None);
    }
    let first = pipe::find::<AggregateExec>(last.input());
    let Some(first) = first.as_ref().and_then(|it| it.downcast_ref::<AggregateExec>()) else {
        return Ok(None);
    };
    let rows = Arc::new(CoalescePartitionsExec::new(Arc::clone(first.input())));
    let (groups, functions) = (first.group_expr().clone(), first.aggr_expr().to_vec());
    let (filters, schema) = (first.filter_expr().to_vec(), first.input_schema());
    AggregateExec::try_new(AggregateMode::Single, groups, functions, filters, rows, schema)
        .map(Some)
}

/// Which rows of what the table reads are grouped again.
pub(crate) enum Again<'a> {
    /// All of them.
    All,
    /// Those of these panes.
    Panes(&'a [Start]),
    /// Those of panes that begin at this moment or later.
    From(Start),
}

/// Ranges of one filter; more panes than that are read as one range with all between them.
pub(crate) const RANGES_MAX: usize = 32;

impl Grouping {
    pub(crate) fn set_lookup(&mut self, name: &Name, rows: &Arc<LookupRows>) -> Result<()> {
        set_lookup(&self.lookups, name, rows, &mut self.below)?;
        self.above.renew()
    }

    /// Computes what the groups need of rows; those that cannot be computed are left out.
    pub(crate) async fn compute(
        &mut self,
        moved: &Moved,
    ) -> Result<(Vec<Computed>, Vec<Rejected>)> {
        let shape = Arc::clone(self.operator.shape());
        self.below.run_each(moved.of, moved.rows.clone(), |it| shape.compute(&it)).await
    }

    /// Returns the rows of the input, one by one, for whose window `is_wanted` holds.
    pub(crate) async fn locate(
        &mut self,
        moved: &Moved,
        is_wanted: &(dyn Fn(Option<Start>) -> bool + Sync),
    ) -> Result<Vec<(RecordBatch, Option<Start>)>> {
        let mut found = Vec::new();
        let of = moved.of;
        let mut waiting = vec![moved.rows.clone()];
        while let Some(batch) = waiting.pop() {
            let (computed, _) = self.compute(&Moved { of, rows: batch.clone() }).await?;
            let shape = self.operator.shape();
            let starts = computed.iter().filter_map(|it| shape.starts(it));
            let mut starts = starts.flat_map(PrimitiveArray::iter);
            let Some(start) = starts.find(|it| is_wanted(*it)) else { continue };
            let rows = batch.num_rows();
            if rows <= 1 {
                found.push((batch, start));
            } else {
                let half = rows / 2;
                waiting.push(batch.slice(half, rows - half));
                waiting.push(batch.slice(0, half));
            }
        }
        Ok(found)
    }

    /// Runs what is above the aggregate; a group that cannot be computed is left out and told.
    pub(crate) async fn show(
        &mut self,
        groups: RecordBatch,
        plan: &TablePlan,
        is_final: Option<bool>,
    ) -> Result<(Vec<RecordBatch>, Vec<Rejected>)> {
        let finish = |it: RecordBatch| finish_rows(&it, plan, is_final);
        if self.compares {
            // Without one of the groups the others would be something else.
            let rows = self.above.run(0, groups).await?.into_iter().map(finish);
            return Ok((rows.collect::<Result<_>>()?, Vec::new()));
        }
        self.above.run_rows(0, groups, finish).await
    }

    /// Runs what is above the aggregate over groups that may be too many for memory.
    pub(crate) async fn show_parts(
        &mut self,
        parts: &Parts,
        plan: &TablePlan,
        is_final: Option<bool>,
        spills: Option<&Spills>,
    ) -> Result<(Shown, Vec<Rejected>)> {
        let mut showing = Showing::new(spills, &plan.schema);
        let mut rejected_all = Vec::new();
        let mut together = Vec::new();
        for part in 0..parts.count() {
            let Some(groups) = parts.groups(part)? else { continue };
            if self.compares {
                together.push(groups);
                continue;
            }
            let (rows, rejected) = self.show(groups, plan, is_final).await?;
            showing.push(rows)?;
            rejected_all.extend(rejected);
        }
        if self.compares {
            let groups = concat_batches(self.operator.shape().output(), &together)?;
            let (rows, rejected) = self.show(groups, plan, is_final).await?;
            showing.push(rows)?;
            rejected_all.extend(rejected);
        }
        Ok((showing.finish()?, rejected_all))
    }

    /// Groups rows of the tables as they are now, as state batches by window; what does not fit in
    /// memory goes to disk.
    pub(crate) async fn again(
        &mut self,
        step: &Step<'_>,
        plan: &TablePlan,
        which: Again<'_>,
        room: &Room,
    ) -> Result<Vec<(Start, RecordBatch)>> {
        let bound = pipe::bind(plan.running(), step.tables)?;
        let bound = filtered(bound, plan, &which)?;
        let state = session::at(step.session, 0);
        let cut = cut(&state, &bound, plan).await?;
        let mut operator = Operator::new(Arc::clone(&cut.shape), room.operator_groups_max());
        let is_wanted = |_: &Operator, start: Start| match &which {
            Again::All => true,
            Again::Panes(starts) => starts.contains(&start),
            Again::From(from) => *from <= start,
        };
        let mut rows = execute_stream(cut.below, state.task_ctx())?;
        while let Some(batch) = rows.try_next().await? {
            take_valid(&mut operator, &cut.shape, batch, &is_wanted)?;
            let Some(spills) = &room.spills else { continue };
            // The groups there were, and what is made of these, want their place too.
            let (max, bytes) = (spills.memory_bytes_max() / 4, operator.bytes());
            if max < bytes {
                operator.free(bytes - max / 2, spills, step.epoch)?;
            }
        }
        let starts: Vec<Start> = operator.starts().collect();
        let mut states = Vec::new();
        for start in starts {
            if let Some(state) = operator.state_in_memory(start)? {
                let columns = state.columns().to_vec();
                // The same functions have the same state; only names may differ.
                let schema = Arc::clone(self.operator.shape().state());
                states.push((
                    start,
                    RecordBatch::try_new_with_options(
                        schema,
                        columns,
                        &RecordBatchOptions::new().with_row_count(Some(state.num_rows())),
                    )?,
                ));
            }
        }
        self.operator.attach_all(&mut operator);
        Ok(states)
    }
}

/// Takes all rows but those whose values cannot be computed: they are dead letters already.
fn take_valid(
    operator: &mut Operator,
    shape: &Shape,
    batch: RecordBatch,
    admit: &dyn Fn(&Operator, Start) -> bool,
) -> Result<()> {
    let mut waiting = vec![batch];
    while let Some(batch) = waiting.pop() {
        match shape.compute(&batch) {
            Ok(computed) => {
                operator.take(&computed, admit).map_err(DataFusionError::from)?;
            }
            Err(error) if !pipe::is_of_rows(&error) => return Err(error),
            Err(_) if batch.num_rows() <= 1 => {}
            Err(_) => {
                let half = batch.num_rows() / 2;
                waiting.push(batch.slice(half, batch.num_rows() - half));
                waiting.push(batch.slice(0, half));
            }
        }
    }
    Ok(())
}

/// Brings the result to the table's schema, `_final` included.
fn finish_rows(
    batch: &RecordBatch,
    plan: &TablePlan,
    is_final: Option<bool>,
) -> Result<RecordBatch> {
    let Some(is_final) = is_final else {
        return crate::table::append::fit(batch, &plan.schema);
    };
    let shown = crate::plan::seen(&plan.schema, false);
    // Of sessions their moments stand behind.
    let columns: Vec<usize> = (0..shown.fields().len()).collect();
    let batch = crate::table::append::fit(&batch.project(&columns)?, &shown)?;
    let flags = BooleanArray::from(vec![is_final; batch.num_rows()]);
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(flags));
    Ok(RecordBatch::try_new(Arc::clone(&plan.schema), columns)?)
}

/// Puts a filter on the time under the aggregate.
fn filtered(plan: LogicalPlan, table: &TablePlan, which: &Again<'_>) -> Result<LogicalPlan> {
    let Some(window) = &table.window else { return Ok(plan) };
    let mut ranges: Vec<(Start, Option<Start>)> = Vec::new();
    match which {
        Again::All => return Ok(plan),
        Again::From(from) => ranges.push((*from, None)),
        Again::Panes(starts) => {
            let mut starts = starts.to_vec();
            starts.sort_unstable();
            for start in starts {
                let pane_end = start.saturating_add(window.pane_us());
                match ranges.last_mut() {
                    Some((_, Some(end))) if start <= *end => *end = pane_end,
                    _ => ranges.push((start, Some(pane_end))),
                }
            }
        }
    }
    if RANGES_MAX < ranges.len()
        && let (Some((first, _)), Some((_, last))) = (ranges.first(), ranges.last())
    {
        ranges = vec![(*first, *last)];
    }
    let filtered = plan.transform_down(|node| match node {
        LogicalPlan::Aggregate(mut aggregate) => {
            let within = ranges.iter().map(|(from, to)| within(&window.time, *from, *to));
            let Some(within) = within.reduce(Expr::or) else {
                return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
            };
            let filter = Filter::try_new(within, Arc::clone(&aggregate.input))?;
            aggregate.input = Arc::new(LogicalPlan::Filter(filter));
            let node = LogicalPlan::Aggregate(aggregate);
            Ok(Transformed::new(node, true, TreeNodeRecursion::Stop))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(filtered.data)
}

/// Holds for rows from one moment on, and before the other if there is one.
pub(crate) fn within(time: &Expr, from: Start, to: Option<Start>) -> Expr {
    let moment = |it: Start| {
        Expr::Literal(ScalarValue::TimestampMicrosecond(Some(it), Some("UTC".into())), None)
    };
    let after = time.clone().gt_eq(moment(from));
    match to {
        None => after,
        Some(to) => after.and(time.clone().lt(moment(to))),
    }
}
