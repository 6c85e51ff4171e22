//! Writes the file that an object becomes in the cold tier, and reads it back.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use md5::{Digest as _, Md5};

/// What came of packing a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packed {
    /// Whether it is compressed here; what is compressed already stays as it is.
    pub(crate) is_packed: bool,
    /// Whether it looks like text.
    pub(crate) is_text: bool,
    /// How many bytes went in.
    pub(crate) read: u64,
    /// How many bytes it takes now.
    pub(crate) stored: u64,
}

/// The level of Zstandard: about the strongest that costs no more to read. Some megabytes a second
/// on one processor, in the background.
const LEVEL: i32 = 19;

/// How much of a file tells whether it can be compressed.
const SAMPLE_BYTES: u64 = 1 << 20;

/// The level that a sample is tried with, which only has to tell "much" from "nothing".
const SAMPLE_LEVEL: i32 = 3;

const BLOCK_BYTES: usize = 1 << 20;

/// Writes what a file holds to another, compressed if that helps, synced, and read back to be sure.
/// An error if it is to stop.
pub(crate) fn pack(from: &mut File, to: &Path, stop: &AtomicBool) -> io::Result<Packed> {
    let size = from.metadata()?.len();
    let mut sample = Vec::new();
    Read::by_ref(from).take(SAMPLE_BYTES).read_to_end(&mut sample)?;
    io::Seek::rewind(from)?;
    let tried = zstd::bulk::compress(&sample, SAMPLE_LEVEL)?;
    let is_packed = tried.len() < sample.len() - sample.len() / 10;
    let is_text = !sample.contains(&0);
    drop((sample, tried));
    let file = File::options().write(true).create(true).truncate(true).open(to)?;
    let (read, sum) = if is_packed {
        let mut encoder = zstd::Encoder::new(&file, LEVEL)?;
        encoder.include_checksum(true)?;
        encoder.set_pledged_src_size(Some(size))?;
        let copied = copy(from, &mut encoder, stop)?;
        encoder.finish()?;
        copied
    } else {
        copy(from, &mut &file, stop)?
    };
    file.sync_all()?;
    if plain(File::open(to)?, is_packed, &mut io::sink(), stop)? != (read, sum) {
        return Err(io::Error::other(
            "what was written reads as something else; is the disk broken?",
        ));
    }
    Ok(Packed { is_packed, is_text, read, stored: file.metadata()?.len() })
}

/// Writes what a packed file holds; returns how many bytes that is, and their sum.
pub(crate) fn plain(
    packed: File,
    is_packed: bool,
    to: &mut dyn Write,
    stop: &AtomicBool,
) -> io::Result<(u64, Vec<u8>)> {
    if is_packed {
        copy(&mut zstd::Decoder::new(packed)?, to, stop)
    } else {
        copy(&mut &packed, to, stop)
    }
}

fn copy(from: &mut dyn Read, to: &mut dyn Write, stop: &AtomicBool) -> io::Result<(u64, Vec<u8>)> {
    let (mut sum, mut bytes, mut block) = (Md5::new(), 0, vec![0; BLOCK_BYTES]);
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "the bucket is closed"));
        }
        let count = match from.read(&mut block) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        let Some(part) = block.get(..count).filter(|it| !it.is_empty()) else {
            return Ok((bytes, sum.finalize().to_vec()));
        };
        sum.update(part);
        to.write_all(part)?;
        bytes += count as u64;
    }
}
