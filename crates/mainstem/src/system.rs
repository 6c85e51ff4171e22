//! The tables in which the program tells about itself: `system.streams` and its neighbours.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema, SchemaRef};
use base::Name;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use journal::StreamInfo;
use process::{CheckStats, RunState, RunStats, View};
use show::Facts;

use crate::at_rest;
use crate::described;
use crate::facts;
use crate::pipeline::Pipeline;
use crate::running::Running;

/// Columns by name, in order.
type Columns = Vec<(&'static str, ArrayRef)>;

/// What the names of system tables begin with.
pub(crate) const PREFIX: &str = "system.";

/// What system tables are made of.
struct Now<'a> {
    streams: &'a [StreamInfo],
    facts: &'a Facts,
    views: &'a [Arc<View>],
    /// Returns the bytes of a stored table.
    bytes: &'a dyn Fn(&str) -> u64,
}

/// The name of a system table, and what makes its rows.
type Table = (&'static str, fn(&Now<'_>) -> Columns);

/// The order is that of the reference.
const TABLES: &[Table] = &[
    ("conservation", conservation),
    ("streams", streams),
    ("shards", shards),
    ("tables", tables),
    ("checks", checks),
    ("runs", runs),
    ("schedules", schedules),
    ("epochs", epochs),
    ("alerts", alerts),
    ("notices", notices),
];

/// Returns all system tables as they are now.
pub(crate) fn tables_of(
    pipeline: &Arc<Pipeline>,
    running: &Running,
    views: &[Arc<View>],
) -> BTreeMap<String, Arc<dyn TableProvider>> {
    let facts = facts::at(pipeline, running, views);
    let streams = pipeline.journal.streams();
    let bytes = |name: &str| running.stored(name).map_or(0, |it| it.facts().bytes);
    let now = Now { streams: &streams, facts: &facts, views, bytes: &bytes };
    let mut found = at_rest::tables_of(&Arc::new(running.all_stored()), Some(&pipeline.inlet));
    found.extend(described::tables::of(pipeline));
    for (name, columns) in TABLES {
        match provider(columns(&now)) {
            Ok(table) => {
                found.insert((*name).to_owned(), table);
            }
            Err(error) => tracing::error!(table = name, %error, "a system table could not be made"),
        }
    }
    found
}

/// Returns their columns, by their whole names.
pub(crate) fn schemas() -> BTreeMap<String, SchemaRef> {
    let facts = Facts::default();
    let nothing = Now { streams: &[], facts: &facts, views: &[], bytes: &|_| 0 };
    let schema =
        |(name, columns): &Table| (format!("{PREFIX}{name}"), schema_of(&columns(&nothing)));
    TABLES.iter().map(schema).collect()
}

/// Returns those that can be told from the views of flows alone.
pub(crate) fn of_views(views: &[Arc<View>]) -> BTreeMap<String, Arc<dyn TableProvider>> {
    let tables = [("checks", checks_of(views)), ("runs", runs_of(views))];
    let tables =
        tables.into_iter().filter_map(|(name, it)| Some((name.to_owned(), provider(it).ok()?)));
    tables.collect()
}

fn provider(columns: Columns) -> datafusion::error::Result<Arc<dyn TableProvider>> {
    let schema = schema_of(&columns);
    let arrays = columns.into_iter().map(|(_, values)| values).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}

fn conservation(now: &Now<'_>) -> Columns {
    let rows = &now.facts.streams;
    vec![
        ("stream", text(rows.iter().map(|it| it.name.as_str()))),
        ("received", number(rows.iter().map(|it| it.received))),
        ("stored", number(rows.iter().map(|it| it.stored))),
        ("dead", number(rows.iter().map(|it| it.dead))),
        ("pending", number(rows.iter().map(|it| it.pending))),
        ("holds", truth(rows.iter().map(|it| it.received == it.stored + it.dead + it.pending))),
    ]
}

fn streams(now: &Now<'_>) -> Columns {
    let infos = now.streams;
    let declared = |name: &str| now.facts.streams.iter().find(|it| it.name == name);
    vec![
        ("name", text(infos.iter().map(|it| it.name.as_str()))),
        ("declared", truth(infos.iter().map(|it| declared(&it.name).is_some()))),
        ("shards", number(infos.iter().map(|it| it.open_shards().count() as u64))),
        ("received", number(infos.iter().map(|it| it.received))),
        ("bytes", number(infos.iter().map(|it| it.bytes))),
        ("created", moment(infos.iter().map(|it| Some(it.created_ms)))),
        (
            "last_arrived",
            moment(infos.iter().map(|it| it.shards.iter().map(|it| it.arrived_ms).max())),
        ),
        ("lag_ms", number(infos.iter().map(|it| declared(&it.name).map_or(0, |it| it.lag_ms)))),
    ]
}

fn shards(now: &Now<'_>) -> Columns {
    let infos = now.streams;
    let rows: Vec<_> =
        infos.iter().flat_map(|it| it.shards.iter().map(move |shard| (&it.name, shard))).collect();
    vec![
        ("stream", text(rows.iter().map(|(name, _)| name.as_str()))),
        ("shard", number(rows.iter().map(|(_, it)| u64::from(it.id.0)))),
        ("hash_start", texts(rows.iter().map(|(_, it)| Some(it.hash_start.to_string())))),
        ("hash_end", texts(rows.iter().map(|(_, it)| Some(it.hash_end.to_string())))),
        ("first", number(rows.iter().map(|(_, it)| it.first.0))),
        ("next", number(rows.iter().map(|(_, it)| it.next.0))),
        ("opened", moment(rows.iter().map(|(_, it)| Some(it.opened_ms)))),
        ("closed", moment(rows.iter().map(|(_, it)| it.closed_ms))),
        ("last_arrived", moment(rows.iter().map(|(_, it)| Some(it.arrived_ms)))),
    ]
}

fn tables(now: &Now<'_>) -> Columns {
    let rows = &now.facts.tables;
    vec![
        ("name", text(rows.iter().map(|it| it.name.as_str()))),
        ("kind", texts(rows.iter().map(|it| Some(format!("{:?}", it.kind).to_lowercase())))),
        ("layer", texts(rows.iter().map(|it| it.layer.clone()))),
        ("flow", texts(rows.iter().map(|it| it.flow.clone()))),
        ("rows", number(rows.iter().map(|it| it.rows))),
        ("bytes", number(rows.iter().map(|it| it.bytes))),
        ("files", number(rows.iter().map(|it| it.files))),
        ("dead", number(rows.iter().map(|it| it.dead))),
        ("corrections", number(rows.iter().map(|it| it.corrections))),
        ("state_bytes", number(rows.iter().map(|it| it.state_bytes))),
        ("spilled_bytes", number(rows.iter().map(|it| it.spilled_bytes))),
        ("watermark", moment(rows.iter().map(|it| it.watermark_ms))),
        ("stored", moment(rows.iter().map(|it| it.updated_ms))),
        ("stale_since", moment(rows.iter().map(|it| it.stale_since_ms))),
        ("stale_reason", texts(rows.iter().map(|it| it.stale_reason.clone()))),
        ("description", texts(rows.iter().map(|it| it.description.clone()))),
    ]
}

/// The checks of tables.
fn checks(now: &Now<'_>) -> Columns {
    checks_of(now.views)
}

fn checks_of(views: &[Arc<View>]) -> Columns {
    let rows: Vec<&CheckStats> = views.iter().flat_map(|it| it.stats.checks.iter()).collect();
    vec![
        ("table_name", text(rows.iter().map(|it| it.table.as_str()))),
        ("check", text(rows.iter().map(|it| it.check.as_str()))),
        ("holds", text(rows.iter().map(|it| it.told.as_str()))),
        ("severity", text(rows.iter().map(|it| it.severity.as_str()))),
        ("state", text(rows.iter().map(|it| it.state.as_str()))),
        ("wrong", numbers(rows.iter().map(|it| it.wrong))),
        ("message", texts(rows.iter().map(|it| it.message.clone()))),
        ("since", moment(rows.iter().map(|it| it.since_ms))),
        ("asked", moment(rows.iter().map(|it| it.asked_ms))),
    ]
}

/// Returns what columns are called and what is in them.
pub(crate) fn schema_of(columns: &[(&'static str, ArrayRef)]) -> SchemaRef {
    let fields = columns.iter();
    let fields = fields.map(|(name, values)| Field::new(*name, values.data_type().clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The last runs of tables that are recomputed.
fn runs(now: &Now<'_>) -> Columns {
    runs_of(now.views)
}

fn runs_of(views: &[Arc<View>]) -> Columns {
    let tables = || views.iter().flat_map(|it| &it.stats.runs);
    let rows: Vec<(&Name, &RunStats)> =
        tables().flat_map(|(name, runs)| runs.iter().map(move |it| (name, it))).collect();
    let all = || rows.iter().map(|(_, it)| it);
    // Of those that are over, the last: what stands now.
    let is_over = |it: &&RunStats| matches!(it.state, RunState::Done | RunState::Failed);
    let newest: BTreeMap<&Name, u64> = tables()
        .filter_map(|(name, runs)| Some((name, runs.iter().rev().find(is_over)?.number)))
        .collect();
    vec![
        ("table_name", text(rows.iter().map(|(name, _)| name.as_str()))),
        ("run", number(all().map(|it| it.number))),
        ("state", text(all().map(|it| it.state.as_str()))),
        ("newest", truth(rows.iter().map(|(name, it)| newest.get(name) == Some(&it.number)))),
        ("cause", text(all().map(|it| it.cause.as_str()))),
        ("due", moment(all().map(|it| Some(it.due_ms)))),
        ("attempt", number(all().map(|it| u64::from(it.attempt)))),
        ("began", moment(all().map(|it| it.began_ms))),
        ("ended", moment(all().map(|it| it.ended_ms))),
        ("rows_in", numbers(all().map(|it| it.rows_in))),
        ("rows_out", numbers(all().map(|it| it.rows_out))),
        ("bytes_estimated", numbers(all().map(|it| it.bytes_estimated))),
        ("bytes_read", numbers(all().map(|it| it.bytes_read))),
        ("error", texts(all().map(|it| it.error.clone()))),
    ]
}

/// What starts tables, and when they run next.
fn schedules(now: &Now<'_>) -> Columns {
    let stats = now.views.iter().flat_map(|it| &it.stats.tables);
    let rows: Vec<_> = stats.filter(|(_, it)| it.starts.is_some()).collect();
    let stored = |name: &Name| {
        let table = now.facts.tables.iter().find(|it| it.name == name.as_str());
        let reads = table.into_iter().flat_map(|it| &it.reads);
        reads.map(|it| (now.bytes)(it)).sum::<u64>()
    };
    vec![
        ("table_name", text(rows.iter().map(|(name, _)| name.as_str()))),
        ("starts", texts(rows.iter().map(|(_, it)| it.starts.clone()))),
        ("next", moment(rows.iter().map(|(_, it)| it.next_ms))),
        ("waits_for", texts(rows.iter().map(|(_, it)| it.waits_for.clone()))),
        ("bytes_estimated", number(rows.iter().map(|(name, _)| stored(name)))),
    ]
}

fn epochs(now: &Now<'_>) -> Columns {
    let rows = &now.facts.flows;
    vec![
        ("flow", text(rows.iter().map(|it| it.name.as_str()))),
        ("running", truth(rows.iter().map(|it| it.running))),
        ("epoch", number(rows.iter().map(|it| it.epoch))),
        ("epochs", number(rows.iter().map(|it| it.flushes))),
        ("ticks", number(rows.iter().map(|it| it.ticks))),
        ("hot_rows", number(rows.iter().map(|it| it.hot_rows))),
        ("hot_bytes", number(rows.iter().map(|it| it.hot_bytes))),
        ("state_bytes", number(rows.iter().map(|it| it.state_bytes))),
        ("spilled_bytes", number(rows.iter().map(|it| it.spilled_bytes))),
        ("lag_ms", number(rows.iter().map(|it| it.lag_ms))),
        ("error", texts(rows.iter().map(|it| it.error.clone()))),
    ]
}

fn alerts(now: &Now<'_>) -> Columns {
    let alerts = &now.facts.alerts;
    let rows: Vec<_> =
        alerts.iter().flat_map(|it| it.instances.iter().map(move |one| (it, one))).collect();
    let key = |it: &show::AlertInstance| {
        let parts: Vec<String> =
            it.key.iter().map(|(name, value)| format!("{name}={value}")).collect();
        parts.join(", ")
    };
    vec![
        ("alert", text(rows.iter().map(|(it, _)| it.name.as_str()))),
        ("key", texts(rows.iter().map(|(_, one)| Some(key(one))))),
        (
            "state",
            texts(rows.iter().map(|(_, one)| Some(format!("{:?}", one.state).to_lowercase()))),
        ),
        ("since", moment(rows.iter().map(|(_, one)| Some(one.since_ms)))),
        ("title", text(rows.iter().map(|(_, one)| one.title.as_str()))),
    ]
}

fn notices(now: &Now<'_>) -> Columns {
    let rows = &now.facts.notices;
    vec![
        ("id", text(rows.iter().map(|it| it.id.as_str()))),
        ("alert", text(rows.iter().map(|it| it.alert.as_str()))),
        ("notify", text(rows.iter().map(|it| it.notify.as_str()))),
        ("about", text(rows.iter().map(|it| it.about.as_str()))),
        ("text", text(rows.iter().map(|it| it.text.as_str()))),
        ("made", moment(rows.iter().map(|it| Some(it.made_ms)))),
        ("state", texts(rows.iter().map(|it| Some(format!("{:?}", it.state).to_lowercase())))),
        ("tries", number(rows.iter().map(|it| u64::from(it.tries)))),
        ("error", texts(rows.iter().map(|it| it.error.clone()))),
    ]
}

pub(crate) fn text<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(values))
}

pub(crate) fn texts(values: impl Iterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(values.collect::<StringViewArray>())
}

pub(crate) fn number(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(|it| i64::try_from(it).unwrap_or(i64::MAX))))
}

fn numbers(values: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    let values = values.map(|it| it.map(|it| i64::try_from(it).unwrap_or(i64::MAX)));
    Arc::new(values.collect::<Int64Array>())
}

pub(crate) fn truth(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<BooleanArray>())
}

pub(crate) fn moment(values: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    let micros = |it: u64| i64::try_from(it).ok().and_then(|it| it.checked_mul(1_000));
    let values = values.map(|it| it.filter(|it| 0 < *it).and_then(micros));
    Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}
