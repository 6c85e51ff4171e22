//! Earlier versions of tables in a question: `FROM orders VERSION AS OF 12`, `FROM orders FOR
//! SYSTEM_TIME AS OF now() - INTERVAL '1 hour'`.
//!
//! Each such table is replaced by one of the schema [`PAST`], which has the rows of that version; the
//! planner then needs no rule of its own.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use async_trait::async_trait;
use base::Kind;
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::execution::SessionState;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as Parsed;
use sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Query, Spanned as _, TableAlias, TableFactor,
    TableVersion, Value, VisitMut as _, VisitorMut, visit_expressions,
};

use crate::catalog::Snapshot;
use crate::context::{CATALOG, SCHEMA};
use crate::error::SqlError;
use crate::hidden::{Shown, WHOLE, normal};
use crate::position;
use crate::statement;
use crate::words;

/// The schema of the earlier versions that a statement asks for.
pub(crate) const PAST: &str = "_past";

/// Which earlier state of a table is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// The version of this number.
    Version(u64),
    /// The version in force at this moment, in microseconds since 1970.
    Moment(i64),
}

/// Knows tables as they were.
#[async_trait]
pub trait Past: Send + Sync {
    /// Returns the rows of a table as they were, with its hidden columns.
    ///
    /// # Errors
    /// When the table has no versions, or not that one; the message says which can be asked for.
    async fn table(&self, name: &str, asked: AsOf) -> Result<Arc<dyn TableProvider>, SqlError>;
}

/// A table of which an earlier version is asked for.
struct Wanted {
    table: String,
    /// Whether hidden columns are spoken of.
    is_whole: bool,
    version: TableVersion,
}

/// Takes the earlier versions out of a statement and returns the tables that stand for them.
pub(crate) async fn take_out(
    state: &SessionState,
    snapshot: &Snapshot,
    sql: &str,
    statement: &mut Parsed,
) -> Result<Vec<Arc<dyn TableProvider>>, SqlError> {
    let statement = match statement {
        Parsed::Statement(it) => it,
        Parsed::Explain(it) => match it.statement.as_mut() {
            Parsed::Statement(it) => it,
            _ => return Ok(Vec::new()),
        },
        _ => return Ok(Vec::new()),
    };
    let mut found = Found { sql, wanted: Vec::new(), common: Vec::new() };
    if let ControlFlow::Break(error) = statement.visit(&mut found) {
        return Err(*error);
    }
    let mut tables = Vec::with_capacity(found.wanted.len());
    for wanted in found.wanted {
        let range = place_of(&wanted.version).and_then(|it| position::range_of(sql, it.span()));
        let at = |error: SqlError| match range.clone() {
            Some(range) if error.range.is_none() => error.at(range),
            _ => error,
        };
        let asked = asked(state, &wanted.version).await.map_err(at)?;
        let Some(past) = &snapshot.past else {
            return Err(at(no_versions(
                &wanted.table,
                "here only the newest rows can be asked for",
            )));
        };
        if !snapshot.tables.contains_key(&wanted.table) {
            let is_system = snapshot.system.contains_key(&wanted.table);
            return Err(at(if is_system {
                no_versions(&wanted.table, "the program's own tables have no versions")
            } else {
                SqlError::invalid("42P01", format!("table `{}` not found", wanted.table))
                    .with_kind(Kind::Missing)
            }));
        }
        let whole = past.table(&wanted.table, asked).await.map_err(at)?;
        tables.push(if wanted.is_whole { whole } else { Shown::of(&whole) });
    }
    Ok(tables)
}

fn no_versions(table: &str, help: &str) -> SqlError {
    let message = format!("`{table}` has no earlier versions");
    SqlError::invalid("0A000", message).with_help(help)
}

/// Finds the tables with `AS OF` and gives them the names of those that stand for them.
struct Found<'a> {
    sql: &'a str,
    wanted: Vec<Wanted>,
    common: Vec<String>,
}

impl VisitorMut for Found<'_> {
    type Break = Box<SqlError>;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Box<SqlError>> {
        let tables = query.with.iter().flat_map(|it| &it.cte_tables);
        self.common.extend(tables.map(|it| normal(&it.alias.name)));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Box<SqlError>> {
        let TableFactor::Table { name, alias, version, .. } = factor else {
            return ControlFlow::Continue(());
        };
        let Some(version) = version.take() else { return ControlFlow::Continue(()) };
        let Some((table, is_whole)) = self.table_of(name) else {
            let error = no_versions(&name.to_string(), "name a stored table of the project");
            let range = position::range_of(self.sql, name.span());
            return ControlFlow::Break(Box::new(match range {
                Some(range) => error.at(range),
                None => error,
            }));
        };
        let own_name = name.0.last().and_then(ObjectNamePart::as_ident).cloned();
        if let Some(name) = own_name.filter(|_| alias.is_none()) {
            *alias = Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None });
        }
        let stands_for = Ident::with_quote('"', self.wanted.len().to_string());
        *name = ObjectName::from(vec![Ident::new(PAST), stands_for]);
        self.wanted.push(Wanted { table, is_whole, version });
        ControlFlow::Continue(())
    }
}

impl Found<'_> {
    fn table_of(&self, name: &ObjectName) -> Option<(String, bool)> {
        let parts: Option<Vec<String>> =
            name.0.iter().map(|it| it.as_ident().map(normal)).collect();
        match parts?.as_slice() {
            [table] if !self.common.contains(table) => Some((table.clone(), false)),
            [schema, table] if schema == SCHEMA => Some((table.clone(), false)),
            [schema, table] if schema == WHOLE => Some((table.clone(), true)),
            [catalog, schema, table] if catalog == CATALOG && schema == SCHEMA => {
                Some((table.clone(), false))
            }
            _ => None,
        }
    }
}

/// Returns the expression that says which version.
fn place_of(version: &TableVersion) -> Option<&Expr> {
    match version {
        TableVersion::ForSystemTimeAsOf(it)
        | TableVersion::TimestampAsOf(it)
        | TableVersion::VersionAsOf(it)
        | TableVersion::Function(it) => Some(it),
        TableVersion::Changes { .. } => None,
    }
}

async fn asked(state: &SessionState, version: &TableVersion) -> Result<AsOf, SqlError> {
    match version {
        TableVersion::VersionAsOf(Expr::Value(number)) => match &number.value {
            Value::Number(text, _) => text.parse().map(AsOf::Version).map_err(|_error| {
                let message = format!("`{text}` is no version");
                SqlError::invalid("22023", message).with_help("versions are 0, 1, 2 and so on")
            }),
            other => Err(SqlError::invalid("22023", format!("`{other}` is no version"))),
        },
        TableVersion::ForSystemTimeAsOf(moment) | TableVersion::TimestampAsOf(moment) => {
            moment_of(state, moment).await.map(AsOf::Moment)
        }
        _ => Err(SqlError::invalid("42601", "an earlier version is asked for otherwise here")
            .with_help("write `VERSION AS OF 12` or `FOR SYSTEM_TIME AS OF '2026-01-05 10:00'`")),
    }
}

/// Computes a moment: whatever SQL makes of no table.
async fn moment_of(state: &SessionState, moment: &Expr) -> Result<i64, SqlError> {
    let is_query =
        |it: &Expr| matches!(it, Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. });
    let asks = visit_expressions(moment, |it| {
        if is_query(it) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if asks.is_break() {
        return Err(SqlError::invalid("0A000", "the moment of `AS OF` asks no table")
            .with_help("ask for the moment first, then write it here"));
    }
    let text = format!("SELECT {moment}");
    // Its places are those of a text that nobody wrote.
    let wrong = |error| SqlError { range: None, ..words::of(&text, &error) };
    let select = statement::parse_one(&text)?;
    let plan = state.statement_to_plan(select).await.map_err(wrong)?;
    let session = SessionContext::new_with_state(state.clone());
    let frame = session.execute_logical_plan(plan).await.map_err(wrong)?;
    let batches = frame.collect().await.map_err(wrong)?;
    let value = batches.iter().find(|it| 0 < it.num_rows());
    let value = value.and_then(|it| ScalarValue::try_from_array(it.columns().first()?, 0).ok());
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    match value.as_ref().map(|it| it.cast_to(&micros)) {
        Some(Ok(ScalarValue::TimestampMicrosecond(Some(micros), _))) => Ok(micros),
        _ => Err(SqlError::invalid("22007", format!("`{moment}` is no moment"))
            .with_help("write a time such as '2026-01-05 10:00:00', or now() - INTERVAL '1 hour'")),
    }
}

#[cfg(test)]
mod tests;
