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
