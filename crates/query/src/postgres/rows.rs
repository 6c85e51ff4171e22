//! Rows on their way to a PostgreSQL client: of a query under way, or of a cursor.

use std::io;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use datafusion_postgres::arrow_pg::datatypes::arrow_schema_to_pg_fields;
use datafusion_postgres::arrow_pg::row_encoder::RowEncoder;
use futures::StreamExt;
use pgwire::api::portal::Format;
use pgwire::api::results::FieldInfo;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::data::{FieldDescription, RowDescription};

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
