//! What AWS's models say of members that many operations have, checked before an operation reads
//! its request.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Constraints, Quoted, is_name_byte};
use crate::aws::Call;
use crate::aws::fault::Fault;

/// A member of requests, and what its value must be.
pub(crate) struct Member {
    /// As a request has it.
    pub(crate) name: &'static str,
    /// The operation, if others have a member of that name which is something else.
    pub(crate) only: Option<&'static str>,
    pub(crate) must: Must,
}

/// What a value must be.
pub(crate) enum Must {
    /// A text so long, of a form that AWS shows as this pattern.
    Text(RangeInclusive<usize>, &'static str, fn(&str) -> bool),
    /// A number.
    Number(RangeInclusive<i64>),
    /// A list so long.
    List(RangeInclusive<usize>),
}

/// A value as far as it is looked at here.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Number(i64),
    List(Vec<IgnoredAny>),
    Other(IgnoredAny),
}

impl Member {
    pub(crate) const fn text(
        name: &'static str,
        length: RangeInclusive<usize>,
        pattern: &'static str,
        fits: fn(&str) -> bool,
    ) -> Member {
        Member { name, only: None, must: Must::Text(length, pattern, fits) }
    }
}

/// Returns the error that names all members of a request that are not as they must be.
pub(crate) fn check(operation: &str, call: Call<'_>, members: &[Member]) -> Result<(), Fault> {
    // What cannot be read at all is told by the operation.
    let Ok(request) = call.read::<BTreeMap<String, Value>>() else { return Ok(()) };
    let mut constraints = Constraints::default();
    for member in members.iter().filter(|it| it.only.is_none_or(|only| only == operation)) {
        let Some(value) = request.get(member.name) else { continue };
        let name = in_errors(member.name);
        match (&member.must, value) {
            (Must::Text(length, pattern, fits), Value::Text(text)) => {
                if !fits(text.as_str()) {
                    let constraint = format!("satisfy regular expression pattern: {pattern}");
                    constraints.fail(Quoted(text), &name, &constraint);
                }
                constraints.length(text, &name, length.clone());
            }
            (Must::Number(range), Value::Number(number)) => {
                constraints.range(*number, &name, range.clone());
            }
            (Must::List(length), Value::List(list)) => {
                constraints.count(list.len(), &name, length.clone());
            }
            // What is of another type is told by the operation.
            (_, Value::Other(IgnoredAny)) => {}
            (Must::Text(..) | Must::Number(_) | Must::List(_), _) => {}
        }
    }
    constraints.check()
}

/// Returns the name as AWS writes it in errors: with a small first letter.
fn in_errors(name: &str) -> String {
    let mut chars = name.chars();
    let first = chars.next().map(|it| it.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

/// `[a-zA-Z0-9_.-]+`
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_name_byte)
}

/// What `is_name` looks for, as AWS shows it.
pub(crate) const NAME_PATTERN: &str = "[a-zA-Z0-9_.-]+";
