//! Writes what a PostgreSQL client is told.

use std::io;

use bytes::BytesMut;
use pgwire::error::ErrorInfo;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::{CommandComplete, ErrorResponse, NoticeResponse};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

use crate::error::SqlError;

/// Bytes collected before they are written: fewer leave packets half empty.
const WRITE_BYTES: usize = 64 << 10;

/// The writing side of a connection.
pub(super) struct Output {
    stream: OwnedWriteHalf,
    buffer: BytesMut,
}

impl Output {
    pub(super) fn new(stream: OwnedWriteHalf) -> Output {
        Output { stream, buffer: BytesMut::new() }
    }

    /// Adds a message to what is written next.
    pub(super) fn push(&mut self, message: &PgWireBackendMessage) -> io::Result<()> {
        message.encode(&mut self.buffer).map_err(io::Error::other)
    }

    /// Writes when enough is collected.
    pub(super) async fn make_room(&mut self) -> io::Result<()> {
        if self.buffer.len() < WRITE_BYTES { Ok(()) } else { self.flush().await }
    }

    /// Writes all.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        // Not cancelled half way: what was written is taken out of the buffer as it goes.
        self.stream.write_all_buf(&mut self.buffer).await
    }

    /// Says that a command is done.
    pub(super) fn done(&mut self, tag: String) -> io::Result<()> {
        self.push(&PgWireBackendMessage::CommandComplete(CommandComplete::new(tag)))
    }

    /// Says what is wrong with `sql`.
    pub(super) fn error(&mut self, sql: &str, error: &SqlError) -> io::Result<()> {
        let mut info = info("ERROR", error);
        info.position = error
            .range
            .as_ref()
            .and_then(|range| sql.get(..range.start))
            .map(|before| (before.chars().count() + 1).to_string());
        self.push(&PgWireBackendMessage::ErrorResponse(ErrorResponse::from(info)))
    }

    /// Tells something that is worth knowing.
    pub(super) fn warning(&mut self, warning: &SqlError) -> io::Result<()> {
        let info = info("WARNING", warning);
        self.push(&PgWireBackendMessage::NoticeResponse(NoticeResponse::from(info)))
    }

    /// Tells what was done.
    pub(super) fn notice(&mut self, notice: &SqlError) -> io::Result<()> {
        let info = info("NOTICE", notice);
        self.push(&PgWireBackendMessage::NoticeResponse(NoticeResponse::from(info)))
    }

    /// Says why the connection ends.
    pub(super) async fn fatal(&mut self, error: &SqlError) -> io::Result<()> {
        self.push(&PgWireBackendMessage::ErrorResponse(ErrorResponse::from(info("FATAL", error))))?;
        self.flush().await?;
        self.stream.shutdown().await
    }
}

fn info(severity: &str, error: &SqlError) -> ErrorInfo {
    let (code, message) = (error.sqlstate.to_owned(), error.message.clone());
    let mut info = ErrorInfo::new(severity.to_owned(), code, message);
    info.severity_nonlocalized = Some(severity.to_owned());
    info.hint = error.help.clone();
    info
}
