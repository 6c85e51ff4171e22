//! Archives of the ZIP kind: workbooks, or files one by one.

use std::io::{Read, Seek, SeekFrom};

use base::{ByteSize, limits};
use bytes::Bytes;
use flate2::bufread::DeflateDecoder;

use crate::files::magic::{self, Kind};
use crate::files::{Cursor, Depth, Head, Looked, Source, Verdict, excel, look_plain, look_text};

/// The end of the archive without a comment, and the longest comment.
const END_BYTES: usize = 22;
const COMMENT_BYTES_MAX: usize = 65_535;

pub(crate) fn look(source: &dyn Source, name: &str, depth: Depth) -> Looked {
    let members = match members(source) {
        Ok(members) => members,
        Err(verdict) => return Looked::nothing(verdict),
    };
    let has = |wanted: &str| members.iter().any(|it| it.name == wanted);
    if has("xl/workbook.xml") {
        let inflated = members.iter().fold(0_u64, |sum, it| sum.saturating_add(it.inflated));
        let most = limits::CRAWL_INFLATED_BYTES_MAX as u64;
        if most < inflated {
            let why = format!("a workbook of {} after inflating it", ByteSize(inflated));
            return Looked::nothing(Verdict::Unknown(why));
        }
        return excel::look_new(source);
    }
    let known = [
        ("xl/workbook.bin", "a workbook (xlsb): save it as xlsx"),
        ("content.xml", "an OpenDocument file: save it as xlsx or CSV"),
        ("word/document.xml", "a document (Word)"),
        ("ppt/presentation.xml", "slides (PowerPoint)"),
        ("META-INF/MANIFEST.MF", "a program (JAR)"),
    ];
    if let Some((_, what)) = known.iter().find(|(it, _)| has(it)) {
        return Looked::nothing(Verdict::Unknown((*what).to_owned()));
    }
    look_members(source, &members, name, depth)
}

fn look_members(source: &dyn Source, members: &[Member], name: &str, depth: Depth) -> Looked {
    let files: Vec<&Member> =
        members.iter().filter(|it| !it.name.ends_with('/') && 0 < it.inflated).collect();
    if files.is_empty() {
        return Looked::nothing(Verdict::Empty);
    }
    let mut all = Looked { verdict: Verdict::Ok, compression: None, tables: Vec::new() };
    let mut faults = Vec::new();
    for member in files.iter().take(limits::CRAWL_MEMBERS_MAX) {
        let looked = look_member(source, member, depth);
        if looked.verdict != Verdict::Ok {
            faults.push((member.name.as_str(), looked.verdict));
        }
        for mut table in looked.tables {
            if 1 < files.len() {
                let inner = table.name.map(|it| format!("/{it}")).unwrap_or_default();
                table.name = Some(format!("{}{inner}", member.name));
            }
            table.notes.push(format!("in the archive {name}"));
            all.tables.push(table);
        }
    }
    if let (Some((member, verdict)), true) = (faults.first(), all.tables.is_empty()) {
        all.verdict = match verdict {
            Verdict::Truncated(why) => Verdict::Truncated(format!("`{member}`: {why}")),
            Verdict::Corrupt(why) => Verdict::Corrupt(format!("`{member}`: {why}")),
            Verdict::Unknown(why) => Verdict::Unknown(format!("an archive; `{member}`: {why}")),
            other => other.clone(),
        };
    } else if let (Some((member, verdict)), Some(table)) = (faults.first(), all.tables.first_mut())
    {
        table.notes.push(format!("`{member}` is {}: {}", verdict.word(), verdict.reason()));
    }
    all
}

fn look_member(source: &dyn Source, member: &Member, depth: Depth) -> Looked {
    match inflate(source, member, depth.bytes) {
        Err(verdict) => Looked::nothing(verdict),
        Ok(head) if magic::kind(&head.bytes) == Kind::Text => look_text(head, &member.name, depth),
        Ok(head) if magic::kind(&head.bytes) == Kind::Zip => {
            Looked::nothing(Verdict::Unknown("an archive in an archive".to_owned()))
        }
        Ok(head) => match whole(source, member, head) {
            Ok(bytes) => look_plain(&bytes, &bytes, &member.name, depth),
            Err(verdict) => Looked::nothing(verdict),
        },
    }
}

fn whole(source: &dyn Source, member: &Member, head: Head) -> Result<Bytes, Verdict> {
    if head.is_whole {
        return Ok(Bytes::from(head.bytes));
    }
    let all = inflate(source, member, limits::CRAWL_INFLATED_BYTES_MAX)?;
    if all.is_whole {
        Ok(Bytes::from(all.bytes))
    } else {
        Err(Verdict::Unknown("too large to be looked at inside an archive".to_owned()))
    }
}

fn inflate(source: &dyn Source, member: &Member, most: usize) -> Result<Head, Verdict> {
    let corrupt = |why: String| Verdict::Corrupt(why);
    let local = source.read_at(member.offset, 30).map_err(|error| corrupt(error.to_string()))?;
    if !local.starts_with(b"PK\x03\x04") || local.len() < 30 {
        return Err(corrupt("its directory points to no file".to_owned()));
    }
    let skip = u64::from(short(&local, 26)) + u64::from(short(&local, 28)) + 30;
    let mut cursor = Cursor::new(source.again());
    cursor
        .seek(SeekFrom::Start(member.offset.saturating_add(skip)))
        .map_err(|error| corrupt(error.to_string()))?;
    let packed = cursor.take(member.packed);
    let mut reader: Box<dyn Read> = match member.method {
        0 => Box::new(packed),
        8 => Box::new(DeflateDecoder::new(std::io::BufReader::new(packed))),
        _ => return Err(Verdict::Unknown("packed by another method than deflate".to_owned())),
    };
    let mut bytes = Vec::new();
    reader
        .by_ref()
        .take(most as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| corrupt(format!("it cannot be inflated: {error}")))?;
    let is_whole = bytes.len() <= most;
    bytes.truncate(most);
    Ok(Head { bytes, is_whole, size: member.inflated.max(1), tail: None })
}

/// A file of an archive.
struct Member {
    name: String,
    method: u16,
    packed: u64,
    inflated: u64,
    offset: u64,
}

/// Reads the directory at the end.
fn members(source: &dyn Source) -> Result<Vec<Member>, Verdict> {
    let size = source.size();
    let begin = size.saturating_sub((END_BYTES + COMMENT_BYTES_MAX) as u64);
    let tail = source
        .read_at(begin, END_BYTES + COMMENT_BYTES_MAX)
        .map_err(|error| Verdict::Unreadable(error.to_string()))?;
    let end = tail.windows(4).rposition(|it| it == b"PK\x05\x06");
    let Some(end) = end.and_then(|it| tail.get(it..)).filter(|it| END_BYTES <= it.len()) else {
        return Err(Verdict::Truncated("an archive without its directory".to_owned()));
    };
    let (length, offset) = (long(end, 12), long(end, 16));
    if offset == u32::MAX {
        return Err(Verdict::Unknown("an archive beyond 4 GB".to_owned()));
    }
    if size < u64::from(offset) + u64::from(length) {
        return Err(Verdict::Corrupt("its directory lies beyond its end".to_owned()));
    }
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let directory = source
        .read_at(u64::from(offset), length.min(limits::CRAWL_INFLATED_BYTES_MAX))
        .map_err(|error| Verdict::Unreadable(error.to_string()))?;
    let mut rest = &*directory;
    let mut members = Vec::new();
    while rest.starts_with(b"PK\x01\x02") && 46 <= rest.len() {
        let name_length = usize::from(short(rest, 28));
        let skip = 46 + name_length + usize::from(short(rest, 30)) + usize::from(short(rest, 32));
        let Some(name) = rest.get(46..46 + name_length) else { break };
        if short(rest, 8) & 1 != 0 {
            return Err(Verdict::Unknown("an archive with a password".to_owned()));
        }
        members.push(Member {
            name: String::from_utf8_lossy(name).into_owned(),
            method: short(rest, 10),
            packed: u64::from(long(rest, 20)),
            inflated: u64::from(long(rest, 24)),
            offset: u64::from(long(rest, 42)),
        });
        rest = rest.get(skip..).unwrap_or_default();
    }
    Ok(members)
}

fn short(bytes: &[u8], at: usize) -> u16 {
    let found = bytes.get(at..).and_then(|it| it.first_chunk());
    found.map_or(0, |it| u16::from_le_bytes(*it))
}

fn long(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(|it| it.first_chunk());
    found.map_or(0, |it| u32::from_le_bytes(*it))
}
