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

/// Moves the end behind the parentheses that were opened in the range, or that follow a name at its
/// end: the span of a call ends with the last argument that has a place of its own.
fn closed(sql: &str, start: usize, end: usize) -> usize {
    let mut end = end;
    loop {
        let inside = sql.get(start..end).unwrap_or_default();
        let rest = sql.get(end..).unwrap_or_default();
        let trimmed = rest.trim_start();
        let next = end + rest.len() - trimmed.len();
        let open = inside.matches('(').count();
        let ends_with_name = inside.ends_with(|it: char| it.is_alphanumeric() || it == '_');
        if inside.matches(')').count() < open {
            match to_closing(trimmed) {
                Some(length) => end = next + length,
                None => return end,
            }
        } else if rest.starts_with('(') && ends_with_name {
            match rest.get(1..).and_then(to_closing) {
                Some(length) => end += 1 + length,
                None => return end,
            }
        } else {
            return end;
        }
    }
}

/// Returns how far it is behind the parenthesis that closes what is open at the start.
fn to_closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut is_quoted = false;
    for (index, letter) in text.char_indices() {
        match letter {
            '\'' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            '(' => depth += 1,
            ')' if depth == 0 => return Some(index + 1),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
