use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use base::time::ManualClock;
use base::{Name, SequenceNumber, ShardId};
use proptest::prelude::*;

use crate::simulate::SimulatedDisk;
use crate::{Append, Error, IdempotencyKey, Journal, Records, Settings, StreamSettings, Threads};

fn settings() -> Settings {
    Settings {
        segment_bytes: 8 << 10,
        commit_bytes_max: 4 << 10,
        tail_bytes_max: 1 << 10,
        threads: Threads::Caller,
        ..Settings::new("/journal")
    }
}

fn open(disk: &SimulatedDisk) -> Result<Journal, Error> {
    let clock = ManualClock::at(1_700_000_000_000);
    Journal::open(settings(), disk.as_disk(), Arc::new(clock))
}

/// Appends one record of 200 bytes that says its number.
fn append(journal: &Journal, number: u64) -> Result<(), Error> {
    let stream = journal.stream("s").expect("it was made");
    let mut records = Records::new();
    records.push("", &[number as u8; 200])?;
    let mut second = Records::new();
    second.push("", &[number as u8; 20])?;
    let parts = vec![(ShardId(0), records), (ShardId(1), second)];
    let idempotency = Some(IdempotencyKey::new(&format!("key-{number}"))?);
    let done = journal.append_blocking(Append { stream, parts, idempotency })?;
    assert!(!done.repeated);
    Ok(())
}

fn create(journal: &Journal) -> Result<(), Error> {
    let settings = StreamSettings { shards: 2, ..StreamSettings::default() };
    journal.create_stream(&Name::new("s").unwrap(), settings).map(drop)
}

/// Checks that shard 0 and shard 1 have the same `count` whole records, from their first on.
fn count(journal: &Journal) -> u64 {
    let Some(stream) = journal.stream("s") else { return 0 };
    let info = journal.stream_info(stream).unwrap();
    assert_eq!(info.shards[0].next, info.shards[1].next, "an append is whole or not there");
    for shard in [0, 1] {
        let mut from = info.shards[shard].first;
        while from < info.shards[shard].next {
            let frames = journal.read(stream, ShardId(shard as u32), from, 1_000).unwrap();
            for record in &frames {
                assert!(record.bytes.iter().all(|it| *it == record.place.sequence.0 as u8));
            }
            from = frames.end();
        }
    }
    info.shards[0].next.0
}

fn segment(disk: &SimulatedDisk, generation: u64) -> PathBuf {
    let path = PathBuf::from(format!("/journal/{generation:016}.journal"));
    assert!(disk.contents(&path).is_some(), "{:?}", disk.paths());
    path
}

/// A journal with `appends` in it, whose power was cut.
fn written(appends: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(7);
    let journal = open(&disk).unwrap();
    create(&journal).unwrap();
    for number in 0..appends {
        append(&journal, number).unwrap();
    }
    disk.crash()
}

/// A short scenario that rolls, seals and recycles; returns how many appends were acknowledged.
fn scenario(disk: &SimulatedDisk) -> Result<u64, (u64, Error)> {
    let mut acknowledged = 0;
    let journal = open(disk).map_err(|error| (acknowledged, error))?;
    acknowledged = count(&journal);
    create(&journal).map_err(|error| (acknowledged, error))?;
    let found = acknowledged;
    for number in found..40 {
        append(&journal, number).map_err(|error| (acknowledged, error))?;
        acknowledged = number + 1;
        if number % 25 == 24 {
            journal.maintain().map_err(|error| (acknowledged, error))?;
        }
    }
    journal.close();
    Ok(acknowledged)
}

#[test]
fn a_crash_at_every_operation_loses_nothing() {
    let whole = SimulatedDisk::new(3);
    assert_eq!(scenario(&whole).unwrap(), 40);
    let operations = whole.operations();
    assert!(80 < operations);
    for stop in 0..operations {
        let disk = SimulatedDisk::new(stop);
        disk.stop_at(stop);
        let acknowledged = match scenario(&disk) {
            Ok(acknowledged) | Err((acknowledged, _)) => acknowledged,
        };
        let after = disk.crash();
        let found = count(&open(&after).unwrap());
        assert!((acknowledged..=acknowledged + 1).contains(&found), "stopped at {stop}");
        // It goes on as if nothing had been.
        assert_eq!(scenario(&after).unwrap(), 40, "stopped at {stop}");
    }
}

#[test]
fn a_crash_at_every_operation_of_recovery_loses_nothing() {
    for first_stop in [30, 50, 75] {
        for stop in 0..40 {
            let disk = SimulatedDisk::new(stop);
            disk.stop_at(first_stop);
            let acknowledged = scenario(&disk).unwrap_err().0;
            let disk = disk.crash();
            disk.stop_at(disk.operations() + stop);
            drop(open(&disk));
            let journal = open(&disk.crash()).unwrap();
            assert!((acknowledged..=acknowledged + 1).contains(&count(&journal)));
        }
    }
}

#[test]
fn damage_below_the_synced_end_is_refused_with_file_and_offset() {
    let disk = written(10);
    let path = segment(&disk, 1);
    // A bit of a record in the third commit: six frames before it were acknowledged.
    let commit_bytes = 512 + 160;
    let offset = 64 + 2 * commit_bytes + 100;
    assert!(disk.flip(&path, offset, 1));
    let Err(Error::Damaged { file, offset: at, .. }) = open(&disk) else {
        panic!("damage must be refused");
    };
    assert_eq!(file, path);
    assert!(at <= offset && offset < at + 300, "{at} for {offset}");
    assert!(disk.flip(&path, offset, 1));
    assert_eq!(count(&open(&disk).unwrap()), 10);
}

#[test]
fn every_flipped_bit_but_in_the_last_commit_is_refused() {
    let disk = written(12);
    let path = segment(&disk, 1);
    let contents = disk.contents(&path).unwrap();
    let end = contents.iter().rposition(|it| *it != 0).unwrap() as u64;
    let last_commit = end - 700;
    for offset in (0..end).step_by(41) {
        let before = disk.contents(&path).unwrap();
        disk.flip(&path, offset, 0);
        match open(&disk) {
            Err(Error::Damaged { .. }) => {}
            Err(error) => panic!("byte {offset}: {error}"),
            // The last commit may be cut; bits of padding carry nothing.
            Ok(journal) => {
                let found = count(&journal);
                assert!(found == 12 || (found == 11 && last_commit < offset), "byte {offset}");
            }
        }
        disk.set_contents(&path, &before);
    }
}

#[test]
fn the_last_commit_is_safe_from_damage_once_its_end_is_marked() {
    let disk = written(12);
    open(&disk).unwrap();
    let journal = open(&disk).unwrap();
    append(&journal, 12).unwrap();
    journal.close();
    let path = segment(&disk, 1);
    let contents = disk.contents(&path).unwrap();
    let last_record = contents.windows(20).rposition(|it| it == [12; 20]).unwrap() as u64;
    assert!(disk.flip(&path, last_record, 0));
    assert!(matches!(open(&disk), Err(Error::Damaged { .. })));
}

#[test]
fn a_torn_last_commit_is_cut_and_the_journal_goes_on() {
    let disk = written(10);
    let journal = open(&disk).unwrap();
    // The write of this append is cut short, and no sync follows.
    disk.stop_at(disk.operations());
    append(&journal, 10).unwrap_err();
    let disk = disk.kill();
    let journal = open(&disk).unwrap();
    assert_eq!(count(&journal), 10);
    append(&journal, 10).unwrap();
    drop(journal);
    assert_eq!(count(&open(&disk.crash()).unwrap()), 11);
}

#[test]
fn a_kill_keeps_what_was_written_and_makes_it_durable() {
    let disk = written(10);
    let journal = open(&disk).unwrap();
    // Written, but the sync fails: nobody was told.
    disk.stop_at(disk.operations() + 1);
    append(&journal, 10).unwrap_err();
    let disk = disk.kill();
    let found = count(&open(&disk).unwrap());
    assert_eq!(found, 11);
    assert_eq!(count(&open(&disk.crash()).unwrap()), 11, "what was shown stays");
}

#[test]
fn a_missing_file_is_refused() {
    use crate::Disk;
    for name in ["/journal/streams.json", "/journal/0000000000000001.journal"] {
        let disk = written(3);
        disk.remove(Path::new(name)).unwrap();
        let Err(Error::Damaged { file, .. }) = open(&disk) else { panic!("{name} is missing") };
        assert_eq!(file, Path::new(name));
    }
    let disk = written(40);
    open(&disk).unwrap().maintain().unwrap();
    let sealed = disk.paths().into_iter().find(|it| it.extension() == Some("sealed".as_ref()));
    disk.remove(&sealed.unwrap()).unwrap();
    assert!(open(&disk).is_err());
}

#[test]
fn a_failed_sync_stops_the_journal_for_good() {
    let disk = written(5);
    let journal = open(&disk).unwrap();
    disk.fail_syncs_after(0);
    assert!(matches!(append(&journal, 5), Err(Error::Failed { .. })));
    assert!(matches!(append(&journal, 5), Err(Error::Failed { .. })));
    assert!(matches!(journal.failure(), Some(Error::Failed { .. })));
    assert!(matches!(journal.maintain(), Err(Error::Failed { .. })));
    drop(journal);
    let found = count(&open(&disk.crash()).unwrap());
    assert!((5..=6).contains(&found));
}

/// The last frame of a commit may end with zeros.
const HEADER: usize = crate::format::HEADER_BYTES;

/// Where the first, the second, … of ten commits ends in the first segment.
static ENDS: LazyLock<Vec<usize>> = LazyLock::new(|| {
    let end = |commits| {
        let disk = written(commits);
        let contents = disk.contents(&segment(&disk, 1)).unwrap();
        contents.iter().rposition(|it| *it != 0).map_or(0, |last| last + 1)
    };
    (1..=10).map(end).collect()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_in_a_segment_are_no_panic(
        start in 0..8_000_usize,
        bytes in prop::collection::vec(any::<u8>(), 1..600),
    ) {
        let disk = written(10);
        let path = segment(&disk, 1);
        let mut contents = disk.contents(&path).unwrap();
        for (at, byte) in contents.iter_mut().skip(start).zip(bytes) {
            *at = byte;
        }
        disk.set_contents(&path, &contents);
        if let Ok(journal) = open(&disk) {
            // What lies before the damage is there; what it hit may look like a torn tail where it
            // also hit the commit that says how far was synced.
            let whole = ENDS.iter().filter(|it| **it + HEADER <= start).count() as u64;
            prop_assert!(whole <= count(&journal), "{whole} commits lie before byte {start}");
        }
    }
}

#[test]
fn sequence_numbers_survive_when_every_record_has_expired() {
    let disk = written(40);
    let clock = ManualClock::at(1_700_000_000_000);
    let late = |clock: &Arc<ManualClock>| {
        Journal::open(settings(), disk.as_disk(), Arc::new(Arc::clone(clock))).unwrap()
    };
    clock.advance(std::time::Duration::from_secs(48 * 3_600));
    let journal = late(&clock);
    journal.maintain().unwrap();
    journal.maintain().unwrap();
    drop(journal);
    let journal = late(&clock);
    let stream = journal.stream("s").unwrap();
    let info = journal.stream_info(stream).unwrap();
    assert_eq!((info.received, info.shards[0].first.0, info.shards[0].next.0), (80, 40, 40));
    assert_eq!(journal.stats().sealed_files, 0);
    append(&journal, 40).unwrap();
    let read = journal.read(stream, ShardId(0), SequenceNumber(39), 100);
    let first = SequenceNumber(40);
    assert!(matches!(read, Err(Error::Expired { first: it, .. }) if it == first));
}
