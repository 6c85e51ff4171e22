//! Tells the console how the pipeline is: counters that are at hand, in the console's own words.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use base::{Kind, Name};
use process::{CheckState, Stats, TableKind, View};
use show::{AskError, Facts};
use spec::CheckSeverity;

use crate::compile::{Compiled, compile};
use crate::described;
use crate::home::Addresses;
use crate::pipeline::Pipeline;
use crate::running::Running;
use crate::trace;

/// The pipeline as the console asks it.
pub(crate) struct Console {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) addresses: Addresses,
}

#[async_trait]
impl show::Pipeline for Console {
    fn facts(&self) -> Facts {
        let mut facts = of(&self.pipeline);
        facts.http = format!("http://{}", self.addresses.http);
        facts.postgres.clone_from(&self.addresses.postgres);
        facts
    }

    fn catalog(&self) -> show::Catalog {
        described::of(&self.pipeline)
    }

    async fn replay_dead(&self, replay: show::Replay) -> Result<show::Replayed, AskError> {
        let wanted = wanted(&replay)?;
        let missing = || {
            let message = format!("stream `{}` not found", replay.stream);
            AskError {
                help: Some("dead letters are replayed by stream".to_owned()),
                ..AskError::new(Kind::Missing, message)
            }
        };
        let running = self.pipeline.now();
        let flow = running.flow_of(&replay.stream).ok_or_else(missing)?;
        let done = flow
            .replay(wanted)
            .await
            .map_err(|error| AskError::new(error.kind(), error.to_string()))?;
        Ok(show::Replayed { sent: done.stored + done.dead, stored: done.stored, dead: done.dead })
    }

    async fn run_table(&self, table: Name) -> Result<show::Begun, AskError> {
        let running = self.pipeline.now();
        let missing = || {
            let message = format!("there is no table `{table}` that is recomputed");
            let help = "`SELECT table_name FROM system.runs` names those that are".to_owned();
            AskError { help: Some(help), ..AskError::new(Kind::Missing, message) }
        };
        let flow = running.flow_of(&table).ok_or_else(missing)?;
        let run = flow.run_table(table.clone()).await;
        let run = run.map_err(|error| AskError::new(error.kind(), error.to_string()))?;
        Ok(show::Begun { table: table.to_string(), run: run.ok_or_else(missing)? })
    }

    async fn plan(&self, wanted: show::Wanted) -> Result<show::Change, AskError> {
        Ok(self.pipeline.compare(&wanted_project(&wanted).await?))
    }

    async fn apply(&self, wanted: show::Wanted) -> Result<show::Change, AskError> {
        let compiled = wanted_project(&wanted).await?;
        let applied = self.pipeline.apply(compiled, wanted.breaking);
        applied.map_err(conflict)
    }

    async fn plan_rollback(&self) -> Result<show::Change, AskError> {
        self.pipeline.compare_before().await.map_err(conflict)
    }

    async fn rollback(&self, back: show::Back) -> Result<show::Change, AskError> {
        self.pipeline.rollback(back.breaking).await.map_err(conflict)
    }

    fn applying(&self) -> show::Applying {
        self.pipeline.changes.told()
    }

    async fn restore(&self, wanted: show::Restore) -> Result<show::Restored, AskError> {
        self.pipeline.restore(wanted).await
    }

    async fn trace(&self, stream: Name, place: base::Place) -> Result<show::Trace, AskError> {
        trace::of(&self.pipeline, &stream, place).await
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to `map_err`")]
fn conflict(error: anyhow::Error) -> AskError {
    AskError::new(Kind::Conflict, format!("{error:#}"))
}

/// Reads the project that somebody wants to run.
async fn wanted_project(wanted: &show::Wanted) -> Result<Compiled, AskError> {
    let compiled = compile(&wanted.dir, wanted.env.as_deref(), true).await;
    compiled.map_err(|faults| {
        let message = format!("the project in {} has faults", wanted.dir.display());
        let help = Some(faults.render(false));
        AskError { help, ..AskError::new(Kind::Invalid, message) }
    })
}

fn wanted(replay: &show::Replay) -> Result<process::Replay, AskError> {
    let invalid = |message: String| AskError::new(Kind::Invalid, message);
    let kind = match replay.kind.as_deref() {
        None => None,
        Some("decode") => Some(rows::DeadKind::Decode),
        Some("check") => Some(rows::DeadKind::Check),
        Some(other) => {
            let message = format!(
                "dead letters of kind `{other}` cannot be replayed; only `decode` and `check` can"
            );
            return Err(invalid(message));
        }
    };
    let place = match &replay.place {
        None => None,
        Some(text) => {
            Some(text.parse().map_err(|error: base::id::NotAPlace| invalid(error.to_string()))?)
        }
    };
    let all = process::Replay::all(replay.stream.clone());
    Ok(process::Replay { kind, check: replay.check.clone(), place, ..all })
}

/// Returns how the pipeline is now.
pub(crate) fn of(pipeline: &Pipeline) -> Facts {
    let running = pipeline.now();
    at(pipeline, &running, &running.views())
}

/// Returns how the pipeline is at these views, one of each flow in order.
pub(crate) fn at(pipeline: &Pipeline, running: &Running, views: &[Arc<View>]) -> Facts {
    let now_ms = pipeline.clock.now_ms();
    let mut facts = Facts {
        project: running.project.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_ms: pipeline.started_ms,
        now_ms,
        dashboards: running.project.dashboards.values().map(|it| dashboard(it, running)).collect(),
        journal: journal(pipeline),
        waiting: pipeline.changes.waiting(),
        ..Facts::default()
    };
    for (part, view) in running.parts.iter().zip(views) {
        let plan = &part.plan;
        let stats = Arc::clone(&view.stats);
        for name in plan.streams() {
            facts.streams.push(stream(pipeline, running, name, (&stats, view), now_ms));
        }
        tables(running, plan.name.as_str(), view, &stats, &mut facts);
        facts.flows.push(flow_facts(plan, view, &stats, now_ms));
        problems(plan.name.as_str(), &stats, &mut facts);
    }
    facts.streams.sort_by(|one, other| one.name.cmp(&other.name));
    facts.tables.sort_by(|one, other| one.name.cmp(&other.name));
    for asked in running.asked() {
        facts.alerts.push(asked.facts());
    }
    facts.notices = notices(running);
    if let Some(error) = pipeline.journal.failure() {
        let help = "free or repair the disk, then start the program again".to_owned();
        facts.problems.push(show::Problem {
            message: error.to_string(),
            help: Some(help),
            tolerable: false,
        });
    }
    facts
}

fn journal(pipeline: &Pipeline) -> show::Journal {
    let stats = pipeline.journal.stats();
    show::Journal {
        bytes: stats.sealed_bytes + stats.segments * base::limits::JOURNAL_SEGMENT_BYTES,
        pending_bytes: stats.pending_bytes,
        commits: stats.commits,
        sync_seconds: stats.sync_us as f64 / 1e6,
        disk_free_bytes: None,
    }
}

fn stream(
    pipeline: &Pipeline,
    running: &Running,
    name: &Name,
    (stats, view): (&Stats, &View),
    now_ms: u64,
) -> show::Stream {
    let mut facts = show::Stream { name: name.to_string(), ..show::Stream::default() };
    if let Some(declared) = running.project.streams.get(name) {
        facts.description.clone_from(&declared.description);
        facts.time.clone_from(&declared.time);
        facts.key.clone_from(&declared.key);
        facts.replay = declared.replay.to_string();
        facts.checks = declared
            .checks
            .iter()
            .map(|it| show::Check { name: it.name.clone(), sql: it.sql.text.clone() })
            .collect();
        let counts = pipeline.inlet.counts();
        let records = |door: &str| {
            let mine = counts.iter().filter(|it| it.stream == *name && it.door == door);
            mine.map(|it| it.records).sum()
        };
        facts.doors = declared
            .from
            .iter()
            .map(|it| show::Door {
                kind: it.door.to_string(),
                records: records(it.door.as_str()),
                per_second: 0.0,
            })
            .collect();
    }
    if let Some(info) =
        pipeline.journal.stream(name).and_then(|id| pipeline.journal.stream_info(id).ok())
    {
        facts.shards = u32::try_from(info.open_shards().count()).unwrap_or(u32::MAX);
        facts.bytes = info.bytes;
        facts.last_arrived_ms =
            info.shards.iter().map(|it| it.arrived_ms).max().filter(|it| 0 < *it);
        // What the flow has not seen yet is pending, whatever it said at its last tick.
        facts.received = info.received;
        let positions = stats.streams.get(name).map(|it| &it.positions);
        let reached =
            |shard: base::ShardId| positions.and_then(|it| it.get(&shard)).map_or(0, |it| it.0);
        facts.pending = info.shards.iter().map(|it| it.next.0.saturating_sub(reached(it.id))).sum();
    }
    if let Some(table) = view.tables.get(name) {
        facts.columns = columns(&table.schema);
    }
    if let Some(counts) = stats.streams.get(name) {
        facts.stored = counts.stored;
        facts.dead = counts.dead;
        facts.rejects = counts
            .rejects
            .iter()
            .map(|((kind, check), count)| show::Reject {
                kind: kind.clone(),
                check: check.clone(),
                count: *count,
            })
            .collect();
        facts.rejects.sort_by_key(|it| std::cmp::Reverse(it.count));
        let is_behind = 0 < facts.pending && 0 < counts.arrived_ms;
        facts.lag_ms = if is_behind { now_ms.saturating_sub(counts.arrived_ms) } else { 0 };
    }
    facts
}

fn tables(running: &Running, flow: &str, view: &View, stats: &Stats, facts: &mut Facts) {
    for (name, shown) in &view.tables {
        // Each flow that reads a lookup has it; it is told of once.
        let is_lookup = shown.kind == TableKind::Lookup;
        if is_lookup && facts.tables.iter().any(|it| it.name == name.as_str()) {
            continue;
        }
        let kind = match shown.kind {
            TableKind::Raw | TableKind::Dead => continue,
            TableKind::Append => show::TableKind::Append,
            TableKind::Windowed => show::TableKind::Windowed,
            TableKind::Running => show::TableKind::Running,
            TableKind::Recomputed => show::TableKind::Recomputed,
            TableKind::Lookup => show::TableKind::Lookup,
        };
        let mut table = show::Table {
            name: name.to_string(),
            kind,
            flow: Some(flow.to_owned()),
            columns: columns(&shown.schema),
            time: first_time(&shown.schema),
            stale_since_ms: shown.stale_since_ms,
            ..show::Table::default()
        };
        if let Some(stored) = running.stored(name) {
            let stored = stored.facts();
            // What is shown whole from memory has its stored copy hidden behind it.
            let below = if shown.hides_all() { 0 } else { stored.rows };
            table.rows = below + shown.hot_rows() as u64;
            table.bytes = stored.bytes;
            table.files = stored.files;
            table.updated_ms = Some(stored.committed_ms).filter(|it| 0 < *it);
        }
        if let Some(counts) = stats.tables.get(name) {
            table.written = counts.rows_out;
            table.dead = counts.dead;
            table.corrections = counts.corrections;
            table.state_bytes = counts.state_bytes;
            table.spilled_bytes = counts.spilled_bytes;
            table.watermark_ms = counts.watermark_us.and_then(|it| u64::try_from(it / 1_000).ok());
            table.stale_reason.clone_from(&counts.error);
        }
        if let Some(lookup) = stats.lookups.get(name) {
            table.rows = lookup.rows;
            table.stale_reason.clone_from(&lookup.error);
        }
        describe(running, name, &mut table);
        edges(&table, stats, facts);
        facts.tables.push(table);
    }
}

/// Adds what the project file says of a table.
fn describe(running: &Running, name: &Name, table: &mut show::Table) {
    if let Some(declared) = running.project.tables.get(name) {
        table.description.clone_from(&declared.description);
        table.layer.clone_from(&declared.layer);
        table.sql.clone_from(&declared.sql.text);
        table.reads = declared.reads.iter().map(ToString::to_string).collect();
    }
    if let Some(declared) = running.project.lookups.get(name) {
        table.description.clone_from(&declared.description);
        table.sql = format!("-- read from {}", declared.from);
    }
}

/// Rows flow from what a table reads; a lookup is read, nothing flows from it.
fn edges(table: &show::Table, stats: &Stats, facts: &mut Facts) {
    let rows = stats.tables.get(table.name.as_str()).map_or(0, |it| it.rows_in);
    for from in &table.reads {
        let flows = !stats.lookups.contains_key(from.as_str());
        let rows = if flows { rows } else { 0 };
        facts.edges.push(show::Edge {
            from: from.clone(),
            to: table.name.clone(),
            rows,
            ..show::Edge::default()
        });
    }
}

fn flow_facts(plan: &process::FlowPlan, view: &View, stats: &Stats, now_ms: u64) -> show::Flow {
    let oldest = stats.streams.values().filter(|it| 0 < it.pending && 0 < it.arrived_ms);
    show::Flow {
        name: plan.name.to_string(),
        tables: view.tables.keys().map(ToString::to_string).collect(),
        running: stats.failure.is_none(),
        error: stats.failure.clone().or_else(|| stats.flush_error.clone()),
        epoch: stats.epoch.0,
        epoch_ms: None,
        ticks: stats.ticks,
        flush_seconds: stats.flush_us_total as f64 / 1e6,
        flushes: stats.epochs,
        hot_bytes: stats.hot_bytes,
        state_bytes: stats.state_bytes,
        spilled_bytes: stats.spilled_bytes,
        hot_rows: view.tables.values().map(|it| it.hot_rows() as u64).sum(),
        lag_ms: oldest.map(|it| now_ms.saturating_sub(it.arrived_ms)).max().unwrap_or(0),
    }
}

fn problems(flow: &str, stats: &Stats, facts: &mut Facts) {
    let mut problem = |message: String, help: &str, tolerable: bool| {
        // A lookup that several flows read is one problem.
        if facts.problems.iter().all(|it| it.message != message) {
            facts.problems.push(show::Problem { message, help: Some(help.to_owned()), tolerable });
        }
    };
    if let Some(failure) = &stats.failure {
        problem(
            format!("flow `{flow}` has stopped: {failure}"),
            "records stay in the journal; start the program again once the cause is gone",
            false,
        );
    }
    if let Some(error) = &stats.flush_error {
        problem(
            format!("flow `{flow}` cannot store its rows: {error}"),
            "it is tried again; nothing is lost",
            true,
        );
    }
    for (name, table) in &stats.tables {
        if let (Some(_), Some(error)) = (table.stale_since_ms, &table.error) {
            problem(
                format!("table `{name}` stands still: {error}"),
                "the other tables go on; correct its SQL if that is the cause, and `mainstem apply`",
                true,
            );
        }
    }
    for check in stats.checks.iter().filter(|it| it.state == CheckState::Failing) {
        let (name, table) = (&check.check, &check.table);
        let message = check.message.as_deref().unwrap_or_default();
        let help = match check.severity {
            CheckSeverity::Warn => "look at its rows; nothing stands still because of it",
            CheckSeverity::Fail => {
                "the tables behind stand still until it holds again; correct what comes in, or the check"
            }
        };
        problem(format!("check `{name}` of `{table}` fails: {message}"), help, true);
    }
    for (name, lookup) in &stats.lookups {
        if let Some(error) = &lookup.error {
            problem(
                format!("lookup `{name}` is not up to date: {error}"),
                "correct the file; the last good version is used until then",
                true,
            );
        }
    }
}

fn notices(running: &Running) -> Vec<show::Notice> {
    let mut notices: Vec<_> = running.asked().flat_map(|it| it.notices()).collect();
    notices.sort_by_key(|it| std::cmp::Reverse(it.made_ms));
    notices
}

fn columns(schema: &SchemaRef) -> Vec<show::Column> {
    schema
        .fields()
        .iter()
        .map(|it| show::Column {
            name: it.name().clone(),
            kind: type_name(it.data_type()),
            nullable: it.is_nullable(),
        })
        .collect()
}

fn first_time(schema: &SchemaRef) -> Option<String> {
    let is_time = |kind: &DataType| matches!(kind, DataType::Timestamp(..));
    let field =
        schema.fields().iter().find(|it| is_time(it.data_type()) && !it.name().starts_with('_'));
    field.map(|it| it.name().clone())
}

/// A type in the words of the project files.
pub(crate) fn type_name(kind: &DataType) -> String {
    match kind {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "text".to_owned(),
        DataType::Int64 => "int".to_owned(),
        DataType::Float64 => "float".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Boolean => "bool".to_owned(),
        DataType::Timestamp(..) => "timestamp".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Binary | DataType::BinaryView => "bytes".to_owned(),
        DataType::List(item) => format!("list of {}", type_name(item.data_type())),
        other => other.to_string().to_lowercase(),
    }
}

fn dashboard(declared: &spec::Dashboard, running: &Running) -> show::Dashboard {
    let fill = |it: spec::ChartFill| match it {
        spec::ChartFill::Zero => show::ChartFill::Zero,
        spec::ChartFill::Null => show::ChartFill::Null,
        spec::ChartFill::Previous => show::ChartFill::Previous,
    };
    let step_ms = |chart: &spec::Chart| {
        let (from, x) = (chart.from.as_str(), chart.x.as_ref()?.as_str());
        let mut plans = running.parts.iter().map(|it| &it.plan);
        let step_us = plans.find_map(|it| it.step_us(from, x))?;
        u64::try_from(step_us / 1_000).ok()
    };
    let kind = |it: spec::ChartKind| match it {
        spec::ChartKind::Line => show::ChartKind::Line,
        spec::ChartKind::Area => show::ChartKind::Area,
        spec::ChartKind::Bar => show::ChartKind::Bar,
        spec::ChartKind::Number => show::ChartKind::Number,
        spec::ChartKind::Table => show::ChartKind::Table,
    };
    let chart = |it: &spec::Chart| show::Chart {
        title: it.title.clone().unwrap_or_else(|| it.from.to_string()),
        kind: kind(it.kind),
        from: it.from.to_string(),
        x: it.x.as_ref().map(ToString::to_string),
        y: it.y.iter().map(ToString::to_string).collect(),
        by: it.by.as_ref().map(ToString::to_string),
        last_ms: it.last.map(base::Span::as_millis),
        limit: it.limit,
        fill: it.fill.as_ref().map(|(it, _)| fill(*it)),
        step_ms: step_ms(it),
        span: None,
    };
    show::Dashboard {
        name: declared.name.to_string(),
        title: declared.title.clone().unwrap_or_else(|| declared.name.to_string()),
        charts: declared.charts.iter().map(chart).collect(),
    }
}
