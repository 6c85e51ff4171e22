//! Asks the alerts of a flow after each tick and hands what they found to the notifier.
//!
//! Over windows an alert sees only those that are final (`on = "open"` for all), and for each key
//! only the newest: a row counts while its source has no later window for the same key, so that a
//! spike resolves when the next window is calm. That is decided here, over the flow's view;
//! `watch` decides what firing and resolving mean.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use base::{Clock, Name};
use datafusion::catalog::TableProvider;
use parking_lot::Mutex;
use process::{FlowPlan, Observer, View};
use query::{Catalog, ContextSettings, Engine, Snapshot};
use serde_json::{Map, Value};
use spec::{AlertOn, Project};

use crate::alerting::windows::{NewestBy, Windows, only_final, windows_of};
use crate::catalog;

pub(crate) mod own;
pub(crate) mod windows;

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
    newest: Option<NewestBy>,
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
    fn of(machine: watch::Alert) -> State {
        State { machine, asked_ms: None, error: None, told: VecDeque::new() }
    }

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

/// The tables as an alert may see them, replaced before each question.
pub(crate) struct Shown(pub(crate) ArcSwap<Snapshot>);

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
        let schemas = schemas_of(flow);
        let mut alerts = Vec::new();
        for alert in project.alerts.values() {
            let is_here = alert.reads.first().is_some_and(|it| schemas.contains_key(it.as_str()));
            if !is_here || own::is_own(alert) {
                continue;
            }
            let windows = windows_of(project, flow, alert);
            let (machine, newest) = machine_of(alert, &schemas, &windows)?;
            let state = Mutex::new(State::of(machine));
            alerts.push(Arc::new(Asked { spec: alert.clone(), windows, newest, state }));
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

    async fn ask(&self, asked: &Asked, view: &View) -> anyhow::Result<Vec<RecordBatch>> {
        let tables = asked.tables(view)?;
        self.shown.0.store(Arc::new(Snapshot { tables, ..Snapshot::default() }));
        let rows = self.collect(&asked.spec.sql.text).await?;
        self.newest(asked, rows).await
    }

    /// Keeps the rows whose source has no later window for the same key.
    async fn newest(
        &self,
        asked: &Asked,
        rows: Vec<RecordBatch>,
    ) -> anyhow::Result<Vec<RecordBatch>> {
        match &asked.newest {
            Some(newest) if rows.iter().any(|it| 0 < it.num_rows()) => {
                newest.standing(&rows, &self.collect(&newest.sql()).await?)
            }
            Some(_) | None => Ok(rows),
        }
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
    /// Returns the tables as the alert sees them.
    pub(crate) fn tables(
        &self,
        view: &View,
    ) -> anyhow::Result<BTreeMap<String, Arc<dyn TableProvider>>> {
        let mut tables = catalog::providers(view);
        if self.spec.on == AlertOn::Final {
            for (name, windows) in &self.windows {
                if let Some(table) = only_final(name, windows, view)? {
                    tables.insert(name.to_string(), table);
                }
            }
        }
        Ok(tables)
    }

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

/// Lets time pass for alerts until they are over: `for`, `remind`, and what became of notices, while
/// no row changes.
pub(crate) fn watch_time(
    alerts: Vec<Arc<Asked>>,
    notifier: Arc<watch::Notifier>,
    clock: Arc<dyn Clock>,
    is_over: Arc<AtomicBool>,
) {
    base::task::spawn("alerts", async move {
        loop {
            clock.sleep(ELAPSE_EVERY).await;
            if is_over.load(Ordering::SeqCst) {
                return;
            }
            let now_ms = clock.now_ms();
            for asked in &alerts {
                let mut state = asked.state.lock();
                let notices = state.machine.elapse(now_ms);
                state.tell(notices, &notifier);
            }
        }
    });
}

/// Returns the columns of everything that alerts over this flow may read.
pub(crate) fn schemas_of(flow: &FlowPlan) -> BTreeMap<String, SchemaRef> {
    let outputs = flow.outputs().into_iter().map(|it| (it.name.to_string(), it.schema));
    outputs.chain(flow.lookups().map(|(name, schema)| (name.to_string(), schema))).collect()
}

/// Makes the state machine of an alert, in which nothing stands yet, and says which windows decide
/// what stands.
pub(crate) fn machine_of(
    alert: &spec::Alert,
    schemas: &BTreeMap<String, SchemaRef>,
    windows: &BTreeMap<Name, Windows>,
) -> anyhow::Result<(watch::Alert, Option<NewestBy>)> {
    let schema = query::check::select(&alert.sql, schemas).map_err(|it| joined(&it))?;
    let newest = NewestBy::of(alert, &schema, schemas, windows);
    let column = newest.as_ref().map(|it| it.column.as_str());
    let machine = watch::Alert::new(alert, &schema, column).map_err(|it| joined(&it))?;
    Ok((machine, newest))
}

fn joined(faults: &[spec::Fault]) -> anyhow::Error {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    anyhow::anyhow!(lines.join("\n"))
}
