use axum::body::Body;
use axum::http::{Request, StatusCode};

use crate::routes::tests::{json, send, served};

#[tokio::test]
async fn letters_come_with_their_bytes_and_reasons() {
    let (show, _clock) = served();
    let request = Request::get("/v1/dead/orders").header("host", "localhost");
    let answer = json(send(&show, request.body(Body::empty()).unwrap()).await).await;
    let letters = answer["letters"].as_array().unwrap();
    assert_eq!(letters.len(), 40);
    assert_eq!(letters[0]["check"], "total_is_right");
    assert!(letters[0]["text"].as_str().unwrap().starts_with("{\"order_id\""));
    assert!(letters[0]["place"].as_str().unwrap().contains(':'));
    assert_eq!(letters[2]["checks"].as_array().unwrap().len(), 2);
    // Bytes that are no text come as base64.
    assert_eq!(letters[9]["text"], serde_json::Value::Null);
    assert_eq!(letters[9]["base64"], "//4AQQ==");
    assert_eq!(answer["reasons"][0]["count"], 81_204);
    assert!(answer["reasons"][0]["newest_ms"].is_i64());
}

#[tokio::test]
async fn a_filter_is_quoted() {
    let (show, _clock) = served();
    let request = Request::get("/v1/dead/orders?check=x'%20OR%201=1").header("host", "localhost");
    let answer = send(&show, request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_replay_says_what_became_of_each() {
    let (show, _clock) = served();
    let post = |path: &str, body: &'static str| {
        let request = Request::post(path).header("host", "localhost");
        request.header("content-type", "application/json").body(Body::from(body)).unwrap()
    };
    let answer = send(&show, post("/v1/dead/orders/replay", r#"{"place":"0:12"}"#)).await;
    assert_eq!(json(answer).await, serde_json::json!({"sent": 1, "stored": 0, "dead": 1}));
    let missing = send(&show, post("/v1/dead/nothing/replay", "{}")).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    let unknown = send(&show, post("/v1/dead/orders/replay", r#"{"chek":"a"}"#)).await;
    assert!(unknown.status().is_client_error());
    // No body at all is everything.
    let request = Request::post("/v1/dead/orders/replay").header("host", "localhost");
    let all = json(send(&show, request.body(Body::empty()).unwrap()).await).await;
    assert_eq!(all["sent"], 1_200);
}
