use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::time::ManualClock;
use base::{ByteSize, Kind, Name, SequenceNumber, ShardId, Span};

use super::{Draft, OpenShard};
use crate::hash::split_evenly;
use crate::manifest::ShardEntry;
use crate::simulate::SimulatedDisk;
use crate::{
    Append, Error, Hold, Journal, Key, Records, Settings, StreamId, StreamInfo, StreamSettings,
    Threads,
};

fn entries(count: u32) -> Vec<ShardEntry> {
    let ranges = split_evenly(count).into_iter().zip(0..);
    ranges
        .map(|((hash_start, hash_end), id)| ShardEntry {
            id,
            hash_start,
            hash_end,
            opened_ms: 1_000,
            ..ShardEntry::default()
        })
        .collect()
}

fn assert_tiles(open: &[OpenShard]) {
    assert_eq!(open[0].hash_start, 0);
    assert_eq!(open[open.len() - 1].hash_end, u128::MAX);
    for pair in open.windows(2) {
        assert_eq!(pair[0].hash_end + 1, pair[1].hash_start);
    }
}

#[test]
fn any_number_of_shards_becomes_any_other_with_even_ranges() {
    for from in [1, 2, 3, 4, 7, 16, 33] {
        for to in [1, 2, 3, 5, 8, 16, 31, 64] {
            let before = entries(from);
            let mut draft = Draft::new("s", 1_000, before.clone());
            draft.scale_to(to).unwrap();
            let open = draft.open();
            assert_tiles(&open);
            let ranges: Vec<_> = open.iter().map(|it| (it.hash_start, it.hash_end)).collect();
            assert_eq!(ranges, split_evenly(to), "{from} to {to}");
            let after = draft.check(&before).unwrap();
            assert_eq!(after.is_none(), from == to, "{from} to {to}");
            for shard in after.iter().flatten() {
                for parent in shard.parent.iter().chain(&shard.adjacent_parent) {
                    let parent = &after.as_ref().unwrap()[*parent as usize];
                    assert!(parent.id < shard.id && parent.closed_ms.is_some());
                    assert!(parent.opened_ms + 1_000 <= shard.opened_ms);
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_split_or_merged_is_refused() {
    let mut draft = Draft::new("s", 5, entries(4));
    let quarter = 1 << 126;
    let refused = [
        draft.split(ShardId(9), 5).unwrap_err(),
        draft.split(ShardId(1), quarter).unwrap_err(),
        draft.split(ShardId(1), 2 * quarter).unwrap_err(),
        draft.merge(ShardId(0), ShardId(2)).unwrap_err(),
        draft.merge(ShardId(1), ShardId(1)).unwrap_err(),
        draft.scale_to(0).unwrap_err(),
        draft.scale_to(1_025).unwrap_err(),
    ];
    let kinds: Vec<Kind> = refused.iter().map(Error::kind).collect();
    assert_eq!(kinds[0], Kind::Missing);
    assert!(kinds[1..].iter().all(|it| *it == Kind::Invalid), "{refused:?}");
    let merged = draft.merge(ShardId(2), ShardId(1)).unwrap();
    let closed = draft.split(ShardId(1), quarter + 5).unwrap_err();
    assert_eq!(closed.kind(), Kind::Conflict);
    let [left, right] = draft.split(merged, quarter + 5).unwrap();
    let ids: Vec<u32> = draft.open().iter().map(|it| it.id.0).collect();
    assert_eq!(ids, [0, left.0, right.0, 3]);
}

fn settings() -> Settings {
    Settings {
        segment_bytes: 16 << 10,
        commit_bytes_max: 8 << 10,
        pending_bytes_max: 64 << 10,
        tail_bytes_max: 3 << 10,
        threads: Threads::Caller,
        ..Settings::new("/journal")
    }
}

fn open(disk: &SimulatedDisk, clock: &Arc<ManualClock>) -> Result<Journal, Error> {
    Journal::open(settings(), disk.as_disk(), Arc::new(Arc::clone(clock)))
}

fn hour() -> StreamSettings {
    StreamSettings {
        shards: 2,
        on_demand: false,
        replay: Span::from_millis(3_600_000),
        replay_size: ByteSize(50_000),
        declared: false,
    }
}

/// A producer, a reader that follows as a flow does, and somebody who splits and merges.
struct World {
    random: fastrand::Rng,
    disk: SimulatedDisk,
    clock: Arc<ManualClock>,
    journal: Journal,
    stream: StreamId,
    hold: Hold,
    /// Shards that producers may still believe in.
    stale: Vec<StreamInfo>,
    counter: u64,
    /// What was acknowledged, by key.
    sent: BTreeMap<String, Vec<u64>>,
    /// What was under way when the power went.
    unsure: Vec<(String, u64)>,
    positions: BTreeMap<ShardId, u64>,
    read: BTreeMap<String, Vec<u64>>,
    /// The open shards that there may be after a crash.
    open: Vec<Vec<OpenShard>>,
}

fn open_of(info: &StreamInfo) -> Vec<OpenShard> {
    let mut open: Vec<OpenShard> = info
        .open_shards()
        .map(|it| OpenShard { id: it.id, hash_start: it.hash_start, hash_end: it.hash_end })
        .collect();
    open.sort_unstable_by_key(|it| it.hash_start);
    open
}

impl World {
    fn new(seed: u64) -> World {
        let disk = SimulatedDisk::new(seed);
        let clock = ManualClock::at(1_700_000_000_000);
        let journal = open(&disk, &clock).unwrap();
        let stream = journal.create_stream(&Name::new("s").unwrap(), hour()).unwrap();
        let hold = journal.hold(stream, "flow").unwrap();
        let info = journal.stream_info(stream).unwrap();
        World {
            random: fastrand::Rng::with_seed(seed ^ 0x5eed),
            open: vec![open_of(&info)],
            stale: vec![info],
            counter: 0,
            sent: BTreeMap::new(),
            unsure: Vec::new(),
            positions: BTreeMap::new(),
            read: BTreeMap::new(),
            disk,
            clock,
            journal,
            stream,
            hold,
        }
    }

    fn step(&mut self) -> Result<(), Error> {
        match self.random.u32(0..100) {
            0..55 => self.append(),
            55..70 => self.reshard(),
            70..80 => self.follow(false),
            80..92 => self.journal.maintain(),
            _ => {
                self.clock.advance(Duration::from_secs(self.random.u64(0..2_500)));
                Ok(())
            }
        }
    }

    fn info(&self) -> Result<StreamInfo, Error> {
        self.journal.stream_info(self.stream)
    }

    fn append(&mut self) -> Result<(), Error> {
        let count = self.random.usize(1..12);
        let records: Vec<(String, u64)> = (0..count)
            .map(|_| {
                self.counter += 1;
                (format!("k{}", self.random.u32(0..12)), self.counter)
            })
            .collect();
        let believed = self.random.choice(&self.stale).cloned().unwrap();
        self.unsure = records.clone();
        let mut answer = self.journal.append_blocking(self.route(&records, &believed));
        let is_stale =
            |error: &Error| matches!(error, Error::Resharded { .. } | Error::ShardMissing { .. });
        if answer.as_ref().is_err_and(is_stale) {
            let now = self.info()?;
            assert_ne!(open_of(&now), open_of(&believed), "what is open is not refused");
            answer = self.journal.append_blocking(self.route(&records, &now));
        }
        let appended = answer?;
        assert_eq!(appended.parts.iter().map(|it| it.count).sum::<u64>(), count as u64);
        self.acknowledge();
        Ok(())
    }

    fn acknowledge(&mut self) {
        for (key, value) in std::mem::take(&mut self.unsure) {
            self.sent.entry(key).or_default().push(value);
        }
    }

    fn route(&self, records: &[(String, u64)], info: &StreamInfo) -> Append {
        let mut parts: BTreeMap<ShardId, Records> = BTreeMap::new();
        for (key, value) in records {
            let hash = crate::hash::hash_of(Key::Partition(key));
            let holds = |it: &&crate::ShardInfo| it.hash_start <= hash && hash <= it.hash_end;
            let shard = info.open_shards().find(holds).unwrap().id;
            let padding = "x".repeat((*value % 90) as usize);
            let text = format!("{value} {padding}");
            parts.entry(shard).or_default().push(key, text.as_bytes()).unwrap();
        }
        Append { stream: self.stream, parts: parts.into_iter().collect(), idempotency: None }
    }

    fn reshard(&mut self) -> Result<(), Error> {
        let before = open_of(&self.info()?);
        let pick = self.random.usize(0..before.len());
        let shard = before[pick];
        let choice = self.random.u32(0..5);
        let at = shard.hash_start + (shard.hash_end - shard.hash_start) / 2 + 1;
        let count = self.random.u32(1..6);
        let before_crash = self.open.clone();
        let mut wanted = Vec::new();
        let done = self.journal.reshard(self.stream, |draft| {
            match choice {
                0..2 if shard.hash_start < at && before.len() < 9 => {
                    draft.split(shard.id, at)?;
                }
                2..4 if pick + 1 < before.len() => {
                    draft.merge(shard.id, before[pick + 1].id)?;
                }
                _ => draft.scale_to(count)?,
            }
            wanted = draft.open();
            Ok(())
        });
        if done.is_ok() {
            assert_eq!(open_of(&self.info()?), wanted);
            self.open = vec![wanted];
            self.stale.push(self.info()?);
            let keep = self.random.usize(1..4).min(self.stale.len());
            self.stale.drain(..self.stale.len() - keep);
        } else {
            self.open = before_crash;
            self.open.push(wanted);
        }
        done
    }

    /// Reads on, parents before their children; to the end if `all`.
    fn follow(&mut self, all: bool) -> Result<(), Error> {
        loop {
            let info = self.info()?;
            let at =
                |positions: &BTreeMap<ShardId, u64>, it| positions.get(&it).copied().unwrap_or(0);
            let mut moved = false;
            let readable = info.readable(|it| SequenceNumber(at(&self.positions, it)));
            for (shard, is_readable) in info.shards.iter().zip(readable) {
                let from = at(&self.positions, shard.id);
                if !is_readable || shard.next.0 <= from {
                    continue;
                }
                let bytes = if all { 1 << 20 } else { self.random.usize(1..600) };
                let frames =
                    self.journal.read(self.stream, shard.id, SequenceNumber(from), bytes)?;
                for record in &frames {
                    let text = std::str::from_utf8(record.bytes).unwrap();
                    let value = text.split(' ').next().unwrap().parse().unwrap();
                    self.read.entry(record.key.to_owned()).or_default().push(value);
                }
                self.positions.insert(shard.id, frames.end().0);
                self.hold.move_to(shard.id, frames.end());
                moved = true;
            }
            if !all || !moved {
                return Ok(());
            }
        }
    }

    /// Opens what the disk holds and compares all of it with what was acknowledged.
    fn reopen(&mut self) {
        self.journal = open(&self.disk, &self.clock).unwrap();
        self.hold = self.journal.hold(self.stream, "flow").unwrap();
        let info = self.info().unwrap();
        let now = open_of(&info);
        assert_tiles(&now);
        assert!(self.open.contains(&now), "the old or the new shards: {now:?} of {:?}", self.open);
        self.open = vec![now];
        self.stale = vec![info];
        self.follow(true).unwrap();
        let was_kept =
            |(key, value): &(String, u64)| self.read.get(key).is_some_and(|it| it.contains(value));
        let kept = self.unsure.iter().filter(|it| was_kept(it)).count();
        assert!(kept == 0 || kept == self.unsure.len(), "an append is there whole or not at all");
        if kept == 0 {
            self.unsure.clear();
        }
        self.acknowledge();
        assert_eq!(self.read, self.sent, "each record once, in order by key");
        let all: usize = self.sent.values().map(Vec::len).sum();
        assert_eq!(self.info().unwrap().received, all as u64);
    }
}

#[test]
fn each_record_is_read_once_and_in_order_by_key_whatever_is_split_merged_and_killed() {
    #[expect(clippy::disallowed_methods, reason = "a test is told its seed from outside")]
    let wanted = std::env::var("SEED").ok().and_then(|it| it.parse::<u64>().ok());
    let seeds = wanted.map_or(100..140, |seed| seed..seed + 1);
    let (mut resharded, mut forgotten) = (0, 0);
    for seed in seeds {
        println!("SEED={seed}");
        let mut world = World::new(seed);
        for _ in 0..6 {
            let plug = world.random.u64(10..300);
            world.disk.stop_at(world.disk.operations() + plug);
            let mut steps = 0;
            while world.step().is_ok() && steps < 300 {
                steps += 1;
            }
            let is_killed = world.random.u32(0..4) == 0;
            world.disk = if is_killed { world.disk.kill() } else { world.disk.crash() };
            world.reopen();
        }
        let info = world.info().unwrap();
        let newest = info.shards.last().unwrap().id.0 as usize + 1;
        resharded += newest;
        forgotten += newest - info.shards.len();
    }
    if wanted.is_none() {
        assert!(500 < resharded && 50 < forgotten, "{resharded} shards, {forgotten} gone");
    }
}

fn count_of(journal: &Journal, stream: StreamId) -> u64 {
    let info = journal.stream_info(stream).unwrap();
    let mut count = 0;
    for shard in &info.shards {
        let mut from = shard.first;
        while from < shard.next {
            let frames = journal.read(stream, shard.id, from, 1_000).unwrap();
            count += frames.len();
            from = frames.end();
        }
    }
    count
}

fn fill(journal: &Journal, stream: StreamId, count: usize) {
    for number in 0..count {
        let mut records = Records::new();
        records.push("k", &vec![b'x'; 100 + number % 50]).unwrap();
        let append = Append { stream, parts: vec![(ShardId(0), records)], idempotency: None };
        journal.append_blocking(append).unwrap();
    }
}

#[test]
fn a_deleted_stream_is_gone_or_whole_after_a_crash_and_its_neighbour_stays() {
    let mut gone = 0;
    for stop in 0..14 {
        let disk = SimulatedDisk::new(stop);
        let clock = ManualClock::at(1_700_000_000_000);
        let journal = open(&disk, &clock).unwrap();
        let one = journal.create_stream(&Name::new("one").unwrap(), hour()).unwrap();
        let other = journal.create_stream(&Name::new("other").unwrap(), hour()).unwrap();
        // Enough that some of it is sealed and some is not.
        for _ in 0..4 {
            fill(&journal, one, 50);
            fill(&journal, other, 50);
            journal.maintain().unwrap();
        }
        disk.stop_at(disk.operations() + stop);
        let deleted = journal.delete_stream(one);
        if deleted.is_ok() {
            assert!(matches!(journal.stream_info(one), Err(Error::StreamMissing(_))));
            let append = Append { stream: one, parts: Vec::new(), idempotency: None };
            assert!(journal.append_blocking(append).is_err());
        }
        let disk = disk.crash();
        let journal = open(&disk, &clock).unwrap();
        assert_eq!(count_of(&journal, other), 200);
        if journal.stream("one").is_some() {
            assert!(deleted.is_err());
            assert_eq!(count_of(&journal, one), 200);
            continue;
        }
        gone += 1;
        // Its name is free, its id is not.
        let again = journal.create_stream(&Name::new("one").unwrap(), hour()).unwrap();
        assert!(other < again);
        fill(&journal, again, 60);
        journal.maintain().unwrap();
        drop(journal);
        let journal = open(&disk, &clock).unwrap();
        assert_eq!((count_of(&journal, again), count_of(&journal, other)), (60, 200));
        let left = disk.paths();
        let of_one = left.iter().filter(|it| {
            let name = it.file_name().and_then(|it| it.to_str()).unwrap();
            it.parent() == Some(Path::new("/journal/sealed")) && name.starts_with("00000000-")
        });
        assert_eq!(of_one.count(), 0, "its files are gone: {left:?}");
    }
    assert!(3 < gone, "{gone}");
}

#[test]
fn a_note_survives_and_goes_with_its_stream() {
    let disk = SimulatedDisk::new(1);
    let clock = ManualClock::at(5);
    let journal = open(&disk, &clock).unwrap();
    let stream = journal.create_stream(&Name::new("s").unwrap(), hour()).unwrap();
    let change = |text: &str| {
        journal.change_note(stream, |before| {
            Ok::<_, Error>((Some(format!("{}{text}", before.unwrap_or_default())), ()))
        })
    };
    change("a").unwrap();
    change("b").unwrap();
    let refused = change(&"x".repeat(300_000)).unwrap_err();
    assert_eq!(refused.kind(), Kind::Invalid, "{refused}");
    let journal = open(&disk.crash(), &clock).unwrap();
    assert_eq!(journal.note(stream).unwrap().as_deref(), Some("ab"));
    journal.delete_stream(stream).unwrap();
    let again = journal.create_stream(&Name::new("s").unwrap(), hour()).unwrap();
    assert_eq!(journal.note(again).unwrap(), None);
}
