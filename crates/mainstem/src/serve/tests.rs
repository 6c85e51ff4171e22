//! Slow, silent and greedy clients over real sockets.

use std::time::Duration;

use axum::routing::{get, post};
use base::time::SystemClock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// Patience that a test has.
const SHORT: Patience =
    Patience { head: Duration::from_millis(300), stall: Duration::from_millis(300) };
/// An answer that no socket's buffers hold.
const LARGE: usize = 64 << 20;

async fn start(
    patience: Patience,
) -> (SocketAddr, watch::Sender<bool>, tokio::task::JoinHandle<io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route(
            "/",
            get(|ConnectInfo(it): ConnectInfo<SocketAddr>| async move { it.ip().to_string() }),
        )
        .route("/large", get(|| async { vec![b'x'; LARGE] }))
        .route("/length", post(|body: axum::body::Bytes| async move { body.len().to_string() }));
    let (stop, stopped) = watch::channel(false);
    let served = serve(listener, router, SystemClock::start(), patience, stopped);
    (address, stop, base::task::spawn("test server", served))
}

/// Sends `said` and reads until the server closes; an error counts as closed.
async fn ask(address: SocketAddr, said: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(said.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut answer)).await;
    drop(read.expect("the server closes"));
    String::from_utf8_lossy(&answer).into_owned()
}

const HEAD: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered_and_knows_its_client() {
    let (address, _stop, _served) = start(Patience::default()).await;
    let answer = ask(address, &format!("{HEAD}connection: close\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("127.0.0.1"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_say_nothing_or_half_of_something_are_cut() {
    let (address, _stop, _served) = start(SHORT).await;
    // Nothing, the beginning of HTTP/2, half a head, and silence after an answer.
    assert_eq!(ask(address, "").await, "");
    assert_eq!(ask(address, "PRI * HT").await, "");
    let half = ask(address, HEAD).await;
    assert!(!half.contains("200 OK"), "{half}");
    let kept = ask(address, &format!("{HEAD}\r\n")).await;
    assert!(kept.starts_with("HTTP/1.1 200"), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_refused() {
    let (address, _stop, _served) = start(Patience::default()).await;
    let large = "x".repeat(limits::REQUEST_HEAD_BYTES_MAX);
    let answer = ask(address, &format!("{HEAD}x-large: {large}\r\n\r\n")).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many: String = (0..500).map(|it| format!("x-{it}: y\r\n")).collect();
    let answer = ask(address, &format!("{HEAD}{many}\r\n")).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_take_its_answer_is_cut() {
    let (address, _stop, _served) = start(SHORT).await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    pause(Duration::from_secs(2)).await;
    let mut answer = Vec::new();
    // What lay in the buffers comes, and then no more.
    drop(socket.read_to_end(&mut answer).await);
    assert!(answer.len() < LARGE, "{}", answer.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_it_slowly_gets_all_of_it() {
    let (address, _stop, _served) = start(SHORT).await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = b"GET /large HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    socket.write_all(request).await.unwrap();
    let (mut count, mut room) = (0, vec![0; 4 << 20]);
    loop {
        let read = socket.read(&mut room).await.unwrap();
        if read == 0 {
            break;
        }
        count += read;
        pause(Duration::from_millis(10)).await;
    }
    assert!(LARGE < count, "{count}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_a_request_under_way_finish() {
    let (address, stop, served) = start(Patience::default()).await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = "POST /length HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhello";
    socket.write_all(head.as_bytes()).await.unwrap();
    pause(Duration::from_millis(200)).await;
    stop.send_replace(true);
    served.await.unwrap().unwrap();
    pause(Duration::from_millis(100)).await;
    socket.write_all(b"world").await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("10"), "{answer}");
}

/// Lets real time pass: what is waited for happens on other threads.
async fn pause(span: Duration) {
    SystemClock::start().sleep(span).await;
}
