//! The bytes under which a row stands in an index by key.

/// Bytes behind key and sort value: the epoch and the number of the row.
pub(super) const TAIL: usize = 16;

/// What tells rows of one key and one sort value apart, in the order in which they came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) epoch: u64,
    pub(super) number: u64,
}

impl Tail {
    /// Returns the bytes of a row.
    pub(super) fn after(self, key: &[u8], sort: &[u8]) -> Vec<u8> {
        let mut place = Vec::with_capacity(key.len() + sort.len() + TAIL);
        place.extend_from_slice(key);
        place.extend_from_slice(sort);
        place.extend_from_slice(&self.epoch.to_be_bytes());
        place.extend_from_slice(&self.number.to_be_bytes());
        place
    }

    /// Reads what [`Tail::after`] wrote.
    pub(super) fn of(place: &[u8]) -> Option<Tail> {
        let (rest, number) = place.split_last_chunk::<8>()?;
        let (_, epoch) = rest.split_last_chunk::<8>()?;
        Some(Tail { epoch: u64::from_be_bytes(*epoch), number: u64::from_be_bytes(*number) })
    }
}

/// Returns a bound above all that begins with these bytes: neither a sort value nor an epoch begins
/// with such a byte.
pub(super) fn after_all(begin: &[u8]) -> Vec<u8> {
    [begin, &[0xFF]].concat()
}

/// Returns the bytes by which times sort, before and after 1970.
pub(super) fn time_prefix(time_us: i64) -> [u8; 8] {
    (time_us.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// Returns the time and the place of the row.
pub(super) fn time_of(by_time: &[u8]) -> Option<(i64, &[u8])> {
    let (time, place) = by_time.split_first_chunk::<8>()?;
    Some(((u64::from_be_bytes(*time) ^ (1 << 63)).cast_signed(), place))
}
