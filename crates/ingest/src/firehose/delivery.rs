//! Takes what a real Firehose delivers to an HTTP endpoint: `POST /v1/firehose/NAME`.
//!
//! Records are kept as they are delivered, but for those of CloudWatch Logs: each is an envelope
//! of many log events, packed once more, and each event becomes one record:
//! `{"id", "timestamp", "message", "logGroup", "logStream", "owner"}`.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base::{Kind, limits};
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;

use super::{Delivery, NAME, delivery_of};
use crate::aws::fault::Fault;
use crate::aws::wire::BASE64;
use crate::http::body::{Bodies, BodyFault};
use crate::inlet::Inlet;
use crate::keys::guard::Client;
use crate::keys::{Act, KeyFault};
use crate::refusal::Refusal;
use crate::router::Served;

const VERSION: &str = "x-amz-firehose-protocol-version";
const REQUEST_ID: &str = "x-amz-firehose-request-id";
const ACCESS_KEY: &str = "x-amz-firehose-access-key";

/// What Firehose delivers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    request_id: String,
    records: Vec<Delivered>,
}

#[derive(Deserialize)]
struct Delivered {
    data: String,
}

/// The answer that Firehose wants: it repeats the request's id.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    request_id: String,
    timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
}

/// Why a delivery was not taken.
#[derive(Debug, thiserror::Error)]
enum DeliveryFault {
    #[error("the header `{0}` is missing")]
    NoHeader(&'static str),
    #[error("protocol version `{0}` is not known; this is version 1.0")]
    Version(String),
    #[error(transparent)]
    Key(#[from] KeyFault),
    #[error("{0}")]
    NoDelivery(String),
    #[error(transparent)]
    Body(#[from] BodyFault),
    #[error("the body is not what Firehose delivers: {0}")]
    NotADelivery(String),
    #[error("`requestId` is not the one of the header")]
    OtherId,
    #[error(transparent)]
    Refusal(#[from] Refusal),
}

impl DeliveryFault {
    fn status(&self) -> StatusCode {
        let kind = match self {
            DeliveryFault::Key(
                KeyFault::NotAllowed { .. }
                | KeyFault::StreamsOnly { .. }
                | KeyFault::ForeignName(_),
            ) => return StatusCode::FORBIDDEN,
            DeliveryFault::Key(_) => return StatusCode::UNAUTHORIZED,
            DeliveryFault::NoDelivery(_) => return StatusCode::NOT_FOUND,
            DeliveryFault::Body(BodyFault::TooLarge | BodyFault::InflatesTooMuch) => {
                return StatusCode::PAYLOAD_TOO_LARGE;
            }
            DeliveryFault::Body(BodyFault::NoRoom) => Kind::Throttled,
            DeliveryFault::Refusal(Refusal::NotForKey { .. }) => return StatusCode::FORBIDDEN,
            DeliveryFault::Refusal(refusal) => refusal.kind(),
            _ => Kind::Invalid,
        };
        StatusCode::from_u16(kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// `POST /v1/firehose/{name}`
pub(crate) async fn post(
    State(served): State<Served>,
    client: Client,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
    let request_id = text(REQUEST_ID).unwrap_or_default().to_owned();
    let done = take(&served, client, &name, &headers, body).await;
    let (status, error_message) = match done {
        Ok(()) => (StatusCode::OK, None),
        Err(fault) => (fault.status(), Some(fault.to_string())),
    };
    let timestamp = served.inlet.clock().now_ms();
    let answer = Answer { request_id, timestamp, error_message };
    let mut response = (status, Json(answer)).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        let seconds = HeaderValue::from(limits::RETRY_AFTER.as_secs());
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

async fn take(
    served: &Served,
    client: Client,
    name: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), DeliveryFault> {
    let text = |name: &'static str| {
        let found = headers.get(name).and_then(|it| it.to_str().ok());
        found.ok_or(DeliveryFault::NoHeader(name))
    };
    let version = text(VERSION)?;
    if version != "1.0" {
        return Err(DeliveryFault::Version(version.chars().take(20).collect()));
    }
    let id = text(REQUEST_ID)?;
    let key = headers.get(ACCESS_KEY).and_then(|it| it.to_str().ok());
    let inlet = served.enter_with(headers, key, client, Act::Write)?;
    let found = delivery_of(&inlet, name);
    let Delivery { stream, .. } =
        found.map_err(|fault: Fault| DeliveryFault::NoDelivery(fault.message))?;
    let taken = served.bodies.take(headers, body).await?;
    let bodies = served.bodies.clone();
    // Packed records are inflated here, which takes a while.
    let read = tokio::task::spawn_blocking(move || read(&bodies, &taken.bytes)).await;
    let read =
        read.map_err(|_panicked| DeliveryFault::NotADelivery("it cannot be read".into()))??;
    if read.request_id != id {
        return Err(DeliveryFault::OtherId);
    }
    append(&inlet, &stream.name, id, &read.records).await
}

async fn append(
    inlet: &Inlet,
    stream: &str,
    id: &str,
    records: &[Unfolded],
) -> Result<(), DeliveryFault> {
    let bytes = records.iter().map(|it| it.bytes.len()).sum();
    let mut batch = inlet.batch(stream, NAME, bytes)?;
    for record in records {
        batch.push(record.key.as_deref(), &record.bytes)?;
    }
    // Firehose sends a delivery again, under the same id, until it has the answer.
    inlet.append(batch, Some(id)).await?;
    Ok(())
}

/// What a delivery holds.
struct Read {
    request_id: String,
    records: Vec<Unfolded>,
    _room: Vec<OwnedSemaphorePermit>,
}

/// A record, with its key if its envelope says one.
#[derive(Debug, PartialEq, Eq)]
struct Unfolded {
    key: Option<String>,
    bytes: Vec<u8>,
}

fn read(bodies: &Bodies, body: &[u8]) -> Result<Read, DeliveryFault> {
    let request: Request = serde_json::from_slice(body)
        .map_err(|error| DeliveryFault::NotADelivery(error.to_string()))?;
    let mut records = Vec::new();
    let mut room = Vec::new();
    let mut left = limits::REQUEST_INFLATED_BYTES_MAX;
    for (index, delivered) in request.records.into_iter().enumerate() {
        let data = BASE64.decode(&delivered.data).map_err(|_not_base64| {
            DeliveryFault::NotADelivery(format!("the data of record {index} is not base64"))
        })?;
        unfold(bodies, data, &mut left, &mut room, &mut records)?;
        if limits::REQUEST_RECORDS_MAX < records.len() {
            return Err(Refusal::TooManyRecords.into());
        }
    }
    Ok(Read { request_id: request.request_id, records, _room: room })
}

/// The envelope of CloudWatch Logs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    message_type: String,
    #[serde(default)]
    owner: String,
    #[serde(default)]
    log_group: String,
    #[serde(default)]
    log_stream: String,
    log_events: Vec<LogEvent>,
}

#[derive(Deserialize)]
struct LogEvent {
    id: String,
    timestamp: i64,
    message: String,
}

/// One log event as a record.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogRecord<'a> {
    id: &'a str,
    timestamp: i64,
    message: &'a str,
    log_group: &'a str,
    log_stream: &'a str,
    owner: &'a str,
}

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Adds a record, or the log events in it.
fn unfold(
    bodies: &Bodies,
    data: Vec<u8>,
    left: &mut usize,
    room: &mut Vec<OwnedSemaphorePermit>,
    records: &mut Vec<Unfolded>,
) -> Result<(), DeliveryFault> {
    let inflated = if data.starts_with(&GZIP) {
        match bodies.gunzip(&data, *left, room) {
            Ok(inflated) => {
                *left -= inflated.len();
                Some(inflated)
            }
            // What only looks like gzip is a record like any other.
            Err(BodyFault::NotInflatable { .. }) => None,
            Err(fault) => return Err(fault.into()),
        }
    } else {
        None
    };
    let envelopes = envelopes(inflated.as_deref().unwrap_or(&data));
    let Some(envelopes) = envelopes else {
        records.push(Unfolded { key: None, bytes: data });
        return Ok(());
    };
    // A `CONTROL_MESSAGE` only asks whether somebody is there.
    for envelope in envelopes.iter().filter(|it| it.message_type == "DATA_MESSAGE") {
        let key = envelope.log_stream.chars().take(KEY_CHARS_MAX).collect::<String>();
        let key = Some(key).filter(|it| !it.is_empty());
        for event in &envelope.log_events {
            let record = LogRecord {
                id: &event.id,
                timestamp: event.timestamp,
                message: &event.message,
                log_group: &envelope.log_group,
                log_stream: &envelope.log_stream,
                owner: &envelope.owner,
            };
            let bytes = serde_json::to_vec(&record)
                .map_err(|error| DeliveryFault::NotADelivery(error.to_string()))?;
            // Each event repeats where it comes from.
            *left = left.checked_sub(bytes.len()).ok_or(BodyFault::InflatesTooMuch)?;
            records.push(Unfolded { key: key.clone(), bytes });
        }
        if limits::REQUEST_RECORDS_MAX < records.len() {
            return Err(Refusal::TooManyRecords.into());
        }
    }
    Ok(())
}

/// A log stream's name as a key: four bytes a character fit a partition key.
const KEY_CHARS_MAX: usize = limits::PARTITION_KEY_BYTES_MAX / 4;

/// Returns the envelopes that stand one behind the other; none if it is something else.
fn envelopes(bytes: &[u8]) -> Option<Vec<Envelope>> {
    // Most records are no envelopes, and are not read whole to find that out.
    let head = bytes.get(..bytes.len().min(4 << 10)).unwrap_or_default();
    let says_so = bytes.starts_with(b"{")
        && (memchr::memmem::find(head, b"\"messageType\"").is_some()
            || memchr::memmem::find(bytes, b"\"logEvents\"").is_some());
    if !says_so {
        return None;
    }
    serde_json::Deserializer::from_slice(bytes)
        .into_iter::<Envelope>()
        .collect::<Result<_, _>>()
        .ok()
}

#[cfg(test)]
mod tests;
