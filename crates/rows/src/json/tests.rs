//! JSON of every type.

use std::sync::Arc;

use arrow::array::{
    BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, DictionaryArray,
    Float32Array, Float64Array, Int64Array, IntervalMonthDayNanoArray, ListArray, NullArray,
    StringArray, StringViewArray, StructArray, TimestampMicrosecondArray, TimestampNanosecondArray,
    UInt64Array,
};
use arrow::datatypes::{Field, Int32Type, IntervalMonthDayNano, i256};
use expect_test::expect;
use proptest::prelude::*;

use super::*;

#[test]
fn every_type_is_written_exactly() {
    let dictionary: DictionaryArray<Int32Type> = [Some("b"), None].into_iter().collect();
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        Some(vec![Some(1), None]),
        Some(vec![]),
    ]);
    let inner: ArrayRef = Arc::new(StringViewArray::from(vec![Some("x\"\n"), None]));
    let field = Arc::new(Field::new("in\"ner", DataType::Utf8View, true));
    let decimal =
        Decimal128Array::from(vec![Some(-1), None]).with_data_type(DataType::Decimal128(38, 20));
    let wide = Decimal256Array::from(vec![Some(i256::from_i128(12_345)), None])
        .with_data_type(DataType::Decimal256(50, 2));
    let interval =
        IntervalMonthDayNanoArray::from(vec![Some(IntervalMonthDayNano::new(1, 2, 3)), None]);
    let batch = RecordBatch::try_from_iter::<_, &str>(vec![
        ("null", Arc::new(NullArray::new(2)) as ArrayRef),
        ("bool", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("int", Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX]))),
        ("unsigned", Arc::new(UInt64Array::from(vec![u64::MAX, 0]))),
        ("float", Arc::new(Float64Array::from(vec![0.1, f64::NAN]))),
        ("single", Arc::new(Float32Array::from(vec![0.1, f32::INFINITY]))),
        ("decimal", Arc::new(decimal)),
        ("wide", Arc::new(wide)),
        (
            "ts",
            Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None]).with_timezone("UTC")),
        ),
        ("nanos", Arc::new(TimestampNanosecondArray::from(vec![Some(1), None]))),
        ("day", Arc::new(Date32Array::from(vec![Some(-1), None]))),
        ("text", Arc::new(StringArray::from(vec![Some("é\u{1}\\"), None]))),
        (
            "bytes",
            Arc::new(BinaryViewArray::from(vec![Some(b"text".as_slice()), Some(b"\xff\x00")])),
        ),
        ("dictionary", Arc::new(dictionary)),
        ("list", Arc::new(list)),
        ("struct", Arc::new(StructArray::from(vec![(field, inner)]))),
        ("interval", Arc::new(interval)),
    ])
    .unwrap();
    let lines = lines(&batch);
    for line in &lines {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
    expect![[r#"
        {"null":null,"bool":true,"int":-9223372036854775808,"unsigned":18446744073709551615,"float":0.1,"single":0.1,"decimal":-0.00000000000000000001,"wide":123.45,"ts":"1969-12-31T23:59:59.999999Z","nanos":"1970-01-01T00:00:00.000000001Z","day":"1969-12-31","text":"é\u0001\\","bytes":"text","dictionary":"b","list":[1,null],"struct":{"in\"ner":"x\"\n"},"interval":"1 mons 2 days 0.000000003 secs"}
        {"null":null,"bool":null,"int":9223372036854775807,"unsigned":0,"float":null,"single":null,"decimal":null,"wide":null,"ts":null,"nanos":null,"day":null,"text":null,"bytes":"/wA=","dictionary":null,"list":[],"struct":{"in\"ner":null},"interval":null}"#]].assert_eq(&lines.join("\n"));
    let mut out = String::new();
    write_array(&[batch.slice(0, 0), batch.slice(0, 1), batch.slice(1, 1)], &mut out);
    assert_eq!(out, format!("[{}]", lines.join(",\n")));
    out.clear();
    write_values(&batch.project(&[1, 2]).unwrap(), 1, &mut out);
    assert_eq!(out, format!("[null,{}]", i64::MAX));
    assert_eq!(value(batch.column(14), 0), serde_json::json!([1, null]));
}

#[test]
fn no_rows_are_no_lines() {
    let batch = RecordBatch::new_empty(crate::schema::of_dead());
    assert!(lines(&batch).is_empty());
    let mut out = String::new();
    write_array(&[], &mut out);
    assert_eq!(out, "[]");
}

proptest! {
    #[test]
    fn floats_read_back_as_themselves(value in any::<f64>()) {
        let mut out = String::new();
        write_value(&Float64Array::from(vec![value]), 0, &mut out);
        if value.is_finite() {
            prop_assert_eq!(out.parse::<f64>().unwrap().to_bits(), value.to_bits());
        } else {
            prop_assert_eq!(out, "null");
        }
    }
}
