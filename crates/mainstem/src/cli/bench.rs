//! `mainstem bench`: measures what needs no server, beside what limits it, in the same run. The
//! crate `load` measures the rest over the network.

mod crates;
mod crawl;
mod nexmark;
mod operators;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use base::figure::{Figure, median, merge, seconds, short, table};
use clap::Args;

/// Measure this build on this machine: each figure beside what limits it, in the same run.
///
/// The journal, decoding, tables, checkpoints: nothing here goes over the network. Build with
/// `--release` first; figures of other builds say nothing.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Where journals and tables are written meanwhile; the disk that is measured.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,

    /// Seconds for each measurement.
    #[arg(long, value_name = "N", default_value = "5", value_parser = seconds)]
    seconds: Duration,

    /// Only measurements whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,

    /// The folder with Nexmark's events, as examples/nexmark/generate.py writes them; without it
    /// Nexmark is left out.
    #[arg(long, value_name = "DIR")]
    nexmark: Option<PathBuf>,

    /// Put the figures into the table of this Markdown file, between its `bench` marks.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// What a measurement is run with.
pub(crate) struct Ctx {
    pub(crate) folder: PathBuf,
    pub(crate) time: Duration,
}

impl Bench {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        if cfg!(debug_assertions) {
            eprintln!("this is no release build: the figures say nothing about speed");
        }
        let parent = self.folder.clone().unwrap_or_else(std::env::temp_dir);
        let folder = parent.join(format!("mainstem-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let ctx = Ctx { folder: folder.clone(), time: self.seconds };
        let measured = Box::pin(self.measure(&ctx)).await;
        std::fs::remove_dir_all(&folder).context("cannot clean up")?;
        let figures = measured?;
        println!("\n{}", table(&figures));
        if let Some(path) = &self.write {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let merged = merge(&text, &figures)
                .with_context(|| format!("{} has no `bench` marks", path.display()))?;
            std::fs::write(path, merged).context("cannot write the table")?;
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn measure(&self, ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
        let wanted = |name: &str| self.only.as_deref().is_none_or(|it| name.contains(it));
        let mut figures = Vec::new();
        for (name, measure) in crates::MEASUREMENTS {
            if wanted(name) {
                eprintln!("measuring {name}");
                figures.extend(tokio::task::block_in_place(|| measure(ctx))?);
            }
        }
        let only = self.only.as_deref().unwrap_or("nexmark");
        if let (Some(events), true) = (&self.nexmark, only.starts_with("nexmark")) {
            figures.extend(Box::pin(nexmark::measure(ctx, events, only)).await?);
        }
        Ok(figures)
    }
}
