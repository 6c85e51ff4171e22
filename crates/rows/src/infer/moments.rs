//! Moments and days as people and programs write them beside ISO 8601.

use crate::moment;

/// In which order the parts of a day are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Order {
    /// `2024-01-31`
    YearMonthDay,
    /// `01/31/2024`
    MonthDayYear,
    /// `31/01/2024`
    DayMonthYear,
    /// `Jan 31 2024`: the month has a name, so nothing can be mixed up.
    Named,
}

/// A text taken apart; which number is the month may still be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    numbers: [u32; 3],
    /// How many digits each number has.
    digits: [usize; 3],
    /// The month by its name, then it is no number.
    month: Option<u32>,
    separator: u8,
    time: Option<Time>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Time {
    seconds: u32,
    micros: u32,
    /// Minutes east of UTC, if the text says so.
    offset: Option<i32>,
}

/// Characters of the longest moment that is looked at.
const MOMENT_CHARS_MAX: usize = 44;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

impl Written {
    /// Takes a text apart if it looks like a day, with or without a time.
    pub(crate) fn of(text: &str) -> Option<Written> {
        let bytes = text.as_bytes();
        if bytes.len() < 6 || MOMENT_CHARS_MAX < bytes.len() || !text.is_ascii() {
            return None;
        }
        let mut reader = Reader { rest: bytes };
        reader.weekday();
        if reader.rest.first().is_some_and(u8::is_ascii_alphabetic) {
            reader.month_first()
        } else {
            reader.number_first()
        }
    }

    pub(crate) fn has_time(&self) -> bool {
        self.time.is_some()
    }

    /// Whether the time is 0:00 and no zone is said: only the day matters.
    pub(crate) fn is_midnight(&self) -> bool {
        self.time.is_some_and(|it| it.seconds == 0 && it.micros == 0 && it.offset.is_none())
    }

    /// The orders in which it is a day of the calendar.
    pub(crate) fn orders(&self) -> impl Iterator<Item = Order> + '_ {
        const ALL: [Order; 4] =
            [Order::YearMonthDay, Order::MonthDayYear, Order::DayMonthYear, Order::Named];
        ALL.into_iter().filter(|it| self.day(*it).is_some())
    }

    /// The day as year, month and day.
    fn day(&self, order: Order) -> Option<(u32, u32, u32)> {
        let [a, b, c] = self.numbers;
        let [a_digits, b_digits, c_digits] = self.digits;
        let (year, year_digits, month, day) = match (order, self.month) {
            (Order::Named, Some(month)) => (b, b_digits, month, a),
            (Order::Named, None) | (_, Some(_)) => return None,
            (Order::YearMonthDay, None) if a_digits == 4 && b_digits <= 2 && c_digits <= 2 => {
                (a, a_digits, b, c)
            }
            (Order::MonthDayYear, None) if a_digits <= 2 && b_digits <= 2 => (c, c_digits, a, b),
            (Order::DayMonthYear, None) if a_digits <= 2 && b_digits <= 2 => (c, c_digits, b, a),
            _ => return None,
        };
        let year = match year_digits {
            4 => year,
            // As POSIX reads them. Two digits between points or dashes are versions and codes.
            2 if self.separator == b'/' || self.month.is_some() => {
                year + if year < 69 { 2_000 } else { 1_900 }
            }
            _ => return None,
        };
        ((1..=12).contains(&month) && (1..=days_of_month(year, month)).contains(&day))
            .then_some((year, month, day))
    }

    /// Writes it in the way that records are decoded from, `2024-01-31T10:00:00Z`.
    pub(crate) fn normal(&self, order: Order, is_date: bool) -> Option<String> {
        let (year, month, day) = self.day(order)?;
        let date = format!("{year:04}-{month:02}-{day:02}");
        if is_date {
            return (self.time.is_none() || self.is_midnight()).then_some(date);
        }
        let Time { seconds, micros, offset } =
            self.time.unwrap_or(Time { seconds: 0, micros: 0, offset: None });
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let offset = offset.unwrap_or(0);
        let sign = if offset < 0 { '-' } else { '+' };
        let (zone_hour, zone_minute) = (offset.abs() / 60, offset.abs() % 60);
        Some(format!(
            "{date}T{hour:02}:{minute:02}:{second:02}.{micros:06}{sign}{zone_hour:02}:{zone_minute:02}"
        ))
    }

    /// The moment in microseconds since 1970, to compare with others.
    pub(crate) fn micros(&self, order: Order) -> Option<i64> {
        moment::parse_timestamp(&self.normal(order, false)?).ok()
    }

    /// The pattern it follows, to show to people.
    pub(crate) fn pattern(&self, order: Order) -> String {
        let sep = char::from(self.separator);
        let year = |index: usize| if self.digits[index] == 4 { "YYYY" } else { "YY" };
        let mut pattern = match order {
            Order::YearMonthDay => format!("YYYY{sep}MM{sep}DD"),
            Order::MonthDayYear => format!("MM{sep}DD{sep}{}", year(2)),
            Order::DayMonthYear => format!("DD{sep}MM{sep}{}", year(2)),
            Order::Named if self.digits[2] == 1 => format!("Mon DD {}", year(1)),
            Order::Named => format!("DD{sep}Mon{sep}{}", year(1)),
        };
        if let Some(time) = &self.time {
            pattern += " HH:MM";
            if time.seconds % 60 != 0 || time.micros != 0 {
                pattern += ":SS";
            }
        }
        pattern
    }
}

fn days_of_month(year: u32, month: u32) -> u32 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(is_leap),
        _ => 31,
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    /// Passes `Mon, ` and its like.
    fn weekday(&mut self) {
        let before = self.rest;
        let is_day = self.word().is_some_and(|it| is_short_of(&it, &WEEKDAYS).is_some());
        if is_day && (self.take(b',') | self.take(b' ')) {
            while self.take(b' ') {}
        } else {
            self.rest = before;
        }
    }

    /// `Jan 31 2024`, `January 31, 2024`, `Jan-31-2024`.
    fn month_first(mut self) -> Option<Written> {
        let word = self.word()?;
        let month = is_short_of(&word, &MONTHS)?;
        let _point = self.take(b'.');
        let separator = self.separator(b" -")?;
        while self.take(b' ') {}
        let (day, day_digits) = self.number()?;
        let has_comma = self.take(b',');
        if !self.take(b' ') && !self.take(separator) && !has_comma {
            return None;
        }
        let (year, year_digits) = self.number()?;
        let time = self.time()?;
        (day_digits <= 2).then_some(Written {
            numbers: [day, year, 0],
            digits: [day_digits, year_digits, 1],
            month: Some(month),
            separator,
            time,
        })
    }

    /// `31/01/2024`, `2024.01.31`, `31 Jan 2024`, `31-Jan-24`.
    fn number_first(mut self) -> Option<Written> {
        let (a, a_digits) = self.number()?;
        let separator = self.separator(b"/-. ")?;
        if self.rest.first().is_some_and(u8::is_ascii_alphabetic) {
            let month = is_short_of(&self.word()?, &MONTHS)?;
            if !self.take(separator) && !self.take(b' ') {
                return None;
            }
            let (year, year_digits) = self.number()?;
            let time = self.time()?;
            return (a_digits <= 2).then_some(Written {
                numbers: [a, year, 0],
                digits: [a_digits, year_digits, 0],
                month: Some(month),
                separator,
                time,
            });
        }
        if separator == b' ' {
            return None;
        }
        let (b, b_digits) = self.number()?;
        if !self.take(separator) {
            return None;
        }
        let (c, c_digits) = self.number()?;
        let time = self.time()?;
        Some(Written {
            numbers: [a, b, c],
            digits: [a_digits, b_digits, c_digits],
            month: None,
            separator,
            time,
        })
    }

    /// Reads what follows the day: nothing, or a time; `None` if it is neither.
    fn time(&mut self) -> Option<Option<Time>> {
        if self.rest.is_empty() {
            return Some(None);
        }
        let _gap = self.take(b',');
        if !(self.take(b' ') | self.take(b'T') | self.take(b':')) {
            return None;
        }
        let (hour, _) = self.number()?;
        if !self.take(b':') {
            return None;
        }
        let (minute, minute_digits) = self.number()?;
        let (second, micros) = if self.take(b':') { self.seconds()? } else { (0, 0) };
        let hour = self.half_day(hour)?;
        let offset = self.zone()?;
        let is_time = hour < 24 && minute < 60 && minute_digits == 2 && second < 60;
        (is_time && self.rest.is_empty()).then_some(Some(Time {
            seconds: hour * 3_600 + minute * 60 + second,
            micros,
            offset,
        }))
    }

    fn seconds(&mut self) -> Option<(u32, u32)> {
        let (second, _) = self.number()?;
        let mut micros = 0;
        if self.take(b'.') || self.take(b',') {
            let mut unit = 1_000_000;
            while let Some((digit @ b'0'..=b'9', rest)) = self.rest.split_first() {
                unit /= 10;
                micros += u32::from(digit - b'0') * unit;
                self.rest = rest;
            }
        }
        Some((second, micros))
    }

    /// Reads `AM` and `PM`.
    fn half_day(&mut self, hour: u32) -> Option<u32> {
        let before = self.rest;
        let _gap = self.take(b' ');
        let word = self.word().unwrap_or_default();
        match word.as_str() {
            "am" | "pm" if !(1..=12).contains(&hour) => None,
            "am" => Some(hour % 12),
            "pm" => Some(hour % 12 + 12),
            _ => {
                self.rest = before;
                Some(hour)
            }
        }
    }

    /// Reads `Z`, `UTC`, `GMT`, `+01:00`, `-0700`, or nothing; `None` if it is something else.
    fn zone(&mut self) -> Option<Option<i32>> {
        while self.take(b' ') {}
        if self.rest.is_empty() {
            return Some(None);
        }
        if let Some(word) = self.word() {
            return matches!(word.as_str(), "z" | "utc" | "gmt").then_some(Some(0));
        }
        let sign = if self.take(b'-') {
            -1
        } else if self.take(b'+') {
            1
        } else {
            return None;
        };
        let (number, digits) = self.number()?;
        let (hours, minutes) = match digits {
            4 => (number / 100, number % 100),
            1 | 2 if self.take(b':') => (number, self.number()?.0),
            1 | 2 => (number, 0),
            _ => return None,
        };
        let minutes = i32::try_from(hours * 60 + minutes).ok().filter(|it| *it < 24 * 60)?;
        Some(Some(sign * minutes))
    }

    fn word(&mut self) -> Option<String> {
        let end = self.rest.iter().position(|it| !it.is_ascii_alphabetic());
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        if word.is_empty() || 9 < word.len() {
            return None;
        }
        self.rest = rest;
        Some(word.iter().map(|it| char::from(it.to_ascii_lowercase())).collect())
    }

    /// Reads one to four digits.
    fn number(&mut self) -> Option<(u32, usize)> {
        let (mut value, mut digits) = (0, 0);
        while let Some((digit @ b'0'..=b'9', rest)) = self.rest.split_first() {
            value = value * 10 + u32::from(digit - b'0');
            digits += 1;
            if 4 < digits {
                return None;
            }
            self.rest = rest;
        }
        (0 < digits).then_some((value, digits))
    }

    fn separator(&mut self, known: &[u8]) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        known.contains(first).then(|| {
            self.rest = rest;
            *first
        })
    }

    fn take(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }
}

/// Returns which of `names` a word is or shortens to three letters, counted from 1.
fn is_short_of(word: &str, names: &[&str]) -> Option<u32> {
    let is_it = |name: &&str| {
        **name == *word
            || (word.len() == 3 && name.starts_with(word))
            || (word == "sept" && name.starts_with(word))
    };
    names.iter().position(is_it).and_then(|it| u32::try_from(it + 1).ok())
}
