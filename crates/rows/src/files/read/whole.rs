//! Lines that are records of the stream as they stand: nothing is read into them here.

use std::io::{self, Read};
use std::sync::Arc;

use base::limits;

use crate::decode::Dialect;
use crate::files::json::Shape;
use crate::files::read::{BATCH_ROWS, ReadError, input};
use crate::files::{Compression, Cursor, Source, TableFormat};

/// A file whose records go into the stream byte by byte.
pub(crate) struct WholeLines {
    reader: Box<dyn Read + Send>,
    /// Whether a line end may stand between quotes.
    has_quotes: bool,
    bytes: Vec<u8>,
    used: usize,
    is_end: bool,
}

/// Bytes read at a time.
const PIECE_BYTES: usize = 1 << 20;

const MARK: &[u8] = b"\xEF\xBB\xBF";

impl WholeLines {
    /// Begins behind the header; nothing if the first lines are no records by themselves.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn open(
        source: &Arc<dyn Source>,
        compression: Option<Compression>,
        format: &TableFormat,
    ) -> Result<Option<WholeLines>, ReadError> {
        let (has_quotes, has_header) = match format {
            TableFormat::Json(Shape::Lines) => (false, false),
            TableFormat::Csv(it)
                if it.dialect == Dialect::USUAL && it.preamble == 0 && it.encoding == "UTF-8" =>
            {
                (true, it.has_header)
            }
            _ => return Ok(None),
        };
        let cursor = Cursor::new(source.again());
        let reader: Box<dyn Read + Send> = match compression {
            Some(compression) => compression.reader(cursor)?,
            None => Box::new(cursor),
        };
        let (bytes, used, is_end) = (Vec::new(), 0, false);
        let mut lines = WholeLines { reader, has_quotes, bytes, used, is_end };
        lines.more()?;
        if lines.bytes.starts_with(MARK) {
            lines.used = MARK.len();
        }
        if !has_quotes && !lines.begins_with_objects() {
            return Ok(None);
        }
        if has_header {
            let mut header = Vec::new();
            while header.trim_ascii().is_empty()
                && lines.take(&mut |it| header.extend_from_slice(it))?
            {}
        }
        Ok(Some(lines))
    }

    /// Whether each of the first lines is an object: a file may have values of several lines too.
    fn begins_with_objects(&self) -> bool {
        let begin = self.bytes.get(self.used..).unwrap_or_default();
        let mut lines = begin.split_inclusive(|it| *it == b'\n');
        lines.all(|line| {
            let is_cut = !line.ends_with(b"\n") && !self.is_end;
            let line = line.trim_ascii();
            line.is_empty() || line.starts_with(b"{") && (is_cut || line.ends_with(b"}"))
        })
    }

    /// Hands over the next records, as many as a batch of rows has; none at the end.
    ///
    /// # Errors
    /// When the rest of the file cannot be read.
    pub(crate) fn batch(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<(), ReadError> {
        let mut left = BATCH_ROWS;
        while 0 < left {
            let mut is_record = false;
            let is_more = self.take(&mut |line| {
                is_record = !line.trim_ascii().is_empty();
                if is_record {
                    each(line);
                }
            })?;
            left -= usize::from(is_record);
            if !is_more {
                break;
            }
        }
        Ok(())
    }

    /// Hands over the next line without its end; answers whether there was one.
    fn take(&mut self, line: &mut dyn FnMut(&[u8])) -> Result<bool, ReadError> {
        loop {
            let rest = self.bytes.get(self.used..).unwrap_or_default();
            let length = match self.length(rest) {
                Some(length) => length,
                None if !self.is_end => {
                    self.more()?;
                    continue;
                }
                None if rest.is_empty() => return Ok(false),
                None => rest.len(),
            };
            let (record, _after) = rest.split_at(length);
            let record = record.strip_suffix(b"\n").unwrap_or(record);
            line(record.strip_suffix(b"\r").unwrap_or(record));
            self.used += length;
            return Ok(true);
        }
    }

    /// Returns the bytes of the first record with its end; nothing if it may go on.
    fn length(&self, rest: &[u8]) -> Option<usize> {
        let mut end = 0;
        let mut quotes = Quotes::default();
        loop {
            end += memchr::memchr(b'\n', rest.get(end..)?)? + 1;
            if !self.has_quotes || !quotes.are_open(rest.get(..end)?) {
                return Some(end);
            }
            // A quote that is never closed must cost its own line only.
            if limits::RECORD_BYTES_MAX < end || self.is_last(rest, end) {
                return memchr::memchr(b'\n', rest).map(|it| it + 1);
            }
        }
    }

    fn is_last(&self, rest: &[u8], end: usize) -> bool {
        self.is_end && memchr::memchr(b'\n', rest.get(end..).unwrap_or_default()).is_none()
    }

    fn more(&mut self) -> Result<(), ReadError> {
        if limits::CRAWL_INFLATED_BYTES_MAX < self.bytes.len() - self.used {
            let most = base::ByteSize(limits::CRAWL_INFLATED_BYTES_MAX as u64);
            return Err(ReadError::Damaged(format!("one value is larger than {most}")));
        }
        self.bytes.drain(..self.used);
        self.used = 0;
        let read: io::Result<usize> =
            self.reader.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut self.bytes);
        self.is_end = read.map_err(input::cut)? == 0;
        Ok(())
    }
}

/// The quotes of a record, as far as they were looked at.
#[derive(Default)]
struct Quotes {
    is_open: bool,
    at: usize,
}

impl Quotes {
    /// Whether a quoted field goes on behind the text: the beginning of the record, longer each time.
    fn are_open(&mut self, text: &[u8]) -> bool {
        while let Some(found) = text.get(self.at..).and_then(|it| memchr::memchr(b'"', it)) {
            let quote = self.at + found;
            self.at = quote + 1;
            if !self.is_open {
                // Inside a field without quotes it is a sign like any other.
                self.is_open = quote == 0 || text.get(quote - 1) == Some(&b',');
            } else if text.get(self.at) == Some(&b'"') {
                self.at += 1; // A quote inside the field.
            } else {
                self.is_open = false;
            }
        }
        self.at = text.len();
        self.is_open
    }
}
