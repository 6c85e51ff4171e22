use super::*;

#[test]
fn a_signature_is_that_of_the_python_sdk() {
    let key = Key { id: "bench".to_owned(), secret: "a secret of sixteen".to_owned() };
    let target = Target {
        service: "kinesis",
        content_type: "application/x-amz-json-1.1",
        operation: "Kinesis_20131202.PutRecords",
    };
    // 2026-01-05T10:15:00Z; made by botocore 1.43 for the same request.
    let request = target.request(Some(&key), 1_767_608_100_000, br#"{"StreamName":"bench"}"#, 0);
    let text = String::from_utf8(request.bytes).unwrap();
    let expected = "AWS4-HMAC-SHA256 Credential=bench/20260105/us-east-1/kinesis/aws4_request, \
                    SignedHeaders=content-type;host;x-amz-date;x-amz-target, \
                    Signature=0780cafada7553bfb0f35cb023925df080b502d692906e829530b267f97db284";
    assert!(text.contains("x-amz-date: 20260105T101500Z\r\n"), "{text}");
    assert!(text.contains(&format!("authorization: {expected}\r\n")), "{text}");
}

#[test]
fn without_a_key_nothing_is_signed() {
    let target = Target { service: "kinesis", content_type: "t", operation: "o" };
    let text = String::from_utf8(target.request(None, 0, b"{}", 0).bytes).unwrap();
    assert_eq!(
        text,
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\
         content-type: t\r\nx-amz-target: o\r\n\r\n{}"
    );
}
