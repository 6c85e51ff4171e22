//! Measures the crates alone: journal, decoding, windows; and the memory under them.

use std::time::Duration;

use base::Clock;
use base::time::SystemClock;
use rows::Decoder;

use super::{Ctx, Figure};

type Measure = fn(&Ctx) -> anyhow::Result<Vec<Figure>>;

/// What is measured without a server. The order is that of the report.
pub(crate) const MEASUREMENTS: &[(&str, Measure)] = &[
    ("memory", memory),
    ("journal", journal),
    ("decode", decode),
    ("windows", windows),
    ("ticks", ticks),
    ("operators", super::operators::speeds),
    ("joins", super::operators::joins),
    ("checkpoints", super::operators::checkpoints),
    ("crawl", super::crawl::mixed),
];

/// How fast this machine copies memory: what no figure in bytes can exceed.
fn memory(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    // More than the caches hold.
    const BYTES: usize = 256 << 20;
    let from = vec![1_u8; BYTES];
    let mut to = vec![0_u8; BYTES];
    let ours = rate(ctx.time / 8, BYTES, || {
        to.copy_from_slice(&from);
        std::hint::black_box(&to);
    });
    Ok(vec![Figure {
        what: "memory copy, 256 MiB, one core".to_owned(),
        ours,
        limit: None,
        unit: "bytes/s",
        goal: "",
        note: "the machine's own".to_owned(),
    }])
}

/// Appends of 500 records of 100 bytes, beside the same bytes written and synced bare.
fn journal(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let clock = SystemClock::start();
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    // Turn about, so that a busy moment of the machine hits both.
    for round in 0..3 {
        let load =
            journal::bench::Load { producers: 4, appends: 500, records: 500, record_bytes: 100 };
        let folder = ctx.folder.join(format!("journal-{round}"));
        std::fs::create_dir_all(&folder)?;
        ours.push(journal::bench::append(&folder, &clock, load)?.records_per_second());
        bare.push(journal::bench::bare(&folder, &*clock, load)?.records_per_second());
    }
    Ok(vec![Figure {
        what: "journal append, 500 x 100 bytes, durable, 4 producers".to_owned(),
        ours: super::median(&mut ours),
        limit: Some(("one write + fdatasync after the other".to_owned(), super::median(&mut bare))),
        unit: "records/s",
        goal: "≥ 5 M",
        note: String::new(),
    }])
}

/// JSON into Arrow, at different shares of bad records, beside the bare parser on the same bytes.
fn decode(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    const RECORDS: usize = 100_000;
    let mut figures = Vec::new();
    for bad_per_thousand in [0, 10, 100] {
        let sample = rows::bench::orders(RECORDS, bad_per_thousand);
        let mut decoder = Decoder::new(&sample.stream);
        let ours = rate(ctx.time / 4, RECORDS, || {
            let decoded = rows::bench::decode(&mut decoder, &sample.records);
            assert_eq!(decoded.rows.num_rows() + decoded.rejects.num_rows(), RECORDS);
        });
        let parse = rate(ctx.time / 4, RECORDS, || {
            for record in &sample.records {
                let parsed: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(record);
                std::hint::black_box(parsed.is_ok());
            }
        });
        figures.push(Figure {
            what: format!(
                "JSON to Arrow, 140-byte orders, {} % bad, one core",
                bad_per_thousand as f64 / 10.0
            ),
            ours,
            limit: Some(("serde_json reads and forgets".to_owned(), parse)),
            unit: "rows/s",
            goal: "≥ 3 M, flat as bad rows rise",
            note: String::new(),
        });
    }
    Ok(figures)
}

/// Rows into windows of ten seconds with four aggregates, tick by tick, beside one question over
/// all rows at once by the bare engine.
fn windows(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    const ROWS: usize = 4_000_000;
    let clock = SystemClock::start();
    let mut figures = Vec::new();
    for groups in [1_000, 100_000] {
        let load = process::bench::Load { rows: ROWS, groups, batch_rows: 8_192, late_percent: 0 };
        let (mut ours, mut once) = (Vec::new(), Vec::new());
        for round in 0..3 {
            let folder = ctx.folder.join(format!("windows-{groups}-{round}"));
            let measured = process::bench::windows(&folder, &*clock, load);
            let (speed, at_once) = tokio::runtime::Handle::current().block_on(measured)?;
            ours.push(speed.rows_per_second());
            once.push(at_once.rows_per_second());
        }
        figures.push(Figure {
            what: format!("windowed aggregate, {groups} groups a window, one core"),
            ours: super::median(&mut ours),
            limit: Some(("DataFusion, all rows at once".to_owned(), super::median(&mut once))),
            unit: "rows/s",
            goal: if groups == 1_000 { "≥ 15 M" } else { "≥ 8 M" },
            note: "count, sum, avg, max".to_owned(),
        });
    }
    Ok(figures)
}

/// What one small micro-batch costs: decode, checks, one windowed table, made visible.
fn ticks(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let clock: std::sync::Arc<dyn Clock> = SystemClock::start();
    let folder = ctx.folder.join("ticks");
    let load =
        process::bench::Load { rows: 250_000, groups: 1_000, batch_rows: 250, late_percent: 0 };
    let measured = process::bench::ticks(&folder, &clock, load);
    let ticks = tokio::runtime::Handle::current().block_on(measured)?;
    let ms = |it: Duration| it.as_secs_f64() * 1e3;
    Ok(vec![Figure {
        what: "tick of 250 records through checks and one windowed table, p50".to_owned(),
        ours: ms(ticks.tick_p50),
        limit: None,
        unit: "ms",
        goal: "",
        note: format!(
            "p99 {:.2} ms; {} records/s in ticks this small",
            ms(ticks.tick_p99),
            super::short(ticks.speed.rows_per_second())
        ),
    }])
}

/// How many items a second `body` does, `items` each time, over about `time`.
fn rate(time: Duration, items: usize, mut body: impl FnMut()) -> f64 {
    body();
    let clock = SystemClock::start();
    let mut done = 0;
    while clock.elapsed() < time {
        body();
        done += items;
    }
    done as f64 / clock.elapsed().as_secs_f64()
}
