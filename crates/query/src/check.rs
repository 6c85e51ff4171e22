//! Finds what is wrong in the SQL of a project before it runs: every fault, with its place and fix.
//!
//! The planner stops at its first error. Here the expression it complains about is replaced by
//! null and the text is planned again, until it plans; so one look shows all. Where the planner
//! names no place, the smallest expression without which the error goes away is the place.

mod tree;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::MemTable;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use spec::{Fault, SqlText};
use sqlparser::ast::{Expr, Query, SelectItem, SetExpr, Spanned, Statement as Sql};

use crate::catalog::{Database, Databases, Snapshot};
use crate::context::{self, ContextSettings};
use crate::dialect::Ours;
use crate::engine::with_nearest_table;
use crate::error::SqlError;
use crate::hidden;
use crate::position;
use crate::statement;
use crate::words;

/// Faults shown of one text; what follows is mostly a consequence.
const FAULTS_MAX: usize = 20;

/// What the names of the program's own tables begin with.
const SYSTEM_PREFIX: &str = "system.";

/// Plans a SELECT over tables of the given columns and returns the columns it makes; the program's
/// own tables are `system.NAME`.
///
/// # Errors
/// Every fault of the text, with its place in the project.
pub fn select(
    sql: &SqlText,
    tables: &BTreeMap<String, SchemaRef>,
) -> Result<SchemaRef, Vec<Fault>> {
    columns(&sql.text, tables).map_err(|errors| faults(sql, errors))
}

/// Returns the plan of a SELECT over tables of the given columns; nothing if it has faults.
pub(crate) fn plan(sql: &str, tables: &BTreeMap<String, SchemaRef>) -> Option<LogicalPlan> {
    let Statement::Statement(statement) = statement::parse_one(sql).ok()? else { return None };
    Planner::over(tables).ok()?.plan(sql, *statement).ok()
}

/// Verifies that an expression over the columns of `table` is true or false for each row.
///
/// # Errors
/// Every fault of the text, with its place in the project.
pub fn condition(condition: &SqlText, table: &str, schema: &SchemaRef) -> Result<(), Vec<Fault>> {
    truth(&condition.text, table, schema).map_err(|errors| faults(condition, errors))
}

fn faults(sql: &SqlText, errors: Vec<SqlError>) -> Vec<Fault> {
    let place = |error: &SqlError| error.range.clone().unwrap_or(0..sql.text.len());
    errors.into_iter().map(|it| sql.fault(place(&it), it.message.clone(), it.help)).collect()
}

/// See [`select`]; the places are bytes of the text.
pub(crate) fn columns(
    sql: &str,
    tables: &BTreeMap<String, SchemaRef>,
) -> Result<SchemaRef, Vec<SqlError>> {
    let statement = statement::parse_one(sql).map_err(|error| vec![error])?;
    let statement = match statement {
        Statement::Statement(it) if matches!(*it, Sql::Query(_)) => *it,
        _ => {
            let error = SqlError::invalid("42601", "a table is made by one SELECT")
                .with_help("begin with SELECT or WITH")
                .at(first_word(sql));
            return Err(vec![error]);
        }
    };
    let mut errors = Vec::new();
    if let Sql::Query(query) = &statement {
        check_names(sql, query, &mut errors);
    }
    let star = match &statement {
        Sql::Query(query) => items(&query.body).and_then(|it| star(sql, it)),
        _ => None,
    };
    let plan = planned(sql, statement, tables, &mut errors);
    let schema = plan.map(|it| Arc::clone(it.schema().inner()));
    match schema {
        Some(schema) if errors.is_empty() => match twice(&schema) {
            None => Ok(schema),
            Some(name) => {
                let help = "name the columns instead of `*`, and give one another name with AS";
                let error = words::two_of_a_name(name).with_help(help);
                Err(vec![SqlError { range: star, ..error }])
            }
        },
        _ => {
            let doubled: Vec<String> = errors
                .iter()
                .filter(|it| it.sqlstate == words::DUPLICATE)
                .filter_map(|it| words::quoted(&it.message).map(str::to_owned))
                .collect();
            let is_doubled = |it: &SqlError| {
                it.sqlstate == words::AMBIGUOUS
                    && doubled.iter().any(|name| words::quoted(&it.message) == Some(name))
            };
            errors.retain(|it| !is_doubled(it)); // A name given twice is ambiguous, of course.
            errors.sort_by_key(|it| it.range.as_ref().map_or(0, |it| it.start));
            Err(errors)
        }
    }
}

fn truth(text: &str, table: &str, schema: &SchemaRef) -> Result<(), Vec<SqlError>> {
    let one = |error: SqlError| vec![error];
    let parsed = DFParserBuilder::new(text)
        .with_dialect(&Ours::of(text))
        .build()
        .and_then(|mut parser| parser.parse_into_expr())
        .map_err(|error| one(words::of(text, &error)))?;
    if let Some(alias) = parsed.alias {
        let error = SqlError::invalid("42601", "a condition has no name of its own")
            .with_help(format!("leave `AS {}` out", alias.value));
        return Err(one(error));
    }
    if let Some(range) = tree::first_subquery(text, &parsed.expr) {
        let error =
            SqlError::invalid("0A000", "a condition looks at one row; it asks no other table")
                .with_help("make a table that joins both, and check that");
        return Err(one(error.at(range)));
    }
    let whole = 0..text.len();
    let statement = tree::select_of(parsed.expr, table);
    let tables = BTreeMap::from([(table.to_owned(), Arc::clone(schema))]);
    let mut errors = Vec::new();
    let plan = planned(text, statement, &tables, &mut errors);
    let Some(plan) = plan.filter(|_| errors.is_empty()) else { return Err(errors) };
    let kind = plan.schema().inner().fields().first().map(|it| it.data_type().clone());
    if reads_many_rows(&plan) {
        let error =
            SqlError::invalid("42803", "a condition looks at one row; aggregates need many")
                .with_help("make a table that counts or sums, and check that");
        return Err(one(error.at(whole)));
    }
    match kind {
        Some(DataType::Boolean) => Ok(()),
        other => {
            let kind = other.map_or_else(String::new, |it| words::types(&it.to_string()));
            let message = format!("a condition is true or false; this is {kind}");
            let error = SqlError::invalid("42804", message)
                .with_help("compare it with something, for example `quantity > 0`");
            Err(one(error.at(whole)))
        }
    }
}

fn reads_many_rows(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let walked = plan.apply(|node| {
        found |= matches!(node, LogicalPlan::Aggregate(_) | LogicalPlan::Window(_));
        Ok(TreeNodeRecursion::Continue)
    });
    walked.is_err() || found
}

/// Plans a statement; adds every fault found on the way.
fn planned(
    sql: &str,
    mut statement: Sql,
    tables: &BTreeMap<String, SchemaRef>,
    errors: &mut Vec<SqlError>,
) -> Option<LogicalPlan> {
    let planner = match Planner::over(tables) {
        Ok(planner) => planner,
        Err(error) => {
            errors.push(words::of(sql, &error));
            return None;
        }
    };
    let missing = planner.missing_tables(sql, &statement);
    if !missing.is_empty() {
        errors.extend(missing); // Without their columns nothing else can be said.
        return None;
    }
    for _ in 0..FAULTS_MAX {
        let mut error = match planner.plan(sql, statement.clone()) {
            Ok(plan) => return Some(plan),
            Err(error) => error,
        };
        let nodes = tree::nodes(sql, &statement);
        let operator = words::operator(&error);
        let culprit = match &error.range {
            Some(range) => tree::smallest_around(&nodes, range, operator),
            None => planner.culprit(sql, &statement, &nodes, &error),
        };
        let culprit = culprit.map(|it| tree::joined(&nodes, it, operator));
        if error.range.is_none() || operator.is_some() {
            error.range = culprit.and_then(|it| nodes.get(it)).and_then(|it| it.range.clone());
        }
        if errors.iter().any(|it| is_consequence(it, &error)) {
            return None;
        }
        errors.push(error);
        let culprit = culprit?;
        tree::replace_by_null(&mut statement, culprit);
    }
    None
}

/// Returns whether a fault stands around or in one that is known: then it comes from it.
fn is_consequence(known: &SqlError, error: &SqlError) -> bool {
    match (&known.range, &error.range) {
        (Some(known), Some(range)) => known.start < range.end && range.start < known.end,
        _ => known.message == error.message,
    }
}

struct Planner {
    state: SessionState,
    snapshot: Snapshot,
}

impl Planner {
    fn over(tables: &BTreeMap<String, SchemaRef>) -> Result<Planner, DataFusionError> {
        static STATE: LazyLock<Result<SessionState, DataFusionError>> = LazyLock::new(|| {
            context::state(&ContextSettings { partitions: 1, ..Default::default() })
        });
        let state = match &*STATE {
            Ok(state) => state.clone(),
            Err(error) => return Err(DataFusionError::Internal(error.to_string())),
        };
        let mut snapshot = Snapshot::default();
        for (name, schema) in tables {
            let empty = MemTable::try_new(Arc::clone(schema), vec![Vec::new()])?;
            match name.strip_prefix(SYSTEM_PREFIX) {
                Some(name) => snapshot.system.insert(name.to_owned(), Arc::new(empty)),
                None => snapshot.tables.insert(name.clone(), Arc::new(empty)),
            };
        }
        let database = Database::at(&Arc::new(snapshot.clone()), None);
        let state = SessionStateBuilder::new_from_existing(state)
            .with_catalog_list(Arc::new(Databases(database)))
            .build();
        Ok(Planner { state, snapshot })
    }

    fn plan(&self, sql: &str, statement: Sql) -> Result<LogicalPlan, SqlError> {
        let plan = async {
            let mut statement = Statement::Statement(Box::new(statement));
            statement::reveal(&mut statement, &self.snapshot);
            let plan = statement::plan(&self.state, statement).await?;
            // Types are compared by the analyzer, the rest by whoever makes the plan that runs.
            self.state.create_physical_plan(&plan).await?;
            Ok(plan)
        };
        // The tables are empty and in memory: nothing is waited for.
        let plan: Result<LogicalPlan, DataFusionError> = futures::executor::block_on(plan);
        plan.map_err(|error| with_nearest_table(words::of(sql, &error), &self.snapshot))
    }

    fn missing_tables(&self, sql: &str, statement: &Sql) -> Vec<SqlError> {
        let missing =
            tree::tables(statement).into_iter().filter(|(name, _)| match name.as_slice() {
                [table] => self.snapshot.table(table).is_none(),
                _ => false,
            });
        missing
            .map(|(name, span)| {
                let name = name.last().cloned().unwrap_or_default();
                let error = SqlError::invalid("42P01", format!("table `{name}` not found"))
                    .with_kind(base::Kind::Missing);
                let error = with_nearest_table(error, &self.snapshot);
                SqlError { range: position::range_of(sql, span), ..error }
            })
            .collect()
    }

    /// Returns the smallest expression without which the error goes away.
    fn culprit(
        &self,
        sql: &str,
        statement: &Sql,
        nodes: &[tree::Node],
        error: &SqlError,
    ) -> Option<usize> {
        let goes_away_without = |index: usize| {
            let mut without = statement.clone();
            tree::replace_by_null(&mut without, index);
            match self.plan(sql, without) {
                Ok(_) => true,
                Err(other) => words::subject(&other) != words::subject(error),
            }
        };
        let mut found = None;
        loop {
            let children =
                nodes.iter().enumerate().filter(|(_, it)| it.parent == found && !it.is_fixed);
            let guilty = children.map(|(index, _)| index).find(|index| goes_away_without(*index));
            match guilty {
                Some(index) => found = Some(index),
                None => return found,
            }
        }
    }
}

/// Adds a fault for each column of the result that has no name, or the name of another.
fn check_names(sql: &str, query: &Query, errors: &mut Vec<SqlError>) {
    let Some(items) = items(&query.body) else { return };
    let mut names: Vec<String> = Vec::new();
    for item in items {
        let (name, place) = match item {
            SelectItem::UnnamedExpr(expr) => match expr {
                Expr::Identifier(name) => (hidden::normal(name), name.span),
                Expr::CompoundIdentifier(parts) => match parts.last() {
                    Some(name) => (hidden::normal(name), expr.span()),
                    None => continue,
                },
                _ => {
                    let range = position::range_of(sql, expr.span());
                    let error = SqlError::invalid("42601", "this column has no name");
                    let text = range.clone().and_then(|it| sql.get(it)).unwrap_or("…");
                    let error = error
                        .with_help(format!("give it one with AS: `{} AS name`", shortened(text)));
                    errors.push(SqlError { range, ..error });
                    continue;
                }
            },
            SelectItem::ExprWithAlias { alias, .. } => (hidden::normal(alias), alias.span),
            _ => continue,
        };
        if names.contains(&name) {
            let range = position::range_of(sql, place);
            errors.push(SqlError { range, ..words::two_of_a_name(&name) });
        }
        names.push(name);
    }
}

/// Longest piece of SQL repeated in a help.
const REPEATED_CHARS_MAX: usize = 40;

fn shortened(text: &str) -> String {
    let one_line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line.chars().count() <= REPEATED_CHARS_MAX {
        return one_line;
    }
    let start: String = one_line.chars().take(REPEATED_CHARS_MAX).collect();
    format!("{start}…")
}

fn items(body: &SetExpr) -> Option<&[SelectItem]> {
    match body {
        SetExpr::Select(select) => Some(&select.projection),
        SetExpr::Query(query) => items(&query.body),
        SetExpr::SetOperation { left, .. } => items(left),
        _ => None,
    }
}

fn star(sql: &str, items: &[SelectItem]) -> Option<Range<usize>> {
    items.iter().find_map(|it| match it {
        SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
            position::range_of(sql, options.wildcard_token.0.span)
        }
        _ => None,
    })
}

fn twice(schema: &SchemaRef) -> Option<&str> {
    let mut names: Vec<&str> = schema.fields().iter().map(|it| it.name().as_str()).collect();
    names.sort_unstable();
    names.windows(2).find_map(|it| match it {
        [left, right] if left == right => Some(*left),
        _ => None,
    })
}

fn first_word(sql: &str) -> Range<usize> {
    let start = sql.len() - sql.trim_start().len();
    let rest = sql.get(start..).unwrap_or_default();
    start..start + rest.find(char::is_whitespace).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests;
