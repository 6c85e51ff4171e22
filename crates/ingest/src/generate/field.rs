//! The fields of a made-up record: their options, and what makes their values.

use std::collections::BTreeMap;

use base::{Span, nearest};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::door::OptionFault;
use crate::share::Share;

/// One field. Exactly one of `counter`, `uuid`, `time`, `one_of`, `among`, `integer`, `decimal`,
/// `chance`, `product` and `constant` says what it holds; the rest refine it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldOptions {
    /// Text that counts up behind this prefix: `"o-"` gives `o-1`, `o-2`, and goes on where it was
    /// after a restart.
    counter: Option<String>,
    /// `true`: a random UUID.
    uuid: Option<bool>,
    /// `"now"`: the time at which the record is made, in UTC with milliseconds.
    time: Option<Now>,
    /// With `time`: how far back a late record's time may lie.
    late_by: Option<Span>,
    /// With `late_by`: how many records are late; `"1 %"` if not said.
    late_share: Option<Share>,
    /// One of these values.
    one_of: Option<Vec<Scalar>>,
    /// With `one_of`: how often each value comes, in proportion to the others.
    weights: Option<Vec<f64>>,
    /// One of so many names: `among = 500` with `prefix = "p"` gives `p1` to `p500`.
    among: Option<u32>,
    /// With `among`: what the names begin with.
    prefix: Option<String>,
    /// With `one_of` or `among`: how much the first ones are preferred; 0 is not at all, 1 is as
    /// words in a language are (the tenth comes a tenth as often as the first).
    skew: Option<f64>,
    /// A whole number between two, both included.
    integer: Option<[i64; 2]>,
    /// A decimal number between two, both included.
    decimal: Option<[f64; 2]>,
    /// With `decimal`: digits after the point; 2 if not said.
    places: Option<u32>,
    /// With `integer`, `decimal`, `one_of` or `among`: the value depends on that field alone, so
    /// that one product always has one price.
    per: Option<String>,
    /// `true` with this share, else `false`.
    chance: Option<Share>,
    /// The exact product of these number fields.
    product: Option<Vec<String>>,
    /// Always this value.
    constant: Option<Scalar>,
    /// How often the field is null instead.
    null: Option<Share>,
}

/// The one time there is.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Now {
    Now,
}

/// A text, a number or a truth.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Scalar {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

impl Scalar {
    /// Returns the value as JSON.
    pub(crate) fn json(&self) -> String {
        match self {
            Scalar::Bool(it) => it.to_string(),
            Scalar::Integer(it) => it.to_string(),
            Scalar::Float(it) if it.is_finite() => it.to_string(),
            Scalar::Float(_) => "null".to_owned(),
            Scalar::Text(it) => serde_json::Value::from(it.as_str()).to_string(),
        }
    }
}

/// What makes a field's value.
#[derive(Debug, Clone)]
pub(crate) enum Maker {
    Counter { prefix: String },
    Uuid,
    Time { late_ms: u64, late_share: f64 },
    Choice { json: Vec<String>, chances: Chances },
    Name { prefix: String, chances: Chances },
    Number { low: i64, high: i64, places: u32 },
    Truth { share: f64 },
    Product { factors: Vec<usize>, places: u32 },
}

/// A field, ready to make values.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) maker: Maker,
    /// The field on which the value depends.
    pub(crate) per: Option<usize>,
    pub(crate) null: f64,
}

/// How often each of some things comes.
#[derive(Debug, Clone)]
pub(crate) struct Chances {
    /// The sum of the chances up to and with each thing.
    upto: Vec<f64>,
}

impl Chances {
    fn new(weights: impl Iterator<Item = f64>) -> Chances {
        let mut sum = 0.0;
        Chances {
            upto: weights
                .map(|it| {
                    sum += it;
                    sum
                })
                .collect(),
        }
    }

    /// Chooses a thing; `random` lies between 0 and 1.
    pub(crate) fn choose(&self, random: f64) -> usize {
        let all = self.upto.last().copied().unwrap_or_default();
        let at = self.upto.partition_point(|upto| *upto <= random * all);
        at.min(self.upto.len().saturating_sub(1))
    }
}

/// More names than this are better made by `uuid`; their chances take 8 bytes each.
const AMONG_MAX: u32 = 1_000_000;
/// So many digits are exact in a number of 64 bits.
const PLACES_MAX: u32 = 9;

/// The kinds, as the options name them.
const KINDS: &str =
    "counter, uuid, time, one_of, among, integer, decimal, chance, product, constant";

/// Turns the options of all fields into makers, in an order in which each comes after those it
/// depends on.
pub(crate) fn build(options: &BTreeMap<String, FieldOptions>) -> Result<Vec<Field>, OptionFault> {
    let mut fields: Vec<Field> = Vec::with_capacity(options.len());
    let mut waiting: Vec<(&String, &FieldOptions)> = options.iter().collect();
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut later = Vec::new();
        for (name, field) in waiting {
            check_needs(name, field, options)?;
            if field.needs().iter().all(|it| fields.iter().any(|made| made.name == **it)) {
                fields.push(field.build(name, &fields).map_err(|wrong| fault_in(name, &wrong))?);
            } else {
                later.push((name, field));
            }
        }
        if later.len() == before {
            let names: Vec<&str> = later.iter().map(|(name, _)| name.as_str()).collect();
            let message = format!("these fields depend on each other: {}", names.join(", "));
            return Err(OptionFault::at("fields", message));
        }
        waiting = later;
    }
    Ok(fields)
}

/// The fields that `field` depends on must be there.
fn check_needs(
    name: &str,
    field: &FieldOptions,
    options: &BTreeMap<String, FieldOptions>,
) -> Result<(), OptionFault> {
    let needs = field.needs();
    let Some(missing) = needs.iter().find(|it| !options.contains_key(**it)) else {
        return Ok(());
    };
    let fault = OptionFault::at(format!("fields.{name}"), format!("there is no field `{missing}`"));
    Err(match nearest(missing, options.keys().map(String::as_str)) {
        Some(near) => fault.with_help(format!("did you mean `{near}`?")),
        None => fault,
    })
}

fn fault_in(name: &str, (key, message): &Wrong) -> OptionFault {
    let dot = if key.is_empty() { "" } else { "." };
    OptionFault::at(format!("fields.{name}{dot}{key}"), message.as_str())
}

/// The option at fault, and what is wrong.
type Wrong = (&'static str, String);

impl FieldOptions {
    fn needs(&self) -> Vec<&str> {
        let factors = self.product.iter().flatten().map(String::as_str);
        factors.chain(self.per.as_deref()).collect()
    }

    fn build(&self, name: &str, made: &[Field]) -> Result<Field, Wrong> {
        self.check_kind()?;
        self.check_refinements()?;
        let per = self.per.as_ref().and_then(|per| made.iter().position(|it| it.name == *per));
        let null = self.null.unwrap_or_default().0;
        Ok(Field { name: name.to_owned(), maker: self.maker(made)?, per, null })
    }

    fn kinds(&self) -> Vec<&'static str> {
        let kinds = [
            ("counter", self.counter.is_some()),
            ("uuid", self.uuid.is_some()),
            ("time", self.time.is_some()),
            ("one_of", self.one_of.is_some()),
            ("among", self.among.is_some()),
            ("integer", self.integer.is_some()),
            ("decimal", self.decimal.is_some()),
            ("chance", self.chance.is_some()),
            ("product", self.product.is_some()),
            ("constant", self.constant.is_some()),
        ];
        kinds.into_iter().filter(|(_, is_there)| *is_there).map(|(kind, _)| kind).collect()
    }

    fn check_kind(&self) -> Result<(), Wrong> {
        match self.kinds().as_slice() {
            [_] => Ok(()),
            [] => Err(("", format!("say what the field holds; one of {KINDS}"))),
            [_, second, ..] => {
                Err((second, format!("a field holds one thing; keep one of {KINDS}")))
            }
        }
    }

    fn check_refinements(&self) -> Result<(), Wrong> {
        let kind = self.kinds().first().copied().unwrap_or_default();
        let refinements: [(&str, bool, &[&str]); 7] = [
            ("late_by", self.late_by.is_some(), &["time"]),
            ("late_share", self.late_share.is_some(), &["time"]),
            ("weights", self.weights.is_some(), &["one_of"]),
            ("prefix", self.prefix.is_some(), &["among"]),
            ("skew", self.skew.is_some(), &["one_of", "among"]),
            ("places", self.places.is_some(), &["decimal"]),
            ("per", self.per.is_some(), &["integer", "decimal", "one_of", "among"]),
        ];
        let wrong = refinements.iter().find(|(_, set, of)| *set && !of.contains(&kind));
        wrong.map_or(Ok(()), |(name, _, of)| {
            Err((*name, format!("`{name}` goes with {}, not with `{kind}`", of.join(" or "))))
        })
    }

    fn maker(&self, made: &[Field]) -> Result<Maker, Wrong> {
        if let Some(prefix) = &self.counter {
            return Ok(Maker::Counter { prefix: prefix.clone() });
        }
        match self.uuid {
            Some(true) => return Ok(Maker::Uuid),
            Some(false) => return Err(("uuid", "write `uuid = true`, or leave it out".to_owned())),
            None => {}
        }
        if self.time.is_some() {
            let late_ms = self.late_by.map_or(0, Span::as_millis);
            let late_share = self.late_share.unwrap_or(Share(0.01)).0;
            return Ok(Maker::Time { late_ms, late_share });
        }
        if let Some(share) = self.chance {
            return Ok(Maker::Truth { share: share.0 });
        }
        if let Some(constant) = &self.constant {
            let chances = Chances::new(std::iter::once(1.0));
            return Ok(Maker::Choice { json: vec![constant.json()], chances });
        }
        if let Some(factors) = &self.product {
            return product_of(factors, made);
        }
        if let Some([low, high]) = self.integer {
            return number("integer", low, high, 0);
        }
        if let Some([low, high]) = self.decimal {
            let places = self.places.unwrap_or(2);
            if PLACES_MAX < places {
                return Err(("places", format!("at most {PLACES_MAX} digits after the point")));
            }
            return number("decimal", scaled(low, places)?, scaled(high, places)?, places);
        }
        self.choice()
    }

    fn choice(&self) -> Result<Maker, Wrong> {
        let skew = self.skew.unwrap_or(0.0);
        if !(0.0..=10.0).contains(&skew) {
            return Err(("skew", "a number between 0 and 10".to_owned()));
        }
        let by_rank = |count: u32| (1..=count).map(move |rank| f64::from(rank).powf(-skew));
        if let Some(count) = self.among {
            if !(1..=AMONG_MAX).contains(&count) {
                return Err(("among", format!("a number between 1 and {AMONG_MAX}")));
            }
            let prefix = self.prefix.clone().unwrap_or_default();
            return Ok(Maker::Name { prefix, chances: Chances::new(by_rank(count)) });
        }
        let values = self.one_of.as_deref().unwrap_or_default();
        if values.is_empty() {
            return Err(("one_of", "at least one value".to_owned()));
        }
        let json = values.iter().map(Scalar::json).collect();
        let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
        let chances = match &self.weights {
            None => Chances::new(by_rank(count)),
            Some(_) if self.skew.is_some() => {
                return Err(("skew", "either `weights` or `skew`".to_owned()));
            }
            Some(weights) => {
                let are_good = weights.iter().all(|it| it.is_finite() && 0.0 <= *it);
                if weights.len() != values.len() || !are_good || weights.iter().sum::<f64>() <= 0.0
                {
                    let message = format!("one number for each of the {count} values, not below 0");
                    return Err(("weights", message));
                }
                Chances::new(weights.iter().copied())
            }
        };
        Ok(Maker::Choice { json, chances })
    }
}

fn number(key: &'static str, low: i64, high: i64, places: u32) -> Result<Maker, Wrong> {
    if low <= high && high.checked_sub(low).is_some() {
        Ok(Maker::Number { low, high, places })
    } else {
        Err((key, "the smaller number comes first: `[1, 5]`".to_owned()))
    }
}

fn scaled(number: f64, places: u32) -> Result<i64, Wrong> {
    let scaled = (number * 10f64.powi(i32::try_from(places).unwrap_or(0))).round();
    if scaled.is_finite() && scaled.abs() <= 9e15 {
        #[expect(clippy::cast_possible_truncation, reason = "the line above keeps it in range")]
        Ok(scaled as i64)
    } else {
        Err(("decimal", "too many digits".to_owned()))
    }
}

fn product_of(names: &[String], made: &[Field]) -> Result<Maker, Wrong> {
    let mut places = 0;
    let mut factors = Vec::with_capacity(names.len());
    for name in names {
        let at = made.iter().position(|it| it.name == *name);
        match at.and_then(|at| Some((at, &made.get(at)?.maker))) {
            Some((at, Maker::Number { places: of, .. })) => {
                places += of;
                factors.push(at);
            }
            _ => {
                let message = format!("`{name}` is not an `integer` or `decimal` field");
                return Err(("product", message));
            }
        }
    }
    if (2..=4).contains(&factors.len()) {
        Ok(Maker::Product { factors, places })
    } else {
        Err(("product", "between two and four fields".to_owned()))
    }
}
