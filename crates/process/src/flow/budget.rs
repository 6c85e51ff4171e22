//! Keeps the state of a flow's tables within the memory it may have.

use base::ByteSize;

use crate::error::in_words;
use crate::flow::{Flow, TableRun};
use crate::table::Room;

impl Flow {
    /// Returns what a table may hold.
    pub(crate) fn room(&self) -> Room {
        Room { groups_max: self.settings.groups_max, spills: Some(self.spills.clone()) }
    }

    /// Puts groups and rows on disk where the tables hold too many together: of the table that holds
    /// most first, until a quarter is free again.
    pub(crate) fn keep_within_memory(&mut self) {
        let max = self.settings.state_bytes_max;
        let mut sizes: Vec<(usize, usize)> = Vec::with_capacity(self.tables.len());
        for (place, run) in self.tables.iter_mut().enumerate() {
            sizes.push((run.body.state_bytes(), place));
        }
        let all: usize = sizes.iter().map(|(bytes, _)| bytes).sum();
        if all <= max {
            return;
        }
        sizes.sort_unstable_by(|one, other| other.cmp(one));
        let (mut over, epoch, now_ms) = (all - max / 4 * 3, self.epoch, self.clock.now_ms());
        for (bytes, place) in sizes {
            let Some(run) = self.tables.get_mut(place).filter(|_| 0 < over) else { break };
            match run.body.free(over.min(bytes), &self.spills, epoch) {
                Ok(freed) => {
                    over = over.saturating_sub(freed);
                    run.tell_of_disk();
                }
                // What cannot be put on disk stays in memory, but not without an end.
                Err(error) if all / 2 <= max => {
                    let table = run.plan.name();
                    let error = in_words(&error);
                    tracing::warn!(%table, error, "state cannot be put on disk: it stays in memory");
                }
                Err(error) => {
                    run.detach(now_ms, in_words(&error));
                    self.changed.insert(run.plan.name().clone());
                }
            }
        }
    }
}

impl TableRun {
    /// Says when a table begins to use the disk.
    fn tell_of_disk(&mut self) {
        let (_, bytes) = self.body.on_disk();
        if self.stats.spilled_bytes == 0 && 0 < bytes {
            let (table, bytes) = (self.plan.name(), ByteSize(bytes));
            tracing::info!(%table, %bytes, "state does not fit in memory: part of it is on disk");
        }
        self.stats.spilled_bytes = bytes;
    }
}
