//! Moments of the calendar, as `cron` says them or in words, in a time zone.
//!
//! Where clocks go forward, a moment that is left out comes when they have; where they go back, one
//! that comes twice counts once, unless the pattern runs each hour.

use std::fmt;

use base::limits;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use spec::{Fault, Word};

/// Moments of the calendar.
pub(crate) struct Cron {
    pattern: croner::Cron,
    zone: TimeZone,
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cron").field(&self.pattern.as_str()).field(&self.zone.iana_name()).finish()
    }
}

/// What a schedule may look like.
const HELP: &str = "write `minute hour day month weekday` as in \"0 2 * * *\", or days and a time as \
                    in \"monday 07:00\"";

/// Days that words may name, and how `cron` does.
const DAYS: &[(&str, &str)] = &[
    ("daily", "*"),
    ("weekdays", "1-5"),
    ("monday", "1"),
    ("tuesday", "2"),
    ("wednesday", "3"),
    ("thursday", "4"),
    ("friday", "5"),
    ("saturday", "6"),
    ("sunday", "0"),
];

/// Finds a time zone by its name.
pub(crate) fn zone(name: &Word) -> Result<TimeZone, Fault> {
    TimeZone::get(name.as_str()).map_err(|_unknown| {
        let help = "write it as `\"Europe/Paris\"` or `\"UTC\"`".to_owned();
        name.fault(format!("there is no time zone `{name}`"), Some(help))
    })
}

impl Cron {
    /// Reads a schedule; one that ends in a time zone has its own.
    pub(crate) fn read(word: &Word, project: TimeZone) -> Result<Cron, Fault> {
        let text = word.text.trim();
        let is_pattern =
            |it: &str| it.starts_with(|sign: char| sign == '*' || sign.is_ascii_digit());
        let (text, zone) = match text.rsplit_once(' ') {
            Some((before, last)) if last.contains('/') && !is_pattern(last) => {
                let last = Word { text: last.to_owned(), spot: word.spot.clone() };
                (before.trim_end(), zone(&last)?)
            }
            Some((before, "UTC")) => (before.trim_end(), TimeZone::UTC),
            _ => (text, project),
        };
        let pattern = in_words(text).unwrap_or_else(|| text.to_owned());
        let pattern = pattern.parse::<croner::Cron>().map_err(|error| {
            let error = error.to_string();
            let error = error.trim_end_matches('.');
            word.fault(format!("`{word}` is no schedule: {error}"), Some(HELP.to_owned()))
        })?;
        let cron = Cron { pattern, zone };
        if cron.next(0).is_none() {
            let message = format!("`{word}` never comes");
            return Err(word.fault(message, Some(HELP.to_owned())));
        }
        Ok(cron)
    }

    /// Returns the first moment after this one.
    pub(crate) fn next(&self, after_ms: u64) -> Option<u64> {
        let next = self.pattern.find_next_occurrence(&self.at(after_ms)?, false).ok()?;
        millis(&next)
    }

    /// Returns the moments after one and up to another, the oldest first; of many, the newest.
    pub(crate) fn between(&self, after_ms: u64, until_ms: u64) -> Vec<u64> {
        let mut found = Vec::new();
        let mut at = self.at(until_ms);
        let mut is_inclusive = true;
        while let Some(from) = at {
            let before = self.pattern.find_previous_occurrence(&from, is_inclusive).ok();
            let moment = before.as_ref().and_then(millis).filter(|it| after_ms < *it);
            let Some(moment) = moment else { break };
            found.push(moment);
            if found.len() == limits::RUNS_MISSED_MAX {
                break;
            }
            (at, is_inclusive) = (before, false);
        }
        found.reverse();
        found
    }

    fn at(&self, ms: u64) -> Option<Zoned> {
        let moment = Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
        Some(moment.to_zoned(self.zone.clone()))
    }
}

fn millis(moment: &Zoned) -> Option<u64> {
    u64::try_from(moment.timestamp().as_millisecond()).ok()
}

/// Writes days and a time in words, such as `monday,friday 07:00`, as a pattern.
fn in_words(text: &str) -> Option<String> {
    let (days, time) = match text.split_once(' ') {
        Some((days, time)) => (days.trim(), time.trim()),
        None => ("daily", text),
    };
    let (hour, minute) = time.split_once(':')?;
    let number = |it: &str| it.parse::<u8>().ok().filter(|_| it.len() <= 2);
    let (hour, minute) = (number(hour)?, number(minute)?);
    let day = |word: &str| {
        let word = word.trim().to_ascii_lowercase();
        DAYS.iter().find(|(it, _)| *it == word).map(|(_, it)| *it)
    };
    let days: Option<Vec<&str>> = days.split(',').map(day).collect();
    Some(format!("{minute} {hour} * * {}", days?.join(",")))
}
