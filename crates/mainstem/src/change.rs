//! Compares two projects: what differs, what follows from it, what has to be built, what could
//! break. A pure function of the two and of how large the running tables are.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::{Field, Schema};
use base::Name;
use process::{FlowPlan, Made, TableKind};
use show::{Change, ChangeAction, ChangeBuild, ChangeItem};
use spec::Project;
use store::Asked;

use crate::alerting::own::is_own;
pub(crate) use crate::change::settings::Settings;
use crate::facts::type_name;

mod settings;

/// Rows that a table reads a second where nothing was measured: a slow one, so that a build takes
/// rather less time than was said.
const ROWS_PER_SECOND: f64 = 300_000.0;

/// A build leaves the machine to what runs: it has about half of it.
const SHARE: f64 = 0.5;

/// What a build costs beside its rows.
const BUILD_SECONDS: f64 = 0.1;

/// Returns a text that differs where a flow of the project would have to be opened anew.
pub(crate) fn signature(project: &Project, flow: &FlowPlan) -> String {
    let zone = project.time_zone.as_ref().map(spec::Word::as_str);
    let mut parts = vec![format!("{} {:?} {zone:?}", project.name, project.flush)];
    for stream in flow.streams().filter_map(|it| project.streams.get(it)) {
        let schema = rows::schema::of_stream(stream);
        parts.push(format!("{} {schema:?} {}", stream.name, Settings::of_stream(stream).of_flow()));
    }
    for table in flow.made() {
        let Some(declared) = project.tables.get(&table.name) else { continue };
        let settings = Settings::of_table(declared).of_flow();
        let partition = settings::partition(declared);
        parts.push(format!("{} {} {partition:?} {settings}", table.name, table.fingerprint));
    }
    for (name, schema) in flow.lookups() {
        let Some(declared) = project.lookups.get(name) else { continue };
        let (folder, settings) = (&project.folder, Settings::of_lookup(declared).of_flow());
        parts.push(format!("{name} {} {schema:?} {settings}", folder.display()));
    }
    let names: BTreeSet<Name> = flow.outputs().into_iter().map(|it| it.name).collect();
    for alert in project.alerts.values() {
        let is_here = alert.reads.first().is_some_and(|it| names.contains(it));
        if is_here && !is_own(alert) {
            parts.push(format!("{} {}", alert.name, Settings::of_alert(alert).of_flow()));
        }
    }
    parts.join("\n")
}

/// Returns whom a project tells and how, as something to compare; it holds secrets.
pub(crate) fn notifies(project: &Project) -> Vec<(String, Settings)> {
    let targets = project.notifies.iter();
    let targets = targets.map(|(name, it)| (name.to_string(), Settings::of_notify(it)));
    targets.chain([(String::new(), Settings::of_mail(project))]).collect()
}

/// Returns the doors of a stream, as something to compare; it may hold secrets.
pub(crate) fn doors(stream: &spec::Stream) -> Settings {
    Settings::of_doors(stream)
}

/// One of the two projects.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    pub(crate) project: &'a Project,
    pub(crate) flows: &'a [FlowPlan],
}

/// How large a running table is, and how fast it takes rows in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Size {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) rows_per_second: Option<f64>,
    /// Why it no longer follows what it reads.
    pub(crate) stale: Option<String>,
}

/// The running tables by name.
pub(crate) type Sizes = BTreeMap<String, Size>;

/// Compares what runs with what is wanted.
pub(crate) fn compare(running: Side<'_>, wanted: Side<'_>, sizes: &Sizes) -> Change {
    let mut comparing = Comparing {
        running,
        wanted,
        sizes,
        change: Change { project: wanted.project.name.clone(), ..Change::default() },
        built: BTreeSet::new(),
        changed: BTreeSet::new(),
    };
    comparing.project();
    comparing.streams();
    comparing.lookups();
    comparing.tables();
    comparing.readers();
    comparing.change
}

/// What a changed table is.
enum Difference {
    /// Its rows would be others: it is built anew.
    Rows(Vec<String>),
    /// What it reads is built anew, so it is too.
    Below(Vec<Name>),
    /// It stands still, and is built anew.
    Stale(String),
    /// It is computed anew by itself.
    Again(Vec<Name>),
    /// Only what is said about it differs.
    Settings,
}

struct Comparing<'a> {
    running: Side<'a>,
    wanted: Side<'a>,
    sizes: &'a Sizes,
    change: Change,
    /// Tables that are built anew.
    built: BTreeSet<Name>,
    /// Tables whose rows are others from now on, and streams that are new.
    changed: BTreeSet<Name>,
}

fn made(flows: &[FlowPlan]) -> impl Iterator<Item = Made> {
    flows.iter().flat_map(FlowPlan::made)
}

impl Comparing<'_> {
    fn item(&mut self, action: ChangeAction, kind: &str, name: &str, details: Vec<String>) {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        self.change.items.push(ChangeItem { action, kind, name, details });
    }

    fn project(&mut self) {
        let details = Settings::of_project(self.wanted.project)
            .since(&Settings::of_project(self.running.project));
        if !details.is_empty() {
            let name = self.wanted.project.name.clone();
            self.item(ChangeAction::Changed, "project", &name, details);
        }
    }

    fn streams(&mut self) {
        let (old, new) = (&self.running.project.streams, &self.wanted.project.streams);
        for (name, stream) in new {
            let Some(before) = old.get(name) else {
                self.changed.insert(name.clone());
                self.item(ChangeAction::New, "stream", name, Vec::new());
                continue;
            };
            let (was, is) = (rows::schema::of_stream(before), rows::schema::of_stream(stream));
            let mut details = columns(&was, &is);
            details.extend(Settings::of_stream(stream).since(&Settings::of_stream(before)));
            self.follow(name, &was, &is);
            self.tell_columns("stream", name, &was, &is);
            if !details.is_empty() {
                self.item(ChangeAction::Changed, "stream", name, details);
            }
        }
        for name in old.keys().filter(|it| !new.contains_key(*it)) {
            self.change
                .breaking
                .push(format!("stream `{name}` is gone, and the table of its rows"));
            let kept = "its records and rows stay on disk, and nothing reads them".to_owned();
            self.item(ChangeAction::Dropped, "stream", name, vec![kept]);
        }
    }

    /// Says whether the stored rows of a stream can follow its new columns.
    fn follow(&mut self, name: &Name, was: &Schema, is: &Schema) {
        let rows = self.sizes.get(name.as_str()).map_or(0, |it| it.rows);
        match Asked::of(was, is) {
            Err(reason) => self.change.refused.push(format!("stream `{name}`: {reason}")),
            Ok(asked) => {
                for column in asked.values.iter().filter(|_| 0 < rows) {
                    self.change.refused.push(format!(
                        "stream `{name}`: column `{column}` cannot be `not null`, because stored \
                         rows may have no value there; leave `not null` out"
                    ));
                }
            }
        }
    }

    /// Notes what of a table's columns readers outside could miss.
    fn tell_columns(&mut self, kind: &str, name: &str, was: &Schema, is: &Schema) {
        for old in was.fields() {
            let column = old.name();
            match is.field_with_name(column) {
                Err(_) => {
                    let message = format!("{kind} `{name}` has no column `{column}` any more");
                    self.change.breaking.push(message);
                }
                Ok(new) if !is_still(old, new) => {
                    self.change.breaking.push(format!(
                        "column `{column}` of {kind} `{name}` is {}, no longer {}",
                        type_name(new.data_type()),
                        type_name(old.data_type())
                    ));
                }
                Ok(_) => {}
            }
        }
    }

    fn lookups(&mut self) {
        let (old, new) = (&self.running.project.lookups, &self.wanted.project.lookups);
        for (name, lookup) in new {
            match old.get(name) {
                None => self.item(ChangeAction::New, "lookup", name, Vec::new()),
                Some(before) => {
                    let details = Settings::of_lookup(lookup).since(&Settings::of_lookup(before));
                    if !details.is_empty() {
                        self.item(ChangeAction::Changed, "lookup", name, details);
                    }
                }
            }
        }
        for name in old.keys().filter(|it| !new.contains_key(*it)) {
            self.change.breaking.push(format!("lookup `{name}` is gone"));
            self.item(ChangeAction::Dropped, "lookup", name, Vec::new());
        }
    }

    fn tables(&mut self) {
        let old: BTreeMap<Name, Made> =
            made(self.running.flows).map(|it| (it.name.clone(), it)).collect();
        let all: Vec<Made> = made(self.wanted.flows).collect();
        for table in &all {
            match old.get(&table.name) {
                None => {
                    self.changed.insert(table.name.clone());
                    self.build(table);
                    let details = vec![kind_of(table.kind).to_owned()];
                    self.item(ChangeAction::New, "table", &table.name, details);
                }
                Some(before) => self.table(before, table),
            }
        }
        for name in old.keys().filter(|it| !all.iter().any(|table| table.name == **it)) {
            self.change.breaking.push(format!("table `{name}` is gone"));
            let kept = "its rows stay until the next change, for `mainstem rollback`".to_owned();
            self.item(ChangeAction::Dropped, "table", name, vec![kept]);
        }
    }

    fn table(&mut self, before: &Made, table: &Made) {
        let name = &table.name;
        let (old, new) = (&self.running.project.tables, &self.wanted.project.tables);
        let (Some(was), Some(is)) = (old.get(name), new.get(name)) else { return };
        let settings = Settings::of_table(is).since(&Settings::of_table(was));
        let Some(difference) = self.difference(before, table, was, is, &settings) else { return };
        let mut details = columns(&before.schema, &table.schema);
        if before.kind != table.kind {
            let (was, is) = (kind_of(before.kind), kind_of(table.kind));
            details.insert(0, format!("{is}, no longer {was}"));
            self.change.breaking.push(format!("table `{name}` is {is}, no longer {was}"));
        }
        self.tell_columns("table", name, &before.schema, &table.schema);
        let (action, is_built) = match &difference {
            Difference::Rows(why) => {
                details.splice(0..0, why.iter().cloned());
                (ChangeAction::Changed, true)
            }
            Difference::Below(below) => {
                details.insert(0, format!("it reads {}", listed(below)));
                (ChangeAction::Follows, true)
            }
            Difference::Stale(reason) => {
                details.insert(0, format!("it stands still: {reason}"));
                (ChangeAction::Changed, true)
            }
            Difference::Again(below) => {
                details.insert(0, format!("it reads {} and is run again", listed(below)));
                (ChangeAction::Follows, false)
            }
            Difference::Settings => {
                if was.sql.text.trim() != is.sql.text.trim() {
                    details
                        .push("its SELECT is written otherwise, its rows are the same".to_owned());
                }
                (ChangeAction::Changed, false)
            }
        };
        details.extend(settings);
        if !matches!(difference, Difference::Settings) {
            self.changed.insert(name.clone());
        }
        if is_built {
            self.build(table);
        }
        self.item(action, "table", name, details);
    }

    fn difference(
        &self,
        before: &Made,
        table: &Made,
        was: &spec::Table,
        is: &spec::Table,
        settings: &[String],
    ) -> Option<Difference> {
        let below = || table.reads.iter().filter(|it| self.changed.contains(*it));
        let below: Vec<Name> = below().cloned().collect();
        let (text_was, text_is) = (was.sql.text.trim(), is.sql.text.trim());
        let mut why = Vec::new();
        if text_was != text_is && before.fingerprint != table.fingerprint {
            why.push("its SELECT".to_owned());
        }
        if settings::partition(was) != settings::partition(is) {
            why.push("its partition".to_owned());
        }
        if !why.is_empty() {
            return Some(Difference::Rows(why));
        }
        if !below.is_empty() {
            let again = table.kind == TableKind::Recomputed && before.schema == table.schema;
            return Some(if again { Difference::Again(below) } else { Difference::Below(below) });
        }
        if before.fingerprint != table.fingerprint {
            return Some(Difference::Rows(vec!["the columns it reads".to_owned()]));
        }
        let stale = self.sizes.get(table.name.as_str()).and_then(|it| it.stale.clone());
        if let Some(reason) = stale {
            return Some(Difference::Stale(reason));
        }
        let is_other = text_was != text_is || !settings.is_empty();
        is_other.then_some(Difference::Settings)
    }

    /// Notes that a table is built, and what that costs.
    fn build(&mut self, table: &Made) {
        self.built.insert(table.name.clone());
        let is_stored = |it: &&Name| {
            self.wanted.flows.iter().all(|flow| flow.lookups().all(|(name, _)| name != *it))
        };
        let reads: Vec<&Name> = table.reads.iter().filter(is_stored).collect();
        let size = |it: &&&Name| self.sizes.get(it.as_str()).cloned().unwrap_or_default();
        let rows: u64 = reads.iter().map(|it| size(&it).rows).sum();
        let bytes = reads.iter().map(|it| size(&it).bytes).sum();
        let measured = self.sizes.get(table.name.as_str()).and_then(|it| it.rows_per_second);
        let speed = measured.unwrap_or(ROWS_PER_SECOND).max(1.0) * SHARE;
        let seconds = rows as f64 / speed + BUILD_SECONDS;
        let reads = reads.into_iter().map(ToString::to_string).collect();
        self.change.builds.push(ChangeBuild {
            table: table.name.to_string(),
            reads,
            rows,
            bytes,
            seconds,
        });
    }

    /// Compares alerts, notifies and dashboards, and says which of them read what changes.
    fn readers(&mut self) {
        let (old, new) = (self.running.project, self.wanted.project);
        for (name, alert) in &new.alerts {
            let was = old.alerts.get(name).map(Settings::of_alert);
            let reads = alert.reads.iter().collect::<Vec<_>>();
            self.reader("alert", name, was, &Settings::of_alert(alert), &reads);
        }
        for (name, notify) in &new.notifies {
            let was = old.notifies.get(name).map(Settings::of_notify);
            self.reader("notify", name, was, &Settings::of_notify(notify), &[]);
        }
        for (name, dashboard) in &new.dashboards {
            let was = old.dashboards.get(name).map(Settings::of_dashboard);
            let from = dashboard.charts.iter().map(|it| it.from.as_str());
            let from: Vec<Name> = from.filter_map(|it| Name::new(it).ok()).collect();
            let reads = from.iter().collect::<Vec<_>>();
            self.reader("dashboard", name, was, &Settings::of_dashboard(dashboard), &reads);
        }
        let dropped = |kind: &'static str, old: Vec<&Name>, new: Vec<&Name>| {
            let gone = old.into_iter().filter(move |it| !new.contains(it)).cloned();
            gone.map(move |it| (kind, it)).collect::<Vec<_>>()
        };
        let all = [
            dropped("alert", old.alerts.keys().collect(), new.alerts.keys().collect()),
            dropped("notify", old.notifies.keys().collect(), new.notifies.keys().collect()),
            dropped("dashboard", old.dashboards.keys().collect(), new.dashboards.keys().collect()),
        ];
        for (kind, name) in all.concat() {
            self.item(ChangeAction::Dropped, kind, &name, Vec::new());
        }
    }

    fn reader(
        &mut self,
        kind: &str,
        name: &Name,
        was: Option<Settings>,
        is: &Settings,
        reads: &[&Name],
    ) {
        let Some(was) = was else {
            self.item(ChangeAction::New, kind, name, Vec::new());
            return;
        };
        let mut details = is.since(&was);
        let action = if details.is_empty() { ChangeAction::Follows } else { ChangeAction::Changed };
        let below: BTreeSet<&Name> =
            reads.iter().copied().filter(|it| self.changed.contains(*it)).collect();
        if !below.is_empty() {
            let below: Vec<Name> = below.into_iter().cloned().collect();
            details.push(format!("it reads {}", listed(&below)));
        }
        if !details.is_empty() {
            self.item(action, kind, name, details);
        }
    }
}

/// Whether every value of a column is still one.
fn is_still(old: &Field, new: &Field) -> bool {
    let alone = |it: &Field| Schema::new(vec![it.clone().with_nullable(true)]);
    Asked::of(&alone(old), &alone(new)).is_ok()
}

/// Says which columns differ.
fn columns(was: &Schema, is: &Schema) -> Vec<String> {
    let mut told = Vec::new();
    for new in is.fields() {
        let kind = type_name(new.data_type());
        match was.field_with_name(new.name()) {
            Err(_) => told.push(format!("+ column `{}` {kind}", new.name())),
            Ok(old) if type_name(old.data_type()) != kind => {
                let before = type_name(old.data_type());
                told.push(format!("column `{}` {before} → {kind}", new.name()));
            }
            Ok(old) if old.is_nullable() && !new.is_nullable() => {
                told.push(format!("column `{}` not null from now on", new.name()));
            }
            Ok(old) if !old.is_nullable() && new.is_nullable() => {
                told.push(format!("column `{}` may be null", new.name()));
            }
            Ok(_) => {}
        }
    }
    let gone = was.fields().iter().filter(|it| is.field_with_name(it.name()).is_err());
    told.extend(gone.map(|it| format!("- column `{}` {}", it.name(), type_name(it.data_type()))));
    told
}

fn kind_of(kind: TableKind) -> &'static str {
    match kind {
        TableKind::Append => "grows row by row",
        TableKind::Windowed => "kept up to date by windows",
        TableKind::Running => "kept as running totals",
        TableKind::Recomputed => "recomputed whole",
        TableKind::Raw => "the rows of a stream",
        TableKind::Dead => "dead letters",
        TableKind::Lookup => "a lookup",
    }
}

fn listed(names: &[Name]) -> String {
    names.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
