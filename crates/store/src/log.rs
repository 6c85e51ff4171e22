//! A table's log, as Delta writes it: one JSON file per version, each line one action.
//!
//! The log is read by `deltalake`, checkpoints included, and written here: a version is one file
//! that is there completely or not at all, and exactly one writer gets it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::Epoch;
use deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::disk::{Disk, Taken, UNFINISHED, at};
use crate::error::Error;
use crate::objects::SyncedFiles;

/// The folder of the log in the table's folder.
pub(crate) const FOLDER: &str = "_delta_log";

/// The only version of the protocol written: every reader there is knows it.
const READER_VERSION: i32 = 1;
const WRITER_VERSION: i32 = 2;

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Line {
    CommitInfo(CommitInfo),
    Protocol(Protocol),
    MetaData(MetaData),
    Txn(Txn),
    Remove(Remove),
    Add(Add),
}

/// Who wrote a version, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommitInfo {
    pub(crate) timestamp: i64,
    pub(crate) operation: &'static str,
    pub(crate) operation_parameters: BTreeMap<&'static str, String>,
    pub(crate) engine_info: &'static str,
}

/// What a reader and a writer must know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Protocol {
    pub(crate) min_reader_version: i32,
    pub(crate) min_writer_version: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reader_features: Option<Vec<String>>,
}

/// What the table is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MetaData {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    pub(crate) format: Format,
    pub(crate) schema_string: String,
    pub(crate) partition_columns: Vec<String>,
    pub(crate) configuration: BTreeMap<String, String>,
    pub(crate) created_time: Option<i64>,
}

/// What its files are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Format {
    pub(crate) provider: String,
    #[serde(default)]
    pub(crate) options: BTreeMap<String, String>,
}

/// The last epoch of an incarnation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Txn {
    pub(crate) app_id: String,
    pub(crate) version: i64,
    pub(crate) last_updated: i64,
}

/// A file that is part of the table from here on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Add {
    pub(crate) path: String,
    pub(crate) partition_values: BTreeMap<String, Option<String>>,
    pub(crate) size: u64,
    pub(crate) modification_time: i64,
    pub(crate) data_change: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stats: Option<String>,
}

/// A file that is no longer part of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Remove {
    pub(crate) path: String,
    pub(crate) deletion_timestamp: i64,
    pub(crate) data_change: bool,
    pub(crate) extended_file_metadata: bool,
    pub(crate) partition_values: BTreeMap<String, Option<String>>,
    pub(crate) size: u64,
}

impl Add {
    /// Returns how many rows it says it has.
    pub(crate) fn rows(&self) -> Option<u64> {
        let told: serde_json::Value = serde_json::from_str(self.stats.as_ref()?).ok()?;
        told.get("numRecords")?.as_u64()
    }
}

impl Protocol {
    /// Returns the protocol of the tables made here.
    pub(crate) fn ours() -> Protocol {
        Protocol {
            min_reader_version: READER_VERSION,
            min_writer_version: WRITER_VERSION,
            reader_features: None,
        }
    }
}

/// A table's log as it stands.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) version: u64,
    pub(crate) metadata: MetaData,
    pub(crate) epoch: Epoch,
    pub(crate) files: Vec<Add>,
}

/// The log of one table.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    table: String,
    root: PathBuf,
    disk: Disk,
}

impl Log {
    pub(crate) fn new(table: &str, root: &Path, disk: Disk) -> Log {
        Log { table: table.to_owned(), root: root.to_owned(), disk }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.root.join(FOLDER)
    }

    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    pub(crate) fn path_of(&self, version: u64) -> PathBuf {
        self.folder().join(format!("{version:020}.json"))
    }

    /// Writes a version; `false` if another program has written it. Waits for the disk.
    pub(crate) fn append(&self, version: u64, lines: &[Line]) -> Result<bool, Error> {
        let path = self.path_of(version);
        let mut text = Vec::new();
        for line in lines {
            let written = serde_json::to_writer(&mut text, line);
            written.map_err(|it| Error::Damaged {
                table: self.table.clone(),
                reason: it.to_string(),
            })?;
            text.push(b'\n');
        }
        match self.disk.write(&path, [text.as_slice()], Taken::Refuse) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(at("write", &path)(error)),
        }
    }

    /// Makes what an earlier run left durable and tidy; returns whether there is a log.
    /// Waits for the disk.
    pub(crate) fn settle(&self) -> Result<bool, Error> {
        let folder = self.folder();
        if !folder.try_exists().map_err(at("look for", &folder))? {
            return Ok(false);
        }
        let mut is_there = false;
        for entry in std::fs::read_dir(&folder).map_err(at("list", &folder))? {
            let entry = entry.map_err(at("list", &folder))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(UNFINISHED) {
                self.disk.remove(&entry.path()).map_err(at("remove", &entry.path()))?;
            }
            is_there |= version_of(&name).is_some();
        }
        // A version that was named but whose folder was not synced may be seen now and gone after
        // the next power cut; what is read from here on must stay.
        self.disk.sync_folder(&folder).map_err(at("sync", &folder))?;
        Ok(is_there)
    }

    /// Opens the table at its last version.
    pub(crate) async fn open(&self) -> Result<DeltaTable, Error> {
        self.builder()?.load().await.map_err(|it| self.wrong(it))
    }

    fn builder(&self) -> Result<DeltaTableBuilder, Error> {
        let url = Url::from_directory_path(&self.root).map_err(|()| Error::Damaged {
            table: self.table.clone(),
            reason: format!("`{}` is not an absolute path", self.root.display()),
        })?;
        let store = Arc::new(SyncedFiles::new(self.disk.clone()));
        let builder = DeltaTableBuilder::from_url(url.clone()).map_err(|it| self.wrong(it))?;
        Ok(builder.with_storage_backend(store, url))
    }

    /// Reads the log: what the table is, its files, and the last epoch of `app_id`.
    pub(crate) async fn read(&self, app_id: &str) -> Result<Read, Error> {
        self.read_of(&self.open().await?, app_id).await
    }

    /// Reads the log as it stood at a version.
    pub(crate) async fn read_at(&self, version: u64, app_id: &str) -> Result<Read, Error> {
        let table = self.builder()?.with_version(version).load().await;
        self.read_of(&table.map_err(|it| self.wrong(it))?, app_id).await
    }

    async fn read_of(&self, table: &DeltaTable, app_id: &str) -> Result<Read, Error> {
        let log_store = table.log_store();
        let state = table.snapshot().map_err(|it| self.wrong(it))?;
        let metadata = self.metadata(state.metadata(), state.protocol())?;
        let epoch = state.transaction_version(log_store.as_ref(), app_id).await;
        let epoch = epoch.map_err(|it| self.wrong(it))?.unwrap_or(0);
        let mut files = Vec::new();
        for file in state.log_data().iter() {
            if file.deletion_vector_descriptor().is_some() {
                return Err(self.foreign("rows were deleted from its files by another program"));
            }
            files.push(Add {
                path: file.path().into_owned(),
                partition_values: file.partition_values_map().into_iter().collect(),
                size: u64::try_from(file.size()).unwrap_or(0),
                modification_time: file.modification_time(),
                data_change: true,
                stats: file.stats(),
            });
        }
        let version = state.version();
        Ok(Read { version, metadata, epoch: Epoch(u64::try_from(epoch).unwrap_or(0)), files })
    }

    fn metadata(
        &self,
        metadata: &impl Serialize,
        protocol: &impl Serialize,
    ) -> Result<MetaData, Error> {
        let wrong = |it: serde_json::Error| Error::Damaged {
            table: self.table.clone(),
            reason: format!("its metadata: {it}"),
        };
        let protocol = serde_json::to_value(protocol).map_err(wrong)?;
        let protocol: Protocol = serde_json::from_value(protocol).map_err(wrong)?;
        if READER_VERSION < protocol.min_reader_version {
            let features = protocol.reader_features.unwrap_or_default().join(", ");
            return Err(self.foreign(&format!("another program turned on features: {features}")));
        }
        let metadata = serde_json::to_value(metadata).map_err(wrong)?;
        serde_json::from_value(metadata).map_err(wrong)
    }

    fn foreign(&self, what: &str) -> Error {
        let reason =
            format!("{what}; undo that there, or move the folder `{}` away", self.root.display());
        Error::Layout { table: self.table.clone(), reason }
    }

    pub(crate) fn wrong(&self, source: DeltaTableError) -> Error {
        Error::Log { table: self.table.clone(), source: Box::new(source) }
    }
}

/// Reads the version off the name of a commit or checkpoint.
pub(crate) fn version_of(name: &str) -> Option<u64> {
    let (version, _) = name.split_once('.')?;
    if version.len() == 20 { version.parse().ok() } else { None }
}

#[cfg(test)]
mod tests;
