//! Who uses the inlet: keys, limits, origins of pages, and what clients said that is kept.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::Name;

use super::{Inlet, Stream};
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
        Ok(self.shared.messages.open(folder, sns::book::FILE)?)
    }

    /// Returns topics, subscriptions and messages under way.
    pub(crate) fn messages(&self) -> &Kept<sns::book::Book> {
        &self.shared.messages
    }

    /// Says that there is something new in [`Inlet::messages`].
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
        let now = self.now();
        let client = self.caller.client.and_then(|it| self.shared.clients.meter(it, now));
        let key = self.caller.name().map(|it| Limit::Key(it.clone()));
        let of_key = self.caller.meter().zip(key);
        let of_stream = stream.meter.as_ref().map(|it| (it, Limit::Stream(stream.name.clone())));
        let of_client = client.as_ref().map(|it| (it, Limit::Client));
        let mut charged: Vec<&Arc<Meter>> = Vec::new();
        for (meter, limit) in of_client.into_iter().chain(of_key).chain(of_stream) {
            if let Err(wait) = meter.take(now, cost) {
                charged.iter().for_each(|it| it.give_back(cost));
                return Err(Refusal::Limited { limit, wait });
            }
            charged.push(meter);
        }
        Ok(())
    }

    /// Returns the time of the limits.
    pub(super) fn now(&self) -> Duration {
        self.shared.clock.elapsed()
    }
}
