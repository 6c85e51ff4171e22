//! Tests of `schema`: types survive the log, and stored columns follow a declaration.

use arrow::array::{Int32Array, StringViewArray};

use super::*;

fn of(columns: &[(&str, DataType, bool)]) -> Schema {
    let fields = columns.iter().map(|(name, kind, null)| Field::new(*name, kind.clone(), *null));
    Schema::new(fields.collect::<Vec<_>>())
}

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

#[test]
fn all_types_survive_the_log() {
    let item = Arc::new(Field::new("item", DataType::Utf8View, true));
    let inner = Fields::from(vec![Field::new("x", DataType::Float64, true)]);
    let schema = of(&[
        ("text", DataType::Utf8View, false),
        ("int", DataType::Int64, true),
        ("small", DataType::Int16, true),
        ("float", DataType::Float64, true),
        ("money", DataType::Decimal128(38, 10), true),
        ("bool", DataType::Boolean, true),
        ("ts", utc(), false),
        ("date", DataType::Date32, true),
        ("bytes", DataType::BinaryView, true),
        ("list", DataType::List(item), true),
        ("struct", DataType::Struct(inner), true),
    ]);
    let said = BTreeMap::from([("money".to_owned(), "what it \"costs\"\nin euros".to_owned())]);
    let text = to_delta(&schema, &said, Some(("_day", "date"))).unwrap();
    assert_eq!(comments(&text), said);
    assert_eq!(from_delta(&text, &["_day".to_owned()]).unwrap(), schema);
    assert_eq!(from_delta(&text, &[]).unwrap().fields().len(), 12);
}

#[test]
fn what_delta_has_not_is_refused_with_advice() {
    let cases = [
        (of(&[("count(*)", DataType::Int64, true)]), "`count(*)` needs a plain name; write `AS"),
        (of(&[("a", DataType::Int64, true), ("A", DataType::Int64, true)]), "called `A`"),
        (of(&[("a", DataType::UInt64, true)]), "`a` has the type UInt64"),
    ];
    for (schema, expected) in cases {
        let error = to_delta(&schema, &BTreeMap::new(), None).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn stored_columns_follow_the_declaration() {
    let stored = of(&[("a", DataType::Int32, false), ("b", DataType::Utf8View, false)]);
    let declared = of(&[("a", DataType::Int64, true), ("c", DataType::Utf8View, true)]);
    let evolution = evolve(&stored, &declared).unwrap();
    let expected = of(&[
        ("a", DataType::Int64, true),
        ("c", DataType::Utf8View, true),
        ("b", DataType::Utf8View, true),
    ]);
    assert_eq!((evolution.columns.as_ref(), evolution.rewrite), (&expected, true));
    assert!(evolution.no_longer_null.is_empty());
    let strict = of(&[("b", DataType::Utf8View, false), ("d", DataType::Utf8View, false)]);
    assert_eq!(evolve(&expected, &strict).unwrap().no_longer_null, ["b", "d"]);
}

#[test]
fn a_type_grows_or_stays() {
    let decimal = DataType::Decimal128;
    let grows = [
        (DataType::Int32, DataType::Int64),
        (DataType::Int32, DataType::Float64),
        (DataType::Float32, DataType::Float64),
        (decimal(10, 2), decimal(12, 2)),
        (decimal(10, 2), decimal(12, 4)),
        (DataType::Int64, decimal(21, 2)),
    ];
    for (old, new) in grows {
        assert!(is_wider(&old, &new), "{old} to {new}");
        assert!(!is_wider(&new, &old), "{new} to {old}");
    }
    let never = [
        (DataType::Int64, DataType::Float64),
        (decimal(10, 2), decimal(12, 5)),
        (DataType::Int64, decimal(20, 2)),
        (DataType::Utf8View, DataType::Int64),
        (DataType::Date32, utc()),
    ];
    for (old, new) in never {
        assert!(!is_wider(&old, &new), "{old} to {new}");
    }
    let error =
        evolve(&of(&[("a", DataType::Utf8View, true)]), &of(&[("a", DataType::Int64, true)]));
    let error = error.unwrap_err();
    assert!(error.contains("`a` is stored as string and cannot become long"), "{error}");
}

#[test]
fn a_batch_is_brought_to_the_columns_by_name() {
    let schema = Arc::new(of(&[("b", DataType::Int32, true), ("a", DataType::Utf8View, true)]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![Some(1), None])),
        Arc::new(StringViewArray::from(vec!["x", ""])),
    ];
    let batch = RecordBatch::try_new(schema, columns).unwrap();
    let wanted = Arc::new(of(&[
        ("a", DataType::Utf8View, false),
        ("b", DataType::Int64, true),
        ("c", DataType::Date32, true),
    ]));
    let done = conform(&batch, &wanted).unwrap();
    assert_eq!((done.column(1).null_count(), done.column(2).null_count()), (1, 2));
    let strict = Arc::new(of(&[("b", DataType::Int64, false)]));
    assert!(conform(&batch, &strict).unwrap_err().contains("`b` is declared `not null`"));
    assert_eq!(stranger(&batch, &strict), Some("a"));
}

proptest::proptest! {
    #[test]
    fn any_schema_text_is_read_or_refused(text in ".*", kind in "[a-z(),0-9]{0,16}") {
        drop(from_delta(&text, &[]));
        let text = format!(r#"{{"fields":[{{"name":"a","type":"{kind}"}}]}}"#);
        drop(from_delta(&text, &[]));
    }
}
