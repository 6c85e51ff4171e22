//! Follows one record: the journal's bytes, its row, the tables of its flow, and the alerts.

use anyhow::Context as _;
use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use base::{Kind, Name, Place};
use base64::Engine as _;
use journal::{Journal, StreamId};
use process::{FlowPlan, Found, TraceStep, View};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use show::{AskError, Row, TraceFound, TraceGroup, TraceState};

use crate::alerting::Asked;
use crate::pipeline::Pipeline;
use crate::running::Running;

/// Says everything that is known of a record.
pub(crate) async fn of(
    pipeline: &Pipeline,
    stream: &Name,
    place: Place,
) -> Result<show::Trace, AskError> {
    let running = pipeline.now();
    let found = running.parts.iter().find(|it| it.plan.streams().any(|it| it == stream));
    let Some(part) = found else { return Err(missing(&running, stream)) };
    let (plan, flow) = (&part.plan, &part.flow);
    let Some(id) = pipeline.journal.stream(stream) else { return Err(missing(&running, stream)) };
    let (bytes, note) = record(&pipeline.journal, stream, id, place)?;
    // After the record: it is told as waiting, or with all it became.
    let (view, now_ms) = (flow.view(), pipeline.clock.now_ms());
    let failed = |error: process::Error| AskError::new(error.kind(), error.to_string());
    let found = plan.trace(&view, stream, place, now_ms).await.map_err(failed)?;
    let mut trace = show::Trace {
        stream: stream.to_string(),
        place: place.to_string(),
        state: state_of(&found),
        arrived_ms: bytes.as_ref().map(|it| it.1).or_else(|| arrived(&found)),
        record: bytes.map(|it| it.0),
        row: found.row.iter().flat_map(|it| rows(std::slice::from_ref(it))).next(),
        letters: rows(&found.letters),
        tables: found.steps.iter().map(|it| table(plan, it)).collect(),
        alerts: Vec::new(),
        notes: note.into_iter().collect(),
    };
    if trace.state == TraceState::Gone {
        trace.notes.push("its row is older than `keep`, or was dropped with its table".to_owned());
    }
    for asked in running.asked() {
        let from = reached(asked, &found);
        if from.is_empty() {
            continue;
        }
        let (through, instances) = match alert(asked, &found, &view, now_ms).await {
            Ok(known) => known,
            Err(error) => (Found::Read(format!("{error:#}")), Vec::new()),
        };
        let (alert, found) = (asked.spec.name.to_string(), told(&through, None));
        trace.alerts.push(show::TraceAlert { alert, from, found, instances });
    }
    Ok(trace)
}

fn missing(running: &Running, stream: &Name) -> AskError {
    let names = running.project.streams.keys();
    let help = match base::nearest(stream, names.clone().map(Name::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("streams are {}", names.map(Name::as_str).collect::<Vec<_>>().join(", ")),
    };
    let message = format!("stream `{stream}` not found");
    AskError { help: Some(help), ..AskError::new(Kind::Missing, message) }
}

/// Bytes of a record and when it was taken in, or why they cannot be had.
type Bytes = (Option<(show::TraceRecord, u64)>, Option<String>);

fn record(journal: &Journal, stream: &Name, id: StreamId, place: Place) -> Result<Bytes, AskError> {
    let failed = |error: journal::Error| AskError::new(error.kind(), error.to_string());
    match journal.read(id, place.shard, place.sequence, 1) {
        Err(journal::Error::Expired { first, .. }) => {
            let note = format!(
                "the journal has let its bytes go: of shard {} it keeps records from {first} on \
                 (`replay`)",
                place.shard
            );
            Ok((None, Some(note)))
        }
        Err(error) => Err(failed(error)),
        Ok(frames) => {
            let Some(found) = frames.iter().find(|it| it.place == place) else {
                let info = journal.stream_info(id).map_err(failed)?;
                let shard = info.shards.iter().find(|it| it.id == place.shard);
                let next = shard.map(|it| it.next).unwrap_or_default();
                let message = format!("`{stream}` has no record {place}");
                let help = format!("the next record of shard {} will be {next}", place.shard);
                return Err(AskError { help: Some(help), ..AskError::new(Kind::Missing, message) });
            };
            let text = std::str::from_utf8(found.bytes).ok().map(str::to_owned);
            let encode = || base64::engine::general_purpose::STANDARD.encode(found.bytes);
            let record = show::TraceRecord {
                bytes: found.bytes.len() as u64,
                key: found.key.to_owned(),
                base64: text.is_none().then(encode),
                text,
            };
            Ok((Some((record, found.arrived_ms)), None))
        }
    }
}

fn state_of(found: &process::Trace) -> TraceState {
    match (found.is_pending, &found.row, found.letters.is_empty()) {
        (true, None, true) => TraceState::Pending,
        (_, Some(_), true) => TraceState::Stored,
        (_, Some(_), false) => TraceState::Replayed,
        (_, None, false) => TraceState::Dead,
        (false, None, true) => TraceState::Gone,
    }
}

/// Returns when the record was taken in, as its row or its dead letter says.
fn arrived(found: &process::Trace) -> Option<u64> {
    let batch = found.row.as_ref().or_else(|| found.letters.first())?;
    let arrived = batch.column_by_name(rows::schema::ARRIVED)?;
    let micros = arrived.as_primitive_opt::<TimestampMicrosecondType>()?.values().first()?;
    u64::try_from(micros / 1_000).ok()
}

fn table(plan: &FlowPlan, step: &TraceStep) -> show::TraceTable {
    show::TraceTable {
        table: step.table.to_string(),
        kind: step.kind.as_str().to_owned(),
        from: step.from.iter().map(ToString::to_string).collect(),
        found: told(&step.found, plan.window(&step.table).as_ref()),
        letters: rows(&step.letters),
        stale_since_ms: step.stale_since_ms,
        notes: step.notes.clone(),
    }
}

/// Says what was found in words; `window` is the column with the window's start, and its length.
fn told(found: &Found, window: Option<&(String, i64)>) -> TraceFound {
    match found {
        Found::LeftOut => TraceFound::LeftOut,
        Found::Read(reason) => TraceFound::Read(reason.clone()),
        Found::Rows(found) => TraceFound::Rows(rows(found)),
        Found::Groups(groups) => {
            let group = |it: &process::Group| TraceGroup {
                key: rows(std::slice::from_ref(&it.key)).into_iter().next().unwrap_or_else(nothing),
                window: window.and_then(|(column, size)| span(&it.key, column, *size)),
                is_final: it.rows.first().and_then(is_final),
                rows: rows(&it.rows),
            };
            TraceFound::Groups(groups.iter().map(group).collect())
        }
    }
}

fn span(key: &RecordBatch, column: &str, size_us: i64) -> Option<(String, String)> {
    let start = key.column_by_name(column)?.as_primitive_opt::<TimestampMicrosecondType>()?;
    let start = start.iter().next().flatten()?;
    let text = rows::json::timestamp_text;
    Some((text(start), text(start.saturating_add(size_us))))
}

fn is_final(rows: &RecordBatch) -> Option<bool> {
    let column = rows.column_by_name(rows::schema::FINAL)?.as_boolean_opt()?;
    column.iter().next().flatten()
}

/// Writes rows as JSON objects, without what is hidden.
fn rows(batches: &[RecordBatch]) -> Vec<Row> {
    let shown = |batch: &RecordBatch| {
        let schema = batch.schema();
        let places = (0..schema.fields().len())
            .filter(|it| !rows::schema::is_hidden(schema.field(*it).name()))
            .collect::<Vec<_>>();
        batch.project(&places).unwrap_or_else(|_places_are_its_own| batch.clone())
    };
    let lines = batches.iter().flat_map(|it| rows::json::lines(&shown(it)));
    let raw = |it: String| RawValue::from_string(it.trim_end().to_owned());
    lines.map(|it| raw(it).unwrap_or_else(|_never| nothing())).collect()
}

fn nothing() -> Row {
    RawValue::NULL.to_owned()
}

/// Returns what an alert reads of what a record reached: first where rows are not known, then the
/// tables with rows of the record.
fn reached(asked: &Asked, found: &process::Trace) -> Vec<String> {
    let reads = |name: &str| {
        asked.spec.reads.iter().any(|it| *it == *name)
            || asked.spec.reads_beside.iter().any(|it| it == name)
    };
    let hazy = found.steps.iter().filter(|it| matches!(it.found, Found::Read(_)));
    let all = hazy.map(|it| &it.table).chain(found.touched());
    all.filter(|it| reads(it)).map(ToString::to_string).collect()
}

async fn alert(
    asked: &Asked,
    found: &process::Trace,
    view: &View,
    now_ms: u64,
) -> anyhow::Result<(Found, Vec<show::AlertInstance>)> {
    let hazy = found.steps.iter().find(|step| {
        matches!(step.found, Found::Read(_)) && asked.spec.reads.contains(&step.table)
    });
    if let Some(step) = hazy {
        let reason = format!("it reads `{}`, of which that cannot be told either", step.table);
        return Ok((Found::Read(reason), Vec::new()));
    }
    let tables = asked.tables(view)?;
    let through = found.through(&asked.spec.sql.text, &tables, now_ms).await;
    let through = through.context("the alert cannot be asked")?;
    let alarming: Vec<RecordBatch> = match &through {
        Found::Rows(rows) => rows.clone(),
        Found::Groups(groups) => groups.iter().flat_map(|it| it.rows.iter().cloned()).collect(),
        Found::LeftOut | Found::Read(_) => Vec::new(),
    };
    let keys = alarming.iter().map(|it| keys(asked, it)).collect::<anyhow::Result<Vec<_>>>()?;
    let keys = keys.concat();
    let mut instances = asked.facts().instances;
    instances.retain(|it| keys.iter().any(|key| is_key(key, &it.key)));
    Ok((through, instances))
}

fn is_key(row: &Map<String, Value>, key: &[(String, String)]) -> bool {
    let has =
        |(name, value): &(String, String)| row.get(name).map(plain).is_some_and(|it| it == *value);
    row.len() == key.len() && key.iter().all(has)
}

/// Returns the keys of an alert's rows.
fn keys(asked: &Asked, batch: &RecordBatch) -> anyhow::Result<Vec<Map<String, Value>>> {
    let places: Vec<usize> =
        asked.spec.key.iter().filter_map(|it| batch.schema().index_of(it.as_str()).ok()).collect();
    let lines = rows::json::lines(&batch.project(&places)?);
    Ok(lines.iter().map(|it| serde_json::from_str(it)).collect::<Result<_, _>>()?)
}

/// A value as the console shows it in a key.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
