//! What the journal's threads and callers share, and how it stops.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use base::{Clock, Name};
use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::watch;

use crate::Error;
use crate::commit::{Queue, Writer};
use crate::disk::Disk;
use crate::manifest::{Manifest, StreamEntry};
use crate::segment::Segment;
use crate::settings::{Settings, Stats, StreamId};
use crate::spare::Spares;
use crate::stream::Stream;

/// Locks are taken in the order `maintaining`, `manifest`, `writer`, `spares`, `segments`, `streams`, `queue`, a
/// shard's state; no lock but the first three is held during I/O.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    /// One at a time seals; here are the sealed segments that readers still hold.
    pub(crate) maintaining: Mutex<Vec<Arc<Segment>>>,
    /// As it is on disk.
    pub(crate) manifest: Mutex<Manifest>,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) spares: Spares,
    /// Segments whose records are not sealed, oldest first; the last is being written.
    pub(crate) segments: Mutex<VecDeque<Arc<Segment>>>,
    pub(crate) streams: RwLock<Streams>,
    pub(crate) queue: Mutex<Queue>,
    pub(crate) queue_changed: Condvar,
    /// Whether there may be something to seal.
    pub(crate) sealer_called: Mutex<bool>,
    pub(crate) sealer_changed: Condvar,
    pub(crate) stopping: AtomicBool,
    pub(crate) failure: watch::Sender<Option<Error>>,
    pub(crate) counters: Counters,
}

/// The streams by id and by name.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    pub(crate) by_id: BTreeMap<StreamId, Arc<Stream>>,
    pub(crate) by_name: HashMap<Name, StreamId>,
}

impl Streams {
    pub(crate) fn get(&self, stream: StreamId) -> Result<&Arc<Stream>, Error> {
        self.by_id.get(&stream).ok_or(Error::StreamMissing(stream))
    }

    /// Adds the stream that `entry` describes.
    pub(crate) fn add(&mut self, entry: &StreamEntry) {
        self.by_name.insert(entry.name.clone(), StreamId(entry.id));
        self.by_id.insert(StreamId(entry.id), Arc::new(Stream::new(entry)));
    }

    pub(crate) fn remove(&mut self, stream: &Stream) {
        self.by_id.remove(&stream.id);
        self.by_name.remove(&stream.name);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) records: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) appends: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) sync_us: AtomicU64,
    pub(crate) sync_us_max: AtomicU64,
    pub(crate) tail_bytes: AtomicU64,
    pub(crate) keys: AtomicU64,
    pub(crate) disk_read_bytes: AtomicU64,
}

impl Shared {
    pub(crate) fn stream(&self, stream: StreamId) -> Result<Arc<Stream>, Error> {
        self.streams.read().get(stream).map(Arc::clone)
    }

    /// Refuses everything from now on: what is on disk is unknown.
    pub(crate) fn fail(&self, error: Error) -> Error {
        let error = match error {
            Error::Failed { .. } => error,
            other => Error::Failed { reason: other.to_string() },
        };
        let is_first = self.failure.send_if_modified(|failure| {
            let is_first = failure.is_none();
            if is_first {
                *failure = Some(error.clone());
            }
            is_first
        });
        if is_first {
            tracing::error!(%error, "the journal stopped");
        }
        self.refuse_waiting(&error);
        error
    }

    /// Returns why everything is refused, if it is.
    pub(crate) fn refusal(&self) -> Option<Error> {
        self.failure.borrow().clone()
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.refusal().map_or(Ok(()), Err)
    }

    /// Makes what `change` makes of the manifest durable, then current.
    ///
    /// The caller holds the manifest's lock, so changes happen one after the other.
    pub(crate) fn change_manifest(
        &self,
        manifest: &mut Manifest,
        change: impl FnOnce(&mut Manifest),
    ) -> Result<(), Error> {
        self.check()?;
        let mut next = manifest.clone();
        for (id, stream) in &self.streams.read().by_id {
            if let Some(entry) = next.stream_mut(*id) {
                *entry = stream.entry(std::mem::take(&mut entry.shards));
            }
        }
        change(&mut next);
        let mut stored = next.store(self.disk.as_ref(), &self.settings.folder);
        if matches!(stored, Err(Error::Full { .. })) && self.spares.give_up_one(self) {
            // Retention frees room, and it must be able to say so on a full disk.
            stored = next.store(self.disk.as_ref(), &self.settings.folder);
        }
        match stored {
            Ok(()) => {
                *manifest = next;
                Ok(())
            }
            Err(error @ Error::Failed { .. }) => Err(self.fail(error)),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn call_sealer(&self) {
        *self.sealer_called.lock() = true;
        self.sealer_changed.notify_all();
    }

    pub(crate) fn stats(&self) -> Stats {
        let counters = &self.counters;
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (sealed_files, sealed_bytes) = {
            let manifest = self.manifest.lock();
            (manifest.sealed.len() as u64, manifest.sealed.iter().map(|it| it.bytes).sum())
        };
        Stats {
            records: of(&counters.records),
            bytes: of(&counters.bytes),
            appends: of(&counters.appends),
            commits: of(&counters.commits),
            sync_us: of(&counters.sync_us),
            sync_us_max: of(&counters.sync_us_max),
            pending_bytes: self.queue.lock().bytes as u64,
            tail_bytes: of(&counters.tail_bytes),
            segments: self.segments.lock().len() as u64,
            sealed_files,
            sealed_bytes,
            keys: of(&counters.keys),
            disk_read_bytes: of(&counters.disk_read_bytes),
        }
    }
}
