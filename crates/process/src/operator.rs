//! The groups of an aggregating table, held in memory window by window.
//!
//! A plan is cut at its one `AggregateExec` ([`Shape::of`]): what is below runs on each tick's rows
//! and feeds [`Operator::update`]; what is above runs on what [`Operator::peek`] and
//! [`Operator::close`] return. Groups outlive ticks, epochs (as state batches) and restarts.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray, RecordBatch, UInt32Array,
};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, aggregate_expressions};

mod combine;
mod disk;
mod keys;
mod parts;
mod window;

use combine::Shared;
use disk::OnDisk;
pub(crate) use parts::Parts;
use window::Window;

/// The start of a window in microseconds; the one window of a running table starts at 0.
pub(crate) type Start = i64;

/// What is grouped, and what is computed per group.
#[derive(Debug)]
pub(crate) struct Shape {
    groups: Vec<Arc<dyn PhysicalExpr>>,
    group_schema: SchemaRef,
    functions: Vec<Arc<AggregateFunctionExpr>>,
    arguments: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    argument_types: Vec<Vec<DataType>>,
    filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
    /// Group columns, then one column per function.
    output: SchemaRef,
    /// Group columns, then the state columns of each function.
    state: SchemaRef,
    /// Which group column is the window's start; none in a running table.
    window: Option<usize>,
}

impl Shape {
    /// Reads the shape from the aggregate of a plan; `window` is the group column that tells the
    /// window.
    pub(crate) fn of(aggregate: &AggregateExec, window: Option<usize>) -> Result<Shape> {
        if !matches!(aggregate.mode(), AggregateMode::Single | AggregateMode::SinglePartitioned) {
            return internal_err!("the aggregate of a table was planned in {:?}", aggregate.mode());
        }
        let by = aggregate.group_expr();
        if !by.is_single() {
            return plan_err!("GROUPING SETS, CUBE and ROLLUP have no meaning in a moving table");
        }
        let functions = aggregate.aggr_expr().to_vec();
        let group_schema = by.group_schema(&aggregate.input().schema())?;
        let output = aggregate.schema();
        let groups: Vec<_> = by.expr().iter().map(|(it, _)| Arc::clone(it)).collect();
        let mut state: Vec<Field> = (0..groups.len()).map(|it| output.field(it).clone()).collect();
        for (place, function) in functions.iter().enumerate() {
            for (part, field) in function.state_fields()?.iter().enumerate() {
                // Names repeat between functions; a number keeps them apart.
                let name = format!("{place}.{part}");
                state.push(field.as_ref().clone().with_name(name).with_nullable(true));
            }
        }
        let is_micros = |it: &DataType| matches!(it, DataType::Timestamp(TimeUnit::Microsecond, _));
        if let Some(column) = window
            && !output.fields().get(column).is_some_and(|it| is_micros(it.data_type()))
        {
            return plan_err!("a window needs a timestamp in microseconds; cast its argument");
        }
        let arguments = aggregate_expressions(&functions, &AggregateMode::Partial, 0)?;
        let input = aggregate.input().schema();
        let types = |all: &Vec<Arc<dyn PhysicalExpr>>| {
            all.iter().map(|it| it.data_type(&input)).collect::<Result<Vec<_>>>()
        };
        Ok(Shape {
            argument_types: arguments.iter().map(types).collect::<Result<_>>()?,
            arguments,
            filters: aggregate.filter_expr().to_vec(),
            groups,
            group_schema,
            functions,
            output,
            state: Arc::new(Schema::new(state)),
            window,
        })
    }

    /// Returns the number of columns that are grouped by; a state batch begins with them.
    pub(crate) fn keys(&self) -> usize {
        self.groups.len()
    }

    /// Returns of states that were written down one after the other the newest of each group.
    pub(crate) fn newest(&self, written: Vec<Vec<RecordBatch>>) -> Result<Vec<RecordBatch>> {
        if written.len() < 2 || self.groups.is_empty() {
            return Ok(written.into_iter().next_back().unwrap_or_default());
        }
        let fields = self.group_schema.fields().iter();
        let fields = fields.map(|it| SortField::new(it.data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        let mut seen: HashSet<OwnedRow> = HashSet::new();
        let mut newest = Vec::new();
        for batch in written.into_iter().rev().flatten() {
            let keys = batch.columns().get(..self.groups.len()).unwrap_or_default();
            let keys = converter.convert_columns(keys)?;
            let is_new = keys.iter().map(|it| Some(seen.insert(it.owned())));
            let is_new: BooleanArray = is_new.collect();
            newest.push(compute::filter_record_batch(&batch, &is_new)?);
        }
        newest.retain(|it| 0 < it.num_rows());
        Ok(newest)
    }

    /// Merges the rows of a state batch whose groups are the same.
    pub(crate) fn merged(&self, state: &RecordBatch) -> Result<RecordBatch> {
        let mut window = Window::new(self)?;
        window.merge(self, state)?;
        window.take_state(self)
    }

    /// Returns the groups of a state batch as `peek` would.
    pub(crate) fn evaluated(&self, state: &RecordBatch) -> Result<RecordBatch> {
        let mut window = Window::new(self)?;
        window.merge(self, state)?;
        window.evaluate(self)
    }

    /// Returns the schema of what `peek` and `close` return.
    pub(crate) fn output(&self) -> &SchemaRef {
        &self.output
    }

    /// Returns the schema of state batches.
    pub(crate) fn state(&self) -> &SchemaRef {
        &self.state
    }

    /// Evaluates what the groups need of a batch; nothing is taken in yet.
    pub(crate) fn compute(&self, batch: &RecordBatch) -> Result<Computed> {
        let rows = batch.num_rows();
        let value = |it: &Arc<dyn PhysicalExpr>| it.evaluate(batch)?.into_array(rows);
        let values = |all: &Vec<Arc<dyn PhysicalExpr>>| all.iter().map(value).collect();
        let keys = values(&self.groups)?;
        let arguments = self.arguments.iter().map(values).collect::<Result<_>>()?;
        let filter = |it: &Option<Arc<dyn PhysicalExpr>>| {
            it.as_ref().map(|it| Ok(value(it)?.as_boolean().clone())).transpose()
        };
        let filters = self.filters.iter().map(filter).collect::<Result<_>>()?;
        Ok(Computed { keys, arguments, filters, rows })
    }

    /// Tells which rows belong to which window.
    fn split(&self, computed: &Computed, taken: &mut Taken) -> Vec<Part> {
        let Some(starts) = self.starts(computed) else {
            return vec![Part { start: 0, rows: Rows::All }];
        };
        if starts.null_count() == 0 {
            let values = starts.values();
            let first = values.first().copied().unwrap_or_default();
            if values.iter().all(|it| *it == first) {
                return vec![Part { start: first, rows: Rows::All }];
            }
        }
        split_runs(starts, taken)
    }

    /// Returns the window of each row; none in a running table.
    pub(crate) fn starts<'a>(
        &self,
        computed: &'a Computed,
    ) -> Option<&'a PrimitiveArray<TimestampMicrosecondType>> {
        computed.keys.get(self.window?)?.as_primitive_opt()
    }

    /// Returns the state as if its window began at `start`.
    fn moved_to(&self, state: &RecordBatch, start: Start) -> Result<RecordBatch> {
        let Some(place) = self.window else { return Ok(state.clone()) };
        let mut columns = state.columns().to_vec();
        if let Some(column) = columns.get_mut(place) {
            let kind = column.data_type().clone();
            let starts =
                PrimitiveArray::<TimestampMicrosecondType>::from_value(start, column.len());
            *column = Arc::new(starts.with_data_type(kind));
        }
        Ok(RecordBatch::try_new(state.schema(), columns)?)
    }

    /// Returns the window of a state batch.
    pub(crate) fn start_of(&self, state: &RecordBatch) -> Option<Start> {
        match self.window {
            None => Some(0),
            Some(column) => {
                let starts = state.columns().get(column)?;
                let starts = starts.as_primitive_opt::<TimestampMicrosecondType>()?;
                (!starts.is_empty()).then(|| starts.value(0))
            }
        }
    }
}

/// The windows: in memory, and on disk where they do not fit.
#[derive(Debug)]
pub(crate) struct Operator {
    shape: Arc<Shape>,
    windows: BTreeMap<Start, Window>,
    /// Groups of windows beside those in memory: the states of both are to be merged.
    on_disk: BTreeMap<Start, OnDisk>,
    /// Counts the batches taken in.
    turn: u64,
    groups_max: usize,
    /// Whether what was written of its states before is of no use.
    is_anew: bool,
    /// What overlapping windows have in common, if they were asked for together.
    shared: Option<Shared>,
    shared_ids: u64,
}

/// Why rows could not be taken in: the groups are in an unknown state, or too many.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct TakeError(String);

impl From<TakeError> for DataFusionError {
    /// Not an error of one row: the table cannot go on.
    fn from(error: TakeError) -> DataFusionError {
        DataFusionError::ResourcesExhausted(error.0)
    }
}

/// The rows of one batch that belong to one window.
struct Part {
    start: Start,
    rows: Rows,
}

enum Rows {
    All,
    Run { offset: usize, length: usize },
    Picked(UInt32Array),
}

/// Values of a batch, computed before any group is touched.
#[derive(Debug)]
pub(crate) struct Computed {
    keys: Vec<ArrayRef>,
    arguments: Vec<Vec<ArrayRef>>,
    filters: Vec<Option<BooleanArray>>,
    rows: usize,
}

/// What became of the rows of a batch.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Windows that got rows.
    pub(crate) touched: Vec<Start>,
    /// Whether there are rows whose window is NULL.
    pub(crate) has_without_window: bool,
    /// Windows that `admit` refused.
    pub(crate) refused: Vec<Start>,
}

impl Operator {
    /// Makes an operator without windows.
    pub(crate) fn new(shape: Arc<Shape>, groups_max: usize) -> Operator {
        let (windows, on_disk) = (BTreeMap::new(), BTreeMap::new());
        Operator {
            shape,
            windows,
            on_disk,
            turn: 0,
            groups_max,
            is_anew: true,
            shared: None,
            shared_ids: 0,
        }
    }

    /// Returns the shape.
    pub(crate) fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    /// Returns the starts of the windows.
    pub(crate) fn starts(&self) -> impl Iterator<Item = Start> + '_ {
        let others = self.on_disk.keys().filter(|it| !self.windows.contains_key(it));
        self.windows.keys().chain(others).copied()
    }

    /// Returns whether the window is here.
    pub(crate) fn has(&self, start: Start) -> bool {
        self.windows.contains_key(&start) || self.is_on_disk(start)
    }

    /// Returns the number of groups in memory.
    pub(crate) fn groups(&self) -> usize {
        self.windows.values().map(|it| it.groups).sum()
    }

    /// Takes rows in; those of windows that `admit` refuses are left out and told.
    pub(crate) fn take(
        &mut self,
        computed: &Computed,
        admit: &dyn Fn(&Operator, Start) -> bool,
    ) -> Result<Taken, TakeError> {
        let mut taken = Taken::default();
        if computed.rows == 0 {
            return Ok(taken);
        }
        self.turn += 1;
        for part in self.shape.split(computed, &mut taken) {
            if !admit(self, part.start) {
                taken.refused.push(part.start);
                continue;
            }
            taken.touched.push(part.start);
            let window = window_at(&mut self.windows, &self.shape, part.start)?;
            let picked = part.rows.pick(computed).map_err(|it| broken(&it))?;
            window.update(&picked).map_err(|it| broken(&it))?;
            window.touched = self.turn;
        }
        if self.groups_max < self.groups() {
            return Err(TakeError(format!(
                "more than {} groups; group by fewer values, or use shorter windows",
                self.groups_max
            )));
        }
        Ok(taken)
    }

    /// Merges a state batch, made by an operator of the same functions, into a window.
    pub(crate) fn merge(&mut self, start: Start, state: &RecordBatch) -> Result<(), TakeError> {
        let window = window_at(&mut self.windows, &self.shape, start)?;
        window.merge(&self.shape, state).map_err(|it| broken(&it))
    }

    /// Makes the window if it is not there: one without rows.
    pub(crate) fn touch(&mut self, start: Start) -> Result<(), TakeError> {
        window_at(&mut self.windows, &self.shape, start).map(|_| ())
    }

    /// Returns the state of a window; it stays as it is.
    pub(crate) fn state(&mut self, start: Start) -> Result<Option<RecordBatch>> {
        if self.is_on_disk(start) {
            return self.state_anywhere(start);
        }
        self.state_in_memory(start)
    }

    /// Returns the state of the groups of a window that are in memory; they stay as they are.
    pub(crate) fn state_in_memory(&mut self, start: Start) -> Result<Option<RecordBatch>> {
        let Some(window) = self.windows.get_mut(&start) else { return Ok(None) };
        window.state(&self.shape).map(Some)
    }

    /// Returns whether what was written of its states before is of no use.
    pub(crate) fn is_anew(&self) -> bool {
        self.is_anew
    }

    /// Notes that all was written that `unwritten` returned.
    pub(crate) fn wrote(&mut self) {
        self.is_anew = false;
    }

    /// Notes whether all its groups are written down as they are, or none.
    pub(crate) fn set_written(&mut self, is_written: bool) {
        self.is_anew = !is_written;
        for window in self.windows.values_mut() {
            window.is_marked = !is_written;
            window.marks = vec![!is_written; window.groups];
        }
    }

    /// Returns the states of a window's groups in memory that are to be written down: of all, or of
    /// those that changed since this was asked last.
    pub(crate) fn unwritten(&mut self, start: Start, all: bool) -> Result<Option<RecordBatch>> {
        if !all && !self.windows.get(&start).is_some_and(|it| it.is_marked) {
            return Ok(None);
        }
        let Some(state) = self.state_in_memory(start)? else { return Ok(None) };
        let Some(window) = self.windows.get_mut(&start) else { return Ok(None) };
        window.is_marked = false;
        let marks = std::mem::take(&mut window.marks);
        window.marks = vec![false; marks.len()];
        if all || marks.len() != state.num_rows() {
            return Ok(Some(state));
        }
        compute::filter_record_batch(&state, &BooleanArray::from(marks))
            .map(Some)
            .map_err(Into::into)
    }

    /// Returns the groups of a window as they are now; it stays as it is.
    pub(crate) fn peek(&mut self, start: Start) -> Result<Option<RecordBatch>> {
        let Some(state) = self.state(start)? else { return Ok(None) };
        window::evaluated(&self.shape, &state).map(Some)
    }

    /// Takes a window out and returns its groups.
    pub(crate) fn close(&mut self, start: Start) -> Result<Option<RecordBatch>> {
        if self.is_on_disk(start) {
            let groups = self.peek(start);
            self.drop_window(start);
            return groups;
        }
        match self.windows.remove(&start) {
            None => Ok(None),
            Some(mut window) => window.evaluate(&self.shape).map(Some),
        }
    }

    /// Forgets a window.
    pub(crate) fn drop_window(&mut self, start: Start) {
        self.windows.remove(&start);
        self.on_disk.remove(&start);
    }
}

/// Collects runs of equal starts; a window with several runs gets a list of its rows.
fn split_runs(starts: &PrimitiveArray<TimestampMicrosecondType>, taken: &mut Taken) -> Vec<Part> {
    let mut order: Vec<Start> = Vec::new();
    let mut runs: HashMap<Start, Vec<(usize, usize)>> = HashMap::new();
    let mut row = 0;
    while row < starts.len() {
        let begin = row;
        if starts.is_null(row) {
            taken.has_without_window = true;
            row += 1;
            continue;
        }
        let start = starts.value(row);
        while row < starts.len() && !starts.is_null(row) && starts.value(row) == start {
            row += 1;
        }
        let of_window = runs.entry(start).or_insert_with(|| {
            order.push(start);
            Vec::new()
        });
        of_window.push((begin, row - begin));
    }
    order
        .into_iter()
        .map(|start| {
            let runs = runs.remove(&start).unwrap_or_default();
            let rows = match runs.as_slice() {
                [(offset, length)] => Rows::Run { offset: *offset, length: *length },
                runs => Rows::Picked(
                    runs.iter()
                        .flat_map(|(offset, length)| *offset..offset + length)
                        .map(|it| u32::try_from(it).unwrap_or(u32::MAX))
                        .collect(),
                ),
            };
            Part { start, rows }
        })
        .collect()
}

impl Rows {
    fn pick(&self, from: &Computed) -> Result<Computed> {
        let pick = |array: &ArrayRef| -> Result<ArrayRef> {
            Ok(match self {
                Rows::All => Arc::clone(array),
                Rows::Run { offset, length } => array.slice(*offset, *length),
                Rows::Picked(indices) => compute::take(array, indices, None)?,
            })
        };
        let rows = match self {
            Rows::All => from.rows,
            Rows::Run { length, .. } => *length,
            Rows::Picked(indices) => indices.len(),
        };
        let picks = |all: &Vec<ArrayRef>| all.iter().map(pick).collect::<Result<Vec<_>>>();
        let filter = |it: &Option<BooleanArray>| match it {
            None => Ok(None),
            Some(it) => {
                let array: ArrayRef = Arc::new(it.clone());
                pick(&array).map(|it| Some(it.as_boolean().clone()))
            }
        };
        Ok(Computed {
            keys: picks(&from.keys)?,
            arguments: from.arguments.iter().map(picks).collect::<Result<_>>()?,
            filters: from.filters.iter().map(filter).collect::<Result<_>>()?,
            rows,
        })
    }
}

fn broken(error: &DataFusionError) -> TakeError {
    TakeError(error.to_string())
}

fn window_at<'a>(
    windows: &'a mut BTreeMap<Start, Window>,
    shape: &Shape,
    start: Start,
) -> Result<&'a mut Window, TakeError> {
    match windows.entry(start) {
        std::collections::btree_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
        std::collections::btree_map::Entry::Vacant(entry) => {
            Ok(entry.insert(Window::of_one(shape).map_err(|it| broken(&it))?))
        }
    }
}
