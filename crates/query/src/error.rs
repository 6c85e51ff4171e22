//! Why a question has no answer.

use std::ops::Range;

use base::Kind;

/// A question that could not be answered: what was wrong, where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", help.as_ref().map(|it| format!("; {it}")).unwrap_or_default())]
pub struct SqlError {
    /// What the asker should do.
    pub kind: Kind,
    /// The five characters by which PostgreSQL's clients know what happened.
    pub sqlstate: &'static str,
    /// What was wrong, in our words.
    pub message: String,
    /// The bytes of the SQL text it is about.
    pub range: Option<Range<usize>>,
    /// What would be right.
    pub help: Option<String>,
}
