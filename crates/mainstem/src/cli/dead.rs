//! `mainstem dead`: looks at rejected records and sends them through today's rules again.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::Target;

/// See and replay dead letters: records that did not decode or failed a check.
#[derive(Debug, Args)]
pub(crate) struct Dead {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Count dead letters by stream and reason, with the newest example of each.
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        target: Target,
    },
    /// Send dead letters through today's checks again, each once: what passes now is stored.
    Replay {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Args)]
struct Filter {
    /// The stream whose dead letters are meant.
    #[arg(value_name = "STREAM")]
    stream: String,
    /// Only those whose first failed check is this one.
    #[arg(long, value_name = "NAME")]
    check: Option<String>,
    /// Only those of this kind.
    #[arg(long, value_name = "KIND", value_parser = ["decode", "check"])]
    kind: Option<String>,
}

impl Dead {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.action {
            Action::List { filter, target } => list(&filter, &target).await,
            Action::Replay { filter, target } => replay(&filter, &target).await,
        }
    }
}

async fn list(filter: &Filter, target: &Target) -> anyhow::Result<ExitCode> {
    let client = target.require().await?;
    let answer: Value =
        serde_json::from_slice(&client.get(&format!("/v1/dead/{}", filter.stream)).await?)?;
    println!("{}", serde_json::to_string_pretty(&answer)?);
    Ok(ExitCode::SUCCESS)
}

async fn replay(filter: &Filter, target: &Target) -> anyhow::Result<ExitCode> {
    let client = target.require().await?;
    let body = json!({"check": filter.check, "kind": filter.kind});
    let path = format!("/v1/dead/{}/replay", filter.stream);
    let answer: Value = serde_json::from_slice(&client.post(&path, &body).await?)?;
    let count = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
    println!(
        "{} replayed: {} stored, {} dead again",
        count("replayed"),
        count("stored"),
        count("dead")
    );
    Ok(ExitCode::SUCCESS)
}
