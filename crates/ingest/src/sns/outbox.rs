//! Brings what was published to those who are told, as often as it takes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::limits::{NOTICE_PAUSES, NOTICE_TRIED};
use futures::future::join_all;
use jiff::Timestamp;
use serde_json::json;

use super::book::{Book, Letter, Subscription, To};
use super::topics::change;
use super::{Messenger, Sent, arn_of};
use crate::inlet::Inlet;

/// Brings messages until the program ends.
pub(crate) fn start(inlet: Inlet, messenger: Arc<dyn Messenger>) {
    drop(base::task::spawn("messages", async move {
        let mut outbox = Outbox { inlet, messenger, waits: BTreeMap::new() };
        loop {
            outbox.round().await;
            let pause = outbox.inlet.clock().sleep(LOOK_EVERY);
            tokio::select! {
                () = outbox.inlet.messages_waked() => {}
                () = pause => {}
            }
        }
    }));
}

/// How often those are looked at that are to be tried again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Messages brought at a time; of one target one after the other.
const AT_A_TIME: usize = 32;

struct Outbox {
    inlet: Inlet,
    messenger: Arc<dyn Messenger>,
    /// When each letter is tried again, and how often it was tried; a restart tries all at once.
    waits: BTreeMap<u64, (Duration, u32)>,
}

impl Outbox {
    /// Tries the first letter of each target that is due.
    async fn round(&mut self) {
        loop {
            let book = self.inlet.messages().now();
            self.waits.retain(|number, _| book.letters.contains_key(number));
            let due = self.due(&book);
            if due.is_empty() {
                return;
            }
            let tried = due.iter().map(|(number, letter)| self.try_one(&book, *number, letter));
            let tried = join_all(tried).await;
            let (now, now_ms) = (self.inlet.clock().elapsed(), self.inlet.clock().now_ms());
            let mut settled = Vec::new();
            for (number, sent) in tried {
                let at_ms = book.letters.get(&number).map_or(0, |it| it.message.at_ms);
                let is_old = NOTICE_TRIED <= Duration::from_millis(now_ms.saturating_sub(at_ms));
                match sent {
                    Sent::Taken => settled.push(number),
                    Sent::Again(_) if !is_old => {
                        let tries = self.waits.get(&number).map_or(0, |(_, tries)| *tries);
                        let pause = pause_after(tries);
                        self.waits.insert(number, (now + pause, tries + 1));
                    }
                    Sent::Again(reason) | Sent::Refused(reason) => {
                        tracing::warn!(number, reason, "a message was not delivered");
                        settled.push(number);
                    }
                }
            }
            if settled.is_empty() {
                continue;
            }
            let done = change(&self.inlet, move |book| {
                settled.iter().for_each(|it| drop(book.letters.remove(it)));
                Ok(())
            });
            if let Err(fault) = done.await {
                // They are brought again, with the same ids.
                tracing::warn!(error = fault.message, "what was delivered cannot be noted");
                return;
            }
        }
    }

    /// Returns the first letter of each target, if it is due: so each gets its messages in order.
    fn due(&self, book: &Book) -> Vec<(u64, Letter)> {
        let now = self.inlet.clock().elapsed();
        let mut targets: Vec<(&To, &base::Name)> = Vec::new();
        let mut due = Vec::new();
        for (number, letter) in &book.letters {
            let target = (&letter.to, &letter.message.topic);
            if targets.contains(&target) {
                continue;
            }
            targets.push(target);
            let is_due = self.waits.get(number).is_none_or(|(at, _)| *at <= now);
            if is_due && due.len() < AT_A_TIME {
                due.push((*number, letter.clone()));
            }
        }
        due
    }

    async fn try_one(&self, book: &Book, number: u64, letter: &Letter) -> (u64, Sent) {
        let message = &letter.message;
        let (arn, is_question) = match &letter.to {
            To::Project => return (number, self.messenger.tell(&message.topic, message).await),
            To::Subscription(arn) => (arn, false),
            To::Question(arn) => (arn, true),
        };
        let Some(subscription) = book.subscriptions.get(arn) else {
            return (number, Sent::Refused("the subscription is gone".to_owned()));
        };
        let kind = if is_question { "SubscriptionConfirmation" } else { "Notification" };
        let topic = arn_of(&message.topic);
        let headers = [
            ("x-amz-sns-message-type", kind),
            ("x-amz-sns-message-id", message.id.as_str()),
            ("x-amz-sns-topic-arn", topic.as_str()),
            ("x-amz-sns-subscription-arn", arn.as_str()),
            // What SNS itself says, though it is JSON.
            ("content-type", "text/plain; charset=UTF-8"),
        ];
        let headers = if is_question { headers.get(..3) } else { Some(&headers[..]) };
        let mut headers = headers.unwrap_or_default().to_vec();
        if is_question {
            headers.push(("content-type", "text/plain; charset=UTF-8"));
        }
        let body = if subscription.is_raw && !is_question {
            message.text.clone()
        } else {
            envelope(kind, letter, subscription)
        };
        (number, self.messenger.post(&subscription.endpoint, &headers, body).await)
    }
}

/// Returns the message as SNS writes it, but for a signature.
fn envelope(kind: &str, letter: &Letter, subscription: &Subscription) -> String {
    let message = &letter.message;
    let at = i64::try_from(message.at_ms).ok().and_then(|it| Timestamp::from_millisecond(it).ok());
    let at = at.map_or_else(String::new, |it| it.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string());
    let (host, token) = (&letter.host, &subscription.token);
    let mut body = json!({
        "Type": kind,
        "MessageId": message.id,
        "TopicArn": arn_of(&message.topic),
        "Message": message.text,
        "Timestamp": at,
    });
    if let Some(subject) = &message.subject {
        body["Subject"] = subject.as_str().into();
    }
    if kind == "Notification" {
        body["UnsubscribeURL"] = format!("http://{host}/v1/sns/unsubscribe?token={token}").into();
    } else {
        body["Token"] = token.as_str().into();
        body["SubscribeURL"] = format!("http://{host}/v1/sns/confirm?token={token}").into();
    }
    body.to_string()
}

/// Pauses double from the shortest to the longest.
fn pause_after(tries: u32) -> Duration {
    let (first, longest) = NOTICE_PAUSES;
    first.saturating_mul(2_u32.saturating_pow(tries.min(20))).min(longest)
}
