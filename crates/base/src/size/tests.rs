use super::ByteSize;

#[test]
fn sizes_are_words() {
    for (text, bytes) in
        [("2 GB", 2_000_000_000), ("64MiB", 64 << 20), ("0 B", 0), ("1_000 kB", 1_000_000)]
    {
        assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
    }
    for text in ["", "GB", "2", "2 XB", "-1 B", "99999999999 TB", "2.5 GB"] {
        assert!(text.parse::<ByteSize>().is_err(), "{text:?} passed");
    }
}

#[test]
fn sizes_print_as_people_write_them() {
    assert_eq!(ByteSize(2_000_000_000).to_string(), "2 GB");
    assert_eq!(ByteSize(1_234_567).to_string(), "1.2 MB");
    assert_eq!(ByteSize(999).to_string(), "999 B");
}
