//! Columns whose type the file itself says, in the types of the language.

use ::arrow::datatypes::{DataType, Field, Schema};
use spec::ColumnType;

use crate::infer::Profile;

/// Makes a profile for each column of a schema.
pub(crate) fn profiles(schema: &Schema, rows: u64) -> Vec<Profile> {
    schema.fields().iter().map(|it| profile(it, rows)).collect()
}

fn profile(field: &Field, rows: u64) -> Profile {
    let (kind, remark) = kind_of(field.data_type());
    let mut profile = Profile::declared(field.name(), kind, rows);
    profile.remark = remark.map(str::to_owned);
    profile
}

/// Returns the type of the language that holds an Arrow type, and what is to be said about it.
fn kind_of(kind: &DataType) -> (ColumnType, Option<&'static str>) {
    match kind {
        DataType::Boolean => (ColumnType::Bool, None),
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32 => (ColumnType::Int, None),
        DataType::UInt64 => {
            (ColumnType::Decimal { precision: 20, scale: 0 }, Some("64 bits unsigned"))
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => (ColumnType::Float, None),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
            if 0 <= *scale =>
        {
            (ColumnType::Decimal { precision: *precision, scale: *scale }, None)
        }
        DataType::Date32 | DataType::Date64 => (ColumnType::Date, None),
        DataType::Timestamp(_, Some(_)) => (ColumnType::Timestamp, None),
        DataType::Timestamp(_, None) => {
            (ColumnType::Timestamp, Some("without a zone, taken as UTC"))
        }
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => (ColumnType::Bytes, None),
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::ListView(_)
        | DataType::FixedSizeList(..)
        | DataType::Struct(_)
        | DataType::Map(..) => (ColumnType::Json, None),
        DataType::Dictionary(_, values) => kind_of(values),
        DataType::RunEndEncoded(_, values) => kind_of(values.data_type()),
        DataType::Time32(_) | DataType::Time64(_) => (ColumnType::Text, Some("a time of day")),
        DataType::Null => (ColumnType::Text, Some("no value at all")),
        _ => (ColumnType::Text, None),
    }
}
