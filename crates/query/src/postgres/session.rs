//! One client's session: its statements, portals, cursors and settings.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use base::limits;
use futures::FutureExt as _;
use pgwire::api::Type;
use pgwire::api::portal::Format;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::{EmptyQueryResponse, ReadyForQuery, TransactionStatus};
use pgwire::messages::startup::ParameterStatus;
use tokio::io::AsyncRead;
use tokio::sync::{Notify, watch};

use super::commands::{self, Command, Settings};
use super::frame::{Bind, Frames, Message, read_ahead};
use super::output::Output;
use super::parameters::{parameters, with_values};
use super::rows::{Failure, Rows, Sent, one_value};
use super::{Users, stopped};
use crate::asker::Asker;
use crate::engine::{Engine, out_of_time};
use crate::error::SqlError;

mod changes;
mod extended;

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
    users: Arc<dyn Users>,
    user: String,
    output: Output,
    cancel: Arc<Notify>,
    settings: Settings,
    status: TransactionStatus,
    statements: HashMap<String, Arc<Prepared>>,
    /// What PREPARE remembers, by name.
    remembered: HashMap<String, changes::Remembered>,
    portals: HashMap<String, Portal>,
    cursors: HashMap<String, Rows>,
    /// After an error, all is skipped until the client says where the next sequence begins.
    is_skipping: bool,
}

impl Session {
    pub(super) fn new(
        engine: Arc<Engine>,
        users: Arc<dyn Users>,
        user: String,
        output: Output,
        cancel: Arc<Notify>,
    ) -> Session {
        Session {
            engine,
            users,
            user,
            output,
            cancel,
            settings: Settings::default(),
            status: TransactionStatus::Idle,
            statements: HashMap::new(),
            remembered: HashMap::new(),
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
        if matches!(message, Message::Query(_) | Message::Execute { .. }) {
            // A cancel that came when nothing ran is for nothing.
            let _nothing_ran = self.cancel.notified().now_or_never();
        }
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

    fn refuse_in_failed_transaction(&self) -> Result<(), SqlError> {
        if self.status == TransactionStatus::Error {
            let message =
                "current transaction is aborted, commands ignored until end of transaction block";
            return Err(SqlError::invalid("25P02", message));
        }
        Ok(())
    }

    /// Returns who asks, by what they may do now.
    fn asker(&self) -> Result<Arc<Asker>, SqlError> {
        self.users.asker(&self.user).ok_or_else(|| {
            let message = format!("`{}` may not ask any more", self.user);
            SqlError::invalid("28000", message).with_help("the keys of the project were changed")
        })
    }

    /// Returns how long a statement may run, and what is said when it ran longer.
    fn timeout(&self) -> Result<(Duration, SqlError), SqlError> {
        let asker = self.asker()?;
        let duration = asker.duration(self.settings.statement_timeout());
        Ok((duration, asker.out_of_time(duration).unwrap_or_else(out_of_time)))
    }

    /// Plans a statement on a fresh snapshot and starts it.
    async fn open(
        &mut self,
        sql: &str,
        statement: datafusion::sql::parser::Statement,
        given: Option<(&Prepared, &Bind)>,
    ) -> Result<Rows, SqlError> {
        let moment = self.engine.moment(&self.asker()?);
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
        let (timeout, overdue) = self.timeout()?;
        let timeout = self.engine.clock().sleep(timeout);
        let is_change = matches!(command, Command::Create { .. } | Command::Drop { .. });
        let limits = async {
            tokio::select! {
                () = cancel.notified(), if is_change => changes::cancelled(),
                () = cancel.notified(), if !is_change => cancelled(),
                () = timeout, if !is_change => overdue,
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
                let rows = self.open(sql, *statement, given).await?;
                self.send(rows, format, tells_columns).await
            }
            Command::Execute { name, values } => {
                let (sql, statement) = self.filled(&name, &values)?;
                let rows = self.open(&sql, statement, None).await;
                // The place is one in another text.
                let rows = rows.map_err(|error| SqlError { range: None, ..error })?;
                self.send(rows, format, tells_columns).await
            }
            Command::CopyOut { query, form } => {
                let rows = self.open(sql, *query, None).await?;
                self.copy_out(rows, &form).await
            }
            Command::CopyFile { query, target } => self.copy_file(sql, *query, &target).await,
            Command::Create { table, at } => self.create(table, at).await,
            Command::Drop { names, if_exists } => self.drop_tables(names, if_exists).await,
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

    async fn send(
        &mut self,
        mut rows: Rows,
        format: &Format,
        tells_columns: bool,
    ) -> Result<(), Failure> {
        if tells_columns {
            self.tell_columns(Some(&Arc::clone(rows.schema())), format)?;
        }
        let sent = rows.send(format, 0, &mut self.output).await?;
        Ok(self.output.done(format!("SELECT {}", sent.rows))?)
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
                self.remembered.clear();
                "DEALLOCATE ALL"
            }
            Command::Deallocate(Some(name)) => {
                let remembered = self.remembered.remove(&name).is_some();
                // Clients give up statements of the protocol that they are not sure of.
                if !remembered {
                    self.statements.remove(&name);
                }
                "DEALLOCATE"
            }
            Command::Discard => {
                self.statements.clear();
                self.remembered.clear();
                self.cursors.clear();
                self.settings.reset(None);
                "DISCARD ALL"
            }
            Command::Prepare { name, types, statement } => {
                self.remember(name, types, *statement)?;
                "PREPARE"
            }
            Command::Nothing(tag) => tag,
            Command::Rows(_)
            | Command::Execute { .. }
            | Command::CopyOut { .. }
            | Command::CopyFile { .. }
            | Command::Create { .. }
            | Command::Drop { .. }
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

fn no_cursor(name: &str) -> SqlError {
    SqlError::invalid("34000", format!("cursor `{name}` not found"))
        .with_help("cursors live from DECLARE to the end of their transaction")
}

fn cancelled() -> SqlError {
    SqlError::invalid("57014", "the statement was cancelled by its user")
}
