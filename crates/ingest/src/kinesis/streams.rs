//! `CreateStream`, `DescribeStream`, `DescribeStreamSummary`, `ListStreams`, `ListShards`.

use std::sync::Arc;

use base::{Name, SequenceNumber, limits};
use base64::Engine as _;
use journal::{ShardInfo, StreamInfo, StreamSettings};
use serde::{Deserialize, Serialize};

use super::sequence::{self, Numbering};
use crate::aws::Call;
use crate::aws::fault::{ACCOUNT, Fault};
use crate::aws::validate::Constraints;
use crate::aws::wire::{BASE64, Moment};
use crate::inlet::{Intake, Stream};

/// The region of every resource; SDKs want one in an ARN.
const REGION: &str = "us-east-1";

/// How a request names its stream.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    name: Option<&'a str>,
    arn: Option<&'a str>,
}

impl<'a> Target<'a> {
    pub(crate) fn new(name: Option<&'a str>, arn: Option<&'a str>) -> Target<'a> {
        Target { name, arn }
    }
}

/// Returns the name of the stream that is meant; what is wrong with it goes to `constraints`.
pub(crate) fn name_of(target: Target<'_>, constraints: &mut Constraints) -> Option<String> {
    if let Some(name) = target.name {
        constraints.stream_name(name);
        return Some(name.to_owned());
    }
    let Some(arn) = target.arn else {
        constraints.required(target.name.as_ref(), "streamName");
        return None;
    };
    let name = arn.strip_prefix("arn:aws").and_then(|rest| rest.split_once(":stream/"));
    match name {
        Some((head, name)) if head.contains(":kinesis:") && !name.is_empty() => {
            Some(name.to_owned())
        }
        _ => {
            let constraint = "satisfy regular expression pattern: \
                              arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+";
            constraints.fail(format!("'{arn:.300}'"), "streamARN", constraint);
            None
        }
    }
}

/// Returns the stream of that name.
pub(crate) fn stream_named(call: Call<'_>, name: &str) -> Result<Arc<Stream>, Fault> {
    call.inlet.stream(name).map_err(|refusal| Fault::of(&refusal, name))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateStream {
    stream_name: Option<String>,
    shard_count: Option<i64>,
    stream_mode_details: Option<StreamModeDetails>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StreamModeDetails {
    stream_mode: String,
}

impl StreamModeDetails {
    fn provisioned() -> StreamModeDetails {
        StreamModeDetails { stream_mode: "PROVISIONED".to_owned() }
    }
}

/// What AWS gives a stream in on-demand mode.
const SHARDS_ON_DEMAND: i64 = 4;

pub(crate) async fn create(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: CreateStream = call.read()?;
    let mut constraints = Constraints::default();
    let target = Target::new(request.stream_name.as_deref(), None);
    let name = name_of(target, &mut constraints);
    let mode = request.stream_mode_details.as_ref().map(|it| it.stream_mode.as_str());
    if let Some(mode) = mode {
        let member = "streamModeDetails.streamMode";
        constraints.one_of(mode, member, &["PROVISIONED", "ON_DEMAND"]);
    }
    let is_on_demand = mode == Some("ON_DEMAND");
    let shards = request.shard_count.or(if is_on_demand { Some(SHARDS_ON_DEMAND) } else { None });
    constraints.required(shards.as_ref(), "shardCount");
    if let Some(shards) = shards {
        constraints.range(shards, "shardCount", 1..=i64::MAX);
    }
    constraints.check()?;
    let shards = u32::try_from(shards.unwrap_or_default()).unwrap_or(u32::MAX);
    if limits::SHARDS_MAX < shards {
        let message = format!(
            "This request would exceed the shard limit for the account {ACCOUNT} in {REGION}. \
             Limit of a stream: {}. Number of additional shards that would have resulted from \
             this request: {shards}.",
            limits::SHARDS_MAX
        );
        return Err(Fault::new("LimitExceededException", message));
    }
    let name = name.unwrap_or_default();
    if call.inlet.stream(&name).is_ok() {
        return Err(Fault::stream_exists(&name));
    }
    let checked = Name::new(&name).map_err(|error| Fault::invalid_argument(error.to_string()))?;
    let settings = StreamSettings { shards, declared: false, ..StreamSettings::default() };
    let inlet = call.inlet.clone();
    // It is durable before it is answered.
    let made =
        tokio::task::spawn_blocking(move || inlet.declare(Intake::of_client(checked, settings)));
    let made = made.await.map_err(|_panicked: tokio::task::JoinError| Fault::internal())?;
    made.map_err(|refusal| Fault::of(&refusal, &name))?;
    Ok(Vec::new())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeStream {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    limit: Option<i64>,
    exclusive_start_shard_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeStreamAnswer {
    stream_description: StreamDescription,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamDescription {
    #[serde(flatten)]
    facts: Facts,
    has_more_shards: bool,
    shards: Vec<Shard>,
}

/// What every description has.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Facts {
    encryption_type: &'static str,
    enhanced_monitoring: [Monitoring; 1],
    retention_period_hours: u64,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    stream_creation_timestamp: Moment,
    stream_mode_details: StreamModeDetails,
    stream_name: String,
    stream_status: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Monitoring {
    shard_level_metrics: [&'static str; 0],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shard {
    hash_key_range: HashKeyRange,
    sequence_number_range: SequenceNumberRange,
    shard_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HashKeyRange {
    ending_hash_key: String,
    starting_hash_key: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SequenceNumberRange {
    starting_sequence_number: String,
}

impl Facts {
    fn of(info: &StreamInfo) -> Facts {
        Facts {
            encryption_type: "NONE",
            enhanced_monitoring: [Monitoring { shard_level_metrics: [] }],
            retention_period_hours: info.settings.replay.as_millis() / 3_600_000,
            stream_arn: arn_of(&info.name),
            stream_creation_timestamp: Moment(info.created_ms),
            stream_mode_details: StreamModeDetails::provisioned(),
            stream_name: info.name.to_string(),
            stream_status: "ACTIVE",
        }
    }
}

impl Shard {
    fn of(info: &StreamInfo, shard: &ShardInfo) -> Shard {
        let numbering = Numbering::of(info.id.0, shard.id);
        // A shard's numbers began at 0, whatever has expired since.
        let starting_sequence_number = numbering.number(SequenceNumber(0));
        Shard {
            hash_key_range: HashKeyRange {
                ending_hash_key: shard.hash_end.to_string(),
                starting_hash_key: shard.hash_start.to_string(),
            },
            sequence_number_range: SequenceNumberRange { starting_sequence_number },
            shard_id: numbering.shard_id,
        }
    }
}

fn arn_of(name: &str) -> String {
    format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{name}")
}

fn info_of(call: Call<'_>, stream: &Stream) -> Result<StreamInfo, Fault> {
    let info = call.inlet.journal().stream_info(stream.id);
    info.map_err(|error| Fault::of(&error.into(), &stream.name))
}

pub(crate) fn describe(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: DescribeStream = call.read()?;
    let mut constraints = Constraints::default();
    let target = Target::new(request.stream_name.as_deref(), request.stream_arn.as_deref());
    let name = name_of(target, &mut constraints);
    if let Some(limit) = request.limit {
        constraints.range(limit, "limit", 1..=10_000);
    }
    constraints.check()?;
    let stream = stream_named(call, &name.unwrap_or_default())?;
    let info = info_of(call, &stream)?;
    let page = page_of_shards(&info, request.exclusive_start_shard_id.as_deref(), request.limit)?;
    let (shards, has_more_shards) = page;
    let stream_description = StreamDescription { facts: Facts::of(&info), has_more_shards, shards };
    call.write(&DescribeStreamAnswer { stream_description })
}

/// As many shards in one answer as AWS gives without a limit.
const SHARDS_PAGE: i64 = 1_000;

/// Returns the shards after `after`, and whether there are more.
fn page_of_shards(
    info: &StreamInfo,
    after: Option<&str>,
    limit: Option<i64>,
) -> Result<(Vec<Shard>, bool), Fault> {
    let after = match after {
        None => None,
        Some(text) => Some(sequence::read_shard_id(text).ok_or_else(|| {
            Fault::invalid_argument(format!("ShardId {text:.100} is not the id of a shard."))
        })?),
    };
    let limit = usize::try_from(limit.unwrap_or(SHARDS_PAGE)).unwrap_or(0);
    let mut rest = info.shards.iter().filter(|shard| after.is_none_or(|after| after < shard.id));
    let shards: Vec<Shard> = rest.by_ref().take(limit).map(|it| Shard::of(info, it)).collect();
    Ok((shards, rest.next().is_some()))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeStreamSummaryAnswer {
    stream_description_summary: StreamDescriptionSummary,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamDescriptionSummary {
    #[serde(flatten)]
    facts: Facts,
    consumer_count: u32,
    open_shard_count: usize,
}

pub(crate) fn describe_summary(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: DescribeStream = call.read()?;
    let mut constraints = Constraints::default();
    let target = Target::new(request.stream_name.as_deref(), request.stream_arn.as_deref());
    let name = name_of(target, &mut constraints);
    constraints.check()?;
    let stream = stream_named(call, &name.unwrap_or_default())?;
    let info = info_of(call, &stream)?;
    let summary = StreamDescriptionSummary {
        facts: Facts::of(&info),
        consumer_count: 0,
        open_shard_count: info.shards.len(),
    };
    call.write(&DescribeStreamSummaryAnswer { stream_description_summary: summary })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListStreams {
    limit: Option<i64>,
    exclusive_start_stream_name: Option<String>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListStreamsAnswer {
    has_more_streams: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    stream_names: Vec<String>,
    stream_summaries: Vec<StreamSummary>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamSummary {
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    stream_creation_timestamp: Moment,
    stream_mode_details: StreamModeDetails,
    stream_name: String,
    stream_status: &'static str,
}

/// As many streams in one answer as AWS gives without a limit.
const STREAMS_PAGE: i64 = 100;

pub(crate) fn list(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: ListStreams = call.read()?;
    let mut constraints = Constraints::default();
    if let Some(limit) = request.limit {
        constraints.range(limit, "limit", 1..=10_000);
    }
    constraints.check()?;
    let after = match (&request.next_token, request.exclusive_start_stream_name) {
        (Some(token), _) => Some(read_token(token)?),
        (None, after) => after,
    };
    let limit = usize::try_from(request.limit.unwrap_or(STREAMS_PAGE)).unwrap_or(0);
    let streams = call.inlet.streams();
    let mut rest = streams
        .iter()
        .filter(|stream| after.as_deref().is_none_or(|after| after < stream.name.as_str()));
    let mut names = Vec::new();
    let mut summaries = Vec::new();
    for stream in rest.by_ref().take(limit) {
        let info = info_of(call, stream)?;
        names.push(stream.name.to_string());
        summaries.push(StreamSummary {
            stream_arn: arn_of(&stream.name),
            stream_creation_timestamp: Moment(info.created_ms),
            stream_mode_details: StreamModeDetails::provisioned(),
            stream_name: stream.name.to_string(),
            stream_status: "ACTIVE",
        });
    }
    let has_more_streams = rest.next().is_some();
    let last = names.last().filter(|_| has_more_streams);
    call.write(&ListStreamsAnswer {
        has_more_streams,
        next_token: last.map(|it| BASE64.encode(it)),
        stream_names: names,
        stream_summaries: summaries,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListShards {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    next_token: Option<String>,
    exclusive_start_shard_id: Option<String>,
    max_results: Option<i64>,
    shard_filter: Option<ShardFilter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ShardFilter {
    #[serde(rename = "Type")]
    kind: Option<String>,
    shard_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListShardsAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    shards: Vec<Shard>,
}

const FILTERS: &[&str] = &[
    "AFTER_SHARD_ID",
    "AT_TRIM_HORIZON",
    "FROM_TRIM_HORIZON",
    "AT_LATEST",
    "AT_TIMESTAMP",
    "FROM_TIMESTAMP",
];

pub(crate) fn list_shards(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: ListShards = call.read()?;
    let mut constraints = Constraints::default();
    if let Some(limit) = request.max_results {
        constraints.range(limit, "maxResults", 1..=10_000);
    }
    let filter = request.shard_filter.as_ref();
    if let Some(filter) = filter {
        constraints.required(filter.kind.as_ref(), "shardFilter.type");
        if let Some(kind) = &filter.kind {
            constraints.one_of(kind, "shardFilter.type", FILTERS);
        }
    }
    let target = Target::new(request.stream_name.as_deref(), request.stream_arn.as_deref());
    let (name, after) = match &request.next_token {
        None => {
            let name = name_of(target, &mut constraints);
            (name, request.exclusive_start_shard_id.clone())
        }
        Some(token) => {
            let text = read_token(token)?;
            let (shard, name) = text.split_once(':').ok_or_else(wrong_token)?;
            // AWS refuses a name beside a token, though boto3's own paginator sends both.
            if target.name.is_some_and(|it| it != name) {
                return Err(wrong_token());
            }
            (Some(name.to_owned()), Some(shard.to_owned()))
        }
    };
    constraints.check()?;
    // Shards never close, so that the other filters leave them all.
    let after_filtered = filter
        .filter(|it| it.kind.as_deref() == Some("AFTER_SHARD_ID"))
        .and_then(|it| it.shard_id.clone());
    let stream = stream_named(call, &name.unwrap_or_default())?;
    let info = info_of(call, &stream)?;
    let after = after.or(after_filtered);
    let (shards, has_more) = page_of_shards(&info, after.as_deref(), request.max_results)?;
    let last = shards.last().filter(|_| has_more);
    let next_token = last.map(|it| BASE64.encode(format!("{}:{}", it.shard_id, info.name)));
    call.write(&ListShardsAnswer { next_token, shards })
}

fn wrong_token() -> Fault {
    Fault::new("InvalidArgumentException", "Invalid NextToken.")
}

fn read_token(token: &str) -> Result<String, Fault> {
    let bytes = BASE64.decode(token).map_err(|_not_ours: base64::DecodeError| wrong_token())?;
    String::from_utf8(bytes).map_err(|_not_ours| wrong_token())
}
