//! Writes rows as CSV by RFC 4180, with a line of names first.

use std::borrow::Cow;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Schema};

use crate::json;

/// Writes the names of the columns as the first line.
pub fn write_header(schema: &Schema, out: &mut String) {
    write_line(schema.fields().iter().map(|it| Some(Cow::Borrowed(it.name().as_str()))), out);
}

/// Writes one line for each row, in the forms of [`json`] without the quotes of its strings; lists
/// and structs are written as JSON. As in PostgreSQL, NULL is nothing and an empty text is `""`.
pub fn write_rows(batch: &RecordBatch, out: &mut String) {
    for row in 0..batch.num_rows() {
        write_line(batch.columns().iter().map(|it| text_of(it, row)), out);
    }
}

fn write_line<'a>(fields: impl Iterator<Item = Option<Cow<'a, str>>>, out: &mut String) {
    for (index, field) in fields.enumerate() {
        if 0 < index {
            out.push(',');
        }
        match field.as_deref() {
            None => {}
            Some(text) if is_plain(text) => out.push_str(text),
            Some(text) => {
                out.push('"');
                out.push_str(&text.replace('"', "\"\""));
                out.push('"');
            }
        }
    }
    out.push('\n');
}

/// Returns whether a text reads the same without quotes.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && !text.contains([',', '"', '\r', '\n'])
        && !text.starts_with(' ')
        && !text.ends_with(' ')
}

fn text_of(array: &dyn Array, row: usize) -> Option<Cow<'_, str>> {
    if array.is_null(row) {
        return None;
    }
    if *array.data_type() == DataType::Utf8View {
        return Some(Cow::Borrowed(array.as_string_view().value(row)));
    }
    let mut out = String::new();
    json::write_value(array, row, &mut out);
    if out == "null" {
        return None;
    }
    if out.starts_with('"') {
        return Some(Cow::Owned(serde_json::from_str(&out).unwrap_or(out)));
    }
    Some(Cow::Owned(out))
}

#[cfg(test)]
mod tests;
