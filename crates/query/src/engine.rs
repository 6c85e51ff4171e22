//! Answers questions: one statement, one snapshot, nothing is ever changed.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use base::Kind;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SQLOptions, SessionContext};

use crate::catalog::Catalog;
use crate::context::{self, ContextSettings};
use crate::error::SqlError;

/// The rows that answer a question.
pub struct Answer {
    /// The columns.
    pub schema: SchemaRef,
    /// The rows; dropping it cancels the question.
    pub rows: SendableRecordBatchStream,
}

/// Answers SQL over what a [`Catalog`] shows.
pub struct Engine {
    state: SessionState,
    catalog: Arc<dyn Catalog>,
}

impl Engine {
    /// Makes an engine over `catalog`.
    ///
    /// # Errors
    /// When the session cannot be made (the folder to spill to).
    pub fn new(
        settings: &ContextSettings,
        catalog: Arc<dyn Catalog>,
    ) -> Result<Engine, DataFusionError> {
        Ok(Engine { state: context::state(settings)?, catalog })
    }

    /// Answers one statement over one snapshot of all tables.
    ///
    /// # Errors
    /// When the statement is wrong, would change something, or cannot be run.
    pub async fn ask(&self, sql: &str) -> Result<Answer, SqlError> {
        let session = self.session().map_err(|error| wrong(&error))?;
        let plan = plan(&session, sql).await?;
        let frame = session.execute_logical_plan(plan).await.map_err(|error| wrong(&error))?;
        let rows = frame.execute_stream().await.map_err(|error| wrong(&error))?;
        Ok(Answer { schema: rows.schema(), rows })
    }

    /// Returns the columns that the answer to a statement would have.
    ///
    /// # Errors
    /// When the statement is wrong or would change something.
    pub async fn describe(&self, sql: &str) -> Result<SchemaRef, SqlError> {
        let session = self.session().map_err(|error| wrong(&error))?;
        let plan = plan(&session, sql).await?;
        Ok(Arc::clone(plan.schema().inner()))
    }

    /// Makes a session over one fresh snapshot.
    pub(crate) fn session(&self) -> Result<SessionContext, DataFusionError> {
        let catalogs = self.catalog.snapshot().catalogs()?;
        let state = SessionStateBuilder::new_from_existing(self.state.clone())
            .with_catalog_list(catalogs)
            .build();
        Ok(SessionContext::new_with_state(state))
    }
}

async fn plan(session: &SessionContext, sql: &str) -> Result<LogicalPlan, SqlError> {
    let plan = session.state().create_logical_plan(sql).await.map_err(|error| wrong(&error))?;
    let read_only =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    read_only.verify_plan(&plan).map_err(|error| wrong(&error))?;
    Ok(plan)
}

fn wrong(error: &DataFusionError) -> SqlError {
    SqlError {
        kind: Kind::Invalid,
        sqlstate: "42601",
        message: error.strip_backtrace(),
        range: None,
        help: None,
    }
}
