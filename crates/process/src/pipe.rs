//! A plan that is made once and run for each batch.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use base::Name;
use datafusion::catalog::TableProvider;
use datafusion::common::internal_err;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PiecewiseMergeJoinExec,
};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, collect};

use crate::slot::{Slot, SlotExec};

/// Runs of one instance of a plan: each leaves a few counters behind, so it is renewed in between.
const RUNS_MAX: u32 = 256;

/// A plan over slots.
#[derive(Debug)]
pub(crate) struct Pipe {
    plan: Arc<dyn ExecutionPlan>,
    /// Where the rows that move come from; one at a time holds some.
    inputs: Vec<Arc<Slot>>,
    task: Arc<TaskContext>,
    /// Whether a step keeps something of moving rows from one run to the next unless it is renewed.
    renew_each_run: bool,
    runs: u32,
}

/// A batch that could not be computed, with the reason.
#[derive(Debug)]
pub(crate) struct Rejected {
    /// One row of the input.
    pub(crate) row: RecordBatch,
    pub(crate) message: String,
}

impl Pipe {
    /// Wraps a plan whose moving rows come from `inputs`.
    pub(crate) fn new(
        plan: Arc<dyn ExecutionPlan>,
        inputs: Vec<Arc<Slot>>,
        task: Arc<TaskContext>,
    ) -> Pipe {
        // A sort that stops early remembers where it stopped.
        let renew_each_run = builds_on_moving(&plan) || find::<SortExec>(&plan).is_some();
        Pipe { plan, inputs, task, renew_each_run, runs: 0 }
    }

    /// Forgets what joins remember: a lookup changed.
    pub(crate) fn renew(&mut self) -> Result<()> {
        self.plan = reset_plan_states(Arc::clone(&self.plan))?;
        self.runs = 0;
        Ok(())
    }

    /// Runs the plan over one batch of the input of that number.
    pub(crate) async fn run(&mut self, of: usize, batch: RecordBatch) -> Result<Vec<RecordBatch>> {
        self.run_over(of, Arc::from([batch])).await
    }

    async fn run_over(
        &mut self,
        of: usize,
        batches: Arc<[RecordBatch]>,
    ) -> Result<Vec<RecordBatch>> {
        if self.renew_each_run || self.runs == RUNS_MAX {
            self.renew()?;
        }
        self.runs += 1;
        let Some(input) = self.inputs.get(of).map(Arc::clone) else {
            return internal_err!("a plan of {} inputs has none of number {of}", self.inputs.len());
        };
        input.set(batches);
        let result = collect(Arc::clone(&self.plan), Arc::clone(&self.task)).await;
        input.set(Arc::from([]));
        if result.is_err() {
            self.renew()?; // A failed build side must not fail for ever.
        }
        result
    }

    /// Runs the plan of one input over all of these rows together.
    pub(crate) async fn run_all(&mut self, batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        self.run_over(0, Arc::from(batches)).await
    }

    /// Runs the plan over a batch and finishes each result; see [`Pipe::run_each`].
    pub(crate) async fn run_rows<F>(
        &mut self,
        of: usize,
        batch: RecordBatch,
        finish: F,
    ) -> Result<(Vec<RecordBatch>, Vec<Rejected>)>
    where
        F: Fn(RecordBatch) -> Result<RecordBatch>,
    {
        let (mut done, rejected) = self.run_each(of, batch, finish).await?;
        done.retain(|it| 0 < it.num_rows());
        Ok((done, rejected))
    }

    /// Runs the plan over a batch and makes something of each result; where a row cannot be
    /// computed, over the halves, so that only the rows at fault are left out.
    pub(crate) async fn run_each<T, F>(
        &mut self,
        of: usize,
        batch: RecordBatch,
        finish: F,
    ) -> Result<(Vec<T>, Vec<Rejected>)>
    where
        F: Fn(RecordBatch) -> Result<T>,
    {
        let (done, rejected) = self.halve(of, batch, finish).await?;
        Ok((done.into_iter().flat_map(|(_, done)| done).collect(), rejected))
    }

    /// Returns the rows of a batch that the plan can compute, and those that it cannot.
    pub(crate) async fn sift(
        &mut self,
        of: usize,
        batch: RecordBatch,
    ) -> Result<(Vec<RecordBatch>, Vec<Rejected>)> {
        let (done, rejected) = self.halve(of, batch, |_| Ok(())).await?;
        Ok((done.into_iter().map(|(rows, _)| rows).collect(), rejected))
    }

    /// Runs the plan over a batch, or over its halves where it cannot be computed; returns what was
    /// made of each part.
    async fn halve<T, F>(
        &mut self,
        of: usize,
        batch: RecordBatch,
        finish: F,
    ) -> Result<(Vec<(RecordBatch, Vec<T>)>, Vec<Rejected>)>
    where
        F: Fn(RecordBatch) -> Result<T>,
    {
        let mut done = Vec::new();
        let mut rejected = Vec::new();
        let mut waiting = vec![batch];
        while let Some(batch) = waiting.pop() {
            let rows = batch.num_rows();
            let result = match self.run(of, batch.clone()).await {
                Ok(result) => result.into_iter().map(&finish).collect::<Result<Vec<_>>>(),
                Err(error) => Err(error),
            };
            match result {
                Ok(result) => done.push((batch, result)),
                Err(error) if !is_of_rows(&error) => return Err(error),
                Err(error) if rows <= 1 => {
                    rejected.push(Rejected { row: batch, message: error.strip_backtrace() });
                }
                Err(_) => {
                    let half = rows / 2;
                    waiting.push(batch.slice(half, rows - half));
                    waiting.push(batch.slice(0, half));
                }
            }
        }
        Ok((done, rejected))
    }
}

/// Returns whether an error may be the fault of a row's values; others are faults of the plan, the
/// machine or the program.
pub(crate) fn is_of_rows(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::ArrowError(error, _) => {
            !matches!(**error, ArrowError::IoError(..) | ArrowError::MemoryError(_))
        }
        DataFusionError::Execution(_) | DataFusionError::External(_) => true,
        _ => false,
    }
}

/// Returns whether a join builds its table from rows that move.
fn builds_on_moving(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let is_join = plan.is::<HashJoinExec>()
        || plan.is::<NestedLoopJoinExec>()
        || plan.is::<CrossJoinExec>()
        || plan.is::<PiecewiseMergeJoinExec>();
    let children = plan.children();
    (is_join && children.first().is_some_and(|it| reads_moving(it)))
        || children.iter().any(|it| builds_on_moving(it))
}

fn reads_moving(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let own = plan.downcast_ref::<SlotExec>().is_some_and(|it| it.slot().is_moving());
    own || plan.children().iter().any(|it| reads_moving(it))
}

/// Returns the plan with its tables replaced.
pub(crate) fn bind(
    plan: &LogicalPlan,
    table: &dyn Fn(&str) -> Option<Arc<dyn TableProvider>>,
) -> Result<LogicalPlan> {
    let bound = plan.clone().transform_down_with_subqueries(|node| match node {
        LogicalPlan::TableScan(mut scan) => {
            let name = scan.table_name.table();
            let Some(provider) = table(name) else {
                return Err(DataFusionError::Internal(format!("nothing is bound to `{name}`")));
            };
            scan.source = provider_as_source(provider);
            Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
        }
        other => Ok(Transformed::no(other)),
    });
    Ok(bound?.data)
}

/// The slots of the lookups that a plan reads.
pub(crate) type LookupSlots = Vec<(Name, Arc<Slot>)>;

/// Finds the first node of a kind.
pub(crate) fn find<T: ExecutionPlan>(
    plan: &Arc<dyn ExecutionPlan>,
) -> Option<Arc<dyn ExecutionPlan>> {
    if plan.is::<T>() {
        return Some(Arc::clone(plan));
    }
    plan.children().into_iter().find_map(find::<T>)
}

/// Replaces the first node for which `replaces` holds by a leaf.
pub(crate) fn graft<T: ExecutionPlan>(
    plan: Arc<dyn ExecutionPlan>,
    leaf: &Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let grafted = plan.transform_down(|node| {
        if node.is::<T>() {
            return Ok(Transformed::new(Arc::clone(leaf), true, TreeNodeRecursion::Jump));
        }
        Ok(Transformed::no(node))
    });
    Ok(grafted?.data)
}
