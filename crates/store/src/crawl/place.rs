//! Where files lie: a folder, one file, or a prefix in an object store.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use object_store::{ObjectStore, ObjectStoreExt as _};
use rows::files::{OnDisk, Source};
use tokio::runtime::Handle;
use url::Url;

use crate::error::Error;

/// A folder, a file, or a prefix in an object store.
pub struct Place {
    root: String,
    kind: Kind,
    elsewhere: Option<Arc<dyn Elsewhere>>,
}

/// Files that are listed with those of a place and lie in another.
pub trait Elsewhere: Send + Sync {
    /// Returns their paths and sizes, as if they lay in the place.
    fn list(&self) -> Vec<(String, u64)>;

    /// Opens one, if it is one.
    fn open(&self, path: &str) -> Option<io::Result<fs::File>>;
}

enum Kind {
    Local(PathBuf),
    Objects { store: Arc<dyn ObjectStore>, prefix: object_store::path::Path, runtime: Handle },
}

/// A file as a listing has it.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    /// Its path below the root.
    pub(crate) path: String,
    pub(crate) size: u64,
}

/// What a listing found.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) files: Vec<Listed>,
    pub(crate) hidden: u64,
    pub(crate) is_cut: bool,
    /// Folders that hold a log of Delta.
    pub(crate) deltas: Vec<String>,
    /// Folders that cannot be listed, and why.
    pub(crate) closed: Vec<(String, String)>,
}

/// Folders in folders; ends a loop of links.
const DEPTH_MAX: usize = 64;

impl Place {
    /// Reads `text` as a URL of an object store, else as a path. Credentials are among `options`, by
    /// the names of the environment variables that the providers document.
    pub fn new(
        text: &str,
        options: Vec<(String, String)>,
        runtime: Handle,
    ) -> Result<Place, Error> {
        let root = text.to_owned();
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Place::of_path(PathBuf::from(text)));
        };
        if scheme == "file" {
            return Ok(Place { root, ..Place::of_path(PathBuf::from(rest)) });
        }
        let wrong = |reason: String| Error::Place { place: text.to_owned(), reason };
        let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
        let options = options.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
        let (store, prefix) = object_store::parse_url_opts(&url, options)
            .map_err(|error| wrong(error.to_string()))?;
        let kind = Kind::Objects { store: Arc::from(store), prefix, runtime };
        Ok(Place { root, kind, elsewhere: None })
    }

    /// Makes a place of a folder or a file of this machine.
    pub fn of_path(path: PathBuf) -> Place {
        Place { root: path.display().to_string(), kind: Kind::Local(path), elsewhere: None }
    }

    /// Makes a place of a store that is at hand.
    pub fn of_store(store: Arc<dyn ObjectStore>, prefix: &str, runtime: Handle) -> Place {
        let prefix = object_path(&object_store::path::Path::default(), prefix);
        let root = format!("{store}/{prefix}");
        Place { root, kind: Kind::Objects { store, prefix, runtime }, elsewhere: None }
    }

    /// Adds files that lie elsewhere; one with the path of one that lies here is passed over.
    #[must_use]
    pub fn with(self, elsewhere: Arc<dyn Elsewhere>) -> Place {
        Place { elsewhere: Some(elsewhere), ..self }
    }

    /// Returns the place as it was named.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Lists all files, sorted by path.
    pub(crate) fn list(&self, most: usize) -> Result<Listing, Error> {
        let mut listing = match &self.kind {
            Kind::Local(root) => list_local(root, most).map_err(|source| Error::Disk {
                doing: "list",
                path: root.clone(),
                source,
            })?,
            Kind::Objects { store, prefix, runtime } => {
                runtime.block_on(list_objects(store.as_ref(), prefix, most)).map_err(|error| {
                    Error::Place { place: self.root.clone(), reason: error.to_string() }
                })?
            }
        };
        // A file that lies in both is that of here: sorting keeps it first.
        for (path, size) in self.elsewhere.iter().flat_map(|it| it.list()) {
            if most <= listing.files.len() {
                listing.is_cut = true;
                break;
            }
            if !path.split('/').any(is_hidden) {
                listing.files.push(Listed { path, size });
            }
        }
        listing.files.sort_by(|a, b| a.path.cmp(&b.path));
        listing.files.dedup_by(|b, a| a.path == b.path);
        Ok(listing)
    }

    /// Opens a file of the listing.
    pub(crate) fn open(&self, file: &Listed) -> io::Result<Arc<dyn Source>> {
        let elsewhere = || self.elsewhere.as_ref()?.open(&file.path);
        let on_disk = |file: io::Result<fs::File>| -> io::Result<Arc<dyn Source>> {
            Ok(Arc::new(OnDisk::of(file?)?))
        };
        match &self.kind {
            Kind::Local(root) => {
                let path = if file.path.is_empty() { root.clone() } else { root.join(&file.path) };
                match OnDisk::open(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        elsewhere().map_or(Err(error), on_disk)
                    }
                    opened => Ok(Arc::new(opened?)),
                }
            }
            Kind::Objects { store, prefix, runtime } => match elsewhere() {
                Some(file) => on_disk(file),
                None => Ok(Arc::new(Object {
                    store: Arc::clone(store),
                    path: object_path(prefix, &file.path),
                    size: file.size,
                    runtime: runtime.clone(),
                })),
            },
        }
    }

    /// Returns how large a file is now; nothing where that costs a request.
    pub(crate) fn size_now(&self, file: &Listed) -> Option<u64> {
        match &self.kind {
            Kind::Local(root) => fs::metadata(root.join(&file.path)).ok().map(|it| it.len()),
            Kind::Objects { .. } => None,
        }
    }
}

fn object_path(prefix: &object_store::path::Path, path: &str) -> object_store::path::Path {
    if path.is_empty() {
        return prefix.clone();
    }
    let below =
        if prefix.as_ref().is_empty() { path.to_owned() } else { format!("{prefix}/{path}") };
    // As a listing told it: the library would encode some signs once more.
    object_store::path::Path::parse(&below)
        .unwrap_or_else(|_| path.split('/').fold(prefix.clone(), object_store::path::Path::join))
}

fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_']) || name.ends_with(".crc")
}

fn list_local(root: &Path, most: usize) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let metadata = fs::metadata(root)?;
    if metadata.is_file() {
        listing.files.push(Listed { path: String::new(), size: metadata.len() });
        return Ok(listing);
    }
    let mut folders = vec![(root.to_owned(), String::new(), 0)];
    while let Some((folder, path, depth)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if depth == 0 => return Err(error),
            Err(error) => {
                listing.closed.push((path, error.to_string()));
                continue;
            }
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == "_delta_log" {
                listing.deltas.push(path.clone());
            }
            if is_hidden(&name) {
                listing.hidden += 1;
                continue;
            }
            let below = if path.is_empty() { name } else { format!("{path}/{name}") };
            // Links are followed, as far as the depth allows.
            let Ok(metadata) = fs::metadata(entry.path()) else {
                listing.closed.push((below, "it cannot be found".to_owned()));
                continue;
            };
            if metadata.is_dir() && depth < DEPTH_MAX {
                folders.push((entry.path(), below, depth + 1));
            } else if metadata.is_file() {
                if most <= listing.files.len() {
                    listing.is_cut = true;
                    return Ok(listing);
                }
                listing.files.push(Listed { path: below, size: metadata.len() });
            }
        }
    }
    Ok(listing)
}

async fn list_objects(
    store: &dyn ObjectStore,
    prefix: &object_store::path::Path,
    most: usize,
) -> object_store::Result<Listing> {
    let mut listing = Listing::default();
    let mut objects = store.list(Some(prefix));
    while let Some(object) = objects.next().await {
        let object = object?;
        let Some(parts) = object.location.prefix_match(prefix) else { continue };
        let parts: Vec<String> = parts.map(|it| it.as_ref().to_owned()).collect();
        if let Some(at) = parts.iter().position(|it| it == "_delta_log") {
            let folder = parts.iter().take(at).cloned().collect::<Vec<_>>().join("/");
            if listing.deltas.last() != Some(&folder) {
                listing.deltas.push(folder);
            }
        }
        if parts.iter().any(|it| is_hidden(it)) {
            listing.hidden += 1;
            continue;
        }
        if most <= listing.files.len() {
            listing.is_cut = true;
            break;
        }
        listing.files.push(Listed { path: parts.join("/"), size: object.size });
    }
    // One object, or a server without listings.
    if listing.files.is_empty()
        && !prefix.as_ref().is_empty()
        && let Ok(object) = store.head(prefix).await
    {
        listing.files.push(Listed { path: String::new(), size: object.size });
    }
    Ok(listing)
}

struct Object {
    store: Arc<dyn ObjectStore>,
    path: object_store::path::Path,
    size: u64,
    runtime: Handle,
}

impl Source for Object {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let end = offset.saturating_add(length as u64).min(self.size);
        if end <= offset {
            return Ok(Bytes::new());
        }
        self.runtime
            .block_on(self.store.get_range(&self.path, offset..end))
            .map_err(io::Error::other)
    }

    fn again(&self) -> Arc<dyn Source> {
        Arc::new(Object {
            store: Arc::clone(&self.store),
            path: self.path.clone(),
            size: self.size,
            runtime: self.runtime.clone(),
        })
    }
}
