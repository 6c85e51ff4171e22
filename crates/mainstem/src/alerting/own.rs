//! Alerts that read the program's own tables: asked by time, since no tick tells that those changed.
//!
//! Their state is a file of its own: written before anybody is told, so that after a crash a notice
//! may be sent again with the same id, and is never lost.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arrow::datatypes::SchemaRef;
use journal::{Disk, RealDisk};
use parking_lot::Mutex;
use process::FlowPlan;
use query::{Catalog, ContextSettings, Engine};
use spec::Project;
use tokio::runtime::Handle;

use crate::alerting::{Asked, State, machine_of, schemas_of};
use crate::catalog::Tables;
use crate::pipeline::Pipeline;
use crate::projects;
use crate::system;

/// How often they are asked.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The file with what they remember.
const FILE: &str = "alerts.json";

/// See the module.
pub(crate) struct OwnAlerts {
    pub(crate) asked: Vec<Arc<Asked>>,
    folder: PathBuf,
    disk: Arc<dyn Disk>,
    /// What was written last.
    written: Mutex<Vec<u8>>,
}

/// Returns whether an alert reads one of the program's own tables.
pub(crate) fn is_own(alert: &spec::Alert) -> bool {
    alert.reads_beside.iter().any(|it| it.starts_with(system::PREFIX))
}

/// Returns the columns of everything that an alert may read.
fn all_schemas(flows: &[FlowPlan]) -> BTreeMap<String, SchemaRef> {
    flows.iter().flat_map(schemas_of).chain(system::schemas()).collect()
}

impl OwnAlerts {
    /// Makes those of a project, as the file left them.
    pub(crate) fn open(
        project: &Project,
        flows: &[FlowPlan],
        folder: &Path,
    ) -> anyhow::Result<Arc<OwnAlerts>> {
        let disk = RealDisk::new();
        let written = projects::read_file(&disk, &folder.join(FILE))?.unwrap_or_default();
        let states: BTreeMap<String, Vec<u8>> =
            serde_json::from_slice(&written).unwrap_or_default();
        let mut asked = Vec::new();
        for alert in project.alerts.values().filter(|it| is_own(it)) {
            let (machine, newest) = machine_of(alert, &all_schemas(flows), &BTreeMap::new())?;
            let mut state = State::of(machine);
            if let Some(bytes) = states.get(alert.name.as_str())
                && let Err(error) = state.machine.restore(bytes)
            {
                tracing::error!(alert = %alert.name, %error, "the alert's state is lost; it begins anew");
            }
            let (state, windows) = (Mutex::new(state), BTreeMap::new());
            asked.push(Arc::new(Asked { spec: alert.clone(), windows, newest, state }));
        }
        let (folder, written) = (folder.to_owned(), Mutex::new(written));
        Ok(Arc::new(OwnAlerts { asked, folder, disk, written }))
    }

    async fn ask(&self, engine: &Engine, notifier: &watch::Notifier, now_ms: u64) {
        let mut all = Vec::new();
        for asked in &self.asked {
            let rows = match engine.ask(&asked.spec.sql.text).await {
                Ok(answer) => answer.all(base::limits::ALERT_KEYS_MAX).await,
                Err(error) => Err(error),
            };
            let mut state = asked.state.lock();
            state.asked_ms = Some(now_ms);
            let mut notices = Vec::new();
            match rows {
                Ok(rows) => {
                    state.error = None;
                    notices.extend(state.machine.observe(&rows, now_ms));
                }
                Err(error) => {
                    let error = error.to_string();
                    tracing::warn!(alert = %asked.spec.name, %error, "an alert cannot be asked");
                    state.machine.set_error(Some(error.clone()));
                    state.error = Some(error);
                }
            }
            notices.extend(state.machine.elapse(now_ms));
            all.push(notices);
        }
        if let Err(error) = self.write() {
            tracing::warn!(error = format!("{error:#}"), "the state of alerts cannot be kept");
        }
        for (asked, notices) in self.asked.iter().zip(all) {
            asked.state.lock().tell(notices, notifier);
        }
    }

    /// Writes down what they remember, if it is other than before.
    fn write(&self) -> anyhow::Result<()> {
        let states = self.asked.iter();
        let states = states.map(|it| (it.spec.name.as_str(), it.state.lock().machine.to_bytes()));
        let bytes = serde_json::to_vec(&states.collect::<BTreeMap<&str, Vec<u8>>>())?;
        let mut written = self.written.lock();
        if *written != bytes {
            projects::replace_file(&self.disk, &self.folder, FILE, &bytes)?;
            *written = bytes;
        }
        Ok(())
    }
}

/// Asks those of the project that runs until the program ends.
pub(crate) fn watch(pipeline: &Arc<Pipeline>) -> anyhow::Result<()> {
    let catalog: Arc<dyn Catalog> = Arc::new(Tables::new(Arc::clone(pipeline), Handle::current()));
    let clock = Arc::clone(&pipeline.clock);
    let engine = Engine::new(&ContextSettings::default(), catalog, clock);
    let engine = engine.context("alerts on the program's own tables")?;
    let pipeline = Arc::clone(pipeline);
    base::task::spawn("alerts on system tables", async move {
        loop {
            pipeline.clock.sleep(ASK_EVERY).await;
            let running = pipeline.now();
            if !running.own.asked.is_empty() {
                running.own.ask(&engine, &running.notifier, pipeline.clock.now_ms()).await;
            }
        }
    });
    Ok(())
}
