//! Shard iterators: where a reader goes on, as an opaque text that expires.

use base::{Place, SequenceNumber, ShardId, limits};
use base64::Engine as _;

use crate::aws::fault::Fault;
use crate::aws::wire::BASE64;

/// Where a reader goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShardIterator {
    /// The stream's id, so that an iterator ends with its stream, not with the next of that name.
    pub(crate) stream: u32,
    pub(crate) name: String,
    pub(crate) place: Place,
    /// When it was made, in milliseconds since 1970.
    pub(crate) made_ms: u64,
}

/// What the text begins with; another layout gets another number.
const LAYOUT: &str = "1";

impl ShardIterator {
    pub(crate) fn write(&self) -> String {
        let Place { shard, sequence } = self.place;
        let text =
            format!("{LAYOUT}:{}:{}:{shard}:{sequence}:{}", self.made_ms, self.stream, self.name);
        BASE64.encode(text)
    }

    /// Reads what [`ShardIterator::write`] wrote, unless it has expired by `now_ms`.
    pub(crate) fn read(text: &str, now_ms: u64) -> Result<ShardIterator, Fault> {
        let iterator = ShardIterator::parse(text)
            .ok_or_else(|| Fault::invalid_argument("Invalid ShardIterator."))?;
        let kept_ms = u64::try_from(limits::KINESIS_ITERATOR_KEPT.as_millis()).unwrap_or(u64::MAX);
        if iterator.made_ms.saturating_add(kept_ms) < now_ms {
            let message = format!(
                "Iterator expired. The iterator was created at time {} while right now it is {} \
                 which is further in the future than the tolerated delay of {kept_ms} milliseconds.",
                in_words(iterator.made_ms),
                in_words(now_ms),
            );
            return Err(Fault::new("ExpiredIteratorException", message));
        }
        Ok(iterator)
    }

    fn parse(text: &str) -> Option<ShardIterator> {
        let text = String::from_utf8(BASE64.decode(text).ok()?).ok()?;
        let mut parts = text.splitn(6, ':');
        if parts.next()? != LAYOUT {
            return None;
        }
        let made_ms = parts.next()?.parse().ok()?;
        let stream = parts.next()?.parse().ok()?;
        let shard = ShardId(parts.next()?.parse().ok()?);
        let sequence = SequenceNumber(parts.next()?.parse().ok()?);
        let name = parts.next()?.to_owned();
        Some(ShardIterator { stream, name, place: Place { shard, sequence }, made_ms })
    }
}

/// As Java prints a date, because AWS does.
fn in_words(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| ms.to_string(), |it| it.strftime("%a %b %d %H:%M:%S UTC %Y").to_string())
}

#[cfg(test)]
mod tests;
