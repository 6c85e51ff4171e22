use super::*;

#[track_caller]
fn head(answer: &[u8]) -> Head {
    Head::of(answer).unwrap().expect("the head is there")
}

#[test]
fn an_answer_ends_where_its_length_says() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\ndate: x\r\n\r\nhello";
    let found = head(answer);
    assert_eq!((found.status, found.is_last), (200, false));
    assert_eq!(answer.get(found.body..), Some(&b"hello"[..]));
    assert!(found.is_whole(answer));
    assert!(!found.is_whole(answer.strip_suffix(b"o").unwrap()));
}

#[test]
fn an_answer_in_chunks_ends_with_an_empty_one() {
    let answer = b"HTTP/1.1 400 Bad\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let found = head(answer);
    assert_eq!(found.status, 400);
    assert!(found.is_whole(answer));
    assert!(!found.is_whole(answer.strip_suffix(b"0\r\n\r\n").unwrap()));
}

#[test]
fn an_answer_may_be_the_last_of_its_connection() {
    assert!(head(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").is_last);
    assert!(head(b"HTTP/1.0 200 OK\r\n\r\n").is_last);
}

#[test]
fn half_a_head_is_waited_for() {
    assert_eq!(Head::of(b"HTTP/1.1 200 OK\r\ncontent-le").unwrap(), None);
    assert!(Head::of(b"nonsense\r\n\r\n").is_err());
}

#[test]
fn failed_records_are_counted() {
    assert_eq!(failed_count(br#"{"FailedRecordCount":0,"Records":[]}"#), 0);
    assert_eq!(failed_count(br#"{"Records":[], "FailedRecordCount": 317}"#), 317);
    assert_eq!(failed_count(br#"{"ShardId":"shardId-000000000000"}"#), 0);
}
