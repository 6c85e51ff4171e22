//! Declared columns: what may stand in them, and what they are for people.

use std::borrow::Cow;
use std::fmt;

use base::nearest;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::ctx::LoadCtx;
use crate::said::{Entries, FromWords, Said, Words};
use crate::source::{Spot, Word};

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

/// What a column is, for people.
#[derive(Debug, Clone)]
pub struct Described {
    /// The column.
    pub column: Word,
    /// What it is.
    pub description: String,
}

/// A column as it is written: its type, or a table with more.
#[derive(Debug)]
pub(crate) struct ColumnEntry(ColumnOptions);

/// What may be said of a column.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct ColumnOptions {
    /// What may stand in it, and whether something must: `"decimal(10,2) not null"`.
    #[serde(rename = "type")]
    kind: Option<Words<ColumnSpec>>,
    /// What it is, for people.
    description: Option<String>,
}

/// Declared columns, and what is said about them.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    /// Those with a type, in the order of the file.
    pub(crate) typed: Vec<Column>,
    /// Those of which only more is said.
    pub(crate) untyped: Vec<Word>,
    pub(crate) descriptions: Vec<Described>,
}

/// Reads declared columns.
pub(crate) fn read(ctx: &mut LoadCtx<'_>, entries: Entries<ColumnEntry>) -> Columns {
    let mut columns = Columns::default();
    for (name, ColumnEntry(options)) in entries.0 {
        if name.value.is_empty() || name.value.starts_with('_') {
            let help = "columns that begin with `_` are the program's own; choose another name";
            let message = format!("`{}` cannot be a column", name.value);
            ctx.fault(&name.range, message, Some(help.to_owned()));
        }
        let column = ctx.word(&name);
        if let Some(description) = options.description {
            columns.descriptions.push(Described { column: column.clone(), description });
        }
        match options.kind {
            Some(Words(ColumnSpec { kind, not_null })) => {
                let Word { text: name, spot } = column;
                columns.typed.push(Column { name, kind, not_null, spot });
            }
            None => columns.untyped.push(column),
        }
    }
    columns
}

/// Reads what columns are, where that is all that is said of them.
pub(crate) fn described(ctx: &LoadCtx<'_>, entries: Entries<Said<String>>) -> Vec<Described> {
    let described = entries.0.into_iter().map(|(name, said)| {
        let column = ctx.word(&name);
        Described { column, description: said.value }
    });
    described.collect()
}

impl<'de> Deserialize<'de> for ColumnEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ColumnEntry, D::Error> {
        deserializer.deserialize_any(ColumnVisitor)
    }
}

struct ColumnVisitor;

impl<'de> Visitor<'de> for ColumnVisitor {
    type Value = ColumnEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ColumnSpec::WHAT)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ColumnEntry, E> {
        let kind = ColumnSpec::from_words(text).map(Words).map_err(E::custom)?;
        Ok(ColumnEntry(ColumnOptions { kind: Some(kind), description: None }))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ColumnEntry, A::Error> {
        ColumnOptions::deserialize(MapAccessDeserializer::new(map)).map(ColumnEntry)
    }
}

impl JsonSchema for ColumnEntry {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Column".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kind = generator.subschema_for::<ColumnSpec>();
        let options = generator.subschema_for::<ColumnOptions>();
        json_schema!({ "anyOf": [kind, options] })
    }
}

/// A column's type and whether it must be there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ColumnSpec {
    pub(crate) kind: ColumnType,
    pub(crate) not_null: bool,
}

const TYPES: &[(&str, ColumnType)] = &[
    ("text", ColumnType::Text),
    ("int", ColumnType::Int),
    ("float", ColumnType::Float),
    ("bool", ColumnType::Bool),
    ("timestamp", ColumnType::Timestamp),
    ("date", ColumnType::Date),
    ("json", ColumnType::Json),
    ("bytes", ColumnType::Bytes),
    // The names that other databases have for them.
    ("string", ColumnType::Text),
    ("varchar", ColumnType::Text),
    ("integer", ColumnType::Int),
    ("bigint", ColumnType::Int),
    ("smallint", ColumnType::Int),
    ("long", ColumnType::Int),
    ("int8", ColumnType::Int),
    ("int64", ColumnType::Int),
    ("double", ColumnType::Float),
    ("double precision", ColumnType::Float),
    ("real", ColumnType::Float),
    ("float8", ColumnType::Float),
    ("float64", ColumnType::Float),
    ("boolean", ColumnType::Bool),
    ("timestamptz", ColumnType::Timestamp),
    ("timestamp with time zone", ColumnType::Timestamp),
    ("datetime", ColumnType::Timestamp),
    ("jsonb", ColumnType::Json),
    ("bytea", ColumnType::Bytes),
    ("binary", ColumnType::Bytes),
    ("blob", ColumnType::Bytes),
];

/// As many digits as 128 bits hold.
const PRECISION_MAX: u8 = 38;

impl FromWords for ColumnSpec {
    const WHAT: &'static str = "a type such as \"text not null\"";

    fn from_words(text: &str) -> Result<ColumnSpec, String> {
        let lower = text.to_ascii_lowercase();
        let words: Vec<&str> = lower.split_whitespace().collect();
        let (words, not_null) = match words.as_slice() {
            [kind @ .., "not", "null"] => (kind, true),
            [kind @ .., "null"] => (kind, false),
            all => (all, false),
        };
        let kind = words.join(" ");
        let name = kind.split('(').next().unwrap_or_default().trim_end();
        if matches!(name, "decimal" | "numeric") {
            return decimal(text, &kind).map(|kind| ColumnSpec { kind, not_null });
        }
        if let Some((_, kind)) = TYPES.iter().find(|(it, _)| *it == kind) {
            return Ok(ColumnSpec { kind: *kind, not_null });
        }
        let names = TYPES.iter().map(|(it, _)| *it).chain(["decimal(10,2)"]);
        let ours = "`text`, `int`, `float`, `decimal(10,2)`, `bool`, `timestamp`, `date`, `json` and `bytes`";
        Err(match nearest(name, names) {
            Some(right) => format!("`{text}` is not a type; did you mean `{right}`?"),
            None => format!("`{text}` is not a type; the types are {ours}"),
        })
    }
}

fn decimal(text: &str, kind: &str) -> Result<ColumnType, String> {
    let wrong = || {
        format!(
            "`{text}` is not a type; write `decimal(10,2)`: all digits, at most {PRECISION_MAX}, and those after the point"
        )
    };
    let inside = kind.split_once('(').and_then(|(_, rest)| rest.trim_end().strip_suffix(')'));
    let (precision, scale) =
        inside.map(|it| it.split_once(',').unwrap_or((it, "0"))).ok_or_else(wrong)?;
    let precision: u8 = precision.trim().parse().map_err(|_no_number| wrong())?;
    let scale: i8 = scale.trim().parse().map_err(|_no_number| wrong())?;
    let fits = u8::try_from(scale).is_ok_and(|it| it <= precision);
    if fits && (1..=PRECISION_MAX).contains(&precision) {
        Ok(ColumnType::Decimal { precision, scale })
    } else {
        Err(wrong())
    }
}

impl JsonSchema for ColumnSpec {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ColumnSpec".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A type, and `not null` if a record without it is a reject: \"text\", \"int\", \"float\", \"decimal(10,2)\", \"bool\", \"timestamp\", \"date\", \"json\", \"bytes\".",
        })
    }
}

#[cfg(test)]
mod tests;
