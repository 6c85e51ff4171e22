//! The whole program on the questions of Nexmark: HTTP in, journal, tables, Delta out.
//!
//! `mainstem bench` has the same questions as flows alone, beside what limits them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base::figure::Figure;

use super::folder;
use crate::Ctx;
use crate::api::Api;
use crate::server::Server;

/// A question, what else of the project it reads, and from which streams.
type Question = (&'static str, &'static [&'static str], &'static [&'static str]);

const QUESTIONS: &[Question] = &[
    ("q1", &[], &["bid"]),
    ("q2", &[], &["bid"]),
    ("q5", &["bids_by_window"], &["bid"]),
    ("q7", &[], &["bid"]),
    ("q8", &[], &["person", "auction"]),
];

pub(super) fn whole(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let Some(events) = &ctx.nexmark else {
        eprintln!("left out: `--nexmark` names the folder with its events");
        return Ok(Vec::new());
    };
    QUESTIONS.iter().map(|question| one(ctx, &events.canonicalize()?, question)).collect()
}

/// Replays the files into a running program and stops it when all is in its tables.
fn one(ctx: &Ctx, events: &Path, (table, below, streams): &Question) -> anyhow::Result<Figure> {
    let folder = folder(ctx, "nexmark")?;
    let project = folder.0.join("project");
    write_project(&project, table, below)?;
    let server = Server::of_project(ctx, &folder.0, &project)?;
    let mut records = 0;
    for stream in *streams {
        let file = events.join(format!("{stream}.ndjson"));
        records += lines_of(&file)?;
        let mut replay = Command::new(&ctx.program);
        replay.args(["replay", "--into", stream, "--http", &server.http]).arg(&file);
        let status = replay.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        ensure!(status.success(), "cannot replay {}: {status}", file.display());
    }
    let api = Api::of(ctx, &server.http);
    let until = ctx.clock.elapsed() + SETTLED_MAX;
    loop {
        let done = api.sql("SELECT sum(stored + dead) FROM system.conservation")?;
        if done.as_u64() == Some(records) {
            break;
        }
        ensure!(ctx.clock.elapsed() < until, "it does not settle: {done} of {records}");
        thread::sleep(Duration::from_millis(50));
    }
    let memory_mb = server.memory_mb_max();
    Ok(Figure {
        what: format!("Nexmark {table}, whole program"),
        ours: server.stop().context("the program does not stop")?,
        limit: None,
        unit: "CPU-s",
        goal: "",
        note: format!("HTTP in to Delta out, {records} events; {memory_mb:.0} MB at most"),
    })
}

/// How long all events may take to be in their tables.
const SETTLED_MAX: Duration = Duration::from_secs(600);

fn lines_of(file: &Path) -> anyhow::Result<u64> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(memchr::memchr_iter(b'\n', &bytes).count() as u64)
}

/// Writes what the question needs of `examples/nexmark`.
fn write_project(project: &Path, table: &str, below: &[&str]) -> anyhow::Result<()> {
    let example = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/nexmark"));
    fs::create_dir_all(project)?;
    let tables = [&[table], below].concat().into_iter().map(|it| format!("{it}.sql"));
    for name in ["mainstem.toml", "side_input.csv"].map(str::to_owned).into_iter().chain(tables) {
        fs::copy(example.join(&name), project.join(&name))
            .with_context(|| format!("examples/nexmark/{name}"))?;
    }
    Ok(())
}
