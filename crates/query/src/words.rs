//! What the engine says is wrong, in our words: lowercase, names in backticks, and the fix.

use std::ops::Range;

use arrow::error::ArrowError;
use base::Kind;
use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use sqlparser::parser::ParserError;

use crate::asker::memory_message;
use crate::context::{CATALOG, SCHEMA, SYSTEM_SCHEMA};
use crate::error::SqlError;
use crate::position;

/// What PostgreSQL calls two columns of one name.
pub(crate) const DUPLICATE: &str = "42701";

/// What PostgreSQL calls a name that could mean two columns.
pub(crate) const AMBIGUOUS: &str = "42702";

/// Columns listed in a help; more would hide the message.
const COLUMNS_LISTED_MAX: usize = 12;

/// Translates an error of the engine about `sql`.
pub(crate) fn of(sql: &str, error: &DataFusionError) -> SqlError {
    let place = error.diagnostic().and_then(|it| it.span).map(|it| position::range(sql, it));
    let mut translated = root(sql, error.find_root());
    if place.is_some() {
        translated.range = place;
    }
    translated
}

fn root(sql: &str, error: &DataFusionError) -> SqlError {
    match error {
        DataFusionError::SQL(error, _) => syntax(sql, error),
        DataFusionError::SchemaError(error, _) => schema(error),
        DataFusionError::Plan(message) => plan(sql, message),
        DataFusionError::NotImplemented(message) => {
            SqlError::invalid("0A000", format!("not supported: {}", plain(message)))
        }
        DataFusionError::Configuration(message) => SqlError::invalid("42704", plain(message)),
        DataFusionError::ArrowError(error, _) => arrow(error),
        DataFusionError::Execution(message) => SqlError::invalid("22000", plain(message)),
        DataFusionError::ResourcesExhausted(message) if memory_message(message).is_some() => {
            let message = memory_message(message).unwrap_or_default();
            SqlError::invalid("53200", message).with_kind(Kind::Throttled).with_help(
                "ask for fewer rows or groups at a time, or retry when other queries of it are done",
            )
        }
        DataFusionError::ResourcesExhausted(_) => {
            SqlError::invalid("53200", "the query needs more memory or disk than queries may use")
                .with_kind(Kind::Throttled)
                .with_help(
                    "ask for fewer rows or groups at a time, or retry when other queries are done",
                )
        }
        DataFusionError::External(error) if error.is::<SqlError>() => {
            error.downcast_ref::<SqlError>().cloned().unwrap_or_else(too_deep)
        }
        DataFusionError::IoError(_)
        | DataFusionError::ObjectStore(_)
        | DataFusionError::External(_) => {
            SqlError::invalid("58030", plain(&error.strip_backtrace())).with_kind(Kind::Unavailable)
        }
        DataFusionError::ParquetError(_) => {
            SqlError::invalid("58030", plain(&error.strip_backtrace())).with_kind(Kind::Corrupt)
        }
        DataFusionError::Collection(errors) if !errors.is_empty() => {
            errors.first().map_or_else(|| bug(error), |it| of(sql, it))
        }
        DataFusionError::Internal(message) if message.contains("recursion limit") => too_deep(),
        _ => bug(error),
    }
}

fn bug(error: &DataFusionError) -> SqlError {
    SqlError::invalid("XX000", plain(&error.strip_backtrace())).with_kind(Kind::Bug)
}

fn too_deep() -> SqlError {
    SqlError::invalid("54001", "the expression is nested too deep")
        .with_help("split it with WITH or a table between")
}

fn syntax(sql: &str, error: &ParserError) -> SqlError {
    let message = match error {
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
        ParserError::RecursionLimitExceeded => return too_deep(),
    };
    let (message, place) = split_place(message);
    let range = place.map(|(line, column)| token_at(sql, position::byte_at(sql, line, column)));
    let message = message.strip_prefix("Expected: ").map_or_else(
        || format!("this is not SQL: {}", small(message)),
        |it| match it.split_once(", found: ") {
            Some((expected, "EOF")) => format!("the SQL ends where {expected} is expected"),
            Some((expected, found)) => format!("expected {expected}, found `{found}`"),
            None => format!("expected {it}"),
        },
    );
    SqlError { range, ..SqlError::invalid("42601", message) }
}

/// Splits `... at Line: 1, Column: 8` into the message and the place.
fn split_place(message: &str) -> (&str, Option<(u64, u64)>) {
    let Some((before, place)) = message.rsplit_once(" at Line: ") else { return (message, None) };
    let Some((line, column)) = place.split_once(", Column: ") else { return (message, None) };
    let column: String = column.chars().take_while(char::is_ascii_digit).collect();
    match (line.parse(), column.parse()) {
        (Ok(line), Ok(column)) => (before, Some((line, column))),
        _ => (message, None),
    }
}

/// Returns the word that begins at a byte, or at least one character.
fn token_at(sql: &str, start: usize) -> Range<usize> {
    let rest = sql.get(start..).unwrap_or_default();
    let word = rest.find(|it: char| !it.is_alphanumeric() && it != '_').unwrap_or(rest.len());
    let length = if word == 0 { rest.chars().next().map_or(0, char::len_utf8) } else { word };
    start..start + length
}

fn schema(error: &SchemaError) -> SqlError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let error =
                SqlError::invalid("42703", format!("column `{}` not found", plain_name(field)));
            match column_help(field, valid_fields) {
                Some(help) => error.with_help(help),
                None => error,
            }
        }
        SchemaError::AmbiguousReference { field } => {
            SqlError::invalid("42702", format!("column `{}` is in more than one table", field.name))
                .with_help(format!("write its table before it: `table.{}`", field.name))
        }
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => two_of_a_name(name),
    }
}

pub(crate) fn two_of_a_name(name: &str) -> SqlError {
    SqlError::invalid(DUPLICATE, format!("two columns are named `{name}`"))
        .with_help("give one of them another name with AS")
}

/// Returns the first name in backticks.
pub(crate) fn quoted(message: &str) -> Option<&str> {
    message.split('`').nth(1)
}

/// Returns what an error is about, so that two can be told apart: a call is the same call whatever
/// stands between its parentheses.
pub(crate) fn subject(error: &SqlError) -> &str {
    match error.message.split_once(NOT_TAKEN) {
        Some((call, _)) => call,
        None => &error.message,
    }
}

/// Returns the operator that an error is about.
pub(crate) fn operator(error: &SqlError) -> Option<&str> {
    let name = quoted(&error.message)?;
    (error.message.contains(NOT_TAKEN) && OPERATORS.contains(&name)).then_some(name)
}

/// Stands between a function or operator and what it was given.
const NOT_TAKEN: &str = "` does not take ";

const OPERATORS: &[&str] =
    &["<=", ">=", "!=", "=", "<", ">", "+", "-", "*", "/", "%", "AND", "OR", "||", "LIKE"];

fn plain_name(field: &Column) -> String {
    match &field.relation {
        Some(table) if !table.table().starts_with('_') => {
            format!("{}.{}", table.table(), field.name)
        }
        _ => field.name.clone(),
    }
}

fn column_help(field: &Column, valid: &[Column]) -> Option<String> {
    let of_table: Vec<&Column> = valid
        .iter()
        .filter(|it| field.relation.is_none() || it.relation == field.relation)
        .collect();
    let mut names: Vec<&str> = of_table.iter().map(|it| it.name.as_str()).collect();
    names.dedup();
    if let Some(name) = base::nearest(&field.name, names.iter().copied()) {
        return Some(format!("did you mean `{name}`?"));
    }
    let listed: Vec<String> =
        names.iter().take(COLUMNS_LISTED_MAX).map(|it| format!("`{it}`")).collect();
    let more = if COLUMNS_LISTED_MAX < names.len() { ", …" } else { "" };
    if listed.is_empty() { None } else { Some(format!("columns are {}{more}", listed.join(", "))) }
}

fn plan(sql: &str, message: &str) -> SqlError {
    let text = plain(message);
    if let Some(name) = between(&text, "table '", "' not found") {
        // A pattern of keys has points of its own; what is named alone is shown alone.
        let whole = name.strip_prefix(CATALOG).and_then(|it| it.strip_prefix('.')).unwrap_or(name);
        let of = |schema: &str| whole.strip_prefix(schema)?.strip_prefix('.');
        let table = of(SCHEMA).or_else(|| of(SYSTEM_SCHEMA)).unwrap_or(whole);
        return SqlError::invalid("42P01", format!("table `{table}` not found"))
            .with_kind(Kind::Missing);
    }
    if let Some(name) = between(&text, "invalid function '", "'") {
        let error = SqlError::invalid("42883", format!("function `{name}` not found"));
        return match between(&text, "Did you mean '", "'") {
            Some(nearest) if base::nearest(name, [nearest]).is_some() => {
                error.with_help(format!("did you mean `{nearest}`?"))
            }
            _ => error,
        };
    }
    if text.contains("non-boolean predicate") {
        let kind = text.rsplit(" returning ").next().map(types).unwrap_or_default();
        return SqlError::invalid("42804", format!("a condition is true or false; this is {kind}"))
            .with_help("compare it with something, for example `quantity > 0`");
    }
    if let Some((operator, kind)) = between(&text, "unary operator '", "' requires")
        .zip(text.split_once(", got ").map(|it| it.1))
    {
        return not_taken(operator, &types(kind));
    }
    if let Some((message, _)) = text.split_once(" cannot be nested") {
        return SqlError::invalid("42803", format!("{message} cannot be nested"))
            .with_help("make the inner one in a subquery or a table of its own");
    }
    if let Some((left, operator, right)) = operands(&text) {
        let (left, right) = (types(left), types(right));
        return SqlError::invalid("42804", format!("`{operator}{NOT_TAKEN}{left} and {right}"))
            .with_help(format!("convert one side, for example `CAST(… AS {left})`"));
    }
    if text.contains("must appear in the GROUP BY clause") {
        let column = between(&text, "column \"", "\"").unwrap_or("it");
        let column = column.rsplit('.').next().unwrap_or(column);
        return SqlError::invalid(
            "42803",
            format!("column `{column}` is neither in GROUP BY nor in an aggregate"),
        )
        .with_help(format!(
            "add `{column}` to GROUP BY, or take one value of it, for example `max({column})`"
        ));
    }
    if let Some(name) =
        between(&text, "projections require unique expression names but the expression \"", "\"")
    {
        let name = name.rsplit(" AS ").next().unwrap_or(name);
        return two_of_a_name(name.rsplit('.').next().unwrap_or(name));
    }
    if let Some(error) = arguments(&text) {
        return error;
    }
    if text.contains("DDL not supported")
        || text.contains("DML not supported")
        || text.contains("statement not supported")
    {
        return crate::statement::read_only(sql.split_whitespace().next().unwrap_or("this"));
    }
    let sqlstate = if text.contains("coerc") || text.contains("cast") || text.contains("type") {
        "42804"
    } else {
        "42601"
    };
    SqlError::invalid(sqlstate, types(&text))
}

/// Reads what the engine says about the two sides of an operator.
fn operands(text: &str) -> Option<(&str, &str, &str)> {
    let inside = between(text, "cannot coerce arithmetic expression ", " to valid types")
        .or_else(|| {
            between(text, "cannot infer common argument type for comparison operation ", "\n")
        })
        .or_else(|| {
            text.split_once("cannot infer common argument type for comparison operation ")
                .map(|it| it.1)
        })
        .or_else(|| {
            text.split_once("cannot infer common argument type for logical boolean operation ")
                .map(|it| it.1)
        })
        .or_else(|| between(text, "there isn't a common type to coerce ", " in "))?;
    if let Some((left, right)) = inside.split_once(" and ") {
        return Some((left, "LIKE", right));
    }
    OPERATORS.iter().find_map(|it| {
        inside.split_once(&format!(" {it} ")).map(|(left, right)| (left, *it, right))
    })
}

/// Reads what the engine says about the arguments of a function.
fn arguments(text: &str) -> Option<SqlError> {
    const COERCION: &str = "user-defined coercion failed with: ";
    const NO_MATCH: &str = "o function matches the given name and argument types '";
    if let Some((_, own)) = text.split_once(COERCION) {
        let own = own.split(". No function matches").next().unwrap_or(own);
        return Some(SqlError::invalid("42883", types(&plain(own))));
    }
    if let Some((name, kind)) = between(text, "[return_type] ", "\n")
        .or_else(|| text.split_once("[return_type] ").map(|it| it.1))
        .and_then(|it| it.split_once(" not supported for "))
    {
        return Some(not_taken(&name.to_lowercase(), &types(kind)));
    }
    let (_, call) = text.split_once(NO_MATCH)?;
    let call = types(call.split("'.").next().unwrap_or(call));
    let (name, given) = call.split_once('(')?;
    let given = given.strip_suffix(')').unwrap_or(given);
    let given = if given.is_empty() { "no arguments" } else { given };
    let error = not_taken(name, given);
    match between(text, " expects ", " arguments but received ") {
        Some(count) => Some(error.with_help(format!("it takes {count}"))),
        None => Some(error),
    }
}

fn not_taken(name: &str, given: &str) -> SqlError {
    SqlError::invalid("42883", format!("`{name}{NOT_TAKEN}{given}"))
        .with_help("convert the argument with CAST, or use another function")
}

fn arrow(error: &ArrowError) -> SqlError {
    match error {
        ArrowError::DivideByZero => SqlError::invalid("22012", "division by zero")
            .with_help("guard the divisor with `nullif(divisor, 0)`"),
        ArrowError::ArithmeticOverflow(message) => {
            SqlError::invalid("22003", format!("a number is out of range: {}", plain(message)))
        }
        ArrowError::CastError(message) | ArrowError::ParseError(message) => {
            SqlError::invalid("22P02", types(&plain(message)))
                .with_help("`try_cast(… AS type)` gives null instead")
        }
        ArrowError::ComputeError(message) | ArrowError::InvalidArgumentError(message) => {
            SqlError::invalid("22000", types(&plain(message)))
        }
        other => SqlError::invalid("XX000", plain(&other.to_string())).with_kind(Kind::Bug),
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(inside, _)| inside)
}

/// Makes the first letter small and takes away what does not help.
fn plain(message: &str) -> String {
    let mut message = message;
    for noise in [
        "Error during planning: ",
        "Execution error: ",
        "Arrow error: ",
        "Cast error: ",
        "Parser error: ",
        "Schema error: ",
    ] {
        message = message.strip_prefix(noise).unwrap_or(message);
    }
    let message = message.split("\n\nbacktrace:").next().unwrap_or(message);
    small(message.trim_end().trim_end_matches('.'))
}

fn small(message: &str) -> String {
    let mut letters = message.chars();
    let first = letters.next();
    let second_is_small = letters.clone().next().is_none_or(|it| !it.is_uppercase());
    match first {
        Some(first) if second_is_small => first.to_lowercase().chain(letters).collect(),
        _ => message.to_owned(),
    }
}

/// Writes the engine's types as a project file writes them.
pub(crate) fn types(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let word = rest.find(|it: char| !it.is_alphanumeric() && it != '_').unwrap_or(rest.len());
        if word == 0 {
            out.push(letter);
            rest = rest.get(letter.len_utf8()..).unwrap_or_default();
            continue;
        }
        let (name, after) = rest.split_at(word);
        let (name, takes_details) = type_name(name);
        out.push_str(name);
        rest = if takes_details { after_parentheses(after) } else { after };
    }
    out
}

fn type_name(name: &str) -> (&str, bool) {
    match name {
        "Utf8" | "LargeUtf8" | "Utf8View" => ("text", false),
        "Int8" | "Int16" | "Int32" | "Int64" | "UInt8" | "UInt16" | "UInt32" | "UInt64" => {
            ("int", false)
        }
        "Float16" | "Float32" | "Float64" => ("float", false),
        "Boolean" => ("bool", false),
        "Date32" | "Date64" => ("date", false),
        "Binary" | "LargeBinary" | "BinaryView" => ("bytes", false),
        "Decimal32" | "Decimal64" | "Decimal128" | "Decimal256" => ("decimal", false),
        "Timestamp" => ("timestamp", true),
        "Interval" => ("interval", true),
        "Duration" => ("duration", true),
        "Time32" | "Time64" => ("time", true),
        "Null" => ("null", false),
        other => (other, false),
    }
}

/// Returns what follows a group in parentheses, if one begins the text.
fn after_parentheses(text: &str) -> &str {
    if !text.starts_with('(') {
        return text;
    }
    let mut depth = 0_usize;
    for (index, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' if depth == 1 => return text.get(index + 1..).unwrap_or_default(),
            ')' => depth -= 1,
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests;
