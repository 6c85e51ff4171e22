//! Local files as an object store whose writes survive a power cut.
//!
//! The library's own local store never syncs: after a crash a file that was acknowledged may be
//! full of zeros. Reading and listing are the library's; each write is ours.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    RenameTargetMode, Result, UploadPart,
};

use crate::disk::{Disk, Taken};

/// The local disk as an object store that syncs files and their folders.
#[derive(Debug)]
pub(crate) struct SyncedFiles {
    files: LocalFileSystem,
    disk: Disk,
}

impl SyncedFiles {
    /// Makes a store whose paths begin at the root of the file system.
    pub(crate) fn new(disk: Disk) -> SyncedFiles {
        SyncedFiles { files: LocalFileSystem::new(), disk }
    }

    /// Runs `work` where waiting for the disk holds nobody up.
    async fn write<T, F>(&self, location: &Path, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Disk, PathBuf) -> io::Result<T> + Send + 'static,
    {
        let path = self.files.path_to_filesystem(location)?;
        let disk = self.disk.clone();
        blocking(location.clone(), move || work(&disk, path)).await
    }
}

async fn blocking<T: Send + 'static>(
    location: Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other);
    done.and_then(|it| it).map_err(|source| to_store(&location, source))
}

fn to_store(location: &Path, source: io::Error) -> object_store::Error {
    let path = location.to_string();
    match source.kind() {
        io::ErrorKind::AlreadyExists => {
            object_store::Error::AlreadyExists { path, source: Box::new(source) }
        }
        io::ErrorKind::NotFound => object_store::Error::NotFound { path, source: Box::new(source) },
        _ => object_store::Error::Generic { store: "SyncedFiles", source: Box::new(source) },
    }
}

impl fmt::Display for SyncedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SyncedFiles")
    }
}

#[async_trait]
impl ObjectStore for SyncedFiles {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let taken = match options.mode {
            PutMode::Overwrite => Taken::Replace,
            PutMode::Create => Taken::Refuse,
            PutMode::Update(_) => {
                return Err(object_store::Error::NotImplemented {
                    operation: "an update of an object by its version".to_owned(),
                    implementer: self.to_string(),
                });
            }
        };
        self.write(location, move |disk, path| {
            disk.write(&path, payload.iter().map(AsRef::as_ref), taken)
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let (path, unfinished, file) = self
            .write(location, |disk, path| {
                let unfinished = disk.unfinished(&path)?;
                let file = disk.create(&unfinished)?;
                Ok((path, unfinished, Arc::new(file)))
            })
            .await?;
        let (location, disk) = (location.clone(), self.disk.clone());
        Ok(Box::new(Upload { disk, location, path, unfinished, file, bytes: 0 }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let taken = match options.mode {
            CopyMode::Overwrite => Taken::Replace,
            CopyMode::Create => Taken::Refuse,
        };
        let source = self.files.path_to_filesystem(from)?;
        self.write(to, move |disk, path| {
            let mut source = File::open(source)?;
            let unfinished = disk.unfinished(&path)?;
            let written = (|| {
                let mut file = disk.create(&unfinished)?;
                io::copy(&mut source, &mut file)?;
                disk.sync_file(&file, &unfinished)
            })();
            disk.finish(written, &unfinished, &path, taken)
        })
        .await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let taken = match options.target_mode {
            RenameTargetMode::Overwrite => Taken::Replace,
            RenameTargetMode::Create => Taken::Refuse,
        };
        let source = self.files.path_to_filesystem(from)?;
        self.write(to, move |disk, path| {
            // Whoever wrote the source may not have synced it.
            disk.sync_file(&File::open(&source)?, &source)?;
            if let Some(parent) = path.parent() {
                disk.create_folders(parent)?;
            }
            disk.publish(&source, &path, taken)
        })
        .await
    }
}

/// A large object that comes in parts.
#[derive(Debug)]
struct Upload {
    disk: Disk,
    location: Path,
    path: PathBuf,
    unfinished: PathBuf,
    file: Arc<File>,
    bytes: u64,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let mut offset = self.bytes;
        self.bytes += data.content_length() as u64;
        let (file, location) = (Arc::clone(&self.file), self.location.clone());
        Box::pin(blocking(location, move || {
            for part in &data {
                file.write_all_at(part, offset)?;
                offset += part.len() as u64;
            }
            Ok(())
        }))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (disk, file) = (self.disk.clone(), Arc::clone(&self.file));
        let (unfinished, path) = (self.unfinished.clone(), self.path.clone());
        blocking(self.location.clone(), move || {
            let written = disk.sync_file(&file, &unfinished);
            disk.finish(written, &unfinished, &path, Taken::Replace)
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        let (disk, unfinished) = (self.disk.clone(), self.unfinished.clone());
        blocking(self.location.clone(), move || disk.remove(&unfinished)).await
    }
}

#[cfg(test)]
mod tests;
