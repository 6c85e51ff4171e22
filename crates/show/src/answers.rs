//! The trait through which SQL is asked, and what an answer or a refusal is.

use std::ops::Range;
use std::pin::Pin;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use base::Kind;
use futures::Stream;

/// Answers SQL. The program puts its engine behind it.
///
/// Implementers must refuse whatever is not a question (DDL, DML, COPY, SET), hold the question to
/// their memory and time limits, and stop working when the returned stream is dropped.
#[async_trait::async_trait]
pub trait Answers: Send + Sync {
    /// Answers `question`; every batch has the schema of the answer.
    async fn ask(&self, question: Question) -> Result<Answer, AskError>;
}

/// One SQL statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The statement.
    pub sql: String,
    /// Rows the asker will read at most; the engine may stop there. `None` is all of them.
    pub rows_max: Option<usize>,
    /// The key of the project that was shown; its limits hold. `None` is the program itself, or
    /// whoever asks while there are no keys.
    pub key: Option<base::Name>,
}

/// The rows of an answer, as they are computed.
pub type Batches = Pin<Box<dyn Stream<Item = Result<RecordBatch, AskError>> + Send>>;

/// An answer: its columns are known, its rows flow.
pub struct Answer {
    /// The columns.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Batches,
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AskError {
    /// What the asker should do.
    pub kind: Kind,
    /// What is wrong.
    pub message: String,
    /// How to put it right.
    pub help: Option<String>,
    /// The bytes of the SQL that are meant.
    pub position: Option<Range<usize>>,
}

impl AskError {
    /// Makes an error without help or position.
    pub fn new(kind: Kind, message: impl Into<String>) -> AskError {
        AskError { kind, message: message.into(), help: None, position: None }
    }
}

impl Answer {
    /// Makes an answer of batches that are already there.
    pub fn of(schema: SchemaRef, batches: Vec<RecordBatch>) -> Answer {
        Answer { schema, batches: Box::pin(futures::stream::iter(batches.into_iter().map(Ok))) }
    }
}
