//! A folder becomes a project, or all that is wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use base::{Name, nearest};
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use crate::ctx::{Declared, LoadCtx};
use crate::document::{self, Value};
use crate::fault::Faults;
use crate::files::{self, Role};
use crate::graph;
use crate::link::{self, Links};
use crate::names;
use crate::project::{Project, ProjectOptions};
use crate::source::{SourceFile, Sources};
use crate::sql::{SqlText, extent};
use crate::{alert, bucket, dashboard, key, lookup, mail, rest, stream, table, test};

/// Reads the project in `folder`, with the overlays of `env`; secrets come from `secrets` by
/// their name. All faults come together, sorted by file and place.
pub fn load(
    folder: &Path,
    env: Option<&str>,
    secrets: &dyn Fn(&str) -> Option<String>,
) -> Result<Project, Faults> {
    load_sound(folder, env, secrets).whole()
}

/// What of a project can be trusted, and all that is wrong with the rest.
#[derive(Debug, Clone, Default)]
pub struct Sound {
    /// The project without what is faulty and without what reads that.
    pub project: Project,
    /// The faults, sorted by file and place; with the warnings, if there are errors.
    pub faults: Faults,
}

impl Sound {
    /// Returns the project if nothing is wrong with it.
    ///
    /// # Errors
    /// All that is.
    pub fn whole(self) -> Result<Project, Faults> {
        if self.faults.is_empty() { Ok(self.project) } else { Err(self.faults) }
    }
}

/// The texts of a project's files by their paths, as they were read at one moment.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    files: BTreeMap<String, String>,
    /// What could not be read.
    faults: Faults,
}

impl Texts {
    /// Reads the project files in `folder`.
    pub fn read(folder: &Path) -> Texts {
        let mut faults = Faults::default();
        let files = files::read(folder, &mut faults);
        Texts { files: files.into_iter().map(|it| (it.path, it.text)).collect(), faults }
    }

    /// Returns the texts by their paths.
    pub fn files(&self) -> &BTreeMap<String, String> {
        &self.files
    }
}

impl From<BTreeMap<String, String>> for Texts {
    fn from(files: BTreeMap<String, String>) -> Texts {
        Texts { files, faults: Faults::default() }
    }
}

/// Returns something that differs after a project file in `folder` was written, without reading
/// any.
pub fn stamp(folder: &Path) -> Vec<(String, u64, Option<SystemTime>)> {
    files::stamp(folder)
}

/// Reads the project in `folder` as [`load`] does, and returns what is sound of it even if there
/// are faults, so that whoever looks deeper can tell all faults at once.
pub fn load_sound(
    folder: &Path,
    env: Option<&str>,
    secrets: &dyn Fn(&str) -> Option<String>,
) -> Sound {
    load_sound_texts(folder, Texts::read(folder), env, secrets)
}

/// As [`load_sound`], with texts that were read before; data files are still those of `folder`.
pub fn load_sound_texts(
    folder: &Path,
    texts: Texts,
    env: Option<&str>,
    secrets: &dyn Fn(&str) -> Option<String>,
) -> Sound {
    let Texts { files, mut faults } = texts;
    let files: Vec<SourceFile> =
        files.into_iter().map(|(path, text)| SourceFile { path, text }).collect();
    if files.is_empty() && faults.is_empty() {
        let message = "there are no project files (`*.toml`, `*.sql`) in this folder";
        let help = "name the folder of a project, or make one: `mainstem new shop`".to_owned();
        let spot = crate::source::Spot::outside(&folder.display().to_string(), "");
        faults.push(spot.fault(message, Some(help)));
    }
    let head = |path: &str| files::head(folder, path);
    let given = folder.file_name().and_then(|it| it.to_str()).unwrap_or("project");
    let mut sound = assemble(files, env, faults, (secrets, &head));
    if sound.project.name.is_empty() {
        given.clone_into(&mut sound.project.name);
    }
    folder.clone_into(&mut sound.project.folder);
    sound
}

/// Reads a project from texts, each with its path: for tests, and for editors that have not saved
/// yet. A lookup's file is one of them.
pub fn load_texts(
    files: &[(&str, &str)],
    env: Option<&str>,
    secrets: &dyn Fn(&str) -> Option<String>,
) -> Result<Project, Faults> {
    let head = |path: &str| {
        let found = files.iter().find(|(it, _)| *it == path);
        found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| "there is no such file".to_owned())
    };
    let mut ours: Vec<SourceFile> = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| files::role(path, env).is_some()) {
        ours.push(SourceFile { path: (*path).to_owned(), text: (*text).to_owned() });
    }
    ours.sort_by(|one, other| one.path.cmp(&other.path));
    let mut project = assemble(ours, env, Faults::default(), (secrets, &head)).whole()?;
    if project.name.is_empty() {
        "project".clone_into(&mut project.name);
    }
    Ok(project)
}

type Secrets<'a> = &'a dyn Fn(&str) -> Option<String>;
type Head<'a> = &'a dyn Fn(&str) -> Result<String, String>;

fn assemble(
    files: Vec<SourceFile>,
    env: Option<&str>,
    faults: Faults,
    (secrets, head): (Secrets<'_>, Head<'_>),
) -> Sound {
    let mut sources = Sources::default();
    let mut roles = Vec::new();
    let role = |file: &SourceFile| files::role(&file.path, env);
    // Overlays come last, so that what they add comes after what is there.
    let (over, below): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|it| role(it) == Some(Role::Overlay));
    for file in below.into_iter().chain(over) {
        if let Some(role) = role(&file) {
            let path = file.path.clone();
            roles.push((role, path, sources.add(file)));
        }
    }
    let sources = Arc::new(sources);
    let warnings = Faults::default();
    let is_whole = faults.is_empty();
    let mut ctx = LoadCtx {
        sources: Arc::clone(&sources),
        faults,
        warnings,
        secrets,
        head,
        is_whole,
        broken: BTreeSet::new(),
        unsound: BTreeSet::new(),
    };
    check_env(&mut ctx, env, &roles);
    let trees = read_trees(&mut ctx, &sources, &roles);
    let sql_files = read_sql_files(&mut ctx, &sources, &roles);
    ctx.is_whole = ctx.faults.is_empty();
    for path in ctx.faults.iter().map(crate::fault::Fault::file) {
        ctx.broken.extend([path.to_owned()].into_iter().chain(files::below(path)));
    }

    let mut reader = Reader {
        found: Vec::new(),
        project: Project::default(),
        links: Links::default(),
        project_at: None,
    };
    reader.project.env = env.map(str::to_owned);
    for (section, value) in trees.into_iter().flatten() {
        reader.section(&mut ctx, &section, value);
    }
    // The first in the files keeps a name that is given twice.
    let mut found = stream::infer::join(&mut ctx, std::mem::take(&mut reader.found));
    found.sort_by_key(|(_, declared, _)| declared.range.start);
    for (section, declared, value) in found {
        reader.named(&mut ctx, &section, declared, value);
    }
    for (declared, settings, sql) in sql_files {
        reader.table(&mut ctx, declared, settings, Some(sql));
    }
    let Reader { mut project, links, .. } = reader;
    link::resolve(&mut ctx, &mut project, links);
    let LoadCtx { mut faults, mut warnings, unsound, .. } = ctx;
    warnings.settle();
    let awaited = project.streams.iter().filter(|(_, it)| it.infers && it.columns.is_empty());
    project.awaited = awaited.map(|(name, it)| (name.clone(), it.clone())).collect();
    if faults.is_empty() {
        if !project.awaited.is_empty() {
            keep_sound(&mut project, unsound);
        }
        project.warnings = warnings;
        return Sound { project, faults };
    }
    faults.merge(warnings);
    faults.settle();
    keep_sound(&mut project, unsound);
    Sound { project, faults }
}

/// Takes out what is unsound, and all that reads it.
fn keep_sound(project: &mut Project, mut unsound: BTreeSet<Name>) {
    let reads_one = |unsound: &BTreeSet<Name>, reads: &[Name], beside: &[String]| {
        reads.iter().any(|it| unsound.contains(it))
            || beside.iter().filter_map(|it| graph::owner(it)).any(|it| unsound.contains(&it))
    };
    loop {
        let before = unsound.len();
        let tables = project.tables.values();
        let more = tables.filter(|it| reads_one(&unsound, &it.reads, &it.reads_beside));
        let more: Vec<Name> = more.map(|it| it.name.clone()).collect();
        unsound.extend(more);
        if unsound.len() == before {
            break;
        }
    }
    project.streams.retain(|name, _| !unsound.contains(name));
    project.buckets.retain(|name, _| !unsound.contains(name));
    project.lookups.retain(|name, _| !unsound.contains(name));
    project.tables.retain(|name, _| !unsound.contains(name));
    project.alerts.retain(|name, it| {
        !unsound.contains(name) && !reads_one(&unsound, &it.reads, &it.reads_beside)
    });
}

type File = (Role, String, usize);
type Section<'i> = (Spanned<std::borrow::Cow<'i, str>>, Value<'i>);

/// Warns where an environment has no file, or a file no environment.
fn check_env(ctx: &mut LoadCtx<'_>, env: Option<&str>, files: &[File]) {
    let overlays = || files.iter().filter(|(role, ..)| *role == Role::OtherOverlay);
    for (_, path, start) in overlays() {
        let below = files::below(path).unwrap_or_default();
        if !files.iter().any(|(_, it, _)| *it == below) {
            let env = path.trim_end_matches(".toml").rsplit('.').next().unwrap_or_default();
            let message = format!("read only with `--env {env}`, and there is no `{below}`");
            let help = "a file named NAME.ENV.toml overlays NAME.toml; rename it if it should not";
            let fault = ctx.spot(&(*start..*start)).warning(message, Some(help.to_owned()));
            ctx.warnings.push(fault);
        }
    }
    let Some(env) = env else { return };
    if !files.iter().any(|(role, ..)| *role == Role::Overlay) {
        let known: Vec<&str> = overlays()
            .filter_map(|(_, path, _)| path.trim_end_matches(".toml").rsplit('.').next())
            .collect();
        let help = match nearest(env, known.iter().copied()) {
            Some(name) => format!("did you mean `--env {name}`?"),
            None => format!("settings for it go into `mainstem.{env}.toml`"),
        };
        let spot = ctx.spot(&(0..0));
        ctx.warnings
            .push(spot.warning(format!("no file is for the environment `{env}`"), Some(help)));
    }
}

/// Returns the sections of each file, overlays laid over.
fn read_trees<'i>(
    ctx: &mut LoadCtx<'_>,
    sources: &'i Sources,
    files: &[File],
) -> Vec<Vec<Section<'i>>> {
    let mut trees: BTreeMap<String, DeTable<'i>> = BTreeMap::new();
    let mut read = |role: Role| {
        for (_, path, start) in files.iter().filter(|(it, ..)| *it == role) {
            let text = sources.whole_text(*start);
            let tree = document::parse(text, *start, sources, &mut ctx.faults);
            let below =
                files::below(path).filter(|it| role == Role::Overlay && trees.contains_key(it));
            match below.and_then(|it| trees.get_mut(&it)) {
                Some(below) => document::overlay(below, tree),
                None => {
                    trees.insert(path.clone(), tree);
                }
            }
        }
    };
    read(Role::Settings);
    read(Role::Overlay);
    trees.into_values().map(|it| it.into_iter().collect()).collect()
}

/// Returns each SQL file as the table it declares: its name, its settings, its SELECT.
fn read_sql_files<'i>(
    ctx: &mut LoadCtx<'_>,
    sources: &'i Sources,
    files: &[File],
) -> Vec<(Declared, Value<'i>, SqlText)> {
    let mut tables = Vec::new();
    for (_, path, start) in files.iter().filter(|(role, ..)| *role == Role::Sql) {
        let start = *start;
        let text = sources.whole_text(start);
        let comment = settings_comment(text);
        let settings = comment.clone().unwrap_or(0..0);
        let inside = text.get(settings.clone()).unwrap_or_default();
        let before = ctx.faults.len();
        let tree = document::parse(inside, start + settings.start, sources, &mut ctx.faults);
        if before < ctx.faults.len() && is_within_text(inside) {
            let help = "write the steps of a `cron` as `0-59/10`, or the settings of this table \
                        into a .toml file";
            let range = start + settings.end..start + settings.end + 2;
            ctx.faults.truncate(before);
            ctx.fault(&range, "this ends the comment, within a text", Some(help.to_owned()));
            continue;
        }
        if before < ctx.faults.len() && tree.is_empty() {
            let help = "the first block comment holds the table's settings in TOML; write prose \
                        with `--`, or as `description = \"…\"`";
            let range = start + settings.start..start + settings.end;
            ctx.faults.truncate(before);
            ctx.fault(&range, "this comment holds no settings", Some(help.to_owned()));
        }
        let sql_start = comment.map_or(0, |it| it.end + 2).min(text.len());
        let sql = text.get(sql_start..).unwrap_or_default();
        let extent = extent(sql);
        let range = start + sql_start + extent.start..start + sql_start + extent.end;
        let sql =
            SqlText::new(sql.get(extent).unwrap_or_default().to_owned(), ctx.spot(&range), true);
        let stem = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".sql");
        match names::check(stem) {
            Err((message, help)) => {
                ctx.fault(&(start..start), message, Some(format!("rename the file: {help}")));
            }
            Ok(name) => {
                let range = start..start;
                let declared = Declared { name, spot: ctx.spot(&range), range };
                let range = start + settings.start..start + settings.end;
                tables.push((declared, Spanned::new(range, DeValue::Table(tree)), sql));
            }
        }
    }
    tables
}

/// Returns what stands in the block comment before the SELECT.
fn settings_comment(text: &str) -> Option<std::ops::Range<usize>> {
    let mut at = 0;
    loop {
        let rest = text.get(at..)?;
        let trimmed = rest.trim_start_matches(|it: char| it.is_whitespace() || it == '\u{feff}');
        at += rest.len() - trimmed.len();
        if trimmed.starts_with("--") {
            at += trimmed.find('\n')?;
        } else {
            let inside = trimmed.strip_prefix("/*")?;
            return comment_end(inside).map(|end| at + 2..at + 2 + end);
        }
    }
}

/// Returns whether a text in quotes is open at the end.
fn is_within_text(inside: &str) -> bool {
    let mut open = None;
    for sign in inside.lines().last().unwrap_or_default().chars().filter(|it| "\"'".contains(*it)) {
        open = match open {
            None => Some(sign),
            Some(opened) if opened == sign => None,
            Some(_) => open,
        };
    }
    open.is_some()
}

/// Returns where the comment ends; comments nest, as they do in SQL.
fn comment_end(inside: &str) -> Option<usize> {
    let mut depth = 1;
    let mut at = 0;
    while let Some(rest) = inside.get(at..) {
        let next = rest.find(['*', '/'])?;
        at += next;
        let sign = inside.get(at..)?;
        if sign.starts_with("*/") {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
            at += 2;
        } else if sign.starts_with("/*") {
            depth += 1;
            at += 2;
        } else {
            at += 1;
        }
    }
    None
}

/// The project as far as it is read.
struct Reader<'i> {
    /// The sections with names, not yet read.
    found: Vec<(String, Declared, Value<'i>)>,
    project: Project,
    links: Links,
    project_at: Option<crate::source::Spot>,
}

const NAMED: &[&str] =
    &["stream", "bucket", "lookup", "table", "alert", "notify", "dashboard", "test"];
/// Words of the language that this version cannot act on.
const LATER: &[&str] = &["report", "model", "function"];

impl<'i> Reader<'i> {
    fn section(
        &mut self,
        ctx: &mut LoadCtx<'_>,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: Value<'i>,
    ) {
        let section = key.get_ref().as_ref();
        let range = key.span();
        if section == "project" {
            return self.project_section(ctx, &range, value);
        }
        if LATER.contains(&section) {
            let message = format!("`{section}` is not available yet");
            let help = "this version knows project, stream, bucket, lookup, table, alert, \
                        notify, dashboard and test";
            return ctx.fault(&range, message, Some(help.to_owned()));
        }
        if !NAMED.contains(&section) {
            let known = NAMED.iter().copied().chain(["project"]).chain(LATER.iter().copied());
            let help = match nearest(section, known) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "the sections are project, stream, bucket, lookup, table, alert, notify, \
                         dashboard and test"
                    .to_owned(),
            };
            return ctx.fault(&range, format!("unknown section `{section}`"), Some(help));
        }
        let at = value.span();
        let help = format!("write `[{section}.NAME]`, then its settings");
        let DeValue::Table(named) = value.into_inner() else {
            return ctx.fault(&at, format!("`{section}` needs a name"), Some(help));
        };
        for (name, value) in named {
            let range = name.span();
            if !matches!(value.get_ref(), DeValue::Table(_)) {
                let message = format!("`{}` is no `{section}`", name.get_ref());
                ctx.fault(&range, message, Some(help.clone()));
                continue;
            }
            let rule = if section == "test" { names::check_test } else { names::check };
            match rule(name.get_ref()) {
                Err((message, help)) => ctx.fault(&range, message, Some(help)),
                Ok(name) => {
                    let declared = Declared { name, spot: ctx.spot(&range), range };
                    self.found.push((section.to_owned(), declared, value));
                }
            }
        }
    }

    fn project_section(
        &mut self,
        ctx: &mut LoadCtx<'_>,
        range: &std::ops::Range<usize>,
        value: Value<'_>,
    ) {
        let spot = ctx.spot(range);
        if let Some(first) = &self.project_at {
            let (line, column) = first.line_and_column();
            let help = format!("keep one; the first is at {}:{line}:{column}", first.file.path);
            return ctx.fault(range, "a second `project` section", Some(help));
        }
        if !matches!(value.get_ref(), DeValue::Table(_)) {
            let help = "write `[project]`, then `name = \"…\"`".to_owned();
            return ctx.fault(range, "`project` is a section", Some(help));
        }
        self.project_at = Some(spot.clone());
        let options: ProjectOptions = ctx.read(value);
        self.project.name = options.name.unwrap_or_default();
        self.project.description = options.description;
        self.project.owner = options.owner;
        self.project.flush = ctx.span(options.flush, "flush");
        self.project.memory = options.memory.map(|it| it.value.0);
        self.project.upkeep = rest::read_upkeep(ctx, options.upkeep);
        self.project.time_zone = options.time_zone.map(|it| ctx.word(&it));
        if let Some(said) = options.runs_max.as_ref().filter(|it| it.value == 0) {
            let help = "at least 1, or leave it out".to_owned();
            ctx.fault(&said.range, "with `runs_max = 0` nothing would ever run", Some(help));
        }
        self.project.runs_max = options.runs_max.map(|it| it.value);
        self.project.keys = key::read(ctx, options.keys);
        self.project.client_limit = options.client_limit.map(|it| it.read(ctx)).unwrap_or_default();
        self.links.says_mail = options.mail.is_some();
        self.project.mail = options.mail.and_then(|it| mail::read(ctx, &spot, it));
    }

    fn named(
        &mut self,
        ctx: &mut LoadCtx<'_>,
        section: &str,
        declared: Declared,
        value: Value<'_>,
    ) {
        if section != "table" && !self.links.declare(ctx, section, &declared) {
            return;
        }
        let name = declared.name.clone();
        let project = &mut self.project;
        match section {
            "stream" => {
                project.streams.insert(name, stream::read(ctx, declared, value));
            }
            "bucket" => self.bucket(ctx, declared, value),
            "lookup" => {
                let before = ctx.faults.len();
                let is_broken = ctx.is_broken(&declared);
                let lookup = lookup::read(ctx, declared, value);
                if lookup.is_none() || is_broken || before < ctx.faults.len() {
                    ctx.distrust(&name);
                }
                project.lookups.extend(lookup.map(|it| (name, it)));
            }
            "table" => self.table(ctx, declared, value, None),
            "alert" => match alert::read(ctx, declared, value) {
                Some((alert, links)) => {
                    self.links.alerts.insert(name.clone(), links);
                    project.alerts.insert(name, alert);
                }
                None => ctx.distrust(&name),
            },
            "notify" => {
                project.notifies.insert(name, alert::read_notify(ctx, declared, value));
            }
            "dashboard" => {
                project.dashboards.insert(name, dashboard::read(ctx, declared, value));
            }
            _ => {
                let (test, links) = test::read(ctx, declared, value);
                self.links.tests.insert(name.clone(), links);
                project.tests.insert(name, test);
            }
        }
    }

    /// Takes over a bucket with the stream and the table that it brings along.
    fn bucket(&mut self, ctx: &mut LoadCtx<'_>, declared: Declared, value: Value<'_>) {
        let Some(bucket::Declares { bucket, events, objects }) = bucket::read(ctx, declared, value)
        else {
            return;
        };
        let ((events, stream), (objects, table, reads)) = (events, objects);
        if self.links.declare(ctx, "stream", &events) && self.links.declare(ctx, "table", &objects)
        {
            self.project.streams.insert(events.name, stream);
            self.links.tables.insert(objects.name.clone(), reads);
            self.project.tables.insert(objects.name, table);
            self.project.buckets.insert(bucket.name.clone(), bucket);
        }
    }

    fn table(
        &mut self,
        ctx: &mut LoadCtx<'_>,
        declared: Declared,
        value: Value<'_>,
        sql: Option<SqlText>,
    ) {
        let name = declared.name.clone();
        if !self.links.declare(ctx, "table", &declared) {
            return;
        }
        match table::read(ctx, declared, value, sql) {
            Some((table, reads)) => {
                self.links.tables.insert(name.clone(), reads);
                self.project.tables.insert(name, table);
            }
            None => ctx.distrust(&name),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
