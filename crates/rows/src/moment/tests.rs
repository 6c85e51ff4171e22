//! Moments against another calendar, and the forms people send.

use proptest::prelude::*;

use super::*;

fn micros(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
}

#[test]
fn forms_that_are_taken() {
    let same = [
        "2026-01-05T10:00:00Z",
        "2026-01-05T10:00:00.000Z",
        "2026-01-05T10:00:00.000000Z",
        "2026-01-05T10:00:00.000000000Z",
        "2026-01-05t10:00:00z",
        "2026-01-05 10:00:00Z",
        "2026-01-05T10:00:00",
        "2026-01-05 10:00",
        "2026-01-05T10:00Z",
        "2026-01-05T12:30:00+02:30",
        "2026-01-05T12:00:00+0200",
        "2026-01-05 12:00:00+02",
        "2026-01-05 08:00:00 -02:00",
        "2026-01-05T10:00:00,0Z",
        "2026-01-05T10:00:00-00:00",
    ];
    for text in same {
        assert_eq!(parse_timestamp(text), Ok(micros("2026-01-05T10:00:00Z")), "{text}");
    }
    assert_eq!(parse_timestamp("1969-12-31T23:59:59.999999Z"), Ok(-1));
    assert_eq!(parse_timestamp("0001-01-01T00:00:00Z"), Ok(micros("0001-01-01T00:00:00Z")));
    assert_eq!(parse_timestamp("9999-12-30T21:59:59.5Z"), Ok(micros("9999-12-30T21:59:59.5Z")));
    assert_eq!(parse_timestamp("2024-02-29T00:00:00Z"), Ok(micros("2024-02-29T00:00:00Z")));
}

#[test]
fn a_leap_second_is_the_second_after_it() {
    let after = Ok(micros("2017-01-01T00:00:00Z"));
    assert_eq!(parse_timestamp("2016-12-31T23:59:60Z"), after);
    assert_eq!(parse_timestamp("2017-01-01T00:59:60+01:00"), after);
    assert_eq!(parse_timestamp("2016-12-31T12:00:60Z"), Err(MomentFault::Calendar));
}

#[test]
fn forms_that_are_refused() {
    for text in [
        "2023-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-01-05T24:00:00Z",
        "2026-01-05T10:60:00Z",
        "2026-01-05T10:00:61Z",
        "2026-01-05T10:00:00+24:00",
        "2026-01-05T10:00:00+01:60",
    ] {
        assert_eq!(parse_timestamp(text), Err(MomentFault::Calendar), "{text}");
    }
    for text in [
        "",
        "2026",
        "2026-01-05",
        "1767607200",
        "2026-1-5T10:00:00Z",
        "2026-01-05T10:00:00.Z",
        "2026-01-05T10:00:00Zjunk",
        "2026-01-05T10:00:00 ",
        "2026-01-05T1a:00:00Z",
        "now",
        "2026/01/05 10:00:00",
        "2026-01-05T10:00:00+",
        "2026-01-05T10:00:00+1:00",
        "+2026-01-05T10:00Z",
    ] {
        assert_eq!(parse_timestamp(text), Err(MomentFault::Form), "{text}");
    }
    let nanoseconds = "2026-01-05T10:00:00.0000001Z";
    assert_eq!(parse_timestamp(nanoseconds), Err(MomentFault::TooFine));
    assert_eq!(parse_date("2026-02-30"), Err(MomentFault::Calendar));
    assert_eq!(parse_date("2026-02-03T00:00:00Z"), Err(MomentFault::Form));
}

fn written(value: i64, digits: u32) -> String {
    let mut out = String::new();
    write_timestamp(value, digits, &mut out);
    out
}

#[test]
fn fractions_are_written_as_short_as_they_are() {
    assert_eq!(written(0, 6), "1970-01-01T00:00:00Z");
    assert_eq!(written(-1, 6), "1969-12-31T23:59:59.999999Z");
    assert_eq!(written(1_500, 3), "1970-01-01T00:00:01.5Z");
    assert_eq!(written(1, 9), "1970-01-01T00:00:00.000000001Z");
    assert_eq!(written(60, 0), "1970-01-01T00:01:00Z");
    assert!(written(i64::MAX, 6).starts_with("+294247-01-10T04:00:54.775807"));
    assert!(written(i64::MIN, 6).starts_with('-'));
}

proptest! {
    #[test]
    fn any_text_is_a_moment_or_refused(text in "\\PC*") {
        let _moment = parse_timestamp(&text);
        let _day = parse_date(&text);
    }

    #[test]
    fn almost_moments_do_not_panic(text in "[0-9]{3,5}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.,+Zz -]{0,30}") {
        let _moment = parse_timestamp(&text);
    }

    /// From the year 1 to the year 9999.
    #[test]
    fn written_and_read_as_another_calendar_does(micros in -62_135_596_800_000_000_i64..253_402_207_200_000_000) {
        let theirs = jiff::Timestamp::from_microsecond(micros).unwrap();
        prop_assert_eq!(written(micros, 6), theirs.to_string());
        prop_assert_eq!(parse_timestamp(&theirs.to_string()), Ok(micros));
        let spaced = theirs.to_string().replace('T', " ");
        prop_assert_eq!(parse_timestamp(&spaced), Ok(micros));
    }

    #[test]
    fn offsets_are_taken_away(seconds in -60_000_000_000_i64..250_000_000_000, minutes in -1_439_i64..1_440) {
        let local = written(seconds + minutes * 60, 0);
        let sign = if minutes < 0 { '-' } else { '+' };
        let (hour, minute) = (minutes.abs() / 60, minutes.abs() % 60);
        let text = format!("{}{sign}{hour:02}:{minute:02}", local.trim_end_matches('Z'));
        prop_assert_eq!(parse_timestamp(&text), Ok(seconds * 1_000_000));
    }
}
