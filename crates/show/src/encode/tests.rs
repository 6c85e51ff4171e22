use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, StringViewArray};
use arrow::datatypes::{Field, TimeUnit};

use super::*;

fn two() -> RecordBatch {
    let money = Decimal128Array::from_iter_values([1250, i128::from(i64::MAX) * 100 + 1]);
    let money = money.with_precision_and_scale(22, 2).unwrap();
    let names: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a\"b"), None]));
    RecordBatch::try_from_iter([
        ("n", Arc::new(Int64Array::from(vec![1, i64::MIN])) as ArrayRef),
        ("name", names),
        ("money", Arc::new(money) as ArrayRef),
    ])
    .unwrap()
}

#[test]
fn rows_keep_all_their_digits() {
    let mut rows = RowsText::default();
    rows.push(&two());
    let text = serde_json::to_string(&rows).unwrap();
    let expected = r#"[[1,"a\"b",12.50],[-9223372036854775808,null,9223372036854775807.01]]"#;
    assert_eq!(text, expected);
    assert_eq!(rows.count(), 2);
}

#[test]
fn several_batches_are_one_array() {
    let mut rows = RowsText::default();
    assert_eq!(serde_json::to_string(&rows).unwrap(), "[]");
    rows.push(&two().slice(0, 1));
    rows.push(&two().slice(0, 0));
    rows.push(&two().slice(0, 1));
    assert_eq!(serde_json::to_string(&rows).unwrap(), r#"[[1,"a\"b",12.50],[1,"a\"b",12.50]]"#);
}

#[test]
fn types_are_said_in_the_words_of_the_project_files() {
    let check = |kind: DataType, word: &str| assert_eq!(type_word(&kind), word);
    check(DataType::Utf8View, "text");
    check(DataType::Int64, "int");
    check(DataType::UInt8, "int");
    check(DataType::Float32, "float");
    check(DataType::Decimal128(10, 2), "decimal(10,2)");
    check(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), "timestamp");
    check(DataType::Date32, "date");
    check(DataType::BinaryView, "bytes");
    check(DataType::Boolean, "bool");
    let item = Arc::new(Field::new("item", DataType::Utf8View, true));
    check(DataType::List(item), "list(text)");
    let text = Box::new(DataType::Utf8);
    check(DataType::Dictionary(Box::new(DataType::Int32), text), "text");
}
