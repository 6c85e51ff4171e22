//! Conditions from before there were expressions: `KeyConditions` and `QueryFilter`.

use std::collections::BTreeMap;

use base::limits;
use serde::Deserialize;

use super::condition::{Term, Test, order};
use super::expression::{Comparator, Path};
use super::range::{Asks, KeyTest};
use super::value::AttributeValue;

/// A condition on one attribute.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Condition {
    #[serde(default)]
    attribute_value_list: Option<Vec<AttributeValue>>,
    comparison_operator: Option<String>,
}

/// Conditions by the name of their attribute.
pub(crate) type Conditions = BTreeMap<String, Condition>;

/// An operator: how many values it takes, and of which types.
struct Operator {
    name: &'static str,
    least: usize,
    most: usize,
    types: &'static [&'static str],
}

const SCALARS: &[&str] = &["S", "N", "B"];
const ANY: &[&str] = &["S", "N", "B", "SS", "NS", "BS", "BOOL", "NULL", "L", "M"];

const OPERATORS: &[Operator] = &[
    Operator { name: "EQ", least: 1, most: 1, types: ANY },
    Operator { name: "NE", least: 1, most: 1, types: ANY },
    Operator { name: "LE", least: 1, most: 1, types: SCALARS },
    Operator { name: "LT", least: 1, most: 1, types: SCALARS },
    Operator { name: "GE", least: 1, most: 1, types: SCALARS },
    Operator { name: "GT", least: 1, most: 1, types: SCALARS },
    Operator { name: "NOT_NULL", least: 0, most: 0, types: ANY },
    Operator { name: "NULL", least: 0, most: 0, types: ANY },
    Operator { name: "CONTAINS", least: 1, most: 1, types: SCALARS },
    Operator { name: "NOT_CONTAINS", least: 1, most: 1, types: SCALARS },
    Operator { name: "BEGINS_WITH", least: 1, most: 1, types: &["S", "B"] },
    Operator { name: "IN", least: 1, most: limits::DYNAMODB_OPERANDS_MAX, types: SCALARS },
    Operator { name: "BETWEEN", least: 2, most: 2, types: SCALARS },
];

impl Condition {
    /// Checks the condition; returns its operator and its values.
    fn read(self, member: &str) -> Result<(&'static str, Vec<AttributeValue>), String> {
        let given = self.comparison_operator.unwrap_or_default();
        let Some(operator) = OPERATORS.iter().find(|it| it.name == given) else {
            let known: Vec<&str> = OPERATORS.iter().map(|it| it.name).collect();
            return Err(format!(
                "1 validation error detected: Value '{given:.100}' at \
                 '{member}.comparisonOperator' failed to satisfy constraint: Member must satisfy \
                 enum value set: [{}]",
                known.join(", ")
            ));
        };
        let invalid =
            |what: String| Err(format!("One or more parameter values were invalid: {what}"));
        let mut values = self.attribute_value_list.unwrap_or_default();
        for value in &mut values {
            value.check()?;
        }
        let name = operator.name;
        if !(operator.least..=operator.most).contains(&values.len()) {
            return invalid(format!(
                "Invalid number of argument(s) for the {name} ComparisonOperator"
            ));
        }
        let first = values.first().map(AttributeValue::type_name);
        if values.iter().any(|it| Some(it.type_name()) != first) {
            return invalid(
                "AttributeValues inside AttributeValueList must be of same type".into(),
            );
        }
        if let Some(first) = first.filter(|it| !operator.types.contains(it)) {
            return invalid(format!(
                "ComparisonOperator {name} is not valid for {first} AttributeValue type"
            ));
        }
        if let ("BETWEEN", [low, high]) = (name, values.as_slice())
            && order(low, high).is_some_and(std::cmp::Ordering::is_gt)
        {
            return Err("The BETWEEN condition was provided a range where the lower bound is \
                        greater than the upper bound"
                .to_owned());
        }
        Ok((name, values))
    }
}

/// Reads `KeyConditions`.
pub(crate) fn key_tests(conditions: Conditions) -> Result<Vec<KeyTest>, String> {
    let tests = conditions.into_iter().map(|(name, condition)| {
        let (operator, mut values) = condition.read(&format!("keyConditions.{name}.member"))?;
        let asks = match (operator, values.pop(), values.pop()) {
            ("BETWEEN", Some(high), Some(low)) => Asks::Between(low, high),
            ("BEGINS_WITH", Some(start), _) => Asks::BeginsWith(start),
            (operator, Some(value), _) => match comparator_of(operator) {
                Some(comparator) if comparator != Comparator::Unequal => {
                    Asks::Compare(comparator, value)
                }
                _ => Asks::Other,
            },
            _ => Asks::Other,
        };
        Ok(KeyTest { name, asks })
    });
    tests.collect()
}

/// Reads `QueryFilter`, whose conditions are joined by `ConditionalOperator`.
pub(crate) fn filter(conditions: Conditions, is_or: bool) -> Result<Option<Test>, String> {
    if limits::DYNAMODB_OPERATORS_MAX < conditions.len() {
        let most = limits::DYNAMODB_OPERATORS_MAX;
        return Err(format!("QueryFilter has more than {most} conditions"));
    }
    let mut joined: Option<Test> = None;
    for (name, condition) in conditions {
        let (operator, values) = condition.read(&format!("queryFilter.{name}.member"))?;
        let test = test_of(Path { head: name, steps: Vec::new() }, operator, values);
        joined = Some(match joined.map(Box::new) {
            None => test,
            Some(before) if is_or => Test::Or(before, Box::new(test)),
            Some(before) => Test::And(before, Box::new(test)),
        });
    }
    Ok(joined)
}

fn test_of(path: Path, operator: &str, values: Vec<AttributeValue>) -> Test {
    let mut values = values.into_iter().map(Term::Value);
    if operator == "IN" {
        return Test::In(Term::Path(path), values.collect());
    }
    match (operator, values.next(), values.next()) {
        ("NULL", ..) => Test::IsMissing(path),
        ("BETWEEN", Some(low), Some(high)) => Test::Between(Term::Path(path), low, high),
        ("BEGINS_WITH", Some(start), _) => Test::BeginsWith(Term::Path(path), start),
        ("CONTAINS", Some(part), _) => Test::Contains(Term::Path(path), part),
        ("NOT_CONTAINS", Some(part), _) => {
            Test::Not(Box::new(Test::Contains(Term::Path(path), part)))
        }
        (_, Some(value), _) => {
            let comparator = comparator_of(operator).unwrap_or(Comparator::Equal);
            Test::Compare(Term::Path(path), comparator, value)
        }
        _ => Test::Exists(path),
    }
}

fn comparator_of(operator: &str) -> Option<Comparator> {
    Some(match operator {
        "EQ" => Comparator::Equal,
        "NE" => Comparator::Unequal,
        "LT" => Comparator::Less,
        "LE" => Comparator::LessOrEqual,
        "GT" => Comparator::Greater,
        "GE" => Comparator::GreaterOrEqual,
        _ => return None,
    })
}
