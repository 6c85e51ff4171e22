//! `GetShardIterator` and `GetRecords`.

use base::{Place, SequenceNumber, ShardId, limits};
use journal::{Journal, ShardInfo, StreamId};
use serde::{Deserialize, Serialize};

use super::iterator::ShardIterator;
use super::sequence::{self, Numbering};
use super::shards::{ChildShard, children_of};
use super::target::{Target, blocking, info_of, shard_named, stream_named};
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
    #[serde(skip_serializing_if = "Option::is_none")]
    child_shards: Option<Vec<ChildShard>>,
    millis_behind_latest: u64,
    /// Missing at the end of a shard that was split or merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_shard_iterator: Option<String>,
    records: Vec<RecordAnswer>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RecordAnswer {
    approximate_arrival_timestamp: Moment,
    data: Bytes,
    partition_key: String,
    sequence_number: String,
}

pub(super) const TYPES: &[&str] =
    &["AFTER_SEQUENCE_NUMBER", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON"];

/// Where a client asks to begin, in its words.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) operation: &'static str,
    pub(super) kind: &'a str,
    pub(super) number: Option<&'a str>,
    pub(super) timestamp: Option<Moment>,
}

pub(super) async fn shard_iterator(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: GetShardIterator = call.read()?;
    let mut constraints = Constraints::default();
    constraints.shard_id(request.shard_id.as_deref(), "shardId");
    constraints.required(request.shard_iterator_type.as_ref(), "shardIteratorType");
    if let Some(kind) = &request.shard_iterator_type {
        constraints.one_of(kind, "shardIteratorType", TYPES);
    }
    if let Some(number) = &request.starting_sequence_number {
        constraints.sequence_number(number, "startingSequenceNumber");
    }
    let target = Target::new(request.stream_name.as_deref(), request.stream_arn.as_deref());
    let stream = target.find(call, constraints)?;
    let shard = shard_named(call, &stream, request.shard_id.as_deref())?;
    let asked = Asked {
        operation: "GetShardIterator",
        kind: request.shard_iterator_type.as_deref().unwrap_or_default(),
        number: request.starting_sequence_number.as_deref(),
        timestamp: request.timestamp,
    };
    let sequence = start_of(call, &stream, &shard, asked).await?;
    let iterator = ShardIterator {
        stream: stream.id.0,
        name: stream.name.to_string(),
        place: Place { shard: shard.id, sequence },
        made_ms: call.inlet.clock().now_ms(),
    };
    call.write(&GetShardIteratorAnswer { shard_iterator: iterator.write() })
}

/// Returns the first place to read.
pub(super) async fn start_of(
    call: Call<'_>,
    stream: &Stream,
    shard: &ShardInfo,
    asked: Asked<'_>,
) -> Result<SequenceNumber, Fault> {
    match asked.kind {
        "LATEST" => Ok(shard.next),
        "AT_TIMESTAMP" => {
            let at_ms = check_timestamp(asked.timestamp, call.inlet.clock().now_ms())?;
            find_time(call, stream, shard, at_ms).await
        }
        "AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER" => {
            // Places are counted from 1 in sequence numbers; 0 is before the first record.
            let place = check_sequence(asked, stream, shard)?;
            let is_at = asked.kind == "AT_SEQUENCE_NUMBER";
            let next = if is_at { place.saturating_sub(1) } else { place };
            Ok(SequenceNumber(next.min(shard.next.0)))
        }
        _ => Ok(shard.first),
    }
}

pub(super) async fn records(call: Call<'_>) -> Result<Vec<u8>, Fault> {
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
    let (place, id, name) = (iterator.place, stream.id, stream.name.to_string());
    let bounds = (limit, limits::KINESIS_READ_BYTES_MAX);
    // A reader that fell behind reads the disk.
    let read =
        blocking(move || read(&journal, id, &name, place.shard, place.sequence, bounds)).await??;
    let millis_behind_latest = match read.last_ms {
        Some(last_ms) if read.has_more => now_ms.saturating_sub(last_ms),
        _ => 0,
    };
    let is_end = read.is_end;
    let child_shards = is_end
        .then(|| info_of(call, &stream).map(|info| children_of(&info, place.shard)))
        .transpose()?;
    let next = ShardIterator {
        place: Place { shard: place.shard, sequence: read.next },
        made_ms: now_ms,
        ..iterator
    };
    call.write(&GetRecordsAnswer {
        child_shards,
        millis_behind_latest,
        next_shard_iterator: (!is_end).then(|| next.write()),
        records: read.records,
    })
}

const RECORDS_MAX: i64 = 10_000;

/// What one read found.
pub(super) struct Read {
    pub(super) records: Vec<RecordAnswer>,
    pub(super) next: SequenceNumber,
    pub(super) has_more: bool,
    /// When the last of them arrived.
    pub(super) last_ms: Option<u64>,
    /// Whether no record can come after them: the shard was split or merged.
    pub(super) is_end: bool,
}

/// Bytes to look at first, where it is not known how large records are.
const FIRST_BYTES: usize = 1 << 20;

/// Reads records of a shard from `from` on, within `bounds`: so many records, so many bytes, but at
/// least one record if there is one.
pub(super) fn read(
    journal: &Journal,
    stream: StreamId,
    name: &str,
    shard: ShardId,
    from: SequenceNumber,
    (records_max, bytes_max): (usize, usize),
) -> Result<Read, Fault> {
    let failed = |error: journal::Error| Fault::of(&error.into(), name);
    let known = match journal.shard_info(stream, shard) {
        Err(journal::Error::ShardMissing { .. }) => {
            return Err(Fault::no_shard(&sequence::shard_id(shard), name));
        }
        known => known.map_err(failed)?,
    };
    // Records that expired are passed over, as Kinesis does.
    let next = from.max(known.first);
    let numbering = Numbering::of(&known);
    let mut read =
        Read { records: Vec::new(), next, has_more: false, last_ms: None, is_end: false };
    let mut bytes_left = bytes_max;
    loop {
        if read.records.len() == records_max {
            read.has_more = read.next < known.next;
            read.is_end = known.closed_ms.is_some() && !read.has_more;
            return Ok(read);
        }
        // As much as the records will take that are still wanted, by those there are: what else is
        // read is unpacked in vain.
        let taken = bytes_max - bytes_left;
        let wanted = match read.records.len() {
            0 => FIRST_BYTES,
            count => (taken / count + 1).saturating_mul(records_max - count),
        };
        let frames = match journal.read(stream, shard, read.next, wanted.min(bytes_left)) {
            Err(journal::Error::Expired { first, .. }) if read.next < first => {
                read.next = first;
                continue;
            }
            found => found.map_err(failed)?,
        };
        if frames.is_empty() {
            // What was closed before this read has no more than it found.
            read.is_end = known.closed_ms.is_some() && known.next <= read.next;
            return Ok(read);
        }
        for record in &frames {
            let size = record.key.len() + record.bytes.len();
            let is_full = read.records.len() == records_max || bytes_left < size;
            if is_full && !read.records.is_empty() {
                read.has_more = true;
                return Ok(read);
            }
            bytes_left = bytes_left.saturating_sub(size);
            read.next = record.place.sequence.plus(1);
            read.last_ms = Some(record.arrived_ms);
            read.records.push(RecordAnswer {
                approximate_arrival_timestamp: Moment(record.arrived_ms),
                data: Bytes(record.bytes.to_owned()),
                partition_key: record.key.to_owned(),
                sequence_number: numbering.number(record.place.sequence, record.arrived_ms),
            });
        }
    }
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
    let found = blocking(move || journal.find_time(id, shard, at_ms)).await?;
    found.map_err(|error| Fault::of(&error.into(), &stream.name))
}

/// Returns the place that a sequence number names, counted from 1.
fn check_sequence(asked: Asked<'_>, stream: &Stream, shard: &ShardInfo) -> Result<u64, Fault> {
    let Asked { operation, kind, .. } = asked;
    let Some(number) = asked.number else {
        return Err(Fault::invalid_argument(format!(
            "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and \
             StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. \
             Request specified {kind} and no StartingSequenceNumber."
        )));
    };
    // The number that a closed shard ends with is one more than its last record's.
    let last = shard.next.0 + u64::from(shard.closed_ms.is_some());
    match sequence::read(number) {
        Some(decoded) if decoded.is_of(shard) && decoded.place <= last => Ok(decoded.place),
        _ => Err(Fault::invalid_argument(format!(
            "StartingSequenceNumber {number} used in {operation} on shard {} in stream {} under \
             account {ACCOUNT} is invalid because it did not come from this stream.",
            sequence::shard_id(shard.id),
            stream.name,
        ))),
    }
}
