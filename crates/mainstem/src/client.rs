//! Speaks to a running program over its own HTTP API, as any other client would.

use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::Value;

use crate::admission::{KEY_VARIABLE, operator_key};
use crate::cli::Target;
use crate::home;

/// The port that `run` takes by default.
const HTTP_DEFAULT: &str = "127.0.0.1:7070";

/// A running program.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    address: String,
}

/// Returns the key to show: that of the data folder, unless another program is named.
#[expect(clippy::disallowed_methods, reason = "a secret of the caller, not of a project")]
fn key_of(target: &Target) -> Option<String> {
    let named = std::env::var(KEY_VARIABLE).ok().filter(|it| !it.is_empty());
    named.or_else(|| operator_key(&target.data()).filter(|_| target.http.is_none()))
}

impl Target {
    /// Returns the data folder of this target.
    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.data.clone().unwrap_or_else(|| self.dir.join(".mainstem"))
    }

    /// Returns the running program, or `None` if none can be found.
    pub(crate) async fn find(&self) -> anyhow::Result<Option<Client>> {
        let found = match &self.http {
            Some(address) => Some(address.clone()),
            None => home::find(&self.data()).map(|it| it.http),
        };
        if let Some(address) = found {
            return Client::to(&address, key_of(self)).map(Some);
        }
        // Nothing was named and this folder has no data: the program on the usual port is meant.
        if self.data.is_none() && !self.data().try_exists().unwrap_or(false) {
            let client = Client::to(HTTP_DEFAULT, key_of(self))?;
            if client.get("/healthz").await.is_ok() {
                return Ok(Some(client));
            }
        }
        Ok(None)
    }

    /// Returns the running program, or an error that says how to start one.
    pub(crate) async fn require(&self) -> anyhow::Result<Client> {
        match self.find().await? {
            Some(client) => Ok(client),
            None => bail!(
                "no mainstem runs on {}; start one with `mainstem run {}`, or name its address with --http",
                self.data().display(),
                self.dir.display()
            ),
        }
    }
}

impl Client {
    fn to(address: &str, key: Option<String>) -> anyhow::Result<Client> {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            let value = HeaderValue::try_from(format!("Bearer {key}"));
            let mut value = value.context("the key has characters that no header may have")?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .default_headers(headers)
            .build()?;
        let address = address.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Ok(Client { http, address })
    }

    /// Returns the address, for messages.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Asks for `path` and returns the body, or the program's own message as an error.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        self.answer(self.http.get(self.url(path))).await
    }

    /// Sends JSON to `path` and returns the body.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Vec<u8>> {
        self.answer(self.http.post(self.url(path)).json(body)).await
    }

    /// Begins a request whose headers and body the caller adds.
    pub(crate) fn start(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.post(self.url(path))
    }

    /// Says what to do when nobody answers, and the innermost cause.
    fn unanswered(&self, error: &reqwest::Error) -> anyhow::Error {
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        anyhow::anyhow!("no mainstem answers at {}: {cause}", self.address)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Vec<u8>> {
        let response = request.send().await.map_err(|error| self.unanswered(&error))?;
        let status = response.status();
        let body = response.bytes().await.context("the answer broke off")?.to_vec();
        if status.is_success() { Ok(body) } else { bail!(message_of(&body, status.as_u16())) }
    }
}

/// Returns the message, and the help if there is one, of an error answer.
pub(crate) fn message_of(body: &[u8], status: u16) -> String {
    let error: Value = serde_json::from_slice(body).unwrap_or_default();
    let part = |name: &str| error.pointer(&format!("/error/{name}")).and_then(Value::as_str);
    match (part("message"), part("help")) {
        (Some(message), Some(help)) => format!("{message}\n  {help}"),
        (Some(message), None) => message.to_owned(),
        (None, _) => format!("HTTP {status}: {}", String::from_utf8_lossy(body)),
    }
}
