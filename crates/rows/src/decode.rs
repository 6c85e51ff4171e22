//! Turns the bytes of records into rows or rejects.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use base::Place;

use crate::dead::{self, DeadKind, Record};
use crate::declared::{Format, Stream};
use crate::schema;

/// Collects records of one stream as columns.
///
/// `push` never fails: a record becomes a row or a reject, and a reject leaves no trace in the
/// rows around it. Rows and rejects keep the order of the calls.
#[derive(Debug)]
pub struct Decoder {
    schema: SchemaRef,
    format: Format,
    shards: Vec<i64>,
    sequences: Vec<i64>,
    arrived: Vec<i64>,
    rejects: dead::Builder,
}

/// What became of the records since the last call of [`Decoder::finish`].
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The rows, with the schema of the stream's raw table ([`schema::of_stream`]).
    pub rows: RecordBatch,
    /// The rejects, with the schema of dead letters ([`schema::of_dead`]), kind `decode`.
    pub rejects: RecordBatch,
}

impl Decoder {
    /// Makes a decoder for records of `stream`.
    pub fn new(stream: &Stream) -> Decoder {
        Decoder {
            schema: schema::of_stream(stream),
            format: stream.format,
            shards: Vec::new(),
            sequences: Vec::new(),
            arrived: Vec::new(),
            rejects: dead::Builder::new(),
        }
    }

    /// Adds a record as a row, or as a reject that says what is wrong with it.
    pub fn push(&mut self, bytes: &[u8], place: Place, arrived_ms: u64) {
        let record = Record { bytes, place, arrived_ms };
        let message = format!("{:?} is not read yet", self.format);
        self.rejects.push(&record, DeadKind::Decode, &[], &message);
    }

    /// Returns the number of records since the last `finish`, rejects included.
    pub fn len(&self) -> usize {
        self.shards.len() + self.rejects.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the schema of the rows.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Returns the rows and rejects since the last call, and begins anew.
    pub fn finish(&mut self) -> Decoded {
        let arrived = TimestampMicrosecondArray::from(std::mem::take(&mut self.arrived))
            .with_data_type(schema::timestamp());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(std::mem::take(&mut self.shards))),
            Arc::new(Int64Array::from(std::mem::take(&mut self.sequences))),
            Arc::new(arrived),
        ];
        drop(columns);
        Decoded { rows: RecordBatch::new_empty(self.schema()), rejects: self.rejects.finish() }
    }
}
