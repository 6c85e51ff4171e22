//! What a table of a project costs over given records: as a running flow with checkpoints, and as
//! one question over all rows.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use base::{Clock, Place, SequenceNumber, ShardId};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::datasource::ViewTable;
use datafusion::physical_plan::execute_stream;
use futures::TryStreamExt;
use journal::{Append, Journal, RealDisk, Records, StreamSettings};
use rows::Decoder;

use crate::bench::{plan_of, setup_of};
use crate::error::Error;
use crate::flow::Flow;
use crate::plan::FlowPlan;
use crate::{pipe, session};

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The folder of the project.
    pub project: &'a Path,
    /// The table; the flow is the one that it is in.
    pub table: &'a str,
    /// For each stream that it reads, a file with one record a line.
    pub files: &'a [(&'a str, PathBuf)],
    /// Tells how much of the processor this process has used.
    pub cpu: fn() -> Duration,
}

/// What a running flow took.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Records read.
    pub records: u64,
    /// Of the processor, from the first record to the last checkpoint.
    pub cpu: Duration,
    /// By the clock.
    pub took: Duration,
    /// Checkpoints written.
    pub epochs: u64,
}

/// What one question over all rows took, of the processor.
#[derive(Debug, Clone, Copy)]
pub struct Once {
    /// Records become rows.
    pub parse: Duration,
    /// The question is answered over them, in one part; the answer is forgotten.
    pub ask: Duration,
    /// Rows of the answer.
    pub rows: usize,
}

/// Appends of this many records, as a door would make.
const APPEND_RECORDS: usize = 5_000;
/// Rows of one batch, as a tick has.
const BATCH_ROWS: usize = 32_768;
/// The journal is behind with sealing while the process uses more of the processor than this.
const QUIET: Duration = Duration::from_millis(20);
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LOOKS_MAX: u32 = 600;

/// Writes the records into a journal, then lets a flow read them into tables in memory, with
/// checkpoints as often as usual. The folder must be empty.
///
/// # Errors
/// When a file cannot be read, or the flow fails.
pub async fn run(
    folder: &Path,
    clock: &Arc<dyn Clock>,
    question: &Question<'_>,
) -> Result<Run, Error> {
    let plan = flow_with(question).await?;
    let settings = journal::Settings::new(folder.join("journal"));
    let journal = Journal::open(settings, RealDisk::new(), Arc::clone(clock))?;
    for stream in plan.streams() {
        journal.create_stream(stream, StreamSettings::default())?;
    }
    let mut places = Vec::new();
    for (stream, file) in question.files {
        let records = append(&journal, stream, file).await?;
        places.push((*stream, [(ShardId(0), SequenceNumber(records))]));
    }
    wait_for_quiet(&**clock, question.cpu).await;
    let setup = setup_of(plan, &journal, folder, clock);
    let (cpu, began) = ((question.cpu)(), clock.elapsed());
    let flow = Flow::open(setup).await?.run()?;
    for (stream, places) in &places {
        flow.wait_until(stream, places).await?;
    }
    flow.flush().await?;
    let (cpu, took) = ((question.cpu)() - cpu, clock.elapsed() - began);
    let stats = flow.stats();
    flow.stop().await?;
    journal.close();
    let failed = stats.tables.iter().find_map(|(name, it)| Some((name, it.error.clone()?)));
    if let Some((table, error)) = failed {
        return Err(Error::TooMuch(format!("`{table}` stopped: {error}")));
    }
    let records = stats.streams.values().map(|it| it.stored).sum();
    Ok(Run { records, cpu, took, epochs: stats.epochs })
}

async fn append(journal: &Journal, stream: &str, file: &Path) -> Result<u64, Error> {
    let id = journal.stream(stream).ok_or_else(|| Error::StreamMissing(stream.to_owned()))?;
    let (mut all, mut lines) = (0, lines_of(file)?);
    loop {
        let mut records = Records::new();
        for line in lines.by_ref().take(APPEND_RECORDS) {
            records.push("", &line.map_err(|source| unreadable(file, source))?)?;
        }
        if records.is_empty() {
            return Ok(all);
        }
        all += records.len();
        let parts = vec![(ShardId(0), records)];
        journal.append(Append { stream: id, parts, idempotency: None }).await?;
    }
}

/// Waits until what the journal does behind the scenes is done, so that it is not counted.
async fn wait_for_quiet(clock: &dyn Clock, cpu: fn() -> Duration) {
    for _ in 0..LOOKS_MAX {
        let before = cpu();
        clock.sleep(LOOK_EVERY).await;
        if cpu().saturating_sub(before) <= QUIET {
            return;
        }
    }
}

/// Reads all records as rows, then asks the SELECT of the table over them on one thread; tables
/// that it reads are asked with it.
///
/// # Errors
/// When a file cannot be read, or the question cannot be answered.
pub async fn once(question: &Question<'_>) -> Result<Once, Error> {
    let flow = flow_with(question).await?;
    let failed = || Error::compute("the question cannot be answered");
    let mut tables: BTreeMap<String, Arc<dyn TableProvider>> = BTreeMap::new();
    let before = (question.cpu)();
    for (name, file) in question.files {
        let stream = flow.streams.iter().find(|it| it.declared.name == **name);
        let stream = stream.ok_or_else(|| Error::StreamMissing((*name).to_owned()))?;
        let rows = decode(&stream.declared, file)?;
        let table = MemTable::try_new(Arc::clone(&stream.schema), vec![rows]).map_err(failed())?;
        tables.insert((*name).to_owned(), Arc::new(table));
    }
    let parse = (question.cpu)() - before;
    for lookup in &flow.lookups {
        let rows = vec![vec![lookup.first.rows.rows.clone()]];
        let table = MemTable::try_new(lookup.first.schema(), rows).map_err(failed())?;
        tables.insert(lookup.name.to_string(), Arc::new(table));
    }
    let mut asked = None;
    for table in &flow.tables {
        if table.reads.iter().any(|it| !tables.contains_key(it.as_str())) {
            continue; // It reads what no records are given for.
        }
        let bound = pipe::bind(&table.select, &|name| tables.get(name).map(Arc::clone));
        let bound = bound.map_err(failed())?;
        if *table.name() == *question.table {
            asked = Some(bound);
            break;
        }
        tables.insert(table.name().to_string(), Arc::new(ViewTable::new(bound, None)));
    }
    let asked = asked.ok_or_else(|| Error::StreamMissing(question.table.to_owned()))?;
    let session = session::for_ticks().map_err(failed())?;
    let state = session.state();
    let before = (question.cpu)();
    let physical = state.create_physical_plan(&asked).await.map_err(failed())?;
    let mut answer = execute_stream(physical, state.task_ctx()).map_err(failed())?;
    let mut rows = 0;
    while let Some(batch) = answer.try_next().await.map_err(failed())? {
        rows += batch.num_rows();
    }
    Ok(Once { parse, ask: (question.cpu)() - before, rows })
}

fn decode(stream: &spec::Stream, file: &Path) -> Result<Vec<RecordBatch>, Error> {
    let mut decoder = Decoder::new(stream);
    let mut batches = Vec::new();
    for (number, line) in (0..).zip(lines_of(file)?) {
        let place = Place { shard: ShardId(0), sequence: SequenceNumber(number) };
        decoder.push(&line.map_err(|source| unreadable(file, source))?, place, 0);
        if BATCH_ROWS <= decoder.len() {
            batches.push(decoder.finish().rows);
        }
    }
    batches.push(decoder.finish().rows);
    Ok(batches)
}

fn lines_of(file: &Path) -> Result<impl Iterator<Item = std::io::Result<Vec<u8>>>, Error> {
    let opened = File::open(file).map_err(|source| unreadable(file, source))?;
    Ok(BufReader::with_capacity(1 << 20, opened).split(b'\n'))
}

fn unreadable(path: &Path, source: std::io::Error) -> Error {
    Error::Disk { doing: "read", path: path.to_owned(), source }
}

async fn flow_with(question: &Question<'_>) -> Result<FlowPlan, Error> {
    let flows = plan_of(question.project).await?.flows;
    let has = |it: &FlowPlan| it.tables().any(|(name, _)| *name == *question.table);
    let found = flows.into_iter().find(has);
    found.ok_or_else(|| Error::StreamMissing(question.table.to_owned()))
}
