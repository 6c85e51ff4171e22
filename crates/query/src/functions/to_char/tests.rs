use super::strftime;

#[test]
fn patterns_are_translated_or_refused() {
    let good = [
        ("YYYY-MM-DD HH24:MI:SS.MS", "%Y-%m-%d %H:%M:%S.%3f"),
        ("YYYY-MM-DD\"T\"HH12 AM", "%Y-%m-%dT%I %p"),
        ("FMDay, DD Mon YY", "%A, %d %b %y"),
        ("%d.%m.", "%d.%m."),
        ("", ""),
    ];
    for (pattern, expected) in good {
        assert_eq!(strftime(pattern).unwrap(), expected, "{pattern}");
    }
    for pattern in ["Month", "Day the DDth", "YYYY\"open", "Q", "999.99", "YYYYMMDDTHH24"] {
        assert!(strftime(pattern).is_err(), "{pattern} was translated");
    }
}

proptest::proptest! {
    #[test]
    fn no_letter_gets_through_unquoted(pattern in "[A-Za-z0-9 :.-]{0,12}") {
        if let Ok(translated) = strftime(&pattern) {
            let mut letters = translated.chars();
            while let Some(letter) = letters.next() {
                if letter == '%' {
                    let directive = letters.next();
                    if matches!(directive, Some('3' | '6' | ':')) {
                        letters.next();
                    }
                } else {
                    proptest::prop_assert!(!letter.is_alphanumeric());
                }
            }
        }
    }
}
