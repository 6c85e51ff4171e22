//! Asks an alert of the past: when it would have fired and resolved over what is stored.
//!
//! The windows that the alert reads are walked in the order in which they become final (`on =
//! "open"`: in which they end); after each, the same state machine is fed with the same rows as the
//! running alert would be, with event time for a clock. Where the rows of a window depend on that
//! window alone, the alert is asked once for all of them; else once after each window.

mod history;
mod shape;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use base::Span;
use base::time::SystemClock;
use datafusion::datasource::MemTable;
use process::{FlowPlan, TableKind};
use query::{Catalog, ContextSettings, Engine, Snapshot};
use spec::Project;
use watch::{Notice, NoticeState};

use crate::alerting::windows::{NewestBy, keyed, windows_of};
use crate::alerting::{Shown, machine_of, schemas_of};
pub(crate) use crate::backtest::history::Source;
use crate::backtest::history::{History, Part};

/// What the past of an alert is.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It fired at these times.
    Told(Told),
    /// Its past cannot be told, for this reason; these rows alarm now.
    Cannot { reason: String, rows: Vec<RecordBatch> },
}

/// When an alert would have fired.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// When the first window of the stretch begins.
    pub(crate) from_ms: u64,
    /// When the last one ends.
    pub(crate) to_ms: u64,
    /// When the last one became final.
    pub(crate) end_ms: u64,
    /// Moments at which windows became final.
    pub(crate) windows: u64,
    /// In the order in which they fired.
    pub(crate) firings: Vec<Firing>,
    /// What is not as it was, and why.
    pub(crate) notes: Vec<String>,
}

/// One alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Firing {
    /// The key columns and their values, as a JSON object.
    pub(crate) key: String,
    pub(crate) title: String,
    /// The row that it fired with, as a JSON object.
    pub(crate) row: String,
    pub(crate) fired_ms: u64,
    /// When its row was gone; nothing if it still stood at the end.
    pub(crate) resolved_ms: Option<u64>,
}

/// Runs an alert of `project` over the last stretch of what `source` has stored.
pub(crate) async fn run(
    project: &Project,
    flow: &FlowPlan,
    alert: &spec::Alert,
    last: Span,
    source: &dyn Source,
) -> anyhow::Result<Outcome> {
    let windows = windows_of(project, flow, alert);
    let history = History::read(project, flow, alert, &windows, last, source).await?;
    let shown = Arc::new(Shown(ArcSwap::default()));
    let catalog: Arc<dyn Catalog> = Arc::clone(&shown) as _;
    let engine = Engine::new(&ContextSettings::default(), catalog, SystemClock::start())?;
    let asking = Asking { alert, history: &history, engine, shown };
    if windows.is_empty() {
        let (reason, rows) = (why_not(flow, alert), asking.ask(None).await?);
        return Ok(Outcome::Cannot { reason, rows });
    }
    let schemas = schemas_of(flow);
    // Nobody is told, so nobody is reminded.
    let silent = spec::Alert { notify: Vec::new(), remind: None, ..alert.clone() };
    let (machine, newest) = machine_of(&silent, &schemas, &windows)?;
    let mut walk = Walk { machine, firings: Vec::new() };
    let by_window = match &newest {
        None => None,
        Some(newest) => {
            let plan = asking.plan().await?;
            shape::is_by_window(&plan, &newest.of, &newest.column).then_some(newest)
        }
    };
    match by_window {
        Some(newest) => asking.at_once(newest, &mut walk).await?,
        None => asking.step_by_step(newest.as_ref(), &mut walk).await?,
    }
    let mut told = Told {
        from_ms: history.begin_ms(),
        to_ms: history.end_ms(),
        end_ms: to_ms(history.end_us()),
        windows: history.moments().len() as u64,
        firings: walk.firings,
        notes: history.notes(),
    };
    if asks_time(&alert.sql.text) {
        told.notes.push("`now()` is the time of this backtest, not that of each window".to_owned());
    }
    Ok(Outcome::Told(told))
}

/// Says why the past of an alert over tables without windows cannot be told.
fn why_not(flow: &FlowPlan, alert: &spec::Alert) -> String {
    let names: Vec<&str> = alert.reads.iter().map(base::Name::as_str).collect();
    let kinds = flow.outputs();
    let grows = |name: &&str| {
        let kind = kinds.iter().find(|it| it.name == **name).map(|it| it.kind);
        kind.is_some_and(|it| matches!(it, TableKind::Raw | TableKind::Append))
    };
    let reads = format!("`{}` reads `{}`, without windows", alert.name, names.join("`, `"));
    if names.iter().all(grows) {
        return format!(
            "{reads}: rows are only ever added there, so each alarm fires when its first row comes \
             and never resolves"
        );
    }
    format!(
        "{reads}: what a table without windows was at an earlier time is not stored, so when its \
         rows came and went cannot be told"
    )
}

fn asks_time(sql: &str) -> bool {
    let sql = sql.to_ascii_lowercase();
    ["now()", "current_date", "current_time"].iter().any(|it| sql.contains(it))
}

/// The state machine and what it told.
struct Walk {
    machine: watch::Alert,
    firings: Vec<Firing>,
}

impl Walk {
    /// Lets time pass up to a moment, then shows the rows that stand from then on.
    fn observe(&mut self, rows: &[RecordBatch], at_us: i64) {
        let at_ms = to_ms(at_us);
        while let Some(due_ms) = self.machine.next_due_ms().filter(|it| *it < at_ms) {
            let notices = self.machine.elapse(due_ms);
            self.note(notices);
        }
        let notices = self.machine.observe(rows, at_ms);
        self.note(notices);
    }

    /// Lets time pass up to the end, which is included: nothing comes after it.
    fn end(&mut self, at_us: i64) {
        let at_ms = to_ms(at_us);
        while let Some(due_ms) = self.machine.next_due_ms().filter(|it| *it <= at_ms) {
            let notices = self.machine.elapse(due_ms);
            self.note(notices);
        }
    }

    fn note(&mut self, notices: Vec<Notice>) {
        for notice in notices {
            let Notice { key, title, row, at_ms, state, .. } = notice;
            match state {
                NoticeState::Firing => self.firings.push(Firing {
                    key,
                    title,
                    row,
                    fired_ms: at_ms,
                    resolved_ms: None,
                }),
                NoticeState::Resolved => {
                    let mut of_key = self.firings.iter_mut().rev().filter(|it| it.key == key);
                    if let Some(firing) = of_key.next() {
                        firing.resolved_ms = Some(at_ms);
                    }
                }
                NoticeState::Reminder => {}
            }
        }
    }
}

fn to_ms(micros: i64) -> u64 {
    u64::try_from(micros.div_euclid(1_000)).unwrap_or(0)
}

/// The alert, and the tables as they were.
struct Asking<'a> {
    alert: &'a spec::Alert,
    history: &'a History,
    engine: Engine,
    shown: Arc<Shown>,
}

impl Asking<'_> {
    /// Asks the alert over the tables as they were at a moment; over all that is known if none.
    async fn ask(&self, until: Option<i64>) -> anyhow::Result<Vec<RecordBatch>> {
        let mut tables: BTreeMap<String, Arc<dyn datafusion::catalog::TableProvider>> =
            BTreeMap::new();
        for part in &self.history.parts {
            let rows = part.visible(until);
            let table = MemTable::try_new(rows.schema(), vec![vec![rows]])?;
            tables.insert(part.name.to_string(), Arc::new(table));
        }
        self.shown.0.store(Arc::new(Snapshot { tables, ..Snapshot::default() }));
        let answer = self.engine.ask(&self.alert.sql.text).await?;
        Ok(answer.all(base::limits::BACKTEST_ROWS_MAX).await?)
    }

    /// Plans the alert over its tables, to see what its rows depend on.
    async fn plan(&self) -> anyhow::Result<datafusion::logical_expr::LogicalPlan> {
        let session = query::context(&ContextSettings::default())?;
        for part in &self.history.parts {
            let rows = part.rows.slice(0, 0);
            let table = MemTable::try_new(rows.schema(), vec![vec![rows]])?;
            session.register_table(part.name.as_str(), Arc::new(table))?;
        }
        Ok(session.state().create_logical_plan(&self.alert.sql.text).await?)
    }

    /// Walks the windows with one answer for all: a row of it stands from the moment its window is
    /// final until its key has a later one.
    async fn at_once(&self, newest: &NewestBy, walk: &mut Walk) -> anyhow::Result<()> {
        let (key, column) = (&newest.key, &newest.column);
        let source = self.history.part(&newest.of).context("the alert reads it")?;
        let answer = self.ask(None).await?;
        let Some(first) = answer.first() else {
            return Ok(()); // Nothing was ever alarming.
        };
        let answer = concat_batches(&first.schema(), &answer)?;
        let mut alarming: BTreeMap<(String, i64), Vec<u32>> = BTreeMap::new();
        for (row, place) in keyed(&answer, key, column)?.into_iter().zip(0..) {
            alarming.entry(row).or_default().push(place);
        }
        let windows = keyed(&source.rows, key, column)?;
        let mut standing: BTreeMap<&str, &[u32]> = BTreeMap::new();
        let mut next = 0;
        for moment in self.history.moments() {
            let end = source.count_until(moment);
            let mut is_changed = false;
            for window in windows.get(next..end).unwrap_or_default() {
                let before = standing.remove(window.0.as_str());
                let now = alarming.get(window).map(Vec::as_slice);
                is_changed |= before != now;
                if let Some(now) = now {
                    standing.insert(&window.0, now);
                }
            }
            next = end;
            if is_changed {
                let mut places: Vec<u32> = standing.values().copied().flatten().copied().collect();
                places.sort_unstable();
                let rows = take_record_batch(&answer, &UInt32Array::from(places))?;
                walk.observe(&[rows], moment);
            }
        }
        walk.end(self.history.end_us());
        Ok(())
    }

    /// Asks after each moment at which windows became final.
    async fn step_by_step(&self, newest: Option<&NewestBy>, walk: &mut Walk) -> anyhow::Result<()> {
        for moment in self.history.moments() {
            let mut rows = self.ask(Some(moment)).await?;
            if let Some(newest) = newest {
                let source = self.history.part(&newest.of).context("the alert reads it")?;
                rows = newest.standing(&rows, &[source.visible(Some(moment))])?;
            }
            walk.observe(&rows, moment);
        }
        walk.end(self.history.end_us());
        Ok(())
    }
}

impl History {
    fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|it| it.name == *name)
    }

    /// Returns the moments at which windows became final, rising.
    fn moments(&self) -> BTreeSet<i64> {
        self.parts.iter().flat_map(|it| it.moments.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests;
