//! The one way into the journal: finds the stream, chooses shards, appends, counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use base::{Clock, Name, ShardId, limits, nearest};
use journal::{
    Append, AppendedPart, IdempotencyKey, Journal, Outcome, Records, StreamId, StreamSettings,
};
use md5::{Digest, Md5};
use parking_lot::RwLock;

use crate::DOORS;
use crate::kinesis::subscribe::Subscriptions;
use crate::refusal::Refusal;

mod reshard;

/// Finds the partition key in a record's bytes; none if there is none.
pub type KeyOf = Arc<dyn Fn(&[u8]) -> Option<String> + Send + Sync>;

/// A stream and who may write into it.
#[derive(Clone)]
pub struct Intake {
    /// Its name.
    pub name: Name,
    /// What the journal makes it with, if it is new.
    pub settings: StreamSettings,
    /// The doors in its `from`.
    pub doors: Vec<String>,
    /// Finds the partition key of records that come without one.
    pub key: Option<KeyOf>,
}

/// The way into the journal for all doors. Clones share it.
#[derive(Clone)]
pub struct Inlet {
    shared: Arc<Shared>,
}

struct Shared {
    journal: Journal,
    clock: Arc<dyn Clock>,
    streams: RwLock<BTreeMap<Name, Arc<Stream>>>,
    subscriptions: Subscriptions,
}

/// A stream as the doors see it.
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    pub(crate) name: Name,
    /// Whether the project declares it; else a client made it.
    pub(crate) is_declared: bool,
    pub(crate) doors: Vec<String>,
    key: Option<KeyOf>,
    /// The shards that take records, in the order of their ranges.
    shards: Vec<Slot>,
    turn: AtomicUsize,
    counters: Arc<[Counter]>,
}

/// A shard that takes records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    /// The last place of its range of the hash space.
    hash_end: u128,
    pub(crate) shard: ShardId,
    pub(crate) opened_ms: u64,
}

#[derive(Default)]
struct Counter {
    records: AtomicU64,
    bytes: AtomicU64,
    refused: AtomicU64,
}

/// What came into one stream by one door since the program began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// The stream.
    pub stream: Name,
    /// The door.
    pub door: &'static str,
    /// Records accepted; a repeated request counts none.
    pub records: u64,
    /// Their bytes, without keys.
    pub bytes: u64,
    /// Requests refused; nothing of them was kept.
    pub refused: u64,
}

/// A record on its way in.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// The partition key, if the sender gave one.
    pub key: Option<&'a str>,
    /// What was sent.
    pub bytes: &'a [u8],
}

/// Where accepted records are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// How many records.
    pub records: u64,
    /// Their places, one run for each shard.
    pub parts: Vec<AppendedPart>,
    /// When they were written down, in milliseconds since 1970.
    pub arrived_ms: u64,
    /// Whether a request with the same `Idempotency-Key` had brought them before.
    pub repeated: bool,
}

impl Inlet {
    /// Makes an inlet to `journal` that knows the given streams, and those that clients made
    /// earlier; the journal makes what it does not have yet.
    pub fn new(
        journal: Journal,
        clock: Arc<dyn Clock>,
        streams: Vec<Intake>,
    ) -> Result<Inlet, Refusal> {
        let shared = Shared {
            journal,
            clock,
            streams: RwLock::default(),
            subscriptions: Subscriptions::default(),
        };
        let inlet = Inlet { shared: Arc::new(shared) };
        for found in inlet.journal().streams() {
            if !found.settings.declared {
                inlet.declare(Intake::of_client(found.name, found.settings))?;
            }
        }
        for stream in streams {
            inlet.declare(stream)?;
        }
        Ok(inlet)
    }

    /// Adds a stream, or replaces what was known of it; what it counted goes on.
    pub fn declare(&self, intake: Intake) -> Result<(), Refusal> {
        let id = self.journal().create_stream(&intake.name, intake.settings)?;
        let mut streams = self.shared.streams.write();
        let info = self.journal().stream_info(id)?;
        let before = streams.get(&intake.name).map(|it| Arc::clone(&it.counters));
        let none = || DOORS.iter().map(|_| Counter::default()).collect();
        let stream = Stream {
            id,
            name: intake.name.clone(),
            is_declared: intake.settings.declared,
            doors: intake.doors,
            key: intake.key,
            shards: reshard::open_shards(&info),
            turn: AtomicUsize::new(0),
            counters: before.unwrap_or_else(none),
        };
        streams.insert(intake.name, Arc::new(stream));
        Ok(())
    }

    /// Forgets a stream: its records stay in the journal, but doors no longer write into it.
    pub fn withdraw(&self, name: &str) {
        self.shared.streams.write().remove(name);
    }

    /// Writes records into a stream; all of them are on disk when it returns, or none.
    pub async fn accept(
        &self,
        stream: &str,
        door: &'static str,
        records: &[Incoming<'_>],
        idempotency: Option<&str>,
    ) -> Result<Accepted, Refusal> {
        let bytes = records.iter().map(|it| it.bytes.len()).sum();
        let mut batch = self.batch(stream, door, bytes)?;
        for record in records {
            batch.push(record.key, record.bytes)?;
        }
        self.append(batch, idempotency).await
    }

    /// Returns what came in by each door that was used or is in a stream's `from`.
    pub fn counts(&self) -> Vec<Counts> {
        let streams = self.shared.streams.read();
        let mut counts = Vec::new();
        for stream in streams.values() {
            for (door, counter) in DOORS.iter().zip(stream.counters.iter()) {
                let door = door.name();
                let found = counter.read(&stream.name, door);
                let is_used = 0 < found.records + found.refused;
                if is_used || stream.is_open(door) {
                    counts.push(found);
                }
            }
        }
        counts
    }

    /// Begins a batch of about `bytes` for a stream.
    pub(crate) fn batch(
        &self,
        stream: &str,
        door: &'static str,
        bytes: usize,
    ) -> Result<Batch, Refusal> {
        let stream = self.stream(stream)?;
        if !stream.is_open(door) {
            stream.refuse(door);
            let open = stream.doors.clone();
            return Err(Refusal::DoorClosed { stream: stream.name.clone(), door, open });
        }
        Ok(Batch::new(stream, door, bytes))
    }

    /// Writes a batch down.
    pub(crate) async fn append(
        &self,
        mut batch: Batch,
        idempotency: Option<&str>,
    ) -> Result<Accepted, Refusal> {
        let mut accepted = self.write(&mut batch, idempotency).await?;
        accepted.parts.sort_unstable_by_key(|it| it.shard);
        Ok(accepted)
    }

    /// Writes down what is in a batch; afterwards the batch says which shard each record went to,
    /// and the parts of the answer are in the order of its own.
    ///
    /// Where shards were split or merged since the batch was begun, its records are routed again.
    pub(crate) async fn write(
        &self,
        batch: &mut Batch,
        idempotency: Option<&str>,
    ) -> Result<Accepted, Refusal> {
        let written = self.try_write(batch, idempotency).await;
        match &written {
            Ok(accepted) if accepted.repeated => {}
            Ok(accepted) => batch.stream.count(batch.door, accepted.records, batch.bytes as u64),
            Err(_) => batch.stream.refuse(batch.door),
        }
        written
    }

    async fn try_write(
        &self,
        batch: &mut Batch,
        idempotency: Option<&str>,
    ) -> Result<Accepted, Refusal> {
        let idempotency = match idempotency.map(|key| (key, IdempotencyKey::new(key))) {
            None => None,
            Some((key, Ok(checked))) if !key.is_empty() => Some(checked),
            Some(_) => return Err(Refusal::NotAnIdempotencyKey),
        };
        if batch.records == 0 {
            let arrived_ms = self.clock().now_ms();
            return Ok(Accepted { records: 0, parts: Vec::new(), arrived_ms, repeated: false });
        }
        let appended = loop {
            let append = Append {
                stream: batch.stream.id,
                parts: batch.take_parts(),
                idempotency: idempotency.clone(),
            };
            match self.journal().append_routed(append).await? {
                Outcome::Appended(appended) => break appended,
                // Each turn is a change of shards made meanwhile, and these are rare.
                Outcome::Resharded(records) => {
                    let stream = self.refresh(&batch.stream)?;
                    *batch = batch.routed_again(stream, &records)?;
                }
            }
        };
        Ok(Accepted {
            records: appended.parts.iter().map(|it| it.count).sum(),
            parts: appended.parts,
            arrived_ms: appended.arrived_ms,
            repeated: appended.repeated,
        })
    }

    pub(crate) fn stream(&self, name: &str) -> Result<Arc<Stream>, Refusal> {
        let streams = self.shared.streams.read();
        if let Some(stream) = streams.get(name) {
            return Ok(Arc::clone(stream));
        }
        let near = nearest(name, streams.keys().map(Name::as_str));
        Err(Refusal::NoStream {
            name: name.chars().take(limits::NAME_BYTES_MAX).collect(),
            near: near.and_then(|it| Name::new(it).ok()),
            known: streams.keys().cloned().collect(),
        })
    }

    pub(crate) fn streams(&self) -> Vec<Arc<Stream>> {
        self.shared.streams.read().values().cloned().collect()
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    /// Returns the subscriptions to shards that are under way.
    pub(crate) fn subscriptions(&self) -> &Subscriptions {
        &self.shared.subscriptions
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }
}

impl std::fmt::Debug for Inlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let streams = self.shared.streams.read();
        f.debug_struct("Inlet").field("streams", &streams.keys()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake")
            .field("name", &self.name)
            .field("doors", &self.doors)
            .finish_non_exhaustive()
    }
}

impl Intake {
    /// A stream that a client made, open to HTTP and to the Kinesis API.
    pub(crate) fn of_client(name: Name, settings: StreamSettings) -> Intake {
        let doors = vec!["http".to_owned(), "kinesis".to_owned()];
        Intake { name, settings, doors, key: None }
    }
}

impl Stream {
    pub(crate) fn is_open(&self, door: &str) -> bool {
        self.doors.iter().any(|it| it == door)
    }

    /// Returns the shard in the given slot of a batch.
    pub(crate) fn shard_at(&self, slot: usize) -> ShardId {
        self.shards.get(slot).map_or(ShardId(0), |it| it.shard)
    }

    /// Returns the shards that take records, in the order of a batch's slots.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.shards
    }

    /// Notes that a request was refused.
    pub(crate) fn refuse(&self, door: &str) {
        if let Some(counter) = self.counter(door) {
            counter.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn count(&self, door: &str, records: u64, bytes: u64) {
        if let Some(counter) = self.counter(door) {
            counter.records.fetch_add(records, Ordering::Relaxed);
            counter.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn counter(&self, door: &str) -> Option<&Counter> {
        let at = DOORS.iter().position(|it| it.name() == door)?;
        self.counters.get(at)
    }

    /// Returns the slot of the shard whose range holds `hash`.
    fn slot_of(&self, hash: u128) -> usize {
        let slot = self.shards.partition_point(|it| it.hash_end < hash);
        slot.min(self.shards.len().saturating_sub(1))
    }
}

impl Counter {
    fn read(&self, stream: &Name, door: &'static str) -> Counts {
        Counts {
            stream: stream.clone(),
            door,
            records: self.records.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

/// Records of one request, sorted into shards as they are pushed.
pub(crate) struct Batch {
    pub(crate) stream: Arc<Stream>,
    door: &'static str,
    /// The records of each shard that has some, with its slot.
    parts: Vec<(usize, Records)>,
    /// For each slot the number of its part, counted from 1; 0 if it has none.
    part_of: Vec<u32>,
    /// The slot of records without a key: one for the whole batch, so that its order is kept.
    turn: usize,
    /// The slot of each record.
    pub(crate) slots: Vec<u32>,
    /// The places in the hash space of records whose keys do not tell them, by number.
    hashes: Vec<(usize, u128)>,
    records: usize,
    bytes: usize,
    bytes_expected: usize,
}

impl Batch {
    fn new(stream: Arc<Stream>, door: &'static str, bytes_expected: usize) -> Batch {
        let count = stream.shards.len();
        let turn = stream.turn.fetch_add(1, Ordering::Relaxed) % count.max(1);
        Batch {
            parts: Vec::new(),
            part_of: vec![0; count],
            stream,
            door,
            turn,
            slots: Vec::new(),
            hashes: Vec::new(),
            records: 0,
            bytes: 0,
            bytes_expected,
        }
    }

    /// Adds a record. Without a key, the stream's own rule finds one, else it is the batch's turn.
    pub(crate) fn push(&mut self, key: Option<&str>, bytes: &[u8]) -> Result<(), Refusal> {
        if let Some(key) = key.filter(|it| !it.is_empty()) {
            return self.place(self.slot_of_key(key), key, bytes);
        }
        if key.is_some() {
            return self.push_hashed("", hash_of(""), bytes);
        }
        let found = self.stream.key.as_ref().and_then(|key_of| key_of(bytes));
        match found.as_deref() {
            // A key that is too long for the journal still decides the shard, so order holds.
            Some(key) if limits::PARTITION_KEY_BYTES_MAX < key.len() => {
                let end = key.floor_char_boundary(limits::PARTITION_KEY_BYTES_MAX);
                self.push_hashed(key.get(..end).unwrap_or_default(), hash_of(key), bytes)
            }
            Some("") => self.push_hashed("", hash_of(""), bytes),
            Some(key) => self.place(self.slot_of_key(key), key, bytes),
            None => self.place(self.turn, "", bytes),
        }
    }

    /// Adds a record whose place in the hash space is given.
    pub(crate) fn push_hashed(
        &mut self,
        key: &str,
        hash: u128,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        self.hashes.push((self.records, hash));
        self.place(self.stream.slot_of(hash), key, bytes)
    }

    /// Returns which part of the batch the records of a slot are in.
    pub(crate) fn part_of(&self, slot: u32) -> Option<usize> {
        (*self.part_of.get(slot as usize)? as usize).checked_sub(1)
    }

    /// Returns the slot of each part, in the order in which they are written.
    pub(crate) fn used_slots(&self) -> Vec<usize> {
        let mut slots = vec![0; self.part_of.iter().filter(|it| **it != 0).count()];
        for (slot, part) in self.part_of.iter().enumerate() {
            let at = (*part as usize).checked_sub(1).and_then(|it| slots.get_mut(it));
            if let Some(at) = at {
                *at = slot;
            }
        }
        slots
    }

    fn take_parts(&mut self) -> Vec<(ShardId, Records)> {
        let parts = std::mem::take(&mut self.parts).into_iter();
        parts.map(|(slot, part)| (self.stream.shard_at(slot), part)).collect()
    }

    fn slot_of_key(&self, key: &str) -> usize {
        // One shard needs no hash.
        if self.part_of.len() == 1 { 0 } else { self.stream.slot_of(hash_of(key)) }
    }

    fn place(&mut self, slot: usize, key: &str, bytes: &[u8]) -> Result<(), Refusal> {
        if let Err(refusal) = self.try_place(slot, key, bytes) {
            self.stream.refuse(self.door);
            return Err(refusal);
        }
        Ok(())
    }

    fn try_place(&mut self, slot: usize, key: &str, bytes: &[u8]) -> Result<(), Refusal> {
        if limits::REQUEST_RECORDS_MAX <= self.records {
            return Err(Refusal::TooManyRecords);
        }
        let index = self.records;
        let share = self.bytes_expected / self.part_of.len().max(1);
        let missing = journal::Error::StreamMissing(self.stream.id);
        let part_of = self.part_of.get_mut(slot).ok_or(missing)?;
        if *part_of == 0 {
            self.parts.push((slot, Records::with_capacity(share)));
            *part_of = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        }
        let part = self.parts.get_mut(*part_of as usize - 1).expect("it was numbered when made");
        let (_, part) = part;
        part.push(key, bytes).map_err(|error| match error {
            journal::Error::RecordTooLarge { bytes, .. } => {
                Refusal::RecordTooLarge { index, bytes }
            }
            journal::Error::KeyTooLong { bytes, .. } => Refusal::KeyTooLong { index, bytes },
            other => Refusal::Journal(other),
        })?;
        self.slots.push(u32::try_from(slot).unwrap_or(u32::MAX));
        self.records += 1;
        self.bytes += bytes.len();
        Ok(())
    }
}

/// Returns a key's place in the hash space, as Kinesis has it.
pub(crate) fn hash_of(key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(key.as_bytes()).into())
}

#[cfg(test)]
mod tests;
