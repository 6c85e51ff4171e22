use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::util::pretty::pretty_format_batches;
use base::time::{Clock, ManualClock};
use expect_test::{Expect, expect};

use super::Engine;
use crate::context::ContextSettings;
use crate::sample::{self, Sample};

async fn answer(engine: &Engine, sql: &str) -> String {
    let asked = async { engine.ask(sql).await?.all(1_000).await };
    match asked.await {
        Ok(batches) if batches.is_empty() => "no rows\n".to_owned(),
        Ok(batches) => format!("{}\n", pretty_format_batches(&batches).unwrap()),
        Err(error) => {
            let place = error.range.clone().and_then(|it| sql.get(it)).unwrap_or_default();
            format!("{} at `{place}`: {error}\n", error.sqlstate)
        }
    }
}

async fn check(sql: &str, expected: Expect) {
    expected.assert_eq(&answer(&sample::engine(), sql).await);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a list of cases reads best whole")]
async fn questions_are_answered() {
    check(
        "SELECT region, sum(total) AS total FROM orders GROUP BY region ORDER BY region",
        expect![[r#"
            +--------+-------+
            | region | total |
            +--------+-------+
            | DE     | 10.50 |
            | FR     | 20.00 |
            |        |       |
            +--------+-------+
        "#]],
    )
    .await;
    check("SELECT tumble(ts, '1 minute') AS minute, count(*) AS n FROM orders GROUP BY minute ORDER BY minute", expect![[r#"
        +----------------------+---+
        | minute               | n |
        +----------------------+---+
        | 2026-01-05T10:00:00Z | 2 |
        | 2026-01-05T10:01:00Z | 1 |
        +----------------------+---+
    "#]]).await;
    check("SELECT order_id FROM orders WHERE tumble(ts, INTERVAL '1 minute') = '2026-01-05T10:01:00Z'", expect![[r#"
        +----------+
        | order_id |
        +----------+
        | 3        |
        +----------+
    "#]]).await;
    check(
        "WITH a AS (SELECT 1 AS one) SELECT * FROM a UNION ALL VALUES (2) ORDER BY one",
        expect![[r#"
            +-----+
            | one |
            +-----+
            | 1   |
            | 2   |
            +-----+
        "#]],
    )
    .await;
    check(
        "SELECT 0.1 + 0.2 AS exact, 1.5 * 2 AS three, round(2.345, 2) AS r, sqrt(2.0) > 1.41 AS s",
        expect![[r#"
            +-------+-------+------+------+
            | exact | three | r    | s    |
            +-------+-------+------+------+
            | 0.3   | 3.0   | 2.35 | true |
            +-------+-------+------+------+
        "#]],
    )
    .await;
    check(
        "SELECT '{\"a\": {\"b\": 7}}' -> 'a' ->> 'b' AS b",
        expect![[r#"
        +---+
        | b |
        +---+
        | 7 |
        +---+
    "#]],
    )
    .await;
    check(
        "DESCRIBE sales_by_minute",
        expect![[r#"
        +-------------+----------------------+-------------+
        | column_name | data_type            | is_nullable |
        +-------------+----------------------+-------------+
        | minute      | Timestamp(µs, "UTC") | YES         |
        | orders      | Int64                | YES         |
        +-------------+----------------------+-------------+
    "#]],
    )
    .await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a list of cases reads best whole")]
async fn hidden_columns_are_shown_when_asked_for() {
    check(
        "SELECT * FROM sales_by_minute",
        expect![[r#"
        +----------------------+--------+
        | minute               | orders |
        +----------------------+--------+
        | 2026-01-05T10:00:00Z | 2      |
        | 2026-01-05T10:01:00Z | 1      |
        +----------------------+--------+
    "#]],
    )
    .await;
    check(
        "SELECT *, _final FROM sales_by_minute WHERE NOT _final",
        expect![[r#"
        +----------------------+--------+--------+
        | minute               | orders | _final |
        +----------------------+--------+--------+
        | 2026-01-05T10:01:00Z | 1      | false  |
        +----------------------+--------+--------+
    "#]],
    )
    .await;
    check(
        "SELECT * FROM sales_by_minute ORDER BY _final",
        expect![[r#"
        +----------------------+--------+
        | minute               | orders |
        +----------------------+--------+
        | 2026-01-05T10:01:00Z | 1      |
        | 2026-01-05T10:00:00Z | 2      |
        +----------------------+--------+
    "#]],
    )
    .await;
    check(
        "SELECT a.*, b._final FROM sales_by_minute a JOIN sales_by_minute b USING (minute)",
        expect![[r#"
            +----------------------+--------+--------+
            | minute               | orders | _final |
            +----------------------+--------+--------+
            | 2026-01-05T10:00:00Z | 2      | true   |
            | 2026-01-05T10:01:00Z | 1      | false  |
            +----------------------+--------+--------+
        "#]],
    )
    .await;
    check(
        "SELECT * FROM sales_by_minute a JOIN sales_by_minute b ON a._final AND b._final",
        expect![[r#"
            +----------------------+--------+----------------------+--------+
            | minute               | orders | minute               | orders |
            +----------------------+--------+----------------------+--------+
            | 2026-01-05T10:00:00Z | 2      | 2026-01-05T10:00:00Z | 2      |
            +----------------------+--------+----------------------+--------+
        "#]],
    )
    .await;
    check(
        "SELECT count(*) AS n FROM (SELECT * FROM sales_by_minute) s",
        expect![[r#"
        +---+
        | n |
        +---+
        | 2 |
        +---+
    "#]],
    )
    .await;
    check(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'sales_by_minute'",
        expect![[r#"
            +-------------+
            | column_name |
            +-------------+
            | minute      |
            | orders      |
            +-------------+
        "#]],
    )
    .await;
    check("SELECT minute, n FROM (SELECT minute, orders AS n, _final AS f FROM sales_by_minute) WHERE f", expect![[r#"
        +----------------------+---+
        | minute               | n |
        +----------------------+---+
        | 2026-01-05T10:00:00Z | 2 |
        +----------------------+---+
    "#]]).await;
}

#[tokio::test]
async fn tables_of_the_program_have_two_names() {
    check(
        "SELECT * FROM streams",
        expect![[r#"
        +--------+
        | name   |
        +--------+
        | orders |
        +--------+
    "#]],
    )
    .await;
    check(
        "SELECT * FROM system.streams",
        expect![[r#"
        +--------+
        | name   |
        +--------+
        | orders |
        +--------+
    "#]],
    )
    .await;
    check(
        "SELECT count(*) AS rows_of_the_project FROM orders",
        expect![[r#"
        +---------------------+
        | rows_of_the_project |
        +---------------------+
        | 3                   |
        +---------------------+
    "#]],
    )
    .await;
    check(
        "SELECT count(*) AS rows_of_the_program FROM system.orders",
        expect![[r#"
        +---------------------+
        | rows_of_the_program |
        +---------------------+
        | 1                   |
        +---------------------+
    "#]],
    )
    .await;
}

#[tokio::test]
async fn nothing_is_changed_and_no_file_is_read() {
    let engine = sample::engine();
    for sql in [
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "INSERT INTO orders SELECT * FROM orders",
        "DELETE FROM orders",
        "DROP TABLE orders",
        "COPY orders TO '/tmp/orders.csv'",
        "COPY (SELECT 1) TO '/tmp/one.parquet' STORED AS PARQUET",
        "SET datafusion.execution.batch_size = 1",
        "RESET datafusion.execution.batch_size",
        "SELECT 1 AS one INTO t",
        "EXPLAIN INSERT INTO orders SELECT * FROM orders",
        "PREPARE p AS SELECT 1",
    ] {
        let told = answer(&engine, sql).await;
        assert!(told.starts_with("25006"), "{sql}: {told}");
    }
    for sql in [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"/etc/passwd\"",
        "SELECT * FROM read_csv('/etc/passwd')",
    ] {
        let told = answer(&engine, sql).await;
        assert!(told.starts_with("42"), "{sql}: {told}");
    }
}

#[tokio::test]
async fn faults_have_a_place_and_a_fix() {
    check(
        "SELECT regin FROM orders",
        expect![[r#"
        42703 at `regin`: column `regin` not found; did you mean `region`?
    "#]],
    )
    .await;
    check(
        "SELECT region FROM ordrs",
        expect![[r#"
        42P01 at `ordrs`: table `ordrs` not found; did you mean `orders`?
    "#]],
    )
    .await;
    check(
        "SELECT 1 / (quantity - quantity) AS x FROM orders",
        expect![[r#"
        22012 at ``: division by zero; guard the divisor with `nullif(divisor, 0)`
    "#]],
    )
    .await;
    check("SELECT CAST(region AS INT) AS x FROM orders", expect![[r#"
        22P02 at ``: cannot cast string 'FR' to value of int type; `try_cast(… AS type)` gives null instead
    "#]]).await;
    check(
        "SELEC 1",
        expect![[r#"
        42601 at `SELEC`: expected an SQL statement, found `SELEC`
    "#]],
    )
    .await;
    check(
        "SELECT 1; SELECT 2",
        expect![[r#"
        42601 at ``: this is 2 statements; ask one at a time
    "#]],
    )
    .await;
    check(
        "SELECT to_char(ts, 'YYYY-MM-DD HH24:MI') AS day FROM orders ORDER BY ts LIMIT 1",
        expect![[r#"
            +------------------+
            | day              |
            +------------------+
            | 2026-01-05 10:00 |
            +------------------+
        "#]],
    )
    .await;
    check("SELECT to_char(ts, 'Day the DDth') AS day FROM orders", expect![[r#"
        42601 at ``: `to_char` does not know `Day` in `Day the DDth`; put text in double quotes, or use `date_format(ts, '%Y-%m-%d')`
    "#]]).await;
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_an_error() {
    let engine = sample::engine();
    let answer = engine.ask("SELECT * FROM generate_series(1, 100)").await.unwrap();
    let error = answer.all(99).await.unwrap_err();
    assert_eq!(error.message, "the answer has more than 99 rows");
}

#[tokio::test]
async fn a_statement_ends_when_its_time_is_over() {
    let clock = ManualClock::at(0);
    let shared: Arc<dyn Clock> = Arc::new(Arc::clone(&clock));
    let engine =
        Engine::new(&ContextSettings::default(), Arc::new(Sample::default()), shared).unwrap();
    let sql =
        "SELECT count(*) AS n FROM generate_series(1, 100000000) a, generate_series(1, 1000000) b";
    let mut answer = engine.ask(sql).await.unwrap();
    let moved = async {
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(3_600));
    };
    let (next, ()) = tokio::join!(answer.next(), moved);
    assert_eq!(next.unwrap().unwrap_err().sqlstate, "57014");
    assert!(answer.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_question_sees_half_a_snapshot() {
    let engine = Arc::new(sample::engine());
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let engine = Arc::clone(&engine);
        asking.spawn(async move {
            let sql = "SELECT (SELECT count(*) FROM left_side) AS l, count(*) AS r, count(left_side.n) AS j FROM right_side FULL JOIN left_side ON left_side.n = right_side.n";
            let rows = engine.ask(sql).await.unwrap().all(10).await.unwrap();
            let value = |column: usize| rows[0].column(column).as_primitive::<Int64Type>().value(0);
            (value(0), value(1), value(2))
        });
    }
    let mut different = std::collections::BTreeSet::new();
    while let Some(counted) = asking.join_next().await {
        let (left, right, joined) = counted.unwrap();
        assert!(left == right && right == joined, "{left}, {right}, {joined}");
        different.insert(left);
    }
    assert!(10 < different.len(), "the catalog did not change: {different:?}");
}

#[tokio::test]
async fn parts_of_json_are_taken_out_of_the_newest_rows_of_each_key() {
    check(
        "SELECT order_id, region ->> 'a' AS a, split_part(order_id, '/', 1) AS b FROM (
           SELECT order_id, region, quantity, ROW_NUMBER() OVER (PARTITION BY order_id ORDER BY ts DESC) AS place
           FROM orders WHERE quantity IN (2, 5))
         WHERE place <= 1 AND quantity <> 5",
        expect![[r#"
            +----------+---+---+
            | order_id | a | b |
            +----------+---+---+
            | 1        |   | 1 |
            +----------+---+---+
        "#]],
    )
    .await;
}
