//! What no other web site may do here: requests it sends are refused, and its pages are not let in.
//!
//! Two attacks are meant. A page of another site can make the browser POST to a loopback address:
//! browsers then say so in `Sec-Fetch-Site` and `Origin`. And a site can point its own name at
//! 127.0.0.1 (DNS rebinding), so that its page counts as ours: the `Host` gives it away.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// By which names the program may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// `localhost`, `127.0.0.1` and `[::1]`, and these; right when it listens on loopback.
    Loopback(Vec<String>),
    /// Any name; right when it listens to the network, where users or keys guard it.
    Any,
}

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Nothing is loaded but from here; no page of another site may frame the console. The SQL editor
/// sets the `style` attribute of its own elements (the width of a tab), which needs the one word.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      style-src-attr 'unsafe-inline'; img-src 'self' data:; font-src 'self'; \
                      connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) async fn check(
    State(hosts): State<Arc<Hosts>>,
    request: Request,
    next: Next,
) -> Response {
    let host = host_of(&request).unwrap_or_default().to_owned();
    let refused = refuse_host(&hosts, &host)
        .or_else(|| refuse_stranger(request.method(), request.headers(), &host));
    let mut response = match refused {
        Some((message, help)) => {
            let body = json!({"error": {"kind": "invalid", "message": message, "help": help}});
            (StatusCode::FORBIDDEN, axum::Json(body)).into_response()
        }
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn host_of(request: &Request) -> Option<&str> {
    // HTTP/2 has no `Host` but an authority.
    let header = request.headers().get(header::HOST).and_then(|it| it.to_str().ok());
    header.or_else(|| request.uri().authority().map(axum::http::uri::Authority::as_str))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|it| it.is_ascii_digit()) => name,
        _ => host,
    }
}

type Refused = Option<(String, String)>;

fn refuse_host(hosts: &Hosts, host: &str) -> Refused {
    let Hosts::Loopback(more) = hosts else { return None };
    let name = without_port(host);
    let is_known = LOOPBACK.iter().copied().chain(more.iter().map(String::as_str));
    if is_known.clone().any(|it| it.eq_ignore_ascii_case(name)) {
        return None;
    }
    let message = format!("`{name}` is not a name of this program");
    Some((message, "use http://localhost, or add the name to the hosts it answers to".to_owned()))
}

fn refuse_stranger(method: &Method, headers: &HeaderMap, host: &str) -> Refused {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return None;
    }
    let text = |name: &str| headers.get(name).map(|it| it.to_str().unwrap_or("?"));
    let site_is_ours = text("sec-fetch-site").is_none_or(|it| it == "same-origin" || it == "none");
    let origin_is_ours = text("origin").is_none_or(|origin| {
        origin.split_once("://").is_some_and(|(_, it)| it.eq_ignore_ascii_case(host))
    });
    if site_is_ours && origin_is_ours {
        return None;
    }
    let message = "a page of another site may not change anything here".to_owned();
    Some((message, "send it from the console, or from a program".to_owned()))
}

#[cfg(test)]
mod tests;
