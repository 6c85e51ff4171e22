//! `mainstem sql`: asks the running program, or the files of one that does not run.

use std::io::{self, IsTerminal as _, Read as _, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use arrow::array::ArrayRef;
use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, ContentArrangement, Table};
use reedline::{DefaultPrompt, DefaultPromptSegment, Reedline, Signal};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::cli::Target;
use crate::client::Client;
use crate::stored::Stored;

/// Ask in SQL. Without a query: an interactive prompt, or the query from standard input.
///
/// Asks the running program; if none runs, the stored tables of the folder.
/// Example: mainstem sql "SELECT * FROM system.conservation"
#[derive(Debug, Args)]
pub(crate) struct Sql {
    /// One SELECT.
    #[arg(value_name = "QUERY")]
    query: Option<String>,

    /// How to print the answer.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,

    /// Rows to print at most.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    rows: usize,

    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people.
    Table,
    /// CSV with a header.
    Csv,
    /// One JSON object a line.
    Json,
}

/// Whom to ask.
enum Source {
    Running(Client),
    Stored(Box<Stored>),
}

/// An answer; values are JSON text, so that decimals keep all their digits.
struct Answer {
    columns: Vec<(String, String)>,
    rows: Vec<Vec<String>>,
    is_cut: bool,
}

/// An answer as the running program gives it.
#[derive(Debug, Deserialize)]
struct Answered {
    columns: Vec<Column>,
    rows: Vec<Vec<Box<RawValue>>>,
    truncated: bool,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Sql {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let source = match self.target.find().await? {
            Some(client) => Source::Running(client),
            None => {
                Source::Stored(Box::new(Stored::open(&self.target.dir, &self.target.data()).await?))
            }
        };
        let query = match &self.query {
            Some(query) => query.clone(),
            None if io::stdin().is_terminal() => return self.converse(&source).await,
            None => {
                let mut text = String::new();
                io::stdin().read_to_string(&mut text).context("cannot read the query")?;
                text
            }
        };
        self.print(&source.ask(&query, self.rows).await?)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Asks and answers until the person has enough; a wrong query ends nothing.
    async fn converse(&self, source: &Source) -> anyhow::Result<ExitCode> {
        println!("One SELECT, ended by ; or an empty line. Ctrl+D ends. Try: SHOW TABLES;");
        let mut editor = Reedline::create();
        let prompt = |name: &str| {
            DefaultPrompt::new(
                DefaultPromptSegment::Basic(name.to_owned()),
                DefaultPromptSegment::Empty,
            )
        };
        let mut query = String::new();
        loop {
            let shown = prompt(if query.is_empty() { "mainstem" } else { "       …" });
            let signal = tokio::task::block_in_place(|| editor.read_line(&shown));
            let Ok(Signal::Success(line)) = signal else { return Ok(ExitCode::SUCCESS) };
            let is_done = line.trim().is_empty() || line.trim_end().ends_with(';');
            query.push_str(&line);
            query.push('\n');
            if !is_done {
                continue;
            }
            let asked = std::mem::take(&mut query);
            if !asked.trim().trim_end_matches(';').trim().is_empty() {
                match source.ask(asked.trim().trim_end_matches(';'), self.rows).await {
                    Ok(answer) => self.print(&answer)?,
                    Err(error) => eprintln!("{error:#}"),
                }
            }
        }
    }

    fn print(&self, answer: &Answer) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match self.format {
            Format::Table => {
                writeln!(out, "{}", table_of(answer))?;
                writeln!(out, "{}", super::counted(answer.rows.len(), "row"))?;
            }
            Format::Csv => {
                let names: Vec<String> =
                    answer.columns.iter().map(|(name, _)| json!(name).to_string()).collect();
                writeln!(out, "{}", csv_line(&names))?;
                for row in &answer.rows {
                    writeln!(out, "{}", csv_line(row))?;
                }
            }
            Format::Json => {
                for row in &answer.rows {
                    writeln!(out, "{}", json_line(&answer.columns, row))?;
                }
            }
        }
        if answer.is_cut {
            eprintln!("only the first {} rows are shown; --rows N shows more", answer.rows.len());
        }
        Ok(())
    }
}

impl Source {
    async fn ask(&self, query: &str, rows_max: usize) -> anyhow::Result<Answer> {
        let body = match self {
            Source::Running(client) => {
                client.post("/v1/sql", &json!({"sql": query, "rows_max": rows_max})).await?
            }
            Source::Stored(stored) => return from_stored(stored, query, rows_max).await,
        };
        let answer: Answered =
            serde_json::from_slice(&body).context("the answer cannot be read")?;
        let columns = answer.columns.into_iter().map(|it| (it.name, it.kind)).collect();
        let text = |row: Vec<Box<RawValue>>| row.iter().map(|it| it.get().to_owned()).collect();
        let rows = answer.rows.into_iter().map(text).collect();
        Ok(Answer { columns, rows, is_cut: answer.truncated })
    }
}

async fn from_stored(stored: &Stored, query: &str, rows_max: usize) -> anyhow::Result<Answer> {
    let mut answer = stored.engine().ask(query).await.map_err(|error| {
        let help = if query.contains("system.") {
            Some("nothing runs here, so the stored tables answer; those of `system` need the running program".to_owned())
        } else {
            error.help
        };
        anyhow::anyhow!("{}{}", error.message, help.map(|it| format!("\n  {it}")).unwrap_or_default())
    })?;
    let columns: Vec<(String, String)> = answer
        .schema
        .fields()
        .iter()
        .map(|it| (it.name().clone(), crate::facts::type_name(it.data_type())))
        .collect();
    let mut rows = Vec::new();
    while rows.len() <= rows_max {
        let Some(batch) = answer.next().await else { break };
        let batch = batch?;
        for index in 0..batch.num_rows() {
            let text = |column: &ArrayRef| {
                let mut text = String::new();
                rows::json::write_value(column, index, &mut text);
                text
            };
            rows.push(batch.columns().iter().map(text).collect());
        }
    }
    let is_cut = rows_max < rows.len();
    rows.truncate(rows_max);
    Ok(Answer { columns, rows, is_cut })
}

fn table_of(answer: &Answer) -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    table.remove_style(comfy_table::TableComponent::HorizontalLines);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(answer.columns.iter().map(|(name, _)| name));
    for row in &answer.rows {
        table.add_row(row.iter().map(|it| plain(it)));
    }
    for (index, (_, kind)) in answer.columns.iter().enumerate() {
        let is_number = ["int", "float", "decimal"].iter().any(|it| kind.starts_with(it));
        if let (true, Some(column)) = (is_number, table.column_mut(index)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Writes a row as an object whose fields are in the order of the columns.
fn json_line(columns: &[(String, String)], row: &[String]) -> String {
    let fields = columns.iter().zip(row).map(|((name, _), it)| format!("{}:{it}", json!(name)));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

/// Returns JSON text as people read it.
fn plain(json: &str) -> String {
    match json {
        "null" => String::new(),
        text if text.starts_with('"') => {
            serde_json::from_str(text).unwrap_or_else(|_| text.to_owned())
        }
        other => other.to_owned(),
    }
}

fn csv_line(row: &[String]) -> String {
    let field = |value: &String| {
        let text = plain(value);
        let needs_quotes = text.contains([',', '"', '\n', '\r']);
        if needs_quotes { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
    };
    row.iter().map(field).collect::<Vec<_>>().join(",")
}
