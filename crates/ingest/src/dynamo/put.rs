//! `PutItem` and the puts of `BatchWriteItem`: each item becomes one JSON record of the stream that
//! its table names for them.
//!
//! The item that is there is not read, so a put knows no conditions and answers no old values; what
//! the table makes of the record is seen in its next tick.

use std::collections::{BTreeMap, BTreeSet};

use base::{Kind, Name, limits};
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::capacity::{self, ConsumedCapacity, Wanted};
use super::key;
use super::placeholders::Names;
use super::request::{check_table_name, internal, invalid, read, table_named, throttled};
use super::value::{AttributeValue, Attributes, bytes_of};
use crate::aws::Call;
use crate::aws::fault::Fault;
use crate::aws::validate::Constraints;
use crate::aws::wire::BASE64;
use crate::inlet::Batch;
use crate::items::ItemTable;
use crate::refusal::Refusal;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutItem {
    table_name: Option<String>,
    item: Option<Attributes>,
    return_values: Option<String>,
    return_values_on_condition_check_failure: Option<String>,
    return_consumed_capacity: Option<String>,
    return_item_collection_metrics: Option<String>,
    condition_expression: Option<String>,
    expected: Option<serde::de::IgnoredAny>,
    conditional_operator: Option<String>,
    expression_attribute_names: Option<Names>,
    expression_attribute_values: Option<Attributes>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutItemAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<ConsumedCapacity>,
}

pub(crate) async fn item(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: PutItem = read(call, limits::DYNAMODB_REQUEST_BYTES_MAX)?;
    let mut constraints = Constraints::default();
    check_table_name(request.table_name.as_ref(), &mut constraints);
    constraints.required(request.item.as_ref(), "item");
    let wanted = Wanted::read(request.return_consumed_capacity.as_deref(), &mut constraints);
    check_metrics(request.return_item_collection_metrics.as_deref(), &mut constraints);
    if let Some(values) = request.return_values.as_deref() {
        let allowed = ["ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW"];
        constraints.one_of(values, "returnValues", &allowed);
    }
    if let Some(values) = request.return_values_on_condition_check_failure.as_deref() {
        let allowed = ["ALL_OLD", "NONE"];
        constraints.one_of(values, "returnValuesOnConditionCheckFailure", &allowed);
    }
    constraints.check()?;
    request.check_supported().map_err(invalid)?;
    let given = request.table_name.unwrap_or_default();
    let mut item = request.item.unwrap_or_default();
    let target = Target::of(call, &given)?;
    let bytes = target.check(&mut item).map_err(invalid)?;
    let mut batch = target.batch(call, bytes)?;
    target.push(&mut batch, &item)?;
    call.inlet.append(batch, None).await.map_err(|it| of_refusal(&it))?;
    let consumed_capacity = wanted.consumed(&given, capacity::of_write(bytes));
    call.write(&PutItemAnswer { consumed_capacity })
}

impl PutItem {
    /// What a put to a stream cannot keep is refused, not left out.
    fn check_supported(&self) -> Result<(), String> {
        let conditions = [
            ("ConditionExpression", self.condition_expression.is_some()),
            ("Expected", self.expected.is_some()),
            ("ConditionalOperator", self.conditional_operator.is_some()),
        ];
        if let Some((name, _)) = conditions.iter().find(|(_, is_given)| *is_given) {
            return Err(format!(
                "{name} is not supported: an item that is put becomes a record of a stream, and \
                 the item that is there is not read"
            ));
        }
        if self.expression_attribute_names.is_some() {
            let what = "ExpressionAttributeNames can only be specified when using expressions: \
                        ConditionExpression is null";
            return Err(what.to_owned());
        }
        if self.expression_attribute_values.is_some() {
            let what = "ExpressionAttributeValues can only be specified when using expressions: \
                        ConditionExpression is null";
            return Err(what.to_owned());
        }
        match self.return_values.as_deref() {
            None | Some("NONE") => Ok(()),
            Some("ALL_OLD") => Err("ReturnValues ALL_OLD is not supported: an item that is put \
                                    becomes a record of a stream, and the item that is there is \
                                    not read"
                .to_owned()),
            Some(_) => Err("ReturnValues can only be ALL_OLD or NONE".to_owned()),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchWriteItem {
    request_items: Option<BTreeMap<String, Vec<WriteRequest>>>,
    return_consumed_capacity: Option<String>,
    return_item_collection_metrics: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WriteRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    put_request: Option<PutRequest>,
    #[serde(skip_serializing)]
    delete_request: Option<serde::de::IgnoredAny>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRequest {
    #[serde(default)]
    item: Attributes,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BatchWriteItemAnswer {
    unprocessed_items: BTreeMap<String, Vec<WriteRequest>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    consumed_capacity: Vec<ConsumedCapacity>,
}

/// The puts of one table.
struct Puts {
    given: String,
    requests: Vec<WriteRequest>,
    batch: Batch,
    units: f64,
}

pub(crate) async fn batch(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: BatchWriteItem = read(call, limits::REQUEST_BYTES_MAX)?;
    let mut constraints = Constraints::default();
    constraints.required(request.request_items.as_ref(), "requestItems");
    let wanted = Wanted::read(request.return_consumed_capacity.as_deref(), &mut constraints);
    check_metrics(request.return_item_collection_metrics.as_deref(), &mut constraints);
    let tables = request.request_items.unwrap_or_default();
    let is_empty = tables.is_empty() || tables.values().any(Vec::is_empty);
    if constraints.is_met() && is_empty {
        constraints.fail("'{}'", "requestItems", "have length greater than or equal to 1");
    }
    constraints.check()?;
    if limits::DYNAMODB_WRITES_MAX < tables.values().map(Vec::len).sum() {
        return Err(invalid("Too many items requested for the BatchWriteItem call"));
    }
    // All is checked before anything is written.
    let mut puts = Vec::with_capacity(tables.len());
    for (given, requests) in tables {
        puts.push(prepare(call, given, requests)?);
    }
    let mut answer =
        BatchWriteItemAnswer { unprocessed_items: BTreeMap::new(), consumed_capacity: Vec::new() };
    let mut is_any_written = false;
    for put in puts {
        match call.inlet.append(put.batch, None).await {
            Ok(_accepted) => {
                is_any_written = true;
                answer.consumed_capacity.extend(wanted.consumed(&put.given, put.units));
            }
            // What was written stays written, so the rest is told, whatever keeps it out.
            Err(refusal) if refusal.kind() == Kind::Throttled || is_any_written => {
                answer.unprocessed_items.insert(put.given, put.requests);
            }
            Err(refusal) => return Err(of_refusal(&refusal)),
        }
    }
    if is_any_written { call.write(&answer) } else { Err(throttled()) }
}

fn prepare(call: Call<'_>, given: String, mut requests: Vec<WriteRequest>) -> Result<Puts, Fault> {
    let target = Target::of(call, &given)?;
    let mut seen = BTreeSet::new();
    let (mut bytes, mut units) = (0, 0.0);
    for request in &mut requests {
        if request.delete_request.is_some() {
            return Err(invalid(DELETES));
        }
        let Some(put) = &mut request.put_request else {
            return Err(invalid(
                "Supplied AttributeValue has more than one datatypes set, must contain exactly one \
                 of the supported datatypes",
            ));
        };
        let size = target.check(&mut put.item).map_err(invalid)?;
        if !seen.insert(format!("{:?}", key::of_item(&target.table, &put.item).values())) {
            return Err(invalid("Provided list of item keys contains duplicates"));
        }
        bytes += size;
        units += capacity::of_write(size);
    }
    let mut batch = target.batch(call, bytes)?;
    for request in &requests {
        if let Some(put) = &request.put_request {
            target.push(&mut batch, &put.item)?;
        }
    }
    Ok(Puts { given, requests, batch, units })
}

/// Why an item cannot be taken out.
pub(crate) const DELETES: &str = "items cannot be deleted by this API: a table is what its SELECT \
     makes of its streams; only puts are taken, as records of the stream that the table names for \
     them";

fn check_metrics(given: Option<&str>, constraints: &mut Constraints) {
    if let Some(given) = given {
        constraints.one_of(given, "returnItemCollectionMetrics", &["SIZE", "NONE"]);
    }
}

/// Where the items of a table are put.
struct Target {
    table: ItemTable,
    stream: Name,
}

impl Target {
    fn of(call: Call<'_>, given: &str) -> Result<Target, Fault> {
        let (table, items) = table_named(call, given)?;
        match items.takes_puts(&table.name) {
            Some(stream) => Ok(Target { table, stream }),
            None => Err(invalid(format!(
                "the table {} takes no puts: name a stream for them in its `serve`, `puts = \"STREAM\"`",
                table.name.as_str()
            ))),
        }
    }

    /// Checks an item; returns its size as DynamoDB counts it.
    fn check(&self, item: &mut Attributes) -> Result<usize, String> {
        for value in item.values_mut() {
            value.check()?;
        }
        key::check_item(&self.table, item)?;
        let bytes = bytes_of(item);
        if limits::DYNAMODB_ITEM_BYTES_MAX < bytes {
            return Err("Item size has exceeded the maximum allowed size".to_owned());
        }
        Ok(bytes)
    }

    fn batch(&self, call: Call<'_>, bytes: usize) -> Result<Batch, Fault> {
        let expected = bytes + bytes / 2;
        call.inlet.batch(&self.stream, super::NAME, expected).map_err(|it| of_refusal(&it))
    }

    /// Puts keep their order per key of the table, unless the stream has a key of its own.
    fn push(&self, batch: &mut Batch, item: &Attributes) -> Result<(), Fault> {
        let record = record_of(item);
        let key = item.get(&self.table.key.name).map(text_of).unwrap_or_default();
        batch.push_or(&key, record.as_bytes()).map_err(|it| of_refusal(&it))
    }
}

/// What DynamoDB would say to the same refusal.
fn of_refusal(refusal: &Refusal) -> Fault {
    let help = refusal.help().map(|it| format!("; {it}")).unwrap_or_default();
    let message = format!("{refusal}{help}");
    match (refusal, refusal.kind()) {
        (Refusal::DoorClosed { .. }, _) => Fault::new("AccessDeniedException", message),
        (_, Kind::Throttled) => throttled(),
        (_, Kind::Unavailable) => Fault { name: "ServiceUnavailable", message, status: 503 },
        (_, Kind::Invalid | Kind::Missing | Kind::Conflict) => invalid(message),
        (_, Kind::Corrupt | Kind::Bug) => internal(),
    }
}

/// Writes an item as a record: one JSON object, numbers with all their digits.
fn record_of(item: &Attributes) -> String {
    let mut out = String::with_capacity(2 * bytes_of(item));
    write_map(item, &mut out);
    out
}

fn write_map(values: &Attributes, out: &mut String) {
    out.push('{');
    for (index, (name, value)) in values.iter().enumerate() {
        if index != 0 {
            out.push(',');
        }
        write_text(name, out);
        out.push(':');
        write_value(value, out);
    }
    out.push('}');
}

fn write_value(value: &AttributeValue, out: &mut String) {
    match value {
        AttributeValue::S(text) => write_text(text, out),
        // It was read as a number, and its form is one of JSON's.
        AttributeValue::N(text) => out.push_str(text),
        AttributeValue::B(bytes) => write_text(&BASE64.encode(&bytes.0), out),
        AttributeValue::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        AttributeValue::Null(_) => out.push_str("null"),
        AttributeValue::Ss(texts) => write_list(texts, out, |it, out| write_text(it, out)),
        AttributeValue::Ns(texts) => write_list(texts, out, |it, out| out.push_str(it)),
        AttributeValue::Bs(values) => {
            write_list(values, out, |it, out| write_text(&BASE64.encode(&it.0), out));
        }
        AttributeValue::L(values) => write_list(values, out, write_value),
        AttributeValue::M(values) => write_map(values, out),
    }
}

fn write_list<T>(values: &[T], out: &mut String, write: impl Fn(&T, &mut String)) {
    out.push('[');
    for (index, value) in values.iter().enumerate() {
        if index != 0 {
            out.push(',');
        }
        write(value, out);
    }
    out.push(']');
}

fn write_text(text: &str, out: &mut String) {
    // The only texts of JSON are those that it writes.
    out.push_str(&Json::from(text).to_string());
}

/// A key as the text that chooses a shard.
fn text_of(value: &AttributeValue) -> String {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.clone(),
        AttributeValue::B(bytes) => BASE64.encode(&bytes.0),
        _ => String::new(),
    }
}
