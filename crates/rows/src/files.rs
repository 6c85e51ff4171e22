//! Files of all kinds as tables: what a file is by its content, and a bounded look at its rows.
//!
//! ```text
//! Source (bytes at places) ──► look ──► Looked: a verdict, and tables with a Profile a column
//!                                  └─► compressed, zip ──► look inside, once
//! ```
//!
//! [`look`] reads the head of a file, its tail where the format keeps its schema there, and never
//! the whole of a large one. It never fails: what is wrong with a file is its [`Verdict`].
//! The content decides what a file is; its name is asked only where the content leaves it open.

mod arrow;
mod avro;
mod compressed;
mod declared;
mod delimited;
mod encoding;
mod excel;
mod folders;
mod json;
mod magic;
mod orc;
mod parquet;
pub mod read;
mod records;
mod source;
mod zip;

use std::panic::{AssertUnwindSafe, catch_unwind};

use base::limits;

pub use self::compressed::Compression;
pub use self::delimited::{Dialect, Layout};
pub use self::folders::{partition, partitions};
pub use self::records::Records;
pub use self::source::{Chunks, Cursor, OnDisk, Source};
use crate::files::magic::Kind;
use crate::infer::Profile;

/// How much of a file is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Depth {
    /// Bytes of text, after inflating.
    pub bytes: usize,
    /// Rows.
    pub rows: u64,
}

impl Default for Depth {
    fn default() -> Depth {
        Depth { bytes: limits::CRAWL_HEAD_BYTES, rows: limits::CRAWL_ROWS }
    }
}

/// What was found in a file.
#[derive(Debug, Clone)]
pub struct Looked {
    /// Whether the file can be read.
    pub verdict: Verdict,
    /// What it is compressed with.
    pub compression: Option<Compression>,
    /// Its tables; files of rows have one, workbooks and archives several.
    pub tables: Vec<FoundTable>,
}

/// Whether a file can be read, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It can be read.
    Ok,
    /// There are no bytes, or no rows and no columns, in it.
    Empty,
    /// Its end is missing.
    Truncated(String),
    /// It is damaged.
    Corrupt(String),
    /// It is text, but not in one encoding.
    Misencoded(String),
    /// It is still being written, or was left behind by a broken upload.
    HalfUploaded(String),
    /// It holds no table, or none in a format that is known.
    Unknown(String),
    /// It could not be read from where it lies.
    Unreadable(String),
}

impl Verdict {
    /// Returns the word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Empty => "empty",
            Verdict::Truncated(_) => "truncated",
            Verdict::Corrupt(_) => "corrupt",
            Verdict::Misencoded(_) => "mis-encoded",
            Verdict::HalfUploaded(_) => "half-uploaded",
            Verdict::Unknown(_) => "unknown format",
            Verdict::Unreadable(_) => "unreadable",
        }
    }

    /// Returns what exactly is the matter.
    pub fn reason(&self) -> &str {
        match self {
            Verdict::Ok | Verdict::Empty => "",
            Verdict::Truncated(why)
            | Verdict::Corrupt(why)
            | Verdict::Misencoded(why)
            | Verdict::HalfUploaded(why)
            | Verdict::Unknown(why)
            | Verdict::Unreadable(why) => why,
        }
    }
}

/// A table in a file.
#[derive(Debug, Clone)]
pub struct FoundTable {
    /// The sheet, the key or the member that it is; nothing if the file is the table.
    pub name: Option<String>,
    /// How its rows are written.
    pub format: TableFormat,
    /// Its columns, in their order.
    pub columns: Vec<Profile>,
    /// How many rows it has.
    pub rows: Rows,
    /// Rows that do not fit the others, the first of them by number with what is wrong.
    pub bad_rows: BadRows,
    /// What else a person should know.
    pub notes: Vec<String>,
}

/// How the rows of a table are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableFormat {
    /// Values between delimiters.
    Csv(Layout),
    /// JSON.
    Json(json::Shape),
    /// Parquet.
    Parquet,
    /// ORC.
    Orc,
    /// Avro, with its schema in front.
    Avro,
    /// Arrow IPC, as a file or as a stream.
    Arrow,
    /// A sheet of a workbook.
    Excel,
}

impl TableFormat {
    /// Returns the word for it.
    pub fn word(&self) -> &'static str {
        match self {
            TableFormat::Csv(_) => "csv",
            TableFormat::Json(json::Shape::Lines) => "ndjson",
            TableFormat::Json(_) => "json",
            TableFormat::Parquet => "parquet",
            TableFormat::Orc => "orc",
            TableFormat::Avro => "avro",
            TableFormat::Arrow => "arrow",
            TableFormat::Excel => "excel",
        }
    }
}

pub use self::json::Shape as JsonShape;

/// How many rows there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// All were counted, or the file says it.
    Exactly(u64),
    /// As many as the part that was looked at promises.
    About(u64),
}

impl Rows {
    /// Returns the number.
    pub fn count(self) -> u64 {
        match self {
            Rows::Exactly(count) | Rows::About(count) => count,
        }
    }

    /// Adds the rows of two files.
    #[must_use]
    pub fn plus(self, other: Rows) -> Rows {
        let count = self.count().saturating_add(other.count());
        match (self, other) {
            (Rows::Exactly(_), Rows::Exactly(_)) => Rows::Exactly(count),
            _ => Rows::About(count),
        }
    }
}

/// Rows that do not fit the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BadRows {
    /// How many of the rows looked at.
    pub count: u64,
    /// The first of them: number and fault.
    pub examples: Vec<(u64, String)>,
}

impl BadRows {
    pub(crate) fn push(&mut self, row: u64, fault: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < limits::INFER_EXAMPLES_MAX {
            self.examples.push((row, fault()));
        }
    }
}

/// The beginning of what is looked at, after inflating.
pub(crate) struct Head {
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
    /// Whether that is all there is.
    pub(crate) is_whole: bool,
    /// How many bytes there are in all, as far as is known.
    pub(crate) size: u64,
    /// The last bytes, if they are at hand without reading the rest.
    pub(crate) tail: Option<Vec<u8>>,
}

/// Looks at a file; its name decides only what its content leaves open.
pub fn look(source: &dyn Source, name: &str, depth: Depth) -> Looked {
    // Libraries read here what strangers wrote: one that gives up must not take others with it.
    let looked = catch_unwind(AssertUnwindSafe(|| look_inside(source, name, depth)));
    looked.unwrap_or_else(|_panic| Looked::nothing(Verdict::Corrupt(GAVE_UP.to_owned())))
}

/// Returns a name without what people write differently: `Invoice No`, `invoice_no`, `InvoiceNo`.
pub fn plain_name(name: &str) -> String {
    name.chars().filter(|it| it.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// What is said where a library panicked.
pub(crate) const GAVE_UP: &str = "its reader gave up on what is in it";

fn look_inside(source: &dyn Source, name: &str, depth: Depth) -> Looked {
    if source.size() == 0 {
        return Looked::nothing(Verdict::Empty);
    }
    let first = match source.read_at(0, depth.bytes.max(magic::BYTES)) {
        Ok(first) => first,
        Err(error) => return Looked::nothing(Verdict::Unreadable(error.to_string())),
    };
    if let Some(compression) = Compression::of(&first) {
        let mut looked = compressed::look(source, compression, name, depth);
        looked.compression = Some(compression);
        return looked;
    }
    look_plain(source, &first, name, depth)
}

/// Looks at what is not compressed as a whole.
pub(crate) fn look_plain(source: &dyn Source, first: &[u8], name: &str, depth: Depth) -> Looked {
    match magic::kind(first) {
        Kind::Parquet => parquet::look(source),
        Kind::Orc => orc::look(source),
        Kind::ArrowFile => arrow::look_file(source),
        Kind::ArrowStream => arrow::look_stream(source),
        Kind::Avro => avro::look(source, first),
        Kind::Zip => zip::look(source, name, depth),
        Kind::OldExcel => excel::look(source),
        Kind::Zeros => {
            Looked::nothing(Verdict::HalfUploaded("it holds nothing but zeros".to_owned()))
        }
        Kind::Other(what) => Looked::nothing(Verdict::Unknown(what.to_owned())),
        Kind::Text => {
            let is_whole = source.size() <= first.len() as u64;
            let tail = if is_whole { None } else { tail(source) };
            let head = Head { bytes: first.to_vec(), is_whole, size: source.size(), tail };
            look_text(head, name, depth)
        }
    }
}

/// Looks at text: JSON if it begins like it and can be read so, else values between delimiters.
pub(crate) fn look_text(head: Head, name: &str, depth: Depth) -> Looked {
    let Head { bytes, is_whole, size, tail } = head;
    let text = match encoding::decode(&bytes, is_whole) {
        Ok(text) => text,
        Err(verdict) => return Looked::nothing(verdict),
    };
    let part = Part {
        text: &text.text,
        is_whole,
        bytes: bytes.len() as u64,
        size,
        tail: tail.filter(|_| text.is_ascii_like),
        name,
    };
    if part.text.trim().is_empty() {
        return Looked::nothing(Verdict::Empty);
    }
    let begin = part.text.trim_start();
    let mut looked = if begin.starts_with(['{', '[']) {
        let looked = json::look(&part, depth);
        // Lines of logs begin with brackets too.
        let is_other = matches!(looked.verdict, Verdict::Corrupt(_)) && !is_called_json(name);
        if is_other { delimited::look(&part, depth) } else { looked }
    } else if begin.starts_with('<') {
        Looked::nothing(Verdict::Unknown("text in tags, as XML or HTML".to_owned()))
    } else {
        delimited::look(&part, depth)
    };
    if text.encoding != "UTF-8" {
        for table in &mut looked.tables {
            table.notes.push(format!("the text is in {}", text.encoding));
            if let TableFormat::Csv(layout) = &mut table.format {
                layout.encoding = text.encoding;
            }
        }
    }
    if let (Some(why), true) = (text.fault, looked.verdict == Verdict::Ok) {
        looked.verdict = Verdict::Misencoded(why);
    }
    looked
}

fn is_called_json(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    [".json", ".ndjson", ".jsonl", ".geojson"].iter().any(|it| lower.contains(it))
}

/// The text that is looked at.
pub(crate) struct Part<'a> {
    pub(crate) text: &'a str,
    /// Whether that is all there is.
    pub(crate) is_whole: bool,
    /// How many bytes it took.
    pub(crate) bytes: u64,
    /// How many bytes there are in all.
    pub(crate) size: u64,
    /// The last bytes.
    pub(crate) tail: Option<Vec<u8>>,
    /// What the file is called.
    pub(crate) name: &'a str,
}

impl Part<'_> {
    /// Estimates how many rows there are by how many bytes so many rows took.
    pub(crate) fn estimate(&self, rows: u64, bytes_used: usize) -> Rows {
        if self.is_whole && bytes_used == self.text.len() {
            return Rows::Exactly(rows);
        }
        // The text may have another length than its bytes, in the same relation for all of it.
        let used = bytes_used as f64 / self.text.len().max(1) as f64 * self.bytes as f64;
        Rows::About((rows as f64 * self.size as f64 / used.max(1.0)).round() as u64)
    }
}

impl Looked {
    pub(crate) fn nothing(verdict: Verdict) -> Looked {
        Looked { verdict, compression: None, tables: Vec::new() }
    }

    pub(crate) fn table(verdict: Verdict, table: FoundTable) -> Looked {
        Looked { verdict, compression: None, tables: vec![table] }
    }
}

fn tail(source: &dyn Source) -> Option<Vec<u8>> {
    let size = source.size();
    let begin = size.saturating_sub(limits::CRAWL_TAIL_BYTES as u64);
    source.read_at(begin, limits::CRAWL_TAIL_BYTES).ok().map(|it| it.to_vec())
}

#[cfg(test)]
mod tests;
