//! The catalogue: everything there is, described, found by words, and told to other programs.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use base::{Kind, limits, nearest};
use serde::{Deserialize, Serialize};

use crate::facts::Column;
use crate::fault::Refusal;
use crate::routes::Show;

pub(crate) mod export;
pub(crate) mod search;
pub(crate) mod statistics;

/// What can be described.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// What comes in.
    #[default]
    Stream,
    /// What is made of it.
    Table,
    /// A small table read from a file.
    Lookup,
    /// Places with objects.
    Bucket,
    /// A page of charts.
    Dashboard,
    /// What is alarming.
    Alert,
}

impl EntryKind {
    /// Returns the word for it.
    pub fn word(self) -> &'static str {
        match self {
            EntryKind::Stream => "stream",
            EntryKind::Table => "table",
            EntryKind::Lookup => "lookup",
            EntryKind::Bucket => "bucket",
            EntryKind::Dashboard => "dashboard",
            EntryKind::Alert => "alert",
        }
    }
}

/// A column, and what its values are computed from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryColumn {
    /// The column.
    #[serde(flatten)]
    pub column: Column,
    /// What its author wrote about it.
    #[serde(default)]
    pub description: Option<String>,
    /// The columns of other tables that it is made of.
    pub from: Vec<Origin>,
}

/// A column of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// The table.
    pub table: String,
    /// Its column.
    pub column: String,
}

/// Who reads something.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reader {
    /// What it is.
    pub kind: EntryKind,
    /// Its name.
    pub name: String,
}

/// What is told of an entry wherever it is listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Brief {
    /// What it is.
    pub kind: EntryKind,
    /// Its name.
    pub name: String,
    /// What its author wrote about it.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Free words.
    pub tags: Vec<String>,
    /// Where in the warehouse it belongs.
    pub layer: Option<String>,
    /// Rows now.
    pub rows: u64,
    /// When something of it was written last.
    pub updated_ms: Option<u64>,
    /// Since when it stands still.
    pub stale_since_ms: Option<u64>,
}

/// One thing that is described.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// What is told of it in lists too.
    #[serde(flatten)]
    pub brief: Brief,
    /// Where in the project it is declared: `mainstem.toml:12`.
    pub declared: String,
    /// Its SELECT, or what stands in its place.
    pub sql: String,
    /// Its columns, in order.
    pub columns: Vec<EntryColumn>,
    /// What it reads.
    pub reads: Vec<String>,
    /// Who reads it.
    pub read_by: Vec<Reader>,
    /// How its files are told apart.
    pub partition: Option<String>,
    /// Bytes at rest.
    pub bytes: u64,
    /// Files at rest.
    pub files: u64,
    /// Where it lies, for programs on this machine.
    pub location: Option<String>,
}

/// Everything that is described.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    /// The project.
    pub project: String,
    /// Sorted by name.
    pub entries: Vec<Entry>,
}

/// What is asked of the catalogue.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Asked {
    q: Option<String>,
    kind: Option<String>,
    layer: Option<String>,
    format: Option<String>,
}

#[derive(Debug, Serialize)]
struct Found {
    project: String,
    count: usize,
    entries: Vec<search::Hit>,
}

pub(crate) async fn list(
    State(show): State<Show>,
    Query(asked): Query<Asked>,
) -> Result<Response, Refusal> {
    let catalog = show.pipeline().catalog();
    let now_ms = show.clock().now_ms();
    match asked.format.as_deref() {
        None | Some("json") => {}
        Some("openlineage") => {
            return Ok(Json(export::open_lineage(&catalog, now_ms)).into_response());
        }
        Some("glue") => return Ok(Json(export::glue(&catalog)).into_response()),
        Some(other) => {
            let message = format!("the catalogue cannot be told as `{other}`");
            let help = "formats are `json`, `openlineage` and `glue`";
            return Err(Refusal::new(Kind::Invalid, message).help(help));
        }
    }
    let mut entries = search::search(&catalog, asked.q.as_deref().unwrap_or_default());
    entries.retain(|it| {
        asked.kind.as_ref().is_none_or(|kind| it.brief.kind.word() == kind)
            && asked.layer.as_ref().is_none_or(|layer| it.brief.layer.as_ref() == Some(layer))
    });
    let count = entries.len();
    entries.truncate(limits::CATALOG_FOUND_MAX);
    Ok(Json(Found { project: catalog.project, count, entries }).into_response())
}

pub(crate) async fn one(
    State(show): State<Show>,
    Path(name): Path<String>,
) -> Result<Json<Entry>, Refusal> {
    find(&show.pipeline().catalog(), &name).map(Json)
}

pub(crate) async fn statistics(
    State(show): State<Show>,
    Path(name): Path<String>,
) -> Result<Json<statistics::Statistics>, Refusal> {
    let entry = find(&show.pipeline().catalog(), &name)?;
    let kind = entry.brief.kind;
    if matches!(kind, EntryKind::Dashboard | EntryKind::Alert | EntryKind::Bucket) {
        let message = format!("the {} `{name}` has no rows of its own", kind.word());
        return Err(Refusal::new(Kind::Invalid, message).help("ask for what it reads"));
    }
    statistics::of(show.answers(), &entry).await.map(Json).map_err(Refusal::of_ours)
}

fn find(catalog: &Catalog, name: &str) -> Result<Entry, Refusal> {
    if let Some(entry) = catalog.entries.iter().find(|it| it.brief.name == name) {
        return Ok(entry.clone());
    }
    let refusal = Refusal::new(Kind::Missing, format!("the catalogue has no `{name}`"));
    let names = catalog.entries.iter().map(|it| it.brief.name.as_str());
    Err(match nearest(name, names) {
        Some(near) => refusal.help(format!("did you mean `{near}`?")),
        None => refusal,
    })
}

#[cfg(test)]
mod tests;
