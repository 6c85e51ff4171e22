//! What can go wrong with the journal, and what the caller should do.

use std::io;
use std::path::PathBuf;

use base::{ByteSize, Kind, SequenceNumber, ShardId};

use crate::StreamId;

/// Why the journal refused or failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No stream has this id.
    #[error("there is no stream with id {0}")]
    StreamMissing(StreamId),
    /// The stream has no such shard.
    #[error("stream `{stream}` has no shard {shard}; its shards are 0 to {last}")]
    ShardMissing {
        /// The stream's name.
        stream: String,
        /// What was asked for.
        shard: ShardId,
        /// The highest shard there is.
        last: u32,
    },
    /// The shard was split or merged and takes no records any more.
    #[error("shard {shard} of stream `{stream}` was split or merged already")]
    ShardClosed {
        /// The stream's name.
        stream: String,
        /// The shard.
        shard: ShardId,
    },
    /// A split would leave nothing on one side.
    #[error(
        "shard {shard} has the places {hash_start} to {hash_end} and cannot be split at {at}; \
         name one after the first"
    )]
    SplitOutside {
        /// The shard.
        shard: ShardId,
        /// Where it was to be split.
        at: u128,
        /// Its first place.
        hash_start: u128,
        /// Its last place.
        hash_end: u128,
    },
    /// Two shards that are to be merged are not neighbours.
    #[error(
        "shards {one} and {other} cannot be merged, because their ranges do not follow each other"
    )]
    ShardsApart {
        /// One.
        one: ShardId,
        /// The other.
        other: ShardId,
    },
    /// A stream has so many shards, closed ones included, that it can have no more.
    #[error(
        "stream `{stream}` would have more than {max} shards, closed ones included; these go when \
         their records expire"
    )]
    ShardsFull {
        /// The stream's name.
        stream: String,
        /// The most it may have.
        max: usize,
    },
    /// The shards changed while an append was on its way; nothing of it was written.
    #[error("the shards of stream `{stream}` changed meanwhile; send the records again")]
    Resharded {
        /// The stream's name.
        stream: String,
    },
    /// What is to be remembered beside a stream is too large.
    #[error(
        "what is remembered beside stream `{stream}` takes {bytes} bytes; at most {max} are allowed"
    )]
    NoteTooLarge {
        /// The stream's name.
        stream: String,
        /// How large it is.
        bytes: usize,
        /// The most that is allowed.
        max: usize,
    },
    /// The number of shards is out of range.
    #[error("a stream has 1 to {max} shards, not {wanted}")]
    ShardsInvalid {
        /// How many were asked for.
        wanted: u32,
        /// The most a stream may have.
        max: u32,
    },
    /// The node has as many streams as it may.
    #[error("this node has {max} streams already, which is the most it takes")]
    StreamsFull {
        /// The most a node may have.
        max: usize,
    },
    /// One record is too large.
    #[error("a record of {bytes} bytes with its key is too large; at most {max} are allowed")]
    RecordTooLarge {
        /// The record with its key.
        bytes: usize,
        /// The most that is allowed.
        max: usize,
    },
    /// A partition or idempotency key is too long.
    #[error("a key of {bytes} bytes is too long; at most {max} are allowed")]
    KeyTooLong {
        /// The key's length.
        bytes: usize,
        /// The most that is allowed.
        max: usize,
    },
    /// One append is too large for a commit.
    #[error("an append of {bytes} bytes is too large; split it in parts of at most {max} bytes")]
    AppendTooLarge {
        /// The append as it would be written.
        bytes: u64,
        /// The most that is allowed.
        max: u64,
    },
    /// Records before `first` are gone.
    #[error("records before {first} of shard {shard} have expired; read from {first} on")]
    Expired {
        /// The shard that was read.
        shard: ShardId,
        /// The first record that is still there.
        first: SequenceNumber,
    },
    /// Producers are faster than the disk.
    #[error("{pending} wait to be written already; retry after a pause")]
    Throttled {
        /// Bytes in the queue.
        pending: ByteSize,
    },
    /// The disk has no room; nothing of the request was kept.
    #[error("the disk has no room for the journal in `{}`; free some, appends go on by themselves", folder.display())]
    Full {
        /// The journal's folder.
        folder: PathBuf,
    },
    /// Something on disk is not what was written.
    #[error("`{}` is damaged at byte {offset}: {what}", file.display())]
    Damaged {
        /// The damaged file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// What was found.
        what: String,
    },
    /// The disk failed.
    #[error("`{}` cannot be used: {message}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        message: String,
    },
    /// A write could not be made durable: what is on disk is unknown, so nothing more is taken.
    #[error("the journal stopped: {reason}; restart the program when the disk is well again")]
    Failed {
        /// What happened.
        reason: String,
    },
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
    /// The settings contradict each other.
    #[error("journal settings: {0}")]
    Settings(String),
}

impl Error {
    /// Returns what the caller should do.
    pub fn kind(&self) -> Kind {
        match self {
            Error::ShardsInvalid { .. }
            | Error::SplitOutside { .. }
            | Error::ShardsApart { .. }
            | Error::ShardsFull { .. }
            | Error::NoteTooLarge { .. }
            | Error::StreamsFull { .. }
            | Error::RecordTooLarge { .. }
            | Error::KeyTooLong { .. }
            | Error::AppendTooLarge { .. }
            | Error::Settings(_)
            | Error::Expired { .. } => Kind::Invalid,
            Error::StreamMissing(_) | Error::ShardMissing { .. } => Kind::Missing,
            Error::ShardClosed { .. } | Error::Resharded { .. } => Kind::Conflict,
            Error::Throttled { .. } => Kind::Throttled,
            Error::Full { .. } | Error::Closed => Kind::Unavailable,
            Error::Damaged { .. } | Error::Failed { .. } | Error::Disk { .. } => Kind::Corrupt,
        }
    }

    /// Says which path an I/O error was about; a full disk becomes [`Error::Full`].
    pub(crate) fn of_io(path: impl Into<PathBuf>, error: &io::Error) -> Error {
        let path = path.into();
        if is_full(error) {
            let folder = path.parent().map(PathBuf::from).unwrap_or_default();
            return Error::Full { folder };
        }
        Error::Disk { path, message: error.to_string() }
    }
}

/// Returns whether `error` says that the disk or the quota is used up.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
