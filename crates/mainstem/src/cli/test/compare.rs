//! Compares the rows a test expects with the rows that came out, in any order.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// A row as JSON.
pub(crate) type Row = Map<String, Value>;

/// Rows shown of each side when a test fails; more would hide the point.
const ROWS_SHOWN_MAX: usize = 30;

/// What differs; empty when the expectation holds.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// Expected rows that did not come out.
    pub(crate) missing: Vec<Row>,
    /// Rows that came out and were not expected.
    pub(crate) surplus: Vec<Row>,
    /// Rows on both sides that are the same.
    pub(crate) same: usize,
}

impl Difference {
    pub(crate) fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.surplus.is_empty()
    }
}

/// Pairs each expected row with an actual row that has the values it names.
///
/// Rows may name different columns, so that one actual row can fit several expected ones: pairs
/// are found as a maximum matching by augmenting paths (Kuhn's algorithm).
pub(crate) fn compare(expected: &[Row], actual: &[Row]) -> Difference {
    let mut owner: Vec<Option<usize>> = vec![None; actual.len()];
    let mut missing = Vec::new();
    for (index, row) in expected.iter().enumerate() {
        let mut seen = vec![false; actual.len()];
        if !find_pair(index, expected, actual, &mut owner, &mut seen) {
            missing.push(row.clone());
        }
    }
    let mut surplus = Vec::new();
    for (row, owner) in actual.iter().zip(&owner) {
        if owner.is_none() {
            surplus.push(row.clone());
        }
    }
    Difference { same: expected.len() - missing.len(), missing, surplus }
}

fn find_pair(
    index: usize,
    expected: &[Row],
    actual: &[Row],
    owner: &mut [Option<usize>],
    seen: &mut [bool],
) -> bool {
    for place in 0..actual.len() {
        let fits = !seen[place] && fits(&expected[index], &actual[place]);
        if !fits {
            continue;
        }
        seen[place] = true;
        let is_free = match owner[place] {
            None => true,
            Some(other) => find_pair(other, expected, actual, owner, seen),
        };
        if is_free {
            owner[place] = Some(index);
            return true;
        }
    }
    false
}

fn fits(expected: &Row, actual: &Row) -> bool {
    expected.iter().all(|(name, value)| is_same(value, actual.get(name).unwrap_or(&Value::Null)))
}

/// Whether two values mean the same: `20` is `20.00`, and moments may be written in any zone.
fn is_same(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| is_same(a, b))
        }
        (Value::Object(one), Value::Object(other)) => one.len() == other.len() && fits(one, other),
        _ => {
            expected == actual
                || is_same_number(expected, actual)
                || is_same_moment(expected, actual)
        }
    }
}

fn is_same_number(expected: &Value, actual: &Value) -> bool {
    let (Some(one), Some(other)) = (digits(expected), digits(actual)) else { return false };
    if one == other {
        return true;
    }
    // Floating-point results differ in their last digits from machine to machine.
    let is_float = |it: &str| it.len() > 15 || it.contains(['e', 'E']);
    let (Ok(a), Ok(b)) = (one.parse::<f64>(), other.parse::<f64>()) else { return false };
    (is_float(&one) || is_float(&other)) && (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// A number's digits without zeros that mean nothing; numbers in strings count where the other
/// side is a number too.
fn digits(value: &Value) -> Option<String> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.parse::<f64>().is_ok() => text.clone(),
        _ => return None,
    };
    if text.contains(['e', 'E']) {
        return Some(text);
    }
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |it| ("-", it));
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let (whole, part) = (whole.trim_start_matches('0'), part.trim_end_matches('0'));
    if whole.is_empty() && part.is_empty() {
        return Some("0".to_owned());
    }
    Some(format!("{sign}{whole}.{part}"))
}

fn is_same_moment(expected: &Value, actual: &Value) -> bool {
    let moment = |it: &Value| -> Option<jiff::Timestamp> {
        let text = it.as_str()?;
        text.parse().ok().or_else(|| {
            let local: jiff::civil::DateTime = text.parse().ok()?;
            Some(local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
        })
    };
    moment(expected).is_some_and(|one| moment(actual) == Some(one))
}

/// Draws both sides beside each other; rows that do not pair are marked.
pub(crate) fn side_by_side(difference: &Difference) -> String {
    let left = texts(&difference.missing);
    let right = texts(&difference.surplus);
    let width = left
        .iter()
        .map(|it| it.chars().count())
        .max()
        .unwrap_or(0)
        .max("expected, but missing".len());
    let mut text = String::new();
    let mut line = |one: &str, other: &str| {
        let pad = width.saturating_sub(one.chars().count());
        writeln!(text, "      {one}{}  │ {other}", " ".repeat(pad)).unwrap_or_default();
    };
    line("expected, but missing", "came out, but not expected");
    line(&"─".repeat(width), &"─".repeat(30));
    for index in 0..left.len().max(right.len()) {
        let side = |rows: &[String]| rows.get(index).cloned().unwrap_or_default();
        line(&side(&left), &side(&right));
    }
    if 0 < difference.same {
        writeln!(text, "      ({} more rows are as expected)", difference.same).unwrap_or_default();
    }
    text
}

fn texts(rows: &[Row]) -> Vec<String> {
    let mut lines: Vec<String> = rows
        .iter()
        .take(ROWS_SHOWN_MAX)
        .map(|row| {
            let fields: Vec<String> =
                row.iter().map(|(name, value)| format!("{name}={value}")).collect();
            fields.join(" ")
        })
        .collect();
    if ROWS_SHOWN_MAX < rows.len() {
        lines.push(format!("… and {} more", rows.len() - ROWS_SHOWN_MAX));
    }
    if lines.is_empty() {
        lines.push("(none)".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests;
