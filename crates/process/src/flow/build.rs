//! Tables that are made beside what runs, from stored rows, until they can take their place.
//!
//! A build is a flow that nobody sees. Its records are the stored rows of the tables that stay as
//! they are: raw, row by row, or by windows.
//!
//! 1. It takes in what was stored at the end of an epoch of the running flows. Where windows wait
//!    for time, rows come in order of event time, a stretch after the other, so that windows become
//!    final as they did in life and only those of one stretch are in memory.
//! 2. It follows epoch by epoch, until it has caught up. Of tables whose rows are replaced it hears
//!    which windows changed (`build/told.rs`).
//! 3. When the running flows have stopped, it takes in their last epoch and writes down its state.
//!    The flows of the new project open with it, as after a restart.
//!
//! docs/decisions/0005 says why.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use base::{Clock, Epoch, Name};
use datafusion::common::{Column, ScalarValue};
use datafusion::error::{DataFusionError, Result as Computed};
use datafusion::logical_expr::{Expr, lit};
use futures::TryStreamExt;
use journal::Disk;
use rows::sink::SinkError;

use crate::checkpoint::{Files, TablePoint};
use crate::error::Error;
use crate::flow::open::Past;
use crate::flow::tick::Fresh;
use crate::flow::{Flow, Given, Stored};
use crate::plan::{FlowPlan, TablePlan};
use crate::setup::{Grown, GrownPart, GrownRows, Setup};
use crate::table::Body;
use crate::table::whole::Whole;

mod beside;
mod told;

pub use beside::Beside;
use told::Told;

/// Rows of one stretch of time, about.
const STRETCH_ROWS: u64 = if cfg!(test) { 3 } else { 1_000_000 };

/// Rows that are taken in at once.
const TICK_ROWS: usize = if cfg!(test) { 2 } else { 128 * 1024 };

/// A committed epoch is visible after so long at most; on a full disk it may never be.
const VISIBLE_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Everything a build needs from outside.
pub struct BuildSetup {
    /// The flow as it is to be; `folder` is that of the build, and the storage of the tables that
    /// are built is theirs alone.
    pub setup: Setup,
    /// The folder with the checkpoints of the flows that run.
    pub live: PathBuf,
    /// What is built, and what it reads.
    pub beside: Beside,
    /// The tables that are followed.
    pub grown: BTreeMap<Name, Arc<dyn Grown>>,
    /// Told how far it has come.
    pub progress: Arc<Progress>,
}

impl std::fmt::Debug for BuildSetup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuildSetup").field("beside", &self.beside).finish_non_exhaustive()
    }
}

/// How far a build has come.
#[derive(Debug, Default)]
pub struct Progress {
    /// Rows taken in.
    pub rows_done: AtomicU64,
    /// Rows known to be there.
    pub rows: AtomicU64,
}

/// See the module.
pub struct Build {
    flow: Flow,
    live: PathBuf,
    beside: Beside,
    followed: Vec<Followed>,
    /// Tables whose rows are replaced, window by window.
    told: Vec<Told>,
    /// Whether rows of before are taken in by time.
    is_by_time: bool,
    /// Whether what was made may be stored before all that is seen was taken in: not where a table
    /// looks at what it follows again.
    may_store: bool,
    progress: Arc<Progress>,
}

impl std::fmt::Debug for Build {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Build").field("beside", &self.beside).finish_non_exhaustive()
    }
}

/// A table that is followed.
struct Followed {
    name: Name,
    grown: Arc<dyn Grown>,
    /// The column with the event time that windows wait for.
    time: Option<String>,
    /// The epoch whose rows were taken in last.
    until: Option<Epoch>,
}

/// A stretch of time; open where there is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    from_us: Option<i64>,
    to_us: Option<i64>,
}

impl Build {
    /// Makes a build that has taken in nothing yet.
    ///
    /// # Errors
    /// As [`Flow::open`].
    pub async fn new(setup: BuildSetup) -> Result<Build, Error> {
        let BuildSetup { mut setup, live, beside, grown, progress } = setup;
        let is_built = |it: &Arc<TablePlan>| beside.built.contains(it.name());
        let is_read = |it: &Arc<TablePlan>| {
            [&beside.followed, &beside.told, &beside.seen].iter().any(|all| all.contains(it.name()))
        };
        setup.plan.tables.retain(|it| is_built(it) || is_read(it));
        setup.plan.checks.clear(); // What runs asks them.
        let by_time = |it: &&Arc<TablePlan>| it.window.is_some() || it.slices.is_some();
        let is_by_time = setup.plan.tables.iter().filter(|it| is_built(it)).any(|it| by_time(&it));
        let plan = setup.plan.clone();
        let nothing = Past::read(&setup.disk, &setup.folder, None)?;
        let mut flow = Box::pin(Flow::stand_up(setup, &nothing)).await?;
        for run in flow.tables.iter_mut().filter(|it| !is_built(&it.plan)) {
            let mut whole = Whole::new();
            whole.is_dirty = false;
            run.body = Body::Whole(whole);
            run.given = Some(Given::default());
        }
        let mut followed = Vec::new();
        for name in &beside.followed {
            let Some(grown) = grown.get(name) else {
                return Err(Error::StorageMissing(name.to_string()));
            };
            let (grown, time) = (Arc::clone(grown), time_of(&plan, name));
            followed.push(Followed { name: name.clone(), grown, time, until: None });
        }
        let told = Told::all(&beside, &plan, &grown)?;
        let is_by_time = is_by_time && followed.iter().all(|it| it.time.is_some());
        let may_store = plan.tables.iter().all(|it| it.slices.is_none());
        let mut build =
            Build { flow, live, beside, followed, told, is_by_time, may_store, progress };
        build.tell_times(|_, _, _| None);
        Ok(build)
    }

    /// Takes in what has become durable since the last call; returns how many rows it was.
    ///
    /// # Errors
    /// When a table cannot be made, or storage fails: the build is of no use any more.
    pub async fn catch_up(&mut self) -> Result<u64, Error> {
        let past = self.past()?;
        self.follow(&past).await
    }

    /// Reads what the flows that run have made durable.
    fn past(&self) -> Result<Past, Error> {
        Past::read(&self.flow.files.disk(), &self.live, None)
    }

    async fn follow(&mut self, past: &Past) -> Result<u64, Error> {
        let mut until = BTreeMap::new();
        for followed in &self.followed {
            let point = past.table(&followed.name).map(|(_, _, it)| it.clone());
            let (name, grown) = (&followed.name, &followed.grown);
            let epoch = visible(name, grown, point, &self.flow.clock).await?;
            until.insert(followed.name.clone(), epoch);
        }
        for run in self.flow.tables.iter_mut().filter(|it| it.given.is_some()) {
            run.own.renew();
            run.dead_stored.renew();
        }
        let is_first = self.followed.iter().all(|it| it.until.is_none());
        let mut rows =
            if is_first { self.take_all(&until).await? } else { self.take_epochs(&until).await? };
        self.show_until(&until)?;
        for followed in &mut self.followed {
            followed.until = until.get(&followed.name).copied();
        }
        self.tell_times(|stream, column, _| {
            past.stream(stream)?.times_us.get(column)?.values().copied().min()
        });
        rows += self.hear(past).await?;
        self.settle().await?;
        Ok(rows)
    }

    /// Computes what is computed as a whole, and stores all that was made: what is left for
    /// [`Build::finish`] is little.
    ///
    /// # Errors
    /// As [`Build::catch_up`].
    pub async fn compute_wholes(&mut self) -> Result<(), Error> {
        self.flow.publish().await?;
        let failed = self.flow.tables.iter().find(|it| it.stats.error.is_some());
        if let Some((run, error)) = failed.and_then(|it| Some((it, it.stats.error.clone()?))) {
            return Err(Error::Table { table: run.name().to_string(), reason: error });
        }
        self.store().await
    }

    /// Takes in the last epoch of the flows that have stopped, and writes down what their
    /// successors open with. Returns the epoch that the tables bear.
    ///
    /// # Errors
    /// As [`Build::catch_up`].
    pub async fn finish(mut self) -> Result<Epoch, Error> {
        let past = self.past()?;
        self.follow(&past).await?;
        self.store().await?;
        let mut checkpoint = self.flow.durable.clone();
        let dead = self.flow.tables.iter().filter(|it| it.given.is_none()).map(|it| &it.plan.dead);
        let names: BTreeSet<&Name> = self.beside.built.iter().chain(dead).collect();
        checkpoint.epoch = past.epoch().max(checkpoint.epoch).next();
        checkpoint.streams.clear();
        checkpoint.observer = None;
        checkpoint.tables.retain(|it, _| names.contains(it));
        for point in checkpoint.tables.values_mut() {
            point.epoch = checkpoint.epoch;
            point.actions = None; // They were done, in a storage of the build's own.
        }
        self.flow.files.commit(&checkpoint)?;
        Ok(checkpoint.epoch)
    }

    /// Takes in all rows up to these epochs.
    async fn take_all(&mut self, until: &BTreeMap<Name, Epoch>) -> Result<u64, Error> {
        self.show_until(until)?;
        let mut sources = Vec::new();
        for (at, followed) in self.followed.iter().enumerate() {
            let epoch = until.get(&followed.name).copied().unwrap_or_default();
            sources.push((at, followed.grown.rows(None, epoch)?));
        }
        let parts = |(at, rows): &(usize, GrownRows)| {
            let time = self.followed.get(*at).and_then(|it| it.time.clone());
            rows.parts.clone().into_iter().map(move |it| (time.clone(), it))
        };
        let parts: Vec<(Option<String>, GrownPart)> = sources.iter().flat_map(parts).collect();
        let rows: u64 = parts.iter().map(|(_, it)| it.rows).sum();
        self.progress.rows.fetch_add(rows, Ordering::Relaxed);
        let stretches = if self.is_by_time { stretches_of(&parts) } else { vec![Stretch::ALL] };
        let mut taken = 0;
        for stretch in stretches {
            for (at, rows) in &sources {
                taken += self.take_stretch(*at, rows, stretch).await?;
            }
            if let Some(to) = stretch.to_us {
                for (at, rows) in &sources {
                    self.show_before(*at, rows, stretch)?;
                }
                self.tell_times(|_, _, is_first| is_first.then_some(to));
                self.settle().await?;
            }
        }
        Ok(taken)
    }

    /// Shows a table that is followed as if nothing came after a stretch: what was not taken in yet
    /// must not be seen, or it would be seen twice.
    fn show_before(&mut self, at: usize, rows: &GrownRows, stretch: Stretch) -> Result<(), Error> {
        let Some(followed) = self.followed.get(at) else { return Ok(()) };
        let name = followed.name.clone();
        let until = Stretch { from_us: None, to_us: stretch.to_us };
        let condition = followed.time.as_ref().and_then(|it| until.condition(it, rows));
        let Some(condition) = condition else { return Ok(()) };
        let all = self.flow.session.read_table(Arc::clone(&rows.rows));
        let seen = all.and_then(|it| it.filter(condition));
        let seen = seen.map_err(|error| Error::table(&name, error))?;
        if let Some(stored) = stored_of(&mut self.flow, &name) {
            stored.cold = seen.into_view();
        }
        Ok(())
    }

    async fn take_stretch(
        &mut self,
        at: usize,
        rows: &GrownRows,
        stretch: Stretch,
    ) -> Result<u64, Error> {
        let Some(followed) = self.followed.get(at) else { return Ok(0) };
        let name = followed.name.clone();
        let failed = |error: DataFusionError| Error::table(&name, error);
        let time = followed.time.clone().filter(|_| self.is_by_time);
        let read = || -> Computed<_> {
            let all = self.flow.session.read_table(Arc::clone(&rows.rows))?;
            let Some(condition) = time.and_then(|it| stretch.condition(&it, rows)) else {
                return Ok(all);
            };
            all.filter(condition)
        };
        let mut batches = read().map_err(failed)?.execute_stream().await.map_err(failed)?;
        let (mut taken, mut waiting, mut count) = (0, Vec::new(), 0);
        loop {
            let batch = batches.try_next().await.map_err(failed)?;
            let is_over = batch.is_none();
            count += batch.as_ref().map_or(0, RecordBatch::num_rows);
            waiting.extend(batch.filter(|it| 0 < it.num_rows()));
            if 0 < count && (is_over || TICK_ROWS <= count) {
                let fresh = Fresh::from([(name.clone(), std::mem::take(&mut waiting))]);
                taken += std::mem::take(&mut count) as u64;
                self.take(fresh).await?;
            }
            if is_over {
                return Ok(taken);
            }
        }
    }

    /// Takes in the rows of the epochs since the last call, some epochs at once.
    async fn take_epochs(&mut self, until: &BTreeMap<Name, Epoch>) -> Result<u64, Error> {
        let mut epochs: BTreeMap<Epoch, u64> = BTreeMap::new();
        for followed in &self.followed {
            let to = until.get(&followed.name).copied().unwrap_or_default();
            for part in followed.grown.rows(followed.until, to)?.parts {
                let Some(epoch) = part.epoch else {
                    let reason = "its files were rearranged meanwhile; try again".to_owned();
                    return Err(Error::Table { table: followed.name.to_string(), reason });
                };
                *epochs.entry(epoch).or_default() += part.rows;
            }
        }
        let rows: u64 = epochs.values().sum();
        self.progress.rows.fetch_add(rows, Ordering::Relaxed);
        let (mut taken, mut waiting) = (0, 0);
        let mut from = None;
        let last = epochs.last_key_value().map(|(epoch, _)| *epoch);
        for (epoch, rows) in epochs {
            waiting += rows;
            from = from.or_else(|| Some(Epoch(epoch.0.saturating_sub(1))));
            if Some(epoch) == last || TICK_ROWS as u64 <= waiting {
                taken += self.take_between(from.take().unwrap_or_default(), epoch, until).await?;
                waiting = 0;
            }
        }
        Ok(taken)
    }

    /// Takes in the rows of the epochs after `after`, up to `to`, at once.
    async fn take_between(
        &mut self,
        after: Epoch,
        to: Epoch,
        until: &BTreeMap<Name, Epoch>,
    ) -> Result<u64, Error> {
        let (mut fresh, mut reached, mut taken) = (Fresh::new(), BTreeMap::new(), 0);
        for followed in &self.followed {
            let before = followed.until.unwrap_or_default();
            let last = until.get(&followed.name).copied().unwrap_or_default().max(before);
            let (after, to) = (after.clamp(before, last), to.clamp(before, last));
            reached.insert(followed.name.clone(), to);
            let failed = |error: DataFusionError| Error::table(&followed.name, error);
            let rows = followed.grown.rows(Some(after), to)?.rows;
            let rows = self.flow.session.read_table(rows).map_err(failed)?;
            let rows = rows.collect().await.map_err(failed)?;
            let rows: Vec<_> = rows.into_iter().filter(|it| 0 < it.num_rows()).collect();
            taken += rows.iter().map(|it| it.num_rows() as u64).sum::<u64>();
            if !rows.is_empty() {
                fresh.insert(followed.name.clone(), rows);
            }
        }
        self.show_until(&reached)?;
        self.take(fresh).await?;
        Ok(taken)
    }

    /// Runs rows through the tables, and stores what was made before it is too much.
    async fn take(&mut self, fresh: Fresh) -> Result<(), Error> {
        let rows: usize = fresh.values().flatten().map(RecordBatch::num_rows).sum();
        self.flow.through_tables(fresh, self.flow.clock.now_ms()).await?;
        self.flow.epoch_records += rows as u64; // They are the records of this flow.
        self.progress.rows_done.fetch_add(rows as u64, Ordering::Relaxed);
        self.check()?;
        if self.may_store && self.flow.settings.epoch_bytes <= self.flow.hot_bytes() {
            self.store().await?;
        }
        Ok(())
    }

    /// Closes what is over by now and brings all tables up to date.
    async fn settle(&mut self) -> Result<(), Error> {
        let now_ms = self.flow.clock.now_ms();
        self.flow.through_tables(Fresh::new(), now_ms).await?;
        Box::pin(self.flow.refresh_tables(now_ms, true)).await;
        self.check()?;
        if self.flow.settings.epoch_bytes <= self.flow.hot_bytes() {
            self.store().await?;
        }
        Ok(())
    }

    async fn store(&mut self) -> Result<(), Error> {
        Box::pin(self.flow.flush()).await?;
        self.check()
    }

    /// One table that cannot be made is the end of the build.
    fn check(&self) -> Result<(), Error> {
        let failed =
            self.flow.tables.iter().find_map(|it| Some((it.name(), it.detached.as_ref()?)));
        match failed {
            None => Ok(()),
            Some((table, why)) => {
                Err(Error::Table { table: table.to_string(), reason: why.error.clone() })
            }
        }
    }

    /// Shows the tables that are followed as they were at the end of these epochs.
    fn show_until(&mut self, until: &BTreeMap<Name, Epoch>) -> Result<(), Error> {
        for followed in &self.followed {
            let epoch = until.get(&followed.name).copied().unwrap_or_default();
            let cold = followed.grown.rows(None, epoch)?.rows;
            if let Some(stored) = stored_of(&mut self.flow, &followed.name) {
                stored.cold = cold;
            }
        }
        Ok(())
    }

    /// Says how far event time has come in each column of each stream, of which the first is that
    /// by which rows of before are taken in.
    fn tell_times(&mut self, of: impl Fn(&Name, &str, bool) -> Option<i64>) {
        for stream in &mut self.flow.streams {
            let name = &stream.plan.declared.name;
            let times = stream.plan.times.iter().enumerate();
            let told =
                times.filter_map(|(at, column)| Some((column.clone(), of(name, column, at == 0)?)));
            stream.told_us = Some(told.collect());
        }
    }
}

/// Returns the last epoch of a table that counts, once all of it is visible.
async fn visible(
    table: &Name,
    grown: &Arc<dyn Grown>,
    point: Option<TablePoint>,
    clock: &Arc<dyn Clock>,
) -> Result<Epoch, Error> {
    let began = clock.elapsed();
    loop {
        let seen = grown.renew().await?;
        let Some(point) = &point else { return Ok(Epoch::default()) };
        if point.actions.is_none() || point.epoch <= seen {
            return Ok(point.epoch);
        }
        if VISIBLE_MAX <= clock.elapsed().saturating_sub(began) {
            return Err(Error::Sink(SinkError::Unavailable {
                sink: format!("table `{table}`"),
                reason: format!("its epoch {} is not committed yet", point.epoch),
            }));
        }
        clock.sleep(LOOK_EVERY).await;
    }
}

/// Returns the tables that a build in `folder` was made of, each with the epoch it bears.
///
/// # Errors
/// When what it wrote down cannot be read.
pub fn built_tables(disk: &Arc<dyn Disk>, folder: &Path) -> Result<BTreeMap<Name, Epoch>, Error> {
    let mut tables = BTreeMap::new();
    for files in Files::all(disk, folder)? {
        let Some(checkpoint) = files.checkpoint()? else { continue };
        tables.extend(checkpoint.tables.into_iter().map(|(name, point)| (name, point.epoch)));
    }
    Ok(tables)
}

fn stored_of<'a>(flow: &'a mut Flow, name: &Name) -> Option<&'a mut Stored> {
    let streams = flow.streams.iter_mut();
    let mut streams = streams.filter(|it| it.plan.declared.name == *name).map(|it| &mut it.own);
    let tables = flow.tables.iter_mut().filter(|it| it.name() == name).map(|it| &mut it.own);
    streams.next().or_else(|| tables.into_iter().next())
}

/// Returns the column of a table that has the event time of its stream: the first that windows wait
/// for.
fn time_of(plan: &FlowPlan, table: &Name) -> Option<String> {
    let first = |it: &Name| {
        let stream = plan.streams.iter().find(|stream| stream.declared.name == *it)?;
        stream.times.first().cloned()
    };
    if let Some(column) = first(table) {
        return Some(column);
    }
    let table = plan.tables.iter().find(|it| it.name() == table)?;
    let is_time = |sources: &crate::plan::Sources| {
        !sources.is_empty()
            && sources.iter().all(|it| first(&it.stream).as_ref() == Some(&it.column))
    };
    let place = table.sources.iter().position(is_time)?;
    Some(table.schema.fields().get(place)?.name().clone())
}

impl Stretch {
    const ALL: Stretch = Stretch { from_us: None, to_us: None };

    /// Chooses its rows; those without a time are in the first.
    fn condition(self, column: &str, rows: &GrownRows) -> Option<Expr> {
        let schema = rows.rows.schema();
        let DataType::Timestamp(_, zone) = schema.field_with_name(column).ok()?.data_type() else {
            return None;
        };
        let at = |us: i64| lit(ScalarValue::TimestampMicrosecond(Some(us), zone.clone()));
        let time = || Expr::Column(Column::from_name(column));
        let from = self.from_us.map(|it| time().gt_eq(at(it)));
        let to = self.to_us.map(|it| time().lt(at(it)));
        match (from, to) {
            (None, None) => None,
            (Some(from), None) => Some(from),
            (None, Some(to)) => Some(to.or(time().is_null())),
            (Some(from), Some(to)) => Some(from.and(to)),
        }
    }
}

/// Cuts time so that each stretch holds a bounded number of rows, as far as the parts tell.
fn stretches_of(parts: &[(Option<String>, GrownPart)]) -> Vec<Stretch> {
    let mut ends = Vec::with_capacity(parts.len());
    for (column, part) in parts {
        let times = column.as_ref().and_then(|it| part.times_us.get(it));
        let Some((oldest, newest)) = times else { return vec![Stretch::ALL] };
        // The rows of a large part are spread evenly, about.
        let pieces = part.rows.div_ceil(STRETCH_ROWS).max(1);
        let length = i128::from(*newest) - i128::from(*oldest);
        for piece in 1..=pieces {
            let end = i128::from(*oldest) + length * i128::from(piece) / i128::from(pieces);
            ends.push((i64::try_from(end).unwrap_or(*newest), part.rows / pieces));
        }
    }
    ends.sort_unstable();
    let (mut stretches, mut from_us, mut rows) = (Vec::new(), None, 0);
    for (newest, of_part) in ends {
        rows += of_part;
        if STRETCH_ROWS <= rows && from_us.is_none_or(|it| it <= newest) {
            let to_us = newest.saturating_add(1);
            stretches.push(Stretch { from_us, to_us: Some(to_us) });
            (from_us, rows) = (Some(to_us), 0);
        }
    }
    stretches.push(Stretch { from_us, to_us: None });
    stretches
}
