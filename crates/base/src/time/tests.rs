use std::time::Duration;

use super::{Clock, ManualClock, Span};

#[test]
fn spans_are_words() {
    let cases = [
        ("10 minutes", 600_000),
        ("1 hour 30 minutes", 5_400_000),
        ("500 ms", 500),
        ("24 hours", 86_400_000),
        ("7d", 604_800_000),
        ("5 min", 300_000),
        ("2 mins", 120_000),
    ];
    for (text, milliseconds) in cases {
        assert_eq!(text.parse(), Ok(Span::from_millis(milliseconds)), "{text}");
    }
    for text in
        ["", " ", "5", "minutes", "5 minuts", "-1 hour", "1.5 hours", "999999999999999999 years"]
    {
        assert!(text.parse::<Span>().is_err(), "{text:?} passed");
    }
}

#[test]
fn spans_print_as_people_write_them() {
    for text in ["10 minutes", "1 hour", "90 seconds", "7 days", "250 ms", "0 seconds"] {
        assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
    }
}

#[tokio::test]
async fn a_manual_clock_wakes_its_sleepers() {
    let clock = ManualClock::at(1_000);
    let sleeper = clock.sleep(Duration::from_secs(5));
    let task = crate::task::spawn("sleeper", sleeper);
    tokio::task::yield_now().await;
    clock.advance(Duration::from_secs(5));
    task.await.unwrap();
    assert_eq!(clock.now_ms(), 6_000);
}
