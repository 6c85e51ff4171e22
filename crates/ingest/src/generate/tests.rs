//! The door that makes up records.

use base::Clock as _;

use super::*;
use crate::tests::Fixture;

fn options(more: &str) -> toml::Table {
    let text = format!(
        "rate = 100\nfields = {{ id = {{ counter = 'n' }}, region = {{ one_of = ['a', 'b'] }} }}\n{more}"
    );
    toml::from_str(&text).unwrap()
}

/// Moves the clock until `is_done`, letting the door work in between.
async fn run(fixture: &Fixture, is_done: impl Fn(&Fixture) -> bool) {
    for _ in 0..2_000 {
        if is_done(fixture) {
            return;
        }
        fixture.clock.advance(STEP);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("the door did not do what it should");
}

fn ids(fixture: &Fixture) -> Vec<String> {
    let records = fixture.records("notes").remove(0).into_iter();
    let id = |bytes: &str| {
        let record: serde_json::Value = serde_json::from_str(bytes).unwrap();
        record["id"].as_str().unwrap().to_owned()
    };
    records.map(|(_, bytes)| id(&bytes)).collect()
}

#[tokio::test]
async fn it_counts_on_after_a_restart() {
    let mut fixture = Fixture::new();
    let stream = Name::new("notes").unwrap();
    for round in 1..=2 {
        let running = Generate.open(&options("count = 50"), &fixture.inlet, &stream).unwrap();
        run(&fixture, |it| it.count("notes") == 50 * round).await;
        running.stop().await;
        fixture = fixture.restart();
    }
    let expected: Vec<String> = (1..=100).map(|it| format!("n{it}")).collect();
    assert_eq!(ids(&fixture), expected);
}

#[tokio::test]
async fn it_keeps_its_rate_and_stops_when_told() {
    let fixture = Fixture::new();
    let stream = Name::new("notes").unwrap();
    let running = Generate.open(&options(""), &fixture.inlet, &stream).unwrap();
    let begun = fixture.clock.elapsed();
    run(&fixture, |it| 100 <= it.count("notes")).await;
    let seconds = (fixture.clock.elapsed() - begun).as_secs_f64();
    assert!((0.9..1.6).contains(&seconds), "100 records in {seconds} s");
    running.stop().await;
    let count = fixture.count("notes");
    fixture.clock.advance(Duration::from_secs(5));
    tokio::task::yield_now().await;
    assert_eq!(fixture.count("notes"), count);
}

#[tokio::test]
async fn surges_add_records_of_one_kind() {
    let fixture = Fixture::new();
    let stream = Name::new("notes").unwrap();
    let burst = "burst = { every = '2 seconds', lasts = '1 second', factor = 3, on = { region = 'surge' } }";
    let running = Generate.open(&options(burst), &fixture.inlet, &stream).unwrap();
    run(&fixture, |it| Duration::from_millis(2_100) <= it.clock.elapsed()).await;
    running.stop().await;
    let records = fixture.records("notes").remove(0);
    let surge = records.iter().filter(|(_, bytes)| bytes.contains("\"surge\"")).count();
    assert!((120..=210).contains(&surge), "{surge} of {}", records.len());
    assert!((180..=230).contains(&(records.len() - surge)), "{surge} of {}", records.len());
}
