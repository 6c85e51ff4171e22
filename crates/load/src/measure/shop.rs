//! The shop's whole pipeline: HTTP in, checks, tables, Delta out, SQL beside it.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::ensure;
use base::figure::{Figure, percentile, short};

use super::{Running, folder};
use crate::api::Api;
use crate::drive::Drive;
use crate::http::{Request, post};
use crate::server::Server;
use crate::{Ctx, project};

fn shop(ctx: &Ctx) -> anyhow::Result<Running> {
    let folder = folder(ctx, "shop")?;
    let project = project::shop(&folder.0)?;
    let server = Server::of_project(ctx, &folder.0, &project)?;
    Ok(Running { server, folder })
}

/// Requests of `records` orders each, so many in a hundred bad. Their times are within one minute,
/// as those of orders are that arrive as fast as this; sent again, they are out of order and not late.
fn orders(records: usize, bad_percent: u32) -> Arc<[Request]> {
    const REQUESTS: usize = 64;
    let mut random = fastrand::Rng::with_seed(1);
    let request = |index: usize| {
        let mut body = String::new();
        for order in 0..records {
            let is_bad = random.u32(0..100) < bad_percent;
            body.push_str(&order_of(
                &mut random,
                index * records + order,
                is_bad,
                index * 60 / REQUESTS,
            ));
        }
        let headers = "content-type: application/x-ndjson\r\n";
        post("/v1/streams/orders/records", headers, body.as_bytes(), records as u64)
    };
    (0..REQUESTS).map(request).collect()
}

fn order_of(random: &mut fastrand::Rng, number: usize, is_bad: bool, second: usize) -> String {
    let region = random.choice(["fr", "de", "uk", "es"]).unwrap_or_default();
    let (quantity, cents) = (random.u64(1..6), random.u64(500..20_000));
    let total = if is_bad { 1 } else { quantity * cents };
    format!(
        "{{\"order_id\":\"o-{number}\",\"ts\":\"2026-01-05T10:00:{second:02}Z\",\"customer_id\":\"c{}\",\
         \"product_id\":\"p{}\",\"region\":\"{region}\",\"quantity\":{quantity},\"unit_price\":{}.{:02},\"total\":{}.{:02}}}\n",
        random.u32(0..20_000),
        random.u32(1..501),
        cents / 100,
        cents % 100,
        total / 100,
        total % 100
    )
}

fn drive<'a>(
    ctx: &Ctx,
    server: &'a Server,
    requests: Arc<[Request]>,
    (connections, time, rate): (usize, Duration, Option<f64>),
) -> Drive<'a> {
    let clock = Arc::clone(&ctx.clock);
    Drive { address: &server.http, requests, connections, time, rate, clock }
}

/// As fast as it goes, from the first request until the last row is in a Delta table.
pub(super) fn full(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let running = shop(ctx)?;
    let server = &running.server;
    let requests = orders(2_000, 1);
    let began = ctx.clock.elapsed();
    let outcome = drive(ctx, server, requests, (4, ctx.time * 3, None)).run()?;
    settle(ctx, server, outcome.records())?;
    let seconds = (ctx.clock.elapsed() - began).as_secs_f64();
    let records = outcome.records() as f64;
    Ok(vec![Figure {
        what: "whole shop, HTTP in to Delta out, as fast as it goes".to_owned(),
        ours: records / seconds,
        limit: None,
        unit: "orders/s",
        goal: "≥ 1 M",
        note: format!(
            "acknowledged {} a second while sending; {} per CPU-second; {:.0} MB at most; the load takes {:.0} % of a core",
            short(outcome.records_per_second()),
            short(records / server.cpu_seconds()),
            server.memory_mb_max(),
            outcome.core_percent()
        ),
    }])
}

/// At the seeds' 5,000 orders a second: what of the machine it takes.
pub(super) fn steady(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let running = shop(ctx)?;
    let server = &running.server;
    let requests = orders(250, 1);
    let cpu = server.cpu_seconds();
    let outcome = drive(ctx, server, requests, (2, ctx.time * 4, Some(20.0))).run()?;
    let share = (server.cpu_seconds() - cpu) / outcome.seconds / 2.0 * 100.0;
    Ok(vec![Figure {
        what: "whole shop at 5,000 orders/s, share of two cores".to_owned(),
        ours: share,
        limit: None,
        unit: "%",
        goal: "≤ 10 %, ≤ 300 MB",
        note: format!("{:.0} MB at most", server.memory_mb_max()),
    }])
}

/// Orders of one request, and requests a second: 50,000 rows a second.
const BATCH: u64 = 500;
const BATCHES: f64 = 100.0;

/// From the acknowledgement of a batch until a SELECT sees the window changed that counts it, at
/// 50,000 rows a second.
pub(super) fn visible(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let running = shop(ctx)?;
    let server = &running.server;
    let time = ctx.time * 2;
    let load = drive(ctx, server, orders(500, 0), (4, time, Some(BATCHES)));
    let api = Api::of(ctx, &server.http);
    let until = ctx.clock.elapsed() + time + Duration::from_secs(10);
    let (outcome, shown) = thread::scope(|scope| {
        let writer = scope.spawn(|| load.run());
        // When so many orders were in the windows.
        let mut shown = Vec::new();
        let mut ended = None;
        while ctx.clock.elapsed() < until {
            let row = api.sql("SELECT sum(orders) FROM sales_by_minute")?;
            let count = row.as_u64().unwrap_or_default(); // NULL before the first.
            shown.push((ctx.clock.elapsed(), count));
            // A last look, when all was sent, shows the last batch.
            let now = ctx.clock.elapsed();
            match ended {
                None => ended = writer.is_finished().then_some(now),
                Some(ended) if LAST_LOOK < now.saturating_sub(ended) => break,
                Some(_) => {}
            }
            thread::sleep(Duration::from_millis(1));
        }
        let outcome = writer.join().map_err(|_panic| anyhow::anyhow!("the writer panicked"))??;
        anyhow::Ok((outcome, shown))
    })?;
    let mut waits = Vec::new();
    let mut looks = shown.iter();
    let mut look = looks.next();
    for (index, batch) in outcome.answered.iter().enumerate() {
        let wanted = (index as u64 + 1) * BATCH;
        while look.is_some_and(|(_, count)| *count < wanted) {
            look = looks.next();
        }
        if let Some((at, _)) = look {
            waits.push(at.saturating_sub(batch.at).as_secs_f64() * 1e3);
        }
    }
    ensure!(!waits.is_empty(), "no window ever changed");
    waits.sort_by(f64::total_cmp);
    Ok(vec![Figure {
        what: "acknowledgement to a changed window in SQL at 50,000 rows/s, p99".to_owned(),
        ours: percentile(&waits, 0.99),
        limit: None,
        unit: "ms",
        goal: "p50 ≤ 20, p99 ≤ 100",
        note: format!(
            "p50 {:.1} ms over {} batches of {}; the question itself is in it",
            percentile(&waits, 0.5),
            waits.len(),
            outcome.answered.len()
        ),
    }])
}

/// How long after the last batch its windows are looked for.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// Waits until all records are rows or rejects, and those are in Delta tables.
fn settle(ctx: &Ctx, server: &Server, records: u64) -> anyhow::Result<()> {
    let api = Api::of(ctx, &server.http);
    let until = ctx.clock.elapsed() + Duration::from_secs(300);
    loop {
        let done = api.sql("SELECT stored + dead FROM system.conservation")?;
        let hot = api.sql("SELECT sum(hot_rows) FROM system.epochs")?;
        // Open windows stay in memory by their nature; everything else is stored.
        if done.as_u64() == Some(records) && hot.as_u64().is_some_and(|it| it < 10_000) {
            return Ok(());
        }
        ensure!(ctx.clock.elapsed() < until, "it does not settle: {done} of {records}");
        thread::sleep(Duration::from_millis(20));
    }
}
