//! Dead letters of a stream go through today's decoder and checks again, within an epoch.
//!
//! The table of dead letters is replaced as a whole by the epoch: those that became rows say
//! `replayed`, the others have their new reason. Rows and states become durable together, so that
//! a crash repeats all of it or nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringViewArray};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use base::{ByteSize, Place, SequenceNumber, ShardId, limits};
use datafusion::error::DataFusionError;
use datafusion::physical_plan::collect;
use rows::dead::{Record, STATE_DEAD, STATE_REPLAYED};

use crate::error::Error;
use crate::flow::Flow;
use crate::flow::stream::place_key;
use crate::flow::tick::Fresh;
use crate::replay::{Replay, Replayed};

impl Flow {
    /// Sends rejects of a stream through today's decoder and checks, each once.
    ///
    /// # Errors
    /// When the stream is not of this flow, or its dead letters are more than memory takes.
    pub async fn replay(&mut self, replay: Replay) -> Result<Replayed, Error> {
        // What is being handed over must not be replaced before it is there.
        self.finish_epoch().await?;
        let now_ms = self.clock.now_ms();
        let found = self.streams.iter().position(|it| it.plan.declared.name == replay.stream);
        let Some(place) = found else {
            return Err(Error::StreamMissing(replay.stream.to_string()));
        };
        let letters = self.dead_letters(place).await?;
        let letters =
            Letters::new(&letters).map_err(Error::compute("dead letters cannot be read"))?;
        let Some(stream) = self.streams.get_mut(place) else { return Ok(Replayed::default()) };
        let wanted: Vec<usize> =
            (0..letters.all.num_rows()).filter(|it| letters.matches(*it, &replay)).collect();
        if wanted.is_empty() {
            return Ok(Replayed::default());
        }
        for row in &wanted {
            stream.push_again(&letters.record(*row));
        }
        let find = || {
            let records = wanted.iter().map(|it| letters.record(*it));
            records.map(|it| (place_key(it.place), it)).collect()
        };
        let (rows, again) = stream.judge(&self.session, now_ms, find)?;
        let replayed = Replayed { stored: rows.num_rows() as u64, dead: again.num_rows() as u64 };
        assert_eq!(
            replayed.stored + replayed.dead,
            wanted.len() as u64,
            "every letter becomes a row or stays dead"
        );
        let whole = letters
            .after(&wanted, &again)
            .map_err(Error::compute("dead letters cannot be written"))?;
        stream.dead.replace(self.epoch, whole);
        stream.point.stored += replayed.stored;
        stream.point.dead -= replayed.stored;
        let mut fresh = Fresh::new();
        let name = stream.plan.declared.name.clone();
        self.changed.insert(stream.plan.dead.clone());
        if 0 < rows.num_rows() {
            stream.raw.push(self.epoch, rows.clone());
            self.changed.insert(name.clone());
            fresh.insert(name, vec![rows]);
        }
        self.epoch_records += wanted.len() as u64;
        self.through_tables(fresh, now_ms).await?;
        self.publish().await?;
        Ok(replayed)
    }

    /// Reads all dead letters of a stream, hot and stored.
    async fn dead_letters(&self, place: usize) -> Result<RecordBatch, Error> {
        let Some(stream) = self.streams.get(place) else {
            return Err(Error::StreamMissing(String::new()));
        };
        let view = stream.dead_view();
        let failed = || Error::compute("dead letters cannot be read");
        let state = self.session.state();
        let plan = datafusion::catalog::TableProvider::scan(view.as_ref(), &state, None, &[], None);
        let plan = plan.await.map_err(failed())?;
        let plan: Arc<dyn datafusion::physical_plan::ExecutionPlan> = Arc::new(
            datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec::new(plan),
        );
        let batches = collect(plan, state.task_ctx()).await.map_err(failed())?;
        let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
        if limits::HOT_BYTES_MAX < bytes {
            return Err(Error::TooMuch(format!(
                "the dead letters of `{}` are {}; at most {} can be replayed, set `keep` to drop \
                 old ones",
                stream.plan.declared.name,
                ByteSize(bytes as u64),
                ByteSize(limits::HOT_BYTES_MAX as u64)
            )));
        }
        concat_batches(&rows::schema::of_dead(), &batches)
            .map_err(|error| Error::table(&stream.plan.dead, error))
    }
}

/// Dead letters, column by column.
struct Letters<'a> {
    all: &'a RecordBatch,
    bytes: &'a arrow::array::BinaryViewArray,
    shards: &'a [i64],
    sequences: &'a [i64],
    arrived: &'a [i64],
    kinds: &'a StringViewArray,
    checks: &'a StringViewArray,
    states: &'a StringViewArray,
}

impl<'a> Letters<'a> {
    fn new(all: &'a RecordBatch) -> Result<Letters<'a>, DataFusionError> {
        let column = |name: &str| {
            all.column_by_name(name).ok_or_else(|| {
                DataFusionError::Internal(format!("dead letters have no column `{name}`"))
            })
        };
        let text = |name: &str| column(name).map(AsArray::as_string_view);
        let number = |name: &str| column(name).map(AsArray::as_primitive::<Int64Type>);
        Ok(Letters {
            bytes: column("bytes")?.as_binary_view(),
            shards: number(rows::schema::SHARD)?.values(),
            sequences: number(rows::schema::SEQUENCE)?.values(),
            arrived: column(rows::schema::ARRIVED)?
                .as_primitive::<TimestampMicrosecondType>()
                .values(),
            kinds: text("kind")?,
            checks: text("check")?,
            states: text("state")?,
            all,
        })
    }

    fn at(values: &[i64], row: usize) -> u64 {
        values.get(row).and_then(|it| u64::try_from(*it).ok()).unwrap_or_default()
    }

    fn record(&self, row: usize) -> Record<'a> {
        let shard = u32::try_from(Letters::at(self.shards, row)).unwrap_or(u32::MAX);
        let sequence = SequenceNumber(Letters::at(self.sequences, row));
        Record {
            bytes: self.bytes.value(row),
            place: Place { shard: ShardId(shard), sequence },
            arrived_ms: Letters::at(self.arrived, row) / 1_000,
        }
    }

    fn matches(&self, row: usize, replay: &Replay) -> bool {
        let record = self.record(row);
        let arrived_ms = record.arrived_ms;
        let check = self.checks.is_valid(row).then(|| self.checks.value(row));
        self.states.value(row) == STATE_DEAD
            && replay.kind.is_none_or(|it| it.as_str() == self.kinds.value(row))
            && replay.check.as_ref().is_none_or(|it| check == Some(it.as_str()))
            && replay.from_ms.is_none_or(|it| it <= arrived_ms)
            && replay.to_ms.is_none_or(|it| arrived_ms < it)
            && replay.place.is_none_or(|it| it == record.place)
    }

    /// Returns all letters after `wanted` were replayed, of which `again` are still dead.
    fn after(
        &self,
        wanted: &[usize],
        again: &RecordBatch,
    ) -> Result<Vec<RecordBatch>, DataFusionError> {
        let still = Letters::new(again)?;
        let still: BTreeMap<(i64, i64), ()> =
            (0..again.num_rows()).map(|it| (place_key(still.record(it).place), ())).collect();
        let mut keep = vec![true; self.all.num_rows()];
        let mut states: Vec<&str> = self.states.iter().map(Option::unwrap_or_default).collect();
        for row in wanted {
            if still.contains_key(&place_key(self.record(*row).place)) {
                if let Some(keep) = keep.get_mut(*row) {
                    *keep = false; // Its new letter stands in `again`.
                }
            } else if let Some(state) = states.get_mut(*row) {
                *state = STATE_REPLAYED;
            }
        }
        let mut columns: Vec<ArrayRef> = self.all.columns().to_vec();
        if let Some(last) = columns.last_mut() {
            *last = Arc::new(StringViewArray::from_iter_values(states));
        }
        let all = RecordBatch::try_new(self.all.schema(), columns)?;
        let kept = filter_record_batch(&all, &BooleanArray::from(keep))?;
        Ok(vec![kept, again.clone()])
    }
}
