//! `serve`: by which column a table's rows are found one key at a time.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;

use crate::ctx::LoadCtx;
use crate::said::Said;
use crate::source::{Spot, Word};

/// How a table's rows are found by key.
#[derive(Debug, Clone)]
pub struct Serve {
    /// The column by which they are found.
    pub key: Word,
    /// The column by which the rows of one key are ordered.
    pub sort: Option<Word>,
    /// So many rows of a key at most, the last of them.
    pub latest: Option<usize>,
    /// The stream that takes what clients put into the table.
    pub puts: Option<Word>,
    /// Where it is said.
    pub spot: Spot,
}

/// A column, or a table with more.
#[derive(Debug)]
pub(crate) enum ServeBy {
    Key(Said<String>),
    Full(Said<ServeOptions>),
}

/// How rows are found by key.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct ServeOptions {
    /// The column by which rows are found.
    key: Option<Said<String>>,
    /// The column by which the rows of one key are ordered, such as a time.
    sort: Option<Said<String>>,
    /// So many rows of a key are shown at most, the last by `sort`; all if not said.
    latest: Option<Said<u32>>,
    /// The stream that takes what clients put into the table by the DynamoDB API; without one the
    /// table can only be read.
    puts: Option<Said<String>>,
}

/// Reads the setting.
pub(crate) fn read(ctx: &mut LoadCtx<'_>, said: ServeBy) -> Option<Serve> {
    let said = match said {
        ServeBy::Full(options) => options,
        ServeBy::Key(key) => {
            let range = key.range.clone();
            Said { value: ServeOptions { key: Some(key), ..ServeOptions::default() }, range }
        }
    };
    let (spot, options) = (ctx.spot(&said.range), said.value);
    let Some(key) = options.key else {
        let help = "add `key = \"COLUMN\"`, the column by which rows are found".to_owned();
        ctx.fault(&said.range, "`serve` has no `key`", Some(help));
        return None;
    };
    if let Some(latest) = &options.latest {
        if options.sort.is_none() {
            let help = "add `sort = \"COLUMN\"`, which tells which rows are the latest".to_owned();
            ctx.fault(&latest.range, "`latest` needs `sort`", Some(help));
        }
        if latest.value == 0 {
            let help = "write how many rows of a key are shown, for example 100".to_owned();
            ctx.fault(&latest.range, "`latest` is at least 1", Some(help));
        }
    }
    Some(Serve {
        key: ctx.word(&key),
        sort: options.sort.map(|it| ctx.word(&it)),
        latest: options.latest.and_then(|it| usize::try_from(it.value).ok()),
        puts: options.puts.map(|it| ctx.word(&it)),
        spot,
    })
}

impl<'de> Deserialize<'de> for ServeBy {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<ServeBy, D::Error> {
        let said = Said::<KeyOrOptions>::deserialize(deserializer)?;
        Ok(match said.value {
            KeyOrOptions::Key(value) => ServeBy::Key(Said { value, range: said.range }),
            KeyOrOptions::Options(value) => ServeBy::Full(Said { value, range: said.range }),
        })
    }
}

enum KeyOrOptions {
    Key(String),
    Options(ServeOptions),
}

impl<'de> Deserialize<'de> for KeyOrOptions {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<KeyOrOptions, D::Error> {
        deserializer.deserialize_any(KeyOrOptionsVisitor)
    }
}

struct KeyOrOptionsVisitor;

impl<'de> serde::de::Visitor<'de> for KeyOrOptionsVisitor {
    type Value = KeyOrOptions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column, or `{ key = \"..\", sort = \"..\", latest = 100 }`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<KeyOrOptions, E> {
        Ok(KeyOrOptions::Key(text.to_owned()))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<KeyOrOptions, A::Error> {
        ServeOptions::deserialize(MapAccessDeserializer::new(map)).map(KeyOrOptions::Options)
    }
}

impl JsonSchema for ServeBy {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ServeBy".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let options = generator.subschema_for::<ServeOptions>();
        json_schema!({ "anyOf": [{ "type": "string" }, options] })
    }
}
