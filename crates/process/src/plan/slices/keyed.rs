//! Finds out whether a join of rows near in time goes by a key: whether each row of its result comes
//! from rows of one key alone.
//!
//! Then new rows change what has their keys, and nothing else of a slice is computed again.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use base::Name;
use datafusion::common::{Column, JoinType, TableReference};
use datafusion::logical_expr::{Expr, Join, LogicalPlan, Projection};

use super::join::equal;
use super::{Link, Told};

/// How a table goes by a key.
#[derive(Debug, Clone)]
pub(crate) struct Keyed {
    /// The plan with the key of its rows as one more column, the last.
    pub(crate) plan: LogicalPlan,
    /// The column of each table that moves which holds the key.
    pub(crate) columns: BTreeMap<Name, String>,
}

/// What the key is called in the plan.
const KEY: &str = "_key";

/// Where a column comes from unchanged: a column of one of the scans of tables that move.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scan: usize,
    column: String,
    /// Whether it is there even where a join found no partner.
    is_sure: bool,
}

type Origins = Vec<Option<Origin>>;

/// A column of a scan.
type Place = (usize, String);

#[derive(Default)]
struct Walk<'a> {
    links: &'a [Link],
    /// The tables of the scans, with the types of their columns.
    scans: Vec<(Name, Vec<(String, DataType)>)>,
    /// Per join of two sides that move, what it says is equal.
    joins: Vec<Vec<(Place, Place)>>,
}

/// Returns how the plan goes by a key, if it does.
pub(crate) fn keyed(plan: &LogicalPlan, links: &[Link]) -> Option<Keyed> {
    if links.iter().any(|it| !matches!(it.told, Told::Rows(_))) {
        return None;
    }
    let mut walk = Walk { links, ..Walk::default() };
    walk.origins(plan)??;
    let class = walk.class()?;
    let columns = walk.columns(&class)?;
    Some(Keyed { plan: with_key(plan, &mut Walk { links, ..Walk::default() }, &class)?, columns })
}

impl Walk<'_> {
    /// Returns where the columns come from; inside, none if nothing moves below.
    fn origins(&mut self, plan: &LogicalPlan) -> Option<Option<Origins>> {
        match plan {
            LogicalPlan::Projection(it) => {
                let Some(below) = self.origins(&it.input)? else { return Some(None) };
                let origin = |it: &Expr, input: &LogicalPlan| match it {
                    Expr::Column(column) => {
                        let place = input.schema().maybe_index_of_column(column)?;
                        below.get(place).cloned().flatten()
                    }
                    _ => None,
                };
                let unaliased = it.expr.iter().map(|it| it.clone().unalias());
                Some(Some(unaliased.map(|expr| origin(&expr, &it.input)).collect()))
            }
            LogicalPlan::Filter(it) => match it.input.as_ref() {
                LogicalPlan::Join(join) => self.join(join, Some(&it.predicate)),
                input => self.origins(input),
            },
            LogicalPlan::SubqueryAlias(it) => self.origins(&it.input),
            LogicalPlan::Join(it) => self.join(it, None),
            LogicalPlan::TableScan(it) => {
                let table = it.table_name.table();
                let Some(link) = self.links.iter().find(|it| it.table == *table) else {
                    return Some(None);
                };
                let fields = it.projected_schema.fields().iter();
                let columns = fields.map(|it| (it.name().clone(), it.data_type().clone()));
                let columns: Vec<(String, DataType)> = columns.collect();
                let scan = self.scans.len();
                let origin =
                    |it: &(String, _)| Origin { scan, column: it.0.clone(), is_sure: true };
                let origins = columns.iter().map(|it| Some(origin(it))).collect();
                self.scans.push((link.table.clone(), columns));
                Some(Some(origins))
            }
            LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => Some(None),
            _ => None,
        }
    }

    fn join(&mut self, join: &Join, above: Option<&Expr>) -> Option<Option<Origins>> {
        let (mut left, mut right) = (self.origins(&join.left)?, self.origins(&join.right)?);
        let above = above.filter(|_| join.join_type == JoinType::Inner);
        if let (Some(left), Some(right)) = (&left, &right) {
            let place = |it: &Expr, side: &LogicalPlan, origins: &Origins| {
                let Expr::Column(column) = it else { return None };
                let origin = origins.get(side.schema().maybe_index_of_column(column)?)?.clone()?;
                Some((origin.scan, origin.column))
            };
            let mut pairs = Vec::new();
            for (one, other) in equal(join, above) {
                for (one, other) in [(one, other), (other, one)] {
                    let one = place(one, &join.left, left);
                    let other = place(other, &join.right, right);
                    pairs.extend(one.zip(other));
                }
            }
            self.joins.push(pairs);
        }
        let unsure = |origins: &mut Option<Origins>| {
            origins.iter_mut().flatten().flatten().for_each(|it| it.is_sure = false);
        };
        match join.join_type {
            JoinType::Inner => {}
            JoinType::Left => unsure(&mut right),
            JoinType::Right => unsure(&mut left),
            JoinType::LeftSemi | JoinType::LeftAnti => return Some(left),
            JoinType::RightSemi | JoinType::RightAnti => return Some(right),
            _ => return None,
        }
        if left.is_none() && right.is_none() {
            return Some(None);
        }
        let count = |it: &LogicalPlan| it.schema().fields().len();
        let mut all = left.unwrap_or_else(|| vec![None; count(&join.left)]);
        all.extend(right.unwrap_or_else(|| vec![None; count(&join.right)]));
        Some(Some(all))
    }

    /// Returns columns that are equal to each other in all joins, one of each scan.
    fn class(&self) -> Option<Vec<Place>> {
        let turned = |(one, other)| [(one, other), (other, one)];
        let pairs = self.joins.iter().flatten().map(|(one, other)| (one, other));
        let pairs: Vec<(&Place, &Place)> = pairs.flat_map(turned).collect();
        let first = self.joins.first()?;
        first.iter().find_map(|(one, _)| {
            let class = equal_to(one, &pairs);
            let is_within =
                |(one, other): &(Place, Place)| class.contains(one) && class.contains(other);
            let ties_all = self.joins.iter().all(|it| it.iter().any(is_within));
            let is_one_each = class.len() == self.scans.len();
            (ties_all && is_one_each).then_some(class)
        })
    }

    /// Returns the column of each table, if equal values of all of them look the same.
    fn columns(&self, class: &[Place]) -> Option<BTreeMap<Name, String>> {
        let mut columns: BTreeMap<Name, String> = BTreeMap::new();
        let mut kinds = Vec::new();
        for (scan, column) in class {
            let (table, fields) = self.scans.get(*scan)?;
            kinds.push(fields.iter().find(|(it, _)| it == column)?.1.clone());
            let known = columns.insert(table.clone(), column.clone());
            if known.is_some_and(|it| it != *column) {
                return None; // A table joined with itself by two different columns.
            }
        }
        let first = kinds.first()?;
        let is_plain = first.is_integer()
            || matches!(
                first,
                DataType::Utf8
                    | DataType::Utf8View
                    | DataType::Boolean
                    | DataType::Date32
                    | DataType::Timestamp(..)
                    | DataType::Decimal128(..)
            );
        (is_plain && kinds.iter().all(|it| it == first)).then_some(columns)
    }
}

/// Returns the columns that these pairs say are equal to one, itself included.
fn equal_to(one: &Place, pairs: &[(&Place, &Place)]) -> Vec<Place> {
    let mut class = vec![one.clone()];
    let mut next = 0;
    while let Some(at) = class.get(next).cloned() {
        next += 1;
        let others = pairs.iter().filter(|(it, _)| **it == at).map(|(_, other)| *other);
        for other in others {
            if !class.contains(other) {
                class.push(other.clone());
            }
        }
    }
    class
}

/// Returns the plan with the key as one more column, the last.
fn with_key(plan: &LogicalPlan, walk: &mut Walk<'_>, class: &[Place]) -> Option<LogicalPlan> {
    let (input, mut exprs) = match plan {
        LogicalPlan::Projection(it) => (Arc::clone(&it.input), it.expr.clone()),
        other => (
            Arc::new(other.clone()),
            other.schema().columns().into_iter().map(Expr::Column).collect(),
        ),
    };
    let origins = walk.origins(&input)??;
    let is_key = |it: &Option<Origin>| {
        let found = it.as_ref().filter(|it| it.is_sure);
        found.is_some_and(|it| class.contains(&(it.scan, it.column.clone())))
    };
    let place = origins.iter().position(is_key)?;
    let key = Expr::Column(Column::from(input.schema().qualified_field(place)));
    exprs.push(key.alias_qualified(None::<TableReference>, KEY));
    Projection::try_new(exprs, input).ok().map(LogicalPlan::Projection)
}
