//! `PutRecord` and `PutRecordBatch`: records are kept as they are sent, without a line end added.

use std::ops::Deref;

use base::limits;
use serde::{Deserialize, Serialize};

use super::{Delivery, delivery_of, fault_of, name_of, slow_down};
use crate::aws::Call;
use crate::aws::fault::Fault;
use crate::aws::validate::Constraints;
use crate::aws::wire::{ByteString, Data, Encoding, Text};
use crate::inlet::Batch;
use crate::kinesis::sequence::Numbering;
use crate::rate::Cost;
use crate::refusal::Refusal;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecord<S, D> {
    delivery_stream_name: Option<S>,
    record: Option<Entry<D>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordBatch<S, D> {
    delivery_stream_name: Option<S>,
    records: Option<Vec<Entry<D>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<D> {
    data: Option<D>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordAnswer {
    record_id: String,
    encrypted: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordBatchAnswer {
    failed_put_count: usize,
    encrypted: bool,
    request_responses: Vec<EntryAnswer>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EntryAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    record_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
}

/// Records that only have to be written down.
struct Prepared {
    name: String,
    batch: Batch,
    /// Of each record why it cannot be taken, if so.
    each: Vec<Result<(), Untaken>>,
}

/// Why one record of a call is not taken.
enum Untaken {
    /// It is wrong.
    Wrong(String),
    /// There is no room for it now.
    Slow,
}

impl Untaken {
    fn answer(self) -> EntryAnswer {
        let (code, message) = match self {
            Untaken::Wrong(message) => ("InvalidArgumentException", message),
            Untaken::Slow => (slow_down().name, slow_down().message),
        };
        EntryAnswer {
            error_code: Some(code),
            error_message: Some(message),
            ..EntryAnswer::default()
        }
    }
}

pub(super) async fn record(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let prepared = match call.encoding {
        Encoding::Json => prepare_one(call, &read_json::<PutRecord<Text<'_>, Text<'_>>>(call)?)?,
        Encoding::Cbor => prepare_one(call, &call.read::<PutRecord<String, ByteString>>()?)?,
    };
    let ids = write(call, prepared).await?;
    match ids.into_iter().next() {
        Some(Ok(record_id)) => call.write(&PutRecordAnswer { record_id, encrypted: false }),
        Some(Err(Untaken::Wrong(message))) => Err(Fault::invalid_argument(message)),
        Some(Err(Untaken::Slow)) => Err(slow_down()),
        None => Err(Fault::internal()),
    }
}

pub(super) async fn batch(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let prepared = match call.encoding {
        Encoding::Json => {
            prepare_all(call, read_json::<PutRecordBatch<Text<'_>, Text<'_>>>(call)?)?
        }
        Encoding::Cbor => prepare_all(call, call.read::<PutRecordBatch<String, ByteString>>()?)?,
    };
    let count = prepared.each.len();
    let ids = match write(call, prepared).await {
        Ok(ids) => ids,
        // The disk takes all records of a call or none.
        Err(fault) if fault.name == slow_down().name => {
            let slow = || EntryAnswer {
                error_code: Some("ServiceUnavailableException"),
                error_message: Some(fault.message.clone()),
                ..EntryAnswer::default()
            };
            let request_responses = std::iter::repeat_with(slow).take(count).collect();
            let answer = PutRecordBatchAnswer {
                failed_put_count: count,
                encrypted: false,
                request_responses,
            };
            return call.write(&answer);
        }
        Err(fault) => return Err(fault),
    };
    let failed_put_count = ids.iter().filter(|it| it.is_err()).count();
    let answers = ids.into_iter().map(|it| match it {
        Ok(id) => EntryAnswer { record_id: Some(id), ..EntryAnswer::default() },
        Err(untaken) => untaken.answer(),
    });
    let request_responses = answers.collect();
    call.write(&PutRecordBatchAnswer { failed_put_count, encrypted: false, request_responses })
}

/// Reads JSON without copying its texts.
fn read_json<'a, T: Deserialize<'a>>(call: Call<'a>) -> Result<T, Fault> {
    serde_json::from_slice(call.body).map_err(|error| Fault::serialization(error.to_string()))
}

fn prepare_one<S: Deref<Target = str>, D: Data>(
    call: Call<'_>,
    request: &PutRecord<S, D>,
) -> Result<Prepared, Fault> {
    let mut constraints = Constraints::default();
    let name = name_of(request.delivery_stream_name.as_deref(), &mut constraints);
    constraints.required(request.record.as_ref(), "record");
    if let Some(record) = &request.record {
        constraints.required(record.data.as_ref(), "record.data");
    }
    constraints.check()?;
    let delivery = delivery(call, &name)?;
    let batch = call.inlet.batch(&delivery, super::NAME, call.body.len());
    prepare(batch.map_err(|refusal| fault_of(&refusal, &name))?, name, request.record.as_slice())
}

fn prepare_all<S: Deref<Target = str>, D: Data>(
    call: Call<'_>,
    request: PutRecordBatch<S, D>,
) -> Result<Prepared, Fault> {
    let mut constraints = Constraints::default();
    let name = name_of(request.delivery_stream_name.as_deref(), &mut constraints);
    constraints.required(request.records.as_ref(), "records");
    let records = request.records.unwrap_or_default();
    if constraints.is_met() && records.is_empty() {
        constraints.fail("'[]'", "records", "have length greater than or equal to 1");
    }
    if limits::FIREHOSE_RECORDS_MAX < records.len() {
        let constraint =
            format!("have length less than or equal to {}", limits::FIREHOSE_RECORDS_MAX);
        constraints.fail("'[...]'", "records", &constraint);
    }
    for (index, record) in records.iter().enumerate() {
        let member = format!("records.{}.member.data", index + 1);
        constraints.required(record.data.as_ref(), member);
    }
    constraints.check()?;
    let delivery = delivery(call, &name)?;
    let batch = call.inlet.batch_of_each(&delivery, super::NAME, call.body.len());
    let prepared = prepare(batch.map_err(|refusal| fault_of(&refusal, &name))?, name, &records)?;
    if prepared.each.iter().all(|it| matches!(it, Err(Untaken::Slow))) {
        prepared.batch.stream.refuse(super::NAME);
    }
    Ok(prepared)
}

/// Returns the stream that a delivery stream puts into.
fn delivery(call: Call<'_>, name: &str) -> Result<base::Name, Fault> {
    let Delivery { stream, entry, .. } = delivery_of(call.inlet, name)?;
    if entry.source.is_some() {
        let message = "This operation is not permitted on KinesisStreamAsSource delivery stream \
                       type.";
        return Err(Fault::invalid_argument(message));
    }
    Ok(stream.name.clone())
}

fn prepare<D: Data>(
    mut batch: Batch,
    name: String,
    records: &[Entry<D>],
) -> Result<Prepared, Fault> {
    let (mut room, mut bytes) = (Vec::new(), 0);
    let mut each = Vec::with_capacity(records.len());
    for record in records {
        let data = record.data.as_ref().and_then(|data| data.decode(&mut room));
        let Some(data) = data else {
            return Err(Fault::serialization("the value at 'data' is not base64"));
        };
        bytes += data.len();
        if limits::FIREHOSE_BYTES_MAX < bytes {
            return Err(Fault::invalid_argument("Records size exceeds 4 MB limit"));
        }
        if limits::FIREHOSE_RECORD_BYTES_MAX < data.len() {
            let most = limits::FIREHOSE_RECORD_BYTES_MAX;
            let wrong = format!("Record size exceeds {most} bytes: {}", data.len());
            each.push(Err(Untaken::Wrong(wrong)));
            continue;
        }
        if batch.admit(Cost { records: 1, bytes: data.len() }).is_err() {
            each.push(Err(Untaken::Slow));
            continue;
        }
        match batch.push(None, data) {
            Ok(()) => each.push(Ok(())),
            Err(refusal @ Refusal::KeyTooLong { .. }) => {
                each.push(Err(Untaken::Wrong(refusal.to_string())));
            }
            Err(refusal) => return Err(fault_of(&refusal, &name)),
        }
    }
    Ok(Prepared { name, each, batch })
}

/// Writes the records down; returns the id of each that was taken.
async fn write(
    call: Call<'_>,
    Prepared { name, mut batch, each }: Prepared,
) -> Result<Vec<Result<String, Untaken>>, Fault> {
    let accepted = call.inlet.write(&mut batch, None).await;
    let accepted = accepted.map_err(|refusal| fault_of(&refusal, &name))?;
    let firsts = accepted.parts.iter().map(|part| (part.shard, part.first));
    let mut next: std::collections::BTreeMap<_, _> = firsts.collect();
    let mut slots = batch.slots.iter().filter_map(|it| batch.stream.slots().get(*it as usize));
    let mut id = |()| {
        let Some(slot) = slots.next() else { return String::new() };
        let sequence = next.entry(slot.shard).or_insert(base::SequenceNumber(0));
        let numbering = Numbering::new(slot.shard, slot.opened_ms);
        let number = numbering.number(*sequence, accepted.arrived_ms);
        *sequence = sequence.plus(1);
        number
    };
    Ok(each.into_iter().map(|it| it.map(&mut id)).collect())
}
