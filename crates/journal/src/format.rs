//! The bytes on disk: docs/formats/journal.md says the same in words.
//!
//! Everything is a frame: a header of 64 bytes and a body, padded to 16. Numbers are little-endian.
//! The header's checksum is salted with the segment's generation and a random number, so that a
//! frame left over from an earlier life of a recycled segment is never taken for a new one, and so
//! that no producer can smuggle a header into the journal inside a record.

/// Bytes of a frame's header.
pub(crate) const HEADER_BYTES: usize = 64;

/// Where the first frame of a segment begins: behind the segment's header.
pub(crate) const SEGMENT_START: u64 = 64;

/// Frames begin at multiples of this, so that a scan need not look at every byte.
pub(crate) const ALIGNMENT: usize = 16;

const FRAME_MAGIC: [u8; 4] = *b"MsF1";
const SEGMENT_MAGIC: [u8; 4] = *b"MsS1";

/// The version of this layout; another one is refused.
const VERSION: u8 = 1;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// Records of one shard, in a segment.
    Data,
    /// The end of a commit, in a segment.
    Commit,
    /// An idempotency key and the places it answers.
    Key,
    /// Records of one shard, in a sealed file.
    Block,
    /// The list of a sealed file's blocks.
    Index,
    /// The last frame of a file: says where the index is.
    End,
}

/// The header of a frame. What a field means for each kind is in docs/formats/journal.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: FrameKind,
    pub(crate) codec: u8,
    pub(crate) stream: u32,
    pub(crate) shard: u32,
    pub(crate) count: u32,
    pub(crate) body_length: u32,
    pub(crate) body_crc: u32,
    pub(crate) base: u64,
    pub(crate) arrived_first_ms: u64,
    pub(crate) arrived_last_ms: u64,
    pub(crate) commit: u64,
}

impl Header {
    /// Makes a header with nothing in it.
    pub(crate) fn of(kind: FrameKind) -> Header {
        Header {
            kind,
            codec: 0,
            stream: 0,
            shard: 0,
            count: 0,
            body_length: 0,
            body_crc: 0,
            base: 0,
            arrived_first_ms: 0,
            arrived_last_ms: 0,
            commit: 0,
        }
    }

    /// Returns the header's bytes, its checksum in them.
    pub(crate) fn encode(&self, salt: u32) -> [u8; HEADER_BYTES] {
        let kind = match self.kind {
            FrameKind::Data => 1,
            FrameKind::Commit => 2,
            FrameKind::Key => 3,
            FrameKind::Block => 4,
            FrameKind::Index => 5,
            FrameKind::End => 6,
        };
        let mut out = Out::new(FRAME_MAGIC);
        out.put(&[kind, self.codec, VERSION, 0]);
        for number in [self.stream, self.shard, self.count, self.body_length, self.body_crc] {
            out.put(&number.to_le_bytes());
        }
        let numbers = [self.base, self.arrived_first_ms, self.arrived_last_ms, self.commit];
        for number in numbers {
            out.put(&number.to_le_bytes());
        }
        out.finish(salt)
    }

    /// Returns the header if these bytes are one of the segment or file with this salt.
    pub(crate) fn decode(bytes: &[u8], salt: u32) -> Option<Header> {
        let mut fields = In::open(bytes, FRAME_MAGIC, salt)?;
        let [kind, codec, version, _] = fields.take::<4>()?;
        let kind = match kind {
            1 => FrameKind::Data,
            2 => FrameKind::Commit,
            3 => FrameKind::Key,
            4 => FrameKind::Block,
            5 => FrameKind::Index,
            6 => FrameKind::End,
            _ => return None,
        };
        if version != VERSION {
            return None;
        }
        Some(Header {
            kind,
            codec,
            stream: fields.u32()?,
            shard: fields.u32()?,
            count: fields.u32()?,
            body_length: fields.u32()?,
            body_crc: fields.u32()?,
            base: fields.u64()?,
            arrived_first_ms: fields.u64()?,
            arrived_last_ms: fields.u64()?,
            commit: fields.u64()?,
        })
    }

    /// Returns the bytes from this frame's start to the next one's.
    pub(crate) fn frame_bytes(&self) -> u64 {
        frame_bytes(u64::from(self.body_length))
    }
}

/// Returns the bytes that a frame with a body of `body_length` takes.
pub(crate) fn frame_bytes(body_length: u64) -> u64 {
    HEADER_BYTES as u64 + body_length.next_multiple_of(ALIGNMENT as u64)
}

/// Returns whether `bytes` could be the start of a frame: a cheap look before the checksum.
pub(crate) fn is_magic(bytes: &[u8]) -> bool {
    bytes.first_chunk() == Some(&FRAME_MAGIC)
}

/// A place in the journal's segments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) generation: u64,
    pub(crate) offset: u64,
}

/// What a commit frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CommitMark {
    /// Commits are numbered without gaps.
    pub(crate) number: u64,
    /// The end of the commit before, which was synced before this one was written.
    pub(crate) synced: Position,
    /// How many frames the commit has, this one not counted.
    pub(crate) frames: u32,
    /// Checksum of those frames' header checksums: binds them to this commit.
    pub(crate) frames_crc: u32,
}

impl CommitMark {
    pub(crate) fn to_header(self) -> Header {
        Header {
            count: self.frames,
            body_crc: self.frames_crc,
            base: self.synced.generation,
            arrived_first_ms: self.synced.offset,
            commit: self.number,
            ..Header::of(FrameKind::Commit)
        }
    }

    pub(crate) fn of_header(header: &Header) -> Option<CommitMark> {
        (header.kind == FrameKind::Commit && header.body_length == 0).then_some(CommitMark {
            number: header.commit,
            synced: Position { generation: header.base, offset: header.arrived_first_ms },
            frames: header.count,
            frames_crc: header.body_crc,
        })
    }
}

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) generation: u64,
    pub(crate) random: u64,
    pub(crate) bytes: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = Out::new(SEGMENT_MAGIC);
        out.put(&[VERSION, 0, 0, 0]);
        for number in [self.generation, self.random, self.bytes] {
            out.put(&number.to_le_bytes());
        }
        out.finish(0)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<SegmentHeader> {
        let mut fields = In::open(bytes, SEGMENT_MAGIC, 0)?;
        let [version, ..] = fields.take::<4>()?;
        let header = SegmentHeader {
            generation: fields.u64()?,
            random: fields.u64()?,
            bytes: fields.u64()?,
        };
        (version == VERSION).then_some(header)
    }

    /// Returns what the checksums of this segment's frames begin with.
    pub(crate) fn salt(&self) -> u32 {
        salt_of(self.generation, self.random)
    }
}

/// Returns the salt of a file that two numbers identify.
pub(crate) fn salt_of(one: u64, other: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&one.to_le_bytes()), &other.to_le_bytes())
}

/// Returns the checksum stored in an encoded header.
pub(crate) fn header_crc(header: &[u8]) -> u32 {
    header.get(4..8).and_then(|it| it.first_chunk()).map_or(0, |it| u32::from_le_bytes(*it))
}

/// Fills a header: magic, checksum, fields, zeros.
struct Out {
    bytes: [u8; HEADER_BYTES],
    filled: usize,
}

impl Out {
    fn new(magic: [u8; 4]) -> Out {
        let mut out = Out { bytes: [0; HEADER_BYTES], filled: 0 };
        out.put(&magic);
        out.put(&[0; 4]);
        out
    }

    fn put(&mut self, field: &[u8]) {
        let end = self.filled + field.len();
        let room = self.bytes.get_mut(self.filled..end).expect("the fields fit a header");
        room.copy_from_slice(field);
        self.filled = end;
    }

    fn finish(mut self, salt: u32) -> [u8; HEADER_BYTES] {
        let crc = checksum(&self.bytes, salt);
        self.filled = 4;
        self.put(&crc.to_le_bytes());
        self.bytes
    }
}

fn checksum(header: &[u8; HEADER_BYTES], salt: u32) -> u32 {
    let (_, checked) = header.split_at(8);
    crc32c::crc32c_append(salt, checked)
}

/// Reads the fields of a header or a body one after the other.
pub(crate) struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> In<'a> {
        In(bytes)
    }

    fn open(bytes: &'a [u8], magic: [u8; 4], salt: u32) -> Option<In<'a>> {
        let header = bytes.first_chunk::<HEADER_BYTES>()?;
        let mut fields = In(header);
        let is_ours = fields.take::<4>()? == magic && fields.u32()? == checksum(header, salt);
        is_ours.then_some(fields)
    }

    pub(crate) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests;
