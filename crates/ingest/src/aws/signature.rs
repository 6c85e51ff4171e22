//! Checks the signature of a request: AWS Signature Version 4, in a header or in the address.
//!
//! A [`Claim`] is read before the body is, so that a stranger cannot make the program read one.
//! Nothing here does I/O; the words of the faults are those of AWS.

use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use base::limits;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

pub(crate) use self::canonical::percent_decode;
use self::canonical::{decode, hex, query_of, request_of};
use super::fault::Fault;

mod canonical;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";

/// What a request says of its own signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The access key id.
    pub(crate) id: String,
    date: String,
    region: String,
    service: String,
    /// The names of the signed headers, in lower case, as they were listed.
    headers: Vec<String>,
    signature: String,
    /// When it was signed, as written and in milliseconds since 1970.
    at: String,
    at_ms: u64,
    /// How long a signed address is valid.
    kept_ms: Option<u64>,
}

/// The parts of a claim as they stand in the request.
#[derive(Default)]
struct Said {
    credential: Option<String>,
    headers: Option<String>,
    signature: Option<String>,
    at: Option<String>,
    expires: Option<String>,
}

impl Claim {
    /// Reads what the request says; a request that says nothing is refused.
    pub(crate) fn of(parts: &Parts) -> Result<Claim, Fault> {
        let query = query_of(parts.uri.query().unwrap_or_default());
        let in_address = query.iter().any(|(name, _)| name == "X-Amz-Algorithm");
        let header = parts.headers.get(header::AUTHORIZATION);
        match (header, in_address) {
            (Some(_), true) => Err(invalid(
                "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP \
                 header.",
            )),
            (Some(header), false) => Claim::of_header(header, parts),
            (None, true) => Claim::of_address(&query),
            (None, false) => Err(missing_token()),
        }
    }

    fn of_header(header: &HeaderValue, parts: &Parts) -> Result<Claim, Fault> {
        let text = header.to_str().unwrap_or_default().trim();
        let (algorithm, rest) = text.split_once(' ').unwrap_or((text, ""));
        if algorithm != ALGORITHM {
            let message = format!("Unsupported AWS 'algorithm': '{algorithm:.40}'.");
            return Err(incomplete(message));
        }
        let mut said = Said::default();
        for (name, value) in rest.split(',').filter_map(|it| it.trim().split_once('=')) {
            let place = match name {
                "Credential" => &mut said.credential,
                "SignedHeaders" => &mut said.headers,
                "Signature" => &mut said.signature,
                _ => continue,
            };
            *place = Some(value.to_owned());
        }
        said.at = moment_of(parts);
        let mut missing = String::new();
        for (name, value) in [
            ("Credential", &said.credential),
            ("Signature", &said.signature),
            ("SignedHeaders", &said.headers),
        ] {
            if value.as_ref().is_none_or(String::is_empty) {
                missing += &format!("Authorization header requires '{name}' parameter. ");
            }
        }
        if said.at.is_none() {
            missing += "Authorization header requires existence of either a 'X-Amz-Date' or a \
                        'Date' header. ";
        }
        if missing.is_empty() { Claim::new(said, false) } else { Err(incomplete(missing.trim())) }
    }

    fn of_address(query: &[(String, String)]) -> Result<Claim, Fault> {
        let value =
            |name: &str| query.iter().find(|(it, _)| it == name).map(|(_, value)| value.clone());
        let algorithm = value("X-Amz-Algorithm").unwrap_or_default();
        if algorithm != ALGORITHM {
            let message = format!("Unsupported AWS 'algorithm': '{algorithm:.40}'.");
            return Err(incomplete(message));
        }
        let mut missing = String::new();
        for name in [
            "X-Amz-Credential",
            "X-Amz-Signature",
            "X-Amz-SignedHeaders",
            "X-Amz-Date",
            "X-Amz-Expires",
        ] {
            if value(name).is_none_or(|it| it.is_empty()) {
                missing += &format!("AWS query-string parameters must include '{name}'. ");
            }
        }
        if !missing.is_empty() {
            missing += "Re-examine the query-string parameters.";
            return Err(incomplete(missing));
        }
        let said = Said {
            credential: value("X-Amz-Credential"),
            headers: value("X-Amz-SignedHeaders"),
            signature: value("X-Amz-Signature"),
            at: value("X-Amz-Date"),
            expires: value("X-Amz-Expires"),
        };
        Claim::new(said, true)
    }

    fn new(said: Said, in_address: bool) -> Result<Claim, Fault> {
        let credential = said.credential.unwrap_or_default();
        let elements: Vec<&str> = credential.split('/').collect();
        let &[id, date, region, service, terminator] = elements.as_slice() else {
            let message = format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. \
                 keyid/date/region/service/term, got '{credential:.200}'"
            );
            return Err(incomplete(message));
        };
        if terminator != TERMINATOR {
            let message = format!(
                "Credential should be scoped with a valid terminator: '{TERMINATOR}', not \
                 '{terminator:.40}'."
            );
            return Err(invalid(message));
        }
        let at = said.at.unwrap_or_default();
        let at_ms = milliseconds_of(&at).ok_or_else(|| {
            incomplete(format!(
                "Date must be in ISO-8601 'basic format'. Got '{at:.40}'. See \
                 http://en.wikipedia.org/wiki/ISO_8601"
            ))
        })?;
        let day = at.get(..8).unwrap_or_default();
        if day != date {
            return Err(invalid(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date \
                 from HTTP: '{date:.40}' != '{day}', from '{at}'."
            )));
        }
        let headers = said.headers.unwrap_or_default().to_ascii_lowercase();
        let headers: Vec<String> =
            headers.split(';').take(limits::SIGNED_HEADERS_MAX + 1).map(str::to_owned).collect();
        if limits::SIGNED_HEADERS_MAX < headers.len() {
            return Err(incomplete("Too many 'SignedHeaders'."));
        }
        Ok(Claim {
            id: id.to_owned(),
            date: date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            headers,
            signature: said.signature.unwrap_or_default(),
            kept_ms: if in_address { Some(kept_ms(said.expires)?) } else { None },
            at,
            at_ms,
        })
    }

    /// Looks at all that needs neither the secret nor the body: the service, the time, and that
    /// nothing that matters was left out of the signature.
    pub(crate) fn check(&self, service: &str, parts: &Parts, now_ms: u64) -> Result<(), Fault> {
        if self.service != service {
            let message = format!("Credential should be scoped to correct service: '{service}'. ");
            return Err(invalid(message));
        }
        if !self.covers("host") && !self.covers(":authority") {
            let message = "'Host' or ':authority' must be a 'SignedHeader' in the AWS \
                           Authorization.";
            return Err(invalid(message));
        }
        if let Some(name) = self.unsigned(parts).next() {
            let message = format!("'{name}' must be a 'SignedHeader' in the AWS Authorization.");
            return Err(invalid(message));
        }
        self.check_time(now_ms)
    }

    fn check_time(&self, now_ms: u64) -> Result<(), Fault> {
        let skew_ms = millis(limits::SIGNATURE_SKEW_MAX);
        let at = &self.at;
        let now = written(now_ms);
        if now_ms.saturating_add(skew_ms) < self.at_ms {
            let limit = written(now_ms.saturating_add(skew_ms));
            return Err(invalid(format!(
                "Signature not yet current: {at} is still later than {limit} ({now} + 15 min.)"
            )));
        }
        match self.kept_ms {
            None if self.at_ms.saturating_add(skew_ms) < now_ms => {
                let limit = written(now_ms.saturating_sub(skew_ms));
                Err(invalid(format!(
                    "Signature expired: {at} is now earlier than {limit} ({now} - 15 min.)"
                )))
            }
            Some(kept_ms) if self.at_ms.saturating_add(kept_ms) < now_ms => {
                let end = written(self.at_ms.saturating_add(kept_ms));
                Err(invalid(format!("Signature expired: {end} is now earlier than {now}")))
            }
            _ => Ok(()),
        }
    }

    /// Checks the signature over the request and its body, as it came over the wire.
    pub(crate) fn verify(&self, secret: &str, parts: &Parts, body: &[u8]) -> Result<(), Fault> {
        let digest = hex(&Sha256::digest(body));
        if let Some(said) = parts.headers.get("x-amz-content-sha256")
            && said.as_bytes() != digest.as_bytes()
        {
            let said = String::from_utf8_lossy(said.as_bytes());
            let is_digest = said.len() == digest.len();
            return Err(if is_digest {
                mismatch()
            } else {
                invalid(format!(
                    "x-amz-content-sha256 must be the SHA-256 of the body; '{said:.40}' is not \
                     accepted here."
                ))
            });
        }
        let request = request_of(parts, &self.headers, &digest);
        let text = self.text_to_sign(&request);
        let expected = mac(&self.signing_key(secret), text.as_bytes());
        let given = decode(&self.signature).unwrap_or_default();
        if bool::from(expected.as_slice().ct_eq(given.as_slice())) {
            Ok(())
        } else {
            Err(mismatch())
        }
    }

    fn text_to_sign(&self, request: &str) -> String {
        let Claim { at, date, region, service, .. } = self;
        let digest = hex(&Sha256::digest(request.as_bytes()));
        format!("{ALGORITHM}\n{at}\n{date}/{region}/{service}/{TERMINATOR}\n{digest}")
    }

    fn signing_key(&self, secret: &str) -> [u8; 32] {
        let start = format!("AWS4{secret}");
        let mut key = mac(start.as_bytes(), self.date.as_bytes());
        for part in [self.region.as_str(), self.service.as_str(), TERMINATOR] {
            key = mac(&key, part.as_bytes());
        }
        key
    }

    /// Returns the headers that matter and that the signature leaves out: the operation and the
    /// token stand in headers of this kind.
    pub(crate) fn unsigned<'a>(&'a self, parts: &'a Parts) -> impl Iterator<Item = &'a str> {
        let names = parts.headers.keys().map(HeaderName::as_str);
        names.filter(move |name| name.starts_with("x-amz-") && !self.covers(name))
    }

    pub(crate) fn covers(&self, header: &str) -> bool {
        self.headers.iter().any(|it| it == header)
    }
}

fn mac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length can be used");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

/// Returns when the request was signed: by its own header, else by `Date`.
fn moment_of(parts: &Parts) -> Option<String> {
    let text = |name: &str| parts.headers.get(name).and_then(|it| it.to_str().ok());
    if let Some(at) = text("x-amz-date") {
        return Some(at.to_owned());
    }
    let date = text(header::DATE.as_str())?;
    match jiff::fmt::rfc2822::parse(date) {
        Ok(date) => Some(date.timestamp().strftime(BASIC_FORMAT).to_string()),
        Err(_in_basic_format) => Some(date.to_owned()),
    }
}

const BASIC_FORMAT: &str = "%Y%m%dT%H%M%SZ";

fn milliseconds_of(text: &str) -> Option<u64> {
    let at = DateTime::strptime(BASIC_FORMAT, text).ok()?.to_zoned(TimeZone::UTC).ok()?;
    u64::try_from(at.timestamp().as_millisecond()).ok()
}

fn written(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|it| Timestamp::from_millisecond(it).ok());
    at.map_or_else(String::new, |it| it.strftime(BASIC_FORMAT).to_string())
}

fn kept_ms(expires: Option<String>) -> Result<u64, Fault> {
    let seconds: Option<u64> = expires.and_then(|it| it.parse().ok());
    match seconds {
        Some(seconds) if (1..=limits::SIGNATURE_KEPT_MAX.as_secs()).contains(&seconds) => {
            Ok(seconds * 1_000)
        }
        _ => Err(incomplete(format!(
            "X-Amz-Expires must be a number of seconds from 1 to {}.",
            limits::SIGNATURE_KEPT_MAX.as_secs()
        ))),
    }
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::new("InvalidSignatureException", message)
}

fn incomplete(message: impl Into<String>) -> Fault {
    Fault::new("IncompleteSignatureException", message)
}

fn missing_token() -> Fault {
    Fault::new("MissingAuthenticationTokenException", "Missing Authentication Token")
}

fn mismatch() -> Fault {
    invalid(
        "The request signature we calculated does not match the signature you provided. Check \
         your AWS Secret Access Key and signing method. Consult the service documentation for \
         details.",
    )
}

/// The fault for an access key id that belongs to nobody.
pub(crate) fn unknown_id() -> Fault {
    let message = "The security token included in the request is invalid.";
    Fault::new("UnrecognizedClientException", message)
}

#[cfg(test)]
mod tests;
