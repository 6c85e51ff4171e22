//! Measures the shop's whole pipeline: HTTP in, checks, tables, Delta out, SQL beside it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base::time::SystemClock;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::load::{self, Request};
use super::server::Server;
use super::{Ctx, Figure, percentile};

const MAINSTEM: &str = r#"
[project]
name = "shop"

[stream.orders]
from = ["http"]
time = "ts"
key  = "customer_id"

[stream.orders.columns]
order_id    = "text not null"
ts          = "timestamp not null"
customer_id = "text"
product_id  = "text"
region      = "text"
quantity    = "int"
unit_price  = "decimal(10,2)"
total       = "decimal(12,2)"

[stream.orders.checks]
price_is_positive = "unit_price > 0 AND quantity > 0"
total_is_right    = "abs(total - unit_price * quantity) < 0.01"

[lookup.products]
from = "products.csv"
key  = "product_id"

[table.orders_clean]
sql = "SELECT o.order_id, o.ts, o.customer_id, upper(o.region) AS region, o.quantity, o.total, p.name AS product_name, p.category FROM orders o LEFT JOIN products p ON p.product_id = o.product_id"

[table.sales_by_minute]
late = "10 minutes"
sql  = "SELECT tumble(ts, '1 minute') AS minute, region, category, count(*) AS orders, sum(total) AS revenue FROM orders_clean GROUP BY minute, region, category"
"#;

fn project(ctx: &Ctx, name: &str) -> anyhow::Result<(PathBuf, PathBuf)> {
    let folder = ctx.folder.join(name);
    let project = folder.join("project");
    fs::create_dir_all(&project)?;
    fs::write(project.join("mainstem.toml"), MAINSTEM)?;
    let mut products = "product_id,name,category\n".to_owned();
    for number in 1..=500 {
        products.push_str(&format!("p{number},product {number},category {}\n", number % 12));
    }
    fs::write(project.join("products.csv"), products)?;
    Ok((folder, project))
}

/// Requests of `records` orders each, so many in a hundred bad. Their times are within one minute,
/// as those of orders are that arrive as fast as this; sent again, they are out of order and not late.
fn orders(requests: usize, records: usize, bad_percent: u32) -> Vec<Request> {
    let mut random = fastrand::Rng::with_seed(1);
    let regions = ["fr", "de", "uk", "es"];
    let mut number = 0;
    (0..requests)
        .map(|request| {
            let mut body = String::new();
            for _ in 0..records {
                number += 1;
                let (quantity, cents) = (random.u64(1..6), random.u64(500..20_000));
                let total = if random.u32(0..100) < bad_percent { 1 } else { quantity * cents };
                let second = request * 60 / requests;
                body.push_str(&format!(
                    "{{\"order_id\":\"o-{number}\",\"ts\":\"2026-01-05T10:00:{second:02}Z\",\"customer_id\":\"c{}\",\
                     \"product_id\":\"p{}\",\"region\":\"{}\",\"quantity\":{quantity},\"unit_price\":{}.{:02},\"total\":{}.{:02}}}\n",
                    random.u32(0..20_000),
                    random.u32(1..501),
                    regions[random.usize(0..regions.len())],
                    cents / 100,
                    cents % 100,
                    total / 100,
                    total % 100
                ));
            }
            load::post("/v1/streams/orders/records", "content-type: application/x-ndjson\r\n", body.as_bytes(), records as u64)
        })
        .collect()
}

/// As fast as it goes, from the first request until the last row is in a Delta table.
pub(crate) async fn full(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let (folder, project) = project(ctx, "shop")?;
    let server = Server::of_project(&folder, &project)?;
    let clock = SystemClock::start();
    let outcome = load::run(&server.http, orders(64, 2_000, 1), 4, ctx.time * 3, None).await?;
    let taken_in = clock.elapsed().as_secs_f64();
    settle(&server, outcome.records).await?;
    let seconds = clock.elapsed().as_secs_f64();
    let records = outcome.records as f64;
    Ok(vec![Figure {
        what: "whole shop, HTTP in to Delta out, as fast as it goes".to_owned(),
        ours: records / seconds,
        limit: None,
        unit: "orders/s",
        goal: "≥ 1 M",
        note: format!(
            "acknowledged {} a second while sending; {} per CPU-second; {:.0} MB at most; the client shares the two cores",
            super::short(records / taken_in),
            super::short(records / server.cpu_seconds()),
            server.memory_mb_max()
        ),
    }])
}

/// At the seeds' 5,000 orders a second: what of the machine it takes.
pub(crate) async fn steady(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let (folder, project) = project(ctx, "steady")?;
    let server = Server::of_project(&folder, &project)?;
    let clock = SystemClock::start();
    let before = server.cpu_seconds();
    let pause = Some(Duration::from_millis(100));
    load::run(&server.http, orders(64, 250, 1), 2, ctx.time * 4, pause).await?;
    let seconds = clock.elapsed().as_secs_f64();
    let share = (server.cpu_seconds() - before) / seconds / 2.0 * 100.0;
    Ok(vec![Figure {
        what: "the same at 5,000 orders/s: share of two cores".to_owned(),
        ours: share,
        limit: None,
        unit: "%",
        goal: "≤ 10 %, ≤ 300 MB",
        note: format!("{:.0} MB at most", server.memory_mb_max()),
    }])
}

/// From the acknowledgement of a batch until a SELECT sees the window changed that counts it, at
/// 50,000 rows a second.
pub(crate) async fn visible(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let (folder, project) = project(ctx, "visible")?;
    let server = Server::of_project(&folder, &project)?;
    let clock = SystemClock::start();
    let client = reqwest::Client::new();
    // Each batch of 500 is followed by how many were acknowledged and when.
    let acknowledged: Arc<Mutex<Vec<(u64, Duration)>>> = Arc::default();
    let (times, address, watch) =
        (Arc::clone(&acknowledged), server.http.clone(), Arc::clone(&clock));
    let time = ctx.time * 2;
    let writer = base::task::spawn("writer", async move {
        let requests = orders(64, 500, 0);
        let client = reqwest::Client::new();
        let (mut sent, mut due) = (0, Duration::ZERO);
        for request in requests.iter().cycle() {
            if time < watch.elapsed() {
                break;
            }
            watch.sleep(due.saturating_sub(watch.elapsed())).await;
            due += Duration::from_millis(10);
            let body =
                request.bytes.splitn(2, |it| *it == b'{').nth(1).map(|it| [b"{", it].concat());
            let request = client
                .post(format!("http://{address}/v1/streams/orders/records"))
                .header("content-type", "application/x-ndjson")
                .body(body.unwrap_or_default());
            if request.send().await.is_ok_and(|it| it.status().is_success()) {
                sent += 500;
                times.lock().push((sent, watch.elapsed()));
            }
        }
    });
    let mut waits = Vec::new();
    let mut seen = 0;
    while clock.elapsed() < time {
        let row = ask(&client, &server, "SELECT sum(orders) FROM sales_by_minute").await?;
        let now = clock.elapsed();
        let shown = row.as_u64().unwrap_or_default(); // NULL before the first.
        for (count, acknowledged) in acknowledged.lock().iter() {
            if seen < *count && *count <= shown {
                waits.push((now.saturating_sub(*acknowledged)).as_secs_f64() * 1e3);
            }
        }
        seen = seen.max(shown);
        clock.sleep(Duration::from_millis(1)).await;
    }
    writer.await?;
    anyhow::ensure!(!waits.is_empty(), "no window ever changed");
    waits.sort_by(f64::total_cmp);
    Ok(vec![Figure {
        what: "acknowledgement to a changed window in SQL at 50,000 rows/s, p99".to_owned(),
        ours: percentile(&waits, 0.99),
        limit: None,
        unit: "ms",
        goal: "p50 ≤ 20, p99 ≤ 100",
        note: format!(
            "p50 {:.1} ms over {} batches; the question itself is in it",
            percentile(&waits, 0.5),
            waits.len()
        ),
    }])
}

/// Waits until all records are rows or rejects, and those are in Delta tables.
async fn settle(server: &Server, records: u64) -> anyhow::Result<()> {
    let clock = SystemClock::start();
    let client = reqwest::Client::new();
    loop {
        let done = ask(&client, server, "SELECT stored + dead FROM system.conservation").await?;
        let hot = ask(&client, server, "SELECT sum(hot_rows) FROM system.epochs").await?;
        // Open windows stay in memory by their nature; everything else is stored.
        if done.as_u64() == Some(records) && hot.as_u64().is_some_and(|it| it < 10_000) {
            return Ok(());
        }
        anyhow::ensure!(
            clock.elapsed() < Duration::from_secs(300),
            "the pipeline does not settle: {done} of {records}"
        );
        clock.sleep(Duration::from_millis(20)).await;
    }
}

/// Asks for one value.
pub(super) async fn ask(
    client: &reqwest::Client,
    server: &Server,
    sql: &str,
) -> anyhow::Result<Value> {
    let request = client.post(format!("http://{}/v1/sql", server.http)).json(&json!({"sql": sql}));
    let answer: Value = request.send().await?.error_for_status()?.json().await?;
    let row = answer.pointer("/rows/0").cloned().context("a row")?;
    let first = row
        .as_array()
        .and_then(|it| it.first())
        .or_else(|| row.as_object().and_then(|it| it.values().next()));
    first.cloned().context("a value")
}
