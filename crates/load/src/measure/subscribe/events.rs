//! The events of one subscription, over a connection of HTTP/2 of its own, as AWS' clients do.

use std::pin::Pin;

use anyhow::{Context as _, bail};
use bytes::{Buf as _, Bytes, BytesMut};
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use memchr::memmem;
use serde_json::json;
use tokio::net::TcpStream;

/// What may come ahead of being read.
const WINDOW_BYTES: u32 = 8 << 20;

/// Around headers and payload of a message: two lengths and a checksum before, a checksum behind.
const BEFORE: usize = 12;
const BEHIND: usize = 4;

pub(super) struct Events {
    /// The connection ends with it.
    _sender: http2::SendRequest<String>,
    body: Incoming,
    buffer: BytesMut,
}

impl Events {
    /// Subscribes.
    pub(super) async fn of(
        address: &str,
        arn: &str,
        shard: &str,
        from: &str,
    ) -> anyhow::Result<Events> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(WINDOW_BYTES);
        builder.initial_connection_window_size(WINDOW_BYTES);
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        base::task::spawn("subscription", connection);
        let body =
            json!({"ConsumerARN": arn, "ShardId": shard, "StartingPosition": {"Type": from}});
        let request = Request::post("http://localhost/")
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", "Kinesis_20131202.SubscribeToShard")
            .body(body.to_string())?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        anyhow::ensure!(status.is_success(), "SubscribeToShard: HTTP {status}");
        Ok(Events { _sender: sender, body: answer.into_body(), buffer: BytesMut::new() })
    }

    /// Returns the payload of the next message; none when the subscription is over.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            if let Some(payload) = self.take()? {
                return Ok(Some(payload));
            }
            let frame = std::future::poll_fn(|it| Pin::new(&mut self.body).poll_frame(it)).await;
            let Some(frame) = frame else { return Ok(None) };
            if let Ok(bytes) = frame?.into_data() {
                self.buffer.extend_from_slice(&bytes);
            }
        }
    }

    /// Takes a message that is there to its end.
    fn take(&mut self) -> anyhow::Result<Option<Bytes>> {
        let mut start = self.buffer.as_ref();
        if start.len() < BEFORE {
            return Ok(None);
        }
        let (length, headers) = (start.get_u32() as usize, start.get_u32() as usize);
        if self.buffer.len() < length {
            self.buffer.reserve(length - self.buffer.len());
            return Ok(None);
        }
        let mut message = self.buffer.split_to(length).freeze();
        let payload = message.len().checked_sub(BEFORE + headers + BEHIND);
        let payload = payload.context("a message is shorter than its parts")?;
        message.advance(BEFORE);
        let headers = message.split_to(headers);
        message.truncate(payload);
        if memmem::find(&headers, b"exception").is_some() {
            bail!("the subscription ended: {}", String::from_utf8_lossy(&message));
        }
        Ok(Some(message))
    }
}
