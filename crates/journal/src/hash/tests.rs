use super::{hash_of, split_evenly};
use crate::settings::Key;

#[test]
fn ranges_cover_the_space_without_gaps() {
    for shards in [1, 2, 3, 4, 7, 10, 1_000, 1_024] {
        let ranges = split_evenly(shards);
        assert_eq!(ranges.len(), shards as usize);
        assert_eq!(ranges[0].0, 0);
        assert_eq!(ranges[ranges.len() - 1].1, u128::MAX);
        for pair in ranges.windows(2) {
            assert_eq!(pair[0].1 + 1, pair[1].0);
        }
    }
}

#[test]
fn two_shards_split_as_kinesis_does() {
    let ranges = split_evenly(2);
    assert_eq!(ranges[0].1.to_string(), "170141183460469231731687303715884105727");
    assert_eq!(ranges[1].1.to_string(), "340282366920938463463374607431768211455");
    let thirds = split_evenly(3);
    assert_eq!(thirds[0].1.to_string(), "113427455640312821154458202477256070484");
}

#[test]
fn a_partition_key_is_hashed_with_md5() {
    let hash = hash_of(Key::Partition("hello"));
    assert_eq!(format!("{hash:032x}"), "5d41402abc4b2a76b9719d911017c592");
    assert_eq!(hash_of(Key::Hash(7)), 7);
}
