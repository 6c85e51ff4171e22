//! Records on their way in (encoded once, on the caller's thread) and out (read without copying).
//!
//! A payload is a run of records, each `u32 length of bytes | u16 length of key | key | bytes`,
//! little-endian. In front of the payload the buffer keeps room for the frame's header, so that the
//! commit thread fills it in without moving a byte of the records.

use base::limits::{PARTITION_KEY_BYTES_MAX, RECORD_BYTES_MAX};
use base::{Place, SequenceNumber, ShardId};
use bytes::Bytes;

use crate::Error;
use crate::format::{ALIGNMENT, HEADER_BYTES};

/// A frame is closed at this size: a reader's smallest unit, and no buffer grows much beyond it.
const FRAME_BYTES_TARGET: usize = 1 << 20;

/// The lengths before each record.
const PREFIX_BYTES: usize = 6;

/// Records for one shard, in order; built by the door, written by the journal as they are.
#[derive(Debug, Default)]
pub struct Records {
    full: Vec<Body>,
    open: Vec<u8>,
    open_count: u32,
    count: u64,
    bytes: u64,
}

/// The buffer of one frame: room for the header, the payload, zeros up to the next frame.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) buffer: Vec<u8>,
    pub(crate) count: u32,
    pub(crate) payload_length: u32,
    pub(crate) payload_crc: u32,
}

impl Body {
    fn new(mut buffer: Vec<u8>, count: u32) -> Body {
        let payload = buffer.get(HEADER_BYTES..).unwrap_or_default();
        let payload_crc = crc32c::crc32c(payload);
        let payload_length = u32::try_from(payload.len()).expect("a frame is closed long before");
        let padded = buffer.len().next_multiple_of(ALIGNMENT);
        buffer.resize(padded, 0);
        Body { buffer, count, payload_length, payload_crc }
    }

    /// Makes records to be read of it.
    pub(crate) fn into_frame(self, base: u64, arrived_ms: u64) -> Frame {
        let payload_end = HEADER_BYTES + self.payload_length as usize;
        let payload = Bytes::from(self.buffer).slice(HEADER_BYTES..payload_end);
        Frame { base, count: self.count, arrived_ms, payload }
    }
}

impl Records {
    /// Makes an empty list; it takes no memory until the first record.
    pub fn new() -> Records {
        Records::default()
    }

    /// Makes an empty list with room for about `bytes` of records.
    pub fn with_capacity(bytes: usize) -> Records {
        let mut records = Records::new();
        if 0 < bytes {
            // The lengths before one record and the zeros up to the next frame, too: a frame of one
            // record, which many shards make of most, is allocated once.
            let room = HEADER_BYTES + PREFIX_BYTES + bytes.min(FRAME_BYTES_TARGET) + ALIGNMENT;
            records.open = Vec::with_capacity(room);
            records.open.resize(HEADER_BYTES, 0);
        }
        records
    }

    /// Adds a record; refuses one that is larger than a record may be.
    pub fn push(&mut self, key: &str, bytes: &[u8]) -> Result<(), Error> {
        let length = key.len() + bytes.len();
        if RECORD_BYTES_MAX < length {
            return Err(Error::RecordTooLarge { bytes: length, max: RECORD_BYTES_MAX });
        }
        let (Ok(key_length), true) = (u16::try_from(key.len()), key.len() <= KEY_BYTES_MAX) else {
            return Err(Error::KeyTooLong { bytes: key.len(), max: KEY_BYTES_MAX });
        };
        let bytes_length = u32::try_from(bytes.len()).expect("checked against the largest record");
        if FRAME_BYTES_TARGET < self.open.len() + length && 0 < self.open_count {
            self.close_frame();
        }
        if self.open.is_empty() {
            self.open.resize(HEADER_BYTES, 0);
        }
        let [a, b, c, d] = bytes_length.to_le_bytes();
        let [e, f] = key_length.to_le_bytes();
        self.open.reserve(PREFIX_BYTES + length);
        self.open.extend_from_slice(&[a, b, c, d, e, f]);
        self.open.extend_from_slice(key.as_bytes());
        self.open.extend_from_slice(bytes);
        self.open_count += 1;
        self.count += 1;
        self.bytes += length as u64;
        Ok(())
    }

    /// Returns how many records there are.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Returns whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the bytes of all records with their keys.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn close_frame(&mut self) {
        let buffer = std::mem::take(&mut self.open);
        if self.full.is_empty() {
            self.full.reserve_exact(1); // Most have one.
        }
        self.full.push(Body::new(buffer, std::mem::take(&mut self.open_count)));
    }

    pub(crate) fn into_bodies(mut self) -> Vec<Body> {
        if 0 < self.open_count {
            self.close_frame();
        }
        self.full
    }
}

const KEY_BYTES_MAX: usize = PARTITION_KEY_BYTES_MAX;

/// Splits the first record off a payload; `None` if these bytes are not a record.
pub(crate) fn split_record(payload: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let (prefix, rest) = payload.split_first_chunk::<PREFIX_BYTES>()?;
    let [a, b, c, d, e, f] = *prefix;
    let bytes_length = u32::from_le_bytes([a, b, c, d]) as usize;
    let (key, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([e, f])))?;
    let (bytes, rest) = rest.split_at_checked(bytes_length)?;
    Some((std::str::from_utf8(key).ok()?, bytes, rest))
}

/// Returns whether `payload` is exactly `count` records.
pub(crate) fn is_payload(payload: &[u8], count: u32) -> bool {
    let mut rest = payload;
    for _ in 0..count {
        match split_record(rest) {
            Some((_, _, after)) => rest = after,
            None => return false,
        }
    }
    rest.is_empty()
}

/// One record as a reader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its shard and its sequence number there.
    pub place: Place,
    /// When it was written down, in milliseconds since 1970; never decreases within a shard.
    pub arrived_ms: u64,
    /// Its partition key.
    pub key: &'a str,
    /// What the producer sent.
    pub bytes: &'a [u8],
}

/// Records that stand behind each other and arrived together.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) base: u64,
    pub(crate) count: u32,
    pub(crate) arrived_ms: u64,
    pub(crate) payload: Bytes,
}

impl Frame {
    pub(crate) fn end(&self) -> u64 {
        self.base + u64::from(self.count)
    }
}

/// What one read found: committed records of one shard, in order, without gaps.
#[derive(Debug, Clone)]
pub struct Frames {
    pub(crate) shard: ShardId,
    pub(crate) from: u64,
    pub(crate) frames: Vec<Frame>,
}

impl Frames {
    pub(crate) fn empty(shard: ShardId, from: u64) -> Frames {
        Frames { shard, from, frames: Vec::new() }
    }

    /// Makes records to be read again of what was not written.
    pub(crate) fn given_back(shard: ShardId, bodies: Vec<Body>) -> Frames {
        let mut base = 0;
        let frames = bodies.into_iter().map(|body| {
            let frame = body.into_frame(base, 0);
            base = frame.end();
            frame
        });
        Frames { shard, from: 0, frames: frames.collect() }
    }

    /// Returns the records; nothing is copied or allocated.
    pub fn iter(&self) -> Iter<'_> {
        let skip = self.frames.first().map_or(0, |first| self.from.saturating_sub(first.base));
        let mut iter = Iter {
            shard: self.shard,
            frames: self.frames.iter(),
            rest: &[],
            sequence: self.from,
            arrived_ms: 0,
        };
        if 0 < skip {
            iter.next_frame();
            for _ in 0..skip {
                drop_record(&mut iter);
            }
        }
        iter
    }

    /// Returns how many records there are.
    pub fn len(&self) -> u64 {
        self.end().0 - self.from
    }

    /// Returns whether nothing was found: the reader has caught up.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Returns the sequence number to go on from.
    pub fn end(&self) -> SequenceNumber {
        SequenceNumber(self.frames.last().map_or(self.from, Frame::end))
    }

    /// Returns the bytes of the records with their keys and lengths.
    pub fn bytes(&self) -> usize {
        self.frames.iter().map(|it| it.payload.len()).sum()
    }
}

impl<'a> IntoIterator for &'a Frames {
    type Item = Record<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

fn drop_record(iter: &mut Iter<'_>) {
    let known = iter.next();
    debug_assert!(known.is_some(), "a frame holds the records it counts");
}

/// The records of a [`Frames`].
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    shard: ShardId,
    frames: std::slice::Iter<'a, Frame>,
    rest: &'a [u8],
    sequence: u64,
    arrived_ms: u64,
}

impl Iter<'_> {
    fn next_frame(&mut self) -> bool {
        let Some(frame) = self.frames.next() else { return false };
        self.rest = &frame.payload;
        self.sequence = frame.base;
        self.arrived_ms = frame.arrived_ms;
        true
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Record<'a>;

    #[inline]
    fn next(&mut self) -> Option<Record<'a>> {
        while self.rest.is_empty() {
            if !self.next_frame() {
                return None;
            }
        }
        let (key, bytes, rest) = split_record(self.rest)?;
        self.rest = rest;
        let place = Place { shard: self.shard, sequence: SequenceNumber(self.sequence) };
        self.sequence += 1;
        Some(Record { place, arrived_ms: self.arrived_ms, key, bytes })
    }
}

#[cfg(test)]
mod tests;
