//! Throughput, acknowledgements at half load and memory with few and many shards and streams.

use std::sync::Arc;

use base::figure::{Figure, percentile, short};

use super::{CONNECTIONS, ROUNDS, Rates, ours};
use crate::Ctx;
use crate::bodies::Puts;
use crate::drive::{Drive, Outcome, percentiles};

/// Records of one request.
const RECORDS: f64 = 500.0;

/// What was found with so many shards.
struct Found {
    shards: u32,
    rates: Rates,
    half: Outcome,
    memory_mb: f64,
}

pub(super) fn shards(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let requests = Puts::default().requests();
    let mut all = [1, 10, 1_000].map(|shards| Found {
        shards,
        rates: Rates::default(),
        half: Outcome::default(),
        memory_mb: 0.0,
    });
    for _ in 0..ROUNDS {
        for found in &mut all {
            let running = ours(ctx, 1, found.shards, None)?;
            let server = &running.server;
            let peak = found.rates.round(ctx, server, &requests, CONNECTIONS)?;
            let half = Drive {
                address: &server.http,
                requests: Arc::clone(&requests),
                connections: CONNECTIONS * 2,
                time: ctx.time / 2,
                rate: Some((peak / RECORDS / 2.0).max(1.0)),
                clock: Arc::clone(&ctx.clock),
            };
            found.half.add(half.run()?);
            found.memory_mb = found.memory_mb.max(server.memory_mb_max());
        }
    }
    let one = all.iter_mut().find(|it| it.shards == 1);
    let (rate, p99_ms) = one.map_or((0.0, 0.0), |it| {
        (it.rates.per_second(), percentile(&it.half.latencies_ms(), 0.99))
    });
    let mut figures = Vec::new();
    for found in &mut all {
        let is_one = found.shards == 1;
        let name = match found.shards {
            1 => "1 shard".to_owned(),
            1_000 => "1,000 shards".to_owned(),
            shards => format!("{shards} shards"),
        };
        figures.push(Figure {
            what: format!("PutRecords 500 x 500 bytes, {name}"),
            ours: found.rates.per_second(),
            limit: (!is_one).then(|| ("1 shard".to_owned(), rate)),
            unit: "records/s",
            goal: if is_one { "" } else { "does not fall: ≥ 0.9" },
            note: found.rates.note(),
        });
        let sorted = found.half.latencies_ms();
        figures.push(Figure {
            what: format!("acknowledgement at half load, {name}, p99"),
            ours: percentile(&sorted, 0.99),
            limit: (!is_one).then(|| ("1 shard".to_owned(), p99_ms)),
            unit: "ms",
            goal: "",
            note: format!(
                "{} at {} records/s, 500 a request",
                percentiles(&sorted),
                short(found.half.records_per_second())
            ),
        });
    }
    figures.extend(all.last().map(|it| Figure {
        what: "memory with 1,000 shards".to_owned(),
        ours: it.memory_mb,
        limit: None,
        unit: "MB",
        goal: "≤ 1,000",
        note: "the most while all of the load was sent".to_owned(),
    }));
    Ok(figures)
}

pub(super) fn streams(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    const STREAMS: usize = 100;
    let one = Puts::default().requests();
    let many = Puts { streams: STREAMS, ..Puts::default() }.requests();
    let (mut rates, mut limits) = (Rates::default(), Rates::default());
    for _ in 0..ROUNDS {
        let running = ours(ctx, STREAMS, 1, None)?;
        rates.round(ctx, &running.server, &many, CONNECTIONS)?;
        drop(running);
        let running = ours(ctx, 1, 1, None)?;
        limits.round(ctx, &running.server, &one, CONNECTIONS)?;
    }
    Ok(vec![Figure {
        what: "PutRecords 500 x 500 bytes, 100 streams".to_owned(),
        ours: rates.per_second(),
        limit: Some(("1 stream".to_owned(), limits.per_second())),
        unit: "records/s",
        goal: "does not fall: ≥ 0.9",
        note: rates.note(),
    }])
}
