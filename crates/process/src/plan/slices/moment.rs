//! The time of a row, and what lies near it.

use super::reach::Reach;
use super::{Link, Tag, Told, Windows};

/// The time of the rows of a table, unchanged, and what lies how near to them. The first link is
/// that of the table itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) links: Vec<Link>,
    /// Whether rows of the same window were looked at: how far they are is not in the links.
    pub(super) is_of_window: bool,
}

impl Moment {
    /// Returns the windows whose start it is, if it is one.
    pub(super) fn windows(&self) -> Option<Windows> {
        self.links.iter().find_map(|it| match it.told {
            Told::Windows(windows) => Some(windows),
            Told::Rows(_) | Told::Stretches { .. } => None,
        })
    }

    /// Returns whether it is the start of windows of a table below.
    pub(super) fn is_window(&self) -> bool {
        self.links.first().is_some_and(|it| matches!(it.told, Told::Windows(_)))
    }

    /// Adds rows that lie within `reach` of it.
    pub(super) fn near(&mut self, other: &Moment, reach: Reach) -> Result<(), String> {
        if other.is_of_window && reach != Reach::default() {
            return Err(CUT.to_owned());
        }
        for link in &other.links {
            let link = Link { reach: link.reach.then(reach), ..link.clone() };
            match self.links.iter_mut().find(|it| it.table == link.table) {
                Some(known) if known.column != link.column => return Err(two_times(known, &link)),
                Some(known) => known.reach = known.reach.or(link.reach),
                None => self.links.push(link),
            }
        }
        Ok(())
    }

    pub(super) fn widened(&self, reach: Reach) -> Result<Moment, String> {
        if self.is_of_window {
            return Err(CUT.to_owned());
        }
        let widen = |it: &Link| Link { reach: it.reach.then(reach), ..it.clone() };
        Ok(Moment { links: self.links.iter().map(widen).collect(), is_of_window: false })
    }

    /// Returns how far from this moment the rows of a table are, by the same column.
    pub(super) fn reach_of(&self, link: &Link) -> Option<Reach> {
        let is_it = |it: &&Link| it.table == link.table && it.column == link.column;
        self.links.iter().find(is_it).map(|it| it.reach)
    }
}

const CUT: &str = "a span of time that cuts windows";

pub(super) fn two_times(one: &Link, other: &Link) -> String {
    let (one, other, table) = (&one.column, &other.column, &one.table);
    format!("`{one}` and `{other}` both tell the time of `{table}`")
}

/// Notes of moments that rows of the same window were looked at, if the rows had that in common.
pub(super) fn fix(tags: &mut [Option<Tag>], common: &[Option<Tag>]) {
    if common.iter().any(|it| matches!(it, Some(Tag::Window(_)))) {
        tags.iter_mut().for_each(fix_one);
    }
}

pub(super) fn fix_one(tag: &mut Option<Tag>) {
    if let Some(Tag::Time(moment)) = tag {
        moment.is_of_window = true;
    }
}
