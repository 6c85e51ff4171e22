//! Streams and lookups: what comes in, and the small tables beside it.

use std::fmt;

use base::{ByteSize, Name, Span};

use crate::source::{Spot, Word};
use crate::sql::SqlText;

/// A stream: its records lie in the journal, its rows in the raw table of the same name.
#[derive(Debug, Clone)]
pub struct Stream {
    /// The name.
    pub name: Name,
    /// Where it is declared.
    pub spot: Spot,
    /// The column with the event time.
    pub time: Option<String>,
    /// The column by whose value order is kept.
    pub key: Option<String>,
    /// The doors that may write into it.
    pub from: Vec<DoorUse>,
    /// How a record becomes a row.
    pub format: Format,
    /// How many shards it begins with.
    pub shards: u32,
    /// How long records stay replayable.
    pub replay: Span,
    /// How many bytes of records stay replayable.
    pub replay_size: ByteSize,
    /// How long rows are kept; for ever if not said.
    pub keep: Option<Span>,
    /// How long a shard may be silent before it no longer holds the watermark.
    pub idle: Span,
    /// The declared columns, in the order of the file.
    pub columns: Vec<Column>,
    /// What a row must fulfil, in the order of the file.
    pub checks: Vec<Check>,
    /// What it is, for people.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Free words to find it by.
    pub tags: Vec<String>,
}

/// A declared column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: ColumnType,
    /// Whether a record without it is a reject.
    pub not_null: bool,
    /// Where it is declared.
    pub spot: Spot,
}

/// The type of a declared column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// Text.
    Text,
    /// A whole number of 64 bits.
    Int,
    /// A floating-point number of 64 bits.
    Float,
    /// A number with a fixed count of digits, `scale` of them after the point.
    Decimal {
        /// All digits, 1 to 38.
        precision: u8,
        /// Digits after the point, at most `precision`.
        scale: i8,
    },
    /// True or false.
    Bool,
    /// A moment, in microseconds UTC.
    Timestamp,
    /// A day.
    Date,
    /// JSON, kept as text.
    Json,
    /// Bytes.
    Bytes,
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ColumnType::Text => f.write_str("text"),
            ColumnType::Int => f.write_str("int"),
            ColumnType::Float => f.write_str("float"),
            ColumnType::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            ColumnType::Bool => f.write_str("bool"),
            ColumnType::Timestamp => f.write_str("timestamp"),
            ColumnType::Date => f.write_str("date"),
            ColumnType::Json => f.write_str("json"),
            ColumnType::Bytes => f.write_str("bytes"),
        }
    }
}

/// What must be true of each row.
#[derive(Debug, Clone)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// A boolean expression over the row.
    pub sql: SqlText,
}

/// How a record becomes a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// A JSON object.
    #[default]
    Json,
    /// A line of comma-separated values, in the order of the columns.
    Csv,
}

/// A door that a stream uses.
#[derive(Debug, Clone)]
pub struct DoorUse {
    /// The door's name.
    pub door: Word,
}

/// A small table read whole.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// The name.
    pub name: Name,
    /// Where it is declared.
    pub spot: Spot,
    /// The file, by its path in the project.
    pub from: Word,
    /// The column that finds a row.
    pub key: Word,
    /// How often the file is looked at for a change.
    pub every: Option<Span>,
    /// The types of its columns; found from the values where not declared.
    pub columns: Vec<Column>,
    /// What it is, for people.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Free words to find it by.
    pub tags: Vec<String>,
}
