//! Why the lake could not do something, and what to do about it.

use std::io;
use std::path::PathBuf;

use base::Kind;
use deltalake::DeltaTableError;
use rows::sink::SinkError;

/// What went wrong with a table at rest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The declaration does not fit what is stored.
    #[error("table `{table}`: {reason}")]
    Layout {
        /// The table.
        table: String,
        /// What does not fit, and what would.
        reason: String,
    },
    /// Rows or actions that this table did not declare or make.
    #[error("table `{table}` cannot take the change: {reason}")]
    Change {
        /// The table.
        table: String,
        /// What does not fit.
        reason: String,
    },
    /// The disk refused.
    #[error("cannot {doing} `{}`: {source}", path.display())]
    Disk {
        /// What was tried, as a verb.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Rows that are not in memory cannot be read.
    #[error("rows for table `{table}` cannot be read: {source}")]
    Lot {
        /// The table.
        table: String,
        /// What the system said.
        source: io::Error,
    },
    /// The table's log cannot be read.
    #[error("the log of table `{table}` cannot be read: {source}")]
    Log {
        /// The table.
        table: String,
        /// What the reader said.
        source: Box<DeltaTableError>,
    },
    /// Something in the table's folder is not what it should be.
    #[error("table `{table}` is damaged: {reason}")]
    Damaged {
        /// The table.
        table: String,
        /// What, with the file.
        reason: String,
    },
    /// Another program keeps committing to the table.
    #[error(
        "table `{table}` was changed by another program {tries} times in a row; stop that program"
    )]
    Contended {
        /// The table.
        table: String,
        /// Attempts made.
        tries: usize,
    },
    /// A file could not be written as Parquet or read back.
    #[error("cannot {doing} `{}`: {reason}", path.display())]
    File {
        /// What was tried, as a verb.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// What the library said.
        reason: String,
    },
    /// The index by which the table's rows are found cannot be used.
    #[error("the index by key of table `{table}` cannot be used: {source}")]
    Index {
        /// The table; empty if it is about all of them.
        table: String,
        /// What the library said.
        source: Box<fjall::Error>,
    },
    /// The index by which the table's rows are found lacks some of them.
    #[error("the index by key of table `{table}` is being built; ask again in some seconds")]
    IndexBehind {
        /// The table.
        table: String,
    },
    /// A place of files cannot be read.
    #[error("cannot read `{place}`: {reason}")]
    Place {
        /// The place as it was named.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An earlier version that cannot be asked for.
    #[error("{reason}")]
    Past {
        /// The table.
        table: String,
        /// What was asked for, and what can be.
        reason: String,
        /// Whether it was there once, as far as can be told.
        is_gone: bool,
    },
    /// Something goes on that needs the table's files as they are.
    #[error(
        "table `{table}` is being merged, or another is being built from it; try again in a minute"
    )]
    Busy {
        /// The table.
        table: String,
    },
    /// The work was cut off because the program ends, or it panicked.
    #[error("work on table `{table}` was cut off")]
    CutOff {
        /// The table.
        table: String,
    },
}

impl Error {
    /// Returns what the caller should do.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Layout { .. }
            | Error::Change { .. }
            | Error::Place { .. }
            | Error::Past { .. } => Kind::Invalid,
            Error::Disk { .. }
            | Error::Lot { .. }
            | Error::CutOff { .. }
            | Error::Index { .. }
            | Error::IndexBehind { .. }
            | Error::Busy { .. } => Kind::Unavailable,
            Error::Log { .. } | Error::Damaged { .. } | Error::File { .. } => Kind::Corrupt,
            Error::Contended { .. } => Kind::Conflict,
        }
    }

    /// Says the same in the words of a sink.
    pub(crate) fn into_sink(self, table: &str) -> SinkError {
        let sink = format!("table `{table}`");
        let reason = self.to_string();
        match self.kind() {
            Kind::Invalid | Kind::Missing | Kind::Bug => SinkError::Refused { sink, reason },
            Kind::Conflict | Kind::Throttled | Kind::Unavailable => {
                SinkError::Unavailable { sink, reason }
            }
            Kind::Corrupt => SinkError::Corrupt { sink, reason },
        }
    }
}
