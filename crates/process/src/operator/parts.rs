//! The groups of one window that lie in several places, read part by part: each part has all states
//! of its groups, so that it is merged without the others.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::row::{RowConverter, SortField};
use datafusion::common::Result;

use super::{Shape, Start, Window};
use crate::spill::Spilled;

/// Parts of many groups; 64 parts of a gigabyte still fit anywhere.
pub(super) const PARTS: u32 = 64;

/// Below this many bytes of states they are one part.
pub(super) const PART_BYTES: usize = if cfg!(test) { 2 << 10 } else { 4 << 20 };

/// See the module.
#[derive(Debug)]
pub(crate) struct Parts {
    shape: Arc<Shape>,
    /// Where the states are, the oldest first.
    sources: Vec<Source>,
    count: u32,
    /// The window they are all of, where their own are its panes.
    start: Option<Start>,
}

#[derive(Debug)]
enum Source {
    /// Divided by keys as the others are, or not at all where there is one part.
    File(Arc<Spilled>),
    Divided(Vec<Option<RecordBatch>>),
}

/// States to be merged.
pub(super) enum Piece {
    File(Arc<Spilled>),
    Memory(RecordBatch),
}

impl Parts {
    pub(super) fn new(
        shape: &Arc<Shape>,
        pieces: Vec<Piece>,
        start: Option<Start>,
    ) -> Result<Parts> {
        let is_many = |it: &Piece| match it {
            Piece::File(file) => 1 < file.parts(),
            Piece::Memory(state) => PART_BYTES < state.get_array_memory_size(),
        };
        let can_divide = shape.can_divide();
        let count = if can_divide && pieces.iter().any(is_many) { PARTS } else { 1 };
        let mut sources = Vec::new();
        for piece in pieces {
            sources.push(match piece {
                Piece::File(file) if file.parts() == count => Source::File(file),
                Piece::File(file) => {
                    let all = concat_batches(shape.state(), &file.read_all()?)?;
                    Source::Divided(shape.divide(&all, count)?)
                }
                Piece::Memory(state) => Source::Divided(shape.divide(&state, count)?),
            });
        }
        Ok(Parts { shape: Arc::clone(shape), sources, count, start })
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Returns the merged states of the groups of a part.
    pub(crate) fn state(&self, part: u32) -> Result<Option<RecordBatch>> {
        let mut states = Vec::new();
        for source in &self.sources {
            match source {
                Source::File(file) => states.extend(file.read_part(part)?),
                Source::Divided(parts) => {
                    states.extend(parts.get(part as usize).cloned().flatten());
                }
            }
        }
        states.retain(|it| 0 < it.num_rows());
        if let Some(start) = self.start {
            let moved = states.iter().map(|it| self.shape.moved_to(it, start));
            states = moved.collect::<Result<_>>()?;
        }
        match states.as_slice() {
            [] => Ok(None),
            // Of one writing, each group is there once.
            [one] if self.start.is_none() => Ok(Some(one.clone())),
            several => {
                let mut window = Window::new(&self.shape)?;
                for state in several {
                    window.merge(&self.shape, state)?;
                }
                window.take_state(&self.shape).map(Some)
            }
        }
    }

    /// Returns the groups of a part as they are now.
    pub(crate) fn groups(&self, part: u32) -> Result<Option<RecordBatch>> {
        self.state(part)?.map(|it| self.shape.evaluated(&it)).transpose()
    }
}

impl Shape {
    /// Returns whether there are keys to divide groups by, but for the window.
    pub(super) fn can_divide(&self) -> bool {
        usize::from(self.window.is_some()) < self.groups.len()
    }

    /// Divides states into so many parts by the keys of their groups, but for the window.
    pub(super) fn divide(
        &self,
        state: &RecordBatch,
        count: u32,
    ) -> Result<Vec<Option<RecordBatch>>> {
        if count < 2 {
            return Ok(vec![Some(state.clone())]);
        }
        let keys = (0..self.groups.len()).filter(|it| Some(*it) != self.window);
        let keys: Vec<ArrayRef> = keys.map(|it| Arc::clone(state.column(it))).collect();
        let fields = keys.iter().map(|it| SortField::new(it.data_type().clone()));
        let keys = RowConverter::new(fields.collect())?.convert_columns(&keys)?;
        let mut places: Vec<Vec<u32>> = vec![Vec::new(); count as usize];
        for (row, key) in keys.iter().enumerate() {
            // The same on every machine: files outlive the program.
            let part = crc32c::crc32c(key.as_ref()) % count;
            if let Some(places) = places.get_mut(part as usize) {
                places.push(u32::try_from(row).unwrap_or(u32::MAX));
            }
        }
        let part = |places: Vec<u32>| {
            let is_any = !places.is_empty();
            is_any.then(|| take_record_batch(state, &UInt32Array::from(places))).transpose()
        };
        Ok(places.into_iter().map(part).collect::<Result<_, _>>()?)
    }
}
