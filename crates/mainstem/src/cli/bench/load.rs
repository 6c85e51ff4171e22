//! A client that costs next to nothing: requests made beforehand, over connections kept open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use base::time::{Clock, SystemClock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What came of some seconds of load.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) records: u64,
    pub(crate) seconds: f64,
    /// How long each request took, in milliseconds, sorted.
    pub(crate) latencies_ms: Vec<f64>,
}

/// A request as bytes, and how many records it carries.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) bytes: Vec<u8>,
    pub(crate) records: u64,
}

/// Makes a POST request.
pub(crate) fn post(path: &str, headers: &str, body: &[u8], records: u64) -> Request {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    Request { bytes, records }
}

/// Makes a GET request.
pub(crate) fn get(path: &str) -> Request {
    let bytes = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes();
    Request { bytes, records: 0 }
}

/// Sends `requests` over `connections` again and again for `time`; with a `pause`, each connection
/// begins a request only so often.
pub(crate) async fn run(
    address: &str,
    requests: Vec<Request>,
    connections: usize,
    time: Duration,
    pause: Option<Duration>,
) -> anyhow::Result<Outcome> {
    let clock = SystemClock::start();
    let requests = Arc::new(requests);
    let records = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for first in 0..connections {
        let (address, requests, records, clock) =
            (address.to_owned(), Arc::clone(&requests), Arc::clone(&records), Arc::clone(&clock));
        tasks.push(base::task::spawn("load", async move {
            one(&address, &requests, first, &records, &*clock, (time, pause)).await
        }));
    }
    let mut latencies_ms = Vec::new();
    for task in tasks {
        latencies_ms.extend(task.await??);
    }
    latencies_ms.sort_by(f64::total_cmp);
    Ok(Outcome {
        records: records.load(Ordering::Relaxed),
        seconds: clock.elapsed().as_secs_f64(),
        latencies_ms,
    })
}

async fn one(
    address: &str,
    requests: &[Request],
    first: usize,
    records: &AtomicU64,
    clock: &dyn Clock,
    (time, pause): (Duration, Option<Duration>),
) -> anyhow::Result<Vec<f64>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut latencies = Vec::new();
    let mut answer = Vec::new();
    let mut number = first;
    let mut due = clock.elapsed();
    while clock.elapsed() < time {
        let request = requests.get(number % requests.len()).context("there are requests")?;
        number += 1;
        if let Some(pause) = pause {
            clock.sleep(due.saturating_sub(clock.elapsed())).await;
            due += pause;
        }
        let began = clock.elapsed();
        stream.write_all(&request.bytes).await?;
        let status = read_answer(&mut stream, &mut answer).await?;
        match status {
            200 => {
                records.fetch_add(request.records, Ordering::Relaxed);
                latencies.push((clock.elapsed() - began).as_secs_f64() * 1e3);
            }
            429 | 503 => clock.sleep(Duration::from_millis(5)).await,
            other => bail!("HTTP {other}: {}", String::from_utf8_lossy(&answer)),
        }
    }
    Ok(latencies)
}

/// Reads one answer with a `content-length`, and returns its status.
async fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) -> anyhow::Result<u16> {
    answer.clear();
    let mut end = None;
    loop {
        if let Some(end) = end
            && end <= answer.len()
        {
            break;
        }
        if stream.read_buf(answer).await? == 0 {
            bail!("the server closed the connection");
        }
        if end.is_none()
            && let Some(head) = answer.windows(4).position(|it| it == b"\r\n\r\n")
        {
            let text = String::from_utf8_lossy(answer.get(..head).unwrap_or_default())
                .to_ascii_lowercase();
            let length = text
                .lines()
                .find_map(|it| it.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
            end = Some(head + 4 + length.context("the answer has no length")?);
        }
    }
    let status = answer
        .get(9..12)
        .and_then(|it| std::str::from_utf8(it).ok())
        .and_then(|it| it.parse().ok());
    status.context("the answer has no status")
}
