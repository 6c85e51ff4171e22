//! Tables of a changed project are built beside what runs, at low priority.
//!
//! `builds/NUMBER` holds the state of the tables that project NUMBER was built with, their rows lie
//! in folders of the tables that they take the place of. Both count once that project is the
//! current one; before, a crash leaves nothing but files that the next start removes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use base::{Clock, Epoch, Name};
use datafusion::catalog::TableProvider;
use futures::future::join_all;
use journal::RealDisk;
use process::{Beside, Build, BuildSetup, FlowPlan, Grown, GrownPart, GrownRows, Progress, Setup};
use rows::sink::SinkError;
use spec::Project;
use store::{Pinned, Replaced};

use crate::pipeline::Pipeline;
use crate::running::{layout, settings_of, storage_of};
use crate::workers::Workers;

/// A build has caught up when a round took no longer, or hardly less than the one before: then a
/// round takes in what came in during another.
const CAUGHT_UP: Duration = Duration::from_millis(200);

/// Whether a round is worth another: it takes this share of the one before at most.
const SHRINKS_TO: f64 = 0.7;

/// A build has this part of the memory of a flow that runs.
const MEMORY_SHARE: usize = 2;

/// How often others are told how far a build has come.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// The priority of a build is lower than all others, by this.
const NICE: i32 = 10;

/// Builds that have caught up with what runs.
pub(crate) struct Built(Vec<Build>);

/// What stood in tables before a build took their place.
#[derive(Default)]
pub(crate) struct PutBack(Vec<Replaced>);

/// A pinned table as a build reads it.
struct Source(Pinned);

#[async_trait]
impl Grown for Source {
    async fn renew(&self) -> Result<Epoch, SinkError> {
        self.0.renew().await
    }

    fn rows(&self, after: Option<Epoch>, until: Epoch) -> Result<GrownRows, SinkError> {
        let (rows, files) = self.0.rows(after, until);
        let part = |it: store::PinnedFile| GrownPart {
            rows: it.rows,
            epoch: it.epoch,
            times_us: it.times_us,
        };
        Ok(GrownRows { rows, parts: files.into_iter().map(part).collect() })
    }

    fn moved(&self) -> Result<Arc<dyn TableProvider>, SinkError> {
        Ok(self.0.moved())
    }
}

impl Pipeline {
    fn folder_of_build(&self, number: u64) -> PathBuf {
        self.data.join("builds").join(number.to_string())
    }

    /// Returns the folder of the build that the current project came with, if it is still needed.
    pub(crate) fn built(&self) -> Option<PathBuf> {
        let folder = self.folder_of_build(self.projects.current()?.number);
        folder.try_exists().unwrap_or(true).then_some(folder)
    }

    /// Builds these tables for the project of that number until they have caught up with what
    /// runs; tells how far it has come.
    pub(crate) async fn build(
        &self,
        project: &Project,
        flows: Vec<&FlowPlan>,
        wanted: &BTreeSet<Name>,
        number: u64,
    ) -> anyhow::Result<Built> {
        remove_folder(&self.folder_of_build(number))?;
        let mut builds = Vec::new();
        let workers = Workers::start("build", 1, NICE)?;
        for flow in flows {
            let beside = flow.beside(wanted);
            if beside.built.is_empty() {
                continue;
            }
            let tables = beside.built.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
            let progress = Arc::<Progress>::default();
            let setup =
                self.setup_of_build(project, flow, beside, number, Arc::clone(&progress)).await?;
            let work = workers.spawn(catch_up(setup, Arc::clone(&self.clock)));
            let mut work = work.context("the build has no threads")?;
            let build = loop {
                let rows = progress.rows_done.load(Ordering::Relaxed);
                let of = progress.rows.load(Ordering::Relaxed);
                self.tell_build(&tables, rows, of);
                tokio::select! {
                    build = &mut work => break build.context("the build fell over")?,
                    () = self.clock.sleep(TELL_EVERY) => {}
                }
            };
            builds.push(build.with_context(|| format!("cannot build {tables}"))?);
        }
        let mut built = Built(builds);
        built.catch_up().await?; // The first waited for the others.
        Ok(built)
    }

    async fn setup_of_build(
        &self,
        project: &Project,
        flow: &FlowPlan,
        beside: Beside,
        number: u64,
        progress: Arc<Progress>,
    ) -> anyhow::Result<BuildSetup> {
        let (mut storage, mut grown) = (BTreeMap::new(), BTreeMap::new());
        let own = flow.storage_of(&beside.built);
        for output in flow.outputs() {
            let (name, layout) = (output.name.clone(), layout(flow, &output));
            if beside.followed.contains(&name) || beside.told.contains(&name) {
                let pinned = self.lake.pin(layout.clone()).await?;
                grown.insert(name.clone(), Arc::new(Source(pinned)) as Arc<dyn Grown>);
            }
            let table = match own.contains(&name) {
                true => self.lake.build(layout, &number.to_string()).await?,
                false => self.lake.as_it_is(layout).await?,
            };
            storage.insert(name.to_string(), storage_of(table));
        }
        let mut settings = settings_of(project);
        settings.state_bytes_max /= MEMORY_SHARE;
        settings.memory_bytes_max /= MEMORY_SHARE;
        let setup = Setup {
            plan: flow.clone(),
            journal: self.journal.clone(),
            storage,
            folder: self.folder_of_build(number),
            built: None,
            disk: RealDisk::new(),
            clock: Arc::clone(&self.clock),
            observer: None,
            settings,
        };
        let live = self.data.join("flows");
        Ok(BuildSetup { setup, live, beside, grown, progress })
    }

    /// Lets what was built for the current project take the place of what is stored.
    pub(crate) async fn adopt(&self, flows: &[FlowPlan]) -> anyhow::Result<PutBack> {
        let mut replaced = PutBack::default();
        let Some(current) = self.projects.current() else { return Ok(replaced) };
        let Some(folder) = self.built() else { return Ok(replaced) };
        let built = process::built_tables(&RealDisk::new(), &folder)?;
        let number = current.number.to_string();
        self.forget_indexes(built.keys())?;
        let mut adopted = Vec::new();
        for flow in flows {
            for output in flow.outputs() {
                let Some(epoch) = built.get(&output.name) else { continue };
                adopted.push(self.lake.adopt(layout(flow, &output), &number, *epoch));
            }
        }
        let mut failed = None;
        for adopted in join_all(adopted).await {
            match adopted {
                Ok(before) => replaced.0.extend(before),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            None => Ok(replaced),
            Some(error) => {
                self.put_back(&replaced).await?;
                Err(error).context("what was built cannot take its place")
            }
        }
    }

    /// Undoes [`Pipeline::adopt`].
    pub(crate) async fn put_back(&self, replaced: &PutBack) -> anyhow::Result<()> {
        for replaced in replaced.0.iter().rev() {
            self.forget_indexes(std::iter::once(replaced.table()))?;
            self.lake.put_back(replaced).await?;
        }
        Ok(())
    }

    /// Removes what builds left: of those that count the state, which flows have taken over, of
    /// others all. What cannot be removed is tried again next time.
    pub(crate) async fn sweep_builds(&self) {
        let current = self.projects.current().map_or(0, |it| it.number);
        if let Err(error) = remove_folder(&self.data.join("builds")) {
            tracing::warn!(%error, "what a build left cannot be removed");
        }
        let is_over = move |build: &str| build.parse::<u64>().is_ok_and(|it| current < it);
        if let Err(error) = self.lake.sweep_builds(is_over).await {
            tracing::warn!(%error, "what a build left cannot be removed");
        }
    }
}

impl Built {
    /// Takes in what came since, while the flows still run.
    async fn catch_up(&mut self) -> anyhow::Result<()> {
        for build in &mut self.0 {
            build.catch_up().await?;
        }
        Ok(())
    }

    /// Takes in the last epoch of flows that have stopped and writes down what is to count.
    pub(crate) async fn finish(self) -> anyhow::Result<()> {
        for build in self.0 {
            build.finish().await?;
        }
        Ok(())
    }
}

/// Builds until it has caught up with what runs.
async fn catch_up(setup: BuildSetup, clock: Arc<dyn Clock>) -> Result<Build, process::Error> {
    let mut build = Build::new(setup).await?;
    let (mut before, mut is_first) = (Duration::MAX, true);
    loop {
        let began = clock.elapsed();
        build.catch_up().await?;
        if std::mem::take(&mut is_first) {
            build.compute_wholes().await?;
        }
        let took = clock.elapsed().saturating_sub(began);
        if took <= CAUGHT_UP || before.mul_f64(SHRINKS_TO) < took {
            return Ok(build);
        }
        before = took;
    }
}

fn remove_folder(folder: &std::path::Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
