use base::{SequenceNumber, ShardId};
use journal::ShardInfo;
use proptest::prelude::*;

use super::{DIGITS, Decoded, Numbering, read, read_shard_id, shard_id};

fn shard(id: u32, opened_ms: u64) -> ShardInfo {
    ShardInfo {
        id: ShardId(id),
        hash_start: 0,
        hash_end: u128::MAX,
        parent: None,
        adjacent_parent: None,
        opened_ms,
        closed_ms: None,
        first: SequenceNumber(0),
        next: SequenceNumber(0),
        arrived_ms: 0,
        written_bytes: 0,
    }
}

#[test]
fn a_number_has_the_layout_of_aws() {
    // 2 | 0695b6f80 | 1 | 0000000000000005 | 00 | 0695b6fbc | 00000011 | 2, from hexadecimal.
    let numbering = Numbering::of(&shard(0x11, 0x695b_6f80 * 1_000));
    let number = numbering.number(SequenceNumber(4), 0x695b_6fbc * 1_000 + 999);
    let parts = ["2", "0695b6f80", "1", "0000000000000005", "00", "0695b6fbc", "00000011", "2"];
    let hexadecimal = parts.concat();
    assert_eq!(hexadecimal.len(), 47);
    let (high, low) = hexadecimal.split_at(15);
    let high = u128::from_str_radix(high, 16).unwrap();
    let low = u128::from_str_radix(low, 16).unwrap();
    // The same by long division of decimal digits.
    let mut digits = vec![0_u8];
    for bit in (0..60).rev().map(|it| high >> it & 1).chain((0..128).rev().map(|it| low >> it & 1))
    {
        let mut carry = bit as u8;
        for digit in digits.iter_mut().rev() {
            let value = *digit * 2 + carry;
            *digit = value % 10;
            carry = value / 10;
        }
        if 0 < carry {
            digits.insert(0, carry);
        }
    }
    let expected: String = digits.iter().map(|it| char::from(b'0' + it)).collect();
    assert_eq!(number, expected);
    assert!(number.starts_with("49") && number.len() == DIGITS);
}

proptest! {
    #[test]
    fn a_number_comes_back(
        id in any::<u32>(),
        place in 0..u64::MAX - 1,
        made_s in 0..1_u64 << 36,
        arrived_s in 0..1_u64 << 36,
    ) {
        let numbering = Numbering::of(&shard(id, made_s * 1_000));
        let number = numbering.number(SequenceNumber(place), arrived_s * 1_000);
        prop_assert_eq!(number.len(), DIGITS);
        let decoded = Decoded { shard: ShardId(id), made_s, place: place + 1, arrived_s };
        prop_assert_eq!(read(&number), Some(decoded));
        prop_assert!(decoded.is_of(&shard(id, made_s * 1_000 + 5)));
        prop_assert!(!decoded.is_of(&shard(id ^ 1, made_s * 1_000)));
    }

    #[test]
    fn numbers_order_as_records_do(
        one in 0..1_u64 << 50,
        other in 0..1_u64 << 50,
        arrived in 0..1_u64 << 40,
        waited in 0..1_u64 << 20,
    ) {
        let parent = Numbering::of(&shard(7, 1_700_000_000_000));
        let child = Numbering::of(&shard(8, 1_700_000_001_000));
        let (first, second) = (one.min(other), one.max(other) + 1);
        let first = parent.number(SequenceNumber(first), arrived);
        let second = parent.number(SequenceNumber(second), arrived + waited);
        prop_assert!(first < second);
        prop_assert!(parent.start() < first);
        prop_assert!(second < child.start(), "a child comes after its parents");
    }

    #[test]
    fn any_text_is_no_panic(text in "[0-9]{0,60}") {
        let decoded = read(&text);
        prop_assert!(decoded.is_none() || text.len() == DIGITS);
    }
}

#[test]
fn what_is_not_ours_is_not_read() {
    let numbering = Numbering::of(&shard(1, 5_000));
    let number = numbering.number(SequenceNumber(9), 6_000);
    let mut other = number.clone();
    other.pop();
    for wrong in [other.as_str(), "0", "", &"9".repeat(56), &"x".repeat(56)] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
}

#[test]
fn shard_ids_are_written_as_kinesis_writes_them() {
    assert_eq!(shard_id(ShardId(12)), "shardId-000000000012");
    assert_eq!(read_shard_id("shardId-000000000012"), Some(ShardId(12)));
    assert_eq!(read_shard_id("12"), Some(ShardId(12)));
    for wrong in ["", "shardId-", "shardId-x", "shardId--1", "shardId-99999999999"] {
        assert_eq!(read_shard_id(wrong), None, "{wrong}");
    }
}
