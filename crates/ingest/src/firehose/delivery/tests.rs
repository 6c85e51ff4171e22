//! What a real Firehose delivers, CloudWatch Logs in it, and what is no delivery.

use std::io::Write as _;
use std::time::Duration;

use expect_test::{Expect, expect};
use serde_json::{Value as Json, json};

use super::*;
use crate::keys::Key;
use crate::rate::Rate;
use crate::tests::{Answer, Fixture};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn delivery(id: &str, records: &[&[u8]]) -> String {
    let records: Vec<Json> =
        records.iter().map(|it| json!({ "data": BASE64.encode(it) })).collect();
    json!({"requestId": id, "timestamp": 1_578_090_901_599_u64, "records": records}).to_string()
}

async fn deliver(fixture: &Fixture, id: &str, body: impl Into<Body>) -> Answer {
    let headers = [(VERSION, "1.0"), (REQUEST_ID, id), ("content-type", "application/json")];
    fixture.post("/v1/firehose/notes", &headers, body).await
}

fn check((status, _, body): &Answer, expected: &Expect) {
    expected.assert_eq(&format!("{} {}", status.as_u16(), String::from_utf8_lossy(body)));
}

fn notes(fixture: &Fixture) -> Vec<String> {
    fixture.records("notes").remove(0).into_iter().map(|(_, bytes)| bytes).collect()
}

#[tokio::test]
async fn records_are_kept_as_they_are_delivered_and_once_however_often_they_come() {
    let fixture = Fixture::new();
    let body = delivery("one", &[b"{\"id\":1}\n", b"two", b""]);
    let taken = expect![[r#"200 {"requestId":"one","timestamp":1767600000000}"#]];
    check(&deliver(&fixture, "one", body.clone()).await, &taken);
    check(&deliver(&fixture, "one", body.clone()).await, &taken);
    assert_eq!(notes(&fixture), ["{\"id\":1}\n", "two", ""]);
    let headers = [(VERSION, "1.0"), (REQUEST_ID, "two"), ("content-encoding", "gzip")];
    let packed = gzip(delivery("two", &[b"three"]).as_bytes());
    assert_eq!(fixture.post("/v1/firehose/notes", &headers, packed).await.0, 200);
    assert_eq!(notes(&fixture).len(), 4);
}

fn log_envelope(kind: &str, stream: &str, messages: &[&str]) -> Vec<u8> {
    let events: Vec<Json> = messages
        .iter()
        .enumerate()
        .map(|(index, it)| json!({"id": format!("e{index}"), "timestamp": 1_510_109_208_016_i64, "message": it}))
        .collect();
    let envelope = json!({
        "messageType": kind, "owner": "123456789012", "logGroup": "shop", "logStream": stream,
        "subscriptionFilters": ["all"], "logEvents": events,
    });
    gzip(envelope.to_string().as_bytes())
}

#[tokio::test]
async fn each_log_event_of_cloudwatch_is_a_record() {
    let fixture = Fixture::new();
    let control = log_envelope("CONTROL_MESSAGE", "", &["CWL CONTROL MESSAGE: Checking health"]);
    let data = log_envelope("DATA_MESSAGE", "web-1", &["GET /", "POST /basket \"x\""]);
    let unpacked = br#"{"messageType":"DATA_MESSAGE","logStream":"web-2","logEvents":[{"id":"a","timestamp":5,"message":"m"}]}"#;
    let body = delivery("logs", &[&control, &data, unpacked, &gzip(b"not logs")]);
    assert_eq!(deliver(&fixture, "logs", body).await.0, 200);
    let records = fixture.records("notes").remove(0);
    let keys: Vec<&str> = records.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["web-1", "web-1", "web-2", ""]);
    assert_eq!(
        records[1].1,
        r#"{"id":"e1","timestamp":1510109208016,"message":"POST /basket \"x\"","logGroup":"shop","logStream":"web-1","owner":"123456789012"}"#
    );
    assert_eq!(
        records[2].1,
        r#"{"id":"a","timestamp":5,"message":"m","logGroup":"","logStream":"web-2","owner":""}"#
    );
    assert!(records[3].1.starts_with('\u{1f}'), "other bytes are kept as they are");
    // A control message alone is taken, and nothing is kept of it.
    assert_eq!(deliver(&fixture, "health", delivery("health", &[&control])).await.0, 200);
    assert_eq!(fixture.count("notes"), 4);
}

#[tokio::test]
async fn what_is_no_delivery_is_refused_whole() {
    let fixture = Fixture::new();
    let body = || delivery("id", &[b"x"]);
    check(
        &fixture.post("/v1/firehose/notes", &[], body()).await,
        &expect![[
            r#"400 {"requestId":"","timestamp":1767600000000,"errorMessage":"the header `x-amz-firehose-protocol-version` is missing"}"#
        ]],
    );
    check(
        &fixture.post("/v1/firehose/notes", &[(VERSION, "2.0"), (REQUEST_ID, "id")], body()).await,
        &expect![[
            r#"400 {"requestId":"id","timestamp":1767600000000,"errorMessage":"protocol version `2.0` is not known; this is version 1.0"}"#
        ]],
    );
    check(
        &deliver(&fixture, "other", body()).await,
        &expect![[
            r#"400 {"requestId":"other","timestamp":1767600000000,"errorMessage":"`requestId` is not the one of the header"}"#
        ]],
    );
    check(
        &deliver(&fixture, "id", "{\"requestId\":\"id\",\"records\":[{\"data\":\"*\"}]}").await,
        &expect![[
            r#"400 {"requestId":"id","timestamp":1767600000000,"errorMessage":"the body is not what Firehose delivers: the data of record 0 is not base64"}"#
        ]],
    );
    let headers = [(VERSION, "1.0"), (REQUEST_ID, "id")];
    let elsewhere = fixture.post("/v1/firehose/closed", &headers, body()).await;
    check(
        &elsewhere,
        &expect![[
            r#"404 {"requestId":"id","timestamp":1767600000000,"errorMessage":"Firehose closed under account 000000000000 not found."}"#
        ]],
    );
    assert_eq!(fixture.count("notes"), 0);
}

#[tokio::test]
async fn bombs_stay_small() {
    let fixture = Fixture::new();
    // 2 x 40 MiB of blanks in two records: each alone would do, both are too much.
    let mut blanks = b"{\"messageType\":\"DATA_MESSAGE\",\"logEvents\":[]}".to_vec();
    blanks.resize(40 << 20, b' ');
    let bomb = gzip(&blanks);
    assert!(bomb.len() < 1 << 20);
    let (status, _, body) = deliver(&fixture, "id", delivery("id", &[&bomb, &bomb])).await;
    assert_eq!(status, 413, "{}", String::from_utf8_lossy(&body));
    // Few bytes that become many records, each with long names.
    let name = "n".repeat(60_000);
    let many = log_envelope("DATA_MESSAGE", &name, &["m"; 2_000]);
    let (status, _, body) = deliver(&fixture, "id", delivery("id", &[&many])).await;
    assert_eq!(status, 413, "{}", String::from_utf8_lossy(&body));
    assert_eq!(fixture.count("notes"), 0);
}

#[tokio::test]
async fn the_access_key_is_one_of_the_project_s() {
    let fixture = Fixture::new();
    let key = Key {
        name: base::Name::new("aws").unwrap(),
        id: "aws".to_owned(),
        secret: "a secret for firehose".to_owned(),
        may: vec![Act::Write],
        streams: None,
        limit: Rate { records: Some(1), bytes: None },
    };
    fixture.inlet.keys().replace(vec![key], Duration::ZERO);
    let with = async |key: &str, id: &str| {
        let headers = [(VERSION, "1.0"), (REQUEST_ID, id), (ACCESS_KEY, key)];
        fixture.post("/v1/firehose/notes", &headers, delivery(id, &[b"x"])).await
    };
    check(
        &with("wrong", "1").await,
        &expect![[
            r#"401 {"requestId":"1","timestamp":1767600000000,"errorMessage":"the key is not known"}"#
        ]],
    );
    assert_eq!(with("a secret for firehose", "2").await.0, 200);
    let (status, headers, _) = with("a secret for firehose", "3").await;
    assert_eq!((status.as_u16(), headers.contains_key("retry-after")), (429, true));
    assert_eq!(fixture.count("notes"), 1);
}
