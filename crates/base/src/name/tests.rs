use super::Name;

#[test]
fn names_of_kinesis_streams_pass() {
    for text in ["orders", "_x", "a-b.c_9", "9lives"] {
        assert_eq!(Name::new(text).unwrap(), text);
    }
}

#[test]
fn what_could_leave_a_folder_or_a_header_is_refused() {
    for text in ["", ".", "..", "../x", "a/b", "a b", "a\n", "é", "-x", &"x".repeat(129)] {
        assert!(Name::new(text).is_err(), "{text:?} passed");
    }
}
