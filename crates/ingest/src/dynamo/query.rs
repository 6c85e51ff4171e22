//! `Query`: the items of one key, in order, page by page.

use std::cmp::Ordering;
use std::ops::Bound;

use base::limits;
use serde::{Deserialize, Serialize};

use super::capacity::{self, ConsumedCapacity, Wanted};
use super::condition::{self, Test};
use super::expression;
use super::key;
use super::legacy::{self, Conditions};
use super::number::Number;
use super::page::{self, CURSOR};
use super::placeholders::{Names, Placeholders};
use super::projection::Projection;
use super::range::{KeyTest, Range, key_tests};
use super::request::{
    NAMES_ALONE, check_nested, check_table_name, invalid, mixed, of_items, of_names, read,
    table_named,
};
use super::value::{AttributeValue, Attributes};
use crate::aws::Call;
use crate::aws::fault::Fault;
use crate::aws::validate::Constraints;
use crate::items::{Ask, Attribute, ItemTable, Value};

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Query {
    table_name: Option<String>,
    index_name: Option<String>,
    select: Option<String>,
    attributes_to_get: Option<Vec<String>>,
    limit: Option<i64>,
    consistent_read: Option<bool>,
    key_conditions: Option<Conditions>,
    query_filter: Option<Conditions>,
    conditional_operator: Option<String>,
    scan_index_forward: Option<bool>,
    exclusive_start_key: Option<Attributes>,
    return_consumed_capacity: Option<String>,
    projection_expression: Option<String>,
    filter_expression: Option<String>,
    key_condition_expression: Option<String>,
    expression_attribute_names: Option<Names>,
    expression_attribute_values: Option<Attributes>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct QueryAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<Attributes>>,
    count: usize,
    scanned_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_evaluated_key: Option<Attributes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<ConsumedCapacity>,
}

/// A query whose names are looked up.
struct Asked {
    tests: Vec<KeyTest>,
    filter: Option<Test>,
    /// What the filter was called in the request.
    filter_name: &'static str,
    projection: Projection,
    is_count: bool,
}

pub(crate) async fn query(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let mut request: Query = read(call, limits::DYNAMODB_REQUEST_BYTES_MAX)?;
    let wanted = check(&request)?;
    let given = request.table_name.take().unwrap_or_default();
    let is_consistent = request.consistent_read.unwrap_or_default();
    let descending = request.scan_index_forward == Some(false);
    let limit = request.limit.map_or(usize::MAX, |it| usize::try_from(it).unwrap_or(usize::MAX));
    let start = request.exclusive_start_key.take();
    let index = request.index_name.take();
    let asked = request.read().map_err(invalid)?;
    let (table, items) = table_named(call, &given)?;
    if let Some(index) = index {
        let message = format!("The table does not have the specified index: {index:.255}");
        return Err(invalid(message));
    }
    let range = Range::of(&table, &asked.tests).map_err(invalid)?;
    asked.check(&table).map_err(invalid)?;
    let ask = ask_of(&table, range, start, descending).map_err(invalid)?;
    let page = page::read(items.as_ref(), &table, ask, limit).await.map_err(of_items)?;
    let scanned_count = page.items.len();
    let holds = |item: &Attributes| asked.filter.as_ref().is_none_or(|it| it.holds(item));
    let passed: Vec<Attributes> = page.items.into_iter().filter(holds).collect();
    call.write(&QueryAnswer {
        count: passed.len(),
        scanned_count,
        items: (!asked.is_count)
            .then(|| passed.into_iter().map(|it| asked.projection.of(it)).collect()),
        last_evaluated_key: page.last,
        consumed_capacity: wanted.consumed(&given, capacity::of_read(page.bytes, is_consistent)),
    })
}

/// Checks what stands for itself.
fn check(request: &Query) -> Result<Wanted, Fault> {
    let mut constraints = Constraints::default();
    check_table_name(request.table_name.as_ref(), &mut constraints);
    if let Some(select) = request.select.as_deref() {
        let allowed =
            ["SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"];
        constraints.one_of(select, "select", &allowed);
    }
    if let Some(limit) = request.limit {
        constraints.range(limit, "limit", 1..=i64::MAX);
    }
    if let Some(operator) = request.conditional_operator.as_deref() {
        constraints.one_of(operator, "conditionalOperator", &["OR", "AND"]);
    }
    let wanted = Wanted::read(request.return_consumed_capacity.as_deref(), &mut constraints);
    constraints.check()?;
    Ok(wanted)
}

impl Query {
    fn read(self) -> Result<Asked, String> {
        self.check_mixed()?;
        let is_count = self.check_select()?;
        if self.key_conditions.is_none() && self.key_condition_expression.is_none() {
            return Err("Either the KeyConditions or KeyConditionExpression parameter must be \
                        specified in the request."
                .to_owned());
        }
        let names = self.expression_attribute_names;
        let mut placeholders = Placeholders::new(names, self.expression_attribute_values)?;
        let tests = match (self.key_condition_expression, self.key_conditions) {
            (Some(text), _) => {
                let test = read_condition("KeyConditionExpression", &text, &mut placeholders)?;
                key_tests(&test)?
            }
            (None, conditions) => legacy::key_tests(conditions.unwrap_or_default())?,
        };
        let (filter, filter_name) = match (self.filter_expression, self.query_filter) {
            (Some(text), _) => {
                let test = read_condition("FilterExpression", &text, &mut placeholders)?;
                (Some(test), "Filter Expression")
            }
            (None, conditions) => {
                let is_or = self.conditional_operator.as_deref() == Some("OR");
                (legacy::filter(conditions.unwrap_or_default(), is_or)?, "QueryFilter")
            }
        };
        let projection = match self.projection_expression {
            Some(text) => Projection::read(&text, &mut placeholders)?,
            None => of_names(self.attributes_to_get)?,
        };
        placeholders.all_used()?;
        Ok(Asked { tests, filter, filter_name, projection, is_count })
    }

    /// Expressions do not go together with what was there before them.
    fn check_mixed(&self) -> Result<(), String> {
        let new = [
            ("ProjectionExpression", self.projection_expression.is_some()),
            ("FilterExpression", self.filter_expression.is_some()),
            ("KeyConditionExpression", self.key_condition_expression.is_some()),
        ];
        // An expression may filter what old conditions on the key found.
        let has_key_expression = self.key_condition_expression.is_some();
        let old = [
            ("AttributesToGet", self.attributes_to_get.is_some()),
            ("QueryFilter", self.query_filter.is_some()),
            ("ConditionalOperator", self.conditional_operator.is_some()),
            ("KeyConditions", self.key_conditions.is_some() && has_key_expression),
        ];
        let given = |all: &[(&'static str, bool)]| -> Vec<&'static str> {
            all.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name).collect()
        };
        let (old, new) = (given(&old), given(&new));
        if !old.is_empty() && !new.is_empty() {
            return Err(mixed(&old, &new));
        }
        if new.is_empty() && self.expression_attribute_names.is_some() {
            return Err(NAMES_ALONE.to_owned());
        }
        let has_conditions = has_key_expression || self.filter_expression.is_some();
        if !has_conditions && self.expression_attribute_values.is_some() {
            return Err("ExpressionAttributeValues can only be specified when using expressions: \
                        FilterExpression and KeyConditionExpression are null"
                .to_owned());
        }
        Ok(())
    }

    /// Checks `Select`; returns whether only the count is wanted.
    fn check_select(&self) -> Result<bool, String> {
        let select = self.select.as_deref();
        let parts = if self.projection_expression.is_some() {
            Some("ProjectionExpression")
        } else {
            self.attributes_to_get.as_ref().map(|_| "AttributesToGet")
        };
        match (select, parts) {
            (Some("COUNT"), Some(parts)) => {
                Err(format!("Cannot specify the {parts} when choosing to get only the Count"))
            }
            (Some("ALL_ATTRIBUTES"), Some(parts)) => {
                Err(format!("Cannot specify the {parts} when choosing to get ALL_ATTRIBUTES"))
            }
            (Some("SPECIFIC_ATTRIBUTES"), None) => {
                Err("Must specify the AttributesToGet or ProjectionExpression when choosing to \
                     get SPECIFIC_ATTRIBUTES"
                    .to_owned())
            }
            (Some("ALL_PROJECTED_ATTRIBUTES"), _) => {
                Err("One or more parameter values were invalid: ALL_PROJECTED_ATTRIBUTES can be \
                     used only when Querying using an IndexName"
                    .to_owned())
            }
            _ => Ok(select == Some("COUNT")),
        }
    }
}

fn read_condition(name: &str, text: &str, placeholders: &mut Placeholders) -> Result<Test, String> {
    let read = expression::condition(text).map_err(|error| error.to_string());
    let checked = read.and_then(|it| condition::check(&it, placeholders));
    checked.map_err(|what| format!("Invalid {name}: {what}"))
}

impl Asked {
    /// Holds the filter and the projection against the key of a table.
    fn check(&self, table: &ItemTable) -> Result<(), String> {
        let mut paths = Vec::new();
        if let Some(filter) = &self.filter {
            filter.paths(&mut |path| paths.push(path));
        }
        let is_key = |name: &str| key::attributes(table).any(|it| it.name == name);
        check_nested(table, self.projection.nested())?;
        match paths.iter().find(|it| is_key(&it.head)) {
            None => Ok(()),
            Some(path) => Err(format!(
                "{} can only contain non-primary key attributes: Primary key attribute: {}",
                self.filter_name, path.head
            )),
        }
    }
}

/// Makes the question for a page, which begins after `start`.
fn ask_of(
    table: &ItemTable,
    range: Range,
    start: Option<Attributes>,
    descending: bool,
) -> Result<Ask, String> {
    let mut ask = Ask {
        table: table.name.as_str().to_owned(),
        key: range.key,
        from: range.from,
        to: range.to,
        // A range says the same, and goes together with the key at which a page begins.
        begins_with: None,
        descending,
        limit: 0,
        after: None,
    };
    let Some(mut start) = start else { return Ok(ask) };
    let wrong = |what: &str| format!("The provided starting key {what}");
    for value in start.values_mut() {
        value.check().map_err(|what| wrong(&format!("is invalid: {what}")))?;
    }
    match start.remove(CURSOR) {
        Some(AttributeValue::S(after)) => ask.after = Some(after),
        Some(_) => return Err(wrong("is invalid")),
        None => {}
    }
    let has_all = key::attributes(table).all(|it| start.contains_key(&it.name));
    // Only an item without a sort value is found by its cursor alone.
    let is_whole = has_all && start.len() == key::attributes(table).count();
    if !is_whole && ask.after.is_none() {
        return Err(wrong("is invalid"));
    }
    let is_typed = |it: &Attribute| start.get(&it.name).is_none_or(|value| value.is_of(it.kind));
    if !key::attributes(table).all(is_typed) {
        return Err(wrong("is invalid: The provided key element does not match the schema"));
    }
    if start.get(&table.key.name).and_then(AttributeValue::to_key).as_ref() != Some(&ask.key) {
        return Err(wrong("is outside query boundaries based on provided conditions"));
    }
    if ask.after.is_some() {
        return Ok(ask);
    }
    let sort = table.sort.as_ref().and_then(|it| start.get(&it.name));
    let Some(sort) = sort.and_then(AttributeValue::to_key) else {
        return Err("The query can return at most one row and cannot be restarted".to_owned());
    };
    if !is_within(&ask, &sort) {
        return Err(wrong("does not match the range key predicate"));
    }
    if descending {
        ask.to = Bound::Excluded(sort);
    } else {
        ask.from = Bound::Excluded(sort);
    }
    Ok(ask)
}

/// Returns whether a sort value is among those that are asked for.
fn is_within(ask: &Ask, sort: &Value) -> bool {
    let above = match &ask.from {
        Bound::Unbounded => true,
        Bound::Included(least) => order(sort, least).is_ge(),
        Bound::Excluded(least) => order(sort, least).is_gt(),
    };
    let below = match &ask.to {
        Bound::Unbounded => true,
        Bound::Included(most) => order(sort, most).is_le(),
        Bound::Excluded(most) => order(sort, most).is_lt(),
    };
    above && below
}

/// Orders two sort values of one type. Times may be written in several ways.
fn order(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            Number::parse(left).ok().cmp(&Number::parse(right).ok())
        }
        (Value::Bytes(left), Value::Bytes(right)) => left.cmp(right),
        (Value::Text(left), Value::Text(right)) => {
            let times = left.parse::<jiff::Timestamp>().ok().zip(right.parse().ok());
            times.map_or_else(|| left.cmp(right), |(left, right)| left.cmp(&right))
        }
        _ => Ordering::Equal,
    }
}
