//! What is new since an earlier crawl of the same place.

use std::collections::HashMap;
use std::fmt;

use rows::files::Verdict;

use crate::crawl::{Crawl, FoundFile, FoundTable};

/// One thing that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A file came, or has other bytes than before.
    File {
        /// Its path.
        path: String,
        /// Whether it was there before.
        is_known: bool,
        /// The tables that it is part of.
        tables: Vec<String>,
        /// What it is.
        verdict: Verdict,
    },
    /// A file is no longer there.
    Gone {
        /// Its path.
        path: String,
    },
    /// A table came.
    Table {
        /// Its name.
        name: String,
    },
    /// A table has one more column.
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        kind: String,
    },
    /// A column is of another type now.
    Kind {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What it was.
        before: String,
        /// What it is.
        after: String,
    },
}

/// Returns what differs between two crawls of one place.
pub fn changes(before: &Crawl, after: &Crawl) -> Vec<Change> {
    let known: HashMap<&str, &FoundFile> =
        before.files.iter().map(|it| (it.path.as_str(), it)).collect();
    let now: HashMap<&str, &FoundFile> =
        after.files.iter().map(|it| (it.path.as_str(), it)).collect();
    let mut changes = Vec::new();
    for file in &after.files {
        let old = known.get(file.path.as_str());
        if old.is_some_and(|it| it.size == file.size && it.verdict == file.verdict) {
            continue;
        }
        let tables = file.tables.iter().filter_map(|it| after.tables.get(*it));
        changes.push(Change::File {
            path: file.path.clone(),
            is_known: old.is_some(),
            tables: tables.map(|it| it.name.clone()).collect(),
            verdict: file.verdict.clone(),
        });
    }
    let gone = before.files.iter().filter(|it| !now.contains_key(it.path.as_str()));
    changes.extend(gone.map(|it| Change::Gone { path: it.path.clone() }));
    for table in &after.tables {
        match before.tables.iter().find(|it| it.name == table.name) {
            Some(old) => compare(old, table, &mut changes),
            None => changes.push(Change::Table { name: table.name.clone() }),
        }
    }
    changes
}

fn compare(before: &FoundTable, after: &FoundTable, changes: &mut Vec<Change>) {
    for guess in after.columns.iter().chain(&after.partitions) {
        let mut columns = before.columns.iter().chain(&before.partitions);
        let (table, column) = (after.name.clone(), guess.name.clone());
        match columns.find(|it| it.name == guess.name) {
            None => {
                changes.push(Change::Column { table, column, kind: guess.kind.to_string() });
            }
            Some(old) if old.kind != guess.kind => {
                let (before, after) = (old.kind.to_string(), guess.kind.to_string());
                changes.push(Change::Kind { table, column, before, after });
            }
            Some(_) => {}
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::File { path, is_known, tables, verdict } => {
                let what = if *is_known { "changed" } else { "new" };
                write!(f, "{what} file {path}: {}", verdict.word())?;
                if !verdict.reason().is_empty() {
                    write!(f, ", {}", verdict.reason())?;
                }
                if tables.is_empty() { Ok(()) } else { write!(f, ", in {}", tables.join(", ")) }
            }
            Change::Gone { path } => write!(f, "gone file {path}"),
            Change::Table { name } => write!(f, "new table {name}"),
            Change::Column { table, column, kind } => {
                write!(f, "new column {table}.{column}: {kind}")
            }
            Change::Kind { table, column, before, after } => {
                write!(f, "changed column {table}.{column}: {after}, before {before}")
            }
        }
    }
}
