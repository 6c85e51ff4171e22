//! A running pipeline: everything a project needs, opened in order and stopped in order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use base::{Clock, Name, limits};
use ingest::{Inlet, Intake};
use journal::{Journal, RealDisk, StreamSettings};
use spec::Project;
use store::{Lake, Serving};
use tokio::sync::{Mutex, Semaphore};

use crate::admission;
use crate::alerting::own::OwnAlerts;
use crate::applying::Changes;
use crate::compile::Compiled;
use crate::described::{self, history::History};
use crate::landing;
use crate::projects::Projects;
use crate::running::{self, Running};

/// How soon another setting of the upkeep is in force.
const UPKEEP_LOOKED_AT: Duration = Duration::from_secs(1);

/// Everything that runs.
pub(crate) struct Pipeline {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) started_ms: u64,
    pub(crate) data: PathBuf,
    pub(crate) journal: Journal,
    pub(crate) lake: Lake,
    pub(crate) inlet: Inlet,
    /// The indexes of tables that are served by key, once there is one.
    pub(crate) serving: OnceLock<Serving>,
    /// The project; a change swaps it in one step.
    pub(crate) now: ArcSwap<Running>,
    pub(crate) changes: Changes,
    pub(crate) projects: Projects,
    /// What changed in the catalogue.
    pub(crate) history: parking_lot::Mutex<History>,
    /// The doors of each stream that work by themselves.
    pub(crate) doors: Mutex<BTreeMap<Name, Vec<ingest::Running>>>,
    /// Room for runs of tables with a schedule, of all flows together.
    runs: parking_lot::Mutex<Option<(u32, Arc<Semaphore>)>>,
    /// What lets the shards of `shards = "auto"` follow the load.
    balancing: Mutex<Option<ingest::Running>>,
}

impl Pipeline {
    /// Opens journal, lake and flows; recovery happens here. The project is the current one from
    /// now on, if there is none yet.
    pub(crate) async fn open(
        compiled: Compiled,
        projects: Projects,
        data: &Path,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Arc<Pipeline>> {
        let Compiled { project, plan, source } = compiled;
        if projects.current().is_none() {
            projects.commit(projects.prepare(&source, None)?)?;
        }
        projects.sweep();
        let journal = open_journal(&project, data, &clock)?;
        let lake = Lake::open(&data.join("lake"), store::Settings::default(), Arc::clone(&clock))?;
        let intakes = project.streams.values().map(intake).collect();
        let inlet = Inlet::new(journal.clone(), Arc::clone(&clock), intakes)?;
        inlet.keep_in(&data.join("doors"))?;
        inlet.buckets_in(&project.folder, data);
        admission::admit(&project, &inlet, &clock);
        let notifier = running::notifier(&project, &clock)?;
        let own = OwnAlerts::open(&project, &plan.flows, data)?;
        let (parts, nothing) = (Vec::new(), Project::default());
        let nothing = Running { project: nothing, parts, notifier, own: Arc::clone(&own) };
        let pipeline = Pipeline {
            started_ms: clock.now_ms(),
            clock,
            data: data.to_owned(),
            journal,
            lake,
            inlet,
            serving: OnceLock::new(),
            now: ArcSwap::from_pointee(nothing),
            changes: Changes::default(),
            projects,
            history: parking_lot::Mutex::new(History::open(data)?),
            doors: Mutex::default(),
            runs: parking_lot::Mutex::default(),
            balancing: Mutex::default(),
        };
        let notifier = Arc::clone(&pipeline.now().notifier);
        pipeline.adopt(&plan.flows).await?;
        let mut opened = Vec::new();
        for flow in &plan.flows {
            opened.push(pipeline.open_flow(&project, flow, &notifier).await?);
        }
        pipeline.sweep_builds().await;
        let parts = opened.into_iter().map(running::Opened::run).collect::<Result<_, _>>()?;
        pipeline.now.store(Arc::new(Running { project, parts, notifier, own }));
        pipeline.sweep_indexes();
        Ok(Arc::new(pipeline))
    }

    /// Returns what runs now; it stays whole for as long as it is held.
    pub(crate) fn now(&self) -> Arc<Running> {
        self.now.load_full()
    }

    /// Returns the room for runs that a project has; those under way when it changes keep theirs.
    pub(crate) fn room_for_runs(&self, project: &Project) -> Arc<Semaphore> {
        let wanted = project.runs_max.unwrap_or(limits::RUNS_MAX);
        let mut runs = self.runs.lock();
        match runs.as_ref() {
            Some((max, room)) if *max == wanted => Arc::clone(room),
            _ => {
                let room = Arc::new(Semaphore::new(wanted as usize));
                *runs = Some((wanted, Arc::clone(&room)));
                room
            }
        }
    }

    /// Opens the doors of all streams that work by themselves: those that listen are served with
    /// HTTP.
    pub(crate) async fn open_doors(&self) -> anyhow::Result<()> {
        let mut doors = self.doors.lock().await;
        for (name, stream) in &self.now().project.streams {
            doors.insert(name.clone(), self.open_doors_of(stream)?);
        }
        *self.balancing.lock().await = Some(ingest::keep_balanced(self.inlet.clone()));
        Ok(())
    }

    pub(crate) fn open_doors_of(
        &self,
        stream: &spec::Stream,
    ) -> anyhow::Result<Vec<ingest::Running>> {
        let mut doors = Vec::new();
        for used in &stream.from {
            let door =
                ingest::door(used.door.as_str()).context("a door that was checked is there")?;
            let options: toml::Table =
                used.options.parse().map_err(|faults| anyhow::anyhow!(faults.render(false)))?;
            doors.push(door.open(&options, &self.inlet, &stream.name)?);
        }
        Ok(doors)
    }

    /// Compacts and cleans up until the program ends.
    pub(crate) fn maintain(self: &Arc<Self>) {
        let pipeline = Arc::clone(self);
        base::task::spawn("maintain the lake", async move {
            loop {
                described::note(&pipeline);
                let budget = pipeline.upkeep_is_due().await;
                if let Err(error) = pipeline.lake.maintain(budget).await {
                    tracing::warn!(%error, "maintenance of the lake failed; it is tried again");
                }
                pipeline.expire_indexes().await;
            }
        });
    }

    /// Waits for the next upkeep and returns how long it may take. What the project says of it may
    /// change while this waits.
    async fn upkeep_is_due(&self) -> Duration {
        let began = self.clock.elapsed();
        loop {
            let upkeep = self.now().project.upkeep;
            let waited = self.clock.elapsed().saturating_sub(began);
            let Some(left) = upkeep.every.0.checked_sub(waited).filter(|it| !it.is_zero()) else {
                return upkeep.budget.0;
            };
            self.clock.sleep(left.min(UPKEEP_LOOKED_AT)).await;
        }
    }

    /// Makes everything durable and ends it.
    pub(crate) async fn stop(&self) {
        if let Some(balancing) = self.balancing.lock().await.take() {
            balancing.stop().await;
        }
        for door in std::mem::take(&mut *self.doors.lock().await).into_values().flatten() {
            door.stop().await;
        }
        for part in &self.now().parts {
            if let Err(error) = part.stop().await {
                let flow = part.flow.name();
                tracing::error!(%flow, %error, "flow did not stop cleanly; the next start repairs it");
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
    let (shards, on_demand) = match stream.shards {
        spec::Shards::Fixed(count) => (count, false),
        spec::Shards::Auto => (limits::ON_DEMAND_SHARDS_MIN, true),
    };
    StreamSettings {
        shards,
        on_demand,
        replay: stream.replay,
        replay_size: stream.replay_size,
        declared: true,
    }
}

/// What the inlet is told of a stream.
pub(crate) fn intake(stream: &spec::Stream) -> Intake {
    let doors = stream.from.iter().map(|it| it.door.to_string()).collect();
    let (name, settings) = (stream.name.clone(), stream_settings(stream));
    Intake {
        name,
        settings,
        doors,
        key: rows::key_of(stream),
        files: Some(landing::opener(stream)),
        limit: admission::rate(stream.limit),
    }
}
