use expect_test::{Expect, expect};

use super::{Row, compare, side_by_side};

fn rows(lines: &str) -> Vec<Row> {
    lines.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
}

fn check(expected: &str, actual: &str, difference: &Expect) {
    let found = compare(&rows(expected), &rows(actual));
    let text = if found.is_empty() { "same".to_owned() } else { side_by_side(&found) };
    // The expectations below lose the margin that all lines have.
    let text: String =
        text.lines().map(|it| format!("{}\n", it.strip_prefix("      ").unwrap_or(it))).collect();
    difference.assert_eq(&text);
}

#[test]
fn order_unnamed_columns_zeros_and_zones_do_not_matter() {
    check(
        "{\"a\":1}\n{\"t\":\"2026-01-05T11:00:00+01:00\",\"a\":2.50}",
        "{\"a\":\"2.5\",\"t\":\"2026-01-05T10:00:00Z\",\"b\":9}\n{\"a\":1.00}",
        &expect![["same\n"]],
    );
    check(
        "{\"t\":\"2026-01-05 10:00:00\"}",
        "{\"t\":\"2026-01-05T10:00:00.000000Z\"}",
        &expect![["same\n"]],
    );
    check("{\"a\":0.30000000000000004}", "{\"a\":0.3}", &expect![["same\n"]]);
}

#[test]
fn a_row_counts_once() {
    check(
        "{\"a\":1}\n{\"a\":1}",
        "{\"a\":1}",
        &expect![[r#"
                  expected, but missing  │ came out, but not expected
                  ─────────────────────  │ ──────────────────────────────
                  a=1                    │ (none)
                  (1 more rows are as expected)
        "#]],
    );
}

#[test]
fn a_general_row_leaves_the_special_one_its_partner() {
    check(
        "{\"a\":1}\n{\"a\":1,\"b\":2}",
        "{\"a\":1,\"b\":2}\n{\"a\":1,\"b\":3}",
        &expect![["same\n"]],
    );
}

#[test]
fn both_sides_are_shown() {
    check(
        "{\"a\":1,\"b\":\"x\"}\n{\"a\":2}",
        "{\"a\":2}\n{\"a\":3,\"b\":null}",
        &expect![[r#"
                  expected, but missing  │ came out, but not expected
                  ─────────────────────  │ ──────────────────────────────
                  a=1 b="x"              │ a=3 b=null
                  (1 more rows are as expected)
        "#]],
    );
}

#[test]
fn money_is_compared_exactly() {
    check(
        "{\"a\":10.01}",
        "{\"a\":10.010000001}",
        &expect![[r#"
                  expected, but missing  │ came out, but not expected
                  ─────────────────────  │ ──────────────────────────────
                  a=10.01                │ a=10.010000001
        "#]],
    );
}
