//! What clients said about delivery streams, kept over restarts.

use std::collections::BTreeMap;

use base::Name;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The file it is kept in.
pub(crate) const FILE: &str = "firehose.json";

/// All delivery streams of which something was said.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Book {
    pub(crate) entries: BTreeMap<Name, Entry>,
}

/// What was said of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Goes up with each change, as `VersionId`.
    pub(crate) version: u64,
    pub(crate) created_ms: u64,
    /// None if it was never changed.
    pub(crate) updated_ms: Option<u64>,
    /// The stream it follows, if it is no stream of its own.
    pub(crate) source: Option<String>,
    /// The destination's settings, as a client gave them, with defaults.
    pub(crate) destination: Map<String, Value>,
    /// The key that was asked for, if records were to be encrypted.
    pub(crate) encryption: Option<Encryption>,
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
}

/// A wish that this program does not fulfil, and says so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Encryption {
    pub(crate) key_type: String,
    pub(crate) key_arn: Option<String>,
}

impl Default for Entry {
    fn default() -> Entry {
        Entry {
            version: 1,
            created_ms: 0,
            updated_ms: None,
            source: None,
            destination: super::destination::with_defaults(Map::new()),
            encryption: None,
            tags: BTreeMap::new(),
        }
    }
}
