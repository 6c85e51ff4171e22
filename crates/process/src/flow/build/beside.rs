//! Which tables can be made beside what runs.

use std::collections::BTreeSet;

use base::Name;

use crate::plan::slices::Told;
use crate::plan::{FlowPlan, TableKind, TablePlan};

/// Which tables of a flow can be made beside, and what they read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// Tables that can, in FROM order.
    pub built: Vec<Name>,
    /// Tables that they follow row by row.
    pub followed: Vec<Name>,
    /// Tables by windows of which they hear which windows changed.
    pub told: Vec<Name>,
    /// Tables of which they only see what is stored at a moment.
    pub seen: Vec<Name>,
}

impl FlowPlan {
    /// Returns which of the `wanted` tables can be made beside: those that read tables to which
    /// rows are only added, tables by windows, or each other. The others are computed when the flow
    /// opens.
    pub fn beside(&self, wanted: &BTreeSet<Name>) -> Beside {
        let mut beside = Beside::default();
        // What adds to its rows begins anew where it will go on.
        let is_wanted =
            |it: &&std::sync::Arc<TablePlan>| wanted.contains(it.name()) && !it.batch.reads_new;
        for table in self.tables.iter().filter(is_wanted) {
            let read: Option<Vec<Read<'_>>> = table
                .reads
                .iter()
                .map(|it| self.read_by(table, it, wanted, &beside.built))
                .collect();
            let Some(read) = read else { continue };
            for read in read {
                let (names, name) = match read {
                    Read::Held => continue,
                    Read::Follows(name) => (&mut beside.followed, name),
                    Read::Hears(name) => (&mut beside.told, name),
                    Read::Sees(name) => (&mut beside.seen, name),
                };
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
            beside.built.push(table.name().clone());
        }
        beside.seen.retain(|it| !beside.followed.contains(it) && !beside.told.contains(it));
        beside
    }

    /// Returns the names under which these tables and their dead letters are stored.
    pub fn storage_of(&self, tables: &[Name]) -> BTreeSet<Name> {
        let of = self.tables.iter().filter(|it| tables.contains(it.name()));
        of.flat_map(|it| [it.name().clone(), it.dead.clone()]).collect()
    }

    /// Returns how a table would read `name` in a build; nothing if it cannot.
    fn read_by<'a>(
        &'a self,
        table: &TablePlan,
        name: &'a Name,
        wanted: &BTreeSet<Name>,
        built: &[Name],
    ) -> Option<Read<'a>> {
        let is_whole = table.kind == TableKind::Recomputed;
        if self.lookups.iter().any(|it| it.name == *name) {
            return Some(Read::Held);
        }
        if self.streams.iter().any(|it| it.declared.name == *name) {
            return Some(if is_whole { Read::Held } else { Read::Follows(name) });
        }
        if self.streams.iter().any(|it| it.dead == *name) {
            return is_whole.then_some(Read::Held);
        }
        let below = self.tables.iter().find(|it| it.name() == name || it.dead == *name)?;
        let is_dead = below.dead == *name;
        if built.contains(below.name()) {
            return (is_whole || !is_dead).then_some(Read::Held);
        }
        if wanted.contains(below.name()) {
            return None;
        }
        if is_whole {
            return Some(Read::Sees(below.name()));
        }
        let links = table.slices.iter().flat_map(|it| &it.links);
        let mut told = links.filter(|it| !matches!(it.told, Told::Rows(_)));
        if !is_dead && told.any(|it| it.table == *name) {
            return Some(Read::Hears(below.name()));
        }
        (below.kind == TableKind::Append && !is_dead).then(|| Read::Follows(below.name()))
    }
}

/// How a table of a build reads another.
enum Read<'a> {
    /// It is there anyway.
    Held,
    Follows(&'a Name),
    Hears(&'a Name),
    Sees(&'a Name),
}
