//! Records out by `SubscribeToShard`: how many a second, and how soon after they were put.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base::figure::{Figure, median, percentile, short};
use memchr::memmem;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use self::events::Events;
use super::get::{SHARDS, fill, shard_id};
use super::{CONNECTIONS, ROUNDS, ours};
use crate::Ctx;
use crate::api::Api;
use crate::bodies::{self, MARK, Puts, Shape};
use crate::drive::{Drive, Outcome, percentiles};
use crate::http::MARK_DIGITS;
use crate::server::{Server, cpu_seconds_of};

mod events;

/// Records that are read to their end, by one consumer after the other.
const RECORDS: u64 = 400_000;

/// Consumers of one stream at most are 20.
const PASSES_MAX: usize = 16;

pub(super) fn records(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let (mut rates, mut per_cpu, mut cores) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let running = ours(ctx, 1, SHARDS, None)?;
        let filled = fill(ctx, &running.server, RECORDS)?;
        let (cpu, own_cpu) = (running.server.cpu_seconds(), cpu_seconds_of("self"));
        let began = ctx.clock.elapsed();
        let mut read = 0;
        for pass in 0..PASSES_MAX {
            let arn = consumer(ctx, &running.server, &format!("pass-{pass}"))?;
            read_all(&running.server, &arn, filled)?;
            read += filled;
            if began + ctx.time / 2 < ctx.clock.elapsed() {
                break;
            }
        }
        let seconds = (ctx.clock.elapsed() - began).as_secs_f64();
        rates.push(read as f64 / seconds);
        per_cpu.push(read as f64 / (running.server.cpu_seconds() - cpu).max(0.01));
        cores.push((cpu_seconds_of("self") - own_cpu) / seconds * 100.0);
    }
    Ok(vec![Figure {
        what: "SubscribeToShard 500 bytes, 4 shards".to_owned(),
        ours: median(&mut rates),
        limit: None,
        unit: "records/s",
        goal: "≥ 500 k",
        note: format!(
            "{} per CPU-second; the load takes {:.0} % of a core",
            short(median(&mut per_cpu)),
            median(&mut cores)
        ),
    }])
}

/// Registers a consumer of the first stream; returns its ARN.
fn consumer(ctx: &Ctx, server: &Server, name: &str) -> anyhow::Result<String> {
    let api = Api::of(ctx, &server.http);
    let summary = api.call("DescribeStreamSummary", &json!({"StreamName": bodies::stream(0)}))?;
    let arn = summary.pointer("/StreamDescriptionSummary/StreamARN").context("an ARN")?;
    let made =
        api.call("RegisterStreamConsumer", &json!({"StreamARN": arn, "ConsumerName": name}))?;
    let arn = made.pointer("/Consumer/ConsumerARN").and_then(Value::as_str);
    Ok(arn.context("an ARN")?.to_owned())
}

/// Follows all shards from their beginning until so many records came.
fn read_all(server: &Server, arn: &str, records: u64) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (counts, mut counted) = mpsc::channel(64);
        let mut tasks = Vec::new();
        for shard in 0..SHARDS {
            let events = Events::of(&server.http, arn, &shard_id(shard), "TRIM_HORIZON").await?;
            let counts = counts.clone();
            tasks.push(base::task::spawn("subscriber", tell_counts(events, counts)));
        }
        drop(counts);
        let mut sum = 0;
        while sum < records {
            let count = counted.recv().await;
            sum += count.with_context(|| format!("it ended after {sum} of {records} records"))?;
        }
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        Ok(())
    })
}

/// Tells how many records each event holds.
async fn tell_counts(mut events: Events, counts: mpsc::Sender<u64>) -> anyhow::Result<()> {
    while let Some(event) = events.next().await? {
        let count = memmem::find_iter(&event, br#""PartitionKey""#).count() as u64;
        if counts.send(count).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Requests a second, and records of each: 20,000 records a second.
const RATE: f64 = 200.0;
const REQUEST_RECORDS: usize = 100;

pub(super) fn latency(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let puts = Puts { shape: Shape::Many(REQUEST_RECORDS), is_marked: true, ..Puts::default() };
    let requests = puts.requests();
    let (mut all, mut acknowledged) = (Vec::new(), Vec::new());
    let (mut p99s, mut p99s_acknowledged) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let running = ours(ctx, 1, 1, None)?;
        let arn = consumer(ctx, &running.server, "follower")?;
        let drive = Drive {
            address: &running.server.http,
            requests: Arc::clone(&requests),
            connections: CONNECTIONS,
            time: ctx.time / 2,
            rate: Some(RATE),
            clock: Arc::clone(&ctx.clock),
        };
        let (outcome, seen) = follow(ctx, &drive, &arn)?;
        let due = |number: u64| outcome.began + Duration::from_secs_f64(number as f64 / RATE);
        let mut waits: Vec<f64> = seen
            .iter()
            .map(|(number, at)| at.saturating_sub(due(*number)).as_secs_f64() * 1e3)
            .collect();
        waits.sort_by(f64::total_cmp);
        p99s.push(percentile(&waits, 0.99));
        p99s_acknowledged.push(percentile(&outcome.latencies_ms(), 0.99));
        all.extend(waits);
        acknowledged.extend(outcome.latencies_ms());
    }
    all.sort_by(f64::total_cmp);
    acknowledged.sort_by(f64::total_cmp);
    Ok(vec![Figure {
        what: "put to subscriber at 20,000 records/s, p99".to_owned(),
        ours: median(&mut p99s),
        limit: Some(("their acknowledgement, p99".to_owned(), median(&mut p99s_acknowledged))),
        unit: "ms",
        goal: "≤ 20",
        note: format!(
            "{} over all rounds, 100 records a request; acknowledged {}",
            percentiles(&all),
            percentiles(&acknowledged)
        ),
    }])
}

/// When a subscriber saw which request.
type Seen = Vec<(u64, Duration)>;

/// Puts, and follows the only shard meanwhile.
fn follow(ctx: &Ctx, drive: &Drive<'_>, arn: &str) -> anyhow::Result<(Outcome, Seen)> {
    let total = (RATE * drive.time.as_secs_f64()).ceil() as usize;
    let deadline = drive.time + Duration::from_secs(10);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut events = runtime.block_on(Events::of(drive.address, arn, &shard_id(0), "LATEST"))?;
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let read = see(ctx, &mut events, total);
            runtime.block_on(async { tokio::time::timeout(deadline, read).await })
        });
        let outcome = drive.run()?;
        let seen = reader.join().map_err(|_panic| anyhow::anyhow!("the subscriber panicked"))?;
        let seen = seen.context("the subscriber did not see all that was put")??;
        ensure!(!seen.is_empty(), "the subscriber saw nothing");
        Ok((outcome, seen))
    })
}

/// Notes when each request was seen, until it was so many.
async fn see(ctx: &Ctx, events: &mut Events, total: usize) -> anyhow::Result<Seen> {
    let mut seen = Seen::new();
    while seen.len() < total {
        let Some(event) = events.next().await? else { break };
        let at = ctx.clock.elapsed();
        seen.extend(marks_of(&event).map(|number| (number, at)));
    }
    Ok(seen)
}

/// The numbers of the requests whose first record is in an event.
fn marks_of(event: &[u8]) -> impl Iterator<Item = u64> {
    memmem::find_iter(event, MARK).filter_map(|place| {
        let digits = event.get(place + MARK.len()..)?.get(..MARK_DIGITS)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    })
}
