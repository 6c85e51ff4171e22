//! What a change of the project would do, and how far one that is under way has come.

use axum::Json;
use axum::extract::State;
use base::Kind;
use serde::{Deserialize, Serialize};

use crate::fault::Refusal;
use crate::routes::Show;

/// Which project is meant: a folder on the machine that the program runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Its path, from the root.
    pub dir: std::path::PathBuf,
    /// The environment whose overlays are laid over it.
    #[serde(default)]
    pub env: Option<String>,
    /// Whether readers outside may find something gone or of another type.
    #[serde(default)]
    pub breaking: bool,
}

/// What differs between the project that runs and another, and what follows from it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// The project's name.
    pub project: String,
    /// What differs, by kind and name.
    pub items: Vec<ChangeItem>,
    /// Tables that are built anew from the stored rows, in FROM order.
    pub builds: Vec<ChangeBuild>,
    /// What readers outside could trip over.
    pub breaking: Vec<String>,
    /// Why it cannot be applied.
    pub refused: Vec<String>,
}

/// What happens to one thing of the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeAction {
    /// It is added.
    New,
    /// It is taken away.
    Dropped,
    /// It is another one from now on.
    Changed,
    /// It is as it was, but what it reads is not.
    Follows,
}

/// One thing of the project that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeItem {
    /// What happens to it.
    pub action: ChangeAction,
    /// `stream`, `lookup`, `table`, `alert`, `notify`, `dashboard` or `project`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What of it differs, a sentence each.
    pub details: Vec<String>,
}

/// A table that is built anew.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChangeBuild {
    /// The table.
    pub table: String,
    /// What its rows are made of.
    pub reads: Vec<String>,
    /// Rows to read, about.
    pub rows: u64,
    /// Bytes to read, about.
    pub bytes: u64,
    /// How long that takes, about.
    pub seconds: f64,
}

/// How far a change has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplyState {
    /// Nothing was changed since the program started.
    #[default]
    None,
    /// Tables are built.
    Building,
    /// The flows that differ are opened anew.
    Switching,
    /// The new project runs.
    Applied,
    /// It could not be; the project before runs on.
    Failed,
}

/// The change under way, or the last one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Applying {
    /// How far it is.
    pub state: ApplyState,
    /// What it does.
    pub change: Option<Change>,
    /// The tables that are built now.
    pub table: Option<String>,
    /// Rows read so far.
    pub rows: u64,
    /// Rows that are known to be there.
    pub rows_all: u64,
    /// How long the flows that differ stood still.
    pub pause_ms: Option<u64>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it came to this state.
    pub at_ms: u64,
}

/// What stands in the project's folder and does not run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Waiting {
    /// What it is, in a sentence.
    pub message: String,
    /// What to do.
    pub help: String,
    /// Whether it cannot run as it stands.
    pub has_faults: bool,
    /// When it was seen.
    pub since_ms: u64,
}

/// How somebody wants to go back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Back {
    /// Whether readers outside may find something gone or of another type.
    #[serde(default)]
    pub breaking: bool,
}

impl Change {
    /// Returns whether both projects are the same.
    pub fn is_nothing(&self) -> bool {
        self.items.is_empty() && self.builds.is_empty()
    }
}

pub(crate) async fn plan(
    State(show): State<Show>,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Change>, Refusal> {
    wanted.check()?;
    show.pipeline().plan(wanted).await.map(Json).map_err(Refusal::of_ours)
}

pub(crate) async fn apply(
    State(show): State<Show>,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Change>, Refusal> {
    wanted.check()?;
    show.pipeline().apply(wanted).await.map(Json).map_err(Refusal::of_ours)
}

pub(crate) async fn plan_rollback(State(show): State<Show>) -> Result<Json<Change>, Refusal> {
    show.pipeline().plan_rollback().await.map(Json).map_err(Refusal::of_ours)
}

pub(crate) async fn rollback(
    State(show): State<Show>,
    Json(back): Json<Back>,
) -> Result<Json<Change>, Refusal> {
    show.pipeline().rollback(back).await.map(Json).map_err(Refusal::of_ours)
}

pub(crate) async fn applying(State(show): State<Show>) -> Json<Applying> {
    Json(show.pipeline().applying())
}

impl Wanted {
    fn check(&self) -> Result<(), Refusal> {
        if self.dir.is_absolute() {
            return Ok(());
        }
        let message = format!("`{}` is no path from the root", self.dir.display());
        Err(Refusal::new(Kind::Invalid, message))
    }
}
