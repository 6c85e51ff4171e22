//! Where in a JSON text the rows are.

use serde::de::IgnoredAny;

use crate::files::json::scan::{Scan, Stop};

/// How the rows of a JSON file are laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// One value after the other, mostly one a line.
    Lines,
    /// One array of rows.
    Array,
    /// An object that holds an array of rows under a key, or under a key of an object in it.
    Key {
        /// The keys that lead there.
        path: Vec<String>,
    },
    /// An object of objects: each is a row.
    Keyed,
    /// One object: one row.
    Single,
}

impl Shape {
    /// Whether the rows are features of `GeoJSON`.
    pub(crate) fn is_geo(&self) -> bool {
        matches!(self, Shape::Key { path } if path.as_slice() == ["features"])
    }
}

/// How deep the array of rows may lie.
const PATH_MAX: usize = 3;

pub(crate) fn find(scan: &Scan<'_>, is_whole: bool) -> Result<Shape, Stop> {
    let begin = scan.skip_space(0);
    if scan.byte(begin) == Some(b'[') {
        // `[…]\n[…]`: lists line by line.
        first_element(scan, begin)?;
        let after = scan.skip_value(begin).map(|end| scan.skip_space(end));
        return match after {
            Ok(at) if scan.byte(at) == Some(b'[') => Ok(Shape::Lines),
            Ok(at) if scan.byte(at).is_some() => Err(Stop::Bad(at)),
            // The rows before a fault tell what the table is.
            _ => Ok(Shape::Array),
        };
    }
    match scan.skip_value(begin) {
        Ok(end) => match scan.byte(scan.skip_space(end)) {
            None => match of_object(scan, begin)? {
                // One line is as well the first of many.
                Shape::Single if scan.line_end(begin).is_none_or(|it| end < it) => Ok(Shape::Lines),
                shape => Ok(shape),
            },
            Some(b'{' | b'[') => Ok(Shape::Lines),
            Some(_) if scan.line_end(begin).is_some_and(|it| end <= it) => Ok(Shape::Lines),
            Some(_) => Err(Stop::Bad(scan.skip_space(end))),
        },
        // The first line is bad, or one large object is cut off.
        Err(stop) => {
            let next = scan.line_end(begin).map(|it| scan.skip_space(it));
            let is_next =
                next.is_some_and(|it| scan.byte(it) == Some(b'{') && scan.skip_value(it).is_ok());
            match stop {
                Stop::Bad(_) if is_next => Ok(Shape::Lines),
                Stop::End if !is_whole => of_object(scan, begin),
                Stop::End => of_object(scan, begin).map_err(|_of_what_is_there| Stop::End),
                other => Err(other),
            }
        }
    }
}

/// What was found of an object.
#[derive(Default)]
struct Look {
    /// The largest array of rows: its bytes and its path; arrays of objects come before others.
    best: Option<(bool, usize, Vec<String>)>,
    entries: usize,
    objects: usize,
}

/// Makes sure that what begins with a bracket begins as JSON does.
fn first_element(scan: &Scan<'_>, array: usize) -> Result<(), Stop> {
    let begin = scan.skip_space(array + 1);
    if scan.byte(begin) == Some(b']') {
        return Ok(());
    }
    match scan.skip_value(begin) {
        Ok(end) if serde_json::from_str::<IgnoredAny>(scan.part(begin, end)).is_ok() => Ok(()),
        Err(Stop::End) => Ok(()),
        Err(other) => Err(other),
        Ok(_) => Err(Stop::Bad(begin)),
    }
}

fn of_object(scan: &Scan<'_>, begin: usize) -> Result<Shape, Stop> {
    let mut look = Look::default();
    let ended = visit(scan, begin, &mut Vec::new(), &mut look);
    if let Some((_, _, path)) = look.best {
        return Ok(Shape::Key { path });
    }
    ended?;
    Ok(if 2 <= look.entries && look.objects == look.entries { Shape::Keyed } else { Shape::Single })
}

fn visit(
    scan: &Scan<'_>,
    begin: usize,
    path: &mut Vec<String>,
    look: &mut Look,
) -> Result<(), Stop> {
    let mut at = scan.skip_space(begin + 1);
    if scan.byte(at) == Some(b'}') {
        return Ok(());
    }
    loop {
        let (key, value) = scan.key(at)?;
        path.push(key);
        let end = scan.skip_value(value);
        let size = end.unwrap_or(scan.len()) - value;
        if path.len() == 1 {
            look.entries += 1;
            look.objects += usize::from(scan.byte(value) == Some(b'{'));
        }
        match scan.byte(value) {
            Some(b'[') => {
                let first = scan.byte(scan.skip_space(value + 1));
                let has_objects = first == Some(b'{');
                let is_rows = has_objects || (first == Some(b'[') && path.len() == 1);
                let is_better = look
                    .best
                    .as_ref()
                    .is_none_or(|(objects, best, _)| (*objects, *best) < (has_objects, size));
                if is_rows && is_better {
                    look.best = Some((has_objects, size, path.clone()));
                }
            }
            Some(b'{') if path.len() < PATH_MAX => {
                let _what_is_cut_is_known_below = visit(scan, value, path, look);
            }
            _ => {}
        }
        path.pop();
        at = scan.skip_space(end?);
        match scan.byte(at) {
            Some(b',') => at = scan.skip_space(at + 1),
            Some(b'}') => return Ok(()),
            Some(_) => return Err(Stop::Bad(at)),
            None => return Err(Stop::End),
        }
    }
}

/// Returns where the array under `path` begins.
pub(crate) fn place_of(scan: &Scan<'_>, path: &[String]) -> Option<usize> {
    let mut object = scan.skip_space(0);
    let (last, before) = path.split_last()?;
    for wanted in before {
        object = value_of(scan, object, wanted)?;
    }
    value_of(scan, object, last)
}

fn value_of(scan: &Scan<'_>, object: usize, wanted: &str) -> Option<usize> {
    let mut at = scan.skip_space(object + 1);
    loop {
        let (key, value) = scan.key(at).ok()?;
        if key == wanted {
            return Some(value);
        }
        at = scan.skip_space(scan.skip_value(value).ok()?);
        (scan.byte(at) == Some(b',')).then_some(())?;
        at = scan.skip_space(at + 1);
    }
}
