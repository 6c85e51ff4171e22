//! SQL as it stands in a file: its text, and the way back from a byte of it to line and column.

use std::fmt;
use std::ops::Range;

use crate::fault::Fault;
use crate::source::Spot;

mod parse;

pub(crate) use crate::sql::parse::{Read, extent, is_select, parse_condition, parse_select};

/// SQL of the project: a SELECT, a check, a partition expression.
#[derive(Clone, PartialEq, Eq)]
pub struct SqlText {
    /// The SQL.
    pub text: String,
    spot: Spot,
    is_exact: bool,
}

impl SqlText {
    pub(crate) fn new(text: String, spot: Spot, is_exact: bool) -> SqlText {
        SqlText { text, spot, is_exact }
    }

    /// Makes SQL that stands in no project: a request, or a test.
    pub fn outside(path: &str, text: &str) -> SqlText {
        SqlText { text: text.to_owned(), spot: Spot::outside(path, text), is_exact: true }
    }

    /// Returns an error at `range_in_sql`, bytes of [`SqlText::text`].
    pub fn fault(
        &self,
        range_in_sql: Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Fault {
        self.spot_of(range_in_sql).fault(message, help)
    }

    /// Returns a warning at `range_in_sql`.
    pub fn warning(
        &self,
        range_in_sql: Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Fault {
        self.spot_of(range_in_sql).warning(message, help)
    }

    /// Returns where bytes of the SQL stand in their file; the whole string where it has escapes.
    pub fn spot_of(&self, range_in_sql: Range<usize>) -> Spot {
        let mut spot = self.spot.clone();
        if self.is_exact {
            let at = |byte: usize| self.spot.range.start + byte.min(self.text.len());
            spot.range = at(range_in_sql.start)..at(range_in_sql.end);
        }
        spot
    }

    /// Returns where the SQL stands.
    pub fn spot(&self) -> &Spot {
        &self.spot
    }

    /// Returns the byte of a line and a column of the SQL, both counted from 1, columns in
    /// characters, as SQL parsers and planners name places.
    pub fn byte_at(&self, line: u64, column: u64) -> usize {
        let mut start = 0;
        for _ in 1..line.max(1) {
            let rest = self.text.get(start..).unwrap_or_default();
            start += rest.find('\n').map_or(rest.len(), |it| it + 1);
        }
        let rest = self.text.get(start..).unwrap_or_default();
        let skipped = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
        start + rest.char_indices().nth(skipped).map_or(rest.len(), |(byte, _)| byte)
    }
}

impl fmt::Debug for SqlText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

#[cfg(test)]
mod tests;
