//! Mail as people get it: the real program, a real mail server, AWS's client, and crashes.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::program::{Program, peers};

const PROJECT: &str = r#"
[project]
name  = "till"
flush = "300 ms"

[project.mail]
smtp = "smtp://shop:${PASSWORD}@127.0.0.1:PORT"
from = "Shop <alerts@shop.example>"

[stream.orders]
key     = "id"
columns = { id = "text not null", total = "int" }

[table.totals]
sql = "SELECT id, sum(total) AS total FROM orders GROUP BY id"

[alert.large]
sql    = "SELECT id, total FROM totals WHERE total > 100"
key    = ["id"]
notify = ["oncall"]
title  = "{id} is worth {total}"

[notify.oncall]
email = ["ann@b.example", "Bob <bob@b.example>"]
"#;

/// A mail server that writes each mail it takes as a line of JSON. What it is to refuse stands in a
/// file, one line for each time: `RCPT 450 later`.
const SERVER: &str = r#"
import asyncio, email, email.policy, json, os, sys
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

folder, port = sys.argv[1], int(sys.argv[2])

def trouble(command):
    path = os.path.join(folder, "trouble")
    lines = open(path).read().splitlines() if os.path.exists(path) else []
    for at, line in enumerate(lines):
        if line.startswith(command + " "):
            open(path, "w").write("\n".join(lines[:at] + lines[at + 1:]))
            return line[len(command) + 1:]

class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        refusal = trouble("RCPT " + address)
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        refusal = trouble("DATA")
        if refusal == "stall":
            await asyncio.sleep(3600)
        if refusal:
            return refusal
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        told = {"to": envelope.rcpt_tos, "headers": {name: str(value) for name, value in mail.items()}, "text": mail.get_content()}
        print(json.dumps(told), flush=True)
        return "250 taken"

def login(server, session, envelope, mechanism, data):
    return AuthResult(success=data.login == b"shop" and data.password == b"p@ss:/%41")

controller = Controller(Handler(), hostname="127.0.0.1", port=port, authenticator=login, auth_required=True, auth_require_tls=False)
controller.start()
print("ready", flush=True)
sys.stdin.read()
"#;

struct Server {
    child: Child,
    folder: PathBuf,
    lines: std::sync::mpsc::Receiver<String>,
    port: u16,
}

impl Server {
    fn start(python: &Path, folder: &Path) -> Server {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut child = Command::new(python)
            .args(["-c", SERVER])
            .args([folder.to_str().unwrap(), &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = std::sync::mpsc::sync_channel(1_000);
        let read = move || {
            for line in output.lines().map_while(Result::ok) {
                sender.send(line).unwrap_or_default();
            }
        };
        std::thread::Builder::new().spawn(read).unwrap();
        assert_eq!(lines.recv_timeout(Duration::from_secs(30)).unwrap(), "ready");
        Server { child, folder: folder.to_owned(), lines, port }
    }

    fn trouble(&self, lines: &str) {
        std::fs::write(self.folder.join("trouble"), lines).unwrap();
    }

    /// The next mail: who gets it, its headers and its text.
    fn next(&self) -> (String, Value, String) {
        let line = self.lines.recv_timeout(Duration::from_secs(60)).unwrap();
        let mail: Value = serde_json::from_str(&line).unwrap();
        let to = mail["to"].as_array().unwrap();
        assert_eq!(to.len(), 1);
        let text = mail["text"].as_str().unwrap().replace("\r\n", "\n");
        (to[0].as_str().unwrap().to_owned(), mail["headers"].clone(), text)
    }

    /// The next mails, by who gets them.
    fn both(&self) -> [(String, Value, String); 2] {
        let mut both = [self.next(), self.next()];
        both.sort_by(|one, other| one.0.cmp(&other.0));
        both
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn start(folder: &Path, server: &Server, project: &str) -> Program {
    let project = project.replace("PORT", &server.port.to_string());
    std::fs::write(folder.join("mainstem.toml"), project).unwrap();
    let password = [("PASSWORD".to_owned(), "p@ss:/%41".to_owned())];
    Program::start_in(folder, &folder.join(".mainstem"), &[], &password)
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_reach_all_mailboxes_over_refusals_and_a_crash() {
    let Some(python) = peers("aiosmtpd") else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&python, folder.path());
    let program = start(folder.path(), &server, PROJECT);
    let order = |id: &str| format!("{{\"id\":\"{id}\",\"total\":500}}\n");
    // Ann's server is busy twice; Bob's mail is not sent again for that.
    server.trouble("RCPT ann@b.example 450 4.2.1 later\nRCPT ann@b.example 451 4.3.0 later");
    program.send("orders", order("a"), None).await.unwrap();
    let [(ann, headers, text), (bob, of_bob, _)] = server.both();
    assert_eq!((ann.as_str(), bob.as_str()), ("ann@b.example", "bob@b.example"));
    assert_eq!(headers["Subject"], "[till] Firing: a is worth 500");
    assert_eq!(
        (&headers["From"], &of_bob["To"]),
        (&"Shop <alerts@shop.example>".into(), &"Bob <bob@b.example>".into())
    );
    assert_eq!(headers["Message-ID"], of_bob["Message-ID"]);
    assert!(text.starts_with("a is worth 500\n\nFiring: alert large of"), "{text}");
    assert!(text.trim_end().ends_with("\nid: a\ntotal: 500"), "{text}");
    // The server takes its time, and the program dies meanwhile.
    server.trouble("DATA stall\nDATA stall");
    program.send("orders", order("d"), None).await.unwrap();
    program.settle("orders").await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    program.kill();
    let program = start(folder.path(), &server, PROJECT);
    let both = server.both();
    assert!(
        both.iter().all(|(_, headers, _)| headers["Subject"]
            .as_str()
            .unwrap()
            .ends_with("d is worth 500"))
    );
    // A refusal for good is told, and the next notice goes out all the same.
    server.trouble("RCPT ann@b.example 550 5.1.1 nobody here");
    program.send("orders", order("b"), None).await.unwrap();
    assert_eq!(server.next().0, "bob@b.example");
    program.send("orders", order("c"), None).await.unwrap();
    assert!(
        server.both().iter().all(|(_, headers, _)| headers["Subject"]
            .as_str()
            .unwrap()
            .ends_with("c is worth 500"))
    );
    let said = program.stop_and_read();
    assert!(said.contains("ann@b.example: 550 5.1.1 nobody here"), "{said}");
}

const APP: &str = r#"
import boto3, json, re, sys, urllib.request
from botocore.exceptions import ClientError

sns = boto3.client("sns", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any")
topic = sns.create_topic(Name="weekly")["TopicArn"]

def refused(**what):
    try:
        sns.subscribe(TopicArn=topic, **what)
        raise SystemExit("an error was expected")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "InvalidParameter", error
        return error.response["Error"]["Message"]

print(refused(Protocol="email", Endpoint="ann"), file=sys.stderr)
refused(Protocol="email", Endpoint="ann@b.example", Attributes={"RawMessageDelivery": "true"})
subscription = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="ann@b.example", ReturnSubscriptionArn=True)["SubscriptionArn"]
assert sns.subscribe(TopicArn=topic, Protocol="email-json", Endpoint="bot@b.example")["SubscriptionArn"] == "pending confirmation"
for _ in range(2):
    mail = json.loads(input())
    [link] = re.findall(r"http://\S+/v1/sns/confirm\?token=\w+", mail["text"])
    urllib.request.urlopen(link).read()
assert {it["SubscriptionArn"] != "PendingConfirmation" for it in sns.list_subscriptions()["Subscriptions"]} == {True}
sent = sns.publish(TopicArn=topic, Subject="Week 3", Message="grüße\nall is well \u2603")["MessageId"]
mails = {mail["to"][0]: mail for mail in [json.loads(input()), json.loads(input())]}
ann, bot = mails["ann@b.example"], mails["bot@b.example"]
assert ann["headers"]["Subject"] == "Week 3" and ann["headers"]["Message-ID"] == f"<{sent}@shop.example>", ann
assert ann["text"].replace("\r\n", "\n").startswith("grüße\nall is well \u2603\n\n--\n"), ann
assert json.loads(bot["text"])["Message"] == "grüße\nall is well \u2603", bot
leave = ann["headers"]["List-Unsubscribe"].strip("<>")
assert b"<button>" in urllib.request.urlopen(leave).read()
assert len(sns.list_subscriptions()["Subscriptions"]) == 2
urllib.request.urlopen(urllib.request.Request(leave, data=b"List-Unsubscribe=One-Click")).read()
assert [it["Endpoint"] for it in sns.list_subscriptions()["Subscriptions"]] == ["bot@b.example"]
print("ok", flush=True)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_subscribes_to_a_topic_and_leaves() {
    let Some(python) = peers("aiosmtpd") else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&python, folder.path());
    let program = start(folder.path(), &server, PROJECT);
    let mut app = Command::new(&python)
        .args(["-c", APP, &program.url("")])
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = app.stdin.take().unwrap();
    // What comes in the mailboxes is for the app to read.
    for _ in 0..4 {
        let line = server.lines.recv_timeout(Duration::from_secs(30)).unwrap();
        std::io::Write::write_all(&mut input, format!("{line}\n").as_bytes()).unwrap();
    }
    let output = app.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ok\n");
}
