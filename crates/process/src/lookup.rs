//! Lookups: small tables read whole, replaced when their file changes.

use std::sync::Arc;
use std::time::SystemTime;

use arrow::datatypes::SchemaRef;
use base::{Name, Span};
use tokio::sync::oneshot;

use crate::lookup::index::LookupRows;
use crate::lookup::read::LookupFile;

pub(crate) mod index;
pub(crate) mod join;
pub(crate) mod read;
pub(crate) mod types;

/// One version of a lookup.
#[derive(Debug, Clone)]
pub(crate) struct LookupData {
    pub(crate) rows: Arc<LookupRows>,
    columns: Vec<spec::Column>,
    modified: Option<SystemTime>,
    bytes: u64,
    checksum: u32,
}

impl LookupData {
    pub(crate) fn schema(&self) -> SchemaRef {
        self.rows.rows.schema()
    }

    /// Returns a text that differs when the contents do.
    pub(crate) fn version(&self) -> String {
        format!("{}-{:08x}", self.bytes, self.checksum)
    }
}

/// What a flow holds of a lookup.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub(crate) name: Name,
    pub(crate) file: LookupFile,
    pub(crate) data: LookupData,
    /// Counts the versions used since the flow was opened, from 1.
    pub(crate) number: u64,
    pub(crate) error: Option<String>,
    every_ms: Option<u64>,
    looked_ms: u64,
    read_ms: u64,
    /// A version that is being read.
    reading: Option<oneshot::Receiver<Outcome>>,
}

type Outcome = Result<LookupData, String>;

/// How often a file's time of change is looked at.
const LOOK_EVERY_MS: u64 = 1_000;

impl Lookup {
    pub(crate) fn new(plan: &crate::plan::LookupPlan, now_ms: u64) -> Lookup {
        Lookup {
            name: plan.name.clone(),
            file: plan.file.clone(),
            data: plan.first.clone(),
            number: 1,
            error: None,
            every_ms: plan.every.map(Span::as_millis),
            looked_ms: now_ms,
            read_ms: now_ms,
            reading: None,
        }
    }

    /// Takes a changed file over; a broken one leaves the rows as they are. In a running flow the
    /// file is read beside the ticks (`is_beside`), and taken over when it is there. Returns whether
    /// the rows changed.
    pub(crate) fn refresh(&mut self, now_ms: u64, is_beside: bool) -> bool {
        if let Some(reading) = &mut self.reading {
            let outcome = match reading.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => return false,
                Err(oneshot::error::TryRecvError::Closed) => {
                    Err("it could not be read: the thread that read it ended".to_owned())
                }
                Ok(outcome) => outcome,
            };
            self.reading = None;
            return self.take(outcome);
        }
        if !self.is_due(now_ms) {
            return false;
        }
        self.read_ms = now_ms;
        if !is_beside {
            return self.take(self.file.read(Some(&self.data)));
        }
        let (file, data) = (self.file.clone(), self.data.clone());
        let (sender, reading) = oneshot::channel();
        let started = base::task::thread("lookup", move || {
            // Who asked may be gone: the flow has stopped.
            drop(sender.send(file.read(Some(&data))));
        });
        match started {
            Ok(_detached) => {
                self.reading = Some(reading);
                false
            }
            Err(error) => self.take(Err(format!("it cannot be read: {error}"))),
        }
    }

    /// Returns whether the file should be read now.
    fn is_due(&mut self, now_ms: u64) -> bool {
        let every_ms = self.every_ms.unwrap_or(u64::MAX);
        if now_ms.saturating_sub(self.looked_ms) < LOOK_EVERY_MS.min(every_ms) {
            return false;
        }
        self.looked_ms = now_ms;
        every_ms <= now_ms.saturating_sub(self.read_ms) || self.file.has_changed(&self.data)
    }

    fn take(&mut self, outcome: Outcome) -> bool {
        match outcome {
            Ok(data) => {
                self.error = None;
                let is_new = data.version() != self.data.version();
                self.number += u64::from(is_new);
                if is_new {
                    self.data = data;
                } else {
                    self.data.modified = data.modified;
                }
                is_new
            }
            Err(error) => {
                if self.error.as_ref() != Some(&error) {
                    tracing::warn!(lookup = %self.name, error, "lookup keeps its last good version");
                }
                self.error = Some(error);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
