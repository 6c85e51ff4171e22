//! The hand-over of one epoch: prepare, state, checkpoint, commit.
//!
//! 1. `prepare` of every sink: files are written and synced, nothing of them is visible.
//! 2. The state file is written and synced.
//! 3. The checkpoint takes the place of the one before. **This is the commit point**: before it a
//!    crash repeats the epoch, after it the epoch counts.
//! 4. `commit` of every sink; after a crash it is done again, and does nothing where it was done.
//!
//! A failure before step 3 keeps what was prepared and prepares the rest again: on a full disk each
//! attempt would else leave files behind. One after it only repeats step 4, because the checkpoint
//! has promised these very actions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Epoch, Kind, Name};
use futures::future::{join_all, try_join_all};
use rows::sink::{Actions, Change, Sink, SinkError};

use crate::checkpoint::{Checkpoint, Detached, Files, State};
use crate::error::Error;
use crate::spill::Spills;

/// Everything of one epoch that must become durable.
pub(crate) struct Handover {
    pub(crate) files: Files,
    pub(crate) spills: Spills,
    pub(crate) changes: Vec<TableChange>,
    pub(crate) state: State,
    /// Complete but for the actions.
    pub(crate) checkpoint: Checkpoint,
    pub(crate) now_ms: u64,
}

/// What the epoch does to one table.
pub(crate) struct TableChange {
    pub(crate) table: Name,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) change: Change,
    /// Whether the flow cannot go on without it.
    pub(crate) is_vital: bool,
}

/// What a hand-over achieved.
#[derive(Debug)]
pub(crate) struct HandedOver {
    pub(crate) checkpoint: Checkpoint,
    /// Tables whose storage refuses their rows for good, and why.
    pub(crate) refused: Vec<(Name, String)>,
}

/// How long to wait before the next attempt: doubled each time, up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// Tells how failures of a running flow are met.
pub(crate) struct Patience {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) failed: Box<dyn Fn(&Error) + Send + Sync>,
}

impl Handover {
    /// Hands the epoch over. Without patience the first failure is returned, and only a restart
    /// tells how far it came.
    pub(crate) async fn run(mut self, patience: Option<&Patience>) -> Result<HandedOver, Error> {
        let mut pause = PAUSES.0;
        let (mut refused, mut actions) = (Vec::new(), BTreeMap::new());
        loop {
            match self.prepare(&mut actions, &mut refused).await {
                Ok(()) => break,
                Err(error) => wait(patience, error, &mut pause).await?,
            }
        }
        let epoch = self.checkpoint.epoch;
        for (table, actions) in &actions {
            self.checkpoint.tables.entry(table.clone()).or_default().actions =
                Some(actions.clone());
        }
        loop {
            match self.write() {
                Ok(()) => break,
                Err(error) => wait(patience, error, &mut pause).await?,
            }
        }
        loop {
            match self.commit(epoch, &actions).await {
                Ok(()) => break,
                Err(error) => wait(patience, error, &mut pause).await?,
            }
        }
        self.files.sweep(&self.checkpoint);
        self.state = State::default();
        self.spills.sweep(&self.checkpoint);
        Ok(HandedOver { checkpoint: self.checkpoint, refused })
    }

    /// Prepares what is not among `actions` yet; returns the first failure after all were tried.
    async fn prepare(
        &mut self,
        actions: &mut BTreeMap<Name, Actions>,
        refused: &mut Vec<(Name, String)>,
    ) -> Result<(), Error> {
        let epoch = self.checkpoint.epoch;
        let prepare = |it: &TableChange| {
            let (table, sink, change, is_vital) =
                (it.table.clone(), Arc::clone(&it.sink), it.change.clone(), it.is_vital);
            async move { (table, is_vital, sink.prepare(epoch, change).await) }
        };
        let missing = self.changes.iter().filter(|it| !actions.contains_key(&it.table));
        let mut failed = None;
        for (table, is_vital, outcome) in join_all(missing.map(prepare)).await {
            match outcome {
                Ok(of_table) => {
                    actions.insert(table, of_table);
                }
                Err(SinkError::Refused { reason, .. }) if !is_vital => {
                    self.changes.retain(|it| it.table != table);
                    let point = self.checkpoint.tables.entry(table.clone()).or_default();
                    let since_ms = self.now_ms;
                    let error = reason.clone();
                    point.detached = Some(Detached { since_ms, error, is_held: false });
                    point.forget_state();
                    refused.push((table, reason));
                }
                Err(error) => failed = worse(failed, error),
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    fn write(&mut self) -> Result<(), Error> {
        let failed = || Error::compute("groups on disk cannot be made durable");
        self.spills.sync(&self.state.spilled).map_err(failed())?;
        self.checkpoint.set_format();
        if !self.state.bytes.is_empty() {
            let name = self.files.write_state(self.checkpoint.epoch, &self.state)?;
            self.checkpoint.state = Some(name);
        }
        self.files.commit(&self.checkpoint)
    }

    async fn commit(&self, epoch: Epoch, actions: &BTreeMap<Name, Actions>) -> Result<(), Error> {
        let commit = |it: &TableChange| {
            let actions = actions.get(&it.table).cloned();
            let sink = Arc::clone(&it.sink);
            async move {
                match actions {
                    None => Ok(()),
                    Some(actions) => sink.commit(epoch, actions).await,
                }
            }
        };
        try_join_all(self.changes.iter().map(commit)).await?;
        Ok(())
    }
}

/// Keeps the failure that no further attempt would mend, else the first.
fn worse(known: Option<SinkError>, other: SinkError) -> Option<SinkError> {
    match known {
        Some(known) if !matches!(known, SinkError::Unavailable { .. }) => Some(known),
        Some(known) if matches!(other, SinkError::Unavailable { .. }) => Some(known),
        Some(_) | None => Some(other),
    }
}

async fn wait(
    patience: Option<&Patience>,
    error: Error,
    pause: &mut Duration,
) -> Result<(), Error> {
    let Some(patience) = patience else { return Err(error) };
    if matches!(error.kind(), Kind::Corrupt | Kind::Bug | Kind::Invalid) {
        return Err(error);
    }
    (patience.failed)(&error);
    patience.clock.sleep(*pause).await;
    *pause = (*pause * 2).min(PAUSES.1);
    Ok(())
}

#[cfg(test)]
mod tests;
