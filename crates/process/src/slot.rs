//! A leaf of a plan that yields whatever batches were put into it before the plan runs.
//!
//! A plan of a table is made once; each tick refills its slots and runs it again.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
    ReplaceChildrenOptions,
};
use parking_lot::Mutex;

use crate::lookup::index::LookupRows;

/// Rows that a planner expects of what moves, so that joins build their hash table on lookups.
const MOVING_ROWS: usize = 1_000_000_000;

/// Rows that a planner expects of a lookup: fewer than anything else has.
const LOOKUP_ROWS: usize = 1;

/// Holds the batches that a [`SlotExec`] yields.
pub(crate) struct Slot {
    schema: SchemaRef,
    is_moving: bool,
    held: Mutex<Held>,
}

#[derive(Clone)]
enum Held {
    Moving(Arc<[RecordBatch]>),
    Lookup(Arc<LookupRows>),
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("is_moving", &self.is_moving).finish_non_exhaustive()
    }
}

impl Slot {
    /// Makes a slot for rows that move.
    pub(crate) fn moving(schema: SchemaRef) -> Arc<Slot> {
        Slot::new(schema, true, Held::Moving(Arc::from([])))
    }

    /// Makes a slot for a lookup.
    pub(crate) fn still(schema: SchemaRef) -> Arc<Slot> {
        Slot::new(schema, false, Held::Moving(Arc::from([])))
    }

    /// Makes a slot with these rows of a lookup.
    pub(crate) fn of_lookup(rows: &Arc<LookupRows>) -> Arc<Slot> {
        Slot::new(rows.rows.schema(), false, Held::Lookup(Arc::clone(rows)))
    }

    fn new(schema: SchemaRef, is_moving: bool, held: Held) -> Arc<Slot> {
        Arc::new(Slot { schema, is_moving, held: Mutex::new(held) })
    }

    /// Puts in what the next runs yield.
    pub(crate) fn set(&self, batches: Arc<[RecordBatch]>) {
        *self.held.lock() = Held::Moving(batches);
    }

    /// Puts in the rows of a lookup.
    pub(crate) fn set_lookup(&self, rows: &Arc<LookupRows>) {
        *self.held.lock() = Held::Lookup(Arc::clone(rows));
    }

    /// Returns the rows of the lookup, if there are some.
    pub(crate) fn lookup(&self) -> Option<Arc<LookupRows>> {
        match &*self.held.lock() {
            Held::Moving(_) => None,
            Held::Lookup(rows) => Some(Arc::clone(rows)),
        }
    }

    /// Returns whether its rows move.
    pub(crate) fn is_moving(&self) -> bool {
        self.is_moving
    }

    fn batches(&self) -> Vec<RecordBatch> {
        match &*self.held.lock() {
            Held::Moving(batches) => batches.to_vec(),
            Held::Lookup(rows) => vec![rows.rows.clone()],
        }
    }
}

/// A table whose scan is a [`SlotExec`].
#[derive(Debug)]
pub(crate) struct SlotTable(pub(crate) Arc<Slot>);

#[async_trait]
impl TableProvider for SlotTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        SlotExec::leaf(Arc::clone(&self.0), projection.cloned())
    }
}

/// Yields the batches of its slot.
#[derive(Debug)]
pub(crate) struct SlotExec {
    slot: Arc<Slot>,
    projection: Option<Vec<usize>>,
    properties: Arc<PlanProperties>,
}

impl SlotExec {
    /// Makes the leaf; it yields the columns of `projection` only, if there is one.
    pub(crate) fn leaf(
        slot: Arc<Slot>,
        projection: Option<Vec<usize>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema: SchemaRef = match &projection {
            None => Arc::clone(&slot.schema),
            Some(columns) => Arc::new(Schema::clone(&slot.schema).project(columns)?),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Arc::new(SlotExec { slot, projection, properties: Arc::new(properties) }))
    }

    /// Returns the slot it reads.
    pub(crate) fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// Returns which column of the slot is at this place.
    pub(crate) fn column(&self, place: usize) -> Option<usize> {
        match &self.projection {
            None => Some(place),
            Some(columns) => columns.get(place).copied(),
        }
    }

    /// Returns where a column of the slot is.
    pub(crate) fn place(&self, column: usize) -> Option<usize> {
        match &self.projection {
            None => Some(column),
            Some(columns) => columns.iter().position(|it| *it == column),
        }
    }

    /// Returns the columns that it yields.
    pub(crate) fn project(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        match &self.projection {
            None => Ok(rows.clone()),
            Some(columns) => Ok(rows.project(columns)?),
        }
    }
}

impl DisplayAs for SlotExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.slot.is_moving() { "moving" } else { "still" };
        write!(f, "SlotExec: {kind}, columns={}", self.schema().fields().len())
    }
}

impl ExecutionPlan for SlotExec {
    fn name(&self) -> &'static str {
        "SlotExec"
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
        // MemoryStream keeps the full schema and projects; it takes batches by value, whose
        // clones are a few counters.
        let batches = self.slot.batches();
        let stream = MemoryStream::try_new(batches, self.schema(), self.projection.clone())?;
        Ok(Box::pin(stream))
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        _: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let rows = if self.slot.is_moving { MOVING_ROWS } else { LOOKUP_ROWS };
        let columns = self.schema().fields().len();
        Ok(Arc::new(Statistics {
            num_rows: Precision::Inexact(rows),
            total_byte_size: Precision::Inexact(rows.saturating_mul(64)),
            column_statistics: vec![ColumnStatistics::new_unknown(); columns],
        }))
    }
}
