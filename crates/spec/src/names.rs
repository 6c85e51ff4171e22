//! Which names may be given, so that every one can stand in SQL without quotes.

use base::Name;
use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::{ALL_KEYWORDS, ALL_KEYWORDS_INDEX, Keyword};
use sqlparser::parser::Parser;

/// Words that PostgreSQL reserves, hence also every client that quotes names by its rules.
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "exists",
    "explain",
    "false",
    "fetch",
    "for",
    "foreign",
    "from",
    "full",
    "grant",
    "group",
    "having",
    "in",
    "initially",
    "inner",
    "intersect",
    "into",
    "is",
    "join",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "natural",
    "not",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "placing",
    "primary",
    "references",
    "returning",
    "right",
    "select",
    "session_user",
    "show",
    "similar",
    "some",
    "symmetric",
    "table",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "unnest",
    "user",
    "using",
    "values",
    "variadic",
    "when",
    "where",
    "window",
    "with",
];

/// Checks a name; the error says what is wrong and what would be right.
pub(crate) fn check(text: &str) -> Result<Name, (String, String)> {
    let rule = "a name is a lower-case letter, then lower-case letters, digits and `_`";
    let begins = text.starts_with(|it: char| it.is_ascii_lowercase());
    let is_allowed = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_';
    if !begins || !text.chars().all(is_allowed) {
        let suggestion = suggest(text);
        let help = match Name::new(&suggestion) {
            Ok(_) if suggestion.starts_with(|it: char| it.is_ascii_lowercase()) => {
                format!("{rule}; write `{suggestion}`")
            }
            _ => rule.to_owned(),
        };
        return Err((format!("`{text}` cannot be a name"), help));
    }
    if text.ends_with("__dead") {
        let help = "names that end in `__dead` are the dead letters of streams and tables";
        return Err((format!("`{text}` cannot be a name"), help.to_owned()));
    }
    if text == "system" {
        let help = "`system.…` are the program's own tables; choose another name";
        return Err(("`system` cannot be a name".to_owned(), help.to_owned()));
    }
    if is_reserved(text) {
        let help = format!("SQL reserves the word; write for example `{text}_1` or `all_{text}`");
        return Err((format!("`{text}` cannot be a name"), help));
    }
    Name::new(text).map_err(|wrong| (wrong.to_string(), "choose a shorter name".to_owned()))
}

/// Returns a name that may be given, as close to `text` as it can be.
pub fn name_like(text: &str) -> String {
    let words = words(text);
    let mut name = words
        .trim_start_matches(|it: char| it == '_' || it.is_ascii_digit())
        .trim_end_matches('_')
        .to_owned();
    while name.contains("__") {
        name = name.replace("__", "_");
    }
    let name = if name.is_empty() { "found".to_owned() } else { name };
    match check(&name) {
        Ok(_) => name,
        Err(_) => format!("{name}_1"),
    }
}

/// Returns whether a test may be called so; its name never stands in SQL.
pub(crate) fn check_test(text: &str) -> Result<Name, (String, String)> {
    let is_allowed = |it: char| it.is_ascii_alphanumeric() || matches!(it, '_' | '-');
    let begins = text.starts_with(|it: char| it.is_ascii_alphabetic());
    let rule = "a test's name is a letter, then letters, digits, `_` and `-`";
    if !begins || !text.chars().all(is_allowed) {
        return Err((format!("`{text}` cannot be the name of a test"), rule.to_owned()));
    }
    Name::new(text).map_err(|wrong| (wrong.to_string(), "choose a shorter name".to_owned()))
}

fn suggest(text: &str) -> String {
    words(text).trim_matches(|it: char| it == '_' || it.is_ascii_digit()).to_owned()
}

/// Writes a text in the signs that a name may have.
fn words(text: &str) -> String {
    let mut words = String::new();
    let mut was_lower = false;
    for it in text.chars().take(base::limits::NAME_BYTES_MAX / 2) {
        if it.is_ascii_uppercase() && was_lower {
            words.push('_');
        }
        was_lower = it.is_ascii_lowercase() || it.is_ascii_digit();
        words.push(if it.is_ascii_alphanumeric() { it.to_ascii_lowercase() } else { '_' });
    }
    words
}

/// Returns whether `word` has a meaning of its own where a table or column may stand.
pub(crate) fn is_reserved(word: &str) -> bool {
    if RESERVED.contains(&word) {
        return true;
    }
    let upper = word.to_ascii_uppercase();
    let keyword = ALL_KEYWORDS.iter().position(|it| *it == upper);
    let is_keyword = keyword
        .and_then(|it| ALL_KEYWORDS_INDEX.get(it))
        .is_some_and(|it| *it != Keyword::NoKeyword);
    // Most keywords are no hindrance (`orders`, `events`, `status`): ask the parser.
    is_keyword && !is_usable(word)
}

fn is_usable(word: &str) -> bool {
    let sql = format!(
        "SELECT {word}.a, {word} FROM {word} JOIN b ON {word}.a = b.a LEFT JOIN {word} AS {word} ON true"
    );
    Parser::parse_sql(&GenericDialect {}, &sql).is_ok()
}

#[cfg(test)]
mod tests;
