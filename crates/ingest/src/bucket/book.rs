//! What was told of a bucket, on disk: lines of JSON, added and synced, that a restart reads.
//!
//! A chunk of events is written down before it is told and struck off afterwards. After a crash in
//! between it is told again under the same key, which the journal knows.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::bucket::listing::{Event, Object, What};
use crate::lines::Lines;

/// See the module.
#[derive(Debug)]
pub(crate) struct Book {
    lines: Lines,
    /// The objects that were told of and are there.
    objects: BTreeMap<String, Object>,
    /// Grows with each chunk.
    next: u64,
    pending: Option<(u64, Vec<Event>)>,
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    /// Objects that are there.
    Known(Vec<Object>),
    /// Events to tell.
    Begin(u64, Vec<Event>),
    /// They were told.
    Done(u64),
}

/// Objects in one line of a book that is written anew.
const KNOWN_MAX: usize = 1_000;

impl Book {
    /// Reads the book, or begins one. `now_ms` makes the numbers of a new one differ from those of
    /// one that was lost.
    pub(crate) async fn open(path: PathBuf, now_ms: u64) -> io::Result<Book> {
        let (lines, said) = Lines::open::<Line>(path).await?;
        let mut book = Book { lines, objects: BTreeMap::new(), next: now_ms, pending: None };
        let count = said.len();
        for line in said {
            match line {
                Line::Known(objects) => {
                    book.objects.extend(objects.into_iter().map(|it| (it.key.clone(), it)));
                }
                Line::Begin(id, events) => {
                    book.take(&events);
                    book.next = id + 1;
                    book.pending = Some((id, events));
                }
                Line::Done(_) => book.pending = None,
            }
        }
        // What is no longer true fills the book by and by.
        if 16 + 2 * book.objects.len().div_ceil(KNOWN_MAX) < count && book.pending.is_none() {
            let objects: Vec<Object> = book.objects.values().cloned().collect();
            let known = objects.chunks(KNOWN_MAX).map(|it| Line::Known(it.to_vec())).collect();
            book.lines.replace(known).await?;
        }
        Ok(book)
    }

    pub(crate) fn objects(&self) -> &BTreeMap<String, Object> {
        &self.objects
    }

    /// Returns what is to be told, with its number.
    pub(crate) fn pending(&self) -> Option<(u64, Vec<Event>)> {
        self.pending.clone()
    }

    /// Writes down what is to be told.
    pub(crate) async fn begin(&mut self, events: Vec<Event>) -> io::Result<()> {
        let id = self.next;
        self.lines.add(vec![Line::Begin(id, events.clone())]).await?;
        self.next += 1;
        self.take(&events);
        self.pending = Some((id, events));
        Ok(())
    }

    /// Strikes it off.
    pub(crate) async fn done(&mut self) -> io::Result<()> {
        let Some((id, _)) = self.pending.take() else { return Ok(()) };
        self.lines.add(vec![Line::Done(id)]).await
    }

    fn take(&mut self, events: &[Event]) {
        for event in events {
            let object = &event.object;
            match event.event {
                What::Created | What::Changed | What::Moved => {
                    self.objects.insert(object.key.clone(), object.clone());
                }
                What::Deleted => {
                    self.objects.remove(&object.key);
                }
                What::Read | What::Failed => {}
            }
        }
    }
}
