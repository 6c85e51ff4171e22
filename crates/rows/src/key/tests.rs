//! The key of a record is found fast, and is the value that a row would have.

use base::{Place, SequenceNumber, ShardId};
use proptest::prelude::*;
use spec::ColumnType;

use super::*;
use crate::Decoder;
use crate::bench::{column, stream};

fn keyed(format: Format) -> Stream {
    let columns = vec![column("id", ColumnType::Text, false), column("k", ColumnType::Text, false)];
    Stream { key: Some("k".to_owned()), ..stream(format, columns) }
}

fn key(record: &str) -> Option<String> {
    key_of(&keyed(Format::Json)).unwrap()(record.as_bytes())
}

#[test]
fn keys_of_json_records() {
    let found = |text: &str| Some(text.to_owned());
    assert_eq!(key(r#"{"k":"a","id":"1"}"#), found("a"));
    assert_eq!(key(r#" { "id" : [1,{"k":"no"},"]"] , "k" : "b" } "#), found("b"));
    assert_eq!(key(r#"{"id":"\"k\":\"no\"","k":"c"}"#), found("c"));
    assert_eq!(key(r#"{"\u006b":"d"}"#), found("d"));
    assert_eq!(key(r#"{"k":"\u00e9\\"}"#), found("é\\"));
    assert_eq!(key(r#"{"k":12.50}"#), found("12.50"));
    assert_eq!(key(r#"{"k":true}"#), found("true"));
    assert_eq!(key(r#"{"k":"null"}"#), found("null"));
    for none in [
        "",
        "{",
        "{}",
        "[]",
        "x",
        r#"{"k":null}"#,
        r#"{"k":""}"#,
        r#"{"k":{}}"#,
        r#"{"k":[1]}"#,
        r#"{"id":"1"}"#,
        r#"{"k""#,
        r#"{"k":"unfinished"#,
        r#"{"k":"bad \ud800"}"#,
        r#"{"id":}"#,
    ] {
        assert_eq!(key(none), None, "{none}");
    }
}

#[test]
fn a_long_key_is_cut_between_characters() {
    let long = "é".repeat(300);
    let cut = key(&format!("{{\"k\":\"a{long}\"}}")).unwrap();
    assert_eq!(cut.len(), 255);
}

#[test]
fn keys_of_csv_records() {
    let key = key_of(&keyed(Format::Csv)).unwrap();
    assert_eq!(key(b"1,a\r\n"), Some("a".to_owned()));
    assert_eq!(key(b"\"x,\"\"y\",\"a,b\""), Some("a,b".to_owned()));
    assert_eq!(key(b"1,"), None);
    assert_eq!(key(b"1"), None);
    assert_eq!(key(b"\"1"), None);
    assert_eq!(key(b"\xff,a"), None);
}

#[test]
fn a_stream_without_a_key_has_no_extractor() {
    assert!(key_of(&stream(Format::Json, Vec::new())).is_none());
}

proptest! {
    #[test]
    fn any_bytes_have_a_key_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..60), text in "[{}\\[\\]\":,k \\\\1]{0,40}") {
        for format in [Format::Json, Format::Csv] {
            let key = key_of(&keyed(format)).unwrap();
            let _of_bytes = key(&bytes);
            let _of_text = key(text.as_bytes());
        }
    }

    /// For records that become rows, the key is what the row shows.
    #[test]
    fn the_key_is_the_value_of_the_column(id in "\\PC{0,10}", value in "\\PC{0,10}", is_first in any::<bool>()) {
        let (id, value_json) = (serde_json::to_string(&id).unwrap(), serde_json::to_string(&value).unwrap());
        let record = if is_first {
            format!("{{\"k\":{value_json},\"id\":{id}}}")
        } else {
            format!("{{\"other\":[{{\"k\":{id}}}],\"id\":{id},\"k\":{value_json}}}")
        };
        let mut decoder = Decoder::new(&keyed(Format::Json));
        decoder.push(record.as_bytes(), Place { shard: ShardId(0), sequence: SequenceNumber(0) }, 0);
        prop_assert_eq!(decoder.finish().rows.num_rows(), 1);
        prop_assert_eq!(key(&record), Some(value).filter(|it| !it.is_empty()));
    }
}
