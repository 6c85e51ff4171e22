//! What a flow tells about itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use base::{Epoch, Name, SequenceNumber, ShardId};
use serde::{Deserialize, Serialize};
use spec::CheckSeverity;

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
    /// Each check of a table.
    pub checks: Arc<Vec<CheckStats>>,
    /// The last runs of each table that is recomputed, oldest first.
    pub runs: BTreeMap<Name, Arc<VecDeque<RunStats>>>,
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
    /// What starts its runs, if something does.
    pub starts: Option<String>,
    /// When it runs next, where time says so, in milliseconds since 1970.
    pub next_ms: Option<u64>,
    /// What a run that is due waits for.
    pub waits_for: Option<String>,
}

/// A run of a table that is recomputed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStats {
    /// Its number, counted from 1 for each table.
    pub number: u64,
    /// When it was due, in milliseconds since 1970.
    pub due_ms: u64,
    /// What started it: `change`, `every`, `cron`, `after`, `object`, that the
    /// `project` changed, or somebody who `asked`.
    pub cause: String,
    /// How it is.
    pub state: RunState,
    /// Attempts begun.
    pub attempt: u32,
    /// When the last attempt began.
    pub began_ms: Option<u64>,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// Rows that it read.
    pub rows_in: Option<u64>,
    /// Rows that it made.
    pub rows_out: Option<u64>,
    /// Bytes of stored rows that it would read at most, known before it read any.
    pub bytes_estimated: Option<u64>,
    /// Bytes of stored rows that it read.
    pub bytes_read: Option<u64>,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

/// How a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// It is due and has not begun.
    Waiting,
    /// It is under way.
    Running,
    /// An attempt failed, and another follows.
    Retrying,
    /// Its rows are the table.
    Done,
    /// No further attempt is made; the rows of the run before stay.
    Failed,
    /// Its moment passed while the program did not run.
    Skipped,
}

impl RunState {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            RunState::Waiting => "waiting",
            RunState::Running => "running",
            RunState::Retrying => "retrying",
            RunState::Done => "done",
            RunState::Failed => "failed",
            RunState::Skipped => "skipped",
        }
    }
}

/// A check of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckStats {
    /// The table.
    pub table: Name,
    /// The check's name.
    pub check: String,
    /// What must hold, for people.
    pub told: String,
    /// What follows if it does not.
    pub severity: CheckSeverity,
    /// Whether it holds.
    pub state: CheckState,
    /// How many rows, or values, are wrong, where they can be counted.
    pub wrong: Option<u64>,
    /// Why it fails.
    pub message: Option<String>,
    /// Since when it passes or fails, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// When it was asked last.
    pub asked_ms: Option<u64>,
}

/// Whether a check holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckState {
    /// It was not asked yet.
    Waiting,
    /// It holds.
    Passing,
    /// It does not, or cannot be asked.
    Failing,
}

impl CheckState {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            CheckState::Waiting => "waiting",
            CheckState::Passing => "passing",
            CheckState::Failing => "failing",
        }
    }
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
