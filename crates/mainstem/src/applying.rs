//! Changes the project that runs: what differs is opened anew, and shown in one step.
//!
//! Flows that do not differ are not touched. The others end their epoch and stop; records wait in
//! the journal and questions are answered from the last view until the new flows have opened.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base::Name;
use parking_lot::Mutex;
use process::FlowPlan;
use show::{ApplyState, Applying, Change};
use spec::Project;

use crate::change::{self, Side, Size, Sizes};
use crate::compile::Compiled;
use crate::pipeline::{Pipeline, intake};
use crate::running::{self, Opened, Part, Running, streams_of};

/// Work of a table, in microseconds, from which its speed is told.
const MEASURED_US_MIN: u64 = 50_000;

/// The change under way, and what became of the last one.
#[derive(Default)]
pub(crate) struct Changes {
    /// Held while a change is made: one at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
    told: Mutex<Applying>,
}

impl Changes {
    /// Returns how far the change has come.
    pub(crate) fn told(&self) -> Applying {
        self.told.lock().clone()
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

    /// Begins to change the running project into this one, and returns what that does. Fails at
    /// once if it cannot be, or if a change is under way.
    pub(crate) fn apply(
        self: &Arc<Self>,
        wanted: Compiled,
        may_break: bool,
    ) -> anyhow::Result<Change> {
        let Ok(turn) = Arc::clone(&self.changes.turn).try_lock_owned() else {
            bail!("another change is under way; `mainstem apply --status` says how far it is")
        };
        let change = self.compare(&wanted);
        if let Some(reason) = change.refused.first() {
            bail!("{reason}");
        }
        if !may_break && let Some(what) = change.breaking.first() {
            bail!("readers outside could trip over it: {what}; say `--breaking` if they may");
        }
        let at_ms = self.clock.now_ms();
        let told = Applying {
            state: ApplyState::Switching,
            change: Some(change.clone()),
            at_ms,
            ..Applying::default()
        };
        self.changes.tell(|it| *it = told);
        let pipeline = Arc::clone(self);
        base::task::spawn("apply", async move {
            let done = pipeline.switch(wanted).await;
            let at_ms = pipeline.clock.now_ms();
            pipeline.changes.tell(|it| {
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
            drop(turn);
        });
        Ok(change)
    }

    /// Puts the new project in the place of the running one; returns how long the flows that
    /// differ stood still.
    async fn switch(self: &Arc<Self>, wanted: Compiled) -> anyhow::Result<Duration> {
        let before = self.now();
        let Compiled { project, plan } = wanted;
        for stream in project.streams.values() {
            self.inlet.declare(intake(stream))?;
        }
        let is_told_alike = change::notifies(&before.project) == change::notifies(&project);
        let notifier = if is_told_alike {
            Arc::clone(&before.notifier)
        } else {
            running::notifier(&project, &self.clock)?
        };
        let same = |flow: &FlowPlan| {
            let signature = change::signature(&project, flow);
            let found = before.parts.iter().find(|it| it.signature == signature);
            found.filter(|it| is_told_alike || it.asked.is_empty()).map(Arc::clone)
        };
        let kept: Vec<Option<Arc<Part>>> = plan.flows.iter().map(same).collect();
        let is_kept = |part: &&Arc<Part>| kept.iter().flatten().any(|it| Arc::ptr_eq(it, part));
        let over: Vec<Arc<Part>> =
            before.parts.iter().filter(|it| !is_kept(it)).map(Arc::clone).collect();
        let began = self.clock.elapsed();
        let opened = match self.stop_all(&over).await {
            Ok(()) => self.open_all(&project, &plan.flows, &kept, &notifier).await,
            Err(error) => Err(error),
        };
        match opened {
            Ok(parts) => self.now.store(Arc::new(Running { project, parts, notifier })),
            Err(error) => {
                self.go_back(&before, &over).await.context("neither can the one before")?;
                return Err(error);
            }
        }
        let pause = self.clock.elapsed().saturating_sub(began);
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
                Some(part) => Ok(Arc::clone(part)),
                None => Err(self.open_flow(project, flow, notifier).await?),
            });
        }
        opened.into_iter().map(|it| it.or_else(Opened::run)).collect()
    }

    /// Sets the flows going again that were stopped for a change that failed.
    async fn go_back(&self, before: &Running, over: &[Arc<Part>]) -> anyhow::Result<()> {
        let is_over = |part: &Arc<Part>| over.iter().any(|it| Arc::ptr_eq(it, part));
        let flows = before.plans();
        let kept: Vec<Option<Arc<Part>>> =
            before.parts.iter().map(|it| (!is_over(it)).then(|| Arc::clone(it))).collect();
        let parts = self.open_all(&before.project, &flows, &kept, &before.notifier).await?;
        let (project, notifier) = (before.project.clone(), Arc::clone(&before.notifier));
        self.now.store(Arc::new(Running { project, parts, notifier }));
        Ok(())
    }

    /// Closes the doors of streams that are gone or have others now, and opens those that are new.
    async fn renew_doors(&self, before: &Running) -> anyhow::Result<()> {
        let now = self.now();
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
