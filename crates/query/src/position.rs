//! Turns lines and columns, as parsers and planners name places, into bytes of the SQL text.

use std::ops::Range;

use datafusion::common::Span;

/// Returns the byte of a line and a column, both counted from 1, columns in characters.
pub(crate) fn byte_at(sql: &str, line: u64, column: u64) -> usize {
    let mut start = 0;
    for _ in 1..line.max(1) {
        let rest = sql.get(start..).unwrap_or_default();
        start += rest.find('\n').map_or(rest.len(), |it| it + 1);
    }
    let rest = sql.get(start..).unwrap_or_default();
    let skipped = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
    start + rest.char_indices().nth(skipped).map_or(rest.len(), |(byte, _)| byte)
}

/// Returns the bytes of a planner's span.
pub(crate) fn range(sql: &str, span: Span) -> Range<usize> {
    bytes(sql, (span.start.line, span.start.column), (span.end.line, span.end.column))
}

/// Returns the bytes of a parser's span, or `None` if the parser knew no place.
pub(crate) fn range_of(sql: &str, span: sqlparser::tokenizer::Span) -> Option<Range<usize>> {
    let known = 0 < span.start.line && 0 < span.end.line;
    known
        .then(|| bytes(sql, (span.start.line, span.start.column), (span.end.line, span.end.column)))
}

fn bytes(sql: &str, start: (u64, u64), end: (u64, u64)) -> Range<usize> {
    let start = byte_at(sql, start.0, start.1);
    let end = byte_at(sql, end.0, end.1).max(start);
    start..closed(sql, start, end)
}

/// Moves the end behind the parentheses that were opened in the range: the span of a call ends
/// with its last argument.
fn closed(sql: &str, start: usize, end: usize) -> usize {
    let inside = sql.get(start..end).unwrap_or_default();
    let mut open = inside.matches('(').count().saturating_sub(inside.matches(')').count());
    let mut end = end;
    while 0 < open {
        let rest = sql.get(end..).unwrap_or_default();
        let trimmed = rest.trim_start();
        if !trimmed.starts_with(')') {
            break;
        }
        end += rest.len() - trimmed.len() + 1;
        open -= 1;
    }
    end
}

/// Returns the name in the list that was most likely meant, if one is close.
pub(crate) fn nearest<'a>(
    meant: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let meant = meant.to_lowercase();
    let distance_max = (meant.chars().count() / 3).max(1);
    names
        .into_iter()
        .map(|name| (strsim::osa_distance(&meant, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= distance_max)
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests;
