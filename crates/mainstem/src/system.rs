//! The tables in which the program tells about itself: `system.streams` and its neighbours.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use process::View;
use show::Facts;

use crate::facts;
use crate::pipeline::Pipeline;
use crate::running::Running;

/// Columns by name, in order.
type Columns = Vec<(&'static str, ArrayRef)>;

/// The name of a system table, and what makes its rows.
type Table = (&'static str, fn(&Pipeline, &Facts) -> Columns);

/// The order is that of the reference.
const TABLES: &[Table] = &[
    ("conservation", conservation),
    ("streams", streams),
    ("shards", shards),
    ("tables", tables),
    ("epochs", epochs),
    ("alerts", alerts),
    ("notices", notices),
];

/// Returns all system tables as they are now.
pub(crate) fn tables_of(
    pipeline: &Pipeline,
    running: &Running,
    views: &[Arc<View>],
) -> BTreeMap<String, Arc<dyn TableProvider>> {
    let facts = facts::at(pipeline, running, views);
    let mut found = BTreeMap::new();
    for (name, columns) in TABLES {
        match provider(columns(pipeline, &facts)) {
            Ok(table) => {
                found.insert((*name).to_owned(), table);
            }
            Err(error) => tracing::error!(table = name, %error, "a system table could not be made"),
        }
    }
    found
}

fn provider(columns: Columns) -> datafusion::error::Result<Arc<dyn TableProvider>> {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, values)| Field::new(*name, values.data_type().clone(), true))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let arrays = columns.into_iter().map(|(_, values)| values).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}

fn conservation(_: &Pipeline, facts: &Facts) -> Columns {
    let rows = &facts.streams;
    vec![
        ("stream", text(rows.iter().map(|it| it.name.as_str()))),
        ("received", number(rows.iter().map(|it| it.received))),
        ("stored", number(rows.iter().map(|it| it.stored))),
        ("dead", number(rows.iter().map(|it| it.dead))),
        ("pending", number(rows.iter().map(|it| it.pending))),
        ("holds", truth(rows.iter().map(|it| it.received == it.stored + it.dead + it.pending))),
    ]
}

fn streams(pipeline: &Pipeline, facts: &Facts) -> Columns {
    let infos = pipeline.journal.streams();
    let declared = |name: &str| facts.streams.iter().find(|it| it.name == name);
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

fn shards(pipeline: &Pipeline, _: &Facts) -> Columns {
    let infos = pipeline.journal.streams();
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

fn tables(_: &Pipeline, facts: &Facts) -> Columns {
    let rows = &facts.tables;
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

fn epochs(_: &Pipeline, facts: &Facts) -> Columns {
    let rows = &facts.flows;
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

fn alerts(_: &Pipeline, facts: &Facts) -> Columns {
    let rows: Vec<_> =
        facts.alerts.iter().flat_map(|it| it.instances.iter().map(move |one| (it, one))).collect();
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

fn notices(_: &Pipeline, facts: &Facts) -> Columns {
    let rows = &facts.notices;
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

fn text<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(values))
}

fn texts(values: impl Iterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(values.collect::<StringViewArray>())
}

fn number(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(|it| i64::try_from(it).unwrap_or(i64::MAX))))
}

fn truth(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<BooleanArray>())
}

fn moment(values: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    let micros = |it: u64| i64::try_from(it).ok().and_then(|it| it.checked_mul(1_000));
    let values = values.map(|it| it.filter(|it| 0 < *it).and_then(micros));
    Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}
