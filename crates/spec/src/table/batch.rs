//! When a table that is recomputed runs, and what a run may cost.

use std::borrow::Cow;

use base::{ByteSize, Span};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::Table as Toml;

use crate::ctx::LoadCtx;
use crate::door::DoorUse;
use crate::said::{FromWords, OneOrMore, Said, Words, choose};
use crate::source::{Spot, Word};
use crate::table::TableOptions;

/// How a table is run.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// What starts a run; where nothing does, it is run when what it reads has changed.
    pub starts: Option<Starts>,
    /// What becomes of moments at which it did not run.
    pub missed: Missed,
    /// How often a run that failed is tried again; by what starts it if not said.
    pub retries: Option<u32>,
    /// How long after a failure, if said; twice as long after the next.
    pub retry_after: Option<Span>,
    /// How long a run may take.
    pub timeout: Option<Span>,
    /// How many bytes of stored rows a run may read.
    pub read_max: Option<ByteSize>,
    /// Where it says that a run reads only what streams got since the one before, and adds to the
    /// table.
    pub reads_new: Option<Spot>,
}

/// What starts a run.
#[derive(Debug, Clone)]
pub enum Starts {
    /// Time, if what it reads has changed.
    Every(Span),
    /// Moments of the calendar.
    Cron(Word),
    /// Runs of other tables: one of each.
    After(Vec<Word>),
    /// A new object in a bucket.
    NewObject(NewObject),
}

/// A new object in a bucket.
#[derive(Debug, Clone)]
pub struct NewObject {
    /// The bucket.
    pub bucket: Word,
    /// The stream of what happens in it.
    pub events: Word,
    /// Whether streams read its objects: then a run begins once they have.
    pub is_read: bool,
}

/// What becomes of moments at which a table should have run and did not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema)]
#[schemars(inline, rename_all = "lowercase")]
pub enum Missed {
    /// One run makes up for all of them.
    #[default]
    Once,
    /// Nothing: it waits for the next moment.
    Skip,
    /// Each is made up for, the oldest first.
    #[schemars(rename = "catch up")]
    CatchUp,
}

impl Missed {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Missed::Once => "once",
            Missed::Skip => "skip",
            Missed::CatchUp => "catch up",
        }
    }
}

impl Batch {
    /// Returns whether it runs only when something starts it, whatever its SELECT is.
    pub fn is_started(&self) -> bool {
        let by_itself = matches!(self.starts, None | Some(Starts::Every(_)));
        !by_itself || self.reads_new.is_some()
    }

    /// Returns the tables after whose runs it runs.
    pub fn waits_for(&self) -> &[Word] {
        match &self.starts {
            Some(Starts::After(tables)) => tables,
            _ => &[],
        }
    }

    /// Returns what else it must show the same tick as.
    pub(crate) fn ties(&self) -> &[Word] {
        match &self.starts {
            Some(Starts::After(tables)) => tables,
            Some(Starts::NewObject(it)) => std::slice::from_ref(&it.events),
            Some(Starts::Every(_) | Starts::Cron(_)) | None => &[],
        }
    }
}

impl Starts {
    /// Says in a few words what starts a run.
    pub fn told(&self) -> String {
        match self {
            Starts::Every(span) => format!("every {span}"),
            Starts::Cron(cron) => format!("cron {cron}"),
            Starts::After(tables) => {
                let tables: Vec<&str> = tables.iter().map(Word::as_str).collect();
                format!("after {}", tables.join(", "))
            }
            Starts::NewObject(it) => format!("new object in {}", it.bucket),
        }
    }
}

/// The option `on`.
#[derive(Debug)]
pub(crate) struct On {
    bucket: String,
}

impl FromWords for On {
    const WHAT: &'static str = "`\"new object in BUCKET\"`";

    fn from_words(text: &str) -> Result<On, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            ["new", "object", "in", bucket] => Ok(On { bucket: (*bucket).to_owned() }),
            _ => Err(format!("`{text}` starts nothing; write `\"new object in BUCKET\"`")),
        }
    }
}

impl JsonSchema for On {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "On".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^\\s*new\\s+object\\s+in\\s+\\w+\\s*$" })
    }
}

impl FromWords for Missed {
    const WHAT: &'static str = "`\"once\"`, `\"skip\"` or `\"catch up\"`";

    fn from_words(text: &str) -> Result<Missed, String> {
        let words = [Missed::Once, Missed::Skip, Missed::CatchUp].map(|it| (it.as_str(), it));
        choose(text, &words)
    }
}

/// The option `reads`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(inline, rename_all = "lowercase")]
pub(crate) enum Reads {
    /// All rows, each time; they replace those of the run before.
    All,
    /// What streams got since the run before; the rows are added.
    New,
}

impl FromWords for Reads {
    const WHAT: &'static str = "`\"all\"` or `\"new\"`";

    fn from_words(text: &str) -> Result<Reads, String> {
        choose(text, &[("all", Reads::All), ("new", Reads::New)])
    }
}

/// Reads how a table is run.
pub(crate) fn read(ctx: &mut LoadCtx<'_>, options: &mut TableOptions) -> Batch {
    let starts = read_starts(ctx, options);
    let missed = options.missed.take();
    if let Some(said) = &missed
        && !matches!(starts, Some(Starts::Cron(_)))
    {
        let help = "remove it: only moments of `cron` can be missed".to_owned();
        ctx.fault(&said.range, "`missed` without `cron`", Some(help));
    }
    let reads = options.reads.take().filter(|it| it.value.0 == Reads::New);
    if let Some(said) = reads.as_ref().filter(|_| starts.is_none()) {
        let help = "add `cron`, `every`, `after` or `on`".to_owned();
        ctx.fault(&said.range, "`reads` without anything that starts a run", Some(help));
    }
    Batch {
        reads_new: reads.map(|it| ctx.spot(&it.range)),
        starts,
        missed: missed.map(|it| it.value.0).unwrap_or_default(),
        retries: options.retries,
        retry_after: ctx.span(options.retry_after.take(), "retry_after"),
        timeout: ctx.span(options.timeout.take(), "timeout"),
        read_max: options.read_max.take().map(|it| it.value.0),
    }
}

fn read_starts(ctx: &mut LoadCtx<'_>, options: &mut TableOptions) -> Option<Starts> {
    let (every, cron) = (options.every.take(), options.cron.take());
    let (after, on) = (options.after.take(), options.on.take());
    let said = [
        every.as_ref().map(|it| it.range.clone()),
        cron.as_ref().map(|it| it.range.clone()),
        after.as_ref().and_then(|it| it.0.first()).map(|it| it.range.clone()),
        on.as_ref().map(|it| it.range.clone()),
    ];
    if let Some(second) = said.into_iter().flatten().nth(1) {
        let help = "keep one of `every`, `cron`, `after` and `on`".to_owned();
        ctx.fault(&second, "a table is started by one thing", Some(help));
        return None;
    }
    if let Some(said) = every {
        return ctx.span(Some(said), "every").map(Starts::Every);
    }
    if let Some(said) = on {
        return Some(Starts::NewObject(new_object(ctx, said)));
    }
    if let Some(said) = cron {
        return Some(Starts::Cron(ctx.word(&said)));
    }
    let after: OneOrMore = after.filter(|it| !it.0.is_empty())?;
    Some(Starts::After(ctx.words(Some(after))))
}

fn new_object(ctx: &LoadCtx<'_>, said: Said<Words<On>>) -> NewObject {
    let (spot, bucket) = (ctx.spot(&said.range), said.value.0.bucket);
    let word = |text: String| Word { text, spot: Spot::clone(&spot) };
    let events = word(format!("{bucket}_events"));
    NewObject { bucket: word(bucket), events, is_read: false }
}

/// Returns whether a door reads the objects of a bucket.
pub(crate) fn reads_bucket(door: &DoorUse, bucket: &str) -> bool {
    let options = door.options.parse::<Toml>().unwrap_or_default();
    options.get("bucket").and_then(toml::Value::as_str) == Some(bucket)
}
