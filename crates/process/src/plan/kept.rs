//! Finds the step of a SELECT that needs but some of the rows below it: the first N of each key,
//! by some order.
//!
//! Which rows those are of old and new rows together can be told from those of the old ones and
//! the new rows. So a table of the newest row of each key, of the ten best of each category, or of
//! the hundred best of all, keeps these rows and forgets the others.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::datasource::provider_as_source;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::{Sort, WindowFunction, WindowFunctionDefinition};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, FetchType, LogicalPlan, LogicalPlanBuilder, Operator, SkipType, lit,
};

use super::select::column_of;
use super::slices::window_function;

/// A SELECT cut at that step.
#[derive(Debug)]
pub(crate) struct Kept {
    /// What gives the rows.
    pub(crate) below: LogicalPlan,
    /// The step, and how to tell the rows that it needs.
    step: LogicalPlan,
    needs: Option<Expr>,
    /// All of the SELECT.
    whole: LogicalPlan,
}

/// Returns the SELECT cut, if it has such a step above what `is_below` takes.
pub(crate) fn find(plan: &LogicalPlan) -> Option<Kept> {
    let mut node = plan;
    // Columns of the step at hand, and the number that they do not exceed.
    let mut limits: Vec<(usize, u64)> = Vec::new();
    loop {
        node = match node {
            LogicalPlan::Projection(it) => {
                let below = |place: usize| {
                    let column = column_of(it.expr.get(place)?)?;
                    it.input.schema().maybe_index_of_column(column)
                };
                let limited = limits.iter().filter_map(|(it, limit)| Some((below(*it)?, *limit)));
                limits = limited.collect();
                &it.input
            }
            LogicalPlan::Filter(it) => {
                limits.extend(limits_of(&it.predicate, it.input.schema()));
                &it.input
            }
            LogicalPlan::SubqueryAlias(it) => &it.input,
            LogicalPlan::Sort(it) if it.fetch.is_none() => &it.input,
            LogicalPlan::Limit(it) => {
                let LogicalPlan::Sort(sort) = it.input.as_ref() else { return None };
                let is_first = matches!(it.get_skip_type(), Ok(SkipType::Literal(0)));
                let is_limited = matches!(it.get_fetch_type(), Ok(FetchType::Literal(Some(_))));
                let is_it = is_first && is_limited && sort.fetch.is_none();
                return is_it.then(|| Kept {
                    below: sort.input.as_ref().clone(),
                    step: node.clone(),
                    needs: None,
                    whole: plan.clone(),
                });
            }
            LogicalPlan::Window(it) => {
                let columns = it.input.schema().fields().len();
                let ranks = it.window_expr.iter().map(window_function);
                let ranks: Vec<_> = ranks.collect::<Option<_>>()?;
                let first = ranks.first()?;
                let is_rank = |it: &&WindowFunction| {
                    matches!(&it.fun, WindowFunctionDefinition::WindowUDF(it)
                        if matches!(it.name(), "row_number" | "rank" | "dense_rank"))
                        && it.params.partition_by == first.params.partition_by
                        && it.params.order_by == first.params.order_by
                };
                let limited = limits.iter().filter(|(it, _)| columns <= *it);
                let (place, limit) = limited.min_by_key(|(_, limit)| *limit)?;
                if !ranks.iter().all(is_rank) || first.params.order_by.is_empty() {
                    return None;
                }
                let rank = Column::from(node.schema().qualified_field(*place));
                return Some(Kept {
                    below: it.input.as_ref().clone(),
                    step: node.clone(),
                    needs: Some(Expr::Column(rank).lt_eq(lit(*limit))),
                    whole: plan.clone(),
                });
            }
            _ => return None,
        };
    }
}

/// Returns the SELECT cut below its window functions, and the rows that they need once others have
/// come after them: the last `rows` of each key.
pub(crate) fn find_last(plan: &LogicalPlan, rows: u64) -> Option<Kept> {
    let mut node = plan;
    let mut lowest = None;
    let mut functions = Vec::new();
    loop {
        node = match node {
            LogicalPlan::Window(it) => {
                lowest = Some(it);
                functions.extend(it.window_expr.iter().map(window_function));
                &it.input
            }
            _ if lowest.is_some() => break,
            LogicalPlan::Projection(it) => &it.input,
            LogicalPlan::Filter(it) => &it.input,
            LogicalPlan::SubqueryAlias(it) => &it.input,
            LogicalPlan::Sort(it) if it.fetch.is_none() => &it.input,
            _ => return None,
        };
    }
    let lowest = lowest?;
    let functions: Vec<_> = functions.into_iter().collect::<Option<_>>()?;
    let params = &functions.first()?.params;
    let is_alike = |it: &WindowFunction| {
        it.params.partition_by == params.partition_by && it.params.order_by == params.order_by
    };
    if !functions.iter().all(|it| is_alike(it)) {
        return None;
    }
    let from_last =
        params.order_by.iter().map(|it| Sort::new(it.expr.clone(), !it.asc, !it.nulls_first));
    let place = row_number()
        .partition_by(params.partition_by.clone())
        .order_by(from_last.collect())
        .build()
        .ok()?
        .alias(PLACE);
    let below = lowest.input.as_ref().clone();
    let step = LogicalPlanBuilder::from(below.clone()).window(vec![place]).ok()?.build().ok()?;
    let needs = Some(Expr::Column(Column::from_name(PLACE)).lt_eq(lit(rows)));
    Some(Kept { below, step, needs, whole: plan.clone() })
}

/// What the place of a row among those of its key is called.
const PLACE: &str = "_place_from_last";

/// Reads from a condition which columns do not exceed a number.
fn limits_of(condition: &Expr, schema: &DFSchema) -> Vec<(usize, u64)> {
    let limit = |it: &Expr| {
        let Expr::BinaryExpr(it) = it else { return None };
        let (op, column, number) = match (column_of(&it.left), number(&it.right)) {
            (Some(column), Some(number)) => (it.op, column, number),
            _ => (it.op.swap()?, column_of(&it.right)?, number(&it.left)?),
        };
        let limit = match op {
            Operator::Eq | Operator::LtEq => number,
            Operator::Lt => number.checked_sub(1)?,
            _ => return None,
        };
        Some((schema.maybe_index_of_column(column)?, limit))
    };
    split_conjunction(condition).into_iter().filter_map(limit).collect()
}

fn number(expr: &Expr) -> Option<u64> {
    let Expr::Literal(value, _) = expr else { return None };
    match value.cast_to(&arrow::datatypes::DataType::UInt64).ok()? {
        ScalarValue::UInt64(number) => number,
        _ => None,
    }
}

impl Kept {
    /// Returns the schema in which the rows are held.
    pub(crate) fn schema(&self) -> SchemaRef {
        let fields = self.below.schema().fields().iter().enumerate();
        // Names may repeat.
        let fields = fields
            .map(|(place, field)| Field::new(format!("c{place}"), field.data_type().clone(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// Returns the plan that makes the SELECT's rows of those in `held`.
    pub(crate) fn above(&self, held: Arc<dyn TableProvider>) -> Result<LogicalPlan> {
        replace(&self.whole, &self.below, &self.stand_in(held)?)
    }

    /// Returns the plan that chooses of the rows in `held` those that are needed.
    pub(crate) fn needed(&self, held: Arc<dyn TableProvider>) -> Result<LogicalPlan> {
        let stand_in = self.stand_in(held)?;
        let step = replace(&self.step, &self.below, &stand_in)?;
        let columns = stand_in.schema().columns().into_iter().map(Expr::Column);
        let columns: Vec<Expr> = columns.collect();
        let needed = LogicalPlanBuilder::from(step);
        let needed = match &self.needs {
            Some(needs) => needed.filter(needs.clone())?,
            None => needed,
        };
        needed.project(columns)?.build()
    }

    /// Returns whether telling which rows are needed computes something that a row's values may
    /// forbid.
    pub(crate) fn needed_may_fail(&self) -> bool {
        let sorted: Vec<Expr> = match &self.step {
            LogicalPlan::Window(it) => {
                let functions = it.window_expr.iter().filter_map(window_function);
                let of = |it: &WindowFunction| {
                    let sorted = it.params.order_by.iter().map(|it| it.expr.clone());
                    sorted.chain(it.params.partition_by.iter().cloned()).collect::<Vec<_>>()
                };
                functions.flat_map(of).collect()
            }
            LogicalPlan::Limit(it) => it.input.expressions(),
            _ => return true,
        };
        sorted.iter().any(may_fail)
    }

    /// Returns the plan that makes of each row in `held` what the SELECT would if it were the first;
    /// nothing if no row can fail at that.
    pub(crate) fn tried(&self, held: Arc<dyn TableProvider>) -> Result<Option<LogicalPlan>> {
        if !self.may_fail() {
            return Ok(None);
        }
        let stand_in = self.stand_in(held)?;
        let first = self.step.schema().iter().enumerate().map(|(place, (qualifier, field))| {
            let own = stand_in.schema().columns().into_iter().nth(place).map(Expr::Column);
            let value = match own {
                Some(own) => own,
                None => lit(ScalarValue::from(1_u64).cast_to(field.data_type())?),
            };
            Ok(value.alias_qualified(qualifier.cloned(), field.name()))
        });
        let first: Vec<Expr> = first.collect::<Result<_>>()?;
        let each = LogicalPlanBuilder::from(stand_in).project(first)?.build()?;
        replace(&self.whole, &self.step, &each).map(Some)
    }

    /// Returns whether what is above the step computes something that a row's values may forbid.
    fn may_fail(&self) -> bool {
        let mut node = &self.whole;
        while node != &self.step {
            if !matches!(node, LogicalPlan::Window(_)) && node.expressions().iter().any(may_fail) {
                return true;
            }
            match node.inputs().first() {
                Some(input) => node = input,
                None => return true,
            }
        }
        false
    }

    /// Returns a plan that gives the rows in `held` under the names of those below.
    fn stand_in(&self, held: Arc<dyn TableProvider>) -> Result<LogicalPlan> {
        let scan = LogicalPlanBuilder::scan("_kept", provider_as_source(held), None)?.build()?;
        let names = self.below.schema().iter().zip(scan.schema().columns());
        let columns = names.map(|((qualifier, field), held)| {
            Expr::Column(held).alias_qualified(qualifier.cloned(), field.name())
        });
        let columns: Vec<Expr> = columns.collect();
        LogicalPlanBuilder::from(scan).project(columns)?.build()
    }
}

/// Returns whether an expression does more than compare and hand on.
fn may_fail(expr: &Expr) -> bool {
    let is_harmless = |it: &Expr| match it {
        Expr::BinaryExpr(it) => it.op.supports_propagation() || it.op.is_logic_operator(),
        Expr::Column(_)
        | Expr::Literal(..)
        | Expr::Alias(_)
        | Expr::Not(_)
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::Between(_) => true,
        _ => false,
    };
    expr.exists(|it| Ok(!is_harmless(it))).unwrap_or(true)
}

/// Puts `with` in the place of `what`, which is below a chain of steps of one input each.
fn replace(plan: &LogicalPlan, what: &LogicalPlan, with: &LogicalPlan) -> Result<LogicalPlan> {
    if plan == what {
        return Ok(with.clone());
    }
    let inputs = plan.inputs().into_iter().map(|it| replace(it, what, with));
    plan.with_new_exprs(plan.expressions(), inputs.collect::<Result<_>>()?)
}
