//! How large the parts of a journal are, and what is asked of it.

use std::path::PathBuf;
use std::sync::Arc;

use base::limits;
use base::{ByteSize, Name, SequenceNumber, ShardId, Span};

use crate::Error;
use crate::record::{Frames, Records};

/// Identifies a stream for as long as its folder lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Who commits, prepares segments and seals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// The journal's own threads: production.
    Own,
    /// The caller: `append` commits before it returns, `maintain` seals. For simulations, whose
    /// every step must follow from the seed.
    Caller,
}

/// Where a journal lies and how large its parts are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its folder; made if missing.
    pub folder: PathBuf,
    /// Bytes of one segment, allocated at once.
    pub segment_bytes: u64,
    /// Bytes written and synced together at most.
    pub commit_bytes_max: usize,
    /// Bytes waiting for the commit thread at most; beyond it appends are throttled.
    pub pending_bytes_max: usize,
    /// Bytes of committed records kept in memory at most.
    pub tail_bytes_max: usize,
    /// Idempotency keys remembered at most.
    pub keys_max: usize,
    /// Who does the work.
    pub threads: Threads,
}

impl Settings {
    /// Returns the settings of a journal in `folder` with the limits of `base::limits`.
    pub fn new(folder: impl Into<PathBuf>) -> Settings {
        Settings {
            folder: folder.into(),
            segment_bytes: limits::JOURNAL_SEGMENT_BYTES,
            commit_bytes_max: limits::JOURNAL_COMMIT_BYTES_MAX,
            pending_bytes_max: limits::JOURNAL_PENDING_BYTES_MAX,
            tail_bytes_max: limits::JOURNAL_TAIL_BYTES_MAX,
            keys_max: limits::IDEMPOTENCY_KEYS_MAX,
            threads: Threads::Own,
        }
    }
}

/// What a stream is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSettings {
    /// How many shards it begins with; a stream that is told another number later is split and
    /// merged until it has as many.
    pub shards: u32,
    /// Whether its shards follow the load; then `shards` is only what it begins with.
    pub on_demand: bool,
    /// How long its records stay at least readable unless `replay_size` says otherwise.
    pub replay: Span,
    /// How many bytes of it are kept at most, as they lie on disk.
    pub replay_size: ByteSize,
    /// Whether the project declares it (else a client made it).
    pub declared: bool,
}

impl Default for StreamSettings {
    /// One shard, 24 hours, 10 GB: what SEMANTICS says.
    fn default() -> StreamSettings {
        StreamSettings {
            shards: 1,
            on_demand: false,
            replay: Span::from_millis(24 * 60 * 60 * 1_000),
            replay_size: ByteSize(10_000_000_000),
            declared: true,
        }
    }
}

/// How a record says which shard it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'a> {
    /// A partition key: its MD5 decides.
    Partition(&'a str),
    /// A place in the 128-bit hash space (`ExplicitHashKey` of Kinesis).
    Hash(u128),
}

/// A client's name for one append: the second append of the same name changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Arc<str>);

impl IdempotencyKey {
    /// Checks the length of `text` and makes a key of it.
    pub fn new(text: &str) -> Result<IdempotencyKey, Error> {
        if limits::IDEMPOTENCY_KEY_BYTES_MAX < text.len() {
            let max = limits::IDEMPOTENCY_KEY_BYTES_MAX;
            return Err(Error::KeyTooLong { bytes: text.len(), max });
        }
        Ok(IdempotencyKey(Arc::from(text)))
    }

    /// Returns the key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One request to write records down: all of it, or nothing.
#[derive(Debug)]
pub struct Append {
    /// Whose records.
    pub stream: StreamId,
    /// The records of each shard.
    pub parts: Vec<(ShardId, Records)>,
    /// The client's name for this append, if it gave one.
    pub idempotency: Option<IdempotencyKey>,
}

/// Where the records of an append are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// One for each part that had records, in the order of the append.
    pub parts: Vec<AppendedPart>,
    /// When they were written down, in milliseconds since 1970.
    pub arrived_ms: u64,
    /// Whether an earlier append with the same key did it, and these are its places.
    pub repeated: bool,
}

/// What became of an append.
#[derive(Debug)]
pub enum Outcome {
    /// Its records are on disk.
    Appended(Appended),
    /// One of its shards was split or merged meanwhile. Nothing was written; these are its records,
    /// in the order of the append, to be routed again.
    Resharded(Vec<(ShardId, Frames)>),
}

/// Where the records of one part are: `count` places from `first` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendedPart {
    /// The shard.
    pub shard: ShardId,
    /// The first record's place in it.
    pub first: SequenceNumber,
    /// How many records.
    pub count: u64,
}

/// What is known of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its id.
    pub id: StreamId,
    /// Its name.
    pub name: Name,
    /// What it was made with, as last updated.
    pub settings: StreamSettings,
    /// Its shards, by id: those that take records, and those that were split or merged and may
    /// still have some. Once these are gone, ids are missing.
    pub shards: Vec<ShardInfo>,
    /// Records ever taken in: the `received` of `received = stored + dead + pending`.
    pub received: u64,
    /// Bytes it takes on disk, about.
    pub bytes: u64,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// The readers that hold its records back from retention.
    pub holds: Vec<String>,
}

impl StreamInfo {
    /// Returns the shards that take records.
    pub fn open_shards(&self) -> impl Iterator<Item = &ShardInfo> {
        self.shards.iter().filter(|it| it.closed_ms.is_none())
    }

    /// Returns a shard by its id.
    pub fn shard(&self, shard: ShardId) -> Option<&ShardInfo> {
        let index = self.shards.binary_search_by_key(&shard, |it| it.id).ok()?;
        self.shards.get(index)
    }

    /// Tells for each shard, in their order, whether a reader that has come as far as `reached` says
    /// may read it: whether it has read all that the shards before it in its family have. Who keeps
    /// to that sees the records of each key in order.
    pub fn readable(&self, reached: impl Fn(ShardId) -> SequenceNumber) -> Vec<bool> {
        let mut readable = vec![true; self.shards.len()];
        // By id, so parents come before their children.
        for (index, shard) in self.shards.iter().enumerate() {
            let is_drained = |parent: ShardId| {
                let Ok(at) = self.shards.binary_search_by_key(&parent, |it| it.id) else {
                    return true; // It is gone, which it is only after those before it.
                };
                let is_read = |it: &ShardInfo| it.next <= reached(parent);
                readable.get(at) == Some(&true) && self.shards.get(at).is_some_and(is_read)
            };
            let all = shard.parents().all(is_drained);
            if let Some(readable) = readable.get_mut(index) {
                *readable = all;
            }
        }
        readable
    }

    /// Returns the shards that were made of `shard` by a split or a merge.
    pub fn children(&self, shard: ShardId) -> impl Iterator<Item = &ShardInfo> {
        self.shards.iter().filter(move |it| it.parents().any(|parent| parent == shard))
    }
}

/// What is known of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardInfo {
    /// Its id.
    pub id: ShardId,
    /// The first place of the hash space that belongs to it.
    pub hash_start: u128,
    /// The last place of the hash space that belongs to it.
    pub hash_end: u128,
    /// The shard that was split, or the first of the two that were merged, to make this one. It may
    /// be gone.
    pub parent: Option<ShardId>,
    /// The second of the two that were merged.
    pub adjacent_parent: Option<ShardId>,
    /// When it was made; later than its parents by a second at least.
    pub opened_ms: u64,
    /// When it was split or merged: from then on it takes no records.
    pub closed_ms: Option<u64>,
    /// The first record that is still readable.
    pub first: SequenceNumber,
    /// One past the last record.
    pub next: SequenceNumber,
    /// When its newest record was written down; 0 if there was none.
    pub arrived_ms: u64,
    /// Bytes written into it since the journal was opened, and what was found then unsealed.
    pub written_bytes: u64,
}

impl ShardInfo {
    /// Returns the shards that this one was made of.
    pub fn parents(&self) -> impl Iterator<Item = ShardId> + use<> {
        self.parent.into_iter().chain(self.adjacent_parent)
    }
}

/// What the journal did since it was opened, and what it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records appended.
    pub records: u64,
    /// Bytes written, frames and padding included.
    pub bytes: u64,
    /// Appends answered.
    pub appends: u64,
    /// Commits, each with one sync.
    pub commits: u64,
    /// Microseconds spent in syncs.
    pub sync_us: u64,
    /// The slowest sync in microseconds.
    pub sync_us_max: u64,
    /// Bytes waiting for the commit thread.
    pub pending_bytes: u64,
    /// Bytes of committed records in memory.
    pub tail_bytes: u64,
    /// Segments not sealed yet, the one being written included.
    pub segments: u64,
    /// Sealed files.
    pub sealed_files: u64,
    /// Bytes of sealed files.
    pub sealed_bytes: u64,
    /// Idempotency keys remembered.
    pub keys: u64,
    /// Bytes read from disk for readers that fell behind.
    pub disk_read_bytes: u64,
}
