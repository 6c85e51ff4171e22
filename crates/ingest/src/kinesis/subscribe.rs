//! `SubscribeToShard`: records of a shard as they come, for one consumer, for five minutes.
//!
//! The answer is an event stream. It is made as fast as the client takes it and no faster: nothing
//! is read from the journal before the last event is on its way.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use base::{Clock, SequenceNumber, ShardId, limits};
use bytes::Bytes;
use journal::{Journal, StreamId};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::read::{self, Asked, RecordAnswer};
use super::sequence::{self, Numbering};
use super::shards::{ChildShard, children_of};
use super::target::shard_named;
use crate::aws::fault::Fault;
use crate::aws::validate::Constraints;
use crate::aws::wire::{Encoding, Moment};
use crate::aws::{Call, event};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SubscribeToShard {
    #[serde(rename = "ConsumerARN")]
    consumer_arn: Option<String>,
    shard_id: Option<String>,
    starting_position: Option<StartingPosition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StartingPosition {
    #[serde(rename = "Type")]
    kind: Option<String>,
    sequence_number: Option<String>,
    timestamp: Option<Moment>,
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SubscribeToShardEvent {
    #[serde(skip_serializing_if = "Option::is_none")]
    child_shards: Option<Vec<ChildShard>>,
    /// Missing at the end of the shard: there is nothing to go on from.
    #[serde(skip_serializing_if = "Option::is_none")]
    continuation_sequence_number: Option<String>,
    millis_behind_latest: u64,
    records: Vec<RecordAnswer>,
}

/// The subscriptions under way, by consumer and shard.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions(Arc<Mutex<HashMap<(String, ShardId), Entry>>>);

#[derive(Debug)]
struct Entry {
    began: Duration,
    end: watch::Sender<bool>,
    /// Tells it from the next one of the same consumer and shard.
    mark: Arc<()>,
}

/// A new subscription ends the consumer's old one of that shard, but not sooner than this.
const TAKEN_OVER_AFTER: Duration = Duration::from_secs(5);

impl Subscriptions {
    /// Begins a subscription; ends the one before it.
    fn begin(&self, arn: &str, shard: ShardId, now: Duration) -> Result<Ticket, Fault> {
        let mut all = self.0.lock();
        let key = (arn.to_owned(), shard);
        if all.get(&key).is_some_and(|it| now.saturating_sub(it.began) < TAKEN_OVER_AFTER) {
            let message = format!(
                "Another active subscription exists for this consumer: {arn} and shard {}. Wait \
                 5 seconds after a successful call before the next one.",
                sequence::shard_id(shard)
            );
            return Err(Fault::new("ResourceInUseException", message));
        }
        if limits::KINESIS_SUBSCRIPTIONS_MAX <= all.len() && !all.contains_key(&key) {
            let message = format!(
                "There are {} subscriptions under way, which is the most at a time.",
                limits::KINESIS_SUBSCRIPTIONS_MAX
            );
            return Err(Fault::new("LimitExceededException", message));
        }
        let (end, ended) = watch::channel(false);
        let mark = Arc::new(());
        let entry = Entry { began: now, end, mark: Arc::clone(&mark) };
        if let Some(before) = all.insert(key.clone(), entry) {
            before.end.send_replace(true);
        }
        Ok(Ticket { all: Arc::clone(&self.0), key, mark, ended })
    }

    /// Ends all subscriptions of a consumer that is no more.
    pub(super) fn end_of(&self, arn: &str) {
        for ((consumer, _), entry) in self.0.lock().iter() {
            if consumer == arn {
                entry.end.send_replace(true);
            }
        }
    }
}

/// One subscription; it is over when this is dropped.
struct Ticket {
    all: Arc<Mutex<HashMap<(String, ShardId), Entry>>>,
    key: (String, ShardId),
    mark: Arc<()>,
    ended: watch::Receiver<bool>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        // Another one may stand in its place already.
        if all.get(&self.key).is_some_and(|it| Arc::ptr_eq(&it.mark, &self.mark)) {
            all.remove(&self.key);
        }
    }
}

/// Answers the first event at once and the others as records come.
pub(super) async fn subscribe(call: Call<'_>) -> Result<Body, Fault> {
    let request: SubscribeToShard = call.read()?;
    let mut constraints = Constraints::default();
    constraints.required(request.consumer_arn.as_ref(), "consumerARN");
    constraints.shard_id(request.shard_id.as_deref(), "shardId");
    constraints.required(request.starting_position.as_ref(), "startingPosition");
    let start = request.starting_position.as_ref();
    if let Some(start) = start {
        constraints.required(start.kind.as_ref(), "startingPosition.type");
        if let Some(kind) = &start.kind {
            constraints.one_of(kind, "startingPosition.type", read::TYPES);
        }
        if let Some(number) = &start.sequence_number {
            constraints.sequence_number(number, "startingPosition.sequenceNumber");
        }
    }
    constraints.check()?;
    let arn = request.consumer_arn.unwrap_or_default();
    let (stream, _) = super::consumers::find_by_arn(call, &arn)?;
    let shard = shard_named(call, &stream, request.shard_id.as_deref())?;
    let asked = Asked {
        operation: "SubscribeToShard",
        kind: start.and_then(|it| it.kind.as_deref()).unwrap_or_default(),
        number: start.and_then(|it| it.sequence_number.as_deref()),
        timestamp: start.and_then(|it| it.timestamp),
    };
    let next = read::start_of(call, &stream, &shard, asked).await?;
    let changed = call.inlet.journal().changes(stream.id);
    let changed = changed.map_err(|error| Fault::of(&error.into(), &stream.name))?;
    let clock = Arc::clone(call.inlet.clock());
    let ticket = call.inlet.subscriptions().begin(&arn, shard.id, clock.elapsed())?;
    let first = event::event(call.encoding, "initial-response", &Nothing {})?;
    let subscription = Subscription {
        journal: call.inlet.journal().clone(),
        until: clock.elapsed() + limits::KINESIS_SUBSCRIPTION_KEPT,
        clock,
        encoding: call.encoding,
        stream: stream.id,
        name: stream.name.to_string(),
        numbering: Numbering::of(&shard),
        shard: shard.id,
        next,
        last_ms: shard.opened_ms,
        changed,
        ticket,
        is_silent: true,
        is_over: false,
        first: Some(first),
    };
    let events = futures::stream::unfold(subscription, |mut subscription| async move {
        let event = subscription.next_event().await?;
        Some((Ok::<Bytes, std::convert::Infallible>(Bytes::from(event)), subscription))
    });
    Ok(Body::from_stream(events))
}

struct Subscription {
    journal: Journal,
    clock: Arc<dyn Clock>,
    encoding: Encoding,
    until: Duration,
    stream: StreamId,
    name: String,
    numbering: Numbering,
    shard: ShardId,
    next: SequenceNumber,
    /// When the record before `next` arrived.
    last_ms: u64,
    changed: watch::Receiver<u64>,
    ticket: Ticket,
    /// Whether no event has told yet where the reader stands.
    is_silent: bool,
    is_over: bool,
    first: Option<Vec<u8>>,
}

/// A client hears at least so often that the shard is silent and not the connection dead.
const TOLD_EVERY: Duration = Duration::from_secs(5);

impl Subscription {
    /// Returns the next message; none when the subscription is over.
    async fn next_event(&mut self) -> Option<Vec<u8>> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if self.is_over {
            return None;
        }
        match self.next_records().await {
            Ok(Some(told)) => {
                self.is_silent = false;
                event::event(self.encoding, "SubscribeToShardEvent", &told).ok()
            }
            Ok(None) => None,
            Err(fault) => {
                self.is_over = true;
                event::exception(self.encoding, &fault).ok()
            }
        }
    }

    /// Waits for records; none when the time is over.
    async fn next_records(&mut self) -> Result<Option<SubscribeToShardEvent>, Fault> {
        let tell_at = self.clock.elapsed() + TOLD_EVERY;
        loop {
            self.changed.mark_unchanged();
            let now = self.clock.elapsed();
            if self.until <= now || *self.ticket.ended.borrow() {
                return Ok(None);
            }
            if self.is_silent || tell_at <= now || self.has_news()? {
                return self.read().await.map(Some);
            }
            let pause = self.clock.sleep(tell_at.min(self.until).saturating_sub(now));
            tokio::select! {
                // The journal outlives its watchers: it tells them when it closes.
                changed = self.changed.changed() => if changed.is_err() { return Ok(None) },
                ended = self.ticket.ended.changed() => if ended.is_err() { return Ok(None) },
                () = pause => {}
            }
        }
    }

    /// Tells whether there are records to be read, or no more will come: a stream of many shards
    /// wakes each of its subscriptions for every commit.
    fn has_news(&self) -> Result<bool, Fault> {
        let shard = self.journal.shard_info(self.stream, self.shard);
        let shard = shard.map_err(|error| Fault::of(&error.into(), &self.name))?;
        Ok(self.next < shard.next || shard.closed_ms.is_some())
    }

    async fn read(&mut self) -> Result<SubscribeToShardEvent, Fault> {
        let (journal, stream, shard) = (self.journal.clone(), self.stream, self.shard);
        let (name, next) = (self.name.clone(), self.next);
        let bounds = (usize::MAX, limits::KINESIS_EVENT_BYTES_MAX);
        let read = super::target::blocking(move || {
            let read = read::read(&journal, stream, &name, shard, next, bounds)?;
            if !read.is_end {
                return Ok((read, None));
            }
            let info = journal.stream_info(stream).map_err(|it| Fault::of(&it.into(), &name))?;
            Ok::<_, Fault>((read, Some(children_of(&info, shard))))
        });
        let (found, child_shards) = read.await??;
        self.next = found.next;
        self.last_ms = found.last_ms.unwrap_or(self.last_ms);
        self.is_over = found.is_end;
        let now_ms = self.clock.now_ms();
        let behind_ms = if found.has_more { now_ms.saturating_sub(self.last_ms) } else { 0 };
        Ok(SubscribeToShardEvent {
            child_shards,
            continuation_sequence_number: (!found.is_end)
                .then(|| self.numbering.before(self.next, self.last_ms)),
            millis_behind_latest: behind_ms,
            records: found.records,
        })
    }
}
