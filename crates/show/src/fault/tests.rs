use proptest::prelude::*;

use super::*;

fn check(sql: &str, range: std::ops::Range<usize>, expected: (usize, usize, usize)) {
    let error = AskError { position: Some(range), ..AskError::new(Kind::Invalid, "no") };
    let found = Refusal::of(error, sql).position.unwrap();
    assert_eq!((found.line, found.column, found.length), expected);
}

#[test]
fn a_position_counts_lines_and_characters_from_one() {
    check("SELEC 1", 0..5, (1, 1, 5));
    check("SELECT a\nFROM ordrs", 14..19, (2, 6, 5));
    check("SELECT 'é', bad", 13..16, (1, 13, 3));
}

#[test]
fn a_marker_stays_on_its_line_and_is_never_empty() {
    check("SELECT\n1", 3..8, (1, 4, 3));
    check("SELECT", 6..6, (1, 7, 1));
    check("SELECT", 100..200, (1, 7, 1));
}

#[test]
fn the_body_has_no_empty_fields() {
    let body = Refusal::new(Kind::Missing, "table `x` not found").to_json().to_string();
    assert_eq!(body, r#"{"error":{"kind":"missing","message":"table `x` not found"}}"#);
}

proptest! {
    #[test]
    fn any_range_in_any_text_is_located(sql in ".{0,40}", start in 0usize..60, end in 0usize..60) {
        let position = locate(&sql, start, end);
        prop_assert!(1 <= position.line && 1 <= position.column && 1 <= position.length);
    }
}
