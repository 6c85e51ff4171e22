//! A table that is built beside another and takes its place in one version of the log.
//!
//! It is a Delta table of its own in a folder of the other, `NAME/BUILD`. To take its place, one
//! version of the other's log removes all files and adds those of the build by their paths: nothing
//! is moved, readers of the versions before find their files, and whoever crashes in between finds
//! either the old rows or the new ones. What tables are built from is pinned meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Epoch, Name, limits};
use datafusion::catalog::TableProvider;
use parking_lot::{Mutex, RwLock};
use rows::sink::SinkError;
use tokio::sync::OwnedMutexGuard;

use crate::adapt;
use crate::disk::at;
use crate::error::Error;
use crate::file::Purpose;
use crate::lake::Lake;
use crate::layout::Layout;
use crate::log::{Add, CommitInfo, FOLDER, Line, Log, MetaData, Read, Remove, Txn};
use crate::provider::LakeProvider;
use crate::state::{LakeFile, State, View};
use crate::table::{LakeTable, blocking};
use crate::upkeep::Upkeep;

/// What the folder of every build begins with.
const BUILD: &str = "build-";

/// What stood in a table before another took its place.
#[derive(Debug, Clone)]
pub struct Replaced {
    layout: Layout,
    read: Arc<Read>,
}

/// A table in which nothing is rearranged for as long as this is held: epochs add files, and take out
/// those whose windows they replace.
#[derive(Debug)]
pub struct Pinned {
    table: Arc<LakeTable>,
    layout: Arc<Layout>,
    files: RwLock<Arc<State>>,
    /// What was there when it was asked last what moved.
    told: Mutex<Option<Arc<State>>>,
    /// Files of several epochs that were there from the beginning.
    merged: BTreeSet<String>,
    _upkeep: OwnedMutexGuard<Upkeep>,
}

/// Some files of a pinned table.
#[derive(Debug, Clone)]
pub struct PinnedFile {
    /// How many rows it has.
    pub rows: u64,
    /// The epoch that added it; none if its rows are of several.
    pub epoch: Option<Epoch>,
    /// The least and greatest value of its timestamp columns in microseconds, where known.
    pub times_us: BTreeMap<String, (i64, i64)>,
}

impl Replaced {
    /// Returns the table's name.
    pub fn table(&self) -> &Name {
        &self.layout.name
    }
}

impl Lake {
    /// Makes an empty table that is to take the place of the one of that name. What an earlier
    /// build of that name left is deleted.
    ///
    /// # Errors
    /// When the folder cannot be made, or the layout is no table.
    pub async fn build(&self, layout: Layout, build: &str) -> Result<Arc<LakeTable>, Error> {
        let root = self.root_of_build(&layout.name, build);
        let folder = root.clone();
        blocking(&layout.name, move || {
            if folder.try_exists().map_err(at("look for", &folder))? {
                std::fs::remove_dir_all(&folder).map_err(at("remove", &folder))?;
            }
            Ok(())
        })
        .await?;
        let (disk, clock) = (self.disk(), self.clock());
        let table = adapt::open(&root, layout, disk, clock, self.settings()).await?;
        Ok(Arc::new(table))
    }

    /// Lets what was built take the place of all rows of the table of that name, columns and
    /// partition included, as what `epoch` did. Returns what stood there; nothing if this was done
    /// before.
    ///
    /// # Errors
    /// When either log cannot be read, or the new version not be written.
    pub async fn adopt(
        &self,
        layout: Layout,
        build: &str,
        epoch: Epoch,
    ) -> Result<Option<Replaced>, Error> {
        let built = self.log(&layout.name, &self.root_of_build(&layout.name, build));
        let new = built.read(&layout.app_id()).await?;
        let moved = |it: Add| Add { path: format!("{BUILD}{build}/{}", it.path), ..it };
        let add: Vec<Add> = new.files.into_iter().map(moved).collect();
        let next = |old: &Read| {
            let metadata = new_columns(&old.metadata, &new.metadata);
            (old.epoch < epoch).then(|| Next { metadata, add: add.clone() })
        };
        let replaced = self.replace(&layout, epoch, &next).await?;
        self.reread(&layout).await?;
        Ok(replaced.map(|read| Replaced { layout, read: Arc::new(read) }))
    }

    /// Puts back what stood in a table before [`Lake::adopt`]; [`Lake::table`] shows it then.
    ///
    /// # Errors
    /// As there.
    pub async fn put_back(&self, replaced: &Replaced) -> Result<(), Error> {
        let Replaced { layout, read } = replaced;
        self.replace(layout, read.epoch, &|_: &Read| {
            Some(Next { metadata: read.metadata.clone(), add: read.files.clone() })
        })
        .await?;
        if let Some(table) = self.opened(&layout.name).await {
            table.state.lock().await.is_stale = true;
        }
        Ok(())
    }

    /// Writes one version in which other files and columns are the whole table.
    async fn replace(
        &self,
        layout: &Layout,
        epoch: Epoch,
        next: &(dyn Fn(&Read) -> Option<Next> + Sync),
    ) -> Result<Option<Read>, Error> {
        let root = self.folder().join(layout.name.as_str());
        let log = self.log(&layout.name, &root);
        let (ours, clock) = (log.clone(), self.clock());
        let is_there = blocking(&layout.name, move || ours.settle()).await?;
        if !is_there {
            adapt::open(&root, layout.clone(), self.disk(), clock, self.settings()).await?;
        }
        for _ in 0..limits::LAKE_COMMIT_TRIES_MAX {
            let old = log.read(&layout.app_id()).await?;
            let Some(next) = next(&old) else { return Ok(None) };
            let now_ms = i64::try_from(self.clock().now_ms()).unwrap_or(i64::MAX);
            let lines = lines(layout, &old, next, epoch, now_ms);
            let (ours, number) = (log.clone(), old.version + 1);
            if blocking(&layout.name, move || ours.append(number, &lines)).await? {
                return Ok(Some(old));
            }
        }
        let tries = limits::LAKE_COMMIT_TRIES_MAX;
        Err(Error::Contended { table: layout.name.to_string(), tries })
    }

    /// Keeps maintenance from a table and returns it as something to read epoch by epoch, in the
    /// columns of `layout`, which nothing is rewritten for.
    ///
    /// # Errors
    /// When the table cannot be opened or its rows cannot be shown in those columns.
    pub async fn pin(&self, layout: Layout) -> Result<Pinned, Error> {
        let table = self.as_it_is(layout.clone()).await?;
        let upkeep = Arc::clone(&table.upkeep).lock_owned().await;
        let layout = Arc::new(layout);
        let state = read_as(&table, &layout).await?;
        let merged = state.files.values().filter(|it| epoch_of(it).is_none());
        let merged = merged.map(|it| it.path.clone()).collect();
        let files = RwLock::new(Arc::new(state));
        let told = Mutex::default();
        Ok(Pinned { table, layout, files, told, merged, _upkeep: upkeep })
    }

    /// Returns a table as it is, making it if it is not there.
    ///
    /// # Errors
    /// As [`Lake::table`].
    pub async fn as_it_is(&self, layout: Layout) -> Result<Arc<LakeTable>, Error> {
        match self.opened(&layout.name).await {
            Some(table) => Ok(table),
            None => self.table(layout).await,
        }
    }

    /// Removes the logs of builds: rows that took their place stand in the log of their table by
    /// now. Of builds that are over, which never count, all is removed.
    ///
    /// # Errors
    /// When a folder cannot be listed or removed.
    pub async fn sweep_builds(
        &self,
        is_over: impl Fn(&str) -> bool + Send + 'static,
    ) -> Result<(), Error> {
        let lake = self.folder().to_owned();
        blocking("", move || {
            let mut builds = Vec::new();
            for table in folders_in(&lake)? {
                builds.extend(folders_in(&table)?);
            }
            builds.into_iter().try_for_each(|it| sweep_build(it, &is_over))
        })
        .await
    }

    fn root_of_build(&self, table: &Name, build: &str) -> PathBuf {
        self.folder().join(table.as_str()).join(format!("{BUILD}{build}"))
    }

    fn log(&self, table: &Name, root: &Path) -> Log {
        Log::new(table, root, self.disk())
    }
}

fn sweep_build(folder: PathBuf, is_over: &dyn Fn(&str) -> bool) -> Result<(), Error> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some(name) = name.strip_prefix(BUILD) else { return Ok(()) };
    let gone = if is_over(name) { folder } else { folder.join(FOLDER) };
    match std::fs::remove_dir_all(&gone) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(at("remove", &gone)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn folders_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(at("list", folder))? {
        let entry = entry.map_err(at("list", folder))?;
        if entry.file_type().map_err(at("list", folder))?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

/// What a table is from a version on.
struct Next {
    metadata: MetaData,
    add: Vec<Add>,
}

fn lines(layout: &Layout, old: &Read, next: Next, epoch: Epoch, now_ms: i64) -> Vec<Line> {
    let parameters = [("flow", layout.flow.clone()), ("epoch", epoch.to_string())];
    let mut lines = vec![
        Line::CommitInfo(CommitInfo {
            timestamp: now_ms,
            operation: "CREATE OR REPLACE TABLE AS SELECT",
            operation_parameters: BTreeMap::from(parameters),
            engine_info: "mainstem",
        }),
        Line::MetaData(next.metadata),
        Line::Txn(Txn {
            app_id: layout.app_id(),
            version: i64::try_from(epoch.0).unwrap_or(i64::MAX),
            last_updated: now_ms,
        }),
    ];
    lines.extend(old.files.iter().map(|it| {
        Line::Remove(Remove {
            path: it.path.clone(),
            deletion_timestamp: now_ms,
            data_change: true,
            extended_file_metadata: true,
            partition_values: it.partition_values.clone(),
            size: it.size,
        })
    }));
    lines.extend(next.add.into_iter().map(Line::Add));
    lines
}

/// Returns what the table is with the columns and partition of another.
fn new_columns(old: &MetaData, new: &MetaData) -> MetaData {
    MetaData {
        schema_string: new.schema_string.clone(),
        partition_columns: new.partition_columns.clone(),
        configuration: new.configuration.clone(),
        ..old.clone()
    }
}

async fn read_as(table: &LakeTable, layout: &Arc<Layout>) -> Result<State, Error> {
    let read = table.log.read(&layout.app_id()).await?;
    State::new(&table.root, Arc::clone(layout), read)
}

/// Returns the epoch that added a file; a build counts epochs of its own.
fn epoch_of(file: &LakeFile) -> Option<Epoch> {
    match Purpose::of(&file.path) {
        Some(Purpose::Epoch(epoch)) if !file.path.starts_with(BUILD) => Some(epoch),
        Some(Purpose::Epoch(_) | Purpose::Again | Purpose::Cold) | None => None,
    }
}

impl Pinned {
    /// Takes over what was committed since; returns the last epoch that is visible.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn renew(&self) -> Result<Epoch, SinkError> {
        let state = read_as(&self.table, &self.layout).await;
        let state = state.map_err(|it| it.into_sink(&self.layout.name))?;
        let epoch = state.epoch;
        *self.files.write() = Arc::new(state);
        Ok(epoch)
    }

    /// Returns what the epochs after `after` added, up to `until`; without `after` all rows up to
    /// there.
    pub fn rows(
        &self,
        after: Option<Epoch>,
        until: Epoch,
    ) -> (Arc<dyn TableProvider>, Vec<PinnedFile>) {
        let state = Arc::clone(&self.files.read());
        let is_in = |file: &Arc<LakeFile>| match (epoch_of(file), after) {
            (Some(epoch), after) => epoch <= until && after.is_none_or(|it| it < epoch),
            (None, None) => true,
            // Whoever follows is told by a file without an epoch that it cannot.
            (None, Some(_)) => !self.merged.contains(&file.path),
        };
        let files: Vec<_> = state.files.values().filter(|it| is_in(it)).map(Arc::clone).collect();
        let told = files.iter().map(|it| told(it, &state)).collect();
        (self.provider_of(files, &state), told)
    }

    /// Returns rows among which are all that came, went or changed since the call before: those of
    /// the files that came or went; at the first call all rows.
    pub fn moved(&self) -> Arc<dyn TableProvider> {
        let now = Arc::clone(&self.files.read());
        let before = self.told.lock().replace(Arc::clone(&now));
        let nothing = BTreeMap::new();
        let before = before.as_ref().map_or(&nothing, |it| &it.files);
        let came = now.files.iter().filter(|(path, _)| !before.contains_key(*path));
        let went = before.iter().filter(|(path, _)| !now.files.contains_key(*path));
        let files = came.chain(went).map(|(_, file)| Arc::clone(file)).collect();
        self.provider_of(files, &now)
    }

    fn provider_of(&self, files: Vec<Arc<LakeFile>>, state: &State) -> Arc<dyn TableProvider> {
        let (layout, schema) = (Arc::clone(&self.layout), Arc::clone(&self.layout.schema));
        let view = View { layout, schema, files, facts: state.view().facts };
        Arc::new(LakeProvider::new(Arc::new(view)))
    }
}

fn told(file: &LakeFile, state: &State) -> PinnedFile {
    let names = state.columns.fields().iter().map(|it| it.name());
    let times = names.enumerate().filter_map(|(at, name)| {
        let times = file.times(at)?;
        Some((name.clone(), (times.min, times.max)))
    });
    PinnedFile {
        rows: file.facts.as_ref().map_or(0, |it| it.rows),
        epoch: epoch_of(file),
        times_us: times.collect(),
    }
}

#[cfg(test)]
mod tests;
