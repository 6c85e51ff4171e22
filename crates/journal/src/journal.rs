//! The journal as the other crates see it.

use std::sync::Arc;

use base::{Clock, Name, SequenceNumber, ShardId};

use crate::Error;
use crate::disk::Disk;
use crate::record::Frames;
use crate::settings::{
    Append, Appended, Key, Settings, Stats, StreamId, StreamInfo, StreamSettings,
};

/// The durable, ordered, replayable log of one node. Clones share it.
#[derive(Debug, Clone)]
pub struct Journal {
    stats: Stats,
}

impl Journal {
    /// Opens the journal in `settings.folder`: recovers what was acknowledged, cuts what was not.
    ///
    /// One program may have a folder open at a time; keeping others out is the program's lock.
    pub fn open(_: Settings, _: Arc<dyn Disk>, _: Arc<dyn Clock>) -> Result<Journal, Error> {
        Err(Error::Closed)
    }

    /// Makes a stream, or updates the one of that name; durable when it returns.
    pub fn create_stream(&self, _: &Name, _: StreamSettings) -> Result<StreamId, Error> {
        Err(Error::Closed)
    }

    /// Changes how long records are kept; durable when it returns.
    pub fn update_stream(&self, _: StreamId, _: StreamSettings) -> Result<(), Error> {
        Err(Error::Closed)
    }

    /// Returns what is known of every stream.
    pub fn streams(&self) -> Vec<StreamInfo> {
        Vec::new()
    }

    /// Returns the id of the stream of that name.
    pub fn stream(&self, _name: &str) -> Option<StreamId> {
        None
    }

    /// Returns what is known of one stream.
    pub fn stream_info(&self, stream: StreamId) -> Result<StreamInfo, Error> {
        Err(Error::StreamMissing(stream))
    }

    /// Returns the shard whose range of the hash space holds `key`.
    pub fn shard_of(&self, stream: StreamId, _: Key<'_>) -> Result<ShardId, Error> {
        Err(Error::StreamMissing(stream))
    }

    /// Writes records down; returns when they are on disk. All of them are there, or none.
    pub async fn append(&self, _: Append) -> Result<Appended, Error> {
        std::future::ready(Err(Error::Closed)).await
    }

    /// As [`Journal::append`], for a thread that may block.
    pub fn append_blocking(&self, _: Append) -> Result<Appended, Error> {
        Err(Error::Closed)
    }

    /// Reads committed records from `from` on: about `bytes_max`, at least one if there is one.
    ///
    /// It may read the disk when the reader fell behind, and never waits for a commit.
    pub fn read(
        &self,
        _: StreamId,
        shard: ShardId,
        from: SequenceNumber,
        _bytes_max: usize,
    ) -> Result<Frames, Error> {
        Ok(Frames::empty(shard, from.0))
    }

    /// Waits until one of these shards has a record at its number or after it.
    pub async fn wait(&self, _: StreamId, _: &[(ShardId, SequenceNumber)]) -> Result<(), Error> {
        std::future::ready(Err(Error::Closed)).await
    }

    /// Keeps retention from dropping what `reader` has not handed over; survives restarts.
    ///
    /// A new hold stands at the first record of each shard. A hold that is dropped stays; only
    /// [`Hold::release`] or [`Journal::release_hold`] gives it up.
    pub fn hold(&self, _: StreamId, _reader: &str) -> Result<Hold, Error> {
        Err(Error::Closed)
    }

    /// Gives up the hold of a reader that is gone for good.
    pub fn release_hold(&self, _: StreamId, _reader: &str) -> Result<(), Error> {
        Err(Error::Closed)
    }

    /// Returns the place of the first record that arrived at or after `arrived_ms`, or the next.
    pub fn find_time(&self, _: StreamId, _: ShardId, _ms: u64) -> Result<SequenceNumber, Error> {
        Err(Error::Closed)
    }

    /// Seals, drops what has expired, recycles; the journal's own thread does it in production.
    pub fn maintain(&self) -> Result<(), Error> {
        Err(Error::Closed)
    }

    /// Returns why the journal stopped for good, if it did.
    pub fn failure(&self) -> Option<Error> {
        None
    }

    /// Waits until the journal has stopped for good: the program must end then.
    pub async fn failed(&self) -> Error {
        std::future::ready(Error::Closed).await
    }

    /// Returns counters.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Commits what waits, then stops; later calls answer [`Error::Closed`].
    pub fn close(&self) {}
}

/// Keeps records from `move_to`'s places on from being dropped.
#[derive(Debug)]
pub struct Hold {
    stream: StreamId,
}

impl Hold {
    /// Returns whose records it holds.
    pub fn stream(&self) -> StreamId {
        self.stream
    }

    /// Lets go of what is before `sequence`; a hold never moves back.
    pub fn move_to(&self, _: ShardId, _: SequenceNumber) {}

    /// Gives the hold up.
    pub fn release(self) -> Result<(), Error> {
        Ok(())
    }
}
