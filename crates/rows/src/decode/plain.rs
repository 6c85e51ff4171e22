//! The usual record at one go: a flat object of numbers and strings without escapes.
//!
//! It reads what it is sure of exactly as `json` reads it, refusals included, and leaves the rest
//! to it: a record is unusual, never wrong.

use spec::ColumnType;

use crate::column::{Column, Found};

/// Adds the record to `columns`, which hold `row` rows; on an error they may hold part of it, as
/// they may where the record is unusual (`None`).
pub(super) fn decode(text: &str, columns: &mut [Column], row: usize) -> Option<Result<(), String>> {
    let mut rest = spaces(text.strip_prefix('{')?);
    let mut next = 0;
    loop {
        let (index, after) = key(rest, columns, next)?;
        rest = spaces(after);
        if let Some(index) = index {
            let column = columns.get_mut(index).filter(|it| it.len() == row)?;
            rest = match value(rest, column)? {
                Ok(after) => spaces(after),
                Err(message) => return Some(Err(message)),
            };
            next = index + 1;
        } else {
            rest = spaces(skip(rest)?);
        }
        match rest.as_bytes() {
            [b',', ..] => rest = spaces(rest.get(1..)?),
            [b'}'] => break,
            _ => return None,
        }
    }
    for column in columns {
        if column.len() == row
            && let Err(message) = column.append_missing()
        {
            return Some(Err(message));
        }
    }
    Some(Ok(()))
}

/// Takes a key and its colon; most come in declared order and are known as they are written.
fn key<'a>(rest: &'a str, columns: &[Column], next: usize) -> Option<(Option<usize>, &'a str)> {
    if let Some(column) = columns.get(next)
        && let Some(after) = rest.strip_prefix(column.written.as_str())
    {
        return Some((Some(next), after));
    }
    let (name, after) = string(rest)?;
    let after = spaces(after).strip_prefix(':')?;
    Some((columns.iter().position(|it| it.name == name), after))
}

/// Takes a value into its column.
fn value<'a>(rest: &'a str, column: &mut Column) -> Option<Result<&'a str, String>> {
    if column.kind == ColumnType::Json {
        return None;
    }
    let (added, after) = match rest.as_bytes().first()? {
        b'"' => {
            let (text, after) = string(rest)?;
            let added = match column.kind {
                ColumnType::Text => column.append_plain(text),
                _ => column.append(Found::String(text)),
            };
            (added, after)
        }
        b'n' => (column.append(Found::Null), rest.strip_prefix("null")?),
        b't' if column.kind == ColumnType::Bool => {
            (column.append(Found::Bool(true)), rest.strip_prefix("true")?)
        }
        b'f' if column.kind == ColumnType::Bool => {
            (column.append(Found::Bool(false)), rest.strip_prefix("false")?)
        }
        _ => {
            let (text, after) = number(rest)?;
            let is_number = matches!(
                column.kind,
                ColumnType::Int | ColumnType::Float | ColumnType::Decimal { .. }
            );
            if !is_number {
                return None;
            }
            (column.append(Found::Number(text)), after)
        }
    };
    Some(added.map(|()| after))
}

/// Takes a value that no column wants.
fn skip(rest: &str) -> Option<&str> {
    match rest.as_bytes().first()? {
        b'"' => string(rest).map(|(_, after)| after),
        b'n' => rest.strip_prefix("null"),
        b't' => rest.strip_prefix("true"),
        b'f' => rest.strip_prefix("false"),
        _ => number(rest).map(|(_, after)| after),
    }
}

fn spaces(rest: &str) -> &str {
    if rest.as_bytes().first() == Some(&b' ') { rest.trim_start_matches(' ') } else { rest }
}

/// Takes a string in which nothing is escaped.
fn string(rest: &str) -> Option<(&str, &str)> {
    let inside = rest.strip_prefix('"')?;
    let (text, after) = inside.split_at_checked(plain_length(inside.as_bytes()))?;
    Some((text, after.strip_prefix('"')?))
}

/// Takes a number, as it is written.
fn number(rest: &str) -> Option<(&str, &str)> {
    let bytes = rest.as_bytes();
    let digits = |from: usize| {
        let digits = bytes.iter().skip(from).take_while(|it| it.is_ascii_digit()).count();
        (0 < digits).then_some(from + digits)
    };
    let whole = usize::from(bytes.first() == Some(&b'-'));
    let mut end = digits(whole)?;
    if bytes.get(whole) == Some(&b'0') && whole + 1 < end {
        return None;
    }
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let has_sign = matches!(bytes.get(end + 1), Some(b'+' | b'-'));
        end = digits(end + 1 + usize::from(has_sign))?;
    }
    rest.split_at_checked(end)
}

/// Counts the bytes before the first that stands in no string as it is: a quote, a backslash, a
/// control character.
fn plain_length(bytes: &[u8]) -> usize {
    // Without a branch, so that compilers compare all bytes of a block at once.
    let is_special = |it: u8| (it == b'"') | (it == b'\\') | (it < b' ');
    let mut length = 0;
    for block in bytes.as_chunks::<32>().0 {
        if block.iter().fold(0, |found, it| found | u8::from(is_special(*it))) != 0 {
            break;
        }
        length += block.len();
    }
    let (words, last) = bytes.get(length..).unwrap_or_default().as_chunks::<8>();
    for word in words {
        let special = specials(u64::from_le_bytes(*word));
        if special != 0 {
            return length + special.trailing_zeros() as usize / 8;
        }
        length += word.len();
    }
    length + last.iter().take_while(|it| !is_special(**it)).count()
}

/// Marks the first of eight bytes that is special, by its highest bit; perhaps some after it too.
fn specials(word: u64) -> u64 {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    const HIGHEST: u64 = EACH << 7;
    let is_below = |word: u64, byte: u8| word.wrapping_sub(EACH * u64::from(byte)) & !word;
    let is_equal = |byte: u8| is_below(word ^ (EACH * u64::from(byte)), 1);
    (is_equal(b'"') | is_equal(b'\\') | is_below(word, b' ')) & HIGHEST
}

#[cfg(test)]
mod tests;
