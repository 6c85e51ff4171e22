//! The files of a project as text, and places in them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::fault::{Fault, Severity};

/// One file of the project.
#[derive(PartialEq, Eq)]
pub struct SourceFile {
    /// The path below the project's folder, with `/` between its parts.
    pub path: String,
    /// What stands in it.
    pub text: String,
}

impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

/// A stretch of a project file, to which a fault can point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The file.
    pub file: Arc<SourceFile>,
    /// The bytes of its text.
    pub range: Range<usize>,
}

impl Spot {
    /// Makes a file of `text` alone and returns the spot that covers it: for SQL that stands in
    /// no project, as in a request or a test.
    pub fn outside(path: &str, text: &str) -> Spot {
        let file = Arc::new(SourceFile { path: path.to_owned(), text: text.to_owned() });
        Spot { file, range: 0..text.len() }
    }

    /// Returns an error at this spot.
    pub fn fault(&self, message: impl Into<String>, help: Option<String>) -> Fault {
        Fault::new(Severity::Error, self.clone(), message.into(), help)
    }

    /// Returns a warning at this spot.
    pub fn warning(&self, message: impl Into<String>, help: Option<String>) -> Fault {
        Fault::new(Severity::Warning, self.clone(), message.into(), help)
    }

    /// Returns the line and column of the first byte, both counted from 1; columns in characters.
    pub fn line_and_column(&self) -> (usize, usize) {
        let end = self.file.text.floor_char_boundary(self.range.start);
        let before = self.file.text.get(..end).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |it| it + 1);
        let line = before.matches('\n').count() + 1;
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        (line, column)
    }
}

/// All files of a project laid end to end, so that one range names a place in any of them, even
/// after an overlay was merged into the file below it.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    files: Vec<(usize, Arc<SourceFile>)>,
    end: usize,
}

impl Sources {
    /// Adds a file and returns where its text begins.
    pub(crate) fn add(&mut self, file: SourceFile) -> usize {
        let start = self.end;
        // One more than the text, so that the end of a file is not the start of the next.
        self.end += file.text.len() + 1;
        self.files.push((start, Arc::new(file)));
        start
    }

    /// Returns the text of the file that begins at `start`.
    pub(crate) fn whole_text(&self, start: usize) -> &str {
        let file = self.files.iter().find(|(it, _)| *it == start);
        file.map_or("", |(_, file)| file.text.as_str())
    }

    /// Returns the file and place of a range.
    pub(crate) fn spot(&self, range: &Range<usize>) -> Spot {
        let after = self.files.partition_point(|(start, _)| *start <= range.start);
        match after.checked_sub(1).and_then(|it| self.files.get(it)) {
            None => Spot::outside("", ""),
            Some((start, file)) => {
                let length = file.text.len();
                let local = |it: usize| it.saturating_sub(*start).min(length);
                Spot { file: Arc::clone(file), range: local(range.start)..local(range.end) }
            }
        }
    }

    /// Returns what stands at a range.
    pub(crate) fn text(&self, range: &Range<usize>) -> &str {
        let after = self.files.partition_point(|(start, _)| *start <= range.start);
        let file = after.checked_sub(1).and_then(|it| self.files.get(it));
        let text = file.and_then(|(start, file)| {
            file.text.get(range.start.checked_sub(*start)?..range.end.checked_sub(*start)?)
        });
        text.unwrap_or_default()
    }
}

/// A value as the user wrote it, with its place.
#[derive(Clone, PartialEq, Eq)]
pub struct Word {
    /// The value.
    pub text: String,
    /// Where it stands.
    pub spot: Spot,
}

impl Word {
    /// Returns the value.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns an error at this word.
    pub fn fault(&self, message: impl Into<String>, help: Option<String>) -> Fault {
        self.spot.fault(message, help)
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
