//! Finds tables in a tree of mixed files, on disk or in an object store.
//!
//! ```text
//! place: list ──► look at each file (threads, head and tail only) ──► group ──► Crawl
//!                   rows::files                                       one schema, one name pattern
//!                                                                        └─► propose: TOML
//! ```
//!
//! Every file ends as a row that says what it is: `ok` and part of a table, or why not. Nothing
//! that stands in a file stops the crawl, and no file is read whole because it is large.

mod change;
mod files;
mod group;
mod pattern;
mod place;
mod propose;
mod schema;

use std::collections::HashSet;

use base::{Glob, limits};
use rows::files::{Rows, Verdict};
use rows::infer::Guess;
use spec::name_like;

pub use self::change::{Change, changes};
pub use self::files::{crawl, stamp};
pub use self::place::{Elsewhere, Place};
pub use self::propose::{Bucket, Column, Kind, Proposal, Section, formats_said, rows_said, why};
pub use self::schema::Objects;

/// How a crawl is done.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Threads that look at files.
    pub threads: usize,
    /// Files at most; more are not looked at, and that is said.
    pub files_max: usize,
    /// The files that are meant; all of them if none.
    pub only: Option<Glob>,
}

impl Default for Settings {
    fn default() -> Settings {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Settings { threads, files_max: limits::CRAWL_FILES_MAX, only: None }
    }
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Crawl {
    /// Where, as it was named.
    pub root: String,
    /// The tables, by name.
    pub tables: Vec<FoundTable>,
    /// Every file that was looked at, by path.
    pub files: Vec<FoundFile>,
    /// Files and folders that were passed over, as their names begin with `.` or `_`.
    pub hidden: u64,
    /// Whether there are more files than may be looked at.
    pub is_cut: bool,
}

/// A file, and what it is.
#[derive(Debug, Clone)]
pub struct FoundFile {
    /// Its path below the root.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// Whether it can be read.
    pub verdict: Verdict,
    /// `csv`, `parquet`, … and the compression, if it can be read.
    pub format: String,
    /// The tables that it is part of, by their place in [`Crawl::tables`].
    pub tables: Vec<usize>,
}

/// Files of one schema.
#[derive(Debug, Clone)]
pub struct FoundTable {
    /// What it may be called.
    pub name: String,
    /// The path of its files below the root; `*` where they differ.
    pub pattern: String,
    /// The sheet, key or member that it is in each file.
    pub inside: Option<String>,
    /// `csv`, `parquet`, … with how often.
    pub formats: Vec<(String, u64)>,
    /// How the first file of values between delimiters is laid out.
    pub layout: Option<rows::files::Layout>,
    /// Its files, by their place in [`Crawl::files`].
    pub files: Vec<usize>,
    /// Bytes of its files.
    pub size: u64,
    /// How many rows it has.
    pub rows: Rows,
    /// Rows that were looked at.
    pub sampled: u64,
    /// Its columns, in their order.
    pub columns: Vec<Guess>,
    /// The columns that its folders say, as `year` in `year=2024`.
    pub partitions: Vec<Guess>,
    /// Rows that do not fit the others: how many, and the first with file, row and fault.
    pub bad_rows: (u64, Vec<(usize, u64, String)>),
    /// What else a person should know.
    pub notes: Vec<String>,
}

/// How far a crawl is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Files that were looked at.
    pub done: usize,
    /// Files that there are.
    pub all: usize,
}

/// Returns a name like this one that no other before it has.
fn free_name(text: &str, names: &mut HashSet<String>) -> String {
    let base = name_like(text);
    let mut name = base.clone();
    let mut number = 2;
    while !names.insert(name.clone()) {
        name = format!("{base}_{number}");
        number += 1;
    }
    name
}

#[cfg(test)]
mod tests;
