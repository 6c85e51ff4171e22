//! Runs one test: records in, one tick each, then the tables beside what was expected.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base::time::ManualClock;
use base::{Clock, Name};
use journal::simulate::SimulatedDisk;
use journal::{Append, Journal, Key, Records};
use process::memory::MemoryTable;
use process::{CheckState, CheckStats, Flow, Setup, View};
use query::{Catalog, ContextSettings, Engine, Snapshot};
use spec::{CheckSeverity, Line, Test};

use super::compare::{self, Row};
use crate::catalog;
use crate::compile::Compiled;
use crate::system;

/// Where a test without times begins: 2026-01-01.
const START_MS: u64 = 1_767_225_600_000;

struct Fixed(Arc<Snapshot>);

impl Catalog for Fixed {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0)
    }
}

/// Runs one test and returns what failed, each as text.
pub(crate) async fn run(compiled: &Compiled, test: &Test) -> anyhow::Result<Vec<String>> {
    let mut bench = Bench::open(compiled, test).await?;
    for (name, lines) in &test.given {
        if compiled.project.streams.contains_key(name) {
            for line in lines {
                bench.send(compiled, name, line).await?;
            }
        }
    }
    for flow in &mut bench.flows {
        flow.tick().await?;
        flow.flush().await?;
        flow.tick().await?;
    }
    let mut tables = BTreeMap::new();
    let views: Vec<Arc<View>> = bench.flows.iter().map(Flow::view).collect();
    for view in &views {
        tables.extend(catalog::providers(view));
    }
    let system = system::of_views(&views);
    let snapshot = Arc::new(Snapshot { tables, system, ..Snapshot::default() });
    let engine =
        Engine::new(&ContextSettings::default(), Arc::new(Fixed(snapshot)), bench.shared())?;
    let mut failures = Vec::new();
    if !test.expect.contains_key(CHECKS) {
        failures.extend(views.iter().flat_map(|it| it.stats.checks.iter()).filter_map(failed));
    }
    for (table, lines) in &test.expect {
        let expected = rows_of(lines)?;
        let actual = actual(&engine, table, &expected).await?;
        let difference = compare::compare(&expected, &actual);
        if !difference.is_empty() {
            failures.push(format!("    {table}\n{}", compare::side_by_side(&difference)));
        }
    }
    Ok(failures)
}

/// The table of what came of checks; a test that expects its rows may have some that fail.
const CHECKS: &str = "system.checks";

/// Says that a check fails, unless that only would be shown.
fn failed(check: &CheckStats) -> Option<String> {
    let is_failed = check.severity == CheckSeverity::Fail && check.state != CheckState::Passing;
    let message = check.message.as_deref().unwrap_or("it was not asked");
    is_failed.then(|| {
        let (table, name, told) = (&check.table, &check.check, &check.told);
        format!("    check `{name}` of `{table}` fails: {message} ({told})\n")
    })
}

/// A journal and flows in memory.
struct Bench {
    clock: Arc<ManualClock>,
    journal: Journal,
    flows: Vec<Flow>,
}

impl Bench {
    fn shared(&self) -> Arc<dyn Clock> {
        Arc::new(Arc::clone(&self.clock))
    }

    async fn open(compiled: &Compiled, test: &Test) -> anyhow::Result<Bench> {
        let project = &compiled.project;
        let manual = ManualClock::at(START_MS);
        let clock: Arc<dyn Clock> = Arc::new(Arc::clone(&manual));
        let disk = SimulatedDisk::new(0);
        let mut settings = journal::Settings::new("/journal");
        settings.threads = journal::Threads::Caller;
        let journal = Journal::open(settings, Arc::new(disk.clone()), Arc::clone(&clock))?;
        for stream in project.streams.values() {
            journal.create_stream(&stream.name, crate::pipeline::stream_settings(stream))?;
        }
        let given: BTreeMap<Name, Vec<String>> = test
            .given
            .iter()
            .filter(|(name, _)| project.lookups.contains_key(*name))
            .map(|(name, lines)| (name.clone(), lines.iter().map(|it| it.text.clone()).collect()))
            .collect();
        let plan =
            process::plan(project, &given).await.map_err(|it| anyhow::anyhow!(it.render(false)))?;
        let mut flows = Vec::new();
        for plan in plan.flows {
            let storage = plan
                .outputs()
                .into_iter()
                .map(|it| (it.name.to_string(), MemoryTable::new(&it.name, it.schema).storage()))
                .collect();
            let setup = Setup {
                plan,
                journal: journal.clone(),
                storage,
                folder: "/flows".into(),
                disk: Arc::new(disk.clone()),
                clock: Arc::clone(&clock),
                built: None,
                observer: None,
                settings: process::Settings::default(),
            };
            flows.push(Flow::open(setup).await?);
        }
        Ok(Bench { clock: manual, journal, flows })
    }

    /// Writes one record down and ticks, so that each record finds time where the last one left it.
    async fn send(
        &mut self,
        compiled: &Compiled,
        stream: &Name,
        line: &Line,
    ) -> anyhow::Result<()> {
        let declared = compiled.project.streams.get(stream).context("the stream is declared")?;
        if let Some(moment_ms) = event_time(declared, &line.text) {
            let ahead = moment_ms.saturating_sub(self.clock.now_ms());
            self.clock.advance(Duration::from_millis(ahead));
        }
        let key =
            rows::key_of(declared).and_then(|it| it(line.text.as_bytes())).unwrap_or_default();
        let id = self.journal.stream(stream).context("the stream was created")?;
        let shard = self.journal.shard_of(id, Key::Partition(&key))?;
        let mut records = Records::new();
        records.push(&key, line.text.as_bytes())?;
        let append = Append { stream: id, parts: vec![(shard, records)], idempotency: None };
        self.journal.append(append).await?;
        for flow in &mut self.flows {
            flow.tick().await?;
        }
        Ok(())
    }
}

/// The event time of a record, as far as it has one that can be read.
fn event_time(stream: &spec::Stream, text: &str) -> Option<u64> {
    let record: Row = serde_json::from_str(text).ok()?;
    let moment: jiff::Timestamp = record.get(stream.time.as_ref()?)?.as_str()?.parse().ok()?;
    u64::try_from(moment.as_millisecond()).ok()
}

fn rows_of(lines: &[Line]) -> anyhow::Result<Vec<Row>> {
    lines
        .iter()
        .map(|line| {
            let (number, _) = line.spot.line_and_column();
            serde_json::from_str(&line.text)
                .with_context(|| format!("{}:{number}: not a JSON object", line.spot.file.path))
        })
        .collect()
}

/// Returns the rows of `table` with the columns that the expected rows name.
async fn actual(engine: &Engine, table: &str, expected: &[Row]) -> anyhow::Result<Vec<Row>> {
    let names: BTreeSet<&String> = expected.iter().flat_map(|it| it.keys()).collect();
    let columns: Vec<String> =
        names.iter().map(|it| format!("\"{}\"", it.replace('"', "\"\""))).collect();
    let columns = if columns.is_empty() { "*".to_owned() } else { columns.join(", ") };
    let name = match table.split_once('.') {
        Some((schema, name)) => format!("{schema}.\"{name}\""),
        None => format!("\"{table}\""),
    };
    let sql = format!("SELECT {columns} FROM {name}");
    let answer =
        engine.ask(&sql).await.map_err(|error| anyhow::anyhow!("expect.{table}: {error}"))?;
    let batches = answer.all(base::limits::REQUEST_RECORDS_MAX).await?;
    let lines = batches.iter().flat_map(rows::json::lines);
    lines.map(|it| Ok(serde_json::from_str(&it)?)).collect()
}
