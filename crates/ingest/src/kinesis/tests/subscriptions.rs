//! `SubscribeToShard`: events as they come, and what ends them.

use axum::body::BodyDataStream;
use axum::http::Request;
use futures::StreamExt as _;
use tower::ServiceExt as _;

use super::*;

/// The messages of an answer, one after the other.
struct Events {
    encoding: Encoding,
    body: BodyDataStream,
    bytes: Vec<u8>,
}

/// The kind of an event, and what it says.
type Event = (String, Json);

impl Events {
    /// Returns the next message; none at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.split() {
                return Some(event);
            }
            let waited = tokio::time::timeout(Duration::from_secs(20), self.body.next()).await;
            match waited.expect("something is told in time") {
                Some(bytes) => self.bytes.extend_from_slice(&bytes.unwrap()),
                None => {
                    assert!(self.bytes.is_empty(), "whole messages only");
                    return None;
                }
            }
        }
    }

    fn split(&mut self) -> Option<Event> {
        let length = u32::from_be_bytes(self.bytes.get(..4)?.try_into().unwrap()) as usize;
        if self.bytes.len() < length {
            return None;
        }
        let message: Vec<u8> = self.bytes.drain(..length).collect();
        let headers_length = u32::from_be_bytes(message[4..8].try_into().unwrap()) as usize;
        let (mut headers, payload) = message[12..length - 4].split_at(headers_length);
        let mut kind = String::new();
        while !headers.is_empty() {
            let (name, rest) = headers[1..].split_at(usize::from(headers[0]));
            assert_eq!(rest[0], 7);
            let value_length = usize::from(u16::from_be_bytes([rest[1], rest[2]]));
            let (value, rest) = rest[3..].split_at(value_length);
            if name == b":event-type" || name == b":exception-type" {
                kind = String::from_utf8(value.to_vec()).unwrap();
            }
            headers = rest;
        }
        let payload = match self.encoding {
            Encoding::Json => serde_json::from_slice(payload).unwrap(),
            Encoding::Cbor => operations::to_json("", &ciborium::from_reader(payload).unwrap()),
        };
        Some((kind, payload))
    }

    async fn records(&mut self) -> (Vec<String>, Json) {
        let (kind, event) = self.next().await.unwrap();
        assert_eq!(kind, "SubscribeToShardEvent", "{event}");
        let text = |it: &Json| {
            String::from_utf8(BASE64.decode(it["Data"].as_str().unwrap()).unwrap()).unwrap()
        };
        (event["Records"].as_array().unwrap().iter().map(text).collect(), event)
    }
}

async fn subscribe(
    fixture: &Fixture,
    encoding: Encoding,
    request: &Json,
) -> Result<Events, String> {
    let body = match encoding {
        Encoding::Json => request.to_string().into_bytes(),
        Encoding::Cbor => {
            let mut body = Vec::new();
            ciborium::into_writer(&operations::to_cbor("", request), &mut body).unwrap();
            body
        }
    };
    let request = Request::post("/")
        .header("x-amz-target", format!("{SERVICE}.SubscribeToShard"))
        .header("content-type", encoding.content_type())
        .body(axum::body::Body::from(body))
        .unwrap();
    let response = fixture.router.clone().oneshot(request).await.unwrap();
    if response.status() != StatusCode::OK {
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        return Err(String::from_utf8_lossy(&body).into_owned());
    }
    assert_eq!(response.headers()["content-type"], "application/vnd.amazon.eventstream");
    let mut events =
        Events { encoding, body: response.into_body().into_data_stream(), bytes: Vec::new() };
    assert_eq!(events.next().await.unwrap(), ("initial-response".to_owned(), json!({})));
    Ok(events)
}

async fn consumer(fixture: &Fixture, stream: &str, name: &str) -> String {
    let arn = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{stream}");
    let request = json!({ "StreamARN": arn, "ConsumerName": name });
    let made = done(fixture, "RegisterStreamConsumer", request).await;
    made["Consumer"]["ConsumerARN"].as_str().unwrap().to_owned()
}

fn request(arn: &str, position: impl Into<Json>) -> Json {
    let position = position.into();
    json!({ "ConsumerARN": arn, "ShardId": "shardId-000000000000", "StartingPosition": position })
}

async fn put(fixture: &Fixture, text: &str) {
    let request = json!({ "StreamName": "notes", "PartitionKey": "k", "Data": data(text) });
    done(fixture, "PutRecord", request).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_come_as_they_are_put_and_the_end_names_the_children() {
    for encoding in [Encoding::Json, Encoding::Cbor] {
        let fixture = Fixture::on(SystemClock::start());
        put(&fixture, "one").await;
        let arn = consumer(&fixture, "notes", "app").await;
        let start = json!({ "Type": "TRIM_HORIZON" });
        let mut events = subscribe(&fixture, encoding, &request(&arn, start)).await.unwrap();
        let (texts, event) = events.records().await;
        assert_eq!(texts, ["one"]);
        assert_eq!(event["MillisBehindLatest"], 0);
        assert_eq!(event["ContinuationSequenceNumber"], event["Records"][0]["SequenceNumber"]);
        put(&fixture, "two").await;
        let (texts, event) = events.records().await;
        assert_eq!(texts, ["two"]);
        let go_on = event["ContinuationSequenceNumber"].clone();
        let split = json!({ "StreamName": "notes", "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": "5" });
        put(&fixture, "three").await;
        done(&fixture, "SplitShard", split).await;
        let (texts, mut event) = events.records().await;
        assert_eq!(texts, ["three"]);
        if event.get("ChildShards").is_none() {
            (_, event) = events.records().await;
        }
        assert_eq!(event["ChildShards"].as_array().unwrap().len(), 2);
        assert_eq!(event.get("ContinuationSequenceNumber"), None);
        assert_eq!(events.next().await, None, "there is nothing after the end");
        drop(events);
        // Where one subscription ended the next one begins.
        let after = json!({ "Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": go_on });
        let mut events = subscribe(&fixture, encoding, &request(&arn, after)).await.unwrap();
        assert_eq!(events.records().await.0, ["three"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_shard_tells_where_to_go_on() {
    let fixture = Fixture::on(SystemClock::start());
    let arn = consumer(&fixture, "notes", "app").await;
    let latest = request(&arn, json!({ "Type": "LATEST" }));
    let mut events = subscribe(&fixture, Encoding::Json, &latest).await.unwrap();
    let (texts, event) = events.records().await;
    assert!(texts.is_empty());
    drop(events);
    put(&fixture, "one").await;
    for kind in ["AFTER_SEQUENCE_NUMBER", "AT_SEQUENCE_NUMBER"] {
        let number = &event["ContinuationSequenceNumber"];
        let position = json!({ "Type": kind, "SequenceNumber": number });
        let mut events =
            subscribe(&fixture, Encoding::Json, &request(&arn, position)).await.unwrap();
        assert_eq!(events.records().await.0, ["one"], "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_ends_by_time_by_the_next_one_and_with_its_consumer() {
    let fixture = Fixture::new();
    let arn = consumer(&fixture, "notes", "app").await;
    let latest = request(&arn, json!({ "Type": "LATEST" }));
    let encoding = Encoding::Json;
    let mut first = subscribe(&fixture, encoding, &latest).await.unwrap();
    assert!(first.records().await.0.is_empty());
    let refused = subscribe(&fixture, encoding, &latest).await.err().unwrap();
    assert!(refused.contains("ResourceInUseException"), "{refused}");
    fixture.clock.advance(Duration::from_secs(6));
    let mut second = subscribe(&fixture, encoding, &latest).await.unwrap();
    assert!(second.records().await.0.is_empty());
    while let Some((_, event)) = first.next().await {
        assert_eq!(event["Records"], json!([]), "the first one ends");
    }
    let mut passed = 0;
    loop {
        let next = second.next();
        tokio::pin!(next);
        // It waits for time to pass, which only this test lets pass.
        let ended = loop {
            match tokio::time::timeout(Duration::from_millis(20), &mut next).await {
                Ok(event) => break event.is_none(),
                Err(_) => {
                    fixture.clock.advance(Duration::from_secs(5));
                    passed += 5;
                }
            }
        };
        if ended {
            break;
        }
    }
    assert!((300..=320).contains(&passed), "five minutes, not {passed} seconds");
    let mut third = subscribe(&fixture, encoding, &latest).await.unwrap();
    assert!(third.records().await.0.is_empty());
    done(&fixture, "DeregisterStreamConsumer", json!({ "ConsumerARN": arn })).await;
    while let Some((_, event)) = third.next().await {
        assert_eq!(event["Records"], json!([]));
    }
    let refused = subscribe(&fixture, encoding, &latest).await.err().unwrap();
    assert!(refused.contains("ResourceNotFoundException"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_deleted_ends_its_subscriptions_with_an_error() {
    let fixture = Fixture::on(SystemClock::start());
    done(&fixture, "CreateStream", json!({ "StreamName": "s", "ShardCount": 1 })).await;
    let arn = consumer(&fixture, "s", "app").await;
    let latest = request(&arn, json!({ "Type": "LATEST" }));
    let mut events = subscribe(&fixture, Encoding::Json, &latest).await.unwrap();
    events.records().await;
    let request = json!({ "StreamName": "s", "EnforceConsumerDeletion": true });
    done(&fixture, "DeleteStream", request).await;
    let (kind, event) = events.next().await.unwrap();
    assert_eq!(kind, "ResourceNotFoundException", "{event}");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn what_cannot_be_subscribed_to_is_refused_before_the_first_event() {
    let fixture = Fixture::new();
    let arn = consumer(&fixture, "notes", "app").await;
    let none = "arn:aws:kinesis:us-east-1:000000000000:stream/notes/consumer/none:5";
    let number = json!({ "Type": "AT_SEQUENCE_NUMBER", "SequenceNumber": "5" });
    for (wanted, request) in [
        ("ResourceNotFoundException", request(none, json!({ "Type": "LATEST" }))),
        ("InvalidArgumentException", request(&arn, number)),
        ("ValidationException", request(&arn, json!({ "Type": "FIRST" }))),
        ("ValidationException", request("app", json!({ "Type": "LATEST" }))),
        ("ValidationException", json!({ "ConsumerARN": arn })),
    ] {
        let refused = subscribe(&fixture, Encoding::Json, &request).await.err().unwrap();
        assert!(refused.contains(wanted), "{refused}");
    }
}
