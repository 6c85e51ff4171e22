//! What a stream's declaration says, as far as decoding needs it.

use base::Name;

/// A stream.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Its name.
    pub name: Name,
    /// The field whose value is the partition key.
    pub key: Option<String>,
    /// How its records are written.
    pub format: Format,
    /// Its columns, in declared order.
    pub columns: Vec<Column>,
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object.
    Json,
    /// One line of CSV.
    Csv,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: ColumnType,
    /// Whether every row must have a value.
    pub not_null: bool,
}

/// A column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Text.
    Text,
    /// 64-bit whole number.
    Int,
    /// 64-bit floating point.
    Float,
    /// Exact number.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: i8,
    },
    /// True or false.
    Bool,
    /// A moment, in microseconds.
    Timestamp,
    /// A day.
    Date,
    /// Any JSON value, kept as text.
    Json,
    /// Bytes.
    Bytes,
}
