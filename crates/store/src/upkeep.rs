//! What keeps a table small and quick to open, beside the commits: old rows go, small files are
//! merged, the log gets checkpoints, and what nothing refers to is deleted.
//!
//! Rewriting is done without the table's lock; the lock is taken for one version, which is given
//! up if a commit took away what was rewritten. So a commit never waits for a merge.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::limits;
use deltalake::checkpoints::create_checkpoint;

use crate::change::not_older;
use crate::disk::{UNFINISHED, at};
use crate::error::Error;
use crate::file::{NewFile, Purpose};
use crate::history::Reach;
use crate::lake::Maintained;
use crate::log::{FOLDER, version_of};
use crate::state::{LakeFile, State};
use crate::table::{LakeTable, Version};

/// The smallest class of files in compaction; each further class is eight times as large, so a
/// row is written again about once per class.
const SMALL_BYTES: u64 = 64 << 10;
const CLASS_FACTOR: u64 = 8;

/// How long files stay that another program put into the folder and that no version names: it
/// may be about to commit them.
const FOREIGN_KEPT_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

/// What maintenance of one table remembers between runs.
#[derive(Debug)]
pub(crate) struct Upkeep {
    opened_ms: u64,
    /// Checkpoints of the log and when they were first seen, oldest first.
    checkpoints: Option<Vec<(u64, u64)>>,
    swept_ms: Option<u64>,
    /// When files were first seen that no version names.
    unnamed_ms: BTreeMap<String, u64>,
}

impl Upkeep {
    pub(crate) fn new(opened_ms: u64) -> Upkeep {
        Upkeep { opened_ms, checkpoints: None, swept_ms: None, unnamed_ms: BTreeMap::new() }
    }
}

impl LakeTable {
    /// Does what is due; begins nothing new after `until` on the clock.
    pub(crate) async fn maintain(&self, until: Duration) -> Result<Maintained, Error> {
        let mut done = Maintained::default();
        let Ok(mut upkeep) = self.upkeep.try_lock() else { return Ok(done) };
        let has_time = || self.clock.elapsed() < until;
        // First: what is about to go is what somebody may want back.
        done.snapshots += self.snapshot_if_due().await?;
        if has_time() {
            done.files_expired += self.expire().await?;
        }
        while has_time() {
            match self.compact().await? {
                0 => break,
                merged => done.files_compacted += merged,
            }
        }
        while has_time() {
            match self.make_cold().await? {
                0 => break,
                cold => done.files_cold += cold,
            }
        }
        if has_time() {
            done.checkpoints += self.checkpoint(&mut upkeep).await?;
        }
        if has_time() {
            done.files_swept += self.sweep(&mut upkeep).await?;
        }
        Ok(done)
    }

    /// How long files that were replaced stay at least.
    fn least_kept_ms(&self) -> u64 {
        u64::try_from(self.settings.replaced_kept.as_millis()).unwrap_or(u64::MAX)
    }

    /// How long those stay that earlier versions need.
    fn kept_ms(&self) -> u64 {
        Reach::of(&self.view().layout, self.settings.replaced_kept).kept_ms
    }

    /// Takes out files whose rows are all too old, and rewrites those of which most are.
    async fn expire(&self) -> Result<u64, Error> {
        let mut state = self.state.lock().await;
        self.refresh(&mut state).await?;
        let Some((column, oldest)) = self.oldest(&state)? else { return Ok(0) };
        let (mut whole, mut partly) = (Vec::new(), Vec::new());
        for file in state.files.values() {
            let Some(times) = file.times(column) else { continue };
            if times.max < oldest && times.nulls == 0 {
                whole.push(Arc::clone(file));
            } else if times.min < oldest && is_mostly_old(times.min, times.max, oldest) {
                partly.push(Arc::clone(file));
            }
        }
        let mut expired = whole.len() as u64;
        if 0 < expired {
            let version = Version {
                operation: "DELETE",
                remove: whole,
                data_change: true,
                ..Version::default()
            };
            if !self.publish(&mut state, version).await? {
                return Ok(0);
            }
        }
        let place = self.place(&state);
        drop(state);
        for file in partly {
            let (place, old) = (place.clone(), Arc::clone(&file));
            let rest = self
                .blocking(move || place.write_again(&old, |it| not_older(it, column, oldest)))
                .await?;
            expired += u64::from(self.swap("DELETE", vec![file], rest, true).await?);
        }
        Ok(expired)
    }

    /// Returns the column that tells age and the oldest moment kept, in microseconds.
    fn oldest(&self, state: &State) -> Result<Option<(usize, i64)>, Error> {
        let Some((keep, time)) = state.layout.keep.zip(state.layout.time.as_ref()) else {
            return Ok(None);
        };
        let wrong = |reason| Error::Layout { table: self.name.clone(), reason };
        let column = state.time_column(time).map_err(wrong)?;
        let oldest_ms = self.clock.now_ms().saturating_sub(keep.as_millis());
        Ok(Some((column, i64::try_from(oldest_ms).unwrap_or(i64::MAX).saturating_mul(1_000))))
    }

    /// Merges some small files, those of each partition by themselves; returns how many.
    async fn compact(&self) -> Result<u64, Error> {
        let mut state = self.state.lock().await;
        self.refresh(&mut state).await?;
        let groups = self.to_merge(&state);
        let place = self.place(&state);
        drop(state);
        if groups.is_empty() {
            return Ok(0);
        }
        let files: Vec<Arc<LakeFile>> = groups.iter().flatten().map(Arc::clone).collect();
        let merged = move || {
            let written = groups.iter().map(|it| place.merge(Purpose::Again, it));
            Ok(written.collect::<Result<Vec<_>, Error>>()?.concat())
        };
        let written = self.blocking(merged).await?;
        let count = files.len() as u64;
        // A file that was replaced meanwhile is no reason to try again at once.
        Ok(if self.swap("OPTIMIZE", files, written, false).await? { count } else { 0 })
    }

    /// Chooses files worth merging, in groups of one partition: many of one class, or any two small
    /// ones of a partition in which nothing has happened for a while. The largest groups come first,
    /// as many as one version takes.
    fn to_merge(&self, state: &State) -> Vec<Vec<Arc<LakeFile>>> {
        let large = self.settings.file_bytes_max / 2;
        let resting_ms = self.clock.now_ms().saturating_sub(self.least_kept_ms());
        let resting_ms = i64::try_from(resting_ms).unwrap_or(i64::MAX);
        let place = self.place(state);
        let mut partitions: BTreeMap<_, Vec<&Arc<LakeFile>>> = BTreeMap::new();
        for file in state.files.values().filter(|it| it.bytes < large && !it.is_cold()) {
            if let Some(partition) = place.partition_of(file) {
                partitions.entry(partition).or_default().push(file);
            }
        }
        let mut groups: Vec<Vec<&Arc<LakeFile>>> = Vec::new();
        for files in partitions.into_values() {
            let is_resting = files.iter().all(|it| it.modified_ms < resting_ms);
            let mut classes: BTreeMap<u32, Vec<&Arc<LakeFile>>> = BTreeMap::new();
            for file in files {
                let class = if is_resting { 0 } else { class_of(file.bytes) };
                classes.entry(class).or_default().push(file);
            }
            let least = if is_resting { 2 } else { self.settings.compact_files_min };
            groups.extend(classes.into_values().filter(|it| least <= it.len()));
        }
        groups.sort_by_key(|it| Reverse(it.len()));
        let (mut files_left, mut bytes_left) =
            (limits::LAKE_COMPACT_FILES_MAX, self.settings.file_bytes_max);
        let mut chosen = Vec::new();
        for mut group in groups {
            group.sort_by_key(|it| (it.modified_ms, it.path.clone()));
            let fits = group.into_iter().take(files_left).take_while(|it| {
                let left = bytes_left.checked_sub(it.bytes);
                bytes_left = left.unwrap_or(bytes_left);
                left.is_some()
            });
            let fits: Vec<Arc<LakeFile>> = fits.map(Arc::clone).collect();
            if fits.len() < 2 {
                break;
            }
            files_left -= fits.len();
            chosen.push(fits);
        }
        chosen
    }

    /// Compresses some files strongly whose rows are all old; returns how many.
    async fn make_cold(&self) -> Result<u64, Error> {
        let mut state = self.state.lock().await;
        self.refresh(&mut state).await?;
        let files = self.to_make_cold(&state)?;
        let place = self.place(&state);
        drop(state);
        if files.is_empty() {
            return Ok(0);
        }
        let old = files.clone();
        let written = self.blocking(move || place.merge(Purpose::Cold, &old)).await?;
        let count = files.len() as u64;
        Ok(if self.swap("OPTIMIZE", files, written, false).await? { count } else { 0 })
    }

    /// Chooses files of one partition, those that were written first. Their age is that of their
    /// newest row, and of the file where the table has no column that tells it.
    fn to_make_cold(&self, state: &State) -> Result<Vec<Arc<LakeFile>>, Error> {
        let Some(after) = state.layout.rest.cold else { return Ok(Vec::new()) };
        let oldest_ms = self.clock.now_ms().saturating_sub(after.as_millis());
        let oldest_ms = i64::try_from(oldest_ms).unwrap_or(i64::MAX);
        let wrong = |reason| Error::Layout { table: self.name.clone(), reason };
        let time = state.layout.time.as_ref().map(|it| state.time_column(it)).transpose();
        let time = time.map_err(wrong)?;
        let is_old = |file: &LakeFile| match time.and_then(|it| file.times(it)) {
            Some(times) => times.max < oldest_ms.saturating_mul(1_000) && times.nulls == 0,
            None => file.modified_ms < oldest_ms,
        };
        let place = self.place(state);
        let mut partitions: BTreeMap<_, Vec<&Arc<LakeFile>>> = BTreeMap::new();
        for file in state.files.values().filter(|it| !it.is_cold() && is_old(it)) {
            if let Some(partition) = place.partition_of(file) {
                partitions.entry(partition).or_default().push(file);
            }
        }
        let age = |it: &&Arc<LakeFile>| (it.modified_ms, it.path.clone());
        let Some(mut files) =
            partitions.into_values().min_by_key(|files| files.iter().map(age).min())
        else {
            return Ok(Vec::new());
        };
        files.sort_by_key(age);
        let (first, mut bytes) = (files.first().map_or(0, |it| it.bytes), 0);
        let fits = files.into_iter().take_while(|it| {
            bytes += it.bytes;
            bytes <= limits::LAKE_COLD_BYTES.max(first)
        });
        Ok(fits.take(limits::LAKE_COMPACT_FILES_MAX).map(Arc::clone).collect())
    }

    /// Puts `written` in the place of `files`, unless a commit has changed them meanwhile.
    async fn swap(
        &self,
        operation: &'static str,
        files: Vec<Arc<LakeFile>>,
        written: Vec<NewFile>,
        data_change: bool,
    ) -> Result<bool, Error> {
        let paths: Vec<String> = written.iter().map(|it| it.path.clone()).collect();
        let swapped = self.try_swap(operation, files, written, data_change).await;
        if !matches!(swapped, Ok(true)) {
            self.discard_unless_named(paths).await;
        }
        swapped
    }

    async fn try_swap(
        &self,
        operation: &'static str,
        files: Vec<Arc<LakeFile>>,
        written: Vec<NewFile>,
        data_change: bool,
    ) -> Result<bool, Error> {
        let mut state = self.state.lock().await;
        self.refresh(&mut state).await?;
        let place = self.place(&state);
        let is_there = |file: &Arc<LakeFile>| {
            state.files.contains_key(&file.path) && place.partition_of(file).is_some()
        };
        if !files.iter().all(is_there) {
            return Ok(false);
        }
        let modified_ms = files.iter().map(|it| it.modified_ms).max().unwrap_or(0);
        let add = written.into_iter().map(|it| place.to_add(it, modified_ms, data_change));
        let version = Version {
            operation,
            remove: files,
            add: add.collect(),
            data_change,
            ..Version::default()
        };
        self.publish(&mut state, version).await
    }

    /// Removes files of an attempt that failed, but not if the log names them after all.
    async fn discard_unless_named(&self, paths: Vec<String>) {
        let mut state = self.state.lock().await;
        if self.refresh(&mut state).await.is_err() {
            return;
        }
        let unnamed = paths.into_iter().filter(|it| !state.files.contains_key(it)).collect();
        self.discard(unnamed).await;
    }

    /// Writes a checkpoint of the log if one is due, and drops what older ones made needless.
    async fn checkpoint(&self, upkeep: &mut Upkeep) -> Result<u64, Error> {
        let now_ms = self.clock.now_ms();
        let version = self.state.lock().await.version;
        let mut known = match upkeep.checkpoints.take() {
            Some(known) => known,
            None => self.checkpoints_there().await?,
        };
        let last = known.last().map_or(0, |(version, _)| *version);
        let mut written = 0;
        if self.settings.checkpoint_commits <= version.saturating_sub(last) {
            known.push((self.write_checkpoint().await?, now_ms));
            written = 1;
        }
        let old_ms = now_ms.saturating_sub(self.kept_ms());
        let old = known.iter().rposition(|(_, seen_ms)| *seen_ms <= old_ms);
        if let Some(old) = old {
            known.drain(..old);
            let floor = known.first().map_or(0, |(version, _)| *version);
            self.drop_log_below(floor).await?;
        }
        upkeep.checkpoints = Some(known);
        Ok(written)
    }

    async fn write_checkpoint(&self) -> Result<u64, Error> {
        let table = self.log.open().await?;
        let version = table.version().unwrap_or(0);
        let runtime = tokio::runtime::Handle::current();
        let log = self.log.clone();
        // The library encodes the checkpoint inside its future, without giving way.
        self.blocking(move || {
            let written = runtime.block_on(create_checkpoint(&table, None));
            written.map_err(|it| log.wrong(it))
        })
        .await?;
        Ok(version)
    }

    /// Returns the checkpoints that are there and when their versions were written, oldest first.
    async fn checkpoints_there(&self) -> Result<Vec<(u64, u64)>, Error> {
        let (log, now_ms) = (self.log.clone(), self.clock.now_ms());
        self.blocking(move || {
            let names = names_in(&log.folder())?;
            let checkpoints = names.iter().filter(|it| it.contains(".checkpoint"));
            let versions: BTreeSet<u64> = checkpoints.filter_map(|it| version_of(it)).collect();
            let made = versions.into_iter().map(|it| Ok((it, log.made_ms(it)?.unwrap_or(now_ms))));
            made.collect()
        })
        .await
    }

    async fn drop_log_below(&self, floor: u64) -> Result<(), Error> {
        let (folder, disk) = (self.log.folder(), self.disk.clone());
        self.blocking(move || {
            for name in names_in(&folder)? {
                if version_of(&name).is_some_and(|it| it < floor) {
                    let path = folder.join(name);
                    disk.remove(&path).map_err(at("remove", &path))?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Reads from the log when files left the table before the program began.
    async fn recall_left(&self) -> Result<(), Error> {
        let log = self.log.clone();
        let before = self.blocking(move || log.left_ms()).await?;
        let mut left_ms = self.left_ms.lock();
        for (path, then_ms) in before {
            left_ms.entry(path).or_insert(then_ms);
        }
        Ok(())
    }

    /// Deletes files that no version names: replaced ones when readers had their time, and those
    /// of epochs that were never committed.
    async fn sweep(&self, upkeep: &mut Upkeep) -> Result<u64, Error> {
        let (now_ms, kept_ms) = (self.clock.now_ms(), self.kept_ms());
        let least_ms = self.least_kept_ms();
        if upkeep.swept_ms.is_some_and(|it| now_ms.saturating_sub(it) < least_ms / 4) {
            return Ok(0);
        }
        if upkeep.swept_ms.is_none() {
            self.recall_left().await?;
        }
        upkeep.swept_ms = Some(now_ms);
        let root = self.root.clone();
        let found = self.blocking(move || files_in(&root)).await?;
        let in_snapshots = self.in_snapshots();
        self.left_ms.lock().retain(|path, _| found.contains(path));
        upkeep.unnamed_ms.retain(|path, _| found.contains(path));
        let mut swept = 0;
        let found: Vec<String> = found.into_iter().collect();
        for some in found.chunks(limits::LAKE_SWEEP_FILES_MAX) {
            let mut state = self.state.lock().await;
            self.refresh(&mut state).await?;
            let mut needless = Vec::new();
            for path in some {
                if state.files.contains_key(path) || in_snapshots.contains(path) {
                    upkeep.unnamed_ms.remove(path);
                    continue;
                }
                // What no version in the log names is needed by none that can be asked for.
                let left_ms = self.left_ms.lock().get(path).copied();
                let (since_ms, kept_ms) = match left_ms {
                    Some(left_ms) => (left_ms, kept_ms),
                    None => {
                        let first_ms = upkeep.unnamed_ms.entry(path.clone()).or_insert(now_ms);
                        (*first_ms, least_ms)
                    }
                };
                if is_needless(path, state.epoch, now_ms.saturating_sub(since_ms), kept_ms) {
                    needless.push(path.clone());
                }
            }
            swept += needless.len() as u64;
            // Under the lock: what a version names meanwhile must stay.
            self.discard(needless).await;
        }
        tracing::debug!(table = %self.name, swept, since_ms = upkeep.opened_ms, "folder swept");
        Ok(swept)
    }
}

/// Decides whether a file that no version names can go. An epoch beyond the last one committed
/// may stand in a checkpoint whose commit is still to come.
fn is_needless(path: &str, committed: base::Epoch, unnamed_ms: u64, kept_ms: u64) -> bool {
    match Purpose::of(path) {
        Some(Purpose::Epoch(epoch)) => epoch <= committed && kept_ms <= unnamed_ms,
        Some(Purpose::Again | Purpose::Cold) => kept_ms <= unnamed_ms,
        None => FOREIGN_KEPT_MS.max(kept_ms) <= unnamed_ms,
    }
}

/// Returns whether at least half of a file is too old, if its rows are spread evenly.
fn is_mostly_old(min: i64, max: i64, oldest: i64) -> bool {
    let (span, old) = (i128::from(max) - i128::from(min), i128::from(oldest) - i128::from(min));
    span <= 2 * old
}

fn class_of(bytes: u64) -> u32 {
    let mut class = 0;
    let mut limit = SMALL_BYTES;
    while limit <= bytes {
        class += 1;
        limit = limit.saturating_mul(CLASS_FACTOR);
    }
    class
}

fn names_in(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = std::fs::read_dir(folder).map_err(at("list", folder))?;
    let names = entries.map(|it| Ok(it?.file_name().to_string_lossy().into_owned()));
    names.collect::<std::io::Result<_>>().map_err(at("list", folder))
}

/// Lists the Parquet files of a table and what was left unfinished, by their paths in its folder.
/// A folder with a log of its own is a table that is being built beside this one: not ours yet.
fn files_in(root: &Path) -> Result<BTreeSet<String>, Error> {
    let mut found = BTreeSet::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let full = root.join(&folder);
        let log = full.join(FOLDER);
        if !folder.is_empty() && log.try_exists().map_err(at("look for", &log))? {
            continue;
        }
        for entry in std::fs::read_dir(&full).map_err(at("list", &full))? {
            let entry = entry.map_err(at("list", &full))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if entry.file_type().map_err(at("list", &full))?.is_dir() {
                if name != FOLDER {
                    folders.push(path);
                }
            } else if name.ends_with(".parquet") || name.starts_with(UNFINISHED) {
                found.insert(path);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
