//! The console's files: what `cargo xtask console` built, or a page that says to run it.

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
#[allow_missing = true]
struct Bundle;

/// Vite writes a hash of the content into these names, so they never change.
const HASHED: &str = "assets/";

const NO_BUNDLE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
<title>Mainstem</title><h1>The console is not built into this program</h1>\
<p>Run <code>cargo xtask console</code>, then build the program again. \
Everything else works: <a href=\"/healthz\">/healthz</a>, <a href=\"/metrics\">/metrics</a>, \
<code>POST /v1/sql</code>.</p>";

/// Answers whatever no other route takes: a file of the console, or the console itself, which
/// shows the page that the path names.
pub(crate) async fn serve(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if let Some(file) = Bundle::get(path).filter(|_| !path.is_empty()) {
        return respond(path, &file, &headers);
    }
    if path.starts_with(HASHED) || path.rsplit('/').next().is_some_and(|it| it.contains('.')) {
        return (StatusCode::NOT_FOUND, "no such file").into_response();
    }
    match Bundle::get("index.html") {
        Some(file) => respond("index.html", &file, &headers),
        None => Html(NO_BUNDLE).into_response(),
    }
}

fn respond(path: &str, file: &EmbeddedFile, headers: &HeaderMap) -> Response {
    let hash = file.metadata.sha256_hash();
    let tag: String = hash.iter().take(16).map(|it| format!("{it:02x}")).collect();
    let tag = format!("\"{tag}\"");
    let is_hashed = path.starts_with(HASHED);
    let cache = if is_hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
    let seen = headers.get(header::IF_NONE_MATCH).and_then(|it| it.to_str().ok());
    let mut response = if seen.is_some_and(|it| it.contains(&tag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = file.metadata.mimetype().to_owned();
        ([(header::CONTENT_TYPE, kind)], file.data.clone()).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}
