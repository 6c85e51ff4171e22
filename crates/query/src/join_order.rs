//! Puts inner joins into an order that keeps what is between them small.
//!
//! The planner joins tables in the order in which a question names them. This rule knows how many
//! rows each has, estimates how many pass its conditions and how many each join would give, and
//! tries the order that is best from each table on: always the next join with the fewest rows. The
//! order as written stays unless another one is clearly better, or if anything is not known.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Column, DFSchemaRef, JoinType, NullEquality, Result, ScalarValue};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::{conjunction, split_conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Between, BinaryExpr, Expr, Join, LogicalPlan, LogicalPlanBuilder, Operator, Projection,
};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// Tables of one chain of joins; more are left as they are written.
const TABLES_MAX: usize = 16;

/// Another order must cost less than this share of the one that is written: estimates are rough.
const CLEARLY: f64 = 0.8;

/// What a row of the first table counts: of two orders that are alike, the one counts that begins with
/// fewer rows.
const FIRST: f64 = 0.01;

/// The share of rows that pass a condition of which nothing is known.
const PASS: f64 = 0.3;

/// The share of rows whose text is like another, or not known to be equal to something.
const PASS_LIKE: f64 = 0.1;

/// Values of a column of which nothing is known: between those of a status and those of a name.
const VALUES: f64 = 25.0;

/// See the module.
#[derive(Debug)]
pub(crate) struct JoinOrder;

impl OptimizerRule for JoinOrder {
    fn name(&self) -> &'static str {
        "join_order"
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        ordered(plan)
    }
}

fn ordered(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    plan.transform_down_with_subqueries(|node| {
        if !is_inner(&node) {
            return Ok(Transformed::no(node));
        }
        let mut chain = Chain::default();
        if !chain.take(&node) || chain.tables.len() < 3 || TABLES_MAX < chain.tables.len() {
            return Ok(Transformed::no(node));
        }
        let schema = Arc::clone(node.schema());
        let Some(order) = chain.better() else { return Ok(Transformed::no(node)) };
        for table in &mut chain.tables {
            table.plan = ordered(table.plan.clone())?.data;
        }
        let plan = chain.build(&order, schema)?;
        Ok(Transformed::new(plan, true, TreeNodeRecursion::Jump))
    })
}

fn is_inner(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Join(join) = plan else { return false };
    join.join_type == JoinType::Inner && join.null_equality == NullEquality::NullEqualsNothing
}

/// Whether it only chooses columns.
fn is_plain(projection: &Projection) -> bool {
    projection.expr.iter().all(|it| matches!(it, Expr::Column(_)))
}

/// Joins that may be done in any order.
#[derive(Default)]
struct Chain {
    /// In the order in which they are written.
    tables: Vec<Table>,
    /// Equal on both sides.
    pairs: Vec<Pair>,
    /// Other conditions, asked as soon as all of their columns are there.
    conditions: Vec<Expr>,
}

struct Table {
    plan: LogicalPlan,
    size: Size,
}

/// What is known of a table's rows.
#[derive(Clone)]
struct Size {
    /// In all, before conditions.
    whole: f64,
    /// Those that pass its conditions.
    rows: f64,
    columns: HashMap<String, Range>,
}

/// What is known of a column: how many values there may be, and between which.
#[derive(Clone, Copy)]
struct Range {
    values: f64,
    /// Whether that is more than the number of rows.
    is_counted: bool,
    bounds: Option<(f64, f64)>,
}

struct Pair {
    sides: [Expr; 2],
    tables: [usize; 2],
}

impl Chain {
    /// Takes joins apart down to what is joined; false if something is not known.
    fn take(&mut self, plan: &LogicalPlan) -> bool {
        let mut equal = Vec::new();
        if !self.gather(plan, &mut equal) {
            return false;
        }
        for condition in std::mem::take(&mut self.conditions) {
            match condition {
                Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                    equal.push((*left, *right));
                }
                other => self.conditions.push(other),
            }
        }
        for (left, right) in equal {
            match (self.table_of(&left), self.table_of(&right)) {
                (Some(one), Some(other)) if one != other => {
                    self.pairs.push(Pair { sides: [left, right], tables: [one, other] });
                }
                _ => self.conditions.push(left.eq(right)),
            }
        }
        true
    }

    fn gather(&mut self, plan: &LogicalPlan, equal: &mut Vec<(Expr, Expr)>) -> bool {
        match plan {
            LogicalPlan::Join(join) if is_inner(plan) => {
                equal.extend(join.on.iter().cloned());
                self.conditions.extend(conditions_of(join));
                self.gather(&join.left, equal) && self.gather(&join.right, equal)
            }
            LogicalPlan::Filter(filter) if is_inner(&filter.input) => {
                self.conditions.extend(split_conjunction_owned(filter.predicate.clone()));
                self.gather(&filter.input, equal)
            }
            // Leaves columns out, which the whole will do again.
            LogicalPlan::Projection(chosen) if is_plain(chosen) && is_inner(&chosen.input) => {
                self.gather(&chosen.input, equal)
            }
            _ => match size_of(plan) {
                Some(size) => {
                    self.tables.push(Table { plan: plan.clone(), size });
                    true
                }
                None => false,
            },
        }
    }

    /// The one table that has all columns of an expression.
    fn table_of(&self, expr: &Expr) -> Option<usize> {
        let columns = expr.column_refs();
        let has_all = |it: &Table| columns.iter().all(|column| it.plan.schema().has_column(column));
        (!columns.is_empty()).then(|| self.tables.iter().position(has_all)).flatten()
    }

    /// Returns an order that is clearly better than the one that is written.
    fn better(&self) -> Option<Vec<usize>> {
        let written: Vec<usize> = (0..self.tables.len()).collect();
        let written = self.cost(&written)?;
        let orders = (0..self.tables.len()).filter_map(|first| self.greedy(first));
        let best = orders.min_by(|one, other| one.1.total_cmp(&other.1))?;
        (best.1 < written * CLEARLY).then_some(best.0)
    }

    /// Begins with a table, and goes on with what gives the fewest rows.
    fn greedy(&self, first: usize) -> Option<(Vec<usize>, f64)> {
        let mut order = vec![first];
        let mut rows = self.tables.get(first)?.size.rows;
        let mut cost = rows * FIRST;
        while order.len() < self.tables.len() {
            let others = (0..self.tables.len()).filter(|it| !order.contains(it));
            let joined = others.filter_map(|it| Some((it, self.joined(rows, &order, it)?)));
            let (next, found) = joined.min_by(|one, other| one.1.total_cmp(&other.1))?;
            cost += found;
            rows = found;
            order.push(next);
        }
        Some((order, cost))
    }

    /// What the joins in this order would have to hand on, in rows. That all tables are read costs the
    /// same in any order.
    fn cost(&self, order: &[usize]) -> Option<f64> {
        let mut rows = self.tables.get(*order.first()?)?.size.rows;
        let mut cost = rows * FIRST;
        for (at, next) in order.iter().enumerate().skip(1) {
            let before = order.get(..at)?;
            // Written without a condition between them: all with all.
            let size = self.tables.get(*next)?.size.rows;
            rows = self.joined(rows, before, *next).unwrap_or(rows * size);
            cost += rows;
        }
        Some(cost)
    }

    /// How many rows a join with one more table gives; none if nothing connects it.
    fn joined(&self, rows: f64, before: &[usize], next: usize) -> Option<f64> {
        let table = self.tables.get(next)?;
        let mut values: BTreeMap<usize, f64> = BTreeMap::new();
        for pair in &self.pairs {
            let [one, other] = pair.tables;
            let other = if one == next { other } else { one };
            if !pair.tables.contains(&next) || !before.contains(&other) {
                continue;
            }
            let of = |side: usize| self.values(pair.tables.get(side), pair.sides.get(side));
            *values.entry(other).or_insert(1.0) *= of(0).max(of(1));
        }
        if values.is_empty() {
            return None;
        }
        // Several columns together tell no more apart than a table has rows.
        let whole = |it: &usize| self.tables.get(*it).map_or(1.0, |it| it.size.whole);
        let capped = values.iter().map(|(other, it)| it.min(whole(other).max(1.0)));
        let values: f64 = capped.map(|it| it.min(table.size.whole.max(1.0))).product();
        Some((rows * table.size.rows / values).max(1.0))
    }

    /// How many values one side of a condition may have.
    fn values(&self, table: Option<&usize>, side: Option<&Expr>) -> f64 {
        let Some(size) = table.and_then(|it| self.tables.get(*it)).map(|it| &it.size) else {
            return 1.0;
        };
        let column = match side {
            Some(Expr::Column(column)) => size.columns.get(&column.name),
            _ => None,
        };
        column.map_or(size.whole, |it| it.values.min(size.whole)).max(1.0)
    }

    /// Joins the tables in this order, with the columns as they were.
    fn build(&mut self, order: &[usize], schema: DFSchemaRef) -> Result<LogicalPlan> {
        let mut before = Vec::new();
        let mut built: Option<LogicalPlan> = None;
        for &next in order {
            let Some(table) = self.tables.get(next) else { continue };
            let plan = match built {
                None => table.plan.clone(),
                Some(left) => self.join(left, table.plan.clone(), &before, next)?,
            };
            before.push(next);
            built = Some(self.filtered(plan)?);
        }
        let Some(built) = built else {
            return datafusion::common::internal_err!("a chain of joins has no table");
        };
        if built.schema() == &schema {
            return Ok(built);
        }
        Ok(LogicalPlan::Projection(Projection::new_from_schema(Arc::new(built), schema)))
    }

    fn join(
        &self,
        left: LogicalPlan,
        right: LogicalPlan,
        before: &[usize],
        next: usize,
    ) -> Result<LogicalPlan> {
        let (mut lefts, mut rights) = (Vec::new(), Vec::new());
        for Pair { sides: [one, other], tables: [of_one, of_other] } in &self.pairs {
            if *of_other == next && before.contains(of_one) {
                lefts.push(one.clone());
                rights.push(other.clone());
            } else if *of_one == next && before.contains(of_other) {
                lefts.push(other.clone());
                rights.push(one.clone());
            }
        }
        LogicalPlanBuilder::from(left)
            .join_with_expr_keys(right, JoinType::Inner, (lefts, rights), None)?
            .build()
    }

    /// Asks the conditions whose columns are all there.
    fn filtered(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let schema = plan.schema();
        let (ready, rest): (Vec<Expr>, Vec<Expr>) = std::mem::take(&mut self.conditions)
            .into_iter()
            .partition(|it| it.column_refs().iter().all(|column| schema.has_column(column)));
        self.conditions = rest;
        match conjunction(ready) {
            Some(condition) => LogicalPlanBuilder::from(plan).filter(condition)?.build(),
            None => Ok(plan),
        }
    }
}

fn conditions_of(join: &Join) -> Vec<Expr> {
    join.filter.clone().map(split_conjunction_owned).unwrap_or_default()
}

/// Estimates the rows of what is joined: a table under conditions, names and choices of columns.
fn size_of(plan: &LogicalPlan) -> Option<Size> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let known = source_as_provider(&scan.source).ok()?.statistics()?;
            let whole = *known.num_rows.get_value()? as f64;
            let schema = scan.source.schema();
            let columns = schema.fields().iter().zip(&known.column_statistics);
            let columns = columns.map(|(field, known)| {
                let bound = |it: Option<&ScalarValue>| it.and_then(number);
                let bounds =
                    bound(known.min_value.get_value()).zip(bound(known.max_value.get_value()));
                // Whole numbers and days: as many values as there is room for.
                let is_whole = field.data_type().is_integer() || field.data_type().is_temporal();
                let room = bounds.filter(|_| is_whole).map(|it| it.1 - it.0 + 1.0);
                let values = room.map_or(whole, |it| it.min(whole));
                let range = Range { values, is_counted: room.is_some(), bounds };
                (field.name().clone(), range)
            });
            Some(Size { whole, rows: whole, columns: columns.collect() })
        }
        LogicalPlan::Filter(filter) => {
            let mut size = size_of(&filter.input)?;
            for condition in split_conjunction(&filter.predicate) {
                size.rows *= share(condition, &size);
            }
            size.rows = size.rows.max(1.0);
            Some(size)
        }
        LogicalPlan::SubqueryAlias(alias) => size_of(&alias.input),
        LogicalPlan::Projection(projection) => {
            let size = size_of(&projection.input)?;
            is_plain(projection).then_some(size)
        }
        _ => None,
    }
}

/// Estimates the share of rows that pass a condition.
fn share(condition: &Expr, size: &Size) -> f64 {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And => share(left, size) * share(right, size),
            Operator::Or => (share(left, size) + share(right, size)).min(1.0),
            Operator::NotEq => 1.0 - equal(left, size),
            Operator::Eq => equal(left, size),
            Operator::Lt | Operator::LtEq => below(left, right, size).unwrap_or(PASS),
            Operator::Gt | Operator::GtEq => below(left, right, size).map_or(PASS, |it| 1.0 - it),
            _ => PASS,
        },
        Expr::Between(Between { expr, negated: false, low, high }) => {
            let within = below(expr, high, size).zip(below(expr, low, size));
            within.map_or(PASS, |(most, least)| (most - least).max(0.0))
        }
        Expr::InList(InList { expr, list, negated: false }) => {
            (equal(expr, size) * list.len() as f64).min(1.0)
        }
        Expr::Like(like) if !like.negated => PASS_LIKE,
        Expr::Like(_) | Expr::IsNotNull(_) => 1.0,
        Expr::Not(inner) => 1.0 - share(inner, size),
        _ => PASS,
    }
    .clamp(1e-6, 1.0)
}

/// The share of rows with one value of a column. Of text it is not known how many values there are.
fn equal(side: &Expr, size: &Size) -> f64 {
    match side {
        Expr::Column(Column { name, .. }) => match size.columns.get(name) {
            Some(range) if range.is_counted => 1.0 / range.values.max(1.0),
            Some(_) | None => 1.0 / VALUES.min(size.whole.max(1.0)),
        },
        _ => PASS_LIKE,
    }
}

/// The share of rows whose value is below a constant, if values are spread evenly.
fn below(column: &Expr, constant: &Expr, size: &Size) -> Option<f64> {
    let (Expr::Column(column), Expr::Literal(value, _)) = (column, constant) else { return None };
    let (least, greatest) = size.columns.get(&column.name)?.bounds?;
    let value = number(value)?;
    (least < greatest).then(|| ((value - least) / (greatest - least)).clamp(0.0, 1.0))
}

/// A value as a number, in the unit of its type.
fn number(value: &ScalarValue) -> Option<f64> {
    match value {
        ScalarValue::Int8(it) => it.map(f64::from),
        ScalarValue::Int16(it) => it.map(f64::from),
        ScalarValue::Int32(it) | ScalarValue::Date32(it) => it.map(f64::from),
        ScalarValue::Int64(it) | ScalarValue::TimestampMicrosecond(it, _) => it.map(|it| it as f64),
        ScalarValue::Float64(it) => *it,
        ScalarValue::Decimal128(it, _, scale) => {
            it.map(|it| it as f64 / 10_f64.powi(i32::from(*scale)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
