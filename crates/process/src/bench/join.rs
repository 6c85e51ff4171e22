//! What a look at a join near in time costs when much is within its reach: by key, and whole.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, ShardId};
use journal::{Append, Journal, RealDisk, Records, StreamSettings};

use crate::bench::{Load, flow_of, setup_of};
use crate::error::Error;
use crate::flow::Flow;

/// Looks that are measured.
const LOOKS: usize = 5;

/// How long before a row the rows are that it is joined with.
const REACH_US: usize = 3_600_000_000;

/// What looks cost.
#[derive(Debug, Clone, Copy)]
pub struct Looks {
    /// One look, where new rows' keys tell what must be computed.
    pub by_key: Duration,
    /// One look at the same join by an expression, which is computed whole.
    pub whole: Duration,
}

/// Fills an hour with rows, then takes in some at a time and looks after each. The folder must be
/// empty.
///
/// # Errors
/// When the folder cannot be written to, or the flow fails.
pub async fn join(folder: &Path, clock: &Arc<dyn Clock>, load: Load) -> Result<Looks, Error> {
    let on = |key: &str| {
        format!(
            "SELECT o.ts, o.customer, o.value, e.value AS before FROM orders o LEFT JOIN orders e \
             ON {key} AND e.ts < o.ts AND e.ts >= o.ts - INTERVAL '1 hour'"
        )
    };
    let by_key = on("e.customer = o.customer");
    let whole = on("upper(e.customer) = upper(o.customer)");
    Ok(Looks {
        by_key: look(&folder.join("by_key"), clock, &by_key, load).await?,
        whole: look(&folder.join("whole"), clock, &whole, load).await?,
    })
}

async fn look(
    folder: &Path,
    clock: &Arc<dyn Clock>,
    select: &str,
    load: Load,
) -> Result<Duration, Error> {
    let plan = flow_of(folder, select, 1).await?;
    let settings = journal::Settings::new(folder.join("journal"));
    let journal = Journal::open(settings, RealDisk::new(), Arc::clone(clock))?;
    let Some(name) = plan.streams().next() else {
        return Err(Error::StreamMissing("orders".to_owned()));
    };
    let stream = journal.create_stream(name, StreamSettings::default())?;
    let setup = setup_of(plan, &journal, folder, clock);
    let mut flow = Flow::open(setup).await?;
    let last = load.rows + LOOKS * load.batch_rows;
    let mut took = Duration::ZERO;
    let mut first = 0;
    while first < last {
        let is_filling = first < load.rows;
        let next = if is_filling { load.rows.min(first + 20_000) } else { first + load.batch_rows };
        let mut records = Records::new();
        for row in first..next {
            records.push("", record(row, load).as_bytes())?;
        }
        let parts = vec![(ShardId(0), records)];
        journal.append(Append { stream, parts, idempotency: None }).await?;
        first = next;
        let began = clock.elapsed();
        while 0 < Box::pin(flow.step()).await? {}
        if !is_filling || first == load.rows {
            Box::pin(flow.publish()).await?;
        }
        if !is_filling {
            took += clock.elapsed().saturating_sub(began);
        }
    }
    journal.close();
    Ok(took / u32::try_from(LOOKS).unwrap_or(1))
}

/// Makes a record; all of them lie within an hour.
fn record(row: usize, load: Load) -> String {
    let rows = (load.rows + LOOKS * load.batch_rows).max(1);
    let us = row * (REACH_US / rows);
    let (second, us) = (us / 1_000_000, us % 1_000_000);
    let (minute, second) = (second / 60, second % 60);
    let (customer, value) = (crate::bench::customer(row, load.groups), 1 + row % 97);
    format!(
        r#"{{"ts":"2026-01-05T10:{minute:02}:{second:02}.{us:06}Z","customer":"c{customer}","value":{value}}}"#
    )
}
