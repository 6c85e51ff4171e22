use arrow::util::pretty::pretty_format_batches;
use expect_test::{Expect, expect};

use super::{Shape, Window, window};
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
    let minute = 60_000_000_000;
    assert_eq!(found[0].shape, Shape::Fixed { slide_ns: minute, size_ns: minute });
    assert_eq!(found[0].time.to_string(), "t.ts");
    let constant = ctx
        .sql("SELECT tumble(TIMESTAMP '2026-01-05T10:00:10', INTERVAL '1' MINUTE) AS w")
        .await
        .unwrap();
    let plan = constant.into_optimized_plan().unwrap().to_string();
    assert!(!plan.contains("tumble("), "{plan}");
}

const VISITS: &str = "(VALUES \
    (TIMESTAMP '2026-01-05T10:00:30', 'a', 1), (TIMESTAMP '2026-01-05T10:01:10', 'a', 2), \
    (TIMESTAMP '2026-01-05T10:04:10', 'a', 4), (TIMESTAMP '2026-01-05T10:04:11', 'b', 8), \
    (TIMESTAMP '1969-12-31T23:59:59.5', 'a', 16), (NULL, 'a', 32)) AS t(ts, who, n)";

#[tokio::test]
async fn a_row_counts_in_every_hop_it_lies_in() {
    let sql = format!(
        "SELECT hop(ts, '1 minute', '2 minutes') AS start, window_end(hop(ts, '1 minute', '2 minutes')) AS until, \
         sum(n) AS total FROM {VISITS} GROUP BY start ORDER BY start NULLS LAST"
    );
    check(
        &sql,
        expect![[r#"
            +---------------------+---------------------+-------+
            | start               | until               | total |
            +---------------------+---------------------+-------+
            | 1969-12-31T23:58:00 | 1970-01-01T00:00:00 | 16    |
            | 1969-12-31T23:59:00 | 1970-01-01T00:01:00 | 16    |
            | 2026-01-05T09:59:00 | 2026-01-05T10:01:00 | 1     |
            | 2026-01-05T10:00:00 | 2026-01-05T10:02:00 | 3     |
            | 2026-01-05T10:01:00 | 2026-01-05T10:03:00 | 2     |
            | 2026-01-05T10:03:00 | 2026-01-05T10:05:00 | 12    |
            | 2026-01-05T10:04:00 | 2026-01-05T10:06:00 | 12    |
            |                     |                     | 32    |
            +---------------------+---------------------+-------+
        "#]],
    )
    .await;
}

#[tokio::test]
async fn hops_need_not_be_a_multiple_of_each_other() {
    // 90 seconds every 60.
    let sql = format!(
        "SELECT hop(ts, INTERVAL '1 minute', INTERVAL '90 seconds') AS start, count(*) AS n FROM {VISITS} \
         WHERE who = 'b' OR n < 3 GROUP BY hop(ts, INTERVAL '1 minute', INTERVAL '90 seconds') ORDER BY start"
    );
    check(
        &sql,
        expect![[r#"
            +---------------------+---+
            | start               | n |
            +---------------------+---+
            | 2026-01-05T10:00:00 | 2 |
            | 2026-01-05T10:01:00 | 1 |
            | 2026-01-05T10:03:00 | 1 |
            | 2026-01-05T10:04:00 | 1 |
            +---------------------+---+
        "#]],
    )
    .await;
}

#[tokio::test]
async fn rows_of_a_key_that_follow_each_other_are_one_session() {
    let sql = format!(
        "SELECT who, session(ts, '3 minutes') AS start, max(ts) AS last, count(*) AS rows, sum(n) AS total \
         FROM {VISITS} GROUP BY who, start HAVING count(*) > 0 ORDER BY who, start NULLS LAST"
    );
    check(
        &sql,
        expect![[r#"
            +-----+-------------------------+-------------------------+------+-------+
            | who | start                   | last                    | rows | total |
            +-----+-------------------------+-------------------------+------+-------+
            | a   | 1969-12-31T23:59:59.500 | 1969-12-31T23:59:59.500 | 1    | 16    |
            | a   | 2026-01-05T10:00:30     | 2026-01-05T10:04:10     | 3    | 7     |
            | a   |                         |                         | 1    | 32    |
            | b   | 2026-01-05T10:04:11     | 2026-01-05T10:04:11     | 1    | 8     |
            +-----+-------------------------+-------------------------+------+-------+
        "#]],
    )
    .await;
    // One second less, and the pause of three minutes ends the session.
    let sql = format!(
        "SELECT session(ts, '2 minutes 59 seconds') AS start, count(*) AS n FROM {VISITS} \
         WHERE who = 'a' GROUP BY start ORDER BY start NULLS LAST"
    );
    check(
        &sql,
        expect![[r#"
            +-------------------------+---+
            | start                   | n |
            +-------------------------+---+
            | 1969-12-31T23:59:59.500 | 1 |
            | 2026-01-05T10:00:30     | 2 |
            | 2026-01-05T10:04:10     | 1 |
            |                         | 1 |
            +-------------------------+---+
        "#]],
    )
    .await;
}

#[tokio::test]
async fn windows_out_of_place_are_refused_with_what_to_write() {
    for (sql, expected) in [
        ("SELECT hop(ts, '1 minute', '2 minutes') AS w FROM t", "it stands in GROUP BY"),
        ("SELECT session(ts, '1 minute') AS w FROM t", "it stands in GROUP BY"),
        (
            "SELECT count(*) AS n FROM t GROUP BY hop(ts, '2 minutes', '1 minute')",
            "would leave rows out",
        ),
        ("SELECT count(*) AS n FROM t GROUP BY hop(ts, '1 ms', '1 day')", "more than 8640 windows"),
        ("SELECT count(*) AS n FROM t GROUP BY hop(ts, '1 minute')", "every minute, of ten"),
        (
            "SELECT session(ts, '1 minute') AS s, window_end(session(ts, '1 minute')) AS e FROM t GROUP BY s",
            "no size of its own",
        ),
        ("SELECT window_end(ts) AS e FROM t", "needs a window of the GROUP BY"),
        (
            "SELECT count(*) AS n FROM t GROUP BY session(ts, '1 minute'), hop(ts, '1 minute', '1 hour')",
            "it stands in GROUP BY",
        ),
    ] {
        let sql = sql.replace("FROM t", "FROM (VALUES (TIMESTAMP '2026-01-05')) AS t(ts)");
        let told = answer(&sql).await;
        assert!(told.contains(expected), "{sql}: {told}");
    }
}

#[tokio::test]
async fn windows_stand_beside_other_times_in_a_union() {
    for window in ["hop(ts, '1 minute', '1 minute')", "session(ts, '1 minute')"] {
        let t = "(VALUES (TIMESTAMP '2026-01-05')) AS t(ts)";
        let sql = format!(
            "SELECT w FROM (SELECT {window} AS w, count(*) FROM {t} GROUP BY w) x UNION ALL SELECT ts FROM {t}"
        );
        let told = answer(&sql).await;
        assert_eq!(told.matches("2026-01-05T00:00:00").count(), 2, "{told}");
    }
}

proptest::proptest! {
    #[test]
    fn a_moment_lies_in_all_its_hops(time in i64::MIN / 2..i64::MAX / 2, slide_us in 1_i64..1_000, size_us in 1_i64..100_000) {
        use std::sync::Arc;
        use arrow::array::{ArrayRef, AsArray, TimestampMicrosecondArray};
        use arrow::datatypes::TimestampMicrosecondType;
        let size_us = size_us.max(slide_us);
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![time]));
        let starts = super::starts::hop(&times, slide_us * 1_000, size_us * 1_000).unwrap();
        let starts = starts.as_list::<i32>().value(0);
        let starts = starts.as_primitive::<TimestampMicrosecondType>().values().to_vec();
        let count = i64::try_from(starts.len()).unwrap();
        proptest::prop_assert!(size_us / slide_us <= count && count <= size_us / slide_us + 1);
        for start in starts {
            proptest::prop_assert!(start <= time && time - start < size_us && start.rem_euclid(slide_us) == 0);
        }
    }

    #[test]
    fn a_moment_lies_between_its_window_and_the_next(time in i64::MIN / 2..i64::MAX / 2, size_us in 1_i64..10_000_000_000) {
        use std::sync::Arc;
        use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
        use arrow::datatypes::TimestampMicrosecondType;
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(time), None]));
        let starts = super::starts::tumble(&times, size_us * 1_000).unwrap();
        let starts = starts.as_primitive::<TimestampMicrosecondType>();
        let start = starts.value(0);
        proptest::prop_assert!(start <= time && time - start < size_us && start % size_us == 0);
        proptest::prop_assert!(starts.is_null(1));
    }
}
