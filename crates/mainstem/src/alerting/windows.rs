//! The windows of what an alert reads: which it may see, and which is the newest of a key.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use base::Name;
use datafusion::catalog::TableProvider;
use datafusion::catalog::view::ViewTable;
use datafusion::common::ScalarValue;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use datafusion::prelude::{ident, lit};
use process::{FlowPlan, TableView, View};
use spec::Project;

/// Where a table's windows come from: itself, or a windowed table it was computed from.
#[derive(Debug, Clone)]
pub(crate) struct Windows {
    /// The table whose windows they are.
    pub(crate) of: Name,
    /// The column with their start.
    pub(crate) column: String,
    /// How long they are.
    pub(crate) size_us: i64,
}

/// Finds the windows of the tables that an alert reads: their own, or those of a windowed table
/// from which they are computed and whose window column they kept.
pub(crate) fn windows_of(
    project: &Project,
    flow: &FlowPlan,
    alert: &spec::Alert,
) -> BTreeMap<Name, Windows> {
    let outputs = flow.outputs();
    let mut found = BTreeMap::new();
    for name in &alert.reads {
        let Some(output) = outputs.iter().find(|it| it.name == *name) else { continue };
        let mut open = vec![name.clone()];
        let mut seen: Vec<Name> = Vec::new();
        while let Some(next) = open.pop() {
            let kept =
                flow.window(&next).filter(|(it, _)| output.schema.column_with_name(it).is_some());
            if let Some((column, size_us)) = kept {
                found.insert(name.clone(), Windows { of: next, column, size_us });
                break;
            }
            seen.push(next.clone());
            let reads = project.tables.get(&next).map(|it| it.reads.clone()).unwrap_or_default();
            open.extend(reads.into_iter().filter(|it| !seen.contains(it)));
        }
    }
    found
}

/// Returns the table without its open windows.
pub(crate) fn only_final(
    name: &Name,
    windows: &Windows,
    view: &View,
) -> anyhow::Result<Option<Arc<dyn TableProvider>>> {
    let Some(table) = view.tables.get(name) else { return Ok(None) };
    let is_final =
        if *name == windows.of { ident("_final").is_true() } else { is_over(windows, table, view) };
    let provider: Arc<dyn TableProvider> = Arc::clone(table) as _;
    let plan = LogicalPlanBuilder::scan(name.as_str(), provider_as_source(provider), None)?
        .filter(is_final)?
        .build()?;
    Ok(Some(Arc::new(ViewTable::new(plan, None))))
}

/// Whether a window has ended before the watermark.
fn is_over(windows: &Windows, table: &TableView, view: &View) -> Expr {
    let zone =
        match table.schema.field_with_name(&windows.column).map(arrow::datatypes::Field::data_type)
        {
            Ok(DataType::Timestamp(TimeUnit::Microsecond, zone)) => zone.clone(),
            _ => None,
        };
    match view.stats.tables.get(&windows.of).and_then(|it| it.watermark_us) {
        Some(watermark) => {
            let start_max = watermark.saturating_sub(windows.size_us);
            ident(&windows.column)
                .lt_eq(lit(ScalarValue::TimestampMicrosecond(Some(start_max), zone)))
        }
        // Before the first row nothing has ended.
        None => lit(false),
    }
}

/// Returns each row's key as text and its window's start.
pub(crate) fn keyed(
    batch: &RecordBatch,
    key: &[String],
    column: &str,
) -> anyhow::Result<Vec<(String, i64)>> {
    let windows = batch.column_by_name(column).context("the window's column is there")?;
    let micros = arrow::compute::cast(windows, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
    let micros = micros.as_primitive::<TimestampMicrosecondType>();
    let places: Vec<usize> = key.iter().filter_map(|it| batch.schema().index_of(it).ok()).collect();
    let keys = batch.project(&places)?;
    Ok((0..batch.num_rows())
        .map(|row| {
            let mut text = String::new();
            rows::json::write_values(&keys, row, &mut text);
            let window = if micros.is_null(row) { i64::MIN } else { micros.value(row) };
            (text, window)
        })
        .collect())
}

/// Over windows, the row of a key stands while its source has no later window for the same key.
#[derive(Debug, Clone)]
pub(crate) struct NewestBy {
    /// The table whose windows decide.
    pub(crate) of: Name,
    /// The column with their start, in the table and in the alert's rows.
    pub(crate) column: String,
    /// The columns of the alert's key that the table has.
    pub(crate) key: Vec<String>,
}

impl NewestBy {
    /// Finds it for an alert whose rows have `schema`; nothing if they do not tell their window.
    pub(crate) fn of(
        alert: &spec::Alert,
        schema: &Schema,
        schemas: &BTreeMap<String, SchemaRef>,
        windows: &BTreeMap<Name, Windows>,
    ) -> Option<NewestBy> {
        let mut windows = windows.iter();
        let (of, windows) =
            windows.find(|(_, it)| schema.column_with_name(&it.column).is_some())?;
        let has = |it: &&str| {
            schemas.get(of.as_str()).is_some_and(|schema| schema.column_with_name(it).is_some())
        };
        let key = alert.key.iter().map(spec::Word::as_str).filter(has).map(str::to_owned).collect();
        Some(NewestBy { of: of.clone(), column: windows.column.clone(), key })
    }

    /// Returns the question for the newest window of each key.
    pub(crate) fn sql(&self) -> String {
        let quoted: Vec<String> = self.key.iter().map(|it| format!("\"{it}\"")).collect();
        let (column, of, keys) = (&self.column, &self.of, quoted.join(", "));
        if quoted.is_empty() {
            return format!("SELECT max(\"{column}\") AS \"{column}\" FROM \"{of}\"");
        }
        format!("SELECT {keys}, max(\"{column}\") AS \"{column}\" FROM \"{of}\" GROUP BY {keys}")
    }

    /// Keeps the rows of an alert that stand, given rows of the table with the newest windows.
    pub(crate) fn standing(
        &self,
        rows: &[RecordBatch],
        newest: &[RecordBatch],
    ) -> anyhow::Result<Vec<RecordBatch>> {
        let mut last: BTreeMap<String, i64> = BTreeMap::new();
        for batch in newest {
            for (key, window) in keyed(batch, &self.key, &self.column)? {
                let known = last.entry(key).or_insert(window);
                *known = window.max(*known);
            }
        }
        rows.iter()
            .map(|batch| {
                let stands = keyed(batch, &self.key, &self.column)?
                    .into_iter()
                    .map(|(key, window)| last.get(&key).is_none_or(|it| *it <= window));
                Ok(filter_record_batch(batch, &stands.collect::<Vec<bool>>().into())?)
            })
            .collect()
    }
}
