//! Reads the objects of a bucket into a stream, each version of an object once.
//!
//! An object becomes chunks of records, the same ones each time it is read, so each chunk goes into
//! the journal under a key of its own: after a crash the object is read again and what is there
//! already adds nothing. What was read, and what could not be, is told in the bucket's events.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{Glob, Name};
use md5::{Digest, Md5};
use parking_lot::RwLock;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use crate::bucket::listing::{Event, Listing, Object, What};
use crate::bucket::{self, Bucket};
use crate::door::{Door, OptionFault, Running, Stop, parse, schema_of};
use crate::inlet::Inlet;
use crate::lines::Lines;

pub(crate) mod buckets;

/// Options of a `files` door.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The bucket.
    bucket: String,
    /// Which objects: `*` stands for anything within a folder, `**` across folders, `?` for one
    /// sign, `{csv,tsv}` for one of several. All if not said.
    #[serde(default = "all")]
    matching: String,
    /// Which number comes first in dates such as `01/04/2024`: `"day first"` or `"month first"`. If
    /// it is not said each file decides by its values, and the month is first where none does.
    dates: Option<Dates>,
}

/// Which number of a date comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Dates {
    /// `01/04/2024` is the first of April.
    #[serde(rename = "day first")]
    DayFirst,
    /// `01/04/2024` is the fourth of January.
    #[serde(rename = "month first")]
    MonthFirst,
}

fn all() -> String {
    "**".to_owned()
}

/// Reads the objects of a bucket.
pub(crate) struct Files;

const NAME: &str = "files";

/// How long to wait for a bucket that is not open yet, or a book that cannot be read.
const WAIT: Duration = Duration::from_millis(500);

/// Opens a file as records of one stream; the key of the object says what it is called.
pub type OpenFile =
    Arc<dyn Fn(&Path, &str, Option<Dates>) -> Result<Box<dyn FileRecords>, String> + Send + Sync>;

/// The records of a file, in its order.
pub trait FileRecords: Send {
    /// Adds some of the next records, the same ones each time the same file is read; adds none at the
    /// end.
    ///
    /// # Errors
    /// What is wrong with the rest of the file.
    fn next(&mut self, records: &mut Vec<Vec<u8>>) -> Result<(), String>;
}

impl Door for Files {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "Reads the objects of a bucket, those there are and those that come: CSV, JSON, Parquet, Avro, ORC, Arrow and Excel, compressed or not."
    }

    fn example(&self) -> &'static str {
        "from = [{ door = \"files\", bucket = \"landing\", matching = \"sales/**/*.csv\" }]"
    }

    fn options(&self) -> Schema {
        schema_of::<Options>()
    }

    fn check(&self, options: &toml::Table) -> Result<(), OptionFault> {
        Options::read(options).map(|_read| ())
    }

    fn open(
        &self,
        options: &toml::Table,
        inlet: &Inlet,
        stream: &Name,
    ) -> Result<Running, OptionFault> {
        let (options, pattern) = Options::read(options)?;
        let reads = Arc::new(Reads { pattern, objects: RwLock::default() });
        inlet.buckets().read(&options.bucket, &reads);
        let (inlet, stream) = (inlet.clone(), stream.clone());
        let reader = Reader { options, reads, inlet, stream };
        Ok(Running::start(NAME, |stop| reader.run(stop)))
    }
}

impl Options {
    fn read(table: &toml::Table) -> Result<(Options, Glob), OptionFault> {
        let options: Options = parse(table)?;
        if Name::new(&options.bucket).is_err() {
            let message = format!("`{}` is no name of a bucket", options.bucket);
            return Err(OptionFault::at("bucket", message));
        }
        let pattern = Glob::new(&options.matching);
        let pattern = pattern.map_err(|it| OptionFault::at("matching", it))?;
        Ok((options, pattern))
    }
}

/// What a stream reads of a bucket.
#[derive(Debug)]
pub(crate) struct Reads {
    pattern: Glob,
    /// The versions of objects that were read, or could not be, by key; none before the book is open.
    objects: RwLock<Option<BTreeMap<String, Object>>>,
}

impl Reads {
    /// Returns whether an object is still to be read.
    pub(crate) fn wants(&self, object: &Object) -> bool {
        let is_new = match &*self.objects.read() {
            Some(objects) => !objects.get(&object.key).is_some_and(|it| it.is_version_of(object)),
            None => true,
        };
        is_new && self.pattern.matches(&object.key)
    }
}

/// One line of the book.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    /// So many chunks of this object are in the journal.
    Chunks(Object, u64),
    /// All of it is, or it cannot be read.
    Over(Vec<Object>),
    /// Objects that are no longer there.
    Gone(Vec<String>),
}

/// Objects in one line of a book that is written anew.
const OVER_MAX: usize = 1_000;

/// What came of reading an object.
enum Outcome {
    Read(u64),
    Failed(String),
    /// The door is to close.
    Stopped,
}

/// The door's task.
struct Reader {
    options: Options,
    reads: Arc<Reads>,
    inlet: Inlet,
    stream: Name,
}

impl Reader {
    async fn run(self, mut stop: Stop) {
        let clock = Arc::clone(self.inlet.clock());
        let (mut lines, mut begun) = loop {
            match self.open_book().await {
                Ok(opened) => break opened,
                Err(error) => {
                    tracing::error!(stream = %self.stream, %error, "what was read of a bucket cannot be found out");
                }
            }
            if stop.within(clock.sleep(WAIT)).await {
                return;
            }
        };
        // A change of the project may open the bucket anew.
        while !stop.within(std::future::ready(())).await {
            if let Some(bucket) = self.inlet.buckets().find(&self.options.bucket)
                && !self.follow(&bucket, &mut lines, &mut begun, &mut stop).await
            {
                return;
            }
            if stop.within(clock.sleep(WAIT)).await {
                return;
            }
        }
    }

    /// Reads what lies in the bucket as it changes, until the bucket or the door is closed; returns
    /// whether to go on with another bucket of that name.
    async fn follow(
        &self,
        bucket: &Bucket,
        lines: &mut Lines,
        begun: &mut Option<(Object, u64)>,
        stop: &mut Stop,
    ) -> bool {
        let mut listing = bucket.listing.clone();
        loop {
            let now = listing.borrow_and_update().clone();
            if let Some(now) = now {
                match self.read_all(bucket, &now, lines, begun, stop).await {
                    Ok(true) => {}
                    Ok(false) => return false,
                    Err(error) => {
                        tracing::warn!(stream = %self.stream, error, "the door `files` cannot go on; it tries again");
                    }
                }
            }
            let mut is_closed = false;
            let changed = async { is_closed = listing.changed().await.is_err() };
            if stop.within(changed).await {
                return false;
            }
            if is_closed {
                return true;
            }
        }
    }

    /// Opens the book; returns how many chunks of which object are in the journal, if one was begun.
    async fn open_book(&self) -> std::io::Result<(Lines, Option<(Object, u64)>)> {
        let folder = self.inlet.buckets().folders().books;
        let path = folder.join(format!("{}.{}.read", self.options.bucket, self.stream));
        let (mut lines, said) = Lines::open::<Line>(path).await?;
        let (mut objects, mut begun) = (BTreeMap::new(), None);
        let count = said.len();
        for line in said {
            match line {
                Line::Chunks(object, chunks) => begun = Some((object, chunks)),
                Line::Over(over) => {
                    begun = None;
                    objects.extend(over.into_iter().map(|it| (it.key.clone(), it)));
                }
                Line::Gone(keys) => keys.iter().for_each(|it| {
                    objects.remove(it);
                }),
            }
        }
        if 16 + 2 * objects.len().div_ceil(OVER_MAX) < count && begun.is_none() {
            let all: Vec<Object> = objects.values().cloned().collect();
            lines.replace(all.chunks(OVER_MAX).map(|it| Line::Over(it.to_vec())).collect()).await?;
        }
        *self.reads.objects.write() = Some(objects);
        Ok((lines, begun))
    }

    /// Reads what is new; returns whether to go on.
    async fn read_all(
        &self,
        bucket: &Bucket,
        listing: &Listing,
        lines: &mut Lines,
        begun: &mut Option<(Object, u64)>,
        stop: &mut Stop,
    ) -> Result<bool, String> {
        let told = |it: std::io::Error| it.to_string();
        self.forget(bucket, listing, lines).await.map_err(told)?;
        let mut wanted: Vec<&Object> =
            listing.objects.iter().filter(|it| self.reads.wants(it)).collect();
        wanted.sort_by_key(|it| it.order());
        let mut failed = None;
        for object in wanted {
            let done =
                begun.take_if(|(it, _)| it.is_version_of(object)).map_or(0, |(_, chunks)| chunks);
            let outcome = match self.read_one(bucket, object, done, lines, stop).await {
                Ok(outcome) => outcome,
                // It is tried again with the next look, and keeps back no other.
                Err(error) => {
                    failed = Some(format!("`{}`: {error}", object.key));
                    continue;
                }
            };
            let (event, records, message) = match outcome {
                Outcome::Stopped => return Ok(false),
                Outcome::Read(records) => (What::Read, Some(records), None),
                Outcome::Failed(why) => (What::Failed, None, Some(why)),
            };
            let event = Event {
                event,
                object: object.clone(),
                at_ms: self.inlet.clock().now_ms(),
                stream: Some(self.stream.to_string()),
                records,
                message,
                about: None,
            };
            let key = format!("{}-{}-over", self.stream, tag_of(&self.stream, object));
            let event = bucket.describe(vec![event]).await?;
            let event: Vec<Vec<u8>> = event.iter().map(Event::to_json).collect();
            if !bucket::append(&self.inlet, &bucket.events, bucket::NAME, &event, &key, stop)
                .await?
            {
                return Ok(false);
            }
            lines.add(vec![Line::Over(vec![object.clone()])]).await.map_err(told)?;
            if let Some(objects) = self.reads.objects.write().as_mut() {
                objects.insert(object.key.clone(), object.clone());
            }
        }
        failed.map_or(Ok(true), Err)
    }

    /// Forgets objects that are gone: one that comes again is read again, but not one that comes
    /// from a snapshot.
    async fn forget(
        &self,
        bucket: &Bucket,
        listing: &Listing,
        lines: &mut Lines,
    ) -> std::io::Result<()> {
        let is_there = |key: &String| {
            let found = listing.objects.binary_search_by(|it| it.key.cmp(key));
            found.is_ok()
        };
        let gone: Vec<String> = match &*self.reads.objects.read() {
            Some(objects) => {
                let is_kept = |it: &Object| bucket.snapshots.as_ref().is_some_and(|s| s.has(it));
                let gone = objects.values().filter(|it| !is_there(&it.key) && !is_kept(it));
                gone.map(|it| it.key.clone()).collect()
            }
            None => Vec::new(),
        };
        if gone.is_empty() {
            return Ok(());
        }
        lines.add(vec![Line::Gone(gone.clone())]).await?;
        if let Some(objects) = self.reads.objects.write().as_mut() {
            gone.iter().for_each(|it| {
                objects.remove(it);
            });
        }
        Ok(())
    }

    /// Brings the records of an object into the journal, but for the first chunks, which are there.
    async fn read_one(
        &self,
        bucket: &Bucket,
        object: &Object,
        done: u64,
        lines: &mut Lines,
        stop: &mut Stop,
    ) -> Result<Outcome, String> {
        let Some(open) = self.inlet.buckets().opener(&self.stream) else {
            return Ok(Outcome::Failed("this stream cannot be read from files".to_owned()));
        };
        let fetched = bucket.fetch(object).await?;
        let (path, key, dates) = (fetched.path.clone(), object.key.clone(), self.options.dates);
        let opened = blocking(move || open(&path, &key, dates)).await?;
        let mut file = match opened {
            Ok(file) => file,
            Err(why) => return Ok(Outcome::Failed(why)),
        };
        let tag = tag_of(&self.stream, object);
        let (mut chunks, mut count) = (0, 0);
        loop {
            let (back, read) = blocking(move || {
                let mut records = Vec::new();
                let read = file.next(&mut records).map(|()| records);
                (file, read)
            })
            .await?;
            file = back;
            let records = match read {
                Ok(records) if records.is_empty() => return Ok(Outcome::Read(count)),
                Ok(records) => records,
                Err(why) => {
                    let before = format!("{why}; {count} records before that were read");
                    return Ok(Outcome::Failed(if count == 0 { why } else { before }));
                }
            };
            count += records.len() as u64;
            if done <= chunks {
                let id = format!("{tag}-{chunks}");
                let appended =
                    bucket::append(&self.inlet, &self.stream, NAME, &records, &id, stop).await?;
                if !appended {
                    return Ok(Outcome::Stopped);
                }
                let line = Line::Chunks(object.clone(), chunks + 1);
                lines.add(vec![line]).await.map_err(|it| it.to_string())?;
            }
            chunks += 1;
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|it| it.to_string())
}

/// Returns what tells this version of an object, read by this stream, from all others.
fn tag_of(stream: &Name, object: &Object) -> String {
    let Object { key, size, etag, created_ms, cold: _ } = object;
    let text = format!("{stream}\0{key}\0{size}\0{etag}\0{created_ms}");
    Md5::digest(text).iter().map(|it| format!("{it:02x}")).collect()
}

#[cfg(test)]
mod tests;
