//! A request in the one form that both sides sign.

use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderName, header};

/// Returns the canonical request: method, path, query, signed headers, digest of the body.
pub(super) fn request_of(parts: &Parts, signed: &[String], digest: &str) -> String {
    let mut out = String::with_capacity(512);
    out.push_str(parts.method.as_str());
    out.push('\n');
    out.push_str(&path_of(parts.uri.path()));
    out.push('\n');
    out.push_str(&canonical_query(parts.uri.query().unwrap_or_default()));
    out.push('\n');
    for name in signed {
        out.push_str(name);
        out.push(':');
        out.push_str(&values_of(parts, name));
        out.push('\n');
    }
    out.push('\n');
    out.push_str(&signed.join(";"));
    out.push('\n');
    out.push_str(digest);
    out
}

/// Returns all values of a header, each with single spaces, with commas between.
fn values_of(parts: &Parts, name: &str) -> String {
    // HTTP/2 has no `Host` but an authority.
    if name == "host" || name == ":authority" {
        let host = parts.headers.get(header::HOST).and_then(|it| it.to_str().ok());
        let host = host.or_else(|| parts.uri.authority().map(Authority::as_str));
        return host.unwrap_or_default().trim().to_owned();
    }
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { return String::new() };
    let values = parts.headers.get_all(name);
    let values = values.iter().map(|it| {
        let text = String::from_utf8_lossy(it.as_bytes());
        text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    });
    values.collect::<Vec<_>>().join(",")
}

/// Returns the path without `.`, `..` and empty parts, encoded once more than it came.
fn path_of(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let mut out = String::from("/");
    for (index, part) in parts.iter().enumerate() {
        if 0 < index {
            out.push('/');
        }
        encode(part.as_bytes(), &mut out);
    }
    if path.ends_with('/') && !parts.is_empty() {
        out.push('/');
    }
    out
}

/// Returns the names and values of a query, decoded.
pub(super) fn query_of(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|it| !it.is_empty());
    let text = |it: &str| String::from_utf8_lossy(&percent_decode(it)).into_owned();
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (text(name), text(value))
        })
        .collect()
}

/// Returns the query with its parts in order; the signature itself is not signed.
fn canonical_query(query: &str) -> String {
    let encoded = |it: &str| {
        let mut out = String::new();
        encode(&percent_decode(it), &mut out);
        out
    };
    let pairs = query.split('&').filter(|it| !it.is_empty());
    let mut pairs: Vec<(String, String)> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (encoded(name), encoded(value))
        })
        .filter(|(name, _)| name != "X-Amz-Signature")
        .collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// Decodes `%41`; what is no such code stays as it is.
pub(crate) fn percent_decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = bytes.get(at + 1..at + 3).filter(|_| byte == b'%');
        let decoded = code.and_then(|it| Some(nibble(*it.first()?)? << 4 | nibble(*it.last()?)?));
        out.push(decoded.unwrap_or(byte));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    out
}

/// Encodes all but what RFC 3986 calls unreserved.
fn encode(bytes: &[u8], out: &mut String) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(digit(byte >> 4).to_ascii_uppercase()));
            out.push(char::from(digit(byte & 15).to_ascii_uppercase()));
        }
    }
}

fn nibble(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok())
}

fn digit(nibble: u8) -> u8 {
    b"0123456789abcdef".get(usize::from(nibble)).copied().unwrap_or(b'0')
}

/// Returns the bytes in hexadecimal, lower case.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|it| [digit(it >> 4), digit(it & 15)]).map(char::from).collect()
}

/// Reads hexadecimal in lower case, as signatures are written.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let lower = |byte: u8| nibble(byte).filter(|_| !byte.is_ascii_uppercase());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(lower(*pair.first()?)? << 4 | lower(*pair.get(1)?)?)).collect()
}
