//! Rows of formats that have types: cast to the declared ones, exactly or not at all.

use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ::arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, StringViewArray};
use ::arrow::compute::{CastOptions, cast_with_options, filter_record_batch};
use ::arrow::datatypes::DataType;
use ::arrow::ipc::reader::{FileReader, StreamReader};
use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow_avro::reader::ReaderBuilder;
use base::limits;
use bytes::Bytes;
use orc_rust::ArrowReaderBuilder;
use spec::ColumnType;

use crate::files::read::{BATCH_ROWS, Builder, ReadColumn, ReadError, Reject, RowSource};
use crate::files::{Chunks, Compression, Cursor, GAVE_UP, Source, TableFormat};
use crate::{json, schema};

type Found = Box<dyn Iterator<Item = Result<RecordBatch, String>> + Send>;

pub(super) struct Batches {
    found: Found,
}

impl Batches {
    pub(super) fn open(
        source: &Arc<dyn Source>,
        compression: Option<Compression>,
        format: &TableFormat,
    ) -> Result<Batches, ReadError> {
        let source = match compression {
            Some(compression) => inflated(source, compression)?,
            None => Arc::clone(source),
        };
        let found = catch_unwind(AssertUnwindSafe(|| open(&source, format)))
            .map_err(|_panic| ReadError::Damaged(GAVE_UP.to_owned()))?
            .map_err(ReadError::Damaged)?;
        Ok(Batches { found })
    }
}

/// Inflates a file whose format is read from its end.
fn inflated(
    source: &Arc<dyn Source>,
    compression: Compression,
) -> Result<Arc<dyn Source>, ReadError> {
    let most = limits::CRAWL_INFLATED_BYTES_MAX;
    let mut bytes = Vec::new();
    compression
        .reader(Cursor::new(Arc::clone(source)))?
        .take(most as u64 + 1)
        .read_to_end(&mut bytes)?;
    if most < bytes.len() {
        let most = base::ByteSize(most as u64);
        return Err(ReadError::Damaged(format!("more than {most} after inflating it")));
    }
    Ok(Arc::new(Bytes::from(bytes)))
}

fn open(source: &Arc<dyn Source>, format: &TableFormat) -> Result<Found, String> {
    let cursor = || Cursor::new(Arc::clone(source));
    Ok(match format {
        TableFormat::Parquet => {
            let builder = ParquetRecordBatchReaderBuilder::try_new(Chunks(Arc::clone(source)))
                .map_err(|error| error.to_string())?;
            let reader =
                builder.with_batch_size(BATCH_ROWS).build().map_err(|error| error.to_string())?;
            Box::new(reader.map(|it| it.map_err(|error| error.to_string())))
        }
        TableFormat::Orc => {
            let reader = ArrowReaderBuilder::try_new(Chunks(Arc::clone(source)))
                .map_err(|error| error.to_string())?
                .with_batch_size(BATCH_ROWS)
                .build();
            Box::new(reader.map(|it| it.map_err(|error| error.to_string())))
        }
        TableFormat::Avro => {
            let reader = ReaderBuilder::new()
                .with_batch_size(BATCH_ROWS)
                .build(cursor())
                .map_err(|error| error.to_string())?;
            Box::new(reader.map(|it| it.map_err(|error| error.to_string())))
        }
        _ => match FileReader::try_new(cursor(), None) {
            Ok(reader) => Box::new(reader.map(|it| it.map_err(|error| error.to_string()))),
            Err(_no_file) => {
                let reader =
                    StreamReader::try_new(cursor(), None).map_err(|error| error.to_string())?;
                Box::new(reader.map(|it| it.map_err(|error| error.to_string())))
            }
        },
    })
}

impl RowSource for Batches {
    fn fill(&mut self, to: &mut Builder) -> Result<bool, ReadError> {
        let next = catch_unwind(AssertUnwindSafe(|| self.found.next()));
        let next = next.map_err(|_panic| ReadError::Damaged(GAVE_UP.to_owned()))?;
        let Some(batch) = next else { return Ok(false) };
        let batch = batch.map_err(ReadError::Damaged)?;
        let (rows, rejects) = convert(&batch, to).map_err(ReadError::Damaged)?;
        to.seen += batch.num_rows() as u64;
        to.batch(rows, rejects);
        Ok(true)
    }
}

fn convert(batch: &RecordBatch, to: &Builder) -> Result<(RecordBatch, Vec<Reject>), String> {
    let mut arrays = Vec::with_capacity(to.said.len());
    let mut faults: Vec<Option<String>> = vec![None; batch.num_rows()];
    for said in &to.said {
        let array = match batch.column_by_name(&said.name) {
            Some(array) => column(array, said, &mut faults)?,
            None => {
                ::arrow::array::new_null_array(&schema::arrow_type(&said.kind), batch.num_rows())
            }
        };
        if said.not_null {
            for (row, fault) in faults.iter_mut().enumerate() {
                if array.is_null(row) && fault.is_none() {
                    *fault = Some(format!(
                        "column `{}`: expected {}, found nothing; the column is declared `not null`",
                        said.name, said.kind
                    ));
                }
            }
        }
        arrays.push(array);
    }
    let open = ::arrow::datatypes::Schema::new(
        to.schema
            .fields()
            .iter()
            .map(|it| it.as_ref().clone().with_nullable(true))
            .collect::<Vec<_>>(),
    );
    let rows = RecordBatch::try_new(Arc::new(open), arrays).map_err(|error| error.to_string())?;
    let good: BooleanArray = faults.iter().map(|it| Some(it.is_none())).collect();
    let rows = filter_record_batch(&rows, &good).map_err(|error| error.to_string())?;
    let rows = RecordBatch::try_new(Arc::clone(&to.schema), rows.columns().to_vec())
        .map_err(|error| error.to_string())?;
    let mut rejects = Vec::new();
    for (row, fault) in faults.into_iter().enumerate() {
        let Some(message) = fault else { continue };
        let mut text = String::new();
        json::write_lines(&batch.slice(row, 1), &mut text);
        let text = text.trim_end().to_owned();
        rejects.push(Reject {
            row: to.seen + row as u64 + 1,
            fields: Some(text.clone()),
            text,
            message,
        });
    }
    Ok((rows, rejects))
}

/// Casts a column; a value that is not exactly of the type is a fault of its row.
fn column(
    array: &ArrayRef,
    said: &ReadColumn,
    faults: &mut [Option<String>],
) -> Result<ArrayRef, String> {
    if said.kind == ColumnType::Json {
        let texts = (0..array.len()).map(|row| {
            (!array.is_null(row)).then(|| {
                let mut text = String::new();
                json::write_value(array, row, &mut text);
                text
            })
        });
        return Ok(Arc::new(texts.collect::<StringViewArray>()));
    }
    let wanted = schema::arrow_type(&said.kind);
    if *array.data_type() == wanted {
        return Ok(Arc::clone(array));
    }
    let options = CastOptions { safe: true, ..CastOptions::default() };
    let plain: ArrayRef = match array.data_type() {
        // What is written in words is read as records are, and in its form.
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
            cast_with_options(array, &DataType::Utf8View, &options)
                .map_err(|error| error.to_string())?
        }
        _ => Arc::clone(array),
    };
    let cast = cast_with_options(&plain, &wanted, &options).map_err(|error| {
        format!(
            "column `{}` is {} and cannot be {}: {error}",
            said.name,
            array.data_type(),
            said.kind
        )
    })?;
    for (row, fault) in faults.iter_mut().enumerate() {
        if cast.is_null(row) && !array.is_null(row) && fault.is_none() {
            let mut text = String::new();
            json::write_value(array, row, &mut text);
            *fault = Some(format!("column `{}`: expected {}, found {text}", said.name, said.kind));
        }
    }
    Ok(cast)
}
