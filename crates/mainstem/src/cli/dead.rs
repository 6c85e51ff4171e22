//! `mainstem dead`: looks at rejected records and sends them through today's rules again.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use base::Place;
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
    /// Count dead letters by reason, with the newest example of each.
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
        /// Only the one at this place.
        #[arg(long, value_name = "SHARD:SEQUENCE")]
        place: Option<Place>,
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
            Action::Replay { filter, place, target } => replay(&filter, place, &target).await,
        }
    }
}

async fn list(filter: &Filter, target: &Target) -> anyhow::Result<ExitCode> {
    let client = target.require().await?;
    let path = format!("/v1/dead/{}", filter.stream);
    let answer: Value = serde_json::from_slice(&client.get(&path).await?)?;
    let reasons = answer.get("reasons").and_then(Value::as_array).context("no `reasons`")?;
    let letters = answer.get("letters").and_then(Value::as_array).context("no `letters`")?;
    let mut out = std::io::stdout().lock();
    let mut shown = 0;
    for reason in reasons.iter().filter(|it| filter.fits(it)) {
        let count = reason.get("count").and_then(Value::as_u64).unwrap_or(0);
        let name = match word(reason, "check") {
            "" => word(reason, "kind").to_owned(),
            check => format!("check {check}"),
        };
        writeln!(out, "{count} {}: {name}", word(reason, "state"))?;
        let is_alike =
            |it: &&Value| ["kind", "check", "state"].iter().all(|at| it.get(at) == reason.get(at));
        if let Some(letter) = letters.iter().find(is_alike) {
            writeln!(out, "    {}", word(letter, "message"))?;
            let bytes = [word(letter, "text"), word(letter, "base64")].concat();
            writeln!(out, "    newest, at {}: {}", word(letter, "place"), bytes.trim_end())?;
        }
        shown += 1;
    }
    if shown == 0 {
        writeln!(out, "no dead letters")?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Filter {
    /// Whether this reason of dead letters is asked for.
    fn fits(&self, reason: &Value) -> bool {
        self.check.as_deref().is_none_or(|it| it == word(reason, "check"))
            && self.kind.as_deref().is_none_or(|it| it == word(reason, "kind"))
    }
}

fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

async fn replay(
    filter: &Filter,
    place: Option<Place>,
    target: &Target,
) -> anyhow::Result<ExitCode> {
    let client = target.require().await?;
    let place = place.map(|it| it.to_string());
    let body = json!({"check": filter.check, "kind": filter.kind, "place": place});
    let path = format!("/v1/dead/{}/replay", filter.stream);
    let answer: Value = serde_json::from_slice(&client.post(&path, &body).await?)?;
    let count = |name: &str| answer.get(name).and_then(Value::as_u64);
    println!(
        "{} replayed: {} stored, {} dead again",
        count("sent").context("no `sent` in the answer")?,
        count("stored").context("no `stored` in the answer")?,
        count("dead").context("no `dead` in the answer")?
    );
    Ok(ExitCode::SUCCESS)
}
