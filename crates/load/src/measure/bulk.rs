//! Large CSV and NDJSON files through the door `files` into checked Delta tables, beside DuckDB's
//! `COPY` of the same file into a table of its own on disk.

use anyhow::Context as _;
use base::figure::Figure;

use super::folder;
use super::lake::{Stream, filled};
use super::tpch::{LINEITEM, files};
use crate::Ctx;
use crate::duck::Duck;

/// Rows of the files: a gigabyte as NDJSON.
const ROWS: u64 = 3_000_000;

/// Kinds of files, how DuckDB writes and reads each, and the format of the stream that takes them.
const KINDS: &[(&str, &str, &str, &str)] = &[
    ("CSV", "lineitem.csv", "FORMAT csv, HEADER true", "csv"),
    ("CSV into a stream of JSON", "lineitem.csv", "FORMAT csv, HEADER true", "json"),
    ("NDJSON", "lineitem.ndjson", "FORMAT json", "json"),
];

const CHECKS: &str = "\n[stream.lineitem.checks]\nquantity_is_positive = '0 < l_quantity'\nshipped_before_received = 'l_shipdate <= l_receiptdate'\n";

pub(super) fn beside(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let Some(tables) = files(ctx)? else { return Ok(Vec::new()) };
    KINDS.iter().map(|kind| one(ctx, &tables, kind)).collect()
}

fn one(
    ctx: &Ctx,
    tables: &std::path::Path,
    (kind, file, options, format): &(&str, &str, &str, &str),
) -> anyhow::Result<Figure> {
    let bucket = folder(ctx, "files")?;
    let path = bucket.0.join(file);
    let mut duck = Duck::start(ctx)?;
    duck.view("lineitem", &tables.join("lineitem.parquet"))?;
    let to = path.display();
    duck.run(&format!("COPY (SELECT * FROM lineitem LIMIT {ROWS}) TO '{to}' ({options})"))?;
    let bytes = std::fs::metadata(&path).context("the file is written")?.len() as f64;
    let rows =
        duck.count(&format!("SELECT count(*) FROM (SELECT 1 FROM lineitem LIMIT {ROWS})"))?;
    drop(duck);

    let other = folder(ctx, "duck")?;
    let mut duck = Duck::start(ctx)?;
    duck.view("lineitem", &tables.join("lineitem.parquet"))?;
    duck.run(&format!("ATTACH '{}' AS base", other.0.join("base.duckdb").display()))?;
    duck.run("CREATE TABLE base.rows AS SELECT * FROM lineitem LIMIT 0")?;
    let copied = duck.run(&format!("COPY base.rows FROM '{to}' ({options})"))?;
    let written = duck.run("CHECKPOINT base")?;
    let theirs = copied.cpu_seconds + written.cpu_seconds;

    let more = format!("format = \"{format}\"\n{CHECKS}");
    let stream =
        Stream { name: "lineitem", columns: LINEITEM, more: &more, file: (*file).to_owned() };
    let (_running, cost) = filled(ctx, &bucket.0, &[stream], rows)?;
    let per_core = |cpu: f64| bytes / 1e6 / cpu.max(0.01);
    Ok(Figure {
        what: format!("{kind} through the door `files` into checked Delta"),
        ours: per_core(cost.cpu_seconds),
        limit: Some(("DuckDB, COPY FROM into its own table".to_owned(), per_core(theirs))),
        unit: "MB/CPU-s",
        goal: "≥ 0.9",
        note: format!(
            "{:.0} MB, {rows} rows of 16 columns: {:.1} s and {:.1} CPU-seconds from the start of the program until all are in Delta, {:.0} MB at most; DuckDB {:.1} CPU-seconds, without checks, {:.0} MB",
            bytes / 1e6,
            cost.seconds,
            cost.cpu_seconds,
            cost.memory_mb,
            theirs,
            duck.memory_mb_max()
        ),
    })
}
