//! The Kinesis API of the real program, by the SDK of AWS: every operation, aggregates, and shards
//! that are split and merged while producers write and the program is killed.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::program::{Program, is_soak, memory_mb, node_peers, peers, root};

const PROJECT: &str = r#"
[stream.orders]
key    = "id"
shards = 2

[stream.orders.columns]
id    = "text not null"
total = "decimal(12,2) not null"

[stream.clicks]
shards = "auto"

[stream.clicks.columns]
page = "text"
"#;

fn project(folder: &Path) -> Program {
    std::fs::write(folder.join("mainstem.toml"), PROJECT).unwrap();
    Program::start(folder, &folder.join(".mainstem"))
}

fn run(python: &Path, script: &str, program: &Program, arguments: &[&str]) -> Output {
    let script = script.replace("http://127.0.0.1:7070", &program.url(""));
    let output = Command::new(python)
        .args(["-c", &script])
        .args(arguments)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_works_by_boto3() {
    let Some(python) = peers("boto3") else { return };
    let folder = tempfile::tempdir().unwrap();
    let program = project(folder.path());
    let script = include_str!("../../../ingest/src/kinesis/tests/every_operation.py");
    run(&python, script, &program, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_put_together_by_a_producer_library_are_rows_each() {
    let Some(python) = peers("aws_kinesis_agg") else { return };
    let folder = tempfile::tempdir().unwrap();
    let program = project(folder.path());
    let script = include_str!("../../../ingest/src/kinesis/tests/aggregated.py");
    run(&python, script, &program, &["orders"]);
    let settled = program.settle("orders").await;
    // One is damaged: a record like any other, and no row.
    assert_eq!((settled.received, settled.stored, settled.dead), (302, 301, 1));
    let row: Vec<Value> = vec![301.into(), "452.00".into()];
    let sql = "SELECT count(DISTINCT id), CAST(sum(total) AS TEXT) FROM orders";
    assert_eq!(program.sql(sql).await, [row]);
}

const PRODUCER: &str = r#"
import sys, boto3
from botocore.config import Config
kinesis = boto3.client("kinesis", endpoint_url="http://127.0.0.1:7070", region_name="us-east-1",
                       aws_access_key_id="any", aws_secret_access_key="any", config=Config(retries={"max_attempts": 0}))
first, count = int(sys.argv[1]), int(sys.argv[2])
half = 2**127
for batch in range(count):
    records = [{"Data": b'{"id": "k%d", "total": "%d.00"}' % (n, first + batch * 100 + n), "PartitionKey": f"k{n}"} for n in range(100)]
    answer = kinesis.put_records(StreamName="orders", Records=records)
    assert answer["FailedRecordCount"] == 0, answer
    open_count = kinesis.describe_stream_summary(StreamName="orders")["StreamDescriptionSummary"]["OpenShardCount"]
    target = [2, 3, 6, 4, 2, 1][batch % 6]
    if target != open_count and open_count <= 2 * target and target <= 2 * open_count:
        kinesis.update_shard_count(StreamName="orders", TargetShardCount=target, ScalingType="UNIFORM_SCALING")
"#;

#[tokio::test(flavor = "multi_thread")]
async fn shards_change_while_records_come_and_the_program_is_killed() {
    let Some(python) = peers("boto3") else { return };
    let folder = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let program = project(folder.path());
        let first = (round * 2_000).to_string();
        run(&python, PRODUCER, &program, &[&first, "20"]);
        program.kill();
    }
    let program = project(folder.path());
    let settled = program.settle("orders").await;
    assert_eq!((settled.received, settled.stored, settled.dead), (6_000, 6_000, 0));
    // The numbers of each key grow in the order of its shards and places there.
    let wrong = "SELECT count(*) FROM (SELECT total, lag(total) OVER (PARTITION BY id ORDER BY _shard, _sequence) AS before FROM orders) WHERE total <= before";
    assert_eq!(program.sql(wrong).await, [vec![Value::from(0)]]);
    let shards = program.sql("SELECT count(DISTINCT _shard) FROM orders").await;
    assert!(10 < shards[0][0].as_u64().unwrap(), "{shards:?}");
    let auto = program.sql("SELECT shards FROM system.streams WHERE name = 'clicks'").await;
    assert_eq!(auto, [vec![Value::from(4)]]);
}

/// Runs a scenario of enhanced fan-out by AWS's SDK for JavaScript; returns the most memory in MB
/// that the program had meanwhile.
fn fan_out(scenario: &[&str]) -> Option<u64> {
    let modules = node_peers("@aws-sdk/client-kinesis")?;
    let folder = tempfile::tempdir().unwrap();
    let program = project(folder.path());
    let script = root().join("crates/ingest/src/kinesis/tests/subscribe.cjs");
    let mut node = Command::new("node")
        .arg(script)
        .arg(program.url(""))
        .args(scenario)
        .env("NODE_PATH", modules)
        .env("NODE_NO_WARNINGS", "1")
        .spawn()
        .unwrap();
    let mut most = 0;
    loop {
        most = most.max(memory_mb(program.id()));
        if let Some(status) = node.try_wait().unwrap() {
            assert!(status.success(), "{scenario:?}: {status}");
            return Some(most);
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn awss_own_sdk_follows_shards_over_both_protocols() {
    tokio::task::block_in_place(|| {
        fan_out(&["records"]);
        fan_out(&["takeover"]);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_take_nothing_cost_little_and_hold_up_nobody() {
    tokio::task::block_in_place(|| {
        let Some(alone_mb) = fan_out(&["silent", "0"]) else { return };
        let beside_mb = fan_out(&["silent", "19"]).unwrap();
        eprintln!("memory: {alone_mb} MB with one reader, {beside_mb} MB beside 19 silent ones");
        assert!(beside_mb < alone_mb + 150, "{alone_mb} MB, then {beside_mb} MB");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_ends_after_five_minutes_and_the_next_goes_on() {
    if is_soak() {
        tokio::task::block_in_place(|| fan_out(&["end"]));
    } else {
        eprintln!("SKIPPED: it waits for five minutes; `cargo xtask soak` does");
    }
}
