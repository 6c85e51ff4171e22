//! Which Arrow types our columns have, and how any other schema is brought to them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Field, Fields, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use base::{Kind, SequenceNumber};

use spec::{ColumnType, Stream};

/// The column that holds a record's shard.
pub const SHARD: &str = "_shard";
/// The column that holds a record's sequence number in its shard.
pub const SEQUENCE: &str = "_sequence";
/// The column that holds the moment at which a record was taken in.
pub const ARRIVED: &str = "_arrived";
/// The hidden column of a windowed table that tells final windows from open ones.
pub const FINAL: &str = "_final";
/// The hidden column of a table whose SELECT leaves the time of its rows out.
pub const TIME: &str = "_time";
/// Columns that `*` leaves out; a table has them last.
pub const HIDDEN: [&str; 2] = [TIME, FINAL];

/// Returns whether `*` leaves the column out.
pub fn is_hidden(column: &str) -> bool {
    HIDDEN.contains(&column)
}

/// The zone of every timestamp.
const UTC: &str = "UTC";

/// Why a schema or batch cannot be brought to our types.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A type that has no place in a table.
    #[error("column `{column}` has the type {kind}, which a table cannot hold; {fix}")]
    Unsupported {
        /// The column.
        column: String,
        /// Its type, as Arrow writes it.
        kind: String,
        /// What to write instead.
        fix: &'static str,
    },
    /// A value does not fit the column's type.
    #[error("column `{column}`: {reason}")]
    Value {
        /// The column.
        column: String,
        /// What does not fit.
        reason: String,
    },
    /// Batch and schema do not have the same columns.
    #[error("expected {expected} columns, found {found}")]
    Columns {
        /// Columns of the schema.
        expected: usize,
        /// Columns of the batch.
        found: usize,
    },
}

impl SchemaError {
    /// Returns what the caller should do.
    pub fn kind(&self) -> Kind {
        match self {
            SchemaError::Unsupported { .. } | SchemaError::Value { .. } => Kind::Invalid,
            SchemaError::Columns { .. } => Kind::Bug,
        }
    }
}

/// Returns the one type of timestamps: microseconds, UTC.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}

/// Returns the Arrow type of a declared type.
pub fn arrow_type(kind: &ColumnType) -> DataType {
    match kind {
        ColumnType::Text | ColumnType::Json => DataType::Utf8View,
        ColumnType::Int => DataType::Int64,
        ColumnType::Float => DataType::Float64,
        ColumnType::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale),
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Timestamp => timestamp(),
        ColumnType::Date => DataType::Date32,
        ColumnType::Bytes => DataType::BinaryView,
    }
}

/// Returns the schema of a stream's raw table: its declared columns, then [`SHARD`], [`SEQUENCE`]
/// and [`ARRIVED`].
pub fn of_stream(stream: &Stream) -> SchemaRef {
    let declared = stream
        .columns
        .iter()
        .map(|it| Field::new(it.name.to_string(), arrow_type(&it.kind), !it.not_null));
    Arc::new(Schema::new(declared.chain(place_fields()).collect::<Vec<_>>()))
}

/// Returns the schema of every table of dead letters.
pub fn of_dead() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8View, nullable);
    let item = Arc::new(Field::new("item", DataType::Utf8View, true));
    let mut fields = vec![Field::new("bytes", DataType::BinaryView, false)];
    fields.extend(place_fields());
    fields.extend([
        text("kind", false),
        text("check", true),
        Field::new("checks", DataType::List(item), false),
        text("message", false),
        text("state", false),
    ]);
    Arc::new(Schema::new(fields))
}

fn place_fields() -> [Field; 3] {
    [
        Field::new(SHARD, DataType::Int64, false),
        Field::new(SEQUENCE, DataType::Int64, false),
        Field::new(ARRIVED, timestamp(), false),
    ]
}

/// Returns a moment in milliseconds as the value of a timestamp column.
pub fn arrived_to_micros(arrived_ms: u64) -> i64 {
    i64::try_from(arrived_ms).unwrap_or(i64::MAX).saturating_mul(1_000)
}

/// Returns a sequence number as the value of [`SEQUENCE`].
pub fn sequence_to_int(sequence: SequenceNumber) -> i64 {
    i64::try_from(sequence.0).expect("a shard never holds 2^63 records")
}

/// Returns the schema that a table has whose rows come in `schema`: every text becomes
/// `Utf8View`, every whole number `Int64`, every timestamp microseconds in UTC, and so on.
pub fn normalize(schema: &Schema) -> Result<SchemaRef, SchemaError> {
    let normalized = schema.fields().iter().map(|it| normalize_field(it, it.name()));
    Ok(Arc::new(Schema::new(normalized.collect::<Result<Fields, _>>()?)))
}

fn normalize_field(field: &Field, column: &str) -> Result<Arc<Field>, SchemaError> {
    let kind = normalize_type(field.data_type(), column)?;
    Ok(Arc::new(Field::new(field.name(), kind, field.is_nullable())))
}

fn normalize_type(kind: &DataType, column: &str) -> Result<DataType, SchemaError> {
    let unsupported = |fix| {
        Err(SchemaError::Unsupported { column: column.to_owned(), kind: kind.to_string(), fix })
    };
    Ok(match kind {
        DataType::Boolean => DataType::Boolean,
        // UInt64 has no wider signed type; its values beyond 2^63 are refused by `cast`.
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64 => DataType::Int64,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => DataType::Decimal128(*precision, *scale),
        DataType::Timestamp(..) => timestamp(),
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        // A column of nothing but NULL: text holds it and any later value.
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            DataType::Utf8View
        }
        DataType::Binary
        | DataType::LargeBinary
        | DataType::FixedSizeBinary(_)
        | DataType::BinaryView => DataType::BinaryView,
        DataType::Dictionary(_, value) => normalize_type(value, column)?,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            let item = normalize_type(item.data_type(), column)?;
            DataType::List(Arc::new(Field::new("item", item, true)))
        }
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|it| normalize_field(it, column));
            DataType::Struct(fields.collect::<Result<Fields, _>>()?)
        }
        DataType::Decimal256(..) => return unsupported("cast it to `decimal(38, s)`"),
        DataType::Time32(_) | DataType::Time64(_) => return unsupported("cast it to `text`"),
        DataType::Duration(_) | DataType::Interval(_) => {
            return unsupported("take its seconds, for example `extract(epoch FROM x)`");
        }
        DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::Map(..)
        | DataType::Union(..)
        | DataType::RunEndEncoded(..) => {
            return unsupported("cast it to `text`, or select its parts as columns");
        }
    })
}

/// Brings a batch to `schema`, column by column in order; a value that does not fit is an error,
/// never NULL. Column names are those of `schema`.
pub fn cast(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, SchemaError> {
    if batch.num_columns() != schema.fields().len() {
        let (expected, found) = (schema.fields().len(), batch.num_columns());
        return Err(SchemaError::Columns { expected, found });
    }
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        cast_array(column, field.data_type()).map_err(|error| SchemaError::Value {
            column: field.name().clone(),
            reason: error.to_string(),
        })
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    for (column, field) in columns.iter().zip(schema.fields()) {
        if !field.is_nullable() && 0 < column.logical_null_count() {
            let reason = "is null, but the column is declared `not null`".to_owned();
            return Err(SchemaError::Value { column: field.name().clone(), reason });
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| SchemaError::Value { column: String::new(), reason: error.to_string() })
}

fn cast_array(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    match (array.data_type(), to) {
        (from, to) if from == to => Ok(Arc::clone(array)),
        // Zones say how a moment is shown, not which it is; no table of zones is needed.
        (DataType::Timestamp(_, zone), DataType::Timestamp(TimeUnit::Microsecond, Some(utc))) => {
            let in_micros = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
            let micros = cast_with_options(array, &in_micros, &options)?;
            let micros = micros.as_primitive::<TimestampMicrosecondType>().clone();
            Ok(Arc::new(micros.with_timezone(Arc::clone(utc))))
        }
        _ => cast_with_options(array, to, &options),
    }
}

#[cfg(test)]
mod tests;
