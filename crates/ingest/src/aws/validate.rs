//! The constraints of the Kinesis API: all that a request breaks, in one message, as AWS words it.

use std::fmt::Display;

use super::fault::Fault;

pub(crate) mod members;

/// AWS lists no more than this many.
const LISTED_MAX: usize = 10;

/// Collects what a request breaks.
#[derive(Debug, Default)]
pub(crate) struct Constraints {
    broken: Vec<String>,
}

impl Constraints {
    /// Notes that `value` at `member` breaks `constraint`.
    pub(crate) fn fail(&mut self, value: impl Display, member: impl Display, constraint: &str) {
        if self.broken.len() < LISTED_MAX {
            self.broken.push(format!(
                "Value {value} at '{member}' failed to satisfy constraint: Member must {constraint}"
            ));
        }
    }

    /// The member must be there.
    pub(crate) fn required<T: ?Sized>(&mut self, value: Option<&T>, member: impl Display) {
        if value.is_none() {
            self.fail("null", member, "not be null");
        }
    }

    /// The text's length must be in `range`.
    pub(crate) fn length(
        &mut self,
        value: &str,
        member: impl Display,
        range: std::ops::RangeInclusive<usize>,
    ) {
        let count = value.chars().count();
        if count < *range.start() {
            let constraint = format!("have length greater than or equal to {}", range.start());
            self.fail(Quoted(value), member, &constraint);
        } else if *range.end() < count {
            let constraint = format!("have length less than or equal to {}", range.end());
            self.fail(Quoted(value), member, &constraint);
        }
    }

    /// The number must be in `range`.
    pub(crate) fn range(
        &mut self,
        value: i64,
        member: impl Display,
        range: std::ops::RangeInclusive<i64>,
    ) {
        if value < *range.start() {
            let constraint = format!("have value greater than or equal to {}", range.start());
            self.fail(Quoted(value), member, &constraint);
        } else if *range.end() < value {
            let constraint = format!("have value less than or equal to {}", range.end());
            self.fail(Quoted(value), member, &constraint);
        }
    }

    /// A list's or a map's length must be in `range`.
    pub(crate) fn count(
        &mut self,
        count: usize,
        member: impl Display,
        range: std::ops::RangeInclusive<usize>,
    ) {
        let value = if count == 0 { "'[]'" } else { "'[...]'" };
        if count < *range.start() {
            let constraint = format!("have length greater than or equal to {}", range.start());
            self.fail(value, member, &constraint);
        } else if *range.end() < count {
            let constraint = format!("have length less than or equal to {}", range.end());
            self.fail(value, member, &constraint);
        }
    }

    /// The id of a shard, as far as its form goes.
    pub(crate) fn shard_id(&mut self, id: Option<&str>, member: &str) {
        self.required(id, member);
        if let Some(id) = id {
            self.resource_name(id, member);
        }
    }

    /// The name of a consumer.
    pub(crate) fn consumer_name(&mut self, name: Option<&str>) {
        self.required(name, "consumerName");
        if let Some(name) = name {
            self.resource_name(name, "consumerName");
        }
    }

    /// The name of a stream.
    pub(crate) fn stream_name(&mut self, name: &str) {
        self.resource_name(name, "streamName");
    }

    fn resource_name(&mut self, name: &str, member: &str) {
        if name.is_empty() || !name.bytes().all(is_name_byte) {
            let constraint = "satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
            self.fail(Quoted(name), member, constraint);
        }
        self.length(name, member, 1..=128);
    }

    /// A partition key; `member` is where it stands.
    pub(crate) fn partition_key(&mut self, key: Option<&str>, member: impl Display) {
        match key {
            None => self.fail("null", member, "not be null"),
            // The usual case costs no look at each character.
            Some(key) if (1..=64).contains(&key.len()) => {}
            Some(key) => self.length(key, member, 1..=256),
        }
    }

    /// A hash key in decimal, as far as its form goes.
    pub(crate) fn hash_key(&mut self, key: &str, member: impl Display) {
        if !is_decimal(key, 39) {
            let constraint = "satisfy regular expression pattern: 0|([1-9]\\d{0,38})";
            self.fail(Quoted(key), member, constraint);
        }
    }

    /// A sequence number in decimal, as far as its form goes.
    pub(crate) fn sequence_number(&mut self, number: &str, member: impl Display) {
        if !is_decimal(number, 129) {
            let constraint = "satisfy regular expression pattern: 0|([1-9]\\d{0,128})";
            self.fail(Quoted(number), member, constraint);
        }
    }

    /// The value must be one of `allowed`.
    pub(crate) fn one_of(&mut self, value: &str, member: impl Display, allowed: &[&str]) {
        if !allowed.contains(&value) {
            let constraint = format!("satisfy enum value set: [{}]", allowed.join(", "));
            self.fail(Quoted(value), member, &constraint);
        }
    }

    /// Returns whether nothing was broken so far.
    pub(crate) fn is_met(&self) -> bool {
        self.broken.is_empty()
    }

    /// Returns the error that names all that was broken, if anything was.
    pub(crate) fn check(self) -> Result<(), Fault> {
        if self.broken.is_empty() {
            return Ok(());
        }
        let count = self.broken.len();
        let plural = if count == 1 { "" } else { "s" };
        let message =
            format!("{count} validation error{plural} detected: {}", self.broken.join("; "));
        Err(Fault::new("ValidationException", message))
    }
}

/// A value in single quotes, cut so that an answer stays small.
struct Quoted<T>(T);

impl<T: Display> Display for Quoted<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.0.to_string();
        let shown: String = text.chars().take(300).collect();
        write!(f, "'{shown}'")
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

fn is_decimal(text: &str, digits_max: usize) -> bool {
    let is_number = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    is_number && text.len() <= digits_max && (text == "0" || !text.starts_with('0'))
}

#[cfg(test)]
mod tests;
