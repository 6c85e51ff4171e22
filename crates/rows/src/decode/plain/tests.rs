//! What is read at one go is read as it always was.

use arrow::array::ArrayRef;
use proptest::prelude::*;
use spec::ColumnType;

use super::*;
use crate::bench::column;
use crate::decode::json;

fn columns() -> Vec<Column> {
    let columns = [
        column("id", ColumnType::Text, true),
        column("ts", ColumnType::Timestamp, false),
        column("quantity", ColumnType::Int, false),
        column("price", ColumnType::Decimal { precision: 12, scale: 2 }, false),
        column("weight", ColumnType::Float, false),
        column("paid", ColumnType::Bool, false),
        column("day", ColumnType::Date, false),
        column("a \"quoted\" name", ColumnType::Text, false),
        column("more", ColumnType::Json, false),
        column("blob", ColumnType::Bytes, false),
    ];
    columns.iter().map(Column::new).collect()
}

fn finished(columns: &mut [Column]) -> Vec<ArrayRef> {
    columns.iter_mut().map(|it| it.finish().unwrap()).collect()
}

/// Returns whether it was read at one go.
fn check(text: &str) -> Result<bool, TestCaseError> {
    let (mut fast, mut slow) = (columns(), columns());
    let Some(decoded) = decode(text, &mut fast, 0) else { return Ok(false) };
    let expected = json::decode(text, &mut slow, 0);
    prop_assert_eq!(&decoded, &expected, "{}", text);
    if decoded.is_ok() {
        prop_assert_eq!(finished(&mut fast), finished(&mut slow), "{}", text);
    }
    Ok(true)
}

#[test]
fn the_usual_is_read_at_one_go_and_the_rest_is_left() {
    let usual = [
        r#"{"id":"1","ts":"2026-01-05T10:00:10Z","quantity":2,"price":10.50,"weight":1.5,"paid":true,"day":"2026-01-05"}"#,
        r#"{ "blob": "aGk=", "day": "1969-12-31", "paid": false, "id": "aé, and quite a bit longer than one block" }"#,
        r#"{"unknown":-1.5e-3,"id":"1","other":null,"third":"text","price":null}"#,
        r#"{"quantity":1.5}"#,
        r#"{"quantity":"12","ts":""}"#,
    ];
    for text in usual {
        assert!(check(text).unwrap(), "{text}");
    }
    let unusual = [
        "",
        "{}",
        "[]",
        r#"{"id":"a\n"}"#,
        "{\"id\":\"a\u{1}\"}",
        r#"{"id":"1","more":{}}"#,
        r#"{"id":"1","id":"2"}"#,
        r#"{"id":"1","quantity":01}"#,
        r#"{"id":"1","quantity":1.}"#,
        r#"{"id":"1"} "#,
        r#"{"id":"1",}"#,
        r#"{"id":1}"#,
        r#"{"ts":1}"#,
        r#"{"a \"quoted\" nam\u0065":"1"}"#,
    ];
    for text in unusual {
        assert!(!check(text).unwrap(), "{text}");
    }
}

#[test]
fn a_text_ends_where_it_ends_whatever_its_length() {
    for length in 0..100 {
        for end in ['"', '\\', '\u{0}', '\u{1f}', '\n'] {
            for filling in ["a", "é", "\u{7f}", " ", "!", "#"] {
                let text = filling.repeat(length);
                let whole = format!("{text}{end}{}", "b\"\\".repeat(20));
                assert_eq!(plain_length(whole.as_bytes()), text.len(), "{whole:?}");
            }
        }
        assert_eq!(plain_length("é".repeat(length).as_bytes()), 2 * length);
    }
}

/// Pieces that records are made of, broken ones among them.
fn piece() -> impl Strategy<Value = String> {
    let written = prop::sample::select(vec![
        "{",
        "}",
        ",",
        ":",
        " ",
        "\"",
        "\\",
        "[",
        "]",
        "null",
        "true",
        "false",
        "\n",
        "0",
        "-",
        "1e5",
        "\"\"",
        "\"id\":",
        "\"ts\":",
        "\"quantity\":",
        "\"price\":",
        "\"weight\":",
        "\"paid\":",
        "\"day\":",
        "\"more\":",
        "\"blob\":",
        "\"unknown\":",
        "\"a \\\"quoted\\\" name\":",
        "\"2026-01-05T10:00:00Z\"",
        "\"2026-01-05\"",
        "\"aGk=\"",
        "{\"id\":\"1\"",
    ]);
    prop_oneof![
        6 => written.prop_map(str::to_owned),
        1 => "\"\\PC{0,40}\"",
        1 => "-?[0-9]{1,4}(\\.[0-9]{1,3})?([eE][-+]?[0-9])?",
    ]
}

/// A field of a record that is mostly right.
fn field() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "id", "ts", "quantity", "price", "weight", "paid", "day", "blob", "unknown", "more",
    ]);
    let value = prop_oneof![
        "\"[a-z \\\\é]{0,40}\"",
        "-?[0-9]{1,4}(\\.[0-9]{1,3})?([eE][-+]?[0-9])?",
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        Just("\"2026-01-05T10:00:00.125Z\"".to_owned()),
        Just("\"2026-01-05\"".to_owned()),
        Just("\"1.5\"".to_owned()),
        Just("[1]".to_owned()),
    ];
    (key, " ?", value, " ?")
        .prop_map(|(key, before, value, after)| format!("\"{key}\":{before}{value}{after}"))
}

proptest! {
    #[test]
    fn records_are_read_alike(
        fields in prop::collection::vec(field(), 0..8),
        end in prop::sample::select(vec!["}", "}}", " }", ",}", "", "} "]),
    ) {
        check(&format!("{{{}{end}", fields.join(",")))?;
    }

    #[test]
    fn anything_is_read_alike(pieces in prop::collection::vec(piece(), 0..20)) {
        check(&pieces.concat())?;
        check(&format!("{{{}}}", pieces.concat()))?;
    }
}
