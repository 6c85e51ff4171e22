//! `mainstem rerun`: lets a table that is recomputed run now.

use std::process::ExitCode;

use anyhow::Context as _;
use base::Name;
use clap::Args;
use serde_json::json;
use show::Begun;

use crate::cli::Target;

/// Let a table run now: the run that failed last again, else a new one.
///
/// Returns at once; `SELECT * FROM system.runs` says what becomes of it. Tables that come `after` it
/// follow when it has ended well.
#[derive(Debug, Args)]
pub(crate) struct Rerun {
    /// The table: one that is recomputed.
    #[arg(value_name = "TABLE")]
    table: Name,

    #[command(flatten)]
    target: Target,
}

impl Rerun {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.target.require().await?;
        let answer = client.post(&format!("/v1/runs/{}", self.table), &json!({})).await?;
        let begun: Begun = serde_json::from_slice(&answer).context("the answer cannot be read")?;
        println!("run {} of {} begins", begun.run, begun.table);
        Ok(ExitCode::SUCCESS)
    }
}
