//! A whole project.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base::{ByteSize, Name, Span};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::alert::{Alert, Notify};
use crate::bucket::Bucket;
use crate::column::Described;
use crate::dashboard::Dashboard;
use crate::fault::Faults;
use crate::key::{Key, KeyOptions, Rate, RateOptions};
use crate::lookup::Lookup;
use crate::mail::{Mail, MailOptions};
use crate::rest::{Upkeep, UpkeepOptions};
use crate::said::{Entries, Said, Words};
use crate::source::Word;
use crate::stream::Stream;
use crate::table::Table;
use crate::test::Test;

/// What a folder of project files declares.
#[derive(Debug, Clone, Default)]
pub struct Project {
    /// Its name; the folder's if not said.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// The environment whose overlays are in it.
    pub env: Option<String>,
    /// What it is, for people.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// How often rows become durable tables; the program's default if not said.
    pub flush: Option<Span>,
    /// Memory for the state of each flow's tables; the program's default if not said.
    pub memory: Option<ByteSize>,
    /// How often stored files are merged and let go, and for how long at a time.
    pub upkeep: Upkeep,
    /// The time zone of `cron`; UTC if not said.
    pub time_zone: Option<Word>,
    /// How many tables with `every`, `cron`, `after` or `on` are recomputed at the same time.
    pub runs_max: Option<u32>,
    /// Who may come in; everybody on this machine if there is none.
    pub keys: BTreeMap<Name, Key>,
    /// How much each client may send.
    pub client_limit: Rate,
    /// How it sends mail, if it can.
    pub mail: Option<Mail>,
    /// What comes in.
    pub streams: BTreeMap<Name, Stream>,
    /// Streams whose columns are still to be found; neither they nor what reads them is in the rest.
    pub awaited: BTreeMap<Name, Stream>,
    /// Places with objects; each has a stream and a table too.
    pub buckets: BTreeMap<Name, Bucket>,
    /// Small tables read whole.
    pub lookups: BTreeMap<Name, Lookup>,
    /// What is made of it.
    pub tables: BTreeMap<Name, Table>,
    /// What is alarming.
    pub alerts: BTreeMap<Name, Alert>,
    /// Who is told.
    pub notifies: BTreeMap<Name, Notify>,
    /// What is shown.
    pub dashboards: BTreeMap<Name, Dashboard>,
    /// What must come out.
    pub tests: BTreeMap<Name, Test>,
    /// What is odd, but no error.
    pub warnings: Faults,
}

impl Project {
    /// Returns what is said about the columns of a stream, a lookup or a table.
    pub fn descriptions(&self, name: &str) -> &[Described] {
        let stream = self.streams.get(name).map(|it| &it.descriptions);
        let lookup = || self.lookups.get(name).map(|it| &it.descriptions);
        let table = || self.tables.get(name).map(|it| &it.descriptions);
        stream.or_else(lookup).or_else(table).map(Vec::as_slice).unwrap_or_default()
    }
}

/// `[project]`: what the project is called.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProjectOptions {
    /// Its name; that of the folder if not said.
    pub(crate) name: Option<String>,
    /// What it is, for people.
    pub(crate) description: Option<String>,
    /// Who answers for it.
    pub(crate) owner: Option<String>,
    /// How often rows become durable tables, for example `"5 seconds"`; SQL sees them before.
    pub(crate) flush: Option<Said<Words<Span>>>,
    /// Memory for the groups of each flow's tables, for example `"4 GB"`; what is beyond it goes to
    /// disk.
    pub(crate) memory: Option<Said<Words<ByteSize>>>,
    /// How often stored files are merged and let go, and for how long at a time:
    /// `{ every = "20 seconds", budget = "5 seconds" }`.
    pub(crate) upkeep: Option<UpkeepOptions>,
    /// The time zone of `cron`: `"Europe/Paris"`; UTC if not said.
    pub(crate) time_zone: Option<Said<String>>,
    /// How many tables with `every`, `cron`, `after` or `on` are recomputed at the same time; 2 if not
    /// said.
    pub(crate) runs_max: Option<Said<u32>>,
    /// Who may send and ask: `[project.keys.NAME]`. As soon as there is one, every request needs one.
    #[serde(default)]
    pub(crate) keys: Entries<KeyOptions>,
    /// How much each client, by its address, may send in a second:
    /// `{ records = 1_000, bytes = "1 MB" }`.
    pub(crate) client_limit: Option<RateOptions>,
    /// The mail server, for `email` of `[notify.NAME]` and for subscriptions: `[project.mail]`.
    pub(crate) mail: Option<MailOptions>,
}
