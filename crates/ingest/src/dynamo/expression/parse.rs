//! Reads conditions and lists of paths.
//!
//! What waits for the rest of a condition stands on a stack of its own, so that no expression, as
//! deep as it may be, takes the stack of the thread. Parentheses may hold a condition or an operand,
//! which is known only after they are read.

use base::limits;

use super::token::{Kind, Token, tokens, unexpected};
use super::{Call, Comparator, Condition, Operand, Path, Step, Wrong};

/// Reads a condition.
pub(crate) fn condition(text: &str) -> Result<Condition, Wrong> {
    let mut parser = Parser::new(text)?;
    let condition = parser.condition()?;
    parser.take(Kind::End)?;
    Ok(condition)
}

/// Reads a list of paths.
pub(crate) fn paths(text: &str) -> Result<Vec<Path>, Wrong> {
    let mut parser = Parser::new(text)?;
    let mut paths = vec![parser.path()?];
    while parser.takes(Kind::Comma) {
        paths.push(parser.path()?);
    }
    parser.take(Kind::End)?;
    Ok(paths)
}

/// A condition or an operand.
enum Node {
    Condition(Condition),
    Operand(Operand),
    /// One of them in parentheses.
    Group(Box<Node>),
}

/// What waits for the node that is being read.
enum Waiting {
    Group,
    Or(Box<Condition>),
    And(Box<Condition>),
    Not,
}

/// How tightly an operator binds, the loosest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Group,
    Or,
    And,
    Not,
}

impl Waiting {
    fn binding(&self) -> Binding {
        match self {
            Waiting::Group => Binding::Group,
            Waiting::Or(_) => Binding::Or,
            Waiting::And(_) => Binding::And,
            Waiting::Not => Binding::Not,
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    operators: usize,
    /// Functions in functions.
    depth: usize,
}

/// No function makes sense in many others; reading these calls itself.
const DEPTH_MAX: usize = 16;

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Parser<'a>, Wrong> {
        if text.is_empty() {
            return Err(Wrong::Empty);
        }
        if limits::DYNAMODB_EXPRESSION_BYTES_MAX < text.len() {
            return Err(Wrong::TooLong(text.len()));
        }
        Ok(Parser { text, tokens: tokens(text), at: 0, operators: 0, depth: 0 })
    }

    fn condition(&mut self) -> Result<Condition, Wrong> {
        let mut waiting = Vec::new();
        loop {
            match self.peek() {
                Kind::Not => {
                    self.operator()?;
                    waiting.push(Waiting::Not);
                    continue;
                }
                Kind::Open => {
                    self.at += 1;
                    waiting.push(Waiting::Group);
                    continue;
                }
                _ => {}
            }
            let mut node = Node::Operand(self.bare_operand()?);
            while is_comparator(self.peek()) || self.peek() == Kind::Close {
                node = if self.peek() == Kind::Close {
                    self.grouped(node, &mut waiting)?
                } else {
                    let left = self.operand_of(node)?;
                    Node::Condition(self.compared(left)?)
                };
            }
            let binding = match self.peek() {
                Kind::And => Binding::And,
                Kind::Or => Binding::Or,
                _ => Binding::Group,
            };
            let left = Box::new(self.joined(node, binding, &mut waiting)?);
            match binding {
                Binding::And => waiting.push(Waiting::And(left)),
                Binding::Or => waiting.push(Waiting::Or(left)),
                Binding::Group | Binding::Not if waiting.is_empty() => return Ok(*left),
                Binding::Group | Binding::Not => return Err(self.wrong(self.at)),
            }
            self.operator()?;
        }
    }

    /// Joins a node with what waits for it and binds at least as tightly as what follows.
    fn joined(
        &self,
        node: Node,
        follows: Binding,
        waiting: &mut Vec<Waiting>,
    ) -> Result<Condition, Wrong> {
        let least = follows.max(Binding::Or);
        let mut condition = self.condition_of(node)?;
        while let Some(before) = waiting.pop_if(|it| least <= it.binding()) {
            let right = Box::new(condition);
            condition = match before {
                Waiting::Or(left) => Condition::Or(left, right),
                Waiting::And(left) => Condition::And(left, right),
                Waiting::Not | Waiting::Group => Condition::Not(right),
            };
        }
        Ok(condition)
    }

    /// Ends what stands in parentheses.
    fn grouped(&mut self, node: Node, waiting: &mut Vec<Waiting>) -> Result<Node, Wrong> {
        let node = match waiting.last() {
            None => return Err(self.wrong(self.at)),
            Some(Waiting::Group) => node,
            Some(_) => Node::Condition(self.joined(node, Binding::Group, waiting)?),
        };
        if waiting.pop().is_none() {
            return Err(self.wrong(self.at));
        }
        self.at += 1;
        if matches!(node, Node::Group(_)) {
            return Err(Wrong::Parentheses);
        }
        Ok(Node::Group(Box::new(node)))
    }

    fn compared(&mut self, left: Operand) -> Result<Condition, Wrong> {
        let comparator = match self.operator()? {
            Kind::Between => {
                let low = self.operand()?;
                self.take(Kind::And)?;
                return Ok(Condition::Between(left, low, self.operand()?));
            }
            Kind::In => {
                self.take(Kind::Open)?;
                let among = self.operands()?;
                if limits::DYNAMODB_OPERANDS_MAX < among.len() {
                    return Err(Wrong::TooManyOperands(among.len()));
                }
                return Ok(Condition::In(left, among));
            }
            Kind::Equal => Comparator::Equal,
            Kind::Unequal => Comparator::Unequal,
            Kind::Less => Comparator::Less,
            Kind::LessOrEqual => Comparator::LessOrEqual,
            Kind::Greater => Comparator::Greater,
            Kind::GreaterOrEqual => Comparator::GreaterOrEqual,
            _ => return Err(self.wrong(self.at.saturating_sub(1))),
        };
        Ok(Condition::Compare(left, comparator, self.operand()?))
    }

    /// Reads operands up to the closing parenthesis.
    fn operands(&mut self) -> Result<Vec<Operand>, Wrong> {
        let mut operands = vec![self.operand()?];
        while self.takes(Kind::Comma) {
            operands.push(self.operand()?);
        }
        self.take(Kind::Close)?;
        Ok(operands)
    }

    /// Reads an operand, which may stand in parentheses.
    fn operand(&mut self) -> Result<Operand, Wrong> {
        if !self.takes(Kind::Open) {
            return self.bare_operand();
        }
        if self.peek() == Kind::Open {
            return Err(Wrong::Parentheses);
        }
        let operand = self.bare_operand()?;
        self.take(Kind::Close)?;
        Ok(operand)
    }

    fn bare_operand(&mut self) -> Result<Operand, Wrong> {
        let is_call = self.tokens.get(self.at + 1).is_some_and(|it| it.kind == Kind::Open);
        match self.peek() {
            Kind::Value => Ok(Operand::Value(self.word())),
            Kind::Word if is_call => {
                self.count_operator()?;
                self.depth += 1;
                if DEPTH_MAX < self.depth {
                    return Err(Wrong::TooDeep);
                }
                let name = self.word();
                self.take(Kind::Open)?;
                let arguments = self.operands()?;
                self.depth -= 1;
                Ok(Operand::Call(Call { name, arguments }))
            }
            _ => Ok(Operand::Path(self.path()?)),
        }
    }

    fn path(&mut self) -> Result<Path, Wrong> {
        let head = self.name()?;
        let mut steps = Vec::new();
        loop {
            if self.takes(Kind::Dot) {
                steps.push(Step::Name(self.name()?));
            } else if self.takes(Kind::OpenIndex) {
                let digits = self.take(Kind::Digits)?;
                let index = digits.parse().map_err(|_too_large| Wrong::Index(digits.clone()))?;
                self.take(Kind::CloseIndex)?;
                steps.push(Step::Index(index));
            } else {
                return Ok(Path { head, steps });
            }
        }
    }

    fn name(&mut self) -> Result<String, Wrong> {
        match self.peek() {
            Kind::Word | Kind::Name => Ok(self.word()),
            _ => Err(self.wrong(self.at)),
        }
    }

    /// Only a function is an operand and a condition.
    fn condition_of(&self, node: Node) -> Result<Condition, Wrong> {
        match node {
            Node::Condition(condition) => Ok(condition),
            Node::Operand(Operand::Call(call)) => Ok(Condition::Call(call)),
            Node::Operand(_) => Err(self.wrong(self.at)),
            Node::Group(inner) => self.condition_of(*inner),
        }
    }

    fn operand_of(&self, node: Node) -> Result<Operand, Wrong> {
        match node {
            Node::Operand(operand) => Ok(operand),
            Node::Condition(_) => Err(self.wrong(self.at)),
            Node::Group(inner) => self.operand_of(*inner),
        }
    }

    fn peek(&self) -> Kind {
        self.tokens.get(self.at).map_or(Kind::End, |it| it.kind)
    }

    /// Takes an operator.
    fn operator(&mut self) -> Result<Kind, Wrong> {
        self.count_operator()?;
        let kind = self.peek();
        self.at += 1;
        Ok(kind)
    }

    /// There may be so many operators and functions.
    fn count_operator(&mut self) -> Result<(), Wrong> {
        self.operators += 1;
        if limits::DYNAMODB_OPERATORS_MAX < self.operators {
            return Err(Wrong::TooManyOperators);
        }
        Ok(())
    }

    /// Takes the next token, whatever it is.
    fn word(&mut self) -> String {
        let token = self.tokens.get(self.at);
        let text = token.and_then(|it| self.text.get(it.start..it.end)).unwrap_or_default();
        self.at += 1;
        text.to_owned()
    }

    fn take(&mut self, kind: Kind) -> Result<String, Wrong> {
        if self.peek() == kind { Ok(self.word()) } else { Err(self.wrong(self.at)) }
    }

    fn takes(&mut self, kind: Kind) -> bool {
        let is_next = self.peek() == kind;
        self.at += usize::from(is_next);
        is_next
    }

    fn wrong(&self, at: usize) -> Wrong {
        unexpected(self.text, &self.tokens, at)
    }
}

fn is_comparator(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Between
            | Kind::In
            | Kind::Equal
            | Kind::Unequal
            | Kind::Less
            | Kind::LessOrEqual
            | Kind::Greater
            | Kind::GreaterOrEqual
    )
}
