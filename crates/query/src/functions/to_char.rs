//! `to_char(ts, pattern)`: a moment as text, by a pattern as PostgreSQL writes them.
//!
//! ```sql
//! SELECT to_char(ts, 'YYYY-MM-DD HH24:MI') AS day FROM orders
//! ```
//!
//! Understood are `YYYY YY MM DD DDD HH24 HH12 HH MI SS MS US AM PM am pm Mon FMMonth Dy FMDay IYYY
//! IW TZ OF`, text in double quotes, and all signs. What PostgreSQL knows and this does not is
//! refused, never written into the text. A pattern with `%` is one of `strftime` (`%Y-%m-%d`).

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::functions::datetime::to_char;
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_DATETIME;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature,
    Volatility,
};

/// The name in SQL.
pub const NAME: &str = "to_char";

const USAGE: &str = "write it as `to_char(ts, 'YYYY-MM-DD HH24:MI:SS')`";

/// What PostgreSQL writes, and what the engine writes; longer ones before those they begin with.
const PARTS: &[(&str, &str)] = &[
    ("FMMonth", "%B"),
    ("FMDay", "%A"),
    ("YYYY", "%Y"),
    ("IYYY", "%G"),
    ("HH24", "%H"),
    ("HH12", "%I"),
    ("DDD", "%j"),
    ("Mon", "%b"),
    ("YY", "%y"),
    ("MM", "%m"),
    ("MI", "%M"),
    ("MS", "%3f"),
    ("DD", "%d"),
    ("Dy", "%a"),
    ("HH", "%I"),
    ("SS", "%S"),
    ("US", "%6f"),
    ("IW", "%V"),
    ("AM", "%p"),
    ("PM", "%p"),
    ("am", "%P"),
    ("pm", "%P"),
    ("TZ", "%Z"),
    ("OF", "%:z"),
];

/// See the module.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct ToChar {
    signature: Signature,
}

impl ToChar {
    /// Makes the function.
    pub fn new() -> ToChar {
        ToChar { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl Default for ToChar {
    fn default() -> ToChar {
        ToChar::new()
    }
}

impl ScalarUDFImpl for ToChar {
    fn name(&self) -> &'static str {
        NAME
    }

    fn aliases(&self) -> &[String] {
        // The engine's own function has this alias and would come back by it.
        static ALIASES: LazyLock<Vec<String>> = LazyLock::new(|| vec!["date_format".to_owned()]);
        &ALIASES
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [
                moment @ (DataType::Timestamp(..)
                | DataType::Date32
                | DataType::Date64
                | DataType::Time32(_)
                | DataType::Time64(_)
                | DataType::Null),
                _,
            ] => Ok(vec![moment.clone(), DataType::Utf8]),
            _ => plan_err!("`to_char` writes timestamps and dates; {USAGE}"),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let [_, Some(ScalarValue::Utf8(Some(pattern)))] = args.scalar_arguments else {
            return plan_err!("the pattern of `to_char` must be a constant; {USAGE}");
        };
        strftime(pattern)?;
        let is_nullable = args.arg_fields.first().is_none_or(|it| it.is_nullable());
        Ok(Arc::new(arrow::datatypes::Field::new(NAME, DataType::Utf8, is_nullable)))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if let Some(ColumnarValue::Scalar(ScalarValue::Utf8(Some(pattern)))) = args.args.get_mut(1)
        {
            *pattern = strftime(pattern)?;
        }
        to_char().inner().invoke_with_args(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
            Documentation::builder(
                DOC_SECTION_DATETIME,
                "Writes a moment as text, by a pattern as PostgreSQL writes them.",
                "to_char(ts, pattern)",
            )
            .with_sql_example("SELECT to_char(ts, 'YYYY-MM-DD HH24:MI') FROM t")
            .with_argument("ts", "A timestamp, a date or a time.")
            .with_argument("pattern", "A constant, like 'YYYY-MM-DD'.")
            .build()
        });
        Some(&DOCUMENTATION)
    }
}

/// Translates a pattern of PostgreSQL.
fn strftime(pattern: &str) -> Result<String> {
    if pattern.contains('%') {
        return Ok(pattern.to_owned());
    }
    let mut translated = String::new();
    let mut rest = pattern;
    while let Some(letter) = rest.chars().next() {
        if let Some((part, written)) = PARTS.iter().find(|(part, _)| rest.starts_with(part)) {
            translated.push_str(written);
            rest = rest.get(part.len()..).unwrap_or_default();
        } else if letter == '"' {
            let quoted = rest.get(1..).unwrap_or_default();
            let Some((text, after)) = quoted.split_once('"') else {
                return plan_err!("the pattern `{pattern}` opens a quote and does not close it");
            };
            translated.push_str(text);
            rest = after;
        } else if letter.is_alphanumeric() {
            let word: String = rest.chars().take_while(|it| it.is_alphanumeric()).collect();
            return plan_err!(
                "`to_char` does not know `{word}` in `{pattern}`; put text in double quotes, or use `date_format(ts, '%Y-%m-%d')`"
            );
        } else {
            translated.push(letter);
            rest = rest.get(letter.len_utf8()..).unwrap_or_default();
        }
    }
    Ok(translated)
}

#[cfg(test)]
mod tests;
