//! Segments: files of fixed size that commits are written into one after the other, then reused.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::Error;
use crate::disk::{Disk, DiskFile};
use crate::format::{HEADER_BYTES, SEGMENT_START, SegmentHeader};

/// How much one read of a segment takes from the disk.
const READ_BYTES: u64 = 1 << 20;

/// One segment. Whoever reads it holds it, and it is not reused before all have let go.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) generation: u64,
    pub(crate) path: PathBuf,
    pub(crate) salt: u32,
    pub(crate) bytes: u64,
    pub(crate) file: Arc<dyn DiskFile>,
    end: AtomicU64,
}

impl Segment {
    /// Returns where the synced commits end.
    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    pub(crate) fn set_end(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }

    /// Opens the segment of this generation; `bytes` is what its header says.
    pub(crate) fn open(disk: &dyn Disk, folder: &Path, generation: u64) -> Result<Segment, Error> {
        let path = folder.join(segment_name(generation));
        let of_io = |error: io::Error| Error::of_io(&path, &error);
        let file = disk.open(&path).map_err(of_io)?;
        let mut bytes = [0; HEADER_BYTES];
        let read = file.read_at(0, &mut bytes).map_err(of_io)?;
        let header = SegmentHeader::decode(bytes.get(..read).unwrap_or_default());
        let length = file.length().map_err(of_io)?;
        match header {
            Some(header) if header.generation == generation && header.bytes <= length => {
                Ok(Segment {
                    generation,
                    salt: header.salt(),
                    bytes: header.bytes,
                    file,
                    end: AtomicU64::new(SEGMENT_START),
                    path,
                })
            }
            _ => Err(Error::Damaged { file: path, offset: 0, what: "no segment header".into() }),
        }
    }

    /// Makes the segment of this generation, from `recycled` if there is one. It is durable, name
    /// and all, when this returns; nothing of it is left if it fails.
    pub(crate) fn prepare(
        disk: &dyn Disk,
        folder: &Path,
        generation: u64,
        bytes: u64,
        recycled: Option<&Path>,
    ) -> Result<Segment, Error> {
        let from = recycled.map_or_else(|| folder.join("segment.new"), Path::to_path_buf);
        let made = (|| {
            let file = if recycled.is_some() { disk.open(&from)? } else { disk.create(&from)? };
            if file.length()? < bytes {
                file.preallocate(bytes)?;
            }
            let header = SegmentHeader { generation, random: disk.random(), bytes };
            file.write_at(0, &[IoSlice::new(&header.encode())])?;
            file.sync()?;
            let path = folder.join(segment_name(generation));
            disk.rename(&from, &path)?;
            disk.sync_folder(folder)?;
            let end = AtomicU64::new(SEGMENT_START);
            Ok(Segment { generation, salt: header.salt(), bytes, file, end, path })
        })();
        made.map_err(|error: io::Error| {
            // A half-made file would only take the room that is missing.
            if let Err(error) = disk.remove(&from) {
                tracing::debug!(%error, "half-made segment not removed");
            }
            Error::of_io(&from, &error)
        })
    }

    /// Returns a view of the bytes before `end`.
    pub(crate) fn window(&self, end: u64) -> Window<'_> {
        Window::new(self.file.as_ref(), &self.path, end)
    }
}

/// Returns the name of the segment of this generation.
pub(crate) fn segment_name(generation: u64) -> String {
    format!("{generation:016}.journal")
}

/// Returns the name of a segment whose records lie elsewhere: its room is used again.
pub(crate) fn spare_name(generation: u64) -> String {
    format!("{generation:016}.spare")
}

/// Returns the generation in a name with this ending.
pub(crate) fn generation_in(name: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_suffix(ending)?;
    (digits.len() == 16).then(|| digits.parse().ok())?
}

/// Reads a file front to back in large pieces and hands out slices of them.
pub(crate) struct Window<'a> {
    file: &'a dyn DiskFile,
    path: &'a Path,
    end: u64,
    start: u64,
    chunk: Bytes,
    pub(crate) read_bytes: u64,
}

impl<'a> Window<'a> {
    pub(crate) fn new(file: &'a dyn DiskFile, path: &'a Path, end: u64) -> Window<'a> {
        let chunk = Bytes::new();
        Window { file, path, end, start: 0, chunk, read_bytes: 0 }
    }

    /// Returns `length` bytes at `offset`; `None` if the file ends before.
    pub(crate) fn bytes(&mut self, offset: u64, length: u64) -> Result<Option<Bytes>, Error> {
        if offset.checked_add(length).is_none_or(|it| self.end < it) {
            return Ok(None);
        }
        if let Some(slice) = self.slice(offset, length) {
            return Ok(Some(slice));
        }
        let wanted = length.max(READ_BYTES.min(self.end - offset));
        // Unless a slice of the last piece is still held, its room serves again.
        let mut chunk = std::mem::take(&mut self.chunk).try_into_mut().unwrap_or_default();
        chunk.resize(usize::try_from(wanted).unwrap_or(usize::MAX), 0);
        let read = self.file.read_at(offset, &mut chunk);
        let read = read.map_err(|error| Error::of_io(self.path, &error))?;
        chunk.truncate(read);
        self.read_bytes += read as u64;
        self.start = offset;
        self.chunk = chunk.freeze();
        Ok(self.slice(offset, length))
    }

    fn slice(&self, offset: u64, length: u64) -> Option<Bytes> {
        let start = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        (end <= self.chunk.len()).then(|| self.chunk.slice(start..end))
    }

    /// Returns the next place at or after `offset` where something may have been written.
    pub(crate) fn skip_hole(&self, offset: u64) -> Result<u64, Error> {
        let next = self.file.skip_hole(offset);
        Ok(next.map_err(|error| Error::of_io(self.path, &error))?.clamp(offset, self.end))
    }
}
