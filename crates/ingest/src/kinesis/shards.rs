//! `ListShards`, `SplitShard`, `MergeShards`, `UpdateShardCount`, and how a shard is told of.

use base::{ShardId, limits};
use base64::Engine as _;
use journal::{ShardInfo, StreamInfo};
use serde::{Deserialize, Serialize};

use super::sequence::{self, Numbering};
use super::target::{Target, arn_of, blocking, info_of, name_of, shard_named, stream_named};
use crate::aws::Call;
use crate::aws::fault::{ACCOUNT, Fault};
use crate::aws::validate::Constraints;
use crate::aws::wire::{BASE64, Moment};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shard {
    #[serde(skip_serializing_if = "Option::is_none")]
    adjacent_parent_shard_id: Option<String>,
    hash_key_range: HashKeyRange,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_shard_id: Option<String>,
    sequence_number_range: SequenceNumberRange,
    pub(super) shard_id: String,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    ending_sequence_number: Option<String>,
    starting_sequence_number: String,
}

/// A shard as the last answer about its parents tells of it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChildShard {
    hash_key_range: HashKeyRange,
    parent_shards: Vec<String>,
    shard_id: String,
}

impl HashKeyRange {
    fn of(shard: &ShardInfo) -> HashKeyRange {
        HashKeyRange {
            ending_hash_key: shard.hash_end.to_string(),
            starting_hash_key: shard.hash_start.to_string(),
        }
    }
}

impl Shard {
    pub(super) fn of(shard: &ShardInfo) -> Shard {
        let numbering = Numbering::of(shard);
        // After all of its records and before those of its children, as with AWS.
        let end = shard.closed_ms.map(|at_ms| numbering.number(shard.next, at_ms));
        Shard {
            adjacent_parent_shard_id: shard.adjacent_parent.map(sequence::shard_id),
            hash_key_range: HashKeyRange::of(shard),
            parent_shard_id: shard.parent.map(sequence::shard_id),
            sequence_number_range: SequenceNumberRange {
                ending_sequence_number: end,
                starting_sequence_number: numbering.start(),
            },
            shard_id: numbering.shard_id,
        }
    }
}

/// Returns the children of a shard, for who has read it to its end.
pub(super) fn children_of(info: &StreamInfo, shard: ShardId) -> Vec<ChildShard> {
    let child = |it: &ShardInfo| ChildShard {
        hash_key_range: HashKeyRange::of(it),
        parent_shards: it.parents().map(sequence::shard_id).collect(),
        shard_id: sequence::shard_id(it.id),
    };
    info.children(shard).map(child).collect()
}

/// As many shards in one answer as AWS gives without a limit.
const SHARDS_PAGE: i64 = 1_000;

/// Returns the shards after `after` that `wants` takes, and whether there are more.
pub(super) fn page_of_shards(
    info: &StreamInfo,
    after: Option<&str>,
    limit: Option<i64>,
    wants: impl Fn(&ShardInfo) -> bool,
) -> Result<(Vec<Shard>, bool), Fault> {
    let after = match after {
        None => None,
        Some(text) => Some(sequence::read_shard_id(text).ok_or_else(|| {
            Fault::invalid_argument(format!("ShardId {text:.100} is not the id of a shard."))
        })?),
    };
    let limit = usize::try_from(limit.unwrap_or(SHARDS_PAGE)).unwrap_or(0);
    let is_after = |shard: &&ShardInfo| after.is_none_or(|after| after < shard.id);
    let mut rest = info.shards.iter().filter(is_after).filter(|it| wants(it));
    let shards: Vec<Shard> = rest.by_ref().take(limit).map(Shard::of).collect();
    Ok((shards, rest.next().is_some()))
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
    stream_creation_timestamp: Option<Moment>,
    shard_filter: Option<ShardFilter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ShardFilter {
    #[serde(rename = "Type")]
    kind: Option<String>,
    shard_id: Option<String>,
    timestamp: Option<Moment>,
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

/// Which shards of a stream are asked for.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    All,
    Open,
    /// Open at a moment.
    At(u64),
    /// Open at a moment or later.
    From(u64),
}

impl Wanted {
    fn takes(self, shard: &ShardInfo) -> bool {
        let is_there = |at_ms: u64| shard.closed_ms.is_none_or(|closed_ms| at_ms <= closed_ms);
        match self {
            Wanted::All => true,
            Wanted::Open => shard.closed_ms.is_none(),
            Wanted::At(at_ms) => shard.opened_ms <= at_ms && is_there(at_ms),
            Wanted::From(at_ms) => is_there(at_ms),
        }
    }
}

impl ShardFilter {
    fn wanted(&self, info: &StreamInfo, now_ms: u64) -> Result<Wanted, Fault> {
        let at = || match self.timestamp {
            Some(Moment(at_ms)) if at_ms <= now_ms => Ok(at_ms.max(info.created_ms)),
            Some(_) => Err(Fault::invalid_argument(
                "The timestamp of the ShardFilter cannot be in the future.",
            )),
            None => Err(Fault::invalid_argument(
                "Timestamp must be specified in the ShardFilter for this Type.",
            )),
        };
        let oldest_ms = now_ms.saturating_sub(info.settings.replay.as_millis());
        let oldest_ms = oldest_ms.max(info.created_ms);
        match self.kind.as_deref().unwrap_or_default() {
            "AT_TRIM_HORIZON" => Ok(Wanted::At(oldest_ms)),
            "FROM_TRIM_HORIZON" => Ok(Wanted::From(oldest_ms)),
            "AT_LATEST" => Ok(Wanted::Open),
            "AT_TIMESTAMP" => at().map(Wanted::At),
            "FROM_TIMESTAMP" => at().map(Wanted::From),
            _ if self.shard_id.is_none() => Err(Fault::invalid_argument(
                "ShardId must be specified in the ShardFilter for the Type AFTER_SHARD_ID.",
            )),
            _ => Ok(Wanted::All),
        }
    }
}

pub(super) fn list(call: Call<'_>) -> Result<Vec<u8>, Fault> {
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
        None => (name_of(target, &mut constraints), request.exclusive_start_shard_id.clone()),
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
    let stream = stream_named(call, &name.unwrap_or_default())?;
    let info = info_of(call, &stream)?;
    if let Some(Moment(at_ms)) = request.stream_creation_timestamp
        && at_ms / 1_000 != info.created_ms / 1_000
    {
        return Err(Fault::no_stream(&info.name));
    }
    let now_ms = call.inlet.clock().now_ms();
    let wanted = filter.map_or(Ok(Wanted::All), |it| it.wanted(&info, now_ms))?;
    let after = after.or_else(|| filter.and_then(|it| it.shard_id.clone()));
    let page = page_of_shards(&info, after.as_deref(), request.max_results, |it| wanted.takes(it));
    let (shards, has_more) = page?;
    let last = shards.last().filter(|_| has_more);
    let next_token = last.map(|it| BASE64.encode(format!("{}:{}", it.shard_id, info.name)));
    call.write(&ListShardsAnswer { next_token, shards })
}

pub(super) fn wrong_token() -> Fault {
    Fault::new("InvalidArgumentException", "Invalid NextToken.")
}

pub(super) fn read_token(token: &str) -> Result<String, Fault> {
    let bytes = BASE64.decode(token).map_err(|_not_ours: base64::DecodeError| wrong_token())?;
    String::from_utf8(bytes).map_err(|_not_ours| wrong_token())
}

/// Shards of an on-demand stream follow its load, and nobody else's wish.
fn refuse_on_demand(info: &StreamInfo) -> Result<(), Fault> {
    if !info.settings.on_demand {
        return Ok(());
    }
    let message = format!(
        "Request is invalid. Stream {} under account {ACCOUNT} is in On-Demand mode.",
        info.name
    );
    Err(Fault::new("ValidationException", message))
}

fn refuse_closed(shard: &ShardInfo, info: &StreamInfo) -> Result<(), Fault> {
    if shard.closed_ms.is_none() {
        return Ok(());
    }
    Err(Fault::invalid_argument(format!(
        "Shard {} in stream {} under account {ACCOUNT} has already been merged or split, and thus \
         is not eligible for merging or splitting.",
        sequence::shard_id(shard.id),
        info.name
    )))
}

/// What AWS says when more shards were to be open than may be.
pub(super) fn too_many_shards(wanted: u64) -> Fault {
    Fault::new(
        "LimitExceededException",
        format!(
            "This request would exceed the shard limit for the account {ACCOUNT} in {}. Limit of \
             a stream: {}. Number of additional shards that would have resulted from this \
             request: {wanted}.",
            super::target::REGION,
            limits::SHARDS_MAX
        ),
    )
}

fn of_reshard(error: &crate::refusal::Refusal, stream: &str) -> Fault {
    use crate::refusal::Refusal;
    match error {
        Refusal::Journal(journal::Error::ShardsInvalid { wanted, .. }) => {
            too_many_shards(u64::from(*wanted))
        }
        Refusal::Journal(full @ journal::Error::ShardsFull { .. }) => {
            Fault::new("LimitExceededException", full.to_string())
        }
        other => Fault::of(other, stream),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SplitShard {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    shard_to_split: Option<String>,
    new_starting_hash_key: Option<String>,
}

pub(super) async fn split(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: SplitShard = call.read()?;
    let mut constraints = Constraints::default();
    constraints.shard_id(request.shard_to_split.as_deref(), "shardToSplit");
    constraints.required(request.new_starting_hash_key.as_ref(), "newStartingHashKey");
    if let Some(hash) = &request.new_starting_hash_key {
        constraints.hash_key(hash, "newStartingHashKey");
    }
    let target = Target::new(request.stream_name.as_deref(), request.stream_arn.as_deref());
    let stream = target.find(call, constraints)?;
    let info = info_of(call, &stream)?;
    refuse_on_demand(&info)?;
    let shard = shard_named(call, &stream, request.shard_to_split.as_deref())?;
    refuse_closed(&shard, &info)?;
    let hash = request.new_starting_hash_key.unwrap_or_default();
    let at: Option<u128> = hash.parse().ok();
    let is_inside = |at: &u128| shard.hash_start.saturating_add(1) < *at && *at < shard.hash_end;
    let Some(at) = at.filter(is_inside) else {
        return Err(Fault::invalid_argument(format!(
            "NewStartingHashKey {hash} used in SplitShard() on shard {} in stream {} under account \
             {ACCOUNT} is not both greater than one plus the shard's StartingHashKey {} and less \
             than the shard's EndingHashKey {}.",
            sequence::shard_id(shard.id),
            info.name,
            shard.hash_start,
            shard.hash_end
        )));
    };
    let inlet = call.inlet.clone();
    let done = blocking(move || inlet.reshard(&stream, |draft| draft.split(shard.id, at))).await?;
    done.map_err(|error| of_reshard(&error, &info.name))?;
    Ok(Vec::new())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MergeShards {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    shard_to_merge: Option<String>,
    adjacent_shard_to_merge: Option<String>,
}

pub(super) async fn merge(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: MergeShards = call.read()?;
    let mut constraints = Constraints::default();
    constraints.shard_id(request.shard_to_merge.as_deref(), "shardToMerge");
    constraints.shard_id(request.adjacent_shard_to_merge.as_deref(), "adjacentShardToMerge");
    let target = Target::new(request.stream_name.as_deref(), request.stream_arn.as_deref());
    let stream = target.find(call, constraints)?;
    let info = info_of(call, &stream)?;
    refuse_on_demand(&info)?;
    let one = shard_named(call, &stream, request.shard_to_merge.as_deref())?;
    let other = shard_named(call, &stream, request.adjacent_shard_to_merge.as_deref())?;
    refuse_closed(&one, &info)?;
    refuse_closed(&other, &info)?;
    let follows = |it: &ShardInfo, next: &ShardInfo| {
        it.hash_end.checked_add(1).is_some_and(|end| end == next.hash_start)
    };
    if !follows(&one, &other) && !follows(&other, &one) {
        return Err(Fault::invalid_argument(format!(
            "Shards {} and {} in stream {} under account {ACCOUNT} are not an adjacent pair of \
             shards eligible for merging",
            sequence::shard_id(one.id),
            sequence::shard_id(other.id),
            info.name
        )));
    }
    let inlet = call.inlet.clone();
    let done =
        blocking(move || inlet.reshard(&stream, |draft| draft.merge(one.id, other.id))).await?;
    done.map_err(|error| of_reshard(&error, &info.name))?;
    Ok(Vec::new())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateShardCount {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    target_shard_count: Option<i64>,
    scaling_type: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateShardCountAnswer<'a> {
    current_shard_count: u32,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    stream_name: &'a str,
    target_shard_count: u32,
}

pub(super) async fn update_count(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: UpdateShardCount = call.read()?;
    let mut constraints = Constraints::default();
    constraints.required(request.target_shard_count.as_ref(), "targetShardCount");
    if let Some(count) = request.target_shard_count {
        constraints.range(count, "targetShardCount", 1..=i64::MAX);
    }
    constraints.required(request.scaling_type.as_ref(), "scalingType");
    if let Some(kind) = &request.scaling_type {
        constraints.one_of(kind, "scalingType", &["UNIFORM_SCALING"]);
    }
    let target = Target::new(request.stream_name.as_deref(), request.stream_arn.as_deref());
    let stream = target.find(call, constraints)?;
    let info = info_of(call, &stream)?;
    refuse_on_demand(&info)?;
    let wanted = request.target_shard_count.unwrap_or_default();
    let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
    let current = u32::try_from(info.open_shards().count()).unwrap_or(u32::MAX);
    let refused = if current.saturating_mul(2) < wanted {
        Some("scale up over double")
    } else if wanted.saturating_mul(2) < current {
        Some("scale down below half")
    } else {
        None
    };
    if let Some(what) = refused {
        return Err(Fault::invalid_argument(format!(
            "UpdateShardCount cannot {what} your current open shard count. Current open shard \
             count: {current} Target shard count: {wanted}"
        )));
    }
    if limits::SHARDS_MAX < wanted {
        return Err(too_many_shards(u64::from(wanted)));
    }
    let inlet = call.inlet.clone();
    let done = blocking(move || inlet.reshard(&stream, |draft| draft.scale_to(wanted))).await?;
    done.map_err(|error| of_reshard(&error, &info.name))?;
    call.write(&UpdateShardCountAnswer {
        current_shard_count: current,
        stream_arn: arn_of(&info.name),
        stream_name: &info.name,
        target_shard_count: wanted,
    })
}
