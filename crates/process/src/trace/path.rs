//! How rows find their way through one SELECT: to rows of their own, or into groups.
//!
//! The plan is cut where rows are put together. What is below runs over the given rows alone and
//! says exactly which groups they fell into; what cannot be cut like that is said to be so.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use base::Name;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::{JoinType, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, Join, LogicalPlan, LogicalPlanBuilder, Projection,
};
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionContext, ident, lit};
use query::functions::window::{self, Shape};

use crate::pipe;
use crate::plan::select::column_of;
use crate::session;

/// Rows by the table they stand in.
pub(crate) type Touched = BTreeMap<Name, Vec<RecordBatch>>;

/// Finds a table as it is now.
pub(crate) type Find<'a> = &'a (dyn Fn(&str) -> Option<Arc<dyn TableProvider>> + Sync);

/// What a SELECT does with rows of one of the tables it reads.
pub(crate) enum Path {
    /// Each becomes rows of its own, or none.
    Rows,
    /// They are grouped.
    Groups(Box<Groups>),
    /// It cannot be told which of its rows are made of them.
    Unknown(String),
}

/// The aggregate that rows fall into.
pub(crate) struct Groups {
    /// What is grouped by, over what is below the aggregate.
    keys: LogicalPlan,
    /// The name of each key, and which column of the SELECT shows it unchanged.
    pub(crate) columns: Vec<(String, Option<String>)>,
    /// Whether rows of other groups are computed from these too.
    pub(crate) spreads: bool,
}

/// Tells what `select` does with the rows of the one table of `touched` that it reads.
pub(crate) fn find(select: &LogicalPlan, touched: &Touched) -> Path {
    let mut window: Option<&Arc<LogicalPlan>> = None;
    let mut plan = select;
    loop {
        plan = match plan {
            LogicalPlan::Projection(it) => &it.input,
            LogicalPlan::Filter(it) => &it.input,
            LogicalPlan::SubqueryAlias(it) => &it.input,
            LogicalPlan::Sort(it) => &it.input,
            LogicalPlan::Limit(it) => &it.input,
            LogicalPlan::Distinct(Distinct::All(it)) => it,
            LogicalPlan::Window(it) => window.insert(&it.input),
            LogicalPlan::Aggregate(aggregate) => {
                return match moving(&aggregate.input, touched) {
                    Ok(_) => groups(select, aggregate, window.is_some()),
                    Err(reason) => Path::Unknown(reason),
                };
            }
            other => {
                return match (moving(other, touched), window) {
                    (Ok(_), None) => Path::Rows,
                    (Ok(_), Some(below)) => single_rows(select, below),
                    (Err(reason), _) => Path::Unknown(reason),
                };
            }
        };
    }
}

fn groups(select: &LogicalPlan, aggregate: &Aggregate, spreads: bool) -> Path {
    if aggregate.group_expr.iter().any(|it| matches!(it, Expr::GroupingSet(_))) {
        return Path::Unknown("GROUPING SETS, CUBE or ROLLUP".to_owned());
    }
    let overlaps = |it: &Expr| {
        window::window(it).is_some_and(|it| match it.shape {
            Shape::Fixed { slide_ns, size_ns } => slide_ns != size_ns,
            Shape::Session { .. } => true,
        })
    };
    if aggregate.group_expr.iter().any(overlaps) {
        return Path::Unknown("its windows depend on other rows, or overlap".to_owned());
    }
    let by = aggregate.group_expr.clone();
    keyed(select, by, &aggregate.input, spreads)
}

/// A window function adds columns to each row and keeps the others: these tell the row.
fn single_rows(select: &LogicalPlan, below: &Arc<LogicalPlan>) -> Path {
    let by = below.schema().columns().into_iter().map(Expr::Column).collect();
    keyed(select, by, below, true)
}

fn keyed(select: &LogicalPlan, by: Vec<Expr>, input: &Arc<LogicalPlan>, spreads: bool) -> Path {
    let shown = |key: usize| {
        let fields = select.schema().fields();
        let place = (0..fields.len()).find(|it| key_of(select, *it, input) == Some(key))?;
        fields.get(place).map(|it| it.name().clone())
    };
    let named = by.iter().enumerate();
    let columns: Vec<(String, Option<String>)> =
        named.map(|(key, it)| (it.schema_name().to_string(), shown(key))).collect();
    let keys = by.into_iter().enumerate().map(|(key, it)| it.alias(format!("{key}"))).collect();
    match Projection::try_new(keys, Arc::clone(input)) {
        Ok(keys) => {
            Path::Groups(Box::new(Groups { keys: LogicalPlan::Projection(keys), columns, spreads }))
        }
        Err(error) => Path::Unknown(error.strip_backtrace()),
    }
}

/// Returns the one touched table whose rows pass through the plan one by one, or why it cannot be.
fn moving(plan: &LogicalPlan, touched: &Touched) -> Result<Option<Name>, String> {
    match plan {
        LogicalPlan::Projection(it) => moving(&it.input, touched),
        LogicalPlan::Filter(it) => moving(&it.input, touched),
        LogicalPlan::SubqueryAlias(it) => moving(&it.input, touched),
        LogicalPlan::Unnest(it) => moving(&it.input, touched),
        LogicalPlan::Sort(it) if it.fetch.is_none() => moving(&it.input, touched),
        LogicalPlan::TableScan(scan) => {
            let name = scan.table_name.table();
            Ok(touched.get_key_value(name).map(|(name, _)| name.clone()))
        }
        LogicalPlan::Join(join) => moving_join(join, touched),
        LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => Ok(None),
        LogicalPlan::Aggregate(_) => Err("an aggregate below another".to_owned()),
        LogicalPlan::Union(_) => Err("UNION".to_owned()),
        LogicalPlan::Distinct(_) => Err("DISTINCT".to_owned()),
        LogicalPlan::Window(_) => Err("window functions".to_owned()),
        LogicalPlan::Limit(_) | LogicalPlan::Sort(_) => Err("LIMIT".to_owned()),
        other => Err(other.display().to_string()),
    }
}

fn moving_join(join: &Join, touched: &Touched) -> Result<Option<Name>, String> {
    let (left, right) = (moving(&join.left, touched)?, moving(&join.right, touched)?);
    let keeps_left = matches!(
        join.join_type,
        JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti
    );
    let keeps_right = matches!(
        join.join_type,
        JoinType::Inner | JoinType::Right | JoinType::RightSemi | JoinType::RightAnti
    );
    match (left, right) {
        (None, None) => Ok(None),
        (Some(one), Some(other)) => Err(format!("a join of `{one}` and `{other}`, both touched")),
        (Some(name), None) if keeps_left => Ok(Some(name)),
        (None, Some(name)) if keeps_right => Ok(Some(name)),
        _ => Err("an outer join that keeps all rows of the other table".to_owned()),
    }
}

/// Returns which key a column of the plan's result is, unchanged; keys are made of `input`.
fn key_of(plan: &LogicalPlan, column: usize, input: &Arc<LogicalPlan>) -> Option<usize> {
    match plan {
        LogicalPlan::Projection(it) => {
            let below = column_of(it.expr.get(column)?)?;
            key_of(&it.input, it.input.schema().maybe_index_of_column(below)?, input)
        }
        LogicalPlan::Filter(it) => key_of(&it.input, column, input),
        LogicalPlan::SubqueryAlias(it) => key_of(&it.input, column, input),
        LogicalPlan::Sort(it) => key_of(&it.input, column, input),
        LogicalPlan::Limit(it) => key_of(&it.input, column, input),
        LogicalPlan::Distinct(Distinct::All(it)) => key_of(it, column, input),
        LogicalPlan::Window(it) => {
            // Its own columns stand behind those of its input.
            let is_kept = column < it.input.schema().fields().len();
            match (is_kept, Arc::ptr_eq(&it.input, input)) {
                (false, _) => None,
                (true, true) => Some(column),
                (true, false) => key_of(&it.input, column, input),
            }
        }
        LogicalPlan::Aggregate(it) => (column < it.group_expr.len()).then_some(column),
        _ => None,
    }
}

/// Runs a plan over the given rows of the touched table, and all other tables as they are now.
pub(crate) async fn run(
    session: &SessionContext,
    plan: &LogicalPlan,
    touched: &Touched,
    tables: Find<'_>,
    now_ms: u64,
) -> Result<Vec<RecordBatch>> {
    let mut alone: BTreeMap<&str, Arc<dyn TableProvider>> = BTreeMap::new();
    for (name, rows) in touched {
        if let (Some(first), Some(whole)) = (rows.first(), tables(name)) {
            // The plan may not see what is hidden.
            let columns = whole.schema().fields().len();
            let shown: Vec<usize> = (0..columns.min(first.num_columns())).collect();
            let rows = rows.iter().map(|it| it.project(&shown)).collect::<Result<Vec<_>, _>>()?;
            alone.insert(name, Arc::new(MemTable::try_new(whole.schema(), vec![rows])?));
        }
    }
    let bound = pipe::bind(plan, &|name| alone.get(name).cloned().or_else(|| tables(name)))?;
    let state = session::at(session, now_ms);
    let physical = state.create_physical_plan(&bound).await?;
    let mut rows = collect(physical, state.task_ctx()).await?;
    rows.retain(|it| 0 < it.num_rows());
    Ok(rows)
}

/// Values of the keys of one group, in the order of [`Groups::columns`].
pub(crate) type Key = Vec<ScalarValue>;

impl Groups {
    /// Returns the keys that the touched rows have, each once.
    pub(crate) async fn keys(
        &self,
        session: &SessionContext,
        touched: &Touched,
        tables: Find<'_>,
    ) -> Result<Vec<Key>> {
        let mut keys: Vec<Key> = Vec::new();
        for batch in run(session, &self.keys, touched, tables, 0).await? {
            for row in 0..batch.num_rows() {
                let values = batch.columns().iter().map(|it| ScalarValue::try_from_array(it, row));
                let key: Key = values.collect::<Result<_>>()?;
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        Ok(keys)
    }

    /// Returns the condition that the SELECT's rows of this group fulfil, as far as it shows what
    /// it groups by; nothing if it shows none of it.
    pub(crate) fn condition(&self, key: &Key) -> Option<Expr> {
        if self.columns.is_empty() {
            return Some(lit(true)); // One group in all.
        }
        let shown = self.columns.iter().zip(key);
        let shown = shown.filter_map(|((_, column), value)| Some((column.as_ref()?, value)));
        shown.map(|(column, value)| is_value(column, value)).reduce(Expr::and)
    }

    /// Returns the same groups without one of the keys.
    pub(crate) fn without(&self, key: usize) -> Groups {
        let mut columns = self.columns.clone();
        if key < columns.len() {
            columns.remove(key);
        }
        Groups { keys: self.keys.clone(), columns, spreads: self.spreads }
    }

    /// Returns what it groups by but does not show unchanged.
    pub(crate) fn hidden(&self) -> Vec<&str> {
        let hidden = self.columns.iter().filter(|(_, shown)| shown.is_none());
        hidden.map(|(name, _)| name.as_str()).collect()
    }
}

/// Whether a column has this very value; null is one.
pub(crate) fn is_value(column: &str, value: &ScalarValue) -> Expr {
    if value.is_null() { ident(column).is_null() } else { ident(column).eq(lit(value.clone())) }
}

/// Returns the rows of a plan's result for which a condition holds.
pub(crate) fn filtered(plan: LogicalPlan, condition: Expr) -> Result<LogicalPlan> {
    LogicalPlanBuilder::from(plan).filter(condition)?.build()
}
