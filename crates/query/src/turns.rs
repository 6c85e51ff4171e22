//! Turns of the plans that run: whatever makes many batches pauses after a few of them.
//!
//! The engine pauses where rows are read. A join that makes thousands of batches of one that was
//! read does not, nor does an aggregate above it: it would hold a thread until all are made.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::StreamExt;

/// Batches of a turn, shared by all statements of one asker.
const BATCHES: usize = 8;

/// What makes rows, in turns.
#[derive(Debug)]
struct Turns {
    input: Arc<dyn ExecutionPlan>,
    /// Statements of the asker that run.
    running: Arc<AtomicUsize>,
}

/// Returns the plan with pauses; `running` counts the statements of its asker.
pub(crate) fn in_turns(
    plan: Arc<dyn ExecutionPlan>,
    running: &Arc<AtomicUsize>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let children: Vec<Arc<dyn ExecutionPlan>> = plan
        .children()
        .into_iter()
        .map(|it| in_turns(Arc::clone(it), running))
        .collect::<Result<_>>()?;
    let makes_more = children.len() != 1
        || matches!(
            plan.cardinality_effect(),
            CardinalityEffect::Unknown | CardinalityEffect::GreaterEqual
        );
    let plan = if children.is_empty() {
        plan
    } else {
        plan.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep))?
    };
    if !makes_more {
        return Ok(plan);
    }
    Ok(Arc::new(Turns { input: plan, running: Arc::clone(running) }))
}

impl DisplayAs for Turns {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turns")
    }
}

impl ExecutionPlan for Turns {
    fn name(&self) -> &'static str {
        "Turns"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
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
            Ok([input]) => Ok(Arc::new(Turns { input, running: Arc::clone(&self.running) })),
            Err(children) => internal_err!("Turns has one child, not {}", children.len()),
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

    fn execute(
        &self,
        partition: usize,
        task: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let mut rows = self.input.execute(partition, task)?;
        let running = Arc::clone(&self.running);
        let mut made = 0;
        let turns = futures::stream::poll_fn(move |context| {
            if turn(&running) <= made {
                made = 0;
                // Behind all others that wait for a thread.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let polled = rows.poll_next_unpin(context);
            made = if polled.is_ready() { made + 1 } else { 0 };
            polled
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), turns)))
    }
}

/// Who runs many statements has short turns in each, so that askers have about as much.
fn turn(running: &AtomicUsize) -> usize {
    (BATCHES / running.load(Ordering::Relaxed).max(1)).max(1)
}

#[cfg(test)]
mod tests;
