//! Sizes in words: `"2 GB"`, `"64 MB"`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A number of bytes, written as a number and `B`, `kB`, `MB`, `GB` or `TB` (powers of 1,000), or
/// `KiB`, `MiB`, `GiB`, `TiB` (powers of 1,024).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

const UNITS: &[(&str, u64)] = &[
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// The text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a size; write a number and a unit, for example `\"2 GB\"`")]
pub struct NotASize {
    /// What was given.
    pub text: String,
}

impl std::str::FromStr for ByteSize {
    type Err = NotASize;

    fn from_str(text: &str) -> Result<ByteSize, NotASize> {
        let wrong = || NotASize { text: text.chars().take(64).collect() };
        let split = text.find(|it: char| it.is_alphabetic()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(split);
        let number: u64 = number
            .trim()
            .replace('_', "")
            .parse()
            .map_err(|_not_a_number: std::num::ParseIntError| wrong())?;
        let unit = unit.trim().to_ascii_lowercase();
        let (_, factor) = UNITS.iter().find(|(it, _)| *it == unit).ok_or_else(wrong)?;
        number.checked_mul(*factor).map(ByteSize).ok_or_else(wrong)
    }
}

impl fmt::Display for ByteSize {
    /// Writes the largest unit that leaves a whole number, else one decimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units =
            [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
        match units.iter().find(|(factor, _)| self.0 >= *factor) {
            None => write!(f, "{} B", self.0),
            Some((factor, unit)) if self.0.is_multiple_of(*factor) => {
                write!(f, "{} {unit}", self.0 / factor)
            }
            Some((factor, unit)) => {
                write!(f, "{}.{} {unit}", self.0 / factor, self.0 % factor / (factor / 10))
            }
        }
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{} B", self.0))
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("ByteSize")
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A size in words, for example \"2 GB\".",
            "pattern": "^\\s*[0-9_]+\\s*([kKmMgGtT]?[bB]|[kKmMgGtT]i[bB])\\s*$",
        })
    }
}

#[cfg(test)]
mod tests;
