//! The project that runs: its flows with their tables and alerts. A change replaces it as a whole,
//! so that whoever looks sees one project or the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use base::Name;
use journal::RealDisk;
use process::{Flow, FlowHandle, FlowPlan, Setup, Storage, View};
use spec::Project;
use store::{LakeTable, Layout, ServedSink};

use crate::alerting::own::OwnAlerts;
use crate::alerting::{self, Alerting, Asked};
use crate::change;
use crate::pipeline::Pipeline;
use crate::serving::ServedTable;

/// See the module.
pub(crate) struct Running {
    pub(crate) project: Project,
    pub(crate) parts: Vec<Arc<Part>>,
    pub(crate) notifier: Arc<watch::Notifier>,
    /// Alerts on the program's own tables.
    pub(crate) own: Arc<OwnAlerts>,
}

/// One flow of it.
pub(crate) struct Part {
    pub(crate) plan: FlowPlan,
    pub(crate) flow: FlowHandle,
    pub(crate) asked: Vec<Arc<Asked>>,
    tables: BTreeMap<String, Arc<LakeTable>>,
    /// Tables whose rows are found by key.
    pub(crate) served: BTreeMap<String, Arc<ServedTable>>,
    /// Differs where the flow would have to be opened anew.
    pub(crate) signature: String,
    is_over: Arc<AtomicBool>,
}

/// A flow that stands still yet.
pub(crate) struct Opened {
    plan: FlowPlan,
    flow: Flow,
    asked: Vec<Arc<Asked>>,
    tables: BTreeMap<String, Arc<LakeTable>>,
    served: BTreeMap<String, Arc<ServedTable>>,
    signature: String,
    notifier: Arc<watch::Notifier>,
    clock: Arc<dyn base::Clock>,
}

impl Running {
    /// Returns the newest view of each flow, in the order of `parts`.
    pub(crate) fn views(&self) -> Vec<Arc<View>> {
        self.parts.iter().map(|it| it.flow.view()).collect()
    }

    /// Returns the plans of its flows.
    pub(crate) fn plans(&self) -> Vec<FlowPlan> {
        self.parts.iter().map(|it| it.plan.clone()).collect()
    }

    /// Returns all alerts.
    pub(crate) fn asked(&self) -> impl Iterator<Item = &Arc<Asked>> {
        self.parts.iter().flat_map(|it| &it.asked).chain(&self.own.asked)
    }

    /// Returns the flow that has `table`.
    pub(crate) fn flow_of(&self, table: &str) -> Option<&FlowHandle> {
        let mut flows = self.parts.iter().map(|it| &it.flow);
        flows.find(|it| it.view().tables.contains_key(table))
    }

    /// Returns where a table is stored.
    pub(crate) fn stored(&self, table: &str) -> Option<&Arc<LakeTable>> {
        self.parts.iter().find_map(|it| it.tables.get(table))
    }

    /// Returns all stored tables, by name.
    pub(crate) fn all_stored(&self) -> BTreeMap<String, Arc<LakeTable>> {
        let tables = self.parts.iter().flat_map(|it| &it.tables);
        tables.map(|(name, table)| (name.clone(), Arc::clone(table))).collect()
    }
}

impl Part {
    /// Ends the flow's epoch and the flow; its last view stays.
    pub(crate) async fn stop(&self) -> Result<(), process::Error> {
        self.is_over.store(true, Ordering::SeqCst);
        self.flow.stop().await
    }
}

impl Pipeline {
    /// Opens a flow of a project: recovery happens here.
    pub(crate) async fn open_flow(
        &self,
        project: &Project,
        plan: &FlowPlan,
        notifier: &Arc<watch::Notifier>,
    ) -> anyhow::Result<Opened> {
        let (mut storage, mut tables) = (BTreeMap::new(), BTreeMap::new());
        for output in plan.outputs() {
            let table = self.lake.table(layout(plan, &output)).await?;
            tables.insert(output.name.to_string(), Arc::clone(&table));
            storage.insert(output.name.to_string(), storage_of(table));
        }
        let served = self.serve_tables(project, plan, &tables).await?;
        for (name, table) in &served {
            if let Some(storage) = storage.get_mut(name) {
                storage.sink = Arc::new(ServedSink(Arc::clone(&table.served)));
            }
        }
        let clock = Arc::clone(&self.clock);
        let alerting = Alerting::of(project, plan, Arc::clone(notifier), Arc::clone(&clock))?;
        let asked = alerting.asked();
        let mut settings = settings_of(project);
        settings.runs = self.room_for_runs(project);
        let setup = Setup {
            plan: plan.clone(),
            journal: self.journal.clone(),
            storage,
            folder: self.data.join("flows"),
            built: self.built(),
            disk: RealDisk::new(),
            clock,
            observer: Some(Box::new(alerting)),
            settings,
        };
        let flow = Flow::open(setup).await.with_context(|| format!("flow `{}`", plan.name))?;
        for table in served.values() {
            table.served.settle().await?;
        }
        let signature = change::signature(project, plan);
        let (notifier, clock) = (Arc::clone(notifier), Arc::clone(&self.clock));
        let plan = plan.clone();
        Ok(Opened { plan, flow, asked, tables, served, signature, notifier, clock })
    }
}

impl Opened {
    /// Sets the flow going.
    pub(crate) fn run(self) -> anyhow::Result<Arc<Part>> {
        let Opened { plan, flow, asked, tables, served, signature, notifier, clock } = self;
        let flow = flow.run()?;
        let is_over = Arc::new(AtomicBool::new(false));
        alerting::watch_time(asked.clone(), notifier, clock, Arc::clone(&is_over));
        Ok(Arc::new(Part { plan, flow, asked, tables, served, signature, is_over }))
    }
}

/// Starts what delivers notices of a project.
pub(crate) fn notifier(
    project: &Project,
    clock: &Arc<dyn base::Clock>,
) -> anyhow::Result<Arc<watch::Notifier>> {
    let settings = watch::notifier::Settings::of(&project.name);
    let (targets, mail) = (&project.notifies, project.mail.as_ref());
    let notifier = watch::Notifier::start(targets, mail, settings, Arc::clone(clock))?;
    Ok(Arc::new(notifier))
}

pub(crate) fn settings_of(project: &Project) -> process::Settings {
    let mut settings = process::Settings::default();
    if let Some(flush) = project.flush {
        settings.epoch_every = flush.0;
    }
    if let Some(memory) = project.memory {
        settings.state_bytes_max = usize::try_from(memory.0).unwrap_or(usize::MAX);
    }
    settings
}

pub(crate) fn layout(flow: &FlowPlan, output: &process::Output) -> Layout {
    let comments = output.descriptions.iter();
    let comments = comments.map(|it| (it.column.text.clone(), it.description.clone()));
    Layout {
        name: output.name.clone(),
        schema: Arc::clone(&output.schema),
        comments: comments.collect(),
        partition: output.partition.as_ref().map(store::Partition::from),
        keep: output.keep,
        rest: store::Rest::from(&output.rest),
        time: output.time.clone(),
        flow: flow.name.to_string(),
        incarnation: output.incarnation.clone(),
    }
}

pub(crate) fn storage_of(table: Arc<LakeTable>) -> Storage {
    let reader = Arc::clone(&table);
    Storage { sink: table, cold: Arc::new(move || reader.provider()) }
}

/// Returns the names of the streams of some flows.
pub(crate) fn streams_of(parts: &[Arc<Part>]) -> Vec<Name> {
    parts.iter().flat_map(|it| it.plan.streams().cloned()).collect()
}
