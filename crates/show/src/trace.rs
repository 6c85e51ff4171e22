//! What one record became: the record, its row, and every table, reject and alert it touched.

use axum::Json;
use axum::extract::{Path, State};
use base::{Kind, Name, Place};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::facts::AlertInstance;
use crate::fault::Refusal;
use crate::routes::Show;

/// A row as a JSON object, whose numbers keep all their digits.
pub type Row = Box<RawValue>;

/// What became of one record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trace {
    /// The stream.
    pub stream: String,
    /// `SHARD:SEQUENCE`.
    pub place: String,
    /// Where it is now.
    pub state: TraceState,
    /// When it was taken in.
    pub arrived_ms: Option<u64>,
    /// Its bytes, while the journal keeps them.
    pub record: Option<TraceRecord>,
    /// Its row in the raw table.
    pub row: Option<Row>,
    /// Its dead letters.
    pub letters: Vec<Row>,
    /// The tables it reached, each after those it reads.
    pub tables: Vec<TraceTable>,
    /// The alerts that read what it touched.
    pub alerts: Vec<TraceAlert>,
    /// What is not known of it, and why.
    pub notes: Vec<String>,
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceState {
    /// In the journal; no tick has taken it in yet.
    Pending,
    /// Its row is in the raw table.
    Stored,
    /// It was rejected.
    Dead,
    /// It was rejected, sent again, and its row is in the raw table.
    Replayed,
    /// Its row is no longer kept.
    Gone,
}

/// The bytes of a record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceRecord {
    /// How many.
    pub bytes: u64,
    /// Its partition key.
    pub key: String,
    /// The bytes, when they are text.
    pub text: Option<String>,
    /// The bytes, when they are not.
    pub base64: Option<String>,
}

/// What one table made of the record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TraceTable {
    /// The table.
    pub table: String,
    /// `append`, `windowed`, `running` or `recomputed`.
    pub kind: String,
    /// Through which of the tables it reads the record came.
    pub from: Vec<String>,
    /// What it became.
    pub found: TraceFound,
    /// Rows of the record that the table could not take.
    pub letters: Vec<Row>,
    /// Since when the table no longer follows what it reads.
    pub stale_since_ms: Option<u64>,
    /// What is not exact about this, and why.
    pub notes: Vec<String>,
}

/// What became of rows in a table or an alert.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceFound {
    /// Nothing: WHERE or a join left them out, or they are dead letters.
    LeftOut,
    /// These rows.
    Rows(Vec<Row>),
    /// They fell into these groups.
    Groups(Vec<TraceGroup>),
    /// They were read; which rows are made of them cannot be told, for this reason.
    Read(String),
}

/// A group that rows fell into.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TraceGroup {
    /// Its values of what is grouped by.
    pub key: Row,
    /// Where its window begins and ends.
    pub window: Option<(String, String)>,
    /// Whether that window is final.
    pub is_final: Option<bool>,
    /// Its rows as they are now; none where HAVING leaves the group out.
    pub rows: Vec<Row>,
}

/// An alert that reads what the record touched.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TraceAlert {
    /// The alert.
    pub alert: String,
    /// What it reads of what the record touched.
    pub from: Vec<String>,
    /// Its rows that come from there, of what it sees.
    pub found: TraceFound,
    /// What stands, or stood, under the keys of those rows.
    pub instances: Vec<AlertInstance>,
}

pub(crate) async fn show(
    State(show): State<Show>,
    Path((stream, place)): Path<(String, String)>,
) -> Result<Json<Trace>, Refusal> {
    let invalid = |message: String| Refusal::new(Kind::Invalid, message);
    let stream = Name::new(&stream).map_err(|error| invalid(error.to_string()))?;
    let place: Place = place
        .parse()
        .map_err(|error: base::id::NotAPlace| invalid(error.to_string()))
        .map_err(|it| it.help("a row has them in its columns `_shard` and `_sequence`"))?;
    show.pipeline().trace(stream, place).await.map(Json).map_err(Refusal::of_ours)
}
