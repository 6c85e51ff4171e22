use arrow::util::pretty::pretty_format_batches;
use expect_test::{Expect, expect};

use super::{Window, window};
use crate::context::{ContextSettings, context};

async fn answer(sql: &str) -> String {
    let ctx = context(&ContextSettings { partitions: 1, ..ContextSettings::default() }).unwrap();
    let asked = async { ctx.sql(sql).await?.collect().await };
    match asked.await {
        Ok(rows) => format!("{}\n", pretty_format_batches(&rows).unwrap()),
        Err(error) => format!("{}\n", error.strip_backtrace()),
    }
}

async fn check(sql: &str, expected: Expect) {
    expected.assert_eq(&answer(sql).await);
}

#[tokio::test]
async fn moments_lie_in_their_window() {
    check(
        "SELECT ts, tumble(ts, '1 minute') AS minute, tumble(ts, INTERVAL '15 minutes') AS quarter FROM (VALUES \
         (TIMESTAMP '2026-01-05T10:00:00'), (TIMESTAMP '2026-01-05T10:00:59.999999'), (TIMESTAMP '2026-01-05T10:14:59'), \
         (TIMESTAMP '1969-12-31T23:59:59.5'), (TIMESTAMP '1969-12-31T23:59:00'), (NULL)) AS t(ts)",
        expect![[r#"
            +----------------------------+---------------------+---------------------+
            | ts                         | minute              | quarter             |
            +----------------------------+---------------------+---------------------+
            | 2026-01-05T10:00:00        | 2026-01-05T10:00:00 | 2026-01-05T10:00:00 |
            | 2026-01-05T10:00:59.999999 | 2026-01-05T10:00:00 | 2026-01-05T10:00:00 |
            | 2026-01-05T10:14:59        | 2026-01-05T10:14:00 | 2026-01-05T10:00:00 |
            | 1969-12-31T23:59:59.500    | 1969-12-31T23:59:00 | 1969-12-31T23:45:00 |
            | 1969-12-31T23:59:00        | 1969-12-31T23:59:00 | 1969-12-31T23:45:00 |
            |                            |                     |                     |
            +----------------------------+---------------------+---------------------+
        "#]],
    )
    .await;
}

#[tokio::test]
async fn precision_and_zone_stay() {
    check(
        "SELECT arrow_typeof(tumble(arrow_cast(ts, 'Timestamp(Second, None)'), '1 minute')) AS s, \
         arrow_typeof(tumble(arrow_cast(ts, 'Timestamp(Millisecond, Some(\"Europe/Paris\"))'), '1 minute')) AS ms, \
         arrow_typeof(tumble(arrow_cast(ts, 'Timestamp(Microsecond, Some(\"UTC\"))'), '1 minute')) AS us, \
         arrow_typeof(tumble(ts, '1 minute')) AS ns, \
         arrow_typeof(tumble(DATE '2026-01-05', '1 hour')) AS d, \
         tumble(DATE '2026-01-06', '7 days') AS week, tumble(NULL, '1 minute') AS nothing \
         FROM (VALUES (TIMESTAMP '2026-01-05T10:00:00')) AS t(ts)",
        expect![[r#"
            +--------------+-------------------------------+----------------------+---------------+----------------------+----------------------+---------+
            | s            | ms                            | us                   | ns            | d                    | week                 | nothing |
            +--------------+-------------------------------+----------------------+---------------+----------------------+----------------------+---------+
            | Timestamp(s) | Timestamp(ms, "Europe/Paris") | Timestamp(µs, "UTC") | Timestamp(ns) | Timestamp(µs, "UTC") | 2026-01-01T00:00:00Z |         |
            +--------------+-------------------------------+----------------------+---------------+----------------------+----------------------+---------+
        "#]],
    )
    .await;
}

#[tokio::test]
async fn windows_group_sort_and_filter() {
    check(
        "SELECT tumble(ts, '1 hour 30 minutes') AS w, count(*) AS n FROM (VALUES \
         (TIMESTAMP '2026-01-05T10:00:00'), (TIMESTAMP '2026-01-05T10:20:00'), (TIMESTAMP '2026-01-05T10:40:00')) AS t(ts) \
         WHERE tumble(ts, '1 day') = TIMESTAMP '2026-01-05T00:00:00' GROUP BY w HAVING count(*) > 0 ORDER BY w",
        expect![[r#"
            +---------------------+---+
            | w                   | n |
            +---------------------+---+
            | 2026-01-05T09:00:00 | 2 |
            | 2026-01-05T10:30:00 | 1 |
            +---------------------+---+
        "#]],
    )
    .await;
}

#[tokio::test]
async fn sizes_that_cannot_be_are_refused() {
    for (size, expected) in [
        ("'1 month'", "no fixed length"),
        ("'2 years'", "no fixed length"),
        ("INTERVAL '1 month'", "no fixed length"),
        ("'0 seconds'", "above zero"),
        ("INTERVAL '-1 minute'", "above zero"),
        ("'1 minut'", "is not the size of a window"),
        ("''", "is not the size of a window"),
        ("'500 years'", "no fixed length"),
        ("'99999999 weeks'", "too long"),
        ("5", "an interval or words"),
        ("NULL", "an interval or words"),
        ("x", "must be a constant"),
    ] {
        let sql = format!(
            "SELECT tumble(ts, {size}) FROM (VALUES (TIMESTAMP '2026-01-05', 'a')) AS t(ts, x)"
        );
        let told = answer(&sql).await;
        assert!(told.contains(expected), "{size}: {told}");
    }
    let fine =
        "SELECT tumble(arrow_cast(TIMESTAMP '2026-01-05', 'Timestamp(Second, None)'), '10 ms')";
    assert!(answer(fine).await.contains("cannot be finer"));
}

#[tokio::test]
async fn a_constant_call_is_folded_and_a_call_in_a_plan_is_found() {
    let ctx = context(&ContextSettings::default()).unwrap();
    let frame = ctx
        .sql("SELECT tumble(ts, '1 minute') AS w FROM (VALUES (TIMESTAMP '2026-01-05')) AS t(ts)")
        .await
        .unwrap();
    let expressions = frame.logical_plan().expressions();
    let found: Vec<Window> = expressions.iter().filter_map(window).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].size_ns, 60_000_000_000);
    assert_eq!(found[0].time.to_string(), "t.ts");
    let constant = ctx
        .sql("SELECT tumble(TIMESTAMP '2026-01-05T10:00:10', INTERVAL '1' MINUTE) AS w")
        .await
        .unwrap();
    let plan = constant.into_optimized_plan().unwrap().to_string();
    assert!(!plan.contains("tumble("), "{plan}");
}

proptest::proptest! {
    #[test]
    fn a_moment_lies_between_its_window_and_the_next(time in i64::MIN / 2..i64::MAX / 2, size_us in 1_i64..10_000_000_000) {
        use std::sync::Arc;
        use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
        use arrow::datatypes::TimestampMicrosecondType;
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(time), None]));
        let starts = super::starts(&times, size_us * 1_000).unwrap();
        let starts = starts.as_primitive::<TimestampMicrosecondType>();
        let start = starts.value(0);
        proptest::prop_assert!(start <= time && time - start < size_us && start % size_us == 0);
        proptest::prop_assert!(starts.is_null(1));
    }
}
