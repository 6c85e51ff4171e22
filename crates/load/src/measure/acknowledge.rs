//! How long an acknowledgement takes at 5,000 records a second, beside appending and syncing the
//! same bytes in a loop.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use base::figure::{Figure, median, percentile};

use super::{CONNECTIONS, ROUNDS, folder, ours};
use crate::Ctx;
use crate::bodies::{Puts, Shape};
use crate::drive::{Drive, Outcome, percentiles};

/// Records of one request.
const RECORDS: usize = 10;
const RECORD_BYTES: usize = 500;
/// Requests a second: 5,000 records.
const RATE: f64 = 500.0;

pub(super) fn steady(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let puts = Puts { shape: Shape::Many(RECORDS), record_bytes: RECORD_BYTES, ..Puts::default() };
    let requests = puts.requests();
    let mut all = Outcome::default();
    let (mut p99s, mut appended, mut overwritten) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let running = ours(ctx, 1, 1, None)?;
        let drive = Drive {
            address: &running.server.http,
            requests: Arc::clone(&requests),
            connections: CONNECTIONS,
            time: ctx.time,
            rate: Some(RATE),
            clock: Arc::clone(&ctx.clock),
        };
        let outcome = drive.run()?;
        drop(running);
        p99s.push(percentile(&outcome.latencies_ms(), 0.99));
        all.add(outcome);
        appended.push(Loop::Append.run(ctx)?);
        overwritten.push(Loop::Overwrite.run(ctx)?);
    }
    let of = |rounds: &[Times], which: fn(&Times) -> &Vec<f64>, share: f64| {
        median(&mut rounds.iter().map(|it| percentile(which(it), share)).collect::<Vec<f64>>())
    };
    Ok(vec![Figure {
        what: "acknowledgement at 5,000 records/s, p99".to_owned(),
        ours: median(&mut p99s),
        limit: Some((
            "append 5 kB + fdatasync when it is due, p99".to_owned(),
            of(&appended, |it| &it.since_due, 0.99),
        )),
        unit: "ms",
        goal: "ratio ≤ 2",
        note: format!(
            "{} over all rounds at {:.0} records/s; appended p50 {:.2} ms; each append by itself, whatever waits behind it: p99 {:.2} ms, over a file that is there {:.2} ms",
            percentiles(&all.latencies_ms()),
            all.records_per_second(),
            of(&appended, |it| &it.since_due, 0.5),
            of(&appended, |it| &it.alone, 0.99),
            of(&overwritten, |it| &it.alone, 0.99),
        ),
    }])
}

/// What a program does that only writes and syncs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loop {
    /// To a file that grows.
    Append,
    /// Over a file that has its length.
    Overwrite,
}

/// What is written over, again and again.
const FILE_BYTES: u64 = 16 << 20;

/// What appends took, in milliseconds, sorted.
struct Times {
    /// From when each was due, as requests are counted: one that takes long is charged for those
    /// behind it.
    since_due: Vec<f64>,
    /// From when each was begun.
    alone: Vec<f64>,
}

impl Loop {
    fn run(self, ctx: &Ctx) -> anyhow::Result<Times> {
        let folder = folder(ctx, "loop")?;
        let mut file = File::create(folder.0.join("loop.log"))?;
        if self == Loop::Overwrite {
            file.write_all(&vec![0; usize::try_from(FILE_BYTES)?])?;
            file.sync_all()?;
        }
        let block = vec![7; RECORDS * RECORD_BYTES];
        let every = Duration::from_secs_f64(1.0 / RATE);
        let mut times = Times { since_due: Vec::new(), alone: Vec::new() };
        let (mut due, mut place) = (ctx.clock.elapsed(), 0);
        let until = due + ctx.time;
        while due < until {
            std::thread::sleep(due.saturating_sub(ctx.clock.elapsed()));
            let began = ctx.clock.elapsed();
            match self {
                Loop::Append => file.write_all(&block)?,
                Loop::Overwrite => file.write_all_at(&block, place % FILE_BYTES)?,
            }
            file.sync_data()?;
            place += block.len() as u64;
            let now = ctx.clock.elapsed();
            times.alone.push((now - began).as_secs_f64() * 1e3);
            times.since_due.push((now - due).as_secs_f64() * 1e3);
            due += every;
        }
        times.since_due.sort_by(f64::total_cmp);
        times.alone.sort_by(f64::total_cmp);
        Ok(times)
    }
}
