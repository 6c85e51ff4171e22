//! The data folder: one writer at a time, and where the running program can be reached.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// Where a running program answers; written into its data folder as `running.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Addresses {
    pub(crate) http: String,
    pub(crate) postgres: String,
    pub(crate) process: u32,
}

/// A data folder that this process alone writes; dropping it gives it up.
#[derive(Debug)]
pub(crate) struct Home {
    folder: PathBuf,
    _lock: File,
}

impl Home {
    /// Makes the folder if it is missing and takes the lock.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Home> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the data folder {}", folder.display()))?;
        let path = folder.join("lock");
        let mut lock = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut owner = String::new();
            lock.read_to_string(&mut owner).unwrap_or_default();
            let owner = owner.trim();
            let by = if owner.is_empty() { String::new() } else { format!(" (process {owner})") };
            bail!(
                "the data folder {} is in use by another mainstem{by}; stop it first, or give this one its own folder with --data",
                folder.display()
            );
        }
        lock.set_len(0).and_then(|()| lock.rewind()).context("cannot write the lock file")?;
        write!(lock, "{}", std::process::id()).context("cannot write the lock file")?;
        Ok(Home { folder: folder.to_owned(), _lock: lock })
    }

    /// Says where this program answers, for `mainstem sql` and the like.
    pub(crate) fn announce(&self, addresses: &Addresses) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(addresses)?;
        let part = self.folder.join("running.json.part");
        fs::write(&part, text).with_context(|| format!("cannot write {}", part.display()))?;
        fs::rename(&part, self.folder.join("running.json")).context("cannot write running.json")
    }

    /// Takes the announcement back.
    pub(crate) fn retract(&self) {
        if let Err(error) = fs::remove_file(self.folder.join("running.json")) {
            tracing::debug!(%error, "running.json was already gone");
        }
    }
}

/// Returns where the program that writes `folder` answers, if one runs.
pub(crate) fn find(folder: &Path) -> Option<Addresses> {
    let lock = File::open(folder.join("lock")).ok()?;
    // Whoever gets the lock proves that nobody runs; it is given back at once when `lock` closes.
    if flock(&lock, FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    let text = fs::read(folder.join("running.json")).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests;
