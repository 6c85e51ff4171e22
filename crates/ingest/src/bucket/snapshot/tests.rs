//! Snapshots of a real folder, with a crash at every step.

use tempfile::TempDir;

use super::*;
use crate::bucket::place::Place;

struct World {
    folder: TempDir,
}

static GO_ON: AtomicBool = AtomicBool::new(false);

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("landing/a")).unwrap();
        World { folder }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("landing").canonicalize().unwrap()
    }

    fn kept(&self) -> PathBuf {
        self.folder.path().join("books/landing.snapshots")
    }

    fn open(&self) -> Snapshots {
        let at = |name: &str| self.folder.path().join(name);
        let folders = Folders { project: at(""), own: at("own"), books: at("books") };
        let options = SnapshotOptions { every: Span::from_millis(1_000), keep: 2 };
        Snapshots::open("landing", Some(options), &folders).unwrap().unwrap()
    }

    /// Replaces an object, as uploads do.
    fn put(&self, key: &str, text: &str) {
        let unfinished = self.root().join("x.tmp");
        fs::write(&unfinished, text).unwrap();
        fs::rename(unfinished, self.root().join(key)).unwrap();
    }

    fn read(&self, key: &str) -> Option<String> {
        fs::read_to_string(self.root().join(key)).ok()
    }

    async fn objects(&self) -> Vec<Object> {
        let place = Place::Folder(self.root());
        place.list(u64::MAX, Span::from_millis(0)).await.unwrap().objects
    }

    async fn work(&self, snapshots: &Snapshots, now_ms: u64) {
        let objects = self.objects().await;
        snapshots.work((&self.root(), &objects, None), now_ms, &GO_ON).unwrap();
    }

    async fn restore(&self, snapshots: &Snapshots, wanted: BucketWanted) -> BucketRestored {
        let now = self.objects().await.into_iter().map(|it| (it.key.clone(), it)).collect();
        snapshots.restore(&Folder::of(&self.root()), &wanted, &now).unwrap()
    }
}

fn numbers(snapshots: &Snapshots) -> Vec<u64> {
    snapshots.facts(&[]).iter().map(|it| it.number).collect()
}

fn first() -> BucketWanted {
    BucketWanted { number: Some(1), ..BucketWanted::default() }
}

#[tokio::test]
async fn what_was_deleted_or_replaced_comes_back_and_what_is_new_stays() {
    let world = World::new();
    world.put("a/one", "1");
    world.put("two", "2");
    world.put("three", "3");
    let before = world.objects().await;
    let snapshots = world.open();
    assert!(snapshots.is_due(5_000));
    world.work(&snapshots, 5_000).await;
    assert!(!snapshots.is_due(5_999) && snapshots.is_due(6_000));
    let facts = snapshots.facts(&before);
    assert_eq!((facts[0].files, facts[0].bytes, facts[0].kept_bytes), (3, 3, 0));

    fs::remove_dir_all(world.root().join("a")).unwrap();
    world.put("two", "other");
    world.put("new", "n");
    assert_eq!(snapshots.facts(&world.objects().await)[0].kept_bytes, 2);
    let one = BucketWanted { key: Some(Glob::new("a/**").unwrap()), ..first() };
    let done = world.restore(&snapshots, one).await;
    assert_eq!((done.restored, world.read("a/one").as_deref()), (1, Some("1")));
    assert_eq!(world.read("two").as_deref(), Some("other"));
    let done = world.restore(&world.open(), first()).await;
    assert_eq!((done.restored, done.same, done.deleted), (1, 2, 0));
    assert_eq!(world.read("new").as_deref(), Some("n"));
    let done = world.restore(&snapshots, BucketWanted { delete: true, ..first() }).await;
    assert_eq!((done.restored, done.same, done.deleted), (0, 3, 1));
    assert_eq!(world.objects().await, before, "the same versions, so no stream reads them again");
}

#[tokio::test]
async fn a_file_that_was_written_to_in_place_is_told() {
    let world = World::new();
    world.put("log", "1");
    let snapshots = world.open();
    world.work(&snapshots, 5_000).await;
    fs::write(world.root().join("log"), "12").unwrap();
    let done = world.restore(&snapshots, first()).await;
    assert_eq!((done.restored, done.altered), (0, vec!["log".to_owned()]));
    fs::remove_file(world.root().join("log")).unwrap();
    let done = world.restore(&snapshots, first()).await;
    assert_eq!((done.restored, done.altered.len()), (1, 1));
    assert_eq!(world.read("log").as_deref(), Some("12"));
}

#[tokio::test]
async fn the_newest_stay_and_a_moment_finds_one() {
    let world = World::new();
    let mut snapshots = world.open();
    for round in 1..=4 {
        world.put("one", &round.to_string());
        world.work(&snapshots, round * 1_000).await;
        snapshots = world.open();
    }
    assert_eq!(numbers(&snapshots), [3, 4]);
    assert!(!world.kept().join("2").try_exists().unwrap());
    let at = |moment_ms| BucketWanted { moment_ms: Some(moment_ms), ..BucketWanted::default() };
    assert_eq!(world.restore(&snapshots, at(3_999)).await.number, 3);
    assert_eq!(world.read("one").as_deref(), Some("3"));
    let none = snapshots.restore(&Folder::of(&world.root()), &at(2_999), &BTreeMap::new());
    assert_eq!(none.unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[tokio::test]
async fn a_crash_at_any_step_leaves_a_whole_snapshot_or_none() {
    let world = World::new();
    world.put("one", "1");
    let snapshots = world.open();
    // Nothing is taken of a bucket that closes.
    let objects = world.objects().await;
    let stopped = AtomicBool::new(true);
    snapshots.work((&world.root(), &objects, None), 1_000, &stopped).unwrap_err();
    assert!(world.kept().join("unfinished").try_exists().unwrap());
    let snapshots = world.open();
    assert!(numbers(&snapshots).is_empty());
    world.work(&snapshots, 1_000).await;
    assert_eq!(numbers(&world.open()), [1]);
    assert!(!world.kept().join("unfinished").try_exists().unwrap());

    // Renamed, but the line is cut off: it is none, and its number is free.
    let book = world.kept().join("book");
    let text = fs::read(&book).unwrap();
    fs::write(&book, &text[..text.len() - 3]).unwrap();
    let snapshots = world.open();
    assert!(numbers(&snapshots).is_empty());
    world.put("one", "2");
    world.work(&snapshots, 2_000).await;
    assert_eq!(numbers(&world.open()), [1]);
    assert_eq!(fs::read_to_string(world.kept().join("1/files/one")).unwrap(), "2");

    // Let go, but its folder is still there.
    fs::create_dir_all(world.kept().join("7/files/a")).unwrap();
    fs::write(world.kept().join("7/files/a/b"), "").unwrap();
    let snapshots = world.open();
    assert!(snapshots.is_due(2_001));
    world.work(&snapshots, 2_001).await;
    assert!(!world.kept().join("7").try_exists().unwrap() && !snapshots.is_due(2_001));
}

#[test]
fn only_so_many_files_are_removed_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone");
    fs::create_dir_all(gone.join("a")).unwrap();
    for name in ["a/1", "a/2", "3"] {
        fs::write(gone.join(name), "").unwrap();
    }
    assert!(!remove_some(&gone, &mut 2).unwrap());
    assert!(remove_some(&gone, &mut 2).unwrap());
    assert!(!gone.try_exists().unwrap());
}
