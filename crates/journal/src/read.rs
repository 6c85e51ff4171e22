//! Reading: from memory for who keeps up, else from segments, else from sealed files.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::{SequenceNumber, ShardId};

use crate::Error;
use crate::format::{FrameKind, HEADER_BYTES, Header};
use crate::record::{Frame, Frames, is_payload};
use crate::sealed::SealedFile;
use crate::segment::Segment;
use crate::shared::Shared;
use crate::stream::{Shard, ShardState, Stream};

/// Frames taken from memory while the shard is locked, so that the writer never waits long.
const TAIL_FRAMES_MAX: usize = 1_024;

/// Bytes read at a time while looking for a moment.
const SEARCH_BYTES: usize = 1 << 20;

/// Where the records to read are.
enum Source {
    Memory(Vec<Frame>),
    Segment { segment: Arc<Segment>, offset: u64 },
    Sealed(Arc<SealedFile>),
}

/// Reads committed records of a shard from `from` on.
pub(crate) fn read(
    shared: &Shared,
    stream: &Stream,
    shard: ShardId,
    from: u64,
    bytes_max: usize,
) -> Result<Frames, Error> {
    let kept = stream.shard(shard)?;
    let source = {
        let state = kept.state.read();
        if from < state.first {
            return Err(Error::Expired { shard, first: SequenceNumber(state.first) });
        }
        if state.next <= from {
            return Ok(Frames::empty(shard, from));
        }
        state.locate(from, bytes_max)
    };
    let frames = match source {
        Source::Memory(frames) => frames,
        Source::Segment { segment, offset } => {
            let mut walk = SegmentWalk { shared, stream, shard, from, bytes_max };
            walk.read(&segment, offset)?
        }
        Source::Sealed(file) => read_sealed(shared, &file, shard, from, bytes_max)?,
    };
    let found = frames.first().is_some_and(|it| it.base <= from && from < it.end());
    assert!(found, "the index says where each record is");
    Ok(Frames { shard, from, frames })
}

impl ShardState {
    fn locate(&self, from: u64, bytes_max: usize) -> Source {
        if self.tail.front().is_some_and(|oldest| oldest.base <= from) {
            let start = self.tail.partition_point(|it| it.end() <= from);
            let mut bytes = 0;
            let mut frames = Vec::new();
            for frame in self.tail.range(start..).take(TAIL_FRAMES_MAX) {
                if !frames.is_empty() && bytes_max < bytes + frame.payload.len() {
                    break;
                }
                bytes += frame.payload.len();
                frames.push(frame.clone());
            }
            return Source::Memory(frames);
        }
        let sealed = self.sealed.partition_point(|it| it.end <= from);
        if let Some(range) = self.sealed.get(sealed) {
            return Source::Sealed(Arc::clone(&range.file));
        }
        let live = self.live.partition_point(|it| it.end <= from);
        let range = self.live.get(live).expect("a shard's ranges reach up to `next`");
        let after = range.points.partition_point(|it| it.base <= from);
        let point = after.checked_sub(1).and_then(|index| range.points.get(index));
        let offset = point.expect("a range begins with a point").offset;
        Source::Segment { segment: Arc::clone(&range.segment), offset }
    }

    /// Returns a record that arrived before `arrived_ms` with none far behind it that did, or the
    /// first one.
    fn before(&self, shard: ShardId, arrived_ms: u64) -> u64 {
        let live = self.live.iter().flat_map(|it| &it.points);
        let in_live = live.take_while(|it| it.arrived_ms < arrived_ms).last().map(|it| it.base);
        let is_before = |range: &&crate::stream::SealedRange| {
            let first = range.file.blocks_of(shard).first();
            first.is_some_and(|block| block.arrived_first_ms < arrived_ms)
        };
        let in_sealed = || {
            let range = self.sealed.iter().take_while(is_before).last()?;
            let blocks = range.file.blocks_of(shard);
            let after = blocks.partition_point(|it| it.arrived_first_ms < arrived_ms);
            Some(blocks.get(after.checked_sub(1)?)?.base)
        };
        in_live.or_else(in_sealed).unwrap_or(self.first).max(self.first)
    }
}

/// What is looked for in a segment.
struct SegmentWalk<'a> {
    shared: &'a Shared,
    stream: &'a Stream,
    shard: ShardId,
    from: u64,
    bytes_max: usize,
}

impl SegmentWalk<'_> {
    /// Walks the frames from `offset` on and keeps those of the shard.
    fn read(&mut self, segment: &Segment, mut offset: u64) -> Result<Vec<Frame>, Error> {
        let end = segment.end();
        let mut window = segment.window(end);
        let mut frames: Vec<Frame> = Vec::new();
        let mut bytes = 0;
        let damaged = |offset: u64, what: &str| Error::Damaged {
            file: segment.path.clone(),
            offset,
            what: what.to_owned(),
        };
        while offset < end {
            let header = window.bytes(offset, HEADER_BYTES as u64)?;
            let header = header.and_then(|it| Header::decode(&it, segment.salt));
            let header = header.ok_or_else(|| damaged(offset, "not a frame of this segment"))?;
            if self.is_wanted(&header) {
                let length = u64::from(header.body_length);
                if !frames.is_empty() && (self.bytes_max as u64) < bytes + length {
                    break;
                }
                let body = window.bytes(offset + HEADER_BYTES as u64, length)?;
                let body = body.filter(|it| crc32c::crc32c(it) == header.body_crc);
                let body = body.filter(|it| is_payload(it, header.count));
                let payload =
                    body.ok_or_else(|| damaged(offset, "the checksum of records does not match"))?;
                bytes += length;
                frames.push(Frame {
                    base: header.base,
                    count: header.count,
                    arrived_ms: header.arrived_first_ms,
                    payload,
                });
            }
            offset += header.frame_bytes();
        }
        let counter = &self.shared.counters.disk_read_bytes;
        counter.fetch_add(window.read_bytes, Ordering::Relaxed);
        Ok(frames)
    }

    fn is_wanted(&self, header: &Header) -> bool {
        header.kind == FrameKind::Data
            && header.stream == self.stream.id.0
            && header.shard == self.shard.0
            && self.from < header.base.saturating_add(u64::from(header.count))
    }
}

fn read_sealed(
    shared: &Shared,
    file: &SealedFile,
    shard: ShardId,
    from: u64,
    bytes_max: usize,
) -> Result<Vec<Frame>, Error> {
    let blocks = file.blocks_of(shard);
    let start = blocks.partition_point(|it| it.end() <= from);
    let mut frames: Vec<Frame> = Vec::new();
    let mut bytes = 0;
    for block in blocks.get(start..).unwrap_or_default() {
        if !frames.is_empty() && bytes_max <= bytes {
            break;
        }
        let unpacked = file.read(block)?;
        let unpacked = unpacked.into_iter().filter(|it| from < it.end());
        for frame in unpacked {
            bytes += frame.payload.len();
            frames.push(frame);
        }
    }
    shared.counters.disk_read_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    Ok(frames)
}

/// Returns the place of the first record that arrived at or after `arrived_ms`, or the next.
pub(crate) fn find_time(
    shared: &Shared,
    stream: &Stream,
    shard: &Shard,
    arrived_ms: u64,
) -> Result<SequenceNumber, Error> {
    let mut from = {
        let state = shard.state.read();
        if state.arrived_ms < arrived_ms {
            return Ok(SequenceNumber(state.next));
        }
        state.before(shard.id, arrived_ms)
    };
    loop {
        let frames = match read(shared, stream, shard.id, from, SEARCH_BYTES) {
            Err(Error::Expired { first, .. }) => {
                from = first.0;
                continue;
            }
            read => read?,
        };
        let found = frames.frames.iter().find(|it| arrived_ms <= it.arrived_ms);
        if let Some(frame) = found {
            return Ok(SequenceNumber(frame.base.max(from)));
        }
        if frames.is_empty() {
            return Ok(SequenceNumber(from));
        }
        from = frames.end().0;
    }
}
