//! The doors of the real program: sizes, encodings, repeats over a crash, and the SDK of AWS.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::program::{Program, peers};

const PROJECT: &str = r#"
[stream.orders]
key    = "id"
shards = 4

[stream.orders.columns]
id    = "text not null"
total = "decimal(12,2) not null"
"#;

fn project(folder: &Path) -> Program {
    std::fs::write(folder.join("mainstem.toml"), PROJECT).unwrap();
    Program::start(folder, &folder.join(".mainstem"))
}

async fn post(program: &Program, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, Value) {
    let client = reqwest::Client::new();
    let mut request = client.post(program.url("/v1/streams/orders/records")).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    match request.send().await {
        Ok(response) => (response.status().as_u16(), response.json().await.unwrap()),
        Err(error) => panic!("{error:?}"),
    }
}

fn lines(count: usize) -> String {
    (0..count).map(|it| format!("{{\"id\":\"o{it}\",\"total\":\"1.50\"}}\n")).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_squeezed_is_inflated_and_what_is_too_large_refused_whole() {
    let folder = tempfile::tempdir().unwrap();
    let program = project(folder.path());
    let encodings = [
        ("gzip", gzip(lines(100).as_bytes())),
        ("zstd", zstd::encode_all(lines(100).as_bytes(), 3).unwrap()),
    ];
    for (encoding, body) in encodings {
        let (status, answer) = post(&program, &[("content-encoding", encoding)], body).await;
        assert_eq!((status, &answer["accepted"]), (200, &Value::from(100)), "{answer}");
    }
    // A client that writes all before it reads still gets the answer.
    let (status, answer) = post(&program, &[], vec![b'\n'; 60 << 20]).await;
    assert_eq!(status, 413, "{answer}");
    // 65 MiB inflated from little; one record of over 1 MiB; too many records.
    let bomb = gzip(&vec![b'\n'; 65 << 20]);
    let record = format!("{{\"id\":\"{}\"}}", "x".repeat(1 << 20)).into_bytes();
    let many = "{}\n".repeat(100_001).into_bytes();
    let squeezed = [("content-encoding", "gzip")];
    let refused = [
        post(&program, &squeezed, bomb).await,
        post(&program, &[], record).await,
        post(&program, &[], many).await,
    ];
    for (index, (status, answer)) in refused.into_iter().enumerate() {
        assert_eq!(status, 413, "{index}: {answer}");
        assert_eq!(answer["error"]["kind"], "invalid", "{index}: {answer}");
    }
    // A body of 17 MiB is refused by what its header says, before any of it is sent.
    let mut raw = std::net::TcpStream::connect(&program.http).unwrap();
    let head = "POST /v1/streams/orders/records HTTP/1.1\r\nhost: localhost\r\ncontent-length: 17825792\r\nexpect: 100-continue\r\n\r\n";
    raw.write_all(head.as_bytes()).unwrap();
    let mut status = [0; 12];
    raw.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
    let (status, answer) = post(&program, &squeezed, b"no gzip".to_vec()).await;
    assert_eq!(status, 400, "{answer}");
    let settled = program.settle("orders").await;
    assert_eq!((settled.received, settled.stored), (200, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_repeated_after_a_crash_is_taken_once() {
    let folder = tempfile::tempdir().unwrap();
    let program = project(folder.path());
    let send = async |program: &Program, key: &str| {
        let (status, answer) = program.send("orders", lines(10), Some(key)).await.unwrap();
        assert_eq!(status, 200, "{answer}");
        answer
    };
    let first = send(&program, "upload-1").await;
    assert!(first.get("repeated").is_none(), "{first}");
    program.kill();
    let program = project(folder.path());
    let second = send(&program, "upload-1").await;
    assert_eq!(
        (&second["repeated"], &second["positions"]),
        (&Value::from(true), &first["positions"])
    );
    program.stop();
    let program = project(folder.path());
    assert_eq!(send(&program, "upload-1").await, second);
    assert!(send(&program, "upload-2").await.get("repeated").is_none());
    let settled = program.settle("orders").await;
    assert_eq!((settled.received, settled.stored), (20, 20));
}

const PRODUCER: &str = r#"
import sys, boto3
kinesis = boto3.client("kinesis", endpoint_url=sys.argv[1], region_name="us-east-1",
                       aws_access_key_id="any", aws_secret_access_key="any")
for batch in range(4):
    records = [{"Data": b'{"id": "k%d", "total": "2.25"}' % (batch * 500 + n), "PartitionKey": f"k{n}"} for n in range(500)]
    answer = kinesis.put_records(StreamName="orders", Records=records)
    assert answer["FailedRecordCount"] == 0, answer
    assert len(answer["Records"]) == 500
kinesis.put_record(StreamName="orders", Data=b"broken", PartitionKey="k")
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_boto3_puts_is_answered_by_sql() {
    let Some(python) = peers("boto3") else { return };
    let folder = tempfile::tempdir().unwrap();
    let program = project(folder.path());
    let output = Command::new(python)
        .args(["-c", PRODUCER, &program.url("")])
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let settled = program.settle("orders").await;
    assert_eq!((settled.received, settled.stored, settled.dead), (2_001, 2_000, 1));
    let sql =
        "SELECT count(DISTINCT id), CAST(sum(total) AS TEXT), count(DISTINCT _shard) FROM orders";
    let row: Vec<Value> = vec![2_000.into(), "4500.00".into(), 4.into()];
    assert_eq!(program.sql(sql).await, [row]);
    assert_eq!(program.value("SELECT bytes FROM orders__dead").await, "broken");
}

const LIMITED: &str = r#"
[stream.orders]
key   = "id"
limit = { records = 100 }
from  = ["kinesis", "firehose", "http"]

[stream.orders.columns]
id = "text not null"
n  = "int not null"
"#;

/// Sends 250 records of two keys at a time through each door where 100 a second are let in, and
/// sends again what is refused.
const PATIENT: &str = r#"
import boto3, json, sys, time, urllib.error, urllib.request
from botocore.config import Config
endpoint = sys.argv[1]
common = dict(endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any",
              config=Config(retries={"max_attempts": 0}))
kinesis, firehose = boto3.client("kinesis", **common), boto3.client("firehose", **common)

def by_kinesis(records):
    answer = kinesis.put_records(StreamName="orders", Records=[{"Data": it, "PartitionKey": json.loads(it)["id"]} for it in records])
    codes = [it.get("ErrorCode") for it in answer["Records"]]
    assert answer["FailedRecordCount"] == sum(code is not None for code in codes), answer
    assert set(codes) <= {None, "ProvisionedThroughputExceededException"}, codes
    for it in answer["Records"]:
        assert ("SequenceNumber" in it) == ("ErrorCode" not in it), it
        assert "ErrorCode" not in it or "Rate exceeded for shard shardId-00000000000" in it["ErrorMessage"], it
    return codes

def by_firehose(records):
    answer = firehose.put_record_batch(DeliveryStreamName="orders", Records=[{"Data": it} for it in records])
    codes = [it.get("ErrorCode") for it in answer["RequestResponses"]]
    assert answer["FailedPutCount"] == sum(code is not None for code in codes), answer
    assert set(codes) <= {None, "ServiceUnavailableException"}, codes
    return codes

def by_http(records):
    request = urllib.request.Request(endpoint + "/v1/streams/orders/records?results=true", b"\n".join(records))
    try:
        with urllib.request.urlopen(request) as answer:
            found = json.load(answer)
            codes = [it.get("kind") for it in found["records"]]
            assert found["accepted"] == codes.count(None) and set(codes) <= {None, "throttled"}, found
            assert (answer.headers["Retry-After"] is not None) == ("throttled" in codes), answer.headers
            return codes
    except urllib.error.HTTPError as refused:
        assert refused.code == 429 and refused.headers["Retry-After"], refused.read()
        return ["throttled"] * len(records)

number = 0
for door in [by_kinesis, by_firehose, by_http]:
    waiting = []
    for _ in range(250):
        waiting.append(json.dumps({"id": f"k{number % 2}", "n": number}).encode())
        number += 1
    rounds = 0
    time.sleep(1.1)
    while waiting:
        codes = door(waiting)
        taken = codes.count(None)
        assert codes[:taken] == [None] * taken, "the first ones are taken"
        if rounds == 0:
            assert taken == 100, taken
        waiting = waiting[taken:]
        rounds += 1
        time.sleep(0.3)
    assert 3 <= rounds, rounds
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_lets_in_as_many_records_of_a_call_as_fit_and_no_key_loses_its_order() {
    let Some(python) = peers("boto3") else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mainstem.toml"), LIMITED).unwrap();
    let program = Program::start(folder.path(), &folder.path().join(".mainstem"));
    let output = Command::new(python)
        .args(["-c", PATIENT, &program.url("")])
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let settled = program.settle("orders").await;
    assert_eq!((settled.received, settled.stored, settled.dead), (750, 750, 0));
    let sql = "SELECT count(*) FROM (SELECT n, lag(n) OVER (PARTITION BY id ORDER BY _shard, _sequence) AS before FROM orders) WHERE n <= before";
    assert_eq!(program.sql(sql).await, [vec![Value::from(0)]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_member_of_awss_models_is_checked_as_aws_does() {
    let Some(python) = peers("botocore") else { return };
    let folder = tempfile::tempdir().unwrap();
    let project = "[stream.orders]\nkey = \"id\"\nshards = 2\nfrom = [\"http\", \"kinesis\", \"firehose\", \"dynamodb\"]\n\n[stream.orders.columns]\nid = \"text not null\"\n";
    std::fs::write(folder.path().join("mainstem.toml"), project).unwrap();
    let program = Program::start(folder.path(), &folder.path().join(".mainstem"));
    let script = crate::program::root().join("crates/ingest/src/aws/validate/every_member.py");
    let output = Command::new(python).arg(script).arg(program.url("")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    eprintln!("{}", said.lines().next().unwrap_or_default());
}
