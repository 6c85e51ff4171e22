//! Finds out whether a SELECT can be computed slice by slice: whether its rows of one window come
//! from the rows of that window alone, in everything that it reads.
//!
//! Then a change of some rows below costs the windows they lie in, and nothing else is computed
//! again, whatever the SELECT does within a window: joins, ranks, further groups.
//!
//! Each column of a step of the plan may carry a *tag*: the time of the rows it comes from, or the
//! start of a window over it. A step that looks at several rows (groups, joins, window functions,
//! DISTINCT) must look at rows of one tag only.

use std::collections::BTreeMap;

use base::{Name, Span};
use datafusion::common::JoinType;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, Distinct, Expr, Join, LogicalPlan, Operator, TableScan};
use query::functions::window::{self, Shape};

use crate::plan::{Known, Sources, TableKind};

/// How a table is computed slice by slice.
#[derive(Debug, Clone)]
pub(crate) struct Slices {
    /// The tables that move, and the column of each that says in which slice a row lies.
    pub(crate) links: Vec<Link>,
    /// Whether a slice is one window of the tables below; else windows over their times.
    pub(crate) is_same_window: bool,
    /// Which column of the result is the start of its slice.
    pub(crate) column: usize,
    /// From the start of a slice to its end.
    pub(crate) size_us: i64,
    /// From the start of a slice to the start of the next.
    pub(crate) slide_us: i64,
}

/// A table that moves, below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) table: Name,
    /// The column with the time of its rows, or the start of its windows.
    pub(crate) column: String,
    /// Its windows, if it has some.
    pub(crate) windows: Option<Windows>,
    /// Whose progress tells how far its rows have come, if it has no windows.
    pub(crate) sources: Sources,
    pub(crate) keep: Option<Span>,
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
    /// The time of the rows of a table, unchanged.
    Time(Link),
    /// The start of a window over it.
    Window(Windows),
}

impl Tag {
    fn is_like(&self, other: &Tag) -> bool {
        match (self, other) {
            (Tag::Time(_), Tag::Time(_)) => true,
            (one, other) => one == other,
        }
    }
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
}

/// Returns how the plan is computed slice by slice, or why it cannot be.
pub(crate) fn slices(plan: &LogicalPlan, known: &BTreeMap<Name, Known>) -> Result<Slices, String> {
    let mut walk = Walk { known, links: BTreeMap::new(), moving: Vec::new(), windows: None };
    let Some(tags) = walk.tags(plan)? else { return Err("it reads nothing that moves".to_owned()) };
    let fits = |tag: &Tag| match (tag, walk.windows) {
        (Tag::Time(link), None) => link.windows.is_some(),
        (Tag::Window(windows), Some(needed)) => *windows == needed,
        _ => false,
    };
    let found = tags.iter().enumerate().find(|(_, tag)| tag.as_ref().is_some_and(fits));
    let Some((column, Some(tag))) = found else {
        return Err("the window is not in its result".to_owned());
    };
    if let Tag::Time(link) = tag {
        walk.link(link)?;
    }
    let unlinked = walk.moving.iter().find(|it| !walk.links.contains_key(*it));
    if let Some(table) = unlinked {
        return Err(format!("rows of `{table}` are not tied to a window"));
    }
    let links: Vec<Link> = walk.links.into_values().collect();
    let below = links.iter().filter_map(|it| it.windows).max_by_key(|it| it.size_us);
    let Some(windows) = walk.windows.or(below) else {
        return Err("nothing it reads has windows".to_owned());
    };
    let Windows { slide_us, size_us } = windows;
    let is_same_window = walk.windows.is_none();
    Ok(Slices { links, is_same_window, column, size_us, slide_us })
}

impl Walk<'_> {
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
            LogicalPlan::Filter(it) => self.tags(&it.input),
            LogicalPlan::SubqueryAlias(it) => self.tags(&it.input),
            LogicalPlan::Sort(it) if it.fetch.is_none() => self.tags(&it.input),
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => Ok(None),
            LogicalPlan::Aggregate(it) => self.aggregate(it),
            LogicalPlan::Join(it) => self.join(it),
            LogicalPlan::Window(it) => {
                let Some(mut below) = self.tags(&it.input)? else { return Ok(None) };
                for function in &it.window_expr {
                    let by = partition_by(function);
                    self.looks_at(by, &it.input, &below, "a window function")?;
                }
                below.resize(plan.schema().fields().len(), None);
                Ok(Some(below))
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let Some(below) = self.tags(input)? else { return Ok(None) };
                match below.iter().flatten().next().cloned() {
                    Some(tag) => self.uses(&tag)?,
                    None => return Err("DISTINCT over several windows".to_owned()),
                }
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
        let link = |column: &str, windows: Option<Windows>, sources: Sources| Link {
            table: name.clone(),
            column: column.to_owned(),
            windows,
            sources,
            keep: known.keep,
        };
        let mut tags: Tags = vec![None; known.schema.fields().len()];
        match known.kind {
            TableKind::Lookup => return Ok(None),
            TableKind::Windowed => {
                let Some((column, windows)) = known.window else {
                    return Err(format!("`{name}` has no windows of a fixed size"));
                };
                let name = known.schema.field(column).name();
                if let Some(tag) = tags.get_mut(column) {
                    *tag = Some(Tag::Time(link(name, Some(windows), Sources::new())));
                }
            }
            TableKind::Raw | TableKind::Append => {
                for ((tag, sources), field) in
                    tags.iter_mut().zip(&known.sources).zip(known.schema.fields())
                {
                    if !sources.is_empty() && field.data_type() == &rows::schema::timestamp() {
                        *tag = Some(Tag::Time(link(field.name(), None, sources.clone())));
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
                    Some(Tag::Time(link)) => {
                        self.link(&link)?;
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

    /// Notes that the rows of a table are told apart by this column.
    fn link(&mut self, link: &Link) -> Result<(), String> {
        match self.links.get(&link.table) {
            Some(known) if known.column != link.column => Err(format!(
                "`{}` and `{}` both tell the time of `{}`",
                known.column, link.column, link.table
            )),
            Some(_) => Ok(()),
            None => {
                self.links.insert(link.table.clone(), link.clone());
                Ok(())
            }
        }
    }

    /// Notes that rows of windows below are told apart by their window.
    fn link_window(&mut self, tag: &Tag) -> Result<(), String> {
        match tag {
            Tag::Time(link) if link.windows.is_some() => self.link(link),
            _ => Ok(()),
        }
    }

    /// Notes that a step looks at all rows of one tag together.
    fn uses(&mut self, tag: &Tag) -> Result<(), String> {
        let windows = match tag {
            Tag::Time(link) if link.windows.is_none() => {
                return Err(format!("each moment of `{}` is a group of its own", link.table));
            }
            Tag::Time(link) => return self.link(link),
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
        tags.resize(aggregate.schema.fields().len(), None);
        Ok(Some(tags))
    }

    fn join(&mut self, join: &Join) -> Found {
        let (left, right) = (self.tags(&join.left)?, self.tags(&join.right)?);
        let (left_columns, right_columns) =
            (join.left.schema().fields().len(), join.right.schema().fields().len());
        let keeps_left = matches!(
            join.join_type,
            JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti
        );
        let keeps_right = matches!(
            join.join_type,
            JoinType::Inner | JoinType::Right | JoinType::RightSemi | JoinType::RightAnti
        );
        let mut found = match (left, right) {
            (None, None) => return Ok(None),
            (Some(left), None) if keeps_left => (left, vec![None; right_columns]),
            (None, Some(right)) if keeps_right => (vec![None; left_columns], right),
            (Some(left), Some(right)) => {
                self.ties(join, &left, &right)?;
                (left, right)
            }
            _ => return Err("an outer join that keeps all rows of a lookup".to_owned()),
        };
        // A side without a partner is filled with nulls: its window says nothing.
        if !keeps_left {
            found.0.fill(None);
        }
        if !keeps_right {
            found.1.fill(None);
        }
        Ok(Some(match join.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti => found.0,
            JoinType::RightSemi | JoinType::RightAnti => found.1,
            JoinType::Inner | JoinType::Left | JoinType::Right => [found.0, found.1].concat(),
            other => return Err(format!("a join of type {other}")),
        }))
    }

    /// Notes that the rows of both sides of a join are of one window.
    fn ties(&mut self, join: &Join, left: &Tags, right: &Tags) -> Result<(), String> {
        let pairs = join.on.iter().map(|(one, other)| (one, other));
        let conditions = join.filter.iter().flat_map(split_conjunction);
        let equal = conditions.filter_map(|it| match it {
            Expr::BinaryExpr(it) if it.op == Operator::Eq => Some((&*it.left, &*it.right)),
            _ => None,
        });
        let mut are_tied = false;
        for (one, other) in pairs.chain(equal) {
            for (one, other) in [(one, other), (other, one)] {
                let one = self.tag(one, &join.left, left)?;
                let other = self.tag(other, &join.right, right)?;
                if let (Some(one), Some(other)) = (one, other)
                    && one.is_like(&other)
                {
                    self.uses(&one)?;
                    self.uses(&other)?;
                    are_tied = true;
                }
            }
        }
        if are_tied {
            Ok(())
        } else {
            Err("a join of two tables that move, not by their windows".to_owned())
        }
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
                let is_like =
                    matches!((&*known, &tag), (Some(one), Some(other)) if one.is_like(other));
                for it in known.iter().chain(&tag).filter(|_| is_like) {
                    self.link_window(it)?;
                }
                if !is_like {
                    *known = None;
                }
            }
        }
        Ok(all)
    }
}

fn partition_by(function: &Expr) -> &[Expr] {
    match function {
        Expr::Alias(alias) => partition_by(&alias.expr),
        Expr::WindowFunction(function) => &function.params.partition_by,
        _ => &[],
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
