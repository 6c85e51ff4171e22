//! Answers the Kinesis API: `POST /` with `X-Amz-Target: Kinesis_20131202.OPERATION`.
//!
//! Names, texts and status codes are those of AWS, so that its SDKs work unchanged. Signatures
//! are not looked at: the address to serve on is this machine's own.

use base::limits;

use crate::aws::fault::Fault;
use crate::aws::validate::members;
use crate::aws::{Answer, Call};
use crate::door::Door;
use crate::inlet::{Inlet, Stream};

pub(crate) mod aggregate;
mod consumers;
mod iterator;
mod put;
mod read;
pub(crate) mod sequence;
mod settings;
mod shards;
mod state;
mod streams;
pub(crate) mod subscribe;
mod tags;
mod target;

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
}

/// What comes before the operation in `X-Amz-Target`.
pub(crate) const SERVICE: &str = "Kinesis_20131202";

/// Answers one operation.
pub(crate) async fn answer(operation: &str, call: Call<'_>) -> Result<Answer, Fault> {
    // The busiest requests are not read twice.
    if !operation.starts_with("PutRecord") {
        members::check(operation, call, target::MEMBERS)?;
    }
    if operation == "SubscribeToShard" {
        return subscribe::subscribe(call).await.map(Answer::Events);
    }
    let body = match operation {
        "PutRecords" => put::records(call).await,
        "PutRecord" => put::record(call).await,
        "GetRecords" => read::records(call).await,
        "GetShardIterator" => read::shard_iterator(call).await,
        "ListShards" => shards::list(call),
        "DescribeStream" => streams::describe(call),
        "DescribeStreamSummary" => streams::describe_summary(call),
        "ListStreams" => streams::list(call),
        _ => control(operation, call).await,
    };
    body.map(Answer::Body)
}

/// Answers an operation that changes or describes something else than records.
async fn control(operation: &str, call: Call<'_>) -> Result<Vec<u8>, Fault> {
    match operation {
        "CreateStream" => streams::create(call).await,
        "DeleteStream" => streams::delete(call).await,
        "SplitShard" => shards::split(call).await,
        "MergeShards" => shards::merge(call).await,
        "UpdateShardCount" => shards::update_count(call).await,
        "IncreaseStreamRetentionPeriod" => settings::increase_retention(call).await,
        "DecreaseStreamRetentionPeriod" => settings::decrease_retention(call).await,
        "EnableEnhancedMonitoring" => settings::enable_monitoring(call).await,
        "DisableEnhancedMonitoring" => settings::disable_monitoring(call).await,
        "StartStreamEncryption" => settings::start_encryption(call).await,
        "StopStreamEncryption" => settings::stop_encryption(call).await,
        "UpdateStreamMode" => settings::set_mode(call).await,
        "UpdateStreamWarmThroughput" => settings::set_warm(call).await,
        "UpdateMaxRecordSize" => settings::set_record_size(call),
        "PutResourcePolicy" => settings::put_policy(call).await,
        "GetResourcePolicy" => settings::get_policy(call),
        "DeleteResourcePolicy" => settings::delete_policy(call).await,
        "DescribeLimits" => settings::describe_limits(call),
        "DescribeAccountSettings" => settings::describe_account(call),
        "UpdateAccountSettings" => settings::update_account(call),
        "AddTagsToStream" => tags::add_to_stream(call).await,
        "RemoveTagsFromStream" => tags::remove_from_stream(call).await,
        "ListTagsForStream" => tags::list_for_stream(call),
        "TagResource" => tags::tag_resource(call).await,
        "UntagResource" => tags::untag_resource(call).await,
        "ListTagsForResource" => tags::list_for_resource(call),
        "RegisterStreamConsumer" => consumers::register(call).await,
        "DeregisterStreamConsumer" => consumers::deregister(call).await,
        "DescribeStreamConsumer" => consumers::describe(call),
        "ListStreamConsumers" => consumers::list(call),
        other => {
            let message = format!("the operation {other:.100} is not supported");
            Err(Fault::new("UnknownOperationException", message))
        }
    }
}

/// Returns how many shards an on-demand stream keeps at least.
pub(crate) fn on_demand_min(inlet: &Inlet, stream: &Stream) -> usize {
    let note = inlet.journal().note(stream.id).ok().flatten();
    let warm = note.and_then(|it| state::State::read(&it)).and_then(|it| it.warm_mibps);
    warm.unwrap_or(0).max(limits::ON_DEMAND_SHARDS_MIN) as usize
}

#[cfg(test)]
mod tests;
