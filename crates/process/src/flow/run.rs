//! The loop of a running flow: ticks when records arrive, epochs when it is time.

use std::sync::Arc;
use std::time::Duration;

use base::{Epoch, SequenceNumber, ShardId};
use futures::future::select_all;
use futures::{FutureExt, pin_mut};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::error::Error;
use crate::flow::Flow;
use crate::handle::{FlowHandle, REQUESTS_MAX, Request};
use crate::handover::Patience;

/// Showing a tick may take this share of the time; beyond it several ticks are shown at once.
pub(crate) const SHOW_SHARE: u32 = 4;

/// Nothing is watched less often than this: files of lookups, idle shards, whole tables.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often what runs beside the ticks is looked after: whole tables, checks.
const JOB_LOOK_EVERY: Duration = Duration::from_millis(10);

/// Why the loop woke up.
enum Woken {
    Time,
    Asked(Option<Request>),
    Handover,
}

/// What the loop remembers between rounds.
struct Rounds {
    requests: mpsc::Receiver<Request>,
    shown_at: Duration,
    show_took: Duration,
    tick_took: Duration,
    is_hidden: bool,
}

impl Flow {
    /// Sets the flow going on a thread of its own; must be called within a tokio runtime.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn run(mut self) -> Result<FlowHandle, Error> {
        self.is_running = true;
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let handle = FlowHandle {
            name: self.name.clone(),
            shown: Arc::clone(&self.shown),
            requests: sender,
            clock: Arc::clone(&self.clock),
        };
        let runtime = Handle::current();
        let started = base::task::thread("flow", move || runtime.block_on(self.work(requests)));
        match started {
            Ok(_detached) => Ok(handle),
            Err(error) => Err(Error::Stopped { reason: Some(error.to_string()) }),
        }
    }

    async fn work(mut self, requests: mpsc::Receiver<Request>) {
        let mut rounds = Rounds {
            requests,
            shown_at: self.clock.elapsed(),
            show_took: Duration::ZERO,
            tick_took: Duration::ZERO,
            is_hidden: true, // Whole tables want their first run.
        };
        loop {
            match self.round(&mut rounds).await {
                Ok(None) => {}
                Ok(Some(stopped)) => {
                    // Nobody may wait for the answer any more.
                    drop(stopped.send(Ok(())));
                    return;
                }
                Err(error) => {
                    tracing::error!(flow = %self.name, %error, "flow stopped");
                    self.stats.failure = Some(error.to_string());
                    self.shown.stats.store(Arc::new(self.stats.clone()));
                    self.shown.ticks.send_modify(|_| {});
                    return;
                }
            }
        }
    }

    /// Does what there is to do, then waits for more. Returns who asked the flow to stop.
    async fn round(
        &mut self,
        rounds: &mut Rounds,
    ) -> Result<Option<oneshot::Sender<Result<(), Error>>>, Error> {
        if self.in_flight.as_ref().is_some_and(tokio::task::JoinHandle::is_finished) {
            self.finish_epoch().await?;
        }
        let began = self.clock.elapsed();
        let records = self.step().await?;
        if 0 < records {
            rounds.tick_took = self.clock.elapsed().saturating_sub(began);
            rounds.is_hidden = true;
        }
        rounds.is_hidden |= !self.changed.is_empty() || self.has_finished_jobs();
        let is_behind = self.is_behind();
        self.show_if_worth_it(rounds).await?;
        self.flush_if_due().await?;
        if is_behind {
            return self.take_request(rounds).await;
        }
        if 0 < records {
            // What arrives within one tick's length goes into the same next tick.
            let pause = rounds.tick_took.min(self.settings.tick_delay_max);
            self.clock.sleep(pause).await;
            return self.take_request(rounds).await;
        }
        match self.wait(rounds).await? {
            Woken::Time => Ok(None),
            Woken::Handover => self.finish_epoch().await.map(|()| None),
            Woken::Asked(request) => self.answer(request, rounds).await,
        }
    }

    /// Returns whether records wait in the journal.
    fn is_behind(&self) -> bool {
        self.streams.iter().any(|stream| {
            let shards = stream.info.iter().flat_map(|it| &it.shards);
            let mut shards = shards;
            shards.any(|it| stream.position(it.id) < it.next)
        })
    }

    async fn show_if_worth_it(&mut self, rounds: &mut Rounds) -> Result<(), Error> {
        let now = self.clock.elapsed();
        let since = now.saturating_sub(rounds.shown_at);
        let is_worth_it = rounds.is_hidden && rounds.show_took * SHOW_SHARE <= since;
        if !is_worth_it && since < LOOK_EVERY {
            return Ok(());
        }
        self.publish().await?;
        rounds.is_hidden = false;
        rounds.shown_at = self.clock.elapsed();
        rounds.show_took = rounds.shown_at.saturating_sub(now);
        Ok(())
    }

    /// Ends the epoch if it is old or large enough; waits for the one before if memory is full.
    async fn flush_if_due(&mut self) -> Result<(), Error> {
        let age = self.clock.elapsed().saturating_sub(self.epoch_began);
        let is_due =
            self.settings.epoch_every <= age || self.settings.epoch_bytes <= self.epoch_bytes;
        let is_full = self.settings.hot_bytes_max <= self.hot_bytes();
        if is_full && self.in_flight.is_some() {
            self.finish_epoch().await?;
        }
        if self.in_flight.is_none() && (is_due || is_full) {
            self.begin_flush().await?;
        }
        Ok(())
    }

    async fn begin_flush(&mut self) -> Result<(), Error> {
        let Some(handover) = self.end_epoch().await? else { return Ok(()) };
        let (patience, notes) = (self.patience(), Arc::clone(&self.flushes));
        let clock = Arc::clone(&self.clock);
        let work = async move {
            let began = clock.elapsed();
            let done = handover.run(Some(&patience)).await;
            let took = clock.elapsed().saturating_sub(began);
            let mut notes = notes.lock();
            notes.took = took;
            notes.took_all += took;
            done
        };
        self.in_flight = Some(base::task::spawn("hand-over", work));
        Ok(())
    }

    /// A running flow tries again for ever: what was ticked is safe in the journal.
    fn patience(&self) -> Patience {
        let notes = Arc::clone(&self.flushes);
        let failed = move |error: &Error| {
            tracing::warn!(%error, "hand-over failed and is tried again");
            let mut notes = notes.lock();
            notes.failures += 1;
            notes.error = Some(error.to_string());
        };
        Patience { clock: Arc::clone(&self.clock), failed: Box::new(failed) }
    }

    async fn take_request(
        &mut self,
        rounds: &mut Rounds,
    ) -> Result<Option<oneshot::Sender<Result<(), Error>>>, Error> {
        match rounds.requests.try_recv() {
            Ok(request) => self.answer(Some(request), rounds).await,
            Err(_none_or_nobody_left) => Ok(None),
        }
    }

    async fn answer(
        &mut self,
        request: Option<Request>,
        rounds: &mut Rounds,
    ) -> Result<Option<oneshot::Sender<Result<(), Error>>>, Error> {
        match request {
            None => Ok(None),
            Some(Request::Flush(answer)) => {
                drop(answer.send(Ok(self.flush_now().await?)));
                Ok(None)
            }
            Some(Request::Replay(replay, answer)) => {
                self.finish_epoch().await?;
                let replayed = self.replay(replay).await;
                // Told is kept: a crash after the answer must not undo it.
                self.flush_now().await?;
                drop(answer.send(replayed));
                rounds.is_hidden = true;
                Ok(None)
            }
            Some(Request::Renew(table, answer)) => {
                self.finish_epoch().await?;
                for run in self.tables.iter_mut().filter(|it| *it.name() == table) {
                    run.own.renew();
                }
                self.changed.insert(table);
                // Whoever asked looks next.
                self.publish().await?;
                drop(answer.send(Ok(())));
                Ok(None)
            }
            Some(Request::Run(table, answer)) => {
                drop(answer.send(Ok(self.ask_for_run(&table))));
                rounds.is_hidden = true;
                Ok(None)
            }
            Some(Request::Stop(answer)) => {
                self.flush_now().await?;
                Ok(Some(answer))
            }
        }
    }

    /// Hands over everything ticked so far and waits for it.
    async fn flush_now(&mut self) -> Result<Epoch, Error> {
        self.finish_epoch().await?;
        self.begin_flush().await?;
        self.finish_epoch().await?;
        Ok(self.durable.epoch)
    }

    /// Waits until there is something to do.
    async fn wait(&mut self, rounds: &mut Rounds) -> Result<Woken, Error> {
        let age = self.clock.elapsed().saturating_sub(self.epoch_began);
        let mut pause = self.settings.epoch_every.saturating_sub(age).min(LOOK_EVERY);
        if rounds.is_hidden {
            let since = self.clock.elapsed().saturating_sub(rounds.shown_at);
            pause = pause.min((rounds.show_took * SHOW_SHARE).saturating_sub(since));
        }
        if self.has_jobs() {
            pause = pause.min(JOB_LOOK_EVERY);
        }
        let mut time = self.clock.sleep(pause.max(Duration::from_millis(1)));
        let mut arrivals = Vec::new();
        for stream in &self.streams {
            let shards = stream.info.iter().flat_map(|it| &it.shards);
            let past: Vec<(ShardId, SequenceNumber)> =
                shards.map(|it| (it.id, stream.position(it.id))).collect();
            let (journal, id) = (self.journal.clone(), stream.id);
            arrivals.push(async move { journal.wait(id, &past).await }.boxed());
        }
        arrivals.push(std::future::pending().boxed());
        let arrivals = select_all(arrivals);
        pin_mut!(arrivals);
        let handover = async {
            match &mut self.in_flight {
                Some(task) => {
                    while !task.is_finished() {
                        self.clock.sleep(Duration::from_millis(1)).await;
                    }
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            request = rounds.requests.recv() => match request {
                Some(request) => Ok(Woken::Asked(Some(request))),
                // Nobody holds the handle any more: records still arrive.
                None => {
                    time.await;
                    Ok(Woken::Time)
                }
            },
            (arrived, _, _) = arrivals => { arrived?; Ok(Woken::Time) }
            () = handover => Ok(Woken::Handover),
            () = &mut time => Ok(Woken::Time),
        }
    }
}
