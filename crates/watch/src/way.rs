//! The ways by which one target is told: a line in the log, a web hook, mails.

use base::Name;
use lettre::message::Mailbox;
use reqwest::{Client, Url};
use spec::NotifyFormat;
use tracing::{info, warn};

use crate::mail::{self, Mail, Mailer};
use crate::message::Message;
use crate::notice::{Notice, NoticeState};
use crate::webhook::{self, Attempt};

/// One way to tell a target; each is tried by itself, so that one that fails repeats no other.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// The program's log.
    Log,
    /// A POST.
    Webhook(Url, NotifyFormat),
    /// A mail to one mailbox.
    Email(Box<Mailbox>),
}

impl Way {
    /// Returns all ways of a target, or what is wrong with one of them.
    pub(crate) fn all(notify: &spec::Notify) -> Result<Vec<Way>, &'static str> {
        let mut ways = Vec::new();
        if let Some(webhook) = &notify.webhook {
            ways.push(Way::Webhook(webhook::address(webhook.reveal())?, notify.format));
        }
        for it in &notify.email {
            ways.push(Way::Email(Box::new(mail::mailbox(it)?)));
        }
        // Nobody is told without a trace.
        if notify.log || ways.is_empty() {
            ways.insert(0, Way::Log);
        }
        Ok(ways)
    }

    /// Returns what it is called among those of its target.
    pub(crate) fn name(&self) -> String {
        match self {
            Way::Log => "log".to_owned(),
            Way::Webhook(..) => "webhook".to_owned(),
            Way::Email(mailbox) => format!("email {}", mailbox.email),
        }
    }

    /// Returns a reason that says of which address it is, where there may be several.
    pub(crate) fn reason(&self, reason: String) -> String {
        match self {
            Way::Email(mailbox) => format!("{}: {reason}", mailbox.email),
            Way::Log | Way::Webhook(..) => reason,
        }
    }
}

/// What all ways need.
#[derive(Debug)]
pub(crate) struct Carrier {
    pub(crate) project: String,
    pub(crate) client: Client,
    pub(crate) mailer: Option<Mailer>,
}

impl Carrier {
    /// Tells a notice once.
    pub(crate) async fn notice(&self, way: &Way, notice: &Notice) -> Attempt {
        let project = &self.project;
        match way {
            Way::Log => {
                log(notice);
                Attempt::Delivered
            }
            Way::Webhook(url, NotifyFormat::Json) => {
                webhook::post(&self.client, url, &notice.id, notice.to_json(project)).await
            }
            Way::Webhook(url, NotifyFormat::Slack) => {
                webhook::post(&self.client, url, &notice.id, notice.to_slack(project)).await
            }
            Way::Email(to) => self.mail(to, &notice.to_mail(project)).await,
        }
    }

    /// Tells a message once.
    pub(crate) async fn message(&self, way: &Way, message: &Message) -> Attempt {
        match way {
            Way::Log => {
                let Message { notify, id, subject, text, .. } = message;
                info!(%notify, id, subject, text, "message");
                Attempt::Delivered
            }
            Way::Webhook(url, NotifyFormat::Json) => {
                webhook::post(&self.client, url, &message.id, message.to_json(&self.project)).await
            }
            Way::Webhook(url, NotifyFormat::Slack) => {
                webhook::post(&self.client, url, &message.id, message.to_slack()).await
            }
            Way::Email(to) => self.mail(to, &message.to_mail(&self.project)).await,
        }
    }

    /// Sends a mail once.
    pub(crate) async fn mail(&self, to: &Mailbox, mail: &Mail) -> Attempt {
        match &self.mailer {
            Some(mailer) => mailer.send(to, mail).await,
            None => Attempt::Refused { reason: no_mail_server().to_owned() },
        }
    }
}

/// Why no mail can be sent.
pub(crate) fn no_mail_server() -> &'static str {
    "the project names no mail server; add [project.mail] with `smtp` and `from`"
}

/// What is told a target, by its ways.
pub(crate) fn named<'a>(ways: &'a [Way], name: &str) -> Option<&'a Way> {
    ways.iter().find(|it| it.name() == name)
}

/// Returns why a message cannot be told by a way that is no longer there.
pub(crate) fn gone(target: &Name, way: &str) -> Attempt {
    Attempt::Refused { reason: format!("notify `{target}` has no {way} any more") }
}

fn log(notice: &Notice) {
    let Notice { alert, id, key, title, .. } = notice;
    match notice.state {
        NoticeState::Firing => warn!(%alert, id, key, title, "alert fires"),
        NoticeState::Reminder => warn!(%alert, id, key, title, "alert still fires"),
        NoticeState::Resolved => info!(%alert, id, key, title, "alert is resolved"),
    }
}
