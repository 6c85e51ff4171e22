//! Parquet files: written so that they are on disk when they are named, read back batch by batch.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use base::{Epoch, limits};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use uuid::Uuid;

use crate::disk::{Disk, at};
use crate::error::Error;
use crate::partition::folder;
use crate::schema::conform;
use crate::statistics::FileFacts;

/// Rows read at a time: large enough for full speed, small enough for wide rows.
const READ_ROWS: usize = 8 * 1024;

/// A file that was written and synced.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewFile {
    /// Where, from the table's folder.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) facts: FileFacts,
    /// The value of the table's partition column, if it has one.
    pub(crate) value: Option<String>,
}

/// Why a file is written; its name says so, which the sweep relies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The rows of an epoch.
    Epoch(Epoch),
    /// Rows that are in the table already.
    Again,
    /// Old rows that are in the table already, to lie in few bytes.
    Cold,
}

impl Purpose {
    /// Returns a new file's name.
    pub(crate) fn name(self) -> String {
        let id = Uuid::new_v4().simple();
        match self {
            Purpose::Epoch(epoch) => format!("rows-{:020}-{id}.parquet", epoch.0),
            Purpose::Again => format!("again-{id}.parquet"),
            Purpose::Cold => format!("cold-{id}.parquet"),
        }
    }

    /// Tells from a file's path why it was written; `None` if another program wrote it.
    pub(crate) fn of(path: &str) -> Option<Purpose> {
        let name = path.rsplit('/').next()?.strip_suffix(".parquet")?;
        let is_id = |id: &str| id.len() == 32 && id.bytes().all(|it| it.is_ascii_hexdigit());
        if let Some(id) = name.strip_prefix("again-") {
            return is_id(id).then_some(Purpose::Again);
        }
        if let Some(id) = name.strip_prefix("cold-") {
            return is_id(id).then_some(Purpose::Cold);
        }
        let (epoch, id) = name.strip_prefix("rows-")?.split_once('-')?;
        is_id(id).then_some(Purpose::Epoch(Epoch(epoch.parse().ok()?)))
    }
}

/// Writes files into one table's folder.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    disk: &'a Disk,
    root: &'a Path,
    columns: SchemaRef,
    purpose: Purpose,
    file_bytes_max: u64,
    written: Vec<NewFile>,
    folders: BTreeSet<PathBuf>,
}

impl<'a> Writer<'a> {
    /// Begins; `columns` are those of the files.
    pub(crate) fn new(
        disk: &'a Disk,
        root: &'a Path,
        columns: SchemaRef,
        purpose: Purpose,
        file_bytes_max: u64,
    ) -> Writer<'a> {
        let (written, folders) = (Vec::new(), BTreeSet::new());
        Writer { disk, root, columns, purpose, file_bytes_max, written, folders }
    }

    /// Writes the rows of one value of the partition column, in as many files as it takes.
    pub(crate) fn write(
        &mut self,
        partition: Option<(&str, Option<&str>)>,
        batches: impl IntoIterator<Item = Result<RecordBatch, Error>>,
    ) -> Result<(), Error> {
        let mut open: Option<OpenFile> = None;
        for batch in batches {
            let batch = batch?;
            if batch.num_rows() == 0 {
                continue;
            }
            let file = match &mut open {
                Some(file) => file,
                None => open.insert(self.begin(partition)?),
            };
            file.write(&batch)?;
            if self.file_bytes_max <= file.bytes() {
                self.end(open.take())?;
            }
        }
        self.end(open)
    }

    /// Makes the files' names durable and returns them.
    pub(crate) fn finish(mut self) -> Result<Vec<NewFile>, Error> {
        for folder in std::mem::take(&mut self.folders) {
            self.disk.sync_folder(&folder).map_err(at("sync", &folder))?;
        }
        Ok(std::mem::take(&mut self.written))
    }

    fn begin(&mut self, partition: Option<(&str, Option<&str>)>) -> Result<OpenFile, Error> {
        let name = self.purpose.name();
        let path = match partition {
            Some((column, value)) => format!("{}/{name}", folder(column, value)),
            None => name,
        };
        let full = self.root.join(&path);
        let folder = full.parent().unwrap_or(self.root).to_owned();
        self.disk.create_folders(&folder).map_err(at("make the folder", &folder))?;
        let file = self.disk.create(&full).map_err(at("write", &full))?;
        self.folders.insert(folder);
        let value = partition.and_then(|(_, value)| value).map(str::to_owned);
        let options = ArrowWriterOptions::new()
            .with_properties(properties(self.purpose, &self.columns))
            // Others shall see plain Parquet types, not our views.
            .with_skip_arrow_metadata(true);
        let columns = Arc::clone(&self.columns);
        let writer = ArrowWriter::try_new_with_options(file, columns, options);
        let writer = Some(writer.map_err(unwritten(&full))?);
        Ok(OpenFile { writer, path, full, value, disk: self.disk.clone() })
    }

    fn end(&mut self, open: Option<OpenFile>) -> Result<(), Error> {
        let Some(open) = open else { return Ok(()) };
        let written = open.close(&self.columns)?;
        self.written.push(written);
        Ok(())
    }
}

impl Drop for Writer<'_> {
    /// Removes what was written if it was not finished; the sweep finds what this cannot remove.
    fn drop(&mut self) {
        for file in &self.written {
            drop(self.disk.remove(&self.root.join(&file.path)));
        }
    }
}

/// A file being written; it goes again unless it is closed.
struct OpenFile {
    writer: Option<ArrowWriter<File>>,
    path: String,
    full: PathBuf,
    value: Option<String>,
    disk: Disk,
}

impl OpenFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let writer = self.writer.as_mut().expect("an open file has its writer until it is closed");
        writer.write(batch).map_err(unwritten(&self.full))
    }

    fn bytes(&self) -> u64 {
        let bytes = self.writer.as_ref().map_or(0, |it| it.bytes_written() + it.in_progress_size());
        bytes as u64
    }

    fn close(mut self, columns: &SchemaRef) -> Result<NewFile, Error> {
        let writer = self.writer.as_mut().expect("an open file has its writer until it is closed");
        let metadata = writer.finish().map_err(unwritten(&self.full))?;
        let file = writer.inner();
        self.disk.sync_file(file, &self.full).map_err(at("sync", &self.full))?;
        let bytes = file.metadata().map_err(at("measure", &self.full))?.len();
        self.writer = None;
        let facts = FileFacts::of_parquet(&metadata, columns);
        let (path, value) = (std::mem::take(&mut self.path), self.value.take());
        Ok(NewFile { path, bytes, facts, value })
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if self.writer.is_some() {
            // The first error says what happened; the sweep finds what this leaves behind.
            drop(self.disk.remove(&self.full));
        }
    }
}

/// The strongest level of Zstandard that costs no more to read.
const COLD_LEVEL: i32 = 19;

fn properties(purpose: Purpose, columns: &SchemaRef) -> WriterProperties {
    let (level, rows) = match purpose {
        Purpose::Epoch(_) | Purpose::Again => (1, limits::ROW_GROUP_ROWS_MAX),
        Purpose::Cold => (COLD_LEVEL, limits::COLD_ROW_GROUP_ROWS_MAX),
    };
    let level = ZstdLevel::try_new(level).unwrap_or_default();
    let mut properties = WriterProperties::builder()
        .set_created_by("mainstem".to_owned())
        // Level 1 halves the bytes of texts that Snappy makes.
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(rows))
        .set_coerce_types(true);
    if purpose != Purpose::Cold {
        // Of numbers it saves little, and costs a quarter of the time of a question that reads them.
        let numbers = columns.fields().iter().filter(|it| it.data_type().is_primitive());
        for number in numbers {
            let column = ColumnPath::from(number.name().clone());
            properties = properties.set_column_compression(column, Compression::SNAPPY);
        }
    }
    properties.build()
}

/// Reads a file of the table, brought to `columns`.
pub(crate) fn read(
    root: &Path,
    path: &str,
    columns: &SchemaRef,
) -> Result<impl Iterator<Item = Result<RecordBatch, Error>> + use<>, Error> {
    let full = root.join(path);
    let file = File::open(&full).map_err(at("read", &full))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(wrong("read", &full))?;
    let reader = builder.with_batch_size(READ_ROWS).build().map_err(wrong("read", &full))?;
    let columns = Arc::clone(columns);
    Ok(reader.map(move |batch| {
        let batch = batch.map_err(wrong("read", &full))?;
        conform(&batch, &columns).map_err(wrong("read", &full))
    }))
}

/// Says why a file could not be written. What the disk refused is worth trying again: a full disk
/// is no damage.
fn unwritten(path: &Path) -> impl FnOnce(ParquetError) -> Error {
    let path = path.to_owned();
    move |error| {
        if let ParquetError::External(source) = error {
            return match source.downcast::<std::io::Error>() {
                Ok(source) => at("write", &path)(*source),
                Err(other) => wrong("write", &path)(other),
            };
        }
        wrong("write", &path)(error)
    }
}

/// Says what was tried with which file.
fn wrong<E: ToString>(doing: &'static str, path: &Path) -> impl FnOnce(E) -> Error {
    let path = path.to_owned();
    move |error| Error::File { doing, path, reason: error.to_string() }
}

#[cfg(test)]
mod tests;
