//! Bytes at places: what a file must offer to be looked at, wherever it lies.

use std::fs::File;
use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

/// Bytes that can be read at any place.
pub trait Source: Send + Sync {
    /// Returns how many there are.
    fn size(&self) -> u64;

    /// Reads up to `length` bytes from `offset`; fewer only where the end comes first.
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes>;

    /// Returns another handle to the same bytes.
    fn again(&self) -> Arc<dyn Source>;
}

impl Source for Bytes {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let begin = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        Ok(self.slice(begin..begin.saturating_add(length).min(self.len())))
    }

    fn again(&self) -> Arc<dyn Source> {
        Arc::new(self.clone())
    }
}

/// A file of this machine.
pub struct OnDisk {
    file: Arc<File>,
    size: u64,
}

impl OnDisk {
    /// Opens the file; what is added to it later is not seen.
    pub fn open(path: &Path) -> io::Result<OnDisk> {
        OnDisk::of(File::open(path)?)
    }

    /// Reads a file that is open, from its beginning.
    pub fn of(file: File) -> io::Result<OnDisk> {
        let size = file.metadata()?.len();
        Ok(OnDisk { file: Arc::new(file), size })
    }
}

impl Source for OnDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length.min(left)];
        let mut read = 0;
        while let Some(rest) = bytes.get_mut(read..).filter(|it| !it.is_empty()) {
            match self.file.read_at(rest, offset + read as u64) {
                Ok(0) => break,
                Ok(some) => read += some,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(read);
        Ok(Bytes::from(bytes))
    }

    fn again(&self) -> Arc<dyn Source> {
        Arc::new(OnDisk { file: Arc::clone(&self.file), size: self.size })
    }
}

/// A source as libraries read it from the front.
#[derive(Clone)]
pub struct Cursor {
    source: Arc<dyn Source>,
    at: u64,
    buffer: Bytes,
}

/// Bytes read ahead: enough that a local file costs few calls, little enough for a range request.
const AHEAD_BYTES: usize = 64 << 10;

impl Cursor {
    /// Begins at the front.
    pub fn new(source: Arc<dyn Source>) -> Cursor {
        Cursor { source, at: 0, buffer: Bytes::new() }
    }

    /// Returns how far reading has come.
    pub fn position(&self) -> u64 {
        self.at
    }
}

impl Read for Cursor {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let part = self.fill_buf()?;
        let length = part.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..length), part.get(..length)) {
            to.copy_from_slice(from);
        }
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Cursor {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.buffer.is_empty() {
            self.buffer = self.source.read_at(self.at, AHEAD_BYTES)?;
        }
        Ok(&self.buffer)
    }

    fn consume(&mut self, length: usize) {
        let length = length.min(self.buffer.len());
        self.buffer = self.buffer.slice(length..);
        self.at += length as u64;
    }
}

impl Seek for Cursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(back) => self.source.size().checked_add_signed(back),
            SeekFrom::Current(on) => self.at.checked_add_signed(on),
        };
        let at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let ahead = at.checked_sub(self.at).and_then(|it| usize::try_from(it).ok());
        self.buffer = match ahead.filter(|it| *it <= self.buffer.len()) {
            Some(ahead) => self.buffer.slice(ahead..),
            None => Bytes::new(),
        };
        self.at = at;
        Ok(at)
    }
}

/// A source as readers of Parquet and ORC want it.
#[derive(Clone)]
pub struct Chunks(pub Arc<dyn Source>);

impl Chunks {
    fn part(&self, start: u64, length: usize) -> io::Result<Bytes> {
        // Lengths come out of files: one that is wrong must not be asked of the memory.
        let is_inside = start.checked_add(length as u64).is_some_and(|it| it <= self.0.size());
        let part = if is_inside { self.0.read_at(start, length)? } else { Bytes::new() };
        if part.len() == length {
            Ok(part)
        } else {
            Err(io::Error::from(io::ErrorKind::UnexpectedEof))
        }
    }

    fn cursor_at(&self, start: u64) -> Cursor {
        Cursor { source: Arc::clone(&self.0), at: start, buffer: Bytes::new() }
    }
}

impl parquet::file::reader::Length for Chunks {
    fn len(&self) -> u64 {
        self.0.size()
    }
}

impl parquet::file::reader::ChunkReader for Chunks {
    type T = Cursor;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Cursor> {
        Ok(self.cursor_at(start))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        self.part(start, length).map_err(Into::into)
    }
}

impl orc_rust::reader::ChunkReader for Chunks {
    type T = Cursor;

    fn len(&self) -> u64 {
        self.0.size()
    }

    fn get_read(&self, offset_from_start: u64) -> io::Result<Cursor> {
        Ok(self.cursor_at(offset_from_start))
    }

    fn get_bytes(&self, offset_from_start: u64, length: u64) -> io::Result<Bytes> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.part(offset_from_start, length)
    }
}
