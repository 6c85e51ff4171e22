//! Very many clients at a time: those that are silent cost little, and the others are served.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::program::{Program, memory_mb};

const PROJECT: &str = r#"
[stream.notes]
from = ["http"]
columns = { n = "int not null" }
"#;

const IDLE: usize = 10_000;
const BUSY: usize = 1_000;
const REQUESTS: usize = 10;

/// More open files than both take; false if the machine does not allow it.
fn allow_connections() -> bool {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let enough = (IDLE + BUSY + 1_000) as u64;
    if maximum.is_some_and(|it| it < enough) {
        eprintln!("SKIPPED: a process may not have {enough} open files here");
        return false;
    }
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok()
}

/// Sends a request on a connection that stays open, and reads its answer.
async fn ask(socket: &mut TcpStream, request: &str) -> Option<u16> {
    socket.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    let mut room = [0; 2048];
    loop {
        let count = socket.read(&mut room).await.ok()?;
        answer.extend_from_slice(room.get(..count).filter(|it| !it.is_empty())?);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|it| it.strip_prefix("content-length: "));
        if length.is_none_or(|it| it.parse::<usize>().unwrap() <= body.len()) {
            return head.split(' ').nth(1)?.parse().ok();
        }
    }
}

/// Sends records one by one, each until it is taken.
async fn be_busy(address: String, client: usize, taken: Arc<AtomicU64>) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    for number in 0..REQUESTS {
        let body = format!("{{\"n\":{}}}", client * REQUESTS + number);
        let request = format!(
            "POST /v1/streams/notes/records HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        while ask(&mut socket, &request).await.expect("an answer") != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        taken.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_silent_clients_and_a_thousand_busy_ones() {
    if !allow_connections() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mainstem.toml"), PROJECT).unwrap();
    let program = Program::start(folder.path(), &folder.path().join(".mainstem"));
    let before_mb = memory_mb(program.id());
    let health = "GET /v1/streams/notes HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(TcpStream::connect(&program.http).await.unwrap());
    }
    // Half of them have asked once; the other half never said a word.
    for socket in idle.iter_mut().step_by(2) {
        assert_eq!(ask(socket, health).await, Some(200));
    }
    let idle_mb = memory_mb(program.id());
    let taken = Arc::new(AtomicU64::new(0));
    let busy: Vec<_> = (0..BUSY)
        .map(|client| {
            let (taken, address) = (Arc::clone(&taken), program.http.clone());
            base::task::spawn("client", be_busy(address, client, taken))
        })
        .collect();
    for client in busy {
        client.await.unwrap();
    }
    assert_eq!(taken.load(Ordering::Relaxed), (BUSY * REQUESTS) as u64);
    let settled = program.settle("notes").await;
    assert_eq!(
        (settled.received, settled.stored),
        ((BUSY * REQUESTS) as u64, (BUSY * REQUESTS) as u64)
    );
    assert_eq!(
        program.count("SELECT count(DISTINCT n) AS n FROM notes").await,
        (BUSY * REQUESTS) as u64
    );
    // Those that were silent are still there.
    let mut alive = 0;
    for socket in idle.iter_mut().step_by(100) {
        alive += u32::from(ask(socket, health).await == Some(200));
    }
    let after_mb = memory_mb(program.id());
    eprintln!(
        "memory: {before_mb} MB, {idle_mb} MB with {IDLE} silent clients, {after_mb} MB at the end"
    );
    assert_eq!(alive, 100, "of 100 silent clients");
    assert!(idle_mb < before_mb + 500, "{before_mb} MB, then {idle_mb} MB");
}
