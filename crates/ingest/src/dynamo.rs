//! Answers the DynamoDB API: `POST /` with `X-Amz-Target: DynamoDB_20120810.OPERATION`.
//!
//! What is read are the items of tables that the project serves by key ([`Items`]); what is put
//! becomes a record of the stream that such a table names. Names, texts and status codes are those
//! of AWS, so that its SDKs work unchanged.
//!
//! [`Items`]: crate::items::Items

use crate::aws::Call;
use crate::aws::fault::Fault;
use crate::aws::validate::members::{self, Member, NAME_PATTERN, is_name};
use crate::door::Door;

mod capacity;
mod condition;
mod expression;
mod get;
mod key;
mod legacy;
mod number;
mod page;
mod placeholders;
mod projection;
mod put;
mod query;
mod range;
mod request;
mod reserved;
mod tables;
mod value;

/// Takes items that AWS SDKs put into tables.
pub(crate) struct DynamoDb;

/// The door's name.
pub(crate) const NAME: &str = "dynamodb";

impl Door for DynamoDb {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "Takes items from AWS SDKs by the DynamoDB API: `PutItem`, and the puts of `BatchWriteItem`, \
         into a table that names this stream for them."
    }

    fn example(&self) -> &'static str {
        "from = [\"dynamodb\"]"
    }
}

/// What comes before the operation in `X-Amz-Target`.
pub(crate) const SERVICE: &str = "DynamoDB_20120810";

/// Answers one operation.
pub(crate) async fn answer(operation: &str, call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let answered = match operation {
        "GetItem" => get::item(call).await,
        "BatchGetItem" => get::batch(call).await,
        "Query" => query::query(call).await,
        "PutItem" => put::item(call).await,
        "BatchWriteItem" => put::batch(call).await,
        "ListTables" => members::check(operation, call, MEMBERS).and_then(|()| tables::list(call)),
        "DescribeTable" => tables::describe(call),
        "DescribeTimeToLive" => tables::describe_time_to_live(call),
        "DescribeLimits" => tables::limits(call),
        "DescribeEndpoints" => tables::endpoints(call),
        "ListTagsOfResource" => tables::tags(call),
        other => Err(refused(other)),
    };
    answered.map_err(|fault| Fault { name: qualified(fault.name), ..fault })
}

/// Members that are not looked at anywhere else.
const MEMBERS: &[Member] =
    &[Member::text("ExclusiveStartTableName", 3..=255, NAME_PATTERN, is_name)];

/// Says why an operation is not answered.
fn refused(operation: &str) -> Fault {
    let why = match operation {
        "Scan" => {
            "Scan is not supported: a whole table is asked for by SQL, POST /v1/sql with SELECT"
        }
        "ExecuteStatement" | "BatchExecuteStatement" | "ExecuteTransaction" => {
            "PartiQL is not supported: ask by SQL, POST /v1/sql, or by key with GetItem and Query"
        }
        "TransactGetItems" => "TransactGetItems is not supported: use BatchGetItem",
        "DeleteItem" => put::DELETES,
        "UpdateItem" | "TransactWriteItems" => {
            "items cannot be changed by this API: a table is what its SELECT makes of its streams; \
             only puts (PutItem, BatchWriteItem) are taken, as records of the stream that the \
             table names for them"
        }
        "CreateTable" | "UpdateTable" | "DeleteTable" | "UpdateTimeToLive" => {
            "tables cannot be changed by this API: they are declared in the project's files"
        }
        _ => {
            let message = format!("the operation {operation:.100} is not supported");
            return Fault::new("UnknownOperationException", message);
        }
    };
    request::invalid(why)
}

/// Returns the name of an error as DynamoDB writes it: with the part of it that says so.
fn qualified(name: &'static str) -> &'static str {
    match name {
        "ValidationException" => "com.amazon.coral.validate#ValidationException",
        "SerializationException" => "com.amazon.coral.service#SerializationException",
        "UnknownOperationException" => "com.amazon.coral.service#UnknownOperationException",
        "AccessDeniedException" => "com.amazon.coral.service#AccessDeniedException",
        "ResourceNotFoundException" => "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException",
        "ProvisionedThroughputExceededException" => {
            "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"
        }
        "TransactionConflictException" => {
            "com.amazonaws.dynamodb.v20120810#TransactionConflictException"
        }
        "InternalServerError" => "com.amazonaws.dynamodb.v20120810#InternalServerError",
        other => other,
    }
}

#[cfg(test)]
mod tests;
