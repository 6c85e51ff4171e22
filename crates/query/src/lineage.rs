//! Which columns the columns of a SELECT are made of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::logical_expr::{Distinct, Expr, JoinType, LogicalPlan};

use crate::check;

/// A column of a table: the table's name, then the column's.
pub type Origin = (String, String);

/// What a column is made of: what its value is computed from, not what its row depends on.
type Origins = BTreeSet<Origin>;

/// Returns for each column of a SELECT its name and the columns it is made of; nothing if the SELECT
/// has faults.
pub fn of(sql: &str, tables: &BTreeMap<String, SchemaRef>) -> Vec<(String, Vec<Origin>)> {
    let Some(plan) = check::plan(sql, tables) else { return Vec::new() };
    let names = plan.schema().fields().iter().map(|it| it.name().clone());
    let from = origins(&plan).into_iter().map(|it| it.into_iter().collect());
    names.zip(from).collect()
}

/// Returns what each column of a plan is made of.
fn origins(plan: &LogicalPlan) -> Vec<Origins> {
    let columns = plan.schema().fields().len();
    let mut found = match plan {
        LogicalPlan::TableScan(scan) => {
            let table = scan.table_name.table();
            let fields = scan.projected_schema.fields().iter();
            fields.map(|it| Origins::from([(table.to_owned(), it.name().clone())])).collect()
        }
        LogicalPlan::Projection(it) => below(&it.input, &it.expr),
        LogicalPlan::Aggregate(it) => {
            let all: Vec<Expr> = it.group_expr.iter().chain(&it.aggr_expr).cloned().collect();
            if all.len() == columns { below(&it.input, &all) } else { any(plan) }
        }
        LogicalPlan::Window(it) => {
            let mut all = origins(&it.input);
            all.extend(below(&it.input, &it.window_expr));
            all
        }
        LogicalPlan::Distinct(Distinct::On(it)) => below(&it.input, &it.select_expr),
        LogicalPlan::Join(it) => {
            let (left, right) = (origins(&it.left), origins(&it.right));
            match it.join_type {
                JoinType::LeftSemi | JoinType::LeftAnti => left,
                JoinType::RightSemi | JoinType::RightAnti => right,
                JoinType::LeftMark => left.into_iter().chain([Origins::new()]).collect(),
                JoinType::RightMark => right.into_iter().chain([Origins::new()]).collect(),
                JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
                    left.into_iter().chain(right).collect()
                }
            }
        }
        LogicalPlan::Union(it) => {
            let mut all = vec![Origins::new(); columns];
            for input in &it.inputs {
                all.iter_mut().zip(origins(input)).for_each(|(all, more)| all.extend(more));
            }
            all
        }
        LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => Vec::new(),
        other => match other.inputs().as_slice() {
            [input] if input.schema().fields().len() == columns => origins(input),
            _ => any(plan),
        },
    };
    found.resize(columns, Origins::new());
    found
}

/// What cannot be told apart is made of everything below.
fn any(plan: &LogicalPlan) -> Vec<Origins> {
    let all: Origins = plan.inputs().into_iter().flat_map(origins).flatten().collect();
    vec![all; plan.schema().fields().len()]
}

fn below(input: &Arc<LogicalPlan>, exprs: &[Expr]) -> Vec<Origins> {
    let known = origins(input);
    exprs.iter().map(|it| of_expr(it, input.schema(), &known)).collect()
}

fn of_expr(expr: &Expr, schema: &DFSchema, known: &[Origins]) -> Origins {
    let mut found = Origins::new();
    let walked = expr.apply(|node| {
        match node {
            Expr::Column(column) => {
                let at = schema.maybe_index_of_column(column);
                found.extend(at.and_then(|it| known.get(it)).into_iter().flatten().cloned());
            }
            Expr::ScalarSubquery(it) => found.extend(origins(&it.subquery).into_iter().flatten()),
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    });
    if let Err(error) = walked {
        tracing::debug!(%error, "an expression could not be followed");
    }
    found
}

#[cfg(test)]
mod tests;
