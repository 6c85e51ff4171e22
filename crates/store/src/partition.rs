//! Which rows share a file: the table's partition column, made from a declared one.
//!
//! The declared column stays in the files as it is, because Delta cannot tell an empty text from
//! null in a partition column. The column made for it begins with `_` and is hidden from SQL here.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{DatePart, cast, date_part, take_record_batch};
use arrow::datatypes::{
    DataType, Date32Type, Int32Type, Schema, TimeUnit, TimestampMicrosecondType,
};
use spec::PartitionUnit;

use crate::layout::Partition;

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// How the rows of a table are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Split {
    /// The column that is made, as it stands in the log.
    pub(crate) name: String,
    /// The declaration, as it is written in a project.
    pub(crate) declared: String,
    partition: Partition,
}

impl Split {
    /// Makes it, if the table's columns allow it.
    pub(crate) fn new(partition: &Partition, schema: &Schema) -> Result<Split, String> {
        let column = &partition.column;
        let field = schema.field_with_name(column).map_err(|_unknown| {
            format!("it is partitioned by `{column}`, which is no column of it")
        })?;
        let is_time = matches!(
            field.data_type(),
            DataType::Timestamp(TimeUnit::Microsecond, _) | DataType::Date32
        );
        if partition.unit.is_some() && !is_time {
            return Err(format!(
                "it is partitioned by a part of the time `{column}`, which is {}; write \
                 `partition = \"{column}\"`",
                field.data_type(),
            ));
        }
        if field.data_type().is_nested() || matches!(field.data_type(), DataType::BinaryView) {
            return Err(format!("it cannot be partitioned by `{column}`; choose a simple column"));
        }
        let made_of = match partition.unit {
            Some(unit) => word(unit),
            None => column,
        };
        let mut name = format!("_{made_of}");
        while schema.index_of(&name).is_ok() {
            name.insert(0, '_');
        }
        let declared = match partition.unit {
            Some(unit) => format!("{}({column})", word(unit)),
            None => column.clone(),
        };
        Ok(Split { name, declared, partition: partition.clone() })
    }

    /// Returns the made column's type in the log.
    pub(crate) fn delta_type(&self) -> &'static str {
        match self.partition.unit {
            Some(PartitionUnit::Day) => "date",
            Some(PartitionUnit::Year) => "integer",
            Some(PartitionUnit::Hour | PartitionUnit::Month) | None => "string",
        }
    }

    /// Returns the rows by the value of the made column.
    pub(crate) fn apply(
        &self,
        batches: &[RecordBatch],
    ) -> Result<BTreeMap<Option<String>, Vec<RecordBatch>>, String> {
        let mut parts: BTreeMap<Option<String>, Vec<RecordBatch>> = BTreeMap::new();
        for batch in batches.iter().filter(|it| 0 < it.num_rows()) {
            for (value, part) in self.apply_to(batch)? {
                parts.entry(value).or_default().push(part);
            }
        }
        Ok(parts)
    }

    fn apply_to(&self, batch: &RecordBatch) -> Result<Vec<(Option<String>, RecordBatch)>, String> {
        let column = batch.column_by_name(&self.partition.column);
        let column =
            column.ok_or_else(|| format!("column `{}` is missing", self.partition.column))?;
        let wrong = |error: arrow::error::ArrowError| error.to_string();
        let groups = match self.partition.unit {
            Some(unit) => group(&buckets(column, unit).map_err(wrong)?, |it| text_of(it, unit)),
            None => {
                let texts = cast(column, &DataType::Utf8).map_err(wrong)?;
                group_texts(texts.as_string())
            }
        };
        if let [(value, _)] = groups.as_slice() {
            return Ok(vec![(value.clone(), batch.clone())]);
        }
        let taken = groups.into_iter().map(|(value, rows)| {
            let part = take_record_batch(batch, &UInt32Array::from(rows)).map_err(wrong)?;
            Ok((value, part))
        });
        taken.collect()
    }
}

/// Returns the folder of a value: readable, safe in any file system, not necessarily its own.
pub(crate) fn folder(name: &str, value: Option<&str>) -> String {
    let Some(value) = value else { return format!("{name}=__HIVE_DEFAULT_PARTITION__") };
    let safe = value.chars().take(64);
    let safe =
        safe.map(|it| if it.is_ascii_alphanumeric() || "_.-".contains(it) { it } else { '-' });
    format!(
        "{}={}",
        name.replace(|it: char| !it.is_ascii_alphanumeric(), "_"),
        safe.collect::<String>()
    )
}

fn word(unit: PartitionUnit) -> &'static str {
    match unit {
        PartitionUnit::Hour => "hour",
        PartitionUnit::Day => "day",
        PartitionUnit::Month => "month",
        PartitionUnit::Year => "year",
    }
}

/// Returns per row the number of its hour, day, month or year.
fn buckets(column: &ArrayRef, unit: PartitionUnit) -> Result<Int64Array, arrow::error::ArrowError> {
    let zoneless = DataType::Timestamp(TimeUnit::Microsecond, None);
    let moments = match column.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let moments = column.as_primitive::<TimestampMicrosecondType>().clone();
            std::sync::Arc::new(moments.with_timezone_opt(None::<&str>)) as ArrayRef
        }
        _ => cast(column, &zoneless)?,
    };
    let whole = |part| -> Result<Int64Array, arrow::error::ArrowError> {
        let part = date_part(&moments, part)?;
        Ok(part.as_primitive::<Int32Type>().unary(i64::from))
    };
    let moments_us = moments.as_primitive::<TimestampMicrosecondType>();
    Ok(match unit {
        PartitionUnit::Hour => moments_us.unary(|it| it.div_euclid(HOUR_US)),
        PartitionUnit::Day => moments_us.unary(|it| it.div_euclid(DAY_US)),
        PartitionUnit::Month => {
            let (years, months) = (whole(DatePart::Year)?, whole(DatePart::Month)?);
            arrow::compute::binary(&years, &months, |year, month| year * 12 + month - 1)?
        }
        PartitionUnit::Year => whole(DatePart::Year)?,
    })
}

fn text_of(bucket: i64, unit: PartitionUnit) -> Option<String> {
    let day = |days: i64| {
        let days = i32::try_from(days).ok()?;
        let date = arrow::array::PrimitiveArray::<Date32Type>::from(vec![days]);
        let text = cast(&date, &DataType::Utf8).ok()?;
        text.is_valid(0).then(|| text.as_string::<i32>().value(0).to_owned())
    };
    match unit {
        PartitionUnit::Hour => {
            Some(format!("{}T{:02}", day(bucket.div_euclid(24))?, bucket.rem_euclid(24)))
        }
        PartitionUnit::Day => day(bucket),
        PartitionUnit::Month => {
            Some(format!("{:04}-{:02}", bucket.div_euclid(12), bucket.rem_euclid(12) + 1))
        }
        PartitionUnit::Year => Some(bucket.to_string()),
    }
}

/// Returns the rows of each bucket, in order.
fn group(
    buckets: &Int64Array,
    text: impl Fn(i64) -> Option<String>,
) -> Vec<(Option<String>, Vec<u32>)> {
    let mut rows: BTreeMap<Option<i64>, Vec<u32>> = BTreeMap::new();
    for (row, bucket) in (0_u32..).zip(buckets.iter()) {
        rows.entry(bucket).or_default().push(row);
    }
    rows.into_iter().map(|(bucket, rows)| (bucket.and_then(&text), rows)).collect()
}

fn group_texts(texts: &StringArray) -> Vec<(Option<String>, Vec<u32>)> {
    let mut rows: HashMap<Option<&str>, Vec<u32>> = HashMap::new();
    for (row, text) in (0_u32..).zip(texts.iter()) {
        // An empty text means null in Delta's log.
        rows.entry(text.filter(|it| !it.is_empty())).or_default().push(row);
    }
    rows.into_iter().map(|(text, rows)| (text.map(str::to_owned), rows)).collect()
}

#[cfg(test)]
mod tests;
