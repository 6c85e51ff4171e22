//! `mainstem sql`: asks the running program, or the files of one that does not run.

use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, ContentArrangement, Table};
use reedline::{DefaultPrompt, DefaultPromptSegment, Reedline, Signal};
use serde_json::{Value, json};

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

/// An answer as values.
struct Answer {
    columns: Vec<(String, String)>,
    rows: Vec<Vec<Value>>,
    is_cut: bool,
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
            None if std::io::stdin().is_terminal() => return self.converse(&source).await,
            None => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).context("cannot read the query")?;
                text
            }
        };
        self.print(&source.ask(&query, self.rows).await?);
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
                    Ok(answer) => self.print(&answer),
                    Err(error) => eprintln!("{error:#}"),
                }
            }
        }
    }

    fn print(&self, answer: &Answer) {
        match self.format {
            Format::Table => print_table(answer),
            Format::Csv => {
                let names: Vec<Value> =
                    answer.columns.iter().map(|(name, _)| json!(name)).collect();
                println!("{}", csv_line(&names));
                answer.rows.iter().for_each(|row| println!("{}", csv_line(row)));
            }
            Format::Json => {
                for row in &answer.rows {
                    let names = answer.columns.iter().map(|(name, _)| name.clone());
                    let fields: serde_json::Map<_, _> = names.zip(row.iter().cloned()).collect();
                    println!("{}", Value::Object(fields));
                }
            }
        }
        if answer.is_cut {
            eprintln!("only the first {} rows are shown; --rows N shows more", answer.rows.len());
        }
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
        let answer: Value = serde_json::from_slice(&body).context("the answer is no JSON")?;
        let list =
            |name: &str| answer.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let word = |it: &Value, name: &str| {
            it.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let columns =
            list("columns").iter().map(|it| (word(it, "name"), word(it, "type"))).collect();
        let rows =
            list("rows").into_iter().map(|it| it.as_array().cloned().unwrap_or_default()).collect();
        let is_cut = answer.get("truncated").and_then(Value::as_bool).unwrap_or(false);
        Ok(Answer { columns, rows, is_cut })
    }
}

async fn from_stored(stored: &Stored, query: &str, rows_max: usize) -> anyhow::Result<Answer> {
    let mut answer =
        stored.engine().ask(query).await.map_err(|error| anyhow::anyhow!("{error}"))?;
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
            rows.push(batch.columns().iter().map(|it| rows::json::value(it, index)).collect());
        }
    }
    let is_cut = rows_max < rows.len();
    rows.truncate(rows_max);
    Ok(Answer { columns, rows, is_cut })
}

fn print_table(answer: &Answer) {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(answer.columns.iter().map(|(name, _)| name));
    for row in &answer.rows {
        table.add_row(row.iter().map(plain));
    }
    for (index, (_, kind)) in answer.columns.iter().enumerate() {
        let is_number = ["int", "float", "decimal"].iter().any(|it| kind.starts_with(it));
        if let (true, Some(column)) = (is_number, table.column_mut(index)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{table}");
    let rows = answer.rows.len();
    println!("{rows} row{}", if rows == 1 { "" } else { "s" });
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn csv_line(row: &[Value]) -> String {
    let field = |value: &Value| {
        let text = plain(value);
        let needs_quotes = text.contains([',', '"', '\n', '\r']);
        if needs_quotes { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
    };
    row.iter().map(field).collect::<Vec<_>>().join(",")
}
