//! The keys of groups: each gets a number, and can be read while more come.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute;
use datafusion::common::Result;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use parking_lot::Mutex;

use super::Shape;
use crate::hot::compact_column;

/// See the module.
pub(super) struct Keys {
    /// What finds a group by its keys; `None` where there are none: one group, there from the
    /// beginning. The lock is never taken: it lets the flow be looked at while a table is at work.
    values: Option<Mutex<Box<dyn GroupValues>>>,
    /// The group column by which no group is looked for.
    without: Option<usize>,
    /// The keys in the order of their numbers, in pieces as they came: `values` cannot be read
    /// without emptying it.
    written: Vec<Vec<ArrayRef>>,
    pub(super) count: usize,
}

impl Keys {
    /// Makes an empty one, which looks at all group columns but one.
    pub(super) fn new(shape: &Shape, without: Option<usize>) -> Result<Keys> {
        let places: Vec<usize> =
            (0..shape.groups.len()).filter(|it| Some(*it) != without).collect();
        let values = if places.is_empty() {
            None
        } else {
            let schema = Arc::new(shape.group_schema.project(&places)?);
            Some(Mutex::new(new_group_values(schema, &GroupOrdering::None)?))
        };
        let count = usize::from(values.is_none());
        Ok(Keys { values, without, written: Vec::new(), count })
    }

    /// Returns whether there is one group whatever comes.
    pub(super) fn is_one(&self) -> bool {
        self.values.is_none()
    }

    /// Returns how many columns of keys have been written.
    pub(super) fn columns(&self) -> usize {
        self.written.first().map_or(0, Vec::len)
    }

    /// Returns the bytes it takes in memory, about.
    pub(super) fn bytes(&mut self) -> usize {
        let values = self.values.as_mut().map_or(0, |it| it.get_mut().size());
        let written = self.written.iter().flatten().map(|it| it.get_array_memory_size());
        values + written.sum::<usize>()
    }

    /// Tells the number of each row's group.
    pub(super) fn find(
        &mut self,
        keys: &[ArrayRef],
        rows: usize,
        numbers: &mut Vec<usize>,
    ) -> Result<()> {
        let Some(values) = &mut self.values else {
            numbers.clear();
            numbers.resize(rows, 0);
            return Ok(());
        };
        let values = values.get_mut();
        match self.without {
            None => values.intern(keys, numbers)?,
            Some(place) => {
                let mut others = keys.to_vec();
                others.remove(place);
                values.intern(&others, numbers)?;
            }
        }
        let before = std::mem::replace(&mut self.count, values.len());
        if before < self.count {
            let new = firsts(keys, numbers, before..self.count)?;
            write(&mut self.written, new)?;
        }
        Ok(())
    }

    /// Returns the keys of all groups, in the order of their numbers.
    pub(super) fn all(&mut self) -> Result<Vec<ArrayRef>> {
        let mut pieces = std::mem::take(&mut self.written);
        let mut keys = pieces.pop().unwrap_or_default();
        while let Some(before) = pieces.pop() {
            keys = joined(&before, &keys)?;
        }
        self.written = vec![keys.clone()];
        Ok(keys)
    }
}

/// Returns the keys of the groups of these numbers, as the first row of each has them.
fn firsts(keys: &[ArrayRef], numbers: &[usize], groups: Range<usize>) -> Result<Vec<ArrayRef>> {
    let mut rows = vec![u32::MAX; groups.len()];
    for (row, group) in (0..).zip(numbers) {
        if let Some(first) = group.checked_sub(groups.start).and_then(|it| rows.get_mut(it)) {
            *first = row.min(*first);
        }
    }
    let rows = UInt32Array::from(rows);
    keys.iter().map(|it| Ok(compact_column(&compute::take(it, &rows, None)?))).collect()
}

/// Adds a piece: like a counter in base two, so that a key is copied once for each doubling.
fn write(pieces: &mut Vec<Vec<ArrayRef>>, new: Vec<ArrayRef>) -> Result<()> {
    let rows = |it: &[ArrayRef]| it.first().map_or(0, |it| it.len());
    let mut new = new;
    while let Some(last) = pieces.pop() {
        if 2 * rows(&new) < rows(&last) {
            pieces.push(last);
            break;
        }
        new = joined(&last, &new)?;
    }
    pieces.push(new);
    Ok(())
}

fn joined(first: &[ArrayRef], second: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    let join = |(first, second): (&ArrayRef, &ArrayRef)| {
        Ok(compact_column(&compute::concat(&[first.as_ref(), second.as_ref()])?))
    };
    first.iter().zip(second).map(join).collect()
}
