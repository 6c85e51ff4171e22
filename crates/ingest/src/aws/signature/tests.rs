//! Signatures that AWS publishes, signatures that AWS's client makes, and what nobody may change.

use std::path::Path;
use std::process::Command;

use axum::http::Request;
use base64::Engine as _;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::aws::wire::BASE64;
use crate::tests::NOW_MS;

/// The secret of AWS's published examples.
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const EXAMPLE_AT: &str = "20150830T123600Z";

fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// A request of AWS's examples, signed with `signature` over the headers it has.
fn example(
    (method, uri, service): (&str, &str, &str),
    headers: &[(&str, &str)],
    signature: &str,
) -> Parts {
    let mut names: Vec<String> = headers.iter().map(|(name, _)| name.to_lowercase()).collect();
    names.sort();
    names.dedup();
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/{service}/aws4_request, \
         SignedHeaders={}, Signature={signature}",
        names.join(";")
    );
    let mut all = headers.to_vec();
    all.push(("authorization", &authorization));
    parts(method, uri, &all)
}

fn verified(parts: &Parts, secret: &str, body: &[u8]) -> Result<(), Fault> {
    Claim::of(parts)?.verify(secret, parts, body)
}

#[test]
fn the_examples_that_aws_publishes_are_right() {
    let host = [("Host", "example.amazonaws.com"), ("X-Amz-Date", EXAMPLE_AT)];
    let form = [host[0], host[1], ("Content-Type", "application/x-www-form-urlencoded")];
    let iam = [
        ("Host", "iam.amazonaws.com"),
        ("X-Amz-Date", EXAMPLE_AT),
        ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
    ];
    let cases: [(_, &[_], &[u8], &str); 5] = [
        (
            ("GET", "/", "service"),
            &host,
            b"",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            ("POST", "/", "service"),
            &host,
            b"",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            ("GET", "/?Param2=value2&Param1=value1", "service"),
            &host,
            b"",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            ("POST", "/", "service"),
            &form,
            b"Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
        (
            ("GET", "/?Action=ListUsers&Version=2010-05-08", "iam"),
            &iam,
            b"",
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        ),
    ];
    for (what, headers, body, signature) in cases {
        let request = example(what, headers, signature);
        assert_eq!(verified(&request, SECRET, body), Ok(()), "{what:?}");
        assert!(verified(&request, "another secret", body).is_err(), "{what:?}");
        assert!(verified(&request, SECRET, b"another body").is_err(), "{what:?}");
    }
}

#[test]
fn the_canonical_form_is_that_of_the_published_suite() {
    let path = |uri: &str| {
        let request = request_of(&parts("GET", uri, &[]), &[], "");
        request.lines().nth(1).unwrap_or_default().to_owned()
    };
    let paths = ["/", "//", "//a//b/", "/a/./b/../c", "/a/..", "/%20", "/%E1%88%B4", "/a~b"];
    let found: Vec<String> = paths.iter().map(|it| path(it)).collect();
    assert_eq!(found, ["/", "/", "/a/b/", "/a/c", "/", "/%2520", "/%25E1%2588%25B4", "/a~b"]);
    let query = |query: &str| {
        let request = request_of(&parts("GET", &format!("/?{query}"), &[]), &[], "");
        request.lines().nth(2).unwrap_or_default().to_owned()
    };
    assert_eq!(query("b=2&a=10&a=2&A=x"), "A=x&a=10&a=2&b=2");
    assert_eq!(query("p&q=&&r=a=b"), "p=&q=&r=a%3Db");
    assert_eq!(query("%61=%7e%2f&x=%zz"), "a=~%2F&x=%25zz");
    assert_eq!(query("a=1&X-Amz-Signature=abc"), "a=1");
    let headers = [("x-one", "  a   b  "), ("x-two", "1"), ("x-two", "2"), ("Host", "h:80")];
    let signed = ["host".to_owned(), "x-none".to_owned(), "x-one".to_owned(), "x-two".to_owned()];
    let request = request_of(&parts("POST", "/", &headers), &signed, "digest");
    let expected =
        "POST\n/\n\nhost:h:80\nx-none:\nx-one:a b\nx-two:1,2\n\nhost;x-none;x-one;x-two\ndigest";
    assert_eq!(request, expected);
}

/// Signs a request as of now with the verifier's own means.
fn signed(uri: &str, headers: &[(&str, &str)], body: &[u8], at_ms: u64) -> Parts {
    let at = written(at_ms);
    let mut all = vec![("host", "localhost:7070"), ("x-amz-date", at.as_str())];
    all.extend_from_slice(headers);
    let mut names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    let text = |signature: &str| {
        format!(
            "AWS4-HMAC-SHA256 Credential=producer/{}/us-east-1/kinesis/aws4_request, \
             SignedHeaders={}, Signature={signature}",
            at.get(..8).unwrap(),
            names.join(";")
        )
    };
    let mut with = all.clone();
    let unsigned = text("0");
    with.push(("authorization", &unsigned));
    let request = parts("POST", uri, &with);
    let claim = Claim::of(&request).unwrap();
    let canonical = request_of(&request, &claim.headers, &hex(&Sha256::digest(body)));
    let to_sign = claim.text_to_sign(&canonical);
    let signature = hex(&mac(&claim.signing_key(SECRET), to_sign.as_bytes()));
    let done = text(&signature);
    with.pop();
    with.push(("authorization", &done));
    parts("POST", uri, &with)
}

fn check_all(parts: &Parts, body: &[u8], now_ms: u64) -> Result<(), Fault> {
    let claim = Claim::of(parts)?;
    claim.check("kinesis", parts, now_ms)?;
    claim.verify(SECRET, parts, body)
}

const TARGET: (&str, &str) = ("x-amz-target", "Kinesis_20131202.PutRecord");

fn refused(found: Result<(), Fault>, expected: &Expect) {
    let fault = found.unwrap_err();
    assert_eq!(fault.status, 400);
    expected.assert_eq(&format!("{}: {}", fault.name, fault.message));
}

#[test]
fn nothing_that_was_signed_can_be_changed() {
    let request = signed("/?a=1", &[TARGET], b"{}", NOW_MS);
    assert_eq!(check_all(&request, b"{}", NOW_MS), Ok(()));
    let mismatch = expect![
        "InvalidSignatureException: The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
    ];
    refused(check_all(&request, b"{ }", NOW_MS), &mismatch);
    let change = |with: &dyn Fn(&mut Parts)| {
        let mut changed = request.clone();
        with(&mut changed);
        check_all(&changed, b"{}", NOW_MS)
    };
    let target = HeaderValue::from_static("Kinesis_20131202.DeleteStream");
    refused(change(&|it| drop(it.headers.insert("x-amz-target", target.clone()))), &mismatch);
    let host = HeaderValue::from_static("other:7070");
    refused(change(&|it| drop(it.headers.insert("host", host.clone()))), &mismatch);
    refused(change(&|it| assert!(it.headers.append("x-amz-target", target.clone()))), &mismatch);
    refused(change(&|it| it.uri = "/?a=2".parse().unwrap()), &mismatch);
    refused(change(&|it| it.uri = "/b?a=1".parse().unwrap()), &mismatch);
    refused(change(&|it| it.method = axum::http::Method::PUT), &mismatch);
    // What was not signed may be anything, but not what AWS looks at.
    assert_eq!(
        change(&|it| drop(it.headers.insert("user-agent", HeaderValue::from_static("x")))),
        Ok(())
    );
    refused(
        change(&|it| drop(it.headers.insert("x-amz-security-token", target.clone()))),
        &expect![
            "InvalidSignatureException: 'x-amz-security-token' must be a 'SignedHeader' in the AWS Authorization."
        ],
    );
}

#[test]
fn a_body_that_is_not_signed_is_refused() {
    let headers = [("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), TARGET];
    refused(
        check_all(&signed("/", &headers, b"{}", NOW_MS), b"{}", NOW_MS),
        &expect![
            "InvalidSignatureException: x-amz-content-sha256 must be the SHA-256 of the body; 'UNSIGNED-PAYLOAD' is not accepted here."
        ],
    );
    let digest = hex(&Sha256::digest(b"{}"));
    let headers = [("x-amz-content-sha256", digest.as_str()), TARGET];
    assert_eq!(check_all(&signed("/", &headers, b"{}", NOW_MS), b"{}", NOW_MS), Ok(()));
}

#[test]
fn a_signature_is_good_for_a_quarter_of_an_hour() {
    let request = signed("/", &[TARGET], b"{}", NOW_MS);
    let minutes = |minutes: u64| minutes * 60_000;
    for now_ms in [NOW_MS - minutes(15), NOW_MS, NOW_MS + minutes(15)] {
        assert_eq!(check_all(&request, b"{}", now_ms), Ok(()));
    }
    refused(
        check_all(&request, b"{}", NOW_MS + minutes(15) + 1_000),
        &expect![
            "InvalidSignatureException: Signature expired: 20260105T080000Z is now earlier than 20260105T080001Z (20260105T081501Z - 15 min.)"
        ],
    );
    refused(
        check_all(&request, b"{}", NOW_MS - minutes(15) - 1_000),
        &expect![
            "InvalidSignatureException: Signature not yet current: 20260105T080000Z is still later than 20260105T075959Z (20260105T074459Z + 15 min.)"
        ],
    );
}

#[test]
fn what_is_missing_or_odd_is_said_in_the_words_of_aws() {
    let with = |authorization: &str| {
        let headers =
            [("host", "h"), ("x-amz-date", "20260105T080000Z"), ("authorization", authorization)];
        check_all(&parts("POST", "/", &headers), b"", NOW_MS)
    };
    refused(
        check_all(&parts("POST", "/", &[]), b"", NOW_MS),
        &expect!["MissingAuthenticationTokenException: Missing Authentication Token"],
    );
    refused(
        with("Bearer abc"),
        &expect!["IncompleteSignatureException: Unsupported AWS 'algorithm': 'Bearer'."],
    );
    refused(
        with("AWS4-HMAC-SHA256 Credential=a"),
        &expect![
            "IncompleteSignatureException: Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter."
        ],
    );
    let rest = "SignedHeaders=host;x-amz-date, Signature=00";
    refused(
        with(&format!("AWS4-HMAC-SHA256 Credential=a/b, {rest}")),
        &expect![
            "IncompleteSignatureException: Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'a/b'"
        ],
    );
    refused(
        with(&format!("AWS4-HMAC-SHA256 Credential=a/20260104/r/kinesis/aws4_request, {rest}")),
        &expect![
            "InvalidSignatureException: Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20260104' != '20260105', from '20260105T080000Z'."
        ],
    );
    refused(
        with(&format!("AWS4-HMAC-SHA256 Credential=a/20260105/r/s3/aws4_request, {rest}")),
        &expect![
            "InvalidSignatureException: Credential should be scoped to correct service: 'kinesis'. "
        ],
    );
    refused(
        with(&format!("AWS4-HMAC-SHA256 Credential=a/20260105/r/kinesis/aws5, {rest}")),
        &expect![
            "InvalidSignatureException: Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5'."
        ],
    );
    refused(
        with(
            "AWS4-HMAC-SHA256 Credential=a/20260105/r/kinesis/aws4_request,SignedHeaders=x-amz-date,Signature=00",
        ),
        &expect![
            "InvalidSignatureException: 'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
        ],
    );
    let both = parts(
        "GET",
        "/?X-Amz-Algorithm=AWS4-HMAC-SHA256",
        &[("authorization", "AWS4-HMAC-SHA256 x")],
    );
    refused(
        check_all(&both, b"", NOW_MS),
        &expect![
            "InvalidSignatureException: Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."
        ],
    );
    let address = parts("GET", "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=x", &[]);
    refused(
        check_all(&address, b"", NOW_MS),
        &expect![
            "IncompleteSignatureException: AWS query-string parameters must include 'X-Amz-Credential'. AWS query-string parameters must include 'X-Amz-Signature'. AWS query-string parameters must include 'X-Amz-SignedHeaders'. AWS query-string parameters must include 'X-Amz-Expires'. Re-examine the query-string parameters."
        ],
    );
}

#[test]
fn a_date_header_does_as_well() {
    let headers = [
        ("host", "h"),
        ("date", "Mon, 05 Jan 2026 08:00:00 GMT"),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=a/20260105/r/kinesis/aws4_request,SignedHeaders=date;host,Signature=00",
        ),
    ];
    assert_eq!(Claim::of(&parts("POST", "/", &headers)).unwrap().at_ms, NOW_MS);
}

/// One request that AWS's client signed.
fn of_client(line: &str) -> (Parts, Vec<u8>, String) {
    let json: Json = serde_json::from_str(line).unwrap();
    let text = |name: &str| json[name].as_str().unwrap();
    let mut request = Request::builder().method(text("method")).uri(text("url"));
    for header in json["headers"].as_array().unwrap() {
        request = request.header(header[0].as_str().unwrap(), header[1].as_str().unwrap());
    }
    let body = BASE64.decode(text("body")).unwrap();
    (request.body(()).unwrap().into_parts().0, body, text("service").to_owned())
}

#[test]
fn what_the_client_of_aws_signs_is_right() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/bin/python");
    let ran = Command::new(python).args(["-c", include_str!("tests/botocore.py")]).output();
    let Some(ran) =
        ran.ok().filter(|it| !String::from_utf8_lossy(&it.stderr).contains("No module"))
    else {
        eprintln!("SKIPPED: target/peers has no boto3 (cargo xtask peers)");
        return;
    };
    let (said, problems) =
        (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{problems}");
    let mut count = 0;
    for line in said.lines() {
        let (parts, body, service) = of_client(line);
        let claim = Claim::of(&parts).unwrap();
        assert_eq!(claim.check(&service, &parts, NOW_MS), Ok(()), "{line}");
        let secret = "a secret of more than sixteen";
        assert_eq!(claim.verify(secret, &parts, &body), Ok(()), "{line}");
        assert!(claim.verify("a secret of more than sixteeN", &parts, &body).is_err(), "{line}");
        count += 1;
    }
    assert_eq!(count, 400);
}

proptest! {
    #[test]
    fn any_header_and_address_is_answered(text in "(AWS4-HMAC-SHA256 )?[ -~]{0,200}", query in "[ -~]{0,100}") {
        let authorization = HeaderValue::from_str(&text);
        prop_assume!(authorization.is_ok());
        let uri: Result<axum::http::Uri, _> = format!("/?{}", query.replace([' ', '"', '<', '>'], "")).parse();
        prop_assume!(uri.is_ok());
        let mut parts = parts("POST", "/", &[("x-amz-date", "20260105T080000Z")]);
        parts.headers.insert("authorization", authorization.unwrap());
        parts.uri = uri.unwrap();
        prop_assert!(check_all(&parts, b"", NOW_MS).is_err());
        let request = request_of(&parts, &["host".to_owned()], "digest");
        prop_assert!(request.is_ascii());
    }
}
