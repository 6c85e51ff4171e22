//! Cuts a request's body into records, without copying and without changing a byte of any of them.

use serde::de::{DeserializeSeed, Deserializer as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// What a body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Find out: an array, one JSON value, or one record a line.
    Guess,
    /// One record a line, whatever the lines look like.
    Lines,
    /// One row of comma-separated values after the other: a field in quotes may hold line ends.
    Csv,
    /// The same, but the first row names the columns and is no record.
    CsvAfterHeader,
    /// The whole body is one record.
    Whole,
}

impl Form {
    /// Chooses by `Content-Type`. Clients often send a type they do not mean (`curl -d` says it is
    /// a web form), so everything unknown is found out by looking.
    pub(crate) fn of(content_type: Option<&str>) -> Form {
        let Some(content_type) = content_type else { return Form::Guess };
        let mut parts = content_type.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        match media.as_str() {
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines"
            | "text/plain" => Form::Lines,
            "text/csv" if parts.any(|it| it.eq_ignore_ascii_case("header=present")) => {
                Form::CsvAfterHeader
            }
            "text/csv" => Form::Csv,
            "application/octet-stream" => Form::Whole,
            _ => Form::Guess,
        }
    }
}

/// The body begins as a JSON array but is none, so that its records cannot be told apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the body begins with `[` but is not a JSON array: line {line}, column {column}: {message}"
)]
pub(crate) struct NotAnArray {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) message: String,
}

/// Cuts `body` into records.
pub(crate) fn split(body: &[u8], form: Form) -> Result<Vec<&[u8]>, NotAnArray> {
    match form {
        Form::Whole if body.is_empty() => Ok(Vec::new()),
        Form::Whole => Ok(vec![body]),
        Form::Lines => Ok(lines(body).collect()),
        Form::Csv => Ok(csv_rows(body).collect()),
        Form::CsvAfterHeader => Ok(csv_rows(body).skip(1).collect()),
        Form::Guess => match trim(without_mark(body)) {
            array @ [b'[', ..] => elements(array),
            one @ [b'{', ..] if is_one_value(one) => Ok(vec![one]),
            _ => Ok(lines(body).collect()),
        },
    }
}

/// Returns the lines that are not blank, without their line ends.
fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let body = without_mark(body);
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', body).chain(std::iter::once(body.len()));
    ends.filter_map(move |end| {
        let line = body.get(start..end).unwrap_or_default();
        start = end + 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        (!line.trim_ascii().is_empty()).then_some(line)
    })
}

/// Returns the rows of comma-separated values that are not blank, without their line ends.
fn csv_rows(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = without_mark(body);
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = csv_row_end(rest).or_else(|| memchr::memchr(b'\n', rest));
            let end = end.unwrap_or(rest.len());
            let row = rest.get(..end).unwrap_or_default();
            rest = rest.get(end + 1..).unwrap_or_default();
            let row = row.strip_suffix(b"\r").unwrap_or(row);
            if !row.trim_ascii().is_empty() {
                return Some(row);
            }
        }
        None
    })
}

/// Returns where the first row ends; none if a quote that is opened is never closed: then it is
/// not one that should hold line ends, and only its own line is a row.
fn csv_row_end(body: &[u8]) -> Option<usize> {
    let (mut at, mut is_quoted, mut begins_field) = (0, false, true);
    while let Some(&byte) = body.get(at) {
        match byte {
            b'"' if is_quoted && body.get(at + 1) == Some(&b'"') => at += 1,
            b'"' if is_quoted => is_quoted = false,
            b'"' if begins_field => is_quoted = true,
            b'\n' if !is_quoted => return Some(at),
            _ => {}
        }
        begins_field = byte == b',' && !is_quoted;
        at += 1;
    }
    (!is_quoted).then_some(body.len())
}

/// A body that begins with `{` is one record if it is one JSON value, over however many lines, or
/// if its first line is a lone `{`: then somebody sent one printed value with a slip in it, and
/// its lines alone would be many meaningless dead letters.
fn is_one_value(body: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>();
    match values.next() {
        Some(Ok(_)) => body.len() <= values.byte_offset(),
        _ => lines(body).next().is_some_and(|first| first.trim_ascii() == b"{"),
    }
}

/// Returns the elements of a JSON array as they stand in `body`.
fn elements(body: &[u8]) -> Result<Vec<&[u8]>, NotAnArray> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let found = (&mut json).deserialize_seq(Elements);
    found.and_then(|found| json.end().map(|()| found)).map_err(|error| NotAnArray {
        line: error.line(),
        column: error.column(),
        message: reason_of(&error),
    })
}

/// The library's message without the position it ends with.
fn reason_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason).to_owned()
}

struct Elements;

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<&'de [u8]>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(element) = array.next_element_seed(Raw)? {
            found.push(element);
        }
        Ok(found)
    }
}

struct Raw;

impl<'de> DeserializeSeed<'de> for Raw {
    type Value = &'de [u8];

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        let raw: &'de RawValue = serde::Deserialize::deserialize(json)?;
        Ok(raw.get().as_bytes())
    }
}

/// Windows tools begin UTF-8 files with a byte order mark; it belongs to no record.
fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

fn trim(body: &[u8]) -> &[u8] {
    body.trim_ascii()
}

#[cfg(test)]
mod tests;
