//! `mainstem apply`: changes the program that runs into another project.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base::time::SystemClock;
use clap::Args;
use show::{ApplyState, Applying, Change};

use crate::cli::plan::{self, Source, told};
use crate::client::Client;

/// Change the program that runs into the project as it is written in the folder now.
///
/// Says what `mainstem plan` says, does it, and waits until it is done. Tables that are new or
/// changed are built from the stored rows beside what runs, at low priority. When they have caught
/// up, the flows that differ stand still for a moment: records are taken in and wait, and questions
/// are answered from before; then all of it is shown in one step. What fails changes nothing: the
/// project before runs on.
///
/// Tables that read what is neither new nor changed and has windows or totals are computed in that
/// moment.
///
/// Interrupting this command does not stop the change; `mainstem apply --status` shows it.
///
/// Exit codes: 0 applied, 1 failed, 2 the project has faults, 3 refused.
#[derive(Debug, Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    source: Source,

    /// Even if readers outside find a table or column gone or of another type.
    #[arg(long)]
    breaking: bool,

    /// Only say how far the change under way has come, or what became of the last one.
    #[arg(long)]
    status: bool,

    /// Print everything as JSON: what changes, then what became of it.
    #[arg(long)]
    json: bool,
}

/// How often the program is asked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(200);

impl Apply {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        if self.status {
            let applying = state(&self.source.client().await?).await?;
            return say(&applying, self.json);
        }
        if !self.source.check().await {
            return Ok(ExitCode::from(2));
        }
        let client = self.source.client().await?;
        let change = self.source.plan(&client).await?;
        let dir = self.source.dir.display().to_string();
        say_change(&change, ("apply", &dir), self.json)?;
        if change.is_nothing() && change.refused.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        if !change.refused.is_empty() || (!change.breaking.is_empty() && !self.breaking) {
            return Ok(ExitCode::from(plan::REFUSED));
        }
        let body = serde_json::to_value(self.source.wanted(self.breaking)?)?;
        client.post("/v1/apply", &body).await?;
        say(&finished(&client).await?, self.json)
    }
}

/// Says what a change does, and the command that does it.
pub(crate) fn say_change(
    change: &Change,
    command: (&str, &str),
    is_json: bool,
) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if is_json {
        writeln!(out, "{}", serde_json::to_string(change)?)?;
    } else {
        write!(out, "{}", told(change, command))?;
    }
    Ok(())
}

/// Says what became of a change.
pub(crate) fn say(applying: &Applying, is_json: bool) -> anyhow::Result<ExitCode> {
    if is_json {
        println!("{}", serde_json::to_string(applying)?);
    } else {
        println!("{}", sentence(applying));
    }
    let has_failed = applying.state == ApplyState::Failed;
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn state(client: &Client) -> anyhow::Result<Applying> {
    let answer = client.get("/v1/apply").await?;
    serde_json::from_slice(&answer).context("the answer cannot be read")
}

/// Waits until the change is done.
pub(crate) async fn finished(client: &Client) -> anyhow::Result<Applying> {
    let clock = SystemClock::start();
    loop {
        let applying = state(client).await?;
        match applying.state {
            ApplyState::Building | ApplyState::Switching => clock.sleep(LOOK_EVERY).await,
            ApplyState::Applied | ApplyState::Failed => return Ok(applying),
            ApplyState::None => bail!("the program was started anew before the change was done"),
        }
    }
}

fn sentence(applying: &Applying) -> String {
    match applying.state {
        ApplyState::None => "nothing was changed since the program started".to_owned(),
        ApplyState::Building => {
            let table = applying.table.as_deref().unwrap_or_default();
            let (rows, all) = (applying.rows, applying.rows_all);
            format!("building {table}: {rows} of {all} rows read so far")
        }
        ApplyState::Switching => "switching".to_owned(),
        ApplyState::Applied => {
            let pause = applying.pause_ms.unwrap_or(0);
            format!("applied; what differs stood still for {pause} ms")
        }
        ApplyState::Failed => {
            let error = applying.error.as_deref().unwrap_or_default();
            format!("failed, and the project before runs on: {error}")
        }
    }
}
