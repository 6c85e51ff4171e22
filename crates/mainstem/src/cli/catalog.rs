//! `mainstem catalog`: what there is, found by words, described, and told to other programs.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use comfy_table::{ContentArrangement, Table};
use serde::Deserialize;
use show::{Entry, EntryColumn, Hit};

use crate::cli::{Target, counted};

/// Find and describe what there is: streams, tables, lookups, buckets, dashboards, alerts.
#[derive(Debug, Args)]
pub(crate) struct Catalog {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Find by words: names, descriptions, tags, owners, layers and columns are searched. Without
    /// words everything is listed.
    Search {
        /// All of them must be found; a beginning is enough, as in `sale reg`.
        #[arg(value_name = "WORDS")]
        words: Vec<String>,

        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,

        #[command(flatten)]
        target: Target,
    },
    /// Describe one: columns and what they are made of, who reads it, how fresh and how large it is.
    Show {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,

        /// Print it as JSON.
        #[arg(long)]
        json: bool,

        #[command(flatten)]
        target: Target,
    },
    /// Print all of it as other programs read it.
    Export {
        /// In which words.
        #[arg(value_enum)]
        format: Format,

        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// OpenLineage events, one a line, with lineage down to columns.
    Openlineage,
    /// A list of tables as `GetTables` of Glue answers.
    Glue,
}

#[derive(Deserialize)]
struct Found {
    count: usize,
    entries: Vec<Hit>,
}

impl Catalog {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Search { words, json, target } => search(&words.join(" "), json, &target).await?,
            What::Show { name, json, target } => show(&name, json, &target).await?,
            What::Export { format, target } => export(format, &target).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn search(words: &str, json: bool, target: &Target) -> anyhow::Result<()> {
    let client = target.require().await?;
    let query: String = url::form_urlencoded::byte_serialize(words.as_bytes()).collect();
    let answer = client.get(&format!("/v1/catalog?q={query}")).await?;
    let found: Found = serde_json::from_slice(&answer).context("the answer cannot be read")?;
    if json {
        for hit in &found.entries {
            println!("{}", serde_json::to_string(hit)?);
        }
        return Ok(());
    }
    if found.entries.is_empty() {
        println!("nothing found; fewer words, or the beginnings of words, find more");
        return Ok(());
    }
    let mut table = table_of(&["name", "kind", "layer", "description", "found in"]);
    for Hit { brief, found_in, .. } in &found.entries {
        let text = |it: &Option<String>| it.clone().unwrap_or_default();
        table.add_row([
            brief.name.clone(),
            brief.kind.word().to_owned(),
            text(&brief.layer),
            text(&brief.description),
            found_in.join("; "),
        ]);
    }
    println!(
        "{table}\n{}",
        match found.count {
            1 => "1 entry".to_owned(),
            count => format!("{count} entries"),
        }
    );
    Ok(())
}

fn table_of(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    table.remove_style(comfy_table::TableComponent::HorizontalLines);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    table
}

async fn show(name: &str, json: bool, target: &Target) -> anyhow::Result<()> {
    let client = target.require().await?;
    let answer = client.get(&format!("/v1/catalog/{name}")).await?;
    if json {
        println!("{}", String::from_utf8_lossy(&answer));
        return Ok(());
    }
    let entry: Entry = serde_json::from_slice(&answer).context("the answer cannot be read")?;
    let brief = &entry.brief;
    println!("{} ({}), declared in {}", brief.name, brief.kind.word(), entry.declared);
    let line = |name: &str, text: &str| {
        if !text.is_empty() {
            println!("  {name:<12} {text}");
        }
    };
    line("description", brief.description.as_deref().unwrap_or_default());
    line("owner", brief.owner.as_deref().unwrap_or_default());
    line("tags", &brief.tags.join(", "));
    line("layer", brief.layer.as_deref().unwrap_or_default());
    line("partition", entry.partition.as_deref().unwrap_or_default());
    line("reads", &entry.reads.join(", "));
    let readers = entry.read_by.iter().map(|it| format!("{} ({})", it.name, it.kind.word()));
    line("read by", &readers.collect::<Vec<_>>().join(", "));
    if !entry.columns.is_empty() {
        let count = |it: u64, word: &str| counted(usize::try_from(it).unwrap_or(usize::MAX), word);
        line(
            "rows",
            &format!("{}, {} bytes in {}", brief.rows, entry.bytes, count(entry.files, "file")),
        );
        println!("{}", columns(&entry.columns));
    }
    Ok(())
}

/// Draws the columns; what is said about them only where something is.
fn columns(columns: &[EntryColumn]) -> Table {
    let is_described = columns.iter().any(|it| it.description.is_some());
    let mut header = vec!["column", "type", "made of"];
    if is_described {
        header.insert(2, "description");
    }
    let mut table = table_of(&header);
    for it in columns {
        let from = it.from.iter().map(|from| format!("{}.{}", from.table, from.column));
        let not_null = if it.column.nullable { "" } else { " not null" };
        let kind = format!("{}{not_null}", it.column.kind);
        let mut row = vec![it.column.name.clone(), kind, from.collect::<Vec<_>>().join(", ")];
        if is_described {
            row.insert(2, it.description.clone().unwrap_or_default());
        }
        table.add_row(row);
    }
    table
}

async fn export(format: Format, target: &Target) -> anyhow::Result<()> {
    let client = target.require().await?;
    match format {
        Format::Openlineage => {
            let answer = client.get("/v1/catalog?format=openlineage").await?;
            let events: Vec<serde_json::Value> =
                serde_json::from_slice(&answer).context("the answer cannot be read")?;
            events.iter().for_each(|it| println!("{it}"));
        }
        Format::Glue => {
            let answer = client.get("/v1/catalog?format=glue").await?;
            println!("{}", String::from_utf8_lossy(&answer));
        }
    }
    Ok(())
}
