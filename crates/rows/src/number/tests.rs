//! Numbers are exact or refused.

use proptest::prelude::*;

use super::*;

#[test]
fn decimals_are_never_rounded_or_cut() {
    let read = |text: &str| parse_decimal(text, 12, 2);
    assert_eq!(read("1.23"), Ok(123));
    assert_eq!(read("1.230"), Ok(123));
    assert_eq!(read("1e2"), Ok(10_000));
    assert_eq!(read("1.5E+1"), Ok(1_500));
    assert_eq!(read("120e-3"), Ok(12));
    assert_eq!(read("-0.01"), Ok(-1));
    assert_eq!(read("+7"), Ok(700));
    assert_eq!(read(".5"), Ok(50));
    assert_eq!(read("5."), Ok(500));
    assert_eq!(read("0.000000000000000000000000000000000000000000000000000"), Ok(0));
    assert_eq!(read("0e999999999999999999999"), Ok(0));
    assert_eq!(read("9999999999.99"), Ok(999_999_999_999));
    assert_eq!(read("1.234"), Err(NumberFault::TooManyDecimals));
    assert_eq!(read("123e-5"), Err(NumberFault::TooManyDecimals));
    assert_eq!(read("1e-999999999999999999999"), Err(NumberFault::TooManyDecimals));
    assert_eq!(read("10000000000"), Err(NumberFault::OutOfRange));
    assert_eq!(read("1e999999999999999999999"), Err(NumberFault::OutOfRange));
    assert_eq!(read(&"9".repeat(100)), Err(NumberFault::OutOfRange));
    for text in ["", ".", "-", "e5", "1e", "1e+", "1.2.3", "0x1", "1_000", "NaN", "--1", "1 2"] {
        assert_eq!(read(text), Err(NumberFault::NotANumber), "{text:?}");
    }
}

#[test]
fn the_largest_decimals_fit() {
    let most = "9".repeat(38);
    assert_eq!(parse_decimal(&most, 38, 0), Ok(10_i128.pow(38) - 1));
    assert_eq!(parse_decimal(&format!("-{most}"), 38, 0), Ok(1 - 10_i128.pow(38)));
    assert_eq!(parse_decimal(&format!("0.{most}"), 38, 38), Ok(10_i128.pow(38) - 1));
    assert_eq!(parse_decimal(&format!("{most}0"), 38, 0), Err(NumberFault::OutOfRange));
    assert_eq!(parse_decimal("1200", 2, -2), Ok(12));
    assert_eq!(parse_decimal("1250", 2, -2), Err(NumberFault::TooManyDecimals));
}

#[test]
fn whole_numbers_have_no_point_and_do_not_overflow() {
    assert_eq!(parse_int("9223372036854775807"), Ok(i64::MAX));
    assert_eq!(parse_int("-9223372036854775808"), Ok(i64::MIN));
    assert_eq!(parse_int("9223372036854775808"), Err(NumberFault::OutOfRange));
    assert_eq!(parse_int("1.5"), Err(NumberFault::TooManyDecimals));
    assert_eq!(parse_int("2.0"), Err(NumberFault::TooManyDecimals));
    assert_eq!(parse_int("1e3"), Err(NumberFault::TooManyDecimals));
    assert_eq!(parse_int("two"), Err(NumberFault::NotANumber));
    assert_eq!(parse_int(""), Err(NumberFault::NotANumber));
}

#[test]
fn floats_are_the_nearest_and_finite() {
    assert_eq!(parse_float("0.1").map(f64::to_bits), Ok(0.1_f64.to_bits()));
    // A reader that is off by one unit in the last place gets this one wrong.
    let hard = "9007199254740993.00000000000000000000000000001";
    assert_eq!(parse_float(hard).map(f64::to_bits), Ok(9_007_199_254_740_994_f64.to_bits()));
    assert_eq!(parse_float("1e400"), Err(NumberFault::OutOfRange));
    for text in ["NaN", "inf", "infinity", "", "1e", "abc"] {
        assert_eq!(parse_float(text), Err(NumberFault::NotANumber), "{text:?}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_number_or_refused(text in "\\PC*", precision in 1_u8..=38, scale in 0_i8..=38) {
        let _int = parse_int(&text);
        let _float = parse_float(&text);
        let _decimal = parse_decimal(&text, precision, scale);
    }

    #[test]
    fn whatever_looks_like_a_number_keeps_within_its_digits(
        text in "[-+]?[0-9]{0,45}(\\.[0-9]{0,45})?([eE][-+]?[0-9]{1,3})?",
        precision in 1_u8..=38,
        scale in 0_i8..=38,
    ) {
        if let Ok(units) = parse_decimal(&text, precision, scale) {
            prop_assert!(units.unsigned_abs() < 10_u128.pow(u32::from(precision)));
        }
    }

    #[test]
    fn what_is_read_fast_is_what_it_is(
        text in "-?[0-9]{0,17}\\.?[0-9]{0,9}",
        precision in 1_u8..=38,
        scale in -2_i8..=20,
    ) {
        if let Some(units) = usual_decimal(&text, precision, scale) {
            prop_assert_eq!(any_decimal(&text, precision, scale), Ok(units));
        }
        if let Some(value) = usual_float(&text) {
            prop_assert_eq!(text.parse::<f64>().map(f64::to_bits), Ok(value.to_bits()));
        }
    }

    #[test]
    fn a_written_decimal_reads_back(units in -(10_i128.pow(38) - 1)..10_i128.pow(38), scale in 0_u32..=20) {
        let factor = 10_i128.pow(scale);
        let sign = if units < 0 { "-" } else { "" };
        let (whole, fraction) = ((units / factor).abs(), (units % factor).abs());
        let width = usize::try_from(scale).unwrap();
        let text = if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction:0width$}") };
        prop_assert_eq!(parse_decimal(&text, 38, i8::try_from(scale).unwrap()), Ok(units));
    }
}
