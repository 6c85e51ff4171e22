//! Mail: the server that takes it, and addresses.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::ctx::LoadCtx;
use crate::said::Said;
use crate::secret::Secret;
use crate::source::Spot;

/// How a project sends mail.
#[derive(Debug, Clone)]
pub struct Mail {
    /// Where it is declared.
    pub spot: Spot,
    /// The address of the mail server, with its password: [`MailServer::parse`].
    pub smtp: Secret,
    /// Who mails come from.
    pub from: Mailbox,
    /// Where links in mails lead: how the program is reached from outside.
    pub link: Option<String>,
}

/// An address, and the name that is shown for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// The name.
    pub name: Option<String>,
    /// The address.
    pub address: String,
}

impl Mailbox {
    /// Reads `NAME <LOCAL@HOST>` or `LOCAL@HOST`; the error says what is wrong.
    pub fn parse(text: &str) -> Result<Mailbox, &'static str> {
        let text = text.trim();
        let Some((name, rest)) = text.split_once('<') else {
            return Ok(Mailbox { name: None, address: checked(text)?.to_owned() });
        };
        let address = rest.strip_suffix('>').ok_or("`<` without `>`")?;
        let name = name.trim().trim_matches('"').trim();
        if name.chars().any(|it| it.is_control() || it == '"') {
            return Err("the name has signs that a mail's header cannot have");
        }
        let name = Some(name).filter(|it| !it.is_empty()).map(str::to_owned);
        Ok(Mailbox { name, address: checked(address.trim())?.to_owned() })
    }
}

/// As long as SMTP allows for an address.
const ADDRESS_BYTES_MAX: usize = 254;

fn checked(address: &str) -> Result<&str, &'static str> {
    let (local, host) = address.rsplit_once('@').ok_or("it has no `@`")?;
    let is_odd = |it: char| it.is_control() || it.is_whitespace() || "<>()[],;:\\\"".contains(it);
    if local.is_empty() || local.contains(is_odd) || local.contains('@') {
        return Err("what stands before the `@` is no name of a mailbox");
    }
    let is_label = |it: &str| {
        let is_known = |it: char| it.is_alphanumeric() || it == '-' || it == '_';
        !it.is_empty() && it.chars().all(is_known) && !it.starts_with('-')
    };
    if !host.split('.').all(is_label) {
        return Err("what stands behind the `@` is no name of a machine");
    }
    if ADDRESS_BYTES_MAX < address.len() {
        return Err("it is longer than mail servers take");
    }
    Ok(address)
}

/// Where mail is handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailServer {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How what is said to it is kept secret.
    pub safety: MailSafety,
    /// The name and the password to log in with.
    pub login: Option<(String, Secret)>,
}

/// How what is said to a mail server is kept secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailSafety {
    /// TLS from the first byte: `smtps://`.
    Tls,
    /// TLS after a few words, and nothing without it: `smtp://`.
    StartTls,
    /// Not at all: `smtp://` to this machine.
    Plain,
}

impl MailServer {
    /// Reads `smtps://USER:PASSWORD@HOST:PORT` or `smtp://…`. A password is taken as it is, since
    /// it is filled in from the environment: `@`, `:` and `/` in it need no other writing.
    pub fn parse(text: &str) -> Result<MailServer, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("it must begin with `smtps://`")?;
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest),
        };
        let login = match login {
            Some(login) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                if user.is_empty() || password.is_empty() {
                    return Err("what stands before the `@` must be `USER:PASSWORD`");
                }
                Some((user.to_owned(), Secret::new(password)))
            }
            None => None,
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        let (host, port) = host_and_port(place)?;
        let is_here = host == "localhost" || host.parse().is_ok_and(|it: IpAddr| it.is_loopback());
        let (safety, usual) = match scheme {
            "smtps" => (MailSafety::Tls, 465),
            "smtp" if is_here => (MailSafety::Plain, 25),
            "smtp" => (MailSafety::StartTls, 587),
            _ => return Err("it must begin with `smtps://` or `smtp://`"),
        };
        Ok(MailServer { host: host.to_owned(), port: port.unwrap_or(usual), safety, login })
    }
}

fn host_and_port(place: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("`[` without `]`")?;
            (host, rest.strip_prefix(':'))
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    if host.is_empty() || host.contains(|it: char| it.is_whitespace() || it == '/') {
        return Err("it names no host");
    }
    let port = port.map(|it| it.parse().ok().filter(|it| 0 < *it).ok_or("its port is no number"));
    Ok((host, port.transpose()?))
}

/// `[project.mail]`: the server that takes mail for `email` of `[notify.NAME]` and for
/// subscriptions.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["smtp", "from"]))]
pub(crate) struct MailOptions {
    /// The mail server: `"smtps://USER:${PASSWORD}@HOST:465"`, or `"smtp://…"`, which begins TLS by
    /// STARTTLS and goes without only on this machine.
    smtp: Option<Said<String>>,
    /// Who mails come from: `"alerts@example.com"` or `"Shop <alerts@example.com>"`.
    from: Option<Said<String>>,
    /// Where links in mails lead, for example `"https://stream.example.com"`; where the program was
    /// asked if not said.
    link: Option<Said<String>>,
}

/// Reads how a project sends mail; `spot` is that of the section around it.
pub(crate) fn read(ctx: &mut LoadCtx<'_>, spot: &Spot, options: MailOptions) -> Option<Mail> {
    let said = [&options.smtp, &options.from, &options.link].into_iter().flatten().next();
    let spot = said.map_or_else(|| spot.clone(), |it| ctx.spot(&it.range));
    if options.smtp.is_none() {
        let help = "add `smtp = \"smtps://USER:${PASSWORD}@HOST\"`".to_owned();
        ctx.missing(&spot, "`project.mail` has no `smtp`", help);
    }
    if options.from.is_none() {
        let help = "add `from = \"alerts@example.com\"`".to_owned();
        ctx.missing(&spot, "`project.mail` has no `from`", help);
    }
    let from = options.from.and_then(|it| mailbox(ctx, &it));
    let link = options.link.and_then(|said| {
        let text = said.value.trim_end_matches('/');
        let is_address = ["https://", "http://"].iter().any(|it| text.starts_with(it));
        if is_address && !text.contains(char::is_whitespace) {
            return Some(text.to_owned());
        }
        let help = "it must begin with `https://` or `http://`".to_owned();
        ctx.fault(&said.range, "`link` is no web address", Some(help));
        None
    });
    let smtp = options.smtp.and_then(|said| {
        let secret = ctx.secret(&said)?;
        // A secret that is not set stands for itself where none is needed.
        let is_placeholder = secret.reveal().starts_with("${");
        match MailServer::parse(secret.reveal()) {
            Err(wrong) if !is_placeholder => {
                let help = "write `\"smtps://USER:${PASSWORD}@HOST:465\"`".to_owned();
                let message = format!("this is no address of a mail server: {wrong}");
                ctx.fault(&said.range, message, Some(help));
                None
            }
            _ => Some(secret),
        }
    });
    Some(Mail { smtp: smtp?, from: from?, link, spot })
}

/// Reads an address of mail.
pub(crate) fn mailbox(ctx: &mut LoadCtx<'_>, said: &Said<String>) -> Option<Mailbox> {
    match Mailbox::parse(&said.value) {
        Ok(mailbox) => Some(mailbox),
        Err(wrong) => {
            let help = "write it as `name@example.com`".to_owned();
            let message = format!("`{}` is no address of mail: {wrong}", said.value);
            ctx.fault(&said.range, message, Some(help));
            None
        }
    }
}

#[cfg(test)]
mod tests;
