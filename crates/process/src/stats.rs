//! What a flow tells about itself.

use std::collections::BTreeMap;

use base::{Epoch, Name, SequenceNumber, ShardId};

/// A flow at one moment; all counts are exact at the tick it names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Ticks since the flow was opened.
    pub ticks: u64,
    /// How long the last tick took, in microseconds.
    pub tick_us_last: u64,
    /// The last durable epoch.
    pub epoch: Epoch,
    /// Epochs made durable since the flow was opened.
    pub epochs: u64,
    /// How long the last flush took, in microseconds.
    pub flush_us_last: u64,
    /// How long all flushes since the flow was opened took, in microseconds.
    pub flush_us_total: u64,
    /// Attempts to flush that failed and were repeated.
    pub flush_failures: u64,
    /// Why the last flush failed, until one succeeds.
    pub flush_error: Option<String>,
    /// Bytes of rows that are not stored yet.
    pub hot_bytes: u64,
    /// Bytes of groups in memory, with their rows that change.
    pub state_bytes: u64,
    /// Bytes of groups and rows that do not fit in memory and are on disk.
    pub spilled_bytes: u64,
    /// Each stream.
    pub streams: BTreeMap<Name, StreamStats>,
    /// Each table, dead letters and raw tables included.
    pub tables: BTreeMap<Name, TableStats>,
    /// Each lookup.
    pub lookups: BTreeMap<Name, LookupStats>,
    /// Why the flow stopped by itself, if it did.
    pub failure: Option<String>,
}

/// A stream: `received = stored + dead + pending`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Records ever taken in.
    pub received: u64,
    /// Rows in the raw table.
    pub stored: u64,
    /// Rejects in state dead.
    pub dead: u64,
    /// Records beyond the last tick.
    pub pending: u64,
    /// The next record of each shard.
    pub positions: BTreeMap<ShardId, SequenceNumber>,
    /// When the newest record in the tables was taken in, in milliseconds since 1970.
    pub arrived_ms: u64,
    /// How far event time has come on active shards, in microseconds since 1970.
    pub watermark_us: Option<i64>,
    /// Records rejected since the flow was opened, by kind and first failed check; those replayed
    /// since are in it.
    pub rejects: BTreeMap<(String, Option<String>), u64>,
}

impl StreamStats {
    /// Returns whether every record taken in is accounted for.
    pub fn is_conserved(&self) -> bool {
        self.received == self.stored + self.dead + self.pending
    }
}

/// A table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableStats {
    /// Rows it took from what it reads, since the flow was opened.
    pub rows_in: u64,
    /// Rows it made, since the flow was opened.
    pub rows_out: u64,
    /// Rows it sent to its dead letters, since the flow was opened.
    pub dead: u64,
    /// Windows corrected after they were final, ever.
    pub corrections: u64,
    /// Groups in memory.
    pub groups: u64,
    /// Bytes of them, with their rows that change.
    pub state_bytes: u64,
    /// Groups on disk, since they do not fit in memory; one in several files is counted in each.
    pub spilled_groups: u64,
    /// Bytes of them.
    pub spilled_bytes: u64,
    /// Windows in memory.
    pub windows: u64,
    /// Microseconds spent in it, since the flow was opened.
    pub busy_us: u64,
    /// Since when it no longer follows, in milliseconds since 1970.
    pub stale_since_ms: Option<u64>,
    /// Why.
    pub error: Option<String>,
    /// How far event time has come, in microseconds since 1970: windows that end before it are
    /// final.
    pub watermark_us: Option<i64>,
}

/// A lookup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LookupStats {
    /// Which version of the file is used, counted from 1.
    pub version: u64,
    /// Its rows.
    pub rows: u64,
    /// Why a newer version of the file is not used.
    pub error: Option<String>,
}
