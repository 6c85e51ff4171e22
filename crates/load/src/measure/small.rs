//! Many small files: a crawl that says what they are, and a table that merges them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base::figure::{Figure, median, short};

use super::{Folder, ROUNDS, folder};
use crate::Ctx;
use crate::api::Api;
use crate::duck::Duck;
use crate::http::{Connection, post};
use crate::server::Server;

/// Files of the crawl: as many of each kind.
const CRAWLED: usize = 1_000;

/// Kinds of files by their ends, and how DuckDB writes each.
const KINDS: &[(&str, &str)] = &[
    ("csv", "FORMAT csv, HEADER true"),
    ("csv.gz", "FORMAT csv, HEADER true, COMPRESSION gzip"),
    ("json", "FORMAT json"),
    ("parquet", "FORMAT parquet"),
];

/// One core says what a thousand files of four formats are.
pub(super) fn crawl(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let files = folder(ctx, "mixed")?;
    let mut duck = Duck::start(ctx)?;
    let mut bytes = 0;
    for at in 0..CRAWLED {
        let Some((end, options)) = KINDS.get(at % KINDS.len()) else { continue };
        let below = files.0.join(format!("table-{}", at % 20));
        fs::create_dir_all(&below)?;
        let path = below.join(format!("part-{at:04}.{end}"));
        let rows = format!(
            "SELECT i AS id, TIMESTAMP '2026-01-01' + i * INTERVAL '7 minutes' AS at, 'customer ' || (i * 7919 % 1000) AS customer, round((i % 9973) / 7.0, 2) AS amount, i % 3 = 0 AS paid FROM range({at}, {at} + 200) t(i)"
        );
        duck.run(&format!("COPY ({rows}) TO '{}' ({options})", path.display()))?;
        bytes += fs::metadata(&path)?.len();
    }
    let mut seconds = Vec::new();
    for _ in 0..ROUNDS {
        let began = ctx.clock.elapsed();
        let mut crawl = Command::new(&ctx.program);
        crawl.args(["crawl", "--json", "--threads", "1"]).arg(&files.0);
        let output = crawl.stdin(Stdio::null()).output().context("cannot crawl")?;
        seconds.push((ctx.clock.elapsed() - began).as_secs_f64());
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let found = found.get("files").and_then(|it| it.as_array()).map_or(0, Vec::len);
        ensure!(found == CRAWLED, "{found} files were found");
    }
    let seconds = median(&mut seconds);
    Ok(vec![Figure {
        what: "crawl of 1,000 mixed files, one thread".to_owned(),
        ours: CRAWLED as f64 / seconds,
        limit: None,
        unit: "files/s",
        goal: "≥ 1,000",
        note: format!(
            "{seconds:.2} s with the start of the program; CSV, packed CSV, JSON and Parquet of 200 rows, {} MB",
            short(bytes as f64 / 1e6)
        ),
    }])
}

/// Partitions of the table, and commits that each write a file into all of them.
const PARTITIONS: usize = 1_000;
const COMMITS: usize = 100;

/// Long before a file is merged, so that the table can be filled first.
const NEVER: &str = "upkeep = { every = \"1 hour\", budget = \"1 second\" }";
const AT_ONCE: &str = "upkeep = { every = \"1 second\", budget = \"10 minutes\" }";

fn write(folder: &Path, upkeep: &str) -> anyhow::Result<()> {
    let text = format!(
        "[project]\nname = \"small\"\nflush = \"50 ms\"\n{upkeep}\n\n[stream.readings]\nfrom = [\"http\"]\n\n[stream.readings.columns]\nsensor = \"int not null\"\nvalue = \"float\"\n\n[table.by_sensor]\npartition = \"sensor\"\nsql = \"SELECT sensor, value FROM readings\"\n"
    );
    fs::create_dir_all(folder.join("project"))?;
    fs::write(folder.join("project/mainstem.toml"), text).context("cannot write the project")
}

/// A hundred thousand files of one row each become as few as there are partitions.
pub(super) fn compact(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let folder = folder(ctx, "small")?;
    write(&folder.0, NEVER)?;
    let server = started(ctx, &folder)?;
    let filled = ctx.clock.elapsed();
    fill(ctx, &server)?;
    let filled = (ctx.clock.elapsed() - filled).as_secs_f64();
    server.stop()?;
    write(&folder.0, AT_ONCE)?;
    let began = ctx.clock.elapsed();
    let server = started(ctx, &folder)?;
    let api = Api::of(ctx, &server.http);
    let (first, cpu) = (files(&api)?, server.cpu_seconds());
    let until = ctx.clock.elapsed() + MERGED_MAX;
    let mut left = first;
    while PARTITIONS as u64 * LEFT_MAX < left {
        ensure!(ctx.clock.elapsed() < until, "{left} files are left");
        thread::sleep(Duration::from_millis(200));
        left = files(&api)?;
    }
    let seconds = (ctx.clock.elapsed() - began).as_secs_f64();
    let rows = api.sql("SELECT count(*) FROM by_sensor")?;
    ensure!(rows.as_u64() == Some((PARTITIONS * COMMITS) as u64), "{rows} rows are left");
    Ok(vec![Figure {
        what: "100,000 files of one row merged, 1,000 partitions".to_owned(),
        ours: seconds,
        limit: None,
        unit: "s",
        goal: "",
        note: format!(
            "{first} files become {left}, from the start of the program on; {:.0} CPU-seconds, {:.0} MB at most; they were written in {filled:.0} s",
            server.cpu_seconds() - cpu,
            server.memory_mb_max()
        ),
    }])
}

/// Files that stay in a partition: fewer than are merged at a time.
const LEFT_MAX: u64 = 8;

/// How long merging may take.
const MERGED_MAX: Duration = Duration::from_secs(1_200);

fn started(ctx: &Ctx, folder: &Folder) -> anyhow::Result<Server> {
    Server::of_project(ctx, &folder.0, &folder.0.join("project"))
}

fn files(api: &Api<'_>) -> anyhow::Result<u64> {
    let files = api.sql("SELECT sum(files) FROM system.file_sizes WHERE name = 'by_sensor'")?;
    files.as_u64().context("a number of files")
}

/// Sends a row for each partition, waits until all are stored, and does so again.
fn fill(ctx: &Ctx, server: &Server) -> anyhow::Result<()> {
    let api = Api::of(ctx, &server.http);
    let until = ctx.clock.elapsed() + MERGED_MAX;
    for commit in 0..COMMITS {
        let rows: String = (0..PARTITIONS)
            .map(|it| format!("{{\"sensor\":{it},\"value\":{commit}.5}}\n"))
            .collect();
        let headers = "content-type: application/x-ndjson\r\n";
        let path = "/v1/streams/readings/records";
        let request = post(path, headers, rows.as_bytes(), PARTITIONS as u64);
        let mut connection = Connection::open(&server.http)?;
        let (status, answer) = connection.ask(&request)?;
        ensure!(status == 200, "HTTP {status}: {}", String::from_utf8_lossy(answer));
        while files(&api)? < ((commit + 1) * PARTITIONS) as u64 {
            ensure!(ctx.clock.elapsed() < until, "rows are not stored");
            thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(())
}
