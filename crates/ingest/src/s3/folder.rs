//! The folder of a bucket as clients of S3 see it: objects by their keys, whole or not at all.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, StatusCode, header};
use base::limits;
use parking_lot::Mutex;
use s3s::S3ErrorCode::{
    InvalidArgument, NoSuchKey, NotImplemented, NotModified, PreconditionFailed,
};
use s3s::dto::{ETag, ETagCondition, Timestamp};
use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::bucket::about::{About, HIDDEN, changed_ms, stamp_of, sync};
use crate::bucket::cold::{Cold, ColdObject};
use crate::bucket::listing::type_of;
use crate::bucket::snapshot::link_or_copy;
use crate::s3::key::Key;
use crate::s3::sink::{Temporary, Written};
use crate::s3::{failed, fault};

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
    cold: Option<Arc<Cold>>,
}

/// What is known of an object.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) size: u64,
    pub(crate) changed: SystemTime,
    pub(crate) about: About,
    stamp: String,
}

/// What a client wants to hold of an object before something is done.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    is: Option<ETagCondition>,
    is_not: Option<ETagCondition>,
    changed_since: Option<Timestamp>,
    same_since: Option<Timestamp>,
}

/// One object is put in its place or taken away at a time: that takes a moment, and a condition that
/// held still holds then.
static TURN: Mutex<()> = Mutex::new(());

/// What S3 says of a folder: the MD5 of nothing, and its type.
const NOTHING: &str = "d41d8cd98f00b204e9800998ecf8427e";
const FOLDER_TYPE: &str = "application/x-directory";

impl Folder {
    pub(crate) fn of(root: &Path) -> Folder {
        Folder { root: root.to_owned(), cold: None }
    }

    /// With the objects of the bucket that lie elsewhere.
    pub(crate) fn with_cold(self, cold: Option<Arc<Cold>>) -> Folder {
        Folder { cold, ..self }
    }

    pub(crate) fn cold(&self) -> Option<&Cold> {
        self.cold.as_deref()
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the place of something that is no object.
    pub(crate) fn hidden(&self, name: &str) -> PathBuf {
        self.root.join(HIDDEN).join(name)
    }

    /// Returns a path that nothing lies at, hidden, on the disk of the bucket.
    pub(crate) fn temporary(&self) -> io::Result<PathBuf> {
        let folder = self.hidden("tmp");
        fs::create_dir_all(&folder)?;
        Ok(folder.join(uuid::Uuid::new_v4().simple().to_string()))
    }

    /// Returns an error if the disk would be full with so many bytes more.
    pub(crate) fn check_room(&self, bytes: u64) -> S3Result<()> {
        let facts = rustix::fs::statvfs(&self.root).map_err(|it| failed(&it.into()))?;
        let free = facts.f_bavail.saturating_mul(facts.f_frsize);
        let all = facts.f_blocks.saturating_mul(facts.f_frsize);
        let kept = limits::S3_DISK_FREE_BYTES_MIN.min(all / 20);
        if kept.saturating_add(bytes) <= free {
            return Ok(());
        }
        Err(disk_full(&format!("{free} bytes are free, {bytes} more would leave less than {kept}")))
    }

    /// Returns where the object of a key lies, or would. No part but the last may be a link: one
    /// could lead out of the bucket.
    fn place_of(&self, key: &Key) -> S3Result<PathBuf> {
        let mut path = self.root.clone();
        let parts: Vec<&str> = key.parts().collect();
        let Some((name, folders)) = parts.split_last() else { return Ok(path) };
        for part in folders {
            path.push(part);
            let why = match fs::symlink_metadata(&path) {
                Ok(facts) if facts.is_dir() => continue,
                Ok(facts) if facts.is_symlink() => "is a link, and links are not followed",
                Ok(_) => "is an object, so that nothing can lie below it",
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(&error)),
            };
            return Err(fault(InvalidArgument, format!("`{part}` of `{}` {why}", key.as_str())));
        }
        path.push(name);
        Ok(path)
    }

    /// Opens an object, or finds a folder if the key is one.
    pub(crate) fn find(&self, key: &Key) -> S3Result<(Option<File>, Facts)> {
        let is_missing = |it: &S3Error| *it.code() == NoSuchKey;
        match self.find_hot(key) {
            Err(error) if is_missing(&error) => {}
            found => return found,
        }
        if let (Some(cold), Some(found)) = (&self.cold, self.find_cold(key)) {
            match cold.read(&found) {
                Ok(file) => return Ok((Some(file), Facts::of_cold(&found))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        // It may have been written anew meanwhile.
        self.find_hot(key)
    }

    /// Returns what is known of an object.
    pub(crate) fn facts(&self, key: &Key) -> S3Result<Facts> {
        let is_missing = |it: &S3Error| *it.code() == NoSuchKey;
        match self.find_hot(key) {
            Err(error) if is_missing(&error) => {}
            found => return found.map(|(_, facts)| facts),
        }
        if let Some(found) = self.find_cold(key) {
            return Ok(Facts::of_cold(&found));
        }
        self.find_hot(key).map(|(_, facts)| facts)
    }

    fn find_cold(&self, key: &Key) -> Option<Arc<ColdObject>> {
        self.cold.as_ref()?.find(key.as_str())
    }

    fn find_hot(&self, key: &Key) -> S3Result<(Option<File>, Facts)> {
        let missing = || fault(NoSuchKey, format!("there is no object `{}`", key.as_str()));
        let Ok(path) = self.place_of(key) else { return Err(missing()) };
        let within = path.canonicalize().is_ok_and(|it| it.starts_with(&self.root));
        let facts = match fs::metadata(&path) {
            Ok(facts) if within && facts.is_dir() == key.is_folder() => facts,
            Ok(_) => return Err(missing()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
            Err(error) => return Err(failed(&error)),
        };
        if key.is_folder() {
            return Ok((None, Facts::of_folder(key, &facts)));
        }
        // What is no file may let wait whoever opens it.
        if !facts.is_file() {
            return Err(missing());
        }
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
            Err(error) => return Err(failed(&error)),
        };
        let facts = file.metadata().map_err(|it| failed(&it))?;
        let facts = Facts::of(&self.root, key.as_str(), &facts);
        Ok((Some(file), facts))
    }

    /// Returns what is known of an object, if it is there.
    fn peek(&self, key: &Key) -> S3Result<Option<Facts>> {
        match self.facts(key) {
            Ok(facts) => Ok(Some(facts)),
            Err(error) if *error.code() == NoSuchKey => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts an object in its place; it is on disk when this returns.
    pub(crate) fn put(
        &self,
        key: &Key,
        written: &Written,
        about: About,
        conditions: &Conditions,
    ) -> S3Result<Facts> {
        let told = |it: io::Error| failed(&it);
        let path = self.place_of(key)?;
        let facts = written.file.metadata().map_err(told)?;
        let (stamp, changed) = (stamp_of(&facts), changed_of(&facts));
        let said = Temporary::new(self.temporary().map_err(told)?);
        about.write(&self.root, said.path()).map_err(told)?;
        let new = Facts { size: facts.len(), changed, about, stamp };
        let is_new_folder = {
            let _turn = TURN.lock();
            let before = self.peek(key)?;
            conditions.check_write(before.as_ref(), key)?;
            self.swap(&path, (&new, said.path(), written.place.path()), before.as_ref())?
        };
        About::sync(&self.root).map_err(told)?;
        self.sync_above(&path, is_new_folder).map_err(told)?;
        // After a crash before this the bucket's door sees that another lies in its place.
        self.cold.as_ref().map_or(Ok(()), |it| it.forget(key.as_str())).map_err(told)?;
        Ok(new)
    }

    /// Renames a file into the place of an object, with what is said of it; returns whether a folder
    /// was made for it. Only in turn.
    fn swap(
        &self,
        path: &Path,
        (new, said, file): (&Facts, &Path, &Path),
        before: Option<&Facts>,
    ) -> S3Result<bool> {
        let told = |it: io::Error| failed(&it);
        if fs::symlink_metadata(path).is_ok_and(|it| it.is_dir()) {
            let message = format!("`{}` is a folder, so it can be no object", new.about.key);
            return Err(fault(InvalidArgument, message));
        }
        let is_new_folder = self.make_folder(path.parent().unwrap_or(&self.root)).map_err(told)?;
        About::say(&self.root, said, &new.stamp).map_err(told)?;
        if let Err(error) = fs::rename(file, path) {
            About::forget(&self.root, &new.stamp);
            return Err(failed(&error));
        }
        if let Some(before) = before {
            About::forget(&self.root, &before.stamp);
        }
        Ok(is_new_folder)
    }

    fn make_folder(&self, folder: &Path) -> io::Result<bool> {
        if folder == self.root || folder.is_dir() {
            return Ok(false);
        }
        fs::create_dir_all(folder)?;
        Ok(true)
    }

    /// Syncs the folder that something lies in, and those above it if there are new ones.
    fn sync_above(&self, path: &Path, is_new_folder: bool) -> io::Result<()> {
        for folder in path.ancestors().skip(1) {
            sync(folder)?;
            if !is_new_folder || folder == self.root {
                break;
            }
        }
        Ok(())
    }

    /// Makes a folder.
    pub(crate) fn put_folder(&self, key: &Key) -> S3Result<Facts> {
        let told = |it: io::Error| failed(&it);
        let path = self.place_of(key)?;
        if fs::symlink_metadata(&path).is_ok_and(|it| !it.is_dir()) {
            let message = format!("`{}` is an object already", path.display());
            return Err(fault(InvalidArgument, message));
        }
        let is_new = {
            let _turn = TURN.lock();
            self.make_folder(&path).map_err(told)?
        };
        self.sync_above(&path, is_new).map_err(told)?;
        self.find(key).map(|(_, facts)| facts)
    }

    /// Takes an object away, or a folder that is empty; it is well if there is none.
    pub(crate) fn remove(&self, key: &Key, conditions: &Conditions) -> S3Result<()> {
        let told = |it: io::Error| failed(&it);
        let Ok(path) = self.place_of(key) else { return Ok(()) };
        {
            let _turn = TURN.lock();
            let before = self.peek(key)?;
            conditions.check_write(before.as_ref(), key)?;
            let Some(before) = before else { return Ok(()) };
            if key.is_folder() {
                // One with something in it stays, as in S3 what lies below a key stays.
                return match fs::remove_dir(&path) {
                    Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => {
                        Err(failed(&error))
                    }
                    _ => self.sync_above(&path, false).map_err(told),
                };
            }
            // First, or a crash would bring an old version back.
            self.cold.as_ref().map_or(Ok(()), |it| it.forget(key.as_str())).map_err(told)?;
            match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                removed => removed.map_err(told)?,
            }
            About::forget(&self.root, &before.stamp);
        }
        self.sync_above(&path, false).map_err(told)
    }

    /// Takes a file away if it is the one with this stamp, once `record` has noted where it lies
    /// instead; returns whether it was. Nobody deletes or replaces it by S3 in between.
    pub(crate) fn exchange(
        &self,
        key: &str,
        stamp: &str,
        record: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<bool> {
        let path = self.root.join(key);
        {
            let _turn = TURN.lock();
            match fs::metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Ok(facts) if stamp_of(&facts) != stamp => return Ok(false),
                facts => facts.map(drop)?,
            }
            record()?;
            fs::remove_file(&path)?;
        }
        self.sync_above(&path, false)?;
        About::forget(&self.root, stamp);
        Ok(true)
    }

    /// Puts a file of a snapshot in the place of an object; it is on disk when this returns.
    pub(crate) fn bring_back(
        &self,
        key: &str,
        from: &Path,
        about: Option<&About>,
    ) -> io::Result<()> {
        let told = |it: S3Error| io::Error::other(it.to_string());
        let path = self.place_of(&Key::new(key).map_err(told)?).map_err(told)?;
        let file = Temporary::new(self.temporary()?);
        link_or_copy(from, file.path())?;
        let stamp = stamp_of(&fs::metadata(file.path())?);
        let said = Temporary::new(self.temporary()?);
        if let Some(about) = about {
            about.write(&self.root, said.path())?;
        }
        let is_new_folder = {
            let _turn = TURN.lock();
            let before = fs::metadata(&path).ok().map(|it| stamp_of(&it));
            let is_new_folder = self.make_folder(path.parent().unwrap_or(&self.root))?;
            if about.is_some() {
                About::say(&self.root, said.path(), &stamp)?;
            }
            fs::rename(file.path(), &path)?;
            if let Some(before) = before.filter(|it| *it != stamp) {
                About::forget(&self.root, &before);
            }
            is_new_folder
        };
        if about.is_some() {
            About::sync(&self.root)?;
        }
        self.sync_above(&path, is_new_folder)?;
        self.cold.as_ref().map_or(Ok(()), |it| it.forget(key))
    }

    /// Takes away what uploads left behind that nobody has gone on with for a day.
    pub(crate) fn sweep(&self, now_ms: u64) {
        let age = u64::try_from(limits::S3_LEFTOVER_AGE.as_millis()).unwrap_or(u64::MAX);
        let before_ms = now_ms.saturating_sub(age);
        let swept = [
            self.sweep_in("tmp", before_ms),
            self.sweep_in("uploads", before_ms),
            About::sweep(&self.root, before_ms),
        ];
        for error in swept.into_iter().filter_map(Result::err) {
            let folder = self.root.join(HIDDEN);
            tracing::warn!(folder = %folder.display(), %error, "leftovers of uploads stay");
        }
    }

    fn sweep_in(&self, name: &str, before_ms: u64) -> io::Result<()> {
        let folder = self.hidden(name);
        if !folder.try_exists()? {
            return Ok(());
        }
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            // It may have ended meanwhile.
            let Ok(facts) = fs::symlink_metadata(&path) else { continue };
            if before_ms <= changed_ms(&facts) {
                continue;
            }
            if facts.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
        Ok(())
    }
}

impl Facts {
    pub(crate) fn of(root: &Path, key: &str, facts: &Metadata) -> Facts {
        let stamp = stamp_of(facts);
        let about = About::of(root, key, &stamp).unwrap_or_else(|| About {
            key: key.to_owned(),
            etag: stamp.clone(),
            ..About::default()
        });
        Facts { size: facts.len(), changed: changed_of(facts), about, stamp }
    }

    /// What is known of an object that lies in the cold tier: what was known of it before.
    pub(crate) fn of_cold(found: &ColdObject) -> Facts {
        let object = &found.object;
        let about = found.about.clone().unwrap_or_else(|| About {
            key: object.key.clone(),
            etag: object.etag.clone(),
            ..About::default()
        });
        let changed = UNIX_EPOCH + Duration::from_secs(object.created_ms / 1_000);
        Facts { size: object.size, changed, about, stamp: object.etag.clone() }
    }

    /// What is known of a folder.
    pub(crate) fn of_folder(key: &Key, facts: &Metadata) -> Facts {
        let about = About {
            key: key.as_str().to_owned(),
            etag: NOTHING.to_owned(),
            r#type: Some(FOLDER_TYPE.to_owned()),
            ..About::default()
        };
        Facts { size: 0, changed: changed_of(facts), about, stamp: String::new() }
    }

    pub(crate) fn etag(&self) -> ETag {
        ETag::Strong(self.about.etag.clone())
    }

    /// Returns what its contents are: as it was said, or as its name has it.
    pub(crate) fn r#type(&self) -> String {
        self.about.r#type.clone().unwrap_or_else(|| type_of(&self.about.key).to_owned())
    }

    fn is(&self, condition: &ETagCondition) -> bool {
        match condition {
            ETagCondition::Any => true,
            ETagCondition::ETag(etag) => etag.value() == self.about.etag,
        }
    }
}

/// When a file was last written, to the second, as headers tell it.
fn changed_of(facts: &Metadata) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(changed_ms(facts) / 1_000)
}

impl Conditions {
    /// Makes them of what a client says of etags: that the object has this one, and not that one.
    pub(crate) fn of_etags(is: Option<ETagCondition>, is_not: Option<ETagCondition>) -> Conditions {
        Conditions { is, is_not, ..Conditions::default() }
    }

    /// Adds what it says of times: that the object changed since this one, and not since that one.
    #[must_use]
    pub(crate) fn and_times(
        self,
        changed_since: Option<Timestamp>,
        same_since: Option<Timestamp>,
    ) -> Conditions {
        Conditions { changed_since, same_since, ..self }
    }

    /// Returns an error if an object is not to be read.
    pub(crate) fn check_read(&self, facts: &Facts) -> S3Result<()> {
        let changed = Timestamp::from(facts.changed);
        let is_as_wanted = match (&self.is, &self.same_since) {
            (Some(is), _) => facts.is(is),
            (None, Some(since)) => changed <= *since,
            (None, None) => true,
        };
        if !is_as_wanted {
            return Err(fault(PreconditionFailed, "the object is another by now"));
        }
        let is_known = match (&self.is_not, &self.changed_since) {
            (Some(is_not), _) => facts.is(is_not),
            (None, Some(since)) => changed <= *since,
            (None, None) => false,
        };
        if !is_known {
            return Ok(());
        }
        let mut known = S3Error::new(NotModified);
        let etag = format!("\"{}\"", facts.about.etag).parse();
        known.set_headers(etag.map(|it| (header::ETAG, it)).into_iter().collect::<HeaderMap>());
        Err(known)
    }

    /// Returns an error if an object is not to be written over or taken away.
    fn check_write(&self, before: Option<&Facts>, key: &Key) -> S3Result<()> {
        match (&self.is, before) {
            (Some(_), None) => {
                return Err(fault(NoSuchKey, format!("there is no object `{}`", key.as_str())));
            }
            (Some(is), Some(before)) if !before.is(is) => {
                return Err(fault(PreconditionFailed, "the object is another by now"));
            }
            _ => {}
        }
        match (&self.is_not, before) {
            (Some(ETagCondition::ETag(_)), _) => {
                Err(fault(NotImplemented, "`If-None-Match` of a write is `*`"))
            }
            (Some(ETagCondition::Any), Some(_)) => {
                let message = format!("there is an object `{}` already", key.as_str());
                Err(fault(PreconditionFailed, message))
            }
            _ => Ok(()),
        }
    }
}

/// The fault for a disk that is full; clients do not try it again at once.
pub(crate) fn disk_full(why: &str) -> S3Error {
    let message = format!("the disk of this bucket has no room left: {why}");
    let code = S3ErrorCode::from_bytes(b"InsufficientStorage").unwrap_or(NotImplemented);
    let mut fault = fault(code, message);
    fault.set_status_code(StatusCode::INSUFFICIENT_STORAGE);
    fault
}
