//! Following a stream over real connections, byte by byte.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::tests::Fixture;

/// Opens a connection and sends a request; `headers` stand one a line.
async fn open(address: &str, path: &str, headers: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address.trim_start_matches("http://")).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

/// Reads until what came contains `wanted`.
async fn until(socket: &mut TcpStream, wanted: &str) -> String {
    let mut all = Vec::new();
    let mut room = [0; 4096];
    loop {
        let read = tokio::time::timeout(Duration::from_secs(10), socket.read(&mut room)).await;
        let said = String::from_utf8_lossy(&all).into_owned();
        let count = read.unwrap_or_else(|_| panic!("{wanted} did not come: {said}")).unwrap();
        assert_ne!(count, 0, "{wanted} did not come: {said}");
        all.extend_from_slice(&room[..count]);
        let said = String::from_utf8_lossy(&all);
        if said.contains(wanted) {
            return said.into_owned();
        }
    }
}

const FOLLOW: &str = "/v1/streams/notes/follow";
const NOTES: &str = "/v1/streams/notes/records";

#[tokio::test(flavor = "multi_thread")]
async fn events_come_as_records_do_and_browsers_go_on_where_they_were() {
    let fixture = Fixture::new();
    let address = fixture.serve().await;
    let mut socket = open(&address, FOLLOW, "accept: text/event-stream\r\n").await;
    let head = until(&mut socket, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
    fixture.post(NOTES, &[], "hello\nworld").await;
    let said = until(&mut socket, "id: 0:2").await;
    assert!(said.contains("event: record\ndata: {\"arrived_ms\":"), "{said}");
    assert!(said.contains("\"text\":\"hello\"") && said.contains("\"text\":\"world\""), "{said}");
    let mut again = open(&address, FOLLOW, "last-event-id: 0:1\r\n").await;
    let said = until(&mut again, "id: 0:2").await;
    assert!(said.contains("world") && !said.contains("hello"), "{said}");
}

const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Reads one unmasked frame of a server: its code and what it holds.
async fn frame(socket: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    socket.read_exact(&mut head).await.unwrap();
    let mut length = usize::from(head[1]);
    if length == 126 {
        let mut more = [0; 2];
        socket.read_exact(&mut more).await.unwrap();
        length = usize::from(u16::from_be_bytes(more));
    }
    assert!(head[1] < 127, "no frame here is that long");
    let mut payload = vec![0; length];
    socket.read_exact(&mut payload).await.unwrap();
    (head[0] & 15, payload)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_gets_each_record_as_a_message_and_a_reason_at_the_end() {
    let fixture = Fixture::new();
    let address = fixture.serve().await;
    let path = format!("{FOLLOW}?from=trim_horizon");
    fixture.post(NOTES, &[], "hello").await;
    let mut socket = open(&address, &path, UPGRADE).await;
    let mut head = [0; 1];
    let mut said = Vec::new();
    while !said.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut head).await.unwrap();
        said.extend_from_slice(&head);
    }
    let said = String::from_utf8(said).unwrap();
    assert!(said.starts_with("HTTP/1.1 101"), "{said}");
    // The key of RFC 6455's own example.
    assert!(said.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{said}");
    let (code, payload) = frame(&mut socket).await;
    let record: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!((code, record["text"].as_str()), (1, Some("hello")));
    fixture.inlet.journal().close();
    fixture.clock.advance(Duration::from_secs(5));
    loop {
        let (code, payload) = frame(&mut socket).await;
        if code == 8 {
            assert!(2 < payload.len(), "a reason");
            break;
        }
    }
}

#[tokio::test]
async fn a_place_that_is_none_is_refused() {
    let fixture = Fixture::new();
    let (status, _, body) = fixture.get("/v1/streams/notes/follow?from=yesterday").await;
    assert_eq!(status, 400, "{}", String::from_utf8_lossy(&body));
    assert_eq!(fixture.get("/v1/streams/nots/follow").await.0, 404);
}
