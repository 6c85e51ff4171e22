use std::sync::Arc;
use std::time::Duration;

use base::time::{ManualClock, SystemClock};
use base::{ByteSize, Kind, Name, SequenceNumber, ShardId, Span};

use crate::simulate::SimulatedDisk;
use crate::{
    Append, Appended, Error, IdempotencyKey, Journal, Key, RealDisk, Records, Settings, StreamId,
    StreamSettings, Threads,
};

struct Bed {
    disk: SimulatedDisk,
    clock: Arc<ManualClock>,
    journal: Journal,
    stream: StreamId,
}

fn settings() -> Settings {
    Settings {
        segment_bytes: 8 << 10,
        commit_bytes_max: 4 << 10,
        tail_bytes_max: 2 << 10,
        threads: Threads::Caller,
        ..Settings::new("/journal")
    }
}

impl Bed {
    fn new(stream_settings: StreamSettings) -> Bed {
        let disk = SimulatedDisk::new(1);
        let clock = ManualClock::at(1_000_000);
        let clock_here = Arc::new(Arc::clone(&clock));
        let journal = Journal::open(settings(), disk.as_disk(), clock_here).unwrap();
        let stream = journal.create_stream(&name("orders"), stream_settings).unwrap();
        Bed { disk, clock, journal, stream }
    }

    fn restart(&mut self) {
        self.disk = self.disk.crash();
        let clock = Arc::new(Arc::clone(&self.clock));
        self.journal = Journal::open(settings(), self.disk.as_disk(), clock).unwrap();
    }

    fn append(&self, count: usize) -> Result<Appended, Error> {
        self.append_named(count, None)
    }

    fn append_named(&self, count: usize, name: Option<&str>) -> Result<Appended, Error> {
        self.journal.append_blocking(request(self.stream, count, name))
    }

    /// Appends 100 records of 100 bytes and seals what is behind.
    fn fill(&self) {
        for _ in 0..10 {
            self.append(10).unwrap();
        }
        self.journal.maintain().unwrap();
    }

    fn first(&self) -> u64 {
        self.journal.stream_info(self.stream).unwrap().shards[0].first.0
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn request(stream: StreamId, count: usize, name: Option<&str>) -> Append {
    let mut records = Records::new();
    for _ in 0..count {
        records.push("k", &[7; 100]).unwrap();
    }
    let idempotency = name.map(|it| IdempotencyKey::new(it).unwrap());
    Append { stream, parts: vec![(ShardId(0), records)], idempotency }
}

fn ten_of(record: &[u8]) -> Records {
    let mut records = Records::new();
    for _ in 0..10 {
        records.push("", record).unwrap();
    }
    records
}

fn hour() -> StreamSettings {
    StreamSettings { replay: Span::from_millis(3_600_000), ..StreamSettings::default() }
}

#[test]
fn records_expire_by_age_but_not_past_a_hold() {
    let mut bed = Bed::new(hour());
    let hold = bed.journal.hold(bed.stream, "flow").unwrap();
    bed.fill();
    bed.clock.advance(Duration::from_secs(3_700));
    bed.fill();
    assert_eq!(bed.first(), 0, "the hold stands at the first record");
    bed.restart();
    bed.journal.maintain().unwrap();
    assert_eq!(bed.first(), 0, "the hold survives a restart without its reader");
    drop(hold);
    let hold = bed.journal.hold(bed.stream, "flow").unwrap();
    hold.move_to(ShardId(0), SequenceNumber(90));
    bed.journal.maintain().unwrap();
    let first = bed.first();
    assert!(0 < first && first <= 90, "{first}");
    hold.release().unwrap();
    bed.clock.advance(Duration::from_secs(3_700));
    bed.journal.maintain().unwrap();
    assert!(90 < bed.first());
    let read = bed.journal.read(bed.stream, ShardId(0), SequenceNumber(0), 100);
    assert_eq!(read.unwrap_err().kind(), Kind::Invalid);
}

#[test]
fn records_expire_by_size() {
    let size = StreamSettings { replay_size: ByteSize(1_500), ..StreamSettings::default() };
    let bed = Bed::new(size);
    for _ in 0..10 {
        bed.fill();
    }
    assert!(0 < bed.first());
    assert!(bed.journal.stats().sealed_bytes <= 1_500);
    assert_eq!(bed.journal.streams()[0].received, 1_000);
}

#[test]
fn the_disk_does_not_grow_beyond_what_is_kept() {
    let size = StreamSettings { replay_size: ByteSize(5_000), ..StreamSettings::default() };
    let bed = Bed::new(size);
    for _ in 0..20 {
        bed.fill();
    }
    let used = bed.disk.used_bytes();
    assert!(used < 6 * (8 << 10) + 10_000, "{used} bytes: segments are used again");
}

#[test]
fn a_repeated_key_answers_the_first_places() {
    let mut bed = Bed::new(hour());
    let first = bed.append_named(3, Some("a")).unwrap();
    assert!(!first.repeated);
    let again = bed.append_named(5, Some("a")).unwrap();
    assert_eq!(again, Appended { repeated: true, ..first.clone() });
    bed.restart();
    assert_eq!(bed.append_named(5, Some("a")).unwrap(), again);
    // Also when the segment is gone and the records have expired.
    bed.clock.advance(Duration::from_secs(8_000));
    bed.fill();
    bed.clock.advance(Duration::from_secs(8_000));
    bed.fill();
    assert!(3 <= bed.first());
    bed.restart();
    assert_eq!(bed.append_named(5, Some("a")).unwrap(), again);
    bed.clock.advance(Duration::from_secs(24 * 3_600));
    bed.journal.maintain().unwrap();
    assert!(!bed.append_named(5, Some("a")).unwrap().repeated, "forgotten after a day");
}

#[test]
fn two_requests_at_once_with_one_key_are_one_append() {
    let bed = Bed::new(hour());
    let requests = (0..3).map(|_| request(bed.stream, 2, Some("same"))).collect();
    let answers = bed.journal.append_together(requests);
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|it| !it.repeated).count(), 1);
    assert!(answers.iter().all(|it| it.parts == answers[0].parts));
    assert_eq!(bed.journal.streams()[0].received, 2);
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let mut bed = Bed::new(hour());
    bed.append(10).unwrap();
    bed.disk.set_capacity(bed.disk.used_bytes());
    let mut done = 10;
    let error = loop {
        match bed.append(10) {
            Ok(_) => done += 10,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert_eq!(bed.append(10).unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(bed.journal.failure(), None);
    bed.disk.set_capacity(u64::MAX);
    bed.append(10).unwrap();
    bed.restart();
    assert_eq!(bed.journal.streams()[0].received, done + 10);
}

#[test]
fn a_time_is_found_in_memory_in_segments_and_in_sealed_files() {
    let bed = Bed::new(StreamSettings::default());
    let mut times = Vec::new();
    for index in 0..60_u64 {
        times.push((1_000_000 + index * 1_000, index * 5));
        bed.append(5).unwrap();
        bed.clock.advance(Duration::from_secs(1));
        if index == 40 {
            bed.journal.maintain().unwrap();
        }
    }
    assert!(0 < bed.journal.stats().sealed_files);
    let find = |ms| bed.journal.find_time(bed.stream, ShardId(0), ms).unwrap().0;
    for (ms, sequence) in times {
        assert_eq!(find(ms), sequence);
        assert_eq!(find(ms - 1), sequence);
    }
    assert_eq!((find(0), find(u64::MAX)), (0, 300));
}

#[test]
fn keys_choose_shards_as_kinesis_does() {
    let bed = Bed::new(StreamSettings { shards: 4, ..StreamSettings::default() });
    let shards = bed.journal.stream_info(bed.stream).unwrap().shards;
    for shard in &shards {
        for hash in [shard.hash_start, shard.hash_end] {
            let found = bed.journal.shard_of(bed.stream, Key::Hash(hash)).unwrap();
            assert_eq!(found, shard.id);
        }
    }
    // MD5("hello") = 5d41...: the second quarter.
    let found = bed.journal.shard_of(bed.stream, Key::Partition("hello")).unwrap();
    assert_eq!(found, ShardId(1));
}

#[test]
fn streams_are_made_once_and_survive() {
    let mut bed = Bed::new(StreamSettings { shards: 2, ..hour() });
    let again = StreamSettings { shards: 2, declared: false, ..hour() };
    let id = bed.journal.create_stream(&name("orders"), again).unwrap();
    assert_eq!(id, bed.stream);
    bed.restart();
    let info = &bed.journal.streams()[0];
    assert_eq!((&info.settings, info.name.as_str()), (&again, "orders"));
    assert_eq!(bed.journal.stream("orders"), Some(bed.stream));
    assert_eq!(bed.journal.stream("nothing"), None);
    assert_eq!(bed.append(0).unwrap().parts, []);
    // Another number of shards is made by splitting, once.
    let more = StreamSettings { shards: 3, ..hour() };
    for _ in 0..2 {
        bed.journal.create_stream(&name("orders"), more).unwrap();
        let info = bed.journal.stream_info(id).unwrap();
        assert_eq!((info.open_shards().count(), info.shards.len()), (3, 7));
        bed.restart();
    }
}

#[test]
fn a_full_queue_throttles_and_an_oversized_append_is_refused() {
    let bed = Bed::new(hour());
    let error = bed.append(200).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    let disk = SimulatedDisk::new(1);
    let small = Settings { pending_bytes_max: 3_000, ..settings() };
    let clock = Arc::new(ManualClock::at(5));
    let journal = Journal::open(small, disk.as_disk(), clock).unwrap();
    let stream = journal.create_stream(&name("s"), hour()).unwrap();
    let requests = (0..5).map(|_| request(stream, 10, None)).collect();
    let answers = journal.append_together(requests);
    assert_eq!(answers.iter().filter(|it| it.is_ok()).count(), 2);
    assert!(answers.iter().flatten().count() < 5);
    let throttled =
        answers.iter().filter_map(|it| it.as_ref().err()).all(|it| it.kind() == Kind::Throttled);
    assert!(throttled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_producers_and_readers_on_a_real_disk_see_the_same_order() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        segment_bytes: 256 << 10,
        tail_bytes_max: 64 << 10,
        ..Settings::new(folder.path().join("journal"))
    };
    let clock = SystemClock::start();
    let open = || Journal::open(settings.clone(), RealDisk::new(), Arc::clone(&clock)).unwrap();
    let journal = open();
    let stream = journal
        .create_stream(&name("s"), StreamSettings { shards: 2, ..StreamSettings::default() })
        .unwrap();
    let reader = {
        let journal = journal.clone();
        base::task::spawn("test-reader", async move {
            let mut from = SequenceNumber(0);
            let mut bytes = Vec::new();
            while from.0 < 2_000 {
                journal.wait(stream, &[(ShardId(0), from)]).await.unwrap();
                let frames = journal.read(stream, ShardId(0), from, 10_000).unwrap();
                bytes.extend(frames.iter().map(|it| it.bytes.to_vec()));
                from = frames.end();
            }
            bytes
        })
    };
    let producers: Vec<_> = (0..8_u8)
        .map(|producer| {
            let journal = journal.clone();
            base::task::spawn("test-producer", async move {
                for number in 0..25_u8 {
                    let record = [[producer, number]; 100].concat();
                    let part = |shard| (ShardId(shard), ten_of(&record));
                    let parts = vec![part(0), part(1)];
                    let append = Append { stream, parts, idempotency: None };
                    journal.append(append).await.unwrap();
                }
            })
        })
        .collect();
    for producer in producers {
        producer.await.unwrap();
    }
    let seen = reader.await.unwrap();
    assert_eq!(seen.len(), 2_000);
    for producer in 0..8_u8 {
        let numbers = seen.iter().filter(|it| it[0] == producer).map(|it| it[1]);
        assert!(numbers.is_sorted(), "what one producer sent keeps its order");
    }
    drop(journal);
    let journal = open();
    journal.maintain().unwrap();
    let mut from = SequenceNumber(0);
    let mut again = Vec::new();
    while from.0 < 2_000 {
        let frames = journal.read(stream, ShardId(0), from, 10_000).unwrap();
        again.extend(frames.iter().map(|it| it.bytes.to_vec()));
        from = frames.end();
    }
    assert_eq!(again, seen);
    assert_eq!(journal.streams()[0].received, 4_000);
    assert!(0 < journal.stats().sealed_files);
}

#[tokio::test]
async fn a_failure_wakes_who_waits() {
    let bed = Bed::new(hour());
    bed.journal.append(request(bed.stream, 1, None)).await.unwrap();
    let journal = bed.journal.clone();
    let stream = bed.stream;
    let waiting = base::task::spawn("test-wait", async move {
        journal.wait(stream, &[(ShardId(0), SequenceNumber(1))]).await
    });
    tokio::task::yield_now().await;
    bed.disk.fail_syncs_after(0);
    bed.journal.append(request(bed.stream, 1, None)).await.unwrap_err();
    assert!(matches!(waiting.await.unwrap(), Err(Error::Failed { .. })));
    assert!(matches!(bed.journal.failed().await, Error::Failed { .. }));
}

#[test]
fn a_closed_journal_takes_nothing_more() {
    let bed = Bed::new(hour());
    bed.append(1).unwrap();
    bed.journal.close();
    assert_eq!(bed.append(1).unwrap_err(), Error::Closed);
    let frames = bed.journal.read(bed.stream, ShardId(0), SequenceNumber(0), 100).unwrap();
    assert_eq!(frames.len(), 1);
}
