//! The book of a table's runs: what ran, what is open, and what is wanted next.
//!
//! It is part of the checkpoint, so a run counts exactly where its rows do: after a crash a moment
//! is settled together with the rows of its run, or neither is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use base::{Name, SequenceNumber, ShardId, limits};
use serde::{Deserialize, Serialize};
use spec::Missed;

use crate::batch::{Rules, Start};
use crate::stats::{RunState, RunStats};

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Book {
    /// The number of the last run.
    number: u64,
    /// Runs that ended well.
    good: u64,
    /// Up to when all moments of the calendar are settled; nothing before it was looked at first.
    #[serde(default)]
    settled_ms: Option<u64>,
    /// When the last run began.
    #[serde(default)]
    began_ms: Option<u64>,
    /// Of the tables after which it runs, which run of theirs it has seen.
    #[serde(default)]
    seen: BTreeMap<Name, u64>,
    /// New objects that were told of, and how many of those it has seen.
    #[serde(default)]
    objects: u64,
    #[serde(default)]
    objects_seen: u64,
    /// Up to where its runs have read streams, if they read only what is new.
    #[serde(default)]
    bookmark: Option<Bookmark>,
    /// How many rows it had when a check of their number passed last, by the check's name.
    #[serde(default)]
    pub(crate) rows_passed: BTreeMap<String, u64>,
    /// The run that is not over.
    #[serde(default)]
    open: Option<Open>,
    /// The last runs, oldest first.
    #[serde(default)]
    pub(crate) rows: Arc<VecDeque<RunStats>>,
}

/// The next record of each shard of streams.
pub(crate) type Bookmark = BTreeMap<Name, BTreeMap<ShardId, SequenceNumber>>;

/// A run that is not over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Open {
    /// Attempts begun.
    attempts: u32,
    /// When the next one begins; nothing while one is under way.
    next_ms: Option<u64>,
    /// What `now()` is in it.
    at_ms: u64,
}

/// What is known of the moment.
pub(crate) struct Known<'a> {
    pub(crate) now_ms: u64,
    /// Whether what it reads changed since the last run began.
    pub(crate) is_dirty: bool,
    /// How many runs of another table ended well.
    pub(crate) good: &'a dyn Fn(&Name) -> u64,
    /// Whether all that had come with the newest object was taken in.
    pub(crate) has_arrived: bool,
}

/// What follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A run, and these moments are made up for by it, or by nothing.
    New { due_ms: u64, cause: &'static str, missed: Vec<u64> },
    /// Another attempt of the run that is open.
    Again,
    /// These moments are left out.
    Skip(Vec<u64>),
}

/// How a run ended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) rows_in: u64,
    pub(crate) bytes_estimated: u64,
    pub(crate) bytes_read: u64,
}

impl Book {
    /// Says what is to be done at this moment, if anything.
    pub(crate) fn wanted(&self, rules: &Rules, known: &Known<'_>) -> Option<Wanted> {
        let now_ms = known.now_ms;
        if let Some(open) = &self.open {
            return open.next_ms.is_some_and(|it| it <= now_ms).then_some(Wanted::Again);
        }
        let new = |cause| Some(Wanted::New { due_ms: now_ms, cause, missed: Vec::new() });
        match &rules.starts {
            Start::Change => known.is_dirty.then(|| new("change")).flatten(),
            Start::Every(_) => {
                // A clock that was set back must not keep it from running.
                let due = self.next_ms(rules).filter(|it| {
                    self.began_ms.is_some_and(|began| began <= now_ms) && now_ms < *it
                });
                (known.is_dirty && due.is_none()).then(|| new("every")).flatten()
            }
            Start::Cron(cron) => {
                let moments = cron.between(self.settled_ms?, now_ms);
                of_moments(moments, rules.missed, now_ms)
            }
            Start::After(tables) => {
                let is_new = |it: &Name| self.seen.get(it).copied() != Some((known.good)(it));
                let all = tables.iter().all(|it| 0 < (known.good)(it) && is_new(it));
                all.then(|| new("after")).flatten()
            }
            Start::NewObject { .. } => {
                let is_due = self.objects_seen < self.objects && known.has_arrived;
                is_due.then(|| new("object")).flatten()
            }
        }
    }

    /// Returns when it may run next, where time says so.
    pub(crate) fn next_ms(&self, rules: &Rules) -> Option<u64> {
        if let Some(open) = &self.open {
            return open.next_ms;
        }
        match &rules.starts {
            Start::Cron(cron) => cron.next(self.settled_ms?),
            Start::Every(span) => self.began_ms.map(|it| it.saturating_add(span.as_millis())),
            Start::Change | Start::After(_) | Start::NewObject { .. } => None,
        }
    }

    /// Looks at the calendar for the first time: what lies before is not missed.
    pub(crate) fn look(&mut self, now_ms: u64) {
        self.settled_ms.get_or_insert(now_ms);
    }

    /// Goes on with what is open after a restart: the run that was under way is begun again.
    pub(crate) fn resume(&mut self, rules: &Rules, now_ms: u64) {
        let Some(open) = self.open.as_mut().filter(|it| it.next_ms.is_none()) else { return };
        open.next_ms = Some(now_ms);
        let is_too_often = rules.retries.max(limits::RUN_RETRIES) < open.attempts;
        let error = "the program ended while it ran".to_owned();
        if is_too_often {
            self.open = None;
        }
        self.last(|it| {
            it.state = if is_too_often { RunState::Failed } else { RunState::Retrying };
            it.ended_ms = Some(now_ms);
            it.error = Some(error);
        });
    }

    /// Notes that the rows are not what the project would make of them now: a run is wanted at once.
    pub(crate) fn outdate(&mut self, rules: &Rules, now_ms: u64) {
        self.bookmark = None;
        self.open = None;
        self.add(rules, now_ms, "project", RunState::Waiting);
        self.open = Some(Open { attempts: 0, next_ms: Some(now_ms), at_ms: now_ms });
    }

    /// Wants a run at once, because somebody asks for it: the one that is open or failed last, else a
    /// new one. Returns its number.
    pub(crate) fn ask(&mut self, rules: &Rules, now_ms: u64) -> u64 {
        if let Some(open) = &mut self.open {
            open.next_ms = open.next_ms.map(|_| now_ms);
            return self.number;
        }
        let failed = self.rows.back().filter(|it| it.state == RunState::Failed).cloned();
        if let Some(failed) = failed {
            let is_of_calendar = matches!(rules.starts, Start::Cron(_));
            let at_ms = if is_of_calendar { failed.due_ms } else { now_ms };
            let attempts = failed.attempt;
            self.open = Some(Open { attempts, next_ms: Some(now_ms), at_ms });
            self.last(|it| it.state = RunState::Waiting);
        } else {
            self.add(rules, now_ms, "asked", RunState::Waiting);
            self.open = Some(Open { attempts: 0, next_ms: Some(now_ms), at_ms: now_ms });
        }
        self.number
    }

    /// Notes that a run begins; returns what `now()` is in it. A run that was not wanted counts as one
    /// for `cause`.
    pub(crate) fn begin(&mut self, rules: &Rules, wanted: &Wanted, known: &Known<'_>) -> u64 {
        let now_ms = known.now_ms;
        match wanted {
            Wanted::Skip(missed) => self.skip(rules, missed),
            Wanted::Again => {}
            Wanted::New { due_ms, cause, missed } => {
                self.skip(rules, missed);
                self.add(rules, *due_ms, cause, RunState::Waiting);
                let at_ms = match &rules.starts {
                    Start::Cron(_) => {
                        self.settled_ms = Some(*due_ms);
                        *due_ms
                    }
                    _ => now_ms,
                };
                self.open = Some(Open { attempts: 0, next_ms: None, at_ms });
            }
        }
        if let Start::After(tables) = &rules.starts {
            self.seen.extend(tables.iter().map(|it| (it.clone(), (known.good)(it))));
        }
        self.objects_seen = self.objects;
        self.began_ms = Some(now_ms);
        let Some(open) = &mut self.open else { return now_ms };
        open.attempts += 1;
        open.next_ms = None;
        let (attempt, at_ms) = (open.attempts, open.at_ms);
        self.last(|it| {
            it.state = RunState::Running;
            it.attempt = attempt;
            it.began_ms = Some(now_ms);
            it.ended_ms = None;
        });
        at_ms
    }

    /// Notes moments that are left out.
    pub(crate) fn skip(&mut self, rules: &Rules, missed: &[u64]) {
        for due_ms in missed {
            self.add(rules, *due_ms, "cron", RunState::Skipped);
            self.settled_ms = Some(*due_ms);
        }
    }

    /// Returns up to where streams were read.
    pub(crate) fn bookmark(&self) -> Option<&Bookmark> {
        self.bookmark.as_ref()
    }

    /// Notes up to where they are now, together with the rows that were made of it.
    pub(crate) fn mark(&mut self, bookmark: Bookmark) {
        self.bookmark = Some(bookmark);
    }

    /// Notes that the run ended well.
    pub(crate) fn done(&mut self, rows_out: u64, cost: Cost, now_ms: u64) {
        self.open = None;
        self.good += 1;
        self.last(|it| {
            it.state = RunState::Done;
            it.ended_ms = Some(now_ms);
            it.rows_out = Some(rows_out);
            it.error = None;
            it.pay(cost);
        });
    }

    /// Notes that an attempt failed; returns whether it was the last.
    pub(crate) fn failed(&mut self, rules: &Rules, error: &str, cost: Cost, now_ms: u64) -> bool {
        let Some(open) = &mut self.open else { return true };
        let is_over = rules.retries < open.attempts;
        let pause_ms = u64::try_from(rules.pause(open.attempts).as_millis()).unwrap_or(u64::MAX);
        open.next_ms = Some(now_ms.saturating_add(pause_ms));
        if is_over {
            self.open = None;
        }
        self.last(|it| {
            it.state = if is_over { RunState::Failed } else { RunState::Retrying };
            it.ended_ms = Some(now_ms);
            it.error = Some(error.to_owned());
            it.pay(cost);
        });
        is_over
    }

    /// Shows what the run under way costs so far.
    pub(crate) fn costs(&mut self, cost: Cost) {
        let is_news =
            self.rows.back().is_some_and(|it| it.bytes_estimated != Some(cost.bytes_estimated));
        if is_news {
            self.last(|it| it.pay(cost));
        }
    }

    /// Notes new objects.
    pub(crate) fn came(&mut self, objects: u64) {
        self.objects += objects;
    }

    /// Returns whether there are objects that no run has seen.
    pub(crate) fn has_objects(&self) -> bool {
        self.objects_seen < self.objects
    }

    /// Returns the number of the last run.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Goes on with this book where the rows are those of another, which was made beside.
    pub(crate) fn with_rows_of(&self, other: &Book) -> Book {
        let mut book = self.clone();
        let last = other.rows.back().cloned();
        book.open = None;
        book.began_ms = other.began_ms.or(book.began_ms);
        book.good += 1;
        if let Some(run) = last {
            book.number += 1;
            let cause = "project".to_owned();
            Arc::make_mut(&mut book.rows).push_back(RunStats { number: book.number, cause, ..run });
        }
        book
    }

    /// Returns how many runs ended well.
    pub(crate) fn good(&self) -> u64 {
        self.good
    }

    /// Returns what became of the last run.
    pub(crate) fn state(&self) -> Option<RunState> {
        self.rows.back().map(|it| it.state)
    }

    fn add(&mut self, rules: &Rules, due_ms: u64, cause: &str, state: RunState) {
        self.number += 1;
        let rows = Arc::make_mut(&mut self.rows);
        rows.push_back(RunStats {
            number: self.number,
            due_ms,
            cause: cause.to_owned(),
            state,
            attempt: 0,
            began_ms: None,
            ended_ms: None,
            rows_in: None,
            rows_out: None,
            bytes_estimated: None,
            bytes_read: None,
            error: None,
        });
        while rules.kept() < rows.len() {
            rows.pop_front();
        }
    }

    fn last(&mut self, change: impl FnOnce(&mut RunStats)) {
        if let Some(row) = Arc::make_mut(&mut self.rows).back_mut() {
            change(row);
        }
    }
}

impl RunStats {
    fn pay(&mut self, cost: Cost) {
        self.rows_in = Some(cost.rows_in);
        self.bytes_estimated = Some(cost.bytes_estimated);
        self.bytes_read = Some(cost.bytes_read);
    }
}

/// Says what follows from moments that have come, the oldest first.
fn of_moments(mut moments: Vec<u64>, missed: Missed, now_ms: u64) -> Option<Wanted> {
    let cause = "cron";
    let newest = *moments.last()?;
    let is_late = Duration::from_millis(now_ms.saturating_sub(newest)) > limits::RUN_GRACE;
    Some(match missed {
        Missed::CatchUp => {
            let due_ms = *moments.first()?;
            Wanted::New { due_ms, cause, missed: Vec::new() }
        }
        Missed::Skip if is_late => Wanted::Skip(moments),
        Missed::Once | Missed::Skip => {
            moments.pop();
            Wanted::New { due_ms: newest, cause, missed: moments }
        }
    })
}
