//! The names and values that a request's expressions refer to, and which of them were used.

use std::collections::{BTreeMap, BTreeSet};

use super::expression::{Path, Step};
use super::reserved;
use super::value::{AttributeValue, Attributes};

/// `ExpressionAttributeNames` of a request.
pub(crate) type Names = BTreeMap<String, String>;

/// What `#name` and `:value` stand for.
#[derive(Debug, Default)]
pub(crate) struct Placeholders {
    names: Names,
    values: Attributes,
    used: BTreeSet<String>,
}

impl Placeholders {
    /// Checks the names and values of a request.
    pub(crate) fn new(
        names: Option<Names>,
        values: Option<Attributes>,
    ) -> Result<Placeholders, String> {
        if let Some(names) = &names {
            check_keys("ExpressionAttributeNames", '#', names.keys())?;
        }
        let mut values = values;
        if let Some(values) = &mut values {
            check_keys("ExpressionAttributeValues", ':', values.keys())?;
            for (key, value) in values {
                value.check().map_err(|what| {
                    format!(
                        "ExpressionAttributeValues contains invalid value: {what} for key {key}"
                    )
                })?;
            }
        }
        let (names, values) = (names.unwrap_or_default(), values.unwrap_or_default());
        Ok(Placeholders { names, values, used: BTreeSet::new() })
    }

    /// Puts the names that are meant into a path.
    pub(crate) fn resolve(&mut self, path: &Path) -> Result<Path, String> {
        let head = self.name(&path.head)?;
        let steps = path.steps.iter().map(|step| match step {
            Step::Name(name) => self.name(name).map(Step::Name),
            Step::Index(index) => Ok(Step::Index(*index)),
        });
        Ok(Path { head, steps: steps.collect::<Result<_, _>>()? })
    }

    fn name(&mut self, name: &str) -> Result<String, String> {
        if !name.starts_with('#') {
            return Ok(name.to_owned());
        }
        let Some(meant) = self.names.get(name) else {
            return Err(format!(
                "An expression attribute name used in the document path is not defined; \
                 attribute name: {name}"
            ));
        };
        self.used.insert(name.to_owned());
        Ok(meant.clone())
    }

    /// Returns the value of that name.
    pub(crate) fn value(&mut self, name: &str) -> Result<AttributeValue, String> {
        let Some(value) = self.values.get(name) else {
            return Err(format!(
                "An expression attribute value used in expression is not defined; \
                 attribute value: {name}"
            ));
        };
        self.used.insert(name.to_owned());
        Ok(value.clone())
    }

    /// Names and values that no expression used are mistakes.
    pub(crate) fn all_used(&self) -> Result<(), String> {
        let unused = |of: &str, keys: Vec<&String>| {
            let unused: Vec<&str> = keys
                .into_iter()
                .filter(|it| !self.used.contains(*it))
                .map(String::as_str)
                .collect();
            if unused.is_empty() {
                return Ok(());
            }
            let keys = unused.join(", ");
            Err(format!("Value provided in {of} unused in expressions: keys: {{{keys}}}"))
        };
        unused("ExpressionAttributeNames", self.names.keys().collect())?;
        unused("ExpressionAttributeValues", self.values.keys().collect())
    }
}

/// A reserved word must not stand for an attribute; `#name` may stand for it.
pub(crate) fn check_words(path: &Path) -> Result<(), String> {
    let steps = path.steps.iter().filter_map(|step| match step {
        Step::Name(name) => Some(name),
        Step::Index(_) => None,
    });
    for word in std::iter::once(&path.head).chain(steps) {
        if reserved::is_reserved(word) {
            let what = "Attribute name is a reserved keyword; reserved keyword:";
            return Err(format!("{what} {word}"));
        }
    }
    Ok(())
}

fn check_keys<'a>(
    of: &str,
    sign: char,
    keys: impl Iterator<Item = &'a String>,
) -> Result<(), String> {
    let mut keys = keys.peekable();
    if keys.peek().is_none() {
        return Err(format!("{of} must not be empty"));
    }
    for key in keys {
        let word = key.strip_prefix(sign).unwrap_or_default();
        let is_word = word.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_');
        if word.is_empty() || !is_word {
            return Err(format!("{of} contains invalid key: Syntax error; key: \"{key:.255}\""));
        }
    }
    Ok(())
}
