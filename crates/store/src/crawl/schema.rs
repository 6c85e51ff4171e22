//! A bucket as a schema of SQL, whose tables are patterns of keys: `landing."sales/*.csv"`.
//!
//! What a pattern means is found when a question is planned: the files that match are looked at, and
//! must be one table. They are read when it runs, a file after the other on as many threads as the
//! question may use, and only the columns it asks for. Nothing is kept in between.
//!
//! Columns are called as `mainstem crawl` proposes them. Folders such as `year=2024` are columns
//! too, and `_file` is the key. A row that does not fit ends the question with an error that says
//! where it stands: to go on without it, let a stream read the files.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringViewArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use base::{Glob, limits};
use datafusion::catalog::{SchemaProvider, Session, TableProvider};
use datafusion::common::plan_datafusion_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use rows::files::read::{FileReader, ReadColumn};
use rows::files::{Depth, Rows, Verdict, look, partitions};
use rows::infer::{DateOrder, Form, Guess};
use rows::schema::arrow_type;
use spec::{ColumnType, name_like};

use crate::crawl::place::{Listed, Place};
use crate::crawl::propose::dates_of;
use crate::crawl::{Crawl, FoundTable, Settings, crawl, free_name};

/// The column with the key of the file that a row stands in.
const FILE: &str = "_file";

/// Tables that are named where a pattern means several.
const NAMED_MAX: usize = 8;

/// The objects of a bucket.
pub struct Objects {
    bucket: Arc<str>,
    place: Arc<Place>,
}

impl Objects {
    /// Shows the objects of the bucket of that name.
    pub fn new(bucket: &str, place: Place) -> Objects {
        Objects { bucket: bucket.into(), place: Arc::new(place) }
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

#[async_trait]
impl SchemaProvider for Objects {
    /// None: each pattern is one, and there is no end of patterns.
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, pattern: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let (bucket, place) = (Arc::clone(&self.bucket), Arc::clone(&self.place));
        let pattern = pattern.to_owned();
        let found = tokio::task::spawn_blocking(move || find(&bucket, &place, &pattern)).await;
        let found = found.map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(Some(Arc::new(found?)))
    }

    fn table_exist(&self, _: &str) -> bool {
        true
    }
}

/// Looks at the files that a pattern means.
fn find(bucket: &str, place: &Arc<Place>, text: &str) -> Result<Files> {
    let named = format!("`{bucket}.\"{text}\"`");
    let only = Glob::new(text).map_err(|why| plan_datafusion_err!("{named}: {why}"))?;
    let settings = Settings { only: Some(only), ..Settings::default() };
    let found = crawl(place, &settings, &|_| {});
    let found = found.map_err(|error| DataFusionError::External(Box::new(error)))?;
    let max = limits::QUERY_FILES_MAX;
    if max < found.files.len() {
        let count = found.files.len();
        return Err(plan_datafusion_err!(
            "{named} means {count} files, a question reads at most {max}; write a narrower pattern"
        ));
    }
    if let Some((path, why)) = broken(&found) {
        return Err(plan_datafusion_err!(
            "`{path}` cannot be read: {why}; write a pattern that leaves it out"
        ));
    }
    match found.tables.as_slice() {
        [table] => Files::new(place, &found, table),
        [] => Err(plan_datafusion_err!("{named} means {}", nothing(bucket, &found))),
        tables => {
            let patterns = tables.iter().take(NAMED_MAX).map(|it| format!("`{}`", it.pattern));
            let patterns = patterns.collect::<Vec<_>>().join(", ");
            let count = tables.len();
            Err(plan_datafusion_err!(
                "{named} means files of {count} different tables; write one of the patterns {patterns}"
            ))
        }
    }
}

/// Returns a file that should be of a table and is not. What is no table at all, as a picture, is
/// passed over.
fn broken(found: &Crawl) -> Option<(&str, String)> {
    let is_broken =
        |verdict: &Verdict| !matches!(verdict, Verdict::Ok | Verdict::Empty | Verdict::Unknown(_));
    let file = found.files.iter().find(|it| it.tables.is_empty() && is_broken(&it.verdict))?;
    Some((&file.path, format!("{}: {}", file.verdict.word(), file.verdict.reason())))
}

fn nothing(bucket: &str, found: &Crawl) -> String {
    match found.files.as_slice() {
        [] => format!("no object; `SELECT key FROM {bucket}_objects` lists what there is"),
        [file] => format!("one object that holds no table: {}", said(&file.verdict)),
        files => format!("{} objects, and none holds a table", files.len()),
    }
}

fn said(verdict: &Verdict) -> String {
    let (word, reason) = (verdict.word(), verdict.reason());
    if reason.is_empty() { word.to_owned() } else { format!("{word}, {reason}") }
}

/// Files of one table.
struct Files {
    schema: SchemaRef,
    columns: Vec<Column>,
    /// The sheet, key or member that is read of each.
    inside: Option<String>,
    /// The order of dates that some files decide, for those that do not.
    dates: Option<DateOrder>,
    files: Vec<Listed>,
    place: Arc<Place>,
}

/// A column of the table.
#[derive(Debug, Clone)]
struct Column {
    name: String,
    kind: ColumnType,
    from: Origin,
}

/// Where the values of a column come from.
#[derive(Debug, Clone)]
enum Origin {
    /// The files, under this name, with words that stand for NULL.
    Field(String, Vec<String>),
    /// Folders such as `NAME=value`.
    Folder(String),
    /// The file's key.
    Key,
}

impl Column {
    fn field(&self) -> Field {
        Field::new(&self.name, arrow_type(&self.kind), true)
    }
}

impl Files {
    fn new(place: &Arc<Place>, found: &Crawl, table: &FoundTable) -> Result<Files> {
        let is_whole = table.rows == Rows::Exactly(table.sampled);
        let mut names = HashSet::new();
        let mut columns = Vec::new();
        for guess in &table.columns {
            let null_words = guess.evidence.markers.iter().map(|it| it.0.clone()).collect();
            let from = Origin::Field(guess.name.clone(), null_words);
            let name = free_name(&guess.name, &mut names);
            let kind = if is_whole { guess.kind } else { wide(guess.kind) };
            columns.push(Column { name, kind, from });
        }
        for guess in &table.partitions {
            // A writer that repeats the folder's value in the file means the same.
            let name = name_like(&guess.name);
            if names.insert(name.clone()) {
                let from = Origin::Folder(guess.name.clone());
                columns.push(Column { name, kind: guess.kind, from });
            }
        }
        let key = Column { name: FILE.to_owned(), kind: ColumnType::Text, from: Origin::Key };
        columns.push(key);
        let files = table.files.iter().filter_map(|it| found.files.get(*it));
        let files = files.map(|it| Listed { path: it.path.clone(), size: it.size }).collect();
        let schema = Arc::new(Schema::new(columns.iter().map(Column::field).collect::<Vec<_>>()));
        let (place, inside) = (Arc::clone(place), table.inside.clone());
        let dates = dates_of(table);
        Ok(Files { schema, columns, inside, dates, files, place })
    }
}

/// Digits after the point that a decimal column has room for, where not all values were looked at.
const SCALE_MIN: i8 = 4;

/// Leaves room for values that no look has seen.
fn wide(kind: ColumnType) -> ColumnType {
    match kind {
        ColumnType::Decimal { scale, .. } => {
            ColumnType::Decimal { precision: 38, scale: scale.max(SCALE_MIN) }
        }
        other => other,
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("files", &self.files.len()).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for Files {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns: Vec<Column> = match projection {
            None => self.columns.clone(),
            Some(asked) => asked.iter().filter_map(|it| self.columns.get(*it).cloned()).collect(),
        };
        let schema = Arc::new(Schema::new(columns.iter().map(Column::field).collect::<Vec<_>>()));
        let parts = spread(&self.files, session.config().target_partitions());
        let parts = parts.into_iter().map(|files| {
            let part = Part {
                schema: Arc::clone(&schema),
                columns: columns.clone(),
                inside: self.inside.clone(),
                dates: self.dates,
                files,
                place: Arc::clone(&self.place),
            };
            let stream: Arc<dyn PartitionStream> = Arc::new(PartOfFiles(Arc::new(part)));
            stream
        });
        let parts = parts.collect();
        Ok(Arc::new(StreamingTableExec::try_new(schema, parts, None, None, false, limit)?))
    }
}

/// Gives each of at most so many threads about as many bytes.
fn spread(files: &[Listed], most: usize) -> Vec<Vec<Listed>> {
    let count = most.clamp(1, files.len().max(1));
    let mut parts: Vec<(u64, Vec<Listed>)> = vec![(0, Vec::new()); count];
    for file in files {
        if let Some((bytes, part)) = parts.iter_mut().min_by_key(|it| it.0) {
            *bytes += file.size.max(1);
            part.push(file.clone());
        }
    }
    parts.into_iter().map(|(_, files)| files).collect()
}

/// What one thread reads.
struct Part {
    schema: SchemaRef,
    columns: Vec<Column>,
    inside: Option<String>,
    dates: Option<DateOrder>,
    files: Vec<Listed>,
    place: Arc<Place>,
}

struct PartOfFiles(Arc<Part>);

impl fmt::Debug for PartOfFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartOfFiles").field("files", &self.0.files.len()).finish()
    }
}

/// Batches that wait for who asked.
const BATCHES_AHEAD: usize = 2;

impl PartitionStream for PartOfFiles {
    fn schema(&self) -> &SchemaRef {
        &self.0.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut rows =
            RecordBatchReceiverStream::builder(Arc::clone(&self.0.schema), BATCHES_AHEAD);
        let (part, to) = (Arc::clone(&self.0), rows.tx());
        rows.spawn_blocking(move || {
            // Who does not listen any more needs no more rows.
            let mut give = |batch| to.blocking_send(Ok(batch)).is_ok();
            for file in &part.files {
                if !part.read(file, &mut give)? {
                    break;
                }
            }
            Ok(())
        });
        rows.build()
    }
}

/// The column that is read where only rows are counted.
const WITNESS: &str = "";

impl Part {
    /// Reads a file; returns whether more is wanted.
    fn read(&self, file: &Listed, give: &mut dyn FnMut(RecordBatch) -> bool) -> Result<bool> {
        let path = &file.path;
        let failed = |why: &dyn fmt::Display| {
            DataFusionError::Execution(format!("`{path}` cannot be read: {why}"))
        };
        let source = self.place.open(file).map_err(|it| failed(&it))?;
        let name = path.rsplit('/').next().unwrap_or(path);
        let looked = look(source.as_ref(), name, Depth::default());
        if looked.verdict == Verdict::Empty {
            return Ok(true);
        }
        let table = looked.tables.iter().find(|it| it.name == self.inside);
        let table = table.ok_or_else(|| failed(&said(&looked.verdict)))?;
        let reads = self.reads(table);
        let reader = FileReader::open(&source, looked.compression, &table.format, &reads);
        for batch in reader.map_err(|it| failed(&it))? {
            let batch = batch.map_err(|it| failed(&it))?;
            if !give(self.rows(path, &batch.rows)?) {
                return Ok(false);
            }
            if let Some(reject) = batch.rejects.first() {
                let (row, why) = (reject.row, &reject.message);
                return Err(DataFusionError::Execution(format!(
                    "row {row} of `{path}` does not fit: {why}"
                )));
            }
        }
        Ok(true)
    }

    /// Says how the columns that are asked for are read from a file with this table.
    fn reads(&self, table: &rows::files::FoundTable) -> Vec<ReadColumn> {
        let mut reads = Vec::new();
        for column in &self.columns {
            let Origin::Field(name, null_words) = &column.from else { continue };
            let Some(profile) = table.columns.iter().find(|it| it.name == *name) else { continue };
            let mut read = ReadColumn::of(&Guess::with_dates(profile, self.dates));
            (read.kind, read.called) = (column.kind, column.name.clone());
            match column.kind {
                // What looks like a number in this file is a text all the same.
                ColumnType::Text | ColumnType::Json | ColumnType::Bytes => {
                    (read.form, read.null_words) = (Form::Plain, Vec::new());
                }
                _ => read.null_words.extend(null_words.iter().cloned()),
            }
            reads.push(read);
        }
        if let (true, Some(first)) = (reads.is_empty(), table.columns.first()) {
            reads.push(ReadColumn {
                name: first.name.clone(),
                called: WITNESS.to_owned(),
                kind: ColumnType::Text,
                form: Form::Plain,
                null_words: Vec::new(),
                not_null: false,
            });
        }
        reads
    }

    /// Makes rows of the table of those of a file.
    fn rows(&self, path: &str, read: &RecordBatch) -> Result<RecordBatch> {
        let count = read.num_rows();
        let mut arrays = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let kind = arrow_type(&column.kind);
            arrays.push(match &column.from {
                Origin::Field(..) => match read.column_by_name(&column.name) {
                    Some(values) => Arc::clone(values),
                    None => new_null_array(&kind, count),
                },
                Origin::Folder(name) => {
                    let folders = partitions(path);
                    let value = folders.into_iter().find(|it| it.0 == *name).and_then(|it| it.1);
                    same(value.as_deref(), count, &kind)?
                }
                Origin::Key => same(Some(path), count, &kind)?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?)
    }
}

/// One value for all rows; NULL where it is not of the type.
fn same(value: Option<&str>, count: usize, kind: &DataType) -> Result<ArrayRef> {
    let values: StringViewArray = std::iter::repeat_n(value, count).collect();
    Ok(cast(&values, kind)?)
}

#[cfg(test)]
mod tests;
