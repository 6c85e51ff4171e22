//! What a client of S3 said of an object: kept beside it, in a hidden folder of its bucket.
//!
//! It is found by the stamp of the file, so that a file and what is said of it change as one: a
//! file that somebody puts in the place of another has another stamp, and nothing is said of it.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

/// What is said of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    /// The object's key: a copy by hand may have kept inode and time.
    pub(crate) key: String,
    /// What its contents are told by, as S3 does: an MD5.
    pub(crate) etag: String,
    /// What its contents are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) r#type: Option<String>,
    /// Other headers that come back with it, such as `cache-control`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, String>,
    /// Free words, `x-amz-meta-*`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
    /// Its checksums, by the names of their algorithms.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) sums: BTreeMap<String, String>,
}

/// The folder of a bucket that holds what belongs to no object; names that begin with a dot are
/// none of its objects.
pub(crate) const HIDDEN: &str = ".s3";

/// Returns what tells this version of a file from all others: inode, time and size.
pub(crate) fn stamp_of(facts: &Metadata) -> String {
    let changed = facts.modified().ok().and_then(|it| it.duration_since(UNIX_EPOCH).ok());
    let changed = changed.unwrap_or_default().as_micros();
    format!("{:x}-{changed:x}-{:x}", facts.ino(), facts.len())
}

impl About {
    /// Returns what is said of the file with this stamp, if anything is.
    pub(crate) fn of(root: &Path, key: &str, stamp: &str) -> Option<About> {
        let about = fs::read(place(root, stamp)).ok()?;
        let about: About = serde_json::from_slice(&about).ok()?;
        (about.key == key).then_some(about)
    }

    /// Writes it down at a path, on disk, until it is told of which file it is said.
    pub(crate) fn write(&self, root: &Path, path: &Path) -> io::Result<()> {
        let folder = root.join(HIDDEN).join("about");
        if !folder.try_exists()? {
            fs::create_dir_all(&folder)?;
            sync(&root.join(HIDDEN))?;
            sync(root)?;
        }
        let mut file = File::create_new(path)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()
    }

    /// Makes what was written at a path what is said of the file with this stamp.
    pub(crate) fn say(root: &Path, path: &Path, stamp: &str) -> io::Result<()> {
        fs::rename(path, place(root, stamp))
    }

    /// Syncs the folder in which it lies.
    pub(crate) fn sync(root: &Path) -> io::Result<()> {
        sync(&root.join(HIDDEN).join("about"))
    }

    /// Forgets what is said of the file with this stamp.
    pub(crate) fn forget(root: &Path, stamp: &str) {
        if let Err(error) = fs::remove_file(place(root, stamp))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%error, "what was said of an object was not removed");
        }
    }

    /// Forgets what is said of files that are no more and was written before `before_ms`.
    pub(crate) fn sweep(root: &Path, before_ms: u64) -> io::Result<()> {
        let folder = root.join(HIDDEN).join("about");
        if !folder.try_exists()? {
            return Ok(());
        }
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if before_ms <= changed_ms(&entry.metadata()?) {
                continue;
            }
            let about = fs::read(entry.path())?;
            let about: Option<About> = serde_json::from_slice(&about).ok();
            let facts = about.and_then(|it| fs::metadata(root.join(it.key)).ok());
            if facts.map(|it| stamp_of(&it)).as_deref() != entry.file_name().to_str() {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

fn place(root: &Path, stamp: &str) -> PathBuf {
    root.join(HIDDEN).join("about").join(stamp)
}

/// Returns when a file was last written, in milliseconds since 1970.
pub(crate) fn changed_ms(facts: &Metadata) -> u64 {
    let changed = facts.modified().ok().and_then(|it| it.duration_since(UNIX_EPOCH).ok());
    changed.map_or(0, |it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX))
}

/// Syncs a folder: what was renamed, made or removed in it stays so.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
