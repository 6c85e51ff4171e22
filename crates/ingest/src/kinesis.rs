//! Answers the Kinesis API: `POST /` with `X-Amz-Target: Kinesis_20131202.OPERATION`.
//!
//! Names, texts and status codes are those of AWS, so that its SDKs work unchanged. Signatures
//! are not looked at: the address to serve on is this machine's own.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base::Name;
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::door::{Door, OptionFault, Running, parse, schema_of};
use crate::http::body::BodyFault;
use crate::inlet::Inlet;
use crate::kinesis::fault::Fault;
use crate::kinesis::wire::Encoding;
use crate::router::Served;

mod fault;
mod iterator;
mod put;
mod read;
mod sequence;
mod streams;
mod validate;
mod wire;

/// Options of a `kinesis` door: none yet.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {}

/// Takes records from AWS SDKs, and gives them back.
pub(crate) struct Kinesis;

/// The door's name.
pub(crate) const NAME: &str = "kinesis";

impl Door for Kinesis {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "Takes records from AWS SDKs by the Kinesis API: `PutRecord`, `PutRecords` and the calls around them."
    }

    fn example(&self) -> &'static str {
        "from = [\"kinesis\"]"
    }

    fn options(&self) -> Schema {
        schema_of::<Options>()
    }

    fn check(&self, options: &toml::Table) -> Result<(), OptionFault> {
        parse::<Options>(options).map(|Options {}| ())
    }

    fn open(&self, options: &toml::Table, _: &Inlet, _: &Name) -> Result<Running, OptionFault> {
        self.check(options).map(|()| Running::served())
    }
}

/// What comes before the operation in `X-Amz-Target`.
const SERVICE: &str = "Kinesis_20131202.";

/// `POST /`
pub(crate) async fn post(State(served): State<Served>, headers: HeaderMap, body: Body) -> Response {
    let encoding = Encoding::of(&headers);
    let answer = answer(&served, encoding, &headers, body).await;
    let (status, body) = match answer {
        Ok(body) => (StatusCode::OK, body),
        Err(fault) => {
            let status =
                StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            // Two strings can always be written.
            (status, encoding.write(&fault.body()).unwrap_or_default())
        }
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(encoding.content_type()));
    let id = uuid::Uuid::new_v4().to_string();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

async fn answer(
    served: &Served,
    encoding: Encoding,
    headers: &HeaderMap,
    body: Body,
) -> Result<Vec<u8>, Fault> {
    let target = headers.get("x-amz-target").and_then(|it| it.to_str().ok());
    let Some(target) = target else {
        let help = "POST / is the Kinesis API: it wants a header `X-Amz-Target: Kinesis_20131202.OPERATION`; \
                    records without an AWS SDK go to POST /v1/streams/NAME/records";
        return Err(Fault::new("UnknownOperationException", help));
    };
    let Some(operation) = target.strip_prefix(SERVICE) else {
        let message = format!("{target:.100} is not an operation of {SERVICE}*");
        return Err(Fault::new("UnknownOperationException", message));
    };
    let taken = served.bodies.take(headers, body).await.map_err(|it| of_body(&it))?;
    let call = Call { inlet: &served.inlet, encoding, body: &taken.bytes };
    match operation {
        "PutRecords" => put::records(call).await,
        "PutRecord" => put::record(call).await,
        "GetRecords" => read::records(call).await,
        "GetShardIterator" => read::shard_iterator(call).await,
        "CreateStream" => streams::create(call).await,
        "DescribeStream" => streams::describe(call),
        "DescribeStreamSummary" => streams::describe_summary(call),
        "ListStreams" => streams::list(call),
        "ListShards" => streams::list_shards(call),
        other => {
            let message = format!("the operation {other:.100} is not supported");
            Err(Fault::new("UnknownOperationException", message))
        }
    }
}

/// One call of an operation.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) inlet: &'a Inlet,
    pub(crate) encoding: Encoding,
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

#[cfg(test)]
mod tests;
