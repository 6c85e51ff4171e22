use std::path::Path;

use base::Name;
use proptest::prelude::*;

use super::{KeysEntry, Manifest, SealedEntry, ShardEntry, StreamEntry};
use crate::simulate::SimulatedDisk;

fn example() -> Manifest {
    let shard = ShardEntry { hash_end: u128::MAX, sealed: 7, ..ShardEntry::default() };
    Manifest {
        streams: vec![StreamEntry {
            id: 0,
            name: Name::new("orders").unwrap(),
            created_ms: 1,
            declared: true,
            shards_wanted: 1,
            on_demand: false,
            replay_ms: 2,
            replay_bytes: 3,
            received_gone: 4,
            note: Some("{}".to_owned()),
            shards: vec![shard],
            holds: [("flow".to_owned(), vec![5])].into(),
        }],
        stream_next: 1,
        sealed: vec![SealedEntry { stream: 0, generation: 1, bytes: 9 }],
        keys: vec![KeysEntry { generation: 1, bytes: 9, newest_ms: 4 }],
        ..Manifest::fresh()
    }
}

#[test]
fn a_manifest_comes_back() {
    let manifest = example();
    assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
}

proptest! {
    #[test]
    fn a_flipped_bit_is_seen(at in any::<prop::sample::Index>(), bit in 0..8) {
        let mut bytes = example().encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(Manifest::decode(&bytes).is_err());
    }

    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Manifest::decode(&bytes).is_err());
    }
}

#[test]
fn a_crash_leaves_the_old_or_the_new_one() {
    let folder = Path::new("/journal");
    for seed in 0..20 {
        for stop in 0..8 {
            let disk = SimulatedDisk::new(seed);
            Manifest::fresh().store(&disk, folder).unwrap();
            disk.stop_at(disk.operations() + stop);
            let stored = example().store(&disk, folder);
            let found = Manifest::load(&disk.crash(), folder).unwrap().unwrap();
            assert!(found == example() || (stored.is_err() && found == Manifest::fresh()));
        }
    }
}

#[test]
fn a_manifest_from_before_shards_were_split_is_read() {
    let text = r#"{"format":1,"started":true,"generation_first":3,"commit":9,"commit_end":64,
        "streams":[{"id":0,"name":"orders","created_ms":5,"declared":true,"replay_ms":1,"replay_bytes":2,
        "shards":[{"hash_start":"0","hash_end":"7f","first":1,"sealed":2,"arrived_ms":3},
                  {"hash_start":"80","hash_end":"ff","first":0,"sealed":0,"arrived_ms":0}],
        "holds":{"flow":[1,0]}}],"sealed":[],"keys":[]}"#;
    let bytes = format!("{:08x}\n{text}", crc32c::crc32c(text.as_bytes()));
    let manifest = Manifest::decode(bytes.as_bytes()).unwrap();
    assert_eq!((manifest.stream_next, manifest.streams[0].shards_wanted), (1, 2));
    let shards: Vec<_> =
        manifest.streams[0].shards.iter().map(|it| (it.id, it.opened_ms)).collect();
    assert_eq!(shards, [(0, 5), (1, 5)]);
    assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
}
