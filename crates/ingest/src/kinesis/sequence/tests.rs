//! Sequence numbers and shard ids.

use proptest::prelude::*;

use super::*;

#[test]
fn they_look_as_documented() {
    let numbering = Numbering::of(3, ShardId(2));
    assert_eq!(numbering.shard_id, "shardId-000000000002");
    assert_eq!(
        numbering.number(SequenceNumber(17)),
        "49000000000300000000020000000000000000000000000000000017"
    );
    assert_eq!(read_shard_id("shardId-000000000002"), Some(ShardId(2)));
    assert_eq!(read_shard_id("2"), Some(ShardId(2)));
    assert_eq!(read_shard_id("shardId-"), None);
    assert_eq!(read_shard_id("shardId--2"), None);
    assert_eq!(read_shard_id("shardId-99999999999999999999"), None);
}

proptest! {
    #[test]
    fn what_is_written_is_read(stream: u32, shard: u32, sequence: u64) {
        let number = Numbering::of(stream, ShardId(shard)).number(SequenceNumber(sequence));
        prop_assert_eq!(number.len(), DIGITS);
        let place = Place { shard: ShardId(shard), sequence: SequenceNumber(sequence) };
        prop_assert_eq!(read(&number, stream), Some(place));
        prop_assert_eq!(read(&number, stream.wrapping_add(1)), None);
        prop_assert_eq!(read_shard_id(&shard_id(ShardId(shard))), Some(ShardId(shard)));
    }

    #[test]
    fn numbers_order_as_places_do(one: (u32, u64), other: (u32, u64)) {
        let number = |(shard, sequence): (u32, u64)| {
            Numbering::of(1, ShardId(shard)).number(SequenceNumber(sequence))
        };
        prop_assert_eq!(number(one).cmp(&number(other)), one.cmp(&other));
    }

    #[test]
    fn any_text_never_panics(text in ".*", digits in "49[0-9]{54}") {
        let _place = read(&text, 1);
        let _place = read(&digits, 1);
        let _shard = read_shard_id(&text);
    }
}
