//! A leaf of a plan that yields rows on disk, section by section.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt, stream};

use crate::spill::Spilled;

/// See the module.
#[derive(Debug)]
pub(crate) struct SpilledExec {
    files: Vec<Arc<Spilled>>,
    columns: Arc<[usize]>,
    properties: Arc<PlanProperties>,
}

impl SpilledExec {
    /// Makes the leaf: it yields these columns of rows of that schema.
    pub(crate) fn leaf(
        files: Vec<Arc<Spilled>>,
        schema: &SchemaRef,
        columns: &[usize],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = Arc::new(schema.project(columns)?);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Arc::new(SpilledExec {
            files,
            columns: Arc::from(columns),
            properties: Arc::new(properties),
        }))
    }
}

impl DisplayAs for SpilledExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpilledExec: files={}", self.files.len())
    }
}

impl ExecutionPlan for SpilledExec {
    fn name(&self) -> &'static str {
        "SpilledExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let places = |it: &Arc<Spilled>| {
            let file = Arc::clone(it);
            (0..it.sections()).map(move |place| (Arc::clone(&file), place))
        };
        let places: Vec<(Arc<Spilled>, usize)> = self.files.iter().flat_map(places).collect();
        let (columns, schema) = (Arc::clone(&self.columns), self.schema());
        let read = move |(file, place): (Arc<Spilled>, usize)| {
            let rows = read(&file, place, &columns)?;
            Ok::<_, DataFusionError>(stream::iter(rows.into_iter().map(Ok)))
        };
        let rows = stream::iter(places).map(read).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

fn read(file: &Spilled, place: usize, columns: &[usize]) -> Result<Vec<RecordBatch>> {
    file.read(place)?.iter().map(|it| Ok(it.project(columns)?)).collect()
}
