//! The API of S3 over the router, with requests that are signed as clients sign them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::Request;
use base::Name;
use base::time::SystemClock;
use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;

use super::folder::Folder;
use super::key::Key;
use super::list::{Asked, Entry};
use super::sink::hex;
use super::*;
use crate::aws::wire::BASE64;
use crate::bucket::Bucket;
use crate::bucket::listing::{Event, Object, What};
use crate::bucket::place::Place;
use crate::keys;
use crate::rate::Rate;
use crate::tests::Fixture;

/// A program with the bucket `landing`, and `other`.
struct World {
    fixture: Fixture,
    router: Router,
    _buckets: Vec<Arc<Bucket>>,
    folder: tempfile::TempDir,
}

/// An answer: status, headers, text.
type Answer = (u16, HeaderMap, String);

/// A request to be signed.
#[derive(Clone)]
struct Call<'a> {
    method: &'a str,
    path: &'a str,
    headers: Vec<(&'a str, String)>,
    body: Vec<u8>,
    key: (&'a str, &'a str),
}

const OPEN: (&str, &str) = ("any", "any");

fn call<'a>(method: &'a str, path: &'a str, body: impl Into<Vec<u8>>) -> Call<'a> {
    Call { method, path, headers: Vec::new(), body: body.into(), key: OPEN }
}

impl<'a> Call<'a> {
    fn with(mut self, name: &'a str, value: impl Into<String>) -> Call<'a> {
        self.headers.push((name, value.into()));
        self
    }

    fn by(mut self, key: (&'a str, &'a str)) -> Call<'a> {
        self.key = key;
        self
    }

    fn signed(&self) -> Request<Body> {
        let now = SystemClock::start().now_ms();
        let now = Timestamp::from_millisecond(i64::try_from(now).unwrap()).unwrap();
        let at = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let (day, (id, secret)) = (at.get(..8).unwrap(), self.key);
        let mut headers = self.headers.clone();
        let said = |name: &str| self.headers.iter().any(|(it, _)| *it == name);
        if !said("host") {
            headers.push(("host", "127.0.0.1:7070".to_owned()));
        }
        headers.push(("x-amz-date", at.clone()));
        if !said("x-amz-content-sha256") {
            headers.push(("x-amz-content-sha256", hex(&Sha256::digest(&self.body))));
        }
        headers.sort();
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let (path, query) = self.path.split_once('?').unwrap_or((self.path, ""));
        let mut query: Vec<String> = query
            .split('&')
            .filter(|it| !it.is_empty())
            .map(|it| if it.contains('=') { it.to_owned() } else { format!("{it}=") })
            .collect();
        query.sort();
        let lines: String = headers.iter().map(|(name, it)| format!("{name}:{it}\n")).collect();
        let digest = headers.iter().find(|(name, _)| *name == "x-amz-content-sha256").unwrap();
        let query = query.join("&");
        let canonical = format!("{}\n{path}\n{query}\n{lines}\n{names}\n{}", self.method, digest.1);
        let scope = format!("{day}/us-east-1/s3/aws4_request");
        let digest = hex(&Sha256::digest(canonical));
        let text = format!("AWS4-HMAC-SHA256\n{at}\n{scope}\n{digest}");
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in [day, "us-east-1", "s3", "aws4_request", text.as_str()] {
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
            mac.update(part.as_bytes());
            key = mac.finalize().into_bytes().to_vec();
        }
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={}",
            hex(&key)
        );
        let mut request = Request::builder().method(self.method).uri(self.path);
        for (name, value) in &headers {
            request = request.header(*name, value);
        }
        request
            .header("authorization", authorization)
            .header("content-length", self.body.len())
            .body(Body::from(self.body.clone()))
            .unwrap()
    }
}

impl World {
    fn new() -> World {
        let fixture = Fixture::new();
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str| {
            let root = folder.path().join(name);
            fs::create_dir_all(&root).unwrap();
            let (_told, listing) = tokio::sync::watch::channel(None);
            let bucket = Arc::new(Bucket {
                name: name.to_owned(),
                events: Name::new(&format!("{name}_events")).unwrap(),
                place: Place::Folder(root.canonicalize().unwrap()),
                cold: None,
                snapshots: None,
                listing,
            });
            fixture.inlet.buckets().open(&bucket);
            bucket
        };
        let buckets = vec![open("landing"), open("other")];
        let router = with_s3(&fixture.inlet, fixture.router.clone());
        World { fixture, router, _buckets: buckets, folder }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("landing").canonicalize().unwrap()
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (parts.status.as_u16(), parts.headers, String::from_utf8_lossy(&body).into_owned())
    }

    async fn ask(&self, call: &Call<'_>) -> Answer {
        self.send(call.signed()).await
    }

    async fn put(&self, path: &str, body: &str) {
        let (status, _, said) = self.ask(&call("PUT", path, body)).await;
        assert_eq!(status, 200, "{path}: {said}");
    }

    /// Returns all files of the bucket, hidden ones too, but what is said of objects.
    fn files(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut folders = vec![self.root()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let path = path.strip_prefix(self.root()).unwrap();
                    found.insert(path.display().to_string());
                }
            }
        }
        found.into_iter().filter(|it| !it.starts_with(".s3/about/")).collect()
    }
}

/// What stands between the tags of that name.
fn tags<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts = xml.split(open.as_str()).skip(1);
    parts.filter_map(|it| it.split_once(close.as_str()).map(|(text, _)| text)).collect()
}

fn code(xml: &str) -> &str {
    tags(xml, "Code").first().copied().unwrap_or_default()
}

const HELLO: &str = "5d41402abc4b2a76b9719d911017c592";

#[tokio::test]
async fn an_object_comes_back_with_what_was_said_of_it() {
    let world = World::new();
    let put = call("PUT", "/landing/a/b.csv", "hello")
        .with("content-type", "text/csv; charset=utf-8")
        .with("cache-control", "no-store")
        .with("x-amz-meta-till", "7");
    let (status, headers, _) = world.ask(&put).await;
    assert_eq!((status, headers["etag"].to_str().unwrap()), (200, &*format!("\"{HELLO}\"")));
    assert_eq!(fs::read_to_string(world.root().join("a/b.csv")).unwrap(), "hello");
    let get = call("GET", "/landing/a/b.csv", "");
    let (status, headers, body) = world.ask(&get).await;
    assert_eq!((status, body.as_str()), (200, "hello"));
    let said = |name: &str| headers.get(name).map(|it| it.to_str().unwrap().to_owned());
    assert_eq!(said("content-type").as_deref(), Some("text/csv; charset=utf-8"));
    assert_eq!(said("cache-control").as_deref(), Some("no-store"));
    assert_eq!(said("x-amz-meta-till").as_deref(), Some("7"));
    assert_eq!(said("etag"), Some(format!("\"{HELLO}\"")));
    assert_eq!(said("content-length").as_deref(), Some("5"));
    let other = "/landing/a/b.csv?response-cache-control=private";
    let (_, headers, _) = world.ask(&call("GET", other, "")).await;
    assert_eq!(headers["cache-control"].to_str().unwrap(), "private");
    let (status, headers, body) = world.ask(&call("HEAD", "/landing/a/b.csv", "")).await;
    assert_eq!(
        (status, body.as_str(), headers["content-length"].to_str().unwrap()),
        (200, "", "5")
    );

    for (range, status, expected) in [
        ("bytes=1-2", 206, "el"),
        ("bytes=3-", 206, "lo"),
        ("bytes=-2", 206, "lo"),
        ("bytes=0-99", 206, "hello"),
    ] {
        let (found, _, body) = world.ask(&get.clone().with("range", range)).await;
        assert_eq!((found, body.as_str()), (status, expected), "{range}");
    }
    let (status, _, body) = world.ask(&get.clone().with("range", "bytes=5-6")).await;
    assert_eq!((status, code(&body)), (416, "InvalidRange"));
    let same = format!("\"{HELLO}\"");
    let (status, headers, _) = world.ask(&get.clone().with("if-none-match", same.clone())).await;
    assert_eq!((status, headers["etag"].to_str().unwrap()), (304, same.as_str()));
    let (status, _, _) = world.ask(&get.clone().with("if-match", "\"x\"")).await;
    assert_eq!(status, 412);

    // A file that somebody puts in its place is another, and nothing is said of it.
    fs::write(world.root().join("a/b.csv"), "bye!").unwrap();
    let (_, headers, body) = world.ask(&get).await;
    assert_eq!(body, "bye!");
    assert!(headers.get("x-amz-meta-till").is_none());
    assert_eq!(headers["content-type"].to_str().unwrap(), "text/csv");
    assert_ne!(headers["etag"].to_str().unwrap(), same);

    let (status, _, _) = world.ask(&call("DELETE", "/landing/a/b.csv", "")).await;
    assert_eq!(status, 204);
    let (status, _, body) = world.ask(&get).await;
    assert_eq!((status, code(&body)), (404, "NoSuchKey"));
    let (status, _, _) = world.ask(&call("DELETE", "/landing/a/b.csv", "")).await;
    assert_eq!(status, 204, "what is gone is gone");
}

#[tokio::test]
async fn what_is_said_of_an_object_stands_in_its_event() {
    let world = World::new();
    let put = call("PUT", "/landing/x.bin", "hello")
        .with("content-type", "image/png")
        .with("x-amz-meta-till", "7");
    assert_eq!(world.ask(&put).await.0, 200);
    let place = Place::Folder(world.root());
    let listing = place.list(u64::MAX, base::Span::from_millis(0)).await.unwrap();
    let events =
        place.describe(listing.since(&std::collections::BTreeMap::new(), 5)).await.unwrap();
    assert_eq!(events.len(), 1, "nothing hidden is an object");
    let event: serde_json::Value = serde_json::from_slice(&events[0].to_json()).unwrap();
    assert_eq!(event["type"], "image/png");
    assert_eq!(event["etag"], HELLO);
    assert_eq!(event["metadata"], serde_json::json!({"till": "7"}));
    // A book of before knows nothing of it.
    let object = Object { key: "k".into(), size: 1, etag: "e".into(), created_ms: 0, cold: None };
    let event = Event {
        event: What::Created,
        object,
        at_ms: 0,
        stream: None,
        records: None,
        message: None,
        about: None,
    };
    let line = serde_json::to_string(&event).unwrap();
    assert!(!line.contains("about"), "{line}");
}

#[tokio::test]
async fn requests_that_are_not_signed_for_s3_are_no_business_of_its() {
    let world = World::new();
    let plain = Request::get("/landing/a.csv").body(Body::empty()).unwrap();
    assert_eq!(world.send(plain).await.0, 404);
    let streams = Request::get("/v1/streams").body(Body::empty()).unwrap();
    let (status, _, body) = world.send(streams).await;
    assert_eq!((status, body.contains("orders")), (200, true), "{body}");
    // A bucket may be called as a route is: what is signed decides.
    let (status, _, body) = world.ask(&call("GET", "/v1/streams", "")).await;
    assert_eq!((status, code(&body)), (404, "NoSuchBucket"));
    let kinesis = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/kinesis/aws4_request, x";
    let kinesis = HeaderMap::from_iter([(header::AUTHORIZATION, kinesis.parse().unwrap())]);
    assert!(!is_meant(&"/".parse().unwrap(), &kinesis));
    let signed = "/landing/a?X-Amz-Credential=any%2F20260101%2Feu-west-1%2Fs3%2Faws4_request";
    assert!(is_meant(&signed.parse().unwrap(), &HeaderMap::new()));
    // As S3 once had it: that is told, not passed on.
    let old = "/landing/a?AWSAccessKeyId=any&Signature=x&Expires=99";
    let (status, _, body) = world.send(Request::get(old).body(Body::empty()).unwrap()).await;
    assert_eq!((status, body.contains("s3v4")), (400, true), "{body}");
}

#[tokio::test]
async fn a_signature_counts_for_what_was_signed() {
    let world = World::new();
    let put = call("PUT", "/landing/a.csv", "hello");
    let (status, _, body) = world.ask(&put.clone().by(("any", "wrong"))).await;
    assert_eq!((status, code(&body)), (403, "SignatureDoesNotMatch"));
    assert!(body.contains("the secret `any`"), "{body}");
    // Other bytes than those that were signed.
    let mut tampered = put.signed();
    *tampered.body_mut() = Body::from("hullo");
    let (status, _, body) = world.send(tampered).await;
    assert_eq!((status, code(&body)), (400, "XAmzContentSHA256Mismatch"));
    // A header that nobody signed: a signed address for one thing must not do another.
    let mut copied = put.signed();
    copied.headers_mut().insert("x-amz-copy-source", HeaderValue::from_static("other/secret"));
    let (status, _, body) = world.send(copied).await;
    assert_eq!((status, code(&body)), (403, "AccessDenied"));
    // A site may point its own name at this machine.
    let (status, _, body) = world.ask(&put.clone().with("host", "evil.example.com")).await;
    assert_eq!((status, code(&body)), (403, "AccessDenied"));
    let form =
        call("POST", "/landing", "x").with("content-type", "multipart/form-data; boundary=b");
    assert_eq!(code(&world.ask(&form).await.2), "NotImplemented");
    assert_eq!(world.files(), BTreeSet::new());
}

fn key(id: &str, may: &[Act], streams: Option<&str>) -> keys::Key {
    keys::Key {
        name: Name::new(id).unwrap(),
        id: id.to_owned(),
        secret: format!("the secret of {id}"),
        may: may.to_vec(),
        streams: streams.map(|it| BTreeSet::from([Name::new(it).unwrap()])),
        limit: Rate::default(),
    }
}

#[tokio::test]
async fn a_key_does_what_it_may() {
    let world = World::new();
    world.fixture.inlet.keys().replace(
        vec![
            key("writer", &[Act::Write], None),
            key("reader", &[Act::Read], None),
            key("till", &[Act::Read, Act::Write], Some("other_events")),
        ],
        Duration::ZERO,
    );
    let writer = ("writer", "the secret of writer");
    let reader = ("reader", "the secret of reader");
    let till = ("till", "the secret of till");
    let put = call("PUT", "/landing/a.csv", "hello");
    let get = call("GET", "/landing/a.csv", "");
    assert_eq!(world.ask(&put.clone().by(writer)).await.0, 200);
    assert_eq!(world.ask(&get.clone().by(reader)).await.0, 200);
    for (call, code_of) in [
        (put.clone().by(reader), "AccessDenied"),
        (get.clone().by(writer), "AccessDenied"),
        (call("GET", "/landing?list-type=2", "").by(writer), "AccessDenied"),
        (call("DELETE", "/landing/a.csv", "").by(reader), "AccessDenied"),
        (put.clone().by(till), "NoSuchBucket"),
        (get.clone().by(till), "NoSuchBucket"),
        (put.clone().by(("nobody", "any")), "InvalidAccessKeyId"),
        (put.clone().by(("any", "any")), "InvalidAccessKeyId"),
        (put.clone().by(("writer", "any")), "SignatureDoesNotMatch"),
    ] {
        let (status, _, body) = world.ask(&call).await;
        assert_eq!(code(&body), code_of, "{status} {body}");
    }
    // A copy reads too, and reads only what its caller sees.
    let copy = call("PUT", "/other/b.csv", "").with("x-amz-copy-source", "landing/a.csv");
    assert_eq!(code(&world.ask(&copy.clone().by(writer)).await.2), "AccessDenied");
    assert_eq!(code(&world.ask(&copy.by(till)).await.2), "NoSuchBucket");
    let (_, _, body) = world.ask(&call("GET", "/", "").by(till)).await;
    assert_eq!(tags(&body, "Name"), ["other"]);
    let (_, _, body) = world.ask(&call("GET", "/", "").by(reader)).await;
    assert_eq!(tags(&body, "Name"), ["landing", "other"]);
}

#[tokio::test]
async fn keys_that_are_no_paths_are_refused() {
    let world = World::new();
    fs::create_dir_all(world.root().join("folder")).unwrap();
    world.put("/landing/file", "x").await;
    let long = format!("/landing/{}", "x".repeat(256));
    let deep = format!("/landing/{}x", "abcdefg/".repeat(128));
    for (path, expected) in [
        ("/landing/..", "InvalidArgument"),
        ("/landing/a/../../b", "InvalidArgument"),
        ("/landing/.s3/about/x", "InvalidArgument"),
        ("/landing/.hidden", "InvalidArgument"),
        ("/landing//a", "InvalidArgument"),
        ("/landing/a//b", "InvalidArgument"),
        ("/landing/a%0Ab", "InvalidArgument"),
        ("/landing/folder", "InvalidArgument"),
        ("/landing/file/below", "InvalidArgument"),
        ("/landing/file/", "InvalidArgument"),
        (&*long, "KeyTooLongError"),
        (&*deep, "KeyTooLongError"),
        ("/nowhere/a", "NoSuchBucket"),
    ] {
        let body = if path.ends_with('/') { "" } else { "hello" };
        let (_, _, body) = world.ask(&call("PUT", path, body)).await;
        assert_eq!(code(&body), expected, "{path}: {body}");
    }
    let (_, _, body) = world.ask(&call("PUT", "/landing/x/", "bytes")).await;
    assert_eq!(code(&body), "InvalidArgument");
    assert_eq!(world.files(), BTreeSet::from(["file".to_owned()]));
    // Buckets come with the project.
    let (status, _, body) = world.ask(&call("PUT", "/fresh", "")).await;
    assert_eq!((status, body.contains("[bucket.fresh]")), (405, true), "{body}");
    assert_eq!(code(&world.ask(&call("DELETE", "/landing", "")).await.2), "MethodNotAllowed");
    assert_eq!(code(&world.ask(&call("PUT", "/landing", "")).await.2), "BucketAlreadyOwnedByYou");
}

#[tokio::test]
async fn a_link_does_not_lead_out_of_the_bucket() {
    let world = World::new();
    let outside = world.folder.path().join("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    world.put("/landing/real", "real").await;
    let link = |to: PathBuf, name: &str| std::os::unix::fs::symlink(to, world.root().join(name));
    link(outside.clone(), "folder").unwrap();
    link(outside.join("secret"), "file").unwrap();
    link(world.root().join("real"), "inner").unwrap();
    for path in ["/landing/folder/secret", "/landing/file"] {
        assert_eq!(code(&world.ask(&call("GET", path, "")).await.2), "NoSuchKey", "{path}");
    }
    assert_eq!(world.ask(&call("GET", "/landing/inner", "")).await.2, "real");
    let (_, _, body) = world.ask(&call("GET", "/landing?list-type=2", "")).await;
    assert_eq!(tags(&body, "Key"), ["inner", "real"]);
    let (_, _, body) = world.ask(&call("PUT", "/landing/folder/new", "x")).await;
    assert_eq!(code(&body), "InvalidArgument");
    // A link is written over, not through.
    world.put("/landing/file", "mine").await;
    assert_eq!(fs::read_to_string(outside.join("secret")).unwrap(), "secret");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

#[tokio::test]
async fn checksums_are_verified_and_told() {
    let world = World::new();
    let put = call("PUT", "/landing/a", "hello");
    let md5 = BASE64.encode([
        0x5d, 0x41, 0x40, 0x2a, 0xbc, 0x4b, 0x2a, 0x76, 0xb9, 0x71, 0x9d, 0x91, 0x10, 0x17, 0xc5,
        0x92,
    ]);
    let sha256 = BASE64.encode(Sha256::digest("hello"));
    for (name, right, wrong) in [
        ("content-md5", &*md5, "AAAAAAAAAAAAAAAAAAAAAA=="),
        ("x-amz-checksum-crc32", "NhCmhg==", "AAAAAA=="),
        ("x-amz-checksum-crc32c", "mnG7TA==", "AAAAAA=="),
        ("x-amz-checksum-sha256", &*sha256, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    ] {
        let (status, headers, body) = world.ask(&put.clone().with(name, right)).await;
        assert_eq!(status, 200, "{name}: {body}");
        if name != "content-md5" {
            assert_eq!(headers[name].to_str().unwrap(), right);
            let get = call("GET", "/landing/a", "").with("x-amz-checksum-mode", "ENABLED");
            let (_, headers, _) = world.ask(&get).await;
            assert_eq!(headers[name].to_str().unwrap(), right);
        }
        let other = call("PUT", "/landing/b", "hello").with(name, wrong);
        let (status, _, body) = world.ask(&other).await;
        assert_eq!((status, code(&body)), (400, "BadDigest"), "{name}");
    }
    let unknown = put.clone().with("x-amz-checksum-md99", "AAAA");
    assert_eq!(code(&world.ask(&unknown).await.2), "InvalidRequest");
    let secret = put.with("x-amz-server-side-encryption", "AES256");
    assert_eq!(code(&world.ask(&secret).await.2), "NotImplemented");
    assert_eq!(world.files(), BTreeSet::from(["a".to_owned()]));
}

#[tokio::test]
async fn of_a_body_that_breaks_off_nothing_is_left() {
    let world = World::new();
    world.put("/landing/a", "before").await;
    let put = call("PUT", "/landing/a", "x".repeat(3 << 20))
        .with("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    for is_error in [true, false] {
        let mut request = put.signed();
        let mut pieces: Vec<io::Result<bytes::Bytes>> =
            (0..2).map(|_| Ok(bytes::Bytes::from(vec![b'x'; 1 << 20]))).collect();
        if is_error {
            pieces.push(Err(io::Error::other("gone")));
        }
        *request.body_mut() = Body::from_stream(futures::stream::iter(pieces));
        let (status, _, body) = world.send(request).await;
        assert_eq!((status, code(&body)), (400, "IncompleteBody"), "{body}");
    }
    // A client that is gone takes its request with it.
    let mut request = put.signed();
    let piece = Ok::<_, io::Error>(bytes::Bytes::from(vec![b'x'; 2 << 20]));
    let stuck =
        futures::StreamExt::chain(futures::stream::iter([piece]), futures::stream::pending());
    *request.body_mut() = Body::from_stream(stuck);
    let sent = tokio::time::timeout(Duration::from_millis(500), world.send(request)).await;
    assert!(sent.is_err(), "it waits for the rest");
    for _ in 0..100 {
        if world.files().len() == 1 {
            break;
        }
        tokio::task::yield_now().await;
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(world.files(), BTreeSet::from(["a".to_owned()]));
    assert_eq!(world.ask(&call("GET", "/landing/a", "")).await.2, "before");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_put_one_object_one_wins_whole() {
    let world = Arc::new(World::new());
    let tasks: Vec<_> = (0..16_u8)
        .map(|number| {
            let world = Arc::clone(&world);
            base::task::spawn("put", async move {
                let letter = char::from(b'a' + number).to_string();
                let put = call("PUT", "/landing/deep/er/a", letter.repeat(100_000))
                    .with("x-amz-meta-by", letter);
                world.ask(&put).await.0
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), 200);
    }
    let (_, headers, body) = world.ask(&call("GET", "/landing/deep/er/a", "")).await;
    let first = body.get(..1).unwrap();
    assert_eq!(body, first.repeat(100_000));
    assert_eq!(headers["x-amz-meta-by"].to_str().unwrap(), first);
    let said = fs::read_dir(world.root().join(".s3/about")).unwrap().count();
    assert_eq!(said, 1, "what was said of the others is forgotten");
    // Of those that want to be first, one is.
    let mut made = 0;
    for _ in 0..4 {
        let put = call("PUT", "/landing/once", "x").with("if-none-match", "*");
        made += u32::from(world.ask(&put).await.0 == 200);
    }
    assert_eq!(made, 1);
}

#[tokio::test]
async fn lists_go_page_by_page() {
    let world = World::new();
    for key in ["a.txt", "a/1", "a/2", "a/b/3", "b", "c%20d/%C3%A9"] {
        world.put(&format!("/landing/{key}"), "x").await;
    }
    assert_eq!(world.ask(&call("PUT", "/landing/empty/", "")).await.0, 200);
    let list = |query: &str| format!("/landing?list-type=2&{query}");
    let (_, _, body) = world.ask(&call("GET", "/landing?list-type=2", "")).await;
    let all = ["a.txt", "a/1", "a/2", "a/b/3", "b", "c d/é", "empty/"];
    assert_eq!(tags(&body, "Key"), all);
    assert_eq!(tags(&body, "KeyCount"), ["7"]);
    let (_, _, body) = world.ask(&call("GET", &list("delimiter=%2F"), "")).await;
    assert_eq!(tags(&body, "Key"), ["a.txt", "b"]);
    let prefixes: Vec<&str> = tags(&body, "CommonPrefixes");
    assert_eq!(
        prefixes,
        ["<Prefix>a/</Prefix>", "<Prefix>c d/</Prefix>", "<Prefix>empty/</Prefix>"]
    );
    let (_, _, body) = world.ask(&call("GET", &list("delimiter=%2F&prefix=a%2F"), "")).await;
    assert_eq!(tags(&body, "Key"), ["a/1", "a/2"]);
    let (_, _, body) = world.ask(&call("GET", &list("encoding-type=url&prefix=c"), "")).await;
    assert_eq!(tags(&body, "Key"), ["c%20d/%C3%A9"]);
    let (_, _, body) = world.ask(&call("GET", &list("start-after=a%2F2"), "")).await;
    assert_eq!(tags(&body, "Key"), ["a/b/3", "b", "c d/é", "empty/"]);
    // Both ways of paging, with one entry each.
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let (_, _, body) = world.ask(&call("GET", &list(&format!("max-keys=1{token}")), "")).await;
        found.extend(tags(&body, "Key").into_iter().map(str::to_owned));
        let Some(next) = tags(&body, "NextContinuationToken").pop() else { break };
        let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        token = format!("&continuation-token={next}");
    }
    assert_eq!(found, all);
    let (_, _, body) = world.ask(&call("GET", "/landing?max-keys=2&marker=a.txt", "")).await;
    assert_eq!(tags(&body, "Key"), ["a/1", "a/2"]);
    assert_eq!(tags(&body, "NextMarker"), ["a/2"]);
    // Many at once.
    let delete = "<Delete><Object><Key>a/1</Key></Object><Object><Key>none</Key></Object>\
                  <Object><Key>../x</Key></Object><Object><Key>empty/</Key></Object></Delete>";
    let (_, _, body) = world.ask(&call("POST", "/landing?delete", delete)).await;
    assert_eq!(tags(&body, "Deleted").len(), 3, "{body}");
    assert_eq!(tags(&body, "Code"), ["InvalidArgument"]);
    let (_, _, body) = world.ask(&call("GET", &list("prefix=e"), "")).await;
    assert_eq!(tags(&body, "KeyCount"), ["0"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever the keys, the prefix and the delimiter: all pages together are what a list over all
    /// keys would be.
    #[test]
    fn pages_are_the_whole_list(
        keys in proptest::collection::btree_set("[ab-]{1,2}(/[ab-]{1,2}){0,3}", 0..25),
        prefix in "[ab-]{0,2}(/[ab]?)?",
        delimiter in proptest::option::of("[/b-]"),
        max in 1_usize..4,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut made = BTreeSet::new();
        for key in &keys {
            let path = folder.path().join(key);
            let above = path.parent().unwrap();
            if fs::create_dir_all(above).is_ok() && !path.is_dir() && fs::write(&path, "x").is_ok() {
                made.insert(key.clone());
            }
        }
        let mut expected: Vec<String> = Vec::new();
        for key in made.iter().filter(|it| it.starts_with(&prefix)) {
            let behind = key.strip_prefix(&prefix).unwrap();
            let group = delimiter.as_ref().and_then(|it| behind.split_once(it.as_str()));
            let entry = match (&delimiter, group) {
                (Some(delimiter), Some((name, _))) => format!("{prefix}{name}{delimiter}"),
                _ => key.clone(),
            };
            if expected.last() != Some(&entry) {
                expected.push(entry);
            }
        }
        let place = Folder::of(&folder.path().canonicalize().unwrap());
        let mut asked = Asked { prefix, delimiter, after: String::new(), max };
        let mut found: Vec<String> = Vec::new();
        loop {
            let page = place.list(&asked).unwrap();
            prop_assert!(page.entries.len() <= max);
            found.extend(page.entries.iter().map(|it| it.key().to_owned()));
            if !page.is_cut {
                break;
            }
            asked.after = page.entries.last().map(Entry::key).unwrap().to_owned();
        }
        prop_assert_eq!(found, expected);
    }

    /// A key that is taken is a path below the folder.
    #[test]
    fn a_key_never_leads_out(text in "[a./\\\\é \n-]{0,20}") {
        if let Ok(key) = Key::new(&text) {
            let path = std::path::Path::new("/root").join(key.as_str());
            let inside = path.components().all(|it| !matches!(it, std::path::Component::ParentDir));
            prop_assert!(inside && path.starts_with("/root") && path != std::path::Path::new("/root"));
        }
    }
}

#[tokio::test]
async fn an_object_is_made_of_parts() {
    let world = World::new();
    let begin = call("POST", "/landing/big?uploads", "")
        .with("content-type", "text/plain")
        .with("x-amz-meta-till", "7");
    let (_, _, body) = world.ask(&begin).await;
    let id = tags(&body, "UploadId")[0].to_owned();
    let part = |number: u32| format!("/landing/big?partNumber={number}&uploadId={id}");
    let upload = format!("/landing/big?uploadId={id}");
    let pieces = ["a".repeat(5 << 20), "b".repeat(5 << 20), "c".to_owned()];
    let mut etags = Vec::new();
    for (number, piece) in (1..).zip(&pieces) {
        let (status, headers, _) = world.ask(&call("PUT", &part(number), piece.as_str())).await;
        assert_eq!(status, 200);
        etags.push(headers["etag"].to_str().unwrap().to_owned());
    }
    // The same number again takes the place of the one before.
    let again = world.ask(&call("PUT", &part(3), "dd")).await;
    etags[2] = again.1["etag"].to_str().unwrap().to_owned();
    let (_, _, body) = world.ask(&call("GET", &upload, "")).await;
    assert_eq!(tags(&body, "PartNumber"), ["1", "2", "3"]);
    assert_eq!(tags(&body, "Size"), ["5242880", "5242880", "2"]);
    let (_, _, body) = world.ask(&call("GET", "/landing?uploads", "")).await;
    assert_eq!((tags(&body, "Key"), tags(&body, "UploadId")), (vec!["big"], vec![id.as_str()]));
    let is_seen = world.root().join("big").try_exists().unwrap();
    assert!(!is_seen, "nothing is seen before it is whole");
    let (_, _, body) = world.ask(&call("GET", "/landing?list-type=2", "")).await;
    assert_eq!(tags(&body, "Key"), Vec::<&str>::new());

    let list = |numbers: &[usize]| {
        let part = |it: &usize| {
            let etag = etags.get(it - 1).cloned().unwrap_or_else(|| "\"x\"".to_owned());
            format!("<Part><PartNumber>{it}</PartNumber><ETag>{etag}</ETag></Part>")
        };
        let parts: String = numbers.iter().map(part).collect();
        format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>")
    };
    for (numbers, expected) in [
        (&[2, 1][..], "InvalidPartOrder"),
        (&[1, 4][..], "InvalidPart"),
        (&[1, 3, 3][..], "InvalidPartOrder"),
    ] {
        let (_, _, body) = world.ask(&call("POST", &upload, list(numbers))).await;
        assert_eq!(code(&body), expected, "{numbers:?}");
    }
    let wrong = call("POST", &upload, list(&[1, 2, 3])).with("x-amz-checksum-crc32", "AAAAAA==");
    assert_eq!(code(&world.ask(&wrong).await.2), "BadDigest");
    let (status, _, body) = world.ask(&call("POST", &upload, list(&[1, 2, 3]))).await;
    assert_eq!(status, 200, "{body}");
    let (_, headers, body) = world.ask(&call("GET", "/landing/big", "")).await;
    assert!(body == format!("{}{}dd", pieces[0], pieces[1]));
    assert_eq!(headers["x-amz-meta-till"].to_str().unwrap(), "7");
    let mut digests = Vec::new();
    for piece in [pieces[0].as_str(), pieces[1].as_str(), "dd"] {
        digests.extend(<md5::Md5 as md5::Digest>::digest(piece));
    }
    let etag = format!("\"{}-3\"", hex(&<md5::Md5 as md5::Digest>::digest(digests)));
    assert_eq!(headers["etag"].to_str().unwrap(), etag);
    assert_eq!(world.files(), BTreeSet::from(["big".to_owned()]));
    assert_eq!(code(&world.ask(&call("PUT", &part(1), "x")).await.2), "NoSuchUpload");
    assert_eq!(code(&world.ask(&call("DELETE", &upload, "")).await.2), "NoSuchUpload");
}

#[tokio::test]
async fn parts_that_are_too_small_or_not_wanted_any_more_make_nothing() {
    let world = World::new();
    let (_, _, body) = world.ask(&call("POST", "/landing/x?uploads", "")).await;
    let id = tags(&body, "UploadId")[0].to_owned();
    let mut list = String::new();
    for number in 1..3 {
        let path = format!("/landing/x?partNumber={number}&uploadId={id}");
        let (_, headers, _) = world.ask(&call("PUT", &path, "small")).await;
        let etag = headers["etag"].to_str().unwrap();
        list += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    }
    let list = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    let upload = format!("/landing/x?uploadId={id}");
    assert_eq!(code(&world.ask(&call("POST", &upload, list)).await.2), "EntityTooSmall");
    for number in [0, 10_001] {
        let path = format!("/landing/x?partNumber={number}&uploadId={id}");
        assert_eq!(code(&world.ask(&call("PUT", &path, "x")).await.2), "InvalidArgument");
    }
    // Another key, and an id that is a path.
    let path = format!("/landing/y?partNumber=1&uploadId={id}");
    assert_eq!(code(&world.ask(&call("PUT", &path, "x")).await.2), "NoSuchUpload");
    let path = "/landing/x?partNumber=1&uploadId=..%2F..%2Fother";
    assert_eq!(code(&world.ask(&call("PUT", path, "x")).await.2), "NoSuchUpload");
    // What nobody goes on with for a day is swept, and nothing before.
    let folder = Folder::of(&world.root());
    let now = SystemClock::start().now_ms();
    folder.sweep(now + 23 * 3_600_000);
    assert_eq!(world.files().len(), 3);
    world.put("/landing/kept", "x").await;
    folder.sweep(now + 25 * 3_600_000);
    assert_eq!(world.files(), BTreeSet::from(["kept".to_owned()]));
    let (_, headers, _) = world.ask(&call("GET", "/landing/kept", "")).await;
    assert!(!headers["etag"].to_str().unwrap().contains('-'), "what is said of it is kept");
    fs::remove_file(world.root().join("kept")).unwrap();
    folder.sweep(now + 25 * 3_600_000);
    assert_eq!(fs::read_dir(world.root().join(".s3/about")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_copy_has_what_was_said_of_its_source_or_something_new() {
    let world = World::new();
    let put = call("PUT", "/landing/a%20b", "hello").with("x-amz-meta-till", "7");
    assert_eq!(world.ask(&put).await.0, 200);
    let copy = call("PUT", "/other/c", "").with("x-amz-copy-source", "/landing/a%20b");
    let (status, _, body) = world.ask(&copy).await;
    assert_eq!((status, body.contains(HELLO)), (200, true), "{body}");
    let (_, headers, body) = world.ask(&call("GET", "/other/c", "")).await;
    assert_eq!((&*body, headers["x-amz-meta-till"].to_str().unwrap()), ("hello", "7"));
    let renew = call("PUT", "/other/c", "")
        .with("x-amz-copy-source", "other/c")
        .with("x-amz-metadata-directive", "REPLACE")
        .with("x-amz-meta-till", "8");
    assert_eq!(world.ask(&renew).await.0, 200);
    let (_, headers, _) = world.ask(&call("HEAD", "/other/c", "")).await;
    assert_eq!(headers["x-amz-meta-till"].to_str().unwrap(), "8");
    let same = call("PUT", "/other/c", "").with("x-amz-copy-source", "other/c");
    assert_eq!(code(&world.ask(&same).await.2), "InvalidRequest");
    let none = call("PUT", "/other/c", "").with("x-amz-copy-source", "other/none");
    assert_eq!(code(&world.ask(&none).await.2), "NoSuchKey");
    let known = copy.with("x-amz-copy-source-if-none-match", format!("\"{HELLO}\""));
    assert_eq!(code(&world.ask(&known).await.2), "PreconditionFailed");
}

#[tokio::test]
async fn a_bucket_in_a_cloud_is_named_and_its_objects_are_asked_for_there() {
    let world = World::new();
    let (_told, listing) = tokio::sync::watch::channel(None);
    let bucket = Arc::new(Bucket {
        name: "far".to_owned(),
        events: Name::new("far_events").unwrap(),
        place: Place::Cloud {
            store: Arc::new(object_store::memory::InMemory::new()),
            prefix: object_store::path::Path::default(),
            fetched: PathBuf::new(),
            asked: parking_lot::Mutex::default(),
        },
        listing,
        cold: None,
        snapshots: None,
    });
    world.fixture.inlet.buckets().open(&bucket);
    let (_, _, body) = world.ask(&call("GET", "/", "")).await;
    assert_eq!(tags(&body, "Name"), ["far", "landing", "other"]);
    assert_eq!(world.ask(&call("HEAD", "/far", "")).await.0, 200);
    for asked in [call("GET", "/far?list-type=2", ""), call("PUT", "/far/x", "hello")] {
        let (status, _, body) = world.ask(&asked).await;
        assert_eq!((status, body.contains("lies in a cloud")), (501, true), "{body}");
    }
}

#[tokio::test]
async fn so_many_requests_at_once_and_no_more() {
    let world = World::new();
    let door = Door::new(world.fixture.inlet.clone());
    let count = u32::try_from(limits::S3_REQUESTS_MAX).unwrap();
    let all = Arc::clone(&door.places).try_acquire_many_owned(count).unwrap();
    let list = call("GET", "/landing?list-type=2", "");
    assert_eq!(door.answer(list.signed()).await.status(), 503);
    drop(all);
    assert_eq!(door.answer(list.signed()).await.status(), 200);
    world.put("/landing/a", "hello").await;
    let download = door.answer(call("GET", "/landing/a", "").signed()).await;
    assert_eq!(download.status(), 200);
    assert_eq!(door.places.available_permits(), limits::S3_REQUESTS_MAX - 1, "until it is read");
    drop(download);
    assert_eq!(door.places.available_permits(), limits::S3_REQUESTS_MAX);
}

#[tokio::test(flavor = "multi_thread")]
async fn cold_objects_are_answered_as_they_were() {
    let world = World::new();
    let folders = crate::bucket::place::Folders {
        project: world.folder.path().to_owned(),
        own: world.folder.path().join("own"),
        books: world.folder.path().join("books"),
    };
    let options: crate::bucket::cold::ColdOptions =
        toml::from_str("after = '1 day'\nto = 'frozen'").unwrap();
    let none = std::collections::BTreeMap::new();
    let cold = crate::bucket::cold::Cold::open("landing", Some(options), &none, &folders);
    let cold = Arc::new(cold.unwrap().unwrap());
    let (_told, listing) = tokio::sync::watch::channel(None);
    let bucket = Arc::new(Bucket {
        name: "landing".to_owned(),
        events: Name::new("landing_events").unwrap(),
        place: Place::Folder(world.root()),
        listing,
        cold: Some(Arc::clone(&cold)),
        snapshots: None,
    });
    world.fixture.inlet.buckets().open(&bucket);
    let long = "hello ".repeat(100);
    let put = call("PUT", "/landing/a/b.csv", long.clone()).with("x-amz-meta-till", "7");
    assert_eq!(world.ask(&put).await.0, 200);
    world.put("/landing/a/c.csv", "hello").await;
    let (get, head) = (call("GET", "/landing/a/b.csv", ""), call("HEAD", "/landing/a/b.csv", ""));
    let list = call("GET", "/landing?list-type=2", "");
    let before = world.ask(&get).await;
    let listed = world.ask(&list).await.2;
    let objects = bucket.place.list(u64::MAX, base::Span::from_millis(0)).await.unwrap().objects;
    assert_eq!(objects.len(), 2);
    let go_on = std::sync::atomic::AtomicBool::new(false);
    let (own, moved) = (Arc::clone(&bucket), Arc::clone(&cold));
    let moving = move || crate::bucket::cold::move_all(&moved, &own.place, &objects, &go_on);
    assert!(tokio::task::spawn_blocking(moving).await.unwrap());
    assert!(!world.root().join("a/b.csv").try_exists().unwrap());
    fs::remove_dir(world.root().join("a")).unwrap();

    let after = world.ask(&get).await;
    for name in ["etag", "content-length", "content-type", "last-modified", "x-amz-meta-till"] {
        assert_eq!(after.1[name], before.1[name], "{name}");
    }
    assert_eq!((after.0, after.2.as_str()), (200, long.as_str()));
    let (status, headers, _) = world.ask(&head).await;
    assert_eq!((status, &headers["etag"]), (200, &before.1["etag"]));
    let part = world.ask(&get.clone().with("range", "bytes=1-4")).await;
    assert_eq!((part.0, part.2.as_str()), (206, "ello"));
    let etag = before.1["etag"].to_str().unwrap();
    assert_eq!(world.ask(&get.clone().with("if-none-match", etag)).await.0, 304);
    assert_eq!(world.ask(&list).await.2, listed, "a listing is the same");
    let top = call("GET", "/landing?delimiter=%2F&list-type=2", "");
    assert_eq!(
        tags(&world.ask(&top).await.2, "Prefix").iter().filter(|it| **it == "a/").count(),
        1
    );

    // A copy, one written over, and one deleted.
    let copy = call("PUT", "/landing/copy", "").with("x-amz-copy-source", "landing/a/b.csv");
    assert_eq!(world.ask(&copy).await.0, 200);
    assert_eq!(world.ask(&call("GET", "/landing/copy", "")).await.2, long);
    world.put("/landing/a/b.csv", "bye").await;
    assert_eq!(world.ask(&get).await.2, "bye");
    assert!(cold.find("a/b.csv").is_none() && cold.find("a/c.csv").is_some());
    assert_eq!(world.ask(&call("DELETE", "/landing/a/b.csv", "")).await.0, 204);
    assert_eq!(world.ask(&get).await.0, 404, "the cold one does not come back");
    let wrong = call("DELETE", "/landing/a/c.csv", "").with("if-match", "\"x\"");
    assert_eq!(world.ask(&wrong).await.0, 412);
    assert_eq!(world.ask(&call("DELETE", "/landing/a/c.csv", "")).await.0, 204);
    assert_eq!(world.ask(&call("GET", "/landing/a/c.csv", "")).await.0, 404);
    assert_eq!(tags(&world.ask(&list).await.2, "Key"), ["a/", "copy"]);
}

#[test]
fn what_the_program_writes_is_an_object_when_it_is_whole() {
    use std::io::Write as _;
    let world = World::new();
    let inlet = &world.fixture.inlet;
    let mut object = inlet.new_object("landing", "exports/sales.csv").unwrap();
    object.write_all(b"id,total\n1,20\n").unwrap();
    let path = world.root().join("exports/sales.csv");
    assert!(!path.try_exists().unwrap());
    object.finish().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "id,total\n1,20\n");
    // One that is dropped leaves what was there.
    let mut broken = inlet.new_object("landing", "exports/sales.csv").unwrap();
    broken.write_all(b"id").unwrap();
    drop(broken);
    assert_eq!(fs::read_to_string(&path).unwrap(), "id,total\n1,20\n");
    let hidden = fs::read_dir(world.root().join(".s3/tmp")).into_iter().flatten();
    assert_eq!(hidden.count(), 0);
    for (bucket, key) in [
        ("nothing", "a.csv"),
        ("landing", "../a.csv"),
        ("landing", "/etc/passwd"),
        ("landing", ".s3/a"),
        ("landing", "a/"),
        ("landing", "a//b"),
    ] {
        assert!(inlet.new_object(bucket, key).is_err(), "{bucket} {key}");
        assert!(inlet.check_object(bucket, key).is_err(), "{bucket} {key}");
    }
    let told = inlet.check_object("lnding", "a.csv").unwrap_err();
    assert_eq!(told.message, "there is no bucket `lnding`");
    assert!(told.help.unwrap().contains("`landing/…`, `other/…`"));
    // A link does not lead out.
    std::os::unix::fs::symlink("/tmp", world.root().join("out")).unwrap();
    let mut outside = inlet.new_object("landing", "out/a.csv").unwrap();
    outside.write_all(b"x").unwrap();
    assert!(outside.finish().is_err());
}
