//! A running pipeline: everything a project needs, opened in order and stopped in order.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base::{Clock, Name};
use ingest::{Inlet, Intake};
use journal::{Journal, RealDisk, StreamSettings};
use process::{Flow, FlowHandle, FlowPlan, Setup, Storage};
use spec::Project;
use store::{Lake, LakeTable, Layout};

use crate::alerting::{Alerting, Asked};
use crate::compile::Compiled;

/// How often small files are compacted and old ones let go.
const MAINTAIN_EVERY: Duration = Duration::from_secs(20);
/// How long one round of that may take before it leaves the disk to others.
const MAINTAIN_BUDGET: Duration = Duration::from_secs(5);

/// Everything that runs.
pub(crate) struct Pipeline {
    pub(crate) project: Project,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) started_ms: u64,
    pub(crate) journal: Journal,
    pub(crate) lake: Lake,
    pub(crate) tables: BTreeMap<String, Arc<LakeTable>>,
    pub(crate) plans: Vec<FlowPlan>,
    pub(crate) flows: Vec<FlowHandle>,
    pub(crate) asked: Vec<Arc<Asked>>,
    pub(crate) inlet: Inlet,
}

impl Pipeline {
    /// Opens journal, lake and flows; recovery happens here.
    pub(crate) async fn open(
        compiled: Compiled,
        data: &Path,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Arc<Pipeline>> {
        let Compiled { project, plan, .. } = compiled;
        let journal = open_journal(&project, data, &clock)?;
        let lake = Lake::open(&data.join("lake"), store::Settings::default(), Arc::clone(&clock))?;
        let settings = watch::notifier::Settings::of(&project.name);
        let notifier = watch::Notifier::start(&project.notifies, settings, Arc::clone(&clock))?;
        let notifier = Arc::new(notifier);
        let mut tables = BTreeMap::new();
        let mut flows = Vec::new();
        let mut asked = Vec::new();
        for flow in &plan.flows {
            let mut storage = BTreeMap::new();
            for output in flow.outputs() {
                let table = lake.table(layout(flow, &output)).await?;
                tables.insert(output.name.to_string(), Arc::clone(&table));
                storage.insert(output.name.to_string(), storage_of(table));
            }
            let alerting = Alerting::of(&project, flow, Arc::clone(&notifier), Arc::clone(&clock))?;
            asked.extend(alerting.asked());
            alerting.watch_time();
            let setup = Setup {
                plan: flow.clone(),
                journal: journal.clone(),
                storage,
                folder: data.join("flows"),
                disk: RealDisk::new(),
                clock: Arc::clone(&clock),
                observer: Some(Box::new(alerting)),
                settings: settings_of(&project),
            };
            let opened = Flow::open(setup).await;
            flows.push(opened.with_context(|| format!("flow `{}`", flow.name))?.run()?);
        }
        let inlet = Inlet::new(journal.clone(), Arc::clone(&clock), intakes(&project))?;
        let started_ms = clock.now_ms();
        let plans = plan.flows;
        Ok(Arc::new(Pipeline {
            project,
            clock,
            started_ms,
            journal,
            lake,
            tables,
            plans,
            flows,
            asked,
            inlet,
        }))
    }

    /// Returns the flow that has `table`.
    pub(crate) fn flow_of(&self, table: &str) -> Option<&FlowHandle> {
        self.flows.iter().find(|it| it.view().tables.contains_key(table))
    }

    /// Opens the doors that work by themselves: those that listen are served with HTTP.
    pub(crate) fn open_doors(&self) -> anyhow::Result<Vec<ingest::Running>> {
        let mut doors = Vec::new();
        for stream in self.project.streams.values() {
            for used in &stream.from {
                let door =
                    ingest::door(used.door.as_str()).context("a door that was checked is there")?;
                let options: toml::Table =
                    used.options.parse().map_err(|faults| anyhow::anyhow!(faults.render(false)))?;
                doors.push(door.open(&options, &self.inlet, &stream.name)?);
            }
        }
        Ok(doors)
    }

    /// Compacts and cleans up until the program ends.
    pub(crate) fn maintain(self: &Arc<Self>) {
        let (lake, clock) = (self.lake.clone(), Arc::clone(&self.clock));
        base::task::spawn("maintain the lake", async move {
            loop {
                clock.sleep(MAINTAIN_EVERY).await;
                if let Err(error) = lake.maintain(MAINTAIN_BUDGET).await {
                    tracing::warn!(%error, "maintenance of the lake failed; it is tried again");
                }
            }
        });
    }

    /// Makes everything durable and ends it.
    pub(crate) async fn stop(&self, doors: Vec<ingest::Running>) {
        for door in doors {
            door.stop().await;
        }
        for flow in &self.flows {
            if let Err(error) = flow.stop().await {
                tracing::error!(flow = %flow.name(), %error, "flow did not stop cleanly; the next start repairs it");
            }
        }
        self.journal.close();
    }
}

/// The streams must be there before their flows open.
fn open_journal(project: &Project, data: &Path, clock: &Arc<dyn Clock>) -> anyhow::Result<Journal> {
    let settings = journal::Settings::new(data.join("journal"));
    let journal = Journal::open(settings, RealDisk::new(), Arc::clone(clock))?;
    for stream in project.streams.values() {
        journal.create_stream(&stream.name, stream_settings(stream))?;
    }
    Ok(journal)
}

/// What the journal makes a stream with.
pub(crate) fn stream_settings(stream: &spec::Stream) -> StreamSettings {
    StreamSettings {
        shards: stream.shards,
        replay: stream.replay,
        replay_size: stream.replay_size,
        declared: true,
    }
}

fn settings_of(project: &Project) -> process::Settings {
    let mut settings = process::Settings::default();
    if let Some(flush) = project.flush {
        settings.epoch_every = flush.0;
    }
    settings
}

pub(crate) fn layout(flow: &FlowPlan, output: &process::Output) -> Layout {
    Layout {
        name: output.name.clone(),
        schema: Arc::clone(&output.schema),
        partition: output.partition.as_ref().map(store::Partition::from),
        keep: output.keep,
        time: output.time.clone(),
        flow: flow.name.to_string(),
        incarnation: output.incarnation.clone(),
    }
}

fn storage_of(table: Arc<LakeTable>) -> Storage {
    let reader = Arc::clone(&table);
    Storage { sink: table, cold: Arc::new(move || reader.provider()) }
}

fn intakes(project: &Project) -> Vec<Intake> {
    let mut intakes = Vec::new();
    for stream in project.streams.values() {
        let name: &Name = &stream.name;
        let doors = stream.from.iter().map(|it| it.door.to_string()).collect();
        let settings = stream_settings(stream);
        intakes.push(Intake { name: name.clone(), settings, doors, key: rows::key_of(stream) });
    }
    intakes
}
