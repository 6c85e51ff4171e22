//! Who asks: what they may change, and how much of the machine their questions may take.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::{ByteSize, Kind, Span};
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

use crate::error::SqlError;

/// What an asker may do beside reading.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AskRights {
    /// Write files into buckets.
    pub write: bool,
    /// Make and drop tables of the project.
    pub manage: bool,
}

/// How much the questions of one asker may take; no limit of their own where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AskLimits {
    /// Statements that run at a time.
    pub at_once: Option<usize>,
    /// How long one statement may run.
    pub duration: Option<Duration>,
    /// Memory of all their statements together.
    pub memory_bytes: Option<usize>,
    /// Rows that one statement may read of tables and files.
    pub rows_read: Option<u64>,
    /// Bytes of the columns that one statement may read.
    pub bytes_read: Option<u64>,
}

/// Somebody who asks, with what their statements take now.
#[derive(Debug)]
pub struct Asker {
    name: String,
    rights: AskRights,
    limits: AskLimits,
    running: Arc<AtomicUsize>,
    memory_used: AtomicUsize,
}

/// What begins the message that memory of an asker is used up; operators that can spill do so then.
const KEY: &str = "the key `";

impl Asker {
    /// Makes an asker of these rights and limits.
    pub fn new(name: impl Into<String>, rights: AskRights, limits: AskLimits) -> Asker {
        let running = Arc::default();
        Asker { name: name.into(), rights, limits, running, memory_used: AtomicUsize::new(0) }
    }

    /// Makes an asker who may do everything, as whoever runs the program.
    pub fn unlimited(name: impl Into<String>) -> Asker {
        Asker::new(name, AskRights { write: true, manage: true }, AskLimits::default())
    }

    /// Returns the name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether these are its rights and limits.
    pub fn is_alike(&self, rights: AskRights, limits: &AskLimits) -> bool {
        self.rights == rights && self.limits == *limits
    }

    /// Returns the memory that its statements use now.
    pub fn memory_used(&self) -> usize {
        self.memory_used.load(Ordering::Relaxed)
    }

    /// Returns an error if the asker may not write files into buckets.
    ///
    /// # Errors
    /// SQLSTATE 42501.
    pub fn check_write(&self) -> std::result::Result<(), SqlError> {
        self.check(self.rights.write, "write files", "write")
    }

    /// Returns an error if the asker may not make tables.
    ///
    /// # Errors
    /// SQLSTATE 42501.
    pub fn check_manage(&self) -> std::result::Result<(), SqlError> {
        self.check(self.rights.manage, "change the project", "manage")
    }

    fn check(&self, may: bool, what: &str, right: &str) -> std::result::Result<(), SqlError> {
        if may {
            return Ok(());
        }
        let name = &self.name;
        Err(SqlError::invalid("42501", format!("{KEY}{name}` may not {what}"))
            .with_help(format!("add \"{right}\" to `may` of [project.keys.{name}]")))
    }

    fn over(&self, sqlstate: &'static str, what: &str, limit: &str) -> SqlError {
        let name = &self.name;
        let message = format!("{KEY}{name}` may {what}");
        SqlError::invalid(sqlstate, message)
            .with_help(format!("ask for less, or raise `{limit}` of [project.keys.{name}.queries]"))
    }

    /// Takes a place among the statements that may run at a time.
    pub(crate) fn begin(&self) -> std::result::Result<Place, SqlError> {
        let max = self.limits.at_once.unwrap_or(usize::MAX);
        let taken = self
            .running
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| (it < max).then_some(it + 1));
        if taken.is_ok() {
            return Ok(Place(Arc::clone(&self.running)));
        }
        let what = if max == 1 { "statement" } else { "statements" };
        let what = format!("run {max} {what} at a time, and so many run");
        let help = format!(
            "try again when one has ended, or raise `at_once` of [project.keys.{}.queries]",
            self.name
        );
        Err(self.over("53400", &what, "at_once").with_kind(Kind::Throttled).with_help(help))
    }

    /// Returns how long a statement may run that is allowed `duration`.
    pub(crate) fn duration(&self, duration: Duration) -> Duration {
        self.limits.duration.map_or(duration, |it| it.min(duration))
    }

    /// The statement took longer than this asker's statements may.
    pub(crate) fn out_of_time(&self, duration: Duration) -> Option<SqlError> {
        let own = self.limits.duration.filter(|it| *it <= duration)?;
        let what = format!("ask for {} at a time; the statement was cancelled", Span(own));
        Some(self.over("57014", &what, "time"))
    }

    /// Returns what counts the rows that a statement reads, if they are limited.
    pub(crate) fn reading(self: &Arc<Self>) -> Option<Arc<Reading>> {
        let is_limited = self.limits.rows_read.is_some() || self.limits.bytes_read.is_some();
        is_limited.then(|| Arc::new(Reading::of(self)))
    }

    /// Returns the memory that this asker's statements take from.
    pub(crate) fn memory(self: &Arc<Self>, all: &Arc<dyn MemoryPool>) -> Arc<dyn MemoryPool> {
        match self.limits.memory_bytes {
            None => Arc::clone(all),
            Some(max) => Arc::new(Share { all: Arc::clone(all), max, asker: Arc::clone(self) }),
        }
    }
}

/// Returns whether an error of the engine is about the memory of one asker.
pub(crate) fn memory_message(message: &str) -> Option<&str> {
    message.get(message.find(KEY)?..)?.lines().next()
}

/// A place among the statements that an asker may run at a time; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Place {
    /// Returns the count of the asker's statements that run.
    pub(crate) fn running(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.0)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts what one statement reads.
#[derive(Debug)]
pub(crate) struct Reading {
    asker: Arc<Asker>,
    rows: std::sync::atomic::AtomicU64,
    bytes: std::sync::atomic::AtomicU64,
}

impl Reading {
    fn of(asker: &Arc<Asker>) -> Reading {
        let (rows, bytes) = Default::default();
        Reading { asker: Arc::clone(asker), rows, bytes }
    }

    /// Whether bytes count, which costs a little.
    pub(crate) fn wants_bytes(&self) -> bool {
        self.asker.limits.bytes_read.is_some()
    }

    /// Counts rows and their bytes; an error when they are too many.
    pub(crate) fn add(&self, rows: u64, bytes: u64) -> std::result::Result<(), SqlError> {
        let rows = self.rows.fetch_add(rows, Ordering::Relaxed).saturating_add(rows);
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let limits = &self.asker.limits;
        if let Some(max) = limits.rows_read.filter(|it| *it < rows) {
            let what = format!("read {max} rows in a statement, and this one reads more");
            return Err(self.asker.over("53400", &what, "rows"));
        }
        if let Some(max) = limits.bytes_read.filter(|it| *it < bytes) {
            let what = format!("read {} in a statement, and this one reads more", ByteSize(max));
            return Err(self.asker.over("53400", &what, "bytes"));
        }
        Ok(())
    }
}

/// The part of the memory of all queries that one asker may have.
#[derive(Debug)]
struct Share {
    all: Arc<dyn MemoryPool>,
    max: usize,
    asker: Arc<Asker>,
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the memory of `{}`", self.asker.name)
    }
}

impl MemoryPool for Share {
    fn name(&self) -> &'static str {
        "share"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.all.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.all.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.asker.memory_used.fetch_add(additional, Ordering::Relaxed);
        self.all.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.asker.memory_used.fetch_sub(shrink, Ordering::Relaxed);
        self.all.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let used = &self.asker.memory_used;
        let taken = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| {
            it.checked_add(additional).filter(|it| *it <= self.max)
        });
        if taken.is_err() {
            let max = ByteSize(self.max as u64);
            let message = format!("{KEY}{}` may use {max} of memory", self.asker.name);
            return Err(DataFusionError::ResourcesExhausted(message));
        }
        self.all.try_grow(reservation, additional).inspect_err(|_| {
            used.fetch_sub(additional, Ordering::Relaxed);
        })
    }

    fn reserved(&self) -> usize {
        self.asker.memory_used()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.max)
    }
}

#[cfg(test)]
mod tests;
