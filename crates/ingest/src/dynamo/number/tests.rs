use proptest::prelude::*;

use super::*;

fn read(text: &str) -> String {
    match Number::parse(text) {
        Ok(number) => number.to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn numbers_have_one_form() {
    for (text, form) in [
        ("0", "0"),
        ("-0.00", "0"),
        ("007", "7"),
        ("+20.50", "20.5"),
        ("-1.5E+3", "-1500"),
        ("1e-3", "0.001"),
        (".5", "0.5"),
        ("5.", "5"),
        ("100", "100"),
        ("0.00120", "0.0012"),
        ("99999999999999999999999999999999999999", "99999999999999999999999999999999999999"),
    ] {
        assert_eq!(read(text), form, "{text}");
    }
    assert_eq!(read("1E125").len(), 126);
    assert_eq!(read("1E-130").len(), 132);
}

#[test]
fn what_is_no_number_is_refused_as_dynamodb_words_it() {
    assert_eq!(read(""), "The parameter cannot be converted to a numeric value");
    for text in ["abc", "1e", "--1", "1.2.3", ".", "NaN", "Infinity", " 1", "1 ", "0x1", "e5"] {
        let refused = format!("The parameter cannot be converted to a numeric value: {text}");
        assert_eq!(read(text), refused);
    }
    assert_eq!(Number::parse(&"1".repeat(39)), Err(NotANumber::Digits));
    assert_eq!(Number::parse("1E126"), Err(NotANumber::Overflow));
    assert_eq!(Number::parse("1E99999999999999999999"), Err(NotANumber::Overflow));
    assert_eq!(Number::parse("1E-131"), Err(NotANumber::Underflow));
    assert_eq!(Number::parse("-1E-99999999999999999999"), Err(NotANumber::Underflow));
    assert_eq!(read("0E999999"), "0");
}

proptest! {
    #[test]
    fn numbers_order_as_their_values(
        a in -1_000_000_000_i128..1_000_000_000, b in -1_000_000_000_i128..1_000_000_000,
        places in 0_usize..12,
    ) {
        let text = |it: i128| format!("{it}E-{places}");
        let (left, right) = (Number::parse(&text(a)).unwrap(), Number::parse(&text(b)).unwrap());
        prop_assert_eq!(left.cmp(&right), a.cmp(&b));
        prop_assert_eq!(left == right, a == b);
    }

    #[test]
    fn the_form_is_read_as_the_same_number(text in "-?[0-9]{1,19}(\\.[0-9]{0,19})?([eE][+-]?[0-9]{1,2})?") {
        let number = Number::parse(&text).unwrap();
        let again = Number::parse(&number.to_string()).unwrap();
        prop_assert_eq!(&again, &number);
        prop_assert_eq!(again.to_string(), number.to_string());
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        drop(Number::parse(&text));
    }
}
