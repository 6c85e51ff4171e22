//! Conditions that a question learns while it runs, asked where rows are read, for as long as they
//! leave out nearly all of them.
//!
//! A join that has read its small side knows which keys the other side can match at all. Asked while
//! a file is read, that saves the other columns of the rows that are left out; where many rows pass
//! it costs more than it saves. So every now and then a few batches are asked, and what passes there
//! decides about the next. Leaving the condition out changes no answer: the join asks it again.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::datasource::physical_plan::{
    FileScanConfig, FileScanConfigBuilder, FileSource as _, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_expr::utils::{conjunction, split_conjunction};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

/// Batches after which a few are asked again, and how many those are.
const CYCLE: u64 = 64;
const ASKED: u64 = 2;

/// One row in so many may pass; measured on TPC-H, where one in twenty costs as much as it saves.
const PASS_ONE_IN: u64 = 32;

/// Lets scans without conditions of their own ask those that joins learn.
#[derive(Debug)]
pub(crate) struct AskWhileReading;

impl PhysicalOptimizerRule for AskWhileReading {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let replaced = plan.transform_up(|node| {
            Ok(match asking(&node) {
                Some(scan) => Transformed::yes(scan),
                None => Transformed::no(node),
            })
        });
        Ok(replaced?.data)
    }

    fn name(&self) -> &'static str {
        "ask_while_reading"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The same scan, which asks what is learnt; none if it is no such scan.
fn asking(node: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
    let scan = node.downcast_ref::<DataSourceExec>()?;
    let (config, source) = scan.downcast_to_file_source::<ParquetSource>()?;
    let condition = source.filter()?;
    let learnt = split_conjunction(&condition);
    // Conditions of the question itself stay above the scan, which asks them of all rows.
    if !learnt.iter().all(|it| it.downcast_ref::<DynamicFilterPhysicalExpr>().is_some()) {
        return None;
    }
    let learnt = learnt.into_iter().map(|it| Selective::of(Arc::clone(it)));
    let source = source.with_predicate(conjunction(learnt)).with_pushdown_filters(true);
    let config: FileScanConfig =
        FileScanConfigBuilder::from(config.clone()).with_source(Arc::new(source)).build();
    Some(DataSourceExec::from_data_source(config))
}

/// A condition that is asked while it leaves out nearly all rows.
#[derive(Debug)]
struct Selective {
    condition: Arc<dyn PhysicalExpr>,
    seen: Arc<Seen>,
}

/// What came of the batches that were asked; shared by all threads that read.
#[derive(Debug, Default)]
struct Seen {
    batches: AtomicU64,
    rows: AtomicU64,
    passed: AtomicU64,
}

impl Selective {
    fn of(condition: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
        Arc::new(Selective { condition, seen: Arc::default() })
    }
}

impl Seen {
    /// Whether the next batch is to be asked, and whether it is one to learn from.
    fn next(&self) -> (bool, bool) {
        let place = self.batches.fetch_add(1, Ordering::Relaxed) % CYCLE;
        if place == 0 {
            self.rows.store(0, Ordering::Relaxed);
            self.passed.store(0, Ordering::Relaxed);
        }
        let is_first = place < ASKED;
        let (rows, passed) = (&self.rows, &self.passed);
        let pays = passed.load(Ordering::Relaxed) * PASS_ONE_IN <= rows.load(Ordering::Relaxed);
        (is_first || pays, is_first)
    }

    fn note(&self, passed: &BooleanArray) {
        self.rows.fetch_add(passed.len() as u64, Ordering::Relaxed);
        self.passed.fetch_add(passed.true_count() as u64, Ordering::Relaxed);
    }
}

impl PhysicalExpr for Selective {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.condition.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.condition.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let (is_asked, is_first) = self.seen.next();
        if !is_asked {
            return Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))));
        }
        let passed = self.condition.evaluate(batch)?.into_array(batch.num_rows())?;
        if is_first {
            self.seen.note(as_boolean_array(&passed)?);
        }
        Ok(ColumnarValue::Array(passed))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.condition]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let Some(condition) = children.into_iter().next() else { return Ok(self) };
        Ok(Arc::new(Selective { condition, seen: Arc::clone(&self.seen) }))
    }

    /// What is known of a file's bounds is compared with the condition itself.
    fn snapshot(&self) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        Ok(Some(Arc::clone(&self.condition)))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt_sql(f)
    }
}

impl fmt::Display for Selective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.condition)
    }
}

impl PartialEq for Selective {
    fn eq(&self, other: &Self) -> bool {
        self.condition.eq(&other.condition) && Arc::ptr_eq(&self.seen, &other.seen)
    }
}

impl Eq for Selective {}

impl Hash for Selective {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.condition.hash(state);
    }
}

#[cfg(test)]
mod tests;
