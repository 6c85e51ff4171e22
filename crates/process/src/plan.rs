//! What a project's streams and tables become: flows, each with its tables in FROM order.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use base::{Name, Span};
use datafusion::logical_expr::{Expr, LogicalPlan};
use spec::Faults;

use crate::batch::Rules;
use crate::lookup::LookupData;
use crate::lookup::read::LookupFile;
use crate::plan::checks::CheckPlan;
use crate::plan::slices::{Slices, Told};

pub(crate) mod checks;
mod flows;
pub(crate) mod kept;
mod planner;
pub(crate) mod select;
pub(crate) mod slices;

pub use planner::{plan, plan_sound};

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
    pub(crate) checks: Vec<Arc<CheckPlan>>,
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
    /// What is said about its columns.
    pub descriptions: Vec<spec::Described>,
    /// How its files are laid out.
    pub partition: Option<spec::Partition>,
    /// How long its rows are kept.
    pub keep: Option<Span>,
    /// How its stored rows are kept beyond that.
    pub rest: spec::Rest,
    /// The column that `keep` looks at: event time, the window's start, or the arrival.
    pub time: Option<String>,
    /// The `version` of `name@version`, to which epochs belong.
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

    /// Returns whether rows are only ever added to it, so that others can follow row by row.
    pub(crate) fn is_append(self) -> bool {
        matches!(self, TableKind::Raw | TableKind::Append)
    }
}

/// A column of a stream from which a value comes unchanged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source {
    pub(crate) stream: Name,
    pub(crate) column: String,
}

/// The columns of streams from which a value comes unchanged; of one row it is one of them. Nothing
/// if it may be of another origin.
pub(crate) type Sources = Vec<Source>;

/// A stream of a flow.
#[derive(Debug)]
pub(crate) struct StreamPlan {
    pub(crate) declared: spec::Stream,
    pub(crate) dead: Name,
    pub(crate) schema: SchemaRef,
    /// The columns whose progress windows wait for.
    pub(crate) times: Vec<String>,
}

/// A lookup of a flow.
#[derive(Debug)]
pub(crate) struct LookupPlan {
    pub(crate) name: Name,
    pub(crate) file: LookupFile,
    pub(crate) every: Option<Span>,
    pub(crate) first: LookupData,
}

/// A table of a flow.
#[derive(Debug)]
pub(crate) struct TablePlan {
    pub(crate) declared: spec::Table,
    pub(crate) dead: Name,
    pub(crate) kind: TableKind,
    /// The plan as written; its scans name tables.
    pub(crate) select: LogicalPlan,
    /// The plan that groups rows, where that is another: by panes.
    pub(crate) grouped: Option<LogicalPlan>,
    /// The columns of its rows, `_final` included.
    pub(crate) schema: SchemaRef,
    /// What it follows row by row; nothing if it is recomputed, as a whole or slice by slice.
    pub(crate) inputs: Vec<Name>,
    /// How long the rows of those are kept, the shortest.
    pub(crate) input_keep: Option<Span>,
    /// Every table it reads, dead letters included.
    pub(crate) reads: Vec<Name>,
    pub(crate) lookups: Vec<Name>,
    /// Lookups whose change makes its rows of before anew: its own if it says so, and those of the
    /// tables that it follows.
    pub(crate) backfills: Vec<Name>,
    pub(crate) window: Option<WindowPlan>,
    /// How it is computed slice by slice, if it is.
    pub(crate) slices: Option<Slices>,
    /// Where each of its columns comes from, if from streams unchanged.
    pub(crate) sources: Vec<Sources>,
    /// Whether it sees the hidden column of what it reads.
    pub(crate) sees_final: bool,
    pub(crate) asks_time: bool,
    /// When it is recomputed, if it is.
    pub(crate) batch: Rules,
    /// Says whether state and rows made earlier are still what this plan would make.
    pub(crate) fingerprint: String,
}

/// The window of a windowed table.
#[derive(Debug, Clone)]
pub(crate) struct WindowPlan {
    /// Which group column is its start.
    pub(crate) group: usize,
    /// Which column of the table is its start.
    pub(crate) column: usize,
    /// The moment that decides, over the input of the aggregate.
    pub(crate) time: Expr,
    /// From the start of a window to its end.
    pub(crate) size_us: i64,
    /// From the start of a window to the start of the next.
    pub(crate) slide_us: i64,
    /// Whether these are sessions, whose gap is the size.
    pub(crate) is_session: bool,
    /// Whose progress closes windows; nothing: that of the windows seen.
    pub(crate) sources: Sources,
}

/// Windows that overlap share *panes*: the pieces of time that no window cuts. Rows are grouped by
/// pane, each in one; the groups of a window are those of its panes together. Where windows do not
/// overlap, each is one pane.
impl WindowPlan {
    /// Returns the end of the window that begins at `start`.
    pub(crate) fn end(&self, start: i64) -> i64 {
        start.saturating_add(self.size_us)
    }

    /// Returns how long a pane is.
    pub(crate) fn pane_us(&self) -> i64 {
        let (mut one, mut other) = (self.size_us, self.slide_us);
        while other != 0 {
            (one, other) = (other, one % other);
        }
        one.max(1)
    }

    /// Returns whether each window is one pane.
    pub(crate) fn is_one_pane(&self) -> bool {
        self.size_us == self.slide_us
    }

    /// Returns the starts of the windows that the pane lies in.
    pub(crate) fn windows_of(&self, pane: i64) -> impl Iterator<Item = i64> + use<> {
        let last = self.last_of(pane);
        let (slide, first) = (self.slide_us, pane.saturating_sub(self.size_us));
        let mut next = last;
        std::iter::from_fn(move || {
            let start = next;
            next = next.saturating_sub(slide);
            (first < start).then_some(start)
        })
    }

    /// Returns the starts of the panes of a window.
    pub(crate) fn panes_of(&self, start: i64) -> impl Iterator<Item = i64> + use<> {
        let (pane, end) = (self.pane_us(), self.end(start));
        std::iter::successors(Some(start), move |it| it.checked_add(pane))
            .take_while(move |it| *it < end)
    }

    /// Returns when the last window that the pane lies in ends.
    pub(crate) fn last_end(&self, pane: i64) -> i64 {
        self.end(self.last_of(pane))
    }

    fn last_of(&self, pane: i64) -> i64 {
        pane.saturating_sub(pane.rem_euclid(self.slide_us.max(1)))
    }
}

/// What a table is made of, for whoever compares two plans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The table.
    pub name: Name,
    /// What kind of table it is.
    pub kind: TableKind,
    /// Its columns, the hidden one included.
    pub schema: SchemaRef,
    /// Every table it reads.
    pub reads: Vec<Name>,
    /// What it follows row by row; nothing if it is computed from whole windows or tables.
    pub inputs: Vec<Name>,
    /// Differs where the rows would be others.
    pub fingerprint: String,
}

impl FlowPlan {
    /// Returns what each of its tables is made of, in FROM order.
    pub fn made(&self) -> impl Iterator<Item = Made> {
        self.tables.iter().map(|it| Made {
            name: it.name().clone(),
            kind: it.kind,
            schema: Arc::clone(&it.schema),
            reads: it.reads.clone(),
            inputs: it.inputs.clone(),
            fingerprint: it.fingerprint.clone(),
        })
    }

    /// Returns the names of its streams.
    pub fn streams(&self) -> impl Iterator<Item = &Name> {
        self.streams.iter().map(|it| &it.declared.name)
    }

    /// Returns the names and kinds of its tables, in FROM order.
    pub fn tables(&self) -> impl Iterator<Item = (&Name, TableKind)> {
        self.tables.iter().map(|it| (&it.declared.name, it.kind))
    }

    /// Returns the names and schemas of its lookups.
    pub fn lookups(&self) -> impl Iterator<Item = (&Name, SchemaRef)> {
        self.lookups.iter().map(|it| (&it.name, it.first.schema()))
    }

    /// Returns the column with the start of a windowed table's windows, and their size in
    /// microseconds.
    pub fn window(&self, table: &str) -> Option<(String, i64)> {
        let table = self.tables.iter().find(|it| it.declared.name == *table)?;
        let window = table.window.as_ref()?;
        Some((table.schema.field(window.column).name().clone(), window.size_us))
    }

    /// Returns from one window to the next, in microseconds, where the column of a table is the start
    /// of its windows.
    pub fn step_us(&self, table: &str, column: &str) -> Option<i64> {
        let table = self.tables.iter().find(|it| it.declared.name == *table)?;
        let window = table.window.as_ref().filter(|it| !it.is_session)?;
        let is_start = table.schema.field(window.column).name() == column;
        is_start.then_some(window.slide_us)
    }

    /// Returns all tables that need storage: raw tables, tables, and the dead letters of each.
    pub fn outputs(&self) -> Vec<Output> {
        let mut outputs = Vec::new();
        let output = |name: &Name, kind, schema: &SchemaRef| Output {
            name: name.clone(),
            kind,
            schema: Arc::clone(schema),
            descriptions: Vec::new(),
            partition: None,
            keep: None,
            rest: spec::Rest::default(),
            time: None,
            incarnation: "1".to_owned(),
        };
        let dead_schema = rows::schema::of_dead();
        let arrived = || Some(rows::schema::ARRIVED.to_owned());
        for stream in &self.streams {
            let mut raw = output(&stream.declared.name, TableKind::Raw, &stream.schema);
            raw.descriptions.clone_from(&stream.declared.descriptions);
            raw.keep = stream.declared.keep;
            raw.rest = stream.declared.rest.clone();
            raw.time = stream.declared.time.clone().or_else(arrived);
            let mut dead = output(&stream.dead, TableKind::Dead, &dead_schema);
            dead.keep = stream.declared.keep;
            dead.time = arrived();
            outputs.extend([raw, dead]);
        }
        for table in &self.tables {
            let declared = &table.declared;
            let mut own = output(&declared.name, table.kind, &table.schema);
            own.descriptions.clone_from(&declared.descriptions);
            own.partition = declared.partition.clone();
            own.keep = declared.keep;
            own.rest = declared.rest.clone();
            own.time = table.time_column();
            let mut dead = output(&table.dead, TableKind::Dead, &dead_schema);
            dead.keep = declared.keep;
            dead.time = arrived();
            outputs.extend([own, dead]);
        }
        outputs
    }
}

impl TablePlan {
    pub(crate) fn name(&self) -> &Name {
        &self.declared.name
    }

    /// Returns whether a part of the rows it reads is kept, rather than groups of them.
    pub(crate) fn is_kept(&self) -> bool {
        self.kind == TableKind::Running && select::has_no_totals(&self.select)
    }

    /// Returns the plan by which rows are taken in.
    pub(crate) fn running(&self) -> &LogicalPlan {
        self.grouped.as_ref().unwrap_or(&self.select)
    }

    /// Returns the column that tells how old a row is.
    fn time_column(&self) -> Option<String> {
        let is_timestamp = |name: &String| {
            let field = self.schema.field_with_name(name);
            field.is_ok_and(|it| matches!(it.data_type(), DataType::Timestamp(..)))
        };
        if let Some(window) = &self.window {
            return Some(self.schema.field(window.column).name().clone());
        }
        let of_partition = self.declared.partition.iter().map(|it| it.column.clone());
        let columns = self.schema.fields().iter().map(|it| it.name().clone());
        of_partition.chain(columns).find(is_timestamp)
    }
}

/// What a table may read.
pub(crate) struct Known {
    pub(crate) kind: TableKind,
    pub(crate) schema: SchemaRef,
    pub(crate) sources: Vec<Sources>,
    /// Whether its rows are dropped some day.
    pub(crate) is_bounded: bool,
    /// How long its rows are kept.
    pub(crate) keep: Option<Span>,
    /// The column by which its changes are told, and how, if rows of it change.
    pub(crate) told: Option<(usize, Told)>,
    /// That of its plan; of a stream none, since its rows are what came in.
    pub(crate) fingerprint: String,
}

/// Returns the schema with or without its hidden column.
pub(crate) fn seen(schema: &SchemaRef, sees_final: bool) -> SchemaRef {
    if sees_final {
        return Arc::clone(schema);
    }
    let shown = schema.fields().iter().filter(|it| !rows::schema::is_hidden(it.name()));
    Arc::new(Schema::new(shown.cloned().collect::<Vec<_>>()))
}
