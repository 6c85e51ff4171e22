//! What is in the columns of a table: computed when somebody looks, over a part of it if it is large.

use base::limits;
use futures::StreamExt as _;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Entry;
use crate::answers::{Answers, AskError, Question};
use crate::charts::quote;

/// What is in the rows of a table.
#[derive(Debug, Serialize)]
pub(crate) struct Statistics {
    name: String,
    /// Rows that were looked at.
    rows: u64,
    /// Whether there are more.
    is_part: bool,
    columns: Vec<ColumnStatistics>,
}

/// What is in a column.
#[derive(Debug, Default, Serialize)]
struct ColumnStatistics {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    nulls: u64,
    /// About so many different values.
    distinct: u64,
    min: Option<Box<RawValue>>,
    max: Option<Box<RawValue>>,
    /// The most frequent values and how often each comes.
    top: Vec<(Box<RawValue>, u64)>,
    /// How many values lie in each tenth from the least to the greatest.
    histogram: Vec<u64>,
}

/// Values that are listed as the most frequent.
const TOP: usize = 5;
/// Parts of a histogram.
const BARS: usize = 10;

/// Looks at the rows of an entry.
pub(crate) async fn of(answers: &dyn Answers, entry: &Entry) -> Result<Statistics, AskError> {
    let rows_max = limits::CATALOG_ROWS_MAX;
    let from = format!("(SELECT * FROM {} LIMIT {rows_max}) t", quote(&entry.brief.name));
    let total = number(
        &ask(answers, format!("SELECT count(*) FROM {}", quote(&entry.brief.name))).await?,
        0,
        0,
    );
    let rows = total.min(rows_max);
    let mut columns = Vec::new();
    for it in entry.columns.iter().take(limits::CATALOG_COLUMNS_MAX) {
        columns.push(column(answers, &from, rows, &it.column.name, &it.column.kind).await?);
    }
    Ok(Statistics { name: entry.brief.name.clone(), rows, is_part: rows_max < total, columns })
}

async fn column(
    answers: &dyn Answers,
    from: &str,
    rows: u64,
    name: &str,
    kind: &str,
) -> Result<ColumnStatistics, AskError> {
    let column = quote(name);
    let mut told = ColumnStatistics {
        name: name.to_owned(),
        kind: kind.to_owned(),
        ..ColumnStatistics::default()
    };
    if kind == "bytes" || kind.starts_with("list") || kind.starts_with("struct") {
        let sql = format!("SELECT count({column}) FROM {from}");
        told.nulls = rows.saturating_sub(number(&ask(answers, sql).await?, 0, 0));
        return Ok(told);
    }
    let sql = format!(
        "SELECT count({column}), count(DISTINCT {column}), min({column}), max({column}) FROM {from}"
    );
    let answer = ask(answers, sql).await?;
    told.nulls = rows.saturating_sub(number(&answer, 0, 0));
    told.distinct = number(&answer, 0, 1);
    told.min = value(&answer, 0, 2);
    told.max = value(&answer, 0, 3);
    let sql = format!(
        "SELECT {column}, count(*) AS n FROM {from} WHERE {column} IS NOT NULL GROUP BY 1 \
         ORDER BY n DESC, 1 LIMIT {TOP}"
    );
    let answer = ask(answers, sql).await?;
    let line = |row| Some((value(&answer, row, 0)?, number(&answer, row, 1)));
    told.top = (0..answer.len()).filter_map(line).collect();
    if let Some(measure) = measure(&column, kind) {
        let sql = format!(
            "WITH v AS (SELECT {measure} AS v FROM {from} WHERE {column} IS NOT NULL), \
             b AS (SELECT min(v) AS lo, max(v) AS hi FROM v) \
             SELECT CAST(least(floor((v - lo) / nullif(hi - lo, 0) * {BARS}), {last}) AS bigint) AS bar, \
             count(*) FROM v CROSS JOIN b WHERE lo < hi GROUP BY 1 ORDER BY 1",
            last = BARS - 1,
        );
        let answer = ask(answers, sql).await?;
        if !answer.is_empty() {
            told.histogram = vec![0; BARS];
        }
        for row in 0..answer.len() {
            let bar = usize::try_from(number(&answer, row, 0)).unwrap_or(usize::MAX);
            if let Some(count) = told.histogram.get_mut(bar) {
                *count = number(&answer, row, 1);
            }
        }
    }
    Ok(told)
}

/// Returns what is measured along a histogram; nothing where there is no "between".
fn measure(column: &str, kind: &str) -> Option<String> {
    match kind {
        "int" | "float" => Some(format!("CAST({column} AS double)")),
        "timestamp" | "date" => Some(format!("CAST(date_part('epoch', {column}) AS double)")),
        it if it.starts_with("decimal") => Some(format!("CAST({column} AS double)")),
        _ => None,
    }
}

/// The values of a row, as JSON.
type Row = Vec<Box<RawValue>>;

async fn ask(answers: &dyn Answers, sql: String) -> Result<Vec<Row>, AskError> {
    let mut batches = answers.ask(Question { sql, rows_max: None, key: None }).await?.batches;
    let mut rows = Vec::new();
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter().map(|column| {
                let mut text = String::new();
                rows::json::write_value(column, row, &mut text);
                RawValue::from_string(text).unwrap_or_else(|_wrong| RawValue::NULL.to_owned())
            });
            rows.push(values.collect());
        }
    }
    Ok(rows)
}

fn value(rows: &[Row], row: usize, column: usize) -> Option<Box<RawValue>> {
    rows.get(row)?.get(column).filter(|it| it.get() != "null").cloned()
}

fn number(rows: &[Row], row: usize, column: usize) -> u64 {
    value(rows, row, column).and_then(|it| it.get().parse().ok()).unwrap_or(0)
}
