//! Which web pages may send: pages of the origins that the door names, and our own.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use base::limits;

use crate::door::OptionFault;

/// The origins of web pages that may send into a stream.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Origins {
    named: Vec<String>,
    /// `"*"`: pages of any site.
    is_any: bool,
}

/// Whether a request of a web page may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Passed {
    /// It is no web page, or one of ours: nothing needs to be said.
    Ours,
    /// It is a page of this origin, which is told so.
    Named(HeaderValue),
    /// It is a page of another site.
    Stranger(String),
}

/// The origin is none.
const WRONG: &str = "an origin is written as `https://shop.example`, without a path";

impl Origins {
    /// Checks origins as a project names them.
    pub(crate) fn new(origins: &[String]) -> Result<Origins, OptionFault> {
        if limits::ORIGINS_MAX < origins.len() {
            let message = format!("a door names at most {} origins", limits::ORIGINS_MAX);
            return Err(OptionFault::at("origins", message));
        }
        let mut found = Origins::default();
        for origin in origins {
            if origin == "*" {
                found.is_any = true;
                continue;
            }
            let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            let is_host = |it: &str| {
                let allowed = |it: char| it.is_ascii_alphanumeric() || "-.:[]_".contains(it);
                !it.is_empty() && it.chars().all(allowed)
            };
            if !rest.is_some_and(is_host) {
                let fault = OptionFault::at("origins", format!("`{origin:.100}` is no origin"));
                return Err(fault.with_help(WRONG));
            }
            found.named.push(origin.to_ascii_lowercase());
        }
        Ok(found)
    }

    /// Judges a request by the headers that browsers, and only they, cannot leave out.
    pub(crate) fn judge(&self, headers: &HeaderMap, host: Option<&str>) -> Passed {
        let Some(value) = headers.get(header::ORIGIN) else { return Passed::Ours };
        let origin = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        let our_host = headers.get(header::HOST).and_then(|it| it.to_str().ok()).or(host);
        let is_ours = our_host.is_some_and(|host| {
            origin.split_once("://").is_some_and(|(_, it)| it.eq_ignore_ascii_case(host))
        });
        if is_ours {
            Passed::Ours
        } else if self.is_any || self.named.contains(&origin) {
            Passed::Named(value.clone())
        } else {
            Passed::Stranger(origin.chars().take(100).collect())
        }
    }
}

/// What a page may send and read beside what every page may.
const ALLOWED: [(HeaderName, &str); 3] = [
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "authorization, content-encoding, content-type, idempotency-key, last-event-id, x-api-key",
    ),
    (header::ACCESS_CONTROL_MAX_AGE, "600"),
];

/// Adds to an answer what lets a page of `origin` read it.
pub(crate) fn tell(origin: &HeaderValue, with_credentials: bool, headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(header::VARY, HeaderValue::from_static("origin"));
    let exposed = HeaderValue::from_static("retry-after");
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    if with_credentials {
        // Browsers send beacons with credentials, and ask whether they may; none is looked at.
        let yes = HeaderValue::from_static("true");
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    }
}

/// The same for the question a browser asks before it sends.
pub(crate) fn tell_before(origin: &HeaderValue, with_credentials: bool, headers: &mut HeaderMap) {
    tell(origin, with_credentials, headers);
    for (name, value) in ALLOWED {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests;
