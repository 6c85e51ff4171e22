//! What a table needs whose window functions look back by rows: the last rows of each key are
//! carried on, so that slices are computed from them and the rows since.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use crate::pipe;
use crate::table::Step;
use crate::table::carry::Carry;
use crate::table::grouping::within;
use crate::table::sliced::{Dirty, Sliced};

/// How long rows are looked at themselves after they are final, and how often they are carried on.
const CARRIED_AFTER_US: i64 = 60_000_000;
const CARRIED_EACH_US: i64 = 10_000_000;

impl Sliced {
    /// Returns up to when the rows are known that window functions look back at.
    pub(super) fn carried(&self) -> Option<i64> {
        self.carry.as_ref()?.until
    }

    /// Returns from when on the rows below are needed beside those carried; none if all are.
    pub(super) fn reaches_back(&self, dirty: &Dirty) -> Option<i64> {
        let until = self.carried()?;
        let first = match dirty {
            Dirty::Open(None) => return None,
            Dirty::Open(Some(it)) => it.saturating_sub(self.window.size_us).saturating_add(1),
            Dirty::Slices(slices) => slices.first().copied()?,
        };
        (until <= first).then_some(until)
    }

    /// Carries rows on that only those after them still need.
    pub(super) async fn carry_on(&mut self, step: &Step<'_>) -> Result<()> {
        let (Some(watermark), Some(link)) = (self.rows.watermark, self.slices.links.first()) else {
            return Ok(());
        };
        let Some(before) = self.carry.as_ref().map(|it| it.until) else { return Ok(()) };
        let until = self.slices.slice_of(watermark.saturating_sub(CARRIED_AFTER_US));
        if before.is_some_and(|it| until < it.saturating_add(CARRIED_EACH_US)) {
            return Ok(());
        }
        let from = before.unwrap_or(i64::MIN);
        let recent = self.recent.get(&link.table).filter(|it| it.covers(from));
        let below = |name: &str| {
            let stored = (step.tables)(name)?;
            let recent = recent.filter(|_| link.table == *name);
            let table = recent.map(|it| it.table(&stored.schema(), from));
            Some(table.and_then(Result::ok).unwrap_or(stored))
        };
        let bound = pipe::bind(&self.plan.select, &below)?;
        let bound = self.only(bound, &|_| vec![(before.unwrap_or(EARLIEST_US), Some(until))])?;
        if let Some(carry) = &mut self.carry {
            carry.extend(step.session, &bound, step.now_ms, until).await?;
        }
        Ok(())
    }

    /// Lets through only rows of the slices, where they are computed from all rows there are.
    pub(super) fn wanted(&self, plan: LogicalPlan, dirty: &Dirty) -> Result<LogicalPlan> {
        let (Dirty::Slices(slices), Some(_)) = (dirty, &self.carry) else { return Ok(plan) };
        let (Some(first), Some(last)) = (slices.first(), slices.last()) else { return Ok(plan) };
        let time = Expr::Column(Column::from(plan.schema().qualified_field(self.window.column)));
        let end = last.saturating_add(self.window.size_us);
        LogicalPlanBuilder::from(plan).filter(within(&time, *first, Some(end)))?.build()
    }

    pub(crate) fn state(&self) -> Result<Option<(SchemaRef, Vec<RecordBatch>)>> {
        self.carry.as_ref().map(Carry::to_state).transpose()
    }

    /// Takes the table over as it was.
    pub(crate) fn restore(&mut self, state: &[RecordBatch], watermark: Option<i64>) -> Result<()> {
        self.reopen(watermark);
        match &mut self.carry {
            Some(carry) => carry.restore(state),
            None => Ok(()),
        }
    }
}

/// A moment before all others: the year 1.
const EARLIEST_US: i64 = -62_135_596_800_000_000;
