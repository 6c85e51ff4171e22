//! Shard ids and sequence numbers as Kinesis writes them.
//!
//! A sequence number is 56 decimal digits, the length that AWS' own have, so that they order as
//! numbers and as text alike:
//!
//! ```text
//! 49 SSSSSSSSSS HHHHHHHHHH 00000000000000 NNNNNNNNNNNNNNNNNNNN
//! │  │          │          │              └ 20 digits: the place in the shard
//! │  │          │          └ 14 zeros
//! │  │          └ 10 digits: the shard, so that a child's numbers come after its parent's
//! │  └ 10 digits: the stream
//! └ what AWS' numbers begin with today
//! ```

use base::{Place, SequenceNumber, ShardId};

/// Digits in a sequence number.
pub(crate) const DIGITS: usize = 56;
const HEAD: usize = 36;
const SHARD_PREFIX: &str = "shardId-";

/// The first 36 digits of the sequence numbers of one shard, and the shard's id in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Numbering {
    head: String,
    pub(crate) shard_id: String,
}

impl Numbering {
    pub(crate) fn of(stream: u32, shard: ShardId) -> Numbering {
        Numbering {
            head: format!("49{stream:010}{:010}{:014}", shard.0, 0),
            shard_id: shard_id(shard),
        }
    }

    /// Appends the sequence number of the record at `sequence`.
    pub(crate) fn write(&self, sequence: SequenceNumber, out: &mut String) {
        let mut digits = [b'0'; DIGITS - HEAD];
        let mut rest = sequence.0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        out.push_str(&self.head);
        out.push_str(std::str::from_utf8(&digits).unwrap_or_default());
    }

    /// Returns the sequence number of the record at `sequence`.
    pub(crate) fn number(&self, sequence: SequenceNumber) -> String {
        let mut out = String::with_capacity(DIGITS);
        self.write(sequence, &mut out);
        out
    }
}

/// Reads a sequence number; none if it is not one of the given stream's.
pub(crate) fn read(text: &str, stream: u32) -> Option<Place> {
    let is_ours = text.len() == DIGITS && text.bytes().all(|it| it.is_ascii_digit());
    if !is_ours || text.get(..2)? != "49" || text.get(22..HEAD)? != "00000000000000" {
        return None;
    }
    let of_stream: u32 = text.get(2..12)?.parse().ok()?;
    let shard = ShardId(text.get(12..22)?.parse().ok()?);
    let sequence = SequenceNumber(text.get(HEAD..)?.parse().ok()?);
    (of_stream == stream).then_some(Place { shard, sequence })
}

/// Returns `shardId-000000000000` for shard 0.
pub(crate) fn shard_id(shard: ShardId) -> String {
    format!("{SHARD_PREFIX}{:012}", shard.0)
}

/// Reads what [`shard_id`] writes; `0` alone is understood too, as AWS does.
pub(crate) fn read_shard_id(text: &str) -> Option<ShardId> {
    let digits = text.strip_prefix(SHARD_PREFIX).unwrap_or(text);
    let is_number = digits.bytes().all(|it| it.is_ascii_digit());
    is_number.then(|| digits.parse().ok().map(ShardId)).flatten()
}

#[cfg(test)]
mod tests;
