//! Tables whose rows of before change with a lookup are made anew beside what runs.
//!
//! 1. When a lookup has other rows, the tables that say `lookup_backfill`, and those that follow
//!    them, are begun anew from the rows that are stored and shown at that moment, on another task.
//!    What is shown goes on meanwhile.
//! 2. Rows that come after that moment are kept for them too.
//! 3. At the end of an epoch, when they are ready, they take in those rows and then the place of the
//!    old ones: the epoch replaces what is stored.
//!
//! The checkpoint says which versions of lookups a table's rows of before were made with. After a
//! crash before step 3 they are not today's, and it begins again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use base::{ByteSize, Epoch, Name, limits};
use datafusion::catalog::TableProvider;
use datafusion::error::Result;
use datafusion::prelude::SessionContext;
use tokio::task::JoinHandle;

use crate::error::in_words;
use crate::flow::tick::{Fresh, moved};
use crate::flow::{Flow, Views, find_provider, stream};
use crate::lookup::Lookup;
use crate::lookup::index::LookupRows;
use crate::operator::Start;
use crate::plan::TablePlan;
use crate::slot::{Slot, SlotTable};
use crate::table::{self, Body, Hot, Room, Step};
use crate::view::TableView;

/// What a table that could not be made means.
const STAY: &str = "a lookup changed, but rows of before stay as they were";

/// Versions of lookups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct History(BTreeMap<Name, String>);

impl History {
    /// Returns the versions of today of the lookups that a table's rows of before change with.
    pub(crate) fn of(plan: &TablePlan, lookups: &[Lookup]) -> History {
        let changing = lookups.iter().filter(|it| plan.backfills.contains(&it.name));
        History(changing.map(|it| (it.name.clone(), it.data.version())).collect())
    }
}

impl TablePlan {
    /// Returns whether rows that this text was written down of are what the plan would make with
    /// these lookups.
    pub(crate) fn made(&self, written: &str, history: &History) -> bool {
        if history.0.is_empty() {
            // Its rows of before stay, whichever lookups they once followed.
            return written.split('+').next() == Some(self.fingerprint.as_str());
        }
        written == self.fingerprint_with(history)
    }

    /// Says whether rows made earlier, with these lookups, are still what the plan would make.
    pub(crate) fn fingerprint_with(&self, history: &History) -> String {
        let versions = history.0.iter().map(|(name, version)| format!("+{name}@{version}"));
        std::iter::once(self.fingerprint.clone()).chain(versions).collect()
    }
}

/// Tables under way.
pub(crate) struct Backfill {
    /// The epoch that their rows bear.
    epoch: Epoch,
    tables: Vec<(Name, History)>,
    lookups: Vec<(Name, Arc<LookupRows>)>,
    task: JoinHandle<Result<Vec<Body>>>,
    /// Rows since the beginning, of the tables that they read and are not among them.
    since: Fresh,
    since_bytes: usize,
    /// Windows that changed since the beginning, of those tables.
    told: BTreeMap<Name, BTreeSet<Start>>,
}

impl Backfill {
    fn is_of(&self, table: &Name) -> bool {
        self.tables.iter().any(|(it, _)| it == table)
    }
}

/// What came since tables were begun.
struct CatchingUp {
    epoch: Epoch,
    /// Lookups that have other rows by now.
    newer: Vec<Name>,
    since: Fresh,
    now_ms: u64,
}

/// What a task needs to make tables.
struct Making {
    session: SessionContext,
    room: Room,
    epoch: Epoch,
    now_ms: u64,
    /// In FROM order, each with how far event time has come in what closes its windows.
    tables: Vec<(Arc<TablePlan>, Option<i64>)>,
    lookups: Vec<(Name, Arc<LookupRows>)>,
    views: Views,
}

impl Flow {
    /// Makes the tables anew whose rows of before were made with other rows of lookups: at once, or
    /// in a running flow beside it.
    pub(crate) async fn backfill(&mut self, now_ms: u64) {
        if self.backfill.is_some() {
            return;
        }
        let mut outdated = Vec::new();
        for (place, run) in self.tables.iter_mut().enumerate() {
            let today = History::of(&run.plan, &self.lookups);
            // One that could not be made is tried again with the next version.
            let is_outdated = run.detached.is_none() && run.history != today && run.tried != today;
            if is_outdated || std::mem::take(&mut run.returns) {
                run.tried = today.clone();
                outdated.push((place, today));
            }
        }
        if outdated.is_empty() {
            return;
        }
        if self.is_running {
            return self.begin_backfill(outdated, now_ms).await;
        }
        for (place, today) in outdated {
            if let Some(run) = self.tables.get_mut(place) {
                run.attach();
            }
            self.rebuild(place, None).await;
            let Some(run) = self.tables.get_mut(place) else { continue };
            run.history = today;
            self.changed.insert(run.plan.name().clone());
        }
    }

    async fn begin_backfill(&mut self, outdated: Vec<(usize, History)>, now_ms: u64) {
        // What is read must be up to date: windows are told to those above only once.
        Box::pin(self.refresh_tables(now_ms, true)).await;
        let (mut tables, mut plans) = (Vec::new(), Vec::new());
        for (place, today) in outdated {
            let Some(run) = self.tables.get(place) else { continue };
            let plan = Arc::clone(&run.plan);
            let sources = plan.window.as_ref().map(|it| it.sources.as_slice()).unwrap_or_default();
            let time_us = stream::reached_all(&self.streams, sources, now_ms);
            tables.push((plan.name().clone(), today));
            plans.push((plan, time_us));
        }
        let lookups = self.lookups.iter();
        let lookups: Vec<(Name, Arc<LookupRows>)> =
            lookups.map(|it| (it.name.clone(), Arc::clone(&it.data.rows))).collect();
        let making = Making {
            session: self.session.clone(),
            room: self.room(),
            epoch: self.epoch,
            now_ms,
            tables: plans,
            lookups: lookups.clone(),
            views: self.all_views(),
        };
        let task = base::task::spawn("backfill", making.make());
        self.backfill = Some(Backfill {
            epoch: self.epoch,
            tables,
            lookups,
            task,
            since: Fresh::new(),
            since_bytes: 0,
            told: BTreeMap::new(),
        });
    }

    /// Keeps rows of a tick for tables that are under way.
    pub(crate) fn keep_for_backfill(&mut self, fresh: &Fresh) {
        let Some(backfill) = &mut self.backfill else { return };
        for (name, rows) in
            fresh.iter().filter(|(name, _)| !backfill.tables.iter().any(|(it, _)| it == *name))
        {
            backfill.since_bytes +=
                rows.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
            backfill.since.entry(name.clone()).or_default().extend(rows.iter().cloned());
        }
        if limits::HOT_BYTES_MAX < backfill.since_bytes {
            let max = ByteSize(limits::HOT_BYTES_MAX as u64);
            tracing::warn!(flow = %self.name, "{STAY}: more than {max} of rows came meanwhile");
            backfill.task.abort();
            for run in self.tables.iter_mut().filter(|it| it.is_held()) {
                run.returns = backfill.is_of(run.plan.name());
            }
            self.backfill = None;
        }
    }

    /// Keeps which windows changed for tables that are under way.
    pub(crate) fn tell_backfill(&mut self, told: &BTreeMap<Name, BTreeSet<Start>>) {
        let Some(backfill) = &mut self.backfill else { return };
        for (name, starts) in told {
            if !backfill.is_of(name) {
                backfill.told.entry(name.clone()).or_default().extend(starts.iter().copied());
            }
        }
    }

    /// Takes over tables that are ready; returns which windows below them changed meanwhile.
    pub(crate) async fn take_backfill(&mut self, now_ms: u64) -> BTreeMap<Name, BTreeSet<Start>> {
        let is_ready = |it: &mut Backfill| it.task.is_finished();
        let Some(backfill) = self.backfill.take_if(is_ready) else { return BTreeMap::new() };
        let Backfill { epoch, tables, lookups, task, since, told, .. } = backfill;
        let made = match task.await {
            Ok(Ok(made)) => made,
            Ok(Err(error)) => {
                let error = in_words(&error);
                tracing::warn!(flow = %self.name, error, "{STAY}");
                self.give_up(&tables, &error, now_ms);
                return BTreeMap::new();
            }
            Err(_told_already) => return BTreeMap::new(),
        };
        let is_newer =
            |it: &&Lookup| lookups.iter().all(|(_, rows)| !Arc::ptr_eq(rows, &it.data.rows));
        let newer: Vec<Name> =
            self.lookups.iter().filter(is_newer).map(|it| it.name.clone()).collect();
        let mut catching_up = CatchingUp { epoch, newer, since, now_ms };
        for ((name, history), body) in tables.into_iter().zip(made) {
            let taken = self.take_made(&name, body, &mut catching_up).await;
            let Some(run) = self.tables.iter_mut().find(|it| *it.name() == name) else { continue };
            match taken {
                Ok(false) => {}
                Ok(true) => {
                    run.history = history;
                    run.tagged = Some(epoch);
                    if run.is_held() {
                        run.attach();
                    }
                    self.changed.insert(name);
                }
                Err(error) => {
                    let error = in_words(&error);
                    tracing::warn!(table = %name, error, "{STAY}");
                    break; // Those above follow this one.
                }
            }
        }
        told
    }

    /// Says of tables that were held, and could not be made anew, why they stand still.
    fn give_up(&mut self, tables: &[(Name, History)], error: &str, now_ms: u64) {
        for run in self.tables.iter_mut().filter(|it| it.is_held()) {
            if tables.iter().any(|(it, _)| it == run.plan.name()) {
                run.detach(now_ms, error.to_owned());
            }
        }
    }

    /// Brings a table that was made beside up to date, and puts it in its place; not if it fails
    /// meanwhile.
    async fn take_made(
        &mut self,
        name: &Name,
        mut body: Body,
        catching_up: &mut CatchingUp,
    ) -> Result<bool> {
        let CatchingUp { epoch, newer, since, now_ms } = catching_up;
        let (epoch, now_ms) = (*epoch, *now_ms);
        let Some(place) = self.tables.iter().position(|it| it.name() == name) else {
            return Ok(false);
        };
        let (below, rest) = self.tables.split_at_mut(place);
        let run = rest.first_mut().filter(|it| it.detached.is_none() || it.is_held());
        let Some(run) = run else { return Ok(false) };
        let before = run.body.window_rows().map(|it| (it.watermark, it.corrections));
        if let (Body::Sliced(sliced), Some((watermark, _))) = (&mut body, before) {
            sliced.rows.watermark = watermark; // What is over needs no other lookup.
        }
        for lookup in self.lookups.iter().filter(|it| newer.contains(&it.name)) {
            body.set_lookup(&lookup.name, &lookup.data.rows)?;
        }
        let plan = Arc::clone(&run.plan);
        let sources = plan.window.as_ref().map(|it| it.sources.as_slice()).unwrap_or_default();
        let time_us = stream::reached_all(&self.streams, sources, now_ms);
        let (streams, lookups) = (&self.streams, &self.lookups);
        let tables = |name: &str| find_provider(streams, below, lookups, name, plan.sees_final);
        let step = Step {
            session: &self.session,
            epoch,
            now_ms,
            tables: &tables as &(dyn Fn(&str) -> Option<Arc<dyn TableProvider>> + Sync),
            time_us,
        };
        // Their dead letters are there: the table that goes told them when they came.
        if let Body::Sliced(sliced) = &mut body {
            let followed: Vec<Name> = sliced.followed().map(|it| it.table.clone()).collect();
            for below in followed {
                sliced.note(&below, since.get(&below).map(Vec::as_slice).unwrap_or_default())?;
            }
        } else {
            let stepped = body.step(&moved(&plan.inputs, since), &step).await?;
            if !stepped.out.is_empty() {
                since.insert(name.clone(), stepped.out);
            }
        }
        if let (Some(rows), Some((watermark, corrections))) = (body.window_rows_mut(), before) {
            rows.watermark = rows.watermark.max(watermark);
            rows.corrections = corrections;
        }
        run.body = body;
        Ok(true)
    }
}

impl Making {
    async fn make(mut self) -> Result<Vec<Body>> {
        let mut made = Vec::new();
        for (plan, time_us) in std::mem::take(&mut self.tables) {
            let mut body = Body::new(&self.session, &plan, &self.room).await?;
            for (name, rows) in &self.lookups {
                body.set_lookup(name, rows)?;
            }
            let tables = |name: &str| self.provider(name, plan.sees_final);
            let step = Step {
                session: &self.session,
                epoch: self.epoch,
                now_ms: self.now_ms,
                tables: &tables as &(dyn Fn(&str) -> Option<Arc<dyn TableProvider>> + Sync),
                time_us,
            };
            body.rebuild(&step).await?;
            body.refresh(&step, &[]).await?;
            if let Some(before) = self.views.get(plan.name()) {
                let Hot { rows: hot, hides, spilled } = body.hot();
                let view = TableView { hot, hides, spilled, ..TableView::clone(before) };
                self.views.insert(plan.name().clone(), Arc::new(view));
            }
            made.push(body);
        }
        Ok(made)
    }

    fn provider(&self, name: &str, sees_final: bool) -> Option<Arc<dyn TableProvider>> {
        if let Some((_, rows)) = self.lookups.iter().find(|(it, _)| *it == *name) {
            return Some(Arc::new(SlotTable(Slot::of_lookup(rows))));
        }
        self.views.get(name).map(|it| table::provider(it, sees_final))
    }
}
