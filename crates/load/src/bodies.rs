//! Requests of `PutRecords` and `PutRecord`, made beforehand: many that differ in keys and data.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;

use crate::api::kinesis;
use crate::http::Request;
use crate::sign::Key;

/// What a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `PutRecord`.
    One,
    /// `PutRecords` with so many.
    Many(usize),
}

/// What requests are made of.
#[derive(Debug, Clone)]
pub(crate) struct Puts<'a> {
    pub(crate) shape: Shape,
    /// Of each record, without its key.
    pub(crate) record_bytes: usize,
    /// How many streams there are; the requests go to one after the other.
    pub(crate) streams: usize,
    /// Signed by it, if there is one; a signature is as old as `now_ms` says.
    pub(crate) key: Option<&'a Key>,
    pub(crate) now_ms: u64,
    /// Whether the first key of each request says which request it is.
    pub(crate) is_marked: bool,
}

impl Default for Puts<'_> {
    fn default() -> Self {
        Puts {
            shape: Shape::Many(500),
            record_bytes: 500,
            streams: 1,
            key: None,
            now_ms: 0,
            is_marked: false,
        }
    }
}

/// All requests together: more than caches hold, and made in a moment.
const BYTES: usize = 12 << 20;

/// What comes before the ten digits in a key that says which request it is.
pub(crate) const MARK: &str = "marked-";

/// The name of a stream of a measurement.
pub(crate) fn stream(index: usize) -> String {
    format!("bench-{index:04}")
}

impl Puts<'_> {
    /// Makes the requests.
    pub(crate) fn requests(&self) -> Arc<[Request]> {
        let mut random = fastrand::Rng::with_seed(1);
        let records = match self.shape {
            Shape::One => 1,
            Shape::Many(records) => records,
        };
        let each = records * (self.record_bytes * 4 / 3 + 60);
        let count = (BYTES / each).clamp(16, 512).next_multiple_of(self.streams);
        (0..count).map(|index| self.request(&mut random, index, records)).collect()
    }

    fn request(&self, random: &mut fastrand::Rng, index: usize, records: usize) -> Request {
        let stream = stream(index % self.streams);
        let mut rows: Vec<String> = (0..records).map(|_| self.row(random)).collect();
        if let Some(first) = rows.first_mut().filter(|_| self.is_marked) {
            *first = row(&format!("{MARK}0000000000"), &data(random, self.record_bytes));
        }
        let (operation, body) = match self.shape {
            Shape::One => {
                let row = rows.concat();
                let fields = row.trim_start_matches('{');
                ("PutRecord", format!("{{\"StreamName\":\"{stream}\",{fields}"))
            }
            Shape::Many(_) => {
                let rows = rows.join(",");
                ("PutRecords", format!("{{\"StreamName\":\"{stream}\",\"Records\":[{rows}]}}"))
            }
        };
        let operation = format!("Kinesis_20131202.{operation}");
        let target = kinesis(&operation);
        let request = target.request(self.key, self.now_ms, body.as_bytes(), records as u64);
        let mark = memmem::find(&request.bytes, MARK.as_bytes()).map(|it| it + MARK.len());
        Request { mark: mark.filter(|_| self.is_marked), ..request }
    }

    fn row(&self, random: &mut fastrand::Rng) -> String {
        row(&format!("key-{:010}", random.u32(..)), &data(random, self.record_bytes))
    }
}

fn row(key: &str, data: &str) -> String {
    format!("{{\"Data\":\"{}\",\"PartitionKey\":\"{key}\"}}", STANDARD.encode(data))
}

const WORDS: &[&str] =
    &["blue", "cotton", "delivery", "express", "gift", "large", "paris", "return", "shirt", "wool"];

/// An event as programs send them: JSON, filled up with words to the length wanted.
fn data(random: &mut fastrand::Rng, bytes: usize) -> String {
    let mut text = format!(
        "{{\"order\":{},\"customer\":\"c{}\",\"total\":{}.{:02},\"note\":\"",
        random.u32(..),
        random.u32(..100_000),
        random.u32(1..500),
        random.u32(..100)
    );
    while text.len() < bytes {
        text.push_str(WORDS.get(random.usize(..WORDS.len())).copied().unwrap_or_default());
        text.push(' ');
    }
    text.truncate(bytes.saturating_sub(2));
    text.push_str("\"}");
    text
}

#[cfg(test)]
mod tests;
