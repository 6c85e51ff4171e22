use proptest::prelude::*;

use super::{CommitMark, FrameKind, HEADER_BYTES, Header, Position, SegmentHeader};

fn any_header() -> impl Strategy<Value = Header> {
    let kinds = [
        FrameKind::Data,
        FrameKind::Commit,
        FrameKind::Key,
        FrameKind::Block,
        FrameKind::Index,
        FrameKind::End,
    ];
    let small = (any::<u8>(), any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>());
    let large = (any::<u32>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
    (prop::sample::select(kinds.to_vec()), small, large).prop_map(|(kind, small, large)| Header {
        kind,
        codec: small.0,
        stream: small.1,
        shard: small.2,
        count: small.3,
        body_length: small.4,
        body_crc: large.0,
        base: large.1,
        arrived_first_ms: large.2,
        arrived_last_ms: large.3,
        commit: large.4,
    })
}

proptest! {
    #[test]
    fn a_header_comes_back(header in any_header(), salt in any::<u32>()) {
        prop_assert_eq!(Header::decode(&header.encode(salt), salt), Some(header));
    }

    #[test]
    fn a_header_of_another_generation_is_none(header in any_header(), salt in any::<u32>()) {
        prop_assert_eq!(Header::decode(&header.encode(salt), salt.wrapping_add(1)), None);
    }

    #[test]
    fn a_flipped_bit_is_seen(header in any_header(), at in 0..HEADER_BYTES, bit in 0..8) {
        let mut bytes = header.encode(7);
        bytes[at] ^= 1_u8 << bit;
        prop_assert_eq!(Header::decode(&bytes, 7), None);
    }

    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(Header::decode(&bytes, 0), None);
        prop_assert_eq!(SegmentHeader::decode(&bytes), None);
    }
}

#[test]
fn a_commit_and_a_segment_header_come_back() {
    let synced = Position { generation: 3, offset: 4_096 };
    let mark = CommitMark { number: 9, synced, frames: 2, frames_crc: 77 };
    let header = Header::decode(&mark.to_header().encode(5), 5).unwrap();
    assert_eq!(CommitMark::of_header(&header), Some(mark));
    let segment = SegmentHeader { generation: 1, random: 2, bytes: 3 };
    assert_eq!(SegmentHeader::decode(&segment.encode()), Some(segment));
}
