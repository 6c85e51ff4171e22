//! Rows of JSON, in every shape that is found.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::column::Found;
use crate::files::json::{PROPERTIES, Scan, Shape, Stop, fields, place_of, values};
use crate::files::read::input::Input;
use crate::files::read::{Builder, ReadError, RowSource};
use crate::files::{Compression, Source};

pub(super) struct Values {
    input: Input,
    shape: Shape,
    state: State,
    /// The columns of lists, by their place in them; nothing before the first list.
    places: Option<Vec<Option<usize>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first row.
    Before,
    Rows,
    Over,
}

impl Values {
    pub(super) fn open(
        source: &Arc<dyn Source>,
        compression: Option<Compression>,
        shape: &Shape,
    ) -> Result<Values, ReadError> {
        let input = Input::open(source, compression, "UTF-8")?;
        Ok(Values { input, shape: shape.clone(), state: State::Before, places: None })
    }

    /// Goes to the first row; answers whether it was found in what is at hand.
    fn begin(&mut self) -> bool {
        let scan = Scan::new(self.input.rest());
        let at = match &self.shape {
            Shape::Lines => Some(0),
            Shape::Array => Some(scan.skip_space(0)).filter(|it| scan.byte(*it) == Some(b'[')),
            Shape::Key { path } => place_of(&scan, path),
            Shape::Keyed | Shape::Single => Some(0).filter(|_| self.input.is_end()),
        };
        let Some(at) = at else { return false };
        let skip = match &self.shape {
            Shape::Array | Shape::Key { .. } => at + 1,
            _ => at,
        };
        self.input.pass(skip);
        self.state = State::Rows;
        true
    }

    /// Takes one value after the other from what is at hand.
    fn take(&mut self, to: &mut Builder) -> Result<(), ReadError> {
        let is_lines = self.shape == Shape::Lines;
        let is_geo = self.shape.is_geo();
        let mut used = 0;
        let rest = self.input.rest();
        let scan = Scan::new(rest);
        while !to.is_full() {
            let mut at = scan.skip_space(used);
            match scan.byte(at) {
                Some(b',') if !is_lines => at = scan.skip_space(at + 1),
                Some(b']') if !is_lines => {
                    self.state = State::Over;
                    break;
                }
                _ => {}
            }
            if scan.byte(at).is_none() {
                used = if is_lines { rest.len() } else { used };
                break;
            }
            match scan.skip_value(at) {
                Ok(end) => {
                    row(to, scan.part(at, end), None, &mut self.places, is_geo);
                    used = end;
                }
                Err(stop) if is_lines && scan.bad_line(at, stop).is_some() => {
                    used = scan.bad_line(at, stop).unwrap_or(rest.len());
                    let text = scan.part(at, used).trim_end().to_owned();
                    to.end_row(Err("expected JSON".to_owned()), || text);
                }
                Err(Stop::End) if !self.input.is_end() => break,
                Err(_) if is_lines => {
                    to.end_row(Err("expected JSON".to_owned()), || {
                        scan.part(at, rest.len()).to_owned()
                    });
                    used = rest.len();
                }
                Err(_) => {
                    self.input.pass(used);
                    let row = to.seen + 1;
                    let why = format!("its JSON is damaged or cut off in row {row}");
                    return Err(ReadError::Damaged(why));
                }
            }
        }
        self.input.pass(used);
        Ok(())
    }

    fn take_whole(&mut self, to: &mut Builder) -> Result<(), ReadError> {
        let scan = Scan::new(self.input.rest());
        let begin = scan.skip_space(0);
        let places = &mut self.places;
        let outcome = if self.shape == Shape::Single {
            scan.skip_value(begin).map(|end| row(to, scan.part(begin, end), None, places, false))
        } else {
            scan.entries(begin, |key, begin, end| {
                row(to, scan.part(begin, end), Some(&key), places, false);
                Ok(true)
            })
        };
        self.state = State::Over;
        outcome.map_err(|_stop| ReadError::Damaged("its JSON is damaged or cut off".to_owned()))
    }
}

impl Values {
    /// Takes what is at hand; answers whether the batch is full or the rows are over.
    fn step(&mut self, to: &mut Builder) -> Result<bool, ReadError> {
        if matches!(self.shape, Shape::Keyed | Shape::Single) {
            self.take_whole(to)?;
        } else {
            self.take(to)?;
        }
        if to.is_full() || self.state == State::Over {
            return Ok(true);
        }
        if !self.input.is_end() {
            return Ok(false);
        }
        if self.shape == Shape::Lines {
            self.state = State::Over;
            return Ok(true);
        }
        Err(ReadError::Damaged("its JSON ends before its last bracket".to_owned()))
    }
}

impl RowSource for Values {
    fn fill(&mut self, to: &mut Builder) -> Result<bool, ReadError> {
        while self.state != State::Over {
            if self.state == State::Before && !self.begin() {
                if self.input.is_end() {
                    return Err(ReadError::Damaged("no rows where they were".to_owned()));
                }
            } else if self.step(to)? {
                return Ok(self.state != State::Over);
            }
            self.input.more()?;
        }
        Ok(false)
    }
}

/// Adds one row: an object, a list, or a value.
fn row(
    to: &mut Builder,
    json: &str,
    key: Option<&str>,
    places: &mut Option<Vec<Option<usize>>>,
    is_geo: bool,
) {
    let outcome = match json.as_bytes().first() {
        Some(b'{') => object(to, json, key, is_geo),
        Some(b'[') => match list(to, json, places) {
            Some(outcome) => outcome,
            None => return, // It names the columns.
        },
        _ => match (to.place_of("value"), serde_json::from_str::<&RawValue>(json)) {
            (Some(place), Ok(raw)) => value(to, place, raw),
            _ => Err("expected JSON".to_owned()),
        },
    };
    to.end_row(outcome, || json.to_owned());
}

fn object(to: &mut Builder, json: &str, key: Option<&str>, is_geo: bool) -> Result<(), String> {
    let fields = fields(json).ok_or("expected JSON")?;
    if let Some((place, key)) = to.place_of("key").zip(key) {
        to.value(place, Found::String(key))?;
    }
    for (name, raw) in fields {
        if is_geo && name == PROPERTIES && raw.get().starts_with('{') {
            object(to, raw.get(), None, true)?;
            continue;
        }
        let Some(place) = to.place_of(&name) else { continue };
        if !to.is_missing(place) {
            if is_geo {
                continue; // A feature and its properties may both have an `id`.
            }
            return Err(format!("the key `{name}` occurs twice"));
        }
        value(to, place, raw)?;
    }
    Ok(())
}

/// Adds a list as a row; nothing if it is the first one and names the columns.
fn list(
    to: &mut Builder,
    json: &str,
    places: &mut Option<Vec<Option<usize>>>,
) -> Option<Result<(), String>> {
    let Some(found) = values(json) else { return Some(Err("expected JSON".to_owned())) };
    let Some(known) = places.as_ref() else {
        let names: Option<Vec<String>> =
            found.iter().map(|it| serde_json::from_str(it.get()).ok()).collect();
        let is_header = names.is_some();
        let numbered = || (1..=found.len()).map(|it| format!("column_{it}")).collect();
        let names: Vec<String> = names.unwrap_or_else(numbered);
        *places = Some(names.iter().map(|it| to.place_of(it)).collect());
        return if is_header { None } else { list(to, json, places) };
    };
    let mut cells = known.iter().zip(&found).filter_map(|(place, raw)| Some(((*place)?, *raw)));
    Some(cells.try_for_each(|(place, raw)| value(to, place, raw)))
}

fn value(to: &mut Builder, place: usize, raw: &RawValue) -> Result<(), String> {
    let json = raw.get();
    if to.is_json(place) {
        return to.json(place, json);
    }
    match json.as_bytes().first() {
        Some(b'"') => match serde_json::from_str::<Cow<'_, str>>(json) {
            Ok(text) => to.value(place, Found::String(&text)),
            Err(_) => Err("expected a text, found half of a character in it".to_owned()),
        },
        Some(b'n') => to.value(place, Found::Null),
        Some(b't') => to.value(place, Found::Bool(true)),
        Some(b'f') => to.value(place, Found::Bool(false)),
        Some(b'{' | b'[') => to.json(place, json),
        _ => to.value(place, Found::Number(json)),
    }
}
