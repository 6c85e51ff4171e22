//! Conditions with all names looked up: what a filter asks of an item.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::expression::{Comparator, Path, Step};
use super::number::Number;
use super::value::{AttributeValue, Attributes};

pub(crate) use self::check::{check, listed};

mod check;

/// A condition on an item.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Test {
    And(Box<Test>, Box<Test>),
    Or(Box<Test>, Box<Test>),
    Not(Box<Test>),
    Compare(Term, Comparator, Term),
    Between(Term, Term, Term),
    In(Term, Vec<Term>),
    Exists(Path),
    IsMissing(Path),
    HasType(Term, String),
    BeginsWith(Term, Term),
    Contains(Term, Term),
}

/// What a condition compares.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Term {
    Path(Path),
    Value(AttributeValue),
    Size(Box<Term>),
}

impl Test {
    /// Returns whether it holds for an item.
    pub(crate) fn holds(&self, item: &Attributes) -> bool {
        match self {
            Test::And(left, right) => left.holds(item) && right.holds(item),
            Test::Or(left, right) => left.holds(item) || right.holds(item),
            Test::Not(inner) => !inner.holds(item),
            Test::Compare(left, comparator, right) => {
                compares(left.value(item).as_deref(), *comparator, right.value(item).as_deref())
            }
            Test::Between(value, low, high) => {
                let value = value.value(item);
                let order = |bound: &Term| order(value.as_deref()?, bound.value(item).as_deref()?);
                order(low).is_some_and(Ordering::is_ge) && order(high).is_some_and(Ordering::is_le)
            }
            Test::In(value, among) => {
                let value = value.value(item);
                value.is_some_and(|value| {
                    among.iter().any(|it| it.value(item).is_some_and(|it| is_same(&value, &it)))
                })
            }
            Test::Exists(path) => find(path, item).is_some(),
            Test::IsMissing(path) => find(path, item).is_none(),
            Test::HasType(value, name) => {
                value.value(item).is_some_and(|it| it.type_name() == name)
            }
            Test::BeginsWith(value, start) => {
                both(value, start, item, |value, start| match (value, start) {
                    (AttributeValue::S(value), AttributeValue::S(start)) => {
                        value.starts_with(start)
                    }
                    (AttributeValue::B(value), AttributeValue::B(start)) => {
                        value.0.starts_with(&start.0)
                    }
                    _ => false,
                })
            }
            Test::Contains(value, part) => both(value, part, item, contains),
        }
    }

    /// Calls `seen` with every path in it.
    pub(crate) fn paths<'a>(&'a self, seen: &mut dyn FnMut(&'a Path)) {
        match self {
            Test::And(left, right) | Test::Or(left, right) => {
                left.paths(seen);
                right.paths(seen);
            }
            Test::Not(inner) => inner.paths(seen),
            Test::Compare(left, _, right)
            | Test::BeginsWith(left, right)
            | Test::Contains(left, right) => {
                left.path(seen);
                right.path(seen);
            }
            Test::Between(value, low, high) => {
                [value, low, high].into_iter().for_each(|it| it.path(seen));
            }
            Test::In(value, among) => {
                value.path(seen);
                among.iter().for_each(|it| it.path(seen));
            }
            Test::Exists(path) | Test::IsMissing(path) => seen(path),
            Test::HasType(value, _) => value.path(seen),
        }
    }
}

impl Term {
    fn value<'a>(&'a self, item: &'a Attributes) -> Option<Cow<'a, AttributeValue>> {
        match self {
            Term::Path(path) => find(path, item).map(Cow::Borrowed),
            Term::Value(value) => Some(Cow::Borrowed(value)),
            Term::Size(inner) => {
                let size = size_of(inner.value(item)?.as_ref())?;
                Some(Cow::Owned(AttributeValue::N(size.to_string())))
            }
        }
    }

    fn path<'a>(&'a self, seen: &mut dyn FnMut(&'a Path)) {
        match self {
            Term::Path(path) => seen(path),
            Term::Size(inner) => inner.path(seen),
            Term::Value(_) => {}
        }
    }
}

/// Returns what lies at a path.
pub(crate) fn find<'a>(path: &Path, item: &'a Attributes) -> Option<&'a AttributeValue> {
    let head = item.get(&path.head)?;
    path.steps.iter().try_fold(head, |value, step| match (value, step) {
        (AttributeValue::M(values), Step::Name(name)) => values.get(name),
        (AttributeValue::L(values), Step::Index(index)) => values.get(*index),
        _ => None,
    })
}

fn both(
    left: &Term,
    right: &Term,
    item: &Attributes,
    holds: impl FnOnce(&AttributeValue, &AttributeValue) -> bool,
) -> bool {
    let (left, right) = (left.value(item), right.value(item));
    left.zip(right).is_some_and(|(left, right)| holds(&left, &right))
}

fn compares(
    left: Option<&AttributeValue>,
    comparator: Comparator,
    right: Option<&AttributeValue>,
) -> bool {
    let Some((left, right)) = left.zip(right) else {
        // What is not there is unlike anything.
        return comparator == Comparator::Unequal;
    };
    let ordered = |is: fn(Ordering) -> bool| order(left, right).is_some_and(is);
    match comparator {
        Comparator::Equal => is_same(left, right),
        Comparator::Unequal => !is_same(left, right),
        Comparator::Less => ordered(Ordering::is_lt),
        Comparator::LessOrEqual => ordered(Ordering::is_le),
        Comparator::Greater => ordered(Ordering::is_gt),
        Comparator::GreaterOrEqual => ordered(Ordering::is_ge),
    }
}

/// Returns how two values of one type are ordered, if that type has an order.
pub(crate) fn order(left: &AttributeValue, right: &AttributeValue) -> Option<Ordering> {
    match (left, right) {
        (AttributeValue::S(left), AttributeValue::S(right)) => Some(left.cmp(right)),
        (AttributeValue::B(left), AttributeValue::B(right)) => Some(left.cmp(right)),
        (AttributeValue::N(left), AttributeValue::N(right)) => {
            Some(Number::parse(left).ok()?.cmp(&Number::parse(right).ok()?))
        }
        _ => None,
    }
}

/// Returns whether two values are the same; numbers are in one form, sets have no order.
fn is_same(left: &AttributeValue, right: &AttributeValue) -> bool {
    match (left, right) {
        (AttributeValue::Ss(left), AttributeValue::Ss(right))
        | (AttributeValue::Ns(left), AttributeValue::Ns(right)) => is_same_set(left, right),
        (AttributeValue::Bs(left), AttributeValue::Bs(right)) => is_same_set(left, right),
        _ => left == right,
    }
}

fn is_same_set<T: PartialEq>(left: &[T], right: &[T]) -> bool {
    left.len() == right.len() && left.iter().all(|it| right.contains(it))
}

fn contains(value: &AttributeValue, part: &AttributeValue) -> bool {
    match (value, part) {
        (AttributeValue::S(value), AttributeValue::S(part)) => value.contains(part.as_str()),
        (AttributeValue::B(value), AttributeValue::B(part)) => {
            part.0.is_empty() || value.0.windows(part.0.len()).any(|it| it == part.0)
        }
        (AttributeValue::Ss(values), AttributeValue::S(part))
        | (AttributeValue::Ns(values), AttributeValue::N(part)) => values.contains(part),
        (AttributeValue::Bs(values), AttributeValue::B(part)) => values.contains(part),
        (AttributeValue::L(values), part) => values.iter().any(|it| is_same(it, part)),
        _ => false,
    }
}

fn size_of(value: &AttributeValue) -> Option<usize> {
    match value {
        AttributeValue::S(text) => Some(text.chars().count()),
        AttributeValue::B(bytes) => Some(bytes.0.len()),
        AttributeValue::Ss(texts) | AttributeValue::Ns(texts) => Some(texts.len()),
        AttributeValue::Bs(values) => Some(values.len()),
        AttributeValue::L(values) => Some(values.len()),
        AttributeValue::M(values) => Some(values.len()),
        AttributeValue::N(_) | AttributeValue::Bool(_) | AttributeValue::Null(_) => None,
    }
}

#[cfg(test)]
mod tests;
