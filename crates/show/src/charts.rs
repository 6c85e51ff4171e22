//! Charts as questions: which SQL a chart asks, and its answer as the page gets it.

use std::sync::Arc;

use base::{Clock, Kind, limits};
use futures::future::{Either, select};
use serde::Serialize;
use serde_json::Value;

use crate::answers::{Answers, AskError, Question};
use crate::encode::{ColumnHead, RowsText};
use crate::facts::{Chart, ChartKind, Column, Facts};
use crate::fault::Refusal;
use crate::sql;

/// Bars drawn when the chart names no limit: more do not fit with their names.
const BARS_DEFAULT: u32 = 12;
/// Rows shown when a table chart names no limit.
const ROWS_DEFAULT: u32 = 20;

/// The data of one chart.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct ChartData {
    pub(crate) columns: Vec<ColumnHead>,
    pub(crate) rows: RowsText,
    /// Whether there were more rows than a chart draws.
    pub(crate) truncated: bool,
    /// The SQL that was asked, so that a reader can go on from it.
    pub(crate) sql: String,
    /// Why there is no data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Value>,
}

/// Asks what `chart` shows now.
pub(crate) async fn ask(
    answers: &dyn Answers,
    clock: &Arc<dyn Clock>,
    chart: &Chart,
    facts: &Facts,
) -> ChartData {
    let sql = question(chart, facts);
    let answer = within(answers, clock, &sql).await;
    match answer {
        Ok((columns, rows, truncated)) => ChartData { columns, rows, truncated, error: None, sql },
        Err(error) => {
            let error = Some(Refusal::of(error, &sql).to_json());
            ChartData { error, sql, ..ChartData::default() }
        }
    }
}

/// Waits for the answer, but not for ever.
async fn within(
    answers: &dyn Answers,
    clock: &Arc<dyn Clock>,
    sql: &str,
) -> Result<Collected, AskError> {
    let late = clock.sleep(limits::CHART_ANSWER_MAX);
    match select(Box::pin(collect(answers, sql)), late).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => {
            let seconds = limits::CHART_ANSWER_MAX.as_secs();
            let message = format!("the chart took longer than {seconds} seconds");
            let help = "let a table compute what it shows, or give it a shorter `last`";
            Err(AskError { help: Some(help.to_owned()), ..AskError::new(Kind::Throttled, message) })
        }
    }
}

type Collected = (Vec<ColumnHead>, RowsText, bool);

async fn collect(answers: &dyn Answers, sql: &str) -> Result<Collected, AskError> {
    let rows_max = limits::CHART_ROWS_MAX;
    let question = Question { sql: sql.to_owned(), rows_max: Some(rows_max + 1), key: None };
    sql::collect(answers.ask(question).await?, rows_max).await
}

/// Returns the SQL of `chart`.
///
/// Columns: `x`, then `by` when there is one, then each of `y`.
pub(crate) fn question(chart: &Chart, facts: &Facts) -> String {
    let source = Source::of(&chart.from, facts);
    let since = chart.last_ms.and_then(|last_ms| {
        let time = chart.x.as_deref().filter(|it| source.is_time(it)).or_else(|| source.time())?;
        Some(format!(" WHERE {} >= now() - INTERVAL '{last_ms} milliseconds'", quote(time)))
    });
    let from = format!(" FROM {}{}", quote(&chart.from), since.unwrap_or_default());
    match chart.kind {
        ChartKind::Table => table(chart, &source, &from),
        ChartKind::Number => grouped(chart, &source, &from, chart.x.is_some()),
        ChartKind::Line | ChartKind::Area => grouped(chart, &source, &from, true),
        ChartKind::Bar => bars(chart, &source, &from),
    }
}

fn table(chart: &Chart, source: &Source<'_>, from: &str) -> String {
    let columns: Vec<String> = if chart.y.is_empty() {
        vec!["*".to_owned()]
    } else {
        let shown = chart.x.iter().chain(&chart.by).chain(&chart.y);
        shown.map(|it| source.column_or_sql(it)).collect()
    };
    let order = chart.x.as_deref().or_else(|| source.time());
    let order = order.map(|it| format!(" ORDER BY {} DESC", quote(it))).unwrap_or_default();
    let limit = chart.limit.unwrap_or(ROWS_DEFAULT);
    format!("SELECT {}{from}{order} LIMIT {limit}", columns.join(", "))
}

fn grouped(chart: &Chart, source: &Source<'_>, from: &str, along_x: bool) -> String {
    let keys: Vec<&String> =
        if along_x { chart.x.iter().chain(&chart.by).collect() } else { chart.by.iter().collect() };
    let mut shown: Vec<String> = keys.iter().map(|it| quote(it)).collect();
    shown.extend(chart.y.iter().map(|it| source.aggregate(it)));
    let group = positions(keys.len());
    let order = if keys.is_empty() { "" } else { " ORDER BY 1" };
    format!("SELECT {}{from}{group}{order}", shown.join(", "))
}

fn bars(chart: &Chart, source: &Source<'_>, from: &str) -> String {
    let along_time = chart.x.as_deref().is_some_and(|it| source.is_time(it));
    let all = grouped(chart, source, from, true);
    if along_time {
        return all;
    }
    let limit = chart.limit.unwrap_or(BARS_DEFAULT);
    match (&chart.by, &chart.x) {
        // The largest bars, each with all its parts.
        (Some(_), Some(x)) => {
            let whole =
                chart.y.first().map_or_else(|| "count(*)".to_owned(), |it| source.measure(it));
            let x = quote(x);
            let inner = format!("SELECT {x}{from} GROUP BY 1 ORDER BY {whole} DESC LIMIT {limit}");
            let glue = if from.contains(" WHERE ") { "AND" } else { "WHERE" };
            grouped(chart, source, &format!("{from} {glue} {x} IN ({inner})"), true)
        }
        _ => {
            let keys = usize::from(chart.x.is_some()) + usize::from(chart.by.is_some());
            let all = all.strip_suffix(" ORDER BY 1").unwrap_or(&all);
            format!("{all} ORDER BY {} DESC LIMIT {limit}", keys + 1)
        }
    }
}

fn positions(keys: usize) -> String {
    let places: Vec<String> = (1..=keys).map(|it| it.to_string()).collect();
    if places.is_empty() { String::new() } else { format!(" GROUP BY {}", places.join(", ")) }
}

/// What is known of the table a chart reads.
struct Source<'a> {
    columns: &'a [Column],
    time: Option<&'a str>,
}

impl<'a> Source<'a> {
    fn of(name: &str, facts: &'a Facts) -> Source<'a> {
        let table = facts.tables.iter().find(|it| it.name == name);
        let stream = facts.streams.iter().find(|it| it.name == name);
        match (table, stream) {
            (Some(it), _) => Source { columns: &it.columns, time: it.time.as_deref() },
            (None, Some(it)) => Source { columns: &it.columns, time: it.time.as_deref() },
            (None, None) => Source { columns: &[], time: None },
        }
    }

    fn is_time(&self, name: &str) -> bool {
        let column = self.columns.iter().find(|it| it.name == name);
        column.is_none_or(|it| it.kind == "timestamp" || it.kind == "date")
    }

    /// The column by which `last` and "newest first" go when the chart's `x` is no time.
    fn time(&self) -> Option<&'a str> {
        let is_time = |it: &&Column| it.kind == "timestamp";
        self.time.or_else(|| self.columns.iter().find(is_time).map(|it| it.name.as_str()))
    }

    fn is_column(&self, text: &str) -> bool {
        self.columns.iter().any(|it| it.name == text)
            || text.chars().all(|it| it.is_alphanumeric() || it == '_')
    }

    fn column_or_sql(&self, text: &str) -> String {
        if self.is_column(text) { quote(text) } else { text.to_owned() }
    }

    fn measure(&self, text: &str) -> String {
        if self.is_column(text) { format!("sum({})", quote(text)) } else { text.to_owned() }
    }

    fn aggregate(&self, text: &str) -> String {
        format!("{} AS {}", self.measure(text), quote(text))
    }
}

/// Quotes a name for SQL.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests;
