//! What an alert remembers, as bytes of a checkpoint and back.

use std::collections::{BTreeMap, VecDeque};

use base::{Kind, Name};
use serde::{Deserialize, Serialize};

use crate::notice::Notice;

/// The form of the bytes; a state with another number is not read.
const VERSION: u32 = 1;

/// What an alert remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// What stands, by key.
    pub(crate) standing: BTreeMap<String, Standing>,
    /// What stood last, oldest first.
    pub(crate) resolved: VecDeque<Resolved>,
    /// What is not settled yet, oldest first.
    pub(crate) outbox: VecDeque<Letter>,
    /// Notices that left a full outbox untold.
    pub(crate) lost: u64,
}

/// A key whose row is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// When the row appeared.
    pub(crate) started_ms: u64,
    /// What tells this time from other times of the same key.
    pub(crate) seed: i64,
    /// How often it stood with the same seed before.
    pub(crate) turn: i64,
    /// When it fired.
    pub(crate) fired_ms: Option<u64>,
    /// When it was told last.
    pub(crate) told_ms: Option<u64>,
    /// When it last became pending, firing or resolved.
    pub(crate) changed_ms: u64,
    /// How many reminders there were.
    pub(crate) reminders: i64,
    /// How many notices there were.
    pub(crate) notices: u64,
    /// The row, as JSON.
    pub(crate) row: String,
    /// The title of the row.
    pub(crate) title: String,
    /// Why the last notice was not delivered.
    pub(crate) error: Option<String>,
}

/// A key whose row is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Resolved {
    pub(crate) key: String,
    pub(crate) at_ms: u64,
    pub(crate) standing: Standing,
}

/// A notice and who has not got it yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Letter {
    pub(crate) notice: Notice,
    pub(crate) waiting: Vec<Name>,
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    state: &'a State,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Deserialize)]
struct Read {
    state: State,
}

/// Why bytes are not the state of an alert.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another release wrote them.
    #[error("the state of the alert has version {found}, this program reads version {VERSION}")]
    Version {
        /// What was found.
        found: u32,
    },
    /// They are damaged.
    #[error("the state of the alert is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
}

impl StateError {
    /// Returns what the caller should do.
    pub fn kind(&self) -> Kind {
        match self {
            StateError::Version { .. } => Kind::Invalid,
            StateError::Damaged(_) => Kind::Corrupt,
        }
    }
}

impl State {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&Written { version: VERSION, state: self })
            .expect("text and numbers can always be written")
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<State, StateError> {
        let Version { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            return Err(StateError::Version { found: version });
        }
        let Read { state } = serde_json::from_slice(bytes)?;
        Ok(state)
    }
}
