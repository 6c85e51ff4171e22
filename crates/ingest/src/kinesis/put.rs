//! `PutRecord` and `PutRecords`: from the request's text straight into the journal's buffers.

use std::ops::Deref;
use std::sync::Arc;

use base::{Kind, SequenceNumber, limits};
use serde::{Deserialize, Serialize};

use super::sequence::{self, Numbering};
use super::streams::{Target, name_of};
use crate::aws::Call;
use crate::aws::fault::Fault;
use crate::aws::validate::Constraints;
use crate::aws::wire::{ByteString, Data, Encoding, Text};
use crate::inlet::{Accepted, Batch, Stream};
use crate::refusal::Refusal;

/// `S` is a string and `D` the data: both borrowed from the body if that is JSON.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecords<S, D> {
    stream_name: Option<S>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<S>,
    records: Option<Vec<Entry<S, D>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<S, D> {
    data: Option<D>,
    partition_key: Option<S>,
    explicit_hash_key: Option<S>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecord<S, D> {
    stream_name: Option<S>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<S>,
    data: Option<D>,
    partition_key: Option<S>,
    explicit_hash_key: Option<S>,
    sequence_number_for_ordering: Option<S>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordsAnswer<'a> {
    failed_record_count: usize,
    records: Vec<EntryAnswer<'a>>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EntryAnswer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordAnswer<'a> {
    shard_id: &'a str,
    sequence_number: String,
}

/// A batch that only has to be written down.
struct Prepared {
    stream: Arc<Stream>,
    /// The name the request used.
    name: String,
    batch: Batch,
    slots: Vec<u32>,
}

pub(crate) async fn records(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let Prepared { stream, name, batch, slots } = match call.encoding {
        Encoding::Json => {
            prepare_records(call, read_json::<PutRecords<Text<'_>, Text<'_>>>(call)?)?
        }
        Encoding::Cbor => prepare_records(call, call.read::<PutRecords<String, ByteString>>()?)?,
    };
    match call.inlet.append(batch, None).await {
        Ok(accepted) => write_places(call.encoding, Placed::new(&stream, &accepted, slots)),
        Err(refusal) if refusal.kind() == Kind::Throttled => {
            write_throttled(call, &stream, &name, &slots)
        }
        Err(refusal) => Err(Fault::of(&refusal, &name)),
    }
}

pub(crate) async fn record(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let Prepared { stream, name, batch, slots } = match call.encoding {
        Encoding::Json => prepare_record(call, read_json::<PutRecord<Text<'_>, Text<'_>>>(call)?)?,
        Encoding::Cbor => prepare_record(call, call.read::<PutRecord<String, ByteString>>()?)?,
    };
    let accepted = match call.inlet.append(batch, None).await {
        Ok(accepted) => accepted,
        Err(refusal) if refusal.kind() == Kind::Throttled => {
            let shard = slots.first().map(|slot| stream.shard_at(*slot as usize));
            let shard = shard.map(sequence::shard_id);
            return Err(Fault::throttled(&name, shard.as_deref()));
        }
        Err(refusal) => return Err(Fault::of(&refusal, &name)),
    };
    let mut placed = Placed::new(&stream, &accepted, slots);
    let (numbering, sequence) = placed.next().ok_or_else(Fault::internal)?;
    call.write(&PutRecordAnswer {
        shard_id: &numbering.shard_id,
        sequence_number: numbering.number(sequence),
    })
}

/// Reads JSON without copying its texts.
fn read_json<'a, T: Deserialize<'a>>(call: Call<'a>) -> Result<T, Fault> {
    serde_json::from_slice(call.body).map_err(|error| Fault::serialization(error.to_string()))
}

fn prepare_records<S: Deref<Target = str>, D: Data>(
    call: Call<'_>,
    request: PutRecords<S, D>,
) -> Result<Prepared, Fault> {
    let target = Target::new(request.stream_name.as_deref(), request.stream_arn.as_deref());
    let mut constraints = Constraints::default();
    let name = name_of(target, &mut constraints);
    constraints.required(request.records.as_ref(), "records");
    let entries = request.records.unwrap_or_default();
    if constraints.is_met() && entries.is_empty() {
        constraints.fail("'[]'", "records", "have length greater than or equal to 1");
    }
    if limits::KINESIS_RECORDS_MAX < entries.len() {
        let constraint =
            format!("have length less than or equal to {}", limits::KINESIS_RECORDS_MAX);
        constraints.fail("'[...]'", "records", &constraint);
    }
    for (index, entry) in entries.iter().enumerate() {
        entry.check(&mut constraints, Member::OfRecords(index + 1));
    }
    constraints.check()?;
    let name = name.unwrap_or_default();
    let mut batch = begin(call, &name, call.body.len())?;
    batch.remember_slots(entries.len());
    let mut bytes = 0;
    let mut room = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        bytes += entry.put(&mut batch, &mut room, Member::OfRecords(index + 1), &name)?;
        if limits::KINESIS_BYTES_MAX < bytes {
            return Err(Fault::invalid_argument("Records size exceeds 5 MB limit"));
        }
    }
    Ok(Prepared { stream: Arc::clone(&batch.stream), slots: batch.take_slots(), name, batch })
}

fn prepare_record<S: Deref<Target = str>, D: Data>(
    call: Call<'_>,
    request: PutRecord<S, D>,
) -> Result<Prepared, Fault> {
    let target = Target::new(request.stream_name.as_deref(), request.stream_arn.as_deref());
    let mut constraints = Constraints::default();
    let name = name_of(target, &mut constraints);
    if let Some(number) = request.sequence_number_for_ordering.as_deref() {
        constraints.sequence_number(number, "sequenceNumberForOrdering");
    }
    let entry = Entry {
        data: request.data,
        partition_key: request.partition_key,
        explicit_hash_key: request.explicit_hash_key,
    };
    entry.check(&mut constraints, Member::OfRequest);
    constraints.check()?;
    let name = name.unwrap_or_default();
    let mut batch = begin(call, &name, call.body.len())?;
    batch.remember_slots(1);
    entry.put(&mut batch, &mut Vec::new(), Member::OfRequest, &name)?;
    Ok(Prepared { stream: Arc::clone(&batch.stream), slots: batch.take_slots(), name, batch })
}

fn begin(call: Call<'_>, name: &str, bytes: usize) -> Result<Batch, Fault> {
    call.inlet.batch(name, super::NAME, bytes).map_err(|refusal| Fault::of(&refusal, name))
}

/// Where a member stands, as AWS writes it.
#[derive(Clone, Copy)]
enum Member {
    OfRequest,
    /// Counted from 1.
    OfRecords(usize),
}

impl Member {
    fn named(self, name: &str) -> impl std::fmt::Display {
        std::fmt::from_fn(move |f| match self {
            Member::OfRequest => f.write_str(name),
            Member::OfRecords(index) => write!(f, "records.{index}.member.{name}"),
        })
    }
}

impl<S: Deref<Target = str>, D: Data> Entry<S, D> {
    fn check(&self, constraints: &mut Constraints, member: Member) {
        constraints.required(self.data.as_ref(), member.named("data"));
        constraints.partition_key(self.partition_key.as_deref(), member.named("partitionKey"));
        if let Some(hash) = self.explicit_hash_key.as_deref() {
            constraints.hash_key(hash, member.named("explicitHashKey"));
        }
    }

    /// Decodes the record into `batch`; returns its size as Kinesis counts it, with its key.
    fn put(
        &self,
        batch: &mut Batch,
        room: &mut Vec<u8>,
        member: Member,
        stream: &str,
    ) -> Result<usize, Fault> {
        let key = self.partition_key.as_deref().unwrap_or_default();
        let data = self.data.as_ref().and_then(|data| data.decode(room));
        let Some(data) = data else {
            let member = member.named("data");
            return Err(Fault::serialization(format!("the value at '{member}' is not base64")));
        };
        if limits::RECORD_BYTES_MAX < data.len() {
            let mut constraints = Constraints::default();
            let length = data.len();
            let value = format!("'java.nio.HeapByteBuffer[pos=0 lim={length} cap={length}]'");
            let constraint =
                format!("have length less than or equal to {}", limits::RECORD_BYTES_MAX);
            constraints.fail(value, member.named("data"), &constraint);
            constraints.check()?;
        }
        let pushed = match self.explicit_hash_key.as_deref() {
            None => batch.push(Some(key), data),
            Some(hash) => {
                let place = hash.parse().map_err(|_too_large: std::num::ParseIntError| {
                    Fault::invalid_argument(format!(
                        "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: \
                         [0, 2^128-1]. Specified value was {hash}"
                    ))
                })?;
                batch.push_hashed(key, place, data)
            }
        };
        pushed.map_err(|refusal: Refusal| Fault::of(&refusal, stream))?;
        Ok(key.len() + data.len())
    }
}

/// Gives each record its place, in the order of the request.
struct Placed {
    /// For each slot the numbering of its shard and the next place there.
    slots: Vec<(Numbering, u64)>,
    order: std::vec::IntoIter<u32>,
}

impl Placed {
    fn new(stream: &Stream, accepted: &Accepted, order: Vec<u32>) -> Placed {
        let count = order.iter().max().map_or(0, |most| *most as usize + 1);
        let slots = (0..count).map(|slot| {
            let shard = stream.shard_at(slot);
            let part = accepted.parts.iter().find(|part| part.shard == shard);
            (Numbering::of(stream.id.0, shard), part.map_or(0, |part| part.first.0))
        });
        Placed { slots: slots.collect(), order: order.into_iter() }
    }

    fn next(&mut self) -> Option<(&Numbering, SequenceNumber)> {
        let slot = self.order.next()?;
        let (numbering, next) = self.slots.get_mut(slot as usize)?;
        let sequence = SequenceNumber(*next);
        *next += 1;
        Some((numbering, sequence))
    }

    fn len(&self) -> usize {
        self.order.len()
    }
}

fn write_places(encoding: Encoding, mut placed: Placed) -> Result<Vec<u8>, Fault> {
    if encoding == Encoding::Cbor {
        let mut records = Vec::with_capacity(placed.len());
        while let Some((numbering, sequence)) = placed.next() {
            records.push((numbering.shard_id.clone(), numbering.number(sequence)));
        }
        let records = records.iter().map(|(shard, number)| EntryAnswer {
            sequence_number: Some(number.clone()),
            shard_id: Some(shard),
            ..EntryAnswer::default()
        });
        let answer = PutRecordsAnswer { failed_record_count: 0, records: records.collect() };
        return encoding.write(&answer);
    }
    // The same by hand: nothing in it needs escaping, and it is the busiest answer there is.
    let mut out = String::with_capacity(64 + placed.len() * 128);
    out.push_str("{\"FailedRecordCount\":0,\"Records\":[");
    let mut comma = "";
    while let Some((numbering, sequence)) = placed.next() {
        out.push_str(comma);
        comma = ",";
        out.push_str("{\"SequenceNumber\":\"");
        numbering.write(sequence, &mut out);
        out.push_str("\",\"ShardId\":\"");
        out.push_str(&numbering.shard_id);
        out.push_str("\"}");
    }
    out.push_str("]}");
    Ok(out.into_bytes())
}

/// Kinesis refuses record by record; the journal takes all of a request or nothing.
fn write_throttled(
    call: Call<'_>,
    stream: &Stream,
    name: &str,
    slots: &[u32],
) -> Result<Vec<u8>, Fault> {
    let messages: Vec<String> = slots
        .iter()
        .map(|slot| {
            let shard = sequence::shard_id(stream.shard_at(*slot as usize));
            Fault::throttled(name, Some(&shard)).message
        })
        .collect();
    let records = messages.iter().map(|message| EntryAnswer {
        error_code: Some("ProvisionedThroughputExceededException"),
        error_message: Some(message),
        ..EntryAnswer::default()
    });
    let records: Vec<_> = records.collect();
    call.write(&PutRecordsAnswer { failed_record_count: records.len(), records })
}
