//! Groups and rows that do not fit in memory: files beside the checkpoint, read back part by part.
//!
//! Files of groups are named by the checkpoint as they are, so an epoch does not write them again;
//! files of rows only show what can be made again. A file is removed when nobody holds it and the
//! last checkpoint does not name it.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;
use base::{ByteSize, Epoch};
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use journal::{Disk, DiskFile};
use parking_lot::Mutex;
use rows::sink::Lot;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, Section, read_rows};
use crate::hot::compact;

pub(crate) mod exec;
pub(crate) mod shown;

/// Where a flow puts what does not fit in memory.
#[derive(Debug, Clone)]
pub(crate) struct Spills(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    flow: String,
    memory_bytes_max: usize,
    disk_bytes_max: u64,
    next: AtomicU64,
    live: Mutex<Live>,
}

/// The files that must stay: a hand-over sweeps while the flow goes on.
#[derive(Debug, Default)]
struct Live {
    written: HashSet<String>,
    /// Those that somebody may hold.
    held: BTreeMap<String, Weak<Spilled>>,
}

/// What a file is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Groups,
    Rows,
}

impl Of {
    fn infix(self) -> &'static str {
        match self {
            Of::Groups => "@groups-",
            Of::Rows => "@rows-",
        }
    }
}

/// A file of groups as a checkpoint names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    pub(crate) file: String,
    /// Where its sections are listed.
    pub(crate) index: Section,
}

/// The groups of one window that are on disk, as a checkpoint names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamedWindow {
    pub(crate) start: i64,
    /// What was written of the window before this epoch is in these files.
    pub(crate) since: Epoch,
    /// The oldest first: the states of a group are merged in this order.
    pub(crate) files: Vec<Named>,
}

/// A file of groups or rows.
#[derive(Debug)]
pub(crate) struct Spilled {
    name: String,
    path: PathBuf,
    /// It is opened for each reading: there may be more files than a process can have open.
    disk: Arc<dyn Disk>,
    list: List,
    index: Section,
    bytes: u64,
    is_durable: AtomicBool,
}

/// What a file consists of.
#[derive(Debug, Default, Serialize, Deserialize)]
struct List {
    /// Into how many parts groups are divided by their keys.
    parts: u32,
    sections: Vec<Listed>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    part: u32,
    rows: u64,
    section: Section,
}

impl Spills {
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        flow: &str,
        memory_bytes_max: usize,
        disk_bytes_max: u64,
    ) -> Spills {
        let (folder, flow) = (folder.to_owned(), flow.to_owned());
        let inner = Inner {
            disk,
            folder,
            flow,
            memory_bytes_max,
            disk_bytes_max,
            next: AtomicU64::new(0),
            live: Mutex::default(),
        };
        let numbers = inner.names().into_iter().filter_map(|it| it.1);
        let next = numbers.max().map_or(0, |it| it + 1);
        inner.next.store(next, Ordering::Relaxed);
        Spills(Arc::new(inner))
    }

    /// Returns how many bytes of state may be in memory.
    pub(crate) fn memory_bytes_max(&self) -> usize {
        self.0.memory_bytes_max
    }

    /// Begins a file.
    pub(crate) fn begin(&self, of: Of, schema: &SchemaRef, parts: u32) -> Result<Writer> {
        let inner = &self.0;
        let bytes = self.bytes();
        if inner.disk_bytes_max <= bytes {
            let max = ByteSize(inner.disk_bytes_max);
            return Err(DataFusionError::ResourcesExhausted(format!(
                "more than {max} of state are on disk; group by fewer values, or use shorter windows"
            )));
        }
        let number = inner.next.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{}{number}.bin", inner.flow, of.infix());
        let path = inner.folder.join(&name);
        let written = Written { spills: self.clone(), name };
        inner.live.lock().written.insert(written.name.clone());
        let file = inner.disk.create(&path).map_err(failed("make", &path))?;
        let list = List { parts, sections: Vec::new() };
        Ok(Writer { written, path, file, schema: Arc::clone(schema), list, length: 0 })
    }

    /// Opens a file of groups that a checkpoint in this folder names.
    pub(crate) fn take_up(&self, folder: &Path, named: &Named) -> Result<Arc<Spilled>> {
        let path = folder.join(&named.file);
        let file = self.0.disk.open(&path).map_err(failed("open", &path))?;
        let bytes = read_section(file.as_ref(), &path, named.index)?;
        let list = serde_json::from_slice(&bytes).map_err(|error| damaged(&path, &error))?;
        let spilled = Spilled {
            name: named.file.clone(),
            path,
            disk: Arc::clone(&self.0.disk),
            list,
            index: named.index,
            bytes: named.index.offset.saturating_add(named.index.length),
            is_durable: AtomicBool::new(true),
        };
        // Of another flow's or a build's file only a copy is sure to stay.
        if folder != self.0.folder || !spilled.name.starts_with(&format!("{}@", self.0.flow)) {
            return self.copy(&spilled);
        }
        Ok(self.hold(spilled))
    }

    fn copy(&self, other: &Spilled) -> Result<Arc<Spilled>> {
        let mut writer: Option<Writer> = None;
        for place in 0..other.sections() {
            let rows = other.read(place)?;
            let (Some(first), Some(listed)) = (rows.first(), other.list.sections.get(place)) else {
                continue;
            };
            let writer = match &mut writer {
                Some(writer) => writer,
                none => none.insert(self.begin(Of::Groups, &first.schema(), other.list.parts)?),
            };
            writer.push(listed.part, &rows)?;
        }
        match writer {
            Some(writer) => writer.finish(),
            None => Err(damaged(&other.path, &"it is empty")),
        }
    }

    fn hold(&self, spilled: Spilled) -> Arc<Spilled> {
        let spilled = Arc::new(spilled);
        self.0.live.lock().held.insert(spilled.name.clone(), Arc::downgrade(&spilled));
        spilled
    }

    /// Returns the bytes of all files that somebody holds.
    pub(crate) fn bytes(&self) -> u64 {
        let live = self.0.live.lock();
        live.held.values().filter_map(Weak::upgrade).map(|it| it.bytes).sum()
    }

    /// Makes files durable, with their names.
    pub(crate) fn sync(&self, files: &[Arc<Spilled>]) -> Result<()> {
        let new = files.iter().filter(|it| !it.is_durable.load(Ordering::Acquire));
        let new: Vec<&Arc<Spilled>> = new.collect();
        if new.is_empty() {
            return Ok(());
        }
        for file in &new {
            file.open()?.sync().map_err(failed("sync", &file.path))?;
        }
        let folder = &self.0.folder;
        self.0.disk.sync_folder(folder).map_err(failed("sync", folder))?;
        new.iter().for_each(|it| it.is_durable.store(true, Ordering::Release));
        Ok(())
    }

    /// Removes the files that nobody holds and this checkpoint, the last, does not name.
    pub(crate) fn sweep(&self, checkpoint: &Checkpoint) {
        let spilled = checkpoint.tables.values().flat_map(|it| &it.spilled);
        let named = spilled.flat_map(|it| &it.files).map(|it| it.file.as_str());
        let named: HashSet<&str> = named.collect();
        let names = self.0.names();
        let mut live = self.0.live.lock();
        for (name, _) in names {
            let is_held = live.held.get(&name).is_some_and(|it| 0 < it.strong_count());
            if is_held || live.written.contains(&name) || named.contains(name.as_str()) {
                continue;
            }
            live.held.remove(&name);
            if let Err(error) = self.0.disk.remove(&self.0.folder.join(&name)) {
                tracing::warn!(file = name, %error, "an old file of a flow cannot be removed");
            }
        }
    }
}

impl Inner {
    /// Returns the names of the flow's files, with their numbers.
    fn names(&self) -> Vec<(String, Option<u64>)> {
        let names = self.disk.list(&self.folder).unwrap_or_default().into_iter();
        let number = |name: &str| {
            let rest = name.strip_prefix(self.flow.as_str())?;
            let of = [Of::Groups, Of::Rows].into_iter();
            let rest = of.filter_map(|it| rest.strip_prefix(it.infix())).next()?;
            Some(rest.strip_suffix(".bin").and_then(|it| it.parse().ok()))
        };
        names.filter_map(|name| Some((number(&name)?, name))).map(|(it, name)| (name, it)).collect()
    }
}

/// Returns whether a file of this name is looked after here.
pub(crate) fn is_spill(name: &str) -> bool {
    [Of::Groups, Of::Rows].iter().any(|it| name.contains(it.infix()))
}

/// A file that is being written: as long as this lives, it stays.
struct Written {
    spills: Spills,
    name: String,
}

impl Drop for Written {
    fn drop(&mut self) {
        self.spills.0.live.lock().written.remove(&self.name);
    }
}

/// Writes a file section by section.
pub(crate) struct Writer {
    written: Written,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    schema: SchemaRef,
    list: List,
    length: u64,
}

impl Writer {
    /// Adds rows as a section.
    pub(crate) fn push(&mut self, part: u32, batches: &[RecordBatch]) -> Result<()> {
        let rows = batches.iter().map(|it| it.num_rows() as u64).sum();
        let mut writer = StreamWriter::try_new(Vec::new(), &self.schema)?;
        for batch in batches {
            // Parts of one batch share its texts; each would be written with all of them.
            writer.write(&compact(batch))?;
        }
        let section = self.append(&writer.into_inner()?)?;
        self.list.sections.push(Listed { part, rows, section });
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<Section> {
        let written = self.file.write_at(self.length, &[IoSlice::new(bytes)]);
        written.map_err(failed("write", &self.path))?;
        let (offset, length) = (self.length, bytes.len() as u64);
        self.length += length;
        Ok(Section { offset, length, crc32c: crc32c::crc32c(bytes) })
    }

    pub(crate) fn finish(mut self) -> Result<Arc<Spilled>> {
        let list = serde_json::to_vec(&self.list).map_err(|error| damaged(&self.path, &error))?;
        let index = self.append(&list)?;
        let spills = self.written.spills.clone();
        let disk = Arc::clone(&spills.0.disk);
        Ok(spills.hold(Spilled {
            name: self.written.name.clone(),
            path: self.path,
            disk,
            list: self.list,
            index,
            bytes: self.length,
            is_durable: AtomicBool::new(false),
        }))
    }
}

impl Spilled {
    /// Returns the number of rows, or of groups.
    pub(crate) fn rows(&self) -> u64 {
        self.list.sections.iter().map(|it| it.rows).sum()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn sections(&self) -> usize {
        self.list.sections.len()
    }

    /// Returns into how many parts its groups are divided by their keys.
    pub(crate) fn parts(&self) -> u32 {
        self.list.parts
    }

    fn open(&self) -> Result<Arc<dyn DiskFile>> {
        self.disk.open(&self.path).map_err(failed("open", &self.path))
    }

    /// Reads a section, verified.
    pub(crate) fn read(&self, place: usize) -> Result<Vec<RecordBatch>> {
        let Some(listed) = self.list.sections.get(place) else { return Ok(Vec::new()) };
        Ok(read_rows(&read_section(self.open()?.as_ref(), &self.path, listed.section)?)?)
    }

    /// Reads the groups of a part.
    pub(crate) fn read_part(&self, part: u32) -> Result<Vec<RecordBatch>> {
        let mut rows = Vec::new();
        for (place, listed) in self.list.sections.iter().enumerate() {
            if listed.part == part {
                rows.extend(self.read(place)?);
            }
        }
        Ok(rows)
    }

    /// Reads all of it.
    pub(crate) fn read_all(&self) -> Result<Vec<RecordBatch>> {
        let mut rows = Vec::new();
        for place in 0..self.sections() {
            rows.extend(self.read(place)?);
        }
        Ok(rows)
    }

    pub(crate) fn named(&self) -> Named {
        Named { file: self.name.clone(), index: self.index }
    }
}

impl Lot for Spilled {
    fn batches(&self) -> usize {
        self.sections()
    }

    fn read(&self, place: usize) -> io::Result<Vec<RecordBatch>> {
        Spilled::read(self, place).map_err(|error| match error {
            DataFusionError::IoError(error) => error,
            other => io::Error::other(other),
        })
    }
}

fn read_section(file: &dyn DiskFile, path: &Path, section: Section) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(section.length).unwrap_or(usize::MAX)];
    let read = file.read_at(section.offset, &mut bytes).map_err(failed("read", path))?;
    bytes.truncate(read);
    if crc32c::crc32c(&bytes) != section.crc32c {
        let from = section.offset;
        return Err(damaged(path, &format_args!("the checksum at byte {from} does not fit")));
    }
    Ok(bytes)
}

fn damaged(path: &Path, reason: &dyn std::fmt::Display) -> DataFusionError {
    let text = format!("`{}` is damaged: {reason}", path.display());
    DataFusionError::IoError(io::Error::new(io::ErrorKind::InvalidData, text))
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataFusionError {
    let path = path.to_owned();
    move |error| {
        let text = format!("cannot {doing} `{}`: {error}", path.display());
        DataFusionError::IoError(io::Error::new(error.kind(), text))
    }
}

#[cfg(test)]
mod tests;
