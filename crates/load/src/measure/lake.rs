//! What measurements of tables at rest share: files that came in through the door `files`, and the
//! same questions to the program and to DuckDB.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base::figure::Figure;
use serde_json::Value;

use super::{Folder, ROUNDS, Running, folder};
use crate::Ctx;
use crate::api::Api;
use crate::duck::Duck;
use crate::server::Server;

/// A stream that is read from a file.
pub(super) struct Stream<'a> {
    pub(super) name: &'static str,
    /// Columns with their types, a line each.
    pub(super) columns: &'static str,
    /// Other lines of its section.
    pub(super) more: &'a str,
    /// The file below the bucket.
    pub(super) file: String,
}

/// What bringing files in has cost.
pub(super) struct Filled {
    pub(super) rows: u64,
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) memory_mb: f64,
}

/// Writes a project whose streams read the files of a bucket.
fn write(folder: &Path, bucket: &Path, streams: &[Stream<'_>]) -> anyhow::Result<()> {
    let mut text = format!(
        "[project]\nname = \"lake\"\n\n[bucket.landing]\nfrom = '{}'\nevery = \"1 second\"\n",
        bucket.display()
    );
    for Stream { name, columns, more, file } in streams {
        writeln!(
            text,
            "\n[stream.{name}]\nfrom = [{{ door = \"files\", bucket = \"landing\", matching = \"{file}\" }}]\n{more}\n[stream.{name}.columns]\n{columns}"
        )?;
    }
    fs::create_dir_all(folder.join("project"))?;
    fs::write(folder.join("project/mainstem.toml"), text).context("cannot write the project")
}

/// Brings files in through the door, until all of their rows are in Delta tables; the program is
/// started anew behind it, so that what follows is measured by itself.
pub(super) fn filled(
    ctx: &Ctx,
    bucket: &Path,
    streams: &[Stream<'_>],
    rows: u64,
) -> anyhow::Result<(Running, Filled)> {
    let folder = folder(ctx, "lake")?;
    write(&folder.0, &bucket.canonicalize()?, streams)?;
    let began = ctx.clock.elapsed();
    let server = started(ctx, &folder)?;
    settle(ctx, &server, streams, rows)?;
    let seconds = (ctx.clock.elapsed() - began).as_secs_f64();
    let memory_mb = server.memory_mb_max();
    let filled = Filled { rows, seconds, cpu_seconds: server.cpu_seconds(), memory_mb };
    server.stop()?;
    let server = started(ctx, &folder)?;
    Ok((Running { server, folder }, filled))
}

fn started(ctx: &Ctx, folder: &Folder) -> anyhow::Result<Server> {
    Server::of_project(ctx, &folder.0, &folder.0.join("project"))
}

/// How long files may take until all of their rows are stored.
const SETTLED_MAX: Duration = Duration::from_secs(1_200);

/// Waits until all rows are in Delta tables, none of them only in memory.
fn settle(ctx: &Ctx, server: &Server, streams: &[Stream<'_>], rows: u64) -> anyhow::Result<()> {
    let api = Api::of(ctx, &server.http);
    let names: Vec<String> = streams.iter().map(|it| format!("'{}'", it.name)).collect();
    let names = names.join(", ");
    let dead =
        format!("SELECT coalesce(sum(dead), 0) FROM system.conservation WHERE stream IN ({names})");
    let stored = format!(
        "SELECT coalesce(sum(stored), 0) FROM system.conservation WHERE stream IN ({names})"
    );
    let until = ctx.clock.elapsed() + SETTLED_MAX;
    loop {
        let found = api.sql(&stored)?;
        let hot = api.sql("SELECT sum(hot_rows) FROM system.epochs")?;
        // What lies in the bucket is told by a table in memory, an object a row.
        let objects = api.sql("SELECT count(*) FROM landing_objects")?;
        let both = hot.as_u64().zip(objects.as_u64());
        let is_stored = both.is_some_and(|(hot, objects)| hot <= objects);
        if found.as_u64() == Some(rows) && is_stored {
            return Ok(());
        }
        let dead = api.sql(&dead)?;
        ensure!(dead.as_u64() == Some(0), "{dead} rows are dead letters");
        ensure!(ctx.clock.elapsed() < until, "it does not settle: {found} of {rows}");
        // Asking costs the program time that counts.
        thread::sleep(Duration::from_millis(250));
    }
}

/// What the same questions took both sides, in milliseconds.
#[derive(Default)]
pub(super) struct Beside {
    names: Vec<String>,
    ours: Vec<f64>,
    theirs: Vec<f64>,
    pub(super) differ: Vec<String>,
}

impl Beside {
    /// Asks a question of both, in rounds; the best round counts. Returns our answer.
    pub(super) fn ask(
        &mut self,
        ctx: &Ctx,
        sides: (&Server, &mut Duck),
        name: &str,
        sql: &str,
    ) -> anyhow::Result<Value> {
        let (server, duck) = sides;
        let api = Api::of(ctx, &server.http);
        let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
        let mut answer = Value::Null;
        for _ in 0..ROUNDS {
            let began = ctx.clock.elapsed();
            answer = api.rows(sql).with_context(|| name.to_owned())?;
            ours = ours.min((ctx.clock.elapsed() - began).as_secs_f64() * 1e3);
            theirs = theirs.min(duck.run(sql)?.seconds * 1e3);
        }
        let difference = duck.compare(sql, &answer)?;
        if !difference.is_empty() {
            self.differ.push(format!("{name}: {difference}"));
        }
        eprintln!(
            "  {name}: {ours:.0} ms, DuckDB {theirs:.0} ms, {:.2} {difference}",
            ours / theirs
        );
        self.names.push(name.to_owned());
        self.ours.push(ours);
        self.theirs.push(theirs);
        Ok(answer)
    }

    /// A figure of all questions together, and one of memory; which were the slowest is told.
    pub(super) fn figures(
        &self,
        what: &str,
        goals: [&'static str; 2],
        memory_mb: (f64, f64),
    ) -> Vec<Figure> {
        let mut ratios: Vec<(f64, String)> = (self.names.iter().zip(&self.ours).zip(&self.theirs))
            .map(|((name, ours), theirs)| {
                (ours / theirs, format!("{name} {:.2} ({ours:.0} / {theirs:.0} ms)", ours / theirs))
            })
            .collect();
        let each: Vec<String> = ratios.iter().map(|it| it.1.clone()).collect();
        ratios.sort_by(|one, other| other.0.total_cmp(&one.0));
        let worst = ratios.first().map_or(0.0, |it| it.0);
        let answers = match self.differ.as_slice() {
            [] => "all answers are DuckDB's".to_owned(),
            differ => format!("answers differ: {}", differ.join("; ")),
        };
        let limit = |value| Some(("DuckDB".to_owned(), value));
        vec![
            Figure {
                what: format!("{what}, all questions"),
                ours: self.ours.iter().sum(),
                limit: limit(self.theirs.iter().sum()),
                unit: "ms",
                goal: goals[0],
                note: format!(
                    "best of {ROUNDS}; worst ratio {worst:.2}; {answers}. {}",
                    each.join(", ")
                ),
            },
            Figure {
                what: format!("{what}, peak memory"),
                ours: memory_mb.0,
                limit: limit(memory_mb.1),
                unit: "MB",
                goal: goals[1],
                note: "both in processes of their own that have asked all questions".to_owned(),
            },
        ]
    }
}
