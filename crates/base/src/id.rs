//! Numbers that must not be mixed up.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A shard of a stream, counted from 0 in the order in which shards were made.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ShardId(pub u32);

/// The place of a record in its shard, counted from 0 without gaps.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SequenceNumber(pub u64);

/// One durable checkpoint of a flow; epochs of a flow only grow, the first is 1.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// Where a record is: its shard and its sequence number there. Written `SHARD:SEQUENCE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The shard.
    pub shard: ShardId,
    /// The sequence number in it.
    pub sequence: SequenceNumber,
}

impl Epoch {
    /// Returns the epoch after this one.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

impl SequenceNumber {
    /// Returns the sequence number `count` places further on.
    #[must_use]
    pub fn plus(self, count: u64) -> SequenceNumber {
        SequenceNumber(self.0 + count)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.shard, self.sequence)
    }
}

impl std::str::FromStr for Place {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Place, NotAPlace> {
        let (shard, sequence) = text.split_once(':').ok_or(NotAPlace)?;
        let shard =
            shard.trim().parse().map_err(|_not_a_number: std::num::ParseIntError| NotAPlace)?;
        let sequence =
            sequence.trim().parse().map_err(|_not_a_number: std::num::ParseIntError| NotAPlace)?;
        Ok(Place { shard: ShardId(shard), sequence: SequenceNumber(sequence) })
    }
}

/// The text is not `SHARD:SEQUENCE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a place is written `SHARD:SEQUENCE`, for example `0:1234`")]
pub struct NotAPlace;
