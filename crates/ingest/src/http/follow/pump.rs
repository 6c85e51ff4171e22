//! Reads a stream's records as they come, for one reader.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, SequenceNumber, ShardId, limits};
use base64::Engine as _;
use journal::{Frames, Record};
use serde_json::json;
use tokio::sync::mpsc::Sender;

use crate::aws::wire::BASE64;
use crate::http::fault::HttpFault;
use crate::inlet::{Inlet, Stream};
use crate::refusal::Refusal;

/// What a reader is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// A record, as JSON.
    Record(String),
    /// How far the reader is now.
    Position(String),
    /// Records that it will never see, as JSON.
    Gap(String),
    /// Why there is no more.
    End(String),
}

/// The place of one reader.
pub(super) struct Pump {
    inlet: Inlet,
    stream: Arc<Stream>,
    next: BTreeMap<ShardId, SequenceNumber>,
}

/// A stream may get more shards while nothing is written to those that are known.
const SHARDS_LOOKED_FOR_EVERY: Duration = Duration::from_secs(1);

impl Pump {
    /// Begins at `from`: a position, `trim_horizon`, or `latest` if nothing is said.
    pub(super) fn new(
        inlet: &Inlet,
        stream: Arc<Stream>,
        from: Option<&str>,
    ) -> Result<Pump, HttpFault> {
        let info = inlet.journal().stream_info(stream.id).map_err(Refusal::from)?;
        let shards = info.shards.iter();
        let next = match from.unwrap_or("latest") {
            "latest" => shards.map(|it| (it.id, it.next)).collect(),
            "trim_horizon" => shards.map(|it| (it.id, it.first)).collect(),
            text => {
                let said = read_position(text)
                    .ok_or_else(|| HttpFault::NotAPosition(text.chars().take(100).collect()))?;
                // A shard that is not named is read from its beginning: it is younger.
                shards.map(|it| (it.id, said.get(&it.id).copied().unwrap_or(it.first))).collect()
            }
        };
        Ok(Pump { inlet: inlet.clone(), stream, next })
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        self.inlet.clock()
    }

    /// Runs until the reader is gone or cut off, or the program stops.
    pub(super) async fn run(mut self, to: Sender<News>) {
        // A place for the last word, so that it finds room however full the queue is.
        let Ok(last) = to.clone().reserve_owned().await else { return };
        loop {
            // What is said at the end must not skip what was read and never taken.
            let told = self.position();
            let found = match self.look().await {
                Ok(found) => found,
                Err(reason) => {
                    last.send(News::End(reason));
                    return;
                }
            };
            if found.is_empty() {
                let waited = tokio::select! {
                    waited = self.wait() => waited,
                    () = to.closed() => return,
                };
                if let Err(reason) = waited {
                    last.send(News::End(reason));
                    return;
                }
                continue;
            }
            for news in found.into_iter().chain([News::Position(self.position())]) {
                let clock = Arc::clone(self.clock());
                let late = clock.sleep(limits::FOLLOW_STALL_MAX);
                tokio::select! {
                    sent = to.send(news) => if sent.is_err() { return },
                    () = late => {
                        last.send(News::End(format!(
                            "nothing was taken for {} seconds; go on from {}",
                            limits::FOLLOW_STALL_MAX.as_secs(),
                            told
                        )));
                        return;
                    }
                }
            }
        }
    }

    /// Reads a little of each shard that has something new.
    async fn look(&mut self) -> Result<Vec<News>, String> {
        let (journal, id) = (self.inlet.journal().clone(), self.stream.id);
        let mut next = std::mem::take(&mut self.next);
        // A reader that fell behind reads the disk.
        let read = tokio::task::spawn_blocking(move || {
            let info = journal.stream_info(id).map_err(|it| it.to_string())?;
            let mut found = Vec::new();
            let share = (limits::FOLLOW_BYTES_MAX / info.shards.len().max(1)).max(1);
            for shard in &info.shards {
                let from = next.entry(shard.id).or_insert(shard.first);
                if *from < shard.first {
                    found.push(News::Gap(gap(shard.id, *from, shard.first)));
                    *from = shard.first;
                }
                if shard.next <= *from {
                    continue;
                }
                let frames = journal.read(id, shard.id, *from, share);
                let frames: Frames = frames.map_err(|it| it.to_string())?;
                found.extend(frames.iter().map(|it| News::Record(written(&it))));
                *from = frames.end();
            }
            Ok::<_, String>((next, found))
        });
        let (next, found) = read.await.map_err(|_panicked| "the stream cannot be read")??;
        self.next = next;
        Ok(found)
    }

    /// Waits until there may be something.
    async fn wait(&self) -> Result<(), String> {
        let past: Vec<_> = self.next.iter().map(|(shard, next)| (*shard, *next)).collect();
        let journal = self.inlet.journal();
        let more = self.clock().sleep(SHARDS_LOOKED_FOR_EVERY);
        tokio::select! {
            changed = journal.wait(self.stream.id, &past) => changed.map_err(|it| it.to_string()),
            () = more => Ok(()),
        }
    }

    /// Returns the position as it is read back: `SHARD:SEQUENCE,…`.
    fn position(&self) -> String {
        let mut out = String::new();
        for (shard, next) in &self.next {
            let comma = if out.is_empty() { "" } else { "," };
            let written = write!(out, "{comma}{}:{}", shard.0, next.0);
            debug_assert!(written.is_ok(), "writing to a string cannot fail");
        }
        out
    }
}

fn read_position(text: &str) -> Option<BTreeMap<ShardId, SequenceNumber>> {
    let place = |it: &str| {
        let (shard, sequence) = it.split_once(':')?;
        Some((ShardId(shard.trim().parse().ok()?), SequenceNumber(sequence.trim().parse().ok()?)))
    };
    text.split(',').map(place).collect()
}

fn gap(shard: ShardId, from: SequenceNumber, to: SequenceNumber) -> String {
    let message = "these records are no longer kept";
    json!({"shard": shard.0, "from": from.0, "to": to.0, "message": message}).to_string()
}

/// Writes a record as a reader gets it: bytes that are no text as base64.
fn written(record: &Record<'_>) -> String {
    let mut out = json!({
        "place": format!("{}:{}", record.place.shard.0, record.place.sequence.0),
        "arrived_ms": record.arrived_ms,
    });
    if !record.key.is_empty() {
        out["key"] = record.key.into();
    }
    match std::str::from_utf8(record.bytes) {
        Ok(text) => out["text"] = text.into(),
        Err(_no_text) => out["base64"] = BASE64.encode(record.bytes).into(),
    }
    out.to_string()
}

#[cfg(test)]
mod tests;
