//! Titles: text with columns in braces, filled from a row.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use base::limits::TITLE_CHARS_MAX;

/// A title, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Title {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Column(String),
}

impl Title {
    /// Reads a template, whose braces the project files have checked.
    pub(crate) fn new(template: &str) -> Title {
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((text, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else { break };
            parts.push(Part::Text(text.to_owned()));
            parts.push(Part::Column(name.trim().to_owned()));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Title { parts }
    }

    /// Makes the title of an alert that declares none: its name, then its key.
    pub(crate) fn of_key(alert: &str, key: &[String]) -> Title {
        let mut parts = vec![Part::Text(alert.to_owned())];
        for (index, column) in key.iter().enumerate() {
            let separator = if index == 0 { ": " } else { ", " };
            parts.push(Part::Text(format!("{separator}{column} ")));
            parts.push(Part::Column(column.clone()));
        }
        Title { parts }
    }

    /// Returns the title for a row.
    pub(crate) fn fill(&self, batch: &RecordBatch, row: usize) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Column(name) => match batch.column_by_name(name) {
                    Some(column) => out.push_str(&readable(column, row)),
                    None => out.push_str("none"),
                },
            }
        }
        let plain = out.chars().map(|it| if it.is_control() { ' ' } else { it });
        plain.take(TITLE_CHARS_MAX).collect()
    }
}

/// Returns a value as people like to read it: numbers with few digits, text without quotes.
fn readable(array: &dyn Array, row: usize) -> String {
    let mut exact = String::new();
    rows::json::write_value(array, row, &mut exact);
    match array.data_type() {
        _ if exact == "null" => "none".to_owned(),
        DataType::Utf8View if array.is_valid(row) => array.as_string_view().value(row).to_owned(),
        kind if kind.is_floating() || kind.is_decimal() => shorten(&exact),
        _ if exact.starts_with('"') => serde_json::from_str(&exact).unwrap_or(exact),
        _ => exact,
    }
}

/// Rounds a number to two digits after the point, a small one to three digits that count.
fn shorten(exact: &str) -> String {
    let decimals = exact.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let Ok(value) = exact.parse::<f64>() else { return exact.to_owned() };
    let is_written_out = !exact.contains(['e', 'E']);
    if is_written_out && decimals <= 2 {
        // `12.0` is how a whole float is written; an amount of money keeps its zeros.
        return exact.strip_suffix(".0").unwrap_or(exact).to_owned();
    }
    let size = value.abs();
    if 1e15 <= size || (size < 1e-9 && 0.0 < size) {
        return format!("{value:e}");
    }
    let digits = if 1.0 <= size || size == 0.0 { 2 } else { 2 + leading_zeros(size) };
    let rounded = format!("{value:.digits$}");
    rounded.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Returns how many zeros follow the point of a number below one.
fn leading_zeros(size: f64) -> usize {
    let mut size = size;
    let mut zeros = 0;
    while size < 0.1 && zeros < 9 {
        size *= 10.0;
        zeros += 1;
    }
    zeros + 1
}

#[cfg(test)]
mod tests;
