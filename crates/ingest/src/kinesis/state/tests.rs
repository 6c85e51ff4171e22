use super::{Note, State};

#[test]
fn what_others_note_beside_a_stream_stays() {
    let mut note =
        Note::read(Some(r#"{"kinesis":{"tags":{"a":"b"}},"firehose":{"x":1}}"#)).unwrap();
    assert_eq!(note.kinesis.tags["a"], "b");
    note.kinesis = State { key_id: Some("k".to_owned()), ..State::default() };
    let text = serde_json::to_string(&note).unwrap();
    assert_eq!(text, r#"{"kinesis":{"key_id":"k"},"firehose":{"x":1}}"#);
    assert!(Note::read(Some("no json")).is_err());
    assert_eq!(Note::read(None).unwrap().kinesis, State::default());
}
