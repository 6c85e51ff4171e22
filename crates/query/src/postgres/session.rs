//! One client's session: its statements, portals, cursors and settings.

use std::collections::HashMap;
use std::io;
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
use pgwire::messages::response::{EmptyQueryResponse, ReadyForQuery, TransactionStatus};
use pgwire::messages::startup::ParameterStatus;
use tokio::io::AsyncRead;
use tokio::sync::{Notify, watch};

use super::commands::{self, Command, Settings};
use super::frame::{Bind, Frames, Message, read_ahead};
use super::output::Output;
use super::parameters::{parameters, with_values};
use super::rows::{
    Failure, Rows, Sent, description, fields, format_of, one_value, same_columns, setting_schema,
};
use super::stopped;
use crate::engine::{Engine, out_of_time};
use crate::error::SqlError;

/// A remembered statement.
struct Prepared {
    sql: String,
    /// None for an empty text.
    command: Option<Command>,
    types: Vec<Option<Type>>,
    /// The columns that were described to the client.
    told: parking_lot::Mutex<Option<SchemaRef>>,
}

/// A statement with its parameters, or a cursor.
struct Portal {
    prepared: Arc<Prepared>,
    bind: Bind,
    rows: Option<Rows>,
    is_done: bool,
}

/// The state of one client.
pub(super) struct Session {
    engine: Arc<Engine>,
    output: Output,
    cancel: Arc<Notify>,
    settings: Settings,
    status: TransactionStatus,
    statements: HashMap<String, Arc<Prepared>>,
    portals: HashMap<String, Portal>,
    cursors: HashMap<String, Rows>,
    /// After an error, all is skipped until the client says where the next sequence begins.
    is_skipping: bool,
}

impl Session {
    pub(super) fn new(engine: Arc<Engine>, output: Output, cancel: Arc<Notify>) -> Session {
        Session {
            engine,
            output,
            cancel,
            settings: Settings::default(),
            status: TransactionStatus::Idle,
            statements: HashMap::new(),
            portals: HashMap::new(),
            cursors: HashMap::new(),
            is_skipping: false,
        }
    }

    /// Answers messages until the client goes or the program stops.
    pub(super) async fn run<R>(
        mut self,
        frames: Frames<R>,
        stop: &mut watch::Receiver<bool>,
    ) -> io::Result<()>
    where
        R: AsyncRead + Unpin + Send + 'static,
    {
        let (mut messages, gone) = read_ahead(frames);
        self.ready().await?;
        loop {
            let open =
                !self.cursors.is_empty() || self.portals.values().any(|it| it.rows.is_some());
            let patience =
                if open { limits::QUERY_DURATION_MAX } else { limits::POSTGRES_IDLE_MAX };
            let message = tokio::select! {
                message = messages.recv() => message,
                () = self.engine.clock().sleep(patience) => {
                    if open {
                        // Rows nobody takes hold memory and a place among the running queries.
                        self.forget_open_rows();
                        continue;
                    }
                    let error = SqlError::invalid("57P05", "the connection was idle for too long");
                    return self.output.fatal(&error).await;
                }
                () = stopped(stop) => {
                    let error = SqlError::invalid("57P01", "the program is stopping");
                    return self.output.fatal(&error).await;
                }
            };
            match message {
                None | Some(Ok(Message::Terminate)) => return Ok(()),
                Some(Ok(message)) => {
                    let answered = tokio::select! {
                        answered = Box::pin(self.answer(message)) => answered,
                        () = gone.notified() => return Ok(()),
                    };
                    answered?;
                }
                Some(Err(error)) => {
                    let error = SqlError::invalid("08P01", error.to_string());
                    return self.output.fatal(&error).await;
                }
            }
        }
    }

    fn forget_open_rows(&mut self) {
        self.cursors.clear();
        self.portals.retain(|_, portal| portal.rows.is_none());
    }

    async fn ready(&mut self) -> io::Result<()> {
        let ready = ReadyForQuery::new(self.status);
        self.output.push(&PgWireBackendMessage::ReadyForQuery(ready))?;
        self.output.flush().await
    }

    async fn answer(&mut self, message: Message) -> io::Result<()> {
        if let Message::Query(sql) = &message {
            self.is_skipping = false;
            let done = self.simple(sql).await;
            self.report(sql, done)?;
            return self.ready().await;
        }
        if matches!(message, Message::Sync) {
            self.is_skipping = false;
            if self.status == TransactionStatus::Idle {
                self.portals.clear();
            }
            return self.ready().await;
        }
        if self.is_skipping {
            return Ok(());
        }
        let sql = self.sql_of(&message);
        let done = self.extended(message).await;
        self.is_skipping = self.report(&sql, done)?;
        Ok(())
    }

    /// Tells the client about a fault; returns whether there was one.
    fn report(&mut self, sql: &str, done: Result<(), Failure>) -> io::Result<bool> {
        match done {
            Ok(()) => Ok(false),
            Err(Failure::Connection(error)) => Err(error),
            Err(Failure::Sql(error)) => {
                if self.status == TransactionStatus::Transaction {
                    self.status = TransactionStatus::Error;
                }
                self.output.error(sql, &error)?;
                Ok(true)
            }
        }
    }

    fn sql_of(&self, message: &Message) -> String {
        let of_statement = |name: &String| self.statements.get(name).map(|it| it.sql.clone());
        let of_portal = |name: &String| self.portals.get(name).map(|it| it.prepared.sql.clone());
        let sql = match message {
            Message::Parse { sql, .. } => Some(sql.clone()),
            Message::Describe { is_portal: false, name } => of_statement(name),
            Message::Describe { name, .. } | Message::Execute { name, .. } => of_portal(name),
            Message::Bind(bind) => of_statement(&bind.statement),
            _ => None,
        };
        sql.unwrap_or_default()
    }

    /// The simple protocol: a text of any number of statements, rows as text.
    async fn simple(&mut self, sql: &str) -> Result<(), Failure> {
        let commands = commands::read(sql)?;
        if commands.is_empty() {
            let empty = PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new());
            return Ok(self.output.push(&empty)?);
        }
        for command in commands {
            self.guarded(sql, command, &Format::UnifiedText, None, true).await?;
        }
        Ok(())
    }

    async fn extended(&mut self, message: Message) -> Result<(), Failure> {
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
            // Copies end with a refusal here, and a client may still send the rest of one.
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

    fn tell_columns(&mut self, schema: Option<&Schema>, format: &Format) -> Result<(), Failure> {
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
                let plan = self.engine.moment().plan(&prepared.sql, *statement.clone()).await?;
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
        let Some(rows) = portal.rows.as_mut() else { return Ok(()) };
        let format = format_of(&portal.bind.results, rows.schema().fields().len())?;
        let cancel = Arc::clone(&self.cancel);
        let timeout = self.engine.clock().sleep(self.settings.statement_timeout());
        let sent = tokio::select! {
            sent = rows.send(&format, rows_max, &mut self.output) => sent?,
            () = cancel.notified() => return Err(cancelled().into()),
            () = timeout => return Err(out_of_time().into()),
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

    fn refuse_in_failed_transaction(&self) -> Result<(), SqlError> {
        if self.status == TransactionStatus::Error {
            let message =
                "current transaction is aborted, commands ignored until end of transaction block";
            return Err(SqlError::invalid("25P02", message));
        }
        Ok(())
    }

    /// Plans a statement on a fresh snapshot and starts it.
    async fn open(
        &mut self,
        sql: &str,
        statement: datafusion::sql::parser::Statement,
        given: Option<(&Prepared, &Bind)>,
    ) -> Result<Rows, SqlError> {
        let moment = self.engine.moment();
        let mut plan = moment.plan(sql, statement).await?;
        let expected = parameters(&plan)?;
        let sent = given.map_or(0, |(_, bind)| bind.values.len());
        if expected.len() != sent {
            let message =
                format!("the statement has {} parameters, and {sent} were sent", expected.len());
            return Err(SqlError::invalid("08P01", message));
        }
        if let Some((prepared, bind)) = given
            && !expected.is_empty()
        {
            plan = with_values(plan, sql, &prepared.types, bind, &expected)
                .map_err(|error| SqlError { range: None, ..error })?;
        }
        let rows = moment.run(sql, plan, self.settings.statement_timeout()).await?;
        Ok(Rows::new(sql.to_owned(), rows))
    }

    /// Runs a command, unless it is cancelled or takes too long.
    async fn guarded(
        &mut self,
        sql: &str,
        command: Command,
        format: &Format,
        given: Option<(&Prepared, &Bind)>,
        tells_columns: bool,
    ) -> Result<(), Failure> {
        if !matches!(command, Command::Commit | Command::Rollback) {
            self.refuse_in_failed_transaction()?;
        }
        let cancel = Arc::clone(&self.cancel);
        let timeout = self.engine.clock().sleep(self.settings.statement_timeout());
        let limits = async {
            tokio::select! {
                () = cancel.notified() => cancelled(),
                () = timeout => out_of_time(),
            }
        };
        tokio::select! {
            done = Box::pin(self.command(sql, command, format, given, tells_columns)) => done,
            error = limits => Err(error.into()),
        }
    }

    async fn command(
        &mut self,
        sql: &str,
        command: Command,
        format: &Format,
        given: Option<(&Prepared, &Bind)>,
        tells_columns: bool,
    ) -> Result<(), Failure> {
        match command {
            Command::Rows(statement) => {
                let mut rows = self.open(sql, *statement, given).await?;
                if tells_columns {
                    self.tell_columns(Some(&Arc::clone(rows.schema())), format)?;
                }
                let sent = rows.send(format, 0, &mut self.output).await?;
                Ok(self.output.done(format!("SELECT {}", sent.rows))?)
            }
            Command::Fetch { name, rows_max } => {
                self.fetch(&name, rows_max, format, tells_columns).await
            }
            Command::Declare { name, query } => {
                if limits::POSTGRES_STATEMENTS_MAX <= self.cursors.len() {
                    return Err(SqlError::invalid("54000", "too many open cursors").into());
                }
                let rows = self.open(sql, *query, None).await?;
                self.cursors.insert(name, rows);
                Ok(self.output.done("DECLARE CURSOR".to_owned())?)
            }
            Command::Show(name) => {
                let value = self.settings.show(&name)?;
                let mut rows = one_value(&name, &value)?;
                if tells_columns {
                    self.tell_columns(Some(&Arc::clone(rows.schema())), format)?;
                }
                rows.send(format, 0, &mut self.output).await?;
                Ok(self.output.done("SHOW".to_owned())?)
            }
            other => Ok(self.command_without_rows(other)?),
        }
    }

    fn command_without_rows(&mut self, command: Command) -> Result<(), Failure> {
        let tag = match command {
            Command::Begin => {
                if self.status == TransactionStatus::Idle {
                    self.status = TransactionStatus::Transaction;
                }
                "BEGIN"
            }
            Command::Commit if self.status == TransactionStatus::Error => self.end("ROLLBACK"),
            Command::Commit => self.end("COMMIT"),
            Command::Rollback => self.end("ROLLBACK"),
            Command::Set { name, value } => {
                if let Some(warning) = self.settings.set(&name, &value)? {
                    self.output.warning(&warning)?;
                } else if name == "application_name" {
                    let status = ParameterStatus::new(name, value);
                    self.output.push(&PgWireBackendMessage::ParameterStatus(status))?;
                }
                "SET"
            }
            Command::Reset(name) => {
                self.settings.reset(name.as_deref());
                "RESET"
            }
            Command::Close(None) => {
                self.cursors.clear();
                "CLOSE CURSOR ALL"
            }
            Command::Close(Some(name)) => {
                self.cursors.remove(&name).ok_or_else(|| no_cursor(&name))?;
                "CLOSE CURSOR"
            }
            Command::Deallocate(None) => {
                self.statements.clear();
                "DEALLOCATE ALL"
            }
            Command::Deallocate(Some(name)) => {
                self.statements.remove(&name);
                "DEALLOCATE"
            }
            Command::Discard => {
                self.statements.clear();
                self.cursors.clear();
                self.settings.reset(None);
                "DISCARD ALL"
            }
            Command::Nothing(tag) => tag,
            Command::Rows(_)
            | Command::Fetch { .. }
            | Command::Declare { .. }
            | Command::Show(_) => "SELECT",
        };
        Ok(self.output.done(tag.to_owned())?)
    }

    fn end(&mut self, tag: &'static str) -> &'static str {
        self.status = TransactionStatus::Idle;
        self.cursors.clear(); // Cursors live in a transaction.
        tag
    }

    async fn fetch(
        &mut self,
        name: &str,
        rows_max: usize,
        format: &Format,
        tells_columns: bool,
    ) -> Result<(), Failure> {
        let mut rows = self.cursors.remove(name).ok_or_else(|| no_cursor(name))?;
        if tells_columns {
            self.tell_columns(Some(&Arc::clone(rows.schema())), format)?;
        }
        let Sent { rows: count, .. } = rows.send(format, rows_max, &mut self.output).await?;
        self.cursors.insert(name.to_owned(), rows);
        Ok(self.output.done(format!("FETCH {count}"))?)
    }
}

fn no_portal(name: &str) -> SqlError {
    SqlError::invalid("34000", format!("portal `{name}` not found"))
}

fn no_cursor(name: &str) -> SqlError {
    SqlError::invalid("34000", format!("cursor `{name}` not found"))
        .with_help("cursors live from DECLARE to the end of their transaction")
}

fn cancelled() -> SqlError {
    SqlError::invalid("57014", "the statement was cancelled by its user")
}
