//! Rows of values between delimiters.

use std::borrow::Cow;
use std::sync::Arc;

use crate::column::Found;
use crate::files::delimited::{Records, names_of};
use crate::files::read::input::Input;
use crate::files::read::{Builder, ReadError, RowSource};
use crate::files::{Compression, Layout, Source};

/// A record whose quote is still open after so many bytes has a quote that is never closed.
const RECORD_BYTES_MAX: usize = 1 << 20;

pub(super) struct Lines {
    input: Input,
    layout: Layout,
    /// For each field of the file, which column it is; nothing before the first record.
    places: Option<Vec<Option<usize>>>,
    preamble: usize,
}

impl Lines {
    pub(super) fn open(
        source: &Arc<dyn Source>,
        compression: Option<Compression>,
        layout: &Layout,
    ) -> Result<Lines, ReadError> {
        let input = Input::open(source, compression, layout.encoding)?;
        Ok(Lines { input, layout: layout.clone(), places: None, preamble: layout.preamble })
    }

    /// Passes the lines before the table; answers whether that is done.
    fn pass_preamble(&mut self) -> bool {
        while 0 < self.preamble {
            let Some(end) = self.input.rest().find('\n') else { return self.input.is_end() };
            self.input.pass(end + 1);
            self.preamble -= 1;
        }
        true
    }
}

impl Lines {
    /// Takes the records that are whole in what is at hand.
    fn take(&mut self, to: &mut Builder) {
        let is_end = self.input.is_end();
        let rest = self.input.rest();
        let mut records = Records::new(rest, self.layout.dialect);
        let mut used = 0;
        while !to.is_full() {
            let before = records.rest;
            let Some(record) = records.next() else {
                used = rest.len();
                break;
            };
            // What cannot be told apart may only lack its end.
            let may_lack = record.fields.is_err() && before.len() < RECORD_BYTES_MAX;
            if !is_end && (records.rest.is_empty() || may_lack) {
                break;
            }
            let Some(places) = &self.places else {
                let fields = record.fields.unwrap_or_default();
                self.places = Some(places_of(&self.layout, &fields, to));
                if !self.layout.has_header {
                    records.rest = before; // It is a row, and is taken again.
                }
                used = rest.len() - records.rest.len();
                continue;
            };
            used = rest.len() - records.rest.len();
            let taken = before.get(..before.len() - records.rest.len()).unwrap_or_default();
            let taken = taken.trim_matches(['\r', '\n']);
            let is_text = !taken.contains(char::REPLACEMENT_CHARACTER);
            let outcome = match &record.fields {
                Ok(fields) if is_text => add(fields, places, to),
                Ok(_) => Err("bytes that are no text".to_owned()),
                Err(why) => Err(why.clone()),
            };
            let fields = match &record.fields {
                Ok(fields) if outcome.is_err() && is_text && fields.len() == places.len() => {
                    let fields = places.iter().zip(fields).map(|(place, it)| (*place, it.as_ref()));
                    Some(to.object(fields))
                }
                _ => None,
            };
            to.end_row_of(outcome, || (taken.to_owned(), fields));
        }
        self.input.pass(used);
    }
}

/// Returns for each field of a record which column it is.
fn places_of(layout: &Layout, first: &[Cow<'_, str>], to: &Builder) -> Vec<Option<usize>> {
    let names = if layout.has_header {
        names_of(first.iter().enumerate().map(|(index, it)| match index {
            0 => it.trim_start_matches(['#', ' ']),
            _ => it.as_ref(),
        }))
    } else {
        names_of(std::iter::repeat_n("", first.len()))
    };
    names.iter().map(|it| to.place_of(it)).collect()
}

fn add(fields: &[Cow<'_, str>], places: &[Option<usize>], to: &mut Builder) -> Result<(), String> {
    if fields.len() != places.len() {
        return Err(format!("expected {} fields, found {}", places.len(), fields.len()));
    }
    for (place, text) in places.iter().zip(fields) {
        if let Some(place) = place {
            to.value(*place, Found::String(text))?;
        }
    }
    Ok(())
}

impl RowSource for Lines {
    fn fill(&mut self, to: &mut Builder) -> Result<bool, ReadError> {
        loop {
            if self.pass_preamble() {
                self.take(to);
                if to.is_full() {
                    return Ok(true);
                }
                if self.input.is_end() {
                    return Ok(false);
                }
            }
            self.input.more()?;
        }
    }
}
