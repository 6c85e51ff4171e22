//! Measures reads by key while rows come in, with as many keys as `--keys` says.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::ensure;
use base::time::SystemClock;

use super::load::{self, Request};
use super::server::Server;
use super::{Ctx, Figure, percentile, short};

const PROJECT: &str = r#"
[project]
name = "keys"

[stream.orders]
time   = "ts"
key    = "customer"
replay = "1 hour"

[stream.orders.columns]
customer = "int not null"
ts       = "timestamp not null"
order_id = "int not null"
total    = "decimal(12,2)"

[table.history]
serve = { key = "customer", sort = "ts" }
sql   = "SELECT customer, ts, order_id, total FROM orders"
"#;

/// Records of one request while the keys are made.
const FILL_RECORDS: u64 = 20_000;

/// Records a second that are written while others read.
const WRITTEN: u64 = 20_000;

/// Reads a second, and the connections they come by.
const READS: u64 = 10_000;
const READERS: usize = 50;

/// Makes the keys, one order each, then reads and writes at once.
pub(crate) async fn reads(ctx: &Ctx, keys: u64) -> anyhow::Result<Vec<Figure>> {
    let (folder, clock) = (ctx.folder.join("keys"), SystemClock::start());
    let project = folder.join("project");
    fs::create_dir_all(&project)?;
    fs::write(project.join("mainstem.toml"), PROJECT)?;
    let server = Server::of_project(&folder, &project)?;
    let began = clock.elapsed();
    fill(&server, keys).await?;
    let filled = clock.elapsed().saturating_sub(began);
    let client = reqwest::Client::new();
    while super::shop::ask(&client, &server, "SELECT count(*) FROM history").await?.as_u64()
        != Some(keys)
    {
        clock.sleep(Duration::from_millis(100)).await;
    }
    // Most of it is stored and indexed, as in life.
    clock.sleep(Duration::from_secs(10)).await;
    let cpu = server.cpu_seconds();
    let pause = |each_second: u64, connections: usize| {
        Duration::from_secs_f64(connections as f64 / each_second as f64)
    };
    let written = load::run(
        &server.http,
        vec![orders(keys, 500)],
        4,
        ctx.time,
        Some(pause(WRITTEN / 500, 4)),
    );
    let mut random = fastrand::Rng::with_seed(7);
    let requests: Vec<Request> = (0..READS)
        .map(|_| load::get(&format!("/v1/tables/history/{}?limit=20", random.u64(0..keys))))
        .collect();
    let read = load::run(&server.http, requests, READERS, ctx.time, Some(pause(READS, READERS)));
    let (written, read) = futures::future::try_join(written, read).await?;
    let cpu = server.cpu_seconds() - cpu;
    let p99 = percentile(&read.latencies_ms, 0.99);
    ensure!(!read.latencies_ms.is_empty(), "no read was answered");
    let memory_mb = server.memory_mb_max();
    let bytes = size_of(&folder.join("data/served"))?;
    server.stop(&*clock).await?;
    fs::remove_dir_all(&folder)?;
    Ok(vec![Figure {
        what: format!("reads by key over HTTP, {} keys, p99", short(keys as f64)),
        ours: p99,
        limit: None,
        unit: "ms",
        goal: "≤ 5 at 10 k reads/s beside 20 k records/s, 10 M keys",
        note: format!(
            "p50 {:.2} ms, p99.9 {:.1} ms at {} reads/s while {} records/s were written; {:.0} % of two cores, {memory_mb:.0} MB at most; the keys were sent in {:.1} s, their index is {:.0} MB",
            percentile(&read.latencies_ms, 0.5),
            percentile(&read.latencies_ms, 0.999),
            short(read.latencies_ms.len() as f64 / read.seconds),
            short(written.records as f64 / written.seconds),
            cpu / read.seconds / 2.0 * 100.0,
            filled.as_secs_f64(),
            bytes as f64 / 1e6,
        ),
    }])
}

/// Sends one order of each key.
async fn fill(server: &Server, keys: u64) -> anyhow::Result<()> {
    let client = reqwest::Client::new();
    let url = format!("http://{}/v1/streams/orders/records", server.http);
    let clock = SystemClock::start();
    let mut first = 0;
    while first < keys {
        let records = FILL_RECORDS.min(keys - first);
        let mut body = String::new();
        for key in first..first + records {
            write_order(&mut body, key, key);
        }
        loop {
            let sent = client
                .post(&url)
                .header("content-type", "application/x-ndjson")
                .body(body.clone())
                .send()
                .await?;
            match sent.status().as_u16() {
                200 => break,
                429 | 503 => clock.sleep(Duration::from_millis(20)).await,
                other => anyhow::bail!("HTTP {other}: {}", sent.text().await?),
            }
        }
        first += records;
    }
    Ok(())
}

/// A request with orders of customers drawn by chance.
fn orders(keys: u64, records: u64) -> Request {
    let mut random = fastrand::Rng::with_seed(3);
    let mut body = String::new();
    for order in 0..records {
        write_order(&mut body, random.u64(0..keys), order);
    }
    let headers = "content-type: application/x-ndjson\r\n";
    load::post("/v1/streams/orders/records", headers, body.as_bytes(), records)
}

fn write_order(body: &mut String, customer: u64, order: u64) {
    let (minute, second) = (order / 60 % 60, order % 60);
    // A string takes all that is written into it.
    let _written = writeln!(
        body,
        "{{\"customer\":{customer},\"ts\":\"2026-01-05T10:{minute:02}:{second:02}Z\",\"order_id\":{order},\"total\":12.50}}"
    );
}

fn size_of(folder: &std::path::Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let facts = entry.metadata()?;
        bytes += if facts.is_dir() { size_of(&entry.path())? } else { facts.len() };
    }
    Ok(bytes)
}
