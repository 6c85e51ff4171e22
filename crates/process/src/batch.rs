//! When a table that is recomputed runs: decided from what is known, without a clock or a disk.
//!
//! [`cron`] knows the calendar, [`book`] what ran so far and what follows from it.

use std::time::Duration;

use base::{Name, Span, limits};
use spec::{Batch, Fault, Missed, Starts, Word};

pub(crate) mod book;
pub(crate) mod cron;

pub(crate) use book::{Book, Wanted};
use cron::Cron;

/// How a table is run.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) starts: Start,
    /// The same in a few words, if something starts it.
    pub(crate) told: Option<String>,
    pub(crate) missed: Missed,
    /// Attempts after the first.
    pub(crate) retries: u32,
    pub(crate) retry_after: Span,
    pub(crate) timeout: Option<Duration>,
    pub(crate) read_max: Option<u64>,
    /// Whether a run reads only what streams got since the one before, and adds to the table.
    pub(crate) reads_new: bool,
}

/// What starts a run.
#[derive(Debug)]
pub(crate) enum Start {
    /// That what it reads has changed.
    Change,
    /// The same, but not more often than this.
    Every(Span),
    Cron(Box<Cron>),
    /// A run of each of these.
    After(Vec<Name>),
    NewObject {
        /// The stream of what happens in the bucket.
        events: Name,
        /// The events that count.
        kinds: &'static [&'static str],
    },
}

/// The events of a bucket's object that is there, and of one that streams have read.
const CAME: &[&str] = &["created", "changed"];
const READ: &[&str] = &["read"];

impl Rules {
    /// Reads how a table is run; `zone` is the time zone of the project.
    pub(crate) fn of(batch: &Batch, zone: Option<&Word>) -> Result<Rules, Fault> {
        let starts = match &batch.starts {
            None => Start::Change,
            Some(Starts::Every(span)) => Start::Every(*span),
            Some(Starts::Cron(word)) => {
                let zone = match zone {
                    None => jiff::tz::TimeZone::UTC,
                    Some(zone) => cron::zone(zone)?,
                };
                Start::Cron(Box::new(Cron::read(word, zone)?))
            }
            Some(Starts::After(tables)) => {
                Start::After(tables.iter().filter_map(|it| Name::new(it.as_str()).ok()).collect())
            }
            Some(Starts::NewObject(object)) => {
                let events = Name::new(object.events.as_str());
                let kinds = if object.is_read { READ } else { CAME };
                let wrong = |it: base::name::NotAName| object.bucket.fault(it.to_string(), None);
                Start::NewObject { events: events.map_err(wrong)?, kinds }
            }
        };
        let retries = if batch.is_started() { limits::RUN_RETRIES } else { 0 };
        Ok(Rules {
            starts,
            told: batch.starts.as_ref().map(Starts::told),
            missed: batch.missed,
            retries: batch.retries.unwrap_or(retries),
            retry_after: batch.retry_after.unwrap_or(Span(limits::RUN_RETRY_AFTER)),
            timeout: batch.timeout.map(|it| it.0),
            read_max: batch.read_max.map(|it| it.0),
            reads_new: batch.reads_new.is_some(),
        })
    }

    /// Returns whether it runs only when it is time, rather than as often as it can.
    pub(crate) fn is_paced(&self) -> bool {
        !matches!(self.starts, Start::Change)
    }

    /// Returns how long after so many failed attempts the next one begins.
    fn pause(&self, attempts: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        self.retry_after.0.saturating_mul(factor).min(limits::RUN_RETRY_AFTER_MAX)
    }

    /// Returns how many rows of the table of runs are kept.
    fn kept(&self) -> usize {
        if self.is_paced() { limits::RUNS_KEPT_MAX } else { limits::RUNS_KEPT_UNPACED_MAX }
    }
}

#[cfg(test)]
mod tests;
