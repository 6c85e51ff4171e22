//! What a file is by its first bytes.

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Parquet,
    Orc,
    ArrowFile,
    ArrowStream,
    Avro,
    Zip,
    OldExcel,
    /// An upload that reserved its space and wrote nothing.
    Zeros,
    Text,
    Other(&'static str),
}

/// How many bytes are needed to say it.
pub(crate) const BYTES: usize = 512;

const BEGINNINGS: &[(&[u8], Kind)] = &[
    (b"PAR1", Kind::Parquet),
    (b"PARE", Kind::Other("encrypted Parquet")),
    (b"ORC", Kind::Orc),
    (b"ARROW1", Kind::ArrowFile),
    (b"\xff\xff\xff\xff", Kind::ArrowStream),
    (b"Obj\x01", Kind::Avro),
    (b"PK\x03\x04", Kind::Zip),
    (b"PK\x05\x06", Kind::Zip),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind::OldExcel),
    (b"\x89PNG\r\n\x1a\n", Kind::Other("a picture (PNG)")),
    (b"\xff\xd8\xff", Kind::Other("a picture (JPEG)")),
    (b"GIF8", Kind::Other("a picture (GIF)")),
    (b"RIFF", Kind::Other("sound or pictures (RIFF)")),
    (b"%PDF-", Kind::Other("a document (PDF)")),
    (b"SQLite format 3\0", Kind::Other("a database (SQLite)")),
    (b"\x7fELF", Kind::Other("a program")),
    (b"MZ\x90", Kind::Other("a program")),
    (b"\x89HDF\r\n\x1a\n", Kind::Other("HDF5")),
    (b"\x93NUMPY", Kind::Other("an array (NumPy)")),
    (b"7z\xbc\xaf\x27\x1c", Kind::Other("an archive (7z)")),
    (b"Rar!", Kind::Other("an archive (RAR)")),
    (b"\xfd7zXZ\0", Kind::Other("compressed with xz: unpack it, or use gzip or zstd")),
    (b"BZh9", Kind::Other("compressed with bzip2: unpack it, or use gzip or zstd")),
    (b"{\\rtf", Kind::Other("a document (RTF)")),
];

/// Returns what a file is that begins with `head`.
pub(crate) fn kind(head: &[u8]) -> Kind {
    let known = BEGINNINGS.iter().find(|(begin, _)| head.starts_with(begin));
    if let Some((_, kind)) = known {
        return *kind;
    }
    let start = head.get(..head.len().min(BYTES)).unwrap_or_default();
    if start.iter().all(|it| *it == 0) {
        return Kind::Zeros;
    }
    if start.get(257..262) == Some(b"ustar") {
        return Kind::Other("an archive (tar)");
    }
    // Text has tabs, line ends, form feeds and escapes, and no other control characters; UTF-16
    // has zeros, which the encoding is asked about.
    let is_control = |it: &&u8| **it < 0x20 && !matches!(**it, 0 | 9..=13 | 27) && **it != 1;
    let controls = start.iter().filter(is_control).count();
    if start.len() < controls * 10 { Kind::Other("bytes that are no text") } else { Kind::Text }
}
