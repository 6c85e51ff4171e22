//! What slices are made of: rows of tables below, from memory where they are there.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::{max, min};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::catalog::TableProvider;
use datafusion::common::{Column, Result, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use datafusion::physical_plan::execute_stream;
use futures::TryStreamExt;

use crate::plan::slices::{Link, Told};
use crate::session;
use crate::table::Step;
use crate::table::grouping::within;
use crate::table::recent::Recent;
use crate::table::sliced::{Dirty, Sliced};

impl Sliced {
    /// Sees to it that the rows that open slices are made of are in memory.
    pub(super) async fn remember(&mut self, dirty: &Dirty, step: &Step<'_>) -> Result<()> {
        let Dirty::Slices(slices) = dirty else { return Ok(()) };
        let Some(first) = slices.iter().find(|it| !self.rows.is_over(**it)) else { return Ok(()) };
        for link in self.slices.links.iter().filter(|it| matches!(it.told, Told::Rows(_))) {
            let from = self.slices.made_of(link, *first).start;
            let from = self.carried().unwrap_or(from).min(from);
            match self.recent.get(&link.table) {
                Some(recent) if !recent.fits() => {
                    self.recent.insert(link.table.clone(), Recent::none());
                }
                Some(recent) if recent.is_none() || recent.covers(from) => {}
                _ => {
                    let recent = self.read(link, from, step).await?;
                    self.recent.insert(link.table.clone(), recent);
                }
            }
        }
        Ok(())
    }

    /// Reads the rows of a table below from a moment on.
    async fn read(&self, link: &Link, from: i64, step: &Step<'_>) -> Result<Recent> {
        let key = self.by_key.as_ref().and_then(|it| it.column(&link.table));
        let mut recent = Recent::new(from, key);
        let Some(provider) = (step.tables)(link.table.as_str()) else { return Ok(recent) };
        let table = TableReference::bare(link.table.as_str());
        let time = Expr::Column(Column::new(Some(table.clone()), &link.column));
        let scan = LogicalPlanBuilder::scan(table, provider_as_source(provider), None)?;
        let plan = scan.filter(within(&time, from, None))?.build()?;
        let state = session::at(step.session, step.now_ms);
        let physical = state.create_physical_plan(&plan).await?;
        let mut rows = execute_stream(physical, state.task_ctx())?;
        while let Some(batch) = rows.try_next().await? {
            let Some(times) = batch.column_by_name(&link.column) else { continue };
            let times = times.as_primitive::<TimestampMicrosecondType>();
            if let (Some(first), Some(last)) = (min(times), max(times)) {
                recent.push(batch.clone(), first..last.saturating_add(1));
            }
            if !recent.fits() {
                return Ok(Recent::none());
            }
        }
        Ok(recent)
    }

    /// Returns a table below as far as these slices are made of it: from memory, if it is there.
    pub(super) fn below(
        &self,
        name: &str,
        dirty: &Dirty,
        step: &Step<'_>,
    ) -> Option<Arc<dyn TableProvider>> {
        let stored = (step.tables)(name)?;
        let Some(link) = self.slices.links.iter().find(|it| it.table == *name) else {
            return Some(stored);
        };
        let from = self.ranges(dirty, link).first().map(|(from, _)| *from);
        let recent = self.recent.get(&link.table).zip(from);
        let recent = recent.filter(|(recent, from)| recent.covers(*from));
        let table = recent.map(|(recent, from)| recent.table(&stored.schema(), from));
        Some(table.and_then(Result::ok).unwrap_or(stored))
    }
}
