//! Looks at all files of a place, on several threads, and groups them in the order of their paths.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::thread;

use base::{limits, unfinished};
use parking_lot::{Condvar, Mutex};
use rows::files::{Depth, Looked, Source, Verdict, look};

use crate::crawl::group::Groups;
use crate::crawl::pattern::Pattern;
use crate::crawl::place::{Listed, Listing, Place};
use crate::crawl::{Crawl, FoundFile, Progress, Settings};
use crate::error::Error;

/// Files of one pattern that are looked at as deeply as any; of the others a part is enough to see
/// that they are alike.
const DEEP_FILES: usize = 8;

/// How much of the others is looked at.
const SHALLOW: Depth = Depth { bytes: 64 << 10, rows: 500 };

/// Files that may be looked at ahead of the one that is grouped next.
const AHEAD_MAX: usize = 256;

/// Finds the tables of a place. It reads files and must not be called where waiting holds others up.
pub fn crawl(
    place: &Place,
    settings: &Settings,
    tell: &(dyn Fn(Progress) + Sync),
) -> Result<Crawl, Error> {
    let mut listing = place.list(settings.files_max)?;
    let mut listed = std::mem::take(&mut listing.files);
    if let Some(only) = &settings.only {
        listed.retain(|it| only.matches(&it.path));
    }
    let depths = depths(&listed);
    let mut groups = Groups::default();
    let mut files = Vec::with_capacity(listed.len());
    let work = Work::new(listed.len());
    thread::scope(|scope| {
        let (work, listed, depths) = (&work, &listed, &depths);
        for number in 0..settings.threads.clamp(1, listed.len().max(1)) {
            let name = format!("crawl-{number}");
            let next = || {
                let index = work.take()?;
                Some((index, listed.get(index)?, depths.get(index)?))
            };
            let run = move || {
                while let Some((index, file, depth)) = next() {
                    work.give(index, look_at(place, file, *depth));
                }
            };
            let started = thread::Builder::new().name(name).spawn_scoped(scope, run);
            if let Err(source) = started {
                if number == 0 {
                    work.stop();
                    let path = std::path::PathBuf::from(place.root());
                    return Err(Error::Disk { doing: "start a thread for", path, source });
                }
                break; // Fewer threads do it too.
            }
        }
        for (index, file) in listed.iter().enumerate() {
            let Some(looked) = work.wait_for(index) else { break };
            let tables = groups.add(index, file, &looked);
            files.push(found_file(file, &looked, tables));
            tell(Progress { done: index + 1, all: listed.len() });
        }
        Ok(())
    })?;
    Ok(finish(place, &listing, groups, files))
}

/// Returns a number that changes when a file comes, goes or changes its size.
pub fn stamp(place: &Place, settings: &Settings) -> Result<u64, Error> {
    let mut hasher = DefaultHasher::new();
    for file in place.list(settings.files_max)?.files {
        (file.path, file.size).hash(&mut hasher);
    }
    Ok(hasher.finish())
}

fn finish(place: &Place, listing: &Listing, groups: Groups, mut files: Vec<FoundFile>) -> Crawl {
    let (tables, places) = groups.finish(place.root(), &files, &listing.deltas);
    for file in &mut files {
        let mut of: Vec<usize> =
            file.tables.iter().filter_map(|it| places.get(*it).copied()).collect();
        of.sort_unstable();
        of.dedup();
        file.tables = of;
    }
    for (path, why) in &listing.closed {
        let verdict = Verdict::Unreadable(why.clone());
        let (path, format) = (path.clone(), String::new());
        files.push(FoundFile { path, size: 0, verdict, format, tables: Vec::new() });
    }
    Crawl {
        root: place.root().to_owned(),
        tables,
        files,
        hidden: listing.hidden,
        is_cut: listing.is_cut,
    }
}

/// The first files of each pattern are looked at deeply.
fn depths(listed: &[Listed]) -> Vec<Depth> {
    let mut seen: HashMap<Pattern, usize> = HashMap::new();
    listed
        .iter()
        .map(|file| {
            let count = seen.entry(Pattern::of(&file.path)).or_default();
            *count += 1;
            if *count <= DEEP_FILES { Depth::default() } else { SHALLOW }
        })
        .collect()
}

fn look_at(place: &Place, file: &Listed, depth: Depth) -> Looked {
    let nothing = |verdict| Looked { verdict, compression: None, tables: Vec::new() };
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let name = if name.is_empty() { place.root() } else { name };
    if let Some(why) = unfinished(name) {
        return nothing(Verdict::HalfUploaded(why));
    }
    let source = match place.open(file) {
        Ok(source) => source,
        Err(error) => return nothing(Verdict::Unreadable(error.to_string())),
    };
    let mut looked = look(source.as_ref(), name, depth);
    let before = file.size.max(Source::size(source.as_ref()));
    if let Some(now) = place.size_now(file).filter(|it| before < *it) {
        let why = format!("it grew from {before} to {now} bytes while it was looked at");
        looked.verdict = Verdict::HalfUploaded(why);
    }
    looked
}

fn found_file(file: &Listed, looked: &Looked, tables: Vec<usize>) -> FoundFile {
    let mut format = looked.tables.first().map_or("", |it| it.format.word()).to_owned();
    if let Some(compression) = looked.compression {
        let gap = if format.is_empty() { "" } else { " " };
        format = format!("{format}{gap}{compression}");
    }
    let (path, size) = (file.path.clone(), file.size);
    FoundFile { path, size, verdict: looked.verdict.clone(), format, tables }
}

/// What is done and what is next: threads take files in their order and give what they found, and
/// none runs far ahead of the one that groups.
struct Work {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    next: usize,
    all: usize,
    grouped: usize,
    found: BTreeMap<usize, Looked>,
}

impl Work {
    fn new(all: usize) -> Work {
        let state = State { next: 0, all, grouped: 0, found: BTreeMap::new() };
        Work { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn take(&self) -> Option<usize> {
        let mut state = self.state.lock();
        while state.next < state.all && state.grouped + AHEAD_MAX <= state.next {
            self.changed.wait(&mut state);
        }
        if state.all <= state.next {
            return None;
        }
        state.next += 1;
        Some(state.next - 1)
    }

    fn give(&self, index: usize, looked: Looked) {
        self.state.lock().found.insert(index, looked);
        self.changed.notify_all();
    }

    fn wait_for(&self, index: usize) -> Option<Looked> {
        let mut state = self.state.lock();
        loop {
            if let Some(looked) = state.found.remove(&index) {
                state.grouped = index + 1;
                self.changed.notify_all();
                return Some(looked);
            }
            if state.all <= index {
                return None;
            }
            self.changed.wait(&mut state);
        }
    }

    fn stop(&self) {
        self.state.lock().all = 0;
        self.changed.notify_all();
    }
}

const _: () = assert!(AHEAD_MAX < limits::CRAWL_FILES_MAX, "a crawl looks at more than it holds");
