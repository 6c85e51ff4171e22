//! What a statement asks for: rows, a cursor, a transaction, a setting.

use std::collections::BTreeMap;
use std::time::Duration;

use base::Span;
use datafusion::error::DataFusionError;
use datafusion::sql::parser::{ResetStatement, Statement};
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use sqlparser::ast::{
    CloseCursor, DataType, Expr, FetchDirection, ObjectNamePart, Reset, Set, Statement as Sql,
    Value, ValueWithSpan,
};
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::copy::{self, CopyForm};
use super::tables;
use crate::changes::{FileTarget, NewTable};
use crate::dialect::Ours;
use crate::error::SqlError;
use crate::hidden::normal;
use crate::position;
use crate::statement::{self, read_only};
use crate::words;

/// What a client asks for in one statement.
#[derive(Debug, Clone)]
pub(super) enum Command {
    /// Rows.
    Rows(Box<Statement>),
    Begin,
    Commit,
    Rollback,
    /// Changes a setting of the connection.
    Set {
        name: String,
        value: String,
    },
    /// Takes all settings, or one, back.
    Reset(Option<String>),
    /// Tells a setting.
    Show(String),
    /// Opens a cursor.
    Declare {
        name: String,
        query: Box<Statement>,
    },
    /// Sends rows of a cursor; 0 is all.
    Fetch {
        name: String,
        rows_max: usize,
    },
    /// Closes a cursor, or all.
    Close(Option<String>),
    /// Forgets a prepared statement, or all.
    Deallocate(Option<String>),
    /// Forgets everything of the connection.
    Discard,
    /// Says yes and does nothing: what clients send before they start.
    Nothing(&'static str),
    /// Sends rows as a copy.
    CopyOut {
        query: Box<Statement>,
        form: CopyForm,
    },
    /// Writes rows into a file of a bucket.
    CopyFile {
        query: Box<Statement>,
        target: FileTarget,
    },
    /// Makes a table of the project; its SELECT begins at this byte of the text.
    Create {
        table: NewTable,
        at: usize,
    },
    /// Drops tables that were made so.
    Drop {
        names: Vec<String>,
        if_exists: bool,
    },
    /// Remembers a statement, with the types of its parameters.
    Prepare {
        name: String,
        types: Vec<DataType>,
        statement: Box<Statement>,
    },
    /// Runs a statement that was remembered, with these values.
    Execute {
        name: String,
        values: Vec<Expr>,
    },
}

/// Reads a text of any number of statements.
pub(super) fn read(sql: &str) -> Result<Vec<Command>, SqlError> {
    let tokens = tokens(sql);
    if begins_own(&tokens) {
        return read_own(sql, &tokens);
    }
    let parsed = match compatible(sql) {
        Some(statements) => statements,
        None => statement::parse(sql)?,
    };
    parsed.into_iter().map(command).collect()
}

fn tokens(sql: &str) -> Vec<TokenWithSpan> {
    let tokens = Tokenizer::new(&Ours::of(sql), sql).tokenize_with_location();
    tokens.unwrap_or_default() // Whoever parses it says what is wrong.
}

fn is_visible(token: &TokenWithSpan) -> bool {
    !matches!(token.token, Token::Whitespace(_) | Token::EOF)
}

/// Returns whether one of the statements is one that the engine's parser reads otherwise.
fn begins_own(tokens: &[TokenWithSpan]) -> bool {
    let mut statements = tokens.split(|it| it.token == Token::SemiColon);
    statements.any(|statement| {
        let words = statement.iter().filter(|it| is_visible(it)).map_while(|it| match &it.token {
            Token::Word(word) => Some(word.keyword),
            _ => None,
        });
        match words.take(CREATE_WORDS).collect::<Vec<_>>().as_slice() {
            [Keyword::COPY | Keyword::DROP, ..] => true,
            [Keyword::CREATE, rest @ ..] => {
                let is_table = |it: &Keyword| matches!(it, Keyword::TABLE | Keyword::MATERIALIZED);
                rest.iter().any(is_table) && !rest.contains(&Keyword::EXTERNAL)
            }
            _ => false,
        }
    })
}

/// `CREATE OR REPLACE TEMP TABLE`: what is made stands among so many words.
const CREATE_WORDS: usize = 5;

/// Reads statements of which some copy rows or make tables.
fn read_own(sql: &str, tokens: &[TokenWithSpan]) -> Result<Vec<Command>, SqlError> {
    let wrong = |error| words::of(sql, &DataFusionError::SQL(Box::new(error), None));
    let mut commands = Vec::new();
    for own in tokens.split(|it| it.token == Token::SemiColon) {
        if !own.iter().any(is_visible) {
            continue;
        }
        let dialect = Ours::of(sql);
        let parser = Parser::new(&dialect).with_recursion_limit(statement::DEPTH_MAX);
        let mut parser = parser.with_tokens_with_locations(own.to_vec());
        let parsed = parser.parse_statement().map_err(wrong)?;
        let next = parser.peek_token();
        if next.token != Token::EOF {
            let range = position::range_of(sql, next.span);
            let message = format!("expected end of statement, found `{}`", next.token);
            return Err(SqlError { range, ..SqlError::invalid("42601", message) });
        }
        commands.push(match parsed {
            copy @ Sql::Copy { .. } => copy::command(copy)?,
            other => match tables::command(sql, &other, own) {
                Some(made) => made?,
                None => command(Statement::Statement(Box::new(other)))?,
            },
        });
    }
    Ok(commands)
}

/// Rewrites what clients ask about the catalog into what the engine can run.
fn compatible(sql: &str) -> Option<Vec<Statement>> {
    const WORDS: &[&str] = &["pg_", "information_schema", "current_", "session_user", "version("];
    let lower = sql.to_ascii_lowercase();
    if !WORDS.iter().any(|it| lower.contains(it)) {
        return None;
    }
    let sql = without_memberships(sql);
    let statements = PostgresCompatibilityParser::new().parse(&sql).ok()?;
    Some(statements.into_iter().map(|it| Statement::Statement(Box::new(it))).collect())
}

/// Takes the groups out of `\du`: the engine has no arrays of subqueries, and users no groups.
fn without_memberships(sql: &str) -> String {
    let cut = || {
        let start = sql.find("ARRAY(SELECT b.rolname")?;
        let end = start + sql.get(start..)?.find(") as memberof")?;
        Some(format!("{}'{{}}'{}", sql.get(..start)?, sql.get(end + 1..)?))
    };
    cut().unwrap_or_else(|| sql.to_owned())
}

fn command(statement: Statement) -> Result<Command, SqlError> {
    if let Statement::Reset(ResetStatement::Variable(name)) = &statement {
        let name = name.to_string().to_lowercase();
        return Ok(Command::Reset((name != "all").then_some(name)));
    }
    let Statement::Statement(sql) = statement else {
        statement::refuse_changes(&statement)?;
        return Ok(Command::Rows(Box::new(statement)));
    };
    match *sql {
        Sql::StartTransaction { .. } => Ok(Command::Begin),
        Sql::Commit { .. } => Ok(Command::Commit),
        Sql::Rollback { .. } => Ok(Command::Rollback),
        Sql::Savepoint { .. } => Ok(Command::Nothing("SAVEPOINT")),
        Sql::ReleaseSavepoint { .. } => Ok(Command::Nothing("RELEASE")),
        Sql::Set(set) => setting(set),
        Sql::Reset(it) => Ok(Command::Reset(match it.reset {
            Reset::ALL => None,
            Reset::ConfigurationParameter(name) => Some(name.to_string().to_lowercase()),
        })),
        Sql::ShowVariable { variable } => {
            let words: Vec<String> = variable.iter().map(|it| it.value.to_lowercase()).collect();
            Ok(Command::Show(words.join(" ")))
        }
        Sql::Declare { stmts } => declare(stmts),
        Sql::Fetch { name, direction, into: None, .. } => {
            Ok(Command::Fetch { name: normal(&name), rows_max: rows_max(&direction)? })
        }
        Sql::Close { cursor } => Ok(Command::Close(match cursor {
            CloseCursor::All => None,
            CloseCursor::Specific { name } => Some(normal(&name)),
        })),
        Sql::Deallocate { name, .. } => {
            let name = normal(&name);
            Ok(Command::Deallocate((name != "all").then_some(name)))
        }
        Sql::Prepare { name, data_types: types, statement } => {
            match command(Statement::Statement(statement))? {
                Command::Rows(statement) => {
                    Ok(Command::Prepare { name: normal(&name), types, statement })
                }
                _ => Err(SqlError::invalid("42601", "only a question can be prepared")
                    .with_help("write `PREPARE name AS SELECT …`")),
            }
        }
        Sql::Execute { name: Some(name), parameters: values, .. } => {
            let name = name.0.last().and_then(ObjectNamePart::as_ident).map(normal);
            Ok(Command::Execute { name: name.unwrap_or_default(), values })
        }
        Sql::Discard { .. } => Ok(Command::Discard),
        Sql::UNLISTEN { .. } => Ok(Command::Nothing("UNLISTEN")),
        other => {
            let statement = Statement::Statement(Box::new(other));
            statement::refuse_changes(&statement)?;
            Ok(Command::Rows(Box::new(statement)))
        }
    }
}

fn setting(set: Set) -> Result<Command, SqlError> {
    match set {
        Set::SingleAssignment { variable, values, .. } => {
            let name = variable.to_string().replace('"', "").to_lowercase();
            let values: Vec<String> = values.iter().map(text).collect();
            Ok(Command::Set { name, value: values.join(", ") })
        }
        Set::SetTimeZone { value, .. } => {
            Ok(Command::Set { name: "timezone".to_owned(), value: text(&value) })
        }
        Set::SetNames { charset_name, .. } => {
            Ok(Command::Set { name: "client_encoding".to_owned(), value: charset_name.value })
        }
        Set::SetTransaction { .. }
        | Set::SetNamesDefault {}
        | Set::SetSessionParam(_)
        | Set::SetRole { .. } => Ok(Command::Nothing("SET")),
        other => Err(read_only(&other.to_string())),
    }
}

fn text(expr: &Expr) -> String {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => text.clone(),
        Expr::Identifier(name) => name.value.clone(),
        other => other.to_string(),
    }
}

fn declare(statements: Vec<sqlparser::ast::Declare>) -> Result<Command, SqlError> {
    let unusual = || {
        SqlError::invalid("0A000", "this DECLARE is not supported")
            .with_help("write `DECLARE name CURSOR FOR SELECT …`")
    };
    let one = statements.into_iter().next().ok_or_else(unusual)?;
    let name = one.names.first().map(normal).ok_or_else(unusual)?;
    if one.scroll == Some(true) {
        return Err(SqlError::invalid("0A000", "cursors only go forward")
            .with_help("leave SCROLL out of DECLARE"));
    }
    let query = one.for_query.ok_or_else(unusual)?;
    let query = Statement::Statement(Box::new(Sql::Query(query)));
    Ok(Command::Declare { name, query: Box::new(query) })
}

fn rows_max(direction: &FetchDirection) -> Result<usize, SqlError> {
    let count = |it: &ValueWithSpan| it.to_string().parse::<usize>().ok().filter(|it| 0 < *it);
    let rows = match direction {
        FetchDirection::Next | FetchDirection::Forward { limit: None } => Some(1),
        FetchDirection::All | FetchDirection::ForwardAll => Some(0),
        FetchDirection::Count { limit } | FetchDirection::Forward { limit: Some(limit) } => {
            count(limit)
        }
        _ => None,
    };
    rows.ok_or_else(|| {
        SqlError::invalid("55000", "cursors only go forward")
            .with_help("write `FETCH FORWARD 100 FROM name`")
    })
}

/// The settings of one connection.
#[derive(Debug, Default)]
pub(super) struct Settings {
    changed: BTreeMap<String, String>,
}

/// Settings a connection may keep; clients set a dozen.
const SETTINGS_MAX: usize = 256;

const DEFAULTS: &[(&str, &str)] = &[
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO, MDY"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "on"),
    ("extra_float_digits", "1"),
    ("intervalstyle", "postgres"),
    ("is_superuser", "off"),
    ("max_identifier_length", "63"),
    ("search_path", "public"),
    ("server_encoding", "UTF8"),
    ("server_version", super::VERSION),
    ("server_version_num", "160006"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("time zone", "UTC"),
    ("timezone", "UTC"),
    ("transaction isolation level", "read committed"),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "on"),
];

impl Settings {
    /// Changes a setting; returns what the client should know about it.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<Option<SqlError>, SqlError> {
        let is_default = value.eq_ignore_ascii_case("default");
        match name {
            _ if is_default => {
                self.changed.remove(name);
                return Ok(None);
            }
            "client_encoding" if !is_utf8(value) => {
                return Err(SqlError::invalid("22023", "text is UTF8 here")
                    .with_help("write `SET client_encoding TO 'UTF8'`"));
            }
            "timezone" if !is_utc(value) => {
                return Ok(Some(
                    SqlError::invalid("01000", "times are shown in UTC")
                        .with_help("`ts AT TIME ZONE 'Europe/Paris'` shows another"),
                ));
            }
            "statement_timeout" if timeout(value).is_none() => {
                let message = format!("`{value}` is not a duration");
                return Err(SqlError::invalid("22023", message)
                    .with_help("write `SET statement_timeout TO '30 s'`, or 0 for none"));
            }
            _ => {}
        }
        if SETTINGS_MAX <= self.changed.len() && !self.changed.contains_key(name) {
            return Err(SqlError::invalid("54000", "this connection has too many settings"));
        }
        self.changed.insert(name.to_owned(), value.to_owned());
        Ok(None)
    }

    pub(super) fn reset(&mut self, name: Option<&str>) {
        match name {
            None => self.changed.clear(),
            Some(name) => drop(self.changed.remove(name)),
        }
    }

    pub(super) fn show(&self, name: &str) -> Result<String, SqlError> {
        let default = DEFAULTS.iter().find(|it| it.0 == name).map(|it| it.1);
        let value = self.changed.get(name).map(String::as_str).or(default);
        value.map(str::to_owned).ok_or_else(|| {
            SqlError::invalid("42704", format!("setting `{name}` not found"))
                .with_kind(base::Kind::Missing)
        })
    }

    /// How long one statement may run.
    pub(super) fn statement_timeout(&self) -> Duration {
        let most = base::limits::QUERY_DURATION_MAX;
        let asked = self.changed.get("statement_timeout").and_then(|it| timeout(it));
        asked.filter(|it| !it.is_zero()).map_or(most, |it| it.min(most))
    }
}

fn timeout(value: &str) -> Option<Duration> {
    match value.trim().parse::<u64>() {
        Ok(milliseconds) => Some(Duration::from_millis(milliseconds)),
        Err(_not_a_number) => value.parse::<Span>().ok().map(|it| it.0),
    }
}

fn is_utf8(value: &str) -> bool {
    ["utf8", "utf-8", "unicode"].iter().any(|it| value.eq_ignore_ascii_case(it))
}

fn is_utc(value: &str) -> bool {
    const NAMES: &[&str] =
        &["utc", "etc/utc", "gmt", "z", "0", "+00", "+00:00", "universal", "local"];
    NAMES.iter().any(|it| value.eq_ignore_ascii_case(it))
}

#[cfg(test)]
mod tests;
