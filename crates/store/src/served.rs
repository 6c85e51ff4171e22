//! Rows of stored tables found by their key, in a few milliseconds however many there are.
//!
//! ```text
//! commit(epoch) ─► Delta table ─► the same files read once more ─► index: key ++ sort ++ epoch ++ number → row
//! find(key) ◄──────────────────────────────────────────────────── one snapshot of it
//! ```
//!
//! The index follows its table epoch by epoch: an epoch's rows are in it before the flow lets go of
//! them, and each bears its epoch, so that a reader leaves out what its view does not count as
//! stored yet. It holds nothing that is not in the table: when it is missing, of other columns or
//! behind, it is built again from the table's files while the table goes on.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use async_trait::async_trait;
use base::{Epoch, Span};
use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Readable, Snapshot,
};
use parking_lot::Mutex;
use rows::keyed::Keyed;
use rows::sink::{Actions, Change, Sink, SinkError};

use crate::change::{Prepared, Replaced};
use crate::error::Error;
use crate::file::{self, Purpose};
use crate::state::LakeFile;
use crate::table::{LakeTable, blocking};

mod place;
mod restore;

use place::{TAIL, Tail, after_all, time_of, time_prefix};

/// Rows that are written in one step.
const BATCH_ROWS: usize = 20_000;

/// Memory for what readers asked for lately, of all tables.
const CACHE_BYTES: u64 = 128 << 20;

/// Memory for rows that are not in sorted files yet, of one table.
const WRITE_BYTES: u64 = 16 << 20;

/// Where the indexes of all tables of a data folder lie. Cheap to clone.
#[derive(Clone)]
pub struct Serving {
    database: Database,
    /// Per table what its index was made for, and how far it has come.
    told: Keyspace,
}

/// A table that is served by key: the sink of its rows, and what finds them again.
pub struct Served {
    table: Arc<LakeTable>,
    keyed: Arc<Keyed>,
    /// What the index is made for: [`Keyed::fingerprint`], which each read compares.
    made: String,
    serving: Serving,
    rows: Keyspace,
    /// The column with the time of a row, and the rows by it.
    times: Option<(usize, Keyspace)>,
    keep: Option<Span>,
    /// Held while an epoch is taken over, or the table goes back.
    turn: tokio::sync::Mutex<()>,
    work: Mutex<Work>,
    progress: Progress,
    /// The last epoch that is in the index, as `told` has it.
    epoch: AtomicU64,
}

/// How far an index that is being built has come.
#[derive(Debug, Default)]
struct Progress {
    rows: AtomicU64,
    of: AtomicU64,
}

/// What the index does at the moment.
#[derive(Debug)]
enum Work {
    Follows,
    /// It is being built; what the table commits meanwhile waits.
    Builds {
        missed: Vec<(Epoch, Prepared)>,
    },
}

/// How far the index of a table has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Point {
    /// The last epoch in it.
    epoch: u64,
    /// Rows of earlier epochs do not count any more.
    since: u64,
}

/// The rows of a key, one after the other.
pub struct Reading {
    rows: fjall::Iter,
    descending: bool,
    key_bytes: usize,
    since: u64,
    /// The last epoch that is in it.
    pub epoch: Epoch,
}

/// A row that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRow {
    /// The epoch that stored it.
    pub epoch: Epoch,
    /// Its sort value.
    pub sort: Vec<u8>,
    /// The row, for [`Keyed::read`].
    pub row: fjall::Slice,
}

impl Serving {
    /// Opens the indexes in `folder`, or begins with none.
    ///
    /// # Errors
    /// When the folder cannot be used. What is in it may be deleted: it is made again.
    pub fn open(folder: &Path) -> Result<Serving, Error> {
        let open = || -> fjall::Result<Serving> {
            let database =
                Database::builder(folder).cache_size(CACHE_BYTES).worker_threads(1).open()?;
            let told = database.keyspace("told", KeyspaceCreateOptions::default)?;
            Ok(Serving { database, told })
        };
        open().map_err(|source| Error::Index { table: String::new(), source: Box::new(source) })
    }

    /// Forgets the index of a table, which has other rows from now on.
    ///
    /// # Errors
    /// When that cannot be written down.
    pub fn forget(&self, table: &str) -> Result<(), Error> {
        let forgotten = self.told.remove(table);
        let synced = forgotten.and_then(|()| self.database.persist(PersistMode::SyncData));
        synced.map_err(|source| Error::Index { table: table.to_owned(), source: Box::new(source) })
    }

    /// Removes the indexes of all other tables.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn retain(&self, tables: &BTreeSet<String>) -> Result<(), Error> {
        for found in self.database.list_keyspace_names() {
            let name = found.trim_end_matches(TIMES);
            if name == "told" || tables.contains(name.trim_start_matches(ROWS)) {
                continue;
            }
            let of_index =
                |source| Error::Index { table: name.to_owned(), source: Box::new(source) };
            self.forget(name.trim_start_matches(ROWS))?;
            let keyspace = self.keyspace(&found).map_err(of_index)?;
            self.database.delete_keyspace(keyspace).map_err(of_index)?;
        }
        Ok(())
    }

    /// Serves a table by key; if its index is not what it must be, it is built from now on.
    ///
    /// # Errors
    /// When the index cannot be opened.
    pub async fn table(
        &self,
        table: Arc<LakeTable>,
        keyed: Arc<Keyed>,
    ) -> Result<Arc<Served>, Error> {
        let name = table.name().to_owned();
        let of_index = |source| Error::Index { table: name.clone(), source: Box::new(source) };
        let layout = Arc::clone(&table.state.lock().await.layout);
        let time = layout.time.as_ref().and_then(|it| keyed.schema().index_of(it).ok());
        let rows = self.keyspace(&format!("{ROWS}{name}")).map_err(of_index)?;
        let times = match time {
            None => None,
            Some(column) => {
                let times = self.keyspace(&format!("{ROWS}{name}{TIMES}")).map_err(of_index)?;
                Some((column, times))
            }
        };
        let served = Arc::new(Served {
            table,
            made: keyed.fingerprint(),
            keyed,
            serving: self.clone(),
            rows,
            times,
            keep: layout.keep,
            turn: tokio::sync::Mutex::default(),
            work: Mutex::new(Work::Follows),
            progress: Progress::default(),
            epoch: AtomicU64::default(),
        });
        match served.told().map_err(of_index)? {
            Some(point) => served.epoch.store(point.epoch, Ordering::Release),
            None => served.build().await?,
        }
        Ok(served)
    }

    fn keyspace(&self, name: &str) -> fjall::Result<Keyspace> {
        let options = || KeyspaceCreateOptions::default().max_memtable_size(WRITE_BYTES);
        self.database.keyspace(name, options)
    }
}

/// What the keyspaces of rows begin with, and what those of their times end with.
const ROWS: &str = "rows:";
const TIMES: &str = ":times";

impl Served {
    /// Returns how rows and keys are written.
    pub fn keyed(&self) -> &Arc<Keyed> {
        &self.keyed
    }

    /// Returns the table.
    pub fn table(&self) -> &Arc<LakeTable> {
        &self.table
    }

    /// Returns how many rows are in the index of how many, while it is being built.
    pub fn building(&self) -> Option<(u64, u64)> {
        let rows = || self.progress.rows.load(Ordering::Relaxed);
        let of = || self.progress.of.load(Ordering::Relaxed);
        matches!(*self.work.lock(), Work::Builds { .. }).then(|| (rows(), of()))
    }

    /// Looks whether the index has all that the table has, and builds it again if not. To be called
    /// once the table's last epoch was committed.
    ///
    /// # Errors
    /// When the table or the index cannot be read.
    pub async fn settle(self: &Arc<Self>) -> Result<(), Error> {
        let committed = self.table.state.lock().await.epoch;
        let told = self.told().map_err(|it| self.of_index(it))?;
        let is_there = told.is_some_and(|it| it.epoch == committed.0);
        if !is_there && self.building().is_none() {
            tracing::info!(
                table = self.table.name(),
                "the index by key is behind: it is built again"
            );
            self.build().await?;
        }
        Ok(())
    }

    /// Returns the rows of a key whose sort values are within the bounds, in their order.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn find(
        &self,
        key: &[u8],
        (from, to): (Bound<&[u8]>, Bound<&[u8]>),
        descending: bool,
    ) -> Result<Reading, Error> {
        let snapshot = self.serving.database.snapshot();
        let point = self.point_in(&snapshot).map_err(|it| self.of_index(it))?;
        let point = point.ok_or_else(|| self.behind())?;
        let from = match from {
            Bound::Unbounded => key.to_vec(),
            Bound::Included(sort) => [key, sort].concat(),
            Bound::Excluded(sort) => after_all(&[key, sort].concat()),
        };
        let to = match to {
            Bound::Unbounded => after_all(key),
            Bound::Included(sort) => after_all(&[key, sort].concat()),
            Bound::Excluded(sort) => [key, sort].concat(),
        };
        let to = to.max(from.clone());
        Ok(Reading {
            rows: snapshot.range(&self.rows, from..to),
            descending,
            key_bytes: key.len(),
            since: point.since,
            epoch: Epoch(point.epoch),
        })
    }

    /// Returns the last epoch in the index: what is stored by it is found from now on.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// Lets go of rows that are older than the table keeps them; returns how many.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub async fn expire(self: &Arc<Self>, now_ms: u64) -> Result<usize, Error> {
        /// A run of maintenance must end.
        const ROWS_MAX: usize = 200_000;
        let (Some(keep), Some(_)) = (self.keep, &self.times) else { return Ok(0) };
        let until_us = i64::try_from(now_ms.saturating_sub(keep.as_millis())).unwrap_or(i64::MAX);
        let until_us = until_us.saturating_mul(1_000);
        let served = Arc::clone(self);
        blocking(self.table.name(), move || {
            let removed = served.remove_between(i64::MIN, until_us, u64::MAX, ROWS_MAX);
            removed.map_err(|it| served.of_index(it))
        })
        .await
    }

    fn of_index(&self, source: fjall::Error) -> Error {
        Error::Index { table: self.table.name().to_owned(), source: Box::new(source) }
    }

    fn behind(&self) -> Error {
        Error::IndexBehind { table: self.table.name().to_owned() }
    }

    fn told(&self) -> fjall::Result<Option<Point>> {
        self.point_in(&self.serving.database.snapshot())
    }

    /// Returns how far the index has come, if it is one of these columns.
    fn point_in(&self, snapshot: &Snapshot) -> fjall::Result<Option<Point>> {
        let told = snapshot.get(&self.serving.told, self.table.name())?;
        Ok(told.and_then(|it| {
            let (epoch, rest) = it.split_first_chunk::<8>()?;
            let (since, made) = rest.split_first_chunk::<8>()?;
            let point =
                Point { epoch: u64::from_be_bytes(*epoch), since: u64::from_be_bytes(*since) };
            (made == self.made.as_bytes()).then_some(point)
        }))
    }

    fn tell(&self, batch: &mut OwnedWriteBatch, point: Point) {
        let mut told = Vec::new();
        told.extend_from_slice(&point.epoch.to_be_bytes());
        told.extend_from_slice(&point.since.to_be_bytes());
        told.extend_from_slice(self.made.as_bytes());
        batch.insert(&self.serving.told, self.table.name(), told);
    }

    /// Begins to build the index from the table's files.
    async fn build(self: &Arc<Self>) -> Result<(), Error> {
        let (files, epoch) = {
            let state = self.table.state.lock().await;
            let files: Vec<Arc<LakeFile>> = state.files.values().map(Arc::clone).collect();
            (files, state.epoch)
        };
        *self.work.lock() = Work::Builds { missed: Vec::new() };
        let rows = files.iter().filter_map(|it| Some(it.facts.as_ref()?.rows)).sum();
        self.progress.rows.store(0, Ordering::Relaxed);
        self.progress.of.store(rows, Ordering::Relaxed);
        self.serving.forget(self.table.name())?;
        let served = Arc::clone(self);
        let work = move || {
            let name = served.table.name().to_owned();
            match served.build_all(&files, epoch) {
                Ok(()) => tracing::debug!(table = name, rows, "the index by key is built"),
                Err(error) => {
                    tracing::error!(table = name, %error, "the index by key cannot be built");
                }
            }
        };
        if rows == 0 {
            work(); // An empty table is there at once.
        } else {
            drop(tokio::task::spawn_blocking(work));
        }
        Ok(())
    }

    fn build_all(&self, files: &[Arc<LakeFile>], epoch: Epoch) -> Result<(), Error> {
        self.rows.clear().map_err(|it| self.of_index(it))?;
        if let Some((_, times)) = &self.times {
            times.clear().map_err(|it| self.of_index(it))?;
        }
        for (number, file) in files.iter().enumerate() {
            let of = match Purpose::of(&file.path) {
                Some(Purpose::Epoch(epoch)) => epoch,
                _ => Epoch(0),
            };
            let first = u64::try_from(number).unwrap_or(u64::MAX) << 32;
            self.add_file(&file.path, of, first)?;
        }
        let mut done = Point { epoch: epoch.0, since: 0 };
        self.finish(done)?;
        loop {
            let next = {
                let mut work = self.work.lock();
                let Work::Builds { missed } = &mut *work else { return Ok(()) };
                if missed.is_empty() {
                    *work = Work::Follows;
                    return Ok(());
                }
                missed.remove(0)
            };
            done = self.apply(done, next.0, &next.1)?;
        }
    }

    /// Takes over what an epoch did to the table.
    fn apply(&self, before: Point, epoch: Epoch, prepared: &Prepared) -> Result<Point, Error> {
        if epoch.0 <= before.epoch {
            return Ok(before);
        }
        let mut point = Point { epoch: epoch.0, ..before };
        match &prepared.replace {
            Replaced::Nothing => {}
            Replaced::All => point.since = epoch.0,
            Replaced::Windows { starts, span_us, .. } => {
                for start in starts {
                    let end = start.saturating_add(*span_us);
                    self.remove_between(*start, end, epoch.0, usize::MAX)
                        .map_err(|it| self.of_index(it))?;
                }
            }
        }
        let mut first = 0;
        for file in &prepared.add {
            first += self.add_file(&file.path, epoch, first)?;
        }
        self.finish(point)?;
        if prepared.replace == Replaced::All {
            self.remove_older(epoch).map_err(|it| self.of_index(it))?;
        }
        Ok(point)
    }

    /// Adds the rows of a file; `first` is the number of the first. Returns how many.
    fn add_file(&self, path: &str, epoch: Epoch, first: u64) -> Result<u64, Error> {
        let mut number = first;
        for batch in file::read(&self.table.root, path, self.keyed.schema())? {
            let batch = batch?;
            let mut from = 0;
            while from < batch.num_rows() {
                let rows = BATCH_ROWS.min(batch.num_rows() - from);
                self.add_rows(&batch.slice(from, rows), epoch, number)?;
                number += rows as u64;
                from += rows;
            }
            self.progress.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        }
        Ok(number - first)
    }

    fn add_rows(&self, rows: &RecordBatch, epoch: Epoch, first: u64) -> Result<(), Error> {
        let refuse = |error: arrow::error::ArrowError| Error::Damaged {
            table: self.table.name().to_owned(),
            reason: error.to_string(),
        };
        let coded = self.keyed.code(rows).map_err(refuse)?;
        let times = self.times.as_ref().and_then(|(column, times)| {
            let values = rows.column(*column).as_primitive_opt::<TimestampMicrosecondType>()?;
            Some((values, times))
        });
        let mut batch = self.serving.database.batch();
        for row in 0..coded.rows() {
            let tail = Tail { epoch: epoch.0, number: first + row as u64 };
            let key = tail.after(coded.key(row), coded.sort(row));
            if let Some((values, times)) = times.filter(|(values, _)| values.is_valid(row)) {
                batch.insert(times, [&time_prefix(values.value(row))[..], &key].concat(), []);
            }
            batch.insert(&self.rows, key, coded.row(row));
        }
        batch.commit().map_err(|it| self.of_index(it))
    }

    /// Removes rows of epochs before `before` whose times lie in between; returns how many.
    fn remove_between(
        &self,
        from_us: i64,
        to_us: i64,
        before: u64,
        rows_max: usize,
    ) -> fjall::Result<usize> {
        let Some((_, times)) = &self.times else { return Ok(0) };
        let range = time_prefix(from_us).to_vec()..time_prefix(to_us).to_vec();
        let mut removed = 0;
        let mut batch = self.serving.database.batch();
        for found in times.range(range) {
            let by_time = found.key()?;
            let Some(key) = time_of(&by_time).map(|(_, key)| key) else { continue };
            if Tail::of(key).is_none_or(|it| before <= it.epoch) {
                continue;
            }
            batch.remove(&self.rows, key);
            batch.remove(times, by_time.clone());
            removed += 1;
            if batch.len() >= BATCH_ROWS {
                std::mem::replace(&mut batch, self.serving.database.batch()).commit()?;
            }
            if removed == rows_max {
                break;
            }
        }
        batch.commit()?;
        Ok(removed)
    }

    /// Removes rows of earlier epochs: none of them counts any more.
    fn remove_older(&self, epoch: Epoch) -> fjall::Result<()> {
        let keyspaces = std::iter::once(&self.rows).chain(self.times.iter().map(|(_, it)| it));
        for keyspace in keyspaces {
            let mut batch = self.serving.database.batch();
            for found in keyspace.iter() {
                let key = found.key()?;
                if Tail::of(&key).is_some_and(|it| it.epoch < epoch.0) {
                    batch.remove(keyspace, key);
                }
                if batch.len() >= BATCH_ROWS {
                    std::mem::replace(&mut batch, self.serving.database.batch()).commit()?;
                }
            }
            batch.commit()?;
        }
        Ok(())
    }

    /// Writes down how far the index has come, and makes it durable.
    fn finish(&self, point: Point) -> Result<(), Error> {
        let mut batch = self.serving.database.batch();
        self.tell(&mut batch, point);
        let done = batch.commit();
        self.epoch.store(point.epoch, Ordering::Release);
        let done = done.and_then(|()| self.serving.database.persist(PersistMode::SyncData));
        done.map_err(|it| self.of_index(it))
    }
}

impl Iterator for Reading {
    type Item = Result<FoundRow, fjall::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let next = if self.descending { self.rows.next_back() } else { self.rows.next() };
            let (key, row) = match next?.into_inner() {
                Ok(found) => found,
                Err(error) => return Some(Err(error)),
            };
            let tail = Tail::of(&key).unwrap_or_default();
            if tail.epoch < self.since {
                continue;
            }
            let sort = key.get(self.key_bytes..key.len() - TAIL).unwrap_or_default().to_vec();
            return Some(Ok(FoundRow { epoch: Epoch(tail.epoch), sort, row }));
        }
    }
}

/// A table that is served is written to through its index, so that none is ahead of the other for
/// longer than a commit takes.
pub struct ServedSink(pub Arc<Served>);

#[async_trait]
impl Sink for ServedSink {
    async fn prepare(&self, epoch: Epoch, change: Change) -> Result<Actions, SinkError> {
        self.0.table.prepare(epoch, change).await
    }

    async fn commit(&self, epoch: Epoch, actions: Actions) -> Result<(), SinkError> {
        let served = Arc::clone(&self.0);
        let refuse = |reason| Error::Change { table: served.table.name().to_owned(), reason };
        let prepared = Prepared::from_actions(actions.clone()).map_err(refuse);
        let prepared = prepared.map_err(|it| it.into_sink(served.table.name()))?;
        let _turn = served.turn.lock().await;
        served.table.commit(epoch, actions).await?;
        if let Work::Builds { missed } = &mut *served.work.lock() {
            missed.push((epoch, prepared));
            return Ok(());
        }
        let ours = Arc::clone(&served);
        let done = blocking(served.table.name(), move || {
            // An index that was forgotten is built whole when the table is opened next.
            match ours.told().map_err(|it| ours.of_index(it))? {
                Some(before) => ours.apply(before, epoch, &prepared).map(|_point| ()),
                None => Ok(()),
            }
        });
        done.await.map_err(|it| it.into_sink(served.table.name()))
    }

    async fn committed(&self) -> Result<Epoch, SinkError> {
        self.0.table.committed().await
    }
}

#[cfg(test)]
mod tests;
