//! `CreateStream`, `DeleteStream`, `DescribeStream`, `DescribeStreamSummary`, `ListStreams`.

use std::collections::BTreeMap;

use base::{Name, limits};
use base64::Engine as _;
use journal::{StreamInfo, StreamSettings};
use serde::{Deserialize, Serialize};

use super::shards::{Shard, page_of_shards, read_token, too_many_shards};
use super::state::State;
use super::tags::check_tags;
use super::target::{Target, arn_of, blocking, info_of, name_of};
use crate::aws::Call;
use crate::aws::fault::{ACCOUNT, Fault};
use crate::aws::validate::Constraints;
use crate::aws::wire::{BASE64, Moment};
use crate::inlet::{Intake, Stream};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateStream {
    stream_name: Option<String>,
    shard_count: Option<i64>,
    stream_mode_details: Option<StreamModeDetails>,
    tags: Option<BTreeMap<String, String>>,
    warm_throughput_mi_bps: Option<i64>,
    #[serde(rename = "MaxRecordSizeInKiB")]
    max_record_size: Option<i64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StreamModeDetails {
    pub(super) stream_mode: String,
}

pub(super) const MODES: &[&str] = &["PROVISIONED", "ON_DEMAND"];

impl StreamModeDetails {
    fn of(info: &StreamInfo) -> StreamModeDetails {
        let mode = if info.settings.on_demand { "ON_DEMAND" } else { "PROVISIONED" };
        StreamModeDetails { stream_mode: mode.to_owned() }
    }
}

pub(super) async fn create(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: CreateStream = call.read()?;
    let mut constraints = Constraints::default();
    let target = Target::new(request.stream_name.as_deref(), None);
    let name = name_of(target, &mut constraints);
    let mode = request.stream_mode_details.as_ref().map(|it| it.stream_mode.as_str());
    if let Some(mode) = mode {
        constraints.one_of(mode, "streamModeDetails.streamMode", MODES);
    }
    let on_demand = mode == Some("ON_DEMAND");
    let first = on_demand.then_some(i64::from(limits::ON_DEMAND_SHARDS_MIN));
    let shards = request.shard_count.or(first);
    constraints.required(shards.as_ref(), "shardCount");
    if let Some(shards) = shards {
        constraints.range(shards, "shardCount", 1..=i64::MAX);
    }
    if let Some(size) = request.max_record_size {
        super::settings::check_record_size(size, &mut constraints);
    }
    let warm_mibps = super::settings::check_warm(request.warm_throughput_mi_bps, &mut constraints);
    constraints.check()?;
    let tags = request.tags.unwrap_or_default();
    check_tags(&tags)?;
    let shards = u32::try_from(shards.unwrap_or_default()).unwrap_or(u32::MAX);
    if limits::SHARDS_MAX < shards {
        return Err(too_many_shards(u64::from(shards)));
    }
    let name = name.unwrap_or_default();
    if call.inlet.stream(&name).is_ok() {
        return Err(Fault::stream_exists(&name));
    }
    let checked = Name::new(&name).map_err(|error| Fault::invalid_argument(error.to_string()))?;
    let settings = StreamSettings {
        shards: shards.max(if on_demand { warm_mibps.unwrap_or(0) } else { 0 }),
        on_demand,
        declared: false,
        ..StreamSettings::default()
    };
    let inlet = call.inlet.clone();
    // It is durable before it is answered.
    let made = blocking(move || inlet.declare(Intake::of_client(checked, settings))).await?;
    made.map_err(|refusal| Fault::of(&refusal, &name))?;
    if !tags.is_empty() || warm_mibps.is_some() {
        let stream = super::target::stream_named(call, &name)?;
        let change = move |state: &mut State| {
            (state.tags, state.warm_mibps) = (tags, warm_mibps);
            Ok(())
        };
        State::change(call, &stream, change).await?;
    }
    Ok(Vec::new())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeleteStream {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    enforce_consumer_deletion: Option<bool>,
}

pub(super) async fn delete(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: DeleteStream = call.read()?;
    let target = Target::new(request.stream_name.as_deref(), request.stream_arn.as_deref());
    let stream = target.find(call, Constraints::default())?;
    refuse_declared(&stream, "take its section out of the project and apply the change")?;
    let has_consumers = !State::of(call, &stream)?.consumers.is_empty();
    if has_consumers && request.enforce_consumer_deletion != Some(true) {
        let message = format!(
            "Stream {} under account {ACCOUNT} has at least one registered consumer. Deregister \
             all consumers, or set EnforceConsumerDeletion.",
            stream.name
        );
        return Err(Fault::new("ResourceInUseException", message));
    }
    let (inlet, name) = (call.inlet.clone(), stream.name.clone());
    let deleted = blocking(move || inlet.delete(&stream)).await?;
    deleted.map_err(|refusal| Fault::of(&refusal, &name))?;
    Ok(Vec::new())
}

/// What the project says of a stream, no client may change; `help` is what would change it.
pub(super) fn refuse_declared(stream: &Stream, help: &str) -> Result<(), Fault> {
    if !stream.is_declared {
        return Ok(());
    }
    let message = format!(
        "Stream {} under account {ACCOUNT} is declared by the project: {help}.",
        stream.name
    );
    Err(Fault::new("ResourceInUseException", message))
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
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
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
    shard_level_metrics: Vec<String>,
}

impl Facts {
    fn of(info: &StreamInfo, state: State) -> Facts {
        Facts {
            encryption_type: if state.key_id.is_some() { "KMS" } else { "NONE" },
            enhanced_monitoring: [Monitoring { shard_level_metrics: state.metrics }],
            key_id: state.key_id,
            retention_period_hours: info.settings.replay.as_millis() / 3_600_000,
            stream_arn: arn_of(&info.name),
            stream_creation_timestamp: Moment(info.created_ms),
            stream_mode_details: StreamModeDetails::of(info),
            stream_name: info.name.to_string(),
            stream_status: "ACTIVE",
        }
    }
}

pub(super) fn describe(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: DescribeStream = call.read()?;
    let mut constraints = Constraints::default();
    if let Some(limit) = request.limit {
        constraints.range(limit, "limit", 1..=10_000);
    }
    let target = Target::new(request.stream_name.as_deref(), request.stream_arn.as_deref());
    let stream = target.find(call, constraints)?;
    let info = info_of(call, &stream)?;
    let after = request.exclusive_start_shard_id.as_deref();
    let (shards, has_more_shards) = page_of_shards(&info, after, request.limit, |_| true)?;
    let facts = Facts::of(&info, State::of(call, &stream)?);
    let stream_description = StreamDescription { facts, has_more_shards, shards };
    call.write(&DescribeStreamAnswer { stream_description })
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
    consumer_count: usize,
    #[serde(rename = "MaxRecordSizeInKiB")]
    max_record_size: u64,
    open_shard_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    warm_throughput: Option<WarmThroughput>,
}

/// What an on-demand stream is ready for.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WarmThroughput {
    #[serde(rename = "CurrentMiBps")]
    current: usize,
    #[serde(rename = "TargetMiBps")]
    target: u32,
}

impl WarmThroughput {
    pub(super) fn of(info: &StreamInfo, state: &State) -> WarmThroughput {
        let target = state.warm_mibps.unwrap_or(limits::ON_DEMAND_SHARDS_MIN);
        WarmThroughput { current: info.open_shards().count(), target }
    }
}

pub(super) fn describe_summary(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: DescribeStream = call.read()?;
    let target = Target::new(request.stream_name.as_deref(), request.stream_arn.as_deref());
    let stream = target.find(call, Constraints::default())?;
    let info = info_of(call, &stream)?;
    let state = State::of(call, &stream)?;
    let warm = info.settings.on_demand.then(|| WarmThroughput::of(&info, &state));
    let summary = StreamDescriptionSummary {
        consumer_count: state.consumers.len(),
        max_record_size: super::settings::RECORD_KIB_MAX,
        open_shard_count: info.open_shards().count(),
        warm_throughput: warm,
        facts: Facts::of(&info, state),
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

pub(super) fn list(call: Call<'_>) -> Result<Vec<u8>, Fault> {
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
        // One that is deleted meanwhile is left out.
        let Ok(info) = info_of(call, stream) else { continue };
        names.push(stream.name.to_string());
        summaries.push(StreamSummary {
            stream_arn: arn_of(&stream.name),
            stream_creation_timestamp: Moment(info.created_ms),
            stream_mode_details: StreamModeDetails::of(&info),
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
