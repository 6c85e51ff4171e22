//! What every section needs while it is read: the files, the secrets, and where faults go.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use base::{Name, Span};

use crate::document::Value;
use crate::fault::Faults;
use crate::said::{OneOrMore, Said, Words};
use crate::secret::Secret;
use crate::source::{Sources, Spot, Word};
use crate::sql::SqlText;

/// Where a project is loaded from, and what was found so far.
pub(crate) struct LoadCtx<'a> {
    pub(crate) sources: Arc<Sources>,
    pub(crate) faults: Faults,
    pub(crate) warnings: Faults,
    pub(crate) secrets: &'a dyn Fn(&str) -> Option<String>,
    /// Returns the beginning of a data file of the project; an error in words if there is none.
    pub(crate) head: &'a dyn Fn(&str) -> Result<String, String>,
    /// Whether all files could be read; if not, what seems to be missing may stand in the rest.
    pub(crate) is_whole: bool,
    /// The files of which a part could not be read.
    pub(crate) broken: BTreeSet<String>,
    /// What is declared with faults that make every word about its columns a guess.
    pub(crate) unsound: BTreeSet<Name>,
}

/// The name of what is declared, and where.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    pub(crate) name: Name,
    /// The name in the header, or the start of a SQL file.
    pub(crate) spot: Spot,
    pub(crate) range: Range<usize>,
}

impl LoadCtx<'_> {
    pub(crate) fn spot(&self, range: &Range<usize>) -> Spot {
        self.sources.spot(range)
    }

    pub(crate) fn fault(
        &mut self,
        range: &Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.faults.push(self.sources.spot(range).fault(message, help));
    }

    /// Adds a fault about something that is not there, unless it may stand in a part that could
    /// not be read.
    pub(crate) fn missing(&mut self, spot: &Spot, message: impl Into<String>, help: String) {
        if self.is_whole {
            self.faults.push(spot.fault(message, Some(help)));
        }
    }

    pub(crate) fn word(&self, said: &Said<String>) -> Word {
        Word { text: said.value.clone(), spot: self.spot(&said.range) }
    }

    pub(crate) fn words(&self, said: Option<OneOrMore>) -> Vec<Word> {
        said.unwrap_or_default().0.iter().map(|it| self.word(it)).collect()
    }

    pub(crate) fn sql(&self, said: &Said<String>) -> SqlText {
        let (range, is_exact) = self.content(said);
        SqlText::new(said.value.clone(), self.spot(&range), is_exact)
    }

    /// Returns the range of a string without its quotes and true, or the whole string and false
    /// if escapes make its bytes differ from those of the file.
    pub(crate) fn content(&self, said: &Said<String>) -> (Range<usize>, bool) {
        let written = self.sources.text(&said.range);
        let openings = ["'''\r\n", "'''\n", "'''", "\"\"\"\r\n", "\"\"\"\n", "\"\"\"", "'", "\""];
        let opening = openings.iter().find(|it| written.starts_with(**it)).map_or(0, |it| it.len());
        let start = said.range.start + opening;
        let range = start..start + said.value.len();
        if self.sources.text(&range) == said.value {
            (range, true)
        } else {
            (said.range.clone(), false)
        }
    }

    /// Returns a span that must not be zero.
    pub(crate) fn span(&mut self, said: Option<Said<Words<Span>>>, key: &str) -> Option<Span> {
        let said = said?;
        if said.value.0.0.is_zero() {
            let help = format!("write a duration such as \"10 minutes\", or leave `{key}` out");
            self.fault(&said.range, format!("`{key}` must be longer than nothing"), Some(help));
            return None;
        }
        Some(said.value.0)
    }

    /// Returns a string with its `${NAME}` replaced.
    pub(crate) fn secret(&mut self, said: &Said<String>) -> Option<Secret> {
        let mut value = String::new();
        let mut rest = said.value.as_str();
        let mut is_complete = true;
        while let Some((before, after)) = rest.split_once("${") {
            value.push_str(before);
            let at = said.value.len() - after.len() - 2;
            let Some((name, after)) = after.split_once('}') else {
                let help = "write it as `${NAME}`".to_owned();
                self.fault(&self.inside(said, at..at + 2), "`${` without `}`", Some(help));
                return None;
            };
            match (self.secrets)(name) {
                Some(secret) => value.push_str(&secret),
                None => {
                    let help = format!("set the environment variable `{name}`");
                    let range = self.inside(said, at..at + name.len() + 3);
                    self.fault(&range, format!("the secret `{name}` is not set"), Some(help));
                    is_complete = false;
                }
            }
            rest = after;
        }
        value.push_str(rest);
        is_complete.then(|| Secret::new(&value))
    }

    /// Returns the place of some bytes of a string; all of it where they cannot be told apart.
    pub(crate) fn inside(&self, said: &Said<String>, bytes: Range<usize>) -> Range<usize> {
        match self.content(said) {
            (range, true) => range.start + bytes.start..range.start + bytes.end,
            (range, false) => range,
        }
    }

    /// Notes that nothing is known of the columns of this one, so that whoever reads it is not
    /// told a consequence for a fault.
    pub(crate) fn distrust(&mut self, name: &Name) {
        self.unsound.insert(name.clone());
    }

    /// Returns whether a part of the file may be missing in what was read.
    pub(crate) fn is_broken(&self, declared: &Declared) -> bool {
        self.broken.contains(&declared.spot.file.path)
    }

    /// Reads the settings of a section.
    pub(crate) fn read<T: serde::de::DeserializeOwned + Default>(&mut self, value: Value<'_>) -> T {
        crate::section::read(value, &self.sources, &mut self.faults)
    }
}
