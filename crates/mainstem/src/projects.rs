//! The projects that were applied, as texts, and which of them runs.
//!
//! `projects/NUMBER.json` holds the texts of one, `projects/current.json` says which one runs and
//! which one ran before. **The rename of `current.json` is the commit point of a change**: a crash
//! before it leaves the one project, a crash after it the other.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use journal::Disk;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// The version of the format; a program refuses those it does not know.
const FORMAT: u32 = 1;

const CURRENT: &str = "current.json";

/// The texts of a project, and the environment that its overlays are for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    pub(crate) env: Option<String>,
    /// By path, from the project's folder.
    pub(crate) files: BTreeMap<String, String>,
}

/// Which project runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Current {
    format: u32,
    /// The project that runs.
    pub(crate) number: u64,
    /// The one that ran before the last change.
    pub(crate) before: Option<u64>,
    /// What stood in the folder when somebody went back from it: it is not applied by itself
    /// until it is edited.
    pub(crate) left: Option<Source>,
}

/// The folder of all applied projects.
#[derive(Debug)]
pub(crate) struct Projects {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    current: Mutex<Option<Current>>,
}

impl Projects {
    /// Opens the folder, making it if it is missing.
    pub(crate) fn open(disk: Arc<dyn Disk>, folder: &Path) -> anyhow::Result<Projects> {
        disk.create_folder(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let projects = Projects { disk, folder: folder.to_owned(), current: Mutex::default() };
        let current: Option<Current> = projects.read(CURRENT)?;
        if let Some(format) = current.as_ref().map(|it| it.format).filter(|it| *it != FORMAT) {
            bail!(
                "{}: its format is {format}, this program knows {FORMAT}; start the version that \
                 wrote it",
                folder.join(CURRENT).display()
            );
        }
        *projects.current.lock() = current;
        Ok(projects)
    }

    /// Returns which project runs; none if there never was one.
    pub(crate) fn current(&self) -> Option<Current> {
        self.current.lock().clone()
    }

    /// Returns the texts of a project.
    pub(crate) fn source(&self, number: u64) -> anyhow::Result<Source> {
        let name = name_of(number);
        self.read(&name)?
            .with_context(|| format!("{} is missing", self.folder.join(&name).display()))
    }

    /// Returns the texts of the project that runs.
    pub(crate) fn running(&self) -> anyhow::Result<Option<Source>> {
        self.current().map(|it| self.source(it.number)).transpose()
    }

    /// Writes down a project that is about to run, and returns what would make it the current one.
    pub(crate) fn prepare(&self, source: &Source, left: Option<Source>) -> anyhow::Result<Current> {
        let now = self.current();
        let before = now.as_ref().map(|it| it.number);
        let used = now.iter().flat_map(|it| [Some(it.number), it.before]).flatten().max();
        let number = used.unwrap_or(0) + 1;
        self.replace(&name_of(number), &serde_json::to_vec_pretty(source)?)?;
        Ok(Current { format: FORMAT, number, before, left })
    }

    /// Makes a prepared project the current one: when this returns, it is.
    pub(crate) fn commit(&self, current: Current) -> anyhow::Result<()> {
        self.replace(CURRENT, &serde_json::to_vec_pretty(&current)?)?;
        *self.current.lock() = Some(current);
        Ok(())
    }

    /// Removes what neither the current project nor the one before it needs; what cannot be
    /// removed is tried again next time.
    pub(crate) fn sweep(&self) {
        let Some(current) = self.current() else { return };
        let mut used: Vec<String> = vec![CURRENT.to_owned(), name_of(current.number)];
        used.extend(current.before.map(name_of));
        for name in self.disk.list(&self.folder).unwrap_or_default() {
            if !used.contains(&name)
                && let Err(error) = self.disk.remove(&self.folder.join(&name))
            {
                tracing::warn!(file = name, %error, "an old project cannot be removed");
            }
        }
    }

    /// Writes a file so that after a crash it is there as a whole, or as it was before.
    fn replace(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        replace_file(&self.disk, &self.folder, name, bytes)
    }

    fn read<T: for<'a> Deserialize<'a>>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let path = self.folder.join(name);
        let Some(bytes) = read_file(&self.disk, &path)? else { return Ok(None) };
        let read = serde_json::from_slice(&bytes);
        read.map(Some).with_context(|| format!("{} is damaged", path.display()))
    }
}

/// Writes a file so that after a crash it is there as a whole, or as it was before.
pub(crate) fn replace_file(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    name: &str,
    bytes: &[u8],
) -> anyhow::Result<()> {
    let (path, part) = (folder.join(name), folder.join(format!("{name}.unfinished")));
    let write = || {
        let file = disk.create(&part)?;
        file.write_at(0, &[IoSlice::new(bytes)])?;
        file.sync()?;
        disk.rename(&part, &path)?;
        disk.sync_folder(folder)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Reads a file whole; none if it is not there.
pub(crate) fn read_file(disk: &Arc<dyn Disk>, path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    let read = || -> std::io::Result<Vec<u8>> {
        let file = disk.open(path)?;
        let mut bytes = vec![0; usize::try_from(file.length()?).unwrap_or(usize::MAX)];
        let read = file.read_at(0, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(format!("cannot read {}", path.display())),
    }
}

fn name_of(number: u64) -> String {
    format!("{number}.json")
}

#[cfg(test)]
mod tests;
