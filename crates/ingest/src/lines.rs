//! A file of lines of JSON that grows: what was added is on disk, and a line that a crash cut off is
//! as if it had never been.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use journal::{DiskFile, RealDisk};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kept;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    length: u64,
    /// Whether a write failed, so that what lies behind the lines is not known.
    is_torn: bool,
}

impl Lines {
    /// Opens the file, or makes it, and returns what it says. A damaged line below the last is an
    /// error.
    pub(crate) async fn open<T>(path: PathBuf) -> io::Result<(Lines, Vec<T>)>
    where
        T: DeserializeOwned + Send + 'static,
    {
        blocking(move || Lines::open_now(path)).await
    }

    /// Opens it where nobody else waits.
    pub(crate) fn open_now<T: DeserializeOwned>(path: PathBuf) -> io::Result<(Lines, Vec<T>)> {
        open(path)
    }

    /// Adds lines; they are on disk when this returns.
    pub(crate) async fn add<T: Serialize + Send + 'static>(
        &mut self,
        lines: Vec<T>,
    ) -> io::Result<()> {
        let mut now = self.clone();
        let (now, added) = blocking(move || {
            let added = now.add_now(&lines);
            Ok((now, added))
        })
        .await?;
        *self = now;
        added
    }

    /// Adds lines where nobody else waits; they are on disk when this returns.
    pub(crate) fn add_now<T: Serialize>(&mut self, lines: &[T]) -> io::Result<()> {
        if self.is_torn {
            self.cut()?;
        }
        let bytes = written(lines)?;
        let added = self
            .file
            .write_at(self.length, &[IoSlice::new(&bytes)])
            .and_then(|()| self.file.sync());
        self.is_torn = added.is_err();
        added?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Takes away what a failed write left behind the lines.
    fn cut(&mut self) -> io::Result<()> {
        let bytes = std::fs::read(&self.path)?;
        let whole = usize::try_from(self.length).unwrap_or(usize::MAX).min(bytes.len());
        *self = write_new(self.path.clone(), bytes.get(..whole).unwrap_or_default())?;
        Ok(())
    }

    /// Writes the file anew, with these lines only.
    pub(crate) async fn replace<T: Serialize + Send + 'static>(
        &mut self,
        lines: Vec<T>,
    ) -> io::Result<()> {
        let mut now = self.clone();
        *self = blocking(move || now.replace_now(&lines).map(|()| now)).await?;
        Ok(())
    }

    /// Does so where nobody else waits.
    pub(crate) fn replace_now<T: Serialize>(&mut self, lines: &[T]) -> io::Result<()> {
        *self = write_new(self.path.clone(), &written(lines)?)?;
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn open<T: DeserializeOwned>(path: PathBuf) -> io::Result<(Lines, Vec<T>)> {
    let folder = path.parent().map(Path::to_owned).unwrap_or_default();
    RealDisk::new().create_folder(&folder)?;
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((write_new(path, &[])?, Vec::new()));
        }
        Err(error) => return Err(error),
    };
    let whole = bytes.iter().rposition(|it| *it == b'\n').map_or(0, |it| it + 1);
    let mut lines = Vec::new();
    for (number, line) in
        bytes.get(..whole).unwrap_or_default().split(|it| *it == b'\n').enumerate()
    {
        if line.is_empty() {
            continue;
        }
        let line = serde_json::from_slice(line).map_err(|error| {
            let (path, number) = (path.display(), number + 1);
            let text = format!("{path}:{number}: {error}; put the file back from a copy, or remove it to begin anew");
            io::Error::new(io::ErrorKind::InvalidData, text)
        })?;
        lines.push(line);
    }
    // What a crash cut off must not stand before what is added.
    let lines_file = if whole == bytes.len() {
        let file = RealDisk::new().open(&path)?;
        Lines { path, file, length: whole as u64, is_torn: false }
    } else {
        write_new(path, bytes.get(..whole).unwrap_or_default())?
    };
    Ok((lines_file, lines))
}

fn write_new(path: PathBuf, bytes: &[u8]) -> io::Result<Lines> {
    let file = kept::replace_file(&path, bytes)?;
    Ok(Lines { path, file, length: bytes.len() as u64, is_torn: false })
}

fn written<T: Serialize>(lines: &[T]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut bytes, line).map_err(io::Error::other)?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
