//! Tables: one SELECT each, kept up to date.

use std::borrow::Cow;

use base::{ByteSize, Name, Span};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::column::{self, Described};
use crate::ctx::{Declared, LoadCtx};
use crate::document::Value;
use crate::rest::{self, ColdOptions, Rest, SnapshotOptions};
use crate::said::{Entries, FromWords, OneOrMore, Said, Words, choose};
use crate::serve::{self, Serve, ServeBy};
use crate::source::{Spot, Word};
use crate::sql::{self, Read, SqlText};
use crate::table::batch::{Batch, Missed, On, Reads, Starts};
use crate::table::check::{CheckEntry, TableCheck};

pub(crate) mod batch;
pub(crate) mod check;

/// A table.
#[derive(Debug, Clone)]
pub struct Table {
    /// The name.
    pub name: Name,
    /// Where it is declared.
    pub spot: Spot,
    /// What it holds.
    pub sql: SqlText,
    /// The streams, lookups and tables it reads, each once, in the order of FROM.
    pub reads: Vec<Name>,
    /// What else it reads: dead letters (`orders__dead`) and system tables (`system.flows`).
    pub reads_beside: Vec<String>,
    /// Where in the warehouse it belongs, a free word: `raw`, `reporting`, `kpi`.
    pub layer: Option<String>,
    /// What happens to late rows.
    pub late: Late,
    /// How its files are laid out.
    pub partition: Option<Partition>,
    /// How long its rows are kept; for ever if not said.
    pub keep: Option<Span>,
    /// How stored rows are kept.
    pub rest: Rest,
    /// When it is recomputed, where it is, and what a run may cost.
    pub batch: Batch,
    /// How often running totals are stored.
    pub publish: Span,
    /// How its rows are found by key, if they are.
    pub serve: Option<Serve>,
    /// Where it says that a changed lookup changes the rows of before too.
    pub lookup_backfill: Option<Spot>,
    /// What must hold of its rows.
    pub checks: Vec<TableCheck>,
    /// What its columns are, for people.
    pub descriptions: Vec<Described>,
    /// What it is, for people.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Free words to find it by.
    pub tags: Vec<String>,
}

impl Table {
    /// Returns what else it must show the same tick as, beside what it reads: what its checks read,
    /// and what starts it.
    pub fn ties(&self) -> impl Iterator<Item = &Word> {
        self.checks.iter().flat_map(TableCheck::reads).chain(self.batch.ties())
    }

    /// Returns how often it is recomputed at most, if that is what starts it.
    pub fn every(&self) -> Option<Span> {
        match &self.batch.starts {
            Some(Starts::Every(span)) => Some(*span),
            _ => None,
        }
    }
}

/// What happens to a row whose window is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// Windows are held open so much longer; rows later than that recompute their window.
    Hold(Span),
    /// Late rows go to the table's dead letters.
    Dead,
}

/// How a table's files are laid out.
#[derive(Debug, Clone)]
pub struct Partition {
    /// The column.
    pub column: String,
    /// The part of its time that makes a folder; the value itself if not said.
    pub unit: Option<PartitionUnit>,
    /// Where it is said.
    pub word: Word,
}

/// A part of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionUnit {
    /// `hour(ts)`
    Hour,
    /// `day(ts)`
    Day,
    /// `month(ts)`
    Month,
    /// `year(ts)`
    Year,
}

/// `[table.NAME]`, or the first block comment of `NAME.sql`: a table that one SELECT describes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableOptions {
    /// What it holds: one SELECT. In `NAME.sql` it stands below the comment instead.
    sql: Option<Said<String>>,
    /// Where in the warehouse it belongs, a free word: `"raw"`, `"reporting"`, `"kpi"`.
    layer: Option<String>,
    /// How much longer windows are held open for late rows, `"0 seconds"` if not said; rows later
    /// than that recompute their window. `"dead"` sends late rows to `NAME__dead` instead.
    late: Option<Said<Words<Late>>>,
    /// How its files are laid out: a column, or a part of a time as in `"day(ts)"`.
    partition: Option<Said<Words<PartitionBy>>>,
    /// How long its rows are kept; for ever if not said.
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
    /// How often it is recomputed, where it cannot be kept up to date row by row and what it reads
    /// has changed.
    every: Option<Said<Words<Span>>>,
    /// The moments at which it is recomputed, whatever its SELECT: `"0 2 * * *"`, or in words
    /// `"monday 07:00"`; in the project's `time_zone`.
    cron: Option<Said<String>>,
    /// The tables after whose runs it is recomputed, once each of them has run.
    after: Option<OneOrMore>,
    /// What makes it be recomputed: `"new object in BUCKET"`.
    on: Option<Said<Words<On>>>,
    /// What a run reads: `"all"` (if not said) rows, and replaces those of the run before; or of streams
    /// only what is `"new"` since the run before, and adds to them.
    reads: Option<Said<Words<Reads>>>,
    /// What becomes of moments of `cron` at which the program did not run: `"once"` (if not said) makes
    /// up for all of them by one run, `"skip"` by none, `"catch up"` by one each.
    missed: Option<Said<Words<Missed>>>,
    /// How often a run that failed is tried again; 3 with `cron`, `after` or `on`, else 0.
    retries: Option<u32>,
    /// How long after a failure it is tried again, `"10 seconds"` if not said; twice as long after each
    /// that follows.
    retry_after: Option<Said<Words<Span>>>,
    /// How long a run may take; without an end if not said.
    timeout: Option<Said<Words<Span>>>,
    /// How many bytes of stored rows a run may read: one that would read more does not begin.
    read_max: Option<Said<Words<ByteSize>>>,
    /// How often running totals are stored; `"1 minute"` if not said.
    publish: Option<Said<Words<Span>>>,
    /// Lets its rows be read one key at a time, in milliseconds, by `GET /v1/tables/NAME/KEY` and the
    /// DynamoDB API: the column of the key, or `{ key = "customer_id", sort = "ts", latest = 100 }`.
    serve: Option<ServeBy>,
    /// Whether a changed lookup changes the rows of before too: the table, and those that follow it,
    /// are then computed again from the stored rows, beside what runs.
    lookup_backfill: Option<Said<bool>>,
    /// What must hold of its rows: a condition in SQL as in `"total >= 0"`, or
    /// `{ unique = "order_id", severity = "fail" }`. No row is dropped; a check that fails stops the
    /// tables behind if its severity is `"fail"`.
    #[serde(default)]
    checks: Entries<CheckEntry>,
    /// What its columns are, for people: `columns.total = "what was paid, with tax"`. Their types are
    /// those of the SELECT.
    #[serde(default)]
    columns: Entries<Said<String>>,
    /// What it is, for people.
    description: Option<String>,
    /// Who answers for it.
    owner: Option<String>,
    /// Free words to find it by.
    #[serde(default)]
    tags: Vec<String>,
}

/// A late row corrects its window anyway; who holds windows longer waits longer for final ones.
const LATE_DEFAULT: Late = Late::Hold(Span::from_millis(0));
const PUBLISH_DEFAULT: Span = Span::from_millis(60_000);

/// Reads a table of a TOML file; `file_sql` is the SELECT of a SQL file.
pub(crate) fn read(
    ctx: &mut LoadCtx<'_>,
    declared: Declared,
    value: Value<'_>,
    file_sql: Option<SqlText>,
) -> Option<(Table, Vec<Read>)> {
    let before = ctx.faults.len();
    let mut options: TableOptions = ctx.read(value);
    let is_sound = ctx.faults.len() == before;
    if let (Some(said), true) = (&options.sql, file_sql.is_some()) {
        let help = "remove it: the SELECT stands below the comment".to_owned();
        ctx.fault(&said.range, "`sql` in a SQL file", Some(help));
    }
    let sql = file_sql.or_else(|| options.sql.as_ref().map(|it| ctx.sql(it)));
    if sql.is_none() && is_sound {
        let name = &declared.name;
        let help = format!("add `sql = '''SELECT …'''`, or put the SELECT into `{name}.sql`");
        ctx.missing(&declared.spot, format!("`{name}` has no `sql`"), help);
    }
    let batch = batch::read(ctx, &mut options);
    let checks = check::read(ctx, options.checks);
    let descriptions = column::described(ctx, options.columns);
    let partition = options.partition.map(|said| Partition {
        word: Word { text: said.value.0.written.clone(), spot: ctx.spot(&said.range) },
        column: said.value.0.column,
        unit: said.value.0.unit,
    });
    let keep = ctx.span(options.keep, "keep");
    let rest = rest::read(ctx, options.history, options.cluster, options.snapshots, options.cold);
    let publish = ctx.span(options.publish, "publish").unwrap_or(PUBLISH_DEFAULT);
    let serve = options.serve.and_then(|it| serve::read(ctx, it));
    let lookup_backfill = options.lookup_backfill.filter(|it| it.value);
    let lookup_backfill = lookup_backfill.map(|it| ctx.spot(&it.range));
    let sql = sql?;
    let reads = sql::parse_select(&sql).unwrap_or_else(|faults| {
        ctx.faults.merge(faults);
        ctx.distrust(&declared.name);
        Vec::new()
    });
    let table = Table {
        layer: options.layer,
        late: options.late.map_or(LATE_DEFAULT, |it| it.value.0),
        partition,
        keep,
        rest,
        batch,
        publish,
        serve,
        lookup_backfill,
        checks,
        descriptions,
        description: options.description,
        owner: options.owner,
        tags: options.tags,
        ..plain(declared.name, declared.spot, sql)
    };
    Some((table, reads))
}

/// Makes a table with the settings that are so if nothing is said.
pub(crate) fn plain(name: Name, spot: Spot, sql: SqlText) -> Table {
    Table {
        name,
        spot,
        sql,
        reads: Vec::new(),
        reads_beside: Vec::new(),
        layer: None,
        late: LATE_DEFAULT,
        partition: None,
        keep: None,
        rest: Rest::default(),
        batch: Batch::default(),
        publish: PUBLISH_DEFAULT,
        serve: None,
        lookup_backfill: None,
        checks: Vec::new(),
        descriptions: Vec::new(),
        description: None,
        owner: None,
        tags: Vec::new(),
    }
}

impl FromWords for Late {
    const WHAT: &'static str = "a duration such as \"10 minutes\", or \"dead\"";

    fn from_words(text: &str) -> Result<Late, String> {
        if text == "dead" { Ok(Late::Dead) } else { Span::from_words(text).map(Late::Hold) }
    }
}

impl JsonSchema for Late {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Late".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let span = generator.subschema_for::<Span>();
        json_schema!({ "anyOf": [{ "const": "dead" }, span] })
    }
}

#[derive(Debug)]
struct PartitionBy {
    written: String,
    column: String,
    unit: Option<PartitionUnit>,
}

const UNITS: &[(&str, PartitionUnit)] = &[
    ("hour", PartitionUnit::Hour),
    ("day", PartitionUnit::Day),
    ("month", PartitionUnit::Month),
    ("year", PartitionUnit::Year),
];

impl FromWords for PartitionBy {
    const WHAT: &'static str = "a column, or a part of a time such as \"day(ts)\"";

    fn from_words(text: &str) -> Result<PartitionBy, String> {
        let wrong =
            || format!("`{text}` is no partition; write a column or, for a time, `day(ts)`");
        let written = text.to_owned();
        let is_column = |it: &str| {
            !it.is_empty() && it.chars().all(|sign| sign.is_alphanumeric() || sign == '_')
        };
        let Some((unit, rest)) = text.split_once('(') else {
            let column = text.trim().to_owned();
            return if is_column(&column) {
                Ok(PartitionBy { written, column, unit: None })
            } else {
                Err(wrong())
            };
        };
        let column = rest.trim_end().strip_suffix(')').ok_or_else(wrong)?.trim().to_owned();
        let unit = choose(unit.trim(), UNITS)?;
        if is_column(&column) {
            Ok(PartitionBy { written, column, unit: Some(unit) })
        } else {
            Err(wrong())
        }
    }
}

impl JsonSchema for PartitionBy {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PartitionBy".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^\\s*(\\w+|(hour|day|month|year)\\s*\\(\\s*\\w+\\s*\\))\\s*$",
        })
    }
}
