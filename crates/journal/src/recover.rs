//! Opening: what was acknowledged is found again, what was not is cut off, damage is refused.
//!
//! Each commit is synced before the next one is written, and says where the one before ended. So
//! the commits form a chain, only the last one can be torn, and a later commit is the proof that
//! what is before it was synced:
//!
//! 1. Follow the chain from the oldest segment, commit by commit, while all of a commit is whole.
//! 2. Where it breaks, at P, look through everything behind P for whole commit frames. If one of
//!    them says that the synced end lies beyond P, then what is at P was acknowledged once and is
//!    damaged: refuse. That other good frames follow proves nothing.
//! 3. Else P begins a commit that was never acknowledged: zero it, and sync.
//! 4. Write the last whole commit once more and sync it: it may be in the cache only.

use std::io::IoSlice;
use std::sync::Arc;

use base::ShardId;

use crate::Error;
use crate::format::{
    ALIGNMENT, CommitMark, FrameKind, HEADER_BYTES, Header, Position, SEGMENT_START, is_magic,
};
use crate::keys::{KeyFrame, Keys};
use crate::manifest::Manifest;
use crate::segment::{Segment, Window};
use crate::settings::StreamId;
use crate::shared::Streams;
use crate::stream::FrameNote;

/// Zeros are written, and looked through, in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;

/// A run of zeros is skipped by comparing this much at once.
const BLOCK_BYTES: usize = 4 << 10;

/// What the segments hold.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// With records, oldest first; the last is the one to write on.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// Made ready before the crash, never committed to.
    pub(crate) unused: Vec<Arc<Segment>>,
    /// Where to write on in the last segment.
    pub(crate) offset: u64,
    /// The end of the last commit.
    pub(crate) synced: Position,
    /// The number of the last commit.
    pub(crate) commit: u64,
    pub(crate) arrived_ms: u64,
    /// When the oldest record of the last segment arrived.
    pub(crate) segment_first_ms: Option<u64>,
}

/// One commit found whole.
struct Group {
    mark: CommitMark,
    end: u64,
    frames: Vec<(u64, Header)>,
    keys: Vec<KeyFrame>,
}

/// The chain of commits as far as it was followed.
struct Walk<'a> {
    streams: &'a Streams,
    /// Streams before this id that are not there were deleted.
    stream_next: u32,
    keys: &'a mut Keys,
    synced: Position,
    commit: u64,
    arrived_ms: u64,
    segment_first_ms: Option<u64>,
    /// Where the last whole commit begins in its segment.
    last_start: u64,
}

/// Follows the commits through `segments`, oldest first, fills `streams` and `keys` with what they
/// hold, and cuts what was not acknowledged.
pub(crate) fn recover(
    manifest: &Manifest,
    mut segments: Vec<Arc<Segment>>,
    streams: &Streams,
    keys: &mut Keys,
) -> Result<Recovered, Error> {
    let arrived = manifest.streams.iter().flat_map(|it| &it.shards).map(|it| it.arrived_ms);
    let mut walk = Walk {
        streams,
        stream_next: manifest.stream_next,
        keys,
        synced: Position {
            generation: manifest.generation_first.saturating_sub(1),
            offset: manifest.commit_end,
        },
        commit: manifest.commit,
        arrived_ms: arrived.max().unwrap_or(0),
        segment_first_ms: None,
        last_start: SEGMENT_START,
    };
    let mut count = 0;
    let mut bad_at = Vec::new();
    for segment in &segments {
        let before = walk.synced;
        bad_at.push(walk.follow(segment)?);
        // The first segment is written on even if it is empty; another one must go on the chain.
        if walk.synced == before && 0 < count {
            break;
        }
        count += 1;
    }
    let unused = segments.split_off(count.min(segments.len()));
    let (current, offset) = match segments.last() {
        Some(last) if last.generation == walk.synced.generation => (last, walk.synced.offset),
        Some(last) => (last, SEGMENT_START),
        None => unreachable!("a journal has a segment before it is recovered"),
    };
    let remains = look_behind(current, offset, &unused)?;
    remains.refuse_damage(walk.synced, current, &unused, bad_at.get(count.max(1) - 1..))?;
    for (segment, dirty) in std::iter::once(current).chain(&unused).zip(&remains.dirty) {
        let start = if Arc::ptr_eq(segment, current) { offset } else { SEGMENT_START };
        if start < *dirty {
            tracing::info!(
                file = %segment.path.display(),
                offset = start,
                bytes = dirty - start,
                "cut off a commit that was never acknowledged"
            );
            zero(segment, start, *dirty)?;
        }
    }
    if SEGMENT_START < offset {
        rewrite(current, walk.last_start, offset)?;
    }
    Ok(Recovered {
        offset,
        synced: walk.synced,
        commit: walk.commit,
        arrived_ms: walk.arrived_ms,
        segment_first_ms: walk.segment_first_ms,
        segments,
        unused,
    })
}

impl Walk<'_> {
    /// Follows the chain through one segment; returns where its first bad frame is.
    fn follow(&mut self, segment: &Arc<Segment>) -> Result<u64, Error> {
        let mut window = segment.window(segment.bytes);
        let mut start = SEGMENT_START;
        loop {
            let group = match read_group(&mut window, segment, start)? {
                Ok(group) => group,
                Err(bad_at) => return Ok(bad_at),
            };
            let follows = group.mark.synced == self.synced && group.mark.number == self.commit + 1;
            if !follows {
                return Ok(start);
            }
            if start == SEGMENT_START {
                self.segment_first_ms = None;
            }
            self.take(segment, &group)?;
            self.last_start = start;
            self.commit = group.mark.number;
            self.synced = Position { generation: segment.generation, offset: group.end };
            segment.set_end(group.end);
            start = group.end;
        }
    }

    fn take(&mut self, segment: &Arc<Segment>, group: &Group) -> Result<(), Error> {
        for (offset, header) in &group.frames {
            let damaged =
                |what: String| Error::Damaged { file: segment.path.clone(), offset: *offset, what };
            let arrived_ms = header.arrived_last_ms;
            self.arrived_ms = self.arrived_ms.max(arrived_ms);
            self.segment_first_ms.get_or_insert(arrived_ms);
            let stream = self.streams.get(StreamId(header.stream));
            if stream.is_err() && header.stream < self.stream_next {
                continue; // It was deleted.
            }
            let stream = stream.map_err(|error| damaged(error.to_string()))?;
            let shard = stream.shard(ShardId(header.shard));
            let shard = shard.map_err(|error| damaged(error.to_string()))?;
            let mut state = shard.state.write();
            if state.next != header.base || header.base.checked_add(header.count.into()).is_none() {
                let (name, next) = (&stream.name, state.next);
                let what = format!("record {next} of {name:?} is missing before {}", header.base);
                return Err(damaged(what));
            }
            let bytes = header.frame_bytes();
            let note = FrameNote { base: header.base, count: header.count, arrived_ms, bytes };
            state.add_live(segment, *offset, &note);
        }
        for frame in &group.keys {
            self.keys.insert(frame.stream, frame.key.clone(), frame.done.clone());
        }
        Ok(())
    }
}

/// Reads the commit that begins at `start`; the inner error is the place of its first bad frame.
fn read_group(
    window: &mut Window<'_>,
    segment: &Segment,
    start: u64,
) -> Result<Result<Group, u64>, Error> {
    let mut offset = start;
    let mut found = CommitMark { number: 0, synced: Position::default(), frames: 0, frames_crc: 0 };
    let mut numbers = None;
    let mut frames = Vec::new();
    let mut keys = Vec::new();
    loop {
        let Some(bytes) = window.bytes(offset, HEADER_BYTES as u64)? else {
            return Ok(Err(offset));
        };
        let Some(header) = Header::decode(&bytes, segment.salt) else { return Ok(Err(offset)) };
        if *numbers.get_or_insert(header.commit) != header.commit {
            return Ok(Err(offset));
        }
        if let Some(mark) = CommitMark::of_header(&header) {
            let is_whole = (mark.frames, mark.frames_crc) == (found.frames, found.frames_crc);
            let end = offset + header.frame_bytes();
            return Ok(if is_whole { Ok(Group { mark, end, frames, keys }) } else { Err(start) });
        }
        let body_at = offset + HEADER_BYTES as u64;
        let body = window.bytes(body_at, u64::from(header.body_length))?;
        let body = body.filter(|it| crc32c::crc32c(it) == header.body_crc);
        let Some(body) = body else { return Ok(Err(offset)) };
        match header.kind {
            FrameKind::Data => frames.push((offset, header)),
            FrameKind::Key => match KeyFrame::decode(&header, &body) {
                Some(frame) => keys.push(frame),
                None => return Ok(Err(offset)),
            },
            FrameKind::Commit | FrameKind::Block | FrameKind::Index | FrameKind::End => {
                return Ok(Err(offset));
            }
        }
        found.add(&bytes);
        offset += header.frame_bytes();
    }
}

/// What lies behind the end of the chain.
struct Remains {
    /// Per segment, the one written on first: the end of the last header that is still valid.
    dirty: Vec<u64>,
    /// The synced ends that whole commit frames of later segments tell of first, and all at most.
    next_synced: Option<Position>,
    synced: Position,
}

fn look_behind(
    current: &Arc<Segment>,
    offset: u64,
    unused: &[Arc<Segment>],
) -> Result<Remains, Error> {
    let synced = Position::default();
    let mut remains = Remains { dirty: Vec::new(), next_synced: None, synced };
    let mut start = offset;
    for segment in std::iter::once(current).chain(unused) {
        let mut dirty = 0;
        scan(segment, start, |at, header| {
            dirty = (at + header.frame_bytes()).min(segment.bytes);
            if let Some(mark) = CommitMark::of_header(header) {
                remains.synced = remains.synced.max(mark.synced);
                if !Arc::ptr_eq(segment, current) {
                    remains.next_synced.get_or_insert(mark.synced);
                }
            }
        })?;
        remains.dirty.push(dirty);
        start = SEGMENT_START;
    }
    Ok(remains)
}

impl Remains {
    /// Refuses to go on if something behind `synced` was synced once.
    fn refuse_damage(
        &self,
        synced: Position,
        current: &Segment,
        unused: &[Arc<Segment>],
        bad_at: Option<&[u64]>,
    ) -> Result<(), Error> {
        if self.synced <= synced {
            return Ok(());
        }
        // If the next segment's first commit says that it follows the chain, or begins well and
        // breaks off, then the chain is whole up to there and the damage is in that commit.
        let bad_at = |index: usize| bad_at.and_then(|it| it.get(index)).copied();
        let is_here = self.dirty.first().is_some_and(|it| 0 < *it);
        let is_next = self.next_synced == Some(synced)
            || (!is_here && bad_at(1).is_some_and(|it| SEGMENT_START < it));
        let (segment, index) = match unused.first() {
            Some(next) if is_next => (next.as_ref(), 1),
            _ => (current, 0),
        };
        let offset = bad_at(index).unwrap_or(SEGMENT_START);
        Err(Error::Damaged {
            file: segment.path.clone(),
            offset,
            what: "acknowledged records cannot be read; restore the file from a copy, or move \
                   the journal away to go on without its records"
                .to_owned(),
        })
    }
}

/// Calls `found` for each header of this segment's generation at or behind `start`.
fn scan(segment: &Segment, start: u64, mut found: impl FnMut(u64, &Header)) -> Result<(), Error> {
    let zeros = [0; BLOCK_BYTES];
    let mut window = segment.window(segment.bytes);
    let mut offset = start.next_multiple_of(ALIGNMENT as u64);
    loop {
        offset = window.skip_hole(offset)? / ALIGNMENT as u64 * ALIGNMENT as u64;
        offset = offset.max(start);
        let length = (segment.bytes.saturating_sub(offset)).min(PIECE_BYTES as u64);
        if length < HEADER_BYTES as u64 {
            return Ok(());
        }
        let Some(piece) = window.bytes(offset, length)? else { return Ok(()) };
        let mut at = 0;
        while at + HEADER_BYTES <= piece.len() {
            let rest = piece.get(at..).unwrap_or_default();
            if rest.get(..BLOCK_BYTES) == Some(&zeros) {
                at += BLOCK_BYTES;
                continue;
            }
            if is_magic(rest)
                && let Some(header) = Header::decode(rest, segment.salt)
            {
                found(offset + at as u64, &header);
            }
            at += ALIGNMENT;
        }
        offset += at as u64;
    }
}

fn zero(segment: &Segment, start: u64, end: u64) -> Result<(), Error> {
    let zeros = vec![0; PIECE_BYTES];
    let of_io = |error: std::io::Error| Error::of_io(&segment.path, &error);
    let mut offset = start;
    while offset < end {
        let length = usize::try_from(end - offset).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let piece = IoSlice::new(zeros.get(..length).unwrap_or_default());
        segment.file.write_at(offset, &[piece]).map_err(of_io)?;
        offset += length as u64;
    }
    segment.file.sync().map_err(of_io)
}

/// Writes the bytes that are there once more, so that the sync after it is about them: a sync
/// that failed before the restart may have left them in the cache, marked as written.
fn rewrite(segment: &Segment, start: u64, end: u64) -> Result<(), Error> {
    let of_io = |error: std::io::Error| Error::of_io(&segment.path, &error);
    let mut window = segment.window(end);
    let bytes = window.bytes(start, end - start)?.unwrap_or_default();
    segment.file.write_at(start, &[IoSlice::new(&bytes)]).map_err(of_io)?;
    segment.file.sync().map_err(of_io)
}

#[cfg(test)]
mod tests;
