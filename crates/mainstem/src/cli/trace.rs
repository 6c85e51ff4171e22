//! `mainstem trace`: what one record became, as a tree.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use base::{Name, Place};
use clap::Args;
use show::{Row, Trace as Found, TraceAlert, TraceFound, TraceGroup, TraceState, TraceTable};

use crate::cli::Target;
use crate::cli::row::{Fields, fields};

/// Follow one record: its bytes, its row or dead letter, and every table and alert it touched.
///
/// Asks the running program. A record is named by its stream and its place, SHARD:SEQUENCE: the
/// answer to sending it says it, and so do the columns `_shard` and `_sequence` of its row and of
/// its dead letter.
///
/// What is told is what stands in the tables now. A table made row by row is run again over the
/// record's row alone, with today's lookups, and the rows it makes are looked up in the table. A
/// table of windows or totals tells into which group the row fell, and what that group is now. Of a
/// table that is recomputed whole that is told where its SELECT groups by what it shows; else only
/// that it reads the record.
///
/// Example: mainstem trace orders 0:1234
#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// The stream.
    #[arg(value_name = "STREAM")]
    stream: Name,

    /// Where the record is in it.
    #[arg(value_name = "SHARD:SEQUENCE")]
    place: Place,

    /// Print everything as one JSON object.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

impl Trace {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.target.require().await?;
        let answer = client.get(&format!("/v1/trace/{}/{}", self.stream, self.place)).await?;
        let mut out = std::io::stdout().lock();
        if self.json {
            out.write_all(&answer)?;
            writeln!(out)?;
            return Ok(ExitCode::SUCCESS);
        }
        let found: Found = serde_json::from_slice(&answer).context("the answer cannot be read")?;
        write!(out, "{}", tree(&found)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// One line of the tree, what is said below it, and what hangs on it.
struct Node {
    line: String,
    details: Vec<String>,
    children: Vec<Node>,
}

/// Returns the tree as people read it.
fn tree(found: &Found) -> anyhow::Result<String> {
    let mut text = head(found);
    let mut shown: Vec<&str> = Vec::new();
    let mut roots = Vec::new();
    if let Some(row) = &found.row {
        let mut root = below(found, &found.stream, &mut shown)?;
        root.line = format!("{}: a row", found.stream);
        root.details.insert(0, fields(row.get(), &[])?);
        roots.push(root);
    }
    let dead = format!("{}__dead", found.stream);
    if !found.letters.is_empty() {
        let mut root = below(found, &dead, &mut shown)?;
        root.line = format!("{dead}: {}", super::counted(found.letters.len(), "dead letter"));
        for (place, letter) in found.letters.iter().enumerate() {
            root.details.insert(place, reason(letter)?);
        }
        roots.push(root);
    }
    for root in &roots {
        text.push_str(&root.line);
        text.push('\n');
        root.write_below("", &mut text);
    }
    for note in &found.notes {
        text += &format!("note: {note}\n");
    }
    Ok(text)
}

fn head(found: &Found) -> String {
    let state = match found.state {
        TraceState::Pending => "waits in the journal: no tick has taken it in yet",
        TraceState::Stored => "stored",
        TraceState::Dead => "rejected",
        TraceState::Replayed => "rejected at first, then replayed and stored",
        TraceState::Gone => "no longer kept",
    };
    let mut text = format!("{} {}: {state}", found.stream, found.place);
    if let Some(arrived_ms) = found.arrived_ms {
        let micros = rows::schema::arrived_to_micros(arrived_ms);
        text += &format!(", arrived {}", rows::json::timestamp_text(micros));
    }
    if let Some(record) = &found.record {
        text += &format!(", {}", counted_bytes(record.bytes));
        if !record.key.is_empty() {
            text += &format!(", key {}", record.key);
        }
        let bytes = record.text.as_deref().or(record.base64.as_deref()).unwrap_or_default();
        text += &format!("\n  {}", bytes.trim_end());
    }
    text.push('\n');
    text
}

fn counted_bytes(bytes: u64) -> String {
    super::counted(usize::try_from(bytes).unwrap_or(usize::MAX), "byte")
}

/// Hangs on `parent` everything that came through it first.
fn below<'a>(found: &'a Found, parent: &str, shown: &mut Vec<&'a str>) -> anyhow::Result<Node> {
    let mut children = Vec::new();
    for table in &found.tables {
        let is_first = table.from.first().is_some_and(|it| it == parent);
        if is_first && !shown.contains(&table.table.as_str()) {
            shown.push(&table.table);
            let mut node = below(found, &table.table, shown)?;
            let (line, details) = of_table(table)?;
            node.line = line;
            node.details = details;
            children.push(node);
        }
    }
    for alert in &found.alerts {
        let is_last = alert.from.last().is_some_and(|it| it == parent);
        if is_last {
            children.push(of_alert(alert)?);
        }
    }
    Ok(Node { line: String::new(), details: Vec::new(), children })
}

fn of_table(table: &TraceTable) -> anyhow::Result<(String, Vec<String>)> {
    let (name, kind) = (&table.table, &table.kind);
    let mut details = Vec::new();
    let what = match &table.found {
        TraceFound::LeftOut if !table.letters.is_empty() => "could not take it".to_owned(),
        TraceFound::LeftOut => "no row: its SELECT leaves it out".to_owned(),
        TraceFound::Read(reason) => {
            format!("reads it; which of its rows are made of it cannot be told: {reason}")
        }
        TraceFound::Rows(rows) => {
            for row in rows {
                details.push(fields(row.get(), &[])?);
            }
            super::counted(rows.len(), "row")
        }
        TraceFound::Groups(groups) => {
            for group in groups {
                details.extend(of_group(group)?);
            }
            super::counted(groups.len(), "group")
        }
    };
    for letter in &table.letters {
        details.push(format!("dead letter: {}", reason(letter)?));
    }
    if let Some(since_ms) = table.stale_since_ms {
        let since = rows::json::timestamp_text(rows::schema::arrived_to_micros(since_ms));
        details.push(format!("note: stale since {since}; later rows are not in it"));
    }
    details.extend(table.notes.iter().map(|it| format!("note: {it}")));
    if let [_, others @ ..] = table.from.as_slice()
        && !others.is_empty()
    {
        details.push(format!("also through {}", others.join(", ")));
    }
    Ok((format!("{name} ({kind}): {what}"), details))
}

fn of_group(group: &TraceGroup) -> anyhow::Result<Vec<String>> {
    let key: Fields = serde_json::from_str(group.key.get())?;
    let names: Vec<&str> = key.0.iter().map(|(name, _)| name.as_str()).collect();
    let mut line = match key.0.as_slice() {
        [] => "all rows".to_owned(),
        _ => fields(group.key.get(), &[])?,
    };
    if let Some((start, end)) = &group.window {
        let state = match group.is_final {
            Some(true) => ", final",
            Some(false) => ", open",
            None => "",
        };
        line += &format!(" (window {start} to {end}{state})");
    }
    let mut lines = vec![line];
    for row in &group.rows {
        lines.push(format!("  is now {}", fields(row.get(), &names)?));
    }
    if group.rows.is_empty() {
        lines.push("  has no row now: HAVING leaves it out, or it is no longer kept".to_owned());
    }
    Ok(lines)
}

fn of_alert(alert: &TraceAlert) -> anyhow::Result<Node> {
    let mut details = Vec::new();
    let alarming: Vec<&Row> = match &alert.found {
        TraceFound::Rows(rows) => rows.iter().collect(),
        TraceFound::Groups(groups) => groups.iter().flat_map(|it| &it.rows).collect(),
        TraceFound::LeftOut | TraceFound::Read(_) => Vec::new(),
    };
    let what = match &alert.found {
        TraceFound::Read(reason) => {
            format!("reads it; which of its rows are made of it cannot be told: {reason}")
        }
        _ if alarming.is_empty() => "not alarming: no row of it comes from there".to_owned(),
        _ => "alarming by its SELECT".to_owned(),
    };
    for row in &alarming {
        details.push(fields(row.get(), &[])?);
    }
    for instance in &alert.instances {
        let since = rows::json::timestamp_text(rows::schema::arrived_to_micros(instance.since_ms));
        let state = format!("{:?}", instance.state).to_lowercase();
        details.push(format!("{state} since {since}: {}", instance.title));
    }
    if !alarming.is_empty() && alert.instances.is_empty() {
        details.push("nothing stands under its key: a later window of it may be calm".to_owned());
    }
    Ok(Node { line: format!("alert {}: {what}", alert.alert), details, children: Vec::new() })
}

impl Node {
    fn write_below(&self, indent: &str, text: &mut String) {
        let bar = if self.children.is_empty() { "   " } else { "│  " };
        for detail in &self.details {
            *text += &format!("{indent}{bar}{detail}\n");
        }
        let last = self.children.len().saturating_sub(1);
        for (place, child) in self.children.iter().enumerate() {
            let (branch, next) =
                if place == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            *text += &format!("{indent}{branch}{}\n", child.line);
            child.write_below(&format!("{indent}{next}"), text);
        }
    }
}

/// Why a record or row is a dead letter.
fn reason(letter: &Row) -> anyhow::Result<String> {
    let letter: Fields = serde_json::from_str(letter.get())?;
    let (kind, state) = (letter.plain("kind"), letter.plain("state"));
    Ok(format!("{kind} ({state}): {}", letter.plain("message")))
}
