//! Streams: what comes in.

use std::fmt;

use base::{ByteSize, Name, Span, limits, nearest};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use toml::de::DeValue;

use crate::column::{self, Column, ColumnEntry, ColumnType, Columns, Described};
use crate::ctx::{Declared, LoadCtx};
use crate::document::Value;
use crate::door::{self, DoorUse, Doors};
use crate::key::{Rate, RateOptions};
use crate::rest::{self, ColdOptions, Rest, SnapshotOptions};
use crate::said::{Entries, FromWords, OneOrMore, ReadApart, Said, Words, choose, listed};
use crate::source::Spot;
use crate::sql::{self, SqlText};

pub(crate) mod infer;

use self::infer::SchemaWord;

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
    /// How many shards it has.
    pub shards: Shards,
    /// How long records stay replayable.
    pub replay: Span,
    /// How many bytes of records stay replayable.
    pub replay_size: ByteSize,
    /// How long rows are kept; for ever if not said.
    pub keep: Option<Span>,
    /// How stored rows are kept.
    pub rest: Rest,
    /// How long a shard may be silent before it no longer holds the watermark.
    pub idle: Span,
    /// How much may come in a second.
    pub limit: Rate,
    /// Whether its columns are found in its files, and written into `schemas/NAME.toml`.
    pub infers: bool,
    /// The declared columns, in the order of the file.
    pub columns: Vec<Column>,
    /// What its columns are, for people.
    pub descriptions: Vec<Described>,
    /// What a row must fulfil, in the order of the file.
    pub checks: Vec<Check>,
    /// What it is, for people.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Free words to find it by.
    pub tags: Vec<String>,
}

/// How many shards a stream has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shards {
    /// So many, until a client splits or merges them.
    Fixed(u32),
    /// As many as the load asks for.
    Auto,
}

impl fmt::Display for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shards::Fixed(count) => count.fmt(f),
            Shards::Auto => f.write_str("auto"),
        }
    }
}

/// What must be true of each row; one that fails is rejected.
#[derive(Debug, Clone)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// A boolean expression over the row.
    pub sql: SqlText,
}

/// How a record becomes a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema)]
#[schemars(inline, rename_all = "lowercase")]
pub enum Format {
    /// A JSON object.
    #[default]
    Json,
    /// A line of comma-separated values, in the order of the columns.
    Csv,
}

/// `[stream.NAME]`: records come in by its doors, lie in the journal for `replay`, and become the
/// rows of the table NAME; those that do not go to `NAME__dead` with the reason.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamOptions {
    /// The column with the event time; it must be a timestamp.
    time: Option<Said<String>>,
    /// The column whose equal values keep their order, and go to one shard.
    key: Option<Said<String>>,
    /// The doors that may write into it, by name or as `{ door = "generate", rate = 2000 }`.
    /// `["http", "kinesis"]` if not said.
    #[serde(default)]
    #[expect(dead_code, reason = "read apart, by `door`")]
    from: ReadApart<Doors>,
    /// How a record becomes a row: `"json"` (if not said) or `"csv"`.
    format: Option<Said<Words<Format>>>,
    /// How many shards it has; 1 if not said. `"auto"` splits and merges them by load. Another number
    /// than before splits or merges what there is.
    shards: Option<Said<ShardsWord>>,
    /// How long records stay replayable; `"24 hours"` if not said.
    replay: Option<Said<Words<Span>>>,
    /// How many bytes of records stay replayable at most; `"10 GB"` if not said.
    replay_size: Option<Said<Words<ByteSize>>>,
    /// How long rows are kept; for ever if not said.
    keep: Option<Said<Words<Span>>>,
    /// How long earlier versions of its stored rows can be asked for with `AS OF`; 50 minutes if not
    /// said.
    history: Option<Said<Words<Span>>>,
    /// The columns that questions filter by: stored rows are ordered by them where files are merged,
    /// so that what a question does not need is not read.
    cluster: Option<OneOrMore>,
    /// Keeps a version of its stored rows for longer, to go back to:
    /// `{ every = "12 hours", keep = 2 }`.
    snapshots: Option<Said<SnapshotOptions>>,
    /// When old rows are stored in fewer bytes, and read as before: `{ after = "30 days" }`. They are
    /// written again once.
    cold: Option<Said<ColdOptions>>,
    /// How long a shard may be silent before it no longer holds back windows; `"10 seconds"` if
    /// not said.
    idle: Option<Said<Words<Span>>>,
    /// How much may come in a second: `{ records = 5_000, bytes = "5 MB" }`.
    limit: Option<RateOptions>,
    /// `"infer"`: its columns are found in the files of its door `files`, once, and written into
    /// `schemas/NAME.toml` of the project; that file says them from then on. It takes the place of
    /// `columns`.
    schema: Option<Said<Words<SchemaWord>>>,
    /// Each column with its type: `price = "decimal(10,2) not null"`; or with what it is, for people:
    /// `price = { type = "decimal(10,2)", description = "of one piece, with tax" }`.
    #[serde(default)]
    columns: Entries<ColumnEntry>,
    /// What must be true of each row, in SQL: `price_is_positive = "price > 0"`.
    #[serde(default)]
    checks: Entries<Said<String>>,
    /// What it is, for people.
    description: Option<String>,
    /// Who answers for it.
    owner: Option<String>,
    /// Free words to find it by.
    #[serde(default)]
    tags: Vec<String>,
}

const REPLAY_DEFAULT: Span = Span::from_millis(24 * 3_600 * 1_000);
const REPLAY_SIZE_DEFAULT: ByteSize = ByteSize(10_000_000_000);
/// Long enough for a producer's pause, short enough that a shard without producers does not stop
/// the windows of the others for long.
const IDLE_DEFAULT: Span = Span::from_millis(10_000);

pub(crate) fn read(ctx: &mut LoadCtx<'_>, declared: Declared, mut value: Value<'_>) -> Stream {
    let from = match value.get_mut() {
        DeValue::Table(table) => table.remove("from"),
        _ => None,
    };
    let from = door::read(ctx, from, &declared);
    let before = ctx.faults.len();
    let columns_said = columns_said(&value);
    let options: StreamOptions = ctx.read(value);
    if let Some(said) = &options.schema {
        infer::check(ctx, said, &from);
    }
    let infers = options.schema.is_some();
    let is_sound = ctx.faults.len() == before;
    let Columns { typed: columns, untyped, descriptions } = column::read(ctx, options.columns);
    // Where something is wrong, a type may be what was struck out.
    for column in untyped.iter().filter(|_| is_sound) {
        let help = format!("write `{column} = {{ type = \"text\", description = \"..\" }}`");
        ctx.missing(&column.spot, format!("`{column}` has no `type`"), help);
    }
    let is_broken = ctx.is_broken(&declared)
        || (infers && ctx.broken.contains(&infer::schema_path(&declared.name)));
    if columns.is_empty() || columns.len() < columns_said || is_broken {
        ctx.distrust(&declared.name);
    }
    let awaits = infers && columns.is_empty();
    if columns.is_empty() && untyped.is_empty() && is_sound && !infers {
        let help = format!("add `[stream.{}.columns]` with `NAME = \"TYPE\"`", declared.name);
        ctx.missing(&declared.spot, format!("`{}` has no columns", declared.name), help);
    }
    // Of columns that are still to be found, none is missing.
    let (time, key) = if awaits { (None, None) } else { (options.time, options.key) };
    let time = time.and_then(|it| known_column(ctx, &it, "time", &columns));
    let key = key.and_then(|it| known_column(ctx, &it, "key", &columns));
    let replay_size = options.replay_size.map(|it| it.value.0);
    let rest = rest::read(ctx, options.history, options.cluster, options.snapshots, options.cold);
    Stream {
        time: time.map(|it| it.name.clone()),
        key: key.map(|it| it.name.clone()),
        from,
        format: options.format.map(|it| it.value.0).unwrap_or_default(),
        shards: read_shards(ctx, options.shards.as_ref()),
        replay: ctx.span(options.replay, "replay").unwrap_or(REPLAY_DEFAULT),
        replay_size: replay_size.unwrap_or(REPLAY_SIZE_DEFAULT),
        keep: ctx.span(options.keep, "keep"),
        rest,
        idle: ctx.span(options.idle, "idle").unwrap_or(IDLE_DEFAULT),
        limit: options.limit.map(|it| it.read(ctx)).unwrap_or_default(),
        checks: read_checks(ctx, options.checks),
        infers,
        columns,
        descriptions,
        description: options.description,
        owner: options.owner,
        tags: options.tags,
        name: declared.name,
        spot: declared.spot,
    }
}

/// Makes a stream with the settings that are so if nothing is said.
pub(crate) fn plain(name: Name, spot: Spot) -> Stream {
    Stream {
        name,
        spot,
        time: None,
        key: None,
        from: Vec::new(),
        format: Format::default(),
        shards: Shards::Fixed(1),
        replay: REPLAY_DEFAULT,
        replay_size: REPLAY_SIZE_DEFAULT,
        keep: None,
        rest: Rest::default(),
        idle: IDLE_DEFAULT,
        limit: Rate::default(),
        infers: false,
        columns: Vec::new(),
        descriptions: Vec::new(),
        checks: Vec::new(),
        description: None,
        owner: None,
        tags: Vec::new(),
    }
}

/// Returns how many columns are declared, rightly or not.
fn columns_said(value: &Value<'_>) -> usize {
    let DeValue::Table(settings) = value.get_ref() else { return 0 };
    match settings.get("columns").map(serde_spanned::Spanned::get_ref) {
        Some(DeValue::Table(columns)) => columns.len(),
        _ => 0,
    }
}

fn read_shards(ctx: &mut LoadCtx<'_>, said: Option<&Said<ShardsWord>>) -> Shards {
    let Some(said) = said else { return Shards::Fixed(1) };
    let ShardsWord::Count(count) = said.value else { return Shards::Auto };
    match u32::try_from(count) {
        Ok(shards) if (1..=limits::SHARDS_MAX).contains(&shards) => Shards::Fixed(shards),
        _ => {
            let help = format!("write a number from 1 to {}, or \"auto\"", limits::SHARDS_MAX);
            ctx.fault(&said.range, format!("a stream cannot have {count} shards"), Some(help));
            Shards::Fixed(1)
        }
    }
}

/// `shards` as it is written.
#[derive(Debug, Clone, Copy)]
enum ShardsWord {
    Count(i64),
    Auto,
}

impl<'de> Deserialize<'de> for ShardsWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ShardsWord, D::Error> {
        deserializer.deserialize_any(ShardsVisitor)
    }
}

struct ShardsVisitor;

impl Visitor<'_> for ShardsVisitor {
    type Value = ShardsWord;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number or \"auto\"")
    }

    fn visit_i64<E: Error>(self, count: i64) -> Result<ShardsWord, E> {
        Ok(ShardsWord::Count(count))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ShardsWord, E> {
        match text {
            "auto" => Ok(ShardsWord::Auto),
            other => Err(E::invalid_value(Unexpected::Str(other), &self)),
        }
    }
}

impl JsonSchema for ShardsWord {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Shards".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "integer" }, { "type": "string", "enum": ["auto"] }] })
    }
}

fn known_column<'a>(
    ctx: &mut LoadCtx<'_>,
    said: &Said<String>,
    setting: &str,
    columns: &'a [Column],
) -> Option<&'a Column> {
    let Some(found) = columns.iter().find(|it| it.name == said.value) else {
        let names: Vec<&str> = columns.iter().map(|it| it.name.as_str()).collect();
        let help = match nearest(&said.value, names.iter().copied()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("the columns are {}", listed(&names).replace(" or ", " and ")),
        };
        let message =
            format!("`{setting}` names the column `{}`, which is not declared", said.value);
        let spot = ctx.spot(&said.range);
        ctx.missing(&spot, message, help);
        return None;
    };
    if setting == "time" && found.kind != ColumnType::Timestamp {
        let message = format!("`time` needs a timestamp, and `{}` is {}", found.name, found.kind);
        let help = format!("declare it as `{} = \"timestamp not null\"`", found.name);
        let fault = ctx.spot(&said.range).fault(message, Some(help));
        ctx.faults.push(fault.beside(found.spot.clone(), "declared here"));
        return None;
    }
    Some(found)
}

fn read_checks(ctx: &mut LoadCtx<'_>, entries: Entries<Said<String>>) -> Vec<Check> {
    let mut checks = Vec::new();
    for (name, said) in entries.0 {
        let sql = ctx.sql(&said);
        match sql::parse_condition(&sql) {
            Ok(reads) => {
                for read in reads {
                    let help = "a check of a stream sees one row; compare in a table instead";
                    let message = format!("a check cannot read `{}`", read.name);
                    ctx.faults.push(read.spot.fault(message, Some(help.to_owned())));
                }
            }
            Err(fault) => {
                ctx.faults.push(*fault);
                continue;
            }
        }
        checks.push(Check { name: name.value, sql });
    }
    checks
}

impl FromWords for Format {
    const WHAT: &'static str = "`\"json\"` or `\"csv\"`";

    fn from_words(text: &str) -> Result<Format, String> {
        choose(text, &[("json", Format::Json), ("csv", Format::Csv)])
    }
}
