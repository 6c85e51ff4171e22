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
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base::{Name, Span, limits};
use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::bucket::book::Book;
use crate::bucket::cold::{Cold, ColdObjects, ColdOptions, move_all, overlaps};
use crate::bucket::listing::{Event, Listing, Object, What};
use crate::bucket::place::{BucketPlace, Fetched, Folders, Place};
use crate::bucket::snapshot::{BucketRestored, BucketWanted, SnapshotOptions, Snapshots};
use crate::bucket::store::check_store;
use crate::door::{Door, OptionFault, Running, Stop, parse, schema_of};
use crate::inlet::Inlet;
use crate::refusal::Refusal;
use crate::s3::folder::Folder;

pub(crate) mod about;
pub(crate) mod book;
pub(crate) mod cold;
pub(crate) mod listing;
pub(crate) mod place;
pub(crate) mod snapshot;
pub(crate) mod store;

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
    /// When and where old objects are moved, and stay objects of the bucket: `{ after = "30 days",
    /// to = "cold" }`. None are if not said.
    pub(crate) cold: Option<ColdOptions>,
    /// How often a snapshot of a folder is taken, and how many are kept: `{ every = "12 hours",
    /// keep = 2 }`. None is if not said.
    pub(crate) snapshots: Option<SnapshotOptions>,
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
        let folders = inlet.buckets().folders();
        let place = Place::open(&options, &name, &folders)?;
        let cold = open_cold(&options, &name, &place, &folders)?;
        let (told, listing) = watch::channel(None);
        let snapshots = Snapshots::open(&name, options.snapshots.clone(), &folders);
        let snapshots = snapshots.map_err(|error| {
            OptionFault::at("snapshots", format!("the snapshots cannot be found out: {error}"))
        })?;
        let (events, snapshots) = (stream.clone(), snapshots.map(Arc::new));
        let bucket = Bucket { name: name.clone(), events, place, listing, cold, snapshots };
        let bucket = Arc::new(bucket);
        inlet.buckets().open(&bucket);
        let (mover, taker) = (Mover::default(), Mover::default());
        let watcher = Watcher { options, bucket, told, inlet: inlet.clone(), mover, taker };
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
        options.check_cold()?;
        options.check_snapshots()?;
        Ok(options)
    }

    fn check_snapshots(&self) -> Result<(), OptionFault> {
        let Some(snapshots) = &self.snapshots else { return Ok(()) };
        if self.from.as_deref().is_some_and(|it| it.contains("://")) {
            let fault = OptionFault::at("snapshots", "a bucket in a cloud has no snapshots here");
            return Err(fault.with_help("leave it out, and switch on the store's own versions"));
        }
        if !(1..=limits::SNAPSHOTS_MAX).contains(&snapshots.keep) {
            let message = format!("{} snapshots cannot be kept", snapshots.keep);
            let help = format!("write a number from 1 to {}", limits::SNAPSHOTS_MAX);
            return Err(OptionFault::at("snapshots.keep", message).with_help(help));
        }
        Ok(())
    }

    fn check_cold(&self) -> Result<(), OptionFault> {
        let Some(cold) = &self.cold else { return Ok(()) };
        if self.keep.is_some_and(|keep| keep <= cold.after) {
            let fault = OptionFault::at("cold.after", "objects are deleted by `keep` before that");
            return Err(fault.with_help("move them earlier, or keep them longer"));
        }
        let is_cloud = cold.to.contains("://");
        if is_cloud {
            let store = if cold.store.is_empty() { &self.store } else { &cold.store };
            let told = |it: OptionFault| OptionFault { key: Some("cold.to".to_owned()), ..it };
            check_store(&cold.to, store).map_err(told)?;
            let from = self.from.as_deref().unwrap_or_default().trim_end_matches('/');
            let below = cold.to.strip_prefix(from).filter(|_| from.contains("://"));
            if below.is_some_and(|it| it.is_empty() || it.starts_with('/')) {
                return Err(inside());
            }
        } else if cold.to.is_empty() {
            return Err(OptionFault::at("cold.to", "the path is empty"));
        } else if let Some(key) = cold.store.keys().next() {
            let message = "a folder has no settings of a store";
            return Err(OptionFault::at(format!("cold.store.{key}"), message));
        } else if cold.class.is_some() {
            let fault = OptionFault::at("cold.class", "a folder has no storage classes");
            return Err(fault.with_help("leave it out, or let `to` be such as `s3://..`"));
        }
        Ok(())
    }
}

fn inside() -> OptionFault {
    let message = "cold objects would lie where the bucket's own lie, and be objects again";
    OptionFault::at("cold.to", message).with_help("name a place beside it")
}

/// Opens the cold tier, if there is or was one.
fn open_cold(
    options: &Options,
    name: &str,
    place: &Place,
    folders: &Folders,
) -> Result<Option<Arc<Cold>>, OptionFault> {
    if let (Some(cold), Place::Folder(own)) = (&options.cold, place)
        && !cold.to.contains("://")
    {
        let to = folders.project.join(&cold.to);
        let made = std::fs::create_dir_all(&to).and_then(|()| to.canonicalize());
        let to = made.map_err(|error| {
            let to = to.display();
            OptionFault::at("cold.to", format!("the folder {to} cannot be used: {error}"))
        })?;
        if overlaps(&to, own) {
            return Err(inside());
        }
    }
    let opened = Cold::open(name, options.cold.clone(), &options.store, folders);
    let opened = opened.map_err(|error| {
        OptionFault::at("cold", format!("what lies in the cold tier cannot be found out: {error}"))
    })?;
    Ok(opened.map(Arc::new))
}

/// A bucket that is open.
pub(crate) struct Bucket {
    pub(crate) name: String,
    /// The stream of what happens in it.
    pub(crate) events: Name,
    pub(crate) place: Place,
    /// What lies in it, once it was looked at.
    pub(crate) listing: watch::Receiver<Option<Arc<Listing>>>,
    /// What lies elsewhere.
    pub(crate) cold: Option<Arc<Cold>>,
    /// What lay in it at earlier moments.
    pub(crate) snapshots: Option<Arc<Snapshots>>,
}

impl Bucket {
    /// Makes a file of an object.
    pub(crate) async fn fetch(&self, object: &Object) -> Result<Fetched, String> {
        let found = self.cold.as_ref().and_then(|it| it.find(&object.key));
        let found = found.filter(|it| it.object.is_version_of(object));
        let (Some(found), Some(cold)) = (found, self.cold.clone()) else {
            return self.place.fetch(object).await;
        };
        let fetched = tokio::task::spawn_blocking(move || cold.fetch(&found)).await;
        fetched.map_err(|it| it.to_string())?.map_err(|it| it.to_string())
    }

    /// Adds to events what clients said of the objects.
    pub(crate) async fn describe(&self, events: Vec<Event>) -> Result<Vec<Event>, String> {
        let mut events = self.place.describe(events).await?;
        let Some(cold) = &self.cold else { return Ok(events) };
        for event in events.iter_mut().filter(|it| it.event != What::Deleted) {
            event.about = event.about.take().or_else(|| cold.about(&event.object));
        }
        Ok(events)
    }

    /// Removes an object, wherever it lies.
    async fn remove(&self, key: &str) -> Result<(), String> {
        if let Some(cold) = self.cold.clone() {
            let of = key.to_owned();
            let forgot = tokio::task::spawn_blocking(move || cold.forget(&of)).await;
            forgot.map_err(|it| it.to_string())?.map_err(|it| it.to_string())?;
        }
        self.place.remove(key).await
    }

    /// Lets objects be again what they were in a snapshot.
    pub(crate) async fn restore(
        &self,
        wanted: BucketWanted,
        now_ms: u64,
    ) -> Result<BucketRestored, String> {
        let (Some(snapshots), Place::Folder(root)) = (self.snapshots.clone(), &self.place) else {
            return Err(format!("the bucket `{}` has no snapshots", self.name));
        };
        let mut listing = self.place.list(now_ms, Span::from_millis(0)).await?;
        let (cold, name, root) = (self.cold.clone(), self.name.clone(), root.clone());
        let restored = tokio::task::spawn_blocking(move || {
            if let Some(cold) = &cold {
                cold.merge(&mut listing, &Place::Folder(root.clone()))?;
            }
            let now = listing.objects.into_iter().map(|it| (it.key.clone(), it)).collect();
            snapshots.restore(&Folder::of(&root).with_cold(cold), &wanted, &now)
        });
        let restored = restored.await.map_err(|it| it.to_string())?;
        restored.map_err(|error| format!("the bucket `{name}`: {error}"))
    }

    pub(crate) fn told(&self) -> BucketPlace {
        BucketPlace { own: self.place.told(), cold: self.cold.clone().map(ColdObjects) }
    }
}

/// The door's task.
struct Watcher {
    options: Options,
    bucket: Arc<Bucket>,
    told: watch::Sender<Option<Arc<Listing>>>,
    inlet: Inlet,
    mover: Mover,
    /// Takes snapshots, beside the watching too.
    taker: Mover,
}

/// Moves objects to the cold tier, beside the watching: compressing takes long.
#[derive(Default)]
struct Mover {
    stop: Arc<AtomicBool>,
    moving: Option<JoinHandle<bool>>,
    /// When it is tried again after something failed.
    not_before_ms: u64,
}

/// The pause after something could not be moved.
const MOVE_PAUSE_MS: u64 = 60 * 1_000;

impl Mover {
    /// Returns whether nothing is moved now.
    async fn is_idle(&mut self, now_ms: u64) -> bool {
        match &mut self.moving {
            Some(moving) if !moving.is_finished() => return false,
            Some(moving) => {
                if !moving.await.unwrap_or(false) {
                    self.not_before_ms = now_ms + MOVE_PAUSE_MS;
                }
                self.moving = None;
            }
            None => {}
        }
        self.not_before_ms <= now_ms
    }

    fn start(&mut self, bucket: &Arc<Bucket>, cold: &Arc<Cold>, objects: Vec<Object>) {
        let (bucket, cold) = (Arc::clone(bucket), Arc::clone(cold));
        let stop = Arc::clone(&self.stop);
        let work = move || move_all(&cold, &bucket.place, &objects, &stop);
        self.moving = Some(tokio::task::spawn_blocking(work));
    }

    /// Breaks off what is under way, and waits for it.
    async fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(moving) = self.moving.take()
            && let Err(error) = moving.await
        {
            tracing::warn!(%error, "moving to the cold tier did not end by itself");
        }
    }
}

impl Watcher {
    async fn run(mut self, mut stop: Stop) {
        self.watch(&mut stop).await;
        self.mover.end().await;
        self.taker.end().await;
    }

    async fn watch(&mut self, stop: &mut Stop) {
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
            let looked = self.look(&mut book, stop).await;
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
    async fn look(&mut self, book: &mut Book, stop: &mut Stop) -> Result<bool, String> {
        if !self.tell_pending(book, stop).await? {
            return Ok(false);
        }
        let now_ms = self.inlet.clock().now_ms();
        let (listing, left) = self.list(now_ms).await?;
        let listing = Arc::new(listing);
        let events = listing.since(book.objects(), now_ms);
        for chunk in events.chunks(limits::BUCKET_EVENTS_CHUNK) {
            let chunk = self.bucket.describe(chunk.to_vec()).await?;
            book.begin(chunk).await.map_err(|it| it.to_string())?;
            if !self.tell_pending(book, stop).await? {
                return Ok(false);
            }
        }
        self.told.send_replace(Some(Arc::clone(&listing)));
        if let Some(keep) = self.options.keep {
            self.expire(&listing, keep, now_ms).await;
        }
        self.cool(&listing, left, now_ms).await;
        self.take_snapshot(&listing, now_ms).await;
        Ok(true)
    }

    /// Lists what lies in the bucket, and returns with it what lies in two places.
    async fn list(&self, now_ms: u64) -> Result<(Listing, Vec<Object>), String> {
        let mut listing = self.bucket.place.list(now_ms, self.options.settle).await?;
        let (Some(cold), bucket) = (self.bucket.cold.clone(), Arc::clone(&self.bucket)) else {
            return Ok((listing, Vec::new()));
        };
        let merged = tokio::task::spawn_blocking(move || {
            let left = cold.merge(&mut listing, &bucket.place)?;
            Ok::<_, std::io::Error>((listing, left))
        });
        merged.await.map_err(|it| it.to_string())?.map_err(|it| it.to_string())
    }

    /// Moves what is old to the cold tier, but nothing that a stream has still to read.
    async fn cool(&mut self, listing: &Listing, left: Vec<Object>, now_ms: u64) {
        let Some(cold) = &self.bucket.cold else { return };
        if !self.mover.is_idle(now_ms).await {
            return;
        }
        let mut objects = left;
        if let Some(after) = cold.after() {
            let before = now_ms.saturating_sub(after.as_millis());
            let is_old = |it: &&Object| it.cold.is_none() && it.created_ms < before;
            let is_read = |it: &&Object| !self.inlet.buckets().is_wanted(&self.bucket.name, it);
            objects.extend(listing.objects.iter().filter(is_old).filter(is_read).cloned());
        }
        objects.sort_by(|one, other| one.order().cmp(&other.order()));
        if !objects.is_empty() || cold.is_untidy() {
            self.mover.start(&self.bucket, cold, objects);
        }
    }

    /// Takes a snapshot if one is due.
    async fn take_snapshot(&mut self, listing: &Arc<Listing>, now_ms: u64) {
        let (Some(snapshots), Place::Folder(root)) = (&self.bucket.snapshots, &self.bucket.place)
        else {
            return;
        };
        if !self.taker.is_idle(now_ms).await || !snapshots.is_due(now_ms) {
            return;
        }
        let (snapshots, root) = (Arc::clone(snapshots), root.clone());
        let (bucket, listing) = (Arc::clone(&self.bucket), Arc::clone(listing));
        let stop = Arc::clone(&self.taker.stop);
        self.taker.moving = Some(tokio::task::spawn_blocking(move || {
            let now = (root.as_path(), listing.objects.as_slice(), bucket.cold.as_deref());
            let worked = snapshots.work(now, now_ms, &stop);
            if let Err(error) = &worked
                && !stop.load(Ordering::Relaxed)
            {
                let bucket = &bucket.name;
                tracing::warn!(%bucket, %error, "a snapshot was not taken; it is tried again");
            }
            worked.is_ok()
        }));
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
            if let Err(error) = self.bucket.remove(&object.key).await {
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
