//! What the console shows, as plain data: the pipeline at one moment.
//!
//! Fields named `_ms` that are moments are milliseconds since 1970 in UTC. Rates (`per_second`,
//! `history`) are filled in by `show` from the totals; the program leaves them at their defaults.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::change::Waiting;

/// The pipeline at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The project's name.
    pub project: String,
    /// The program's version.
    pub version: String,
    /// When the program started.
    pub started_ms: u64,
    /// When these facts held.
    pub now_ms: u64,
    /// Where HTTP listens, as people reach it: `http://127.0.0.1:7070`.
    pub http: String,
    /// Where PostgreSQL clients connect, as `HOST:PORT`; empty when it is off.
    pub postgres: String,
    /// What keeps the program from working; empty means healthy.
    pub problems: Vec<Problem>,
    /// What stands in the project's folder and does not run.
    pub waiting: Option<Waiting>,
    /// The streams, by name.
    pub streams: Vec<Stream>,
    /// The tables and lookups (not the raw tables of streams, nor their dead letters).
    pub tables: Vec<Table>,
    /// What has flowed from where to where, in rows.
    pub edges: Vec<Edge>,
    /// The alerts.
    pub alerts: Vec<Alert>,
    /// The newest notices, newest first.
    pub notices: Vec<Notice>,
    /// The dashboards.
    pub dashboards: Vec<Dashboard>,
    /// The flows.
    pub flows: Vec<Flow>,
    /// The journal.
    pub journal: Journal,
}

/// Something that is wrong with the whole program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Whether the program still does its work: `false` turns `/healthz` to 503.
    pub tolerable: bool,
}

/// A stream: `received = stored + dead + pending`, in records.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// What its author wrote about it.
    pub description: Option<String>,
    /// Its doors.
    pub doors: Vec<Door>,
    /// The columns of its raw table.
    pub columns: Vec<Column>,
    /// Its checks, in file order.
    pub checks: Vec<Check>,
    /// The column of event time.
    pub time: Option<String>,
    /// The field of the partition key.
    pub key: Option<String>,
    /// How long records stay replayable, in words.
    pub replay: String,
    /// Shards.
    pub shards: u32,
    /// Records acknowledged since the stream was made.
    pub received: u64,
    /// Rows in the raw table.
    pub stored: u64,
    /// Records in state dead, by `decode` and `check`.
    pub dead: u64,
    /// Records in the journal that no tick has taken yet.
    pub pending: u64,
    /// Bytes of it in the journal.
    pub bytes: u64,
    /// Records rejected ever, by reason, the most frequent first; those replayed since are in it.
    pub rejects: Vec<Reject>,
    /// How long ago the oldest pending record arrived; 0 when none is pending.
    pub lag_ms: u64,
    /// When the newest record arrived.
    pub last_arrived_ms: Option<u64>,
    /// Records received a second, by `show`.
    pub per_second: f64,
    /// Records rejected a second, by `show`.
    pub rejects_per_second: f64,
    /// Records received a second over the last minutes, oldest first, by `show`.
    pub history: Vec<f64>,
    /// `received - stored - dead - pending`, by `show`: anything but 0 is an alarm.
    pub residue: i64,
}

/// A way into a stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Door {
    /// `http`, `kinesis`, `generate` …
    pub kind: String,
    /// Records it took since the program started.
    pub records: u64,
    /// Records a second, by `show`.
    #[serde(default)]
    pub per_second: f64,
}

/// A column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type in the words of the project files: `decimal(10,2)`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it may be NULL.
    pub nullable: bool,
}

/// A check of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Its condition.
    pub sql: String,
}

/// Rejects of one reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// `decode`, `check`, `compute`, `delivery` or `late`.
    pub kind: String,
    /// The first check that failed, when it was one.
    pub check: Option<String>,
    /// How many.
    pub count: u64,
}

/// What a table is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// A row for each row read: append, exactly once.
    #[default]
    Append,
    /// Groups within windows of event time.
    Windowed,
    /// Groups over everything, as running totals.
    Running,
    /// Computed whole, every so often.
    Recomputed,
    /// A small table read whole from a file.
    Lookup,
}

/// A table or a lookup.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// What its author wrote about it.
    pub description: Option<String>,
    /// What it is.
    pub kind: TableKind,
    /// Its layer, when it names one.
    pub layer: Option<String>,
    /// The flow it belongs to.
    pub flow: Option<String>,
    /// Its SELECT.
    pub sql: String,
    /// The streams, tables and lookups it reads.
    pub reads: Vec<String>,
    /// Its columns.
    pub columns: Vec<Column>,
    /// The column of its event time or of its windows' start.
    pub time: Option<String>,
    /// Rows now.
    pub rows: u64,
    /// Bytes at rest.
    pub bytes: u64,
    /// Files at rest.
    pub files: u64,
    /// Rows written ever.
    pub written: u64,
    /// Rows it could not compute, in its dead letters.
    pub dead: u64,
    /// Final windows corrected by late rows ever.
    pub corrections: u64,
    /// Bytes of its state in memory.
    pub state_bytes: u64,
    /// Bytes of its state on disk, since they do not fit in memory.
    pub spilled_bytes: u64,
    /// When it last changed.
    pub updated_ms: Option<u64>,
    /// The event time up to which windows are final.
    pub watermark_ms: Option<u64>,
    /// Since when it stands still while its flow goes on.
    pub stale_since_ms: Option<u64>,
    /// Why it stands still.
    pub stale_reason: Option<String>,
}

/// Rows on their way from one node to another.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Edge {
    /// The name it leaves.
    pub from: String,
    /// The name it reaches.
    pub to: String,
    /// Rows ever.
    pub rows: u64,
    /// How far behind the reader is.
    pub lag_ms: u64,
    /// Rows the reader could not take: they are in its dead letters.
    pub rejects: u64,
    /// Rows a second, by `show`.
    pub per_second: f64,
}

/// How an alert stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Told, and still true.
    Firing,
    /// True, but not yet for as long as `for` wants.
    Pending,
    /// Was true, is no more.
    #[default]
    Resolved,
}

/// An alert of the project.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Alert {
    /// Its name.
    pub name: String,
    /// What its author wrote about it.
    pub description: Option<String>,
    /// Its SELECT.
    pub sql: String,
    /// The tables it reads.
    pub reads: Vec<String>,
    /// Whom it tells.
    pub notify: Vec<String>,
    /// `for`, in words; empty when at once.
    pub hold: String,
    /// Its instances, firing first; the resolved ones of late.
    pub instances: Vec<AlertInstance>,
    /// When it was last asked.
    pub asked_ms: Option<u64>,
    /// Why it cannot be asked.
    pub error: Option<String>,
}

/// One key of an alert that was true at some time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AlertInstance {
    /// Its key: column and value, in the alert's order.
    pub key: Vec<(String, String)>,
    /// How it stands.
    pub state: AlertState,
    /// Since when it stands so.
    pub since_ms: u64,
    /// Its title, filled in.
    pub title: String,
    /// The row that raised it.
    pub row: BTreeMap<String, serde_json::Value>,
}

/// What became of a notice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeState {
    /// Waiting, or being retried.
    #[default]
    Waiting,
    /// Its target took it.
    Delivered,
    /// Given up.
    Failed,
}

/// A message about an alert to one target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notice {
    /// The same for every try.
    pub id: String,
    /// The alert.
    pub alert: String,
    /// The `notify` target.
    pub notify: String,
    /// What it says.
    pub text: String,
    /// `firing`, `resolved` or `reminder`.
    pub about: String,
    /// When it was made.
    pub made_ms: u64,
    /// What became of it.
    pub state: NoticeState,
    /// Tries so far.
    pub tries: u32,
    /// What the target said when it did not take it.
    pub error: Option<String>,
}

/// A dashboard.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dashboard {
    /// Its name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Its charts, in file order.
    pub charts: Vec<Chart>,
}

/// How a chart draws.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChartKind {
    /// Lines over time.
    #[default]
    Line,
    /// Filled lines over time.
    Area,
    /// A bar for each value of `x`.
    Bar,
    /// One number.
    Number,
    /// The rows as they are.
    Table,
}

/// A chart of a dashboard.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Chart {
    /// Its title.
    pub title: String,
    /// How it draws.
    pub kind: ChartKind,
    /// The table.
    pub from: String,
    /// The column along it.
    pub x: Option<String>,
    /// The columns drawn, or SQL aggregates such as `avg(price)`; a bare column is summed when
    /// several rows share `x` and `by`.
    pub y: Vec<String>,
    /// The column of which each value is a series.
    pub by: Option<String>,
    /// How far back it looks.
    pub last_ms: Option<u64>,
    /// Rows or bars at most.
    pub limit: Option<u32>,
    /// What it draws where a window has no rows.
    pub fill: Option<ChartFill>,
    /// How far the windows along `x` lie apart, if that is known.
    pub step_ms: Option<u64>,
    /// How wide it is, in columns of the page.
    pub span: Option<u32>,
}

/// What a chart draws where a window has no rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChartFill {
    /// 0.
    Zero,
    /// A gap.
    Null,
    /// The value before it.
    Previous,
}

/// A flow: tables that move together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Flow {
    /// Its name.
    pub name: String,
    /// Its tables.
    pub tables: Vec<String>,
    /// Whether it runs; if not, `error` says why.
    pub running: bool,
    /// Why it does not run.
    pub error: Option<String>,
    /// The newest durable epoch.
    pub epoch: u64,
    /// When that epoch became durable.
    pub epoch_ms: Option<u64>,
    /// Ticks since the program started.
    pub ticks: u64,
    /// Seconds all flushes took since the program started.
    pub flush_seconds: f64,
    /// Flushes since the program started.
    pub flushes: u64,
    /// Bytes of rows in memory.
    pub hot_bytes: u64,
    /// Bytes of the state of its tables in memory.
    pub state_bytes: u64,
    /// Bytes of it on disk, since they do not fit in memory.
    pub spilled_bytes: u64,
    /// Rows in memory.
    pub hot_rows: u64,
    /// How far the flow is behind its streams.
    pub lag_ms: u64,
}

/// The journal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Journal {
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes waiting for the next commit.
    pub pending_bytes: u64,
    /// Commits since the program started.
    pub commits: u64,
    /// Seconds all syncs took since the program started.
    pub sync_seconds: f64,
    /// Free bytes on its disk.
    pub disk_free_bytes: Option<u64>,
}

/// What a node of the graph is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// A way in.
    Door,
    /// A stream.
    Stream,
    /// The dead letters of a stream.
    Dead,
    /// A lookup.
    Lookup,
    /// A table.
    Table,
    /// An alert.
    Alert,
    /// A dashboard.
    Dashboard,
}

/// A node of the graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Unique in the graph: the name, or `door:STREAM:KIND`.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
}
