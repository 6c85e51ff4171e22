//! Looks up what a condition refers to, and refuses what DynamoDB refuses, in its words.

use super::{Term, Test, order};
use crate::dynamo::expression::{Call, Comparator, Condition, Operand, Path, Step};
use crate::dynamo::placeholders::{Placeholders, check_words};
use crate::dynamo::value::{AttributeValue, TYPES};

/// The functions and how many arguments each has.
const FUNCTIONS: &[(&str, usize)] = &[
    ("attribute_exists", 1),
    ("attribute_not_exists", 1),
    ("attribute_type", 2),
    ("begins_with", 2),
    ("contains", 2),
    ("size", 1),
];

/// Makes a test of a condition.
pub(crate) fn check(
    condition: &Condition,
    placeholders: &mut Placeholders,
) -> Result<Test, String> {
    check_calls(condition)?;
    check_names(condition)?;
    test_of(condition, placeholders)
}

/// Functions are known, and stand where they may: `size` is a value, all others are conditions.
fn check_calls(condition: &Condition) -> Result<(), String> {
    match condition {
        Condition::Call(call) => {
            check_call(call)?;
            if call.name == "size" { Err(misused(call)) } else { Ok(()) }
        }
        Condition::And(left, right) | Condition::Or(left, right) => {
            check_calls(left)?;
            check_calls(right)
        }
        Condition::Not(inner) => check_calls(inner),
        other => operands(other).into_iter().try_for_each(check_operand),
    }
}

fn check_call(call: &Call) -> Result<(), String> {
    if !FUNCTIONS.iter().any(|(name, _)| *name == call.name) {
        return Err(format!("Invalid function name; function: {}", call.name));
    }
    call.arguments.iter().try_for_each(check_operand)
}

fn check_operand(operand: &Operand) -> Result<(), String> {
    let Operand::Call(call) = operand else { return Ok(()) };
    check_call(call)?;
    if call.name == "size" { Ok(()) } else { Err(misused(call)) }
}

fn misused(call: &Call) -> String {
    let what = "The function is not allowed to be used this way in an expression; function:";
    format!("{what} {}", call.name)
}

/// The operands of a condition that joins no others.
fn operands(condition: &Condition) -> Vec<&Operand> {
    match condition {
        Condition::Compare(left, _, right) => vec![left, right],
        Condition::Between(value, low, high) => vec![value, low, high],
        Condition::In(value, among) => std::iter::once(value).chain(among).collect(),
        Condition::Call(call) => call.arguments.iter().collect(),
        Condition::And(..) | Condition::Or(..) | Condition::Not(_) => Vec::new(),
    }
}

fn check_names(condition: &Condition) -> Result<(), String> {
    match condition {
        Condition::And(left, right) | Condition::Or(left, right) => {
            check_names(left)?;
            check_names(right)
        }
        Condition::Not(inner) => check_names(inner),
        other => operands(other).into_iter().try_for_each(check_operand_names),
    }
}

fn check_operand_names(operand: &Operand) -> Result<(), String> {
    match operand {
        Operand::Path(path) => check_words(path),
        Operand::Call(call) => call.arguments.iter().try_for_each(check_operand_names),
        Operand::Value(_) => Ok(()),
    }
}

fn test_of(condition: &Condition, placeholders: &mut Placeholders) -> Result<Test, String> {
    Ok(match condition {
        Condition::And(left, right) => {
            let left = Box::new(test_of(left, placeholders)?);
            Test::And(left, Box::new(test_of(right, placeholders)?))
        }
        Condition::Or(left, right) => {
            let left = Box::new(test_of(left, placeholders)?);
            Test::Or(left, Box::new(test_of(right, placeholders)?))
        }
        Condition::Not(inner) => Test::Not(Box::new(test_of(inner, placeholders)?)),
        Condition::Compare(left, comparator, right) => {
            let left = term_of(left, placeholders)?;
            let right = term_of(right, placeholders)?;
            check_compared(&left, *comparator, &right)?;
            Test::Compare(left, *comparator, right)
        }
        Condition::Between(value, low, high) => {
            let value = term_of(value, placeholders)?;
            let (low, high) = (term_of(low, placeholders)?, term_of(high, placeholders)?);
            check_bounds(&low, &high)?;
            Test::Between(value, low, high)
        }
        Condition::In(value, among) => {
            let value = term_of(value, placeholders)?;
            let among = among.iter().map(|it| term_of(it, placeholders));
            Test::In(value, among.collect::<Result<_, _>>()?)
        }
        Condition::Call(call) => test_of_call(call, placeholders)?,
    })
}

fn term_of(operand: &Operand, placeholders: &mut Placeholders) -> Result<Term, String> {
    Ok(match operand {
        Operand::Path(path) => Term::Path(placeholders.resolve(path)?),
        Operand::Value(name) => Term::Value(placeholders.value(name)?),
        Operand::Call(call) => {
            let inner = arguments(call, placeholders)?.pop().ok_or_else(|| arity(call))?;
            if let Some(name @ ("N" | "BOOL" | "NULL")) = type_of(&inner) {
                return Err(wrong_type(&call.name, name));
            }
            Term::Size(Box::new(inner))
        }
    })
}

fn arguments(call: &Call, placeholders: &mut Placeholders) -> Result<Vec<Term>, String> {
    let terms = call.arguments.iter().map(|it| term_of(it, placeholders));
    let terms: Vec<Term> = terms.collect::<Result<_, _>>()?;
    let count = FUNCTIONS.iter().find(|(name, _)| *name == call.name).map(|(_, count)| *count);
    if count == Some(terms.len()) { Ok(terms) } else { Err(arity(call)) }
}

fn arity(call: &Call) -> String {
    format!(
        "Incorrect number of operands for operator or function; \
         operator or function: {}, number of operands: {}",
        call.name,
        call.arguments.len()
    )
}

fn test_of_call(call: &Call, placeholders: &mut Placeholders) -> Result<Test, String> {
    let mut terms = arguments(call, placeholders)?.into_iter();
    let name = call.name.as_str();
    let first = terms.next().ok_or_else(|| arity(call))?;
    let Some(second) = terms.next() else {
        let Term::Path(path) = first else {
            let what = "Operator or function requires a document path; operator or function:";
            return Err(format!("{what} {name}"));
        };
        return Ok(if name == "attribute_exists" {
            Test::Exists(path)
        } else {
            Test::IsMissing(path)
        });
    };
    check_distinct(name, &first, &second)?;
    match name {
        "attribute_type" => {
            let wanted = second_type(name, &second)?;
            Ok(Test::HasType(first, wanted))
        }
        "begins_with" => {
            for term in [&first, &second] {
                match type_of(term) {
                    None | Some("S" | "B") => {}
                    Some(other) => return Err(wrong_type(name, other)),
                }
            }
            Ok(Test::BeginsWith(first, second))
        }
        _ => Ok(Test::Contains(first, second)),
    }
}

/// The second argument of `attribute_type` is the name of a type.
fn second_type(function: &str, term: &Term) -> Result<String, String> {
    let Term::Value(AttributeValue::S(name)) = term else {
        let found = type_of(term).unwrap_or("{NS,SS,L,BS,N,M,B,BOOL,NULL,S}");
        return Err(wrong_type(function, found));
    };
    if TYPES.contains(&name.as_str()) {
        return Ok(name.clone());
    }
    let known = TYPES.join(",");
    Err(format!("Invalid attribute type name found; type: {name:.255}, valid types: {{{known}}}"))
}

fn check_compared(left: &Term, comparator: Comparator, right: &Term) -> Result<(), String> {
    check_distinct(comparator.text(), left, right)?;
    if matches!(comparator, Comparator::Equal | Comparator::Unequal) {
        return Ok(());
    }
    for term in [left, right] {
        match type_of(term) {
            None | Some("S" | "N" | "B") => {}
            Some(other) => return Err(wrong_type(comparator.text(), other)),
        }
    }
    Ok(())
}

fn check_distinct(operator: &str, left: &Term, right: &Term) -> Result<(), String> {
    match (left, right) {
        (Term::Path(left), Term::Path(right)) if left == right => Err(format!(
            "The first operand must be distinct from the remaining operands for this operator or \
             function; operator: {operator}, first operand: {}",
            listed(left)
        )),
        _ => Ok(()),
    }
}

fn check_bounds(low: &Term, high: &Term) -> Result<(), String> {
    let (Term::Value(low), Term::Value(high)) = (low, high) else { return Ok(()) };
    let rule = if low.type_name() != high.type_name() {
        "requires same data type for lower and upper bounds"
    } else if order(low, high).is_some_and(std::cmp::Ordering::is_gt) {
        "requires upper bound to be greater than or equal to lower bound"
    } else {
        return Ok(());
    };
    Err(format!(
        "The BETWEEN operator {rule}; lower bound operand: AttributeValue: {}, \
         upper bound operand: AttributeValue: {}",
        shown(low),
        shown(high)
    ))
}

/// A value as DynamoDB shows it in messages.
fn shown(value: &AttributeValue) -> String {
    let name = value.type_name();
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => format!("{{{name}:{text:.255}}}"),
        _ => format!("{{{name}}}"),
    }
}

fn wrong_type(function: &str, found: &str) -> String {
    format!(
        "Incorrect operand type for operator or function; \
         operator or function: {function}, operand type: {found}"
    )
}

/// The type of a term, if it is known before there is an item.
fn type_of(term: &Term) -> Option<&'static str> {
    match term {
        Term::Path(_) => None,
        Term::Value(value) => Some(value.type_name()),
        Term::Size(_) => Some("N"),
    }
}

/// A path as DynamoDB shows it in messages.
pub(crate) fn listed(path: &Path) -> String {
    let steps = path.steps.iter().map(|step| match step {
        Step::Name(name) => format!(", {name}"),
        Step::Index(index) => format!(", [{index}]"),
    });
    format!("[{}{}]", path.head, steps.collect::<String>())
}
