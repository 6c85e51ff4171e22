//! What of an item is answered: `ProjectionExpression`, `AttributesToGet`, or all of it.

use super::condition::listed;
use super::expression::{self, Path, Step};
use super::placeholders::{Placeholders, check_words};
use super::value::{AttributeValue, Attributes};

/// The parts of an item that are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Projection {
    All,
    Paths(Vec<Path>),
}

impl Projection {
    /// Reads a `ProjectionExpression`.
    pub(crate) fn read(text: &str, placeholders: &mut Placeholders) -> Result<Projection, String> {
        let wrong = |what: String| format!("Invalid ProjectionExpression: {what}");
        let paths = expression::paths(text).map_err(|error| wrong(error.to_string()))?;
        let mut found: Vec<Path> = Vec::with_capacity(paths.len());
        paths.iter().try_for_each(check_words).map_err(wrong)?;
        for path in paths {
            found.push(placeholders.resolve(&path).map_err(wrong)?);
        }
        check_overlaps(&found).map_err(wrong)?;
        Ok(Projection::Paths(found))
    }

    /// The names of `AttributesToGet`.
    pub(crate) fn of_names(names: Vec<String>) -> Result<Projection, String> {
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort_unstable();
        let twice = sorted.windows(2).find(|pair| pair.first() == pair.last());
        if let Some(name) = twice.and_then(|pair| pair.first()) {
            return Err(format!(
                "One or more parameter values were invalid: Duplicate value in attribute name: {name}"
            ));
        }
        let paths = names.into_iter().map(|head| Path { head, steps: Vec::new() });
        Ok(Projection::Paths(paths.collect()))
    }

    /// Returns the paths that lead into an attribute.
    pub(crate) fn nested(&self) -> impl Iterator<Item = &Path> {
        let paths = match self {
            Projection::All => &[][..],
            Projection::Paths(paths) => paths,
        };
        paths.iter().filter(|it| !it.steps.is_empty())
    }

    /// Leaves of an item what is answered.
    pub(crate) fn of(&self, mut item: Attributes) -> Attributes {
        let Projection::Paths(paths) = self else { return item };
        let mut sorted: Vec<&Path> = paths.iter().collect();
        sorted.sort_by(|left, right| (&left.head, &left.steps).cmp(&(&right.head, &right.steps)));
        let mut answer = Attributes::new();
        for into in sorted.chunk_by(|left, right| left.head == right.head) {
            let Some((name, value)) = into.first().and_then(|it| item.remove_entry(&it.head))
            else {
                continue;
            };
            let ways: Vec<&[Step]> = into.iter().map(|it| it.steps.as_slice()).collect();
            if let Some(value) = parts_of(value, &ways) {
                answer.insert(name, value);
            }
        }
        answer
    }
}

/// Leaves of a value what the ways lead to. Lists close up: of three elements the first and the
/// last are two.
fn parts_of(value: AttributeValue, ways: &[&[Step]]) -> Option<AttributeValue> {
    if ways.iter().any(|way| way.is_empty()) {
        return Some(value);
    }
    let groups = ways.chunk_by(|left, right| left.first() == right.first());
    let groups = groups.filter_map(|group| {
        let rests = group.iter().filter_map(|way| way.get(1..)).collect::<Vec<_>>();
        Some((group.first()?.first()?, rests))
    });
    let found = match value {
        AttributeValue::M(mut values) => {
            let parts = groups.filter_map(|(step, rests)| {
                let Step::Name(name) = step else { return None };
                let (name, value) = values.remove_entry(name)?;
                Some((name, parts_of(value, &rests)?))
            });
            AttributeValue::M(parts.collect())
        }
        AttributeValue::L(values) => {
            let parts = groups.filter_map(|(step, rests)| {
                let Step::Index(index) = step else { return None };
                parts_of(values.get(*index)?.clone(), &rests)
            });
            AttributeValue::L(parts.collect())
        }
        _ => return None,
    };
    let is_empty = match &found {
        AttributeValue::M(values) => values.is_empty(),
        AttributeValue::L(values) => values.is_empty(),
        _ => false,
    };
    if is_empty { None } else { Some(found) }
}

fn check_overlaps(paths: &[Path]) -> Result<(), String> {
    for (index, right) in paths.iter().enumerate() {
        for left in paths.iter().take(index) {
            check_pair(left, right)?;
        }
    }
    Ok(())
}

fn check_pair(left: &Path, right: &Path) -> Result<(), String> {
    if left.head != right.head {
        return Ok(());
    }
    let parted = left.steps.iter().zip(&right.steps).find(|(left, right)| left != right);
    let how = match parted {
        None => "overlap",
        Some((Step::Name(_), Step::Index(_)) | (Step::Index(_), Step::Name(_))) => "conflict",
        Some(_) => return Ok(()),
    };
    Err(format!(
        "Two document paths {how} with each other; must remove or rewrite one of these paths; \
         path one: {}, path two: {}",
        listed(left),
        listed(right)
    ))
}

#[cfg(test)]
mod tests;
