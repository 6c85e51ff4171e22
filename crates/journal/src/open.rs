//! Putting a journal together from what its folder holds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::Clock;
use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::watch;

use crate::Error;
use crate::commit::{Queue, Writer};
use crate::disk::Disk;
use crate::format::{HEADER_BYTES, Header, SEGMENT_START};
use crate::keys::{KeyFrame, Keys};
use crate::manifest::{KeysEntry, MANIFEST_NAME, Manifest};
use crate::recover::{Recovered, recover};
use crate::seal::{SEALED_FOLDER, keys_name, keys_salt};
use crate::sealed::{SealedFile, sealed_name};
use crate::segment::{Segment, Window, generation_in, spare_name};
use crate::settings::{Settings, StreamId};
use crate::shared::{Counters, Shared, Streams};
use crate::spare::{RECYCLED_MAX, Spares};

/// A segment must hold at least this: a few frames.
const SEGMENT_BYTES_MIN: u64 = 4 << 10;

pub(crate) fn open(
    settings: Settings,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
) -> Result<Shared, Error> {
    if settings.segment_bytes < SEGMENT_BYTES_MIN || !settings.segment_bytes.is_multiple_of(4_096) {
        let bytes = settings.segment_bytes;
        let what = format!("`segment_bytes` is a multiple of 4096, at least 4096, not {bytes}");
        return Err(Error::Settings(what));
    }
    let folder = Folder { disk: disk.as_ref(), path: &settings.folder };
    let names = folder.make()?;
    let mut manifest = folder.manifest(&names)?;
    let mut streams = Streams::default();
    for entry in &manifest.streams {
        streams.add(entry);
    }
    folder.attach_sealed(&manifest, &streams)?;
    let mut keys = Keys::new(settings.keys_max);
    for entry in &manifest.keys {
        folder.read_keys(entry, &mut keys)?;
    }
    let segments = folder.segments(&manifest, &names)?;
    let newest = segments.last().map(|it| it.generation).max(newest_generation(&names));
    let mut generation_next = newest.map_or(manifest.generation_first, |it| it + 1);
    let segments = if segments.is_empty() {
        generation_next = manifest.generation_first;
        let first = folder.first_segment(&settings, generation_next)?;
        generation_next += 1;
        vec![first]
    } else {
        segments
    };
    if !manifest.started {
        manifest.started = true;
        manifest.store(disk.as_ref(), &settings.folder)?;
    }
    let recovered = recover(&manifest, segments, &streams, &mut keys)?;
    keys.expire(clock.now_ms());
    let recycled = folder.recycled(&names, &manifest)?;
    let spares = folder.spares(&recovered, recycled, &mut generation_next)?;
    Ok(assemble(settings, disk, clock, Parts { manifest, streams, keys, recovered, spares }))
}

struct Parts {
    manifest: Manifest,
    streams: Streams,
    keys: Keys,
    recovered: Recovered,
    spares: Spares,
}

fn assemble(
    settings: Settings,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    parts: Parts,
) -> Shared {
    let recovered = parts.recovered;
    let segment = recovered.segments.last().expect("recovery leaves a segment to write on");
    let writer = Writer {
        segment: Arc::clone(segment),
        offset: recovered.offset,
        synced: recovered.synced,
        number: recovered.commit,
        is_marked: recovered.commit == 0,
        arrived_ms: recovered.arrived_ms,
        segment_first_ms: recovered.segment_first_ms,
        keys: parts.keys,
        tail: Default::default(),
        tail_bytes: 0,
    };
    Shared {
        settings,
        disk,
        clock,
        maintaining: Mutex::default(),
        manifest: Mutex::new(parts.manifest),
        writer: Mutex::new(writer),
        spares: parts.spares,
        segments: Mutex::new(recovered.segments.into()),
        streams: RwLock::new(parts.streams),
        queue: Mutex::new(Queue::default()),
        queue_changed: Condvar::new(),
        sealer_called: Mutex::new(true),
        sealer_changed: Condvar::new(),
        stopping: Default::default(),
        failure: watch::Sender::new(None),
        counters: Counters::default(),
    }
}

fn newest_generation(names: &[String]) -> Option<u64> {
    names.iter().filter_map(|it| generation_in(it, ".journal")).max()
}

/// The journal's folder while it is being opened.
struct Folder<'a> {
    disk: &'a dyn Disk,
    path: &'a Path,
}

impl Folder<'_> {
    /// Makes the folder, sweeps what was half made, and returns the names in it.
    fn make(&self) -> Result<Vec<String>, Error> {
        let sealed = self.path.join(SEALED_FOLDER);
        for folder in [self.path, &sealed] {
            self.of_io(folder, self.disk.create_folder(folder))?;
            for name in self.of_io(folder, self.disk.list(folder))? {
                if name.ends_with(".new") {
                    let path = folder.join(name);
                    self.of_io(&path, self.disk.remove(&path))?;
                }
            }
        }
        self.of_io(self.path, self.disk.list(self.path))
    }

    fn of_io<T>(&self, path: &Path, done: std::io::Result<T>) -> Result<T, Error> {
        done.map_err(|error| Error::of_io(path, &error))
    }

    fn damaged(&self, name: impl AsRef<Path>, offset: u64, what: &str) -> Error {
        Error::Damaged { file: self.path.join(name), offset, what: what.to_owned() }
    }

    fn manifest(&self, names: &[String]) -> Result<Manifest, Error> {
        if let Some(manifest) = Manifest::load(self.disk, self.path)? {
            return Ok(manifest);
        }
        if newest_generation(names).is_some() {
            let what = "it is missing though there are segments; restore it from a copy";
            return Err(self.damaged(MANIFEST_NAME, 0, what));
        }
        let manifest = Manifest::fresh();
        manifest.store(self.disk, self.path)?;
        Ok(manifest)
    }

    /// Opens the sealed files that the manifest names and removes all others.
    fn attach_sealed(&self, manifest: &Manifest, streams: &Streams) -> Result<(), Error> {
        let folder = self.path.join(SEALED_FOLDER);
        let mut named = Vec::new();
        for entry in &manifest.sealed {
            let id = StreamId(entry.stream);
            let name = sealed_name(id, entry.generation);
            let path = folder.join(&name);
            let file = SealedFile::open(self.disk, &path, id, entry.generation)?;
            let stream = streams.get(id)?;
            let is_wrong = |(shard, base, _): &(base::ShardId, u64, u64)| {
                let Ok(shard) = stream.shard(*shard) else { return true };
                let state = shard.state.read();
                state.sealed.back().map_or(state.first, |it| it.end) != *base
            };
            if file.bytes != entry.bytes || file.ranges().iter().any(is_wrong) {
                let what = "it does not follow the sealed file before it";
                return Err(self.damaged(Path::new(SEALED_FOLDER).join(&name), 0, what));
            }
            stream.add_sealed(&Arc::new(file), None);
            named.push(name);
        }
        for stream in streams.by_id.values() {
            for shard in &stream.shards().all {
                let state = shard.state.read();
                if state.sealed.back().map_or(state.first, |it| it.end) != state.next {
                    let what = format!("records of {:?} before {} lack", stream.name, state.next);
                    return Err(self.damaged(SEALED_FOLDER, 0, &what));
                }
            }
        }
        named.extend(manifest.keys.iter().map(|it| keys_name(it.generation)));
        for name in self.of_io(&folder, self.disk.list(&folder))? {
            if !named.contains(&name) {
                let path = folder.join(name);
                self.of_io(&path, self.disk.remove(&path))?;
            }
        }
        Ok(())
    }

    fn read_keys(&self, entry: &KeysEntry, keys: &mut Keys) -> Result<(), Error> {
        let name = Path::new(SEALED_FOLDER).join(keys_name(entry.generation));
        let path = self.path.join(&name);
        let file = self.of_io(&path, self.disk.open(&path))?;
        let salt = keys_salt(entry.generation);
        let mut window = Window::new(file.as_ref(), &path, entry.bytes);
        let mut offset = 0;
        while offset < entry.bytes {
            let damaged = || self.damaged(&name, offset, "not an idempotency key");
            let header = window.bytes(offset, HEADER_BYTES as u64)?;
            let header = header.and_then(|it| Header::decode(&it, salt)).ok_or_else(damaged)?;
            let body_at = offset + HEADER_BYTES as u64;
            let body = window.bytes(body_at, u64::from(header.body_length))?;
            let body = body.filter(|it| crc32c::crc32c(it) == header.body_crc);
            let frame = body.and_then(|body| KeyFrame::decode(&header, &body));
            let frame = frame.ok_or_else(damaged)?;
            keys.insert(frame.stream, frame.key, frame.done);
            offset += header.frame_bytes();
        }
        Ok(())
    }

    /// Opens the segments that may hold something, oldest first.
    fn segments(&self, manifest: &Manifest, names: &[String]) -> Result<Vec<Arc<Segment>>, Error> {
        let first = manifest.generation_first;
        let mut generations: Vec<u64> =
            names.iter().filter_map(|it| generation_in(it, ".journal")).collect();
        generations.retain(|it| first <= *it);
        generations.sort_unstable();
        let mut segments = Vec::new();
        for (generation, wanted) in generations.iter().zip(first..) {
            if *generation != wanted {
                let name = crate::segment::segment_name(wanted);
                return Err(self.damaged(name, 0, "the segment is missing"));
            }
            segments.push(Arc::new(Segment::open(self.disk, self.path, *generation)?));
        }
        if segments.is_empty() && manifest.started {
            let name = crate::segment::segment_name(first);
            return Err(self.damaged(name, 0, "the segment is missing"));
        }
        Ok(segments)
    }

    fn first_segment(&self, settings: &Settings, generation: u64) -> Result<Arc<Segment>, Error> {
        let bytes = settings.segment_bytes;
        let first = Segment::prepare(self.disk, self.path, generation, bytes, None)?;
        first.set_end(SEGMENT_START);
        Ok(Arc::new(first))
    }

    /// Returns the files whose room can be used again; removes those that are too many.
    fn recycled(&self, names: &[String], manifest: &Manifest) -> Result<Vec<PathBuf>, Error> {
        let mut recycled = Vec::new();
        for name in names {
            let path = self.path.join(name);
            let is_spare = generation_in(name, ".spare").is_some();
            let sealed = generation_in(name, ".journal");
            let sealed = sealed.filter(|it| *it < manifest.generation_first);
            if let Some(generation) = sealed {
                let spare = self.path.join(spare_name(generation));
                self.of_io(&path, self.disk.rename(&path, &spare))?;
                recycled.push(spare);
            } else if is_spare {
                recycled.push(path);
            }
        }
        Ok(recycled)
    }

    fn spares(
        &self,
        recovered: &Recovered,
        mut recycled: Vec<PathBuf>,
        generation_next: &mut u64,
    ) -> Result<Spares, Error> {
        let mut unused = recovered.unused.iter();
        let next = unused.next().map(Arc::clone);
        for segment in unused {
            let spare = self.path.join(spare_name(segment.generation));
            self.of_io(&segment.path, self.disk.rename(&segment.path, &spare))?;
            recycled.push(spare);
        }
        if let Some(current) = recovered.segments.last() {
            *generation_next = next.as_ref().map_or(current.generation, |it| it.generation) + 1;
        }
        self.of_io(self.path, self.disk.sync_folder(self.path))?;
        while RECYCLED_MAX < recycled.len() {
            if let Some(path) = recycled.pop() {
                self.of_io(&path, self.disk.remove(&path))?;
            }
        }
        Ok(Spares::new(next, *generation_next, recycled))
    }
}
