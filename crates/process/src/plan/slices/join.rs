//! What a join brings together: rows of one window, or rows near each other in time.

use datafusion::common::JoinType;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Join, Operator};

use super::moment::{Moment, fix_one};
use super::reach::{self, Reach};
use super::{Found, Tag, Tags, Walk};

impl Walk<'_> {
    /// `above` is a filter right above the join.
    pub(super) fn join(&mut self, join: &Join, above: Option<&Expr>) -> Found {
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
        let above = above.filter(|_| join.join_type == JoinType::Inner);
        let mut found = match (left, right) {
            (None, None) => return Ok(None),
            (Some(left), None) if keeps_left => (left, vec![None; right_columns]),
            (None, Some(right)) if keeps_right => (vec![None; left_columns], right),
            (Some(left), Some(right)) => {
                if self.ties(join, above, &left, &right)? {
                    let (mut left, mut right) = (left, right);
                    left.iter_mut().chain(&mut right).for_each(fix_one);
                    (left, right)
                } else {
                    self.near(join, above, left, right)?
                }
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

    /// Returns whether the rows of both sides of a join are of one window, and notes it.
    fn ties(
        &mut self,
        join: &Join,
        above: Option<&Expr>,
        left: &Tags,
        right: &Tags,
    ) -> Result<bool, String> {
        let is_like = |one: &Tag, other: &Tag| matches!(one, Tag::Window(_)) && one == other;
        let mut are_tied = false;
        for (one, other) in equal(join, above) {
            for (one, other) in [(one, other), (other, one)] {
                let one = self.tag(one, &join.left, left)?;
                let other = self.tag(other, &join.right, right)?;
                if let (Some(one), Some(other)) = (one, other)
                    && is_like(&one, &other)
                {
                    self.uses(&one)?;
                    self.uses(&other)?;
                    are_tied = true;
                }
            }
        }
        Ok(are_tied)
    }

    /// Returns the tags of a join whose condition says how far apart the rows of both sides are.
    fn near(
        &mut self,
        join: &Join,
        above: Option<&Expr>,
        left: Tags,
        right: Tags,
    ) -> Result<(Tags, Tags), String> {
        let sides = [(join.left.as_ref(), &left), (join.right.as_ref(), &right)];
        let mut conditions: Vec<Expr> =
            equal(join, None).map(|(one, other)| one.clone().eq(other.clone())).collect();
        conditions.extend(join.filter.iter().chain(above).flat_map(split_conjunction).cloned());
        let Some(bound) = reach::bound(&conditions, &sides) else {
            return Err("a join of two tables that move, without a bound in time \
                        (b.ts BETWEEN a.ts AND a.ts + INTERVAL ..)"
                .to_owned());
        };
        let moment = |tags: &Tags, place: usize| match tags.get(place).cloned().flatten() {
            Some(Tag::Time(it)) => Ok(it),
            _ => Err("a join by something else than time".to_owned()),
        };
        let (one, other) = (moment(&left, bound.left)?, moment(&right, bound.right)?);
        let near = |tags: Tags, from: &Moment, to: &Moment, reach: Reach| -> Result<Tags, String> {
            let tag = |tag: Option<Tag>| {
                let Some(Tag::Time(mut moment)) = tag else { return Ok(None) };
                // How far it is from the row that the condition names.
                let Some(own) = from.links.first().and_then(|it| moment.reach_of(it)) else {
                    return Ok(None);
                };
                moment.near(to, reach.then(own))?;
                Ok(Some(Tag::Time(moment)))
            };
            tags.into_iter().map(tag).collect()
        };
        let left = near(left, &one, &other, bound.reach)?;
        let right = near(right, &other, &one, bound.reach.turned())?;
        Ok((left, right))
    }
}

/// Returns what is equal in the pairs that a join makes.
pub(super) fn equal<'a>(
    join: &'a Join,
    above: Option<&'a Expr>,
) -> impl Iterator<Item = (&'a Expr, &'a Expr)> {
    let conditions = join.filter.iter().chain(above).flat_map(split_conjunction);
    let equal = conditions.filter_map(|it| match it {
        Expr::BinaryExpr(it) if it.op == Operator::Eq => Some((&*it.left, &*it.right)),
        _ => None,
    });
    join.on.iter().map(|(one, other)| (one, other)).chain(equal)
}
