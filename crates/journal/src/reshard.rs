//! Splitting and merging the shards of a stream while it is written.
//!
//! A shard that is split or merged is closed: it takes no more records, keeps those it has, and has
//! children that take the records of its range from then on. The order of the steps, each harmless
//! if it is the last before a crash:
//! 1. no commit is under way: the writer is held;
//! 2. the manifest says which shards are closed and which there are now: from here on it is so;
//! 3. appends and readers see the new shards; appends that were prepared for a closed shard are
//!    given back, to be routed again.
//!
//! INVARIANT: a child has a larger id than its parents, and has no record before they are closed. So
//! who reads the parents to their end before the child sees each key in order.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::{ShardId, limits};

use crate::Error;
use crate::hash::split_evenly;
use crate::manifest::{ShardEntry, StreamEntry};
use crate::settings::StreamId;
use crate::shared::Shared;
use crate::stream::{Shards, Stream};

/// A child counts as opened at least this long after its parents, so that moments in seconds order
/// them too.
const OPENED_APART_MS: u64 = 1_000;

/// The shards of a stream, to be changed: all changes are made together or not at all.
#[derive(Debug)]
pub struct Draft<'a> {
    stream: &'a str,
    now_ms: u64,
    shards: Vec<ShardEntry>,
}

/// The part of the hash space that an open shard has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenShard {
    /// The shard.
    pub id: ShardId,
    /// The first place that belongs to it.
    pub hash_start: u128,
    /// The last place that belongs to it.
    pub hash_end: u128,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(stream: &'a str, now_ms: u64, shards: Vec<ShardEntry>) -> Draft<'a> {
        Draft { stream, now_ms, shards }
    }

    /// Returns the shards that take records, in the order of their ranges.
    pub fn open(&self) -> Vec<OpenShard> {
        let open = self.shards.iter().filter(|it| it.closed_ms.is_none());
        let mut open: Vec<OpenShard> = open
            .map(|it| OpenShard {
                id: ShardId(it.id),
                hash_start: it.hash_start,
                hash_end: it.hash_end,
            })
            .collect();
        open.sort_unstable_by_key(|it| it.hash_start);
        open
    }

    /// Splits a shard in two; the second one begins at `at`.
    pub fn split(&mut self, shard: ShardId, at: u128) -> Result<[ShardId; 2], Error> {
        let parent = self.open_shard(shard)?;
        if at <= parent.hash_start || parent.hash_end < at {
            let ShardEntry { hash_start, hash_end, .. } = parent;
            return Err(Error::SplitOutside { shard, at, hash_start, hash_end });
        }
        self.close(shard);
        let left = self.add(parent.hash_start, at - 1, [Some(parent), None]);
        let right = self.add(at, parent.hash_end, [Some(parent), None]);
        Ok([left, right])
    }

    /// Makes one shard of two whose ranges follow each other; `one` is the parent that is named
    /// first.
    pub fn merge(&mut self, one: ShardId, other: ShardId) -> Result<ShardId, Error> {
        let (parent, adjacent) = (self.open_shard(one)?, self.open_shard(other)?);
        let follows = |it: &ShardEntry, next: &ShardEntry| {
            it.hash_end.checked_add(1).is_some_and(|end| end == next.hash_start)
        };
        if !follows(&parent, &adjacent) && !follows(&adjacent, &parent) {
            return Err(Error::ShardsApart { one, other });
        }
        self.close(one);
        self.close(other);
        let start = parent.hash_start.min(adjacent.hash_start);
        let end = parent.hash_end.max(adjacent.hash_end);
        Ok(self.add(start, end, [Some(parent), Some(adjacent)]))
    }

    /// Splits and merges until there are `count` shards with even ranges.
    ///
    /// Shards in between are closed as soon as they are made, so that none has more than two
    /// parents.
    pub fn scale_to(&mut self, count: u32) -> Result<(), Error> {
        if count == 0 || limits::SHARDS_MAX < count {
            return Err(Error::ShardsInvalid { wanted: count, max: limits::SHARDS_MAX });
        }
        let wanted = split_evenly(count);
        for (start, _) in wanted.iter().skip(1) {
            let holds = |it: &OpenShard| it.hash_start < *start && *start <= it.hash_end;
            if let Some(shard) = self.open().into_iter().find(holds) {
                self.split(shard.id, *start)?;
            }
        }
        for (start, end) in wanted {
            let mut pieces = self.open();
            pieces.retain(|it| start <= it.hash_start && it.hash_end <= end);
            let mut pieces = pieces.into_iter().map(|it| it.id);
            let Some(mut whole) = pieces.next() else { continue };
            for piece in pieces {
                whole = self.merge(whole, piece)?;
            }
        }
        Ok(())
    }

    fn open_shard(&self, shard: ShardId) -> Result<ShardEntry, Error> {
        let found = self.shards.iter().find(|it| it.id == shard.0).copied();
        let found = found.ok_or_else(|| Error::ShardMissing {
            stream: self.stream.to_owned(),
            shard,
            last: self.shards.last().map_or(0, |it| it.id),
        })?;
        if found.closed_ms.is_some() {
            return Err(Error::ShardClosed { stream: self.stream.to_owned(), shard });
        }
        Ok(found)
    }

    fn close(&mut self, shard: ShardId) {
        if let Some(entry) = self.shards.iter_mut().find(|it| it.id == shard.0) {
            entry.closed_ms = Some(self.now_ms);
        }
    }

    fn add(&mut self, start: u128, end: u128, parents: [Option<ShardEntry>; 2]) -> ShardId {
        let id = self.shards.last().map_or(0, |it| it.id + 1);
        let after = parents.iter().flatten().map(|it| it.opened_ms + OPENED_APART_MS).max();
        let [parent, adjacent_parent] = parents.map(|it| it.map(|it| it.id));
        self.shards.push(ShardEntry {
            id,
            hash_start: start,
            hash_end: end,
            parent,
            adjacent_parent,
            opened_ms: after.unwrap_or(0).max(self.now_ms),
            ..ShardEntry::default()
        });
        ShardId(id)
    }

    fn check(self, before: &[ShardEntry]) -> Result<Option<Vec<ShardEntry>>, Error> {
        if self.shards == before {
            return Ok(None);
        }
        let open = self.shards.iter().filter(|it| it.closed_ms.is_none()).count();
        let open = u32::try_from(open).unwrap_or(u32::MAX);
        if limits::SHARDS_MAX < open {
            return Err(Error::ShardsInvalid { wanted: open, max: limits::SHARDS_MAX });
        }
        if limits::SHARDS_KEPT_MAX < self.shards.len() {
            let stream = self.stream.to_owned();
            return Err(Error::ShardsFull { stream, max: limits::SHARDS_KEPT_MAX });
        }
        Ok(Some(self.shards))
    }
}

impl Shared {
    /// Makes what `change` makes of a stream's shards durable, then current.
    pub(crate) fn reshard<T>(
        &self,
        stream: StreamId,
        change: impl FnOnce(&mut Draft<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut manifest = self.manifest.lock();
        let stream = self.stream(stream)?;
        let missing = Error::StreamMissing(stream.id);
        let before = manifest.stream(stream.id).map(|it| it.shards.clone()).ok_or(missing)?;
        let mut draft = Draft::new(&stream.name, self.clock.now_ms(), before.clone());
        let done = change(&mut draft)?;
        let Some(shards) = draft.check(&before)? else {
            self.check()?;
            return Ok(done);
        };
        // No commit is under way until appends see the new shards. It waits for the manifest, a
        // few syncs, which is what resharding costs those who write.
        let writer = self.writer.lock();
        self.change_manifest(&mut manifest, |next| {
            if let Some(entry) = next.stream_mut(stream.id) {
                put_shards(entry, &stream, shards.clone());
            }
        })?;
        stream.set_shards(&shards);
        drop(writer);
        drop(manifest);
        stream.changed.send_modify(|count| *count += 1);
        Ok(done)
    }

    /// Forgets a stream with all of its records; durable when it returns.
    pub(crate) fn delete_stream(&self, stream: StreamId) -> Result<(), Error> {
        let mut manifest = self.manifest.lock();
        let stream = self.stream(stream)?;
        let writer = self.writer.lock();
        self.change_manifest(&mut manifest, |next| {
            next.streams.retain(|it| it.id != stream.id.0);
            next.sealed.retain(|it| it.stream != stream.id.0);
        })?;
        stream.is_deleted.store(true, Ordering::Release);
        self.streams.write().remove(&stream);
        drop(writer);
        let files = stream.forget_records();
        drop(manifest);
        self.remove_files(files.iter().map(|it| it.path.clone()));
        stream.changed.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Forgets the closed shards whose records are all gone, when nobody can ask for them any more.
    pub(crate) fn forget_shards(&self) -> Result<(), Error> {
        let now_ms = self.clock.now_ms();
        let mut manifest = self.manifest.lock();
        let streams: Vec<Arc<Stream>> = self.streams.read().by_id.values().cloned().collect();
        let forgotten: Vec<(Arc<Stream>, Vec<ShardId>)> = streams
            .into_iter()
            .map(|stream| (Arc::clone(&stream), stream.spent_shards(now_ms)))
            .filter(|(_, shards)| !shards.is_empty())
            .collect();
        if forgotten.is_empty() {
            return Ok(());
        }
        let received = |stream: &Stream, shards: &[ShardId]| -> u64 {
            let of = |it: &ShardId| stream.shard(*it).map_or(0, |it| it.state.read().next);
            shards.iter().map(of).sum()
        };
        let mut kept = Vec::with_capacity(forgotten.len());
        self.change_manifest(&mut manifest, |next| {
            for (stream, shards) in &forgotten {
                let Some(entry) = next.stream_mut(stream.id) else { continue };
                let mut left = std::mem::take(&mut entry.shards);
                left.retain(|it| !shards.contains(&ShardId(it.id)));
                entry.received_gone += received(stream, shards);
                kept.push(left.clone());
                put_shards(entry, stream, left);
            }
        })?;
        for ((stream, shards), left) in forgotten.iter().zip(kept) {
            stream.received_gone.fetch_add(received(stream, shards), Ordering::Relaxed);
            stream.set_shards(&left);
        }
        Ok(())
    }
}

fn put_shards(entry: &mut StreamEntry, stream: &Stream, shards: Vec<ShardEntry>) {
    entry.holds = stream.held(&shards);
    entry.shards = shards;
}

impl Stream {
    /// Shows the shards that the manifest names; what is known of those that were there is kept.
    fn set_shards(&self, entries: &[ShardEntry]) {
        let before = self.shards();
        let shards = entries.iter().map(|entry| match before.shard(ShardId(entry.id)) {
            Some(known) => {
                known.closed_ms.store(entry.closed_ms.unwrap_or(0), Ordering::Release);
                Arc::clone(known)
            }
            None => Arc::new(crate::stream::Shard::new(entry)),
        });
        let shards = Shards::new(shards.collect());
        for held in self.holds.lock().values_mut() {
            held.retain(|shard, _| shards.shard(*shard).is_some());
        }
        *self.shards.write() = Arc::new(shards);
    }

    /// Returns the closed shards that have no record any more, were closed longer ago than records
    /// are kept, and whose parents are gone too: a reader that has not come to these must find the
    /// way from them to their children.
    fn spent_shards(&self, now_ms: u64) -> Vec<ShardId> {
        let kept_ms = self.kept.lock().replay.as_millis();
        let shards = self.shards();
        let mut spent: Vec<ShardId> = Vec::new();
        for shard in &shards.all {
            let closed_ms = shard.closed_ms.load(Ordering::Acquire);
            let is_recent = now_ms < closed_ms.saturating_add(kept_ms);
            let is_there = |it: &ShardId| shards.shard(*it).is_some() && !spent.contains(it);
            let has_parents = shard.parent.iter().chain(&shard.adjacent_parent).any(is_there);
            if closed_ms == 0 || is_recent || has_parents {
                continue;
            }
            let (first, next) = {
                let state = shard.state.read();
                (state.first, state.next)
            };
            if first == next && self.held_from(shard.id).is_none_or(|held| next <= held) {
                spent.push(shard.id);
            }
        }
        spent
    }
}

#[cfg(test)]
mod tests;
