//! The checks of a stream: what must be true of a row before any table sees it.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;

use crate::session;

/// One check, ready to run.
#[derive(Debug)]
pub(crate) struct Check {
    name: String,
    text: String,
    written: Expr,
    schema: Arc<DFSchema>,
    compiled: Arc<dyn PhysicalExpr>,
    asks_time: bool,
}

/// The checks of one stream, in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    all: Vec<Check>,
}

/// Which rows passed, and why the others did not.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) passed: RecordBatch,
    pub(crate) failed: Vec<Failure>,
}

/// A row that failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) row: usize,
    /// All checks that failed, in the order of the file.
    pub(crate) checks: Vec<String>,
    /// What the first of them found.
    pub(crate) message: String,
}

/// What one check found in a batch.
struct Found {
    is_true: BooleanArray,
    errors: Vec<(usize, String)>,
}

impl Check {
    /// Compiles a check over the columns of the stream.
    pub(crate) fn new(
        session: &SessionContext,
        check: &spec::Check,
        schema: &SchemaRef,
    ) -> Result<Check> {
        let state = session.state();
        let schema = DFSchema::try_from(Schema::clone(schema))?;
        let written = state.create_logical_expr(&check.sql.text, &schema)?;
        let compiled = state.create_physical_expr(written.clone(), &schema)?;
        let kind = compiled.data_type(schema.as_arrow())?;
        if !matches!(kind, DataType::Boolean | DataType::Null) {
            return plan_err!(
                "check `{}` gives {kind}, not true or false; compare it with something",
                check.name
            );
        }
        let asks_time = session::expression_asks_time(&written);
        let (name, text) = (check.name.clone(), check.sql.text.trim().to_owned());
        Ok(Check { name, text, written, schema: Arc::new(schema), compiled, asks_time })
    }

    fn run(&self, batch: &RecordBatch) -> Found {
        let mut errors = Vec::new();
        let mut parts = Vec::new();
        self.bisect(batch, 0, &mut parts, &mut errors);
        let is_true = match parts.as_slice() {
            [one] => one.clone(),
            parts => parts.iter().flat_map(BooleanArray::iter).collect(),
        };
        Found { is_true, errors }
    }

    /// Evaluates the batch; where that fails, its halves, down to the rows at fault.
    fn bisect(
        &self,
        batch: &RecordBatch,
        offset: usize,
        parts: &mut Vec<BooleanArray>,
        errors: &mut Vec<(usize, String)>,
    ) {
        let rows = batch.num_rows();
        let value = self.compiled.evaluate(batch).and_then(|it| it.into_array(rows));
        match value {
            Ok(array) => parts.push(match array.as_boolean_opt() {
                Some(found) => found.clone(),
                None => BooleanArray::new_null(rows), // The literal NULL.
            }),
            Err(error) if rows <= 1 => {
                parts.push(BooleanArray::new_null(rows));
                errors.push((offset, error.strip_backtrace()));
            }
            Err(_) => {
                let half = rows / 2;
                self.bisect(&batch.slice(0, half), offset, parts, errors);
                self.bisect(&batch.slice(half, rows - half), offset + half, parts, errors);
            }
        }
    }
}

impl Checks {
    /// Compiles all checks of a stream.
    pub(crate) fn new(
        session: &SessionContext,
        declared: &[spec::Check],
        schema: &SchemaRef,
    ) -> Result<Checks> {
        let all = declared.iter().map(|it| Check::new(session, it, schema));
        Ok(Checks { all: all.collect::<Result<_>>()? })
    }

    /// Runs all checks over all rows; a row passes if each is true.
    pub(crate) fn judge(
        &mut self,
        session: &SessionContext,
        now_ms: u64,
        batch: RecordBatch,
    ) -> Result<Judged> {
        for check in self.all.iter_mut().filter(|it| it.asks_time) {
            let state = session::at(session, now_ms);
            check.compiled = state.create_physical_expr(check.written.clone(), &check.schema)?;
        }
        let found: Vec<Found> = self.all.iter().map(|it| it.run(&batch)).collect();
        let rows = batch.num_rows();
        if found.iter().all(|it| it.is_true.null_count() == 0 && it.is_true.true_count() == rows) {
            return Ok(Judged { passed: batch, failed: Vec::new() });
        }
        let passes = |it: &Found, row| it.is_true.is_valid(row) && it.is_true.value(row);
        let mut failed = Vec::new();
        let mut keep = Vec::with_capacity(rows);
        for row in 0..rows {
            let bad = || self.all.iter().zip(&found).filter(|(_, it)| !passes(it, row));
            let first = bad().next();
            keep.push(first.is_none());
            if let Some((check, found)) = first {
                let checks = bad().map(|(check, _)| check.name.clone()).collect();
                failed.push(Failure { row, checks, message: check.message(found, row) });
            }
        }
        Ok(Judged { passed: filter_record_batch(&batch, &BooleanArray::from(keep))?, failed })
    }
}

impl Check {
    fn message(&self, found: &Found, row: usize) -> String {
        let (name, text) = (&self.name, &self.text);
        if let Some((_, error)) = found.errors.iter().find(|(at, _)| *at == row) {
            return format!("check `{name}` could not be computed: {error}");
        }
        let value = if found.is_true.is_null(row) { "NULL" } else { "false" };
        format!("check `{name}`: `{text}` is {value}")
    }
}

#[cfg(test)]
mod tests;
