//! One step of a flow: what has arrived goes through every table, in FROM order.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use base::{Name, Place, SequenceNumber, ShardId};
use datafusion::catalog::TableProvider;
use rows::dead::{Builder, Record};

use crate::checkpoint::Detached;
use crate::error::{Error, in_words};
use crate::flow::{Flow, TableRun, find_provider, stream};
use crate::table::{self, Body, DeadRow, Moved, Step, Stepped};

/// The new rows of each table.
pub(crate) type Fresh = BTreeMap<Name, Vec<RecordBatch>>;

impl Flow {
    /// Takes in what has arrived, without showing it; returns how many records it was.
    pub(crate) async fn step(&mut self) -> Result<u64, Error> {
        let now_ms = self.clock.now_ms();
        let began = self.clock.elapsed();
        self.refresh_lookups(now_ms).await?;
        let mut fresh = Fresh::new();
        let mut records = 0;
        let bytes_max = self.settings.tick_bytes_max / self.streams.len().max(1);
        for stream in &mut self.streams {
            let read = stream.read(&self.journal, &self.session, now_ms, bytes_max)?;
            let Some(read) = read else { continue };
            records += read.records;
            self.epoch_bytes += read.bytes;
            stream.point.stored += read.rows.num_rows() as u64;
            stream.point.dead += read.dead.num_rows() as u64;
            if 0 < read.dead.num_rows() {
                self.changed.insert(stream.plan.dead.clone());
                stream.dead.push(self.epoch, read.dead);
            }
            if 0 < read.rows.num_rows() {
                self.changed.insert(stream.plan.declared.name.clone());
                stream.raw.push(self.epoch, read.rows.clone());
                fresh.insert(stream.plan.declared.name.clone(), vec![read.rows]);
            }
        }
        self.epoch_records += records;
        self.note_objects(&fresh);
        self.through_tables(fresh, now_ms).await?;
        if 0 < records {
            let took = self.clock.elapsed().saturating_sub(began);
            self.stats.tick_us_last = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        }
        Ok(records)
    }

    async fn refresh_lookups(&mut self, now_ms: u64) -> Result<(), Error> {
        for lookup in &mut self.lookups {
            if !lookup.refresh(now_ms, self.is_running) {
                continue;
            }
            self.changed.insert(lookup.name.clone());
            let rows = Arc::clone(&lookup.data.rows);
            for table in &mut self.tables {
                if table.plan.lookups.contains(&lookup.name) {
                    table
                        .body
                        .set_lookup(&lookup.name, &rows)
                        .map_err(|error| Error::table(table.plan.name(), error))?;
                }
            }
        }
        self.backfill(now_ms).await;
        Ok(())
    }

    /// Runs new rows through every table.
    pub(crate) async fn through_tables(
        &mut self,
        mut fresh: Fresh,
        now_ms: u64,
    ) -> Result<(), Error> {
        for place in 0..self.tables.len() {
            let (below, rest) = self.tables.split_at_mut(place);
            let Some(run) = rest.first_mut() else { continue };
            let plan = Arc::clone(&run.plan);
            if run.detached.is_some() {
                continue;
            }
            if plan.inputs.is_empty() {
                // Tables without one are computed when a tick is shown.
                run.note(self.epoch, &mut self.changed, &fresh)?;
                continue;
            }
            let is_stale =
                |it: &&TableRun| plan.inputs.contains(it.name()) && it.detached.is_some();
            if let Some(stale) = below.iter().find(is_stale) {
                let error = format!("it reads `{}`, which is stale", stale.name());
                run.detach(now_ms, error);
                self.changed.insert(plan.name().clone());
                continue;
            }
            let sources = plan.window.as_ref().map(|it| it.sources.as_slice()).unwrap_or_default();
            let time_us = stream::reached_all(&self.streams, sources, now_ms);
            let (streams, lookups) = (&self.streams, &self.lookups);
            let tables = |name: &str| find_provider(streams, below, lookups, name, plan.sees_final);
            let step = Step {
                session: &self.session,
                epoch: self.epoch,
                now_ms,
                tables: &tables as &(dyn Fn(&str) -> Option<Arc<dyn TableProvider>> + Sync),
                time_us,
            };
            let rows = moved(&plan.inputs, &fresh);
            let began = self.clock.elapsed();
            let stepped = table::guarded(Box::pin(run.body.step(&rows, &step))).await;
            run.stats.rows_in += rows.iter().map(|it| it.rows.num_rows() as u64).sum::<u64>();
            let took = self.clock.elapsed().saturating_sub(began);
            run.stats.busy_us += u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            match stepped {
                Ok(stepped) => run.take_in(stepped, self.epoch, &mut self.changed, &mut fresh),
                Err(error) => {
                    run.detach(now_ms, in_words(&error));
                    self.changed.insert(plan.name().clone());
                }
            }
        }
        self.keep_for_backfill(&fresh);
        self.keep_within_memory();
        Ok(())
    }
}

/// Returns the new rows of the tables that a table follows.
pub(crate) fn moved(inputs: &[Name], fresh: &Fresh) -> Vec<Moved> {
    let of_input = |(of, name): (usize, &Name)| {
        let batches = fresh.get(name).into_iter().flatten();
        batches.map(move |rows| Moved { of, rows: rows.clone() })
    };
    inputs.iter().enumerate().flat_map(of_input).collect()
}

impl TableRun {
    /// Notes new rows below, for when the table is computed.
    fn note(
        &mut self,
        epoch: base::Epoch,
        changed: &mut std::collections::BTreeSet<Name>,
        fresh: &Fresh,
    ) -> Result<(), Error> {
        let Body::Sliced(sliced) = &mut self.body else { return Ok(()) };
        let mut dead_all = Vec::new();
        let followed: Vec<Name> = sliced.followed().map(|it| it.table.clone()).collect();
        for below in followed {
            let Some(rows) = fresh.get(&below) else { continue };
            let failed = |error| Error::table(&below, error);
            let dead = sliced.note(&below, rows).map_err(failed)?;
            dead_all.extend(dead);
        }
        self.bury(&dead_all, epoch, changed);
        Ok(())
    }

    /// Adds dead letters of the table.
    pub(crate) fn bury(
        &mut self,
        dead: &[DeadRow],
        epoch: base::Epoch,
        changed: &mut std::collections::BTreeSet<Name>,
    ) {
        if !dead.is_empty() {
            changed.insert(self.plan.dead.clone());
            self.stats.dead += dead.len() as u64;
            self.dead.push(epoch, dead_letters(dead));
        }
    }

    fn take_in(
        &mut self,
        stepped: Stepped,
        epoch: base::Epoch,
        changed: &mut std::collections::BTreeSet<Name>,
        fresh: &mut Fresh,
    ) {
        if stepped.is_changed {
            changed.insert(self.name().clone());
        }
        self.bury(&stepped.dead, epoch, changed);
        self.stats.rows_out += stepped.out.iter().map(|it| it.num_rows() as u64).sum::<u64>();
        if !stepped.out.is_empty() {
            fresh.insert(self.name().clone(), stepped.out);
        }
    }

    /// Takes the table out of the flow: its rows stay as they are shown, marked as stale.
    pub(crate) fn detach(&mut self, now_ms: u64, error: String) {
        tracing::warn!(table = %self.name(), error, "table is stale: it no longer follows");
        self.job = None;
        self.detached = Some(Detached { since_ms: now_ms, error, is_held: false });
        if let Body::Whole(whole) = &mut self.body {
            whole.is_dirty = false;
        }
    }
}

/// Makes dead letters of rows that a table could not take: their bytes are the row as JSON.
fn dead_letters(dead: &[DeadRow]) -> RecordBatch {
    let mut letters = Builder::new();
    for dead in dead {
        let bytes = rows::json::lines(&dead.row).concat();
        let place = place_of(&dead.row);
        let record = Record { bytes: bytes.as_bytes(), place: place.0, arrived_ms: place.1 };
        letters.push(&record, dead.kind, &[], &dead.message);
    }
    letters.finish()
}

/// Returns where the row's record is, and when it arrived, if the row still says so.
fn place_of(row: &RecordBatch) -> (Place, u64) {
    use arrow::array::AsArray;
    use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
    let number = |name| {
        let column = row.column_by_name(name)?.as_primitive_opt::<Int64Type>()?;
        u64::try_from(column.values().first().copied()?).ok()
    };
    let arrived = row
        .column_by_name(rows::schema::ARRIVED)
        .and_then(|it| it.as_primitive_opt::<TimestampMicrosecondType>())
        .and_then(|it| it.values().first().copied())
        .and_then(|it| u64::try_from(it / 1_000).ok());
    let shard = number(rows::schema::SHARD).and_then(|it| u32::try_from(it).ok());
    let sequence = number(rows::schema::SEQUENCE);
    let place = Place {
        shard: ShardId(shard.unwrap_or_default()),
        sequence: SequenceNumber(sequence.unwrap_or_default()),
    };
    (place, arrived.unwrap_or_default())
}
