//! Tests of `partition`: which value a row's file has.

use std::sync::Arc;

use arrow::array::{StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::Field;

use super::*;

fn batch(moments: Vec<Option<i64>>, regions: Vec<Option<&str>>) -> RecordBatch {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let schema = Schema::new(vec![
        Field::new("ts", utc, true),
        Field::new("region", DataType::Utf8View, true),
        Field::new("_day", DataType::Boolean, true),
    ]);
    let moments = TimestampMicrosecondArray::from(moments).with_timezone("UTC");
    let rows = moments.len();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(moments),
        Arc::new(StringViewArray::from(regions)),
        arrow::array::new_null_array(&DataType::Boolean, rows),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

fn values(unit: Option<PartitionUnit>, column: &str, batch: &RecordBatch) -> Vec<(String, usize)> {
    let partition = Partition { column: column.to_owned(), unit };
    let split = Split::new(&partition, batch.schema_ref()).unwrap();
    let parts = split.apply(std::slice::from_ref(batch)).unwrap();
    let rows = |it: &[RecordBatch]| it.iter().map(RecordBatch::num_rows).sum();
    let null = || "null".to_owned();
    parts.iter().map(|(value, part)| (value.clone().unwrap_or_else(null), rows(part))).collect()
}

#[test]
fn times_are_told_apart_by_their_part() {
    let moments = vec![
        Some(1_767_607_200_000_000), // 2026-01-05 10:00
        Some(1_767_607_200_000_000 + HOUR_US),
        Some(-1), // the last of 1969
        None,
        Some(0),
    ];
    let batch = batch(moments, vec![None; 5]);
    let of = |unit| {
        let values = values(Some(unit), "ts", &batch);
        let values = values.into_iter().map(|(value, rows)| format!("{value}:{rows}"));
        values.collect::<Vec<_>>().join(" ")
    };
    let days = "null:1 1969-12-31:1 1970-01-01:1 2026-01-05:2";
    assert_eq!(of(PartitionUnit::Day), days);
    let hours = "null:1 1969-12-31T23:1 1970-01-01T00:1 2026-01-05T10:1 2026-01-05T11:1";
    assert_eq!(of(PartitionUnit::Hour), hours);
    assert_eq!(of(PartitionUnit::Month), "null:1 1969-12:1 1970-01:1 2026-01:2");
    assert_eq!(of(PartitionUnit::Year), "null:1 1969:1 1970:1 2026:2");
}

#[test]
fn an_empty_text_shares_the_file_of_null() {
    let regions = vec![Some("FR"), Some(""), None, Some("FR")];
    let batch = batch(vec![None; 4], regions);
    let values = values(None, "region", &batch);
    assert_eq!(values, [("null".to_owned(), 2), ("FR".to_owned(), 2)]);
}

#[test]
fn the_made_column_has_a_name_of_its_own() {
    let batch = batch(vec![], vec![]);
    let day = Partition { column: "ts".to_owned(), unit: Some(PartitionUnit::Day) };
    let split = Split::new(&day, batch.schema_ref()).unwrap();
    assert_eq!((split.name.as_str(), split.declared.as_str()), ("__day", "day(ts)"));
    let wrong = Partition { column: "region".to_owned(), unit: Some(PartitionUnit::Day) };
    let error = Split::new(&wrong, batch.schema_ref()).unwrap_err();
    assert!(error.contains("write `partition = \"region\"`"), "{error}");
    let wrong = Partition { column: "regio".to_owned(), unit: None };
    assert!(Split::new(&wrong, batch.schema_ref()).unwrap_err().contains("no column"));
}

proptest::proptest! {
    #[test]
    fn any_value_makes_a_safe_folder(value in ".*") {
        let folder = folder("_region", Some(&value));
        let is_safe = |it: char| it.is_ascii_alphanumeric() || "_.-=".contains(it);
        proptest::prop_assert!(folder.chars().all(is_safe) && folder.len() < 80);
    }
}
