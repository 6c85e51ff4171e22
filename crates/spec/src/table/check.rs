//! Checks of a table: data tests, which reject no row.

use std::borrow::Cow;
use std::ops::Range;

use base::Span;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::ctx::LoadCtx;
use crate::said::{Entries, FromWords, OneOrMore, Said, Words, choose, listed};
use crate::source::{Spot, Word};
use crate::sql::{self, SqlText};

/// What must hold of the rows of a table.
#[derive(Debug, Clone)]
pub struct TableCheck {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub spot: Spot,
    /// What must hold.
    pub holds: Holds,
    /// What follows if it does not.
    pub severity: CheckSeverity,
}

/// What a check of a table asks.
#[derive(Debug, Clone)]
pub enum Holds {
    /// A condition: over each row, or over all rows where it aggregates.
    Condition(SqlText),
    /// A SELECT that has no row; each row it has is one too many.
    NoRows {
        /// The SELECT.
        sql: SqlText,
        /// What it reads.
        reads: Vec<Word>,
    },
    /// The values of these columns together stand in one row only.
    Unique(Vec<Word>),
    /// Each of these columns has a value in each row.
    NotNull(Vec<Word>),
    /// Each value of a column is one of a column of another table.
    References {
        /// The column.
        column: Word,
        /// The other table.
        table: Word,
        /// Its column.
        to: Word,
    },
    /// The newest row is younger than this.
    Fresh {
        /// How old it may be.
        within: Span,
        /// The column with the time; the table's own if not said.
        column: Option<Word>,
    },
    /// A run makes about as many rows as the one before.
    RowChange {
        /// By how much the number may differ.
        percent: Percent,
        /// Where it is said.
        spot: Spot,
    },
}

/// What follows from a check that does not hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema)]
#[schemars(inline, rename_all = "lowercase")]
pub enum CheckSeverity {
    /// It is shown.
    #[default]
    Warn,
    /// It is shown, and the tables behind stand still until it holds again.
    Fail,
}

impl CheckSeverity {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            CheckSeverity::Warn => "warn",
            CheckSeverity::Fail => "fail",
        }
    }
}

/// A share in words: `"50 %"`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percent(pub f64);

impl TableCheck {
    /// Says in one line what must hold, for people.
    pub fn told(&self) -> String {
        let all = |words: &[Word]| words.iter().map(Word::as_str).collect::<Vec<_>>().join(", ");
        match &self.holds {
            Holds::Condition(sql) | Holds::NoRows { sql, .. } => sql.text.trim().to_owned(),
            Holds::Unique(columns) => format!("unique {}", all(columns)),
            Holds::NotNull(columns) => format!("not null {}", all(columns)),
            Holds::References { column, table, to } => {
                format!("{column} references {table}.{to}")
            }
            Holds::Fresh { within, column: None } => format!("not older than {within}"),
            Holds::Fresh { within, column: Some(column) } => {
                format!("{column} not older than {within}")
            }
            Holds::RowChange { percent, .. } => {
                format!("rows change by at most {} %", percent.0)
            }
        }
    }

    /// Returns the other tables that it reads.
    pub fn reads(&self) -> &[Word] {
        match &self.holds {
            Holds::NoRows { reads, .. } => reads,
            Holds::References { table, .. } => std::slice::from_ref(table),
            _ => &[],
        }
    }
}

/// A check as it is written: a condition, or a table of options.
#[derive(Debug)]
pub(crate) enum CheckEntry {
    Sql(Said<String>),
    Full(Box<CheckOptions>),
}

/// One of `sql`, `unique`, `not_null`, `references`, `freshness` and `row_change` says what must hold.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct CheckOptions {
    /// A condition over each row, or over all rows where it aggregates; or a SELECT that must have
    /// no row.
    sql: Option<Said<String>>,
    /// The columns whose values together may stand in one row only; null is no value.
    unique: Option<OneOrMore>,
    /// The columns that must have a value in each row.
    not_null: Option<OneOrMore>,
    /// The column of another table that must have each value of `column`: `"products.product_id"`.
    /// Null refers to nothing.
    references: Option<Said<String>>,
    /// How old the newest row may be: `"1 hour"`.
    freshness: Option<Said<Words<Span>>>,
    /// By how much the number of rows may differ from the last run that passed: `"50 %"`.
    row_change: Option<Said<Words<Percent>>>,
    /// The column that `references` or `freshness` is about; for `freshness` the table's time if not
    /// said.
    column: Option<Said<String>>,
    /// What follows if it does not hold: `"warn"` (if not said) shows it, `"fail"` stops the tables
    /// behind too.
    severity: Option<Said<Words<CheckSeverity>>>,
}

/// The ways to say what must hold.
const WAYS: &[&str] = &["sql", "unique", "not_null", "references", "freshness", "row_change"];

/// Reads the checks of a table.
pub(crate) fn read(ctx: &mut LoadCtx<'_>, entries: Entries<CheckEntry>) -> Vec<TableCheck> {
    let mut checks = Vec::new();
    for (name, entry) in entries.0 {
        let spot = ctx.spot(&name.range);
        let (holds, severity) = match entry {
            CheckEntry::Sql(said) => (read_sql(ctx, &said), None),
            CheckEntry::Full(full) => {
                let severity = full.severity.as_ref().map(|it| it.value.0);
                (read_options(ctx, &name, *full), severity)
            }
        };
        let severity = severity.unwrap_or_default();
        let check = holds.map(|holds| TableCheck { name: name.value, spot, holds, severity });
        checks.extend(check);
    }
    checks
}

fn read_options(
    ctx: &mut LoadCtx<'_>,
    name: &Said<String>,
    options: CheckOptions,
) -> Option<Holds> {
    let CheckOptions { sql, unique, not_null, references, freshness, row_change, column, .. } =
        options;
    let said = [
        sql.as_ref().map(|it| &it.range),
        unique.as_ref().map(|it| range_of(it, name)),
        not_null.as_ref().map(|it| range_of(it, name)),
        references.as_ref().map(|it| &it.range),
        freshness.as_ref().map(|it| &it.range),
        row_change.as_ref().map(|it| &it.range),
    ];
    let said: Vec<Range<usize>> = said.into_iter().flatten().cloned().collect();
    if said.is_empty() {
        let help = format!("add `sql = \"CONDITION\"`, or another of {}", listed(WAYS));
        ctx.fault(&name.range, format!("the check `{}` says nothing", name.value), Some(help));
        return None;
    }
    if let Some(second) = said.get(1) {
        let help = "give each its own name".to_owned();
        ctx.fault(second, "a check asks one thing", Some(help));
        return None;
    }
    if let Some(column) = column.as_ref().filter(|_| references.is_none() && freshness.is_none()) {
        let help = "remove it; only `references` and `freshness` are about one".to_owned();
        ctx.fault(&column.range, "`column` says nothing here", Some(help));
    }
    let column = column.map(|it| ctx.word(&it));
    if let Some(said) = references {
        return read_reference(ctx, &said, column);
    }
    if let Some(said) = freshness {
        let within = ctx.span(Some(said), "freshness")?;
        return Some(Holds::Fresh { within, column });
    }
    if let Some(said) = row_change {
        return Some(Holds::RowChange { percent: said.value.0, spot: ctx.spot(&said.range) });
    }
    if let Some(said) = unique {
        return Some(Holds::Unique(read_columns(ctx, name, said)?));
    }
    if let Some(said) = not_null {
        return Some(Holds::NotNull(read_columns(ctx, name, said)?));
    }
    sql.and_then(|it| read_sql(ctx, &it))
}

fn range_of<'a>(columns: &'a OneOrMore, name: &'a Said<String>) -> &'a Range<usize> {
    columns.0.first().map_or(&name.range, |it| &it.range)
}

fn read_columns(
    ctx: &mut LoadCtx<'_>,
    name: &Said<String>,
    columns: OneOrMore,
) -> Option<Vec<Word>> {
    if columns.0.is_empty() {
        let help = "name a column: `\"order_id\"`".to_owned();
        ctx.fault(&name.range, format!("the check `{}` names no column", name.value), Some(help));
        return None;
    }
    Some(ctx.words(Some(columns)))
}

fn read_reference(
    ctx: &mut LoadCtx<'_>,
    said: &Said<String>,
    column: Option<Word>,
) -> Option<Holds> {
    let Some((table, to)) = said.value.split_once('.').filter(|(_, to)| !to.contains('.')) else {
        let message = format!("`{}` is no column of a table", said.value);
        let help = "write `\"TABLE.COLUMN\"`, such as \"products.product_id\"".to_owned();
        ctx.fault(&said.range, message, Some(help));
        return None;
    };
    let Some(column) = column else {
        let help = "add `column = \"COLUMN\"`".to_owned();
        ctx.fault(&said.range, "`references` without the `column` that refers", Some(help));
        return None;
    };
    let at = table.len();
    let part = |text: &str, bytes: Range<usize>| {
        let spot = ctx.spot(&ctx.inside(said, bytes));
        Word { text: text.to_owned(), spot }
    };
    let (table, to) = (part(table, 0..at), part(to, at + 1..said.value.len()));
    Some(Holds::References { column, table, to })
}

fn read_sql(ctx: &mut LoadCtx<'_>, said: &Said<String>) -> Option<Holds> {
    let sql = ctx.sql(said);
    if sql::is_select(&sql) {
        return match sql::parse_select(&sql) {
            Ok(reads) => {
                let mut words: Vec<Word> = Vec::new();
                for read in reads {
                    if words.iter().all(|it| it.text != read.name) {
                        words.push(Word { text: read.name, spot: read.spot });
                    }
                }
                Some(Holds::NoRows { sql, reads: words })
            }
            Err(faults) => {
                ctx.faults.merge(faults);
                None
            }
        };
    }
    match sql::parse_condition(&sql) {
        Ok(reads) => {
            for read in &reads {
                let help = "a condition sees the rows of its own table; write `references`, or a \
                            SELECT of the rows that must not be";
                let message = format!("a condition cannot read `{}`", read.name);
                ctx.faults.push(read.spot.fault(message, Some(help.to_owned())));
            }
            Some(Holds::Condition(sql))
        }
        Err(fault) => {
            ctx.faults.push(*fault);
            None
        }
    }
}

impl<'de> Deserialize<'de> for CheckEntry {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<CheckEntry, D::Error> {
        let said = Said::<SqlOrOptions>::deserialize(deserializer)?;
        Ok(match said.value {
            SqlOrOptions::Sql(value) => CheckEntry::Sql(Said { value, range: said.range }),
            SqlOrOptions::Options(options) => CheckEntry::Full(options),
        })
    }
}

enum SqlOrOptions {
    Sql(String),
    Options(Box<CheckOptions>),
}

impl<'de> Deserialize<'de> for SqlOrOptions {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<SqlOrOptions, D::Error> {
        deserializer.deserialize_any(SqlOrOptionsVisitor)
    }
}

struct SqlOrOptionsVisitor;

impl<'de> serde::de::Visitor<'de> for SqlOrOptionsVisitor {
    type Value = SqlOrOptions;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a condition in SQL, or `{ unique = \"..\", severity = \"fail\" }`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<SqlOrOptions, E> {
        Ok(SqlOrOptions::Sql(text.to_owned()))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<SqlOrOptions, A::Error> {
        let map = serde::de::value::MapAccessDeserializer::new(map);
        CheckOptions::deserialize(map).map(|it| SqlOrOptions::Options(Box::new(it)))
    }
}

impl JsonSchema for CheckEntry {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TableCheck".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let options = generator.subschema_for::<CheckOptions>();
        json_schema!({ "anyOf": [{ "type": "string" }, options] })
    }
}

impl FromWords for CheckSeverity {
    const WHAT: &'static str = "`\"warn\"` or `\"fail\"`";

    fn from_words(text: &str) -> Result<CheckSeverity, String> {
        choose(text, &[("warn", CheckSeverity::Warn), ("fail", CheckSeverity::Fail)])
    }
}

impl FromWords for Percent {
    const WHAT: &'static str = "a share such as \"50 %\"";

    fn from_words(text: &str) -> Result<Percent, String> {
        let number = text.trim().strip_suffix('%').map(str::trim_end);
        let number = number.and_then(|it| it.parse::<f64>().ok());
        match number.filter(|it| it.is_finite() && 0.0 <= *it) {
            Some(percent) => Ok(Percent(percent)),
            None => Err(format!("`{text}` is no share; write for example `\"50 %\"`")),
        }
    }
}

impl JsonSchema for Percent {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^\\s*[0-9]+(\\.[0-9]+)?\\s*%\\s*$" })
    }
}
