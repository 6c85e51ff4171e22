//! The cold tier of a bucket: objects that are old lie in another place, compressed, and are still
//! objects of the bucket by their keys, with their sizes, etags and times.
//!
//! ```text
//! begin: a line says what will be written ─► written, synced, read back ─► renamed ─► recorded ─► removed where it lay
//!        └── a crash here leaves a file that the line names: it is removed ──┘           └── here: both lie there, and are one
//! ```
//!
//! INVARIANT: what is recorded can be read. A file is removed from the cold tier only after a line
//! says that no object lies in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::Span;
use md5::{Digest as _, Md5};
use parking_lot::{Mutex, RwLock};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::bucket::about::About;
use crate::bucket::cold::pack::{Packed, pack, plain};
use crate::bucket::cold::shelf::Shelf;
use crate::bucket::listing::{Listing, Object};
use crate::bucket::place::{Fetched, Folders, Place};
use crate::lines::Lines;

mod pack;
mod shelf;

/// When and where objects become cold.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColdOptions {
    /// How old an object is, from when it was written, when it is moved: `"30 days"`.
    pub(crate) after: Span,
    /// Where cold objects lie: a folder, below the project's if it is not absolute, or
    /// `s3://BUCKET/PREFIX`, `gs://..`, `az://..`. Not in the bucket itself.
    pub(crate) to: String,
    /// Settings of that store; the bucket's `store` if not said.
    #[serde(default)]
    pub(crate) store: BTreeMap<String, String>,
    /// The storage class that a cloud shall keep them in, by its own name: `"STANDARD_IA"`.
    pub(crate) class: Option<String>,
}

/// An object in the cold tier.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ColdObject {
    /// As it was when it was moved.
    pub(crate) object: Object,
    /// What a client of S3 said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) about: Option<About>,
    spot: Spot,
    is_packed: bool,
    is_text: bool,
}

/// Where a file of the cold tier lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Spot {
    /// The `to` of the project when it was written.
    root: String,
    name: String,
    tag: String,
}

/// One line of the book.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    /// A file may be there that belongs to no object yet.
    Begin(Spot),
    /// It is an object.
    Moved(Box<ColdObject>),
    /// These keys are no cold objects any more; their files are to be removed.
    Gone(Vec<String>),
    /// They were.
    Removed(Vec<Spot>),
}

/// See the module.
pub(crate) struct Cold {
    bucket: String,
    options: Option<ColdOptions>,
    store: BTreeMap<String, String>,
    project: PathBuf,
    /// Where objects are put to be read.
    scratch: PathBuf,
    runtime: Handle,
    shelves: Mutex<BTreeMap<String, Arc<Shelf>>>,
    /// Held over a change, so that changes follow each other on disk as in memory.
    book: Mutex<Book>,
    objects: RwLock<BTreeMap<String, Arc<ColdObject>>>,
}

struct Book {
    lines: Lines,
    /// Files that may be there and belong to no object.
    loose: BTreeSet<Spot>,
}

/// What a file name has room for.
const NAME_BYTES_MAX: usize = 255;

/// Never set.
static GO_ON: AtomicBool = AtomicBool::new(false);

impl ColdObject {
    fn of(object: &Object, about: Option<About>, spot: Spot, packed: Packed) -> ColdObject {
        let Packed { is_packed, is_text, stored, .. } = packed;
        let object = Object { cold: Some(stored), ..object.clone() };
        ColdObject { object, about, spot, is_packed, is_text }
    }
}

impl Cold {
    /// Opens the cold tier of the bucket of that name; none if it never had one.
    pub(crate) fn open(
        bucket: &str,
        options: Option<ColdOptions>,
        store: &BTreeMap<String, String>,
        folders: &Folders,
    ) -> io::Result<Option<Cold>> {
        let path = folders.books.join(format!("{bucket}.cold"));
        if options.is_none() && !path.try_exists()? {
            return Ok(None);
        }
        let (mut lines, said) = Lines::open_now::<Line>(path)?;
        let count = said.len();
        let (objects, loose) = replay(said);
        if 16 + 2 * (objects.len() + loose.len()) < count {
            let begun = loose.iter().cloned().map(Line::Begin);
            let moved = objects.values().map(|it| Line::Moved(Box::new(ColdObject::clone(it))));
            lines.replace_now(&begun.chain(moved).collect::<Vec<_>>())?;
        }
        let own = options.as_ref().map(|it| &it.store).filter(|it| !it.is_empty());
        Ok(Some(Cold {
            bucket: bucket.to_owned(),
            store: own.unwrap_or(store).clone(),
            options,
            project: folders.project.clone(),
            scratch: folders.own.join(".fetched"),
            runtime: Handle::current(),
            shelves: Mutex::default(),
            book: Mutex::new(Book { lines, loose }),
            objects: RwLock::new(objects),
        }))
    }

    /// Returns how old an object must be to be moved; nothing if none is moved any more.
    pub(crate) fn after(&self) -> Option<Span> {
        self.options.as_ref().map(|it| it.after)
    }

    pub(crate) fn find(&self, key: &str) -> Option<Arc<ColdObject>> {
        self.objects.read().get(key).cloned()
    }

    /// Returns what is said of this version of an object, if it lies here.
    pub(crate) fn about(&self, object: &Object) -> Option<About> {
        self.find(&object.key).filter(|it| it.object.is_version_of(object))?.about.clone()
    }

    /// Returns keys and sizes of all objects.
    pub(crate) fn list(&self) -> Vec<(String, u64)> {
        self.objects.read().values().map(|it| (it.object.key.clone(), it.object.size)).collect()
    }

    /// Returns what lies directly below a folder: keys of objects, and of folders, which end in `/`.
    pub(crate) fn names_in(&self, above: &str) -> Vec<String> {
        let objects = self.objects.read();
        let (mut names, mut from) = (Vec::new(), Bound::Included(above.to_owned()));
        while let Some((key, _)) = objects.range((from, Bound::Unbounded)).next()
            && let Some(below) = key.strip_prefix(above)
        {
            let Some((folder, _)) = below.split_once('/') else {
                names.push(key.clone());
                from = Bound::Excluded(key.clone());
                continue;
            };
            names.push(format!("{above}{folder}/"));
            // `0` is the sign after `/`: what lies deeper is passed over.
            from = Bound::Included(format!("{above}{folder}0"));
        }
        names
    }

    /// Makes one listing of what lies in the bucket's own place and what is cold. Returns the
    /// objects that lie in both, as one is that a crash kept from being removed.
    pub(crate) fn merge(&self, hot: &mut Listing, place: &Place) -> io::Result<Vec<Object>> {
        let (mut both, mut over) = (Vec::new(), Vec::new());
        let cold = self.objects.read().clone();
        let mut add = Vec::new();
        for it in cold.into_values() {
            let found = hot.objects.binary_search_by(|hot| hot.key.cmp(&it.object.key));
            let hot = found.ok().and_then(|at| hot.objects.get_mut(at));
            match hot {
                None => add.push(it.object.clone()),
                Some(hot) if hot.is_version_of(&it.object) => {
                    hot.cold = it.object.cold;
                    both.push(it.object.clone());
                }
                Some(_) => over.push(it),
            }
        }
        hot.objects.extend(add);
        hot.objects.sort_by(|one, other| one.key.cmp(&other.key));
        // INVARIANT: an object is forgotten here only if another lies in its place this moment: one
        // that was moved while the listing was made looks the same in it.
        for it in over {
            if place.has_other(&it.object) {
                self.forget_version(&it.object)?;
            }
        }
        Ok(both)
    }

    /// Forgets an object; its file goes later.
    pub(crate) fn forget(&self, key: &str) -> io::Result<()> {
        self.find(key).map_or(Ok(()), |it| self.forget_version(&it.object))
    }

    fn forget_version(&self, object: &Object) -> io::Result<()> {
        let mut book = self.book.lock();
        let Some(found) = self.find(&object.key).filter(|it| it.object.is_version_of(object))
        else {
            return Ok(());
        };
        book.lines.add_now(&[Line::Gone(vec![object.key.clone()])])?;
        book.loose.insert(found.spot.clone());
        self.objects.write().remove(&object.key);
        Ok(())
    }

    /// Returns whether there are files to remove.
    pub(crate) fn is_untidy(&self) -> bool {
        !self.book.lock().loose.is_empty()
    }

    /// Removes the files that belong to no object. Not while one is moved.
    pub(crate) fn tidy(&self) -> io::Result<()> {
        let loose: Vec<Spot> = self.book.lock().loose.iter().cloned().collect();
        for spot in &loose {
            let shelf = self.shelf(&spot.root)?;
            shelf.remove(&spot.name, &shelf.unfinished(&spot.tag, &self.scratch))?;
        }
        if !loose.is_empty() {
            let mut book = self.book.lock();
            book.lines.add_now(&[Line::Removed(loose.clone())])?;
            loose.iter().for_each(|it| {
                book.loose.remove(it);
            });
        }
        Ok(())
    }

    /// Moves an object here from its place; returns how many bytes it takes, or nothing if it is
    /// another by now.
    pub(crate) fn take(
        &self,
        place: &Place,
        object: &Object,
        stop: &AtomicBool,
    ) -> io::Result<Option<u64>> {
        let known = self.find(&object.key).filter(|it| it.object.is_version_of(object));
        if let Some(known) = known {
            place.exchange(object, &self.runtime, || Ok(()))?;
            return Ok(known.object.cold);
        }
        let Some(brought) = self.bring(place, object, stop)? else { return Ok(None) };
        let stored = brought.object.cold;
        let is_moved = place.exchange(object, &self.runtime, || self.record(brought))?;
        Ok(stored.filter(|_| is_moved))
    }

    /// Brings a copy of an object here.
    fn bring(
        &self,
        place: &Place,
        object: &Object,
        stop: &AtomicBool,
    ) -> io::Result<Option<ColdObject>> {
        let Some(options) = &self.options else { return Ok(None) };
        let about = place.about(object);
        let shelf = self.shelf(&options.to)?;
        let fetched = self.runtime.block_on(place.fetch(object)).map_err(io::Error::other)?;
        let mut from = match File::open(&fetched.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        if !place.is_version(object, &from)? {
            return Ok(None);
        }
        let tag = self.tag_of(object);
        // The name says whether it is compressed, so it is known only when it is.
        let names = [false, true].map(|is_packed| Spot {
            root: options.to.clone(),
            name: name_of(&object.key, &tag, is_packed),
            tag: tag.clone(),
        });
        self.begin(&names)?;
        let unfinished = shelf.unfinished(&tag, &self.scratch);
        fs::create_dir_all(unfinished.parent().unwrap_or(&self.scratch))?;
        let packed = pack(&mut from, &unfinished, stop)?;
        if packed.read != object.size || !place.is_version(object, &from)? {
            return Ok(None);
        }
        let [bare, compressed] = names;
        let spot = if packed.is_packed { compressed } else { bare };
        shelf.put(&unfinished, &spot.name)?;
        Ok(Some(ColdObject::of(object, about, spot, packed)))
    }

    /// Writes down which files may be there from now on.
    fn begin(&self, spots: &[Spot]) -> io::Result<()> {
        let mut book = self.book.lock();
        let lines: Vec<Line> = spots.iter().cloned().map(Line::Begin).collect();
        book.lines.add_now(&lines)?;
        book.loose.extend(spots.iter().cloned());
        Ok(())
    }

    /// Writes down that an object lies here.
    fn record(&self, moved: ColdObject) -> io::Result<()> {
        let mut book = self.book.lock();
        book.lines.add_now(&[Line::Moved(Box::new(moved.clone()))])?;
        book.loose.remove(&moved.spot);
        let before = self.objects.write().insert(moved.object.key.clone(), Arc::new(moved));
        if let Some(before) = before {
            book.loose.insert(before.spot.clone());
        }
        Ok(())
    }

    /// Makes a file of an object, as it was.
    pub(crate) fn fetch(&self, found: &ColdObject) -> io::Result<Fetched> {
        let (shelf, name) = (self.shelf(&found.spot.root)?, &found.spot.name);
        if let (Some(path), false) = (shelf.path_of(name), found.is_packed) {
            fs::metadata(&path)?;
            return Ok(Fetched { path, is_ours: false });
        }
        fs::create_dir_all(&self.scratch)?;
        let packed = shelf.read(name, &self.scratch)?;
        let path = self.scratch.join(uuid::Uuid::new_v4().simple().to_string());
        let mut file = File::create_new(&path)?;
        let fetched = Fetched { path, is_ours: true };
        let (bytes, _) = plain(packed, found.is_packed, &mut file, &GO_ON)?;
        if bytes != found.object.size {
            let (key, size) = (&found.object.key, found.object.size);
            let text = format!("`{key}` has {bytes} bytes in the cold tier, not {size}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(fetched)
    }

    /// Opens an object, as it was.
    pub(crate) fn read(&self, found: &ColdObject) -> io::Result<File> {
        File::open(&self.fetch(found)?.path)
    }

    /// Opens an object for who knows compressed text when he sees it.
    pub(crate) fn read_packed(&self, found: &ColdObject) -> io::Result<File> {
        if found.is_text {
            let shelf = self.shelf(&found.spot.root)?;
            fs::create_dir_all(&self.scratch)?;
            return shelf.read(&found.spot.name, &self.scratch);
        }
        self.read(found)
    }

    /// Returns what tells this version from all others, of all buckets that share a place.
    fn tag_of(&self, object: &Object) -> String {
        let Object { key, etag, created_ms, .. } = object;
        let text = format!("{}\0{key}\0{etag}\0{created_ms}", self.bucket);
        Md5::digest(text).iter().take(6).map(|it| format!("{it:02x}")).collect()
    }

    fn shelf(&self, root: &str) -> io::Result<Arc<Shelf>> {
        let mut shelves = self.shelves.lock();
        if let Some(known) = shelves.get(root) {
            return Ok(Arc::clone(known));
        }
        let class = self.options.as_ref().and_then(|it| it.class.as_ref());
        let shelf = Shelf::open(root, &self.project, (&self.store, class), &self.runtime)?;
        let shelf = Arc::new(shelf);
        shelves.insert(root.to_owned(), Arc::clone(&shelf));
        Ok(shelf)
    }
}

/// Returns what lines say: the objects, and the files that belong to none.
fn replay(said: Vec<Line>) -> (BTreeMap<String, Arc<ColdObject>>, BTreeSet<Spot>) {
    let (mut objects, mut loose) = (BTreeMap::<String, Arc<ColdObject>>::new(), BTreeSet::new());
    for line in said {
        match line {
            Line::Begin(spot) => {
                loose.insert(spot);
            }
            Line::Moved(moved) => {
                loose.remove(&moved.spot);
                let before = objects.insert(moved.object.key.clone(), Arc::from(moved));
                loose.extend(before.map(|it| it.spot.clone()));
            }
            Line::Gone(keys) => {
                let gone = keys.iter().filter_map(|it| objects.remove(it));
                loose.extend(gone.map(|it| it.spot.clone()));
            }
            Line::Removed(spots) => spots.iter().for_each(|it| {
                loose.remove(it);
            }),
        }
    }
    (objects, loose)
}

/// Returns what the file of an object is called: its key, what tells its version, and `.zst`.
fn name_of(key: &str, tag: &str, is_packed: bool) -> String {
    let end = if is_packed { ".zst" } else { "" };
    let last = key.rsplit('/').next().unwrap_or(key);
    let room = last.len() + tag.len() + end.len() + 1;
    let key = if room <= NAME_BYTES_MAX {
        key.to_owned()
    } else {
        // The tag alone tells it apart.
        key.strip_suffix(last).unwrap_or_default().to_owned() + "object"
    };
    format!("{key}.{tag}{end}")
}

/// Moves objects, one after the other, until all are or it is to stop.
pub(crate) fn move_all(cold: &Cold, place: &Place, objects: &[Object], stop: &AtomicBool) -> bool {
    let mut is_fine = true;
    let warn = |key: &str, error: &io::Error| {
        let bucket = &cold.bucket;
        tracing::warn!(%bucket, key, %error, "an object cannot be moved to the cold tier; it stays, and is tried again");
    };
    if let Err(error) = cold.tidy() {
        warn("", &error);
        is_fine = false;
    }
    for object in objects {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        match cold.take(place, object, stop) {
            Ok(_stored) => {}
            Err(error) if stop.load(Ordering::Relaxed) => {
                tracing::debug!(%error, "a move to the cold tier was broken off");
            }
            Err(error) => {
                warn(&object.key, &error);
                is_fine = false;
            }
        }
    }
    is_fine
}

/// Cold objects as who reads buckets by himself sees them.
#[derive(Debug, Clone)]
pub struct ColdObjects(pub(crate) Arc<Cold>);

impl ColdObjects {
    /// Returns keys and sizes.
    pub fn list(&self) -> Vec<(String, u64)> {
        self.0.list()
    }

    /// Opens an object, if it is cold: as it was, or as Zstandard if it is text. It may wait for a
    /// disk or a network.
    ///
    /// # Errors
    /// The object cannot be read.
    pub fn open(&self, key: &str) -> Option<io::Result<File>> {
        self.0.find(key).map(|it| self.0.read_packed(&it))
    }
}

impl fmt::Debug for Cold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cold").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

/// Returns whether one folder lies in the other, so that cold objects would be objects again.
pub(crate) fn overlaps(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

#[cfg(test)]
mod tests;
