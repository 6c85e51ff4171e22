//! Files and folders that are really on disk when a call returns.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use crate::error::Error;

/// How the names of files begin that were being written when the program was cut off.
pub(crate) const UNFINISHED: &str = "_unfinished-";

/// A call that changes what would survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    CreateFolder,
    WriteFile,
    SyncFile,
    SyncFolder,
    Publish,
    Remove,
}

/// Sees each step before it is taken and may let it fail; tests count and cut with it.
pub(crate) trait Watch: Send + Sync {
    fn before(&self, step: Step, path: &Path) -> io::Result<()>;
}

/// What happens when the name is already taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The write fails with `AlreadyExists`.
    Refuse,
    /// The new content takes its place in one step.
    Replace,
}

/// The local disk.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    watch: Option<Arc<dyn Watch>>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

impl Disk {
    /// Returns a disk that tells `watch` of each step.
    #[cfg(test)]
    pub(crate) fn watched(watch: Arc<dyn Watch>) -> Disk {
        Disk { watch: Some(watch) }
    }

    fn step(&self, step: Step, path: &Path) -> io::Result<()> {
        self.watch.as_ref().map_or(Ok(()), |it| it.before(step, path))
    }

    /// Makes a folder and all above it; each new name is synced in the folder that holds it.
    pub(crate) fn create_folders(&self, folder: &Path) -> io::Result<()> {
        if folder.try_exists()? {
            return Ok(());
        }
        let Some(parent) = folder.parent() else { return Ok(()) };
        self.create_folders(parent)?;
        self.step(Step::CreateFolder, folder)?;
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        self.sync_folder(parent)
    }

    /// Begins a file whose name nothing refers to yet.
    pub(crate) fn create(&self, path: &Path) -> io::Result<File> {
        self.step(Step::WriteFile, path)?;
        File::create_new(path)
    }

    /// Makes the content of a file durable.
    pub(crate) fn sync_file(&self, file: &File, path: &Path) -> io::Result<()> {
        self.step(Step::SyncFile, path)?;
        file.sync_all()
    }

    /// Makes the names in a folder durable.
    pub(crate) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.step(Step::SyncFolder, folder)?;
        File::open(folder)?.sync_all()
    }

    /// Writes a whole file: it is there completely or not at all, also after a power cut.
    ///
    /// 1. Write and sync the content under another name, 2. give it its name, 3. sync the folder.
    pub(crate) fn write<'a>(
        &self,
        path: &Path,
        parts: impl IntoIterator<Item = &'a [u8]>,
        taken: Taken,
    ) -> io::Result<()> {
        let unfinished = self.unfinished(path)?;
        let written = (|| {
            let mut file = self.create(&unfinished)?;
            for part in parts {
                file.write_all(part)?;
            }
            self.sync_file(&file, &unfinished)
        })();
        self.finish(written, &unfinished, path, taken)
    }

    /// Returns a name beside `path` to write under, making the folder.
    pub(crate) fn unfinished(&self, path: &Path) -> io::Result<PathBuf> {
        let parent = parent_of(path)?;
        self.create_folders(parent)?;
        Ok(parent.join(format!("{UNFINISHED}{}", Uuid::new_v4().simple())))
    }

    /// Gives a file that was `written` and synced as `unfinished` its name; cleans up otherwise.
    pub(crate) fn finish(
        &self,
        written: io::Result<()>,
        unfinished: &Path,
        path: &Path,
        taken: Taken,
    ) -> io::Result<()> {
        let published = written.and_then(|()| self.publish(unfinished, path, taken));
        if published.is_err() {
            // The first error says what happened; the sweep finds what this leaves behind.
            drop(self.remove(unfinished));
        }
        published
    }

    /// Gives a synced file its name and makes that durable.
    pub(crate) fn publish(&self, from: &Path, to: &Path, taken: Taken) -> io::Result<()> {
        self.step(Step::Publish, to)?;
        match taken {
            Taken::Replace => fs::rename(from, to)?,
            Taken::Refuse => {
                fs::hard_link(from, to)?;
                fs::remove_file(from)?;
            }
        }
        let target = parent_of(to)?;
        self.sync_folder(target)?;
        match from.parent() {
            Some(source) if source != target => self.sync_folder(source),
            Some(_) | None => Ok(()),
        }
    }

    /// Removes a file; that it is gone already is no error.
    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(Step::Remove, path)?;
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

fn parent_of(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::Error::other("a file lies in a folder"))
}

/// Says what was tried where.
pub(crate) fn at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Disk { doing, path, source }
}

#[cfg(test)]
pub(crate) mod tests;
