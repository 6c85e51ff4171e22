//! Writing down: appends wait in a queue, one thread writes as many as it finds with one sync, and
//! only then are they answered.
//!
//! The order within a commit: 1. places are assigned and headers filled in; 2. one write; 3. one
//! sync; 4. readers see the records; 5. producers are answered. Before 3 nothing is remembered, so
//! that a write that found no room can be repeated.

use std::collections::{HashMap, VecDeque};
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base::{ByteSize, SequenceNumber, ShardId};
use tokio::sync::oneshot;

use crate::Error;
use crate::error::is_full;
use crate::format::{
    CommitMark, FrameKind, HEADER_BYTES, Header, Position, SEGMENT_START, frame_bytes, header_crc,
};
use crate::keys::{KeyFrame, Keys, Remembered, body_bytes};
use crate::record::{Body, Frames};
use crate::segment::Segment;
use crate::settings::{Append, AppendedPart, IdempotencyKey, Outcome, StreamId};
use crate::shared::Shared;
use crate::stream::{FrameNote, Shard, Shards, Stream};

/// After this time without work the end of the last commit is written down, so that damage to that
/// commit, too, is told from a torn tail.
const IDLE_BEFORE_MARK: Duration = Duration::from_secs(1);

/// What a frame in memory costs beside its buffer, about.
const FRAME_OVERHEAD_BYTES: usize = 128;

/// Appends that wait for the commit thread.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: VecDeque<Entry>,
    pub(crate) bytes: usize,
    pub(crate) is_closed: bool,
}

/// One append, encoded.
#[derive(Debug)]
struct Entry {
    stream: Arc<Stream>,
    parts: Vec<(ShardId, Vec<Body>)>,
    key: Option<IdempotencyKey>,
    bytes: usize,
    reply: oneshot::Sender<Result<Outcome, Error>>,
}

pub(crate) type Reply = oneshot::Receiver<Result<Outcome, Error>>;

/// Where the next commit goes, and what the commits so far said.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) segment: Arc<Segment>,
    pub(crate) offset: u64,
    /// The end of the last commit: what the next commit frame carries.
    pub(crate) synced: Position,
    pub(crate) number: u64,
    /// Whether the last commit had nothing but its frame.
    pub(crate) is_marked: bool,
    pub(crate) arrived_ms: u64,
    /// When the oldest record of the segment arrived.
    pub(crate) segment_first_ms: Option<u64>,
    pub(crate) keys: Keys,
    /// Frames in memory, oldest first: whose they are and what they cost.
    pub(crate) tail: VecDeque<(Arc<Shard>, usize)>,
    pub(crate) tail_bytes: usize,
}

/// Copies a header into the room in front of a body.
pub(crate) fn put_header(frame: &mut [u8], header: &[u8; HEADER_BYTES]) {
    let room = frame.first_chunk_mut().expect("a frame begins with room for its header");
    *room = *header;
}

impl Shared {
    /// Encodes an append and puts it into the queue.
    pub(crate) fn enqueue(&self, append: Append) -> Result<Reply, Error> {
        let stream = self.stream(append.stream)?;
        let mut parts = Vec::with_capacity(append.parts.len());
        let mut bytes = HEADER_BYTES;
        let shards = stream.shards();
        for (shard, records) in append.parts {
            if shards.shard(shard).is_none() {
                stream.shard(shard)?; // It may have been made just now.
            }
            let bodies = records.into_bodies();
            bytes += bodies.iter().map(|it| it.buffer.len()).sum::<usize>();
            if !bodies.is_empty() {
                parts.push((shard, bodies));
            }
        }
        if let Some(key) = &append.idempotency {
            bytes += HEADER_BYTES + body_bytes(key, parts.len()) + HEADER_BYTES;
        }
        let max = self.settings.segment_bytes - SEGMENT_START;
        if max < bytes as u64 {
            return Err(Error::AppendTooLarge { bytes: bytes as u64, max });
        }
        let (reply, receiver) = oneshot::channel();
        let entry = Entry { stream, parts, key: append.idempotency, bytes, reply };
        let mut queue = self.queue.lock();
        if let Some(error) = self.refusal() {
            return Err(error);
        }
        if queue.is_closed {
            return Err(Error::Closed);
        }
        let would_be = queue.bytes + bytes;
        if self.settings.pending_bytes_max < would_be && !queue.entries.is_empty() {
            return Err(Error::Throttled { pending: ByteSize(queue.bytes as u64) });
        }
        queue.bytes = would_be;
        queue.entries.push_back(entry);
        drop(queue);
        self.queue_changed.notify_one();
        Ok(receiver)
    }

    /// Answers all that wait with `error` and takes nothing more.
    pub(crate) fn refuse_waiting(&self, error: &Error) {
        let mut queue = self.queue.lock();
        queue.is_closed = true;
        queue.bytes = 0;
        let entries = std::mem::take(&mut queue.entries);
        drop(queue);
        self.queue_changed.notify_all();
        for entry in entries {
            answer(entry.reply, Err(error.clone()));
        }
    }

    /// Commits what waits; returns whether there was something.
    pub(crate) fn commit_waiting(&self) -> bool {
        let mut writer = self.writer.lock();
        let group = self.take_group();
        if group.is_empty() {
            return false;
        }
        if let Some(error) = self.refusal() {
            for entry in group {
                answer(entry.reply, Err(error.clone()));
            }
            return true;
        }
        writer.commit(self, group);
        true
    }

    fn take_group(&self) -> Vec<Entry> {
        let mut queue = self.queue.lock();
        let mut group = Vec::new();
        let mut bytes = 0;
        // The commit must also fit a segment.
        let segment = usize::try_from(self.settings.segment_bytes - SEGMENT_START);
        let max = self.settings.commit_bytes_max.min(segment.unwrap_or(usize::MAX));
        while let Some(entry) = queue.entries.front() {
            if !group.is_empty() && max < bytes + entry.bytes {
                break;
            }
            bytes += entry.bytes;
            group.extend(queue.entries.pop_front());
        }
        queue.bytes -= bytes;
        group
    }

    /// Commits until the journal stops; the body of the commit thread.
    pub(crate) fn keep_committing(&self) {
        loop {
            if self.commit_waiting() {
                continue;
            }
            let mut queue = self.queue.lock();
            if !queue.entries.is_empty() {
                continue;
            }
            if queue.is_closed {
                return;
            }
            let waited = self.queue_changed.wait_for(&mut queue, IDLE_BEFORE_MARK);
            let is_idle = waited.timed_out() && queue.entries.is_empty();
            drop(queue);
            if is_idle {
                self.mark();
            }
        }
    }

    /// Writes down where the last commit ended, if that is not on disk yet.
    pub(crate) fn mark(&self) {
        let mut writer = self.writer.lock();
        if !writer.is_marked && self.refusal().is_none() {
            let marked = writer.write(self, &mut []);
            if let Err(error) = marked {
                tracing::debug!(%error, "the end of the last commit is not marked yet");
            }
        }
    }
}

fn answer(reply: oneshot::Sender<Result<Outcome, Error>>, with: Result<Outcome, Error>) {
    // A producer that went away misses its answer; its records are there all the same.
    drop(reply.send(with));
}

impl Entry {
    /// Returns whether one of its shards was closed after its records were routed.
    fn has_closed_shard(&self) -> bool {
        let shards = self.stream.shards();
        self.parts.iter().any(|(shard, _)| shards.shard(*shard).is_none_or(|it| it.is_closed()))
    }

    fn give_back(self) {
        let parts = self.parts.into_iter();
        let parts = parts.map(|(shard, bodies)| (shard, Frames::given_back(shard, bodies)));
        answer(self.reply, Ok(Outcome::Resharded(parts.collect())));
    }
}

/// An entry with its places.
struct Placed {
    entry: Entry,
    done: Remembered,
    key_frame: Vec<u8>,
}

impl Placed {
    fn bytes(&self) -> u64 {
        let bodies = self.entry.parts.iter().flat_map(|(_, bodies)| bodies);
        let data: usize = bodies.map(|it| it.buffer.len()).sum();
        let key = self.entry.key.as_ref();
        let parts = self.entry.parts.len();
        data as u64 + key.map_or(0, |key| frame_bytes(body_bytes(key, parts) as u64))
    }
}

impl Writer {
    fn commit(&mut self, shared: &Shared, group: Vec<Entry>) {
        self.keys.expire(shared.clock.now_ms());
        let mut placed: Vec<Placed> = Vec::with_capacity(group.len());
        let mut named: HashMap<(StreamId, IdempotencyKey), usize> = HashMap::new();
        let mut repeats = Vec::new();
        for entry in group {
            if entry.stream.is_deleted.load(Ordering::Acquire) {
                answer(entry.reply, Err(Error::StreamMissing(entry.stream.id)));
                continue;
            }
            if let Some(key) = &entry.key
                && let Some(done) = self.keys.find(entry.stream.id, key)
            {
                answer(entry.reply, Ok(Outcome::Appended(done.answer(true))));
                continue;
            }
            if entry.has_closed_shard() {
                entry.give_back();
                continue;
            }
            if let Some(key) = &entry.key {
                let name = (entry.stream.id, key.clone());
                if let Some(index) = named.get(&name) {
                    repeats.push((*index, entry.reply));
                    continue;
                }
                named.insert(name, placed.len());
            }
            let done = Remembered { arrived_ms: 0, parts: Vec::with_capacity(entry.parts.len()) };
            placed.push(Placed { entry, done, key_frame: Vec::new() });
        }
        if placed.is_empty() {
            return;
        }
        match self.write(shared, &mut placed) {
            Err(error) => {
                for (_, reply) in repeats {
                    answer(reply, Err(error.clone()));
                }
                for it in placed {
                    answer(it.entry.reply, Err(error.clone()));
                }
            }
            Ok(offset) => {
                for (index, reply) in repeats {
                    let done = placed.get(index).map(|it| it.done.answer(true));
                    answer(reply, done.map(Outcome::Appended).ok_or(Error::Closed));
                }
                self.publish(shared, placed, offset);
            }
        }
    }

    /// Writes and syncs one commit; returns where it begins. Without entries it only carries the
    /// end of the commit before.
    fn write(&mut self, shared: &Shared, placed: &mut [Placed]) -> Result<u64, Error> {
        let bytes = placed.iter().map(Placed::bytes).sum::<u64>() + HEADER_BYTES as u64;
        while self.segment.bytes < self.offset + bytes {
            if self.offset == SEGMENT_START {
                // The chain of commits leads through every segment, this small one too.
                self.write(shared, &mut [])?;
            }
            self.roll(shared)?;
        }
        let arrived_ms = self.arrived_ms.max(shared.clock.now_ms());
        let mut mark =
            CommitMark { number: self.number + 1, synced: self.synced, frames: 0, frames_crc: 0 };
        self.place(placed, arrived_ms, &mut mark);
        let mark_frame = mark.to_header().encode(self.segment.salt);
        let mut slices = Vec::new();
        for it in placed.iter() {
            let bodies = it.entry.parts.iter().flat_map(|(_, bodies)| bodies);
            slices.extend(bodies.map(|body| IoSlice::new(&body.buffer)));
            slices.extend((!it.key_frame.is_empty()).then(|| IoSlice::new(&it.key_frame)));
        }
        slices.push(IoSlice::new(&mark_frame));
        self.write_durably(shared, &slices)?;
        let start = self.offset;
        self.offset += bytes;
        self.synced = Position { generation: self.segment.generation, offset: self.offset };
        self.segment.set_end(self.offset);
        self.number = mark.number;
        self.is_marked = placed.is_empty();
        if !placed.is_empty() {
            self.arrived_ms = arrived_ms;
            self.segment_first_ms.get_or_insert(arrived_ms);
        }
        let counters = &shared.counters;
        counters.commits.fetch_add(1, Ordering::Relaxed);
        counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(start)
    }

    /// Gives every record its place and every frame its header.
    fn place(&self, placed: &mut [Placed], arrived_ms: u64, mark: &mut CommitMark) {
        let salt = self.segment.salt;
        let mut streams: HashMap<StreamId, (Arc<Shards>, Vec<Option<u64>>)> = HashMap::new();
        for it in placed {
            it.done = Remembered { arrived_ms, parts: Vec::with_capacity(it.entry.parts.len()) };
            let stream = &it.entry.stream;
            let (shards, next) = streams.entry(stream.id).or_insert_with(|| {
                let shards = stream.shards();
                let next = vec![None; shards.all.len()];
                (shards, next)
            });
            for (shard, bodies) in &mut it.entry.parts {
                let place = shards.place_of(*shard).expect("a shard that takes records is there");
                let next = next.get_mut(place).expect("each shard has a place");
                let published = || shards.all.get(place).map_or(0, |it| it.state.read().next);
                let next = next.get_or_insert_with(published);
                let first = *next;
                for body in bodies.iter_mut() {
                    let header = Header {
                        stream: stream.id.0,
                        shard: shard.0,
                        count: body.count,
                        body_length: body.payload_length,
                        body_crc: body.payload_crc,
                        base: *next,
                        arrived_first_ms: arrived_ms,
                        arrived_last_ms: arrived_ms,
                        commit: mark.number,
                        ..Header::of(FrameKind::Data)
                    };
                    let header = header.encode(salt);
                    put_header(&mut body.buffer, &header);
                    mark.add(&header);
                    *next += u64::from(body.count);
                }
                let count = *next - first;
                let first = SequenceNumber(first);
                it.done.parts.push(AppendedPart { shard: *shard, first, count });
            }
            if let Some(key) = &it.entry.key {
                let (key, done) = (key.clone(), it.done.clone());
                let frame = KeyFrame { stream: it.entry.stream.id, key, done };
                it.key_frame = frame.encode(mark.number, salt);
                mark.add(&it.key_frame);
            }
        }
    }

    fn write_durably(&self, shared: &Shared, slices: &[IoSlice<'_>]) -> Result<(), Error> {
        let segment = &self.segment;
        let write = segment.file.write_at(self.offset, slices);
        write.map_err(|error| {
            // The commit frame is the last thing written, so what a full disk leaves behind is no
            // commit; the next one goes to the same place.
            let is_full = is_full(&error);
            let error = Error::of_io(&segment.path, &error);
            if is_full { error } else { shared.fail(error) }
        })?;
        let started = shared.clock.elapsed();
        segment.file.sync().map_err(|error| {
            let path = segment.path.display();
            shared.fail(Error::Failed { reason: format!("`{path}` cannot be synced: {error}") })
        })?;
        let took = shared.clock.elapsed().saturating_sub(started);
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        shared.counters.sync_us.fetch_add(took_us, Ordering::Relaxed);
        shared.counters.sync_us_max.fetch_max(took_us, Ordering::Relaxed);
        Ok(())
    }

    /// Goes on in the next segment; all that is in this one is synced.
    pub(crate) fn roll(&mut self, shared: &Shared) -> Result<(), Error> {
        let next = shared.spares.take(shared)?;
        shared.segments.lock().push_back(Arc::clone(&next));
        self.segment = next;
        self.offset = SEGMENT_START;
        self.segment_first_ms = None;
        shared.call_sealer();
        Ok(())
    }

    /// Shows the records of a commit that begins at `offset` to readers, then answers.
    fn publish(&mut self, shared: &Shared, placed: Vec<Placed>, mut offset: u64) {
        let mut changed: Vec<Arc<Stream>> = Vec::new();
        let mut answers = Vec::with_capacity(placed.len());
        for it in placed {
            let stream = it.entry.stream;
            let shards = stream.shards();
            let mut parts = it.done.parts.iter();
            for (shard, bodies) in it.entry.parts {
                let mut base = parts.next().map_or(0, |part| part.first.0);
                let shard = shards.shard(shard).expect("an append names shards that exist");
                for body in bodies {
                    let (count, bytes) = (u64::from(body.count), body.buffer.len() as u64);
                    self.show(shard, body, base, offset);
                    base += count;
                    offset += bytes;
                }
            }
            offset += it.key_frame.len() as u64;
            if let Some(key) = it.entry.key {
                self.keys.insert(stream.id, key, it.done.clone());
            }
            let records: u64 = it.done.parts.iter().map(|part| part.count).sum();
            shared.counters.records.fetch_add(records, Ordering::Relaxed);
            answers.push((it.entry.reply, it.done));
            if !changed.iter().any(|known| Arc::ptr_eq(known, &stream)) {
                changed.push(stream);
            }
        }
        self.trim_tail(shared.settings.tail_bytes_max);
        let counters = &shared.counters;
        counters.appends.fetch_add(answers.len() as u64, Ordering::Relaxed);
        counters.tail_bytes.store(self.tail_bytes as u64, Ordering::Relaxed);
        counters.keys.store(self.keys.len() as u64, Ordering::Relaxed);
        for stream in changed {
            stream.changed.send_modify(|count| *count += 1);
        }
        for (reply, done) in answers {
            answer(reply, Ok(Outcome::Appended(done.answer(false))));
        }
    }
}

impl Writer {
    /// Shows one frame, which is durable at `offset`, to readers.
    fn show(&mut self, shard: &Arc<Shard>, body: Body, base: u64, offset: u64) {
        let (count, arrived_ms) = (body.count, self.arrived_ms);
        let note = FrameNote { base, count, arrived_ms, bytes: body.buffer.len() as u64 };
        let cost = body.buffer.capacity() + FRAME_OVERHEAD_BYTES;
        let mut state = shard.state.write();
        state.add_live(&self.segment, offset, &note);
        state.tail.push_back(body.into_frame(base, arrived_ms));
        drop(state);
        self.tail.push_back((Arc::clone(shard), cost));
        self.tail_bytes += cost;
    }

    /// Lets go of the oldest frames in memory.
    fn trim_tail(&mut self, bytes_max: usize) {
        while bytes_max < self.tail_bytes {
            let Some((shard, cost)) = self.tail.pop_front() else { return };
            self.tail_bytes -= cost;
            let oldest = shard.state.write().tail.pop_front();
            debug_assert!(oldest.is_some(), "each frame in memory is counted once");
        }
    }
}

impl CommitMark {
    /// Takes the next frame of the commit into account, given its bytes or its header's.
    pub(crate) fn add(&mut self, frame: &[u8]) {
        self.frames += 1;
        self.frames_crc = crc32c::crc32c_append(self.frames_crc, &header_crc(frame).to_le_bytes());
    }
}
