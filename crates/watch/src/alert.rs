//! One alert: which of its rows stand, since when, and what was told about them.

pub(crate) mod state;

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema};
use base::limits::{ALERT_KEYS_MAX, ALERT_RESOLVED_MAX, NOTICES_MAX};
use base::{Name, Span};
use spec::Fault;

pub use self::state::StateError;
use self::state::{Letter, Resolved, Standing, State};
use crate::notice::{Notice, NoticeState, id_of};
use crate::notifier::{Outcome, Settled};
use crate::title::Title;

/// One alert of a project.
///
/// A row of its SELECT is an alert, its `key` columns are its identity. A key is *pending* until
/// its row has stood for the alert's `for`, then *firing*, and *resolved* when its row is gone.
/// Each key is told when it fires and when it resolves, once, and reminded of if that is declared.
///
/// It does no I/O and reads no clock: the same rows and times make the same notices with the same
/// ids. Notices stay in the [`Alert::outbox`] until they are settled, and the outbox is part of
/// [`Alert::to_bytes`]; so whatever a restored alert finds there is told again, and nothing else.
#[derive(Debug, Clone)]
pub struct Alert {
    name: Name,
    key: Vec<String>,
    notify: Vec<Name>,
    title: Title,
    hold: Span,
    remind: Option<Span>,
    newest_by: Option<String>,
    state: State,
    error: Option<String>,
}

/// What stands under one key, for tables and pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// The row has not stood long enough.
    Pending,
    /// It was told.
    Firing,
    /// It is over.
    Resolved,
}

impl KeyState {
    /// Returns the word in `system.alerts`.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyState::Pending => "pending",
            KeyState::Firing => "firing",
            KeyState::Resolved => "resolved",
        }
    }
}

impl Alert {
    /// Makes an alert whose SELECT has `schema`; the faults say which columns its title and key
    /// name in vain.
    ///
    /// `newest_by` is the column with the start of the window if the SELECT reads a windowed table:
    /// of the rows of a key only the newest window counts then.
    pub fn new(
        declared: &spec::Alert,
        schema: &Schema,
        newest_by: Option<&str>,
    ) -> Result<Alert, Vec<Fault>> {
        let mut faults = Vec::new();
        for column in declared.key.iter().chain(&declared.title_columns) {
            if schema.column_with_name(column.as_str()).is_none() {
                let names = schema.fields().iter().map(|it| it.name().as_str());
                let names: Vec<_> = names.filter(|it| !it.starts_with('_')).collect();
                let help = format!("it has {}", names.join(", "));
                let message = format!("`{column}` is no column of the alert's SELECT");
                faults.push(column.fault(message, Some(help)));
            }
        }
        let newest_by = newest_by.filter(|it| schema.column_with_name(it).is_some());
        let key: Vec<_> = declared.key.iter().map(|it| it.text.clone()).collect();
        let title = match &declared.title {
            None => Title::of_key(&declared.name, &key),
            Some(template) => Title::new(template.as_str()),
        };
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Alert {
            name: declared.name.clone(),
            key,
            notify: declared.notify.clone(),
            title,
            hold: declared.hold,
            remind: declared.remind,
            newest_by: newest_by.map(str::to_owned),
            state: State::default(),
            error: None,
        })
    }

    /// Returns its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Takes what the SELECT answers now and returns what is to be told; the same notices are in
    /// the outbox. `now_ms` should be the time of the tick, so that a replay makes the same ids.
    ///
    /// Of several rows with one key the newest window counts if there are windows, else the first.
    pub fn observe(&mut self, rows: &[RecordBatch], now_ms: u64) -> Vec<Notice> {
        self.observe_from(rows, None, now_ms)
    }

    /// As [`Alert::observe`], where rows of windows that start before `newest` (microseconds) count
    /// as gone: the newest window is another one, and it is calm.
    pub fn observe_from(
        &mut self,
        rows: &[RecordBatch],
        newest: Option<i64>,
        now_ms: u64,
    ) -> Vec<Notice> {
        let seen = self.seen(rows, newest);
        let mut notices = self.resolve_absent(&seen, now_ms);
        let mut is_too_wide = false;
        for (key, row) in seen {
            if let Some(standing) = self.state.standing.get_mut(&key) {
                row.refresh(standing);
            } else if self.state.standing.len() < ALERT_KEYS_MAX {
                let mut standing = row.stands_since(now_ms);
                standing.turn = self.state.turn_of(&key, standing.seed);
                self.state.standing.insert(key, standing);
            } else {
                is_too_wide = true;
            }
        }
        self.error = is_too_wide.then(|| {
            format!("more than {ALERT_KEYS_MAX} keys alarm at once; those beyond are not told")
        });
        notices.extend(self.elapse(now_ms));
        notices
    }

    /// Returns what is to be told because time has passed, while the rows are still the same.
    pub fn elapse(&mut self, now_ms: u64) -> Vec<Notice> {
        let mut notices = Vec::new();
        for (key, standing) in &mut self.state.standing {
            let due = standing.due_ms(self.hold, self.remind);
            let Some(due_ms) = due.filter(|it| *it <= now_ms) else { continue };
            let state = match standing.fired_ms {
                None => NoticeState::Firing,
                Some(_) => NoticeState::Reminder,
            };
            standing.tell(state, due_ms, now_ms);
            notices.push(standing.notice(&self.name, key, state, now_ms));
        }
        self.post(&notices);
        notices
    }

    /// Returns when [`Alert::elapse`] has something to tell next, if no row changes until then.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.state.standing.values().filter_map(|it| it.due_ms(self.hold, self.remind)).min()
    }

    /// Returns the notices that some target has not settled yet, oldest first, each with the
    /// targets that still wait for it.
    pub fn outbox(&self) -> impl Iterator<Item = (&Notice, &[Name])> {
        self.state.outbox.iter().map(|it| (&it.notice, it.waiting.as_slice()))
    }

    /// Takes note of what became of notices.
    pub fn settle(&mut self, settled: &[Settled]) {
        let by_notice: BTreeMap<_, Vec<_>> =
            settled.iter().fold(BTreeMap::new(), |mut by_notice, it| {
                by_notice.entry(it.notice.as_str()).or_insert_with(Vec::new).push(it);
                by_notice
            });
        let mut errors = Vec::new();
        for letter in &mut self.state.outbox {
            for settled in by_notice.get(letter.notice.id.as_str()).into_iter().flatten() {
                letter.waiting.retain(|it| *it != settled.target);
                let error = match &settled.outcome {
                    Outcome::Delivered => None,
                    Outcome::Failed { reason } => Some(format!("{}: {reason}", settled.target)),
                };
                errors.push((letter.notice.key.clone(), error));
            }
        }
        self.state.outbox.retain(|it| !it.waiting.is_empty());
        for (key, error) in errors {
            self.state.set_error(&key, error);
        }
    }

    /// Takes note that its SELECT could not be asked, or with `None` that it can again. What stands
    /// goes on standing: an error is no calm.
    pub fn set_error(&mut self, error: Option<String>) {
        self.error = error;
    }

    /// Returns what is wrong with the alert as a whole.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Returns how many notices, reminders apart, left a full outbox without being delivered.
    pub fn lost(&self) -> u64 {
        self.state.lost
    }

    /// Returns how many keys fire.
    pub fn firing(&self) -> usize {
        self.state.standing.values().filter(|it| it.fired_ms.is_some()).count()
    }

    /// Returns the state as bytes for the checkpoint.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.state.to_bytes()
    }

    /// Takes the state that [`Alert::to_bytes`] returned. It tells nothing by itself: what fires
    /// was told, and what was not is in the outbox.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        self.state = State::from_bytes(bytes)?;
        // Whoever is no longer declared is no longer told.
        for letter in &mut self.state.outbox {
            letter.waiting.retain(|it| self.notify.contains(it));
        }
        self.state.outbox.retain(|it| !it.waiting.is_empty());
        Ok(())
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Returns the row of each key.
    fn seen(&self, rows: &[RecordBatch], newest: Option<i64>) -> BTreeMap<String, Row> {
        let mut seen: BTreeMap<String, Row> = BTreeMap::new();
        for batch in rows {
            let windows = self.windows_of(batch);
            for index in 0..batch.num_rows() {
                let window = windows.as_ref().and_then(|it| it.get(index).copied().flatten());
                if self.newest_by.is_some() && window < newest {
                    continue;
                }
                let key = key_of(batch, &self.key, index);
                if seen.get(&key).is_some_and(|it| window <= it.window) {
                    continue;
                }
                let title = self.title.fill(batch, index);
                seen.insert(key, Row { json: json_of(batch, index), title, window });
            }
        }
        seen
    }

    /// Returns the start of each row's window.
    fn windows_of(&self, batch: &RecordBatch) -> Option<Vec<Option<i64>>> {
        let column = batch.column_by_name(self.newest_by.as_deref()?)?;
        // The schema was brought to our types: timestamps are microseconds.
        let starts = cast(column, &DataType::Int64).ok()?;
        Some(starts.as_primitive::<Int64Type>().iter().collect())
    }

    /// Ends what no longer has a row.
    fn resolve_absent(&mut self, seen: &BTreeMap<String, Row>, now_ms: u64) -> Vec<Notice> {
        let mut notices = Vec::new();
        let is_gone = |key: &String, _: &mut Standing| !seen.contains_key(key);
        let gone: Vec<_> = self.state.standing.extract_if(.., is_gone).collect();
        for (key, mut standing) in gone {
            // What never fired was never told, and ends in silence.
            if standing.fired_ms.is_none() {
                continue;
            }
            standing.tell(NoticeState::Resolved, now_ms, now_ms);
            notices.push(standing.notice(&self.name, &key, NoticeState::Resolved, now_ms));
            self.state.resolved.push_back(Resolved { key, at_ms: now_ms, standing });
            if ALERT_RESOLVED_MAX < self.state.resolved.len() {
                self.state.resolved.pop_front();
            }
        }
        self.post(&notices);
        notices
    }

    /// Puts notices into the outbox. When it is full, reminders go first, then the oldest.
    fn post(&mut self, notices: &[Notice]) {
        if self.notify.is_empty() {
            return;
        }
        let outbox = &mut self.state.outbox;
        for notice in notices {
            outbox.push_back(Letter { notice: notice.clone(), waiting: self.notify.clone() });
        }
        let excess = outbox.len().saturating_sub(NOTICES_MAX);
        if excess == 0 {
            return;
        }
        let mut reminders = 0;
        outbox.retain(|it| {
            let goes = reminders < excess && it.notice.state == NoticeState::Reminder;
            reminders += usize::from(goes);
            !goes
        });
        let oldest = excess - reminders;
        outbox.drain(..oldest);
        self.state.lost = self.state.lost.saturating_add(u64::try_from(oldest).unwrap_or(u64::MAX));
    }
}

/// What a row says.
struct Row {
    json: String,
    title: String,
    window: Option<i64>,
}

impl Row {
    fn stands_since(self, now_ms: u64) -> Standing {
        Standing {
            started_ms: now_ms,
            // A window is the same in every replay; the time of a tick nearly always.
            seed: self.window.unwrap_or_else(|| i64::try_from(now_ms).unwrap_or(i64::MAX)),
            turn: 0,
            fired_ms: None,
            told_ms: None,
            changed_ms: now_ms,
            reminders: 0,
            notices: 0,
            row: self.json,
            title: self.title,
            error: None,
        }
    }

    fn refresh(self, standing: &mut Standing) {
        standing.row = self.json;
        standing.title = self.title;
    }
}

impl Standing {
    /// Returns when there is something to tell about it.
    fn due_ms(&self, hold: Span, remind: Option<Span>) -> Option<u64> {
        match self.told_ms {
            None => Some(self.started_ms.saturating_add(hold.as_millis())),
            Some(told_ms) => {
                let remind = remind.filter(|it| 0 < it.as_millis())?;
                Some(told_ms.saturating_add(remind.as_millis()))
            }
        }
    }

    fn tell(&mut self, state: NoticeState, due_ms: u64, now_ms: u64) {
        self.notices += 1;
        match state {
            NoticeState::Firing => {
                self.fired_ms = Some(now_ms);
                self.changed_ms = now_ms;
                self.told_ms = Some(now_ms);
            }
            NoticeState::Reminder => {
                self.reminders += 1;
                // From now on, and not from when it was due: missed reminders are not made up for.
                self.told_ms = Some(now_ms.max(due_ms));
            }
            NoticeState::Resolved => self.changed_ms = now_ms,
        }
    }

    fn notice(&self, alert: &Name, key: &str, state: NoticeState, at_ms: u64) -> Notice {
        let number = if state == NoticeState::Reminder { self.reminders } else { 0 };
        Notice {
            id: id_of(alert, key, &[self.seed, self.turn, number], state),
            alert: alert.clone(),
            state,
            key: key.to_owned(),
            title: self.title.clone(),
            row: self.row.clone(),
            started_ms: self.started_ms,
            at_ms,
        }
    }
}

/// Returns the key columns of a row as a JSON object.
fn key_of(batch: &RecordBatch, key: &[String], row: usize) -> String {
    object_of(key.iter().map(|it| (it.as_str(), batch.column_by_name(it))), row)
}

fn json_of(batch: &RecordBatch, row: usize) -> String {
    let fields = batch.schema_ref().fields().iter().map(|it| it.name().as_str());
    object_of(fields.zip(batch.columns().iter().map(Some)), row)
}

fn object_of<'a>(
    columns: impl Iterator<Item = (&'a str, Option<&'a arrow::array::ArrayRef>)>,
    row: usize,
) -> String {
    let mut out = String::from("{");
    for (name, column) in columns {
        if 1 < out.len() {
            out.push(',');
        }
        rows::json::write_string(name, &mut out);
        out.push(':');
        match column {
            Some(column) => rows::json::write_value(column, row, &mut out),
            None => out.push_str("null"),
        }
    }
    out.push('}');
    out
}

impl State {
    fn set_error(&mut self, key: &str, error: Option<String>) {
        if let Some(standing) = self.standing.get_mut(key) {
            standing.error = error;
        } else if let Some(resolved) = self.resolved.iter_mut().rev().find(|it| it.key == key) {
            resolved.standing.error = error;
        }
    }

    /// Returns how often a key has stood before with this seed: a window that is corrected to calm
    /// and back makes notices of their own, and so do two rows within a millisecond.
    fn turn_of(&self, key: &str, seed: i64) -> i64 {
        let last = self.resolved.iter().rev().find(|it| it.key == key && it.standing.seed == seed);
        last.map_or(0, |it| it.standing.turn + 1)
    }

    /// Returns how many notices of each key are not settled.
    pub(crate) fn waiting(&self) -> BTreeMap<&str, i64> {
        self.outbox.iter().fold(BTreeMap::new(), |mut waiting, it| {
            *waiting.entry(it.notice.key.as_str()).or_insert(0) += 1;
            waiting
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
