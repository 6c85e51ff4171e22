//! Made-up records: the n-th one follows from the seed and n alone, but for the time in it.

use std::io::Write as _;

use fastrand::Rng;

use super::field::{Field, Maker};

/// Makes records.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    seed: u64,
    fields: Vec<Field>,
    /// For each field, what a surge sets it to.
    surge: Vec<Option<String>>,
    bad: f64,
    bad_kinds: Vec<Bad>,
}

/// A way to be bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bad {
    /// This number is below zero; products follow it.
    Negative(usize),
    /// This field is left out.
    Missing(usize),
    /// This number is a word.
    WrongType(usize),
    /// This product is wrong.
    WrongProduct(usize),
    /// The record ends in the middle.
    Broken,
}

/// A value before it is written.
#[derive(Debug, Clone, Copy)]
enum Value {
    Null,
    Count(u64),
    Uuid(u128),
    Time(u64),
    Choice(usize),
    Number(i128),
    Truth(bool),
    Surge,
}

impl Rows {
    /// `surge` has the JSON that a surge sets a field to, by the field's name.
    pub(crate) fn new(seed: u64, fields: Vec<Field>, surge: &[(String, String)], bad: f64) -> Rows {
        let set_to = |field: &Field| {
            surge.iter().find(|(name, _)| *name == field.name).map(|(_, json)| json.clone())
        };
        let surge = fields.iter().map(set_to).collect();
        let bad_kinds = bad_kinds_of(&fields);
        Rows { seed, fields, surge, bad, bad_kinds }
    }

    /// Writes record `n` (counted from 1) behind what is in `out`.
    pub(crate) fn write(&self, n: u64, now_ms: u64, is_surge: bool, out: &mut Vec<u8>) {
        let mut rng = Rng::with_seed(mix(self.seed, n));
        let bad = if rng.f64() < self.bad { rng.choice(&self.bad_kinds).copied() } else { None };
        let mut values: Vec<Value> = Vec::with_capacity(self.fields.len());
        for (at, field) in self.fields.iter().enumerate() {
            let is_set = is_surge && self.surge.get(at).is_some_and(Option::is_some);
            let value =
                if is_set { Value::Surge } else { self.make(field, n, now_ms, &values, &mut rng) };
            values.push(match (value, bad) {
                (Value::Number(number), Some(Bad::Negative(of))) if of == at => {
                    Value::Number(-number.max(1))
                }
                (Value::Number(number), Some(Bad::WrongProduct(of))) if of == at => {
                    // Far beyond what rounding could explain.
                    Value::Number(number * 10 + 1_000)
                }
                (value, _) => value,
            });
        }
        let start = out.len();
        self.print(&values, bad, out);
        if bad == Some(Bad::Broken) {
            out.truncate(start + (out.len() - start) * 2 / 3);
        }
    }

    fn make(&self, field: &Field, n: u64, now_ms: u64, values: &[Value], rng: &mut Rng) -> Value {
        // Always one draw, so that a field's nulls do not change the fields behind it.
        let is_null = rng.f64() < field.null;
        let mut own = match field.per {
            None => rng.fork(),
            Some(of) => {
                let mut text = Vec::new();
                if let (Some(of), Some(value)) = (self.fields.get(of), values.get(of)) {
                    self.print_value(of, self.surge_of(field.per), *value, &mut text);
                }
                Rng::with_seed(mix(self.seed, hash(&text) ^ hash(field.name.as_bytes())))
            }
        };
        if is_null {
            return Value::Null;
        }
        match &field.maker {
            Maker::Counter { .. } => Value::Count(n),
            Maker::Uuid => Value::Uuid(own.u128(..)),
            Maker::Time { late_ms, late_share } => {
                let is_late = own.f64() < *late_share;
                let back = if is_late && 0 < *late_ms { own.u64(..=*late_ms) } else { 0 };
                Value::Time(now_ms.saturating_sub(back))
            }
            Maker::Choice { chances, .. } | Maker::Name { chances, .. } => {
                Value::Choice(chances.choose(own.f64()))
            }
            Maker::Number { low, high, .. } => Value::Number(i128::from(own.i64(*low..=*high))),
            Maker::Truth { share } => Value::Truth(own.f64() < *share),
            Maker::Product { factors, .. } => product(factors, values),
        }
    }

    fn surge_of(&self, at: Option<usize>) -> Option<&str> {
        at.and_then(|at| self.surge.get(at)).and_then(Option::as_deref)
    }

    fn print(&self, values: &[Value], bad: Option<Bad>, out: &mut Vec<u8>) {
        let mut comma = "{";
        for (at, (field, value)) in self.fields.iter().zip(values).enumerate() {
            if bad == Some(Bad::Missing(at)) {
                continue;
            }
            out.extend_from_slice(comma.as_bytes());
            comma = ",";
            out.extend_from_slice(
                serde_json::Value::from(field.name.as_str()).to_string().as_bytes(),
            );
            out.push(b':');
            if bad == Some(Bad::WrongType(at)) {
                out.extend_from_slice(b"\"many\"");
            } else {
                self.print_value(field, self.surge_of(Some(at)), *value, out);
            }
        }
        if comma == "{" {
            out.push(b'{');
        }
        out.push(b'}');
    }

    fn print_value(&self, field: &Field, surge: Option<&str>, value: Value, out: &mut Vec<u8>) {
        // Writing into memory does not fail.
        let written = match (value, &field.maker) {
            (Value::Surge, _) => write!(out, "{}", surge.unwrap_or("null")),
            (Value::Count(n), Maker::Counter { prefix }) => {
                write!(out, "{}", serde_json::Value::from(format!("{prefix}{n}")))
            }
            (Value::Uuid(uuid), _) => {
                write!(
                    out,
                    "\"{}\"",
                    uuid::Builder::from_random_bytes(uuid.to_be_bytes()).into_uuid()
                )
            }
            (Value::Time(ms), _) => write!(out, "\"{}\"", time_in_words(ms)),
            (Value::Choice(at), Maker::Choice { json, .. }) => {
                write!(out, "{}", json.get(at).map_or("null", String::as_str))
            }
            (Value::Choice(at), Maker::Name { prefix, .. }) => {
                write!(out, "{}", serde_json::Value::from(format!("{prefix}{}", at + 1)))
            }
            (
                Value::Number(number),
                Maker::Number { places, .. } | Maker::Product { places, .. },
            ) => print_decimal(number, *places, out),
            (Value::Truth(it), _) => write!(out, "{it}"),
            _ => write!(out, "null"),
        };
        debug_assert!(written.is_ok());
    }
}

fn product(factors: &[usize], values: &[Value]) -> Value {
    let mut product: i128 = 1;
    for factor in factors {
        let Some(Value::Number(number)) = values.get(*factor) else { return Value::Null };
        let Some(next) = product.checked_mul(*number) else { return Value::Null };
        product = next;
    }
    Value::Number(product)
}

/// What can go wrong with records of these fields.
fn bad_kinds_of(fields: &[Field]) -> Vec<Bad> {
    let mut kinds = vec![Bad::Broken];
    for (at, field) in fields.iter().enumerate() {
        match field.maker {
            // A whole number is often a count: below zero it is as wrong as a price.
            Maker::Number { places, .. } => {
                if 0 < places {
                    kinds.push(Bad::Negative(at));
                } else {
                    kinds.push(Bad::WrongType(at));
                }
            }
            Maker::Product { .. } => kinds.push(Bad::WrongProduct(at)),
            Maker::Counter { .. } | Maker::Uuid | Maker::Time { .. } => {
                kinds.push(Bad::Missing(at));
            }
            Maker::Choice { .. } | Maker::Name { .. } | Maker::Truth { .. } => {}
        }
    }
    kinds
}

fn print_decimal(number: i128, places: u32, out: &mut Vec<u8>) -> std::io::Result<()> {
    let sign = if number < 0 { "-" } else { "" };
    let number = number.unsigned_abs();
    if places == 0 {
        return write!(out, "{sign}{number}");
    }
    let one = 10u128.pow(places.min(36));
    let width = usize::try_from(places).unwrap_or(0);
    write!(out, "{sign}{}.{:0width$}", number / one, number % one)
}

/// Returns a time as RFC 3339 in UTC with milliseconds.
pub(crate) fn time_in_words(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(String::new, |it| format!("{it:.3}"))
}

/// Makes a seed of two numbers, by the last steps of the generator `SplitMix64`: near ones give far ones.
fn mix(seed: u64, n: u64) -> u64 {
    let mut mixed = seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// FNV-1a: the same on every machine and in every version, so that a price stays what it was.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
