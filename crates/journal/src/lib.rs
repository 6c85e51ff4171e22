//! The durable log: streams of records in shards, written once, read from any place.
//!
//! It knows neither rows nor SQL. An append returns when its records are on disk; what was
//! acknowledged is never lost, and what was not is all there or not at all.
#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::indexing_slicing)]

mod disk;
mod error;
mod format;
mod journal;
mod record;
mod settings;

pub use crate::disk::{Disk, DiskFile, RealDisk};
pub use crate::error::Error;
pub use crate::journal::{Hold, Journal};
pub use crate::record::{Frames, Iter, Record, Records};
pub use crate::settings::{
    Append, Appended, AppendedPart, IdempotencyKey, Key, Settings, ShardInfo, Stats, StreamId,
    StreamInfo, StreamSettings, Threads,
};
