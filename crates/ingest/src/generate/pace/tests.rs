//! How many records are due.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_steady_rate_gives_whole_records() {
    let mut pace = Pace::new(2.5, None, Duration::ZERO);
    let mut counts = Vec::new();
    for second in 1..=4 {
        counts.push(pace.due(SECOND * second).usual);
    }
    assert_eq!(counts, [2, 3, 2, 3]);
}

#[test]
fn a_surge_ends_each_round() {
    let surge = Surge { every: SECOND * 120, lasts: SECOND * 20, factor: 8.0 };
    let mut pace = Pace::new(10.0, Some(surge), Duration::ZERO);
    let mut per_second = Vec::new();
    for second in 1..=240 {
        per_second.push(pace.due(SECOND * second).surge);
    }
    assert_eq!(per_second.iter().sum::<u64>(), 2 * 20 * 70);
    assert!(per_second[..100].iter().all(|it| *it == 0));
    assert!(per_second[100..120].iter().all(|it| *it == 70));
    assert!(per_second[120..220].iter().all(|it| *it == 0));
}

#[test]
fn a_long_stop_is_not_made_up_for() {
    let mut pace = Pace::new(1_000.0, None, Duration::ZERO);
    assert_eq!(pace.due(SECOND * 3_600).usual, 1_000);
    // A clock that stands still or goes back gives nothing.
    assert_eq!(pace.due(SECOND * 3_600).usual, 0);
    assert_eq!(pace.due(SECOND).usual, 0);
}

#[test]
fn slow_rates_wait_for_the_next_record() {
    let mut pace = Pace::new(4.0, None, Duration::ZERO);
    assert_eq!(pace.next_in(), Duration::from_millis(250));
    assert_eq!(pace.due(Duration::from_millis(125)).usual, 0);
    assert_eq!(pace.next_in(), Duration::from_millis(125));
}

proptest! {
    #[test]
    fn the_sum_does_not_depend_on_the_steps(steps in prop::collection::vec(1u64..900, 1..50)) {
        let surge = Surge { every: SECOND * 5, lasts: SECOND, factor: 3.0 };
        let mut pace = Pace::new(100.0, Some(surge), Duration::ZERO);
        let (mut now, mut usual, mut more) = (Duration::ZERO, 0, 0);
        for step in steps {
            now += Duration::from_millis(step);
            let due = pace.due(now);
            usual += due.usual;
            more += due.surge;
        }
        let expected = 100.0 * now.as_secs_f64();
        prop_assert!((usual as f64 - expected).abs() <= 1.5);
        let expected = 200.0 * surge.until(now).as_secs_f64();
        prop_assert!((more as f64 - expected).abs() <= 1.5);
    }
}
