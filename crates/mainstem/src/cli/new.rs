//! `mainstem new`: a small project to begin with.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;

const PROJECT: &str = include_str!("new/mainstem.toml");
const TABLE: &str = include_str!("new/visits_by_minute.sql");
const TEST: &str = include_str!("new/visits.toml");

/// Make a folder with a small project that runs: a stream, a table, a chart, an alert, a test.
#[derive(Debug, Args)]
pub(crate) struct New {
    /// The folder to make.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

impl New {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let Self { dir } = self;
        let is_free = !dir.try_exists()? || fs::read_dir(&dir)?.next().is_none();
        if !is_free {
            bail!("{} is not empty; name a new folder", dir.display());
        }
        let title: String = dir
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .to_ascii_lowercase()
            .chars()
            .map(|it| if it.is_ascii_alphanumeric() { it } else { '_' })
            .collect();
        let title = if title.starts_with(|it: char| it.is_ascii_lowercase()) {
            title
        } else {
            "pipeline".to_owned()
        };
        let project = PROJECT.replace("\"pipeline\"", &format!("\"{title}\""));
        fs::create_dir_all(dir.join("tests"))
            .with_context(|| format!("cannot make {}", dir.display()))?;
        for (file, text) in [
            ("mainstem.toml", project.as_str()),
            ("visits_by_minute.sql", TABLE),
            ("tests/visits.toml", TEST),
        ] {
            fs::write(dir.join(file), text).with_context(|| format!("cannot write {file}"))?;
        }
        let shown = dir.display();
        println!("made {shown}: read {shown}/mainstem.toml, then\n");
        println!("  mainstem check {shown}    finds mistakes");
        println!("  mainstem test {shown}     runs its tests");
        println!("  mainstem run {shown}      runs it and prints where to look\n");
        Ok(ExitCode::SUCCESS)
    }
}
