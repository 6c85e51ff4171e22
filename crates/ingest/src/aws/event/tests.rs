use super::message;

/// The example of AWS' own description of the format: no headers, a payload.
#[test]
fn a_message_is_laid_out_as_aws_describes() {
    let payload = br#"{'foo':'bar'}"#;
    let written = message(&[], payload).unwrap();
    let mut expected = vec![0, 0, 0, 0x1d, 0, 0, 0, 0, 0xfd, 0x52, 0x8c, 0x5a];
    expected.extend_from_slice(payload);
    expected.extend_from_slice(&[0xc3, 0x65, 0x39, 0x36]);
    assert_eq!(written, expected);
}

#[test]
fn a_header_is_a_name_a_kind_and_a_value() {
    let written = message(&[(":event-type", "it")], b"").unwrap();
    let headers = b"\x0b:event-type\x07\x00\x02it";
    assert_eq!(written.len(), 16 + headers.len());
    assert_eq!(&written[12..12 + headers.len()], headers);
    assert_eq!(u32::from_be_bytes(written[..4].try_into().unwrap()) as usize, written.len());
}
