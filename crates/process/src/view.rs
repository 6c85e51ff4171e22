//! All tables of a flow at one tick, hot and stored rows together.
//!
//! A view never changes: a query that holds one sees one tick across all tables, whatever is
//! ticked, flushed or compacted meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use base::{Epoch, Name};
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Result, ScalarValue, Statistics, internal_err};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType, ident, lit};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;

use crate::plan::TableKind;
use crate::serial::SerialExec;
use crate::spill::Spilled;
use crate::spill::exec::SpilledExec;
use crate::stats::Stats;

pub(crate) mod keyed;

/// All tables of a flow at one tick.
#[derive(Debug, Default)]
pub struct View {
    /// Which tick, counted from 1 since the flow was opened.
    pub tick: u64,
    /// The last durable epoch.
    pub epoch: Epoch,
    /// The tables: raw tables by their stream's name, dead letters, tables, lookups.
    pub tables: BTreeMap<Name, Arc<TableView>>,
    /// What the flow tells about itself, at the same tick as the tables.
    pub stats: Arc<Stats>,
}

impl View {
    /// Returns the tables as providers.
    pub fn providers(&self) -> impl Iterator<Item = (&Name, Arc<dyn TableProvider>)> {
        self.tables.iter().map(|(name, table)| {
            let table: Arc<dyn TableProvider> = Arc::clone(table) as _;
            (name, table)
        })
    }
}

/// One table at one tick: its hot rows, and those of its stored rows that they do not replace.
#[derive(Debug, Clone)]
pub struct TableView {
    /// The name.
    pub name: Name,
    /// What kind of table it is.
    pub kind: TableKind,
    /// The schema of its rows.
    pub schema: SchemaRef,
    /// Since when it no longer follows what it reads, in milliseconds since 1970.
    pub stale_since_ms: Option<u64>,
    /// The same with what is hidden; the first columns are those of `schema`.
    pub(crate) whole: SchemaRef,
    pub(crate) cold: Arc<dyn TableProvider>,
    pub(crate) hides: Hides,
    pub(crate) hot: Vec<RecordBatch>,
    /// More hot rows, which do not fit in memory; the first columns are those of `schema`.
    pub(crate) spilled: Vec<Arc<Spilled>>,
}

/// Which stored rows a view does not show.
#[derive(Debug, Clone, Default)]
pub(crate) enum Hides {
    /// None.
    #[default]
    Nothing,
    /// All: the hot rows are the whole table.
    All,
    /// Those of these windows: the hot rows have them anew.
    Windows {
        /// Which column tells the window.
        column: usize,
        /// Starts in microseconds.
        starts: Arc<BTreeSet<i64>>,
        /// How long each is; 1 where the column holds the very starts.
        span_us: i64,
    },
}

impl TableView {
    /// Returns the number of hot rows.
    pub fn hot_rows(&self) -> usize {
        let in_memory: usize = self.hot.iter().map(RecordBatch::num_rows).sum();
        let on_disk: u64 = self.spilled.iter().map(|it| it.rows()).sum();
        in_memory.saturating_add(usize::try_from(on_disk).unwrap_or(usize::MAX))
    }

    /// Returns the table without its hidden column.
    pub(crate) fn without_final(self: &Arc<Self>) -> Arc<TableView> {
        let schema = crate::plan::seen(&self.schema, false);
        if schema.fields().len() == self.schema.fields().len() {
            return Arc::clone(self);
        }
        let columns: Vec<usize> = (0..schema.fields().len()).collect();
        let project = |it: &RecordBatch| it.project(&columns).ok();
        Arc::new(TableView {
            name: self.name.clone(),
            kind: self.kind,
            stale_since_ms: self.stale_since_ms,
            whole: Arc::clone(&self.whole),
            cold: Arc::clone(&self.cold),
            hides: self.hides.clone(), // What is hidden is last, so places stay.
            hot: self.hot.iter().filter_map(project).collect(),
            spilled: self.spilled.clone(),
            schema,
        })
    }

    /// Plans the stored rows that are shown, in the projection of the hot ones.
    async fn scan_cold(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let shown: Vec<usize> =
            projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let mut read = shown.clone();
        let mut limit = limit;
        let hidden = match &self.hides {
            Hides::Windows { column, starts, span_us } if !starts.is_empty() => {
                limit = None; // Hidden rows must not use it up.
                let place = read.iter().position(|it| it == column).unwrap_or_else(|| {
                    read.push(*column);
                    read.len() - 1
                });
                Some((place, *column, Arc::clone(starts), *span_us))
            }
            Hides::Nothing | Hides::All | Hides::Windows { .. } => None,
        };
        let columns = self.cold_columns(&read)?;
        let mut plan = self.cold.scan(state, Some(&columns), filters, limit).await?;
        plan = cast_to(plan, &self.whole.project(&read)?)?;
        let Some((place, column, starts, span_us)) = hidden else { return Ok(plan) };
        let field = self.whole.field(column);
        let is_shown = beside(field, &starts, span_us);
        let schema = DFSchema::try_from(Schema::clone(&plan.schema()))?;
        let is_shown = state.create_physical_expr(is_shown, &schema)?;
        let plan: Arc<dyn ExecutionPlan> = Arc::new(FilterExec::try_new(is_shown, plan)?);
        if place < shown.len() {
            return Ok(plan);
        }
        keep_first(plan, shown.len())
    }

    /// Returns where the stored table has these columns of ours.
    fn cold_columns(&self, columns: &[usize]) -> Result<Vec<usize>> {
        let stored = self.cold.schema();
        columns
            .iter()
            .map(|it| {
                let name = self.whole.field(*it).name();
                match stored.fields().iter().position(|field| field.name() == name) {
                    Some(place) => Ok(place),
                    None => {
                        internal_err!("the stored table `{}` has no column `{name}`", self.name)
                    }
                }
            })
            .collect()
    }
}

#[async_trait]
impl TableProvider for TableView {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let hot = |partitions: &[Vec<RecordBatch>]| -> Result<Arc<dyn ExecutionPlan>> {
            let schema = Arc::clone(&self.schema);
            Ok(MemorySourceConfig::try_new_exec(partitions, schema, projection.cloned())?)
        };
        let partitions = state.config().target_partitions();
        let hides_all = self.hides_all();
        let mut places = Vec::new();
        if !self.hot.is_empty() || (hides_all && self.spilled.is_empty()) {
            places.push(hot(&spread(&self.hot, partitions))?);
        }
        if !self.spilled.is_empty() {
            let columns = projection.cloned();
            let columns = columns.unwrap_or_else(|| (0..self.schema.fields().len()).collect());
            places.push(SpilledExec::leaf(self.spilled.clone(), &self.whole, &columns)?);
        }
        if !hides_all {
            places.push(self.scan_cold(state, projection, filters, limit).await?);
        }
        let rows = match <[_; 1]>::try_from(places) {
            Ok([one]) => one,
            Err(several) => UnionExec::try_new(several)?,
        };
        Ok(if partitions == 1 { SerialExec::of(rows) } else { rows })
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    /// About how many rows there are, and between which bounds the stored ones lie: joins are ordered
    /// by it.
    fn statistics(&self) -> Option<Statistics> {
        let mut known = Statistics::new_unknown(&self.schema);
        known.num_rows = Precision::Inexact(self.hot_rows());
        if self.hides_all() {
            return Some(known);
        }
        let stored = self.cold.statistics()?.to_inexact();
        known.num_rows = known.num_rows.add(&stored.num_rows);
        let schema = self.cold.schema();
        for (field, column) in self.schema.fields().iter().zip(&mut known.column_statistics) {
            let place = schema.index_of(field.name()).ok();
            if let Some(found) = place.and_then(|it| stored.column_statistics.get(it)) {
                column.clone_from(found);
            }
        }
        Some(known)
    }
}

/// Spreads batches over partitions of about the same number of rows.
fn spread(batches: &[RecordBatch], partitions_max: usize) -> Vec<Vec<RecordBatch>> {
    /// Below this many rows a second partition costs more than it saves.
    const ROWS_WORTH_IT: usize = 65_536;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let count = (rows / ROWS_WORTH_IT).clamp(1, partitions_max.max(1));
    let mut partitions = vec![Vec::new(); count];
    let mut before = 0;
    for batch in batches {
        let place = (before * count / rows.max(1)).min(count - 1);
        if let Some(partition) = partitions.get_mut(place) {
            partition.push(batch.clone());
        }
        before += batch.num_rows();
    }
    partitions
}

/// Returns the value of a timestamp column for a moment in microseconds.
/// Holds for rows whose time lies in none of the stretches.
fn beside(field: &Field, starts: &BTreeSet<i64>, span_us: i64) -> Expr {
    let at = |micros: i64| lit(moment(micros, field.data_type()));
    let time = || ident(field.name());
    if span_us == 1 {
        return time().in_list(starts.iter().map(|it| at(*it)).collect(), true);
    }
    let mut stretches: Vec<(i64, i64)> = Vec::new();
    for start in starts {
        let end = start.saturating_add(span_us);
        match stretches.last_mut() {
            Some((_, last)) if start <= last => *last = end,
            _ => stretches.push((*start, end)),
        }
    }
    let outside = stretches.into_iter();
    let outside = outside.map(|(from, to)| time().lt(at(from)).or(time().gt_eq(at(to))));
    outside.reduce(Expr::and).unwrap_or_else(|| lit(true))
}

fn moment(micros: i64, kind: &DataType) -> ScalarValue {
    let zone = match kind {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    ScalarValue::TimestampMicrosecond(Some(micros), zone)
}

/// Casts what the storage has in another layout (a dictionary, other nanoseconds) to `schema`.
fn cast_to(plan: Arc<dyn ExecutionPlan>, schema: &Schema) -> Result<Arc<dyn ExecutionPlan>> {
    let found = plan.schema();
    let same = found.fields().iter().zip(schema.fields()).all(|(found, wanted)| {
        found.data_type() == wanted.data_type() && found.name() == wanted.name()
    });
    if same {
        return Ok(plan);
    }
    let mut columns: Vec<(Arc<dyn PhysicalExpr>, String)> = Vec::new();
    for (place, (found, wanted)) in found.fields().iter().zip(schema.fields()).enumerate() {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(found.name(), place));
        let column = if found.data_type() == wanted.data_type() {
            column
        } else {
            Arc::new(CastExpr::new(column, wanted.data_type().clone(), None))
        };
        columns.push((column, wanted.name().clone()));
    }
    Ok(Arc::new(ProjectionExec::try_new(columns, plan)?))
}

fn keep_first(plan: Arc<dyn ExecutionPlan>, count: usize) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = plan.schema();
    let columns: Vec<(Arc<dyn PhysicalExpr>, String)> = schema
        .fields()
        .iter()
        .take(count)
        .enumerate()
        .map(|(place, field)| {
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), place));
            (column, field.name().clone())
        })
        .collect();
    Ok(Arc::new(ProjectionExec::try_new(columns, plan)?))
}
