//! Names are looked up once everything is read: FROM, `notify`, charts, tests; and circles.

use std::collections::{BTreeMap, BTreeSet};

use base::{Name, nearest};

use crate::alert::AlertLinks;
use crate::ctx::{Declared, LoadCtx};
use crate::graph;
use crate::project::Project;
use crate::source::{Spot, Word};
use crate::sql::Read;
use crate::table::batch::{self, Starts};
use crate::test::{Line, TestLinks};

/// The names of a project, and who uses which.
#[derive(Default)]
pub(crate) struct Links {
    /// Everything that shares the one namespace: its section, and where it is declared.
    names: BTreeMap<Name, (String, Spot)>,
    tests_at: BTreeMap<Name, Spot>,
    pub(crate) tables: BTreeMap<Name, Vec<Read>>,
    pub(crate) alerts: BTreeMap<Name, AlertLinks>,
    /// Whether the project says how mail is sent, rightly or not.
    pub(crate) says_mail: bool,
    pub(crate) tests: BTreeMap<Name, TestLinks>,
}

/// What a name in FROM stands for.
enum Target {
    /// A stream, lookup or table.
    Ours(Name),
    /// Dead letters, or a table of the program.
    Beside(String),
}

impl Links {
    /// Takes a name; returns false, with a fault, if it is taken.
    pub(crate) fn declare(
        &mut self,
        ctx: &mut LoadCtx<'_>,
        section: &str,
        declared: &Declared,
    ) -> bool {
        let name = &declared.name;
        let spot = declared.spot.clone();
        let taken = if section == "test" {
            // A test's name is never asked for, so it may be that of what it tests.
            self.tests_at.get(name).map(|it| (section.to_owned(), it.clone()))
        } else {
            self.names.get(name).cloned()
        };
        let Some((of, first)) = taken else {
            if section == "test" {
                self.tests_at.insert(name.clone(), spot);
            } else {
                self.names.insert(name.clone(), (section.to_owned(), spot));
            }
            return true;
        };
        let (line, column) = first.line_and_column();
        let article = if of == "alert" { "an" } else { "a" };
        let message = format!("`{name}` is the name of {article} {of} already");
        let help = format!("rename one; the first is at {}:{line}:{column}", first.file.path);
        let fault = declared.spot.fault(message, Some(help));
        ctx.faults.push(fault.beside(first, "first declared here"));
        false
    }

    fn section(&self, name: &str) -> Option<&str> {
        self.names.get(name).map(|(section, _)| section.as_str())
    }

    fn names_of<'a>(&'a self, sections: &'a [&str]) -> impl Iterator<Item = &'a str> {
        let is_one = move |section: &String| sections.contains(&section.as_str());
        let of = self.names.iter().filter(move |(_, (section, _))| is_one(section));
        of.map(|(name, _)| name.as_str())
    }

    fn find(&self, ctx: &mut LoadCtx<'_>, name: &str, spot: &Spot) -> Option<Target> {
        if name.starts_with("system.") {
            return Some(Target::Beside(name.to_owned()));
        }
        let owner = graph::owner(name);
        if owner.is_some_and(|it| matches!(self.section(&it), Some("stream" | "table"))) {
            return Some(Target::Beside(name.to_owned()));
        }
        match self.section(name) {
            Some("stream" | "lookup" | "table") => Name::new(name).ok().map(Target::Ours),
            Some(section) => {
                let help = "FROM can name streams, lookups and tables".to_owned();
                let message = format!("`{name}` is of section `{section}` and cannot be read");
                ctx.faults.push(spot.fault(message, Some(help)));
                None
            }
            None => {
                self.unknown(ctx, "table", name, spot);
                None
            }
        }
    }

    /// Faults a word that names no stream.
    fn find_stream(&self, ctx: &mut LoadCtx<'_>, word: &Word) {
        if self.section(&word.text) == Some("stream") {
            return;
        }
        let help = match nearest(&word.text, self.names_of(&["stream"])) {
            Some(right) => format!("did you mean `{right}`?"),
            None => format!("declare it: `[stream.{}]`", word.text),
        };
        ctx.missing(&word.spot, format!("there is no stream `{}`", word.text), help);
    }

    fn unknown(&self, ctx: &mut LoadCtx<'_>, what: &str, name: &str, spot: &Spot) {
        let with_rows = ["stream", "lookup", "table"];
        let dead: Vec<String> =
            self.names_of(&["stream", "table"]).map(|it| format!("{it}__dead")).collect();
        let known = self.names_of(&with_rows).chain(dead.iter().map(String::as_str));
        let help = match nearest(name, known) {
            Some(right) => format!("did you mean `{right}`?"),
            None => format!(
                "declare `[stream.{name}]` or write `{name}.sql`; the program's own tables are \
                 `system.NAME`"
            ),
        };
        ctx.missing(spot, format!("there is no {what} `{name}`"), help);
    }
}

/// Looks up every name that something uses.
pub(crate) fn resolve(ctx: &mut LoadCtx<'_>, project: &mut Project, mut links: Links) {
    let tables = std::mem::take(&mut links.tables);
    let alerts = std::mem::take(&mut links.alerts);
    let tests = std::mem::take(&mut links.tests);
    for (name, reads) in tables {
        let (ours, beside) = find_all(ctx, &links, &name, &reads);
        if let Some(table) = project.tables.get_mut(&name) {
            (table.reads, table.reads_beside) = (ours, beside);
        }
    }
    for (name, of_alert) in alerts {
        let (ours, beside) = find_all(ctx, &links, &name, &of_alert.reads);
        let notify = find_notify(ctx, &links, &of_alert);
        if let Some(alert) = project.alerts.get_mut(&name) {
            (alert.reads, alert.reads_beside, alert.notify) = (ours, beside, notify);
        }
    }
    for check in project.tables.values().flat_map(|it| &it.checks) {
        for word in check.reads() {
            find_checked(ctx, &links, word);
        }
    }
    find_starts(ctx, &links, project);
    for word in project.keys.values().flat_map(|it| it.streams.iter().flatten()) {
        links.find_stream(ctx, word);
    }
    for notify in project.notifies.values().filter(|it| !it.email.is_empty() && !links.says_mail) {
        let message =
            format!("`{}` has addresses of mail, and there is no mail server", notify.name);
        let help = "add `[project.mail]` with `smtp` and `from`".to_owned();
        ctx.missing(&notify.spot, message, help);
    }
    for chart in project.dashboards.values().flat_map(|it| &it.charts) {
        let from = chart.from.text.to_lowercase();
        links.find(ctx, &from, &chart.from.spot);
    }
    for (name, of_test) in tests {
        resolve_test(ctx, &links, project, &name, of_test);
    }
    report_circles(ctx, project);
}

/// Looks up what `reader` reads.
fn find_all(
    ctx: &mut LoadCtx<'_>,
    links: &Links,
    reader: &Name,
    reads: &[Read],
) -> (Vec<Name>, Vec<String>) {
    let (mut ours, mut beside) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for read in reads {
        match links.find(ctx, &read.name, &read.spot) {
            Some(_) if !seen.insert(&read.name) => {}
            Some(Target::Ours(name)) => ours.push(name),
            Some(Target::Beside(name)) => beside.push(name),
            None => ctx.distrust(reader),
        }
    }
    (ours, beside)
}

/// Looks up what a check of a table reads.
fn find_checked(ctx: &mut LoadCtx<'_>, links: &Links, word: &Word) {
    if let Some(Target::Beside(name)) = links.find(ctx, &word.text, &word.spot)
        && name.starts_with("system.")
    {
        let help = "a check reads streams, lookups, tables and their dead letters".to_owned();
        ctx.faults.push(word.fault(format!("a check cannot read `{name}`"), Some(help)));
    }
}

/// Looks up what starts tables.
fn find_starts(ctx: &mut LoadCtx<'_>, links: &Links, project: &mut Project) {
    for table in project.tables.values_mut() {
        match &mut table.batch.starts {
            Some(Starts::After(words)) => {
                for word in words.iter() {
                    find_after(ctx, links, &table.name, word);
                }
            }
            Some(Starts::NewObject(object)) => {
                let bucket = &object.bucket;
                if links.section(&bucket.text) != Some("bucket") {
                    let help = match nearest(&bucket.text, links.names_of(&["bucket"])) {
                        Some(right) => format!("did you mean `new object in {right}`?"),
                        None => format!("declare it: `[bucket.{bucket}]` with `from = \"FOLDER\"`"),
                    };
                    ctx.missing(&bucket.spot, format!("there is no bucket `{bucket}`"), help);
                }
                let mut doors = project.streams.values().flat_map(|it| &it.from);
                object.is_read = doors.any(|it| batch::reads_bucket(it, &bucket.text));
            }
            _ => {}
        }
    }
    report_waits(ctx, project);
}

fn find_after(ctx: &mut LoadCtx<'_>, links: &Links, table: &Name, word: &Word) {
    if word.text == table.as_str() {
        let help = "name the tables whose runs come before".to_owned();
        ctx.faults.push(word.fault(format!("`{table}` cannot run after itself"), Some(help)));
    } else if links.section(&word.text) != Some("table") {
        let help = match nearest(&word.text, links.names_of(&["table"])) {
            Some(right) => format!("did you mean `{right}`?"),
            None => "`after` names tables that are recomputed".to_owned(),
        };
        ctx.missing(&word.spot, format!("there is no table `{word}`"), help);
    }
}

/// Faults tables that wait for each other's runs in a circle.
fn report_waits(ctx: &mut LoadCtx<'_>, project: &Project) {
    for (name, table) in &project.tables {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let waits_for = table.batch.waits_for().iter();
        let mut open: Vec<&Word> = waits_for.filter(|it| it.text != name.as_str()).collect();
        while let Some(word) = open.pop() {
            if word.text == name.as_str() {
                let help = "one of them must be started by something else".to_owned();
                let message = format!("`{name}` runs after itself, by way of others");
                ctx.faults.push(table.spot.fault(message, Some(help)));
                break;
            }
            if seen.insert(&word.text)
                && let Some(next) = project.tables.get(word.as_str())
            {
                open.extend(next.batch.waits_for());
            }
        }
    }
}

fn find_notify(ctx: &mut LoadCtx<'_>, links: &Links, of_alert: &AlertLinks) -> Vec<Name> {
    let mut found = Vec::new();
    for word in &of_alert.notify {
        match Name::new(&word.text) {
            Ok(name) if links.section(&name) == Some("notify") => found.push(name),
            _ => {
                let help = match nearest(&word.text, links.names_of(&["notify"])) {
                    Some(right) => format!("did you mean `{right}`?"),
                    None => format!("declare it: `[notify.{}]`", word.text),
                };
                ctx.missing(&word.spot, format!("there is no notify `{}`", word.text), help);
            }
        }
    }
    found
}

fn resolve_test(
    ctx: &mut LoadCtx<'_>,
    links: &Links,
    project: &mut Project,
    name: &Name,
    of_test: TestLinks,
) {
    let Some(test) = project.tests.get_mut(name) else { return };
    for (word, lines) in of_test.given {
        let section = links.section(&word.text);
        if !matches!(section, Some("stream" | "lookup")) {
            let help = match nearest(&word.text, links.names_of(&["stream", "lookup"])) {
                Some(right) => format!("did you mean `{right}`?"),
                None => "records are given to streams, rows to lookups".to_owned(),
            };
            let message = format!("there is no stream or lookup `{}`", word.text);
            ctx.missing(&word.spot, message, help);
            continue;
        }
        let stream = project.streams.get(word.text.as_str());
        let takes_json = stream.is_none_or(|it| it.format == crate::stream::Format::Json);
        if takes_json {
            check_lines(ctx, &lines, section == Some("stream"));
        }
        if let Ok(name) = Name::new(&word.text) {
            test.given.insert(name, lines);
        }
    }
    for (word, lines) in of_test.expect {
        let is_alert = links.section(&word.text) == Some("alert");
        check_lines(ctx, &lines, false);
        if is_alert || links.find(ctx, &word.text, &word.spot).is_some() {
            test.expect.insert(word.text, lines);
        }
    }
}

/// Checks that each line is a JSON object; what is given to a stream may be broken on purpose.
fn check_lines(ctx: &mut LoadCtx<'_>, lines: &[Line], may_be_broken: bool) {
    for (spot, why) in lines.iter().filter_map(Line::why_no_object) {
        let message = format!("this line is no JSON object: {why}");
        if may_be_broken {
            let help = "it will become a dead letter".to_owned();
            ctx.warnings.push(spot.warning(message, Some(help)));
        } else {
            let help = "write one JSON object a line: `{\"column\": \"value\"}`".to_owned();
            ctx.faults.push(spot.fault(message, Some(help)));
        }
    }
}

fn report_circles(ctx: &mut LoadCtx<'_>, project: &Project) {
    for circle in graph::circles(&project.tables) {
        let Some(table) = circle.first().and_then(|it| project.tables.get(it)) else { continue };
        let names: Vec<String> =
            circle.iter().chain(circle.first()).map(|it| format!("`{it}`")).collect();
        let message = match circle.as_slice() {
            [one] => format!("`{one}` reads itself"),
            _ => format!("tables read each other in a circle: {}", names.join(" reads ")),
        };
        let help = "one of them must read something else".to_owned();
        ctx.faults.push(table.sql.spot().fault(message, Some(help)));
        ctx.unsound.extend(circle);
    }
}
