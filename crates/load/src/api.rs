//! Asks a server for what a measurement needs before and after: streams, consumers, SQL.

use anyhow::{Context as _, ensure};
use base::Clock;
use serde_json::{Value, json};

use crate::Ctx;
use crate::http::{Connection, Request, post};
use crate::sign::{Key, Target};

/// The Kinesis API's operation of this name.
pub(crate) const fn kinesis(operation: &str) -> Target<'_> {
    Target { service: "kinesis", content_type: "application/x-amz-json-1.1", operation }
}

/// Where to ask, and who asks.
pub(crate) struct Api<'a> {
    pub(crate) address: &'a str,
    pub(crate) key: Option<Key>,
    pub(crate) clock: &'a dyn Clock,
}

impl Api<'_> {
    pub(crate) fn of<'a>(ctx: &'a Ctx, address: &'a str) -> Api<'a> {
        Api { address, key: None, clock: &*ctx.clock }
    }

    /// Makes a request to the Kinesis API.
    pub(crate) fn request(&self, operation: &str, body: &Value) -> Request {
        let operation = format!("Kinesis_20131202.{operation}");
        let body = body.to_string();
        kinesis(&operation).request(self.key.as_ref(), self.clock.now_ms(), body.as_bytes(), 0)
    }

    /// Asks the Kinesis API.
    pub(crate) fn call(&self, operation: &str, body: &Value) -> anyhow::Result<Value> {
        let mut connection = Connection::open(self.address)?;
        let (status, answer) = connection.ask(&self.request(operation, body))?;
        ensure!(status == 200, "{operation}: HTTP {status}: {}", String::from_utf8_lossy(answer));
        Ok(serde_json::from_slice(answer).unwrap_or_default())
    }

    /// Makes a stream, and waits until it can be written to.
    pub(crate) fn create_stream(&self, name: &str, shards: u32) -> anyhow::Result<()> {
        self.call("CreateStream", &json!({"StreamName": name, "ShardCount": shards}))?;
        for _ in 0..ACTIVE_LOOKS_MAX {
            let summary = self.call("DescribeStream", &json!({"StreamName": name, "Limit": 1}))?;
            if summary.pointer("/StreamDescription/StreamStatus") == Some(&json!("ACTIVE")) {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        anyhow::bail!("the stream does not become active")
    }

    /// Asks for the first value of the first row.
    pub(crate) fn sql(&self, sql: &str) -> anyhow::Result<Value> {
        let rows = self.rows(sql)?;
        let first = rows.pointer("/0/0").context("a value")?;
        Ok(first.clone())
    }

    /// Asks for all rows, each a list of values.
    pub(crate) fn rows(&self, sql: &str) -> anyhow::Result<Value> {
        let body = json!({"sql": sql, "rows_max": ROWS_MAX}).to_string();
        let request = post("/v1/sql", "content-type: application/json\r\n", body.as_bytes(), 0);
        let mut connection = Connection::open(self.address)?;
        let (status, answer) = connection.ask(&request)?;
        ensure!(status == 200, "{sql}: HTTP {status}: {}", String::from_utf8_lossy(answer));
        let mut answer: Value = serde_json::from_slice(answer)?;
        let rows = answer.get_mut("rows").context("rows")?;
        Ok(rows.take())
    }
}

/// Rows of an answer, more than any question here has.
const ROWS_MAX: u32 = 100_000;

/// How often it is looked whether a stream is there: for half a minute.
const ACTIVE_LOOKS_MAX: u32 = 300;
