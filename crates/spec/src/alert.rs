//! Alerts, and whom they tell.

use base::{Name, Span, limits};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::ctx::{Declared, LoadCtx};
use crate::document::Value;
use crate::mail::{self, Mailbox};
use crate::said::{FromWords, OneOrMore, Said, Words, choose};
use crate::secret::Secret;
use crate::source::{Spot, Word};
use crate::sql::{self, Read, SqlText};

/// An alert: each row of its SELECT is one, and it resolves when the row is gone.
#[derive(Debug, Clone)]
pub struct Alert {
    /// The name.
    pub name: Name,
    /// Where it is declared.
    pub spot: Spot,
    /// What is alarming.
    pub sql: SqlText,
    /// The streams, lookups and tables it reads, each once, in the order of FROM.
    pub reads: Vec<Name>,
    /// What else it reads: dead letters and system tables.
    pub reads_beside: Vec<String>,
    /// The columns that tell one alert from another.
    pub key: Vec<Word>,
    /// Who is told.
    pub notify: Vec<Name>,
    /// The text of the notification, with columns in braces.
    pub title: Option<Word>,
    /// The columns in braces, in the order of the title.
    pub title_columns: Vec<Word>,
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema)]
#[schemars(inline, rename_all = "lowercase")]
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
    /// Who gets it as a mail.
    pub email: Vec<Mailbox>,
    /// Whether it goes to the program's log.
    pub log: bool,
    /// What it is, for people.
    pub description: Option<String>,
}

/// The body of a notification.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema)]
#[schemars(inline, rename_all = "lowercase")]
pub enum NotifyFormat {
    /// All facts as a JSON object.
    #[default]
    Json,
    /// `{"text": ..}`, as Slack and what follows it take.
    Slack,
}

/// `[alert.NAME]`: each row of its SELECT is an alert, which resolves when the row is gone.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["sql"]))]
pub(crate) struct AlertOptions {
    /// What is alarming: one SELECT, each of whose rows is an alert.
    sql: Option<Said<String>>,
    /// The columns that tell one alert from another; the whole row if not said.
    key: Option<OneOrMore>,
    /// Who is told: names of `[notify.NAME]`.
    notify: Option<OneOrMore>,
    /// The text of the notification, with columns in braces: `"Spike in {region}"`.
    title: Option<Said<String>>,
    /// How long a row must stand before it fires; at once if not said.
    #[serde(rename = "for")]
    hold: Option<Said<Words<Span>>>,
    /// How often a firing alert is repeated; never if not said.
    remind: Option<Said<Words<Span>>>,
    /// Which windows it sees: `"final"` (if not said), or `"open"` for those still filling.
    on: Option<Said<Words<AlertOn>>>,
    /// What it is, for people.
    description: Option<String>,
    /// Who answers for it.
    owner: Option<String>,
    /// Free words to find it by.
    #[serde(default)]
    tags: Vec<String>,
}

/// What an alert names that must be looked up once everything is read.
pub(crate) struct AlertLinks {
    pub(crate) reads: Vec<Read>,
    pub(crate) notify: Vec<Word>,
}

pub(crate) fn read(
    ctx: &mut LoadCtx<'_>,
    declared: Declared,
    value: Value<'_>,
) -> Option<(Alert, AlertLinks)> {
    let before = ctx.faults.len();
    let options: AlertOptions = ctx.read(value);
    let is_sound = ctx.faults.len() == before;
    if options.sql.is_none() && is_sound {
        let help = "add `sql = '''SELECT …'''`: each of its rows is an alert".to_owned();
        ctx.missing(&declared.spot, format!("`{}` has no `sql`", declared.name), help);
    }
    let remind = ctx.span(options.remind, "remind");
    let title_columns = options.title.as_ref().map(|it| title_columns(ctx, it));
    let sql = ctx.sql(&options.sql?);
    let reads = sql::parse_select(&sql).unwrap_or_else(|faults| {
        ctx.faults.merge(faults);
        ctx.distrust(&declared.name);
        Vec::new()
    });
    let links = AlertLinks { reads, notify: ctx.words(options.notify) };
    let alert = Alert {
        sql,
        reads: Vec::new(),
        reads_beside: Vec::new(),
        key: ctx.words(options.key),
        notify: Vec::new(),
        title: options.title.as_ref().map(|it| ctx.word(it)),
        title_columns: title_columns.unwrap_or_default(),
        hold: options.hold.map(|it| it.value.0).unwrap_or_default(),
        remind,
        on: options.on.map(|it| it.value.0).unwrap_or_default(),
        description: options.description,
        owner: options.owner,
        tags: options.tags,
        name: declared.name,
        spot: declared.spot,
    };
    Some((alert, links))
}

fn title_columns(ctx: &mut LoadCtx<'_>, title: &Said<String>) -> Vec<Word> {
    let mut columns = Vec::new();
    let mut rest = title.value.as_str();
    while let Some((_, after)) = rest.split_once('{') {
        let start = title.value.len() - after.len();
        let Some((name, after)) = after.split_once('}') else {
            let help = "close it with `}` after the name of a column".to_owned();
            let range = ctx.inside(title, start - 1..start);
            ctx.fault(&range, "`{` without `}`", Some(help));
            break;
        };
        let range = ctx.inside(title, start..start + name.len());
        if name.trim().is_empty() {
            let help = "write the name of a column between the braces".to_owned();
            ctx.fault(&range, "`{}` names no column", Some(help));
        } else {
            columns.push(Word { text: name.trim().to_owned(), spot: ctx.spot(&range) });
        }
        rest = after;
    }
    columns
}

impl FromWords for AlertOn {
    const WHAT: &'static str = "`\"final\"` or `\"open\"`";

    fn from_words(text: &str) -> Result<AlertOn, String> {
        choose(text, &[("final", AlertOn::Final), ("open", AlertOn::Open)])
    }
}

/// `[notify.NAME]`: somebody who can be told.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NotifyOptions {
    /// The address to POST to; a secret, best written as `"${NAME}"`.
    webhook: Option<Said<String>>,
    /// What the POST says: `"json"` (if not said) with all facts, or `"slack"`.
    format: Option<Said<Words<NotifyFormat>>>,
    /// Addresses that get it as a mail, by the server of `[project.mail]`.
    email: Option<OneOrMore>,
    /// Whether it goes to the program's log too.
    log: Option<bool>,
    /// What it is, for people.
    description: Option<String>,
}

pub(crate) fn read_notify(ctx: &mut LoadCtx<'_>, declared: Declared, value: Value<'_>) -> Notify {
    let before = ctx.faults.len();
    let options: NotifyOptions = ctx.read(value);
    let is_sound = ctx.faults.len() == before;
    let log = options.log.unwrap_or(false);
    let has_email = options.email.is_some();
    let email = options.email.map(|it| emails(ctx, it)).unwrap_or_default();
    let is_mailed = has_email && (!email.is_empty() || ctx.faults.len() != before);
    if options.webhook.is_none() && !is_mailed && !log && is_sound {
        let help = "add `webhook = \"${NAME}\"`, `email = \"name@example.com\"` or `log = true`"
            .to_owned();
        ctx.missing(&declared.spot, format!("`{}` tells nobody", declared.name), help);
    }
    let webhook = options.webhook.and_then(|said| {
        let secret = ctx.secret(&said)?;
        let address = secret.reveal();
        // A secret that is not set stands for itself where none is needed.
        let is_address = ["https://", "http://", "${"].iter().any(|it| address.starts_with(it));
        if is_address {
            return Some(secret);
        }
        let help = "it must begin with `https://` or `http://`".to_owned();
        ctx.fault(&said.range, "the webhook is no web address", Some(help));
        None
    });
    Notify {
        webhook,
        format: options.format.map(|it| it.value.0).unwrap_or_default(),
        email,
        log,
        description: options.description,
        name: declared.name,
        spot: declared.spot,
    }
}

/// Reads the addresses of a target, each once.
fn emails(ctx: &mut LoadCtx<'_>, said: OneOrMore) -> Vec<Mailbox> {
    let mut found: Vec<Mailbox> = Vec::new();
    for it in said.0 {
        let Some(mailbox) = mail::mailbox(ctx, &it) else { continue };
        if found.iter().any(|it| it.address == mailbox.address) {
            let message = format!("`{}` is named twice", mailbox.address);
            ctx.fault(&it.range, message, Some("keep one".to_owned()));
        } else if limits::NOTIFY_EMAILS_MAX <= found.len() {
            let message = format!("more than {} addresses", limits::NOTIFY_EMAILS_MAX);
            let help = "let the mail server forward one address to all of them".to_owned();
            ctx.fault(&it.range, message, Some(help));
            break;
        } else {
            found.push(mailbox);
        }
    }
    found
}

impl FromWords for NotifyFormat {
    const WHAT: &'static str = "`\"json\"` or `\"slack\"`";

    fn from_words(text: &str) -> Result<NotifyFormat, String> {
        choose(text, &[("json", NotifyFormat::Json), ("slack", NotifyFormat::Slack)])
    }
}
