use std::io::Cursor;

use arrow::array::{ArrayRef, Int64Array};
use arrow::ipc::reader::StreamReader;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};

use super::*;
use crate::routes::tests::{json, send, served, text};

fn post(path: &str, kind: &str, body: &str) -> Request<Body> {
    let request = Request::post(path).header("host", "localhost").header("content-type", kind);
    request.body(Body::from(body.to_owned())).unwrap()
}

#[tokio::test]
async fn a_question_is_text_or_json() {
    let (show, _clock) = served();
    let plain = json(send(&show, post("/v1/sql", "text/plain", "SELECT 1")).await).await;
    let body = r#"{"sql": "SELECT 1"}"#;
    let wrapped = json(send(&show, post("/v1/sql", "application/json", body)).await).await;
    assert_eq!(plain["rows"], wrapped["rows"]);
    assert_eq!(plain["columns"][0], serde_json::json!({"name": "one", "type": "int"}));
    assert_eq!(plain["truncated"], false);
    assert!(plain["took_ms"].is_u64());
}

#[tokio::test]
async fn an_answer_says_when_there_was_more() {
    let (show, _clock) = served();
    let sql = "SELECT * FROM orders";
    let few = json(send(&show, post("/v1/sql?rows_max=3", "text/plain", sql)).await).await;
    assert_eq!(few["rows"].as_array().unwrap().len(), 3);
    assert_eq!(few["truncated"], true);
    let all = json(send(&show, post("/v1/sql?rows_max=200", "text/plain", sql)).await).await;
    assert_eq!(all["rows"].as_array().unwrap().len(), 200);
    assert_eq!(all["truncated"], false);
}

#[tokio::test]
async fn csv_by_name_and_arrow_by_accept() {
    let (show, _clock) = served();
    let sql = "SELECT * FROM kpi_regions";
    let lines = text(send(&show, post("/v1/sql?format=csv", "text/plain", sql)).await).await;
    assert_eq!(lines.lines().next().unwrap(), "region,orders,revenue,newest_order");
    assert!(lines.lines().nth(1).unwrap().starts_with("FR,1203441,2781131.20,2026-01-05"));
    assert_eq!(lines.lines().count(), 6);

    let mut request = post("/v1/sql", "text/plain", sql);
    let accept = "application/vnd.apache.arrow.stream".parse().unwrap();
    request.headers_mut().insert(header::ACCEPT, accept);
    let body = send(&show, request).await.into_body();
    let bytes = to_bytes(body, 1 << 20).await.unwrap();
    let reader = StreamReader::try_new(Cursor::new(bytes), None).unwrap();
    let rows: usize = reader.map(|it| it.unwrap().num_rows()).sum();
    assert_eq!(rows, 5);
}

#[tokio::test]
async fn an_error_says_where_and_what_to_do() {
    let (show, _clock) = served();
    let sql = "SELECT *\nFROM ordrs";
    let answer = send(&show, post("/v1/sql", "text/plain", sql)).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let expected = serde_json::json!({"error": {
        "kind": "missing", "message": "table `ordrs` not found", "help": "did you mean `orders`?",
        "line": 2, "column": 6, "length": 5,
    }});
    assert_eq!(json(answer).await, expected);
}

#[tokio::test]
async fn what_is_no_question_is_refused() {
    let (show, _clock) = served();
    let status = async |path: &str, kind: &str, body: &str| {
        send(&show, post(path, kind, body)).await.status()
    };
    assert_eq!(status("/v1/sql", "text/plain", "  ").await, StatusCode::BAD_REQUEST);
    assert_eq!(status("/v1/sql", "application/json", "{").await, StatusCode::BAD_REQUEST);
    assert_eq!(status("/v1/sql", "application/json", "{}").await, StatusCode::BAD_REQUEST);
    assert_eq!(
        status("/v1/sql?format=xml", "text/plain", "SELECT 1").await,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(status("/v1/sql", "text/plain", "DROP TABLE orders").await, StatusCode::BAD_REQUEST);
    let huge = "x".repeat(limits::SQL_BYTES_MAX + 1);
    assert_eq!(status("/v1/sql", "text/plain", &huge).await, StatusCode::PAYLOAD_TOO_LARGE);
}

fn ints(values: Vec<i64>) -> RecordBatch {
    RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(values)) as ArrayRef)]).unwrap()
}

#[tokio::test]
async fn a_limit_falls_within_a_batch() {
    let batches = || vec![ints(vec![1, 2]), ints(vec![]), ints(vec![3, 4, 5])];
    let answer = || Answer::of(ints(vec![]).schema(), batches());
    for (rows_max, truncated) in
        [(0, true), (1, true), (2, true), (4, true), (5, false), (9, false)]
    {
        let (_, rows, more) = collect(answer(), rows_max).await.unwrap();
        assert_eq!((rows.count(), more), (rows_max.min(5), truncated), "{rows_max}");
        let kept: Vec<_> = limited(answer(), Some(rows_max)).collect().await;
        let kept: usize = kept.into_iter().map(|it| it.unwrap().num_rows()).sum();
        assert_eq!(kept, rows_max.min(5));
    }
}

#[tokio::test]
async fn a_part_of_an_answer_is_never_taken_for_the_whole() {
    let failing = || Answer {
        schema: ints(vec![]).schema(),
        batches: Box::pin(futures::stream::iter([
            Ok(ints(vec![1])),
            Err(AskError::new(Kind::Throttled, "out of memory")),
        ])),
    };
    assert!(collect(failing(), 10).await.is_err());
    let csv: Vec<_> = csv(failing(), None).collect().await;
    assert!(csv.last().unwrap().is_err());
    let arrow: Vec<_> = arrow_stream(failing(), None).unwrap().collect().await;
    assert!(arrow.iter().any(Result::is_err));
    let answer = stream("text/csv", super::csv(failing(), None));
    assert!(to_bytes(answer.into_body(), 1 << 20).await.is_err());
}
