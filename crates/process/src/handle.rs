//! A running flow as others see it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base::{Clock, Epoch, Name, Place, SequenceNumber, ShardId};
use futures::future::{Either, select};
use futures::pin_mut;
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::Error;
use crate::replay::{Replay, Replayed};
use crate::stats::Stats;
use crate::view::View;

/// Requests waiting for the loop of a flow; more than a handful means nobody reads them.
pub(crate) const REQUESTS_MAX: usize = 64;

/// A flow that stops may take so long to hand over its last rows; on a full disk it never could.
const STOP_MAX: Duration = Duration::from_secs(8);

/// What can be asked of a running flow.
pub(crate) enum Request {
    Flush(oneshot::Sender<Result<Epoch, Error>>),
    Replay(Replay, oneshot::Sender<Result<Replayed, Error>>),
    Renew(Name, oneshot::Sender<Result<(), Error>>),
    Run(Name, oneshot::Sender<Result<Option<u64>, Error>>),
    Stop(oneshot::Sender<Result<(), Error>>),
}

/// What the loop shows to everybody.
pub(crate) struct Shown {
    pub(crate) view: ArcSwap<View>,
    pub(crate) stats: ArcSwap<Stats>,
    pub(crate) ticks: watch::Sender<u64>,
}

/// A running flow; clones are the same flow. Dropping all of them does not stop it.
#[derive(Clone)]
pub struct FlowHandle {
    pub(crate) name: Name,
    pub(crate) shown: Arc<Shown>,
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl fmt::Debug for FlowHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowHandle").field("name", &self.name).finish_non_exhaustive()
    }
}

impl FlowHandle {
    /// Returns the flow's name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Returns all tables of the flow as of its last tick.
    pub fn view(&self) -> Arc<View> {
        self.shown.view.load_full()
    }

    /// Returns what the flow did.
    pub fn stats(&self) -> Arc<Stats> {
        self.shown.stats.load_full()
    }

    /// Returns a receiver that changes with every published tick.
    pub fn ticks(&self) -> watch::Receiver<u64> {
        self.shown.ticks.subscribe()
    }

    /// Makes all that was ticked durable, and waits for it.
    pub async fn flush(&self) -> Result<Epoch, Error> {
        self.ask(Request::Flush).await
    }

    /// Sends rejects of a stream through today's decoder and checks, each once.
    pub async fn replay(&self, replay: Replay) -> Result<Replayed, Error> {
        self.ask(|answer| Request::Replay(replay, answer)).await
    }

    /// Shows what is stored in a table after it was changed beside the flow.
    pub async fn renew(&self, table: Name) -> Result<(), Error> {
        self.ask(|answer| Request::Renew(table, answer)).await
    }

    /// Lets a table that is recomputed run now, and returns the number of the run; none if it is no such
    /// table. The run that failed last is that one again.
    pub async fn run_table(&self, table: Name) -> Result<Option<u64>, Error> {
        self.ask(|answer| Request::Run(table, answer)).await
    }

    /// Makes all that was ticked durable and ends the flow. A disk that takes nothing does not
    /// keep the program from ending: the journal has what is not stored.
    pub async fn stop(&self) -> Result<(), Error> {
        let stopped = self.ask(Request::Stop);
        let too_long = self.clock.sleep(STOP_MAX);
        pin_mut!(stopped);
        match select(stopped, too_long).await {
            Either::Left((stopped, _)) => stopped,
            Either::Right(((), _)) => Err(Error::Stopped {
                reason: Some("its last rows are not stored yet; the journal has them".to_owned()),
            }),
        }
    }

    /// Waits until the view shows all records of `stream` before these places.
    pub async fn wait_until(
        &self,
        stream: &str,
        places: &[(ShardId, SequenceNumber)],
    ) -> Result<(), Error> {
        let mut ticks = self.ticks();
        loop {
            let stats = self.stats();
            if let Some(reason) = &stats.failure {
                return Err(Error::Stopped { reason: Some(reason.clone()) });
            }
            let Some(stream) = stats.streams.get(stream) else {
                return Err(Error::StreamMissing(stream.to_owned()));
            };
            let has = |(shard, next): &(ShardId, SequenceNumber)| {
                stream.positions.get(shard).is_some_and(|it| next <= it) || next.0 == 0
            };
            if places.iter().all(has) {
                return Ok(());
            }
            if ticks.changed().await.is_err() {
                return Err(Error::Stopped { reason: None });
            }
        }
    }

    /// As [`FlowHandle::wait_until`], for one record.
    pub async fn wait_for(&self, stream: &str, record: Place) -> Result<(), Error> {
        self.wait_until(stream, &[(record.shard, record.sequence.plus(1))]).await
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Request,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let stopped = || Error::Stopped { reason: self.stats().failure.clone() };
        if self.requests.send(request(answer)).await.is_err() {
            return Err(stopped());
        }
        answered.await.unwrap_or_else(|_dropped| Err(stopped()))
    }
}
