use expect_test::{Expect, expect};

use super::{split_place, types};

#[expect(clippy::needless_pass_by_value, reason = "the shape of all expect tests")]
fn check(text: &str, expected: Expect) {
    expected.assert_eq(&types(text));
}

#[test]
fn types_are_written_as_in_a_project() {
    check("Utf8View and Int64", expect!["text and int"]);
    check("Timestamp(µs, \"UTC\") or Decimal128(10, 2)", expect!["timestamp or decimal(10, 2)"]);
    check("List(Float64), Interval(MonthDayNano)", expect!["List(float), interval"]);
    check("Timestamp(µs", expect!["timestamp(µs"]);
}

#[test]
fn places_are_split_off() {
    assert_eq!(split_place("bad at Line: 2, Column: 7"), ("bad", Some((2, 7))));
    assert_eq!(split_place("bad at Line: x, Column: 7"), ("bad at Line: x, Column: 7", None));
    assert_eq!(split_place("bad"), ("bad", None));
}
