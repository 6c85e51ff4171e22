//! Text that comes in pieces, inflated and decoded on the way.

use std::io::{self, Read};
use std::sync::Arc;

use base::limits;
use encoding_rs::{Decoder, Encoding, UTF_8};

use crate::files::read::ReadError;
use crate::files::{Compression, Cursor, Source};

/// A window over the text of a file, moved on as it is used.
pub(super) struct Input {
    reader: Box<dyn Read + Send>,
    decoder: Decoder,
    text: String,
    used: usize,
    is_end: bool,
}

/// Bytes read at a time.
const PIECE_BYTES: usize = 256 << 10;

impl Input {
    /// Begins at the front; `encoding` is the name that was found.
    pub(super) fn open(
        source: &Arc<dyn Source>,
        compression: Option<Compression>,
        encoding: &str,
    ) -> Result<Input, ReadError> {
        let cursor = Cursor::new(Arc::clone(source));
        let reader: Box<dyn Read + Send> = match compression {
            Some(compression) => compression.reader(cursor)?,
            None => Box::new(cursor),
        };
        let encoding = Encoding::for_label(encoding.as_bytes()).unwrap_or(UTF_8);
        let decoder = encoding.new_decoder_with_bom_removal();
        Ok(Input { reader, decoder, text: String::new(), used: 0, is_end: false })
    }

    /// Returns the text that is at hand.
    pub(super) fn rest(&self) -> &str {
        self.text.get(self.used..).unwrap_or_default()
    }

    /// Moves on by so many bytes of the text.
    pub(super) fn pass(&mut self, bytes: usize) {
        self.used = (self.used + bytes).min(self.text.len());
    }

    /// Whether nothing follows what is at hand.
    pub(super) fn is_end(&self) -> bool {
        self.is_end
    }

    /// Reads on; an error if one value is larger than can be held.
    pub(super) fn more(&mut self) -> Result<(), ReadError> {
        if limits::CRAWL_INFLATED_BYTES_MAX < self.rest().len() {
            let most = base::ByteSize(limits::CRAWL_INFLATED_BYTES_MAX as u64);
            return Err(ReadError::Damaged(format!("one value is larger than {most}")));
        }
        self.text.drain(..self.used);
        self.used = 0;
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        self.reader.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut piece).map_err(cut)?;
        self.is_end = piece.is_empty();
        let room = self.decoder.max_utf8_buffer_length(piece.len()).unwrap_or(PIECE_BYTES * 4);
        self.text.reserve(room);
        let mut rest = piece.as_slice();
        loop {
            let (outcome, read, _) =
                self.decoder.decode_to_string(rest, &mut self.text, self.is_end);
            rest = rest.get(read..).unwrap_or_default();
            if outcome == encoding_rs::CoderResult::InputEmpty {
                return Ok(());
            }
            self.text.reserve(room);
        }
    }
}

pub(super) fn cut(error: io::Error) -> ReadError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            ReadError::Damaged(format!("it cannot be inflated to its end: {error}"))
        }
        _ => ReadError::Place(error),
    }
}
