use super::*;

#[test]
fn records_are_written_one_behind_the_other() {
    let text = br#"{"StreamName":"s","Records":[{"Data":"aGk=","PartitionKey":"a"},{"PartitionKey":"b","Data":""}]}"#;
    let (bytes, records) = frames_of(text).unwrap();
    assert_eq!((bytes.as_slice(), records), (&b"\x03\0\0\0ahi\x01\0\0\0b"[..], 2));
}

#[test]
fn one_record_may_come_alone() {
    let text = br#"{"StreamName":"s","Data":"aGk=","PartitionKey":"a"}"#;
    assert_eq!(frames_of(text), Some((b"\x03\0\0\0ahi".to_vec(), 1)));
}

#[test]
fn what_is_no_request_is_refused() {
    for text in ["", "[]", "{}", r#"{"Data":"aGk="}"#, r#"{"Data":"?","PartitionKey":"a"}"#] {
        assert_eq!(frames_of(text.as_bytes()), None, "{text}");
    }
}
