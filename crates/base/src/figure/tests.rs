use expect_test::{Expect, expect};

use super::*;

fn figure(what: &str, ours: f64) -> Figure {
    Figure {
        what: what.to_owned(),
        ours,
        limit: Some(("bare".to_owned(), 2e6)),
        unit: "records/s",
        goal: "≥ 0.5",
        note: String::new(),
    }
}

fn check(between: &str, figures: &[Figure], expected: &Expect) {
    let text = format!("before\n<!-- bench -->\n{HEAD}{between}<!-- /bench -->\nafter\n");
    expected.assert_eq(&merge(&text, figures).unwrap_or_default());
}

#[test]
fn rows_are_replaced_by_name_and_others_stay() {
    check(
        "| journal | 1 |\n| puts | 2 |\n| shop | 3 |\n",
        &[figure("small puts", 5e5), figure("puts", 1.5e6), figure("puts, signed", 1e6)],
        &expect![[r#"
            before
            <!-- bench -->
            | measurement | ours | limit in the same run | ratio | goal | |
            |---|--:|--:|--:|---|---|
            | journal | 1 |
            | small puts | 500 k records/s | 2.00 M records/s (bare) | 0.25 | ≥ 0.5 |  |
            | puts | 1.50 M records/s | 2.00 M records/s (bare) | 0.75 | ≥ 0.5 |  |
            | puts, signed | 1.00 M records/s | 2.00 M records/s (bare) | 0.50 | ≥ 0.5 |  |
            | shop | 3 |
            <!-- /bench -->
            after
        "#]],
    );
}

#[test]
fn what_is_new_comes_last() {
    check(
        "| journal | 1 |\n",
        &[figure("puts", 150.0)],
        &expect![[r#"
            before
            <!-- bench -->
            | measurement | ours | limit in the same run | ratio | goal | |
            |---|--:|--:|--:|---|---|
            | journal | 1 |
            | puts | 150 records/s | 2.00 M records/s (bare) | 0.00 | ≥ 0.5 |  |
            <!-- /bench -->
            after
        "#]],
    );
}

#[test]
fn a_file_without_marks_is_left_alone() {
    assert_eq!(merge("# Speed\n", &[figure("puts", 1.0)]), None);
}

#[test]
fn a_percentile_of_nothing_is_nothing() {
    assert!(percentile(&[], 0.99) < f64::EPSILON);
}

#[test]
fn seconds_are_within_bounds() {
    assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
    for text in ["0", "-1", "601", "NaN", "inf", "five", ""] {
        assert!(seconds(text).is_err(), "{text}");
    }
}
