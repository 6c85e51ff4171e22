//! Shares the room of what waits for the disk between the streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A stream may fill this many times the room that is still free: alone it has three quarters of
/// all, two greedy ones have three sevenths each, and whoever comes new always finds some.
const SHARE: usize = 3;

/// The bytes of all streams that wait for the disk.
#[derive(Debug)]
pub(super) struct Waiting {
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
}

/// The room of one request, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    all: Arc<AtomicUsize>,
    of_stream: Arc<AtomicUsize>,
    bytes: usize,
}

impl Waiting {
    pub(super) fn new(bytes_max: usize) -> Waiting {
        Waiting { bytes: Arc::default(), bytes_max }
    }

    /// Returns the room for a request of `bytes`; none if the stream has its share already.
    pub(super) fn enter(&self, of_stream: &Arc<AtomicUsize>, bytes: usize) -> Option<Place> {
        let held = of_stream.load(Ordering::Relaxed);
        if !is_fair(held, bytes, self.bytes.load(Ordering::Relaxed), self.bytes_max) {
            return None;
        }
        // Requests that come at the same moment may pass together: it is a share, not a wall, and
        // the journal has a limit of its own.
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        of_stream.fetch_add(bytes, Ordering::Relaxed);
        let (all, of_stream) = (Arc::clone(&self.bytes), Arc::clone(of_stream));
        Some(Place { all, of_stream, bytes })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
        self.of_stream.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Returns whether a stream that has `held` bytes waiting may add `bytes` to the `all` that wait.
/// Its first request always may.
fn is_fair(held: usize, bytes: usize, all: usize, bytes_max: usize) -> bool {
    held == 0 || held.saturating_add(bytes) <= SHARE.saturating_mul(bytes_max.saturating_sub(all))
}

#[cfg(test)]
mod tests;
