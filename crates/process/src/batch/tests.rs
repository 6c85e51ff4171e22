//! Schedules and books without a flow: every decision is one of facts.

use super::*;
use crate::batch::book::{Cost, Known};
use crate::stats::RunState;

fn word(text: &str) -> Word {
    Word { text: text.to_owned(), spot: spec::Spot::outside("a.toml", text) }
}

fn cron(text: &str, zone: &str) -> Cron {
    Cron::read(&word(text), cron::zone(&word(zone)).unwrap()).unwrap()
}

fn ms(moment: &str) -> u64 {
    let moment: jiff::Timestamp = moment.parse().unwrap();
    u64::try_from(moment.as_millisecond()).unwrap()
}

fn told(ms: u64) -> String {
    jiff::Timestamp::from_millisecond(i64::try_from(ms).unwrap()).unwrap().to_string()
}

/// All moments after one and up to another, one after the other.
fn all(cron: &Cron, after: &str, until: &str) -> Vec<String> {
    let (mut at, until) = (ms(after), ms(until));
    let mut found = Vec::new();
    while let Some(next) = cron.next(at).filter(|it| *it <= until) {
        found.push(told(next));
        at = next;
    }
    found
}

#[test]
fn a_schedule_is_a_pattern_or_words() {
    let next =
        |text: &str| told(cron(text, "Europe/Paris").next(ms("2026-01-05T10:00:00Z")).unwrap());
    assert_eq!(next("0 2 * * *"), "2026-01-06T01:00:00Z");
    assert_eq!(next("*/15 * * * *"), "2026-01-05T10:15:00Z");
    assert_eq!(next("monday 07:00"), "2026-01-12T06:00:00Z");
    assert_eq!(next("monday,tuesday 07:30"), "2026-01-06T06:30:00Z");
    assert_eq!(next("weekdays 11:30"), "2026-01-05T10:30:00Z");
    assert_eq!(next("23:15"), "2026-01-05T22:15:00Z");
    assert_eq!(next("daily 00:00"), "2026-01-05T23:00:00Z");
    assert_eq!(next("monday 07:00 America/New_York"), "2026-01-05T12:00:00Z");
    assert_eq!(next("0 7 * * 1 UTC"), "2026-01-12T07:00:00Z");
    assert_eq!(next("0 0 29 2 *"), "2028-02-28T23:00:00Z", "the next leap year");
    assert_eq!(next("0 0 L * *"), "2026-01-30T23:00:00Z", "the last day of the month");
}

#[test]
fn what_is_no_schedule_says_what_would_be_one() {
    let fault =
        |text: &str| Cron::read(&word(text), jiff::tz::TimeZone::UTC).unwrap_err().to_string();
    for text in ["", "often", "61 * * * *", "* * *", "monday", "someday 07:00", "monday 25:00"] {
        let fault = fault(text);
        assert!(fault.contains("is no schedule") && fault.contains("0 2 * * *"), "{text}: {fault}");
    }
    assert!(
        fault("0 0 30 2 *").contains("never comes") || fault("0 0 30 2 *").contains("no schedule")
    );
    assert!(fault("0 2 * * * Europe/Pariss").contains("no time zone `Europe/Pariss`"));
}

#[test]
fn clocks_that_change_neither_lose_nor_double_a_moment_of_the_day() {
    // Paris goes from 02:00 to 03:00 on 29 March and from 03:00 to 02:00 on 25 October 2026.
    let night = cron("30 2 * * *", "Europe/Paris");
    assert_eq!(
        all(&night, "2026-03-27T12:00:00Z", "2026-03-30T12:00:00Z"),
        ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
        "left out at 02:30, so it comes at 03:00"
    );
    assert_eq!(
        all(&night, "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z"),
        ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        "02:30 comes twice, and counts once"
    );
    let hourly = cron("0 * * * *", "Europe/Paris");
    assert_eq!(all(&hourly, "2026-03-28T00:30:00Z", "2026-03-29T00:30:00Z").len(), 24);
    assert_eq!(
        all(&hourly, "2026-03-29T00:00:00Z", "2026-03-29T03:00:00Z"),
        ["2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z", "2026-03-29T03:00:00Z"]
    );
    assert_eq!(
        all(&hourly, "2026-10-24T23:00:00Z", "2026-10-25T03:00:00Z").len(),
        4,
        "every hour that passes"
    );
}

#[test]
fn looking_back_finds_what_looking_forward_finds() {
    let patterns =
        ["0 2 * * *", "30 2 * * *", "*/20 * * * *", "0 9 * * 1-5", "0 0 1 * *", "5 1-3 * * *"];
    let zones = ["UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"];
    let days = ["2026-03-08", "2026-03-29", "2026-04-05", "2026-10-04", "2026-10-25", "2026-11-01"];
    for (pattern, zone) in patterns.iter().flat_map(|it| zones.map(|zone| (it, zone))) {
        let cron = cron(pattern, zone);
        for day in days {
            let from = ms(&format!("{day}T00:00:00Z")) - 86_400_000;
            let until = from + 3 * 86_400_000;
            let mut forward = Vec::new();
            let mut at = from;
            while let Some(next) = cron.next(at).filter(|it| *it <= until) {
                assert!(at < next, "{pattern} {zone} {day}");
                forward.push(next);
                at = next;
            }
            let skipped = forward.len().saturating_sub(limits::RUNS_MISSED_MAX);
            let back = cron.between(from, until);
            let texts = |all: &[u64]| all.iter().map(|it| told(*it)).collect::<Vec<_>>();
            assert_eq!(texts(&back), texts(&forward[skipped..]), "{pattern} {zone} {day}");
        }
    }
}

fn rules(starts: Start, missed: Missed) -> Rules {
    Rules {
        starts,
        told: None,
        missed,
        retries: 2,
        retry_after: Span(Duration::from_secs(10)),
        timeout: None,
        read_max: None,
        reads_new: false,
    }
}

fn known(now_ms: u64) -> Known<'static> {
    Known { now_ms, is_dirty: false, good: &|_| 0, has_arrived: true }
}

/// Does all that is due until nothing is; returns what was run, as the moments that were due.
fn run_all(book: &mut Book, rules: &Rules, now_ms: u64) -> Vec<String> {
    let mut ran = Vec::new();
    while let Some(wanted) = book.wanted(rules, &known(now_ms)) {
        if let Wanted::Skip(missed) = &wanted {
            book.skip(rules, missed);
            continue;
        }
        let at = book.begin(rules, &wanted, &known(now_ms));
        assert_eq!(book.wanted(rules, &known(now_ms)), None, "one run at a time");
        ran.push(told(at));
        book.done(1, Cost::default(), now_ms);
    }
    ran
}

fn skipped(book: &Book) -> Vec<String> {
    let skipped = book.rows.iter().filter(|it| it.state == RunState::Skipped);
    skipped.map(|it| told(it.due_ms)).collect()
}

#[test]
fn moments_that_passed_are_made_up_for_as_the_table_says() {
    let night = || Start::Cron(Box::new(cron("0 2 * * *", "UTC")));
    let (began, back) = (ms("2026-01-05T10:00:00Z"), ms("2026-01-09T08:00:00Z"));
    let missed = |missed: Missed| {
        let rules = rules(night(), missed);
        let mut book = Book::default();
        book.look(began);
        assert_eq!(run_all(&mut book, &rules, began), [""; 0], "what lay before was not missed");
        (run_all(&mut book, &rules, back), skipped(&book), told(book.next_ms(&rules).unwrap()))
    };
    let next = "2026-01-10T02:00:00Z".to_owned();
    let all = [
        "2026-01-06T02:00:00Z",
        "2026-01-07T02:00:00Z",
        "2026-01-08T02:00:00Z",
        "2026-01-09T02:00:00Z",
    ];
    let all = all.map(str::to_owned).to_vec();
    assert_eq!(missed(Missed::Once), (vec![all[3].clone()], all[..3].to_vec(), next.clone()));
    assert_eq!(missed(Missed::Skip), (Vec::new(), all.clone(), next.clone()));
    assert_eq!(missed(Missed::CatchUp), (all, Vec::new(), next));
}

#[test]
fn a_moment_that_is_hardly_over_is_not_missed() {
    let rules = rules(Start::Cron(Box::new(cron("0 2 * * *", "UTC"))), Missed::Skip);
    let mut book = Book::default();
    book.look(ms("2026-01-05T10:00:00Z"));
    let ran = run_all(&mut book, &rules, ms("2026-01-07T02:00:30Z"));
    assert_eq!(ran, ["2026-01-07T02:00:00Z"]);
    assert_eq!(skipped(&book), ["2026-01-06T02:00:00Z"]);
    assert_eq!(run_all(&mut book, &rules, ms("2026-01-07T02:00:30Z")), [""; 0], "once");
}

#[test]
fn a_clock_that_is_set_back_runs_nothing_twice() {
    let rules = rules(Start::Cron(Box::new(cron("0 * * * *", "UTC"))), Missed::CatchUp);
    let mut book = Book::default();
    book.look(ms("2026-01-05T10:30:00Z"));
    assert_eq!(run_all(&mut book, &rules, ms("2026-01-05T12:30:00Z")).len(), 2);
    assert_eq!(run_all(&mut book, &rules, ms("2026-01-05T10:45:00Z")), [""; 0]);
    assert_eq!(run_all(&mut book, &rules, ms("2026-01-05T12:59:00Z")), [""; 0]);
    assert_eq!(run_all(&mut book, &rules, ms("2026-01-05T13:00:00Z")), ["2026-01-05T13:00:00Z"]);
}

#[test]
fn a_run_that_fails_is_tried_again_later_and_later_and_then_given_up() {
    let rules = rules(Start::Cron(Box::new(cron("0 2 * * *", "UTC"))), Missed::Once);
    let due = ms("2026-01-06T02:00:00Z");
    let mut book = Book::default();
    book.look(due - 1);
    let mut now = due;
    let mut pauses = Vec::new();
    loop {
        let wanted = book.wanted(&rules, &known(now)).unwrap();
        assert_eq!(book.begin(&rules, &wanted, &known(now)), due, "`now()` stays what it was");
        if book.failed(&rules, "no disk", Cost::default(), now) {
            break;
        }
        let next = book.next_ms(&rules).unwrap();
        assert_eq!(book.wanted(&rules, &known(next - 1)), None);
        pauses.push(next - now);
        now = next;
    }
    assert_eq!(pauses, [10_000, 20_000]);
    let last = book.rows.back().unwrap();
    assert_eq!((last.state, last.attempt, last.number), (RunState::Failed, 3, 1));
    assert_eq!(last.error.as_deref(), Some("no disk"));
    assert_eq!(book.wanted(&rules, &known(now + 60_000)), None, "until the next moment");
    assert_eq!(run_all(&mut book, &rules, due + 86_400_000).len(), 1);
}

#[test]
fn what_runs_after_others_waits_for_each_of_them() {
    let name = |it: &str| Name::new(it).unwrap();
    let rules = rules(Start::After(vec![name("a"), name("b")]), Missed::Once);
    let mut book = Book::default();
    let run = |book: &mut Book, a: u64, b: u64| {
        let good = move |it: &Name| if it.as_str() == "a" { a } else { b };
        let known = Known { good: &good, ..known(1_000) };
        let Some(wanted) = book.wanted(&rules, &known) else { return false };
        book.begin(&rules, &wanted, &known);
        book.done(1, Cost::default(), 1_000);
        true
    };
    assert!(!run(&mut book, 0, 0));
    assert!(!run(&mut book, 1, 0), "b did not run");
    assert!(run(&mut book, 1, 1));
    assert!(!run(&mut book, 1, 1), "once for both");
    assert!(!run(&mut book, 3, 1));
    assert!(run(&mut book, 3, 2));
    assert!(run(&mut book, 1, 1), "books that begin anew count as well");
}

#[test]
fn objects_that_come_during_a_run_start_another() {
    let events = Name::new("landing_events").unwrap();
    let rules = rules(Start::NewObject { events, kinds: &["read"] }, Missed::Once);
    let mut book = Book::default();
    assert_eq!(book.wanted(&rules, &known(1)), None);
    book.came(2);
    let early = Known { has_arrived: false, ..known(1) };
    assert_eq!(book.wanted(&rules, &early), None, "its rows are not all there");
    let wanted = book.wanted(&rules, &known(1)).unwrap();
    book.begin(&rules, &wanted, &known(1));
    book.came(1);
    assert_eq!(book.wanted(&rules, &known(2)), None);
    book.done(1, Cost::default(), 3);
    assert_eq!(run_all(&mut book, &rules, 4).len(), 1);
    assert_eq!(run_all(&mut book, &rules, 5).len(), 0);
}

#[test]
fn every_so_often_runs_only_what_has_changed() {
    let rules = rules(Start::Every(Span(Duration::from_secs(60))), Missed::Once);
    let mut book = Book::default();
    let wanted = |book: &Book, now_ms: u64, is_dirty: bool| {
        book.wanted(&rules, &Known { is_dirty, ..known(now_ms) })
    };
    assert_eq!(wanted(&book, 1_000_000, false), None);
    let first = wanted(&book, 1_000_000, true).unwrap();
    book.begin(&rules, &first, &known(1_000_000));
    book.done(1, Cost::default(), 1_000_500);
    assert_eq!(book.next_ms(&rules), Some(1_060_000));
    assert_eq!(wanted(&book, 1_059_999, true), None);
    assert_eq!(wanted(&book, 1_060_000, false), None);
    assert!(wanted(&book, 1_060_000, true).is_some());
    assert!(wanted(&book, 500, true).is_some(), "the clock was set back");
}

#[test]
fn a_run_that_a_crash_broke_off_is_the_same_run_again() {
    let rules = rules(Start::Cron(Box::new(cron("0 2 * * *", "UTC"))), Missed::CatchUp);
    let due = ms("2026-01-06T02:00:00Z");
    let mut book = Book::default();
    book.look(due - 1);
    let wanted = book.wanted(&rules, &known(due)).unwrap();
    book.begin(&rules, &wanted, &known(due));
    let written = serde_json::to_string(&book).unwrap();
    let mut book: Book = serde_json::from_str(&written).unwrap();
    assert_eq!(book.wanted(&rules, &known(due + 5)), None);
    book.resume(&rules, due + 5);
    assert_eq!(book.wanted(&rules, &known(due + 5)), Some(Wanted::Again));
    assert_eq!(book.begin(&rules, &Wanted::Again, &known(due + 5)), due);
    book.done(7, Cost::default(), due + 9);
    assert_eq!(book.rows.len(), 1);
    let run = book.rows.back().unwrap();
    assert_eq!((run.state, run.attempt, run.rows_out), (RunState::Done, 2, Some(7)));
    // One that ends the program each time does not do so for ever.
    let wanted = book.wanted(&rules, &known(due + 86_400_000)).unwrap();
    let mut now = due + 86_400_000;
    book.begin(&rules, &wanted, &known(now));
    let mut attempts = 1;
    loop {
        now += 1_000;
        book.resume(&rules, now);
        let Some(wanted) = book.wanted(&rules, &known(now)) else { break };
        book.begin(&rules, &wanted, &known(now));
        attempts += 1;
        assert!(attempts < 10);
    }
    assert_eq!(book.rows.back().unwrap().state, RunState::Failed);
}

#[test]
fn what_failed_is_the_same_run_again_when_somebody_asks() {
    let rules = rules(Start::Cron(Box::new(cron("0 2 * * *", "UTC"))), Missed::Once);
    let (due, morning) = (ms("2026-01-06T02:00:00Z"), ms("2026-01-06T09:00:00Z"));
    let mut book = Book::default();
    book.look(due - 1);
    let mut now = due;
    while let Some(wanted) = book.wanted(&rules, &known(now)) {
        book.begin(&rules, &wanted, &known(now));
        book.failed(&rules, "no disk", Cost::default(), now);
        now += 60_000;
    }
    assert_eq!(book.ask(&rules, morning), 1);
    assert_eq!(book.wanted(&rules, &known(morning)), Some(Wanted::Again));
    let at = book.begin(&rules, &Wanted::Again, &known(morning));
    assert_eq!(at, due, "`now()` is when it was due");
    assert_eq!(book.ask(&rules, morning), 1, "it is under way");
    assert_eq!(book.wanted(&rules, &known(morning)), None);
    book.done(1, Cost::default(), morning);
    let run = book.rows.back().unwrap();
    assert_eq!((run.number, run.state, run.attempt), (1, RunState::Done, 4));
    // What is well runs once more, and its schedule goes on.
    assert_eq!(book.ask(&rules, morning + 1), 2);
    let at = book.begin(&rules, &Wanted::Again, &known(morning + 1));
    assert_eq!(at, morning + 1);
    book.done(1, Cost::default(), morning + 2);
    assert_eq!(book.next_ms(&rules), Some(due + 86_400_000));
}

#[test]
fn only_the_last_runs_are_remembered() {
    let rules = rules(Start::Cron(Box::new(cron("* * * * *", "UTC"))), Missed::Once);
    let mut book = Book::default();
    book.look(0);
    for minute in 1..=300_u64 {
        assert_eq!(run_all(&mut book, &rules, minute * 60_000).len(), 1);
    }
    assert_eq!(book.rows.len(), limits::RUNS_KEPT_MAX);
    assert_eq!(book.rows.back().unwrap().number, 300);
}
