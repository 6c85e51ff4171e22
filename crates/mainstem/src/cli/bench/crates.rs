//! Measures the crates alone: journal, decoding, windows.

use std::time::Duration;

use base::time::SystemClock;
use rows::Decoder;

use super::{Ctx, Figure};

type Measure = fn(&Ctx) -> anyhow::Result<Vec<Figure>>;

/// What is measured without a server. The order is that of the report.
pub(crate) const MEASUREMENTS: &[(&str, Measure)] = &[("journal", journal), ("decode", decode)];

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
