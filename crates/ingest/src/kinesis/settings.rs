//! What can be set on a stream, and what there is for the account.

use std::sync::Arc;

use base::{Span, limits};
use journal::{StreamInfo, StreamSettings};
use serde::{Deserialize, Serialize};

use super::state::State;
use super::streams::{MODES, StreamModeDetails, WarmThroughput, refuse_declared};
use super::target::{Resource, Target, arn_of, blocking, info_of, resource_of, stream_named};
use crate::aws::Call;
use crate::aws::fault::{ACCOUNT, Fault};
use crate::aws::validate::Constraints;
use crate::inlet::Stream;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfStream {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    retention_period_hours: Option<i64>,
    shard_level_metrics: Option<Vec<String>>,
    encryption_type: Option<String>,
    key_id: Option<String>,
    stream_mode_details: Option<StreamModeDetails>,
    warm_throughput_mi_bps: Option<i64>,
    #[serde(rename = "MaxRecordSizeInKiB")]
    max_record_size: Option<i64>,
}

impl OfStream {
    fn find(&self, call: Call<'_>, constraints: Constraints) -> Result<Arc<Stream>, Fault> {
        let target = Target::new(self.stream_name.as_deref(), self.stream_arn.as_deref());
        target.find(call, constraints)
    }
}

async fn update(
    call: Call<'_>,
    stream: &Arc<Stream>,
    settings: StreamSettings,
) -> Result<(), Fault> {
    let (journal, id) = (call.inlet.journal().clone(), stream.id);
    let updated = blocking(move || journal.update_stream(id, settings)).await?;
    updated.map_err(|error| Fault::of(&error.into(), &stream.name))
}

const HOURS_MIN: i64 = 24;
/// A year, as with AWS.
const HOURS_MAX: i64 = 8_760;

async fn set_retention(
    call: Call<'_>,
    check: impl FnOnce(i64, i64, &str) -> Option<String>,
) -> Result<Vec<u8>, Fault> {
    let request: OfStream = call.read()?;
    let mut constraints = Constraints::default();
    constraints.required(request.retention_period_hours.as_ref(), "retentionPeriodHours");
    let stream = request.find(call, constraints)?;
    let hours = request.retention_period_hours.unwrap_or_default();
    let out_of_range = |what: &str, limit: i64, how: &str| {
        format!(
            "{what} allowed retention period is {limit} hours. Requested retention period \
             ({hours} hours) is too {how}."
        )
    };
    if hours < HOURS_MIN {
        return Err(Fault::invalid_argument(out_of_range("Minimum", HOURS_MIN, "short")));
    }
    if HOURS_MAX < hours {
        return Err(Fault::invalid_argument(out_of_range("Maximum", HOURS_MAX, "long")));
    }
    let info = info_of(call, &stream)?;
    let now = i64::try_from(info.settings.replay.as_millis() / 3_600_000).unwrap_or(i64::MAX);
    if let Some(message) = check(hours, now, &stream.name) {
        return Err(Fault::invalid_argument(message));
    }
    refuse_declared(&stream, "change `replay` of its section")?;
    let hours = u64::try_from(hours).unwrap_or_default();
    let replay = Span::from_millis(hours * 3_600_000);
    update(call, &stream, StreamSettings { replay, ..info.settings }).await?;
    Ok(Vec::new())
}

pub(super) async fn increase_retention(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    set_retention(call, |hours, now, name| {
        (hours < now).then(|| {
            format!(
                "Requested retention period ({hours} hours) for stream {name} can not be shorter \
                 than existing retention period ({now} hours). Use DecreaseRetentionPeriod API."
            )
        })
    })
    .await
}

pub(super) async fn decrease_retention(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    set_retention(call, |hours, now, name| {
        (now < hours).then(|| {
            format!(
                "Requested retention period ({hours} hours) for stream {name} can not be longer \
                 than existing retention period ({now} hours). Use IncreaseRetentionPeriod API."
            )
        })
    })
    .await
}

const METRICS: &[&str] = &[
    "IncomingBytes",
    "IncomingRecords",
    "OutgoingBytes",
    "OutgoingRecords",
    "WriteProvisionedThroughputExceeded",
    "ReadProvisionedThroughputExceeded",
    "IteratorAgeMilliseconds",
];
const ALL: &str = "ALL";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MonitoringAnswer {
    current_shard_level_metrics: Vec<String>,
    desired_shard_level_metrics: Vec<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    stream_name: String,
}

async fn set_metrics(
    call: Call<'_>,
    change: impl FnOnce(&[String], &[String]) -> Vec<String> + Send + 'static,
) -> Result<Vec<u8>, Fault> {
    let request: OfStream = call.read()?;
    let mut constraints = Constraints::default();
    constraints.required(request.shard_level_metrics.as_ref(), "shardLevelMetrics");
    let named = request.shard_level_metrics.clone().unwrap_or_default();
    if request.shard_level_metrics.is_some() {
        constraints.count(named.len(), "shardLevelMetrics", 1..=7);
    }
    let allowed: Vec<&str> = METRICS.iter().copied().chain([ALL]).collect();
    for metric in &named {
        constraints.one_of(metric, "shardLevelMetrics.member", &allowed);
    }
    let stream = request.find(call, constraints)?;
    let named = if named.iter().any(|it| it == ALL) {
        METRICS.iter().map(|it| (*it).to_owned()).collect()
    } else {
        named
    };
    let (current, desired) = State::change(call, &stream, move |state| {
        let desired = change(&state.metrics, &named);
        Ok((std::mem::replace(&mut state.metrics, desired.clone()), desired))
    })
    .await?;
    call.write(&MonitoringAnswer {
        current_shard_level_metrics: current,
        desired_shard_level_metrics: desired,
        stream_arn: arn_of(&stream.name),
        stream_name: stream.name.to_string(),
    })
}

pub(super) async fn enable_monitoring(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    set_metrics(call, |now, named| {
        let is_on = |it: &&&str| now.iter().chain(named).any(|metric| metric == **it);
        METRICS.iter().filter(is_on).map(|it| (*it).to_owned()).collect()
    })
    .await
}

pub(super) async fn disable_monitoring(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    set_metrics(call, |now, named| now.iter().filter(|it| !named.contains(it)).cloned().collect())
        .await
}

async fn set_key(
    call: Call<'_>,
    key_of: impl FnOnce(String) -> Option<String>,
) -> Result<(), Fault> {
    let request: OfStream = call.read()?;
    let mut constraints = Constraints::default();
    constraints.required(request.encryption_type.as_ref(), "encryptionType");
    if let Some(kind) = &request.encryption_type {
        constraints.one_of(kind, "encryptionType", &["NONE", "KMS"]);
    }
    constraints.required(request.key_id.as_ref(), "keyId");
    if let Some(key) = &request.key_id {
        constraints.length(key, "keyId", 1..=2_048);
    }
    let stream = request.find(call, constraints)?;
    if request.encryption_type.as_deref() != Some("KMS") {
        return Err(Fault::invalid_argument("EncryptionType must be KMS."));
    }
    let key_id = key_of(request.key_id.unwrap_or_default());
    if key_id.is_some() {
        tracing::warn!(
            stream = %stream.name,
            "a client asked to encrypt the stream: that is told back, but the journal is as \
             encrypted as the disk it lies on"
        );
    }
    State::change(call, &stream, move |state| {
        state.key_id = key_id;
        Ok(())
    })
    .await
}

pub(super) async fn start_encryption(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    set_key(call, Some).await.map(|()| Vec::new())
}

pub(super) async fn stop_encryption(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    set_key(call, |_| None).await.map(|()| Vec::new())
}

pub(super) async fn set_mode(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: OfStream = call.read()?;
    let mut constraints = Constraints::default();
    constraints.required(request.stream_arn.as_ref(), "streamARN");
    let mode = request.stream_mode_details.as_ref().map(|it| it.stream_mode.as_str());
    constraints.required(mode, "streamModeDetails");
    if let Some(mode) = mode {
        constraints.one_of(mode, "streamModeDetails.streamMode", MODES);
    }
    let warm_mibps = check_warm(request.warm_throughput_mi_bps, &mut constraints);
    constraints.check()?;
    let stream = request.find(call, Constraints::default())?;
    refuse_declared(&stream, "change `shards` of its section, which may be \"auto\"")?;
    let info = info_of(call, &stream)?;
    let on_demand = mode == Some("ON_DEMAND");
    if info.settings.on_demand != on_demand {
        // The number of shards stays what it is: it is noted first, while nothing follows from it.
        let open = u32::try_from(info.open_shards().count()).unwrap_or(u32::MAX);
        let noted = StreamSettings { on_demand: true, shards: open, ..info.settings };
        update(call, &stream, noted).await?;
        update(call, &stream, StreamSettings { on_demand, ..noted }).await?;
    }
    if let Some(mibps) = warm_mibps.filter(|_| on_demand) {
        warm(call, &stream, mibps).await?;
    }
    Ok(Vec::new())
}

/// Checks what an on-demand stream is to be ready for; what is wrong goes to `constraints`.
pub(super) fn check_warm(mibps: Option<i64>, constraints: &mut Constraints) -> Option<u32> {
    let mibps = mibps?;
    constraints.range(mibps, "warmThroughputMiBps", 0..=i64::from(limits::ON_DEMAND_SHARDS_MAX));
    u32::try_from(mibps).ok().filter(|it| 0 < *it)
}

/// Makes a stream ready for `mibps` MiB a second: a shard each.
async fn warm(call: Call<'_>, stream: &Arc<Stream>, mibps: u32) -> Result<(), Fault> {
    let change = move |state: &mut State| {
        state.warm_mibps = Some(mibps);
        Ok(())
    };
    State::change(call, stream, change).await?;
    let (inlet, of) = (call.inlet.clone(), Arc::clone(stream));
    let more = move || {
        inlet.reshard(&of, |draft| {
            let open = u32::try_from(draft.open().len()).unwrap_or(u32::MAX);
            if open < mibps { draft.scale_to(mibps) } else { Ok(()) }
        })
    };
    blocking(more).await?.map_err(|refusal| Fault::of(&refusal, &stream.name))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WarmAnswer {
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    stream_name: String,
    warm_throughput: WarmThroughput,
}

pub(super) async fn set_warm(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: OfStream = call.read()?;
    let mut constraints = Constraints::default();
    constraints.required(request.warm_throughput_mi_bps.as_ref(), "warmThroughputMiBps");
    let mibps = check_warm(request.warm_throughput_mi_bps, &mut constraints);
    let stream = request.find(call, constraints)?;
    if !info_of(call, &stream)?.settings.on_demand {
        let message = format!(
            "Request is invalid. Stream {} under account {ACCOUNT} is not in On-Demand mode.",
            stream.name
        );
        return Err(Fault::new("ValidationException", message));
    }
    warm(call, &stream, mibps.unwrap_or(limits::ON_DEMAND_SHARDS_MIN)).await?;
    let warm_throughput = WarmThroughput::of(&info_of(call, &stream)?, &State::of(call, &stream)?);
    call.write(&WarmAnswer {
        stream_arn: arn_of(&stream.name),
        stream_name: stream.name.to_string(),
        warm_throughput,
    })
}

/// The largest record of any stream, in KiB.
pub(super) const RECORD_KIB_MAX: u64 = (limits::RECORD_BYTES_MAX >> 10) as u64;

pub(super) fn check_record_size(kib: i64, constraints: &mut Constraints) {
    let max = i64::try_from(RECORD_KIB_MAX).unwrap_or(i64::MAX);
    constraints.range(kib, "maxRecordSizeInKiB", max..=max);
}

pub(super) fn set_record_size(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: OfStream = call.read()?;
    let mut constraints = Constraints::default();
    constraints.required(request.max_record_size.as_ref(), "maxRecordSizeInKiB");
    if let Some(size) = request.max_record_size {
        check_record_size(size, &mut constraints);
    }
    request.find(call, constraints)?;
    Ok(Vec::new())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfPolicy {
    #[serde(rename = "ResourceARN")]
    resource_arn: Option<String>,
    policy: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PolicyAnswer {
    policy: String,
}

/// Whose policy a request is about: a stream, or a consumer of it by name.
type Owner = (Arc<Stream>, Option<String>);

impl OfPolicy {
    fn find(&self, call: Call<'_>, mut constraints: Constraints) -> Result<Owner, Fault> {
        let resource = resource_of(self.resource_arn.as_deref(), &mut constraints);
        constraints.check()?;
        let resource = resource.ok_or_else(Fault::internal)?;
        let stream = stream_named(call, resource.stream())?;
        let Resource::Consumer { name, created_s, .. } = resource else {
            return Ok((stream, None));
        };
        super::consumers::find(call, &stream, name, Some(created_s))?;
        Ok((stream, Some(name.to_owned())))
    }
}

fn policy_of<'a>(state: &'a mut State, consumer: Option<&str>) -> Option<&'a mut Option<String>> {
    match consumer {
        None => Some(&mut state.policy),
        Some(name) => {
            state.consumers.iter_mut().find(|it| it.name == name).map(|it| &mut it.policy)
        }
    }
}

async fn set_policy(
    call: Call<'_>,
    (stream, consumer): Owner,
    policy: Option<String>,
) -> Result<Vec<u8>, Fault> {
    State::change(call, &stream, move |state| {
        if let Some(kept) = policy_of(state, consumer.as_deref()) {
            *kept = policy;
        }
        Ok(())
    })
    .await?;
    Ok(Vec::new())
}

pub(super) async fn put_policy(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: OfPolicy = call.read()?;
    let mut constraints = Constraints::default();
    constraints.required(request.policy.as_ref(), "policy");
    let owner = request.find(call, constraints)?;
    let policy = request.policy.unwrap_or_default();
    let is_policy = serde_json::from_str::<serde_json::Map<_, _>>(&policy)
        .is_ok_and(|it: serde_json::Map<String, serde_json::Value>| it.contains_key("Statement"));
    if !is_policy || limits::KINESIS_POLICY_BYTES_MAX < policy.len() {
        return Err(Fault::invalid_argument(format!(
            "The policy must be a JSON object with a Statement, of at most {} bytes.",
            limits::KINESIS_POLICY_BYTES_MAX
        )));
    }
    set_policy(call, owner, Some(policy)).await
}

pub(super) async fn delete_policy(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: OfPolicy = call.read()?;
    let owner = request.find(call, Constraints::default())?;
    set_policy(call, owner, None).await
}

pub(super) fn get_policy(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: OfPolicy = call.read()?;
    let (stream, consumer) = request.find(call, Constraints::default())?;
    let mut state = State::of(call, &stream)?;
    let policy = policy_of(&mut state, consumer.as_deref()).and_then(Option::take);
    let policy = policy.ok_or_else(|| {
        let arn = request.resource_arn.as_deref().unwrap_or_default();
        let message = format!("Resource policy for {arn:.300} not found.");
        Fault::new("ResourceNotFoundException", message)
    })?;
    call.write(&PolicyAnswer { policy })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct LimitsAnswer {
    on_demand_stream_count: usize,
    on_demand_stream_count_limit: usize,
    open_shard_count: usize,
    shard_limit: usize,
}

/// More than AWS lets the number be.
const SHARD_LIMIT: usize = 1_000_000;

pub(super) fn describe_limits(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let streams: Vec<StreamInfo> =
        call.inlet.streams().iter().filter_map(|it| info_of(call, it).ok()).collect();
    let shards = limits::STREAMS_MAX.saturating_mul(limits::SHARDS_MAX as usize);
    call.write(&LimitsAnswer {
        on_demand_stream_count: streams.iter().filter(|it| it.settings.on_demand).count(),
        on_demand_stream_count_limit: limits::STREAMS_MAX,
        open_shard_count: streams.iter().map(|it| it.open_shards().count()).sum(),
        shard_limit: shards.min(SHARD_LIMIT),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AccountSettings {
    minimum_throughput_billing_commitment: Option<Commitment>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Commitment {
    status: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AccountAnswer {
    minimum_throughput_billing_commitment: Commitment,
}

pub(super) fn describe_account(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let commitment = Commitment { status: "DISABLED".to_owned() };
    call.write(&AccountAnswer { minimum_throughput_billing_commitment: commitment })
}

pub(super) fn update_account(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: AccountSettings = call.read()?;
    let mut constraints = Constraints::default();
    let commitment = request.minimum_throughput_billing_commitment;
    constraints.required(commitment.as_ref(), "minimumThroughputBillingCommitment");
    if let Some(commitment) = &commitment {
        let member = "minimumThroughputBillingCommitment.status";
        constraints.one_of(&commitment.status, member, &["ENABLED", "DISABLED"]);
    }
    constraints.check()?;
    if commitment.is_some_and(|it| it.status == "ENABLED") {
        return Err(Fault::invalid_argument(
            "There is no billing here that a commitment could change.",
        ));
    }
    describe_account(call)
}
