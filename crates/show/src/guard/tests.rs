use axum::http::HeaderName;

use super::*;

fn headers(list: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
    };
    list.iter().map(pair).collect()
}

#[test]
fn only_names_of_loopback_are_answered() {
    let hosts = Hosts::Loopback(vec!["mainstem.lan".to_owned()]);
    for host in
        ["localhost", "LocalHost:7070", "127.0.0.1:7070", "[::1]:7070", "[::1]", "mainstem.lan"]
    {
        assert_eq!(refuse_host(&hosts, host), None, "{host}");
    }
    for host in
        ["", "evil.example", "evil.example:7070", "localhost.evil.example", "127.0.0.1.evil", "::1"]
    {
        assert!(refuse_host(&hosts, host).is_some(), "{host}");
        assert_eq!(refuse_host(&Hosts::Any, host), None);
    }
}

#[test]
fn a_page_of_another_site_changes_nothing() {
    let refused = |method: Method, list: &[(&str, &str)]| {
        refuse_stranger(&method, &headers(list), "localhost:7070").is_some()
    };
    // Programs send neither header.
    assert!(!refused(Method::POST, &[]));
    assert!(!refused(
        Method::POST,
        &[("origin", "http://localhost:7070"), ("sec-fetch-site", "same-origin")]
    ));
    assert!(!refused(Method::GET, &[("sec-fetch-site", "cross-site")]));
    assert!(refused(Method::POST, &[("sec-fetch-site", "cross-site")]));
    assert!(refused(Method::POST, &[("sec-fetch-site", "same-site")]));
    assert!(refused(Method::POST, &[("origin", "https://evil.example")]));
    assert!(refused(Method::POST, &[("origin", "null")]));
    assert!(refused(Method::POST, &[("origin", "http://localhost:7071")]));
    assert!(refused(Method::DELETE, &[("origin", "http://localhost:7070.evil.example")]));
}
