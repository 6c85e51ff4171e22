//! Whether the rows that an alert gives for a window depend on that window alone.

use datafusion::common::Column;
use datafusion::common::tree_node::TreeNode as _;
use datafusion::logical_expr::{Expr, LogicalPlan};

/// Returns whether the plan reads nothing but `source`, gives its `column` unchanged, and makes
/// each of its rows of rows of one window: then one answer over all windows has the rows that each
/// window gave.
pub(crate) fn is_by_window(plan: &LogicalPlan, source: &str, column: &str) -> bool {
    let fields = plan.schema().fields();
    let shown = fields.iter().position(|it| it.name() == column);
    shown.is_some_and(|it| origin(plan, it).as_deref() == Some(column))
        && keeps_windows(plan, source, column)
}

fn keeps_windows(plan: &LogicalPlan, source: &str, column: &str) -> bool {
    if has_subquery(plan) {
        return false;
    }
    match plan {
        LogicalPlan::Projection(it) => keeps_windows(&it.input, source, column),
        LogicalPlan::Filter(it) => keeps_windows(&it.input, source, column),
        LogicalPlan::SubqueryAlias(it) => keeps_windows(&it.input, source, column),
        LogicalPlan::Sort(it) if it.fetch.is_none() => keeps_windows(&it.input, source, column),
        LogicalPlan::Aggregate(it) => {
            let is_window = |by: &Expr| {
                let place =
                    column_of(by).and_then(|it_| it.input.schema().maybe_index_of_column(it_));
                place.is_some_and(|place| origin(&it.input, place).as_deref() == Some(column))
            };
            it.group_expr.iter().any(is_window) && keeps_windows(&it.input, source, column)
        }
        LogicalPlan::TableScan(scan) => scan.table_name.table() == source && scan.fetch.is_none(),
        _ => false,
    }
}

/// Returns the column of the scanned table that a column of the plan's result is, unchanged.
fn origin(plan: &LogicalPlan, column: usize) -> Option<String> {
    match plan {
        LogicalPlan::Projection(it) => {
            let below = column_of(it.expr.get(column)?)?;
            origin(&it.input, it.input.schema().maybe_index_of_column(below)?)
        }
        LogicalPlan::Filter(it) => origin(&it.input, column),
        LogicalPlan::SubqueryAlias(it) => origin(&it.input, column),
        LogicalPlan::Sort(it) => origin(&it.input, column),
        LogicalPlan::Aggregate(it) => {
            let below = column_of(it.group_expr.get(column)?)?;
            origin(&it.input, it.input.schema().maybe_index_of_column(below)?)
        }
        LogicalPlan::TableScan(scan) => {
            scan.projected_schema.fields().get(column).map(|it| it.name().clone())
        }
        _ => None,
    }
}

fn column_of(expression: &Expr) -> Option<&Column> {
    match expression {
        Expr::Alias(alias) => column_of(&alias.expr),
        Expr::Column(column) => Some(column),
        _ => None,
    }
}

fn has_subquery(plan: &LogicalPlan) -> bool {
    let is_subquery = |it: &Expr| {
        Ok(matches!(
            it,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
        ))
    };
    plan.expressions().iter().any(|it| it.exists(is_subquery).unwrap_or(true))
}
