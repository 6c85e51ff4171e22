//! Groups what belongs together into flows: what FROM ties, and what else must show one tick.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::Name;

use crate::plan::checks::CheckPlan;
use crate::plan::{FlowPlan, LookupPlan, StreamPlan, TablePlan};

/// Everything that was planned.
pub(crate) struct Parts {
    pub(crate) streams: BTreeMap<Name, StreamPlan>,
    pub(crate) lookups: BTreeMap<Name, Arc<LookupPlan>>,
    /// In FROM order.
    pub(crate) tables: Vec<Arc<TablePlan>>,
    pub(crate) checks: Vec<Arc<CheckPlan>>,
}

/// Who is in the flow of whom.
#[derive(Default)]
struct Ties {
    /// The group of each stream, table and dead letters.
    group_of: BTreeMap<Name, usize>,
    groups: usize,
}

impl Ties {
    fn add(&mut self, name: &Name, dead: &Name) {
        self.group_of.insert(name.clone(), self.groups);
        self.group_of.insert(dead.clone(), self.groups);
        self.groups += 1;
    }

    /// Puts two into one group; names that have none, such as lookups, tie nothing.
    fn tie(&mut self, one: &Name, other: &str) {
        let (Some(one), Some(other)) = (self.group_of.get(one), self.group_of.get(other)) else {
            return;
        };
        let (first, second) = (*one.min(other), *one.max(other));
        self.group_of.values_mut().filter(|it| **it == second).for_each(|it| *it = first);
    }

    fn is_in(&self, name: &Name, group: usize) -> bool {
        self.group_of.get(name) == Some(&group)
    }
}

/// Makes the flows: each with its streams by name and its tables in FROM order.
pub(crate) fn group(parts: Parts) -> Vec<FlowPlan> {
    let Parts { streams, lookups, tables, checks } = parts;
    let mut ties = Ties::default();
    streams.values().for_each(|it| ties.add(&it.declared.name, &it.dead));
    tables.iter().for_each(|it| ties.add(it.name(), &it.dead));
    for table in &tables {
        table.reads.iter().for_each(|it| ties.tie(table.name(), it));
        table.declared.ties().for_each(|it| ties.tie(table.name(), &it.text));
    }
    let streams: Vec<Arc<StreamPlan>> = streams.into_values().map(Arc::new).collect();
    let mut idle = lookups.clone();
    let mut flows = Vec::new();
    for group in 0..ties.groups {
        let streams: Vec<_> =
            streams.iter().filter(|it| ties.is_in(&it.declared.name, group)).cloned().collect();
        let tables: Vec<_> =
            tables.iter().filter(|it| ties.is_in(it.name(), group)).cloned().collect();
        let checks: Vec<_> =
            checks.iter().filter(|it| ties.is_in(&it.table, group)).cloned().collect();
        let first = streams.first().map(|it| &it.declared.name);
        let Some(name) = first.or_else(|| tables.first().map(|it| it.name())) else { continue };
        let read = |it: &&Arc<LookupPlan>| {
            tables.iter().any(|table| table.lookups.contains(&it.name))
                || checks.iter().any(|check| check.reads.contains(&it.name))
        };
        let lookups: Vec<_> = lookups.values().filter(read).cloned().collect();
        for lookup in &lookups {
            idle.remove(&lookup.name);
        }
        flows.push(FlowPlan { name: name.clone(), streams, lookups, tables, checks });
    }
    // Lookups that no table reads can still be asked.
    for (name, lookup) in idle {
        let lookups = vec![lookup];
        let (streams, tables, checks) = (Vec::new(), Vec::new(), Vec::new());
        flows.push(FlowPlan { name, streams, lookups, tables, checks });
    }
    flows
}
