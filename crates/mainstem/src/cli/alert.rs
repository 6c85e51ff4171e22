//! `mainstem alert`: tries an alert on what is stored.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use async_trait::async_trait;
use base::{Name, Span};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::backtest::{self, Firing, Outcome, Source, Told};
use crate::cli::Target;
use crate::cli::row::fields;
use crate::client::Client;
use crate::compile::{Compiled, compile};
use crate::stored::Stored;

/// Try an alert on what is stored.
#[derive(Debug, Args)]
pub(crate) struct Alert {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Backtest(Backtest),
}

/// List when an alert would have fired and resolved.
///
/// The alert is the one in the project's folder, as it is written there now: a new or changed one
/// can be tried before it is put to work. The rows are those of the running program; if none runs,
/// the stored ones.
///
/// The windows that the alert reads are walked in the order in which they became final, with event
/// time for a clock, and fed to the same rules as the running alert: `key`, `for`, `on`, and of each
/// key the newest window only. It differs from what was told then in what is not stored: a late row
/// is in its window from the beginning, windows that became final together come one after the other,
/// `on = "open"` sees each window once, as it was at last, and tables without windows are taken as
/// they are now. An alert that reads only such tables has no past that could be told.
///
/// Exit codes: 0 told, 1 failed, 2 the project has faults, 3 the alert's past cannot be told.
///
/// Example: mainstem alert backtest spike --last 30d shop
#[derive(Debug, Args)]
struct Backtest {
    /// The alert.
    #[arg(value_name = "NAME")]
    name: Name,

    /// The project's folder.
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,

    /// How far back to look from the newest window, for example `30d` or `12 hours`.
    #[arg(long, value_name = "TIME", default_value = "30 days")]
    last: Span,

    /// Print everything as one JSON object.
    #[arg(long)]
    json: bool,

    /// Lay NAME.ENV.toml files over NAME.toml, for example `prod`.
    #[arg(long, value_name = "NAME")]
    env: Option<String>,

    /// The data folder, if it is not DIR/.mainstem.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Ask the program at this address instead, for example 127.0.0.1:7070.
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
}

/// The alert's past cannot be told.
const CANNOT: u8 = 3;

impl Alert {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.action {
            Action::Backtest(it) => Box::pin(it.run()).await,
        }
    }
}

impl Backtest {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let compiled = match compile(&self.dir, self.env.as_deref(), false).await {
            Ok(compiled) => compiled,
            Err(faults) => {
                eprint!("{}", faults.render(super::has_colour()));
                return Ok(ExitCode::from(2));
            }
        };
        let Compiled { project, plan, .. } = &compiled;
        let Some(alert) = project.alerts.get(&self.name) else {
            bail!(missing(&compiled, &self.name))
        };
        let first = alert.reads.first();
        let flow = plan.flows.iter().find(|flow| {
            let mut names = flow.outputs().into_iter().map(|it| it.name);
            first.is_some_and(|it| names.any(|name| name == *it))
        });
        let Some(flow) = flow else {
            bail!("`{}` reads no stream or table, so nothing of its past is stored", self.name)
        };
        let target =
            Target { dir: self.dir.clone(), data: self.data.clone(), http: self.http.clone() };
        let source: Box<dyn Source> = match target.find().await? {
            Some(client) => Box::new(client),
            None => Box::new(Stored::open(&self.dir, &target.data()).await?),
        };
        let outcome = backtest::run(project, flow, alert, self.last, source.as_ref()).await?;
        let mut out = std::io::stdout().lock();
        let text = if self.json { self.as_json(&outcome)? } else { self.as_text(&outcome)? };
        out.write_all(text.as_bytes())?;
        Ok(match outcome {
            Outcome::Told(_) => ExitCode::SUCCESS,
            Outcome::Cannot { .. } => ExitCode::from(CANNOT),
        })
    }

    fn as_text(&self, outcome: &Outcome) -> anyhow::Result<String> {
        let told = match outcome {
            Outcome::Told(told) => told,
            Outcome::Cannot { reason, rows } => {
                let mut text = format!("{reason}\n");
                let lines: Vec<String> = rows.iter().flat_map(rows::json::lines).collect();
                text += &format!("now its SELECT gives {}\n", super::counted(lines.len(), "row"));
                for line in lines.iter().take(ROWS_SHOWN_MAX) {
                    text += &format!("  {}\n", fields(line, &[])?);
                }
                return Ok(text);
            }
        };
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        table.set_header(["fired", "resolved", "for", "key", "title"]);
        for firing in &told.firings {
            let resolved = firing.resolved_ms.map_or_else(|| "still firing".to_owned(), moment);
            let span = Span::from_millis(firing.span_ms(told)).to_string();
            let key = fields(&firing.key, &[])?;
            table.add_row([moment(firing.fired_ms), resolved, span, key, firing.title.clone()]);
        }
        let mut text = String::new();
        if !told.firings.is_empty() {
            text = format!("{table}\n\n");
        }
        text += &told.summary(&self.name);
        for note in &told.notes {
            text += &format!("note: {note}\n");
        }
        Ok(text)
    }

    fn as_json(&self, outcome: &Outcome) -> anyhow::Result<String> {
        let raw = |text: &str| RawValue::from_string(text.to_owned());
        let value = match outcome {
            Outcome::Cannot { reason, rows } => {
                let lines = rows.iter().flat_map(rows::json::lines);
                let rows = lines.map(|it| raw(&it)).collect::<Result<Vec<_>, _>>()?;
                serde_json::to_string(&Cannot { alert: &self.name, reason, rows })?
            }
            Outcome::Told(told) => {
                let firings = told.firings.iter().map(|it| {
                    Ok(Fired {
                        fired: moment(it.fired_ms),
                        resolved: it.resolved_ms.map(moment),
                        seconds: it.span_ms(told) as f64 / 1e3,
                        key: raw(&it.key)?,
                        title: &it.title,
                        row: raw(&it.row)?,
                    })
                });
                let firings = firings.collect::<Result<Vec<_>, serde_json::Error>>()?;
                serde_json::to_string(&All {
                    alert: &self.name,
                    from: moment(told.from_ms),
                    to: moment(told.to_ms),
                    windows: told.windows,
                    firings,
                    notes: &told.notes,
                })?
            }
        };
        Ok(value + "\n")
    }
}

/// Rows that are listed of an alert whose past cannot be told.
const ROWS_SHOWN_MAX: usize = 20;

/// What cannot be told, as JSON.
#[derive(Serialize)]
struct Cannot<'a> {
    alert: &'a str,
    reason: &'a str,
    rows: Vec<Box<RawValue>>,
}

/// What was told, as JSON.
#[derive(Serialize)]
struct All<'a> {
    alert: &'a str,
    from: String,
    to: String,
    windows: u64,
    firings: Vec<Fired<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct Fired<'a> {
    fired: String,
    resolved: Option<String>,
    seconds: f64,
    key: Box<RawValue>,
    title: &'a str,
    row: Box<RawValue>,
}

fn moment(ms: u64) -> String {
    rows::json::timestamp_text(rows::schema::arrived_to_micros(ms))
}

fn missing(compiled: &Compiled, name: &Name) -> String {
    let names: Vec<&str> = compiled.project.alerts.keys().map(Name::as_str).collect();
    let message = format!("the project has no alert `{name}`");
    match base::nearest(name, names.iter().copied()) {
        Some(near) => format!("{message}; did you mean `{near}`?"),
        None if names.is_empty() => format!("{message}; it declares none"),
        None => format!("{message}; its alerts are {}", names.join(", ")),
    }
}

impl Firing {
    /// Returns how long it fired; up to the end of the stretch if it still does.
    fn span_ms(&self, told: &Told) -> u64 {
        self.resolved_ms.unwrap_or(told.end_ms).saturating_sub(self.fired_ms)
    }
}

impl Told {
    fn summary(&self, name: &Name) -> String {
        let stretch = match self.windows {
            0 => return format!("`{name}` sees no final window in that time\n"),
            windows => {
                let windows =
                    super::counted(usize::try_from(windows).unwrap_or(usize::MAX), "window");
                format!("{windows} from {} to {}", moment(self.from_ms), moment(self.to_ms))
            }
        };
        if self.firings.is_empty() {
            return format!("`{name}` would not have fired in {stretch}\n");
        }
        let keys: std::collections::BTreeSet<&str> =
            self.firings.iter().map(|it| it.key.as_str()).collect();
        let spans = self.firings.iter().map(|it| it.span_ms(self));
        let (all, longest) = (spans.clone().sum(), spans.max().unwrap_or(0));
        let open = self.firings.iter().filter(|it| it.resolved_ms.is_none()).count();
        format!(
            "{} of {} in {stretch}; {} in all, {} at the longest; {open} still firing at the end\n",
            super::counted(self.firings.len(), "firing"),
            super::counted(keys.len(), "key"),
            Span::from_millis(all),
            Span::from_millis(longest),
        )
    }
}

#[async_trait]
impl Source for Client {
    async fn rows(&self, sql: &str, rows_max: usize) -> anyhow::Result<Vec<RecordBatch>> {
        let body = json!({"sql": sql, "format": "arrow", "rows_max": rows_max + 1});
        let answer = self.post("/v1/sql", &body).await?;
        let rows =
            StreamReader::try_new(answer.as_slice(), None).context("the answer cannot be read")?;
        let rows: Vec<RecordBatch> = rows.collect::<Result<_, _>>()?;
        if rows_max < rows.iter().map(RecordBatch::num_rows).sum() {
            bail!("the answer has more than {rows_max} rows");
        }
        Ok(rows)
    }
}

#[async_trait]
impl Source for Stored {
    async fn rows(&self, sql: &str, rows_max: usize) -> anyhow::Result<Vec<RecordBatch>> {
        Ok(self.engine().ask(sql).await?.all(rows_max).await?)
    }
}
