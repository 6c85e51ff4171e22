//! Avro: the schema in front, and the counts of its blocks.

use arrow_avro::reader::ReaderBuilder;

use crate::files::{
    BadRows, Cursor, FoundTable, Looked, Rows, Source, TableFormat, Verdict, declared,
};

/// Blocks whose counts are looked up; each is one read.
const BLOCKS_MAX: usize = 256;

/// The bytes between two blocks.
const SYNC_BYTES: usize = 16;

pub(crate) fn look(source: &dyn Source, head: &[u8]) -> Looked {
    let reader = match ReaderBuilder::new().build(Cursor::new(source.again())) {
        Ok(reader) => reader,
        Err(error) => {
            let is_cut = source.size() <= head.len() as u64 && is_cut_header(&error.to_string());
            let why = format!("its header: {error}");
            let verdict = if is_cut { Verdict::Truncated(why) } else { Verdict::Corrupt(why) };
            return Looked::nothing(verdict);
        }
    };
    let sync = reader.avro_header().sync();
    let begin = head.windows(SYNC_BYTES).position(|it| it == sync);
    let (rows, verdict) = match begin {
        Some(begin) => count(source, (begin + SYNC_BYTES) as u64, &sync),
        None => (Rows::About(0), Verdict::Ok),
    };
    let table = FoundTable {
        name: None,
        format: TableFormat::Avro,
        columns: declared::profiles(&reader.schema(), rows.count()),
        rows,
        bad_rows: BadRows::default(),
        notes: Vec::new(),
    };
    Looked::table(verdict, table)
}

fn is_cut_header(why: &str) -> bool {
    let why = why.to_ascii_lowercase();
    ["eof", "unexpected end", "incomplete"].iter().any(|it| why.contains(it))
}

/// Goes from block to block: count, length, bytes, sync.
fn count(source: &dyn Source, begin: u64, sync: &[u8]) -> (Rows, Verdict) {
    let size = source.size();
    let cut = || Verdict::Truncated("it ends inside a block".to_owned());
    let (mut at, mut rows) = (begin, 0_u64);
    for _ in 0..BLOCKS_MAX {
        if at == size {
            return (Rows::Exactly(rows), Verdict::Ok);
        }
        let start = match source.read_at(at, 20) {
            Ok(start) => start,
            Err(error) => return (Rows::About(rows), Verdict::Unreadable(error.to_string())),
        };
        let mut rest = &*start;
        let (Some(count), Some(length)) = (long(&mut rest), long(&mut rest)) else {
            return (Rows::About(rows), cut());
        };
        let used = (start.len() - rest.len()) as u64;
        let end = at.checked_add(used).and_then(|it| it.checked_add(length));
        let Some(end) = end.filter(|it| it.saturating_add(SYNC_BYTES as u64) <= size) else {
            return (Rows::About(rows), cut());
        };
        if source.read_at(end, SYNC_BYTES).is_ok_and(|it| &*it != sync) {
            let why = format!("the block at byte {at} does not end where it says");
            return (Rows::About(rows), Verdict::Corrupt(why));
        }
        rows = rows.saturating_add(count);
        at = end + SYNC_BYTES as u64;
    }
    let share = (at - begin) as f64 / (size - begin) as f64;
    let end = source.read_at(size - SYNC_BYTES as u64, SYNC_BYTES).unwrap_or_default();
    let verdict = if &*end == sync { Verdict::Ok } else { cut() };
    (Rows::About((rows as f64 / share) as u64), verdict)
}

/// Reads a number of at most nine bytes that is not negative.
fn long(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in 0..9 {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << (7 * shift);
        if byte & 0x80 == 0 {
            // Zigzag: odd ones are negative.
            return value.is_multiple_of(2).then_some(value / 2);
        }
    }
    None
}
