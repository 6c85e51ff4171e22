//! Good records become rows, bad ones become rejects, whatever lies beside them.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use base::{SequenceNumber, ShardId};
use expect_test::{Expect, expect};
use proptest::prelude::*;
use spec::ColumnType;

use super::*;
use crate::bench::{column, stream};
use crate::json;

fn orders(format: Format) -> Stream {
    let columns = vec![
        column("id", ColumnType::Text, true),
        column("ts", ColumnType::Timestamp, false),
        column("quantity", ColumnType::Int, false),
        column("price", ColumnType::Decimal { precision: 12, scale: 2 }, false),
        column("weight", ColumnType::Float, false),
        column("paid", ColumnType::Bool, false),
        column("day", ColumnType::Date, false),
        column("more", ColumnType::Json, false),
        column("blob", ColumnType::Bytes, false),
    ];
    stream(format, columns)
}

fn place(sequence: u64) -> Place {
    Place { shard: ShardId(2), sequence: SequenceNumber(sequence) }
}

fn decode(format: Format, records: &[&[u8]]) -> Decoded {
    let mut decoder = Decoder::new(&orders(format));
    for (number, record) in (0..).zip(records) {
        decoder.push(record, place(number), 1_000 + number);
    }
    assert_eq!(decoder.len(), records.len(), "each record is a row or a reject");
    let decoded = decoder.finish();
    assert!(decoder.is_empty());
    assert_eq!(decoded.rows.num_rows() + decoded.rejects.num_rows(), records.len());
    decoded
}

/// Shows the row, or why there is none.
fn shown(format: Format, record: &[u8]) -> String {
    let decoded = decode(format, &[record]);
    let rows = json::lines(&decoded.rows);
    match rows.first() {
        Some(row) => row.split_once(",\"_shard\"").unwrap().0.to_owned() + "}",
        None => decoded.rejects["message"].as_string_view().value(0).to_owned(),
    }
}

fn check(records: &[&str], expected: &Expect) {
    let all: Vec<_> = records.iter().map(|it| shown(Format::Json, it.as_bytes())).collect();
    expected.assert_eq(&all.join("\n"));
}

fn check_csv(records: &[&str], expected: &Expect) {
    let all: Vec<_> = records.iter().map(|it| shown(Format::Csv, it.as_bytes())).collect();
    expected.assert_eq(&all.join("\n"));
}

#[test]
fn values_of_every_type() {
    check(
        &[
            r#"{"id":"1","ts":"2026-01-05T10:00:10Z","quantity":2,"price":10.50,"weight":1.5,"paid":true,"day":"2026-01-05","more":{"a":[1, "x"]},"blob":"/wA="}"#,
            r#"{"blob":"aGk=","more":"text","day":"1969-12-31","paid":"TRUE","weight":"1e3","price":"7","quantity":" 12 ","ts":"2026-01-05 10:00","id":"a\u00e9\n"}"#,
            r#" {"id":"", "unknown":{"deep":[1,{"x":"y"}]}, "quantity":null, "price":"", "paid":"", "ts":""} "#,
            r#"{"id":"a text longer than twelve bytes","weight":-0.0,"price":-0.01,"more":null}"#,
        ],
        &expect![[r#"
            {"id":"1","ts":"2026-01-05T10:00:10Z","quantity":2,"price":10.50,"weight":1.5,"paid":true,"day":"2026-01-05","more":"{\"a\":[1, \"x\"]}","blob":"/wA="}
            {"id":"aé\n","ts":"2026-01-05T10:00:00Z","quantity":12,"price":7.00,"weight":1000.0,"paid":true,"day":"1969-12-31","more":"\"text\"","blob":"hi"}
            {"id":"","ts":null,"quantity":null,"price":null,"weight":null,"paid":null,"day":null,"more":null,"blob":null}
            {"id":"a text longer than twelve bytes","ts":null,"quantity":null,"price":-0.01,"weight":-0.0,"paid":null,"day":null,"more":null,"blob":null}"#]],
    );
}

#[test]
fn what_does_not_fit_its_type_is_refused_with_the_reason() {
    check(
        &[
            r#"{"id":"1","quantity":"two"}"#,
            r#"{"id":"1","quantity":1.5}"#,
            r#"{"id":"1","quantity":2.0}"#,
            r#"{"id":"1","quantity":9223372036854775808}"#,
            r#"{"id":"1","quantity":true}"#,
            r#"{"id":"1","quantity":[1]}"#,
            r#"{"id":"1","price":1.234}"#,
            r#"{"id":"1","price":12345678901}"#,
            r#"{"id":"1","price":{"amount":1}}"#,
            r#"{"id":"1","weight":1e999}"#,
            r#"{"id":"1","weight":"NaN"}"#,
            r#"{"id":"1","paid":1}"#,
            r#"{"id":"1","paid":"yes"}"#,
            r#"{"id":"1","ts":1767607200}"#,
            r#"{"id":"1","ts":"yesterday"}"#,
            r#"{"id":"1","ts":"2026-02-30T00:00:00Z"}"#,
            r#"{"id":"1","ts":"2026-02-03T00:00:00.123456789Z"}"#,
            r#"{"id":"1","day":"2026-02-30"}"#,
            r#"{"id":"1","blob":"not base64!"}"#,
            r#"{"id":1}"#,
            r#"{"id":1.25e3}"#,
            r#"{"id":["1"]}"#,
            r#"{"id":{}}"#,
            r#"{"id":"a\u0000b"}"#,
            r#"{"id":null}"#,
            r#"{"quantity":1}"#,
            r#"{"id":"1","quantity":1,"quantity":2}"#,
        ],
        &expect![[r#"
            column `quantity`: expected int, found the string "two"
            column `quantity`: expected int, found the number 1.5; write a whole number without point and exponent
            column `quantity`: expected int, found the number 2.0; write a whole number without point and exponent
            column `quantity`: expected int, found the number 9223372036854775808; it is too large
            column `quantity`: expected int, found true
            column `quantity`: expected int, found a list
            column `price`: expected decimal(12,2), found the number 1.234; it has too many digits after the point
            column `price`: expected decimal(12,2), found the number 12345678901; it is too large
            column `price`: expected decimal(12,2), found an object
            column `weight`: expected float, found the number 1e999; it is too large
            column `weight`: expected float, found the string "NaN"
            column `paid`: expected bool, found the number 1
            column `paid`: expected bool, found the string "yes"; write true or false
            column `ts`: expected timestamp, found the number 1767607200; write RFC 3339, for example "2026-01-05T10:00:00Z"
            column `ts`: expected timestamp, found the string "yesterday"; write RFC 3339, for example "2026-01-05T10:00:00Z"
            column `ts`: expected timestamp, found the string "2026-02-30T00:00:00Z"; there is no such day or time
            column `ts`: expected timestamp, found the string "2026-02-03T00:00:00.123456789Z"; at most 6 digits after the point: a timestamp holds microseconds
            column `day`: expected date, found the string "2026-02-30"; there is no such day
            column `blob`: expected bytes, found the string "not base64!"; write bytes in base64
            column `id`: expected text, found the number 1; write it in quotes, or declare the column as a number
            column `id`: expected text, found the number 1250; write it in quotes, or declare the column as a number
            column `id`: expected text, found a list
            column `id`: expected text, found an object
            column `id`: expected text, found the character NUL in it; PostgreSQL and others cannot hold it; declare the column as bytes, in base64
            column `id`: expected text, found null; the column is declared `not null`
            column `id`: expected text, found nothing: the field is missing; the column is declared `not null`
            column `quantity`: the field occurs twice"#]],
    );
}

#[test]
fn what_is_no_object_is_refused_with_the_reason() {
    check(
        &[
            "",
            "  \n",
            "null",
            "12",
            "-1",
            "1.5",
            "\"text\"",
            "true",
            "[{\"id\":\"1\"}]",
            "{",
            "{\"id\"",
            "{\"id\":\"1\"",
            "{\"id\":\"1\"} {\"id\":\"2\"}",
            "{\"id\":\"1\",}",
            "{'id':1}",
            "{\"id\":\"\u{1}\"}",
            "{\"quantity\":01,\"id\":\"1\"}",
            "{\"ts\":\"\\ud800\",\"id\":\"1\"}",
            "\u{feff}{\"id\":\"1\"}",
        ],
        &expect![[r#"
            expected a JSON object, found nothing
            expected a JSON object, found nothing
            expected a JSON object, found null
            expected a JSON object, found the number 12
            expected a JSON object, found the number -1
            expected a JSON object, found the number 1.5
            expected a JSON object, found the string "text"
            expected a JSON object, found true
            expected a JSON object, found a list
            expected JSON: EOF while parsing an object at line 1 column 1
            expected JSON: EOF while parsing an object at line 1 column 5
            expected JSON: EOF while parsing an object at line 1 column 9
            expected JSON: trailing characters at line 1 column 12
            expected JSON: trailing comma at line 1 column 11
            expected JSON: key must be a string at line 1 column 2
            expected JSON: control character (\u0000-\u001F) found while parsing a string at line 1 column 8
            expected JSON: invalid number at line 1 column 14
            expected JSON: unexpected end of hex escape at line 1 column 14
            expected JSON: expected value at line 1 column 1"#]],
    );
    let message = shown(Format::Json, b"{\"id\":\"\xff\"}");
    assert_eq!(message, "expected UTF-8, found another byte at position 7");
}

#[test]
fn nesting_is_bounded_where_it_is_kept_and_harmless_where_it_is_not() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let kept = |depth| {
        shown(Format::Json, format!("{{\"id\":\"1\",\"more\":{}}}", nested(depth)).as_bytes())
    };
    assert!(kept(128).starts_with('{'));
    assert_eq!(kept(129), "column `more`: expected json of at most 128 levels, found more");
    assert_eq!(kept(100_000), kept(129));
    let ignored = format!("{{\"id\":\"1\",\"other\":{}}}", nested(100_000));
    assert!(shown(Format::Json, ignored.as_bytes()).starts_with('{'));
    let brackets_in_text = format!("{{\"id\":\"1\",\"more\":\"{}\\\"\"}}", "[".repeat(500));
    assert!(shown(Format::Json, brackets_in_text.as_bytes()).starts_with('{'));
}

#[test]
fn lines_of_csv() {
    check_csv(
        &[
            "1,2026-01-05T10:00:10Z,2,10.50,1.5,true,2026-01-05,\"{\"\"a\"\":1}\",/wA=",
            "\"\",,,,,,,,",
            "\"a,\"\"b\"\"\",,,,,,,,\r\n",
            "\"two\nlines\",,,,,,,\"\",",
            ",,,,,,,,",
            "1,2",
            "1,,,,,,,,,",
            "1,,x,,,,,,",
            "1,,,,,,,{broken,",
            "\"1,,,,,,,,",
            "\"1\"x,,,,,,,,",
            "id,ts,quantity,price,weight,paid,day,more,blob",
            "",
        ],
        &expect![[r#"
            {"id":"1","ts":"2026-01-05T10:00:10Z","quantity":2,"price":10.50,"weight":1.5,"paid":true,"day":"2026-01-05","more":"{\"a\":1}","blob":"/wA="}
            {"id":"","ts":null,"quantity":null,"price":null,"weight":null,"paid":null,"day":null,"more":null,"blob":null}
            {"id":"a,\"b\"","ts":null,"quantity":null,"price":null,"weight":null,"paid":null,"day":null,"more":null,"blob":null}
            {"id":"two\nlines","ts":null,"quantity":null,"price":null,"weight":null,"paid":null,"day":null,"more":null,"blob":null}
            column `id`: expected text, found nothing: the field is empty; the column is declared `not null`
            expected 9 fields, found 2
            expected 9 fields, found 10
            column `quantity`: expected int, found the string "x"
            column `more`: expected json, found the string "{broken"
            expected a `"` at the end of a quoted field, found none
            expected a comma after a quoted field, found more of it; write `""` for a quote inside it
            expected a row, found the names of the columns; send CSV without its header
            expected a line of CSV, found nothing"#]],
    );
}

#[test]
fn rows_carry_their_place_and_rejects_theirs() {
    let good = br#"{"id":"1"}"#.as_slice();
    let decoded = decode(Format::Json, &[good, b"bad", good]);
    let sequences = decoded.rows[schema::SEQUENCE].as_primitive::<Int64Type>();
    assert_eq!(sequences.values().as_ref(), [0, 2]);
    let arrived = decoded.rows[schema::ARRIVED].as_primitive::<TimestampMicrosecondType>();
    assert_eq!(arrived.values().as_ref(), [1_000_000, 1_002_000]);
    let rejects = decoded.rejects;
    assert_eq!(rejects[schema::SHARD].as_primitive::<Int64Type>().value(0), 2);
    assert_eq!(rejects[schema::SEQUENCE].as_primitive::<Int64Type>().value(0), 1);
    assert_eq!(rejects["bytes"].as_binary_view().value(0), b"bad");
    assert_eq!(rejects["kind"].as_string_view().value(0), "decode");
    assert_eq!(rejects["state"].as_string_view().value(0), "dead");
    assert!(rejects["check"].is_null(0));
}

#[test]
fn a_stream_without_columns_keeps_only_places() {
    let mut decoder = Decoder::new(&stream(Format::Json, Vec::new()));
    decoder.push(b"{\"any\":1}", place(0), 0);
    assert_eq!(decoder.finish().rows.num_rows(), 1);
}

/// Records that decode, that nearly do, and that are anything.
fn record() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|it| it.to_string()),
        any::<f64>().prop_map(|it| it.to_string()),
        "[0-9]{1,15}\\.[0-9]{0,4}",
        "\"[ -!#-\\[\\]-~]{0,20}\"",
        Just("\"2026-01-05T10:00:00Z\"".to_owned()),
        Just("\"a text that is longer than a view\"".to_owned()),
        Just("[1,{\"a\":2}]".to_owned()),
        Just("true".to_owned()),
    ];
    let names = ["id", "ts", "quantity", "price", "weight", "paid", "day", "more", "blob", "else"];
    let field = (proptest::sample::select(names.to_vec()), value);
    let object = proptest::collection::vec(field, 0..6).prop_map(|fields| {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(",")).into_bytes()
    });
    let cut = (object.clone(), any::<proptest::sample::Index>())
        .prop_map(|(bytes, at)| bytes[..at.index(bytes.len())].to_vec());
    let flipped = (object.clone(), any::<proptest::sample::Index>(), any::<u8>()).prop_map(
        |(mut bytes, at, byte)| {
            let index = at.index(bytes.len());
            bytes[index] = byte;
            bytes
        },
    );
    prop_oneof![3 => object, 1 => cut, 1 => flipped, 1 => proptest::collection::vec(any::<u8>(), 0..40), 1 => "[ -~]{0,60}".prop_map(String::into_bytes)]
}

proptest! {
    /// What becomes of a record does not depend on the records around it.
    #[test]
    fn neighbours_never_matter(records in proptest::collection::vec(record(), 1..40), is_csv in any::<bool>()) {
        let format = if is_csv { Format::Csv } else { Format::Json };
        let alone: Vec<_> = records.iter().map(|it| decode(format, &[it])).collect();
        let views: Vec<_> = records.iter().map(Vec::as_slice).collect();
        let together = decode(format, &views);

        let mut rows = Vec::new();
        let mut rejected = Vec::new();
        for (number, decoded) in alone.iter().enumerate() {
            let columns = decoded.rows.num_columns() - 3;
            let projected = decoded.rows.project(&(0..columns).collect::<Vec<_>>()).unwrap();
            match json::lines(&projected).pop() {
                Some(line) => rows.push((i64::try_from(number).unwrap(), line)),
                None => rejected.push((i64::try_from(number).unwrap(), decoded.rejects["message"].as_string_view().value(0).to_owned())),
            }
        }
        let columns = together.rows.num_columns() - 3;
        let projected = together.rows.project(&(0..columns).collect::<Vec<_>>()).unwrap();
        let sequences = |batch: &RecordBatch| batch[schema::SEQUENCE].as_primitive::<Int64Type>().values().to_vec();
        let together_rows: Vec<_> = sequences(&together.rows).into_iter().zip(json::lines(&projected)).collect();
        prop_assert_eq!(together_rows, rows);
        let messages = together.rejects["message"].as_string_view();
        let together_rejected: Vec<_> = sequences(&together.rejects).into_iter().zip(messages.iter().map(|it| it.unwrap().to_owned())).collect();
        prop_assert_eq!(together_rejected, rejected);
        for (index, number) in sequences(&together.rejects).into_iter().enumerate() {
            prop_assert_eq!(together.rejects["bytes"].as_binary_view().value(index), &records[usize::try_from(number).unwrap()]);
        }
    }

    /// A row that is written as JSON or CSV decodes to the same row.
    #[test]
    fn rows_that_are_written_read_back(records in proptest::collection::vec(record(), 1..40)) {
        let views: Vec<_> = records.iter().map(Vec::as_slice).collect();
        let rows = decode(Format::Json, &views).rows;
        let declared = orders(Format::Json).columns.len();
        // What bytes that happen to be text are written as is no base64.
        let declared = rows.project(&(0..declared - 1).collect::<Vec<_>>()).unwrap();
        // Nothing in a schema tells text from JSON, which is therefore written as a string.
        let plain = declared.project(&(0..declared.num_columns() - 1).collect::<Vec<_>>()).unwrap();
        let lines = json::lines(&plain);
        let lines: Vec<_> = lines.iter().map(String::as_bytes).collect();
        let again = decode(Format::Json, &lines);
        prop_assert_eq!(again.rejects.num_rows(), 0);
        let again = again.rows.project(&(0..plain.num_columns()).collect::<Vec<_>>()).unwrap();
        prop_assert_eq!(&again, &plain);

        let mut text = String::new();
        crate::csv::write_rows(&declared, &mut text);
        let lines: Vec<_> = text.lines().map(|it| format!("{it},").into_bytes()).collect();
        let lines: Vec<_> = lines.iter().map(Vec::as_slice).collect();
        let again = decode(Format::Csv, &lines);
        prop_assert_eq!(again.rejects.num_rows(), 0, "{:?}", again.rejects);
        let again = again.rows.project(&(0..declared.num_columns()).collect::<Vec<_>>()).unwrap();
        prop_assert_eq!(&again, &declared);
    }
}

#[test]
fn the_sample_to_measure_with_has_the_bad_records_it_says() {
    for bad in [0, 10, 1_000] {
        let sample = crate::bench::orders(2_000, bad);
        let decoded = crate::bench::decode(&mut Decoder::new(&sample.stream), &sample.records);
        assert_eq!(decoded.rejects.num_rows(), 2 * bad);
        assert_eq!(decoded.rows.num_rows(), 2_000 - 2 * bad);
    }
}
