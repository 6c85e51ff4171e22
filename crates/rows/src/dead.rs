//! Dead letters: the rows that tell which records were rejected, where they are and why.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewBuilder, Int64Builder, ListBuilder, RecordBatch, StringViewBuilder,
    TimestampMicrosecondBuilder,
};
use base::Place;

use crate::schema;

/// Where on its way a record was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeadKind {
    /// Its bytes are not a row of the stream.
    Decode,
    /// A check of the stream was not true.
    Check,
    /// A table could not compute with it.
    Compute,
    /// An outside target refused it for good.
    Delivery,
    /// It came too late for a table with `late = "dead"`.
    Late,
}

impl DeadKind {
    /// Returns the word in the column `kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            DeadKind::Decode => "decode",
            DeadKind::Check => "check",
            DeadKind::Compute => "compute",
            DeadKind::Delivery => "delivery",
            DeadKind::Late => "late",
        }
    }
}

/// The word in the column `state` of a record that nobody has replayed or dropped yet.
pub const STATE_DEAD: &str = "dead";
/// The word in the column `state` of a record that a replay turned into a row.
pub const STATE_REPLAYED: &str = "replayed";
/// The word in the column `state` of a record that somebody gave up.
pub const STATE_DROPPED: &str = "dropped";

/// Collects rejects and makes a batch of [`schema::of_dead`] of them.
#[derive(Debug)]
pub struct Builder {
    bytes: BinaryViewBuilder,
    shards: Int64Builder,
    sequences: Int64Builder,
    arrived: TimestampMicrosecondBuilder,
    kinds: StringViewBuilder,
    check: StringViewBuilder,
    checks: ListBuilder<StringViewBuilder>,
    messages: StringViewBuilder,
    states: StringViewBuilder,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}

impl Builder {
    /// Makes an empty one.
    pub fn new() -> Builder {
        Builder {
            bytes: BinaryViewBuilder::new(),
            shards: Int64Builder::new(),
            sequences: Int64Builder::new(),
            arrived: TimestampMicrosecondBuilder::new().with_data_type(schema::timestamp()),
            kinds: StringViewBuilder::new(),
            check: StringViewBuilder::new(),
            checks: ListBuilder::new(StringViewBuilder::new()),
            messages: StringViewBuilder::new(),
            states: StringViewBuilder::new(),
        }
    }

    /// Adds a reject. `checks` are the names of all checks that failed, in the order of the file;
    /// the first of them stands in the column `check`.
    pub fn push(&mut self, record: &Record<'_>, kind: DeadKind, checks: &[&str], message: &str) {
        self.bytes.append_value(record.bytes);
        self.shards.append_value(i64::from(record.place.shard.0));
        self.sequences.append_value(schema::sequence_to_int(record.place.sequence));
        self.arrived.append_value(schema::arrived_to_micros(record.arrived_ms));
        self.kinds.append_value(kind.as_str());
        self.check.append_option(checks.first());
        for check in checks {
            self.checks.values().append_value(check);
        }
        self.checks.append(true);
        self.messages.append_value(message);
        self.states.append_value(STATE_DEAD);
    }

    /// Returns the number of rejects.
    pub fn len(&self) -> usize {
        self.shards.values_slice().len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns what was collected and begins anew.
    pub fn finish(&mut self) -> RecordBatch {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.bytes.finish()),
            Arc::new(self.shards.finish()),
            Arc::new(self.sequences.finish()),
            Arc::new(self.arrived.finish()),
            Arc::new(self.kinds.finish()),
            Arc::new(self.check.finish()),
            Arc::new(self.checks.finish()),
            Arc::new(self.messages.finish()),
            Arc::new(self.states.finish()),
        ];
        RecordBatch::try_new(schema::of_dead(), columns)
            .expect("the builders have the types of the schema and the same length")
    }
}

/// A record and where it lies.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// What was sent.
    pub bytes: &'a [u8],
    /// Its shard and sequence number.
    pub place: Place,
    /// When it was taken in.
    pub arrived_ms: u64,
}

#[cfg(test)]
mod tests;
