//! Changes the project that runs: what differs is built beside it, opened anew and shown in one
//! step.
//!
//! Flows that do not differ are not touched. The others go on until their changed tables are built;
//! then they end their epoch and stop. Records wait in the journal and questions are answered from
//! the last view until the new flows have opened.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base::Name;
use parking_lot::Mutex;
use process::FlowPlan;
use show::{ApplyState, Applying, Change, Waiting};
use spec::{Project, Texts};
use tokio::sync::OwnedMutexGuard;

use crate::admission;
use crate::alerting::own::OwnAlerts;
use crate::building::PutBack;
use crate::change::{self, Side, Size, Sizes};
use crate::compile::{Compiled, compile_texts};
use crate::pipeline::{Pipeline, intake};
use crate::projects::Source;
use crate::running::{self, Opened, Part, Running, streams_of};

/// Work of a table, in microseconds, from which its speed is told.
const MEASURED_US_MIN: u64 = 50_000;

/// Returns the tables that are made anew.
fn anew(change: &Change) -> BTreeSet<Name> {
    change.builds.iter().filter_map(|it| Name::new(&it.table).ok()).collect()
}

/// The change under way, and what became of the last one.
#[derive(Default)]
pub(crate) struct Changes {
    /// Held while a change is made: one at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
    told: Mutex<Applying>,
    /// What the folder has that does not run.
    waiting: Mutex<Option<Waiting>>,
}

/// Where a change leads.
struct Aim {
    wanted: Compiled,
    /// Tables that are made anew.
    anew: BTreeSet<Name>,
    /// What stands in the folder and is not meant by it.
    left: Option<Source>,
}

impl Changes {
    /// Returns how far the change has come.
    pub(crate) fn told(&self) -> Applying {
        self.told.lock().clone()
    }

    /// Returns what the folder has that does not run.
    pub(crate) fn waiting(&self) -> Option<Waiting> {
        self.waiting.lock().clone()
    }

    /// Says what the folder has that does not run.
    pub(crate) fn wait(&self, waiting: Option<Waiting>) {
        *self.waiting.lock() = waiting;
    }

    fn tell(&self, change: impl FnOnce(&mut Applying)) {
        change(&mut self.told.lock());
    }
}

impl Pipeline {
    /// Says what would change if this project took the place of the one that runs.
    pub(crate) fn compare(&self, wanted: &Compiled) -> Change {
        let running = self.now();
        let flows = running.plans();
        let running = Side { project: &running.project, flows: &flows };
        let wanted = Side { project: &wanted.project, flows: &wanted.plan.flows };
        change::compare(running, wanted, &self.sizes())
    }

    fn sizes(&self) -> Sizes {
        let running = self.now();
        let mut sizes = Sizes::new();
        for view in running.views() {
            for (name, table) in &view.tables {
                let stored = running.stored(name).map(|it| it.facts()).unwrap_or_default();
                let stats = view.stats.tables.get(name);
                let busy = stats.filter(|it| MEASURED_US_MIN < it.busy_us);
                let size = Size {
                    rows: stored.rows + table.hot_rows() as u64,
                    bytes: stored.bytes,
                    rows_per_second: busy.map(|it| it.rows_in as f64 * 1e6 / it.busy_us as f64),
                    stale: stats.and_then(|it| it.error.clone()),
                };
                sizes.insert(name.to_string(), size);
            }
        }
        sizes
    }

    /// Says what going back to the project before the last change would do.
    pub(crate) async fn compare_before(&self) -> anyhow::Result<Change> {
        Ok(self.compare(&self.before().await?))
    }

    /// Returns the project that ran before the last change.
    async fn before(&self) -> anyhow::Result<Compiled> {
        let before = self.projects.current().and_then(|it| it.before);
        let Some(number) = before else {
            bail!("there is no project to go back to: nothing was applied yet")
        };
        let source = self.projects.source(number)?;
        let folder = self.now().project.folder.clone();
        let (texts, env) = (Texts::from(source.files), source.env);
        compile_texts(&folder, texts, env.as_deref(), true).await.map_err(|faults| {
            let faults = faults.render(false);
            anyhow::anyhow!("the project before cannot run any more:\n{faults}")
        })
    }

    /// Begins to change the running project into this one, and returns what that does. Fails at
    /// once if it cannot be, or if a change is under way.
    pub(crate) fn apply(
        self: &Arc<Self>,
        wanted: Compiled,
        may_break: bool,
    ) -> anyhow::Result<Change> {
        let turn = self.turn()?;
        let change = self.compare(&wanted);
        let anew = anew(&change);
        self.begin(turn, Aim { wanted, anew, left: None }, &change, may_break)?;
        Ok(change)
    }

    /// Begins to go back to the project before the last change, and returns what that does.
    pub(crate) async fn rollback(self: &Arc<Self>, may_break: bool) -> anyhow::Result<Change> {
        let turn = self.turn()?;
        let wanted = self.before().await?;
        let folder = self.now().project.folder.clone();
        let files = Texts::read(&folder).files().clone();
        let env = self.projects.running()?.and_then(|it| it.env);
        let change = self.compare(&wanted);
        let left = Some(Source { env, files }).filter(|it| *it != wanted.source);
        let anew = anew(&change);
        self.begin(turn, Aim { wanted, anew, left }, &change, may_break)?;
        Ok(change)
    }

    /// Changes the running project into this one, and waits until that is done.
    pub(crate) async fn apply_now(self: &Arc<Self>, wanted: Compiled) -> anyhow::Result<()> {
        let _turn = self.turn()?;
        let change = self.compare(&wanted);
        if let Some(reason) = change.refused.first() {
            bail!("{reason}");
        }
        if change.is_nothing() {
            return Ok(());
        }
        self.tell_begin(&change);
        let anew = anew(&change);
        let done = Box::pin(self.switch(Aim { wanted, anew, left: None })).await;
        self.tell_end(&done);
        done.map(|_pause| ())
    }

    /// Returns the turn to change the project, once nobody has it.
    pub(crate) async fn turn_when_free(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.changes.turn).lock_owned().await
    }

    /// Makes a change that was compared in this turn, and waits until that is done.
    pub(crate) async fn apply_in_turn(
        self: &Arc<Self>,
        turn: OwnedMutexGuard<()>,
        wanted: Compiled,
        change: &Change,
    ) -> anyhow::Result<()> {
        self.tell_begin(change);
        let anew = anew(change);
        let done = Box::pin(self.switch(Aim { wanted, anew, left: None })).await;
        self.tell_end(&done);
        drop(turn);
        done.map(|_pause| ())
    }

    fn turn(&self) -> anyhow::Result<OwnedMutexGuard<()>> {
        let turn = Arc::clone(&self.changes.turn).try_lock_owned();
        turn.ok()
            .context("another change is under way; `mainstem apply --status` says how far it is")
    }

    fn begin(
        self: &Arc<Self>,
        turn: OwnedMutexGuard<()>,
        aim: Aim,
        change: &Change,
        may_break: bool,
    ) -> anyhow::Result<()> {
        if let Some(reason) = change.refused.first() {
            bail!("{reason}");
        }
        if !may_break && let Some(what) = change.breaking.first() {
            bail!("readers outside could trip over it: {what}; say `--breaking` if they may");
        }
        self.tell_begin(change);
        let pipeline = Arc::clone(self);
        base::task::spawn("apply", async move {
            let done = Box::pin(pipeline.switch(aim)).await;
            pipeline.tell_end(&done);
            drop(turn);
        });
        Ok(())
    }

    fn tell_begin(&self, change: &Change) {
        let at_ms = self.clock.now_ms();
        let told = Applying {
            state: ApplyState::Switching,
            change: Some(change.clone()),
            at_ms,
            ..Applying::default()
        };
        self.changes.tell(|it| *it = told);
    }

    fn tell_end(&self, done: &anyhow::Result<Duration>) {
        let at_ms = self.clock.now_ms();
        self.changes.tell(|it| {
            it.at_ms = at_ms;
            match done {
                Ok(pause) => {
                    tracing::info!(pause_ms = pause.as_millis(), "the project was changed");
                    it.state = ApplyState::Applied;
                    it.pause_ms = u64::try_from(pause.as_millis()).ok();
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(
                        error,
                        "the project could not be changed; the one before runs on"
                    );
                    it.state = ApplyState::Failed;
                    it.error = Some(error);
                }
            }
        });
        if done.is_ok() {
            self.changes.wait(None);
        }
    }

    /// Says how far a build has come.
    pub(crate) fn tell_build(&self, tables: &str, rows: u64, of: u64) {
        self.changes.tell(|it| {
            it.state = ApplyState::Building;
            it.table = Some(tables.to_owned());
            (it.rows, it.rows_all) = (rows, of);
        });
    }

    /// Puts the new project in the place of the running one; returns how long the flows that
    /// differ stood still.
    async fn switch(self: &Arc<Self>, aim: Aim) -> anyhow::Result<Duration> {
        let before = self.now();
        let Aim { wanted: Compiled { project, plan, source }, anew, left } = aim;
        let was = self.projects.current();
        let next = self.projects.prepare(&source, left)?;
        for stream in project.streams.values() {
            self.inlet.declare(intake(stream))?;
        }
        let is_told_alike = change::notifies(&before.project) == change::notifies(&project);
        let notifier = if is_told_alike {
            Arc::clone(&before.notifier)
        } else {
            running::notifier(&project, &self.clock)?
        };
        let own = OwnAlerts::open(&project, &plan.flows, &self.data)?;
        let same = |flow: &FlowPlan| {
            let signature = change::signature(&project, flow);
            let is_anew = flow.tables().any(|(it, _)| anew.contains(it));
            let found = before.parts.iter().find(|it| it.signature == signature && !is_anew);
            found.filter(|it| is_told_alike || it.asked.is_empty()).map(Arc::clone)
        };
        let kept: Vec<Option<Arc<Part>>> = plan.flows.iter().map(same).collect();
        let is_kept = |part: &&Arc<Part>| kept.iter().flatten().any(|it| Arc::ptr_eq(it, part));
        let over: Vec<Arc<Part>> =
            before.parts.iter().filter(|it| !is_kept(it)).map(Arc::clone).collect();
        let flows = plan.flows.iter().zip(&kept).filter(|(_, kept)| kept.is_none());
        let flows = flows.map(|(flow, _)| flow).collect();
        let built = match Box::pin(self.build(&project, flows, &anew, next.number)).await {
            Ok(built) => built,
            Err(error) => {
                self.sweep_builds().await;
                return Err(error);
            }
        };
        self.changes.tell(|it| it.state = ApplyState::Switching);
        let began = self.clock.elapsed();
        let mut replaced = PutBack::default();
        let told = |step| {
            let after_ms = self.clock.elapsed().saturating_sub(began).as_millis();
            tracing::debug!(after_ms, "{step}");
        };
        let opened = async {
            self.stop_all(&over).await?;
            told("the flows that differ have stopped");
            built.finish().await?;
            told("what was built has caught up");
            self.projects.commit(next)?;
            replaced = self.adopt(&plan.flows).await?;
            told("what was built is in its place");
            self.open_all(&project, &plan.flows, &kept, &notifier).await
        };
        match Box::pin(opened).await {
            Ok(parts) => self.now.store(Arc::new(Running { project, parts, notifier, own })),
            Err(error) => {
                self.put_back(&replaced).await.context("the tables before cannot be put back")?;
                if let Some(was) = was {
                    self.projects.commit(was)?;
                }
                self.go_back(&before, &over).await.context("neither can the one before")?;
                self.sweep_builds().await;
                return Err(error);
            }
        }
        let pause = self.clock.elapsed().saturating_sub(began);
        self.projects.sweep();
        self.sweep_builds().await;
        self.sweep_indexes();
        self.renew_doors(&before).await?;
        Ok(pause)
    }

    async fn stop_all(&self, parts: &[Arc<Part>]) -> anyhow::Result<()> {
        for part in parts {
            let name = part.flow.name();
            part.stop().await.with_context(|| format!("flow `{name}` cannot end its epoch"))?;
        }
        Ok(())
    }

    /// Opens the flows that are not kept; none ticks before all are open, because a table may have
    /// come from another flow.
    async fn open_all(
        &self,
        project: &Project,
        flows: &[FlowPlan],
        kept: &[Option<Arc<Part>>],
        notifier: &Arc<watch::Notifier>,
    ) -> anyhow::Result<Vec<Arc<Part>>> {
        let mut opened = Vec::new();
        for (flow, kept) in flows.iter().zip(kept) {
            opened.push(match kept {
                Some(part) => {
                    self.tell_others(flow).await;
                    Ok(Arc::clone(part))
                }
                None => Err(self.open_flow(project, flow, notifier).await?),
            });
        }
        opened.into_iter().map(|it| it.or_else(Opened::run)).collect()
    }

    /// Lets the stored tables of a flow that goes on say what is said about their columns now.
    async fn tell_others(&self, flow: &FlowPlan) {
        for output in flow.outputs() {
            if let Err(error) = self.lake.table(running::layout(flow, &output)).await {
                let table = output.name.as_str();
                tracing::warn!(table, %error, "other programs are not told what its columns are");
            }
        }
    }

    /// Sets the flows going again that were stopped for a change that failed.
    async fn go_back(&self, before: &Running, over: &[Arc<Part>]) -> anyhow::Result<()> {
        let is_over = |part: &Arc<Part>| over.iter().any(|it| Arc::ptr_eq(it, part));
        let flows = before.plans();
        let kept: Vec<Option<Arc<Part>>> =
            before.parts.iter().map(|it| (!is_over(it)).then(|| Arc::clone(it))).collect();
        let parts = self.open_all(&before.project, &flows, &kept, &before.notifier).await?;
        let (project, notifier) = (before.project.clone(), Arc::clone(&before.notifier));
        let own = Arc::clone(&before.own);
        self.now.store(Arc::new(Running { project, parts, notifier, own }));
        Ok(())
    }

    /// Closes the doors of streams that are gone or have others now, and opens those that are new.
    async fn renew_doors(&self, before: &Running) -> anyhow::Result<()> {
        let now = self.now();
        admission::admit(&now.project, &self.inlet, &self.clock);
        let mut doors = self.doors.lock().await;
        let gone: BTreeSet<Name> = streams_of(&before.parts)
            .into_iter()
            .filter(|it| !now.project.streams.contains_key(it))
            .collect();
        for name in &gone {
            self.inlet.withdraw(name);
        }
        for (name, stream) in &now.project.streams {
            let was = before.project.streams.get(name);
            if was.is_some_and(|it| change::doors(it) == change::doors(stream)) {
                continue;
            }
            for door in doors.remove(name).unwrap_or_default() {
                door.stop().await;
            }
            doors.insert(name.clone(), self.open_doors_of(stream)?);
        }
        for name in &gone {
            for door in doors.remove(name).unwrap_or_default() {
                door.stop().await;
            }
        }
        Ok(())
    }
}
