//! Shard iterators.

use proptest::prelude::*;

use super::*;

fn iterator(made_ms: u64) -> ShardIterator {
    let place = Place { shard: ShardId(1), sequence: SequenceNumber(42) };
    ShardIterator { stream: 7, name: "orders".to_owned(), place, made_ms }
}

#[test]
fn an_iterator_expires_after_five_minutes() {
    let made_ms = 1_767_600_000_000;
    let text = iterator(made_ms).write();
    assert_eq!(ShardIterator::read(&text, made_ms + 300_000).unwrap(), iterator(made_ms));
    let fault = ShardIterator::read(&text, made_ms + 300_001).unwrap_err();
    assert_eq!(fault.name, "ExpiredIteratorException");
    assert_eq!(
        fault.message,
        "Iterator expired. The iterator was created at time Mon Jan 05 08:00:00 UTC 2026 while \
         right now it is Mon Jan 05 08:05:00 UTC 2026 which is further in the future than the \
         tolerated delay of 300000 milliseconds."
    );
}

proptest! {
    #[test]
    fn what_is_written_is_read(stream: u32, shard: u32, sequence: u64, made_ms: u64, name in "[a-zA-Z0-9_.:-]{1,128}") {
        let place = Place { shard: ShardId(shard), sequence: SequenceNumber(sequence) };
        let iterator = ShardIterator { stream, name, place, made_ms };
        let text = iterator.write();
        prop_assert!(text.len() <= 512);
        prop_assert_eq!(ShardIterator::read(&text, made_ms).unwrap(), iterator);
    }

    #[test]
    fn any_text_never_panics(text in ".*", inside in "[0-9:a-z]{0,40}", now_ms: u64) {
        prop_assert!(ShardIterator::read(&text, now_ms).is_err());
        drop(ShardIterator::read(&BASE64.encode(inside), now_ms));
    }
}
