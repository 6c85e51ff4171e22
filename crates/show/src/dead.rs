//! Dead letters: listed with their bytes and reasons, and sent again.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use axum::Json;
use axum::extract::{Path, Query, State};
use base::{Kind, Name, limits};
use base64::Engine;
use futures::StreamExt;
use serde::{Deserialize, Serialize};

use crate::answers::Question;
use crate::charts::quote;
use crate::fault::Refusal;
use crate::pipeline::{Replay, Replayed};
use crate::routes::Show;

/// Which dead letters to list.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Wanted {
    check: Option<String>,
    kind: Option<String>,
    state: Option<String>,
    limit: Option<usize>,
}

#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Listed {
    reasons: Vec<Reason>,
    letters: Vec<Letter>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Reason {
    kind: Option<String>,
    check: Option<String>,
    state: Option<String>,
    count: i64,
    newest_ms: Option<i64>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Letter {
    /// `SHARD:SEQUENCE`.
    place: String,
    arrived_ms: Option<i64>,
    kind: Option<String>,
    check: Option<String>,
    checks: Vec<String>,
    message: Option<String>,
    state: Option<String>,
    /// The record, when it is text.
    text: Option<String>,
    /// The record, when it is not.
    base64: Option<String>,
}

/// Filters of a replay.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Filter {
    check: Option<String>,
    kind: Option<String>,
    place: Option<String>,
}

pub(crate) async fn list(
    State(show): State<Show>,
    Path(name): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Listed>, Refusal> {
    let table = quote(&name_of(&name)?.dead());
    let reasons = format!(
        "SELECT kind, \"check\", state, count(*) AS count, max(_arrived) AS newest FROM {table} \
         GROUP BY kind, \"check\", state ORDER BY count DESC"
    );
    let limit = wanted.limit.unwrap_or(limits::DEAD_LISTED_MAX).min(limits::DEAD_LISTED_MAX);
    let conditions: Vec<String> =
        [("check", &wanted.check), ("kind", &wanted.kind), ("state", &wanted.state)]
            .into_iter()
            .filter_map(|(column, value)| Some((column, value.as_ref()?)))
            .map(|(column, value)| format!("{} = '{}'", quote(column), value.replace('\'', "''")))
            .collect();
    let filter = if conditions.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", conditions.join(" AND "))
    };
    let letters = format!("SELECT * FROM {table}{filter} ORDER BY _arrived DESC LIMIT {limit}");
    let reasons = ask(&show, reasons).await?.iter().flat_map(reasons_of).collect();
    let letters = ask(&show, letters).await?.iter().flat_map(letters_of).collect();
    Ok(Json(Listed { reasons, letters }))
}

pub(crate) async fn replay(
    State(show): State<Show>,
    Path(name): Path<String>,
    filter: Option<Json<Filter>>,
) -> Result<Json<Replayed>, Refusal> {
    let Json(filter) = filter.unwrap_or_default();
    let Filter { check, kind, place } = filter;
    let replay = Replay { stream: name_of(&name)?, check, kind, place };
    show.pipeline().replay_dead(replay).await.map(Json).map_err(Refusal::of_ours)
}

fn name_of(text: &str) -> Result<Name, Refusal> {
    Name::new(text).map_err(|error| Refusal::new(Kind::Invalid, error.to_string()))
}

async fn ask(show: &Show, sql: String) -> Result<Vec<RecordBatch>, Refusal> {
    let question = Question { sql, rows_max: None, key: None };
    let mut answer = show.answers().ask(question).await.map_err(Refusal::of_ours)?;
    let mut batches = Vec::new();
    while let Some(batch) = answer.batches.next().await {
        batches.push(batch.map_err(Refusal::of_ours)?);
    }
    Ok(batches)
}

fn reasons_of(batch: &RecordBatch) -> Vec<Reason> {
    let columns = Columns(batch);
    let reason = |row| Reason {
        kind: columns.text("kind", row),
        check: columns.text("check", row),
        state: columns.text("state", row),
        count: columns.int("count", row).unwrap_or(0),
        newest_ms: columns.time_ms("newest", row),
    };
    (0..batch.num_rows()).map(reason).collect()
}

fn letters_of(batch: &RecordBatch) -> Vec<Letter> {
    let columns = Columns(batch);
    let letter = |row| {
        let bytes = columns.bytes("bytes", row);
        let text = std::str::from_utf8(&bytes).ok().map(str::to_owned);
        let encode = || base64::engine::general_purpose::STANDARD.encode(&bytes);
        Letter {
            place: format!(
                "{}:{}",
                columns.int("_shard", row).unwrap_or(0),
                columns.int("_sequence", row).unwrap_or(0)
            ),
            arrived_ms: columns.time_ms("_arrived", row),
            kind: columns.text("kind", row),
            check: columns.text("check", row),
            checks: columns.list("checks", row),
            message: columns.text("message", row),
            state: columns.text("state", row),
            base64: text.is_none().then(encode),
            text,
        }
    };
    (0..batch.num_rows()).map(letter).collect()
}

/// Reads cells by name; a column that is absent or of another type reads as nothing, so that an
/// older table of dead letters is still shown.
struct Columns<'a>(&'a RecordBatch);

impl Columns<'_> {
    fn column(&self, name: &str, row: usize) -> Option<&dyn Array> {
        self.0.column_by_name(name).filter(|it| !it.is_null(row)).map(|it| &**it)
    }

    fn text(&self, name: &str, row: usize) -> Option<String> {
        text_at(self.column(name, row)?, row)
    }

    fn int(&self, name: &str, row: usize) -> Option<i64> {
        Some(self.column(name, row)?.as_primitive_opt::<Int64Type>()?.value(row))
    }

    fn time_ms(&self, name: &str, row: usize) -> Option<i64> {
        let column = self.column(name, row)?.as_primitive_opt::<TimestampMicrosecondType>()?;
        Some(column.value(row).div_euclid(1_000))
    }

    fn bytes(&self, name: &str, row: usize) -> Vec<u8> {
        let Some(column) = self.column(name, row) else { return Vec::new() };
        match column.data_type() {
            DataType::BinaryView => column.as_binary_view().value(row).to_vec(),
            DataType::Binary => column.as_binary::<i32>().value(row).to_vec(),
            DataType::LargeBinary => column.as_binary::<i64>().value(row).to_vec(),
            _ => text_at(column, row).unwrap_or_default().into_bytes(),
        }
    }

    fn list(&self, name: &str, row: usize) -> Vec<String> {
        let Some(list) = self.column(name, row).and_then(|it| it.as_list_opt::<i32>()) else {
            return Vec::new();
        };
        let items = list.value(row);
        (0..items.len()).filter_map(|it| text_at(&*items, it)).collect()
    }
}

fn text_at(column: &dyn Array, row: usize) -> Option<String> {
    match column.data_type() {
        DataType::Utf8View => Some(column.as_string_view().value(row).to_owned()),
        DataType::Utf8 => Some(column.as_string::<i32>().value(row).to_owned()),
        DataType::LargeUtf8 => Some(column.as_string::<i64>().value(row).to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
