//! Expressions as they are written: conditions and lists of paths, before any name is looked up.
//!
//! What is printed reads as the same expression.

use std::fmt;

pub(crate) use self::parse::{condition, paths};

mod parse;
mod token;

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
    Compare(Operand, Comparator, Operand),
    Between(Operand, Operand, Operand),
    In(Operand, Vec<Operand>),
    Call(Call),
}

/// What a condition compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operand {
    Path(Path),
    /// The name of a value, with its colon.
    Value(String),
    Call(Call),
}

/// A function with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: Vec<Operand>,
}

/// A way to an attribute, or into one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    /// A name, or the name of a name with its number sign.
    pub(crate) head: String,
    pub(crate) steps: Vec<Step>,
}

/// One step into a map or a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Name(String),
    Index(usize),
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparator {
    /// Returns the comparator that says the same of the operands in the other order.
    #[must_use]
    pub(crate) fn turned(self) -> Comparator {
        match self {
            Comparator::Equal | Comparator::Unequal => self,
            Comparator::Less => Comparator::Greater,
            Comparator::LessOrEqual => Comparator::GreaterOrEqual,
            Comparator::Greater => Comparator::Less,
            Comparator::GreaterOrEqual => Comparator::LessOrEqual,
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Comparator::Equal => "=",
            Comparator::Unequal => "<>",
            Comparator::Less => "<",
            Comparator::LessOrEqual => "<=",
            Comparator::Greater => ">",
            Comparator::GreaterOrEqual => ">=",
        }
    }
}

/// What is wrong with an expression, in the words of DynamoDB.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    #[error("The expression can not be empty;")]
    Empty,
    #[error("Expression size has exceeded the maximum allowed size; expression size: {0}")]
    TooLong(usize),
    #[error(
        "The expression contains too many operators; maximum operators: {}",
        base::limits::DYNAMODB_OPERATORS_MAX
    )]
    TooManyOperators,
    #[error("The expression has too many functions in each other")]
    TooDeep,
    #[error("The IN operator is provided with too many operands; number of operands: {0}")]
    TooManyOperands(usize),
    #[error("The expression has redundant parentheses;")]
    Parentheses,
    #[error("Syntax error; token: \"{token}\", near: \"{near}\"")]
    Syntax { token: String, near: String },
    #[error("Invalid list index; index: {0}")]
    Index(String),
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Or(left, right) => {
                write!(f, "{left} OR ")?;
                right.write(f, |it| matches!(it, Condition::Or(..)))
            }
            Condition::And(left, right) => {
                left.write(f, |it| matches!(it, Condition::Or(..)))?;
                f.write_str(" AND ")?;
                right.write(f, Condition::joins)
            }
            Condition::Not(inner) => {
                f.write_str("NOT ")?;
                inner.write(f, Condition::joins)
            }
            Condition::Compare(left, comparator, right) => {
                write!(f, "{left} {} {right}", comparator.text())
            }
            Condition::Between(value, low, high) => write!(f, "{value} BETWEEN {low} AND {high}"),
            Condition::In(value, among) => write!(f, "{value} IN ({})", Listed(among)),
            Condition::Call(call) => call.fmt(f),
        }
    }
}

impl Condition {
    fn joins(&self) -> bool {
        matches!(self, Condition::And(..) | Condition::Or(..))
    }

    /// Writes it, in parentheses if it needs them.
    fn write(
        &self,
        f: &mut fmt::Formatter<'_>,
        needs_parentheses: impl FnOnce(&Condition) -> bool,
    ) -> fmt::Result {
        if needs_parentheses(self) { write!(f, "({self})") } else { write!(f, "{self}") }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Path(path) => path.fmt(f),
            Operand::Value(name) => f.write_str(name),
            Operand::Call(call) => call.fmt(f),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, Listed(&self.arguments))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.head)?;
        self.steps.iter().try_for_each(|step| match step {
            Step::Name(name) => write!(f, ".{name}"),
            Step::Index(index) => write!(f, "[{index}]"),
        })
    }
}

struct Listed<'a>(&'a [Operand]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(index, it)| {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{it}")
        })
    }
}

#[cfg(test)]
mod tests;
