//! Uploads in parts: a hidden folder for each in its bucket, with what is said of the object and a
//! file for each part.
//!
//! The name of a part's file tells all of it, `00001.MD5.ALGORITHM=SUM`, so that it and what is known
//! of it come and go as one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base::limits;
use md5::{Digest as _, Md5};
use parking_lot::Mutex;
use s3s::S3ErrorCode::{
    EntityTooLarge, EntityTooSmall, InvalidArgument, InvalidPart, InvalidPartOrder, InvalidRequest,
    MalformedXML, NoSuchUpload,
};
use s3s::S3Result;
use s3s::dto::CompletedPart;
use serde::{Deserialize, Serialize};

use crate::bucket::about::{About, changed_ms, sync};
use crate::s3::folder::{Conditions, Facts, Folder};
use crate::s3::key::Key;
use crate::s3::sink::{Sink, Wanted, Written, hex};
use crate::s3::{failed, fault};

/// An upload that is open.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Upload {
    #[serde(default)]
    pub(crate) id: String,
    pub(crate) started_ms: u64,
    /// What is said of the object that it becomes.
    pub(crate) about: About,
    /// The checksum its parts have, and how the object's is made of them, as the client said.
    #[serde(default)]
    pub(crate) algorithm: Option<String>,
    #[serde(default)]
    pub(crate) sum_of: Option<String>,
}

/// A part that is there.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) number: i32,
    pub(crate) md5: String,
    pub(crate) bytes: u64,
    pub(crate) changed: SystemTime,
    pub(crate) sums: BTreeMap<String, String>,
    path: PathBuf,
}

/// One part takes its place at a time, so that of two with one number one is left.
static TURN: Mutex<()> = Mutex::new(());

const ABOUT: &str = "upload.json";

impl Folder {
    /// Opens an upload and returns its id.
    pub(crate) fn begin_upload(&self, upload: &Upload) -> S3Result<String> {
        let told = |it: io::Error| failed(&it);
        Key::new(&upload.about.key)?;
        let folder = self.hidden("uploads");
        fs::create_dir_all(&folder).map_err(told)?;
        if limits::S3_UPLOADS_MAX <= fs::read_dir(&folder).map_err(told)?.count() {
            let max = limits::S3_UPLOADS_MAX;
            let message = format!("{max} uploads are open in this bucket: complete or abort some");
            return Err(fault(InvalidRequest, message));
        }
        let id = uuid::Uuid::new_v4().simple().to_string();
        let place = folder.join(&id);
        let text = serde_json::to_vec(upload).map_err(|it| failed(&it.into()))?;
        let write = || {
            fs::create_dir(&place)?;
            let file = place.join(ABOUT);
            fs::write(&file, &text)?;
            File::open(&file)?.sync_all()?;
            sync(&place)?;
            sync(&folder)
        };
        write().map_err(told)?;
        Ok(id)
    }

    /// Returns where an upload lies, and what it is; its key must be the one it was begun with.
    pub(crate) fn upload(&self, id: &str, key: &str) -> S3Result<(PathBuf, Upload)> {
        let place = self.hidden("uploads").join(id);
        let is_id = id.len() == 32 && id.bytes().all(|it| it.is_ascii_hexdigit());
        let upload = if is_id { read(&place) } else { None };
        match upload {
            Some(upload) if upload.about.key == key => Ok((place, upload)),
            _ => {
                let message = "there is no such upload of this key: it was completed or aborted, \
                               or nothing came for a day";
                Err(fault(NoSuchUpload, message))
            }
        }
    }

    /// Returns all uploads that are open, by key and age.
    pub(crate) fn uploads(&self) -> S3Result<Vec<Upload>> {
        let folder = match fs::read_dir(self.hidden("uploads")) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(&error)),
        };
        let mut uploads = Vec::new();
        for entry in folder {
            let entry = entry.map_err(|it| failed(&it))?;
            // One that was just ended, or is being begun, is none.
            if let Some(mut upload) = read(&entry.path()) {
                upload.id = entry.file_name().to_string_lossy().into_owned();
                uploads.push(upload);
            }
        }
        uploads.sort_by(|one, other| order(one).cmp(&order(other)));
        Ok(uploads)
    }

    /// Puts a part in its place, and takes away the one of its number that was there before.
    pub(crate) fn put_part(
        &self,
        (id, key): (&str, &str),
        number: i32,
        written: &Written,
    ) -> S3Result<()> {
        let told = |it: io::Error| failed(&it);
        check_number(number)?;
        let sums = written.sums.iter();
        let sums: String = sums.map(|(name, sum)| format!(".{name}={}", for_name(sum))).collect();
        let name = format!("{number:05}.{}{sums}", hex(&written.md5));
        let turn = TURN.lock();
        let (place, _) = self.upload(id, key)?;
        let before = parts_in(&place).map_err(told)?;
        fs::rename(written.place.path(), place.join(&name)).map_err(told)?;
        for part in before.iter().filter(|it| it.number == number && !it.path.ends_with(&name)) {
            fs::remove_file(&part.path).map_err(told)?;
        }
        drop(turn);
        sync(&place).map_err(told)
    }

    pub(crate) fn parts(&self, id: &str, key: &str) -> S3Result<(Upload, Vec<Part>)> {
        let (place, upload) = self.upload(id, key)?;
        let parts = parts_in(&place).map_err(|it| failed(&it))?;
        Ok((upload, parts))
    }

    /// Makes an object of the parts that the client lists.
    pub(crate) fn complete(
        &self,
        (id, key): (&str, &Key),
        listed: &[CompletedPart],
        wanted: &Wanted,
        conditions: &Conditions,
    ) -> S3Result<Facts> {
        let (place, upload) = self.upload(id, key.as_str())?;
        let parts = chosen(&parts_in(&place).map_err(|it| failed(&it))?, listed)?;
        let mut sink = Sink::open(self, wanted)?;
        self.check_room(parts.iter().map(|it| it.bytes).sum())?;
        let mut digest = Md5::new();
        for part in &parts {
            let told = |it: io::Error| match it.kind() {
                io::ErrorKind::NotFound => fault(NoSuchUpload, "the upload has just ended"),
                _ => failed(&it),
            };
            sink.copy(&mut File::open(&part.path).map_err(told)?, wanted)?;
            digest.update(unhex(&part.md5));
        }
        let written = sink.finish(wanted)?;
        let etag = format!("{}-{}", hex(&digest.finalize()), parts.len());
        let about = About { etag, sums: written.sums.clone(), ..upload.about };
        let facts = self.put(key, &written, about, conditions)?;
        self.end_upload(id, key.as_str())?;
        Ok(facts)
    }

    /// Takes an upload away.
    pub(crate) fn end_upload(&self, id: &str, key: &str) -> S3Result<()> {
        let _turn = TURN.lock();
        let (place, _) = self.upload(id, key)?;
        fs::remove_dir_all(&place).map_err(|it| failed(&it))
    }
}

fn order(upload: &Upload) -> (&str, u64, &str) {
    (&upload.about.key, upload.started_ms, &upload.id)
}

fn read(place: &std::path::Path) -> Option<Upload> {
    serde_json::from_slice(&fs::read(place.join(ABOUT)).ok()?).ok()
}

pub(crate) fn check_number(number: i32) -> S3Result<()> {
    let max = limits::S3_PARTS_MAX;
    if usize::try_from(number).is_ok_and(|it| (1..=max).contains(&it)) {
        return Ok(());
    }
    Err(fault(InvalidArgument, format!("parts are numbered from 1 to {max}")))
}

/// Reads which parts are there, in their order.
fn parts_in(place: &std::path::Path) -> io::Result<Vec<Part>> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(place)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some((number, rest)) = name.to_str().and_then(|it| it.split_once('.')) else {
            continue;
        };
        let (Ok(number), mut rest) = (number.parse(), rest.split('.')) else { continue };
        let md5 = rest.next().unwrap_or_default().to_owned();
        let sum = |it: &str| it.split_once('=').map(|(name, sum)| (name.to_owned(), of_name(sum)));
        let facts = entry.metadata()?;
        parts.push(Part {
            number,
            md5,
            bytes: facts.len(),
            changed: UNIX_EPOCH + Duration::from_secs(changed_ms(&facts) / 1_000),
            sums: rest.filter_map(sum).collect(),
            path: entry.path(),
        });
    }
    parts.sort_by_key(|it| it.number);
    Ok(parts)
}

/// Returns the parts that a client lists; they must be there, and as it knows them.
fn chosen(there: &[Part], listed: &[CompletedPart]) -> S3Result<Vec<Part>> {
    if listed.is_empty() || limits::S3_PARTS_MAX < listed.len() {
        let message = format!("list from 1 to {} parts", limits::S3_PARTS_MAX);
        return Err(fault(MalformedXML, message));
    }
    let mut parts: Vec<Part> = Vec::with_capacity(listed.len());
    for one in listed {
        let number = one.part_number.unwrap_or_default();
        if parts.last().is_some_and(|it| number <= it.number) {
            return Err(fault(InvalidPartOrder, "list the parts by their numbers"));
        }
        let place = there.binary_search_by_key(&number, |it| it.number);
        let part = place.ok().and_then(|it| there.get(it));
        let part = part.filter(|it| one.e_tag.as_ref().is_some_and(|said| said.value() == it.md5));
        let Some(part) = part.filter(|it| has_sums(it, one)) else {
            let message = format!("part {number} did not come, or has another etag or checksum");
            return Err(fault(InvalidPart, message));
        };
        parts.push(part.clone());
    }
    let min = limits::S3_PART_BYTES_MIN;
    if let Some(small) = parts.iter().rev().skip(1).find(|it| it.bytes < min) {
        let (number, bytes) = (small.number, small.bytes);
        let message =
            format!("part {number} has {bytes} bytes; all but the last have {min} or more");
        return Err(fault(EntityTooSmall, message));
    }
    if limits::S3_OBJECT_BYTES_MAX < parts.iter().map(|it| it.bytes).sum::<u64>() {
        let message = format!("an object has at most {} bytes", limits::S3_OBJECT_BYTES_MAX);
        return Err(fault(EntityTooLarge, message));
    }
    Ok(parts)
}

/// Whether a part has the checksums that the client says of it, as far as it had them when it came.
fn has_sums(part: &Part, said: &CompletedPart) -> bool {
    let said = [
        ("crc32", &said.checksum_crc32),
        ("crc32c", &said.checksum_crc32c),
        ("crc64nvme", &said.checksum_crc64nvme),
        ("sha1", &said.checksum_sha1),
        ("sha256", &said.checksum_sha256),
    ];
    let mut pairs =
        said.iter().filter_map(|(name, sum)| Some((part.sums.get(*name)?, sum.as_ref()?)));
    pairs.all(|(sum, said)| sum == said)
}

/// A checksum in base64 as part of a file's name, which has no `/`.
fn for_name(sum: &str) -> String {
    sum.replace('/', "_")
}

fn of_name(sum: &str) -> String {
    sum.replace('_', "/")
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |it: u8| char::from(it).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).filter_map(byte).collect()
}
