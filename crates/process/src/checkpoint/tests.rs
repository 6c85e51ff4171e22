use std::collections::BTreeMap;
use std::path::Path;

use base::{Epoch, Name, SequenceNumber, ShardId};
use journal::simulate::SimulatedDisk;
use proptest::prelude::*;
use rows::sink::Actions;

use super::{Checkpoint, Detached, Files, State, StreamPoint, TablePoint};
use crate::error::Error;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn sample(epoch: u64) -> Checkpoint {
    let mut checkpoint = Checkpoint::new(name("orders"), Epoch(epoch));
    let shards =
        BTreeMap::from([(ShardId(0), SequenceNumber(7)), (ShardId(12), SequenceNumber(9))]);
    let times = BTreeMap::from([(ShardId(0), 1_767_607_200_000_000)]);
    let stream = StreamPoint {
        epoch: Epoch(epoch),
        positions: shards,
        stored: 10,
        dead: 6,
        arrived_ms: 5,
        times_us: BTreeMap::from([("ts".to_owned(), times)]),
    };
    let table = TablePoint {
        epoch: Epoch(epoch),
        watermark_us: Some(-3),
        detached: Some(Detached { since_ms: 1, error: "why".to_owned(), is_held: false }),
        actions: Some(Actions(serde_json::json!({"add": ["a.parquet"]}))),
        ..TablePoint::default()
    };
    checkpoint.streams.insert(name("orders"), stream);
    checkpoint.tables.insert(name("sales"), table);
    checkpoint
}

fn files(disk: &SimulatedDisk) -> Files {
    Files::open(disk.as_disk(), Path::new("/flows"), "orders").unwrap()
}

#[test]
fn a_checkpoint_is_read_as_it_was_written() {
    let disk = SimulatedDisk::new(1);
    let files = files(&disk);
    assert_eq!(files.checkpoint().unwrap(), None);
    files.commit(&sample(1)).unwrap();
    files.commit(&sample(2)).unwrap();
    assert_eq!(files.checkpoint().unwrap(), Some(sample(2)));
    let all = Files::all(&disk.as_disk(), Path::new("/flows")).unwrap();
    assert_eq!(all.len(), 1);
}

#[test]
fn a_crash_leaves_the_old_checkpoint_or_the_new_one() {
    for stop in 1..12 {
        let disk = SimulatedDisk::new(stop);
        files(&disk).commit(&sample(1)).unwrap();
        disk.stop_at(disk.operations() + stop);
        let committed = files(&disk).commit(&sample(2)).is_ok();
        let disk = disk.crash();
        let found = files(&disk).checkpoint().unwrap().expect("one of them is there");
        assert!(found == sample(2) || (!committed && found == sample(1)), "stop {stop}");
    }
}

#[test]
fn a_flipped_bit_in_the_state_is_found() {
    let disk = SimulatedDisk::new(1);
    let files = files(&disk);
    let mut state = State::default();
    let section = state.push(b"the groups of a table");
    let mut checkpoint = sample(3);
    checkpoint.state = Some(files.write_state(Epoch(3), &state).unwrap());
    let bytes = files.read_state(&checkpoint).unwrap();
    let found = files.section(&checkpoint, &bytes, section).unwrap();
    assert_eq!(found, b"the groups of a table");
    assert!(disk.flip(Path::new("/flows/orders@state-3.bin"), 5, 1));
    let bytes = files.read_state(&checkpoint).unwrap();
    let error = files.section(&checkpoint, &bytes, section).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

#[test]
fn old_state_is_swept_and_nothing_else() {
    let disk = SimulatedDisk::new(1);
    let files = files(&disk);
    let other = Files::open(disk.as_disk(), Path::new("/flows"), "other").unwrap();
    let mut state = State::default();
    state.push(b"x");
    let mut checkpoint = sample(2);
    files.write_state(Epoch(1), &state).unwrap();
    other.write_state(Epoch(1), &state).unwrap();
    checkpoint.state = Some(files.write_state(Epoch(2), &state).unwrap());
    files.commit(&checkpoint).unwrap();
    files.sweep(&checkpoint);
    let names: Vec<String> = disk.as_disk().list(Path::new("/flows")).unwrap();
    assert_eq!(names, ["orders@checkpoint.json", "orders@state-2.bin", "other@state-1.bin"]);
}

#[test]
fn another_format_is_refused_with_the_fix() {
    let disk = SimulatedDisk::new(1);
    let files = files(&disk);
    files.commit(&Checkpoint { format: 99, ..sample(1) }).unwrap();
    let error = files.checkpoint().unwrap_err().to_string();
    assert!(error.contains("start the version that wrote it"), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_are_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let disk = SimulatedDisk::new(1);
        let files = files(&disk);
        files.commit(&sample(1)).unwrap();
        disk.set_contents(Path::new("/flows/orders@checkpoint.json"), &bytes);
        let _any = files.checkpoint();
    }
}
