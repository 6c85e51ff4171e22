//! The ways in which a value can be written, as a set of bits, and back to the plain way.

use std::borrow::Cow;
use std::fmt;

use crate::infer::moments::{Order, Written};
use crate::{moment, number};

/// Ways in which one value may be read; a value can have several (`1/2/2024`, `1,234`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Ways(pub(crate) u32);

impl Ways {
    pub(crate) const INT: Ways = Ways(1);
    /// Digits that begin with 0: `00501`.
    pub(crate) const ZERO: Ways = Ways(1 << 1);
    /// A whole number beyond 64 bits, of at most 38 digits.
    pub(crate) const BIG: Ways = Ways(1 << 2);
    pub(crate) const POINT: Ways = Ways(1 << 3);
    pub(crate) const EXPONENT: Ways = Ways(1 << 4);
    /// `1.234,56`
    pub(crate) const COMMA: Ways = Ways(1 << 5);
    /// `1,234.56`
    pub(crate) const THOUSANDS: Ways = Ways(1 << 6);
    pub(crate) const BOOL: Ways = Ways(1 << 7);
    pub(crate) const YES_NO: Ways = Ways(1 << 8);
    /// `N/A` and its like.
    pub(crate) const NOTHING: Ways = Ways(1 << 9);
    pub(crate) const JSON: Ways = Ways(1 << 10);
    pub(crate) const PERCENT: Ways = Ways(1 << 11);
    pub(crate) const CURRENCY: Ways = Ways(1 << 12);
    /// In quotes where its format has numbers without.
    pub(crate) const QUOTED: Ways = Ways(1 << 13);
    /// A moment at 0:00 without a zone.
    pub(crate) const MIDNIGHT: Ways = Ways(1 << 14);
    /// `20240131`
    pub(crate) const COMPACT: Ways = Ways(1 << 15);
    /// A list or an object in a format that has them.
    pub(crate) const NESTED: Ways = Ways(1 << 27);
    /// `10:30`
    pub(crate) const CLOCK: Ways = Ways(1 << 16);
    /// A day in the way that records are decoded from; the other orders follow.
    pub(crate) const DATE: Ways = Ways(1 << 17);
    /// A moment in the way that records are decoded from; the other orders follow.
    pub(crate) const STAMP: Ways = Ways(1 << 22);

    pub(crate) const fn or(self, other: Ways) -> Ways {
        Ways(self.0 | other.0)
    }

    pub(crate) fn has(self, any: Ways) -> bool {
        self.0 & any.0 != 0
    }

    /// Whether nothing says which number is the month.
    pub(crate) fn is_order_open(self) -> bool {
        [true, false].into_iter().any(|is_date| {
            self.has(Ways::of_order(Order::MonthDayYear, is_date))
                && self.has(Ways::of_order(Order::DayMonthYear, is_date))
        })
    }

    /// Whether the comma of a number may stand between thousands or before decimals, and the point the
    /// other way round.
    pub(crate) fn is_comma_open(self) -> bool {
        self.has(Ways::COMMA) && self.has(Ways::THOUSANDS.or(Ways::POINT))
    }

    /// The bit of a day or moment in another order than ISO 8601 has.
    pub(crate) fn of_order(order: Order, is_date: bool) -> Ways {
        let base = if is_date { Ways::DATE } else { Ways::STAMP };
        let shift = match order {
            Order::YearMonthDay => 1,
            Order::MonthDayYear => 2,
            Order::DayMonthYear => 3,
            Order::Named => 4,
        };
        Ways(base.0 << shift)
    }

    /// Returns the ways in which a text can be read, and its value to compare with others.
    pub(crate) fn of(text: &str) -> (Ways, Option<f64>) {
        let bytes = text.as_bytes();
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
            return (Ways::default(), None);
        };
        let may_be_number = first.is_ascii_digit() || matches!(first, b'-' | b'+' | b'.');
        if may_be_number && let Some(found) = of_number(text) {
            return found;
        }
        if matches!((first, last), (b'{', b'}') | (b'[', b']')) && is_json(text) {
            return (Ways::JSON, None);
        }
        if bytes.len() <= 9
            && let Some(word) = of_word(text)
        {
            return (word, None);
        }
        let is_sign = |it: &u8| matches!(it, b'%' | b'$') || !it.is_ascii();
        let may_have_unit =
            is_sign(first) || is_sign(last) || last.is_ascii_uppercase() || *first == b'-';
        if may_have_unit && let Some(unit) = of_unit(text) {
            return (unit, None);
        }
        if first.is_ascii_digit() || bytes.iter().any(u8::is_ascii_digit) {
            return of_moment(text);
        }
        (Ways::default(), None)
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

fn of_word(text: &str) -> Option<Ways> {
    const NOTHING: [&str; 22] = [
        "na",
        "n/a",
        "n.a.",
        "null",
        "nil",
        "none",
        "nan",
        "-nan",
        "-",
        "--",
        "?",
        ".",
        "\\n",
        "#n/a",
        "#na",
        "missing",
        "unknown",
        "undefined",
        "inf",
        "-inf",
        "(null)",
        "<na>",
    ];
    let mut lower = [0; 9];
    let lower = lower.get_mut(..text.len())?;
    lower.copy_from_slice(text.as_bytes());
    lower.make_ascii_lowercase();
    match &*lower {
        b"true" | b"false" => Some(Ways::BOOL),
        b"yes" | b"no" | b"y" | b"n" | b"t" | b"f" => Some(Ways::YES_NO),
        it if NOTHING.iter().any(|word| word.as_bytes() == it) => Some(Ways::NOTHING),
        _ => None,
    }
}

/// Numbers in all ways; nothing if it is none.
fn of_number(text: &str) -> Option<(Ways, Option<f64>)> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let bytes = unsigned.as_bytes();
    let digits = bytes.iter().filter(|it| it.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    if digits == bytes.len() {
        if 1 < digits && bytes.first() == Some(&b'0') {
            return Some((Ways::ZERO, None));
        }
        let Ok(value) = number::parse_int(text) else {
            return (digits <= 38).then_some((Ways::BIG, text.parse().ok()));
        };
        let is_day = digits == 8 && unsigned.len() == text.len() && is_compact_day(unsigned);
        let ways = if is_day { Ways::INT.or(Ways::COMPACT) } else { Ways::INT };
        return Some((ways, Some(value as f64)));
    }
    let is_plain = bytes.iter().all(|it| it.is_ascii_digit() || *it == b'.');
    let (commas, points) = (count(bytes, b','), count(bytes, b'.'));
    if is_plain && points == 1 {
        let ways = if has_groups(unsigned, '.', None) && !unsigned.starts_with('0') {
            Ways::POINT.or(Ways::COMMA)
        } else {
            Ways::POINT
        };
        return Some((ways, number::parse_float(text).ok()));
    }
    if !bytes.iter().all(|it| it.is_ascii_digit() || matches!(it, b'.' | b',')) {
        let is_exponent = bytes.iter().any(|it| matches!(it, b'e' | b'E'));
        let value = is_exponent.then(|| number::parse_float(text).ok()).flatten();
        return value.map(|it| (Ways::EXPONENT, Some(it)));
    }
    let mut ways = Ways::default();
    if has_groups(unsigned, ',', Some('.')) {
        ways = ways.or(Ways::THOUSANDS);
    }
    let is_comma = commas == 1 && points == 0 && !unsigned.starts_with(',');
    if is_comma || has_groups(unsigned, '.', Some(',')) {
        ways = ways.or(Ways::COMMA);
    }
    let value =
        if ways.has(Ways::THOUSANDS) { text.replace(',', "") } else { plain_of_comma(text) };
    (ways != Ways::default()).then(|| (ways, value.parse().ok()))
}

fn count(bytes: &[u8], wanted: u8) -> usize {
    bytes.iter().filter(|it| **it == wanted).count()
}

fn plain_of_comma(text: &str) -> String {
    text.replace('.', "").replace(',', ".")
}

/// Returns the value of a number whose comma stands before decimals.
pub(crate) fn value_of_comma(text: &str) -> Option<f64> {
    plain_of_comma(text).parse().ok()
}

/// Whether digits stand in groups of three, as in `1,234,567.8`.
fn has_groups(unsigned: &str, group: char, point: Option<char>) -> bool {
    let (whole, fraction) = match point.and_then(|it| unsigned.split_once(it)) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (unsigned, None),
    };
    if fraction.is_some_and(|it| it.is_empty() || !it.bytes().all(|it| it.is_ascii_digit())) {
        return false;
    }
    let mut groups = whole.split(group);
    let first = groups.next().unwrap_or_default();
    let mut count = 0;
    let are_groups = groups.all(|it| {
        count += 1;
        it.len() == 3 && it.bytes().all(|it| it.is_ascii_digit())
    });
    are_groups && 0 < count && (1..=3).contains(&first.len()) && !first.starts_with('0')
}

fn is_compact_day(digits: &str) -> bool {
    let (year, rest) = digits.split_at(4);
    let (month, day) = rest.split_at(2);
    ("1900".."2101").contains(&year) && moment::parse_date(&format!("{year}-{month}-{day}")).is_ok()
}

fn of_unit(text: &str) -> Option<Ways> {
    const SIGNS: [char; 5] = ['$', '€', '£', '¥', '₹'];
    let is_number = |it: &str| of_number(it.trim()).is_some();
    if let Some(before) = text.strip_suffix('%') {
        return is_number(before).then_some(Ways::PERCENT);
    }
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let inner =
        unsigned.strip_prefix(SIGNS).or_else(|| unsigned.strip_suffix(SIGNS)).or_else(|| {
            ["USD", "EUR", "GBP", "CHF", "JPY"].iter().find_map(|it| unsigned.strip_suffix(it))
        });
    is_number(inner?).then_some(Ways::CURRENCY)
}

fn of_moment(text: &str) -> (Ways, Option<f64>) {
    if is_clock(text) {
        return (Ways::CLOCK, None);
    }
    if let Ok(days) = moment::parse_date(text) {
        return (Ways::DATE, Some(f64::from(days) * 86_400e6));
    }
    let plain = moment::parse_timestamp(text).ok();
    let written = Written::of(text);
    if let Some(micros) = plain {
        let is_midnight = written.is_some_and(|it| it.is_midnight());
        let ways = if is_midnight { Ways::STAMP.or(Ways::MIDNIGHT) } else { Ways::STAMP };
        return (ways, Some(micros as f64));
    }
    let Some(written) = written else { return (Ways::default(), None) };
    let mut ways = Ways::default();
    let mut value = None;
    for order in written.orders() {
        ways = ways.or(Ways::of_order(order, !written.has_time()));
        value = value.or_else(|| written.micros(order));
    }
    if ways != Ways::default() && written.is_midnight() {
        ways = ways.or(Ways::MIDNIGHT);
    }
    (ways, value.map(|it| it as f64))
}

fn is_clock(text: &str) -> bool {
    let mut parts = text.split(':');
    let is_part = |it: Option<&str>, most: u32| {
        it.is_some_and(|it| {
            (1..=2).contains(&it.len()) && it.parse::<u32>().is_ok_and(|it| it < most)
        })
    };
    is_part(parts.next(), 24)
        && is_part(parts.next(), 60)
        && parts.next().is_none_or(|it| {
            let whole = it.split('.').next();
            is_part(whole, 60)
        })
        && parts.next().is_none()
}

/// How the values of a column are written, where its type alone does not say it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Form {
    /// As records are decoded: nothing is to be done.
    #[default]
    Plain,
    /// With commas between the thousands: `1,234.56`.
    Thousands,
    /// With a comma before the decimals: `1.234,56`.
    DecimalComma,
    /// As eight digits: `20240131`.
    CompactDay,
    /// In the parts' order; the pattern is for people.
    Moment {
        /// What comes first.
        order: Order,
        /// `MM/DD/YYYY`
        pattern: String,
    },
    /// Days and moments in one column, or moments that are all at 0:00.
    DayOrMoment,
}

impl Form {
    /// Writes a value in the plain way, as `is_date` or as a moment where it is either; a text that
    /// is not in this form stays what it is, and its column refuses it.
    pub fn plain<'a>(&self, text: &'a str, is_date: bool) -> Cow<'a, str> {
        let trimmed = text.trim();
        let written = match self {
            Form::Plain => None,
            Form::Thousands => has_groups(trimmed.trim_start_matches(['-', '+']), ',', Some('.'))
                .then(|| trimmed.replace(',', "")),
            Form::DecimalComma => of_number(trimmed)
                .filter(|(ways, _)| ways.has(Ways::COMMA))
                .map(|_| plain_of_comma(trimmed)),
            Form::CompactDay => (trimmed.len() == 8 && trimmed.is_ascii()).then(|| {
                let (year, rest) = trimmed.split_at(4);
                let (month, day) = rest.split_at(2);
                format!("{year}-{month}-{day}")
            }),
            Form::Moment { order, .. } => {
                Written::of(trimmed).and_then(|it| it.normal(*order, is_date))
            }
            Form::DayOrMoment => {
                Written::of(trimmed).and_then(|it| it.normal(Order::YearMonthDay, is_date))
            }
        };
        written.map_or(Cow::Borrowed(text), Cow::Owned)
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Form::Plain => Ok(()),
            Form::Thousands => f.write_str("written like 1,234.56"),
            Form::DecimalComma => f.write_str("written like 1.234,56"),
            Form::CompactDay => f.write_str("written as YYYYMMDD"),
            Form::Moment { pattern, .. } => write!(f, "written as {pattern}"),
            Form::DayOrMoment => f.write_str("with and without a time of day"),
        }
    }
}

/// Whether a text is written like a number, a day, a moment, or a truth value. `n` and `no` are names
/// of columns as well.
pub(crate) fn looks_like_a_value(text: &str) -> bool {
    let (ways, _) = Ways::of(text);
    if ways.has(Ways::NOTHING) {
        return text.len() < 5;
    }
    ways != Ways::default() && !ways.has(Ways::JSON.or(Ways::YES_NO))
}
