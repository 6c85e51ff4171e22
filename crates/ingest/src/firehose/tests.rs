//! The Firehose API over the router and a real journal.

use std::time::Duration;

use base::time::SystemClock;
use base64::Engine as _;
use ciborium::value::Value as Cbor;
use expect_test::{Expect, expect};
use serde_json::{Value as Json, json};

use super::*;
use crate::aws::wire::{BASE64, Encoding};
use crate::tests::{Fixture, PENDING_BYTES_MAX, python};

async fn call(fixture: &Fixture, operation: &str, request: Json) -> (u16, Json) {
    let target = format!("{SERVICE}.{operation}");
    let headers =
        [("x-amz-target", target.as_str()), ("content-type", "application/x-amz-json-1.1")];
    let (status, _, body) = fixture.post("/", &headers, request.to_string()).await;
    (status.as_u16(), serde_json::from_slice(&body).unwrap())
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

fn data(text: &str) -> Json {
    json!({ "Data": BASE64.encode(text) })
}

fn notes(fixture: &Fixture) -> Vec<String> {
    fixture.records("notes").remove(0).into_iter().map(|(_, bytes)| bytes).collect()
}

#[tokio::test]
async fn records_are_as_sent_and_each_has_an_id() {
    let fixture = Fixture::new();
    let one = json!({"DeliveryStreamName": "notes", "Record": data("{\"a\":1}\n")});
    let answer = done(&fixture, "PutRecord", one).await;
    assert_eq!(answer["Encrypted"], false);
    let first = answer["RecordId"].as_str().unwrap().to_owned();
    let large = "x".repeat(limits_record() + 1);
    let batch =
        json!({"DeliveryStreamName": "notes", "Records": [data("b"), data(&large), data("c")]});
    let answer = done(&fixture, "PutRecordBatch", batch).await;
    assert_eq!(answer["FailedPutCount"], 1);
    let each = answer["RequestResponses"].as_array().unwrap();
    assert_eq!(each[1]["ErrorCode"], "InvalidArgumentException");
    assert_eq!(each[1]["ErrorMessage"], "Record size exceeds 1024000 bytes: 1024001");
    let ids: Vec<&str> = [&each[0], &each[2]].map(|it| it["RecordId"].as_str().unwrap()).into();
    assert!(first.as_str() < ids[0] && ids[0] < ids[1], "{first} {ids:?}");
    assert_eq!(notes(&fixture), ["{\"a\":1}\n", "b", "c"]);
}

fn limits_record() -> usize {
    base::limits::FIREHOSE_RECORD_BYTES_MAX
}

#[tokio::test]
async fn cbor_is_understood_and_answered() {
    let fixture = Fixture::new();
    let text = |it: &str| Cbor::Text(it.to_owned());
    let record = Cbor::Map(vec![(text("Data"), Cbor::Bytes(b"\x00raw".to_vec()))]);
    let request = Cbor::Map(vec![
        (text("DeliveryStreamName"), text("notes")),
        (text("Records"), Cbor::Array(vec![record])),
    ]);
    let mut body = Vec::new();
    ciborium::into_writer(&request, &mut body).unwrap();
    let target = format!("{SERVICE}.PutRecordBatch");
    let headers =
        [("x-amz-target", target.as_str()), ("content-type", Encoding::Cbor.content_type())];
    let (status, _, answer) = fixture.post("/", &headers, body).await;
    assert_eq!(status, 200);
    let answer: Json = ciborium::from_reader(answer.as_slice()).unwrap();
    assert_eq!((&answer["FailedPutCount"], &answer["Encrypted"]), (&json!(0), &json!(false)));
    assert_eq!(notes(&fixture), ["\0raw"]);
    let describe = Cbor::Map(vec![(text("DeliveryStreamName"), text("notes"))]);
    let mut body = Vec::new();
    ciborium::into_writer(&describe, &mut body).unwrap();
    let target = format!("{SERVICE}.DescribeDeliveryStream");
    let headers =
        [("x-amz-target", target.as_str()), ("content-type", Encoding::Cbor.content_type())];
    let (status, _, answer) = fixture.post("/", &headers, body).await;
    assert_eq!(status, 200);
    let answer: Cbor = ciborium::from_reader(answer.as_slice()).unwrap();
    let described = answer.as_map().unwrap()[0].1.as_map().unwrap();
    let created = described.iter().find(|(name, _)| *name == text("CreateTimestamp")).unwrap();
    // Milliseconds, as the SDKs that speak CBOR expect.
    let millis = ciborium::value::Integer::from(crate::tests::NOW_MS);
    assert_eq!(created.1, Cbor::Tag(1, Box::new(Cbor::Integer(millis))));
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a list of cases")]
async fn faults_are_told_in_the_words_of_firehose() {
    let fixture = Fixture::new();
    refused(
        &fixture,
        "PutRecord",
        json!({"DeliveryStreamName": "nots", "Record": data("x")}),
        &expect![
            "400 ResourceNotFoundException: Firehose nots under account 000000000000 not found."
        ],
    )
    .await;
    refused(
        &fixture,
        "PutRecord",
        json!({"DeliveryStreamName": "closed", "Record": data("x")}),
        &expect![
            "400 ResourceNotFoundException: Firehose closed under account 000000000000 not found."
        ],
    )
    .await;
    refused(
        &fixture,
        "PutRecordBatch",
        json!({"DeliveryStreamName": "a b", "Records": []}),
        &expect![
            "400 ValidationException: 1 validation error detected: Value 'a b' at 'deliveryStreamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
        ],
    )
    .await;
    let many: Vec<Json> = (0..501).map(|_| data("x")).collect();
    refused(
        &fixture,
        "PutRecordBatch",
        json!({"DeliveryStreamName": "notes", "Records": many}),
        &expect![
            "400 ValidationException: 1 validation error detected: Value '[...]' at 'records' failed to satisfy constraint: Member must have length less than or equal to 500"
        ],
    )
    .await;
    let large: Vec<Json> = (0..5).map(|_| data(&"x".repeat(1_000_000))).collect();
    refused(
        &fixture,
        "PutRecordBatch",
        json!({"DeliveryStreamName": "notes", "Records": large}),
        &expect!["400 InvalidArgumentException: Records size exceeds 4 MB limit"],
    )
    .await;
    refused(
        &fixture,
        "CreateDeliveryStream",
        json!({"DeliveryStreamName": "notes", "S3DestinationConfiguration": {}}),
        &expect![
            "400 ResourceInUseException: Firehose notes under accountId 000000000000 already exists"
        ],
    )
    .await;
    refused(
        &fixture,
        "CreateDeliveryStream",
        json!({"DeliveryStreamName": "closed", "S3DestinationConfiguration": {}}),
        &expect![[
            r#"400 InvalidArgumentException: the project declares closed; add "firehose" to `from` of [stream.closed]"#
        ]],
    )
    .await;
    refused(
        &fixture,
        "CreateDeliveryStream",
        json!({"DeliveryStreamName": "clicks", "SplunkDestinationConfiguration": {}}),
        &expect![
            "400 InvalidArgumentException: SplunkDestinationConfiguration is not served: records are stored in the table of the stream, as Parquet in a Delta table; use ExtendedS3DestinationConfiguration"
        ],
    )
    .await;
    refused(
        &fixture,
        "DeleteDeliveryStream",
        json!({"DeliveryStreamName": "notes"}),
        &expect![[
            r#"400 ResourceInUseException: the project declares notes; take "firehose" out of `from` of [stream.notes]"#
        ]],
    )
    .await;
    assert_eq!(fixture.count("notes"), 0);
}

#[tokio::test]
async fn what_was_said_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::new();
    fixture.inlet.keep_in(folder.path()).unwrap();
    let destination = json!({"BucketARN": "arn:aws:s3:::lake", "RoleARN": "arn:aws:iam::1:role/r",
        "BufferingHints": {"IntervalInSeconds": 60, "SizeInMBs": 64},
        "DynamicPartitioningConfiguration": {"Enabled": true}});
    let create = json!({"DeliveryStreamName": "clicks", "ExtendedS3DestinationConfiguration": destination,
        "Tags": [{"Key": "team", "Value": "web"}]});
    let made = done(&fixture, "CreateDeliveryStream", create).await;
    assert_eq!(
        made["DeliveryStreamARN"],
        "arn:aws:firehose:us-east-1:000000000000:deliverystream/clicks"
    );
    assert!(made["Notes"].to_string().contains("`flush` of [project]"), "{made}");
    let name = json!({"DeliveryStreamName": "clicks"});
    let put = json!({"DeliveryStreamName": "clicks", "Record": data("before")});
    done(&fixture, "PutRecord", put).await;
    let update = |version: &str, seconds: u32| {
        json!({"DeliveryStreamName": "clicks", "CurrentDeliveryStreamVersionId": version,
            "DestinationId": "destinationId-000000000001",
            "ExtendedS3DestinationUpdate": {"BufferingHints": {"IntervalInSeconds": seconds}}})
    };
    done(&fixture, "UpdateDestination", update("1", 90)).await;
    refused(
        &fixture,
        "UpdateDestination",
        update("1", 120),
        &expect![
            "400 ConcurrentModificationException: Cannot update firehose: clicks since the current version id: 2 and specified version id: 1 do not match"
        ],
    )
    .await;
    let fixture = fixture.restart();
    fixture.inlet.keep_in(folder.path()).unwrap();
    let put = json!({"DeliveryStreamName": "clicks", "Record": data("after")});
    done(&fixture, "PutRecord", put).await;
    assert_eq!(fixture.count("clicks"), 2);
    let described = done(&fixture, "DescribeDeliveryStream", name.clone()).await;
    let described = &described["DeliveryStreamDescription"];
    assert_eq!(
        (&described["VersionId"], &described["DeliveryStreamStatus"]),
        (&json!("2"), &json!("ACTIVE"))
    );
    let to = &described["Destinations"][0]["ExtendedS3DestinationDescription"];
    assert_eq!(to["BufferingHints"], json!({"IntervalInSeconds": 90, "SizeInMBs": 64}));
    assert_eq!(to["BucketARN"], "arn:aws:s3:::lake");
    let tags = done(&fixture, "ListTagsForDeliveryStream", name.clone()).await;
    assert_eq!(tags["Tags"], json!([{"Key": "team", "Value": "web"}]));
    done(&fixture, "DeleteDeliveryStream", name.clone()).await;
    let (status, _) = call(&fixture, "DescribeDeliveryStream", name).await;
    assert_eq!(status, 400);
    // The door is gone; what came in by it is not.
    assert_eq!(fixture.count("clicks"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_disk_fails_each_record_and_loses_none() {
    let fixture = Fixture::new();
    let record = data(&"x".repeat(PENDING_BYTES_MAX * 2 / 3));
    let request = json!({"DeliveryStreamName": "notes", "Records": [record]});
    fixture.gate.shut();
    let mut waiting = Vec::new();
    let mut slow = None;
    for _ in 0..50 {
        let mut request = Box::pin(call(&fixture, "PutRecordBatch", request.clone()));
        match futures::poll!(&mut request) {
            std::task::Poll::Ready(answer) => {
                slow = Some(answer);
                break;
            }
            std::task::Poll::Pending => waiting.push(request),
        }
        pause(Duration::from_millis(10)).await;
    }
    let (status, answer) = slow.expect("a full queue refuses");
    assert_eq!((status, &answer["FailedPutCount"]), (200, &json!(1)));
    assert_eq!(answer["RequestResponses"][0]["ErrorCode"], "ServiceUnavailableException");
    assert_eq!(answer["RequestResponses"][0]["ErrorMessage"], "Slow down.");
    fixture.gate.open();
    let count = waiting.len();
    for request in waiting {
        assert_eq!(request.await.1["FailedPutCount"], 0);
    }
    assert_eq!(fixture.count("notes"), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_works_unchanged() {
    let Some(python) = python().await else { return };
    let fixture = Fixture::on(SystemClock::start());
    fixture.run(&python, include_str!("tests/every_operation.py")).await;
}

/// Lets real time pass: what is waited for happens on other threads.
async fn pause(span: Duration) {
    SystemClock::start().sleep(span).await;
}
