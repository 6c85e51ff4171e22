//! Messages on their way: a file to which is added what is published and what was brought, and
//! which is written anew when most of it is over.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use base::limits;
use journal::{DiskFile, RealDisk};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Message;
use crate::kept::{self, KeptFault};

/// The file.
const FILE: &str = "sns-letters.log";

/// How much a file grows at least before it is written anew: so much is read in an instant.
const REWRITE_BYTES_MIN: u64 = 4 << 20;

/// A file larger than this is not ours: twice what may wait, escaped.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// A message on its way to one of those who are told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Letter {
    pub(crate) message: Arc<Message>,
    pub(crate) to: To,
    /// Links in the message lead to this address.
    pub(crate) host: Arc<str>,
    /// The posting it is of, by its first number.
    posting: u64,
}

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum To {
    /// One way of the project's own target of the topic.
    Way(String),
    /// A subscription, by its ARN.
    Subscription(String),
    /// The address of a subscription, to be asked whether it wants to be told.
    Question(String),
}

/// A message for several.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Posting {
    pub(crate) message: Arc<Message>,
    pub(crate) host: Arc<str>,
    /// Each with the number of its letter, which says the order.
    to: Vec<(u64, To)>,
}

impl Posting {
    /// Makes one that has no numbers yet.
    pub(crate) fn new(message: Message, host: &str, to: Vec<To>) -> Posting {
        let to = to.into_iter().map(|it| (0, it)).collect();
        Posting { message: Arc::new(message), host: Arc::from(host), to }
    }
}

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
enum Line {
    Post(Posting),
    /// Letters that are over.
    Done(Vec<u64>),
}

/// Why nothing was posted.
#[derive(Debug)]
pub(crate) enum NotPosted {
    /// Too much waits already.
    Full,
    /// It cannot be written down.
    Kept(KeptFault),
}

/// See the module. Many may post at a time: they share one sync of the disk.
#[derive(Default)]
pub(crate) struct Letters {
    /// Held over writes; taken before `state`.
    log: Mutex<Option<Log>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    letters: BTreeMap<u64, Arc<Letter>>,
    /// The letters of each target of each topic, in their order.
    queues: BTreeMap<(String, To), BTreeSet<u64>>,
    /// Of each posting the letters that are left, and its bytes.
    postings: BTreeMap<u64, (usize, usize)>,
    bytes: usize,
    next: u64,
    /// What waits to be written.
    waiting: Vec<Waiting>,
}

struct Waiting {
    postings: Vec<Posting>,
    done: Arc<OnceLock<Result<(), KeptFault>>>,
}

/// The file as it is on disk.
struct Log {
    folder: PathBuf,
    file: Option<Arc<dyn DiskFile>>,
    length: u64,
    /// How long it was when it was last written anew.
    length_before: u64,
    /// Whether a write failed, so that what lies at the end is not known.
    is_torn: bool,
}

impl Letters {
    /// Reads what lies in `folder`, and adds to it from now on.
    pub(crate) fn open(&self, folder: &Path) -> Result<(), KeptFault> {
        let mut log = self.log.lock();
        let disk = RealDisk::new();
        let path = folder.join(FILE);
        let fault = |error: &std::io::Error| KeptFault::io(&path, error);
        let names = disk.list(folder).map_err(|it| fault(&it))?;
        let is_there = names.iter().any(|it| it == FILE);
        let bytes = if is_there { kept::read_file(&path, FILE_BYTES_MAX)? } else { Vec::new() };
        let mut state = self.state.lock();
        let mut unread = 0_u64;
        for line in bytes.split(|it| *it == b'\n').filter(|it| !it.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(Line::Post(posting)) => state.take_in(posting),
                Ok(Line::Done(numbers)) => state.let_go(&numbers),
                Err(_) => unread += 1,
            }
        }
        if 0 < unread {
            // The end of a file that was not synced: nobody was told that it was taken.
            tracing::warn!(file = FILE, lines = unread, "messages that were not written whole");
        }
        // The first write makes a file without what is over.
        let folder = folder.to_owned();
        *log = Some(Log { folder, file: None, length: 0, length_before: 0, is_torn: false });
        Ok(())
    }

    /// Writes messages down for all who are to be told; they are on disk when this returns. It
    /// waits for the disk: call it on a thread that may.
    pub(crate) fn post(&self, postings: Vec<Posting>) -> Result<(), NotPosted> {
        let done = Arc::new(OnceLock::new());
        {
            let mut state = self.state.lock();
            let (mut count, mut bytes) = (state.letters.len(), state.bytes);
            let waiting = state.waiting.iter().flat_map(|it| &it.postings);
            for it in waiting.chain(&postings) {
                count += it.to.len();
                bytes += bytes_of(it);
            }
            if limits::LETTERS_MAX < count || limits::MESSAGES_BYTES_MAX < bytes {
                return Err(NotPosted::Full);
            }
            state.waiting.push(Waiting { postings, done: Arc::clone(&done) });
        }
        let mut log = self.log.lock();
        // Whoever had the lock before may have written ours too.
        if done.get().is_none() {
            self.write_waiting(log.as_mut());
        }
        match done.get() {
            Some(Err(fault)) => Err(NotPosted::Kept(fault.clone())),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// Writes all that waits with one sync, and tells those who wait.
    fn write_waiting(&self, log: Option<&mut Log>) {
        let mut state = self.state.lock();
        let waiting = std::mem::take(&mut state.waiting);
        let mut numbered = Vec::new();
        for mut posting in waiting.iter().flat_map(|it| it.postings.iter().cloned()) {
            for (number, _) in &mut posting.to {
                *number = state.next;
                state.next += 1;
            }
            numbered.push(Line::Post(posting));
        }
        // Only whoever holds the log changes what is on its way.
        drop(state);
        let written = match log {
            Some(log) => log.add(&numbered, &self.state, true),
            None => Ok(()),
        };
        if written.is_ok() {
            let mut state = self.state.lock();
            for line in numbered {
                if let Line::Post(posting) = line {
                    state.take_in(posting);
                }
            }
        }
        for it in waiting {
            // It is set nowhere else.
            it.done.set(written.clone()).unwrap_or_default();
        }
    }

    /// Notes that these letters are over. It is not synced: after a crash they are brought again.
    pub(crate) fn settle(&self, numbers: Vec<u64>) -> Result<(), KeptFault> {
        let mut log = self.log.lock();
        self.state.lock().let_go(&numbers);
        match log.as_mut() {
            Some(log) => log.add(&[Line::Done(numbers)], &self.state, false),
            None => Ok(()),
        }
    }

    /// Takes out letters that nobody waits for any more.
    pub(crate) fn forget(&self, is_meant: impl Fn(&Letter) -> bool) -> Result<(), KeptFault> {
        let state = self.state.lock();
        let meant = state.letters.iter().filter(|(_, it)| is_meant(it));
        let numbers: Vec<u64> = meant.map(|(number, _)| *number).collect();
        drop(state);
        if numbers.is_empty() { Ok(()) } else { self.settle(numbers) }
    }

    /// Returns the first letter of each target, so that each gets its messages in order.
    pub(crate) fn firsts(&self) -> Vec<(u64, Arc<Letter>)> {
        let state = self.state.lock();
        let firsts = state.queues.values().filter_map(BTreeSet::first);
        let mut firsts: Vec<(u64, Arc<Letter>)> =
            firsts.filter_map(|it| Some((*it, Arc::clone(state.letters.get(it)?)))).collect();
        firsts.sort_by_key(|(number, _)| *number);
        firsts
    }

    /// Returns how many letters are on their way.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.state.lock().letters.len()
    }
}

fn bytes_of(posting: &Posting) -> usize {
    posting.message.text.len() + posting.message.subject.as_ref().map_or(0, String::len)
}

impl State {
    fn take_in(&mut self, posting: Posting) {
        let bytes = bytes_of(&posting);
        let Posting { message, host, to } = posting;
        let Some((first, _)) = to.first() else { return };
        let first = *first;
        self.postings.insert(first, (to.len(), bytes));
        self.bytes += bytes;
        for (number, to) in to {
            self.next = self.next.max(number + 1);
            let queue = (message.topic.to_string(), to.clone());
            self.queues.entry(queue).or_default().insert(number);
            let (message, host) = (Arc::clone(&message), Arc::clone(&host));
            self.letters.insert(number, Arc::new(Letter { message, to, host, posting: first }));
        }
    }

    fn let_go(&mut self, numbers: &[u64]) {
        for number in numbers {
            let Some(letter) = self.letters.remove(number) else { continue };
            let queue = (letter.message.topic.to_string(), letter.to.clone());
            if let Some(left) = self.queues.get_mut(&queue) {
                left.remove(number);
                if left.is_empty() {
                    self.queues.remove(&queue);
                }
            }
            let Some((left, bytes)) = self.postings.get_mut(&letter.posting) else { continue };
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.bytes = self.bytes.saturating_sub(*bytes);
                self.postings.remove(&letter.posting);
            }
        }
    }

    /// Returns what is on its way as the lines of a file.
    fn lines(&self) -> Vec<Line> {
        let mut postings: BTreeMap<u64, Posting> = BTreeMap::new();
        for (number, letter) in &self.letters {
            let Letter { message, to, host, posting } = letter.as_ref();
            let found = postings.entry(*posting).or_insert_with(|| Posting {
                message: Arc::clone(message),
                host: Arc::clone(host),
                to: Vec::new(),
            });
            found.to.push((*number, to.clone()));
        }
        postings.into_values().map(Line::Post).collect()
    }
}

impl Log {
    /// Adds lines; `state` is what the file says without them, or with them if they let go.
    fn add(&mut self, lines: &[Line], state: &Mutex<State>, sync: bool) -> Result<(), KeptFault> {
        // Twice as long as after the last time: what is written anew is paid for by what was added.
        let is_long = 2 * self.length_before + REWRITE_BYTES_MIN < self.length;
        let path = self.folder.join(FILE);
        let added = if self.is_torn || is_long || self.file.is_none() {
            self.rewrite(lines, &state.lock().lines())
        } else {
            self.append(lines, sync)
        };
        self.is_torn = added.is_err();
        added.map_err(|it| KeptFault::io(&path, &it))
    }

    fn append(&mut self, lines: &[Line], sync: bool) -> std::io::Result<()> {
        let bytes = to_bytes(lines)?;
        let Some(file) = &self.file else { return Ok(()) };
        file.write_at(self.length, &[IoSlice::new(&bytes)])?;
        self.length += bytes.len() as u64;
        if sync { file.sync() } else { Ok(()) }
    }

    /// Writes the file anew.
    fn rewrite(&mut self, lines: &[Line], live: &[Line]) -> std::io::Result<()> {
        let mut bytes = to_bytes(live)?;
        bytes.extend(to_bytes(lines)?);
        self.file = Some(kept::replace_file(&self.folder.join(FILE), &bytes)?);
        self.length = bytes.len() as u64;
        self.length_before = self.length;
        Ok(())
    }
}

fn to_bytes(lines: &[Line]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut bytes, line)?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
