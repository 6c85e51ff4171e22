//! `mainstem bench`: measures everything that matters beside what limits it, in the same run.

mod bare;
mod crates;
mod keys;
mod load;
mod nexmark;
mod operators;
mod server;
mod shop;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

/// Measure this build on this machine: each figure beside what limits it, in the same run.
///
/// Starts servers of its own on free ports; sends load to them only. Build with `--release` first;
/// figures of other builds say nothing.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Where journals and tables are written meanwhile; the disk that is measured.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,

    /// Seconds for each measurement.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,

    /// Only measurements whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,

    /// The folder with Nexmark's events, as examples/nexmark/generate.py writes them; without it
    /// Nexmark is left out.
    #[arg(long, value_name = "DIR")]
    nexmark: Option<PathBuf>,

    /// How many keys the reads by key choose from.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,

    /// Put the table into this Markdown file, between its `bench` marks.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,

    /// Serve the bare server that ours is compared with.
    #[arg(long, hide = true)]
    serve_bare: bool,
}

/// One figure beside its limit.
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) what: String,
    /// Ours, in `unit`.
    pub(crate) ours: f64,
    /// What limits it, and how much that is.
    pub(crate) limit: Option<(String, f64)>,
    /// The unit of both.
    pub(crate) unit: &'static str,
    /// The goal, in words.
    pub(crate) goal: &'static str,
    /// What else belongs to it: CPU, memory, percentiles.
    pub(crate) note: String,
}

/// What a measurement is run with.
pub(crate) struct Ctx {
    pub(crate) folder: PathBuf,
    pub(crate) time: Duration,
}

impl Bench {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        if self.serve_bare {
            bare::serve().await?;
            return Ok(ExitCode::SUCCESS);
        }
        if cfg!(debug_assertions) {
            eprintln!("this is no release build: the figures say nothing about speed");
        }
        let parent = self.folder.clone().unwrap_or_else(std::env::temp_dir);
        let folder = parent.join(format!("mainstem-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let ctx = Ctx { folder: folder.clone(), time: Duration::from_secs(self.seconds) };
        let measured = self.measure(&ctx).await;
        std::fs::remove_dir_all(&folder).context("cannot clean up")?;
        let table = table(&measured?);
        println!("\n{table}");
        if let Some(path) = &self.write {
            write_between_marks(path, &table)?;
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
        if wanted("kinesis") {
            eprintln!("measuring kinesis");
            figures.extend(server::kinesis(ctx).await?);
        }
        if wanted("acknowledge") {
            eprintln!("measuring acknowledge");
            figures.extend(server::acknowledge(ctx).await?);
        }
        if wanted("visible") {
            eprintln!("measuring visible");
            figures.extend(shop::visible(ctx).await?);
        }
        if wanted("keys") {
            eprintln!("measuring keys");
            figures.extend(keys::reads(ctx, self.keys).await?);
        }
        let only = self.only.as_deref().unwrap_or("nexmark");
        if let (Some(events), true) = (&self.nexmark, only.starts_with("nexmark")) {
            figures.extend(nexmark::measure(ctx, events, only).await?);
        }
        if wanted("shop") {
            eprintln!("measuring shop");
            figures.extend(shop::full(ctx).await?);
            figures.extend(shop::steady(ctx).await?);
        }
        Ok(figures)
    }
}

fn table(figures: &[Figure]) -> String {
    let mut text = "| measurement | ours | limit in the same run | ratio | goal | |\n|---|--:|--:|--:|---|---|\n".to_owned();
    for it in figures {
        let (limit, ratio) = match &it.limit {
            Some((name, value)) => (
                format!("{} {} ({name})", short(*value), it.unit),
                format!("{:.2}", it.ours / value),
            ),
            None => (String::new(), String::new()),
        };
        writeln!(
            text,
            "| {} | {} {} | {limit} | {ratio} | {} | {} |",
            it.what,
            short(it.ours),
            it.unit,
            it.goal,
            it.note
        )
        .unwrap_or_default();
    }
    text
}

/// Three digits that matter.
fn short(value: f64) -> String {
    match value {
        it if 1e9 <= it => format!("{:.1} G", it / 1e9),
        it if 1e6 <= it => format!("{:.2} M", it / 1e6),
        it if 1e4 <= it => format!("{:.0} k", it / 1e3),
        it if 100.0 <= it => format!("{it:.0}"),
        it if 1.0 <= it => format!("{it:.1}"),
        it => format!("{it:.2}"),
    }
}

const MARKS: (&str, &str) = ("<!-- bench -->\n", "<!-- /bench -->");

fn write_between_marks(path: &PathBuf, table: &str) -> anyhow::Result<()> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let parts = text
        .split_once(MARKS.0)
        .and_then(|(before, rest)| Some((before, rest.split_once(MARKS.1)?.1)));
    let (before, after) =
        parts.with_context(|| format!("{} has no `bench` marks", path.display()))?;
    std::fs::write(path, format!("{before}{}{table}{}{after}", MARKS.0, MARKS.1))
        .context("cannot write the table")
}

/// The value below which `share` of the sorted values lie.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let place = ((last as f64) * share).round();
    sorted.get(place as usize).copied().unwrap_or_default()
}

/// The middle of some rounds.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
