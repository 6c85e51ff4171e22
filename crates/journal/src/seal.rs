//! What happens behind the writer: segments are sealed, sealed files expire, room is used again.
//!
//! The order of sealing a segment, each step harmless if it is the last before a crash:
//! 1. one compressed file per stream and one of idempotency keys, synced, named, the folder synced;
//! 2. the manifest names them and says that the segment is not needed: from here on it is so;
//! 3. readers are sent to the files;
//! 4. when the last reader of the segment has gone, its room is used again.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{ShardId, Span};
use bytes::Bytes;

use crate::Error;
use crate::format::{CommitMark, FrameKind, HEADER_BYTES, Header, salt_of};
use crate::keys::{KeyFrame, is_expired};
use crate::manifest::{KeysEntry, Manifest, SealedEntry};
use crate::record::{Frame, is_payload};
use crate::sealed::{SealedFile, SealedWriter, sealed_name};
use crate::segment::{Segment, Window, spare_name};
use crate::settings::StreamId;
use crate::shared::Shared;
use crate::stream::{SealedRange, Stream};

/// The folder of sealed files in the journal's folder.
pub(crate) const SEALED_FOLDER: &str = "sealed";

/// How often the background thread looks for expired records.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A segment that is filled slowly is closed after this part of the shortest replay, so that its
/// records expire on time; but not sooner nor later than the bounds say.
const ROLL_PART: u32 = 8;
const ROLL_AFTER_MIN: Duration = Duration::from_secs(10);
const ROLL_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// How far the sealing thread steps back for the threads that take records in and compute: about a
/// quarter of a core is left to it when all are busy.
const NICE: i32 = 5;

/// The records of a segment by stream and shard: where each frame is.
type ByShard = BTreeMap<StreamId, BTreeMap<ShardId, Vec<(u64, Header)>>>;

/// What a segment holds.
struct Content {
    data: ByShard,
    keys: Vec<KeyFrame>,
    commit: u64,
}

impl Shared {
    /// Seals, drops what has expired, uses room again.
    pub(crate) fn maintain(&self) -> Result<(), Error> {
        let mut retiring = self.maintaining.lock();
        self.check()?;
        self.roll_when_old();
        // Retention first: on a full disk it makes the room that sealing needs.
        self.drop_expired()?;
        while let Some(segment) = self.oldest_closed() {
            self.seal(&segment)?;
            retiring.push(segment);
        }
        self.drop_expired()?;
        self.forget_shards()?;
        self.recycle(&mut retiring);
        Ok(())
    }

    /// Maintains until the journal stops; the body of the sealing thread.
    pub(crate) fn keep_maintaining(&self) {
        if let Err(error) = rustix::process::nice(NICE) {
            tracing::debug!(%error, "sealing runs at the usual priority");
        }
        let mut failed = false;
        while !self.is_stopping() {
            let maintained = self.maintain();
            match &maintained {
                Err(error) if !failed => tracing::warn!(%error, "sealing failed; trying on"),
                _ => {}
            }
            failed = maintained.is_err();
            let mut called = self.sealer_called.lock();
            if !*called && !self.is_stopping() {
                self.sealer_changed.wait_for(&mut called, LOOK_EVERY);
            }
            *called = false;
            drop(called);
            if failed && !self.is_stopping() {
                let mut called = self.sealer_called.lock();
                self.sealer_changed.wait_for(&mut called, Duration::from_secs(1));
            }
        }
    }

    fn oldest_closed(&self) -> Option<Arc<Segment>> {
        let segments = self.segments.lock();
        segments.front().filter(|_| 1 < segments.len()).map(Arc::clone)
    }

    fn roll_when_old(&self) {
        let streams = self.streams.read();
        let shortest = streams.by_id.values().map(|it| it.kept.lock().replay.0).min();
        drop(streams);
        let Some(shortest) = shortest else { return };
        let after = (shortest / ROLL_PART).clamp(ROLL_AFTER_MIN, ROLL_AFTER_MAX);
        let mut writer = self.writer.lock();
        let now_ms = self.clock.now_ms();
        let due = writer.segment_first_ms.map(|it| it.saturating_add(Span(after).as_millis()));
        if due.is_some_and(|due| due <= now_ms)
            && let Err(error) = writer.roll(self)
        {
            tracing::debug!(%error, "the segment stays open for now");
        }
    }

    fn seal(&self, segment: &Arc<Segment>) -> Result<(), Error> {
        let content = Content::read(segment)?;
        let folder = self.settings.folder.join(SEALED_FOLDER);
        let mut files = Vec::new();
        for (stream, shards) in &content.data {
            if self.stream(*stream).is_err() {
                continue; // It was deleted.
            }
            let path = folder.join(sealed_name(*stream, segment.generation));
            let written = self.write_sealed(segment, *stream, shards, &path);
            match written {
                Ok(file) => files.push(Arc::new(file)),
                Err(error) => {
                    self.remove_files(files.iter().map(|it| it.path.clone()));
                    return Err(error);
                }
            }
        }
        let keys = self.write_keys(segment, &content.keys)?;
        let synced = self.disk.sync_folder(&folder);
        synced.map_err(|error| Error::of_io(&folder, &error))?;
        let mut manifest = self.manifest.lock();
        self.change_manifest(&mut manifest, |next| {
            next.generation_first = segment.generation + 1;
            next.commit = content.commit;
            next.commit_end = segment.end();
            next.keys.extend(keys);
            for file in &files {
                name_file(next, file);
            }
        })?;
        for file in files {
            match self.stream(file.stream) {
                Ok(stream) => stream.add_sealed(&file, Some(segment)),
                // It was deleted meanwhile.
                Err(_) => self.remove_files([file.path.clone()]),
            }
        }
        let first = self.segments.lock().pop_front();
        assert!(first.is_some_and(|it| Arc::ptr_eq(&it, segment)), "one thread seals");
        Ok(())
    }

    fn write_sealed(
        &self,
        segment: &Segment,
        stream: StreamId,
        shards: &BTreeMap<ShardId, Vec<(u64, Header)>>,
        path: &Path,
    ) -> Result<SealedFile, Error> {
        let beside = path.with_extension("new");
        let disk = self.disk.as_ref();
        let written = (|| {
            let mut out = SealedWriter::create(disk, &beside, stream, segment.generation)?;
            match shards.first_key_value() {
                Some((shard, frames)) if shards.len() == 1 => {
                    add_in_order(&mut out, segment, *shard, frames)?;
                }
                _ => add_gathered(&mut out, segment, shards)?,
            }
            out.finish()?;
            let renamed = disk.rename(&beside, path);
            renamed.map_err(|error| Error::of_io(path, &error))?;
            SealedFile::open(disk, path, stream, segment.generation)
        })();
        if written.is_err() {
            self.remove_files([beside]);
        }
        written
    }

    fn write_keys(&self, segment: &Segment, keys: &[KeyFrame]) -> Result<Option<KeysEntry>, Error> {
        let now_ms = self.clock.now_ms();
        let kept = keys.iter().filter(|it| !is_expired(it.done.arrived_ms, now_ms));
        let generation = segment.generation;
        let mut bytes = Vec::new();
        let mut newest_ms = 0;
        for key in kept {
            bytes.extend_from_slice(&key.encode(0, keys_salt(generation)));
            newest_ms = newest_ms.max(key.done.arrived_ms);
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        let path = self.settings.folder.join(SEALED_FOLDER).join(keys_name(generation));
        let beside = path.with_extension("new");
        let written = (|| {
            let file = self.disk.create(&beside)?;
            file.write_at(0, &[IoSlice::new(&bytes)])?;
            file.sync()?;
            self.disk.rename(&beside, &path)
        })();
        if let Err(error) = written {
            self.remove_files([beside]);
            return Err(Error::of_io(&path, &error));
        }
        Ok(Some(KeysEntry { generation, bytes: bytes.len() as u64, newest_ms }))
    }

    fn drop_expired(&self) -> Result<(), Error> {
        let now_ms = self.clock.now_ms();
        let mut manifest = self.manifest.lock();
        let streams: Vec<Arc<Stream>> = self.streams.read().by_id.values().cloned().collect();
        let dropped: Vec<_> = streams.iter().map(|it| (it, it.expired(now_ms))).collect();
        let is_old = |it: &&KeysEntry| is_expired(it.newest_ms, now_ms);
        let keys: Vec<u64> = manifest.keys.iter().filter(is_old).map(|it| it.generation).collect();
        if keys.is_empty() && dropped.iter().all(|(_, files)| files.is_empty()) {
            return Ok(());
        }
        self.change_manifest(&mut manifest, |next| {
            next.keys.retain(|it| !keys.contains(&it.generation));
            for file in dropped.iter().flat_map(|(_, files)| files) {
                forget_file(next, file);
            }
        })?;
        drop(manifest);
        let folder = self.settings.folder.join(SEALED_FOLDER);
        self.remove_files(keys.iter().map(|generation| folder.join(keys_name(*generation))));
        for (stream, files) in dropped {
            for file in &files {
                stream.drop_sealed(file);
            }
            self.remove_files(files.iter().map(|it| it.path.clone()));
        }
        Ok(())
    }

    fn recycle(&self, retiring: &mut Vec<Arc<Segment>>) {
        let (free, held): (Vec<_>, Vec<_>) =
            std::mem::take(retiring).into_iter().partition(|it| Arc::strong_count(it) == 1);
        *retiring = held;
        for segment in free {
            let spare = self.settings.folder.join(spare_name(segment.generation));
            match self.disk.rename(&segment.path, &spare) {
                Ok(()) => self.spares.recycle(self, &spare, segment.bytes),
                Err(error) => tracing::warn!(%error, "sealed segment not recycled"),
            }
        }
    }

    /// Removes files that nothing names; what cannot be removed now is removed at the next start.
    pub(crate) fn remove_files(&self, paths: impl IntoIterator<Item = PathBuf>) {
        for path in paths {
            if let Err(error) = self.disk.remove(&path) {
                tracing::debug!(path = %path.display(), %error, "file not removed");
            }
        }
    }
}

fn name_file(manifest: &mut Manifest, file: &SealedFile) {
    let (stream, generation, bytes) = (file.stream.0, file.generation, file.bytes);
    let Some(entry) = manifest.stream_mut(file.stream) else { return };
    for (shard, _, end) in file.ranges() {
        if let Some(shard_entry) = entry.shard_mut(shard) {
            shard_entry.sealed = end;
            let arrived_ms = file.blocks_of(shard).last().map_or(0, |it| it.arrived_last_ms);
            shard_entry.arrived_ms = shard_entry.arrived_ms.max(arrived_ms);
        }
    }
    manifest.sealed.push(SealedEntry { stream, generation, bytes });
}

fn forget_file(manifest: &mut Manifest, file: &SealedFile) {
    let is_it = |it: &SealedEntry| it.stream == file.stream.0 && it.generation == file.generation;
    manifest.sealed.retain(|it| !is_it(it));
    let Some(entry) = manifest.stream_mut(file.stream) else { return };
    for (shard, _, end) in file.ranges() {
        if let Some(shard) = entry.shard_mut(shard) {
            shard.first = end;
        }
    }
}

impl Content {
    fn read(segment: &Segment) -> Result<Content, Error> {
        let end = segment.end();
        let mut window = segment.window(end);
        let mut content = Content { data: ByShard::new(), keys: Vec::new(), commit: 0 };
        let mut offset = crate::format::SEGMENT_START;
        while offset < end {
            let damaged = || damage(segment, offset);
            let header = window.bytes(offset, HEADER_BYTES as u64)?;
            let header = header.and_then(|it| Header::decode(&it, segment.salt));
            let header = header.ok_or_else(damaged)?;
            if header.kind == FrameKind::Data {
                let shards = content.data.entry(StreamId(header.stream)).or_default();
                shards.entry(ShardId(header.shard)).or_default().push((offset, header));
            } else if header.kind == FrameKind::Key {
                let length = u64::from(header.body_length);
                let body = window.bytes(offset + HEADER_BYTES as u64, length)?;
                let body = body.filter(|it| crc32c::crc32c(it) == header.body_crc);
                let key = body.and_then(|body| KeyFrame::decode(&header, &body));
                content.keys.push(key.ok_or_else(damaged)?);
            } else if let Some(mark) = CommitMark::of_header(&header) {
                content.commit = mark.number;
            }
            offset += header.frame_bytes();
        }
        Ok(content)
    }
}

/// Adds the frames of a stream's only shard, which lie one behind the other.
fn add_in_order(
    out: &mut SealedWriter,
    segment: &Segment,
    shard: ShardId,
    frames: &[(u64, Header)],
) -> Result<(), Error> {
    let mut window = segment.window(segment.end());
    for (offset, header) in frames {
        out.add(shard, &read_frame(segment, &mut window, *offset, header)?)?;
    }
    Ok(())
}

/// Adds the frames of many shards, which lie between each other.
fn add_gathered(
    out: &mut SealedWriter,
    segment: &Segment,
    shards: &BTreeMap<ShardId, Vec<(u64, Header)>>,
) -> Result<(), Error> {
    for group in groups(shards) {
        for (shard, frame) in gather(segment, &group)? {
            out.add(shard, &frame)?;
        }
    }
    Ok(())
}

/// Bodies that are held while the frames of many shards, which lie between each other, are brought
/// into order. The segment is read from front to back once for each so many bytes of it: a read for
/// each frame takes a third of all work when there is one for each record.
const GATHERED_BYTES: u64 = 64 << 20;

/// A frame of a shard: where it is in the segment.
type FrameOf<'a> = (ShardId, u64, &'a Header);

/// Splits the frames of all shards, in their order, into parts that may be held at a time.
fn groups(shards: &BTreeMap<ShardId, Vec<(u64, Header)>>) -> Vec<Vec<FrameOf<'_>>> {
    let mut groups: Vec<Vec<FrameOf<'_>>> = vec![Vec::new()];
    let mut bytes = 0;
    for (shard, frames) in shards {
        for (offset, header) in frames {
            let length = u64::from(header.body_length);
            if GATHERED_BYTES < bytes + length && 0 < bytes {
                groups.push(Vec::new());
                bytes = 0;
            }
            bytes += length;
            groups.last_mut().expect("there is one").push((*shard, *offset, header));
        }
    }
    groups
}

/// Reads frames in the order in which they lie; returns them in the order in which they are given.
fn gather(segment: &Segment, group: &[FrameOf<'_>]) -> Result<Vec<(ShardId, Frame)>, Error> {
    let mut places = Vec::with_capacity(group.len());
    let mut end = 0;
    for (index, (_, offset, header)) in group.iter().enumerate() {
        places.push((*offset, index, end));
        end += header.body_length as usize;
    }
    places.sort_unstable();
    let mut gathered = vec![0; end];
    let mut window = segment.window(segment.end());
    for (offset, index, start) in &places {
        let Some((_, _, header)) = group.get(*index) else { continue };
        let frame = read_frame(segment, &mut window, *offset, header)?;
        let room = gathered.get_mut(*start..*start + frame.payload.len());
        room.expect("there is room for each").copy_from_slice(&frame.payload);
    }
    let gathered = Bytes::from(gathered);
    let mut start = 0;
    let frames = group.iter().map(|(shard, _, header)| {
        let end = start + header.body_length as usize;
        let payload = gathered.slice(start..end);
        start = end;
        let (base, count, arrived_ms) = (header.base, header.count, header.arrived_last_ms);
        (*shard, Frame { base, count, arrived_ms, payload })
    });
    Ok(frames.collect())
}

fn read_frame(
    segment: &Segment,
    window: &mut Window<'_>,
    offset: u64,
    header: &Header,
) -> Result<Frame, Error> {
    let body = window.bytes(offset + HEADER_BYTES as u64, u64::from(header.body_length))?;
    let body = body.filter(|it| crc32c::crc32c(it) == header.body_crc);
    let body = body.filter(|it| is_payload(it, header.count));
    let payload = body.ok_or_else(|| damage(segment, offset))?;
    let (base, count, arrived_ms) = (header.base, header.count, header.arrived_last_ms);
    Ok(Frame { base, count, arrived_ms, payload })
}

fn damage(segment: &Segment, offset: u64) -> Error {
    let what = "records that were acknowledged cannot be read for sealing".to_owned();
    Error::Damaged { file: segment.path.clone(), offset, what }
}

impl Stream {
    /// Sends readers to a sealed file instead of the segment it was made of.
    pub(crate) fn add_sealed(&self, file: &Arc<SealedFile>, of: Option<&Arc<Segment>>) {
        for (shard, _, end) in file.ranges() {
            let Ok(shard) = self.shard(shard) else { continue };
            let mut state = shard.state.write();
            if let Some(segment) = of {
                let range = state.live.pop_front();
                let range = range.filter(|it| Arc::ptr_eq(&it.segment, segment));
                state.bytes -= range.expect("segments are sealed in order").bytes;
            }
            state.bytes += file.shard_bytes(shard.id);
            state.sealed.push_back(SealedRange { end, file: Arc::clone(file) });
        }
        self.files.lock().push_back(Arc::clone(file));
    }

    /// Takes an expired file from the readers.
    fn drop_sealed(&self, file: &Arc<SealedFile>) {
        for (shard, _, end) in file.ranges() {
            let Ok(shard) = self.shard(shard) else { continue };
            let mut state = shard.state.write();
            let oldest = state.sealed.pop_front();
            assert!(oldest.is_some_and(|it| it.end == end), "files expire in order");
            state.bytes -= file.shard_bytes(shard.id);
            state.first = end;
        }
        self.files.lock().retain(|it| !Arc::ptr_eq(it, file));
    }

    /// Returns the files that age or size lets go, oldest first; never past a hold.
    fn expired(&self, now_ms: u64) -> Vec<Arc<SealedFile>> {
        let kept = *self.kept.lock();
        let files = self.files.lock();
        let mut bytes: u64 = files.iter().map(|it| it.bytes).sum();
        let mut expired = Vec::new();
        for file in files.iter() {
            let until_ms = file.arrived_last_ms().saturating_add(kept.replay.as_millis());
            let is_over = until_ms <= now_ms || kept.replay_size.0 < bytes;
            let is_held = file
                .ranges()
                .iter()
                .any(|(shard, _, end)| self.held_from(*shard).is_some_and(|held| held < *end));
            if !is_over || is_held {
                break;
            }
            bytes -= file.bytes;
            expired.push(Arc::clone(file));
        }
        expired
    }
}

/// Returns the name of a file of idempotency keys.
pub(crate) fn keys_name(generation: u64) -> String {
    format!("{generation:016}.keys")
}

/// Returns the salt of a file of idempotency keys.
pub(crate) fn keys_salt(generation: u64) -> u32 {
    salt_of(generation, u64::MAX)
}
