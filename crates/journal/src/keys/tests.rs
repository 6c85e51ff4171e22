use base::{SequenceNumber, ShardId};
use proptest::prelude::*;

use super::{KeyFrame, Keys, Remembered, is_expired};
use crate::format::{FrameKind, HEADER_BYTES, Header};
use crate::settings::{AppendedPart, IdempotencyKey, StreamId};

fn remembered(arrived_ms: u64) -> Remembered {
    let part = AppendedPart { shard: ShardId(3), first: SequenceNumber(4), count: 5 };
    Remembered { arrived_ms, parts: vec![part, part] }
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

#[test]
fn a_key_frame_comes_back() {
    let frame = KeyFrame { stream: StreamId(1), key: key("abc"), done: remembered(9) };
    let bytes = frame.encode(8, 7);
    let header = Header::decode(&bytes, 7).unwrap();
    assert_eq!((header.kind, header.commit), (FrameKind::Key, 8));
    assert_eq!(bytes.len() as u64, header.frame_bytes());
    let body = &bytes[HEADER_BYTES..HEADER_BYTES + header.body_length as usize];
    assert_eq!(KeyFrame::decode(&header, body), Some(frame));
}

proptest! {
    #[test]
    fn any_bytes_are_no_panic(body in prop::collection::vec(any::<u8>(), 0..100), count: u32) {
        KeyFrame::decode(&Header { count, ..Header::of(FrameKind::Key) }, &body);
    }
}

#[test]
fn keys_are_forgotten_after_a_day_and_beyond_the_limit() {
    let day_ms = 24 * 3_600_000;
    assert!(!is_expired(1, day_ms) && is_expired(1, day_ms + 1));
    let mut keys = Keys::new(2);
    for (text, arrived_ms) in [("a", 1), ("b", 2), ("c", 3)] {
        keys.insert(StreamId(0), key(text), remembered(arrived_ms));
    }
    assert!(keys.find(StreamId(0), &key("a")).is_none());
    assert!(keys.find(StreamId(0), &key("b")).is_some());
    assert!(keys.find(StreamId(1), &key("b")).is_none());
    keys.expire(day_ms + 2);
    assert!(keys.find(StreamId(0), &key("b")).is_none());
    assert_eq!(keys.len(), 1);
    // A name used again after it was forgotten lives by its second use.
    keys.insert(StreamId(0), key("c"), remembered(day_ms));
    keys.expire(day_ms + 3);
    assert!(keys.find(StreamId(0), &key("c")).is_some());
}
