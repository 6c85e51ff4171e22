//! Alerts, and whom they tell.

use base::{Name, Span};

use crate::secret::Secret;
use crate::source::{Spot, Word};
use crate::sql::SqlText;

/// An alert: each row of its SELECT is one, and it resolves when the row is gone.
#[derive(Debug, Clone)]
pub struct Alert {
    /// The name.
    pub name: Name,
    /// Where it is declared.
    pub spot: Spot,
    /// What is alarming.
    pub sql: SqlText,
    /// The streams, lookups and tables it reads.
    pub reads: Vec<Name>,
    /// What else it reads: dead letters and system tables.
    pub reads_beside: Vec<String>,
    /// The columns that tell one alert from another.
    pub key: Vec<Word>,
    /// Who is told.
    pub notify: Vec<Name>,
    /// The text of the notification, with columns in braces.
    pub title: Option<Word>,
    /// How long a row must stand before it fires.
    pub hold: Span,
    /// How often a firing alert is repeated.
    pub remind: Option<Span>,
    /// Which windows it sees.
    pub on: AlertOn,
    /// What it is, for people.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Free words to find it by.
    pub tags: Vec<String>,
}

/// Which windows of a windowed table an alert sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AlertOn {
    /// Those that are over.
    #[default]
    Final,
    /// All of them.
    Open,
}

/// Somebody who can be told.
#[derive(Debug, Clone)]
pub struct Notify {
    /// The name.
    pub name: Name,
    /// Where it is declared.
    pub spot: Spot,
    /// Where to POST it.
    pub webhook: Option<Secret>,
    /// What the POST says.
    pub format: NotifyFormat,
    /// Whether it goes to the program's log.
    pub log: bool,
}

/// The body of a notification.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NotifyFormat {
    /// All facts as a JSON object.
    #[default]
    Json,
    /// `{"text": ..}`, as Slack and what follows it take.
    Slack,
}
