//! What the caller of something that failed should do.

/// Advice to the caller; every error enum of the project has `fn kind(&self) -> Kind`.
///
/// One `match` at each door turns it into an HTTP status, an AWS error name, a SQLSTATE or an
/// exit code, and retries look at nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Change the request.
    Invalid,
    /// What was named is not there.
    Missing,
    /// Somebody else was faster: read again, then retry.
    Conflict,
    /// Retry after a pause.
    Throttled,
    /// Retry later: something this depends on is not ready.
    Unavailable,
    /// Data is damaged: stop.
    Corrupt,
    /// A fault of the program: report it.
    Bug,
}

impl Kind {
    /// Returns whether the same request may succeed later without a change.
    pub fn is_retryable(self) -> bool {
        matches!(self, Kind::Conflict | Kind::Throttled | Kind::Unavailable)
    }

    /// Returns the word for it in answers.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Invalid => "invalid",
            Kind::Missing => "missing",
            Kind::Conflict => "conflict",
            Kind::Throttled => "throttled",
            Kind::Unavailable => "unavailable",
            Kind::Corrupt => "corrupt",
            Kind::Bug => "bug",
        }
    }

    /// Returns the HTTP status that says the same.
    pub fn http_status(self) -> u16 {
        match self {
            Kind::Invalid => 400,
            Kind::Missing => 404,
            Kind::Conflict => 409,
            Kind::Throttled => 429,
            Kind::Unavailable => 503,
            Kind::Corrupt | Kind::Bug => 500,
        }
    }
}
