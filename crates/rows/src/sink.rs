//! What receives rows, and what it must promise so that each row arrives exactly once.

use std::sync::Arc;
use std::{fmt, io};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use base::{Epoch, Kind};
use serde::{Deserialize, Serialize};

/// Receives the rows of one table, epoch by epoch.
///
/// The order of calls, for each epoch of a flow:
///
/// 1. `prepare(epoch, change)`, at most once per epoch and attempt. When it returns, all that the
///    actions name is durable (the sink syncs its own files and folders) and **nothing of it is
///    visible**. Preparing does not look at earlier unfinished epochs and may be forgotten: after a
///    crash the same epoch may be prepared again with other rows, and what the forgotten attempt
///    wrote is swept by the sink later.
/// 2. The caller writes the actions of all sinks into its checkpoint and syncs it. From here on
///    the epoch counts as done.
/// 3. `commit(epoch, actions)` with the actions of step 1, possibly after a restart and possibly
///    several times. It makes the change visible in one step and durable before it returns.
///
/// INVARIANT: epochs are committed in rising order; several epochs are never committed at once.
///
/// An implementation guarantees:
/// - `commit` is idempotent: if `committed()` is at or past `epoch` it does nothing and succeeds.
/// - `committed` answers from durable state, never from memory alone.
/// - Compaction and the like never remove or rewrite what actions handed out, but not yet
///   committed, name; actions are logical and resolved against the table when they are committed.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Writes and syncs what the epoch adds, without making it visible.
    async fn prepare(&self, epoch: Epoch, change: Change) -> Result<Actions, SinkError>;

    /// Makes a prepared change visible and durable; does nothing if that was done before.
    async fn commit(&self, epoch: Epoch, actions: Actions) -> Result<(), SinkError>;

    /// Returns the last epoch whose change is visible, or `Epoch(0)` if there is none.
    async fn committed(&self) -> Result<Epoch, SinkError>;
}

/// What one epoch does to one table.
#[derive(Debug, Clone)]
pub struct Change {
    /// Rows to add, all of the table's schema.
    pub rows: Vec<RecordBatch>,
    /// More of them, where they are too many for memory.
    pub more: Vec<Arc<dyn Lot>>,
    /// Which rows of earlier epochs these take the place of.
    pub replace: Replace,
}

impl Change {
    /// Makes a change whose rows are all in memory.
    pub fn new(rows: Vec<RecordBatch>, replace: Replace) -> Change {
        Change { rows, more: Vec::new(), replace }
    }
}

/// Rows that are read batch by batch, as often as it takes, in the same order each time.
pub trait Lot: Send + Sync + fmt::Debug {
    /// Returns the number of batches.
    fn batches(&self) -> usize;

    /// Reads one of them.
    fn read(&self, place: usize) -> io::Result<Vec<RecordBatch>>;
}

/// Rows of earlier epochs that a change takes away in the same step in which it adds its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replace {
    /// None: the change appends.
    Nothing,
    /// All of them.
    All,
    /// Those of the stretches of time that are listed.
    Windows {
        /// The timestamp column that holds the window's start, or the time of the row.
        column: String,
        /// Starts in microseconds since 1970, UTC.
        starts: Vec<i64>,
        /// How long each stretch is, in microseconds: 1 where the column holds the very starts.
        span_us: i64,
    },
}

/// What `commit` needs to know: files to add, what they replace. Only the sink that made them
/// looks inside; the caller keeps them in its checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Actions(pub serde_json::Value);

/// Why a sink could not do it.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Worth trying again: a full disk, a network that is away.
    #[error("{sink} is not available: {reason}")]
    Unavailable {
        /// The table or target.
        sink: String,
        /// What happened.
        reason: String,
    },
    /// The rows or actions do not fit the sink; trying again does not help.
    #[error("{sink} refuses the change: {reason}")]
    Refused {
        /// The table or target.
        sink: String,
        /// What does not fit, and what would.
        reason: String,
    },
    /// What the sink had stored is damaged.
    #[error("{sink} is damaged: {reason}")]
    Corrupt {
        /// The table or target.
        sink: String,
        /// What is damaged, with the file.
        reason: String,
    },
}

impl SinkError {
    /// Returns what the caller should do.
    pub fn kind(&self) -> Kind {
        match self {
            SinkError::Unavailable { .. } => Kind::Unavailable,
            SinkError::Refused { .. } => Kind::Invalid,
            SinkError::Corrupt { .. } => Kind::Corrupt,
        }
    }
}
