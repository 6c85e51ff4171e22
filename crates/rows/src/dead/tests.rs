//! Rejects as a table.

use base::{SequenceNumber, ShardId};

use super::*;

#[test]
fn a_reject_keeps_its_bytes_its_place_and_all_reasons() {
    let mut builder = Builder::new();
    let place = Place { shard: ShardId(3), sequence: SequenceNumber(7) };
    let record = Record { bytes: b"\xff\x00", place, arrived_ms: 1_500 };
    builder.push(&record, DeadKind::Check, &["a", "b"], "two checks failed");
    builder.push(&record, DeadKind::Decode, &[], "not JSON");
    assert_eq!(builder.len(), 2);
    let batch = builder.finish();
    assert_eq!(batch.num_rows(), 2);
    assert_eq!(batch.schema(), schema::of_dead());
    assert!(builder.is_empty(), "finish begins anew");
    assert_eq!(builder.finish().num_rows(), 0);
}
