//! What is known in memory of a stream and its shards: counters, the tail, where the rest lies.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use base::{ByteSize, Name, SequenceNumber, ShardId, Span};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::Error;
use crate::manifest::{ShardEntry, StreamEntry};
use crate::record::Frame;
use crate::sealed::SealedFile;
use crate::segment::Segment;
use crate::settings::{ShardInfo, StreamId, StreamInfo, StreamSettings};

/// The sparse index has a point at most every so many bytes of a segment: what a reader may have
/// to walk over before it finds its record.
const POINT_EVERY_BYTES: u64 = 64 << 10;

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    pub(crate) name: Name,
    pub(crate) created_ms: u64,
    pub(crate) kept: Mutex<Kept>,
    pub(crate) shards: Vec<Shard>,
    /// Per reader, the first record it has not handed over, by shard.
    pub(crate) holds: Mutex<BTreeMap<String, Vec<u64>>>,
    /// Its sealed files, oldest first.
    pub(crate) files: Mutex<VecDeque<Arc<SealedFile>>>,
    /// Counts commits that brought something: what waiting readers watch.
    pub(crate) changed: watch::Sender<u64>,
}

/// The settings that may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) declared: bool,
    pub(crate) replay: Span,
    pub(crate) replay_size: ByteSize,
}

#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) id: ShardId,
    pub(crate) hash_start: u128,
    pub(crate) hash_end: u128,
    pub(crate) state: RwLock<ShardState>,
}

/// Where the records of a shard are: `sealed`, then `live`, and the newest also in `tail`.
///
/// INVARIANT: the ranges of `sealed` and `live` follow each other without gaps from `first` to
/// `next`, and `tail` ends at `next`.
#[derive(Debug, Default)]
pub(crate) struct ShardState {
    pub(crate) first: u64,
    pub(crate) next: u64,
    pub(crate) arrived_ms: u64,
    pub(crate) sealed: VecDeque<SealedRange>,
    pub(crate) live: VecDeque<LiveRange>,
    pub(crate) tail: VecDeque<Frame>,
}

/// The records of a shard in one sealed file.
#[derive(Debug, Clone)]
pub(crate) struct SealedRange {
    pub(crate) end: u64,
    pub(crate) file: Arc<SealedFile>,
}

/// The records of a shard in one segment.
#[derive(Debug, Clone)]
pub(crate) struct LiveRange {
    pub(crate) end: u64,
    pub(crate) segment: Arc<Segment>,
    pub(crate) points: Vec<Point>,
    /// Bytes of its frames.
    pub(crate) bytes: u64,
}

/// A frame's place: one of the sparse index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) base: u64,
    pub(crate) offset: u64,
    pub(crate) arrived_ms: u64,
}

impl Stream {
    pub(crate) fn new(entry: &StreamEntry) -> Stream {
        let shards = entry.shards.iter().zip(0..).map(|(shard, id)| Shard {
            id: ShardId(id),
            hash_start: shard.hash_start,
            hash_end: shard.hash_end,
            state: RwLock::new(ShardState {
                first: shard.first,
                next: shard.sealed,
                arrived_ms: shard.arrived_ms,
                ..ShardState::default()
            }),
        });
        Stream {
            id: StreamId(entry.id),
            name: entry.name.clone(),
            created_ms: entry.created_ms,
            kept: Mutex::new(Kept {
                declared: entry.declared,
                replay: Span::from_millis(entry.replay_ms),
                replay_size: ByteSize(entry.replay_bytes),
            }),
            shards: shards.collect(),
            holds: Mutex::new(entry.holds.clone()),
            files: Mutex::default(),
            changed: watch::Sender::new(0),
        }
    }

    pub(crate) fn shard(&self, shard: ShardId) -> Result<&Shard, Error> {
        self.shards.get(shard.0 as usize).ok_or_else(|| Error::ShardMissing {
            stream: self.name.as_str().to_owned(),
            shard,
            last: u32::try_from(self.shards.len()).unwrap_or(u32::MAX).saturating_sub(1),
        })
    }

    /// Returns the shard whose range holds `hash`.
    pub(crate) fn shard_of(&self, hash: u128) -> ShardId {
        let after = self.shards.partition_point(|it| it.hash_start <= hash);
        ShardId(u32::try_from(after.saturating_sub(1)).unwrap_or(u32::MAX))
    }

    /// Returns the first record of a shard that some reader still needs; `None` without readers.
    pub(crate) fn held_from(&self, shard: ShardId) -> Option<u64> {
        let holds = self.holds.lock();
        holds.values().filter_map(|it| it.get(shard.0 as usize)).min().copied()
    }

    pub(crate) fn info(&self) -> StreamInfo {
        let kept = *self.kept.lock();
        let mut bytes = 0;
        let mut received = 0;
        let mut shards = Vec::with_capacity(self.shards.len());
        for shard in &self.shards {
            let state = shard.state.read();
            received += state.next;
            bytes += state.bytes(shard.id);
            shards.push(ShardInfo {
                id: shard.id,
                hash_start: shard.hash_start,
                hash_end: shard.hash_end,
                first: SequenceNumber(state.first),
                next: SequenceNumber(state.next),
                arrived_ms: state.arrived_ms,
            });
        }
        StreamInfo {
            id: self.id,
            name: self.name.clone(),
            settings: StreamSettings {
                shards: u32::try_from(shards.len()).unwrap_or(u32::MAX),
                replay: kept.replay,
                replay_size: kept.replay_size,
                declared: kept.declared,
            },
            shards,
            received,
            bytes,
            created_ms: self.created_ms,
            holds: self.holds.lock().keys().cloned().collect(),
        }
    }

    /// Returns what the manifest must say of the stream, given what it says of its shards.
    pub(crate) fn entry(&self, shards: Vec<ShardEntry>) -> StreamEntry {
        let kept = *self.kept.lock();
        StreamEntry {
            id: self.id.0,
            name: self.name.clone(),
            created_ms: self.created_ms,
            declared: kept.declared,
            replay_ms: kept.replay.as_millis(),
            replay_bytes: kept.replay_size.0,
            shards,
            holds: self.holds.lock().clone(),
        }
    }
}

impl ShardState {
    /// Takes note of a frame that is durable at `offset` of `segment`.
    pub(crate) fn add_live(&mut self, segment: &Arc<Segment>, offset: u64, frame: &FrameNote) {
        assert_eq!(self.next, frame.base, "frames of a shard follow each other");
        let is_new = self.live.back().is_none_or(|it| !Arc::ptr_eq(&it.segment, segment));
        if is_new {
            let segment = Arc::clone(segment);
            let empty = LiveRange { end: frame.base, segment, points: Vec::new(), bytes: 0 };
            self.live.push_back(empty);
        }
        let range = self.live.back_mut().expect("one was added if there was none");
        let point = Point { base: frame.base, offset, arrived_ms: frame.arrived_ms };
        if range.points.last().is_none_or(|last| last.offset + POINT_EVERY_BYTES <= offset) {
            range.points.push(point);
        }
        range.end = frame.base + u64::from(frame.count);
        range.bytes += frame.bytes;
        self.next = range.end;
        self.arrived_ms = frame.arrived_ms;
    }

    /// Returns the bytes on disk.
    fn bytes(&self, shard: ShardId) -> u64 {
        let sealed: u64 = self.sealed.iter().map(|it| it.file.shard_bytes(shard)).sum();
        let live: u64 = self.live.iter().map(|it| it.bytes).sum();
        sealed + live
    }
}

/// What the index needs to know of a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameNote {
    pub(crate) base: u64,
    pub(crate) count: u32,
    pub(crate) arrived_ms: u64,
    pub(crate) bytes: u64,
}
