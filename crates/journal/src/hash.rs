//! Which shard a key belongs to: its MD5 read as a number, and even ranges of those numbers.

use md5::{Digest, Md5};

use crate::settings::Key;

/// Returns a key's place in the hash space, as Kinesis computes it.
pub(crate) fn hash_of(key: Key<'_>) -> u128 {
    match key {
        Key::Partition(text) => {
            let digest: [u8; 16] = Md5::digest(text.as_bytes()).into();
            u128::from_be_bytes(digest)
        }
        Key::Hash(hash) => hash,
    }
}

/// Splits the hash space evenly; the last range takes what is left over.
pub(crate) fn split_evenly(shards: u32) -> Vec<(u128, u128)> {
    let count = u128::from(shards.max(1));
    // 2^128 / count, which itself does not fit 128 bits.
    let width = u128::MAX / count + u128::from(u128::MAX % count == count - 1 && 1 < count);
    (0..count)
        .map(|index| {
            let start = index * width;
            let end = if index + 1 == count { u128::MAX } else { start + (width - 1) };
            (start, end)
        })
        .collect()
}

#[cfg(test)]
mod tests;
