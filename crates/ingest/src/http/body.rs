//! Reads a request's body, inflates it, and never holds more than its limits.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, header};
use base::{Clock, limits};
use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The bodies in memory, of all requests together.
#[derive(Debug, Clone)]
pub(crate) struct Bodies {
    room: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
}

/// A body that was read, with the room it takes.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) bytes: Bytes,
    room: Vec<OwnedSemaphorePermit>,
}

/// How a body is packed.
#[derive(Debug, Clone, Copy)]
enum Encoding {
    Gzip,
    Zstd,
}

/// Why a body was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyFault {
    #[error("the body is larger than {} bytes", limits::REQUEST_BYTES_MAX)]
    TooLarge,
    #[error("the body is larger than {} bytes when inflated", limits::REQUEST_INFLATED_BYTES_MAX)]
    InflatesTooMuch,
    #[error("the requests under way fill {} bytes of memory", limits::REQUESTS_BYTES_MAX)]
    NoRoom,
    #[error("the body did not arrive within {} seconds", limits::REQUEST_TIME_MAX.as_secs())]
    TooSlow,
    #[error("the body broke off")]
    BrokeOff,
    #[error("the body is not {encoding}: {message}")]
    NotInflatable { encoding: &'static str, message: String },
    #[error("`Content-Encoding: {0}` is not known; send gzip, zstd, or no encoding")]
    UnknownEncoding(String),
}

/// Room is counted in blocks, so that a counter of 32 bits does for any size.
const BLOCK: usize = 1 << 10;

/// Output grows by this much at a time when a body is inflated.
const STEP: usize = 64 << 10;

/// Of a body that is refused, so much is read and forgotten before the answer.
const SWALLOW_BYTES_MAX: usize = 8 * limits::REQUEST_BYTES_MAX;
const SWALLOW_TIME_MAX: Duration = Duration::from_secs(5);

impl Bodies {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Bodies {
        Bodies { room: Arc::new(Semaphore::new(limits::REQUESTS_BYTES_MAX / BLOCK)), clock }
    }

    /// Reads and inflates the body of one request.
    pub(crate) async fn take(&self, headers: &HeaderMap, body: Body) -> Result<Taken, BodyFault> {
        let taken = self.read(headers, body).await?;
        self.unpack(headers, taken).await
    }

    /// Inflates a body that was read, if it is packed.
    pub(crate) async fn unpack(
        &self,
        headers: &HeaderMap,
        taken: Taken,
    ) -> Result<Taken, BodyFault> {
        let encoding = headers.get(header::CONTENT_ENCODING);
        let encoding = encoding.map(|it| String::from_utf8_lossy(it.as_bytes()).to_lowercase());
        let encoding = match encoding.as_deref().map(str::trim) {
            None | Some("" | "identity") => return Ok(taken),
            Some("gzip" | "x-gzip") => Encoding::Gzip,
            Some("zstd") => Encoding::Zstd,
            Some(other) => {
                return Err(BodyFault::UnknownEncoding(other.chars().take(64).collect()));
            }
        };
        // Inflating takes a tenth of a second at most, too long for the threads that serve others.
        let bodies = self.clone();
        let inflated = tokio::task::spawn_blocking(move || bodies.inflate(encoding, taken)).await;
        inflated.map_err(|_panicked: tokio::task::JoinError| BodyFault::BrokeOff)?
    }

    /// Reads the body of one request as it comes over the wire.
    pub(crate) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Taken, BodyFault> {
        let length = headers.get(header::CONTENT_LENGTH);
        let length: Option<usize> = length.and_then(|it| it.to_str().ok()?.parse().ok());
        let mut frames = body.into_data_stream();
        let read = self.read_within(length, &mut frames).await;
        // A client that asked before it sends gets its answer instead of a go-ahead.
        let waits = headers.get(header::EXPECT).is_some() && length.is_some();
        if matches!(read, Err(BodyFault::TooLarge | BodyFault::NoRoom)) && !waits {
            self.swallow(frames).await;
        }
        read
    }

    /// Reads on and forgets, for a while: most clients look for an answer only when all is sent,
    /// and would see a broken connection instead of it.
    async fn swallow(&self, mut frames: BodyDataStream) {
        let mut late = self.clock.sleep(SWALLOW_TIME_MAX);
        let mut bytes = 0;
        while bytes < SWALLOW_BYTES_MAX {
            let frame = tokio::select! {
                biased;
                frame = frames.next() => frame,
                () = &mut late => return,
            };
            let Some(Ok(frame)) = frame else { return };
            bytes += frame.len();
        }
    }

    async fn read_within(
        &self,
        length: Option<usize>,
        frames: &mut BodyDataStream,
    ) -> Result<Taken, BodyFault> {
        if limits::REQUEST_BYTES_MAX < length.unwrap_or(0) {
            return Err(BodyFault::TooLarge);
        }
        let mut room = vec![self.reserve(length.unwrap_or(STEP))?];
        let mut reserved = length.unwrap_or(STEP);
        // Most bodies come in one piece: then nothing is copied.
        let mut first = Bytes::new();
        let mut rest: Vec<u8> = Vec::new();
        let mut late = self.clock.sleep(limits::REQUEST_TIME_MAX);
        loop {
            let frame = tokio::select! {
                biased;
                frame = frames.next() => frame,
                () = &mut late => return Err(BodyFault::TooSlow),
            };
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|_broken: axum::Error| BodyFault::BrokeOff)?;
            let bytes = first.len() + rest.len() + frame.len();
            if limits::REQUEST_BYTES_MAX < bytes {
                return Err(BodyFault::TooLarge);
            }
            if reserved < bytes {
                let more = (bytes - reserved).max(STEP);
                room.push(self.reserve(more)?);
                reserved += more;
            }
            if first.is_empty() && rest.is_empty() {
                first = frame;
            } else {
                if rest.is_empty() {
                    rest.reserve(length.unwrap_or(bytes).max(bytes));
                    rest.extend_from_slice(&first);
                    first = Bytes::new();
                }
                rest.extend_from_slice(&frame);
            }
        }
        let bytes = if rest.is_empty() { first } else { Bytes::from(rest) };
        Ok(Taken { bytes, room })
    }

    fn inflate(&self, encoding: Encoding, taken: Taken) -> Result<Taken, BodyFault> {
        let Taken { bytes: packed, mut room } = taken;
        let bytes = match encoding {
            Encoding::Gzip => {
                self.gunzip(&packed, limits::REQUEST_INFLATED_BYTES_MAX, &mut room)?
            }
            Encoding::Zstd => {
                let failed = |error: std::io::Error| not_inflatable("zstd", &error);
                let zstd = zstd::stream::read::Decoder::with_buffer(packed.as_ref());
                let mut zstd = zstd.map_err(failed)?;
                zstd.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(failed)?;
                self.read_all("zstd", zstd, limits::REQUEST_INFLATED_BYTES_MAX, &mut room)?
            }
        };
        Ok(Taken { bytes: Bytes::from(bytes), room })
    }

    /// Inflates gzip to at most `bytes_max`; what it takes stands in `room`. It uses the processor,
    /// so call it where nobody waits.
    pub(crate) fn gunzip(
        &self,
        packed: &[u8],
        bytes_max: usize,
        room: &mut Vec<OwnedSemaphorePermit>,
    ) -> Result<Vec<u8>, BodyFault> {
        self.read_all("gzip", flate2::read::MultiGzDecoder::new(packed), bytes_max, room)
    }

    fn read_all(
        &self,
        encoding: &'static str,
        mut from: impl Read,
        bytes_max: usize,
        room: &mut Vec<OwnedSemaphorePermit>,
    ) -> Result<Vec<u8>, BodyFault> {
        let mut out = Vec::new();
        let mut step = STEP;
        loop {
            // One byte beyond the limit tells "too much" from "just enough".
            let left = bytes_max + 1 - out.len();
            room.push(self.reserve(step.min(left))?);
            let read = from.by_ref().take(step.min(left) as u64).read_to_end(&mut out);
            let read = read.map_err(|error| not_inflatable(encoding, &error))?;
            if bytes_max < out.len() {
                return Err(BodyFault::InflatesTooMuch);
            }
            if read == 0 {
                return Ok(out);
            }
            // Doubling keeps the pieces of room few.
            step = out.len().max(STEP);
        }
    }

    fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, BodyFault> {
        let blocks = u32::try_from(bytes.div_ceil(BLOCK)).unwrap_or(u32::MAX);
        Arc::clone(&self.room)
            .try_acquire_many_owned(blocks)
            .map_err(|_full: tokio::sync::TryAcquireError| BodyFault::NoRoom)
    }
}

/// 8 MiB, the largest window a decoder is asked to support (RFC 8878); the library alone would
/// allow a frame to claim 128 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

fn not_inflatable(encoding: &'static str, error: &std::io::Error) -> BodyFault {
    BodyFault::NotInflatable { encoding, message: error.to_string() }
}

#[cfg(test)]
mod tests;
