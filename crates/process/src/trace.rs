//! Follows one record through the tables of its flow: what it became, table by table.
//!
//! A table made row by row is run again over the record's row alone; the rows it makes are looked
//! up in the table, so that what is told is what stands there. Of a table of groups the part below
//! its aggregate is run, which says exactly into which groups the row fell. Lookups and `now()` are
//! those of today; where that makes a difference, it is said.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema};
use base::{Name, Place, limits};
use datafusion::catalog::TableProvider;
use datafusion::catalog::view::ViewTable;
use datafusion::common::ScalarValue;
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::{SessionContext, ident, lit};

use crate::error::Error;
use crate::pipe;
use crate::plan::{FlowPlan, TableKind, TablePlan};
use crate::session;
use crate::slot::{Slot, SlotTable};
use crate::table::{self, append::fit};
use crate::trace::path::{Groups, Path, Touched};
use crate::view::View;

mod path;
mod windows;

/// What one record touched.
#[derive(Debug)]
pub struct Trace {
    /// Whether it waits in the journal: no tick has taken it in yet.
    pub is_pending: bool,
    /// Its row in the raw table, or nothing.
    pub row: Option<RecordBatch>,
    /// Its dead letters.
    pub letters: Vec<RecordBatch>,
    /// The tables it reached, each after those it reads.
    pub steps: Vec<TraceStep>,
    /// Which rows of each table came from it.
    marks: BTreeMap<Name, Expr>,
}

/// What one table made of the record.
#[derive(Debug)]
pub struct TraceStep {
    /// The table.
    pub table: Name,
    /// What kind of table it is.
    pub kind: TableKind,
    /// Through which of the tables it reads the record came.
    pub from: Vec<Name>,
    /// What it became there.
    pub found: Found,
    /// Rows of the record that the table could not take.
    pub letters: Vec<RecordBatch>,
    /// Since when the table no longer follows what it reads.
    pub stale_since_ms: Option<u64>,
    /// What is not exact about this, and why.
    pub notes: Vec<String>,
}

/// What became of rows in one SELECT.
#[derive(Debug)]
pub enum Found {
    /// Nothing: they were left out, by WHERE or a join.
    LeftOut,
    /// These rows.
    Rows(Vec<RecordBatch>),
    /// They fell into these groups.
    Groups(Vec<Group>),
    /// They were read, but which rows are made of them cannot be told, for this reason.
    Read(String),
}

/// A group that rows fell into.
#[derive(Debug)]
pub struct Group {
    /// Its values of what is grouped by: one row.
    pub key: RecordBatch,
    /// Its rows as they are now; none where HAVING leaves the group out.
    pub rows: Vec<RecordBatch>,
}

impl FlowPlan {
    /// Follows the record of `stream` at `place` through what `view` shows.
    ///
    /// # Errors
    /// When the stream is not of this flow, or its rows cannot be read.
    pub async fn trace(
        &self,
        view: &View,
        stream: &str,
        place: Place,
        now_ms: u64,
    ) -> Result<Trace, Error> {
        let Some(stream) = self.streams.iter().find(|it| it.declared.name == *stream) else {
            return Err(Error::StreamMissing(stream.to_owned()));
        };
        let failed = || Error::compute("the record cannot be followed");
        let session = session::for_wholes(limits::QUERY_MEMORY_BYTES_MAX).map_err(failed())?;
        let walk = Walk { session, view, now_ms };
        let name = &stream.declared.name;
        let reached = view.stats.streams.get(name).and_then(|it| it.positions.get(&place.shard));
        let here = at_place(place);
        let rows = walk.read(name, here.clone()).await.map_err(failed())?;
        let letters = walk.read(&stream.dead, here.clone()).await.map_err(failed())?;
        let mut trace = Trace {
            is_pending: reached.is_none_or(|it| *it <= place.sequence),
            row: rows.first().map(|it| it.slice(0, 1)),
            letters,
            steps: Vec::new(),
            marks: BTreeMap::new(),
        };
        let mut reached = Reached::default();
        if let Some(row) = &trace.row {
            reached.rows.insert(name.clone(), vec![row.clone()]);
            trace.marks.insert(name.clone(), here.clone());
        }
        if !trace.letters.is_empty() {
            reached.rows.insert(stream.dead.clone(), trace.letters.clone());
            trace.marks.insert(stream.dead.clone(), here);
        }
        for table in &self.tables {
            walk.pass(table, &mut reached, &mut trace).await;
        }
        Ok(trace)
    }
}

impl Trace {
    /// Returns the tables, dead letters included, of which some rows came from the record.
    pub fn touched(&self) -> impl Iterator<Item = &Name> {
        self.marks.keys()
    }

    /// Follows the record through one more SELECT, over `tables` as its reader sees them.
    ///
    /// # Errors
    /// When the SELECT cannot be planned or run.
    pub async fn through(
        &self,
        sql: &str,
        tables: &BTreeMap<String, Arc<dyn TableProvider>>,
        now_ms: u64,
    ) -> Result<Found, Error> {
        let failed = || Error::compute("the record cannot be followed");
        let session = session::for_wholes(limits::QUERY_MEMORY_BYTES_MAX).map_err(failed())?;
        self.through_in(&session, sql, tables, now_ms).await.map_err(failed())
    }

    async fn through_in(
        &self,
        session: &SessionContext,
        sql: &str,
        tables: &BTreeMap<String, Arc<dyn TableProvider>>,
        now_ms: u64,
    ) -> Result<Found> {
        let sees_final = sql.to_ascii_lowercase().contains(rows::schema::FINAL);
        let mut shown: BTreeMap<String, Arc<dyn TableProvider>> = BTreeMap::new();
        for (name, table) in tables {
            let table = if sees_final { Arc::clone(table) } else { without_final(name, table)? };
            // Planned on an empty place, so that no table is anything but a scan of its name.
            let place = SlotTable(Slot::moving(table.schema()));
            session.register_table(name.as_str(), Arc::new(place))?;
            shown.insert(name.clone(), table);
        }
        let plan = session.state().create_logical_plan(sql).await?;
        let find = |name: &str| shown.get(name).map(Arc::clone);
        let mut touched = Touched::new();
        for (name, mark) in &self.marks {
            let Some(table) = tables.get(name.as_str()).filter(|_| reads(&plan, name)) else {
                continue;
            };
            let rows = read(session, Arc::clone(table), mark.clone()).await?;
            if !rows.is_empty() {
                touched.insert(name.clone(), rows);
            }
        }
        if touched.is_empty() {
            return Ok(Found::LeftOut);
        }
        match path::find(&plan, &touched) {
            Path::Unknown(reason) => Ok(Found::Read(reason)),
            Path::Rows => {
                let rows = path::run(session, &plan, &touched, &find, now_ms).await?;
                Ok(if rows.is_empty() { Found::LeftOut } else { Found::Rows(rows) })
            }
            Path::Groups(groups) => {
                let mut found = Vec::new();
                for key in groups.keys(session, &touched, &find).await? {
                    let Some(condition) = groups.condition(&key) else {
                        return Ok(Found::Read("it does not show what it groups by".to_owned()));
                    };
                    let plan = path::filtered(plan.clone(), condition)?;
                    let rows = path::run(session, &plan, &Touched::new(), &find, now_ms).await?;
                    found.push(Group { key: key_row(&groups, &key)?, rows });
                }
                Ok(if found.is_empty() { Found::LeftOut } else { Found::Groups(found) })
            }
        }
    }
}

/// One record's way through a view.
struct Walk<'a> {
    session: SessionContext,
    view: &'a View,
    now_ms: u64,
}

/// Where a record has been.
#[derive(Default)]
struct Reached {
    rows: Touched,
    /// Tables through which it went, nobody can say with which rows.
    hazy: Vec<Name>,
}

impl Walk<'_> {
    /// Follows the record through one table, if it reads something that the record reached.
    async fn pass(&self, table: &TablePlan, reached: &mut Reached, trace: &mut Trace) {
        let mut from = table.reads.clone();
        from.retain(|it| reached.rows.contains_key(it) || reached.hazy.contains(it));
        if from.is_empty() {
            return;
        }
        if let Some(read) = from.iter().find(|it| reached.hazy.contains(it)) {
            let reason = format!("it reads `{read}`, of which that cannot be told either");
            trace.steps.push(step_of(table, self.view, from, Found::Read(reason)));
            reached.hazy.push(table.name().clone());
            return;
        }
        let (step, mark) = self.step(table, from, &reached.rows).await;
        if let Found::Read(_) = step.found {
            reached.hazy.push(table.name().clone());
        }
        let rows = rows_of(&step.found);
        if let Some(mark) = mark.filter(|_| !rows.is_empty()) {
            reached.rows.insert(table.name().clone(), rows);
            trace.marks.insert(table.name().clone(), mark);
        }
        if !step.letters.is_empty() {
            reached.rows.insert(table.dead.clone(), step.letters.clone());
        }
        trace.steps.push(step);
    }

    /// Reads the rows of a table for which a condition holds, hidden columns included.
    async fn read(&self, table: &str, condition: Expr) -> Result<Vec<RecordBatch>> {
        match self.view.tables.get(table) {
            None => Ok(Vec::new()),
            Some(table) => read(&self.session, Arc::clone(table) as _, condition).await,
        }
    }

    fn find(&self, name: &str, sees_final: bool) -> Option<Arc<dyn TableProvider>> {
        self.view.tables.get(name).map(|it| table::provider(it, sees_final))
    }

    /// Follows the record through one table; returns which of its rows came from it, too.
    async fn step(
        &self,
        plan: &TablePlan,
        from: Vec<Name>,
        touched: &Touched,
    ) -> (TraceStep, Option<Expr>) {
        let mut step = step_of(plan, self.view, from, Found::LeftOut);
        let mut mine: Touched = touched.clone();
        mine.retain(|name, _| step.from.contains(name));
        let mark = match self.follow(plan, &mut mine, &mut step).await {
            Ok(mark) => mark,
            Err(error) => {
                step.found = Found::Read(error.strip_backtrace());
                None
            }
        };
        (step, mark)
    }

    async fn follow(
        &self,
        plan: &TablePlan,
        mine: &mut Touched,
        step: &mut TraceStep,
    ) -> Result<Option<Expr>> {
        if !plan.inputs.is_empty() {
            for rows in mine.values_mut() {
                *rows = self.taken(plan, rows, step).await?;
            }
            mine.retain(|_, rows| !rows.is_empty());
            if mine.is_empty() {
                return Ok(None);
            }
        }
        match path::find(plan.running(), mine) {
            Path::Rows => self.rows(plan, mine, step).await,
            Path::Groups(groups) => self.groups(plan, &groups, mine, step).await,
            Path::Unknown(reason) => {
                step.found = Found::Read(reason);
                Ok(None)
            }
        }
    }

    /// Returns the rows, one by one, that the table could take; notes the letters of the others.
    async fn taken(
        &self,
        plan: &TablePlan,
        rows: &[RecordBatch],
        step: &mut TraceStep,
    ) -> Result<Vec<RecordBatch>> {
        let mut taken = Vec::new();
        let all: usize = rows.iter().map(RecordBatch::num_rows).sum();
        if limits::TRACE_ROWS_MAX < all {
            let first = limits::TRACE_ROWS_MAX;
            step.notes.push(format!("only the first {first} of its {all} rows are followed"));
        }
        let single = rows.iter().flat_map(|it| (0..it.num_rows()).map(|row| it.slice(row, 1)));
        for row in single.take(limits::TRACE_ROWS_MAX) {
            let letters = self.read(&plan.dead, letter_of(&row)?).await?;
            if letters.is_empty() {
                taken.push(row);
            } else {
                step.letters.extend(letters);
            }
        }
        Ok(taken)
    }

    /// Finds the rows that were made of rows.
    async fn rows(
        &self,
        plan: &TablePlan,
        mine: &Touched,
        step: &mut TraceStep,
    ) -> Result<Option<Expr>> {
        let find = |name: &str| self.find(name, plan.sees_final);
        let made = path::run(&self.session, &plan.select, mine, &find, self.now_ms).await;
        let made = match made {
            Err(error) if pipe::is_of_rows(&error) => Vec::new(),
            made => made?,
        };
        let (mut found, mut marks, mut missing) = (Vec::new(), Vec::new(), 0_usize);
        for row in made.iter().flat_map(|it| (0..it.num_rows()).map(|row| it.slice(row, 1))) {
            let row = fit(&row, &crate::plan::seen(&plan.schema, false))?;
            let mark = is_row(&row)?;
            let rows = self.read(plan.name(), mark.clone()).await?;
            if rows.is_empty() {
                missing += 1;
            } else if !marks.contains(&mark) {
                found.extend(rows);
                marks.push(mark);
            }
        }
        let is_as_then = plan.lookups.is_empty() && !plan.asks_time;
        if marks.is_empty()
            && !is_as_then
            && let Some((mark, columns)) = unchanged(plan, mine)?
        {
            found = self.read(plan.name(), mark.clone()).await?;
            if !found.is_empty() {
                let columns = columns.join(", ");
                let since = "its lookups or the time have changed since";
                step.notes.push(format!("{since}; found by {columns}"));
                marks.push(mark);
                missing = 0;
            }
        }
        if 0 < missing {
            step.notes.push(missing_note(plan, missing, is_as_then));
        }
        if !found.is_empty() {
            step.found = Found::Rows(found);
        }
        Ok(marks.into_iter().reduce(Expr::or))
    }

    /// Finds the groups that rows fell into, as they are now.
    async fn groups(
        &self,
        plan: &TablePlan,
        groups: &Groups,
        mine: &Touched,
        step: &mut TraceStep,
    ) -> Result<Option<Expr>> {
        let find = |name: &str| self.find(name, plan.sees_final);
        let keys = groups.keys(&self.session, mine, &find).await?;
        let mut keys: Vec<path::Key> =
            keys.into_iter().flat_map(|it| windows::of_windows(plan, it)).collect();
        for key in keys.iter_mut().take(limits::TRACE_ROWS_MAX) {
            self.find_session(plan, groups, key).await?;
        }
        let (mut found, mut marks) = (Vec::new(), Vec::new());
        for key in keys.iter().take(limits::TRACE_ROWS_MAX) {
            let Some(condition) = groups.condition(key) else { continue };
            let rows = self.read(plan.name(), condition.clone()).await?;
            found.push(Group { key: key_row(groups, key)?, rows });
            marks.push(condition);
        }
        if !keys.is_empty() && found.is_empty() {
            step.found = Found::Read("it does not show what it groups by".to_owned());
            return Ok(None);
        }
        let hidden = groups.hidden();
        if !hidden.is_empty() {
            let hidden = hidden.join(", ");
            step.notes.push(format!("it does not show {hidden}: these rows are of all its values"));
        }
        if groups.spreads {
            step.notes.push("rows of other groups are computed from these too".to_owned());
        }
        if !plan.lookups.is_empty() {
            step.notes.push("told with its lookups as they are now".to_owned());
        }
        if !found.is_empty() {
            step.found = Found::Groups(found);
        }
        Ok(marks.into_iter().reduce(Expr::or))
    }
}

fn step_of(plan: &TablePlan, view: &View, from: Vec<Name>, found: Found) -> TraceStep {
    let shown = view.tables.get(plan.name());
    TraceStep {
        table: plan.name().clone(),
        kind: plan.kind,
        from,
        found,
        letters: Vec::new(),
        stale_since_ms: shown.and_then(|it| it.stale_since_ms),
        notes: Vec::new(),
    }
}

fn missing_note(plan: &TablePlan, missing: usize, is_as_then: bool) -> String {
    let rows = if missing == 1 { "one row".to_owned() } else { format!("{missing} rows") };
    let why = match (is_as_then, plan.inputs.is_empty()) {
        (false, _) => "its lookups or the time have changed since, or they are older than `keep`",
        (true, true) => "it is recomputed, and has not been since",
        (true, false) => "they are older than `keep`, or the table is stale",
    };
    format!("{rows} that it would make today are not in it: {why}")
}

/// Whether a row came from the record at `place`.
fn at_place(place: Place) -> Expr {
    let sequence = rows::schema::sequence_to_int(place.sequence);
    ident(rows::schema::SHARD)
        .eq(lit(i64::from(place.shard.0)))
        .and(ident(rows::schema::SEQUENCE).eq(lit(sequence)))
}

/// Whether a dead letter of a table is this row of what it reads.
fn letter_of(row: &RecordBatch) -> Result<Expr> {
    let value = |name: &str| match row.column_by_name(name) {
        None => Ok(None),
        Some(column) => ScalarValue::try_from_array(column, 0).map(Some),
    };
    let (shard, sequence) = (value(rows::schema::SHARD)?, value(rows::schema::SEQUENCE)?);
    if let (Some(shard), Some(sequence)) = (shard, sequence) {
        return Ok(path::is_value(rows::schema::SHARD, &shard)
            .and(path::is_value(rows::schema::SEQUENCE, &sequence)));
    }
    let bytes = rows::json::lines(row).concat().into_bytes();
    Ok(ident("bytes").eq(lit(ScalarValue::BinaryView(Some(bytes)))))
}

/// Whether a row of a table is this one.
fn is_row(row: &RecordBatch) -> Result<Expr> {
    let schema = row.schema();
    let mut all = lit(true);
    for (field, column) in schema.fields().iter().zip(row.columns()) {
        let value = ScalarValue::try_from_array(column, 0)?;
        all = all.and(path::is_value(field.name(), &value));
    }
    Ok(all)
}

/// Whether a row has the values of the record in all columns that come from it unchanged, and which
/// those are.
fn unchanged(plan: &TablePlan, mine: &Touched) -> Result<Option<(Expr, Vec<String>)>> {
    let rows: Vec<&RecordBatch> =
        plan.inputs.iter().filter_map(|it| mine.get(it)).flatten().collect();
    let [row] = rows.as_slice() else { return Ok(None) };
    let (mut all, mut columns) = (None, Vec::new());
    for (sources, field) in plan.sources.iter().zip(plan.schema.fields()) {
        let [source] = sources.as_slice() else { continue };
        let Some(column) = row.column_by_name(&source.column) else { continue };
        let is_same = path::is_value(field.name(), &ScalarValue::try_from_array(column, 0)?);
        all = Some(match all {
            None => is_same,
            Some(all) => Expr::and(all, is_same),
        });
        columns.push(format!("`{}`", field.name()));
    }
    Ok(all.map(|it| (it, columns)))
}

fn rows_of(found: &Found) -> Vec<RecordBatch> {
    match found {
        Found::LeftOut | Found::Read(_) => Vec::new(),
        Found::Rows(rows) => rows.clone(),
        Found::Groups(groups) => groups.iter().flat_map(|it| it.rows.iter().cloned()).collect(),
    }
}

/// Makes one row of the values of a key; columns that the SELECT shows have its names.
fn key_row(groups: &Groups, key: &path::Key) -> Result<RecordBatch> {
    let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
    for ((name, shown), value) in groups.columns.iter().zip(key) {
        let column = value.to_array()?;
        let name = shown.as_ref().unwrap_or(name);
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    }
    let found = Arc::new(Schema::new(fields));
    let schema = rows::schema::normalize(&found)
        .map_err(|error| DataFusionError::External(Box::new(error)))?;
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let batch = RecordBatch::try_new_with_options(found, columns, &options)?;
    fit(&batch, &schema)
}

/// Reads the rows of a table for which a condition holds, as batches of its schema.
async fn read(
    session: &SessionContext,
    table: Arc<dyn TableProvider>,
    condition: Expr,
) -> Result<Vec<RecordBatch>> {
    let schema = table.schema();
    let frame = session.read_table(table)?.filter(condition)?;
    let found = frame.limit(0, Some(limits::TRACE_ROWS_MAX))?.collect().await?;
    let found = found.iter().filter(|it| 0 < it.num_rows());
    let found = found.map(|it| fit(it, &schema)).collect::<Result<Vec<_>>>()?;
    if found.is_empty() {
        return Ok(found);
    }
    Ok(vec![concat_batches(&schema, &found)?])
}

/// Returns whether the plan scans a table.
fn reads(plan: &LogicalPlan, table: &str) -> bool {
    let own = matches!(plan, LogicalPlan::TableScan(scan) if scan.table_name.table() == table);
    own || plan.inputs().iter().any(|it| reads(it, table))
}

/// Returns a table without its hidden column.
fn without_final(name: &str, table: &Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>> {
    let schema = table.schema();
    if !schema.fields().iter().any(|it| rows::schema::is_hidden(it.name())) {
        return Ok(Arc::clone(table));
    }
    let shown = schema.fields().iter().filter(|it| !rows::schema::is_hidden(it.name()));
    let shown: Vec<Expr> = shown.map(|it| ident(it.name())).collect();
    let source = provider_as_source(Arc::clone(table));
    let plan = LogicalPlanBuilder::scan(name, source, None)?.project(shown)?.build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}
