//! The newest rows of a table below, so that what looks at them again and again need not ask the
//! disk.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::Result;

use crate::hot::compact;

/// Bytes of rows in memory of one table; one with more is read from where it is stored.
const BYTES_MAX: usize = 256 << 20;

/// Batches below this many rows are merged.
const SMALL_ROWS: usize = 8_192;

/// See the module: every row of the table from `since` on.
#[derive(Debug)]
pub(crate) struct Recent {
    since: i64,
    parts: Vec<Part>,
    bytes: usize,
}

#[derive(Debug)]
struct Part {
    times: Range<i64>,
    rows: RecordBatch,
    bytes: usize,
}

impl Recent {
    /// Makes one of no rows.
    pub(crate) fn new(since: i64) -> Recent {
        Recent { since, parts: Vec::new(), bytes: 0 }
    }

    /// Makes one that stays empty: the rows are too many.
    pub(crate) fn none() -> Recent {
        Recent::new(i64::MAX)
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
        let (mut rows, mut times) = (rows, times);
        // Like a counter in base two: a row is copied once for each doubling, and no more.
        while let Some(last) = self.parts.last()
            && last.rows.num_rows() < 2 * rows.num_rows()
            && last.rows.num_rows() + rows.num_rows() <= SMALL_ROWS
        {
            let Ok(merged) = concat_batches(&rows.schema(), [&last.rows, &rows]) else { break };
            times = times.start.min(last.times.start)..times.end.max(last.times.end);
            self.bytes -= last.bytes;
            self.parts.pop();
            rows = compact(&merged);
        }
        let bytes = rows.get_array_memory_size();
        self.bytes += bytes;
        self.parts.push(Part { times, rows, bytes });
    }

    /// Forgets rows from before this moment.
    pub(crate) fn forget(&mut self, before: i64) {
        if self.since < before {
            self.since = before;
            self.parts.retain(|it| before < it.times.end);
            self.bytes = self.parts.iter().map(|it| it.bytes).sum();
        }
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
