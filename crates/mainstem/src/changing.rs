//! What SQL changes: files in buckets, and tables that are files of the project from then on.
//!
//! `CREATE TABLE name AS SELECT …` writes `tables/name.sql`, checks the project with it as
//! `mainstem check` does, and applies it as `mainstem apply` does. The file says in its first line that
//! SQL made it, with a sum of the rest: SQL replaces and removes it only as long as nobody edited it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use base::Kind;
use query::{Answer, Asker, Changes, FileTarget, NewTable, SqlError};
use show::{Change, ChangeAction, ChangeItem};
use spec::{Faults, Texts};

use crate::compile::{Compiled, compile_texts};
use crate::exporting::{self, sql_error};
use crate::pipeline::Pipeline;

mod file;

/// See the module. Clones change the same.
#[derive(Clone)]
pub(crate) struct Changing {
    pipeline: Arc<Pipeline>,
    /// The folder that the project was read from.
    dir: PathBuf,
}

/// A project as it would be, by the texts of its files.
struct Wanted {
    /// The file that differs, and its text; none if it goes.
    path: String,
    text: Option<String>,
    files: BTreeMap<String, String>,
    env: Option<String>,
}

impl Changing {
    pub(crate) fn new(pipeline: &Arc<Pipeline>, dir: &Path) -> anyhow::Result<Changing> {
        let dir = dir.canonicalize().with_context(|| format!("cannot find {}", dir.display()))?;
        Ok(Changing { pipeline: Arc::clone(pipeline), dir })
    }

    /// Returns the files of the folder, which must be those that run.
    async fn files(&self) -> Result<(BTreeMap<String, String>, Option<String>), SqlError> {
        let dir = self.dir.clone();
        let texts = tokio::task::spawn_blocking(move || Texts::read(&dir)).await;
        let texts = texts.map_err(|error| failed(&error.into()))?;
        let running = self.pipeline.projects.running().map_err(|error| failed(&error))?;
        let running = running.unwrap_or_default();
        if *texts.files() == running.files {
            return Ok((running.files, running.env));
        }
        let dir = self.dir.display();
        let message = format!("the project in {dir} was edited, and what it says does not run");
        let help = format!("`mainstem apply {dir}` first, or undo the edits");
        Err(sql_error(Kind::Conflict, "55000", message, Some(help)))
    }

    async fn create(&self, asker: &str, table: &NewTable) -> Result<String, SqlError> {
        let turn = self.pipeline.turn_when_free().await;
        let (mut files, env) = self.files().await?;
        let name = &table.name;
        let path = file::path_of(name);
        if self.is_taken(name) {
            if table.if_not_exists {
                return Ok(format!("`{name}` already exists, and stays as it is"));
            }
            let text = files.get(&path).map(String::as_str);
            if !table.or_replace || !text.is_some_and(file::is_ours) {
                return Err(taken(name, &path, text));
            }
        } else if files.contains_key(&path) {
            return Err(taken(name, &path, None));
        }
        let text = file::text_of(asker, table);
        files.insert(path.clone(), text.clone());
        let wanted = Wanted { path, text: Some(text), files, env };
        let compiled = self
            .compile(&wanted)
            .await
            .map_err(|faults| fault_of(&faults, &wanted, &table.select))?;
        let change = self.pipeline.compare(&compiled);
        check(&change, std::slice::from_ref(name))?;
        self.apply(turn, compiled, &change, &[&wanted]).await?;
        let path = &wanted.path;
        let is_new = |it: &&ChangeItem| it.kind == "table" && it.action == ChangeAction::New;
        let made = change.items.iter().filter(is_new).find(|it| it.name == *name);
        let how = made.and_then(|it| it.details.first()).map(|it| format!(": {it}"));
        Ok(format!("`{name}` is a table of the project, in {path}{}", how.unwrap_or_default()))
    }

    async fn drop_all(&self, names: &[String], if_exists: bool) -> Result<String, SqlError> {
        let turn = self.pipeline.turn_when_free().await;
        let (mut files, env) = self.files().await?;
        let (mut paths, mut missing) = (Vec::new(), Vec::new());
        for name in names {
            let path = file::path_of(name);
            if !self.is_taken(name) && if_exists {
                missing.push(format!("`{name}` does not exist"));
                continue;
            }
            if !self.is_taken(name) {
                let message = format!("table `{name}` not found");
                return Err(sql_error(Kind::Missing, "42P01", message, None));
            }
            if !files.get(&path).is_some_and(|it| file::is_ours(it)) {
                return Err(not_ours(name, &path, files.get(&path).map(String::as_str)));
            }
            files.remove(&path);
            paths.push(path);
        }
        if paths.is_empty() {
            return Ok(missing.join("; "));
        }
        let gone: Vec<Wanted> = paths
            .into_iter()
            .map(|path| Wanted { path, text: None, files: files.clone(), env: env.clone() })
            .collect();
        let gone: Vec<&Wanted> = gone.iter().collect();
        let Some(first) = gone.first() else { return Ok(String::new()) };
        let compiled = self.compile(first).await.map_err(|faults| still_read(names, &faults))?;
        let change = self.pipeline.compare(&compiled);
        check(&change, names)?;
        self.apply(turn, compiled, &change, &gone).await?;
        Ok(missing.join("; "))
    }

    fn is_taken(&self, name: &str) -> bool {
        let running = self.pipeline.now();
        let project = &running.project;
        project.tables.contains_key(name)
            || project.streams.contains_key(name)
            || project.awaited.contains_key(name)
            || project.lookups.contains_key(name)
            || project.buckets.contains_key(name)
    }

    async fn compile(&self, wanted: &Wanted) -> Result<Compiled, Faults> {
        let texts = Texts::from(wanted.files.clone());
        compile_texts(&self.dir, texts, wanted.env.as_deref(), true).await
    }

    /// Writes the files that differ and changes the running project into the new one. The files come
    /// first: whatever ends the program then, the next start runs what they say.
    async fn apply(
        &self,
        turn: tokio::sync::OwnedMutexGuard<()>,
        compiled: Compiled,
        change: &Change,
        wanted: &[&Wanted],
    ) -> Result<(), SqlError> {
        let mut done = Vec::new();
        for it in wanted {
            let before = file::replace(&self.dir, &it.path, it.text.as_deref());
            match before {
                Ok(before) => done.push((it.path.clone(), before)),
                Err(error) => {
                    self.put_back(done);
                    let message = format!("the project's folder cannot be written: {error:#}");
                    let help = format!("let the program write into {}", self.dir.display());
                    return Err(sql_error(Kind::Unavailable, "58030", message, Some(help)));
                }
            }
        }
        let applied = self.pipeline.apply_in_turn(turn, compiled, change).await;
        applied.map_err(|error| {
            self.put_back(done);
            let message =
                format!("the project cannot be changed, and the one before runs on: {error:#}");
            sql_error(Kind::Unavailable, "58000", message, None)
        })
    }

    /// Puts files back as they were.
    fn put_back(&self, files: Vec<(String, Option<String>)>) {
        for (path, text) in files.into_iter().rev() {
            if let Err(error) = file::replace(&self.dir, &path, text.as_deref()) {
                tracing::error!(
                    path,
                    error = format!("{error:#}"),
                    "a file of the project cannot be put back"
                );
            }
        }
    }
}

#[async_trait]
impl Changes for Changing {
    async fn check_file(&self, target: &FileTarget) -> Result<(), SqlError> {
        exporting::check(&self.pipeline.inlet, target)
    }

    async fn write_file(&self, target: &FileTarget, answer: Answer) -> Result<u64, SqlError> {
        exporting::write(&self.pipeline.inlet, target, answer).await
    }

    async fn create_table(&self, asker: &Asker, table: NewTable) -> Result<String, SqlError> {
        let (changing, asker) = (self.clone(), asker.name().to_owned());
        // On a task of its own: a client that goes leaves no half of it.
        let making = base::task::spawn("create a table", async move {
            Box::pin(changing.create(&asker, &table)).await
        });
        making.await.unwrap_or_else(|error| Err(failed(&error.into())))
    }

    async fn drop_tables(&self, names: Vec<String>, if_exists: bool) -> Result<String, SqlError> {
        let changing = self.clone();
        let dropping = base::task::spawn("drop tables", async move {
            Box::pin(changing.drop_all(&names, if_exists)).await
        });
        dropping.await.unwrap_or_else(|error| Err(failed(&error.into())))
    }
}

/// Returns an error if the change cannot be, or readers of other tables could trip over it.
fn check(change: &Change, meant: &[String]) -> Result<(), SqlError> {
    if let Some(reason) = change.refused.first() {
        return Err(sql_error(Kind::Invalid, "55000", reason.clone(), None));
    }
    let is_meant =
        |what: &&String| meant.iter().any(|name| what.contains(&format!("table `{name}`")));
    match change.breaking.iter().find(|it| !is_meant(it)) {
        None => Ok(()),
        Some(what) => {
            let message = format!("readers outside could trip over it: {what}");
            let help = "edit the project's files, and `mainstem apply --breaking`".to_owned();
            Err(sql_error(Kind::Conflict, "2BP01", message, Some(help)))
        }
    }
}

fn taken(name: &str, path: &str, text: Option<&str>) -> SqlError {
    let help = match text {
        Some(text) if file::is_ours(text) => {
            "`CREATE OR REPLACE TABLE` takes its place; or choose another name".to_owned()
        }
        Some(text) if file::was_ours(text) => {
            format!("{path} was edited since SQL made it: edit it there, or choose another name")
        }
        _ => "the project's files declare it: change it there, or choose another name".to_owned(),
    };
    sql_error(Kind::Conflict, "42P07", format!("`{name}` already exists"), Some(help))
}

fn not_ours(name: &str, path: &str, text: Option<&str>) -> SqlError {
    let help = if text.is_some_and(file::was_ours) {
        format!("{path} was edited since SQL made it: remove the file, and `mainstem apply`")
    } else {
        "remove it from the project's files, and `mainstem apply`".to_owned()
    };
    let message = format!("`{name}` was not made by CREATE TABLE, so SQL does not drop it");
    sql_error(Kind::Invalid, "42809", message, Some(help))
}

/// Says the first fault of the new table, at its place in the SELECT.
fn fault_of(faults: &Faults, wanted: &Wanted, select: &str) -> SqlError {
    let mut all = faults.iter();
    let own = faults.iter().find(|it| it.file() == wanted.path);
    let Some(fault) = own.or_else(|| all.next()) else {
        return sql_error(Kind::Invalid, "42P17", "the project has faults".to_owned(), None);
    };
    let text = wanted.text.as_deref().unwrap_or_default();
    let start = text.rfind(select).unwrap_or_default();
    let at = fault.range();
    let is_within = own.is_some() && start <= at.start && at.end <= start + select.len();
    let range = is_within.then(|| at.start - start..at.end - start);
    let message = if own.is_some() {
        fault.message().to_owned()
    } else {
        format!("{}: {}", fault.file(), fault.message())
    };
    let help = fault.help().map(str::to_owned);
    SqlError { range, ..sql_error(Kind::Invalid, "42P17", message, help) }
}

/// Says who still reads tables that are to go.
fn still_read(names: &[String], faults: &Faults) -> SqlError {
    let names: Vec<String> = names.iter().map(|it| format!("`{it}`")).collect();
    let message = format!("cannot drop {}: something of the project reads it", names.join(", "));
    let first = faults.iter().next();
    let help = first.map(|it| format!("{}: {}", it.file(), it.message()));
    sql_error(Kind::Conflict, "2BP01", message, help)
}

fn failed(error: &anyhow::Error) -> SqlError {
    sql_error(Kind::Bug, "XX000", format!("{error:#}"), None)
}
