//! What single steps cost: windows of several shapes, lookups, totals, and the checkpoint of many
//! groups.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Epoch, ShardId};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::physical_plan::collect;
use journal::{Append, Journal, RealDisk, Records, StreamSettings};

use crate::bench::{Load, Speed, batches, flow_of, record, setup_of, tick_time};
use crate::error::Error;
use crate::flow::{Flow, SHOW_SHARE};
use crate::plan::FlowPlan;
use crate::table::{Body, Moved, Room, Step};
use crate::{pipe, session};

/// A step to measure: a SELECT over `orders` (`ts`, `customer`, `value`) and the lookup `customers`
/// (`customer`, `tier`), which has a row for each.
#[derive(Debug, Clone, Copy)]
pub struct Operator<'a> {
    /// The SELECT; settings may stand above it.
    pub select: &'a str,
    /// How many rows go through it, and how many in a tick.
    pub load: Load,
}

/// How fast rows went through.
#[derive(Debug, Clone, Copy)]
pub struct Speeds {
    /// The table is shown as a flow shows it that is behind: for a fifth of the time at most.
    pub behind: Speed,
    /// The table is shown after each tick.
    pub shown: Speed,
    /// One question over all rows, on one thread.
    pub once: Speed,
}

/// Takes rows in tick by tick, and shows the table; then asks once for all of them. The folder must
/// be empty.
///
/// # Errors
/// When the folder cannot be written to, or a plan cannot be run.
pub async fn operator(
    folder: &Path,
    clock: &dyn Clock,
    operator: &Operator<'_>,
) -> Result<Speeds, Error> {
    let load = operator.load;
    let flow = flow_of(folder, operator.select, load.groups).await?;
    let speed = |took| Speed { rows: load.rows, took };
    Ok(Speeds {
        behind: speed(by_tick(&flow, load, clock, SHOW_SHARE).await?),
        shown: speed(by_tick(&flow, load, clock, 0).await?),
        once: speed(at_once(&flow, load, clock).await?),
    })
}

/// Shows the table when so many times what showing it took has passed, and at the end.
async fn by_tick(
    flow: &FlowPlan,
    load: Load,
    clock: &dyn Clock,
    share: u32,
) -> Result<Duration, Error> {
    let failed = || Error::compute("the rows cannot be computed");
    let (Some(stream), Some(table)) = (flow.streams.first(), flow.tables.first()) else {
        return Err(Error::StreamMissing("orders".to_owned()));
    };
    let batches = batches(&stream.schema, load)?;
    let session = session::for_ticks().map_err(failed())?;
    let mut body = Body::new(&session, table, &Room::endless()).await.map_err(failed())?;
    for lookup in &flow.lookups {
        let rows = Arc::clone(&lookup.first.rows);
        body.set_lookup(&lookup.name, &rows).map_err(failed())?;
    }
    let tables = |_: &str| None;
    let last = batches.len().saturating_sub(1);
    let began = clock.elapsed();
    let (mut shown_at, mut show_took) = (began, Duration::ZERO);
    for (at, batch) in batches.into_iter().enumerate() {
        let step = Step {
            session: &session,
            epoch: Epoch(1),
            now_ms: 0,
            tables: &tables,
            time_us: Some(tick_time(at, load)),
        };
        body.step(&[Moved { of: 0, rows: batch }], &step).await.map_err(failed())?;
        let now = clock.elapsed();
        if now.saturating_sub(shown_at) < show_took * share && at < last {
            continue;
        }
        body.refresh(&step, &[]).await.map_err(failed())?;
        // What is final, or has been added, is handed over, as an epoch would do it.
        std::hint::black_box(body.change(Epoch(1), 0).map_err(failed())?);
        body.stored(Epoch(1));
        shown_at = clock.elapsed();
        show_took = shown_at.saturating_sub(now);
    }
    Ok(clock.elapsed().saturating_sub(began))
}

async fn at_once(flow: &FlowPlan, load: Load, clock: &dyn Clock) -> Result<Duration, Error> {
    let failed = || Error::compute("the question cannot be answered");
    let (Some(stream), Some(table)) = (flow.streams.first(), flow.tables.first()) else {
        return Err(Error::StreamMissing("orders".to_owned()));
    };
    let batches = batches(&stream.schema, load)?;
    let session = session::for_ticks().map_err(failed())?;
    let mut tables: BTreeMap<&str, Arc<dyn TableProvider>> = BTreeMap::new();
    for lookup in &flow.lookups {
        let rows = vec![vec![lookup.first.rows.rows.clone()]];
        let table = MemTable::try_new(lookup.first.schema(), rows).map_err(failed())?;
        tables.insert(lookup.name.as_str(), Arc::new(table));
    }
    let orders = MemTable::try_new(Arc::clone(&stream.schema), vec![batches]).map_err(failed())?;
    tables.insert(stream.declared.name.as_str(), Arc::new(orders));
    let bound = pipe::bind(&table.select, &|name| tables.get(name).map(Arc::clone));
    let bound = bound.map_err(failed())?;
    let state = session.state();
    let began = clock.elapsed();
    let physical = state.create_physical_plan(&bound).await.map_err(failed())?;
    let answer = collect(physical, state.task_ctx()).await.map_err(failed())?;
    std::hint::black_box(answer);
    Ok(clock.elapsed().saturating_sub(began))
}

/// What a checkpoint cost.
#[derive(Debug, Clone, Copy)]
pub struct Written {
    /// Groups that had changed since the one before.
    pub changed: usize,
    /// Bytes of the files of the flow that it wrote.
    pub bytes: u64,
    /// How long it took, tables in memory and syncs included.
    pub took: Duration,
}

/// Fills one window with `groups` groups and writes a checkpoint; then changes one group in a
/// thousand and writes another. The folder must be empty.
///
/// # Errors
/// When the folder cannot be written to, or the flow fails.
pub async fn checkpoints(
    folder: &Path,
    clock: &Arc<dyn Clock>,
    select: &str,
    groups: usize,
) -> Result<[Written; 2], Error> {
    let plan = flow_of(folder, select, 1).await?;
    let settings = journal::Settings::new(folder.join("journal"));
    let journal = Journal::open(settings, RealDisk::new(), Arc::clone(clock))?;
    let Some(name) = plan.streams().next() else {
        return Err(Error::StreamMissing("orders".to_owned()));
    };
    let stream = journal.create_stream(name, StreamSettings::default())?;
    let flows = folder.join("flows");
    let setup = setup_of(plan, &journal, folder, clock);
    let mut flow = Flow::open(setup).await?;
    let mut written = [Written { changed: 0, bytes: 0, took: Duration::ZERO }; 2];
    for (written, changed) in written.iter_mut().zip([groups, groups / 1_000]) {
        for first in (0..changed).step_by(10_000) {
            let mut records = Records::new();
            for row in first..(first + 10_000).min(changed) {
                records.push("", record(row, groups).as_bytes())?;
            }
            let parts = vec![(ShardId(0), records)];
            journal.append(Append { stream, parts, idempotency: None }).await?;
            flow.tick_all().await?;
        }
        let before = files(&flows)?;
        let began = clock.elapsed();
        flow.flush().await?;
        let took = clock.elapsed().saturating_sub(began);
        let is_new = |(name, bytes): &(&String, &u64)| before.get(*name) != Some(*bytes);
        let bytes = files(&flows)?.iter().filter(is_new).map(|(_, bytes)| *bytes).sum();
        *written = Written { changed, bytes, took };
    }
    journal.close();
    Ok(written)
}

/// Returns the files of a folder with their sizes.
fn files(folder: &Path) -> Result<BTreeMap<String, u64>, Error> {
    let failed = |source| Error::Disk { doing: "list", path: folder.to_owned(), source };
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let bytes = entry.metadata().map_err(failed)?.len();
        found.insert(entry.file_name().to_string_lossy().into_owned(), bytes);
    }
    Ok(found)
}
