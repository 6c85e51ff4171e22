//! `GetItem` and `BatchGetItem`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::{Kind, limits};
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use super::capacity::{self, ConsumedCapacity, Wanted};
use super::key;
use super::placeholders::Names;
use super::projection::Projection;
use super::request::{
    check_nested, check_table_name, invalid, name_of, of_items, projection_of, read, table_named,
    throttled,
};
use super::value::{Attributes, attributes_of, bytes_of};
use crate::aws::Call;
use crate::aws::fault::Fault;
use crate::aws::validate::Constraints;
use crate::items::{Ask, Items};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetItem {
    table_name: Option<String>,
    key: Option<Attributes>,
    attributes_to_get: Option<Vec<String>>,
    consistent_read: Option<bool>,
    return_consumed_capacity: Option<String>,
    projection_expression: Option<String>,
    expression_attribute_names: Option<Names>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetItemAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<Attributes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<ConsumedCapacity>,
}

pub(crate) async fn item(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: GetItem = read(call, limits::DYNAMODB_REQUEST_BYTES_MAX)?;
    let mut constraints = Constraints::default();
    check_table_name(request.table_name.as_ref(), &mut constraints);
    constraints.required(request.key.as_ref(), "key");
    let wanted = Wanted::read(request.return_consumed_capacity.as_deref(), &mut constraints);
    constraints.check()?;
    let projection = projection_of(
        request.projection_expression.as_deref(),
        request.attributes_to_get,
        request.expression_attribute_names,
    );
    let projection = projection.map_err(invalid)?;
    let given = request.table_name.unwrap_or_default();
    let (table, items) = table_named(call, &given)?;
    let ask = key::ask_for(&table, &mut request.key.unwrap_or_default()).map_err(invalid)?;
    check_nested(&table, projection.nested()).map_err(invalid)?;
    let found = items.find(ask).await.map_err(of_items)?;
    let item = found.items.into_iter().next().map(attributes_of);
    let bytes = item.as_ref().map_or(0, bytes_of);
    let units = capacity::of_read(bytes, request.consistent_read.unwrap_or_default());
    call.write(&GetItemAnswer {
        item: item.map(|it| projection.of(it)),
        consumed_capacity: wanted.consumed(&given, units),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchGetItem {
    request_items: Option<BTreeMap<String, KeysAndAttributes>>,
    return_consumed_capacity: Option<String>,
}

/// What a batch asks of one table; what is left of it is answered in the same form.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KeysAndAttributes {
    #[serde(default)]
    keys: Vec<Attributes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes_to_get: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consistent_read: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    projection_expression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expression_attribute_names: Option<Names>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BatchGetItemAnswer {
    responses: BTreeMap<String, Vec<Attributes>>,
    unprocessed_keys: BTreeMap<String, KeysAndAttributes>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    consumed_capacity: Vec<ConsumedCapacity>,
}

/// The questions of a batch to one table, in the order of its keys.
struct Asked {
    /// As the request named the table.
    given: String,
    request: KeysAndAttributes,
    asks: Vec<Ask>,
    projection: Projection,
    items: Arc<dyn Items>,
}

pub(crate) async fn batch(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: BatchGetItem = read(call, limits::DYNAMODB_REQUEST_BYTES_MAX)?;
    let mut constraints = Constraints::default();
    constraints.required(request.request_items.as_ref(), "requestItems");
    let wanted = Wanted::read(request.return_consumed_capacity.as_deref(), &mut constraints);
    let tables = request.request_items.unwrap_or_default();
    if constraints.is_met() && tables.is_empty() {
        constraints.fail("'{}'", "requestItems", "have length greater than or equal to 1");
    }
    for (table, asked) in &tables {
        if asked.keys.is_empty() {
            let member = format!("requestItems.{table:.255}.member.keys");
            constraints.fail("'[]'", member, "have length greater than or equal to 1");
        }
    }
    constraints.check()?;
    if limits::DYNAMODB_KEYS_MAX < tables.values().map(|it| it.keys.len()).sum() {
        return Err(invalid("Too many items requested for the BatchGetItem call"));
    }
    let mut asked = Vec::with_capacity(tables.len());
    for (given, keys) in tables {
        asked.push(prepare(call, given, keys)?);
    }
    let mut batch = Batch { wanted, room: limits::DYNAMODB_BATCH_BYTES_MAX, ..Batch::default() };
    for asked in asked {
        batch.take(asked).await?;
    }
    if batch.answered == 0 && batch.is_throttled {
        return Err(throttled());
    }
    call.write(&BatchGetItemAnswer {
        responses: batch.responses,
        unprocessed_keys: batch.left,
        consumed_capacity: batch.consumed,
    })
}

fn prepare(call: Call<'_>, given: String, request: KeysAndAttributes) -> Result<Asked, Fault> {
    let projection = projection_of(
        request.projection_expression.as_deref(),
        request.attributes_to_get.clone(),
        request.expression_attribute_names.clone(),
    );
    let projection = projection.map_err(invalid)?;
    let (table, items) = table_named(call, &given)?;
    let mut seen = BTreeSet::new();
    let mut asks = Vec::with_capacity(request.keys.len());
    for key in &request.keys {
        let mut key = key.clone();
        asks.push(key::ask_for(&table, &mut key).map_err(invalid)?);
        // Numbers are in one form by now.
        if !seen.insert(format!("{:?}", key.values())) {
            return Err(invalid("Provided list of item keys contains duplicates"));
        }
    }
    check_nested(&table, projection.nested()).map_err(invalid)?;
    Ok(Asked { given, request, asks, projection, items })
}

/// Questions asked at a time: enough to hide their waits, few enough to hold their answers.
const AT_A_TIME: usize = 16;

/// What a batch has answered so far.
struct Batch {
    wanted: Wanted,
    /// Bytes that the answer may still have.
    room: usize,
    responses: BTreeMap<String, Vec<Attributes>>,
    left: BTreeMap<String, KeysAndAttributes>,
    consumed: Vec<ConsumedCapacity>,
    answered: usize,
    is_throttled: bool,
}

impl Default for Batch {
    fn default() -> Batch {
        Batch {
            wanted: Wanted::Nothing,
            room: 0,
            responses: BTreeMap::new(),
            left: BTreeMap::new(),
            consumed: Vec::new(),
            answered: 0,
            is_throttled: false,
        }
    }
}

impl Batch {
    /// Answers what a batch asks of one table; what finds no room is left.
    async fn take(&mut self, asked: Asked) -> Result<(), Fault> {
        let Asked { given, mut request, asks, projection, items } = asked;
        let is_consistent = request.consistent_read.unwrap_or_default();
        let mut found = Vec::new();
        let mut done = 0;
        let mut units = 0.0;
        'asking: for chunk in asks.chunks(AT_A_TIME) {
            if self.room == 0 || self.is_throttled {
                break;
            }
            let answers = join_all(chunk.iter().map(|ask| items.find(ask.clone()))).await;
            for answer in answers {
                let item = match answer {
                    Ok(answer) => answer.items.into_iter().next().map(attributes_of),
                    Err(fault) if fault.kind == Kind::Throttled => {
                        self.is_throttled = true;
                        break 'asking;
                    }
                    Err(fault) => return Err(of_items(fault)),
                };
                let bytes = item.as_ref().map_or(0, bytes_of);
                // One item is answered however large it is, or it would be asked for again and again.
                if self.room < bytes && 0 < self.answered + done {
                    self.room = 0;
                    break 'asking;
                }
                self.room = self.room.saturating_sub(bytes);
                units += capacity::of_read(bytes, is_consistent);
                found.extend(item.map(|it| projection.of(it)));
                done += 1;
            }
        }
        self.answered += done;
        self.consumed.extend(self.wanted.consumed(name_of(&given), units));
        request.keys.drain(..done);
        self.responses.insert(given.clone(), found);
        if !request.keys.is_empty() {
            self.left.insert(given, request);
        }
        Ok(())
    }
}
