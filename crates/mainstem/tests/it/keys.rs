//! Keys and limits of the whole program: who is let in, and from where.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::program::{Program, peers};

const OPEN: &str = r#"
[stream.notes]
columns = { n = "int" }
"#;

const LOCKED: &str = r#"
[project.keys.till]
secret  = "${TILL}"
streams = ["notes"]
may     = ["write"]

[project.keys.office]
secret = "${OFFICE}"
may    = ["read"]

[stream.notes]
columns = { n = "int" }
limit   = { records = 100 }
"#;

const TILL: &str = "till-9f27c1d45b6e8a03";
const OFFICE: &str = "office-51c0be77a2d94f36";

fn variables() -> Vec<(String, String)> {
    [("TILL", TILL), ("OFFICE", OFFICE)].map(|(a, b)| (a.to_owned(), b.to_owned())).into()
}

fn write(folder: &Path, project: &str) {
    std::fs::write(folder.join("mainstem.toml"), project).unwrap();
}

async fn status(program: &Program, path: &str, key: &str, body: Option<&str>) -> u16 {
    let client = reqwest::Client::new();
    let request = match body {
        Some(body) => client.post(program.url(path)).body(body.to_owned()),
        None => client.get(program.url(path)),
    };
    request.bearer_auth(key).send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_asks_for_a_key_and_a_change_brings_others() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), LOCKED);
    let data = folder.path().join(".mainstem");
    let program = Program::start_in(folder.path(), &data, &[], &variables());
    let paths =
        ["/", "/v1/pipeline", "/v1/graph", "/v1/live", "/v1/alerts", "/metrics", "/v1/streams"];
    for path in paths.into_iter().chain(["/v1/tables", "/v1/streams/notes/follow", "/v1/none"]) {
        assert_eq!(status(&program, path, "wrong", None).await, 401, "{path}");
        assert_eq!(status(&program, path, TILL, None).await, 403, "{path}");
    }
    for path in paths {
        if path != "/v1/live" {
            assert_eq!(status(&program, path, OFFICE, None).await, 200, "{path}");
        }
    }
    assert_eq!(status(&program, "/healthz", "", None).await, 200);
    for path in ["/v1/apply", "/v1/rollback", "/v1/dead/notes/replay"] {
        assert_eq!(status(&program, path, OFFICE, Some("{}")).await, 403, "{path}");
    }
    assert_eq!(status(&program, "/v1/streams/notes/records", TILL, Some("{\"n\":1}")).await, 200);
    // Commands on this machine need no key of the project.
    let ask = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_mainstem"))
            .args(arguments)
            .arg("--dir")
            .arg(folder.path())
            .envs(variables())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    };
    let counted = ask(&["sql", "SELECT received FROM system.conservation", "--format", "csv"]);
    assert_eq!(counted.trim(), "received\n1");
    // One key less.
    write(
        folder.path(),
        &LOCKED.replace("[\"read\"]", "[\"read\", \"write\"]").replace("till]", "cash]"),
    );
    Command::new(env!("CARGO_BIN_EXE_mainstem"))
        .arg("apply")
        .arg(folder.path())
        .envs(variables())
        .output()
        .unwrap();
    let mut last = 0;
    for _ in 0..100 {
        last = status(&program, "/v1/streams/notes/records", OFFICE, Some("{\"n\":2}")).await;
        if last == 200 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(last, 200, "the change lets the office write");
    program.stop();
}

#[test]
fn without_keys_it_listens_on_this_machine_only() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), OPEN);
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mainstem"));
        command
            .arg("run")
            .arg(folder.path())
            .args(["--http", "0.0.0.0:0", "--postgres", "127.0.0.1:0"])
            .envs(variables());
        command
    };
    let refused = start().output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success());
    assert!(
        said.contains("the project has no keys") && said.contains("[project.keys.NAME]"),
        "{said}"
    );
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), LOCKED);
    let mut child = Command::new(env!("CARGO_BIN_EXE_mainstem"))
        .arg("run")
        .arg(folder.path())
        .args(["--http", "0.0.0.0:0", "--postgres", "127.0.0.1:0"])
        .envs(variables())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let ready = lines.into_iter().find(|it| it.starts_with("ready ")).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(ready.contains("http=0.0.0.0:"), "{ready}");
}

const LIMITED: &str = r#"
import sys, boto3
from botocore.config import Config
kinesis = boto3.client("kinesis", endpoint_url=sys.argv[1], region_name="us-east-1", config=Config(retries={"max_attempts": 0}),
                       aws_access_key_id="till", aws_secret_access_key=sys.argv[2])
records = [{"Data": b'{"n": %d}' % n, "PartitionKey": "k"} for n in range(400)]
first = kinesis.put_records(StreamName="notes", Records=records)
second = kinesis.put_records(StreamName="notes", Records=records)
# 100 a second: the first ones are taken, then the few for which there is room again.
for answer, least in [(first, 100), (second, 0)]:
    codes = [it.get("ErrorCode") for it in answer["Records"]]
    taken = 400 - answer["FailedRecordCount"]
    assert least <= taken < least + 100, (least, taken)
    assert codes == [None] * taken + ["ProvisionedThroughputExceededException"] * (400 - taken), codes
for _ in range(100):
    kinesis.put_records(StreamName="notes", Records=records)
    try:
        kinesis.put_record(StreamName="notes", Data=b"{}", PartitionKey="k")
    except kinesis.exceptions.ProvisionedThroughputExceededException:
        break
else:
    raise SystemExit("no record was refused beyond the limit")
firehose = boto3.client("firehose", endpoint_url=sys.argv[1], region_name="us-east-1",
                        aws_access_key_id="till", aws_secret_access_key=sys.argv[2])
try:
    firehose.list_delivery_streams()
    raise SystemExit("a key that may write has read")
except firehose.exceptions.ClientError as error:
    assert error.response["Error"]["Code"] == "AccessDeniedException", error
    assert "firehose:ListDeliveryStreams" in error.response["Error"]["Message"], error
print("done")
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_told_record_by_record_to_the_sdk() {
    let Some(python) = peers("boto3") else { return };
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), LOCKED);
    let data = folder.path().join(".mainstem");
    let program = Program::start_in(folder.path(), &data, &[], &variables());
    let output = Command::new(python)
        .args(["-c", LIMITED, &program.url(""), TILL])
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "done");
}
