//! Arrow IPC: the schema and the lengths of the batches, without their values.

use ::arrow::datatypes::Schema;
use ::arrow::ipc::convert::fb_to_schema;
use ::arrow::ipc::{root_as_footer, root_as_message};
use bytes::Bytes;

use crate::files::{BadRows, FoundTable, Looked, Rows, Source, TableFormat, Verdict, declared};

/// Batches whose lengths are looked up; each is one read.
const BATCHES_MAX: usize = 256;

/// Metadata of one message; lengths come out of the file and must not be asked of the memory.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

const MAGIC: &[u8] = b"ARROW1";

pub(crate) fn look_file(source: &dyn Source) -> Looked {
    let size = source.size();
    let end = source.read_at(size.saturating_sub(10), 10).unwrap_or_default();
    let Some((length, MAGIC)) = end.split_first_chunk::<4>() else {
        let why = "it begins as an Arrow file and has no footer".to_owned();
        return Looked::nothing(Verdict::Truncated(why));
    };
    answer(footer(source, u64::from(u32::from_le_bytes(*length))))
}

pub(crate) fn look_stream(source: &dyn Source) -> Looked {
    answer(stream(source))
}

struct Found {
    schema: Schema,
    rows: Rows,
    is_cut: bool,
}

fn answer(found: Result<Found, String>) -> Looked {
    let Found { schema, rows, is_cut } = match found {
        Ok(found) => found,
        Err(why) => return Looked::nothing(Verdict::Corrupt(why)),
    };
    let table = FoundTable {
        name: None,
        format: TableFormat::Arrow,
        columns: declared::profiles(&schema, rows.count()),
        rows,
        bad_rows: BadRows::default(),
        notes: Vec::new(),
    };
    let verdict =
        if is_cut { Verdict::Truncated("it ends inside a batch".to_owned()) } else { Verdict::Ok };
    Looked::table(verdict, table)
}

fn part(source: &dyn Source, offset: u64, length: u64) -> Result<Bytes, String> {
    let is_inside = offset.checked_add(length).is_some_and(|end| end <= source.size());
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if !is_inside || MESSAGE_BYTES_MAX < length {
        return Err("it names bytes beyond its end".to_owned());
    }
    source.read_at(offset, length).map_err(|error| error.to_string())
}

fn footer(source: &dyn Source, length: u64) -> Result<Found, String> {
    let begin = source.size().checked_sub(10 + length).ok_or("its footer is longer than it")?;
    let bytes = part(source, begin, length)?;
    let footer = root_as_footer(&bytes).map_err(|error| format!("its footer: {error}"))?;
    let schema = fb_to_schema(footer.schema().ok_or("its footer has no schema")?);
    let blocks = footer.recordBatches();
    let count = blocks.map_or(0, |it| it.len());
    let mut rows = 0_u64;
    for block in blocks.iter().flatten().take(BATCHES_MAX) {
        let offset = u64::try_from(block.offset()).unwrap_or(u64::MAX);
        let length = u64::try_from(block.metaDataLength()).unwrap_or(u64::MAX);
        let bytes = part(source, offset, length)?;
        rows += message(&bytes)?.rows.unwrap_or(0);
    }
    let rows = if count <= BATCHES_MAX {
        Rows::Exactly(rows)
    } else {
        Rows::About(rows / BATCHES_MAX as u64 * count as u64)
    };
    Ok(Found { schema, rows, is_cut: false })
}

struct Message {
    schema: Option<Schema>,
    rows: Option<u64>,
    body: u64,
}

/// Reads a message behind its length.
fn message(bytes: &[u8]) -> Result<Message, String> {
    let begin = if bytes.starts_with(b"\xff\xff\xff\xff") { 8 } else { 4 };
    let bytes = bytes.get(begin..).unwrap_or_default();
    let message = root_as_message(bytes).map_err(|error| format!("a message: {error}"))?;
    let rows = message.header_as_record_batch().map(|it| u64::try_from(it.length()).unwrap_or(0));
    let schema = message.header_as_schema().map(fb_to_schema);
    Ok(Message { schema, rows, body: u64::try_from(message.bodyLength()).unwrap_or(u64::MAX) })
}

fn stream(source: &dyn Source) -> Result<Found, String> {
    let size = source.size();
    let (mut at, mut rows, mut schema) = (0_u64, 0_u64, None);
    let mut is_cut = false;
    for _ in 0..=BATCHES_MAX {
        if at == size {
            break;
        }
        let start = source.read_at(at, 8).map_err(|error| error.to_string())?;
        let Some((b"\xff\xff\xff\xff", length)) = start.split_first_chunk::<4>() else {
            is_cut = start.len() < 8;
            break;
        };
        let Ok(length) = <[u8; 4]>::try_from(length) else {
            is_cut = true;
            break;
        };
        let length = u64::from(u32::from_le_bytes(length));
        if length == 0 {
            break;
        }
        if size < at + 8 + length {
            is_cut = true;
            break;
        }
        let found = message(&part(source, at, 8 + length)?)?;
        rows += found.rows.unwrap_or(0);
        schema = schema.or(found.schema);
        at = at.saturating_add(8 + length).saturating_add(found.body);
        if size < at {
            is_cut = true;
            break;
        }
    }
    let schema = schema.ok_or("it has no schema")?;
    let share = at.clamp(1, size) as f64 / size as f64;
    let rows = if at + 16 < size {
        Rows::About((rows as f64 / share) as u64)
    } else {
        Rows::Exactly(rows)
    };
    Ok(Found { schema, rows, is_cut })
}
