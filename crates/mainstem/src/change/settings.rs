//! What is said about each thing of a project, as names and values that can be compared and read.

use base::{ByteSize, Span, limits};
use spec::{
    Alert, AlertOn, Dashboard, Described, DoorUse, Format, Late, Lookup, Notify, NotifyFormat,
    Project, Starts, Stream, Table, Word,
};

/// Names and values, in the order of the reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings(Vec<Setting>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    name: String,
    value: String,
    /// Longer than anybody wants to read twice, or secret: only that it differs is said.
    is_hidden: bool,
}

const DOORS: &str = "doors";
const LIMIT: &str = "limit";
const ABOUT_COLUMNS: &str = "descriptions of columns";

/// What a flow need not know.
const BESIDE: &[&str] =
    &[DOORS, LIMIT, "shards", ABOUT_COLUMNS, "description", "owner", "tags", "layer"];

impl Settings {
    /// Says what differs from what was said before, a sentence each.
    pub(super) fn since(&self, before: &Settings) -> Vec<String> {
        let mut told = Vec::new();
        for setting in &self.0 {
            let was = before.0.iter().find(|it| it.name == setting.name);
            let name = &setting.name;
            match was {
                Some(was) if was.value == setting.value => {}
                _ if setting.is_hidden => told.push(format!("its {name}")),
                Some(was) => told.push(format!("{name}: {} → {}", was.value, setting.value)),
                None => told.push(format!("+ {name}: {}", setting.value)),
            }
        }
        let gone = before.0.iter().filter(|it| !self.0.iter().any(|new| new.name == it.name));
        told.extend(gone.map(|it| format!("- {}", it.name)));
        told
    }

    /// Returns as one text what a flow must know; doors and words for people are not of it.
    pub(super) fn of_flow(&self) -> String {
        let known = self.0.iter().filter(|it| !BESIDE.contains(&it.name.as_str()));
        let texts = known.map(|it| format!("{}={:?}", it.name, it.value));
        texts.collect::<Vec<_>>().join(" ")
    }

    fn new() -> Settings {
        Settings(Vec::new())
    }

    #[expect(clippy::needless_pass_by_value, reason = "what is said is mostly made at the call")]
    fn with(mut self, name: &str, value: impl ToString) -> Settings {
        let (name, value) = (name.to_owned(), value.to_string());
        self.0.push(Setting { name, value, is_hidden: false });
        self
    }

    #[expect(clippy::needless_pass_by_value, reason = "what is said is mostly made at the call")]
    fn hidden(mut self, name: &str, value: impl ToString) -> Settings {
        let (name, value) = (name.to_owned(), value.to_string());
        self.0.push(Setting { name, value, is_hidden: true });
        self
    }

    fn at_rest(self, it: &spec::Rest) -> Settings {
        let snapshots =
            it.snapshots.map(|it| format!("every {}, the newest {}", it.every, it.keep));
        let cold = it.cold.map(|it| format!("after {it}"));
        self.with("history", kept(it.history))
            .with("cluster", or_none(Some(words(&it.cluster).as_str()).filter(|it| !it.is_empty())))
            .with("snapshots", or_none(snapshots.as_deref()))
            .with("cold", or_none(cold.as_deref()))
    }

    fn columns(self, descriptions: &[Described]) -> Settings {
        let told = descriptions.iter().map(|it| format!("{}: {}", it.column, it.description));
        self.hidden(ABOUT_COLUMNS, told.collect::<Vec<_>>().join("\n"))
    }

    fn person(
        self,
        description: Option<&String>,
        owner: Option<&String>,
        tags: &[String],
    ) -> Settings {
        let text = |it: Option<&String>| it.cloned().unwrap_or_default();
        self.hidden("description", text(description))
            .with("owner", or_none(owner.map(String::as_str)))
            .with("tags", tags.join(", "))
    }

    pub(super) fn of_project(it: &Project) -> Settings {
        Settings::new()
            .with("name", &it.name)
            .with("flush", it.flush.map_or_else(|| "5 seconds".to_owned(), |it| it.to_string()))
            .with("time_zone", or_none(it.time_zone.as_ref().map(Word::as_str)))
            .with("runs_max", it.runs_max.unwrap_or(limits::RUNS_MAX))
            .with("memory", it.memory.unwrap_or(ByteSize(limits::STATE_BYTES_MAX as u64)))
            .hidden("description", it.description.clone().unwrap_or_default())
            .with("upkeep", format!("every {}, {} at most", it.upkeep.every, it.upkeep.budget))
            .with("client_limit", it.client_limit)
            .mail(it)
            .keys(it)
    }

    /// How mail is sent.
    pub(super) fn of_mail(it: &Project) -> Settings {
        Settings::new().mail(it)
    }

    /// How mail is sent; of the server only that it differs.
    fn mail(self, it: &Project) -> Settings {
        let Some(mail) = &it.mail else { return self };
        let from = match &mail.from.name {
            Some(name) => format!("{name} <{}>", mail.from.address),
            None => mail.from.address.clone(),
        };
        self.hidden("mail server", mail.smtp.reveal())
            .with("mail from", from)
            .with("mail link", or_none(mail.link.as_deref()))
    }

    /// Each key with what it allows; of its secret only that it differs.
    fn keys(mut self, it: &Project) -> Settings {
        for (name, key) in &it.keys {
            let may: Vec<String> = key.may.iter().map(|it| format!("{it:?}")).collect();
            let streams = key.streams.as_ref().map_or_else(|| "all".to_owned(), |it| words(it));
            let mut told = format!(
                "may {} on {streams} as `{}`, limit {}",
                may.join(" and ").to_lowercase(),
                key.id,
                key.limit
            );
            if key.queries != spec::QueryLimits::default() {
                told += &format!(", queries {}", key.queries);
            }
            self = self
                .with(&format!("key `{name}`"), told)
                .hidden(&format!("secret of the key `{name}`"), key.secret.reveal());
        }
        self
    }

    pub(super) fn of_doors(it: &Stream) -> Settings {
        let doors: Vec<String> =
            it.from.iter().map(|it| format!("{} {}", it.door, options(it))).collect();
        Settings::new().hidden(DOORS, doors.join(" "))
    }

    pub(super) fn of_stream(it: &Stream) -> Settings {
        let mut settings = Settings::of_doors(it)
            .with(
                "format",
                match it.format {
                    Format::Json => "json",
                    Format::Csv => "csv",
                },
            )
            .with("time", or_none(it.time.as_deref()))
            .with("key", or_none(it.key.as_deref()))
            .with("shards", it.shards)
            .with("replay", it.replay)
            .with("replay_size", it.replay_size)
            .with("keep", kept(it.keep))
            .at_rest(&it.rest)
            .with("idle", it.idle)
            .with(LIMIT, it.limit)
            .columns(&it.descriptions);
        for check in &it.checks {
            let name = format!("check `{}`", check.name);
            settings = settings.with(&name, check.sql.text.trim());
        }
        settings.person(it.description.as_ref(), it.owner.as_ref(), &it.tags)
    }

    pub(super) fn of_lookup(it: &Lookup) -> Settings {
        let columns: Vec<String> =
            it.columns.iter().map(|column| format!("{} {}", column.name, column.kind)).collect();
        Settings::new()
            .with("from", &it.from)
            .with("key", &it.key)
            .with("valid_from", or_none(it.valid_from.as_ref().map(|it| it.text.as_str())))
            .with("valid_to", or_none(it.valid_to.as_ref().map(|it| it.text.as_str())))
            .with("every", kept(it.every))
            .with("columns", columns.join(", "))
            .columns(&it.descriptions)
            .person(it.description.as_ref(), it.owner.as_ref(), &it.tags)
    }

    pub(super) fn of_table(it: &Table) -> Settings {
        let mut settings = Settings::new()
            .with("layer", or_none(it.layer.as_deref()))
            .with(
                "late",
                match it.late {
                    Late::Hold(span) => span.to_string(),
                    Late::Dead => "dead".to_owned(),
                },
            )
            .with("keep", kept(it.keep))
            .at_rest(&it.rest)
            .with("starts", or_none(it.batch.starts.as_ref().map(Starts::told).as_deref()))
            .with("reads", if it.batch.reads_new.is_some() { "new" } else { "all" })
            .with("missed", it.batch.missed.as_str())
            .with(
                "retries",
                it.batch.retries.map_or_else(|| "usual".to_owned(), |it| it.to_string()),
            )
            .with("retry_after", kept(it.batch.retry_after))
            .with("timeout", kept(it.batch.timeout))
            .with(
                "read_max",
                it.batch.read_max.map_or_else(|| "none".to_owned(), |it| it.to_string()),
            )
            .with("publish", it.publish)
            .with("lookup_backfill", it.lookup_backfill.is_some().to_string())
            .with("serve", or_none(it.serve.as_ref().map(serve).as_deref()))
            .columns(&it.descriptions);
        for check in &it.checks {
            let name = format!("check `{}`", check.name);
            let severity = check.severity.as_str();
            settings = settings.with(&name, format!("{} ({severity})", check.told()));
        }
        settings.person(it.description.as_ref(), it.owner.as_ref(), &it.tags)
    }

    pub(super) fn of_alert(it: &Alert) -> Settings {
        let notify: Vec<&str> = it.notify.iter().map(base::Name::as_str).collect();
        Settings::new()
            .hidden("SELECT", it.sql.text.trim())
            .with("key", words(&it.key))
            .with("for", it.hold)
            .with(
                "on",
                match it.on {
                    AlertOn::Final => "final",
                    AlertOn::Open => "open",
                },
            )
            .with("notify", notify.join(", "))
            .with("remind", kept(it.remind))
            .with("title", or_none(it.title.as_ref().map(Word::as_str)))
            .person(it.description.as_ref(), it.owner.as_ref(), &it.tags)
    }

    pub(super) fn of_notify(it: &Notify) -> Settings {
        let webhook = it.webhook.as_ref().map(|it| it.reveal().to_owned());
        let email: Vec<&str> = it.email.iter().map(|it| it.address.as_str()).collect();
        let email = Some(email.join(", ")).filter(|it| !it.is_empty());
        Settings::new()
            .hidden("webhook", webhook.unwrap_or_default())
            .with(
                "format",
                match it.format {
                    NotifyFormat::Json => "json",
                    NotifyFormat::Slack => "slack",
                },
            )
            .with("email", or_none(email.as_deref()))
            .with("log", it.log)
            .hidden("description", it.description.clone().unwrap_or_default())
    }

    pub(super) fn of_dashboard(it: &Dashboard) -> Settings {
        let mut settings = Settings::new().with("title", or_none(it.title.as_deref()));
        for (place, chart) in it.charts.iter().enumerate() {
            let title = chart.title.clone().unwrap_or_else(|| chart.from.to_string());
            let word = |it: &Option<Word>| or_none(it.as_ref().map(Word::as_str));
            let told = [
                format!("{:?}", chart.kind),
                chart.from.to_string(),
                word(&chart.x),
                words(&chart.y),
                word(&chart.by),
                kept(chart.last),
                format!("{:?}", chart.limit),
                format!("{:?}", chart.fill.as_ref().map(|(fill, _)| fill)),
            ];
            let name = format!("chart {} ({title})", place + 1);
            settings = settings.hidden(&name, told.join(" "));
        }
        settings.person(it.description.as_ref(), it.owner.as_ref(), &it.tags)
    }
}

/// Returns how a table's files are laid out, in words.
pub(super) fn partition(table: &Table) -> Option<String> {
    table.partition.as_ref().map(|it| it.word.to_string())
}

/// Returns a door's options with their values, secrets too: to be compared, not to be told.
fn options(door: &DoorUse) -> String {
    door.options.parse::<toml::Table>().map(|it| it.to_string()).unwrap_or_default()
}

fn or_none(text: Option<&str>) -> String {
    text.map_or_else(|| "none".to_owned(), str::to_owned)
}

fn kept(span: Option<Span>) -> String {
    span.map_or_else(|| "none".to_owned(), |it| it.to_string())
}

fn words(words: &[Word]) -> String {
    words.iter().map(Word::as_str).collect::<Vec<_>>().join(", ")
}

/// Says how rows are found by key.
fn serve(it: &spec::Serve) -> String {
    let mut said = format!("by {}", it.key);
    if let Some(sort) = &it.sort {
        said += &format!(", sorted by {sort}");
    }
    if let Some(latest) = it.latest {
        said += &format!(", the latest {latest}");
    }
    if let Some(puts) = &it.puts {
        said += &format!(", puts into {puts}");
    }
    said
}
