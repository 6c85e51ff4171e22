//! Brings what clients of SNS publish: to the project's targets, and to addresses they subscribed.

use std::sync::Arc;

use async_trait::async_trait;
use base::Name;
use ingest::{Mail, Message, Messenger, Sent};
use watch::Attempt;

use crate::pipeline::Pipeline;

/// Tells whom the running project names.
pub(crate) struct ByNotifier(pub(crate) Arc<Pipeline>);

#[async_trait]
impl Messenger for ByNotifier {
    fn topics(&self) -> Vec<Name> {
        self.0.now().project.notifies.keys().cloned().collect()
    }

    fn ways(&self, topic: &Name) -> Vec<String> {
        self.0.now().notifier.ways(topic)
    }

    async fn tell(&self, topic: &Name, way: &str, message: &Message) -> Sent {
        let Message { id, subject, text, at_ms, .. } = message.clone();
        let message = watch::Message { id, notify: topic.clone(), subject, text, at_ms };
        let notifier = Arc::clone(&self.0.now().notifier);
        sent(notifier.tell(&message, way).await)
    }

    async fn post(&self, address: &str, headers: &[(&str, &str)], body: String) -> Sent {
        let notifier = Arc::clone(&self.0.now().notifier);
        sent(notifier.post(address, headers, body).await)
    }

    fn check_mail(&self, to: &str) -> Result<(), String> {
        self.0.now().notifier.check_mail(to)
    }

    fn mail_link(&self) -> Option<String> {
        self.0.now().project.mail.as_ref()?.link.clone()
    }

    async fn mail(&self, to: &str, mail: &Mail) -> Sent {
        let Mail { id, subject, text, at_ms, unsubscribe } = mail.clone();
        let mail = watch::Mail { id, thread: None, subject, text, at_ms, unsubscribe };
        let notifier = Arc::clone(&self.0.now().notifier);
        sent(notifier.mail(to, &mail).await)
    }
}

fn sent(attempt: Attempt) -> Sent {
    match attempt {
        Attempt::Delivered => Sent::Taken,
        Attempt::Again { reason, .. } => Sent::Again(reason),
        Attempt::Refused { reason } => Sent::Refused(reason),
    }
}
