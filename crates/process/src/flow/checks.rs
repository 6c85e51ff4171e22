//! Checks of tables are asked when their rows changed; one that fails may stop the tables behind.
//!
//! A table is *held* while a check with severity `fail` fails on one that it reads, or on one that
//! that reads in turn: its rows stay as they are, marked as stale. It goes on by itself when the
//! check holds again: it is computed anew from the stored rows of what it reads.
//! A table that is recomputed waits for the checks of what it reads, where those are recomputed too:
//! it never reads rows that were not checked. Those that follow row by row are a moment behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use base::{Name, Span};
use datafusion::catalog::TableProvider;
use datafusion::error::Result;
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use spec::CheckSeverity;
use tokio::task::JoinHandle;

use crate::checkpoint::Detached;
use crate::error::in_words;
use crate::flow::{Flow, TableRun};
use crate::pipe;
use crate::plan::TableKind;
use crate::plan::checks::{Asks, CheckPlan};
use crate::session;
use crate::stats::{CheckState, CheckStats};
use crate::table::{self, Body};

/// Asking a check may take a tenth of the time: it is asked again so many times its length later.
const PAUSE_FACTOR: u32 = 10;
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// How often a check is asked whose answer changes with time.
const TIME_EVERY: Duration = Duration::from_secs(10);

/// A check at work.
pub(crate) struct CheckRun {
    plan: Arc<CheckPlan>,
    /// Whether what it reads changed since it was asked.
    is_dirty: bool,
    /// When it may be asked again, by the clock that never goes back.
    next: Duration,
    /// When it must be, if its answer changes with time.
    due: Duration,
    job: Option<Asking>,
    answer: Option<Answer>,
    stats: CheckStats,
}

/// A check that is being asked.
struct Asking {
    began: Duration,
    handle: JoinHandle<Result<Vec<RecordBatch>>>,
}

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Number(Option<i64>),
    Truth(Option<bool>),
    Error(String),
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    passes: bool,
    wrong: Option<u64>,
    message: Option<String>,
}

/// Whether a table may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Hold {
    Free,
    /// A check was not asked yet.
    Unknown,
    Held(String),
}

impl CheckRun {
    pub(crate) fn new(plan: &Arc<CheckPlan>) -> CheckRun {
        let stats = CheckStats {
            table: plan.table.clone(),
            check: plan.name.clone(),
            told: plan.told.clone(),
            severity: plan.severity,
            state: CheckState::Waiting,
            wrong: None,
            message: None,
            since_ms: None,
            asked_ms: None,
        };
        CheckRun {
            plan: Arc::clone(plan),
            is_dirty: true,
            next: Duration::ZERO,
            due: Duration::ZERO,
            job: None,
            answer: None,
            stats,
        }
    }

    /// Returns whether it is being asked.
    pub(crate) fn is_asked(&self) -> bool {
        self.job.is_some()
    }

    /// Returns whether an answer is there that was not taken in.
    pub(crate) fn is_answered(&self) -> bool {
        self.job.as_ref().is_some_and(|it| it.handle.is_finished())
    }

    /// Says whether it lets tables behind go on.
    fn holds(&self) -> Hold {
        match self.stats.state {
            CheckState::Passing => Hold::Free,
            CheckState::Waiting => Hold::Unknown,
            CheckState::Failing => {
                let (check, table) = (&self.plan.name, &self.plan.table);
                Hold::Held(format!("check `{check}` of `{table}` fails"))
            }
        }
    }

    fn stops(&self) -> bool {
        self.plan.severity == CheckSeverity::Fail
    }

    /// Returns whether to ask it now; one of a flow that stands still is asked at each step.
    fn is_due(&self, now: Duration, is_running: bool) -> bool {
        let by_time = self.plan.asks_time && (self.due <= now || !is_running);
        let is_over = self.next <= now || !is_running;
        self.job.is_none() && is_over && (self.is_dirty || by_time)
    }

    /// Takes in what came of asking.
    fn answered(&mut self, answer: Answer, now_ms: u64) {
        self.answer = Some(answer);
        self.stats.asked_ms = Some(now_ms);
    }

    /// Returns the number of rows with which it passes, if it is about that.
    fn rows_passed(&self) -> Option<u64> {
        let is_passing = self.stats.state == CheckState::Passing;
        match (self.plan.asks, &self.answer) {
            (Asks::Rows { .. }, Some(Answer::Number(rows))) if is_passing => {
                rows.and_then(|it| u64::try_from(it).ok())
            }
            _ => None,
        }
    }

    /// Brings the state up to date: time alone makes a table old. Returns whether it changed.
    fn settle(&mut self, before: Option<u64>, now_ms: u64) -> bool {
        let Some(answer) = &self.answer else { return false };
        let verdict = judge(&self.plan.asks, answer, before, now_ms);
        let state = if verdict.passes { CheckState::Passing } else { CheckState::Failing };
        let is_news = state != self.stats.state;
        if is_news {
            let (table, check) = (&self.plan.table, &self.plan.name);
            match (&verdict.message, self.stats.state) {
                (Some(message), _) => tracing::warn!(%table, check, message, "check fails"),
                (None, CheckState::Failing) => tracing::info!(%table, check, "check holds again"),
                (None, _) => {}
            }
            self.stats.state = state;
            self.stats.since_ms = Some(now_ms);
        }
        self.stats.wrong = verdict.wrong;
        self.stats.message = verdict.message;
        is_news
    }
}

/// Says whether an answer is the right one. `before` is the number of rows when it was last.
fn judge(asks: &Asks, answer: &Answer, before: Option<u64>, now_ms: u64) -> Verdict {
    let passes = Verdict { passes: true, wrong: None, message: None };
    let fails = |message: String| Verdict { passes: false, wrong: None, message: Some(message) };
    match (asks, answer) {
        (_, Answer::Error(error)) => fails(format!("it cannot be asked: {error}")),
        (Asks::Wrong, Answer::Number(wrong)) => {
            let wrong = u64::try_from(wrong.unwrap_or_default()).unwrap_or_default();
            let message = (wrong != 0).then(|| match wrong {
                1 => "1 is wrong".to_owned(),
                _ => format!("{wrong} are wrong"),
            });
            Verdict { passes: wrong == 0, wrong: Some(wrong), message }
        }
        (Asks::Truth, Answer::Truth(Some(true))) => passes,
        (Asks::Truth, Answer::Truth(Some(false))) => fails("it is false".to_owned()),
        (Asks::Truth, _) => fails("it is NULL".to_owned()),
        (Asks::Newest { within_us }, Answer::Number(newest)) => {
            let now_us = i64::try_from(now_ms).unwrap_or(i64::MAX).saturating_mul(1_000);
            match newest {
                None => fails("there is no row with a time".to_owned()),
                Some(newest) if now_us.saturating_sub(*newest) <= *within_us => passes,
                Some(newest) => {
                    let age_s = now_us.saturating_sub(*newest) / 1_000_000;
                    let age_ms = u64::try_from(age_s).unwrap_or_default().saturating_mul(1_000);
                    fails(format!("the newest row is {} old", Span::from_millis(age_ms)))
                }
            }
        }
        (Asks::Rows { percent }, Answer::Number(rows)) => {
            let rows = u64::try_from(rows.unwrap_or_default()).unwrap_or_default();
            let Some(before) = before else { return passes };
            let change = rows.abs_diff(before) as f64;
            if change <= before as f64 * percent / 100.0 {
                return passes;
            }
            fails(format!("{rows} rows, and {before} when it passed last"))
        }
        (Asks::Wrong | Asks::Newest { .. } | Asks::Rows { .. }, Answer::Truth(_)) => {
            fails("it cannot be asked: the answer is no number".to_owned())
        }
    }
}

impl Flow {
    /// Notes which checks must be asked again.
    pub(crate) fn doubt(&mut self) {
        for check in &mut self.checks {
            check.is_dirty |= check.plan.reads.iter().any(|it| self.changed.contains(it));
        }
    }

    /// Returns whether a table that is recomputed may be now: all that it reads passes, and was
    /// asked since it changed if it is recomputed too.
    pub(crate) fn may_recompute(&self, place: usize) -> bool {
        let Some(run) = self.tables.get(place) else { return false };
        let is_whole = |name: &Name| {
            let mut tables = self.tables.iter();
            tables.any(|it| it.name() == name && it.plan.kind == TableKind::Recomputed)
        };
        let mut checks = self.checks.iter().filter(|it| it.stops());
        run.held.is_none()
            && checks.all(|check| {
                let table = &check.plan.table;
                let is_settled = !check.is_dirty && check.job.is_none();
                !run.plan.reads.contains(table)
                    || (check.stats.state == CheckState::Passing
                        && (is_settled || !is_whole(table)))
            })
    }

    /// Asks the checks whose turn it is, and stops or lets go on what is behind them.
    pub(crate) async fn run_checks(&mut self, now_ms: u64) {
        if self.checks.is_empty() {
            return;
        }
        self.doubt();
        for place in 0..self.checks.len() {
            self.finish_check(place, now_ms).await;
            let now = self.clock.elapsed();
            let is_running = self.is_running;
            let check = self.checks.get_mut(place).filter(|it| it.is_due(now, is_running));
            let Some(check) = check else { continue };
            check.is_dirty = false;
            check.due = now + TIME_EVERY;
            let plan = Arc::clone(&check.plan);
            let tables = plan.reads.iter().filter_map(|it| {
                let view = self.table_view(it)?;
                Some((it.to_string(), table::provider(&view, plan.sees_hidden)))
            });
            let tables: Vec<(String, Arc<dyn TableProvider>)> = tables.collect();
            let asked = ask(self.wholes.clone(), plan, tables, now_ms);
            let handle = base::task::spawn("check", asked);
            if let Some(check) = self.checks.get_mut(place) {
                check.job = Some(Asking { began: now, handle });
            }
            if !self.is_running {
                self.finish_check(place, now_ms).await;
            }
        }
        let mut is_news = false;
        for check in &mut self.checks {
            let name = &check.plan.name;
            let run = self.tables.iter_mut().find(|it| *it.name() == check.plan.table);
            let before = run.as_ref().and_then(|it| it.book.rows_passed.get(name).copied());
            is_news |= check.settle(before, now_ms);
            if let (Some(run), Some(rows)) = (run, check.rows_passed()) {
                run.book.rows_passed.insert(check.plan.name.clone(), rows);
            }
        }
        let told = self.checks.iter().map(|it| &it.stats);
        if !told.eq(self.stats.checks.iter()) {
            self.stats.checks = Arc::new(self.checks.iter().map(|it| it.stats.clone()).collect());
        }
        if is_news {
            self.hold(now_ms);
        }
    }

    async fn finish_check(&mut self, place: usize, now_ms: u64) {
        let Some(check) = self.checks.get_mut(place) else { return };
        if self.is_running && check.job.as_ref().is_some_and(|it| !it.handle.is_finished()) {
            return;
        }
        let Some(job) = check.job.take() else { return };
        let answer = match job.handle.await {
            Ok(Ok(rows)) => answer_of(&rows),
            Ok(Err(error)) => Answer::Error(in_words(&error)),
            Err(panic) => Answer::Error(panic.to_string()),
        };
        check.answered(answer, now_ms);
        let now = self.clock.elapsed();
        let is_whole = self
            .tables
            .iter()
            .any(|it| *it.name() == check.plan.table && it.plan.kind == TableKind::Recomputed);
        // What is recomputed takes its own time, and those behind it wait.
        let pause = now.saturating_sub(job.began) * PAUSE_FACTOR;
        check.next = if is_whole { now } else { now + pause.max(PAUSE_MIN) };
    }

    /// Says for each table whether the checks of what it reads let it go on.
    fn holds(&self) -> BTreeMap<Name, Hold> {
        let mut holds: BTreeMap<Name, Hold> = BTreeMap::new();
        for run in &self.tables {
            let mut hold = Hold::Free;
            for read in &run.plan.reads {
                let checks = self.checks.iter().filter(|it| it.stops() && it.plan.table == *read);
                for check in checks {
                    hold = hold.or(check.holds());
                }
                hold = hold.or(match holds.get(read) {
                    Some(Hold::Held(_)) => {
                        Hold::Held(format!("it reads `{read}`, which stands still"))
                    }
                    Some(other) => other.clone(),
                    None => Hold::Free,
                });
            }
            holds.insert(run.name().clone(), hold);
        }
        holds
    }

    /// Stops the tables behind what fails, and lets go on those behind what holds again.
    fn hold(&mut self, now_ms: u64) {
        let holds = self.holds();
        for run in &mut self.tables {
            let is_news = match holds.get(run.plan.name()) {
                Some(Hold::Held(reason)) => run.hold(reason, now_ms),
                Some(Hold::Free) => run.let_go(),
                Some(Hold::Unknown) | None => false,
            };
            if is_news {
                self.changed.insert(run.plan.name().clone());
            }
        }
    }
}

impl Hold {
    /// Keeps what weighs more.
    fn or(self, other: Hold) -> Hold {
        match (&self, &other) {
            (Hold::Held(_), _) | (Hold::Unknown, Hold::Free | Hold::Unknown) => self,
            (Hold::Unknown | Hold::Free, _) => other,
        }
    }
}

impl TableRun {
    /// Keeps the table as it is; returns whether that is news.
    fn hold(&mut self, reason: &str, now_ms: u64) -> bool {
        self.returns = false;
        if let Body::Whole(_) = &self.body {
            let is_news = self.held.is_none();
            self.held = Some(reason.to_owned());
            self.stats.stale_since_ms.get_or_insert(now_ms);
            self.stats.error = Some(reason.to_owned());
            return is_news;
        }
        if self.detached.is_some() {
            return false;
        }
        tracing::warn!(table = %self.name(), reason, "table is held: its rows stay as they are");
        let error = reason.to_owned();
        self.detached = Some(Detached { since_ms: now_ms, error, is_held: true });
        true
    }

    /// Lets the table go on; returns whether that is news.
    fn let_go(&mut self) -> bool {
        if let Body::Whole(whole) = &mut self.body {
            let was_held = self.held.take().is_some();
            if was_held {
                whole.is_dirty = true;
                self.stats.stale_since_ms = None;
                self.stats.error = None;
            }
            return was_held;
        }
        if self.is_held() && !self.returns {
            tracing::info!(table = %self.name(), "table goes on: it is made anew");
            self.returns = true;
        }
        false
    }

    /// Returns whether a check keeps it from following, and nothing else.
    pub(crate) fn is_held(&self) -> bool {
        self.detached.as_ref().is_some_and(|it| it.is_held)
    }

    /// Puts the table back into the flow: it is up to date again.
    pub(crate) fn attach(&mut self) {
        self.detached = None;
        self.returns = false;
        self.stats.stale_since_ms = None;
        self.stats.error = None;
    }
}

/// Asks one check of the tables as they are now.
async fn ask(
    session: SessionContext,
    plan: Arc<CheckPlan>,
    tables: Vec<(String, Arc<dyn TableProvider>)>,
    now_ms: u64,
) -> Result<Vec<RecordBatch>> {
    let find =
        |name: &str| tables.iter().find(|(it, _)| it == name).map(|(_, table)| Arc::clone(table));
    let bound = pipe::bind(&plan.question, &find)?;
    let state = session::at(&session, now_ms);
    let physical = state.create_physical_plan(&bound).await?;
    collect(physical, state.task_ctx()).await
}

/// Reads the one value of an answer.
fn answer_of(rows: &[RecordBatch]) -> Answer {
    let Some(first) = rows.iter().find(|it| 0 < it.num_rows()) else { return Answer::Number(None) };
    let column = first.column(0);
    let value = column.slice(0, 1);
    if let Some(truth) = value.as_boolean_opt() {
        return Answer::Truth(truth.iter().next().flatten());
    }
    let micros = match value.data_type() {
        DataType::Timestamp(_, zone) => {
            let micros = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, zone.clone());
            arrow::compute::cast(&value, &micros)
        }
        _ => arrow::compute::cast(&value, &DataType::Int64),
    };
    match micros {
        Err(error) => Answer::Error(error.to_string()),
        Ok(value) => {
            let number = value.as_primitive_opt::<Int64Type>().map(|it| it.iter().next());
            let moment =
                || value.as_primitive_opt::<TimestampMicrosecondType>().map(|it| it.iter().next());
            Answer::Number(number.or_else(moment).flatten().flatten())
        }
    }
}

#[cfg(test)]
mod tests;
