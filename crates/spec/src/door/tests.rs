//! Options of doors are read by the door, and faulted in the file.

use expect_test::expect;
use serde::Deserialize;

use crate::load::tests::webhook;
use crate::{Options, load_texts};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "they are shown")]
struct Rate {
    rate: Option<u32>,
    every: Option<base::Span>,
    password: Option<String>,
    fields: Option<toml::Table>,
}

fn options(from: &str) -> Options {
    let toml = format!("[stream.s]\ncolumns.a = 'text'\nfrom = {from}\n");
    let project = load_texts(&[("a.toml", &toml)], None, &webhook);
    let project = project.unwrap_or_else(|it| panic!("{it}"));
    project.streams["s"].from[0].options.clone()
}

#[test]
fn options_become_a_type_with_secrets_filled_in() {
    let options = options(
        "[{ door = 'generate', rate = 2_000, every = '5 s', password = 'x${ONCALL_WEBHOOK}', fields = { a = [1, 2] } }]",
    );
    let read: Rate = options.parse().unwrap_or_else(|it| panic!("{it}"));
    expect![[r#"
        Rate { rate: Some(2000), every: Some(Span(5s)), password: Some("xhttps://hooks.example/1"), fields: Some({"a": Array([Integer(1), Integer(2)])}) }
    "#]]
    .assert_eq(&format!("{read:?}\n"));
    assert_eq!(format!("{options:?}"), r#"["rate", "every", "password", "fields"]"#);
}

#[test]
fn wrong_options_are_all_faulted_where_they_stand() {
    let options = options("[{ door = 'generate', rate = 'fast', rte = 1, every = '5 minuts' }]");
    let faults = options.parse::<Rate>().expect_err("they are wrong");
    expect![[r#"
        a.toml:3:37: `rate` must be a whole number, not the string "fast"
        a.toml:3:45: unknown key `rte`; did you mean `rate`?
        a.toml:3:62: `5 minuts` is not a duration; write a number and a unit, for example `"5 minutes"`
    "#]]
    .assert_eq(&faults.to_string());
    let fault = options.fault("rate", "too fast", None);
    assert_eq!(fault.to_string(), "a.toml:3:37: too fast");
    let fault = options.fault("speed", "how fast?", None);
    assert_eq!(fault.to_string(), "a.toml:3:9: how fast?");
}

#[test]
fn doors_may_be_an_array_of_tables() {
    let toml = "[stream.s]\ncolumns.a = 'text'\n[[stream.s.from]]\ndoor = 'generate'\nrate = 5\n";
    let project = load_texts(&[("a.toml", toml)], None, &webhook);
    let project = project.unwrap_or_else(|it| panic!("{it}"));
    let door = &project.streams["s"].from[0];
    assert_eq!(door.door.text, "generate");
    let read: Rate = door.options.parse().unwrap_or_else(|it| panic!("{it}"));
    assert_eq!(read.rate, Some(5));
}
