//! `CREATE TABLE … AS` and `DROP TABLE`: which table of the project is meant.

use sqlparser::ast::{
    CreateTable, CreateTableOptions, CreateView, Expr, ObjectName, ObjectNamePart, ObjectType,
    SqlOption, Statement as Sql, Value, ValueWithSpan,
};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::commands::Command;
use crate::changes::NewTable;
use crate::context::{CATALOG, SCHEMA};
use crate::error::SqlError;
use crate::hidden::normal;
use crate::position;
use crate::statement::read_only;

/// Reads a statement that makes or drops tables, if it is one; `tokens` are its own.
pub(super) fn command(
    sql: &str,
    statement: &Sql,
    tokens: &[TokenWithSpan],
) -> Option<Result<Command, SqlError>> {
    let create = match statement {
        Sql::CreateTable(create) => of_table(create),
        Sql::CreateView(create) => of_view(create),
        Sql::Drop { object_type, names, if_exists, cascade, .. } => {
            return Some(drop_of(*object_type, names, *if_exists, *cascade));
        }
        _ => return None,
    };
    Some(create.and_then(|table| {
        let (select, at) = select_of(sql, tokens)
            .ok_or_else(|| SqlError::invalid("42601", "the SELECT of the table is not found"))?;
        Ok(Command::Create { table: NewTable { select, ..table }, at })
    }))
}

const ONLY: &str = "write `CREATE TABLE name AS SELECT …`: the table is kept up to date";

fn of_table(create: &CreateTable) -> Result<NewTable, SqlError> {
    if create.query.is_none() {
        return Err(SqlError::invalid("25006", "a table is made of a SELECT").with_help(format!(
            "{ONLY}; rows come in through streams, which the project's files declare"
        )));
    }
    if create.temporary {
        return Err(SqlError::invalid("0A000", "there are no temporary tables").with_help(ONLY));
    }
    let has_more = !create.columns.is_empty()
        || !create.constraints.is_empty()
        || create.external
        || create.like.is_some()
        || create.on_commit.is_some();
    if has_more {
        let error = SqlError::invalid("0A000", "the SELECT alone says what the columns are");
        return Err(error.with_help(ONLY));
    }
    Ok(NewTable {
        name: name_of(&create.name)?,
        select: String::new(),
        settings: settings(&create.table_options)?,
        or_replace: create.or_replace,
        if_not_exists: create.if_not_exists,
    })
}

fn of_view(create: &CreateView) -> Result<NewTable, SqlError> {
    if !create.materialized {
        return Err(read_only("CREATE VIEW").with_help(ONLY));
    }
    if !create.columns.is_empty() {
        let error = SqlError::invalid("0A000", "the SELECT alone says what the columns are");
        return Err(error.with_help(ONLY));
    }
    Ok(NewTable {
        name: name_of(&create.name)?,
        select: String::new(),
        settings: settings(&create.options)?,
        or_replace: create.or_replace,
        if_not_exists: create.if_not_exists,
    })
}

fn drop_of(
    kind: ObjectType,
    names: &[ObjectName],
    if_exists: bool,
    cascade: bool,
) -> Result<Command, SqlError> {
    if !matches!(kind, ObjectType::Table | ObjectType::MaterializedView) {
        return Err(read_only(&format!("DROP {kind}")));
    }
    if cascade {
        return Err(SqlError::invalid("0A000", "`CASCADE` is not supported")
            .with_help("drop the tables that read it first"));
    }
    let names = names.iter().map(name_of).collect::<Result<_, _>>()?;
    Ok(Command::Drop { names, if_exists })
}

fn name_of(name: &ObjectName) -> Result<String, SqlError> {
    let parts: Option<Vec<String>> =
        name.0.iter().map(ObjectNamePart::as_ident).map(|it| it.map(normal)).collect();
    match parts.unwrap_or_default().as_slice() {
        [name] => Ok(name.clone()),
        [schema, name] if schema == SCHEMA => Ok(name.clone()),
        [catalog, schema, name] if catalog == CATALOG && schema == SCHEMA => Ok(name.clone()),
        _ => Err(SqlError::invalid("3F000", format!("`{name}` is no table of the project"))
            .with_help("tables are in the schema `public`; name the table alone")),
    }
}

/// Reads `WITH (keep = '30 days')` as settings of a table.
fn settings(options: &CreateTableOptions) -> Result<Vec<(String, String)>, SqlError> {
    let options = match options {
        CreateTableOptions::None => return Ok(Vec::new()),
        CreateTableOptions::With(options) => options,
        other => {
            let message = format!("`{other}` is not supported");
            return Err(SqlError::invalid("0A000", message)
                .with_help("write settings as `WITH (keep = '30 days')`"));
        }
    };
    let setting = |option: &SqlOption| match option {
        SqlOption::KeyValue { key, value } => {
            toml_of(value).map(|value| (key.value.to_lowercase(), value))
        }
        _ => None,
    };
    let wrong = |option: &SqlOption| {
        SqlError::invalid("42601", format!("`{option}` is no setting of a table"))
            .with_help("write settings as `WITH (keep = '30 days', partition = 'day(ts)')`")
    };
    options.iter().map(|it| setting(it).ok_or_else(|| wrong(it))).collect()
}

/// Writes a value as TOML does.
fn toml_of(value: &Expr) -> Option<String> {
    match value {
        Expr::Value(ValueWithSpan { value, .. }) => match value {
            Value::SingleQuotedString(text) => Some(toml_text(text)),
            Value::Number(number, _) => Some(number.clone()),
            Value::Boolean(it) => Some(it.to_string()),
            _ => None,
        },
        Expr::Identifier(word) => Some(toml_text(&word.value)),
        Expr::Array(array) => {
            let values: Option<Vec<String>> = array.elem.iter().map(toml_of).collect();
            Some(format!("[{}]", values?.join(", ")))
        }
        _ => None,
    }
}

fn toml_text(text: &str) -> String {
    let mut out = String::from("\"");
    for sign in text.chars() {
        match sign {
            '"' | '\\' => out.extend(['\\', sign]),
            '\n' => out.push_str("\\n"),
            // A comment ends where its signs stand, in quotes or not.
            '/' => out.push_str("\\u002f"),
            sign if sign.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(sign))),
            sign => out.push(sign),
        }
    }
    out.push('"');
    out
}

/// Returns the SELECT as it was written, and where it begins: behind the first AS outside all
/// parentheses.
fn select_of(sql: &str, tokens: &[TokenWithSpan]) -> Option<(String, usize)> {
    let mut depth = 0_usize;
    let mut after = None;
    for token in tokens {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Word(word) if depth == 0 && word.keyword == Keyword::AS => {
                after = Some(token.span.end);
                break;
            }
            _ => {}
        }
    }
    let after = after?;
    let last = tokens.iter().rev().find(|it| !matches!(it.token, Token::Whitespace(_)))?;
    let start = position::byte_at(sql, after.line, after.column);
    let end = position::byte_at(sql, last.span.end.line, last.span.end.column);
    let text = sql.get(start..end)?;
    let trimmed = text.trim_start();
    Some((trimmed.trim_end().to_owned(), start + text.len() - trimmed.len()))
}
