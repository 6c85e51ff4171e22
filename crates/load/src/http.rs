//! As much of HTTP/1.1 as a client needs that writes bytes made beforehand: requests as bytes, and
//! where the answer ends.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, bail};
use memchr::memmem;

/// A request as bytes.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) bytes: Vec<u8>,
    /// How many records it carries.
    pub(crate) records: u64,
    /// Where ten digits stand that say which request it is; they are written as it is sent.
    pub(crate) mark: Option<usize>,
}

/// Digits of a mark.
pub(crate) const MARK_DIGITS: usize = 10;

/// Makes a POST request.
pub(crate) fn post(path: &str, headers: &str, body: &[u8], records: u64) -> Request {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    Request { bytes, records, mark: None }
}

/// Makes a GET request.
pub(crate) fn get(path: &str) -> Request {
    let bytes = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes();
    Request { bytes, records: 0, mark: None }
}

/// Where the parts of an answer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Where the body begins.
    pub(crate) body: usize,
    /// How long it is, if the answer says so beforehand.
    length: Option<usize>,
    is_chunked: bool,
    /// Whether the server closes the connection behind it.
    pub(crate) is_last: bool,
}

impl Head {
    /// Reads the head of an answer; none if it is not there to its end.
    pub(crate) fn of(answer: &[u8]) -> anyhow::Result<Option<Head>> {
        let Some(end) = memmem::find(answer, b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = answer.get(..end).unwrap_or_default();
        let status = head.get(9..12).and_then(|it| std::str::from_utf8(it).ok()?.parse().ok());
        let mut found = Head {
            status: status.context("the answer has no status")?,
            body: end + 4,
            length: None,
            is_chunked: false,
            is_last: head.starts_with(b"HTTP/1.0"),
        };
        for line in head.split(|it| *it == b'\n').skip(1) {
            if let Some(value) = value_of(line, b"content-length") {
                found.length = value.parse().ok();
            } else if let Some(value) = value_of(line, b"transfer-encoding") {
                found.is_chunked = value.eq_ignore_ascii_case("chunked");
            } else if let Some(value) = value_of(line, b"connection") {
                found.is_last = value.eq_ignore_ascii_case("close");
            }
        }
        Ok(Some(found))
    }

    /// Whether `answer` is there to its end, which is where the connection ends if nothing else
    /// says so.
    pub(crate) fn is_whole(&self, answer: &[u8]) -> bool {
        match self.length {
            Some(length) => self.body + length <= answer.len(),
            None if self.is_chunked => {
                answer.get(self.body..).is_some_and(|it| it.ends_with(b"0\r\n\r\n"))
            }
            None => false,
        }
    }
}

fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let (found, value) = line.split_at_checked(name.len())?;
    let value = value.strip_prefix(b":").filter(|_| found.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(value).ok().map(str::trim)
}

/// How many records of an answer were not taken, if it says so.
pub(crate) fn failed_count(body: &[u8]) -> u64 {
    const NAME: &[u8] = b"\"FailedRecordCount\":";
    let digits = memmem::find(body, NAME).and_then(|it| body.get(it + NAME.len()..));
    let digits = digits.unwrap_or_default().trim_ascii_start();
    let number = digits.iter().take_while(|it| it.is_ascii_digit());
    number.fold(0, |sum, it| sum * 10 + u64::from(it - b'0'))
}

/// A connection that waits for each answer.
pub(crate) struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

/// How long an answer may take: a stream of a thousand shards is made meanwhile, or an emulator
/// starts.
const PATIENCE: Duration = Duration::from_secs(60);

impl Connection {
    pub(crate) fn open(address: &str) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Connection { stream, answer: Vec::with_capacity(1 << 16) })
    }

    /// Sends a request, and returns status and body of its answer.
    pub(crate) fn ask(&mut self, request: &Request) -> anyhow::Result<(u16, &[u8])> {
        self.stream.write_all(&request.bytes)?;
        self.answer.clear();
        let mut head = None;
        while !head.is_some_and(|it: Head| it.is_whole(&self.answer)) {
            if let Some(length) = head.and_then(|it| it.length.map(|length| it.body + length)) {
                let missing = length.saturating_sub(self.answer.len());
                (&self.stream).take(missing as u64).read_to_end(&mut self.answer)?;
                break;
            }
            let length = self.answer.len();
            self.answer.resize(length + PIECE_BYTES, 0);
            let read = self.stream.read(self.answer.get_mut(length..).unwrap_or_default())?;
            self.answer.truncate(length + read);
            if read == 0 {
                break;
            }
            if head.is_none() {
                head = Head::of(&self.answer)?;
            }
        }
        let Some(head) = head else {
            bail!("the server closed the connection");
        };
        Ok((head.status, self.answer.get(head.body..).unwrap_or_default()))
    }
}

/// What is read at a time of an answer whose length is not known.
const PIECE_BYTES: usize = 1 << 14;

#[cfg(test)]
mod tests;
