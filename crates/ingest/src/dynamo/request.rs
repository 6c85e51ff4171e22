//! What the operations on items share: how a request names its table, and how it is refused.

use std::sync::Arc;

use base::{Kind, limits};
use serde::de::DeserializeOwned;

use super::expression::Path;
use super::key;
use super::placeholders::{Names, Placeholders};
use super::projection::Projection;
use super::value::{MANY_TYPES, NO_TYPE};
use crate::aws::Call;
use crate::aws::fault::Fault;
use crate::aws::validate::Constraints;
use crate::items::{ItemFault, ItemTable, Items};

/// Reads a request. Only `BatchWriteItem` may be as large as a body.
pub(crate) fn read<T: DeserializeOwned>(call: Call<'_>, bytes_max: usize) -> Result<T, Fault> {
    if bytes_max < call.body.len() {
        let message = format!("the request is larger than {bytes_max} bytes");
        return Err(Fault { name: "RequestEntityTooLarge", message, status: 413 });
    }
    call.read().map_err(|fault| {
        // A value without a type is refused while it is read, and is not the fault of its encoding.
        let known = [NO_TYPE, MANY_TYPES].into_iter().find(|it| fault.message.contains(it));
        known.map_or(fault, invalid)
    })
}

/// The request breaks a rule.
pub(crate) fn invalid(message: impl Into<String>) -> Fault {
    Fault::new("ValidationException", message)
}

/// There is no such table.
pub(crate) fn no_table() -> Fault {
    Fault::new("ResourceNotFoundException", "Requested resource not found")
}

/// Too much at a time.
pub(crate) fn throttled() -> Fault {
    Fault::new(
        "ProvisionedThroughputExceededException",
        "The level of configured provisioned throughput for the table was exceeded. \
         Consider increasing your provisioning level with the UpdateTable API.",
    )
}

/// What DynamoDB would say to the same fault.
pub(crate) fn of_items(fault: ItemFault) -> Fault {
    let help = fault.help.map(|it| format!("; {it}")).unwrap_or_default();
    let message = format!("{}{help}", fault.message);
    match fault.kind {
        Kind::Missing => no_table(),
        Kind::Invalid => invalid(message),
        Kind::Throttled => throttled(),
        Kind::Conflict => Fault::new("TransactionConflictException", message),
        Kind::Unavailable => Fault { name: "ServiceUnavailable", message, status: 503 },
        Kind::Corrupt | Kind::Bug => internal(),
    }
}

pub(crate) fn internal() -> Fault {
    let message = "Internal server error".to_owned();
    Fault { name: "InternalServerError", message, status: 500 }
}

/// Checks the name of a table, which may be an ARN; `member` is where it stands.
pub(crate) fn check_table_name(name: Option<&String>, constraints: &mut Constraints) {
    let Some(name) = name else {
        constraints.required(name, "tableName");
        return;
    };
    let is_allowed =
        |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-' | b'.' | b':' | b'/');
    if name.is_empty() || !name.bytes().all(is_allowed) {
        let constraint = "satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
        constraints.fail(format!("'{name:.300}'"), "tableName", constraint);
    }
    constraints.length(name, "tableName", 1..=limits::DYNAMODB_ARN_CHARS_MAX);
}

/// Returns the name that is meant by a name or an ARN.
pub(crate) fn name_of(given: &str) -> &str {
    match given.strip_prefix("arn:").and_then(|rest| rest.split_once(":table/")) {
        Some((_, name)) => name,
        None => given,
    }
}

/// Returns the table of that name or ARN, and who answers for it.
pub(crate) fn table_named(
    call: Call<'_>,
    given: &str,
) -> Result<(ItemTable, Arc<dyn Items>), Fault> {
    let items = call.items.ok_or_else(no_table)?;
    let table = items.table(name_of(given)).ok_or_else(no_table)?;
    Ok((table, Arc::clone(items)))
}

/// Reads the projection of a request that has no other expression.
pub(crate) fn projection_of(
    expression: Option<&str>,
    attributes_to_get: Option<Vec<String>>,
    names: Option<Names>,
) -> Result<Projection, String> {
    if expression.is_some() && attributes_to_get.is_some() {
        return Err(mixed(&["AttributesToGet"], &["ProjectionExpression"]));
    }
    let Some(expression) = expression else {
        if names.is_some() {
            return Err(NAMES_ALONE.to_owned());
        }
        return of_names(attributes_to_get);
    };
    let mut placeholders = Placeholders::new(names, None)?;
    let projection = Projection::read(expression, &mut placeholders)?;
    placeholders.all_used()?;
    Ok(projection)
}

/// Reads `AttributesToGet`.
pub(crate) fn of_names(attributes_to_get: Option<Vec<String>>) -> Result<Projection, String> {
    match attributes_to_get {
        None => Ok(Projection::All),
        Some(names) if names.is_empty() => Err("1 validation error detected: Value '[]' at \
             'attributesToGet' failed to satisfy constraint: Member must have length greater than \
             or equal to 1"
            .to_owned()),
        Some(names) => Projection::of_names(names),
    }
}

pub(crate) const NAMES_ALONE: &str =
    "ExpressionAttributeNames can only be specified when using expressions";

/// Expressions do not go together with what was there before them.
pub(crate) fn mixed(old: &[&str], new: &[&str]) -> String {
    format!(
        "Can not use both expression and non-expression parameters in the same request: \
         Non-expression parameters: {{{}}} Expression parameters: {{{}}}",
        old.join(", "),
        new.join(", ")
    )
}

/// No path leads into an attribute of the key: they have no parts.
pub(crate) fn check_nested<'a>(
    table: &ItemTable,
    mut paths: impl Iterator<Item = &'a Path>,
) -> Result<(), String> {
    let is_key = |path: &Path| key::attributes(table).any(|it| it.name == path.head);
    match paths.find(|it| !it.steps.is_empty() && is_key(it)) {
        None => Ok(()),
        Some(path) => Err(format!(
            "Key attributes must be scalars; list random access '[]' and map lookup '.' are not \
             allowed: Key: {}",
            path.head
        )),
    }
}
