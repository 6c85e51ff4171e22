//! A refusal as HTTP says it: the status by its kind, the reason as JSON.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base::{Kind, limits};
use serde::Serialize;

use crate::answers::AskError;

/// What the caller gets instead of an answer: `{"error": {"kind", "message", …}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Refusal {
    #[serde(skip)]
    kind: Kind,
    #[serde(rename = "kind")]
    word: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    #[serde(flatten)]
    position: Option<Position>,
}

/// Where in the SQL, as editors count: lines and columns from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Position {
    line: usize,
    column: usize,
    /// Characters from there that are meant, up to the end of the line; at least 1.
    length: usize,
}

#[derive(Serialize)]
struct Body<'a> {
    error: &'a Refusal,
}

impl Refusal {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Refusal {
        let message = message.into();
        Refusal { kind, word: kind.word(), message, help: None, position: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Refusal {
        self.help = Some(help.into());
        self
    }

    /// Makes a refusal of `error`; `sql` is what its position speaks of.
    pub(crate) fn of(error: AskError, sql: &str) -> Refusal {
        let position = error.position.as_ref().map(|range| locate(sql, range.start, range.end));
        let mut refusal = Refusal::new(error.kind, error.message);
        refusal.help = error.help;
        refusal.position = position;
        refusal
    }

    /// Makes a refusal of an error about something that is not SQL of the caller.
    pub(crate) fn of_ours(error: AskError) -> Refusal {
        Refusal { help: error.help, ..Refusal::new(error.kind, error.message) }
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(Body { error: self }).unwrap_or_default()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.kind.http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers =
            [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
        let mut response = (status, headers, self.to_json().to_string()).into_response();
        if self.kind == Kind::Throttled {
            let seconds = limits::RETRY_AFTER.as_secs().max(1);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Turns bytes of `text` into a line and columns; offsets beyond the text or within a character
/// are moved back to where one begins.
fn locate(text: &str, start: usize, end: usize) -> Position {
    let floor = |at: usize| {
        let at = at.min(text.len());
        (0..=at).rev().find(|it| text.is_char_boundary(*it)).unwrap_or(0)
    };
    let (before, rest) = text.split_at(floor(start));
    let line_start = before.rfind('\n').map_or(0, |it| it + 1);
    let column = before.get(line_start..).map_or(0, |it| it.chars().count());
    let meant = floor(end).saturating_sub(before.len());
    let meant = rest.get(..meant).unwrap_or("");
    let length = meant.lines().next().map_or(0, |it| it.chars().count());
    Position { line: before.matches('\n').count() + 1, column: column + 1, length: length.max(1) }
}

#[cfg(test)]
mod tests;
