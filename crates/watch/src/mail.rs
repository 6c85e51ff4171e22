//! Mail: one message to one mailbox, handed to the project's mail server.

use std::time::{Duration, SystemTime};

use base::limits::NOTICE_ANSWER_BYTES_MAX;
use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, Message};
use spec::{MailSafety, MailServer};

use crate::webhook::Attempt;

/// What a mail says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The same however often it is sent: mailboxes know a repeated mail by it.
    pub id: String,
    /// What mails about the same thing have in common, so that they are shown together.
    pub thread: Option<String>,
    /// What it is about, in a line.
    pub subject: String,
    /// What it says.
    pub text: String,
    /// When it was made.
    pub at_ms: u64,
    /// Where whoever gets it can say that it is to be the last.
    pub unsubscribe: Option<String>,
}

/// Brings mails to the server of a project. Each mail is a connection of its own: alerts are few,
/// and one that stalls leaves nothing behind.
pub(crate) struct Mailer {
    server: MailServer,
    tls: Option<TlsParameters>,
    from: Mailbox,
    hello: ClientId,
    timeout: Duration,
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailer").field("host", &self.server.host).finish_non_exhaustive()
    }
}

/// Reads a mailbox that the project names.
pub(crate) fn mailbox(of: &spec::Mailbox) -> Result<Mailbox, &'static str> {
    let address = of.address.parse::<Address>().map_err(|_what| "no address of mail")?;
    Ok(Mailbox::new(of.name.clone(), address))
}

impl Mailer {
    /// Makes what sends the mails of a project.
    pub(crate) fn new(mail: &spec::Mail, timeout: Duration) -> Result<Mailer, String> {
        let server = MailServer::parse(mail.smtp.reveal())?;
        let tls = match server.safety {
            MailSafety::Plain => None,
            MailSafety::Tls | MailSafety::StartTls => {
                let made = TlsParameters::builder(server.host.clone()).build_rustls();
                Some(made.map_err(|error| format!("TLS: {error}"))?)
            }
        };
        let from = mailbox(&mail.from).map_err(|wrong| format!("`from`: {wrong}"))?;
        Ok(Mailer { server, tls, from, hello: ClientId::default(), timeout })
    }

    /// Sends a mail once.
    pub(crate) async fn send(&self, to: &Mailbox, mail: &Mail) -> Attempt {
        let (message, envelope) = match self.write(to, mail) {
            Ok(written) => written,
            Err(reason) => return Attempt::Refused { reason },
        };
        // A connection with TLS is large, and most tasks send no mail.
        let handed = Box::pin(self.hand_in(&envelope, &message));
        match tokio::time::timeout(self.timeout, handed).await {
            Ok(Ok(())) => Attempt::Delivered,
            Ok(Err(error)) => judge(&error),
            Err(_elapsed) => {
                Attempt::Again { reason: "the mail server took too long".to_owned(), after: None }
            }
        }
    }

    /// Returns the bytes of a mail; a repeated one has the same.
    fn write(&self, to: &Mailbox, mail: &Mail) -> Result<(Vec<u8>, Envelope), String> {
        let domain = self.from.email.domain();
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(mail.at_ms);
        let builder = Message::builder()
            .from(self.from.clone())
            .to(to.clone())
            .subject(mail.subject.clone())
            .message_id(Some(format!("<{}@{domain}>", mail.id)))
            .date(at)
            // No machine is to answer a machine.
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .header(ContentType::TEXT_PLAIN);
        let builder = match &mail.thread {
            Some(thread) => builder.references(format!("<{thread}@{domain}>")),
            None => builder,
        };
        let message = with_leave(builder, mail.unsubscribe.as_deref()).body(mail.text.clone());
        let message = message.map_err(|error| error.to_string())?;
        Ok((message.formatted(), message.envelope().clone()))
    }

    async fn hand_in(&self, envelope: &Envelope, message: &[u8]) -> Result<(), Error> {
        let MailServer { host, port, safety, login } = &self.server;
        let at_once = self.tls.clone().filter(|_| *safety == MailSafety::Tls);
        let place = (host.as_str(), *port);
        let connection = AsyncSmtpConnection::connect_tokio1(
            place,
            Some(self.timeout),
            &self.hello,
            at_once,
            None,
        );
        let mut connection = connection.await?;
        if let Some(tls) = self.tls.clone().filter(|_| *safety == MailSafety::StartTls) {
            connection.starttls(tls, &self.hello).await?;
        }
        if let Some((user, password)) = login {
            let credentials = Credentials::new(user.clone(), password.reveal().to_owned());
            connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await?;
        }
        connection.send(envelope, message).await?;
        // It is taken: how the server says good-bye changes nothing.
        connection.quit().await.map(drop).or_else(|_rude| Ok(()))
    }
}

/// How programs for mail offer to end a subscription.
fn with_leave(builder: MessageBuilder, unsubscribe: Option<&str>) -> MessageBuilder {
    let Some(address) = unsubscribe else { return builder };
    builder
        .raw_header(header("List-Unsubscribe", &format!("<{address}>")))
        .raw_header(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// Says what a failure means: a server that refuses for good (5xx) is believed, anything else is
/// worth another attempt.
fn judge(error: &Error) -> Attempt {
    let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let said = match error.status() {
        Some(code) => format!("{code} {source}"),
        None if error.is_client() => source,
        None if error.is_tls() => format!("TLS: {source}"),
        None => format!("cannot reach the mail server: {}", deepest(error)),
    };
    let plain = said.chars().map(|it| if it.is_control() { ' ' } else { it });
    let reason: String = plain.take(NOTICE_ANSWER_BYTES_MAX).collect();
    let reason = reason.trim().to_owned();
    if error.is_permanent() || error.is_client() {
        Attempt::Refused { reason }
    } else {
        Attempt::Again { reason, after: None }
    }
}

fn deepest(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests;
