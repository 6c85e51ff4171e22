//! The HTTP door, over the router and a real journal.

use std::io::Write as _;
use std::time::Duration;

use base::limits;
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::tests::{Answer, Fixture, PENDING_BYTES_MAX};

const ORDERS: &str = "/v1/streams/orders/records";
const NOTES: &str = "/v1/streams/notes/records";

fn check((status, headers, body): &Answer, expected: &Expect) {
    let retry = headers.get("retry-after").map(|it| format!(" retry after {it:?}"));
    let body = String::from_utf8_lossy(body);
    expected.assert_eq(&format!("{}{} {body}", status.as_u16(), retry.unwrap_or_default()));
}

fn notes(fixture: &Fixture) -> Vec<String> {
    fixture.records("notes").remove(0).into_iter().map(|(_, bytes)| bytes).collect()
}

#[tokio::test]
async fn records_come_in_as_they_were_sent() {
    let fixture = Fixture::new();
    check(
        &fixture.post(NOTES, &[], r#"{"a": 1.50}"#).await,
        &expect![[r#"200 {"accepted":1,"positions":[{"shard":0,"first":0,"last":0}]}"#]],
    );
    check(
        &fixture.post(NOTES, &[("content-type", "application/json")], r#"[{"a":2} , 3]"#).await,
        &expect![[r#"200 {"accepted":2,"positions":[{"shard":0,"first":1,"last":2}]}"#]],
    );
    check(
        &fixture.post(NOTES, &[], "{\"a\":4}\n{\"a\":\n{\"a\":6}\n").await,
        &expect![[r#"200 {"accepted":3,"positions":[{"shard":0,"first":3,"last":5}]}"#]],
    );
    check(
        &fixture.post(NOTES, &[], "[]").await,
        &expect![[r#"200 {"accepted":0,"positions":[]}"#]],
    );
    let expected = [r#"{"a": 1.50}"#, r#"{"a":2}"#, "3", r#"{"a":4}"#, r#"{"a":"#, r#"{"a":6}"#];
    assert_eq!(notes(&fixture), expected);
    let counts = fixture.inlet.counts();
    let http = counts.iter().find(|it| it.stream == "notes" && it.door == "http").unwrap();
    assert_eq!((http.records, http.bytes, http.refused), (6, 38, 0));
}

#[tokio::test]
async fn a_customer_keeps_its_shard_and_order() {
    let fixture = Fixture::new();
    for step in 0..20 {
        let records: Vec<String> = (0..50)
            .map(|it| format!(r#"{{"customer":"c{}","n":{}}}"#, it % 17, step * 50 + it))
            .collect();
        let (status, _, _) = fixture.post(ORDERS, &[], records.join("\n")).await;
        assert_eq!(status, StatusCode::OK);
    }
    let shards = fixture.records("orders");
    assert_eq!(shards.iter().map(Vec::len).sum::<usize>(), 1_000);
    assert!(shards.iter().all(|it| !it.is_empty()), "17 customers fill 4 shards");
    let mut home = std::collections::BTreeMap::new();
    for (shard, records) in shards.iter().enumerate() {
        let mut last = std::collections::BTreeMap::new();
        for (key, bytes) in records {
            let order: serde_json::Value = serde_json::from_str(bytes).unwrap();
            assert_eq!(order["customer"], key.as_str());
            assert_eq!(*home.entry(key.clone()).or_insert(shard), shard);
            let n = order["n"].as_i64().unwrap();
            assert!(last.insert(key.clone(), n).is_none_or(|before| before < n));
        }
    }
}

#[tokio::test]
async fn records_without_a_key_take_turns_by_batch() {
    let fixture = Fixture::new();
    for _ in 0..8 {
        fixture.post(ORDERS, &[("content-type", "text/plain")], "a\nb\nc").await;
    }
    let counts: Vec<usize> = fixture.records("orders").iter().map(Vec::len).collect();
    assert_eq!(counts, [6, 6, 6, 6]);
}

#[tokio::test]
async fn a_refused_request_leaves_nothing() {
    let fixture = Fixture::new();
    check(
        &fixture.post(NOTES, &[], "[{\"a\":1},\n{\"a\":}]").await,
        &expect![[
            r#"400 {"error":{"kind":"invalid","message":"the body begins with `[` but is not a JSON array: line 2, column 6: expected value","help":"nothing was accepted, as its records cannot be told apart; with one record a line, a broken one becomes a dead letter and the others are kept"}}"#
        ]],
    );
    let large = "x".repeat(limits::RECORD_BYTES_MAX + 1);
    check(
        &fixture.post(NOTES, &[], format!("a\nb\n{large}\nc")).await,
        &expect![[
            r#"413 {"error":{"kind":"invalid","message":"record 2 has 1048577 bytes, more than the 1048576 a record may have","help":"nothing of the request was accepted; cut the record, or send a link to it"}}"#
        ]],
    );
    check(
        &fixture.post(NOTES, &[("content-length", "99999999")], "x").await,
        &expect![[
            r#"413 {"error":{"kind":"invalid","message":"the body is larger than 16777216 bytes","help":"send the records in several requests"}}"#
        ]],
    );
    check(
        &fixture.post(NOTES, &[("content-encoding", "br")], "x").await,
        &expect![[
            r#"415 {"error":{"kind":"invalid","message":"`Content-Encoding: br` is not known; send gzip, zstd, or no encoding"}}"#
        ]],
    );
    check(
        &fixture.post(NOTES, &[("idempotency-key", "")], "x").await,
        &expect![[
            r#"400 {"error":{"kind":"invalid","message":"an `Idempotency-Key` has 1 to 256 bytes"}}"#
        ]],
    );
    check(
        &fixture.post("/v1/streams/closed/records", &[], "x").await,
        &expect![[
            r#"403 {"error":{"kind":"invalid","message":"stream `closed` does not take records by the door `http`","help":"add \"http\" to `from` of [stream.closed]; open are: "}}"#
        ]],
    );
    check(
        &fixture.post("/v1/streams/oders/records", &[], "x").await,
        &expect![[
            r#"404 {"error":{"kind":"missing","message":"stream `oders` not found","help":"did you mean `orders`? streams are: closed, notes, orders"}}"#
        ]],
    );
    assert_eq!(fixture.count("notes"), 0);
    assert_eq!(fixture.refused(), 6);
}

#[tokio::test]
async fn packed_bodies_are_inflated() {
    let fixture = Fixture::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"a\nb").unwrap();
    let (status, _, _) =
        fixture.post(NOTES, &[("content-encoding", "gzip")], gzip.finish().unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    let zstd = zstd::encode_all(&b"[1,2]"[..], 1).unwrap();
    let (status, _, _) = fixture.post(NOTES, &[("content-encoding", "zstd")], zstd).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(notes(&fixture), ["a", "b", "1", "2"]);
}

#[tokio::test]
async fn a_repeated_request_is_accepted_once_even_after_a_restart() {
    let fixture = Fixture::new();
    let key = [("idempotency-key", "upload-7")];
    let first = fixture.post(ORDERS, &key, "{\"customer\":\"a\"}\n{\"customer\":\"b\"}").await;
    assert_eq!(first.0, StatusCode::OK);
    let again = fixture.post(ORDERS, &key, "{\"customer\":\"a\"}\n{\"customer\":\"b\"}").await;
    let places = |answer: &Answer| {
        let json: serde_json::Value = serde_json::from_slice(&answer.2).unwrap();
        (json["accepted"].clone(), json["positions"].clone(), json["repeated"].clone())
    };
    assert_eq!(places(&first).2, serde_json::Value::Null);
    assert_eq!(places(&again), (places(&first).0, places(&first).1, true.into()));
    let fixture = fixture.restart();
    let again = fixture.post(ORDERS, &key, "{\"customer\":\"a\"}").await;
    assert_eq!(places(&again), (places(&first).0, places(&first).1, true.into()));
    assert_eq!(fixture.count("orders"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_disk_slows_producers_down() {
    let fixture = Fixture::new();
    let record = "x".repeat(PENDING_BYTES_MAX * 2 / 3);
    fixture.gate.shut();
    let mut waiting = Vec::new();
    let mut throttled = None;
    // One is being written, one waits, and then there is no room.
    for _ in 0..50 {
        let request = fixture.post(NOTES, &[], record.clone());
        let mut request = Box::pin(request);
        match futures::poll!(&mut request) {
            std::task::Poll::Ready(answer) => {
                throttled = Some(answer);
                break;
            }
            std::task::Poll::Pending => waiting.push(request),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let (status, headers, body) = throttled.expect("a full queue refuses");
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{}", String::from_utf8_lossy(&body));
    assert_eq!(headers["retry-after"], "1");
    fixture.gate.open();
    let count = waiting.len();
    for request in waiting {
        assert_eq!(request.await.0, StatusCode::OK);
    }
    assert_eq!(fixture.count("notes"), count);
}

#[tokio::test]
async fn whole_files_come_in_at_once() {
    let fixture = Fixture::new();
    let body = "{\"n\":1}\n".repeat(limits::REQUEST_RECORDS_MAX);
    check(
        &fixture.post(NOTES, &[], body.clone()).await,
        &expect![[r#"200 {"accepted":100000,"positions":[{"shard":0,"first":0,"last":99999}]}"#]],
    );
    check(
        &fixture.post(NOTES, &[], body + "{}").await,
        &expect![[
            r#"413 {"error":{"kind":"invalid","message":"the request holds more than 100000 records","help":"send them in several requests"}}"#
        ]],
    );
    assert_eq!(fixture.count("notes"), 100_000);
}

#[tokio::test]
async fn streams_are_described() {
    let fixture = Fixture::new();
    fixture.post(NOTES, &[], "hello").await;
    check(
        &fixture.get("/v1/streams/nots").await,
        &expect![[
            r#"404 {"error":{"kind":"missing","message":"stream `nots` not found","help":"did you mean `notes`? streams are: closed, notes, orders"}}"#
        ]],
    );
    let (status, _, body) = fixture.get("/v1/streams/notes").await;
    assert_eq!(status, StatusCode::OK);
    let mut json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    json["bytes_on_disk"] = 0.into();
    expect![[r#"{"bytes_on_disk":0,"counts":[{"bytes":5,"door":"http","records":1,"refused":0},{"bytes":0,"door":"kinesis","records":0,"refused":0},{"bytes":0,"door":"firehose","records":0,"refused":0},{"bytes":0,"door":"dynamodb","records":0,"refused":0},{"bytes":0,"door":"generate","records":0,"refused":0},{"bytes":0,"door":"host","records":0,"refused":0},{"bytes":0,"door":"bucket","records":0,"refused":0},{"bytes":0,"door":"files","records":0,"refused":0}],"created_ms":1767600000000,"doors":["http","kinesis","firehose","dynamodb","generate","host","bucket","files"],"name":"notes","received":1,"replay":"1 day","shards":[{"arrived_ms":1767600000000,"first":0,"next":1,"shard":0}]}"#]].assert_eq(&json.to_string());
    let (_, _, body) = fixture.get("/v1/streams").await;
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let names: Vec<_> = json["streams"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["closed", "notes", "orders"]);
}

#[test]
fn any_body_is_answered() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let fixture = Fixture::new();
    let types = ["application/json", "text/csv", "", "text/plain", "application/octet-stream"];
    proptest!(ProptestConfig::with_cases(64), |(
        body in prop::collection::vec(any::<u8>(), 0..200),
        content_type in prop::sample::select(types.to_vec()),
    )| {
        let headers = [("content-type", content_type)];
        let (status, _, body) = runtime.block_on(fixture.post(ORDERS, &headers, body));
        prop_assert!(!status.is_server_error(), "{status}");
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
    });
}
