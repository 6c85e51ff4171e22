//! Turns the bytes of records into rows or rejects.

mod csv;
mod json;
mod plain;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use base::Place;
use spec::{Format, Stream};

pub use self::csv::Dialect;
pub(crate) use self::csv::{Fields, append_field};
use crate::column::Column;
use crate::dead::{self, DeadKind, Record};
use crate::schema;

/// Collects records of one stream as columns.
///
/// `push` never fails: a record becomes a row or a reject, and a reject leaves no trace in the
/// rows around it. Rows and rejects keep the order of the calls.
///
/// What a record may look like, beyond its format:
/// - numbers, booleans, moments and days may stand in strings, if they parse exactly;
/// - a string without a character is NULL, except in a column of text;
/// - fields that are not declared are ignored; a declared field that occurs twice is a reject,
///   since nobody knows which of the two was meant.
#[derive(Debug)]
pub struct Decoder {
    schema: SchemaRef,
    format: Format,
    columns: Vec<Column>,
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
            columns: stream.columns.iter().map(Column::new).collect(),
            shards: Vec::new(),
            sequences: Vec::new(),
            arrived: Vec::new(),
            rejects: dead::Builder::new(),
        }
    }

    /// Adds a record as a row, or as a reject that says what is wrong with it.
    pub fn push(&mut self, bytes: &[u8], place: Place, arrived_ms: u64) {
        match self.decode(bytes) {
            Ok(()) => {
                self.shards.push(i64::from(place.shard.0));
                self.sequences.push(schema::sequence_to_int(place.sequence));
                self.arrived.push(schema::arrived_to_micros(arrived_ms));
            }
            Err(message) => {
                for column in &mut self.columns {
                    column.truncate(self.shards.len());
                }
                let record = Record { bytes, place, arrived_ms };
                self.rejects.push(&record, DeadKind::Decode, &[], &message);
            }
        }
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            format!("expected UTF-8, found another byte at position {}", error.valid_up_to())
        })?;
        match self.format {
            Format::Json => {
                let row = self.shards.len();
                if let Some(decoded) = plain::decode(text, &mut self.columns, row) {
                    return decoded;
                }
                for column in &mut self.columns {
                    column.truncate(row);
                }
                json::decode(text, &mut self.columns, row)
            }
            Format::Csv => csv::decode(text, &mut self.columns),
        }
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
        let arrived = TimestampMicrosecondArray::from(std::mem::take(&mut self.arrived));
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for column in &mut self.columns {
            columns.push(column.finish().expect("text is checked as it comes in"));
        }
        let places: [ArrayRef; 3] = [
            Arc::new(Int64Array::from(std::mem::take(&mut self.shards))),
            Arc::new(Int64Array::from(std::mem::take(&mut self.sequences))),
            Arc::new(arrived.with_data_type(schema::timestamp())),
        ];
        columns.extend(places);
        let rows = RecordBatch::try_new(self.schema(), columns)
            .expect("every row has a value in each column, of the column's type");
        Decoded { rows, rejects: self.rejects.finish() }
    }
}

#[cfg(test)]
mod tests;
