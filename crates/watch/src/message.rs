//! What somebody is told who is to be told anything: a text, with a subject.

use base::Name;

use crate::mail::Mail;
use crate::notice::moment;

/// A message to a target of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The same however often it is sent.
    pub id: String,
    /// The target.
    pub notify: Name,
    /// What it is about, in a line.
    pub subject: Option<String>,
    /// What it says.
    pub text: String,
    /// When it was made.
    pub at_ms: u64,
}

impl Message {
    /// Returns the message as the JSON object that a webhook receives.
    pub fn to_json(&self, project: &str) -> String {
        let mut out = String::from("{");
        let at = moment(self.at_ms);
        let subject = self.subject.as_deref().map(|it| ("subject", it));
        let id = [("id", self.id.as_str()), ("notify", self.notify.as_str())];
        let rest = [("message", self.text.as_str()), ("at", &at), ("project", project)];
        for (name, value) in id.into_iter().chain(subject).chain(rest) {
            if 1 < out.len() {
                out.push(',');
            }
            rows::json::write_string(name, &mut out);
            out.push(':');
            rows::json::write_string(value, &mut out);
        }
        out.push('}');
        out
    }

    /// Returns the message as Slack and what follows it take it.
    pub fn to_slack(&self) -> String {
        let plain = |it: &str| it.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let text = match &self.subject {
            Some(subject) => format!("*{}*\n{}", plain(subject), plain(&self.text)),
            None => plain(&self.text),
        };
        let mut out = String::from("{\"text\":");
        rows::json::write_string(&text, &mut out);
        out.push('}');
        out
    }

    /// Returns the message as a mail.
    pub fn to_mail(&self, project: &str) -> Mail {
        let subject = match &self.subject {
            Some(subject) => format!("[{project}] {subject}"),
            None => format!("[{project}] Message to {}", self.notify),
        };
        let text = format!("{}\n", self.text.trim_end_matches('\n'));
        let (id, at_ms) = (self.id.clone(), self.at_ms);
        Mail { id, thread: None, subject, text, at_ms, unsubscribe: None }
    }
}

#[cfg(test)]
mod tests;
