//! One line of comma-separated values is one record: its fields are the columns in their order.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use spec::ColumnType;

use crate::column::{Column, Found};

/// Adds the record to `columns`; on an error they may hold part of it.
///
/// As PostgreSQL reads CSV, a field without a character is NULL, and `""` is an empty text.
pub(super) fn decode(line: &str, columns: &mut [Column]) -> Result<(), String> {
    let line = line.strip_suffix('\n').unwrap_or(line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() && columns.len() != 1 {
        return Err("expected a line of CSV, found nothing".to_owned());
    }
    let mut fields = Fields::of(line);
    let mut refusal = None;
    let mut count = 0;
    for field in &mut fields {
        let field = field?;
        let index = count;
        count += 1;
        let Some(column) = columns.get_mut(index) else { continue };
        // The first refusal stands, unless the line has too few or too many fields, which says more.
        if refusal.is_none() {
            refusal = append(column, &field).err();
        }
    }
    if count != columns.len() {
        return Err(format!("expected {} fields, found {count}", columns.len()));
    }
    match refusal {
        None => Ok(()),
        Some(_) if is_header(line, columns) => {
            Err("expected a row, found the names of the columns; send CSV without its header"
                .into())
        }
        Some(refusal) => Err(refusal),
    }
}

fn append(column: &mut Column, field: &Field<'_>) -> Result<(), String> {
    if field.text.is_empty() && !field.is_quoted {
        return column.append_empty();
    }
    append_field(column, &field.text)
}

/// Adds a value that is written as a text.
pub(crate) fn append_field(column: &mut Column, text: &str) -> Result<(), String> {
    match column.kind {
        ColumnType::Json if text.trim_ascii().is_empty() => column.append_empty(),
        ColumnType::Json => match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => column.append_json(text.trim_ascii()),
            Err(_) => Err(column.refusal(Found::String(text), "")),
        },
        _ => column.append(Found::String(text)),
    }
}

fn is_header(line: &str, columns: &[Column]) -> bool {
    let mut names = columns.iter().map(|it| it.name.as_str());
    Fields::of(line).all(|it| it.is_ok_and(|field| names.next() == Some(field.text.trim_ascii())))
}

/// A field of a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) is_quoted: bool,
}

/// How fields are told apart and protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// What stands between two fields.
    pub delimiter: u8,
    /// What stands around a field that holds a delimiter.
    pub quote: u8,
    /// Whether a quote inside a field is written `\"` and not `""`.
    pub has_backslash: bool,
    /// Whether several delimiters in a row count as one, as between aligned columns.
    pub is_aligned: bool,
}

impl Dialect {
    /// RFC 4180.
    pub(crate) const USUAL: Dialect =
        Dialect { delimiter: b',', quote: b'"', has_backslash: false, is_aligned: false };
}

/// The fields of a line, by RFC 4180 or as its dialect says. After an error there is no next one.
pub(crate) struct Fields<'a> {
    rest: Option<&'a str>,
    dialect: Dialect,
    /// Whether a line end ends the fields; else the text is one record, whatever is in it.
    ends_at_line: bool,
    after: &'a str,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(line: &'a str) -> Fields<'a> {
        Fields { rest: Some(line), dialect: Dialect::USUAL, ends_at_line: false, after: "" }
    }

    /// The fields of the first record of a text.
    pub(crate) fn first_of(text: &'a str, dialect: Dialect) -> Fields<'a> {
        Fields { rest: Some(text), dialect, ends_at_line: true, after: "" }
    }

    /// Returns what follows the record, once all its fields were taken.
    pub(crate) fn after(&self) -> &'a str {
        self.after
    }

    fn quoted(&mut self, inside: &'a str) -> Result<Field<'a>, String> {
        let quote = char::from(self.dialect.quote);
        let mut text = Cow::Borrowed("");
        let mut rest = inside;
        loop {
            let Some((part, after)) = self.split_at_quote(rest) else {
                return Err(format!(
                    "expected a `{quote}` at the end of a quoted field, found none"
                ));
            };
            text += part;
            let is_escaped = self.dialect.has_backslash
                && part.bytes().rev().take_while(|it| *it == b'\\').count() % 2 == 1;
            if is_escaped {
                text.to_mut().pop();
                text += char_text(self.dialect.quote);
                rest = after;
                continue;
            }
            if let Some(after) = after.strip_prefix(quote) {
                text += char_text(self.dialect.quote);
                rest = after;
                continue;
            }
            return if self.end_field(after) {
                Ok(Field { text, is_quoted: true })
            } else {
                Err(format!(
                    "expected a {} after a quoted field, found more of it; \
                     write `{quote}{quote}` for a quote inside it",
                    delimiter_name(self.dialect.delimiter)
                ))
            };
        }
    }

    fn split_at_quote(&self, text: &'a str) -> Option<(&'a str, &'a str)> {
        text.split_once(char::from(self.dialect.quote))
    }

    /// Goes to the next field behind one in quotes; not if more of the field follows.
    fn end_field(&mut self, after: &'a str) -> bool {
        if let Some(next) = after.strip_prefix(char::from(self.dialect.delimiter)) {
            self.rest = Some(next);
            return true;
        }
        if after.is_empty() {
            return true;
        }
        let line = after.strip_prefix('\r').unwrap_or(after);
        match line.strip_prefix('\n') {
            Some(next) if self.ends_at_line => {
                self.after = next;
                true
            }
            _ => false,
        }
    }

    fn unquoted(&mut self, rest: &'a str) -> Field<'a> {
        let delimiter = self.dialect.delimiter;
        let bytes = rest.as_bytes();
        let end = if self.ends_at_line {
            memchr::memchr2(delimiter, b'\n', bytes)
        } else {
            memchr::memchr(delimiter, bytes)
        };
        // Both are ASCII, so that the text is cut between two characters.
        let Some((text, after)) = end.and_then(|it| rest.split_at_checked(it)) else {
            return Field { text: Cow::Borrowed(rest), is_quoted: false };
        };
        let (sign, after) = after.split_at(1);
        if sign == "\n" && self.ends_at_line {
            self.after = after;
            let text = text.strip_suffix('\r').unwrap_or(text);
            return Field { text: Cow::Borrowed(text), is_quoted: false };
        }
        self.rest = Some(after);
        Field { text: Cow::Borrowed(text), is_quoted: false }
    }

    /// Passes the delimiters between aligned columns; nothing is left at the end of the line.
    fn pass_gap(&mut self, rest: &'a str) -> Option<&'a str> {
        let rest = rest.trim_start_matches(char::from(self.dialect.delimiter));
        let line = rest.strip_prefix('\r').unwrap_or(rest);
        if let Some(after) = line.strip_prefix('\n') {
            self.after = after;
            return None;
        }
        (!line.is_empty()).then_some(rest)
    }
}

fn char_text(byte: u8) -> &'static str {
    if byte == b'\'' { "'" } else { "\"" }
}

fn delimiter_name(delimiter: u8) -> String {
    match delimiter {
        b',' => "comma".to_owned(),
        b'\t' => "tab".to_owned(),
        other => format!("`{}`", char::from(other)),
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, String>;

    fn next(&mut self) -> Option<Result<Field<'a>, String>> {
        let mut rest = self.rest.take()?;
        if self.dialect.is_aligned {
            rest = self.pass_gap(rest)?;
        }
        if let Some(inside) = rest.strip_prefix(char::from(self.dialect.quote)) {
            return Some(self.quoted(inside));
        }
        Some(Ok(self.unquoted(rest)))
    }
}
