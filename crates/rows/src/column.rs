//! One column of rows under way: values go in one by one and can be taken back.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewArray, BooleanArray, BooleanBufferBuilder, ByteView, Date32Array,
    Decimal128Array, Float64Array, Int64Array, NullBufferBuilder, StringViewArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::error::ArrowError;
use base::limits::JSON_DEPTH_MAX;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use spec::ColumnType;

use crate::moment::{self, MomentFault};
use crate::number::{self, NumberFault};
use crate::schema;

/// A value as a record holds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Found<'a> {
    /// Nothing, or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it is written.
    Number(&'a str),
    /// A string, without its quotes and escapes.
    String(&'a str),
    /// A list.
    List,
    /// An object.
    Object,
}

/// A column under way.
///
/// INVARIANT: a refused value leaves the column as it was.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// The name as a key of JSON, with its colon.
    pub(crate) written: String,
    pub(crate) kind: ColumnType,
    not_null: bool,
    values: Values,
    nulls: NullBufferBuilder,
    length: usize,
}

#[derive(Debug)]
enum Values {
    Text(Views),
    Bytes(Views),
    Int(Vec<i64>),
    Float(Vec<f64>),
    Decimal(Vec<i128>),
    Bool(BooleanBufferBuilder),
    Timestamp(Vec<i64>),
    Date(Vec<i32>),
}

impl Column {
    pub(crate) fn new(column: &spec::Column) -> Column {
        Column::of(&column.name, column.kind, column.not_null)
    }

    pub(crate) fn of(name: &str, kind: ColumnType, not_null: bool) -> Column {
        let values = match kind {
            ColumnType::Text | ColumnType::Json => Values::Text(Views::default()),
            ColumnType::Bytes => Values::Bytes(Views::default()),
            ColumnType::Int => Values::Int(Vec::new()),
            ColumnType::Float => Values::Float(Vec::new()),
            ColumnType::Decimal { .. } => Values::Decimal(Vec::new()),
            ColumnType::Bool => Values::Bool(BooleanBufferBuilder::new(0)),
            ColumnType::Timestamp => Values::Timestamp(Vec::new()),
            ColumnType::Date => Values::Date(Vec::new()),
        };
        Column {
            name: name.to_owned(),
            written: format!("{}:", serde_json::Value::from(name)),
            kind,
            not_null,
            values,
            nulls: NullBufferBuilder::new(0),
            length: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Adds a value, or says why it is not one of this column.
    pub(crate) fn append(&mut self, found: Found<'_>) -> Result<(), String> {
        match (found, self.kind) {
            (Found::Null, _) => self.append_null("null"),
            (Found::String(text), ColumnType::Text) => self.append_text(text),
            (Found::String(text), ColumnType::Bytes) => self.append_base64(text),
            (Found::String(text), ColumnType::Bool) if !text.is_empty() => {
                match text.trim_ascii() {
                    it if it.eq_ignore_ascii_case("true") => self.append_bool(true),
                    it if it.eq_ignore_ascii_case("false") => self.append_bool(false),
                    _ => Err(self.refusal(found, "write true or false")),
                }
            }
            (Found::Bool(value), ColumnType::Bool) => self.append_bool(value),
            (Found::String(text), _) => match text.trim_ascii() {
                "" => self.append_null("the empty string"),
                trimmed => self.append_scalar(trimmed, found),
            },
            (Found::Number(text), _) => self.append_scalar(text, found),
            _ => Err(self.refusal(found, "")),
        }
    }

    /// Adds what is written as `text`.
    fn append_scalar(&mut self, text: &str, found: Found<'_>) -> Result<(), String> {
        let is_string = matches!(found, Found::String(_));
        let pushed = match (&mut self.values, self.kind) {
            (Values::Int(values), _) => {
                number::parse_int(text).map(|it| values.push(it)).map_err(int_hint)
            }
            (Values::Float(values), _) => {
                number::parse_float(text).map(|it| values.push(it)).map_err(number_hint)
            }
            (Values::Decimal(values), ColumnType::Decimal { precision, scale }) => {
                let parsed = number::parse_decimal(text, precision, scale);
                parsed.map(|it| values.push(it)).map_err(number_hint)
            }
            (Values::Timestamp(values), _) if is_string => {
                moment::parse_timestamp(text).map(|it| values.push(it)).map_err(timestamp_hint)
            }
            (Values::Date(values), _) if is_string => {
                moment::parse_date(text).map(|it| values.push(it)).map_err(date_hint)
            }
            (Values::Timestamp(_), _) => Err(moment::TIMESTAMP_EXAMPLE),
            (Values::Date(_), _) => Err(moment::DATE_EXAMPLE),
            (Values::Text(_), ColumnType::Text) => {
                Err("write it in quotes, or declare the column as a number")
            }
            _ => Err(""),
        };
        match pushed {
            Ok(()) => {
                self.note_value();
                Ok(())
            }
            Err(hint) => Err(self.refusal(found, hint)),
        }
    }

    /// Adds the text of any JSON value; the caller has made sure that it is one.
    pub(crate) fn append_json(&mut self, json: &str) -> Result<(), String> {
        if json == "null" {
            return self.append_null("null");
        }
        if is_too_deep(json) {
            let name = &self.name;
            return Err(format!(
                "column `{name}`: expected json of at most {JSON_DEPTH_MAX} levels, found more"
            ));
        }
        self.append_view(json.as_bytes());
        Ok(())
    }

    fn append_text(&mut self, text: &str) -> Result<(), String> {
        if text.as_bytes().contains(&0) {
            let name = &self.name;
            return Err(format!(
                "column `{name}`: expected text, found the character NUL in it; PostgreSQL and \
                 others cannot hold it; declare the column as bytes, in base64"
            ));
        }
        self.append_view(text.as_bytes());
        Ok(())
    }

    /// Adds a text that has no control characters.
    pub(crate) fn append_plain(&mut self, text: &str) -> Result<(), String> {
        self.append_view(text.as_bytes());
        Ok(())
    }

    fn append_base64(&mut self, text: &str) -> Result<(), String> {
        if text.is_empty() {
            return self.append_null("the empty string");
        }
        match STANDARD.decode(text) {
            Ok(bytes) => {
                self.append_view(&bytes);
                Ok(())
            }
            Err(_no_base64) => Err(self.refusal(Found::String(text), "write bytes in base64")),
        }
    }

    fn append_bool(&mut self, value: bool) -> Result<(), String> {
        if let Values::Bool(values) = &mut self.values {
            values.append(value);
            self.note_value();
        }
        Ok(())
    }

    fn append_view(&mut self, bytes: &[u8]) {
        if let Values::Text(views) | Values::Bytes(views) = &mut self.values {
            views.push(bytes);
            self.note_value();
        }
    }

    fn append_null(&mut self, found: &str) -> Result<(), String> {
        if self.not_null {
            let Column { name, kind, .. } = self;
            return Err(format!(
                "column `{name}`: expected {kind}, found {found}; the column is declared `not null`"
            ));
        }
        match &mut self.values {
            Values::Text(views) | Values::Bytes(views) => views.push(&[]),
            Values::Int(values) | Values::Timestamp(values) => values.push(0),
            Values::Float(values) => values.push(0.0),
            Values::Decimal(values) => values.push(0),
            Values::Bool(values) => values.append(false),
            Values::Date(values) => values.push(0),
        }
        self.nulls.append_null();
        self.length += 1;
        Ok(())
    }

    fn note_value(&mut self) {
        self.nulls.append_non_null();
        self.length += 1;
    }

    /// Fills the place of a field that the record does not have.
    pub(crate) fn append_missing(&mut self) -> Result<(), String> {
        self.append_null("nothing: the field is missing")
    }

    /// Adds a field without a character.
    pub(crate) fn append_empty(&mut self) -> Result<(), String> {
        self.append_null("nothing: the field is empty")
    }

    /// Says what was expected and what was found instead.
    pub(crate) fn refusal(&self, found: Found<'_>, hint: &str) -> String {
        let Column { name, kind, .. } = self;
        let separator = if hint.is_empty() { "" } else { "; " };
        format!("column `{name}`: expected {kind}, found {found}{separator}{hint}")
    }

    /// Takes back every value after the first `length`.
    pub(crate) fn truncate(&mut self, length: usize) {
        if self.len() <= length {
            return;
        }
        match &mut self.values {
            Values::Text(views) | Values::Bytes(views) => views.truncate(length),
            Values::Int(values) | Values::Timestamp(values) => values.truncate(length),
            Values::Float(values) => values.truncate(length),
            Values::Decimal(values) => values.truncate(length),
            Values::Bool(values) => values.truncate(length),
            Values::Date(values) => values.truncate(length),
        }
        self.nulls.truncate(length);
        self.length = length;
    }

    /// Returns the values as an array and begins anew.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let nulls = self.nulls.finish();
        self.length = 0;
        Ok(match &mut self.values {
            Values::Text(views) => {
                let (views, blocks) = views.finish();
                Arc::new(StringViewArray::try_new(views, blocks, nulls)?)
            }
            Values::Bytes(views) => {
                let (views, blocks) = views.finish();
                Arc::new(BinaryViewArray::try_new(views, blocks, nulls)?)
            }
            Values::Int(values) => Arc::new(Int64Array::try_new(take(values), nulls)?),
            Values::Float(values) => Arc::new(Float64Array::try_new(take(values), nulls)?),
            Values::Decimal(values) => {
                let array = Decimal128Array::try_new(take(values), nulls)?;
                Arc::new(array.with_data_type(schema::arrow_type(&self.kind)))
            }
            Values::Bool(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Timestamp(values) => {
                let array = TimestampMicrosecondArray::try_new(take(values), nulls)?;
                Arc::new(array.with_data_type(schema::timestamp()))
            }
            Values::Date(values) => Arc::new(Date32Array::try_new(take(values), nulls)?),
        })
    }
}

/// Takes the values out, leaving room for as many again.
fn take<T: arrow::datatypes::ArrowNativeType>(values: &mut Vec<T>) -> ScalarBuffer<T> {
    let room = Vec::with_capacity(values.len());
    ScalarBuffer::from(std::mem::replace(values, room))
}

fn int_hint(fault: NumberFault) -> &'static str {
    match fault {
        NumberFault::TooManyDecimals => "write a whole number without point and exponent",
        _ => number_hint(fault),
    }
}

fn number_hint(fault: NumberFault) -> &'static str {
    match fault {
        NumberFault::NotANumber => "",
        NumberFault::OutOfRange => "it is too large",
        NumberFault::TooManyDecimals => "it has too many digits after the point",
    }
}

fn timestamp_hint(fault: MomentFault) -> &'static str {
    match fault {
        MomentFault::Form => moment::TIMESTAMP_EXAMPLE,
        MomentFault::Calendar => "there is no such day or time",
        MomentFault::TooFine => "at most 6 digits after the point: a timestamp holds microseconds",
    }
}

fn date_hint(fault: MomentFault) -> &'static str {
    match fault {
        MomentFault::Form | MomentFault::TooFine => moment::DATE_EXAMPLE,
        MomentFault::Calendar => "there is no such day",
    }
}

/// Returns whether lists and objects lie in each other deeper than later readers can follow.
fn is_too_deep(json: &str) -> bool {
    if json.len() <= JSON_DEPTH_MAX {
        return false;
    }
    let mut depth = 0;
    let mut is_in_string = false;
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => is_in_string = !is_in_string,
            b'\\' if is_in_string => {
                bytes.next();
            }
            b'[' | b'{' if !is_in_string => {
                depth += 1;
                if JSON_DEPTH_MAX < depth {
                    return true;
                }
            }
            b']' | b'}' if !is_in_string => depth -= 1,
            _ => {}
        }
    }
    false
}

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Found::Null => f.write_str("null"),
            Found::Bool(value) => write!(f, "{value}"),
            Found::Number(text) => write!(f, "the number {}", shorten(text)),
            Found::String(text) => write!(f, "the string {:?}", shorten(text)),
            Found::List => f.write_str("a list"),
            Found::Object => f.write_str("an object"),
        }
    }
}

/// Cuts what a message quotes.
fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(QUOTED_MAX) {
        None => Cow::Borrowed(text),
        Some((end, _)) => {
            let (kept, _cut) = text.split_at(end);
            Cow::Owned(format!("{kept}…"))
        }
    }
}

/// Characters of a value that a message quotes: enough to recognize it, short enough to read.
const QUOTED_MAX: usize = 60;

/// Values of different lengths as Arrow views: short ones inside the view, long ones in blocks.
#[derive(Debug, Default)]
struct Views {
    views: Vec<u128>,
    block: Vec<u8>,
    full: Vec<Buffer>,
}

/// The longest value that lies inside its view.
const INLINE_BYTES_MAX: usize = 12;

/// A block of long values: offsets have 31 bits in other programs.
const BLOCK_BYTES_MAX: usize = i32::MAX as usize;

impl Views {
    fn push(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).expect("a record has at most a few megabytes");
        if let Some(inside) = inline(bytes) {
            self.views.push(u128::from(length) | inside << 32);
            return;
        }
        if BLOCK_BYTES_MAX < self.block.len() + bytes.len() {
            self.full.push(Buffer::from_vec(std::mem::take(&mut self.block)));
        }
        let view = ByteView {
            length,
            prefix: bytes.first_chunk().map_or(0, |it| u32::from_le_bytes(*it)),
            buffer_index: index_of(self.full.len()),
            offset: index_of(self.block.len()),
        };
        self.block.extend_from_slice(bytes);
        self.views.push(view.as_u128());
    }

    fn truncate(&mut self, length: usize) {
        while length < self.views.len() {
            let Some(view) = self.views.pop().map(ByteView::from) else { return };
            let is_long = INLINE_BYTES_MAX < view.length as usize;
            if is_long && view.buffer_index as usize == self.full.len() {
                self.block.truncate(view.offset as usize);
            }
        }
    }

    fn finish(&mut self) -> (ScalarBuffer<u128>, Vec<Buffer>) {
        let mut blocks = std::mem::take(&mut self.full);
        if !self.block.is_empty() {
            let room = Vec::with_capacity(self.block.len());
            blocks.push(Buffer::from_vec(std::mem::replace(&mut self.block, room)));
        }
        (take(&mut self.views), blocks)
    }
}

/// Returns a short value as one number, its first byte lowest; read from both ends, which overlap,
/// since that takes no loop.
fn inline(bytes: &[u8]) -> Option<u128> {
    let length = bytes.len();
    Some(match (bytes.first_chunk::<8>(), bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        _ if INLINE_BYTES_MAX < length => return None,
        (Some(first), _, Some(last)) => {
            let last = u128::from(u32::from_le_bytes(*last)) << (8 * (length - 4));
            u128::from(u64::from_le_bytes(*first)) | last
        }
        (_, Some(first), Some(last)) => {
            let last = u128::from(u32::from_le_bytes(*last)) << (8 * (length - 4));
            u128::from(u32::from_le_bytes(*first)) | last
        }
        _ => bytes.iter().rev().fold(0, |value, byte| value << 8 | u128::from(*byte)),
    })
}

fn index_of(index: usize) -> u32 {
    u32::try_from(index).expect("blocks are cut before their offsets overflow")
}

#[cfg(test)]
mod tests;
