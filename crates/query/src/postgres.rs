//! Serves PostgreSQL's wire: any client that speaks it asks the engine.
//!
//! ```text
//!  client ──► frame: bytes are messages ──► login: SCRAM ──► session: statements, portals, cursors
//!                                                              │ each statement on a fresh snapshot
//!                                                              ▼ engine
//! ```
//!
//! There is no login without a password, not even from this machine: whoever has none is refused.
//! It does not encrypt; listen beyond this machine only behind something that does.

mod commands;
mod copy;
mod frame;
mod login;
mod output;
mod parameters;
mod prepared;
mod rows;
mod session;
mod tables;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use base::{limits, task};
use parking_lot::Mutex;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::SslResponse;
use pgwire::messages::startup::{
    Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey,
};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

pub use self::login::{Users, Verifier, VerifierError, new_password};

use self::frame::{Frames, Greeting, Message, Reader};
use self::login::Exchange;
use self::output::Output;
use self::session::Session;
use crate::engine::Engine;
use crate::error::SqlError;

/// The version of PostgreSQL whose behaviour clients may expect.
pub(crate) const VERSION: &str = "16.6";

/// A pause after a wrong password, so that trying many takes long.
const REFUSED_PAUSE: std::time::Duration = std::time::Duration::from_millis(300);

/// What all connections share.
struct Server {
    engine: Arc<Engine>,
    users: Arc<dyn Users>,
    /// Makes answers to unknown users look like answers to known ones.
    secret: [u8; 32],
    processes: AtomicI32,
    /// Where to say that a statement shall stop, by process and secret.
    running: Mutex<HashMap<(i32, i32), Arc<Notify>>>,
}

/// Serves connections until `stop` says true, then ends them.
///
/// # Errors
/// When the machine gives no random numbers.
pub async fn serve(
    listener: TcpListener,
    engine: Arc<Engine>,
    users: Arc<dyn Users>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut secret = [0; 32];
    login::random(&mut secret).map_err(io::Error::other)?;
    let server = Arc::new(Server {
        engine,
        users,
        secret,
        processes: AtomicI32::new(1),
        running: Mutex::new(HashMap::new()),
    });
    let places = Arc::new(Semaphore::new(limits::POSTGRES_CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => return Ok(()),
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                server.engine.clock().sleep(REFUSED_PAUSE).await; // Too many open files, mostly.
                continue;
            }
        };
        let place = Arc::clone(&places).try_acquire_owned().ok();
        let connection = connection(Arc::clone(&server), stream, place, stop.clone());
        drop(task::spawn("postgres connection", Box::pin(connection)));
    }
}

/// Waits until the program stops, or nobody is left who could say so.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let said = stop.wait_for(|it| *it).await.map(|it| *it);
    tracing::trace!(is_said = said.is_ok(), "the PostgreSQL door closes");
}

async fn connection(
    server: Arc<Server>,
    stream: TcpStream,
    place: Option<OwnedSemaphorePermit>,
    mut stop: watch::Receiver<bool>,
) {
    let served = async {
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        let mut frames = Frames::new(read);
        let mut output = Output::new(write);
        let late = server.engine.clock().sleep(limits::POSTGRES_LOGIN_MAX);
        let entered = tokio::select! {
            entered = enter(&server, &mut frames, &mut output, place.is_some()) => entered?,
            () = late => None,
        };
        let Some(entry) = entered else { return Ok(()) };
        let (engine, users) = (Arc::clone(&server.engine), Arc::clone(&server.users));
        let cancel = Arc::clone(&entry.cancel);
        let session = Session::new(engine, users, entry.user.clone(), output, cancel);
        session.run(frames, &mut stop).await
    };
    let served: io::Result<()> = served.await;
    if let Err(error) = served {
        tracing::debug!(%error, "a PostgreSQL connection ended");
    }
    drop(place);
}

/// A client that has logged in; can be cancelled until it is dropped.
struct Entry {
    server: Arc<Server>,
    key: (i32, i32),
    cancel: Arc<Notify>,
    user: String,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.server.running.lock().remove(&self.key);
    }
}

/// Greets a client and lets it in; `None` if it only cancelled something, left, or was refused.
async fn enter(
    server: &Arc<Server>,
    frames: &mut Frames<OwnedReadHalf>,
    output: &mut Output,
    has_place: bool,
) -> io::Result<Option<Entry>> {
    let mut encryption_asked = 0;
    let (minor, settings) = loop {
        match frames.greeting().await? {
            None => return Ok(None),
            Some(Greeting::Encrypt) if encryption_asked < 2 => {
                encryption_asked += 1;
                output.push(&PgWireBackendMessage::SslResponse(SslResponse::Refuse))?;
                output.flush().await?;
            }
            Some(Greeting::Encrypt) => return Ok(None),
            Some(Greeting::Cancel { process, secret }) => {
                let running = server.running.lock().get(&(process, secret)).cloned();
                if let Some(running) = running {
                    running.notify_one();
                }
                return Ok(None);
            }
            Some(Greeting::Start { minor, settings }) => break (minor, settings),
        }
    };
    if !has_place {
        let error = SqlError::invalid("53300", "too many connections")
            .with_help("close some, or use a pool");
        output.fatal(&error).await?;
        return Ok(None);
    }
    if 0 < minor {
        let newest = NegotiateProtocolVersion::new(3 << 16, Vec::new());
        output.push(&PgWireBackendMessage::NegotiateProtocolVersion(newest))?;
    }
    let setting = |name: &str| settings.iter().find(|it| it.0 == name).map(|it| it.1.as_str());
    let Some(user) = setting("user") else {
        let error = SqlError::invalid("28000", "the client names no user");
        output.fatal(&error).await?;
        return Ok(None);
    };
    if !log_in(server, frames, output, user).await? {
        server.engine.clock().sleep(REFUSED_PAUSE).await;
        let message = format!("password authentication failed for user `{user}`");
        output.fatal(&SqlError::invalid("28P01", message)).await?;
        return Ok(None);
    }
    welcome(server, output, setting("application_name").unwrap_or_default(), user).map(Some)
}

async fn log_in(
    server: &Server,
    frames: &mut Frames<OwnedReadHalf>,
    output: &mut Output,
    user: &str,
) -> io::Result<bool> {
    let methods = Authentication::SASL(vec!["SCRAM-SHA-256".to_owned()]);
    output.push(&PgWireBackendMessage::Authentication(methods))?;
    output.flush().await?;
    let Some(Message::Login(first)) = frames.message(limits::POSTGRES_LOGIN_BYTES_MAX).await?
    else {
        return Ok(false);
    };
    let Some(first) = first_message(Reader(first)) else { return Ok(false) };
    let begun = Exchange::begin(server.users.as_ref(), user, &server.secret, &first);
    let Some((exchange, answer)) = begun else { return Ok(false) };
    let answer = Authentication::SASLContinue(answer.into());
    output.push(&PgWireBackendMessage::Authentication(answer))?;
    output.flush().await?;
    let Some(Message::Login(last)) = frames.message(limits::POSTGRES_LOGIN_BYTES_MAX).await? else {
        return Ok(false);
    };
    let Ok(last) = std::str::from_utf8(&last) else { return Ok(false) };
    let Some(answer) = exchange.finish(last) else { return Ok(false) };
    let answer = Authentication::SASLFinal(answer.into());
    output.push(&PgWireBackendMessage::Authentication(answer))?;
    Ok(true)
}

fn first_message(mut body: Reader) -> Option<String> {
    let method = body.text()?;
    let length = usize::try_from(body.i32()?).ok()?;
    let data = body.bytes(length)?;
    let is_ours = method == "SCRAM-SHA-256" && body.0.is_empty();
    is_ours.then(|| String::from_utf8(data.to_vec()).ok()).flatten()
}

fn welcome(
    server: &Arc<Server>,
    output: &mut Output,
    application: &str,
    user: &str,
) -> io::Result<Entry> {
    output.push(&PgWireBackendMessage::Authentication(Authentication::Ok))?;
    let facts = [
        ("server_version", VERSION),
        ("server_encoding", "UTF8"),
        ("client_encoding", "UTF8"),
        ("DateStyle", "ISO, MDY"),
        ("IntervalStyle", "postgres"),
        ("TimeZone", "UTC"),
        ("integer_datetimes", "on"),
        ("standard_conforming_strings", "on"),
        ("is_superuser", "off"),
        ("default_transaction_read_only", "on"),
        ("in_hot_standby", "off"),
        ("application_name", application),
        ("session_authorization", user),
    ];
    for (name, value) in facts {
        let status = ParameterStatus::new(name.to_owned(), value.to_owned());
        output.push(&PgWireBackendMessage::ParameterStatus(status))?;
    }
    let mut secret = [0; 4];
    login::random(&mut secret).map_err(io::Error::other)?;
    let key = (server.processes.fetch_add(1, Ordering::Relaxed), i32::from_be_bytes(secret));
    let cancel = Arc::new(Notify::new());
    server.running.lock().insert(key, Arc::clone(&cancel));
    let entry = Entry { server: Arc::clone(server), key, cancel, user: user.to_owned() };
    let data = BackendKeyData::new(key.0, SecretKey::I32(key.1));
    output.push(&PgWireBackendMessage::BackendKeyData(data))?;
    Ok(entry)
}

#[cfg(test)]
mod tests;
