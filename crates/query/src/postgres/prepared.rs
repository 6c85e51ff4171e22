//! `PREPARE` and `EXECUTE` as SQL: the values of EXECUTE take the places of the parameters.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use sqlparser::ast::{CastKind, DataType, Expr, Value, ValueWithSpan, visit_expressions_mut};

use crate::error::SqlError;

/// Puts values into a prepared statement, as the types that PREPARE named.
pub(super) fn with_values(
    name: &str,
    statement: &Statement,
    types: &[DataType],
    values: &[Expr],
) -> Result<Statement, SqlError> {
    let mut statement = statement.clone();
    let mut used = types.len();
    let mut replace = |expr: &mut Expr| {
        let Some(number) = placeholder(expr) else { return ControlFlow::Continue(()) };
        used = used.max(number);
        let Some(value) = number.checked_sub(1).and_then(|it| values.get(it)) else {
            return ControlFlow::Break(());
        };
        let value = Box::new(Expr::Nested(Box::new(value.clone())));
        *expr = match types.get(number - 1) {
            Some(kind) => Expr::Cast {
                kind: CastKind::Cast,
                expr: value,
                data_type: kind.clone(),
                array: false,
                format: None,
            },
            None => *value,
        };
        ControlFlow::Continue(())
    };
    let replaced = match &mut statement {
        Statement::Statement(sql) => visit_expressions_mut(sql, &mut replace),
        Statement::Explain(explain) => match explain.statement.as_mut() {
            Statement::Statement(sql) => visit_expressions_mut(sql, &mut replace),
            _ => ControlFlow::Continue(()),
        },
        _ => ControlFlow::Continue(()),
    };
    if replaced.is_break() || used < values.len() {
        let message = format!("wrong number of parameters for prepared statement `{name}`");
        let help = format!("it is executed with {used}, and {} were given", values.len());
        return Err(SqlError::invalid("42601", message).with_help(help));
    }
    Ok(statement)
}

/// Returns the number of a parameter such as `$2`.
fn placeholder(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Placeholder(id), .. }) => {
            id.strip_prefix('$')?.parse().ok()
        }
        _ => None,
    }
}
