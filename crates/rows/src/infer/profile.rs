//! What was seen of one column: counts that add up over files.

use std::collections::HashSet;

use base::limits::{INFER_DISTINCT_MAX, INFER_EXAMPLES_MAX, INFER_QUOTED_CHARS};
use spec::ColumnType;

use crate::infer::form::{Ways, value_of_comma};
use crate::infer::moments::{Order, Written};

/// One value as its format has it.
#[derive(Debug, Clone, Copy)]
pub enum Cell<'a> {
    /// `null`, or a field that is not there.
    Null,
    /// True or false.
    Bool(bool),
    /// A number, as it is written.
    Number(&'a str),
    /// A text in a format that has numbers too.
    Text(&'a str),
    /// A field in a format that has only text.
    Field(&'a str),
    /// A list or an object, as JSON.
    Nested(&'a str),
}

/// Where a value was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which file of the table, counted from 0.
    pub file: u32,
    /// Which row of the file, counted from 1 without the header.
    pub row: u64,
}

/// How many different values there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Distinct {
    /// So many were told apart.
    pub count: u64,
    /// Whether there may be more: only so many are remembered.
    pub is_cut: bool,
}

/// A value, where it was seen first, and how often if that was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Example {
    pub(crate) value: String,
    pub(crate) place: Place,
    pub(crate) count: u64,
}

/// The values that can be read in the same ways.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) ways: Ways,
    pub(crate) count: u64,
    pub(crate) examples: Vec<Example>,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
    /// The same in the other reading where two are open: the day before the month, the comma before
    /// decimals.
    pub(crate) other: (f64, f64),
    /// Digits after the point: fewest and most.
    pub(crate) decimals: (usize, usize),
    /// Most digits of a value.
    pub(crate) digits: usize,
    /// Whether a value ends in a 0 after its point: the digits are chosen, not left over.
    pub(crate) has_round: bool,
}

/// What was seen of one column.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The column's name.
    pub name: String,
    /// The type that the file declares.
    pub declared: Option<ColumnType>,
    /// What the file says about it beside that, for people.
    pub remark: Option<String>,
    pub(crate) seen: u64,
    pub(crate) nulls: u64,
    pub(crate) missing: u64,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) distinct: HashSet<u64>,
    pub(crate) is_distinct_cut: bool,
    pub(crate) chars: Option<(usize, usize)>,
    pub(crate) range: Option<(String, String)>,
}

impl Profile {
    /// Makes the profile of a column of which nothing was seen.
    pub fn new(name: &str) -> Profile {
        Profile {
            name: name.to_owned(),
            declared: None,
            remark: None,
            seen: 0,
            nulls: 0,
            missing: 0,
            shapes: Vec::new(),
            distinct: HashSet::new(),
            is_distinct_cut: false,
            chars: None,
            range: None,
        }
    }

    /// Makes the profile of a column whose file says its type.
    pub fn declared(name: &str, kind: ColumnType, rows: u64) -> Profile {
        Profile { declared: Some(kind), seen: rows, ..Profile::new(name) }
    }

    /// Says how many of the rows have no value, where the file says it.
    #[must_use]
    pub fn with_nulls(mut self, nulls: Option<u64>) -> Profile {
        self.nulls = nulls.unwrap_or(0);
        self
    }

    /// Says the least and greatest value, where the file says them.
    #[must_use]
    pub fn with_range(mut self, range: Option<(String, String)>) -> Profile {
        self.range = range;
        self
    }

    /// Returns how many rows were looked at.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Counts rows that do not have the column at all.
    pub fn push_missing(&mut self, rows: u64) {
        self.seen += rows;
        self.missing += rows;
    }

    /// Counts a value.
    pub fn push(&mut self, cell: Cell<'_>, row: u64) {
        self.seen += 1;
        let (text, ways, value) = match cell {
            Cell::Null => {
                self.nulls += 1;
                return;
            }
            Cell::Bool(value) => (if value { "true" } else { "false" }, Ways::BOOL, None),
            Cell::Number(text) => {
                let (ways, value) = Ways::of(text);
                (text, ways, value)
            }
            Cell::Field(text) => {
                let text = text.trim();
                let (ways, value) = Ways::of(text);
                (text, ways, value)
            }
            Cell::Text(text) => {
                let trimmed = text.trim();
                let (ways, value) = Ways::of(trimmed);
                (trimmed, ways.or(Ways::QUOTED), value)
            }
            Cell::Nested(json) => (json, Ways::JSON.or(Ways::NESTED), None),
        };
        if text.is_empty() {
            self.nulls += 1;
            return;
        }
        self.note_text(text);
        let place = Place { file: 0, row };
        match self.shapes.iter_mut().find(|it| it.ways == ways) {
            Some(shape) => shape.push(text, value, place),
            None => {
                let mut shape = Shape::new(ways);
                shape.push(text, value, place);
                self.shapes.push(shape);
            }
        }
    }

    fn note_text(&mut self, text: &str) {
        if self.distinct.len() < INFER_DISTINCT_MAX {
            self.distinct.insert(hash(text));
        } else {
            self.is_distinct_cut |= !self.distinct.contains(&hash(text));
        }
        let chars = if text.is_ascii() { text.len() } else { text.chars().count() };
        self.chars = Some(match self.chars {
            None => (chars, chars),
            Some((least, most)) => (least.min(chars), most.max(chars)),
        });
        match &mut self.range {
            None => self.range = Some((shorten(text), shorten(text))),
            Some((least, _)) if text < least.as_str() => *least = shorten(text),
            Some((_, greatest)) if greatest.as_str() < text => *greatest = shorten(text),
            Some(_) => {}
        }
    }

    /// Says which file of the table the values are from.
    pub fn set_file(&mut self, file: u32) {
        for example in self.shapes.iter_mut().flat_map(|it| &mut it.examples) {
            example.place.file = file;
        }
    }

    /// Moves the numbers of the files on, where others come before them.
    pub fn shift_files(&mut self, by: u32) {
        for example in self.shapes.iter_mut().flat_map(|it| &mut it.examples) {
            example.place.file = example.place.file.saturating_add(by);
        }
    }

    /// Adds what was seen of the same column in another file.
    pub fn merge(&mut self, other: Profile) {
        self.seen += other.seen;
        self.nulls += other.nulls;
        self.missing += other.missing;
        self.declared = match (self.declared, other.declared) {
            (Some(a), Some(b)) => Some(wider(a, b)),
            (a, b) => a.or(b),
        };
        if self.remark.is_none() {
            self.remark = other.remark;
        }
        for shape in other.shapes {
            match self.shapes.iter_mut().find(|it| it.ways == shape.ways) {
                Some(known) => known.merge(shape),
                None => self.shapes.push(shape),
            }
        }
        self.is_distinct_cut |= other.is_distinct_cut;
        for value in other.distinct {
            if INFER_DISTINCT_MAX <= self.distinct.len() {
                self.is_distinct_cut |= !self.distinct.contains(&value);
            } else {
                self.distinct.insert(value);
            }
        }
        self.chars = match (self.chars, other.chars) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
        self.range = match (self.range.take(), other.range) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
    }
}

/// Returns the type that holds the values of both.
fn wider(a: ColumnType, b: ColumnType) -> ColumnType {
    use ColumnType::{Date, Decimal, Float, Int, Text, Timestamp};
    match (a, b) {
        (a, b) if a == b => a,
        (Int, Float) | (Float, Int) => Float,
        (Decimal { .. }, Float) | (Float, Decimal { .. }) => Float,
        (Decimal { precision, scale }, Int) | (Int, Decimal { precision, scale }) => {
            let whole = u8::try_from(scale.max(0)).unwrap_or(0) + 19;
            Decimal { precision: precision.max(whole).min(38), scale }
        }
        (Decimal { precision: p, scale: s }, Decimal { precision: q, scale: t }) => {
            let scale = s.max(t);
            let whole = (i16::from(p) - i16::from(s)).max(i16::from(q) - i16::from(t));
            let precision = u8::try_from((whole + i16::from(scale)).clamp(1, 38)).unwrap_or(38);
            Decimal { precision, scale }
        }
        (Date, Timestamp) | (Timestamp, Date) => Timestamp,
        _ => Text,
    }
}

impl Shape {
    fn new(ways: Ways) -> Shape {
        Shape {
            ways,
            count: 0,
            examples: Vec::new(),
            least: f64::INFINITY,
            greatest: f64::NEG_INFINITY,
            other: (f64::INFINITY, f64::NEG_INFINITY),
            decimals: (usize::MAX, 0),
            digits: 0,
            has_round: false,
        }
    }

    fn push(&mut self, text: &str, value: Option<f64>, place: Place) {
        self.count += 1;
        if let Some(value) = value {
            self.least = self.least.min(value);
            self.greatest = self.greatest.max(value);
        }
        let other = if self.ways.is_order_open() {
            let micros = Written::of(text).and_then(|it| it.micros(Order::DayMonthYear));
            micros.map(|it| it as f64)
        } else if self.ways.is_comma_open() {
            value_of_comma(text)
        } else {
            None
        };
        if let Some(value) = other {
            self.other = (self.other.0.min(value), self.other.1.max(value));
        }
        if self.ways.has(Ways::POINT.or(Ways::BIG).or(Ways::THOUSANDS)) {
            let fraction = text.rsplit_once('.').map_or("", |(_, it)| it);
            let (least, most) = self.decimals;
            self.decimals = (least.min(fraction.len()), most.max(fraction.len()));
            self.has_round |= fraction.ends_with('0');
            self.digits = self.digits.max(text.bytes().filter(u8::is_ascii_digit).count());
        }
        let is_counted = self.ways.has(Ways::NOTHING);
        let known = self.examples.iter_mut().find(|it| is_counted && it.value == text);
        if let Some(known) = known {
            known.count += 1;
            return;
        }
        let most = if is_counted { 2 * INFER_EXAMPLES_MAX } else { INFER_EXAMPLES_MAX };
        if self.examples.len() < most {
            self.examples.push(Example { value: shorten(text), place, count: 1 });
        }
    }

    fn merge(&mut self, other: Shape) {
        self.count += other.count;
        self.least = self.least.min(other.least);
        self.greatest = self.greatest.max(other.greatest);
        self.other = (self.other.0.min(other.other.0), self.other.1.max(other.other.1));
        self.decimals =
            (self.decimals.0.min(other.decimals.0), self.decimals.1.max(other.decimals.1));
        self.digits = self.digits.max(other.digits);
        self.has_round |= other.has_round;
        for example in other.examples {
            if let Some(known) = self.examples.iter_mut().find(|it| it.value == example.value) {
                known.count += example.count;
            } else if self.examples.len() < INFER_EXAMPLES_MAX {
                self.examples.push(example);
            }
        }
    }
}

/// FNV-1a: fast on short texts, and a collision only makes one value fewer.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Cuts what is quoted to people.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(INFER_QUOTED_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => {
            let (kept, _cut) = text.split_at(end);
            format!("{kept}…")
        }
    }
}
