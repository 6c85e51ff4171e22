//! The body of a request as names and values.

use std::collections::BTreeMap;

use crate::aws::signature::percent_decode;

/// A form; of a name that comes twice the first value counts.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Form(BTreeMap<String, String>);

impl Form {
    pub(crate) fn read(body: &[u8]) -> Form {
        let body = String::from_utf8_lossy(body);
        let text = |it: &str| {
            let bytes = percent_decode(&it.replace('+', " "));
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let mut found = BTreeMap::new();
        for pair in body.split('&').filter(|it| !it.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            found.entry(text(name)).or_insert_with(|| text(value));
        }
        Form(found)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns the members of a list: `PREFIX.member.1.NAME`, and so on.
    pub(crate) fn members(&self, prefix: &str, count_max: usize) -> Vec<Form> {
        let mut members = Vec::new();
        for index in 1..=count_max + 1 {
            let start = format!("{prefix}.member.{index}.");
            let inner = self.0.iter().filter_map(|(name, value)| {
                Some((name.strip_prefix(&start)?.to_owned(), value.clone()))
            });
            let inner: BTreeMap<_, _> = inner.collect();
            if inner.is_empty() {
                break;
            }
            members.push(Form(inner));
        }
        members
    }
}
