//! Dashboards and their charts.

use base::{Name, Span};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::ctx::{Declared, LoadCtx};
use crate::document::Value;
use crate::said::{FromWords, OneOrMore, Said, Words, choose};
use crate::source::{Spot, Word};

/// A page of charts.
#[derive(Debug, Clone)]
pub struct Dashboard {
    /// The name.
    pub name: Name,
    /// Where it is declared.
    pub spot: Spot,
    /// Its heading.
    pub title: Option<String>,
    /// The charts, in the order of the file.
    pub charts: Vec<Chart>,
    /// What it is, for people.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Free words to find it by.
    pub tags: Vec<String>,
}

/// One chart.
#[derive(Debug, Clone)]
pub struct Chart {
    /// Where it is declared.
    pub spot: Spot,
    /// Its heading.
    pub title: Option<String>,
    /// How it is drawn.
    pub kind: ChartKind,
    /// The table it shows, as said in the file.
    pub from: Word,
    /// The column along the axis.
    pub x: Option<Word>,
    /// The columns drawn.
    pub y: Vec<Word>,
    /// The column that tells one line or bar from another.
    pub by: Option<Word>,
    /// How far back it looks from now.
    pub last: Option<Span>,
    /// How many rows or bars it shows.
    pub limit: Option<u32>,
    /// What is drawn where a window has no rows.
    pub fill: Option<(ChartFill, Spot)>,
}

/// What a chart draws where a window has no rows, between the first window and the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(inline, rename_all = "lowercase")]
pub enum ChartFill {
    /// 0: nothing came.
    Zero,
    /// A gap: nothing is known.
    Null,
    /// The value before it, which goes on.
    Previous,
}

/// How a chart is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(inline, rename_all = "lowercase")]
pub enum ChartKind {
    /// A line per `by`.
    Line,
    /// Lines with the area below them filled.
    Area,
    /// Bars.
    Bar,
    /// One number.
    Number,
    /// Rows.
    Table,
}

/// `[dashboard.NAME]`: a page of charts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DashboardOptions {
    /// Its heading; the name if not said.
    title: Option<String>,
    /// `[[dashboard.NAME.chart]]`: the charts, in the order of the file.
    #[serde(default)]
    chart: Vec<Said<ChartOptions>>,
    /// What it is, for people.
    description: Option<String>,
    /// Who answers for it.
    owner: Option<String>,
    /// Free words to find it by.
    #[serde(default)]
    tags: Vec<String>,
}

/// `[[dashboard.NAME.chart]]`: one chart.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline, extend("required" = ["type", "from"]))]
pub(crate) struct ChartOptions {
    /// Its heading.
    title: Option<String>,
    /// How it is drawn.
    #[serde(rename = "type")]
    kind: Option<Said<Words<ChartKind>>>,
    /// The table it shows.
    from: Option<Said<String>>,
    /// The column along the axis.
    x: Option<Said<String>>,
    /// The column drawn, or several.
    y: Option<OneOrMore>,
    /// The column that tells one line or bar from another.
    by: Option<Said<String>>,
    /// How far back it looks from now; everything if not said.
    last: Option<Said<Words<Span>>>,
    /// How many rows or bars it shows at most.
    limit: Option<Said<i64>>,
    /// What is drawn where a window has no rows: 0, a gap, or the value before; a line straight to
    /// the next point if not said.
    fill: Option<Said<Words<ChartFill>>>,
}

pub(crate) fn read(ctx: &mut LoadCtx<'_>, declared: Declared, value: Value<'_>) -> Dashboard {
    let before = ctx.faults.len();
    let options: DashboardOptions = ctx.read(value);
    let is_sound = ctx.faults.len() == before;
    if options.chart.is_empty() && is_sound {
        let help = format!("add `[[dashboard.{}.chart]]`", declared.name);
        ctx.missing(&declared.spot, format!("`{}` has no charts", declared.name), help);
    }
    let charts = options.chart.into_iter();
    Dashboard {
        charts: charts.filter_map(|it| read_chart(ctx, it, is_sound)).collect(),
        title: options.title,
        description: options.description,
        owner: options.owner,
        tags: options.tags,
        name: declared.name,
        spot: declared.spot,
    }
}

fn read_chart(ctx: &mut LoadCtx<'_>, said: Said<ChartOptions>, is_sound: bool) -> Option<Chart> {
    let options = said.value;
    let spot = ctx.spot(&said.range);
    let kind = options.kind.as_ref().map(|it| it.value.0);
    let needs_x = matches!(kind, Some(ChartKind::Line | ChartKind::Area | ChartKind::Bar));
    let needs_y = needs_x || kind == Some(ChartKind::Number);
    let needed = [
        ("type", "line", true, kind.is_some()),
        ("from", "TABLE", true, options.from.is_some()),
        ("x", "COLUMN", needs_x, options.x.is_some()),
        ("y", "COLUMN", needs_y, options.y.as_ref().is_some_and(|it| !it.0.is_empty())),
    ];
    for (key, example, is_needed, is_given) in needed {
        if is_needed && !is_given && is_sound {
            let help = format!("add `{key} = \"{example}\"`");
            ctx.missing(&spot, format!("the chart has no `{key}`"), help);
        }
    }
    let limit = options.limit.and_then(|it| {
        let limit = u32::try_from(it.value).ok().filter(|limit| 0 < *limit);
        if limit.is_none() {
            let help = "write a number from 1 up".to_owned();
            ctx.fault(&it.range, format!("`limit` cannot be {}", it.value), Some(help));
        }
        limit
    });
    let last = ctx.span(options.last, "last");
    if let (Some(said), Some(ChartKind::Number | ChartKind::Table)) = (&options.fill, kind) {
        let help = "remove it, or draw a line, an area or bars along time".to_owned();
        ctx.fault(&said.range, "`fill` where nothing is drawn along time", Some(help));
    }
    Some(Chart {
        kind: kind?,
        fill: options.fill.map(|it| (it.value.0, ctx.spot(&it.range))),
        from: ctx.word(&options.from?),
        x: options.x.map(|it| ctx.word(&it)),
        y: ctx.words(options.y),
        by: options.by.map(|it| ctx.word(&it)),
        last,
        limit,
        title: options.title,
        spot,
    })
}

impl FromWords for ChartFill {
    const WHAT: &'static str = "`\"zero\"`, `\"null\"` or `\"previous\"`";

    fn from_words(text: &str) -> Result<ChartFill, String> {
        let fills = [
            ("zero", ChartFill::Zero),
            ("null", ChartFill::Null),
            ("previous", ChartFill::Previous),
        ];
        choose(text, &fills)
    }
}

impl FromWords for ChartKind {
    const WHAT: &'static str = "`\"line\"`, `\"area\"`, `\"bar\"`, `\"number\"` or `\"table\"`";

    fn from_words(text: &str) -> Result<ChartKind, String> {
        let kinds = [
            ("line", ChartKind::Line),
            ("area", ChartKind::Area),
            ("bar", ChartKind::Bar),
            ("number", ChartKind::Number),
            ("table", ChartKind::Table),
        ];
        choose(text, &kinds)
    }
}
