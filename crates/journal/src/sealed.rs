//! Sealed files: the records of one stream out of one segment, compressed, with an index.
//!
//! Blocks, sorted by shard and sequence, then the index, then the end frame. A block's content is a
//! list of runs, each `u64 arrival | u32 count | u32 length | payload`: records that stood behind
//! each other and arrived together.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::ShardId;
use bytes::Bytes;

use crate::Error;
use crate::disk::{Disk, DiskFile};
use crate::format::{ALIGNMENT, FrameKind, HEADER_BYTES, Header, In, frame_bytes, salt_of};
use crate::record::{Frame, is_payload};
use crate::settings::StreamId;

/// A block is closed at this size: large enough to compress well, small enough that a reader who
/// wants one record does not unpack much.
const BLOCK_BYTES_TARGET: usize = 256 << 10;

/// More than any block has: one frame at most is added to a block that is not full yet.
const BLOCK_BYTES_MAX: u64 = 64 << 20;

const RUN_HEADER_BYTES: usize = 16;
const CODEC_NONE: u8 = 0;
const CODEC_LZ4: u8 = 1;

/// An open sealed file; its index is in memory.
#[derive(Debug)]
pub(crate) struct SealedFile {
    pub(crate) stream: StreamId,
    pub(crate) generation: u64,
    pub(crate) bytes: u64,
    pub(crate) path: PathBuf,
    file: Arc<dyn DiskFile>,
    /// Sorted by shard and sequence.
    blocks: Vec<Block>,
}

/// Where a block is and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) shard: u32,
    pub(crate) count: u32,
    pub(crate) base: u64,
    pub(crate) arrived_first_ms: u64,
    pub(crate) arrived_last_ms: u64,
    offset: u64,
    body_length: u32,
}

/// Bytes of a block's entry in the index.
const ENTRY_BYTES: u64 = 44;

impl Block {
    pub(crate) fn end(&self) -> u64 {
        self.base + u64::from(self.count)
    }
}

/// Returns the name of a sealed file.
pub(crate) fn sealed_name(stream: StreamId, generation: u64) -> String {
    format!("{:08}-{generation:016}.sealed", stream.0)
}

fn salt(stream: StreamId, generation: u64) -> u32 {
    salt_of(u64::from(stream.0) | 1 << 63, generation)
}

impl SealedFile {
    /// Opens a sealed file and reads its index; anything but what was written is damage.
    pub(crate) fn open(
        disk: &dyn Disk,
        path: &Path,
        stream: StreamId,
        generation: u64,
    ) -> Result<SealedFile, Error> {
        let of_io = |error: std::io::Error| Error::of_io(path, &error);
        let file = disk.open(path).map_err(of_io)?;
        let bytes = file.length().map_err(of_io)?;
        let salt = salt(stream, generation);
        let damaged = |offset: u64, what: &str| Error::Damaged {
            file: path.to_path_buf(),
            offset,
            what: what.to_owned(),
        };
        let end_at = bytes.saturating_sub(HEADER_BYTES as u64);
        let end = read_header(file.as_ref(), path, end_at, salt)?;
        let end = end.filter(|it| it.kind == FrameKind::End);
        let index_at = end.ok_or_else(|| damaged(end_at, "no end of a sealed file"))?.base;
        let index = read_header(file.as_ref(), path, index_at, salt)?;
        let index = index.filter(|it| it.kind == FrameKind::Index);
        let index = index.filter(|it| index_at.checked_add(it.frame_bytes()) == Some(end_at));
        let index = index.ok_or_else(|| damaged(index_at, "no index of a sealed file"))?;
        let body = read_body(file.as_ref(), path, index_at, &index)?;
        let blocks = body.and_then(|body| decode_index(&body, &index, index_at));
        let blocks = blocks.ok_or_else(|| damaged(index_at, "the index does not add up"))?;
        Ok(SealedFile { stream, generation, bytes, path: path.to_path_buf(), file, blocks })
    }

    /// Returns the blocks of one shard, in order.
    pub(crate) fn blocks_of(&self, shard: ShardId) -> &[Block] {
        let start = self.blocks.partition_point(|it| it.shard < shard.0);
        let end = self.blocks.partition_point(|it| it.shard <= shard.0);
        self.blocks.get(start..end).unwrap_or_default()
    }

    /// Returns for each shard that has records here: its id, the first record, the one after the
    /// last.
    pub(crate) fn ranges(&self) -> Vec<(ShardId, u64, u64)> {
        let of = |blocks: &[Block]| {
            let (first, last) = (blocks.first()?, blocks.last()?);
            Some((ShardId(first.shard), first.base, last.end()))
        };
        self.blocks.chunk_by(|one, other| one.shard == other.shard).filter_map(of).collect()
    }

    /// Returns when the newest record here arrived.
    pub(crate) fn arrived_last_ms(&self) -> u64 {
        self.blocks.iter().map(|it| it.arrived_last_ms).max().unwrap_or(0)
    }

    pub(crate) fn shard_bytes(&self, shard: ShardId) -> u64 {
        self.blocks_of(shard).iter().map(|it| frame_bytes(u64::from(it.body_length))).sum()
    }

    /// Reads and unpacks a block.
    pub(crate) fn read(&self, block: &Block) -> Result<Vec<Frame>, Error> {
        let damaged = |what: &str| Error::Damaged {
            file: self.path.clone(),
            offset: block.offset,
            what: what.to_owned(),
        };
        let salt = salt(self.stream, self.generation);
        let header = read_header(self.file.as_ref(), &self.path, block.offset, salt)?;
        let header = header.filter(|it| it.kind == FrameKind::Block && block.matches(it));
        let header = header.ok_or_else(|| damaged("not the block the index names"))?;
        let body = read_body(self.file.as_ref(), &self.path, block.offset, &header)?;
        let body = body.ok_or_else(|| damaged("the checksum of a block does not match"))?;
        decode_block(&header, body).ok_or_else(|| damaged("a block does not unpack"))
    }
}

impl Block {
    fn matches(&self, header: &Header) -> bool {
        let told = (header.shard, header.base, header.count, header.body_length);
        told == (self.shard, self.base, self.count, self.body_length)
    }
}

fn read_header(
    file: &dyn DiskFile,
    path: &Path,
    offset: u64,
    salt: u32,
) -> Result<Option<Header>, Error> {
    let mut bytes = [0; HEADER_BYTES];
    let read = file.read_at(offset, &mut bytes).map_err(|error| Error::of_io(path, &error))?;
    Ok(Header::decode(bytes.get(..read).unwrap_or_default(), salt))
}

/// Reads the body of the frame at `offset`; `None` if it is not what the header says.
fn read_body(
    file: &dyn DiskFile,
    path: &Path,
    offset: u64,
    header: &Header,
) -> Result<Option<Vec<u8>>, Error> {
    let of_io = |error: std::io::Error| Error::of_io(path, &error);
    let start = offset + HEADER_BYTES as u64;
    let ends_before = start.checked_add(u64::from(header.body_length));
    if ends_before.is_none_or(|end| file.length().is_ok_and(|length| length < end)) {
        return Ok(None);
    }
    let mut body = vec![0; header.body_length as usize];
    let read = file.read_at(start, &mut body).map_err(of_io)?;
    let is_whole = read == body.len() && crc32c::crc32c(&body) == header.body_crc;
    Ok(is_whole.then_some(body))
}

fn decode_index(body: &[u8], header: &Header, index_at: u64) -> Option<Vec<Block>> {
    if u64::from(header.count) * ENTRY_BYTES != body.len() as u64 {
        return None;
    }
    let mut fields = In::new(body);
    let mut blocks: Vec<Block> = Vec::new();
    for _ in 0..header.count {
        let block = Block {
            shard: fields.u32()?,
            count: fields.u32()?,
            base: fields.u64()?,
            arrived_first_ms: fields.u64()?,
            arrived_last_ms: fields.u64()?,
            offset: fields.u64()?,
            body_length: fields.u32()?,
        };
        block.base.checked_add(u64::from(block.count))?;
        let follows = blocks.last().is_none_or(|last| {
            last.shard < block.shard || (last.shard == block.shard && last.end() == block.base)
        });
        if !follows || block.count == 0 || index_at <= block.offset {
            return None;
        }
        blocks.push(block);
    }
    Some(blocks)
}

/// Unpacks a block whose checksums match.
fn decode_block(header: &Header, body: Vec<u8>) -> Option<Vec<Frame>> {
    let raw = match header.codec {
        CODEC_NONE => Bytes::from(body),
        CODEC_LZ4 => {
            let length = usize::try_from(header.commit).ok()?;
            if BLOCK_BYTES_MAX < header.commit {
                return None;
            }
            Bytes::from(lz4_flex::block::decompress(&body, length).ok()?)
        }
        _ => return None,
    };
    let mut frames = Vec::new();
    let mut base = header.base;
    let mut at = 0;
    while at < raw.len() {
        let mut fields = In::new(raw.get(at..)?);
        let (arrived_ms, count, length) = (fields.u64()?, fields.u32()?, fields.u32()?);
        let start = at + RUN_HEADER_BYTES;
        let end = start.checked_add(length as usize)?;
        if !is_payload(raw.get(start..end)?, count) {
            return None;
        }
        frames.push(Frame { base, count, arrived_ms, payload: raw.slice(start..end) });
        base = base.checked_add(u64::from(count))?;
        at = end;
    }
    (base == header.base.checked_add(u64::from(header.count))?).then_some(frames)
}

/// Writes a sealed file front to back.
pub(crate) struct SealedWriter {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    salt: u32,
    stream: StreamId,
    offset: u64,
    blocks: Vec<Block>,
    open: Vec<u8>,
    /// Where the last run of the open block begins, and its arrival.
    run: Option<(usize, u64)>,
    /// The open block's shard, first record, first arrival, last arrival and count.
    about: Header,
}

impl SealedWriter {
    pub(crate) fn create(
        disk: &dyn Disk,
        path: &Path,
        stream: StreamId,
        generation: u64,
    ) -> Result<SealedWriter, Error> {
        let file = disk.create(path).map_err(|error| Error::of_io(path, &error))?;
        Ok(SealedWriter {
            file,
            path: path.to_path_buf(),
            salt: salt(stream, generation),
            stream,
            offset: 0,
            blocks: Vec::new(),
            open: Vec::new(),
            run: None,
            about: Header::of(FrameKind::Block),
        })
    }

    /// Adds the next frame of a shard; shards come in order.
    pub(crate) fn add(&mut self, shard: ShardId, frame: &Frame) -> Result<(), Error> {
        let is_full = BLOCK_BYTES_TARGET < self.open.len() + frame.payload.len();
        let is_next = self.about.shard == shard.0
            && self.about.base + u64::from(self.about.count) == frame.base;
        if is_full || !is_next {
            self.close_block()?;
        }
        if self.open.is_empty() {
            self.about = Header {
                stream: self.stream.0,
                shard: shard.0,
                base: frame.base,
                arrived_first_ms: frame.arrived_ms,
                ..Header::of(FrameKind::Block)
            };
        }
        let same = self.run.filter(|(_, arrived_ms)| *arrived_ms == frame.arrived_ms);
        let start = match same {
            Some((start, _)) => start,
            None => {
                let start = self.open.len();
                self.open.extend_from_slice(&frame.arrived_ms.to_le_bytes());
                self.open.extend_from_slice(&[0; 8]);
                start
            }
        };
        self.run = Some((start, frame.arrived_ms));
        self.open.extend_from_slice(&frame.payload);
        self.grow_run(start, frame.count);
        self.about.count += frame.count;
        self.about.arrived_last_ms = frame.arrived_ms;
        Ok(())
    }

    fn grow_run(&mut self, start: usize, count: u32) {
        let length = self.open.len() - start - RUN_HEADER_BYTES;
        let length = u32::try_from(length).expect("a block is closed long before");
        let header = self.open.get_mut(start..).and_then(|run| run.first_chunk_mut());
        let header: &mut [u8; RUN_HEADER_BYTES] = header.expect("the run has its header");
        let [.., a, b, c, d, _, _, _, _] = *header;
        let count = u32::from_le_bytes([a, b, c, d]) + count;
        let (_, fields) = header.split_at_mut(8);
        let (count_field, length_field) = fields.split_at_mut(4);
        count_field.copy_from_slice(&count.to_le_bytes());
        length_field.copy_from_slice(&length.to_le_bytes());
    }

    fn close_block(&mut self) -> Result<(), Error> {
        if self.open.is_empty() {
            return Ok(());
        }
        let raw = std::mem::take(&mut self.open);
        self.run = None;
        let packed = lz4_flex::block::compress(&raw);
        let (codec, body) =
            if packed.len() < raw.len() { (CODEC_LZ4, &packed) } else { (CODEC_NONE, &raw) };
        let header = Header { codec, commit: raw.len() as u64, ..self.about };
        self.blocks.push(Block {
            shard: header.shard,
            count: header.count,
            base: header.base,
            arrived_first_ms: header.arrived_first_ms,
            arrived_last_ms: header.arrived_last_ms,
            offset: self.offset,
            body_length: u32::try_from(body.len()).expect("a block is closed long before"),
        });
        self.write_frame(header, body)
    }

    fn write_frame(&mut self, header: Header, body: &[u8]) -> Result<(), Error> {
        let header = Header {
            body_length: u32::try_from(body.len()).expect("blocks and indexes are small"),
            body_crc: crc32c::crc32c(body),
            ..header
        };
        let padding = body.len().next_multiple_of(ALIGNMENT) - body.len();
        let zeros = [0; ALIGNMENT];
        let encoded = header.encode(self.salt);
        let padding = IoSlice::new(zeros.get(..padding).unwrap_or_default());
        let parts = [IoSlice::new(&encoded), IoSlice::new(body), padding];
        let written = self.file.write_at(self.offset, &parts);
        written.map_err(|error| Error::of_io(&self.path, &error))?;
        self.offset += header.frame_bytes();
        Ok(())
    }

    /// Writes index and end and makes the file durable; its name is the caller's matter.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        self.close_block()?;
        let mut index = Vec::new();
        for block in &self.blocks {
            index.extend_from_slice(&block.shard.to_le_bytes());
            index.extend_from_slice(&block.count.to_le_bytes());
            index.extend_from_slice(&block.base.to_le_bytes());
            index.extend_from_slice(&block.arrived_first_ms.to_le_bytes());
            index.extend_from_slice(&block.arrived_last_ms.to_le_bytes());
            index.extend_from_slice(&block.offset.to_le_bytes());
            index.extend_from_slice(&block.body_length.to_le_bytes());
        }
        let index_at = self.offset;
        let count = u32::try_from(self.blocks.len()).expect("a segment has fewer blocks");
        self.write_frame(Header { count, ..Header::of(FrameKind::Index) }, &index)?;
        self.write_frame(Header { base: index_at, ..Header::of(FrameKind::End) }, &[])?;
        self.file.sync().map_err(|error| Error::of_io(&self.path, &error))
    }
}

#[cfg(test)]
mod tests;
