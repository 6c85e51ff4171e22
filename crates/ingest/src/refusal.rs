//! Why a door did not take what it was given.

use base::{Kind, Name, limits};

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
    /// The journal did not take it.
    #[error(transparent)]
    Journal(#[from] journal::Error),
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
            | Refusal::NotAnIdempotencyKey => Kind::Invalid,
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
            Refusal::Journal(error) if error.kind() == Kind::Throttled => {
                Some("send again after the time in `Retry-After`".into())
            }
            Refusal::KeyTooLong { .. } | Refusal::NotAnIdempotencyKey | Refusal::Journal(_) => None,
        }
    }
}

/// How many names an error lists: enough for a project, not enough to flood a terminal.
const NAMES_SHOWN_MAX: usize = 20;

fn list_of(known: &[Name]) -> String {
    if known.is_empty() {
        return "there is no stream yet: declare one as [stream.NAME] in the project".into();
    }
    let shown: Vec<&str> = known.iter().take(NAMES_SHOWN_MAX).map(Name::as_str).collect();
    let more = known.len().saturating_sub(NAMES_SHOWN_MAX);
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("streams are: {}{rest}", shown.join(", "))
}
