//! Who is let in, over the router and a real journal.

use axum::http::{HeaderValue, StatusCode};
use expect_test::{Expect, expect};

use super::*;
use crate::tests::{Answer, Fixture};

const WRITER: &str = "the secret of the writer";
const READER: &str = "the secret of the reader";
const OWNER: &str = "the secret of the owner!";

fn key(name: &str, secret: &str, may: &[Act], streams: Option<&[&str]>) -> Key {
    let streams = streams.map(|it| it.iter().map(|name| Name::new(name).unwrap()).collect());
    Key {
        name: Name::new(name).unwrap(),
        id: format!("ID-{name}"),
        secret: secret.to_owned(),
        may: may.to_vec(),
        streams,
        limit: Rate::default(),
    }
}

fn keys() -> Vec<Key> {
    vec![
        key("writer", WRITER, &[Act::Write], Some(&["notes"])),
        key("reader", READER, &[Act::Read], None),
        key("owner", OWNER, &[Act::Read, Act::Write, Act::Manage], None),
    ]
}

fn locked() -> Fixture {
    let fixture = Fixture::new();
    fixture.inlet.keys().replace(keys(), Duration::ZERO);
    fixture
}

fn check((status, headers, body): &Answer, expected: &Expect) {
    let ask = headers.get("www-authenticate").map(|it| format!(" {it:?}")).unwrap_or_default();
    expected.assert_eq(&format!("{}{ask} {}", status.as_u16(), String::from_utf8_lossy(body)));
}

const NOTES: &str = "/v1/streams/notes/records";

async fn send(fixture: &Fixture, path: &str, header: &str, value: &str) -> StatusCode {
    fixture.post(path, &[(header, value)], "hello").await.0
}

#[tokio::test]
async fn without_a_key_nothing_is_taken_and_nothing_told() {
    let fixture = locked();
    check(
        &fixture.post(NOTES, &[], "hello").await,
        &expect![[
            r#"401 "Bearer realm=\"mainstem\"" {"error":{"kind":"invalid","message":"this needs a key","help":"send the secret of a key of the project as `Authorization: Bearer SECRET`"}}"#
        ]],
    );
    for path in ["/v1/streams", "/v1/streams/notes", "/v1/streams/none", "/v1/streams/notes/follow"]
    {
        assert_eq!(fixture.get(path).await.0, StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(send(&fixture, NOTES, "authorization", "Bearer wrong").await, 401);
    assert_eq!(send(&fixture, NOTES, "x-api-key", "").await, 401);
    let long = "x".repeat(limits::SECRET_BYTES_MAX + 1);
    assert_eq!(send(&fixture, NOTES, "x-api-key", &long).await, 401);
    // A key in the address is for beacons only: addresses are written into logs.
    let path = format!("{NOTES}?key={}", WRITER.replace(' ', "%20"));
    assert_eq!(fixture.post(&path, &[], "hello").await.0, 401);
    assert_eq!(fixture.count("notes"), 0);
}

#[tokio::test]
async fn a_key_is_shown_in_any_of_the_usual_ways() {
    let fixture = locked();
    let bearer = format!("Bearer {WRITER}");
    let basic = format!("Basic {}", BASE64.encode(format!("anybody:{WRITER}")));
    assert_eq!(send(&fixture, NOTES, "authorization", &bearer).await, 200);
    assert_eq!(send(&fixture, NOTES, "authorization", &format!("bearer  {WRITER}")).await, 200);
    assert_eq!(send(&fixture, NOTES, "x-api-key", WRITER).await, 200);
    assert_eq!(send(&fixture, NOTES, "authorization", &basic).await, 200);
    let path = format!("/v1/streams/notes/beacon?key={}", WRITER.replace(' ', "%20"));
    assert_eq!(fixture.post(&path, &[], "hello").await.0, 204);
    assert_eq!(fixture.count("notes"), 5);
}

#[tokio::test]
async fn a_key_does_what_it_may_where_it_may() {
    let fixture = locked();
    let with = |secret: &'static str| [("x-api-key", secret)];
    check(
        &fixture.post(NOTES, &with(READER), "x").await,
        &expect![[
            r#"403 {"error":{"kind":"invalid","message":"the key `reader` may not write","help":"add \"write\" to `may` of [project.keys.reader]"}}"#
        ]],
    );
    check(
        &fixture.post("/v1/streams/orders/records", &with(WRITER), "x").await,
        &expect![[
            r#"403 {"error":{"kind":"invalid","message":"the key `writer` is not for the stream `orders`","help":"add \"orders\" to `streams` of [project.keys.writer]"}}"#
        ]],
    );
    // Whether a stream exists is no business of a key that is not for it.
    let there = fixture.post("/v1/streams/orders/records", &with(WRITER), "x").await;
    let not_there = fixture.post("/v1/streams/ordrs/records", &with(WRITER), "x").await;
    assert_eq!((there.0, not_there.0), (StatusCode::FORBIDDEN, StatusCode::FORBIDDEN));
    assert_eq!(fixture.post("/v1/streams/orders/records", &with(OWNER), "x").await.0, 200);
    assert_eq!(fixture.count("notes") + fixture.count("orders"), 1);
}

#[tokio::test]
async fn a_key_for_some_streams_makes_no_others() {
    let fixture = locked();
    let manager = key("manager", OWNER, &[Act::Manage, Act::Read], Some(&["notes"]));
    fixture.inlet.keys().replace(vec![manager], Duration::ZERO);
    let held = fixture.inlet.keys().by_id("ID-manager").unwrap();
    let inlet = fixture.inlet.of_caller(Caller::with_key(held, None));
    let names: Vec<_> = inlet.streams().iter().map(|it| it.name.to_string()).collect();
    assert_eq!(names, ["notes"]);
    let intake = |name: &str| {
        let settings = journal::StreamSettings::default();
        crate::Intake::of_client(Name::new(name).unwrap(), settings)
    };
    let refusal = inlet.declare(intake("clicks")).unwrap_err();
    assert_eq!(refusal.to_string(), "the key `manager` is not for the stream `clicks`");
    assert!(inlet.declare(intake("notes")).is_ok());
    // An unknown stream names those that the key is for, and no others.
    let fault = fixture.get("/v1/streams/orders").await;
    assert_eq!(fault.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn without_keys_only_names_of_this_machine_will_do() {
    let fixture = Fixture::new();
    for host in
        ["localhost", "localhost:7070", "LOCALHOST", "127.0.0.1:80", "[::1]:80", "a.localhost"]
    {
        assert_eq!(send(&fixture, NOTES, "host", host).await, 200, "{host}");
    }
    for host in [
        "evil.example",
        "evil.example:7070",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
    ] {
        assert_eq!(send(&fixture, NOTES, "host", host).await, 403, "{host}");
    }
    let target = ("x-amz-target", "Kinesis_20131202.ListStreams");
    let (status, _, body) = fixture.post("/", &[target, ("host", "evil.example")], "{}").await;
    let body = String::from_utf8_lossy(&body);
    assert!(status == 400 && body.contains("AccessDeniedException"), "{body}");
    // With a key, a page that has none gets nowhere by any name.
    fixture.inlet.keys().replace(keys(), Duration::ZERO);
    let headers = [("host", "mainstem.example"), ("x-api-key", WRITER)];
    assert_eq!(fixture.post(NOTES, &headers, "x").await.0, 200);
}

#[tokio::test]
async fn keys_come_and_go_and_the_operator_stays() {
    let fixture = locked();
    let keys = fixture.inlet.keys();
    keys.admit_operator(Name::new("operator").unwrap(), "the operator's secret".to_owned());
    assert_eq!(send(&fixture, NOTES, "x-api-key", "the operator's secret").await, 200);
    keys.replace(vec![key("new", "a secret that is new", &[Act::Write], None)], Duration::ZERO);
    assert_eq!(send(&fixture, NOTES, "x-api-key", WRITER).await, 401);
    assert_eq!(send(&fixture, NOTES, "x-api-key", "a secret that is new").await, 200);
    assert_eq!(send(&fixture, NOTES, "x-api-key", "the operator's secret").await, 200);
    keys.replace(Vec::new(), Duration::ZERO);
    assert_eq!(fixture.post(NOTES, &[], "x").await.0, 200);
    // Beyond this machine, a project without keys lets nobody in.
    keys.require();
    check(
        &fixture.post(NOTES, &[], "x").await,
        &expect![[
            r#"401 "Bearer realm=\"mainstem\"" {"error":{"kind":"invalid","message":"this program listens to the network, and its project has no keys","help":"add `[project.keys.NAME]` with `secret = \"${NAME}\"`"}}"#
        ]],
    );
    assert_eq!(send(&fixture, NOTES, "x-api-key", "the operator's secret").await, 200);
}

#[tokio::test]
async fn what_others_serve_stands_behind_the_same_keys() {
    let mut fixture = locked();
    let served = || async { "served" };
    let router = axum::Router::new()
        .route("/v1/sql", axum::routing::post(served))
        .route("/v1/apply", axum::routing::post(served).get(served))
        .route("/healthz", axum::routing::get(served))
        .fallback(served);
    fixture.router = guard::guard(fixture.inlet.keys(), router);
    let post = async |path: &str, secret: &str| {
        fixture.post(path, &[("x-api-key", secret)], "").await.0.as_u16()
    };
    assert_eq!(post("/v1/sql", "").await, 401);
    assert_eq!(post("/v1/sql", READER).await, 200);
    assert_eq!(post("/v1/apply", READER).await, 403);
    assert_eq!(post("/v1/apply", OWNER).await, 200);
    assert_eq!(post("/v1/sql", WRITER).await, 403);
    assert_eq!(fixture.get("/healthz").await.0, 200);
    let (status, headers, _) = fixture.get("/").await;
    assert_eq!(status, 401);
    let ask = HeaderValue::from_static("Basic realm=\"mainstem\", charset=\"UTF-8\"");
    assert_eq!(headers["www-authenticate"], ask);
}

#[tokio::test]
async fn a_key_s_limit_and_a_stream_s_are_told_with_when_to_come_again() {
    let fixture = locked();
    let limit = Rate { records: Some(2), bytes: None };
    let mut limited = keys();
    limited[2].limit = limit;
    fixture.inlet.keys().replace(limited.clone(), Duration::ZERO);
    let with = [("x-api-key", OWNER)];
    assert_eq!(fixture.post(NOTES, &with, "a\nb").await.0, 200);
    let (status, headers, body) = fixture.post(NOTES, &with, "c").await;
    assert_eq!((status.as_u16(), headers["retry-after"].to_str().unwrap()), (429, "1"));
    expect![[
        r#"{"error":{"kind":"throttled","message":"more records came than `limit` of [project.keys.owner] allows; there is room again in 500 ms","help":"send again after the time in `Retry-After`"}}"#
    ]]
    .assert_eq(&String::from_utf8_lossy(&body));
    // The same keys once more: what was used stays used.
    fixture.inlet.keys().replace(limited, Duration::ZERO);
    assert_eq!(fixture.post(NOTES, &with, "c").await.0, 429);
    assert_eq!(fixture.post(NOTES, &[("x-api-key", WRITER)], "d").await.0, 200);
    fixture.clock.advance(Duration::from_millis(500));
    assert_eq!(fixture.post(NOTES, &with, "c").await.0, 200);
    assert_eq!(fixture.count("notes"), 4);
}

#[test]
fn secrets_do_not_print() {
    let keys = Keys::default();
    keys.replace(self::keys(), Duration::ZERO);
    let held = keys.by_id("ID-owner").unwrap();
    for text in [format!("{keys:?}"), format!("{held:?}"), format!("{:#?}", self::keys())] {
        assert!(text.contains("owner") && !text.contains("secret of"), "{text}");
    }
}
