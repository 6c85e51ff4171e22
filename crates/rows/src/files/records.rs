//! All rows of a file as records of a stream, whatever the file is.
//!
//! A column of the stream is read from the column of the file that is called like it, but for case,
//! spaces and signs; else from a folder such as `year=2024` of its path. Values are read in the form
//! in which the file writes them (`31/01/2024`, `1.234,56`) and become objects of JSON, or lines of
//! CSV, as the stream's format is; lines that the stream can read as they stand are taken as they are.
//! A row that does not fit becomes a record as it stands in the file:
//! the stream says what is wrong with it, and it ends as a dead letter.

use std::path::Path;
use std::sync::Arc;

use ::arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use base::limits;
use spec::{ColumnType, Format, Stream};

use crate::files::read::{FileReader, ReadColumn, WholeLines};
use crate::files::{
    Depth, FoundTable, OnDisk, Source, TableFormat, Verdict, look, partitions, plain_name,
};
use crate::infer::{DateOrder, Form, Guess};
use crate::{csv, json};

/// See the module.
pub struct Records {
    from: From,
    format: Format,
    /// The columns of a record in their order, with those that a folder says.
    columns: Vec<(String, Option<String>)>,
    /// What is wrong with the file though it has rows.
    fault: Option<String>,
}

/// What gives the records of a file.
enum From {
    /// Rows, read value by value.
    Rows(FileReader),
    /// Lines that are records as they stand.
    Lines(WholeLines),
}

/// How much is shown of a row that is too large.
const BEGIN_BYTES: usize = 1_000;

impl Records {
    /// Opens a file; `name` is what it is called where it lies. Each file by itself says whether day
    /// or month comes first, if `dates` does not.
    ///
    /// # Errors
    /// Why it cannot be read as rows of the stream.
    pub fn open(
        path: &Path,
        name: &str,
        stream: &Stream,
        dates: Option<DateOrder>,
    ) -> Result<Records, String> {
        let source = OnDisk::open(path).map_err(|it| it.to_string())?;
        let source: Arc<dyn Source> = Arc::new(source);
        let looked = look(source.as_ref(), name, Depth::default());
        let fault = match &looked.verdict {
            Verdict::Ok | Verdict::Misencoded(_) => None,
            Verdict::Empty => return Err("the file is empty".to_owned()),
            other => Some(format!("{}: {}", other.word(), other.reason())),
        };
        let folders = partitions(name);
        let Some((table, columns)) = best_of(&looked.tables, &folders, (stream, dates)) else {
            let fault = fault.unwrap_or_else(|| match looked.tables.first() {
                Some(table) => no_column(table, stream),
                None => "there is no table in it".to_owned(),
            });
            return Err(fault);
        };
        let mut lines = None;
        if is_as_it_stands(table, &columns, &folders, stream) {
            lines = WholeLines::open(&source, looked.compression, &table.format)
                .map_err(|it| it.to_string())?;
        }
        let from = match lines {
            Some(lines) => From::Lines(lines),
            None => {
                let reader = FileReader::open(&source, looked.compression, &table.format, &columns);
                From::Rows(reader.map_err(|it| it.to_string())?)
            }
        };
        let columns = all_of(&columns, &folders, stream);
        Ok(Records { from, format: stream.format, columns, fault })
    }

    /// Adds the next records, the same ones each time the same file is read; none at the end.
    ///
    /// # Errors
    /// What is wrong with the rest of the file.
    pub fn next(&mut self, records: &mut Vec<Vec<u8>>) -> Result<(), String> {
        while records.is_empty() {
            let batch = match &mut self.from {
                From::Rows(reader) => reader.next(),
                From::Lines(lines) => {
                    let read = lines.batch(&mut |it| push(it.to_vec(), records));
                    if read.is_err() || records.is_empty() {
                        let fault = self.fault.take();
                        return read
                            .map_err(|it| it.to_string())
                            .and_then(|()| fault.map_or(Ok(()), Err));
                    }
                    return Ok(());
                }
            };
            let Some(batch) = batch else { return self.fault.take().map_or(Ok(()), Err) };
            let batch = batch.map_err(|it| self.fault.take().unwrap_or_else(|| it.to_string()))?;
            let rows = &whole(&self.columns, &batch.rows);
            match self.format {
                Format::Json => json::each_line(rows, |it| push(it.into_bytes(), records)),
                Format::Csv => {
                    for row in 0..rows.num_rows() {
                        let mut line = String::new();
                        csv::write_rows(&rows.slice(row, 1), &mut line);
                        push(line.trim_end_matches('\n').as_bytes().to_vec(), records);
                    }
                }
            }
            for reject in batch.rejects {
                let fields = reject.fields.filter(|_| self.format == Format::Json);
                push(fields.unwrap_or(reject.text).into_bytes(), records);
            }
        }
        Ok(())
    }
}

/// Adds what folders say to rows of the file.
fn whole(columns: &[(String, Option<String>)], rows: &RecordBatch) -> RecordBatch {
    if columns.iter().all(|(_, said)| said.is_none()) {
        return rows.clone();
    }
    let count = rows.num_rows();
    let arrays = columns.iter().filter_map(|(name, said)| {
        let array: ArrayRef = match said {
            None => Arc::clone(rows.column_by_name(name)?),
            Some(said) => {
                Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(said, count)))
            }
        };
        Some((name, array, true))
    });
    RecordBatch::try_from_iter_with_nullable(arrays).expect("all columns have as many rows")
}

/// Whether the lines of a file need nothing done to them: the stream's decoder reads all values as
/// the file writes them, by the names, or in the order, in which they stand there.
fn is_as_it_stands(
    table: &FoundTable,
    columns: &[ReadColumn],
    folders: &[(String, Option<String>)],
    stream: &Stream,
) -> bool {
    let is_plain = columns
        .iter()
        .all(|it| it.form == Form::Plain && it.null_words.is_empty() && it.name == it.called);
    let names = || stream.columns.iter().map(|it| &it.name);
    let is_named = match (&table.format, stream.format) {
        (TableFormat::Json(_), Format::Json) => {
            all_of(columns, folders, stream).iter().all(|(_, said)| said.is_none())
        }
        (TableFormat::Csv(_), Format::Csv) => table.columns.iter().map(|it| &it.name).eq(names()),
        _ => false,
    };
    is_plain && is_named
}

fn push(record: Vec<u8>, records: &mut Vec<Vec<u8>>) {
    if record.trim_ascii().is_empty() {
        return; // No door takes an empty record.
    }
    if record.len() <= limits::RECORD_BYTES_MAX {
        return records.push(record);
    }
    // No record on purpose: a dead letter that says what it was.
    let begin = String::from_utf8_lossy(record.get(..BEGIN_BYTES).unwrap_or_default());
    let begin = begin.trim_end_matches(char::REPLACEMENT_CHARACTER);
    records
        .push(format!("a row of {} bytes, which begins with {begin}", record.len()).into_bytes());
}

/// Returns the table with most of the stream's columns, the first of several.
fn best_of<'a>(
    tables: &'a [FoundTable],
    folders: &[(String, Option<String>)],
    (stream, dates): (&Stream, Option<DateOrder>),
) -> Option<(&'a FoundTable, Vec<ReadColumn>)> {
    let mut best: Option<(&FoundTable, Vec<ReadColumn>)> = None;
    for table in tables {
        let columns = columns_of(table, stream, dates);
        let most = best.as_ref().map_or(0, |(_, it)| it.len());
        if most < columns.len() {
            best = Some((table, columns));
        }
    }
    let (table, columns) = best?;
    // A line of CSV has all columns of the stream, in their order.
    let all = all_of(&columns, folders, stream).len();
    let is_whole = stream.format == Format::Json || all == stream.columns.len();
    is_whole.then_some((table, columns))
}

fn columns_of(table: &FoundTable, stream: &Stream, dates: Option<DateOrder>) -> Vec<ReadColumn> {
    let found = stream.columns.iter().filter_map(|column| {
        let same = table.columns.iter().find(|it| it.name == column.name);
        let like =
            || table.columns.iter().find(|it| plain_name(&it.name) == plain_name(&column.name));
        let guess = Guess::with_dates(same.or_else(like)?, dates);
        let mut said = ReadColumn::of(&guess);
        (said.kind, said.called) = (column.kind, column.name.clone());
        let is_moment = matches!(said.form, Form::Moment { .. });
        if is_moment && !matches!(column.kind, ColumnType::Date | ColumnType::Timestamp) {
            said.form = Form::Plain;
        }
        if matches!(column.kind, ColumnType::Text | ColumnType::Json | ColumnType::Bytes) {
            // What looks like a number is a text all the same.
            (said.form, said.null_words) = (Form::Plain, Vec::new());
        }
        Some(said)
    });
    found.collect()
}

/// Returns the columns of the stream that a file has or a folder says, in the stream's order.
fn all_of(
    columns: &[ReadColumn],
    folders: &[(String, Option<String>)],
    stream: &Stream,
) -> Vec<(String, Option<String>)> {
    let found = stream.columns.iter().filter_map(|column| {
        if columns.iter().any(|it| it.called == column.name) {
            return Some((column.name.clone(), None));
        }
        let said = folders.iter().find(|it| plain_name(&it.0) == plain_name(&column.name));
        said.and_then(|(_, value)| value.clone()).map(|value| (column.name.clone(), Some(value)))
    });
    found.collect()
}

fn no_column(table: &FoundTable, stream: &Stream) -> String {
    let has =
        table.columns.iter().map(|it| format!("`{}`", it.name)).collect::<Vec<_>>().join(", ");
    let name = &stream.name;
    match stream.format {
        Format::Json => format!("none of its columns is one of `{name}`; it has {has}"),
        Format::Csv => format!("it lacks columns of `{name}`, whose format is csv; it has {has}"),
    }
}

#[cfg(test)]
mod tests;
