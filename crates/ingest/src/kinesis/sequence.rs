//! Shard ids and sequence numbers as Kinesis writes them.
//!
//! A sequence number is a number of 186 bits in decimal, 56 digits, laid out as AWS' own, so that
//! what orders or takes apart theirs does the same with ours. In hexadecimal:
//!
//! ```text
//! 2 CCCCCCCCC X NNNNNNNNNNNNNNNN 00 TTTTTTTTT SSSSSSSS 2
//! │ │         │ │                │  │         │        └ the layout
//! │ │         │ │                │  │         └ 8: the shard
//! │ │         │ │                │  └ 9: when the record arrived, in seconds
//! │ │         │ │                └ 2: nothing
//! │ │         │ └ 16: the place in the shard, counted from 1
//! │ │         └ 1: the last digit of the shard
//! │ └ 9: when the shard was made, in seconds; later for a child than for its parents
//! └ the layout
//! ```
//!
//! Place 0 is before the first record: what a reader of an empty shard goes on from.

use base::{SequenceNumber, ShardId};
use journal::ShardInfo;

/// Digits in a sequence number.
pub(crate) const DIGITS: usize = 56;
const SHARD_PREFIX: &str = "shardId-";

/// Nine decimal digits a limb.
const LIMB: u64 = 1_000_000_000;
const LIMBS: usize = 7;
/// The bits in pieces of 32, the highest first.
const WORDS: usize = 6;

/// What the sequence numbers of one shard have in common, and the shard's id in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Numbering {
    shard: u32,
    made_s: u64,
    pub(crate) shard_id: String,
}

impl Numbering {
    pub(crate) fn of(shard: &ShardInfo) -> Numbering {
        Numbering::new(shard.id, shard.opened_ms)
    }

    pub(crate) fn new(shard: ShardId, opened_ms: u64) -> Numbering {
        Numbering { shard: shard.0, made_s: opened_ms / 1_000, shard_id: shard_id(shard) }
    }

    /// Returns the sequence number of the record at `sequence`.
    pub(crate) fn number(&self, sequence: SequenceNumber, arrived_ms: u64) -> String {
        let mut out = String::with_capacity(DIGITS);
        self.write(sequence, arrived_ms, &mut out);
        out
    }

    /// Appends the sequence number of the record at `sequence`.
    pub(crate) fn write(&self, sequence: SequenceNumber, arrived_ms: u64, out: &mut String) {
        self.write_place(sequence.0.saturating_add(1), arrived_ms / 1_000, out);
    }

    /// Returns the number before the shard's first record.
    pub(crate) fn start(&self) -> String {
        self.before(SequenceNumber(0), self.made_s * 1_000)
    }

    /// Returns the number of the last place before `next`, whether a record is there or not.
    pub(crate) fn before(&self, next: SequenceNumber, at_ms: u64) -> String {
        let mut out = String::with_capacity(DIGITS);
        self.write_place(next.0, at_ms / 1_000, &mut out);
        out
    }

    fn write_place(&self, place: u64, at_s: u64, out: &mut String) {
        let at_s = at_s & 0xf_ffff_ffff;
        let made_s = self.made_s & 0xf_ffff_ffff;
        let high = 2 << 56 | made_s << 20 | u64::from(self.shard & 0xf) << 16 | place >> 48;
        let low = u128::from(place & 0xffff_ffff_ffff) << 80
            | u128::from(at_s) << 36
            | u128::from(self.shard) << 4
            | 2;
        write_decimal(high, low, out);
    }
}

/// Appends `high * 2^128 + low`, which has 56 digits.
#[expect(clippy::cast_possible_truncation, reason = "the pieces are cut to their size")]
fn write_decimal(high: u64, low: u128, out: &mut String) {
    let mut words: [u64; WORDS] = [
        high >> 32,
        high & 0xffff_ffff,
        (low >> 96) as u64,
        (low >> 64) as u64 & 0xffff_ffff,
        (low >> 32) as u64 & 0xffff_ffff,
        low as u64 & 0xffff_ffff,
    ];
    let mut digits = [b'0'; LIMBS * 9];
    for limb in digits.rchunks_mut(9) {
        let mut rest = 0;
        for word in &mut words {
            let value = rest << 32 | *word;
            *word = value / LIMB;
            rest = value % LIMB;
        }
        for digit in limb.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
    let digits = digits.get(LIMBS * 9 - DIGITS..).unwrap_or_default();
    out.push_str(std::str::from_utf8(digits).unwrap_or_default());
}

/// A sequence number, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) shard: ShardId,
    /// When the shard was made, in seconds since 1970.
    pub(crate) made_s: u64,
    /// Counted from 1; 0 is before the first record.
    pub(crate) place: u64,
    /// When the record arrived, in seconds since 1970.
    pub(crate) arrived_s: u64,
}

impl Decoded {
    /// Returns whether the number is one of the given shard's.
    pub(crate) fn is_of(&self, shard: &ShardInfo) -> bool {
        self.shard == shard.id && self.made_s == shard.opened_ms / 1_000
    }
}

/// Takes a sequence number apart; none if it is not one.
#[expect(clippy::cast_possible_truncation, reason = "the pieces are cut to their size")]
pub(crate) fn read(text: &str) -> Option<Decoded> {
    if text.len() != DIGITS || !text.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let mut words = [0_u64; WORDS];
    for digits in text.as_bytes().chunks(8) {
        let digits = std::str::from_utf8(digits).ok()?;
        let mut carry: u64 = digits.parse().ok()?;
        for word in words.iter_mut().rev() {
            let value = *word * 100_000_000 + carry;
            *word = value & 0xffff_ffff;
            carry = value >> 32;
        }
        if carry != 0 {
            return None;
        }
    }
    let [a, b, c, d, e, f] = words;
    let high = a << 32 | b;
    let low = u128::from(c) << 96 | u128::from(d) << 64 | u128::from(e) << 32 | u128::from(f);
    let shard = (low >> 4) as u32;
    let is_ours = high >> 56 == 2
        && low & 0xf == 2
        && (low >> 72) & 0xff == 0
        && high >> 16 & 0xf == u64::from(shard & 0xf);
    is_ours.then_some(Decoded {
        shard: ShardId(shard),
        made_s: high >> 20 & 0xf_ffff_ffff,
        place: (high & 0xffff) << 48 | (low >> 80) as u64,
        arrived_s: (low >> 36) as u64 & 0xf_ffff_ffff,
    })
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
