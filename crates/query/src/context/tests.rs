use arrow::array::RecordBatch;

use super::{ContextSettings, context};

#[tokio::test]
async fn our_functions_answer() {
    let ctx = context(&ContextSettings::default()).unwrap();
    let rows = ctx
        .sql("SELECT tumble(TIMESTAMP '2026-01-05 10:00:10', '1 minute') AS minute, '{\"a\":\"b\"}' ->> 'a' AS a")
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let text = arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string();
    assert!(text.contains("2026-01-05T10:00:00 | b"), "{text}");
}

#[tokio::test]
async fn a_float_is_as_wide_as_in_postgresql() {
    let ctx = context(&ContextSettings::default()).unwrap();
    let asked = "SELECT arrow_typeof(1::float) AS a, arrow_typeof(CAST(1 AS FLOAT(53))) AS b, \
                 arrow_typeof(CAST(1 AS FLOAT(24))) AS c, arrow_typeof(1::real) AS d, 2::float / 3 AS e";
    let rows = ctx.sql(asked).await.unwrap().collect().await.unwrap();
    let text = arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string();
    assert!(
        text.contains("| Float64 | Float64 | Float32 | Float32 | 0.6666666666666666 |"),
        "{text}"
    );
}

#[tokio::test]
async fn what_may_be_null_is_no_reason_not_to_answer() {
    let ctx = context(&ContextSettings::default()).unwrap();
    let asked = "SELECT CASE WHEN a > 1 THEN a ELSE b END AS c FROM \
                 (SELECT sum(x) AS a, count(*) AS b FROM (VALUES (5)) t(x)) s UNION SELECT 1";
    let rows = ctx.sql(asked).await.unwrap().collect().await.unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
}
