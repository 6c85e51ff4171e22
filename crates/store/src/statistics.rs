//! What is known of a file without reading it: its rows, and each column's nulls and bounds.
//!
//! Bounds of text may be cut (the lower one down, the upper one up) and those of floating-point
//! numbers leave out NaN, so these prune files but answer no `min` or `max`.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef};
use arrow::compute::{cast, max_boolean, min_boolean};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::file::metadata::ParquetMetaData;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What is known of a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct FileFacts {
    /// Rows in it.
    pub(crate) rows: u64,
    /// Per column, in the table's order.
    pub(crate) columns: Vec<ColumnFacts>,
}

/// What is known of a column in a file. `None` is "not known", never "there is none".
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ColumnFacts {
    /// No value is smaller.
    pub(crate) min: Option<ScalarValue>,
    /// No value is larger.
    pub(crate) max: Option<ScalarValue>,
    /// Rows in which it is null.
    pub(crate) nulls: Option<u64>,
}

impl FileFacts {
    /// Takes them from what the Parquet writer collected.
    pub(crate) fn of_parquet(metadata: &ParquetMetaData, schema: &Schema) -> FileFacts {
        let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
        let columns = schema.fields().iter().map(|field| {
            if field.data_type().is_nested() {
                return ColumnFacts::default();
            }
            column_of_parquet(metadata, schema, field.name()).unwrap_or_default()
        });
        FileFacts { rows, columns: columns.collect() }
    }

    /// Writes them as Delta's `stats`.
    pub(crate) fn to_json(&self, schema: &Schema) -> String {
        let (mut min, mut max, mut nulls) = (String::new(), String::new(), String::new());
        for (field, facts) in schema.fields().iter().zip(&self.columns) {
            let name = json_text(field.name());
            if let Some(value) = facts.min.as_ref().and_then(scalar_to_json) {
                push_member(&mut min, &name, &value);
            }
            if let Some(value) = facts.max.as_ref().and_then(scalar_to_json) {
                push_member(&mut max, &name, &value);
            }
            if let Some(count) = facts.nulls {
                push_member(&mut nulls, &name, &count.to_string());
            }
        }
        format!(
            "{{\"numRecords\":{},\"minValues\":{{{min}}},\"maxValues\":{{{max}}},\
             \"nullCount\":{{{nulls}}}}}",
            self.rows,
        )
    }

    /// Reads Delta's `stats`, ours or another program's; what is not understood is not known.
    pub(crate) fn from_json(text: &str, schema: &Schema) -> Option<FileFacts> {
        let read: Written<'_> = serde_json::from_str(text).ok()?;
        let columns = schema.fields().iter().map(|field| {
            let value = |values: &HashMap<String, &RawValue>| {
                scalar_from_json(values.get(field.name())?.get(), field.data_type())
            };
            let nulls = read.null_count.get(field.name());
            ColumnFacts {
                min: value(&read.min_values),
                max: value(&read.max_values),
                nulls: nulls.and_then(|it| it.get().parse().ok()),
            }
        });
        Some(FileFacts { rows: read.num_records, columns: columns.collect() })
    }

    /// Says the same to the query planner, for the first columns.
    pub(crate) fn to_planner(&self, columns: usize) -> Statistics {
        let rows = usize::try_from(self.rows).unwrap_or(usize::MAX);
        let columns = self.columns.iter().take(columns).map(|facts| {
            let mut known = ColumnStatistics::new_unknown();
            if let Some(nulls) = facts.nulls.and_then(|it| usize::try_from(it).ok()) {
                known.null_count = Precision::Exact(nulls);
            }
            known.min_value = bound(facts.min.as_ref());
            known.max_value = bound(facts.max.as_ref());
            known
        });
        Statistics {
            num_rows: Precision::Exact(rows),
            total_byte_size: Precision::Absent,
            column_statistics: columns.collect(),
        }
    }
}

fn bound(value: Option<&ScalarValue>) -> Precision<ScalarValue> {
    match value {
        None => Precision::Absent,
        Some(value) if is_tight(&value.data_type()) => Precision::Exact(value.clone()),
        Some(value) => Precision::Inexact(value.clone()),
    }
}

/// Returns whether bounds of this type are values that occur.
fn is_tight(kind: &DataType) -> bool {
    !matches!(
        kind,
        DataType::Float32
            | DataType::Float64
            | DataType::Utf8View
            | DataType::Utf8
            | DataType::BinaryView
    )
}

fn column_of_parquet(
    metadata: &ParquetMetaData,
    schema: &Schema,
    column: &str,
) -> Option<ColumnFacts> {
    let descriptor = metadata.file_metadata().schema_descr();
    let converter = StatisticsConverter::try_new(column, schema, descriptor).ok()?;
    let groups = || metadata.row_groups().iter();
    let nulls = converter.row_group_null_counts(groups()).ok()?;
    let nulls = (nulls.null_count() == 0).then(|| nulls.iter().flatten().sum());
    let all_null = nulls == u64::try_from(metadata.file_metadata().num_rows()).ok();
    let bounds = |of: Option<ArrayRef>, least: bool| {
        let values = of.filter(|it| !all_null && it.null_count() == 0)?;
        extreme(&values, least)
    };
    let min = bounds(converter.row_group_mins(groups()).ok(), true);
    let max = bounds(converter.row_group_maxes(groups()).ok(), false);
    Some(ColumnFacts { min, max, nulls })
}

/// Returns the least or the greatest of the row groups' bounds.
fn extreme(values: &ArrayRef, least: bool) -> Option<ScalarValue> {
    if let Some(flags) = values.as_any().downcast_ref() {
        let flag = if least { min_boolean(flags) } else { max_boolean(flags) };
        return flag.map(|it| ScalarValue::Boolean(Some(it)));
    }
    let scalars = (0..values.len()).filter_map(|it| ScalarValue::try_from_array(values, it).ok());
    scalars.reduce(|a, b| {
        let b_is_less = b.partial_cmp(&a).is_some_and(std::cmp::Ordering::is_lt);
        if b_is_less == least { b } else { a }
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    num_records: u64,
    #[serde(borrow, default)]
    min_values: HashMap<String, &'a RawValue>,
    #[serde(borrow, default)]
    max_values: HashMap<String, &'a RawValue>,
    #[serde(borrow, default)]
    null_count: HashMap<String, &'a RawValue>,
}

fn push_member(object: &mut String, name: &str, value: &str) {
    let comma = if object.is_empty() { "" } else { "," };
    object.push_str(&format!("{comma}{name}:{value}"));
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Returns a value as JSON, or `None` if Delta keeps no bounds of its type.
fn scalar_to_json(value: &ScalarValue) -> Option<String> {
    let text = || {
        let array = cast(&value.to_array().ok()?, &DataType::Utf8).ok()?;
        let scalar = ScalarValue::try_from_array(&array, 0).ok()?;
        scalar.try_as_str().flatten().map(str::to_owned)
    };
    match value.data_type() {
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Decimal128(..) => text(),
        DataType::Float32 | DataType::Float64 => {
            let number: ScalarValue = value.cast_to(&DataType::Float64).ok()?;
            let ScalarValue::Float64(Some(number)) = number else { return None };
            serde_json::Number::from_f64(number).map(|it| it.to_string())
        }
        DataType::Utf8View | DataType::Date32 | DataType::Timestamp(..) => {
            text().map(|it| json_text(&it))
        }
        _ => None,
    }
}

fn scalar_from_json(raw: &str, kind: &DataType) -> Option<ScalarValue> {
    if matches!(kind, DataType::BinaryView | DataType::Boolean) || kind.is_nested() {
        return None;
    }
    let text = if raw.starts_with('"') {
        serde_json::from_str::<String>(raw).ok()?
    } else if raw == "null" {
        return None;
    } else {
        raw.to_owned()
    };
    let value = ScalarValue::from(text).cast_to(kind).ok()?;
    (!value.is_null()).then_some(value)
}

#[cfg(test)]
mod tests;
