//! Asks the alerts of a flow after each tick and hands what they found to the notifier.
//!
//! Over windows an alert sees only those that are final (`on = "open"` for all), and for each key
//! only the newest: a row counts while its source has no later window for the same key, so that a
//! spike resolves when the next window is calm. That is decided here, over the flow's view;
//! `watch` decides what firing and resolving mean.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use async_trait::async_trait;
use base::{Clock, Name};
use datafusion::catalog::TableProvider;
use datafusion::catalog::view::ViewTable;
use datafusion::common::ScalarValue;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use datafusion::prelude::{ident, lit};
use parking_lot::Mutex;
use process::{FlowPlan, Observer, TableView, View};
use query::{Catalog, ContextSettings, Engine, Snapshot};
use serde_json::{Map, Value};
use spec::{AlertOn, Project};

use crate::catalog;

/// The alerts of one flow.
pub(crate) struct Alerting {
    alerts: Vec<Arc<Asked>>,
    engine: Engine,
    shown: Arc<Shown>,
    notifier: Arc<watch::Notifier>,
    clock: Arc<dyn Clock>,
}

/// Notices that the console can show of one alert; older ones are in the receivers' hands.
const NOTICES_SHOWN_MAX: usize = 50;

/// How often time alone may make an alert fire, be repeated, or hear what became of a notice.
const ELAPSE_EVERY: Duration = Duration::from_millis(500);

/// One alert and what is known of it.
pub(crate) struct Asked {
    pub(crate) spec: spec::Alert,
    /// For each table it reads that has windows: the column that tells them, and the table whose
    /// windows they are.
    windows: BTreeMap<Name, Windows>,
    pub(crate) state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) machine: watch::Alert,
    pub(crate) asked_ms: Option<u64>,
    pub(crate) error: Option<String>,
    /// What was told last, oldest first.
    pub(crate) told: VecDeque<watch::Notice>,
}

impl State {
    fn tell(&mut self, notices: Vec<watch::Notice>, notifier: &watch::Notifier) {
        for notice in notices {
            if self.told.len() == NOTICES_SHOWN_MAX {
                self.told.pop_front();
            }
            self.told.push_back(notice);
        }
        notifier.exchange(&mut self.machine);
    }
}

/// Where a table's windows come from: itself, or a windowed table it was computed from.
#[derive(Debug, Clone)]
struct Windows {
    of: Name,
    column: String,
    size_us: i64,
}

/// The tables as an alert may see them, replaced before each question.
struct Shown(ArcSwap<Snapshot>);

impl Catalog for Shown {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }
}

impl Alerting {
    /// Makes the alerts that read tables of `flow`.
    pub(crate) fn of(
        project: &Project,
        flow: &FlowPlan,
        notifier: Arc<watch::Notifier>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Alerting> {
        let shown = Arc::new(Shown(ArcSwap::default()));
        let schemas: BTreeMap<String, _> = flow
            .outputs()
            .into_iter()
            .map(|it| (it.name.to_string(), it.schema))
            .chain(flow.lookups().map(|(name, schema)| (name.to_string(), schema)))
            .collect();
        let mut alerts = Vec::new();
        for alert in project.alerts.values() {
            if alert.reads.first().is_none_or(|it| !schemas.contains_key(it.as_str())) {
                continue;
            }
            let schema = query::check::select(&alert.sql, &schemas).map_err(|it| joined(&it))?;
            let windows = windows_of(project, flow, alert);
            let newest_by = windows
                .values()
                .map(|it| it.column.as_str())
                .find(|it| schema.column_with_name(it).is_some());
            let machine = watch::Alert::new(alert, &schema, newest_by).map_err(|it| joined(&it))?;
            let state =
                Mutex::new(State { machine, asked_ms: None, error: None, told: VecDeque::new() });
            alerts.push(Arc::new(Asked { spec: alert.clone(), windows, state }));
        }
        let catalog: Arc<dyn Catalog> = Arc::clone(&shown) as _;
        let engine = Engine::new(&ContextSettings::default(), catalog, Arc::clone(&clock))
            .context("alerts")?;
        Ok(Alerting { alerts, engine, shown, notifier, clock })
    }

    /// Returns the alerts, for whoever shows them.
    pub(crate) fn asked(&self) -> Vec<Arc<Asked>> {
        self.alerts.clone()
    }

    /// Lets time pass for the alerts until the program ends: `for`, `remind`, and what became of
    /// notices, while no row changes.
    pub(crate) fn watch_time(&self) {
        let (alerts, notifier, clock) =
            (self.asked(), Arc::clone(&self.notifier), Arc::clone(&self.clock));
        base::task::spawn("alerts", async move {
            loop {
                clock.sleep(ELAPSE_EVERY).await;
                let now_ms = clock.now_ms();
                for asked in &alerts {
                    let mut state = asked.state.lock();
                    let notices = state.machine.elapse(now_ms);
                    state.tell(notices, &notifier);
                }
            }
        });
    }

    async fn ask(&self, asked: &Asked, view: &View) -> anyhow::Result<Vec<RecordBatch>> {
        let mut tables = catalog::providers(view);
        if asked.spec.on == AlertOn::Final {
            for (name, windows) in &asked.windows {
                if let Some(table) = only_final(name, windows, view)? {
                    tables.insert(name.to_string(), table);
                }
            }
        }
        self.shown.0.store(Arc::new(Snapshot { tables, system: BTreeMap::new() }));
        let rows = self.collect(&asked.spec.sql.text).await?;
        self.newest(asked, rows).await
    }

    /// Keeps the rows whose source has no later window for the same key.
    async fn newest(
        &self,
        asked: &Asked,
        rows: Vec<RecordBatch>,
    ) -> anyhow::Result<Vec<RecordBatch>> {
        let found = asked.windows.iter().find(|(_, windows)| {
            rows.first().is_some_and(|it| it.schema().column_with_name(&windows.column).is_some())
        });
        let Some((source, windows)) = found.filter(|_| rows.iter().any(|it| 0 < it.num_rows()))
        else {
            return Ok(rows);
        };
        let schema = self.engine.describe(&format!("SELECT * FROM \"{source}\"")).await?;
        let key: Vec<&str> = asked
            .spec
            .key
            .iter()
            .map(spec::Word::as_str)
            .filter(|it| schema.column_with_name(it).is_some())
            .collect();
        let quoted: Vec<String> = key.iter().map(|it| format!("\"{it}\"")).collect();
        let column = &windows.column;
        let groups = if quoted.is_empty() {
            String::new()
        } else {
            format!("GROUP BY {}", quoted.join(", "))
        };
        let keys =
            if quoted.is_empty() { String::new() } else { format!("{}, ", quoted.join(", ")) };
        let sql =
            format!("SELECT {keys}max(\"{column}\") AS \"{column}\" FROM \"{source}\" {groups}");
        let newest = self.collect(&sql).await?;
        let mut last: BTreeMap<String, i64> = BTreeMap::new();
        for batch in &newest {
            for (key, window) in keyed(batch, &key, column)? {
                last.insert(key, window);
            }
        }
        rows.iter()
            .map(|batch| {
                let stands = keyed(batch, &key, column)?
                    .into_iter()
                    .map(|(key, window)| last.get(&key).is_none_or(|it| *it <= window));
                Ok(filter_record_batch(batch, &stands.collect::<Vec<bool>>().into())?)
            })
            .collect()
    }

    async fn collect(&self, sql: &str) -> anyhow::Result<Vec<RecordBatch>> {
        let answer = self.engine.ask(sql).await?;
        Ok(answer.all(base::limits::ALERT_KEYS_MAX).await?)
    }
}

#[async_trait]
impl Observer for Alerting {
    async fn after_tick(&mut self, view: &Arc<View>, changed: &[Name]) {
        let now_ms = self.clock.now_ms();
        for asked in &self.alerts {
            let concerns = asked.spec.reads.iter().any(|it| changed.contains(it));
            if !concerns {
                continue;
            }
            let answer = self.ask(asked, view).await;
            let mut state = asked.state.lock();
            state.asked_ms = Some(now_ms);
            match answer {
                Ok(rows) => {
                    state.error = None;
                    let notices = state.machine.observe(&rows, now_ms);
                    state.tell(notices, &self.notifier);
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(alert = %asked.spec.name, %error, "an alert cannot be asked");
                    state.machine.set_error(Some(error.clone()));
                    state.error = Some(error);
                }
            }
        }
    }

    fn state(&self) -> Vec<u8> {
        let states: BTreeMap<&str, Vec<u8>> = self
            .alerts
            .iter()
            .map(|it| (it.spec.name.as_str(), it.state.lock().machine.to_bytes()))
            .collect();
        serde_json::to_vec(&states).expect("names and bytes can be written as JSON")
    }

    fn restore(&mut self, state: &[u8]) {
        let states: BTreeMap<String, Vec<u8>> = serde_json::from_slice(state).unwrap_or_default();
        for asked in &self.alerts {
            let Some(bytes) = states.get(asked.spec.name.as_str()) else { continue };
            let mut state = asked.state.lock();
            if let Err(error) = state.machine.restore(bytes) {
                tracing::error!(alert = %asked.spec.name, %error, "the alert's state is lost; it begins anew");
            }
            state.tell(Vec::new(), &self.notifier);
        }
    }
}

impl Asked {
    /// Returns the alert as the console shows it.
    pub(crate) fn facts(&self) -> show::Alert {
        let state = self.state.lock();
        show::Alert {
            name: self.spec.name.to_string(),
            description: self.spec.description.clone(),
            sql: self.spec.sql.text.clone(),
            reads: self.spec.reads.iter().map(ToString::to_string).collect(),
            notify: self.spec.notify.iter().map(ToString::to_string).collect(),
            hold: if self.spec.hold.0.is_zero() {
                String::new()
            } else {
                self.spec.hold.to_string()
            },
            instances: instances(&watch::table::rows([&state.machine])),
            asked_ms: state.asked_ms,
            error: state.error.clone(),
        }
    }

    /// Returns what was told last, newest first.
    pub(crate) fn notices(&self) -> Vec<show::Notice> {
        let state = self.state.lock();
        let mut found = Vec::new();
        for notice in state.told.iter().rev() {
            let outbox = state.machine.outbox().find(|(it, _)| it.id == notice.id);
            let waiting: &[Name] = outbox.map_or(&[], |(_, waiting)| waiting);
            for target in &self.spec.notify {
                let is_waiting = waiting.contains(target);
                found.push(show::Notice {
                    id: notice.id.clone(),
                    alert: notice.alert.to_string(),
                    notify: target.to_string(),
                    text: notice.title.clone(),
                    about: notice.state.as_str().to_owned(),
                    made_ms: notice.at_ms,
                    state: if is_waiting {
                        show::NoticeState::Waiting
                    } else {
                        show::NoticeState::Delivered
                    },
                    ..show::Notice::default()
                });
            }
        }
        found
    }
}

/// Reads the instances of an alert out of its rows in `system.alerts`.
fn instances(batch: &RecordBatch) -> Vec<show::AlertInstance> {
    let rows = rows::json::lines(batch);
    let rows = rows.iter().filter_map(|it| serde_json::from_str::<Map<String, Value>>(it).ok());
    let text = |row: &Map<String, Value>, name: &str| {
        row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let object =
        |text: String| serde_json::from_str::<Map<String, Value>>(&text).unwrap_or_default();
    rows.filter_map(|row| {
        let state = match text(&row, "state").as_str() {
            "firing" => show::AlertState::Firing,
            "pending" => show::AlertState::Pending,
            "resolved" => show::AlertState::Resolved,
            _ => return None,
        };
        let plain = |it: Value| it.as_str().map_or_else(|| it.to_string(), str::to_owned);
        let moment: jiff::Timestamp = text(&row, "last_change").parse().ok()?;
        Some(show::AlertInstance {
            key: object(text(&row, "key"))
                .into_iter()
                .map(|(name, it)| (name, plain(it)))
                .collect(),
            state,
            since_ms: u64::try_from(moment.as_millisecond()).unwrap_or(0),
            title: text(&row, "title"),
            row: object(text(&row, "row")).into_iter().collect(),
        })
    })
    .collect()
}

fn joined(faults: &[spec::Fault]) -> anyhow::Error {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    anyhow::anyhow!(lines.join("\n"))
}

/// Finds the windows of the tables that an alert reads: their own, or those of a windowed table
/// from which they are computed and whose window column they kept.
fn windows_of(project: &Project, flow: &FlowPlan, alert: &spec::Alert) -> BTreeMap<Name, Windows> {
    let outputs = flow.outputs();
    let mut found = BTreeMap::new();
    for name in &alert.reads {
        let Some(output) = outputs.iter().find(|it| it.name == *name) else { continue };
        let mut open = vec![name.clone()];
        let mut seen: Vec<Name> = Vec::new();
        while let Some(next) = open.pop() {
            let kept =
                flow.window(&next).filter(|(it, _)| output.schema.column_with_name(it).is_some());
            if let Some((column, size_us)) = kept {
                found.insert(name.clone(), Windows { of: next, column, size_us });
                break;
            }
            seen.push(next.clone());
            let reads = project.tables.get(&next).map(|it| it.reads.clone()).unwrap_or_default();
            open.extend(reads.into_iter().filter(|it| !seen.contains(it)));
        }
    }
    found
}

/// Returns the table without its open windows.
fn only_final(
    name: &Name,
    windows: &Windows,
    view: &View,
) -> anyhow::Result<Option<Arc<dyn TableProvider>>> {
    let Some(table) = view.tables.get(name) else { return Ok(None) };
    let is_final =
        if *name == windows.of { ident("_final").is_true() } else { is_over(windows, table, view) };
    let provider: Arc<dyn TableProvider> = Arc::clone(table) as _;
    let plan = LogicalPlanBuilder::scan(name.as_str(), provider_as_source(provider), None)?
        .filter(is_final)?
        .build()?;
    Ok(Some(Arc::new(ViewTable::new(plan, None))))
}

/// Whether a window has ended before the watermark.
fn is_over(windows: &Windows, table: &TableView, view: &View) -> Expr {
    let zone =
        match table.schema.field_with_name(&windows.column).map(arrow::datatypes::Field::data_type)
        {
            Ok(DataType::Timestamp(TimeUnit::Microsecond, zone)) => zone.clone(),
            _ => None,
        };
    match view.stats.tables.get(&windows.of).and_then(|it| it.watermark_us) {
        Some(watermark) => {
            let start_max = watermark.saturating_sub(windows.size_us);
            ident(&windows.column)
                .lt_eq(lit(ScalarValue::TimestampMicrosecond(Some(start_max), zone)))
        }
        // Before the first row nothing has ended.
        None => lit(false),
    }
}

/// Returns each row's key as text and its window's start.
fn keyed(batch: &RecordBatch, key: &[&str], column: &str) -> anyhow::Result<Vec<(String, i64)>> {
    let windows = batch.column_by_name(column).context("the window's column is there")?;
    let micros = arrow::compute::cast(windows, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
    let micros = micros.as_primitive::<TimestampMicrosecondType>();
    let places: Vec<usize> = key.iter().filter_map(|it| batch.schema().index_of(it).ok()).collect();
    let keys = batch.project(&places)?;
    Ok((0..batch.num_rows())
        .map(|row| {
            let mut text = String::new();
            rows::json::write_values(&keys, row, &mut text);
            let window = if micros.is_null(row) { i64::MIN } else { micros.value(row) };
            (text, window)
        })
        .collect())
}
