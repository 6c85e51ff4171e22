use std::collections::BTreeSet;

use super::*;
use crate::facts::{Flow, Problem, Reject, Stream, Table};

fn facts() -> Facts {
    let reject = |check: Option<&str>, count| Reject {
        kind: "check".to_owned(),
        check: check.map(str::to_owned),
        count,
    };
    Facts {
        version: "1.2".to_owned(),
        started_ms: 1_000,
        now_ms: 61_500,
        streams: vec![Stream {
            name: "orders".to_owned(),
            received: 10,
            stored: 7,
            dead: 2,
            residue: -1,
            lag_ms: 1_500,
            rejects: vec![reject(Some("a\"b\\c\nd"), 2), reject(None, 1)],
            ..Stream::default()
        }],
        tables: vec![Table { name: "t".to_owned(), updated_ms: Some(60_000), ..Table::default() }],
        flows: vec![Flow { name: "f".to_owned(), flush_seconds: 0.25, ..Flow::default() }],
        ..Facts::default()
    }
}

fn value(text: &str, sample: &str) -> String {
    let line = text.lines().find_map(|it| it.strip_prefix(&format!("{sample} ")));
    line.unwrap_or_else(|| panic!("no `{sample}` in\n{text}")).to_owned()
}

#[test]
fn figures_are_those_of_the_facts() {
    let text = render(&facts());
    assert_eq!(value(&text, "mainstem_records_received_total{stream=\"orders\"}"), "10");
    assert_eq!(value(&text, "mainstem_records_residue{stream=\"orders\"}"), "-1");
    assert_eq!(value(&text, "mainstem_stream_lag_seconds{stream=\"orders\"}"), "1.5");
    assert_eq!(value(&text, "mainstem_uptime_seconds"), "60.5");
    assert_eq!(value(&text, "mainstem_table_age_seconds{table=\"t\"}"), "1.5");
    assert_eq!(value(&text, "mainstem_flush_seconds_total{flow=\"f\"}"), "0.25");
    assert_eq!(value(&text, "mainstem_healthy"), "1");
}

#[test]
fn labels_are_escaped() {
    let sample = r#"mainstem_rejects_total{stream="orders",kind="check",check="a\"b\\c\nd"}"#;
    assert_eq!(value(&render(&facts()), sample), "2");
}

#[test]
fn a_problem_that_stops_the_work_shows() {
    let mut facts = facts();
    let problem = Problem { message: "disk full".to_owned(), help: None, tolerable: true };
    facts.problems = vec![problem.clone()];
    assert_eq!(value(&render(&facts), "mainstem_healthy"), "1");
    facts.problems.push(Problem { tolerable: false, ..problem });
    assert_eq!(value(&render(&facts), "mainstem_healthy"), "0");
}

/// The rules of the format: each family once, its HELP and TYPE before its samples, counters named
/// `_total`, one line for each set of labels.
#[test]
fn the_text_keeps_the_rules_of_the_format() {
    let text = render(&facts());
    let mut families = BTreeSet::new();
    let mut samples = BTreeSet::new();
    let (mut helped, mut typed) = (String::new(), String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            helped = rest.split(' ').next().unwrap().to_owned();
            assert!(families.insert(helped.clone()), "{helped} twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, helped);
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            typed = name.to_owned();
        } else {
            let (sample, number) = line.rsplit_once(' ').unwrap();
            assert_eq!(sample.split('{').next().unwrap(), typed);
            assert!(number.parse::<f64>().is_ok(), "{line}");
            assert!(samples.insert(sample.to_owned()), "{sample} twice");
        }
    }
    assert!(text.ends_with('\n'));
}
