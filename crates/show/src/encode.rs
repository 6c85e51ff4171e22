//! Rows as JSON, CSV or an Arrow stream, and column types in the words of the project files.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde::Serialize;
use serde_json::Value;

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ColumnHead {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

/// Returns the columns of an answer.
pub(crate) fn heads(schema: &Schema) -> Vec<ColumnHead> {
    let head = |it: &arrow::datatypes::Field| ColumnHead {
        name: it.name().clone(),
        kind: type_word(it.data_type()),
    };
    schema.fields().iter().map(|it| head(it)).collect()
}

/// Returns a type as the project files write it.
pub(crate) fn type_word(kind: &DataType) -> String {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Boolean => "bool".to_owned(),
        it if it.is_integer() => "int".to_owned(),
        it if it.is_floating() => "float".to_owned(),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => format!("decimal({p},{s})"),
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => format!("decimal({p},{s})"),
        DataType::Timestamp(_, _) => "timestamp".to_owned(),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        it if it.is_binary() => "bytes".to_owned(),
        DataType::Dictionary(_, values) => type_word(values),
        DataType::List(of) | DataType::LargeList(of) | DataType::ListView(of) => {
            format!("list({})", type_word(of.data_type()))
        }
        other => other.to_string().to_lowercase(),
    }
}

/// Returns the rows of `batch` as JSON arrays, in the order of its columns.
pub(crate) fn rows(batch: &RecordBatch) -> Result<Vec<Vec<Value>>, ArrowError> {
    let mut rows: Vec<Vec<Value>> = vec![Vec::new(); batch.num_rows()];
    let options = FormatOptions::default().with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.fZ"));
    for column in batch.columns() {
        let text = ArrayFormatter::try_new(column, &options)?;
        for (index, row) in rows.iter_mut().enumerate() {
            row.push(value(column, &text, index)?);
        }
    }
    Ok(rows)
}

fn value(column: &dyn Array, text: &ArrayFormatter<'_>, index: usize) -> Result<Value, ArrowError> {
    use arrow::datatypes::{Float64Type, Int64Type};
    Ok(match column.data_type() {
        _ if column.is_null(index) => Value::Null,
        DataType::Boolean => Value::Bool(column.as_boolean().value(index)),
        DataType::Int64 => Value::from(column.as_primitive::<Int64Type>().value(index)),
        DataType::Float64 => Value::from(column.as_primitive::<Float64Type>().value(index)),
        _ => Value::String(text.value(index).try_to_string()?),
    })
}

/// Returns the first line of a CSV answer.
pub(crate) fn csv_head(schema: &Schema) -> String {
    let names: Vec<String> = schema.fields().iter().map(|it| quoted(it.name())).collect();
    names.join(",") + "\r\n"
}

/// Returns the rows of `batch` as lines of CSV.
pub(crate) fn csv(batch: &RecordBatch) -> Result<String, ArrowError> {
    let options = FormatOptions::default().with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.fZ"));
    let columns: Result<Vec<_>, _> =
        batch.columns().iter().map(|it| ArrayFormatter::try_new(it, &options)).collect();
    let columns = columns?;
    let mut lines = String::new();
    for index in 0..batch.num_rows() {
        let fields: Result<Vec<String>, ArrowError> =
            columns.iter().map(|it| Ok(quoted(&it.value(index).try_to_string()?))).collect();
        lines.push_str(&fields?.join(","));
        lines.push_str("\r\n");
    }
    Ok(lines)
}

fn quoted(field: &str) -> String {
    if field.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}
