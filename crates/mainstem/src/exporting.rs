//! Writes the rows of an answer into a file of a bucket: `COPY … TO 'BUCKET/PATH'`.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use base::{Kind, limits};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;
use ingest::{Inlet, NewObject, ObjectFault};
use query::{Answer, FileForm, FileTarget, SqlError};
use tokio::sync::mpsc;

/// Batches that wait to be written.
const BATCHES_WAITING: usize = 2;

/// What a row group of a Parquet file takes in memory before it is written: with wide rows it would
/// be much otherwise.
const ROW_GROUP_BYTES_MAX: usize = 128 << 20;

/// What is handed to the thread that writes.
enum Part {
    Rows(RecordBatch),
    /// All rows came; without it the file is not put in its place.
    End,
}

/// Returns an error if nothing can be written there.
pub(crate) fn check(inlet: &Inlet, target: &FileTarget) -> Result<(), SqlError> {
    let (bucket, key) = place_of(target)?;
    form_of(target)?;
    inlet.check_object(bucket, key).map_err(refused)
}

/// Writes all rows, and returns how many they were; the file is there whole or not at all.
pub(crate) async fn write(
    inlet: &Inlet,
    target: &FileTarget,
    mut answer: Answer,
) -> Result<u64, SqlError> {
    let (bucket, key) = place_of(target)?;
    let (form, schema) = (form_of(target)?, Arc::clone(&answer.schema));
    let (inlet, bucket, key) = (inlet.clone(), bucket.to_owned(), key.to_owned());
    let (to, parts) = mpsc::channel(BATCHES_WAITING);
    let writing = tokio::task::spawn_blocking(move || {
        let object = inlet.new_object(&bucket, &key).map_err(refused)?;
        write_all(object, form, &schema, parts)
    });
    let fed = feed(&mut answer, &to).await;
    drop(to);
    let written = writing.await;
    fed?; // After the writer, so that nothing of the file is left by now.
    match written {
        Ok(written) => written,
        Err(error) => Err(failed(&error.into())),
    }
}

/// Hands all rows to the thread that writes.
async fn feed(answer: &mut Answer, to: &mpsc::Sender<Part>) -> Result<(), SqlError> {
    while let Some(batch) = answer.next().await {
        if to.send(Part::Rows(batch?)).await.is_err() {
            return Ok(()); // It has failed, and says why.
        }
    }
    if to.send(Part::End).await.is_err() {
        tracing::debug!("a file was not written to its end");
    }
    Ok(())
}

fn place_of(target: &FileTarget) -> Result<(&str, &str), SqlError> {
    let place = target
        .path
        .split_once('/')
        .filter(|(bucket, key)| !bucket.is_empty() && !bucket.contains(':') && !key.is_empty());
    place.ok_or_else(|| {
        let message = format!("`{}` is no file of a bucket", target.path);
        let help = "write `COPY (SELECT …) TO 'BUCKET/PATH.parquet'`; nothing is written elsewhere";
        sql_error(Kind::Invalid, "42501", message, Some(help.to_owned()))
    })
}

fn form_of(target: &FileTarget) -> Result<FileForm, SqlError> {
    if let Some(form) = target.form {
        return Ok(form);
    }
    match target.path.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase()).as_deref() {
        Some("parquet") => Ok(FileForm::Parquet),
        Some("csv") => Ok(FileForm::Csv),
        Some("json" | "jsonl" | "ndjson") => Ok(FileForm::Json),
        _ => {
            let message = format!("the name `{}` does not say a format", target.path);
            let help = "end it in .parquet, .csv or .json, or add `(FORMAT parquet)`".to_owned();
            Err(sql_error(Kind::Invalid, "22023", message, Some(help)))
        }
    }
}

/// Writes what comes until its end; whatever was written goes when that does not come.
fn write_all(
    object: NewObject,
    form: FileForm,
    schema: &SchemaRef,
    mut parts: mpsc::Receiver<Part>,
) -> Result<u64, SqlError> {
    let mut file = OpenFile::begin(object, form, schema).map_err(|it| failed(&it))?;
    let mut rows = 0;
    loop {
        match parts.blocking_recv() {
            Some(Part::Rows(batch)) => {
                file.write(&batch).map_err(|it| failed(&it))?;
                rows += batch.num_rows() as u64;
            }
            Some(Part::End) => break,
            None => {
                let message = "the statement ended before all rows were written".to_owned();
                return Err(sql_error(Kind::Invalid, "57014", message, None));
            }
        }
    }
    file.end().map_err(|it| failed(&it))?.finish().map_err(refused)?;
    Ok(rows)
}

enum OpenFile {
    Parquet(Box<ArrowWriter<NewObject>>),
    Text { form: FileForm, object: Box<NewObject> },
}

impl OpenFile {
    fn begin(
        mut object: NewObject,
        form: FileForm,
        schema: &SchemaRef,
    ) -> anyhow::Result<OpenFile> {
        if form == FileForm::Parquet {
            let writer = ArrowWriter::try_new(object, Arc::clone(schema), Some(properties()))?;
            return Ok(OpenFile::Parquet(Box::new(writer)));
        }
        if form == FileForm::Csv {
            object.write_all(header(schema).as_bytes())?;
        }
        Ok(OpenFile::Text { form, object: Box::new(object) })
    }

    fn write(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        match self {
            OpenFile::Parquet(writer) => {
                writer.write(batch)?;
                if ROW_GROUP_BYTES_MAX < writer.in_progress_size() {
                    writer.flush()?;
                }
            }
            OpenFile::Text { form, object } => {
                let mut lines = String::new();
                match form {
                    FileForm::Json => rows::json::write_lines(batch, &mut lines),
                    _ => rows::csv::write_rows(batch, &mut lines),
                }
                object.write_all(lines.as_bytes())?;
            }
        }
        Ok(())
    }

    fn end(self) -> anyhow::Result<NewObject> {
        match self {
            OpenFile::Parquet(writer) => writer.into_inner().context("the file cannot be ended"),
            OpenFile::Text { object, .. } => Ok(*object),
        }
    }
}

fn header(schema: &Schema) -> String {
    let mut line = String::new();
    rows::csv::write_header(schema, &mut line);
    line
}

fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_created_by("mainstem".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()))
        .set_max_row_group_row_count(Some(limits::ROW_GROUP_ROWS_MAX))
        .build()
}

fn refused(fault: ObjectFault) -> SqlError {
    let sqlstate = match fault.kind {
        Kind::Missing => "3F000",
        Kind::Invalid => "42501",
        _ => "58030",
    };
    sql_error(fault.kind, sqlstate, fault.message, fault.help)
}

fn failed(error: &anyhow::Error) -> SqlError {
    let message = format!("the file cannot be written: {error:#}");
    sql_error(Kind::Unavailable, "58030", message, None)
}

/// Makes an error of the wire.
pub(crate) fn sql_error(
    kind: Kind,
    sqlstate: &'static str,
    message: String,
    help: Option<String>,
) -> SqlError {
    SqlError { kind, sqlstate, message, range: None, help }
}
