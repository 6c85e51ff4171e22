//! A disk in memory that fails as real ones do, the same way for the same seed.
//!
//! What was not synced survives a crash by chance: each sector of each write on its own, names in
//! a folder up to some point in time. Every change is numbered, so that a test can pull the plug
//! before any of them.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Disk, DiskFile};

/// A disk writes this much whole or not at all.
const SECTOR_BYTES: usize = 512;

/// A simulated disk. Clones are the same disk; [`SimulatedDisk::crash`] makes the old handles dead.
#[derive(Debug, Clone)]
pub struct SimulatedDisk {
    boot: u64,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    boot: u64,
    random: fastrand::Rng,
    files: Vec<FileState>,
    /// What a crash leaves of the names, at least.
    durable: BTreeMap<PathBuf, usize>,
    names: BTreeMap<PathBuf, usize>,
    /// Changes of names since the last sync of their folder, oldest first.
    unsynced: Vec<NameChange>,
    log: Vec<String>,
    operations: u64,
    stop_at: Option<u64>,
    capacity: u64,
    failing_syncs: Option<u64>,
}

#[derive(Debug, Default)]
struct FileState {
    durable: Vec<u8>,
    current: Vec<u8>,
    unsynced: Vec<Write>,
}

#[derive(Debug)]
enum Write {
    Bytes { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Debug, Clone)]
enum NameChange {
    Set(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            NameChange::Set(path, file) => {
                names.insert(path.clone(), *file);
            }
            NameChange::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            NameChange::Remove(path) => {
                names.remove(path);
            }
        }
    }

    fn folder(&self) -> Option<&Path> {
        match self {
            NameChange::Set(path, _) | NameChange::Rename(_, path) | NameChange::Remove(path) => {
                path.parent()
            }
        }
    }
}

impl SimulatedDisk {
    /// Makes an empty disk.
    pub fn new(seed: u64) -> SimulatedDisk {
        let state = State {
            boot: 0,
            random: fastrand::Rng::with_seed(seed),
            files: Vec::new(),
            durable: BTreeMap::new(),
            names: BTreeMap::new(),
            unsynced: Vec::new(),
            log: Vec::new(),
            operations: 0,
            stop_at: None,
            capacity: u64::MAX,
            failing_syncs: None,
        };
        SimulatedDisk { boot: 0, state: Arc::new(Mutex::new(state)) }
    }

    /// Returns the disk as another crate's [`Disk`].
    pub fn as_disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// Cuts the power: unsynced writes survive by chance, torn and out of order; every handle made
    /// before fails from now on. Returns the disk after the restart.
    #[must_use]
    pub fn crash(&self) -> SimulatedDisk {
        let mut state = self.state.lock();
        let state = &mut *state;
        state.boot += 1;
        state.stop_at = None;
        state.failing_syncs = None;
        let survivors = state.random.usize(0..=state.unsynced.len());
        for change in state.unsynced.drain(..).take(survivors) {
            change.apply(&mut state.durable);
        }
        state.names = state.durable.clone();
        for file in &mut state.files {
            file.crash(&mut state.random);
        }
        state.log.push(format!("crash, {survivors} changes of names survived"));
        SimulatedDisk { boot: state.boot, state: Arc::clone(&self.state) }
    }

    /// Ends the program without cutting the power: what was written stays, synced or not.
    #[must_use]
    pub fn kill(&self) -> SimulatedDisk {
        let mut state = self.state.lock();
        state.boot += 1;
        state.stop_at = None;
        state.log.push("kill".to_owned());
        SimulatedDisk { boot: state.boot, state: Arc::clone(&self.state) }
    }

    /// Returns how many changing operations there were: writes, syncs, changes of names.
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// Makes the operation of this number, counted from the disk's beginning, and all after it
    /// fail as if the power were gone; the write among them may be done in part.
    pub fn stop_at(&self, operation: u64) {
        self.state.lock().stop_at = Some(operation);
    }

    /// Sets how many bytes all files together may take.
    pub fn set_capacity(&self, bytes: u64) {
        self.state.lock().capacity = bytes;
    }

    /// Returns how many bytes all files take.
    pub fn used_bytes(&self) -> u64 {
        self.state.lock().used_bytes()
    }

    /// Makes each sync after `more` further ones fail and lose what it should have made durable.
    pub fn fail_syncs_after(&self, more: u64) {
        self.state.lock().failing_syncs = Some(more);
    }

    /// Flips one bit, on the platter and in the cache.
    pub fn flip(&self, path: &Path, offset: u64, bit: u8) -> bool {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(file) = state.names.get(path).and_then(|it| state.files.get_mut(*it)) else {
            return false;
        };
        let Ok(offset) = usize::try_from(offset) else { return false };
        let mask = 1 << (bit % 8);
        let mut flipped = false;
        for bytes in [&mut file.durable, &mut file.current] {
            if let Some(byte) = bytes.get_mut(offset) {
                *byte ^= mask;
                flipped = true;
            }
        }
        flipped
    }

    /// Returns the bytes of a file as a reader sees them.
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state.lock();
        let file = state.names.get(path).and_then(|it| state.files.get(*it))?;
        Some(file.current.clone())
    }

    /// Replaces the bytes of a file, durably: for tests of damage.
    pub fn set_contents(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state.lock();
        let file = match state.names.get(path) {
            Some(file) => *file,
            None => state.add_file(path),
        };
        state.durable.insert(path.to_owned(), file);
        if let Some(file) = state.files.get_mut(file) {
            file.current = bytes.to_vec();
            file.durable = bytes.to_vec();
            file.unsynced.clear();
        }
    }

    /// Returns the paths of all files, sorted.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state.lock().names.keys().cloned().collect()
    }

    /// Returns everything that was done, one line each: two runs of a seed give the same.
    pub fn log(&self) -> Vec<String> {
        self.state.lock().log.clone()
    }

    /// Begins a changing operation; fails if the power is gone.
    fn begin(&self, state: &mut State, what: impl FnOnce() -> String) -> io::Result<()> {
        self.check(state)?;
        let number = state.operations;
        state.operations += 1;
        state.log.push(format!("{number} {}", what()));
        if state.stop_at.is_some_and(|it| it <= number) { Err(no_power()) } else { Ok(()) }
    }

    fn check(&self, state: &State) -> io::Result<()> {
        let is_off = state.stop_at.is_some_and(|it| it < state.operations);
        if self.boot != state.boot || is_off { Err(no_power()) } else { Ok(()) }
    }

    fn open_file(&self, file: usize, path: &Path) -> Arc<dyn DiskFile> {
        Arc::new(SimulatedFile { disk: self.clone(), file, path: path.to_owned() })
    }
}

fn no_power() -> io::Error {
    io::Error::other("the power is gone")
}

impl State {
    fn used_bytes(&self) -> u64 {
        let named = self.names.values().filter_map(|it| self.files.get(*it));
        named.map(|it| it.current.len() as u64).sum()
    }

    fn add_file(&mut self, path: &Path) -> usize {
        self.files.push(FileState::default());
        let file = self.files.len() - 1;
        self.names.insert(path.to_owned(), file);
        file
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced.push(change);
    }

    fn file(&mut self, file: usize) -> io::Result<&mut FileState> {
        self.files.get_mut(file).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl FileState {
    fn crash(&mut self, random: &mut fastrand::Rng) {
        for write in std::mem::take(&mut self.unsynced) {
            match write {
                Write::Length(length) if random.bool() => self.durable.resize(length, 0),
                Write::Length(_) => {}
                Write::Bytes { offset, bytes } => tear(&mut self.durable, offset, &bytes, random),
            }
        }
        self.current = self.durable.clone();
    }
}

/// Lets some sectors of a write reach the platter.
fn tear(durable: &mut Vec<u8>, offset: usize, bytes: &[u8], random: &mut fastrand::Rng) {
    // A third is written whole, a third is lost, of a third any sectors survive.
    let fate = random.u8(0..3);
    let mut at = 0;
    while at < bytes.len() {
        let sector_end = ((offset + at) / SECTOR_BYTES + 1) * SECTOR_BYTES - offset;
        let end = sector_end.min(bytes.len());
        if fate == 0 || (fate == 1 && random.bool()) {
            put(durable, offset + at, bytes.get(at..end).unwrap_or_default());
        }
        at = end;
    }
}

fn put(to: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if to.len() < end {
        to.resize(end, 0);
    }
    if let Some(room) = to.get_mut(offset..end) {
        room.copy_from_slice(bytes);
    }
}

impl Disk for SimulatedDisk {
    fn create_folder(&self, _: &Path) -> io::Result<()> {
        self.check(&self.state.lock())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        self.begin(&mut state, || format!("create {}", path.display()))?;
        let file = state.add_file(path);
        state.change_name(NameChange::Set(path.to_owned(), file));
        Ok(self.open_file(file, path))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state.lock();
        self.check(&state)?;
        let file = state.names.get(path).copied();
        Ok(self.open_file(file.ok_or(io::ErrorKind::NotFound)?, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        self.begin(&mut state, || format!("rename {} {}", from.display(), to.display()))?;
        if !state.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_name(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        self.begin(&mut state, || format!("remove {}", path.display()))?;
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_name(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let state = self.state.lock();
        self.check(&state)?;
        let here = state.names.keys().filter(|it| it.parent() == Some(folder));
        Ok(here.filter_map(|it| Some(it.file_name()?.to_str()?.to_owned())).collect())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        self.begin(&mut state, || format!("sync folder {}", folder.display()))?;
        let state = &mut *state;
        let (here, elsewhere) = std::mem::take(&mut state.unsynced)
            .into_iter()
            .partition(|it: &NameChange| it.folder() == Some(folder));
        state.unsynced = elsewhere;
        for change in &here {
            change.apply(&mut state.durable);
        }
        Ok(())
    }

    fn random(&self) -> u64 {
        self.state.lock().random.u64(..)
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    file: usize,
    path: PathBuf,
}

impl DiskFile for SimulatedFile {
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        let bytes: Vec<u8> = parts.iter().flat_map(|it| it.iter().copied()).collect();
        let what = || {
            let (path, crc) = (self.path.display(), crc32c::crc32c(&bytes));
            format!("write {path} {offset}+{} {crc:08x}", bytes.len())
        };
        let begun = self.disk.begin(&mut state, what);
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let room = state.capacity.saturating_sub(state.used_bytes());
        let is_cut = begun.is_err() && self.disk.boot == state.boot;
        let length = state.file(self.file)?.current.len();
        let allowed = length.saturating_add(usize::try_from(room).unwrap_or(usize::MAX));
        let mut kept = bytes.len().min(allowed.saturating_sub(offset));
        if is_cut {
            kept = state.random.usize(0..=kept);
        } else if begun.is_err() {
            return begun;
        }
        let bytes = bytes.get(..kept).unwrap_or_default().to_vec();
        let is_short = kept < parts.iter().map(|it| it.len()).sum();
        let file = state.file(self.file)?;
        put(&mut file.current, offset, &bytes);
        file.unsynced.push(Write::Bytes { offset, bytes });
        begun?;
        if is_short { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.disk.state.lock();
        self.disk.check(&state)?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let current = &state.file(self.file)?.current;
        let here = current.get(offset.min(current.len())..).unwrap_or_default();
        let length = here.len().min(buffer.len());
        let from = here.get(..length).unwrap_or_default();
        buffer.get_mut(..length).unwrap_or_default().copy_from_slice(from);
        Ok(length)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        self.disk.begin(&mut state, || format!("sync {}", self.path.display()))?;
        if let Some(more) = state.failing_syncs {
            state.failing_syncs = Some(more.saturating_sub(1));
            if more == 0 {
                // As Linux does: the pages count as written from now on.
                state.file(self.file)?.unsynced.clear();
                return Err(io::Error::other("the disk is broken"));
            }
        }
        let file = state.file(self.file)?;
        file.unsynced.clear();
        file.durable.clone_from(&file.current);
        Ok(())
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        self.disk.begin(&mut state, || format!("allocate {} {bytes}", self.path.display()))?;
        let length = usize::try_from(bytes).map_err(io::Error::other)?;
        let room = state.capacity.saturating_sub(state.used_bytes());
        let file = state.file(self.file)?;
        let more = length.saturating_sub(file.current.len());
        if room < more as u64 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.current.resize(length.max(file.current.len()), 0);
        file.unsynced.push(Write::Length(length));
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        let mut state = self.disk.state.lock();
        self.disk.check(&state)?;
        Ok(state.file(self.file)?.current.len() as u64)
    }
}

#[cfg(test)]
mod tests;
