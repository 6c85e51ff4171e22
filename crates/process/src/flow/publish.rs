//! Shows a tick: all tables of the flow change for everybody at the same moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use base::Name;
use datafusion::catalog::{MemTable, TableProvider};

use crate::error::{Error, in_words};
use crate::flow::stream::{self, StreamRun};
use crate::flow::{Flow, TableRun, Views, find_provider};
use crate::lookup::Lookup;
use crate::operator::Start;
use crate::plan::TableKind;
use crate::plan::slices::{Link, Told};
use crate::stats::LookupStats;
use crate::table::sliced::Below;
use crate::table::{self, Body, Step};
use crate::view::{Hides, TableView, View};

/// A table that is computed slice by slice may take this share of the time.
const REFRESH_SHARE: u32 = 8;

impl Flow {
    /// Brings all tables up to date and shows them.
    pub(crate) async fn publish(&mut self) -> Result<(), Error> {
        let now_ms = self.clock.now_ms();
        Box::pin(self.refresh_tables(now_ms, false)).await;
        self.compute_wholes(now_ms).await;
        self.run_checks(now_ms).await;
        self.show(true).await;
        Ok(())
    }

    /// Brings the rows of every table up to date, in FROM order: those that are computed by windows
    /// are told which windows changed below. One that takes long is left as it is for a while, unless
    /// it `must` be brought up to date: it would keep the others waiting.
    pub(crate) async fn refresh_tables(&mut self, now_ms: u64, must: bool) {
        self.refresh_told(now_ms, BTreeMap::new(), must).await;
    }

    /// Does it where these windows changed already.
    pub(crate) async fn refresh_told(
        &mut self,
        now_ms: u64,
        mut told: BTreeMap<Name, BTreeSet<Start>>,
        must: bool,
    ) {
        for place in 0..self.tables.len() {
            let (lower, rest) = self.tables.split_at_mut(place);
            let Some(run) = rest.first_mut().filter(|it| it.detached.is_none()) else { continue };
            let plan = Arc::clone(&run.plan);
            let links = plan.slices.as_ref().map(|it| it.links.as_slice()).unwrap_or_default();
            let stale = lower.iter().find(|it| {
                it.detached.is_some() && links.iter().any(|link| link.table == *it.name())
            });
            if let Some(stale) = stale {
                let error = format!("it reads `{}`, which is stale", stale.name());
                run.detach(now_ms, error);
                self.changed.insert(plan.name().clone());
                continue;
            }
            let began = self.clock.elapsed();
            let rests = self.is_running && began < run.rests_until;
            match &mut run.body {
                Body::Sessions(it) => it.rests = rests,
                Body::Windowed(it) => it.rests = rests,
                Body::Running(it) => it.rests = rests,
                _ => {}
            }
            let (streams, lookups) = (&self.streams, &self.lookups);
            let nothing = BTreeSet::new();
            let below = links.iter().map(|link| Below {
                table: &link.table,
                changed: told.get(&link.table).unwrap_or(&nothing),
                watermark: watermark(link, streams, lower, now_ms),
            });
            let below: Vec<Below<'_>> = below.collect();
            if let Body::Sliced(sliced) = &mut run.body
                && rests
                && !must
            {
                sliced.hear(&below);
                continue;
            }
            let tables = |name: &str| find_provider(streams, lower, lookups, name, plan.sees_final);
            let step = Step {
                session: &self.session,
                epoch: run.tagged.unwrap_or(self.epoch),
                now_ms,
                tables: &tables as &(dyn Fn(&str) -> Option<Arc<dyn TableProvider>> + Sync),
                time_us: None,
            };
            let refreshed = table::guarded(Box::pin(run.body.refresh(&step, &below))).await;
            let ended = self.clock.elapsed();
            let rest = ended.saturating_sub(began) * REFRESH_SHARE;
            run.rests_until = run.rests_until.max(ended.saturating_add(rest));
            match refreshed {
                Ok(refreshed) => {
                    if !refreshed.changed.is_empty() {
                        self.changed.insert(plan.name().clone());
                    }
                    run.bury(&refreshed.dead, self.epoch, &mut self.changed);
                    told.entry(plan.name().clone()).or_default().extend(refreshed.changed);
                }
                Err(error) => {
                    run.detach(now_ms, in_words(&error));
                    self.changed.insert(plan.name().clone());
                }
            }
        }
        self.tell_backfill(&told);
        self.keep_within_memory();
    }

    /// Makes the view of all tables and swaps it in.
    pub(crate) async fn show(&mut self, is_tick: bool) {
        let changed: Vec<Name> = std::mem::take(&mut self.changed).into_iter().collect();
        let before = self.shown.view.load_full();
        if is_tick {
            self.stats.ticks += 1;
        }
        let mut tables = before.tables.clone();
        for name in &changed {
            if let Some(view) = self.table_view(name) {
                tables.insert(name.clone(), view);
            }
        }
        self.swap(tables);
        if is_tick
            && !changed.is_empty()
            && let Some(observer) = &mut self.observer
        {
            let view = self.shown.view.load_full();
            observer.after_tick(&view, &changed).await;
        }
    }

    /// Shows every table anew: after opening, and after a hand-over.
    pub(crate) fn all_views(&self) -> Views {
        let mut views = Views::new();
        for stream in &self.streams {
            views.insert(stream.plan.declared.name.clone(), stream.view());
            views.insert(stream.plan.dead.clone(), stream.dead_view());
        }
        for table in &self.tables {
            views.insert(table.plan.name().clone(), table.view());
            views.insert(table.plan.dead.clone(), table.dead_view());
        }
        for lookup in &self.lookups {
            views.insert(lookup.name.clone(), lookup_view(lookup));
        }
        views
    }

    pub(crate) fn swap(&mut self, tables: Views) {
        let (tick, epoch) = (self.stats.ticks, self.durable.epoch);
        self.note_stats();
        // Rows before counts: who waits for a count finds the rows.
        let stats = Arc::new(self.stats.clone());
        self.shown.view.store(Arc::new(View { tick, epoch, tables, stats: Arc::clone(&stats) }));
        self.shown.stats.store(stats);
        self.shown.ticks.send_replace(tick);
    }

    fn note_stats(&mut self) {
        self.stats.epoch = self.durable.epoch;
        self.stats.hot_bytes = self.hot_bytes() as u64;
        self.stats.spilled_bytes = self.spills.bytes();
        let flushes = self.flushes.lock();
        self.stats.flush_failures = flushes.failures;
        self.stats.flush_error.clone_from(&flushes.error);
        self.stats.flush_us_last = u64::try_from(flushes.took.as_micros()).unwrap_or(u64::MAX);
        self.stats.flush_us_total = u64::try_from(flushes.took_all.as_micros()).unwrap_or(u64::MAX);
        drop(flushes);
        for stream in &self.streams {
            self.stats.streams.insert(stream.plan.declared.name.clone(), stream.stats());
        }
        for run in &mut self.tables {
            match &run.body {
                Body::Windowed(it) => {
                    run.stats.groups = it.grouping.operator.groups() as u64;
                }
                Body::Best(it) => run.stats.groups = it.count() as u64,
                Body::Sessions(it) => run.stats.groups = it.groups() as u64,
                Body::Running(it) => {
                    run.stats.groups = it.grouping.operator.groups() as u64;
                }
                Body::Append(_) | Body::Sliced(_) | Body::Whole(_) => {}
            }
            run.stats.state_bytes = run.body.state_bytes() as u64;
            (run.stats.spilled_groups, run.stats.spilled_bytes) = run.body.on_disk();
            if let Some(rows) = run.body.window_rows() {
                run.stats.windows = rows.windows() as u64;
                run.stats.corrections = rows.corrections;
                run.stats.watermark_us = rows.watermark;
            }
            if let Some(detached) = &run.detached {
                run.stats.stale_since_ms = Some(detached.since_ms);
                run.stats.error = Some(detached.error.clone());
            }
            if run.is_recomputed() {
                self.stats.runs.insert(run.plan.name().clone(), Arc::clone(&run.book.rows));
            }
            self.stats.tables.insert(run.plan.name().clone(), run.stats.clone());
        }
        self.stats.state_bytes = self.tables.iter().map(|it| it.stats.state_bytes).sum();
        for lookup in &self.lookups {
            let rows = lookup.data.rows.rows.num_rows() as u64;
            let stats = LookupStats { version: lookup.number, rows, error: lookup.error.clone() };
            self.stats.lookups.insert(lookup.name.clone(), stats);
        }
    }

    pub(crate) fn hot_bytes(&self) -> usize {
        let streams = self.streams.iter().map(|it| it.raw.bytes() + it.dead.bytes());
        let tables = self.tables.iter().map(|it| it.body.bytes() + it.dead.bytes());
        streams.chain(tables).sum()
    }
}

/// Returns how far the time of a table below has come.
fn watermark(link: &Link, streams: &[StreamRun], tables: &[TableRun], now_ms: u64) -> Option<i64> {
    if let Told::Rows(sources) = &link.told {
        return stream::reached_all(streams, sources, now_ms);
    }
    let table = tables.iter().find(|it| *it.name() == link.table)?;
    match table.given {
        Some(given) => given.watermark_us,
        None => table.body.final_until(),
    }
}

/// Shows a lookup as a table.
pub(crate) fn lookup_view(lookup: &Lookup) -> Arc<TableView> {
    let schema = lookup.data.schema();
    let rows: Vec<RecordBatch> = vec![lookup.data.rows.rows.clone()];
    let cold =
        MemTable::try_new(Arc::clone(&schema), vec![Vec::new()]).expect("no rows fit any schema");
    Arc::new(TableView {
        name: lookup.name.clone(),
        kind: TableKind::Lookup,
        whole: Arc::clone(&schema),
        schema,
        stale_since_ms: None,
        cold: Arc::new(cold),
        hides: Hides::All,
        hot: rows,
        spilled: Vec::new(),
    })
}
