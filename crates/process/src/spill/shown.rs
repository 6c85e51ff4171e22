//! The rows of a window or a table as they are shown: in memory, or on disk where they are many.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::Result;
use rows::sink::{Change, Replace};

use crate::spill::{Of, Spilled, Spills, Writer};

/// One lot of rows in memory may be this part of all memory for state.
const SHARE: usize = 16;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown {
    pub(crate) rows: Vec<RecordBatch>,
    pub(crate) spilled: Option<Arc<Spilled>>,
}

impl Shown {
    /// Returns the bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.iter().map(bytes_of).sum()
    }

    /// Puts the rows on disk.
    pub(crate) fn spill(&mut self, spills: &Spills) -> Result<()> {
        let Some(schema) = self.rows.first().map(RecordBatch::schema) else { return Ok(()) };
        let mut writer = spills.begin(Of::Rows, &schema, 1)?;
        for batch in self.spilled.iter().map(|it| it.read_all()).collect::<Result<Vec<_>>>()? {
            writer.push(0, &batch)?;
        }
        for batch in &self.rows {
            writer.push(0, std::slice::from_ref(batch))?;
        }
        self.spilled = Some(writer.finish()?);
        self.rows.clear();
        Ok(())
    }

    /// Returns the change that adds the rows.
    pub(crate) fn into_change(self, replace: Replace) -> Change {
        let more = self.spilled.into_iter().map(|it| it as _).collect();
        Change { rows: self.rows, more, replace }
    }

    /// Returns all rows, read from disk where they are there.
    pub(crate) fn read(&self) -> Result<Vec<RecordBatch>> {
        let mut rows = self.rows.clone();
        if let Some(spilled) = &self.spilled {
            rows.extend(spilled.read_all()?);
        }
        Ok(rows)
    }
}

/// Returns the bytes of rows that may share the buffers of their texts with others.
pub(crate) fn bytes_of(rows: &RecordBatch) -> usize {
    let column = |it: &ArrayRef| match it.data_type() {
        DataType::Utf8View => {
            it.len() * size_of::<u128>() + it.as_string_view().total_buffer_bytes_used()
        }
        DataType::BinaryView => {
            it.len() * size_of::<u128>() + it.as_binary_view().total_buffer_bytes_used()
        }
        _ => it.get_array_memory_size(),
    };
    rows.columns().iter().map(column).sum()
}

/// Collects rows, on disk as soon as they are many.
pub(crate) struct Showing<'a> {
    spills: Option<&'a Spills>,
    schema: SchemaRef,
    shown: Shown,
    bytes: usize,
    writer: Option<Writer>,
}

impl<'a> Showing<'a> {
    pub(crate) fn new(spills: Option<&'a Spills>, schema: &SchemaRef) -> Showing<'a> {
        let (schema, shown) = (Arc::clone(schema), Shown::default());
        Showing { spills, schema, shown, bytes: 0, writer: None }
    }

    pub(crate) fn push(&mut self, rows: Vec<RecordBatch>) -> Result<()> {
        self.bytes += rows.iter().map(bytes_of).sum::<usize>();
        self.shown.rows.extend(rows);
        let Some(spills) = self.spills else { return Ok(()) };
        if self.writer.is_none() && spills.memory_bytes_max() / SHARE < self.bytes {
            self.writer = Some(spills.begin(Of::Rows, &self.schema, 1)?);
        }
        if let Some(writer) = &mut self.writer {
            for batch in self.shown.rows.drain(..) {
                writer.push(0, &[batch])?;
            }
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Shown> {
        let mut shown = self.shown;
        shown.spilled = self.writer.map(Writer::finish).transpose()?;
        Ok(shown)
    }
}
