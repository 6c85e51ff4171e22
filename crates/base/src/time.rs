//! The one way to know what time it is, and how long a span is in words.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Tells the time and waits, so that a test can move it.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Returns milliseconds since 1970 in UTC; may jump when the machine's clock is set.
    fn now_ms(&self) -> u64;

    /// Returns the time since some fixed moment; never goes back.
    fn elapsed(&self) -> Duration;

    /// Waits for `span`.
    fn sleep(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// The wall clock.
#[derive(Debug)]
pub struct SystemClock {
    started: std::time::Instant,
}

impl SystemClock {
    /// Starts the clock.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn start() -> Arc<dyn Clock> {
        Arc::new(SystemClock { started: std::time::Instant::now() })
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now_ms(&self) -> u64 {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
        since_epoch.map_or(0, |it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX))
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that waits")]
    fn sleep(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(span))
    }
}

/// A clock that a test moves by hand; `sleep` returns when it was moved far enough.
#[derive(Debug)]
pub struct ManualClock {
    now_ms: AtomicU64,
    started_ms: u64,
    moved: Arc<tokio::sync::Notify>,
}

impl ManualClock {
    /// Makes a clock that stands at `now_ms`.
    pub fn at(now_ms: u64) -> Arc<ManualClock> {
        let moved = Arc::new(tokio::sync::Notify::new());
        Arc::new(ManualClock { now_ms: AtomicU64::new(now_ms), started_ms: now_ms, moved })
    }

    /// Moves the clock forward.
    pub fn advance(&self, span: Duration) {
        let span_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        self.now_ms.fetch_add(span_ms, Ordering::SeqCst);
        self.moved.notify_waiters();
    }
}

impl Clock for Arc<ManualClock> {
    fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.now_ms().saturating_sub(self.started_ms))
    }

    fn sleep(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let clock = Arc::clone(self);
        let until = self.elapsed() + span;
        Box::pin(async move {
            loop {
                let moved = clock.moved.notified();
                if until <= clock.elapsed() {
                    return;
                }
                moved.await;
            }
        })
    }
}

/// A length of time in words: `"10 minutes"`, `"1 hour"`, `"500 ms"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

const SECOND_MS: u64 = 1_000;
const UNITS: &[(&str, u64)] = &[
    ("ms", 1),
    ("millisecond", 1),
    ("second", SECOND_MS),
    ("s", SECOND_MS),
    ("minute", 60 * SECOND_MS),
    ("min", 60 * SECOND_MS),
    ("m", 60 * SECOND_MS),
    ("hour", 3_600 * SECOND_MS),
    ("h", 3_600 * SECOND_MS),
    ("day", 86_400 * SECOND_MS),
    ("d", 86_400 * SECOND_MS),
    ("week", 7 * 86_400 * SECOND_MS),
    ("month", 30 * 86_400 * SECOND_MS),
    ("year", 365 * 86_400 * SECOND_MS),
];

/// The text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a duration; write a number and a unit, for example `\"5 minutes\"`")]
pub struct NotASpan {
    /// What was given.
    pub text: String,
}

impl Span {
    /// Makes a span of milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Span {
        Span(Duration::from_millis(milliseconds))
    }

    /// Returns the span in milliseconds.
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl std::str::FromStr for Span {
    type Err = NotASpan;

    /// Reads one or more pairs of number and unit: `"1 hour 30 minutes"`.
    fn from_str(text: &str) -> Result<Span, NotASpan> {
        let wrong = || NotASpan { text: text.chars().take(64).collect() };
        let mut rest = text.trim();
        let mut total_ms: u64 = 0;
        while !rest.is_empty() {
            let unit_at = rest.find(|it: char| it.is_alphabetic()).ok_or_else(wrong)?;
            let (number, after) = rest.split_at(unit_at);
            let unit_end = after.find(|it: char| !it.is_alphabetic()).unwrap_or(after.len());
            let (unit, after) = after.split_at(unit_end);
            let number: u64 =
                number.trim().parse().map_err(|_not_a_number: std::num::ParseIntError| wrong())?;
            let unit = unit.to_ascii_lowercase();
            let singular = unit.strip_suffix('s').filter(|it| 1 < it.len() && *it != "m");
            let is_unit = |it: &str| it == unit || Some(it) == singular;
            let (_, factor) = UNITS.iter().find(|(it, _)| is_unit(it)).ok_or_else(wrong)?;
            let part_ms = number.checked_mul(*factor).ok_or_else(wrong)?;
            total_ms = total_ms.checked_add(part_ms).ok_or_else(wrong)?;
            rest = after.trim_start();
        }
        if text.trim().is_empty() { Err(wrong()) } else { Ok(Span::from_millis(total_ms)) }
    }
}

impl fmt::Display for Span {
    /// Writes the largest unit that leaves a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total_ms = self.as_millis();
        let fits = |unit: &'static str| {
            let factor = UNITS.iter().find(|(it, _)| *it == unit).map_or(1, |(_, factor)| *factor);
            (factor <= total_ms && total_ms.is_multiple_of(factor))
                .then_some((unit, total_ms / factor))
        };
        match ["day", "hour", "minute", "second", "ms"].into_iter().find_map(fits) {
            None => f.write_str("0 seconds"),
            Some((unit, count)) => {
                write!(f, "{count} {unit}{}", if count == 1 || unit == "ms" { "" } else { "s" })
            }
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Span")
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A length of time in words, for example \"10 minutes\".",
            "pattern": "^(\\s*[0-9]+\\s*(ms|milliseconds?|s|seconds?|m|mins?|minutes?|h|hours?|d|days?|weeks?|months?|years?))+\\s*$",
        })
    }
}

#[cfg(test)]
mod tests;
