//! Serves HTTP to many clients, of whom some are slow, silent or gone.
//!
//! Each connection has a task; what it may hold is bounded: the head of a request in bytes and time,
//! requests at a time, and how long a client may take nothing of an answer. Bodies have limits of
//! their own, where they are read.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use base::{Clock, limits};
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt as _;

use self::patient::Patient;

mod patient;

/// How long is waited for clients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For the head of the next request.
    head: Duration,
    /// For a client to take something of an answer.
    stall: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { head: limits::REQUEST_HEAD_TIME_MAX, stall: limits::ANSWER_STALL_MAX }
    }
}

/// Serves `router` until `stopped` says so; requests under way are finished then.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    clock: Arc<dyn Clock>,
    patience: Patience,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    allow_many_connections();
    let places = Arc::new(Semaphore::new(limits::CONNECTIONS_MAX));
    let server = Arc::new(Server { builder: builder(patience), router, clock, patience });
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            _gone = stopped.wait_for(|it| *it) => return Ok(()),
        };
        let (socket, client, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_connection(&error) => continue,
            Err(error) => {
                // Too many open files, most often: some are closed in a moment.
                tracing::warn!(%error, "a connection could not be accepted");
                server.clock.sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (server, stopped) = (Arc::clone(&server), stopped.clone());
        base::task::spawn("connection", async move {
            server.serve(socket, client, stopped).await;
            drop(place);
        });
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (socket, client) = listener.accept().await?;
    Ok((socket, client, place))
}

/// Whether only the connection that was to be accepted is meant.
fn is_of_connection(error: &io::Error) -> bool {
    let kinds = [
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
    ];
    kinds.contains(&error.kind())
}

/// Each connection is an open file; the usual limit of a shell is a tenth of what we let in.
fn allow_many_connections() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::debug!(%error, "the number of open files stays as it is");
    }
}

fn builder(patience: Patience) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_buf_size(limits::REQUEST_HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits::REQUEST_HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .max_concurrent_streams(limits::HTTP2_STREAMS_MAX)
        .initial_stream_window_size(limits::HTTP2_WINDOW_BYTES)
        .initial_connection_window_size(limits::HTTP2_WINDOW_BYTES)
        // A peer that is gone without a word does not answer.
        .keep_alive_interval(Some(patience.stall))
        .keep_alive_timeout(patience.stall);
    builder
}

/// What all connections share.
struct Server {
    builder: Builder<TokioExecutor>,
    router: Router,
    clock: Arc<dyn Clock>,
    patience: Patience,
}

impl Server {
    async fn serve(
        &self,
        socket: TcpStream,
        client: SocketAddr,
        mut stopped: watch::Receiver<bool>,
    ) {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::trace!(%error, "a connection was gone at once");
            return;
        }
        let has_asked = AtomicBool::new(false);
        let service = service_fn(|mut request: Request<Incoming>| {
            has_asked.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(ConnectInfo(client));
            self.router.clone().oneshot(request)
        });
        let socket = Patient::new(socket, Arc::clone(&self.clock), self.patience.stall);
        let connection = self.builder.serve_connection_with_upgrades(TokioIo::new(socket), service);
        let mut connection = std::pin::pin!(connection);
        let mut is_stopping = false;
        loop {
            tokio::select! {
                ended = &mut connection => {
                    if let Err(error) = ended {
                        tracing::trace!(error, "a connection ended early");
                    }
                    return;
                }
                () = self.is_silent(&has_asked) => return,
                _gone = stopped.wait_for(|it| *it), if !is_stopping => {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    /// Returns if no request came in time; a client that has said nothing that is one is not seen
    /// by the timers of the protocols.
    async fn is_silent(&self, has_asked: &AtomicBool) {
        self.clock.sleep(self.patience.head).await;
        if has_asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests;
