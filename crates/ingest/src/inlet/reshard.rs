//! Changes of a stream's shards, as the doors make and see them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use base::ShardId;
use journal::{Draft, Frames, ShardInfo, StreamInfo};

use super::{Batch, Inlet, Slot, Stream};
use crate::refusal::Refusal;

/// Returns the shards that take records, in the order of their ranges.
pub(super) fn open_shards(info: &StreamInfo) -> Vec<Slot> {
    let slot =
        |it: &ShardInfo| Slot { hash_end: it.hash_end, shard: it.id, opened_ms: it.opened_ms };
    let mut shards: Vec<Slot> = info.open_shards().map(slot).collect();
    shards.sort_unstable_by_key(|it| it.hash_end);
    shards
}

impl Inlet {
    /// Changes the shards of a stream while it is written; durable when it returns.
    ///
    /// It waits for the disk: call it where a thread may block.
    pub(crate) fn reshard<T>(
        &self,
        stream: &Stream,
        change: impl FnOnce(&mut Draft<'_>) -> Result<T, journal::Error>,
    ) -> Result<T, Refusal> {
        let done = self.journal().reshard(stream.id, change)?;
        self.refresh(stream)?;
        Ok(done)
    }

    /// Forgets a stream with all of its records; durable when it returns.
    pub(crate) fn delete(&self, stream: &Stream) -> Result<(), Refusal> {
        self.journal().delete_stream(stream.id)?;
        let mut streams = self.shared.streams.write();
        if streams.get(&stream.name).is_some_and(|it| it.id == stream.id) {
            streams.remove(&stream.name);
        }
        Ok(())
    }

    /// Looks anew which shards a stream has.
    pub(super) fn refresh(&self, known: &Stream) -> Result<Arc<Stream>, Refusal> {
        let mut streams = self.shared.streams.write();
        // Under the lock, so that nobody puts older shards in the place of newer ones.
        let info = self.journal().stream_info(known.id)?;
        let now = streams.get(&known.name).filter(|it| it.id == known.id);
        let refreshed = Arc::new(now.map_or(known, |it| it.as_ref()).with_shards(&info));
        if now.is_some() {
            streams.insert(known.name.clone(), Arc::clone(&refreshed));
        }
        Ok(refreshed)
    }
}

impl Stream {
    fn with_shards(&self, info: &StreamInfo) -> Stream {
        Stream {
            id: self.id,
            name: self.name.clone(),
            is_declared: self.is_declared,
            doors: self.doors.clone(),
            key: self.key.clone(),
            shards: open_shards(info),
            turn: AtomicUsize::new(0),
            counters: Arc::clone(&self.counters),
            meter: self.meter.clone(),
            waiting: Arc::clone(&self.waiting),
        }
    }
}

impl Batch {
    /// Returns a batch of the same records, which the journal gave back, for the shards that there
    /// are now. What had one order keeps it.
    pub(super) fn routed_again(
        &self,
        stream: Arc<Stream>,
        records: &[(ShardId, Frames)],
    ) -> Result<Batch, Refusal> {
        let mut batch = Batch::new(stream, self.door, self.bytes_expected);
        let mut records: BTreeMap<ShardId, journal::Iter<'_>> =
            records.iter().map(|(shard, records)| (*shard, records.iter())).collect();
        let mut hashes = self.hashes.iter().peekable();
        for (index, slot) in self.slots.iter().enumerate() {
            let shard = self.stream.shard_at(*slot as usize);
            let record = records.get_mut(&shard).and_then(Iterator::next);
            let record = record.expect("the journal gives back what it was given");
            match hashes.next_if(|(at, _)| *at == index) {
                Some((_, hash)) => batch.push_hashed(record.key, *hash, record.bytes)?,
                None if record.key.is_empty() => batch.place(batch.turn, "", record.bytes)?,
                None => batch.place(batch.slot_of_key(record.key), record.key, record.bytes)?,
            }
        }
        Ok(batch)
    }
}
