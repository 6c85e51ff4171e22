//! Measures the questions of Nexmark over files of events: `examples/nexmark`, CPU-seconds each.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::ensure;
use base::time::SystemClock;
use process::bench::Question;

use super::{Ctx, Figure, short};

/// The project, as it lies in `examples/nexmark`.
macro_rules! example {
    ($($file:literal),*) => {
        &[$(($file, include_str!(concat!("../../../../../examples/nexmark/", $file)))),*]
    };
}

const PROJECT: &[(&str, &str)] = example!["mainstem.toml", "side_input.csv"];

const TABLES: &[(&str, &str)] = example![
    "q0.sql",
    "q1.sql",
    "q2.sql",
    "q5.sql",
    "bids_by_window.sql",
    "q7.sql",
    "q8.sql",
    "q9.sql",
    "q10.sql",
    "q11.sql",
    "q12.sql",
    "q13.sql",
    "q14.sql",
    "q15.sql",
    "q16.sql",
    "q17.sql",
    "q18.sql",
    "q19.sql",
    "q20.sql",
    "q21.sql",
    "q22.sql"
];

/// A question that follows its streams, and what it is held to.
struct Asked {
    table: &'static str,
    /// What else of the project it reads.
    below: &'static [&'static str],
    streams: &'static [&'static str],
    goal: &'static str,
}

const fn asked(table: &'static str, goal: &'static str) -> Asked {
    Asked { table, below: &[], streams: &["bid"], goal }
}

/// How much more than parse and one batch a question may cost that looks at windows of rows.
const GOAL: &str = "≤ 1.7";

const QUESTIONS: &[Asked] = &[
    asked("q0", ""),
    asked("q1", ""),
    asked("q2", ""),
    Asked { below: &["bids_by_window"], ..asked("q5", GOAL) },
    asked("q7", GOAL),
    Asked { streams: &["person", "auction"], ..asked("q8", "") },
    Asked { streams: &["auction", "bid"], ..asked("q9", "") },
    asked("q10", ""),
    asked("q11", ""),
    asked("q12", ""),
    asked("q13", ""),
    asked("q14", ""),
    asked("q15", ""),
    asked("q16", ""),
    asked("q17", ""),
    asked("q18", ""),
    asked("q19", ""),
    Asked { streams: &["auction", "bid"], ..asked("q20", "") },
    asked("q21", ""),
    asked("q22", ""),
];

/// Each question as a flow with checkpoints, beside parsing the same records and asking once.
pub(crate) async fn measure(ctx: &Ctx, events: &Path, only: &str) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    // `nexmark` is all of them, `nexmark q5` one.
    let wanted = only.strip_prefix("nexmark").unwrap_or_default().trim();
    for asked in QUESTIONS.iter().filter(|it| wanted.is_empty() || wanted == it.table) {
        eprintln!("measuring nexmark {}", asked.table);
        figures.push(Box::pin(one(ctx, events, asked)).await?);
    }
    ensure!(!figures.is_empty(), "there is no question `{wanted}` that can be measured");
    Ok(figures)
}

async fn one(ctx: &Ctx, events: &Path, asked: &Asked) -> anyhow::Result<Figure> {
    let folder = ctx.folder.join(format!("nexmark-{}", asked.table));
    let project = folder.join("project");
    write_project(&project, asked)?;
    let file = |it: &&'static str| (*it, events.join(format!("{it}.ndjson")));
    let files: Vec<(&str, PathBuf)> = asked.streams.iter().map(file).collect();
    let question =
        Question { project: &project, table: asked.table, files: &files, cpu: cpu_of_this };
    let clock = SystemClock::start();
    // Memory that was never used is slow to get: neither side is to pay for the other.
    process::bench::once(&question).await?;
    let run = process::bench::run(&folder.join("run"), &clock, &question).await?;
    let once = process::bench::once(&question).await?;
    fs::remove_dir_all(&folder)?;
    let (flow, parse, ask) =
        (run.cpu.as_secs_f64(), once.parse.as_secs_f64(), once.ask.as_secs_f64());
    let records = run.records as f64;
    Ok(Figure {
        what: format!("Nexmark {}, {} events", asked.table, short(records)),
        ours: flow,
        limit: Some((format!("parse {parse:.1} and one batch {ask:.1}"), parse + ask)),
        unit: "CPU-s",
        goal: asked.goal,
        note: format!(
            "{} events per CPU-second, {} a second, {} checkpoints",
            short(records / flow.max(1e-3)),
            short(records / run.took.as_secs_f64().max(1e-3)),
            run.epochs,
        ),
    })
}

/// Writes what the question needs of the project.
fn write_project(project: &Path, asked: &Asked) -> anyhow::Result<()> {
    fs::create_dir_all(project)?;
    let is_needed = |name: &str| {
        let table = name.trim_end_matches(".sql");
        table == asked.table || asked.below.contains(&table)
    };
    let tables = TABLES.iter().filter(|(name, _)| is_needed(name));
    for (name, text) in PROJECT.iter().chain(tables) {
        fs::write(project.join(name), text)?;
    }
    Ok(())
}

/// CPU time of this process so far.
fn cpu_of_this() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in brackets may have spaces; user and system time are the 12th and 13th after it.
    let after = text.rsplit_once(')').map_or("", |(_, it)| it);
    let ticks = after.split_whitespace().skip(11).take(2).filter_map(|it| it.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}
