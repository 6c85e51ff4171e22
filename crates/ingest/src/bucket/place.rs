//! Where a bucket lies: a folder of this machine, or a store in a cloud.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{Span, limits, unfinished};
use futures::TryStreamExt;
use object_store::path::Path as Key;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::runtime::Handle;

use crate::bucket::Options;
use crate::bucket::about::{self, About};
use crate::bucket::cold::ColdObjects;
use crate::bucket::listing::{Event, Listing, Object, What};
use crate::bucket::store::{check_store, open_store};
use crate::door::OptionFault;
use crate::s3::folder::Folder;

/// Where things of buckets lie.
#[derive(Debug, Clone, Default)]
pub(crate) struct Folders {
    /// What a relative path begins at.
    pub(crate) project: PathBuf,
    /// Buckets of the program's own, and what is fetched from a cloud.
    pub(crate) own: PathBuf,
    /// What was told and read.
    pub(crate) books: PathBuf,
}

/// See the module.
#[derive(Debug)]
pub(crate) enum Place {
    Folder(PathBuf),
    Cloud {
        store: Arc<dyn ObjectStore>,
        /// What keys begin with in the store, not in the bucket.
        prefix: Key,
        /// Where objects are put to be read.
        fetched: PathBuf,
        asked: Asked,
    },
}

/// Where a bucket lies, told to who reads its objects by himself.
#[derive(Debug, Clone)]
pub struct BucketPlace {
    /// Its own place.
    pub own: OwnPlace,
    /// The objects that lie elsewhere.
    pub cold: Option<ColdObjects>,
}

/// Where the objects of a bucket lie that are not cold.
#[derive(Debug, Clone)]
pub enum OwnPlace {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A store, and what keys begin with there.
    Cloud(Arc<dyn ObjectStore>, String),
}

/// An object as a file, for as long as this is held.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) path: PathBuf,
    /// Whether it is removed afterwards.
    pub(crate) is_ours: bool,
}

/// A store that does not answer must not keep a door from closing for long.
const REQUEST_MAX: Duration = Duration::from_secs(60);

impl Place {
    /// Looks for faults without a network.
    pub(crate) fn check(options: &Options) -> Result<(), OptionFault> {
        match options.from.as_deref() {
            Some(from) if from.contains("://") => check_store(from, &options.store),
            Some("") => Err(OptionFault::at("from", "the path is empty")),
            Some(_) | None => match options.store.keys().next() {
                None => Ok(()),
                Some(key) => {
                    let message = "a folder has no settings of a store";
                    let fault = OptionFault::at(format!("store.{key}"), message);
                    Err(fault.with_help("leave `store` out, or let `from` be such as `s3://..`"))
                }
            },
        }
    }

    /// Opens the place of the bucket of that name.
    pub(crate) fn open(
        options: &Options,
        name: &str,
        folders: &Folders,
    ) -> Result<Place, OptionFault> {
        if let Some(url) = options.from.as_deref().filter(|it| it.contains("://")) {
            let (store, prefix) = open_store(url, &options.store)?;
            let (fetched, asked) = (folders.own.join(".fetched"), Asked::default());
            return Ok(Place::Cloud { store, prefix, fetched, asked });
        }
        let folder = match &options.from {
            Some(from) => folders.project.join(from),
            None => folders.own.join(name),
        };
        let made = std::fs::create_dir_all(&folder).and_then(|()| folder.canonicalize());
        made.map(Place::Folder).map_err(|error| {
            let folder = folder.display();
            OptionFault::at("from", format!("the folder {folder} cannot be used: {error}"))
        })
    }

    pub(crate) fn told(&self) -> OwnPlace {
        match self {
            Place::Folder(folder) => OwnPlace::Folder(folder.clone()),
            Place::Cloud { store, prefix, .. } => {
                OwnPlace::Cloud(Arc::clone(store), prefix.to_string())
            }
        }
    }

    /// Lists all objects that count: of a folder those that nobody writes any more.
    pub(crate) async fn list(&self, now_ms: u64, settle: Span) -> Result<Listing, String> {
        let mut objects = match self {
            Place::Folder(folder) => {
                let folder = folder.clone();
                let listed = tokio::task::spawn_blocking(move || list_folder(&folder));
                let mut objects = listed.await.map_err(|it| it.to_string())??;
                let is_settled =
                    |it: &Object| it.created_ms.saturating_add(settle.as_millis()) <= now_ms;
                objects.retain(|it| is_settled(it) && !is_unfinished(&it.key));
                objects
            }
            Place::Cloud { store, prefix, asked, .. } => {
                let objects = list_cloud(store.as_ref(), prefix).await?;
                without_folders(objects, (store.as_ref(), prefix), asked).await?
            }
        };
        objects.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(Listing { objects })
    }

    /// Makes a file of an object; one of a folder is one already.
    pub(crate) async fn fetch(&self, object: &Object) -> Result<Fetched, String> {
        let (store, prefix, fetched) = match self {
            Place::Folder(folder) => {
                return Ok(Fetched { path: folder.join(&object.key), is_ours: false });
            }
            Place::Cloud { store, prefix, fetched, .. } => (store, prefix, fetched),
        };
        let told = |error: &dyn std::fmt::Display| error.to_string();
        tokio::fs::create_dir_all(fetched).await.map_err(|it| told(&it))?;
        let path = fetched.join(uuid::Uuid::new_v4().to_string());
        let fetched = Fetched { path, is_ours: true };
        let location = location(prefix, &object.key)?;
        let got = tokio::time::timeout(REQUEST_MAX, store.get(&location)).await;
        let got = got.map_err(|_elapsed| "the store does not answer".to_owned())?;
        let mut bytes = got.map_err(|it| told(&it))?.into_stream();
        let mut file = tokio::fs::File::create(&fetched.path).await.map_err(|it| told(&it))?;
        while let Some(some) = bytes.try_next().await.map_err(|it| told(&it))? {
            file.write_all(&some).await.map_err(|it| told(&it))?;
        }
        file.flush().await.map_err(|it| told(&it))?;
        Ok(fetched)
    }

    /// Adds to events what clients said of the objects.
    pub(crate) async fn describe(&self, mut events: Vec<Event>) -> Result<Vec<Event>, String> {
        let Place::Folder(folder) = self else { return Ok(events) };
        let folder = folder.clone();
        let described = tokio::task::spawn_blocking(move || {
            let is_here = |it: &&mut Event| it.event != What::Deleted && it.object.cold.is_none();
            for event in events.iter_mut().filter(is_here) {
                event.about = About::of(&folder, &event.object.key, &event.object.etag);
            }
            events
        });
        described.await.map_err(|it| it.to_string())
    }

    /// Returns what a client said of this version of an object.
    pub(crate) fn about(&self, object: &Object) -> Option<About> {
        let Place::Folder(folder) = self else { return None };
        About::of(folder, &object.key, &object.etag)
    }

    /// Returns whether a file that was fetched is this version of an object: one of a folder may have
    /// been replaced, or may be written to.
    pub(crate) fn is_version(&self, object: &Object, file: &File) -> io::Result<bool> {
        let facts = file.metadata()?;
        Ok(match self {
            Place::Folder(_) => about::stamp_of(&facts) == object.etag,
            Place::Cloud { .. } => facts.len() == object.size,
        })
    }

    /// Returns whether another version of an object lies here.
    pub(crate) fn has_other(&self, object: &Object) -> bool {
        match self {
            Place::Folder(folder) => {
                let facts = std::fs::metadata(folder.join(&object.key));
                facts.is_ok_and(|it| about::stamp_of(&it) != object.etag)
            }
            // A listing is newer than what was moved.
            Place::Cloud { .. } => true,
        }
    }

    /// Removes an object if it is this version, once `record` has noted where it lies instead;
    /// returns whether it was. It waits for the disk or a network.
    pub(crate) fn exchange(
        &self,
        object: &Object,
        runtime: &Handle,
        record: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<bool> {
        match self {
            Place::Folder(folder) => Folder::of(folder).exchange(&object.key, &object.etag, record),
            Place::Cloud { store, prefix, .. } => {
                let at = location(prefix, &object.key).map_err(io::Error::other)?;
                let meta = match runtime.block_on(store.head(&at)) {
                    Err(object_store::Error::NotFound { .. }) => return Ok(false),
                    meta => meta.map_err(io::Error::other)?,
                };
                if !is_as_listed(&object_of(object.key.clone(), &meta), object) {
                    return Ok(false);
                }
                record()?;
                // Stores delete without a condition, so a write in this moment is not seen.
                runtime.block_on(store.delete(&at)).map_err(io::Error::other)?;
                Ok(true)
            }
        }
    }

    /// Removes an object.
    pub(crate) async fn remove(&self, key: &str) -> Result<(), String> {
        match self {
            Place::Folder(folder) => {
                let path = folder.join(key);
                let facts = match tokio::fs::metadata(&path).await {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                    facts => facts.map_err(|it| it.to_string())?,
                };
                tokio::fs::remove_file(path).await.map_err(|it| it.to_string())?;
                About::forget(folder, &about::stamp_of(&facts));
                Ok(())
            }
            Place::Cloud { store, prefix, .. } => {
                let location = location(prefix, key)?;
                match store.delete(&location).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                    Err(error) => Err(error.to_string()),
                }
            }
        }
    }
}

/// Lists the files below a folder. Links to folders are not followed: they may go round.
fn list_folder(root: &Path) -> Result<Vec<Object>, String> {
    let (mut objects, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        let failed = |error: io::Error| format!("{}: {error}", folder.display());
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            if entry.file_type().map_err(failed)?.is_dir() {
                if !entry.file_name().to_string_lossy().starts_with('.') {
                    folders.push(path);
                }
                continue;
            }
            // It may be gone by now, or be a link to nothing.
            let Ok(facts) = std::fs::metadata(&path) else { continue };
            let key = path.strip_prefix(root).ok().and_then(Path::to_str);
            let (Some(key), true) = (key, facts.is_file()) else { continue };
            objects.push(Object {
                cold: None,
                key: key.replace(std::path::MAIN_SEPARATOR, "/"),
                size: facts.len(),
                etag: about::stamp_of(&facts),
                created_ms: about::changed_ms(&facts),
            });
            check_count(objects.len())?;
        }
    }
    Ok(objects)
}

async fn list_cloud(store: &dyn ObjectStore, prefix: &Key) -> Result<Vec<Object>, String> {
    let mut found = store.list(Some(prefix));
    let mut objects = Vec::new();
    while let Some(meta) = found.try_next().await.map_err(|it| it.to_string())? {
        let key = meta.location.as_ref().strip_prefix(prefix.as_ref());
        let key = key.map(|it| it.trim_start_matches('/')).filter(|it| !it.is_empty());
        let Some(key) = key else { continue };
        objects.push(object_of(key.to_owned(), &meta));
        check_count(objects.len())?;
    }
    Ok(objects)
}

/// What was found of objects of no bytes, by their keys: when they were written, and whether each is
/// an object.
type Asked = Mutex<BTreeMap<String, (u64, bool)>>;

/// Leaves out what stands for a folder, an object `a/` of no bytes, as consoles and some programs make
/// them. The library takes the `/` at its end away, so what is empty is asked for once by itself: there
/// is no object `a`.
async fn without_folders(
    objects: Vec<Object>,
    (store, prefix): (&dyn ObjectStore, &Key),
    asked: &Asked,
) -> Result<Vec<Object>, String> {
    let (mut kept, mut found) = (Vec::with_capacity(objects.len()), BTreeMap::new());
    for object in objects {
        if 0 < object.size {
            kept.push(object);
            continue;
        }
        let known = asked.lock().get(&object.key).copied();
        let is_object = match known.filter(|(created_ms, _)| *created_ms == object.created_ms) {
            Some((_, is_object)) => is_object,
            None => match store.head(&location(prefix, &object.key)?).await {
                Ok(meta) => meta.size == 0,
                Err(object_store::Error::NotFound { .. }) => false,
                Err(error) => return Err(error.to_string()),
            },
        };
        let before = found.insert(object.key.clone(), (object.created_ms, is_object));
        if is_object && before.is_none() {
            kept.push(object);
        }
    }
    *asked.lock() = found;
    Ok(kept)
}

/// Returns whether an object that was asked for by itself is the version that a listing told of: the
/// one is told in whole seconds, the other may have milliseconds.
fn is_as_listed(now: &Object, listed: &Object) -> bool {
    let whole = |it: &Object| Object { created_ms: it.created_ms / 1_000, ..it.clone() };
    whole(now).is_version_of(&whole(listed))
}

fn object_of(key: String, meta: &ObjectMeta) -> Object {
    Object {
        cold: None,
        key,
        size: meta.size,
        etag: meta.e_tag.as_deref().unwrap_or_default().trim_matches('"').to_owned(),
        created_ms: u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or(0),
    }
}

fn check_count(count: usize) -> Result<(), String> {
    let max = limits::BUCKET_OBJECTS_MAX;
    if count <= max {
        return Ok(());
    }
    Err(format!("it has more than {max} objects; make several buckets of it, or set `keep`"))
}

pub(crate) fn location(prefix: &Key, key: &str) -> Result<Key, String> {
    let whole = format!("{prefix}/{key}");
    Key::parse(whole.trim_start_matches('/')).map_err(|it| it.to_string())
}

impl Drop for Fetched {
    fn drop(&mut self) {
        if self.is_ours
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::debug!(%error, "a fetched object was not removed");
        }
    }
}

/// Returns whether a file is one that somebody writes, by its name.
fn is_unfinished(key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or(key);
    name.starts_with('.') || unfinished(name).is_some()
}

#[cfg(test)]
mod tests;
