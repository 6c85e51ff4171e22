use md5::{Digest, Md5};
use proptest::prelude::*;

use super::{MAGIC, take_apart};

fn number(mut number: u64, out: &mut Vec<u8>) {
    while 0x80 <= number {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn bytes(field: u64, bytes: &[u8], out: &mut Vec<u8>) {
    number(field << 3 | 2, out);
    number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Puts records together as the producer library does: key, hash key, bytes.
pub(crate) fn put_together(records: &[(&str, Option<u128>, &[u8])]) -> Vec<u8> {
    let mut message = Vec::new();
    for (key, _, _) in records {
        bytes(1, key.as_bytes(), &mut message);
    }
    for (_, hash, _) in records {
        bytes(2, hash.unwrap_or(0).to_string().as_bytes(), &mut message);
    }
    for (index, (_, hash, data)) in records.iter().enumerate() {
        let mut record = Vec::new();
        number(1 << 3, &mut record);
        number(index as u64, &mut record);
        if hash.is_some() {
            number(2 << 3, &mut record);
            number(index as u64, &mut record);
        }
        bytes(3, data, &mut record);
        bytes(3, &record, &mut message);
    }
    sealed(&message)
}

fn sealed(message: &[u8]) -> Vec<u8> {
    [MAGIC, message, Md5::digest(message).as_slice()].concat()
}

proptest! {
    #[test]
    fn what_was_put_together_is_taken_apart(
        records in prop::collection::vec(
            (".{0,60}", any::<Option<u128>>(), prop::collection::vec(any::<u8>(), 0..300)),
            1..40,
        ),
    ) {
        let records: Vec<(&str, Option<u128>, &[u8])> =
            records.iter().map(|(key, hash, bytes)| (key.as_str(), *hash, bytes.as_slice())).collect();
        let together = put_together(&records);
        let apart = take_apart(&together).unwrap();
        let apart: Vec<_> = apart.iter().map(|it| (it.key, it.hash, it.bytes)).collect();
        prop_assert_eq!(apart, records);
    }

    #[test]
    fn one_that_is_damaged_is_a_plain_record(at in any::<prop::sample::Index>(), bit in 0..8) {
        let mut together = put_together(&[("k", None, b"one"), ("l", Some(7), b"two")]);
        let at = at.index(together.len());
        together[at] ^= 1_u8 << bit;
        prop_assert_eq!(take_apart(&together), None);
    }

    #[test]
    fn any_message_is_no_panic(message in prop::collection::vec(any::<u8>(), 0..200)) {
        let sealed = sealed(&message);
        let taken = take_apart(&sealed);
        prop_assert!(taken.is_none_or(|it| !it.is_empty()));
    }
}

#[test]
fn what_only_looks_like_one_is_a_plain_record() {
    let mut no_such_key = Vec::new();
    bytes(1, b"k", &mut no_such_key);
    bytes(3, &[8, 1, 26, 1, b'x'], &mut no_such_key);
    let mut no_data = Vec::new();
    bytes(1, b"k", &mut no_data);
    bytes(3, &[8, 0], &mut no_data);
    for message in [&[][..], &no_such_key, &no_data, &[10, 200]] {
        assert_eq!(take_apart(&sealed(message)), None, "{message:?}");
    }
    for bytes in [&b""[..], MAGIC, b"\xf3\x89\x9a\xc2 too short", b"{\"a\": 1}"] {
        assert_eq!(take_apart(bytes), None);
    }
}
