//! Rows as bytes that sort as their key does: what tables that are served by key are found by.
//!
//! Keys, sort values and whole rows are written in Arrow's row format: two keys compare as their
//! bytes do, and no key begins with another. So all rows of a key lie together, in the order of
//! their sort values.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{Row, RowConverter, Rows, SortField};

/// Writes and reads the rows of one table.
#[derive(Debug)]
pub struct Keyed {
    schema: SchemaRef,
    key: Part,
    sort: Option<Part>,
    whole: RowConverter,
}

#[derive(Debug)]
struct Part {
    column: usize,
    kind: DataType,
    converter: RowConverter,
}

/// A table cannot be found by this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    /// The table has no such column.
    #[error("there is no column `{0}`")]
    NoColumn(String),
    /// Values of that type are no keys.
    #[error(
        "`{column}` is {kind}, and keys are text, whole or decimal numbers, days, times or bytes"
    )]
    Kind {
        /// The column.
        column: String,
        /// Its type.
        kind: String,
    },
    /// Rows with such a column cannot be written down.
    #[error("a row with the column `{0}` cannot be found by a key")]
    Row(String),
}

/// A value that is no key of this table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is no value of `{column}`, which is {kind}")]
pub struct NotAValue {
    /// What was given.
    pub value: String,
    /// The column.
    pub column: String,
    /// Its type.
    pub kind: String,
}

/// A value to find rows by, as it came from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given<'a> {
    /// Text, or a number or a time in words.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// Rows of a batch as bytes.
#[derive(Debug)]
pub struct Coded {
    keys: Rows,
    sorts: Option<Rows>,
    /// Left out where only keys are asked for.
    whole: Option<Rows>,
}

impl Keyed {
    /// Returns how rows of `schema` are found by `key`, and ordered by `sort`.
    ///
    /// # Errors
    /// When a column is not there, or not of a type that keys have.
    pub fn new(schema: SchemaRef, key: &str, sort: Option<&str>) -> Result<Keyed, NotAKey> {
        let mut fields = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let sorted = SortField::new(field.data_type().clone());
            if !RowConverter::supports_fields(std::slice::from_ref(&sorted)) {
                return Err(NotAKey::Row(field.name().clone()));
            }
            fields.push(sorted);
        }
        let whole = RowConverter::new(fields).map_err(|error| NotAKey::Row(error.to_string()))?;
        let key = Part::new(&schema, key)?;
        let sort = sort.map(|it| Part::new(&schema, it)).transpose()?;
        Ok(Keyed { schema, key, sort, whole })
    }

    /// Returns the schema of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns the column of the key.
    pub fn key_column(&self) -> usize {
        self.key.column
    }

    /// Returns the column by which rows of one key are ordered.
    pub fn sort_column(&self) -> Option<usize> {
        self.sort.as_ref().map(|it| it.column)
    }

    /// Returns a text that differs where rows written before cannot be read any more.
    pub fn fingerprint(&self) -> String {
        let column = |it: usize| self.schema.field(it).name().as_str();
        let fields = self.schema.fields().iter();
        let fields: Vec<String> =
            fields.map(|it| format!("{} {}", it.name(), it.data_type())).collect();
        format!(
            "1 by {} then {}: {}",
            column(self.key.column),
            self.sort.as_ref().map_or("", |it| column(it.column)),
            fields.join(", ")
        )
    }

    /// Writes the rows of a batch.
    ///
    /// # Errors
    /// When the batch is not of the schema.
    pub fn code(&self, rows: &RecordBatch) -> Result<Coded, ArrowError> {
        let whole = self.whole.convert_columns(rows.columns())?;
        Ok(Coded { whole: Some(whole), ..self.code_keys(rows)? })
    }

    /// Writes the keys and sort values of a batch.
    ///
    /// # Errors
    /// When the batch is not of the schema.
    pub fn code_keys(&self, rows: &RecordBatch) -> Result<Coded, ArrowError> {
        let of =
            |part: &Part| part.converter.convert_columns(&[Arc::clone(rows.column(part.column))]);
        let sorts = self.sort.as_ref().map(of).transpose()?;
        Ok(Coded { keys: of(&self.key)?, sorts, whole: None })
    }

    /// Returns the value of a key that [`Keyed::key_of`] or [`Keyed::code`] wrote.
    ///
    /// # Errors
    /// When it is no key of this table.
    pub fn key_value(&self, key: &[u8]) -> Result<ArrayRef, ArrowError> {
        let parser = self.key.converter.parser();
        let mut columns = self.key.converter.convert_rows([parser.parse(key)])?;
        let column = columns.pop().ok_or_else(|| ArrowError::ComputeError("no key".to_owned()))?;
        arrow::compute::cast(&column, &self.key.kind)
    }

    /// Reads rows that [`Keyed::code`] wrote.
    ///
    /// # Errors
    /// When the columns are not those of the schema.
    pub fn read<'a>(
        &self,
        rows: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<RecordBatch, ArrowError> {
        let parser = self.whole.parser();
        let rows: Vec<Row<'_>> = rows.into_iter().map(|it| parser.parse(it)).collect();
        let columns = self.whole.convert_rows(rows)?;
        let fields = self.schema.fields().iter().zip(columns);
        // Texts come back as they are declared, whatever layout the reader chose.
        let columns = fields.map(|(field, column)| match column.data_type() == field.data_type() {
            true => Ok(column),
            false => arrow::compute::cast(&column, field.data_type()),
        });
        RecordBatch::try_new(Arc::clone(&self.schema), columns.collect::<Result<_, _>>()?)
    }

    /// Returns the bytes of a key.
    ///
    /// # Errors
    /// When the value is not of the key's type.
    pub fn key_of(&self, given: Given<'_>) -> Result<Vec<u8>, NotAValue> {
        self.key.code(&self.schema, given)
    }

    /// Returns the bytes of a sort value; none if rows of a key have no order.
    ///
    /// # Errors
    /// When the value is not of the sort column's type.
    pub fn sort_of(&self, given: Given<'_>) -> Result<Option<Vec<u8>>, NotAValue> {
        self.sort.as_ref().map(|it| it.code(&self.schema, given)).transpose()
    }
}

impl Part {
    fn new(schema: &SchemaRef, column: &str) -> Result<Part, NotAKey> {
        let place =
            schema.index_of(column).map_err(|_missing| NotAKey::NoColumn(column.to_owned()))?;
        let kind = schema.field(place).data_type().clone();
        let not_a_key = || NotAKey::Kind { column: column.to_owned(), kind: in_words(&kind) };
        if !is_key(&kind) {
            return Err(not_a_key());
        }
        let converter = RowConverter::new(vec![SortField::new(kind.clone())]);
        let converter = converter.map_err(|_unsupported| not_a_key())?;
        Ok(Part { column: place, kind, converter })
    }

    fn code(&self, schema: &SchemaRef, given: Given<'_>) -> Result<Vec<u8>, NotAValue> {
        let of_bytes =
            matches!(self.kind, DataType::Binary | DataType::BinaryView | DataType::LargeBinary);
        let value: Option<ArrayRef> = match given {
            Given::Text(_) if of_bytes => None,
            Given::Text(text) => Some(Arc::new(StringArray::from(vec![text]))),
            Given::Bytes(bytes) => Some(Arc::new(BinaryArray::from(vec![bytes]))),
        };
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let wanted = value.and_then(|it| cast_with_options(&it, &self.kind, &strict).ok());
        let wanted = wanted.filter(|it| !it.is_null(0));
        let coded = wanted.and_then(|it| self.converter.convert_columns(&[it]).ok());
        coded.map(|it| it.row(0).data().to_vec()).ok_or_else(|| NotAValue {
            value: match given {
                Given::Text(text) => text.chars().take(100).collect(),
                Given::Bytes(bytes) => format!("{} bytes", bytes.len()),
            },
            column: schema.field(self.column).name().clone(),
            kind: in_words(&self.kind),
        })
    }
}

impl Coded {
    /// Returns how many rows.
    pub fn rows(&self) -> usize {
        self.keys.num_rows()
    }

    /// Returns the key of a row.
    pub fn key(&self, row: usize) -> &[u8] {
        self.keys.row(row).data()
    }

    /// Returns the sort value of a row; empty if rows of a key have no order.
    pub fn sort(&self, row: usize) -> &[u8] {
        self.sorts.as_ref().map_or(&[], |it| it.row(row).data())
    }

    /// Returns a whole row; empty where only keys were asked for.
    pub fn row(&self, row: usize) -> &[u8] {
        self.whole.as_ref().map_or(&[], |it| it.row(row).data())
    }
}

fn is_key(kind: &DataType) -> bool {
    kind.is_integer()
        || matches!(
            kind,
            DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
                | DataType::Binary
                | DataType::LargeBinary
                | DataType::BinaryView
                | DataType::Decimal128(..)
                | DataType::Date32
                | DataType::Timestamp(..)
        )
}

/// Returns the type in the words of project files.
fn in_words(kind: &DataType) -> String {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "bytes".to_owned(),
        DataType::Timestamp(..) => "a timestamp".to_owned(),
        DataType::Date32 => "a date".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Boolean => "a truth value".to_owned(),
        kind if kind.is_integer() => "a whole number".to_owned(),
        kind if kind.is_floating() => "a floating-point number".to_owned(),
        other => format!("{other}"),
    }
}

#[cfg(test)]
mod tests;
