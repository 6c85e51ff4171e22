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
    match (column.kind, field) {
        (_, Field { text, is_quoted: false }) if text.is_empty() => column.append_empty(),
        (ColumnType::Json, Field { text, .. }) if text.trim_ascii().is_empty() => {
            column.append_empty()
        }
        (ColumnType::Json, Field { text, .. }) => match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => column.append_json(text.trim_ascii()),
            Err(_) => Err(column.refusal(Found::String(text), "")),
        },
        (_, Field { text, .. }) => column.append(Found::String(text)),
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

/// The fields of a line, by RFC 4180. After an error there is no next one.
pub(crate) struct Fields<'a> {
    rest: Option<&'a str>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(line: &'a str) -> Fields<'a> {
        Fields { rest: Some(line) }
    }

    fn quoted(&mut self, inside: &'a str) -> Result<Field<'a>, String> {
        let mut text = Cow::Borrowed("");
        let mut rest = inside;
        loop {
            let Some((part, after)) = rest.split_once('"') else {
                return Err("expected a `\"` at the end of a quoted field, found none".to_owned());
            };
            text += part;
            if let Some(after) = after.strip_prefix('"') {
                text += "\"";
                rest = after;
                continue;
            }
            self.rest = match after.strip_prefix(',') {
                Some(after) => Some(after),
                None if after.is_empty() => None,
                None => {
                    return Err("expected a comma after a quoted field, found more of it; \
                                write `\"\"` for a quote inside it"
                        .to_owned());
                }
            };
            return Ok(Field { text, is_quoted: true });
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, String>;

    fn next(&mut self) -> Option<Result<Field<'a>, String>> {
        let rest = self.rest.take()?;
        if let Some(inside) = rest.strip_prefix('"') {
            return Some(self.quoted(inside));
        }
        let text = match rest.split_once(',') {
            None => rest,
            Some((text, after)) => {
                self.rest = Some(after);
                text
            }
        };
        Some(Ok(Field { text: Cow::Borrowed(text), is_quoted: false }))
    }
}
