//! Snapshots of a bucket that is a folder: its files once more, as hard links, which take no room
//! until the bucket replaces or deletes them.
//!
//! ```text
//! unfinished/files/KEY, unfinished/objects ─► synced ─► renamed to N ─► a line of the book says it is there
//!        └── a crash before that line leaves a folder that the book does not name: it is removed
//! ```
//!
//! Objects are replaced by renaming, so a link keeps the bytes of before. A program that writes into
//! a file in place changes the link too: the stamp that was noted tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::{Glob, Span};
use parking_lot::{Mutex, RwLock};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bucket::about::{About, changed_ms, stamp_of, sync};
use crate::bucket::cold::Cold;
use crate::bucket::listing::Object;
use crate::bucket::place::Folders;
use crate::inlet::hash_of;
use crate::lines::Lines;
use crate::s3::folder::{Conditions, Folder};
use crate::s3::key::Key;

/// How often a snapshot is taken, and how many are kept.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SnapshotOptions {
    /// How often one is taken.
    pub(crate) every: Span,
    /// How many are kept, the newest; 2 if not said.
    #[serde(default = "two")]
    pub(crate) keep: u32,
}

fn two() -> u32 {
    2
}

/// What is known of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketSnapshot {
    /// Its number.
    pub number: u64,
    /// When it was taken, in milliseconds since 1970.
    pub taken_ms: u64,
    /// Objects in it, cold ones included.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The part of those bytes that the bucket itself does not have any more.
    #[serde(skip)]
    pub kept_bytes: u64,
}

/// Which objects of a bucket are to be again what they were.
#[derive(Debug, Clone, Default)]
pub struct BucketWanted {
    /// The snapshot, by its number.
    pub number: Option<u64>,
    /// The newest snapshot of that moment, in milliseconds since 1970.
    pub moment_ms: Option<u64>,
    /// Only the objects whose keys are like this.
    pub key: Option<Glob>,
    /// Whether objects that the snapshot does not have are deleted.
    pub delete: bool,
}

/// What going back to a snapshot did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BucketRestored {
    /// The snapshot.
    pub number: u64,
    /// Objects that were brought back.
    pub restored: u64,
    /// Objects that are as they were.
    pub same: u64,
    /// Objects that were deleted since the snapshot does not have them.
    pub deleted: u64,
    /// Keys of files that were written to in place since, so that the snapshot has them as they are now.
    pub altered: Vec<String>,
    /// Keys of objects that were cold then, and are gone or others now.
    pub lost: Vec<String>,
}

/// One line of the book.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Taken(BucketSnapshot),
    Gone(u64),
}

/// One object of a snapshot.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    object: Object,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    about: Option<About>,
    /// What told the file of the snapshot when it was taken; none of a cold object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stamp: Option<String>,
}

/// A snapshot that is there.
#[derive(Debug)]
struct Kept {
    facts: BucketSnapshot,
    /// The bytes of its objects, by what tells their versions.
    versions: BTreeMap<u128, u64>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Snapshots {
    folder: PathBuf,
    options: Option<SnapshotOptions>,
    /// Held while one is taken, gone back to or removed.
    work: Mutex<Work>,
    kept: RwLock<BTreeMap<u64, Arc<Kept>>>,
}

#[derive(Debug)]
struct Work {
    lines: Lines,
    /// Folders that are no snapshots.
    loose: Vec<PathBuf>,
}

const UNFINISHED: &str = "unfinished";

/// Files that are removed in one round.
const REMOVED_MAX: usize = 10_000;

impl Snapshots {
    /// Opens the snapshots of the bucket of that name; none if it never had one.
    pub(crate) fn open(
        bucket: &str,
        options: Option<SnapshotOptions>,
        folders: &Folders,
    ) -> io::Result<Option<Snapshots>> {
        let folder = folders.books.join(format!("{bucket}.snapshots"));
        let path = folder.join("book");
        if options.is_none() && !path.try_exists()? {
            return Ok(None);
        }
        let (mut lines, said) = Lines::open_now::<Line>(path)?;
        let count = said.len();
        let mut known = BTreeMap::new();
        for line in said {
            match line {
                Line::Taken(facts) => {
                    known.insert(facts.number, facts);
                }
                Line::Gone(number) => {
                    known.remove(&number);
                }
            }
        }
        if 16 + 2 * known.len() < count {
            lines.replace_now(&known.values().cloned().map(Line::Taken).collect::<Vec<_>>())?;
        }
        let mut loose = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let number = entry.file_name().to_str().and_then(|it| it.parse::<u64>().ok());
            let is_known = number.is_some_and(|it| known.contains_key(&it));
            if entry.file_type()?.is_dir() && !is_known {
                loose.push(entry.path());
            }
        }
        let kept = known.into_iter().map(|(number, facts)| {
            let entries = read_entries(&folder.join(number.to_string())).unwrap_or_else(|error| {
                tracing::warn!(bucket, number, %error, "a snapshot cannot be read");
                Vec::new()
            });
            (number, Arc::new(Kept::of(facts, &entries)))
        });
        let kept = RwLock::new(kept.collect());
        Ok(Some(Snapshots { folder, options, work: Mutex::new(Work { lines, loose }), kept }))
    }

    /// Returns whether there is something to do.
    pub(crate) fn is_due(&self, now_ms: u64) -> bool {
        let is_untidy = self.work.try_lock().is_some_and(|it| !it.loose.is_empty());
        is_untidy || self.is_to_take(now_ms)
    }

    fn is_to_take(&self, now_ms: u64) -> bool {
        let Some(options) = &self.options else { return false };
        let newest_ms = self.kept.read().values().map(|it| it.facts.taken_ms).max();
        newest_ms.is_none_or(|it| it.saturating_add(options.every.as_millis()) <= now_ms)
    }

    /// Returns whether a snapshot has this version of an object.
    pub(crate) fn has(&self, object: &Object) -> bool {
        let version = version_of(object);
        self.kept.read().values().any(|it| it.versions.contains_key(&version))
    }

    /// Returns what is known of the snapshots, of a bucket with these objects.
    pub(crate) fn facts(&self, now: &[Object]) -> Vec<BucketSnapshot> {
        let kept: Vec<Arc<Kept>> = self.kept.read().values().cloned().collect();
        let now: BTreeSet<u128> =
            if kept.is_empty() { BTreeSet::new() } else { now.iter().map(version_of).collect() };
        let facts = kept.iter().map(|it| {
            let gone = it.versions.iter().filter(|(version, _)| !now.contains(*version));
            BucketSnapshot { kept_bytes: gone.map(|(_, bytes)| bytes).sum(), ..it.facts.clone() }
        });
        facts.collect()
    }

    /// Takes a snapshot if one is due, lets go of older ones, and removes some of what is let go.
    pub(crate) fn work(
        &self,
        (root, objects, cold): (&Path, &[Object], Option<&Cold>),
        now_ms: u64,
        stop: &AtomicBool,
    ) -> io::Result<()> {
        let mut work = self.work.lock();
        if self.is_to_take(now_ms) {
            self.take(&mut work, (root, objects, cold), now_ms, stop)?;
            self.let_go(&mut work)?;
        }
        let mut left = REMOVED_MAX;
        while let Some(folder) = work.loose.last() {
            if !remove_some(folder, &mut left)? {
                break;
            }
            work.loose.pop();
        }
        Ok(())
    }

    fn take(
        &self,
        work: &mut Work,
        (root, objects, cold): (&Path, &[Object], Option<&Cold>),
        now_ms: u64,
        stop: &AtomicBool,
    ) -> io::Result<()> {
        let number = self.kept.read().last_key_value().map_or(0, |(number, _)| *number) + 1;
        let (unfinished, place) =
            (self.folder.join(UNFINISHED), self.folder.join(number.to_string()));
        for left in [&unfinished, &place] {
            if left.try_exists()? {
                fs::remove_dir_all(left)?;
            }
            work.loose.retain(|it| it != left);
        }
        let files = unfinished.join("files");
        fs::create_dir_all(&files)?;
        let (mut entries, mut folders) =
            (Vec::new(), BTreeSet::from([files.clone(), unfinished.clone()]));
        for object in objects {
            if stop.load(Ordering::Relaxed) {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "the bucket is closed"));
            }
            if object.cold.is_some() {
                let about = cold.and_then(|it| it.about(object));
                entries.push(Entry { object: object.clone(), about, stamp: None });
            } else if let Some(entry) = self.take_one(root, &files, object)? {
                let above = Path::new(&object.key).ancestors().skip(1);
                folders.extend(above.map(|it| files.join(it)));
                entries.push(entry);
            } else if let Some(found) = cold.and_then(|it| it.find(&object.key)) {
                // It was moved there meanwhile.
                let (object, about) = (found.object.clone(), found.about.clone());
                entries.push(Entry { object, about, stamp: None });
            }
        }
        write_entries(&unfinished, &entries)?;
        for folder in folders {
            sync(&folder)?;
        }
        fs::rename(&unfinished, &place)?;
        sync(&self.folder)?;
        let facts = BucketSnapshot {
            number,
            taken_ms: now_ms,
            files: entries.len() as u64,
            bytes: entries.iter().map(|it| it.object.size).sum(),
            kept_bytes: 0,
        };
        work.lines.add_now(&[Line::Taken(facts.clone())])?;
        self.kept.write().insert(number, Arc::new(Kept::of(facts, &entries)));
        Ok(())
    }

    /// Links one file; none if it is gone by now.
    fn take_one(&self, root: &Path, files: &Path, object: &Object) -> io::Result<Option<Entry>> {
        // A link of a link would be followed to another file later.
        let from = match root.join(&object.key).canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            from => from?,
        };
        let to = files.join(&object.key);
        fs::create_dir_all(to.parent().unwrap_or(files))?;
        match link_or_copy(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            linked => linked?,
        }
        // Who wrote it may not have synced it; what an earlier snapshot has is synced.
        if !self.has(object) {
            File::open(&to)?.sync_all()?;
        }
        let (facts, source) = (fs::metadata(&to)?, fs::metadata(&from));
        let stamp = stamp_of(&facts);
        // It may have been replaced since it was listed: what was linked counts.
        let etag = match source {
            Ok(it) if it.len() == facts.len() && changed_ms(&it) == changed_ms(&facts) => {
                stamp_of(&it)
            }
            _ => stamp.clone(),
        };
        let object =
            Object { size: facts.len(), created_ms: changed_ms(&facts), etag, ..object.clone() };
        let about = About::of(root, &object.key, &object.etag);
        Ok(Some(Entry { object, about, stamp: Some(stamp) }))
    }

    fn let_go(&self, work: &mut Work) -> io::Result<()> {
        let keep = self.options.as_ref().and_then(|it| usize::try_from(it.keep).ok());
        let keep = keep.unwrap_or(usize::MAX);
        let numbers: Vec<u64> = self.kept.read().keys().copied().collect();
        let over = numbers.len().saturating_sub(keep);
        for number in numbers.into_iter().take(over) {
            work.lines.add_now(&[Line::Gone(number)])?;
            self.kept.write().remove(&number);
            work.loose.push(self.folder.join(number.to_string()));
        }
        Ok(())
    }

    /// Lets objects be again what they were. `now` are those that lie in the bucket, by key.
    pub(crate) fn restore(
        &self,
        folder: &Folder,
        wanted: &BucketWanted,
        now: &BTreeMap<String, Object>,
    ) -> io::Result<BucketRestored> {
        let _work = self.work.lock();
        let number = self.find(wanted)?;
        let place = self.folder.join(number.to_string());
        let entries = read_entries(&place)?;
        let matches = |key: &str| wanted.key.as_ref().is_none_or(|it| it.matches(key));
        let mut done = BucketRestored { number, ..BucketRestored::default() };
        for entry in entries.iter().filter(|it| matches(&it.object.key)) {
            restore_one(folder, &place.join("files"), entry, now, &mut done)?;
        }
        if wanted.delete {
            let then: BTreeSet<&str> = entries.iter().map(|it| it.object.key.as_str()).collect();
            for key in now.keys().filter(|it| matches(it) && !then.contains(it.as_str())) {
                let key = Key::new(key).map_err(|it| io::Error::other(it.to_string()))?;
                let removed = folder.remove(&key, &Conditions::default());
                removed.map_err(|it| io::Error::other(it.to_string()))?;
                done.deleted += 1;
            }
        }
        Ok(done)
    }

    fn find(&self, wanted: &BucketWanted) -> io::Result<u64> {
        let kept = self.kept.read();
        let found = match (wanted.number, wanted.moment_ms) {
            (Some(number), _) => kept.contains_key(&number).then_some(number),
            (None, Some(moment_ms)) => {
                let before = kept.values().rev().find(|it| it.facts.taken_ms <= moment_ms);
                before.map(|it| it.facts.number)
            }
            (None, None) => None,
        };
        found.ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "the bucket has no such snapshot")
        })
    }
}

impl Kept {
    fn of(facts: BucketSnapshot, entries: &[Entry]) -> Kept {
        let versions = entries.iter().map(|it| (version_of(&it.object), it.object.size));
        Kept { facts, versions: versions.collect() }
    }
}

fn restore_one(
    folder: &Folder,
    files: &Path,
    entry: &Entry,
    now: &BTreeMap<String, Object>,
    done: &mut BucketRestored,
) -> io::Result<()> {
    let (then, key) = (&entry.object, &entry.object.key);
    let is = now.get(key);
    // A copy that was brought back is another file, with the same time.
    let is_copy = entry.stamp.as_ref().is_some_and(|it| *it != then.etag);
    let is_same = |it: &Object| {
        it.is_version_of(then)
            || is_copy && (it.size, it.created_ms) == (then.size, then.created_ms)
    };
    if is.is_some_and(is_same) {
        done.same += 1;
        return Ok(());
    }
    let Some(stamp) = &entry.stamp else {
        done.lost.push(key.clone());
        return Ok(());
    };
    let file = files.join(key);
    let found = stamp_of(&fs::metadata(&file)?);
    if found != *stamp {
        done.altered.push(key.clone());
        if is.is_some_and(|it| it.etag == found) {
            return Ok(());
        }
    }
    folder.bring_back(key, &file, entry.about.as_ref())?;
    done.restored += 1;
    Ok(())
}

fn version_of(object: &Object) -> u128 {
    let Object { key, etag, size, created_ms, .. } = object;
    hash_of(&format!("{key}\0{etag}\0{size}\0{created_ms}"))
}

fn write_entries(folder: &Path, entries: &[Entry]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create_new(folder.join("objects"))?);
    for entry in entries {
        serde_json::to_writer(&mut file, entry).map_err(io::Error::other)?;
        file.write_all(b"\n")?;
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

fn read_entries(folder: &Path) -> io::Result<Vec<Entry>> {
    let file = BufReader::new(File::open(folder.join("objects"))?);
    file.lines().map(|it| serde_json::from_str(&it?).map_err(io::Error::other)).collect()
}

/// Lets a file be at another path too: as a link, or as a copy where that cannot be.
pub(crate) fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    let Err(error) = fs::hard_link(from, to) else { return Ok(()) };
    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) {
        return Err(error);
    }
    let mut source = File::open(from)?;
    let modified = source.metadata()?.modified()?;
    let mut file = File::create_new(to)?;
    io::copy(&mut source, &mut file)?;
    file.set_modified(modified)?;
    file.sync_all()
}

/// Removes a folder, but not more than so many files; returns whether it is gone.
fn remove_some(folder: &Path, left: &mut usize) -> io::Result<bool> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if *left == 0 {
            return Ok(false);
        }
        if !entry.file_type()?.is_dir() {
            fs::remove_file(entry.path())?;
            *left -= 1;
        } else if !remove_some(&entry.path(), left)? {
            return Ok(false);
        }
    }
    fs::remove_dir(folder)?;
    Ok(true)
}

#[cfg(test)]
mod tests;
