//! Brings what was published to those who are told, as often as it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::limits::{LETTERS_AT_A_TIME_MAX, NOTICE_PAUSES, NOTICE_TRIED};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use super::envelope::{Parcel, pack};
use super::letters::{Letter, To};
use super::{Messenger, Sent};
use crate::inlet::Inlet;

/// Brings messages until the program ends.
pub(crate) fn start(inlet: Inlet, messenger: Arc<dyn Messenger>) {
    drop(base::task::spawn("messages", async move {
        let (waits, under_way, tries) = Default::default();
        Outbox { inlet, messenger, waits, under_way, tries }.run().await;
    }));
}

/// How often those are looked at that are to be tried again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

struct Outbox {
    inlet: Inlet,
    messenger: Arc<dyn Messenger>,
    /// When each letter is tried again, and how often it was tried; a restart tries all at once.
    waits: BTreeMap<u64, (Duration, u32)>,
    /// Letters that are being tried.
    under_way: BTreeSet<u64>,
    /// Each by itself: one that is slow holds up no other.
    tries: FuturesUnordered<BoxFuture<'static, (u64, Arc<Letter>, Sent)>>,
}

impl Outbox {
    async fn run(mut self) {
        loop {
            self.begin();
            let pause = self.inlet.clock().sleep(LOOK_EVERY);
            tokio::select! {
                Some((number, letter, sent)) = self.tries.next() => {
                    self.under_way.remove(&number);
                    if self.is_over(number, &letter, sent) {
                        settle(self.inlet.clone(), number).await;
                    }
                }
                () = self.inlet.messages_waked() => {}
                () = pause => {}
            }
        }
    }

    /// Tries the first letter of each target, if it is due.
    fn begin(&mut self) {
        let room = LETTERS_AT_A_TIME_MAX.saturating_sub(self.under_way.len());
        if room == 0 {
            return;
        }
        let firsts = self.inlet.letters().firsts();
        // A letter that was tried is the first of its target, or is over.
        let is_first = |number: &u64| firsts.binary_search_by_key(number, |(it, _)| *it).is_ok();
        self.waits.retain(|number, _| is_first(number));
        let now = self.inlet.clock().elapsed();
        let due = firsts.into_iter().filter(|(number, _)| {
            let is_due = self.waits.get(number).is_none_or(|(at, _)| *at <= now);
            is_due && !self.under_way.contains(number)
        });
        let due: Vec<(u64, Arc<Letter>)> = due.take(room).collect();
        for (number, letter) in due {
            self.under_way.insert(number);
            let (inlet, messenger) = (self.inlet.clone(), Arc::clone(&self.messenger));
            self.tries.push(Box::pin(async move {
                let sent = bring(&inlet, messenger.as_ref(), &letter).await;
                (number, letter, sent)
            }));
        }
    }

    /// Returns whether a letter needs no further attempt.
    fn is_over(&mut self, number: u64, letter: &Letter, sent: Sent) -> bool {
        let now = self.inlet.clock();
        let age_ms = now.now_ms().saturating_sub(letter.message.at_ms);
        match sent {
            Sent::Taken => true,
            Sent::Again(_) if Duration::from_millis(age_ms) < NOTICE_TRIED => {
                let tries = self.waits.get(&number).map_or(0, |(_, tries)| *tries);
                let at = now.elapsed() + pause_after(tries);
                self.waits.insert(number, (at, tries.saturating_add(1)));
                false
            }
            Sent::Again(reason) | Sent::Refused(reason) => {
                let (topic, id) = (&letter.message.topic, &letter.message.id);
                let to = format!("{:?}", letter.to);
                tracing::warn!(%topic, id, to, reason, "a message was not delivered");
                true
            }
        }
    }
}

async fn settle(inlet: Inlet, number: u64) {
    let settle = move || inlet.letters().settle(vec![number]);
    if let Ok(Err(fault)) = tokio::task::spawn_blocking(settle).await {
        // It is brought again after a restart, with the same id.
        tracing::warn!(error = %fault, "what was delivered cannot be noted");
    }
}

async fn bring(inlet: &Inlet, messenger: &dyn Messenger, letter: &Letter) -> Sent {
    let message = &letter.message;
    let (arn, is_question) = match &letter.to {
        To::Way(way) => return messenger.tell(&message.topic, way, message).await,
        To::Subscription(arn) => (arn, false),
        To::Question(arn) => (arn, true),
    };
    let book = inlet.messages().now();
    let Some(subscription) = book.subscriptions.get(arn) else {
        return Sent::Refused("the subscription is gone".to_owned());
    };
    let to = &subscription.endpoint;
    match pack(arn, is_question, letter, subscription, messenger.mail_link()) {
        Parcel::Mail(mail) => messenger.mail(to, &mail).await,
        Parcel::Post(headers, body) => {
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            messenger.post(to, &headers, body).await
        }
    }
}

/// Pauses double from the shortest to the longest.
fn pause_after(tries: u32) -> Duration {
    let (first, longest) = NOTICE_PAUSES;
    first.saturating_mul(2_u32.saturating_pow(tries.min(20))).min(longest)
}
