//! `mainstem check`: finds every fault of a project at once, without running it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::compile::compile;

/// Find every mistake of a project: file, line, column, and what would be right.
///
/// Needs no network and no secrets, unless a stream finds its columns in a bucket in a cloud; columns
/// that are found are written into `schemas/STREAM.toml`. The exit code is 0 if the project can run, else 2.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The project's folder.
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,

    /// Lay NAME.ENV.toml files over NAME.toml, for example `prod`.
    #[arg(long, value_name = "NAME")]
    env: Option<String>,
}

impl Check {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match compile(&self.dir, self.env.as_deref(), false).await {
            Ok(compiled) => {
                let project = &compiled.project;
                let mut warnings = project.warnings.clone();
                warnings.merge(compiled.plan.warnings.clone());
                eprint!("{}", warnings.render(super::has_colour()));
                let counts: Vec<String> = [
                    (project.buckets.len(), "bucket"),
                    (project.streams.len(), "stream"),
                    (project.lookups.len(), "lookup"),
                    (project.tables.len(), "table"),
                    (project.alerts.len(), "alert"),
                    (project.dashboards.len(), "dashboard"),
                    (project.tests.len(), "test"),
                ]
                .into_iter()
                .filter(|(count, _)| 0 < *count)
                .map(|(count, word)| super::counted(count, word))
                .collect();
                println!("{}: {}: all well", project.name, counts.join(", "));
                Ok(ExitCode::SUCCESS)
            }
            Err(faults) => {
                eprint!("{}", faults.render(super::has_colour()));
                Ok(ExitCode::from(2))
            }
        }
    }
}
