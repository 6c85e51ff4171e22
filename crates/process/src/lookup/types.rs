//! Types of a lookup's columns, found from what stands in them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringViewArray};
use arrow::compute::cast;
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use serde_json::Value;
use spec::ColumnType;

/// Returns a value as JSON writes it.
pub(crate) fn text_of(values: &ArrayRef, row: usize) -> String {
    let mut text = String::new();
    rows::json::write_value(values, row, &mut text);
    text
}

/// Returns a day as its first moment, where a moment is wanted.
pub(crate) fn whole_moment(kind: ColumnType, text: &str) -> String {
    let is_day = kind == ColumnType::Timestamp && infer_text(text) == ColumnType::Date;
    if is_day { format!("{text}T00:00:00Z") } else { text.to_owned() }
}

/// Returns the column type for values of an Arrow type; what has parts becomes JSON.
pub(crate) fn kind_of(kind: &DataType) -> ColumnType {
    match kind {
        DataType::Boolean => ColumnType::Bool,
        DataType::Int64 => ColumnType::Int,
        DataType::Float64 => ColumnType::Float,
        DataType::Decimal128(precision, scale) => {
            ColumnType::Decimal { precision: *precision, scale: *scale }
        }
        DataType::Timestamp(..) => ColumnType::Timestamp,
        DataType::Date32 => ColumnType::Date,
        DataType::BinaryView => ColumnType::Bytes,
        DataType::Utf8View => ColumnType::Text,
        _ => ColumnType::Json,
    }
}

/// Brings a column of a Parquet file near to the type it shall have.
pub(crate) fn plain(array: &ArrayRef, kind: ColumnType) -> Result<ArrayRef, ArrowError> {
    match (kind, array.data_type()) {
        (ColumnType::Timestamp, DataType::Date32 | DataType::Date64) => {
            cast(array, &rows::schema::timestamp())
        }
        (ColumnType::Json, it) if it.is_nested() => {
            let text = |row: usize| array.is_valid(row).then(|| text_of(array, row));
            let texts: StringViewArray = (0..array.len()).map(text).collect();
            Ok(Arc::new(texts))
        }
        _ => Ok(Arc::clone(array)),
    }
}

/// Returns the narrowest type that holds values of both.
pub(crate) fn both(one: Option<ColumnType>, other: ColumnType) -> ColumnType {
    match (one, other) {
        (None, kind) => kind,
        (Some(one), other) if one == other => one,
        (Some(ColumnType::Int), ColumnType::Float) | (Some(ColumnType::Float), ColumnType::Int) => {
            ColumnType::Float
        }
        (Some(ColumnType::Date), ColumnType::Timestamp)
        | (Some(ColumnType::Timestamp), ColumnType::Date) => ColumnType::Timestamp,
        _ => ColumnType::Text,
    }
}

/// Returns the type of a value of JSON.
pub(crate) fn infer(value: &Value) -> Option<ColumnType> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(_) => ColumnType::Bool,
        Value::Number(number) if number.is_i64() => ColumnType::Int,
        Value::Number(_) => ColumnType::Float,
        Value::String(text) => infer_text(text),
        Value::Array(_) | Value::Object(_) => ColumnType::Json,
    })
}

pub(crate) fn infer_text(text: &str) -> ColumnType {
    let digits = text.trim_start_matches('-');
    // `007` and `+49` are names, not numbers.
    let is_padded = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    let is_number = digits.starts_with(|it: char| it.is_ascii_digit()) && !is_padded;
    if is_number && text.parse::<i64>().is_ok() {
        return ColumnType::Int;
    }
    if is_number && text.parse::<f64>().is_ok_and(f64::is_finite) {
        return ColumnType::Float;
    }
    if matches!(text, "true" | "false") {
        return ColumnType::Bool;
    }
    if text.as_bytes().get(4) != Some(&b'-') || digits.len() != text.len() {
        return ColumnType::Text;
    }
    match string_to_timestamp_nanos(text) {
        Ok(_) if text.len() == 10 => ColumnType::Date,
        Ok(_) => ColumnType::Timestamp,
        Err(_) => ColumnType::Text,
    }
}
