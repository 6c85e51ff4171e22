use super::*;
use crate::facts::{Edge, Stream};

fn at(now_ms: u64, received: u64) -> Facts {
    let stream = Stream { name: "orders".to_owned(), received, ..Stream::default() };
    let edge = Edge {
        from: "orders".to_owned(),
        to: "clean".to_owned(),
        rows: received * 2,
        ..Edge::default()
    };
    Facts { now_ms, streams: vec![stream], edges: vec![edge], ..Facts::default() }
}

/// Feeds totals, one a second, and returns the last rate.
fn rate_after(totals: &[u64]) -> f64 {
    let mut rates = Rates::default();
    let mut rate = 0.0;
    for (second, total) in totals.iter().enumerate() {
        let mut facts = at(second as u64 * 1_000, *total);
        rates.observe(&mut facts);
        rate = facts.streams[0].per_second;
    }
    rate
}

fn check(totals: &[u64], expected: f64) {
    let rate = rate_after(totals);
    assert!((rate - expected).abs() < 1e-9, "{totals:?}: {rate}, not {expected}");
}

#[test]
fn one_total_alone_is_no_rate() {
    check(&[1_000_000], 0.0);
}

#[test]
fn a_rate_is_over_the_last_seconds() {
    check(&[0, 100], 100.0);
    check(&[0, 100, 200, 300], 100.0);
    // An old burst is forgotten.
    check(&[0, 9_000, 9_000, 9_000, 9_000, 9_000, 9_000, 9_000, 9_000], 0.0);
}

#[test]
fn a_total_that_begins_anew_makes_no_negative_rate() {
    check(&[5_000, 5_100, 10], 0.0);
    check(&[5_000, 5_100, 10, 60], 50.0);
}

#[test]
fn a_clock_set_back_makes_no_rate() {
    let mut rates = Rates::default();
    rates.observe(&mut at(10_000, 5));
    let mut facts = at(3_000, 9);
    rates.observe(&mut facts);
    assert!(facts.streams[0].per_second.abs() < 1e-9);
}

#[test]
fn history_is_bounded_and_starts_with_a_known_rate() {
    let mut rates = Rates::default();
    let mut facts = Facts::default();
    for second in 0..limits::RATE_HISTORY_MAX as u64 + 20 {
        facts = at(second * 1_000, second * 10);
        rates.observe(&mut facts);
        assert!(facts.streams[0].history.iter().all(|it| (it - 10.0).abs() < 1e-9));
    }
    assert_eq!(facts.streams[0].history.len(), limits::RATE_HISTORY_MAX);
}

#[test]
fn filling_uses_what_is_known_without_counting_a_second() {
    let mut rates = Rates::default();
    rates.observe(&mut at(0, 0));
    rates.observe(&mut at(1_000, 40));
    let mut facts = at(1_001, 41);
    rates.fill(&mut facts);
    rates.fill(&mut facts);
    assert!((facts.streams[0].per_second - 40.0).abs() < 1e-9);
    assert!((facts.edges[0].per_second - 80.0).abs() < 1e-9);
    assert_eq!(facts.streams[0].history.len(), 1);
}

#[test]
fn the_residue_is_what_is_not_accounted_for() {
    let check = |received, stored, dead, pending, residue| {
        let stream = Stream { received, stored, dead, pending, ..Stream::default() };
        let mut facts = Facts { streams: vec![stream], ..Facts::default() };
        Rates::default().fill(&mut facts);
        assert_eq!(facts.streams[0].residue, residue);
    };
    check(10, 7, 2, 1, 0);
    check(10, 7, 2, 0, 1);
    check(10, 9, 2, 1, -2);
    check(u64::MAX, 0, 0, 0, i64::MAX);
    check(0, u64::MAX, u64::MAX, 0, i64::MIN);
}
