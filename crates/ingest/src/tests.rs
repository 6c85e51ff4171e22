//! What every door must keep to, and what tests of several files share.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::time::{ManualClock, SystemClock};
use base::{Clock, Name};
use expect_test::{Expect, expect};
use journal::{Journal, RealDisk, Settings, StreamSettings};

use crate::{DOORS, Inlet, Intake, door};

/// An inlet to a journal in a temporary folder, with the streams `orders` (4 shards, all doors, key
/// `customer`), `notes` (1 shard, all doors) and `closed` (no door).
pub(crate) struct Fixture {
    pub(crate) inlet: Inlet,
    pub(crate) folder: tempfile::TempDir,
}

/// 2026-01-05 08:00:00 UTC.
pub(crate) const NOW_MS: u64 = 1_767_600_000_000;

impl Fixture {
    pub(crate) fn new() -> Fixture {
        Fixture::with(SystemClock::start())
    }

    pub(crate) fn at_now() -> (Fixture, Arc<ManualClock>) {
        let clock = ManualClock::at(NOW_MS);
        (Fixture::with(Arc::new(Arc::clone(&clock))), clock)
    }

    fn with(clock: Arc<dyn Clock>) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let inlet = open(&folder, clock);
        Fixture { inlet, folder }
    }

    /// Returns all records of a stream, by shard, as text.
    pub(crate) fn records(&self, stream: &str) -> Vec<Vec<(String, String)>> {
        let journal = self.inlet.journal();
        let info = journal.stream_info(journal.stream(stream).unwrap()).unwrap();
        let mut found = Vec::new();
        for shard in &info.shards {
            let mut next = shard.first;
            let mut records = Vec::new();
            while next < shard.next {
                let frames = journal.read(info.id, shard.id, next, 1 << 20).unwrap();
                for record in &frames {
                    let bytes = String::from_utf8_lossy(record.bytes).into_owned();
                    records.push((record.key.to_owned(), bytes));
                }
                next = frames.end();
            }
            found.push(records);
        }
        found
    }
}

fn open(folder: &tempfile::TempDir, clock: Arc<dyn Clock>) -> Inlet {
    let settings = Settings { segment_bytes: 96 << 20, ..Settings::new(folder.path()) };
    let journal = Journal::open(settings, RealDisk::new(), Arc::clone(&clock)).unwrap();
    let all: Vec<String> = DOORS.iter().map(|it| it.name().to_owned()).collect();
    let customer = |bytes: &[u8]| {
        let order: serde_json::Value = serde_json::from_slice(bytes).ok()?;
        Some(order.get("customer")?.as_str()?.to_owned())
    };
    let intake = |name: &str, shards: u32, doors: &[String]| Intake {
        name: Name::new(name).unwrap(),
        settings: StreamSettings { shards, ..StreamSettings::default() },
        doors: doors.to_vec(),
        key: None,
    };
    let orders = Intake { key: Some(Arc::new(customer)), ..intake("orders", 4, &all) };
    let streams = vec![orders, intake("notes", 1, &all), intake("closed", 1, &[])];
    Inlet::new(journal, clock, streams).unwrap()
}

#[test]
fn doors_describe_themselves() {
    let mut names = BTreeSet::new();
    for it in DOORS {
        assert!(names.insert(it.name()), "two doors are called `{}`", it.name());
        assert!(it.summary().ends_with('.'), "`{}` has no summary", it.name());
        assert_eq!(door(it.name()).unwrap().name(), it.name());
        documented(it.name(), it.options().as_value());
    }
    assert!(door("doorbell").is_none());
}

/// Each option says what it is for, at every depth.
fn documented(path: &str, schema: &serde_json::Value) {
    let Some(map) = schema.as_object() else { return };
    for (name, inner) in map {
        if name == "properties" {
            for (option, schema) in inner.as_object().unwrap() {
                let described = schema.get("description").is_some() || schema.get("$ref").is_some();
                assert!(described, "the option {path}.{option} has no documentation");
            }
        }
        documented(&format!("{path}.{name}"), inner);
    }
}

#[test]
fn examples_of_doors_have_no_fault() {
    for it in DOORS {
        let example: toml::Table = toml::from_str(it.example()).unwrap();
        let from = match example.get("from") {
            Some(from) => from.clone(),
            None => example["stream"]["orders"]["from"].clone(),
        };
        let from = from.as_array().unwrap()[0].clone();
        let options = from.as_table().cloned().unwrap_or_default();
        it.check(&options).unwrap_or_else(|fault| panic!("`{}`: {fault:?}", it.name()));
    }
}

fn fault(name: &str, options: &str, found: &Expect) {
    let options: toml::Table = toml::from_str(options).unwrap();
    found.assert_debug_eq(&door(name).unwrap().check(&options).unwrap_err());
}

#[test]
fn faults_in_options_name_the_option() {
    fault("http", "port = 80", &expect![[r#"
        OptionFault {
            key: Some(
                "port",
            ),
            message: "unknown field `port`, there are no fields",
            help: None,
        }
    "#]]);
    fault("generate", "rate = 'fast'\nfields = {}", &expect![[r#"
        OptionFault {
            key: Some(
                "rate",
            ),
            message: "invalid type: string \"fast\", expected f64",
            help: None,
        }
    "#]]);
    fault("generate", "rate = 5", &expect![[r#"
        OptionFault {
            key: None,
            message: "missing field `fields`",
            help: None,
        }
    "#]]);
    fault("generate", "rate = 5\nfields = { a = { intger = [1, 2] } }", &expect![[r#"
        OptionFault {
            key: Some(
                "fields.a.intger",
            ),
            message: "unknown field `intger`, expected one of `counter`, `uuid`, `time`, `late_by`, `late_share`, `one_of`, `weights`, `among`, `prefix`, `skew`, `integer`, `decimal`, `places`, `per`, `chance`, `product`, `constant`, `null`",
            help: Some(
                "did you mean `integer`?",
            ),
        }
    "#]]);
    fault("generate", "rate = 5\nbad = '3'\nfields = { a = { integer = [1, 2] } }", &expect![[r#"
        OptionFault {
            key: Some(
                "bad",
            ),
            message: "`3` is not a share; write a number between 0 and 100 and `%`, for example `\"3 %\"`",
            help: None,
        }
    "#]]);
    fault("generate", "rate = 0\nfields = { a = { integer = [1, 2] } }", &expect![[r#"
        OptionFault {
            key: Some(
                "rate",
            ),
            message: "a number above 0 and up to 1000000",
            help: None,
        }
    "#]]);
    fault(
        "generate",
        "rate = 5\nfields = { a = { integer = [1, 2] } }\nburst = { every = '1 s', lasts = '1 s', factor = 2 }",
        &expect![[r#"
            OptionFault {
                key: Some(
                    "burst.lasts",
                ),
                message: "a surge lasts a while, but not as long as from one to the next",
                help: None,
            }
        "#]],
    );
    fault(
        "generate",
        "rate = 5\nfields = { region = { one_of = ['a'] } }\nburst = { every = '9 s', lasts = '1 s', factor = 2, on = { regio = 'a' } }",
        &expect![[r#"
            OptionFault {
                key: Some(
                    "burst.on.regio",
                ),
                message: "there is no field `regio`",
                help: Some(
                    "did you mean `region`?",
                ),
            }
        "#]],
    );
    fault("host", "every = '1 ms'", &expect![[r#"
        OptionFault {
            key: Some(
                "every",
            ),
            message: "at least \"200 ms\"",
            help: None,
        }
    "#]]);
    fault("host", "evry = '1 s'", &expect![[r#"
        OptionFault {
            key: Some(
                "evry",
            ),
            message: "unknown field `evry`, expected `every` or `processes`",
            help: Some(
                "did you mean `every`?",
            ),
        }
    "#]]);
}
