//! The journal as the other crates see it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use base::{Clock, Name, SequenceNumber, ShardId, limits};
use parking_lot::Mutex;

use crate::Error;
use crate::disk::Disk;
use crate::hash::{hash_of, split_evenly};
use crate::manifest::{ShardEntry, StreamEntry};
use crate::record::Frames;
use crate::reshard::Draft;
use crate::settings::{
    Append, Appended, Key, Outcome, Settings, ShardInfo, Stats, StreamId, StreamInfo,
    StreamSettings, Threads,
};
use crate::shared::Shared;
use crate::stream::{Kept, Stream};

/// The durable, ordered, replayable log of one node. Clones share it; the last one closes it.
#[derive(Debug, Clone)]
pub struct Journal {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    committing: Mutex<Option<JoinHandle<()>>>,
    behind: Mutex<Vec<JoinHandle<()>>>,
}

impl Journal {
    /// Opens the journal in `settings.folder`: recovers what was acknowledged, cuts what was not.
    ///
    /// One program may have a folder open at a time; keeping others out is the program's lock.
    pub fn open(
        settings: Settings,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Result<Journal, Error> {
        let threads = settings.threads;
        let shared = Arc::new(crate::open::open(settings, disk, clock)?);
        let handle = Handle {
            shared: Arc::clone(&shared),
            committing: Mutex::default(),
            behind: Mutex::default(),
        };
        if threads == Threads::Own {
            let start = |name: &'static str, body: fn(&Shared)| {
                let shared = Arc::clone(&shared);
                let started = base::task::thread(name, move || {
                    let watched = Watched(shared);
                    body(&watched.0);
                });
                started.map_err(|error| Error::of_io(name, &error))
            };
            let prepare = start("journal-prepare", |it| it.spares.keep_ready(it))?;
            handle.behind.lock().push(prepare);
            let seal = start("journal-seal", Shared::keep_maintaining)?;
            handle.behind.lock().push(seal);
            let commit = start("journal-commit", Shared::keep_committing)?;
            *handle.committing.lock() = Some(commit);
        }
        Ok(Journal { handle: Arc::new(handle) })
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    /// Makes a stream; durable when it returns. If there is one of that name, it is updated.
    pub fn create_stream(&self, name: &Name, settings: StreamSettings) -> Result<StreamId, Error> {
        let shared = self.shared();
        let max = limits::SHARDS_MAX;
        if settings.shards == 0 || max < settings.shards {
            return Err(Error::ShardsInvalid { wanted: settings.shards, max });
        }
        let mut manifest = shared.manifest.lock();
        if let Some(stream) = self.stream(name) {
            drop(manifest);
            self.update_stream(stream, settings)?;
            return Ok(stream);
        }
        if limits::STREAMS_MAX <= manifest.streams.len() {
            return Err(Error::StreamsFull { max: limits::STREAMS_MAX });
        }
        let now_ms = shared.clock.now_ms();
        let entry = StreamEntry {
            id: manifest.stream_next,
            name: name.clone(),
            created_ms: now_ms,
            declared: settings.declared,
            shards_wanted: settings.shards,
            on_demand: settings.on_demand,
            replay_ms: settings.replay.as_millis(),
            replay_bytes: settings.replay_size.0,
            received_gone: 0,
            note: None,
            shards: first_shards(settings.shards, now_ms),
            holds: Default::default(),
        };
        shared.change_manifest(&mut manifest, |next| {
            next.stream_next += 1;
            next.streams.push(entry.clone());
        })?;
        shared.streams.write().add(&entry);
        Ok(StreamId(entry.id))
    }

    /// Changes what a stream was made with; durable when it returns. Another number of shards than
    /// it was told last splits and merges them.
    pub fn update_stream(&self, stream: StreamId, settings: StreamSettings) -> Result<(), Error> {
        let stream = self.shared().stream(stream)?;
        let StreamSettings { shards, on_demand, declared, replay, replay_size } = settings;
        let wanted_before = stream.kept.lock().shards;
        if shards != wanted_before && !on_demand {
            self.reshard(stream.id, |draft| draft.scale_to(shards))?;
        }
        let kept = Kept { shards, on_demand, declared, replay, replay_size };
        self.change(
            || {
                let mut now = stream.kept.lock();
                let before = *now;
                *now = kept;
                (before != kept).then_some(move |stream: &Stream| *stream.kept.lock() = before)
            },
            &stream,
        )
    }

    /// Changes the shards of a stream as `change` says, while it is written: all of it is durable
    /// when it returns, or none of it happened.
    pub fn reshard<T>(
        &self,
        stream: StreamId,
        change: impl FnOnce(&mut Draft<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.shared().reshard(stream, change)
    }

    /// Forgets a stream with all of its records; durable when it returns. A stream that is made
    /// under its name later is another one.
    pub fn delete_stream(&self, stream: StreamId) -> Result<(), Error> {
        self.shared().delete_stream(stream)
    }

    /// Returns what [`Journal::change_note`] remembered beside a stream.
    pub fn note(&self, stream: StreamId) -> Result<Option<Arc<str>>, Error> {
        Ok(self.shared().stream(stream)?.note.lock().clone())
    }

    /// Changes what is remembered beside a stream, a text that the journal does not look at; it is
    /// durable when this returns, and goes with the stream.
    ///
    /// One change happens after the other: `change` sees what the one before it made.
    pub fn change_note<T, E: From<Error>>(
        &self,
        stream: StreamId,
        change: impl FnOnce(Option<&str>) -> Result<(Option<String>, T), E>,
    ) -> Result<T, E> {
        let shared = self.shared();
        let mut manifest = shared.manifest.lock();
        let stream = shared.stream(stream)?;
        let before = stream.note.lock().clone();
        let (note, done) = change(before.as_deref())?;
        let max = limits::STREAM_NOTE_BYTES_MAX;
        if let Some(bytes) = note.as_ref().map(String::len).filter(|it| max < *it) {
            let stream = stream.name.as_str().to_owned();
            return Err(Error::NoteTooLarge { stream, bytes, max }.into());
        }
        if note.as_deref() == before.as_deref() {
            shared.check()?;
            return Ok(done);
        }
        *stream.note.lock() = note.map(Arc::from);
        if let Err(error) = shared.change_manifest(&mut manifest, |_| {}) {
            *stream.note.lock() = before;
            return Err(error.into());
        }
        Ok(done)
    }

    /// Makes a change of a stream durable; if that fails, what `change` returns undoes it. Without
    /// something to undo there was no change.
    fn change<Undo: FnOnce(&Stream)>(
        &self,
        change: impl FnOnce() -> Option<Undo>,
        stream: &Stream,
    ) -> Result<(), Error> {
        let shared = self.shared();
        let mut manifest = shared.manifest.lock();
        let Some(undo) = change() else { return shared.check() };
        let changed = shared.change_manifest(&mut manifest, |_| {});
        if changed.is_err() {
            undo(stream);
        }
        changed
    }

    /// Returns what is known of every stream, by id.
    pub fn streams(&self) -> Vec<StreamInfo> {
        let streams: Vec<_> = self.shared().streams.read().by_id.values().cloned().collect();
        streams.iter().map(|it| it.info()).collect()
    }

    /// Returns the id of the stream of that name.
    pub fn stream(&self, name: &str) -> Option<StreamId> {
        self.shared().streams.read().by_name.get(name).copied()
    }

    /// Returns what is known of one stream.
    pub fn stream_info(&self, stream: StreamId) -> Result<StreamInfo, Error> {
        Ok(self.shared().stream(stream)?.info())
    }

    /// Returns what is known of one shard: as cheap for a stream of a thousand as for one.
    pub fn shard_info(&self, stream: StreamId, shard: ShardId) -> Result<ShardInfo, Error> {
        Ok(self.shared().stream(stream)?.shard(shard)?.info())
    }

    /// Returns the shard whose range of the hash space holds `key`.
    pub fn shard_of(&self, stream: StreamId, key: Key<'_>) -> Result<ShardId, Error> {
        let shards = self.shared().stream(stream)?.shards();
        // Hashing costs more than everything else a door does with a record.
        Ok(shards.only().unwrap_or_else(|| shards.shard_of(hash_of(key))))
    }

    /// Writes records down; returns when they are on disk. All of them are there, or none.
    ///
    /// A future that is dropped leaves open whether they are; an idempotency key settles it.
    pub async fn append(&self, append: Append) -> Result<Appended, Error> {
        let stream = append.stream;
        let outcome = self.append_routed(append).await?;
        self.appended(stream, outcome)
    }

    /// As [`Journal::append`]; gives the records back if a shard was split or merged after they were
    /// routed.
    pub async fn append_routed(&self, append: Append) -> Result<Outcome, Error> {
        let reply = self.enqueue(append)?;
        reply.await.unwrap_or(Err(Error::Closed))
    }

    /// As [`Journal::append`], for a thread that may block.
    pub fn append_blocking(&self, append: Append) -> Result<Appended, Error> {
        let stream = append.stream;
        let reply = self.enqueue(append)?;
        self.appended(stream, reply.blocking_recv().unwrap_or(Err(Error::Closed))?)
    }

    /// Starts several appends; with [`Threads::Caller`] they share one commit.
    pub fn append_together(&self, appends: Vec<Append>) -> Vec<Result<Appended, Error>> {
        let shared = self.shared();
        let replies: Vec<_> =
            appends.into_iter().map(|it| (it.stream, shared.enqueue(it))).collect();
        if shared.settings.threads == Threads::Caller {
            while shared.commit_waiting() {}
        }
        let wait =
            |reply: crate::commit::Reply| reply.blocking_recv().unwrap_or(Err(Error::Closed));
        let answers = replies.into_iter().map(|(stream, reply)| {
            let outcome = reply.and_then(wait)?;
            self.appended(stream, outcome)
        });
        answers.collect()
    }

    fn appended(&self, stream: StreamId, outcome: Outcome) -> Result<Appended, Error> {
        match outcome {
            Outcome::Appended(appended) => Ok(appended),
            Outcome::Resharded(_) => {
                let stream = self.shared().stream(stream)?.name.as_str().to_owned();
                Err(Error::Resharded { stream })
            }
        }
    }

    fn enqueue(&self, append: Append) -> Result<crate::commit::Reply, Error> {
        let shared = self.shared();
        let reply = shared.enqueue(append)?;
        if shared.settings.threads == Threads::Caller {
            while shared.commit_waiting() {}
        }
        Ok(reply)
    }

    /// Reads committed records from `from` on: about `bytes_max`, at least one if there is one.
    ///
    /// It may read the disk when the reader fell behind, and never waits for a commit.
    pub fn read(
        &self,
        stream: StreamId,
        shard: ShardId,
        from: SequenceNumber,
        bytes_max: usize,
    ) -> Result<Frames, Error> {
        let shared = self.shared();
        crate::read::read(shared, shared.stream(stream)?.as_ref(), shard, from.0, bytes_max)
    }

    /// Waits until one of these shards has a record at its number or after it, or is gone, or a
    /// shard that was made after all of these has records.
    pub async fn wait(
        &self,
        stream: StreamId,
        past: &[(ShardId, SequenceNumber)],
    ) -> Result<(), Error> {
        let shared = self.shared();
        let stream = shared.stream(stream)?;
        let mut changed = stream.changed.subscribe();
        let mut failure = shared.failure.subscribe();
        loop {
            changed.mark_unchanged();
            failure.mark_unchanged();
            shared.check()?;
            if shared.is_stopping() {
                return Err(Error::Closed);
            }
            if stream.has_news(past) {
                return Ok(());
            }
            tokio::select! {
                done = changed.changed() => drop(done),
                done = failure.changed() => drop(done),
            }
        }
    }

    /// Returns a counter that changes with every commit to the stream, and can be waited for.
    pub fn changes(&self, stream: StreamId) -> Result<tokio::sync::watch::Receiver<u64>, Error> {
        Ok(self.shared().stream(stream)?.changed.subscribe())
    }

    /// Keeps retention from dropping what `reader` has not handed over; survives restarts.
    ///
    /// A new hold stands at the first record of each shard; one that was there stays where it is.
    /// A `Hold` that is dropped holds on; only [`Hold::release`] or [`Journal::release_hold`] gives
    /// it up.
    pub fn hold(&self, stream: StreamId, reader: &str) -> Result<Hold, Error> {
        let stream = self.shared().stream(stream)?;
        let max = limits::NAME_BYTES_MAX;
        if max < reader.len() {
            return Err(Error::KeyTooLong { bytes: reader.len(), max });
        }
        self.change(
            || {
                let mut holds = stream.holds.lock();
                if holds.contains_key(reader) {
                    return None;
                }
                let shards = stream.shards();
                let first = shards.all.iter().map(|it| (it.id, it.state.read().first));
                holds.insert(reader.to_owned(), first.collect());
                Some(|stream: &Stream| {
                    stream.holds.lock().remove(reader);
                })
            },
            &stream,
        )?;
        Ok(Hold { journal: self.clone(), stream, reader: reader.to_owned() })
    }

    /// Gives up the hold of a reader that is gone for good.
    pub fn release_hold(&self, stream: StreamId, reader: &str) -> Result<(), Error> {
        let stream = self.shared().stream(stream)?;
        self.change(
            || {
                let held = stream.holds.lock().remove(reader)?;
                Some(move |stream: &Stream| {
                    stream.holds.lock().insert(reader.to_owned(), held);
                })
            },
            &stream,
        )
    }

    /// Returns the place of the first record that arrived at or after `arrived_ms`, or the next.
    pub fn find_time(
        &self,
        stream: StreamId,
        shard: ShardId,
        arrived_ms: u64,
    ) -> Result<SequenceNumber, Error> {
        let shared = self.shared();
        let stream = shared.stream(stream)?;
        crate::read::find_time(shared, &stream, stream.shard(shard)?.as_ref(), arrived_ms)
    }

    /// Seals, drops what has expired, recycles; the journal's own thread does it in production.
    pub fn maintain(&self) -> Result<(), Error> {
        self.shared().maintain()
    }

    /// Returns why the journal stopped for good, if it did.
    pub fn failure(&self) -> Option<Error> {
        self.shared().refusal()
    }

    /// Waits until the journal has stopped for good: the program must end then.
    pub async fn failed(&self) -> Error {
        let mut failure = self.shared().failure.subscribe();
        let failed = failure.wait_for(Option::is_some).await;
        failed.ok().and_then(|it| it.clone()).unwrap_or(Error::Closed)
    }

    /// Returns counters.
    pub fn stats(&self) -> Stats {
        self.shared().stats()
    }

    /// Commits what waits, then stops; later appends answer [`Error::Closed`], reads go on.
    pub fn close(&self) {
        self.handle.close();
    }
}

impl Handle {
    fn close(&self) {
        let shared = &self.shared;
        shared.queue.lock().is_closed = true;
        shared.queue_changed.notify_all();
        if let Some(committing) = self.committing.lock().take() {
            // A panic of that thread was logged when it happened.
            drop(committing.join());
        }
        if !shared.stopping.swap(true, Ordering::AcqRel) {
            while shared.commit_waiting() {}
            shared.mark();
        }
        shared.spares.stop();
        shared.call_sealer();
        for thread in self.behind.lock().drain(..) {
            drop(thread.join());
        }
        for stream in shared.streams.read().by_id.values() {
            stream.changed.send_modify(|count| *count += 1);
        }
    }
}

/// Returns even shards of a new stream.
fn first_shards(count: u32, now_ms: u64) -> Vec<ShardEntry> {
    let ranges = split_evenly(count).into_iter().zip(0..);
    let shards = ranges.map(|((hash_start, hash_end), id)| ShardEntry {
        id,
        hash_start,
        hash_end,
        opened_ms: now_ms,
        ..ShardEntry::default()
    });
    shards.collect()
}

/// Refuses everything when a thread of the journal panics: producers must not wait for ever.
struct Watched(Arc<Shared>);

impl Drop for Watched {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let reason = "one of its threads panicked".to_owned();
            // The failure is told to everyone who asks; nobody asked here.
            drop(self.0.fail(Error::Failed { reason }));
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

/// Keeps records from `move_to`'s places on from being dropped.
#[derive(Debug)]
pub struct Hold {
    journal: Journal,
    stream: Arc<Stream>,
    reader: String,
}

impl Hold {
    /// Returns whose records it holds.
    pub fn stream(&self) -> StreamId {
        self.stream.id
    }

    /// Returns where it stands.
    pub fn place(&self, shard: ShardId) -> SequenceNumber {
        let holds = self.stream.holds.lock();
        let held = holds.get(&self.reader).and_then(|it| it.get(&shard));
        SequenceNumber(held.copied().unwrap_or(0))
    }

    /// Lets go of what is before `sequence`; a hold never moves back.
    ///
    /// The new place is remembered with the next change of the journal's manifest; after a crash an
    /// older one holds a little more.
    pub fn move_to(&self, shard: ShardId, sequence: SequenceNumber) {
        if self.stream.shard(shard).is_err() {
            return; // It is gone: nothing of it is left to hold.
        }
        let mut holds = self.stream.holds.lock();
        if let Some(held) = holds.get_mut(&self.reader) {
            let held = held.entry(shard).or_insert(0);
            *held = sequence.0.max(*held);
        }
    }

    /// Gives the hold up.
    pub fn release(self) -> Result<(), Error> {
        self.journal.release_hold(self.stream.id, &self.reader)
    }
}

#[cfg(test)]
mod tests;
