//! Receives records by HTTP, `POST /v1/streams/NAME/records`, and gives them back.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base::Name;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use crate::door::{Door, OptionFault, Running, parse, schema_of};
use crate::http::body::Bodies;
use crate::http::cors::{Origins, Passed};
use crate::http::fault::HttpFault;
pub(crate) use crate::http::fault::error_answer;
use crate::http::split::{Form, split};
use crate::inlet::{Accepted, Inlet, Stream};
use crate::keys::Act;
use crate::keys::guard::{Client, Head};
use crate::rate::Cost;
use crate::refusal::Refusal;
use crate::router::Served;

pub(crate) mod beacon;
pub(crate) mod body;
pub(crate) mod cors;
pub(crate) mod fault;
pub(crate) mod follow;
mod split;

/// Options of an `http` door.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Web pages of these origins may send, for example `["https://shop.example"]`; `"*"` is any.
    /// Programs, which are no web pages, always may.
    #[serde(default)]
    origins: Vec<String>,
}

/// Takes JSON, lines of JSON, CSV or text.
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
        "from = [{ door = \"http\", origins = [\"https://shop.example\"] }]"
    }

    fn options(&self) -> Schema {
        schema_of::<Options>()
    }

    fn check(&self, options: &toml::Table) -> Result<(), OptionFault> {
        parse::<Options>(options).and_then(|it| Origins::new(&it.origins)).map(|_origins| ())
    }

    fn open(
        &self,
        options: &toml::Table,
        inlet: &Inlet,
        stream: &Name,
    ) -> Result<Running, OptionFault> {
        let origins = Origins::new(&parse::<Options>(options)?.origins)?;
        inlet.allow_origins(stream, origins);
        Ok(Running::served())
    }
}

/// The answer to records that were taken.
#[derive(Serialize)]
struct Answer {
    accepted: u64,
    positions: Vec<Position>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    repeated: bool,
    /// What became of each record, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<Vec<RecordAnswer>>,
}

#[derive(Serialize)]
struct Position {
    shard: u32,
    first: u64,
    last: u64,
}

#[derive(Serialize)]
#[serde(untagged)]
enum RecordAnswer {
    Taken { shard: u32, sequence: u64 },
    Refused { kind: &'static str, error: String },
}

/// What became of a request's records.
pub(crate) struct Outcome {
    accepted: Accepted,
    /// The stream with the shards that the records went to.
    stream: Arc<Stream>,
    /// The slot of each record that was taken, and why another was not, in their order.
    each: Option<Vec<Result<u32, Refusal>>>,
}

impl Outcome {
    /// Returns when there is room again for records that were not taken, if there were some.
    fn wait(&self) -> Option<Duration> {
        let each = self.each.iter().flatten();
        each.filter_map(|it| it.as_ref().err()?.wait()).max()
    }
}

impl Answer {
    fn of(outcome: Outcome) -> Answer {
        let Outcome { accepted, stream, each } = outcome;
        let positions = accepted.parts.iter().map(|part| Position {
            shard: part.shard.0,
            first: part.first.0,
            last: part.first.0 + part.count.saturating_sub(1),
        });
        Answer {
            accepted: accepted.records,
            positions: positions.collect(),
            repeated: accepted.repeated,
            records: each.map(|it| records_of(it, &accepted, &stream)),
        }
    }
}

fn records_of(
    each: Vec<Result<u32, Refusal>>,
    accepted: &Accepted,
    stream: &Stream,
) -> Vec<RecordAnswer> {
    let next = accepted.parts.iter().map(|it| (it.shard, it.first.0));
    let mut next: std::collections::BTreeMap<_, _> = next.collect();
    let mut place = |slot: u32| {
        let shard = stream.shard_at(slot as usize);
        let sequence = next.entry(shard).or_default();
        *sequence += 1;
        RecordAnswer::Taken { shard: shard.0, sequence: *sequence - 1 }
    };
    let each = each.into_iter().map(|it| match it {
        Ok(slot) => place(slot),
        Err(refusal) => {
            RecordAnswer::Refused { kind: refusal.kind().word(), error: refusal.to_string() }
        }
    });
    each.collect()
}

/// What the address of a request may say.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Asked {
    /// Whether the answer is to say what became of each record; then one that cannot be taken
    /// does not keep the others out.
    #[serde(default)]
    results: bool,
}

/// `POST /v1/streams/{name}/records`
pub(crate) async fn post_records(
    State(served): State<Served>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
    Head { client, uri, headers }: Head,
    body: Body,
) -> Response {
    let passed = judge(&served, &name, &headers, &uri);
    let taken = async {
        refuse_stranger(&passed, &name)?;
        // Before a byte of the body is read.
        let inlet = served.enter(&headers, client, Act::Write)?;
        let stream = inlet.stream(&name)?;
        let request = Take { inlet: &inlet, bodies: &served.bodies, stream: &stream };
        let outcome = take(request, &headers, body, asked.results).await?;
        let wait = outcome.wait();
        let mut answer = Json(Answer::of(outcome)).into_response();
        if let Some(wait) = wait {
            answer.headers_mut().insert(header::RETRY_AFTER, fault::retry_after(wait));
        }
        Ok::<_, HttpFault>(answer)
    };
    let answer = taken.await.unwrap_or_else(IntoResponse::into_response);
    answer_page(&passed, false, answer)
}

/// Judges the page that sends a request, if a page does.
pub(crate) fn judge(served: &Served, stream: &str, headers: &HeaderMap, uri: &Uri) -> Passed {
    let origins = served.inlet.origins(stream);
    origins.judge(headers, uri.authority().map(Authority::as_str))
}

/// Refuses pages of other sites: a page can make a browser send to an address only it can reach.
pub(crate) fn refuse_stranger(passed: &Passed, stream: &str) -> Result<(), HttpFault> {
    match passed {
        Passed::Stranger(origin) => {
            let stream = stream.chars().take(base::limits::NAME_BYTES_MAX).collect();
            Err(HttpFault::Stranger { origin: origin.clone(), stream })
        }
        Passed::Ours | Passed::Named(_) => Ok(()),
    }
}

/// Lets the page that sent a request read its answer.
pub(crate) fn answer_page(
    passed: &Passed,
    with_credentials: bool,
    mut answer: Response,
) -> Response {
    if let Passed::Named(origin) = passed {
        cors::tell(origin, with_credentials, answer.headers_mut());
    }
    answer
}

/// `OPTIONS`: what a browser asks before it lets a page send.
pub(crate) async fn preflight(
    State(served): State<Served>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let passed = judge(&served, &name, &headers, &uri);
    if let Err(fault) = refuse_stranger(&passed, &name) {
        return fault.into_response();
    }
    let mut answer = StatusCode::NO_CONTENT.into_response();
    if let Passed::Named(origin) = &passed {
        let is_beacon = uri.path().ends_with("/beacon");
        cors::tell_before(origin, is_beacon, answer.headers_mut());
    }
    answer
}

/// Where the records of a request go.
#[derive(Clone, Copy)]
pub(crate) struct Take<'a> {
    pub(crate) inlet: &'a Inlet,
    pub(crate) bodies: &'a Bodies,
    pub(crate) stream: &'a Stream,
}

pub(crate) async fn take(
    Take { inlet, bodies, stream }: Take<'_>,
    headers: &HeaderMap,
    body: Body,
    wants_each: bool,
) -> Result<Outcome, HttpFault> {
    let refused = |fault: HttpFault| {
        stream.refuse(NAME);
        fault
    };
    let taken = bodies.take(headers, body).await.map_err(|it| refused(it.into()))?;
    let text = |name: &str| headers.get(name).map(|it| it.to_str().unwrap_or_default());
    let form = Form::of(text(header::CONTENT_TYPE.as_str()));
    let records = split(&taken.bytes, form).map_err(|it| refused(it.into()))?;
    // A request that may come again with the same key is taken whole or not at all: its repetition
    // is answered like the first, and records left out then would be lost.
    let is_repeatable = text("idempotency-key").is_some();
    let mut batch = if wants_each && !is_repeatable {
        inlet.batch_of_each(&stream.name, NAME, taken.bytes.len())?
    } else {
        inlet.batch(&stream.name, NAME, taken.bytes.len())?
    };
    let mut each = wants_each.then(Vec::new);
    for record in records {
        let pushed = batch.admit(Cost { records: 1, bytes: record.len() });
        match (pushed.and_then(|()| batch.push(None, record)), &mut each) {
            (Ok(()), Some(each)) => each.push(Ok(())),
            (Ok(()), None) => {}
            (Err(refusal), Some(each)) if is_of_record(&refusal) => each.push(Err(refusal)),
            (Err(refusal), _) => return Err(refusal.into()),
        }
    }
    if let Some(each) = &mut each {
        check_any(each).map_err(|it| refused(it.into()))?;
    }
    // What the journal needs is in the batch: the body's memory is free while the disk works.
    drop(taken);
    let mut accepted = inlet.write(&mut batch, text("idempotency-key")).await?;
    accepted.parts.sort_unstable_by_key(|it| it.shard);
    let mut slots = batch.slots.iter();
    let each = each.map(|each| {
        let each = each.into_iter();
        each.map(|it| it.map(|()| slots.next().copied().unwrap_or_default())).collect()
    });
    Ok(Outcome { accepted, stream: Arc::clone(&batch.stream), each })
}

/// Whether only the record is not taken, not the request.
fn is_of_record(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::RecordTooLarge { .. } | Refusal::KeyTooLong { .. } | Refusal::Limited { .. }
    )
}

/// If there is room for no record at all, that is what is answered.
fn check_any(each: &mut Vec<Result<(), Refusal>>) -> Result<(), Refusal> {
    let is_limited = |it: &Result<(), Refusal>| matches!(it, Err(Refusal::Limited { .. }));
    if each.iter().all(is_limited) { each.drain(..).next().unwrap_or(Ok(())) } else { Ok(()) }
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
pub(crate) async fn get_streams(
    State(served): State<Served>,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, HttpFault> {
    let inlet = served.enter(&headers, client, Act::Read)?;
    let streams = inlet.streams();
    let streams = streams.iter().map(|it| describe(&inlet, it));
    let streams = streams.collect::<Result<Vec<_>, _>>()?;
    Ok(Json(StreamsAnswer { streams }).into_response())
}

/// `GET /v1/streams/{name}`
pub(crate) async fn get_stream(
    State(served): State<Served>,
    client: Client,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, HttpFault> {
    let inlet = served.enter(&headers, client, Act::Read)?;
    let stream = inlet.stream(&name)?;
    Ok(Json(describe(&inlet, &stream)?).into_response())
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
