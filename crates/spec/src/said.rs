//! Values of project files together with where they stand.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use base::{ByteSize, Span, nearest};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_spanned::Spanned;

/// A value and its range in all [`crate::source::Sources`].
#[derive(Debug, Clone)]
pub(crate) struct Said<T> {
    pub(crate) value: T,
    pub(crate) range: Range<usize>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Said<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Said<T>, D::Error> {
        let spanned = Spanned::<T>::deserialize(deserializer)?;
        Ok(Said { range: spanned.span(), value: spanned.into_inner() })
    }
}

impl<T: JsonSchema> JsonSchema for Said<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// What is written as a string and means something.
pub(crate) trait FromWords: Sized {
    /// What the string must be, as in "`every` must be *a duration such as "10 minutes"*".
    const WHAT: &'static str;

    /// Reads the string; the error says what is wrong and, after `; `, what would be right.
    fn from_words(text: &str) -> Result<Self, String>;
}

impl FromWords for Span {
    const WHAT: &'static str = "a duration such as \"10 minutes\"";

    fn from_words(text: &str) -> Result<Span, String> {
        text.parse().map_err(|wrong: base::time::NotASpan| {
            let nearest = corrected_unit(text, DURATION_UNITS);
            match nearest.filter(|it| it.parse::<Span>().is_ok()) {
                Some(right) => format!("`{}` is not a duration; write `\"{right}\"`", wrong.text),
                None => wrong.to_string(),
            }
        })
    }
}

const DURATION_UNITS: &[&str] =
    &["milliseconds", "seconds", "minutes", "hours", "days", "weeks", "months", "years"];

impl FromWords for ByteSize {
    const WHAT: &'static str = "a size such as \"2 GB\"";

    fn from_words(text: &str) -> Result<ByteSize, String> {
        text.parse().map_err(|wrong: base::size::NotASize| wrong.to_string())
    }
}

/// Returns `text`, a number and a unit, with the unit nearest to the one it has.
fn corrected_unit(text: &str, units: &[&str]) -> Option<String> {
    let unit_at = text.find(|it: char| it.is_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let nearest = nearest(unit.trim(), units.iter().copied())?;
    let number = number.trim();
    let nearest = if number == "1" { nearest.trim_end_matches('s') } else { nearest };
    Some(format!("{number} {nearest}"))
}

/// A string that was read as a `T`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words<T>(pub(crate) T);

impl<'de, T: FromWords> Deserialize<'de> for Words<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Words<T>, D::Error> {
        deserializer.deserialize_any(WordsVisitor(PhantomData))
    }
}

struct WordsVisitor<T>(PhantomData<T>);

impl<T: FromWords> Visitor<'_> for WordsVisitor<T> {
    type Value = Words<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Words<T>, E> {
        T::from_words(text).map(Words).map_err(E::custom)
    }
}

impl<T: JsonSchema> JsonSchema for Words<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// Returns the value that `text` names, or a message with the nearest one.
pub(crate) fn choose<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    Err(match nearest(text, names.iter().copied()) {
        Some(name) => format!("`{text}` is not known here; did you mean `\"{name}\"`?"),
        None => format!("`{text}` is not known here; write one of {}", listed(&names)),
    })
}

/// Returns the names as a reader expects them: `` `a`, `b` or `c` ``.
pub(crate) fn listed(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [one] => format!("`{one}`"),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(|it| format!("`{it}`")).collect();
            format!("{} or `{last}`", first.join(", "))
        }
    }
}

/// One value or a list of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct OneOrMore(pub(crate) Vec<Said<String>>);

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OneOrMore, D::Error> {
        let either = Said::<OneOrList>::deserialize(deserializer)?;
        Ok(OneOrMore(match either.value {
            OneOrList::One(value) => vec![Said { value, range: either.range }],
            OneOrList::List(values) => values,
        }))
    }
}

enum OneOrList {
    One(String),
    List(Vec<Said<String>>),
}

impl<'de> Deserialize<'de> for OneOrList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OneOrList, D::Error> {
        deserializer.deserialize_any(OneOrListVisitor)
    }
}

struct OneOrListVisitor;

impl<'de> Visitor<'de> for OneOrListVisitor {
    type Value = OneOrList;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<OneOrList, E> {
        Ok(OneOrList::One(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrList, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(OneOrList::List(values))
    }
}

impl JsonSchema for OneOrMore {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("OneOrMore")
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }]
        })
    }
}

/// A table with free keys, in the order of the file.
#[derive(Debug, Clone)]
pub(crate) struct Entries<V>(pub(crate) Vec<(Said<String>, V)>);

impl<V> Default for Entries<V> {
    fn default() -> Self {
        Entries(Vec::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Entries<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entries<V>, D::Error> {
        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

struct EntriesVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for EntriesVisitor<V> {
    type Value = Entries<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of names and values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<V>, A::Error> {
        let mut entries: Vec<(Said<String>, V)> = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        // The parser hands keys over by name.
        entries.sort_by_key(|(key, _)| key.range.start);
        Ok(Entries(entries))
    }
}

impl<V: JsonSchema> JsonSchema for Entries<V> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Cow::Owned(format!("EntriesOf{}", V::schema_name()))
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<V>();
        schemars::json_schema!({ "type": "object", "additionalProperties": value })
    }
}

/// A setting that is taken out and read by itself before its section is; the type is here for
/// the schema and the list of known keys.
#[derive(Debug, Default)]
pub(crate) struct ReadApart<T>(PhantomData<T>);

impl<'de, T> Deserialize<'de> for ReadApart<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ReadApart<T>, D::Error> {
        let _ignored = IgnoredAny::deserialize(deserializer)?;
        Ok(ReadApart(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for ReadApart<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
