//! Receives records by HTTP: `POST /v1/streams/NAME/records`.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base::{Kind, Name, limits};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use crate::door::{Door, OptionFault, Running, parse, schema_of};
use crate::http::body::BodyFault;
use crate::http::split::{Form, NotAnArray, split};
use crate::inlet::{Accepted, Inlet, Stream};
use crate::refusal::Refusal;
use crate::router::Served;

pub(crate) mod body;
mod split;

/// Options of an `http` door: none yet.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {}

/// Takes JSON, lines of JSON, or lines of text.
pub(crate) struct Http;

const NAME: &str = "http";

impl Door for Http {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "Takes one JSON object, an array of them, or one record a line, by `POST /v1/streams/NAME/records`."
    }

    fn example(&self) -> &'static str {
        "from = [\"http\"]"
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

/// The answer to records that were taken.
#[derive(Serialize)]
struct Answer {
    accepted: u64,
    positions: Vec<Position>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    repeated: bool,
}

#[derive(Serialize)]
struct Position {
    shard: u32,
    first: u64,
    last: u64,
}

impl From<Accepted> for Answer {
    fn from(accepted: Accepted) -> Answer {
        let positions = accepted.parts.iter().map(|part| Position {
            shard: part.shard.0,
            first: part.first.0,
            last: part.first.0 + part.count.saturating_sub(1),
        });
        Answer {
            accepted: accepted.records,
            positions: positions.collect(),
            repeated: accepted.repeated,
        }
    }
}

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpFault {
    #[error(transparent)]
    Body(#[from] BodyFault),
    #[error(transparent)]
    Array(#[from] NotAnArray),
    #[error(transparent)]
    Refusal(#[from] Refusal),
}

impl HttpFault {
    fn kind(&self) -> Kind {
        match self {
            HttpFault::Body(BodyFault::NoRoom) => Kind::Throttled,
            HttpFault::Body(_) | HttpFault::Array(_) => Kind::Invalid,
            HttpFault::Refusal(refusal) => refusal.kind(),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            HttpFault::Body(BodyFault::TooLarge | BodyFault::InflatesTooMuch)
            | HttpFault::Refusal(
                Refusal::RecordTooLarge { .. }
                | Refusal::TooManyRecords
                | Refusal::Journal(journal::Error::AppendTooLarge { .. }),
            ) => StatusCode::PAYLOAD_TOO_LARGE,
            HttpFault::Refusal(Refusal::DoorClosed { .. }) => StatusCode::FORBIDDEN,
            HttpFault::Body(BodyFault::TooSlow) => StatusCode::REQUEST_TIMEOUT,
            HttpFault::Body(BodyFault::UnknownEncoding(_)) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            other => StatusCode::from_u16(other.kind().http_status())
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            HttpFault::Body(BodyFault::TooLarge | BodyFault::InflatesTooMuch) => {
                Some("send the records in several requests".into())
            }
            HttpFault::Body(BodyFault::NoRoom) => {
                Some("send again after the time in `Retry-After`".into())
            }
            HttpFault::Array(_) => Some(
                "nothing was accepted, as its records cannot be told apart; with one record a \
                 line, a broken one becomes a dead letter and the others are kept"
                    .into(),
            ),
            HttpFault::Body(_) => None,
            HttpFault::Refusal(refusal) => refusal.help(),
        }
    }
}

#[derive(Serialize)]
struct ErrorAnswer<'a> {
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    kind: &'a str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

impl IntoResponse for HttpFault {
    fn into_response(self) -> Response {
        let mut response = error_answer(self.kind(), self.to_string(), self.help());
        *response.status_mut() = self.status();
        response
    }
}

/// Says in JSON why something was not done.
pub(crate) fn error_answer(kind: Kind, message: String, help: Option<String>) -> Response {
    let word = match kind {
        Kind::Invalid => "invalid",
        Kind::Missing => "missing",
        Kind::Conflict => "conflict",
        Kind::Throttled => "throttled",
        Kind::Unavailable => "unavailable",
        Kind::Corrupt => "corrupt",
        Kind::Bug => "bug",
    };
    let status =
        StatusCode::from_u16(kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = ErrorBody { kind: word, message, help };
    let mut response = (status, Json(ErrorAnswer { error: body })).into_response();
    if matches!(kind, Kind::Throttled | Kind::Unavailable) {
        let seconds = HeaderValue::from(limits::RETRY_AFTER.as_secs());
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// `POST /v1/streams/{name}/records`
pub(crate) async fn post_records(
    State(served): State<Served>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpFault> {
    // Before a byte of the body is read.
    let stream = served.inlet.stream(&name)?;
    let accepted = take(&served, &stream, &headers, body).await?;
    let answer = Json(Answer::from(accepted));
    Ok((StatusCode::OK, answer).into_response())
}

async fn take(
    served: &Served,
    stream: &Stream,
    headers: &HeaderMap,
    body: Body,
) -> Result<Accepted, HttpFault> {
    let refused = |fault: HttpFault| {
        stream.refuse(NAME);
        fault
    };
    let taken = served.bodies.take(headers, body).await.map_err(|it| refused(it.into()))?;
    let text = |name: &str| headers.get(name).map(|it| it.to_str().unwrap_or_default());
    let form = Form::of(text(header::CONTENT_TYPE.as_str()));
    let records = split(&taken.bytes, form).map_err(|it| refused(it.into()))?;
    let mut batch = served.inlet.batch(&stream.name, NAME, taken.bytes.len())?;
    for record in records {
        batch.push(None, record)?;
    }
    // What the journal needs is in the batch: the body's memory is free while the disk works.
    drop(taken);
    Ok(served.inlet.append(batch, text("idempotency-key")).await?)
}

/// What `GET /v1/streams` says of a stream.
#[derive(Serialize)]
struct StreamAnswer {
    name: String,
    doors: Vec<String>,
    received: u64,
    bytes_on_disk: u64,
    replay: String,
    created_ms: u64,
    shards: Vec<ShardAnswer>,
    counts: Vec<CountAnswer>,
}

#[derive(Serialize)]
struct ShardAnswer {
    shard: u32,
    first: u64,
    next: u64,
    arrived_ms: u64,
}

#[derive(Serialize)]
struct CountAnswer {
    door: &'static str,
    records: u64,
    bytes: u64,
    refused: u64,
}

#[derive(Serialize)]
struct StreamsAnswer {
    streams: Vec<StreamAnswer>,
}

/// `GET /v1/streams`
pub(crate) async fn get_streams(State(served): State<Served>) -> Result<Response, HttpFault> {
    let streams = served.inlet.streams();
    let streams = streams.iter().map(|it| describe(&served.inlet, it));
    let streams = streams.collect::<Result<Vec<_>, _>>()?;
    Ok(Json(StreamsAnswer { streams }).into_response())
}

/// `GET /v1/streams/{name}`
pub(crate) async fn get_stream(
    State(served): State<Served>,
    Path(name): Path<String>,
) -> Result<Response, HttpFault> {
    let stream = served.inlet.stream(&name)?;
    Ok(Json(describe(&served.inlet, &stream)?).into_response())
}

fn describe(inlet: &Inlet, stream: &Stream) -> Result<StreamAnswer, Refusal> {
    let info = inlet.journal().stream_info(stream.id)?;
    let shards = info.shards.iter().map(|it| ShardAnswer {
        shard: it.id.0,
        first: it.first.0,
        next: it.next.0,
        arrived_ms: it.arrived_ms,
    });
    let counts = inlet.counts().into_iter().filter(|it| it.stream == stream.name);
    let counts = counts.map(|it| CountAnswer {
        door: it.door,
        records: it.records,
        bytes: it.bytes,
        refused: it.refused,
    });
    Ok(StreamAnswer {
        name: stream.name.to_string(),
        doors: stream.doors.clone(),
        received: info.received,
        bytes_on_disk: info.bytes,
        replay: info.settings.replay.to_string(),
        created_ms: info.created_ms,
        shards: shards.collect(),
        counts: counts.collect(),
    })
}

#[cfg(test)]
mod tests;
