use base::{SequenceNumber, ShardId};
use bytes::Bytes;
use proptest::prelude::*;

use super::{Frame, Frames, Records, is_payload, split_record};
use crate::format::HEADER_BYTES;

fn frames_of(records: &[(String, Vec<u8>)], from: u64) -> Frames {
    let mut encoded = Records::new();
    for (key, bytes) in records {
        encoded.push(key, bytes).unwrap();
    }
    let mut base = 0;
    let mut frames = Vec::new();
    for body in encoded.into_bodies() {
        assert_eq!(body.buffer.len() % 16, 0);
        let end = HEADER_BYTES + body.payload_length as usize;
        let payload = Bytes::from(body.buffer).slice(HEADER_BYTES..end);
        assert_eq!(crc32c::crc32c(&payload), body.payload_crc);
        assert!(is_payload(&payload, body.count));
        let frame = Frame { base, count: body.count, arrived_ms: 5, payload };
        base = frame.end();
        frames.push(frame);
    }
    Frames { shard: ShardId(2), from, frames }
}

proptest! {
    #[test]
    fn records_come_back(
        records in prop::collection::vec(
            ("[a-zé]{0,9}", prop::collection::vec(any::<u8>(), 0..50)), 1..20),
        from in any::<prop::sample::Index>(),
    ) {
        let from = from.index(records.len());
        let frames = frames_of(&records, from as u64);
        let found: Vec<_> = frames
            .iter()
            .map(|it| (it.key.to_owned(), it.bytes.to_vec()))
            .collect();
        prop_assert_eq!(&found, &records[from..]);
        prop_assert_eq!(frames.len(), found.len() as u64);
        let first = frames.iter().next().unwrap();
        prop_assert_eq!(first.place.sequence, SequenceNumber(from as u64));
    }

    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), count: u32) {
        let mut rest = bytes.as_slice();
        while let Some((_, _, after)) = split_record(rest) {
            rest = after;
        }
        is_payload(&bytes, count);
    }
}

#[test]
fn large_appends_are_cut_into_frames() {
    let records: Vec<_> = (0..5).map(|_| (String::new(), vec![1; 700_000])).collect();
    let frames = frames_of(&records, 0);
    assert_eq!(frames.frames.len(), 5);
    assert_eq!(frames.iter().count(), 5);
}

#[test]
fn what_is_too_large_is_refused() {
    let mut records = Records::new();
    assert!(records.push("", &vec![0; (1 << 20) + 1]).is_err());
    assert!(records.push(&"k".repeat(257), b"").is_err());
    assert!(records.is_empty());
    records.push("k", &vec![0; (1 << 20) - 1]).unwrap();
    assert_eq!((records.len(), records.bytes()), (1, 1 << 20));
}
