//! Topics and subscriptions, kept over restarts.

use std::collections::{BTreeMap, BTreeSet};

use base::Name;
use serde::{Deserialize, Serialize};

/// The file it is kept in.
pub(crate) const FILE: &str = "sns.json";

/// See the module.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Book {
    /// Topics that clients made.
    pub(crate) topics: BTreeSet<Name>,
    /// By their ARN.
    pub(crate) subscriptions: BTreeMap<String, Subscription>,
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

impl Subscription {
    /// Whether it is told by mail.
    pub(crate) fn is_mail(&self) -> bool {
        self.protocol.starts_with("email")
    }
}
