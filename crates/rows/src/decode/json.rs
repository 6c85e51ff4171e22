//! One JSON object is one record: its fields go straight into the columns.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use spec::ColumnType;

use crate::column::{Column, Found};

/// Adds the record to `columns`, which hold `row` rows; on an error they may hold part of it.
pub(super) fn decode(text: &str, columns: &mut [Column], row: usize) -> Result<(), String> {
    let mut refusal = None;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let record = RecordVisitor { columns, row, refusal: &mut refusal };
    let decoded = deserializer.deserialize_any(record).and_then(|()| deserializer.end());
    match (refusal, decoded) {
        (None, Ok(())) => {}
        (Some(refusal), _) => return Err(refusal),
        (None, Err(_)) if text.trim_ascii().is_empty() => {
            return Err("expected a JSON object, found nothing".to_owned());
        }
        (None, Err(error)) => return Err(format!("expected JSON: {error}")),
    }
    for column in columns {
        if column.len() == row {
            column.append_missing()?;
        }
    }
    Ok(())
}

/// Takes the object that a record is.
///
/// Errors of our own go into `refusal`; what serde is told then only stops it.
struct RecordVisitor<'a> {
    columns: &'a mut [Column],
    row: usize,
    refusal: &'a mut Option<String>,
}

impl RecordVisitor<'_> {
    fn refuse<T, E: Error>(self, found: Found<'_>) -> Result<T, E> {
        *self.refusal = Some(format!("expected a JSON object, found {found}"));
        Err(E::custom(""))
    }
}

impl<'de> Visitor<'de> for RecordVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let RecordVisitor { columns, row, refusal } = self;
        let mut next = 0;
        while let Some(key) = fields.next_key_seed(KeySeed { columns, next })? {
            let Some(index) = key else {
                fields.next_value::<IgnoredAny>()?;
                continue;
            };
            next = index + 1;
            let Some(column) = columns.get_mut(index) else { continue };
            if row < column.len() {
                *refusal = Some(format!("column `{}`: the field occurs twice", column.name));
                return Err(A::Error::custom(""));
            }
            if is_written_as_string(column.kind) {
                fields.next_value_seed(TextSeed { column, refusal })?;
                continue;
            }
            let raw: &RawValue = fields.next_value()?;
            if let Err(message) = append_raw(column, raw.get()) {
                *refusal = Some(message);
                return Err(A::Error::custom(""));
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        self.refuse(Found::List)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.refuse(Found::String(text))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.refuse(Found::Bool(value))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.refuse(Found::Null)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.refuse(Found::Number(&value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.refuse(Found::Number(&value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.refuse(Found::Number(&value.to_string()))
    }
}

/// Whether values of a type come as strings: those are taken without reading them twice.
fn is_written_as_string(kind: ColumnType) -> bool {
    matches!(kind, ColumnType::Text | ColumnType::Timestamp | ColumnType::Date | ColumnType::Bytes)
}

/// Adds a value as it is written; `raw` is valid JSON.
fn append_raw(column: &mut Column, raw: &str) -> Result<(), String> {
    if column.kind == ColumnType::Json {
        return column.append_json(raw);
    }
    match raw.as_bytes() {
        b"null" => column.append(Found::Null),
        b"true" => column.append(Found::Bool(true)),
        b"false" => column.append(Found::Bool(false)),
        [b'[', ..] => column.append(Found::List),
        [b'{', ..] => column.append(Found::Object),
        [b'"', ..] => match unquote(raw) {
            Some(text) => column.append(Found::String(&text)),
            None => Err(format!("column `{}`: the string has a broken escape", column.name)),
        },
        _ => column.append(Found::Number(raw)),
    }
}

/// Takes quotes and escapes from a JSON string.
fn unquote(raw: &str) -> Option<Cow<'_, str>> {
    let inside = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inside.as_bytes().contains(&b'\\') {
        serde_json::from_str::<String>(raw).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inside))
    }
}

/// Finds the column that a key names, first where it stands if keys come in declared order.
struct KeySeed<'a> {
    columns: &'a [Column],
    next: usize,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Option<usize>, E> {
        match self.columns.get(self.next) {
            Some(column) if column.name == key => Ok(Some(self.next)),
            _ => Ok(self.columns.iter().position(|it| it.name == key)),
        }
    }
}

/// Adds a string to a column without another copy of it.
struct TextSeed<'a> {
    column: &'a mut Column,
    refusal: &'a mut Option<String>,
}

impl TextSeed<'_> {
    fn append<E: Error>(self, found: Found<'_>) -> Result<(), E> {
        self.column.append(found).map_err(|message| {
            *self.refusal = Some(message);
            E::custom("")
        })
    }
}

impl<'de> DeserializeSeed<'de> for TextSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TextSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.append(Found::String(text))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.append(Found::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.append(Found::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.append(Found::Number(&value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.append(Found::Number(&value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.append(Found::Number(&value.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        self.append(Found::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        self.append(Found::Object)
    }
}
