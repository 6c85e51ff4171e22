//! Small facts that clients made and a restart must not lose: one JSON file each, written whole.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use journal::{DiskFile, RealDisk};
use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value that lies in a file; in memory only until [`Kept::open`] says where.
#[derive(Debug, Default)]
pub(crate) struct Kept<T> {
    value: RwLock<Arc<T>>,
    /// Held over a change, so that changes follow each other on disk as in memory.
    place: Mutex<Option<Place>>,
}

#[derive(Debug, Clone)]
struct Place {
    folder: PathBuf,
    name: &'static str,
}

/// What was kept cannot be read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {reason}", file.display())]
pub struct KeptFault {
    file: PathBuf,
    reason: String,
    pub(crate) is_damage: bool,
}

/// A file larger than this is not ours.
const BYTES_MAX: u64 = 64 << 20;

impl KeptFault {
    pub(crate) fn io(file: &Path, error: &io::Error) -> KeptFault {
        KeptFault { file: file.to_owned(), reason: error.to_string(), is_damage: false }
    }
}

/// Reads a file that is there.
pub(crate) fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, KeptFault> {
    let fault = |error: io::Error| KeptFault::io(path, &error);
    let damage = |reason: &str| {
        Err(KeptFault { file: path.to_owned(), reason: reason.to_owned(), is_damage: true })
    };
    let file = RealDisk::new().open(path).map_err(fault)?;
    let length = file.length().map_err(fault)?;
    if bytes_max < length {
        return damage("the file is too large to be what was kept");
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let read = file.read_at(0, &mut bytes).map_err(fault)?;
    if read < bytes.len() { damage("the file is shorter than it was") } else { Ok(bytes) }
}

impl<T: Serialize + DeserializeOwned + Default + Clone> Kept<T> {
    /// Reads what lies in `folder`, and keeps changes there from now on.
    pub(crate) fn open(&self, folder: &Path, name: &'static str) -> Result<(), KeptFault> {
        let mut place = self.place.lock();
        let here = Place { folder: folder.to_owned(), name };
        let found = here.read::<T>()?;
        if let Some(found) = found {
            *self.value.write() = Arc::new(found);
        }
        *place = Some(here);
        Ok(())
    }

    /// Returns the value as it is now.
    pub(crate) fn now(&self) -> Arc<T> {
        Arc::clone(&self.value.read())
    }

    /// Changes the value; it is on disk when this returns. If `change` fails, nothing changes.
    pub(crate) fn change<R, E: From<KeptFault>>(
        &self,
        change: impl FnOnce(&mut T) -> Result<R, E>,
    ) -> Result<R, E> {
        let place = self.place.lock();
        let mut value = T::clone(&self.now());
        let done = change(&mut value)?;
        if let Some(place) = &*place {
            place.write(&value)?;
        }
        *self.value.write() = Arc::new(value);
        Ok(done)
    }
}

impl Place {
    fn file(&self) -> PathBuf {
        self.folder.join(self.name)
    }

    fn fault(&self, error: &impl ToString, is_damage: bool) -> KeptFault {
        KeptFault { file: self.file(), reason: error.to_string(), is_damage }
    }

    fn read<T: DeserializeOwned>(&self) -> Result<Option<T>, KeptFault> {
        let disk = RealDisk::new();
        disk.create_folder(&self.folder).map_err(|it| self.fault(&it, false))?;
        let names = disk.list(&self.folder).map_err(|it| self.fault(&it, false))?;
        if !names.iter().any(|it| it == self.name) {
            return Ok(None);
        }
        let bytes = read_file(&self.file(), BYTES_MAX)?;
        serde_json::from_slice(&bytes).map(Some).map_err(|it| self.fault(&it, true))
    }

    fn write(&self, value: &impl Serialize) -> Result<(), KeptFault> {
        let bytes = serde_json::to_vec_pretty(value).map_err(|it| self.fault(&it, false))?;
        let written = replace_file(&self.file(), &bytes);
        written.map(|_file| ()).map_err(|it| self.fault(&it, false))
    }
}

/// Writes beside a file, then in its place: a crash leaves one or the other.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<Arc<dyn DiskFile>> {
    let disk = RealDisk::new();
    let mut part = path.to_owned().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let file = disk.create(&part)?;
    file.write_at(0, &[IoSlice::new(bytes)])?;
    file.sync()?;
    disk.rename(&part, path)?;
    disk.sync_folder(path.parent().unwrap_or_else(|| Path::new(".")))?;
    Ok(file)
}

#[cfg(test)]
mod tests;
