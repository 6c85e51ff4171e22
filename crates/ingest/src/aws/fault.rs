//! The errors of the Kinesis API, with the names and texts that AWS answers.

use base::Kind;
use serde::Serialize;

use crate::refusal::Refusal;

/// The account that every resource belongs to.
pub(crate) const ACCOUNT: &str = "000000000000";

/// One error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) message: String,
    pub(crate) status: u16,
}

/// The body of an error answer.
#[derive(Serialize)]
pub(crate) struct FaultBody<'a> {
    #[serde(rename = "__type")]
    name: &'a str,
    message: &'a str,
}

impl Fault {
    pub(crate) fn new(name: &'static str, message: impl Into<String>) -> Fault {
        Fault { name, message: message.into(), status: 400 }
    }

    pub(crate) fn body(&self) -> FaultBody<'_> {
        FaultBody { name: self.name, message: &self.message }
    }

    pub(crate) fn no_stream(name: &str) -> Fault {
        let message = format!("Stream {name} under account {ACCOUNT} not found.");
        Fault::new("ResourceNotFoundException", message)
    }

    pub(crate) fn no_shard(shard: &str, stream: &str) -> Fault {
        let message =
            format!("Could not find shard {shard} in stream {stream} under account {ACCOUNT}.");
        Fault::new("ResourceNotFoundException", message)
    }

    pub(crate) fn stream_exists(name: &str) -> Fault {
        let message = format!("Stream {name} under account {ACCOUNT} already exists.");
        Fault::new("ResourceInUseException", message)
    }

    pub(crate) fn invalid_argument(message: impl Into<String>) -> Fault {
        Fault::new("InvalidArgumentException", message)
    }

    pub(crate) fn serialization(message: impl Into<String>) -> Fault {
        Fault::new("SerializationException", message)
    }

    /// What AWS says to a key that may not do this; `operation` as in `kinesis:PutRecord`.
    pub(crate) fn access_denied(key: &str, operation: &str) -> Fault {
        let message = format!(
            "User: arn:aws:iam::{ACCOUNT}:user/{key} is not authorized to perform: {operation}"
        );
        Fault::new("AccessDeniedException", message)
    }

    pub(crate) fn internal() -> Fault {
        Fault { name: "InternalFailure", message: "Internal service failure.".into(), status: 500 }
    }

    /// What AWS would say to the same refusal; `stream` is the name the request used.
    pub(crate) fn of(refusal: &Refusal, stream: &str) -> Fault {
        match refusal {
            Refusal::NoStream { .. } => Fault::no_stream(stream),
            Refusal::DoorClosed { .. } | Refusal::NotForKey { .. } => {
                Fault::new("AccessDeniedException", refusal.to_string())
            }
            other => match other.kind() {
                Kind::Missing => Fault::no_stream(stream),
                Kind::Conflict => Fault::new("ResourceInUseException", other.to_string()),
                Kind::Throttled => Fault::throttled(stream, None),
                Kind::Invalid => Fault::invalid_argument(other.to_string()),
                Kind::Unavailable => {
                    Fault { name: "ServiceUnavailable", message: other.to_string(), status: 503 }
                }
                Kind::Corrupt | Kind::Bug => Fault::internal(),
            },
        }
    }

    pub(crate) fn throttled(stream: &str, shard: Option<&str>) -> Fault {
        let of_shard = shard.map(|it| format!("shard {it} in ")).unwrap_or_default();
        let message =
            format!("Rate exceeded for {of_shard}stream {stream} under account {ACCOUNT}.");
        Fault::new("ProvisionedThroughputExceededException", message)
    }
}
