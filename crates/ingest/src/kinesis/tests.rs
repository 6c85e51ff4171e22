//! The Kinesis API over the router and a real journal.

use std::time::Duration;

use axum::http::StatusCode;
use base::time::SystemClock;
use base64::Engine as _;
use ciborium::value::Value as Cbor;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::aws::wire::{BASE64, Encoding};
use crate::tests::{Fixture, PENDING_BYTES_MAX, python};

mod operations;
mod subscriptions;

async fn call(fixture: &Fixture, operation: &str, request: Json) -> (u16, Json) {
    let target = format!("{SERVICE}.{operation}");
    let headers =
        [("x-amz-target", target.as_str()), ("content-type", "application/x-amz-json-1.1")];
    let (status, headers, body) = fixture.post("/", &headers, request.to_string()).await;
    assert!(headers.contains_key("x-amzn-requestid"));
    assert_eq!(headers["content-type"], "application/x-amz-json-1.1");
    let body = if body.is_empty() { Json::Null } else { serde_json::from_slice(&body).unwrap() };
    (status.as_u16(), body)
}

async fn done(fixture: &Fixture, operation: &str, request: Json) -> Json {
    let (status, body) = call(fixture, operation, request).await;
    assert_eq!(status, 200, "{operation}: {body}");
    body
}

async fn refused(fixture: &Fixture, operation: &str, request: Json, expected: &Expect) {
    let (status, body) = call(fixture, operation, request).await;
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    expected.assert_eq(&format!("{status} {}: {}", text("__type"), text("message")));
}

fn data(text: &str) -> String {
    BASE64.encode(text)
}

async fn iterator(fixture: &Fixture, mut request: Json) -> String {
    request["StreamName"].is_null().then(|| request["StreamName"] = "orders".into());
    request["ShardId"].is_null().then(|| request["ShardId"] = "shardId-000000000000".into());
    let answer = done(fixture, "GetShardIterator", request).await;
    answer["ShardIterator"].as_str().unwrap().to_owned()
}

/// Reads a stream's shard to its end.
async fn read_all(fixture: &Fixture, mut iterator: String) -> Vec<Json> {
    let mut records = Vec::new();
    loop {
        let request = json!({ "ShardIterator": iterator });
        let mut answer = done(fixture, "GetRecords", request).await;
        let found = answer["Records"].as_array_mut().unwrap();
        if found.is_empty() {
            assert_eq!(answer["MillisBehindLatest"], 0);
            return records;
        }
        records.append(found);
        iterator = answer["NextShardIterator"].as_str().unwrap().to_owned();
    }
}

#[tokio::test]
async fn what_is_put_is_read_in_the_same_place() {
    let fixture = Fixture::new();
    let records: Vec<Json> = (0..100)
        .map(|it| json!({ "Data": data(&format!("r{it}")), "PartitionKey": format!("k{}", it % 10) }))
        .collect();
    let request = json!({ "StreamName": "orders", "Records": records });
    let answer = done(&fixture, "PutRecords", request).await;
    assert_eq!(answer["FailedRecordCount"], 0);
    let places = answer["Records"].as_array().unwrap();
    assert_eq!(places.len(), 100);
    let mut found = 0;
    for shard in 0..4 {
        let shard = format!("shardId-{shard:012}");
        let request = json!({ "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON" });
        for record in read_all(&fixture, iterator(&fixture, request).await).await {
            let bytes = BASE64.decode(record["Data"].as_str().unwrap()).unwrap();
            let n: usize = std::str::from_utf8(&bytes[1..]).unwrap().parse().unwrap();
            assert_eq!(places[n]["ShardId"], shard);
            assert_eq!(places[n]["SequenceNumber"], record["SequenceNumber"]);
            assert_eq!(record["PartitionKey"], format!("k{}", n % 10));
            assert_eq!(record["ApproximateArrivalTimestamp"], 1_767_600_000.0);
            found += 1;
        }
    }
    assert_eq!(found, 100);
}

#[tokio::test]
async fn one_record_may_say_where_it_belongs() {
    let fixture = Fixture::new();
    let request = |hash: &str| json!({ "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/orders", "Data": "", "PartitionKey": "k", "ExplicitHashKey": hash });
    let first = done(&fixture, "PutRecord", request("0")).await;
    assert_eq!(first["ShardId"], "shardId-000000000000");
    let last = request("340282366920938463463374607431768211455");
    assert_eq!(done(&fixture, "PutRecord", last).await["ShardId"], "shardId-000000000003");
    refused(
        &fixture,
        "PutRecord",
        request("340282366920938463463374607431768211456"),
        &expect!["400 InvalidArgumentException: Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was 340282366920938463463374607431768211456"],
    )
    .await;
}

#[tokio::test]
async fn iterators_begin_where_they_say() {
    let fixture = Fixture::new();
    let mut numbers = Vec::new();
    for n in 0..5 {
        let request =
            json!({ "StreamName": "notes", "Data": data(&n.to_string()), "PartitionKey": "k" });
        let answer = done(&fixture, "PutRecord", request).await;
        numbers.push(answer["SequenceNumber"].as_str().unwrap().to_owned());
        fixture.clock.advance(Duration::from_secs(1));
    }
    let read = async |request: Json| {
        let records = read_all(&fixture, iterator(&fixture, request).await).await;
        let text = |it: &Json| BASE64.decode(it["Data"].as_str().unwrap()).unwrap();
        let texts = records.iter().map(|it| String::from_utf8(text(it)).unwrap());
        texts.collect::<String>()
    };
    let notes = |kind: &str| json!({ "StreamName": "notes", "ShardIteratorType": kind });
    assert_eq!(read(notes("TRIM_HORIZON")).await, "01234");
    assert_eq!(read(notes("LATEST")).await, "");
    let mut at = notes("AT_SEQUENCE_NUMBER");
    at["StartingSequenceNumber"] = numbers[2].as_str().into();
    assert_eq!(read(at).await, "234");
    let mut after = notes("AFTER_SEQUENCE_NUMBER");
    after["StartingSequenceNumber"] = numbers[2].as_str().into();
    assert_eq!(read(after).await, "34");
    let mut at = notes("AT_TIMESTAMP");
    at["Timestamp"] = json!(1_767_600_002.5);
    assert_eq!(read(at).await, "34");
    let mut at = notes("AT_TIMESTAMP");
    at["Timestamp"] = json!(1_767_600_000);
    assert_eq!(read(at).await, "01234");
}

#[tokio::test]
async fn reading_in_steps_says_how_far_behind_it_is() {
    let fixture = Fixture::new();
    for n in 0..3 {
        let request =
            json!({ "StreamName": "notes", "Data": data(&n.to_string()), "PartitionKey": "k" });
        done(&fixture, "PutRecord", request).await;
        fixture.clock.advance(Duration::from_secs(10));
    }
    let request = json!({ "StreamName": "notes", "ShardIteratorType": "TRIM_HORIZON" });
    let mut next = iterator(&fixture, request).await;
    let mut behind = Vec::new();
    for _ in 0..4 {
        let request = json!({ "ShardIterator": next, "Limit": 1 });
        let answer = done(&fixture, "GetRecords", request).await;
        let count = answer["Records"].as_array().unwrap().len();
        behind.push((count, answer["MillisBehindLatest"].as_u64().unwrap()));
        next = answer["NextShardIterator"].as_str().unwrap().to_owned();
    }
    assert_eq!(behind, [(1, 30_000), (1, 20_000), (1, 0), (0, 0)]);
    fixture.clock.advance(Duration::from_secs(301));
    refused(
        &fixture,
        "GetRecords",
        json!({ "ShardIterator": next }),
        &expect!["400 ExpiredIteratorException: Iterator expired. The iterator was created at time Mon Jan 05 08:00:30 UTC 2026 while right now it is Mon Jan 05 08:05:31 UTC 2026 which is further in the future than the tolerated delay of 300000 milliseconds."],
    )
    .await;
}

#[tokio::test]
async fn an_answer_holds_ten_mebibytes_at_most() {
    let fixture = Fixture::new();
    let large = "x".repeat(1_000_000);
    for _ in 0..12 {
        let request = json!({ "StreamName": "notes", "Data": data(&large), "PartitionKey": "k" });
        done(&fixture, "PutRecord", request).await;
    }
    let request = json!({ "StreamName": "notes", "ShardIteratorType": "TRIM_HORIZON" });
    let first = iterator(&fixture, request).await;
    let answer = done(&fixture, "GetRecords", json!({ "ShardIterator": first })).await;
    assert_eq!(answer["Records"].as_array().unwrap().len(), 10);
    assert_eq!(read_all(&fixture, first).await.len(), 12);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a list of cases")]
async fn refusals_have_the_words_of_aws() {
    let fixture = Fixture::new();
    let cases = [
        (
            "PutRecord",
            json!({ "StreamName": "oders", "Data": "", "PartitionKey": "k" }),
            expect![
                "400 ResourceNotFoundException: Stream oders under account 000000000000 not found."
            ],
        ),
        (
            "PutRecord",
            json!({ "StreamName": "closed", "Data": "", "PartitionKey": "k" }),
            expect![
                "400 AccessDeniedException: stream `closed` does not take records by the door `kinesis`"
            ],
        ),
        (
            "PutRecord",
            json!({}),
            expect![
                "400 ValidationException: 3 validation errors detected: Value null at 'streamName' failed to satisfy constraint: Member must not be null; Value null at 'data' failed to satisfy constraint: Member must not be null; Value null at 'partitionKey' failed to satisfy constraint: Member must not be null"
            ],
        ),
        (
            "PutRecord",
            json!({ "StreamName": "notes", "Data": "***", "PartitionKey": "k" }),
            expect!["400 SerializationException: the value at 'data' is not base64"],
        ),
        (
            "PutRecord",
            json!({ "StreamName": "notes", "Data": 5, "PartitionKey": "k" }),
            expect![
                "400 SerializationException: invalid type: integer `5`, expected a string at line 1 column 9"
            ],
        ),
        (
            "PutRecord",
            json!([]),
            expect![
                "400 SerializationException: invalid length 0, expected struct PutRecord with 6 elements at line 1 column 2"
            ],
        ),
        (
            "PutRecords",
            json!({ "StreamName": "notes", "Records": [] }),
            expect![
                "400 ValidationException: 1 validation error detected: Value '[]' at 'records' failed to satisfy constraint: Member must have length greater than or equal to 1"
            ],
        ),
        (
            "PutRecords",
            json!({ "StreamName": "notes", "Records": [{ "Data": "", "PartitionKey": "" }] }),
            expect![
                "400 ValidationException: 1 validation error detected: Value '' at 'records.1.member.partitionKey' failed to satisfy constraint: Member must have length greater than or equal to 1"
            ],
        ),
        (
            "CreateStream",
            json!({ "StreamName": "notes", "ShardCount": 1 }),
            expect![
                "400 ResourceInUseException: Stream notes under account 000000000000 already exists."
            ],
        ),
        (
            "CreateStream",
            json!({ "StreamName": "a b", "ShardCount": 0 }),
            expect![
                "400 ValidationException: 2 validation errors detected: Value 'a b' at 'streamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value '0' at 'shardCount' failed to satisfy constraint: Member must have value greater than or equal to 1"
            ],
        ),
        (
            "CreateStream",
            json!({ "StreamName": "many", "ShardCount": 5000 }),
            expect![
                "400 LimitExceededException: This request would exceed the shard limit for the account 000000000000 in us-east-1. Limit of a stream: 1024. Number of additional shards that would have resulted from this request: 5000."
            ],
        ),
        (
            "DescribeStream",
            json!({ "StreamARN": "orders" }),
            expect![[
                r"400 ValidationException: 1 validation error detected: Value 'orders' at 'streamARN' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\d{12}:stream/\S+"
            ]],
        ),
        (
            "GetRecords",
            json!({ "ShardIterator": "AAAA" }),
            expect!["400 InvalidArgumentException: Invalid ShardIterator."],
        ),
        (
            "GetRecords",
            json!({ "ShardIterator": "AAAA", "Limit": 10_001 }),
            expect![
                "400 ValidationException: 1 validation error detected: Value '10001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 10000"
            ],
        ),
        (
            "GetShardIterator",
            json!({ "StreamName": "notes", "ShardId": "shardId-000000000009", "ShardIteratorType": "LATEST" }),
            expect![
                "400 ResourceNotFoundException: Could not find shard shardId-000000000009 in stream notes under account 000000000000."
            ],
        ),
        (
            "GetShardIterator",
            json!({ "StreamName": "notes", "ShardId": "0", "ShardIteratorType": "AT_SEQUENCE_NUMBER" }),
            expect![
                "400 InvalidArgumentException: Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified AT_SEQUENCE_NUMBER and no StartingSequenceNumber."
            ],
        ),
        (
            "GetShardIterator",
            json!({ "StreamName": "notes", "ShardId": "0", "ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "5" }),
            expect![
                "400 InvalidArgumentException: StartingSequenceNumber 5 used in GetShardIterator on shard shardId-000000000000 in stream notes under account 000000000000 is invalid because it did not come from this stream."
            ],
        ),
        (
            "GetShardIterator",
            json!({ "StreamName": "notes", "ShardId": "0", "ShardIteratorType": "AT_TIMESTAMP" }),
            expect![
                "400 InvalidArgumentException: Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no timestamp parameter."
            ],
        ),
        (
            "GetShardIterator",
            json!({ "StreamName": "notes", "ShardId": "0", "ShardIteratorType": "FIRST" }),
            expect![
                "400 ValidationException: 1 validation error detected: Value 'FIRST' at 'shardIteratorType' failed to satisfy constraint: Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON]"
            ],
        ),
        (
            "ListShards",
            json!({ "NextToken": "AAAA" }),
            expect!["400 InvalidArgumentException: Invalid NextToken."],
        ),
        (
            "MendShards",
            json!({}),
            expect!["400 UnknownOperationException: the operation MendShards is not supported"],
        ),
    ];
    for (operation, request, expected) in cases {
        refused(&fixture, operation, request, &expected).await;
    }
    assert_eq!(fixture.count("notes"), 0);
}

#[tokio::test]
async fn requests_that_are_too_large_are_refused_whole() {
    let fixture = Fixture::new();
    let record = |bytes: usize| json!({ "Data": data(&"x".repeat(bytes)), "PartitionKey": "k" });
    let request = |records: Vec<Json>| json!({ "StreamName": "notes", "Records": records });
    refused(
        &fixture,
        "PutRecords",
        request(vec![record(1); 501]),
        &expect!["400 ValidationException: 1 validation error detected: Value '[...]' at 'records' failed to satisfy constraint: Member must have length less than or equal to 500"],
    )
    .await;
    refused(
        &fixture,
        "PutRecords",
        request(vec![record(1), record((1 << 20) + 1)]),
        &expect!["400 ValidationException: 1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim=1048577 cap=1048577]' at 'records.2.member.data' failed to satisfy constraint: Member must have length less than or equal to 1048576"],
    )
    .await;
    refused(
        &fixture,
        "PutRecords",
        request(vec![record(1_000_000); 6]),
        &expect!["400 InvalidArgumentException: Records size exceeds 5 MB limit"],
    )
    .await;
    assert_eq!(fixture.count("notes"), 0);
}

#[tokio::test]
async fn a_call_without_a_target_says_where_to_go() {
    let fixture = Fixture::new();
    let (status, _, body) = fixture.post("/", &[], "{}").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains("/v1/streams/NAME/records"), "{body}");
    let (status, _, _) =
        fixture.post("/", &[("x-amz-target", "DynamoDB_20120810.GetItem")], "{}").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a list of cases")]
async fn streams_are_made_listed_and_described() {
    let fixture = Fixture::new();
    done(&fixture, "CreateStream", json!({ "StreamName": "clicks", "ShardCount": 3 })).await;
    done(
        &fixture,
        "CreateStream",
        json!({ "StreamName": "taps", "StreamModeDetails": { "StreamMode": "ON_DEMAND" } }),
    )
    .await;
    let fixture = fixture.restart();
    let first = done(&fixture, "ListStreams", json!({ "Limit": 3 })).await;
    assert_eq!(first["StreamNames"], json!(["clicks", "closed", "notes"]));
    assert_eq!(first["HasMoreStreams"], true);
    let rest = done(&fixture, "ListStreams", json!({ "NextToken": first["NextToken"] })).await;
    assert_eq!(rest["StreamNames"], json!(["orders", "taps"]));
    assert_eq!(rest["HasMoreStreams"], false);
    let rest = done(&fixture, "ListStreams", json!({ "ExclusiveStartStreamName": "orders" })).await;
    assert_eq!(rest["StreamNames"], json!(["taps"]));
    let summary = done(&fixture, "DescribeStreamSummary", json!({ "StreamName": "taps" })).await;
    assert_eq!(summary["StreamDescriptionSummary"]["OpenShardCount"], 4);
    let description =
        done(&fixture, "DescribeStream", json!({ "StreamName": "clicks", "Limit": 2 })).await;
    expect![[r#"
        {
          "StreamDescription": {
            "EncryptionType": "NONE",
            "EnhancedMonitoring": [
              {
                "ShardLevelMetrics": []
              }
            ],
            "HasMoreShards": true,
            "RetentionPeriodHours": 24,
            "Shards": [
              {
                "HashKeyRange": {
                  "EndingHashKey": "113427455640312821154458202477256070484",
                  "StartingHashKey": "0"
                },
                "SequenceNumberRange": {
                  "StartingSequenceNumber": "49670558063115207138906761438709625898035734721574469634"
                },
                "ShardId": "shardId-000000000000"
              },
              {
                "HashKeyRange": {
                  "EndingHashKey": "226854911280625642308916404954512140969",
                  "StartingHashKey": "113427455640312821154458202477256070485"
                },
                "SequenceNumberRange": {
                  "StartingSequenceNumber": "49670558063137507884105292061851161616308383083080450066"
                },
                "ShardId": "shardId-000000000001"
              }
            ],
            "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/clicks",
            "StreamCreationTimestamp": 1767600000.0,
            "StreamModeDetails": {
              "StreamMode": "PROVISIONED"
            },
            "StreamName": "clicks",
            "StreamStatus": "ACTIVE"
          }
        }"#]].assert_eq(&serde_json::to_string_pretty(&description).unwrap());
    let page =
        done(&fixture, "ListShards", json!({ "StreamName": "clicks", "MaxResults": 2 })).await;
    assert_eq!(page["Shards"].as_array().unwrap().len(), 2);
    let page = done(&fixture, "ListShards", json!({ "NextToken": page["NextToken"] })).await;
    assert_eq!(page["Shards"][0]["ShardId"], "shardId-000000000002");
    assert_eq!(page["NextToken"], Json::Null);
    let filter = json!({ "Type": "AFTER_SHARD_ID", "ShardId": "shardId-000000000001" });
    let page =
        done(&fixture, "ListShards", json!({ "StreamName": "clicks", "ShardFilter": filter }))
            .await;
    assert_eq!(page["Shards"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_disk_fails_records_as_kinesis_does() {
    let fixture = Fixture::new();
    let record = json!({ "Data": data(&"x".repeat(PENDING_BYTES_MAX / 3)), "PartitionKey": "k" });
    let request = json!({ "StreamName": "notes", "Records": [record, record] });
    fixture.gate.shut();
    let mut waiting = Vec::new();
    let mut throttled = None;
    for _ in 0..50 {
        let mut request = Box::pin(call(&fixture, "PutRecords", request.clone()));
        match futures::poll!(&mut request) {
            std::task::Poll::Ready(answer) => {
                throttled = Some(answer);
                break;
            }
            std::task::Poll::Pending => waiting.push(request),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let failed = json!({
        "ErrorCode": "ProvisionedThroughputExceededException",
        "ErrorMessage": "Rate exceeded for shard shardId-000000000000 in stream notes under account 000000000000.",
    });
    let answer = json!({ "FailedRecordCount": 2, "Records": [failed, failed] });
    assert_eq!(throttled.expect("a full queue refuses"), (200, answer));
    fixture.gate.open();
    for request in waiting {
        assert_eq!(request.await.1["FailedRecordCount"], 0);
    }
}

fn map(pairs: Vec<(&str, Cbor)>) -> Cbor {
    Cbor::Map(pairs.into_iter().map(|(name, value)| (Cbor::from(name), value)).collect())
}

async fn call_cbor(fixture: &Fixture, operation: &str, request: &[u8]) -> (u16, Cbor) {
    let target = format!("{SERVICE}.{operation}");
    let headers =
        [("x-amz-target", target.as_str()), ("content-type", "application/x-amz-cbor-1.1")];
    let (status, headers, body) = fixture.post("/", &headers, request.to_vec()).await;
    assert_eq!(headers["content-type"], "application/x-amz-cbor-1.1");
    (status.as_u16(), ciborium::from_reader(body.as_slice()).unwrap())
}

fn member<'a>(value: &'a Cbor, name: &str) -> &'a Cbor {
    let pairs = value.as_map().unwrap();
    let found = pairs.iter().find(|(key, _)| key.as_text() == Some(name));
    &found.unwrap_or_else(|| panic!("no {name} in {value:?}")).1
}

#[tokio::test]
async fn cbor_is_understood_and_answered() {
    let fixture = Fixture::new();
    // As the Java SDK writes it: maps and arrays without a length, bytes as they are.
    let mut request = b"\xbf\x67Records\x9f".to_vec();
    for text in [b"a\xff", b"b\x00"] {
        request.extend_from_slice(b"\xbf\x64Data\x42");
        request.extend_from_slice(text);
        request.extend_from_slice(b"\x6cPartitionKey\x61k\xff");
    }
    request.extend_from_slice(b"\xff\x6aStreamName\x65notes\xff");
    let (status, answer) = call_cbor(&fixture, "PutRecords", &request).await;
    assert_eq!(status, 200, "{answer:?}");
    assert_eq!(member(&answer, "FailedRecordCount"), &Cbor::from(0));
    let places = member(&answer, "Records").as_array().unwrap();
    assert_eq!(places.len(), 2);
    assert_eq!(member(&places[1], "ShardId"), &Cbor::from("shardId-000000000000"));

    let timestamp = Cbor::Tag(1, Box::new(Cbor::from(crate::tests::NOW_MS)));
    let mut request = Vec::new();
    let value = map(vec![
        ("StreamName", "notes".into()),
        ("ShardId", "shardId-000000000000".into()),
        ("ShardIteratorType", "AT_TIMESTAMP".into()),
        ("Timestamp", timestamp.clone()),
    ]);
    ciborium::into_writer(&value, &mut request).unwrap();
    let (_, answer) = call_cbor(&fixture, "GetShardIterator", &request).await;
    let mut request = Vec::new();
    let value = map(vec![("ShardIterator", member(&answer, "ShardIterator").clone())]);
    ciborium::into_writer(&value, &mut request).unwrap();
    let (_, answer) = call_cbor(&fixture, "GetRecords", &request).await;
    let records = member(&answer, "Records").as_array().unwrap();
    assert_eq!(member(&records[0], "Data"), &Cbor::Bytes(b"a\xff".to_vec()));
    assert_eq!(member(&records[1], "Data"), &Cbor::Bytes(b"b\x00".to_vec()));
    assert_eq!(member(&records[0], "ApproximateArrivalTimestamp"), &timestamp);
    assert_eq!(member(&records[1], "SequenceNumber"), member(&places[1], "SequenceNumber"));

    let mut request = Vec::new();
    ciborium::into_writer(&map(vec![("StreamName", "notes".into())]), &mut request).unwrap();
    let (_, answer) = call_cbor(&fixture, "DescribeStreamSummary", &request).await;
    let summary = member(&answer, "StreamDescriptionSummary");
    assert_eq!(member(summary, "StreamCreationTimestamp"), &timestamp);
    let mut request = Vec::new();
    ciborium::into_writer(&map(vec![("StreamName", "oders".into())]), &mut request).unwrap();
    let (status, answer) = call_cbor(&fixture, "DescribeStream", &request).await;
    assert_eq!(status, 400);
    assert_eq!(member(&answer, "__type"), &Cbor::from("ResourceNotFoundException"));
}

#[test]
fn any_bytes_are_answered() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let fixture = Fixture::new();
    let operations = [
        "PutRecords",
        "PutRecord",
        "GetRecords",
        "GetShardIterator",
        "CreateStream",
        "DescribeStream",
        "DescribeStreamSummary",
        "ListStreams",
        "ListShards",
        "SplitShard",
        "TagResource",
        "ListStreamConsumers",
        "SubscribeToShard",
        "UpdateStreamMode",
        "PutResourcePolicy",
    ];
    let shapes = [
        b"".as_slice(),
        b"{\"StreamName\":\"notes\",\"Records\":[{\"Data\":\"",
        b"\xbf\x6aStreamName\x65notes\x67Records\x9f\xbf\x64Data",
    ];
    proptest!(ProptestConfig::with_cases(300), |(
        operation in prop::sample::select(operations.to_vec()),
        is_cbor in any::<bool>(),
        shape in prop::sample::select(shapes.to_vec()),
        bytes in prop::collection::vec(any::<u8>(), 0..100),
    )| {
        let target = format!("{SERVICE}.{operation}");
        let content_type = if is_cbor { Encoding::Cbor } else { Encoding::Json }.content_type();
        let headers = [("x-amz-target", target.as_str()), ("content-type", content_type)];
        let answer = fixture.post("/", &headers, [shape, &bytes].concat());
        let (status, _, _) = runtime.block_on(answer);
        prop_assert!(!status.is_server_error(), "{operation}: {status}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_works_unchanged() {
    let Some(python) = python().await else { return };
    let fixture = Fixture::on(SystemClock::start());
    fixture.run(&python, include_str!("tests/every_operation.py")).await;
}
