//! Measures single steps of tables: windows of several shapes, lookups, totals, joins, checkpoints.

use std::sync::Arc;

use base::Clock;
use base::time::SystemClock;
use process::bench::{Load, Operator};

use super::{Ctx, Figure, median, short};

const TUMBLE: &str = "/*\nlate = \"10 seconds\"\n*/
SELECT tumble(ts, '10 seconds') AS start, customer, count(*) AS orders, sum(value) AS total FROM orders GROUP BY start, customer";
const HOP_OF_ONE: &str = "SELECT hop(ts, '10 seconds', '10 seconds') AS start, customer, count(*) AS orders, sum(value) AS total FROM orders GROUP BY start, customer";
const HOP_OF_TEN: &str = "SELECT hop(ts, '1 second', '10 seconds') AS start, customer, count(*) AS orders, sum(value) AS total FROM orders GROUP BY start, customer";
const TOTALS: &str =
    "SELECT customer, count(*) AS orders, sum(value) AS total FROM orders GROUP BY customer";
const DISTINCT: &str = "SELECT tumble(ts, '10 seconds') AS start, value, count(DISTINCT customer) AS customers FROM orders GROUP BY start, value";
const LOOKUP: &str =
    "SELECT o.ts, o.value, c.tier FROM orders o JOIN customers c ON o.customer = c.customer";
const ROWS: &str = "SELECT ts, customer, value * 2 AS value FROM orders WHERE value % 10 <> 0";

/// What is measured: its name, its SELECT, customers, rows in a hundred that are late, the goal.
type Step = (&'static str, &'static str, usize, usize, &'static str);

const STEPS: &[Step] = &[
    ("filter and expression", ROWS, 1_000, 0, ""),
    ("lookup of 1,000 rows", LOOKUP, 1_000, 0, ""),
    ("lookup of 1,000,000 rows", LOOKUP, 1_000_000, 0, ""),
    ("tumble, 1,000 groups", TUMBLE, 1_000, 0, "≥ 15 M"),
    ("tumble, 1,000 groups, 10 % out of order", TUMBLE, 1_000, 10, "no cliff"),
    ("tumble, 1,000,000 groups", TUMBLE, 1_000_000, 0, "no cliff"),
    ("tumble, 1,000,000 groups, 10 % out of order", TUMBLE, 1_000_000, 10, "no cliff"),
    ("hop of 10 s every 10 s, 1,000 groups", HOP_OF_ONE, 1_000, 0, ""),
    ("hop of 10 s every second, 1,000 groups", HOP_OF_TEN, 1_000, 0, "≥ 0.8 of every 10 s"),
    ("count distinct of 1,000 in 97 groups", DISTINCT, 1_000, 0, ""),
    ("running totals, 1,000 groups", TOTALS, 1_000, 0, ""),
    ("running totals, 1,000,000 groups", TOTALS, 1_000_000, 0, ""),
];

/// Rows through one table by ticks of 32,768, beside one question over all of them.
pub(crate) fn speeds(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    const ROUNDS: usize = 3;
    let clock = SystemClock::start();
    let mut figures = Vec::new();
    for (number, (name, select, groups, late_percent, goal)) in STEPS.iter().enumerate() {
        let load = Load {
            rows: 4_000_000,
            groups: *groups,
            batch_rows: 32_768,
            late_percent: *late_percent,
        };
        let (mut ours, mut shown, mut once) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let folder = ctx.folder.join(format!("operator-{number}-{round}"));
            let operator = Operator { select, load };
            let measured = process::bench::operator(&folder, &*clock, &operator);
            let speeds = tokio::runtime::Handle::current().block_on(measured)?;
            ours.push(speeds.behind.rows_per_second());
            shown.push(speeds.shown.rows_per_second());
            once.push(speeds.once.rows_per_second());
        }
        figures.push(Figure {
            what: format!("{name}, one core"),
            ours: median(&mut ours),
            limit: Some(("DataFusion, all rows at once".to_owned(), median(&mut once))),
            unit: "rows/s",
            goal,
            note: format!("{} shown after each tick", short(median(&mut shown))),
        });
    }
    Ok(figures)
}

/// What a look at a join near in time costs, with an hour of rows within its reach.
pub(crate) fn joins(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let clock: Arc<dyn Clock> = SystemClock::start();
    let rows = 1_000_000;
    let load = Load { rows, groups: rows / 4, batch_rows: rows / 400, late_percent: 0 };
    let folder = ctx.folder.join("join");
    let looks = process::bench::join(&folder, &clock, load);
    let looks = tokio::runtime::Handle::current().block_on(looks)?;
    Ok(vec![Figure {
        what: format!("a look at a join within 1 hour, {} rows within reach", short(rows as f64)),
        ours: looks.by_key.as_secs_f64() * 1e3,
        limit: Some(("the same computed whole".to_owned(), looks.whole.as_secs_f64() * 1e3)),
        unit: "ms",
        goal: "grows with what is new",
        note: format!("{} new rows in each", load.batch_rows),
    }])
}

/// How large a checkpoint is and how long it takes, by the groups there are and those that changed.
pub(crate) fn checkpoints(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let clock: Arc<dyn Clock> = SystemClock::start();
    let mut figures = Vec::new();
    for groups in [10_000, 1_000_000] {
        let folder = ctx.folder.join(format!("checkpoint-{groups}"));
        let measured = process::bench::checkpoints(&folder, &clock, TUMBLE, groups);
        let [all, few] = tokio::runtime::Handle::current().block_on(measured)?;
        figures.push(Figure {
            what: format!(
                "checkpoint of a window of {} groups, {} changed",
                short(groups as f64),
                few.changed
            ),
            ours: few.took.as_secs_f64() * 1e3,
            limit: Some(("all of them changed".to_owned(), all.took.as_secs_f64() * 1e3)),
            unit: "ms",
            goal: "grows with what changed",
            note: format!(
                "{} bytes of {}; {:.0} bytes a group",
                short(few.bytes as f64),
                short(all.bytes as f64),
                all.bytes as f64 / groups as f64
            ),
        });
    }
    Ok(figures)
}
