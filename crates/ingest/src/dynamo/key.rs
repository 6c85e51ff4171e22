//! Keys of items: held against a table's key, and taken from an item.

use std::ops::Bound;

use base::limits;

use super::value::{AttributeValue, Attributes, type_of};
use crate::items::{Ask, Attribute, ItemTable};

const NOT_THE_SCHEMA: &str = "The provided key element does not match the schema";

/// Returns the attributes of a table's key, the key first.
pub(crate) fn attributes(table: &ItemTable) -> impl Iterator<Item = &Attribute> {
    std::iter::once(&table.key).chain(&table.sort)
}

/// Makes a question for one item. Of several with this key the newest is meant.
pub(crate) fn ask_for(table: &ItemTable, key: &mut Attributes) -> Result<Ask, String> {
    for value in key.values_mut() {
        value.check()?;
    }
    let count = attributes(table).count();
    let [of_key, of_sort] = [Some(&table.key), table.sort.as_ref()]
        .map(|attribute| attribute.and_then(|it| key.get(&it.name).filter(|v| v.is_of(it.kind))));
    let Some(key_value) = of_key.and_then(AttributeValue::to_key) else {
        return Err(NOT_THE_SCHEMA.to_owned());
    };
    if key.len() != count || of_sort.is_none() && table.sort.is_some() {
        return Err(NOT_THE_SCHEMA.to_owned());
    }
    for attribute in attributes(table) {
        if let Some(value) = key.get(&attribute.name) {
            check_piece(attribute, value)?;
            check_length(table, attribute, value)?;
        }
    }
    let at = of_sort.and_then(AttributeValue::to_key).map_or(Bound::Unbounded, Bound::Included);
    Ok(Ask {
        table: table.name.as_str().to_owned(),
        key: key_value,
        from: at.clone(),
        to: at,
        begins_with: None,
        descending: true,
        limit: 1,
        after: None,
    })
}

/// A key is not empty.
pub(crate) fn check_piece(attribute: &Attribute, value: &AttributeValue) -> Result<(), String> {
    let what = match value {
        AttributeValue::S(text) if text.is_empty() => "string",
        AttributeValue::B(bytes) if bytes.0.is_empty() => "binary",
        _ => return Ok(()),
    };
    Err(format!(
        "One or more parameter values are not valid. The AttributeValue for a key attribute cannot \
         contain an empty {what} value. Key: {}",
        attribute.name
    ))
}

fn check_length(
    table: &ItemTable,
    attribute: &Attribute,
    value: &AttributeValue,
) -> Result<(), String> {
    let is_key = *attribute == table.key;
    let (what, most) = if is_key {
        ("Size of hashkey has exceeded the maximum size limit of", limits::DYNAMODB_KEY_BYTES_MAX)
    } else {
        (
            "Aggregated size of all range keys has exceeded the size limit of",
            limits::DYNAMODB_SORT_BYTES_MAX,
        )
    };
    // Without a space, as DynamoDB writes it for the one and not for the other.
    let space = if is_key { "" } else { " " };
    if value.bytes() <= most {
        return Ok(());
    }
    Err(format!("One or more parameter values were invalid: {what}{space}{most} bytes"))
}

/// An item that is put has the key's attributes, of their types.
pub(crate) fn check_item(table: &ItemTable, item: &Attributes) -> Result<(), String> {
    let invalid = |what: String| Err(format!("One or more parameter values were invalid: {what}"));
    for attribute in attributes(table) {
        let name = &attribute.name;
        let Some(value) = item.get(name) else {
            return invalid(format!("Missing the key {name} in the item"));
        };
        let expected = type_of(attribute.kind).unwrap_or("S");
        if value.type_name() != expected {
            let actual = value.type_name();
            return invalid(format!(
                "Type mismatch for key {name} expected: {expected} actual: {actual}"
            ));
        }
        check_piece(attribute, value)?;
        check_length(table, attribute, value)?;
    }
    Ok(())
}

/// Returns the key of an item.
pub(crate) fn of_item(table: &ItemTable, item: &Attributes) -> Attributes {
    let pairs = attributes(table).filter_map(|it| item.get_key_value(&it.name));
    pairs.map(|(name, value)| (name.clone(), value.clone())).collect()
}
