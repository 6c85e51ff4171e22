//! The newest rows of a table below, so that what looks at them again and again need not ask the
//! disk.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::Result;

use crate::hot::compact;
use crate::table::sliced::by_key::{self, Keys};

/// Bytes of rows in memory of one table; one with more is read from where it is stored.
const BYTES_MAX: usize = 256 << 20;

/// Batches below this many rows are merged.
const SMALL_ROWS: usize = 8_192;

/// See the module: every row of the table from `since` on.
#[derive(Debug)]
pub(crate) struct Recent {
    since: i64,
    /// The column by whose values rows are found, if they are.
    key: Option<String>,
    parts: Vec<Part>,
    bytes: usize,
}

#[derive(Debug)]
struct Part {
    times: Range<i64>,
    rows: RecordBatch,
    /// Of the key of each row, if rows are found by it.
    hashes: Vec<u64>,
    bytes: usize,
}

impl Recent {
    /// Makes one of no rows.
    pub(crate) fn new(since: i64, key: Option<String>) -> Recent {
        Recent { since, key, parts: Vec::new(), bytes: 0 }
    }

    /// Makes one that stays empty: the rows are too many.
    pub(crate) fn none() -> Recent {
        Recent::new(i64::MAX, None)
    }

    pub(crate) fn is_none(&self) -> bool {
        self.since == i64::MAX
    }

    /// Returns whether all rows from this moment on are here.
    pub(crate) fn covers(&self, from: i64) -> bool {
        self.since <= from
    }

    /// Returns the bytes of its rows.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns whether there is room for what it holds.
    pub(crate) fn fits(&self) -> bool {
        self.bytes <= BYTES_MAX
    }

    /// Adds rows whose times lie in this range.
    pub(crate) fn push(&mut self, rows: RecordBatch, times: Range<i64>) {
        if self.is_none() {
            return;
        }
        let key = self.key.as_ref().and_then(|it| rows.column_by_name(it));
        let mut hashes = key.and_then(|it| by_key::hashes(it).ok()).unwrap_or_default();
        let (mut rows, mut times) = (rows, times);
        // Like a counter in base two: a row is copied once for each doubling, and no more.
        while let Some(last) = self.parts.last()
            && last.rows.num_rows() < 2 * rows.num_rows()
            && last.rows.num_rows() + rows.num_rows() <= SMALL_ROWS
        {
            let Ok(merged) = concat_batches(&rows.schema(), [&last.rows, &rows]) else { break };
            times = times.start.min(last.times.start)..times.end.max(last.times.end);
            self.bytes -= last.bytes;
            if let Some(mut before) = self.parts.pop() {
                before.hashes.append(&mut hashes);
                hashes = before.hashes;
            }
            rows = compact(&merged);
        }
        let bytes = rows.get_array_memory_size() + hashes.len() * size_of::<u64>();
        self.bytes += bytes;
        self.parts.push(Part { times, rows, hashes, bytes });
    }

    /// Forgets rows from before this moment.
    pub(crate) fn forget(&mut self, before: i64) {
        if self.since < before {
            self.since = before;
            self.parts.retain(|it| before < it.times.end);
            self.bytes = self.parts.iter().map(|it| it.bytes).sum();
        }
    }

    /// Returns the number of rows.
    pub(crate) fn count(&self) -> usize {
        self.parts.iter().map(|it| it.rows.num_rows()).sum()
    }

    /// Returns the rows of these keys from this moment on, and perhaps some more, as a table; none
    /// if rows are not found by their keys.
    pub(crate) fn table_of(
        &self,
        schema: &SchemaRef,
        from: i64,
        keys: &Keys<'_>,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        let mut rows = Vec::new();
        for part in self.parts.iter().filter(|it| from < it.times.end) {
            if part.hashes.len() != part.rows.num_rows() {
                return Ok(None);
            }
            let found = (0..).zip(&part.hashes).filter(|(_, it)| keys.contains(**it));
            let found: UInt32Array = found.map(|(row, _): (u32, _)| row).collect();
            if !found.is_empty() {
                let found = take_record_batch(&part.rows, &found)?;
                rows.push(RecordBatch::try_new(Arc::clone(schema), found.columns().to_vec())?);
            }
        }
        Ok(Some(Arc::new(MemTable::try_new(Arc::clone(schema), vec![rows])?)))
    }

    /// Returns the rows from this moment on, and perhaps some more, as a table.
    pub(crate) fn table(&self, schema: &SchemaRef, from: i64) -> Result<Arc<dyn TableProvider>> {
        let parts = self.parts.iter().filter(|it| from < it.times.end);
        let rows = parts.map(|it| {
            RecordBatch::try_new(Arc::clone(schema), it.rows.columns().to_vec()).map_err(Into::into)
        });
        let rows = rows.collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(MemTable::try_new(Arc::clone(schema), vec![rows])?))
    }
}
