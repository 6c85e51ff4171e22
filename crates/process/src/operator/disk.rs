//! Groups that do not fit in memory: windows not touched for longest are put on disk, where what
//! still comes for them is added beside.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use base::Epoch;
use datafusion::common::Result;

use super::parts::{PART_BYTES, PARTS, Parts, Piece};
use super::{Operator, Start, Window};
use crate::spill::{NamedWindow, Of, Spilled, Spills};

/// Files of one window; beyond it they are merged into one.
const FILES_MAX: usize = if cfg!(test) { 3 } else { 8 };

/// The groups of a window that are on disk.
#[derive(Debug, Default)]
pub(super) struct OnDisk {
    /// The oldest first.
    files: Vec<Arc<Spilled>>,
    /// What was written of the window before this epoch is in these files.
    since: Epoch,
}

impl Operator {
    /// Returns the bytes of all groups in memory, about.
    pub(crate) fn bytes(&mut self) -> usize {
        self.windows.values_mut().map(Window::bytes).sum()
    }

    /// Returns the number of groups on disk; one that lies in several files is counted in each.
    pub(crate) fn groups_on_disk(&self) -> u64 {
        self.files().map(|it| it.rows()).sum()
    }

    /// Returns the bytes on disk.
    pub(crate) fn bytes_on_disk(&self) -> u64 {
        self.files().map(|it| it.bytes()).sum()
    }

    /// Returns the files that hold groups.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Arc<Spilled>> {
        self.on_disk.values().flat_map(|it| &it.files)
    }

    /// Returns whether groups of the window are on disk.
    pub(crate) fn is_on_disk(&self, start: Start) -> bool {
        self.on_disk.contains_key(&start)
    }

    /// Returns whether any groups are on disk.
    pub(crate) fn uses_disk(&self) -> bool {
        !self.on_disk.is_empty()
    }

    /// Frees about so many bytes of memory: first what can be made again, then windows are put on
    /// disk, those not touched for longest first. Returns what it freed.
    pub(crate) fn free(&mut self, bytes: usize, spills: &Spills, epoch: Epoch) -> Result<usize> {
        let mut by_age: Vec<(u64, Start)> =
            self.windows.iter().map(|(start, it)| (it.touched, *start)).collect();
        by_age.sort_unstable();
        let mut freed = 0;
        for (_, start) in &by_age {
            if bytes <= freed {
                return Ok(freed);
            }
            if let Some(window) = self.windows.get_mut(start) {
                let before = window.bytes();
                window.forget_state();
                freed += before.saturating_sub(window.bytes());
            }
        }
        if !self.shape.can_divide() {
            return Ok(freed); // One group in each window.
        }
        for (_, start) in by_age {
            if bytes <= freed {
                break;
            }
            freed += self.spill(start, spills, epoch)?;
        }
        Ok(freed)
    }

    /// Puts the groups of a window on disk, beside those that are there; returns what it freed.
    fn spill(&mut self, start: Start, spills: &Spills, epoch: Epoch) -> Result<usize> {
        let Some(mut window) = self.windows.remove(&start) else { return Ok(0) };
        if window.groups == 0 {
            self.windows.insert(start, window);
            return Ok(0);
        }
        let bytes = window.bytes();
        let state = match window.state.take() {
            Some(state) => state,
            None => window.take_state(&self.shape)?,
        };
        drop(window);
        if let Err(error) = self.write(start, &state, spills, epoch) {
            // It stays in memory, all of it to be written by the next checkpoint.
            let mut window = Window::new(&self.shape)?;
            window.merge(&self.shape, &state)?;
            self.windows.insert(start, window);
            return Err(error);
        }
        Ok(bytes)
    }

    fn write(
        &mut self,
        start: Start,
        state: &RecordBatch,
        spills: &Spills,
        epoch: Epoch,
    ) -> Result<()> {
        let known = self.on_disk.get(&start).map(|it| it.files.clone()).unwrap_or_default();
        let mut files = known;
        if files.len() + 1 < FILES_MAX {
            let is_many = PART_BYTES < state.get_array_memory_size();
            let count = if is_many { PARTS } else { 1 };
            let mut writer = spills.begin(Of::Groups, self.shape.state(), count)?;
            for (part, rows) in (0..).zip(self.shape.divide(state, count)?) {
                if let Some(rows) = rows {
                    writer.push(part, &[rows])?;
                }
            }
            files.push(writer.finish()?);
        } else {
            let mut pieces: Vec<Piece> = files.into_iter().map(Piece::File).collect();
            pieces.push(Piece::Memory(state.clone()));
            let parts = Parts::new(&self.shape, pieces, None)?;
            let mut writer = spills.begin(Of::Groups, self.shape.state(), parts.count())?;
            for part in 0..parts.count() {
                if let Some(rows) = parts.state(part)? {
                    writer.push(part, &[rows])?;
                }
            }
            files = vec![writer.finish()?];
        }
        self.on_disk.insert(start, OnDisk { files, since: epoch });
        Ok(())
    }

    /// Returns the groups of a window, wherever they are, to be read part by part.
    pub(crate) fn parts(&mut self, start: Start) -> Result<Option<Parts>> {
        if !self.has(start) {
            return Ok(None);
        }
        let pieces = self.pieces(start)?;
        Parts::new(&self.shape, pieces, None).map(Some)
    }

    /// Returns the groups of a window that is made of these panes, to be read part by part.
    pub(crate) fn parts_of(
        &mut self,
        start: Start,
        panes: impl Iterator<Item = Start>,
    ) -> Result<Parts> {
        let mut pieces = Vec::new();
        for pane in panes {
            pieces.extend(self.pieces(pane)?);
        }
        Parts::new(&self.shape, pieces, Some(start))
    }

    fn pieces(&mut self, start: Start) -> Result<Vec<Piece>> {
        let files = self.on_disk.get(&start).into_iter().flat_map(|it| &it.files);
        let mut pieces: Vec<Piece> = files.map(|it| Piece::File(Arc::clone(it))).collect();
        pieces.extend(self.state_in_memory(start)?.map(Piece::Memory));
        Ok(pieces)
    }

    /// Returns the state of a window, wherever it is.
    pub(super) fn state_anywhere(&mut self, start: Start) -> Result<Option<RecordBatch>> {
        let Some(parts) = self.parts(start)? else { return Ok(None) };
        let mut states = Vec::new();
        for part in 0..parts.count() {
            states.extend(parts.state(part)?);
        }
        Ok(Some(concat_batches(self.shape.state(), &states)?))
    }

    /// Returns the windows that are on disk and for which `is_wanted` holds, as a checkpoint names
    /// them.
    pub(crate) fn named(&self, is_wanted: &dyn Fn(Start) -> bool) -> Vec<NamedWindow> {
        let wanted = self.on_disk.iter().filter(|(start, _)| is_wanted(**start));
        let named = wanted.map(|(start, it)| NamedWindow {
            start: *start,
            since: it.since,
            files: it.files.iter().map(|it| it.named()).collect(),
        });
        named.collect()
    }

    /// Takes groups of a window over that are on disk.
    pub(crate) fn attach(&mut self, start: Start, since: Epoch, files: Vec<Arc<Spilled>>) {
        self.on_disk.insert(start, OnDisk { files, since });
    }

    /// Takes over what another operator of the same functions has on disk.
    pub(crate) fn attach_all(&mut self, other: &mut Operator) {
        self.on_disk.append(&mut other.on_disk);
    }
}
