//! How fast windows take rows in beside one question over all of them, what a tick costs, and what
//! a table of a project does.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use base::{Clock, Epoch, ShardId};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::physical_plan::collect;
use journal::{Append, Journal, RealDisk, Records, StreamSettings};

use crate::error::Error;
use crate::flow::Flow;
use crate::memory::MemoryTable;
use crate::plan::{FlowPlan, Plan, TablePlan, plan};
use crate::setup::{Settings, Setup, Storage};
use crate::table::{Body, Moved, Room, Step};
use crate::{pipe, session};

mod join;
mod operator;
mod project;

pub use self::join::{Looks, join};
pub use self::operator::{Operator, Speeds, Written, checkpoints, operator};
pub use self::project::{Once, Question, Run, once, run};

/// What to compute.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Rows in all.
    pub rows: usize,
    /// Customers: the groups of each window.
    pub groups: usize,
    /// Rows of one batch.
    pub batch_rows: usize,
    /// How many rows in a hundred are three seconds older than those around them.
    pub late_percent: usize,
}

/// What came out.
#[derive(Debug, Clone, Copy)]
pub struct Speed {
    /// Rows computed in all.
    pub rows: usize,
    /// How long it took.
    pub took: Duration,
}

impl Speed {
    /// Returns rows per second.
    pub fn rows_per_second(&self) -> f64 {
        self.rows as f64 / self.took.as_secs_f64().max(1e-9)
    }
}

/// What a running flow cost.
#[derive(Debug, Clone, Copy)]
pub struct Ticks {
    /// Records through decoder, checks and tables.
    pub speed: Speed,
    /// The middle of all ticks.
    pub tick_p50: Duration,
    /// What one tick in a hundred exceeds.
    pub tick_p99: Duration,
}

const PROJECT: &str = r#"
[project]
name = "bench"

[stream.orders]
time = "ts"

[stream.orders.columns]
ts = "timestamp not null"
customer = "text not null"
value = "int not null"

[stream.orders.checks]
value_is_positive = "value > 0"
"#;

/// What joins find a row of each customer in.
const LOOKUP: &str = r#"
[lookup.customers]
from = "customers.csv"
key = "customer"
"#;

const WINDOWS: &str = "SELECT tumble(ts, '10 seconds') AS start, customer, count(*) AS orders, \
    sum(value) AS total, avg(value) AS mean, max(value) AS most \
    FROM orders GROUP BY start, customer";

/// Rows of one second of event time, as in the prototype.
const ROWS_PER_SECOND: usize = 100_000;

/// 2026-01-05 10:00 UTC.
const START_US: i64 = 1_767_607_200_000_000;

const LATE_US: i64 = 3_000_000;

/// Returns how far event time has come before the batch of this number.
fn tick_time(at: usize, load: Load) -> i64 {
    let seconds = i64::try_from(at * load.batch_rows / ROWS_PER_SECOND).unwrap_or_default();
    START_US + seconds * 1_000_000
}

/// Takes rows into windows batch by batch; then asks once for all of them, on one thread. The
/// folder must be empty.
///
/// # Errors
/// When the folder cannot be written to, or a plan cannot be run.
pub async fn windows(
    folder: &Path,
    clock: &dyn Clock,
    load: Load,
) -> Result<(Speed, Speed), Error> {
    let flow = flow_of(folder, WINDOWS, 0).await?;
    let (Some(stream), Some(table)) = (flow.streams.first(), flow.tables.first()) else {
        return Err(Error::StreamMissing("orders".to_owned()));
    };
    let batches = batches(&stream.schema, load)?;
    let ours = windows_by_tick(table, &batches, load, clock).await?;
    let once = windows_at_once(table, &stream.schema, batches, clock).await?;
    Ok((Speed { rows: load.rows, took: ours }, Speed { rows: load.rows, took: once }))
}

async fn windows_by_tick(
    table: &Arc<TablePlan>,
    batches: &[RecordBatch],
    load: Load,
    clock: &dyn Clock,
) -> Result<Duration, Error> {
    let failed = || Error::compute("the windows cannot be computed");
    let session = session::for_ticks().map_err(failed())?;
    let mut body = Body::new(&session, table, &Room::endless()).await.map_err(failed())?;
    let tables = |_: &str| None;
    let began = clock.elapsed();
    for (at, batch) in batches.iter().enumerate() {
        let step = Step {
            session: &session,
            epoch: Epoch(1),
            now_ms: 0,
            tables: &tables,
            time_us: Some(tick_time(at, load)),
        };
        let moved = Moved { of: 0, rows: batch.clone() };
        body.step(&[moved], &step).await.map_err(failed())?;
    }
    let step =
        Step { session: &session, epoch: Epoch(1), now_ms: 0, tables: &tables, time_us: None };
    body.refresh(&step, &[]).await.map_err(failed())?;
    Ok(clock.elapsed().saturating_sub(began))
}

async fn windows_at_once(
    table: &TablePlan,
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
    clock: &dyn Clock,
) -> Result<Duration, Error> {
    let failed = || Error::compute("the question cannot be answered");
    let session = session::for_ticks().map_err(failed())?;
    let rows: Arc<dyn TableProvider> =
        Arc::new(MemTable::try_new(Arc::clone(schema), vec![batches]).map_err(failed())?);
    let bound = pipe::bind(&table.select, &|_| Some(Arc::clone(&rows))).map_err(failed())?;
    let state = session.state();
    let began = clock.elapsed();
    let physical = state.create_physical_plan(&bound).await.map_err(failed())?;
    let answer = collect(physical, state.task_ctx()).await.map_err(failed())?;
    std::hint::black_box(answer);
    Ok(clock.elapsed().saturating_sub(began))
}

/// Sends records through a whole flow with tables in memory, `batch_rows` of them per tick. The
/// folder must be empty.
///
/// # Errors
/// When the folder cannot be written to, or the flow fails.
pub async fn ticks(folder: &Path, clock: &Arc<dyn Clock>, load: Load) -> Result<Ticks, Error> {
    let flow = flow_of(folder, WINDOWS, 0).await?;
    let settings = journal::Settings::new(folder.join("journal"));
    let journal = Journal::open(settings, RealDisk::new(), Arc::clone(clock))?;
    let Some(name) = flow.streams().next() else {
        return Err(Error::StreamMissing("orders".to_owned()));
    };
    let stream = journal.create_stream(name, StreamSettings::default())?;
    let setup = setup_of(flow.clone(), &journal, folder, clock);
    let mut flow = Flow::open(setup).await?;
    let mut took = Vec::new();
    for first in (0..load.rows).step_by(load.batch_rows.max(1)) {
        let mut records = Records::new();
        for row in first..(first + load.batch_rows).min(load.rows) {
            records.push("", record(row, load.groups).as_bytes())?;
        }
        let parts = vec![(ShardId(0), records)];
        journal.append(Append { stream, parts, idempotency: None }).await?;
        let began = clock.elapsed();
        flow.tick_all().await?;
        took.push(clock.elapsed().saturating_sub(began));
    }
    journal.close();
    let all = took.iter().sum();
    took.sort_unstable();
    let at = |share: usize| took.get(took.len() * share / 100).copied().unwrap_or_default();
    let speed = Speed { rows: load.rows, took: all };
    Ok(Ticks { speed, tick_p50: at(50), tick_p99: at(99) })
}

fn record(row: usize, groups: usize) -> String {
    let us = i64::try_from(row * 1_000_000 / ROWS_PER_SECOND).unwrap_or_default();
    let (seconds, us) = (us / 1_000_000, us % 1_000_000);
    let (minute, second) = (seconds / 60 % 60, seconds % 60);
    let (customer, value) = (customer(row, groups), 1 + row % 97);
    format!(
        r#"{{"ts":"2026-01-05T10:{minute:02}:{second:02}.{us:06}Z","customer":"c{customer}","value":{value}}}"#
    )
}

/// Spreads customers without a pattern.
fn customer(row: usize, groups: usize) -> usize {
    row.wrapping_mul(2_654_435_761) % groups.max(1)
}

/// Spreads late rows without a pattern that the customers share.
fn is_late(row: usize, percent: usize) -> bool {
    row.wrapping_mul(40_503) / 7 % 100 < percent
}

fn batches(schema: &SchemaRef, load: Load) -> Result<Vec<RecordBatch>, Error> {
    let mut batches = Vec::new();
    for first in (0..load.rows).step_by(load.batch_rows.max(1)) {
        let rows = first..(first + load.batch_rows).min(load.rows);
        let numbers = |it: usize| i64::try_from(it).unwrap_or_default();
        let times = rows.clone().map(|it| {
            let late = if is_late(it, load.late_percent) { LATE_US } else { 0 };
            START_US + numbers(it * 1_000_000 / ROWS_PER_SECOND) - late
        });
        let customers = rows.clone().map(|it| format!("c{}", customer(it, load.groups)));
        let utc = |it: TimestampMicrosecondArray| it.with_data_type(rows::schema::timestamp());
        let count = rows.len();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(utc(TimestampMicrosecondArray::from_iter_values(times))),
            Arc::new(StringViewArray::from_iter_values(customers)),
            Arc::new(Int64Array::from_iter_values(rows.clone().map(|it| numbers(1 + it % 97)))),
            Arc::new(Int64Array::from(vec![0; count])),
            Arc::new(Int64Array::from_iter_values(rows.map(numbers))),
            Arc::new(utc(TimestampMicrosecondArray::from(vec![START_US; count]))),
        ];
        let batch = RecordBatch::try_new(Arc::clone(schema), columns);
        batches.push(batch.map_err(|error| Error::table("orders", error))?);
    }
    Ok(batches)
}

/// Returns the flow of one table over `orders`; with `customers` there is a lookup of so many.
async fn flow_of(folder: &Path, select: &str, customers: usize) -> Result<FlowPlan, Error> {
    let project = folder.join("project");
    let disk = RealDisk::new();
    let write = |name: &str, text: &str| {
        let path = project.join(name);
        let failed = |source| Error::Disk { doing: "write", path: path.clone(), source };
        std::fs::write(&path, text).map_err(failed)
    };
    let failed = |source| Error::Disk { doing: "make", path: project.clone(), source };
    disk.create_folder(&project).map_err(failed)?;
    write("mainstem.toml", PROJECT)?;
    if select.contains("customers") {
        let row = |it: usize| format!("c{it},{}\n", it % 7);
        let rows: String = (0..customers).map(row).collect();
        write("lookup.toml", LOOKUP)?;
        write("customers.csv", &format!("customer,tier\n{rows}"))?;
    }
    write("by_customer.sql", select)?;
    let plan = plan_of(&project).await?;
    plan.flows.into_iter().next().ok_or_else(|| Error::StreamMissing("orders".to_owned()))
}

async fn plan_of(project: &Path) -> Result<Plan, Error> {
    let wrong = |faults: spec::Faults| Error::TooMuch(faults.to_string());
    let loaded = spec::load(project, None, &spec::placeholder).map_err(wrong)?;
    plan(&loaded, &BTreeMap::new()).await.map_err(wrong)
}

/// Returns what a measured flow is opened with: its tables are in memory.
fn setup_of(plan: FlowPlan, journal: &Journal, folder: &Path, clock: &Arc<dyn Clock>) -> Setup {
    Setup {
        storage: memory_storage(&plan),
        plan,
        journal: journal.clone(),
        folder: folder.join("flows"),
        built: None,
        disk: RealDisk::new(),
        clock: Arc::clone(clock),
        observer: None,
        settings: Settings::default(),
    }
}

/// Has all tables of a flow in memory; rows of streams leave it with their epoch, as they do with a
/// lake.
fn memory_storage(flow: &FlowPlan) -> BTreeMap<String, Storage> {
    let storage = |output: crate::plan::Output| {
        let is_raw = flow.streams.iter().any(|it| it.declared.name == output.name);
        let make = if is_raw { MemoryTable::forgetful } else { MemoryTable::new };
        let table = make(&output.name, Arc::clone(&output.schema));
        (output.name.to_string(), table.storage())
    };
    flow.outputs().into_iter().map(storage).collect()
}

#[cfg(test)]
mod tests;
