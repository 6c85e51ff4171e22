//! The bare server that ours is compared with: HTTP, parse, group commit, and nothing else.
//!
//! One thread writes what all requests brought since its last sync into a preallocated file, syncs
//! once and answers them all. There is no stream, no shard, no checksum, no reading back.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use base64::Engine as _;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};

/// Preallocated, and written again from the start when it is full.
const FILE_BYTES: u64 = 128 << 20;

#[derive(Deserialize)]
struct PutRecords<'a> {
    #[serde(borrow, rename = "Records")]
    records: Vec<Record<'a>>,
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
pub(crate) async fn serve() -> anyhow::Result<()> {
    let folder = std::env::current_dir()?;
    let file = File::create(folder.join("bare.log"))?;
    let zeros = vec![0; 1 << 20];
    for _ in 0..FILE_BYTES >> 20 {
        (&file).write_all(&zeros)?;
    }
    file.sync_all()?;
    let (sender, waiting) = mpsc::channel(1_024);
    base::task::thread("bare commit", move || commit(&file, waiting))?;
    let router = Router::new()
        .route("/", post(put))
        .layer(axum::extract::DefaultBodyLimit::max(16 << 20))
        .with_state(sender);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("ready http={}", listener.local_addr()?);
    axum::serve(listener, router).await.context("the bare server ended")
}

async fn put(
    State(sender): State<mpsc::Sender<Waiting>>,
    body: Bytes,
) -> Result<String, StatusCode> {
    let request: PutRecords<'_> =
        serde_json::from_slice(&body).map_err(|_not_json| StatusCode::BAD_REQUEST)?;
    let mut bytes = Vec::with_capacity(body.len());
    for record in &request.records {
        let length = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(record.key.as_bytes());
        base64::engine::general_purpose::STANDARD
            .decode_vec(record.data, &mut bytes)
            .map_err(|_not_base64| StatusCode::BAD_REQUEST)?;
        let written = u32::try_from(bytes.len() - length - 4).unwrap_or_default().to_le_bytes();
        if let Some(place) = bytes.get_mut(length..length + 4) {
            place.copy_from_slice(&written);
        }
    }
    let count = request.records.len();
    let (done, synced) = oneshot::channel();
    sender.send((bytes, done)).await.map_err(|_closed| StatusCode::SERVICE_UNAVAILABLE)?;
    synced.await.map_err(|_closed| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(format!("{{\"FailedRecordCount\":0,\"Count\":{count}}}"))
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
