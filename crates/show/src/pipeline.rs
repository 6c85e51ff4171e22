//! The trait through which the console learns how the pipeline is, and acts on it.

use base::{Name, Place};
use serde::{Deserialize, Serialize};

use crate::answers::AskError;
use crate::catalog::Catalog;
use crate::change::{Applying, Back, Change, Wanted};
use crate::facts::Facts;
use crate::trace::Trace;

/// The running pipeline. The program implements it over its flows and its journal.
#[async_trait::async_trait]
pub trait Pipeline: Send + Sync {
    /// Returns how everything is now.
    ///
    /// Asked about once a second whether or not pages are open, so it must be cheap: counters and
    /// lists that are at hand, no query. Totals must never go down; `show` makes rates of them.
    fn facts(&self) -> Facts;

    /// Returns everything there is, described.
    fn catalog(&self) -> Catalog;

    /// Sends dead letters through today's rules, each once; those that fail again are dead again.
    ///
    /// Returns when the outcome of each is known and durable.
    async fn replay_dead(&self, replay: Replay) -> Result<Replayed, AskError>;

    /// Lets a table that is recomputed run now: the run that failed last again, else a new one.
    async fn run_table(&self, table: Name) -> Result<Begun, AskError>;

    /// Compares a project with the one that runs; nothing is changed.
    async fn plan(&self, wanted: Wanted) -> Result<Change, AskError>;

    /// Begins to change the running project into this one, and returns what that does.
    async fn apply(&self, wanted: Wanted) -> Result<Change, AskError>;

    /// Compares the project before the last change with the one that runs; nothing is changed.
    async fn plan_rollback(&self) -> Result<Change, AskError>;

    /// Begins to go back to the project before the last change, and returns what that does.
    async fn rollback(&self, back: Back) -> Result<Change, AskError>;

    /// Returns how far the change under way has come, or what became of the last one.
    fn applying(&self) -> Applying;

    /// Lets the rows of a table be again what they were.
    async fn restore(&self, wanted: Restore) -> Result<Restored, AskError>;

    /// Follows a record through everything it touched, as that is now.
    async fn trace(&self, stream: Name, place: Place) -> Result<Trace, AskError>;
}

/// A run that begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The table.
    pub table: String,
    /// The number of the run in `system.runs`.
    pub run: u64,
}

/// Which dead letters to send again: all conditions that are set must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// The stream (or table) whose dead letters they are.
    pub stream: Name,
    /// Only those whose first failed check is this one.
    pub check: Option<String>,
    /// Only those of this kind: `decode`, `check`, `compute`, `delivery` or `late`.
    pub kind: Option<String>,
    /// Only the one at this place, written `SHARD:SEQUENCE`.
    pub place: Option<String>,
}

/// What became of the dead letters that were sent again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// Dead letters that matched and were sent.
    pub sent: u64,
    /// Those whose rows are stored now.
    pub stored: u64,
    /// Those that failed again and are dead with their new reason.
    pub dead: u64,
}

/// Which table goes back to which of its versions, by number or by a moment; or which bucket to which
/// of its snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// The table or the bucket.
    pub table: Name,
    /// The version; of a bucket the snapshot.
    #[serde(default)]
    pub version: Option<u64>,
    /// The moment at which that version was in force, in milliseconds since 1970.
    #[serde(default)]
    pub moment_ms: Option<u64>,
    /// Only the objects of a bucket whose keys are like this.
    #[serde(default)]
    pub key: Option<String>,
    /// Whether objects of a bucket that the snapshot does not have are deleted.
    #[serde(default)]
    pub delete: bool,
}

/// What going back did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The version whose rows are there again.
    pub from: u64,
    /// The new version with these rows.
    pub version: u64,
    /// Rows before.
    pub rows_before: u64,
    /// Rows now.
    pub rows: u64,
    /// What became of the objects, if it is a bucket; all else is zero then, but for `from`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<RestoredObjects>,
}

/// What became of the objects of a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredObjects {
    /// Objects that were brought back.
    pub restored: u64,
    /// Objects that are as they were.
    pub same: u64,
    /// Objects that were deleted since the snapshot does not have them.
    pub deleted: u64,
    /// Keys of files that were written to in place since: the snapshot has them as they are now.
    pub altered: Vec<String>,
    /// Keys of objects that were cold then, and are gone or others now.
    pub lost: Vec<String>,
}
