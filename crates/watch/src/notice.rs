//! What somebody is told: that an alert fires, still fires, or is over.

use std::fmt::Write;

use base::Name;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::mail::Mail;

/// What a notice says about its alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeState {
    /// It began.
    Firing,
    /// It is over.
    Resolved,
    /// It goes on.
    Reminder,
}

impl NoticeState {
    /// Returns the word in notices.
    pub fn as_str(self) -> &'static str {
        match self {
            NoticeState::Firing => "firing",
            NoticeState::Resolved => "resolved",
            NoticeState::Reminder => "reminder",
        }
    }
}

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The same for the same event, however often it is told.
    pub id: String,
    /// The alert.
    pub alert: Name,
    /// What happened.
    pub state: NoticeState,
    /// The key columns and their values, a JSON object.
    pub key: String,
    /// What people read.
    pub title: String,
    /// The row, a JSON object; of a resolved alert the last one.
    pub row: String,
    /// When the row appeared.
    pub started_ms: u64,
    /// When this happened.
    pub at_ms: u64,
}

/// Makes an id from what identifies an event; a replay of the same event makes the same.
pub(crate) fn id_of(alert: &str, key: &str, numbers: &[i64], state: NoticeState) -> String {
    let mut digest = Md5::new();
    // A zero byte ends each part, so that no two events have the same parts in a row.
    for part in [alert, key, state.as_str()] {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    for number in numbers {
        digest.update(number.to_le_bytes());
    }
    digest.finalize().iter().fold(String::new(), |mut id, byte| {
        let written = write!(id, "{byte:02x}");
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
        id
    })
}

impl Notice {
    /// Returns the notice as the JSON object that a webhook receives.
    pub fn to_json(&self, project: &str) -> String {
        let mut out = String::from("{");
        let mut text = |name: &str, value: &str, separator: &str| {
            out.push_str(separator);
            rows::json::write_string(name, &mut out);
            out.push(':');
            rows::json::write_string(value, &mut out);
        };
        text("id", &self.id, "");
        text("alert", &self.alert, ",");
        text("state", self.state.as_str(), ",");
        text("title", &self.title, ",");
        text("started", &moment(self.started_ms), ",");
        text("at", &moment(self.at_ms), ",");
        text("project", project, ",");
        out.push_str(",\"key\":");
        out.push_str(&self.key);
        out.push_str(",\"row\":");
        out.push_str(&self.row);
        out.push('}');
        out
    }

    /// Returns the notice as Slack and what follows it take it.
    pub fn to_slack(&self, project: &str) -> String {
        let title = self.title.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let since = moment(self.started_ms);
        let text = match self.state {
            NoticeState::Firing => format!("*Firing*: {title} ({project})"),
            NoticeState::Reminder => format!("*Still firing*: {title} ({project}, since {since})"),
            NoticeState::Resolved => format!("*Resolved*: {title} ({project}, since {since})"),
        };
        let mut out = String::from("{\"text\":");
        rows::json::write_string(&text, &mut out);
        out.push('}');
        out
    }

    /// Returns the notice as a mail; those of one alarm are shown together.
    pub fn to_mail(&self, project: &str) -> Mail {
        let state = match self.state {
            NoticeState::Firing => "Firing",
            NoticeState::Reminder => "Still firing",
            NoticeState::Resolved => "Resolved",
        };
        let Notice { alert, title, .. } = self;
        let (since, at) = (moment(self.started_ms), moment(self.at_ms));
        let mut text = format!(
            "{title}\n\n{state}: alert {alert} of {project}\nsince {since}, told at {at}\n\n"
        );
        let row: Result<serde_json::Map<String, Value>, _> = serde_json::from_str(&self.row);
        for (column, value) in row.unwrap_or_default() {
            let value = match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
            text.push_str(&format!("{column}: {value}\n"));
        }
        let started = i64::try_from(self.started_ms).unwrap_or(i64::MAX);
        Mail {
            id: self.id.clone(),
            thread: Some(id_of(alert, &self.key, &[started], NoticeState::Firing)),
            subject: format!("[{project}] {state}: {title}"),
            text,
            at_ms: self.at_ms,
            unsubscribe: None,
        }
    }
}

pub(crate) fn moment(ms: u64) -> String {
    rows::json::timestamp_text(rows::schema::arrived_to_micros(ms))
}

#[cfg(test)]
mod tests;
