//! Starts the real program on free ports and asks it things, as a user's script would.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::RwLock;

/// How long the program may take to serve, on a loaded machine and with a journal to read.
const START_SECONDS_MAX: u64 = 60;

/// A running program; it is killed when this is dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) http: String,
    pub(crate) postgres: String,
    client: reqwest::Client,
    /// What it has said so far, both outputs together.
    said: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Copies an example's project, without its tests, to where files may land.
pub(crate) fn copied(example: &str, folder: &Path) -> PathBuf {
    let project = folder.join(example);
    std::fs::create_dir_all(&project).unwrap();
    for entry in std::fs::read_dir(root().join("examples").join(example)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, project.join(path.file_name().unwrap())).unwrap();
        }
    }
    project
}

/// Real data to test with, if it is on this machine.
pub(crate) fn data(path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("MAINSTEM_TEST_DATA")
        .map_or_else(|| root().join("../shared/data"), PathBuf::from);
    let path = folder.join(path);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not there (setting MAINSTEM_TEST_DATA)", path.display());
    None
}

/// The Python that `cargo xtask peers` makes, if it has `module`.
pub(crate) fn peers(module: &str) -> Option<PathBuf> {
    let python = root().join("target/peers/bin/python");
    let import = Command::new(&python).args(["-c", &format!("import {module}")]).output();
    if import.is_ok_and(|it| it.status.success()) {
        return Some(python);
    }
    eprintln!("SKIPPED: target/peers has no {module} (cargo xtask peers)");
    None
}

/// The memory of a process in megabytes.
pub(crate) fn memory_mb(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|it| it.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1_024
}

/// Where `node` finds the packages that `cargo xtask peers` installs, if `package` is among them.
pub(crate) fn node_peers(package: &str) -> Option<PathBuf> {
    let modules = root().join("target/peers-node/node_modules");
    if modules.join(package).exists() {
        return Some(modules);
    }
    eprintln!("SKIPPED: target/peers-node has no {package} (cargo xtask peers)");
    None
}

/// Whether the long form of a test is wanted; CI sets it.
pub(crate) fn is_slow_welcome() -> bool {
    std::env::var_os("SLOW").is_some()
}

/// Whether this is the long run, `cargo xtask soak`.
pub(crate) fn is_soak() -> bool {
    std::env::var_os("SEEDS").is_some()
}

/// Whether a missing tool is an error: in CI, which installs all it can.
pub(crate) fn is_required() -> bool {
    std::env::var_os("CI").is_some()
}

/// A number from the environment, or what the test uses by default.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(default)
}

/// The program as a command that ends by itself.
pub(crate) fn mainstem(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mainstem"))
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What a command printed; it must have succeeded.
pub(crate) fn printed(arguments: &[&str]) -> String {
    let output = mainstem(arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "mainstem {arguments:?} failed:\n{text}{errors}");
    text
}

/// Reads an output to the end, so that the program never waits for that.
fn follow(
    output: impl std::io::Read + Send + 'static,
    said: &Arc<Mutex<String>>,
    mut heard: impl FnMut(&str) + Send + 'static,
) -> JoinHandle<()> {
    let said = Arc::clone(said);
    let read = move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            heard(&line);
            *said.lock().unwrap() += &format!("{line}\n");
        }
    };
    std::thread::Builder::new().spawn(read).unwrap()
}

impl Program {
    /// Starts `mainstem run` on a project with its data in `data`, and waits until it serves.
    pub(crate) fn start(project: &Path, data: &Path) -> Program {
        Program::start_with(project, data, &[])
    }

    /// As [`Program::start`], with more arguments.
    pub(crate) fn start_with(project: &Path, data: &Path, arguments: &[&str]) -> Program {
        Program::start_in(project, data, arguments, &[])
    }

    /// As [`Program::start_with`], with environment variables.
    pub(crate) fn start_in(
        project: &Path,
        data: &Path,
        arguments: &[&str],
        variables: &[(String, String)],
    ) -> Program {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mainstem"))
            .arg("run")
            .arg(project)
            .arg("--data")
            .arg(data)
            .args(["--http", "127.0.0.1:0", "--postgres", "127.0.0.1:0"])
            .args(arguments)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (sender, lines) = std::sync::mpsc::sync_channel(1);
        let (output, errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let of_output = follow(output, &said, move |line| {
            if line.starts_with("ready ") {
                sender.send(line.to_owned()).unwrap_or_default();
            }
        });
        let of_errors = follow(errors, &said, |line| eprintln!("{line}"));
        let readers = vec![of_output, of_errors];
        let ready = lines.recv_timeout(Duration::from_secs(START_SECONDS_MAX));
        let Ok(ready) = ready else {
            child.kill().unwrap();
            panic!("the program did not get ready: {:?}", child.wait());
        };
        let address = |name: &str| {
            let found = ready.split(' ').find_map(|it| it.strip_prefix(&format!("{name}=")));
            found.unwrap_or_else(|| panic!("no {name} in {ready:?}")).to_owned()
        };
        let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        Program {
            http: address("http"),
            postgres: address("postgres"),
            child,
            client,
            said,
            readers,
        }
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills the program without warning.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks the program to stop and waits until it has.
    pub(crate) fn stop(mut self) {
        let id = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "a graceful stop ended with {status}");
    }

    /// As [`Program::stop`]; returns what it has said.
    pub(crate) fn stop_and_read(mut self) -> String {
        let (said, readers) = (Arc::clone(&self.said), std::mem::take(&mut self.readers));
        self.stop();
        readers.into_iter().for_each(|it| it.join().unwrap());
        said.lock().unwrap().clone()
    }

    /// The address of `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// Answers SQL as rows of values.
    pub(crate) async fn sql(&self, sql: &str) -> Vec<Vec<Value>> {
        let request = self.client.post(self.url("/v1/sql"));
        let request = request.json(&serde_json::json!({"sql": sql, "rows_max": 1_000_000}));
        let response = request.send().await.unwrap();
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert!(status.is_success(), "{sql}\n{answer:#}");
        let rows = answer["rows"].as_array().unwrap_or_else(|| panic!("no rows in {answer}"));
        rows.iter()
            .map(|row| match row {
                Value::Array(values) => values.clone(),
                Value::Object(fields) => fields.values().cloned().collect(),
                other => vec![other.clone()],
            })
            .collect()
    }

    /// Answers SQL that has one value.
    pub(crate) async fn value(&self, sql: &str) -> Value {
        self.sql(sql).await.into_iter().flatten().next().unwrap_or(Value::Null)
    }

    /// Answers SQL that has one whole number.
    pub(crate) async fn count(&self, sql: &str) -> u64 {
        let value = self.value(sql).await;
        value.as_u64().unwrap_or_else(|| panic!("{sql} is {value}"))
    }

    /// Waits until SQL that has one whole number answers this one.
    pub(crate) async fn until(&self, sql: &str, wanted: u64) {
        let mut found = 0;
        for _ in 0..600 {
            found = self.count(sql).await;
            if found == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{sql}: {found}, not {wanted}");
    }

    /// Sends records, one a line, and returns the answer's status and body.
    pub(crate) async fn send(
        &self,
        stream: &str,
        lines: String,
        key: Option<&str>,
    ) -> Result<(u16, Value), reqwest::Error> {
        let mut request = self.client.post(self.url(&format!("/v1/streams/{stream}/records")));
        request = request.header("content-type", "application/x-ndjson").body(lines);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok((status, response.json().await?))
    }

    /// Waits until nothing of `stream` is pending, and checks the equation of conservation.
    pub(crate) async fn settle(&self, stream: &str) -> Conservation {
        let sql = format!(
            "SELECT received, stored, dead, pending FROM system.conservation WHERE stream = '{stream}'"
        );
        let mut last = Conservation::default();
        for _ in 0..600 {
            let row = self.sql(&sql).await;
            let number = |index: usize| row[0][index].as_u64().unwrap();
            last = Conservation {
                received: number(0),
                stored: number(1),
                dead: number(2),
                pending: number(3),
            };
            assert_eq!(last.received, last.stored + last.dead + last.pending, "{stream}: {last:?}");
            if last.pending == 0 {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("`{stream}` does not settle: {last:?}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().unwrap();
        }
    }
}

/// `received = stored + dead + pending` of one stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Conservation {
    pub(crate) received: u64,
    pub(crate) stored: u64,
    pub(crate) dead: u64,
    pub(crate) pending: u64,
}

/// Sends the same records with the same key until a program takes them: it may be killed, or away.
pub(crate) async fn send_until_taken(
    program: &RwLock<Option<Program>>,
    stream: &str,
    lines: &str,
    key: &str,
) {
    loop {
        let place = program.read().await;
        let answer = place.as_ref().unwrap().send(stream, lines.to_owned(), Some(key)).await;
        drop(place);
        match answer {
            Ok((200, _)) => break,
            Ok((429 | 503, _)) | Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            Ok((status, body)) => panic!("{status}: {body}"),
        }
    }
}
