//! Which doors a stream uses, with options that only the door understands.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use crate::ctx::{Declared, LoadCtx};
use crate::document::{self, Value};
use crate::fault::{Fault, Faults};
use crate::said::Said;
use crate::secret::Secret;
use crate::section;
use crate::source::{Sources, Spot, Word};

/// A door that a stream uses.
#[derive(Debug, Clone)]
pub struct DoorUse {
    /// The door's name.
    pub door: Word,
    /// Its options.
    pub options: Options,
}

/// Options of a component, kept as they were written until the component reads them.
#[derive(Clone)]
pub struct Options {
    entries: Vec<Entry>,
    range: Range<usize>,
    sources: Arc<Sources>,
    secrets: BTreeMap<String, Secret>,
}

#[derive(Clone)]
struct Entry {
    key: Said<String>,
    /// The value as TOML, and its place.
    value: Said<String>,
}

impl Options {
    /// Reads the options as a `T`, all of whose fields may be missing; the faults are all there
    /// are, each with its place.
    pub fn parse<T: DeserializeOwned + Default>(&self) -> Result<T, Faults> {
        let mut faults = Faults::default();
        let mut table = DeTable::new();
        for entry in &self.entries {
            let key = Spanned::new(entry.key.range.clone(), entry.key.value.as_str().into());
            let (mut value, errors) = DeValue::parse_recoverable(&entry.value.value);
            for error in errors {
                faults.push(self.sources.spot(&entry.value.range).fault(error.message(), None));
            }
            self.fill_in(value.get_mut());
            table.insert(key, document::shift(value, entry.value.range.start));
        }
        let value = Spanned::new(self.range.clone(), DeValue::Table(table));
        let read = section::read(value, &self.sources, &mut faults);
        faults.settle();
        if faults.is_empty() { Ok(read) } else { Err(faults) }
    }

    /// Returns an error at the value of `key`, or at the door where the key is not given.
    pub fn fault(&self, key: &str, message: impl Into<String>, help: Option<String>) -> Fault {
        let entry = self.entries.iter().find(|it| it.key.value == key);
        let range = entry.map_or(&self.range, |it| &it.value.range);
        self.sources.spot(range).fault(message, help)
    }

    /// Returns whether none is given.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns where they stand.
    pub fn spot(&self) -> Spot {
        self.sources.spot(&self.range)
    }

    fn fill_in(&self, value: &mut DeValue<'_>) {
        match value {
            DeValue::String(text) => {
                if let Some(secret) = self.secrets.get(text.as_ref()) {
                    *text = secret.reveal().to_owned().into();
                }
            }
            DeValue::Array(array) => array.iter_mut().for_each(|it| self.fill_in(it.get_mut())),
            DeValue::Table(table) => {
                table.iter_mut().for_each(|(_, it)| self.fill_in(it.get_mut()));
            }
            _ => {}
        }
    }
}

impl fmt::Debug for Options {
    /// Names the keys only: a value may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|it| &it.key.value)).finish()
    }
}

/// The doors that may write into the stream: names, or tables such as
/// `{ door = "generate", rate = 2000 }`. `["http", "kinesis"]` if not said.
#[derive(Debug, Default, JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "describes for the schema what is read by hand")]
pub(crate) struct Doors(Vec<DoorSchema>);

#[derive(Debug, JsonSchema)]
#[schemars(inline, untagged)]
#[expect(dead_code, reason = "describes for the schema what is read by hand")]
enum DoorSchema {
    /// A door with its defaults.
    Name(String),
    /// A door with options.
    WithOptions {
        /// The door's name.
        door: String,
        /// Its options.
        #[serde(flatten)]
        options: serde_json::Map<String, serde_json::Value>,
    },
}

/// Reads the value of `from`.
pub(crate) fn read(
    ctx: &mut LoadCtx<'_>,
    from: Option<Value<'_>>,
    stream: &Declared,
) -> Vec<DoorUse> {
    let Some(from) = from else {
        return ["http", "kinesis"].map(|it| by_default(ctx, it, stream)).into();
    };
    let range = from.span();
    let DeValue::Array(doors) = from.into_inner() else {
        let help = "write a list: `from = [\"http\", \"kinesis\"]`".to_owned();
        ctx.fault(&range, "`from` must be a list of doors", Some(help));
        return Vec::new();
    };
    if doors.is_empty() {
        let help = "name one, or leave `from` out for `[\"http\", \"kinesis\"]`".to_owned();
        ctx.fault(&range, "a stream needs a door", Some(help));
    }
    doors.into_iter().filter_map(|door| one(ctx, door)).collect()
}

fn by_default(ctx: &LoadCtx<'_>, door: &str, stream: &Declared) -> DoorUse {
    let door = Word { text: door.to_owned(), spot: stream.spot.clone() };
    DoorUse { door, options: Options::nothing(ctx, stream.range.clone()) }
}

fn one(ctx: &mut LoadCtx<'_>, door: Value<'_>) -> Option<DoorUse> {
    let range = door.span();
    let help = "write its name, or `{ door = \"NAME\", OPTION = .. }`".to_owned();
    match door.into_inner() {
        DeValue::String(name) => {
            let door = ctx.word(&Said { value: name.into_owned(), range: range.clone() });
            Some(DoorUse { door, options: Options::nothing(ctx, range) })
        }
        DeValue::Table(mut table) => {
            let Some(name) = table.remove("door") else {
                ctx.fault(&range, "which door?", Some(help));
                return None;
            };
            let name_range = name.span();
            let DeValue::String(name) = name.into_inner() else {
                ctx.fault(&name_range, "`door` must be the name of a door", Some(help));
                return None;
            };
            let door = ctx.word(&Said { value: name.into_owned(), range: name_range });
            Some(DoorUse { door, options: Options::read(ctx, table, range) })
        }
        _ => {
            ctx.fault(&range, "this is no door", Some(help));
            None
        }
    }
}

fn find_secrets(ctx: &mut LoadCtx<'_>, value: &Value<'_>, found: &mut BTreeMap<String, Secret>) {
    match value.get_ref() {
        DeValue::String(text) if text.contains("${") => {
            let said = Said { value: text.to_string(), range: value.span() };
            if let Some(secret) = ctx.secret(&said) {
                found.insert(said.value, secret);
            }
        }
        DeValue::Array(array) => array.iter().for_each(|it| find_secrets(ctx, it, found)),
        DeValue::Table(table) => table.iter().for_each(|(_, it)| find_secrets(ctx, it, found)),
        _ => {}
    }
}

impl Options {
    /// Keeps the options that stand in a table.
    pub(crate) fn read(ctx: &mut LoadCtx<'_>, table: DeTable<'_>, range: Range<usize>) -> Options {
        let mut options = Options::nothing(ctx, range);
        for (key, value) in table {
            let key = Said { range: key.span(), value: key.into_inner().into_owned() };
            let range = value.span();
            find_secrets(ctx, &value, &mut options.secrets);
            let written = ctx.sources.text(&range).to_owned();
            if written.starts_with('[') && matches!(value.get_ref(), DeValue::Table(_)) {
                let help = format!("write it as `{} = {{ .. }}`", key.value);
                ctx.fault(&range, "options of a door are one level deep here", Some(help));
                continue;
            }
            options.entries.push(Entry { key, value: Said { value: written, range } });
        }
        options.entries.sort_by_key(|it| it.key.range.start);
        options
    }

    pub(crate) fn nothing(ctx: &LoadCtx<'_>, range: Range<usize>) -> Options {
        let sources = Arc::clone(&ctx.sources);
        Options { entries: Vec::new(), range, sources, secrets: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests;
