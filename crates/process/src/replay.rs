//! Dead letters go through today's decoder and checks again, each once.

use base::Name;
use base::Place;
use rows::DeadKind;

/// Which rejects of a stream are replayed; what is not said does not matter.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The stream.
    pub stream: Name,
    /// Rejects of this kind only.
    pub kind: Option<DeadKind>,
    /// Rejects whose first failed check this is.
    pub check: Option<String>,
    /// Rejects that arrived at or after this moment, in milliseconds since 1970.
    pub from_ms: Option<u64>,
    /// Rejects that arrived before this moment, in milliseconds since 1970.
    pub to_ms: Option<u64>,
    /// This one only.
    pub place: Option<Place>,
}

impl Replay {
    /// Returns a replay of all rejects of `stream`.
    pub fn all(stream: Name) -> Replay {
        Replay { stream, kind: None, check: None, from_ms: None, to_ms: None, place: None }
    }
}

/// What became of replayed rejects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// They are rows of the raw table now.
    pub stored: u64,
    /// They are still dead, with their new reason.
    pub dead: u64,
}
