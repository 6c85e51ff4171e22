//! Reads and writes moments and days: RFC 3339, and the plain forms that databases write.

use std::fmt::Write;

const MICROS_A_SECOND: i64 = 1_000_000;
const SECONDS_A_DAY: i64 = 86_400;

/// What to write, for messages.
pub(crate) const TIMESTAMP_EXAMPLE: &str = "write RFC 3339, for example \"2026-01-05T10:00:00Z\"";
/// What to write, for messages.
pub(crate) const DATE_EXAMPLE: &str = "write a day like \"2026-01-05\"";

/// Why a text is not a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MomentFault {
    /// It is written in another way.
    Form,
    /// It is no day or time of the calendar, like February 30 or 25 o'clock.
    Calendar,
    /// It has nanoseconds, which a timestamp cannot hold.
    TooFine,
}

/// Reads a moment as microseconds since 1970 in UTC.
///
/// Taken are RFC 3339 and `YYYY-MM-DD[ T]HH:MM[:SS[.f]]` without an offset, which is UTC. As
/// PostgreSQL does, a leap second is the second after it.
pub(crate) fn parse_timestamp(text: &str) -> Result<i64, MomentFault> {
    let text = text.as_bytes();
    if let Some(micros) = parse_usual(text) {
        return Ok(micros);
    }
    let mut reader = Reader { rest: text };
    let days = reader.date()?;
    if !reader.take_any(b"Tt ") {
        return Err(MomentFault::Form);
    }
    let (hour, minute) = (reader.number(2)?, {
        reader.expect(b':')?;
        reader.number(2)?
    });
    let second = if reader.take_any(b":") { reader.number(2)? } else { 0 };
    let micros = if reader.take_any(b".,") { reader.fraction()? } else { 0 };
    let offset = reader.offset()?;
    if !reader.rest.is_empty() {
        return Err(MomentFault::Form);
    }
    if 23 < hour || 59 < minute || 60 < second {
        return Err(MomentFault::Calendar);
    }
    let of_day = hour * 3_600 + minute * 60 + second;
    let utc = days * SECONDS_A_DAY + of_day - offset * 60;
    // A leap second is only ever the last second of a day in UTC, and counts as the next one.
    if second == 60 && utc.rem_euclid(SECONDS_A_DAY) != 0 {
        return Err(MomentFault::Calendar);
    }
    Ok(utc * MICROS_A_SECOND + micros)
}

/// Reads `YYYY-MM-DDTHH:MM:SS[.fff[fff]]Z` without a look at what else it could be.
fn parse_usual(text: &[u8]) -> Option<i64> {
    let (
        &[y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', n0, n1, b':', s0, s1],
        rest,
    ) = text.split_first_chunk::<19>()?
    else {
        return None;
    };
    let two = |tens: u8, ones: u8| {
        let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
        (tens <= 9 && ones <= 9).then(|| i64::from(tens * 10 + ones))
    };
    let micros = match rest {
        [b'Z'] => 0,
        [b'.', a, b, c, b'Z'] => (two(b'0', *a)? * 100 + two(*b, *c)?) * 1_000,
        [b'.', a, b, c, d, e, f, b'Z'] => (two(*a, *b)? * 100 + two(*c, *d)?) * 100 + two(*e, *f)?,
        _ => return None,
    };
    let (hour, minute, second) = (two(h0, h1)?, two(n0, n1)?, two(s0, s1)?);
    let days = days_of(two(y0, y1)? * 100 + two(y2, y3)?, two(m0, m1)?, two(d0, d1)?)?;
    (hour <= 23 && minute <= 59 && second <= 59).then(|| {
        let seconds = days * SECONDS_A_DAY + hour * 3_600 + minute * 60 + second;
        seconds * MICROS_A_SECOND + micros
    })
}

/// Reads `YYYY-MM-DD` as days since 1970.
pub(crate) fn parse_date(text: &str) -> Result<i32, MomentFault> {
    let mut reader = Reader { rest: text.as_bytes() };
    let days = reader.date()?;
    if reader.rest.is_empty() {
        i32::try_from(days).map_err(|_too_far: std::num::TryFromIntError| MomentFault::Calendar)
    } else {
        Err(MomentFault::Form)
    }
}

/// What is left of a text.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn date(&mut self) -> Result<i64, MomentFault> {
        let year = self.number(4)?;
        self.expect(b'-')?;
        let month = self.number(2)?;
        self.expect(b'-')?;
        let day = self.number(2)?;
        days_of(year, month, day).ok_or(MomentFault::Calendar)
    }

    /// Takes exactly `count` digits.
    fn number(&mut self, count: usize) -> Result<i64, MomentFault> {
        let (digits, rest) = self.rest.split_at_checked(count).ok_or(MomentFault::Form)?;
        self.rest = rest;
        digits.iter().try_fold(0, |value, digit| match digit {
            b'0'..=b'9' => Ok(value * 10 + i64::from(digit - b'0')),
            _ => Err(MomentFault::Form),
        })
    }

    /// Takes the digits after the point; those below a microsecond must be zero.
    fn fraction(&mut self) -> Result<i64, MomentFault> {
        let mut micros = 0;
        let mut unit = MICROS_A_SECOND;
        let mut count = 0;
        while let Some((digit @ b'0'..=b'9', rest)) = self.rest.split_first() {
            unit /= 10;
            micros += i64::from(digit - b'0') * unit;
            if unit == 0 && *digit != b'0' {
                return Err(MomentFault::TooFine);
            }
            self.rest = rest;
            count += 1;
        }
        if count == 0 { Err(MomentFault::Form) } else { Ok(micros) }
    }

    /// Takes `Z`, `+HH:MM`, `+HHMM`, `+HH` or nothing, as minutes.
    fn offset(&mut self) -> Result<i64, MomentFault> {
        // PostgreSQL and others leave a space before it.
        let _was_there = self.rest.len() != 1 && self.take_any(b" ");
        if self.rest.is_empty() || self.take_any(b"Zz") {
            return Ok(0);
        }
        let is_west = self.rest.first() == Some(&b'-');
        if !self.take_any(b"+-") {
            return Err(MomentFault::Form);
        }
        let hours = self.number(2)?;
        let has_minutes = self.take_any(b":") || !self.rest.is_empty();
        let minutes = if has_minutes { self.number(2)? } else { 0 };
        if 23 < hours || 59 < minutes {
            return Err(MomentFault::Calendar);
        }
        let offset = hours * 60 + minutes;
        Ok(if is_west { -offset } else { offset })
    }

    fn expect(&mut self, byte: u8) -> Result<(), MomentFault> {
        if self.take_any(&[byte]) { Ok(()) } else { Err(MomentFault::Form) }
    }

    fn take_any(&mut self, bytes: &[u8]) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if bytes.contains(first) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }
}

/// Returns the days from 1970-01-01 to a day of the Gregorian calendar, if there is such a day.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(is_leap),
        _ => return None,
    };
    if day < 1 || month_days < day {
        return None;
    }
    // Years begin in March here, so that the leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let century = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(century * 146_097 + day_of_era - 719_468)
}

/// Returns year, month and day of a day counted from 1970-01-01.
fn day_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Writes `2026-01-05`.
pub(crate) fn write_date(days: i64, out: &mut String) {
    let (year, month, day) = day_of(days);
    // Years beyond four digits have a sign, as ISO 8601 demands.
    let written = match year {
        0..=9_999 => write!(out, "{year:04}-{month:02}-{day:02}"),
        _ => write!(out, "{year:+05}-{month:02}-{day:02}"),
    };
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
}

/// Writes `2026-01-05T10:00:00Z`, with a fraction only if there is one: `.5`, `.000001`.
///
/// `value` counts from 1970 in units of which a second has `10^digits`.
pub(crate) fn write_timestamp(value: i64, digits: u32, out: &mut String) {
    let units = 10_i64.pow(digits.min(9));
    let seconds = value.div_euclid(units);
    let fraction = value.rem_euclid(units);
    write_date(seconds.div_euclid(SECONDS_A_DAY), out);
    let of_day = seconds.rem_euclid(SECONDS_A_DAY);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let written = write!(out, "T{hour:02}:{minute:02}:{second:02}");
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
    if fraction != 0 {
        let width = usize::try_from(digits).unwrap_or(0);
        let digits = format!("{fraction:0width$}");
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
    out.push('Z');
}

#[cfg(test)]
mod tests;
