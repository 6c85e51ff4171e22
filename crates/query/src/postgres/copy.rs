//! `COPY … TO`: which rows, to whom, and how they are written.

use datafusion::sql::parser::Statement;
use pgwire::messages::data::DataRow;
use sqlparser::ast::{
    CopyLegacyCsvOption, CopyLegacyOption, CopyOption, CopySource, CopyTarget, Ident,
    Statement as Sql,
};

use super::commands::Command;
use crate::changes::{FileForm, FileTarget};
use crate::error::SqlError;
use crate::hidden::normal;
use crate::statement;

/// How the rows of a `COPY … TO STDOUT` are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CopyForm {
    pub(super) kind: CopyKind,
    delimiter: char,
    null: String,
    has_header: bool,
    quote: char,
    escape: char,
    /// Columns whose values are always quoted.
    forced: Vec<String>,
}

/// The formats of PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CopyKind {
    Text,
    Csv,
    Binary,
}

/// Begins a binary copy: a signature, no flags, no extension.
pub(super) const BINARY_HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Ends a binary copy.
pub(super) const BINARY_END: &[u8] = &[0xff, 0xff];

/// What the options say, before their defaults.
#[derive(Debug, Default)]
struct Said {
    format: Option<String>,
    delimiter: Option<char>,
    null: Option<String>,
    has_header: bool,
    quote: Option<char>,
    escape: Option<char>,
    forced: Vec<Ident>,
}

/// Reads a COPY statement.
pub(super) fn command(copy: Sql) -> Result<Command, SqlError> {
    let Sql::Copy { source, to, target, options, legacy_options, .. } = copy else {
        return Err(SqlError::invalid("42601", "this is not COPY"));
    };
    if !to {
        return Err(SqlError::invalid("25006", "`COPY … FROM` is refused: SQL only reads here")
            .with_help(
                "rows come in through streams: send them over HTTP, or put a file into a bucket",
            ));
    }
    let query = Box::new(query_of(source)?);
    let said = said(options, legacy_options)?;
    match target {
        CopyTarget::Stdout => Ok(Command::CopyOut { query, form: form_of(said)? }),
        CopyTarget::File { filename } => {
            let form = said.format.as_deref().map(file_form).transpose()?;
            let options = ["DELIMITER", "NULL", "QUOTE", "ESCAPE", "FORCE_QUOTE"];
            let is_said = [
                said.delimiter.is_some(),
                said.null.is_some(),
                said.quote.is_some(),
                said.escape.is_some(),
                !said.forced.is_empty(),
            ];
            if let Some((option, _)) = options.iter().zip(is_said).find(|it| it.1) {
                let message = format!("`{option}` is not an option of a file");
                return Err(SqlError::invalid("0A000", message)
                    .with_help("files have commas, double quotes and a line of names; `\\copy` in psql knows all options"));
            }
            Ok(Command::CopyFile { query, target: FileTarget { path: filename, form } })
        }
        CopyTarget::Stdin | CopyTarget::Program { .. } => {
            Err(SqlError::invalid("0A000", "`COPY` writes to STDOUT or into a bucket")
                .with_help("write `COPY (SELECT …) TO 'BUCKET/PATH.parquet'`, or `\\copy` in psql"))
        }
    }
}

fn query_of(source: CopySource) -> Result<Statement, SqlError> {
    match source {
        CopySource::Query(query) => Ok(Statement::Statement(Box::new(Sql::Query(query)))),
        CopySource::Table { table_name, columns } => {
            let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
            let columns = if columns.is_empty() { "*".to_owned() } else { columns.join(", ") };
            statement::parse_one(&format!("SELECT {columns} FROM {table_name}"))
        }
    }
}

fn said(options: Vec<CopyOption>, legacy: Vec<CopyLegacyOption>) -> Result<Said, SqlError> {
    let mut said = Said::default();
    for option in options {
        match option {
            CopyOption::Format(name) => said.format = Some(name.value.to_lowercase()),
            CopyOption::Delimiter(it) => said.delimiter = Some(it),
            CopyOption::Null(it) => said.null = Some(it),
            CopyOption::Header(it) => said.has_header = it,
            CopyOption::Quote(it) => said.quote = Some(it),
            CopyOption::Escape(it) => said.escape = Some(it),
            CopyOption::ForceQuote(columns) => said.forced = columns,
            CopyOption::Encoding(name) if is_utf8(&name) => {}
            CopyOption::Freeze(false) => {}
            other => return Err(unknown(&other.to_string())),
        }
    }
    for option in legacy {
        match option {
            CopyLegacyOption::Binary => said.format = Some("binary".to_owned()),
            CopyLegacyOption::Parquet => said.format = Some("parquet".to_owned()),
            CopyLegacyOption::Json(None) => said.format = Some("json".to_owned()),
            CopyLegacyOption::Header => said.has_header = true,
            CopyLegacyOption::Delimiter(it) => said.delimiter = Some(it),
            CopyLegacyOption::Null(it) => said.null = Some(it),
            CopyLegacyOption::Csv(options) => said.csv(options)?,
            other => return Err(unknown(&other.to_string())),
        }
    }
    Ok(said)
}

fn unknown(option: &str) -> SqlError {
    SqlError::invalid("0A000", format!("`{option}` is not supported in COPY"))
        .with_help("options are FORMAT, HEADER, DELIMITER, NULL, QUOTE, ESCAPE and FORCE_QUOTE")
}

impl Said {
    /// Notes what stands behind the word CSV, as before PostgreSQL 9.
    fn csv(&mut self, options: Vec<CopyLegacyCsvOption>) -> Result<(), SqlError> {
        self.format = Some("csv".to_owned());
        for option in options {
            match option {
                CopyLegacyCsvOption::Header => self.has_header = true,
                CopyLegacyCsvOption::Quote(it) => self.quote = Some(it),
                CopyLegacyCsvOption::Escape(it) => self.escape = Some(it),
                CopyLegacyCsvOption::ForceQuote(columns) => self.forced = columns,
                other @ CopyLegacyCsvOption::ForceNotNull(_) => {
                    return Err(unknown(&other.to_string()));
                }
            }
        }
        Ok(())
    }
}

fn is_utf8(name: &str) -> bool {
    ["utf8", "utf-8"].iter().any(|it| name.eq_ignore_ascii_case(it))
}

fn file_form(format: &str) -> Result<FileForm, SqlError> {
    match format {
        "parquet" => Ok(FileForm::Parquet),
        "csv" => Ok(FileForm::Csv),
        "json" => Ok(FileForm::Json),
        other => Err(SqlError::invalid("22023", format!("there is no format `{other}` of files"))
            .with_help("write `(FORMAT parquet)`, `csv` or `json`")),
    }
}

fn form_of(said: Said) -> Result<CopyForm, SqlError> {
    let wrong = |message: &str| Err(SqlError::invalid("22023", message));
    let kind = match said.format.as_deref() {
        None | Some("text") => CopyKind::Text,
        Some("csv") => CopyKind::Csv,
        Some("binary") => CopyKind::Binary,
        Some(other) => {
            return Err(SqlError::invalid("22023", format!("COPY format `{other}` not recognized"))
                .with_help("to STDOUT there are `text`, `csv` and `binary`; `parquet` and `json` are for files in buckets"));
        }
    };
    let is_csv = kind == CopyKind::Csv;
    let has_csv_only = said.quote.is_some() || said.escape.is_some() || !said.forced.is_empty();
    if has_csv_only && !is_csv {
        return wrong("QUOTE, ESCAPE and FORCE_QUOTE are for the format `csv`");
    }
    if kind == CopyKind::Binary
        && (said.delimiter.is_some() || said.null.is_some() || said.has_header)
    {
        return wrong("the format `binary` has no DELIMITER, NULL or HEADER");
    }
    let delimiter = said.delimiter.unwrap_or(if is_csv { ',' } else { '\t' });
    let quote = said.quote.unwrap_or('"');
    if matches!(delimiter, '\r' | '\n' | '\\') || (is_csv && delimiter == quote) {
        return wrong("this sign cannot be the DELIMITER");
    }
    let null = said.null.unwrap_or_else(|| if is_csv { String::new() } else { "\\N".to_owned() });
    if null.contains(['\r', '\n', delimiter]) {
        return wrong("NULL cannot have a line break or the delimiter in it");
    }
    let forced = said.forced.iter().map(normal).collect();
    let (has_header, escape) = (said.has_header, said.escape.unwrap_or(quote));
    Ok(CopyForm { kind, delimiter, null, has_header, quote, escape, forced })
}

impl CopyForm {
    /// Returns the line of names, if one is wanted.
    pub(super) fn header(&self, names: &[&str]) -> Option<Vec<u8>> {
        let forced = vec![false; names.len()];
        self.has_header.then(|| self.line(names.iter().map(|it| Some(*it)), &forced))
    }

    /// Returns for each column whether its values are always quoted.
    pub(super) fn forced(&self, names: &[&str]) -> Result<Vec<bool>, SqlError> {
        let missing = self.forced.iter().find(|it| !names.contains(&it.as_str()));
        if let Some(missing) = missing {
            let message = format!("column `{missing}` of FORCE_QUOTE not found");
            return Err(SqlError::invalid("42703", message));
        }
        Ok(names.iter().map(|it| self.forced.iter().any(|forced| forced == it)).collect())
    }

    /// Writes a row that is encoded as one of an answer.
    pub(super) fn row(&self, row: &DataRow, forced: &[bool]) -> Result<Vec<u8>, SqlError> {
        if self.kind == CopyKind::Binary {
            let mut out = row.field_count.to_be_bytes().to_vec();
            out.extend_from_slice(&row.data);
            return Ok(out);
        }
        let broken = || SqlError::invalid("XX000", "a row cannot be written");
        let mut fields: Vec<Option<&str>> = Vec::with_capacity(forced.len());
        let mut rest: &[u8] = &row.data;
        while !rest.is_empty() {
            let (length, after) = rest.split_at_checked(4).ok_or_else(broken)?;
            let length = i32::from_be_bytes(length.try_into().map_err(|_short| broken())?);
            let Ok(length) = usize::try_from(length) else {
                fields.push(None);
                rest = after;
                continue;
            };
            let (field, after) = after.split_at_checked(length).ok_or_else(broken)?;
            fields.push(Some(std::str::from_utf8(field).map_err(|_not_text| broken())?));
            rest = after;
        }
        Ok(self.line(fields.into_iter(), forced))
    }

    fn line<'a>(&self, fields: impl Iterator<Item = Option<&'a str>>, forced: &[bool]) -> Vec<u8> {
        let mut out = String::new();
        for (index, field) in fields.enumerate() {
            if 0 < index {
                out.push(self.delimiter);
            }
            match (field, self.kind) {
                (None, _) => out.push_str(&self.null),
                (Some(text), CopyKind::Csv) => {
                    let is_forced = forced.get(index).copied().unwrap_or_default();
                    self.push_csv(
                        text,
                        is_forced || self.needs_quotes(text, forced.len()),
                        &mut out,
                    );
                }
                (Some(text), _) => self.push_text(text, &mut out),
            }
        }
        out.push('\n');
        out.into_bytes()
    }

    /// Whether a value would be read as another, or as several, without quotes.
    fn needs_quotes(&self, text: &str, columns: usize) -> bool {
        text == self.null
            || text.contains([self.delimiter, self.quote, '\r', '\n'])
            || (columns == 1 && text == "\\.")
    }

    fn push_csv(&self, text: &str, is_quoted: bool, out: &mut String) {
        if !is_quoted {
            return out.push_str(text);
        }
        out.push(self.quote);
        for sign in text.chars() {
            if sign == self.quote || sign == self.escape {
                out.push(self.escape);
            }
            out.push(sign);
        }
        out.push(self.quote);
    }

    fn push_text(&self, text: &str, out: &mut String) {
        for sign in text.chars() {
            let letter = match sign {
                '\\' => '\\',
                '\u{8}' => 'b',
                '\u{c}' => 'f',
                '\n' => 'n',
                '\r' => 'r',
                '\t' => 't',
                '\u{b}' => 'v',
                sign if sign == self.delimiter => sign,
                sign => {
                    out.push(sign);
                    continue;
                }
            };
            out.push('\\');
            out.push(letter);
        }
    }
}

#[cfg(test)]
mod tests;
