//! What kind of table a SELECT makes, and what is refused.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::Field;
use base::Name;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, JoinType};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Aggregate, Expr, Join, LogicalPlan, TableScan};
use query::functions::tumble;
use spec::{Fault, SqlText};

use crate::plan::{Known, Source, TableKind, WindowPlan};

/// What a SELECT is, read from its plan.
pub(crate) enum Class {
    Rows {
        input: Name,
        sources: Vec<Option<Source>>,
    },
    Windowed {
        input: Name,
        window: WindowPlan,
    },
    Running {
        input: Name,
    },
    Whole {
        reason: String,
    },
    /// A window that is grouped by but not selected.
    WindowHidden {
        name: String,
    },
    WindowsSeveral,
}

/// Drops an ORDER BY without LIMIT at the top: a table has no order.
pub(crate) fn without_order(plan: LogicalPlan) -> LogicalPlan {
    match plan {
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
            let input = Arc::unwrap_or_clone(sort.input);
            // What was sorted by and not selected is dropped by a projection above the sort.
            without_order(input)
        }
        other => other,
    }
}

/// Tells what kind of table the plan makes.
pub(crate) fn classify(plan: &LogicalPlan, known: &BTreeMap<Name, Known>) -> Class {
    match rows_until_aggregate(plan) {
        Err(reason) => Class::Whole { reason },
        Ok(Some(aggregate)) => match follow(&aggregate.input, known) {
            Err(reason) => Class::Whole { reason },
            Ok(input) => grouped(plan, aggregate, input, known),
        },
        Ok(None) => match follow(plan, known) {
            Err(reason) => Class::Whole { reason },
            Ok(input) => {
                let columns = 0..plan.schema().fields().len();
                let sources = columns.map(|it| source_of(plan, it, known)).collect();
                Class::Rows { input, sources }
            }
        },
    }
}

fn grouped(
    plan: &LogicalPlan,
    aggregate: &Aggregate,
    input: Name,
    known: &BTreeMap<Name, Known>,
) -> Class {
    if aggregate.group_expr.iter().any(|it| matches!(it, Expr::GroupingSet(_))) {
        return Class::Whole { reason: "GROUPING SETS, CUBE or ROLLUP".to_owned() };
    }
    let windows = aggregate.group_expr.iter().enumerate();
    let windows: Vec<_> =
        windows.filter_map(|(place, it)| Some((place, tumble::window(it)?))).collect();
    let (group, window) = match windows.as_slice() {
        [] => return Class::Running { input },
        [one] => one,
        _ => return Class::WindowsSeveral,
    };
    let columns = 0..plan.schema().fields().len();
    let selected = columns.into_iter().find(|it| group_of(plan, *it) == Some(*group));
    let Some(column) = selected else {
        let name = aggregate.group_expr.get(*group).map(Expr::schema_name);
        return Class::WindowHidden { name: name.map(|it| it.to_string()).unwrap_or_default() };
    };
    let source = column_of(&window.time)
        .and_then(|it| aggregate.input.schema().maybe_index_of_column(it))
        .and_then(|it| source_of(&aggregate.input, it, known));
    let window = WindowPlan {
        group: *group,
        column,
        time: window.time.clone(),
        size_us: window.size_ns / 1_000,
        source,
    };
    Class::Windowed { input, window }
}

/// Walks down through what works row by row, to the one aggregate, if there is one.
fn rows_until_aggregate(plan: &LogicalPlan) -> Result<Option<&Aggregate>, String> {
    refuse_subqueries(plan)?;
    match plan {
        LogicalPlan::Projection(it) => rows_until_aggregate(&it.input),
        LogicalPlan::Filter(it) => rows_until_aggregate(&it.input),
        LogicalPlan::SubqueryAlias(it) => rows_until_aggregate(&it.input),
        LogicalPlan::Sort(it) if it.fetch.is_none() => rows_until_aggregate(&it.input),
        LogicalPlan::Aggregate(aggregate) => Ok(Some(aggregate)),
        _ => Ok(None),
    }
}

/// Returns the one table whose rows the plan follows row by row, or why it cannot.
fn follow(plan: &LogicalPlan, known: &BTreeMap<Name, Known>) -> Result<Name, String> {
    match moving(plan, known)? {
        Some(name) => Ok(name),
        None => Err("it reads nothing that moves".to_owned()),
    }
}

/// Returns the moving table below, or none if there are lookups only.
fn moving(plan: &LogicalPlan, known: &BTreeMap<Name, Known>) -> Result<Option<Name>, String> {
    refuse_subqueries(plan)?;
    match plan {
        LogicalPlan::Projection(it) => moving(&it.input, known),
        LogicalPlan::Filter(it) => moving(&it.input, known),
        LogicalPlan::SubqueryAlias(it) => moving(&it.input, known),
        LogicalPlan::Unnest(it) => moving(&it.input, known),
        LogicalPlan::Sort(it) if it.fetch.is_none() => moving(&it.input, known),
        LogicalPlan::Join(join) => moving_join(join, known),
        LogicalPlan::TableScan(scan) => moving_scan(scan, known),
        LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => Ok(None),
        LogicalPlan::Window(_) => Err("window functions".to_owned()),
        LogicalPlan::Aggregate(_) => Err("an aggregate below another step".to_owned()),
        LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => Err("LIMIT".to_owned()),
        LogicalPlan::Distinct(_) => Err("DISTINCT".to_owned()),
        LogicalPlan::Union(_) => Err("UNION".to_owned()),
        other => Err(other.display().to_string()),
    }
}

fn moving_scan(scan: &TableScan, known: &BTreeMap<Name, Known>) -> Result<Option<Name>, String> {
    let name = scan.table_name.table();
    let Some((name, known)) = known.get_key_value(name) else {
        return Err(format!("`{name}` is not known"));
    };
    match known.kind {
        TableKind::Lookup => Ok(None),
        TableKind::Raw | TableKind::Append => Ok(Some(name.clone())),
        TableKind::Dead => Err(format!("it reads `{name}`, whose rows change")),
        kind @ (TableKind::Windowed | TableKind::Running | TableKind::Recomputed) => {
            Err(format!("it reads `{name}`, which is {}", kind.as_str()))
        }
    }
}

fn moving_join(join: &Join, known: &BTreeMap<Name, Known>) -> Result<Option<Name>, String> {
    let (left, right) = (moving(&join.left, known)?, moving(&join.right, known)?);
    let keeps_left = matches!(
        join.join_type,
        JoinType::Inner
            | JoinType::Left
            | JoinType::LeftSemi
            | JoinType::LeftAnti
            | JoinType::LeftMark
    );
    let keeps_right = matches!(
        join.join_type,
        JoinType::Inner
            | JoinType::Right
            | JoinType::RightSemi
            | JoinType::RightAnti
            | JoinType::RightMark
    );
    match (left, right) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err("a join of two tables that move".to_owned()),
        (Some(name), None) if keeps_left => Ok(Some(name)),
        (None, Some(name)) if keeps_right => Ok(Some(name)),
        _ => Err("an outer join that keeps all rows of a lookup".to_owned()),
    }
}

fn refuse_subqueries(plan: &LogicalPlan) -> Result<(), String> {
    let is_subquery = |it: &Expr| {
        Ok(matches!(
            it,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
        ))
    };
    let has = plan.expressions().iter().any(|it| it.exists(is_subquery).unwrap_or(true));
    if has { Err("a subquery".to_owned()) } else { Ok(()) }
}

/// Returns the column that the expression is, looking through aliases.
fn column_of(expression: &Expr) -> Option<&Column> {
    match expression {
        Expr::Alias(alias) => column_of(&alias.expr),
        Expr::Column(column) => Some(column),
        _ => None,
    }
}

/// Returns which group a column of the plan's result is, unchanged.
fn group_of(plan: &LogicalPlan, column: usize) -> Option<usize> {
    match plan {
        LogicalPlan::Projection(it) => {
            let below = column_of(it.expr.get(column)?)?;
            group_of(&it.input, it.input.schema().maybe_index_of_column(below)?)
        }
        LogicalPlan::Filter(it) => group_of(&it.input, column),
        LogicalPlan::SubqueryAlias(it) => group_of(&it.input, column),
        LogicalPlan::Sort(it) => group_of(&it.input, column),
        LogicalPlan::Aggregate(it) => (column < it.group_expr.len()).then_some(column),
        _ => None,
    }
}

/// Returns the column of a stream that a column of the plan's result is, unchanged.
fn source_of(plan: &LogicalPlan, column: usize, known: &BTreeMap<Name, Known>) -> Option<Source> {
    match plan {
        LogicalPlan::Projection(it) => {
            let below = column_of(it.expr.get(column)?)?;
            source_of(&it.input, it.input.schema().maybe_index_of_column(below)?, known)
        }
        LogicalPlan::Filter(it) => source_of(&it.input, column, known),
        LogicalPlan::SubqueryAlias(it) => source_of(&it.input, column, known),
        LogicalPlan::Sort(it) => source_of(&it.input, column, known),
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            match join.join_type {
                JoinType::RightSemi | JoinType::RightAnti => source_of(&join.right, column, known),
                _ if column < left => source_of(&join.left, column, known),
                _ => source_of(&join.right, column - left, known),
            }
        }
        LogicalPlan::TableScan(scan) => {
            known.get(scan.table_name.table())?.sources.get(column)?.clone()
        }
        _ => None,
    }
}

/// Returns a text that differs when the plan would make other rows.
pub(crate) fn fingerprint(plan: &LogicalPlan, kind: TableKind) -> String {
    let mut hasher = DefaultHasher::new();
    plan.display_indent_schema().to_string().hash(&mut hasher);
    kind.as_str().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Returns where `word` stands in the SQL; all of it if it does not.
pub(crate) fn find(sql: &str, word: &str) -> Range<usize> {
    let lower = sql.to_ascii_lowercase();
    let word = word.to_ascii_lowercase();
    let is_part = |it: Option<u8>| it.is_some_and(|it| it.is_ascii_alphanumeric() || it == b'_');
    for (start, _) in lower.match_indices(&word) {
        let end = start + word.len();
        let before = start.checked_sub(1).and_then(|it| lower.as_bytes().get(it).copied());
        if !is_part(before) && !is_part(lower.as_bytes().get(end).copied()) {
            return start..end;
        }
    }
    0..sql.len()
}

/// Refuses windows that do not exist yet.
pub(crate) fn refuse_words(sql: &SqlText) -> Result<(), Fault> {
    for function in ["hop", "session"] {
        let range = find(&sql.text, function);
        let after = sql.text.get(range.end..).unwrap_or_default().trim_start();
        if range.len() == function.len() && after.starts_with('(') {
            let message = format!("`{function}` windows are not supported");
            let help = "use `tumble(ts, '1 minute')`, and sum its windows in a second table";
            return Err(sql.fault(range, message, Some(help.to_owned())));
        }
    }
    Ok(())
}

pub(crate) fn refuse_time(sql: &SqlText, asks_time: bool) -> Result<(), Fault> {
    if !asks_time {
        return Ok(());
    }
    let message = "a table of groups cannot ask what time it is: its groups outlive the answer";
    let help = "compare with `now()` where the table is asked, or use the column `_arrived`";
    let range = find(&sql.text, "now");
    Err(sql.fault(range, message, Some(help.to_owned())))
}

/// Refuses columns that are ours.
pub(crate) fn refuse_names(sql: &SqlText, fields: &[Field]) -> Result<(), Fault> {
    if let Some(field) = fields.iter().find(|it| it.name() == rows::schema::FINAL) {
        let range = find(&sql.text, field.name());
        let help = "give it another name: `_final AS is_final`".to_owned();
        return Err(sql.fault(range, "a table cannot have a column `_final`", Some(help)));
    }
    let mut names: Vec<&String> = fields.iter().map(Field::name).collect();
    names.sort();
    if let Some([twice, _]) = names.array_windows().find(|[one, two]| one == two) {
        let range = find(&sql.text, twice);
        let help = "give one of them another name with AS".to_owned();
        return Err(sql.fault(range, format!("two columns are called `{twice}`"), Some(help)));
    }
    Ok(())
}

pub(crate) fn window_hidden(sql: &SqlText, name: &str) -> Fault {
    let message = format!("the table groups by the window `{name}`, but does not select it");
    let help = "add `tumble(..) AS window_start` to the SELECT, so that its rows can be told apart";
    sql.fault(find(&sql.text, "tumble"), message, Some(help.to_owned()))
}

pub(crate) fn windows_several(sql: &SqlText) -> Fault {
    let message = "a table has one window; this one groups by several";
    let help = "write one table for each".to_owned();
    sql.fault(find(&sql.text, "tumble"), message, Some(help))
}

/// Turns an error of the planner into a fault at the place it names.
pub(crate) fn fault_of(sql: &SqlText, error: &DataFusionError) -> Fault {
    let message = error.strip_backtrace();
    let message = message.trim_start_matches("Error during planning: ").to_owned();
    let span = error.diagnostic().and_then(|it| it.span);
    let range = match span {
        None => 0..sql.text.len(),
        Some(span) => {
            let start = sql.byte_at(span.start.line, span.start.column);
            let end = sql.byte_at(span.end.line, span.end.column);
            start..end.max(start)
        }
    };
    sql.fault(range, message, None)
}
