//! Files that are compressed as a whole: inflated up to a limit, then looked at.

use std::fmt;
use std::io::{self, Read};

use base::limits;
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;

use crate::files::{Cursor, Depth, Head, Looked, Source, Verdict, look_plain, look_text, magic};

/// What a file is compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// LZ4, in frames.
    Lz4,
}

impl Compression {
    pub(crate) fn of(head: &[u8]) -> Option<Compression> {
        const BEGINNINGS: [(&[u8], Compression); 3] = [
            (b"\x1f\x8b\x08", Compression::Gzip),
            (b"\x28\xb5\x2f\xfd", Compression::Zstd),
            (b"\x04\x22\x4d\x18", Compression::Lz4),
        ];
        BEGINNINGS.iter().find(|(begin, _)| head.starts_with(begin)).map(|(_, it)| *it)
    }

    /// Returns a reader of what is inside.
    pub(crate) fn reader(self, cursor: Cursor) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Compression::Gzip => Box::new(MultiGzDecoder::new(cursor)),
            Compression::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(cursor)?;
                // A window of 128 MB is the largest that the tool itself takes unasked.
                decoder.window_log_max(27)?;
                Box::new(decoder)
            }
            Compression::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(cursor)),
        })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::Lz4 => "lz4",
        })
    }
}

/// Inflates the beginning of a file and looks at it.
pub(crate) fn look(
    source: &dyn Source,
    compression: Compression,
    name: &str,
    depth: Depth,
) -> Looked {
    let inflated = match inflate(source, compression, depth.bytes) {
        Ok(inflated) => inflated,
        Err(error) => return Looked::nothing(fault_of(compression, &error)),
    };
    let Inflated { head, fault } = inflated;
    if head.bytes.is_empty() {
        return Looked::nothing(fault.unwrap_or(Verdict::Empty));
    }
    let (inner, _ending) = name.rsplit_once('.').unwrap_or((name, ""));
    let kind = magic::kind(&head.bytes);
    let mut looked = if let magic::Kind::Other(what) = kind {
        Looked::nothing(Verdict::Unknown(what.to_owned()))
    } else if kind == magic::Kind::Text {
        look_text(head, inner, depth)
    } else {
        match whole(source, compression, head) {
            Ok(all) => look_plain(&all, &all, inner, depth),
            Err(verdict) => Looked::nothing(verdict),
        }
    };
    // What is wrong with the envelope explains what is wrong with what is inside.
    if let Some(fault) = fault {
        looked.verdict = fault;
    }
    looked
}

struct Inflated {
    head: Head,
    fault: Option<Verdict>,
}

fn inflate(source: &dyn Source, compression: Compression, most: usize) -> io::Result<Inflated> {
    let mut reader = compression.reader(Cursor::new(source.again()))?;
    let mut bytes = Vec::with_capacity(most.min(1 << 16));
    let mut fault = None;
    // One byte more tells whether there is more.
    let mut part = reader.by_ref().take(most as u64 + 1);
    if let Err(error) = part.read_to_end(&mut bytes) {
        fault = Some(fault_of(compression, &error));
    }
    let is_whole = bytes.len() <= most;
    bytes.truncate(most);
    // Text shrinks to about a quarter; the rows are an estimate anyway.
    let size = if is_whole { bytes.len() as u64 } else { (source.size() * 4).max(most as u64) };
    Ok(Inflated { head: Head { bytes, is_whole, size, tail: None }, fault })
}

/// Inflates all of a file whose format must be read from its end.
fn whole(source: &dyn Source, compression: Compression, head: Head) -> Result<Bytes, Verdict> {
    if head.is_whole {
        return Ok(Bytes::from(head.bytes));
    }
    let most = limits::CRAWL_INFLATED_BYTES_MAX;
    let inflated =
        inflate(source, compression, most).map_err(|error| fault_of(compression, &error))?;
    if !inflated.head.is_whole {
        let most = base::ByteSize(most as u64);
        return Err(Verdict::Unknown(format!("more than {most} after inflating it")));
    }
    match inflated.fault {
        Some(fault) => Err(fault),
        None => Ok(Bytes::from(inflated.head.bytes)),
    }
}

fn fault_of(compression: Compression, error: &io::Error) -> Verdict {
    let says = error.to_string().to_ascii_lowercase();
    if error.kind() == io::ErrorKind::UnexpectedEof || says.contains("incomplete") {
        Verdict::Truncated(format!("its {compression} data ends before its end"))
    } else {
        Verdict::Corrupt(format!("its {compression} data cannot be inflated: {error}"))
    }
}
