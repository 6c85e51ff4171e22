//! Topics, subscriptions and messages under way, kept over restarts.

use std::collections::{BTreeMap, BTreeSet};

use base::Name;
use serde::{Deserialize, Serialize};

use super::Message;

/// The file it is kept in.
pub(crate) const FILE: &str = "sns.json";

/// See the module.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Book {
    /// Topics that clients made.
    pub(crate) topics: BTreeSet<Name>,
    /// By their ARN.
    pub(crate) subscriptions: BTreeMap<String, Subscription>,
    /// What is to be brought, in the order it was published.
    pub(crate) letters: BTreeMap<u64, Letter>,
    pub(crate) next: u64,
}

/// Somebody who wants to be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Subscription {
    pub(crate) topic: Name,
    pub(crate) protocol: String,
    pub(crate) endpoint: String,
    /// Who has it may confirm and end the subscription.
    pub(crate) token: String,
    pub(crate) is_confirmed: bool,
    /// Whether the message is sent without an envelope.
    pub(crate) is_raw: bool,
}

/// A message on its way to one of those who are told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Letter {
    pub(crate) message: Message,
    pub(crate) to: To,
    /// Links in the message lead to this address.
    pub(crate) host: String,
}

/// Who is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum To {
    /// The project's own target of the topic.
    Project,
    /// A subscription, by its ARN.
    Subscription(String),
    /// The address of a subscription, to be asked whether it wants to be told.
    Question(String),
}

impl Book {
    /// Adds a letter.
    pub(crate) fn post(&mut self, letter: Letter) {
        self.letters.insert(self.next, letter);
        self.next += 1;
    }

    /// The bytes of all messages under way.
    pub(crate) fn bytes(&self) -> usize {
        self.letters.values().map(|it| it.message.text.len()).sum()
    }
}
