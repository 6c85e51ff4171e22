//! Watches a bucket: what appears in it, changes and goes are records of the stream `NAME_events`.
//!
//! ```text
//! place (folder, S3, GCS, Azure) ──► list ──► Listing ──► what is new against the book ──► events
//!                                               └──► the doors `files` of other streams read it
//! ```
//!
//! What was told is written down in a [`Book`] before it is told and struck off after it, so that a
//! crash in between tells it once: the journal knows the chunk by its key.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{Name, Span, limits};
use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use tokio::sync::watch;

use crate::bucket::book::Book;
use crate::bucket::listing::{Event, Listing};
use crate::bucket::place::Place;
use crate::door::{Door, OptionFault, Running, Stop, parse, schema_of};
use crate::inlet::Inlet;
use crate::refusal::Refusal;
use crate::s3::folder::Folder;

pub(crate) mod about;
pub(crate) mod book;
pub(crate) mod listing;
pub(crate) mod place;

/// Options of a `bucket` door.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Options {
    /// Where it is: a folder, below the project's if it is not absolute, or `s3://BUCKET/PREFIX`,
    /// `gs://..`, `az://..`; a folder of the program's own if not said.
    pub(crate) from: Option<String>,
    /// How often it is looked at; `"5 seconds"` if not said.
    #[serde(default = "five_seconds")]
    pub(crate) every: Span,
    /// How long a file of a folder must have been as it is before it counts: it may still be
    /// written. `"2 seconds"` if not said.
    #[serde(default = "two_seconds")]
    pub(crate) settle: Span,
    /// How long objects are kept, from when they were created; for ever if not said. One that a
    /// stream has still to read stays.
    pub(crate) keep: Option<Span>,
    /// Settings of the cloud's store, by its own names: `{ aws_region = "eu-west-3",
    /// aws_endpoint = "http://..", aws_access_key_id = "${KEY}", aws_secret_access_key = "${SECRET}" }`.
    #[serde(default)]
    pub(crate) store: BTreeMap<String, String>,
}

fn five_seconds() -> Span {
    Span::from_millis(5_000)
}

fn two_seconds() -> Span {
    Span::from_millis(2_000)
}

/// Watches a bucket.
pub(crate) struct BucketDoor;

pub(crate) const NAME: &str = "bucket";

/// What the stream of a bucket is called after its name.
const EVENTS: &str = "_events";

/// A listing of a cloud costs money, and one of a folder time.
const EVERY_MIN: Span = Span::from_millis(100);

/// How often leftovers of uploads are looked for.
const SWEEP_EVERY_MS: u64 = 60 * 60 * 1_000;

/// The pause after the journal said "slow down", and the longest.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

impl Door for BucketDoor {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "Watches a bucket, which is a folder or in a cloud; `[bucket.NAME]` opens it, and only that."
    }

    fn example(&self) -> &'static str {
        "from = [{ door = \"bucket\", from = \"landing\", every = \"5 seconds\", keep = \"30 days\" }]"
    }

    fn options(&self) -> Schema {
        schema_of::<Options>()
    }

    fn check(&self, options: &toml::Table) -> Result<(), OptionFault> {
        Options::read(options).map(|_options| ())
    }

    fn open(
        &self,
        options: &toml::Table,
        inlet: &Inlet,
        stream: &Name,
    ) -> Result<Running, OptionFault> {
        let options = Options::read(options)?;
        let name = stream.as_str().strip_suffix(EVENTS).unwrap_or(stream.as_str()).to_owned();
        let place = Place::open(&options, &name, &inlet.buckets().folders())?;
        let (told, listing) = watch::channel(None);
        let bucket =
            Arc::new(Bucket { name: name.clone(), events: stream.clone(), place, listing });
        inlet.buckets().open(&bucket);
        let watcher = Watcher { options, bucket, told, inlet: inlet.clone() };
        Ok(Running::start(NAME, |stop| watcher.run(stop)))
    }
}

impl Options {
    fn read(table: &toml::Table) -> Result<Options, OptionFault> {
        let options: Options = parse(table)?;
        if options.every < EVERY_MIN {
            return Err(OptionFault::at("every", format!("at least \"{EVERY_MIN}\"")));
        }
        Place::check(&options)?;
        Ok(options)
    }
}

/// A bucket that is open.
pub(crate) struct Bucket {
    pub(crate) name: String,
    /// The stream of what happens in it.
    pub(crate) events: Name,
    pub(crate) place: Place,
    /// What lies in it, once it was looked at.
    pub(crate) listing: watch::Receiver<Option<Arc<Listing>>>,
}

/// The door's task.
struct Watcher {
    options: Options,
    bucket: Arc<Bucket>,
    told: watch::Sender<Option<Arc<Listing>>>,
    inlet: Inlet,
}

impl Watcher {
    async fn run(self, mut stop: Stop) {
        let clock = Arc::clone(self.inlet.clock());
        let mut book = loop {
            let (path, now) = (self.book_path(), clock.now_ms());
            match Book::open(path, now).await {
                Ok(book) => break book,
                Err(error) => {
                    tracing::error!(bucket = %self.bucket.name, %error, "what a bucket told cannot be read");
                    if stop.within(clock.sleep(PAUSE_MAX)).await {
                        return;
                    }
                }
            }
        };
        let mut failed: Option<String> = None;
        let mut swept_ms = None;
        loop {
            self.sweep(&mut swept_ms);
            let looked = self.look(&mut book, &mut stop).await;
            match looked {
                Ok(true) => {
                    if failed.take().is_some() {
                        tracing::info!(bucket = %self.bucket.name, "the bucket can be reached again");
                    }
                }
                Ok(false) => return,
                Err(error) if failed.as_deref() == Some(error.as_str()) => {}
                Err(error) => {
                    tracing::warn!(bucket = %self.bucket.name, error, "the bucket cannot be looked at; it is tried again");
                    failed = Some(error);
                }
            }
            if stop.within(clock.sleep(self.options.every.0)).await {
                return;
            }
        }
    }

    /// Now and then takes away what uploads that were broken off left behind, beside the watching:
    /// it may take a while.
    fn sweep(&self, swept_ms: &mut Option<u64>) {
        let Place::Folder(folder) = &self.bucket.place else { return };
        let now_ms = self.inlet.clock().now_ms();
        if swept_ms.is_some_and(|it| now_ms < it + SWEEP_EVERY_MS) {
            return;
        }
        *swept_ms = Some(now_ms);
        let folder = Folder::of(folder);
        let sweeping = tokio::task::spawn_blocking(move || folder.sweep(now_ms));
        drop(sweeping);
    }

    fn book_path(&self) -> std::path::PathBuf {
        self.inlet.buckets().folders().books.join(format!("{}.events", self.bucket.name))
    }

    /// Looks once and tells what is new; returns whether to go on.
    async fn look(&self, book: &mut Book, stop: &mut Stop) -> Result<bool, String> {
        if !self.tell_pending(book, stop).await? {
            return Ok(false);
        }
        let now_ms = self.inlet.clock().now_ms();
        let listing = self.bucket.place.list(now_ms, self.options.settle).await?;
        let listing = Arc::new(listing);
        let events = listing.since(book.objects(), now_ms);
        for chunk in events.chunks(limits::BUCKET_EVENTS_CHUNK) {
            let chunk = self.bucket.place.describe(chunk.to_vec()).await?;
            book.begin(chunk).await.map_err(|it| it.to_string())?;
            if !self.tell_pending(book, stop).await? {
                return Ok(false);
            }
        }
        self.told.send_replace(Some(Arc::clone(&listing)));
        if let Some(keep) = self.options.keep {
            self.expire(&listing, keep, now_ms).await;
        }
        Ok(true)
    }

    /// Tells what was written down to be told.
    async fn tell_pending(&self, book: &mut Book, stop: &mut Stop) -> Result<bool, String> {
        let Some((id, events)) = book.pending() else { return Ok(true) };
        let lines: Vec<Vec<u8>> = events.iter().map(Event::to_json).collect();
        let key = format!("{}-{id}", self.bucket.events);
        if !append(&self.inlet, &self.bucket.events, NAME, &lines, &key, stop).await? {
            return Ok(false);
        }
        book.done().await.map_err(|it| it.to_string())?;
        Ok(true)
    }

    /// Removes what is older than it is to be kept, and was read by all who read it.
    async fn expire(&self, listing: &Listing, keep: Span, now_ms: u64) {
        let before = now_ms.saturating_sub(keep.as_millis());
        for object in listing.objects.iter().filter(|it| it.created_ms < before) {
            if self.inlet.buckets().is_wanted(&self.bucket.name, object) {
                continue;
            }
            if let Err(error) = self.bucket.place.remove(&object.key).await {
                let (bucket, key) = (&self.bucket.name, &object.key);
                tracing::warn!(%bucket, key, %error, "an object that is over cannot be removed");
                return;
            }
        }
    }
}

/// Appends records under a key, so that a repetition adds nothing; waits while the journal is
/// busy. Returns whether to go on.
pub(crate) async fn append(
    inlet: &Inlet,
    stream: &Name,
    door: &'static str,
    records: &[Vec<u8>],
    key: &str,
    stop: &mut Stop,
) -> Result<bool, String> {
    let clock = Arc::clone(inlet.clock());
    let mut pause = PAUSE;
    loop {
        match append_once(inlet, stream, door, records, key).await {
            Ok(()) => return Ok(true),
            Err(refusal) if refusal.kind().is_retryable() => {}
            Err(refusal) => return Err(refusal.to_string()),
        }
        if stop.within(clock.sleep(pause)).await {
            return Ok(false);
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn append_once(
    inlet: &Inlet,
    stream: &Name,
    door: &'static str,
    records: &[Vec<u8>],
    key: &str,
) -> Result<(), Refusal> {
    let bytes = records.iter().map(Vec::len).sum();
    let mut batch = inlet.batch(stream, door, bytes)?;
    for record in records {
        batch.push(None, record)?;
    }
    inlet.append(batch, Some(key)).await.map(|_accepted| ())
}

#[cfg(test)]
mod tests;
