//! Signs requests as an AWS SDK does (Signature Version 4), so that what a signature costs the
//! server can be measured. Written from the client's side, it shares nothing with the server.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::http::{Request, post};

/// Who signs.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// What is asked: the protocol's header, the service and the operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) service: &'a str,
    pub(crate) content_type: &'a str,
    pub(crate) operation: &'a str,
}

impl Target<'_> {
    /// Makes a request, signed if there is a key.
    pub(crate) fn request(
        &self,
        key: Option<&Key>,
        now_ms: u64,
        body: &[u8],
        records: u64,
    ) -> Request {
        let Target { content_type, operation, .. } = self;
        let mut headers = format!("content-type: {content_type}\r\nx-amz-target: {operation}\r\n");
        if let Some(key) = key {
            let time = moment(now_ms);
            let authorization = self.authorization(key, &time, body);
            let signed = format!("x-amz-date: {time}\r\nauthorization: {authorization}\r\n");
            headers.push_str(&signed);
        }
        post("/", &headers, body, records)
    }

    fn authorization(&self, key: &Key, time: &str, body: &[u8]) -> String {
        const HEADERS: &str = "content-type;host;x-amz-date;x-amz-target";
        let Target { service, content_type, operation } = self;
        let canonical = format!(
            "POST\n/\n\ncontent-type:{content_type}\nhost:localhost\nx-amz-date:{time}\n\
             x-amz-target:{operation}\n\n{HEADERS}\n{}",
            hex(&Sha256::digest(body))
        );
        let day: String = time.chars().take(8).collect();
        let scope = format!("{day}/us-east-1/{service}/aws4_request");
        let text =
            format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let mut derived = format!("AWS4{}", key.secret).into_bytes();
        for part in [day.as_str(), "us-east-1", service, "aws4_request", &text] {
            derived = authenticated(&derived, part);
        }
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={HEADERS}, Signature={}",
            key.id,
            hex(&derived)
        )
    }
}

fn authenticated(key: &[u8], text: &str) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key);
    let mut mac = mac.expect("a key may have any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Writes a time as `20260105T101500Z`.
fn moment(now_ms: u64) -> String {
    let time = i64::try_from(now_ms).ok().and_then(|it| jiff::Timestamp::from_millisecond(it).ok());
    time.unwrap_or_default().strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests;
