//! What a query asks of a table's key: one value of the key, and a range of the sort attribute.

use std::ops::Bound;

use super::condition::{Term, Test};
use super::expression::{Comparator, Path};
use super::key;
use super::value::{AttributeValue, type_of};
use crate::items::{Attribute, ItemTable, Value};

/// A condition on one attribute of the key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeyTest {
    pub(crate) name: String,
    pub(crate) asks: Asks,
}

/// What is asked of an attribute of the key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Asks {
    Compare(Comparator, AttributeValue),
    Between(AttributeValue, AttributeValue),
    BeginsWith(AttributeValue),
    /// What no index can answer.
    Other,
}

/// The items that a query asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Range {
    pub(crate) key: Value,
    pub(crate) from: Bound<Value>,
    pub(crate) to: Bound<Value>,
}

/// Takes a `KeyConditionExpression` apart.
pub(crate) fn key_tests(test: &Test) -> Result<Vec<KeyTest>, String> {
    let mut found: Vec<KeyTest> = Vec::new();
    collect(test, &mut found)?;
    Ok(found)
}

fn collect(test: &Test, found: &mut Vec<KeyTest>) -> Result<(), String> {
    let operator = match test {
        Test::And(left, right) => {
            collect(left, found)?;
            return collect(right, found);
        }
        Test::Compare(left, comparator, right) if *comparator != Comparator::Unequal => {
            let is_turned = !matches!(left, Term::Path(_));
            let (path, value) = if is_turned { (right, left) } else { (left, right) };
            let comparator = if is_turned { comparator.turned() } else { *comparator };
            return add(path, &[value], found, |mut values| {
                values.pop().map(|value| Asks::Compare(comparator, value))
            });
        }
        Test::Between(path, low, high) => {
            check_first("BETWEEN", path)?;
            return add(path, &[low, high], found, |mut values| {
                let high = values.pop()?;
                Some(Asks::Between(values.pop()?, high))
            });
        }
        Test::BeginsWith(path, start) => {
            check_first("begins_with", path)?;
            return add(path, &[start], found, |mut values| values.pop().map(Asks::BeginsWith));
        }
        Test::Compare(..) => "<>",
        Test::Or(..) => "OR",
        Test::Not(_) => "NOT",
        Test::In(..) => "IN",
        Test::Exists(_) => "attribute_exists",
        Test::IsMissing(_) => "attribute_not_exists",
        Test::HasType(..) => "attribute_type",
        Test::Contains(..) => "contains",
    };
    Err(format!("Invalid operator used in KeyConditionExpression: {operator}"))
}

fn check_first(operator: &str, term: &Term) -> Result<(), String> {
    match term {
        Term::Path(_) => Ok(()),
        Term::Size(_) => Err(NESTED.to_owned()),
        Term::Value(_) => Err(format!(
            "Invalid condition in KeyConditionExpression: {operator} operator must have the key \
             attribute as its first operand"
        )),
    }
}

const NESTED: &str = "KeyConditionExpressions cannot contain nested operations";

fn add(
    path: &Term,
    values: &[&Term],
    found: &mut Vec<KeyTest>,
    asks: impl FnOnce(Vec<AttributeValue>) -> Option<Asks>,
) -> Result<(), String> {
    let invalid = |what: &str| Err(format!("Invalid condition in KeyConditionExpression: {what}"));
    let mut given = Vec::with_capacity(values.len());
    for value in values {
        match value {
            Term::Value(value) => given.push(value.clone()),
            Term::Path(_) => return invalid("Multiple attribute names used in one condition"),
            Term::Size(_) => return Err(NESTED.to_owned()),
        }
    }
    let path = match path {
        Term::Path(path) => path,
        Term::Value(_) => return invalid("No key attribute specified"),
        Term::Size(_) => return Err(NESTED.to_owned()),
    };
    let Path { head, steps } = path;
    if !steps.is_empty() {
        let what = "KeyConditionExpressions cannot have conditions on nested attributes";
        return Err(what.to_owned());
    }
    if found.iter().any(|it| it.name == *head) {
        let what = "KeyConditionExpressions must only contain one condition per key";
        return Err(what.to_owned());
    }
    found.push(KeyTest { name: head.clone(), asks: asks(given).unwrap_or(Asks::Other) });
    Ok(())
}

impl Range {
    /// Holds conditions against the key of a table.
    pub(crate) fn of(table: &ItemTable, tests: &[KeyTest]) -> Result<Range, String> {
        if tests.is_empty() || 2 < tests.len() {
            return Err("Conditions can be of length 1 or 2 only".to_owned());
        }
        if table.sort.is_none() && 1 < tests.len() {
            return Err(UNSUPPORTED.to_owned());
        }
        let on_key = test_of(&table.key, tests)?;
        let Asks::Compare(Comparator::Equal, value) = &on_key.asks else {
            return Err(UNSUPPORTED.to_owned());
        };
        key::check_piece(&table.key, value)?;
        let whole = Range {
            key: value.to_key().ok_or(UNSUPPORTED)?,
            from: Bound::Unbounded,
            to: Bound::Unbounded,
        };
        match (&table.sort, tests) {
            (Some(sort), [_, _]) => {
                let on_sort = test_of(sort, tests)?;
                whole.within(&on_sort.asks)
            }
            _ => Ok(whole),
        }
    }

    fn within(mut self, asks: &Asks) -> Result<Range, String> {
        let of = |value: &AttributeValue| value.to_key().ok_or_else(|| UNSUPPORTED.to_owned());
        match asks {
            Asks::Compare(comparator, value) => {
                let value = of(value)?;
                match comparator {
                    Comparator::Less => self.to = Bound::Excluded(value),
                    Comparator::LessOrEqual => self.to = Bound::Included(value),
                    Comparator::Greater => self.from = Bound::Excluded(value),
                    Comparator::GreaterOrEqual => self.from = Bound::Included(value),
                    Comparator::Equal | Comparator::Unequal => {
                        self.from = Bound::Included(value.clone());
                        self.to = Bound::Included(value);
                    }
                }
            }
            Asks::Between(low, high) => {
                self.from = Bound::Included(of(low)?);
                self.to = Bound::Included(of(high)?);
            }
            Asks::BeginsWith(AttributeValue::S(start)) => {
                self.to = after_text(start);
                self.from = Bound::Included(Value::Text(start.clone()));
            }
            Asks::BeginsWith(AttributeValue::B(start)) => {
                self.to = after_bytes(&start.0);
                self.from = Bound::Included(Value::Bytes(start.0.clone()));
            }
            Asks::BeginsWith(other) => {
                let name = other.type_name();
                return Err(format!(
                    "One or more parameter values were invalid: ComparisonOperator BEGINS_WITH is \
                     not valid for {name} AttributeValue type"
                ));
            }
            Asks::Other => return Err(UNSUPPORTED.to_owned()),
        }
        Ok(self)
    }
}

const UNSUPPORTED: &str = "Query key condition not supported";

/// Finds the condition on an attribute, of a kind that an index answers and of its type.
fn test_of<'a>(attribute: &Attribute, tests: &'a [KeyTest]) -> Result<&'a KeyTest, String> {
    let Some(test) = tests.iter().find(|it| it.name == attribute.name) else {
        return Err(format!("Query condition missed key schema element: {}", attribute.name));
    };
    let is_typed = match &test.asks {
        Asks::Compare(_, value) | Asks::BeginsWith(value) => value.is_of(attribute.kind),
        Asks::Between(low, high) => low.is_of(attribute.kind) && high.is_of(attribute.kind),
        Asks::Other => {
            let what = "Attempted conditional constraint is not an indexable operation";
            return Err(what.to_owned());
        }
    };
    if !is_typed || type_of(attribute.kind).is_none() {
        return Err(
            "One or more parameter values were invalid: Condition parameter type does not \
                    match schema type"
                .to_owned(),
        );
    }
    Ok(test)
}

/// The first text that no longer begins so, in the order of letters, which is that of their bytes.
fn after_text(start: &str) -> Bound<Value> {
    let mut letters: Vec<char> = start.chars().collect();
    while let Some(last) = letters.pop() {
        // A range of letters leaves out what is none.
        if let Some(next) = (last..=char::MAX).nth(1) {
            letters.push(next);
            return Bound::Excluded(Value::Text(letters.into_iter().collect()));
        }
    }
    Bound::Unbounded
}

/// The first bytes that no longer begin so.
fn after_bytes(start: &[u8]) -> Bound<Value> {
    let kept = start.iter().rposition(|byte| *byte != u8::MAX);
    let Some((last, before)) = kept.and_then(|it| start.get(..=it)).and_then(<[u8]>::split_last)
    else {
        return Bound::Unbounded;
    };
    let mut bytes = before.to_vec();
    bytes.push(last + 1);
    Bound::Excluded(Value::Bytes(bytes))
}
