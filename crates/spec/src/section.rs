//! A section becomes a type, with every fault in it and not only the first.

use std::ops::Range;

use base::{limits, nearest};
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::document::Value;
use crate::fault::{Fault, Faults};
use crate::said::listed;
use crate::source::Sources;

/// Reads `value` as a `T` whose settings may all be missing. A setting that is wrong is faulted,
/// struck out, and the rest read again, so the faults of all settings come together; what is
/// returned has the settings that are right.
pub(crate) fn read<T: DeserializeOwned + Default>(
    mut value: Value<'_>,
    sources: &Sources,
    faults: &mut Faults,
) -> T {
    let mut found = 0;
    loop {
        let error = match T::deserialize(ValueDeserializer::from(value.clone())) {
            Ok(read) => return read,
            Err(error) => error,
        };
        let range = error.span().unwrap_or_else(|| value.span());
        let DeValue::Table(table) = value.get_mut() else {
            add(faults, fault(error.message(), &range, None, sources));
            return T::default();
        };
        let struck = strike_out(table, &range);
        add(faults, fault(error.message(), &range, struck.as_deref(), sources));
        found += 1;
        if struck.is_none() || limits::SECTION_FAULTS_MAX <= found {
            return T::default();
        }
    }
}

/// Adds a fault, unless one is known there: the value is wrong because its syntax is.
fn add(faults: &mut Faults, fault: Fault) {
    if faults.iter().all(|it| it.spot() != fault.spot()) {
        faults.push(fault);
    }
}

/// Removes the innermost setting that `range` lies in and returns its key.
fn strike_out(table: &mut DeTable<'_>, range: &Range<usize>) -> Option<String> {
    for (key, value) in table.iter_mut() {
        if key.span() == *range {
            break;
        }
        let inside = match value.get_mut() {
            DeValue::Table(inner) => strike_out(inner, range),
            DeValue::Array(array) => array.iter_mut().find_map(|it| match it.get_mut() {
                DeValue::Table(inner) => strike_out(inner, range),
                _ => None,
            }),
            _ => None,
        };
        if inside.is_some() {
            return inside;
        }
    }
    let found = table.iter().find(|(key, value)| {
        let holds = |it: Range<usize>| it.start <= range.start && range.end <= it.end;
        holds(key.span()) || holds(value.span())
    });
    let key = found.map(|(key, _)| key.get_ref().to_string())?;
    table.remove(key.as_str());
    Some(key)
}

/// Says what serde found in the manner of our own messages.
fn fault(message: &str, range: &Range<usize>, key: Option<&str>, sources: &Sources) -> Fault {
    let (text, help) = in_our_words(message, key);
    sources.spot(range).fault(text, help)
}

fn in_our_words(message: &str, key: Option<&str>) -> (String, Option<String>) {
    let quoted = |text: &str| -> Vec<String> {
        text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let setting = key.map_or_else(|| "this".to_owned(), |it| format!("`{it}`"));
    if message.starts_with("unknown field") {
        let names = quoted(message);
        let (unknown, known) = names.split_first().map_or(("", &[][..]), |(a, b)| (a.as_str(), b));
        return (format!("unknown key `{unknown}`"), Some(suggest(unknown, known)));
    }
    let wrong = message.strip_prefix("invalid type: ");
    let wrong = wrong.or_else(|| message.strip_prefix("invalid value: "));
    if let Some((found, expected)) = wrong.and_then(|it| it.split_once(", expected ")) {
        let text = format!("{setting} must be {}, not {}", plain(expected), found_as(found));
        return (text, None);
    }
    if let Some(missing) = message.strip_prefix("missing field ") {
        return (format!("the key {missing} is missing"), None);
    }
    match message.split_once("; ") {
        Some((what, right)) => (what.to_owned(), Some(right.to_owned())),
        None => (message.to_owned(), None),
    }
}

/// Returns the advice for a key that is not one of `known`.
pub(crate) fn suggest(unknown: &str, known: &[String]) -> String {
    match nearest(unknown, known.iter().map(String::as_str)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => {
            let names: Vec<&str> = known.iter().map(String::as_str).collect();
            format!("the keys here are {}", listed(&names).replace(" or ", " and "))
        }
    }
}

/// Returns what serde expected as a reader knows it.
fn plain(expected: &str) -> &str {
    match expected {
        "i64" | "u64" | "u32" | "i32" | "u16" | "u8" | "usize" => "a whole number",
        "f64" | "f32" => "a number",
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list: `[..]`",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table of settings",
        other => other,
    }
}

/// Returns what serde found as a reader knows it.
fn found_as(found: &str) -> String {
    match found {
        "map" => "a table".to_owned(),
        "sequence" => "a list".to_owned(),
        other => match other.split_once(' ') {
            Some(("string", value)) => {
                format!("the string {}", value.chars().take(80).collect::<String>())
            }
            Some(("integer" | "floating" | "boolean", _)) => {
                format!("the {}", other.replacen("floating point", "number", 1))
            }
            _ => other.to_owned(),
        },
    }
}
