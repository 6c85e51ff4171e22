//! Reads what a PostgreSQL client sends; any bytes are a message or an error, never a panic.

use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{Notify, mpsc};

use base::{limits, task};

/// Messages read ahead while a statement runs.
const MESSAGES_AHEAD: usize = 4;

/// What a client may say before it has logged in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// It asks for encryption (TLS or GSS).
    Encrypt,
    /// It asks to stop what another connection does.
    Cancel { process: i32, secret: i32 },
    /// It begins a session with these settings.
    Start { minor: u16, settings: Vec<(String, String)> },
}

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A step of the login.
    Login(Bytes),
    /// The simple protocol: run this text.
    Query(String),
    /// Remember a statement; the types of its parameters as far as the client knows them.
    Parse { name: String, sql: String, types: Vec<u32> },
    /// Give a statement its parameters.
    Bind(Bind),
    /// Tell the columns of a portal or a statement.
    Describe { is_portal: bool, name: String },
    /// Send rows of a portal, at most so many; 0 is all.
    Execute { name: String, rows_max: usize },
    /// Forget a portal or a statement.
    Close { is_portal: bool, name: String },
    /// Send what is waiting.
    Flush,
    /// The end of a sequence of messages.
    Sync,
    /// The client goes.
    Terminate,
    /// Part of a copy, which is never under way here.
    Copy,
}

/// The parameters of a statement.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Bind {
    pub(super) portal: String,
    pub(super) statement: String,
    pub(super) formats: Vec<i16>,
    pub(super) values: Vec<Option<Bytes>>,
    pub(super) results: Vec<i16>,
}

/// Reads messages from a connection.
pub(super) struct Frames<R> {
    stream: R,
    buffer: BytesMut,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the client's message is broken: {what}"))
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(super) fn new(stream: R) -> Frames<R> {
        Frames { stream, buffer: BytesMut::new() }
    }

    /// Reads what begins a connection; `None` when the client has gone.
    pub(super) async fn greeting(&mut self) -> io::Result<Option<Greeting>> {
        if !self.fill(4).await? {
            return Ok(None);
        }
        let length = length(&self.buffer, 0);
        if !(8..=limits::POSTGRES_LOGIN_BYTES_MAX).contains(&length) {
            return Err(broken("its length cannot be"));
        }
        if !self.fill(length).await? {
            return Ok(None);
        }
        let body = self.buffer.split_to(length).freeze().slice(4..);
        greeting(Reader(body)).map(Some).ok_or_else(|| broken("it begins no session"))
    }

    /// Reads the next message of at most `bytes_max`; `None` when the client has gone.
    pub(super) async fn message(&mut self, bytes_max: usize) -> io::Result<Option<Message>> {
        if !self.fill(5).await? {
            return Ok(None);
        }
        let length = length(&self.buffer, 1);
        if !(4..=bytes_max).contains(&length) {
            return Err(broken("its length cannot be"));
        }
        if !self.fill(length + 1).await? {
            return Ok(None);
        }
        let frame = self.buffer.split_to(length + 1).freeze();
        let kind = frame.first().copied().unwrap_or_default();
        message(kind, Reader(frame.slice(5..))).map(Some).ok_or_else(|| broken("it cannot be read"))
    }

    async fn fill(&mut self, bytes: usize) -> io::Result<bool> {
        while self.buffer.len() < bytes {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn length(buffer: &BytesMut, at: usize) -> usize {
    let bytes = buffer.get(at..at + 4).and_then(|it| <[u8; 4]>::try_from(it).ok());
    bytes.map_or(0, |it| usize::try_from(u32::from_be_bytes(it)).unwrap_or(usize::MAX))
}

/// Reads messages while statements run, so that a client that goes is noticed.
pub(super) fn read_ahead<R>(
    mut frames: Frames<R>,
) -> (mpsc::Receiver<io::Result<Message>>, Arc<Notify>)
where
    R: AsyncRead + Unpin + Send + 'static,
{
    let (to, messages) = mpsc::channel(MESSAGES_AHEAD);
    let gone = Arc::new(Notify::new());
    let notify = Arc::clone(&gone);
    let reader = async move {
        loop {
            let read = tokio::select! {
                read = frames.message(limits::POSTGRES_MESSAGE_BYTES_MAX) => read,
                () = to.closed() => return,
            };
            let Some(message) = read.transpose() else {
                // A statement under way ends now; messages that came before are for nobody.
                notify.notify_one();
                return;
            };
            let is_last = message.is_err();
            if message.as_ref().is_err_and(|it| it.kind() != io::ErrorKind::InvalidData) {
                notify.notify_one(); // The connection broke off.
            }
            if to.send(message).await.is_err() || is_last {
                return;
            }
        }
    };
    drop(task::spawn("postgres reader", reader));
    (messages, gone)
}

/// Takes values from the front; `None` where the message is too short.
pub(super) struct Reader(pub(super) Bytes);

impl Reader {
    fn u8(&mut self) -> Option<u8> {
        self.0.try_get_u8().ok()
    }

    fn u16(&mut self) -> Option<u16> {
        self.0.try_get_u16().ok()
    }

    fn i16(&mut self) -> Option<i16> {
        self.0.try_get_i16().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.0.try_get_u32().ok()
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        self.0.try_get_i32().ok()
    }

    pub(super) fn text(&mut self) -> Option<String> {
        let end = self.0.iter().position(|it| *it == 0)?;
        let text = self.0.split_to(end);
        self.0.advance(1);
        String::from_utf8(text.to_vec()).ok()
    }

    pub(super) fn bytes(&mut self, count: usize) -> Option<Bytes> {
        (count <= self.0.len()).then(|| self.0.split_to(count))
    }

    fn list<T>(&mut self, item: impl Fn(&mut Reader) -> Option<T>) -> Option<Vec<T>> {
        let count = self.u16()?;
        (0..count).map(|_| item(self)).collect()
    }

    fn value(&mut self) -> Option<Option<Bytes>> {
        match self.i32()? {
            -1 => Some(None),
            length => self.bytes(usize::try_from(length).ok()?).map(Some),
        }
    }

    fn finished<T>(self, message: T) -> Option<T> {
        self.0.is_empty().then_some(message)
    }
}

fn greeting(mut body: Reader) -> Option<Greeting> {
    let code = body.u32()?;
    match (code >> 16, code & 0xFFFF) {
        (1234, 5678) => {
            let (process, secret) = (body.i32()?, body.i32()?);
            body.finished(Greeting::Cancel { process, secret })
        }
        (1234, 5679 | 5680) => body.finished(Greeting::Encrypt),
        (3, minor) => {
            let mut settings = Vec::new();
            loop {
                let name = body.text()?;
                if name.is_empty() {
                    break;
                }
                settings.push((name, body.text()?));
            }
            let minor = u16::try_from(minor).ok()?;
            body.finished(Greeting::Start { minor, settings })
        }
        _ => None,
    }
}

fn message(kind: u8, mut body: Reader) -> Option<Message> {
    match kind {
        b'p' => Some(Message::Login(body.0)),
        b'Q' => {
            let sql = body.text()?;
            body.finished(Message::Query(sql))
        }
        b'P' => {
            let (name, sql) = (body.text()?, body.text()?);
            let types = body.list(Reader::u32)?;
            body.finished(Message::Parse { name, sql, types })
        }
        b'B' => {
            let bind = Bind {
                portal: body.text()?,
                statement: body.text()?,
                formats: body.list(Reader::i16)?,
                values: body.list(Reader::value)?,
                results: body.list(Reader::i16)?,
            };
            body.finished(Message::Bind(bind))
        }
        b'D' => {
            let (is_portal, name) = target(&mut body)?;
            body.finished(Message::Describe { is_portal, name })
        }
        b'C' => {
            let (is_portal, name) = target(&mut body)?;
            body.finished(Message::Close { is_portal, name })
        }
        b'E' => {
            let name = body.text()?;
            let rows_max = usize::try_from(body.i32()?).unwrap_or(0);
            body.finished(Message::Execute { name, rows_max })
        }
        b'H' => body.finished(Message::Flush),
        b'S' => body.finished(Message::Sync),
        b'X' => body.finished(Message::Terminate),
        b'd' | b'c' | b'f' => Some(Message::Copy),
        _ => None,
    }
}

fn target(body: &mut Reader) -> Option<(bool, String)> {
    let is_portal = match body.u8()? {
        b'P' => true,
        b'S' => false,
        _ => return None,
    };
    Some((is_portal, body.text()?))
}

#[cfg(test)]
mod tests;
