use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::time::ManualClock;
use base::{ByteSize, Clock, Kind, Name, SequenceNumber, ShardId, Span};

use super::SimulatedDisk;
use crate::{
    Append, Appended, Error, Hold, IdempotencyKey, Journal, Records, Settings, StreamId,
    StreamSettings, Threads,
};

const FOLDER: &str = "/journal";

fn settings() -> Settings {
    Settings {
        segment_bytes: 16 << 10,
        commit_bytes_max: 8 << 10,
        pending_bytes_max: 64 << 10,
        tail_bytes_max: 6 << 10,
        keys_max: 50,
        threads: Threads::Caller,
        ..Settings::new(FOLDER)
    }
}

/// A record as a producer sent it: key, bytes.
type Sent = (String, Vec<u8>);

/// What the journal must hold.
#[derive(Debug, Clone, Default)]
struct Model {
    streams: BTreeMap<StreamId, StreamModel>,
    keys: BTreeMap<(StreamId, String), Appended>,
}

#[derive(Debug, Clone, Default)]
struct StreamModel {
    name: String,
    /// Per shard all records ever.
    shards: Vec<Vec<Sent>>,
    held: Option<Vec<u64>>,
}

/// An append in the model's terms.
#[derive(Debug, Clone)]
struct Request {
    stream: StreamId,
    parts: Vec<(ShardId, Vec<Sent>)>,
    key: Option<String>,
}

impl Request {
    fn to_append(&self) -> Append {
        let parts = self.parts.iter().map(|(shard, records)| {
            let mut encoded = Records::new();
            for (key, bytes) in records {
                encoded.push(key, bytes).unwrap();
            }
            (*shard, encoded)
        });
        Append {
            stream: self.stream,
            parts: parts.collect(),
            idempotency: self.key.as_ref().map(|it| IdempotencyKey::new(it).unwrap()),
        }
    }
}

impl Model {
    fn apply(&mut self, request: &Request) {
        let stream = self.streams.get_mut(&request.stream).unwrap();
        for (shard, records) in &request.parts {
            stream.shards[shard.0 as usize].extend(records.iter().cloned());
        }
    }

    /// What the answer to `request` must be, given what there is.
    fn expect(&self, request: &Request) -> Vec<(ShardId, u64, u64)> {
        let stream = &self.streams[&request.stream];
        let place = |(shard, records): &(ShardId, Vec<_>)| {
            (*shard, stream.shards[shard.0 as usize].len() as u64, records.len() as u64)
        };
        request.parts.iter().filter(|it| !it.1.is_empty()).map(place).collect()
    }
}

struct Run {
    random: fastrand::Rng,
    disk: SimulatedDisk,
    clock: Arc<ManualClock>,
    journal: Journal,
    model: Model,
    holds: Vec<Hold>,
    /// What was under way when the power went: all of it is there, or nothing, in this order.
    unsure: Vec<Request>,
}

impl Run {
    fn new(seed: u64) -> Run {
        let disk = SimulatedDisk::new(seed);
        let clock = ManualClock::at(1_700_000_000_000);
        let journal = open(&disk, &clock).unwrap();
        let random = fastrand::Rng::with_seed(seed ^ 0x5eed);
        let (model, holds, unsure) = (Model::default(), Vec::new(), Vec::new());
        Run { random, disk, clock, journal, model, holds, unsure }
    }

    fn step(&mut self) -> Result<(), Error> {
        match self.random.u32(0..100) {
            0..4 => self.create(),
            4..60 => self.append(),
            60..66 => self.append_together(),
            66..78 => self.read(),
            78..86 => self.journal.maintain(),
            86..92 => {
                let span = Duration::from_secs(self.random.u64(0..4_000));
                self.clock.advance(span);
                Ok(())
            }
            92..96 => self.move_hold(),
            96..98 => self.full_disk(),
            _ => {
                self.journal.close();
                self.reopen()
            }
        }
    }

    fn create(&mut self) -> Result<(), Error> {
        if 4 < self.model.streams.len() {
            return Ok(());
        }
        let name = format!("s{}", self.model.streams.len());
        let shards = self.random.u32(1..4);
        let settings = StreamSettings {
            shards,
            on_demand: false,
            replay: Span::from_millis(3_600_000),
            replay_size: ByteSize(self.random.u64(10_000..200_000)),
            declared: true,
        };
        let id = self.journal.create_stream(&Name::new(&name).unwrap(), settings)?;
        let shards = vec![Vec::new(); shards as usize];
        self.model.streams.insert(id, StreamModel { name, shards, held: None });
        Ok(())
    }

    fn request(&mut self) -> Option<Request> {
        let ids: Vec<StreamId> = self.model.streams.keys().copied().collect();
        let stream = *self.random.choice(ids.iter())?;
        let shards = self.model.streams[&stream].shards.len() as u32;
        let mut parts = Vec::new();
        for shard in 0..shards {
            if self.random.bool() {
                let count = self.random.usize(0..12);
                let records = (0..count).map(|_| self.record()).collect();
                parts.push((ShardId(shard), records));
            }
        }
        let key = (self.random.u32(0..4) == 0).then(|| format!("key-{}", self.random.u32(0..40)));
        Some(Request { stream, parts, key })
    }

    fn record(&mut self) -> (String, Vec<u8>) {
        let key = "k".repeat(self.random.usize(0..20));
        let length = if self.random.u32(0..20) == 0 { 1_500 } else { 120 };
        let byte = self.random.u8(..);
        (key, vec![byte; self.random.usize(0..length)])
    }

    fn append(&mut self) -> Result<(), Error> {
        let Some(request) = self.request() else { return Ok(()) };
        self.unsure = vec![request.clone()];
        let answer = self.journal.append_blocking(request.to_append());
        self.take(&request, answer)?;
        self.unsure.clear();
        Ok(())
    }

    fn append_together(&mut self) -> Result<(), Error> {
        let count = self.random.usize(2..6);
        let requests: Vec<Request> = (0..count).filter_map(|_| self.request()).collect();
        self.unsure = requests.clone();
        let appends = requests.iter().map(Request::to_append).collect();
        let answers = self.journal.append_together(appends);
        let mut failed = Ok(());
        for (request, answer) in requests.iter().zip(answers) {
            match self.take(request, answer) {
                Ok(()) => {
                    self.unsure.remove(0);
                }
                error => failed = error,
            }
        }
        failed
    }

    /// Compares an answer with the model and brings the model up to date.
    fn take(&mut self, request: &Request, answer: Result<Appended, Error>) -> Result<(), Error> {
        let answer = answer?;
        let name = request.key.clone().map(|key| (request.stream, key));
        let known = name.as_ref().and_then(|name| self.model.keys.get(name));
        if answer.repeated {
            let known = known.expect("only what was appended can be repeated");
            // What the power cut off was answered by nobody and cannot be compared.
            if known.arrived_ms != 0 {
                assert_eq!((&answer.parts, answer.arrived_ms), (&known.parts, known.arrived_ms));
            }
            return Ok(());
        }
        if let Some(known) = known {
            let age = self.clock.now_ms() - known.arrived_ms;
            let is_forgotten = 24 * 3_600_000 <= age || 40 < self.model.keys.len();
            assert!(is_forgotten, "the key {name:?} was forgotten");
        }
        let told: Vec<_> = answer.parts.iter().map(|it| (it.shard, it.first.0, it.count)).collect();
        assert_eq!(told, self.model.expect(request));
        self.model.apply(request);
        if let Some(name) = name {
            self.model.keys.insert(name, answer);
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), Error> {
        let ids: Vec<StreamId> = self.model.streams.keys().copied().collect();
        let Some(stream) = self.random.choice(ids) else { return Ok(()) };
        let shard = self.random.usize(0..self.model.streams[&stream].shards.len());
        let next = self.model.streams[&stream].shards[shard].len() as u64;
        let from = self.random.u64(0..=next);
        let bytes = self.random.usize(1..20_000);
        self.check_read(stream, shard, from, bytes).map(drop)
    }

    fn check_read(
        &self,
        stream: StreamId,
        shard: usize,
        from: u64,
        bytes: usize,
    ) -> Result<u64, Error> {
        let id = ShardId(shard as u32);
        let frames = match self.journal.read(stream, id, SequenceNumber(from), bytes) {
            Err(Error::Expired { first, .. }) => {
                assert!(from < first.0);
                return Ok(first.0);
            }
            frames => frames?,
        };
        let records = &self.model.streams[&stream].shards[shard];
        let mut sequence = from;
        let mut arrived_ms = 0;
        for record in &frames {
            let (key, bytes) = &records[sequence as usize];
            assert_eq!((record.key, record.bytes), (key.as_str(), bytes.as_slice()));
            assert_eq!(record.place.sequence.0, sequence);
            assert_eq!(record.place.shard, id);
            assert!(arrived_ms <= record.arrived_ms);
            arrived_ms = record.arrived_ms;
            sequence += 1;
        }
        assert_eq!(sequence, frames.end().0);
        assert_eq!(frames.len(), sequence - from);
        assert_eq!(frames.is_empty(), records.len() as u64 <= from);
        Ok(sequence)
    }

    fn move_hold(&mut self) -> Result<(), Error> {
        let ids: Vec<StreamId> = self.model.streams.keys().copied().collect();
        let Some(stream) = self.random.choice(ids) else { return Ok(()) };
        let index = self.holds.iter().position(|it| it.stream() == stream);
        let Some(index) = index else {
            let hold = self.journal.hold(stream, "flow")?;
            let shards = self.model.streams[&stream].shards.len() as u32;
            let held = (0..shards).map(|it| hold.place(ShardId(it)).0).collect();
            self.model.streams.get_mut(&stream).unwrap().held = Some(held);
            self.holds.push(hold);
            return Ok(());
        };
        let model = self.model.streams.get_mut(&stream).unwrap();
        let held = model.held.as_mut().unwrap();
        for (shard, held) in held.iter_mut().enumerate() {
            *held = self.random.u64(*held..=model.shards[shard].len() as u64);
            self.holds[index].move_to(ShardId(shard as u32), SequenceNumber(*held));
        }
        Ok(())
    }

    fn full_disk(&mut self) -> Result<(), Error> {
        let used = self.disk.used_bytes();
        self.disk.set_capacity(used + self.random.u64(0..3_000));
        let mut failed = Ok(());
        for _ in 0..10 {
            failed = self.append().and_then(|()| self.journal.maintain());
            if failed.is_err() {
                break;
            }
        }
        self.disk.set_capacity(u64::MAX);
        match failed {
            Err(error) if error.kind() == Kind::Unavailable => {
                self.unsure.clear();
                assert_eq!(self.journal.failure(), None);
                self.append()
            }
            other => other,
        }
    }

    /// Opens what the disk holds and compares all of it with the model.
    fn reopen(&mut self) -> Result<(), Error> {
        self.holds.clear();
        self.journal = open(&self.disk, &self.clock)?;
        self.settle();
        self.check_all()
    }

    /// Finds out how much of what was under way is there.
    fn settle(&mut self) {
        // A stream may have been made without an answer.
        for info in self.journal.streams() {
            self.model.streams.entry(info.id).or_insert_with(|| StreamModel {
                name: info.name.as_str().to_owned(),
                shards: vec![Vec::new(); info.shards.len()],
                held: None,
            });
        }
        let mut matches = Vec::new();
        let mut branches = vec![self.model.clone()];
        let mut candidates = branches.clone();
        let unsure = std::mem::take(&mut self.unsure);
        for request in &unsure {
            let name = request.key.clone().map(|key| (request.stream, key));
            let mut next = Vec::new();
            for branch in branches {
                let mut applied = branch.clone();
                applied.apply(request);
                // A name that is known may have been forgotten, so both can be.
                let is_known = name.as_ref().is_some_and(|it| branch.keys.contains_key(it));
                next.extend(is_known.then_some(branch));
                if let Some(name) = &name {
                    let parts = Vec::new();
                    let answer = Appended { parts, arrived_ms: 0, repeated: false };
                    applied.keys.insert(name.clone(), answer);
                }
                next.push(applied);
            }
            branches = next;
            candidates.extend(branches.iter().cloned());
        }
        for candidate in candidates {
            let is_it = candidate.streams.iter().all(|(id, stream)| {
                let info = self.journal.stream_info(*id).unwrap();
                let next: Vec<u64> = info.shards.iter().map(|it| it.next.0).collect();
                let wanted: Vec<u64> = stream.shards.iter().map(|it| it.len() as u64).collect();
                next == wanted
            });
            if is_it {
                matches.push(candidate);
            }
        }
        if matches.is_empty() {
            for line in self.disk.log().iter().rev().take(60).rev() {
                println!("{line}");
            }
            for (id, stream) in &self.model.streams {
                let info = self.journal.stream_info(*id).unwrap();
                let next: Vec<u64> = info.shards.iter().map(|it| it.next.0).collect();
                let wanted: Vec<usize> = stream.shards.iter().map(Vec::len).collect();
                println!("{id}: has {next:?}, acknowledged {wanted:?}");
            }
            for it in unsure {
                let parts: Vec<_> = it.parts.iter().map(|(id, it)| (id, it.len())).collect();
                println!("under way: {} {parts:?} {:?}", it.stream, it.key);
            }
        }
        assert!(!matches.is_empty(), "what was acknowledged is there, whole appends only");
        self.model = matches.swap_remove(0);
    }

    fn check_all(&mut self) -> Result<(), Error> {
        for (id, stream) in &self.model.streams {
            let info = self.journal.stream_info(*id).unwrap();
            assert_eq!(info.name.as_str(), stream.name);
            let all: usize = stream.shards.iter().map(Vec::len).sum();
            assert_eq!(info.received, all as u64, "records ever received are counted");
            for (shard, records) in stream.shards.iter().enumerate() {
                let mut from = info.shards[shard].first.0;
                if let Some(held) = &stream.held {
                    assert!(from <= held[shard], "a hold holds");
                }
                while from < records.len() as u64 {
                    from = self.check_read(*id, shard, from, 5_000)?;
                }
            }
            if stream.held.is_some() {
                self.holds.push(self.journal.hold(*id, "flow")?);
            }
        }
        for hold in &self.holds {
            let model = self.model.streams.get_mut(&hold.stream()).unwrap();
            for (shard, held) in model.held.as_mut().unwrap().iter_mut().enumerate() {
                let place = hold.place(ShardId(shard as u32)).0;
                assert!(place <= *held, "a hold never moves on by itself");
                *held = place;
            }
        }
        Ok(())
    }
}

fn open(disk: &SimulatedDisk, clock: &Arc<ManualClock>) -> Result<Journal, Error> {
    Journal::open(settings(), disk.as_disk(), Arc::new(Arc::clone(clock)))
}

/// Runs a seed: steps, with a crash, a kill or a clean end every now and then.
fn run(seed: u64) -> Vec<String> {
    let mut run = Run::new(seed);
    for _ in 0..6 {
        let plug = run.random.u64(10..400);
        run.disk.stop_at(run.disk.operations() + plug);
        let mut steps = 0;
        while run.step().is_ok() && steps < 400 {
            steps += 1;
        }
        let before = run.disk.clone();
        let random = run.random.u32(0..4);
        run.disk = if random == 0 { run.disk.kill() } else { run.disk.crash() };
        drop(before);
        if run.random.bool() {
            // The power goes again while the journal recovers.
            run.disk.stop_at(run.disk.operations() + run.random.u64(0..6));
            if let Err(error) = open(&run.disk, &run.clock) {
                assert!(!matches!(error, Error::Damaged { .. }), "{error}");
            }
            run.disk = run.disk.crash();
        }
        run.reopen().unwrap();
    }
    run.disk.log()
}

/// Runs `check` for 50 seeds, or for the one in the setting `SEED`.
fn for_seeds(check: impl Fn(u64)) {
    #[expect(clippy::disallowed_methods, reason = "a test is told its seed from outside")]
    let wanted = std::env::var("SEED").ok().and_then(|it| it.parse::<u64>().ok());
    let first = 4_711;
    let seeds = wanted.map_or(first..first + 50, |seed| seed..seed + 1);
    for seed in seeds {
        println!("SEED={seed}");
        check(seed);
    }
}

#[test]
fn nothing_acknowledged_is_lost_whatever_the_disk_does() {
    for_seeds(|seed| drop(run(seed)));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [1, 2, 3] {
        let (one, other) = (run(seed), run(seed));
        assert!(100 < one.len());
        assert_eq!(one, other);
    }
}

#[test]
fn the_simulated_disk_loses_and_tears_what_was_not_synced() {
    use crate::Disk;
    let mut fates = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let disk = SimulatedDisk::new(seed);
        let file = disk.create(Path::new("/f")).unwrap();
        file.write_at(0, &[std::io::IoSlice::new(&[1; 2_048])]).unwrap();
        file.sync().unwrap();
        disk.sync_folder(Path::new("/")).unwrap();
        file.write_at(0, &[std::io::IoSlice::new(&[2; 2_048])]).unwrap();
        let after = disk.crash();
        assert!(file.sync().is_err(), "old handles are dead");
        let bytes = after.contents(Path::new("/f")).unwrap();
        let sectors: Vec<u8> = bytes.chunks(512).map(|it| it[0]).collect();
        fates.insert(sectors);
    }
    assert!(fates.contains(&vec![1; 4]) && fates.contains(&vec![2; 4]));
    assert!(5 < fates.len(), "{fates:?}");
}
