//! What a session does beside answering: copies, tables, and statements that it remembers.

use base::limits;
use datafusion::sql::parser::Statement;
use sqlparser::ast::{DataType, Expr};

use pgwire::messages::response::TransactionStatus;

use super::Session;
use crate::changes::{Changes, FileTarget, NewTable};
use crate::engine::Answer;
use crate::error::SqlError;
use crate::postgres::copy::CopyForm;
use crate::postgres::prepared;
use crate::postgres::rows::{Failure, Rows};
use crate::statement::read_only;

/// What PREPARE remembers.
pub(super) struct Remembered {
    sql: String,
    types: Vec<DataType>,
    statement: Statement,
}

impl Session {
    fn changes(&self, what: &str) -> Result<std::sync::Arc<dyn Changes>, SqlError> {
        self.engine.changes().cloned().ok_or_else(|| read_only(what))
    }

    /// Sends rows as a copy.
    pub(super) async fn copy_out(
        &mut self,
        mut rows: Rows,
        form: &CopyForm,
    ) -> Result<(), Failure> {
        let count = rows.copy(form, &mut self.output).await?;
        Ok(self.output.done(format!("COPY {count}"))?)
    }

    /// Writes rows into a file of a bucket.
    pub(super) async fn copy_file(
        &mut self,
        sql: &str,
        query: Statement,
        target: &FileTarget,
    ) -> Result<(), Failure> {
        self.asker()?.check_write()?;
        let changes = self.changes("COPY")?;
        changes.check_file(target).await?;
        let rows = self.open(sql, query, None).await?;
        let answer = Answer::new(sql, rows.into_stream());
        let count = changes.write_file(target, answer).await?;
        Ok(self.output.done(format!("COPY {count}"))?)
    }

    /// Makes a table of the project; its SELECT begins at a byte of the text.
    pub(super) async fn create(&mut self, table: NewTable, at: usize) -> Result<(), Failure> {
        let asker = self.asker()?;
        asker.check_manage()?;
        let changes = self.changes("CREATE TABLE")?;
        let made = changes.create_table(&asker, table).await.map_err(|error| {
            let range = error.range.clone().map(|it| it.start + at..it.end + at);
            SqlError { range, ..error }
        });
        self.tell_change(&made?)?;
        Ok(self.output.done("CREATE TABLE".to_owned())?)
    }

    /// Drops tables that were made so.
    pub(super) async fn drop_tables(
        &mut self,
        names: Vec<String>,
        if_exists: bool,
    ) -> Result<(), Failure> {
        self.asker()?.check_manage()?;
        let changes = self.changes("DROP TABLE")?;
        let dropped = changes.drop_tables(names, if_exists).await?;
        self.tell_change(&dropped)?;
        Ok(self.output.done("DROP TABLE".to_owned())?)
    }

    fn tell_change(&mut self, told: &str) -> Result<(), Failure> {
        if !told.is_empty() {
            self.output.notice(&SqlError::invalid("00000", told))?;
        }
        if self.status == TransactionStatus::Transaction {
            let warning = SqlError::invalid("25001", "the project is changed at once")
                .with_help("ROLLBACK does not undo it");
            self.output.warning(&warning)?;
        }
        Ok(())
    }

    /// Remembers a statement for EXECUTE.
    pub(super) fn remember(
        &mut self,
        name: String,
        types: Vec<DataType>,
        statement: Statement,
    ) -> Result<(), SqlError> {
        if self.remembered.contains_key(&name) {
            let message = format!("prepared statement `{name}` already exists");
            return Err(SqlError::invalid("42P05", message)
                .with_help(format!("`DEALLOCATE {name}` forgets it")));
        }
        if limits::POSTGRES_STATEMENTS_MAX <= self.remembered.len() {
            return Err(SqlError::invalid("54000", "too many prepared statements")
                .with_help("DEALLOCATE those that are not needed"));
        }
        let sql = statement.to_string();
        self.remembered.insert(name, Remembered { sql, types, statement });
        Ok(())
    }

    /// Returns a remembered statement with these values.
    pub(super) fn filled(
        &self,
        name: &str,
        values: &[Expr],
    ) -> Result<(String, Statement), SqlError> {
        let found = self.remembered.get(name).ok_or_else(|| {
            SqlError::invalid("26000", format!("prepared statement `{name}` not found"))
        })?;
        let filled = prepared::with_values(name, &found.statement, &found.types, values)?;
        Ok((found.sql.clone(), filled))
    }
}

/// What is said when a change of the project is cancelled: it goes on.
pub(super) fn cancelled() -> SqlError {
    SqlError::invalid("57014", "the statement was cancelled; the change of the project goes on")
        .with_help("`mainstem apply --status` says how far it is")
}
