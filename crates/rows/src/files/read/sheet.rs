//! Rows of a workbook's sheet.

use std::sync::Arc;

use calamine::{Data, Reader as _};

use crate::column::Found;
use crate::files::delimited::names_of;
use crate::files::excel::text_of;
use crate::files::read::{Builder, ReadColumn, ReadError, RowSource};
use crate::files::{Cursor, Source};

pub(super) struct Sheet {
    range: calamine::Range<Data>,
    next: usize,
    /// For each field of a row, which column it is.
    places: Vec<Option<usize>>,
}

impl Sheet {
    /// Opens the sheet that has the columns: the first where a row names the most of them.
    pub(super) fn open(
        source: &Arc<dyn Source>,
        columns: &[ReadColumn],
    ) -> Result<Sheet, ReadError> {
        let damaged = |why: String| ReadError::Damaged(why);
        let cursor = Cursor::new(Arc::clone(source));
        let mut book = calamine::open_workbook_auto_from_rs(cursor)
            .map_err(|it| damaged(format!("as a workbook: {it}")))?;
        let mut best: Option<(usize, Sheet)> = None;
        for name in book.sheet_names() {
            let range = book
                .worksheet_range(&name)
                .map_err(|it| damaged(format!("the sheet `{name}`: {it}")))?;
            let (known, next, places) = header(&range, columns);
            if best.as_ref().map_or(0, |(most, _)| *most) < known {
                best = Some((known, Sheet { range, next, places }));
            }
        }
        let found = best.map(|(_, sheet)| sheet);
        found.ok_or_else(|| damaged("no row of a sheet names the columns".to_owned()))
    }
}

/// A header stands among the first rows, or nowhere.
const HEADER_ROWS: usize = 50;

/// Returns how many columns the best row names, the row after it, and the places of its fields.
fn header(
    range: &calamine::Range<Data>,
    columns: &[ReadColumn],
) -> (usize, usize, Vec<Option<usize>>) {
    let mut best = (0, 0, Vec::new());
    for (at, row) in range.rows().take(HEADER_ROWS).enumerate() {
        let texts: Vec<String> = row.iter().map(text_of).collect();
        let names = names_of(texts.iter().map(String::as_str));
        let place = |name: &String| columns.iter().position(|it| it.name == *name);
        let places: Vec<Option<usize>> = names.iter().map(place).collect();
        let known = places.iter().flatten().count();
        if best.0 < known {
            best = (known, at + 1, places);
        }
    }
    best
}

impl RowSource for Sheet {
    fn fill(&mut self, to: &mut Builder) -> Result<bool, ReadError> {
        while !to.is_full() {
            let Some(row) = self.range.rows().nth(self.next) else { return Ok(false) };
            self.next += 1;
            let texts: Vec<String> = row.iter().map(text_of).collect();
            if texts.iter().all(String::is_empty) {
                continue;
            }
            let fields = || self.places.iter().copied().zip(texts.iter().map(String::as_str));
            let mut outcome = Ok(());
            for (place, text) in fields() {
                if let (Some(place), true) = (place, outcome.is_ok()) {
                    outcome = to.value(place, Found::String(text));
                }
            }
            let told = outcome.is_err().then(|| to.object(fields()));
            to.end_row_of(outcome, || (texts.join("\t"), told));
        }
        Ok(true)
    }
}
