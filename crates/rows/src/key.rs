//! Finds the partition key inside a record's bytes, without making a row of it.

use std::sync::Arc;

use base::limits::PARTITION_KEY_BYTES_MAX;
use spec::{Format, Stream};

use crate::decode::Fields;

/// Returns the partition key of a record, if it has one.
pub type KeyOf = Arc<dyn Fn(&[u8]) -> Option<String> + Send + Sync>;

/// Returns what finds the partition key in a record of `stream`; `None` if the stream has no key.
///
/// The key is the text of the field: strings without quotes, numbers and booleans as they are
/// written. Records whose field is missing, null, empty, a list or an object have no key, as have
/// bytes that cannot be read; whether such a record is a reject is found out later. Reading stops
/// at the field. A key longer than Kinesis allows is cut, which keeps equal keys equal.
pub fn key_of(stream: &Stream) -> Option<KeyOf> {
    let key = stream.key.clone()?;
    match stream.format {
        Format::Json => Some(Arc::new(move |bytes| in_json(bytes, &key).map(cut))),
        Format::Csv => {
            let index = stream.columns.iter().position(|it| it.name == key)?;
            Some(Arc::new(move |bytes| in_csv(bytes, index).map(cut)))
        }
    }
}

fn cut(mut key: String) -> String {
    key.truncate(key.floor_char_boundary(PARTITION_KEY_BYTES_MAX));
    key
}

fn in_csv(bytes: &[u8], index: usize) -> Option<String> {
    let line = std::str::from_utf8(bytes).ok()?.trim_end_matches(['\r', '\n']);
    let field = Fields::of(line).nth(index)?.ok()?;
    Some(field.text.into_owned()).filter(|it| !it.is_empty())
}

fn in_json(bytes: &[u8], key: &str) -> Option<String> {
    let mut scan = Scan { rest: bytes };
    scan.take(b'{')?;
    loop {
        let name = scan.string()?;
        scan.take(b':')?;
        scan.skip_space();
        if is_string_of(name, key) {
            return scan.scalar();
        }
        scan.skip_value()?;
        scan.take(b',')?;
    }
}

/// Returns whether the inside of a JSON string says `text`.
fn is_string_of(inside: &[u8], text: &str) -> bool {
    inside == text.as_bytes()
        || (inside.contains(&b'\\') && unescape(inside).is_some_and(|it| it == text))
}

fn unescape(inside: &[u8]) -> Option<String> {
    let quoted = [b"\"", inside, b"\""].concat();
    serde_json::from_slice(&quoted).ok()
}

/// What is left of a record. It trusts that the record is JSON: what it makes of other bytes is
/// some key or none, but never a panic.
struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.skip_space();
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        (*first == byte).then_some(())
    }

    /// Takes a string and returns what is between its quotes.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.take(b'"')?;
        let mut end = 0;
        loop {
            match self.rest.get(end)? {
                b'"' => break,
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        let (inside, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest.get(1..)?;
        Some(inside)
    }

    fn scalar(&mut self) -> Option<String> {
        let text = match self.rest.first()? {
            b'"' => {
                let inside = self.string()?;
                if inside.contains(&b'\\') {
                    unescape(inside)?
                } else {
                    std::str::from_utf8(inside).ok()?.to_owned()
                }
            }
            b'{' | b'[' => return None,
            _ => match self.word() {
                b"null" => return None,
                word => std::str::from_utf8(word).ok()?.to_owned(),
            },
        };
        Some(text).filter(|it| !it.is_empty())
    }

    /// Takes a number or a word.
    fn word(&mut self) -> &'a [u8] {
        let is_end = |it: &u8| matches!(it, b',' | b'}' | b']') || it.is_ascii_whitespace();
        let end = self.rest.iter().position(is_end).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            self.skip_space();
            match self.rest.first()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.rest = self.rest.get(1..)?;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.rest = self.rest.get(1..)?;
                }
                b',' | b':' if 0 < depth => self.rest = self.rest.get(1..)?,
                b',' | b':' => return None,
                _ => {
                    self.word();
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
