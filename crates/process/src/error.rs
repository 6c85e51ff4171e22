//! What can go wrong with a flow, and what the caller should do.

use std::path::PathBuf;

use base::Kind;
use datafusion::error::DataFusionError;
use rows::sink::SinkError;

/// Why a flow could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal refused or failed.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// A table's storage refused or failed.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A plan could not be made or run.
    #[error("table `{table}`: {reason}")]
    Table {
        /// The table.
        table: String,
        /// What happened.
        reason: String,
    },
    /// Something outside any table could not be computed.
    #[error("{doing}: {source}")]
    Compute {
        /// What was being done.
        doing: &'static str,
        /// What happened.
        source: Box<DataFusionError>,
    },
    /// A file of the flow cannot be read or written.
    #[error("cannot {doing} `{}`: {source}", path.display())]
    Disk {
        /// What was being done.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file of the flow is not what was written.
    #[error("`{}` is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// A table was handed no storage.
    #[error("table `{0}` has no storage")]
    StorageMissing(String),
    /// The stream is not part of this flow.
    #[error("stream `{0}` is not part of this flow")]
    StreamMissing(String),
    /// A lookup cannot be read.
    #[error("lookup `{lookup}`: {reason}")]
    Lookup {
        /// The lookup.
        lookup: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// More than fits was asked for at once.
    #[error("{0}")]
    TooMuch(String),
    /// The flow was stopped.
    #[error("the flow has stopped{}", reason.as_ref().map(|it| format!(": {it}")).unwrap_or_default())]
    Stopped {
        /// Why, if it did so by itself.
        reason: Option<String>,
    },
}

impl Error {
    /// Returns what the caller should do.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Journal(error) => error.kind(),
            Error::Sink(error) => error.kind(),
            Error::Table { .. } | Error::Lookup { .. } | Error::TooMuch(_) => Kind::Invalid,
            Error::Compute { .. } | Error::StorageMissing(_) => Kind::Bug,
            Error::Disk { .. } | Error::Stopped { .. } => Kind::Unavailable,
            Error::Damaged { .. } => Kind::Corrupt,
            Error::StreamMissing(_) => Kind::Missing,
        }
    }

    pub(crate) fn compute(doing: &'static str) -> impl FnOnce(DataFusionError) -> Error {
        move |source| Error::Compute { doing, source: Box::new(source) }
    }

    pub(crate) fn table(table: &str, reason: impl Into<DataFusionError>) -> Error {
        let reason = reason.into().strip_backtrace();
        Error::Table { table: table.to_owned(), reason }
    }
}

/// Returns what the engine says, without the name of its class of errors, which tells users nothing.
pub(crate) fn in_words(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(message) | DataFusionError::Execution(message) => {
            message.clone()
        }
        other => other.strip_backtrace(),
    }
}
