//! What lies in a bucket at one moment, and what happened since another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bucket::about::About;
use crate::generate::row::time_in_words;

/// An object, as a listing tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) key: String,
    pub(crate) size: u64,
    /// What tells its contents from those of before.
    pub(crate) etag: String,
    /// When it was written, in milliseconds since 1970.
    pub(crate) created_ms: u64,
    /// How many bytes it takes in the cold tier, if it lies there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cold: Option<u64>,
}

/// All objects of a bucket, by key.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) objects: Vec<Object>,
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    Created,
    Changed,
    Deleted,
    /// It lies in the cold tier now, with the same contents.
    Moved,
    /// Its rows are in a stream.
    Read,
    /// It could not be read.
    Failed,
}

/// Something that happened in a bucket.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) event: What,
    pub(crate) object: Object,
    pub(crate) at_ms: u64,
    /// Who read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stream: Option<String>,
    /// How many records it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) records: Option<u64>,
    /// What was wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    /// What a client of S3 said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) about: Option<About>,
}

/// An event as a record.
#[derive(Serialize)]
struct Record<'a> {
    event: What,
    key: &'a str,
    at: String,
    size: u64,
    r#type: &'a str,
    etag: &'a str,
    created: String,
    tier: &'a str,
    stored: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a BTreeMap<String, String>>,
}

impl Listing {
    /// Returns what happened since `before`, in order of time, what is gone first.
    pub(crate) fn since(&self, before: &BTreeMap<String, Object>, at_ms: u64) -> Vec<Event> {
        let event = |event: What, object: &Object| Event {
            event,
            object: object.clone(),
            at_ms,
            stream: None,
            records: None,
            message: None,
            about: None,
        };
        let is_there = |key: &str| {
            let found = self.objects.binary_search_by(|it| it.key.as_str().cmp(key));
            found.is_ok()
        };
        let gone = before.values().filter(|it| !is_there(&it.key));
        let mut events: Vec<Event> = gone.map(|it| event(What::Deleted, it)).collect();
        let mut came: Vec<Event> = self
            .objects
            .iter()
            .filter_map(|it| match before.get(&it.key) {
                None => Some(event(What::Created, it)),
                Some(known) if !known.is_version_of(it) => Some(event(What::Changed, it)),
                Some(known) if known.cold != it.cold => Some(event(What::Moved, it)),
                Some(_) => None,
            })
            .collect();
        came.sort_by(|one, other| one.object.order().cmp(&other.object.order()));
        events.extend(came);
        events
    }
}

impl Object {
    /// Returns whether both have the same contents, wherever they lie.
    pub(crate) fn is_version_of(&self, other: &Object) -> bool {
        let version = |it: &Object| (it.size, it.created_ms);
        self.key == other.key && self.etag == other.etag && version(self) == version(other)
    }

    /// Returns what tells which of two objects is read first.
    pub(crate) fn order(&self) -> (u64, &str) {
        (self.created_ms, &self.key)
    }
}

impl Event {
    /// Writes it as a record of the bucket's stream.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let about = self.about.as_ref();
        let metadata = about.map(|it| &it.metadata).filter(|it| !it.is_empty());
        let record = Record {
            event: self.event,
            key: &self.object.key,
            at: time_in_words(self.at_ms),
            size: self.object.size,
            r#type: about
                .and_then(|it| it.r#type.as_deref())
                .unwrap_or_else(|| type_of(&self.object.key)),
            etag: about.map_or(&self.object.etag, |it| &it.etag),
            created: time_in_words(self.object.created_ms),
            tier: if self.object.cold.is_some() { "cold" } else { "hot" },
            stored: self.object.cold.unwrap_or(self.object.size),
            stream: self.stream.as_deref(),
            records: self.records,
            message: self.message.as_deref(),
            metadata,
        };
        serde_json::to_vec(&record).unwrap_or_default()
    }
}

/// Endings and what they say.
const TYPES: &[(&str, &str)] = &[
    ("csv", "text/csv"),
    ("tsv", "text/tab-separated-values"),
    ("txt", "text/plain"),
    ("log", "text/plain"),
    ("json", "application/json"),
    ("ndjson", "application/x-ndjson"),
    ("jsonl", "application/x-ndjson"),
    ("geojson", "application/geo+json"),
    ("parquet", "application/vnd.apache.parquet"),
    ("avro", "application/vnd.apache.avro"),
    ("orc", "application/vnd.apache.orc"),
    ("arrow", "application/vnd.apache.arrow.file"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xls", "application/vnd.ms-excel"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("gz", "application/gzip"),
    ("zst", "application/zstd"),
    ("zip", "application/zip"),
    ("xml", "application/xml"),
    ("html", "text/html"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("dcm", "application/dicom"),
];

/// Returns what the ending of a key says of its contents.
pub(crate) fn type_of(key: &str) -> &'static str {
    let ending = key.rsplit_once('.').map_or("", |(_, it)| it);
    let found = TYPES.iter().find(|(it, _)| it.eq_ignore_ascii_case(ending));
    found.map_or("application/octet-stream", |(_, it)| it)
}
