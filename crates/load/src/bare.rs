//! The bare server that ours is compared with: HTTP, parse, decode, group commit, answer, and
//! nothing else.
//!
//! One thread writes what all requests brought since its last sync into a preallocated file, syncs
//! once and answers them all. There is no stream, no shard, no checksum, no reading back.

use std::convert::Infallible;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;

use base64::Engine as _;
use hyper::body::{Body as _, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};

/// Preallocated, and written again from the start when it is full.
const FILE_BYTES: u64 = 128 << 20;

/// A `PutRecords`, or a `PutRecord`, which is its own only record.
#[derive(Deserialize)]
struct Put<'a> {
    #[serde(borrow, rename = "Records")]
    records: Option<Vec<Record<'a>>>,
    #[serde(borrow, rename = "Data")]
    data: Option<&'a str>,
    #[serde(borrow, rename = "PartitionKey")]
    key: Option<&'a str>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow, rename = "Data")]
    data: &'a str,
    #[serde(borrow, rename = "PartitionKey")]
    key: &'a str,
}

type Waiting = (Vec<u8>, oneshot::Sender<()>);

/// Serves until it is killed; prints its address.
pub(crate) fn serve() -> anyhow::Result<()> {
    let file = File::create(std::env::current_dir()?.join("bare.log"))?;
    let zeros = vec![0; 1 << 20];
    for _ in 0..FILE_BYTES >> 20 {
        (&file).write_all(&zeros)?;
    }
    file.sync_all()?;
    let (sender, waiting) = mpsc::channel(1_024);
    base::task::thread("bare commit", move || commit(&file, waiting))?;
    tokio::runtime::Runtime::new()?.block_on(async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("ready http={}", listener.local_addr()?);
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let sender = sender.clone();
            let service =
                hyper::service::service_fn(move |request| answer(sender.clone(), request));
            let http = hyper::server::conn::http1::Builder::new();
            base::task::spawn("connection", http.serve_connection(TokioIo::new(socket), service));
        }
    })
}

async fn answer(
    sender: mpsc::Sender<Waiting>,
    request: Request<Incoming>,
) -> Result<Response<String>, Infallible> {
    let (status, body) = match put(sender, request.into_body()).await {
        Some(records) => {
            (StatusCode::OK, format!("{{\"FailedRecordCount\":0,\"Count\":{records}}}"))
        }
        None => (StatusCode::BAD_REQUEST, String::new()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    Ok(response)
}

/// Returns how many records were written and synced; none if the request cannot be read.
async fn put(sender: mpsc::Sender<Waiting>, mut body: Incoming) -> Option<usize> {
    let length = usize::try_from(body.size_hint().lower()).ok()?.min(16 << 20);
    let mut text = Vec::with_capacity(length);
    while let Some(frame) = std::future::poll_fn(|it| Pin::new(&mut body).poll_frame(it)).await {
        text.extend_from_slice(&frame.ok()?.into_data().ok()?);
    }
    let (bytes, records) = frames_of(&text)?;
    let (done, synced) = oneshot::channel();
    sender.send((bytes, done)).await.ok()?;
    synced.await.ok()?;
    Some(records)
}

/// Reads the records of a request, and writes them one behind the other as they go to the disk.
fn frames_of(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let Put { records, data, key } = serde_json::from_slice(text).ok()?;
    let one = || Some(vec![Record { data: data?, key: key? }]);
    let records = records.or_else(one)?;
    let mut bytes = Vec::with_capacity(text.len());
    for record in &records {
        let start = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(record.key.as_bytes());
        base64::engine::general_purpose::STANDARD.decode_vec(record.data, &mut bytes).ok()?;
        let written = u32::try_from(bytes.len() - start - 4).ok()?.to_le_bytes();
        bytes.get_mut(start..start + 4)?.copy_from_slice(&written);
    }
    Some((bytes, records.len()))
}

fn commit(file: &File, mut waiting: mpsc::Receiver<Waiting>) {
    let mut place = 0;
    let mut buffer = Vec::new();
    while let Some(first) = waiting.blocking_recv() {
        buffer.clear();
        let mut answers = Vec::new();
        let mut next = Some(first);
        while let Some((bytes, done)) = next {
            buffer.extend_from_slice(&bytes);
            answers.push(done);
            next = waiting.try_recv().ok();
        }
        if FILE_BYTES < place + buffer.len() as u64 {
            place = 0;
        }
        if file.write_all_at(&buffer, place).and_then(|()| file.sync_data()).is_err() {
            return;
        }
        place += buffer.len() as u64;
        for done in answers {
            done.send(()).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests;
