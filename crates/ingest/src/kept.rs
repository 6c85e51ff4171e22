//! Small facts that clients made and a restart must not lose: one JSON file each, written whole.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use journal::RealDisk;
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
        let file = disk.open(&self.file()).map_err(|it| self.fault(&it, false))?;
        let length = file.length().map_err(|it| self.fault(&it, false))?;
        if BYTES_MAX < length {
            return Err(self.fault(&"the file is too large to be what was kept", true));
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        let mut at = 0;
        while let Some(rest) = bytes.get_mut(at..).filter(|it| !it.is_empty()) {
            match file.read_at(at as u64, rest).map_err(|it| self.fault(&it, false))? {
                0 => return Err(self.fault(&"the file is shorter than it was", true)),
                read => at += read,
            }
        }
        serde_json::from_slice(&bytes).map(Some).map_err(|it| self.fault(&it, true))
    }

    /// Writes beside the file, then in its place: a crash leaves one or the other.
    fn write(&self, value: &impl Serialize) -> Result<(), KeptFault> {
        let bytes = serde_json::to_vec_pretty(value).map_err(|it| self.fault(&it, false))?;
        let part = self.folder.join(format!("{}.part", self.name));
        let disk = RealDisk::new();
        let written = disk.create(&part).and_then(|file| {
            file.write_at(0, &[IoSlice::new(&bytes)])?;
            file.sync()
        });
        let moved = written.and_then(|()| disk.rename(&part, &self.file()));
        let synced = moved.and_then(|()| disk.sync_folder(&self.folder));
        synced.map_err(|it| self.fault(&it, false))
    }
}

#[cfg(test)]
mod tests;
