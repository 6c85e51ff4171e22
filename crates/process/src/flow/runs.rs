//! Runs of tables that are recomputed as a whole: begun when they are due, each beside the ticks.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use base::{Name, SequenceNumber, ShardId, Span};
use datafusion::catalog::TableProvider;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use crate::batch::book::{Bookmark, Known};
use crate::batch::{Start, Wanted};
use crate::error::in_words;
use crate::flow::checks::CheckRun;
use crate::flow::tick::Fresh;
use crate::flow::{Computed, Flow, TableRun};
use crate::plan::{TableKind, TablePlan};
use crate::stats::RunState;
use crate::table::whole::{self, Input, Meter};
use crate::table::{self, Body};

/// A run under way.
pub(crate) struct Job {
    began: Duration,
    handle: JoinHandle<Computed>,
    meter: Arc<Meter>,
    /// Whether its rows are added to those that are there.
    adds: bool,
    /// Up to where it reads streams, if only what is new.
    until: Option<Bookmark>,
    /// Its place among those that run at the same time.
    _permit: Option<OwnedSemaphorePermit>,
}

/// How far the streams of a flow must be taken in.
pub(crate) type Target = Vec<(Name, ShardId, SequenceNumber)>;

/// What a run that is due waits for.
const WAITS_FOR_CHECK: &str = "a check of what it reads";
const WAITS_FOR_ROOM: &str = "other runs to end";

impl Flow {
    /// Computes the whole tables whose turn it is.
    pub(crate) async fn compute_wholes(&mut self, now_ms: u64) {
        for place in 0..self.tables.len() {
            let is_ours = self.tables.get(place).is_some_and(TableRun::is_recomputed);
            if !is_ours {
                continue;
            }
            self.finish_job(place, now_ms).await;
            self.doubt();
            self.begin_run(place, now_ms);
            if !self.is_running {
                self.finish_job(place, now_ms).await;
            }
            if let Some(run) = self.tables.get_mut(place) {
                run.tell();
            }
        }
    }

    /// Begins a run if one is due and may begin.
    fn begin_run(&mut self, place: usize, now_ms: u64) {
        let wanted = self.wanted(place, now_ms);
        if let Some(run) = self.tables.get_mut(place) {
            run.stats.waits_for = None;
        }
        let Some((wanted, waits_for)) = wanted else { return };
        let permit = Arc::clone(&self.settings.runs).try_acquire_owned();
        let Some(run) = self.tables.get_mut(place) else { return };
        let rules = &run.plan.batch;
        if let Wanted::Skip(missed) = &wanted {
            run.book.skip(rules, missed);
            return;
        }
        let is_paced = rules.is_paced() && self.is_running;
        run.stats.waits_for = match (waits_for, &permit) {
            (Some(reason), _) => Some(reason),
            (None, Err(_)) if is_paced => Some(WAITS_FOR_ROOM.to_owned()),
            (None, _) => None,
        };
        if run.stats.waits_for.is_some() {
            return;
        }
        let began = self.clock.elapsed();
        let at_ms = self.note_run(place, &wanted, now_ms);
        let Some(run) = self.tables.get(place) else { return };
        let plan = Arc::clone(&run.plan);
        let tables = plan.reads.iter().filter_map(|it| {
            let view = self.table_view(it)?;
            Some((it.to_string(), table::provider(&view, plan.sees_final)))
        });
        let tables: Vec<(String, Arc<dyn TableProvider>)> = tables.collect();
        let (after, until) = match plan.batch.reads_new {
            true => (run.book.bookmark().cloned(), Some(self.bookmark(&plan))),
            false => (None, None),
        };
        let adds = after.is_some();
        let meter = Arc::new(Meter::new(plan.batch.read_max));
        let input = Input { plan, tables, after, at_ms };
        let computed = whole::compute(self.wholes.clone(), input, Arc::clone(&meter));
        let handle = base::task::spawn("recompute", computed);
        let permit = permit.ok().filter(|_| is_paced);
        if let Some(run) = self.tables.get_mut(place) {
            run.job = Some(Job { began, handle, meter, adds, until, _permit: permit });
        }
    }

    /// Returns up to where the streams that a table reads are taken in.
    fn bookmark(&self, plan: &TablePlan) -> Bookmark {
        let streams = self.streams.iter().filter(|it| plan.reads.contains(&it.plan.declared.name));
        streams.map(|it| (it.plan.declared.name.clone(), it.point.positions.clone())).collect()
    }

    /// Returns what is due of a table, and what it waits for.
    fn wanted(&mut self, place: usize, now_ms: u64) -> Option<(Wanted, Option<String>)> {
        let (elapsed, is_running) = (self.clock.elapsed(), self.is_running);
        let may = self.may_recompute(place);
        let run = self.tables.get_mut(place)?;
        let Body::Whole(whole) = &mut run.body else { return None };
        // What changes while it runs wants another run.
        whole.is_dirty |= run.plan.reads.iter().any(|it| self.changed.contains(it));
        if run.detached.is_some() || run.job.is_some() {
            return None;
        }
        let rules = &run.plan.batch;
        let is_dirty = whole.is_dirty || (run.plan.asks_time && rules.is_paced());
        if matches!(rules.starts, Start::Change) && is_running && elapsed < whole.next {
            return None;
        }
        let good = self.good_runs();
        let run = self.tables.get(place)?;
        let known = Known {
            now_ms,
            is_dirty,
            good: &|name| count_of(&good, name),
            has_arrived: self.has_arrived(&run.target),
        };
        let wanted = if is_running {
            run.book.wanted(&run.plan.batch, &known)?
        } else {
            // One that stands still is brought up to date, whatever time it is.
            is_dirty.then(|| Wanted::New { due_ms: now_ms, cause: "change", missed: Vec::new() })?
        };
        let waits_for = run.held.clone().unwrap_or_else(|| WAITS_FOR_CHECK.to_owned());
        Some((wanted, (!may).then_some(waits_for)))
    }

    /// Writes down that a run begins; returns what `now()` is in it.
    fn note_run(&mut self, place: usize, wanted: &Wanted, now_ms: u64) -> u64 {
        let good = self.good_runs();
        let good = &|name: &Name| count_of(&good, name);
        let known = Known { now_ms, is_dirty: true, good, has_arrived: true };
        let Some(run) = self.tables.get_mut(place) else { return now_ms };
        if let Body::Whole(whole) = &mut run.body {
            whole.is_dirty = false;
        }
        run.book.begin(&run.plan.batch, wanted, &known)
    }

    /// Returns how many runs of each table ended well.
    fn good_runs(&self) -> Vec<(Name, u64)> {
        let tables = self.tables.iter().filter(|it| it.is_recomputed());
        tables.map(|it| (it.name().clone(), it.book.good())).collect()
    }

    /// Returns whether something runs beside the ticks.
    pub(crate) fn has_jobs(&self) -> bool {
        self.tables.iter().any(|it| it.job.is_some()) || self.checks.iter().any(CheckRun::is_asked)
    }

    /// Returns whether something that ran beside the ticks is ready.
    pub(crate) fn has_finished_jobs(&self) -> bool {
        let is_over = |it: &TableRun| it.job.as_ref().is_some_and(|it| it.handle.is_finished());
        self.tables.iter().any(is_over) || self.checks.iter().any(CheckRun::is_answered)
    }

    /// Takes over what a computation made; in a running flow only if it is ready.
    async fn finish_job(&mut self, place: usize, now_ms: u64) {
        let now = self.clock.elapsed();
        let Some(run) = self.tables.get_mut(place) else { return };
        let Some(job) = &run.job else { return };
        run.book.costs(job.meter.cost());
        let took = now.saturating_sub(job.began);
        let late = run.plan.batch.timeout.filter(|it| *it < took && !job.handle.is_finished());
        if let (Some(timeout), Some(job)) = (late, run.job.take_if(|_| late.is_some())) {
            job.handle.abort();
            let error = format!("it took longer than its `timeout` of {}", Span(timeout));
            return self.fail_run(place, &error, &job, now_ms);
        }
        if self.is_running && !job_is_over(run) {
            return;
        }
        let Some(mut job) = run.job.take() else { return };
        let computed = (&mut job.handle).await;
        let now = self.clock.elapsed();
        let Some(run) = self.tables.get_mut(place) else { return };
        self.changed.insert(run.plan.name().clone());
        match (computed, &mut run.body) {
            (Ok(Ok(rows)), Body::Whole(whole)) => {
                let rows_out = rows.iter().map(|it| it.num_rows() as u64).sum::<u64>();
                run.stats.rows_out += rows_out;
                let took = now.saturating_sub(job.began);
                run.stats.busy_us += u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                if run.held.is_none() {
                    run.stats.stale_since_ms = None;
                    run.stats.error = None;
                }
                whole.ran(self.epoch, rows, job.adds);
                whole.pause(job.began, now);
                if let Some(until) = job.until.take() {
                    run.book.mark(until);
                }
                run.book.done(rows_out, job.meter.cost(), now_ms);
            }
            (Ok(Err(error)), Body::Whole(_)) => {
                self.fail_run(place, &in_words(&error), &job, now_ms);
            }
            (Err(panic), Body::Whole(_)) => {
                self.fail_run(place, &format!("a fault of the program: {panic}"), &job, now_ms);
            }
            (Ok(_) | Err(_), _) => {}
        }
    }

    /// Notes that an attempt failed: the rows of the run before stay, marked as stale.
    fn fail_run(&mut self, place: usize, error: &str, job: &Job, now_ms: u64) {
        let now = self.clock.elapsed();
        let Some(run) = self.tables.get_mut(place) else { return };
        let is_over = run.book.failed(&run.plan.batch, error, job.meter.cost(), now_ms);
        let table = run.plan.name();
        tracing::warn!(%table, error, is_over, "table could not be recomputed");
        run.stats.stale_since_ms.get_or_insert(now_ms);
        run.stats.error = Some(error.to_owned());
        if let Body::Whole(whole) = &mut run.body {
            // The next change of what it reads tries again too.
            whole.pause(job.began, now);
        }
        self.changed.insert(table.clone());
    }

    /// Counts the objects that came with a step, for the tables that they start.
    pub(crate) fn note_objects(&mut self, fresh: &Fresh) {
        let mut came = Vec::new();
        for (place, run) in self.tables.iter().enumerate() {
            let Start::NewObject { events, kinds } = &run.plan.batch.starts else { continue };
            let batches = fresh.get(events).into_iter().flatten();
            let kind_of = |it: &arrow::array::RecordBatch| {
                let column = it.column_by_name("event")?.as_string_view_opt()?.clone();
                Some(column.iter().flatten().filter(|it| kinds.contains(it)).count() as u64)
            };
            let objects: u64 = batches.filter_map(kind_of).sum();
            if 0 < objects {
                came.push((place, objects));
            }
        }
        for (place, objects) in came {
            let target = self.reached();
            if let Some(run) = self.tables.get_mut(place) {
                run.book.came(objects);
                run.target = target;
            }
        }
    }

    /// Returns what the journal has of this flow's streams by now.
    fn reached(&self) -> Target {
        let of_stream = |it: &crate::flow::stream::StreamRun| {
            let info = self.journal.stream_info(it.id).ok();
            let name = it.plan.declared.name.clone();
            let shards = info.into_iter().flat_map(|it| it.shards);
            shards.map(move |shard| (name.clone(), shard.id, shard.next)).collect::<Target>()
        };
        self.streams.iter().flat_map(of_stream).collect()
    }

    fn has_arrived(&self, target: &Target) -> bool {
        target.iter().all(|(stream, shard, next)| {
            let stream = self.streams.iter().find(|it| it.plan.declared.name == *stream);
            stream.is_none_or(|it| *next <= it.position(*shard))
        })
    }

    /// Returns whether there is a schedule of which nothing is written down.
    pub(crate) fn has_new_schedules(&self) -> bool {
        self.tables.iter().any(|it| {
            let point = self.durable.tables.get(it.name());
            let is_known = point.is_some_and(|it| it.book.is_some());
            let has_moments = matches!(it.plan.batch.starts, Start::Cron(_));
            it.is_recomputed() && has_moments && !is_known
        })
    }

    /// Lets a table run as soon as it may; returns the number of the run, if the table has runs.
    pub(crate) fn ask_for_run(&mut self, table: &Name) -> Option<u64> {
        let now_ms = self.clock.now_ms();
        let run = self.tables.iter_mut().find(|it| it.name() == table && it.is_recomputed())?;
        Some(run.book.ask(&run.plan.batch, now_ms))
    }

    /// Goes on with the runs that a restart broke off.
    pub(crate) fn resume_runs(&mut self) {
        let (now_ms, target) = (self.clock.now_ms(), self.reached());
        for run in self.tables.iter_mut().filter(|it| it.is_recomputed()) {
            run.book.look(now_ms);
            run.book.resume(&run.plan.batch, now_ms);
            if run.book.has_objects() {
                run.target.clone_from(&target);
            }
            if let (Some(RunState::Failed | RunState::Retrying), Some(last)) =
                (run.book.state(), run.book.rows.back())
            {
                run.stats.stale_since_ms = last.ended_ms;
                run.stats.error.clone_from(&last.error);
            }
            run.tell();
        }
    }
}

impl TableRun {
    /// Returns whether its rows are computed here, as a whole.
    pub(crate) fn is_recomputed(&self) -> bool {
        self.plan.kind == TableKind::Recomputed && self.given.is_none()
    }

    /// Shows when it runs next.
    fn tell(&mut self) {
        let rules = &self.plan.batch;
        self.stats.starts.clone_from(&rules.told);
        self.stats.next_ms = self.book.next_ms(rules);
    }
}

fn count_of(good: &[(Name, u64)], name: &Name) -> u64 {
    good.iter().find(|(it, _)| it == name).map_or(0, |(_, it)| *it)
}

fn job_is_over(run: &TableRun) -> bool {
    run.job.as_ref().is_none_or(|it| it.handle.is_finished())
}
