//! One table of a flow at work: what it holds, how it takes rows in.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use base::{Epoch, Name};
use datafusion::catalog::TableProvider;
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use futures::FutureExt;
use rows::DeadKind;
use rows::sink::Change;

use crate::lookup::index::LookupRows;
use crate::operator::{Operator, Start};
use crate::pipe::{self, LookupSlots, Pipe, Rejected};
use crate::plan::{TableKind, TablePlan};
use crate::session;
use crate::slot::{Slot, SlotTable};
use crate::spill::{NamedWindow, Spilled, Spills};
use crate::view::{Hides, TableView};

pub(crate) mod append;
pub(crate) mod carry;
pub(crate) mod grouping;
pub(crate) mod kept;
mod publishing;
pub(crate) mod recent;
pub(crate) mod running;
pub(crate) mod sessions;
pub(crate) mod sliced;
pub(crate) mod whole;
pub(crate) mod window_rows;
pub(crate) mod windowed;

use append::Append;
use running::Running;
use sessions::Sessions;
use sliced::{Below, Refreshed, Sliced};
use whole::Whole;
use window_rows::WindowRows;
use windowed::Windowed;

/// What a table does with rows, by its kind.
#[derive(Debug)]
pub(crate) enum Body {
    Append(Append),
    Windowed(Box<Windowed>),
    Sessions(Box<Sessions>),
    Sliced(Box<Sliced>),
    Running(Box<Running>),
    Best(Box<kept::Best>),
    Whole(Whole),
}

/// What is written down of a table's groups.
#[derive(Debug)]
pub(crate) struct StateRows {
    pub(crate) schema: SchemaRef,
    pub(crate) rows: Vec<RecordBatch>,
    /// Whether it is all there is in memory; else what was written before still counts.
    pub(crate) is_whole: bool,
    pub(crate) on_disk: OnDisk,
}

/// Groups that need not be written down: they are on disk.
#[derive(Debug, Default)]
pub(crate) struct OnDisk {
    pub(crate) named: Vec<NamedWindow>,
    pub(crate) files: Vec<Arc<Spilled>>,
}

impl OnDisk {
    fn of(operator: &Operator, is_wanted: &dyn Fn(Start) -> bool) -> OnDisk {
        let files = operator.files().map(Arc::clone).collect();
        OnDisk { named: operator.named(is_wanted), files }
    }
}

/// What a table may hold, and where it puts what is more.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    /// Groups or rows of a table that cannot put them on disk.
    pub(crate) groups_max: usize,
    pub(crate) spills: Option<Spills>,
}

impl Room {
    /// Returns the groups that one operator may hold: what can go to disk has no limit.
    pub(crate) fn operator_groups_max(&self) -> usize {
        if self.spills.is_some() { usize::MAX } else { self.groups_max }
    }

    /// Returns one without a limit, or a disk.
    pub(crate) fn endless() -> Room {
        Room { groups_max: usize::MAX, spills: None }
    }
}

/// What is written down of a table: each piece with its epoch, and groups on disk.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) pieces: Vec<(Epoch, Vec<RecordBatch>)>,
    pub(crate) on_disk: Vec<(NamedWindow, Vec<Arc<Spilled>>)>,
}

/// The rows that are shown on top of stored ones, and which of those they replace.
pub(crate) struct Hot {
    pub(crate) rows: Vec<RecordBatch>,
    pub(crate) hides: Hides,
    pub(crate) spilled: Vec<Arc<Spilled>>,
}

/// From how many groups on only those are written down that changed.
const GROUPS_MANY: usize = if cfg!(test) { 4 } else { 10_000 };

/// What a step of a table may use.
pub(crate) struct Step<'a> {
    pub(crate) session: &'a SessionContext,
    pub(crate) epoch: Epoch,
    pub(crate) now_ms: u64,
    /// The tables below as they are in this very tick.
    pub(crate) tables: &'a (dyn Fn(&str) -> Option<Arc<dyn TableProvider>> + Sync),
    /// How far event time has come in what closes the windows.
    pub(crate) time_us: Option<i64>,
}

/// Runs a step of one table so that a fault of the program in it is an error of that table, and
/// costs no other.
pub(crate) async fn guarded<T>(step: impl Future<Output = Result<T>>) -> Result<T> {
    match AssertUnwindSafe(step).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            internal_err!("a fault of the program: {}", text.unwrap_or("it panicked"))
        }
    }
}

/// Rows of a tick, and which of the tables that are followed they are new in.
#[derive(Debug, Clone)]
pub(crate) struct Moved {
    pub(crate) of: usize,
    pub(crate) rows: RecordBatch,
}

/// What became of the rows of a tick.
#[derive(Debug, Default)]
pub(crate) struct Stepped {
    /// Rows for the tables above; only tables to which rows are added give any.
    pub(crate) out: Vec<RecordBatch>,
    pub(crate) dead: Vec<DeadRow>,
    pub(crate) is_changed: bool,
}

/// A row that a table could not take.
#[derive(Debug)]
pub(crate) struct DeadRow {
    /// One row of what the table reads.
    pub(crate) row: RecordBatch,
    pub(crate) kind: DeadKind,
    pub(crate) message: String,
}

impl DeadRow {
    fn of(rejected: Rejected) -> DeadRow {
        DeadRow { row: rejected.row, kind: DeadKind::Compute, message: rejected.message }
    }
}

impl Body {
    /// Plans the table; it holds nothing yet.
    pub(crate) async fn new(
        session: &SessionContext,
        plan: &Arc<TablePlan>,
        room: &Room,
    ) -> Result<Body> {
        let groups_max = room.groups_max;
        Ok(match plan.kind {
            TableKind::Windowed if plan.slices.is_some() => {
                Body::Sliced(Box::new(Sliced::new(plan)?))
            }
            TableKind::Windowed if plan.window.as_ref().is_some_and(|it| it.is_session) => {
                Body::Sessions(Box::new(Sessions::new(session, plan, groups_max).await?))
            }
            TableKind::Windowed => {
                Body::Windowed(Box::new(Windowed::new(session, plan, room).await?))
            }
            TableKind::Running if plan.is_kept() => {
                Body::Best(Box::new(kept::plan(session, plan, groups_max).await?))
            }
            TableKind::Running => Body::Running(Box::new(Running::new(session, plan, room).await?)),
            TableKind::Append => Body::Append(Append::new(session, plan).await?),
            TableKind::Raw | TableKind::Dead | TableKind::Lookup | TableKind::Recomputed => {
                Body::Whole(Whole::new())
            }
        })
    }

    /// Takes the rows of a tick in.
    pub(crate) async fn step(&mut self, input: &[Moved], step: &Step<'_>) -> Result<Stepped> {
        match self {
            Body::Append(it) => it.step(input, step).await,
            Body::Windowed(it) => it.step(input, step).await,
            Body::Sessions(it) => it.step(input, step).await,
            Body::Running(it) => it.step(input, step).await,
            Body::Best(it) => it.step(input, step).await,
            Body::Sliced(_) | Body::Whole(_) => Ok(Stepped::default()),
        }
    }

    /// Brings the rows that are shown up to date.
    pub(crate) async fn refresh(
        &mut self,
        step: &Step<'_>,
        below: &[Below<'_>],
    ) -> Result<Refreshed> {
        match self {
            Body::Windowed(it) => it.refresh().await,
            Body::Sessions(it) => it.refresh(step).await,
            Body::Sliced(it) => it.refresh(step, below).await,
            Body::Running(it) => it.refresh().await,
            Body::Best(it) => it.refresh().await.map(|()| Refreshed::default()),
            Body::Append(_) | Body::Whole(_) => Ok(Refreshed::default()),
        }
    }

    /// Returns how its windows are shown, if it has some.
    pub(crate) fn window_rows(&self) -> Option<&WindowRows> {
        match self {
            Body::Windowed(it) => Some(&it.rows),
            Body::Sessions(it) => Some(&it.rows),
            Body::Sliced(it) => Some(&it.rows),
            Body::Append(_) | Body::Running(_) | Body::Best(_) | Body::Whole(_) => None,
        }
    }

    pub(crate) fn window_rows_mut(&mut self) -> Option<&mut WindowRows> {
        match self {
            Body::Windowed(it) => Some(&mut it.rows),
            Body::Sessions(it) => Some(&mut it.rows),
            Body::Sliced(it) => Some(&mut it.rows),
            Body::Append(_) | Body::Running(_) | Body::Best(_) | Body::Whole(_) => None,
        }
    }

    /// Returns up to when all rows of its windows are final.
    pub(crate) fn final_until(&self) -> Option<i64> {
        match self {
            Body::Sessions(it) => it.final_until(),
            other => other.window_rows()?.watermark,
        }
    }

    /// Returns what the epoch that ends does to the stored table, if anything.
    pub(crate) fn change(&mut self, epoch: Epoch, now_ms: u64) -> Result<Option<Change>> {
        match self {
            Body::Append(it) => Ok(it.hot.change(epoch)),
            Body::Windowed(it) => it.change(epoch),
            Body::Sessions(it) => it.change(epoch),
            Body::Sliced(it) => Ok(it.rows.change(epoch)),
            Body::Running(it) => Ok(it.change(now_ms)),
            Body::Best(it) => Ok(it.change(now_ms)),
            Body::Whole(it) => Ok(it.change(epoch)),
        }
    }

    /// Forgets what is stored now.
    pub(crate) fn stored(&mut self, epoch: Epoch) {
        match self {
            Body::Append(it) => it.hot.stored(epoch),
            Body::Windowed(it) => it.rows.stored(epoch),
            Body::Sessions(it) => it.rows.stored(epoch),
            Body::Sliced(it) => it.rows.stored(epoch),
            Body::Running(_) | Body::Best(_) => {}
            Body::Whole(it) => it.stored(epoch),
        }
    }

    /// Returns the rows that are shown on top of stored ones, and which of those they replace.
    pub(crate) fn hot(&self) -> Hot {
        let (rows, hides) = match self {
            Body::Append(it) => (it.hot.rows(), it.hot.hides()),
            Body::Windowed(it) => return it.rows.hot(),
            Body::Sessions(it) => return it.rows.hot(),
            Body::Sliced(it) => return it.rows.hot(),
            Body::Running(it) => return it.hot(),
            Body::Best(it) => (it.rows.clone(), Hides::All),
            Body::Whole(it) => it.hot(),
        };
        Hot { rows, hides, spilled: Vec::new() }
    }

    /// Returns the bytes of what it holds in memory, but for rows that wait to be stored.
    pub(crate) fn state_bytes(&mut self) -> usize {
        match self {
            Body::Windowed(it) => it.grouping.operator.bytes() + it.rows.open_bytes(),
            Body::Sessions(it) => it.bytes() + it.rows.open_bytes(),
            Body::Sliced(it) => it.bytes() + it.rows.open_bytes(),
            Body::Running(it) => it.grouping.operator.bytes() + it.shown.bytes(),
            Body::Best(it) => it.bytes(),
            Body::Append(_) | Body::Whole(_) => 0,
        }
    }

    /// Frees about so many bytes of it; returns how many.
    pub(crate) fn free(&mut self, bytes: usize, spills: &Spills, epoch: Epoch) -> Result<usize> {
        let mut freed = match self {
            Body::Windowed(it) => it.grouping.operator.free(bytes, spills, epoch)?,
            Body::Running(it) => return it.free(bytes, spills, epoch),
            _ => 0,
        };
        if let Some(rows) = self.window_rows_mut().filter(|_| freed < bytes) {
            freed += rows.free(bytes - freed, spills)?;
        }
        Ok(freed)
    }

    /// Returns the groups and the bytes that it has on disk.
    pub(crate) fn on_disk(&self) -> (u64, u64) {
        let rows = self.window_rows().map_or(0, WindowRows::bytes_on_disk);
        let shown = match self {
            Body::Running(it) => it.shown.spilled.as_ref().map_or(0, |it| it.bytes()),
            _ => 0,
        };
        let operator = self.operator();
        let groups = operator.map_or((0, 0), |it| (it.groups_on_disk(), it.bytes_on_disk()));
        (groups.0, groups.1 + rows + shown)
    }

    /// Returns the bytes of rows that wait to be stored, about.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Body::Append(it) => it.hot.bytes(),
            Body::Windowed(it) => it.rows.bytes(),
            Body::Sessions(it) => it.rows.bytes(),
            Body::Sliced(it) => it.rows.bytes(),
            Body::Running(_) | Body::Best(_) => 0, // Totals do not grow with time.
            Body::Whole(it) => it.bytes(),
        }
    }

    /// Returns the state to store with the epoch: where the table has many groups and `may_add`,
    /// of those only that changed since this was asked last.
    pub(crate) fn state(&mut self, may_add: bool) -> Result<Option<StateRows>> {
        let all =
            !may_add || self.operator().is_none_or(|it| it.is_anew() || it.groups() < GROUPS_MANY);
        let (schema, rows) = match self {
            Body::Windowed(it) => return it.state(all).map(Some),
            Body::Running(it) => return it.state(all).map(Some),
            Body::Sessions(it) => match it.state()? {
                Some(state) => state,
                None => return Ok(None),
            },
            Body::Best(it) => it.state(),
            Body::Sliced(it) => match it.state()? {
                Some(state) => state,
                None => return Ok(None),
            },
            Body::Append(_) | Body::Whole(_) => return Ok(None),
        };
        Ok(Some(StateRows { schema, rows, is_whole: true, on_disk: OnDisk::default() }))
    }

    fn operator(&self) -> Option<&Operator> {
        match self {
            Body::Windowed(it) => Some(&it.grouping.operator),
            Body::Running(it) => Some(&it.grouping.operator),
            _ => None,
        }
    }

    /// Takes back what `state` returned: all of it, and what was added after it.
    pub(crate) fn restore(&mut self, written: Written, watermark: Option<i64>) -> Result<()> {
        let Written { mut pieces, on_disk } = written;
        if let Some(operator) = self.operator() {
            // What was written of a window before it went to disk is part of what is there.
            let shape = operator.shape();
            for (epoch, batches) in &mut pieces {
                let since = |start| on_disk.iter().find(|(it, _)| Some(it.start) == start);
                batches.retain(|it| {
                    since(shape.start_of(it)).is_none_or(|(it, _)| it.since <= *epoch)
                });
            }
        }
        let mut written = pieces.into_iter().map(|(_, it)| it);
        let written = match self.operator() {
            Some(operator) => operator.shape().newest(written.collect())?,
            None => written.next_back().unwrap_or_default(),
        };
        let state = written.as_slice();
        match self {
            Body::Windowed(it) => {
                it.attach(on_disk, watermark);
                it.restore(state, watermark)?;
                it.grouping.operator.set_written(true);
                Ok(())
            }
            Body::Sessions(it) => it.restore(state, watermark),
            Body::Running(it) => {
                it.restore(state, on_disk)?;
                it.grouping.operator.set_written(true);
                Ok(())
            }
            Body::Best(it) => {
                it.restore(state);
                Ok(())
            }
            Body::Sliced(it) => it.restore(state, watermark),
            Body::Append(_) | Body::Whole(_) => Ok(()),
        }
    }

    /// Computes the table anew from the stored rows of what it reads.
    pub(crate) async fn rebuild(&mut self, step: &Step<'_>) -> Result<()> {
        match self {
            Body::Append(it) => it.rebuild(step).await,
            Body::Windowed(it) => it.rebuild(step).await,
            Body::Sessions(it) => it.rebuild(step).await,
            Body::Sliced(it) => it.rebuild(step).await,
            Body::Running(it) => it.rebuild(step).await,
            Body::Best(it) => it.rebuild(step).await,
            Body::Whole(_) => Ok(()),
        }
    }

    /// Says that a lookup has other rows from now on.
    pub(crate) fn set_lookup(&mut self, name: &Name, rows: &Arc<LookupRows>) -> Result<()> {
        match self {
            Body::Append(it) => set_lookup(&it.lookups, name, rows, &mut it.pipe),
            Body::Windowed(it) => it.grouping.set_lookup(name, rows),
            Body::Sessions(it) => it.set_lookup(name, rows),
            Body::Sliced(it) => {
                it.set_lookup();
                Ok(())
            }
            Body::Running(it) => it.grouping.set_lookup(name, rows),
            Body::Best(it) => it.set_lookup(name, rows),
            Body::Whole(it) => {
                it.is_dirty = true;
                Ok(())
            }
        }
    }
}

pub(crate) fn set_lookup(
    slots: &LookupSlots,
    name: &Name,
    rows: &Arc<LookupRows>,
    pipe: &mut Pipe,
) -> Result<()> {
    for (_, slot) in slots.iter().filter(|(it, _)| it == name) {
        slot.set_lookup(rows);
        pipe.renew()?;
    }
    Ok(())
}

/// The slots of a table's plan, and the plan bound to them.
pub(crate) struct Bound {
    pub(crate) plan: LogicalPlan,
    /// One for each table that it follows, in the same order.
    pub(crate) inputs: Vec<Arc<Slot>>,
    pub(crate) lookups: LookupSlots,
}

/// Binds a plan that follows tables row by row to slots.
pub(crate) fn bind(plan: &TablePlan) -> Result<Bound> {
    let mut slots: Vec<(String, Arc<Slot>)> = Vec::new();
    collect_scans(plan.running(), &mut |name, schema| {
        if slots.iter().all(|(it, _)| it != name) {
            let is_input = plan.inputs.iter().any(|it| *it == *name);
            let slot = if is_input { Slot::moving(schema) } else { Slot::still(schema) };
            slots.push((name.to_owned(), slot));
        }
    });
    let bound = pipe::bind(plan.running(), &|name| {
        let (_, slot) = slots.iter().find(|(it, _)| it == name)?;
        Some(Arc::new(SlotTable(Arc::clone(slot))) as _)
    })?;
    let slot = |name: &Name| slots.iter().find(|(it, _)| *name == **it);
    let inputs = plan.inputs.iter().map(|it| Some(Arc::clone(&slot(it)?.1)));
    let Some(inputs) = inputs.collect::<Option<Vec<_>>>().filter(|it| !it.is_empty()) else {
        return datafusion::common::internal_err!("the table `{}` follows nothing", plan.name());
    };
    let lookups = slots.iter().filter(|(name, _)| plan.inputs.iter().all(|it| *it != **name));
    let lookups =
        lookups.filter_map(|(name, slot)| Some((Name::new(name).ok()?, Arc::clone(slot))));
    let lookups = lookups.collect();
    Ok(Bound { plan: bound, inputs, lookups })
}

fn collect_scans(plan: &LogicalPlan, found: &mut dyn FnMut(&str, SchemaRef)) {
    if let LogicalPlan::TableScan(scan) = plan {
        found(scan.table_name.table(), scan.source.schema());
    }
    for input in plan.inputs() {
        collect_scans(input, found);
    }
}

/// Plans the table as its flow would, to find what only the physical plan shows.
pub(crate) async fn dry_run(session: &SessionContext, plan: &Arc<TablePlan>) -> Result<()> {
    match plan.kind {
        TableKind::Running if plan.is_kept() => kept::plan(session, plan, 1).await.map(|_| ()),
        TableKind::Append => Append::plan(session, plan).await.map(|_| ()),
        TableKind::Windowed | TableKind::Running if plan.slices.is_none() => {
            grouping::plan(session, plan, 1).await.map(|_| ())
        }
        _ => session::at(session, 0).create_physical_plan(&plan.select).await.map(|_| ()),
    }
}

/// Returns a table as its readers plan on it: with or without what is hidden.
pub(crate) fn provider(view: &Arc<TableView>, sees_final: bool) -> Arc<dyn TableProvider> {
    if sees_final { Arc::clone(view) as _ } else { view.without_final() as _ }
}
