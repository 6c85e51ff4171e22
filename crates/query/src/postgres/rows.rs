//! Rows on their way to a PostgreSQL client: of a query under way, or of a cursor.

use std::io;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_postgres::arrow_pg::datatypes::arrow_schema_to_pg_fields;
use datafusion_postgres::arrow_pg::row_encoder::RowEncoder;
use futures::StreamExt;
use pgwire::api::portal::Format;
use pgwire::api::results::FieldInfo;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::copy::{CopyData, CopyDone, CopyOutResponse};
use pgwire::messages::data::{FieldDescription, RowDescription};

use super::copy::{BINARY_END, BINARY_HEAD, CopyForm, CopyKind};
use super::output::Output;
use crate::error::SqlError;
use crate::words;

/// Rows that were asked for and not yet sent.
pub(super) struct Rows {
    sql: String,
    schema: SchemaRef,
    stream: SendableRecordBatchStream,
    rest: Option<RecordBatch>,
}

/// How sending ended.
pub(super) struct Sent {
    pub(super) rows: usize,
    pub(super) is_end: bool,
}

/// What ended a statement early: a fault of the statement, or of the connection.
pub(super) enum Failure {
    Sql(SqlError),
    Connection(io::Error),
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Failure {
        Failure::Sql(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Connection(error)
    }
}

impl Rows {
    pub(super) fn new(sql: String, stream: SendableRecordBatchStream) -> Rows {
        Rows { sql, schema: stream.schema(), stream, rest: None }
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Sends at most `rows_max` rows; 0 is all.
    pub(super) async fn send(
        &mut self,
        format: &Format,
        rows_max: usize,
        output: &mut Output,
    ) -> Result<Sent, Failure> {
        let fields = Arc::new(fields(&self.schema, format)?);
        let mut sent = 0;
        loop {
            let batch = match self.rest.take() {
                Some(batch) => batch,
                None => match self.stream.next().await {
                    None => return Ok(Sent { rows: sent, is_end: true }),
                    Some(batch) => batch.map_err(|error| words::of(&self.sql, &error))?,
                },
            };
            let wanted = if rows_max == 0 { batch.num_rows() } else { rows_max - sent };
            let now = wanted.min(batch.num_rows());
            if now < batch.num_rows() {
                self.rest = Some(batch.slice(now, batch.num_rows() - now));
            }
            let mut encoder = RowEncoder::new(batch.slice(0, now), Arc::clone(&fields));
            while let Some(row) = encoder.next_row() {
                let row = row.map_err(|error| unwritable(&error.to_string()))?;
                output.push(&PgWireBackendMessage::DataRow(row))?;
                output.make_room().await?;
            }
            sent += now;
            if rows_max != 0 && sent == rows_max {
                return Ok(Sent { rows: sent, is_end: false });
            }
        }
    }
}

impl Rows {
    /// Returns the rows that were not sent yet.
    pub(super) fn into_stream(self) -> SendableRecordBatchStream {
        self.stream
    }

    /// Sends all rows as a copy; returns how many.
    pub(super) async fn copy(
        &mut self,
        form: &CopyForm,
        output: &mut Output,
    ) -> Result<usize, Failure> {
        let is_binary = form.kind == CopyKind::Binary;
        let format = if is_binary { Format::UnifiedBinary } else { Format::UnifiedText };
        let fields = Arc::new(fields(&self.schema, &format)?);
        let schema = Arc::clone(&self.schema);
        let names: Vec<&str> = schema.fields().iter().map(|it| it.name().as_str()).collect();
        let forced = form.forced(&names)?;
        let code = i16::from(is_binary);
        let columns = i16::try_from(names.len()).unwrap_or(i16::MAX);
        let begin = CopyOutResponse::new(i8::from(is_binary), columns, vec![code; names.len()]);
        output.push(&PgWireBackendMessage::CopyOutResponse(begin))?;
        let part = |bytes: Vec<u8>| PgWireBackendMessage::CopyData(CopyData::new(bytes.into()));
        if let Some(header) = form.header(&names) {
            output.push(&part(header))?;
        }
        // Clients look for it in front of the first row.
        let mut head = if is_binary { BINARY_HEAD.to_vec() } else { Vec::new() };
        let mut sent = 0;
        while let Some(batch) = self.stream.next().await {
            let batch = batch.map_err(|error| words::of(&self.sql, &error))?;
            let mut encoder = RowEncoder::new(batch, Arc::clone(&fields));
            while let Some(row) = encoder.next_row() {
                let row = row.map_err(|error| unwritable(&error.to_string()))?;
                let mut line = std::mem::take(&mut head);
                line.extend(form.row(&row, &forced)?);
                output.push(&part(line))?;
                output.make_room().await?;
                sent += 1;
            }
        }
        if is_binary {
            head.extend(BINARY_END);
            output.push(&part(head))?;
        }
        output.push(&PgWireBackendMessage::CopyDone(CopyDone::new()))?;
        Ok(sent)
    }
}

/// Returns the columns as PostgreSQL describes them.
pub(super) fn fields(schema: &Schema, format: &Format) -> Result<Vec<FieldInfo>, SqlError> {
    arrow_schema_to_pg_fields(schema, format, None).map_err(|error| unwritable(&error.to_string()))
}

fn unwritable(error: &str) -> SqlError {
    SqlError::invalid("0A000", format!("a value cannot be written for PostgreSQL: {error}"))
        .with_help("cast the column to text")
}

/// Returns the message that describes columns.
pub(super) fn description(fields: &[FieldInfo]) -> PgWireBackendMessage {
    let fields: Vec<FieldDescription> = fields.iter().map(FieldDescription::from).collect();
    PgWireBackendMessage::RowDescription(RowDescription::new(fields))
}

pub(super) fn same_columns(left: &Schema, right: &Schema) -> bool {
    let columns = |schema: &Schema| {
        let fields = schema.fields().iter();
        fields.map(|it| (it.name().clone(), it.data_type().clone())).collect::<Vec<_>>()
    };
    columns(left) == columns(right)
}

pub(super) fn format_of(codes: &[i16], columns: usize) -> Result<Format, SqlError> {
    match codes {
        [] => Ok(Format::UnifiedText),
        [code] => Ok(Format::from(*code)),
        codes if codes.len() == columns => Ok(Format::Individual(codes.to_vec())),
        codes => {
            let message = format!("{} formats were asked for {columns} columns", codes.len());
            Err(SqlError::invalid("08P01", message))
        }
    }
}

pub(super) fn setting_schema(name: &str) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(name, DataType::Utf8View, false)]))
}

pub(super) fn one_value(name: &str, value: &str) -> Result<Rows, SqlError> {
    let schema = setting_schema(name);
    let column = Arc::new(StringViewArray::from(vec![value]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column])
        .map_err(|error| SqlError::invalid("XX000", error.to_string()))?;
    let stream = futures::stream::iter([Ok(batch)]);
    Ok(Rows::new(String::new(), Box::pin(RecordBatchStreamAdapter::new(schema, stream))))
}
