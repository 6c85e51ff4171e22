//! `mainstem replay`: sends the records of files into a stream, as a producer would.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base::time::SystemClock;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use crate::cli::Target;
use crate::client::{Client, message_of};

/// Records in one request: large enough that the request's cost vanishes.
const BATCH_RECORDS: usize = 5_000;
/// Bytes in one request; well below what the door takes.
const BATCH_BYTES: usize = 2 << 20;
/// How often a request is tried again before the replay gives up: about five minutes.
const ATTEMPTS_MAX: u32 = 60;

/// Send the records of files into a stream.
///
/// CSV files need a header: each row becomes a JSON object with its names. Other files hold one
/// JSON record a line. Files ending in .gz or .zst are unpacked, and so is every file in a
/// .tar, .tar.gz or .tar.zst. Files are sent in the order given (an archive's in order of name).
///
/// Example: mainstem replay days/*.csv --into invoices
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The files to send.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The stream to send them into.
    #[arg(long, value_name = "STREAM")]
    into: String,

    /// Records a second; as fast as the stream takes them if not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,

    #[command(flatten)]
    target: Target,
}

/// Records of one request, one a line, and how much of the files has been read with them.
struct Batch {
    lines: Vec<u8>,
    records: usize,
    bytes_read: u64,
}

impl Replay {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.target.require().await?;
        let mut bytes_total = 0;
        for file in &self.files {
            let facts = std::fs::metadata(file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            bytes_total += facts.len();
        }
        let progress = ProgressBar::new(bytes_total);
        progress.set_style(ProgressStyle::with_template(
            "{bar:30} {percent:>3} %  {msg}  {bytes_per_sec}  {elapsed}, {eta} left",
        )?);
        let (sender, batches) = mpsc::channel(4);
        let files = self.files.clone();
        let reader = tokio::task::spawn_blocking(move || read_all(&files, &sender));
        let sent = self.send(&client, batches, &progress).await;
        progress.finish_and_clear();
        let (records, seconds) = sent?;
        reader.await.context("the reader ended early")??;
        println!(
            "{records} records acknowledged by {} into `{}` in {seconds:.1} s ({:.0} a second)",
            client.address(),
            self.into,
            records as f64 / seconds.max(0.001)
        );
        Ok(ExitCode::SUCCESS)
    }

    async fn send(
        &self,
        client: &Client,
        mut batches: mpsc::Receiver<Batch>,
        progress: &ProgressBar,
    ) -> anyhow::Result<(u64, f64)> {
        let clock = SystemClock::start();
        let run = uuid::Uuid::new_v4();
        let mut records: u64 = 0;
        let mut number: u64 = 0;
        while let Some(batch) = batches.recv().await {
            // One key a request: if its answer gets lost, sending it again changes nothing.
            let key = format!("{run}-{number}");
            post(client, &self.into, &key, batch.lines).await?;
            number += 1;
            records += batch.records as u64;
            progress.set_position(batch.bytes_read);
            progress.set_message(format!("{records} records"));
            if let Some(rate) = self.rate {
                let due = Duration::from_secs_f64(records as f64 / f64::from(rate));
                clock.sleep(due.saturating_sub(clock.elapsed())).await;
            }
        }
        Ok((records, clock.elapsed().as_secs_f64()))
    }
}

async fn post(client: &Client, stream: &str, key: &str, lines: Vec<u8>) -> anyhow::Result<()> {
    let clock = SystemClock::start();
    let body = bytes::Bytes::from(lines);
    let mut problem = String::new();
    for attempt in 0..ATTEMPTS_MAX {
        let request = client
            .start(&format!("/v1/streams/{stream}/records"))
            .header("content-type", "application/x-ndjson")
            .header("idempotency-key", key)
            .body(body.clone());
        match request.send().await {
            Ok(response) if response.status().is_success() => return Ok(()),
            Ok(response) => {
                let status = response.status().as_u16();
                problem = message_of(&response.bytes().await.unwrap_or_default(), status);
                if status != 429 && status != 503 {
                    bail!(problem);
                }
            }
            Err(error) => problem = error.to_string(),
        }
        clock.sleep(Duration::from_millis(100 << attempt.min(6))).await;
    }
    bail!("gave up after {ATTEMPTS_MAX} attempts: {problem}")
}

/// Collects records into batches and hands them to the sender, which is told to wait by the queue.
struct Batches<'a> {
    sender: &'a mpsc::Sender<Batch>,
    lines: Vec<u8>,
    records: usize,
    bytes_read: u64,
}

impl Batches<'_> {
    fn push(&mut self, record: &[u8]) -> anyhow::Result<()> {
        self.lines.extend_from_slice(record);
        self.lines.push(b'\n');
        self.records += 1;
        if self.records < BATCH_RECORDS && self.lines.len() < BATCH_BYTES {
            Ok(())
        } else {
            self.flush()
        }
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        if self.records == 0 {
            return Ok(());
        }
        let lines = std::mem::take(&mut self.lines);
        let batch = Batch { lines, records: self.records, bytes_read: self.bytes_read };
        self.records = 0;
        self.sender.blocking_send(batch).context("sending stopped")
    }
}

fn read_all(files: &[PathBuf], sender: &mpsc::Sender<Batch>) -> anyhow::Result<()> {
    let mut batches = Batches { sender, lines: Vec::new(), records: 0, bytes_read: 0 };
    for path in files {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let length = file.metadata()?.len();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        read_one(&name, Box::new(file), &mut batches)
            .with_context(|| format!("in {}", path.display()))?;
        batches.bytes_read += length;
    }
    batches.flush()
}

/// Reads one file by the endings of its name, outermost first.
fn read_one(
    name: &str,
    content: Box<dyn Read + '_>,
    batches: &mut Batches<'_>,
) -> anyhow::Result<()> {
    let ending = Path::new(name).extension().unwrap_or_default().to_string_lossy().into_owned();
    let inner = name.strip_suffix(&format!(".{ending}")).unwrap_or(name).to_owned();
    match ending.as_str() {
        "gz" => read_one(&inner, Box::new(flate2::read::MultiGzDecoder::new(content)), batches),
        "tgz" => read_archive(Box::new(flate2::read::MultiGzDecoder::new(content)), batches),
        "zst" => read_one(&inner, Box::new(zstd::Decoder::new(content)?), batches),
        "tar" => read_archive(content, batches),
        "csv" => read_csv(content, batches),
        "ndjson" | "jsonl" | "json" | "log" | "txt" => read_lines(content, batches),
        _ => bail!(
            "`{name}` has no ending that says what it holds: .csv, .ndjson, .jsonl or .json, with .gz, .zst or .tar around it"
        ),
    }
}

/// Archives are read whole so that their files can be sent in order of name; a day's file before
/// the next day's is what a stream of events means.
fn read_archive(content: Box<dyn Read + '_>, batches: &mut Batches<'_>) -> anyhow::Result<()> {
    const ARCHIVE_BYTES_MAX: u64 = 4 << 30;
    let mut archive = tar::Archive::new(content.take(ARCHIVE_BYTES_MAX));
    let mut files = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let path = entry.path()?.into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            files.push((path, bytes));
        }
    }
    files.sort_by(|one, other| one.0.cmp(&other.0));
    for (path, bytes) in &files {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        read_one(&name, Box::new(bytes.as_slice()), batches)
            .with_context(|| format!("in {}", path.display()))?;
    }
    Ok(())
}

fn read_csv(content: Box<dyn Read + '_>, batches: &mut Batches<'_>) -> anyhow::Result<()> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(content);
    let names: Vec<String> =
        reader.headers()?.iter().map(|it| it.trim_start_matches('\u{feff}').to_owned()).collect();
    let mut row = csv::ByteRecord::new();
    while reader.read_byte_record(&mut row)? {
        let value = |bytes: &[u8]| match bytes {
            [] => Value::Null,
            text => Value::String(String::from_utf8_lossy(text).into_owned()),
        };
        let mut record: Map<String, Value> =
            names.iter().zip(&row).map(|(name, text)| (name.clone(), value(text))).collect();
        // A row with more fields than the header is sent whole: the stream decides what it is.
        for (index, text) in row.iter().enumerate().skip(names.len()) {
            record.insert(format!("column_{}", index + 1), value(text));
        }
        batches.push(&serde_json::to_vec(&record)?)?;
    }
    Ok(())
}

fn read_lines(content: Box<dyn Read + '_>, batches: &mut Batches<'_>) -> anyhow::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 20, content);
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = base::limits::RECORD_BYTES_MAX as u64 + 2;
        if reader.by_ref().take(limit).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let record = line.trim_ascii();
        if record.len() > base::limits::RECORD_BYTES_MAX {
            let problem = format!("a line is longer than {} bytes", base::limits::RECORD_BYTES_MAX);
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem).into());
        }
        if !record.is_empty() {
            batches.push(record)?;
        }
    }
}

#[cfg(test)]
mod tests;
