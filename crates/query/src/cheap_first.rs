//! The conditions of a filter in the order of what they cost.
//!
//! The engine asks the conditions of an `AND` as they are written, one row's worth of all columns
//! filtered after each that few rows pass. Here those that only compare numbers and moments come first,
//! for all rows of a batch, a few instructions each; the others are then asked of the rows that are
//! left, with only the columns that they need, or of all if most are left.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{and, filter_record_batch, prep_null_mask_filter};
use arrow::datatypes::{DataType, Schema};
use arrow::util::bit_util::set_bit;
use datafusion::common::Result;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion::physical_expr::utils::{
    collect_columns, conjunction, reassign_expr_columns, split_conjunction,
};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

/// Rows are taken out for the other conditions if at most one in so many is left.
const LEFT_ONE_IN: usize = 3;

/// See the module.
#[derive(Debug)]
pub(crate) struct CheapFirst;

impl PhysicalOptimizerRule for CheapFirst {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let replaced = plan.transform_up(|node| {
            Ok(match in_order(&node)? {
                Some(filter) => Transformed::yes(filter),
                None => Transformed::no(node),
            })
        });
        Ok(replaced?.data)
    }

    fn name(&self) -> &'static str {
        "cheap_first"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The same filter in another order; none if there is nothing to order.
fn in_order(node: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(filter) = node.downcast_ref::<FilterExec>() else { return Ok(None) };
    let schema = filter.input().schema();
    let conditions = split_conjunction(filter.predicate());
    if conditions.len() < 2 {
        return Ok(None);
    }
    let (mut cheap, mut rest) = (Vec::new(), Vec::new());
    for condition in conditions {
        match cost(condition, &schema) {
            Some(cost) => cheap.push((cost, Arc::clone(condition))),
            None => rest.push(Arc::clone(condition)),
        }
    }
    if cheap.is_empty() {
        return Ok(None);
    }
    cheap.sort_by_key(|(cost, _)| *cost);
    let cheap = cheap.into_iter().map(|(_, it)| it).collect();
    let rest = match rest.len() {
        0 => None,
        _ => Some(Rest::of(conjunction(rest), &schema)?),
    };
    let predicate = Arc::new(InOrder { cheap, rest });
    let filter = FilterExecBuilder::from(filter).with_predicate(predicate).build()?;
    Ok(Some(Arc::new(filter)))
}

/// What a comparison costs: less with a value than with another column. None if it is no
/// comparison of numbers or moments, which cannot fail.
fn cost(condition: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<u8> {
    let comparison = condition.downcast_ref::<BinaryExpr>()?;
    let is_comparison = matches!(
        comparison.op(),
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
    );
    if !is_comparison {
        return None;
    }
    let of_side = |side: &Arc<dyn PhysicalExpr>| {
        let is_primitive = side.data_type(schema).is_ok_and(|it| it.is_primitive());
        if side.downcast_ref::<Column>().is_some() {
            return is_primitive.then_some(1);
        }
        (is_primitive && side.downcast_ref::<Literal>().is_some()).then_some(0)
    };
    Some(of_side(comparison.left())? + of_side(comparison.right())?)
}

/// All conditions of a filter.
#[derive(Debug, PartialEq, Eq, Hash)]
struct InOrder {
    cheap: Vec<Arc<dyn PhysicalExpr>>,
    rest: Option<Rest>,
}

/// Conditions that are asked of the rows that are left.
#[derive(Debug)]
struct Rest {
    condition: Arc<dyn PhysicalExpr>,
    /// The places of the columns that it needs, and the same condition over these.
    places: Vec<usize>,
    narrow: Arc<dyn PhysicalExpr>,
}

impl Rest {
    fn of(condition: Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Rest> {
        let mut places: Vec<usize> =
            collect_columns(&condition).iter().map(Column::index).collect();
        places.sort_unstable();
        let columns = schema.project(&places)?;
        // Two columns of one name cannot be told apart by it: then all are taken along.
        let names = columns.fields().iter().map(|it| it.name());
        let is_told = {
            let mut names: Vec<&String> = names.collect();
            names.sort_unstable();
            names.windows(2).all(|it| it.first() != it.last())
        };
        if !is_told {
            let places = (0..schema.fields().len()).collect();
            return Ok(Rest { narrow: Arc::clone(&condition), condition, places });
        }
        let narrow = reassign_expr_columns(Arc::clone(&condition), &columns)?;
        Ok(Rest { condition, places, narrow })
    }

    fn ask(&self, batch: &RecordBatch, left: BooleanArray) -> Result<BooleanArray> {
        let count = left.true_count();
        if batch.num_rows() < count.saturating_mul(LEFT_ONE_IN) {
            return Ok(and(&left, &asked(&self.condition, batch)?)?);
        }
        let narrow = batch.project(&self.places)?;
        let passed = asked(&self.narrow, &filter_record_batch(&narrow, &left)?)?;
        Ok(if passed.true_count() == count { left } else { among(&left, &passed) })
    }
}

/// Asks a condition; NULL does not pass.
fn asked(condition: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<BooleanArray> {
    let passed = condition.evaluate(batch)?.into_array(batch.num_rows())?;
    let passed = as_boolean_array(&passed)?;
    Ok(if passed.null_count() == 0 { passed.clone() } else { prep_null_mask_filter(passed) })
}

/// Returns which of all rows passed, where `passed` tells it of those that were left.
fn among(left: &BooleanArray, passed: &BooleanArray) -> BooleanArray {
    let mut bits = vec![0_u8; left.len().div_ceil(8)];
    for (row, has_passed) in left.values().set_indices().zip(passed.values()) {
        if has_passed {
            set_bit(&mut bits, row);
        }
    }
    BooleanArray::new(BooleanBuffer::new(bits.into(), 0, left.len()), None)
}

impl PhysicalExpr for InOrder {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(false)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let mut left: Option<BooleanArray> = None;
        for condition in &self.cheap {
            let passed = asked(condition, batch)?;
            let both = match left {
                Some(left) => and(&left, &passed)?,
                None => passed,
            };
            if !both.has_true() {
                return Ok(ColumnarValue::Array(Arc::new(both)));
            }
            left = Some(both);
        }
        let left = match (left, &self.rest) {
            (Some(left), Some(rest)) => rest.ask(batch, left)?,
            (Some(left), None) => left,
            (None, _) => BooleanArray::from(vec![true; batch.num_rows()]),
        };
        Ok(ColumnarValue::Array(Arc::new(left)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.cheap.iter().chain(self.rest.as_ref().map(|it| &it.condition)).collect()
    }

    /// Another plan may have other columns: the conditions are put together as the engine does.
    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(conjunction(children))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, condition) in self.children().into_iter().enumerate() {
            f.write_str(if place == 0 { "" } else { " AND " })?;
            condition.fmt_sql(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for InOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, condition) in self.children().into_iter().enumerate() {
            write!(f, "{}{condition}", if place == 0 { "" } else { " AND " })?;
        }
        Ok(())
    }
}

impl PartialEq for Rest {
    fn eq(&self, other: &Self) -> bool {
        self.condition.eq(&other.condition)
    }
}

impl Eq for Rest {}

impl Hash for Rest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.condition.hash(state);
    }
}

#[cfg(test)]
mod tests;
