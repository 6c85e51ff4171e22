//! Windows that overlap, together: each is made of panes, and what two neighbours share is merged
//! once. A group is looked for by its keys once, when a pane gets it; from then on by its number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, PrimitiveArray, RecordBatch, UInt64Array};
use arrow::compute;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::keys::Keys;
use super::window::{accumulators, batch_of, fitted, merge};
use super::{Operator, Shape, Start};

/// Keys of groups that are long gone are forgotten when there are more than this many times the
/// groups in memory, and a few.
const STALE_TIMES_MAX: usize = 4;
const STALE_FEW: usize = 1_024;

/// The groups of all panes, by number.
pub(super) struct Shared {
    keys: Keys,
    /// Tells numbers that it gave from those of one before.
    id: u64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("groups", &self.keys.count).finish_non_exhaustive()
    }
}

/// The groups of a pane: their numbers, and their states row by row.
struct Pane {
    groups: Vec<usize>,
    states: Vec<ArrayRef>,
}

/// The same of several panes, each group once.
struct Merged {
    panes: Vec<Start>,
    groups: Vec<usize>,
    states: Vec<ArrayRef>,
}

/// What windows one after the other were made of.
struct Windows {
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    groups: Vec<usize>,
    starts: Vec<Start>,
}

impl Operator {
    /// Returns the groups of windows that are made of several panes each; they stay as they are.
    /// `panes` gives those of a window, rising.
    pub(crate) fn combine<P: Iterator<Item = Start>>(
        &mut self,
        windows: &BTreeSet<Start>,
        panes: impl Fn(Start) -> P,
    ) -> Result<RecordBatch> {
        let shape = Arc::clone(&self.shape);
        let mut shared = self.shared()?;
        let mut of_panes: BTreeMap<Start, Pane> = BTreeMap::new();
        for pane in windows.iter().flat_map(|it| panes(*it)) {
            if !of_panes.contains_key(&pane)
                && let Some(state) = self.state(pane)?
            {
                let groups = self.numbers(&mut shared, pane, &state)?;
                let states = state.columns().get(shape.groups.len()..).unwrap_or_default().to_vec();
                of_panes.insert(pane, Pane { groups, states });
            }
        }
        let (accumulators, groups, starts) = (accumulators(&shape)?, Vec::new(), Vec::new());
        let mut all = Windows { accumulators, groups, starts };
        // Each group's place in the window at hand.
        let mut places = vec![usize::MAX; shared.keys.count];
        let mut common: Option<Merged> = None;
        for window in windows.iter().rev() {
            let mut missing: Vec<Start> =
                panes(*window).filter(|it| of_panes.contains_key(it)).collect();
            let before = common.take().filter(|it| missing.ends_with(&it.panes));
            missing.truncate(missing.len() - before.as_ref().map_or(0, |it| it.panes.len()));
            let others = missing.iter().filter_map(|it| of_panes.get(it));
            let others = others.map(|it| (it.groups.as_slice(), it.states.as_slice()));
            let of_before = before.iter().map(|it| (it.groups.as_slice(), it.states.as_slice()));
            let mut merged = merged(&shape, of_before.chain(others), &mut places)?;
            all.add(&shape, *window, &merged)?;
            missing.extend(before.into_iter().flat_map(|it| it.panes));
            merged.panes = missing;
            common = Some(merged);
        }
        let rows = all.rows(&shape, &mut shared.keys);
        self.shared = Some(shared);
        rows
    }

    /// Takes the numbers of groups out; begins anew if most of them are of groups long gone.
    fn shared(&mut self) -> Result<Shared> {
        let groups_max = STALE_TIMES_MAX * self.groups() + STALE_FEW;
        match self.shared.take().filter(|it| it.keys.count <= groups_max) {
            Some(shared) => Ok(shared),
            None => {
                self.shared_ids += 1;
                let keys = Keys::new(&self.shape, self.shape.window)?;
                Ok(Shared { keys, id: self.shared_ids })
            }
        }
    }

    /// Returns the numbers of a pane's groups; new ones get one.
    fn numbers(
        &mut self,
        shared: &mut Shared,
        pane: Start,
        state: &RecordBatch,
    ) -> Result<Vec<usize>> {
        let is_on_disk = self.is_on_disk(pane);
        // Groups in memory keep their order; new ones come behind.
        let window = self.windows.get_mut(&pane).filter(|_| !is_on_disk);
        let mut numbers = match &window {
            Some(window) if window.numbered_by == shared.id => window.numbers.clone(),
            _ => Vec::new(),
        };
        let known = numbers.len();
        if known < state.num_rows() {
            let new = state.slice(known, state.num_rows() - known);
            let keys = new.columns().get(..self.shape.groups.len()).unwrap_or_default();
            let mut found = Vec::new();
            shared.keys.find(keys, new.num_rows(), &mut found)?;
            numbers.extend(found);
        }
        if let Some(window) = window {
            window.numbers.clone_from(&numbers);
            window.numbered_by = shared.id;
        }
        Ok(numbers)
    }
}

/// Merges states; `places` has room for each group, and is left as it was.
fn merged<'a>(
    shape: &Shape,
    parts: impl Iterator<Item = (&'a [usize], &'a [ArrayRef])>,
    places: &mut [usize],
) -> Result<Merged> {
    let mut accumulators = accumulators(shape)?;
    let (mut groups, mut of_rows) = (Vec::new(), Vec::new());
    for (numbers, states) in parts {
        of_rows.clear();
        for number in numbers {
            let Some(place) = places.get_mut(*number) else { continue };
            if *place == usize::MAX {
                *place = groups.len();
                groups.push(*number);
            }
            of_rows.push(*place);
        }
        merge(shape, &mut accumulators, states, &of_rows, groups.len())?;
    }
    for number in &groups {
        if let Some(place) = places.get_mut(*number) {
            *place = usize::MAX;
        }
    }
    let mut states = Vec::new();
    if !groups.is_empty() {
        for accumulator in &mut accumulators {
            states.extend(accumulator.state(EmitTo::All)?);
        }
        let fields = shape.state.fields().iter().skip(shape.groups.len());
        states = fitted(states, fields)?;
    }
    Ok(Merged { panes: Vec::new(), groups, states })
}

impl Windows {
    fn add(&mut self, shape: &Shape, window: Start, merged: &Merged) -> Result<()> {
        if merged.groups.is_empty() {
            return Ok(());
        }
        let before = self.groups.len();
        self.groups.extend(&merged.groups);
        self.starts.resize(self.groups.len(), window);
        let rows: Vec<usize> = (before..self.groups.len()).collect();
        merge(shape, &mut self.accumulators, &merged.states, &rows, self.groups.len())
    }

    fn rows(mut self, shape: &Shape, keys: &mut Keys) -> Result<RecordBatch> {
        if self.groups.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::clone(&shape.output)));
        }
        let places: UInt64Array =
            self.groups.iter().map(|it| u64::try_from(*it).unwrap_or(u64::MAX)).collect();
        let known = keys.all()?;
        let mut columns = Vec::with_capacity(shape.output.fields().len());
        for column in 0..shape.groups.len() {
            columns.push(match known.get(column).filter(|_| shape.window != Some(column)) {
                Some(keys) => compute::take(keys, &places, None)?,
                None => {
                    let starts = self.starts.iter().copied();
                    let starts =
                        PrimitiveArray::<TimestampMicrosecondType>::from_iter_values(starts);
                    let kind = shape.output.field(column).data_type().clone();
                    Arc::new(starts.with_data_type(kind)) as ArrayRef
                }
            });
        }
        for accumulator in &mut self.accumulators {
            columns.push(accumulator.evaluate(EmitTo::All)?);
        }
        batch_of(&shape.output, columns, self.groups.len())
    }
}
