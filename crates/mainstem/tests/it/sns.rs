//! SNS as an app uses it that publishes alarms: the real program, AWS's client, a real web hook.

use std::process::Command;

use crate::program::{Program, peers};

const PROJECT: &str = r#"
[project.keys.app]
secret = "${APP}"
may    = ["read", "write", "manage"]

[notify.oncall]
webhook = "${HOOK}"

[stream.notes]
columns = { n = "int" }
"#;

const APP: &str = r#"
import boto3, http.server, json, queue, sys, threading, urllib.request
from botocore.exceptions import ClientError

endpoint, port, secret = sys.argv[1], int(sys.argv[2]), sys.argv[3]
came = queue.Queue()

class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        came.put((self.path, dict(self.headers), body))
        self.send_response(200)
        self.end_headers()
    def log_message(self, *said):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Hook)
threading.Thread(target=server.serve_forever, daemon=True).start()
sns = boto3.client("sns", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="app", aws_secret_access_key=secret)

arn = sns.list_topics()["Topics"][0]["TopicArn"]
assert arn == "arn:aws:sns:us-east-1:000000000000:oncall", arn
assert sns.create_topic(Name="oncall")["TopicArn"] == arn
sent = sns.publish(TopicArn=arn, Subject="Till 3", Message="grüße <&> \u2603")["MessageId"]
path, headers, body = came.get(timeout=20)
assert (path, body["id"], body["subject"], body["message"]) == ("/hook", sent, "Till 3", "grüße <&> \u2603"), body

answer = sns.subscribe(TopicArn=arn, Protocol="http", Endpoint=f"http://127.0.0.1:{port}/app", ReturnSubscriptionArn=True)
subscription = answer["SubscriptionArn"]
path, headers, body = came.get(timeout=20)
assert path == "/app" and body["Type"] == "SubscriptionConfirmation", body
assert sns.list_subscriptions()["Subscriptions"][0]["SubscriptionArn"] == "PendingConfirmation"
assert sns.confirm_subscription(TopicArn=arn, Token=body["Token"])["SubscriptionArn"] == subscription
assert sns.get_topic_attributes(TopicArn=arn)["Attributes"]["SubscriptionsConfirmed"] == "1"
batch = sns.publish_batch(TopicArn=arn, PublishBatchRequestEntries=[{"Id": "1", "Message": "a"}, {"Id": "2", "Message": "b"}])
assert [it["Id"] for it in batch["Successful"]] == ["1", "2"] and not batch["Failed"], batch
both = [came.get(timeout=20) for _ in range(4)]
assert [it[2]["Message"] for it in both if it[0] == "/app"] == ["a", "b"], both
assert [it[2]["message"] for it in both if it[0] == "/hook"] == ["a", "b"], both
sns.unsubscribe(SubscriptionArn=subscription)
assert sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"] == []

for call in [lambda: sns.publish(TopicArn=arn + "x", Message="m"),
             lambda: sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:1:q")]:
    try:
        call()
        raise SystemExit("an error was expected")
    except ClientError as error:
        print(error.response["Error"]["Code"])
other = sns.create_topic(Name="weekly")["TopicArn"]
assert len(sns.list_topics()["Topics"]) == 2
sns.delete_topic(TopicArn=other)
assert len(sns.list_topics()["Topics"]) == 1
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_app_publishes_and_subscribes_by_boto3() {
    let Some(python) = peers("boto3") else { return };
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mainstem.toml"), PROJECT).unwrap();
    let secret = "a secret of the app";
    let hook = format!("http://127.0.0.1:{free}/hook");
    let variables = [("APP", secret), ("HOOK", hook.as_str())];
    let variables: Vec<_> =
        variables.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let data = folder.path().join(".mainstem");
    let program = Program::start_in(folder.path(), &data, &[], &variables);
    let output = Command::new(python)
        .args(["-c", APP, &program.url(""), &free.to_string(), secret])
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["NotFound", "InvalidParameter"]);
}
