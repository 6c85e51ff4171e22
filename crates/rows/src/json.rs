//! Writes rows as JSON: exact decimals, moments in RFC 3339, everything else as it reads best.
//!
//! Every Arrow type can be written, since queries may answer with any. NULL, NaN and infinities are
//! `null`; bytes are text if they are UTF-8, else base64; what has no form of its own in JSON
//! (intervals, times of day) is a string.

use std::fmt::{Display, Write};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal128Type, Float16Type, Float32Type, Float64Type,
    Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::moment;

/// Writes each row as one line, an object with all columns in their order.
pub fn write_lines(batch: &RecordBatch, out: &mut String) {
    let names = quoted_names(batch);
    for row in 0..batch.num_rows() {
        write_row(batch, &names, row, out);
        out.push('\n');
    }
}

/// Writes the rows as one array of objects, one row a line.
pub fn write_array(batches: &[RecordBatch], out: &mut String) {
    out.push('[');
    let mut separator = "";
    for batch in batches {
        let names = quoted_names(batch);
        for row in 0..batch.num_rows() {
            out.push_str(separator);
            separator = ",\n";
            write_row(batch, &names, row, out);
        }
    }
    out.push(']');
}

/// Returns each row as one line of JSON.
pub fn lines(batch: &RecordBatch) -> Vec<String> {
    let mut lines = Vec::with_capacity(batch.num_rows());
    each_line(batch, |line| lines.push(line));
    lines
}

/// Hands over each row as one line of JSON.
pub(crate) fn each_line(batch: &RecordBatch, mut take: impl FnMut(String)) {
    let names = quoted_names(batch);
    let mut room = 0;
    for row in 0..batch.num_rows() {
        let mut line = String::with_capacity(room);
        write_row(batch, &names, row, &mut line);
        room = line.len() + line.len() / 8; // The next one is about as long.
        take(line);
    }
}

/// Returns a value as `serde_json` has it; a decimal or number beyond its types loses digits there,
/// so compare texts ([`write_value`]) where exactness counts.
pub fn value(array: &dyn Array, row: usize) -> serde_json::Value {
    let mut out = String::new();
    write_value(array, row, &mut out);
    serde_json::from_str(&out).unwrap_or(serde_json::Value::Null)
}

/// Writes one row as an array of values, without names.
pub fn write_values(batch: &RecordBatch, row: usize, out: &mut String) {
    write_list(batch.columns().iter(), out, |column, out| write_value(column, row, out));
}

/// Writes one value.
pub fn write_value(array: &dyn Array, row: usize, out: &mut String) {
    if array.is_null(row) {
        out.push_str("null");
        return;
    }
    match array.data_type() {
        DataType::Null => out.push_str("null"),
        DataType::Boolean => push(array.as_boolean().value(row), out),
        DataType::Int64 => push(array.as_primitive::<Int64Type>().value(row), out),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            write_float(array, row, out);
        }
        DataType::Decimal128(..) => {
            out.push_str(&array.as_primitive::<Decimal128Type>().value_as_string(row));
        }
        kind if kind.is_integer() || kind.is_decimal() => push(displayed(array, row), out),
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            out.push('"');
            write_moment(array, row, out);
            out.push('"');
        }
        DataType::Utf8View => write_string(array.as_string_view().value(row), out),
        DataType::Utf8 => write_string(array.as_string::<i32>().value(row), out),
        DataType::LargeUtf8 => write_string(array.as_string::<i64>().value(row), out),
        DataType::BinaryView => write_bytes(array.as_binary_view().value(row), out),
        DataType::Binary => write_bytes(array.as_binary::<i32>().value(row), out),
        DataType::LargeBinary => write_bytes(array.as_binary::<i64>().value(row), out),
        DataType::FixedSizeBinary(_) => write_bytes(array.as_fixed_size_binary().value(row), out),
        DataType::List(_) => write_items(&array.as_list::<i32>().value(row), out),
        DataType::LargeList(_) => write_items(&array.as_list::<i64>().value(row), out),
        DataType::FixedSizeList(..) => write_items(&array.as_fixed_size_list().value(row), out),
        DataType::Struct(_) => write_struct(array, row, out),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            match dictionary.normalized_keys().get(row) {
                Some(key) => write_value(dictionary.values(), *key, out),
                None => out.push_str("null"),
            }
        }
        _ => write_string(&displayed(array, row), out),
    }
}

/// Writes a moment or day without quotes.
fn write_moment(array: &dyn Array, row: usize, out: &mut String) {
    let (value, digits) = match array.data_type() {
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>().value(row);
            return moment::write_date(i64::from(days), out);
        }
        DataType::Timestamp(TimeUnit::Second, _) => {
            (array.as_primitive::<TimestampSecondType>().value(row), 0)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            (array.as_primitive::<TimestampMillisecondType>().value(row), 3)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            (array.as_primitive::<TimestampMicrosecondType>().value(row), 6)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            (array.as_primitive::<TimestampNanosecondType>().value(row), 9)
        }
        _ => (array.as_primitive::<Date64Type>().value(row), 3),
    };
    moment::write_timestamp(value, digits, out);
}

fn write_float(array: &dyn Array, row: usize, out: &mut String) {
    // The shortest text that reads back as the same number of its own width.
    let number = match array.data_type() {
        DataType::Float16 => {
            serde_json::Number::from_f64(array.as_primitive::<Float16Type>().value(row).to_f64())
        }
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            value.to_string().parse().ok().and_then(serde_json::Number::from_f64)
        }
        _ => serde_json::Number::from_f64(array.as_primitive::<Float64Type>().value(row)),
    };
    match number {
        Some(number) => push(number, out),
        None => out.push_str("null"),
    }
}

fn write_bytes(bytes: &[u8], out: &mut String) {
    match std::str::from_utf8(bytes) {
        Ok(text) => write_string(text, out),
        Err(_other_bytes) => write_string(&STANDARD.encode(bytes), out),
    }
}

fn write_items(items: &ArrayRef, out: &mut String) {
    write_list(0..items.len(), out, |index, out| write_value(items, index, out));
}

fn write_struct(array: &dyn Array, row: usize, out: &mut String) {
    let array = array.as_struct();
    let mut separator = '{';
    for (column, field) in array.columns().iter().zip(array.fields()) {
        out.push(separator);
        separator = ',';
        write_string(field.name(), out);
        out.push(':');
        write_value(column, row, out);
    }
    out.push_str(if separator == '{' { "{}" } else { "}" });
}

/// Returns what Arrow itself writes for a value.
fn displayed(array: &dyn Array, row: usize) -> String {
    match ArrayFormatter::try_new(array, &FormatOptions::default()) {
        Ok(formatter) => formatter.value(row).to_string(),
        Err(error) => error.to_string(),
    }
}

/// Returns microseconds since 1970 as RFC 3339 in UTC.
pub fn timestamp_text(micros: i64) -> String {
    let mut out = String::new();
    moment::write_timestamp(micros, 6, &mut out);
    out
}

/// Writes a JSON string.
pub fn write_string(text: &str, out: &mut String) {
    if text.bytes().all(|it| b' ' <= it && it != b'"' && it != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
        return;
    }
    match serde_json::to_string(text) {
        Ok(quoted) => out.push_str(&quoted),
        Err(_) => out.push_str("\"\""),
    }
}

fn write_row(batch: &RecordBatch, names: &[String], row: usize, out: &mut String) {
    out.push('{');
    for (index, (name, column)) in names.iter().zip(batch.columns()).enumerate() {
        if 0 < index {
            out.push(',');
        }
        out.push_str(name);
        out.push(':');
        write_value(column, row, out);
    }
    out.push('}');
}

fn write_list<T>(
    items: impl Iterator<Item = T>,
    out: &mut String,
    mut write: impl FnMut(T, &mut String),
) {
    out.push('[');
    for (index, item) in items.enumerate() {
        if 0 < index {
            out.push(',');
        }
        write(item, out);
    }
    out.push(']');
}

fn push(value: impl Display, out: &mut String) {
    let written = write!(out, "{value}");
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
}

fn quoted_names(batch: &RecordBatch) -> Vec<String> {
    let quote = |name: &String| {
        let mut quoted = String::new();
        write_string(name, &mut quoted);
        quoted
    };
    batch.schema_ref().fields().iter().map(|it| quote(it.name())).collect()
}

#[cfg(test)]
mod tests;
