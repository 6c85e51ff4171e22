use std::path::PathBuf;

use base::time::SystemClock;
use base::{SequenceNumber, ShardId, Span};
use journal::{Journal, RealDisk, Settings, StreamSettings};
use tempfile::TempDir;

use super::*;
use crate::inlet::Intake;
use crate::rate::Rate;

/// A program with a bucket `landing` and a stream `sales` that reads it.
struct World {
    folder: TempDir,
}

/// A program that runs.
struct Runs {
    inlet: Inlet,
    doors: Vec<Running>,
}

/// Three lines a chunk; one that begins with `!` cannot be read.
struct ThreeLines(Vec<String>);

impl FileRecords for ThreeLines {
    fn next(&mut self, records: &mut Vec<Vec<u8>>) -> Result<(), String> {
        for _ in 0..3 {
            if self.0.is_empty() {
                break;
            }
            let line = self.0.remove(0);
            if line.starts_with('!') {
                return Err("a line that is none".to_owned());
            }
            records.push(line.into_bytes());
        }
        Ok(())
    }
}

fn open_lines(path: &Path, key: &str, _: Option<Dates>) -> Result<Box<dyn FileRecords>, String> {
    let text = std::fs::read_to_string(path).map_err(|it| format!("{key}: {it}"))?;
    if text.is_empty() {
        return Err("the file is empty".to_owned());
    }
    Ok(Box::new(ThreeLines(text.lines().map(str::to_owned).collect())))
}

const BUCKET: &str = "settle = \"0 seconds\"\nevery = \"100 milliseconds\"\n";

impl World {
    fn new() -> World {
        World { folder: tempfile::tempdir().unwrap() }
    }

    fn landing(&self) -> PathBuf {
        self.folder.path().join("data/buckets/landing")
    }

    fn put(&self, key: &str, text: &str) {
        let path = self.landing().join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn start(&self, bucket: &str, files: &str) -> Runs {
        let clock = SystemClock::start();
        let data = self.folder.path().join("data");
        let settings = Settings { segment_bytes: 8 << 20, ..Settings::new(data.join("journal")) };
        let journal = Journal::open(settings, RealDisk::new(), Arc::clone(&clock)).unwrap();
        let opener: OpenFile = Arc::new(open_lines);
        let intake = |name: &str, door: &str, files: Option<OpenFile>| Intake {
            name: Name::new(name).unwrap(),
            settings: StreamSettings {
                replay: Span::from_millis(3_600_000),
                ..StreamSettings::default()
            },
            doors: vec![door.to_owned()],
            key: None,
            files,
            limit: Rate::default(),
        };
        let streams =
            vec![intake("landing_events", "bucket", None), intake("sales", "files", Some(opener))];
        let inlet = Inlet::new(journal, clock, streams).unwrap();
        inlet.buckets_in(self.folder.path(), &data);
        let open = |door: &str, options: &str, stream: &str| {
            let options: toml::Table = options.parse().unwrap();
            let door = crate::door(door).unwrap();
            door.open(&options, &inlet, &Name::new(stream).unwrap()).unwrap()
        };
        let doors = vec![open("bucket", bucket, "landing_events"), open("files", files, "sales")];
        Runs { inlet, doors }
    }
}

impl Runs {
    fn records(&self, stream: &str) -> Vec<String> {
        let id = self.inlet.journal().stream(stream).unwrap();
        let (mut all, mut from) = (Vec::new(), SequenceNumber(0));
        loop {
            let frames = self.inlet.journal().read(id, ShardId(0), from, 1 << 20).unwrap();
            if frames.is_empty() {
                return all;
            }
            all.extend(frames.iter().map(|it| String::from_utf8(it.bytes.to_vec()).unwrap()));
            from = frames.end();
        }
    }

    /// Returns event, key and message of all that was told.
    fn told(&self) -> Vec<(String, String, String)> {
        let of = |line: &String| {
            let it: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| it[name].as_str().unwrap_or_default().to_owned();
            (text("event"), text("key"), text("message"))
        };
        self.records("landing_events").iter().map(of).collect()
    }

    async fn until(&self, what: impl Fn(&Runs) -> bool) {
        for _ in 0..400 {
            if what(self) {
                return;
            }
            self.inlet.clock().sleep(Duration::from_millis(25)).await;
        }
        panic!("it does not come: {:?} {:?}", self.records("sales"), self.told());
    }

    async fn stop(self) {
        for door in self.doors {
            door.stop().await;
        }
        self.inlet.journal().close();
    }
}

fn count(runs: &Runs, event: &str) -> usize {
    runs.told().iter().filter(|it| it.0 == event).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_version_of_an_object_is_read_once_whatever_restarts() {
    let world = World::new();
    world.put("a.txt", "1\n2\n3\n4\n5\n6\n7\n");
    world.put("skipped.log", "x\n");
    world.put("upload.txt.part", "y\n");
    let runs = world.start(BUCKET, "bucket = \"landing\"\nmatching = \"**/*.txt\"");
    runs.until(|it| count(it, "read") == 1).await;
    assert_eq!(runs.records("sales"), ["1", "2", "3", "4", "5", "6", "7"]);
    assert_eq!(count(&runs, "created"), 2, "what is still written is no object");
    world.put("below/b.txt", "8\n");
    runs.until(|it| count(it, "read") == 2).await;
    runs.stop().await;

    let runs = world.start(BUCKET, "bucket = \"landing\"\nmatching = \"**/*.txt\"");
    world.put("a.txt", "changed\n");
    std::fs::remove_file(world.landing().join("skipped.log")).unwrap();
    runs.until(|it| count(it, "read") == 3 && count(it, "deleted") == 1).await;
    assert_eq!(runs.records("sales").len(), 9, "{:?}", runs.records("sales"));
    assert_eq!(count(&runs, "changed"), 1);
    assert_eq!(count(&runs, "created"), 3);
    runs.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_told_and_costs_no_other() {
    let world = World::new();
    world.put("1.txt", "");
    world.put("2.txt", "a\nb\nc\n!\nd\n");
    world.put("3.txt", "e\n");
    let runs = world.start(BUCKET, "bucket = \"landing\"");
    runs.until(|it| count(it, "read") + count(it, "failed") == 3).await;
    let mut lines = runs.records("sales");
    lines.sort();
    assert_eq!(lines, ["a", "b", "c", "e"]);
    let mut failed: Vec<_> = runs.told().into_iter().filter(|it| it.0 == "failed").collect();
    failed.sort();
    assert_eq!(failed[0].2, "the file is empty");
    assert_eq!(failed[1].2, "a line that is none; 3 records before that were read");
    runs.stop().await;
}

/// A crash between any two writes: the books are cut off at any line, the journal has all.
#[tokio::test(flavor = "multi_thread")]
async fn a_book_that_is_behind_the_journal_doubles_nothing() {
    let world = World::new();
    world.put("a.txt", "1\n2\n3\n4\n5\n6\n7\n");
    world.put("b.txt", "8\n9\n");
    let files = "bucket = \"landing\"";
    let runs = world.start(BUCKET, files);
    runs.until(|it| count(it, "read") == 2).await;
    runs.stop().await;
    let books = world.folder.path().join("data/doors/buckets");
    for name in ["landing.sales.read", "landing.events"] {
        let path = books.join(name);
        let whole = std::fs::read(&path).unwrap();
        let ends: Vec<usize> =
            (0..whole.len()).filter(|it| whole[*it] == b'\n').map(|it| it + 1).collect();
        // The first line of events is begun before it is told, so that one is always there.
        let least = usize::from(name == "landing.events");
        for end in ends.into_iter().skip(least).rev() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let runs = world.start(BUCKET, files);
            runs.inlet.clock().sleep(Duration::from_millis(300)).await;
            let mut lines = runs.records("sales");
            lines.sort();
            assert_eq!(lines, ["1", "2", "3", "4", "5", "6", "7", "8", "9"], "{name} cut at {end}");
            assert_eq!(count(&runs, "read"), 2, "{name} cut at {end}");
            assert_eq!(count(&runs, "created"), 2, "{name} cut at {end}");
            runs.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_go_after_keep_but_not_before_they_are_read() {
    let world = World::new();
    world.put("a.txt", "1\n");
    let bucket = format!("{BUCKET}keep = \"1 second\"\n");
    let runs = world.start(&bucket, "bucket = \"landing\"");
    runs.until(|it| count(it, "deleted") == 1).await;
    assert_eq!(runs.records("sales"), ["1"]);
    assert!(!world.landing().join("a.txt").try_exists().unwrap());
    runs.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_become_cold_after_they_are_read_and_are_read_from_there() {
    let world = World::new();
    let lines: String = (0..200).map(|it| format!("{it}\n")).collect();
    world.put("in/a.txt", &lines);
    let bucket = format!("{BUCKET}cold = {{ after = \"1 second\", to = \"cold\" }}\n");
    let files = "bucket = \"landing\"";
    let runs = world.start(&bucket, files);
    runs.until(|it| count(it, "moved") == 1).await;
    let all = runs.records("sales");
    assert_eq!(all.len(), 200);
    assert!(!world.landing().join("in/a.txt").try_exists().unwrap());
    let moved: serde_json::Value =
        serde_json::from_str(runs.records("landing_events").last().unwrap()).unwrap();
    assert_eq!((moved["event"].as_str(), moved["tier"].as_str()), (Some("moved"), Some("cold")));
    assert_eq!(moved["size"], lines.len());
    assert!(moved["stored"].as_u64().unwrap() < lines.len() as u64);
    runs.stop().await;

    // A restart tells nothing and reads nothing.
    let runs = world.start(&bucket, files);
    runs.inlet.clock().sleep(Duration::from_millis(500)).await;
    assert_eq!(runs.records("sales").len(), 200);
    assert_eq!(runs.told().len(), 3, "{:?}", runs.told());
    runs.stop().await;

    // A program that knows nothing of what was read reads it again, out of the cold tier, and also
    // when no object is to become cold any more.
    let data = world.folder.path().join("data");
    std::fs::remove_dir_all(data.join("journal")).unwrap();
    std::fs::remove_file(data.join("doors/buckets/landing.sales.read")).unwrap();
    let runs = world.start(BUCKET, files);
    runs.until(|it| count(it, "read") == 1).await;
    assert_eq!(runs.records("sales"), all);
    runs.stop().await;

    // What is deleted after `keep` is deleted there too.
    let bucket = format!("{BUCKET}keep = \"1 second\"\n");
    let runs = world.start(&bucket, files);
    runs.until(|it| count(it, "deleted") == 1).await;
    let cold = world.folder.path().join("cold/in");
    for _ in 0..100 {
        if std::fs::read_dir(&cold).unwrap().count() == 0 {
            break;
        }
        runs.inlet.clock().sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(std::fs::read_dir(&cold).unwrap().count(), 0);
    runs.stop().await;
}
