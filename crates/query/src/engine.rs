//! Answers questions: one statement, one snapshot, nothing is ever changed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use base::{Clock, Kind, limits};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::OptimizerRule;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::{
    context::EmptyContextProvider, setup_pg_catalog,
};
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::catalog::{Catalog, Database, Databases, Snapshot};
use crate::context::{self, CATALOG, ContextSettings};
use crate::error::SqlError;
use crate::join_order::JoinOrder;
use crate::past;
use crate::selective::AskWhileReading;
use crate::statement;
use crate::words;

/// The rows that answer a question; dropping it cancels the question.
pub struct Answer {
    /// The columns.
    pub schema: SchemaRef,
    sql: String,
    rows: SendableRecordBatchStream,
}

impl Answer {
    /// Returns the next rows, or `None` after the last.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, SqlError>> {
        let batch = self.rows.next().await?;
        Some(batch.map_err(|error| words::of(&self.sql, &error)))
    }

    /// Returns all rows; an answer of more than `rows_max` is an error, not a part of the answer.
    ///
    /// # Errors
    /// When the question fails while it runs, or has more rows.
    pub async fn all(mut self, rows_max: usize) -> Result<Vec<RecordBatch>, SqlError> {
        let mut batches = Vec::new();
        let mut rows = 0_usize;
        while let Some(batch) = self.next().await {
            let batch = batch?;
            rows = rows.saturating_add(batch.num_rows());
            if rows_max < rows {
                let message = format!("the answer has more than {rows_max} rows");
                return Err(SqlError::invalid("54000", message)
                    .with_help("add LIMIT, or read the answer as a stream"));
            }
            batches.push(batch);
        }
        Ok(batches)
    }
}

/// Answers SQL over what a [`Catalog`] shows.
pub struct Engine {
    state: SessionState,
    live: Arc<Database>,
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    running: Arc<Semaphore>,
}

impl Engine {
    /// Makes an engine over `catalog`.
    ///
    /// # Errors
    /// When the session cannot be made (the folder to spill to).
    pub fn new(
        settings: &ContextSettings,
        catalog: Arc<dyn Catalog>,
        clock: Arc<dyn Clock>,
    ) -> Result<Engine, DataFusionError> {
        let live = Database::now(Arc::clone(&catalog));
        let state = context::state(settings)?;
        let rules = with_join_order(state.optimizers());
        let state = SessionStateBuilder::new_from_existing(state)
            .with_catalog_list(Arc::new(Databases(Arc::clone(&live))))
            .with_optimizer_rules(rules)
            .with_physical_optimizer_rule(Arc::new(AskWhileReading))
            .build();
        let session = SessionContext::new_with_state(state);
        setup_pg_catalog(&session, CATALOG, EmptyContextProvider).map_err(|error| *error)?;
        crate::functions::register_postgres(&session);
        let running = Arc::new(Semaphore::new(limits::QUERIES_MAX));
        Ok(Engine { state: session.state(), live, catalog, clock, running })
    }

    /// Answers one statement over one snapshot of all tables.
    ///
    /// # Errors
    /// When the statement is wrong, would change something, or cannot be run.
    pub async fn ask(&self, sql: &str) -> Result<Answer, SqlError> {
        let statement = statement::parse_one(sql)?;
        let moment = self.moment();
        let plan = moment.plan(sql, statement).await?;
        let rows = moment.run(sql, plan, limits::QUERY_DURATION_MAX).await?;
        Ok(Answer { schema: rows.schema(), sql: sql.to_owned(), rows })
    }

    /// Returns the columns that the answer to a statement would have.
    ///
    /// # Errors
    /// When the statement is wrong or would change something.
    pub async fn describe(&self, sql: &str) -> Result<SchemaRef, SqlError> {
        let plan = self.moment().plan(sql, statement::parse_one(sql)?).await?;
        Ok(Arc::clone(plan.schema().inner()))
    }

    /// Returns the tables as they are now, to plan and run one statement.
    pub(crate) fn moment(&self) -> Moment<'_> {
        let snapshot = self.catalog.snapshot();
        let database = Database::at(&snapshot, self.live.postgres());
        let state = SessionStateBuilder::new_from_existing(self.state.clone())
            .with_catalog_list(Arc::new(Databases(Arc::clone(&database))))
            .build();
        Moment { engine: self, state, snapshot, database }
    }

    /// Returns the clock that limits statements.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}

type Rules = Vec<Arc<dyn OptimizerRule + Send + Sync>>;

/// Joins are ordered once conditions stand at their tables, and before columns are left out.
fn with_join_order(rules: &[Arc<dyn OptimizerRule + Send + Sync>]) -> Rules {
    let mut rules = rules.to_vec();
    let place = rules.iter().position(|it| it.name() == "push_down_filter");
    rules.insert(place.map_or(rules.len(), |it| it + 1), Arc::new(JoinOrder));
    rules
}

/// One statement's view of the tables.
pub(crate) struct Moment<'a> {
    engine: &'a Engine,
    pub(crate) state: SessionState,
    snapshot: Arc<Snapshot>,
    database: Arc<Database>,
}

impl Moment<'_> {
    /// Plans a statement.
    pub(crate) async fn plan(
        &self,
        sql: &str,
        mut statement: Statement,
    ) -> Result<LogicalPlan, SqlError> {
        statement::refuse_changes(&statement)?;
        let nearest = |error| with_nearest_table(error, &self.snapshot);
        statement::reveal(&mut statement, &self.snapshot);
        let past = past::take_out(&self.state, &self.snapshot, sql, &mut statement).await;
        self.database.show_past(past.map_err(nearest)?);
        let plan = statement::plan(&self.state, statement).await;
        plan.map_err(|error| nearest(words::of(sql, &error)))
    }

    /// Runs a plan for at most `duration`, when no more than the allowed number of others run.
    pub(crate) async fn run(
        self,
        sql: &str,
        plan: LogicalPlan,
        duration: Duration,
    ) -> Result<SendableRecordBatchStream, SqlError> {
        let mut over = self.engine.clock.sleep(duration);
        let running = Arc::clone(&self.engine.running);
        let session = SessionContext::new_with_state(self.state);
        let start = async {
            let permit = running.acquire_owned().await;
            let frame = session.execute_logical_plan(plan).await?;
            Ok((frame.execute_stream().await?, permit.ok()))
        };
        let started: Result<_, DataFusionError> = tokio::select! {
            started = Box::pin(start) => started,
            () = &mut over => return Err(out_of_time()),
        };
        let (rows, permit) = started.map_err(|error| words::of(sql, &error))?;
        Ok(limited(rows, over, permit))
    }
}

/// The statement took longer than statements may.
pub(crate) fn out_of_time() -> SqlError {
    SqlError::invalid("57014", "the statement was cancelled: it took too long").with_help(
        "ask about less time or fewer rows, or make a table of it that is kept up to date",
    )
}

type Over = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Ends the rows with an error when time is over.
fn limited(
    rows: SendableRecordBatchStream,
    over: Over,
    permit: Option<OwnedSemaphorePermit>,
) -> SendableRecordBatchStream {
    let schema = rows.schema();
    let steps = futures::stream::unfold(Some((rows, over, permit)), |step| async move {
        let (mut rows, mut over, permit) = step?;
        tokio::select! {
            batch = rows.next() => match batch? {
                Ok(batch) => Some((Ok(batch), Some((rows, over, permit)))),
                Err(error) => Some((Err(error), None)),
            },
            () = &mut over => {
                let error = DataFusionError::External(Box::new(out_of_time()));
                Some((Err(error), None))
            }
        }
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, steps))
}

pub(crate) fn with_nearest_table(error: SqlError, snapshot: &Snapshot) -> SqlError {
    if error.sqlstate != "42P01" || error.help.is_some() {
        return error;
    }
    let meant = error.message.split('`').nth(1).unwrap_or_default().to_owned();
    if let Some((schema, _)) = meant.split_once('.')
        && let Some(bucket) = base::nearest(schema, snapshot.buckets.keys().map(String::as_str))
    {
        return error.with_help(format!("did you mean the bucket `{bucket}`?"));
    }
    match base::nearest(&meant, snapshot.names()) {
        Some(name) => error.with_help(format!("did you mean `{name}`?")),
        None if error.kind == Kind::Missing && snapshot.tables.len() <= TABLES_LISTED_MAX => {
            let names: Vec<String> = snapshot.tables.keys().map(|it| format!("`{it}`")).collect();
            if names.is_empty() {
                return error;
            }
            error.with_help(format!("tables are {}", names.join(", ")))
        }
        None => error,
    }
}

/// Tables listed in a help; more would hide the message.
const TABLES_LISTED_MAX: usize = 12;

#[cfg(test)]
mod tests;
