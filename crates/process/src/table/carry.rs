//! Rows that window functions by rows look back at: the last few of each key before a moment.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{collect, execute_stream};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;

use crate::pipe::Pipe;
use crate::plan::TablePlan;
use crate::plan::kept::{self, Kept};
use crate::session;
use crate::slot::{Slot, SlotTable};
use crate::table::append::fit;

/// See the module.
#[derive(Debug)]
pub(crate) struct Carry {
    rows_back: u64,
    schema: SchemaRef,
    /// The last rows of each key before `until`.
    rows: Vec<RecordBatch>,
    /// None as long as nobody knows.
    pub(crate) until: Option<i64>,
}

/// Rows that are looked at together when all that is stored is gone through.
const ROWS_TOGETHER: usize = 100_000;

/// The column that says in a checkpoint up to when the rows are.
const UNTIL: &str = "_until";

impl Carry {
    pub(crate) fn new(plan: &TablePlan, rows_back: u64) -> Result<Carry> {
        let Some(cut) = kept::find_last(&plan.select, rows_back) else {
            return internal_err!("`{}` has no window functions by rows", plan.name());
        };
        Ok(Carry { rows_back, schema: cut.schema(), rows: Vec::new(), until: None })
    }

    fn cut(&self, bound: &LogicalPlan) -> Result<Kept> {
        match kept::find_last(bound, self.rows_back) {
            Some(cut) => Ok(cut),
            None => internal_err!("a plan lost its window functions"),
        }
    }

    /// Runs a plan whose tables give the rows from `until` on.
    pub(crate) async fn run(
        &self,
        session: &SessionContext,
        bound: &LogicalPlan,
        now_ms: u64,
    ) -> Result<Vec<RecordBatch>> {
        let cut = self.cut(bound)?;
        let state = session::at(session, now_ms);
        let below = state.create_physical_plan(&cut.below).await?;
        let below = collect(below, state.task_ctx()).await?;
        let mut rows = self.rows.clone();
        rows.extend(self.fitting(&below)?);
        let held = Slot::moving(Arc::clone(&self.schema));
        let above = cut.above(Arc::new(SlotTable(Arc::clone(&held))))?;
        let above = state.create_physical_plan(&above).await?;
        Pipe::new(above, vec![held], state.task_ctx()).run_all(rows).await
    }

    /// Takes the rows that a plan gives, which come after those it has: up to `until`.
    pub(crate) async fn extend(
        &mut self,
        session: &SessionContext,
        bound: &LogicalPlan,
        now_ms: u64,
        until: i64,
    ) -> Result<()> {
        let cut = self.cut(bound)?;
        let held = Slot::moving(Arc::clone(&self.schema));
        let state = session::at(session, now_ms);
        let last = cut.needed(Arc::new(SlotTable(Arc::clone(&held))))?;
        let last = state.create_physical_plan(&last).await?;
        let mut last = Pipe::new(last, vec![held], state.task_ctx());
        let below = state.create_physical_plan(&cut.below).await?;
        let mut stream = execute_stream(below, state.task_ctx())?;
        let (mut rows, mut fresh) = (std::mem::take(&mut self.rows), 0);
        while let Some(batch) = stream.try_next().await? {
            fresh += batch.num_rows();
            rows.push(fit(&batch, &self.schema)?);
            if ROWS_TOGETHER < fresh {
                rows = self.fitting(&last.run_all(rows).await?)?;
                fresh = 0;
            }
        }
        self.rows = self.fitting(&last.run_all(rows).await?)?;
        self.until = Some(until);
        Ok(())
    }

    /// Brings rows to the schema in which they are held.
    fn fitting(&self, rows: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
        rows.iter().map(|it| fit(it, &self.schema)).collect()
    }

    /// Returns the bytes of the rows.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.iter().map(RecordBatch::get_array_memory_size).sum()
    }

    pub(crate) fn forget(&mut self) {
        self.rows.clear();
        self.until = None;
    }

    pub(crate) fn to_state(&self) -> Result<(SchemaRef, Vec<RecordBatch>)> {
        let mut fields: Vec<Arc<Field>> = self.schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(UNTIL, DataType::Int64, false)));
        let schema = Arc::new(Schema::new(fields));
        let Some(until) = self.until else { return Ok((schema, Vec::new())) };
        let with_until = |batch: &RecordBatch| {
            let mut columns = batch.columns().to_vec();
            let column: ArrayRef = Arc::new(Int64Array::from_value(until, batch.num_rows()));
            columns.push(column);
            Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
        };
        let rows = self.rows.iter().map(with_until).collect::<Result<Vec<_>>>()?;
        Ok((schema, rows))
    }

    pub(crate) fn restore(&mut self, state: &[RecordBatch]) -> Result<()> {
        self.forget();
        for batch in state {
            let Some((until, columns)) = batch.columns().split_last() else { continue };
            let until = until.as_primitive_opt::<Int64Type>().filter(|it| !it.is_empty());
            self.until = self.until.or_else(|| until.map(|it| it.value(0)));
            self.rows.push(RecordBatch::try_new(Arc::clone(&self.schema), columns.to_vec())?);
        }
        Ok(())
    }
}
