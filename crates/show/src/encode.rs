//! Rows as the JSON of an answer, and column types in the words of the project files.

use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use serde::Serialize;
use serde_json::value::RawValue;

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ColumnHead {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

/// Returns the columns of an answer.
pub(crate) fn heads(schema: &Schema) -> Vec<ColumnHead> {
    let head = |name: &String, kind| ColumnHead { name: name.clone(), kind: type_word(kind) };
    schema.fields().iter().map(|it| head(it.name(), it.data_type())).collect()
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

/// Rows as the text of a JSON array of arrays, each in the order of the columns.
///
/// They stay text so that a decimal keeps all its digits on the way through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowsText {
    text: String,
    count: usize,
}

impl Default for RowsText {
    fn default() -> RowsText {
        RowsText { text: "[]".to_owned(), count: 0 }
    }
}

impl RowsText {
    /// Appends the rows of `batch`.
    pub(crate) fn push(&mut self, batch: &RecordBatch) {
        // Before: `[…]`; the bracket is put back at the end.
        self.text.pop();
        for row in 0..batch.num_rows() {
            if 0 < self.count {
                self.text.push(',');
            }
            rows::json::write_values(batch, row, &mut self.text);
            self.count += 1;
        }
        self.text.push(']');
    }

    /// How many rows there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }
}

impl Serialize for RowsText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.text).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

#[cfg(test)]
mod tests;
