//! Answers the API of Amazon Data Firehose, and takes what a real Firehose delivers.
//!
//! A delivery stream is a door onto a stream: its records are those of the stream, its table is the
//! stream's table, and its destination is the lake. What clients say about buffering, formats and
//! partitions is kept and described back; docs/guide/firehose.md says what it maps to.

use std::sync::Arc;

use crate::aws::Call;
use crate::aws::fault::{ACCOUNT, Fault};
use crate::aws::validate::Constraints;
use crate::aws::validate::members::{self, Member, Must, NAME_PATTERN, is_name};
use crate::door::Door;
use crate::inlet::{Inlet, Stream};
use crate::refusal::Refusal;

pub(crate) mod book;
pub(crate) mod delivery;
mod destination;
mod put;
mod streams;
mod tags;

/// Takes records from Firehose's clients, and from Firehose itself.
pub(crate) struct Firehose;

/// The door's name.
pub(crate) const NAME: &str = "firehose";

/// What comes before the operation in `X-Amz-Target`.
pub(crate) const SERVICE: &str = "Firehose_20150804";

impl Door for Firehose {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "Takes records from AWS SDKs by the Firehose API, and from a Firehose that delivers to `POST /v1/firehose/NAME`."
    }

    fn example(&self) -> &'static str {
        "from = [\"firehose\"]"
    }
}

/// Members that are not looked at anywhere else.
const MEMBERS: &[Member] = &[
    Member { name: "Limit", only: Some("DescribeDeliveryStream"), must: Must::Number(1..=10_000) },
    Member::text("ExclusiveStartDestinationId", 1..=100, "[a-zA-Z0-9-]+", is_id),
    Member::text("DestinationId", 1..=100, "[a-zA-Z0-9-]+", is_id),
    Member::text("ExclusiveStartDeliveryStreamName", 1..=64, NAME_PATTERN, is_name),
    Member::text("ExclusiveStartTagKey", 1..=128, ".*", |_| true),
    Member::text("CurrentDeliveryStreamVersionId", 1..=50, "[0-9]+", |it| {
        !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit())
    }),
    Member { name: "Tags", only: None, must: Must::List(1..=50) },
    Member { name: "TagKeys", only: None, must: Must::List(1..=50) },
];

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-')
}

/// Answers one operation.
pub(crate) async fn answer(operation: &str, call: Call<'_>) -> Result<Vec<u8>, Fault> {
    // The busiest requests are not read twice.
    if !operation.starts_with("PutRecord") {
        members::check(operation, call, MEMBERS)?;
    }
    match operation {
        "PutRecordBatch" => put::batch(call).await,
        "PutRecord" => put::record(call).await,
        "CreateDeliveryStream" => streams::create(call).await,
        "DescribeDeliveryStream" => streams::describe(call),
        "ListDeliveryStreams" => streams::list(call),
        "UpdateDestination" => streams::update(call).await,
        "DeleteDeliveryStream" => streams::delete(call).await,
        "StartDeliveryStreamEncryption" => streams::start_encryption(call).await,
        "StopDeliveryStreamEncryption" => streams::stop_encryption(call).await,
        "TagDeliveryStream" => tags::tag(call).await,
        "UntagDeliveryStream" => tags::untag(call).await,
        "ListTagsForDeliveryStream" => tags::list(call),
        other => {
            let message = format!("the operation {other:.100} is not supported");
            Err(Fault::new("UnknownOperationException", message))
        }
    }
}

/// What a delivery stream leads to.
pub(crate) struct Delivery {
    pub(crate) stream: Arc<Stream>,
    /// What is kept of it; the defaults for one that only the project declares.
    pub(crate) entry: book::Entry,
    /// Whether the project's files declare it.
    pub(crate) is_declared: bool,
}

/// Returns the delivery stream of that name.
pub(crate) fn delivery_of(inlet: &Inlet, name: &str) -> Result<Delivery, Fault> {
    let kept = inlet.deliveries().now().entries.get(name).cloned();
    let source = kept.as_ref().and_then(|it| it.source.clone());
    let stream = inlet.stream(source.as_deref().unwrap_or(name));
    let stream = stream.map_err(|refusal| fault_of(&refusal, name))?;
    let is_declared = source.is_none() && stream.is_open(NAME);
    match kept {
        Some(entry) => Ok(Delivery { stream, entry, is_declared }),
        None if is_declared => {
            let info = inlet.journal().stream_info(stream.id);
            let created_ms = info.map_or(0, |it| it.created_ms);
            let entry = book::Entry { created_ms, ..book::Entry::default() };
            Ok(Delivery { stream, entry, is_declared })
        }
        None => Err(not_found(name)),
    }
}

/// Looks at a name as a request gives it.
fn name_of(name: Option<&str>, constraints: &mut Constraints) -> String {
    constraints.required(name.as_ref(), "deliveryStreamName");
    let Some(name) = name else { return String::new() };
    let is_sound = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'.' | b'-');
    if name.is_empty() || !name.bytes().all(is_sound) {
        let constraint = "satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
        constraints.fail(format!("'{name:.300}'"), "deliveryStreamName", constraint);
    }
    constraints.length(name, "deliveryStreamName", 1..=NAME_CHARS_MAX);
    name.to_owned()
}

/// As Firehose has it.
const NAME_CHARS_MAX: usize = 64;

fn not_found(name: &str) -> Fault {
    let message = format!("Firehose {name} under account {ACCOUNT} not found.");
    Fault::new("ResourceNotFoundException", message)
}

/// What Firehose would say to the same refusal.
fn fault_of(refusal: &Refusal, name: &str) -> Fault {
    use base::Kind;
    match refusal {
        Refusal::NoStream { .. } => not_found(name),
        Refusal::DoorClosed { .. } => not_found(name),
        Refusal::NotForKey { .. } => Fault::new("AccessDeniedException", refusal.to_string()),
        other => match other.kind() {
            Kind::Missing => not_found(name),
            Kind::Throttled => slow_down(),
            Kind::Conflict => Fault::new("ResourceInUseException", other.to_string()),
            Kind::Invalid => Fault::invalid_argument(other.to_string()),
            Kind::Unavailable => Fault { message: other.to_string(), ..slow_down() },
            Kind::Corrupt | Kind::Bug => Fault::internal(),
        },
    }
}

/// What Firehose says when more comes than it takes.
fn slow_down() -> Fault {
    let message = "Slow down.".to_owned();
    Fault { name: "ServiceUnavailableException", message, status: 503 }
}

fn arn_of(name: &str) -> String {
    format!("arn:aws:firehose:us-east-1:{ACCOUNT}:deliverystream/{name}")
}

#[cfg(test)]
mod tests;
