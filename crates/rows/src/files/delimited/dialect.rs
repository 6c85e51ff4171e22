//! Finds the delimiter by what the rows then look like.

use std::borrow::Cow;

use crate::decode::Dialect;
use crate::files::delimited::Records;
use crate::files::{Part, Verdict};
use crate::infer::looks_like_a_value;

/// Records that are looked at to decide.
pub(crate) const RECORDS: usize = 100;

/// Records that each delimiter is tried on.
const SCORED_RECORDS: usize = 50;

/// The delimiters with what speaks for each beforehand: text has spaces and colons by itself.
const DELIMITERS: [(u8, f64); 8] = [
    (b',', 1.0),
    (b'\t', 1.0),
    (b';', 1.0),
    (b'|', 1.0),
    (b'^', 0.95),
    (1, 1.0),
    (b':', 0.6),
    (b' ', 0.6),
];

/// Lines before a table that are passed over.
const PREAMBLE_LINES_MAX: usize = 20;

/// A table this good is one.
const SCORE_MIN: f64 = 0.42;

pub(crate) struct Found {
    pub(crate) dialect: Dialect,
    pub(crate) columns: usize,
    /// Lines before the table.
    pub(crate) preamble: usize,
    /// Where the table begins.
    pub(crate) begin: usize,
    /// Whether the first line says the delimiter, as for Excel.
    pub(crate) is_sep: bool,
}

pub(crate) fn sniff(part: &Part<'_>) -> Result<Found, Verdict> {
    let text = part.text;
    let said = text.strip_prefix("sep=").and_then(|it| {
        let (sign, rest) = it.split_at_checked(1)?;
        rest.starts_with(['\r', '\n']).then(|| sign.as_bytes().first().copied())?
    });
    let skipped = comments(text);
    let body = text.get(skipped..).unwrap_or_default();
    let quote = quote_of(body);
    let has_backslash = has_backslash(body, quote);
    let mut best: Option<(f64, Dialect, usize)> = None;
    for (delimiter, prior) in DELIMITERS {
        let prior = if said == Some(delimiter) { 2.0 } else { prior };
        // No score is above 1, so that one that is above what is left decides.
        let is_decided = best.as_ref().is_some_and(|it| prior <= it.0);
        if is_decided || memchr::memchr(delimiter, body.as_bytes()).is_none() {
            continue;
        }
        let dialect = Dialect { delimiter, quote, has_backslash, is_aligned: delimiter == b' ' };
        let Some((score, columns)) = score(body, dialect) else { continue };
        if best.as_ref().is_none_or(|it| it.0 < score * prior) {
            best = Some((score * prior, dialect, columns));
        }
    }
    if let Some((_, dialect, columns)) = best.filter(|it| SCORE_MIN <= it.0) {
        let (preamble, begin) = preamble(text, skipped, dialect, columns);
        return Ok(Found { dialect, columns, preamble, begin, is_sep: said.is_some() });
    }
    if is_called_table(part.name) {
        let preamble = text.get(..skipped).unwrap_or_default().lines().count();
        let dialect = Dialect { quote, ..Dialect::USUAL };
        return Ok(Found { dialect, columns: 1, preamble, begin: skipped, is_sep: false });
    }
    Err(Verdict::Unknown("text without columns".to_owned()))
}

/// Whether the name says that it is a table, which one column does not show by itself.
fn is_called_table(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    [".csv", ".tsv", ".psv", ".tab"].iter().any(|it| lower.ends_with(it))
}

/// Returns where the lines end that begin with `#`; the last of them stays if it names columns.
fn comments(text: &str) -> usize {
    let mut at = if text.starts_with("sep=") { text.find('\n').map_or(0, |it| it + 1) } else { 0 };
    while text.get(at..).is_some_and(|it| it.starts_with('#')) {
        let Some(end) = text.get(at..).and_then(|it| it.find('\n')) else { break };
        at += end + 1;
    }
    at
}

fn quote_of(text: &str) -> u8 {
    let head: String = text.chars().take(20_000).collect();
    let around = |quote: char| {
        head.lines().take(RECORDS).filter(|it| it.starts_with(quote)).count()
            + head.matches(&format!(",{quote}")).count()
            + head.matches(&format!(";{quote}")).count()
    };
    if around('"') < around('\'') { b'\'' } else { b'"' }
}

fn has_backslash(text: &str, quote: u8) -> bool {
    let quote = char::from(quote);
    text.contains(&format!("\\{quote}")) && !text.contains(&format!("{quote}{quote}"))
}

/// How much the text looks like a table with this dialect, from 0 to 1, and its columns.
fn score(text: &str, dialect: Dialect) -> Option<(f64, usize)> {
    let mut counts: Vec<(usize, usize)> = Vec::new();
    let (mut records, mut cells, mut value_score) = (0_usize, 0_usize, 0.0);
    for record in Records::new(text, dialect).take(SCORED_RECORDS) {
        records += 1;
        let Ok(fields) = record.fields else { continue };
        if is_rule(&fields) {
            return None;
        }
        match counts.iter_mut().find(|it| it.0 == fields.len()) {
            Some(known) => known.1 += 1,
            None => counts.push((fields.len(), 1)),
        }
        for field in &fields {
            cells += 1;
            value_score += cell_score(field.trim());
        }
    }
    let (columns, alike) = counts.into_iter().max_by_key(|it| (it.1, it.0))?;
    if columns < 2 || cells == 0 || alike * 10 < records * 7 {
        return None;
    }
    let values = value_score / cells as f64;
    let is_weak = matches!(dialect.delimiter, b' ' | b':');
    // One line alone, or words with spaces between, are no table.
    if is_weak && (values < 0.85 || records < 3) {
        return None;
    }
    let width = 1.0 - 0.5 / columns as f64;
    Some((alike as f64 / records as f64 * values * width, columns))
}

/// Whether a row only draws the line below a header, as tables for people have it.
fn is_rule(fields: &[Cow<'_, str>]) -> bool {
    let is_line = |it: &str| it.bytes().all(|it| matches!(it, b'-' | b':' | b'=' | b'+'));
    let drawn = fields.iter().filter(|it| 3 <= it.trim().len()).count();
    2 <= drawn && fields.iter().all(|it| is_line(it.trim()))
}

fn cell_score(cell: &str) -> f64 {
    let has_delimiter = cell.contains(['\t', ';', '|', '^', '\u{1}']);
    if cell.is_empty() {
        0.9
    } else if looks_like_a_value(cell) {
        1.0
    } else if has_delimiter || 200 < cell.len() {
        0.3
    } else if cell.contains(' ') {
        0.75
    } else {
        0.85
    }
}

/// Returns how many lines stand before the first row that has all columns, and where it begins.
fn preamble(text: &str, skipped: usize, dialect: Dialect, columns: usize) -> (usize, usize) {
    let lines = |end: usize| text.get(..end).unwrap_or_default().lines().count();
    // `#id,name`: the last comment is the header.
    let before = text.get(..skipped).unwrap_or_default();
    let last = before.trim_end().rfind('\n').map_or(0, |it| it + 1);
    let said = before.get(last..).unwrap_or_default();
    let comment = said.trim_start_matches(['#', ' ']);
    if said.starts_with('#')
        && Records::new(comment, dialect)
            .next()
            .is_some_and(|it| it.fields.is_ok_and(|fields| fields.len() == columns))
    {
        let begin = skipped - comment.len();
        return (lines(last), begin);
    }
    let mut records = Records::new(text.get(skipped..).unwrap_or_default(), dialect);
    for _ in 0..=PREAMBLE_LINES_MAX {
        let begin = text.len() - records.rest.len();
        let Some(record) = records.next() else { break };
        if record.fields.is_ok_and(|it| columns <= it.len()) {
            return (lines(begin), begin);
        }
    }
    (lines(skipped), skipped)
}
