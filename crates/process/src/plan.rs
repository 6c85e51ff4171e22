//! What a project's streams and tables become: flows, each with its tables in FROM order.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use base::{Name, Span};
use spec::{Faults, Project};

/// All flows of a project.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The flows: streams and tables tied together by FROM.
    pub flows: Vec<FlowPlan>,
    /// What is odd, but no error.
    pub warnings: Faults,
}

/// One flow.
#[derive(Debug, Clone)]
pub struct FlowPlan {
    /// Its name: that of its first stream, or of its first table where it has none.
    pub name: Name,
    pub(crate) streams: Vec<Arc<StreamPlan>>,
    pub(crate) lookups: Vec<Arc<LookupPlan>>,
    pub(crate) tables: Vec<Arc<TablePlan>>,
}

/// A table that needs storage.
#[derive(Debug, Clone)]
pub struct Output {
    /// The name.
    pub name: Name,
    /// What kind of table it is.
    pub kind: TableKind,
    /// The schema of its rows.
    pub schema: SchemaRef,
    /// How its files are laid out.
    pub partition: Option<spec::Partition>,
    /// How long its rows are kept.
    pub keep: Option<Span>,
    /// The column that `keep` looks at: event time, or the arrival.
    pub time: Option<String>,
    /// The `version` of `name@version`, to which positions and epochs belong.
    pub incarnation: String,
}

/// What kind of table it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableKind {
    /// The rows of a stream.
    Raw,
    /// Dead letters.
    Dead,
    /// A file read whole.
    Lookup,
    /// Row by row; rows are only added.
    Append,
    /// By windows, which become final.
    Windowed,
    /// Totals since the beginning.
    Running,
    /// Computed anew as a whole.
    Recomputed,
}

impl TableKind {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            TableKind::Raw => "raw",
            TableKind::Dead => "dead",
            TableKind::Lookup => "lookup",
            TableKind::Append => "append",
            TableKind::Windowed => "windowed",
            TableKind::Running => "running",
            TableKind::Recomputed => "recomputed",
        }
    }
}

/// A stream of a flow.
#[derive(Debug)]
pub(crate) struct StreamPlan {}
/// A lookup of a flow.
#[derive(Debug)]
pub(crate) struct LookupPlan {}
/// A table of a flow.
#[derive(Debug)]
pub(crate) struct TablePlan {}

/// Plans the flows of a project; `given` are rows of lookups, as NDJSON, that take the place of
/// their files.
pub async fn plan(
    _project: &Project,
    _given: &BTreeMap<Name, Vec<String>>,
) -> Result<Plan, Faults> {
    std::future::ready(Ok(Plan::default())).await
}

impl FlowPlan {
    /// Returns the names of its streams.
    pub fn streams(&self) -> impl Iterator<Item = &Name> {
        std::iter::empty()
    }

    /// Returns all tables that need storage.
    pub fn outputs(&self) -> Vec<Output> {
        Vec::new()
    }
}
