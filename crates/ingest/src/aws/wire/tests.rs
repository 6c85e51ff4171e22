//! The two encodings.

use ciborium::cbor;
use proptest::prelude::*;

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Sample {
    at: Moment,
}

#[test]
fn a_moment_is_seconds_in_json_and_tagged_milliseconds_in_cbor() {
    let sample = Sample { at: Moment(1_767_600_000_123) };
    let json = Encoding::Json.write(&sample).unwrap();
    assert_eq!(String::from_utf8(json).unwrap(), r#"{"at":1767600000.123}"#);
    let cbor = Encoding::Cbor.write(&sample).unwrap();
    // map(1) "at" tag(1) unsigned(64 bits)
    assert_eq!(cbor, b"\xa1\x62at\xc1\x1b\x00\x00\x01\x9b\x8d\x2b\x8c\x7b");
}

#[test]
fn a_moment_is_read_however_it_is_written() {
    let json = |text: &str| Encoding::Json.read::<Sample>(text.as_bytes()).map(|it| it.at.0);
    assert_eq!(json(r#"{"at":1767600000}"#), Ok(1_767_600_000_000));
    assert_eq!(json(r#"{"at":1767600000.0625}"#), Ok(1_767_600_000_063));
    assert_eq!(json(r#"{"at":1.767600000123E9}"#), Ok(1_767_600_000_123));
    assert!(json(r#"{"at":-1}"#).is_err());
    assert!(json(r#"{"at":1e300}"#).is_err());
    let cbor = |bytes: &[u8]| Encoding::Cbor.read::<Sample>(bytes).map(|it| it.at.0);
    assert_eq!(cbor(b"\xa1\x62at\xc1\x1b\x00\x00\x01\x9b\x8d\x2b\x8c\x7b"), Ok(1_767_600_000_123));
    assert_eq!(cbor(b"\xa1\x62at\x1a\x00\x01\x00\x00"), Ok(65_536), "without its tag");
    assert_eq!(cbor(b"\xa1\x62at\xc1\xfb\x42\x79\xb8\xd2\xb8\xc7\xb0\x00"), Ok(1_767_600_000_123));
}

#[test]
fn base64_is_read_with_and_without_padding() {
    let mut room = Vec::new();
    let mut decode = |text: &str| Text(Cow::Borrowed(text)).decode(&mut room).map(<[u8]>::to_owned);
    assert_eq!(decode("aGVsbG8=").unwrap(), b"hello");
    assert_eq!(decode("aGVsbG8").unwrap(), b"hello");
    assert_eq!(decode("").unwrap(), b"");
    assert_eq!(decode("aGVsbG8*"), None);
    assert_eq!(decode("a"), None);
}

#[test]
fn byte_strings_are_read_whole_or_in_segments() {
    let read = |bytes: &[u8]| Encoding::Cbor.read::<ByteString>(bytes).map(|it| it.0);
    assert_eq!(read(b"\x43abc"), Ok(b"abc".to_vec()));
    assert_eq!(read(b"\x5f\x42ab\x41c\xff"), Ok(b"abc".to_vec()));
    let mut long = b"\x59\x27\x10".to_vec();
    long.extend_from_slice(&[7; 10_000]);
    assert_eq!(read(&long), Ok(vec![7; 10_000]));
    // A length that lies takes no memory.
    assert!(read(b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xffabc").is_err());
    assert!(Encoding::Cbor.read::<ByteString>(b"\x63abc").is_err());
}

#[test]
fn long_texts_are_read_too() {
    let mut bytes = Vec::new();
    ciborium::into_writer(&cbor!({ "x" => "y".repeat(100_000) }).unwrap(), &mut bytes).unwrap();
    let read: std::collections::BTreeMap<String, String> = Encoding::Cbor.read(&bytes).unwrap();
    assert_eq!(read["x"].len(), 100_000);
}

proptest! {
    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for encoding in [Encoding::Json, Encoding::Cbor] {
            drop(encoding.read::<Sample>(&bytes));
            drop(encoding.read::<Vec<String>>(&bytes));
            drop(encoding.read::<ByteString>(&bytes));
        }
    }

    #[test]
    fn moments_round_trip(ms in 0u64..100_000_000_000_000) {
        for encoding in [Encoding::Json, Encoding::Cbor] {
            let sample = Sample { at: Moment(ms) };
            let read: Sample = encoding.read(&encoding.write(&sample).unwrap()).unwrap();
            prop_assert_eq!(read, sample);
        }
    }
}
