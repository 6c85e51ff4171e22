//! Who uses the inlet: keys, limits, origins of pages, and what clients said that is kept.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Name};

use super::{Batch, Inlet, Stream};
use crate::firehose::book::Book;
use crate::http::cors::Origins;
use crate::kept::Kept;
use crate::keys::{Caller, Keys};
use crate::rate::{Cost, Meter, Rate};
use crate::refusal::{Limit, Refusal};
use crate::{firehose, sns};

impl Inlet {
    /// Returns the keys that callers need, for the program to set.
    pub fn keys(&self) -> &Keys {
        &self.shared.keys
    }

    /// Sets what each client, by its address, may send in a second.
    pub fn limit_clients(&self, rate: Rate) {
        self.shared.clients.limit(rate, self.now());
    }

    /// Keeps what clients say of the doors in `folder`, and reads what they said before.
    pub fn keep_in(&self, folder: &Path) -> Result<(), Refusal> {
        self.shared.deliveries.open(folder, firehose::book::FILE)?;
        self.shared.messages.open(folder, sns::book::FILE)?;
        Ok(self.shared.letters.open(folder)?)
    }

    /// Returns the messages under way.
    pub(crate) fn letters(&self) -> &sns::letters::Letters {
        &self.shared.letters
    }

    /// Returns topics and subscriptions.
    pub(crate) fn messages(&self) -> &Kept<sns::book::Book> {
        &self.shared.messages
    }

    /// Says that there is something new in [`Inlet::letters`].
    pub(crate) fn wake_messages(&self) {
        self.shared.messages_changed.notify_one();
    }

    /// Waits until there is.
    pub(crate) async fn messages_waked(&self) {
        self.shared.messages_changed.notified().await;
    }

    /// Returns what clients said of delivery streams.
    pub(crate) fn deliveries(&self) -> &Kept<Book> {
        &self.shared.deliveries
    }

    /// Returns whether a client made a delivery stream of this stream.
    pub(super) fn delivers(&self, stream: &Stream) -> bool {
        let book = self.shared.deliveries.now();
        book.entries.get(&stream.name).is_some_and(|it| it.source.is_none())
    }

    /// Says of which origins web pages may send into a stream.
    pub(crate) fn allow_origins(&self, stream: &Name, origins: Origins) {
        self.shared.origins.write().insert(stream.clone(), Arc::new(origins));
    }

    /// Returns of which origins web pages may send into a stream.
    pub(crate) fn origins(&self, stream: &str) -> Arc<Origins> {
        self.shared.origins.read().get(stream).cloned().unwrap_or_default()
    }

    /// Returns the inlet as this caller may use it.
    pub(crate) fn of_caller(&self, caller: Caller) -> Inlet {
        Inlet { shared: Arc::clone(&self.shared), caller }
    }

    /// Returns who uses it.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Counts a request against all limits; none is charged if one refuses.
    pub(super) fn admit(&self, stream: &Stream, cost: Cost) -> Result<(), Refusal> {
        take_all(&self.meters(stream), self.now(), cost)
    }

    /// Returns whatever limits this caller on this stream.
    fn meters(&self, stream: &Stream) -> Vec<(Arc<Meter>, Limit)> {
        let client = self.caller.client.and_then(|it| self.shared.clients.meter(it, self.now()));
        let key = self.caller.name().map(|it| Limit::Key(it.clone()));
        let of_key = self.caller.meter().cloned().zip(key);
        let of_stream = stream.meter.clone().map(|it| (it, Limit::Stream(stream.name.clone())));
        let of_client = client.map(|it| (it, Limit::Client));
        of_client.into_iter().chain(of_key).chain(of_stream).collect()
    }

    /// Begins a batch whose records are counted against the limits one by one, by
    /// [`Batch::admit`].
    pub(crate) fn batch_of_each(
        &self,
        stream: &str,
        door: &'static str,
        bytes: usize,
    ) -> Result<Batch, Refusal> {
        let mut batch = self.batch(stream, door, bytes)?;
        let clock = Arc::clone(&self.shared.clock);
        let meters = self.meters(&batch.stream);
        batch.gate = Some(Gate { meters, clock, charged: Cost::default(), shut: None });
        Ok(batch)
    }

    /// Returns the time of the limits.
    pub(super) fn now(&self) -> Duration {
        self.shared.clock.elapsed()
    }
}

fn take_all(meters: &[(Arc<Meter>, Limit)], now: Duration, cost: Cost) -> Result<(), Refusal> {
    for (index, (meter, limit)) in meters.iter().enumerate() {
        if let Err(wait) = meter.take(now, cost) {
            meters.iter().take(index).for_each(|(it, _)| it.give_back(cost));
            return Err(Refusal::Limited { limit: limit.clone(), wait });
        }
    }
    Ok(())
}

/// Lets in the first records of a request, as many as the limits have room for. What is not written
/// after all costs nothing.
pub(super) struct Gate {
    meters: Vec<(Arc<Meter>, Limit)>,
    clock: Arc<dyn Clock>,
    charged: Cost,
    /// Why no more are let in: one that would still fit must not overtake one of its key.
    shut: Option<(Limit, Duration)>,
}

impl Gate {
    pub(super) fn admit(&mut self, cost: Cost) -> Result<(), Refusal> {
        if let Some((limit, wait)) = &self.shut {
            return Err(Refusal::Limited { limit: limit.clone(), wait: *wait });
        }
        let taken = take_all(&self.meters, self.clock.elapsed(), cost);
        match &taken {
            Ok(()) => {
                self.charged.records += cost.records;
                self.charged.bytes += cost.bytes;
            }
            Err(Refusal::Limited { limit, wait }) => self.shut = Some((limit.clone(), *wait)),
            Err(_) => {}
        }
        taken
    }

    /// What was let in is written: it is paid for.
    pub(super) fn keep(&mut self) {
        self.charged = Cost::default();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let charged = self.charged;
        if charged != Cost::default() {
            self.meters.iter().for_each(|(it, _)| it.give_back(charged));
        }
    }
}
