//! `mainstem plan`: what a changed project would do to the one that runs.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use base::ByteSize;
use clap::Args;
use show::{Change, ChangeAction, ChangeItem, Wanted};

use crate::cli::Target;
use crate::client::Client;
use crate::compile::compile;

/// Say what a changed project would do to the program that runs; nothing is changed.
///
/// Lists what is new (+), changed (~), dropped (-), and what follows (>) because it reads something
/// that changes; which tables are computed anew from the stored rows, how many rows and bytes that
/// reads and about how long it takes; and what readers outside could trip over. `mainstem apply`
/// does it.
///
/// Exit codes: 0 said, 1 failed, 2 the project has faults, 3 it could not be applied.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) source: Source,

    /// Print everything as one JSON object.
    #[arg(long)]
    json: bool,
}

/// A project, and the running program that it is for.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// The project's folder.
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,

    /// Lay NAME.ENV.toml files over NAME.toml, for example `prod`.
    #[arg(long, value_name = "NAME")]
    pub(crate) env: Option<String>,

    /// The data folder of the running program, if it is not DIR/.mainstem.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// Speak to the program at this address instead, for example 127.0.0.1:7070.
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<String>,
}

/// The project cannot be applied as it is.
pub(crate) const REFUSED: u8 = 3;

impl Source {
    /// Checks the project here, so that its faults are shown as `check` shows them; returns nothing
    /// if it has some.
    pub(crate) async fn check(&self) -> bool {
        match compile(&self.dir, self.env.as_deref(), false).await {
            Ok(_) => true,
            Err(faults) => {
                eprint!("{}", faults.render(super::has_colour()));
                false
            }
        }
    }

    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        let (data, http) = (self.data.clone(), self.http.clone());
        Target { dir: self.dir.clone(), data, http }.require().await
    }

    /// Returns what the program is asked.
    pub(crate) fn wanted(&self, breaking: bool) -> anyhow::Result<Wanted> {
        let dir = std::path::absolute(&self.dir)
            .with_context(|| format!("cannot find {}", self.dir.display()))?;
        Ok(Wanted { dir, env: self.env.clone(), breaking })
    }

    pub(crate) async fn plan(&self, client: &Client) -> anyhow::Result<Change> {
        let body = serde_json::to_value(self.wanted(false)?)?;
        let answer = client.post("/v1/plan", &body).await?;
        serde_json::from_slice(&answer).context("the answer cannot be read")
    }
}

impl Plan {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        if !self.source.check().await {
            return Ok(ExitCode::from(2));
        }
        let client = self.source.client().await?;
        let change = self.source.plan(&client).await?;
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(&change)?)?;
        } else {
            let dir = self.source.dir.display().to_string();
            write!(out, "{}", told(&change, ("apply", &dir)))?;
        }
        let is_refused = !change.refused.is_empty();
        Ok(if is_refused { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS })
    }
}

/// Writes a change as people read it; `mainstem COMMAND WHAT` would do it.
pub(crate) fn told(change: &Change, (command, what): (&str, &str)) -> String {
    if change.is_nothing() && change.refused.is_empty() {
        return format!("{}: nothing differs from what runs\n", change.project);
    }
    let mut text = format!("{}: {}\n\n", change.project, summary(&change.items));
    let width = change.items.iter().map(|it| it.kind.len() + it.name.len() + 1).max().unwrap_or(0);
    for item in &change.items {
        let sign = match item.action {
            ChangeAction::New => '+',
            ChangeAction::Dropped => '-',
            ChangeAction::Changed => '~',
            ChangeAction::Follows => '>',
        };
        let name = format!("{} {}", item.kind, item.name);
        text += &format!("  {sign} {name:width$}  {}\n", item.details.join("; "));
    }
    text += &builds(change);
    for (title, lines) in
        [("readers outside could trip over", &change.breaking), ("refused", &change.refused)]
    {
        if !lines.is_empty() {
            text += &format!("\n{title}\n");
            lines.iter().for_each(|it| text += &format!("  ! {it}\n"));
        }
    }
    let flag = if change.breaking.is_empty() { "" } else { "--breaking" };
    if change.refused.is_empty() {
        let words = ["mainstem", command, flag, what];
        let words: Vec<&str> = words.into_iter().filter(|it| !it.is_empty()).collect();
        text += &format!("\n`{}` does it.\n", words.join(" "));
    }
    text
}

fn builds(change: &Change) -> String {
    if change.builds.is_empty() {
        return "\nno data moves\n".to_owned();
    }
    let mut text =
        "\ncomputed anew from the stored rows, then switched to in one step\n".to_owned();
    let width = change.builds.iter().map(|it| it.table.len()).max().unwrap_or(0);
    for build in &change.builds {
        let (table, from) = (&build.table, build.reads.join(", "));
        let size = size(build.rows, build.bytes, build.seconds);
        text += &format!("  {table:width$}  from {from}: {size}\n");
    }
    let rows = change.builds.iter().map(|it| it.rows).sum();
    let bytes = change.builds.iter().map(|it| it.bytes).sum();
    let seconds = change.builds.iter().map(|it| it.seconds).sum();
    if 1 < change.builds.len() {
        text += &format!("  {:width$}  {}\n", "in all", size(rows, bytes, seconds));
    }
    text
}

fn size(rows: u64, bytes: u64, seconds: f64) -> String {
    let word = if rows == 1 { "row" } else { "rows" };
    format!("{} {word}, {}, {}", grouped(rows), ByteSize(bytes), about(seconds))
}

/// Writes a number with a comma after every three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if 0 < place && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn about(seconds: f64) -> String {
    match seconds {
        it if it < 1.5 => "about a second".to_owned(),
        it if it < 90.0 => format!("about {it:.0} seconds"),
        it if it < 5_400.0 => format!("about {:.0} minutes", it / 60.0),
        it => format!("about {:.1} hours", it / 3_600.0),
    }
}

/// Says how many things of each kind differ.
fn summary(items: &[ChangeItem]) -> String {
    let words = [
        (ChangeAction::New, "new"),
        (ChangeAction::Changed, "changed"),
        (ChangeAction::Follows, "following"),
        (ChangeAction::Dropped, "dropped"),
    ];
    let count = |action| items.iter().filter(|it| it.action == action).count();
    let told = words.iter().map(|(action, word)| (count(*action), word));
    let told = told.filter(|(count, _)| 0 < *count).map(|(count, word)| format!("{count} {word}"));
    told.collect::<Vec<_>>().join(", ")
}
