use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::cast::as_boolean_array;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{binary, col, lit};
use datafusion::physical_plan::PhysicalExpr;

use super::{ASKED, CYCLE, Selective};

fn batch(values: std::ops::Range<i64>) -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from_iter_values(values))]).unwrap()
}

fn below(most: i64) -> Arc<dyn PhysicalExpr> {
    let schema = batch(0..1).schema();
    Selective::of(binary(col("n", &schema).unwrap(), Operator::Lt, lit(most), &schema).unwrap())
}

/// How many of a thousand rows pass.
fn passed(condition: &Arc<dyn PhysicalExpr>) -> usize {
    let value = condition.evaluate(&batch(0..1_000)).unwrap().into_array(1_000).unwrap();
    as_boolean_array(&value).unwrap().true_count()
}

#[test]
fn a_condition_that_leaves_out_nearly_all_rows_goes_on_being_asked() {
    let condition = below(10);
    assert!((0..2 * CYCLE).all(|_| passed(&condition) == 10));
}

#[test]
fn one_that_many_rows_pass_is_asked_now_and_then_only() {
    let condition = below(500);
    let asked = (0..2 * CYCLE).filter(|_| passed(&condition) == 500).count() as u64;
    assert_eq!(asked, 2 * ASKED, "all others let all rows pass");
}

#[test]
fn bounds_of_files_are_compared_with_the_condition_itself() {
    let condition = below(10);
    let known = condition.snapshot().unwrap().unwrap();
    assert_eq!(known.to_string(), "n@0 < 10");
    assert_eq!(condition.to_string(), "n@0 < 10");
}
