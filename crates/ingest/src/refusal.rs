//! Why a door did not take what it was given.

use std::time::Duration;

use base::{Kind, Name, limits};

use crate::kept::KeptFault;

/// Nothing of the request was accepted, for this reason.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no such stream.
    #[error("stream `{name}` not found")]
    NoStream {
        /// What was asked for.
        name: String,
        /// The stream that may have been meant.
        near: Option<Name>,
        /// The streams there are.
        known: Vec<Name>,
    },
    /// The stream exists, but not for this door.
    #[error("stream `{stream}` does not take records by the door `{door}`")]
    DoorClosed {
        /// The stream.
        stream: Name,
        /// The door that was tried.
        door: &'static str,
        /// The doors in the stream's `from`.
        open: Vec<String>,
    },
    /// One record is too large; `index` counts from 0.
    #[error(
        "record {index} has {bytes} bytes, more than the {} a record may have",
        limits::RECORD_BYTES_MAX
    )]
    RecordTooLarge {
        /// Which record of the request, counted from 0.
        index: usize,
        /// Its size.
        bytes: usize,
    },
    /// One record's partition key is too long; `index` counts from 0.
    #[error(
        "the partition key of record {index} has {bytes} bytes, more than {}",
        limits::PARTITION_KEY_BYTES_MAX
    )]
    KeyTooLong {
        /// Which record of the request, counted from 0.
        index: usize,
        /// The key's size.
        bytes: usize,
    },
    /// The request holds more records than one request may.
    #[error("the request holds more than {} records", limits::REQUEST_RECORDS_MAX)]
    TooManyRecords,
    /// The `Idempotency-Key` cannot be one.
    #[error("an `Idempotency-Key` has 1 to {} bytes", limits::IDEMPOTENCY_KEY_BYTES_MAX)]
    NotAnIdempotencyKey,
    /// The caller's key is not for this stream.
    #[error("the key `{key}` is not for the stream `{stream}`")]
    NotForKey {
        /// The name of the key.
        key: Name,
        /// The stream.
        stream: String,
    },
    /// More came than the project allows.
    #[error("more records came than {limit} allows; there is room again in {} ms", wait.as_millis().max(1))]
    Limited {
        /// Whose limit it is.
        limit: Limit,
        /// When there is room again.
        wait: Duration,
    },
    /// The stream has more records waiting for the disk than is fair to the others.
    #[error("the stream `{stream}` has {waiting} bytes waiting to be written; others come first")]
    Crowded {
        /// The stream.
        stream: Name,
        /// How many bytes.
        waiting: usize,
    },
    /// What clients said of the doors cannot be kept.
    #[error(transparent)]
    Kept(#[from] KeptFault),
    /// The journal did not take it.
    #[error(transparent)]
    Journal(#[from] journal::Error),
}

/// Whose limit in the project files was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    /// That of a stream.
    Stream(Name),
    /// That of a key.
    Key(Name),
    /// That of every client.
    Client,
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Limit::Stream(name) => write!(f, "`limit` of [stream.{name}]"),
            Limit::Key(name) => write!(f, "`limit` of [project.keys.{name}]"),
            Limit::Client => f.write_str("`client_limit` of [project]"),
        }
    }
}

impl Refusal {
    /// Returns what the caller should do.
    pub fn kind(&self) -> Kind {
        match self {
            Refusal::NoStream { .. } => Kind::Missing,
            Refusal::DoorClosed { .. }
            | Refusal::RecordTooLarge { .. }
            | Refusal::KeyTooLong { .. }
            | Refusal::TooManyRecords
            | Refusal::NotForKey { .. }
            | Refusal::NotAnIdempotencyKey => Kind::Invalid,
            Refusal::Limited { .. } | Refusal::Crowded { .. } => Kind::Throttled,
            Refusal::Kept(fault) if fault.is_damage => Kind::Corrupt,
            Refusal::Kept(_) => Kind::Unavailable,
            Refusal::Journal(error) => error.kind(),
        }
    }

    /// Returns what would be right.
    pub fn help(&self) -> Option<String> {
        match self {
            Refusal::NoStream { near: Some(near), known, .. } => {
                Some(format!("did you mean `{near}`? {}", list_of(known)))
            }
            Refusal::NoStream { known, .. } => Some(list_of(known)),
            Refusal::DoorClosed { stream, door, open } => Some(format!(
                "add \"{door}\" to `from` of [stream.{stream}]; open are: {}",
                open.join(", ")
            )),
            Refusal::RecordTooLarge { .. } => Some(
                "nothing of the request was accepted; cut the record, or send a link to it".into(),
            ),
            Refusal::TooManyRecords => Some("send them in several requests".into()),
            Refusal::NotForKey { key, stream } => {
                Some(format!("add \"{stream}\" to `streams` of [project.keys.{key}]"))
            }
            Refusal::Limited { .. } | Refusal::Crowded { .. } => Some(AGAIN.into()),
            Refusal::Journal(error) if error.kind() == Kind::Throttled => Some(AGAIN.into()),
            Refusal::KeyTooLong { .. }
            | Refusal::NotAnIdempotencyKey
            | Refusal::Kept(_)
            | Refusal::Journal(_) => None,
        }
    }
}

const AGAIN: &str = "send again after the time in `Retry-After`";

/// How many names an error lists: enough for a project, not enough to flood a terminal.
const NAMES_SHOWN_MAX: usize = 20;

impl Refusal {
    /// Returns when it is worth to send again, if that is known.
    pub(crate) fn wait(&self) -> Option<Duration> {
        match self {
            Refusal::Limited { wait, .. } => Some(*wait),
            _ => None,
        }
    }
}

fn list_of(known: &[Name]) -> String {
    if known.is_empty() {
        return "there is no stream yet: declare one as [stream.NAME] in the project".into();
    }
    let shown: Vec<&str> = known.iter().take(NAMES_SHOWN_MAX).map(Name::as_str).collect();
    let more = known.len().saturating_sub(NAMES_SHOWN_MAX);
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("streams are: {}{rest}", shown.join(", "))
}
