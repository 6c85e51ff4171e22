//! Tests of `statistics`: bounds survive the log exactly, and any text is read or refused.

use std::sync::Arc;

use arrow::array::{
    BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, TimeUnit};
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;

use super::*;

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("int", DataType::Int64, true),
        Field::new("money", DataType::Decimal128(38, 2), true),
        Field::new("ts", utc(), true),
        Field::new("text \"x\"", DataType::Utf8View, true),
        Field::new("float", DataType::Float64, true),
        Field::new("date", DataType::Date32, true),
        Field::new("bool", DataType::Boolean, true),
    ]))
}

fn facts_of(rows: &[(Option<i64>, Option<String>)]) -> FileFacts {
    let schema = schema();
    let ints: Int64Array = rows.iter().map(|it| it.0).collect();
    let money: Decimal128Array = rows.iter().map(|it| it.0.map(i128::from)).collect();
    // Years that text can say; Delta keeps bounds as text.
    let times: TimestampMicrosecondArray = rows.iter().map(|it| it.0.map(|it| it >> 8)).collect();
    let dates: Date32Array =
        rows.iter().map(|it| it.0.and_then(|it| i32::try_from(it >> 44).ok())).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(ints),
        Arc::new(money.with_precision_and_scale(38, 2).unwrap()),
        Arc::new(times.with_timezone("UTC")),
        Arc::new(rows.iter().map(|it| it.1.as_deref()).collect::<StringViewArray>()),
        Arc::new(rows.iter().map(|it| it.0.map(|it| it as f64)).collect::<Float64Array>()),
        Arc::new(dates),
        Arc::new(rows.iter().map(|it| it.0.map(|it| it > 0)).collect::<BooleanArray>()),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), None).unwrap();
    writer.write(&batch).unwrap();
    FileFacts::of_parquet(&writer.finish().unwrap(), &schema)
}

proptest! {
    #[test]
    fn bounds_survive_the_log(
        rows in prop::collection::vec((any::<Option<i64>>(), any::<Option<String>>()), 0..20),
    ) {
        let facts = facts_of(&rows);
        let text = facts.to_json(&schema());
        let read = FileFacts::from_json(&text, &schema()).unwrap();
        let ints: Vec<i64> = rows.iter().filter_map(|it| it.0).collect();
        prop_assert_eq!(read.rows, rows.len() as u64);
        if !rows.is_empty() {
            prop_assert_eq!(read.columns[0].nulls, Some((rows.len() - ints.len()) as u64));
        }
        // Flags have no bounds in the log; the widest floats may be too wide for the format.
        for index in [0, 1, 2, 3, 5] {
            prop_assert_eq!(&read.columns[index], &facts.columns[index], "{}", text);
        }
        let least = ints.iter().min().map(|it| ScalarValue::Int64(Some(*it)));
        prop_assert_eq!(&read.columns[0].min, &least);
        let most = ints.iter().max().map(|it| ScalarValue::Decimal128(Some(i128::from(*it)), 38, 2));
        prop_assert_eq!(&read.columns[1].max, &most);
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".*", value in "[-\"0-9a-zA-Z:.]{0,12}") {
        drop(FileFacts::from_json(&text, &schema()));
        let members = ["int", "money", "ts", "float", "date", "bool"];
        let members = members.map(|it| format!("\"{it}\":{value}")).join(",");
        let text = format!("{{\"numRecords\":1,\"minValues\":{{{members}}}}}");
        drop(FileFacts::from_json(&text, &schema()));
    }
}

#[test]
fn what_others_write_is_understood() {
    let text = r#"{"numRecords":7,"minValues":{"int":-1,"money":1.50,"ts":"2026-01-05T10:00:00.123Z",
        "date":"2026-01-05","unknown":{"x":1}},"maxValues":{"money":"2.25"},"nullCount":{"int":3}}"#;
    let facts = FileFacts::from_json(text, &schema()).unwrap();
    assert_eq!(facts.columns[0].min, Some(ScalarValue::Int64(Some(-1))));
    assert_eq!(facts.columns[0].nulls, Some(3));
    assert_eq!(facts.columns[1].min, Some(ScalarValue::Decimal128(Some(150), 38, 2)));
    assert_eq!(facts.columns[1].max, Some(ScalarValue::Decimal128(Some(225), 38, 2)));
    let ScalarValue::TimestampMicrosecond(Some(ts), _) = facts.columns[2].min.clone().unwrap()
    else {
        panic!("a timestamp")
    };
    assert_eq!(ts, 1_767_607_200_123_000);
}

#[test]
fn only_bounds_that_occur_are_exact_for_the_planner() {
    let facts = facts_of(&[(Some(1), Some("a".to_owned())), (Some(2), Some("b".repeat(100)))]);
    let planner = facts.to_planner(5);
    assert_eq!(planner.column_statistics.len(), 5);
    assert!(matches!(planner.column_statistics[0].max_value, Precision::Exact(_)));
    assert!(matches!(planner.column_statistics[3].max_value, Precision::Inexact(_)));
    assert!(matches!(planner.column_statistics[4].max_value, Precision::Inexact(_)));
}
