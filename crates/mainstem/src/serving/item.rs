//! Rows as items, and values from outside as what rows are found by.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use base::{Kind, Name};
use ingest::{Attribute, AttributeKind, Item, ItemFault, ItemTable, Value};
use rows::keyed::{Given, NotAValue};
use store::Served;

/// Returns what is told of a served table.
pub(super) fn table(name: &str, served: &Served, created_ms: u64) -> Option<ItemTable> {
    let (keyed, facts) = (served.keyed(), served.table().facts());
    let schema = keyed.schema();
    let attribute = |column: usize| of_column(schema, column);
    let shown = (0..schema.fields().len())
        .filter(|it| !rows::schema::is_hidden(schema.field(*it).name()))
        .map(attribute);
    Some(ItemTable {
        name: Name::new(name).ok()?,
        key: attribute(keyed.key_column()),
        sort: keyed.sort_column().map(attribute),
        attributes: shown.collect(),
        items: facts.rows,
        bytes: facts.bytes,
        created_ms,
    })
}

fn of_column(schema: &SchemaRef, column: usize) -> Attribute {
    let field = schema.field(column);
    let kind = match field.data_type() {
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Date32
        | DataType::Timestamp(..) => AttributeKind::Text,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => AttributeKind::Bytes,
        kind if kind.is_numeric() => AttributeKind::Number,
        _ => AttributeKind::Other,
    };
    Attribute { name: field.name().clone(), kind }
}

/// Returns a row as an item, without what is null or hidden.
pub(super) fn of(row: &RecordBatch) -> Item {
    let schema = row.schema();
    let fields = schema.fields().iter().zip(row.columns());
    fields
        .filter(|(field, column)| !rows::schema::is_hidden(field.name()) && column.is_valid(0))
        .map(|(field, column)| (field.name().clone(), value(column, 0)))
        .collect()
}

fn value(column: &dyn Array, row: usize) -> Value {
    match column.data_type() {
        DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
        DataType::Binary => Value::Bytes(column.as_binary::<i32>().value(row).to_vec()),
        DataType::LargeBinary => Value::Bytes(column.as_binary::<i64>().value(row).to_vec()),
        DataType::BinaryView => Value::Bytes(column.as_binary_view().value(row).to_vec()),
        kind if kind.is_numeric() => {
            let mut text = String::new();
            rows::json::write_value(column, row, &mut text);
            if text == "null" { Value::Null } else { Value::Number(text) }
        }
        _ => of_json(rows::json::value(column, row)),
    }
}

fn of_json(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(it) => Value::Bool(it),
        serde_json::Value::Number(it) => Value::Number(it.to_string()),
        serde_json::Value::String(it) => Value::Text(it),
        serde_json::Value::Array(items) => Value::List(items.into_iter().map(of_json).collect()),
        serde_json::Value::Object(fields) => {
            Value::Map(fields.into_iter().map(|(name, it)| (name, of_json(it))).collect())
        }
    }
}

/// Returns a value as rows are found by it.
pub(super) fn given(value: &Value) -> Result<Given<'_>, ItemFault> {
    match value {
        Value::Text(it) | Value::Number(it) => Ok(Given::Text(it)),
        Value::Bytes(it) => Ok(Given::Bytes(it)),
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => Err(ItemFault {
            kind: Kind::Invalid,
            message: "rows are found by text, numbers, times or bytes".to_owned(),
            help: None,
        }),
    }
}

pub(super) fn no_value(error: &NotAValue) -> ItemFault {
    ItemFault { kind: Kind::Invalid, message: error.to_string(), help: None }
}

pub(super) fn no_order() -> ItemFault {
    ItemFault {
        kind: Kind::Invalid,
        message: "the rows of a key have no order here".to_owned(),
        help: Some("add `sort` to the table's `serve`".to_owned()),
    }
}

/// Returns the first text after all that begin so; none if there is none.
pub(super) fn after_all(begin: &str) -> Option<String> {
    let mut letters: Vec<char> = begin.chars().collect();
    while let Some(last) = letters.pop() {
        // Surrogates are no letters: the next after them comes next.
        let next =
            if last == '\u{D7FF}' { Some('\u{E000}') } else { char::from_u32(last as u32 + 1) };
        if let Some(next) = next {
            letters.push(next);
            return Some(letters.into_iter().collect());
        }
    }
    None
}
