//! Keys: who may send and ask, and how much.

use std::collections::BTreeMap;
use std::ops::Range;

use base::{ByteSize, Name, Span, limits};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::ctx::LoadCtx;
use crate::said::{Entries, FromWords, OneOrMore, Said, Words, choose};
use crate::secret::Secret;
use crate::source::{Spot, Word};

/// What shows that a caller is one of ours.
#[derive(Debug, Clone)]
pub struct Key {
    /// The name.
    pub name: Name,
    /// Where it is declared.
    pub spot: Spot,
    /// The access key id of AWS clients.
    pub id: String,
    /// What its owner knows.
    pub secret: Secret,
    /// The streams it is for; all, and everything else that can be asked, if none is named.
    pub streams: Option<Vec<Word>>,
    /// What its owner may do.
    pub may: Vec<Right>,
    /// How much its owner may send.
    pub limit: Rate,
    /// How much its owner's questions may take.
    pub queries: QueryLimits,
}

/// How much the questions of one key may take; no limit of its own where nothing is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueryLimits {
    /// Statements at a time.
    pub at_once: Option<u64>,
    /// How long one statement may run.
    pub time: Option<Span>,
    /// Memory of all its statements together.
    pub memory: Option<ByteSize>,
    /// Rows that one statement may read.
    pub rows: Option<u64>,
    /// Bytes of columns that one statement may read.
    pub bytes: Option<ByteSize>,
}

impl std::fmt::Display for QueryLimits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let said = [
            self.at_once.map(|it| format!("{it} at once")),
            self.time.map(|it| it.to_string()),
            self.memory.map(|it| format!("{it} of memory")),
            self.rows.map(|it| format!("{it} rows")),
            self.bytes.map(|it| format!("{it} read")),
        ];
        let said: Vec<String> = said.into_iter().flatten().collect();
        f.write_str(&if said.is_empty() { "none".to_owned() } else { said.join(", ") })
    }
}

/// What a key allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(inline, rename_all = "lowercase")]
pub enum Right {
    /// Asking: SQL, the console, the records of a stream.
    Read,
    /// Sending records.
    Write,
    /// Changing what there is: streams, the project.
    Manage,
}

impl FromWords for Right {
    const WHAT: &'static str = "`\"read\"`, `\"write\"` or `\"manage\"`";

    fn from_words(text: &str) -> Result<Right, String> {
        choose(text, RIGHTS)
    }
}

const RIGHTS: &[(&str, Right)] =
    &[("read", Right::Read), ("write", Right::Write), ("manage", Right::Manage)];

/// How much may come in a second; no limit where nothing is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rate {
    /// Records a second.
    pub records: Option<u64>,
    /// Bytes a second.
    pub bytes: Option<ByteSize>,
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.records, self.bytes) {
            (None, None) => f.write_str("none"),
            (Some(records), None) => write!(f, "{records} records"),
            (None, Some(bytes)) => write!(f, "{bytes}"),
            (Some(records), Some(bytes)) => write!(f, "{records} records, {bytes}"),
        }
    }
}

/// `[project.keys.NAME]`: a secret that lets its owner in.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["secret"]))]
pub(crate) struct KeyOptions {
    /// What its owner shows, at least 16 characters, only as `"${NAME}"`.
    secret: Option<Said<String>>,
    /// The access key id of AWS clients; the key's name if not said.
    id: Option<Said<String>>,
    /// The streams it is for; all of them, SQL and the console if not said.
    streams: Option<OneOrMore>,
    /// What its owner may do: `"read"`, `"write"`, `"manage"` (streams and the project);
    /// `["read", "write"]` if not said.
    may: Option<Vec<Said<Words<Right>>>>,
    /// How much its owner may send in a second: `{ records = 1_000, bytes = "1 MB" }`.
    limit: Option<RateOptions>,
    /// How much its owner's questions may take:
    /// `{ at_once = 4, time = "1 minute", memory = "500 MB", rows = 10_000_000, bytes = "1 GB" }`.
    queries: Option<QueryOptions>,
}

/// How much the questions of one key may take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueryOptions {
    /// Statements that run at a time; more are refused, not kept waiting.
    at_once: Option<Said<i64>>,
    /// How long one statement may run, for example `"30 seconds"`.
    time: Option<Said<Words<Span>>>,
    /// Memory of all its statements together, for example `"500 MB"`; beyond it sorts, joins and groups
    /// go to disk, and what cannot is refused.
    memory: Option<Said<Words<ByteSize>>>,
    /// Rows that one statement may read of tables and files.
    rows: Option<Said<i64>>,
    /// Bytes of the columns that one statement may read of tables and files, for example `"1 GB"`.
    bytes: Option<Said<Words<ByteSize>>>,
}

impl QueryOptions {
    fn read(self, ctx: &mut LoadCtx<'_>) -> QueryLimits {
        let mut count = |said: Option<Said<i64>>| {
            let said = said?;
            let count = u64::try_from(said.value).ok().filter(|it| 0 < *it);
            above_zero(ctx, &said.range, count)
        };
        let (at_once, rows) = (count(self.at_once), count(self.rows));
        let mut size = |said: Option<Said<Words<ByteSize>>>| {
            let said = said?;
            above_zero(ctx, &said.range, Some(said.value.0).filter(|it| 0 < it.0))
        };
        let (memory, bytes) = (size(self.memory), size(self.bytes));
        let time = self.time.and_then(|said| {
            above_zero(ctx, &said.range, Some(said.value.0).filter(|it| !it.0.is_zero()))
        });
        QueryLimits { at_once, time, memory, rows, bytes }
    }
}

fn above_zero<T>(ctx: &mut LoadCtx<'_>, range: &Range<usize>, value: Option<T>) -> Option<T> {
    if value.is_none() {
        let help = "write a number above 0, or leave it out; a key without \"read\" asks nothing";
        ctx.fault(range, "nothing could be asked", Some(help.to_owned()));
    }
    value
}

/// How much may come in a second.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RateOptions {
    /// Records a second.
    records: Option<Said<i64>>,
    /// Bytes of records a second, for example `"5 MB"`.
    bytes: Option<Said<Words<ByteSize>>>,
}

impl RateOptions {
    pub(crate) fn read(self, ctx: &mut LoadCtx<'_>) -> Rate {
        let records = self.records.and_then(|said| {
            let records = u64::try_from(said.value).ok().filter(|it| 0 < *it);
            if records.is_none() {
                let help = "write a number above 0, or leave `records` out".to_owned();
                ctx.fault(&said.range, "nothing could come in", Some(help));
            }
            records
        });
        let bytes = self.bytes.and_then(|said| {
            let bytes = Some(said.value.0).filter(|it| 0 < it.0);
            if bytes.is_none() {
                let help = "write a size such as \"1 MB\", or leave `bytes` out".to_owned();
                ctx.fault(&said.range, "nothing could come in", Some(help));
            }
            bytes
        });
        Rate { records, bytes }
    }
}

/// Reads all keys of a project.
pub(crate) fn read(ctx: &mut LoadCtx<'_>, entries: Entries<KeyOptions>) -> BTreeMap<Name, Key> {
    let mut keys = BTreeMap::new();
    let mut ids: BTreeMap<String, Name> = BTreeMap::new();
    for (said, options) in entries.0 {
        let Some(name) = name_of(ctx, &said.value, &said.range) else { continue };
        let id = options.id.as_ref().map_or(&said, |it| it);
        let (id, id_range) = (id.value.clone(), id.range.clone());
        let Some(key) = one(ctx, name.clone(), &said.range, options) else { continue };
        if name_of(ctx, &id, &id_range).is_none() {
            continue;
        }
        if let Some(first) = ids.insert(id.clone(), name.clone()) {
            let message = format!("`{id}` is the id of the key `{first}` already");
            ctx.fault(&id_range, message, Some("give each key an id of its own".to_owned()));
            continue;
        }
        keys.insert(name, Key { id, ..key });
    }
    keys
}

fn name_of(ctx: &mut LoadCtx<'_>, text: &str, range: &Range<usize>) -> Option<Name> {
    let name = Name::new(text);
    if let Err(wrong) = &name {
        let message = wrong.to_string();
        let (what, right) = message.split_once(": ").unwrap_or((&message, ""));
        ctx.fault(range, what, Some(right.to_owned()).filter(|it| !it.is_empty()));
    }
    name.ok()
}

fn one(
    ctx: &mut LoadCtx<'_>,
    name: Name,
    range: &Range<usize>,
    options: KeyOptions,
) -> Option<Key> {
    let spot = ctx.spot(range);
    let limit = options.limit.map(|it| it.read(ctx)).unwrap_or_default();
    let queries = options.queries.map(|it| it.read(ctx)).unwrap_or_default();
    let Some(said) = options.secret else {
        let help = "add `secret = \"${NAME}\"`, and set NAME in the environment".to_owned();
        ctx.missing(&spot, format!("the key `{name}` has no `secret`"), help);
        return None;
    };
    let secret = secret_of(ctx, &said)?;
    let may = options.may.map(|it| it.into_iter().map(|it| it.value.0).collect());
    let may: Vec<Right> = may.unwrap_or_else(|| vec![Right::Read, Right::Write]);
    if may.is_empty() {
        let help = "leave `may` out for `[\"read\", \"write\"]`".to_owned();
        ctx.fault(range, format!("the key `{name}` may do nothing"), Some(help));
    }
    let streams = options.streams.map(|it| ctx.words(Some(it)));
    Some(Key { id: String::new(), secret, streams, may, limit, queries, name, spot })
}

/// Returns the secret, if it is one that can be kept and not guessed.
fn secret_of(ctx: &mut LoadCtx<'_>, said: &Said<String>) -> Option<Secret> {
    if !said.value.contains("${") {
        let help = "write it as `\"${NAME}\"`, and set NAME in the environment".to_owned();
        ctx.fault(&said.range, "a key's secret does not belong into a file", Some(help));
        return None;
    }
    let secret = ctx.secret(said)?;
    let text = secret.reveal();
    // A secret that is not set stands for itself where none is needed.
    let is_placeholder = text.starts_with("${");
    let is_short = text.chars().count() < limits::SECRET_CHARS_MIN;
    if !is_placeholder && (is_short || limits::SECRET_BYTES_MAX < text.len()) {
        let help = format!(
            "use {} to {} characters, for example what `openssl rand -hex 20` prints",
            limits::SECRET_CHARS_MIN,
            limits::SECRET_BYTES_MAX
        );
        let message = if is_short { "the secret can be guessed" } else { "the secret is too long" };
        ctx.fault(&said.range, message, Some(help));
        return None;
    }
    Some(secret)
}

#[cfg(test)]
mod tests;
