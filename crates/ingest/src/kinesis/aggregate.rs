//! Records that the Kinesis Producer Library put together: several in one, to be taken apart.
//!
//! `f3 89 9a c2`, a message of Protocol Buffers, the MD5 of that message. The message has
//! 1: partition keys, 2: explicit hash keys, 3: records, each with 1: the number of its key,
//! 2: that of its hash key, 3: its bytes. What looks like one and is not is a record like any other,
//! as the consumer library has it.

use md5::{Digest, Md5};

const MAGIC: &[u8] = &[0xf3, 0x89, 0x9a, 0xc2];
const MD5_BYTES: usize = 16;

/// One of the records that were put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) key: &'a str,
    /// Its place in the hash space, if the producer said it.
    pub(crate) hash: Option<u128>,
    pub(crate) bytes: &'a [u8],
}

/// Returns the records in an aggregated one, at least one; none if it is not aggregated.
pub(crate) fn take_apart(bytes: &[u8]) -> Option<Vec<Part<'_>>> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (message, digest) = rest.split_at_checked(rest.len().checked_sub(MD5_BYTES)?)?;
    if Md5::digest(message).as_slice() != digest {
        return None;
    }
    let mut fields = Fields(message);
    let (mut keys, mut hashes, mut records) = (Vec::new(), Vec::new(), Vec::new());
    while !fields.0.is_empty() {
        match fields.next()? {
            (1, Value::Bytes(key)) => keys.push(std::str::from_utf8(key).ok()?),
            (2, Value::Bytes(hash)) => {
                hashes.push(std::str::from_utf8(hash).ok()?.parse::<u128>().ok()?);
            }
            (3, Value::Bytes(record)) => records.push(record),
            _ => {}
        }
    }
    let parts = records.into_iter().map(|record| part_of(record, &keys, &hashes));
    parts.collect::<Option<Vec<_>>>().filter(|it| !it.is_empty())
}

fn part_of<'a>(record: &'a [u8], keys: &[&'a str], hashes: &[u128]) -> Option<Part<'a>> {
    let mut fields = Fields(record);
    let (mut key, mut hash, mut bytes) = (None, None, None);
    while !fields.0.is_empty() {
        match fields.next()? {
            (1, Value::Number(index)) => key = Some(*keys.get(usize::try_from(index).ok()?)?),
            (2, Value::Number(index)) => hash = Some(*hashes.get(usize::try_from(index).ok()?)?),
            (3, Value::Bytes(data)) => bytes = Some(data),
            _ => {}
        }
    }
    let key = key.filter(|it| it.len() <= base::limits::PARTITION_KEY_BYTES_MAX)?;
    Some(Part { key, hash, bytes: bytes? })
}

/// The fields of a message that were not read yet.
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a kind that no field here has.
    Other,
}

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Value::Number(self.number()?),
            1 => self.take(8).map(|_| Value::Other)?,
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Other)?,
            _ => return None,
        };
        Some((tag >> 3, value))
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
pub(crate) mod tests;
