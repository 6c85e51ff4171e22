//! Windows in a plan that is run over all rows at once.
//!
//! `tumble` is a function of one row and needs nothing. A row lies in several windows of `hop`, so
//! below the aggregate it is repeated for each; and whether a row opens a session is said by the
//! row before it, so below the aggregate stands a window function over the other groups.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, FieldRef, IntervalMonthDayNano};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    Aggregate, ColumnarValue, Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder,
    PartitionEvaluator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    WindowFunctionDefinition, WindowUDF, WindowUDFImpl,
};
use datafusion::optimizer::AnalyzerRule;

use super::{Kind, Shape, Window, call, starts, window};

/// The name of [`WindowEnd`] in SQL.
const END: &str = "window_end";

/// The column of the window below an aggregate.
const COLUMN: &str = "__window";

/// Rewrites windows for plans that see all rows at once.
#[derive(Debug)]
pub struct ExpandWindows;

impl AnalyzerRule for ExpandWindows {
    fn name(&self) -> &'static str {
        "expand_windows"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        if !calls(&plan, &|name| is_expanded(name) || name == END)? {
            return Ok(plan);
        }
        let plan = with_ends(plan)?;
        let expanded = plan.transform_up_with_subqueries(|node| {
            let node = match node {
                LogicalPlan::Aggregate(aggregate) => expand(aggregate)?,
                other => other,
            };
            Ok(Transformed::yes(node.recompute_schema()?))
        });
        let plan = expanded?.data;
        for kind in [Kind::Hop, Kind::Session] {
            if calls(&plan, &|name| name == kind.name())? {
                return out_of_place(kind);
            }
        }
        Ok(plan)
    }
}

fn is_expanded(name: &str) -> bool {
    name == Kind::Hop.name() || name == Kind::Session.name()
}

pub(super) fn out_of_place<T>(kind: Kind) -> Result<T> {
    let name = kind.name();
    plan_err!("`{name}` is a window: it stands in GROUP BY, and in the SELECT as it stands there")
}

/// Returns whether the plan calls a function of such a name.
fn calls(plan: &LogicalPlan, is_wanted: &dyn Fn(&str) -> bool) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        for expression in node.expressions() {
            found |= expression.exists(|it| {
                Ok(matches!(it, Expr::ScalarFunction(call) if is_wanted(call.func.name())))
            })?;
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn expand(aggregate: Aggregate) -> Result<LogicalPlan> {
    let found = aggregate.group_expr.iter().enumerate().find_map(|(place, it)| {
        call(it).filter(|(kind, _)| *kind != Kind::Tumble)?;
        Some((place, window(it)?))
    });
    let Some((place, window)) = found else { return Ok(LogicalPlan::Aggregate(aggregate)) };
    let Aggregate { input, mut group_expr, aggr_expr, .. } = aggregate;
    let below = match window.shape {
        Shape::Fixed { slide_ns, size_ns } => repeated(&input, &window, slide_ns, size_ns)?,
        Shape::Session { gap_ns } => {
            let others = group_expr.iter().enumerate().filter(|(it, _)| *it != place);
            let others = others.map(|(_, it)| it.clone().unalias()).collect();
            in_sessions(&input, &window, gap_ns, others)?
        }
    };
    if let Some(group) = group_expr.get_mut(place) {
        let (qualifier, name) = group.qualified_name();
        *group = Expr::Column(Column::from_name(COLUMN)).alias_qualified(qualifier, name);
    }
    Ok(LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(below), group_expr, aggr_expr)?))
}

/// Repeats each row for every window it lies in.
fn repeated(
    input: &Arc<LogicalPlan>,
    window: &Window,
    slide_ns: i64,
    size_ns: i64,
) -> Result<LogicalPlan> {
    let starts = ScalarUDF::from(HopStarts {
        slide_ns,
        size_ns,
        signature: Signature::any(1, Volatility::Immutable),
    });
    let starts = starts.call(vec![window.time.clone()]).alias(COLUMN);
    let builder = LogicalPlanBuilder::from(Arc::clone(input));
    builder.project(columns(input).chain([starts]))?.unnest_column(COLUMN)?.build()
}

/// Adds the start of the session of each row.
fn in_sessions(
    input: &Arc<LogicalPlan>,
    window: &Window,
    gap_ns: i64,
    others: Vec<Expr>,
) -> Result<LogicalPlan> {
    let signature = Signature::any(1, Volatility::Immutable);
    let start = WindowUDF::from(SessionStart { gap_ns, signature });
    let definition = WindowFunctionDefinition::WindowUDF(Arc::new(start));
    let start = Expr::from(WindowFunction::new(definition, vec![window.time.clone()]))
        .partition_by(others)
        .order_by(vec![window.time.clone().sort(true, false)])
        .build()?;
    let name = start.schema_name().to_string();
    let builder = LogicalPlanBuilder::from(Arc::clone(input)).window([start])?;
    let start = Expr::Column(Column::from_name(name)).alias(COLUMN);
    builder.project(columns(input).chain([start]))?.build()
}

fn columns(plan: &LogicalPlan) -> impl Iterator<Item = Expr> {
    plan.schema().columns().into_iter().map(Expr::Column)
}

/// Replaces each `window_end(..)` by the start of its window and the window's size.
///
/// # Errors
/// Where the argument is no window of a GROUP BY, or one without a size of its own.
pub fn with_ends(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !calls(&plan, &|name| name == END)? {
        return Ok(plan);
    }
    let replaced = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        let below: Vec<LogicalPlan> = node.inputs().into_iter().cloned().collect();
        let node = node.map_expressions(|expression| {
            let name = names.save(&expression);
            let replaced = expression.transform_up(|it| end_of(it, &below))?;
            Ok(replaced.update_data(|it| name.restore(it)))
        })?;
        node.map_data(LogicalPlan::recompute_schema)
    });
    Ok(replaced?.data)
}

fn end_of(expression: Expr, below: &[LogicalPlan]) -> Result<Transformed<Expr>> {
    let start = match &expression {
        Expr::ScalarFunction(call) if call.func.name() == END => call.args.first().cloned(),
        _ => None,
    };
    let Some(start) = start else { return Ok(Transformed::no(expression)) };
    let found = window(&start).or_else(|| below.iter().find_map(|plan| origin(plan, &start)));
    match found.map(|it| it.shape) {
        Some(Shape::Fixed { size_ns, .. }) => {
            let size = IntervalMonthDayNano::new(0, 0, size_ns);
            let size = Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(size)), None);
            Ok(Transformed::yes(start.unalias() + size))
        }
        Some(Shape::Session { .. }) => {
            plan_err!(
                "a session has no size of its own; its end is `max(ts)`, or `max(ts) + INTERVAL '30 minutes'` with its gap"
            )
        }
        None => plan_err!(
            "`window_end` needs a window of the GROUP BY: `window_end(tumble(ts, '1 minute'))`"
        ),
    }
}

/// Returns the window that a column of a plan's result is, unchanged.
fn origin(plan: &LogicalPlan, column: &Expr) -> Option<Window> {
    let column = match column {
        Expr::Alias(alias) => return origin(plan, &alias.expr),
        Expr::Column(column) => column,
        _ => return None,
    };
    origin_at(plan, plan.schema().maybe_index_of_column(column)?)
}

fn origin_at(plan: &LogicalPlan, place: usize) -> Option<Window> {
    match plan {
        LogicalPlan::Projection(it) => {
            let below = it.expr.get(place)?;
            window(below).or_else(|| origin(&it.input, below))
        }
        LogicalPlan::SubqueryAlias(it) => origin_at(&it.input, place),
        LogicalPlan::Filter(it) => origin_at(&it.input, place),
        LogicalPlan::Sort(it) => origin_at(&it.input, place),
        LogicalPlan::Limit(it) => origin_at(&it.input, place),
        LogicalPlan::Aggregate(it) => window(it.group_expr.get(place)?),
        _ => None,
    }
}

/// `window_end(window)`: the end of a window that is grouped by; replaced before anything runs.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct WindowEnd {
    signature: Signature,
}

impl WindowEnd {
    pub(crate) fn new() -> WindowEnd {
        WindowEnd { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for WindowEnd {
    fn name(&self) -> &'static str {
        END
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.first() {
            Some(start @ DataType::Timestamp(..)) => Ok(start.clone()),
            _ => plan_err!(
                "`window_end` needs a window of the GROUP BY: `window_end(tumble(ts, '1 minute'))`"
            ),
        }
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("`window_end` needs a window of the GROUP BY")
    }
}

/// The starts of all windows of `hop` that a moment lies in.
#[derive(Debug, PartialEq, Eq, Hash)]
struct HopStarts {
    slide_ns: i64,
    size_ns: i64,
    signature: Signature,
}

impl ScalarUDFImpl for HopStarts {
    fn name(&self) -> &'static str {
        "hop_starts"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.first() {
            Some(time @ DataType::Timestamp(..)) => {
                Ok(DataType::List(Arc::new(Field::new_list_field(time.clone(), true))))
            }
            other => internal_err!("windows of {other:?}"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(times) = args.args.first() else { return internal_err!("no moment") };
        let times = times.to_array(args.number_rows)?;
        Ok(ColumnarValue::Array(starts::hop(&times, self.slide_ns, self.size_ns)?))
    }
}

/// The start of the session of each row of a partition that is in the order of time.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SessionStart {
    gap_ns: i64,
    signature: Signature,
}

impl WindowUDFImpl for SessionStart {
    fn name(&self) -> &'static str {
        "session_start"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(
        &self,
        _: PartitionEvaluatorArgs<'_>,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Sessions { gap_ns: self.gap_ns }))
    }

    fn field(&self, args: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        match args.input_fields() {
            [time] => Ok(Arc::new(Field::new(args.name(), time.data_type().clone(), true))),
            _ => internal_err!("a session has one time"),
        }
    }

    fn sort_options(&self) -> Option<SortOptions> {
        Some(SortOptions { descending: false, nulls_first: false })
    }
}

#[derive(Debug)]
struct Sessions {
    gap_ns: i64,
}

impl PartitionEvaluator for Sessions {
    fn evaluate_all(&mut self, values: &[ArrayRef], _: usize) -> Result<ArrayRef> {
        match values.first() {
            Some(times) => starts::session(times, self.gap_ns),
            None => internal_err!("a session has one time"),
        }
    }
}
