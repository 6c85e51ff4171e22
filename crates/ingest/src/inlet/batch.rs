//! The records of one request on their way into the journal.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::{ShardId, limits};
use journal::Records;

use super::callers::Gate;
use super::{Stream, hash_of};
use crate::rate::Cost;
use crate::refusal::Refusal;

/// Records of one request, sorted into shards as they are pushed.
pub(crate) struct Batch {
    pub(crate) stream: Arc<Stream>,
    pub(super) door: &'static str,
    /// The records of each shard that has some, with its slot.
    pub(super) parts: Vec<(usize, Records)>,
    /// For each slot the number of its part, counted from 1; 0 if it has none.
    pub(super) part_of: Vec<u32>,
    /// The slot of records without a key: one for the whole batch, so that its order is kept.
    pub(super) turn: usize,
    /// The slot of each record.
    pub(crate) slots: Vec<u32>,
    /// The places in the hash space of records whose keys do not tell them, by number.
    pub(super) hashes: Vec<(usize, u128)>,
    pub(super) records: usize,
    pub(super) bytes: usize,
    pub(super) bytes_expected: usize,
    /// Counts records against the limits one by one; else the request is counted whole.
    pub(super) gate: Option<Gate>,
}

impl Batch {
    pub(super) fn new(stream: Arc<Stream>, door: &'static str, bytes_expected: usize) -> Batch {
        let count = stream.shards.len();
        let turn = stream.turn.fetch_add(1, Ordering::Relaxed) % count.max(1);
        Batch {
            parts: Vec::new(),
            part_of: vec![0; count],
            stream,
            door,
            turn,
            slots: Vec::new(),
            hashes: Vec::new(),
            records: 0,
            bytes: 0,
            bytes_expected,
            gate: None,
        }
    }

    /// Counts a record that is to be pushed against the limits. After one for which there is no
    /// room there is none for any other of the request.
    pub(crate) fn admit(&mut self, cost: Cost) -> Result<(), Refusal> {
        self.gate.as_mut().map_or(Ok(()), |it| it.admit(cost))
    }

    /// Returns the shard of a record with this key, or with this place in the hash space.
    pub(crate) fn shard_of(&self, key: &str, hash: Option<u128>) -> ShardId {
        let slot = hash.map_or_else(|| self.slot_of_key(key), |it| self.stream.slot_of(it));
        self.stream.shard_at(slot)
    }

    /// Adds a record to the shard that the stream's own rule finds, else to that of `key`.
    pub(crate) fn push_or(&mut self, key: &str, bytes: &[u8]) -> Result<(), Refusal> {
        if self.stream.key.is_some() {
            return self.push(None, bytes);
        }
        self.push_of_any_length(key, bytes)
    }

    /// Adds a record; a key that is too long for the journal still decides the shard, so order holds.
    fn push_of_any_length(&mut self, key: &str, bytes: &[u8]) -> Result<(), Refusal> {
        if key.len() <= limits::PARTITION_KEY_BYTES_MAX {
            return self.push(Some(key), bytes);
        }
        let end = key.floor_char_boundary(limits::PARTITION_KEY_BYTES_MAX);
        self.push_hashed(key.get(..end).unwrap_or_default(), hash_of(key), bytes)
    }

    /// Adds a record. Without a key, the stream's own rule finds one, else it is the batch's turn.
    pub(crate) fn push(&mut self, key: Option<&str>, bytes: &[u8]) -> Result<(), Refusal> {
        if let Some(key) = key.filter(|it| !it.is_empty()) {
            return self.place(self.slot_of_key(key), key, bytes);
        }
        if key.is_some() {
            return self.push_hashed("", hash_of(""), bytes);
        }
        let found = self.stream.key.as_ref().and_then(|key_of| key_of(bytes));
        match found.as_deref() {
            Some(key) => self.push_of_any_length(key, bytes),
            None => self.place(self.turn, "", bytes),
        }
    }

    /// Adds a record whose place in the hash space is given.
    pub(crate) fn push_hashed(
        &mut self,
        key: &str,
        hash: u128,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        let index = self.records;
        self.place(self.stream.slot_of(hash), key, bytes)?;
        self.hashes.push((index, hash));
        Ok(())
    }

    /// Returns which part of the batch the records of a slot are in.
    pub(crate) fn part_of(&self, slot: u32) -> Option<usize> {
        (*self.part_of.get(slot as usize)? as usize).checked_sub(1)
    }

    /// Returns the slot of each part, in the order in which they are written.
    pub(crate) fn used_slots(&self) -> Vec<usize> {
        let mut slots = vec![0; self.part_of.iter().filter(|it| **it != 0).count()];
        for (slot, part) in self.part_of.iter().enumerate() {
            let at = (*part as usize).checked_sub(1).and_then(|it| slots.get_mut(it));
            if let Some(at) = at {
                *at = slot;
            }
        }
        slots
    }

    pub(super) fn take_parts(&mut self) -> Vec<(ShardId, Records)> {
        let parts = std::mem::take(&mut self.parts).into_iter();
        parts.map(|(slot, part)| (self.stream.shard_at(slot), part)).collect()
    }

    pub(super) fn slot_of_key(&self, key: &str) -> usize {
        // One shard needs no hash.
        if self.part_of.len() == 1 { 0 } else { self.stream.slot_of(hash_of(key)) }
    }

    pub(super) fn place(&mut self, slot: usize, key: &str, bytes: &[u8]) -> Result<(), Refusal> {
        if let Err(refusal) = self.try_place(slot, key, bytes) {
            self.stream.refuse(self.door);
            return Err(refusal);
        }
        Ok(())
    }

    fn try_place(&mut self, slot: usize, key: &str, bytes: &[u8]) -> Result<(), Refusal> {
        if limits::REQUEST_RECORDS_MAX <= self.records {
            return Err(Refusal::TooManyRecords);
        }
        let index = self.records;
        let share = self.bytes_expected / self.part_of.len().max(1);
        let missing = journal::Error::StreamMissing(self.stream.id);
        let part_of = self.part_of.get_mut(slot).ok_or(missing)?;
        let refused = |error| match error {
            journal::Error::RecordTooLarge { bytes, .. } => {
                Refusal::RecordTooLarge { index, bytes }
            }
            journal::Error::KeyTooLong { bytes, .. } => Refusal::KeyTooLong { index, bytes },
            other => Refusal::Journal(other),
        };
        // A part has a record from its beginning: one that is refused makes none.
        match (*part_of as usize).checked_sub(1).and_then(|it| self.parts.get_mut(it)) {
            Some((_, part)) => part.push(key, bytes).map_err(refused)?,
            None => {
                let mut part = Records::with_capacity(share.max(key.len() + bytes.len()));
                part.push(key, bytes).map_err(refused)?;
                self.parts.push((slot, part));
                *part_of = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
            }
        }
        self.slots.push(u32::try_from(slot).unwrap_or(u32::MAX));
        self.records += 1;
        self.bytes += bytes.len();
        Ok(())
    }
}
