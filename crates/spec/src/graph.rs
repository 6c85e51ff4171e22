//! What reads what: the order of the tables, the flows, and the map for plan and console.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use base::Name;

use crate::project::Project;
use crate::source::Word;
use crate::table::Table;

/// What a project declares, and who reads whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    /// Streams, lookups, tables, alerts and dashboards, each kind by name, tables in FROM order.
    pub nodes: Vec<Node>,
    /// Who is read by whom, each pair once.
    pub edges: Vec<Edge>,
    /// The flows, by name.
    pub flows: Vec<Flow>,
}

/// One thing of the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: Name,
    /// What it is.
    pub kind: NodeKind,
}

/// What a thing of the map is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeKind {
    /// A stream, with its raw table and its dead letters.
    Stream,
    /// A lookup.
    Lookup,
    /// A table, with its dead letters.
    Table,
    /// An alert.
    Alert,
    /// A dashboard.
    Dashboard,
}

/// One thing is read by another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// What is read.
    pub from: Name,
    /// Who reads it.
    pub to: Name,
}

/// The streams and tables tied together by FROM: they show the same tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// Its name: that of its first stream, or of its first table if it has none.
    pub name: Name,
    /// Its streams, by name.
    pub streams: Vec<Name>,
    /// Its tables, each after those it reads.
    pub tables: Vec<Name>,
    /// The alerts that read one of them, by name.
    pub alerts: Vec<Name>,
}

impl Project {
    /// Returns the map of the project.
    pub fn graph(&self) -> Graph {
        let order = self.order();
        Graph { nodes: self.nodes(&order), edges: self.edges(), flows: self.flows(&order) }
    }

    /// Returns the tables, each after those it reads; among equals by name.
    pub fn order(&self) -> Vec<Name> {
        order(&self.tables)
    }

    fn nodes(&self, order: &[Name]) -> Vec<Node> {
        let of = |kind: NodeKind| move |name: &Name| Node { name: name.clone(), kind };
        let streams = self.streams.keys().map(of(NodeKind::Stream));
        let lookups = self.lookups.keys().map(of(NodeKind::Lookup));
        let tables = order.iter().map(of(NodeKind::Table));
        let alerts = self.alerts.keys().map(of(NodeKind::Alert));
        let dashboards = self.dashboards.keys().map(of(NodeKind::Dashboard));
        streams.chain(lookups).chain(tables).chain(alerts).chain(dashboards).collect()
    }

    fn edges(&self) -> Vec<Edge> {
        let mut edges = BTreeSet::new();
        let mut add = |from: Name, to: &Name| {
            edges.insert(Edge { from, to: to.clone() });
        };
        for table in self.tables.values() {
            depends(table).for_each(|from| add(from, &table.name));
        }
        for alert in self.alerts.values() {
            let reads = alert.reads.iter().cloned().chain(owners(&alert.reads_beside));
            reads.for_each(|from| add(from, &alert.name));
        }
        for dashboard in self.dashboards.values() {
            for chart in &dashboard.charts {
                let from = owner(&chart.from.text).or_else(|| Name::new(&chart.from.text).ok());
                let from = from.filter(|it| self.has_rows(it));
                from.into_iter().for_each(|from| add(from, &dashboard.name));
            }
        }
        edges.into_iter().collect()
    }

    fn has_rows(&self, name: &Name) -> bool {
        self.streams.contains_key(name)
            || self.tables.contains_key(name)
            || self.lookups.contains_key(name)
    }

    fn flows(&self, order: &[Name]) -> Vec<Flow> {
        // Each thing points to another of its flow; the last of the chain stands for the flow.
        let mut towards: BTreeMap<Name, Name> = BTreeMap::new();
        let names = self.streams.keys().chain(self.tables.keys());
        towards.extend(names.map(|it| (it.clone(), it.clone())));
        for table in self.tables.values() {
            let tied = depends(table).chain(table.ties().filter_map(tied_to));
            for read in tied.filter(|it| towards.contains_key(it)).collect::<Vec<_>>() {
                let (one, other) = (last(&towards, &table.name), last(&towards, &read));
                let (first, second) = if one < other { (one, other) } else { (other, one) };
                towards.insert(second, first);
            }
        }
        let mut flows: BTreeMap<Name, Flow> = BTreeMap::new();
        let mut flow_of: BTreeMap<&Name, Name> = BTreeMap::new();
        for name in self.streams.keys().chain(order) {
            let stands_for = last(&towards, name);
            flow_of.insert(name, stands_for.clone());
            let flow = flows.entry(stands_for).or_insert_with(|| Flow {
                name: name.clone(),
                streams: Vec::new(),
                tables: Vec::new(),
                alerts: Vec::new(),
            });
            let is_stream = self.streams.contains_key(name);
            let members = if is_stream { &mut flow.streams } else { &mut flow.tables };
            members.push(name.clone());
        }
        for alert in self.alerts.values() {
            let reads: Vec<Name> =
                alert.reads.iter().cloned().chain(owners(&alert.reads_beside)).collect();
            let read_flows: BTreeSet<&Name> =
                reads.iter().filter_map(|it| flow_of.get(it)).collect();
            for name in read_flows {
                if let Some(flow) = flows.get_mut(name) {
                    flow.alerts.push(alert.name.clone());
                }
            }
        }
        let mut flows: Vec<Flow> = flows.into_values().collect();
        flows.sort_by(|one, other| one.name.cmp(&other.name));
        flows
    }
}

fn last(towards: &BTreeMap<Name, Name>, name: &Name) -> Name {
    let mut here = name;
    while let Some(next) = towards.get(here).filter(|it| *it != here) {
        here = next;
    }
    here.clone()
}

/// Returns what a table reads, and the owners of the dead letters it reads.
fn depends(table: &Table) -> impl Iterator<Item = Name> {
    table.reads.iter().cloned().chain(owners(&table.reads_beside))
}

fn owners(beside: &[String]) -> impl Iterator<Item = Name> {
    beside.iter().filter_map(|it| owner(it))
}

/// Returns what a word stands for: a stream, a table, or the owner of dead letters.
fn tied_to(word: &Word) -> Option<Name> {
    owner(&word.text).or_else(|| Name::new(&word.text).ok())
}

/// Returns whose dead letters these are.
pub(crate) fn owner(dead: &str) -> Option<Name> {
    dead.strip_suffix("__dead").and_then(|it| Name::new(it).ok())
}

/// Returns the tables, each after those it reads; without those that read each other in a circle.
pub(crate) fn order(tables: &BTreeMap<Name, Table>) -> Vec<Name> {
    let mut open: BTreeMap<&Name, BTreeSet<Name>> = BTreeMap::new();
    let mut readers: BTreeMap<Name, Vec<&Name>> = BTreeMap::new();
    for (name, table) in tables {
        let waits: BTreeSet<Name> = depends(table).filter(|it| tables.contains_key(it)).collect();
        for read in &waits {
            readers.entry(read.clone()).or_default().push(name);
        }
        open.insert(name, waits);
    }
    let free = open.iter().filter(|(_, waits)| waits.is_empty()).map(|(name, _)| *name);
    let mut free: VecDeque<&Name> = free.collect();
    let mut order = Vec::new();
    while let Some(name) = free.pop_front() {
        order.push(name.clone());
        for reader in readers.get(name).into_iter().flatten() {
            let waits = open.get_mut(reader);
            let is_free = waits.is_some_and(|it| it.remove(name) && it.is_empty());
            if is_free {
                free.push_back(reader);
            }
        }
    }
    order
}

/// Returns each circle of tables that read each other, as the names along it.
pub(crate) fn circles(tables: &BTreeMap<Name, Table>) -> Vec<Vec<Name>> {
    let sound: BTreeSet<Name> = order(tables).into_iter().collect();
    let is_open = |name: &Name| tables.contains_key(name) && !sound.contains(name);
    let mut visited: BTreeSet<Name> = BTreeSet::new();
    let mut circles = Vec::new();
    for start in tables.keys().filter(|it| is_open(it)) {
        // Every table that is left reads another one that is left, so the way ends in a circle
        // or where an earlier way went.
        let mut way: Vec<Name> = Vec::new();
        let mut here = start.clone();
        while visited.insert(here.clone()) {
            way.push(here.clone());
            let next = tables.get(&here).and_then(|it| depends(it).find(is_open));
            let Some(next) = next else { break };
            here = next;
        }
        if let Some(at) = way.iter().position(|it| *it == here) {
            let mut circle = way.split_off(at);
            let first = circle.iter().enumerate().min_by_key(|(_, name)| (*name).clone());
            let first = first.map_or(0, |(index, _)| index);
            circle.rotate_left(first);
            circles.push(circle);
        }
    }
    circles
}

#[cfg(test)]
mod tests;
