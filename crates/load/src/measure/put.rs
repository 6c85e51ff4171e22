//! `PutRecords` and `PutRecord` beside the bare server; and what a signature costs.

use base::figure::{Figure, short};

use super::{CONNECTIONS, ROUNDS, Rates, bare, key, ours};
use crate::Ctx;
use crate::bodies::{Puts, Shape};

/// What is sent over how many connections.
struct Case {
    what: &'static str,
    shape: Shape,
    record_bytes: usize,
    connections: usize,
}

const CASES: &[Case] = &[
    Case::many("PutRecords 500 x 100 bytes", 100),
    Case::many("PutRecords 500 x 500 bytes", 500),
    Case::many("PutRecords 500 x 1,000 bytes", 1_000),
    Case::one("PutRecord 500 bytes, 8 connections", 8),
    Case::one("PutRecord 500 bytes, 64 connections", 64),
];

impl Case {
    const fn many(what: &'static str, record_bytes: usize) -> Case {
        Case { what, shape: Shape::Many(500), record_bytes, connections: CONNECTIONS }
    }

    const fn one(what: &'static str, connections: usize) -> Case {
        Case { what, shape: Shape::One, record_bytes: 500, connections }
    }
}

pub(super) fn sizes(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for case in CASES {
        let puts = Puts { shape: case.shape, record_bytes: case.record_bytes, ..Puts::default() };
        let requests = puts.requests();
        let (mut rates, mut limits) = (Rates::default(), Rates::default());
        for _ in 0..ROUNDS {
            let running = ours(ctx, 1, 1, None)?;
            rates.round(ctx, &running.server, &requests, case.connections)?;
            drop(running);
            let running = bare(ctx)?;
            limits.round(ctx, &running.server, &requests, case.connections)?;
        }
        let note = format!("{}; bare {}", rates.note(), short(limits.per_cpu_second()));
        let is_many = matches!(case.shape, Shape::Many(_));
        figures.push(Figure {
            what: case.what.to_owned(),
            ours: rates.per_second(),
            limit: Some(("bare server".to_owned(), limits.per_second())),
            unit: "records/s",
            goal: if is_many {
                "≥ 0.25, then 0.5; ≥ 700 k per CPU-second"
            } else {
                "≥ 0.25, then 0.5"
            },
            note,
        });
    }
    Ok(figures)
}

pub(super) fn signed(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let key = key();
    let mut figures = Vec::new();
    let chosen = ["PutRecords 500 x 500 bytes", "PutRecord 500 bytes, 64 connections"];
    for case in CASES.iter().filter(|it| chosen.contains(&it.what)) {
        let plain = Puts { shape: case.shape, record_bytes: case.record_bytes, ..Puts::default() };
        let requests = plain.requests();
        let (mut rates, mut limits) = (Rates::default(), Rates::default());
        for _ in 0..ROUNDS {
            // Made for each round: a signature is valid for a quarter of an hour.
            let puts = Puts { key: Some(&key), now_ms: ctx.clock.now_ms(), ..plain.clone() };
            let signed = puts.requests();
            let running = ours(ctx, 1, 1, Some(&key))?;
            rates.round(ctx, &running.server, &signed, case.connections)?;
            drop(running);
            let running = ours(ctx, 1, 1, None)?;
            limits.round(ctx, &running.server, &requests, case.connections)?;
        }
        figures.push(Figure {
            what: format!("{}, signed", case.what),
            ours: rates.per_second(),
            limit: Some(("unsigned".to_owned(), limits.per_second())),
            unit: "records/s",
            goal: "",
            note: rates.note(),
        });
    }
    Ok(figures)
}
