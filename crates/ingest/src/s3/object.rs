//! Objects that the program itself writes into a bucket: they are there whole, or not at all.

use std::io::{self, Write};

use base::{Kind, limits};
use s3s::S3Error;

use crate::bucket::about::About;
use crate::bucket::place::Place;
use crate::inlet::Inlet;
use crate::s3::folder::{Conditions, Folder};
use crate::s3::key::Key;
use crate::s3::operations::put;
use crate::s3::sink::{Sink, Wanted};

/// Why an object cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ObjectFault {
    /// What the caller should do.
    pub kind: Kind,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

/// An object that is being written, hidden; dropped before [`NewObject::finish`] it leaves nothing.
pub struct NewObject {
    folder: Folder,
    key: Key,
    sink: Sink,
    /// Bytes since the disk was last looked at.
    unseen: usize,
}

impl Inlet {
    /// Begins an object of a bucket that is a folder.
    ///
    /// # Errors
    /// When there is no such bucket, it lies in a cloud, the key is no path within it, or the disk
    /// is full.
    pub fn new_object(&self, bucket: &str, key: &str) -> Result<NewObject, ObjectFault> {
        let (folder, key) = self.object_place(bucket, key)?;
        let sink = Sink::open(&folder, &Wanted::of_unknown()).map_err(|it| fault(&it))?;
        Ok(NewObject { folder, key, sink, unseen: 0 })
    }

    /// Returns an error if no object of this key can be written into this bucket.
    ///
    /// # Errors
    /// When there is no such bucket, it lies in a cloud, or the key is no path within it.
    pub fn check_object(&self, bucket: &str, key: &str) -> Result<(), ObjectFault> {
        self.object_place(bucket, key).map(|_place| ())
    }

    fn object_place(&self, bucket: &str, key: &str) -> Result<(Folder, Key), ObjectFault> {
        let places = self.buckets().all();
        let local = places.iter().filter(|it| matches!(it.place, Place::Folder(_)));
        let local: Vec<&str> = local.map(|it| it.name.as_str()).collect();
        let known = || match local.as_slice() {
            [] => {
                "the project has no bucket that is a folder: declare one, `[bucket.exports]` with \
                   `from = \"exports\"`"
                    .to_owned()
            }
            names => {
                let names: Vec<String> = names.iter().map(|it| format!("`{it}/…`")).collect();
                format!(
                    "files are written into the project's buckets that are folders: {}",
                    names.join(", ")
                )
            }
        };
        let found = places.iter().find(|it| it.name == bucket);
        match found.map(|it| &it.place) {
            None => Err(ObjectFault {
                kind: Kind::Missing,
                message: format!("there is no bucket `{bucket}`"),
                help: Some(known()),
            }),
            Some(Place::Cloud { .. }) => Err(ObjectFault {
                kind: Kind::Invalid,
                message: format!("the bucket `{bucket}` lies in a cloud, where nothing is written"),
                help: Some(known()),
            }),
            Some(Place::Folder(root)) => {
                let key = Key::new(key).map_err(|it| fault(&it))?;
                if key.is_folder() {
                    return Err(ObjectFault {
                        kind: Kind::Invalid,
                        message: format!("`{}` is a folder", key.as_str()),
                        help: Some("name a file in it".to_owned()),
                    });
                }
                Ok((Folder::of(root), key))
            }
        }
    }
}

fn fault(error: &S3Error) -> ObjectFault {
    let message = error.message().unwrap_or("the object cannot be written").to_owned();
    let is_ours = error.status_code().is_some_and(|it| it.is_server_error());
    let kind = if is_ours { Kind::Unavailable } else { Kind::Invalid };
    ObjectFault { kind, message, help: None }
}

impl Write for NewObject {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let told = |it: S3Error| io::Error::other(fault(&it));
        self.unseen += bytes.len();
        if limits::S3_BLOCK_BYTES <= self.unseen {
            self.unseen = 0;
            self.folder.check_room(0).map_err(told)?;
        }
        self.sink.write(bytes).map_err(told)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewObject {
    /// Puts the object in its place; it is on disk when this returns.
    ///
    /// # Errors
    /// When the disk fails, or a folder lies in its place.
    pub fn finish(self) -> Result<(), ObjectFault> {
        let NewObject { folder, key, sink, .. } = self;
        let written = sink.finish(&Wanted::of_unknown()).map_err(|it| fault(&it))?;
        let done = put(&folder, &key, &written, About::default(), &Conditions::default());
        done.map(|_facts| ()).map_err(|it| fault(&it))
    }
}
