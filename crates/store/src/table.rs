//! One table at rest: what commits to it, exactly once, and what reads it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use base::{Clock, Epoch, limits};
use datafusion::catalog::TableProvider;
use parking_lot::{Mutex, RwLock};
use rows::sink::{Actions, Change, Sink, SinkError};

use crate::change::{Place, Prepared, Replaced, Stretches, Touch, outside, touch};
use crate::disk::{Disk, at};
use crate::error::Error;
use crate::file::{NewFile, Purpose};
use crate::lake::Settings;
use crate::log::{Add, CommitInfo, Line, Log, MetaData, Txn};
use crate::provider::LakeProvider;
use crate::schema::{conform, stranger};
use crate::snapshot::Snapshots;
use crate::state::{LakeFile, State, View};
use crate::upkeep::Upkeep;

/// One Delta table on local disk.
///
/// Its owner is this program: commits and maintenance take turns by a lock that is held for one
/// version at a time. Another program may commit as well; then the log is read again and the
/// change is resolved anew, because a version belongs to whoever writes it first.
#[derive(Debug)]
pub struct LakeTable {
    pub(crate) name: String,
    pub(crate) root: PathBuf,
    pub(crate) disk: Disk,
    pub(crate) log: Log,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
    pub(crate) state: tokio::sync::Mutex<State>,
    view: RwLock<Arc<View>>,
    /// What maintenance remembers; locked for as long as a run of it takes.
    pub(crate) upkeep: Arc<tokio::sync::Mutex<Upkeep>>,
    /// When files left the table, for the sweep.
    pub(crate) left_ms: Mutex<BTreeMap<String, u64>>,
    /// Versions that are kept for longer.
    pub(crate) snapshots: Mutex<Snapshots>,
}

/// What a table holds at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rows in them.
    pub rows: u64,
    /// The last version of the table's log.
    pub version: u64,
    /// When that was written, in milliseconds since 1970.
    pub committed_ms: u64,
}

/// One version of the log to be.
#[derive(Debug, Default)]
pub(crate) struct Version {
    pub(crate) operation: &'static str,
    pub(crate) metadata: Option<MetaData>,
    pub(crate) epoch: Option<Epoch>,
    pub(crate) remove: Vec<Arc<LakeFile>>,
    pub(crate) add: Vec<Add>,
    /// Whether the table's rows change, not only their files.
    pub(crate) data_change: bool,
}

impl LakeTable {
    /// Takes over a table that is open.
    pub(crate) fn new(
        root: PathBuf,
        log: Log,
        (state, snapshots): (State, Snapshots),
        disk: Disk,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> LakeTable {
        LakeTable {
            name: state.layout.name.to_string(),
            root,
            disk,
            log,
            settings,
            view: RwLock::new(Arc::new(state.view())),
            upkeep: Arc::new(tokio::sync::Mutex::new(Upkeep::new(clock.now_ms()))),
            clock,
            state: tokio::sync::Mutex::new(state),
            left_ms: Mutex::new(BTreeMap::new()),
            snapshots: Mutex::new(snapshots),
        }
    }

    /// Returns the table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the table's folder, for programs that read Delta tables themselves.
    pub fn folder(&self) -> &Path {
        &self.root
    }

    /// Returns what is committed now as a table for SQL. It costs no I/O, works in any session
    /// and keeps showing the same rows, for at least `Settings::replaced_kept`.
    pub fn provider(&self) -> Arc<dyn TableProvider> {
        Arc::new(LakeProvider::new(self.view()))
    }

    /// Returns what the table holds now.
    pub fn facts(&self) -> Facts {
        self.view.read().facts
    }

    pub(crate) fn place(&self, state: &State) -> Place {
        Place::of(state, &self.disk, &self.root, self.settings.file_bytes_max)
    }

    pub(crate) fn now_ms(&self) -> i64 {
        i64::try_from(self.clock.now_ms()).unwrap_or(i64::MAX)
    }

    /// Reads the log again if another program, or a write that failed half-way, may have added
    /// to it.
    pub(crate) async fn refresh(&self, state: &mut State) -> Result<(), Error> {
        if !state.is_stale {
            return Ok(());
        }
        let log = self.log.clone();
        self.blocking(move || log.settle()).await?;
        let read = self.log.read(&state.layout.app_id()).await?;
        let layout = Arc::clone(&state.layout);
        let before: Vec<String> = state.files.keys().cloned().collect();
        *state = State::new(&self.root, layout, read)?;
        let now_ms = self.clock.now_ms();
        let gone = before.into_iter().filter(|it| !state.files.contains_key(it));
        self.left_ms.lock().extend(gone.map(|it| (it, now_ms)));
        self.show(state);
        Ok(())
    }

    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read())
    }

    pub(crate) fn show(&self, state: &State) {
        *self.view.write() = Arc::new(state.view());
    }

    /// Writes a version and takes it over; `false` if another program was faster.
    pub(crate) async fn publish(&self, state: &mut State, version: Version) -> Result<bool, Error> {
        let now_ms = self.now_ms();
        let lines = self.lines(state, &version, now_ms);
        let (log, number) = (self.log.clone(), state.version + 1);
        // From here until it is known how the write ended, the log may be ahead of what is known.
        state.is_stale = true;
        if !self.blocking(move || log.append(number, &lines)).await? {
            return Ok(false);
        }
        self.apply(state, version)?;
        state.version = number;
        state.committed_ms = self.clock.now_ms();
        state.is_stale = false;
        self.show(state);
        Ok(true)
    }

    fn apply(&self, state: &mut State, version: Version) -> Result<(), Error> {
        let now_ms = self.clock.now_ms();
        let mut left_ms = self.left_ms.lock();
        for file in &version.remove {
            state.files.remove(&file.path);
            left_ms.insert(file.path.clone(), now_ms);
        }
        drop(left_ms);
        if let Some(epoch) = version.epoch {
            state.epoch = epoch;
        }
        if let Some(metadata) = version.metadata {
            state.metadata = metadata;
        }
        version.add.into_iter().try_for_each(|it| state.add(&self.root, it))
    }

    fn lines(&self, state: &State, version: &Version, now_ms: i64) -> Vec<Line> {
        let mut parameters = BTreeMap::from([("flow", state.layout.flow.clone())]);
        if let Some(epoch) = version.epoch {
            parameters.insert("epoch", epoch.to_string());
        }
        let mut lines = vec![Line::CommitInfo(CommitInfo {
            timestamp: now_ms,
            operation: version.operation,
            operation_parameters: parameters,
            engine_info: "mainstem",
        })];
        lines.extend(version.metadata.clone().map(Line::MetaData));
        lines.extend(version.epoch.map(|epoch| {
            Line::Txn(Txn {
                app_id: state.layout.app_id(),
                version: i64::try_from(epoch.0).unwrap_or(i64::MAX),
                last_updated: now_ms,
            })
        }));
        let removed = version.remove.iter();
        lines.extend(removed.map(|it| Line::Remove(it.to_remove(now_ms, version.data_change))));
        lines.extend(version.add.iter().cloned().map(Line::Add));
        lines
    }

    /// Runs work that waits for the disk or computes for long.
    pub(crate) async fn blocking<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, Error> + Send + 'static,
    {
        blocking(&self.name, work).await
    }

    /// Forgets files that were written but are of no use; the sweep finds what cannot be removed.
    pub(crate) async fn discard(&self, files: Vec<String>) {
        let (disk, root) = (self.disk.clone(), self.root.clone());
        let removed = self.blocking(move || {
            for file in files {
                let path = root.join(file);
                disk.remove(&path).map_err(at("remove", &path))?;
            }
            Ok(())
        });
        if let Err(error) = removed.await {
            tracing::debug!(table = %self.name, %error, "files of no use stay until the sweep");
        }
    }

    async fn write_change(&self, epoch: Epoch, change: Change) -> Result<Prepared, Error> {
        let state = self.state.lock().await;
        let (place, shape) = (self.place(&state), state.shape());
        if let rows::sink::Replace::Windows { column, .. } = &change.replace {
            state.time_column(column).map_err(|it| self.refuse(&it))?;
        }
        drop(state);
        let (name, now_ms) = (self.name.clone(), self.now_ms());
        self.blocking(move || {
            let refuse = |reason: String| Error::Change { table: name.clone(), reason };
            let fit = |batch: &RecordBatch| {
                if let Some(column) = stranger(batch, &place.columns) {
                    return Err(refuse(format!("it has no column `{column}`")));
                }
                conform(batch, &place.columns).map_err(refuse)
            };
            let rows = change.rows.iter().filter(|it| 0 < it.num_rows());
            let batches = rows.map(fit).collect::<Result<_, _>>()?;
            let places =
                change.more.iter().flat_map(|lot| (0..lot.batches()).map(move |it| (lot, it)));
            let more = places.flat_map(|(lot, place)| match lot.read(place) {
                Ok(rows) => rows.iter().map(fit).collect(),
                Err(source) => vec![Err(Error::Lot { table: name.clone(), source })],
            });
            let files = place.write(Purpose::Epoch(epoch), batches, more)?;
            let add = files.into_iter().map(|it| place.to_add(it, now_ms, true));
            Ok(Prepared { shape, add: add.collect(), replace: Replaced::from(change.replace) })
        })
        .await
    }

    async fn commit_change(&self, epoch: Epoch, prepared: Prepared) -> Result<(), Error> {
        let mut state = self.state.lock().await;
        for _ in 0..limits::LAKE_COMMIT_TRIES_MAX {
            self.refresh(&mut state).await?;
            if prepared.is_empty() || epoch <= state.epoch {
                return Ok(());
            }
            let mut version = self.resolve(&state, &prepared).await?;
            version.epoch = Some(epoch);
            let rewritten: Vec<String> = version
                .add
                .iter()
                .filter(|it| Purpose::of(&it.path) == Some(Purpose::Again))
                .map(|it| it.path.clone())
                .collect();
            if self.publish(&mut state, version).await? {
                return Ok(());
            }
            self.discard(rewritten).await;
        }
        Err(Error::Contended { table: self.name.clone(), tries: limits::LAKE_COMMIT_TRIES_MAX })
    }

    /// Says what a change means for the table as it is: which files go, which come.
    async fn resolve(&self, state: &State, prepared: &Prepared) -> Result<Version, Error> {
        let add = self.checked(state, prepared).await?;
        let mut version =
            Version { operation: "WRITE", add, data_change: true, ..Version::default() };
        match &prepared.replace {
            Replaced::Nothing => {}
            Replaced::All => version.remove = state.files.values().map(Arc::clone).collect(),
            Replaced::Windows { column, starts, span_us } => {
                let stretches = Stretches { starts: starts.clone(), span_us: *span_us };
                let index = state.time_column(column).map_err(|it| self.refuse(&it))?;
                let mut partly = Vec::new();
                for file in state.files.values() {
                    match touch(file, index, &stretches) {
                        Touch::Not => continue,
                        Touch::Whole => {}
                        Touch::Part => partly.push(Arc::clone(file)),
                    }
                    version.remove.push(Arc::clone(file));
                }
                let rest = self.without_windows(state, partly, index, stretches).await?;
                version.add.extend(rest);
            }
        }
        Ok(version)
    }

    /// Writes the rows of `files` that lie in none of the stretches.
    async fn without_windows(
        &self,
        state: &State,
        files: Vec<Arc<LakeFile>>,
        column: usize,
        stretches: Stretches,
    ) -> Result<Vec<Add>, Error> {
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let (place, now_ms) = (self.place(state), self.now_ms());
        self.blocking(move || {
            let mut rest: Vec<NewFile> = Vec::new();
            for file in &files {
                rest.extend(place.write_again(file, |it| outside(it, column, &stretches))?);
            }
            Ok(rest.into_iter().map(|it| place.to_add(it, now_ms, true)).collect())
        })
        .await
    }

    /// Looks whether prepared files are what they were, and writes them again if the table's
    /// columns or partitions have changed since.
    async fn checked(&self, state: &State, prepared: &Prepared) -> Result<Vec<Add>, Error> {
        let is_same_shape = prepared.shape == state.shape();
        let (place, add, now_ms) = (self.place(state), prepared.add.clone(), self.now_ms());
        let (name, declared) = (self.name.clone(), state.layout.schema.fields().len());
        self.blocking(move || {
            for file in &add {
                let path = place.root.join(&file.path);
                let bytes = path.metadata().map_err(at("find", &path))?.len();
                if bytes != file.size {
                    let reason = format!(
                        "`{}` has {bytes} bytes and was written with {}",
                        path.display(),
                        file.size,
                    );
                    return Err(Error::Damaged { table: name, reason });
                }
            }
            if is_same_shape {
                return Ok(add);
            }
            let mut again = Vec::new();
            for file in add {
                let file = LakeFile::new(&place.root, file, &place.columns, declared)
                    .map_err(|reason| Error::Change { table: name.clone(), reason })?;
                // Its partition is of the old shape, so each row is looked at.
                let file = LakeFile { values: BTreeMap::from([(String::new(), None)]), ..file };
                again.extend(place.write_again(&file, |_| Ok(None))?);
            }
            Ok(again.into_iter().map(|it| place.to_add(it, now_ms, true)).collect())
        })
        .await
    }

    fn refuse(&self, reason: &str) -> Error {
        Error::Change { table: self.name.clone(), reason: reason.to_owned() }
    }
}

/// Runs work that waits for the disk or computes for long, away from the tasks that must not wait.
pub(crate) async fn blocking<T, F>(table: &str, work: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Error> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
        Err(_cut_off) => Err(Error::CutOff { table: table.to_owned() }),
    }
}

#[async_trait]
impl Sink for LakeTable {
    async fn prepare(&self, epoch: Epoch, change: Change) -> Result<Actions, SinkError> {
        let prepared = self.write_change(epoch, change).await;
        let actions = prepared.and_then(|it| it.to_actions().map_err(|it| self.refuse(&it)));
        actions.map_err(|it| it.into_sink(&self.name))
    }

    async fn commit(&self, epoch: Epoch, actions: Actions) -> Result<(), SinkError> {
        let prepared = Prepared::from_actions(actions).map_err(|it| self.refuse(&it));
        let done = match prepared {
            Ok(prepared) => self.commit_change(epoch, prepared).await,
            Err(error) => Err(error),
        };
        done.map_err(|it| it.into_sink(&self.name))
    }

    async fn committed(&self) -> Result<Epoch, SinkError> {
        let mut state = self.state.lock().await;
        self.refresh(&mut state).await.map_err(|it| it.into_sink(&self.name))?;
        Ok(state.epoch)
    }
}

#[cfg(test)]
pub(crate) mod tests;
