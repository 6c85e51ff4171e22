//! The extended protocol: statements are parsed, bound, described and executed one by one.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use base::limits;
use pgwire::api::Type;
use pgwire::api::portal::Format;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{
    BindComplete, CloseComplete, ParseComplete, PortalSuspended,
};
use pgwire::messages::response::EmptyQueryResponse;

use super::{Portal, Prepared, Session, cancelled, no_cursor};
use crate::error::SqlError;
use crate::postgres::commands::{self, Command};
use crate::postgres::frame::{Bind, Message};
use crate::postgres::parameters::parameters;
use crate::postgres::rows::{
    Failure, Rows, description, fields, format_of, same_columns, setting_schema,
};

impl Session {
    pub(super) async fn extended(&mut self, message: Message) -> Result<(), Failure> {
        match message {
            Message::Parse { name, sql, types } => self.parse(name, sql, &types),
            Message::Bind(bind) => self.bind(bind),
            Message::Describe { is_portal: true, name } => self.describe_portal(&name).await,
            Message::Describe { is_portal: false, name } => self.describe_statement(&name).await,
            Message::Execute { name, rows_max } => self.execute(&name, rows_max).await,
            Message::Close { is_portal, name } => {
                if is_portal {
                    self.portals.remove(&name);
                    self.cursors.remove(&name);
                } else {
                    self.statements.remove(&name);
                }
                Ok(self.output.push(&PgWireBackendMessage::CloseComplete(CloseComplete::new()))?)
            }
            Message::Flush => Ok(self.output.flush().await?),
            Message::Login(_) => {
                Err(SqlError::invalid("08P01", "a password was sent after the login").into())
            }
            // No copy comes in here, and a client may still send the rest of one that was refused.
            Message::Copy | Message::Query(_) | Message::Sync | Message::Terminate => Ok(()),
        }
    }

    fn parse(&mut self, name: String, sql: String, types: &[u32]) -> Result<(), Failure> {
        let mut commands = commands::read(&sql)?;
        let command = commands.pop();
        if !commands.is_empty() {
            let error = SqlError::invalid("42601", "a prepared statement is one statement");
            return Err(error.into());
        }
        let is_new = !self.statements.contains_key(&name);
        if is_new && limits::POSTGRES_STATEMENTS_MAX <= self.statements.len() {
            return Err(SqlError::invalid("54000", "too many prepared statements")
                .with_help("DEALLOCATE those that are not needed")
                .into());
        }
        let types = types.iter().map(|it| Type::from_oid(*it)).collect();
        let told = parking_lot::Mutex::new(None);
        self.statements.insert(name, Arc::new(Prepared { sql, command, types, told }));
        Ok(self.output.push(&PgWireBackendMessage::ParseComplete(ParseComplete::new()))?)
    }

    fn bind(&mut self, bind: Bind) -> Result<(), Failure> {
        let prepared = self.statement(&bind.statement)?;
        let is_new = !self.portals.contains_key(&bind.portal);
        if is_new && limits::POSTGRES_STATEMENTS_MAX <= self.portals.len() {
            return Err(SqlError::invalid("54000", "too many open portals").into());
        }
        let formats = bind.formats.len();
        if 1 < formats && formats != bind.values.len() {
            let message =
                format!("{formats} formats were sent for {} parameters", bind.values.len());
            return Err(SqlError::invalid("08P01", message).into());
        }
        let portal = Portal { prepared, rows: None, is_done: false, bind };
        self.portals.insert(portal.bind.portal.clone(), portal);
        Ok(self.output.push(&PgWireBackendMessage::BindComplete(BindComplete::new()))?)
    }

    fn statement(&self, name: &str) -> Result<Arc<Prepared>, SqlError> {
        self.statements.get(name).cloned().ok_or_else(|| {
            SqlError::invalid("26000", format!("prepared statement `{name}` not found"))
        })
    }

    async fn describe_statement(&mut self, name: &str) -> Result<(), Failure> {
        let prepared = self.statement(name)?;
        let (types, schema) = match &prepared.command {
            None => (Vec::new(), None),
            Some(command) => self.described(&prepared, command).await?,
        };
        let types = ParameterDescription::new(types.iter().map(Type::oid).collect());
        self.output.push(&PgWireBackendMessage::ParameterDescription(types))?;
        self.tell_columns(schema.as_deref(), &Format::UnifiedText)?;
        *prepared.told.lock() = schema;
        Ok(())
    }

    async fn describe_portal(&mut self, name: &str) -> Result<(), Failure> {
        if let Some(cursor) = self.cursors.get(name) {
            let schema = Arc::clone(cursor.schema());
            return self.tell_columns(Some(&schema), &Format::UnifiedText);
        }
        let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
        let prepared = Arc::clone(&portal.prepared);
        let results = portal.bind.results.clone();
        let schema = match &prepared.command {
            None => None,
            Some(command) => self.described(&prepared, command).await?.1,
        };
        let columns = schema.as_ref().map_or(0, |it| it.fields().len());
        let format = format_of(&results, columns)?;
        self.tell_columns(schema.as_deref(), &format)?;
        *prepared.told.lock() = schema;
        Ok(())
    }

    pub(super) fn tell_columns(
        &mut self,
        schema: Option<&Schema>,
        format: &Format,
    ) -> Result<(), Failure> {
        match schema {
            None => Ok(self.output.push(&PgWireBackendMessage::NoData(NoData::new()))?),
            Some(schema) => Ok(self.output.push(&description(&fields(schema, format)?))?),
        }
    }

    /// Returns the types of the parameters and the columns of what a statement would answer.
    async fn described(
        &mut self,
        prepared: &Prepared,
        command: &Command,
    ) -> Result<(Vec<Type>, Option<SchemaRef>), SqlError> {
        match command {
            Command::Rows(statement) => {
                let moment = self.engine.moment(&self.asker()?);
                let plan = moment.plan(&prepared.sql, *statement.clone()).await?;
                let types = parameters(&plan)?;
                let types = types.iter().enumerate().map(|(index, (_, inferred))| {
                    prepared.types.get(index).cloned().flatten().unwrap_or_else(|| inferred.clone())
                });
                Ok((types.collect(), Some(Arc::clone(plan.schema().inner()))))
            }
            Command::Show(name) => Ok((Vec::new(), Some(setting_schema(name)))),
            Command::Fetch { name, .. } => match self.cursors.get(name) {
                Some(cursor) => Ok((Vec::new(), Some(Arc::clone(cursor.schema())))),
                None => Err(no_cursor(name)),
            },
            Command::Execute { name, values } => {
                let (sql, statement) = self.filled(name, values)?;
                let moment = self.engine.moment(&self.asker()?);
                let plan = moment.plan(&sql, statement).await;
                let plan = plan.map_err(|error| SqlError { range: None, ..error })?;
                Ok((Vec::new(), Some(Arc::clone(plan.schema().inner()))))
            }
            _ => Ok((Vec::new(), None)),
        }
    }

    async fn execute(&mut self, name: &str, rows_max: usize) -> Result<(), Failure> {
        let mut portal = self.portals.remove(name).ok_or_else(|| no_portal(name))?;
        let executed = self.execute_portal(&mut portal, rows_max).await;
        if executed.is_ok() {
            self.portals.insert(name.to_owned(), portal);
        }
        executed
    }

    async fn execute_portal(
        &mut self,
        portal: &mut Portal,
        rows_max: usize,
    ) -> Result<(), Failure> {
        let prepared = Arc::clone(&portal.prepared);
        let Some(command) = &prepared.command else {
            let empty = PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new());
            return Ok(self.output.push(&empty)?);
        };
        let Command::Rows(_) = command else {
            let columns = self.described(&prepared, command).await?.1;
            let format =
                format_of(&portal.bind.results, columns.map_or(0, |it| it.fields().len()))?;
            return self.guarded(&prepared.sql, command.clone(), &format, None, false).await;
        };
        if portal.is_done {
            return Ok(self.output.done("SELECT 0".to_owned())?);
        }
        if portal.rows.is_none() {
            let opened =
                self.guarded_open(&prepared.sql, command.clone(), Some((&prepared, &portal.bind)));
            let rows = opened.await?;
            let told = prepared.told.lock().clone();
            if told.is_some_and(|told| !same_columns(&told, rows.schema())) {
                let error = SqlError::invalid("0A000", "the columns of the answer have changed");
                return Err(error.with_help("prepare the statement again").into());
            }
            portal.rows = Some(rows);
        }
        let (timeout, overdue) = self.timeout()?;
        let Some(rows) = portal.rows.as_mut() else { return Ok(()) };
        let format = format_of(&portal.bind.results, rows.schema().fields().len())?;
        let cancel = Arc::clone(&self.cancel);
        let timeout = self.engine.clock().sleep(timeout);
        let sent = tokio::select! {
            sent = rows.send(&format, rows_max, &mut self.output) => sent?,
            () = cancel.notified() => return Err(cancelled().into()),
            () = timeout => return Err(overdue.into()),
        };
        if sent.is_end {
            portal.rows = None;
            portal.is_done = true;
            Ok(self.output.done(format!("SELECT {}", sent.rows))?)
        } else {
            Ok(self.output.push(&PgWireBackendMessage::PortalSuspended(PortalSuspended::new()))?)
        }
    }

    /// Plans and starts a statement, unless it is cancelled or takes too long.
    async fn guarded_open(
        &mut self,
        sql: &str,
        command: Command,
        given: Option<(&Prepared, &Bind)>,
    ) -> Result<Rows, Failure> {
        self.refuse_in_failed_transaction()?;
        let Command::Rows(statement) = command else {
            return Err(SqlError::invalid("0A000", "this statement has no rows").into());
        };
        let cancel = Arc::clone(&self.cancel);
        tokio::select! {
            opened = Box::pin(self.open(sql, *statement, given)) => Ok(opened?),
            () = cancel.notified() => Err(cancelled().into()),
        }
    }
}

fn no_portal(name: &str) -> SqlError {
    SqlError::invalid("34000", format!("portal `{name}` not found"))
}
