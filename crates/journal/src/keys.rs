//! Idempotency keys: which append each one named, for as long as it is remembered.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use base::limits::IDEMPOTENCY_KEPT;
use base::{SequenceNumber, ShardId};

use crate::format::{FrameKind, HEADER_BYTES, Header, In};
use crate::settings::{Appended, AppendedPart, IdempotencyKey, StreamId};

/// The appends that have names, oldest first.
#[derive(Debug)]
pub(crate) struct Keys {
    known: HashMap<(StreamId, IdempotencyKey), Arc<Remembered>>,
    order: VecDeque<(u64, StreamId, IdempotencyKey)>,
    max: usize,
}

/// Where the records of a named append are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) arrived_ms: u64,
    pub(crate) parts: Vec<AppendedPart>,
}

impl Remembered {
    pub(crate) fn answer(&self, repeated: bool) -> Appended {
        Appended { parts: self.parts.clone(), arrived_ms: self.arrived_ms, repeated }
    }
}

impl Keys {
    pub(crate) fn new(max: usize) -> Keys {
        Keys { known: HashMap::new(), order: VecDeque::new(), max }
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Returns what the append of this name was answered, if it is remembered.
    pub(crate) fn find(&self, stream: StreamId, key: &IdempotencyKey) -> Option<&Remembered> {
        self.known.get(&(stream, key.clone())).map(Arc::as_ref)
    }

    pub(crate) fn insert(&mut self, stream: StreamId, key: IdempotencyKey, done: Remembered) {
        self.order.push_back((done.arrived_ms, stream, key.clone()));
        self.known.insert((stream, key), Arc::new(done));
        while self.max < self.order.len() {
            self.forget_oldest();
        }
    }

    /// Forgets what is too old at `now_ms`.
    pub(crate) fn expire(&mut self, now_ms: u64) {
        while self.order.front().is_some_and(|(arrived_ms, ..)| is_expired(*arrived_ms, now_ms)) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((arrived_ms, stream, key)) = self.order.pop_front() else { return };
        let name = (stream, key);
        // The name may have been used again since; that append is younger and stays.
        if self.known.get(&name).is_some_and(|it| it.arrived_ms == arrived_ms) {
            self.known.remove(&name);
        }
    }
}

/// Returns whether a key of an append at `arrived_ms` is forgotten at `now_ms`.
pub(crate) fn is_expired(arrived_ms: u64, now_ms: u64) -> bool {
    let kept_ms = u64::try_from(IDEMPOTENCY_KEPT.as_millis()).unwrap_or(u64::MAX);
    arrived_ms.saturating_add(kept_ms) <= now_ms
}

/// A name and what it stands for, as a frame holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyFrame {
    pub(crate) stream: StreamId,
    pub(crate) key: IdempotencyKey,
    pub(crate) done: Remembered,
}

/// Bytes of one part in the body.
const PART_BYTES: usize = 20;

/// Returns the bytes of a key frame's body before padding.
pub(crate) fn body_bytes(key: &IdempotencyKey, parts: usize) -> usize {
    2 + key.as_str().len() + parts * PART_BYTES
}

impl KeyFrame {
    /// Returns the whole frame, padded, for the file with this salt.
    pub(crate) fn encode(&self, commit: u64, salt: u32) -> Vec<u8> {
        let key = self.key.as_str();
        let mut frame = vec![0; HEADER_BYTES];
        let key_length = u16::try_from(key.len()).expect("a key's length was checked");
        frame.extend_from_slice(&key_length.to_le_bytes());
        frame.extend_from_slice(key.as_bytes());
        for part in &self.done.parts {
            frame.extend_from_slice(&part.shard.0.to_le_bytes());
            frame.extend_from_slice(&part.first.0.to_le_bytes());
            frame.extend_from_slice(&part.count.to_le_bytes());
        }
        let body = frame.get(HEADER_BYTES..).unwrap_or_default();
        let header = Header {
            stream: self.stream.0,
            count: u32::try_from(self.done.parts.len()).expect("parts are at most the shards"),
            body_length: u32::try_from(body.len()).expect("a key and its parts are small"),
            body_crc: crc32c::crc32c(body),
            arrived_first_ms: self.done.arrived_ms,
            arrived_last_ms: self.done.arrived_ms,
            commit,
            ..Header::of(FrameKind::Key)
        };
        crate::commit::put_header(&mut frame, &header.encode(salt));
        let padded = usize::try_from(header.frame_bytes()).expect("it is in memory");
        frame.resize(padded, 0);
        frame
    }

    /// Reads the body of a key frame whose checksums match; `None` if it is not one after all.
    pub(crate) fn decode(header: &Header, body: &[u8]) -> Option<KeyFrame> {
        let mut fields = In::new(body);
        let key_length = u16::from_le_bytes(fields.take()?);
        let key = std::str::from_utf8(fields.bytes(usize::from(key_length))?).ok()?;
        let mut parts = Vec::new();
        for _ in 0..header.count {
            parts.push(AppendedPart {
                shard: ShardId(fields.u32()?),
                first: SequenceNumber(fields.u64()?),
                count: fields.u64()?,
            });
        }
        fields.is_empty().then_some(KeyFrame {
            stream: StreamId(header.stream),
            key: IdempotencyKey::new(key).ok()?,
            done: Remembered { arrived_ms: header.arrived_first_ms, parts },
        })
    }
}

#[cfg(test)]
mod tests;
