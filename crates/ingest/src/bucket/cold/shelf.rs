//! Where cold objects lie: a folder, or a prefix in a store.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt as _;
use object_store::buffered::BufWriter;
use object_store::path::Path as Key;
use object_store::{Attribute, Attributes, ObjectStore, ObjectStoreExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::runtime::Handle;

use crate::bucket::about::sync;
use crate::bucket::place::location;
use crate::bucket::store::open_store;

/// See the module. Its functions wait for the disk or a network, and must not be called where
/// waiting holds others up.
pub(crate) enum Shelf {
    Folder(PathBuf),
    Cloud {
        store: Arc<dyn ObjectStore>,
        prefix: Key,
        /// The storage class that objects get there.
        class: Option<String>,
        runtime: Handle,
    },
}

impl Shelf {
    /// Opens the shelf that is written so: an address, or a path below `project`.
    pub(crate) fn open(
        root: &str,
        project: &Path,
        (store, class): (&BTreeMap<String, String>, Option<&String>),
        runtime: &Handle,
    ) -> io::Result<Shelf> {
        if !root.contains("://") {
            return Ok(Shelf::Folder(project.join(root)));
        }
        let (store, prefix) = open_store(root, store).map_err(|it| io::Error::other(it.message))?;
        Ok(Shelf::Cloud { store, prefix, class: class.cloned(), runtime: runtime.clone() })
    }

    /// Returns where a file is written before it is put here: on the same disk.
    pub(crate) fn unfinished(&self, tag: &str, scratch: &Path) -> PathBuf {
        match self {
            Shelf::Folder(root) => root.join(format!(".{tag}.tmp")),
            Shelf::Cloud { .. } => scratch.join(format!("{tag}.tmp")),
        }
    }

    /// Puts a synced file here; it is durable when this returns.
    pub(crate) fn put(&self, unfinished: &Path, name: &str) -> io::Result<()> {
        match self {
            Shelf::Folder(root) => {
                let path = root.join(name);
                fs::create_dir_all(path.parent().unwrap_or(root))?;
                fs::rename(unfinished, &path)?;
                for folder in path.ancestors().skip(1).take_while(|it| it.starts_with(root)) {
                    sync(folder)?;
                }
                let above = root.parent().filter(|it| !it.as_os_str().is_empty());
                above.map_or(Ok(()), sync)
            }
            Shelf::Cloud { store, prefix, class, runtime } => {
                let to = key_of(prefix, name)?;
                runtime.block_on(upload(store, to, class.as_ref(), unfinished))?;
                fs::remove_file(unfinished)
            }
        }
    }

    /// Returns the path of a file, where it has one.
    pub(crate) fn path_of(&self, name: &str) -> Option<PathBuf> {
        match self {
            Shelf::Folder(root) => Some(root.join(name)),
            Shelf::Cloud { .. } => None,
        }
    }

    /// Opens a file; one of a cloud is brought to `scratch`, and is gone from there when it is closed.
    pub(crate) fn read(&self, name: &str, scratch: &Path) -> io::Result<File> {
        match self {
            Shelf::Folder(root) => File::open(root.join(name)),
            Shelf::Cloud { store, prefix, runtime, .. } => {
                let from = key_of(prefix, name)?;
                let path = scratch.join(uuid::Uuid::new_v4().simple().to_string());
                let brought = runtime
                    .block_on(download(store, &from, &path))
                    .and_then(|()| File::open(&path));
                let removed = fs::remove_file(&path);
                let file = brought?;
                removed.map(|()| file)
            }
        }
    }

    /// Removes a file and what was written of it; it is well if there is none.
    pub(crate) fn remove(&self, name: &str, unfinished: &Path) -> io::Result<()> {
        let is_gone = |removed: io::Result<()>| match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        is_gone(fs::remove_file(unfinished))?;
        match self {
            Shelf::Folder(root) => is_gone(fs::remove_file(root.join(name))),
            Shelf::Cloud { store, prefix, runtime, .. } => {
                let key = key_of(prefix, name)?;
                is_gone(runtime.block_on(store.delete(&key)).map_err(io_error))
            }
        }
    }
}

fn key_of(prefix: &Key, name: &str) -> io::Result<Key> {
    location(prefix, name).map_err(io::Error::other)
}

fn io_error(error: object_store::Error) -> io::Error {
    match error {
        object_store::Error::NotFound { .. } => io::Error::new(io::ErrorKind::NotFound, error),
        other => io::Error::other(other),
    }
}

/// Brings a file to a store, in parts if it is large; it is seen there whole or not at all.
async fn upload(
    store: &Arc<dyn ObjectStore>,
    to: Key,
    class: Option<&String>,
    path: &Path,
) -> io::Result<()> {
    let mut attributes = Attributes::new();
    if let Some(class) = class {
        attributes.insert(Attribute::StorageClass, class.clone().into());
    }
    let mut file = tokio::fs::File::open(path).await?;
    let mut writer = BufWriter::new(Arc::clone(store), to).with_attributes(attributes);
    if let Err(error) = tokio::io::copy(&mut file, &mut writer).await {
        // What came so far costs money until it is taken back.
        if let Err(left) = writer.abort().await {
            tracing::debug!(%left, "an upload that was broken off was not taken back");
        }
        return Err(error);
    }
    writer.shutdown().await
}

async fn download(store: &Arc<dyn ObjectStore>, from: &Key, path: &Path) -> io::Result<()> {
    let mut bytes = store.get(from).await.map_err(io_error)?.into_stream();
    let mut file = tokio::fs::File::create_new(path).await?;
    while let Some(some) = bytes.try_next().await.map_err(io_error)? {
        file.write_all(&some).await?;
    }
    file.flush().await
}
