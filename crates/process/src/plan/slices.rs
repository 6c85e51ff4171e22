//! Finds out whether a SELECT can be computed slice by slice: whether its rows of one stretch of
//! time come from rows of about that time alone, in everything that it reads.
//!
//! Then a change of some rows below costs the slices that may hear of them, and nothing else is
//! computed again, whatever the SELECT does within: joins, ranks, further groups.
//!
//! Each column of a step of the plan may carry a *tag*: the time of the rows it comes from, or the
//! start of a window over it. A step that looks at several rows (groups, joins, window functions,
//! DISTINCT) must look at rows of one tag only, or at rows within a *reach*: not longer before or
//! after than a span that the SELECT names (`b.ts BETWEEN a.ts AND a.ts + INTERVAL '10 minutes'`).

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use base::{Name, Span};
use datafusion::common::Column;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{Aggregate, Distinct, Expr, LogicalPlan, Projection, TableScan};
use query::functions::window::{self, Shape};

use crate::plan::{Known, Sources, TableKind, kept};

mod join;
pub(crate) mod keyed;
mod moment;
mod reach;

use moment::{Moment, fix, fix_one, two_times};
use reach::Reach;
pub(crate) use reach::window_function;

/// How a table is computed slice by slice.
#[derive(Debug, Clone)]
pub(crate) struct Slices {
    /// The tables that move, and the column of each that says when a row was.
    pub(crate) links: Vec<Link>,
    pub(crate) unit: Unit,
    /// Which column of the result tells the slice.
    pub(crate) column: usize,
    /// From the start of a slice to its end.
    pub(crate) size_us: i64,
    /// From the start of a slice to the start of the next.
    pub(crate) slide_us: i64,
    /// How many rows of each key before a slice it is also made of, however long ago they were.
    pub(crate) rows_back: Option<u64>,
}

/// What a slice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A window over the times of what is below; the column has its start.
    Window,
    /// A window of a table below; the column has its start.
    Below,
    /// A stretch of time; the column has moments in it.
    Stretch,
}

impl Slices {
    /// Returns the start of the first slice and the moment up to which slices begin, in which rows
    /// may change when those of `link` at these moments did.
    pub(crate) fn touched(&self, link: &Link, moments: Range<i64>) -> (i64, i64) {
        let first = moments.start.saturating_sub(link.reach.after_us);
        let last = moments.end.saturating_sub(1).saturating_add(link.reach.before_us);
        let length = if self.unit == Unit::Below { 1 } else { self.size_us };
        let slide = self.slide_us.max(1);
        // The first that ends after `first`.
        let least = first.saturating_sub(length).saturating_add(1);
        let start = least.saturating_add((-least).rem_euclid(slide));
        (start, last.saturating_sub(last.rem_euclid(slide)))
    }

    /// Returns from when to when the rows of `link` are that a slice is made of.
    pub(crate) fn made_of(&self, link: &Link, start: i64) -> Range<i64> {
        let length = if self.unit == Unit::Below { 1 } else { self.size_us };
        let end = start.saturating_add(length).saturating_add(link.reach.after_us);
        start.saturating_sub(link.reach.before_us)..end
    }

    /// Returns the start of the slice that a row belongs to whose column has this value.
    pub(crate) fn slice_of(&self, value: i64) -> i64 {
        match self.unit {
            Unit::Window | Unit::Below => value,
            Unit::Stretch => value.saturating_sub(value.rem_euclid(self.size_us.max(1))),
        }
    }

    /// Returns how far above the start of its slice the column of a row may be; 1 if it is that.
    pub(crate) fn span_us(&self) -> i64 {
        if self.unit == Unit::Stretch { self.size_us } else { 1 }
    }

    /// Returns how its own changes are told to tables above.
    pub(crate) fn told(&self) -> Told {
        let Slices { slide_us, size_us, .. } = *self;
        match self.unit {
            Unit::Window | Unit::Below => Told::Windows(Windows { slide_us, size_us }),
            Unit::Stretch => Told::Stretches { span_us: size_us },
        }
    }
}

/// A table that moves, below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) table: Name,
    /// The column with the time of its rows, or the start of its windows.
    pub(crate) column: String,
    pub(crate) told: Told,
    pub(crate) keep: Option<Span>,
    pub(crate) reach: Reach,
}

/// How a table tells what changed in it, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// By the rows that are added; the progress of these tells how far it has come.
    Rows(Sources),
    /// By the starts of windows.
    Windows(Windows),
    /// By the starts of stretches of time.
    Stretches { span_us: i64 },
}

/// Windows of fixed size, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Windows {
    pub(crate) slide_us: i64,
    pub(crate) size_us: i64,
}

impl Windows {
    /// Returns whether each of these lies in windows of the others whole.
    fn lie_in(self, others: Windows) -> bool {
        self.slide_us == self.size_us
            && others.slide_us % self.size_us == 0
            && others.size_us % self.size_us == 0
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tag {
    /// The time of a row.
    Time(Moment),
    /// The start of a window over it.
    Window(Windows),
}

type Tags = Vec<Option<Tag>>;

/// What a step of the plan gives: the tags of its columns; none if nothing moves below.
type Found = Result<Option<Tags>, String>;

struct Walk<'a> {
    known: &'a BTreeMap<Name, Known>,
    links: BTreeMap<Name, Link>,
    moving: Vec<Name>,
    /// The windows that some step looks at as a whole; none while that is windows below.
    windows: Option<Windows>,
    /// How many rows of the same key before it a row is made of.
    rows_back: Option<u64>,
}

/// How long a slice is where there are no windows: of this many the rows within reach are made.
const SLICES_OF_REACH: i64 = 16;
const SLICE_US_MIN: i64 = 1_000_000;
const SLICE_US_MAX: i64 = 60_000_000;

/// Returns how the plan is computed slice by slice, or why it cannot be. A plan whose result lacks
/// the time is returned with that, called [`rows::schema::TIME`], as its last column.
pub(crate) fn slices(
    plan: &LogicalPlan,
    known: &BTreeMap<Name, Known>,
) -> Result<(Slices, Option<LogicalPlan>), String> {
    match of_result(plan, known) {
        Err(reason) if reason == NO_TIME => {
            let walk = || Walk::new(known);
            let Some(timed) = with_time(plan, &walk) else { return Err(reason) };
            let slices = of_result(&timed, known)?;
            Ok((slices, Some(timed)))
        }
        result => result.map(|it| (it, None)),
    }
}

const NO_TIME: &str = "the time, or the window, is not in its result";

/// Returns the plan with the time of its rows as one more column, the last.
fn with_time<'a>(plan: &LogicalPlan, walk: &dyn Fn() -> Walk<'a>) -> Option<LogicalPlan> {
    let inner = |input: &LogicalPlan| match input {
        LogicalPlan::Projection(_) => with_time(input, walk),
        LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Window(_) => {
            let below = with_time(input.inputs().first()?, walk)?;
            input.with_new_exprs(input.expressions(), vec![below]).ok()
        }
        _ => None,
    };
    let LogicalPlan::Projection(projection) = plan else { return inner(plan) };
    let mut below = walk();
    let tags = below.tags(&projection.input).ok()??;
    let place = below.fitting(&tags).map(|(place, _)| place);
    let (input, place) = match place {
        Some(place) => (projection.input.as_ref().clone(), place),
        None => {
            let input = inner(&projection.input)?;
            let fields = input.schema().fields().iter();
            let place = fields.clone().position(|it| it.name() == rows::schema::TIME)?;
            (input, place)
        }
    };
    let time = Expr::Column(Column::from(input.schema().qualified_field(place)));
    let mut exprs = projection.expr.clone();
    exprs.push(time.alias(rows::schema::TIME));
    Projection::try_new(exprs, Arc::new(input)).ok().map(LogicalPlan::Projection)
}

fn of_result(plan: &LogicalPlan, known: &BTreeMap<Name, Known>) -> Result<Slices, String> {
    let mut walk = Walk::new(known);
    let Some(tags) = walk.tags(plan)? else { return Err("it reads nothing that moves".to_owned()) };
    let Some((column, tag)) = walk.fitting(&tags) else { return Err(NO_TIME.to_owned()) };
    let mut windows = walk.windows;
    let mut unit = Unit::Window;
    if let Tag::Time(moment) = tag
        && walk.windows.is_some()
    {
        walk.link(moment)?;
        unit = Unit::Stretch;
    } else if let Tag::Time(moment) = tag {
        walk.link(moment)?;
        let is_window = moment.is_window();
        unit = if is_window { Unit::Below } else { Unit::Stretch };
        let below = moment.links.iter().filter_map(|it| match it.told {
            Told::Windows(windows) if it.reach == Reach::default() => Some(windows),
            _ => None,
        });
        windows = if is_window { below.max_by_key(|it| it.size_us) } else { None };
    }
    let unlinked = walk.moving.iter().find(|it| !walk.links.contains_key(*it));
    if let Some(table) = unlinked {
        return Err(format!("rows of `{table}` are not tied to the time of the others"));
    }
    let links: Vec<Link> = walk.links.into_values().collect();
    let Windows { slide_us, size_us } = windows.unwrap_or_else(|| {
        let reach = links.iter().map(|it| it.reach.length_us()).max().unwrap_or_default();
        let size_us = (reach / SLICES_OF_REACH).clamp(SLICE_US_MIN, SLICE_US_MAX);
        let size_us = size_us - size_us % SLICE_US_MIN;
        Windows { slide_us: size_us, size_us }
    });
    if let Some(rows) = walk.rows_back {
        let is_alone = matches!(links.as_slice(), [link]
            if link.reach == Reach::default() && matches!(link.told, Told::Rows(_)));
        if !is_alone || unit != Unit::Stretch || kept::find_last(plan, rows).is_none() {
            return Err("a window function by rows, beside another step over several".to_owned());
        }
    }
    Ok(Slices { links, unit, column, size_us, slide_us, rows_back: walk.rows_back })
}

impl<'a> Walk<'a> {
    fn new(known: &'a BTreeMap<Name, Known>) -> Walk<'a> {
        Walk { known, links: BTreeMap::new(), moving: Vec::new(), windows: None, rows_back: None }
    }

    /// Returns the column of the result that tells slices best.
    fn fitting<'t>(&self, tags: &'t Tags) -> Option<(usize, &'t Tag)> {
        // A start of windows tells more than a moment.
        let rank = |tag: &Tag| match (tag, self.windows) {
            (Tag::Window(windows), Some(needed)) => (*windows == needed).then_some(0),
            (Tag::Time(moment), None) if moment.is_window() => Some(0),
            (Tag::Time(_), None) => Some(1),
            (Tag::Time(moment), Some(needed)) => self.lies_in(moment, needed).then_some(1),
            (Tag::Window(_), None) => None,
        };
        let tags = tags.iter().enumerate().filter_map(|(place, tag)| Some((place, tag.as_ref()?)));
        let ranked = tags.filter_map(|(place, tag)| Some((rank(tag)?, place, tag)));
        ranked.min_by_key(|(rank, place, _)| (*rank, *place)).map(|(_, place, tag)| (place, tag))
    }

    /// Returns whether the moment lies in the very window that its row was looked at in.
    fn lies_in(&self, moment: &Moment, windows: Windows) -> bool {
        let is_time_of_window = |it: &Link| {
            let known = self.links.get(&it.table);
            it.reach == Reach::default() && known.is_some_and(|known| known.column == it.column)
        };
        windows.slide_us == windows.size_us
            && moment.is_of_window
            && !moment.is_window()
            && moment.links.iter().all(is_time_of_window)
    }

    fn tags(&mut self, plan: &LogicalPlan) -> Found {
        refuse_subqueries(plan)?;
        match plan {
            LogicalPlan::Projection(it) => {
                let Some(below) = self.tags(&it.input)? else { return Ok(None) };
                it.expr
                    .iter()
                    .map(|expr| self.tag(expr, &it.input, &below))
                    .collect::<Result<_, _>>()
                    .map(Some)
            }
            LogicalPlan::Filter(it) => match it.input.as_ref() {
                LogicalPlan::Join(join) => self.join(join, Some(&it.predicate)),
                input => self.tags(input),
            },
            LogicalPlan::SubqueryAlias(it) => self.tags(&it.input),
            LogicalPlan::Sort(it) if it.fetch.is_none() => self.tags(&it.input),
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => Ok(None),
            LogicalPlan::Aggregate(it) => self.aggregate(it),
            LogicalPlan::Join(it) => self.join(it, None),
            LogicalPlan::Window(it) => {
                let Some(mut below) = self.tags(&it.input)? else { return Ok(None) };
                for function in &it.window_expr {
                    self.window_function(function, &it.input, &mut below)?;
                }
                below.resize(plan.schema().fields().len(), None);
                Ok(Some(below))
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let Some(mut below) = self.tags(input)? else { return Ok(None) };
                let tag = below.iter().flatten().next().cloned();
                match &tag {
                    Some(tag) => self.uses(tag)?,
                    None => return Err("DISTINCT over several windows".to_owned()),
                }
                fix(&mut below, &[tag]);
                Ok(Some(below))
            }
            LogicalPlan::Union(it) => {
                let inputs: Vec<&LogicalPlan> = it.inputs.iter().map(AsRef::as_ref).collect();
                self.union(&inputs)
            }
            LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => Err("LIMIT".to_owned()),
            other => Err(other.display().to_string()),
        }
    }

    fn scan(&mut self, scan: &TableScan) -> Found {
        let name = scan.table_name.table();
        let Some((name, known)) = self.known.get_key_value(name) else {
            return Err(format!("`{name}` is not known"));
        };
        let moment = |column: &str, told: Told| {
            let (table, column, keep) = (name.clone(), column.to_owned(), known.keep);
            let link = Link { table, column, told, keep, reach: Reach::default() };
            Some(Tag::Time(Moment { links: vec![link], is_of_window: false }))
        };
        let mut tags: Tags = vec![None; scan.source.schema().fields().len()];
        match known.kind {
            TableKind::Lookup => return Ok(None),
            TableKind::Windowed => {
                let Some((column, told)) = known.told.clone() else {
                    return Err(format!("`{name}` has no windows of a fixed size"));
                };
                if let Some(tag) = tags.get_mut(column) {
                    *tag = moment(known.schema.field(column).name(), told);
                }
            }
            TableKind::Raw | TableKind::Append => {
                for ((tag, sources), field) in
                    tags.iter_mut().zip(&known.sources).zip(known.schema.fields())
                {
                    if !sources.is_empty() && field.data_type() == &rows::schema::timestamp() {
                        *tag = moment(field.name(), Told::Rows(sources.clone()));
                    }
                }
            }
            kind @ (TableKind::Dead | TableKind::Running | TableKind::Recomputed) => {
                return Err(format!("it reads `{name}`, which is {}", kind.as_str()));
            }
        }
        self.moving.push(name.clone());
        if let Some(projection) = &scan.projection {
            tags = projection.iter().map(|it| tags.get(*it).cloned().flatten()).collect();
        }
        Ok(Some(tags))
    }

    /// Returns the tag of an expression over the columns of a step.
    fn tag(
        &mut self,
        expr: &Expr,
        input: &LogicalPlan,
        below: &Tags,
    ) -> Result<Option<Tag>, String> {
        match expr {
            Expr::Alias(alias) => self.tag(&alias.expr, input, below),
            Expr::Column(column) => {
                let place = input.schema().maybe_index_of_column(column);
                Ok(place.and_then(|it| below.get(it).cloned().flatten()))
            }
            _ => {
                let Some(found) = window::window(expr) else { return Ok(None) };
                let Shape::Fixed { slide_ns, size_ns } = found.shape else {
                    return Err("session windows".to_owned());
                };
                let windows = Windows { slide_us: slide_ns / 1_000, size_us: size_ns / 1_000 };
                match self.tag(&found.time, input, below)? {
                    None => Ok(None),
                    Some(Tag::Time(moment)) => {
                        self.link(&moment)?;
                        Ok(Some(Tag::Window(windows)))
                    }
                    Some(Tag::Window(inner)) if inner.lie_in(windows) => {
                        Ok(Some(Tag::Window(windows)))
                    }
                    Some(Tag::Window(_)) => {
                        Err("windows that cut the windows they are made of".to_owned())
                    }
                }
            }
        }
    }

    /// Notes that the rows of tables are told apart by their times.
    fn link(&mut self, moment: &Moment) -> Result<(), String> {
        for link in &moment.links {
            match self.links.get_mut(&link.table) {
                Some(known) if known.column != link.column => return Err(two_times(known, link)),
                Some(known) => known.reach = known.reach.or(link.reach),
                None => {
                    self.links.insert(link.table.clone(), link.clone());
                }
            }
        }
        Ok(())
    }

    /// Notes that a step looks at all rows of one tag together.
    fn uses(&mut self, tag: &Tag) -> Result<(), String> {
        let windows = match tag {
            Tag::Time(moment) => return self.link(moment),
            Tag::Window(windows) => *windows,
        };
        match self.windows {
            None => self.windows = Some(windows),
            Some(known) if known == windows || windows.lie_in(known) => {}
            Some(known) if known.lie_in(windows) => self.windows = Some(windows),
            Some(_) => return Err("windows that cut each other".to_owned()),
        }
        Ok(())
    }

    /// Notes that a step looks at all rows together that have these expressions in common.
    fn looks_at(
        &mut self,
        common: &[Expr],
        input: &LogicalPlan,
        below: &Tags,
        what: &str,
    ) -> Result<Tags, String> {
        let tags: Tags =
            common.iter().map(|it| self.tag(it, input, below)).collect::<Result<_, _>>()?;
        let is_window = |it: &&Tag| matches!(it, Tag::Window(_));
        let known = tags.iter().flatten();
        let tag = known.clone().find(is_window).or_else(|| known.clone().next()).cloned();
        match tag {
            Some(tag) => self.uses(&tag)?,
            None => return Err(format!("{what} over several windows")),
        }
        Ok(tags)
    }

    fn aggregate(&mut self, aggregate: &Aggregate) -> Found {
        let Some(below) = self.tags(&aggregate.input)? else { return Ok(None) };
        if aggregate.group_expr.iter().any(|it| matches!(it, Expr::GroupingSet(_))) {
            return Err("GROUPING SETS, CUBE or ROLLUP".to_owned());
        }
        let groups = &aggregate.group_expr;
        let mut tags = self.looks_at(groups, &aggregate.input, &below, "groups")?;
        let common = tags.clone();
        fix(&mut tags, &common);
        tags.resize(aggregate.schema.fields().len(), None);
        Ok(Some(tags))
    }

    /// Notes what a window function looks at: the rows of one window, or those within a span of
    /// time around each.
    fn window_function(
        &mut self,
        function: &Expr,
        input: &LogicalPlan,
        below: &mut Tags,
    ) -> Result<(), String> {
        let Some(function) = window_function(function) else {
            return Err("window functions".to_owned());
        };
        let what = "a window function";
        let by = &function.params.partition_by;
        let reason = match self.looks_at(by, input, below, what) {
            Err(reason) => reason,
            Ok(tags) => {
                fix(below, &tags);
                return Ok(());
            }
        };
        let Some(order) = function.params.order_by.first() else { return Err(reason) };
        let Some(reach) = reach::of_frame(function, order.asc) else {
            return self.by_rows(function, input, below).ok_or_else(|| {
                format!(
                    "{what} that needs all rows before or some after; bound it by ROWS or RANGE \
                     BETWEEN .. PRECEDING AND CURRENT ROW"
                )
            });
        };
        let Some(Tag::Time(moment)) = self.tag(&order.expr, input, below)? else {
            return Err(reason);
        };
        let widened = moment.widened(reach)?;
        for tag in below.iter_mut() {
            let is_it = matches!(tag, Some(Tag::Time(it)) if it == &moment);
            *tag = is_it.then(|| Tag::Time(widened.clone()));
        }
        Ok(())
    }

    /// Notes that a window function looks at some rows of the same key before each.
    fn by_rows(
        &mut self,
        function: &WindowFunction,
        input: &LogicalPlan,
        below: &mut Tags,
    ) -> Option<()> {
        let rows = reach::rows_back(function)?;
        let order = function.params.order_by.first().filter(|it| it.asc)?;
        let tag = self.tag(&order.expr, input, below).ok()??;
        let Tag::Time(moment) = &tag else { return None };
        if moment.is_of_window && self.rows_back.is_none() {
            return None;
        }
        for it in below.iter_mut() {
            if it.as_ref() != Some(&tag) {
                *it = None;
            }
            fix_one(it);
        }
        self.rows_back = self.rows_back.max(Some(rows));
        Some(())
    }

    fn union(&mut self, inputs: &[&LogicalPlan]) -> Found {
        let mut all: Option<Tags> = None;
        for input in inputs {
            let Some(tags) = self.tags(input)? else {
                return Err("UNION with rows that do not move".to_owned());
            };
            let Some(known) = &mut all else {
                all = Some(tags);
                continue;
            };
            for (known, tag) in known.iter_mut().zip(tags) {
                *known = match (known.take(), tag) {
                    (Some(Tag::Time(mut one)), Some(Tag::Time(other)))
                        if one.windows() == other.windows() =>
                    {
                        one.near(&other, Reach::default())?;
                        Some(Tag::Time(one))
                    }
                    (Some(Tag::Window(one)), Some(Tag::Window(other))) if one == other => {
                        Some(Tag::Window(one))
                    }
                    _ => None,
                };
            }
        }
        Ok(all)
    }
}

/// Returns why the plan cannot be followed if an expression of it asks another table.
pub(crate) fn refuse_subqueries(plan: &LogicalPlan) -> Result<(), String> {
    let is_subquery = |it: &Expr| {
        Ok(matches!(
            it,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
        ))
    };
    let has = plan.expressions().iter().any(|it| it.exists(is_subquery).unwrap_or(true));
    if has { Err("a subquery".to_owned()) } else { Ok(()) }
}
