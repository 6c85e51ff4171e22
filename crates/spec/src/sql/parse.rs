//! One SELECT or one condition: its syntax, and which tables it reads.

use std::collections::{BTreeSet, HashMap};
use std::ops::{ControlFlow, Range};

use base::limits;
use sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Query, Select, Statement, TableFactor, Visit, Visitor,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use crate::fault::{Fault, Faults};
use crate::source::Spot;
use crate::sql::SqlText;

/// A table in FROM.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    /// Its name; `system.` and the name for one of the program's own tables.
    pub(crate) name: String,
    /// Where it is named.
    pub(crate) spot: Spot,
}

/// The dialect the engine plans with.
const DIALECT: GenericDialect = GenericDialect {};

/// What a SELECT begins with.
const STARTS: &[&str] = &["SELECT", "WITH", "VALUES", "("];

/// Returns whether the text begins as a SELECT does, and not as a condition may.
pub(crate) fn is_select(sql: &SqlText) -> bool {
    let tokens = tokenize(sql).unwrap_or_default();
    let first = tokens.iter().find(|it| is_visible(it));
    first.is_some_and(|it| matches!(word(it).as_str(), "SELECT" | "WITH"))
}

fn word(token: &TokenWithSpan) -> String {
    token.token.to_string().to_uppercase()
}

/// Returns what a SELECT reads.
pub(crate) fn parse_select(sql: &SqlText) -> Result<Vec<Read>, Faults> {
    let one = |fault: Box<Fault>| Faults::from_iter([*fault]);
    let tokens = tokenize(sql).map_err(one)?;
    match tokens.iter().find(|it| is_visible(it)) {
        None => {
            let help = "write one `SELECT … FROM …`".to_owned();
            return Err(one(Box::new(sql.fault(
                0..sql.text.len(),
                "there is no SELECT",
                Some(help),
            ))));
        }
        Some(first) if !STARTS.contains(&word(first).as_str()) => {
            let help = "what a table or an alert holds is one `SELECT …` or `WITH … SELECT …`";
            let message = format!("`{}` does not begin a SELECT", first.token);
            return Err(one(Box::new(sql.fault(
                bytes(sql, first),
                message,
                Some(help.to_owned()),
            ))));
        }
        Some(_) => {}
    }
    let mut parser = Parser::new(&DIALECT).with_tokens_with_locations(tokens.clone());
    let query = parser.parse_query().map_err(|it| one(syntax_fault(sql, &tokens, &it)))?;
    let had_semicolon = parser.consume_token(&Token::SemiColon);
    while parser.consume_token(&Token::SemiColon) {}
    let next = parser.peek_token();
    if next.token != Token::EOF {
        let (message, help) = if had_semicolon {
            ("a second statement".to_owned(), "one SELECT each; put the other in its own file")
        } else {
            (
                format!("`{}` was not expected here", next.token),
                "a comma or a keyword may be missing",
            )
        };
        return Err(one(Box::new(sql.fault(bytes(sql, &next), message, Some(help.to_owned())))));
    }
    find_reads(sql, &*query)
}

/// Checks that the text is one expression and returns what its subqueries read.
pub(crate) fn parse_condition(sql: &SqlText) -> Result<Vec<Read>, Box<Fault>> {
    let tokens = tokenize(sql)?;
    if !tokens.iter().any(is_visible) {
        let help = "write an expression that is true or false: `price > 0`".to_owned();
        return Err(Box::new(sql.fault(0..sql.text.len(), "there is no condition", Some(help))));
    }
    let mut parser = Parser::new(&DIALECT).with_tokens_with_locations(tokens.clone());
    let expr: Expr = parser.parse_expr().map_err(|it| syntax_fault(sql, &tokens, &it))?;
    let next = parser.peek_token();
    if next.token != Token::EOF {
        let message = format!("`{}` was not expected here", next.token);
        let help = "a condition is one expression; join several by AND".to_owned();
        return Err(Box::new(sql.fault(bytes(sql, &next), message, Some(help))));
    }
    find_reads(sql, &expr).map_err(|faults| {
        let first = faults.into_iter().next();
        Box::new(first.unwrap_or_else(|| sql.fault(0..0, "not a condition", None)))
    })
}

/// Returns the bytes from the first word to the last, without comments, spaces and `;` around.
pub(crate) fn extent(text: &str) -> Range<usize> {
    let sql = SqlText::outside("", text);
    let Ok(tokens) = tokenize(&sql) else { return 0..text.len() };
    let is_part = |it: &&TokenWithSpan| is_visible(it) && it.token != Token::SemiColon;
    let first = tokens.iter().find(is_part);
    let last = tokens.iter().rev().find(is_part);
    match (first, last) {
        (Some(first), Some(last)) => bytes(&sql, first).start..bytes(&sql, last).end,
        _ => 0..text.len(),
    }
}

fn tokenize(sql: &SqlText) -> Result<Vec<TokenWithSpan>, Box<Fault>> {
    let mut tokens = Vec::new();
    Tokenizer::new(&DIALECT, &sql.text).tokenize_with_location_into_buf(&mut tokens).map_err(
        |wrong| {
            let at = byte_of(sql, wrong.location);
            let message = lower_first(&wrong.message);
            Box::new(sql.fault(at..sql.text.len().min(at + 1), message, None))
        },
    )?;
    if limits::SQL_TOKENS_MAX < tokens.iter().filter(|it| is_visible(it)).count() {
        let message = format!("this is longer than {} words", limits::SQL_TOKENS_MAX);
        let help = "split it into several tables, or put the long list into a lookup".to_owned();
        return Err(Box::new(sql.fault(0..0, message, Some(help))));
    }
    if let Some(deep) = too_deep(&tokens) {
        let help = "give the inner parts names with `WITH`, or make tables of them".to_owned();
        let range = bytes(sql, deep);
        return Err(Box::new(sql.fault(range, "this is nested too deeply", Some(help))));
    }
    Ok(tokens)
}

/// Returns the first token that opens more levels than a person writes; the parser counts most
/// kinds of nesting, but not types in types.
fn too_deep(tokens: &[TokenWithSpan]) -> Option<&TokenWithSpan> {
    let (mut brackets, mut types) = (0_usize, 0_usize);
    let mut before = &Token::EOF;
    tokens.iter().filter(|it| is_visible(it)).find(|it| {
        match &it.token {
            Token::LParen | Token::LBracket | Token::LBrace => brackets += 1,
            Token::RParen | Token::RBracket | Token::RBrace => {
                brackets = brackets.saturating_sub(1);
            }
            Token::Lt if matches!(before, Token::Word(_)) && is_type(before) => types += 1,
            _ => {}
        }
        before = &it.token;
        limits::SQL_DEPTH_MAX < brackets.max(types)
    })
}

fn is_type(token: &Token) -> bool {
    ["ARRAY", "STRUCT", "MAP"].iter().any(|it| token.to_string().eq_ignore_ascii_case(it))
}

fn is_visible(it: &TokenWithSpan) -> bool {
    !matches!(it.token, Token::Whitespace(_) | Token::EOF)
}

fn byte_of(sql: &SqlText, location: Location) -> usize {
    if location.line == 0 { sql.text.len() } else { sql.byte_at(location.line, location.column) }
}

fn bytes(sql: &SqlText, token: &TokenWithSpan) -> Range<usize> {
    byte_of(sql, token.span.start)..byte_of(sql, token.span.end)
}

fn syntax_fault(sql: &SqlText, tokens: &[TokenWithSpan], error: &ParserError) -> Box<Fault> {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
        ParserError::RecursionLimitExceeded => {
            let help = "give the inner parts names with `WITH`, or make tables of them".to_owned();
            return Box::new(sql.fault(0..sql.text.len(), "this is nested too deeply", Some(help)));
        }
    };
    let (message, location) = match text.rsplit_once(" at Line: ") {
        Some((message, place)) => (message, read_location(place)),
        None => (text, None),
    };
    let at_token = |it: &&TokenWithSpan| location == Some(it.span.start) && is_visible(it);
    let range = match (tokens.iter().find(at_token), location) {
        (Some(token), _) => bytes(sql, token),
        (None, Some(location)) => byte_of(sql, location)..byte_of(sql, location),
        (None, None) => sql.text.len()..sql.text.len(),
    };
    let message = match message
        .strip_prefix("Expected: ")
        .and_then(|it| it.rsplit_once(", found: "))
    {
        Some((expected, "EOF")) => format!("the SQL ends where {} should follow", plain(expected)),
        Some((expected, found)) => format!("expected {}, found `{found}`", plain(expected)),
        None => lower_first(message),
    };
    Box::new(sql.fault(range, message, None))
}

/// Says what the parser expected; a lone word is a keyword or a sign.
fn plain(expected: &str) -> String {
    let is_sign = expected.chars().all(|it| it.is_ascii_uppercase() || !it.is_alphanumeric());
    if is_sign && !expected.contains(' ') { format!("`{expected}`") } else { expected.to_owned() }
}

fn read_location(place: &str) -> Option<Location> {
    let (line, column) = place.split_once(", Column: ")?;
    Some(Location { line: line.parse().ok()?, column: column.trim().parse().ok()? })
}

fn lower_first(text: &str) -> String {
    let mut signs = text.chars();
    let first = signs.next().map(|it| it.to_ascii_lowercase());
    first.into_iter().chain(signs).collect()
}

fn find_reads(sql: &SqlText, tree: &impl Visit) -> Result<Vec<Read>, Faults> {
    let mut finder = Finder {
        sql,
        reads: Vec::new(),
        faults: Faults::default(),
        scopes: Vec::new(),
        scope_of_cte: HashMap::new(),
    };
    match tree.visit(&mut finder) {
        ControlFlow::Continue(()) | ControlFlow::Break(()) => {}
    }
    if finder.faults.is_empty() { Ok(finder.reads) } else { Err(finder.faults) }
}

/// Collects the tables of FROM that are no names of WITH.
struct Finder<'a> {
    sql: &'a SqlText,
    reads: Vec<Read>,
    faults: Faults,
    /// The names of WITH that each query around can see.
    scopes: Vec<BTreeSet<String>>,
    /// What the query of a WITH sees: the ones before it, and itself if recursive.
    scope_of_cte: HashMap<*const Query, BTreeSet<String>>,
}

impl Visitor for Finder<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let own = self.scope_of_cte.remove(&std::ptr::from_ref(query));
        let mut scope = own.or_else(|| self.scopes.last().cloned()).unwrap_or_default();
        if let Some(with) = &query.with {
            for cte in &with.cte_tables {
                let name = normal(&cte.alias.name);
                let mut inner = scope.clone();
                if with.recursive {
                    inner.insert(name.clone());
                }
                self.scope_of_cte.insert(std::ptr::from_ref(cte.query.as_ref()), inner);
                scope.insert(name);
            }
        }
        self.scopes.push(scope);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        if let Some(into) = &select.into {
            let range = self.range_of(&into.name);
            let help = "leave INTO out: the rows are the table's own".to_owned();
            self.faults.push(self.sql.fault(range, "a SELECT cannot write", Some(help)));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_statement(&mut self, _statement: &Statement) -> ControlFlow<()> {
        let help = "only SELECT may stand here".to_owned();
        let whole = 0..self.sql.text.len();
        self.faults.push(self.sql.fault(whole, "a SELECT cannot write", Some(help)));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: None, .. } = factor {
            self.read(name);
        }
        ControlFlow::Continue(())
    }
}

impl Finder<'_> {
    fn read(&mut self, object: &ObjectName) {
        let parts: Vec<String> = object.0.iter().map(normal_part).collect();
        let range = self.range_of(object);
        let spot = self.sql.spot_of(range.clone());
        match parts.as_slice() {
            [name] => {
                let is_cte = self.scopes.last().is_some_and(|it| it.contains(name));
                if !is_cte {
                    self.reads.push(Read { name: name.clone(), spot });
                }
            }
            [schema, name] if schema == "system" => {
                self.reads.push(Read { name: format!("system.{name}"), spot });
            }
            [schema, name] if schema == "public" => {
                self.reads.push(Read { name: name.clone(), spot });
            }
            _ => {
                let last = parts.last().map_or("", String::as_str);
                let help = format!("write `{last}` alone; only `system` is a schema");
                let message = format!("there is no schema in `{}`", parts.join("."));
                self.faults.push(self.sql.fault(range, message, Some(help)));
            }
        }
    }

    fn range_of(&self, object: &ObjectName) -> Range<usize> {
        let idents: Vec<&Ident> = object.0.iter().filter_map(ObjectNamePart::as_ident).collect();
        match (idents.first(), idents.last()) {
            (Some(first), Some(last)) => {
                let start = byte_of(self.sql, first.span.start);
                start..byte_of(self.sql, last.span.end).max(start)
            }
            _ => 0..0,
        }
    }
}

fn normal_part(part: &ObjectNamePart) -> String {
    part.as_ident().map_or_else(|| part.to_string(), normal)
}

/// Returns the name as the engine looks it up: lower case unless quoted.
fn normal(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}
