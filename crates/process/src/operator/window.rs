//! The groups of one window.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute;
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::GroupsAccumulatorAdapter;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use parking_lot::Mutex;

use super::keys::Keys;
use super::{Computed, Shape};

/// The groups of one window.
pub(super) struct Window {
    keys: Keys,
    /// The locks are never taken: they let the flow be looked at while a table is at work.
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
    /// The numbers of its groups among those of all panes, of as many as had one when they were
    /// asked last, and who gave them.
    pub(super) numbers: Vec<usize>,
    pub(super) numbered_by: u64,
}

impl std::fmt::Debug for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Window").field("groups", &self.groups).finish_non_exhaustive()
    }
}

impl Window {
    /// Makes one for rows of any window.
    pub(super) fn new(shape: &Shape) -> Result<Window> {
        Window::with(shape, Keys::new(shape, None)?)
    }

    /// Makes one for rows of one window only: the group column that tells it is the same in all.
    pub(super) fn of_one(shape: &Shape) -> Result<Window> {
        let without = shape.window.filter(|_| 1 < shape.groups.len());
        Window::with(shape, Keys::new(shape, without)?)
    }

    fn with(shape: &Shape, keys: Keys) -> Result<Window> {
        let accumulators = shape
            .functions
            .iter()
            .map(|it| accumulator(it).map(Mutex::new))
            .collect::<Result<_>>()?;
        let (groups, is_one) = (keys.count, keys.is_one());
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
            numbers: Vec::new(),
            numbered_by: 0,
        };
        if is_one {
            window.update(&nothing(shape))?; // Tells the accumulators of their one group.
        }
        Ok(window)
    }

    /// Returns the bytes it takes in memory, about.
    pub(super) fn bytes(&mut self) -> usize {
        if let Some(bytes) = self.measured {
            return bytes;
        }
        let keys = self.keys.bytes();
        let accumulators = self.accumulators.iter_mut().map(|it| it.get_mut().size());
        // Its keys are those that are counted already.
        let state = self.state.iter().flat_map(|it| it.columns().iter().skip(self.keys.columns()));
        let state = state.map(|it| it.get_array_memory_size()).sum::<usize>();
        let indices = (self.indices.capacity() + self.numbers.capacity()) * size_of::<usize>();
        let bytes = keys + accumulators.sum::<usize>() + state + indices + self.marks.capacity();
        self.measured = Some(bytes);
        bytes
    }

    /// Forgets the state, which can be made again.
    pub(super) fn forget_state(&mut self) {
        self.state = None;
        self.indices = Vec::new();
        self.numbers = Vec::new();
        self.measured = None;
    }

    fn index(&mut self, keys: &[ArrayRef], rows: usize) -> Result<()> {
        self.measured = None;
        self.keys.find(keys, rows, &mut self.indices)?;
        self.groups = self.keys.count;
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
        let mut columns = self.keys.all()?;
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
        let mut columns = self.keys.all()?;
        for accumulator in &mut self.accumulators {
            columns.push(accumulator.get_mut().evaluate(EmitTo::All)?);
        }
        batch_of(&shape.output, columns, self.groups)
    }

    /// Returns the state; the window stays as it is.
    pub(super) fn state(&mut self, shape: &Shape) -> Result<RecordBatch> {
        if let Some(state) = &self.state {
            return Ok(state.clone());
        }
        self.measured = None;
        let state = self.take_state(shape)?;
        if 0 < self.groups {
            let states = state.columns().get(shape.groups.len()..).unwrap_or_default();
            let again = accumulators_of(shape, states, self.groups)?;
            self.accumulators = again.into_iter().map(Mutex::new).collect();
        }
        self.state = Some(state.clone());
        Ok(state)
    }
}

/// Returns accumulators that hold these states; each row is a group.
pub(super) fn accumulators_of(
    shape: &Shape,
    states: &[ArrayRef],
    groups: usize,
) -> Result<Vec<Box<dyn GroupsAccumulator>>> {
    let groups: Vec<usize> = (0..groups).collect();
    let mut accumulators = accumulators(shape)?;
    merge(shape, &mut accumulators, states, &groups, groups.len())?;
    Ok(accumulators)
}

/// Returns accumulators of no groups.
pub(super) fn accumulators(shape: &Shape) -> Result<Vec<Box<dyn GroupsAccumulator>>> {
    shape.functions.iter().map(accumulator).collect()
}

/// Merges states into accumulators; of `all` groups, the rows are of those of these numbers.
pub(super) fn merge(
    shape: &Shape,
    accumulators: &mut [Box<dyn GroupsAccumulator>],
    states: &[ArrayRef],
    groups: &[usize],
    all: usize,
) -> Result<()> {
    let mut rest = states;
    for (function, accumulator) in shape.functions.iter().zip(accumulators) {
        let (mine, after) = rest.split_at(function.state_fields()?.len());
        accumulator.merge_batch(mine, groups, all)?;
        rest = after;
    }
    Ok(())
}

/// Returns the groups of a state of which each row is a group.
pub(super) fn evaluated(shape: &Shape, state: &RecordBatch) -> Result<RecordBatch> {
    if state.num_rows() == 0 {
        return Ok(RecordBatch::new_empty(Arc::clone(&shape.output)));
    }
    let (keys, states) = state.columns().split_at(shape.groups.len());
    let mut columns = keys.to_vec();
    for mut accumulator in accumulators_of(shape, states, state.num_rows())? {
        columns.push(accumulator.evaluate(EmitTo::All)?);
    }
    batch_of(&shape.output, columns, state.num_rows())
}

pub(super) fn batch_of(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let columns = fitted(columns, schema.fields().iter())?;
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// Brings columns back to their types: some functions give another layout of the same type (a
/// dictionary, a view).
pub(super) fn fitted<'a>(
    columns: Vec<ArrayRef>,
    fields: impl Iterator<Item = &'a FieldRef>,
) -> Result<Vec<ArrayRef>> {
    let fit = |(column, field): (ArrayRef, &FieldRef)| {
        if column.data_type() == field.data_type() {
            Ok(column)
        } else {
            Ok(compute::cast(&column, field.data_type())?)
        }
    };
    columns.into_iter().zip(fields).map(fit).collect()
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
