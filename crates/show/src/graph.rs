//! The pipeline as a graph: doors, streams, tables, alerts, dashboards, and what flows between.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::facts::{Edge, Facts, Node, NodeKind, TableKind};

/// What the console draws.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) edges: Vec<Edge>,
}

/// Makes the graph of `facts`: every `reads` is an edge, with its figures where the program has
/// them, and ends that name nothing known are left out.
pub(crate) fn of(facts: &Facts) -> Graph {
    let mut graph = Graph::default();
    let mut wanted: Vec<(String, String)> = Vec::new();
    let mut figures: BTreeMap<(&str, &str), &Edge> = BTreeMap::new();
    for edge in &facts.edges {
        figures.insert((&edge.from, &edge.to), edge);
    }
    let mut ours = Vec::new();
    for stream in &facts.streams {
        for door in &stream.doors {
            let id = format!("door:{}:{}", stream.name, door.kind);
            graph.add(&id, &door.kind, NodeKind::Door);
            let edge = Edge { from: id, to: stream.name.clone(), ..Edge::default() };
            ours.push(Edge { rows: door.records, per_second: door.per_second, ..edge });
        }
        graph.add(&stream.name, &stream.name, NodeKind::Stream);
        if !stream.rejects.is_empty() || 0 < stream.dead {
            let id = format!("{}__dead", stream.name);
            graph.add(&id, &id, NodeKind::Dead);
            let edge = Edge { from: stream.name.clone(), to: id, ..Edge::default() };
            let rows = stream.rejects.iter().map(|it| it.count).sum();
            ours.push(Edge { rows, per_second: stream.rejects_per_second, ..edge });
        }
    }
    for table in &facts.tables {
        let is_lookup = table.kind == TableKind::Lookup;
        let kind = if is_lookup { NodeKind::Lookup } else { NodeKind::Table };
        graph.add(&table.name, &table.name, kind);
        wanted.extend(table.reads.iter().map(|from| (from.clone(), table.name.clone())));
    }
    for alert in &facts.alerts {
        graph.add(&alert.name, &alert.name, NodeKind::Alert);
        wanted.extend(alert.reads.iter().map(|from| (from.clone(), alert.name.clone())));
    }
    for dashboard in &facts.dashboards {
        graph.add(&dashboard.name, &dashboard.title, NodeKind::Dashboard);
        let charts = dashboard.charts.iter();
        wanted.extend(charts.map(|it| (it.from.clone(), dashboard.name.clone())));
    }
    wanted.sort();
    wanted.dedup();
    let is_known = |id: &str| graph.nodes.iter().any(|it| it.id == id);
    let edges = wanted.into_iter().filter(|(from, to)| is_known(from) && is_known(to));
    let edges = edges.map(|(from, to)| match figures.get(&(from.as_str(), to.as_str())) {
        Some(edge) => (*edge).clone(),
        None => Edge { from, to, ..Edge::default() },
    });
    graph.edges = ours.into_iter().chain(edges).collect();
    graph
}

impl Graph {
    fn add(&mut self, id: &str, name: &str, kind: NodeKind) {
        // All names of a project share one namespace; a second one would only confuse the drawing.
        if self.nodes.iter().any(|it| it.id == id) {
            return;
        }
        self.nodes.push(Node { id: id.to_owned(), name: name.to_owned(), kind });
    }
}

#[cfg(test)]
mod tests;
