//! Reads the file of a lookup: CSV, NDJSON or Parquet, typed by what stands in it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Int64Type, Schema, TimestampMicrosecondType};
use base::{ByteSize, Name, Place, SequenceNumber, ShardId, Span, limits};
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rows::Decoder;
use serde_json::Value;
use spec::{ColumnType, LookupFormat, Spot};

use crate::lookup::LookupData;
use crate::lookup::index::{Index, LookupRows, Validity};
use crate::lookup::types::{both, infer, infer_text, kind_of, plain, text_of, whole_moment};

/// Where a lookup's rows come from.
#[derive(Debug, Clone)]
pub(crate) struct LookupFile {
    name: Name,
    key: String,
    valid_from: Option<String>,
    valid_to: Option<String>,
    declared: Vec<spec::Column>,
    spot: Spot,
    from: From,
}

#[derive(Debug, Clone)]
enum From {
    File { path: PathBuf, shown: String, format: LookupFormat },
    Lines(Vec<String>),
}

/// The end of what is valid until further notice: a moment that any program can write.
const NO_END_US: i64 = 253_402_300_799_999_999; // 9999-12-31 23:59:59.999999

/// The column that is added where rows say from when they are valid, but not until when.
const VALID_TO: &str = "valid_to";

/// The rows of a file under way.
struct Read {
    columns: Vec<spec::Column>,
    rows: RecordBatch,
    /// The line of each row; none if rows have no lines.
    lines: Vec<u64>,
}

impl LookupFile {
    /// Returns the file that is declared.
    pub(crate) fn of(declared: &spec::Lookup, folder: &Path) -> LookupFile {
        let shown = declared.from.text.clone();
        let from = From::File { path: folder.join(&shown), shown, format: declared.format };
        LookupFile::new(declared, from)
    }

    /// Returns rows that take the place of the file.
    pub(crate) fn given(declared: &spec::Lookup, lines: &[String]) -> LookupFile {
        LookupFile::new(declared, From::Lines(lines.to_vec()))
    }

    fn new(declared: &spec::Lookup, from: From) -> LookupFile {
        let text = |it: &Option<spec::Word>| it.as_ref().map(|it| it.text.clone());
        LookupFile {
            name: declared.name.clone(),
            key: declared.key.text.clone(),
            valid_from: text(&declared.valid_from),
            valid_to: text(&declared.valid_to),
            declared: declared.columns.clone(),
            spot: declared.spot.clone(),
            from,
        }
    }

    /// Returns whether the file was written since `data` was read; an error counts as a change,
    /// and is told when it is read.
    pub(crate) fn has_changed(&self, data: &LookupData) -> bool {
        match &self.from {
            From::Lines(_) => false,
            From::File { path, .. } => std::fs::metadata(path)
                .map_or(true, |it| it.len() != data.bytes || it.modified().ok() != data.modified),
        }
    }

    /// Reads all rows. With an earlier version, their columns must be that version's.
    pub(crate) fn read(&self, before: Option<&LookupData>) -> Result<LookupData, String> {
        let (bytes, modified) = self.bytes()?;
        let known = before.map(|it| it.columns.as_slice());
        let read = match &self.from {
            From::File { format: LookupFormat::Csv, .. } => self.read_csv(&bytes, known)?,
            From::File { format: LookupFormat::Parquet, .. } => {
                self.read_parquet(bytes.clone(), known)?
            }
            From::File { format: LookupFormat::Ndjson, .. } | From::Lines(_) => {
                self.read_json(&bytes, known)?
            }
        };
        let columns = read.columns.clone();
        let rows = self.indexed(read)?;
        if let Some(before) = before {
            rows.prepare_like(&before.rows).map_err(|error| error.strip_backtrace())?;
        }
        Ok(LookupData {
            rows: Arc::new(rows),
            columns,
            modified,
            bytes: bytes.len() as u64,
            checksum: crc32c::crc32c(&bytes),
        })
    }

    fn place(&self) -> String {
        match &self.from {
            From::File { shown, .. } => format!("`{shown}`"),
            From::Lines(_) => format!("the rows given for `{}`", self.name),
        }
    }

    /// Says what is wrong with a row.
    fn fault(&self, read: &Read, row: usize, wrong: &str) -> String {
        match read.lines.get(row) {
            Some(line) => format!("{}, line {line}: {wrong}", self.place()),
            None => format!("{}, row {}: {wrong}", self.place(), row + 1),
        }
    }

    fn bytes(&self) -> Result<(bytes::Bytes, Option<SystemTime>), String> {
        let path = match &self.from {
            From::Lines(lines) => return Ok((lines.join("\n").into_bytes().into(), None)),
            From::File { path, .. } => path,
        };
        let failed = |error: std::io::Error| format!("{} cannot be read: {error}", self.place());
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if limits::LOOKUP_BYTES_MAX < metadata.len() {
            let (is, max) = (ByteSize(metadata.len()), ByteSize(limits::LOOKUP_BYTES_MAX));
            return Err(format!(
                "{} is larger ({is}) than a lookup may be ({max}): every join with it holds it in \
                 memory; leave out rows and columns that are not needed, or make it a stream",
                self.place()
            ));
        }
        // The time is taken before the bytes: a change in between is found by the next look.
        Ok((std::fs::read(path).map_err(failed)?.into(), metadata.modified().ok()))
    }
}

/// How each kind of file is read, and its columns told.
impl LookupFile {
    fn read_csv(&self, bytes: &[u8], known: Option<&[spec::Column]>) -> Result<Read, String> {
        let names = self.csv_names(bytes)?;
        let columns = match known {
            Some(columns) => columns.to_vec(),
            None => {
                let mut kinds: Vec<Option<ColumnType>> = vec![None; names.len()];
                self.each_record(bytes, &mut |record, _| {
                    for (kind, text) in kinds.iter_mut().zip(record).filter(|it| !it.1.is_empty()) {
                        *kind = Some(both(*kind, infer_text(text)));
                    }
                })?;
                self.columns(names.iter().cloned().zip(kinds))?
            }
        };
        let place = |column: &spec::Column| {
            names.iter().position(|it| *it == column.name).ok_or_else(|| self.gone(&column.name))
        };
        let places = columns.iter().map(place).collect::<Result<Vec<usize>, String>>()?;
        let mut decoder = Decoder::new(&self.as_stream(&columns, spec::Format::Csv));
        let (mut lines, mut text) = (Vec::new(), String::new());
        self.each_record(bytes, &mut |record, line| {
            text.clear();
            for (at, (place, column)) in places.iter().zip(&columns).enumerate() {
                let field = record.get(*place).unwrap_or_default();
                text.push_str(if at == 0 { "" } else { "," });
                if !field.is_empty() {
                    let field = whole_moment(column.kind, field).replace('"', "\"\"");
                    write!(text, "\"{field}\"").expect("a string takes all text");
                }
            }
            decoder.push(text.as_bytes(), place_of(lines.len()), 0);
            lines.push(line);
        })?;
        self.decoded(decoder, columns, lines)
    }

    fn csv_names(&self, bytes: &[u8]) -> Result<Vec<String>, String> {
        let mut reader = csv_reader(bytes);
        let names = reader.headers().map_err(|error| self.csv_fault(&error))?;
        let name = |it: &str| it.trim_start_matches('\u{feff}').trim().to_owned();
        Ok(names.iter().map(name).collect())
    }

    fn each_record(
        &self,
        bytes: &[u8],
        each: &mut dyn FnMut(&csv::StringRecord, u64),
    ) -> Result<(), String> {
        let mut reader = csv_reader(bytes);
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(|error| self.csv_fault(&error))? {
            each(&record, record.position().map_or(0, csv::Position::line));
        }
        Ok(())
    }

    fn csv_fault(&self, error: &csv::Error) -> String {
        let line = error.position().map_or(1, csv::Position::line);
        let wrong = match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("expected {expected_len} fields, found {len}")
            }
            csv::ErrorKind::Utf8 { err, .. } => {
                let field = err.field() + 1;
                format!("field {field} is not UTF-8; save the file as UTF-8")
            }
            _ => error.to_string(),
        };
        format!("{}, line {line}: {wrong}", self.place())
    }

    fn read_json(&self, bytes: &[u8], known: Option<&[spec::Column]>) -> Result<Read, String> {
        let text = std::str::from_utf8(bytes);
        let text = text.map_err(|error| format!("{}: not UTF-8: {error}", self.place()))?;
        let columns = match known {
            Some(columns) => columns.to_vec(),
            None => self.json_columns(text)?,
        };
        let kinds: HashMap<&str, ColumnType> =
            columns.iter().map(|it| (it.name.as_str(), it.kind)).collect();
        let mut decoder = Decoder::new(&self.as_stream(&columns, spec::Format::Json));
        let mut lines = Vec::new();
        self.each_object(text, &mut |mut object, line| {
            for (name, value) in &mut object {
                match (kinds.get(name.as_str()), &value) {
                    (Some(kind), Value::String(text)) => {
                        *value = Value::String(whole_moment(*kind, text));
                    }
                    (Some(ColumnType::Text), Value::Null) | (None, _) => {}
                    (Some(ColumnType::Text), _) => *value = Value::String(value.to_string()),
                    _ => {}
                }
            }
            let text = Value::Object(object).to_string();
            decoder.push(text.as_bytes(), place_of(lines.len()), 0);
            lines.push(line);
        })?;
        self.decoded(decoder, columns, lines)
    }

    /// Finds the columns of JSON objects, in the order in which they come first.
    fn json_columns(&self, text: &str) -> Result<Vec<spec::Column>, String> {
        let mut kinds: Vec<(String, Option<ColumnType>)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut take = |name: String, value: &Value| {
            let place = *places.entry(name.clone()).or_insert_with(|| {
                kinds.push((name, None));
                kinds.len() - 1
            });
            if let (Some(own), Some((_, kind))) = (infer(value), kinds.get_mut(place)) {
                *kind = Some(both(*kind, own));
            }
        };
        self.each_object(text, &mut |object, _| {
            object.into_iter().for_each(|(name, value)| take(name, &value));
        })?;
        self.columns(kinds.into_iter())
    }

    fn each_object(
        &self,
        text: &str,
        each: &mut dyn FnMut(serde_json::Map<String, Value>, u64),
    ) -> Result<(), String> {
        for (number, line) in (1..).zip(text.lines()).filter(|(_, it)| !it.trim().is_empty()) {
            let object = serde_json::from_str(line).map_err(|error| {
                let (place, column, wrong) = (self.place(), error.column(), error.to_string());
                let wrong = wrong.split(" at line ").next().unwrap_or_default();
                format!(
                    "{place}, line {number}, character {column}: expected a JSON object; {wrong}"
                )
            })?;
            each(object, number);
        }
        Ok(())
    }

    fn read_parquet(
        &self,
        bytes: bytes::Bytes,
        known: Option<&[spec::Column]>,
    ) -> Result<Read, String> {
        let broken = |error: &dyn std::fmt::Display| format!("{}: {error}", self.place());
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes);
        let reader = reader
            .and_then(ParquetRecordBatchReaderBuilder::build)
            .map_err(|error| broken(&error))?;
        let schema = arrow::array::RecordBatchReader::schema(&reader);
        let batches = reader.collect::<Result<Vec<_>, _>>().map_err(|error| broken(&error))?;
        let found = concat_batches(&schema, &batches).map_err(|error| broken(&error))?;
        let normal = rows::schema::normalize(&schema).map_err(|error| broken(&error))?;
        let columns = match known {
            Some(columns) => columns.to_vec(),
            None => self.columns(
                normal.fields().iter().map(|it| (it.name().clone(), Some(kind_of(it.data_type())))),
            )?,
        };
        let (mut fields, mut arrays) = (Vec::new(), Vec::new());
        for column in &columns {
            let array =
                found.column_by_name(&column.name).ok_or_else(|| self.gone(&column.name))?;
            arrays.push(
                plain(array, column.kind)
                    .map_err(|error| broken(&format!("column `{}`: {error}", column.name)))?,
            );
            let kind = rows::schema::arrow_type(&column.kind);
            fields.push(Field::new(&column.name, kind, true));
        }
        let given = fields.iter().zip(&arrays);
        let given: Vec<Field> =
            given.map(|(it, array)| it.clone().with_data_type(array.data_type().clone())).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(given)), arrays);
        let batch = batch.map_err(|error| broken(&error))?;
        let rows = rows::schema::cast(&batch, &Arc::new(Schema::new(fields)));
        Ok(Read { rows: rows.map_err(|error| broken(&error))?, columns, lines: Vec::new() })
    }

    fn gone(&self, column: &str) -> String {
        format!("{} has no column `{column}`", self.place())
    }

    /// Returns the columns: those that are declared, then those that are found.
    fn columns(
        &self,
        found: impl Iterator<Item = (String, Option<ColumnType>)>,
    ) -> Result<Vec<spec::Column>, String> {
        let mut columns = self.declared.clone();
        let found: Vec<_> = found.collect();
        let names = found.iter().map(|(name, _)| name.as_str());
        let names: Vec<&str> = names.filter(|it| !it.is_empty()).collect();
        let listed = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        for (name, kind) in &found {
            if columns.iter().all(|it| it.name != *name) {
                let (name, spot) = (name.clone(), self.spot.clone());
                let kind = kind.unwrap_or(ColumnType::Text);
                columns.push(spec::Column { name, kind, not_null: false, spot });
            }
        }
        let times = [("valid_from", &self.valid_from), ("valid_to", &self.valid_to)];
        let times = times.into_iter().filter_map(|(key, it)| Some((key, it.as_ref()?)));
        for (key, name) in times {
            let Some(column) = columns.iter_mut().find(|it| it.name == *name) else {
                return Err(format!(
                    "{}, which is its `{key}`; its columns are {listed}",
                    self.gone(name)
                ));
            };
            match column.kind {
                // A day is its first moment; which text is none, its line tells.
                ColumnType::Date | ColumnType::Timestamp | ColumnType::Text => {
                    column.kind = ColumnType::Timestamp;
                }
                other => {
                    return Err(format!(
                        "{}: the column `{name}` is its `{key}`, so it must hold timestamps or \
                         dates; it holds {other}",
                        self.place()
                    ));
                }
            }
        }
        if self.valid_from.is_some() && self.valid_to.is_none() && names.contains(&VALID_TO) {
            return Err(format!(
                "{} has a column `{VALID_TO}`, which else is found from the next row of the key; \
                 add `valid_to = \"{VALID_TO}\"`, or give it another name",
                self.place()
            ));
        }
        if columns.iter().any(|it| it.name == self.key) {
            return Ok(columns);
        }
        Err(format!("{}, which is its key; its columns are {listed}", self.gone(&self.key)))
    }

    fn decoded(
        &self,
        mut decoder: Decoder,
        columns: Vec<spec::Column>,
        lines: Vec<u64>,
    ) -> Result<Read, String> {
        let decoded = decoder.finish();
        let declared: Vec<usize> = (0..columns.len()).collect();
        let rows = decoded.rows.project(&declared).map_err(|error| error.to_string())?;
        let read = Read { columns, rows, lines };
        if decoded.rejects.num_rows() == 0 {
            return Ok(read);
        }
        let row = decoded.rejects.column_by_name(rows::schema::SEQUENCE).and_then(|it| {
            usize::try_from(it.as_primitive::<Int64Type>().values().first().copied()?).ok()
        });
        let message = decoded
            .rejects
            .column_by_name("message")
            .map_or(String::new(), |it| it.as_string_view().value(0).to_owned());
        Err(self.fault(&read, row.unwrap_or_default(), &message))
    }

    /// Returns a stream with these columns: the decoder knows nothing else.
    fn as_stream(&self, columns: &[spec::Column], format: spec::Format) -> spec::Stream {
        spec::Stream {
            name: self.name.clone(),
            spot: self.spot.clone(),
            time: None,
            key: None,
            from: Vec::new(),
            format,
            shards: spec::Shards::Fixed(1),
            replay: Span::default(),
            replay_size: ByteSize(0),
            keep: None,
            rest: spec::Rest::default(),
            idle: Span::default(),
            limit: spec::Rate::default(),
            columns: columns.to_vec(),
            infers: false,
            descriptions: Vec::new(),
            checks: Vec::new(),
            description: None,
            owner: None,
            tags: Vec::new(),
        }
    }

    /// Finds the rows of each key, and refuses rows that cannot be told apart.
    fn indexed(&self, read: Read) -> Result<LookupRows, String> {
        let internal = |error: datafusion::error::DataFusionError| error.strip_backtrace();
        let place = |name: &String| read.columns.iter().position(|it| it.name == *name);
        let Some(key) = place(&self.key) else { return Err(self.gone(&self.key)) };
        let keys = read.rows.column(key);
        let since = self.valid_from.as_ref().and_then(place).map(|it| read.rows.column(it));
        if let Some(row) = since.and_then(|it| (0..it.len()).find(|row| it.is_null(*row))) {
            let column = self.valid_from.as_deref().unwrap_or_default();
            let wrong = format!("column `{column}`: every row must say from when it is valid");
            return Err(self.fault(&read, row, &wrong));
        }
        let index = Index::new(vec![Arc::clone(keys)], since).map_err(internal)?;
        if let Some(row) = index.nulls.first() {
            let wrong = format!("the key `{}` is empty", self.key);
            return Err(self.fault(&read, *row as usize, &wrong));
        }
        let next = index.followers().map_err(internal)?;
        let Some(since) = since else {
            if let Some((_, row)) = next.first() {
                let (key, text) = (&self.key, text_of(keys, *row as usize));
                let wrong = format!(
                    "the key `{key}` is {text} a second time; it must be unique, or `valid_from` \
                     must name the column that says from when each row is valid"
                );
                return Err(self.fault(&read, *row as usize, &wrong));
            }
            return Ok(LookupRows::new(read.rows, None).with_index(vec![key], index));
        };
        let from = self.valid_from.as_ref().and_then(place).unwrap_or_default();
        let (rows, to) = self.with_ends(&read, keys, since, &next)?;
        let validity = Some(Validity { from, to });
        Ok(LookupRows::new(rows, validity).with_index(vec![key], index))
    }

    /// Adds until when each row is valid; `next` tells the next row of the same key.
    fn with_ends(
        &self,
        read: &Read,
        keys: &ArrayRef,
        since: &ArrayRef,
        next: &[(u32, u32)],
    ) -> Result<(RecordBatch, usize), String> {
        let begins = since.as_primitive::<TimestampMicrosecondType>().values();
        let begin = |row: u32| begins.get(row as usize).copied().unwrap_or_default();
        let time = |micros: i64| rows::json::timestamp_text(micros);
        let told = |row: u32, wrong: &str| {
            let (key, text) = (&self.key, text_of(keys, row as usize));
            Err(self.fault(read, row as usize, &format!("the key `{key}` is {text} {wrong}")))
        };
        for (one, other) in next {
            if begin(*one) == begin(*other) {
                return told(*other, &format!("from {} on a second time", time(begin(*one))));
            }
        }
        let place = self.valid_to.as_ref();
        let place = place.and_then(|name| read.columns.iter().position(|it| it.name == *name));
        let mut ends = vec![NO_END_US; begins.len()];
        if let Some(declared) = place.map(|it| read.rows.column(it)) {
            let declared = declared.as_primitive::<TimestampMicrosecondType>();
            for (end, declared) in ends.iter_mut().zip(declared) {
                *end = declared.unwrap_or(NO_END_US);
            }
            for (row, (begin, end)) in (0..).zip(begins.iter().zip(&ends)) {
                if end <= begin {
                    return told(
                        row,
                        &format!("from {} up to {}, which is never", time(*begin), time(*end)),
                    );
                }
            }
            for (one, other) in next {
                let end = ends.get(*one as usize).copied().unwrap_or_default();
                if begin(*other) < end {
                    let (end, begin) = (time(end), time(begin(*other)));
                    let wrong = format!(
                        "from {begin} on, while an earlier row of it is valid up to {end}; one at \
                         a time can be"
                    );
                    return told(*other, &wrong);
                }
            }
        } else {
            for (one, other) in next {
                if let Some(end) = ends.get_mut(*one as usize) {
                    *end = begin(*other);
                }
            }
        }
        let ends = TimestampMicrosecondArray::from(ends).with_data_type(rows::schema::timestamp());
        let mut fields: Vec<Arc<Field>> = read.rows.schema().fields().iter().cloned().collect();
        let mut columns = read.rows.columns().to_vec();
        let to = place.unwrap_or(columns.len());
        match columns.get_mut(to) {
            Some(column) => *column = Arc::new(ends),
            None => {
                columns.push(Arc::new(ends));
                fields.push(Arc::new(Field::new(VALID_TO, rows::schema::timestamp(), true)));
            }
        }
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
        Ok((rows.map_err(|error| error.to_string())?, to))
    }
}

fn place_of(row: usize) -> Place {
    Place { shard: ShardId(0), sequence: SequenceNumber(row as u64) }
}

fn csv_reader(bytes: &[u8]) -> csv::Reader<&[u8]> {
    let first_line = bytes.split(|it| *it == b'\n').next().unwrap_or_default();
    let count = |it: u8| first_line.iter().filter(|byte| **byte == it).count();
    let separators = [b',', b';', b'\t'];
    let separator = separators.into_iter().rev().max_by_key(|it| count(*it)).unwrap_or(b',');
    csv::ReaderBuilder::new().delimiter(separator).from_reader(bytes)
}
