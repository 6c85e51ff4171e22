//! Answers the APIs of AWS: `POST /` with `X-Amz-Target: SERVICE.OPERATION`, in JSON or CBOR.
//!
//! Names, texts and status codes are those of AWS, so that its SDKs work unchanged. Each service is
//! a module of its own beside this one; what they share is below it.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aws::fault::Fault;
use crate::aws::wire::Encoding;
use crate::http::body::BodyFault;
use crate::inlet::Inlet;
use crate::kinesis;
use crate::router::Served;

pub(crate) mod event;
pub(crate) mod fault;
pub(crate) mod validate;
pub(crate) mod wire;

/// `POST /`
pub(crate) async fn post(State(served): State<Served>, headers: HeaderMap, body: Body) -> Response {
    let encoding = Encoding::of(&headers);
    let answer = answer(&served, encoding, &headers, body).await;
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
    respond(status, encoding.content_type(), body)
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
    headers: &HeaderMap,
    body: Body,
) -> Result<Answer, Fault> {
    let target = headers.get("x-amz-target").and_then(|it| it.to_str().ok());
    let Some(target) = target else {
        let help = "POST / is the Kinesis API: it wants a header `X-Amz-Target: Kinesis_20131202.OPERATION`; \
                    records without an AWS SDK go to POST /v1/streams/NAME/records";
        return Err(Fault::new("UnknownOperationException", help));
    };
    let Some((service, operation)) = target.split_once('.') else {
        return Err(unknown_service(target));
    };
    let is_known = service == kinesis::SERVICE;
    if !is_known {
        return Err(unknown_service(target));
    }
    let taken = served.bodies.take(headers, body).await.map_err(|it| of_body(&it))?;
    let call = Call { inlet: &served.inlet, encoding, body: &taken.bytes };
    kinesis::answer(operation, call).await
}

fn unknown_service(target: &str) -> Fault {
    let message = format!("{target:.100} is not an operation of {}.*", kinesis::SERVICE);
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
