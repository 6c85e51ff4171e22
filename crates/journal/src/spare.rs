//! The next segment is made ready before the writer needs it.
//!
//! Making a file of 128 MB durable takes 150-290 ms: on the commit thread, every append of that
//! moment would wait for it. A recycled segment is also several times faster to write.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::Error;
use crate::segment::Segment;
use crate::settings::Threads;
use crate::shared::Shared;

/// Recycled segments kept: one to write next, one for a burst. More would only take room.
pub(crate) const RECYCLED_MAX: usize = 2;

/// How long the preparing thread waits before it tries again on a disk without room.
const RETRY_AFTER: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(crate) struct Spares {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Ready to be written: durable, with its own name.
    next: Option<Arc<Segment>>,
    /// Why there is no next one.
    error: Option<Error>,
    generation_next: u64,
    recycled: Vec<PathBuf>,
}

impl Spares {
    pub(crate) fn new(
        next: Option<Arc<Segment>>,
        generation_next: u64,
        recycled: Vec<PathBuf>,
    ) -> Spares {
        let state = State { next, error: None, generation_next, recycled };
        Spares { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Returns the next segment; waits for the preparing thread if it is at work.
    pub(crate) fn take(&self, shared: &Shared) -> Result<Arc<Segment>, Error> {
        if shared.settings.threads == Threads::Caller && self.state.lock().next.is_none() {
            self.prepare(shared)?;
        }
        let mut state = self.state.lock();
        loop {
            if let Some(next) = state.next.take() {
                self.changed.notify_all();
                return Ok(next);
            }
            if let Some(error) = state.error.clone() {
                self.changed.notify_all();
                return Err(error);
            }
            if shared.is_stopping() {
                return Err(Error::Closed);
            }
            self.changed.wait(&mut state);
        }
    }

    /// Makes the next segment ready.
    fn prepare(&self, shared: &Shared) -> Result<(), Error> {
        let (generation, recycled) = {
            let mut state = self.state.lock();
            let generation = state.generation_next;
            state.generation_next += 1;
            (generation, state.recycled.pop())
        };
        let settings = &shared.settings;
        let (disk, folder) = (shared.disk.as_ref(), &settings.folder);
        let made =
            Segment::prepare(disk, folder, generation, settings.segment_bytes, recycled.as_deref());
        let mut state = self.state.lock();
        match made {
            Ok(segment) => {
                state.next = Some(Arc::new(segment));
                state.error = None;
            }
            Err(error) => {
                // The name was not used, or its file is gone: generations stay without gaps.
                state.generation_next = generation;
                state.error = Some(error.clone());
                return Err(error);
            }
        }
        Ok(())
    }

    /// Keeps a next segment ready until the journal stops; the body of its own thread.
    pub(crate) fn keep_ready(&self, shared: &Shared) {
        while !shared.is_stopping() {
            let is_ready = {
                let mut state = self.state.lock();
                if state.next.is_some() && !shared.is_stopping() {
                    self.changed.wait(&mut state);
                }
                state.next.is_some()
            };
            if !is_ready && !shared.is_stopping() {
                self.try_prepare(shared);
            }
        }
    }

    fn try_prepare(&self, shared: &Shared) {
        let had_failed = self.state.lock().error.is_some();
        let prepared = self.prepare(shared);
        self.changed.notify_all();
        if let Err(error) = prepared {
            if !had_failed {
                tracing::warn!(%error, "no room for the next segment; trying on");
            }
            let mut state = self.state.lock();
            self.changed.wait_for(&mut state, RETRY_AFTER);
        }
    }

    pub(crate) fn stop(&self) {
        let _state = self.state.lock();
        self.changed.notify_all();
    }

    /// Takes the file of a segment that nothing needs any more; removes it if there are enough.
    pub(crate) fn recycle(&self, shared: &Shared, path: &Path, bytes: u64) {
        let fits = bytes == shared.settings.segment_bytes;
        let is_kept = {
            let mut state = self.state.lock();
            let is_kept = fits && state.recycled.len() < RECYCLED_MAX;
            if is_kept {
                state.recycled.push(path.to_path_buf());
            }
            is_kept
        };
        if !is_kept && let Err(error) = shared.disk.remove(path) {
            tracing::warn!(path = %path.display(), %error, "old segment not removed");
        }
    }

    /// Removes a recycled segment to make room; returns whether there was one.
    pub(crate) fn give_up_one(&self, shared: &Shared) -> bool {
        let recycled = self.state.lock().recycled.pop();
        recycled.is_some_and(|path| shared.disk.remove(&path).is_ok())
    }
}
