//! What the journal needs of a disk, so that tests can replace it; and the real one.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno;

/// Buffers that one system call takes; Linux allows 1,024.
const BUFFERS_MAX: usize = 1_024;

/// A file system.
///
/// What callers may rely on: after `sync` of a file its contents survive a crash, after
/// `sync_folder` the names in that folder do; `rename` replaces its target at once or not at all.
/// Nothing else is durable, and unsynced writes may survive in any order, torn anywhere.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes a folder and its parents; not an error if it is there.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes a new file for reading and writing, or empties the one that is there.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name in the same file system, replacing what has that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Returns the names of the files in a folder, sorted.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Returns a number that no producer of records can guess.
    fn random(&self) -> u64;
}

/// An open file.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Writes all of `parts` from `offset` on. After an error any part of it may be written.
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()>;
    /// Reads up to the length of `buffer` from `offset` on; less only at the end of the file.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Makes contents and length durable.
    fn sync(&self) -> io::Result<()>;
    /// Gives the file `bytes` of room, zeros where nothing was written.
    fn preallocate(&self, bytes: u64) -> io::Result<()>;
    /// Returns the file's length.
    fn length(&self) -> io::Result<u64>;
    /// Returns the next place at or after `offset` that may hold something else than zeros.
    fn skip_hole(&self, offset: u64) -> io::Result<u64> {
        Ok(offset)
    }
}

/// The disk of this machine.
#[derive(Debug, Default)]
pub struct RealDisk;

impl RealDisk {
    /// Returns the disk.
    #[expect(clippy::new_ret_no_self, reason = "a disk is only ever used behind the trait")]
    pub fn new() -> Arc<dyn Disk> {
        Arc::new(RealDisk)
    }
}

#[derive(Debug)]
struct RealFile(std::fs::File);

impl Disk for RealDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)?;
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => self.sync_folder(parent),
            _ => Ok(()),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = std::fs::OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let folder = rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        Ok(rustix::fs::fsync(folder)?)
    }

    fn random(&self) -> u64 {
        fastrand::u64(..)
    }
}

impl DiskFile for RealFile {
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let mut parts = parts.to_vec();
        let mut rest = parts.as_mut_slice();
        let mut offset = offset;
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let now = rest.get(..rest.len().min(BUFFERS_MAX)).unwrap_or_default();
            match rustix::io::pwritev(&self.0, now, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|it| !it.is_empty()) {
            match std::os::unix::fs::FileExt::read_at(&self.0, rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn sync(&self) -> io::Result<()> {
        // A failed sync is never retried, except when it did not begin.
        loop {
            match rustix::fs::fdatasync(&self.0) {
                Err(Errno::INTR) => {}
                done => return Ok(done?),
            }
        }
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        // A file system that finds out on the way takes the last room from all others meanwhile.
        let has = self.0.metadata()?.blocks().saturating_mul(512);
        let facts = rustix::fs::fstatvfs(&self.0)?;
        if facts.f_bavail.saturating_mul(facts.f_frsize) < bytes.saturating_sub(has) {
            return Err(Errno::NOSPC.into());
        }
        match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => Ok(()),
            // Some file systems cannot: then the room is claimed by writing zeros.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.fill(bytes),
            Err(error) => Err(error.into()),
        }
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn skip_hole(&self, offset: u64) -> io::Result<u64> {
        match rustix::fs::seek(&self.0, rustix::fs::SeekFrom::Data(offset)) {
            Ok(next) => Ok(next),
            Err(Errno::NXIO) => self.length(),
            // A file system that does not know holes has none to skip.
            Err(_) => Ok(offset),
        }
    }
}

impl RealFile {
    fn fill(&self, bytes: u64) -> io::Result<()> {
        let zeros = vec![0; 1 << 20];
        let mut offset = self.length()?;
        while offset < bytes {
            let length = usize::try_from(bytes - offset).unwrap_or(usize::MAX).min(zeros.len());
            self.write_at(offset, &[IoSlice::new(zeros.get(..length).unwrap_or_default())])?;
            offset += length as u64;
        }
        Ok(())
    }
}
