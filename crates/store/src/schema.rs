//! A table's columns as Delta writes them down, and how stored ones follow a new declaration.
//!
//! A column that is no longer declared stays in the files and is hidden; a new one is null in
//! older rows; a type may only grow, and then the files are rewritten, because readers differ in
//! what they make of a file whose types are older than the table's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use serde_json::{Value, json};

/// Characters that no column of a Delta table may have in its name.
const NOT_IN_NAMES: &[char] = &[' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '='];

/// Returns the columns as the log's `schemaString`, with the comments that there are by their names;
/// the partition column (its name and type) comes last.
pub(crate) fn to_delta(
    schema: &Schema,
    comments: &BTreeMap<String, String>,
    partition: Option<(&str, &str)>,
) -> Result<String, String> {
    let mut fields = Vec::with_capacity(schema.fields().len() + 1);
    let mut names = BTreeSet::new();
    for field in schema.fields() {
        let name = field.name();
        if name.is_empty() || name.contains(NOT_IN_NAMES) {
            return Err(format!("column `{name}` needs a plain name; write `AS name` behind it"));
        }
        if !names.insert(name.to_lowercase()) {
            return Err(format!(
                "two columns are called `{name}`, and capitals make no difference in files; \
                 write `AS` and another name behind one of them"
            ));
        }
        fields.push(field_to_delta(field, comments.get(name))?);
    }
    if let Some((name, kind)) = partition {
        fields.push(json!({"name": name, "type": kind, "nullable": true, "metadata": {}}));
    }
    Ok(json!({"type": "struct", "fields": fields}).to_string())
}

/// Reads a `schemaString`, without the partition columns.
pub(crate) fn from_delta(text: &str, partitions: &[String]) -> Result<Schema, String> {
    let wrong = |what: &str| format!("its schema {what}");
    let value: Value = serde_json::from_str(text).map_err(|it| wrong(&it.to_string()))?;
    let fields = value.get("fields").and_then(Value::as_array).ok_or_else(|| wrong("is empty"))?;
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        let field = field_from_delta(field)?;
        if !partitions.contains(field.name()) {
            columns.push(field);
        }
    }
    Ok(Schema::new(columns))
}

/// Returns the comments in a `schemaString`, by the names of their columns.
pub(crate) fn comments(text: &str) -> BTreeMap<String, String> {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let fields = value.get("fields").and_then(Value::as_array).into_iter().flatten();
    let comments = fields.filter_map(|it| {
        let name = it.get("name")?.as_str()?.to_owned();
        Some((name, it.get("metadata")?.get("comment")?.as_str()?.to_owned()))
    });
    comments.collect()
}

fn field_to_delta(field: &Field, comment: Option<&String>) -> Result<Value, String> {
    let kind = type_to_delta(field.data_type()).map_err(|kind| {
        format!("column `{}` has the type {kind}, which Delta has not", field.name())
    })?;
    let metadata = comment.map_or_else(|| json!({}), |it| json!({"comment": it}));
    Ok(json!({
        "name": field.name(), "type": kind, "nullable": field.is_nullable(), "metadata": metadata,
    }))
}

fn type_to_delta(kind: &DataType) -> Result<Value, String> {
    Ok(match kind {
        DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8 => json!("string"),
        DataType::BinaryView | DataType::Binary | DataType::LargeBinary => json!("binary"),
        DataType::Int64 => json!("long"),
        DataType::Int32 => json!("integer"),
        DataType::Int16 => json!("short"),
        DataType::Int8 => json!("byte"),
        DataType::Float64 => json!("double"),
        DataType::Float32 => json!("float"),
        DataType::Boolean => json!("boolean"),
        DataType::Date32 => json!("date"),
        DataType::Decimal128(precision, scale) if 0 <= *scale => {
            json!(format!("decimal({precision},{scale})"))
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if zone.as_ref() == "UTC" => {
            json!("timestamp")
        }
        DataType::List(item) => json!({
            "type": "array", "elementType": type_to_delta(item.data_type())?,
            "containsNull": item.is_nullable(),
        }),
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|it| field_to_delta(it, None));
            json!({"type": "struct", "fields": fields.collect::<Result<Vec<_>, _>>()?})
        }
        other => return Err(other.to_string()),
    })
}

fn field_from_delta(value: &Value) -> Result<Field, String> {
    let name = value.get("name").and_then(Value::as_str).unwrap_or_default();
    let nullable = value.get("nullable").and_then(Value::as_bool).unwrap_or(true);
    let kind = value.get("type").unwrap_or(&Value::Null);
    let kind = type_from_delta(kind).ok_or_else(|| {
        format!("its column `{name}` has the type {kind}, which is not known here")
    })?;
    Ok(Field::new(name, kind, nullable))
}

fn type_from_delta(value: &Value) -> Option<DataType> {
    match value {
        Value::String(word) => simple_type(word),
        Value::Object(parts) if parts.get("type")? == "array" => {
            let item = type_from_delta(parts.get("elementType")?)?;
            let nullable = parts.get("containsNull").and_then(Value::as_bool).unwrap_or(true);
            Some(DataType::List(Arc::new(Field::new("item", item, nullable))))
        }
        Value::Object(parts) if parts.get("type")? == "struct" => {
            let fields = parts.get("fields")?.as_array()?;
            let fields: Option<Vec<Field>> =
                fields.iter().map(|it| field_from_delta(it).ok()).collect();
            Some(DataType::Struct(Fields::from(fields?)))
        }
        _ => None,
    }
}

fn simple_type(word: &str) -> Option<DataType> {
    Some(match word {
        "string" => DataType::Utf8View,
        "binary" => DataType::BinaryView,
        "long" => DataType::Int64,
        "integer" => DataType::Int32,
        "short" => DataType::Int16,
        "byte" => DataType::Int8,
        "double" => DataType::Float64,
        "float" => DataType::Float32,
        "boolean" => DataType::Boolean,
        "date" => DataType::Date32,
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        decimal => {
            let inside = decimal.strip_prefix("decimal(")?.strip_suffix(')')?;
            let (precision, scale) = inside.split_once(',')?;
            DataType::Decimal128(precision.trim().parse().ok()?, scale.trim().parse().ok()?)
        }
    })
}

/// What a new declaration asks of what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Evolution {
    /// All columns from now on: the declared ones, then those that are stored but not declared.
    pub(crate) columns: SchemaRef,
    /// Whether files must be written again because a type grew.
    pub(crate) rewrite: bool,
    /// Declared `not null`, but stored as nullable: legal only if no stored row is null there.
    pub(crate) no_longer_null: Vec<String>,
}

/// Compares what is stored with what is declared.
pub(crate) fn evolve(stored: &Schema, declared: &Schema) -> Result<Evolution, String> {
    let mut columns: Vec<FieldRef> = Vec::with_capacity(declared.fields().len());
    let mut rewrite = false;
    let mut no_longer_null = Vec::new();
    for field in declared.fields() {
        columns.push(Arc::clone(field));
        let Ok(old) = stored.field_with_name(field.name()) else {
            if !field.is_nullable() {
                no_longer_null.push(field.name().clone());
            }
            continue;
        };
        if !is_same_type(old.data_type(), field.data_type()) {
            if !is_wider(old.data_type(), field.data_type()) {
                return Err(cannot_become(old, field));
            }
            rewrite = true;
        }
        if old.is_nullable() && !field.is_nullable() {
            no_longer_null.push(field.name().clone());
        }
    }
    for old in stored.fields() {
        if declared.field_with_name(old.name()).is_err() {
            columns.push(Arc::new(old.as_ref().clone().with_nullable(true)));
        }
    }
    Ok(Evolution { columns: Arc::new(Schema::new(columns)), rewrite, no_longer_null })
}

fn cannot_become(old: &Field, new: &Field) -> String {
    let word = |field: &Field| match type_to_delta(field.data_type()) {
        Ok(Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(other) => other,
    };
    format!(
        "column `{}` is stored as {} and cannot become {} without losing values; give the new \
         column another name, or move the table's folder away and let the table be made again",
        new.name(),
        word(old),
        word(new),
    )
}

/// Returns whether both are the same in a Delta table.
pub(crate) fn is_same_type(old: &DataType, new: &DataType) -> bool {
    match (type_to_delta(old), type_to_delta(new)) {
        (Ok(old), Ok(new)) => old == new,
        _ => old == new,
    }
}

/// Returns whether every value of `old` is exactly one of `new`.
fn is_wider(old: &DataType, new: &DataType) -> bool {
    let bits = |kind: &DataType| match kind {
        DataType::Int8 => Some((8, 3)),
        DataType::Int16 => Some((16, 5)),
        DataType::Int32 => Some((32, 10)),
        DataType::Int64 => Some((64, 19)),
        _ => None,
    };
    match (bits(old), old, new) {
        (Some((from, _)), _, DataType::Float64) => from <= 32,
        (Some((_, digits)), _, DataType::Decimal128(precision, scale)) => {
            digits <= i32::from(*precision) - i32::from(*scale)
        }
        (Some((from, _)), _, new) => bits(new).is_some_and(|(to, _)| from < to),
        (None, DataType::Float32, DataType::Float64) => true,
        (None, DataType::Decimal128(p0, s0), DataType::Decimal128(p1, s1)) => {
            let whole = i32::from(*p1) - i32::from(*s1) - i32::from(*p0) + i32::from(*s0);
            s0 <= s1 && 0 <= whole
        }
        _ => false,
    }
}

/// Brings a batch to `columns` by name: columns it lacks become null, others are cast exactly.
pub(crate) fn conform(batch: &RecordBatch, columns: &SchemaRef) -> Result<RecordBatch, String> {
    if batch.schema_ref() == columns {
        return Ok(batch.clone());
    }
    let mut arrays = Vec::with_capacity(columns.fields().len());
    for field in columns.fields() {
        let array = match batch.column_by_name(field.name()) {
            Some(array) => to_type(array, field)?,
            None => new_null_array(field.data_type(), batch.num_rows()),
        };
        if !field.is_nullable() && 0 < array.null_count() {
            return Err(format!("column `{}` is declared `not null` and has nulls", field.name()));
        }
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(columns), arrays, &options)
        .map_err(|it| it.to_string())
}

fn to_type(array: &ArrayRef, field: &Field) -> Result<ArrayRef, String> {
    if array.data_type() == field.data_type() {
        return Ok(Arc::clone(array));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, field.data_type(), &options)
        .map_err(|it| format!("column `{}`: {it}", field.name()))
}

/// Names the first column of a batch that the table has not.
pub(crate) fn stranger<'a>(batch: &'a RecordBatch, columns: &Schema) -> Option<&'a str> {
    let schema = batch.schema_ref();
    schema.fields().iter().map(|it| it.name().as_str()).find(|it| columns.index_of(it).is_err())
}

#[cfg(test)]
mod tests;
