//! Rows that came as JSON, written as people read them: `region=FR revenue=20.00`.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The fields of a JSON object, in their order.
pub(crate) struct Fields(pub(crate) Vec<(String, Box<RawValue>)>);

impl Fields {
    /// Returns a value as people read it, or nothing if there is none of that name.
    pub(crate) fn plain(&self, name: &str) -> String {
        let found = self.0.iter().find(|(it, _)| it == name);
        found
            .map(|(_, value)| text_of(value).unwrap_or_else(|| value.get().to_owned()))
            .unwrap_or_default()
    }
}

/// Writes a row as `name=value`, without the named columns.
pub(crate) fn fields(row: &str, without: &[&str]) -> anyhow::Result<String> {
    let row: Fields = serde_json::from_str(row)?;
    let shown = row.0.iter().filter(|(name, _)| !without.contains(&name.as_str()));
    let shown: Vec<String> =
        shown.map(|(name, value)| format!("{name}={}", plain(value))).collect();
    Ok(shown.join(" "))
}

/// A value without quotes, where it needs none to be told from its neighbours.
fn plain(value: &RawValue) -> String {
    let needs_none = |it: &String| !it.is_empty() && !it.contains([' ', '=', '"', '\n']);
    text_of(value).filter(needs_none).unwrap_or_else(|| value.get().to_owned())
}

fn text_of(value: &RawValue) -> Option<String> {
    serde_json::from_str::<String>(value.get()).ok()
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}
