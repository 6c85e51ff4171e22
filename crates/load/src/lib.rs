//! Drives servers over the network and measures them: the real program, a bare one that shows what
//! the machine can do, and the emulators that people use.
//!
//! It is not the bottleneck itself: requests are made beforehand, sent over raw connections that
//! stay open, and of an answer nothing is read but its status, its length and how many records
//! failed. How much of a core it takes stands beside each figure.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it speaks to a person")]

mod api;
mod bare;
mod bodies;
mod drive;
mod duck;
mod http;
mod measure;
mod project;
mod server;
mod sign;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base::figure::{Figure, merge, seconds, table};
use base::{Clock, time::SystemClock};
use clap::Parser;

/// Measure the program over the network: each figure beside what limits it, in the same run.
///
/// Starts servers of its own on free ports; sends load to them only. Build with `--release` first;
/// figures of other builds say nothing.
#[derive(Debug, Parser)]
#[command(name = "load")]
struct Load {
    /// The program that is measured; `mainstem` beside this one if not said.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,

    /// Where journals and tables are written meanwhile; the disk that is measured.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,

    /// Seconds for each measurement.
    #[arg(long, value_name = "N", default_value = "5", value_parser = seconds)]
    seconds: Duration,

    /// Only measurements whose name contains this; `list` names them.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,

    /// How many keys the reads by key choose from.
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,

    /// The folder with Nexmark's events, as examples/nexmark/generate.py writes them; without it
    /// Nexmark is left out.
    #[arg(long, value_name = "DIR")]
    nexmark: Option<PathBuf>,

    /// The folder with TPC-H's tables as Parquet files, made by `tpchgen-cli` where they are
    /// missing; without it what needs them is left out.
    #[arg(long, value_name = "DIR")]
    lake: Option<PathBuf>,

    /// The scale of TPC-H: 1 is a gigabyte.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    scale: f64,

    /// nycflights13's flights as a Parquet file; without it questions about it are left out.
    #[arg(long, value_name = "FILE")]
    flights: Option<PathBuf>,

    /// Where `cargo xtask peers` put the emulators.
    #[arg(long, value_name = "DIR", default_value = "target/peers")]
    peers: PathBuf,

    /// Put the figures into the table of this Markdown file, between its `bench` marks.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,

    /// Serve the bare server that ours is compared with.
    #[arg(long, hide = true)]
    serve_bare: bool,
}

/// What a measurement is run with.
struct Ctx {
    program: PathBuf,
    folder: PathBuf,
    time: Duration,
    keys: u64,
    nexmark: Option<PathBuf>,
    lake: Option<PathBuf>,
    scale: f64,
    flights: Option<PathBuf>,
    peers: PathBuf,
    clock: Arc<dyn Clock>,
}

/// Runs what the command line says.
pub fn run() -> ExitCode {
    let load = Load::parse();
    let done = if load.serve_bare { bare::serve() } else { load.measure_all() };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Load {
    fn measure_all(self) -> anyhow::Result<()> {
        if self.only.as_deref() == Some("list") {
            measure::MEASUREMENTS.iter().for_each(|(name, _)| println!("{name}"));
            return Ok(());
        }
        if cfg!(debug_assertions) {
            eprintln!("this is no release build: the figures say nothing about speed");
        }
        let ctx = self.ctx()?;
        let measured = measure(&ctx, self.only.as_deref(), self.write.as_deref());
        std::fs::remove_dir_all(&ctx.folder).context("cannot clean up")?;
        println!("\n{}", table(&measured?));
        Ok(())
    }

    fn ctx(&self) -> anyhow::Result<Ctx> {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => std::env::current_exe()?.with_file_name("mainstem"),
        };
        let program = program.canonicalize();
        let program = program.context("there is no `mainstem` beside this program: build it")?;
        let parent = self.folder.clone().unwrap_or_else(std::env::temp_dir);
        let folder = parent.join(format!("mainstem-load-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Ctx {
            program,
            folder: folder.canonicalize()?,
            time: self.seconds,
            keys: self.keys,
            nexmark: self.nexmark.clone(),
            lake: self.lake.clone(),
            scale: self.scale,
            flights: self.flights.clone(),
            peers: self.peers.clone(),
            clock: SystemClock::start(),
        })
    }
}

/// Measures what is wanted; what is measured is written at once, so that a long run that is ended
/// early was not in vain.
fn measure(ctx: &Ctx, only: Option<&str>, write: Option<&Path>) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (name, measure) in measure::MEASUREMENTS {
        if !only.is_none_or(|it| name.contains(it)) {
            continue;
        }
        eprintln!("measuring {name}");
        let found = measure(ctx).with_context(|| format!("measuring {name}"))?;
        if let Some(path) = write {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let merged = merge(&text, &found)
                .with_context(|| format!("{} has no `bench` marks", path.display()))?;
            std::fs::write(path, merged).context("cannot write the table")?;
        }
        figures.extend(found);
    }
    Ok(figures)
}
