//! A stream at work: records become rows of the raw table, or dead letters.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use base::{Place, SequenceNumber, ShardId};
use datafusion::prelude::SessionContext;
use journal::{Frames, Hold, Journal, ShardInfo, StreamId, StreamInfo};
use rows::dead::{Builder, Record};
use rows::{DeadKind, Decoder};

use crate::check::{Checks, Failure};
use crate::checkpoint::StreamPoint;
use crate::error::Error;
use crate::flow::{Stored, dead_view};
use crate::hot::HotRows;
use crate::plan::{Source, StreamPlan, TableKind};
use crate::stats::StreamStats;
use crate::view::TableView;

/// The least that one read asks of a shard, so that many shards do not mean many tiny reads.
const READ_BYTES_MIN: usize = 64 << 10;

/// See the module.
pub(crate) struct StreamRun {
    pub(crate) plan: Arc<StreamPlan>,
    pub(crate) id: StreamId,
    pub(crate) hold: Hold,
    pub(crate) point: StreamPoint,
    pub(crate) raw: HotRows,
    pub(crate) dead: HotRows,
    pub(crate) own: Stored,
    pub(crate) dead_stored: Stored,
    decoder: Decoder,
    checks: Checks,
    /// What the journal said at the last step.
    pub(crate) info: Option<StreamInfo>,
    /// For each of its shards whether it may be read: those before it are read to their end.
    readable: Vec<bool>,
    /// How far event time has come, by column, where it is told from outside.
    pub(crate) told_us: Option<BTreeMap<String, i64>>,
    /// Records rejected since the flow was opened, by kind and first failed check.
    rejects: BTreeMap<(String, Option<String>), u64>,
}

/// What one step made of a stream's records.
pub(crate) struct Read {
    pub(crate) records: u64,
    pub(crate) bytes: usize,
    pub(crate) rows: RecordBatch,
    pub(crate) dead: RecordBatch,
}

/// Records with their places, to be found again by their rows.
pub(crate) type Found<'a> = HashMap<(i64, i64), Record<'a>>;

/// How far event time has come in a stream.
enum Progress {
    /// No shard is active.
    Idle,
    /// An active shard has shown no time yet.
    Holds,
    /// In microseconds.
    Reached(i64),
}

/// Returns how far event time has come in all of these: the least of the shards that are active.
pub(crate) fn reached_all(streams: &[StreamRun], sources: &[Source], now_ms: u64) -> Option<i64> {
    let mut reached: Option<i64> = None;
    for source in sources {
        let stream = streams.iter().find(|it| it.plan.declared.name == source.stream)?;
        match stream.progress(&source.column, now_ms) {
            Progress::Idle => {}
            Progress::Holds => return None,
            Progress::Reached(time) => reached = Some(reached.map_or(time, |it| it.min(time))),
        }
    }
    reached
}

/// Returns how far event time has come in the slowest shard of all of these, active or not.
pub(crate) fn least_all(streams: &[StreamRun], sources: &[Source]) -> Option<i64> {
    let least = sources.iter().filter_map(|source| {
        let stream = streams.iter().find(|it| it.plan.declared.name == source.stream)?;
        stream.least(&source.column)
    });
    least.min()
}

impl StreamRun {
    pub(crate) fn new(
        plan: &Arc<StreamPlan>,
        session: &SessionContext,
        journal: &Journal,
        own: Stored,
        dead_stored: Stored,
    ) -> Result<StreamRun, Error> {
        let name = &plan.declared.name;
        let Some(id) = journal.stream(name) else {
            return Err(Error::StreamMissing(name.to_string()));
        };
        let checks = Checks::new(session, &plan.declared.checks, &plan.schema)
            .map_err(Error::compute("the checks of a stream cannot be compiled"))?;
        Ok(StreamRun {
            id,
            hold: journal.hold(id, READER)?,
            point: StreamPoint::default(),
            raw: HotRows::default(),
            dead: HotRows::default(),
            own,
            dead_stored,
            decoder: Decoder::new(&plan.declared),
            checks,
            info: None,
            readable: Vec::new(),
            told_us: None,
            rejects: BTreeMap::new(),
            plan: Arc::clone(plan),
        })
    }

    /// Reads what has arrived, decodes it and runs the checks.
    pub(crate) fn read(
        &mut self,
        journal: &Journal,
        session: &SessionContext,
        now_ms: u64,
        bytes_max: usize,
    ) -> Result<Option<Read>, Error> {
        let info = journal.stream_info(self.id)?;
        self.look_at(&info);
        let waiting: Vec<ShardId> = info
            .shards
            .iter()
            .zip(&self.readable)
            .filter(|(it, is_readable)| **is_readable && self.position(it.id) < it.next)
            .map(|(it, _)| it.id)
            .collect();
        if waiting.is_empty() {
            self.info = Some(info);
            return Ok(None);
        }
        let share = (bytes_max / waiting.len()).max(READ_BYTES_MIN);
        let mut all = Vec::with_capacity(waiting.len());
        for shard in waiting {
            all.push((shard, self.read_shard(journal, shard, share)?));
        }
        let (mut records, mut bytes) = (0, 0);
        for (shard, frames) in &all {
            for record in frames {
                self.decoder.push(record.bytes, record.place, record.arrived_ms);
                self.point.arrived_ms = self.point.arrived_ms.max(record.arrived_ms);
            }
            records += frames.len();
            bytes += frames.bytes();
            self.point.positions.insert(*shard, frames.end());
        }
        let find = || {
            let records = all.iter().flat_map(|(_, frames)| frames.iter());
            records.map(|it| (place_key(it.place), as_record(&it))).collect()
        };
        let (rows, dead) = self.judge(session, now_ms, find)?;
        // What was read to its end holds back no window from now on, but its children do.
        self.look_at(&info);
        self.info = Some(info);
        self.count_rejects(&dead);
        Ok(Some(Read { records, bytes, rows, dead }))
    }

    fn count_rejects(&mut self, dead: &RecordBatch) {
        let text = |name: &str| dead.column_by_name(name).map(AsArray::as_string_view);
        let (Some(kinds), Some(checks)) = (text("kind"), text("check")) else { return };
        for (kind, check) in kinds.iter().zip(checks) {
            let reason = (kind.unwrap_or_default().to_owned(), check.map(str::to_owned));
            *self.rejects.entry(reason).or_default() += 1;
        }
    }

    fn read_shard(
        &mut self,
        journal: &Journal,
        shard: ShardId,
        bytes_max: usize,
    ) -> Result<Frames, Error> {
        let from = self.position(shard);
        match journal.read(self.id, shard, from, bytes_max) {
            Err(journal::Error::Expired { first, .. }) => {
                // Only a stream that nobody held loses records, and it says so for ever:
                // received is more than stored, dead and pending together.
                let stream = &self.plan.declared.name;
                tracing::error!(%stream, %shard, %from, %first, "records expired before they were read");
                Ok(journal.read(self.id, shard, first, bytes_max)?)
            }
            frames => Ok(frames?),
        }
    }

    pub(crate) fn position(&self, shard: ShardId) -> SequenceNumber {
        self.point.positions.get(&shard).copied().unwrap_or_default()
    }

    /// Notes which shards may be read.
    ///
    /// INVARIANT: a shard is read only when its parents are: they have the older records of its keys.
    pub(crate) fn look_at(&mut self, info: &StreamInfo) {
        self.readable = info.readable(|it| self.position(it));
        self.hand_on_times(info);
    }

    /// Lets the children of drained shards go on from the event time that these reached, so that a
    /// shard that is no more holds back nothing.
    fn hand_on_times(&mut self, info: &StreamInfo) {
        let newest = info.shards.last().map_or(0, |it| it.id.0 as usize);
        let were_all_open = info.shards.iter().all(|it| it.closed_ms.is_none());
        if were_all_open && newest < info.shards.len() {
            return; // The usual case: no shard was ever split or merged.
        }
        let position = |it: ShardId| self.point.positions.get(&it).copied().unwrap_or_default();
        let is_over = |shard: ShardId| {
            let Ok(at) = info.shards.binary_search_by_key(&shard, |it| it.id) else { return true };
            let is_read = |it: &ShardInfo| it.closed_ms.is_some() && it.next <= position(shard);
            self.readable.get(at) == Some(&true) && info.shards.get(at).is_some_and(is_read)
        };
        for times in self.point.times_us.values_mut() {
            let mut from = ShardId(0);
            // By id, so that what a shard in between was handed is handed on.
            while let Some((shard, time)) = times.range(from..).next().map(|(it, at)| (*it, *at)) {
                from = ShardId(shard.0 + 1);
                if !is_over(shard) {
                    continue;
                }
                times.remove(&shard);
                for child in info.children(shard) {
                    let known = times.entry(child.id).or_insert(time);
                    *known = time.min(*known);
                }
            }
        }
    }

    /// Decodes records again, as at the first time.
    pub(crate) fn push_again(&mut self, record: &Record<'_>) {
        self.decoder.push(record.bytes, record.place, record.arrived_ms);
    }

    /// Runs the checks over what was decoded; returns rows and rejects.
    pub(crate) fn judge<'a>(
        &mut self,
        session: &SessionContext,
        now_ms: u64,
        find: impl FnOnce() -> Found<'a>,
    ) -> Result<(RecordBatch, RecordBatch), Error> {
        let decoded = self.decoder.finish();
        let all = decoded.rows.clone();
        let judged = self
            .checks
            .judge(session, now_ms, decoded.rows)
            .map_err(Error::compute("the checks of a stream cannot be run"))?;
        let mut dead = decoded.rejects;
        if !judged.failed.is_empty() {
            let failed = self.failed(&all, &judged.failed, &find());
            dead = arrow::compute::concat_batches(&dead.schema(), [&dead, &failed])
                .map_err(|error| Error::table(&self.plan.dead, error))?;
        }
        self.note_times(&judged.passed);
        Ok((judged.passed, dead))
    }

    fn failed(&self, all: &RecordBatch, failed: &[Failure], found: &Found<'_>) -> RecordBatch {
        let places = places_of(all);
        let mut dead = Builder::new();
        for failure in failed {
            let key = places.get(failure.row).copied().unwrap_or_default();
            let Some(record) = found.get(&key) else { continue };
            let checks: Vec<&str> = failure.checks.iter().map(String::as_str).collect();
            dead.push(record, DeadKind::Check, &checks, &failure.message);
        }
        assert_eq!(
            dead.len(),
            failed.len(),
            "every row that failed came from a record of the tick"
        );
        dead.finish()
    }

    /// Notes how far event time has come in each shard.
    fn note_times(&mut self, rows: &RecordBatch) {
        let Some(shards) = rows.column_by_name(rows::schema::SHARD) else { return };
        let Some(shards) = shards.as_primitive_opt::<Int64Type>() else { return };
        for column in &self.plan.times {
            let Some(times) = rows.column_by_name(column) else { continue };
            let Some(times) = times.as_primitive_opt::<TimestampMicrosecondType>() else {
                continue;
            };
            let of_column = self.point.times_us.entry(column.clone()).or_default();
            let mut row = 0;
            while row < times.len() {
                // Records of a shard stand together: one look into the map for each run.
                let shard = shards.value(row);
                let mut newest = None;
                while row < times.len() && shards.value(row) == shard {
                    newest = newest.max(times.is_valid(row).then(|| times.value(row)));
                    row += 1;
                }
                let shard = ShardId(u32::try_from(shard).unwrap_or(u32::MAX));
                if let Some(newest) = newest {
                    let known = of_column.entry(shard).or_insert(newest);
                    *known = newest.max(*known);
                }
            }
        }
    }

    /// Tells how far event time has come: the least of the shards that are active.
    fn progress(&self, column: &str, now_ms: u64) -> Progress {
        if let Some(told) = &self.told_us {
            return told.get(column).map_or(Progress::Holds, |it| Progress::Reached(*it));
        }
        let times = self.point.times_us.get(column);
        let idle_ms = self.plan.declared.idle.as_millis();
        let mut reached: Option<i64> = None;
        let Some(info) = &self.info else { return Progress::Idle };
        for (shard, is_readable) in info.shards.iter().zip(&self.readable) {
            let is_waiting = self.position(shard.id) < shard.next;
            let is_over = shard.closed_ms.is_some() && !is_waiting;
            // A child goes on from where its parents, which come first, get to.
            if is_over || !is_readable {
                continue;
            }
            let was_heard = 0 < shard.next.0 && now_ms.saturating_sub(shard.arrived_ms) <= idle_ms;
            if !is_waiting && !was_heard {
                continue;
            }
            // A shard that is active and has shown no time yet holds all others.
            let Some(time) = times.and_then(|it| it.get(&shard.id)) else { return Progress::Holds };
            reached = Some(reached.map_or(*time, |it| it.min(*time)));
        }
        reached.map_or(Progress::Idle, Progress::Reached)
    }

    pub(crate) fn stats(&self) -> StreamStats {
        let shards = self.info.iter().flat_map(|it| &it.shards);
        let pending =
            shards.map(|it| it.next.0.saturating_sub(self.position(it.id).0)).sum::<u64>();
        StreamStats {
            received: self.info.as_ref().map_or(0, |it| it.received),
            stored: self.point.stored,
            dead: self.point.dead,
            pending,
            positions: self.point.positions.clone(),
            arrived_ms: self.point.arrived_ms,
            watermark_us: self.plan.times.iter().filter_map(|it| self.least(it)).min(),
            rejects: self.rejects.clone(),
        }
    }

    /// Returns how far event time has come in the slowest shard, active or not.
    fn least(&self, column: &str) -> Option<i64> {
        self.point.times_us.get(column)?.values().copied().min()
    }

    pub(crate) fn view(&self) -> Arc<TableView> {
        Arc::new(TableView {
            name: self.plan.declared.name.clone(),
            kind: TableKind::Raw,
            schema: Arc::clone(&self.plan.schema),
            whole: Arc::clone(&self.plan.schema),
            stale_since_ms: None,
            cold: Arc::clone(&self.own.cold),
            hides: self.raw.hides(),
            hot: self.raw.rows(),
            spilled: Vec::new(),
        })
    }

    pub(crate) fn dead_view(&self) -> Arc<TableView> {
        dead_view(&self.plan.dead, &self.dead, &self.dead_stored)
    }

    /// Lets the journal forget what is stored.
    pub(crate) fn release(&self, positions: &BTreeMap<ShardId, SequenceNumber>) {
        for (shard, next) in positions {
            self.hold.move_to(*shard, *next);
        }
    }
}

/// The name of our hold: a stream belongs to one flow, but not for ever to the same.
const READER: &str = "process";

pub(crate) fn place_key(place: Place) -> (i64, i64) {
    (i64::from(place.shard.0), rows::schema::sequence_to_int(place.sequence))
}

fn as_record<'a>(record: &journal::Record<'a>) -> Record<'a> {
    Record { bytes: record.bytes, place: record.place, arrived_ms: record.arrived_ms }
}

/// Returns shard and sequence number of each row.
fn places_of(rows: &RecordBatch) -> Vec<(i64, i64)> {
    let column = |name| rows.column_by_name(name)?.as_primitive_opt::<Int64Type>();
    match (column(rows::schema::SHARD), column(rows::schema::SEQUENCE)) {
        (Some(shards), Some(sequences)) => {
            shards.values().iter().copied().zip(sequences.values().iter().copied()).collect()
        }
        _ => Vec::new(),
    }
}
