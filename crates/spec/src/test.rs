//! Tests of a project: given records, expected rows.

use std::collections::BTreeMap;

use base::Name;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::ctx::{Declared, LoadCtx};
use crate::document::Value;
use crate::said::{Entries, Said};
use crate::source::{Spot, Word};

/// One test.
#[derive(Debug, Clone)]
pub struct Test {
    /// The name.
    pub name: Name,
    /// Where it is declared.
    pub spot: Spot,
    /// Records of streams and rows of lookups, in the order of their lines.
    pub given: BTreeMap<Name, Vec<Line>>,
    /// Rows of tables (`orders__dead` too), in any order.
    pub expect: BTreeMap<String, Vec<Line>>,
    /// What it shows, for people.
    pub description: Option<String>,
}

/// One line of NDJSON: an object.
#[derive(Debug, Clone)]
pub struct Line {
    /// The line.
    pub text: String,
    /// Where it stands.
    pub spot: Spot,
}

/// `[test.NAME]`: given records, expected rows.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["expect"]))]
pub(crate) struct TestOptions {
    /// `given.STREAM` or `given.LOOKUP`: records or rows, one JSON object a line.
    #[serde(default)]
    given: Entries<Said<String>>,
    /// `expect.TABLE`: its rows in any order, one JSON object a line, with the columns that matter.
    #[serde(default)]
    expect: Entries<Said<String>>,
    /// What it shows, for people.
    description: Option<String>,
}

/// What a test names that must be looked up once everything is read.
pub(crate) struct TestLinks {
    pub(crate) given: Vec<(Word, Vec<Line>)>,
    pub(crate) expect: Vec<(Word, Vec<Line>)>,
}

pub(crate) fn read(
    ctx: &mut LoadCtx<'_>,
    declared: Declared,
    value: Value<'_>,
) -> (Test, TestLinks) {
    let before = ctx.faults.len();
    let options: TestOptions = ctx.read(value);
    let is_sound = ctx.faults.len() == before;
    if options.expect.0.is_empty() && is_sound {
        let help = "add `expect.TABLE = '''…'''` with one JSON object a line".to_owned();
        ctx.missing(&declared.spot, format!("`{}` expects nothing", declared.name), help);
    }
    let lines = |entries: Entries<Said<String>>| -> Vec<(Word, Vec<Line>)> {
        entries.0.into_iter().map(|(name, said)| (ctx.word(&name), split(ctx, &said))).collect()
    };
    let links = TestLinks { given: lines(options.given), expect: lines(options.expect) };
    let test = Test {
        given: BTreeMap::new(),
        expect: BTreeMap::new(),
        description: options.description,
        name: declared.name,
        spot: declared.spot,
    };
    (test, links)
}

fn split(ctx: &LoadCtx<'_>, said: &Said<String>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut start = 0;
    for line in said.value.split('\n') {
        let text = line.trim();
        let at = start + (line.len() - line.trim_start().len());
        start += line.len() + 1;
        if !text.is_empty() {
            let range = ctx.inside(said, at..at + text.len());
            lines.push(Line { text: text.to_owned(), spot: ctx.spot(&range) });
        }
    }
    lines
}

impl Line {
    /// Returns why the line is no JSON object, at the byte where it stops being one.
    pub(crate) fn why_no_object(&self) -> Option<(Spot, String)> {
        let read: Result<serde_json::Map<String, serde_json::Value>, _> =
            serde_json::from_str(&self.text);
        let error = read.err()?;
        let mut spot = self.spot.clone();
        if spot.range.len() == self.text.len() {
            let at = error.column().saturating_sub(1).min(self.text.len());
            spot.range.start += self.text.floor_char_boundary(at);
        }
        let why = error.to_string();
        let why = why.split(" at line ").next().unwrap_or_default();
        let why = match why.strip_prefix("invalid type: ").and_then(|it| it.split_once(", ")) {
            Some(("sequence", _)) => "it is a list".to_owned(),
            Some((found, _)) => format!("it is {found}"),
            None => why.replace("expected ident", "expected value"),
        };
        Some((spot, why))
    }
}
