//! TPC-H: its eight tables come in through the door `files`, its 22 questions are asked over HTTP,
//! beside DuckDB over the Parquet files that came in.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use base::figure::Figure;

use super::lake::{Beside, Stream, filled};
use crate::Ctx;
use crate::duck::Duck;

/// Tables with their columns.
const TABLES: &[(&str, &str)] = &[
    ("region", "r_regionkey = 'int not null'\nr_name = 'text not null'\nr_comment = 'text'"),
    (
        "nation",
        "n_nationkey = 'int not null'\nn_name = 'text not null'\nn_regionkey = 'int not null'\nn_comment = 'text'",
    ),
    (
        "supplier",
        "s_suppkey = 'int not null'\ns_name = 'text not null'\ns_address = 'text not null'\ns_nationkey = 'int not null'\ns_phone = 'text not null'\ns_acctbal = 'decimal(15,2) not null'\ns_comment = 'text not null'",
    ),
    (
        "customer",
        "c_custkey = 'int not null'\nc_name = 'text not null'\nc_address = 'text not null'\nc_nationkey = 'int not null'\nc_phone = 'text not null'\nc_acctbal = 'decimal(15,2) not null'\nc_mktsegment = 'text not null'\nc_comment = 'text not null'",
    ),
    (
        "part",
        "p_partkey = 'int not null'\np_name = 'text not null'\np_mfgr = 'text not null'\np_brand = 'text not null'\np_type = 'text not null'\np_size = 'int not null'\np_container = 'text not null'\np_retailprice = 'decimal(15,2) not null'\np_comment = 'text not null'",
    ),
    (
        "partsupp",
        "ps_partkey = 'int not null'\nps_suppkey = 'int not null'\nps_availqty = 'int not null'\nps_supplycost = 'decimal(15,2) not null'\nps_comment = 'text not null'",
    ),
    (
        "orders",
        "o_orderkey = 'int not null'\no_custkey = 'int not null'\no_orderstatus = 'text not null'\no_totalprice = 'decimal(15,2) not null'\no_orderdate = 'date not null'\no_orderpriority = 'text not null'\no_clerk = 'text not null'\no_shippriority = 'int not null'\no_comment = 'text not null'",
    ),
    ("lineitem", LINEITEM),
];

pub(super) const LINEITEM: &str = "l_orderkey = 'int not null'\nl_partkey = 'int not null'\nl_suppkey = 'int not null'\nl_linenumber = 'int not null'\nl_quantity = 'decimal(15,2) not null'\nl_extendedprice = 'decimal(15,2) not null'\nl_discount = 'decimal(15,2) not null'\nl_tax = 'decimal(15,2) not null'\nl_returnflag = 'text not null'\nl_linestatus = 'text not null'\nl_shipdate = 'date not null'\nl_commitdate = 'date not null'\nl_receiptdate = 'date not null'\nl_shipinstruct = 'text not null'\nl_shipmode = 'text not null'\nl_comment = 'text not null'";

/// Returns the folder with the tables as Parquet files, made if it is not there.
pub(super) fn files(ctx: &Ctx) -> anyhow::Result<Option<PathBuf>> {
    let Some(lake) = &ctx.lake else {
        eprintln!("left out: `--lake` names a folder in which TPC-H's files lie or are made");
        return Ok(None);
    };
    let folder = lake.join(format!("tpch-{}", ctx.scale));
    if !folder.join("region.parquet").try_exists()? {
        std::fs::create_dir_all(&folder)?;
        let mut command = Command::new(ctx.peers.join("bin/tpchgen-cli"));
        command.args(["parquet", "-s", &ctx.scale.to_string(), "--output-dir"]).arg(&folder);
        let status = command.status().context("`cargo xtask peers` installs tpchgen-cli")?;
        ensure!(status.success(), "tpchgen-cli ends with {status}");
    }
    Ok(Some(folder.canonicalize()?))
}

pub(super) fn beside(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let Some(files) = files(ctx)? else { return Ok(Vec::new()) };
    let mut duck = Duck::start(ctx)?;
    let mut rows = 0;
    for (name, _) in TABLES {
        duck.view(name, &files.join(format!("{name}.parquet")))?;
        rows += duck.count(&format!("SELECT count(*) FROM {name}"))?;
    }
    let streams: Vec<Stream<'_>> = TABLES
        .iter()
        .map(|&(name, columns)| Stream { name, columns, more: "", file: format!("{name}.parquet") })
        .collect();
    let (running, cost) = filled(ctx, &files, &streams, rows)?;
    let name = format!("TPC-H at scale {}", ctx.scale);
    let mut beside = Beside::default();
    // Answers are published at this scale.
    let is_one = (ctx.scale - 1.0).abs() < f64::EPSILON;
    let mut published = 0;
    for (at, sql) in duck.tpch()?.iter().enumerate() {
        let question = format!("q{}", at + 1);
        let answer = beside.ask(ctx, (&running.server, &mut duck), &question, sql)?;
        published += usize::from(is_one && duck.is_published(at + 1, &answer)?);
    }
    let memory = (running.server.memory_mb_max(), duck.memory_mb_max());
    let goals = ["≤ 1.3 in all, ≤ 2 each", "≤ 2"];
    let mut figures = beside.figures(&name, goals, memory);
    if let Some(first) = figures.first_mut()
        && is_one
    {
        first.note = format!(
            "{published} of 22 answers are those that DuckDB's extension brings along, of which five have texts of its own generator; {}",
            first.note
        );
    }
    figures.push(Figure {
        what: format!("{name}, Parquet files through the door into Delta"),
        ours: cost.rows as f64 / cost.cpu_seconds,
        limit: None,
        unit: "rows/CPU-s",
        goal: "",
        note: format!(
            "{} rows in {:.0} s, {:.0} MB at most",
            cost.rows, cost.seconds, cost.memory_mb
        ),
    });
    Ok(figures)
}
