//! The folder that holds all tables, and the work that keeps them small.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::{Clock, Name, Span, limits};

use crate::adapt;
use crate::disk::{Disk, at};
use crate::error::Error;
use crate::layout::Layout;
use crate::table::{LakeTable, blocking};

/// How the lake keeps its tables; the defaults suit a small machine.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long files that were replaced stay for readers that still use them, and old log
    /// entries with them.
    pub replaced_kept: Duration,
    /// Where a file ends and the next one begins.
    pub file_bytes_max: u64,
    /// So many files of about one size are merged.
    pub compact_files_min: usize,
    /// Versions of a log between two checkpoints.
    pub checkpoint_commits: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            // Longer than queries run; a table that is replaced every minute leaves 60 files.
            replaced_kept: Duration::from_secs(60 * 60),
            file_bytes_max: limits::LAKE_FILE_BYTES_MAX,
            compact_files_min: 8,
            checkpoint_commits: limits::LAKE_CHECKPOINT_COMMITS,
        }
    }
}

/// What one run of maintenance did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Small files that were merged into larger ones.
    pub files_compacted: u64,
    /// Files of old rows that were compressed strongly.
    pub files_cold: u64,
    /// Files that left the table because their rows are older than `keep`.
    pub files_expired: u64,
    /// Files that nothing refers to, deleted.
    pub files_swept: u64,
    /// Checkpoints of logs that were written.
    pub checkpoints: u64,
    /// Snapshots that were taken.
    pub snapshots: u64,
}

/// All tables of a data folder, each in `FOLDER/NAME`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lake {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    settings: Settings,
    clock: Arc<dyn Clock>,
    disk: Disk,
    tables: tokio::sync::Mutex<BTreeMap<Name, Arc<LakeTable>>>,
    /// Which table's turn it is to be maintained first.
    turn: AtomicUsize,
}

impl Lake {
    /// Opens the lake, making its folder if need be. Tables are opened one by one.
    pub fn open(folder: &Path, settings: Settings, clock: Arc<dyn Clock>) -> Result<Lake, Error> {
        Lake::on_disk(folder, settings, clock, Disk::default())
    }

    /// Opens the lake on a disk that may be watched.
    pub(crate) fn on_disk(
        folder: &Path,
        settings: Settings,
        clock: Arc<dyn Clock>,
        disk: Disk,
    ) -> Result<Lake, Error> {
        let folder = std::path::absolute(folder).map_err(at("find", folder))?;
        disk.create_folders(&folder).map_err(at("make the folder", &folder))?;
        // One spelling of each file, whatever links lead to it.
        let folder = folder.canonicalize().map_err(at("find", &folder))?;
        let (tables, turn) = (tokio::sync::Mutex::default(), AtomicUsize::new(0));
        Ok(Lake { inner: Arc::new(Inner { folder, settings, clock, disk, tables, turn }) })
    }

    /// Opens a table, making it or letting it follow its layout. The same table is returned for
    /// the same name; a new layout counts for all who hold it.
    ///
    /// A new column is null in stored rows, a column that is no longer declared is hidden, a type
    /// may grow; anything else is refused with advice.
    pub async fn table(&self, layout: Layout) -> Result<Arc<LakeTable>, Error> {
        let mut tables = self.inner.tables.lock().await;
        if let Some(table) = tables.get(&layout.name) {
            table.redeclare(layout).await?;
            return Ok(Arc::clone(table));
        }
        let name = layout.name.clone();
        let root = self.inner.folder.join(name.as_str());
        let (disk, clock) = (self.inner.disk.clone(), Arc::clone(&self.inner.clock));
        let table = adapt::open(&root, layout, disk, clock, self.inner.settings.clone()).await?;
        let table = Arc::new(table);
        tables.insert(name, Arc::clone(&table));
        Ok(table)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.inner.folder
    }

    pub(crate) fn disk(&self) -> Disk {
        self.inner.disk.clone()
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.inner.clock)
    }

    pub(crate) fn settings(&self) -> Settings {
        self.inner.settings.clone()
    }

    /// Returns a table if it is open.
    pub(crate) async fn opened(&self, name: &Name) -> Option<Arc<LakeTable>> {
        self.inner.tables.lock().await.get(name).map(Arc::clone)
    }

    /// Lets a table that is open follow a log that was written past it.
    pub(crate) async fn reread(&self, layout: &Layout) -> Result<(), Error> {
        match self.opened(&layout.name).await {
            None => Ok(()),
            Some(table) => table.reread(layout.clone()).await,
        }
    }

    /// Returns the tables that are open.
    pub async fn tables(&self) -> Vec<Arc<LakeTable>> {
        self.inner.tables.lock().await.values().map(Arc::clone).collect()
    }

    /// Moves a table's folder out of the way, so that the table can be made anew; returns where it
    /// is now, or `None` if there was none. Nothing is deleted.
    pub async fn set_aside(&self, name: &Name) -> Result<Option<PathBuf>, Error> {
        let mut tables = self.inner.tables.lock().await;
        tables.remove(name);
        let from = self.inner.folder.join(name.as_str());
        let to = self.inner.folder.join(format!(".{name}-{}", self.inner.clock.now_ms()));
        let (disk, folder) = (self.inner.disk.clone(), self.inner.folder.clone());
        blocking(name, move || {
            if !from.try_exists().map_err(at("find", &from))? {
                return Ok(None);
            }
            std::fs::rename(&from, &to).map_err(at("move", &from))?;
            disk.sync_folder(&folder).map_err(at("sync", &folder))?;
            Ok(Some(to))
        })
        .await
    }

    /// Compacts, checkpoints, expires and sweeps, table by table; begins no new piece of work
    /// after `budget`. All tables are looked at, also if one fails; the first error is returned.
    pub async fn maintain(&self, budget: Duration) -> Result<Maintained, Error> {
        let until = self.inner.clock.elapsed() + budget;
        let mut tables = self.tables().await;
        let turn = self.inner.turn.fetch_add(1, Ordering::Relaxed);
        let first = turn.checked_rem(tables.len()).unwrap_or(0);
        tables.rotate_left(first);
        let mut all = Maintained::default();
        let mut failed = None;
        for table in tables {
            match table.maintain(until).await {
                Ok(done) => {
                    all.files_compacted += done.files_compacted;
                    all.files_expired += done.files_expired;
                    all.files_cold += done.files_cold;
                    all.files_swept += done.files_swept;
                    all.checkpoints += done.checkpoints;
                    all.snapshots += done.snapshots;
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(all), Err)
    }

    /// Maintains for ever, a `budget` of work after each pause; for a task of the program.
    pub async fn keep_tidy(self, pause: Span, budget: Duration) {
        loop {
            self.inner.clock.sleep(pause.0).await;
            match self.maintain(budget).await {
                Ok(done) if done == Maintained::default() => {}
                Ok(done) => tracing::debug!(?done, "lake maintained"),
                Err(error) => tracing::warn!(%error, "maintenance of the lake failed"),
            }
        }
    }
}

#[cfg(test)]
mod tests;
