//! Snapshots: versions of a table whose files stay until newer snapshots take their place.
//!
//! A snapshot is a small file, `_snapshots/VERSION.json`, that says what the table was and which
//! files it had; as long as it is there, the sweep leaves those files alone. So it costs nothing to
//! take, and what it keeps is what the table has replaced since.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{Epoch, limits};
use serde::{Deserialize, Serialize};

use crate::disk::{Disk, Taken, UNFINISHED, at};
use crate::error::Error;
use crate::history::AsOf;
use crate::log::{Add, MetaData, Read};
use crate::schema;
use crate::state::{LakeFile, State};
use crate::table::{LakeTable, Version};

/// The folder of the snapshots in the table's folder; other programs pass over such names.
const FOLDER: &str = "_snapshots";

/// How long is waited for a merge to end; a build beside the table may take far longer.
const UPKEEP_WAIT: Duration = Duration::from_secs(10);

/// A version that is kept, as it is written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    version: u64,
    taken_ms: u64,
    epoch: u64,
    metadata: MetaData,
    files: Vec<Add>,
}

/// What is known of a snapshot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SnapshotFacts {
    /// The version of the table.
    pub version: u64,
    /// When it was taken, in milliseconds since 1970.
    pub taken_ms: u64,
    /// Files of that version.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The part of those bytes that the table itself does not need any more.
    pub kept_bytes: u64,
    /// Rows in them.
    pub rows: u64,
}

/// What going back to a version did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restored {
    /// The version that was gone back to.
    pub from: u64,
    /// The new version, which holds the same rows.
    pub version: u64,
    /// Rows before.
    pub rows_before: u64,
    /// Rows now.
    pub rows: u64,
}

/// The snapshots of a table by version.
pub(crate) type Snapshots = BTreeMap<u64, Arc<Snapshot>>;

impl Snapshot {
    /// Returns what the log said of it.
    pub(crate) fn to_read(&self) -> Read {
        Read {
            version: self.version,
            metadata: self.metadata.clone(),
            epoch: Epoch(self.epoch),
            files: self.files.clone(),
        }
    }

    fn of(read: Read, taken_ms: u64) -> Snapshot {
        let Read { version, metadata, epoch, files } = read;
        Snapshot { version, taken_ms, epoch: epoch.0, metadata, files }
    }
}

fn path_of(root: &Path, version: u64) -> PathBuf {
    root.join(FOLDER).join(format!("{version:020}.json"))
}

/// Reads the snapshots of the table in `root`, and removes what was not finished. Waits for the disk.
pub(crate) fn read_all(table: &str, root: &Path, disk: &Disk) -> Result<Snapshots, Error> {
    let folder = root.join(FOLDER);
    if !folder.try_exists().map_err(at("look for", &folder))? {
        return Ok(Snapshots::new());
    }
    let mut found = Snapshots::new();
    for entry in std::fs::read_dir(&folder).map_err(at("list", &folder))? {
        let path = entry.map_err(at("list", &folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(UNFINISHED) {
            disk.remove(&path).map_err(at("remove", &path))?;
            continue;
        }
        let text = std::fs::read(&path).map_err(at("read", &path))?;
        let snapshot: Snapshot = serde_json::from_slice(&text).map_err(|error| {
            let reason = format!("the snapshot `{}`: {error}", path.display());
            Error::Damaged { table: table.to_owned(), reason }
        })?;
        found.insert(snapshot.version, Arc::new(snapshot));
    }
    Ok(found)
}

impl LakeTable {
    pub(crate) fn snapshot_of(&self, version: u64) -> Option<Arc<Snapshot>> {
        self.snapshots.lock().get(&version).map(Arc::clone)
    }

    /// Returns the snapshots there are, oldest first.
    pub fn snapshots(&self) -> Vec<SnapshotFacts> {
        let view = self.view();
        let now: BTreeSet<&str> = view.files.iter().map(|it| it.path.as_str()).collect();
        let snapshots: Vec<_> = self.snapshots.lock().values().map(Arc::clone).collect();
        let facts = snapshots.iter().map(|it| {
            let gone = it.files.iter().filter(|file| !now.contains(file.path.as_str()));
            SnapshotFacts {
                version: it.version,
                taken_ms: it.taken_ms,
                files: it.files.len() as u64,
                bytes: it.files.iter().map(|it| it.size).sum(),
                kept_bytes: gone.map(|it| it.size).sum(),
                rows: it.files.iter().filter_map(Add::rows).sum(),
            }
        });
        facts.collect()
    }

    /// Returns the files that snapshots keep.
    pub(crate) fn in_snapshots(&self) -> BTreeSet<String> {
        let snapshots = self.snapshots.lock();
        snapshots.values().flat_map(|it| it.files.iter().map(|it| it.path.clone())).collect()
    }

    /// Takes a snapshot if one is due, and lets go of those that newer ones took the place of; returns
    /// how many were taken.
    pub(crate) async fn snapshot_if_due(&self) -> Result<u64, Error> {
        let Some(asked) = self.view().layout.rest.snapshots else { return Ok(0) };
        let newest_ms = self.snapshots.lock().values().map(|it| it.taken_ms).max();
        let due_ms = newest_ms.map_or(0, |it| it.saturating_add(asked.every.as_millis()));
        if self.clock.now_ms() < due_ms {
            return Ok(0);
        }
        self.take_snapshot().await?;
        let keep = usize::try_from(asked.keep).unwrap_or(usize::MAX);
        let gone: Vec<u64> = {
            let snapshots = self.snapshots.lock();
            let mut by_age: Vec<_> =
                snapshots.values().map(|it| (it.taken_ms, it.version)).collect();
            by_age.sort_unstable();
            let over = by_age.len().saturating_sub(keep);
            by_age.into_iter().take(over).map(|(_, version)| version).collect()
        };
        for version in gone {
            let (path, disk) = (path_of(&self.root, version), self.disk.clone());
            self.blocking(move || {
                disk.remove(&path).map_err(at("remove", &path))?;
                let folder = path.parent().unwrap_or(&path);
                disk.sync_folder(folder).map_err(at("sync", folder))
            })
            .await?;
            self.snapshots.lock().remove(&version);
        }
        Ok(1)
    }

    /// Notes the newest version, so that it stays; a version that is noted already is noted anew.
    async fn take_snapshot(&self) -> Result<(), Error> {
        let app_id = self.view().layout.app_id();
        let snapshot = Snapshot::of(self.log.read(&app_id).await?, self.clock.now_ms());
        let text = serde_json::to_vec(&snapshot).map_err(|error| Error::Damaged {
            table: self.name.clone(),
            reason: error.to_string(),
        })?;
        let (path, disk) = (path_of(&self.root, snapshot.version), self.disk.clone());
        self.blocking(move || {
            disk.write(&path, [text.as_slice()], Taken::Replace).map_err(at("write", &path))
        })
        .await?;
        self.snapshots.lock().insert(snapshot.version, Arc::new(snapshot));
        Ok(())
    }

    /// Goes back to the rows of an earlier version, in one new version: what came since is taken out,
    /// and can be asked for like any earlier version.
    ///
    /// # Errors
    /// When there is no such version any more, or its columns or partition were others.
    pub async fn restore(&self, asked: AsOf) -> Result<Restored, Error> {
        self.restore_once(asked, || Ok(())).await
    }

    /// As [`LakeTable::restore`], once `ready`: it is called before anything changes, and not at all if
    /// nothing is to change.
    pub(crate) async fn restore_once(
        &self,
        asked: AsOf,
        ready: impl FnOnce() -> Result<(), Error> + Send,
    ) -> Result<Restored, Error> {
        let mut ready = Some(ready);
        // Nothing is swept while it is decided which files come back.
        let _upkeep = tokio::select! {
            held = self.upkeep.lock() => held,
            () = self.clock.sleep(UPKEEP_WAIT) => {
                return Err(Error::Busy { table: self.name.clone() });
            }
        };
        let (past, _) = self.read_past(asked).await?;
        self.check_files(&past).await?;
        let mut state = self.state.lock().await;
        for _ in 0..limits::LAKE_COMMIT_TRIES_MAX {
            self.refresh(&mut state).await?;
            let rows_before = state.view().facts.rows;
            let Some(version) = self.back_to(&state, &past)? else {
                let version = state.version;
                let rows = rows_before;
                return Ok(Restored { from: past.version, version, rows_before, rows });
            };
            ready.take().map_or(Ok(()), |it| it())?;
            if self.publish(&mut state, version).await? {
                let (version, rows) = (state.version, state.view().facts.rows);
                return Ok(Restored { from: past.version, version, rows_before, rows });
            }
        }
        Err(Error::Contended { table: self.name.clone(), tries: limits::LAKE_COMMIT_TRIES_MAX })
    }

    /// Returns the version that goes back to `past`; nothing if the files are the same.
    fn back_to(&self, state: &State, past: &Read) -> Result<Option<Version>, Error> {
        let (was, is) = (&past.metadata, &state.metadata);
        let columns = |it: &MetaData| {
            let columns = schema::from_delta(&it.schema_string, &it.partition_columns);
            columns.map_err(|reason| Error::Damaged { table: self.name.clone(), reason })
        };
        let (old, new) = (columns(was)?, columns(is)?);
        let is_same = was.partition_columns == is.partition_columns
            && old.fields().iter().all(|field| {
                new.field_with_name(field.name())
                    .is_ok_and(|it| schema::is_same_type(it.data_type(), field.data_type()))
            });
        if !is_same {
            let version = past.version;
            let reason = format!(
                "table `{}` had other columns or another partition in version {version}; ask for its \
                 rows with `VERSION AS OF {version}`",
                self.name,
            );
            return Err(Error::Past { table: self.name.clone(), reason, is_gone: false });
        }
        let then: BTreeSet<&str> = past.files.iter().map(|it| it.path.as_str()).collect();
        let gone = |it: &&Arc<LakeFile>| !then.contains(it.path.as_str());
        let back = past.files.iter().filter(|it| !state.files.contains_key(&it.path));
        let version = Version {
            operation: "RESTORE",
            remove: state.files.values().filter(gone).map(Arc::clone).collect(),
            add: back.map(|it| Add { data_change: true, ..it.clone() }).collect(),
            data_change: true,
            ..Version::default()
        };
        Ok((!version.remove.is_empty() || !version.add.is_empty()).then_some(version))
    }

    /// Looks whether all files of a version are there and whole, before any row is taken out.
    async fn check_files(&self, past: &Read) -> Result<(), Error> {
        let (root, table) = (self.root.clone(), self.name.clone());
        let files: Vec<(String, u64)> =
            past.files.iter().map(|it| (it.path.clone(), it.size)).collect();
        let version = past.version;
        self.blocking(move || {
            for (file, size) in files {
                let path = root.join(&file);
                if !path.metadata().is_ok_and(|it| it.len() == size) {
                    let reason = format!(
                        "`{}`, which version {version} needs, is not there as it was written",
                        path.display(),
                    );
                    return Err(Error::Damaged { table, reason });
                }
            }
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests;
