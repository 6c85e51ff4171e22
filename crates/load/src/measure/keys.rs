//! Reads by key while rows come in, with as many keys as `--keys` says: by plain HTTP and by
//! DynamoDB's `GetItem`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base::figure::{Figure, percentile, short};
use serde_json::json;

use super::{Running, folder};
use crate::api::Api;
use crate::drive::{Drive, Outcome, percentiles};
use crate::http::{Connection, Request, get, post};
use crate::server::Server;
use crate::sign::Target;
use crate::{Ctx, project};

/// Records of one request while the keys are made.
const FILL_RECORDS: u64 = 20_000;

/// Records a second that are written while others read, 500 a request.
const WRITTEN: f64 = 20_000.0;
const WRITTEN_RECORDS: u64 = 500;

/// Reads a second, and the connections they come by.
const READS: f64 = 10_000.0;
const READERS: usize = 50;

/// How long the table may take to show all keys, after the last was acknowledged.
const SHOWN_MAX: Duration = Duration::from_secs(600);

/// Makes the keys, one order each, then reads and writes at once.
pub(super) fn reads(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let folder = folder(ctx, "keys")?;
    let project = project::keys(&folder.0)?;
    let server = Server::of_project(ctx, &folder.0, &project)?;
    let running = Running { server, folder };
    let server = &running.server;
    let began = ctx.clock.elapsed();
    fill(ctx, server)?;
    let filled = ctx.clock.elapsed() - began;
    let api = Api::of(ctx, &server.http);
    while api.sql("SELECT count(*) FROM history")?.as_u64() != Some(ctx.keys) {
        ensure!(ctx.clock.elapsed() < began + filled + SHOWN_MAX, "not all keys are shown");
        thread::sleep(Duration::from_millis(100));
    }
    let shown = ctx.clock.elapsed() - began;
    // What is measured is a table that grows, not one that is still being filled.
    while !is_settled(ctx, server, &api)? {
        ensure!(ctx.clock.elapsed() < began + filled + SHOWN_MAX, "the index is not made");
    }
    let settled = ctx.clock.elapsed() - began;
    let index_bytes = size_of(&running.folder.0.join("data/served"))?;
    let keys = short(ctx.keys as f64);
    let mut figures = Vec::new();
    for (what, requests) in [("GET", plain(ctx)), ("GetItem", get_item(ctx))] {
        check(server, requests.first().context("a request")?)?;
        let (read, cpu) = under_load(ctx, server, requests)?;
        let sorted = read.latencies_ms();
        figures.push(Figure {
            what: format!("reads by key, {what}, {keys} keys, p99"),
            ours: percentile(&sorted, 0.99),
            limit: None,
            unit: "ms",
            goal: "≤ 5 at 10 k reads/s beside 20 k records/s, 10 M keys",
            note: format!(
                "{} at {} reads/s; {:.0} % of two cores, the load {:.0} % of one; {:.0} MB at most, index {:.0} MB; keys sent in {:.0} s, shown after {:.0} s, all at rest after {:.0} s",
                percentiles(&sorted),
                short(read.answered.len() as f64 / read.seconds),
                cpu / read.seconds / 2.0 * 100.0,
                read.core_percent(),
                server.memory_mb_max(),
                index_bytes as f64 / 1e6,
                filled.as_secs_f64(),
                shown.as_secs_f64(),
                settled.as_secs_f64(),
            ),
        });
    }
    Ok(figures)
}

/// Of the processor, while nothing is sent and nothing is left to do.
const QUIET: f64 = 0.1;

/// Looks for a second whether all rows are stored and the index is sorted.
fn is_settled(ctx: &Ctx, server: &Server, api: &Api<'_>) -> anyhow::Result<bool> {
    let pending = api.sql("SELECT sum(pending) FROM conservation")?;
    let cpu = server.cpu_seconds();
    let began = ctx.clock.elapsed();
    thread::sleep(Duration::from_secs(1));
    let took = (ctx.clock.elapsed() - began).as_secs_f64();
    Ok(pending.as_u64() == Some(0) && (server.cpu_seconds() - cpu) / took < QUIET)
}

/// Reads and writes at their rates; returns what came of the reads, and CPU-seconds of the server.
fn under_load(
    ctx: &Ctx,
    server: &Server,
    requests: Arc<[Request]>,
) -> anyhow::Result<(Outcome, f64)> {
    let drive = |requests, connections, rate| Drive {
        address: &server.http,
        requests,
        connections,
        time: ctx.time,
        rate: Some(rate),
        clock: Arc::clone(&ctx.clock),
    };
    let write = drive(orders(ctx.keys), 4, WRITTEN / WRITTEN_RECORDS as f64);
    let read = drive(requests, READERS, READS);
    let cpu = server.cpu_seconds();
    let (written, read) = thread::scope(|scope| {
        let writer = scope.spawn(|| write.run());
        let read = read.run();
        (writer.join(), read)
    });
    let written = written.map_err(|_panic| anyhow::anyhow!("the writer panicked"))??;
    let read = read?;
    ensure!(!read.answered.is_empty(), "no read was answered");
    let goal = WRITTEN * ctx.time.as_secs_f64();
    ensure!(goal / 2.0 < written.records() as f64, "the writes did not keep up");
    Ok((read, server.cpu_seconds() - cpu))
}

/// One request has a row for its answer: what is measured is not a fault.
fn check(server: &Server, request: &Request) -> anyhow::Result<()> {
    let mut connection = Connection::open(&server.http)?;
    let (status, answer) = connection.ask(request)?;
    let has_row = memchr::memmem::find(answer, b"order_id").is_some();
    let text = String::from_utf8_lossy(answer);
    ensure!(status == 200 && has_row, "a read is answered by HTTP {status}: {text}");
    Ok(())
}

/// Reads of keys drawn by chance.
fn plain(ctx: &Ctx) -> Arc<[Request]> {
    let mut random = fastrand::Rng::with_seed(7);
    let path = |key: u64| format!("/v1/tables/history/{key}?limit=20");
    (0..100_000).map(|_| get(&path(random.u64(0..ctx.keys)))).collect()
}

fn get_item(ctx: &Ctx) -> Arc<[Request]> {
    let mut random = fastrand::Rng::with_seed(11);
    let target = Target {
        service: "dynamodb",
        content_type: "application/x-amz-json-1.0",
        operation: "DynamoDB_20120810.GetItem",
    };
    let request = |key: u64| {
        let item = json!({"customer": {"N": key.to_string()}, "ts": {"S": moment(key)}});
        let body = json!({"TableName": "history", "Key": item}).to_string();
        target.request(None, 0, body.as_bytes(), 0)
    };
    (0..100_000).map(|_| request(random.u64(0..ctx.keys))).collect()
}

/// Sends one order of each key.
fn fill(ctx: &Ctx, server: &Server) -> anyhow::Result<()> {
    let mut connection = Connection::open(&server.http)?;
    let mut first = 0;
    while first < ctx.keys {
        let records = FILL_RECORDS.min(ctx.keys - first);
        let mut body = String::new();
        for key in first..first + records {
            write_order(&mut body, key, key);
        }
        let request = send(&body, records);
        loop {
            let (status, answer) = connection.ask(&request)?;
            match status {
                200 => break,
                429 | 503 => thread::sleep(Duration::from_millis(20)),
                other => anyhow::bail!("HTTP {other}: {}", String::from_utf8_lossy(answer)),
            }
        }
        first += records;
    }
    Ok(())
}

/// Requests with orders of customers drawn by chance.
fn orders(keys: u64) -> Arc<[Request]> {
    let mut random = fastrand::Rng::with_seed(3);
    let request = |index: u64| {
        let mut body = String::new();
        for order in 0..WRITTEN_RECORDS {
            write_order(&mut body, random.u64(0..keys), index * WRITTEN_RECORDS + order);
        }
        send(&body, WRITTEN_RECORDS)
    };
    (0..64).map(request).collect()
}

fn send(body: &str, records: u64) -> Request {
    let headers = "content-type: application/x-ndjson\r\n";
    post("/v1/streams/orders/records", headers, body.as_bytes(), records)
}

/// When an order was made, by its number.
fn moment(order: u64) -> String {
    let (minute, second) = (order / 60 % 60, order % 60);
    format!("2026-01-05T10:{minute:02}:{second:02}Z")
}

fn write_order(body: &mut String, customer: u64, order: u64) {
    let ts = moment(order);
    writeln!(
        body,
        "{{\"customer\":{customer},\"ts\":\"{ts}\",\"order_id\":{order},\"total\":12.50}}"
    )
    .unwrap_or_default();
}

fn size_of(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A file may be replaced while it is looked at.
        let Ok(facts) = entry.metadata() else { continue };
        bytes += if facts.is_dir() { size_of(&entry.path())? } else { facts.len() };
    }
    Ok(bytes)
}
