//! What is known in memory of a stream and its shards: counters, the tail, where the rest lies.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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
    pub(crate) shards: RwLock<Arc<Shards>>,
    /// Records of shards that are gone.
    pub(crate) received_gone: AtomicU64,
    /// Set while no commit is under way: nothing is written into it any more.
    pub(crate) is_deleted: AtomicBool,
    /// Per reader, the first record it has not handed over, by shard; it holds all of a shard that
    /// is not named.
    pub(crate) holds: Mutex<BTreeMap<String, BTreeMap<ShardId, u64>>>,
    /// Its sealed files, oldest first.
    pub(crate) files: Mutex<VecDeque<Arc<SealedFile>>>,
    /// What somebody wants remembered beside it.
    pub(crate) note: Mutex<Option<Arc<str>>>,
    /// Counts commits that brought something and changes of shards: what waiting readers watch.
    pub(crate) changed: watch::Sender<u64>,
}

/// The settings that may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) shards: u32,
    pub(crate) on_demand: bool,
    pub(crate) declared: bool,
    pub(crate) replay: Span,
    pub(crate) replay_size: ByteSize,
}

/// The shards of a stream at one moment; a change of them makes another list.
#[derive(Debug)]
pub(crate) struct Shards {
    /// By id; those that are gone are not there.
    pub(crate) all: Vec<Arc<Shard>>,
    /// Those that take records, in the order of their ranges: the last place of each, its id.
    open: Vec<(u128, ShardId)>,
}

#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) id: ShardId,
    pub(crate) hash_start: u128,
    pub(crate) hash_end: u128,
    pub(crate) parent: Option<ShardId>,
    pub(crate) adjacent_parent: Option<ShardId>,
    pub(crate) opened_ms: u64,
    /// 0 while it takes records; changes while no commit is under way.
    pub(crate) closed_ms: AtomicU64,
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
    /// Bytes on disk.
    pub(crate) bytes: u64,
    /// Bytes of frames since the journal was opened, those found then included.
    pub(crate) written_bytes: u64,
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

impl Shards {
    pub(crate) fn new(all: Vec<Arc<Shard>>) -> Shards {
        let mut open: Vec<_> =
            all.iter().filter(|it| !it.is_closed()).map(|it| (it.hash_end, it.id)).collect();
        open.sort_unstable();
        Shards { all, open }
    }

    pub(crate) fn shard(&self, shard: ShardId) -> Option<&Arc<Shard>> {
        self.all.get(self.place_of(shard)?)
    }

    /// Returns the place of a shard in the list.
    pub(crate) fn place_of(&self, shard: ShardId) -> Option<usize> {
        // Ids are given one after the other, and the oldest go first.
        let first = self.all.first()?.id.0;
        let likely = shard.0.checked_sub(first)? as usize;
        if self.all.get(likely).is_some_and(|it| it.id == shard) {
            return Some(likely);
        }
        self.all.binary_search_by_key(&shard, |it| it.id).ok()
    }

    /// Returns the shard whose range holds `hash`.
    pub(crate) fn shard_of(&self, hash: u128) -> ShardId {
        let index = self.open.partition_point(|(end, _)| *end < hash);
        self.open.get(index).map_or(ShardId(0), |(_, shard)| *shard)
    }

    /// Returns the shard, if one takes all records.
    pub(crate) fn only(&self) -> Option<ShardId> {
        match self.open.as_slice() {
            [(_, only)] => Some(*only),
            _ => None,
        }
    }
}

impl Shard {
    pub(crate) fn new(entry: &ShardEntry) -> Shard {
        Shard {
            id: ShardId(entry.id),
            hash_start: entry.hash_start,
            hash_end: entry.hash_end,
            parent: entry.parent.map(ShardId),
            adjacent_parent: entry.adjacent_parent.map(ShardId),
            opened_ms: entry.opened_ms,
            closed_ms: AtomicU64::new(entry.closed_ms.unwrap_or(0)),
            state: RwLock::new(ShardState {
                first: entry.first,
                next: entry.sealed,
                arrived_ms: entry.arrived_ms,
                ..ShardState::default()
            }),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed_ms.load(Ordering::Acquire) != 0
    }

    pub(crate) fn info(&self) -> ShardInfo {
        let closed_ms = self.closed_ms.load(Ordering::Acquire);
        let state = self.state.read();
        ShardInfo {
            id: self.id,
            hash_start: self.hash_start,
            hash_end: self.hash_end,
            parent: self.parent,
            adjacent_parent: self.adjacent_parent,
            opened_ms: self.opened_ms,
            closed_ms: (closed_ms != 0).then_some(closed_ms),
            first: SequenceNumber(state.first),
            next: SequenceNumber(state.next),
            arrived_ms: state.arrived_ms,
            written_bytes: state.written_bytes,
        }
    }
}

impl Stream {
    pub(crate) fn new(entry: &StreamEntry) -> Stream {
        let shards = entry.shards.iter().map(|it| Arc::new(Shard::new(it))).collect();
        let ids = || entry.shards.iter().map(|it| ShardId(it.id));
        let holds = entry
            .holds
            .iter()
            .map(|(reader, held)| (reader.clone(), ids().zip(held.iter().copied()).collect()));
        Stream {
            id: StreamId(entry.id),
            name: entry.name.clone(),
            created_ms: entry.created_ms,
            kept: Mutex::new(Kept {
                shards: entry.shards_wanted,
                on_demand: entry.on_demand,
                declared: entry.declared,
                replay: Span::from_millis(entry.replay_ms),
                replay_size: ByteSize(entry.replay_bytes),
            }),
            shards: RwLock::new(Arc::new(Shards::new(shards))),
            received_gone: AtomicU64::new(entry.received_gone),
            is_deleted: AtomicBool::new(false),
            holds: Mutex::new(holds.collect()),
            files: Mutex::default(),
            note: Mutex::new(entry.note.as_deref().map(Arc::from)),
            changed: watch::Sender::new(0),
        }
    }

    /// Returns the shards as they are now.
    pub(crate) fn shards(&self) -> Arc<Shards> {
        Arc::clone(&self.shards.read())
    }

    pub(crate) fn shard(&self, shard: ShardId) -> Result<Arc<Shard>, Error> {
        let shards = self.shards.read();
        shards.shard(shard).map(Arc::clone).ok_or_else(|| Error::ShardMissing {
            stream: self.name.as_str().to_owned(),
            shard,
            last: shards.all.last().map_or(0, |it| it.id.0),
        })
    }

    /// Returns whether one of these shards has a record at its number or after it, or is gone, or a
    /// shard that was made after all of these has records.
    pub(crate) fn has_news(&self, past: &[(ShardId, SequenceNumber)]) -> bool {
        let shards = self.shards();
        let newest = past.iter().map(|(shard, _)| *shard).max();
        let is_past = |(shard, sequence): &(ShardId, SequenceNumber)| {
            shards.shard(*shard).is_none_or(|it| sequence.0 < it.state.read().next)
        };
        let newer = shards.all.iter().rev().take_while(|it| newest < Some(it.id));
        past.iter().any(is_past) || newer.into_iter().any(|it| 0 < it.state.read().next)
    }

    /// Returns the first record of a shard that some reader still needs; `None` without readers.
    pub(crate) fn held_from(&self, shard: ShardId) -> Option<u64> {
        let holds = self.holds.lock();
        holds.values().map(|it| it.get(&shard).copied().unwrap_or(0)).min()
    }

    /// Returns per reader what it holds of each of these shards, in their order.
    pub(crate) fn held(&self, shards: &[ShardEntry]) -> BTreeMap<String, Vec<u64>> {
        let holds = self.holds.lock();
        let of_reader = |held: &BTreeMap<ShardId, u64>| {
            shards.iter().map(|it| held.get(&ShardId(it.id)).copied().unwrap_or(0)).collect()
        };
        holds.iter().map(|(reader, held)| (reader.clone(), of_reader(held))).collect()
    }

    pub(crate) fn info(&self) -> StreamInfo {
        let kept = *self.kept.lock();
        let now = self.shards();
        let bytes = now.all.iter().map(|it| it.state.read().bytes).sum();
        let shards: Vec<ShardInfo> = now.all.iter().map(|it| it.info()).collect();
        let there: u64 = shards.iter().map(|it| it.next.0).sum();
        StreamInfo {
            id: self.id,
            name: self.name.clone(),
            settings: StreamSettings {
                shards: kept.shards,
                on_demand: kept.on_demand,
                replay: kept.replay,
                replay_size: kept.replay_size,
                declared: kept.declared,
            },
            shards,
            received: there + self.received_gone.load(Ordering::Relaxed),
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
            shards_wanted: kept.shards,
            on_demand: kept.on_demand,
            replay_ms: kept.replay.as_millis(),
            replay_bytes: kept.replay_size.0,
            received_gone: self.received_gone.load(Ordering::Relaxed),
            note: self.note.lock().as_deref().map(str::to_owned),
            holds: self.held(&shards),
            shards,
        }
    }

    /// Lets go of all records of a stream that is deleted; returns its files.
    pub(crate) fn forget_records(&self) -> Vec<Arc<SealedFile>> {
        for shard in &self.shards().all {
            let mut state = shard.state.write();
            state.first = state.next;
            state.live.clear();
            state.sealed.clear();
            // What the writer counts in memory it drops by itself, oldest first.
        }
        self.files.lock().drain(..).collect()
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
        self.bytes += frame.bytes;
        self.written_bytes += frame.bytes;
        self.next = range.end;
        self.arrived_ms = frame.arrived_ms;
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
