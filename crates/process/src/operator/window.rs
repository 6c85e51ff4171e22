//! The groups of one window.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::GroupsAccumulatorAdapter;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use parking_lot::Mutex;

use super::{Computed, Shape};

/// The groups of one window.
pub(super) struct Window {
    /// `None` where nothing is grouped by: one group, there from the beginning. The locks are
    /// never taken: they let the flow be looked at while a table is at work.
    keys: Option<Mutex<Box<dyn GroupValues>>>,
    accumulators: Vec<Mutex<Box<dyn GroupsAccumulator>>>,
    pub(super) groups: usize,
    /// Which group each row of the current batch belongs to; kept for its memory.
    indices: Vec<usize>,
    /// The state, if nothing came since it was taken.
    pub(super) state: Option<RecordBatch>,
    /// Which groups changed since their states were written down last.
    pub(super) marks: Vec<bool>,
    pub(super) is_marked: bool,
    /// When rows came last, in turns of the operator.
    pub(super) touched: u64,
    /// Its bytes in memory, as long as nothing changes.
    measured: Option<usize>,
}

impl std::fmt::Debug for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Window").field("groups", &self.groups).finish_non_exhaustive()
    }
}

impl Window {
    pub(super) fn new(shape: &Shape) -> Result<Window> {
        let keys = if shape.groups.is_empty() {
            None
        } else {
            Some(Mutex::new(new_group_values(
                Arc::clone(&shape.group_schema),
                &GroupOrdering::None,
            )?))
        };
        let accumulators = shape
            .functions
            .iter()
            .map(|it| accumulator(it).map(Mutex::new))
            .collect::<Result<_>>()?;
        let groups = usize::from(keys.is_none());
        let mut window = Window {
            keys,
            accumulators,
            groups,
            indices: Vec::new(),
            state: None,
            marks: Vec::new(),
            is_marked: false,
            touched: 0,
            measured: None,
        };
        if window.keys.is_none() {
            window.update(&nothing(shape))?; // Tells the accumulators of their one group.
        }
        Ok(window)
    }

    /// Returns the bytes it takes in memory, about.
    pub(super) fn bytes(&mut self) -> usize {
        if let Some(bytes) = self.measured {
            return bytes;
        }
        let keys = self.keys.as_mut().map_or(0, |it| it.get_mut().size());
        let accumulators = self.accumulators.iter_mut().map(|it| it.get_mut().size());
        let state = self.state.as_ref().map_or(0, RecordBatch::get_array_memory_size);
        let indices = self.indices.capacity() * size_of::<usize>();
        let bytes = keys + accumulators.sum::<usize>() + state + indices + self.marks.capacity();
        self.measured = Some(bytes);
        bytes
    }

    /// Forgets the state, which can be made again.
    pub(super) fn forget_state(&mut self) {
        self.state = None;
        self.indices = Vec::new();
        self.measured = None;
    }

    fn index(&mut self, keys: &[ArrayRef], rows: usize) -> Result<()> {
        self.measured = None;
        match &mut self.keys {
            None => {
                self.indices.clear();
                self.indices.resize(rows, 0);
            }
            Some(values) => {
                let values = values.get_mut();
                values.intern(keys, &mut self.indices)?;
                self.groups = values.len();
            }
        }
        self.marks.resize(self.groups, false);
        for group in &self.indices {
            if let Some(mark) = self.marks.get_mut(*group) {
                *mark = true;
            }
        }
        self.is_marked |= 0 < rows;
        Ok(())
    }

    pub(super) fn update(&mut self, computed: &Computed) -> Result<()> {
        self.state = None;
        self.index(&computed.keys, computed.rows)?;
        let inputs = computed.arguments.iter().zip(&computed.filters);
        for (accumulator, (arguments, filter)) in self.accumulators.iter_mut().zip(inputs) {
            accumulator.get_mut().update_batch(
                arguments,
                &self.indices,
                filter.as_ref(),
                self.groups,
            )?;
        }
        Ok(())
    }

    pub(super) fn merge(&mut self, shape: &Shape, state: &RecordBatch) -> Result<()> {
        self.state = None;
        let (keys, mut rest) = state.columns().split_at(shape.groups.len());
        self.index(keys, state.num_rows())?;
        for (function, accumulator) in shape.functions.iter().zip(&mut self.accumulators) {
            let (mine, after) = rest.split_at(function.state_fields()?.len());
            accumulator.get_mut().merge_batch(mine, &self.indices, self.groups)?;
            rest = after;
        }
        Ok(())
    }

    /// Takes the state out; the window must not be used after it.
    pub(super) fn take_state(&mut self, shape: &Shape) -> Result<RecordBatch> {
        if self.groups == 0 {
            // Some functions give no columns at all for no groups.
            return Ok(RecordBatch::new_empty(Arc::clone(&shape.state)));
        }
        let mut columns = self.take_keys()?;
        for accumulator in &mut self.accumulators {
            columns.extend(accumulator.get_mut().state(EmitTo::All)?);
        }
        batch_of(&shape.state, columns, self.groups)
    }

    /// Takes the groups out; the window must not be used after it.
    pub(super) fn evaluate(&mut self, shape: &Shape) -> Result<RecordBatch> {
        if self.groups == 0 {
            return Ok(RecordBatch::new_empty(Arc::clone(&shape.output)));
        }
        let mut columns = self.take_keys()?;
        for accumulator in &mut self.accumulators {
            columns.push(accumulator.get_mut().evaluate(EmitTo::All)?);
        }
        batch_of(&shape.output, columns, self.groups)
    }

    fn take_keys(&mut self) -> Result<Vec<ArrayRef>> {
        match &mut self.keys {
            None => Ok(Vec::new()),
            Some(keys) => keys.get_mut().emit(EmitTo::All),
        }
    }
}

fn batch_of(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    // Some functions give another layout of the same type (a dictionary, a view): bring it back.
    let columns = columns
        .into_iter()
        .zip(schema.fields())
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                Ok(column)
            } else {
                Ok(compute::cast(&column, field.data_type())?)
            }
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

fn accumulator(function: &Arc<AggregateFunctionExpr>) -> Result<Box<dyn GroupsAccumulator>> {
    if function.groups_accumulator_supported() {
        return function.create_groups_accumulator();
    }
    let function = Arc::clone(function);
    Ok(Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator())))
}

/// One row that every filter leaves out: it makes the group known and leaves it without values. A
/// batch of no rows would do the first only: some functions take all groups of a batch without NULLs
/// and filters for groups with a value.
fn nothing(shape: &Shape) -> Computed {
    let nulls = |types: &Vec<DataType>| types.iter().map(|it| new_null_array(it, 1)).collect();
    let arguments = shape.argument_types.iter().map(nulls).collect();
    let filters = shape.filters.iter().map(|_| Some(BooleanArray::from(vec![false]))).collect();
    Computed { keys: Vec::new(), arguments, filters, rows: 1 }
}
