//! Dashboards and their charts.

use base::{Name, Span};

use crate::source::{Spot, Word};

/// A page of charts.
#[derive(Debug, Clone)]
pub struct Dashboard {
    /// The name.
    pub name: Name,
    /// Where it is declared.
    pub spot: Spot,
    /// Its heading.
    pub title: Option<String>,
    /// The charts, in the order of the file.
    pub charts: Vec<Chart>,
    /// What it is, for people.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Free words to find it by.
    pub tags: Vec<String>,
}

/// One chart.
#[derive(Debug, Clone)]
pub struct Chart {
    /// Where it is declared.
    pub spot: Spot,
    /// Its heading.
    pub title: Option<String>,
    /// How it is drawn.
    pub kind: ChartKind,
    /// The table it shows, as said in the file.
    pub from: Word,
    /// The column along the axis.
    pub x: Option<Word>,
    /// The columns drawn.
    pub y: Vec<Word>,
    /// The column that tells one line or bar from another.
    pub by: Option<Word>,
    /// How far back it looks from now.
    pub last: Option<Span>,
    /// How many rows or bars it shows.
    pub limit: Option<u32>,
}

/// How a chart is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChartKind {
    /// A line per `by`.
    Line,
    /// Lines with the area below them filled.
    Area,
    /// Bars.
    Bar,
    /// One number.
    Number,
    /// Rows.
    Table,
}
