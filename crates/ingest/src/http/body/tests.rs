//! Bodies: read whole, capped, inflated, and given up when they come too slowly.

use std::io::Write as _;
use std::time::Duration;

use base::time::ManualClock;
use futures::stream;
use proptest::prelude::*;

use super::*;

fn bodies() -> (Bodies, Arc<ManualClock>) {
    let clock = ManualClock::at(0);
    (Bodies::new(Arc::new(Arc::clone(&clock))), clock)
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

async fn take(pairs: &[(&'static str, &str)], body: Body) -> Result<Bytes, BodyFault> {
    bodies().0.take(&headers(pairs), body).await.map(|it| it.bytes)
}

fn chunks(count: usize, bytes: usize) -> Body {
    let chunk = Bytes::from(vec![b'x'; bytes]);
    let chunks = (0..count).map(move |_| Ok::<_, std::io::Error>(chunk.clone()));
    Body::from_stream(stream::iter(chunks))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

#[tokio::test]
async fn a_body_in_pieces_is_put_together() {
    let body = Body::from_stream(stream::iter(
        ["ab", "", "cd", "e"].map(|it| Ok::<_, std::io::Error>(Bytes::from(it))),
    ));
    assert_eq!(take(&[], body).await.unwrap(), "abcde");
    assert_eq!(take(&[], Body::from("one")).await.unwrap(), "one");
    assert_eq!(take(&[], Body::empty()).await.unwrap(), "");
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_not_read() {
    let unread = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let length = (limits::REQUEST_BYTES_MAX + 1).to_string();
    let asks = [("content-length", length.as_str()), ("expect", "100-continue")];
    assert_eq!(take(&asks, unread).await, Err(BodyFault::TooLarge));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_swallowed_for_a_while() {
    let length = (limits::REQUEST_BYTES_MAX + 1).to_string();
    let (bodies, clock) = bodies();
    let body = chunks(3, 1 << 10);
    let fault = bodies.take(&headers(&[("content-length", &length)]), body).await.unwrap_err();
    assert_eq!(fault, BodyFault::TooLarge);
    let stuck = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let said = headers(&[("content-length", &length)]);
    let mut taken = std::pin::pin!(bodies.take(&said, stuck));
    assert!(futures::poll!(taken.as_mut()).is_pending(), "the rest may still come");
    clock.advance(SWALLOW_TIME_MAX);
    assert_eq!(taken.await.unwrap_err(), BodyFault::TooLarge);
}

#[tokio::test]
async fn a_body_that_turns_out_too_large_is_cut_short() {
    let body = chunks(1_000_000, 64 << 10);
    assert_eq!(take(&[], body).await, Err(BodyFault::TooLarge));
    // A length that lies does not help.
    let body = chunks(1_000_000, 64 << 10);
    assert_eq!(take(&[("content-length", "5")], body).await, Err(BodyFault::TooLarge));
}

#[tokio::test]
async fn gzip_and_zstd_are_inflated() {
    let packed = gzip(b"hello");
    assert_eq!(take(&[("content-encoding", "gzip")], packed.into()).await.unwrap(), "hello");
    let packed = zstd::encode_all(&b"hello"[..], 1).unwrap();
    assert_eq!(take(&[("content-encoding", " ZSTD")], packed.into()).await.unwrap(), "hello");
    let fault = take(&[("content-encoding", "br")], Body::from("x")).await.unwrap_err();
    assert_eq!(
        fault.to_string(),
        "`Content-Encoding: br` is not known; send gzip, zstd, or no encoding"
    );
    let fault = take(&[("content-encoding", "gzip")], Body::from("hello")).await.unwrap_err();
    assert!(fault.to_string().starts_with("the body is not gzip: "), "{fault}");
}

#[tokio::test]
async fn bombs_stop_at_the_limit() {
    let mebibyte = vec![0; 1 << 20];
    let count = (limits::REQUEST_INFLATED_BYTES_MAX >> 20) + 1;
    let bomb = gzip(&mebibyte).repeat(count);
    assert_eq!(
        take(&[("content-encoding", "gzip")], bomb.into()).await,
        Err(BodyFault::InflatesTooMuch)
    );
    let bomb = zstd::encode_all(mebibyte.as_slice(), 1).unwrap().repeat(count * 1_000);
    assert_eq!(
        take(&[("content-encoding", "zstd")], bomb.into()).await,
        Err(BodyFault::InflatesTooMuch)
    );
    let enough = gzip(&mebibyte).repeat(count - 1);
    let taken = take(&[("content-encoding", "gzip")], enough.into()).await.unwrap();
    assert_eq!(taken.len(), limits::REQUEST_INFLATED_BYTES_MAX);
}

#[tokio::test]
async fn a_zstd_frame_that_wants_a_huge_window_is_refused() {
    let mut packed = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    packed.window_log(27).unwrap();
    packed.include_contentsize(false).unwrap();
    packed.write_all(&vec![7; 4 << 20]).unwrap();
    let packed = packed.finish().unwrap();
    let fault = take(&[("content-encoding", "zstd")], packed.into()).await;
    assert!(matches!(fault, Err(BodyFault::NotInflatable { .. })), "{fault:?}");
}

#[tokio::test]
async fn a_slow_body_is_given_up() {
    let (bodies, clock) = bodies();
    let body = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let headers = HeaderMap::new();
    let taking = bodies.take(&headers, body);
    tokio::pin!(taking);
    assert!(futures::poll!(&mut taking).is_pending());
    clock.advance(limits::REQUEST_TIME_MAX + Duration::from_millis(1));
    assert_eq!(taking.await.unwrap_err(), BodyFault::TooSlow);
}

#[tokio::test]
async fn memory_for_bodies_is_shared_and_given_back() {
    let (bodies, _clock) = bodies();
    let length = limits::REQUEST_BYTES_MAX.to_string();
    let headers = headers(&[("content-length", &length)]);
    let mut held = Vec::new();
    for _ in 0..limits::REQUESTS_BYTES_MAX / limits::REQUEST_BYTES_MAX {
        held.push(bodies.take(&headers, Body::from("x")).await.unwrap());
    }
    assert_eq!(bodies.take(&headers, Body::from("x")).await.unwrap_err(), BodyFault::NoRoom);
    drop(held);
    assert!(bodies.take(&headers, Body::from("x")).await.is_ok());
}

proptest! {
    #[test]
    fn any_bytes_never_panic(
        body in prop::collection::vec(any::<u8>(), 0..200),
        encoding in prop::sample::select(vec!["gzip", "zstd", "x-gzip", "identity", ""]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = if encoding == "zstd" && body.len() % 2 == 0 {
            [b"\x28\xb5\x2f\xfd".to_vec(), body].concat()
        } else if encoding == "gzip" && body.len() % 2 == 0 {
            [b"\x1f\x8b\x08\x00".to_vec(), body].concat()
        } else {
            body
        };
        drop(runtime.block_on(take(&[("content-encoding", encoding)], body.into())));
    }
}
