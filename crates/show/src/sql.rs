//! `POST /v1/sql`: one statement in, its rows out as JSON, CSV or an Arrow stream.

use std::sync::Arc;

use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use base::{Kind, ShownKey, limits};
use futures::StreamExt;
use serde::{Deserialize, Serialize};

use crate::answers::{Answer, AskError, Question};
use crate::encode::{self, ColumnHead, RowsText};
use crate::fault::Refusal;
use crate::routes::Show;

/// What may stand in the address.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Wishes {
    format: Option<String>,
    rows_max: Option<usize>,
}

#[derive(Debug, Deserialize)]
struct Asked {
    sql: String,
    rows_max: Option<usize>,
    format: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
    Arrow,
}

#[derive(Serialize)]
struct Rows {
    columns: Vec<ColumnHead>,
    rows: RowsText,
    truncated: bool,
    took_ms: u64,
}

pub(crate) async fn answer(
    State(show): State<Show>,
    Query(wishes): Query<Wishes>,
    key: Option<Extension<ShownKey>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let asked = read(&headers, &body)?;
    let format = format_of(wishes.format.or(asked.format).as_deref(), &headers)?;
    let rows_max = wishes.rows_max.or(asked.rows_max);
    let rows_max = match format {
        Format::Json => {
            let rows_max = rows_max.unwrap_or(limits::ANSWER_ROWS_DEFAULT);
            Some(rows_max.min(limits::ANSWER_ROWS_MAX))
        }
        Format::Csv | Format::Arrow => rows_max,
    };
    let started = show.clock().elapsed();
    // One more than is shown, to know whether there are more.
    let question = Question {
        sql: asked.sql.clone(),
        rows_max: rows_max.map(|it| if format == Format::Json { it + 1 } else { it }),
        key: key.map(|Extension(ShownKey(name))| name),
    };
    let refuse = |error: AskError| Refusal::of(error, &asked.sql);
    let answer = show.answers().ask(question).await.map_err(refuse)?;
    match format {
        Format::Json => {
            let rows_max = rows_max.unwrap_or(limits::ANSWER_ROWS_MAX);
            let (columns, rows, truncated) = collect(answer, rows_max).await.map_err(refuse)?;
            let took = show.clock().elapsed().saturating_sub(started);
            let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let headers = [(header::CACHE_CONTROL, "no-store")];
            Ok((headers, axum::Json(Rows { columns, rows, truncated, took_ms })).into_response())
        }
        Format::Csv => Ok(stream("text/csv; charset=utf-8", csv(answer, rows_max))),
        Format::Arrow => {
            let parts = arrow_stream(answer, rows_max).map_err(refuse)?;
            Ok(stream("application/vnd.apache.arrow.stream", parts))
        }
    }
}

fn read(headers: &HeaderMap, body: &Bytes) -> Result<Asked, Refusal> {
    let invalid = |message: String| {
        Refusal::new(Kind::Invalid, message)
            .help("send the statement as text, or as JSON: {\"sql\": \"SELECT 1\"}")
    };
    let kind = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or("");
    let asked = if kind.starts_with("application/json") {
        serde_json::from_slice(body).map_err(|error| invalid(format!("not a question: {error}")))?
    } else {
        let sql = std::str::from_utf8(body)
            .map_err(|_not_text| invalid("the statement is not UTF-8".to_owned()))?;
        Asked { sql: sql.to_owned(), rows_max: None, format: None }
    };
    if asked.sql.trim().is_empty() {
        return Err(invalid("the statement is empty".to_owned()));
    }
    Ok(asked)
}

/// The `format` asked for by name, else by `Accept`, else JSON.
fn format_of(named: Option<&str>, headers: &HeaderMap) -> Result<Format, Refusal> {
    let accepted = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok()).unwrap_or("");
    match named {
        Some("json") => Ok(Format::Json),
        Some("csv") => Ok(Format::Csv),
        Some("arrow") => Ok(Format::Arrow),
        Some(other) => Err(Refusal::new(
            Kind::Invalid,
            format!("format `{other}` is not known; write `json`, `csv` or `arrow`"),
        )),
        None if accepted.contains("vnd.apache.arrow") => Ok(Format::Arrow),
        None if accepted.contains("text/csv") => Ok(Format::Csv),
        None => Ok(Format::Json),
    }
}

/// Reads at most `rows_max` rows of `answer`, and says whether there were more.
pub(crate) async fn collect(
    answer: Answer,
    rows_max: usize,
) -> Result<(Vec<ColumnHead>, RowsText, bool), AskError> {
    let columns = encode::heads(&answer.schema);
    let mut batches = answer.batches;
    let mut rows = RowsText::default();
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let room = rows_max - rows.count();
        rows.push(&batch.slice(0, batch.num_rows().min(room)));
        if room < batch.num_rows() {
            return Ok((columns, rows, true));
        }
    }
    Ok((columns, rows, false))
}

fn not_encoded(error: impl std::fmt::Display) -> AskError {
    AskError::new(Kind::Bug, format!("the answer cannot be written: {error}"))
}

type Parts = futures::stream::BoxStream<'static, Result<Vec<u8>, AskError>>;

fn stream(kind: &'static str, parts: Parts) -> Response {
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")];
    // An error after the first rows can only break the connection off, so that nobody takes a part
    // for the whole.
    (headers, Body::from_stream(parts)).into_response()
}

/// Passes on at most `rows_max` rows.
fn limited(answer: Answer, rows_max: Option<usize>) -> crate::answers::Batches {
    let mut room = rows_max.unwrap_or(usize::MAX);
    Box::pin(answer.batches.map(move |batch| {
        let batch = batch?;
        let taken: RecordBatch = batch.slice(0, batch.num_rows().min(room));
        room -= taken.num_rows();
        Ok(taken)
    }))
}

fn csv(answer: Answer, rows_max: Option<usize>) -> Parts {
    let mut head = String::new();
    rows::csv::write_header(&answer.schema, &mut head);
    let parts = limited(answer, rows_max).map(|batch| {
        let mut lines = String::new();
        rows::csv::write_rows(&batch?, &mut lines);
        Ok(lines.into_bytes())
    });
    Box::pin(futures::stream::iter([Ok(head.into_bytes())]).chain(parts))
}

fn arrow_stream(answer: Answer, rows_max: Option<usize>) -> Result<Parts, AskError> {
    let schema = Arc::clone(&answer.schema);
    let writer = StreamWriter::try_new(Vec::new(), &schema).map_err(not_encoded)?;
    let batches = limited(answer, rows_max).map(Some).chain(futures::stream::iter([None]));
    let parts = batches.scan(writer, |writer, batch| {
        let part = match batch {
            Some(Ok(batch)) => writer.write(&batch).map_err(not_encoded),
            Some(Err(error)) => Err(error),
            None => writer.finish().map_err(not_encoded),
        };
        let part = part.map(|()| std::mem::take(writer.get_mut()));
        futures::future::ready(Some(part))
    });
    Ok(Box::pin(parts))
}

#[cfg(test)]
mod tests;
