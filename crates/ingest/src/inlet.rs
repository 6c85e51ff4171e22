//! The one way into the journal: finds the stream, chooses shards, appends, counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use base::{Clock, Name, ShardId, limits, nearest};
use journal::{Append, AppendedPart, IdempotencyKey, Journal, Outcome, StreamId, StreamSettings};
use md5::{Digest, Md5};
use parking_lot::RwLock;
use tokio::sync::Notify;

use crate::bucket::place::{BucketPlace, Folders};
use crate::bucket::snapshot::{BucketRestored, BucketSnapshot, BucketWanted};
use crate::files::OpenFile;
use crate::files::buckets::Buckets;
use crate::firehose::book::Book;
use crate::http::cors::Origins;
use crate::kept::Kept;
use crate::keys::{Caller, Keys};
use crate::kinesis::subscribe::Subscriptions;
use crate::rate::{Clients, Cost, Meter, Rate};
use crate::refusal::Refusal;
use crate::{DOORS, firehose, sns};

pub(crate) use self::batch::Batch;

mod batch;
mod callers;
mod fair;

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
    /// Opens files as records of the stream.
    pub files: Option<OpenFile>,
    /// How much may come in a second.
    pub limit: Rate,
}

/// The way into the journal for all doors, as one caller may use it. Clones share it.
#[derive(Clone)]
pub struct Inlet {
    shared: Arc<Shared>,
    caller: Caller,
}

struct Shared {
    journal: Journal,
    clock: Arc<dyn Clock>,
    streams: RwLock<BTreeMap<Name, Arc<Stream>>>,
    subscriptions: Subscriptions,
    keys: Keys,
    clients: Clients,
    waiting: fair::Waiting,
    /// The origins of web pages that may send into a stream.
    origins: RwLock<BTreeMap<Name, Arc<Origins>>>,
    buckets: Buckets,
    deliveries: Kept<Book>,
    messages: Kept<sns::book::Book>,
    letters: sns::letters::Letters,
    messages_changed: Notify,
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
    meter: Option<Arc<Meter>>,
    /// Bytes that wait for the disk, shared with what the stream was before it was declared anew.
    waiting: Arc<AtomicUsize>,
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
            keys: Keys::default(),
            clients: Clients::default(),
            waiting: fair::Waiting::new(limits::JOURNAL_PENDING_BYTES_MAX),
            origins: RwLock::default(),
            buckets: Buckets::default(),
            deliveries: Kept::default(),
            messages: Kept::default(),
            letters: sns::letters::Letters::default(),
            messages_changed: Notify::new(),
        };
        let inlet = Inlet { shared: Arc::new(shared), caller: Caller::default() };
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
        if let Some(key) = self.caller.name().filter(|_| !self.caller.sees(&intake.name)) {
            let stream = intake.name.to_string();
            return Err(Refusal::NotForKey { key: key.clone(), stream });
        }
        if let Some(files) = intake.files.clone() {
            self.shared.buckets.open_by(intake.name.clone(), files);
        }
        let id = self.journal().create_stream(&intake.name, intake.settings)?;
        let mut streams = self.shared.streams.write();
        let info = self.journal().stream_info(id)?;
        let before = streams.get(&intake.name);
        let counters = before.map(|it| Arc::clone(&it.counters));
        let none = || DOORS.iter().map(|_| Counter::default()).collect();
        let meter = before.and_then(|it| it.meter.as_ref());
        let meter = Meter::renewed(meter, intake.limit, self.now());
        let stream = Stream {
            id,
            name: intake.name.clone(),
            is_declared: intake.settings.declared,
            doors: intake.doors,
            key: intake.key,
            shards: reshard::open_shards(&info),
            turn: AtomicUsize::new(0),
            counters: counters.unwrap_or_else(none),
            meter,
            waiting: before.map(|it| Arc::clone(&it.waiting)).unwrap_or_default(),
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
        let is_open = stream.is_open(door) || (door == firehose::NAME && self.delivers(&stream));
        if !is_open {
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
        if batch.gate.is_none() {
            self.admit(&batch.stream, Cost { records: batch.records, bytes: batch.bytes })?;
        }
        let place = self.shared.waiting.enter(&batch.stream.waiting, batch.bytes);
        let Some(_place) = place else {
            let waiting = batch.stream.waiting.load(Ordering::Relaxed);
            return Err(Refusal::Crowded { stream: batch.stream.name.clone(), waiting });
        };
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
                    let gate = batch.gate.take();
                    *batch = batch.routed_again(stream, &records)?;
                    batch.gate = gate;
                }
            }
        };
        if let Some(gate) = &mut batch.gate {
            gate.keep();
        }
        Ok(Accepted {
            records: appended.parts.iter().map(|it| it.count).sum(),
            parts: appended.parts,
            arrived_ms: appended.arrived_ms,
            repeated: appended.repeated,
        })
    }

    pub(crate) fn stream(&self, name: &str) -> Result<Arc<Stream>, Refusal> {
        let text: String = name.chars().take(limits::NAME_BYTES_MAX).collect();
        if let Some(key) = self.caller.name().filter(|_| !self.caller.sees(name)) {
            return Err(Refusal::NotForKey { key: key.clone(), stream: text });
        }
        let streams = self.shared.streams.read();
        if let Some(stream) = streams.get(name) {
            return Ok(Arc::clone(stream));
        }
        let known: Vec<Name> = streams.keys().filter(|it| self.caller.sees(it)).cloned().collect();
        let near = nearest(name, known.iter().map(Name::as_str));
        Err(Refusal::NoStream { name: text, near: near.and_then(|it| Name::new(it).ok()), known })
    }

    /// Returns the streams that the caller may see.
    pub(crate) fn streams(&self) -> Vec<Arc<Stream>> {
        let streams = self.shared.streams.read();
        streams.values().filter(|it| self.caller.sees(&it.name)).cloned().collect()
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    /// Returns the subscriptions to shards that are under way.
    pub(crate) fn subscriptions(&self) -> &Subscriptions {
        &self.shared.subscriptions
    }

    /// Says where buckets lie: relative paths begin at `project`, what they need is kept in `data`.
    pub fn buckets_in(&self, project: &std::path::Path, data: &std::path::Path) {
        let (own, books) = (data.join("buckets"), data.join("doors").join("buckets"));
        self.shared.buckets.lie_in(Folders { project: project.to_owned(), own, books });
    }

    /// Returns where the open buckets lie, by name.
    pub fn bucket_places(&self) -> BTreeMap<String, BucketPlace> {
        self.shared.buckets.places()
    }

    /// Returns the snapshots of the open buckets, oldest first, by the buckets' names.
    pub fn bucket_snapshots(&self) -> BTreeMap<String, Vec<BucketSnapshot>> {
        let buckets = self.shared.buckets.all();
        let snapshots = buckets.iter().filter_map(|it| {
            let now = it.listing.borrow().clone();
            let now = now.as_ref().map(|it| it.objects.as_slice()).unwrap_or_default();
            Some((it.name.clone(), it.snapshots.as_ref()?.facts(now)))
        });
        snapshots.collect()
    }

    /// Lets objects of a bucket be again what they were in a snapshot; nothing if no such bucket is
    /// open.
    ///
    /// # Errors
    /// There is no such snapshot, or a file cannot be brought back; those before it are.
    pub async fn restore_bucket(
        &self,
        name: &str,
        wanted: BucketWanted,
    ) -> Option<Result<BucketRestored, String>> {
        let bucket = self.shared.buckets.find(name)?;
        Some(bucket.restore(wanted, self.shared.clock.now_ms()).await)
    }

    pub(crate) fn buckets(&self) -> &Buckets {
        &self.shared.buckets
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
        Intake { name, settings, doors, key: None, files: None, limit: Rate::default() }
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

/// Returns a key's place in the hash space, as Kinesis has it.
pub(crate) fn hash_of(key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(key.as_bytes()).into())
}

#[cfg(test)]
mod tests;
