//! `GetShardIterator` and `GetRecords`.

use base::{Place, SequenceNumber, ShardId, limits};
use journal::{Journal, ShardInfo};
use serde::{Deserialize, Serialize};

use super::iterator::ShardIterator;
use super::sequence::{self, Numbering};
use super::streams::{Target, name_of, stream_named};
use crate::aws::Call;
use crate::aws::fault::{ACCOUNT, Fault};
use crate::aws::validate::Constraints;
use crate::aws::wire::{Bytes, Moment};
use crate::inlet::Stream;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetShardIterator {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    shard_id: Option<String>,
    shard_iterator_type: Option<String>,
    starting_sequence_number: Option<String>,
    timestamp: Option<Moment>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetShardIteratorAnswer {
    shard_iterator: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetRecords {
    shard_iterator: Option<String>,
    limit: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetRecordsAnswer {
    millis_behind_latest: u64,
    next_shard_iterator: String,
    records: Vec<RecordAnswer>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RecordAnswer {
    approximate_arrival_timestamp: Moment,
    data: Bytes,
    partition_key: String,
    sequence_number: String,
}

const TYPES: &[&str] =
    &["AFTER_SEQUENCE_NUMBER", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON"];

pub(crate) async fn shard_iterator(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: GetShardIterator = call.read()?;
    let mut constraints = Constraints::default();
    let target = Target::new(request.stream_name.as_deref(), request.stream_arn.as_deref());
    let name = name_of(target, &mut constraints);
    constraints.required(request.shard_id.as_ref(), "shardId");
    constraints.required(request.shard_iterator_type.as_ref(), "shardIteratorType");
    if let Some(kind) = &request.shard_iterator_type {
        constraints.one_of(kind, "shardIteratorType", TYPES);
    }
    if let Some(number) = &request.starting_sequence_number {
        constraints.sequence_number(number, "startingSequenceNumber");
    }
    constraints.check()?;
    let stream = stream_named(call, &name.unwrap_or_default())?;
    let id = request.shard_id.as_deref().unwrap_or_default();
    let shard = sequence::read_shard_id(id)
        .and_then(|id| shard_of(call.inlet.journal(), &stream, id))
        .ok_or_else(|| Fault::no_shard(id, &stream.name))?;
    let now_ms = call.inlet.clock().now_ms();
    let sequence = match request.shard_iterator_type.as_deref().unwrap_or_default() {
        "LATEST" => shard.next,
        "AT_TIMESTAMP" => {
            let at_ms = check_timestamp(request.timestamp, now_ms)?;
            find_time(call, &stream, &shard, at_ms).await?
        }
        kind @ ("AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER") => {
            let number = request.starting_sequence_number.as_deref();
            let at = check_sequence(number, kind, &stream, &shard)?;
            if kind == "AT_SEQUENCE_NUMBER" { at } else { at.plus(1) }
        }
        _ => shard.first,
    };
    let iterator = ShardIterator {
        stream: stream.id.0,
        name: stream.name.to_string(),
        place: Place { shard: shard.id, sequence },
        made_ms: now_ms,
    };
    call.write(&GetShardIteratorAnswer { shard_iterator: iterator.write() })
}

pub(crate) async fn records(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: GetRecords = call.read()?;
    let mut constraints = Constraints::default();
    constraints.required(request.shard_iterator.as_ref(), "shardIterator");
    if let Some(text) = &request.shard_iterator {
        constraints.length(text, "shardIterator", 1..=512);
    }
    if let Some(limit) = request.limit {
        constraints.range(limit, "limit", 1..=RECORDS_MAX);
    }
    constraints.check()?;
    let now_ms = call.inlet.clock().now_ms();
    let text = request.shard_iterator.unwrap_or_default();
    let iterator = ShardIterator::read(&text, now_ms)?;
    let stream = stream_named(call, &iterator.name)?;
    if stream.id.0 != iterator.stream {
        return Err(Fault::no_stream(&iterator.name));
    }
    let limit = request.limit.and_then(|it| usize::try_from(it).ok());
    let limit = limit.unwrap_or(limits::KINESIS_READ_RECORDS_MAX);
    let journal = call.inlet.journal().clone();
    let place = iterator.place;
    // A reader that fell behind reads the disk.
    let read = tokio::task::spawn_blocking(move || read(&journal, &stream, place, limit));
    let read = read.await.map_err(|_panicked: tokio::task::JoinError| Fault::internal())??;
    let millis_behind_latest = match read.records.last() {
        Some(last) if read.has_more => now_ms.saturating_sub(last.approximate_arrival_timestamp.0),
        _ => 0,
    };
    let place = Place { shard: place.shard, sequence: read.next };
    let next = ShardIterator { place, made_ms: now_ms, ..iterator };
    call.write(&GetRecordsAnswer {
        millis_behind_latest,
        next_shard_iterator: next.write(),
        records: read.records,
    })
}

const RECORDS_MAX: i64 = 10_000;

struct Read {
    records: Vec<RecordAnswer>,
    next: SequenceNumber,
    has_more: bool,
}

fn read(journal: &Journal, stream: &Stream, from: Place, limit: usize) -> Result<Read, Fault> {
    let shard = shard_of(journal, stream, from.shard)
        .ok_or_else(|| Fault::no_shard(&sequence::shard_id(from.shard), &stream.name))?;
    // Records that expired are passed over, as Kinesis does.
    let mut next = from.sequence.max(shard.first);
    let numbering = Numbering::of(stream.id.0, from.shard);
    let mut records = Vec::new();
    let mut bytes_left = limits::KINESIS_READ_BYTES_MAX;
    loop {
        let frames = match journal.read(stream.id, from.shard, next, bytes_left) {
            Err(journal::Error::Expired { first, .. }) if next < first => {
                next = first;
                continue;
            }
            found => found.map_err(|error| Fault::of(&error.into(), &stream.name))?,
        };
        if frames.is_empty() {
            return Ok(Read { records, next, has_more: false });
        }
        for record in &frames {
            let size = record.key.len() + record.bytes.len();
            if records.len() == limit || bytes_left < size {
                return Ok(Read { records, next, has_more: true });
            }
            bytes_left -= size;
            next = record.place.sequence.plus(1);
            records.push(RecordAnswer {
                approximate_arrival_timestamp: Moment(record.arrived_ms),
                data: Bytes(record.bytes.to_owned()),
                partition_key: record.key.to_owned(),
                sequence_number: numbering.number(record.place.sequence),
            });
        }
    }
}

fn shard_of(journal: &Journal, stream: &Stream, id: ShardId) -> Option<ShardInfo> {
    let info = journal.stream_info(stream.id).ok()?;
    info.shards.into_iter().find(|shard| shard.id == id)
}

fn check_timestamp(timestamp: Option<Moment>, now_ms: u64) -> Result<u64, Fault> {
    match timestamp {
        None => Err(Fault::invalid_argument(
            "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. \
             Current request has no timestamp parameter.",
        )),
        Some(Moment(at_ms)) if now_ms < at_ms => Err(Fault::invalid_argument(format!(
            "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. \
             timestampInMillis: {at_ms}, currentTimestampInMillis: {now_ms}"
        ))),
        Some(Moment(at_ms)) => Ok(at_ms),
    }
}

async fn find_time(
    call: Call<'_>,
    stream: &Stream,
    shard: &ShardInfo,
    at_ms: u64,
) -> Result<SequenceNumber, Fault> {
    let (journal, id, shard) = (call.inlet.journal().clone(), stream.id, shard.id);
    let found = tokio::task::spawn_blocking(move || journal.find_time(id, shard, at_ms)).await;
    let found = found.map_err(|_panicked: tokio::task::JoinError| Fault::internal())?;
    found.map_err(|error| Fault::of(&error.into(), &stream.name))
}

fn check_sequence(
    number: Option<&str>,
    kind: &str,
    stream: &Stream,
    shard: &ShardInfo,
) -> Result<SequenceNumber, Fault> {
    let Some(number) = number else {
        return Err(Fault::invalid_argument(format!(
            "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and \
             StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. \
             Request specified {kind} and no StartingSequenceNumber."
        )));
    };
    match sequence::read(number, stream.id.0) {
        Some(place) if place.shard == shard.id && place.sequence < shard.next => Ok(place.sequence),
        _ => Err(Fault::invalid_argument(format!(
            "StartingSequenceNumber {number} used in GetShardIterator on shard {} in stream {} \
             under account {ACCOUNT} is invalid because it did not come from this stream.",
            sequence::shard_id(shard.id),
            stream.name,
        ))),
    }
}
