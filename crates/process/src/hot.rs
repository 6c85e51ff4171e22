//! Rows that are not stored yet, epoch by epoch.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use base::Epoch;
use rows::sink::{Change, Replace};

use crate::view::Hides;

/// Batches below this many rows are merged: a thousand ticks must not become a thousand batches.
const SMALL_ROWS: usize = 8_192;

/// The hot rows of a table to which rows are only added.
#[derive(Debug, Default)]
pub(crate) struct HotRows {
    parts: Vec<Part>,
    /// All rows of the table, stored ones included, as of the beginning of an epoch that replaces
    /// the table; `parts` come on top.
    whole: Option<(Epoch, Vec<RecordBatch>)>,
    bytes: usize,
}

#[derive(Debug)]
struct Part {
    epoch: Epoch,
    rows: RecordBatch,
    bytes: usize,
}

impl HotRows {
    /// Adds rows of the current epoch.
    pub(crate) fn push(&mut self, epoch: Epoch, rows: RecordBatch) {
        if rows.num_rows() == 0 {
            return;
        }
        let mut rows = rows;
        // Like a counter in base two: a row is copied once for each doubling, and no more.
        while let Some(last) = self.parts.last()
            && last.epoch == epoch
            && last.rows.num_rows() < 2 * rows.num_rows()
            && last.rows.num_rows() + rows.num_rows() <= SMALL_ROWS
        {
            let Ok(merged) = concat_batches(&rows.schema(), [&last.rows, &rows]) else { break };
            self.bytes -= last.bytes;
            self.parts.pop();
            rows = compact(&merged);
        }
        let bytes = rows.get_array_memory_size();
        self.bytes += bytes;
        self.parts.push(Part { epoch, rows, bytes });
    }

    /// Replaces the whole table from `epoch` on.
    pub(crate) fn replace(&mut self, epoch: Epoch, rows: Vec<RecordBatch>) {
        self.parts.clear();
        self.bytes = rows.iter().map(RecordBatch::get_array_memory_size).sum();
        self.whole = Some((epoch, rows));
    }

    /// Returns what the epoch does to the stored table, if anything.
    pub(crate) fn change(&self, epoch: Epoch) -> Option<Change> {
        let of_epoch = self.parts.iter().filter(|it| it.epoch == epoch);
        let mut rows: Vec<RecordBatch> = of_epoch.map(|it| it.rows.clone()).collect();
        match &self.whole {
            Some((of, whole)) if *of == epoch => {
                rows.splice(0..0, whole.iter().cloned());
                Some(Change::new(rows, Replace::All))
            }
            _ if rows.is_empty() => None,
            _ => Some(Change::new(rows, Replace::Nothing)),
        }
    }

    /// Forgets what is stored now.
    pub(crate) fn stored(&mut self, epoch: Epoch) {
        self.parts.retain(|it| epoch < it.epoch);
        if self.whole.as_ref().is_some_and(|(of, _)| *of <= epoch) {
            self.whole = None;
        }
        let whole = self.whole.iter().flat_map(|(_, it)| it);
        let whole: usize = whole.map(RecordBatch::get_array_memory_size).sum();
        self.bytes = whole + self.parts.iter().map(|it| it.bytes).sum::<usize>();
    }

    /// Takes rows out: `without` returns what is left of a batch, or nothing if all of it stays.
    pub(crate) fn remove(&mut self, without: impl Fn(&RecordBatch) -> Option<RecordBatch>) {
        for part in &mut self.parts {
            if let Some(rows) = without(&part.rows) {
                part.rows = rows;
            }
        }
        self.parts.retain(|it| 0 < it.rows.num_rows());
        self.bytes = self.parts.iter().map(|it| it.bytes).sum();
    }

    /// Returns all hot rows, oldest first.
    pub(crate) fn rows(&self) -> Vec<RecordBatch> {
        let whole = self.whole.iter().flat_map(|(_, it)| it);
        whole.chain(self.parts.iter().map(|it| &it.rows)).cloned().collect()
    }

    /// Returns which stored rows they take the place of.
    pub(crate) fn hides(&self) -> Hides {
        if self.whole.is_some() { Hides::All } else { Hides::Nothing }
    }

    /// Returns the bytes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Gives texts one buffer of their own: merged ones would keep a buffer for every tick.
pub(crate) fn compact(rows: &RecordBatch) -> RecordBatch {
    let columns: Vec<ArrayRef> = rows.columns().iter().map(compact_column).collect();
    RecordBatch::try_new(rows.schema(), columns).unwrap_or_else(|_same_types| rows.clone())
}

/// See [`compact`].
pub(crate) fn compact_column(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        _ => Arc::clone(column),
    }
}

#[cfg(test)]
mod tests;
