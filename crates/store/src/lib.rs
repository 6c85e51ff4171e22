//! Rows at rest: Delta tables on local disk that any reader of Delta can open.
//!
//! ```text
//! prepare(epoch) ─► Parquet files, synced, unnamed ─► actions (in the caller's checkpoint)
//! commit(epoch)  ─► one version of the log: files out, files in, txn NAME@INCARNATION = epoch
//!                       └─► a new `View`, which providers hold for as long as they like
//! maintain       ─► small files merged, old rows out, snapshots, checkpoints of the log, sweeping
//! as_of          ─► the rows of an earlier version
//! ```
//!
//! Promised: what `prepare` names is on disk when it returns and invisible; `commit` makes a
//! change visible in one step, once, whatever crashed before; the same rows are shown by compaction
//! and by every reader of the log.
//!
//! It does not know flows, windows or SQL sessions: what replaces what is told to it.

mod error;
mod layout;

mod adapt;
mod beside;
mod change;
mod cluster;
mod history;
mod lake;
mod provider;
mod snapshot;
mod table;
mod upkeep;

mod served;

pub mod crawl;

mod file;
mod log;
mod partition;
mod schema;
mod state;
mod statistics;

mod disk;
mod objects;

pub use crate::beside::{Pinned, PinnedFile, Replaced};
pub use crate::error::Error;
pub use crate::history::{AsOf, Past, SizeClass, VersionFacts};
pub use crate::lake::{Lake, Maintained, Settings};
pub use crate::layout::{Asked, Layout, Partition, Rest};
pub use crate::served::{FoundRow, Reading, Served, ServedSink, Serving};
pub use crate::snapshot::{Restored, SnapshotFacts};
pub use crate::table::{Facts, LakeTable};
