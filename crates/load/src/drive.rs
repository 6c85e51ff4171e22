//! Sends prepared requests over connections that stay open, as fast as they are answered or at a
//! steady rate, and tells how long each took.
//!
//! At a steady rate each request has a time when it is due. It is sent by whichever connection is
//! free, and its latency is counted from when it was due: a server that stands still for a second
//! is charged for all that would have been asked meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use base::Clock;
use base::figure::percentile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::http::{Head, MARK_DIGITS, Request, failed_count};
use crate::server::cpu_seconds_of;

/// What to send, and how.
#[derive(Clone)]
pub(crate) struct Drive<'a> {
    pub(crate) address: &'a str,
    pub(crate) requests: Arc<[Request]>,
    pub(crate) connections: usize,
    pub(crate) time: Duration,
    /// Requests a second; as fast as they are answered if none.
    pub(crate) rate: Option<f64>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// One request that was answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered {
    /// When, on the clock of the load.
    pub(crate) at: Duration,
    /// Since it was due, or sent.
    pub(crate) took: Duration,
    /// Records that were taken.
    pub(crate) records: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// In the order in which they were answered.
    pub(crate) answered: Vec<Answered>,
    /// Records and requests that were told to come again.
    pub(crate) refused: u64,
    /// When the first request was due, on the clock of the load.
    pub(crate) began: Duration,
    /// From the first request to the last answer.
    pub(crate) seconds: f64,
    /// CPU-seconds of this process meanwhile.
    pub(crate) cpu_seconds: f64,
}

impl Outcome {
    pub(crate) fn records(&self) -> u64 {
        self.answered.iter().map(|it| it.records).sum()
    }

    pub(crate) fn records_per_second(&self) -> f64 {
        self.records() as f64 / self.seconds
    }

    /// Milliseconds that each request took, sorted.
    pub(crate) fn latencies_ms(&self) -> Vec<f64> {
        let mut found: Vec<f64> =
            self.answered.iter().map(|it| it.took.as_secs_f64() * 1e3).collect();
        found.sort_by(f64::total_cmp);
        found
    }

    /// How much of one core this process took.
    pub(crate) fn core_percent(&self) -> f64 {
        self.cpu_seconds / self.seconds * 100.0
    }

    /// Adds what came of another round.
    pub(crate) fn add(&mut self, other: Outcome) {
        self.answered.extend(other.answered);
        self.refused += other.refused;
        self.seconds += other.seconds;
        self.cpu_seconds += other.cpu_seconds;
    }
}

/// p50, p99 and p99.9 in words, of sorted milliseconds.
pub(crate) fn percentiles(sorted: &[f64]) -> String {
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|it| percentile(sorted, it));
    format!("p50 {p50:.2}, p99 {p99:.2}, p99.9 {p999:.2} ms")
}

/// How long is waited, beyond the time of the load, for what was due and not yet answered.
const GRACE: Duration = Duration::from_secs(60);

/// What the connections share.
struct Shared {
    requests: Arc<[Request]>,
    clock: Arc<dyn Clock>,
    began: Duration,
    time: Duration,
    /// One request is due for each permit.
    gate: Option<Gate>,
    next: AtomicU64,
    refused: AtomicU64,
}

struct Gate {
    due: Semaphore,
    every: Duration,
    total: u64,
}

impl Drive<'_> {
    /// Sends and waits until the time is over.
    pub(crate) fn run(&self) -> anyhow::Result<Outcome> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let cpu_seconds = cpu_seconds_of("self");
        let outcome = runtime.block_on(self.send())?;
        Ok(Outcome { cpu_seconds: cpu_seconds_of("self") - cpu_seconds, ..outcome })
    }

    async fn send(&self) -> anyhow::Result<Outcome> {
        let mut streams = Vec::new();
        for _ in 0..self.connections {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        let gate = self.rate.map(|rate| Gate {
            due: Semaphore::new(0),
            every: Duration::from_secs_f64(1.0 / rate),
            total: (rate * self.time.as_secs_f64()).ceil() as u64,
        });
        let shared = Arc::new(Shared {
            requests: Arc::clone(&self.requests),
            clock: Arc::clone(&self.clock),
            began: self.clock.elapsed(),
            time: self.time,
            gate,
            next: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        });
        if shared.gate.is_some() {
            let (shared, connections) = (Arc::clone(&shared), self.connections);
            base::task::thread("pace", move || pace(&shared, connections))?;
        }
        let mut tasks = Vec::new();
        for (index, stream) in streams.into_iter().enumerate() {
            let connection = Connection {
                shared: Arc::clone(&shared),
                address: self.address.to_owned(),
                stream,
                answer: Vec::with_capacity(1 << 18),
                marked: Vec::new(),
            };
            let (first, step) = (index as u64, self.connections as u64);
            tasks.push(base::task::spawn("connection", connection.run(first, step)));
        }
        let mut answered = Vec::new();
        for task in tasks {
            answered.extend(task.await??);
        }
        answered.sort_by_key(|it: &Answered| it.at);
        // What was due and never sent took at least until now.
        if let Some(gate) = &shared.gate {
            let now = self.clock.elapsed();
            for number in shared.next.load(Ordering::Relaxed).min(gate.total)..gate.total {
                let took = now.saturating_sub(shared.due(gate, number));
                answered.push(Answered { at: now, took, records: 0 });
            }
        }
        let seconds = (self.clock.elapsed() - shared.began).as_secs_f64();
        let refused = shared.refused.load(Ordering::Relaxed);
        Ok(Outcome { answered, refused, began: shared.began, seconds, cpu_seconds: 0.0 })
    }
}

impl Shared {
    fn due(&self, gate: &Gate, number: u64) -> Duration {
        let after_ns = gate.every.as_nanos().saturating_mul(u128::from(number));
        self.began + Duration::from_nanos(u64::try_from(after_ns).unwrap_or(u64::MAX))
    }
}

/// Lets requests go when they are due. A thread, because timers of a runtime are a millisecond
/// late.
fn pace(shared: &Shared, connections: usize) {
    let Some(gate) = &shared.gate else { return };
    for number in 0..gate.total {
        let early = shared.due(gate, number).saturating_sub(shared.clock.elapsed());
        if !early.is_zero() {
            std::thread::sleep(early);
        }
        gate.due.add_permits(1);
    }
    // Each connection learns that there are no more.
    gate.due.add_permits(connections);
}

struct Connection {
    shared: Arc<Shared>,
    address: String,
    stream: TcpStream,
    answer: Vec<u8>,
    /// A copy of the request that is sent, with its mark.
    marked: Vec<u8>,
}

impl Connection {
    async fn run(mut self, first: u64, step: u64) -> anyhow::Result<Vec<Answered>> {
        let shared = Arc::clone(&self.shared);
        let mut answered = Vec::new();
        let mut own = first;
        loop {
            let (number, due) = match &shared.gate {
                None => (own, shared.clock.elapsed()),
                Some(gate) => {
                    gate.due.acquire().await?.forget();
                    let number = shared.next.fetch_add(1, Ordering::Relaxed);
                    (number, shared.due(gate, number))
                }
            };
            own += step;
            let spent = shared.clock.elapsed().saturating_sub(shared.began);
            let is_over = match &shared.gate {
                None => shared.time <= spent,
                Some(gate) => gate.total <= number || shared.time + GRACE <= spent,
            };
            if is_over {
                return Ok(answered);
            }
            let records = self.ask(number).await?;
            let at = shared.clock.elapsed();
            if let Some(records) = records {
                answered.push(Answered { at, took: at.saturating_sub(due), records });
            }
        }
    }

    /// Returns how many records were taken; none if the whole request is to come again.
    async fn ask(&mut self, number: u64) -> anyhow::Result<Option<u64>> {
        let shared = Arc::clone(&self.shared);
        let place = usize::try_from(number).unwrap_or_default() % shared.requests.len().max(1);
        let request = shared.requests.get(place).context("there are requests")?;
        let bytes = match request.mark {
            None => &request.bytes,
            Some(mark) => {
                self.marked.clone_from(&request.bytes);
                let digits = format!("{number:010}");
                let place = self.marked.get_mut(mark..mark + MARK_DIGITS);
                place.context("the mark is in it")?.copy_from_slice(digits.as_bytes());
                &self.marked
            }
        };
        self.stream.write_all(bytes).await?;
        let head = read(&mut self.stream, &mut self.answer).await?;
        if head.is_last {
            self.stream = TcpStream::connect(&self.address).await?;
        }
        let body = self.answer.get(head.body..).unwrap_or_default();
        let failed = match head.status {
            200 => failed_count(body),
            429 | 503 => request.records.max(1),
            400 if memchr::memmem::find(body, b"ProvisionedThroughput").is_some() => {
                request.records.max(1)
            }
            other => bail!("HTTP {other}: {}", String::from_utf8_lossy(body)),
        };
        if 0 < failed {
            shared.refused.fetch_add(failed, Ordering::Relaxed);
            shared.clock.sleep(PAUSE).await;
        }
        Ok((head.status == 200).then(|| request.records.saturating_sub(failed)))
    }
}

/// What a client waits that was told to come again.
const PAUSE: Duration = Duration::from_millis(5);

async fn read(stream: &mut TcpStream, answer: &mut Vec<u8>) -> anyhow::Result<Head> {
    answer.clear();
    let mut head = None;
    loop {
        if stream.read_buf(answer).await? == 0 {
            return head.context("the server closed the connection");
        }
        if head.is_none() {
            head = Head::of(answer)?;
        }
        if let Some(head) = head.filter(|it: &Head| it.is_whole(answer)) {
            return Ok(head);
        }
    }
}
