//! Attribute values as the DynamoDB API writes them: `{"S": "ada"}`, `{"N": "3"}`.
//!
//! The same type is read from JSON, where bytes are base64, and from CBOR, where they are bytes.

use std::collections::BTreeMap;
use std::fmt;

use base::limits;
use base64::Engine as _;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::number::Number;
use crate::aws::wire::{BASE64, ByteString, Text};
use crate::items::{AttributeKind, Item, Value};

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AttributeValue {
    S(String),
    /// In its one form once [`AttributeValue::check`] has seen it.
    N(String),
    B(Binary),
    Bool(bool),
    Null(bool),
    Ss(Vec<String>),
    Ns(Vec<String>),
    Bs(Vec<Binary>),
    L(Vec<AttributeValue>),
    M(Attributes),
}

/// Attributes by name: an item, a key, a value of type `M`.
pub(crate) type Attributes = BTreeMap<String, AttributeValue>;

/// Bytes of a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Binary(pub(crate) Vec<u8>);

/// A value that is none, and one that is several: refused while it is read, so that a request of
/// nothing but these takes no memory.
pub(crate) const NO_TYPE: &str =
    "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes";
pub(crate) const MANY_TYPES: &str = "Supplied AttributeValue has more than one datatypes set, \
                                     must contain exactly one of the supported datatypes";

/// The names of the types, in the order in which DynamoDB lists them.
pub(crate) const TYPES: &[&str] = &["B", "NULL", "SS", "BOOL", "L", "BS", "N", "NS", "S", "M"];

impl AttributeValue {
    /// Returns the name of its type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            AttributeValue::S(_) => "S",
            AttributeValue::N(_) => "N",
            AttributeValue::B(_) => "B",
            AttributeValue::Bool(_) => "BOOL",
            AttributeValue::Null(_) => "NULL",
            AttributeValue::Ss(_) => "SS",
            AttributeValue::Ns(_) => "NS",
            AttributeValue::Bs(_) => "BS",
            AttributeValue::L(_) => "L",
            AttributeValue::M(_) => "M",
        }
    }

    /// Returns whether it has the type that keys of this kind have.
    pub(crate) fn is_of(&self, kind: AttributeKind) -> bool {
        Some(self.type_name()) == type_of(kind)
    }

    /// Looks for what DynamoDB refuses in a value of a request, and brings numbers into one form.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        self.check_within(limits::DYNAMODB_DEPTH_MAX)
    }

    fn check_within(&mut self, depth: usize) -> Result<(), String> {
        let invalid =
            |what: &str| Err(format!("One or more parameter values were invalid: {what}"));
        match self {
            AttributeValue::N(text) => *text = in_one_form(text)?,
            AttributeValue::Ns(texts) => {
                if texts.is_empty() {
                    return invalid("An number set  may not be empty");
                }
                for text in texts.iter_mut() {
                    *text = in_one_form(text)?;
                }
                if has_duplicates(texts) {
                    return Err("Input collection contains duplicates".to_owned());
                }
            }
            AttributeValue::Ss(texts) if texts.is_empty() => {
                return invalid("An string set  may not be empty");
            }
            AttributeValue::Ss(texts) if has_duplicates(texts) => {
                return invalid("Input collection contains duplicates.");
            }
            AttributeValue::Bs(values) if values.is_empty() => {
                return invalid("Binary sets should not be empty");
            }
            AttributeValue::Bs(values) if has_duplicates(values) => {
                return invalid("Input collection of type BS contains duplicates.");
            }
            AttributeValue::Null(false) => {
                return invalid("Null attribute value types must have the value of true");
            }
            AttributeValue::L(_) | AttributeValue::M(_) if depth == 0 => {
                return Err("Nesting Levels have exceeded supported limits".to_owned());
            }
            AttributeValue::L(values) => {
                for value in values {
                    value.check_within(depth - 1)?;
                }
            }
            AttributeValue::M(values) => {
                for value in values.values_mut() {
                    value.check_within(depth - 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns its size as DynamoDB counts it.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            AttributeValue::S(text) => text.len(),
            AttributeValue::N(text) => number_bytes(text),
            AttributeValue::B(bytes) => bytes.0.len(),
            AttributeValue::Bool(_) | AttributeValue::Null(_) => 1,
            AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
            AttributeValue::Ns(texts) => texts.iter().map(|it| number_bytes(it)).sum(),
            AttributeValue::Bs(values) => values.iter().map(|it| it.0.len()).sum(),
            AttributeValue::L(values) => 3 + values.iter().map(|it| 1 + it.bytes()).sum::<usize>(),
            AttributeValue::M(values) => 3 + values.len() + bytes_of(values),
        }
    }

    /// Makes a question's value of it; none of a type that keys cannot have.
    pub(crate) fn to_key(&self) -> Option<Value> {
        match self {
            AttributeValue::S(text) => Some(Value::Text(text.clone())),
            AttributeValue::N(text) => Some(Value::Number(text.clone())),
            AttributeValue::B(bytes) => Some(Value::Bytes(bytes.0.clone())),
            _ => None,
        }
    }
}

/// Returns the type of keys of this kind.
pub(crate) fn type_of(kind: AttributeKind) -> Option<&'static str> {
    match kind {
        AttributeKind::Text => Some("S"),
        AttributeKind::Number => Some("N"),
        AttributeKind::Bytes => Some("B"),
        AttributeKind::Other => None,
    }
}

/// Returns the size of an item as DynamoDB counts it: names and values.
pub(crate) fn bytes_of(attributes: &Attributes) -> usize {
    attributes.iter().map(|(name, value)| name.len() + value.bytes()).sum()
}

/// Writes an item as attribute values.
pub(crate) fn attributes_of(item: Item) -> Attributes {
    item.into_iter().map(|(name, value)| (name, value.into())).collect()
}

/// A number that DynamoDB's type cannot hold (not a number, infinite, more than 38 digits) is text.
impl From<Value> for AttributeValue {
    fn from(value: Value) -> AttributeValue {
        match value {
            Value::Null => AttributeValue::Null(true),
            Value::Bool(value) => AttributeValue::Bool(value),
            Value::Number(text) => match Number::parse(&text) {
                Ok(number) => AttributeValue::N(number.to_string()),
                Err(_not_theirs) => AttributeValue::S(text),
            },
            Value::Text(text) => AttributeValue::S(text),
            Value::Bytes(bytes) => AttributeValue::B(Binary(bytes)),
            Value::List(values) => AttributeValue::L(values.into_iter().map(Into::into).collect()),
            Value::Map(values) => AttributeValue::M(attributes_of(values)),
        }
    }
}

fn in_one_form(text: &str) -> Result<String, String> {
    let number = Number::parse(text).map_err(|error| error.to_string())?;
    Ok(number.to_string())
}

fn number_bytes(text: &str) -> usize {
    Number::parse(text).map_or(text.len(), |it| it.bytes())
}

fn has_duplicates<T: Ord>(values: &[T]) -> bool {
    let mut sorted: Vec<&T> = values.iter().collect();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair.first() == pair.last())
}

impl<'de> Deserialize<'de> for Binary {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Binary, D::Error> {
        if !from.is_human_readable() {
            return ByteString::deserialize(from).map(|it| Binary(it.into_bytes()));
        }
        let text = Text::deserialize(from)?;
        let bytes = BASE64.decode(text.as_bytes());
        bytes.map(Binary).map_err(|_no_base64| D::Error::custom("a binary value is not base64"))
    }
}

impl Serialize for Binary {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.serialize_str(&BASE64.encode(&self.0))
        } else {
            to.serialize_bytes(&self.0)
        }
    }
}

impl Serialize for AttributeValue {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(1))?;
        let name = self.type_name();
        match self {
            AttributeValue::S(text) | AttributeValue::N(text) => map.serialize_entry(name, text),
            AttributeValue::B(bytes) => map.serialize_entry(name, bytes),
            AttributeValue::Bool(value) | AttributeValue::Null(value) => {
                map.serialize_entry(name, value)
            }
            AttributeValue::Ss(texts) | AttributeValue::Ns(texts) => {
                map.serialize_entry(name, texts)
            }
            AttributeValue::Bs(values) => map.serialize_entry(name, values),
            AttributeValue::L(values) => map.serialize_entry(name, values),
            AttributeValue::M(values) => map.serialize_entry(name, values),
        }?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for AttributeValue {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<AttributeValue, D::Error> {
        from.deserialize_map(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = AttributeValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an attribute value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AttributeValue, A::Error> {
        let mut found = None;
        while let Some(Text(name)) = map.next_key::<Text<'de>>()? {
            let Some(value) = read_member(&name, &mut map)? else { continue };
            if found.replace(value).is_some() {
                return Err(A::Error::custom(MANY_TYPES));
            }
        }
        found.ok_or_else(|| A::Error::custom(NO_TYPE))
    }
}

/// Reads the value of one type; none if it is null or the type is unknown, as AWS does.
fn read_member<'de, A: MapAccess<'de>>(
    name: &str,
    map: &mut A,
) -> Result<Option<AttributeValue>, A::Error> {
    Ok(match name {
        "S" => map.next_value::<Option<_>>()?.map(AttributeValue::S),
        "N" => map.next_value::<Option<_>>()?.map(AttributeValue::N),
        "B" => map.next_value::<Option<_>>()?.map(AttributeValue::B),
        "BOOL" => map.next_value::<Option<_>>()?.map(AttributeValue::Bool),
        "NULL" => map.next_value::<Option<_>>()?.map(AttributeValue::Null),
        "SS" => map.next_value::<Option<_>>()?.map(AttributeValue::Ss),
        "NS" => map.next_value::<Option<_>>()?.map(AttributeValue::Ns),
        "BS" => map.next_value::<Option<_>>()?.map(AttributeValue::Bs),
        "L" => map.next_value::<Option<_>>()?.map(AttributeValue::L),
        "M" => map.next_value::<Option<_>>()?.map(AttributeValue::M),
        _ => {
            map.next_value::<IgnoredAny>()?;
            None
        }
    })
}

#[cfg(test)]
mod tests;
