//! Lookups: small files read whole, typed by what stands in them, replaced when they change.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use arrow::datatypes::SchemaRef;
use base::{ByteSize, Name, Place, SequenceNumber, ShardId, Span, limits};
use rows::Decoder;
use serde_json::Value;
use spec::{ColumnType, Spot};

/// Where a lookup's rows come from.
#[derive(Debug, Clone)]
pub(crate) struct LookupFile {
    name: Name,
    key: String,
    declared: Vec<spec::Column>,
    spot: Spot,
    from: From,
}

#[derive(Debug, Clone)]
enum From {
    File(PathBuf),
    Lines(Vec<String>),
}

/// One version of a lookup.
#[derive(Debug, Clone)]
pub(crate) struct LookupData {
    pub(crate) rows: RecordBatch,
    columns: Vec<spec::Column>,
    modified: Option<SystemTime>,
    bytes: u64,
    checksum: u32,
}

impl LookupData {
    pub(crate) fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    /// Returns a number that differs when the contents do.
    pub(crate) fn version(&self) -> String {
        format!("{}-{:08x}", self.bytes, self.checksum)
    }
}

/// A row as names and values, in the order in which they were written.
type Row = Vec<(String, Value)>;

impl LookupFile {
    /// Returns the file that is declared.
    pub(crate) fn of(declared: &spec::Lookup, folder: &Path) -> LookupFile {
        LookupFile::new(declared, From::File(folder.join(&declared.from.text)))
    }

    /// Returns rows that take the place of the file.
    pub(crate) fn given(declared: &spec::Lookup, lines: &[String]) -> LookupFile {
        LookupFile::new(declared, From::Lines(lines.to_vec()))
    }

    fn new(declared: &spec::Lookup, from: From) -> LookupFile {
        LookupFile {
            name: declared.name.clone(),
            key: declared.key.text.clone(),
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
            From::File(path) => std::fs::metadata(path)
                .map_or(true, |it| it.len() != data.bytes || it.modified().ok() != data.modified),
        }
    }

    /// Reads all rows. With an earlier version, their columns must be that version's.
    pub(crate) fn read(&self, before: Option<&LookupData>) -> Result<LookupData, String> {
        let (bytes, modified) = self.bytes()?;
        let rows = match &self.from {
            From::File(path) if is_csv(path) => csv_rows(&bytes),
            From::File(_) | From::Lines(_) => json_rows(&bytes),
        };
        let rows = rows.map_err(|reason| format!("{}: {reason}", self.place()))?;
        let columns = match before {
            Some(before) => before.columns.clone(),
            None => self.columns(&rows)?,
        };
        let batch = self.decode(&rows, &columns)?;
        self.check_key(&batch)?;
        Ok(LookupData {
            rows: batch,
            columns,
            modified,
            bytes: bytes.len() as u64,
            checksum: crc32c::crc32c(&bytes),
        })
    }

    fn place(&self) -> String {
        match &self.from {
            From::File(path) => format!("`{}`", path.display()),
            From::Lines(_) => format!("the rows given for `{}`", self.name),
        }
    }

    fn bytes(&self) -> Result<(Vec<u8>, Option<SystemTime>), String> {
        let path = match &self.from {
            From::Lines(lines) => return Ok((lines.join("\n").into_bytes(), None)),
            From::File(path) => path,
        };
        let failed = |error: std::io::Error| format!("{} cannot be read: {error}", self.place());
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if limits::LOOKUP_BYTES_MAX < metadata.len() {
            let (is, max) = (ByteSize(metadata.len()), ByteSize(limits::LOOKUP_BYTES_MAX));
            return Err(format!("{} is larger ({is}) than a lookup may be ({max})", self.place()));
        }
        // The time is taken before the bytes: a change in between is found by the next look.
        Ok((std::fs::read(path).map_err(failed)?, metadata.modified().ok()))
    }

    /// Returns the columns: their names from the rows, their types declared or found.
    fn columns(&self, rows: &[Row]) -> Result<Vec<spec::Column>, String> {
        let mut columns = self.declared.clone();
        let mut seen: HashSet<String> = columns.iter().map(|it| it.name.clone()).collect();
        for (name, _) in rows.iter().flatten() {
            if seen.insert(name.clone()) {
                let values = rows.iter().flatten().filter(|(it, _)| it == name).map(|(_, it)| it);
                let kind = infer(values);
                let (name, spot) = (name.clone(), self.spot.clone());
                columns.push(spec::Column { name, kind, not_null: false, spot });
            }
        }
        if columns.iter().any(|it| it.name == self.key) {
            return Ok(columns);
        }
        let names: Vec<&str> = columns.iter().map(|it| it.name.as_str()).collect();
        Err(format!(
            "{} has no column `{}`, which is its key; its columns are {}",
            self.place(),
            self.key,
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        ))
    }

    fn decode(&self, rows: &[Row], columns: &[spec::Column]) -> Result<RecordBatch, String> {
        let mut decoder = Decoder::new(&self.as_stream(columns));
        for (number, row) in (0..).zip(rows) {
            let object: serde_json::Map<String, Value> =
                row.iter().map(|(name, value)| (name.clone(), fit(name, value, columns))).collect();
            let place = Place { shard: ShardId(0), sequence: SequenceNumber(number) };
            decoder.push(Value::Object(object).to_string().as_bytes(), place, 0);
        }
        let decoded = decoder.finish();
        if 0 < decoded.rejects.num_rows() {
            let reject = decoded.rejects.slice(0, 1);
            let row = reject
                .column_by_name(rows::schema::SEQUENCE)
                .map_or(0, |it| it.as_primitive::<arrow::datatypes::Int64Type>().value(0));
            let message = reject
                .column_by_name("message")
                .map_or(String::new(), |it| it.as_string_view().value(0).to_owned());
            return Err(format!("{}, row {}: {message}", self.place(), row + 1));
        }
        let declared: Vec<usize> = (0..columns.len()).collect();
        decoded.rows.project(&declared).map_err(|error| error.to_string())
    }

    /// Returns a stream with these columns: the decoder knows nothing else.
    fn as_stream(&self, columns: &[spec::Column]) -> spec::Stream {
        spec::Stream {
            name: self.name.clone(),
            spot: self.spot.clone(),
            time: None,
            key: None,
            from: Vec::new(),
            format: spec::Format::Json,
            shards: 1,
            replay: Span::default(),
            replay_size: ByteSize(0),
            keep: None,
            idle: Span::default(),
            columns: columns.to_vec(),
            checks: Vec::new(),
            description: None,
            owner: None,
            tags: Vec::new(),
        }
    }

    fn check_key(&self, rows: &RecordBatch) -> Result<(), String> {
        let Some(keys) = rows.column_by_name(&self.key) else { return Ok(()) };
        let mut seen = HashSet::new();
        for row in 0..rows.num_rows() {
            let mut text = String::new();
            rows::json::write_value(keys, row, &mut text);
            let (key, number) = (&self.key, row + 1);
            if text == "null" {
                return Err(format!("{}, row {number}: the key `{key}` is empty", self.place()));
            }
            if !seen.insert(text.clone()) {
                return Err(format!(
                    "{}, row {number}: the key `{key}` is {text} a second time; it must be unique",
                    self.place()
                ));
            }
        }
        Ok(())
    }
}

/// Returns the value as text where the column holds text.
fn fit(name: &str, value: &Value, columns: &[spec::Column]) -> Value {
    let is_text = columns.iter().any(|it| it.name == name && it.kind == ColumnType::Text);
    match value {
        Value::Null | Value::String(_) => value.clone(),
        other if is_text => Value::String(other.to_string()),
        other => other.clone(),
    }
}

fn is_csv(path: &Path) -> bool {
    let extension = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
    matches!(extension.to_ascii_lowercase().as_str(), "csv" | "tsv")
}

fn csv_rows(bytes: &[u8]) -> Result<Vec<Row>, String> {
    let first_line = bytes.split(|it| *it == b'\n').next().unwrap_or_default();
    let count = |it: u8| first_line.iter().filter(|byte| **byte == it).count();
    let separators = [b',', b';', b'\t'];
    let separator = separators.into_iter().rev().max_by_key(|it| count(*it)).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new().delimiter(separator).from_reader(bytes);
    let names = reader.headers().map_err(|error| error.to_string())?.clone();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| error.to_string())?;
        let value = |text: &str| match text {
            "" => Value::Null,
            text => Value::String(text.to_owned()),
        };
        let name = |it: &str| it.trim_start_matches('\u{feff}').trim().to_owned();
        let row = names.iter().zip(&record).map(|(column, text)| (name(column), value(text)));
        rows.push(row.collect());
    }
    Ok(rows)
}

fn json_rows(bytes: &[u8]) -> Result<Vec<Row>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8: {error}"))?;
    let mut rows = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let object: serde_json::Map<String, Value> = serde_json::from_str(line)
            .map_err(|error| format!("line {number}: expected a JSON object; {error}"))?;
        rows.push(object.into_iter().collect());
    }
    Ok(rows)
}

/// Returns the narrowest type that holds all values.
fn infer<'a>(values: impl Iterator<Item = &'a Value>) -> ColumnType {
    let mut found: Option<ColumnType> = None;
    for value in values {
        let kind = match value {
            Value::Null => continue,
            Value::Bool(_) => ColumnType::Bool,
            Value::Number(number) if number.is_i64() => ColumnType::Int,
            Value::Number(_) => ColumnType::Float,
            Value::String(text) => infer_text(text),
            Value::Array(_) | Value::Object(_) => ColumnType::Json,
        };
        found = Some(match (found, kind) {
            (None, kind) => kind,
            (Some(before), kind) if before == kind => kind,
            (Some(ColumnType::Int), ColumnType::Float)
            | (Some(ColumnType::Float), ColumnType::Int) => ColumnType::Float,
            (Some(ColumnType::Date), ColumnType::Timestamp)
            | (Some(ColumnType::Timestamp), ColumnType::Date) => ColumnType::Timestamp,
            _ => ColumnType::Text,
        });
    }
    found.unwrap_or(ColumnType::Text)
}

fn infer_text(text: &str) -> ColumnType {
    let digits = text.trim_start_matches('-');
    // `007` and `+49` are names, not numbers.
    let is_padded = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    let is_number = digits.starts_with(|it: char| it.is_ascii_digit()) && !is_padded;
    if is_number && text.parse::<i64>().is_ok() {
        return ColumnType::Int;
    }
    if is_number && text.parse::<f64>().is_ok_and(f64::is_finite) {
        return ColumnType::Float;
    }
    if matches!(text, "true" | "false") {
        return ColumnType::Bool;
    }
    let looks_like_date = text.as_bytes().get(4) == Some(&b'-') && digits.len() == text.len();
    match string_to_timestamp_nanos(text) {
        Ok(_) if looks_like_date && text.len() == 10 => ColumnType::Date,
        Ok(_) if looks_like_date => ColumnType::Timestamp,
        _ => ColumnType::Text,
    }
}

/// What a flow holds of a lookup.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub(crate) name: Name,
    pub(crate) file: LookupFile,
    pub(crate) data: LookupData,
    /// Counts the versions used since the flow was opened, from 1.
    pub(crate) number: u64,
    pub(crate) error: Option<String>,
    every_ms: Option<u64>,
    looked_ms: u64,
    read_ms: u64,
}

/// How often a file's time of change is looked at.
const LOOK_EVERY_MS: u64 = 1_000;

impl Lookup {
    pub(crate) fn new(plan: &crate::plan::LookupPlan, now_ms: u64) -> Lookup {
        Lookup {
            name: plan.name.clone(),
            file: plan.file.clone(),
            data: plan.first.clone(),
            number: 1,
            error: None,
            every_ms: plan.every.map(Span::as_millis),
            looked_ms: now_ms,
            read_ms: now_ms,
        }
    }

    /// Takes a changed file over; a broken one leaves the rows as they are. Returns whether the
    /// rows changed.
    pub(crate) fn refresh(&mut self, now_ms: u64) -> bool {
        let every_ms = self.every_ms.unwrap_or(u64::MAX);
        if now_ms.saturating_sub(self.looked_ms) < LOOK_EVERY_MS.min(every_ms) {
            return false;
        }
        self.looked_ms = now_ms;
        let is_due = every_ms <= now_ms.saturating_sub(self.read_ms);
        if !is_due && !self.file.has_changed(&self.data) {
            return false;
        }
        self.read_ms = now_ms;
        match self.file.read(Some(&self.data)) {
            Ok(data) => {
                self.error = None;
                let is_new = data.version() != self.data.version();
                self.number += u64::from(is_new);
                self.data = data;
                is_new
            }
            Err(error) => {
                if self.error.as_ref() != Some(&error) {
                    tracing::warn!(lookup = %self.name, error, "lookup keeps its last good version");
                }
                self.error = Some(error);
                false
            }
        }
    }

    pub(crate) fn batches(&self) -> Arc<[RecordBatch]> {
        Arc::from([self.data.rows.clone()])
    }
}

#[cfg(test)]
mod tests;
