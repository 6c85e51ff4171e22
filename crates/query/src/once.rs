//! Groups that a question needs twice are worked out once.
//!
//! The planner puts what a `WITH` names into each place that speaks of it, so its tables would be read
//! and grouped once for each. Groups that stand in two places of a plan, as they are after all rules,
//! are worked out by whichever place asks first and kept for the others.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchemaRef, Result, Statistics, internal_err};
use datafusion::error::DataFusionError;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, Distribution, ExecutionPlan,
    PlanProperties, ReplaceChildrenOptions,
};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use parking_lot::Mutex;

/// Groups beyond this are worked out again in each place.
const KEPT_BYTES_MAX: usize = 256 << 20;

/// Plans questions: see the module.
#[derive(Debug)]
pub(crate) struct Once {
    kept_bytes_max: usize,
}

impl Once {
    pub(crate) fn new() -> Once {
        Once { kept_bytes_max: KEPT_BYTES_MAX }
    }
}

#[async_trait]
impl QueryPlanner for Once {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(Parts)]);
        match shared(plan, self.kept_bytes_max)? {
            Some(shared) => planner.create_physical_plan(&shared, session).await,
            None => planner.create_physical_plan(plan, session).await,
        }
    }
}

/// Returns the plan with the groups marked that stand in it twice; none if there are none.
fn shared(plan: &LogicalPlan, kept_bytes_max: usize) -> Result<Option<LogicalPlan>> {
    let mut counts: HashMap<LogicalPlan, usize> = HashMap::new();
    let mut repeats = false;
    plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::Aggregate(_) => *counts.entry(node.clone()).or_default() += 1,
            // Its parts are other rows in each round.
            LogicalPlan::RecursiveQuery(_) => repeats = true,
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let mut parts: HashMap<LogicalPlan, Arc<Kept>> = HashMap::new();
    for (part, count) in counts {
        if 1 < count && !repeats && is_always_the_same(&part)? {
            parts.insert(part, Arc::new(Kept::new(kept_bytes_max)));
        }
    }
    if parts.is_empty() {
        return Ok(None);
    }
    let marked = plan.clone().transform_down_with_subqueries(|node| {
        let Some(kept) = parts.get(&node) else { return Ok(Transformed::no(node)) };
        let part = Part { kept: Arc::clone(kept), input: node };
        let node = LogicalPlan::Extension(Extension { node: Arc::new(part) });
        Ok(Transformed::new(node, true, TreeNodeRecursion::Jump))
    })?;
    Ok(Some(marked.data))
}

/// Whether a part has the same rows wherever it stands.
fn is_always_the_same(part: &LogicalPlan) -> Result<bool> {
    let mut is_same = true;
    part.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            let depends = expr.exists(|it| Ok(matches!(it, Expr::OuterReferenceColumn(..))))?;
            is_same &= !depends && !expr.is_volatile();
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(is_same)
}

/// A part of a plan that stands in it more than once.
#[derive(Debug, Clone)]
struct Part {
    kept: Arc<Kept>,
    input: LogicalPlan,
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        self.input == other.input
    }
}

impl Eq for Part {}

impl PartialOrd for Part {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl Hash for Part {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
    }
}

impl UserDefinedLogicalNodeCore for Part {
    fn name(&self) -> &'static str {
        "Once"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Once")
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        match <[LogicalPlan; 1]>::try_from(inputs) {
            Ok([input]) => Ok(Part { kept: Arc::clone(&self.kept), input }),
            Err(inputs) => internal_err!("Once has one input, not {}", inputs.len()),
        }
    }
}

#[derive(Debug)]
struct Parts;

#[async_trait]
impl ExtensionPlanner for Parts {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        Ok(match (node.as_any().downcast_ref::<Part>(), inputs) {
            (Some(part), [input]) => {
                Some(Arc::new(OnceExec::new(Arc::clone(input), Arc::clone(&part.kept))))
            }
            _ => None,
        })
    }
}

/// The rows of a part, kept while the question runs.
struct Kept {
    rows: Mutex<Option<Working>>,
    /// The rows that were too many to be kept: those that came, and the others to come.
    too_many: Arc<Mutex<Option<(Rows, SendableRecordBatchStream)>>>,
    kept_bytes_max: usize,
}

/// Rows that are being worked out, or have been; none if they were too many to be kept.
type Working = Shared<BoxFuture<'static, Result<Option<Arc<Rows>>, Arc<DataFusionError>>>>;

#[derive(Debug)]
struct Rows {
    batches: Vec<RecordBatch>,
    memory: MemoryReservation,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("kept_bytes_max", &self.kept_bytes_max).finish_non_exhaustive()
    }
}

impl Kept {
    fn new(kept_bytes_max: usize) -> Kept {
        Kept { rows: Mutex::default(), too_many: Arc::default(), kept_bytes_max }
    }

    /// Returns the rows of the part for a place whose own plan of it is `input`.
    async fn stream(
        &self,
        input: Arc<dyn ExecutionPlan>,
        task: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let schema = input.schema();
        let (working, is_first) = self.work(&input, &task);
        if let Some(rows) = working.await.map_err(DataFusionError::Shared)? {
            let batches = futures::stream::iter(rows.batches.clone()).map(move |batch| {
                let _held = &rows;
                Ok(batch)
            });
            return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)));
        }
        // A plan runs once: that of the first place has begun, those of the others have not.
        if !is_first {
            return input.execute(0, task);
        }
        let Some((came, rest)) = self.too_many.lock().take() else {
            return internal_err!("the rows of a part are gone");
        };
        let held = came.memory;
        let batches = futures::stream::iter(came.batches.into_iter().map(Ok)).chain(rest);
        let batches = batches.inspect(move |_| _ = &held);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    /// Lets whoever asks first work the rows out; by a task, since one place may wait for another to
    /// be done. Also tells whether this one is the first.
    fn work(&self, input: &Arc<dyn ExecutionPlan>, task: &Arc<TaskContext>) -> (Working, bool) {
        let mut rows = self.rows.lock();
        if let Some(working) = rows.as_ref() {
            return (working.clone(), false);
        }
        let (input, task) = (Arc::clone(input), Arc::clone(task));
        let too_many = Arc::clone(&self.too_many);
        let work = SpawnedTask::spawn(collect(input, task, too_many, self.kept_bytes_max));
        let working = async move {
            let worked = work.join().await;
            worked
                .map_err(|it| DataFusionError::ExecutionJoin(Box::new(it)))
                .flatten()
                .map_err(Arc::new)
        };
        let working = working.boxed().shared();
        *rows = Some(working.clone());
        (working, true)
    }
}

async fn collect(
    input: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
    too_many: Arc<Mutex<Option<(Rows, SendableRecordBatchStream)>>>,
    bytes_max: usize,
) -> Result<Option<Arc<Rows>>> {
    let memory = MemoryConsumer::new("Once").register(task.memory_pool());
    let mut came = Rows { batches: Vec::new(), memory };
    let mut rows = input.execute(0, task)?;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let bytes = batch.get_array_memory_size();
        let would_be = came.memory.size().saturating_add(bytes);
        let fits = would_be <= bytes_max && came.memory.try_grow(bytes).is_ok();
        came.batches.push(batch);
        if !fits {
            *too_many.lock() = Some((came, rows));
            return Ok(None);
        }
    }
    Ok(Some(Arc::new(came)))
}

/// What has the rows of a part.
#[derive(Debug)]
struct OnceExec {
    input: Arc<dyn ExecutionPlan>,
    kept: Arc<Kept>,
    properties: Arc<PlanProperties>,
}

impl OnceExec {
    fn new(input: Arc<dyn ExecutionPlan>, kept: Arc<Kept>) -> OnceExec {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        ));
        OnceExec { input, kept, properties }
    }
}

impl DisplayAs for OnceExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnceExec")
    }
}

impl ExecutionPlan for OnceExec {
    fn name(&self) -> &'static str {
        "OnceExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match <[Arc<dyn ExecutionPlan>; 1]>::try_from(children) {
            Ok([input]) => Ok(Arc::new(OnceExec::new(input, Arc::clone(&self.kept)))),
            Err(children) => internal_err!("OnceExec has one child, not {}", children.len()),
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn child_stats_requests(&self, _: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(None)]
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        _: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let unknown = || Arc::new(Statistics::new_unknown(&self.schema()));
        Ok(inputs.first().map_or_else(unknown, Arc::clone))
    }

    fn execute(&self, _: usize, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (input, kept) = (Arc::clone(&self.input), Arc::clone(&self.kept));
        let rows = futures::stream::once(async move { kept.stream(input, task).await });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows.try_flatten())))
    }
}

#[cfg(test)]
mod tests;
