//! Pages of other sites, over the router and a real journal.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use base::Name;
use expect_test::expect;
use tower::ServiceExt as _;

use super::*;
use crate::tests::Fixture;

const SHOP: &str = "https://shop.example";
const STRANGER: &str = "https://evil.example";

fn open() -> Fixture {
    let fixture = Fixture::new();
    let options: toml::Table = toml::from_str("origins = ['https://Shop.example']").unwrap();
    let door = crate::door("http").unwrap();
    drop(door.open(&options, &fixture.inlet, &Name::new("notes").unwrap()).unwrap());
    fixture
}

async fn ask(fixture: &Fixture, method: Method, path: &str, origin: &str) -> (u16, HeaderMap) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost:7070")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .body(Body::from("hello"))
        .unwrap();
    let response = fixture.router.clone().oneshot(request).await.unwrap();
    (response.status().as_u16(), response.headers().clone())
}

#[tokio::test]
async fn pages_of_named_origins_may_send_and_read_the_answer() {
    let fixture = open();
    let (status, headers) = ask(&fixture, Method::OPTIONS, "/v1/streams/notes/records", SHOP).await;
    assert_eq!(status, 204);
    assert_eq!(headers["access-control-allow-origin"], SHOP);
    assert_eq!(headers["access-control-allow-methods"], "GET, POST");
    assert_eq!(headers["vary"], "origin");
    assert!(!headers.contains_key("access-control-allow-credentials"));
    let (status, headers) = ask(&fixture, Method::POST, "/v1/streams/notes/records", SHOP).await;
    assert_eq!(
        (status, &headers["access-control-allow-origin"]),
        (200, &HeaderValue::from_static(SHOP))
    );
    // A browser sends beacons with its credentials, and asks.
    let (status, headers) = ask(&fixture, Method::OPTIONS, "/v1/streams/notes/beacon", SHOP).await;
    assert_eq!(
        (status, headers["access-control-allow-credentials"].to_str().unwrap()),
        (204, "true")
    );
    assert_eq!(ask(&fixture, Method::POST, "/v1/streams/notes/beacon", SHOP).await.0, 204);
    assert_eq!(fixture.count("notes"), 2);
}

#[tokio::test]
async fn pages_of_other_sites_are_refused_and_our_own_are_not() {
    let fixture = open();
    for (method, path) in [
        (Method::OPTIONS, "/v1/streams/notes/records"),
        (Method::POST, "/v1/streams/notes/records"),
        (Method::POST, "/v1/streams/notes/beacon"),
        (Method::GET, "/v1/streams/notes/follow"),
    ] {
        let (status, headers) = ask(&fixture, method, path, STRANGER).await;
        assert_eq!(status, 403, "{path}");
        assert!(!headers.contains_key("access-control-allow-origin"), "{path}");
    }
    // The origin is that of this stream only.
    assert_eq!(ask(&fixture, Method::POST, "/v1/streams/orders/records", SHOP).await.0, 403);
    let own = "http://localhost:7070";
    assert_eq!(ask(&fixture, Method::POST, "/v1/streams/notes/records", own).await.0, 200);
    let (status, _, _) = fixture.post("/v1/streams/notes/records", &[], "a program").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(fixture.count("notes") + fixture.count("orders"), 2);
}

#[test]
fn an_origin_has_no_path_and_a_star_is_any() {
    let new = |it: &str| Origins::new(&[it.to_owned()]);
    for right in ["https://a.example", "http://localhost:5173", "http://[::1]:80", "*"] {
        assert!(new(right).is_ok(), "{right}");
    }
    for wrong in ["shop.example", "https://", "https://a/b", "ftp://a", "https://a.example/", ""] {
        assert!(new(wrong).is_err(), "{wrong}");
    }
    expect![[r#"
        OptionFault {
            key: Some(
                "origins",
            ),
            message: "`shop.example` is no origin",
            help: Some(
                "an origin is written as `https://shop.example`, without a path",
            ),
        }
    "#]]
    .assert_debug_eq(&new("shop.example").unwrap_err());
    let mut headers = HeaderMap::new();
    headers.insert("origin", HeaderValue::from_static("https://anybody.example"));
    assert!(matches!(new("*").unwrap().judge(&headers, None), Passed::Named(_)));
}
