//! Names of streams, tables, alerts and the other things a project declares.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::NAME_BYTES_MAX;

/// A checked name: an ASCII letter or `_`, then letters, digits, `_`, `-` or `.`; at most 128 bytes.
///
/// The characters are those of a Kinesis stream name. Whether a name can stand in SQL without
/// quotes is the stricter rule of the project files (`spec`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

impl Name {
    /// Checks `text` and makes a name of it.
    pub fn new(text: &str) -> Result<Name, NotAName> {
        let starts_well =
            text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_');
        let is_allowed = |it: char| it.is_ascii_alphanumeric() || matches!(it, '_' | '-' | '.');
        if starts_well && text.chars().all(is_allowed) && text.len() <= NAME_BYTES_MAX {
            Ok(Name(Arc::from(text)))
        } else {
            Err(NotAName { text: text.chars().take(NAME_BYTES_MAX).collect() })
        }
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name of the table of rejects that belongs to this stream or table.
    #[must_use]
    pub fn dead(&self) -> String {
        format!("{}__dead", self.0)
    }
}

/// The text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a name: write at most {NAME_BYTES_MAX} letters, digits, `_`, `-` or `.`, \
     beginning with a letter, digit or `_`"
)]
pub struct NotAName {
    /// What was given, cut to the longest length a name may have.
    pub text: String,
}

impl TryFrom<String> for Name {
    type Error = NotAName;

    fn try_from(text: String) -> Result<Name, NotAName> {
        Name::new(&text)
    }
}

impl std::str::FromStr for Name {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Name, NotAName> {
        Name::new(text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.0.as_ref().to_owned()
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

#[cfg(test)]
mod tests;
