//! Answers questions: one statement, one snapshot, nothing is ever changed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use base::{Clock, Kind, limits};
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::OptimizerRule;
use datafusion::physical_plan::execute_stream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::{
    context::EmptyContextProvider, setup_pg_catalog,
};
use futures::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::apart;
use crate::asker::{Asker, Place, Reading};
use crate::catalog::{Catalog, Database, Databases, Snapshot};
use crate::changes::Changes;
use crate::cheap_first::CheapFirst;
use crate::context::{self, CATALOG, ContextSettings};
use crate::counted::counted;
use crate::error::SqlError;
use crate::join_order::JoinOrder;
use crate::once::Once;
use crate::past;
use crate::selective::AskWhileReading;
use crate::statement;
use crate::turns::in_turns;
use crate::words;

/// The rows that answer a question; dropping it cancels the question.
pub struct Answer {
    /// The columns.
    pub schema: SchemaRef,
    sql: String,
    rows: SendableRecordBatchStream,
}

impl Answer {
    pub(crate) fn new(sql: &str, rows: SendableRecordBatchStream) -> Answer {
        Answer { schema: rows.schema(), sql: sql.to_owned(), rows }
    }

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
    /// Where statements run; without it, where they are asked.
    threads: Option<Handle>,
    changes: Option<Arc<dyn Changes>>,
    /// Who asks where nobody says who: the program itself.
    itself: Arc<Asker>,
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
            .with_physical_optimizer_rule(Arc::new(CheapFirst))
            .with_query_planner(Arc::new(Once::new()))
            .build();
        let session = SessionContext::new_with_state(state);
        setup_pg_catalog(&session, CATALOG, EmptyContextProvider).map_err(|error| *error)?;
        crate::functions::register_postgres(&session);
        let running = Arc::new(Semaphore::new(limits::QUERIES_MAX));
        let itself = Arc::new(Asker::unlimited("mainstem"));
        let (state, threads, changes) = (session.state(), None, None);
        Ok(Engine { state, live, catalog, clock, running, threads, changes, itself })
    }

    /// Lets statements change what `changes` changes.
    #[must_use]
    pub fn with_changes(self, changes: Arc<dyn Changes>) -> Engine {
        Engine { changes: Some(changes), ..self }
    }

    /// Runs statements on `threads`, so that whoever asks has theirs for other work.
    #[must_use]
    pub fn on_threads(self, threads: Handle) -> Engine {
        Engine { threads: Some(threads), ..self }
    }

    /// Returns what statements may change, if anything.
    pub(crate) fn changes(&self) -> Option<&Arc<dyn Changes>> {
        self.changes.as_ref()
    }

    /// Answers one statement over one snapshot of all tables.
    ///
    /// # Errors
    /// When the statement is wrong, would change something, or cannot be run.
    pub async fn ask(&self, sql: &str) -> Result<Answer, SqlError> {
        self.ask_as(&self.itself, sql).await
    }

    /// As [`Engine::ask`], for somebody and within their limits.
    ///
    /// # Errors
    /// When the statement is wrong, would change something, or cannot be run; when it would take
    /// more than the asker may.
    pub async fn ask_as(&self, asker: &Arc<Asker>, sql: &str) -> Result<Answer, SqlError> {
        let statement = statement::parse_one(sql)?;
        let moment = self.moment(asker);
        let plan = moment.plan(sql, statement).await?;
        let rows = moment.run(sql, plan, limits::QUERY_DURATION_MAX).await?;
        Ok(Answer::new(sql, rows))
    }

    /// Returns the columns that the answer to a statement would have.
    ///
    /// # Errors
    /// When the statement is wrong or would change something.
    pub async fn describe(&self, sql: &str) -> Result<SchemaRef, SqlError> {
        let plan = self.moment(&self.itself).plan(sql, statement::parse_one(sql)?).await?;
        Ok(Arc::clone(plan.schema().inner()))
    }

    /// Returns the tables as they are now, to plan and run one statement.
    pub(crate) fn moment(&self, asker: &Arc<Asker>) -> Moment<'_> {
        let snapshot = self.catalog.snapshot();
        let database = Database::at(&snapshot, self.live.postgres());
        let runtime = self.state.runtime_env();
        let memory_pool = asker.memory(&runtime.memory_pool);
        let runtime = RuntimeEnv { memory_pool, ..RuntimeEnv::clone(runtime) };
        let state = SessionStateBuilder::new_from_existing(self.state.clone())
            .with_catalog_list(Arc::new(Databases(Arc::clone(&database))))
            .with_runtime_env(Arc::new(runtime))
            .build();
        let asker = Arc::clone(asker);
        Moment { engine: self, state, snapshot, database, asker }
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
    asker: Arc<Asker>,
}

impl Moment<'_> {
    /// Plans a statement.
    pub(crate) async fn plan(
        &self,
        sql: &str,
        mut statement: Statement,
    ) -> Result<LogicalPlan, SqlError> {
        statement::refuse_changes(&statement)?;
        statement::expand(&mut statement)?;
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
        let place = self.asker.begin()?;
        let duration = self.asker.duration(duration);
        let mut over = self.engine.clock.sleep(duration);
        let asker = self.asker;
        let overdue = asker.out_of_time(duration).unwrap_or_else(out_of_time);
        let threads = self.engine.threads.as_ref();
        let running = Arc::clone(&self.engine.running);
        let start = Box::pin(start(running, self.state, plan, (asker.reading(), place.running())));
        let started = async {
            match threads {
                Some(threads) => apart::done_on(threads, start).await,
                None => start.await,
            }
        };
        let started = tokio::select! {
            started = started => started,
            () = &mut over => return Err(overdue),
        };
        let (rows, permit) = started.map_err(|error| words::of(sql, &error))?;
        let (rows, permit) = match threads {
            Some(threads) => (apart::rows_on(threads, rows, permit), None),
            None => (rows, permit),
        };
        Ok(limited(rows, over, Held { _places: (permit, place), overdue }))
    }
}

type Started = (SendableRecordBatchStream, Option<OwnedSemaphorePermit>);

/// Starts a plan when no more than the allowed number of others run, on its part of the cores.
async fn start(
    running: Arc<Semaphore>,
    mut state: SessionState,
    plan: LogicalPlan,
    (reading, of_asker): (Option<Arc<Reading>>, Arc<AtomicUsize>),
) -> Result<Started, DataFusionError> {
    let permit = Arc::clone(&running).acquire_owned().await;
    let at_once = limits::QUERIES_MAX.saturating_sub(running.available_permits()).max(1);
    let execution = &mut state.config_mut().options_mut().execution;
    execution.target_partitions = (execution.target_partitions / at_once).max(1);
    let frame = SessionContext::new_with_state(state).execute_logical_plan(plan).await?;
    let task = Arc::new(frame.task_ctx());
    let plan = in_turns(frame.create_physical_plan().await?, &of_asker)?;
    let plan = match reading {
        Some(reading) => counted(plan, &reading)?,
        None => plan,
    };
    Ok((execute_stream(plan, task)?, permit.ok()))
}

/// What a statement holds while it runs.
struct Held {
    _places: (Option<OwnedSemaphorePermit>, Place),
    /// What is said when its time is over.
    overdue: SqlError,
}

/// The statement took longer than statements may.
pub(crate) fn out_of_time() -> SqlError {
    SqlError::invalid("57014", "the statement was cancelled: it took too long").with_help(
        "ask about less time or fewer rows, or make a table of it that is kept up to date",
    )
}

type Over = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Ends the rows with an error when time is over.
fn limited(rows: SendableRecordBatchStream, over: Over, held: Held) -> SendableRecordBatchStream {
    let schema = rows.schema();
    let steps = futures::stream::unfold(Some((rows, over, held)), |step| async move {
        let (mut rows, mut over, held) = step?;
        tokio::select! {
            batch = rows.next() => match batch? {
                Ok(batch) => Some((Ok(batch), Some((rows, over, held)))),
                Err(error) => Some((Err(error), None)),
            },
            () = &mut over => {
                let error = DataFusionError::External(Box::new(held.overdue));
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
