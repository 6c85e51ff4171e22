//! The checkpoint of a flow: one file whose appearance is the commit point of an epoch.
//!
//! docs/formats/checkpoint.md says the same in words.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use base::{Epoch, Name, SequenceNumber, ShardId};
use journal::Disk;
use rows::sink::Actions;
use serde::{Deserialize, Serialize};

use crate::batch::Book;
use crate::error::Error;
use crate::spill::{NamedWindow, Spilled, is_spill};

/// The version of the format; a program refuses those it does not know.
const FORMAT: u32 = 1;

/// The version where groups are on disk: a program that does not know of them must not lose them.
const FORMAT_ON_DISK: u32 = 2;

/// The end of the name of the file that holds the last checkpoint of a flow. Names of flows have
/// no `@`.
const CHECKPOINT: &str = "@checkpoint.json";

/// Everything needed to go on after a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub(crate) format: u32,
    pub(crate) flow: Name,
    pub(crate) epoch: Epoch,
    /// Whose layout the state has; another version groups again instead of reading it.
    pub(crate) datafusion: String,
    pub(crate) streams: BTreeMap<Name, StreamPoint>,
    pub(crate) tables: BTreeMap<Name, TablePoint>,
    /// The versions of lookups that the epoch's last tick used.
    pub(crate) lookups: BTreeMap<Name, String>,
    pub(crate) observer: Option<Section>,
    /// The file with the sections, if there are any.
    pub(crate) state: Option<String>,
}

/// A stream at the end of an epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct StreamPoint {
    /// The epoch that this was true of; older than the checkpoint's if the stream left the flow.
    pub(crate) epoch: Epoch,
    /// The next record of each shard.
    pub(crate) positions: BTreeMap<ShardId, SequenceNumber>,
    pub(crate) stored: u64,
    pub(crate) dead: u64,
    pub(crate) arrived_ms: u64,
    /// For each column that windows wait for, how far it has come in each shard.
    pub(crate) times_us: BTreeMap<String, BTreeMap<ShardId, i64>>,
}

/// A table at the end of an epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TablePoint {
    /// The epoch that this was true of; older than the checkpoint's if the table left the flow.
    pub(crate) epoch: Epoch,
    pub(crate) incarnation: String,
    pub(crate) fingerprint: String,
    pub(crate) watermark_us: Option<i64>,
    pub(crate) corrections: u64,
    pub(crate) detached: Option<Detached>,
    /// What the epoch does to the stored table; nothing if there is none.
    pub(crate) actions: Option<Actions>,
    pub(crate) state: Option<Section>,
    /// What was written earlier and still counts, the oldest first: of a group that was written
    /// several times, the newest does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) earlier: Vec<Piece>,
    /// Groups that did not fit in memory: what is written above comes on top of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) spilled: Vec<NamedWindow>,
    /// What ran so far, of a table that is recomputed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) book: Option<Book>,
}

impl TablePoint {
    /// Forgets the groups: they are to be made again.
    pub(crate) fn forget_state(&mut self) {
        self.state = None;
        self.earlier.clear();
        self.spilled.clear();
    }
}

/// A stretch of an earlier state file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Piece {
    pub(crate) file: String,
    pub(crate) section: Section,
    /// The epoch that wrote it.
    #[serde(default)]
    pub(crate) epoch: Epoch,
}

/// Why a table no longer follows what it reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Detached {
    pub(crate) since_ms: u64,
    pub(crate) error: String,
    /// Whether a check of what it reads keeps it from following, and nothing else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_held: bool,
}

/// A stretch of the state file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Section {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) crc32c: u32,
}

impl Checkpoint {
    pub(crate) fn new(flow: Name, epoch: Epoch) -> Checkpoint {
        Checkpoint {
            format: FORMAT,
            flow,
            epoch,
            datafusion: datafusion::DATAFUSION_VERSION.to_owned(),
            streams: BTreeMap::new(),
            tables: BTreeMap::new(),
            lookups: BTreeMap::new(),
            observer: None,
            state: None,
        }
    }

    /// Returns all that was written of a table's state, the oldest first.
    pub(crate) fn pieces(&self, table: &Name) -> Vec<Piece> {
        let Some(point) = self.tables.get(table).filter(|_| self.is_current()) else {
            return Vec::new();
        };
        let newest = self.state.clone().zip(point.state);
        let epoch = point.epoch;
        let newest = newest.map(|(file, section)| Piece { file, section, epoch });
        point.earlier.iter().cloned().chain(newest).collect()
    }

    /// Brings the format in line with what it says.
    pub(crate) fn set_format(&mut self) {
        let is_on_disk = self.tables.values().any(|it| !it.spilled.is_empty());
        self.format = if is_on_disk { FORMAT_ON_DISK } else { FORMAT };
    }

    /// Returns whether the state has the layout of this program.
    pub(crate) fn is_current(&self) -> bool {
        self.datafusion == datafusion::DATAFUSION_VERSION
    }
}

/// The files of one flow: `FLOW@checkpoint.json` and `FLOW@state-EPOCH.bin`.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    flow: String,
}

impl Files {
    /// Opens the files of `flow`; makes the folder of all flows if it is missing.
    pub(crate) fn open(disk: Arc<dyn Disk>, folder: &Path, flow: &str) -> Result<Files, Error> {
        disk.create_folder(folder).map_err(failed("make", folder))?;
        Ok(Files { disk, folder: folder.to_owned(), flow: flow.to_owned() })
    }

    /// Returns the files of all flows.
    pub(crate) fn all(disk: &Arc<dyn Disk>, folder: &Path) -> Result<Vec<Files>, Error> {
        let names = match disk.list(folder) {
            Ok(names) => names,
            Err(error) if is_missing(&error) => Vec::new(),
            Err(error) => return Err(failed("list", folder)(error)),
        };
        let flows = names.iter().filter_map(|it| it.strip_suffix(CHECKPOINT));
        let files = |flow: &str| Files {
            disk: Arc::clone(disk),
            folder: folder.to_owned(),
            flow: flow.to_owned(),
        };
        Ok(flows.map(files).collect())
    }

    /// Returns the disk that they are on.
    pub(crate) fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns whether they lie in the same folder.
    pub(crate) fn is_in(&self, other: &Files) -> bool {
        self.folder == other.folder
    }

    fn checkpoint_name(&self) -> String {
        format!("{}{CHECKPOINT}", self.flow)
    }

    fn checkpoint_path(&self) -> PathBuf {
        self.folder.join(self.checkpoint_name())
    }

    /// Writes a file so that after a crash it is there as a whole, or as it was before.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let (path, unfinished) =
            (self.folder.join(name), self.folder.join(format!("{name}.unfinished")));
        let file = self.disk.create(&unfinished).map_err(failed("make", &unfinished))?;
        file.write_at(0, &[IoSlice::new(bytes)]).map_err(failed("write", &unfinished))?;
        file.sync().map_err(failed("sync", &unfinished))?;
        self.disk.rename(&unfinished, &path).map_err(failed("rename", &path))?;
        self.disk.sync_folder(&self.folder).map_err(failed("sync", &self.folder))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.folder.join(name);
        let file = match self.disk.open(&path) {
            Ok(file) => file,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(failed("open", &path)(error)),
        };
        let length = file.length().map_err(failed("read", &path))?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        let read = file.read_at(0, &mut bytes).map_err(failed("read", &path))?;
        bytes.truncate(read);
        Ok(Some(bytes))
    }

    /// Reads the last checkpoint; none if the flow never had one.
    pub(crate) fn checkpoint(&self) -> Result<Option<Checkpoint>, Error> {
        let Some(bytes) = self.read(&self.checkpoint_name())? else { return Ok(None) };
        let damaged = |reason: String| Error::Damaged { path: self.checkpoint_path(), reason };
        let checkpoint: Checkpoint =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if !(FORMAT..=FORMAT_ON_DISK).contains(&checkpoint.format) {
            let reason = format!(
                "its format is {}, this program knows {FORMAT} to {FORMAT_ON_DISK}; start the \
                 version that wrote it",
                checkpoint.format
            );
            return Err(damaged(reason));
        }
        Ok(Some(checkpoint))
    }

    /// Writes the checkpoint: when this returns, the epoch counts.
    pub(crate) fn commit(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let bytes = serde_json::to_vec(checkpoint).map_err(|error| Error::Damaged {
            path: self.checkpoint_path(),
            reason: format!("it cannot be written: {error}"),
        })?;
        self.replace(&self.checkpoint_name(), &bytes)
    }

    /// Writes the state of an epoch and returns the file's name.
    pub(crate) fn write_state(&self, epoch: Epoch, state: &State) -> Result<String, Error> {
        let name = format!("{}@state-{epoch}.bin", self.flow);
        self.replace(&name, &state.bytes)?;
        Ok(name)
    }

    /// Reads a state file whole.
    pub(crate) fn read_state(&self, checkpoint: &Checkpoint) -> Result<Vec<u8>, Error> {
        let Some(name) = &checkpoint.state else { return Ok(Vec::new()) };
        self.read(name)?.ok_or_else(|| Error::Damaged {
            path: self.folder.join(name),
            reason: "the checkpoint names it, but it is missing".to_owned(),
        })
    }

    /// Reads a stretch of a state file, verified.
    pub(crate) fn piece(&self, piece: &Piece) -> Result<Vec<u8>, Error> {
        let path = self.folder.join(&piece.file);
        let file = self.disk.open(&path).map_err(failed("open", &path))?;
        let mut bytes = vec![0; usize::try_from(piece.section.length).unwrap_or(usize::MAX)];
        let read = file.read_at(piece.section.offset, &mut bytes).map_err(failed("read", &path))?;
        bytes.truncate(read);
        if crc32c::crc32c(&bytes) != piece.section.crc32c {
            let from = piece.section.offset;
            let reason = format!("the checksum at byte {from} does not fit");
            return Err(Error::Damaged { path, reason });
        }
        Ok(bytes)
    }

    /// Returns a section of a state file, verified.
    pub(crate) fn section<'a>(
        &self,
        checkpoint: &Checkpoint,
        state: &'a [u8],
        section: Section,
    ) -> Result<&'a [u8], Error> {
        let path = || self.folder.join(checkpoint.state.as_deref().unwrap_or_default());
        let from = usize::try_from(section.offset).unwrap_or(usize::MAX);
        let length = usize::try_from(section.length).unwrap_or(usize::MAX);
        let bytes = from.checked_add(length).and_then(|to| state.get(from..to));
        let Some(bytes) = bytes else {
            return Err(Error::Damaged { path: path(), reason: "it is too short".to_owned() });
        };
        if crc32c::crc32c(bytes) != section.crc32c {
            let reason = format!("the checksum at byte {from} does not fit");
            return Err(Error::Damaged { path: path(), reason });
        }
        Ok(bytes)
    }

    /// Removes state files of other epochs; what cannot be removed is tried again next time.
    pub(crate) fn sweep(&self, checkpoint: &Checkpoint) {
        for name in self.disk.list(&self.folder).unwrap_or_default() {
            let is_ours = name.starts_with(&format!("{}@", self.flow));
            let mut earlier = checkpoint.tables.values().flat_map(|it| &it.earlier);
            let is_used = name.ends_with(CHECKPOINT)
                || is_spill(&name)
                || checkpoint.state.as_deref() == Some(name.as_str())
                || earlier.any(|it| it.file == name);
            if is_ours
                && !is_used
                && let Err(error) = self.disk.remove(&self.folder.join(&name))
            {
                tracing::warn!(file = name, %error, "an old file of a flow cannot be removed");
            }
        }
    }
}

fn is_missing(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Disk { doing, path, source }
}

/// The bytes of a state file, section by section, and the files of groups that belong to it.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) bytes: Vec<u8>,
    pub(crate) spilled: Vec<Arc<Spilled>>,
}

impl State {
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Section {
        let offset = self.bytes.len() as u64;
        self.bytes.extend_from_slice(bytes);
        Section { offset, length: bytes.len() as u64, crc32c: crc32c::crc32c(bytes) }
    }

    pub(crate) fn push_rows(
        &mut self,
        schema: &SchemaRef,
        batches: &[RecordBatch],
    ) -> Result<Section, arrow::error::ArrowError> {
        let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
        for batch in batches {
            writer.write(batch)?;
        }
        let bytes = writer.into_inner()?;
        Ok(self.push(&bytes))
    }
}

/// Reads the batches of a section.
pub(crate) fn read_rows(bytes: &[u8]) -> Result<Vec<RecordBatch>, arrow::error::ArrowError> {
    StreamReader::try_new(bytes, None)?.collect()
}

#[cfg(test)]
mod tests;
