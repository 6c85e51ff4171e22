use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use expect_test::{Expect, expect};

use super::{Check, Checks};
use crate::session;

fn batch(values: &[Option<i64>]) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from(values.to_vec()))])
        .unwrap()
}

fn declared(name: &str, sql: &str) -> spec::Check {
    let sql = spec::SqlText::outside("test", sql);
    spec::Check { name: name.to_owned(), sql }
}

fn check(sqls: &[&str], values: &[Option<i64>], expected: &Expect) {
    let session = session::for_ticks().unwrap();
    let batch = batch(values);
    let names = ["first", "second", "third"];
    let all: Vec<_> = names.iter().zip(sqls).map(|(name, sql)| declared(name, sql)).collect();
    let mut checks = Checks::new(&session, &all, &batch.schema()).unwrap();
    let judged = checks.judge(&session, 0, batch).unwrap();
    let mut text = format!("{} passed\n", judged.passed.num_rows());
    for it in judged.failed {
        text += &format!("{}: {:?}: {}\n", it.row, it.checks, it.message);
    }
    expected.assert_eq(&text);
}

#[test]
fn a_row_passes_only_if_every_check_is_true() {
    check(
        &["a > 1", "a < 10"],
        &[Some(5), Some(0), None, Some(11)],
        &expect![[r#"
            1 passed
            1: ["first"]: check `first`: `a > 1` is false
            2: ["first", "second"]: check `first`: `a > 1` is NULL
            3: ["second"]: check `second`: `a < 10` is false
        "#]],
    );
}

#[test]
fn an_error_costs_only_its_row() {
    check(
        &["10 / a > 1"],
        &[Some(1), Some(2), Some(0), Some(4), None, Some(0), Some(20)],
        &expect![[r#"
            3 passed
            2: ["first"]: check `first` could not be computed: Arrow error: Divide by zero error
            4: ["first"]: check `first`: `10 / a > 1` is NULL
            5: ["first"]: check `first` could not be computed: Arrow error: Divide by zero error
            6: ["first"]: check `first`: `10 / a > 1` is false
        "#]],
    );
}

#[test]
fn a_constant_is_a_check_too() {
    check(&["true"], &[Some(1)], &expect!["1 passed\n"]);
    check(
        &["NULL"],
        &[Some(1)],
        &expect![[r#"
            0 passed
            0: ["first"]: check `first`: `NULL` is NULL
        "#]],
    );
    check(&["a > 1"], &[], &expect!["0 passed\n"]);
}

#[test]
fn what_is_not_true_or_false_is_refused() {
    let session = session::for_ticks().unwrap();
    let error = Check::new(&session, &declared("sum", "a + 1"), &batch(&[]).schema()).unwrap_err();
    assert!(error.to_string().contains("gives Int64, not true or false"), "{error}");
}
