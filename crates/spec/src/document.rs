//! One TOML text as a tree whose places count from the start of all files.

use base::limits;
use serde_spanned::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::fault::Faults;
use crate::source::Sources;

/// A value with its place in all files.
pub(crate) type Value<'i> = Spanned<DeValue<'i>>;

/// Reads `text`, which begins at `start` of all files; what cannot be read is left out and faulted.
pub(crate) fn parse<'i>(
    text: &'i str,
    start: usize,
    sources: &Sources,
    faults: &mut Faults,
) -> DeTable<'i> {
    if let Some(at) = too_deep(text) {
        let spot = sources.spot(&(start + at..start + at + 1));
        let help = format!("at most {} parts, as in `a.b.c`", limits::TOML_DEPTH_MAX);
        faults.push(spot.fault("this key has too many parts", Some(help)));
        return DeTable::new();
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let range = error.span().unwrap_or(0..0);
        let spot = sources.spot(&(start + range.start..start + range.end));
        let written = text.get(range.start..).unwrap_or_default();
        let (message, help) = in_our_words(error.message(), written);
        faults.push(spot.fault(message, help));
    }
    shift_table(table.into_inner(), start)
}

/// Returns the place of the first key with too many parts. Each part is one level of the tree, and
/// the parser bounds only the levels of inline tables and arrays.
fn too_deep(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut parts = 0;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'#' => {
                at += bytes.get(at..)?.iter().position(|it| *it == b'\n').unwrap_or(bytes.len());
                continue;
            }
            b'"' | b'\'' => {
                at = string_end(bytes, at);
                continue;
            }
            b'.' => parts += 1,
            b'=' | b',' | b'{' | b'[' | b'\n' => parts = 0,
            _ => {}
        }
        if limits::TOML_DEPTH_MAX <= parts {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// Returns the byte after the string that begins at `at`; a string that is not closed ends with
/// its line, or with the text if it is one of many lines.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let quote = bytes.get(at).copied().unwrap_or(b'"');
    let rest = bytes.get(at..).unwrap_or_default();
    let is_long = rest.starts_with(&[quote; 3]);
    let mut here = if is_long { 3 } else { 1 };
    while let Some(byte) = rest.get(here) {
        let tail = rest.get(here..).unwrap_or_default();
        match byte {
            b'\\' if quote == b'"' => here += 2,
            b'\n' if !is_long => return at + here,
            _ if is_long && tail.starts_with(&[quote; 3]) => return at + here + 3,
            it if !is_long && *it == quote => return at + here + 1,
            _ => here += 1,
        }
    }
    bytes.len()
}

/// Rewrites what the TOML parser says in the manner of our own messages.
fn in_our_words(message: &str, written: &str) -> (String, Option<String>) {
    let word: String =
        written.chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect();
    let is_value = message.starts_with("invalid") || message.starts_with("string values");
    if is_value && word.starts_with(char::is_alphabetic) {
        let help = format!("put it in quotes: `\"{word}\"`");
        return (format!("the string `{word}` has no quotes"), Some(help));
    }
    let mut parts = message.splitn(2, ", expected ");
    let what = parts.next().unwrap_or(message).trim();
    let help = parts.next().map(|it| format!("expected {it}"));
    match what {
        "duplicate key" => (
            "this key is given twice".to_owned(),
            Some("keep one; a section may be opened only once in a file".to_owned()),
        ),
        _ => (what.to_owned(), help),
    }
}

fn shift_table(table: DeTable<'_>, by: usize) -> DeTable<'_> {
    let mut shifted = DeTable::new();
    for (key, value) in table {
        let span = key.span();
        let key = Spanned::new(span.start + by..span.end + by, key.into_inner());
        shifted.insert(key, shift(value, by));
    }
    shifted
}

/// Moves all places of `value` by `by` bytes.
pub(crate) fn shift(value: Value<'_>, by: usize) -> Value<'_> {
    let span = value.span();
    let inner = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(shift_table(table, by)),
        DeValue::Array(array) => {
            let mut shifted = DeArray::new();
            for element in array {
                shifted.push(shift(element, by));
            }
            DeValue::Array(shifted)
        }
        other => other,
    };
    Spanned::new(span.start + by..span.end + by, inner)
}

/// Lays `over` on `below`: tables merge key by key, everything else is replaced. A key that was
/// there keeps its place, so that columns keep their order.
pub(crate) fn overlay<'i>(below: &mut DeTable<'i>, over: DeTable<'i>) {
    for (key, value) in over {
        let Some(old) = below.get_mut(key.get_ref().as_ref()) else {
            below.insert(key, value);
            continue;
        };
        let span = value.span();
        match (old.get_mut(), value.into_inner()) {
            (DeValue::Table(old), DeValue::Table(new)) => overlay(old, new),
            (_, new) => *old = Spanned::new(span, new),
        }
    }
}

#[cfg(test)]
mod tests;
