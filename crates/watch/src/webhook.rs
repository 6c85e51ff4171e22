//! One POST to a webhook, and what its answer means.

use std::time::Duration;

use base::limits::NOTICE_ANSWER_BYTES_MAX;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url, redirect};

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// It was taken.
    Delivered,
    /// Worth another attempt.
    Again {
        /// Why it failed.
        reason: String,
        /// Not before this, if that is said.
        after: Option<Duration>,
    },
    /// Refused for good: the same will always be.
    Refused {
        /// Why.
        reason: String,
    },
}

/// Makes the client for all webhooks.
pub(crate) fn client(timeout: Duration) -> Result<Client, String> {
    Client::builder()
        .user_agent("mainstem")
        .timeout(timeout)
        // A redirect would turn the POST into a GET or send it who knows where.
        .redirect(redirect::Policy::none())
        .build()
        .map_err(|error| error.to_string())
}

/// Reads the address of a webhook; the message never shows it, since it may hold a password.
pub(crate) fn address(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_what| "the webhook is not an address like https://..")?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err("the webhook begins with neither http:// nor https://"),
    }
}

/// Sends `body`; a repeated attempt has the same `id` in its header.
pub(crate) async fn post(client: &Client, url: &Url, id: &str, body: String) -> Attempt {
    let headers = [(CONTENT_TYPE.as_str(), "application/json"), ("Idempotency-Key", id)];
    post_with(client, url, &headers, body).await
}

/// Sends `body` with these headers.
pub(crate) async fn post_with(
    client: &Client,
    url: &Url,
    headers: &[(&str, &str)],
    body: String,
) -> Attempt {
    let request = client.post(url.clone()).body(body);
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    match request.send().await {
        Ok(response) if response.status().is_success() => Attempt::Delivered,
        Ok(response) => judge(response).await,
        Err(error) => Attempt::Again { reason: reason_of(error), after: None },
    }
}

/// Says what went wrong without the address.
fn reason_of(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let is_connect = error.is_connect();
    let error = error.without_url();
    let mut deepest: &dyn std::error::Error = &error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let what = if is_connect { "cannot connect" } else { "the request failed" };
    format!("{what}: {deepest}")
}

async fn judge(response: Response) -> Attempt {
    let status = response.status();
    let after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|it| it.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let answer = beginning_of(response).await;
    let answer = answer.trim();
    let separator = if answer.is_empty() { "" } else { ": " };
    let reason = format!("{status}{separator}{answer}");
    if status.is_redirection() {
        return Attempt::Refused { reason: format!("{reason}; write the address it leads to") };
    }
    let is_patient =
        status == StatusCode::REQUEST_TIMEOUT || status == StatusCode::TOO_MANY_REQUESTS;
    if status.is_client_error() && !is_patient {
        Attempt::Refused { reason }
    } else {
        Attempt::Again { reason, after }
    }
}

/// Reads what says why, but no more than fits a message.
async fn beginning_of(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < NOTICE_ANSWER_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    bytes.truncate(NOTICE_ANSWER_BYTES_MAX);
    let text = String::from_utf8_lossy(&bytes);
    text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
}
