//! What kind of table a SELECT makes, and what is refused.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalMonthDayNano, TimeUnit};
use base::Name;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::{max, min};
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, Join, LogicalPlan, LogicalPlanBuilder, Projection, ScalarUDF,
    TableScan, cast,
};
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::{Optimizer, OptimizerContext};
use query::functions::window::{self, Kind, Shape, WindowStart};
use spec::{Fault, SqlText};

use crate::plan::kept;
use crate::plan::slices::{self, Slices, refuse_subqueries};
use crate::plan::{Known, Sources, TableKind, WindowPlan};

/// What a SELECT is, read from its plan.
pub(crate) enum Class {
    Rows {
        inputs: Vec<Name>,
        sources: Vec<Sources>,
    },
    Windowed {
        inputs: Vec<Name>,
        window: WindowPlan,
    },
    Running {
        inputs: Vec<Name>,
    },
    Sliced {
        slices: Slices,
        window: WindowPlan,
        /// Whether the last column of the plan is one that the SELECT leaves out.
        hides_time: bool,
    },
    Whole {
        reason: String,
    },
    /// Recomputed when something starts it, whatever it is.
    Started,
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

/// Tells what kind of table the plan makes, and how it is run: as written, or with joins in the
/// place of subqueries.
pub(crate) fn classify(plan: LogicalPlan, known: &BTreeMap<Name, Known>) -> (Class, LogicalPlan) {
    let plan = without_distinct(plan);
    let class = followed(&plan, known);
    let Class::Whole { reason } = &class else { return (class, plan) };
    let joined = without_subqueries(&plan);
    match slices::slices(joined.as_ref().unwrap_or(&plan), known) {
        Ok((slices, timed)) => {
            let hides_time = timed.is_some();
            let plan = timed.or(joined).unwrap_or(plan);
            (Class::Sliced { window: window_of(&plan, &slices), slices, hides_time }, plan)
        }
        Err(more) => match kept::find(&plan).map(|it| follow(&it.below, known)) {
            Some(Ok(inputs)) => (Class::Running { inputs }, plan),
            _ if *reason == more => (class, plan),
            // It says the same, and how to do better.
            _ if more.starts_with("a join") || more.starts_with("a window function") => {
                (Class::Whole { reason: more }, plan)
            }
            _ => (Class::Whole { reason: format!("{reason}; by windows: {more}") }, plan),
        },
    }
}

/// Returns the plan with groups in the place of DISTINCT: those are kept as totals are.
fn without_distinct(plan: LogicalPlan) -> LogicalPlan {
    let replaced = plan.clone().transform_down(|node| match node {
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let columns: Vec<Expr> =
                input.schema().columns().into_iter().map(Expr::Column).collect();
            let groups = LogicalPlanBuilder::from(Arc::unwrap_or_clone(input));
            let groups = groups.aggregate(columns, Vec::<Expr>::new())?.build()?;
            Ok(Transformed::yes(groups))
        }
        other => Ok(Transformed::no(other)),
    });
    replaced.map(|it| it.data).unwrap_or(plan)
}

/// Returns the plan with joins in the place of EXISTS and IN, if it has some.
fn without_subqueries(plan: &LogicalPlan) -> Option<LogicalPlan> {
    let has = plan.exists(|it| Ok(refuse_subqueries(it).is_err())).unwrap_or_default();
    if !has {
        return None;
    }
    let rules = Optimizer::with_rules(vec![Arc::new(DecorrelatePredicateSubquery::new())]);
    rules.optimize(plan.clone(), &OptimizerContext::new(), |_, _| {}).ok()
}

fn window_of(plan: &LogicalPlan, slices: &Slices) -> WindowPlan {
    WindowPlan {
        group: 0,
        column: slices.column,
        time: Expr::Column(Column::from(plan.schema().qualified_field(slices.column))),
        size_us: slices.size_us,
        slide_us: slices.slide_us,
        is_session: false,
        sources: Sources::new(),
    }
}

/// Tells what the plan makes if it follows one table row by row.
fn followed(plan: &LogicalPlan, known: &BTreeMap<Name, Known>) -> Class {
    match rows_until_aggregate(plan) {
        Err(reason) => Class::Whole { reason },
        Ok(Some(aggregate)) => match follow(&aggregate.input, known) {
            Err(reason) => Class::Whole { reason },
            Ok(inputs) => grouped(plan, aggregate, inputs, known),
        },
        Ok(None) => match follow(plan, known) {
            Err(reason) => Class::Whole { reason },
            Ok(inputs) => {
                let columns = 0..plan.schema().fields().len();
                let sources = columns.map(|it| sources_of(plan, it, known)).collect();
                Class::Rows { inputs, sources }
            }
        },
    }
}

fn grouped(
    plan: &LogicalPlan,
    aggregate: &Aggregate,
    inputs: Vec<Name>,
    known: &BTreeMap<Name, Known>,
) -> Class {
    if aggregate.group_expr.iter().any(|it| matches!(it, Expr::GroupingSet(_))) {
        return Class::Whole { reason: "GROUPING SETS, CUBE or ROLLUP".to_owned() };
    }
    let windows = aggregate.group_expr.iter().enumerate();
    let windows: Vec<_> =
        windows.filter_map(|(place, it)| Some((place, window::window(it)?))).collect();
    let (group, window) = match windows.as_slice() {
        [] => return Class::Running { inputs },
        [one] => one,
        _ => return Class::WindowsSeveral,
    };
    let (slide_ns, size_ns) = match window.shape {
        Shape::Fixed { slide_ns, size_ns } => (slide_ns, size_ns),
        Shape::Session { gap_ns } => (gap_ns, gap_ns),
    };
    let columns = 0..plan.schema().fields().len();
    let selected = columns.into_iter().find(|it| group_of(plan, *it) == Some(*group));
    let Some(column) = selected else {
        let name = aggregate.group_expr.get(*group).map(Expr::schema_name);
        return Class::WindowHidden { name: name.map(|it| it.to_string()).unwrap_or_default() };
    };
    let sources = column_of(&window.time)
        .and_then(|it| aggregate.input.schema().maybe_index_of_column(it))
        .map(|it| sources_of(&aggregate.input, it, known));
    let window = WindowPlan {
        group: *group,
        column,
        time: window.time.clone(),
        size_us: size_ns / 1_000,
        slide_us: slide_ns / 1_000,
        is_session: matches!(window.shape, Shape::Session { .. }),
        sources: sources.unwrap_or_default(),
    };
    Class::Windowed { inputs, window }
}

/// Returns the aggregates of a plan whose state grows with the rows: the function, and the whole
/// expression.
pub(crate) fn hoards(plan: &LogicalPlan) -> Vec<(String, String)> {
    const HOARDING: [&str; 5] = ["array_agg", "string_agg", "median", "percentile_cont", "mode"];
    let mut found: Vec<(String, String)> = plan.inputs().into_iter().flat_map(hoards).collect();
    let LogicalPlan::Aggregate(aggregate) = plan else { return found };
    for expression in &aggregate.aggr_expr {
        let Expr::AggregateFunction(function) = inner(expression) else { continue };
        let name = function.func.name();
        if function.params.distinct || HOARDING.contains(&name) {
            found.push((name.to_owned(), expression.schema_name().to_string()));
        }
    }
    found
}

/// Looks through aliases.
fn inner(expression: &Expr) -> &Expr {
    match expression {
        Expr::Alias(alias) => inner(&alias.expr),
        other => other,
    }
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
        // Totals are looked at all together, so what is above them may rank and count them.
        LogicalPlan::Window(it) => totals(&it.input),
        LogicalPlan::Sort(it) => totals(&it.input),
        LogicalPlan::Limit(it) => totals(&it.input),
        _ => Ok(None),
    }
}

/// Returns whether something above the aggregate looks at several groups together.
pub(crate) fn compares_totals(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(_) => false,
        LogicalPlan::Window(_) | LogicalPlan::Limit(_) => true,
        other => other.inputs().first().is_some_and(|it| compares_totals(it)),
    }
}

/// Returns whether there is no aggregate whose groups the plan could hold.
pub(crate) fn has_no_totals(plan: &LogicalPlan) -> bool {
    !matches!(rows_until_aggregate(plan), Ok(Some(_)))
}

fn totals(plan: &LogicalPlan) -> Result<Option<&Aggregate>, String> {
    let aggregate = rows_until_aggregate(plan)?;
    let is_window = |it: &Expr| window::window(it).is_some();
    Ok(aggregate.filter(|it| !it.group_expr.iter().any(is_window)))
}

/// Returns the tables whose rows the plan follows row by row, or why it cannot.
fn follow(plan: &LogicalPlan, known: &BTreeMap<Name, Known>) -> Result<Vec<Name>, String> {
    let mut names = moving(plan, known)?;
    names.sort();
    names.dedup();
    if names.is_empty() { Err("it reads nothing that moves".to_owned()) } else { Ok(names) }
}

/// Returns the moving tables below; nothing if there are lookups only.
fn moving(plan: &LogicalPlan, known: &BTreeMap<Name, Known>) -> Result<Vec<Name>, String> {
    refuse_subqueries(plan)?;
    match plan {
        LogicalPlan::Projection(it) => moving(&it.input, known),
        LogicalPlan::Filter(it) => moving(&it.input, known),
        LogicalPlan::SubqueryAlias(it) => moving(&it.input, known),
        LogicalPlan::Unnest(it) => moving(&it.input, known),
        LogicalPlan::Sort(it) if it.fetch.is_none() => moving(&it.input, known),
        LogicalPlan::Join(join) => moving_join(join, known),
        LogicalPlan::TableScan(scan) => moving_scan(scan, known),
        LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => Ok(Vec::new()),
        LogicalPlan::Window(_) => Err("window functions".to_owned()),
        LogicalPlan::Aggregate(_) => Err("an aggregate below another step".to_owned()),
        LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => Err("LIMIT".to_owned()),
        LogicalPlan::Distinct(_) => Err("DISTINCT".to_owned()),
        LogicalPlan::Union(union) => {
            let mut names = Vec::new();
            for input in &union.inputs {
                let more = moving(input, known)?;
                if more.is_empty() {
                    return Err("UNION with rows that do not move".to_owned());
                }
                names.extend(more);
            }
            Ok(names)
        }
        other => Err(other.display().to_string()),
    }
}

fn moving_scan(scan: &TableScan, known: &BTreeMap<Name, Known>) -> Result<Vec<Name>, String> {
    let name = scan.table_name.table();
    let Some((name, known)) = known.get_key_value(name) else {
        return Err(format!("`{name}` is not known"));
    };
    match known.kind {
        TableKind::Lookup => Ok(Vec::new()),
        TableKind::Raw | TableKind::Append => Ok(vec![name.clone()]),
        TableKind::Dead => Err(format!("it reads `{name}`, whose rows change")),
        kind @ (TableKind::Windowed | TableKind::Running | TableKind::Recomputed) => {
            Err(format!("it reads `{name}`, which is {}", kind.as_str()))
        }
    }
}

fn moving_join(join: &Join, known: &BTreeMap<Name, Known>) -> Result<Vec<Name>, String> {
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
    match (left.is_empty(), right.is_empty()) {
        (true, true) => Ok(Vec::new()),
        (false, false) => Err("a join of two tables that move".to_owned()),
        (false, true) if keeps_left => Ok(left),
        (true, false) if keeps_right => Ok(right),
        _ => Err("an outer join that keeps all rows of a lookup".to_owned()),
    }
}

/// Returns whether a condition of the plan looks at a column of this name.
pub(crate) fn looks_at(plan: &LogicalPlan, column: &str) -> bool {
    let mut looks = false;
    let visited = plan.apply_with_subqueries(|node| {
        if matches!(node, LogicalPlan::Filter(_) | LogicalPlan::Join(_)) {
            let used = |it: &Expr| it.column_refs().iter().any(|it| it.name == column);
            looks |= node.expressions().iter().any(used);
        }
        Ok(if looks { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    visited.is_err() || looks
}

/// Returns the column that the expression is, looking through aliases.
pub(crate) fn column_of(expression: &Expr) -> Option<&Column> {
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

/// Returns the columns of streams that a column of the plan's result is, unchanged.
fn sources_of(plan: &LogicalPlan, column: usize, known: &BTreeMap<Name, Known>) -> Sources {
    match plan {
        LogicalPlan::Projection(it) => {
            let below = it.expr.get(column).and_then(column_of);
            let below = below.and_then(|below| it.input.schema().maybe_index_of_column(below));
            below.map(|below| sources_of(&it.input, below, known)).unwrap_or_default()
        }
        LogicalPlan::Filter(it) => sources_of(&it.input, column, known),
        LogicalPlan::SubqueryAlias(it) => sources_of(&it.input, column, known),
        LogicalPlan::Sort(it) => sources_of(&it.input, column, known),
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            match join.join_type {
                JoinType::RightSemi | JoinType::RightAnti => sources_of(&join.right, column, known),
                _ if column < left => sources_of(&join.left, column, known),
                _ => sources_of(&join.right, column - left, known),
            }
        }
        LogicalPlan::Union(union) => {
            let all = union.inputs.iter().map(|it| sources_of(it, column, known));
            let all: Vec<Sources> = all.collect();
            if all.iter().any(Vec::is_empty) { Sources::new() } else { all.concat() }
        }
        LogicalPlan::TableScan(scan) => {
            let known = known.get(scan.table_name.table());
            known.and_then(|it| it.sources.get(column).cloned()).unwrap_or_default()
        }
        _ => Sources::new(),
    }
}

/// Returns a text that differs when the plan would make other rows. `pruned` is the same plan with
/// only the columns it needs: others may come and go. `below` are the texts of the tables
/// it reads.
pub(crate) fn fingerprint(
    plan: &LogicalPlan,
    pruned: &LogicalPlan,
    kind: TableKind,
    below: &str,
) -> String {
    let mut hasher = DefaultHasher::new();
    plan.display_indent().to_string().hash(&mut hasher);
    for field in plan.schema().fields() {
        (field.name(), field.data_type()).hash(&mut hasher);
    }
    hash_scans(pruned, &mut hasher);
    kind.as_str().hash(&mut hasher);
    below.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn hash_scans(plan: &LogicalPlan, hasher: &mut DefaultHasher) {
    if let LogicalPlan::TableScan(scan) = plan {
        scan.table_name.table().hash(hasher);
        let fields = scan.projected_schema.fields().iter();
        let mut columns: Vec<_> = fields.map(|it| (it.name(), it.data_type())).collect();
        columns.sort_by_key(|(name, _)| *name);
        columns.hash(hasher);
    }
    plan.inputs().into_iter().for_each(|it| hash_scans(it, hasher));
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

/// Returns the plan that groups by panes, where windows overlap or are sessions; of a session also
/// the first and the last moment of each group, in microseconds, as its last two columns.
pub(crate) fn by_panes(
    plan: &LogicalPlan,
    window: &WindowPlan,
) -> Result<Option<LogicalPlan>, DataFusionError> {
    if window.is_one_pane() && !window.is_session {
        return Ok(None);
    }
    with_panes(plan, window).map(Some)
}

/// What the moments of a session are called.
const MOMENTS: [&str; 2] = ["_session_from", "_session_to"];

fn with_panes(plan: &LogicalPlan, window: &WindowPlan) -> Result<LogicalPlan, DataFusionError> {
    match plan {
        LogicalPlan::Aggregate(aggregate) => {
            let Aggregate { input, mut group_expr, mut aggr_expr, .. } = aggregate.clone();
            let pane = IntervalMonthDayNano::new(0, 0, window.pane_us().saturating_mul(1_000));
            let pane = Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(pane)), None);
            let start = ScalarUDF::from(WindowStart::new(Kind::Tumble));
            if let Some(group) = group_expr.get_mut(window.group) {
                let (qualifier, name) = group.qualified_name();
                let start = start.call(vec![window.time.clone(), pane]);
                *group = start.alias_qualified(qualifier, name);
            }
            if window.is_session {
                let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
                let moment = cast(cast(window.time.clone(), micros), DataType::Int64);
                let moments = [min(moment.clone()), max(moment)];
                aggr_expr.extend(moments.into_iter().zip(MOMENTS).map(|(it, name)| it.alias(name)));
            }
            Aggregate::try_new(input, group_expr, aggr_expr).map(LogicalPlan::Aggregate)
        }
        LogicalPlan::Projection(projection) => {
            let input = with_panes(&projection.input, window)?;
            let mut columns = projection.expr.clone();
            // What nothing asks for would not be computed.
            for name in MOMENTS.into_iter().filter(|_| window.is_session) {
                let place = input.schema().fields().iter().position(|it| it.name() == name);
                let field = place.map(|it| Column::from(input.schema().qualified_field(it)));
                columns.extend(field.map(|it| Expr::Column(it).alias(name)));
            }
            Projection::try_new(columns, Arc::new(input)).map(LogicalPlan::Projection)
        }
        other => {
            let inputs = other.inputs().into_iter().map(|it| with_panes(it, window));
            other.with_new_exprs(other.expressions(), inputs.collect::<Result<_, _>>()?)
        }
    }
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
    if let Some(field) = fields.iter().find(|it| rows::schema::is_hidden(it.name())) {
        let name = field.name();
        let help = format!("give it another name: `{name} AS {}`", name.trim_start_matches('_'));
        let message = format!("a table cannot have a column `{name}`");
        return Err(sql.fault(find(&sql.text, name), message, Some(help)));
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
    sql.fault(find_window(sql), message, Some(help.to_owned()))
}

pub(crate) fn late_of_slices(sql: &SqlText, slices: &Slices) -> Fault {
    let below: Vec<String> = slices.links.iter().map(|it| format!("`{}`", it.table)).collect();
    let message = "a table over windows sees no late rows of its own".to_owned();
    let help = format!("set `late` where the rows are grouped first: {}", below.join(", "));
    sql.fault(0..sql.text.len(), message, Some(help))
}

pub(crate) fn windows_several(sql: &SqlText) -> Fault {
    let message = "a table has one window; this one groups by several";
    let help = "write one table for each".to_owned();
    sql.fault(find_window(sql), message, Some(help))
}

fn find_window(sql: &SqlText) -> Range<usize> {
    let found = Kind::ALL.map(|it| find(&sql.text, it.name()));
    found.into_iter().min_by_key(ExactSizeIterator::len).unwrap_or(0..sql.text.len())
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
