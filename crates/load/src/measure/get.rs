//! Records out by `GetRecords`: from compressed files, and fresh ones from memory.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base::figure::{Figure, median, short};
use memchr::memmem;
use serde_json::{Value, json};

use super::{CONNECTIONS, ROUNDS, Running, ours};
use crate::Ctx;
use crate::api::Api;
use crate::bodies::{self, Puts};
use crate::drive::Drive;
use crate::http::Connection;
use crate::server::{Server, cpu_seconds_of};

pub(super) const SHARDS: u32 = 4;

/// Records that memory holds: they take 42 MB of its 64.
const FRESH: u64 = 80_000;

/// Records that fill more than three segments, of which at least two become compressed files.
const SEALED: u64 = 800_000;

pub(super) fn records(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let (mut sealed, mut fresh) = (Rates::default(), Rates::default());
    for _ in 0..ROUNDS {
        let running = ours(ctx, 1, SHARDS, None)?;
        let filled = fill(ctx, &running.server, SEALED)?;
        wait_until_sealed(&running)?;
        // The first half lies in the files.
        sealed.round(ctx, &running.server, filled / u64::from(SHARDS) / 2)?;
        drop(running);
        let running = ours(ctx, 1, SHARDS, None)?;
        fill(ctx, &running.server, FRESH)?;
        fresh.round(ctx, &running.server, u64::MAX)?;
    }
    let figure = |what: &str, mut rates: Rates| Figure {
        what: format!("GetRecords 10,000 x 500 bytes, 4 readers, {what}"),
        ours: median(&mut rates.per_second),
        limit: None,
        unit: "records/s",
        goal: "≥ 500 k",
        note: format!(
            "{} per CPU-second; the load takes {:.0} % of a core",
            short(median(&mut rates.per_cpu_second)),
            median(&mut rates.core_percent)
        ),
    };
    Ok(vec![figure("compressed", sealed), figure("fresh", fresh)])
}

/// Writes so many records of 500 bytes into the first stream; returns how many were taken.
pub(super) fn fill(ctx: &Ctx, server: &Server, records: u64) -> anyhow::Result<u64> {
    let time = Duration::from_millis(100);
    // All are due at once.
    let rate = records as f64 / 500.0 / time.as_secs_f64();
    let drive = Drive {
        address: &server.http,
        requests: Puts::default().requests(),
        connections: CONNECTIONS,
        time,
        rate: Some(rate),
        clock: Arc::clone(&ctx.clock),
    };
    let filled = drive.run()?.records();
    ensure!(records / 2 < filled, "only {filled} of {records} records were taken");
    Ok(filled)
}

/// Waits until at least two segments are compressed.
fn wait_until_sealed(running: &Running) -> anyhow::Result<()> {
    let folder = running.folder.0.join("data/journal/sealed");
    for _ in 0..SEALED_LOOKS_MAX {
        if 2 <= sealed_files(&folder)? {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(100));
    }
    anyhow::bail!("{} does not get files", folder.display())
}

/// How often it is looked for compressed files: for two minutes.
const SEALED_LOOKS_MAX: u32 = 1_200;

fn sealed_files(folder: &Path) -> anyhow::Result<usize> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let is_sealed = |it: &std::fs::DirEntry| it.path().extension().is_some_and(|it| it == "sealed");
    Ok(entries.filter_map(Result::ok).filter(is_sealed).count())
}

#[derive(Default)]
struct Rates {
    per_second: Vec<f64>,
    per_cpu_second: Vec<f64>,
    core_percent: Vec<f64>,
}

impl Rates {
    /// Reads all shards at once, each from its beginning and `records_max` records far, again and
    /// again.
    fn round(&mut self, ctx: &Ctx, server: &Server, records_max: u64) -> anyhow::Result<()> {
        let (began, cpu) = (ctx.clock.elapsed(), server.cpu_seconds());
        let own_cpu = cpu_seconds_of("self");
        let read = thread::scope(|scope| {
            let readers: Vec<_> = (0..SHARDS)
                .map(|shard| scope.spawn(move || read(ctx, server, shard, records_max)))
                .collect();
            let mut sum = 0;
            for reader in readers {
                sum += reader.join().map_err(|_panic| anyhow::anyhow!("a reader panicked"))??;
            }
            anyhow::Ok(sum)
        })? as f64;
        let seconds = (ctx.clock.elapsed() - began).as_secs_f64();
        self.per_second.push(read / seconds);
        self.per_cpu_second.push(read / (server.cpu_seconds() - cpu).max(0.01));
        self.core_percent.push((cpu_seconds_of("self") - own_cpu) / seconds * 100.0);
        Ok(())
    }
}

pub(super) fn shard_id(shard: u32) -> String {
    format!("shardId-{shard:012}")
}

/// Reads one shard for half the time; returns how many records came.
fn read(ctx: &Ctx, server: &Server, shard: u32, records_max: u64) -> anyhow::Result<u64> {
    let api = Api::of(ctx, &server.http);
    let mut connection = Connection::open(&server.http)?;
    let from = json!({
        "StreamName": bodies::stream(0),
        "ShardId": shard_id(shard),
        "ShardIteratorType": "TRIM_HORIZON",
    });
    let until = ctx.clock.elapsed() + ctx.time / 2;
    let mut sum = 0;
    loop {
        let start = api.call("GetShardIterator", &from)?;
        let start = start.pointer("/ShardIterator").and_then(Value::as_str);
        let mut iterator = start.context("an iterator")?.to_owned();
        let mut count = 0;
        while count < records_max {
            if until <= ctx.clock.elapsed() {
                return Ok(sum + count);
            }
            let body = json!({"ShardIterator": iterator, "Limit": 10_000});
            let (status, answer) = connection.ask(&api.request("GetRecords", &body))?;
            ensure!(status == 200, "GetRecords: HTTP {status}");
            let found = memmem::find_iter(answer, br#""PartitionKey""#).count() as u64;
            if found == 0 {
                break;
            }
            count += found;
            iterator = next_iterator(answer).context("there is a next iterator")?;
        }
        ensure!(0 < count, "shard {shard} is empty");
        sum += count;
    }
}

fn next_iterator(answer: &[u8]) -> Option<String> {
    const NAME: &[u8] = br#""NextShardIterator":""#;
    let rest = answer.get(memmem::find(answer, NAME)? + NAME.len()..)?;
    let end = memchr::memchr(b'"', rest)?;
    String::from_utf8(rest.get(..end)?.to_vec()).ok()
}
