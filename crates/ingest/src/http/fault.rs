//! Why a request to the HTTP door was not taken, and how it is answered.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base::{Kind, limits};
use serde::Serialize;

use super::body::BodyFault;
use super::split::NotAnArray;
use crate::keys::{KeyFault, guard};
use crate::refusal::Refusal;

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpFault {
    #[error(transparent)]
    Key(#[from] KeyFault),
    #[error("a page of `{origin}` may not send into `{stream}`")]
    Stranger { origin: String, stream: String },
    #[error(transparent)]
    Body(#[from] BodyFault),
    #[error(transparent)]
    Array(#[from] NotAnArray),
    #[error("`from` is `latest`, `trim_horizon` or `SHARD:SEQUENCE,…`; `{0}` is neither")]
    NotAPosition(String),
    #[error("{} readers follow streams already", limits::FOLLOWERS_MAX)]
    TooManyFollowers,
    #[error(transparent)]
    Refusal(#[from] Refusal),
}

impl HttpFault {
    fn kind(&self) -> Kind {
        match self {
            HttpFault::Body(BodyFault::NoRoom) | HttpFault::TooManyFollowers => Kind::Throttled,
            HttpFault::Key(_)
            | HttpFault::Stranger { .. }
            | HttpFault::Body(_)
            | HttpFault::Array(_)
            | HttpFault::NotAPosition(_) => Kind::Invalid,
            HttpFault::Refusal(refusal) => refusal.kind(),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            HttpFault::Body(BodyFault::TooLarge | BodyFault::InflatesTooMuch)
            | HttpFault::Refusal(
                Refusal::RecordTooLarge { .. }
                | Refusal::TooManyRecords
                | Refusal::Journal(journal::Error::AppendTooLarge { .. }),
            ) => StatusCode::PAYLOAD_TOO_LARGE,
            HttpFault::Stranger { .. }
            | HttpFault::Refusal(Refusal::DoorClosed { .. } | Refusal::NotForKey { .. }) => {
                StatusCode::FORBIDDEN
            }
            HttpFault::Body(BodyFault::TooSlow) => StatusCode::REQUEST_TIMEOUT,
            HttpFault::Body(BodyFault::UnknownEncoding(_)) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            other => StatusCode::from_u16(other.kind().http_status())
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            HttpFault::Key(fault) => Some(fault.help()),
            HttpFault::Stranger { origin, stream } => Some(format!(
                "let it in: `from = [{{ door = \"http\", origins = [\"{origin}\"] }}]` of \
                 [stream.{stream}]"
            )),
            HttpFault::Body(BodyFault::TooLarge | BodyFault::InflatesTooMuch) => {
                Some("send the records in several requests".into())
            }
            HttpFault::Body(BodyFault::NoRoom) | HttpFault::TooManyFollowers => {
                Some("send again after the time in `Retry-After`".into())
            }
            HttpFault::Array(_) => Some(
                "nothing was accepted, as its records cannot be told apart; with one record a \
                 line, a broken one becomes a dead letter and the others are kept"
                    .into(),
            ),
            HttpFault::Body(_) | HttpFault::NotAPosition(_) => None,
            HttpFault::Refusal(refusal) => refusal.help(),
        }
    }
}

#[derive(Serialize)]
struct ErrorAnswer<'a> {
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    kind: &'a str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

/// Says in JSON why something was not done.
pub(crate) fn error_answer(kind: Kind, message: String, help: Option<String>) -> Response {
    let status =
        StatusCode::from_u16(kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let error = ErrorBody { kind: kind.word(), message, help };
    let mut response = (status, Json(ErrorAnswer { error })).into_response();
    if matches!(kind, Kind::Throttled | Kind::Unavailable) {
        let seconds = retry_after(limits::RETRY_AFTER);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// Returns the seconds to wait before the next attempt, whole ones as HTTP wants.
pub(super) fn retry_after(wait: Duration) -> HeaderValue {
    HeaderValue::from(wait.as_secs().saturating_add(u64::from(0 < wait.subsec_nanos())).max(1))
}

impl IntoResponse for HttpFault {
    fn into_response(self) -> Response {
        if let HttpFault::Key(fault) = &self {
            return guard::answer(fault);
        }
        let mut response = error_answer(self.kind(), self.to_string(), self.help());
        *response.status_mut() = self.status();
        if let HttpFault::Refusal(refusal) = &self
            && let Some(wait) = refusal.wait()
        {
            response.headers_mut().insert(header::RETRY_AFTER, retry_after(wait));
        }
        response
    }
}
