//! Measures the doors: a server in a process of its own, so that its CPU time can be told.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use base::Clock;
use base64::Engine as _;
use serde_json::json;

use super::load::{self, Request};
use super::{Ctx, Figure, percentile};

/// A server in a process of its own; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) http: String,
}

impl Server {
    /// Starts this program with `arguments` and waits for its `ready` line.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> anyhow::Result<Server> {
        fs::create_dir_all(folder)?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().context("its output is piped")?;
        let mut lines = BufReader::new(output).lines();
        let ready = lines.find_map(|it| it.ok().filter(|it| it.starts_with("ready ")));
        base::task::thread("drain", move || lines.for_each(drop))?;
        let ready = ready.context("the server did not get ready")?;
        let http = ready
            .split(' ')
            .find_map(|it| it.strip_prefix("http="))
            .context("no address")?
            .to_owned();
        Ok(Server { child, http })
    }

    /// Starts this program on a project.
    pub(crate) fn of_project(folder: &Path, project: &Path) -> anyhow::Result<Server> {
        let (data, project) = (folder.join("data"), project.display().to_string());
        let data = data.display().to_string();
        Server::start(
            folder,
            &[
                "run",
                &project,
                "--data",
                &data,
                "--http",
                "127.0.0.1:0",
                "--postgres",
                "127.0.0.1:0",
            ],
        )
    }

    /// CPU seconds used so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        cpu_seconds_of(&self.child.id().to_string())
    }

    /// Asks it to stop, and returns the CPU seconds it has used in all.
    pub(crate) async fn stop(self, clock: &dyn Clock) -> anyhow::Result<f64> {
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let id = id.context("it has a process id")?;
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        // Until it is waited for, what has ended still tells what it used.
        let status = format!("/proc/{}/stat", self.child.id());
        for _ in 0..STOP_LOOKS_MAX {
            let text = fs::read_to_string(&status)?;
            if text.rsplit_once(')').is_some_and(|(_, it)| it.trim_start().starts_with('Z')) {
                return Ok(self.cpu_seconds());
            }
            clock.sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("it is still there after a minute")
    }

    /// The most memory it has had, in megabytes.
    pub(crate) fn memory_mb_max(&self) -> f64 {
        let text =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = text.lines().find_map(|it| it.strip_prefix("VmHWM:"));
        line.and_then(|it| it.trim().split(' ').next()?.parse::<f64>().ok()).unwrap_or_default()
            / 1e3
    }
}

/// CPU seconds that a process has used so far, by its id or `self`.
pub(crate) fn cpu_seconds_of(process: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name in brackets may have spaces; user and system time are the 12th and 13th after it.
    let after = text.rsplit_once(')').map_or("", |(_, it)| it);
    let ticks = after.split_whitespace().skip(11).take(2).filter_map(|it| it.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

/// How often it is looked whether the server has ended, with 50 ms between.
const STOP_LOOKS_MAX: u32 = 1_200;

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

const HEADERS: &str =
    "content-type: application/x-amz-json-1.1\r\nx-amz-target: Kinesis_20131202.PutRecords\r\n";

/// Requests of `PutRecords` with 500 records of 500 bytes each.
fn put_records(records: usize, bytes: usize) -> Vec<Request> {
    let mut random = fastrand::Rng::with_seed(1);
    (0..16)
        .map(|_| {
            let rows: Vec<_> = (0..records)
                .map(|_| {
                    let data: Vec<u8> = (0..bytes).map(|_| random.u8(..)).collect();
                    let data = base64::engine::general_purpose::STANDARD.encode(data);
                    json!({"Data": data, "PartitionKey": format!("key-{}", random.u32(..))})
                })
                .collect();
            let body = json!({"StreamName": "bench", "Records": rows}).to_string();
            load::post("/", HEADERS, body.as_bytes(), records as u64)
        })
        .collect()
}

/// `PutRecords` of 500 records of 500 bytes over 8 connections.
pub(crate) async fn kinesis(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let folder = ctx.folder.join("kinesis");
    let project = project(&folder)?;
    let requests = put_records(500, 500);
    let (mut ours, mut limits, mut per_cpu) = (Vec::new(), Vec::new(), Vec::new());
    // Turn about, so that a busy moment of the machine hits both.
    for round in 0..3 {
        let bare =
            Server::start(&folder.join(format!("bare-{round}")), &["bench", "--serve-bare"])?;
        let outcome = load::run(&bare.http, requests.clone(), 8, ctx.time / 2, None).await?;
        limits.push(outcome.records as f64 / outcome.seconds);
        drop(bare);
        let server = Server::of_project(&folder.join(format!("ours-{round}")), &project)?;
        create_stream(&server.http).await?;
        let outcome = load::run(&server.http, requests.clone(), 8, ctx.time / 2, None).await?;
        ours.push(outcome.records as f64 / outcome.seconds);
        per_cpu.push(outcome.records as f64 / server.cpu_seconds());
    }
    let note = format!(
        "{} records per CPU-second of the server",
        super::short(super::median(&mut per_cpu))
    );
    Ok(vec![Figure {
        what: "Kinesis `PutRecords`, 500 x 500 bytes, durable, 8 connections".to_owned(),
        ours: super::median(&mut ours),
        limit: Some(("bare HTTP, parse, group commit".to_owned(), super::median(&mut limits))),
        unit: "records/s",
        goal: "≥ 0.25, then 0.5; ≥ 700 k per CPU-second",
        note,
    }])
}

/// Makes the stream that is written to; no table reads it.
async fn create_stream(http: &str) -> anyhow::Result<()> {
    let request = reqwest::Client::new()
        .post(format!("http://{http}/"))
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "Kinesis_20131202.CreateStream")
        .body(json!({"StreamName": "bench", "ShardCount": 1}).to_string());
    request.send().await?.error_for_status().context("CreateStream")?;
    Ok(())
}

/// How long an acknowledgement takes at 5,000 records a second, ten a request.
pub(crate) async fn acknowledge(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let folder = ctx.folder.join("acknowledge");
    let project = project(&folder)?;
    let server = Server::of_project(&folder, &project)?;
    create_stream(&server.http).await?;
    let requests = put_records(10, 500);
    // 5 connections x 100 requests a second x 10 records.
    let outcome =
        load::run(&server.http, requests, 5, ctx.time, Some(Duration::from_millis(10))).await?;
    let loops = tokio::task::block_in_place(|| append_and_sync(&folder, ctx.time / 2))?;
    let p99 = percentile(&outcome.latencies_ms, 0.99);
    let rate = outcome.records as f64 / outcome.seconds;
    Ok(vec![Figure {
        what: "acknowledgement at 5,000 records/s, p99".to_owned(),
        ours: p99,
        limit: Some(("append 5 kB + fdatasync, p99".to_owned(), percentile(&loops, 0.99))),
        unit: "ms",
        goal: "ratio ≤ 2",
        note: format!(
            "p50 {:.2} ms against {:.2} ms; {rate:.0} records/s",
            percentile(&outcome.latencies_ms, 0.5),
            percentile(&loops, 0.5)
        ),
    }])
}

/// How long a bare append and sync of 5 kB takes, in milliseconds, sorted.
fn append_and_sync(folder: &Path, time: Duration) -> anyhow::Result<Vec<f64>> {
    use std::io::Write as _;
    let clock = base::time::SystemClock::start();
    let mut file = fs::File::create(folder.join("loop.log"))?;
    let block = vec![7; 5_000];
    let mut times = Vec::new();
    while clock.elapsed() < time {
        let began = clock.elapsed();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push((clock.elapsed() - began).as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(2));
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// A project with one stream that no table reads.
fn project(folder: &Path) -> anyhow::Result<std::path::PathBuf> {
    let project = folder.join("project");
    fs::create_dir_all(&project)?;
    let text = "[project]\nname = \"bench\"\n\n[stream.idle]\nfrom = [\"http\"]\n\n[stream.idle.columns]\nid = \"text\"\n";
    fs::write(project.join("mainstem.toml"), text)?;
    Ok(project)
}
