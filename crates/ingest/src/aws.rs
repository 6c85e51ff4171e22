//! Answers the APIs of AWS: `POST /` with `X-Amz-Target: SERVICE.OPERATION`, in JSON or CBOR.
//!
//! Names, texts and status codes are those of AWS, so that its SDKs work unchanged. Each service is
//! a module of its own beside this one; what they share is below it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aws::fault::Fault;
use crate::aws::signature::Claim;
use crate::aws::wire::Encoding;
use crate::http::body::{BodyFault, Taken};
use crate::inlet::Inlet;
use crate::items::Items;
use crate::keys::guard::Client;
use crate::keys::{Act, Caller};
use crate::router::Served;
use crate::{dynamo, firehose, kinesis, sns};

pub(crate) mod event;
pub(crate) mod fault;
pub(crate) mod signature;
pub(crate) mod validate;
pub(crate) mod wire;

/// `POST /`
pub(crate) async fn post(State(served): State<Served>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if sns::is_meant(&parts) {
        return sns::post(&served, &parts, body).await;
    }
    let encoding = Encoding::of(&parts.headers);
    let target = Target::of(&parts);
    let service = target.as_ref().ok().map(|it| it.service);
    let answer = answer(&served, encoding, target, &parts, body).await;
    let (status, body) = match answer {
        Ok(Answer::Body(body)) => (StatusCode::OK, body),
        Ok(Answer::Events(events)) => return respond(StatusCode::OK, event::CONTENT_TYPE, events),
        Err(fault) => {
            let status =
                StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            // Two strings can always be written.
            (status, encoding.write(&fault.body()).unwrap_or_default())
        }
    };
    let content_type = match (service, encoding) {
        (Some("dynamodb"), Encoding::Json) => "application/x-amz-json-1.0",
        _ => encoding.content_type(),
    };
    let sum = (service == Some("dynamodb")).then(|| crc32(&body));
    let mut response = respond(status, content_type, body);
    if let Some(sum) = sum {
        response.headers_mut().insert("x-amz-crc32", HeaderValue::from(sum));
    }
    response
}

fn respond(status: StatusCode, content_type: &'static str, body: impl IntoResponse) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    let id = uuid::Uuid::new_v4().to_string();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

async fn answer(
    served: &Served,
    encoding: Encoding,
    target: Result<Target<'_>, Fault>,
    parts: &Parts,
    body: Body,
) -> Result<Answer, Fault> {
    let Target { service, operation } = target?;
    let (inlet, body) = admit(served, service, operation, parts, body).await?;
    let host = parts.headers.get(header::HOST).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let items = served.items.as_ref();
    let call = Call { inlet: &inlet, items, encoding, host, body: &body.bytes };
    match service {
        "dynamodb" => dynamo::answer(operation, call).await.map(Answer::Body),
        "firehose" => firehose::answer(operation, call).await.map(Answer::Body),
        _ => kinesis::answer(operation, call).await,
    }
}

/// What comes before the operation in `X-Amz-Target`, and what a signature calls the service.
const SERVICES: &[(&str, &str)] = &[
    (kinesis::SERVICE, "kinesis"),
    (firehose::SERVICE, "firehose"),
    (dynamo::SERVICE, "dynamodb"),
];

/// What a request is for.
struct Target<'a> {
    /// The service, as a signature calls it.
    service: &'static str,
    operation: &'a str,
}

impl Target<'_> {
    fn of(parts: &Parts) -> Result<Target<'_>, Fault> {
        let target = parts.headers.get("x-amz-target").and_then(|it| it.to_str().ok());
        let Some(target) = target else {
            let help = "POST / is for AWS clients: it wants a header `X-Amz-Target: Kinesis_20131202.OPERATION`; \
                        records without an AWS SDK go to POST /v1/streams/NAME/records";
            return Err(Fault::new("UnknownOperationException", help));
        };
        let known = target.split_once('.').and_then(|(service, operation)| {
            let (_, service) = SERVICES.iter().find(|(it, _)| *it == service)?;
            Some(Target { service, operation })
        });
        known.ok_or_else(|| unknown_service(target))
    }
}

/// The checksum that clients of DynamoDB hold an answer against.
fn crc32(body: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(body);
    sum.sum()
}

/// Lets a request in: returns the inlet as its caller may use it, and the body.
async fn admit(
    served: &Served,
    signed_as: &str,
    operation: &str,
    parts: &Parts,
    body: Body,
) -> Result<(Inlet, Taken), Fault> {
    let (caller, taken) = authenticate(served, signed_as, parts, body).await?;
    let (act, called) = (act_of(operation), format!("{signed_as}:{operation:.100}"));
    may(&caller, act, &called)?;
    // Tables are made of any streams: they are read as SQL is, by a key that may read everything.
    if signed_as == "dynamodb" && act == Act::Read {
        caller.check_all().map_err(|_may_not| denied(&caller, &called))?;
    }
    Ok((served.inlet.of_caller(caller), taken))
}

/// Finds out who sends a request, and reads its body.
///
/// Who a caller claims to be is looked at before the body is read, the signature after it.
pub(crate) async fn authenticate(
    served: &Served,
    signed_as: &str,
    parts: &Parts,
    body: Body,
) -> Result<(Caller, Taken), Fault> {
    let Client(client) = Client::of(parts);
    let keys = served.inlet.keys();
    let headers = &parts.headers;
    if keys.is_open() {
        let caller = keys.caller(headers, None, client).map_err(|fault| {
            Fault::new("AccessDeniedException", format!("{fault}; {}", fault.help()))
        })?;
        let taken = served.bodies.take(headers, body).await.map_err(|it| of_body(&it))?;
        return Ok((caller, taken));
    }
    let claim = Claim::of(parts)?;
    claim.check(signed_as, parts, served.inlet.clock().now_ms())?;
    let held = keys.by_id(&claim.id).ok_or_else(signature::unknown_id)?;
    let taken = served.bodies.read(headers, body).await.map_err(|it| of_body(&it))?;
    claim.verify(&held.key.secret, parts, &taken.bytes)?;
    let taken = served.bodies.unpack(headers, taken).await.map_err(|it| of_body(&it))?;
    Ok((Caller::with_key(held, client), taken))
}

/// Returns an error if the caller may not do this; `operation` as in `kinesis:PutRecord`.
pub(crate) fn may(caller: &Caller, act: Act, operation: &str) -> Result<(), Fault> {
    caller.check(act).map_err(|_may_not| denied(caller, operation))
}

fn denied(caller: &Caller, operation: &str) -> Fault {
    Fault::access_denied(caller.name().map_or("", base::Name::as_str), operation)
}

/// Returns what an operation does, by the words that all services of AWS begin its name with.
fn act_of(operation: &str) -> Act {
    let begins = |words: &[&str]| words.iter().any(|it| operation.starts_with(it));
    // A consumer registers itself, and `PutResourcePolicy` puts no record.
    let reads = [
        "Get",
        "List",
        "Describe",
        "SubscribeToShard",
        "Query",
        "Scan",
        "BatchGet",
        "TransactGet",
        "RegisterStreamConsumer",
        "DeregisterStreamConsumer",
    ];
    let writes = ["PutRecord", "PutItem", "UpdateItem", "DeleteItem", "BatchWrite", "Publish"];
    if begins(&writes) {
        Act::Write
    } else if begins(&reads) {
        Act::Read
    } else {
        Act::Manage
    }
}

fn unknown_service(target: &str) -> Fault {
    let known: Vec<&str> = SERVICES.iter().map(|(it, _)| *it).collect();
    let message = format!("{target:.100} is not an operation of {}", known.join(", "));
    Fault::new("UnknownOperationException", message)
}

/// What an operation answers.
#[derive(Debug)]
pub(crate) enum Answer {
    /// All at once, in the encoding of the call.
    Body(Vec<u8>),
    /// An event stream.
    Events(Body),
}

/// One call of an operation.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) inlet: &'a Inlet,
    /// The tables that are read by key, if there are any.
    pub(crate) items: Option<&'a Arc<dyn Items>>,
    pub(crate) encoding: Encoding,
    /// The address that the client came by.
    pub(crate) host: &'a str,
    pub(crate) body: &'a [u8],
}

impl Call<'_> {
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        self.encoding.read(self.body)
    }

    pub(crate) fn write<T: Serialize>(&self, answer: &T) -> Result<Vec<u8>, Fault> {
        self.encoding.write(answer)
    }
}

fn of_body(fault: &BodyFault) -> Fault {
    match fault {
        BodyFault::TooLarge | BodyFault::InflatesTooMuch => {
            Fault { name: "RequestEntityTooLarge", message: fault.to_string(), status: 413 }
        }
        BodyFault::NoRoom => Fault::new("LimitExceededException", fault.to_string()),
        BodyFault::TooSlow => {
            Fault { name: "RequestTimeoutException", message: fault.to_string(), status: 408 }
        }
        BodyFault::BrokeOff | BodyFault::NotInflatable { .. } | BodyFault::UnknownEncoding(_) => {
            Fault::serialization(fault.to_string())
        }
    }
}
