//! `mainstem rollback`: changes the program that runs back into the project before.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use show::{Back, Change};

use crate::cli::apply::{finished, say, say_change};
use crate::cli::{Target, plan};

/// Go back to the project that ran before the last `mainstem apply`.
///
/// Says what that changes, as `mainstem plan` does, does it, and waits until it is done. Tables
/// that differ are built from the rows that are stored, beside what runs: nothing that came in since
/// is lost. Going back once more undoes it.
///
/// The files in the project's folder stay as they are, and do not run: they are offered again when
/// you have edited them, and `mainstem apply` applies them at any time.
///
/// Exit codes: 0 done, 1 failed, 3 refused.
#[derive(Debug, Args)]
pub(crate) struct Rollback {
    #[command(flatten)]
    target: Target,

    /// Even if readers outside find a table or column gone or of another type.
    #[arg(long)]
    breaking: bool,

    /// Only say what it would do.
    #[arg(long)]
    plan: bool,

    /// Print everything as JSON: what changes, then what became of it.
    #[arg(long)]
    json: bool,
}

impl Rollback {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.target.require().await?;
        let answer = client.get("/v1/rollback").await?;
        let change: Change =
            serde_json::from_slice(&answer).context("the answer cannot be read")?;
        say_change(&change, ("rollback", ""), self.json)?;
        if !change.refused.is_empty() {
            return Ok(ExitCode::from(plan::REFUSED));
        }
        if self.plan || change.is_nothing() {
            return Ok(ExitCode::SUCCESS);
        }
        if !change.breaking.is_empty() && !self.breaking {
            return Ok(ExitCode::from(plan::REFUSED));
        }
        let body = serde_json::to_value(Back { breaking: self.breaking })?;
        client.post("/v1/rollback", &body).await?;
        say(&finished(&client).await?, self.json)
    }
}
