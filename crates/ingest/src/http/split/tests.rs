//! Cutting bodies into records.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn cut(body: &str, content_type: Option<&str>) -> Vec<String> {
    let records = split(body.as_bytes(), Form::of(content_type)).unwrap();
    records.into_iter().map(|it| String::from_utf8(it.to_owned()).unwrap()).collect()
}

#[test]
fn one_object_is_one_record_over_however_many_lines() {
    assert_eq!(cut(r#" {"a":1} "#, None), [r#"{"a":1}"#]);
    assert_eq!(cut("{\n  \"a\": 1\n}\n", Some("application/json")), ["{\n  \"a\": 1\n}"]);
    assert_eq!(cut("{\n  \"a\": oops\n}\n", None), ["{\n  \"a\": oops\n}"]);
}

#[test]
fn elements_of_an_array_stay_as_they_were_written() {
    let body = "\u{feff} [ {\"a\": 1.10 ,\"b\":\"\\u00e9\"} , 5,\n\"x\", null, [1, 2] ]\n";
    let records = [r#"{"a": 1.10 ,"b":"\u00e9"}"#, "5", "\"x\"", "null", "[1, 2]"];
    assert_eq!(cut(body, Some("application/json")), records);
    assert_eq!(cut("[]", None), Vec::<String>::new());
}

#[test]
fn a_broken_array_is_refused_with_its_position() {
    let error = split(b"[{\"a\":1},\n {\"a\":}]", Form::Guess).unwrap_err();
    assert_eq!((error.line, error.column), (2, 7));
    assert_eq!(
        error.to_string(),
        "the body begins with `[` but is not a JSON array: line 2, column 7: expected value"
    );
    assert!(split(b"[1,2", Form::Guess).is_err());
    assert!(split(b"[1,2] 3", Form::Guess).is_err());
    assert!(split(b"[1,2,]", Form::Guess).is_err());
    assert!(split(b"[\"\xff\"]", Form::Guess).is_err());
}

#[test]
fn lines_are_records_and_broken_ones_cost_no_neighbour() {
    let body = "{\"a\":1}\r\n\n  \n{\"a\":\n{\"a\":3}";
    assert_eq!(cut(body, None), ["{\"a\":1}", "{\"a\":", "{\"a\":3}"]);
    assert_eq!(cut(body, Some("application/x-ndjson")), ["{\"a\":1}", "{\"a\":", "{\"a\":3}"]);
    assert_eq!(cut("{\"a\":", None), ["{\"a\":"]);
    assert_eq!(cut("[1]\n[2]\n", Some("application/x-ndjson")), ["[1]", "[2]"]);
}

#[test]
fn text_and_csv_are_lines_whatever_they_look_like() {
    assert_eq!(
        cut("[not json\nhello\n", Some("text/plain; charset=utf-8")),
        ["[not json", "hello"]
    );
    assert_eq!(cut("a,b\n1,2\n", Some("text/csv")), ["a,b", "1,2"]);
    assert_eq!(cut("a,b\n1,2\n", Some("text/csv; header=present")), ["1,2"]);
    assert_eq!(cut("hello\nworld", Some("application/x-www-form-urlencoded")), ["hello", "world"]);
}

#[test]
fn other_bytes_are_one_record_as_they_are() {
    let body = b"\x00\n\xff\n";
    assert_eq!(split(body, Form::of(Some("application/octet-stream"))).unwrap(), [body]);
    assert!(split(b"", Form::Whole).unwrap().is_empty());
    assert!(split(b"", Form::Guess).unwrap().is_empty());
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".*", inner, 0..6)
                .prop_map(|it| Value::Object(it.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        for form in [Form::Guess, Form::Lines, Form::Csv, Form::CsvAfterHeader, Form::Whole] {
            if let Ok(records) = split(&body, form) {
                let taken: usize = records.iter().map(|it| it.len()).sum();
                prop_assert!(taken <= body.len());
            }
        }
    }

    #[test]
    fn elements_are_those_of_the_json_library(
        values in prop::collection::vec(json(), 0..8),
        is_pretty in any::<bool>(),
    ) {
        let text = if is_pretty {
            serde_json::to_string_pretty(&values).unwrap()
        } else {
            serde_json::to_string(&values).unwrap()
        };
        let records = split(text.as_bytes(), Form::Guess).unwrap();
        let read: Vec<Value> = records.iter().map(|it| serde_json::from_slice(it).unwrap()).collect();
        prop_assert_eq!(read, serde_json::from_str::<Vec<Value>>(&text).unwrap());
    }

    #[test]
    fn what_the_json_library_reads_as_an_array_is_cut_alike(
        text in r#"\[[\[\]{}",:0-9a-f \\.\-eE\n]{0,40}"#
    ) {
        let read = serde_json::from_str::<Vec<Value>>(&text);
        match split(text.as_bytes(), Form::Guess) {
            Ok(records) if read.is_ok() => {
                let values: Vec<Value> =
                    records.iter().map(|it| serde_json::from_slice(it).unwrap()).collect();
                prop_assert_eq!(values, read.unwrap());
            }
            Ok(_) => {}
            Err(_) => prop_assert!(read.is_err()),
        }
    }

    #[test]
    fn lines_hold_every_byte_that_is_no_line_end(body in "[a-z\r\n ]{0,80}") {
        let records = split(body.as_bytes(), Form::Lines).unwrap();
        let expected: Vec<&str> = body.split('\n')
            .map(|it| it.strip_suffix('\r').unwrap_or(it))
            .filter(|it| !it.trim_ascii().is_empty())
            .collect();
        let records: Vec<&str> = records.into_iter().map(|it| std::str::from_utf8(it).unwrap()).collect();
        prop_assert_eq!(records, expected);
    }
}

#[test]
fn a_csv_field_in_quotes_may_hold_line_ends() {
    let csv = Some("text/csv");
    assert_eq!(cut("1,\"a\nb\"\r\n2,c\n", csv), ["1,\"a\nb\"", "2,c"]);
    assert_eq!(cut("\"say \"\"hi\"\"\n\",1\n\"\",2", csv), ["\"say \"\"hi\"\"\n\",1", "\"\",2"]);
    // Quotes inside a field are inches.
    assert_eq!(cut("5\" disk,1\n3\" disk,2\n", csv), ["5\" disk,1", "3\" disk,2"]);
    // A quote that is never closed costs its own line only.
    assert_eq!(cut("1,\"a\n2,b\n3,c", csv), ["1,\"a", "2,b", "3,c"]);
    assert_eq!(cut("h\n1,\"x\ny\"\n", Some("text/csv; header=present")), ["1,\"x\ny\""]);
}
