//! Answers the Kinesis API: `POST /` with `X-Amz-Target: Kinesis_20131202.OPERATION`.
//!
//! Names, texts and status codes are those of AWS, so that its SDKs work unchanged. Signatures
//! are not looked at: the address to serve on is this machine's own.

use base::Name;
use schemars::{JsonSchema, Schema};
use serde::Deserialize;

use crate::aws::Call;
use crate::aws::fault::Fault;
use crate::door::{Door, OptionFault, Running, parse, schema_of};
use crate::inlet::Inlet;

mod iterator;
mod put;
mod read;
pub(crate) mod sequence;
mod streams;

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
pub(crate) const SERVICE: &str = "Kinesis_20131202";

/// Answers one operation.
pub(crate) async fn answer(operation: &str, call: Call<'_>) -> Result<Vec<u8>, Fault> {
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

#[cfg(test)]
mod tests;
