//! Counts what a plan reads where it reads it, and ends it when that is too much.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::StreamExt;

use crate::asker::Reading;

/// What reads rows, counted.
#[derive(Debug)]
struct Counted {
    input: Arc<dyn ExecutionPlan>,
    reading: Arc<Reading>,
}

/// Returns the plan with all that reads rows counted.
pub(crate) fn counted(
    plan: Arc<dyn ExecutionPlan>,
    reading: &Arc<Reading>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let children: Vec<Arc<dyn ExecutionPlan>> =
        plan.children().into_iter().map(Arc::clone).collect();
    if children.is_empty() {
        return Ok(Arc::new(Counted { input: plan, reading: Arc::clone(reading) }));
    }
    let children: Vec<Arc<dyn ExecutionPlan>> =
        children.into_iter().map(|it| counted(it, reading)).collect::<Result<_>>()?;
    plan.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep))
}

impl DisplayAs for Counted {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counted")
    }
}

impl ExecutionPlan for Counted {
    fn name(&self) -> &'static str {
        "Counted"
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
            Ok([input]) => Ok(Arc::new(Counted { input, reading: Arc::clone(&self.reading) })),
            Err(children) => internal_err!("Counted has one child, not {}", children.len()),
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
        let reading = Arc::clone(&self.reading);
        let rows = self.input.execute(partition, task)?.map(move |batch| {
            let batch = batch?;
            let bytes = if reading.wants_bytes() { bytes_of(&batch) } else { 0 };
            let counted = reading.add(batch.num_rows() as u64, bytes as u64);
            counted.map_err(|error| DataFusionError::External(Box::new(error)))?;
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

/// Returns the bytes of the values of a batch, whatever buffers they share with others.
fn bytes_of(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(bytes_of_array).sum()
}

/// A value of a text or of bytes costs as much beside its letters.
const VIEW_BYTES: usize = 16;

fn bytes_of_array(array: &ArrayRef) -> usize {
    let views = match array.data_type() {
        DataType::Utf8View => Some(array.as_string_view().views().as_ref()),
        DataType::BinaryView => Some(array.as_binary_view().views().as_ref()),
        _ => None,
    };
    match views {
        // The low half of a view is the length of its value.
        Some(views) => views
            .iter()
            .map(|it| VIEW_BYTES + usize::try_from(*it & 0xFFFF_FFFF).unwrap_or(0))
            .sum(),
        None => array.to_data().get_slice_memory_size().unwrap_or(0),
    }
}
