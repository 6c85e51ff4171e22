//! Values between delimiters: which ones, what protects them, and what the first row says.

mod dialect;
mod grid;

use std::borrow::Cow;

use base::limits;

use self::dialect::Found;
pub(crate) use self::grid::{Grid, found_of_grid, names_of};
pub use crate::decode::Dialect;
use crate::decode::Fields;
use crate::files::{BadRows, Depth, FoundTable, Looked, Part, Rows, TableFormat, Verdict};
use crate::infer::{Cell, Profile};

/// How a file of values between delimiters is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// How fields are told apart.
    pub dialect: Dialect,
    /// How many lines stand before the first row, its header not counted.
    pub preamble: usize,
    /// Whether the first row names the columns.
    pub has_header: bool,
    /// What the text is encoded in.
    pub encoding: &'static str,
}

pub(crate) fn look(part: &Part<'_>, depth: Depth) -> Looked {
    let found = match dialect::sniff(part) {
        Ok(found) => found,
        Err(verdict) => return Looked::nothing(verdict),
    };
    let Found { dialect, columns, preamble, begin, is_sep } = found;
    let rest = part.text.get(begin..).unwrap_or_default();
    let first: Vec<Vec<String>> = Records::new(rest, dialect)
        .take(dialect::RECORDS)
        .filter_map(|it| it.fields.ok())
        .filter(|it| it.len() == columns)
        .map(|fields| fields.into_iter().map(Cow::into_owned).collect())
        .collect();
    let header = grid::header(&first);
    let mut records = Records::new(rest, dialect);
    let names = if header.is_there {
        let fields = records.next().and_then(|it| it.fields.ok()).unwrap_or_default();
        names_of(fields.iter().map(AsRef::as_ref))
    } else {
        names_of(std::iter::repeat_n("", columns))
    };
    let sampled = sample(part, &mut records, &names, depth);
    let mut notes = Vec::new();
    if is_sep {
        notes.push("its first line says the delimiter".to_owned());
    } else if 0 < preamble {
        notes.push(format!("{preamble} lines stand before the table"));
    }
    notes.extend(header.note.map(str::to_owned));
    let layout = Layout { dialect, preamble, has_header: header.is_there, encoding: "UTF-8" };
    let verdict = match (&sampled.cut, sampled.rows) {
        (Some(why), _) => Verdict::Truncated(why.clone()),
        (None, Rows::Exactly(0)) if !header.is_there => Verdict::Empty,
        _ => Verdict::Ok,
    };
    if sampled.rows == Rows::Exactly(0) {
        notes.push("a header without rows".to_owned());
    }
    let table = FoundTable {
        name: None,
        format: TableFormat::Csv(layout),
        columns: sampled.columns,
        rows: sampled.rows,
        bad_rows: sampled.bad_rows,
        notes,
    };
    Looked::table(verdict, table)
}

struct Sampled {
    columns: Vec<Profile>,
    rows: Rows,
    bad_rows: BadRows,
    /// Why the file seems to be cut off.
    cut: Option<String>,
}

fn sample(part: &Part<'_>, records: &mut Records<'_>, names: &[String], depth: Depth) -> Sampled {
    let mut columns: Vec<Profile> = names.iter().map(|it| Profile::new(it)).collect();
    let begin = part.text.len() - records.rest.len();
    let (mut rows, mut bad_rows, mut cut) = (0_u64, BadRows::default(), None);
    let mut used = begin;
    while rows < depth.rows {
        let Some(record) = records.next() else { break };
        // The last record of a part is not whole.
        if records.rest.is_empty() && !part.is_whole {
            break;
        }
        rows += 1;
        used = part.text.len() - records.rest.len();
        let fields = match record.fields {
            Ok(fields) => fields,
            Err(why) => {
                bad_rows.push(rows, || why.clone());
                if records.rest.is_empty() && part.is_whole {
                    cut = Some(format!("row {rows}, the last: {why}"));
                }
                continue;
            }
        };
        if fields.len() != names.len() {
            let (found, wanted) = (fields.len(), names.len());
            let why = format!("{found} fields where the others have {wanted}");
            let is_last = records.rest.is_empty() && part.is_whole && !record.has_end;
            if is_last && found < wanted {
                cut = Some(format!("its last line ends after {found} of {wanted} fields"));
            }
            bad_rows.push(rows, || why);
            if fields.len() < names.len() / 2 {
                continue;
            }
        }
        for (column, field) in columns.iter_mut().zip(&fields) {
            column.push(Cell::Field(field), rows);
        }
        for column in columns.iter_mut().skip(fields.len()) {
            column.push_missing(1);
        }
    }
    if let Some(why) = part.tail.as_deref().and_then(|it| cut_tail(it, records.dialect, names)) {
        cut = Some(why);
    }
    let rows = if records.rest.is_empty() && part.is_whole {
        Rows::Exactly(rows)
    } else {
        let estimate = part.estimate(rows, used.saturating_sub(begin));
        Rows::About(estimate.count())
    };
    Sampled { columns, rows, bad_rows, cut }
}

/// Looks at the end of a file: a last line without its end and with too few fields was cut off.
fn cut_tail(tail: &[u8], dialect: Dialect, names: &[String]) -> Option<String> {
    let tail = String::from_utf8_lossy(tail);
    if tail.ends_with(['\n', '\r']) {
        return None;
    }
    let (before, last) = tail.rsplit_once('\n')?;
    if before.matches(char::from(dialect.quote)).count() % 2 == 1 {
        return None; // The line end stands in a field, as far as can be seen from here.
    }
    let found = Fields::first_of(last, dialect).filter_map(Result::ok).count();
    (found < names.len())
        .then(|| format!("its last line ends after {found} of {} fields", names.len()))
}

/// One record: its fields, or why they cannot be told apart.
pub(crate) struct Record<'a> {
    pub(crate) fields: Result<Vec<Cow<'a, str>>, String>,
    /// Whether a line end follows.
    pub(crate) has_end: bool,
}

/// The records of a text; empty lines are none.
pub(crate) struct Records<'a> {
    pub(crate) rest: &'a str,
    pub(crate) dialect: Dialect,
}

impl<'a> Records<'a> {
    pub(crate) fn new(text: &'a str, dialect: Dialect) -> Records<'a> {
        Records { rest: text, dialect }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let signs = if self.dialect.is_aligned { &[' ', '\r', '\n'][..] } else { &['\r', '\n'] };
        let begin = self.rest.trim_start_matches(signs);
        if begin.is_empty() {
            self.rest = "";
            return None;
        }
        let mut fields = Fields::first_of(begin, self.dialect);
        let mut found = Vec::new();
        let mut fault = None;
        for field in &mut fields {
            match field {
                Ok(field) if found.len() < limits::CRAWL_COLUMNS_MAX => found.push(field.text),
                Ok(_) => {
                    fault = Some(format!("more than {} fields", limits::CRAWL_COLUMNS_MAX));
                }
                Err(why) => fault = Some(why),
            }
        }
        match fault {
            None => {
                self.rest = fields.after();
                let used = begin.len() - self.rest.len();
                let has_end = begin.as_bytes().get(..used).is_some_and(|it| it.ends_with(b"\n"));
                Some(Record { fields: Ok(found), has_end })
            }
            // A quote that is never closed must cost its own line only.
            Some(why) => {
                let (_line, after) = begin.split_once('\n').unwrap_or((begin, ""));
                self.rest = after;
                Some(Record { fields: Err(why), has_end: !after.is_empty() })
            }
        }
    }
}
