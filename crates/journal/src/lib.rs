//! The durable log: streams of records in shards, written once, read from any place.
//!
//! It knows neither rows nor SQL. An append returns when its records are on disk; what was
//! acknowledged is never lost, and what was not is all there or not at all.
// Tests know what they index; in everything else a wrong number must be met before it is used.
#![cfg_attr(
    not(test),
    warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::indexing_slicing)
)]

pub mod bench;
mod commit;
mod disk;
mod error;
mod format;
mod hash;
mod journal;
mod keys;
mod manifest;
mod open;
mod read;
mod record;
mod recover;
mod reshard;
mod seal;
mod sealed;
mod segment;
mod settings;
mod shared;
pub mod simulate;
mod spare;
mod stream;

pub use crate::disk::{Disk, DiskFile, RealDisk};
pub use crate::error::Error;
pub use crate::journal::{Hold, Journal};
pub use crate::record::{Frames, Iter, Record, Records};
pub use crate::reshard::{Draft, OpenShard};
pub use crate::settings::{
    Append, Appended, AppendedPart, IdempotencyKey, Key, Outcome, Settings, ShardInfo, Stats,
    StreamId, StreamInfo, StreamSettings, Threads,
};
