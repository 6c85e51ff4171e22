//! Schemas and casts.

use arrow::array::{
    DictionaryArray, Float32Array, Int64Array, ListArray, StringArray, StringViewArray,
    TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{Int32Type, IntervalUnit};
use expect_test::expect;

use super::*;
use crate::bench::{column, stream};

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

#[test]
fn a_stream_has_its_columns_then_the_places() {
    let columns = vec![
        column("id", ColumnType::Text, true),
        column("total", ColumnType::Decimal { precision: 12, scale: 2 }, false),
    ];
    let schema = of_stream(&stream(spec::Format::Json, columns));
    let shown: Vec<_> = schema
        .fields()
        .iter()
        .map(|it| format!("{} {} {}", it.name(), it.data_type(), it.is_nullable()))
        .collect();
    expect![[r#"
        id Utf8View false
        total Decimal128(12, 2) true
        _shard Int64 false
        _sequence Int64 false
        _arrived Timestamp(µs, "UTC") false"#]]
    .assert_eq(&shown.join("\n"));
}

#[test]
fn every_schema_comes_to_our_types_and_its_rows_with_it() {
    let dictionary: DictionaryArray<Int32Type> = ["a", "b", "a"].into_iter().collect();
    let nanos = TimestampNanosecondArray::from(vec![Some(1_500), None, Some(-2_000)]);
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
    ]);
    let source = batch(vec![
        ("dictionary", Arc::new(dictionary)),
        ("text", Arc::new(StringArray::from(vec!["x", "y", "z"]))),
        ("local", Arc::new(nanos.clone())),
        ("zoned", Arc::new(nanos.clone().with_timezone("+02:00"))),
        ("named", Arc::new(nanos.with_timezone("Europe/Paris"))),
        ("unsigned", Arc::new(UInt64Array::from(vec![1, 2, 3]))),
        ("float", Arc::new(Float32Array::from(vec![0.5, 1.5, 2.5]))),
        ("list", Arc::new(list)),
    ]);
    let schema = normalize(source.schema_ref()).unwrap();
    let cast = cast(&source, &schema).unwrap();
    let shown: Vec<_> = schema.fields().iter().map(|it| it.data_type().to_string()).collect();
    expect![[r#"
        Utf8View
        Utf8View
        Timestamp(µs, "UTC")
        Timestamp(µs, "UTC")
        Timestamp(µs, "UTC")
        Int64
        Float64
        List(Int64)"#]]
    .assert_eq(&shown.join("\n"));
    expect![[r#"
        {"dictionary":"a","text":"x","local":"1970-01-01T00:00:00.000001Z","zoned":"1970-01-01T00:00:00.000001Z","named":"1970-01-01T00:00:00.000001Z","unsigned":1,"float":0.5,"list":[1,null]}
        {"dictionary":"b","text":"y","local":null,"zoned":null,"named":null,"unsigned":2,"float":1.5,"list":null}
        {"dictionary":"a","text":"z","local":"1969-12-31T23:59:59.999998Z","zoned":"1969-12-31T23:59:59.999998Z","named":"1969-12-31T23:59:59.999998Z","unsigned":3,"float":2.5,"list":[]}"#]].assert_eq(&crate::json::lines(&cast).join("\n"));
    assert_eq!(normalize(&schema).unwrap(), schema, "our types stay as they are");
    assert_eq!(super::cast(&cast, &schema).unwrap(), cast);
}

#[test]
fn a_value_that_does_not_fit_is_an_error_and_never_null() {
    let source = batch(vec![("n", Arc::new(UInt64Array::from(vec![u64::MAX])))]);
    let schema = normalize(source.schema_ref()).unwrap();
    let error = cast(&source, &schema).unwrap_err();
    assert!(error.to_string().starts_with("column `n`: "), "{error}");
    let text = batch(vec![("n", Arc::new(StringViewArray::from(vec!["1x"])))]);
    assert!(cast(&text, &schema).is_err());
    let none = batch(vec![("n", Arc::new(Int64Array::from(vec![None])))]);
    let strict = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let error = cast(&none, &strict).unwrap_err();
    assert_eq!(error.to_string(), "column `n`: is null, but the column is declared `not null`");
    assert!(matches!(cast(&none, &of_dead()), Err(SchemaError::Columns { expected: 9, found: 1 })));
}

#[test]
fn a_type_without_a_place_is_named_with_its_column_and_the_way_out() {
    for kind in [
        DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Time64(TimeUnit::Nanosecond),
        DataType::Decimal256(50, 2),
    ] {
        let schema = Schema::new(vec![Field::new("odd", kind, true)]);
        let message = normalize(&schema).unwrap_err().to_string();
        assert!(message.starts_with("column `odd` has the type "), "{message}");
    }
}

#[test]
fn a_batch_without_columns_keeps_its_rows() {
    let empty = Arc::new(Schema::empty());
    let options = RecordBatchOptions::new().with_row_count(Some(3));
    let source = RecordBatch::try_new_with_options(Arc::clone(&empty), vec![], &options).unwrap();
    assert_eq!(cast(&source, &empty).unwrap().num_rows(), 3);
}
