//! All rows of a file as batches of declared columns, with what does not fit as rejects.
//!
//! Values are read in the form that was found (`31/01/2024`, `1.234,56`, `N/A` for nothing) and
//! must then be exactly of the declared type, as with records. A row that does not fit is a
//! [`Reject`] and costs its neighbours nothing; only what cannot be read at all is an error.

mod binary;
mod input;
mod json;
mod sheet;
mod text;
mod whole;

use std::collections::VecDeque;
use std::sync::Arc;

use ::arrow::array::RecordBatch;
use ::arrow::datatypes::{Field, Schema, SchemaRef};
use spec::ColumnType;

use crate::column::{Column, Found};
use crate::decode::append_field;
use crate::files::{Compression, Source, TableFormat};
use crate::infer::{Form, Guess};
use crate::schema;

pub(crate) use self::whole::WholeLines;

/// How one column is read.
#[derive(Debug, Clone)]
pub struct ReadColumn {
    /// The name in the file.
    pub name: String,
    /// What its rows call it.
    pub called: String,
    /// The type it must have.
    pub kind: ColumnType,
    /// How its values are written.
    pub form: Form,
    /// Words that stand for NULL.
    pub null_words: Vec<String>,
    /// Whether a row without it is a reject.
    pub not_null: bool,
}

impl ReadColumn {
    /// Reads a column as it was guessed.
    pub fn of(guess: &Guess) -> ReadColumn {
        ReadColumn {
            name: guess.name.clone(),
            called: guess.name.clone(),
            kind: guess.kind,
            form: guess.form.clone(),
            null_words: guess.evidence.markers.iter().map(|it| it.0.clone()).collect(),
            not_null: false,
        }
    }

    fn field(&self) -> Field {
        Field::new(&self.called, schema::arrow_type(&self.kind), !self.not_null)
    }
}

/// Rows of a file, and those that are none.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The rows, with the declared columns.
    pub rows: RecordBatch,
    /// The others, in their order.
    pub rejects: Vec<Reject>,
}

/// A row that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Its number in the file, counted from 1 without the header.
    pub row: u64,
    /// The row as it stands there, as far as it is text.
    pub text: String,
    /// Its fields by their columns, as an object of texts, where they can be told apart.
    pub fields: Option<String>,
    /// What is wrong with it.
    pub message: String,
}

/// Why the rest of a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The place it lies at does not answer.
    #[error("it cannot be read: {0}")]
    Place(#[from] std::io::Error),
    /// What is in it is no table of the format.
    #[error("{0}")]
    Damaged(String),
}

/// Rows of one batch.
const BATCH_ROWS: usize = 8_192;

/// Reads the rows of one file.
pub struct FileReader {
    schema: SchemaRef,
    rows: Box<dyn RowSource>,
    builder: Builder,
    is_over: bool,
}

/// What gives one row after the other.
trait RowSource: Send {
    /// Adds rows until the batch is full; answers whether there are more.
    fn fill(&mut self, to: &mut Builder) -> Result<bool, ReadError>;
}

impl FileReader {
    /// Begins to read a file of the format and compression that were found.
    pub fn open(
        source: &Arc<dyn Source>,
        compression: Option<Compression>,
        format: &TableFormat,
        columns: &[ReadColumn],
    ) -> Result<FileReader, ReadError> {
        let rows: Box<dyn RowSource> = match format {
            TableFormat::Csv(layout) => Box::new(text::Lines::open(source, compression, layout)?),
            TableFormat::Json(shape) => Box::new(json::Values::open(source, compression, shape)?),
            TableFormat::Excel => Box::new(sheet::Sheet::open(source, columns)?),
            TableFormat::Parquet | TableFormat::Orc | TableFormat::Avro | TableFormat::Arrow => {
                Box::new(binary::Batches::open(source, compression, format)?)
            }
        };
        let fields: Vec<Field> = columns.iter().map(ReadColumn::field).collect();
        let schema = Arc::new(Schema::new(fields));
        let builder = Builder::new(Arc::clone(&schema), columns);
        Ok(FileReader { schema, rows, builder, is_over: false })
    }

    /// Returns the schema of the rows.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl Iterator for FileReader {
    type Item = Result<Batch, ReadError>;

    fn next(&mut self) -> Option<Result<Batch, ReadError>> {
        loop {
            if let Some(batch) = self.builder.ready.pop_front() {
                return Some(Ok(batch));
            }
            if self.is_over {
                return self.builder.finish().map(Ok);
            }
            match self.rows.fill(&mut self.builder) {
                Ok(has_more) => {
                    self.is_over = !has_more;
                    if has_more {
                        self.builder.flush();
                    }
                }
                // What came before the damage is shown first.
                Err(error) => {
                    self.is_over = true;
                    return match self.builder.finish() {
                        Some(batch) => {
                            self.builder.ready.push_back(batch);
                            self.rows = Box::new(Broken(Some(error)));
                            self.is_over = false;
                            self.builder.ready.pop_front().map(Ok)
                        }
                        None => Some(Err(error)),
                    };
                }
            }
        }
    }
}

/// What is left of a file that is damaged: the fault.
struct Broken(Option<ReadError>);

impl RowSource for Broken {
    fn fill(&mut self, _: &mut Builder) -> Result<bool, ReadError> {
        self.0.take().map_or(Ok(false), Err)
    }
}

/// Rows of declared columns under way.
struct Builder {
    schema: SchemaRef,
    said: Vec<ReadColumn>,
    columns: Vec<Column>,
    /// Rows that were begun, the rejects among them.
    seen: u64,
    rows: usize,
    rejects: Vec<Reject>,
    ready: VecDeque<Batch>,
}

impl Builder {
    fn new(schema: SchemaRef, said: &[ReadColumn]) -> Builder {
        let columns = said.iter().map(|it| Column::of(&it.called, it.kind, it.not_null)).collect();
        Builder {
            schema,
            said: said.to_vec(),
            columns,
            seen: 0,
            rows: 0,
            rejects: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    fn is_full(&self) -> bool {
        BATCH_ROWS <= self.rows + self.rejects.len()
    }

    /// Returns the place of the column that is called so in the file.
    fn place_of(&self, name: &str) -> Option<usize> {
        self.said.iter().position(|it| it.name == name)
    }

    /// Writes fields of a row as an object of texts.
    fn object<'a>(&self, fields: impl Iterator<Item = (Option<usize>, &'a str)>) -> String {
        let mut object = serde_json::Map::new();
        for (place, text) in fields {
            let Some(said) = place.and_then(|it| self.said.get(it)) else { continue };
            if !text.is_empty() {
                object.insert(said.called.clone(), text.into());
            }
        }
        serde_json::Value::Object(object).to_string()
    }

    /// Adds the value of a column to the row under way.
    fn value(&mut self, place: usize, found: Found<'_>) -> Result<(), String> {
        let (Some(column), Some(said)) = (self.columns.get_mut(place), self.said.get(place)) else {
            return Ok(());
        };
        let Found::String(text) = found else {
            return match (found, said.kind) {
                (Found::Number(text), ColumnType::Text) => column.append(Found::String(text)),
                (Found::Bool(it), ColumnType::Text) => {
                    column.append(Found::String(if it { "true" } else { "false" }))
                }
                (found, _) => column.append(found),
            };
        };
        let trimmed = text.trim();
        // Spaces are a text.
        let is_empty =
            if said.kind == ColumnType::Text { text.is_empty() } else { trimmed.is_empty() };
        if is_empty || said.null_words.iter().any(|it| it == trimmed) {
            return column.append_empty();
        }
        let is_date = said.kind == ColumnType::Date;
        append_field(column, &said.form.plain(text, is_date))
    }

    /// Adds a list or an object, or the text of any JSON to a column of JSON.
    fn json(&mut self, place: usize, json: &str) -> Result<(), String> {
        let (Some(column), Some(said)) = (self.columns.get_mut(place), self.said.get(place)) else {
            return Ok(());
        };
        match said.kind {
            ColumnType::Json => column.append_json(json),
            ColumnType::Text => column.append(Found::String(json)),
            _ if json.starts_with('{') => column.append(Found::Object),
            _ => column.append(Found::List),
        }
    }

    /// Whether the column takes JSON as it is.
    fn is_json(&self, place: usize) -> bool {
        self.said.get(place).is_some_and(|it| it.kind == ColumnType::Json)
    }

    /// Whether the row under way has no value in this column yet.
    fn is_missing(&self, place: usize) -> bool {
        self.columns.get(place).is_some_and(|it| it.len() == self.rows)
    }

    /// Ends the row under way: it is a row, or a reject that leaves no trace.
    fn end_row(&mut self, outcome: Result<(), String>, text: impl FnOnce() -> String) {
        self.end_row_of(outcome, || (text(), None));
    }

    /// Ends a row whose fields are known.
    fn end_row_of(
        &mut self,
        outcome: Result<(), String>,
        told: impl FnOnce() -> (String, Option<String>),
    ) {
        self.seen += 1;
        let rows = self.rows;
        let filled = outcome.and_then(|()| {
            self.columns
                .iter_mut()
                .filter(|it| it.len() == rows)
                .try_for_each(Column::append_missing)
        });
        match filled {
            Ok(()) => self.rows += 1,
            Err(message) => {
                for column in &mut self.columns {
                    column.truncate(rows);
                }
                let (text, fields) = told();
                self.rejects.push(Reject { row: self.seen, text, fields, message });
            }
        }
    }

    /// Adds rows that came as a batch, and the rejects among them.
    fn batch(&mut self, rows: RecordBatch, rejects: Vec<Reject>) {
        self.flush();
        self.ready.push_back(Batch { rows, rejects });
    }

    fn flush(&mut self) {
        let batch = self.finish();
        self.ready.extend(batch);
    }

    fn finish(&mut self) -> Option<Batch> {
        if self.rows == 0 && self.rejects.is_empty() {
            return None;
        }
        self.rows = 0;
        let arrays: Result<Vec<_>, _> = self.columns.iter_mut().map(Column::finish).collect();
        let arrays = arrays.expect("text is checked as it comes in");
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), arrays)
            .expect("every row has a value in each column, of the column's type");
        Some(Batch { rows, rejects: std::mem::take(&mut self.rejects) })
    }
}

#[cfg(test)]
mod tests;
