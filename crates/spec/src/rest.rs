//! How stored rows are kept: how long earlier versions of them, in which order, with which snapshots.

use base::{Span, limits};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::ctx::LoadCtx;
use crate::said::{OneOrMore, Said, Words};
use crate::source::Word;

/// How the stored rows of a stream or a table are kept.
#[derive(Debug, Clone, Default)]
pub struct Rest {
    /// How long earlier versions can be asked for; a good half hour if not said.
    pub history: Option<Span>,
    /// The columns by which rows are ordered where files are merged.
    pub cluster: Vec<Word>,
    /// How often a version is kept for longer.
    pub snapshots: Option<Snapshots>,
    /// How old all rows of a file must be when it is compressed strongly.
    pub cold: Option<Span>,
}

/// How often a version is kept for longer, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshots {
    /// How often.
    pub every: Span,
    /// How many, the newest.
    pub keep: u32,
}

/// `snapshots` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct SnapshotOptions {
    /// How often one is taken.
    every: Option<Said<Words<Span>>>,
    /// How many are kept, the newest; 2 if not said.
    keep: Option<Said<u32>>,
}

/// `cold` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct ColdOptions {
    /// How old all rows of a file must be, by the column `time` if there is one.
    after: Option<Said<Words<Span>>>,
}

/// How often files are merged and let go, and for how long at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upkeep {
    /// The pause between two rounds.
    pub every: Span,
    /// How long a round may take before it leaves the disk to others.
    pub budget: Span,
}

impl Default for Upkeep {
    /// A quarter of one core at most.
    fn default() -> Upkeep {
        Upkeep { every: Span::from_millis(20_000), budget: Span::from_millis(5_000) }
    }
}

/// `upkeep` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct UpkeepOptions {
    /// The pause between two rounds; `"20 seconds"` if not said.
    every: Option<Said<Words<Span>>>,
    /// How long a round may take; `"5 seconds"` if not said.
    budget: Option<Said<Words<Span>>>,
}

pub(crate) fn read_upkeep(ctx: &mut LoadCtx<'_>, options: Option<UpkeepOptions>) -> Upkeep {
    let (options, usual) = (options.unwrap_or_default(), Upkeep::default());
    Upkeep {
        every: ctx.span(options.every, "every").unwrap_or(usual.every),
        budget: ctx.span(options.budget, "budget").unwrap_or(usual.budget),
    }
}

/// As many as an accident that is noticed late leaves a choice of.
const KEEP_DEFAULT: u32 = 2;

/// Reads the settings.
pub(crate) fn read(
    ctx: &mut LoadCtx<'_>,
    history: Option<Said<Words<Span>>>,
    cluster: Option<OneOrMore>,
    snapshots: Option<Said<SnapshotOptions>>,
    cold: Option<Said<ColdOptions>>,
) -> Rest {
    Rest {
        history: ctx.span(history, "history"),
        cluster: ctx.words(cluster),
        snapshots: snapshots.and_then(|it| read_snapshots(ctx, it)),
        cold: cold.and_then(|it| read_cold(ctx, it)),
    }
}

fn read_cold(ctx: &mut LoadCtx<'_>, said: Said<ColdOptions>) -> Option<Span> {
    let Said { value: options, range } = said;
    if options.after.is_none() {
        let help = "add `after = \"30 days\"`".to_owned();
        ctx.fault(&range, "`cold` has no `after`", Some(help));
    }
    ctx.span(options.after, "after")
}

fn read_snapshots(ctx: &mut LoadCtx<'_>, said: Said<SnapshotOptions>) -> Option<Snapshots> {
    let Said { value: options, range } = said;
    if options.every.is_none() {
        let help = "add `every = \"12 hours\"`".to_owned();
        ctx.fault(&range, "`snapshots` has no `every`", Some(help));
    }
    let keep = options.keep.map_or(KEEP_DEFAULT, |keep| {
        if !(1..=limits::SNAPSHOTS_MAX).contains(&keep.value) {
            let help = format!("write a number from 1 to {}", limits::SNAPSHOTS_MAX);
            ctx.fault(&keep.range, format!("{} snapshots cannot be kept", keep.value), Some(help));
        }
        keep.value
    });
    let every = ctx.span(options.every, "every")?;
    Some(Snapshots { every, keep })
}
