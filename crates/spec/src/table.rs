//! Tables: one SELECT each, kept up to date.

use base::{Name, Span};

use crate::source::{Spot, Word};
use crate::sql::SqlText;
use crate::stream::Check;

/// A table.
#[derive(Debug, Clone)]
pub struct Table {
    /// The name.
    pub name: Name,
    /// Where it is declared.
    pub spot: Spot,
    /// What it holds.
    pub sql: SqlText,
    /// The streams, lookups and tables it reads.
    pub reads: Vec<Name>,
    /// What else it reads: dead letters (`orders__dead`) and system tables (`system.flows`).
    pub reads_beside: Vec<String>,
    /// Where in the warehouse it belongs, a free word: `raw`, `reporting`, `kpi`.
    pub layer: Option<String>,
    /// What happens to late rows.
    pub late: Late,
    /// How its files are laid out.
    pub partition: Option<Partition>,
    /// How long its rows are kept; for ever if not said.
    pub keep: Option<Span>,
    /// How often it is recomputed, where it cannot be kept up to date.
    pub every: Option<Span>,
    /// How often running totals are stored.
    pub publish: Span,
    /// What must hold of its rows.
    pub checks: Vec<Check>,
    /// What it is, for people.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Free words to find it by.
    pub tags: Vec<String>,
}

/// What happens to a row whose window is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// Windows are held open so much longer; rows later than that recompute their window.
    Hold(Span),
    /// Late rows go to the table's dead letters.
    Dead,
}

/// How a table's files are laid out.
#[derive(Debug, Clone)]
pub struct Partition {
    /// The column.
    pub column: String,
    /// The part of its time that makes a folder; the value itself if not said.
    pub unit: Option<PartitionUnit>,
    /// Where it is said.
    pub word: Word,
}

/// A part of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionUnit {
    /// `hour(ts)`
    Hour,
    /// `day(ts)`
    Day,
    /// `month(ts)`
    Month,
    /// `year(ts)`
    Year,
}
