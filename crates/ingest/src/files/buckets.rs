//! The buckets that are open, who reads them, and how files become records.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use base::Name;
use parking_lot::RwLock;

use crate::bucket::Bucket;
use crate::bucket::listing::Object;
use crate::bucket::place::{BucketPlace, Folders};
use crate::files::{OpenFile, Reads};

/// See the module.
#[derive(Default)]
pub(crate) struct Buckets {
    folders: RwLock<Folders>,
    open: RwLock<BTreeMap<String, Weak<Bucket>>>,
    /// Who reads a bucket.
    readers: RwLock<Vec<(String, Weak<Reads>)>>,
    openers: RwLock<BTreeMap<Name, OpenFile>>,
}

impl Buckets {
    pub(crate) fn folders(&self) -> Folders {
        self.folders.read().clone()
    }

    pub(crate) fn lie_in(&self, folders: Folders) {
        *self.folders.write() = folders;
    }

    pub(crate) fn open(&self, bucket: &Arc<Bucket>) {
        self.open.write().insert(bucket.name.clone(), Arc::downgrade(bucket));
    }

    /// Returns all buckets that are open, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Bucket>> {
        self.open.read().values().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Bucket>> {
        self.open.read().get(name)?.upgrade()
    }

    /// Returns where the open buckets lie, by name.
    pub(crate) fn places(&self) -> BTreeMap<String, BucketPlace> {
        let open = self.open.read();
        let open = open.iter().filter_map(|(name, it)| Some((name.clone(), it.upgrade()?)));
        open.map(|(name, it)| (name, it.told())).collect()
    }

    /// Notes that somebody reads a bucket.
    pub(crate) fn read(&self, bucket: &str, reads: &Arc<Reads>) {
        let mut readers = self.readers.write();
        readers.retain(|(_, it)| 0 < it.strong_count());
        readers.push((bucket.to_owned(), Arc::downgrade(reads)));
    }

    /// Returns whether somebody is still to read an object.
    pub(crate) fn is_wanted(&self, bucket: &str, object: &Object) -> bool {
        let readers = self.readers.read();
        let mut of_bucket = readers.iter().filter(|(it, _)| it == bucket);
        of_bucket.any(|(_, it)| it.upgrade().is_some_and(|it| it.wants(object)))
    }

    /// Says how files become records of a stream.
    pub(crate) fn open_by(&self, stream: Name, opener: OpenFile) {
        self.openers.write().insert(stream, opener);
    }

    pub(crate) fn opener(&self, stream: &Name) -> Option<OpenFile> {
        self.openers.read().get(stream).cloned()
    }
}
