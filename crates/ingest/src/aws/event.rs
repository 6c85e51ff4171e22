//! The event stream of AWS: an answer that is not one body but messages as they come.
//!
//! A message is `u32` its length, `u32` the headers' length, `u32` CRC-32 of these eight bytes, the
//! headers, the payload, `u32` CRC-32 of all before it; big-endian. A header is `u8` length and name,
//! `7` for a string, `u16` length and value.

use flate2::Crc;
use serde::Serialize;

use super::fault::Fault;
use super::wire::Encoding;

/// What an answer that is an event stream says of itself.
pub(crate) const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

const HEADER_STRING: u8 = 7;
/// Lengths and checksums around headers and payload.
const FRAME_BYTES: usize = 16;

/// Writes an event.
pub(crate) fn event<T: Serialize>(
    encoding: Encoding,
    name: &str,
    payload: &T,
) -> Result<Vec<u8>, Fault> {
    let payload = encoding.write(payload)?;
    let headers = [
        (":message-type", "event"),
        (":event-type", name),
        (":content-type", encoding.content_type()),
    ];
    message(&headers, &payload).ok_or_else(Fault::internal)
}

/// Writes an error, after which the stream ends.
pub(crate) fn exception(encoding: Encoding, fault: &Fault) -> Result<Vec<u8>, Fault> {
    let payload = encoding.write(&fault.body())?;
    let headers = [
        (":message-type", "exception"),
        (":exception-type", fault.name),
        (":content-type", encoding.content_type()),
    ];
    message(&headers, &payload).ok_or_else(Fault::internal)
}

fn message(headers: &[(&str, &str)], payload: &[u8]) -> Option<Vec<u8>> {
    let mut encoded = Vec::with_capacity(128);
    for (name, value) in headers {
        encoded.push(u8::try_from(name.len()).ok()?);
        encoded.extend_from_slice(name.as_bytes());
        encoded.push(HEADER_STRING);
        encoded.extend_from_slice(&u16::try_from(value.len()).ok()?.to_be_bytes());
        encoded.extend_from_slice(value.as_bytes());
    }
    let length = FRAME_BYTES + encoded.len() + payload.len();
    let mut out = Vec::with_capacity(length);
    out.extend_from_slice(&u32::try_from(length).ok()?.to_be_bytes());
    out.extend_from_slice(&u32::try_from(encoded.len()).ok()?.to_be_bytes());
    out.extend_from_slice(&checksum(&out).to_be_bytes());
    out.extend_from_slice(&encoded);
    out.extend_from_slice(payload);
    out.extend_from_slice(&checksum(&out).to_be_bytes());
    Some(out)
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests;
