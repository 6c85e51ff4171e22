//! JSON of all shapes: lines, arrays, and objects that hold the rows under some key.

mod scan;
mod shape;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use base::limits;
use serde::de::{Deserializer as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

pub(crate) use self::scan::{Scan, Stop};
pub use self::shape::Shape;
pub(crate) use self::shape::place_of;
use crate::files::{BadRows, Depth, FoundTable, Looked, Part, Rows, TableFormat, Verdict};
use crate::infer::{Cell, Profile};

pub(crate) fn look(part: &Part<'_>, depth: Depth) -> Looked {
    let scan = Scan::new(part.text);
    let shape = match shape::find(&scan, part.is_whole) {
        Ok(shape) => shape,
        Err(stop) => return Looked::nothing(verdict_of(stop, part)),
    };
    let mut table = Table { is_geo: shape.is_geo(), ..Table::default() };
    let outcome = match &shape {
        Shape::Lines => table.lines(&scan, depth),
        Shape::Array => table.array(&scan, scan.skip_space(0), depth),
        Shape::Key { path } => match place_of(&scan, path) {
            Some(at) => table.array(&scan, at, depth),
            None => Err(Stop::End),
        },
        Shape::Keyed => table.keyed(&scan, depth),
        Shape::Single => table.single(&scan),
    };
    let is_cut_part = matches!(outcome, Err(Stop::End)) && !part.is_whole;
    let verdict = match outcome {
        Ok(()) => Verdict::Ok,
        Err(_) if is_cut_part => Verdict::Ok,
        Err(stop) => verdict_of(stop, part),
    };
    let is_bad = matches!(verdict, Verdict::Corrupt(_) | Verdict::Unknown(_));
    if is_bad && table.rows < 2 {
        return Looked::nothing(verdict);
    }
    let cut =
        part.tail.as_deref().filter(|_| verdict == Verdict::Ok).and_then(|it| cut_tail(it, &shape));
    let verdict = cut.map_or(verdict, Verdict::Truncated);
    let is_all = !table.is_cut && !is_cut_part && part.is_whole;
    let rows = if is_all {
        Rows::Exactly(table.rows)
    } else {
        Rows::About(part.estimate(table.rows, table.used).count())
    };
    if table.columns.is_empty() && verdict == Verdict::Ok {
        return Looked::nothing(Verdict::Empty);
    }
    let mut found = table.finish(shape);
    found.rows = rows;
    Looked::table(verdict, found)
}

fn verdict_of(stop: Stop, part: &Part<'_>) -> Verdict {
    match stop {
        Stop::End if part.is_whole => {
            Verdict::Truncated("its JSON ends before its last bracket".to_owned())
        }
        Stop::End => Verdict::Unknown("one JSON value larger than what is looked at".to_owned()),
        Stop::Bad(at) => {
            let line = part.text.get(..at).unwrap_or_default().matches('\n').count() + 1;
            Verdict::Corrupt(format!("no JSON from byte {at} on, in line {line}"))
        }
        Stop::Wide => {
            let most = limits::CRAWL_COLUMNS_MAX;
            Verdict::Unknown(format!("JSON objects with more than {most} different keys"))
        }
    }
}

/// Looks whether the end of a file is one.
fn cut_tail(tail: &[u8], shape: &Shape) -> Option<String> {
    let last = tail.iter().rev().find(|it| !it.is_ascii_whitespace())?;
    let is_end = match shape {
        Shape::Array => *last == b']',
        Shape::Lines => matches!(last, b'}' | b']'),
        Shape::Key { .. } | Shape::Keyed | Shape::Single => *last == b'}',
    };
    (!is_end).then(|| "its last bracket is missing".to_owned())
}

/// The key of a feature of `GeoJSON` under which its columns stand.
pub(crate) const PROPERTIES: &str = "properties";

/// A table as its rows come.
#[derive(Default)]
struct Table {
    columns: Vec<Profile>,
    places: HashMap<String, usize>,
    rows: u64,
    /// How far the text was used.
    used: usize,
    /// Whether there are more rows than were looked at.
    is_cut: bool,
    bad_rows: BadRows,
    notes: Vec<String>,
    has_header: Option<bool>,
    /// Whether the rows are features of `GeoJSON`, whose properties are columns.
    is_geo: bool,
}

impl Table {
    fn array(&mut self, scan: &Scan<'_>, begin: usize, depth: Depth) -> Result<(), Stop> {
        let mut at = scan.skip_space(begin + 1);
        self.used = at;
        if scan.byte(at) == Some(b']') {
            return Ok(());
        }
        loop {
            if depth.rows <= self.rows {
                self.is_cut = true;
                return Ok(());
            }
            let end = scan.skip_value(at)?;
            self.row(scan.part(at, end))?;
            self.used = end;
            at = scan.skip_space(end);
            match scan.byte(at) {
                Some(b',') => at = scan.skip_space(at + 1),
                Some(b']') => return Ok(()),
                Some(_) => return Err(Stop::Bad(at)),
                None => return Err(Stop::End),
            }
        }
    }

    fn lines(&mut self, scan: &Scan<'_>, depth: Depth) -> Result<(), Stop> {
        let mut at = scan.skip_space(0);
        while scan.byte(at).is_some() {
            if depth.rows <= self.rows {
                self.is_cut = true;
                return Ok(());
            }
            match scan.skip_value(at) {
                Ok(end) => {
                    self.row(scan.part(at, end))?;
                    self.used = end;
                    at = scan.skip_space(end);
                }
                // A bad line costs itself only.
                Err(stop) => {
                    let Some(end) = scan.bad_line(at, stop) else { return Err(stop) };
                    self.rows += 1;
                    self.bad_rows.push(self.rows, || "no JSON".to_owned());
                    self.used = end;
                    at = scan.skip_space(end);
                }
            }
        }
        Ok(())
    }

    /// `{"a": {…}, "b": {…}}`: each entry is a row, its key a column.
    fn keyed(&mut self, scan: &Scan<'_>, depth: Depth) -> Result<(), Stop> {
        self.notes.push("each entry of the object is a row; `key` is its name".to_owned());
        scan.entries(scan.skip_space(0), |key, begin, end| {
            if self.rows < depth.rows {
                self.row(scan.part(begin, end))?;
                self.cell("key", Cell::Text(&key))?;
            }
            self.used = end;
            Ok(true)
        })
    }

    fn single(&mut self, scan: &Scan<'_>) -> Result<(), Stop> {
        let begin = scan.skip_space(0);
        let end = scan.skip_value(begin)?;
        self.notes.push("one object: one row".to_owned());
        self.used = scan.len();
        self.row(scan.part(begin, end))
    }

    /// Counts one row: an object, a list, or a value.
    fn row(&mut self, json: &str) -> Result<(), Stop> {
        match json.as_bytes().first() {
            Some(b'{') => {
                self.rows += 1;
                self.object(json)
            }
            Some(b'[') => self.list(json),
            _ => {
                self.rows += 1;
                let Some(raw) = raw(json) else {
                    self.bad();
                    return Ok(());
                };
                with_cell(raw, |cell| self.cell("value", cell))
            }
        }
    }

    fn bad(&mut self) {
        self.bad_rows.push(self.rows, || "no JSON".to_owned());
    }

    fn object(&mut self, json: &str) -> Result<(), Stop> {
        let Some(fields) = fields(json) else {
            self.bad();
            return Ok(());
        };
        let mut next = 0;
        for (name, raw) in fields {
            if self.is_geo && name == PROPERTIES && raw.get().starts_with('{') {
                self.object(raw.get())?;
                continue;
            }
            // Rows have mostly the same keys in the same order.
            let index = match self.columns.get(next).filter(|it| it.name == name) {
                Some(_) => next,
                None => self.place(&name)?,
            };
            next = index + 1;
            let row = self.rows;
            if let Some(column) = self.columns.get_mut(index) {
                with_cell(raw, |cell| {
                    column.push(cell, row);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    fn list(&mut self, json: &str) -> Result<(), Stop> {
        let Some(values) = values(json) else {
            self.rows += 1;
            self.bad();
            return Ok(());
        };
        if self.has_header.is_none() {
            let are_names = values.iter().all(|it| it.get().starts_with('"'));
            self.has_header = Some(are_names);
            if are_names {
                self.notes.push("the first list names the columns".to_owned());
                for value in &values {
                    let name: String = serde_json::from_str(value.get()).unwrap_or_default();
                    self.place(&name)?;
                }
                return Ok(());
            }
        }
        self.rows += 1;
        for (index, raw) in values.into_iter().enumerate() {
            if self.columns.len() <= index {
                self.place(&format!("column_{}", index + 1))?;
            }
            let row = self.rows;
            if let Some(column) = self.columns.get_mut(index) {
                with_cell(raw, |cell| {
                    column.push(cell, row);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    fn cell(&mut self, name: &str, cell: Cell<'_>) -> Result<(), Stop> {
        let (index, row) = (self.place(name)?, self.rows);
        if let Some(column) = self.columns.get_mut(index) {
            column.push(cell, row);
        }
        Ok(())
    }

    fn place(&mut self, name: &str) -> Result<usize, Stop> {
        if let Some(index) = self.places.get(name) {
            return Ok(*index);
        }
        let index = self.columns.len();
        if limits::CRAWL_COLUMNS_MAX <= index {
            return Err(Stop::Wide);
        }
        self.columns.push(Profile::new(name));
        self.places.insert(name.to_owned(), index);
        Ok(index)
    }

    fn finish(mut self, shape: Shape) -> FoundTable {
        for column in &mut self.columns {
            column.push_missing(self.rows.saturating_sub(column.seen()));
        }
        let name = match &shape {
            Shape::Key { path }
                if path.len() != 1 || path.first().is_some_and(|it| it != "features") =>
            {
                Some(path.join("."))
            }
            _ => None,
        };
        if let Shape::Key { path } = &shape {
            self.notes.push(format!("the rows stand under `{}`", path.join(".")));
        }
        FoundTable {
            name,
            format: TableFormat::Json(shape),
            columns: self.columns,
            rows: Rows::About(self.rows),
            bad_rows: self.bad_rows,
            notes: self.notes,
        }
    }
}

/// Hands on a value as a cell.
fn with_cell(raw: &RawValue, take: impl FnOnce(Cell<'_>) -> Result<(), Stop>) -> Result<(), Stop> {
    let json = raw.get();
    let inner = json.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    match (json.as_bytes().first(), inner) {
        (_, Some(text)) if !text.contains('\\') => take(Cell::Text(text)),
        (Some(b'"'), _) => match serde_json::from_str::<Cow<'_, str>>(json) {
            Ok(text) => take(Cell::Text(&text)),
            Err(_) => take(Cell::Null), // Half of a surrogate pair: no text can hold it.
        },
        (Some(b'n'), _) => take(Cell::Null),
        (Some(b't'), _) => take(Cell::Bool(true)),
        (Some(b'f'), _) => take(Cell::Bool(false)),
        (Some(b'{' | b'['), _) => take(Cell::Nested(json)),
        _ => take(Cell::Number(json)),
    }
}

fn raw(json: &str) -> Option<&RawValue> {
    serde_json::from_str(json).ok()
}

pub(crate) fn fields(json: &str) -> Option<Vec<(Cow<'_, str>, &RawValue)>> {
    serde_json::Deserializer::from_str(json).deserialize_map(Fields).ok()
}

pub(crate) fn values(json: &str) -> Option<Vec<&RawValue>> {
    serde_json::Deserializer::from_str(json).deserialize_seq(Values).ok()
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some((Name(name), value)) = map.next_entry()? {
            fields.push((name, value));
        }
        Ok(fields)
    }
}

/// A key, borrowed where nothing in it is escaped.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(values)
    }
}
