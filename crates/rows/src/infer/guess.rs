//! Decides on a column's type by what was seen of it, and says why.

use spec::ColumnType;

use crate::infer::form::{Form, Ways};
use crate::infer::moments::{Order, Written};
use crate::infer::profile::{Distinct, Place, Profile, Shape};
use crate::moment;

/// What a column seems to be.
#[derive(Debug, Clone)]
pub struct Guess {
    /// Its name.
    pub name: String,
    /// The narrowest type that holds.
    pub kind: ColumnType,
    /// How its values are written.
    pub form: Form,
    /// Why.
    pub evidence: Evidence,
}

/// Which number of a date such as `01/04/2024` comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateOrder {
    /// The first of April.
    DayFirst,
    /// The fourth of January.
    MonthFirst,
}

impl DateOrder {
    fn order(self) -> Order {
        match self {
            DateOrder::DayFirst => Order::DayMonthYear,
            DateOrder::MonthFirst => Order::MonthDayYear,
        }
    }
}

/// What a guess rests on.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Rows looked at.
    pub seen: u64,
    /// Rows without a value: null, empty, or without the column.
    pub nulls: u64,
    /// Rows without the column.
    pub missing: u64,
    /// Words that stand for NULL in a column of another type than text, and how often.
    pub markers: Vec<(String, u64)>,
    /// How many different values.
    pub distinct: Option<Distinct>,
    /// The least and the greatest value.
    pub range: Option<(String, String)>,
    /// The fewest and most characters.
    pub chars: Option<(usize, usize)>,
    /// How many values are not of the type.
    pub exceptions: u64,
    /// Some of them.
    pub examples: Vec<Exception>,
    /// Whether the file itself says the type.
    pub is_declared: bool,
    /// What else a person should know.
    pub notes: Vec<String>,
    /// Which of day and month comes first, if a value decided it.
    pub dates: Option<DateOrder>,
}

/// A value that is not of the column's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// Where it was seen first.
    pub place: Place,
    /// The value.
    pub value: String,
}

/// One per cent of the values may be exceptions, but not of a few: one in ten is no accident.
const EXCEPTION_SHARE: u64 = 100;

impl Guess {
    /// Guesses by what was seen.
    pub fn of(profile: &Profile) -> Guess {
        Guess::with_dates(profile, None)
    }

    /// Guesses by what was seen, where it is known which of day and month comes first: a value in
    /// the other order is then no date.
    pub fn with_dates(profile: &Profile, dates: Option<DateOrder>) -> Guess {
        let mut evidence = Evidence {
            seen: profile.seen,
            nulls: profile.nulls + profile.missing,
            missing: profile.missing,
            chars: profile.chars,
            range: profile.range.clone(),
            is_declared: profile.declared.is_some(),
            notes: profile.remark.iter().cloned().collect(),
            ..Evidence::default()
        };
        if !profile.shapes.is_empty() {
            let count = profile.distinct.len() as u64;
            evidence.distinct = Some(Distinct { count, is_cut: profile.is_distinct_cut });
        }
        let (kind, form) = match profile.declared {
            Some(kind) => (kind, Form::Plain),
            None => decide(profile, dates, &mut evidence),
        };
        Guess { name: profile.name.clone(), kind, form, evidence }
    }

    /// Returns the type to declare where records are decoded without a look at how they are
    /// written: text, if the values are not written in the plain way.
    pub fn plain_kind(&self) -> ColumnType {
        if self.form == Form::Plain { self.kind } else { ColumnType::Text }
    }

    /// Returns whether all values that were seen differ and none is missing.
    pub fn is_unique(&self) -> bool {
        let Evidence { seen, nulls, distinct, .. } = &self.evidence;
        1 < *seen && *nulls == 0 && distinct.is_some_and(|it| !it.is_cut && it.count == *seen)
    }
}

/// A type, the ways in which its values may be written, and the form they then have.
struct Candidate {
    ways: Ways,
    kind: ColumnType,
    form: Form,
}

impl Candidate {
    fn is_in(&self, of: Order) -> bool {
        matches!(&self.form, Form::Moment { order, .. } if *order == of)
    }
}

fn decide(
    profile: &Profile,
    dates: Option<DateOrder>,
    evidence: &mut Evidence,
) -> (ColumnType, Form) {
    let values: Vec<&Shape> =
        profile.shapes.iter().filter(|it| !it.ways.has(Ways::NOTHING)).collect();
    let total: u64 = values.iter().map(|it| it.count).sum();
    let words: Vec<&Shape> =
        profile.shapes.iter().filter(|it| it.ways.has(Ways::NOTHING)).collect();
    if total == 0 {
        let note =
            if words.is_empty() { "no value was seen" } else { "only words for nothing were seen" };
        evidence.notes.push(note.to_owned());
        return (ColumnType::Text, Form::Plain);
    }
    if values.iter().any(|it| it.ways.has(Ways::NESTED)) {
        let others: u64 =
            values.iter().filter(|it| !it.ways.has(Ways::NESTED)).map(|it| it.count).sum();
        if 0 < others {
            evidence.notes.push(format!("{others} of {total} values are no list or object"));
        }
        return (ColumnType::Json, Form::Plain);
    }
    let held = |it: &Candidate| {
        values.iter().filter(|shape| shape.ways.has(it.ways)).map(|it| it.count).sum::<u64>()
    };
    let candidates = candidates(profile, dates, &values);
    let is_enough =
        |it: &&Candidate| (total - held(it)) * EXCEPTION_SHARE <= total && EXCEPTION_SHARE <= total;
    let found = candidates.iter().find(|it| held(it) == total);
    let found = found
        .or_else(|| candidates.iter().rev().max_by_key(|it| held(it)).filter(is_enough))
        .or_else(|| {
            // Who says how dates are written wants the others to be told, however many they are.
            let order = dates?.order();
            let said = candidates.iter().rev().filter(|it| it.is_in(order));
            said.max_by_key(|it| held(it)).filter(|it| 0 < held(it))
        });
    let Some(found) = found.filter(|it| is_honest(it, &values)) else {
        say_of_text(profile, &values, &words, total, evidence);
        return (ColumnType::Text, Form::Plain);
    };
    for example in words.iter().flat_map(|it| &it.examples) {
        evidence.markers.push((example.value.clone(), example.count));
    }
    let exceptions = values.iter().filter(|it| !it.ways.has(found.ways));
    for shape in exceptions {
        evidence.exceptions += shape.count;
        evidence.examples.extend(
            shape.examples.iter().map(|it| Exception { place: it.place, value: it.value.clone() }),
        );
    }
    let fitting: Vec<&Shape> =
        values.iter().filter(|it| it.ways.has(found.ways)).copied().collect();
    settle(profile, found, &fitting, evidence)
}

/// Whether no digits would be lost that are no number: `00501`, or an id in quotes.
fn is_honest(candidate: &Candidate, values: &[&Shape]) -> bool {
    let is_whole = matches!(candidate.kind, ColumnType::Int)
        || matches!(candidate.kind, ColumnType::Decimal { scale: 0, .. });
    let is_number = is_whole || candidate.kind == ColumnType::Float;
    let has_zero = values.iter().any(|it| it.ways.has(Ways::ZERO));
    let all_quoted = values.iter().all(|it| it.ways.has(Ways::QUOTED));
    let is_code = (is_number && has_zero) || (is_whole && all_quoted);
    !is_code
}

/// The types to try, narrowest first.
fn candidates(profile: &Profile, dates: Option<DateOrder>, values: &[&Shape]) -> Vec<Candidate> {
    let plain = |ways, kind| Candidate { ways, kind, form: Form::Plain };
    let has = |ways| values.iter().any(|it| it.ways.has(ways));
    let mut found = vec![plain(Ways::BOOL, ColumnType::Bool)];
    if has(Ways::COMPACT) && names(&profile.name, &["date", "day", "ymd", "dt"]) {
        found.push(Candidate {
            ways: Ways::COMPACT,
            kind: ColumnType::Date,
            form: Form::CompactDay,
        });
    }
    let big = Ways::INT.or(Ways::BIG);
    let float = big.or(Ways::POINT).or(Ways::EXPONENT);
    found.push(plain(Ways::INT, ColumnType::Int));
    found.push(plain(big, ColumnType::Decimal { precision: 38, scale: 0 }));
    found.push(plain(float, ColumnType::Float));
    if has(Ways::THOUSANDS) {
        let ways = Ways::INT.or(Ways::POINT).or(Ways::THOUSANDS);
        found.push(Candidate { ways, kind: ColumnType::Float, form: Form::Thousands });
    }
    if has(Ways::COMMA) {
        let ways = Ways::INT.or(Ways::COMMA);
        found.push(Candidate { ways, kind: ColumnType::Float, form: Form::DecimalComma });
    }
    found.push(plain(Ways::DATE, ColumnType::Date));
    let orders = orders(dates, values);
    for order in orders.iter().copied() {
        let ways = Ways::of_order(order, true);
        found.push(Candidate { ways, kind: ColumnType::Date, form: form_of(order, ways, values) });
    }
    found.push(plain(Ways::STAMP, ColumnType::Timestamp));
    found.push(Candidate {
        ways: Ways::STAMP.or(Ways::DATE),
        kind: ColumnType::Timestamp,
        form: Form::DayOrMoment,
    });
    for order in orders {
        let ways = Ways::of_order(order, true).or(Ways::of_order(order, false));
        let form = form_of(order, Ways::of_order(order, false), values);
        found.push(Candidate { ways, kind: ColumnType::Timestamp, form });
    }
    found.push(plain(Ways::JSON, ColumnType::Json));
    found
}

/// The orders to try: where day and month can be mixed up, the usual one for the separator first.
fn orders(dates: Option<DateOrder>, values: &[&Shape]) -> Vec<Order> {
    if let Some(said) = dates {
        return vec![Order::YearMonthDay, said.order(), Order::Named];
    }
    let points = values
        .iter()
        .flat_map(|it| &it.examples)
        .any(|it| it.value.contains(['.', '-']) && !it.value.contains('/'));
    if points {
        vec![Order::YearMonthDay, Order::DayMonthYear, Order::MonthDayYear, Order::Named]
    } else {
        vec![Order::YearMonthDay, Order::MonthDayYear, Order::DayMonthYear, Order::Named]
    }
}

fn form_of(order: Order, ways: Ways, values: &[&Shape]) -> Form {
    let examples = values.iter().filter(|it| it.ways.has(ways)).flat_map(|it| &it.examples);
    let pattern =
        examples.filter_map(|it| Written::of(&it.value)).map(|it| it.pattern(order)).next();
    Form::Moment { order, pattern: pattern.unwrap_or_default() }
}

/// Looks closer at the type that was found.
fn settle(
    profile: &Profile,
    found: &Candidate,
    fitting: &[&Shape],
    evidence: &mut Evidence,
) -> (ColumnType, Form) {
    let (mut kind, mut form) = (found.kind, found.form.clone());
    let all = |ways: Ways| fitting.iter().all(|it| it.ways.has(ways));
    evidence.range = range(kind, &form, fitting).or_else(|| evidence.range.take());
    match (kind, &form) {
        (ColumnType::Float, Form::Plain) => {
            if let Some(decimal) = decimal(profile, fitting, evidence) {
                kind = decimal;
            }
        }
        (ColumnType::Float, Form::Thousands) => {
            if all(Ways::THOUSANDS.or(Ways::INT)) && fitting.iter().all(|it| it.decimals.1 == 0) {
                kind = ColumnType::Int;
            }
            if all(Ways::COMMA.or(Ways::INT)) {
                evidence.notes.push(
                    "the comma could also stand before decimals: no value decides it".to_owned(),
                );
            }
        }
        (ColumnType::Int, _) => {
            if let Some(note) = epoch(profile, fitting) {
                evidence.notes.push(note);
            }
        }
        (ColumnType::Timestamp, _) if all(Ways::MIDNIGHT) => {
            kind = ColumnType::Date;
            if form == Form::Plain {
                form = Form::DayOrMoment;
            }
            evidence.range = range(kind, &form, fitting).or_else(|| evidence.range.take());
            evidence.notes.push("every time of day is 0:00".to_owned());
        }
        _ => {}
    }
    if let Form::Moment { order: order @ (Order::MonthDayYear | Order::DayMonthYear), .. } = &form {
        let other = match order {
            Order::MonthDayYear => Order::DayMonthYear,
            _ => Order::MonthDayYear,
        };
        let both = Ways::of_order(other, true).or(Ways::of_order(other, false));
        if all(both) {
            evidence.notes.push(
                "day and month could be the other way round: no value has a day after the 12th"
                    .to_owned(),
            );
        } else if let Some(proof) = fitting.iter().find(|it| !it.ways.has(both))
            && let Some(example) = proof.examples.first()
        {
            let row = example.place.row;
            let is_day_first = *order == Order::DayMonthYear;
            let dates = if is_day_first { DateOrder::DayFirst } else { DateOrder::MonthFirst };
            evidence.dates = Some(dates);
            evidence.notes.push(format!("`{}` in row {row} decides the order", example.value));
        }
    }
    (kind, form)
}

/// Returns the exact type for numbers that have always as many decimals, if they are money.
fn decimal(profile: &Profile, fitting: &[&Shape], evidence: &mut Evidence) -> Option<ColumnType> {
    const MONEY: [&str; 14] = [
        "price", "amount", "cost", "total", "sales", "profit", "fee", "tax", "balance", "salary",
        "dollars", "usd", "eur", "revenue",
    ];
    let points: Vec<&&Shape> = fitting.iter().filter(|it| it.ways.has(Ways::POINT)).collect();
    let digits = fitting.iter().map(|it| it.digits).max().unwrap_or(0);
    let scale = points.iter().map(|it| it.decimals.1).max().unwrap_or(0);
    let is_big = fitting.iter().any(|it| it.ways.has(Ways::BIG));
    if is_big && digits + scale <= 38 {
        return Some(ColumnType::Decimal { precision: 38, scale: i8::try_from(scale).ok()? });
    }
    let is_fixed = points.iter().all(|it| it.decimals == (scale, scale))
        && points.iter().any(|it| it.has_round)
        && points.len() == fitting.len()
        && (2..=4).contains(&scale)
        && digits <= 16;
    let count: u64 = fitting.iter().map(|it| it.count).sum();
    if !is_fixed || count < 2 {
        return None;
    }
    if names(&profile.name, &MONEY) {
        return Some(ColumnType::Decimal { precision: 18, scale: i8::try_from(scale).ok()? });
    }
    evidence
        .notes
        .push(format!("always {scale} decimals: decimal(18,{scale}) would keep them exact"));
    None
}

/// Says that whole numbers may be moments.
fn epoch(profile: &Profile, fitting: &[&Shape]) -> Option<String> {
    if !names(
        &profile.name,
        &["time", "ts", "timestamp", "epoch", "at", "created", "updated", "date"],
    ) {
        return None;
    }
    let least = fitting.iter().map(|it| it.least).fold(f64::INFINITY, f64::min);
    let greatest = fitting.iter().map(|it| it.greatest).fold(f64::NEG_INFINITY, f64::max);
    // From 2001 to 2065.
    let units =
        [("seconds", 1.0), ("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9)];
    let (unit, _) =
        units.iter().find(|(_, factor)| 1e9 * factor <= least && greatest <= 3e9 * factor)?;
    Some(format!("could be {unit} since 1970"))
}

/// Whether a word of a column's name is one of `words`.
fn names(name: &str, words: &[&str]) -> bool {
    let mut spread = String::new();
    let mut was_lower = false;
    for sign in name.chars() {
        if sign.is_ascii_uppercase() && was_lower {
            spread.push('_');
        }
        was_lower = sign.is_ascii_lowercase();
        spread.push(sign.to_ascii_lowercase());
    }
    spread.split(|it: char| !it.is_ascii_alphabetic()).any(|it| words.contains(&it))
}

/// The least and greatest value of numbers, days and moments.
fn range(kind: ColumnType, form: &Form, fitting: &[&Shape]) -> Option<(String, String)> {
    let is_other = |it: &Shape| match form {
        Form::Moment { order: Order::DayMonthYear, .. } => it.ways.is_order_open(),
        Form::DecimalComma => it.ways.is_comma_open(),
        _ => false,
    };
    let of = |it: &&Shape| if is_other(it) { it.other } else { (it.least, it.greatest) };
    let least = fitting.iter().map(|it| of(it).0).fold(f64::INFINITY, f64::min);
    let greatest = fitting.iter().map(|it| of(it).1).fold(f64::NEG_INFINITY, f64::max);
    if !least.is_finite() || !greatest.is_finite() {
        return None;
    }
    let write = |value: f64| {
        let mut out = String::new();
        match kind {
            ColumnType::Date => moment::write_date((value / 86_400e6).floor() as i64, &mut out),
            ColumnType::Timestamp => moment::write_timestamp(value as i64, 6, &mut out),
            _ => out = value.to_string(),
        }
        out
    };
    Some((write(least), write(greatest)))
}

/// Says why a column stays text.
fn say_of_text(
    profile: &Profile,
    values: &[&Shape],
    words: &[&Shape],
    total: u64,
    evidence: &mut Evidence,
) {
    let of = |ways: Ways| {
        let found = values.iter().filter(|it| it.ways.has(ways));
        let count: u64 = found.clone().map(|it| it.count).sum();
        let example = found.flat_map(|it| &it.examples).next();
        example.map(|it| (count, it.value.clone(), it.place.row))
    };
    let mut say = |ways: Ways, what: &str| {
        if let Some((count, value, row)) = of(ways) {
            evidence.notes.push(format!("{count} of {total} {what}, as `{value}` in row {row}"));
        }
    };
    let number = Ways::INT.or(Ways::BIG).or(Ways::POINT).or(Ways::ZERO).or(Ways::EXPONENT);
    let is_number = values.iter().filter(|it| it.ways.has(number)).map(|it| it.count).sum::<u64>();
    if values.iter().any(|it| it.ways.has(Ways::ZERO)) && is_number * 2 > total {
        say(Ways::ZERO, "begin with 0: digits that are no number");
    } else if is_number == total {
        say(number, "are digits in quotes");
    } else if is_number * 10 > total * 9 {
        let other = values.iter().find(|it| !it.ways.has(number));
        if let Some(example) = other.and_then(|it| it.examples.first()) {
            let rest = total - is_number;
            let (value, row) = (&example.value, example.place.row);
            evidence
                .notes
                .push(format!("{rest} of {total} are no number, as `{value}` in row {row}"));
        }
    }
    let mut say = |ways: Ways, what: &str| {
        if let Some((count, value, row)) = of(ways).filter(|it| it.0 * 2 > total) {
            evidence.notes.push(format!("{count} of {total} {what}, as `{value}` in row {row}"));
        }
    };
    say(Ways::PERCENT, "are percentages");
    say(Ways::CURRENCY, "have a currency");
    say(Ways::YES_NO, "say yes or no");
    say(Ways::CLOCK, "are times of day");
    let nothing: u64 = words.iter().map(|it| it.count).sum();
    if 0 < nothing && profile.shapes.len() > 1 {
        let all = nothing + total;
        let said: Vec<String> =
            words.iter().flat_map(|it| &it.examples).map(|it| format!("`{}`", it.value)).collect();
        evidence.notes.push(format!("{nothing} of {all} say {}", said.join(", ")));
    }
}
