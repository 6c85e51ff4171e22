//! `PutRecord` and `PutRecords`: from the request's text straight into the journal's buffers.

use std::ops::Deref;

use base::{Kind, SequenceNumber, ShardId, limits};
use serde::{Deserialize, Serialize};

use super::aggregate::{self, Part};
use super::sequence::{self, Numbering};
use super::target::{Target, name_of};
use crate::aws::Call;
use crate::aws::fault::Fault;
use crate::aws::validate::Constraints;
use crate::aws::wire::{ByteString, Data, Encoding, Text};
use crate::inlet::{Accepted, Batch};
use crate::rate::Cost;
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
    /// The name the request used.
    name: String,
    batch: Batch,
    /// How many records of the batch each record of the request became; empty if it is one each.
    counts: Vec<u32>,
    /// For each record of the request for which there was no room what is said of it; they are its
    /// last ones.
    refused: Vec<String>,
}

pub(crate) async fn records(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let mut prepared = match call.encoding {
        Encoding::Json => {
            prepare_records(call, read_json::<PutRecords<Text<'_>, Text<'_>>>(call)?)?
        }
        Encoding::Cbor => prepare_records(call, call.read::<PutRecords<String, ByteString>>()?)?,
    };
    match call.inlet.write(&mut prepared.batch, None).await {
        Ok(accepted) => {
            let placed = Placed::new(&prepared, &accepted);
            write_places(call.encoding, placed, &prepared.refused)
        }
        Err(refusal) if refusal.kind() == Kind::Throttled => write_throttled(call, &prepared),
        Err(refusal) => Err(Fault::of(&refusal, &prepared.name)),
    }
}

pub(crate) async fn record(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let mut prepared = match call.encoding {
        Encoding::Json => prepare_record(call, read_json::<PutRecord<Text<'_>, Text<'_>>>(call)?)?,
        Encoding::Cbor => prepare_record(call, call.read::<PutRecord<String, ByteString>>()?)?,
    };
    let accepted = match call.inlet.write(&mut prepared.batch, None).await {
        Ok(accepted) => accepted,
        Err(refusal) if refusal.kind() == Kind::Throttled => {
            let shard = prepared.slots().next().map(|slot| prepared.batch.stream.shard_at(slot));
            let shard = shard.map(sequence::shard_id);
            return Err(Fault::throttled(&prepared.name, shard.as_deref()));
        }
        Err(refusal) => return Err(Fault::of(&refusal, &prepared.name)),
    };
    let mut placed = Placed::new(&prepared, &accepted);
    let (numbering, sequence, arrived_ms) = placed.next().ok_or_else(Fault::internal)?;
    call.write(&PutRecordAnswer {
        shard_id: &numbering.shard_id,
        sequence_number: numbering.number(sequence, arrived_ms),
    })
}

impl Prepared {
    /// Returns the slot of the first record that each record of the request became.
    fn slots(&self) -> impl Iterator<Item = usize> {
        let mut counts = self.counts.iter();
        let mut slots = self.batch.slots.iter();
        std::iter::from_fn(move || {
            let slot = slots.next()?;
            for _ in 1..counts.next().copied().unwrap_or(1) {
                slots.next();
            }
            Some(*slot as usize)
        })
    }
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
    let batch = call.inlet.batch_of_each(&name, super::NAME, call.body.len());
    let mut batch = batch.map_err(|refusal| Fault::of(&refusal, &name))?;
    let mut bytes = 0;
    let mut room = Vec::new();
    let (mut counts, mut refused) = (Vec::new(), Vec::new());
    for (index, entry) in entries.iter().enumerate() {
        let put = entry.put(&mut batch, &mut room, Member::OfRecords(index + 1), &name)?;
        bytes += put.bytes;
        match put.shard_full {
            None => note_count(&mut counts, index, put.records),
            Some(shard) => {
                let shard = sequence::shard_id(shard);
                refused.push(Fault::throttled(&name, Some(&shard)).message);
            }
        }
        if limits::KINESIS_BYTES_MAX < bytes {
            return Err(Fault::invalid_argument("Records size exceeds 5 MB limit"));
        }
    }
    if refused.len() == entries.len() {
        batch.stream.refuse(super::NAME);
    }
    Ok(Prepared { name, batch, counts, refused })
}

/// Notes how many records one of the request became; the usual case needs no list.
fn note_count(counts: &mut Vec<u32>, index: usize, records: u32) {
    if records != 1 && counts.is_empty() {
        counts.resize(index, 1);
    }
    if records != 1 || !counts.is_empty() {
        counts.push(records);
    }
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
    let batch = call.inlet.batch(&name, super::NAME, call.body.len());
    let mut batch = batch.map_err(|refusal| Fault::of(&refusal, &name))?;
    entry.put(&mut batch, &mut Vec::new(), Member::OfRequest, &name)?;
    Ok(Prepared { name, batch, counts: Vec::new(), refused: Vec::new() })
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

    /// Decodes the record into `batch`.
    fn put(
        &self,
        batch: &mut Batch,
        room: &mut Vec<u8>,
        member: Member,
        stream: &str,
    ) -> Result<Put, Fault> {
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
        let bytes = key.len() + data.len();
        let refused = |refusal: Refusal| Fault::of(&refusal, stream);
        let hash = self.explicit_hash_key.as_deref().map(read_hash).transpose()?;
        // Who reads a stream of its own by the API takes records apart by itself; a table cannot.
        let parts = Some(data).filter(|_| batch.stream.is_declared);
        let parts = parts.and_then(aggregate::take_apart);
        let cost = match &parts {
            Some(parts) => {
                Cost { records: parts.len(), bytes: parts.iter().map(|it| it.bytes.len()).sum() }
            }
            None => Cost { records: 1, bytes: data.len() },
        };
        if batch.admit(cost).is_err() {
            let shard_full = Some(batch.shard_of(key, hash));
            return Ok(Put { bytes, records: 0, shard_full });
        }
        let records = u32::try_from(cost.records).unwrap_or(u32::MAX);
        for part in parts.iter().flatten() {
            push_part(batch, part).map_err(refused)?;
        }
        if parts.is_none() {
            match hash {
                None => batch.push(Some(key), data).map_err(refused)?,
                Some(hash) => batch.push_hashed(key, hash, data).map_err(refused)?,
            }
        }
        Ok(Put { bytes, records, shard_full: None })
    }
}

fn read_hash(hash: &str) -> Result<u128, Fault> {
    hash.parse().map_err(|_too_large: std::num::ParseIntError| {
        Fault::invalid_argument(format!(
            "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. \
             Specified value was {hash}"
        ))
    })
}

/// What one record of a request became.
struct Put {
    /// Its size as Kinesis counts it, with its key.
    bytes: usize,
    records: u32,
    /// The shard for which there is no room; then it became nothing.
    shard_full: Option<ShardId>,
}

fn push_part(batch: &mut Batch, part: &Part<'_>) -> Result<(), Refusal> {
    match part.hash {
        None => batch.push(Some(part.key), part.bytes),
        Some(hash) => batch.push_hashed(part.key, hash, part.bytes),
    }
}

/// Gives each record its place, in the order of the request.
struct Placed<'a> {
    batch: &'a Batch,
    /// For each part of the batch the numbering of its shard and the next place there.
    parts: Vec<(Numbering, u64)>,
    slots: std::slice::Iter<'a, u32>,
    counts: std::slice::Iter<'a, u32>,
    arrived_ms: u64,
    left: usize,
}

impl<'a> Placed<'a> {
    fn new(prepared: &'a Prepared, accepted: &Accepted) -> Placed<'a> {
        let batch = &prepared.batch;
        let slots = batch.stream.slots();
        let parts =
            batch.used_slots().into_iter().zip(&accepted.parts).filter_map(|(slot, part)| {
                let slot = slots.get(slot)?;
                Some((Numbering::new(slot.shard, slot.opened_ms), part.first.0))
            });
        let is_one_each = prepared.counts.is_empty();
        Placed {
            batch,
            parts: parts.collect(),
            slots: batch.slots.iter(),
            counts: prepared.counts.iter(),
            arrived_ms: accepted.arrived_ms,
            left: if is_one_each { batch.slots.len() } else { prepared.counts.len() },
        }
    }

    /// Returns where the next record of the request is, or the first of those it became.
    fn next(&mut self) -> Option<(&Numbering, SequenceNumber, u64)> {
        self.left = self.left.saturating_sub(1);
        let (part, sequence) = self.step()?;
        for _ in 1..self.counts.next().copied().unwrap_or(1) {
            self.step();
        }
        let (numbering, _) = self.parts.get(part)?;
        Some((numbering, SequenceNumber(sequence), self.arrived_ms))
    }

    fn step(&mut self) -> Option<(usize, u64)> {
        let part = self.batch.part_of(*self.slots.next()?)?;
        let (_, next) = self.parts.get_mut(part)?;
        let sequence = *next;
        *next += 1;
        Some((part, sequence))
    }

    fn len(&self) -> usize {
        self.left
    }
}

fn write_places(
    encoding: Encoding,
    mut placed: Placed<'_>,
    refused: &[String],
) -> Result<Vec<u8>, Fault> {
    let failed_record_count = refused.len();
    if encoding == Encoding::Cbor || 0 < failed_record_count {
        let mut places = Vec::with_capacity(placed.len());
        while let Some((numbering, sequence, arrived_ms)) = placed.next() {
            places.push((numbering.shard_id.clone(), numbering.number(sequence, arrived_ms)));
        }
        let records = places.iter().map(|(shard, number)| EntryAnswer {
            sequence_number: Some(number.clone()),
            shard_id: Some(shard),
            ..EntryAnswer::default()
        });
        let records = records.chain(refused.iter().map(|it| throttled(it))).collect();
        return encoding.write(&PutRecordsAnswer { failed_record_count, records });
    }
    // The same by hand: nothing in it needs escaping, and it is the busiest answer there is.
    let mut out = String::with_capacity(64 + placed.len() * 128);
    out.push_str("{\"FailedRecordCount\":0,\"Records\":[");
    let mut comma = "";
    while let Some((numbering, sequence, arrived_ms)) = placed.next() {
        out.push_str(comma);
        comma = ",";
        out.push_str("{\"SequenceNumber\":\"");
        numbering.write(sequence, arrived_ms, &mut out);
        out.push_str("\",\"ShardId\":\"");
        out.push_str(&numbering.shard_id);
        out.push_str("\"}");
    }
    out.push_str("]}");
    Ok(out.into_bytes())
}

fn throttled(message: &str) -> EntryAnswer<'_> {
    EntryAnswer {
        error_code: Some("ProvisionedThroughputExceededException"),
        error_message: Some(message),
        ..EntryAnswer::default()
    }
}

/// The disk cannot keep up: it takes all of a request or nothing.
fn write_throttled(call: Call<'_>, prepared: &Prepared) -> Result<Vec<u8>, Fault> {
    let stream = &prepared.batch.stream;
    let messages: Vec<String> = prepared
        .slots()
        .map(|slot| {
            let shard = sequence::shard_id(stream.shard_at(slot));
            Fault::throttled(&prepared.name, Some(&shard)).message
        })
        .chain(prepared.refused.iter().cloned())
        .collect();
    let records: Vec<_> = messages.iter().map(|it| throttled(it)).collect();
    call.write(&PutRecordsAnswer { failed_record_count: records.len(), records })
}
