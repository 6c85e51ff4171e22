//! The boundary between two epochs, and what follows when an epoch has become durable.

use base::{Epoch, Name};
use rows::sink::Change;

use crate::checkpoint::{Checkpoint, Piece, State, StreamPoint, TablePoint};
use crate::error::{Error, in_words};
use crate::flow::{Flow, TableRun};
use crate::handover::{HandedOver, Handover, TableChange};
use crate::table::StateRows;

impl Flow {
    /// Ends the epoch: takes what it must hand over and begins the next. Returns nothing if there
    /// is nothing to hand over.
    pub(crate) async fn end_epoch(&mut self) -> Result<Option<Handover>, Error> {
        let now_ms = self.clock.now_ms();
        let told = Box::pin(self.take_backfill(now_ms)).await;
        Box::pin(self.refresh_told(now_ms, told, true)).await;
        let epoch = self.epoch;
        let mut changes = self.changes(epoch, now_ms);
        let observed = self.observer.as_ref().map(|it| it.state()).unwrap_or_default();
        let is_news = self.epoch_records != 0
            || !changes.is_empty()
            || observed != self.observer_state
            || self.durable_differs();
        self.epoch_began = self.clock.elapsed();
        if !is_news {
            return Ok(None);
        }
        let mut state = State::default();
        let checkpoint = self.checkpoint(epoch, &mut state, &observed);
        let stays = |it: &TableChange| {
            let point = checkpoint.tables.get(&it.table);
            point.and_then(|it| it.detached.as_ref()).is_none_or(|it| it.is_held)
        };
        changes.retain(stays);
        self.observer_state = observed;
        self.epoch = epoch.next();
        self.epoch_records = 0;
        self.epoch_bytes = 0;
        let (files, spills) = (self.files.clone(), self.spills.clone());
        Ok(Some(Handover { files, spills, changes, state, checkpoint, now_ms }))
    }

    /// Collects what the epoch does to every table.
    fn changes(&mut self, epoch: Epoch, now_ms: u64) -> Vec<TableChange> {
        let mut changes = Vec::new();
        let mut add = |table: &Name, stored: &super::Stored, is_vital, change: Option<Change>| {
            if let Some(change) = change {
                let (table, sink) = (table.clone(), std::sync::Arc::clone(&stored.storage.sink));
                changes.push(TableChange { table, sink, change, is_vital });
            }
        };
        for stream in &self.streams {
            add(&stream.plan.declared.name, &stream.own, true, stream.raw.change(epoch));
            add(&stream.plan.dead, &stream.dead_stored, true, stream.dead.change(epoch));
        }
        for run in &mut self.tables {
            add(&run.plan.dead, &run.dead_stored, true, run.dead.change(epoch));
            // One that is held has stored what it showed; it gets nothing new.
            let is_out = run.detached.is_some() && !run.is_held();
            if is_out || run.given.is_some() {
                continue;
            }
            let of = run.tagged.take().unwrap_or(epoch);
            match run.body.change(of, now_ms) {
                Ok(change) => add(run.plan.name(), &run.own, false, change),
                Err(error) => {
                    run.detach(now_ms, in_words(&error));
                    self.changed.insert(run.plan.name().clone());
                }
            }
        }
        changes
    }

    /// Returns whether the last checkpoint lacks something of this flow, or has it otherwise.
    fn durable_differs(&self) -> bool {
        let table_differs = |run: &TableRun| {
            let point = self.durable.tables.get(run.plan.name());
            let is_other =
                |it: &TablePoint| run.is_recomputed() && it.book.as_ref() != Some(&run.book);
            point.is_none_or(|it| it.detached != run.detached || is_other(it))
        };
        self.streams.iter().any(|it| !self.durable.streams.contains_key(&it.plan.declared.name))
            || self.tables.iter().any(table_differs)
    }

    /// Writes down everything of the epoch that ends, but for the actions.
    fn checkpoint(&mut self, epoch: Epoch, state: &mut State, observed: &[u8]) -> Checkpoint {
        let mut checkpoint = Checkpoint::new(self.name.clone(), epoch);
        // What left the flow stays written down until another flow has it.
        checkpoint.streams.clone_from(&self.durable.streams);
        checkpoint.tables.clone_from(&self.durable.tables);
        for stream in &self.streams {
            let point = StreamPoint { epoch, ..stream.point.clone() };
            checkpoint.streams.insert(stream.plan.declared.name.clone(), point);
            let dead = TablePoint { epoch, ..TablePoint::default() };
            checkpoint.tables.insert(stream.plan.declared.name.clone(), dead.clone());
            checkpoint.tables.insert(stream.plan.dead.clone(), dead);
        }
        let now_ms = self.clock.now_ms();
        for run in &mut self.tables {
            let dead = TablePoint { epoch, ..TablePoint::default() };
            checkpoint.tables.insert(run.plan.dead.clone(), dead);
            let point = run.point(epoch, state, now_ms, &self.durable);
            checkpoint.tables.insert(run.plan.name().clone(), point);
        }
        for point in checkpoint.tables.values_mut().filter(|it| it.epoch != epoch) {
            point.forget_state(); // Its state file goes; its rows tell the groups again.
        }
        for lookup in &self.lookups {
            checkpoint.lookups.insert(lookup.name.clone(), lookup.data.version());
        }
        if !observed.is_empty() {
            checkpoint.observer = Some(state.push(observed));
        }
        checkpoint
    }

    /// Waits for the hand-over under way, if there is one, and takes over what it did.
    pub(crate) async fn finish_epoch(&mut self) -> Result<(), Error> {
        let Some(task) = self.in_flight.take() else { return Ok(()) };
        let done =
            task.await.map_err(|panic| Error::Stopped { reason: Some(panic.to_string()) })?;
        // What a step left for the next tick must not be shown half, nor be forgotten by those who
        // are told of ticks: it becomes a tick now.
        let is_hidden = !self.changed.is_empty();
        self.take_over(done?);
        if is_hidden {
            return self.publish().await;
        }
        self.show(false).await;
        Ok(())
    }

    /// Drops what is stored now from memory, and shows the stored rows instead.
    pub(crate) fn take_over(&mut self, done: HandedOver) {
        let now_ms = self.clock.now_ms();
        let epoch = done.checkpoint.epoch;
        for (name, error) in done.refused {
            if let Some(run) = self.tables.iter_mut().find(|it| *it.name() == name) {
                run.detach(now_ms, error);
            }
        }
        let is_changed =
            |it: &Name| done.checkpoint.tables.get(it).is_some_and(|it| it.actions.is_some());
        for stream in &mut self.streams {
            if is_changed(&stream.plan.declared.name) {
                stream.raw.stored(epoch);
                stream.own.renew();
                self.changed.insert(stream.plan.declared.name.clone());
            }
            if is_changed(&stream.plan.dead) {
                stream.dead.stored(epoch);
                stream.dead_stored.renew();
                self.changed.insert(stream.plan.dead.clone());
            }
            if let Some(point) = done.checkpoint.streams.get(&stream.plan.declared.name) {
                stream.release(&point.positions);
            }
        }
        for run in &mut self.tables {
            if is_changed(run.plan.name()) {
                run.body.stored(epoch);
                run.own.renew();
                self.changed.insert(run.plan.name().clone());
            }
            if is_changed(&run.plan.dead) {
                run.dead.stored(epoch);
                run.dead_stored.renew();
                self.changed.insert(run.plan.dead.clone());
            }
        }
        self.stats.epochs += 1;
        self.flushes.lock().error = None;
        self.durable = done.checkpoint;
    }
}

/// Pieces of state that a restart reads at most.
const PIECES_MAX: usize = 16;

/// Returns whether changes may be written beside these pieces: as long as all of them together are
/// less than twice the first, which was everything.
fn is_worth_more(written: &[Piece]) -> bool {
    let Some((first, rest)) = written.split_first() else { return false };
    let changes: u64 = rest.iter().map(|it| it.section.length).sum();
    written.len() < PIECES_MAX && changes < first.section.length
}

impl TableRun {
    fn point(
        &mut self,
        epoch: Epoch,
        state: &mut State,
        now_ms: u64,
        durable: &Checkpoint,
    ) -> TablePoint {
        let mut point = TablePoint {
            epoch,
            incarnation: "1".to_owned(),
            fingerprint: self.plan.fingerprint_with(&self.history),
            ..TablePoint::default()
        };
        point.book = self.is_recomputed().then(|| self.book.clone());
        if let Some(rows) = self.body.window_rows() {
            point.watermark_us = rows.watermark;
            point.corrections = rows.corrections;
        }
        if self.detached.is_none() || self.is_held() {
            let written = durable.pieces(self.plan.name());
            let stored = match self.body.state(is_worth_more(&written)) {
                Ok(None) => Ok(None),
                Ok(Some(StateRows { schema, rows, is_whole, on_disk })) => {
                    if !is_whole {
                        point.earlier = written;
                    }
                    point.spilled = on_disk.named;
                    state.spilled.extend(on_disk.files);
                    state.push_rows(&schema, &rows).map(Some).map_err(|error| {
                        datafusion::error::DataFusionError::ArrowError(Box::new(error), None)
                    })
                }
                Err(error) => Err(error),
            };
            match stored {
                Ok(section) => point.state = section,
                Err(error) => {
                    point.forget_state();
                    self.detach(now_ms, in_words(&error));
                }
            }
        }
        point.detached.clone_from(&self.detached);
        point
    }
}
