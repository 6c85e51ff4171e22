//! What changed in the catalogue, and when: one line of `catalog.ndjson` in the data folder per change.
//!
//! A line holds the entry as it is from then on, so the last line of each is what is known of it. A
//! line that was not finished before a power cut is cut off: what it said is noticed again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base::limits;
use serde::{Deserialize, Serialize};
use show::{Catalog, Column, Entry, EntryKind};

/// What of an entry is part of its history: what somebody wrote, not what runs through it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Fixed {
    description: Option<String>,
    owner: Option<String>,
    tags: Vec<String>,
    layer: Option<String>,
    columns: Vec<Column>,
    /// What is said about them, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    descriptions: BTreeMap<String, String>,
    partition: Option<String>,
    reads: Vec<String>,
    sql: String,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) at_ms: u64,
    pub(crate) kind: EntryKind,
    pub(crate) name: String,
    /// `added`, `changed` or `dropped`.
    pub(crate) change: String,
    /// What differs, in words.
    pub(crate) details: Vec<String>,
    /// The entry from then on; nothing if it was dropped.
    entry: Option<Fixed>,
}

type Key = (EntryKind, String);

/// All changes that are remembered.
#[derive(Debug)]
pub(crate) struct History {
    path: PathBuf,
    known: BTreeMap<Key, Fixed>,
    changes: Vec<Change>,
}

impl History {
    /// Reads what is remembered in the data folder.
    pub(crate) fn open(data: &Path) -> anyhow::Result<History> {
        let path = data.join("catalog.ndjson");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).context(format!("cannot read {}", path.display())),
        };
        let mut history = History { path, known: BTreeMap::new(), changes: Vec::new() };
        let mut whole = 0;
        for line in text.split_inclusive('\n') {
            let Ok(change) = serde_json::from_str::<Change>(line) else { break };
            if !line.ends_with('\n') {
                break;
            }
            whole += line.len() as u64;
            history.take(change);
        }
        if whole < text.len() as u64 {
            let file = File::options().write(true).open(&history.path)?;
            file.set_len(whole)?;
            file.sync_all()?;
        }
        Ok(history)
    }

    /// Returns the changes, oldest first.
    pub(crate) fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Writes down what differs from what is known.
    pub(crate) fn note(&mut self, catalog: &Catalog, now_ms: u64) -> anyhow::Result<()> {
        let changes = self.since(catalog, now_ms);
        if changes.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for change in &changes {
            text += &serde_json::to_string(change)?;
            text.push('\n');
        }
        let write = || {
            let mut file = File::options().create(true).append(true).open(&self.path)?;
            let before = file.seek(SeekFrom::End(0))?;
            let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
            if written.is_err() {
                file.set_len(before)?;
            }
            written
        };
        write().with_context(|| format!("cannot write {}", self.path.display()))?;
        changes.into_iter().for_each(|it| self.take(it));
        Ok(())
    }

    fn take(&mut self, change: Change) {
        let key = (change.kind, change.name.clone());
        match &change.entry {
            Some(entry) => self.known.insert(key, entry.clone()),
            None => self.known.remove(&key),
        };
        self.changes.push(change);
        let over = self.changes.len().saturating_sub(limits::CATALOG_CHANGES_MAX);
        self.changes.drain(..over);
    }

    fn since(&self, catalog: &Catalog, now_ms: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut there: BTreeMap<Key, Fixed> = BTreeMap::new();
        for entry in &catalog.entries {
            there.insert((entry.brief.kind, entry.brief.name.clone()), Fixed::of(entry));
        }
        let mut note = |key: &Key, change: &str, details: Vec<String>, entry: Option<&Fixed>| {
            changes.push(Change {
                at_ms: now_ms,
                kind: key.0,
                name: key.1.clone(),
                change: change.to_owned(),
                details,
                entry: entry.cloned(),
            });
        };
        for (key, is) in &there {
            match self.known.get(key) {
                None => note(key, "added", Vec::new(), Some(is)),
                Some(was) if was != is => note(key, "changed", is.details(was), Some(is)),
                Some(_) => {}
            }
        }
        for key in self.known.keys().filter(|it| !there.contains_key(*it)) {
            note(key, "dropped", Vec::new(), None);
        }
        changes
    }
}

impl Fixed {
    fn of(entry: &Entry) -> Fixed {
        let described = entry.columns.iter();
        let described =
            described.filter_map(|it| Some((it.column.name.clone(), it.description.clone()?)));
        Fixed {
            description: entry.brief.description.clone(),
            owner: entry.brief.owner.clone(),
            tags: entry.brief.tags.clone(),
            layer: entry.brief.layer.clone(),
            columns: entry.columns.iter().map(|it| it.column.clone()).collect(),
            descriptions: described.collect(),
            partition: entry.partition.clone(),
            reads: entry.reads.clone(),
            sql: entry.sql.clone(),
        }
    }

    /// Says what differs.
    fn details(&self, was: &Fixed) -> Vec<String> {
        let mut told = Vec::new();
        let mut differs = |name: &str, was: String, is: String| {
            if was != is {
                told.push(format!("{name}: {} → {}", or_none(&was), or_none(&is)));
            }
        };
        let text = |it: &Option<String>| it.clone().unwrap_or_default();
        differs("description", text(&was.description), text(&self.description));
        differs("owner", text(&was.owner), text(&self.owner));
        differs("tags", was.tags.join(", "), self.tags.join(", "));
        differs("layer", text(&was.layer), text(&self.layer));
        differs("partition", text(&was.partition), text(&self.partition));
        differs("reads", was.reads.join(", "), self.reads.join(", "));
        for column in &self.columns {
            let about = |of: &Fixed| of.descriptions.get(&column.name).cloned().unwrap_or_default();
            differs(&format!("description of {}", column.name), about(was), about(self));
        }
        for column in &self.columns {
            let kind = kind_of(column);
            match was.columns.iter().find(|it| it.name == column.name) {
                None => told.push(format!("+ column {} {kind}", column.name)),
                Some(old) if kind_of(old) != kind => {
                    told.push(format!("column {}: {} → {kind}", column.name, kind_of(old)));
                }
                Some(_) => {}
            }
        }
        let is_there = |it: &&Column| self.columns.iter().any(|now| now.name == it.name);
        let gone = was.columns.iter().filter(|it| !is_there(it));
        told.extend(gone.map(|it| format!("- column {}", it.name)));
        if was.sql != self.sql {
            told.push("its SELECT".to_owned());
        }
        told
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

fn kind_of(column: &Column) -> String {
    if column.nullable { column.kind.clone() } else { format!("{} not null", column.kind) }
}

#[cfg(test)]
mod tests;
