//! A flow: reads its streams, computes its tables, hands them over epoch by epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Epoch, Name};
use datafusion::catalog::TableProvider;
use datafusion::prelude::SessionContext;
use journal::Journal;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::batch::Book;
use crate::checkpoint::{Checkpoint, Detached, Files};
use crate::error::Error;
use crate::flow::backfill::{Backfill, History};
use crate::flow::checks::CheckRun;
pub(crate) use crate::flow::run::SHOW_SHARE;
use crate::flow::runs::{Job, Target};
use crate::flow::stream::StreamRun;
use crate::handle::Shown;
use crate::handover::HandedOver;
use crate::hot::HotRows;
use crate::lookup::Lookup;
use crate::plan::{TableKind, TablePlan};
use crate::setup::{Observer, Settings, Storage};
use crate::slot::{Slot, SlotTable};
use crate::spill::Spills;
use crate::stats::{Stats, TableStats};
use crate::table::{self, Body, Hot};
use crate::view::{TableView, View};

mod backfill;
mod budget;
mod build;
mod checks;
mod dead;
mod epoch;
mod open;
mod publish;
mod run;
mod runs;
mod stream;
mod tick;

pub use build::{Beside, Build, BuildSetup, Progress, built_tables};

/// A flow that stands still: driven step by step, or set going by [`Flow::run`].
pub struct Flow {
    name: Name,
    journal: Journal,
    clock: Arc<dyn Clock>,
    settings: Settings,
    /// Plans that run tick by tick.
    session: SessionContext,
    /// Plans that compute whole tables.
    wholes: SessionContext,
    files: Files,
    spills: Spills,
    streams: Vec<StreamRun>,
    lookups: Vec<Lookup>,
    tables: Vec<TableRun>,
    /// What must hold of their rows.
    checks: Vec<CheckRun>,
    /// Tables that are made anew because a lookup changed.
    backfill: Option<Backfill>,
    observer: Option<Box<dyn Observer>>,
    /// The epoch that ticks fill now.
    epoch: Epoch,
    /// The last epoch that counts, with what it says.
    durable: Checkpoint,
    in_flight: Option<JoinHandle<Result<HandedOver, Error>>>,
    flushes: Arc<Mutex<Flushes>>,
    /// Records taken in, and their bytes, since the epoch began.
    epoch_records: u64,
    epoch_bytes: usize,
    epoch_began: Duration,
    /// What the observer last remembered durably.
    observer_state: Vec<u8>,
    /// Tables whose rows changed since they were last shown.
    changed: BTreeSet<Name>,
    shown: Arc<Shown>,
    stats: Stats,
    /// Whether whole tables are computed beside the ticks; else within.
    is_running: bool,
}

/// What hand-overs tell while they run.
#[derive(Debug, Default)]
struct Flushes {
    failures: u64,
    error: Option<String>,
    took: Duration,
    took_all: Duration,
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow").field("name", &self.name).finish_non_exhaustive()
    }
}

/// One table of a running flow.
struct TableRun {
    plan: Arc<TablePlan>,
    body: Body,
    dead: HotRows,
    own: Stored,
    dead_stored: Stored,
    /// The versions of lookups that its rows of before were made with.
    history: History,
    /// Those with which they were tried to be made last.
    tried: History,
    /// The epoch that its rows bear until the epoch ends in which they were taken over.
    tagged: Option<Epoch>,
    detached: Option<Detached>,
    /// Why a table that is recomputed is not, if a check of what it reads fails.
    held: Option<String>,
    /// Whether a table that was held is to be made anew.
    returns: bool,
    stats: TableStats,
    /// What ran so far, if it is recomputed.
    book: Book,
    /// A computation of the whole table under way.
    job: Option<Job>,
    /// How far the streams must be taken in before a new object starts it.
    target: Target,
    /// Until when it is left as it is: what it took last must not be all that its flow does.
    rests_until: Duration,
    /// What is known of it if its rows are made elsewhere: here it is only read.
    given: Option<Given>,
}

/// A table whose rows are made elsewhere.
#[derive(Debug, Clone, Copy, Default)]
struct Given {
    /// How far its time has come: windows that end at or before it are final, in microseconds.
    watermark_us: Option<i64>,
}

type Computed = datafusion::error::Result<Vec<arrow::array::RecordBatch>>;

/// Where a table lies, and what is committed there as the flow shows it.
struct Stored {
    storage: Storage,
    cold: Arc<dyn TableProvider>,
}

impl Stored {
    fn new(storage: Storage) -> Stored {
        let cold = (storage.cold)();
        Stored { storage, cold }
    }

    /// Takes over what was committed since.
    fn renew(&mut self) {
        self.cold = (self.storage.cold)();
    }
}

impl TableRun {
    fn name(&self) -> &Name {
        self.plan.name()
    }

    /// Returns since when it no longer follows what it reads.
    fn stale_since_ms(&self) -> Option<u64> {
        let detached = self.detached.as_ref().map(|it| it.since_ms);
        detached.or(self.stats.stale_since_ms)
    }

    /// Returns the table as it is in this very tick.
    fn view(&self) -> Arc<TableView> {
        let Hot { rows, hides, spilled } = self.body.hot();
        Arc::new(TableView {
            name: self.name().clone(),
            kind: self.plan.kind,
            schema: Arc::clone(&self.plan.schema),
            whole: Arc::clone(&self.plan.schema),
            stale_since_ms: self.stale_since_ms(),
            cold: Arc::clone(&self.own.cold),
            hides,
            hot: rows,
            spilled,
        })
    }

    fn dead_view(&self) -> Arc<TableView> {
        dead_view(&self.plan.dead, &self.dead, &self.dead_stored)
    }
}

fn dead_view(name: &Name, rows: &HotRows, stored: &Stored) -> Arc<TableView> {
    Arc::new(TableView {
        name: name.clone(),
        kind: TableKind::Dead,
        schema: rows::schema::of_dead(),
        whole: rows::schema::of_dead(),
        stale_since_ms: None,
        cold: Arc::clone(&stored.cold),
        hides: rows.hides(),
        hot: rows.rows(),
        spilled: Vec::new(),
    })
}

impl Flow {
    /// Returns the flow's name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Takes in what has arrived (at most one tick's worth), shows it, and returns how many
    /// records it was.
    ///
    /// # Errors
    /// When the journal fails, or a plan that is not of one table. A table that fails is detached
    /// and told in [`Stats`].
    pub async fn tick(&mut self) -> Result<u64, Error> {
        let records = Box::pin(self.step()).await?;
        Box::pin(self.publish()).await?;
        Ok(records)
    }

    /// Ticks until nothing is left in the journal, and returns how many records it was.
    ///
    /// # Errors
    /// See [`Flow::tick`].
    pub async fn tick_all(&mut self) -> Result<u64, Error> {
        let mut all = 0;
        loop {
            match self.tick().await? {
                0 => return Ok(all),
                records => all += records,
            }
        }
    }

    /// Makes all that was ticked durable; returns the last durable epoch.
    ///
    /// # Errors
    /// When a step of the hand-over fails. Only opening the flow anew tells how far it came.
    pub async fn flush(&mut self) -> Result<Epoch, Error> {
        Box::pin(self.finish_epoch()).await?;
        if let Some(handover) = Box::pin(self.end_epoch()).await? {
            let done = Box::pin(handover.run(None)).await?;
            self.take_over(done);
            self.show(false).await;
        }
        Ok(self.durable.epoch)
    }

    /// Returns all tables as of the last tick.
    pub fn view(&self) -> Arc<View> {
        self.shown.view.load_full()
    }

    /// Returns what the flow did.
    pub fn stats(&self) -> Arc<Stats> {
        self.shown.stats.load_full()
    }

    /// Finds the table of that name as it is in this very tick.
    fn table_view(&self, name: &str) -> Option<Arc<TableView>> {
        find_view(&self.streams, &self.tables, &self.lookups, name)
    }
}

/// Finds a table among these streams, tables and lookups.
fn find_view(
    streams: &[StreamRun],
    tables: &[TableRun],
    lookups: &[Lookup],
    name: &str,
) -> Option<Arc<TableView>> {
    for stream in streams {
        if stream.plan.declared.name == *name {
            return Some(stream.view());
        }
        if stream.plan.dead == *name {
            return Some(stream.dead_view());
        }
    }
    for table in tables {
        if *table.name() == *name {
            return Some(table.view());
        }
        if table.plan.dead == *name {
            return Some(table.dead_view());
        }
    }
    lookups.iter().find(|it| it.name == *name).map(publish::lookup_view)
}

/// Finds what a plan reads under that name.
fn find_provider(
    streams: &[StreamRun],
    tables: &[TableRun],
    lookups: &[Lookup],
    name: &str,
    sees_final: bool,
) -> Option<Arc<dyn TableProvider>> {
    if let Some(lookup) = lookups.iter().find(|it| it.name == *name) {
        return Some(Arc::new(SlotTable(Slot::of_lookup(&lookup.data.rows))));
    }
    let view = find_view(streams, tables, lookups, name)?;
    Some(table::provider(&view, sees_final))
}

/// The tables of a flow at one moment, by name.
type Views = BTreeMap<Name, Arc<TableView>>;

#[cfg(test)]
mod tests;
